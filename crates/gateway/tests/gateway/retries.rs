//! Idempotency keys and `If-Match`: what a caller does who is not sure.

use serde_json::{Value, json};

use crate::desk::{Desk, call, call_with};

async fn intake() -> Desk {
    let desk = Desk::of_intake(Default::default()).await;
    desk.staff("B0").await;
    desk
}

#[tokio::test]
async fn a_retry_answers_the_same_ticket_and_number_as_replayed() {
    let desk = intake().await;
    let key = [("idempotency-key", "call-4711")];
    let first = desk.post_with("/v1/tickets", &key, call()).await;
    desk.later(5);
    let again = desk.post_with("/v1/tickets", &key, call()).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 201));
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!(first.header("cuiban-position"), again.header("cuiban-position"));
    let (first, again) = (first.json(), again.json());
    assert_eq!((&first["id"], &first["number"]), (&again["id"], &again["number"]));
    assert_eq!((&first["outcome"], &again["outcome"]), (&Value::from("recorded"), &Value::from("replayed")));
    let other = desk.post_with("/v1/tickets", &[("idempotency-key", "call-4712")], call()).await.ok();
    assert_ne!(other["id"], first["id"]);
}

#[tokio::test]
async fn a_key_that_is_used_for_another_body_is_refused() {
    let desk = intake().await;
    let key = [("idempotency-key", "call-1")];
    desk.post_with("/v1/tickets", &key, call()).await.ok();
    let other = desk.post_with("/v1/tickets", &key, call_with("description", json!("漏水"))).await;
    assert_eq!(other.problem(422)["code"], "idempotency_key_reused");
}

#[tokio::test]
async fn a_key_belongs_to_one_path() {
    let desk = intake().await;
    let ticket = desk.registered(call()).await;
    let key = [("idempotency-key", "k")];
    let path = |verb: &str| format!("/v1/tickets/{ticket}/{verb}");
    desk.post_with(&path("respond"), &key, json!({ "channel": "phone" })).await.ok();
    desk.post_with(&path("dispatch"), &key, json!({ "technician": "T1" })).await.ok();
    let again = desk.post_with(&path("respond"), &key, json!({ "channel": "phone" })).await.ok();
    assert_eq!((&again["outcome"], &again["revision"]), (&Value::from("replayed"), &Value::from(2)));
}

#[tokio::test]
async fn without_a_key_a_second_call_is_a_second_ticket() {
    let desk = intake().await;
    assert_ne!(desk.registered(call()).await, desk.registered(call()).await);
}

#[tokio::test]
async fn keys_of_odd_shapes_are_refused() {
    let desk = intake().await;
    let long = "k".repeat(256);
    for key in ["", "a b", long.as_str(), "钥匙"] {
        let refused = desk.post_with("/v1/tickets", &[("idempotency-key", key)], call()).await;
        assert_eq!(refused.problem(400)["header"], "Idempotency-Key", "{key}");
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    assert_eq!(desk.post_with("/v1/tickets", &twice, call()).await.problem(400)["header"], "Idempotency-Key");
    let longest = "k".repeat(255);
    desk.post_with("/v1/tickets", &[("idempotency-key", &longest)], call()).await.ok();
}

#[tokio::test]
async fn if_match_insists_on_the_revision_that_was_seen() {
    let desk = intake().await;
    let ticket = desk.registered(call()).await;
    let path = format!("/v1/tickets/{ticket}/respond");
    let body = json!({ "channel": "phone" });
    let stale = desk.post_with(&path, &[("if-match", "\"9\"")], body.clone()).await.problem(412);
    assert_eq!((&stale["expected"], &stale["actual"]), (&Value::from(9), &Value::from(1)));
    for odd in ["1", "W/\"1\"", "\"x\"", "\"1\", \"2\""] {
        let refused = desk.post_with(&path, &[("if-match", odd)], body.clone()).await;
        assert_eq!(refused.problem(400)["header"], "If-Match", "{odd}");
    }
    desk.post_with(&path, &[("if-match", "\"1\"")], body.clone()).await.ok();
    let path = format!("/v1/tickets/{ticket}/assign");
    desk.post_with(&path, &[("if-match", "*")], json!({ "handler": "S1" })).await.ok();
}
