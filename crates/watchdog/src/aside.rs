//! Tickets that are put aside, as they cannot be read: others do not wait for them.

use std::collections::BTreeMap;

use cuiban_domain::ids::TicketId;

/// The tickets that are put aside, why, and which of their streams have changed since.
#[derive(Debug, Default)]
pub struct Aside {
    tickets: BTreeMap<TicketId, Entry>,
}

#[derive(Debug)]
struct Entry {
    reason: String,
    changed: bool,
}

impl Aside {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.tickets.len()
    }

    /// Whether none is put aside.
    pub fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }

    /// Each, with what is wrong.
    pub fn iter(&self) -> impl Iterator<Item = (TicketId, &str)> {
        self.tickets.iter().map(|(ticket, entry)| (*ticket, entry.reason.as_str()))
    }

    pub(crate) fn put(&mut self, ticket: TicketId, reason: String) {
        self.tickets.insert(ticket, Entry { reason, changed: false });
    }

    /// A commit of this ticket came: `true` if the ticket is put aside, and will be read again.
    pub(crate) fn hears_of(&mut self, ticket: TicketId) -> bool {
        let entry = self.tickets.get_mut(&ticket);
        entry.map(|entry| entry.changed = true).is_some()
    }

    pub(crate) fn changed(&self, limit: usize) -> Vec<TicketId> {
        let changed = self.tickets.iter().filter(|(_, entry)| entry.changed);
        changed.map(|(ticket, _)| *ticket).take(limit).collect()
    }

    pub(crate) fn has_changed(&self) -> bool {
        self.tickets.values().any(|entry| entry.changed)
    }

    pub(crate) fn remove(&mut self, ticket: TicketId) {
        self.tickets.remove(&ticket);
    }
}
