//! The words on the pages: Chinese first, English beside it. Each match is exhaustive.

use std::fmt;

use cuiban_domain::people::{Department, Party};
use cuiban_domain::sla::{ClockKind, Measure, Rung};
use cuiban_domain::ticket::{Area, Channel, CustomerLevel, PauseReason, ServiceBasis, TicketKind, Urgency};
use cuiban_projector::{ClockStanding, TicketLifecycle, WorkStage};

/// One term in both languages. Made of our own constants only, so it needs no escaping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) zh: &'static str,
    pub(super) en: &'static str,
}

const fn words(zh: &'static str, en: &'static str) -> Words {
    Words { zh, en }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <span class=\"en\" lang=\"en\">{}</span>", self.zh, self.en)
    }
}

impl askama::filters::HtmlSafe for Words {}

pub(super) fn kind(kind: TicketKind) -> Words {
    match kind {
        TicketKind::Repair => words("报修", "Repair"),
        TicketKind::Complaint => words("投诉", "Complaint"),
        TicketKind::CompensationClaim => words("索赔", "Claim"),
    }
}

pub(super) fn urgency(urgency: Urgency) -> Words {
    match urgency {
        Urgency::Normal => words("一般", "normal"),
        Urgency::Urgent => words("紧急", "urgent"),
        Urgency::Emergency => words("特急", "emergency"),
    }
}

pub(super) fn area(area: Area) -> Words {
    match area {
        Area::Urban => words("市区", "urban"),
        Area::Suburban => words("郊区", "suburban"),
    }
}

pub(super) fn channel(channel: Channel) -> Words {
    match channel {
        Channel::Phone => words("电话", "phone"),
        Channel::Web => words("网页", "web"),
        Channel::Mail => words("邮件", "mail"),
        Channel::App => words("应用", "app"),
        Channel::WalkIn => words("上门", "walk-in"),
    }
}

pub(super) fn level(level: CustomerLevel) -> Words {
    match level {
        CustomerLevel::Standard => words("普通客户", "standard"),
        CustomerLevel::Important => words("重要客户", "important"),
    }
}

pub(super) fn service_basis(basis: ServiceBasis) -> Words {
    match basis {
        ServiceBasis::Paid => words("A 有费", "paid"),
        ServiceBasis::Contract => words("B 合同", "contract"),
        ServiceBasis::Warranty => words("C 免费", "warranty"),
    }
}

pub(super) fn stage(stage: WorkStage) -> Words {
    match stage {
        WorkStage::Waiting => words("待派工", "to dispatch"),
        WorkStage::Dispatched => words("已派工", "on the way"),
        WorkStage::Arrived => words("已抵达", "on site"),
        WorkStage::Fixed => words("已修复", "fixed"),
    }
}

pub(super) fn lifecycle(lifecycle: TicketLifecycle) -> Words {
    match lifecycle {
        TicketLifecycle::Open => words("处理中", "open"),
        TicketLifecycle::Closed => words("已结案", "closed"),
        TicketLifecycle::Cancelled => words("已取消", "cancelled"),
        TicketLifecycle::Merged => words("已合并", "merged"),
        TicketLifecycle::HandedOver => words("已转出", "handed over"),
    }
}

pub(super) fn pause(reason: PauseReason) -> Words {
    match reason {
        PauseReason::CustomerAbsent => words("客户不在", "customer absent"),
        PauseReason::WaitingForParts => words("等待零件", "waiting for parts"),
        PauseReason::CustomerAskedForAnotherDay => words("客户改期", "another day"),
        PauseReason::WaitingForCustomer => words("等待客户答复", "waiting for the customer"),
    }
}

pub(super) fn stopped() -> Words {
    words("暂停", "paused")
}

pub(super) fn clock(clock: ClockKind) -> Words {
    match clock {
        ClockKind::Response => words("响应时限", "response"),
        ClockKind::Dispatch => words("派工时限", "dispatch"),
        ClockKind::Resolution => words("处理期限", "resolution"),
    }
}

pub(super) fn standing(standing: ClockStanding) -> Words {
    match standing {
        ClockStanding::Running => words("计时中", "running"),
        ClockStanding::Paused => words("暂停", "paused"),
        ClockStanding::Met => words("按时", "met"),
        ClockStanding::Breached => words("逾期", "overdue"),
        ClockStanding::BreachEnded => words("逾期完成", "done late"),
        ClockStanding::Cancelled => words("取消", "cancelled"),
    }
}

pub(super) fn measure(measure: Measure) -> Words {
    match measure {
        Measure::Working => words("上班时间", "working time"),
        Measure::Wall => words("自然时间", "wall clock"),
    }
}

pub(super) fn rung(rung: Rung) -> Words {
    match rung {
        Rung::Warning => words("预警", "warning"),
        Rung::Breach => words("逾期", "breach"),
        Rung::ServiceSupervisor => words("服务主任", "supervisor"),
        Rung::BranchManager => words("分公司经理", "branch manager"),
        Rung::DeputyGeneralManager => words("副总经理", "deputy GM"),
    }
}

fn department(department: Department) -> Words {
    match department {
        Department::Dispatch => words("派工组", "dispatch"),
        Department::Customer => words("客户部", "customer department"),
    }
}

/// Who is urged; a person by the name that the branch knows.
pub(super) fn party(party: &Party, name_of: impl Fn(&cuiban_domain::ids::StaffId) -> String) -> String {
    match party {
        Party::Staff(staff) => name_of(staff),
        Party::Department(named) => department(*named).zh.to_owned(),
    }
}

/// What happened, by the event's name in `proto/`.
pub(super) fn event(name: &str) -> Option<Words> {
    Some(match name {
        "ticket_registered" => words("登记", "registered"),
        "work_order_issued" => words("开出服务凭证", "work order issued"),
        "emergency_raised" => words("特急上报", "emergency raised"),
        "customer_responded" => words("已响应客户", "customer responded"),
        "technician_dispatched" => words("派工", "technician dispatched"),
        "technician_arrived" => words("抵达", "technician arrived"),
        "repair_fixed_on_site" => words("现场修复", "fixed on the spot"),
        "work_order_archived" => words("服务凭证归档", "work order archived"),
        "ticket_paused" => words("暂停", "paused"),
        "ticket_resumed" => words("恢复", "resumed"),
        "ticket_reclassified" => words("更正类别", "reclassified"),
        "area_changed" => words("区域变更", "area changed"),
        "service_basis_corrected" => words("更正服务性质", "service basis corrected"),
        "handler_assigned" => words("指定承办人", "handler assigned"),
        "ticket_reassigned" => words("改派", "reassigned"),
        "ticket_transferred" => words("转派服务中心", "transferred"),
        "ticket_merged" => words("合并", "merged"),
        "ticket_cancelled" => words("取消", "cancelled"),
        "ticket_closed" => words("结案", "closed"),
        "ticket_reopened" => words("重新打开", "reopened"),
        "clock_started" => words("开始计时", "clock started"),
        "clock_met" => words("按时完成", "limit met"),
        "clock_paused" => words("停止计时", "clock paused"),
        "clock_resumed" => words("继续计时", "clock resumed"),
        "deadline_moved" => words("期限变动", "due instant moved"),
        "clock_cancelled" => words("不再计时", "clock cancelled"),
        "sla_breached" => words("逾期", "limit broken"),
        "breach_ended" => words("逾期后完成", "done late"),
        "expedite_notice_issued" => words("催办单", "expedite notice"),
        "expedite_notice_superseded" => words("催办作废", "notice superseded"),
        "commit_stepped_over" => words("跳过无法读取的提交", "unreadable commit stepped over"),
        _ => return None,
    })
}

/// A value of `proto/`'s enums in our words, where it is one.
pub(super) fn wire_word(text: &str) -> Option<Words> {
    fn find<T: Copy + fmt::Display>(all: &[T], name: &str, word: impl Fn(T) -> Words) -> Option<Words> {
        all.iter().find(|one| one.to_string().eq_ignore_ascii_case(name)).map(|one| word(*one))
    }
    let strip = |prefix: &str| text.strip_prefix(prefix);
    None.or_else(|| find(TicketKind::ALL, strip("TICKET_KIND_")?, kind))
        .or_else(|| find(ClockKind::ALL, strip("CLOCK_KIND_")?, clock))
        .or_else(|| find(Urgency::ALL, strip("URGENCY_")?, urgency))
        .or_else(|| find(Area::ALL, strip("AREA_")?, area))
        .or_else(|| find(Channel::ALL, strip("CHANNEL_")?, channel))
        .or_else(|| find(ServiceBasis::ALL, strip("SERVICE_BASIS_")?, service_basis))
        .or_else(|| find(PauseReason::ALL, strip("PAUSE_REASON_")?, pause))
        .or_else(|| find(Rung::ALL, strip("RUNG_")?, rung))
        .or_else(|| find(Department::ALL, strip("DEPARTMENT_")?, department))
}

/// What the fields of an event are called, in the order in which they are told.
pub(super) const FIELDS: &[(&str, Words)] = &[
    ("clock", words("时限", "clock")),
    ("technician", words("技术员", "technician")),
    ("handler", words("承办人", "handler")),
    ("kind", words("类别", "kind")),
    ("urgency", words("紧急程度", "urgency")),
    ("area", words("区域", "area")),
    ("channel", words("渠道", "channel")),
    ("from", words("原", "from")),
    ("to", words("新", "to")),
    ("into", words("并入", "into")),
    ("due_at", words("到期", "due")),
    ("met_at", words("完成", "met")),
    ("ended_at", words("完成", "ended")),
    ("consumed", words("已用", "used")),
    ("reason", words("原因", "reason")),
    ("answer", words("答复", "answer")),
    ("remedy", words("处理", "remedy")),
    ("note", words("备注", "note")),
    ("addressee", words("催办对象", "to")),
    ("informed", words("抄送", "informed")),
    ("cycle", words("轮次", "cycle")),
    ("position", words("位置", "position")),
];
