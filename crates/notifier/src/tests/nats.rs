//! The channel to NATS against a real server.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use async_nats::jetstream;
use cuiban_command_handler::Clock;
use cuiban_deliveries::MessageId;
use cuiban_domain::ticket::Urgency;
use futures::StreamExt;
use tempfile::TempDir;

use super::world::{World, channel_id, config, within_reason};
use crate::testing::{self, manner};
use crate::{ALERTS_OUT_STREAM, ALERTS_STREAM, Channel, Config, Message, NatsChannel, NatsConfig, PushError};

/// A server with a folder of its own; killed when dropped.
struct Server {
    process: Child,
    port: u16,
    folder: Arc<TempDir>,
}

impl Server {
    /// Starts one on a free port; `None`, and a word about it, where there is no nats-server to start.
    fn start() -> Option<Self> {
        Self::start_at("-1", Arc::new(TempDir::new().unwrap()))
    }

    fn start_at(port: &str, folder: Arc<TempDir>) -> Option<Self> {
        let binary = std::env::var_os("NATS_SERVER").unwrap_or_else(|| "nats-server".into());
        let mut command = Command::new(&binary);
        command
            .args(["--addr", "127.0.0.1", "--port", port, "--jetstream", "--store_dir"])
            .arg(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = match command.spawn() {
            Ok(process) => process,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("skipped: {} is not there; set NATS_SERVER", binary.display());
                return None;
            }
            Err(error) => panic!("start {}: {error}", binary.display()),
        };
        let mut said = String::new();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        while !said.contains("Server is ready") {
            let Some(line) = lines.next() else { panic!("the server ended: {said}") };
            said.push_str(&line.unwrap());
        }
        // Read on, so that the server never waits for somebody to read.
        std::thread::spawn(move || lines.for_each(drop));
        let address = said.split("Listening for client connections on 127.0.0.1:").nth(1).unwrap();
        let port: String = address.chars().take_while(char::is_ascii_digit).collect();
        Some(Self { process, port: port.parse().unwrap(), folder })
    }

    async fn client(&self) -> async_nats::Client {
        async_nats::connect(format!("127.0.0.1:{}", self.port)).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

async fn stored(client: async_nats::Client, stream: &str) -> Vec<jetstream::message::StreamMessage> {
    let stream = jetstream::new(client).get_stream(stream).await.unwrap();
    let state = stream.cached_info().state.clone();
    let mut messages = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        messages.push(stream.get_raw_message(sequence).await.unwrap());
    }
    messages
}

fn subjects(messages: &[jetstream::message::StreamMessage]) -> Vec<&str> {
    messages.iter().map(|message| message.subject.as_str()).collect()
}

/// What a plain client hears that subscribes to a subject, as `nats sub` does.
struct Listener(async_nats::Subscriber);

impl Listener {
    async fn to(server: &Server, subject: &str) -> Self {
        let client = server.client().await;
        let subscriber = client.subscribe(subject.to_owned()).await.unwrap();
        client.flush().await.unwrap();
        Self(subscriber)
    }

    async fn next(&mut self) -> (String, String) {
        let message = within_reason(self.0.next()).await.unwrap();
        (message.subject.to_string(), String::from_utf8(message.payload.to_vec()).unwrap())
    }

    /// Whether nothing more has come, once what was published before the last flush is here.
    async fn is_quiet(&mut self) -> bool {
        use futures::FutureExt;
        self.0.next().now_or_never().is_none()
    }
}

#[tokio::test]
async fn alerts_are_stored_in_both_forms_and_heard_once_by_a_plain_client() {
    let Some(server) = Server::start() else { return };
    // The branch has no supervisor and no manager: the company hears (R60).
    let mut text = Listener::to(&server, "cuiban.alert.text._.>").await;
    let mut json = Listener::to(&server, "cuiban.alert.json.*.breach").await;
    let world = World::new().await;
    let config = Config { nats: Some(NatsConfig::default()), ..config() };
    let clock: Arc<dyn Clock> = world.clock.clone();
    // Two notifiers, each with a connection of its own.
    let outlets = async || config.outlets(Some(server.client().await), &clock).unwrap();
    let first = world.start("one", outlets().await, config.clone()).await;
    let second = world.start_elsewhere("other", outlets().await, config.clone()).await;
    world.register(Urgency::Emergency).await;
    let notices = world.breaches(5, std::time::Duration::from_micros(1)).await;
    let (subject, told) = text.next().await;
    assert_eq!(subject, "cuiban.alert.text._.emergency");
    assert!(told.starts_with("【特急】报修 BX-202611-") && told.contains("\n[Emergency] repair"), "{told}");
    for notice in &notices {
        let (subject, told) = text.next().await;
        assert_eq!(subject, "cuiban.alert.text._.breach");
        assert!(told.starts_with("【催办】报修 BX-202611-"), "{told}");
        assert!(told.contains("逾期") && told.contains("请派工部门处理"), "{told}");
        assert!(told.contains("请客户部督办"), "{told}");
        assert!(
            told.contains("\n[Expedite] repair BX-202611-")
                && told.contains("dispatch department, please act")
        );
        let (subject, told) = json.next().await;
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!((subject.as_str(), &told["v"]), ("cuiban.alert.json._.breach", &1.into()));
        assert!(notices.iter().any(|notice| told["data"]["id"] == notice.to_string()), "{notice}");
    }
    first.stop().await;
    second.stop().await;
    let kept = stored(server.client().await, ALERTS_OUT_STREAM).await;
    assert_eq!(kept.len(), 12, "{:?}", subjects(&kept));
    assert!(text.is_quiet().await && json.is_quiet().await);
    // For one release, in the form before too, and nothing of the new one among it.
    let former = stored(server.client().await, ALERTS_STREAM).await;
    let mut told = subjects(&former);
    told.sort_unstable();
    let mut expected = vec!["cuiban.alert._.breach"; 5];
    expected.push("cuiban.alert._.emergency");
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_message_that_is_pushed_again_is_stored_and_heard_once() {
    let Some(server) = Server::start() else { return };
    let mut text = Listener::to(&server, "cuiban.alert.text.>").await;
    let channel = NatsChannel::new(NatsConfig::default(), server.client().await);
    let message = Message::of(&testing::notice(1), &manner());
    for _ in 0..3 {
        channel.push(&message).await.unwrap();
    }
    let withdrawal = Message::of(&crate::Alert { withdrawn: true, ..testing::notice(1) }, &manner());
    channel.push(&withdrawal).await.unwrap();
    assert!(text.next().await.1.starts_with("【催办】"));
    assert!(text.next().await.1.starts_with("【催办已撤回】"));
    assert!(text.is_quiet().await);
    let kept = stored(server.client().await, ALERTS_OUT_STREAM).await;
    let ids: Vec<_> = kept.iter().map(|one| one.headers.get("Nats-Msg-Id").unwrap().to_string()).collect();
    let (notice, withdrawn) = (message.id, MessageId::withdrawal(message.id.id));
    let forms = |id: MessageId| [format!("{id}/text"), format!("{id}/json")];
    assert_eq!(ids, [forms(notice), forms(withdrawn)].concat());
    assert_eq!(stored(server.client().await, ALERTS_STREAM).await.len(), 1);
    assert_eq!(channel.id(), &channel_id("nats"));
}

#[tokio::test]
async fn what_an_operator_asked_for_is_heard_again() {
    let Some(server) = Server::start() else { return };
    let mut text = Listener::to(&server, "cuiban.alert.text.>").await;
    let channel = NatsChannel::new(NatsConfig::default(), server.client().await);
    let message = Message::of(&testing::notice(1), &manner());
    let asked_at = Some(super::world::at("2026-11-20T09:40:00Z"));
    for message in [message.clone(), message.clone(), Message { asked_at, ..message.clone() }] {
        channel.push(&message).await.unwrap();
    }
    let heard = [text.next().await, text.next().await];
    assert_eq!(heard[0], heard[1]);
    assert!(text.is_quiet().await);
}

#[tokio::test]
async fn a_server_that_has_the_old_stream_keeps_it_with_narrower_subjects() {
    let Some(server) = Server::start() else { return };
    let client = server.client().await;
    let context = jetstream::new(client.clone());
    // As the release before made it.
    let old = jetstream::stream::Config {
        name: ALERTS_STREAM.to_owned(),
        subjects: vec!["cuiban.alert.>".to_owned()],
        max_bytes: 1 << 20,
        max_age: std::time::Duration::from_secs(30 * 86_400),
        allow_direct: true,
        ..Default::default()
    };
    context.create_stream(old).await.unwrap();
    context.publish("cuiban.alert.B0.breach", "an alert of before".into()).await.unwrap().await.unwrap();
    let mut text = Listener::to(&server, "cuiban.alert.text.>").await;
    let channel = NatsChannel::new(NatsConfig::default(), client.clone());
    channel.push(&Message::of(&testing::notice(1), &manner())).await.unwrap();
    assert!(text.next().await.1.starts_with("【催办】"));
    let config = context.get_stream(ALERTS_STREAM).await.unwrap().cached_info().config.clone();
    assert_eq!((config.subjects, config.max_bytes), (vec!["cuiban.alert.*.*".to_owned()], 1 << 20));
    let kept = stored(client, ALERTS_STREAM).await;
    assert_eq!(subjects(&kept), ["cuiban.alert.B0.breach"; 2]);
    assert_eq!(&kept[0].payload[..], b"an alert of before");
}

#[tokio::test]
async fn the_streams_are_made_and_mended_before_the_first_alert() {
    let Some(server) = Server::start() else { return };
    let context = jetstream::new(server.client().await);
    // Somebody made it by hand, and nobody would hear what is kept there.
    let by_hand = jetstream::stream::Config {
        name: ALERTS_OUT_STREAM.to_owned(),
        subjects: vec!["cuiban.alerts-out.>".to_owned()],
        ..Default::default()
    };
    context.create_stream(by_hand).await.unwrap();
    let world = World::new().await;
    let config = Config { nats: Some(NatsConfig::default()), ..config() };
    let clock: Arc<dyn Clock> = world.clock.clone();
    let outlets = config.outlets(Some(server.client().await), &clock).unwrap();
    let notifier = world.start("one", outlets, config).await;
    let made = async {
        loop {
            let streams = [ALERTS_OUT_STREAM, ALERTS_STREAM].map(|name| context.get_stream(name));
            let [out, former] = futures::future::join_all(streams).await.try_into().unwrap();
            if let (Ok(out), Ok(_)) = (out, former)
                && out.cached_info().config.republish.is_some()
            {
                break;
            }
        }
    };
    within_reason(made).await;
    notifier.stop().await;
}

#[tokio::test]
async fn a_stream_that_somebody_removed_is_made_again() {
    let Some(server) = Server::start() else { return };
    let client = server.client().await;
    let channel = NatsChannel::new(NatsConfig::default(), client.clone());
    channel.push(&Message::of(&testing::notice(1), &manner())).await.unwrap();
    jetstream::new(client.clone()).delete_stream(ALERTS_OUT_STREAM).await.unwrap();
    channel.push(&Message::of(&testing::notice(2), &manner())).await.unwrap();
    assert_eq!(stored(client, ALERTS_OUT_STREAM).await.len(), 2);
}

#[tokio::test]
async fn the_stream_reserves_nothing() {
    let Some(server) = Server::start() else { return };
    let client = server.client().await;
    let channel = NatsChannel::new(NatsConfig::default(), client.clone());
    channel.push(&Message::of(&testing::notice(1), &manner())).await.unwrap();
    for name in [ALERTS_OUT_STREAM, ALERTS_STREAM] {
        let stream = jetstream::new(client.clone()).get_stream(name).await.unwrap();
        assert_eq!(stream.cached_info().config.max_bytes, -1, "{name}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_tried_again_when_it_is_back() {
    let Some(server) = Server::start() else { return };
    let (port, folder) = (server.port.to_string(), server.folder.clone());
    let client = server.client().await;
    let config = NatsConfig { ack_timeout_ms: 200, ..NatsConfig::default() };
    let channel = NatsChannel::new(config, client.clone());
    let message = Message::of(&testing::notice(1), &manner());
    drop(server);
    assert!(matches!(channel.push(&message).await, Err(PushError::Unavailable { .. })));
    let server = Server::start_at(&port, folder).unwrap();
    within_reason(async { while channel.push(&message).await.is_err() {} }).await;
    assert_eq!(stored(server.client().await, ALERTS_OUT_STREAM).await.len(), 2);
}
