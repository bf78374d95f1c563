//! The live stream, as a browser's EventSource reads it.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use cuiban_gateway::Config;
use serde_json::{Value, json};
use tokio_stream::StreamExt;
use tower::ServiceExt;

use crate::desk::{Desk, call};

/// One event as it came over the wire.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    id: String,
    event: String,
    data: String,
}

impl Heard {
    fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }
}

struct Listener {
    body: BodyDataStream,
    rest: String,
}

impl Listener {
    async fn on(desk: &Desk, path: &str, after: Option<&str>) -> Self {
        let mut request = Request::get(path);
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = desk.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), rest: String::new() }
    }

    async fn next(&mut self) -> Heard {
        loop {
            if let Some((event, rest)) = self.rest.split_once("\n\n") {
                let heard = parse(event);
                self.rest = rest.to_owned();
                if heard != Heard::default() {
                    return heard;
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(10), self.body.next()).await;
            let chunk = chunk.expect("an event in time").expect("the stream goes on").unwrap();
            self.rest.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

fn parse(text: &str) -> Heard {
    let mut heard = Heard::default();
    for line in text.lines() {
        match line.split_once(": ") {
            Some(("id", id)) => heard.id = id.to_owned(),
            Some(("event", event)) => heard.event = event.to_owned(),
            Some(("data", data)) => heard.data.push_str(data),
            _ => {}
        }
    }
    heard
}

#[tokio::test]
async fn begins_at_the_head_and_resumes_after_the_last_event() {
    let desk = Desk::staffed().await;
    let before = desk.registered(call()).await;
    let mut listener = Listener::on(&desk, "/v1/live?branch=B0", None).await;
    let ready = listener.next().await;
    assert_eq!((ready.event.as_str(), ready.id), ("ready", desk.log.head().await.unwrap().to_string()));
    let ticket = desk.registered(call()).await;
    let registered = listener.next().await;
    assert_eq!(
        (registered.event.as_str(), &registered.json()["id"]),
        ("ticket", &Value::from(ticket.as_str()))
    );
    assert_eq!(registered.json()["events"][0], "ticket_registered");
    assert_eq!(registered.id, desk.log.head().await.unwrap().to_string());
    drop(listener);
    for (one, verb) in [(&before, "respond"), (&ticket, "respond")] {
        desk.post(&format!("/v1/tickets/{one}/{verb}"), json!({ "channel": "phone" })).await.ok();
    }
    let mut back = Listener::on(&desk, "/v1/live?branch=B0", Some(&registered.id)).await;
    assert_eq!(back.next().await.event, "ready");
    let ids = [back.next().await.json()["id"].clone(), back.next().await.json()["id"].clone()];
    assert_eq!(ids, [Value::from(before), Value::from(ticket)]);
}

#[tokio::test]
async fn tells_a_notice_without_the_customers_data() {
    let desk = Desk::staffed().await;
    let ticket = desk.registered(call()).await;
    let mut listener = Listener::on(&desk, "/v1/live?branch=B0", None).await;
    listener.next().await;
    desk.later(8 * 60);
    desk.post(&format!("/v1/tickets/{ticket}/pause"), json!({ "reason": "customer_absent" })).await.ok();
    let heard = listener.next().await;
    assert_eq!(heard.event, "notice");
    assert_eq!(heard.json()["notices"][0]["clock"], "dispatch");
    assert!(!heard.data.contains("张伟") && !heard.data.contains("138"));
}

#[tokio::test]
async fn hears_its_own_branch_and_what_is_transferred_to_it() {
    let desk = Desk::staffed().await;
    desk.staff("B1").await;
    desk.staff("B2").await;
    let mut listener = Listener::on(&desk, "/v1/live?branch=B1", None).await;
    listener.next().await;
    let (first, second) = (desk.registered(call()).await, desk.registered(call()).await);
    let to = |branch: &str| json!({ "to": branch, "reason": "客户搬家" });
    desk.post(&format!("/v1/tickets/{first}/transfer"), to("B2")).await.ok();
    desk.post(&format!("/v1/tickets/{second}/transfer"), to("B1")).await.ok();
    let heard = listener.next().await;
    assert_eq!(heard.json()["id"], second, "neither registration at B0 nor the transfer to B2");
}

#[tokio::test]
async fn refuses_unknown_branches_odd_positions_and_too_many_listeners() {
    let desk = Desk::with(Config { live_clients_max: 1, ..Config::default() }).await;
    desk.staff("B0").await;
    assert_eq!(desk.get_with("/v1/live?branch=B9", &[]).await.problem(404)["code"], "branch_not_found");
    let odd = desk.get_with("/v1/live", &[("last-event-id", "yesterday")]).await;
    assert_eq!(odd.problem(400)["header"], "Last-Event-ID");
    let first = Listener::on(&desk, "/v1/live", None).await;
    let second = desk.get_with("/v1/live", &[]).await;
    assert_eq!(second.problem(429)["code"], "too_many_listeners");
    assert_eq!(second.header("retry-after"), "2");
    drop(first);
    // The place is free as soon as the pump sees that nobody reads.
    let again = async {
        while desk
            .router
            .clone()
            .oneshot(Request::get("/v1/live").body(Body::empty()).unwrap())
            .await
            .unwrap()
            .status()
            != 200
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), again).await.expect("a place is free again");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_dropped() {
    let config = Config { live_queue_max: 1, live_patience_ms: 1_000, ..Config::default() };
    let desk = Desk::with(config).await;
    desk.staff("B0").await;
    let mut listener = Listener::on(&desk, "/v1/live?branch=B0", None).await;
    for _ in 0..10 {
        desk.registered(call()).await;
    }
    // The queue fills, and then longer than the patience passes, in the test's own time.
    for step in [Duration::ZERO, Duration::from_secs(5)] {
        tokio::time::advance(step).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    let mut heard = 0;
    while let Some(chunk) = listener.body.next().await {
        let chunk = chunk.unwrap();
        assert_ne!(chunk, ":\n\n", "kept alive instead of dropped");
        heard += chunk.windows(4).filter(|four| four == b"id: ").count();
    }
    assert!(heard < 10, "{heard}");
}
