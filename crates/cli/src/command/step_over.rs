//! `cuiban log step-over`: an operator looks at a commit that cannot be read, and passes over it.

use std::sync::Arc;

use anyhow::anyhow;
use cuiban_command_handler::Clock as _;
use cuiban_command_handler::{
    CommandMeta, Config, HandleError, Handlers, IdSource, RandomIds, StepOver as Step, SystemClock,
};
use cuiban_domain::ids::{Actor, CommandId};
use cuiban_domain::is_stream;
use cuiban_domain::text::Line;
use cuiban_event_log::{EventLog, Position, RecordedCommit, Stored, StreamId, Token};
use cuiban_event_schema::{DecodeError, decode_stored, to_json};
use serde_json::{Value, json};

use crate::exit::{Failure, OrFailure, Outcome};
use crate::output;

/// How many of a commit's bytes are shown.
const SHOWN_BYTES_MAX: usize = 256;

/// What was asked for on the command line.
pub(super) struct StepOver {
    pub(super) position: String,
    pub(super) reason: Option<String>,
    pub(super) by: String,
    pub(super) even_newer: bool,
    pub(super) next: Option<u64>,
    pub(super) json: bool,
}

impl StepOver {
    pub(super) async fn run(self, log: Arc<dyn EventLog>) -> Outcome {
        let position: Position = self.position.parse().or_usage()?;
        let stored = log.stored_at(position).await.or_unreachable()?;
        let stored =
            stored.ok_or_else(|| anyhow!("位置 {position} 处没有内容 / nothing is stored at {position}"))?;
        let Some(wrong) = what_is_wrong(&stored) else {
            let detail = anyhow!(
                "位置 {position} 处的提交可以读取，无需跳过 / this build reads the commit at {position}: nothing to step over"
            );
            return Err(Failure::Conflict(detail));
        };
        let stream = stream_of(&stored).ok_or_else(|| {
            anyhow!("位置 {position} 处的消息不属于任何历史，无需跳过 / the message at {position} belongs to no stream: nobody waits for it")
        })?;
        match &self.reason {
            None => self.show(&stored, &stream, &wrong),
            Some(reason) => {
                let step = Step {
                    position,
                    sha256: stored.sha256(),
                    reason: Line::new(reason).or_usage()?,
                    even_newer: self.even_newer,
                };
                self.record(log, &stream, step).await
            }
        }
    }

    fn show(&self, stored: &Stored, stream: &StreamId, wrong: &DecodeError) -> Outcome {
        let (position, payload) = (stored.position(), stored.payload());
        let error = anyhow::Error::msg(wrong.to_string());
        let readable = to_json(payload).ok();
        let shown = hex::encode(&payload[..payload.len().min(SHOWN_BYTES_MAX)]);
        if self.json {
            return Ok(output::json(&json!({
                "position": position, "stream": stream.to_string(), "sha256": hex::encode(stored.sha256()),
                "size_bytes": payload.len(), "error": error.to_string(), "readable": readable, "bytes": shown,
            }))?);
        }
        let rows = [
            ("位置 position", position.to_string()),
            ("历史 stream", stream.to_string()),
            ("问题 what is wrong", error.to_string()),
            ("SHA-256", hex::encode(stored.sha256())),
            (
                "字节 bytes",
                format!(
                    "{} ({shown}{})",
                    payload.len(),
                    if payload.len() > SHOWN_BYTES_MAX { "…" } else { "" }
                ),
            ),
            ("可读部分 what can be read", readable.as_ref().map(Value::to_string).unwrap_or_default()),
        ];
        output::table(["项目 field", "内容 value"], rows.map(|(name, value)| [name.to_owned(), value]))?;
        let next = if stream.kind.as_str() == "numbering" { " --next NUMBER" } else { "" };
        let newer = if matches!(wrong, DecodeError::Newer { .. }) { " --even-newer" } else { "" };
        Ok(output::line(&format!(
            "没有记录任何内容。要跳过它：加上 --reason '…'{newer}{next} / nothing was recorded; to step over it, add --reason '…'{newer}{next}"
        ))?)
    }

    async fn record(self, log: Arc<dyn EventLog>, stream: &StreamId, step: Step) -> Outcome {
        let (clock, ids) = (Arc::new(SystemClock::new()), Arc::new(RandomIds));
        let command_id = CommandId(ids.new_id(clock.now()));
        let (actor, process) = (Actor::new(&self.by).or_usage()?, Actor::new("cuiban")?);
        let handlers = Handlers::start(log, clock, ids, process, Config::default()).await.or_unreachable()?;
        let meta = CommandMeta::new(command_id, actor);
        let stepped = match handlers.step_over(stream, &step, self.next, &meta).await {
            Ok(stepped) => stepped,
            Err(error) => return Err(refused(error)),
        };
        if self.json {
            let (position, revision) = (stepped.position, stepped.revision);
            return Ok(output::json(
                &json!({ "position": position, "revision": revision, "stream": stream.to_string() }),
            )?);
        }
        Ok(output::line(&format!(
            "已跳过位置 {0} 处的提交，{stream} 从位置 {1} 继续 / stepped over the commit at {0}; {stream} goes on at {1}",
            step.position, stepped.position
        ))?)
    }
}

/// Why this build cannot read it, if so.
fn what_is_wrong(stored: &Stored) -> Option<DecodeError> {
    match stored {
        Stored::Commit(RecordedCommit { stream, payload, .. }) => {
            decode_stored(stream.kind.as_str(), stream.id.as_str(), payload).err()
        }
        Stored::Foreign(foreign) => Some(DecodeError::Invalid(format!("it is none of ours: {foreign}"))),
    }
}

/// The stream for whose version it counts; none where no aggregate has that stream.
fn stream_of(stored: &Stored) -> Option<StreamId> {
    let stream = match stored {
        Stored::Commit(commit) => commit.stream.clone(),
        Stored::Foreign(foreign) => {
            let mut words = foreign.address.split('.');
            let mut token = || Token::new(words.next()?).ok();
            StreamId { kind: token()?, id: token()? }
        }
    };
    is_stream(stream.kind.as_str(), stream.id.as_str()).then_some(stream)
}

fn refused(error: HandleError) -> Failure {
    let unreachable = matches!(&error, HandleError::Unavailable(_) | HandleError::Unknown(_));
    let usage = matches!(&error, HandleError::NextNumberMissing | HandleError::StepsOverNewer { .. });
    let is_rejected = matches!(&error, HandleError::Rejected(_));
    let error = anyhow::Error::new(error);
    match () {
        () if unreachable => Failure::Unreachable(error),
        () if usage => Failure::Usage(error),
        () if is_rejected => Failure::Usage(
            error.context("--next 须大于所有已知编号 / --next must be above every number known"),
        ),
        () => Failure::Conflict(error.context("没有跳过 / nothing was stepped over")),
    }
}
