//! A technician's visits: one stream per person, so that no two visits overlap (R11).

use std::collections::BTreeMap;

use crate::aggregate::{Aggregate, Class, Context, Happened};
use crate::ids::{BranchId, TicketId};
use crate::rejection::Rejection;
use crate::ticket::VisitWindow;

/// What can be asked of a technician's schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say it")]
pub enum ScheduleCommand {
    /// Keep this time free for a ticket, in place of what was kept for it before.
    ReserveVisit { ticket: TicketId, branch: BranchId, visit: VisitWindow },
    /// The ticket needs the time no more.
    ReleaseVisit { ticket: TicketId, branch: BranchId },
}

/// What happened to a technician's schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say it")]
pub enum ScheduleEvent {
    /// The time is kept for a ticket.
    VisitReserved { ticket: TicketId, branch: BranchId, visit: VisitWindow },
    /// The time is free again.
    VisitReleased { ticket: TicketId, branch: BranchId },
}

/// The visits that a technician has to make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    visits: BTreeMap<TicketId, VisitWindow>,
}

impl Aggregate for Schedule {
    type Command = ScheduleCommand;
    type Event = ScheduleEvent;
    const KIND: &'static str = "schedule";

    fn decide(&self, command: &ScheduleCommand, _: &Context<'_>) -> Result<Vec<ScheduleEvent>, Rejection> {
        match command.clone() {
            ScheduleCommand::ReserveVisit { ticket, branch, visit } => {
                visit.check()?;
                if self.visits.get(&ticket) == Some(&visit) {
                    return Ok(Vec::new());
                }
                let busy =
                    self.visits.iter().find(|(other, kept)| **other != ticket && kept.overlaps(&visit));
                match busy {
                    Some((other, kept)) => {
                        Err(Rejection::VisitOverlaps { ticket: *other, from: kept.from, until: kept.until })
                    }
                    None => Ok(vec![ScheduleEvent::VisitReserved { ticket, branch, visit }]),
                }
            }
            ScheduleCommand::ReleaseVisit { ticket, branch } => match self.visits.get(&ticket) {
                Some(_) => Ok(vec![ScheduleEvent::VisitReleased { ticket, branch }]),
                None => Ok(Vec::new()),
            },
        }
    }

    fn evolve(&mut self, event: &ScheduleEvent, _: Happened) {
        match event {
            ScheduleEvent::VisitReserved { ticket, visit, .. } => {
                self.visits.insert(*ticket, *visit);
            }
            ScheduleEvent::VisitReleased { ticket, .. } => {
                self.visits.remove(ticket);
            }
        }
    }

    fn branch(&self, events: &[ScheduleEvent]) -> Option<BranchId> {
        events.first().map(|event| match event {
            ScheduleEvent::VisitReserved { branch, .. } | ScheduleEvent::VisitReleased { branch, .. } => {
                branch.clone()
            }
        })
    }

    fn class(_: &[ScheduleEvent]) -> Class {
        Class::Case
    }
}
