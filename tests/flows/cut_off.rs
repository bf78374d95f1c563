//! A server that is cut off from the two others keeps its clients' connections and can do nothing for them: who is
//! connected to it has the log again while the cut lasts, through another server.

use std::time::Duration;

use acceptance::{Broker, Wire};
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use cuiban_event_log::{
    Append, AppendError, Appended, EventLog, Expected, Filter, Position, Route, StreamId, Subscription, Token,
};
use cuiban_event_log_jetstream::test_server::NatsServer;
use cuiban_event_log_jetstream::{Config, JetStreamLog};
use uuid::Uuid;

/// How long the log may be away: the two others choose a leader meanwhile where it was the leader that was cut off.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_cut_off_from_the_others_is_left() -> Result<()> {
    is_left(Wire::Cut, |server, leader| server != leader).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_whose_others_have_fallen_silent_is_left() -> Result<()> {
    is_left(Wire::Silent, |server, leader| server != leader).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_others_have_fallen_silent_is_left() -> Result<()> {
    is_left(Wire::Silent, |server, leader| server == leader).await
}

/// Cuts off a server that a log is connected to; appends, reads and hears as long as it is.
async fn is_left(wire: Wire, is_wanted: impl Fn(usize, usize) -> bool) -> Result<()> {
    let broker = Broker::three().await?;
    let (log, server) = connected(&broker, is_wanted).await?;
    let mut all = log.subscribe(Filter::everything(), Position::START).await?;
    let before = within(until_appended(&log)).await.context("the servers do not come up")?;
    heard(&mut all, before.position).await?;
    broker.wire_server(server, wire);
    let again = within(until_appended(&log)).await.context("no other server was turned to")?;
    ensure!(server_of(&log)? != server, "the one that is cut off can store nothing");
    heard(&mut all, again.position).await.context("what is stored while the server is cut off")?;
    Ok(())
}

async fn heard(subscription: &mut Subscription, position: Position) -> Result<()> {
    let heard = async {
        while let Some(stored) = subscription.next().await {
            if stored?.position() == position {
                return Ok(());
            }
        }
        bail!("the subscription ended")
    };
    within(heard).await.context("it is not heard")?
}

async fn within<T>(future: impl Future<Output = T>) -> Result<T> {
    Ok(tokio::time::timeout(PATIENCE, future).await?)
}

/// A log connected to a server that is wanted, given its number and the leader's.
async fn connected(
    broker: &Broker,
    is_wanted: impl Fn(usize, usize) -> bool,
) -> Result<(JetStreamLog, usize)> {
    let servers = broker.servers().iter().map(NatsServer::url).collect();
    let config =
        Config { servers, replicas: 3, connect_ms_max: 60_000, append_ms_max: 1_000, ..Config::default() };
    loop {
        // The library takes one of the servers by chance.
        let log = JetStreamLog::connect(config.clone()).await?;
        let server = server_of(&log)?;
        if is_wanted(server, broker.leader().await) {
            return Ok((log, server));
        }
    }
}

/// The number of the server that it is connected to.
fn server_of(log: &JetStreamLog) -> Result<usize> {
    let name = log.client().server_info().server_name;
    let number = name.strip_prefix("test-").with_context(|| format!("a server of ours: {name}"))?;
    Ok(number.parse()?)
}

async fn until_appended(log: &JetStreamLog) -> Appended {
    let mut again = tokio::time::interval(Duration::from_millis(50));
    loop {
        again.tick().await;
        if let Ok(appended) = appended(log).await {
            return appended;
        }
    }
}

/// One commit in a stream of its own.
async fn appended(log: &JetStreamLog) -> Result<Appended, AppendError> {
    #[expect(clippy::unwrap_used, reason = "words that are tokens")]
    let token = |text: &str| Token::new(text).unwrap();
    let commit_id = Uuid::from_u128(fastrand::u128(..));
    let stream = StreamId { kind: token("ticket"), id: token(&commit_id.simple().to_string()) };
    let route = Route { branch: token("B0"), class: token("case") };
    let payload = Bytes::copy_from_slice(commit_id.as_bytes());
    log.append(Append { stream, expected: Expected::NoStream, route, commit_id, payload }).await
}
