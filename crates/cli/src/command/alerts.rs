//! `cuiban alerts`: what a running system's channels have not taken, and sending it again.

use anyhow::anyhow;
use serde_json::{Value, json};

use super::runtime;
use crate::args::{Alerts, AlertsWhat, RunningSystem};
use crate::exit::{Failure, Outcome};
use crate::output;
use crate::wiring::{Answer, Remote};

/// How many rows are asked for at a time.
const PAGE_ROWS: usize = 200;

pub(crate) fn run(args: Alerts) -> Outcome {
    runtime()?.block_on(async {
        match args.what {
            AlertsWhat::List { system, state, channel } => {
                let wanted = [("state", state), ("channel", channel)];
                let query: Vec<String> =
                    wanted.into_iter().filter_map(|(name, word)| Some(format!("{name}={}", word?))).collect();
                show(&all(&remote(&system)?, &query.join("&")).await?, system.json)
            }
            AlertsWhat::Resend { system, ids, channel } => resend(&system, &ids, channel).await,
        }
    })
}

/// Every page.
async fn all(remote: &Remote, query: &str) -> Result<Value, Failure> {
    let (mut rows, mut after) = (Vec::new(), String::new());
    loop {
        let page = remote.get(&format!("/v1/alerts?limit={PAGE_ROWS}&{query}{after}")).await?;
        rows.extend(page["data"].as_array().cloned().unwrap_or_default());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        after = format!("&cursor={cursor}");
    }
    Ok(json!({ "data": rows, "next_cursor": null }))
}

fn remote(system: &RunningSystem) -> anyhow::Result<Remote> {
    Remote::new(&system.to, system.token.clone())
}

async fn resend(system: &RunningSystem, ids: &[String], channel: Option<String>) -> Outcome {
    let remote = remote(system)?;
    let query = channel.map(|channel| format!("?channel={channel}")).unwrap_or_default();
    let mut asked = Vec::new();
    for id in ids {
        let path = format!("/v1/alerts/{id}/resend{query}");
        match remote.post(&path, &format!("resend-{id}"), &json!({})).await? {
            Answer::Obeyed(answer) => asked.extend(answer["data"].as_array().cloned().unwrap_or_default()),
            Answer::Refused(problem) => {
                return Err(Failure::Failed(anyhow!(
                    "{id}: {}",
                    problem["detail"].as_str().unwrap_or_default()
                )));
            }
        }
    }
    show(&json!({ "data": asked, "next_cursor": null }), system.json)
}

fn show(alerts: &Value, as_json: bool) -> Outcome {
    if as_json {
        return Ok(output::json(alerts)?);
    }
    let rows = alerts["data"].as_array().cloned().unwrap_or_default();
    let text = |row: &Value, name: &str| match &row[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let columns = ["message", "channel", "branch", "number", "state", "attempts", "issued_at", "reason"];
    let rows = rows.iter().map(|row| columns.map(|name| text(row, name)));
    let heads = [
        "提醒 alert",
        "渠道 channel",
        "服务中心 branch",
        "工单 ticket",
        "状态 state",
        "次数 attempts",
        "发出 issued",
        "原因 reason",
    ];
    Ok(output::table(heads, rows)?)
}
