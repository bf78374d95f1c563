//! `cuiban import`: a history sent to a running system, command by command; sent again, it changes nothing.

use std::collections::{BTreeMap, HashMap};

use cuiban_simulation::history::{Action, History};
use serde_json::{Value, json};

use super::replay::read_history;
use super::runtime;
use crate::args::Import;
use crate::exit::{OrFailure, Outcome};
use crate::output;
use crate::wiring::{Answer, Remote};

pub(crate) fn run(args: &Import) -> Outcome {
    let (_, history) = read_history(&args.file, &args.mapping).or_usage()?;
    runtime()?.block_on(async {
        let remote = Remote::new(&args.to, args.token.clone())?;
        send(&remote, &history, args.json).await
    })
}

async fn send(remote: &Remote, history: &History, json: bool) -> Outcome {
    let bar = output::progress("导入 import", history.steps.len() as u64);
    let mut tickets: HashMap<usize, String> = HashMap::new();
    let mut steps_of: HashMap<usize, usize> = HashMap::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut refused = Vec::new();
    for step in &history.steps {
        let nth = steps_of.entry(step.ticket).or_default();
        let key = format!("import/{}/{nth}", hex::encode(step.key.as_bytes()));
        *nth += 1;
        let mut body = serde_json::to_value(&step.action)?;
        body["occurred_at"] = json!(step.at);
        let answer = match (&step.action, tickets.get(&step.ticket)) {
            (Action::Register(_), _) => remote.post("/v1/tickets", &key, &body).await?,
            (action, Some(ticket)) => {
                remote.post(&format!("/v1/tickets/{ticket}/{}", verb(action)), &key, &body).await?
            }
            (_, None) => continue,
        };
        match answer {
            Answer::Obeyed(answer) => {
                let outcome = answer.get("outcome").and_then(Value::as_str).unwrap_or("recorded");
                *counts.entry(outcome.to_owned()).or_default() += 1;
                if let (Action::Register(_), Some(id)) =
                    (&step.action, answer.get("id").and_then(Value::as_str))
                {
                    tickets.insert(step.ticket, id.to_owned());
                }
            }
            Answer::Refused(problem) => {
                *counts.entry("refused".to_owned()).or_default() += 1;
                refused.push(json!({ "ticket": step.key, "at": step.at, "problem": problem }));
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let report = json!({ "tickets": tickets.len(), "steps": history.steps.len(), "outcomes": counts, "refused": refused });
    if json {
        return Ok(output::json(&report)?);
    }
    output::table(
        ["结果 outcome", "步骤 steps"],
        counts.into_iter().map(|(outcome, count)| [outcome, count.to_string()]),
    )?;
    for refusal in refused.iter().take(10) {
        output::line(&format!("拒绝 refused {refusal}"))?;
    }
    Ok(())
}

fn verb(action: &Action) -> &'static str {
    match action {
        Action::Register(_) => "",
        Action::Respond(_) => "respond",
        Action::Pause(_) => "pause",
        Action::Resume(_) => "resume",
        Action::Dispatch(_) => "dispatch",
        Action::Arrive(_) => "arrive",
        Action::Fix(_) => "fix",
        Action::Reopen(_) => "reopen",
        Action::Close(_) => "close",
    }
}
