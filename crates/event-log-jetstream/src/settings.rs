//! The stream's settings: how we make it, how we find it, and what can be seen of the server's syncing.

use std::fmt;
use std::time::Duration;

use cuiban_event_log::LogProblem;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Storage;
use crate::api::{Broker, CallError, Nanos};

/// The largest answer of a monitoring endpoint that is read.
const MONITOR_BYTES_MAX: u64 = 4 << 20;

/// What the broker says of itself, for whoever checks an installation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SettingsReport {
    /// The version of the server that we are connected to.
    pub server_version: String,
    /// The stream's name.
    pub stream: String,
    /// Each setting that matters, as wanted and as found.
    pub settings: Vec<Setting>,
    /// Whether the server syncs before it acknowledges.
    pub sync: SyncSetting,
}

/// One setting of the stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// The broker's name for it.
    pub name: &'static str,
    /// What we would give it.
    pub wanted: Value,
    /// What it is.
    pub found: Value,
    /// Whether the log's promises depend on it; without such a setting connecting fails.
    pub needed: bool,
}

/// When the server's files are synced. By default JetStream acknowledges first and syncs every two minutes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncSetting {
    /// Before each acknowledgement.
    Always,
    /// From time to time: a crash of the machine can take what was acknowledged since.
    Every(Duration),
    /// It cannot be seen from here.
    Unseen {
        /// Why not.
        why: String,
    },
}

impl Setting {
    /// Whether it is as wanted.
    pub fn holds(&self) -> bool {
        self.wanted == self.found
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} (wanted: {})", self.name, self.found, self.wanted)
    }
}

/// The settings that we give a stream of our own making.
pub(crate) fn wanted(broker: &Broker) -> Value {
    let config = &broker.config;
    json!({
        "name": config.stream,
        "subjects": [broker.subjects.all()],
        "storage": storage(config.storage),
        "retention": "limits",
        "discard": "new",
        "max_age": 0,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_msgs_per_subject": -1,
        "max_msg_size": -1,
        "max_consumers": -1,
        "deny_delete": true,
        "deny_purge": true,
        "allow_rollup_hdrs": false,
        "allow_direct": true,
        "compression": "none",
        "num_replicas": config.replicas,
        "duplicate_window": Nanos::from(config.duplicate_window_ms),
        "republish": republish(broker),
    })
}

/// What the stream publishes again once it has stored it: 催办 alone, for whoever listens with a plain client. On the
/// log's own subjects such a client would hear what is refused, too.
fn republish(broker: &Broker) -> Value {
    json!({ "src": broker.subjects.stored_expedites(), "dest": broker.subjects.feed() })
}

/// Lets a stream that republishes nothing republish as ours do; one that republishes something else stays as it is.
pub(crate) async fn add_republish(broker: &Broker, found: &Value) -> Result<(), CallError> {
    if found.get("republish").is_some_and(|republish| !republish.is_null()) {
        return Ok(());
    }
    let mut settings = found.clone();
    settings["republish"] = republish(broker);
    broker.call::<Value>(&format!("STREAM.UPDATE.{}", broker.config.stream), &settings).await.map(drop)
}

fn storage(storage: Storage) -> &'static str {
    match storage {
        Storage::File => "file",
        Storage::Memory => "memory",
    }
}

/// The settings that matter: name, whether promises depend on it, and what the broker means by saying nothing.
const COMPARED: [(&str, bool, Value); 22] = [
    ("subjects", true, Value::Null),
    ("storage", true, Value::Null),
    ("retention", true, Value::Null),
    ("discard", true, Value::Null),
    ("max_age", true, Value::Null),
    ("max_msgs_per_subject", true, Value::Null),
    ("max_msg_size", true, Value::Null),
    ("allow_direct", true, Value::Bool(false)),
    ("allow_rollup_hdrs", true, Value::Bool(false)),
    ("persist_mode", true, Value::Null),
    ("no_ack", true, Value::Bool(false)),
    ("mirror", true, Value::Null),
    ("sources", true, Value::Null),
    ("subject_transform", true, Value::Null),
    ("deny_delete", false, Value::Bool(false)),
    ("deny_purge", false, Value::Bool(false)),
    ("max_msgs", false, Value::Null),
    ("max_bytes", false, Value::Null),
    ("compression", false, Value::Null),
    ("num_replicas", false, Value::Null),
    ("duplicate_window", false, Value::Null),
    ("republish", false, Value::Null),
];

/// Settings under which every promise holds, and which yet are worth a word: who has the right can take messages out of
/// the stream, or it takes no more before its disk is full.
const GUARDS: [&str; 4] = ["deny_delete", "deny_purge", "max_msgs", "max_bytes"];

/// Compares what is found with what we would have made.
pub(crate) fn compare(broker: &Broker, found: &Value) -> Vec<Setting> {
    let mut wanted = wanted(broker);
    // A limit that the server has anyway is none.
    let largest = i64::try_from(broker.client.max_payload()).unwrap_or(i64::MAX);
    if found["max_msg_size"].as_i64().is_some_and(|limit| limit >= largest) {
        wanted["max_msg_size"] = found["max_msg_size"].clone();
    }
    let said = |settings: &Value, name: &str, unsaid: &Value| match settings.get(name) {
        None | Some(Value::Null) => unsaid.clone(),
        Some(said) => said.clone(),
    };
    let setting = |(name, needed, unsaid): &(&'static str, bool, Value)| Setting {
        name,
        wanted: said(&wanted, name, unsaid),
        found: said(found, name, unsaid),
        needed: *needed,
    };
    COMPARED.iter().map(setting).collect()
}

/// What differs, as problems of the log: under what is needed nothing is written, the rest is worth a word.
pub(crate) fn problems(broker: &Broker, found: &Value) -> Vec<LogProblem> {
    let differing = compare(broker, found).into_iter().filter(|setting| !setting.holds());
    let worth_a_word = differing.filter(|setting| setting.needed || GUARDS.contains(&setting.name));
    let problem = |setting: Setting| LogProblem {
        code: "settings_changed",
        detail: setting.to_string(),
        stops_writing: setting.needed,
    };
    worth_a_word.map(problem).collect()
}

/// Asks the broker.
pub(crate) async fn report(broker: &Broker) -> Result<SettingsReport, CallError> {
    let info = broker.stream_info().await?;
    Ok(SettingsReport {
        server_version: broker.client.server_info().version,
        stream: broker.config.stream.to_string(),
        settings: compare(broker, &info.config),
        sync: sync(broker).await,
    })
}

/// When the server that the monitoring endpoint belongs to syncs.
pub(crate) async fn sync(broker: &Broker) -> SyncSetting {
    let sync = match &broker.config.monitor {
        None => Err("no monitoring endpoint is configured".to_owned()),
        Some(monitor) => {
            let asked = tokio::time::timeout(broker.config.request_timeout(), sync_setting(monitor)).await;
            asked.unwrap_or_else(|_| Err(format!("no answer from {monitor} in time")))
        }
    };
    sync.unwrap_or_else(|why| SyncSetting::Unseen { why })
}

/// Reads the sync setting from a server's `/varz`.
async fn sync_setting(monitor: &str) -> Result<SyncSetting, String> {
    let variables = variables(monitor).await.map_err(|error| format!("ask {monitor}: {error}"))?;
    let settings = &variables["jetstream"]["config"];
    if settings["sync_always"] == json!(true) {
        return Ok(SyncSetting::Always);
    }
    let nanos = settings["sync_interval"].as_u64();
    nanos
        .map(|nanos| SyncSetting::Every(Duration::from_nanos(nanos)))
        .ok_or("the server does not say".to_owned())
}

async fn variables(monitor: &str) -> std::io::Result<Value> {
    let mut connection = TcpStream::connect(monitor).await?;
    // 1.0: one answer, its end is the end of the connection.
    connection.write_all(format!("GET /varz HTTP/1.0\r\nHost: {monitor}\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    connection.take(MONITOR_BYTES_MAX).read_to_end(&mut answer).await?;
    let blank = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(answer.len());
    let body = answer.get(blank + 4..).unwrap_or_default();
    Ok(serde_json::from_slice(body)?)
}
