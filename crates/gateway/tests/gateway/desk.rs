//! A whole gateway in one process: handlers over a log in memory, a clock that stands still, no socket.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use cuiban_command_handler::{Clock, Handlers, ManualClock, SeededIds};
use cuiban_deliveries::{Deliveries, MemoryDeliveries};
use cuiban_domain::Instant;
use cuiban_domain::ids::Actor;
use cuiban_event_log::{EventLog, Filter, MemoryLog};
use cuiban_gateway::{Config, Gateway, Health, Looked, Mounts, router};
use cuiban_projector::Projector;
use cuiban_vitals::{Roll, SILENT_MAX, Vitals};
use serde_json::{Value, json};
use tower::ServiceExt;

/// Monday, 23 November 2026, 10:00 in Shanghai.
pub(crate) fn morning() -> Instant {
    "2026-11-23T02:00:00Z".parse().unwrap()
}

pub(crate) struct Desk {
    pub(crate) router: Router,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) roll: Option<Roll>,
    pub(crate) deliveries: MemoryDeliveries,
    _projector: Option<(Projector, tempfile::TempDir)>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of a problem with this status, which is complete and bilingual.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let problem = self.json();
        assert_eq!(problem["status"], status);
        let code = problem["code"].as_str().unwrap();
        assert_eq!(problem["type"], format!("urn:cuiban:problem:{code}"));
        for text in ["title", "detail"] {
            let text = problem[text].as_str().unwrap();
            assert!(text.contains(" / ") && !text.is_ascii(), "{text}");
        }
        problem
    }

    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.text);
        self.json()
    }
}

impl Desk {
    /// Only commands, no read models.
    pub(crate) async fn of_intake(config: Config) -> Self {
        Self::over(Arc::new(MemoryLog::new()), config, Mounts::GATEWAY).await
    }

    /// Everything.
    pub(crate) async fn open() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::over(Arc::new(MemoryLog::new()), config, Mounts::ALL).await
    }

    pub(crate) async fn over(log: Arc<dyn EventLog>, config: Config, mounts: Mounts) -> Self {
        Self::heard(log, config, mounts, (Vitals::default(), None)).await
    }

    /// Everything, in a process whose vitals are read, and that hears heartbeats.
    pub(crate) async fn listening(log: Arc<dyn EventLog>, vitals: Vitals) -> Self {
        Self::heard(log, Config::default(), Mounts::ALL, (vitals, Some(Roll::new()))).await
    }

    /// Only commands, in a process that hears heartbeats.
    pub(crate) async fn of_intake_listening(vitals: Vitals) -> Self {
        let log = Arc::new(MemoryLog::new());
        Self::heard(log, Config::default(), Mounts::GATEWAY, (vitals, Some(Roll::new()))).await
    }

    async fn heard(
        log: Arc<dyn EventLog>,
        config: Config,
        mounts: Mounts,
        (vitals, roll): (Vitals, Option<Roll>),
    ) -> Self {
        let clock = Arc::new(ManualClock::new(morning()));
        let ids = Arc::new(SeededIds::new(7));
        let process = Actor::new("gateway").unwrap();
        // The log's own time is the machine's.
        let handling = cuiban_command_handler::Config { clock_ahead_max_ms: None, ..Default::default() };
        let (own_clock, own_log) = (clock.clone(), log.clone());
        let following = mounts.office.then(|| vitals.pulse("projector.following", SILENT_MAX));
        let handlers = Handlers::start_with_vitals(own_log, own_clock, ids, process, handling, vitals);
        let handlers = handlers.await.unwrap();
        let projector = if let Some(following) = following {
            let dir = tempfile::tempdir().unwrap();
            let (log, all) = (log.clone(), Filter::everything());
            let started = Projector::start_with_pulse(log, dir.path(), all, Default::default(), following);
            Some((started.await.unwrap(), dir))
        } else {
            None
        };
        let models = projector.as_ref().map(|(projector, _)| projector.models());
        let now = clock.clone();
        let deliveries = MemoryDeliveries::new(move || now.now());
        let recorded: Arc<dyn Deliveries> = Arc::new(deliveries.clone());
        let handlers = Arc::new(handlers);
        let looked = Looked {
            handlers: handlers.clone(),
            log: log.clone(),
            models: models.clone(),
            roll: roll.clone(),
            stores: Vec::new(),
        };
        let health = Health::new(looked, &config);
        let gateway =
            Gateway { handlers, models, log: log.clone(), deliveries: Some(recorded), config, health };
        let router = router(gateway, mounts).unwrap();
        Self { router, clock, log, deliveries, roll, _projector: projector }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.post_with(path, &[], body).await
    }

    pub(crate) async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        self.post_raw(path, headers, body.to_string()).await
    }

    pub(crate) async fn post_raw(&self, path: &str, headers: &[(&str, &str)], body: String) -> Answer {
        let mut request = Request::post(path);
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    /// A query of everything that is recorded so far.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let head = self.log.head().await.unwrap();
        self.get_with(path, &[("cuiban-min-position", &head.to_string())]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) fn later(&self, minutes: u64) {
        self.clock.advance_by(Duration::from_secs(minutes * 60));
    }

    /// A branch with a supervisor and two technicians.
    pub(crate) async fn staffed() -> Self {
        let desk = Self::open().await;
        desk.staff("B0").await;
        desk
    }

    pub(crate) async fn staff(&self, branch: &str) {
        self.post("/v1/branches", json!({ "branch": branch, "name": "海淀服务中心" })).await.ok();
        for (id, name, role) in [
            ("S1", "赵主任", "service_supervisor"),
            ("T1", "李师傅", "technician"),
            ("T2", "王师傅", "technician"),
        ] {
            let member = json!({ "id": id, "name": name, "role": role, "skills": ["KF-35"] });
            self.post(&format!("/v1/branches/{branch}/staff"), json!({ "member": member })).await.ok();
        }
    }

    /// The id of a new ticket.
    pub(crate) async fn registered(&self, call: Value) -> String {
        self.post("/v1/tickets", call).await.ok()["id"].as_str().unwrap().to_owned()
    }
}

/// An ordinary call.
pub(crate) fn call() -> Value {
    json!({
        "kind": "repair", "channel": "phone", "product_model": "KF-35", "serial_number": "SN-1",
        "description": "不制冷", "branch": "B0", "area": "urban",
        "customer": { "name": "张伟", "phone": "138-0013-8000", "address": "海淀区中关村" },
    })
}

/// A call with one field set otherwise.
pub(crate) fn call_with(field: &str, value: Value) -> Value {
    let mut call = call();
    call[field] = value;
    call
}
