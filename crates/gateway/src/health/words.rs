//! What was found, in words: Chinese, then English.

use std::fmt::Write;
use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta};
use cuiban_command_handler::{Apart, UnreadableCommit};
use cuiban_event_log::ClockStep;
use cuiban_projector::{ModelStatus, OpenClock, Unurged};
use cuiban_vitals::{Post, Unattended};

/// 催办无人值守: nobody urges what is due. Which loop is silent, as the heartbeats tell; which clock, as the fold does.
pub(crate) fn nobody_watching(unattended: Option<&Unattended>, unurged: &Unurged) -> String {
    let (mut zh, mut en) = ("催办无人值守".to_owned(), "nobody is watching".to_owned());
    match unattended {
        Some(unattended) => silent(unattended, &mut zh, &mut en),
        None => {
            zh.push_str("：看门狗自称正常");
            en.push_str(": the watchdog says that it is well");
        }
    }
    if let Some((zh_oldest, en_oldest)) = oldest(unurged) {
        // Writing into a text does not fail.
        let _ = write!(zh, "；{zh_oldest}");
        let _ = write!(en, "; {en_oldest}");
    }
    both(&zh, &en)
}

/// How many clocks are due and were not urged, and which of them for longest.
pub fn unurged(unurged: &Unurged) -> String {
    oldest(unurged)
        .map(|(zh, en)| both(&format!("催办无人值守：{zh}"), &format!("nobody is watching: {en}")))
        .unwrap_or_default()
}

fn oldest(unurged: &Unurged) -> Option<(String, String)> {
    let oldest = unurged.oldest.as_ref()?;
    let (clocks, due, ticket, clock) = (unurged.clocks, due_at(oldest), oldest.ticket, oldest.clock);
    let zh = format!("{clocks} 个时钟到期未催，最早：工单 {ticket} 的 {clock}，{due} 到期");
    let en =
        format!("{clocks} clocks are due and not urged, the oldest: {clock} of ticket {ticket}, due {due}");
    Some((zh, en))
}

/// A post besides the watchdog's that nobody attends.
pub fn unattended(unattended: &Unattended) -> String {
    let (zh, en) = match unattended.post {
        Post::Watching => ("催办无人值守", "nobody is watching"),
        Post::Succession => ("移交无人值守", "nobody passes on what leavers owed"),
        Post::Notifying => ("推送无人值守", "nobody pushes alerts"),
    };
    let (mut zh, mut en) = (zh.to_owned(), en.to_owned());
    silent(unattended, &mut zh, &mut en);
    both(&zh, &en)
}

/// The code of a post that nobody attends.
pub(crate) fn code(post: Post) -> &'static str {
    match post {
        Post::Watching => "nobody_watching",
        Post::Succession => "nobody_succeeding",
        Post::Notifying => "nobody_notifying",
    }
}

fn silent(unattended: &Unattended, zh: &mut String, en: &mut String) {
    let name = unattended.post.attended_by();
    if unattended.silent.is_empty() {
        let _ = write!(zh, "：没有进程的循环 {name} 有动静");
        let _ = write!(en, ": no process with the loop {name} was heard");
    }
    for (who, age) in &unattended.silent {
        let seconds = age.as_secs();
        let _ = write!(zh, "：{who} 的循环 {name} 已 {seconds} 秒没有动静");
        let _ = write!(en, ": the loop {name} of {who} is silent for {seconds} s");
    }
}

/// Due clocks of tickets that cannot be read.
pub(crate) fn unreadable(unurged: &Unurged) -> Option<String> {
    let oldest = unurged.oldest_unreadable.as_ref()?;
    let (clocks, due, ticket, clock) = (unurged.unreadable, due_at(oldest), oldest.ticket, oldest.clock);
    let zh =
        format!("{clocks} 个到期时钟的工单无法读取，不能催办，最早：工单 {ticket} 的 {clock}，{due} 到期");
    let en = format!(
        "{clocks} due clocks belong to tickets that cannot be read, the oldest: {clock} of ticket {ticket}, due {due}"
    );
    Some(both(&zh, &en))
}

/// Commits that were set aside, by model; none if there are none.
pub(crate) fn parked(models: &[ModelStatus]) -> Option<String> {
    let parked: Vec<_> = models.iter().filter(|model| model.parked > 0).collect();
    let most = parked.iter().map(|model| model.parked).max()?;
    let by_model: Vec<_> = parked.iter().map(|model| format!("{} {}", model.name, model.parked)).collect();
    let by_model = by_model.join(", ");
    Some(both(
        &format!("读模型搁置了 {most} 条无法读取的提交（{by_model}）"),
        &format!("the read models have set {most} commits aside that cannot be read ({by_model})"),
    ))
}

/// Stores that were found damaged since the start; none if none was.
pub(crate) fn quarantined(models: &[ModelStatus]) -> Option<String> {
    let places = models.first().filter(|model| !model.quarantined.is_empty())?.quarantined.join(", ");
    Some(both(
        &format!("读模型曾损坏，已隔离并重建：{places}"),
        &format!("the read models were found damaged, put aside and built anew: {places}"),
    ))
}

/// Stores whose rows came from another log than the one that is there now; none if none did.
pub(crate) fn of_another_log(models: &[ModelStatus]) -> Option<String> {
    let stores = &models.first().filter(|model| !model.of_another_log.is_empty())?.of_another_log;
    let stores = stores.join(", ");
    Some(both(
        &format!(
            "日志不是先前跟随的那份（被还原、替换、截短或重建），读模型已按现有日志重建；先前的保存在：{stores}。请先确认没有丢失已受理的事项，再删除它们，本提示随之消失"
        ),
        &format!(
            "the log is not the one that was followed (restored, replaced, cut or made anew); the read models were built anew from what is there, what stood on the former is kept: {stores}. Find out that nothing acknowledged is missing before you delete it, and with it this warning"
        ),
    ))
}

/// What is wrong with the log's keeping.
pub(crate) fn log_problem(code: &str, detail: &str) -> String {
    let zh = match code {
        "settings_changed" => "日志流的设置已被更改",
        "log_full" => "日志已满",
        "replica_missing" => "有副本缺失",
        "not_syncing" => "服务器确认前不落盘",
        "file_missing" => "日志文件不在原处",
        _ => "日志有异常",
    };
    both(zh, detail)
}

/// Until it is stepped over, decisions use what the stream said before.
pub(crate) fn organisation_unreadable(commit: &UnreadableCommit) -> String {
    let UnreadableCommit { stream, position, .. } = commit;
    both(
        &format!(
            "{stream} 在位置 {position} 处无法读取，按其之前的内容办理；请管理员查看：cuiban log step-over --position {position}"
        ),
        &format!(
            "{stream} cannot be read at position {position}: what it said before is used; look at it with cuiban log step-over --position {position}"
        ),
    )
}

/// Until it is stepped over, its series gives no numbers.
pub(crate) fn numbering_unreadable(commit: &UnreadableCommit) -> String {
    let UnreadableCommit { stream, position, .. } = commit;
    both(
        &format!(
            "{stream} 在位置 {position} 处无法读取，该序列的新来电暂不能登记；请管理员查看：cuiban log step-over --position {position}"
        ),
        &format!(
            "{stream} cannot be read at position {position}: calls of this series cannot be registered; look at it with cuiban log step-over --position {position}"
        ),
    )
}

/// This machine's clock is not believed.
pub(crate) fn clock_suspect(apart: Apart) -> String {
    both("本机时钟与日志时间不符，以日志时间为准", &format!("this machine's clock is {apart}, which is used"))
}

/// The clock of the server that leads is not believed.
pub(crate) fn leader_clock_suspect(apart: TimeDelta) -> String {
    let ms = apart.num_milliseconds();
    both(
        &format!("主服务器的时钟与其他服务器相差 {ms} 毫秒，以较早者为准"),
        &format!("the leader's clock differs from the other servers' by {ms} ms; the lower time is used"),
    )
}

/// 时钟待确认: with the oldest clock that would be due by what the wall clock shows.
pub(crate) fn clock_to_be_confirmed(step: &ClockStep, would_be_due: &Unurged) -> String {
    let (mut zh, mut en) = (
        "时钟待确认：请核对本机时钟，然后 cuiban clock accept".to_owned(),
        format!("the clock is to be confirmed: {step}; check it, then cuiban clock accept"),
    );
    if let Some((zh_oldest, en_oldest)) = oldest(would_be_due) {
        let _ = write!(zh, "；若属实，{zh_oldest}");
        let _ = write!(en, "; if it is right, {en_oldest}");
    }
    both(&zh, &en)
}

/// The log does not answer.
pub(crate) fn log_unavailable(waited: Duration) -> String {
    let seconds = waited.as_secs();
    both(
        &format!("日志不可达，或 {seconds} 秒内没有应答"),
        &format!("the log is unavailable, or did not answer within {seconds} s"),
    )
}

pub(crate) fn both(zh: &str, en: &str) -> String {
    format!("{zh} / {en}")
}

fn due_at(clock: &OpenClock) -> String {
    let at = clock.due_at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
    at.unwrap_or_default()
}
