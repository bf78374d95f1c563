//! What one channel still has to push, and what comes next. Values only: no IO, no clock.
//!
//! ```text
//!  express   emergencies                     first, at any hour
//!  retries   digests that were begun         as they were, under the same id
//!  queue     everything else                 by time, then in the order of the log
//!            └ late notices leave it together, by branch: as a digest, or one after another (R64)
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cuiban_deliveries::MessageId;
use cuiban_domain::Instant;
use cuiban_domain::ids::BranchId;

use crate::alert::Severity;
use crate::outbox::Place;

/// An alert that waits, as far as its turn depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) message: MessageId,
    pub(crate) branch: BranchId,
    pub(crate) severity: Severity,
    pub(crate) late: bool,
    pub(crate) issued_at: Instant,
    /// How many attempts were made.
    pub(crate) attempts: u32,
    /// Not before this instant, by the alert's own schedule.
    pub(crate) due_at: Instant,
    /// Not before this instant, for whatever reason; never before `due_at`.
    pub(crate) next_at: Instant,
}

/// Alerts that go out in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parcel {
    pub(crate) alerts: Vec<(Place, Waiting)>,
    pub(crate) form: Form,
}

/// How they go out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One message each, one after another.
    InOrder,
    /// One message for all. Once it was begun it has an id, and these are its alerts.
    Digest(Option<MessageId>),
}

/// The rules of the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) digest_from: usize,
    pub(crate) digest_alerts_max: usize,
    pub(crate) late_gather: Duration,
    pub(crate) late_gather_max: Duration,
}

/// Pending alerts of one channel.
#[derive(Debug)]
pub(crate) struct Backlog {
    rules: Rules,
    waiting: BTreeMap<Place, Waiting>,
    express: BTreeSet<(Instant, Place)>,
    queue: BTreeSet<(Instant, Place)>,
    late: BTreeMap<BranchId, BTreeSet<Place>>,
    retries: BTreeMap<(Instant, Place), Parcel>,
}

/// When an alert of this branch and severity may go out, if not now.
pub(crate) type HeldUntil<'a> = &'a dyn Fn(&BranchId, Severity) -> Option<Instant>;

impl Backlog {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            waiting: BTreeMap::new(),
            express: BTreeSet::new(),
            queue: BTreeSet::new(),
            late: BTreeMap::new(),
            retries: BTreeMap::new(),
        }
    }

    /// How many alerts wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.retries.values().map(|parcel| parcel.alerts.len()).sum::<usize>()
    }

    /// The alerts that wait.
    pub(crate) fn messages(&self) -> impl Iterator<Item = MessageId> + '_ {
        let retries = self.retries.values().flat_map(|parcel| &parcel.alerts).map(|(_, waiting)| waiting);
        self.waiting.values().chain(retries).map(|waiting| waiting.message)
    }

    /// Takes an alert in, or back.
    pub(crate) fn insert(&mut self, place: Place, waiting: Waiting) {
        self.take(place);
        if waiting.late {
            self.late.entry(waiting.branch.clone()).or_default().insert(place);
        }
        self.queue_of(waiting.severity).insert((waiting.next_at, place));
        self.waiting.insert(place, waiting);
    }

    /// Forgets an alert.
    pub(crate) fn remove(&mut self, place: Place) {
        self.take(place);
    }

    /// Takes in a digest that was begun: it goes out again as it was, at `at`. Its alerts wait for nothing else.
    pub(crate) fn insert_digest(&mut self, at: Instant, parcel: Parcel) {
        if let Form::Digest(Some(message)) = parcel.form {
            self.remove_digest(message);
        }
        for (place, _) in &parcel.alerts {
            self.take(*place);
        }
        if let Some((first, _)) = parcel.alerts.first() {
            self.retries.insert((at, *first), parcel);
        }
    }

    /// Forgets a digest.
    pub(crate) fn remove_digest(&mut self, message: MessageId) {
        self.retries.retain(|_, parcel| parcel.form != Form::Digest(Some(message)));
    }

    /// Lets everything go by its own schedule again that is of this branch; of all branches, if `None`.
    pub(crate) fn wake(&mut self, branch: Option<&BranchId>) {
        let concerned = |waiting: &Waiting| {
            waiting.next_at > waiting.due_at && branch.is_none_or(|branch| *branch == waiting.branch)
        };
        let places: Vec<_> =
            self.waiting.iter().filter(|(_, waiting)| concerned(waiting)).map(|(place, _)| *place).collect();
        for place in places {
            self.reschedule(place, |waiting| waiting.next_at = waiting.due_at);
        }
        let of_branch = |parcel: &Parcel| {
            parcel.alerts.first().is_some_and(|(_, w)| branch.is_none_or(|branch| *branch == w.branch))
        };
        let due_at = |parcel: &Parcel| parcel.alerts.first().map(|(_, waiting)| waiting.due_at);
        for ((at, first), parcel) in std::mem::take(&mut self.retries) {
            let at = if of_branch(&parcel) { due_at(&parcel).unwrap_or(at) } else { at };
            self.retries.insert((at, first), parcel);
        }
    }

    /// Lets everything go at once, in the order of the log: the receiver is back.
    pub(crate) fn release(&mut self) {
        let places: Vec<_> = self.waiting.keys().copied().collect();
        for place in places {
            self.reschedule(place, |waiting| {
                waiting.due_at = waiting.due_at.min(waiting.issued_at);
                waiting.next_at = waiting.due_at;
            });
        }
        for parcel in self.retries.values_mut() {
            for (_, waiting) in &mut parcel.alerts {
                waiting.due_at = waiting.due_at.min(waiting.issued_at);
            }
        }
        self.wake(None);
    }

    /// When the oldest alert that waits was issued.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        let single = self.waiting.values().next().map(|waiting| waiting.issued_at);
        let digests = self.retries.values().filter_map(|parcel| parcel.alerts.first());
        single.into_iter().chain(digests.map(|(_, waiting)| waiting.issued_at)).min()
    }

    /// When there may be something to do, if nothing else happens.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        let heads = [self.express.first(), self.queue.first(), self.retries.keys().next()];
        heads.into_iter().flatten().map(|(at, _)| *at).min()
    }

    /// What goes out next, if anything does at `now`; it is the caller's from then on.
    pub(crate) fn next(&mut self, now: Instant, held_until: HeldUntil<'_>) -> Option<Parcel> {
        // An emergency waits for no quiet hours, but for the branch's lease as everything does.
        while let Some(place) = due(&self.express, now) {
            let waiting = self.waiting.get(&place)?;
            match held_until(&waiting.branch, waiting.severity).filter(|until| *until > now) {
                Some(until) => self.put_off(place, until),
                None => return self.take(place).map(|waiting| Parcel::single(place, waiting)),
            }
        }
        if let Some(parcel) = self.next_retry(now, held_until) {
            return Some(parcel);
        }
        // Each turn either answers or puts one alert off to an instant after `now`.
        while let Some(place) = due(&self.queue, now) {
            let waiting = self.waiting.get(&place)?;
            let put_off =
                held_until(&waiting.branch, waiting.severity).or_else(|| self.gathers_until(waiting));
            match put_off.filter(|until| *until > now) {
                Some(until) => self.put_off(place, until),
                None if waiting.late => return Some(self.late_together(place, now, held_until)),
                None => return self.take(place).map(|waiting| Parcel::single(place, waiting)),
            }
        }
        None
    }

    fn next_retry(&mut self, now: Instant, held_until: HeldUntil<'_>) -> Option<Parcel> {
        while let Some(entry) = self.retries.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, first), parcel) = entry.remove_entry();
            let held = parcel.alerts.iter().filter_map(|(_, w)| held_until(&w.branch, w.severity)).max();
            match held.filter(|until| *until > now) {
                Some(until) => {
                    self.retries.insert((until, first), parcel);
                }
                None => return Some(parcel),
            }
        }
        None
    }

    /// Until when a late notice waits for others of its branch, so that a backfill is one digest.
    fn gathers_until(&self, waiting: &Waiting) -> Option<Instant> {
        if !waiting.late || waiting.attempts > 0 {
            return None;
        }
        let of_branch = self.late.get(&waiting.branch)?;
        let issued_at = |place: &Place| self.waiting.get(place).map(|waiting| waiting.issued_at);
        let newest = of_branch.last().and_then(issued_at)?;
        let oldest = of_branch.first().and_then(issued_at)?;
        Some((newest + self.rules.late_gather).min(oldest + self.rules.late_gather_max))
    }

    /// All late notices of one branch that may go out, in the order of the log.
    fn late_together(&mut self, place: Place, now: Instant, held_until: HeldUntil<'_>) -> Parcel {
        let branch = self.waiting.get(&place).map(|waiting| waiting.branch.clone());
        let of_branch = branch.and_then(|branch| self.late.get(&branch)).into_iter().flatten();
        let goes = |place: &&Place| {
            self.waiting.get(place).is_some_and(|waiting| {
                let its_turn = waiting.attempts == 0 || waiting.due_at <= now;
                its_turn && held_until(&waiting.branch, waiting.severity).is_none_or(|until| until <= now)
            })
        };
        let places: Vec<_> =
            of_branch.filter(goes).take(self.rules.digest_alerts_max.max(1)).copied().collect();
        let form =
            if places.len() >= self.rules.digest_from.max(1) { Form::Digest(None) } else { Form::InOrder };
        let alerts = places.into_iter().filter_map(|place| Some((place, self.take(place)?))).collect();
        Parcel { alerts, form }
    }

    fn take(&mut self, place: Place) -> Option<Waiting> {
        let waiting = self.waiting.remove(&place)?;
        self.queue_of(waiting.severity).remove(&(waiting.next_at, place));
        if let Some(of_branch) = self.late.get_mut(&waiting.branch) {
            of_branch.remove(&place);
            if of_branch.is_empty() {
                self.late.remove(&waiting.branch);
            }
        }
        Some(waiting)
    }

    fn put_off(&mut self, place: Place, until: Instant) {
        self.reschedule(place, |waiting| waiting.next_at = until);
    }

    fn reschedule(&mut self, place: Place, change: impl FnOnce(&mut Waiting)) {
        if let Some(mut waiting) = self.take(place) {
            change(&mut waiting);
            self.insert(place, waiting);
        }
    }

    fn queue_of(&mut self, severity: Severity) -> &mut BTreeSet<(Instant, Place)> {
        match severity {
            Severity::Emergency => &mut self.express,
            Severity::Rung(_) => &mut self.queue,
        }
    }
}

impl Parcel {
    fn single(place: Place, waiting: Waiting) -> Self {
        Self { alerts: vec![(place, waiting)], form: Form::InOrder }
    }
}

fn due(queue: &BTreeSet<(Instant, Place)>, now: Instant) -> Option<Place> {
    queue.first().filter(|(at, _)| *at <= now).map(|(_, place)| *place)
}

#[cfg(test)]
mod tests {
    use cuiban_domain::sla::Rung;

    use super::*;

    const RULES: Rules = Rules {
        digest_from: 3,
        digest_alerts_max: 100,
        late_gather: Duration::from_secs(2),
        late_gather_max: Duration::from_secs(10),
    };

    fn at(seconds: i64) -> Instant {
        chrono::DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn place(n: u64) -> Place {
        Place { position: n, index: 0 }
    }

    fn waiting(branch: &str, issued: i64) -> Waiting {
        Waiting {
            message: MessageId::of(uuid::Uuid::from_u128(1)),
            branch: BranchId::new(branch).unwrap(),
            severity: Severity::Rung(Rung::Breach),
            late: false,
            issued_at: at(issued),
            attempts: 0,
            due_at: at(issued),
            next_at: at(issued),
        }
    }

    fn late(branch: &str, issued: i64) -> Waiting {
        Waiting { late: true, ..waiting(branch, issued) }
    }

    fn places(parcel: &Parcel) -> Vec<u64> {
        parcel.alerts.iter().map(|(place, _)| place.position).collect()
    }

    fn audible(_: &BranchId, _: Severity) -> Option<Instant> {
        None
    }

    #[test]
    fn goes_out_in_the_order_of_the_log_and_emergencies_first() {
        let mut backlog = Backlog::new(RULES);
        backlog.insert(place(2), waiting("B0", 5));
        backlog.insert(place(1), waiting("B1", 5));
        backlog.insert(place(3), Waiting { severity: Severity::Emergency, ..waiting("B0", 5) });
        let mut order = Vec::new();
        while let Some(parcel) = backlog.next(at(5), &audible) {
            order.extend(places(&parcel));
        }
        assert_eq!((order, backlog.len(), backlog.wakes_at()), (vec![3, 1, 2], 0, None));
    }

    #[test]
    fn an_emergency_waits_for_its_branchs_lease_too() {
        let mut backlog = Backlog::new(RULES);
        backlog.insert(place(1), Waiting { severity: Severity::Emergency, ..waiting("B0", 5) });
        let others_lease = |_: &BranchId, _: Severity| Some(at(3_600));
        assert_eq!(backlog.next(at(5), &others_lease), None);
        let branch = BranchId::new("B0").unwrap();
        backlog.wake(Some(&branch));
        assert_eq!(places(&backlog.next(at(5), &audible).unwrap()), [1]);
    }

    #[test]
    fn r64_late_notices_of_one_branch_become_one_digest() {
        let mut backlog = Backlog::new(RULES);
        for n in 1..=4 {
            backlog.insert(place(n), late("B0", 0));
        }
        backlog.insert(place(5), late("B1", 0));
        let digest = backlog.next(at(100), &audible).unwrap();
        assert_eq!((places(&digest), digest.form), (vec![1, 2, 3, 4], Form::Digest(None)));
        let few = backlog.next(at(100), &audible).unwrap();
        assert_eq!((places(&few), few.form), (vec![5], Form::InOrder));
        assert_eq!(backlog.next(at(100), &audible), None);
    }

    #[test]
    fn r64_a_backfill_that_still_comes_in_is_waited_for_but_not_for_ever() {
        let mut backlog = Backlog::new(RULES);
        backlog.insert(place(1), late("B0", 0));
        assert_eq!(backlog.next(at(0), &audible), None);
        assert_eq!(backlog.wakes_at(), Some(at(2)));
        for n in 2..=9 {
            backlog.insert(place(n), late("B0", n.cast_signed()));
            assert_eq!(backlog.next(at(n.cast_signed()), &audible), None, "{n}");
        }
        backlog.insert(place(10), late("B0", 10));
        assert_eq!(places(&backlog.next(at(10), &audible).unwrap()).len(), 10);
    }

    #[test]
    fn a_larger_backfill_is_several_digests_in_order() {
        let mut backlog = Backlog::new(Rules { digest_alerts_max: 4, ..RULES });
        for n in 1..=9 {
            backlog.insert(place(n), late("B0", 0));
        }
        let parcels: Vec<_> = std::iter::from_fn(|| backlog.next(at(100), &audible)).collect();
        assert_eq!(
            parcels.iter().map(places).collect::<Vec<_>>(),
            [vec![1, 2, 3, 4], vec![5, 6, 7, 8], vec![9]]
        );
    }

    #[test]
    fn r64_what_is_held_goes_out_when_the_quiet_hours_end() {
        let mut backlog = Backlog::new(RULES);
        backlog.insert(place(1), waiting("B0", 0));
        backlog
            .insert(place(2), Waiting { severity: Severity::Rung(Rung::BranchManager), ..waiting("B0", 0) });
        let quiet = |_: &BranchId, severity| (severity == Severity::Rung(Rung::Breach)).then_some(at(700));
        assert_eq!(places(&backlog.next(at(1), &quiet).unwrap()), [2]);
        assert_eq!((backlog.next(at(1), &quiet), backlog.wakes_at()), (None, Some(at(700))));
        assert_eq!(places(&backlog.next(at(700), &audible).unwrap()), [1]);
    }

    #[test]
    fn a_digest_that_was_not_taken_goes_out_again_as_it_was() {
        let mut backlog = Backlog::new(RULES);
        for n in 1..=3 {
            backlog.insert(place(n), late("B0", 0));
        }
        let digest = backlog.next(at(100), &audible).unwrap();
        let digest = Parcel { form: Form::Digest(Some(MessageId::of(uuid::Uuid::from_u128(9)))), ..digest };
        backlog.insert(place(4), late("B0", 0));
        // Of an alert that waits by itself meanwhile, the digest is what goes.
        backlog.insert(place(3), late("B0", 0));
        backlog.insert_digest(at(200), digest.clone());
        backlog.insert_digest(at(200), digest.clone());
        assert_eq!(backlog.len(), 4);
        assert_eq!(places(&backlog.next(at(150), &audible).unwrap()), [4]);
        assert_eq!(backlog.next(at(199), &audible), None);
        assert_eq!(backlog.next(at(200), &audible), Some(digest));
    }

    #[test]
    fn a_late_notice_that_waits_for_its_next_attempt_joins_no_digest_before_its_time() {
        let mut backlog = Backlog::new(RULES);
        for n in 1..=3 {
            backlog.insert(place(n), late("B0", 0));
        }
        backlog.insert(place(4), Waiting { attempts: 1, due_at: at(300), next_at: at(300), ..late("B0", 0) });
        assert_eq!(places(&backlog.next(at(100), &audible).unwrap()), [1, 2, 3]);
        assert_eq!(places(&backlog.next(at(300), &audible).unwrap()), [4]);
    }

    #[test]
    fn what_was_put_off_goes_when_it_is_woken_and_keeps_its_own_schedule() {
        let mut backlog = Backlog::new(RULES);
        backlog.insert(place(1), waiting("B0", 5));
        backlog.insert(place(2), waiting("B1", 5));
        backlog
            .insert(place(3), Waiting { attempts: 1, due_at: at(50), next_at: at(50), ..waiting("B0", 5) });
        let nobody = |_: &BranchId, _| Some(at(1_000));
        assert_eq!((backlog.next(at(5), &nobody), backlog.next(at(5), &audible)), (None, None));
        backlog.wake(Some(&BranchId::new("B0").unwrap()));
        assert_eq!(places(&backlog.next(at(5), &audible).unwrap()), [1]);
        assert_eq!((backlog.next(at(5), &audible), backlog.wakes_at()), (None, Some(at(50))));
    }

    #[test]
    fn when_the_receiver_is_back_all_go_in_the_order_of_the_log() {
        let mut backlog = Backlog::new(RULES);
        for n in 1..=3_u64 {
            let due_at = at(500 - n.cast_signed());
            backlog.insert(place(n), Waiting { attempts: 2, due_at, next_at: due_at, ..waiting("B0", 5) });
        }
        assert_eq!(backlog.next(at(100), &audible), None);
        backlog.release();
        let order: Vec<_> =
            std::iter::from_fn(|| backlog.next(at(100), &audible)).flat_map(|p| places(&p)).collect();
        assert_eq!(order, [1, 2, 3]);
    }
}
