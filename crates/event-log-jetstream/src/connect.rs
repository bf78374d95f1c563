//! Connecting: a server within a bounded time, new enough, with our stream on it and fit for our promises.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ReconnectToServer, ServerAddr};
use serde_json::Value;
use tokio::sync::watch;

use crate::Config;
use crate::api::{Broker, CallError, NO_STREAM, StreamInfo};
use crate::config::millis;
use crate::fitness::Fitness;
use crate::majority::Majority;
use crate::read::Replicas;
use crate::settings::{self, Setting};
use crate::subject::Subjects;

/// The first server version that checks an expectation over a wildcard subject.
pub const SERVER_VERSION_MIN: (u32, u32) = (2, 12);

/// Refusals that pass while a cluster is still coming up: no peers, no leader, no resources.
const PASSING: [u64; 4] = [10005, 10008, 10009, 10023];

/// The log cannot be connected to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No server answered in the time that the configuration gives.
    #[error("connect to {servers}: no server answered within {waited:?}")]
    Unreachable {
        /// The servers asked.
        servers: String,
        /// For how long.
        waited: Duration,
        /// The last attempt's error.
        #[source]
        source: async_nats::ConnectError,
    },
    /// The servers, credentials or certificates given cannot be used.
    #[error("connect to {servers}")]
    Refused {
        /// The servers asked.
        servers: String,
        /// Why.
        #[source]
        source: async_nats::ConnectError,
    },
    /// The credentials file cannot be read.
    #[error("connect: read the credentials file")]
    Credentials(#[source] std::io::Error),
    /// The server is too old to check our expectations.
    #[error("connect: nats-server {found} is too old, {}.{} is the least", SERVER_VERSION_MIN.0, SERVER_VERSION_MIN.1)]
    TooOld {
        /// The server's version.
        found: String,
    },
    /// There is no such stream, and who only reads makes none.
    #[error("connect: there is no log here: no stream {stream}")]
    Missing {
        /// The stream's name.
        stream: String,
    },
    /// There is no such stream any more: another one is there that only has something where a log was. An empty log would
    /// be taken for that one, and would hand out its numbers again.
    #[error(
        "日志流 {stream} 已丢失（{beside} 仍在）：请先恢复日志；确要从头开始，请先删除流 {beside} / connect: the stream {stream} was lost, as {beside} is there: restore the log, or, to begin anew on purpose, delete the stream {beside} first"
    )]
    Lost {
        /// The stream's name.
        stream: String,
        /// What is there.
        beside: String,
    },
    /// The stream can be neither found nor made.
    #[error("connect: find or make the stream {stream}")]
    Stream {
        /// The stream's name.
        stream: String,
        /// Why.
        #[source]
        source: cuiban_event_log::BoxError,
    },
    /// The stream exists with settings under which the log's promises do not hold; it was not changed.
    #[error("connect: the stream {stream} has other settings than the log needs: {}", list(.settings))]
    Unfit {
        /// The stream's name.
        stream: String,
        /// The settings concerned.
        settings: Vec<Setting>,
    },
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Looking at a log that there is.
    Read,
    /// Everything.
    Write,
}

/// A connection with its stream.
pub(crate) async fn connect(config: Config, access: Access) -> Result<Broker, ConnectError> {
    let (counted, mut turns) = watch::channel(0);
    let majority = Majority::default();
    let client = client(&config, counted, majority.clone()).await?;
    // The first beginning is told a little later; taken for a new one, it would cut the first requests short.
    let told = tokio::time::timeout(config.request_timeout(), turns.changed()).await;
    if !matches!(told, Ok(Ok(()))) {
        tracing::debug!("the connection's beginning was not told");
    }
    let found = client.server_info().version;
    if version(&found) < Some(SERVER_VERSION_MIN) {
        return Err(ConnectError::TooOld { found });
    }
    let broker = Broker {
        client,
        subjects: Subjects::new(&config.prefix),
        config,
        turns,
        majority,
        replicas: Replicas::default(),
        fitness: Fitness::default(),
    };
    let stream = broker.config.stream.to_string();
    if access == Access::Write
        && let Some(beside) = lost(&broker).await
    {
        return Err(ConnectError::Lost { stream, beside });
    }
    let info = match stream_info(&broker, access).await {
        Ok(info) => info,
        Err(error) if access == Access::Read && error.code() == Some(NO_STREAM) => {
            return Err(ConnectError::Missing { stream });
        }
        Err(source) => return Err(ConnectError::Stream { stream, source: source.into() }),
    };
    if access == Access::Read {
        return Ok(broker);
    }
    if let Err(error) = settings::add_republish(&broker, &info.config).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the stream does not republish 催办: supervisors' own clients hear none"
        );
    }
    let differing: Vec<Setting> =
        settings::compare(&broker, &info.config).into_iter().filter(|setting| !setting.holds()).collect();
    for setting in &differing {
        tracing::warn!(%stream, %setting, "the stream has another setting than we would give it");
    }
    let unfit: Vec<Setting> = differing.into_iter().filter(|setting| setting.needed).collect();
    if unfit.is_empty() { Ok(broker) } else { Err(ConnectError::Unfit { stream, settings: unfit }) }
}

/// Connects, trying again until the configured time is over.
async fn client(
    config: &Config,
    turns: watch::Sender<u64>,
    majority: Majority,
) -> Result<Client, ConnectError> {
    let options = kept_up(options(config).await?, config, turns, majority);
    let servers = config.servers_named();
    let waited = millis(config.connect_ms_max);
    let mut last = None;
    let attempts = async {
        loop {
            match options.clone().connect(config.servers.as_slice()).await {
                Ok(client) => return Ok(client),
                Err(error) if is_hopeless(&error) => return Err(error),
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(millis(config.retry_delay_ms)).await;
        }
    };
    match tokio::time::timeout(waited, attempts).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(source)) => Err(ConnectError::Refused { servers, source }),
        Err(_) => {
            let source = last.unwrap_or_else(|| async_nats::ConnectError::new(ConnectErrorKind::TimedOut));
            Err(ConnectError::Unreachable { servers, waited, source })
        }
    }
}

/// Whether trying again cannot help.
fn is_hopeless(error: &async_nats::ConnectError) -> bool {
    use ConnectErrorKind::{Authentication, AuthorizationViolation, ServerParse, Tls};
    matches!(error.kind(), ServerParse | Authentication | AuthorizationViolation | Tls)
}

/// How any server is connected to.
pub(crate) async fn options(config: &Config) -> Result<ConnectOptions, ConnectError> {
    let mut options = match &config.credentials_file {
        Some(file) => ConnectOptions::with_credentials_file(file).await.map_err(ConnectError::Credentials)?,
        None => match user_and_password(config) {
            // The library reads the addresses and passes over what they say of the user.
            Some((user, password)) => ConnectOptions::with_user_and_password(user, password),
            None => ConnectOptions::new(),
        },
    };
    if let Some(file) = &config.root_certificates_file {
        options = options.add_root_certificates(file.clone());
    }
    Ok(options.name("cuiban-event-log").connection_timeout(config.request_timeout()))
}

/// A connection that lasts: probed, begun again, and told of.
fn kept_up(
    options: ConnectOptions,
    config: &Config,
    turns: watch::Sender<u64>,
    majority: Majority,
) -> ConnectOptions {
    let delay_max = millis(config.reconnect_delay_ms_max);
    let turns = Arc::new(turns);
    let told = move |event| {
        let turns = turns.clone();
        async move {
            if matches!(event, Event::Connected | Event::Disconnected) {
                turns.send_modify(|count| *count += 1);
            }
            match event {
                Event::Connected => tracing::debug!("connected to the broker"),
                Event::Closed => tracing::debug!("the connection to the broker was let go"),
                other => tracing::warn!(event = %other, "the broker's connection"),
            }
        }
    };
    options
        .ping_interval(millis(config.ping_ms))
        .reconnect_delay_callback(move |attempt| reconnect_delay(attempt).min(delay_max))
        .reconnect_to_server_callback(move |_, _| {
            let better = majority.take_better();
            async move { better.map(|addr| ReconnectToServer { addr, delay: Some(Duration::ZERO) }) }
        })
        .event_callback(told)
}

/// From the first address that has them.
fn user_and_password(config: &Config) -> Option<(String, String)> {
    config.servers.iter().find_map(|server| {
        let address: ServerAddr = server.parse().ok()?;
        Some((address.username()?.to_owned(), address.password()?.to_owned()))
    })
}

/// At once, then after 20, 40, 80 … milliseconds.
fn reconnect_delay(attempt: usize) -> Duration {
    match attempt {
        0 | 1 => Duration::ZERO,
        attempt => Duration::from_millis(10 << attempt.min(12)),
    }
}

/// The stream's info; the stream is made when there is none, and it is to be written to. A cluster that is coming up is waited for.
async fn stream_info(broker: &Broker, access: Access) -> Result<StreamInfo, CallError> {
    let mut last = None;
    let attempts = async {
        loop {
            let found = match access {
                Access::Read => broker.stream_info().await,
                Access::Write => find_or_make(broker).await,
            };
            match found {
                Err(error) if is_passing(&error) => last = Some(error),
                answer => return answer,
            }
            tokio::time::sleep(millis(broker.config.retry_delay_ms)).await;
        }
    };
    let answer = tokio::time::timeout(millis(broker.config.connect_ms_max), attempts).await;
    answer.unwrap_or_else(|_| Err(last.unwrap_or(CallError::NotConnected)))
}

fn is_passing(error: &CallError) -> bool {
    match error.code() {
        Some(code) => PASSING.contains(&code),
        None => matches!(error, CallError::NotConnected | CallError::ConnectionLost | CallError::NoAnswer(_)),
    }
}

/// The stream beside a log that was lost, if the broker has that stream and no log. Where the broker does not answer, the
/// next request to it fails by itself.
async fn lost(broker: &Broker) -> Option<String> {
    let beside = broker.config.lost_beside.clone()?;
    let is_missing = broker.stream_info().await.is_err_and(|error| error.code() == Some(NO_STREAM));
    let found: Result<Value, CallError> = match is_missing {
        true => broker.call(&format!("STREAM.INFO.{beside}"), &Value::Null).await,
        false => return None,
    };
    found.is_ok_and(|info| info["state"]["last_seq"].as_u64() > Some(0)).then_some(beside)
}

async fn find_or_make(broker: &Broker) -> Result<StreamInfo, CallError> {
    match broker.stream_info().await {
        Err(error) if error.code() == Some(NO_STREAM) => {}
        answer => return answer,
    }
    let stream = &broker.config.stream;
    match broker.call::<Value>(&format!("STREAM.CREATE.{stream}"), &settings::wanted(broker)).await {
        Ok(_) => tracing::info!(%stream, "made the log's stream"),
        // Somebody else may have made it meanwhile: what counts is what is there.
        Err(error) => match broker.stream_info().await {
            Ok(info) => return Ok(info),
            Err(_) => return Err(error),
        },
    }
    broker.stream_info().await
}

/// The first two numbers of a version.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

fn list(settings: &[Setting]) -> String {
    settings.iter().map(Setting::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(version("2.9.25") < Some(SERVER_VERSION_MIN));
        assert!(version("2.12.0-RC.1") >= Some(SERVER_VERSION_MIN));
        assert!(version("2.15.1") >= Some(SERVER_VERSION_MIN));
        assert!(version("") < Some(SERVER_VERSION_MIN));
    }
}
