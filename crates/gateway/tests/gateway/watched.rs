//! Somebody watches the watchdog: each loop hangs in turn while the heartbeat goes on, and probes, page and figures say
//! so within half a minute.

use std::sync::Arc;
use std::time::Duration;

use cuiban_command_handler::{Clock, Handlers, ManualClock, SeededIds};
use cuiban_domain::ids::Actor;
use cuiban_event_log::{
    Append, Consistency, EventLog, Expected, MemoryLog, Position, Route, StreamId, Token,
};
use cuiban_notifier::Notifier;
use cuiban_projector::{MemoryDisk, StorePlace};
use cuiban_vitals::{HEARD_MAX, Heard, LISTENING_MIN, Role, SILENT_MAX, Vitals, keep_beating};
use cuiban_watchdog::Watchdog;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::desk::{Desk, call, morning};

/// Everybody knows within this time.
const KNOWN_WITHIN: Duration = Duration::from_secs(30);
/// A step of the clock that all share: it stands still while one looks.
const STEP: Duration = Duration::from_millis(500);

/// A projector that listens, and a watchdog and a notifier, each a process of its own but for the one runtime.
struct House {
    desk: Desk,
    projector: Vitals,
    watchdog: Vitals,
    notifier: Vitals,
    _roles: (Watchdog, Notifier),
    _stop: CancellationToken,
}

fn place(name: &str) -> StorePlace {
    StorePlace::Memory(MemoryDisk::default(), name.to_owned())
}

impl House {
    async fn open() -> Self {
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
        let vitals = |role: Role| Vitals::new(role, &format!("{role}-1"), "0.1.0");
        let (projector, watchdog, notifier) =
            (vitals(Role::Projector), vitals(Role::Watchdog), vitals(Role::Notifier));
        let desk = Desk::listening(log.clone(), projector.clone()).await;
        let watching = handlers(&desk, 11, &watchdog).await;
        let notifying = handlers(&desk, 12, &notifier).await;
        let channel = cuiban_notifier::MemoryChannel::new("M".parse().unwrap());
        let outlet = cuiban_notifier::Outlet { channel: Arc::new(channel), delivery: Default::default() };
        let roles = (
            Watchdog::start(watching, log.clone(), place("watchdog"), Default::default()),
            Notifier::start(
                notifying,
                log.clone(),
                Arc::new(desk.deliveries.clone()),
                place("outbox"),
                vec![outlet],
                Default::default(),
            )
            .await
            .unwrap(),
        );
        let stop = CancellationToken::new();
        for vitals in [&projector, &watchdog, &notifier] {
            let (roll, clock) = (desk.roll.clone().unwrap(), desk.clock.clone());
            tokio::spawn(keep_beating(vitals.clone(), roll, move || clock.now(), stop.clone()));
        }
        desk.staff("B0").await;
        Self { desk, projector, watchdog, notifier, _roles: roles, _stop: stop }
    }

    /// Time passes, for the runtime and for the clock that all share.
    async fn pass(&self, time: Duration) {
        for _ in 0..time.div_duration_f64(STEP).ceil() as u32 {
            tokio::time::sleep(STEP).await;
            self.desk.clock.advance_by(STEP);
        }
    }

    /// Time passes until `/readyz` says this, or not within the time in which it has to.
    async fn says_within(&self, time: Duration, code: &str, words: &[&str]) -> Value {
        let mut stands = Value::Null;
        for _ in 0..time.as_secs() {
            self.pass(Duration::from_secs(1)).await;
            stands = self.desk.get_with("/readyz", &[]).await.json();
            if let Some(problem) = problem(&stands, code) {
                let detail = problem["detail"].as_str().unwrap();
                if words.iter().all(|word| detail.contains(word)) {
                    return problem.clone();
                }
            }
        }
        panic!("{code} {words:?} is not said within {time:?}: {stands:#}");
    }

    async fn is_well(&self) {
        let stands = self.desk.get_with("/readyz", &[]).await.ok();
        assert_eq!((&stands["status"], &stands["warnings"]), (&json!("ready"), &json!([])), "{stands}");
    }

    async fn page(&self) -> String {
        self.desk.get_with("/?branch=B0", &[]).await.text
    }

    async fn figures(&self) -> String {
        self.desk.get_with("/metrics", &[]).await.text
    }
}

fn problem<'a>(stands: &'a Value, code: &str) -> Option<&'a Value> {
    let lists = ["problems", "warnings"].into_iter().filter_map(|list| stands[list].as_array());
    lists.flatten().find(|problem| problem["code"] == code)
}

async fn handlers(desk: &Desk, seed: u64, vitals: &Vitals) -> Arc<Handlers> {
    let config = cuiban_command_handler::Config { clock_ahead_max_ms: None, ..Default::default() };
    let (ids, actor) = (Arc::new(SeededIds::new(seed)), Actor::new("process").unwrap());
    let clock: Arc<ManualClock> = desk.clock.clone();
    let handlers = Handlers::start_with_vitals(desk.log.clone(), clock, ids, actor, config, vitals.clone());
    Arc::new(handlers.await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_hangs_while_its_heartbeat_goes_on_is_named_on_probe_page_and_figures() {
    let house = House::open().await;
    house.pass(LISTENING_MIN + HEARD_MAX).await;
    house.is_well().await;
    let warnings = [
        (&house.watchdog, "watchdog.expediting", "nobody_watching", "催办无人值守"),
        (&house.watchdog, "watchdog.succession", "nobody_succeeding", "移交无人值守"),
        (&house.notifier, "notifier.outbox", "nobody_notifying", "推送无人值守"),
        (&house.notifier, "notifier.channel.M", "loop_silent", "notifier.channel.M"),
        (&house.watchdog, "directory.following", "loop_silent", "directory.following"),
    ];
    for (vitals, name, code, words) in warnings {
        vitals.hold(name, true);
        let warning = house.says_within(KNOWN_WITHIN, code, &[name, words]).await;
        assert_eq!(warning["stops"], false, "it is another's work that is stopped");
        let heard = house.desk.roll.as_ref().unwrap().everybody();
        assert!(heard.iter().all(Heard::is_there), "the heartbeats go on");
        let page = house.page().await;
        assert!(page.contains(words) && page.contains(name), "{page}");
        let line = format!("cuiban_problem{{code=\"{code}\"");
        assert!(house.figures().await.contains(&line) || code == "loop_silent", "{line}");
        // Its own process says that it cannot do its work.
        assert!(vitals.problems().iter().any(|problem| problem.stops && problem.detail.contains(name)));
        vitals.hold(name, false);
        house.pass(KNOWN_WITHIN).await;
        house.is_well().await;
    }
    // The projector's own: not ready.
    house.projector.hold("projector.following", true);
    let stopped = house.says_within(KNOWN_WITHIN, "loop_silent", &["projector.following"]).await;
    assert_eq!(stopped["stops"], true);
    house.desk.get_with("/readyz", &[]).await.problem(503);
    assert!(house.page().await.contains("projector.following"));
}

#[tokio::test(start_paused = true)]
async fn behind_24_unreadable_clocks_the_first_that_nobody_urges_is_found_by_the_fold() {
    let house = House::open().await;
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.push(house.desk.registered(call()).await);
    }
    for id in &ids {
        spoil(&house.desk.log, "ticket", id).await;
    }
    house.pass(LISTENING_MIN).await;
    // Half a minute before the answer to one more call is due the watchdog begins to hang, its heartbeat going on.
    let healthy = house.desk.registered(call()).await;
    house.desk.clock.advance_by(Duration::from_secs(24 * 3600 - 60));
    house.pass(Duration::from_secs(20)).await;
    house.says_within(KNOWN_WITHIN, "tickets_unreadable", &["12"]).await;
    house.watchdog.hold("watchdog.expediting", true);
    let due_in = morning() + Duration::from_secs(24 * 3600) - house.desk.clock.now();
    house.pass(due_in.to_std().unwrap_or_default()).await;
    let words = ["催办无人值守", healthy.as_str(), "response"];
    house.says_within(KNOWN_WITHIN, "nobody_watching", &words).await;
    let (page, figures) = (house.page().await, house.figures().await);
    assert!(page.contains("催办无人值守") && page.contains(&healthy), "{page}");
    assert!(figures.contains("cuiban_unurged_clocks{} 1.0"), "{figures}");
    assert!(figures.contains("cuiban_unreadable_clocks{} 24.0"), "{figures}");
    house.watchdog.hold("watchdog.expediting", false);
    house.pass(SILENT_MAX).await;
}

#[tokio::test(start_paused = true)]
async fn a_gateway_without_read_models_says_that_nobody_watches_too_and_is_ready() {
    let vitals = Vitals::new(Role::Gateway, "gateway-1", "0.1.0");
    let desk = Desk::of_intake_listening(vitals.clone()).await;
    let watchdog = Vitals::new(Role::Watchdog, "watchdog-1", "0.1.0");
    let pulse = watchdog.pulse("watchdog.expediting", SILENT_MAX);
    let round = tokio::spawn(async move { pulse.idle(std::future::pending::<()>()).await });
    let (roll, stop) = (desk.roll.clone().unwrap(), CancellationToken::new());
    tokio::spawn(keep_beating(watchdog.clone(), roll, morning, stop.clone()));
    let says_so = async || {
        let stands = desk.get_with("/readyz", &[]).await.ok();
        problem(&stands, "nobody_watching").is_some_and(|problem| problem["stops"] == false)
    };
    tokio::time::sleep(LISTENING_MIN).await;
    assert!(!says_so().await, "one is there");
    watchdog.hold("watchdog.expediting", true);
    tokio::time::sleep(KNOWN_WITHIN).await;
    assert!(says_so().await, "it hangs");
    round.abort();
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn r3_a_series_that_can_give_no_numbers_is_said_as_soon_as_a_call_is_refused() {
    let house = House::open().await;
    let id = house.desk.registered(call()).await;
    let ticket = house.desk.get(&format!("/v1/tickets/{id}")).await.ok();
    let number = ticket["number"].as_str().unwrap();
    let (series, _) = number.rsplit_once('-').unwrap();
    spoil(&house.desk.log, "numbering", series).await;
    let refused = loop {
        let answer = house.desk.post("/v1/tickets", call()).await;
        if answer.status != 200 && answer.status != 201 {
            break answer;
        }
    };
    assert_eq!(refused.problem(503)["code"], "stream_unreadable");
    house.says_within(KNOWN_WITHIN, "numbering_unreadable", &[series, "cuiban log step-over"]).await;
}

/// Something that no build can read is appended to the stream.
async fn spoil(log: &Arc<dyn EventLog>, kind: &str, id: &str) {
    let token = |text: &str| Token::new(text).unwrap();
    let stream = StreamId { kind: token(kind), id: token(id) };
    let last = log.read_stream(&stream, None, Consistency::Leader).await.unwrap().pop().unwrap();
    let append = Append {
        stream,
        expected: Expected::At(last.version()),
        route: Route { branch: token("B0"), class: token("case") },
        commit_id: uuid::Uuid::from_u128(u128::from(last.position().raw())),
        payload: b"nothing".as_slice().into(),
    };
    assert!(log.append(append).await.unwrap().position > Position::START);
}
