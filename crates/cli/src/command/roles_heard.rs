//! The doctor's ear: which roles are there, on which builds, and whether somebody watches.
//!
//! On NATS it listens to heartbeats; beside a data folder it asks the process that serves it. What nobody has urged
//! is the finding of a projector, or of the doctor's own fold where no projector says anything.

use std::net::SocketAddr;
use std::time::Duration;

use cuiban_command_handler::{Clock, SystemClock};
use cuiban_domain::Aggregate;
use cuiban_domain::ticket::Ticket;
use cuiban_event_log::{EventLog, Filter, Pattern, Position, Token};
use cuiban_projector::{Incoming, MemoryDisk, Model, OpenClocksByDue, Store, StorePlace, Unurged};
use cuiban_vitals::{Beat, Heard, LISTENING_MIN, LoopBeat, Problem, Roll};
use serde_json::Value;

use super::doctor::Finding;
use crate::beats::NatsBeats;
use crate::settings::Settings;

const ROLES: &str = "角色 roles";
const WATCHED: &str = "催办 watching";
/// How many commits are folded at a time.
const BATCH_COMMITS_MAX: usize = 4_096;
/// How many due clocks are counted.
const CLOCKS_MAX: usize = 5_000;
/// How long the process beside a data folder may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Listens for as long as every instance needs to be heard.
pub(super) async fn over_nats(
    log: &dyn EventLog,
    client: async_nats::Client,
    settings: &Settings,
) -> Vec<Finding> {
    let roll = Roll::new();
    let beats = NatsBeats::new(client, settings.jetstream.prefix.clone());
    let listening = match beats.listen(roll.clone()).await {
        Ok(listening) => listening,
        Err(error) => {
            let advice = "允许订阅 cuiban.beat.*.* / let this user subscribe to cuiban.beat.*.*";
            return vec![Finding::bad(ROLES, error.to_string(), advice)];
        }
    };
    tokio::time::sleep(LISTENING_MIN).await;
    listening.abort();
    let everybody = roll.everybody();
    let mut findings: Vec<_> = everybody.iter().map(instance).collect();
    for role in ["gateway", "projector"] {
        if !everybody.iter().any(|heard| [role, "all"].contains(&heard.beat.role.as_str())) {
            let seen = format!("没有 {role} / no {role} was heard");
            findings.push(Finding::attention(ROLES, seen, format!("cuiban serve {role}")));
        }
    }
    for unattended in roll.unattended() {
        let seen = cuiban_gateway::words::unattended(&unattended);
        let advice = match unattended.post {
            cuiban_vitals::Post::Notifying => "重启或启动 cuiban serve notifier / restart it, or start one",
            cuiban_vitals::Post::Watching | cuiban_vitals::Post::Succession => {
                "重启或启动 cuiban serve watchdog / restart it, or start one"
            }
        };
        findings.push(Finding::bad(WATCHED, seen, advice));
    }
    for heard in &everybody {
        findings.extend(heard.beat.problems.iter().map(|problem| said(&heard.beat.who(), problem)));
    }
    // A projector's own finding stands among its problems.
    let is_projector = |heard: &Heard| heard.beat.loops.iter().any(|one| one.name == "projector.following");
    if !everybody.iter().any(is_projector) {
        findings.push(own_fold(log, settings).await);
    }
    findings
}

/// Asks the process that serves this data folder how it stands.
pub(super) async fn over_http(log: &dyn EventLog, to: Option<&str>, settings: &Settings) -> Vec<Finding> {
    let listens = settings.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080)));
    let url = to.map_or_else(|| format!("http://{listens}"), |url| url.trim_end_matches('/').to_owned());
    let Some(stands) = readiness(&url).await else {
        let seen = format!("{url} 没有进程应答 no process answers");
        let silent = Finding::attention(ROLES, seen, "启动 cuiban up / start it, or name it: --to URL");
        return vec![silent, own_fold(log, settings).await];
    };
    let text = |name: &str| stands.get(name).and_then(Value::as_str).unwrap_or_default();
    let who = if text("instance").is_empty() { &url } else { text("instance") };
    let seen = format!("{who} · 版本 build {} · {}", text("build"), text("status"));
    let mut findings = vec![Finding::ok(ROLES, seen)];
    for list in ["problems", "warnings"] {
        let problems = stands.get(list).cloned().unwrap_or_default();
        let problems: Vec<Problem> = serde_json::from_value(problems).unwrap_or_default();
        findings.extend(problems.iter().map(|problem| said(problem.from.as_deref().unwrap_or(who), problem)));
    }
    findings
}

async fn readiness(url: &str) -> Option<Value> {
    // Already installed is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(ANSWER_MAX).build().ok()?;
    client.get(format!("{url}/readyz")).send().await.ok()?.json().await.ok()
}

/// One instance and its loops.
fn instance(heard: &Heard) -> Finding {
    let Beat { build, loops, leaving, .. } = &heard.beat;
    let age = |one: &LoopBeat| format!("{} {:.1} s", one.name, one.age(heard.ago).as_secs_f64());
    let loops: Vec<_> = loops.iter().map(age).collect();
    let leaving = if *leaving { " · 正在退出 leaving" } else { "" };
    let seen = format!("{} · 版本 build {build}{leaving} · {}", heard.beat.who(), loops.join(", "));
    Finding::ok(ROLES, seen)
}

/// What an instance says is wrong.
fn said(who: &str, problem: &Problem) -> Finding {
    let seen = format!("{who}: {} ({})", problem.detail, problem.code);
    Finding::bad(WATCHED, seen, "见 docs/operations.md / see docs/operations.md")
}

/// What nobody has urged, by a fold of the doctor's own, in memory.
async fn own_fold(log: &dyn EventLog, settings: &Settings) -> Finding {
    match fold(log, settings.gateway.unurged_grace()).await {
        Ok(unurged) if unurged.clocks > 0 => Finding::bad(
            WATCHED,
            cuiban_gateway::words::unurged(&unurged),
            "启动 cuiban serve watchdog 或 cuiban up / start one of them",
        ),
        Ok(_) => Finding::ok(WATCHED, "没有到期未催的时钟 no clock is due and not urged"),
        Err(error) => Finding::bad(WATCHED, format!("{error:#}"), "cuiban log verify"),
    }
}

async fn fold(log: &dyn EventLog, grace: Duration) -> anyhow::Result<Unurged> {
    let store = Store::open(StorePlace::Memory(MemoryDisk::default(), "doctor".to_owned()))?;
    let model = Model::open(&store, OpenClocksByDue)?;
    let tickets =
        Filter { any_of: vec![Pattern { kind: Some(Token::new(Ticket::KIND)?), ..Pattern::default() }] };
    let mut subscription = log.subscribe(tickets, Position::START).await?;
    while let Some(batch) = subscription.next_batch(BATCH_COMMITS_MAX).await {
        let batch = batch?;
        model.apply(&batch.commits.into_iter().map(Incoming::decode).collect::<Vec<_>>())?;
        if batch.caught_up {
            break;
        }
    }
    model.set_caught_up()?;
    // By the log's own time, unless that stands still with the log.
    let now = log.time().await?.max(SystemClock::new().now());
    Ok(model.unurged(now, grace, CLOCKS_MAX)?)
}
