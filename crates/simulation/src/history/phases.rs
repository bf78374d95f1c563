//! From one state to the next: what must have happened in between.

use cuiban_domain::ids::StaffId;
use cuiban_domain::text::{Line, Note};
use cuiban_domain::ticket::{
    ArriveAtCustomer, Channel, CloseTicket, DispatchTechnician, FixOnSite, PauseReason, PauseTicket,
    ReopenTicket, RespondToCustomer, ResumeTicket,
};

use super::plan::Action;

/// What a state text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    New,
    Working,
    Waiting,
    Resolved,
    Closed,
}

impl std::str::FromStr for Phase {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "new" => Self::New,
            "working" => Self::Working,
            "waiting" => Self::Waiting,
            "resolved" => Self::Resolved,
            "closed" => Self::Closed,
            other => return Err(format!("{other:?} is none of new, working, waiting, resolved, closed")),
        })
    }
}

/// Where a ticket stands while its rows are read.
pub(super) struct Course {
    technician: StaffId,
    channel: Channel,
    responded: bool,
    paused: bool,
    resolved: bool,
    closed: bool,
}

impl Course {
    pub(super) fn new(technician: StaffId, channel: Channel) -> Self {
        Self { technician, channel, responded: false, paused: false, resolved: false, closed: false }
    }

    /// What a row in this phase adds, in order.
    pub(super) fn enter(&mut self, phase: Phase, state: &str) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.closed {
            return actions;
        }
        if phase != Phase::New && !self.responded {
            self.responded = true;
            actions.push(Action::Respond(RespondToCustomer {
                channel: self.channel,
                answer: None,
                resolution_limit: None,
            }));
        }
        let resolving = matches!(phase, Phase::Resolved | Phase::Closed);
        if self.resolved && !resolving {
            self.resolved = false;
            actions.extend(line(&format!("→ {state}")).map(|reason| Action::Reopen(ReopenTicket { reason })));
        }
        if self.paused && phase != Phase::Waiting {
            self.paused = false;
            actions.push(Action::Resume(ResumeTicket {}));
        }
        if phase == Phase::Waiting && !self.paused {
            self.paused = true;
            let reason = PauseReason::WaitingForCustomer;
            actions.push(Action::Pause(PauseTicket { reason, note: line(state) }));
        }
        if resolving && !self.resolved {
            self.resolved = true;
            actions.extend(self.visit(state));
        }
        if phase == Phase::Closed {
            self.closed = true;
            actions.push(Action::Close(CloseTicket { note: None }));
        }
        actions
    }

    fn visit(&self, state: &str) -> Vec<Action> {
        let dispatch = DispatchTechnician { technician: self.technician.clone(), visit: None };
        let remedy = Note::new(state).map(|remedy| Action::Fix(FixOnSite { remedy, customer_signed: false }));
        let visit = [Action::Dispatch(dispatch), Action::Arrive(ArriveAtCustomer {})];
        visit.into_iter().chain(remedy).collect()
    }
}

fn line(text: &str) -> Option<Line> {
    Line::new(text).ok()
}
