//! Given / when / then over one ticket.

use cuiban_domain::ids::Actor;
use cuiban_domain::sla::{Clock, ClockKind, ClockState, Notice};
use cuiban_domain::ticket::{DeadlineReason, IssueExpediteNotice, Ticket, TicketCommand, TicketEvent};
use cuiban_domain::{Aggregate, Context, Instant, Rejection};

use crate::office::Office;
use crate::words::instant;

/// Something that is asked at a time, perhaps about an earlier one.
#[derive(Clone)]
pub(crate) struct Step {
    occurred_at: Instant,
    now: Instant,
    command: TicketCommand,
}

/// A command whose thing happens as it is recorded.
pub(crate) fn at(now: &str, command: impl Into<TicketCommand>) -> Step {
    late(now, now, command)
}

/// A late entry (R2): it happened at the first instant and is recorded at the second.
pub(crate) fn late(occurred_at: &str, now: &str, command: impl Into<TicketCommand>) -> Step {
    Step { occurred_at: instant(occurred_at), now: instant(now), command: command.into() }
}

/// A ticket, its history, and the office it lives in.
pub(crate) struct Story {
    pub(crate) office: Office,
    pub(crate) ticket: Ticket,
    pub(crate) history: Vec<TicketEvent>,
    related: Option<Ticket>,
}

/// What came of the last step.
#[must_use]
pub(crate) struct Outcome {
    story: Story,
    step: Step,
    result: Result<Vec<TicketEvent>, Rejection>,
}

/// A story in which these things were done, all of them obeyed.
pub(crate) fn given(steps: impl IntoIterator<Item = Step>) -> Story {
    given_in(Office::new(), steps)
}

/// The same in an office of one's own.
pub(crate) fn given_in(office: Office, steps: impl IntoIterator<Item = Step>) -> Story {
    let story = Story { office, ticket: Ticket::default(), history: Vec::new(), related: None };
    story.and(steps)
}

impl Story {
    /// More things are done, all of them obeyed.
    pub(crate) fn and(self, steps: impl IntoIterator<Item = Step>) -> Self {
        steps.into_iter().fold(self, |story, step| story.when(step).then_obeyed())
    }

    /// The office changes.
    pub(crate) fn meanwhile(mut self, change: impl FnOnce(&mut Office)) -> Self {
        change(&mut self.office);
        self
    }

    /// The ticket that a merging looks at.
    pub(crate) fn beside(mut self, other: Self) -> Self {
        self.related = Some(other.ticket);
        self
    }

    pub(crate) fn when(self, step: Step) -> Outcome {
        let actor = Actor::new("K1").unwrap();
        let context = Context {
            now: step.now,
            occurred_at: step.occurred_at,
            actor: &actor,
            organisation: &self.office.organisation,
            related: self.related.as_ref(),
        };
        let result = self.ticket.decide(&step.command, &context);
        Outcome { story: self, step, result }
    }

    /// The latest clock of a kind.
    pub(crate) fn clock(&self, kind: ClockKind) -> &Clock {
        self.ticket.clock(kind).unwrap_or_else(|| panic!("the ticket has no {kind} clock"))
    }

    /// The latest clock of a kind runs and is due then.
    #[track_caller]
    pub(crate) fn due(self, kind: ClockKind, due_at: &str) -> Self {
        assert_eq!(self.clock(kind).state, ClockState::Running { due_at: instant(due_at) });
        self
    }

    /// The latest clock of a kind stands like this.
    #[track_caller]
    pub(crate) fn stands(self, kind: ClockKind, state: ClockState) -> Self {
        assert_eq!(self.clock(kind).state, state);
        self
    }
}

impl Outcome {
    /// Exactly this was recorded.
    #[track_caller]
    pub(crate) fn then(self, events: impl IntoIterator<Item = TicketEvent>) -> Story {
        let events: Vec<_> = events.into_iter().collect();
        assert_eq!(self.result.as_ref(), Ok(&events));
        self.then_obeyed()
    }

    /// After what names the deed itself, exactly this was recorded of clocks and notices.
    #[track_caller]
    pub(crate) fn then_clocks(self, events: impl IntoIterator<Item = TicketEvent>) -> Story {
        let events: Vec<_> = events.into_iter().collect();
        let result: Vec<_> = match &self.result {
            Ok(recorded) => recorded.iter().filter(|event| is_of_clocks(event)).cloned().collect(),
            Err(rejection) => panic!("rejected: {rejection:?}"),
        };
        assert_eq!(result, events);
        self.then_obeyed()
    }

    /// It was obeyed, one way or another.
    #[track_caller]
    pub(crate) fn then_obeyed(mut self) -> Story {
        let events = match self.result {
            Ok(events) => events,
            Err(rejection) => panic!("{:?} was rejected: {rejection:?}", self.step.command),
        };
        let happened =
            cuiban_domain::Happened { occurred_at: self.step.occurred_at, recorded_at: self.step.now };
        for event in &events {
            self.story.ticket.evolve(event, happened);
        }
        self.story.history.extend(events);
        self.story
    }

    /// Limits were broken before it: the handler records their notices first, each in a commit of its own, and asks again.
    #[track_caller]
    pub(crate) fn after_notices(self, events: impl IntoIterator<Item = TicketEvent>) -> Self {
        let Err(Rejection::NoticesFirst { notices }) = &self.result else {
            panic!("no notice comes first: {:?}", self.result)
        };
        let now = self.step.now;
        let issue = |notice: &Notice| Step {
            occurred_at: now,
            now,
            command: IssueExpediteNotice { notice: *notice }.into(),
        };
        let issues: Vec<_> = notices.iter().map(issue).collect();
        let before = self.story.history.len();
        let story = self.story.and(issues);
        assert_eq!(story.history[before..], events.into_iter().collect::<Vec<_>>());
        story.when(self.step)
    }

    /// Its aim held already.
    #[track_caller]
    pub(crate) fn then_nothing(self) -> Story {
        self.then([])
    }

    #[track_caller]
    pub(crate) fn then_rejected(self, rejection: Rejection) -> Story {
        assert_eq!(self.result, Err(rejection));
        self.story
    }

    /// The one due instant that moved: why, from and to.
    #[track_caller]
    pub(crate) fn then_moved(self, kind: ClockKind, why: DeadlineReason, from: &str, to: &str) -> Story {
        let moved = |event: &TicketEvent| match event {
            TicketEvent::DeadlineMoved { clock, from, to, reason, .. } => Some((*clock, *reason, *from, *to)),
            _ => None,
        };
        let moves: Vec<_> = self.result.iter().flatten().filter_map(moved).collect();
        assert_eq!(moves, [(kind, why, Some(instant(from)), Some(instant(to)))]);
        self.then_obeyed()
    }
}

fn is_of_clocks(event: &TicketEvent) -> bool {
    use TicketEvent as E;
    matches!(
        event,
        E::ClockStarted { .. }
            | E::ClockMet { .. }
            | E::ClockPaused { .. }
            | E::ClockResumed { .. }
            | E::DeadlineMoved { .. }
            | E::ClockCancelled { .. }
            | E::SlaBreached { .. }
            | E::BreachEnded { .. }
            | E::ExpediteNoticeIssued { .. }
            | E::ExpediteNoticeSuperseded { .. }
    )
}
