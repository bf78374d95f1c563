//! The channel to NATS against a real server.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use async_nats::jetstream;
use cuiban_command_handler::Clock;
use cuiban_domain::ticket::Urgency;
use tempfile::TempDir;

use super::world::{World, channel_id, config, until, within_reason};
use crate::testing;
use crate::wording::Place;
use crate::{ALERTS_STREAM, Channel, Config, Message, NatsChannel, NatsConfig, PushError};

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

async fn stored(client: async_nats::Client) -> Vec<jetstream::message::StreamMessage> {
    let stream = jetstream::new(client).get_stream(ALERTS_STREAM).await.unwrap();
    let last = stream.cached_info().state.last_sequence;
    let mut messages = Vec::new();
    for sequence in 1..=last {
        messages.push(stream.get_raw_message(sequence).await.unwrap());
    }
    messages
}

#[tokio::test]
async fn alerts_are_kept_by_branch_and_severity_under_their_ids() {
    let Some(server) = Server::start() else { return };
    let world = World::new().await;
    let config = Config { nats: Some(NatsConfig::default()), ..config() };
    let clock: Arc<dyn Clock> = world.clock.clone();
    let outlets = config.outlets(Some(server.client().await), &clock).unwrap();
    let notifier = world.start("outbox", outlets, config).await;
    world.register(Urgency::Emergency).await;
    until(&notifier, "nats", |status| status.delivered == 1).await;
    let notice = world.breach().await;
    until(&notifier, "nats", |status| status.delivered == 2).await;
    let messages = stored(server.client().await).await;
    let subjects: Vec<_> = messages.iter().map(|message| message.subject.as_str()).collect();
    assert_eq!(subjects, ["cuiban.alert.B0.emergency", "cuiban.alert.B0.breach"]);
    assert_eq!(messages[1].headers.get("Nats-Msg-Id").unwrap().as_str(), notice.to_string());
    let json: serde_json::Value = serde_json::from_slice(&messages[1].payload).unwrap();
    assert_eq!(json["data"]["id"], notice.to_string());
    assert_eq!(world.outcomes(notice), "d");
    notifier.stop().await;
}

#[tokio::test]
async fn a_message_that_is_pushed_again_is_kept_once() {
    let Some(server) = Server::start() else { return };
    let channel = NatsChannel::new(NatsConfig::default(), server.client().await);
    let place = Place { branch: "B0".to_owned(), zone: chrono_tz::Asia::Shanghai };
    let message = Message::of(&testing::notice(1), &place);
    for _ in 0..3 {
        channel.push(&message).await.unwrap();
    }
    assert_eq!(stored(server.client().await).await.len(), 1);
    assert_eq!(channel.id(), &channel_id("nats"));
}

#[tokio::test]
async fn a_stream_that_somebody_removed_is_made_again() {
    let Some(server) = Server::start() else { return };
    let client = server.client().await;
    let channel = NatsChannel::new(NatsConfig::default(), client.clone());
    let place = Place { branch: "B0".to_owned(), zone: chrono_tz::Asia::Shanghai };
    channel.push(&Message::of(&testing::notice(1), &place)).await.unwrap();
    jetstream::new(client.clone()).delete_stream(ALERTS_STREAM).await.unwrap();
    channel.push(&Message::of(&testing::notice(2), &place)).await.unwrap();
    assert_eq!(stored(client).await.len(), 1);
}

#[tokio::test]
async fn a_server_that_is_away_is_tried_again_when_it_is_back() {
    let Some(server) = Server::start() else { return };
    let (port, folder) = (server.port.to_string(), server.folder.clone());
    let client = server.client().await;
    let config = NatsConfig { ack_timeout_ms: 200, ..NatsConfig::default() };
    let channel = NatsChannel::new(config, client.clone());
    let place = Place { branch: "B0".to_owned(), zone: chrono_tz::Asia::Shanghai };
    let message = Message::of(&testing::notice(1), &place);
    drop(server);
    assert!(matches!(channel.push(&message).await, Err(PushError::Unavailable { .. })));
    let server = Server::start_at(&port, folder).unwrap();
    within_reason(async { while channel.push(&message).await.is_err() {} }).await;
    assert_eq!(stored(server.client().await).await.len(), 1);
}
