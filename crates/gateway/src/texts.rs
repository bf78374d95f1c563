//! Every sentence with which the gateway says no: Chinese first, English beside it.
//!
//! The matches are exhaustive, so that a new rule cannot be forgotten. Personal data never enters a sentence.

use std::fmt::Display;

use cuiban_domain::Rejection;

use crate::refusal::Refusal;

/// The stable word of a refusal that is not a rule of the trade.
pub(crate) fn code_of(refusal: &Refusal) -> &'static str {
    words(refusal).0
}

/// What is wrong, in a few words.
pub(crate) fn title(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Rejected(rejection) => rule(rejection).0,
        other => words(other).1,
    }
}

/// What is wrong or what to do about it, in a sentence.
pub(crate) fn detail(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Rejected(rejection) => rule_detail(rejection),
        other => refusal_detail(other),
    }
}

/// Code and title of what is no rule of the trade.
fn words(refusal: &Refusal) -> (&'static str, &'static str) {
    match refusal {
        Refusal::Rejected(_) => ("rejected", "业务规则不允许 / a rule of the trade forbids it"),
        Refusal::RevisionMismatch { .. } => {
            ("revision_mismatch", "内容已被他人更新 / changed by somebody else")
        }
        Refusal::KeyReused => {
            ("idempotency_key_reused", "幂等键已用于其他请求 / idempotency key was used before")
        }
        Refusal::Contended => ("contended", "同时修改者过多 / too many writers at once"),
        Refusal::LogUnavailable => ("log_unavailable", "日志暂不可用 / the log is unavailable"),
        Refusal::ClockToBeConfirmed => ("clock_to_be_confirmed", "时钟待确认 / the clock is to be confirmed"),
        Refusal::OutcomeUnknown => ("outcome_unknown", "结果未知 / the outcome is unknown"),
        Refusal::StreamUnreadable { .. } => {
            ("stream_unreadable", "历史中有无法读取的提交 / the history holds a commit that cannot be read")
        }
        Refusal::CommitTooLarge => ("commit_too_large", "内容过大 / more than the log takes"),
        Refusal::Internal => ("internal", "系统内部错误 / internal error"),
        Refusal::RouteNotFound => ("not_found", "没有此地址 / no such address"),
        Refusal::MethodNotAllowed => ("method_not_allowed", "此地址不支持该方法 / method not allowed here"),
        Refusal::BranchNotFound { .. } => ("branch_not_found", "没有此服务中心 / no such branch"),
        Refusal::NothingToResend => ("nothing_to_resend", "没有可重推的 / nothing to send again"),
        Refusal::NoticeNotFound => ("notice_not_found", "没有此催办单 / no such expedite notice"),
        Refusal::UnsupportedMediaType => {
            ("unsupported_media_type", "请用 application/json / send application/json")
        }
        Refusal::BodyTooLarge { .. } => ("body_too_large", "请求体过大 / the body is too large"),
        Refusal::BodyUnreadable => ("body_unreadable", "请求体未完整送达 / the body did not arrive whole"),
        Refusal::MalformedJson { .. } => ("malformed_json", "不是合法的 JSON / not valid JSON"),
        Refusal::NotAnObject => ("not_an_object", "请求体须为 JSON 对象 / the body must be a JSON object"),
        Refusal::MissingField { .. } => ("missing_field", "缺少必填项 / a field is missing"),
        Refusal::UnknownField { .. } => ("unknown_field", "有未知的项 / an unknown field"),
        Refusal::InvalidValue { .. } => ("invalid_value", "内容不合要求 / a value is not valid"),
        Refusal::InvalidQuery { .. } => ("invalid_query", "查询参数不合要求 / the query is not valid"),
        Refusal::InvalidHeader { .. } => ("invalid_header", "请求头不合要求 / a header is not valid"),
        Refusal::InvalidId { .. } => ("invalid_id", "编号格式不对 / not a valid id"),
        Refusal::OfficialDaysUnusable { .. } => {
            ("official_days_unusable", "无法读懂放假安排 / the official days are not understood")
        }
        Refusal::Unauthenticated => ("unauthenticated", "请先登录 / say who you are"),
        Refusal::ForeignHost => ("foreign_host", "不接受此主机名 / not reached by this name"),
        Refusal::ModelsBehind { .. } => ("models_behind", "查询尚未跟上 / the read models are behind"),
        Refusal::TooManyListeners => ("too_many_listeners", "实时连接过多 / too many live streams"),
        Refusal::NotReady { .. } | Refusal::Stopped { .. } => ("not_ready", "尚未就绪 / not ready"),
    }
}

fn refusal_detail(refusal: &Refusal) -> String {
    let both = |zh: String, en: String| format!("{zh} / {en}");
    let fixed = |text: &str| text.to_owned();
    match refusal {
        Refusal::Rejected(rejection) => rule_detail(rejection),
        Refusal::RevisionMismatch { expected, actual } => both(
            format!("您看到的是第 {expected} 版，现在是第 {actual} 版，请重新查看后再提交"),
            format!("you saw revision {expected}, it is {actual} now: look again, then send again"),
        ),
        Refusal::KeyReused => fixed(
            "同一 Idempotency-Key 只能重发同样的内容 / send the same body with the same key, or take a new key",
        ),
        Refusal::Contended => fixed(
            "请稍候用同一 Idempotency-Key 重发 / wait a moment and send again with the same Idempotency-Key",
        ),
        Refusal::LogUnavailable => fixed(
            "没有记录任何内容；请稍候用同一 Idempotency-Key 重发 / nothing was recorded; the same Idempotency-Key may be sent again",
        ),
        Refusal::ClockToBeConfirmed => fixed(
            "系统时钟比日志最后一笔晚三十天以上，没有记录任何内容；请对时，确实无误则运行 cuiban clock accept / this machine's clock is more than thirty days ahead of the log's last commit and nothing was recorded; set it right, or run `cuiban clock accept` if it is right",
        ),
        Refusal::OutcomeUnknown => fixed(
            "可能已记录，也可能没有；请用同一 Idempotency-Key 重发，绝不会重复 / it may or may not be recorded; the same Idempotency-Key may be sent again and is obeyed once",
        ),
        Refusal::StreamUnreadable { stream, position } => both(
            format!(
                "{stream} 在位置 {position} 处无法读取，没有记录任何内容；请管理员查看：cuiban log step-over --position {position}"
            ),
            format!(
                "{stream} cannot be read at position {position}; nothing was recorded. An operator looks at it with: cuiban log step-over --position {position}"
            ),
        ),
        Refusal::CommitTooLarge => fixed("请缩短内容 / shorten what is to be recorded"),
        Refusal::Internal => fixed("错误已记入系统日志 / the error is in the server's own log"),
        Refusal::RouteNotFound => fixed("接口说明见 /docs/ / the interface is described at /docs/"),
        Refusal::MethodNotAllowed => fixed("可用的方法见 Allow 响应头 / the Allow header lists the methods"),
        Refusal::BranchNotFound { branch } => {
            both(format!("{branch} 尚未开设"), format!("{branch} was never opened"))
        }
        Refusal::NothingToResend => fixed(
            "各渠道都已送达、尚未推送过，催办已撤回，或没有此提醒；要向已送达的渠道重推，请指明 channel / every channel has taken it, none has begun to push it, its notice was withdrawn, or there is no such alert; to send it again through one that has taken it, name the channel",
        ),
        Refusal::NoticeNotFound => fixed("请核对催办单编号 / check the notice's id"),
        Refusal::UnsupportedMediaType => {
            fixed("Content-Type 须为 application/json / the Content-Type must be application/json")
        }
        Refusal::BodyTooLarge { limit_bytes } => {
            both(format!("最多 {limit_bytes} 字节"), format!("at most {limit_bytes} bytes are taken"))
        }
        Refusal::BodyUnreadable => fixed("请重发 / send again"),
        Refusal::MalformedJson { line, column } => both(
            format!("第 {line} 行第 {column} 个字符处有误"),
            format!("something is wrong at line {line}, column {column}"),
        ),
        Refusal::NotAnObject => fixed("例如 {\"channel\": \"phone\"} / such as {\"channel\": \"phone\"}"),
        Refusal::MissingField { pointer } => both(format!("请填写 {pointer}"), format!("give {pointer}")),
        Refusal::UnknownField { pointer } => {
            both(format!("没有 {pointer} 这一项"), format!("there is no {pointer}"))
        }
        Refusal::InvalidValue { pointer, reason } => {
            both(format!("请检查 {pointer}"), format!("{pointer}: {reason}"))
        }
        Refusal::InvalidQuery { reason } => both("请检查查询参数".to_owned(), reason.clone()),
        Refusal::InvalidHeader { header, reason } => {
            both(format!("请检查 {header}"), format!("{header}: {reason}"))
        }
        Refusal::InvalidId { reason } => both("请核对地址中的编号".to_owned(), reason.clone()),
        Refusal::OfficialDaysUnusable { reason } => both("请核对文件格式".to_owned(), reason.clone()),
        Refusal::Unauthenticated => {
            fixed("请带上 Authorization: Bearer <令牌> / send Authorization: Bearer <token>")
        }
        Refusal::ForeignHost => fixed(
            "未配置令牌时只接受 localhost 或 IP 地址 / without tokens only localhost or an IP address is accepted",
        ),
        Refusal::ModelsBehind { position } => both(
            format!("查询目前到 {position}，请稍候"),
            format!("the read models are at {position}: wait a moment and ask again"),
        ),
        Refusal::TooManyListeners => fixed("请关闭不用的页面后重试 / close pages that nobody looks at"),
        // In both languages already; the rest stands in `problems`.
        Refusal::Stopped { problems, .. } => {
            problems.first().map(|problem| problem.detail.clone()).unwrap_or_default()
        }
        Refusal::NotReady { reason } => both("请稍候".to_owned(), fixed(reason)),
    }
}

/// A rule's title and its sentence; an empty sentence says that the facts have to be told.
fn rule(rejection: &Rejection) -> (&'static str, &'static str) {
    use Rejection as R;
    match rejection {
        R::TicketNotFound => ("没有此工单 / no such ticket", "请核对编号 / check the id"),
        R::TicketAlreadyRegistered => (
            "此编号已登记 / already registered",
            "编号已被另一登记占用 / the id belongs to another registration",
        ),
        R::TicketEnded => (
            "工单已结束 / ticket has ended",
            "已结案、取消或合并的工单不能再办理；客户再次报修请重新打开 / it is closed, cancelled or merged; reopen it if the customer is back",
        ),
        R::TicketStillOpen => (
            "工单尚未结束 / ticket is still open",
            "只有已修复或已结案的工单可以重新打开 / only a fixed or closed ticket is reopened",
        ),
        R::TicketPaused { .. } => ("工单处于暂停 / ticket is paused", "请先恢复再办理 / resume it first"),
        R::TicketNotPaused => {
            ("工单没有暂停 / ticket is not paused", "没有可恢复的暂停 / there is no pause to end")
        }
        R::AlreadyResponded { .. } => {
            ("已响应客户 / already responded", "首次响应只记录一次 / the first answer is recorded once")
        }
        R::NotYetResponded => {
            ("尚未响应客户 / not yet responded", "结案前须先响应客户 / answer the customer before closing")
        }
        R::TechnicianAlreadyDispatched { .. } => (
            "已派技术员 / technician already dispatched",
            "换人请用改派 / reassign the ticket to send somebody else",
        ),
        R::TechnicianNotDispatched => {
            ("尚未派工 / no technician dispatched", "请先派工 / dispatch a technician first")
        }
        R::TechnicianAlreadyArrived { .. } => {
            ("技术员已抵达 / technician already arrived", "抵达只记录一次 / an arrival is recorded once")
        }
        R::TechnicianNotArrived => {
            ("技术员尚未抵达 / technician has not arrived", "请先登记抵达 / record the arrival first")
        }
        R::AlreadyFixed => {
            ("已修复 / already fixed", "再次故障请重新打开 / reopen the ticket if it fails again")
        }
        R::NotYetFixed => {
            ("尚未修复 / not yet fixed", "报修须修复后才能结案 / a repair closes when it is fixed")
        }
        R::NoVisitNeeded => (
            "此单无需上门 / no visit needed",
            "需要上门请先更正 / reclassify the ticket if a visit is needed",
        ),
        R::NotARepair => ("不是报修单 / not a repair", "只有报修单适用 / this is for repairs only"),
        R::NothingToChange => ("没有变化 / nothing to change", "内容与现状相同 / it is so already"),
        R::UnknownBranch { .. } => ("没有此服务中心 / no such branch", "请先开设 / open the branch first"),
        R::UnknownStaff { .. } => ("没有此员工 / no such person", "请核对工号 / check the person's id"),
        R::StaffHasLeft { .. } => ("员工已离职 / the person has left", "请另选他人 / choose somebody else"),
        R::NotATechnician { .. } => {
            ("不是技术员 / not a technician", "只能派技术员 / only technicians are dispatched")
        }
        R::UnknownDistrict { .. } => {
            ("没有此区县 / no such district", "服务中心未列出此区县 / the branch does not list this district")
        }
        R::AreaMissing => (
            "未说明市区或郊区 / area is missing",
            "请填写 area，或填写已列出的区县 / give area, or a district that the branch lists",
        ),
        R::UnknownProduct { .. } => {
            ("没有此产品 / no such product", "产品不在目录中 / the company does not list this product")
        }
        R::OccurredInFuture { .. } => (
            "发生时间在将来 / occurred in the future",
            "只能登记已经发生的事 / things are reported after they happened",
        ),
        R::OccurredTooEarly { .. } => {
            ("发生时间过早 / occurred too early", "不能早于前一步 / it cannot precede the step before it")
        }
        R::ClockNotFound { .. } => {
            ("没有此时限 / no such clock", "此单没有该时限 / the ticket has no such clock")
        }
        R::NotOverdue { .. } => ("没有逾期 / not overdue", "时限未被突破 / the limit is not broken"),
        R::NoticesFirst { .. } => (
            "须先记录催办 / a notice comes first",
            "时限已逾期，请重试 / a limit was broken before this; send it again",
        ),
        R::DueInstantNotComputable { .. } => ("无法推算期限 / due instant not computable", ""),
        R::MergedIntoItself => {
            ("不能合并到自身 / merged into itself", "请选择另一张工单 / choose another ticket")
        }
        R::MergeTargetNotOpen { .. } => (
            "合并目标未在处理 / merge target is not open",
            "只能并入处理中的工单 / merge into an open ticket",
        ),
        R::VisitOverlaps { .. } => (
            "上门时间冲突 / visits overlap",
            "技术员此时另有上门 / the technician is busy with another visit then",
        ),
        R::VisitWindowInvalid => (
            "上门时段不合理 / visit window is not valid",
            "须先始后终，最长七天 / it ends after it begins and lasts at most a week",
        ),
        R::BranchAlreadyOpen => ("服务中心已开设 / branch is already open", "请换一个编号 / take another id"),
        R::StaffAlreadyKnown { .. } => (
            "员工已在册 / the person is on the staff",
            "变更资料请用 staff-change / use staff-change to change it",
        ),
        R::CalendarRefused { .. } => ("日历未被接受 / calendar refused", ""),
        R::PolicyRefused { .. } => ("时限规则未被接受 / policy refused", ""),
    }
}

fn rule_detail(rejection: &Rejection) -> String {
    let told = |zh: &str, detail: &dyn Display| format!("{zh} / {detail}");
    match rejection {
        Rejection::DueInstantNotComputable { detail } => told("请检查上班时间日历", detail),
        Rejection::CalendarRefused { detail, .. } => told("原日历继续有效", detail),
        Rejection::PolicyRefused { detail } => told("原规则继续有效", detail),
        Rejection::VisitOverlaps { from, until, .. } => format!(
            "{} ({} – {})",
            rule(rejection).1,
            from.format("%Y-%m-%dT%H:%MZ"),
            until.format("%Y-%m-%dT%H:%MZ")
        ),
        other => rule(other).1.to_owned(),
    }
}
