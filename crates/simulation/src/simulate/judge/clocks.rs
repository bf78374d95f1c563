//! One ticket's clocks, followed by what the log says happened, with each due instant computed again.

use std::collections::BTreeMap;
use std::time::Duration;

use cuiban_domain::ids::BranchId;
use cuiban_domain::sla::{ClockKind, Limit, Measure, Notice, Rung};
use cuiban_domain::ticket::{ClockBasis, TicketEvent};
use cuiban_domain::{Happened, Instant};

use super::rules::{BranchRules, Facts};

type Branches = BTreeMap<BranchId, BranchRules>;

/// A ticket as far as its clocks are concerned.
#[derive(Debug, Default)]
pub(super) struct TicketClocks {
    case: Option<Case>,
    paused_since: Option<Instant>,
    clocks: BTreeMap<(ClockKind, u32), Clock>,
    /// The clocks that broke in this commit and were not urged yet.
    broke: Vec<(ClockKind, u32)>,
}

#[derive(Debug)]
struct Case {
    branch: BranchId,
    facts: Facts,
    /// When the cycle began: the call, or the reopening (R39).
    cycle_began_at: Instant,
    /// When what was recorded last took place.
    occurred_at: Instant,
}

#[derive(Debug)]
struct Clock {
    limit: Limit,
    started_at: Instant,
    running_since: Instant,
    consumed: Duration,
    standing: Standing,
    /// When that was recorded.
    told_at: Instant,
    /// How many of its breaches turned out to be none (R61).
    episode: u32,
    /// How many notices it has had in this episode: the next one's repetition.
    urged: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Running(Instant),
    Paused,
    Broken(Instant),
    Ended,
}

/// What is wrong, each in a sentence.
type Faults = Vec<String>;

impl TicketClocks {
    pub(super) fn take(&mut self, event: &TicketEvent, happened: &Happened, branches: &Branches) -> Faults {
        use TicketEvent as E;
        self.case_mut(|case| case.occurred_at = happened.occurred_at);
        match event {
            E::TicketRegistered { kind, urgency, area, branch, reported_at, .. } => {
                let facts = Facts { kind: *kind, urgency: *urgency, area: *area };
                let (branch, cycle_began_at, occurred_at) =
                    (branch.clone(), *reported_at, happened.occurred_at);
                self.case = Some(Case { branch, facts, cycle_began_at, occurred_at });
            }
            E::TicketReclassified { kind, urgency, area, .. } => {
                self.case_mut(|case| case.facts = Facts { kind: *kind, urgency: *urgency, area: *area });
            }
            E::AreaChanged { area } => self.case_mut(|case| case.facts.area = *area),
            E::TicketTransferred { to, area, .. } => self.case_mut(|case| {
                (case.branch, case.facts.area) = (to.clone(), *area);
            }),
            E::TicketReopened { .. } => self.case_mut(|case| case.cycle_began_at = happened.occurred_at),
            E::TicketPaused { .. } => self.paused_since = Some(happened.occurred_at),
            E::TicketResumed
            | E::TicketClosed { .. }
            | E::TicketCancelled { .. }
            | E::TicketMerged { .. } => self.paused_since = None,
            _ => return self.take_clock(event, happened, branches),
        }
        Vec::new()
    }

    fn case_mut(&mut self, change: impl FnOnce(&mut Case)) {
        self.case.as_mut().map(change);
    }

    fn take_clock(&mut self, event: &TicketEvent, happened: &Happened, branches: &Branches) -> Faults {
        use TicketEvent as E;
        match event {
            E::ClockStarted { clock, cycle, limit, started_at, due_at, basis } => {
                let new = Clock {
                    limit: *limit,
                    started_at: *started_at,
                    running_since: *started_at,
                    consumed: Duration::ZERO,
                    standing: Standing::Running(*due_at),
                    told_at: happened.recorded_at,
                    // A cycle that was cancelled and began again goes on counting.
                    episode: self.clocks.get(&(*clock, *cycle)).map_or(0, |before| before.episode),
                    urged: self.clocks.get(&(*clock, *cycle)).map_or(0, |before| before.urged),
                };
                let faults = self.check_started((*clock, *cycle), &new, *due_at, basis, branches);
                self.clocks.insert((*clock, *cycle), new);
                faults
            }
            E::ClockResumed { clock, cycle, resumed_at, due_at, basis } => {
                let fault = self.change((*clock, *cycle), "runs on", |clock| {
                    clock.running_since = *resumed_at;
                    let was_paused = clock.standing == Standing::Paused;
                    (clock.standing, clock.told_at) = (Standing::Running(*due_at), happened.recorded_at);
                    was_paused
                });
                [fault, self.check_due((*clock, *cycle), basis, branches)].concat()
            }
            E::DeadlineMoved { clock, cycle, limit, from, to, basis, .. } => {
                let fault = self.change((*clock, *cycle), "moves", |clock| {
                    clock.limit = *limit;
                    let expected = from.map_or(Standing::Paused, Standing::Running);
                    let is_as_expected = clock.standing == expected;
                    clock.standing = to.map_or(Standing::Paused, Standing::Running);
                    clock.told_at = happened.recorded_at;
                    is_as_expected
                });
                let policy = self.check_limit((*clock, *cycle), &basis.policy_version, branches);
                [fault, policy, self.check_due((*clock, *cycle), basis, branches)].concat()
            }
            E::ClockPaused { clock, cycle, paused_at, consumed } => {
                self.pause((*clock, *cycle), *paused_at, *consumed, branches)
            }
            _ => self.end_clock(event, happened),
        }
    }

    fn end_clock(&mut self, event: &TicketEvent, happened: &Happened) -> Faults {
        use TicketEvent as E;
        match event {
            E::ClockMet { clock, cycle, met_at, .. } => self.change((*clock, *cycle), "is met", |clock| {
                let in_time = match clock.standing {
                    Standing::Running(due_at) | Standing::Broken(due_at) => *met_at <= due_at,
                    Standing::Paused => true,
                    Standing::Ended => false,
                };
                clock.standing = Standing::Ended;
                in_time
            }),
            E::ClockCancelled { clock, cycle, .. } => {
                self.change((*clock, *cycle), "is cancelled", |clock| {
                    std::mem::replace(&mut clock.standing, Standing::Ended) != Standing::Ended
                })
            }
            E::SlaBreached { clock, cycle, due_at } => {
                self.broke.push((*clock, *cycle));
                self.change((*clock, *cycle), "breaks", |clock| {
                    let before = std::mem::replace(&mut clock.standing, Standing::Broken(*due_at));
                    before == Standing::Running(*due_at) && *due_at < happened.recorded_at
                })
            }
            E::BreachEnded { clock, cycle, ended_at } => {
                self.change((*clock, *cycle), "is made good", |clock| {
                    let before = std::mem::replace(&mut clock.standing, Standing::Ended);
                    matches!(before, Standing::Broken(due_at) if *ended_at > due_at)
                })
            }
            E::ExpediteNoticeIssued { notice, .. } => self.urge(notice),
            E::ExpediteNoticeSuperseded { notice } => self.supersede(notice),
            _ => Vec::new(),
        }
    }

    /// A notice follows its breach, under the identity that is next (R61).
    fn urge(&mut self, notice: &Notice) -> Faults {
        let urged = (notice.clock, notice.cycle);
        let Some(index) = self.broke.iter().position(|broke| *broke == urged) else {
            return vec![format!("{notice:?} urges a limit that did not break")];
        };
        self.broke.remove(index);
        self.change(urged, &format!("is urged as {notice:?}"), |clock| {
            let next = (clock.episode, Rung::Breach, clock.urged);
            clock.urged += 1;
            (notice.episode, notice.rung, notice.repetition) == next
        })
    }

    /// What turned out to be no breach ends its episode.
    fn supersede(&mut self, notice: &Notice) -> Faults {
        let what = format!("is superseded as {notice:?}");
        self.change((notice.clock, notice.cycle), &what, |clock| {
            let stands = notice.episode == clock.episode && notice.repetition < clock.urged;
            (clock.episode, clock.urged) = (clock.episode + 1, 0);
            stands
        })
    }

    /// Changes a clock; wrong if there is none, or if it says so.
    fn change(
        &mut self,
        id: (ClockKind, u32),
        what: &str,
        change: impl FnOnce(&mut Clock) -> bool,
    ) -> Faults {
        let Some(clock) = self.clocks.get_mut(&id) else {
            return vec![format!("{id:?} {what}, and never began")];
        };
        let before = clock.standing;
        match change(clock) {
            true => Vec::new(),
            false => vec![format!("{id:?} {what} while it is {before:?}")],
        }
    }

    fn check_started(
        &self,
        id: (ClockKind, u32),
        clock: &Clock,
        due_at: Instant,
        basis: &ClockBasis,
        branches: &Branches,
    ) -> Faults {
        let Some((case, rules)) = self.rules(branches) else { return vec![format!("{id:?} has no case")] };
        let mut faults = Vec::new();
        // Owed from the call or the reopening on, or since it was first owed, or from what was just done on.
        let first = self.clocks.get(&id).map(|clock| clock.started_at);
        let may_begin = [Some(case.cycle_began_at), Some(case.occurred_at), first];
        if !may_begin.contains(&Some(clock.started_at)) {
            faults.push(format!("{id:?} began at {}, when nothing happened", clock.started_at));
        }
        if id.0 != ClockKind::Resolution {
            let limit = rules.limit(&basis.policy_version, id.0, case.facts);
            if limit != Some(clock.limit) {
                faults.push(format!("{id:?} has {:?}, the policy says {limit:?}", clock.limit));
            }
        }
        let calendar = rules.calendar(&basis.calendar_version);
        let span = clock.limit.span.duration();
        let due = calendar.and_then(|calendar| calendar.due(clock.limit, clock.running_since, span));
        if due != Some(due_at) {
            faults.push(format!("{id:?} is due at {due_at}, computed again {due:?}"));
        }
        faults
    }

    fn rules<'a>(&'a self, branches: &'a Branches) -> Option<(&'a Case, &'a BranchRules)> {
        let case = self.case.as_ref()?;
        Some((case, branches.get(&case.branch)?))
    }

    fn check_limit(&self, id: (ClockKind, u32), version: &str, branches: &Branches) -> Faults {
        let (Some((case, rules)), Some(clock)) = (self.rules(branches), self.clocks.get(&id)) else {
            return Vec::new();
        };
        let limit = rules.limit(version, id.0, case.facts).unwrap_or(clock.limit);
        match id.0 == ClockKind::Resolution || limit == clock.limit {
            true => Vec::new(),
            false => vec![format!("{id:?} has {:?}, the policy says {limit:?}", clock.limit)],
        }
    }

    /// Whether a running clock is due when the calendar of its basis says.
    fn check_due(&self, id: (ClockKind, u32), basis: &ClockBasis, branches: &Branches) -> Faults {
        let (Some((_, rules)), Some(clock)) = (self.rules(branches), self.clocks.get(&id)) else {
            return vec![format!("{id:?} has no case")];
        };
        let Standing::Running(due_at) = clock.standing else { return Vec::new() };
        let left = clock.limit.span.duration().saturating_sub(clock.consumed);
        let calendar = rules.calendar(&basis.calendar_version);
        let due = calendar.and_then(|calendar| calendar.due(clock.limit, clock.running_since, left));
        match due == Some(due_at) {
            true => Vec::new(),
            false => vec![format!("{id:?} is due at {due_at}, computed again {due:?}")],
        }
    }

    /// What is used up is computed again by the calendar that held then; which one that was, the event does not say.
    fn pause(
        &mut self,
        id: (ClockKind, u32),
        at: Instant,
        consumed: Duration,
        branches: &Branches,
    ) -> Faults {
        let Some((_, rules)) = self.rules(branches) else { return vec![format!("{id:?} has no case")] };
        let Some(clock) = self.clocks.get(&id) else {
            return vec![format!("{id:?} stands still, and never began")];
        };
        let said = rules.calendars().any(|calendar| {
            clock.consumed + calendar.consumed(clock.limit, clock.running_since, at) == consumed
        });
        let mut faults = Vec::new();
        if !said {
            faults.push(format!("{id:?} has used up {consumed:?}, which no calendar says"));
        }
        if matches!(clock.standing, Standing::Paused | Standing::Ended) {
            faults.push(format!("{id:?} stands still while it is {:?}", clock.standing));
        }
        if let Some(clock) = self.clocks.get_mut(&id) {
            (clock.standing, clock.consumed) = (Standing::Paused, consumed);
        }
        faults
    }

    /// What holds after each commit.
    pub(super) fn after_commit(&mut self) -> Faults {
        let unurged = std::mem::take(&mut self.broke);
        let unurged = unurged.into_iter().map(|id| format!("{id:?} broke, and nobody was urged"));
        let since = self.paused_since;
        let runs_on = self.clocks.iter().filter(|(_, clock)| clock.limit.measure == Measure::Working);
        let runs_on = runs_on.filter_map(|(id, clock)| match clock.standing {
            Standing::Running(due_at) if since.is_some_and(|since| since <= due_at) => {
                Some(format!("{id:?} runs on, due at {due_at}, while the work stands still since {since:?}"))
            }
            _ => None,
        });
        unurged.chain(runs_on).collect()
    }

    /// How many clocks were known before an instant to have been due before it.
    pub(super) fn due_before(&self, at: Instant) -> usize {
        let is_due = |clock: &&Clock| {
            clock.told_at < at && matches!(clock.standing, Standing::Running(due_at) if due_at < at)
        };
        self.clocks.values().filter(is_due).count()
    }

    /// What holds when all is quiet: nothing is overdue, and all that is open obeys the rules as they are now.
    pub(super) fn at_rest(&self, branches: &Branches, by: Instant) -> Faults {
        let Some((case, rules)) = self.rules(branches) else { return Vec::new() };
        let Some(calendar) = rules.calendar_now() else { return vec!["no calendar".to_owned()] };
        let mut faults = Vec::new();
        for (id, clock) in &self.clocks {
            let Standing::Running(due_at) = clock.standing else { continue };
            if due_at < by {
                faults.push(format!("{id:?}, due at {due_at}, was never urged"));
            }
            let limit = match id.0 {
                ClockKind::Resolution => clock.limit,
                kind => rules.limit_now(kind, case.facts).unwrap_or(clock.limit),
            };
            let left = limit.span.duration().saturating_sub(clock.consumed);
            let due = calendar.due(limit, clock.running_since, left);
            if due != Some(due_at) && due.is_none_or(|due| due >= by) {
                faults.push(format!("{id:?} is due at {due_at}, by the rules of now {due:?}"));
            }
        }
        faults
    }
}
