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
    /// How many clocks went aside with it.
    clocks: usize,
    changed: bool,
    said: bool,
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

    pub(crate) fn put(&mut self, ticket: TicketId, clocks: usize, reason: String) {
        let before = self.tickets.remove(&ticket);
        let said = before.as_ref().is_some_and(|before| before.said && before.reason == reason);
        let clocks = clocks + before.map_or(0, |before| before.clocks);
        self.tickets.insert(ticket, Entry { reason, clocks, changed: false, said });
    }

    /// Says in the process's log, once, which tickets are put aside. While the log is read from an earlier position, what
    /// was stepped over since is among them, so nothing is said before its end is reached.
    pub(crate) fn say(&mut self) {
        for (ticket, entry) in self.tickets.iter_mut().filter(|(_, entry)| !entry.said) {
            entry.said = true;
            tracing::error!(
                error = entry.reason, %ticket, clocks = entry.clocks,
                "the ticket cannot be read and is put aside with its clocks: nothing of it is urged until its stream or the build changes"
            );
        }
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
