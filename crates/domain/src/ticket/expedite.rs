//! What the watchdog asks for: 催办 at the instant a limit is broken (R60), due instants that moved (R36).

use crate::aggregate::Context;
use crate::rejection::Rejection;
use crate::sla::{ClockState, Notice};
use crate::ticket::clocks::ClockChange;
use crate::ticket::{DeadlineReason, Ticket, TicketEvent};

/// Issue one expedite notice (催办单), if it is due and was not issued (R61).
///
/// Which one that is, the clock says: [`Clock::next_notice`](crate::sla::Clock::next_notice).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssueExpediteNotice {
    /// Which one.
    pub notice: Notice,
}

/// Compute the due instants of running and paused clocks again (R36).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoveDeadlines {
    /// What changed.
    pub reason: DeadlineReason,
}

impl Ticket {
    pub(super) fn issue_expedite_notice(
        &self,
        command: &IssueExpediteNotice,
        context: &Context<'_>,
    ) -> Result<Vec<TicketEvent>, Rejection> {
        let case = self.case()?;
        let Notice { clock: kind, cycle, .. } = command.notice;
        let clock = self
            .clocks
            .iter()
            .find(|clock| clock.kind == kind && clock.cycle == cycle)
            .ok_or(Rejection::ClockNotFound { clock: kind, cycle })?;
        if clock.notices.contains(&command.notice) {
            return Ok(Vec::new());
        }
        match clock.state {
            ClockState::Running { due_at }
                if context.now > due_at && command.notice == clock.next_notice() =>
            {
                let branch = context.organisation.branch(&case.branch)?;
                let mut change = ClockChange::of(self, context, &branch);
                change.breach(clock, due_at);
                change.into_events()
            }
            ClockState::Running { due_at } => {
                let due_at = Some(due_at).filter(|due_at| context.now <= *due_at);
                Err(Rejection::NotOverdue { clock: kind, due_at })
            }
            _ => Err(Rejection::NotOverdue { clock: kind, due_at: None }),
        }
    }

    pub(super) fn move_deadlines(
        &self,
        command: &MoveDeadlines,
        context: &Context<'_>,
    ) -> Result<Vec<TicketEvent>, Rejection> {
        let case = self.open_case()?;
        let branch = context.organisation.branch(&case.branch)?;
        let listed = case.district.as_ref().and_then(|district| branch.area_of(None, Some(district)).ok());
        let area_changed =
            listed.filter(|area| *area != case.area).map(|area| TicketEvent::AreaChanged { area });
        let after = self.after(&area_changed, context);
        let mut change = ClockChange::of(&after, context, &branch);
        change.retime(command.reason)?;
        Ok(area_changed.into_iter().chain(change.into_events()?).collect())
    }
}
