//! `cuiban deadline`: when a limit is used up, and why (R54).

use std::io::{BufRead, BufWriter, Write};
use std::path::Path;

use anyhow::{Context, anyhow};
use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use cuiban_domain::working_time::{
    CalendarFile, Explanation, Measure, Pause, ResolvedCalendar, SkipReason, Step, WorkingCalendar,
    WorkingTimeError, deadline_line, error_line,
};
use serde_json::{Value, json};

use crate::args::{Deadline, span};
use crate::exit::{OrFailure, Outcome};
use crate::output;

pub(crate) fn run(args: &Deadline) -> Outcome {
    if args.batch {
        return batch(&args.calendar);
    }
    let calendar = WorkingCalendar::new(read_calendar(&args.calendar).or_usage()?.calendar);
    let measure = if args.wall { Measure::Wall } else { Measure::Working };
    let from = instant(args.from.as_deref().unwrap_or_default()).or_usage()?;
    let limit = span(args.limit.as_deref().unwrap_or_default()).or_usage()?;
    let pauses = args.pauses.iter().map(|text| pause(text)).collect::<anyhow::Result<Vec<_>>>().or_usage()?;
    let warn = args.warn.as_deref().map(span).transpose().or_usage()?;
    let explanation = calendar.explain(from, limit, &pauses, measure).or_usage()?;
    let warn_at = match (warn, explanation.due_at) {
        (Some(warn), Some(due_at)) => Some(calendar.warn_at(due_at, warn, &pauses, measure).or_usage()?),
        _ => None,
    };
    if args.json {
        return Ok(output::json(&answer(&explanation, warn_at)?)?);
    }
    print(&explanation, warn_at, calendar.calendar().zone())
}

/// One line in, one line out; a calendar that is refused answers every line.
fn batch(path: &Path) -> Outcome {
    let calendar = match read_calendar(path) {
        Ok(resolved) => Ok(WorkingCalendar::new(resolved.calendar)),
        Err(error) => Err(error.downcast::<WorkingTimeError>().or_usage()?),
    };
    let mut stdout = BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let answer = match &calendar {
            Ok(calendar) => deadline_line(calendar, &line),
            Err(refused) => error_line(&line, refused.code(), &refused.to_string()),
        };
        writeln!(stdout, "{answer}")?;
    }
    Ok(stdout.flush()?)
}

/// A calendar file with what it includes, read relative to it.
pub(crate) fn read_calendar(path: &Path) -> anyhow::Result<ResolvedCalendar> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("read the calendar {}", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    Ok(CalendarFile::parse(&text)?.resolve(|name| std::fs::read_to_string(folder.join(name)))?)
}

fn instant(text: &str) -> anyhow::Result<DateTime<Utc>> {
    let at = DateTime::parse_from_rfc3339(text);
    Ok(at
        .map_err(|_| anyhow!("{text:?} is not a time with an offset: write 2026-02-14T15:00:00+08:00"))?
        .to_utc())
}

fn pause(text: &str) -> anyhow::Result<Pause> {
    let (from, until) =
        text.split_once('/').ok_or_else(|| anyhow!("{text:?} is not a pause: write FROM/UNTIL"))?;
    let until = if until.is_empty() { None } else { Some(instant(until)?) };
    Ok(Pause { from: instant(from)?, until })
}

fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn answer(explanation: &Explanation, warn_at: Option<DateTime<Utc>>) -> anyhow::Result<Value> {
    let mut answer = json!({ "due": explanation.due_at.map(rfc3339) });
    if let Some(warn_at) = warn_at {
        answer["warn_at"] = rfc3339(warn_at).into();
    }
    if let Some(remaining) = explanation.remaining {
        answer["remaining"] = humantime::format_duration(remaining).to_string().into();
        answer["remaining_s"] = serde_json::to_value(explanation)?["remaining_s"].clone();
    }
    answer["trace"] = serde_json::to_value(explanation)?;
    Ok(answer)
}

fn print(explanation: &Explanation, warn_at: Option<DateTime<Utc>>, zone: Tz) -> Outcome {
    let local = |at: DateTime<Utc>| at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S").to_string();
    match (explanation.due_at, explanation.remaining) {
        (Some(due_at), _) => {
            output::line(&format!("到期 due      {} {zone}  ({})", local(due_at), rfc3339(due_at)))?
        }
        (None, Some(remaining)) => {
            output::line(&format!("暂停 paused   剩余 left {}", humantime::format_duration(remaining)))?;
        }
        (None, None) => {}
    }
    if let Some(warn_at) = warn_at {
        output::line(&format!("预警 warning  {} {zone}", local(warn_at)))?;
    }
    let rows = explanation.steps.iter().map(|step| row(step, local));
    Ok(output::table(["日期 date", "时段 interval", "计入 counted", "说明 note"], rows)?)
}

fn row(step: &Step, local: impl Fn(DateTime<Utc>) -> String) -> [String; 4] {
    match step {
        Step::Counted { date, from, until, counted } => [
            date.map(|date| date.to_string()).unwrap_or_default(),
            format!("{} – {}", local(*from), local(*until)),
            humantime::format_duration(*counted).to_string(),
            String::new(),
        ],
        Step::Skipped { date, reason } => {
            [date.to_string(), String::new(), "0".to_owned(), skip_reason(reason)]
        }
        Step::Paused { from, until } => {
            let until = until.map_or_else(|| "…".to_owned(), local_or(&local));
            [String::new(), format!("{} – {until}", local(*from)), "0".to_owned(), "暂停 paused".to_owned()]
        }
        Step::Summary { from, until, special_days, counted } => [
            format!("{from} – {until}"),
            String::new(),
            humantime::format_duration(*counted).to_string(),
            format!("中间各日 days between · 特殊日 special {special_days}"),
        ],
    }
}

fn local_or(local: &impl Fn(DateTime<Utc>) -> String) -> impl Fn(DateTime<Utc>) -> String + '_ {
    move |at| local(at)
}

fn skip_reason(reason: &SkipReason) -> String {
    match serde_json::to_value(reason) {
        Ok(Value::String(word)) => word,
        Ok(Value::Object(fields)) => {
            let texts = fields.values().filter_map(Value::as_str).filter(|text| !text.is_empty());
            texts.collect::<Vec<_>>().join(" · ")
        }
        _ => String::new(),
    }
}
