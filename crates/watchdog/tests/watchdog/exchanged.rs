//! What the watchdog stands on is taken from it: its folder, its disk, the log itself.

use super::*;

#[tokio::test]
async fn r61_a_folder_that_is_taken_or_none_at_all_stops_no_notice() {
    let office = Office::open().await;
    let ticket = office.call().await;
    std::fs::write(office.dir.path().join("file"), "not a folder").unwrap();
    let holder = office.watch("taken");
    holder.status().wait_for(|status| status.caught_up).await.unwrap();
    holder.stop().await;
    let held = cuiban_projector::Store::open(office.dir.path().join("taken/clocks")).unwrap();
    let also_held = cuiban_projector::Store::open(office.dir.path().join("taken/ownership")).unwrap();
    let config = Config { open_retries_max: 1, retry_delay_ms: 1, ..Config::default() };
    for name in ["file", "taken"] {
        let dir = office.dir.path().join(name);
        let watchdog = Watchdog::start(office.handlers.clone(), office.log.clone(), &dir, config.clone());
        watchdog.status().wait_for(|status| status.caught_up && status.unkept.is_some()).await.unwrap();
        if name == "taken" {
            office.clock.advance_to(dispatch_due(&office) + TimeDelta::microseconds(1));
            assert_eq!(office.until_notices(1).await[0].0, ticket);
            office.obey(ticket, DispatchTechnician { technician: staff("T1"), visit: None }).await;
            office.branch(LeaveStaff { staff: staff("T1"), successor: staff("T2") }.into()).await;
            office
                .until(|commit| has(commit, |event| matches!(event, TicketEvent::TicketReassigned { .. })))
                .await;
        }
        watchdog.stop().await;
    }
    drop((held, also_held));
}

#[tokio::test]
async fn r61_a_folder_that_is_removed_while_the_watchdog_runs_stops_no_notice_and_is_said() {
    let office = Office::open().await;
    let watchdog = office.watch("one");
    watchdog.status().wait_for(|status| status.caught_up).await.unwrap();
    std::fs::remove_dir_all(office.dir.path().join("one")).unwrap();
    let ticket = office.call().await;
    watchdog.status().wait_for(|status| status.unkept.is_some()).await.unwrap();
    office.clock.advance_to(dispatch_due(&office) + TimeDelta::microseconds(1));
    assert_eq!(office.until_notices(1).await[0].0, ticket);
    watchdog.stop().await;
}

/// A clock on which the first sleeper of a kind panics.
#[derive(Debug)]
struct BadOnce(Arc<ManualClock>, AtomicBool);

#[async_trait]
impl Clock for BadOnce {
    fn now(&self) -> Instant {
        self.0.now()
    }

    async fn sleep_until(&self, at: Instant) {
        assert!(self.1.swap(true, Ordering::SeqCst), "the first time it breaks down");
        self.0.sleep_until(at).await;
    }
}

#[tokio::test]
async fn r61_a_loop_that_panics_begins_again() {
    let office = Office::open().await;
    let clock: Arc<dyn Clock> = Arc::new(BadOnce(office.clock.clone(), AtomicBool::new(false)));
    let (ids, actor) = (Arc::new(SeededIds::new(80)), Actor::new("test").unwrap());
    let handlers = Handlers::start(office.log.clone(), clock, ids, actor, Default::default()).await.unwrap();
    let config = Config { retry_delay_ms: 1, ..Config::default() };
    let dir = office.dir.path().join("one");
    let watchdog = Watchdog::start(Arc::new(handlers), office.log.clone(), &dir, config);
    watchdog.status().wait_for(|status| status.caught_up).await.unwrap();
    // It sleeps until the due instant, which it cannot the first time.
    let ticket = office.call().await;
    office.clock.advance_to(dispatch_due(&office) + TimeDelta::microseconds(1));
    assert_eq!(office.until_notices(1).await[0].0, ticket);
    watchdog.stop().await;
}

#[tokio::test]
async fn r61_a_disk_that_refuses_while_the_watchdog_runs_stops_no_notice() {
    let office = Office::open().await;
    let disk = MemoryDisk::default();
    let place = StorePlace::Memory(disk.clone(), "store".to_owned());
    let watchdog = Watchdog::start(office.handlers.clone(), office.log.clone(), place, Config::default());
    watchdog.status().wait_for(|status| status.caught_up).await.unwrap();
    disk.set_faults(Some(Arc::new(|| Some(WriteFault::Refused))));
    let ticket = office.call().await;
    office.obey(ticket, DispatchTechnician { technician: staff("T1"), visit: None }).await;
    watchdog.status().wait_for(|status| status.unkept.is_some()).await.unwrap();
    office.branch(LeaveStaff { staff: staff("T1"), successor: staff("T2") }.into()).await;
    office.until(|commit| has(commit, |event| matches!(event, TicketEvent::TicketReassigned { .. }))).await;
    office.clock.advance_to(dispatch_due(&office) + TimeDelta::microseconds(1));
    assert_eq!(office.until_notices(1).await[0].0, ticket);
    watchdog.stop().await;
}

/// Of the former log `before` calls, of the one in its place `after`.
async fn another_log_is_watched(before: usize, after: usize, running: bool) {
    let (office, other) = (Office::open().await, Office::open_seeded(70).await);
    for _ in 0..before {
        office.call().await;
    }
    let mut called = Vec::new();
    for _ in 0..after {
        called.push(other.call().await);
    }
    let mut watchdog = office.watch("one");
    watchdog.status().wait_for(|status| status.open_clocks == 2 * before).await.unwrap();
    if running {
        office.memory.replace_with(&other.memory);
    } else {
        watchdog.stop().await;
        office.memory.replace_with(&other.memory);
        watchdog = office.watch("one");
    }
    watchdog.status().wait_for(|status| status.caught_up && status.open_clocks == 2 * after).await.unwrap();
    let is_said = || office.handlers.vitals().problems().iter().any(|problem| problem.code == "log_replaced");
    let exchanged = async {
        while office.handlers.directory().log_generation() == 0 || !is_said() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, exchanged).await.expect("the directory notices it too, and it is said");
    office.clock.advance_to(dispatch_due(&office) + TimeDelta::microseconds(1));
    let mut urged: Vec<_> = office.until_notices(after).await.iter().map(|(ticket, ..)| *ticket).collect();
    urged.sort();
    called.sort();
    assert_eq!(urged, called, "the other log's calls are urged, and none of the former's");
    watchdog.stop().await;
}

#[tokio::test]
async fn r61_a_log_that_was_exchanged_while_it_was_watched_is_watched_from_its_start() {
    another_log_is_watched(12, 3, true).await;
    another_log_is_watched(3, 12, true).await;
}

#[tokio::test]
async fn r61_a_log_that_was_exchanged_while_nobody_watched_is_watched_from_its_start() {
    another_log_is_watched(12, 3, false).await;
    another_log_is_watched(3, 12, false).await;
}
