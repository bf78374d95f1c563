//! A command on JetStream, beside bare publishes that state the same expectation; and the server that both talk to.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::stream;
use bytes::Bytes;
use cuiban_event_log::Token;
use cuiban_event_log_jetstream::test_server::NatsServer;
use cuiban_event_log_jetstream::{Config, JetStreamLog};
use futures::StreamExt;

use crate::figure::{AnyError, failed};
use crate::office::{Office, contents, side_by_side};
use crate::stopwatch::{per_second, timed_async};
use crate::{BenchError, Figure, Goal};

/// Commands a round: at least so many, and so many for each writer.
const COMMANDS_MIN: usize = 1_000;
const COMMANDS_A_WRITER: usize = 50;

const LIMIT: &str =
    "bare publishes with an expected last sequence by subject, same bytes, concurrency and syncing";

/// A nats-server of our own that syncs before it acknowledges.
pub(crate) struct Broker {
    server: NatsServer,
    streams: AtomicUsize,
}

impl Broker {
    /// The server's program: what `NATS_SERVER` names, or `nats-server` on the path.
    pub(crate) fn program() -> Option<PathBuf> {
        if let Some(named) = std::env::var_os("NATS_SERVER") {
            return Some(PathBuf::from(named)).filter(|path| path.is_file());
        }
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join("nats-server")).find(|file| file.is_file())
    }

    /// Starts it on a free port, with a folder of its own.
    pub(crate) async fn start() -> Self {
        Self { server: NatsServer::start().await, streams: AtomicUsize::new(0) }
    }

    /// A log in a stream of its own.
    pub(crate) async fn new_log(&self) -> Result<JetStreamLog, AnyError> {
        let name = Token::new(format!("bench{}", self.streams.fetch_add(1, Ordering::Relaxed)))?;
        let config = Config { stream: name.clone(), prefix: name, ..self.server.config() };
        Ok(JetStreamLog::connect(config).await?)
    }

    /// Gives a log's room on the disk back.
    pub(crate) async fn remove(&self, log: JetStreamLog) -> Result<(), AnyError> {
        let context = async_nats::jetstream::new(log.client());
        context.delete_stream(log.config().stream.as_str()).await?;
        Ok(())
    }
}

/// Registrations a second by so many writers, each waiting for its answer.
pub(crate) async fn durable_commands(
    rounds: u32,
    writers: usize,
    broker: &Broker,
) -> Result<Figure, BenchError> {
    let plural = if writers == 1 { "" } else { "s" };
    let what = format!("command, JetStream with sync always, {writers} writer{plural}");
    let count = COMMANDS_MIN.max(writers * COMMANDS_A_WRITER);
    let mut pairs = Vec::new();
    for _ in 0..rounds {
        pairs.push(round(broker, writers, count).await.map_err(failed(&what))?);
    }
    let note = "the server's memory is not counted";
    Ok(Figure::beside(what, "commands/s", LIMIT, &pairs).goal(Goal::Ratio(0.6)).note(note))
}

async fn round(broker: &Broker, writers: usize, count: usize) -> Result<(f64, f64), AnyError> {
    let log = broker.new_log().await?;
    let office = Office::on(Arc::new(log.clone())).await?;
    let (took, result) = timed_async(office.registrations(writers, count)).await;
    result?;
    let found = contents(office.log.as_ref()).await?;
    let payload = Bytes::from(vec![7; found.payload_bytes / found.commits.max(1)]);
    let bare = bare_publishes(&log, payload, writers, count).await?;
    broker.remove(log).await?;
    Ok((per_second(count, took), bare))
}

/// Publishes a second into a stream that is set up as the log's own, each expecting to be its subject's first.
async fn bare_publishes(
    log: &JetStreamLog,
    payload: Bytes,
    writers: usize,
    count: usize,
) -> Result<f64, AnyError> {
    let client = log.client();
    let context = async_nats::jetstream::new(client.clone());
    let name = format!("bare-{}", log.config().stream);
    let wanted = context.get_stream(log.config().stream.as_str()).await?.get_info().await?.config;
    let subjects = vec![format!("{name}.>")];
    context.create_stream(stream::Config { name: name.clone(), subjects, ..wanted }).await?;
    let publish = {
        let name = name.clone();
        move |n: usize| {
            let (client, payload) = (client.clone(), payload.clone());
            let of_stream = format!("{name}.log.ticket.{n:036}");
            async move {
                let mut headers = HeaderMap::new();
                headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
                headers.insert("Nats-Expected-Last-Subject-Sequence-Subject", format!("{of_stream}.>"));
                let subject = format!("{of_stream}.B0.case");
                let answer = client.request_with_headers(subject, headers, payload).await?;
                match answer.payload.starts_with(b"{\"error\"") {
                    false => Ok(()),
                    true => Err(String::from_utf8_lossy(&answer.payload).into_owned().into()),
                }
            }
        }
    };
    let (took, result) = timed_async(side_by_side(writers, count, publish)).await;
    result?;
    context.delete_stream(name).await?;
    Ok(per_second(count, took))
}

/// Reads a log's stream with the client library's ordered consumer and throws the messages away.
pub(crate) async fn drain_bare(log: &JetStreamLog, commits: usize) -> Result<(), AnyError> {
    let context = async_nats::jetstream::new(log.client());
    let stream = context.get_stream(log.config().stream.as_str()).await?;
    let consumer = stream.create_consumer(OrderedConfig::default()).await?;
    let mut messages = consumer.messages().await?;
    for _ in 0..commits {
        messages.next().await.ok_or("the ordered consumer ended")??;
    }
    Ok(())
}
