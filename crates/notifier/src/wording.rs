//! What people read, in one place: Chinese first, English beside it. No customer's data (R91).

use chrono_tz::Tz;
use cuiban_domain::Instant;
use cuiban_domain::people::{Department, Party};
use cuiban_domain::sla::{ClockKind, Rung};
use cuiban_domain::text::Text;
use cuiban_domain::ticket::{TicketKind, Urgency};

use crate::alert::{Alert, Severity};

/// A text in both languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Texts {
    pub(crate) zh: String,
    pub(crate) en: String,
}

/// Where an alert is read: the branch's name and its zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) branch: String,
    pub(crate) zone: Tz,
}

/// The text of one alert.
pub(crate) fn alert(alert: &Alert, place: &Place) -> Texts {
    let (subject, branch) = (subject(alert), &place.branch);
    let mut texts = match alert.severity() {
        Severity::Emergency => Texts {
            zh: format!("【特急】{}：请服务主任立即处理。服务中心：{branch}。", subject.zh),
            en: format!("[Emergency] {}: supervisors, please act at once. Branch: {branch}.", subject.en),
        },
        Severity::Rung(rung) => notice(alert, rung, &subject, place),
    };
    if alert.late {
        let recorded = local(alert.issued_at, place.zone);
        texts.zh.push_str(&format!("（补发，记录于 {recorded}）"));
        texts.en.push_str(&format!(" (sent late, recorded {recorded})"));
    }
    texts
}

fn notice(alert: &Alert, rung: Rung, subject: &Texts, place: &Place) -> Texts {
    let (rung_zh, rung_en) = rung_words(rung);
    let (clock_zh, clock_en) = alert.clock.map_or(("时限", "limit"), clock_words);
    let due = alert.due_at.map_or_else(|| "-".to_owned(), |due_at| local(due_at, place.zone));
    let (past_zh, past_en) = match rung {
        Rung::Warning => ("将到期", "is due soon"),
        _ => ("已逾期", "is overdue"),
    };
    let (addressee_zh, addressee_en) = alert
        .addressee
        .as_ref()
        .map_or_else(|| ("责任方".to_owned(), "responsible party".to_owned()), party_words);
    let branch = &place.branch;
    let again_zh =
        alert.repetition.filter(|n| *n > 0).map_or_else(String::new, |n| format!("，第 {n} 次重复"));
    let again_en =
        alert.repetition.filter(|n| *n > 0).map_or_else(String::new, |n| format!(", repetition {n}"));
    Texts {
        zh: format!(
            "【{rung_zh}】{}：{clock_zh}{past_zh}（期限 {due}{again_zh}），请{addressee_zh}处理。服务中心：{branch}。",
            subject.zh
        ),
        en: format!(
            "[{rung_en}] {}: {clock_en} {past_en} (due {due}{again_en}); {addressee_en}, please act. Branch: {branch}.",
            subject.en
        ),
    }
}

/// The text of a digest: how many, the earliest due instant, and the tickets that are listed.
pub(crate) fn digest(listed: &[Alert], count: usize, place: &Place) -> Texts {
    let branch = &place.branch;
    let earliest = listed.iter().filter_map(|alert| alert.due_at).min();
    let earliest = earliest.map_or_else(|| "-".to_owned(), |due_at| local(due_at, place.zone));
    let tickets = listed.iter().map(ticket_word).collect::<Vec<_>>();
    let (more_zh, more_en) = match count.saturating_sub(listed.len()) {
        0 => (String::new(), String::new()),
        more => (format!("，另有 {more} 张"), format!(", and {more} more")),
    };
    Texts {
        zh: format!(
            "【催办汇总】补发催办单 {count} 张，最早期限 {earliest}：{}{more_zh}。服务中心：{branch}。",
            tickets.join("、")
        ),
        en: format!(
            "[Expedite digest] {count} notices sent late, the earliest was due {earliest}: {}{more_en}. Branch: {branch}.",
            tickets.join(", ")
        ),
    }
}

/// `报修 BX-202611-00042（特急，KX-200）`.
fn subject(alert: &Alert) -> Texts {
    let (kind_zh, kind_en) = alert.kind.map_or(("工单", "ticket"), kind_words);
    let ticket = ticket_word(alert);
    let urgency = alert.urgency.and_then(urgency_words);
    let product = alert.product_model.as_ref().map(Text::as_str);
    let details =
        |urgency: Option<&'static str>| [urgency, product].into_iter().flatten().collect::<Vec<_>>();
    let (zh, en) = (details(urgency.map(|(zh, _)| zh)), details(urgency.map(|(_, en)| en)));
    let in_brackets = |open: &str, text: String, close: &str| match text.as_str() {
        "" => String::new(),
        text => format!("{open}{text}{close}"),
    };
    Texts {
        zh: format!("{kind_zh} {ticket}{}", in_brackets("（", zh.join("，"), "）")),
        en: format!("{kind_en} {ticket}{}", in_brackets(" (", en.join(", "), ")")),
    }
}

/// The number for people, or the id while that is not known.
fn ticket_word(alert: &Alert) -> String {
    alert.number.as_ref().map_or_else(|| alert.ticket.to_string(), ToString::to_string)
}

fn local(at: Instant, zone: Tz) -> String {
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M").to_string()
}

fn rung_words(rung: Rung) -> (&'static str, &'static str) {
    match rung {
        Rung::Warning => ("预警", "Warning"),
        Rung::Breach => ("催办", "Expedite"),
        Rung::ServiceSupervisor => ("催办·服务主任", "Expedite, service supervisor"),
        Rung::BranchManager => ("催办·分公司经理", "Expedite, branch manager"),
        Rung::DeputyGeneralManager => ("催办·副总经理", "Expedite, deputy general manager"),
    }
}

fn clock_words(clock: ClockKind) -> (&'static str, &'static str) {
    match clock {
        ClockKind::Response => ("响应时限", "response limit"),
        ClockKind::Dispatch => ("派工时限", "dispatch limit"),
        ClockKind::Resolution => ("处理期限", "resolution limit"),
    }
}

fn kind_words(kind: TicketKind) -> (&'static str, &'static str) {
    match kind {
        TicketKind::Repair => ("报修", "repair"),
        TicketKind::Complaint => ("投诉", "complaint"),
        TicketKind::CompensationClaim => ("索赔", "claim"),
    }
}

fn urgency_words(urgency: Urgency) -> Option<(&'static str, &'static str)> {
    match urgency {
        Urgency::Normal => None,
        Urgency::Urgent => Some(("紧急", "urgent")),
        Urgency::Emergency => Some(("特急", "emergency")),
    }
}

fn party_words(party: &Party) -> (String, String) {
    match party {
        Party::Staff(staff) => (format!("经办人 {staff} "), format!("handler {staff}")),
        Party::Department(Department::Dispatch) => ("派工部门".to_owned(), "dispatch department".to_owned()),
        Party::Department(Department::Customer) => ("客户部".to_owned(), "customer department".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn place() -> Place {
        Place { branch: "武汉服务中心".to_owned(), zone: Tz::Asia__Shanghai }
    }

    #[test]
    fn a_breach_says_what_is_overdue_since_when_and_who_acts() {
        let texts = alert(&testing::notice(1), &place());
        assert_eq!(
            texts.zh,
            "【催办】报修 BX-202611-00001（紧急，KX-200）：派工时限已逾期（期限 2026-11-20 17:30），请派工部门处理。\
             服务中心：武汉服务中心。"
        );
        assert_eq!(
            texts.en,
            "[Expedite] repair BX-202611-00001 (urgent, KX-200): dispatch limit is overdue (due 2026-11-20 17:30); \
             dispatch department, please act. Branch: 武汉服务中心."
        );
    }

    #[test]
    fn r64_a_late_notice_says_so() {
        let texts = alert(&Alert { late: true, ..testing::notice(1) }, &place());
        assert!(texts.zh.ends_with("（补发，记录于 2026-11-20 17:30）"), "{}", texts.zh);
        assert!(texts.en.ends_with("(sent late, recorded 2026-11-20 17:30)"), "{}", texts.en);
    }

    #[test]
    fn r64_a_digest_counts_what_it_does_not_list() {
        let listed = [testing::notice(1), testing::notice(2)];
        let texts = digest(&listed, 12, &place());
        assert!(
            texts.zh.contains("补发催办单 12 张")
                && texts.zh.contains("BX-202611-00001、BX-202611-00002，另有 10 张")
        );
        assert!(texts.en.contains("12 notices") && texts.en.contains("and 10 more"));
    }

    #[test]
    fn a_ticket_of_which_nothing_is_known_is_named_by_its_id() {
        let bare =
            Alert { number: None, kind: None, urgency: None, product_model: None, ..testing::emergency(1) };
        let texts = alert(&bare, &place());
        assert_eq!(
            texts.zh,
            format!("【特急】工单 {}：请服务主任立即处理。服务中心：武汉服务中心。", bare.ticket)
        );
    }
}
