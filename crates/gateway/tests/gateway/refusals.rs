//! Everything that is not a good request is answered as a problem (RFC 9457).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use axum::body::Body;
use axum::http::Request;
use cuiban_domain::Instant;
use cuiban_event_log::{
    Append, AppendError, Appended, Consistency, EventLog, Filter, LogError, LogIdentity, LogStanding,
    MemoryLog, Position, Stored, StreamId, StreamVersion, Subscription,
};
use cuiban_gateway::{Config, Mounts};
use serde_json::{Value, json};

use crate::desk::{Desk, call, call_with};

async fn intake() -> Desk {
    let desk = Desk::of_intake(Default::default()).await;
    desk.staff("B0").await;
    desk
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems() {
    let desk = intake().await;
    assert_eq!(desk.get_with("/v1/nothing", &[]).await.problem(404)["code"], "not_found");
    assert_eq!(desk.get_with("/v1/tickets/", &[]).await.problem(404)["code"], "not_found");
    let wrong = desk.send(Request::delete("/v1/tickets").body(Body::empty()).unwrap()).await;
    assert_eq!(wrong.problem(405)["code"], "method_not_allowed");
    assert!(wrong.header("allow").contains("POST"), "{:?}", wrong.headers);
}

#[tokio::test]
async fn bodies_that_are_not_json_are_problems() {
    let desk = intake().await;
    let send = |media_type: &'static str, body: &str| {
        let body = body.to_owned();
        let desk = &desk;
        async move { desk.post_raw("/v1/tickets", &[("content-type", media_type)], body).await }
    };
    assert_eq!(send("text/plain", &call().to_string()).await.problem(415)["code"], "unsupported_media_type");
    assert_eq!(
        send("application/x-www-form-urlencoded", "a=b").await.problem(415)["code"],
        "unsupported_media_type"
    );
    assert_eq!(send("application/json; charset=utf-8", &call().to_string()).await.status, 201);
    let malformed = send("application/json", "{\n  \"kind\": repair}").await.problem(400);
    assert_eq!((&malformed["code"], &malformed["line"]), (&Value::from("malformed_json"), &Value::from(2)));
    for body in ["[]", "\"repair\"", "7", "null"] {
        assert_eq!(send("application/json", body).await.problem(400)["code"], "not_an_object");
    }
    let cut = send("application/json", "{\"kind\":\"rep").await;
    assert_eq!(cut.problem(400)["code"], "malformed_json");
    let request = Request::post("/v1/tickets").header("content-type", "application/json");
    let latin = desk.send(request.body(Body::from(vec![b'{', b'"', 0xff, b'"', b'}'])).unwrap()).await;
    assert_eq!(latin.problem(400)["code"], "malformed_json");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_whether_it_says_so_or_not() {
    let desk = Desk::of_intake(Config { body_bytes_max: 200, ..Config::default() }).await;
    let body = call_with("description", json!("长".repeat(500))).to_string();
    let announced =
        desk.post_raw("/v1/tickets", &[("content-length", &body.len().to_string())], body.clone()).await;
    assert_eq!(announced.problem(413)["limit_bytes"], 200);
    let unannounced = desk.post_raw("/v1/tickets", &[], body).await;
    assert_eq!(unannounced.problem(413)["code"], "body_too_large");
}

#[tokio::test]
async fn fields_that_are_missing_unknown_or_of_the_wrong_type_are_named() {
    let desk = intake().await;
    let customer = |customer: Value| call_with("customer", customer);
    let mut missing = call();
    missing.as_object_mut().unwrap().remove("product_model");
    for (body, code, pointer) in [
        (missing, "missing_field", "/product_model"),
        (customer(json!({ "name": "张伟" })), "missing_field", "/customer/phone"),
        (call_with("colour", json!("red")), "unknown_field", "/colour"),
        (call_with("kind", json!("joke")), "invalid_value", "/kind"),
        (call_with("kind", json!(7)), "invalid_value", "/kind"),
        (call_with("description", json!(null)), "invalid_value", "/description"),
        (call_with("description", json!("  ")), "invalid_value", "/description"),
        (call_with("description", json!("长".repeat(4001))), "invalid_value", "/description"),
        (call_with("description", json!("响\u{7}")), "invalid_value", "/description"),
        (call_with("branch", json!("海淀")), "invalid_value", "/branch"),
        (call_with("happened_at", json!("2026-11-23T09:00:00")), "invalid_value", "/happened_at"),
        (call_with("occurred_at", json!("2026-11-23 09:00")), "invalid_value", "/occurred_at"),
        (call_with("warranty_until", json!("2026-13-01")), "invalid_value", "/warranty_until"),
        (customer(json!({ "name": "张伟", "phone": "call me" })), "invalid_value", "/customer/phone"),
        (customer(json!({ "name": "", "phone": "13800138000" })), "invalid_value", "/customer/name"),
    ] {
        let problem = desk.post("/v1/tickets", body).await.problem(400);
        assert_eq!((problem["code"].as_str(), problem["pointer"].as_str()), (Some(code), Some(pointer)));
    }
}

#[tokio::test]
async fn r2_times_in_the_future_are_refused_for_every_kind_of_command() {
    let desk = intake().await;
    let later = json!("2026-11-23T10:00:01+08:00");
    let ticket = desk.registered(call()).await;
    for (path, mut body) in [
        ("/v1/tickets".to_owned(), call()),
        (format!("/v1/tickets/{ticket}/respond"), json!({ "channel": "phone" })),
        ("/v1/company/products".to_owned(), json!({ "products": [] })),
        ("/v1/branches/B0/districts".to_owned(), json!({ "districts": [] })),
    ] {
        body["occurred_at"] = later.clone();
        let problem = desk.post(&path, body).await.problem(422);
        assert_eq!(problem["code"], "occurred_in_future", "{path}");
    }
    let problem = desk.post("/v1/tickets", call_with("happened_at", later)).await.problem(422);
    assert_eq!(problem["code"], "occurred_in_future");
}

#[tokio::test]
async fn ids_that_cannot_be_are_told_from_ids_that_are_not_there() {
    let desk = intake().await;
    let body = || json!({ "channel": "phone" });
    for id in ["7", "BX-202611-00001", "%00", "%ff", "x%2Fy"] {
        let problem = desk.post(&format!("/v1/tickets/{id}/respond"), body()).await.problem(400);
        assert_eq!(problem["code"], "invalid_id", "{id}");
    }
    let absent = desk.post("/v1/tickets/018f3b5e-0000-7000-8000-000000000000/respond", body()).await;
    assert_eq!(absent.problem(404)["code"], "ticket_not_found");
    let absent = desk.post("/v1/branches/B9/districts", json!({ "districts": [] })).await.problem(404);
    assert_eq!((&absent["code"], &absent["branch"]), (&Value::from("branch_not_found"), &Value::from("B9")));
    let bad = desk.post("/v1/branches/%E6%B5%B7/districts", json!({ "districts": [] })).await;
    assert_eq!(bad.problem(400)["code"], "invalid_id");
}

#[tokio::test]
async fn rules_of_the_trade_are_told_with_their_facts() {
    let desk = intake().await;
    let ticket = desk.registered(call()).await;
    let path = |verb: &str| format!("/v1/tickets/{ticket}/{verb}");
    let arrive = desk.post(&path("arrive"), json!({})).await.problem(409);
    assert_eq!(arrive["code"], "technician_not_dispatched");
    let unknown = desk.post(&path("dispatch"), json!({ "technician": "T7" })).await.problem(422);
    assert_eq!((&unknown["branch"], &unknown["staff"]), (&Value::from("B0"), &Value::from("T7")));
    let office = desk.post("/v1/tickets", call_with("branch", json!("B9"))).await.problem(422);
    assert_eq!(office["code"], "unknown_branch");
    desk.post(&path("dispatch"), json!({ "technician": "T1" })).await.ok();
    let twice = desk.post(&path("dispatch"), json!({ "technician": "T2" })).await.problem(409);
    assert_eq!(twice["technician"], "T1");
}

#[tokio::test]
async fn r11_a_busy_technician_is_told_without_the_other_customers_data() {
    let desk = intake().await;
    let (first, second) = (desk.registered(call()).await, desk.registered(call()).await);
    let visit = json!({ "from": "2026-11-23T13:00:00+08:00", "until": "2026-11-23T15:00:00+08:00" });
    let body = json!({ "technician": "T1", "visit": visit });
    desk.post(&format!("/v1/tickets/{first}/dispatch"), body.clone()).await.ok();
    let refused = desk.post(&format!("/v1/tickets/{second}/dispatch"), body).await;
    assert_eq!(refused.problem(409)["ticket"], first);
    assert!(!refused.text.contains("张伟") && !refused.text.contains("138"));
}

#[tokio::test]
async fn actors_and_tokens_are_asked_for_at_the_door() {
    let tokens = [("a-long-enough-token", "li-si")].into_iter().collect();
    let desk = Desk::of_intake(Config { tokens, ..Config::default() }).await;
    let body = json!({ "branch": "B0", "name": "海淀" });
    let refused = desk.post("/v1/branches", body.clone()).await;
    assert_eq!(refused.problem(401)["code"], "unauthenticated");
    assert!(refused.header("www-authenticate").starts_with("Bearer"));
    let bearer = [("authorization", "Bearer a-long-enough-token")];
    assert_eq!(desk.post_with("/v1/branches", &bearer, body).await.status, 201);
    assert_eq!(desk.get_with("/healthz", &[]).await.status, 200, "probes need no token");
    let open = intake().await;
    let odd = open.post_with("/v1/tickets", &[("cuiban-actor", "a b")], call()).await;
    assert_eq!(odd.problem(400)["header"], "Cuiban-Actor");
}

#[tokio::test]
async fn a_foreign_name_does_not_reach_a_gateway_without_tokens() {
    let desk = intake().await;
    let refused = desk.post_with("/v1/tickets", &[("host", "evil.example")], call()).await;
    assert_eq!(refused.problem(403)["code"], "foreign_host");
    assert_eq!(desk.post_with("/v1/tickets", &[("host", "localhost:8080")], call()).await.status, 201);
}

/// A log that is away, or does not answer, or panics, when told so.
#[derive(Debug)]
struct Moody {
    log: MemoryLog,
    away: AtomicBool,
    silent: AtomicBool,
    panics: AtomicBool,
}

impl Moody {
    fn new() -> Arc<Self> {
        let (away, silent, panics) = Default::default();
        Arc::new(Self { log: MemoryLog::new(), away, silent, panics })
    }
}

#[async_trait]
impl EventLog for Moody {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        assert!(!self.panics.load(Ordering::SeqCst), "a defect");
        let stream = append.stream.clone();
        if self.away.load(Ordering::SeqCst) {
            return Err(AppendError::Unavailable { stream, source: "away".into() });
        }
        if self.silent.load(Ordering::SeqCst) {
            return Err(AppendError::Unknown { stream, source: "silent".into() });
        }
        self.log.append(append).await
    }
    async fn read_stream(
        &self,
        stream: &StreamId,
        after: Option<StreamVersion>,
        consistency: Consistency,
    ) -> Result<Vec<Stored>, LogError> {
        self.log.read_stream(stream, after, consistency).await
    }
    async fn subscribe(&self, filter: Filter, after: Position) -> Result<Subscription, LogError> {
        self.log.subscribe(filter, after).await
    }
    async fn stored_at(&self, position: Position) -> Result<Option<Stored>, LogError> {
        self.log.stored_at(position).await
    }
    async fn identity(&self) -> Result<LogIdentity, LogError> {
        self.log.identity().await
    }
    async fn standing(&self) -> Result<LogStanding, LogError> {
        self.log.standing().await
    }
    async fn head(&self) -> Result<Position, LogError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(LogError::Unavailable { attempted: "ask for the head", source: "away".into() });
        }
        self.log.head().await
    }
    async fn time(&self) -> Result<Instant, LogError> {
        self.log.time().await
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_log_is_away_the_same_key_may_be_sent_again() {
    let log = Moody::new();
    let desk = Desk::over(log.clone(), Config::default(), Mounts::GATEWAY).await;
    desk.staff("B0").await;
    let key = [("idempotency-key", "call-1")];
    log.away.store(true, Ordering::SeqCst);
    let away = desk.post_with("/v1/tickets", &key, call()).await;
    assert_eq!(away.problem(503)["code"], "log_unavailable");
    assert_eq!(away.header("retry-after"), "2");
    assert!(away.text.contains("Idempotency-Key"));
    assert_eq!(desk.get_with("/readyz", &[]).await.problem(503)["code"], "not_ready");
    assert_eq!(desk.get_with("/healthz", &[]).await.status, 200);
    log.away.store(false, Ordering::SeqCst);
    log.silent.store(true, Ordering::SeqCst);
    let ticket_numbers = desk.post_with("/v1/tickets", &key, call()).await;
    assert_eq!(ticket_numbers.problem(503)["code"], "outcome_unknown");
    assert_eq!(ticket_numbers.header("retry-after"), "2");
    log.silent.store(false, Ordering::SeqCst);
    assert_eq!(desk.post_with("/v1/tickets", &key, call()).await.status, 201);
    assert_eq!(desk.get_with("/readyz", &[]).await.ok()["status"], "ready");
}

#[tokio::test]
async fn a_panic_is_a_problem_that_tells_nothing_of_its_cause() {
    let log = Moody::new();
    let desk = Desk::over(log.clone(), Config::default(), Mounts::GATEWAY).await;
    log.panics.store(true, Ordering::SeqCst);
    let panicked = desk.post("/v1/branches", json!({ "branch": "B0", "name": "海淀" })).await;
    assert_eq!(panicked.problem(500)["code"], "internal");
    assert!(!panicked.text.contains("defect"));
    assert_eq!(panicked.header("x-content-type-options"), "nosniff");
}
