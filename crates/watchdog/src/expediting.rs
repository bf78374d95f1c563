//! The 催办 loop's work, one step at a time: fold what came, issue what is due, move what moved.

use std::collections::BTreeSet;
use std::sync::Arc;

use cuiban_command_handler::{HandleError, Handlers};
use cuiban_domain::ids::{BranchId, CommandId, TicketId};
use cuiban_domain::organisation::{Branch, BranchEvent, Company, CompanyEvent};
use cuiban_domain::sla::{Clock, ClockState, Notice, Rung};
use cuiban_domain::ticket::{
    DeadlineReason, IssueExpediteNotice, MoveDeadlines, Ticket, TicketCommand, TicketEvent,
};
use cuiban_domain::{Aggregate, Event, Instant};
use cuiban_event_schema::Commit;
use cuiban_vitals::in_one_line;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use uuid::Uuid;

use crate::aside::Aside;
use crate::{Config, DeadlineIndex, DueClock};

/// The actor of what the watchdog asks for.
const ACTOR: &str = "watchdog";

/// Knows the open clocks, and asks for what is due.
pub struct Expediting {
    handlers: Arc<Handlers>,
    config: Config,
    index: DeadlineIndex,
    moves: BTreeSet<(TicketId, DeadlineReason)>,
    aside: Aside,
    /// How many slices in a row came to nothing.
    failed_slices: u32,
}

/// What one slice of due clocks came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Issued {
    /// Notices that are in the log now, by us or by another watchdog.
    pub notices: usize,
    /// Clocks that turned out not to be overdue: met, paused or moved meanwhile.
    pub not_overdue: usize,
    /// Clocks of tickets that were put aside.
    pub put_aside: usize,
    /// Clocks whose commands failed while others' did not: they wait by themselves.
    pub put_off: usize,
    /// Commands without an answer, as the log is away: to be tried again, before all others.
    pub failed: usize,
}

impl Issued {
    /// Whether nothing that was tried came to anything.
    pub(crate) fn is_away(&self) -> bool {
        self.failed > 0
    }
}

/// A slice that fails so often, while the log tells its time, does not fail for the log's absence.
const FAILED_SLICES_MAX: u32 = 3;

impl Expediting {
    /// Begins with these open clocks.
    pub fn new(handlers: Arc<Handlers>, config: Config, index: DeadlineIndex) -> Self {
        Self { handlers, config, index, moves: BTreeSet::new(), aside: Aside::default(), failed_slices: 0 }
    }

    /// The open clocks.
    pub fn index(&self) -> &DeadlineIndex {
        &self.index
    }

    /// The tickets that are put aside.
    pub fn aside(&self) -> &Aside {
        &self.aside
    }

    /// Puts a ticket aside with its clocks: nothing of it is urged or moved until its stream changes. All others go on.
    pub fn put_aside(&mut self, ticket: TicketId, reason: &(dyn std::error::Error + 'static)) {
        let clocks = self.index.remove_ticket(ticket);
        self.moves.retain(|(moved, _)| *moved != ticket);
        self.aside.put(ticket, clocks, in_one_line(reason));
    }

    /// Says in the process's log which tickets are put aside, each once.
    pub(crate) fn say_put_aside(&mut self) {
        self.aside.say();
    }

    /// How many tickets' due instants still have to be looked at again.
    pub fn outstanding_moves(&self) -> usize {
        self.moves.len()
    }

    /// Folds one commit: clocks into the index, changes of the organisation into moves to make (R36).
    pub fn absorb(&mut self, commit: &Commit, branch: &BranchId) {
        if let Ok(ticket) = commit.envelope.stream_id.parse()
            && self.aside.hears_of(ticket)
        {
            // What it says is behind what cannot be read: the ticket is read as a whole, if it can be.
            return;
        }
        self.fold(commit, branch);
        let told_at = commit.envelope.happened.recorded_at;
        let entered_late = commit.envelope.happened.occurred_at < told_at;
        if let (true, Ok(ticket)) = (entered_late, commit.envelope.stream_id.parse()) {
            let ticket_event = |event: &Event| TicketEvent::try_from(event.clone()).ok();
            let events: Vec<_> = commit.events.iter().filter_map(ticket_event).collect();
            self.index.let_settle(ticket, &events, told_at, told_at + self.config.settle());
        }
    }

    fn fold(&mut self, commit: &Commit, branch: &BranchId) {
        for event in &commit.events {
            match event {
                Event::Ticket(event) => {
                    let Ok(ticket) = commit.envelope.stream_id.parse() else { continue };
                    self.index.apply(ticket, branch, event);
                    // Decided on an organisation that has changed since: as if the change had come after it.
                    let outdated = DeadlineIndex::basis(event).is_some_and(|basis| {
                        let organisation = self.handlers.directory().organisation();
                        organisation.branch(branch).is_ok_and(|view| view.basis != basis)
                    });
                    if outdated {
                        self.moves.insert((ticket, DeadlineReason::Policy));
                    }
                }
                Event::Company(
                    CompanyEvent::CompanyCalendarSet { .. } | CompanyEvent::ProvinceDaysSet { .. },
                ) => {
                    self.move_all(None, DeadlineReason::Calendar);
                }
                Event::Company(CompanyEvent::PolicySet { .. }) => self.move_all(None, DeadlineReason::Policy),
                Event::Branch(BranchEvent::BranchHoursSet { .. }) => {
                    self.move_all(Some(branch), DeadlineReason::Calendar);
                }
                Event::Branch(BranchEvent::BranchLimitsSet { .. }) => {
                    self.move_all(Some(branch), DeadlineReason::Policy);
                }
                Event::Branch(BranchEvent::DistrictsListed { .. }) => {
                    self.move_all(Some(branch), DeadlineReason::Area)
                }
                Event::SteppedOver(_) => match commit.envelope.stream_kind.as_str() {
                    Company::KIND => self.move_all(None, DeadlineReason::Policy),
                    Branch::KIND => self.move_all(Some(branch), DeadlineReason::Policy),
                    _ => {}
                },
                // Staff, numbers, visits and alerts have no clocks.
                _ => {}
            }
        }
    }

    fn move_all(&mut self, branch: Option<&BranchId>, reason: DeadlineReason) {
        let tickets = self.index.tickets(branch);
        self.moves.extend(tickets.into_iter().map(|ticket| (ticket, reason)));
    }

    /// Issues a slice of the notices that are due at `now`, in the order of their due instants. The tickets of the next
    /// one are read meanwhile.
    pub async fn issue_due(&mut self, now: Instant) -> Issued {
        let slice = self.config.notices_in_flight_max;
        let mut due = self.index.overdue(now, slice.saturating_mul(2));
        let next = due.split_off(slice.min(due.len()));
        let tickets = self.known(due.iter().map(|clock| clock.ticket)).await;
        // Polled in this order with their streams at hand, the appends reach the log in this order.
        let pairs = due.iter().zip(&tickets);
        let under_way: FuturesOrdered<_> =
            pairs.map(|(due, ticket)| self.issue(*due, ticket.as_ref())).collect();
        let known_next = self.known(next.iter().map(|clock| clock.ticket));
        let (results, _) = futures::join!(under_way.collect::<Vec<_>>(), known_next);
        let (mut issued, mut unanswered) = (Issued::default(), Vec::new());
        for (clock, result) in due.into_iter().zip(results) {
            match result {
                Ok(ticket) if self.settle(clock, Some(&ticket)) => issued.notices += 1,
                // A rule said no on the freshest state there is: the clock was met, paused or moved meanwhile.
                Err(HandleError::Rejected(_)) => {
                    let ticket = self.handlers.known_ticket(clock.ticket).await;
                    if self.settle(clock, ticket.as_ref()) {
                        issued.not_overdue += 1;
                    } else {
                        unanswered.push(clock);
                    }
                }
                Ok(_) => unanswered.push(clock),
                Err(error) if passes(&error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, ticket = %clock.ticket, "催办 waits for the log");
                    unanswered.push(clock);
                }
                Err(error) => {
                    self.put_aside(clock.ticket, &error);
                    issued.put_aside += 1;
                }
            }
        }
        self.wait_for_answers(unanswered, now, &mut issued);
        issued
    }

    /// Clocks without an answer stay first in line while nobody is answered; where others are, they wait by themselves
    /// and hold up nobody.
    fn wait_for_answers(&mut self, unanswered: Vec<DueClock>, now: Instant, issued: &mut Issued) {
        let others_were = issued.notices + issued.not_overdue > 0;
        if unanswered.is_empty() || others_were {
            self.failed_slices = 0;
        } else {
            self.failed_slices += 1;
        }
        if others_were || self.failed_slices > FAILED_SLICES_MAX {
            issued.put_off = unanswered.len();
            for clock in unanswered {
                self.index.put_off(clock, now + self.config.retry_delay());
            }
        } else {
            issued.failed = unanswered.len();
        }
    }

    /// Reads the tickets whose streams have changed since they were put aside; those that can be read come back with
    /// their clocks. Answers whether all of them were answered.
    pub async fn take_back(&mut self) -> bool {
        let mut all_answered = true;
        for ticket in self.aside.changed(self.config.moves_in_flight_max) {
            match self.handlers.ticket_now(ticket).await {
                Ok(state) => {
                    tracing::warn!(%ticket, "the ticket can be read again and is watched again");
                    self.aside.remove(ticket);
                    self.index.set_ticket(ticket, &state);
                    // Company and branch may have changed meanwhile.
                    self.moves.insert((ticket, DeadlineReason::Policy));
                }
                Err(error) if passes(&error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, %ticket, "a ticket put aside waits for the log");
                    all_answered = false;
                }
                Err(error) => self.aside.put(ticket, 0, in_one_line(&error)),
            }
        }
        all_answered
    }

    /// Brings the index in line with the ticket as it is after the attempt; `false` if the clock is overdue still.
    ///
    /// The ticket's own commits will say the same; said now, nothing is issued twice before they come.
    fn settle(&mut self, due: DueClock, ticket: Option<&Ticket>) -> bool {
        let Some(ticket) = ticket else { return false };
        let clock = ticket.clocks.iter().find(|clock| clock.kind == due.clock && clock.cycle == due.cycle);
        match (clock.map(|clock| clock.state), ticket.branch()) {
            (Some(ClockState::Running { due_at }), _) if due_at == due.due_at => false,
            (Some(ClockState::Running { due_at }), Some(branch)) => {
                self.index.insert(due.ticket, branch, due.clock, due.cycle, Some(due_at));
                true
            }
            (Some(ClockState::Paused { .. }), Some(branch)) => {
                self.index.insert(due.ticket, branch, due.clock, due.cycle, None);
                true
            }
            _ => {
                self.index.remove(due.ticket, due.clock, due.cycle);
                true
            }
        }
    }

    async fn issue(&self, due: DueClock, ticket: Option<&Ticket>) -> Result<Ticket, HandleError> {
        let clock = ticket.and_then(|ticket| {
            ticket.clocks.iter().find(|clock| clock.kind == due.clock && clock.cycle == due.cycle)
        });
        let first =
            Notice { clock: due.clock, cycle: due.cycle, episode: 0, rung: Rung::Breach, repetition: 0 };
        let notice = clock.map_or(first, Clock::next_notice);
        let command = TicketCommand::from(IssueExpediteNotice { notice });
        self.send(due.ticket, &command, notice.command_id(due.ticket)).await
    }

    /// Has a slice of the outstanding due instants computed again; answers how many are still outstanding.
    pub async fn move_some(&mut self) -> usize {
        let slice: Vec<_> = self.moves.iter().take(self.config.moves_in_flight_max).copied().collect();
        self.known(slice.iter().map(|(ticket, _)| *ticket)).await;
        let mut under_way: FuturesOrdered<_> =
            slice.iter().map(|(ticket, reason)| self.move_one(*ticket, *reason)).collect();
        let mut done = Vec::with_capacity(slice.len());
        while let Some(result) = under_way.next().await {
            done.push(result);
        }
        drop(under_way);
        for (key, result) in slice.into_iter().zip(done) {
            match result {
                // A ticket that has ended meanwhile has nothing to move.
                Ok(()) | Err(HandleError::Rejected(_)) => {
                    self.moves.remove(&key);
                }
                Err(error) if passes(&error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, ticket = %key.0, "a due instant waits for the log");
                }
                Err(error) => self.put_aside(key.0, &error),
            }
        }
        self.moves.len()
    }

    async fn move_one(&self, ticket: TicketId, reason: DeadlineReason) -> Result<(), HandleError> {
        let command = TicketCommand::from(MoveDeadlines { reason });
        let id = CommandId(self.handlers.new_id());
        self.send(ticket, &command, id).await.map(drop)
    }

    async fn send(
        &self,
        ticket: TicketId,
        command: &TicketCommand,
        id: CommandId,
    ) -> Result<Ticket, HandleError> {
        let meta = self.handlers.own_meta(id, ACTOR).map_err(|_| cuiban_domain::Rejection::TicketNotFound)?;
        Ok(self.handlers.ticket(ticket, command, &meta).await?.state)
    }

    /// The tickets as last seen, read side by side.
    async fn known(&self, tickets: impl Iterator<Item = TicketId>) -> Vec<Option<Ticket>> {
        let reads: FuturesOrdered<_> = tickets.map(|ticket| self.handlers.known_ticket(ticket)).collect();
        reads.collect().await
    }
}

/// Whether the same command may be obeyed in a moment: the log is away or busy. Anything else is about this one stream.
pub(crate) fn passes(error: &HandleError) -> bool {
    use HandleError as E;
    match error {
        E::Unavailable(_) | E::Unknown(_) | E::Contended { .. } | E::ClockToBeConfirmed(_) => true,
        E::Rejected(_)
        | E::RevisionMismatch { .. }
        | E::KeyReused
        | E::TooLarge(_)
        | E::Unreadable(_)
        | E::NotWritten(_)
        | E::NotReadBack(_)
        | E::NothingToStepOver
        | E::StepsOverAnother { .. }
        | E::StepsOverNewer { .. }
        | E::NextNumberMissing
        | E::Address(_) => false,
    }
}

/// An id for a command that a process sends because of one commit, the same each time it is sent.
pub(crate) fn command_because_of(commit: CommandId, ticket: TicketId, purpose: &str) -> CommandId {
    CommandId(Uuid::new_v5(&commit.0, format!("{purpose}/{ticket}").as_bytes()))
}
