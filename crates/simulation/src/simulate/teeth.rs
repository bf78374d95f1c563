//! The judge has teeth: bugs that are planted are found, each within 200 seeds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bytes::Bytes;
use cuiban_domain::ids::{BranchId, CommandId, TicketId};
use cuiban_domain::ticket::TicketEvent as E;
use cuiban_domain::{Event, Instant};
use cuiban_event_log::{Append, RecordedCommit};
use cuiban_event_schema::{Commit, Envelope};
use cuiban_notifier::{DeliveryConfig, Message};
use cuiban_projector::WriteFault;
use uuid::Uuid;

use super::script::ACTS;
use super::seams::Seams;
use super::shrink::shrink_with;
use super::{Fault, Options, simulate_with};

const SEEDS_MAX: u64 = 200;

/// The first seed whose judge says this of the bug. That the hash chain is broken does not count: a plant that changes
/// what is appended, behind the handler's back, breaks it by being planted.
fn finds(plant: impl Fn() -> Arc<dyn Seams>, what: &str) -> u64 {
    let says = |seed: &u64| {
        let violations = simulate_with(&Options::of(*seed), plant()).unwrap().violations;
        violations.iter().any(|violation| violation.contains(what))
    };
    let found = (0..SEEDS_MAX).find(says);
    found.unwrap_or_else(|| panic!("nothing of {what:?} within {SEEDS_MAX} seeds"))
}

/// A commit with other events, on its way into the log.
fn changed(append: Append, change: impl Fn(&mut Vec<Event>)) -> Append {
    let mut commit = decode(&append.payload);
    change(&mut commit.events);
    if commit.events.is_empty() {
        return append;
    }
    Append { payload: encoded(&commit.envelope, &commit.events), ..append }
}

fn encoded(envelope: &Envelope, events: &[Event]) -> Bytes {
    Bytes::from(cuiban_event_schema::encode(envelope, events).unwrap())
}

fn decode(payload: &[u8]) -> Commit {
    cuiban_event_schema::decode(payload).unwrap()
}

/// A plant: what it is, and the seams that it pulls at.
macro_rules! plant {
    ($name:ident $body:tt) => {
        #[derive(Debug)]
        struct $name;
        impl Seams for $name $body
    };
}

plant!(NoExpectedVersion {
    fn checks_version(&self) -> bool {
        false
    }
});

#[test]
fn a_log_without_expected_versions_is_found() {
    // Revisions come twice, and the hash chain breaks.
    finds(|| Arc::new(NoExpectedVersion), "revision");
}

plant!(CursorOfItsOwn {
    fn dies_after_write(&self) -> WriteFault {
        WriteFault::CursorLeftBehind
    }
});

#[test]
fn a_cursor_in_a_batch_of_its_own_is_found() {
    finds(|| Arc::new(CursorOfItsOwn), "are not what a fold from zero gives");
}

plant!(BelievesItsClock {
    fn clock_ahead_max_ms(&self) -> Option<u64> {
        None
    }
});

#[test]
fn a_wall_clock_without_the_logs_bound_is_found() {
    finds(|| Arc::new(BelievesItsClock), "was issued at");
}

plant!(BelievesAClockBehind {
    fn log_time(&self, _: Instant, others: &[Instant], own_clock: Instant) -> Instant {
        others[0].min(own_clock)
    }
});

#[test]
fn a_clock_behind_that_is_believed_is_found_by_its_records_and_by_its_late_notices() {
    finds(|| Arc::new(BelievesAClockBehind), "recorded as of");
    finds(|| Arc::new(BelievesAClockBehind), "was late without a reason");
}

plant!(BelievesItsLeader {
    fn log_time(&self, leader: Instant, _: &[Instant], _: Instant) -> Instant {
        leader
    }
});

#[test]
fn a_leader_with_a_fast_clock_that_is_believed_is_found() {
    finds(|| Arc::new(BelievesItsLeader), "was issued at");
}

/// The broker's window has passed: nobody knows the command again.
#[derive(Debug, Default)]
struct WindowAlone(AtomicU32);
impl Seams for WindowAlone {
    fn read(&self, commits: Vec<RecordedCommit>) -> Vec<RecordedCommit> {
        let forget = |recorded: RecordedCommit| {
            let Commit { mut envelope, events } = decode(&recorded.payload);
            envelope.commit_id = CommandId(Uuid::from_u128(self.0.fetch_add(1, Ordering::Relaxed).into()));
            RecordedCommit { payload: encoded(&envelope, &events), ..recorded }
        };
        commits.into_iter().map(forget).collect()
    }
}

#[test]
fn dedupe_by_the_brokers_window_alone_is_found() {
    finds(|| Arc::<WindowAlone>::default(), "is recorded at");
}

plant!(PauseStopsNothing {
    fn append(&self, append: Append) -> Append {
        changed(append, |events| {
            events.retain(|event| !matches!(event, Event::Ticket(E::ClockPaused { .. })));
        })
    }
});

#[test]
fn a_pause_that_does_not_stop_the_clock_is_found() {
    finds(|| Arc::new(PauseStopsNothing), "runs on");
}

plant!(DueRecomputed {
    fn read(&self, commits: Vec<RecordedCommit>) -> Vec<RecordedCommit> {
        let recompute = |recorded: RecordedCommit| {
            let Commit { envelope, mut events } = decode(&recorded.payload);
            for event in &mut events {
                if let Event::Ticket(E::ClockStarted { due_at, .. }) = event {
                    *due_at += chrono::TimeDelta::minutes(30);
                }
            }
            RecordedCommit { payload: encoded(&envelope, &events), ..recorded }
        };
        commits.into_iter().map(recompute).collect()
    }
});

#[test]
fn a_due_instant_that_is_recomputed_in_replay_is_found() {
    finds(|| Arc::new(DueRecomputed), "breaks while it is Running");
}

plant!(RungByDay {
    fn append(&self, append: Append) -> Append {
        changed(append, |events| {
            for event in events {
                if let Event::Ticket(E::ExpediteNoticeIssued { notice, due_at, .. }) = event {
                    // Counted by the day of the month, not by what was issued.
                    notice.repetition = due_at.timestamp().rem_euclid(86_400 * 2) as u32 / 86_400;
                }
            }
        })
    }
});

#[test]
fn a_rung_that_is_counted_by_the_day_is_found() {
    finds(|| Arc::new(RungByDay), "is urged as");
}

plant!(AlertBeforeRecord {
    fn push_first(&self, append: &Append) -> Option<Message> {
        let commit = decode(&append.payload);
        let ticket = commit.envelope.stream_id.parse::<TicketId>().ok()?;
        let notice = commit.events.iter().find_map(|event| match event {
            Event::Ticket(E::ExpediteNoticeIssued { notice, .. }) => Some(*notice),
            _ => None,
        })?;
        let id = notice.id(ticket).0;
        let (branch, texts) = (BranchId::new("B0").ok()?, String::new());
        let (text_zh, text_en, json) = (texts.clone(), texts, Bytes::new());
        let (topic, to_company, maybe_twice, alerts) = ("breach", false, false, vec![id]);
        let id = cuiban_deliveries::MessageId::of(id);
        let asked_at = None;
        Some(Message { id, branch, to_company, topic, maybe_twice, asked_at, text_zh, text_en, json, alerts })
    }
});

#[test]
fn an_alert_before_its_record_is_found() {
    // The notice is recorded in the end, under the same id: what shows is a push that the record of deliveries lacks.
    finds(|| Arc::new(AlertBeforeRecord), " times in ");
}

plant!(DeafToResuming {
    fn hear(&self, recorded: RecordedCommit) -> Option<RecordedCommit> {
        let resumed = |event: &Event| matches!(event, Event::Ticket(E::ClockResumed { .. }));
        (!decode(&recorded.payload).events.iter().any(resumed)).then_some(recorded)
    }
});

#[test]
fn a_process_that_misses_commits_is_found() {
    finds(|| Arc::new(DeafToResuming), "are not what a fold from zero gives");
}

/// Acknowledges one append in a hundred without storing it.
#[derive(Debug, Default)]
struct Forgetful(AtomicU32);
impl Seams for Forgetful {
    fn stores(&self) -> bool {
        !self.0.fetch_add(1, Ordering::Relaxed).is_multiple_of(100)
    }
}

#[test]
fn an_acknowledgement_of_what_is_not_stored_is_found() {
    finds(|| Arc::<Forgetful>::default(), "acknowledged");
}

plant!(LimitOfAnother {
    fn append(&self, append: Append) -> Append {
        changed(append, |events| {
            for event in events {
                if let Event::Ticket(E::ClockStarted { due_at, .. }) = event {
                    *due_at += chrono::TimeDelta::microseconds(1);
                }
            }
        })
    }
});

#[test]
fn a_due_instant_that_is_off_by_a_microsecond_is_found() {
    finds(|| Arc::new(LimitOfAnother), "computed again");
}

plant!(RestoreUnseen {
    fn shows_that_it_was_restored(&self) -> bool {
        false
    }
});

#[test]
fn a_restored_log_that_nobody_notices_is_found() {
    finds(|| Arc::new(RestoreUnseen), "are not what a fold from zero gives");
}

/// Hears nothing of anybody any more once it has heard what it cannot read.
#[derive(Debug, Default)]
struct WaitsForTheUnreadable(AtomicBool);
impl Seams for WaitsForTheUnreadable {
    fn hear(&self, recorded: RecordedCommit) -> Option<RecordedCommit> {
        if cuiban_event_schema::decode(&recorded.payload).is_err() {
            self.0.store(true, Ordering::Relaxed);
        }
        (!self.0.load(Ordering::Relaxed)).then_some(recorded)
    }
}

#[test]
fn who_waits_for_what_cannot_be_read_is_found() {
    finds(|| Arc::<WaitsForTheUnreadable>::default(), "was never urged");
}

plant!(AcknowledgesWhatever {
    fn refuses_under_other_settings(&self) -> bool {
        false
    }
});

#[test]
fn an_acknowledgement_under_other_settings_is_found() {
    finds(|| Arc::new(AcknowledgesWhatever), "acknowledged");
}

plant!(SaysSomebodyWatches {
    fn unurged_said(&self, _: usize) -> usize {
        0
    }
});

#[test]
fn an_office_that_believes_somebody_watches_is_found() {
    finds(|| Arc::new(SaysSomebodyWatches), "says that nobody urges 0");
}

plant!(RecordsOverEachOther {
    fn checks_record_version(&self) -> bool {
        false
    }
});

#[test]
fn two_notifiers_that_record_over_each_other_are_found() {
    finds(|| Arc::new(RecordsOverEachOther), "and did not say so");
}

plant!(GivesUpSoon {
    fn delivery(&self) -> DeliveryConfig {
        DeliveryConfig { give_up_after_hours: 1, ..DeliveryConfig::default() }
    }
});

#[test]
fn an_alert_that_is_given_up_while_its_receiver_is_away_is_found() {
    finds(|| Arc::new(GivesUpSoon), "was given up too soon");
    finds(|| Arc::new(GivesUpSoon), "was made up for at None");
}

#[test]
fn a_failing_seed_is_made_shorter() {
    let plant = || -> Arc<dyn Seams> { Arc::new(BelievesItsClock) };
    let seed = finds(plant, "was issued at");
    let (shorter, _) = shrink_with(&Options::of(seed), &plant).unwrap();
    // A call, some that go before it, and a clock that is set, are enough.
    assert!(shorter.acts.as_ref().is_some_and(|acts| acts.len() <= ACTS / 4), "{shorter:?}");
    assert!(shorter.without.len() >= Fault::all().count() / 2, "{shorter:?}");
    assert!(!simulate_with(&shorter, plant()).unwrap().violations.is_empty());
    assert!(shorter.command().starts_with(&format!("cuiban simulate --from {seed} --seeds 1 --without ")));
}
