//! What the roles are made of: a log, a clock, handlers, read models, and a client for a running system.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use chrono::{DateTime, Utc};
use cuiban_command_handler::Clock;
use cuiban_deliveries::Deliveries;
use cuiban_deliveries_jetstream::JetStreamDeliveries;
use cuiban_deliveries_sqlite::SqliteDeliveries;
use cuiban_event_log::{EventLog, Filter, LogError, Position};
use cuiban_event_log_jetstream::{ConnectError, JetStreamLog};
use cuiban_event_log_sqlite::SqliteLog;
use serde_json::Value;

use crate::args::LogPlace;
use crate::exit::{Failure, OrFailure};
use crate::settings::Settings;

/// Among how many of the last commits one is looked for that can be read.
const LAST_COMMITS: u64 = 64;

/// Whether a log is only looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing is made.
    Read,
    /// A log is made where there was none; where one was lost, it has to be restored first.
    Write,
    /// A log is made where there is none: it is to be restored.
    Restore,
}

/// Where the data folder keeps what.
#[derive(Clone, Debug)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    /// The folder that was named, or `./cuiban-data`.
    pub(crate) fn new(named: Option<PathBuf>, settings: &Settings) -> Self {
        Self(named.or_else(|| settings.data.clone()).unwrap_or_else(|| PathBuf::from("cuiban-data")))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn log_file(&self) -> PathBuf {
        self.0.join("log.sqlite")
    }

    pub(crate) fn models(&self) -> PathBuf {
        self.0.join("models")
    }

    pub(crate) fn watchdog(&self) -> PathBuf {
        self.0.join("watchdog")
    }

    pub(crate) fn outbox(&self) -> PathBuf {
        self.0.join("outbox")
    }

    /// What is kept where, for figures.
    pub(crate) fn stores(&self) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("log", self.log_file()),
            ("log_wal", self.0.join("log.sqlite-wal")),
            ("models", self.models()),
            ("watchdog", self.watchdog()),
            ("outbox", self.outbox()),
            ("deliveries", self.deliveries_file()),
        ]
    }

    pub(crate) fn deliveries_file(&self) -> PathBuf {
        self.0.join("deliveries.sqlite")
    }
}

/// Where a log is, once arguments and settings are weighed.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// On NATS, at this URL.
    Nats(String),
    /// In a data folder.
    Embedded(cuiban_event_log_sqlite::Config),
}

impl Place {
    pub(crate) fn of(place: &LogPlace, settings: &Settings) -> Self {
        let nats = place.nats.clone().or_else(|| settings.nats.clone().filter(|_| place.data.is_none()));
        match nats {
            Some(url) => Self::Nats(url),
            None => Self::Embedded(sqlite_config(&DataDir::new(place.data.clone(), settings), settings)),
        }
    }
}

fn sqlite_config(data: &DataDir, settings: &Settings) -> cuiban_event_log_sqlite::Config {
    cuiban_event_log_sqlite::Config { path: data.log_file(), ..settings.sqlite.clone() }
}

/// The log at a place: embedded in a data folder, or on NATS.
pub(crate) async fn open_log(
    place: &LogPlace,
    settings: Settings,
    access: Access,
) -> Result<Arc<dyn EventLog>, Failure> {
    match Place::of(place, &settings) {
        Place::Nats(url) => connect(&url, &settings, access).await.map(|log| log as Arc<dyn EventLog>),
        Place::Embedded(_) => embedded(&DataDir::new(place.data.clone(), &settings), &settings, access),
    }
}

/// The log on NATS JetStream.
pub(crate) async fn connect(
    url: &str,
    settings: &Settings,
    access: Access,
) -> Result<Arc<JetStreamLog>, Failure> {
    let servers = url.split(',').map(str::to_owned).collect();
    let lost_beside = (access == Access::Write).then(|| deliveries_stream(settings));
    let config = cuiban_event_log_jetstream::Config { servers, lost_beside, ..settings.jetstream.clone() };
    let log = match access {
        Access::Read => JetStreamLog::connect_for_reading(config).await,
        Access::Write | Access::Restore => JetStreamLog::connect(config).await,
    };
    match log {
        Ok(log) => Ok(Arc::new(log)),
        Err(missing @ (ConnectError::Missing { .. } | ConnectError::Lost { .. })) => {
            Err(Failure::Failed(missing.into()))
        }
        Err(error) => Err(Failure::Unreachable(anyhow!(error).context(format!("reach NATS at {url}")))),
    }
}

/// The log in a data folder.
pub(crate) fn embedded(
    data: &DataDir,
    settings: &Settings,
    access: Access,
) -> Result<Arc<dyn EventLog>, Failure> {
    Ok(Arc::new(sqlite(data, settings, access)?))
}

/// The log in a data folder, for whoever decides by it: its clock is compared with its last commit first.
pub(crate) async fn embedded_to_decide_by(
    data: &DataDir,
    settings: &Settings,
) -> Result<Arc<dyn EventLog>, Failure> {
    let log = sqlite(data, settings, Access::Write)?;
    if let Some(last_commit) = last_recorded_at(&log).await? {
        log.begins_after(last_commit);
    }
    Ok(Arc::new(log))
}

/// When the last commit that can be read was recorded; `None` in a log without any, or with none among the last few.
pub(crate) async fn last_recorded_at(log: &dyn EventLog) -> Result<Option<DateTime<Utc>>, LogError> {
    let head = log.head().await?;
    let (mut position, mut last) = (Position::from_raw(head.raw().saturating_sub(LAST_COMMITS)), None);
    if head == Position::START {
        return Ok(None);
    }
    let mut subscription = log.subscribe(Filter::everything(), position).await?;
    while position < head {
        let Some(recorded) = subscription.next().await.transpose()? else { break };
        position = recorded.position();
        let commit = cuiban_event_schema::decode(recorded.payload()).ok();
        last = commit.map(|commit| commit.envelope.happened.recorded_at).or(last);
    }
    Ok(last)
}

fn sqlite(data: &DataDir, settings: &Settings, access: Access) -> Result<SqliteLog, Failure> {
    let config = sqlite_config(data, settings);
    let log = match access {
        Access::Read => SqliteLog::open_read_only(config),
        Access::Write | Access::Restore => {
            let (file, beside) = (data.log_file(), data.deliveries_file());
            if access == Access::Write && beside.exists() && !file.exists() {
                let (file, beside) = (file.display(), beside.display());
                return Err(Failure::Failed(anyhow!(
                    "日志文件 {file} 已丢失（{beside} 仍在）：请先恢复日志；确要从头开始，请先移走 {beside} / the log {file} was lost, as {beside} is there: restore it, or, to begin anew on purpose, move {beside} away first"
                )));
            }
            std::fs::create_dir_all(data.path())
                .with_context(|| format!("make the folder {}", data.path().display()))?;
            SqliteLog::open(config)
        }
    };
    Ok(log?)
}

fn deliveries_stream(settings: &Settings) -> String {
    format!("{}_DELIVERIES", settings.jetstream.stream)
}

/// The record of deliveries: beside the log on NATS, on as many servers, or in the data folder.
pub(crate) fn deliveries(
    data: &DataDir,
    settings: &Settings,
    nats: Option<async_nats::Client>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Deliveries>, Failure> {
    let keep_days = settings.deliveries.keep_days;
    let Some(client) = nats else {
        let config = cuiban_deliveries_sqlite::Config { keep_days };
        return Ok(Arc::new(SqliteDeliveries::open(&data.deliveries_file(), &config, move || clock.now())?));
    };
    let log = &settings.jetstream;
    let config = cuiban_deliveries_jetstream::Config {
        stream: deliveries_stream(settings),
        prefix: log.prefix.to_string(),
        replicas: log.replicas.into(),
        keep_days,
        ..Default::default()
    };
    Ok(Arc::new(JetStreamDeliveries::new(config, client)))
}

/// A client for a running system.
pub(crate) struct Remote {
    client: reqwest::Client,
    url: String,
    token: Option<String>,
}

/// What a running system says to a command.
pub(crate) enum Answer {
    Obeyed(Value),
    Refused(Value),
}

impl Remote {
    pub(crate) fn new(url: &str, token: Option<String>) -> anyhow::Result<Self> {
        // Already installed is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().build().context("make an HTTP client")?;
        Ok(Self { client, url: url.trim_end_matches('/').to_owned(), token })
    }

    /// A query's answer.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        let request = self.client.get(format!("{}{path}", self.url));
        match self.send(request).await? {
            Answer::Obeyed(value) => Ok(value),
            Answer::Refused(problem) => Err(Failure::Failed(anyhow!("{}", problem_text(&problem)))),
        }
    }

    /// A command's answer; the same key makes it obeyed once.
    pub(crate) async fn post(
        &self,
        path: &str,
        idempotency_key: &str,
        body: &Value,
    ) -> Result<Answer, Failure> {
        let request =
            self.client.post(format!("{}{path}", self.url)).header("idempotency-key", idempotency_key);
        self.send(request.json(body)).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, Failure> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().await.with_context(|| format!("reach {}", self.url)).or_unreachable()?;
        let status = answer.status();
        let value: Value = answer.json().await.with_context(|| format!("read the answer of {}", self.url))?;
        match status.as_u16() {
            200..300 => Ok(Answer::Obeyed(value)),
            503 | 504 => Err(Failure::Unreachable(anyhow!("{}", problem_text(&value)))),
            _ => Ok(Answer::Refused(value)),
        }
    }
}

fn problem_text(problem: &Value) -> String {
    let text = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default();
    format!("{} ({}): {}", text("title"), text("code"), text("detail"))
}
