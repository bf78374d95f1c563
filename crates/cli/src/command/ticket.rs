//! `cuiban ticket`: one ticket of a running system.

use serde_json::Value;

use super::runtime;
use crate::args::{Ticket, TicketRef, TicketWhat};
use crate::exit::{Failure, Outcome};
use crate::output;
use crate::wiring::Remote;

pub(crate) fn run(args: Ticket) -> Outcome {
    let (reference, history) = match args.what {
        TicketWhat::Show(reference) => (reference, false),
        TicketWhat::History(reference) => (reference, true),
    };
    runtime()?.block_on(async {
        let remote = Remote::new(&reference.to, reference.token.clone())?;
        if history { show_history(&remote, &reference).await } else { show(&remote, &reference).await }
    })
}

async fn show(remote: &Remote, reference: &TicketRef) -> Outcome {
    let ticket = remote.get(&format!("/v1/tickets/{}", reference.id)).await?;
    if reference.json {
        return Ok(output::json(&ticket)?);
    }
    let fields =
        ticket.as_object().ok_or_else(|| Failure::Failed(anyhow::anyhow!("the answer is no object")))?;
    let rows =
        fields.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| [name.clone(), text(value)]);
    Ok(output::table(["字段 field", "值 value"], rows)?)
}

async fn show_history(remote: &Remote, reference: &TicketRef) -> Outcome {
    let history = remote.get(&format!("/v1/tickets/{}/history", reference.id)).await?;
    if reference.json {
        return Ok(output::json(&history)?);
    }
    let entries = history.get("data").unwrap_or(&history).as_array().cloned().unwrap_or_default();
    let field = |entry: &Value, name: &str| entry.get(name).map(text).unwrap_or_default();
    let rows = entries.iter().map(|entry| {
        let events = entry.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
        let names: Vec<String> = events.iter().map(|event| field(event, "name")).collect();
        [
            field(entry, "revision"),
            field(entry, "occurred_at"),
            field(entry, "recorded_at"),
            field(entry, "actor"),
            names.join("\n"),
        ]
    });
    Ok(output::table(["版次 revision", "发生 occurred", "记录 recorded", "经手 actor", "事件 events"], rows)?)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
