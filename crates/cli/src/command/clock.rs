//! `cuiban clock`: a person says that this machine's clock is right.

use anyhow::{Context, anyhow};
use chrono::SecondsFormat;
use cuiban_event_log_sqlite::confirm_clock;
use serde_json::json;

use crate::args::{Clock, ClockWhat};
use crate::exit::{Failure, Outcome};
use crate::output;
use crate::settings::Settings;
use crate::wiring::DataDir;

pub(crate) fn run(args: Clock, settings: &Settings) -> Outcome {
    let ClockWhat::Accept { data, json } = args.what;
    let log = DataDir::new(data, settings).log_file();
    if !log.exists() {
        let detail = anyhow!("没有日志 / there is no log at {}: name --data", log.display());
        return Err(Failure::Failed(detail));
    }
    let accepted =
        confirm_clock(&log).with_context(|| format!("confirm the clock beside {}", log.display()))?;
    let accepted = accepted.to_rfc3339_opts(SecondsFormat::Secs, true);
    if json {
        output::json(&json!({ "accepted": accepted }))?;
    } else {
        output::line(&format!("时钟已确认 / the clock is confirmed: {accepted}"))?;
    }
    Ok(())
}
