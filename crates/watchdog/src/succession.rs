//! Who owes what, and what follows when a person leaves or a visit falls through (R6, R11).
//!
//! A fold of who is in charge of which open ticket, and two consequences: what a person owed who left passes to the
//! successor, and a technician's time that was kept for a ticket is free when the ticket needs it no more. Each
//! consequence is drawn before the fold's cursor passes its cause, so a crash in between repeats it, harmlessly.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cuiban_command_handler::{HandleError, Handlers};
use cuiban_domain::Event;
use cuiban_domain::ids::{BranchId, CommandId, StaffId, TicketId};
use cuiban_domain::organisation::{BranchEvent, Organisation};
use cuiban_domain::text::Line;
use cuiban_domain::ticket::{ReassignTicket, TicketCommand, TicketEvent};
use cuiban_event_log::{Cursor, Foreign, LogError, LogIdentity, Position, StreamId};
use cuiban_event_schema::Commit;
use cuiban_projector::{FIRST_TABLE, Incoming, Key, Model, Projection, Row, StoreError, Unfoldable, View};
use cuiban_vitals::in_one_line;
use serde::{Deserialize, Serialize};

use crate::WatchError;
use crate::expediting::{command_because_of, passes};
use crate::saving::Saving;

/// The actor of what the succession asks for.
const ACTOR: &str = "succession";
/// The reason that a passed-on ticket shows.
const HANDOVER: &str = "人员离职，工单移交 / handed over as the owner left";
/// How many successors in a row may have left before it is given up.
const SUCCESSORS_MAX: usize = 16;

/// Who is in charge of an open ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owned {
    ticket: TicketId,
    branch: BranchId,
    technician: Option<StaffId>,
    handler: Option<StaffId>,
    /// Whether the technician's schedule keeps time for the visit.
    visit: bool,
}

impl Row for Owned {
    const TABLE: u8 = FIRST_TABLE;
    const FORMAT: u8 = 1;
}

/// The fold of [`Owned`] rows, by ticket.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ownership;

fn key(ticket: TicketId) -> Key {
    Key::new().id(ticket.0)
}

impl Projection for Ownership {
    const NAME: &'static str = "ownership";
    const VERSION: u32 = 1;

    fn project(&self, commit: &Commit, _: Position, view: &mut View<'_>) -> Result<(), Unfoldable> {
        let Ok(ticket) = commit.envelope.stream_id.parse::<TicketId>() else { return Ok(()) };
        for event in &commit.events {
            let Event::Ticket(event) = event else { return Ok(()) };
            let owned = view.get::<Owned>(&key(ticket))?;
            match after(ticket, owned.clone(), event) {
                Some(after) if owned.as_ref() != Some(&after) => view.put(&key(ticket), &after)?,
                None if owned.is_some() => view.remove::<Owned>(&key(ticket))?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The row after one more event; `None` when the ticket is not open.
fn after(ticket: TicketId, owned: Option<Owned>, event: &TicketEvent) -> Option<Owned> {
    use TicketEvent as E;
    let unowned = |branch: &BranchId| Owned {
        ticket,
        branch: branch.clone(),
        technician: None,
        handler: None,
        visit: false,
    };
    match (owned, event) {
        (_, E::TicketRegistered { branch, .. }) => Some(unowned(branch)),
        (_, E::TicketTransferred { to, .. }) => Some(unowned(to)),
        (_, E::TicketClosed { .. } | E::TicketCancelled { .. } | E::TicketMerged { .. }) => None,
        (Some(owned), E::TechnicianDispatched { technician, visit }) => {
            Some(Owned { technician: Some(technician.clone()), visit: visit.is_some(), ..owned })
        }
        (Some(owned), E::HandlerAssigned { handler }) => {
            Some(Owned { handler: Some(handler.clone()), ..owned })
        }
        (Some(owned), E::TicketReassigned { from, to, .. }) => {
            let technician_moves = owned.technician.as_ref() == Some(from);
            let handler_moves = owned.handler.as_ref() == Some(from);
            Some(Owned {
                technician: if technician_moves { Some(to.clone()) } else { owned.technician },
                handler: if handler_moves { Some(to.clone()) } else { owned.handler },
                visit: owned.visit && !technician_moves,
                ..owned
            })
        }
        (Some(owned), E::RepairFixedOnSite { .. }) => Some(Owned { visit: false, ..owned }),
        (Some(owned), E::TicketReopened { .. }) => Some(Owned { technician: None, visit: false, ..owned }),
        (owned, _) => owned,
    }
}

/// Draws the consequences of commits, one at a time.
pub struct Succession {
    handlers: Arc<Handlers>,
    saving: Saving<Ownership>,
    /// The tickets that were looked up since the last save, as the commits leave them that wait for the next.
    ahead: HashMap<TicketId, Option<Owned>>,
    /// The streams with a commit that cannot be read: what lies behind it is drawn from when it is folded.
    set_aside: HashSet<StreamId>,
}

impl Succession {
    pub(crate) fn new(handlers: Arc<Handlers>, saving: Saving<Ownership>) -> Self {
        Self { handlers, saving, ahead: HashMap::new(), set_aside: HashSet::new() }
    }

    /// The commits that were set aside, in the log's order.
    pub(crate) fn take_parked(&mut self) -> Result<Vec<Incoming>, StoreError> {
        self.saving.model().parked_commits()
    }

    /// Folds what was set aside and can be read by now.
    pub(crate) fn retry_parked(&mut self) -> Result<(), StoreError> {
        self.saving.model().retry_parked()?;
        self.ahead.clear();
        let parked = self.saving.model().parked()?;
        self.set_aside = parked.into_iter().filter_map(|parked| parked.stream).collect();
        Ok(())
    }

    /// Whether consequences of this commit are to be drawn now: not of one that cannot be read, nor of those behind it.
    pub(crate) fn is_to_be_drawn(&mut self, incoming: &Incoming) -> bool {
        let stream = &incoming.recorded.stream;
        if incoming.commit.is_err() {
            self.set_aside.insert(stream.clone());
        }
        !self.set_aside.contains(stream)
    }

    /// The commits of a stream that can be folded again because this one steps over what stood in their way.
    pub(crate) async fn released_by(&mut self, incoming: &Incoming) -> Result<Vec<Incoming>, WatchError> {
        let stream = &incoming.recorded.stream;
        let stepped_over: Vec<_> = incoming.steps_over().collect();
        if stepped_over.is_empty() || !self.set_aside.contains(stream) {
            return Ok(Vec::new());
        }
        self.save().await?;
        let mut released = self.saving.model().parked_commits()?;
        released
            .retain(|parked| parked.recorded.stream == *stream && !stepped_over.contains(&parked.identity()));
        self.set_aside.remove(stream);
        Ok(released)
    }

    /// Takes note of a commit whose consequences have been drawn, and which the fold has already.
    pub(crate) fn note(&mut self, incoming: &Incoming) -> Result<(), WatchError> {
        let Ok(commit) = &incoming.commit else { return Ok(()) };
        if self.set_aside.contains(&incoming.recorded.stream) {
            return Ok(());
        }
        for event in &commit.events {
            let Event::Ticket(event) = event else { continue };
            let Ok(ticket) = commit.envelope.stream_id.parse() else { break };
            let owned = self.owned(ticket)?;
            self.ahead.insert(ticket, after(ticket, owned, event));
        }
        Ok(())
    }

    /// The position up to which consequences were drawn and the fold is saved.
    pub(crate) fn footing(&self) -> Result<Cursor, StoreError> {
        self.saving.model().footing()
    }

    /// As [`Model::put_aside`].
    pub(crate) fn put_aside(&self, reason: &LogError) {
        self.saving.model().put_aside(&in_one_line(reason));
    }

    /// As [`Saving::push_from`].
    pub(crate) fn push_from(&mut self, log: LogIdentity, foreign: Vec<Foreign>) {
        self.saving.push_from(log, foreign);
    }

    /// Folds a commit whose consequences have been drawn.
    pub(crate) fn absorb(&mut self, incoming: Incoming) -> Result<(), WatchError> {
        self.note(&incoming)?;
        self.saving.push(incoming);
        Ok(())
    }

    /// Returns when everything absorbed is saved.
    pub(crate) async fn save(&mut self) -> Result<(), WatchError> {
        self.saving.save().await?;
        self.ahead.clear();
        Ok(())
    }

    /// What follows from a commit that was not absorbed yet. An answer that the log owes us is asked for again by who
    /// called.
    pub(crate) async fn consequences(
        &mut self,
        commit: &Commit,
        branch: &BranchId,
    ) -> Result<(), SuccessionError> {
        for event in &commit.events {
            match event {
                Event::Branch(BranchEvent::StaffLeft { staff, successor }) => {
                    for ticket in self.owned_by(branch, staff).await? {
                        self.pass_on(commit.envelope.commit_id, ticket, staff, successor).await?;
                    }
                }
                Event::Ticket(event) => {
                    let Ok(ticket) = commit.envelope.stream_id.parse() else { continue };
                    self.free_visit(commit.envelope.commit_id, ticket, event).await?;
                    self.pass_on_if_left(commit.envelope.commit_id, ticket, branch, event).await?;
                }
                Event::SteppedOver(_) => {
                    let Ok(ticket) = commit.envelope.stream_id.parse() else { continue };
                    self.catch_up(commit.envelope.commit_id, ticket).await?;
                }
                // Company, numbers and alerts: nobody owes anything by them.
                _ => {}
            }
        }
        Ok(())
    }

    /// A ticket that could not be read for a while: those in charge of it may have left meanwhile.
    async fn catch_up(&mut self, cause: CommandId, ticket: TicketId) -> Result<(), SuccessionError> {
        let Some(owned) = self.owned(ticket)? else { return Ok(()) };
        for owner in [&owned.technician, &owned.handler].into_iter().flatten() {
            let successor = successor_of(&self.handlers.directory().organisation(), &owned.branch, owner);
            if let Some(successor) = successor {
                self.pass_on(cause, ticket, owner, &successor).await?;
            }
        }
        Ok(())
    }

    /// Who is in charge of a ticket, by all that was absorbed.
    fn owned(&mut self, ticket: TicketId) -> Result<Option<Owned>, WatchError> {
        match self.ahead.entry(ticket) {
            Entry::Occupied(known) => Ok(known.get().clone()),
            Entry::Vacant(place) => Ok(place.insert(self.saving.model().get(&key(ticket))?).clone()),
        }
    }

    async fn owned_by(&mut self, branch: &BranchId, staff: &StaffId) -> Result<Vec<TicketId>, WatchError> {
        self.save().await?;
        let (branch, staff) = (branch.clone(), Some(staff.clone()));
        let owned_by = move |model: &Model<Ownership>| {
            model.read(|rows| {
                let mut tickets = Vec::new();
                for row in rows.walk::<Owned>(&Key::new()) {
                    let (_, owned) = row?;
                    if owned.branch == branch && [&owned.technician, &owned.handler].contains(&&staff) {
                        tickets.push(owned.ticket);
                    }
                }
                Ok(tickets)
            })
        };
        self.saving.ask(owned_by).await
    }

    /// Work given to somebody who had left, by a process that did not know it yet.
    async fn pass_on_if_left(
        &self,
        cause: CommandId,
        ticket: TicketId,
        branch: &BranchId,
        event: &TicketEvent,
    ) -> Result<(), SuccessionError> {
        let (TicketEvent::TechnicianDispatched { technician: owner, .. }
        | TicketEvent::HandlerAssigned { handler: owner }) = event
        else {
            return Ok(());
        };
        let successor = successor_of(&self.handlers.directory().organisation(), branch, owner);
        match successor {
            Some(successor) => self.pass_on(cause, ticket, owner, &successor).await,
            None => Ok(()),
        }
    }

    async fn pass_on(
        &self,
        cause: CommandId,
        ticket: TicketId,
        from: &StaffId,
        to: &StaffId,
    ) -> Result<(), SuccessionError> {
        let reason = Line::new(HANDOVER).map_err(|error| SuccessionError::Constant(error.to_string()))?;
        let command = TicketCommand::from(ReassignTicket { from: from.clone(), to: to.clone(), reason });
        let meta = self.handlers.own_meta(command_because_of(cause, ticket, "pass-on"), ACTOR);
        let meta = meta.map_err(|error| SuccessionError::Constant(error.to_string()))?;
        obeyed(self.handlers.ticket(ticket, &command, &meta).await.map(drop), ticket)
    }

    async fn free_visit(
        &mut self,
        cause: CommandId,
        ticket: TicketId,
        event: &TicketEvent,
    ) -> Result<(), SuccessionError> {
        let Some(owned) = self.owned(ticket)? else { return Ok(()) };
        let still_kept = after(ticket, Some(owned.clone()), event).is_some_and(|after| after.visit);
        let Owned { technician: Some(technician), visit: true, branch, .. } = owned else { return Ok(()) };
        if still_kept {
            return Ok(());
        }
        let meta = self.handlers.own_meta(command_because_of(cause, ticket, "free-visit"), ACTOR);
        let meta = meta.map_err(|error| SuccessionError::Constant(error.to_string()))?;
        obeyed(self.handlers.release_visit(ticket, &technician, branch, &meta).await.map(drop), ticket)
    }
}

/// The person who took over from somebody who left, and has not left too.
fn successor_of(organisation: &Organisation, branch: &BranchId, staff: &StaffId) -> Option<StaffId> {
    let left = &organisation.branch(branch).ok()?.branch.left;
    let mut successor = left.get(staff)?;
    for _ in 0..SUCCESSORS_MAX {
        match left.get(successor) {
            Some(next) => successor = next,
            None => return Some(successor.clone()),
        }
    }
    None
}

/// A rule that says no has the last word; what passes is tried again; a ticket that cannot be read holds up no other.
fn obeyed(result: Result<(), HandleError>, ticket: TicketId) -> Result<(), SuccessionError> {
    match result {
        Err(HandleError::Rejected(rejection)) => {
            tracing::info!(%ticket, code = rejection.code(), "nothing to pass on");
            Ok(())
        }
        Err(error) if passes(&error) => Err(SuccessionError::Handle(error)),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, %ticket, "what was owed is not passed on until the ticket can be read");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// A consequence that could not be drawn yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SuccessionError {
    #[error("ask for what follows")]
    Handle(#[from] HandleError),
    #[error("look up who is in charge")]
    Keeping(#[from] WatchError),
    #[error("write a command: {0}")]
    Constant(String),
}
