//! Webhooks against a receiver over HTTP that checks signatures by itself.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cuiban_command_handler::Clock;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use super::world::{World, config, until};
use crate::{Config, Notifier, WebhookConfig};

const KEY: &[u8] = b"the key that signs in these tests";
const OLD_KEY: &[u8] = b"the key that signed before this one";

/// What came in with one request.
#[derive(Clone, Debug)]
struct Request {
    headers: HeaderMap,
    body: Bytes,
}

#[derive(Clone, Default)]
struct Receiver {
    requests: Arc<Mutex<Vec<Request>>>,
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
}

impl Receiver {
    /// Listens on a free port; answers with these codes, then with 204.
    async fn start(answers: impl IntoIterator<Item = u16>) -> (Self, String) {
        let receiver = Self::default();
        receiver
            .answers
            .lock()
            .unwrap()
            .extend(answers.into_iter().map(|code| StatusCode::from_u16(code).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let app = Router::new().route("/hook", post(take)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (receiver, url)
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    receiver.requests.lock().unwrap().push(Request { headers, body });
    receiver.answers.lock().unwrap().pop_front().unwrap_or(StatusCode::NO_CONTENT)
}

/// HMAC-SHA256 from its definition (RFC 2104), so that the channel is not judged by its own library.
fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    assert!(key.len() <= 64);
    let pad = |byte: u8| -> Vec<u8> { (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ byte).collect() };
    let inner = Sha256::digest([pad(0x36), message.to_vec()].concat());
    Sha256::digest([pad(0x5c), inner.to_vec()].concat()).to_vec()
}

fn webhook(url: &str) -> WebhookConfig {
    let secrets = [KEY, OLD_KEY].map(|key| format!("whsec_{}", STANDARD.encode(key)));
    serde_json::from_value(serde_json::json!({ "id": "crm", "url": url, "secrets": secrets })).unwrap()
}

async fn start(world: &World, webhook: WebhookConfig) -> Notifier {
    let config = Config { webhooks: vec![webhook], ..config() };
    let clock: Arc<dyn Clock> = world.clock.clone();
    world.start("outbox", config.outlets(None, &clock).unwrap(), config).await
}

#[tokio::test]
async fn a_receiver_can_check_who_sent_it_and_when_with_either_secret() {
    let world = World::new().await;
    let (receiver, url) = Receiver::start([]).await;
    let notifier = start(&world, webhook(&url)).await;
    let notice = world.breach().await;
    until(&notifier, "crm", |status| status.delivered == 1).await;
    let Request { headers, body } = receiver.requests().remove(0);
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(
        (header("webhook-id"), header("content-type")),
        (notice.to_string(), "application/json".to_owned())
    );
    let timestamp = header("webhook-timestamp");
    assert_eq!(timestamp, world.clock.now().timestamp().to_string());
    let signed = [format!("{notice}.{timestamp}.").as_bytes(), &body].concat();
    let expected = [KEY, OLD_KEY].map(|key| format!("v1,{}", STANDARD.encode(hmac_sha256(key, &signed))));
    assert_eq!(header("webhook-signature"), expected.join(" "));
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&json["type"], &json["data"]["rung"]), (&"expedite.issued".into(), &"breach".into()));
    notifier.stop().await;
}

#[tokio::test]
async fn a_receiver_that_fails_twice_gets_it_the_third_time() {
    let world = World::new().await;
    let (receiver, url) = Receiver::start([500, 503]).await;
    let notifier = start(&world, webhook(&url)).await;
    let notice = world.breach().await;
    for failed in 1..=2 {
        until(&notifier, "crm", |status| status.failed_attempts == failed).await;
        world.clock.advance_by(Duration::from_secs(10));
    }
    until(&notifier, "crm", |status| status.delivered == 1).await;
    assert_eq!(world.standing("crm", notice), Some(("delivered", 3)));
    let requests = receiver.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.headers["webhook-id"] == notice.to_string().as_str()));
    assert_ne!(requests[0].headers["webhook-timestamp"], requests[1].headers["webhook-timestamp"]);
    notifier.stop().await;
}

#[tokio::test]
async fn a_receiver_that_is_down_is_given_up_when_the_alert_is_too_old_and_no_record_shows_the_address() {
    let world = World::new().await;
    // Port 1, tcpmux: nobody listens there, and the system gives it to no connection.
    let webhook = webhook("http://127.0.0.1:1/hook?key=topsecret");
    let notifier = start(&world, webhook).await;
    let notice = world.breach().await;
    for failed in 1..=3 {
        until(&notifier, "crm", |status| status.failed_attempts == failed && status.in_flight == 0).await;
        world.clock.advance_by(Duration::from_secs(60));
    }
    until(&notifier, "crm", |status| status.failed_attempts == 4 && status.in_flight == 0).await;
    world.clock.advance_by(Duration::from_secs(72 * 3600));
    until(&notifier, "crm", |status| status.given_up == 1).await;
    assert_eq!(world.standing("crm", notice), Some(("given_up", 4)));
    let recorded = format!("{:?} {:?}", world.all_deliveries(), notifier.status());
    assert!(!recorded.contains("topsecret"), "{recorded}");
    notifier.stop().await;
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let world = World::new().await;
    let (receiver, url) = Receiver::start([307]).await;
    let notifier = start(&world, webhook(&url)).await;
    let notice = world.breach().await;
    until(&notifier, "crm", |status| status.failed_attempts == 1 && status.in_flight == 0).await;
    assert_eq!((receiver.requests().len(), world.standing("crm", notice)), (1, Some(("failed", 1))));
    notifier.stop().await;
}
