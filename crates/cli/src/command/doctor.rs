//! `cuiban doctor`: checks an installation, and ends in what to do.

use std::collections::BTreeSet;
use std::path::Path;

use chrono::{Datelike, TimeDelta};
use cuiban_command_handler::{Clock, Directory, SystemClock};
use cuiban_event_log::{EventLog, LogProblem};
use cuiban_event_log_jetstream::{SettingsReport, SyncSetting};
use cuiban_event_log_sqlite::CLOCK_AHEAD_MAX;
use serde::Serialize;

use super::{roles_heard, runtime};
use crate::args::Doctor;
use crate::exit::{Failure, Outcome};
use crate::output;
use crate::settings::Settings;
use crate::wiring::{Access, DataDir, connect, embedded, last_recorded_at};

/// The least free space that lets one sleep well, in bytes.
const FREE_BYTES_WANTED: u64 = 2 << 30;
/// How far the machine's clock may be from the log's own time.
const CLOCK_APART_MAX: TimeDelta = TimeDelta::seconds(1);
/// The first server version whose expected-sequence header takes a subject of its own.
const NATS_VERSION_WANTED: (u32, u32) = (2, 12);

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    /// What was looked at.
    check: &'static str,
    verdict: Verdict,
    /// What was seen.
    seen: String,
    /// What to do; empty if nothing.
    advice: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Attention,
    Bad,
}

impl Finding {
    pub(super) fn ok(check: &'static str, seen: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, seen: seen.into(), advice: String::new() }
    }

    pub(super) fn attention(check: &'static str, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Attention, seen: seen.into(), advice: advice.into() }
    }

    pub(super) fn bad(check: &'static str, seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Bad, seen: seen.into(), advice: advice.into() }
    }
}

pub(crate) fn run(args: &Doctor, settings: &Settings) -> Outcome {
    let Examined { findings, unreachable } = runtime()?.block_on(examine(args, settings));
    if args.json {
        output::json(&findings)?;
    } else {
        print(&findings)?;
    }
    if let Some(failure) = unreachable {
        return Err(failure);
    }
    match findings.iter().filter(|finding| finding.verdict == Verdict::Bad).count() {
        0 => Ok(()),
        bad => Err(Failure::Failed(anyhow::anyhow!("{bad} 项有问题 / {bad} checks failed"))),
    }
}

/// All that was looked at; and why the log could not be, if it does not answer.
struct Examined {
    findings: Vec<Finding>,
    unreachable: Option<Failure>,
}

async fn examine(args: &Doctor, settings: &Settings) -> Examined {
    let mut unreachable = None;
    let mut findings = vec![Finding::ok("配置 configuration", "读取无误 read without errors")];
    let data = DataDir::new(args.place.data.clone(), settings);
    let nats =
        args.place.nats.clone().or_else(|| settings.nats.clone().filter(|_| args.place.data.is_none()));
    let mut client = None;
    let log = match &nats {
        Some(url) => match connect(url, settings, Access::Read).await {
            Ok(log) => {
                client = Some(log.client());
                findings.extend(broker(log.settings_report().await));
                Some(log as std::sync::Arc<dyn EventLog>)
            }
            Err(failure) => {
                findings.push(Finding::bad(
                    "日志 log",
                    failure.to_string(),
                    "检查地址，启动 nats-server：deploy/nats-server.conf / start nats-server",
                ));
                unreachable = Some(failure).filter(|failure| matches!(failure, Failure::Unreachable(_)));
                None
            }
        },
        None => match embedded(&data, settings, Access::Read) {
            Ok(log) => Some(log),
            Err(failure) => {
                findings.push(Finding::bad(
                    "日志 log",
                    failure.to_string(),
                    "先运行 cuiban up，或用 --data 指出数据目录 / run `cuiban up` first, or name --data",
                ));
                None
            }
        },
    };
    if let Some(log) = log {
        findings.extend(look_into(log.as_ref()).await);
        if nats.is_none() {
            findings.extend(clock_at_a_start(log.as_ref()).await);
        }
        findings.extend(match client {
            Some(client) => roles_heard::over_nats(log.as_ref(), client, settings).await,
            None => roles_heard::over_http(log.as_ref(), args.to.as_deref(), settings).await,
        });
    }
    findings.push(disk(data.path()));
    findings.push(read_models(&data));
    Examined { findings, unreachable }
}

async fn look_into(log: &dyn EventLog) -> Vec<Finding> {
    let mut findings = Vec::new();
    match log.head().await {
        Ok(head) => findings.push(Finding::ok("日志 log", format!("最后位置 last position {head}"))),
        Err(error) => findings.push(Finding::bad(
            "日志 log",
            error.to_string(),
            "检查磁盘与进程 / check disk and process",
        )),
    }
    if let Ok(standing) = log.standing().await {
        // A broker's settings have been told, each beside what it should be.
        let told = ["settings_changed", "not_syncing"];
        let untold = standing.problems.into_iter().filter(|problem| !told.contains(&problem.code));
        findings.extend(untold.map(|LogProblem { code, detail, stops_writing }| {
            let seen = format!("{code}: {detail}");
            match stops_writing {
                true => Finding::bad("日志 log", seen, "写入已停 / nothing is recorded until this is mended"),
                false => Finding::attention("日志 log", seen, "尽快处理 / mend it soon"),
            }
        }));
    }
    let clock = SystemClock::new();
    if let Ok(log_time) = log.time().await {
        let apart = clock.now() - log_time;
        let seen = format!("与日志相差 apart from the log {} ms", apart.num_milliseconds());
        findings.push(if apart.abs() <= CLOCK_APART_MAX {
            Finding::ok("时钟 clock", seen)
        } else {
            Finding::bad("时钟 clock", seen, "启用 NTP 对时 / run an NTP client on both machines")
        });
    }
    if let Some(apart) = log.time_standing().leader_apart {
        findings.push(Finding::bad(
            "主节点时钟 leader's clock",
            format!("与其他服务器相差 apart from the other servers {} ms", apart.num_milliseconds()),
            "启用 NTP 对时 / run an NTP client on every server",
        ));
    }
    match Directory::read(log).await {
        Ok(directory) => findings.extend(calendars(&directory, &clock)),
        Err(error) => {
            findings.push(Finding::bad("组织 organisation", error.to_string(), "cuiban log verify"))
        }
    }
    findings
}

/// Whether a process that is started on this log would wait for a person.
async fn clock_at_a_start(log: &dyn EventLog) -> Option<Finding> {
    let last_commit = last_recorded_at(log).await.ok()??;
    let ahead = SystemClock::new().now() - last_commit;
    (ahead > CLOCK_AHEAD_MAX).then(|| {
        Finding::bad(
            "时钟待确认 clock",
            format!("比日志最后一笔晚 {0} 天 {0} days ahead of the log's last commit", ahead.num_days()),
            "先对时；确实无误则 cuiban clock accept / set it right; if it is right, `cuiban clock accept`",
        )
    })
}

/// A year without a published notice is provisional (R53).
fn calendars(directory: &Directory, clock: &SystemClock) -> Vec<Finding> {
    let organisation = directory.organisation();
    let year = clock.now().year();
    let mut findings: Vec<Finding> = organisation
        .branches()
        .filter_map(|(id, _)| {
            let calendar = organisation.branch(id).ok()?.calendar;
            let provisional = calendar.calendar().provisional_years(year..=year + 1);
            Some(if provisional.is_empty() {
                Finding::ok("日历 calendar", format!("{id}: {year}–{} 已公布 published", year + 1))
            } else {
                let years = provisional.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let advice =
                    "导入国务院通知 / import the official days: POST /v1/company/calendar/official-days";
                Finding::attention("日历 calendar", format!("{id}: 暂定 provisional {years}"), advice)
            })
        })
        .collect();
    if findings.is_empty() {
        findings.push(Finding::attention("网点 branches", "没有网点 none is open", "POST /v1/branches"));
    }
    findings
}

fn broker(report: Result<SettingsReport, cuiban_event_log::LogError>) -> Vec<Finding> {
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            return vec![Finding::bad("NATS", error.to_string(), "检查 nats-server / look at nats-server")];
        }
    };
    let mut findings = Vec::new();
    let version = report.server_version.as_str();
    findings.push(if parsed(version).is_some_and(|found| found >= NATS_VERSION_WANTED) {
        Finding::ok("NATS 版本 version", version)
    } else {
        Finding::bad("NATS 版本 version", version, "升级到 2.12 以上 / upgrade to 2.12 or later")
    });
    findings.push(match &report.sync {
        SyncSetting::Always => Finding::ok("同步 sync", "sync_interval: always"),
        SyncSetting::Every(interval) => Finding::bad(
            "同步 sync",
            format!("每 every {}", humantime::format_duration(*interval)),
            "设置 jetstream { sync_interval: always } / a power cut can take what was acknowledged",
        ),
        SyncSetting::Unseen { why } => Finding::attention(
            "同步 sync",
            why.clone(),
            "确认 sync_interval: always，或在 [jetstream] 设 monitor / make sure of it, or name the monitoring endpoint",
        ),
    });
    findings.extend(report.settings.iter().filter(|setting| !setting.holds()).map(|setting| {
        let advice = "用 nats stream edit 改回 / mend it with `nats stream edit`";
        let finding = if setting.needed { Finding::bad } else { Finding::attention };
        finding("流设置 stream", setting.to_string(), advice)
    }));
    findings
}

fn parsed(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn disk(dir: &Path) -> Finding {
    let place = dir.ancestors().find(|place| place.exists()).unwrap_or(Path::new("."));
    match rustix::fs::statvfs(place) {
        Ok(stat) => {
            let free = stat.f_bavail * stat.f_frsize;
            let seen = format!("可用 free {:.1} GiB", free as f64 / f64::from(1 << 30));
            if free >= FREE_BYTES_WANTED {
                Finding::ok("磁盘 disk", seen)
            } else {
                Finding::bad("磁盘 disk", seen, "清理或扩容 / make room: the log stops when the disk is full")
            }
        }
        Err(error) => Finding::attention("磁盘 disk", error.to_string(), "检查 --data / check --data"),
    }
}

/// Directories that were put aside show that something damaged them.
fn read_models(data: &DataDir) -> Finding {
    let aside: Vec<String> = std::fs::read_dir(data.path())
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains(".damaged-"))
        .collect();
    if aside.is_empty() {
        Finding::ok("读模型 read models", "没有隔离目录 nothing was put aside")
    } else {
        let advice = "已自动重建；各目录内 why 文件写明原因：损坏的，检查磁盘后可删除；属于另一份日志的，先确认没有丢失已受理的事项 / rebuilt already; the file `why` in each says why: check the disk before you delete damaged ones, and that nothing acknowledged is missing before you delete those of another log";
        Finding::attention("读模型 read models", aside.join(", "), advice)
    }
}

fn print(findings: &[Finding]) -> anyhow::Result<()> {
    let rows = findings.iter().map(|finding| {
        let mark = match finding.verdict {
            Verdict::Ok => "✓",
            Verdict::Attention => "!",
            Verdict::Bad => "✗",
        };
        [mark.to_owned(), finding.check.to_owned(), finding.seen.clone()]
    });
    output::table(["", "检查 check", "所见 seen"], rows)?;
    let advice: BTreeSet<(&str, &str)> = findings
        .iter()
        .filter(|finding| !finding.advice.is_empty())
        .map(|finding| (finding.check, finding.advice.as_str()))
        .collect();
    match advice.is_empty() {
        true => output::line("一切正常 / nothing to do"),
        false => advice.iter().try_for_each(|(check, advice)| output::line(&format!("→ {check}: {advice}"))),
    }
}
