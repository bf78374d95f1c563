//! What people read, in one place: Chinese first, English beside it. No customer's data (R91).

use std::time::Duration;

use chrono_tz::Tz;
use cuiban_domain::Instant;
use cuiban_domain::people::{Department, Party, Role};
use cuiban_domain::sla::{ClockKind, Rung};
use cuiban_domain::text::Name;
use cuiban_domain::ticket::{TicketKind, Urgency};

use crate::alert::{Alert, Severity};
use crate::message::Manner;

/// A text in both languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Texts {
    pub(crate) zh: String,
    pub(crate) en: String,
}

/// Where an alert is read: the branch's name and its zone, and who of its staff is addressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) branch: String,
    pub(crate) zone: Tz,
    pub(crate) addressee: Option<(Name, Role)>,
}

/// A name of any origin as one line: line breaks and control characters become spaces, marks that turn the direction of
/// writing go, and so do characters that nobody sees.
pub(crate) fn single_line(name: &Name) -> Name {
    let clean: String = name.as_str().chars().filter(|c| !is_unseen(*c)).map(spaced).collect();
    let words: Vec<&str> = clean.split_whitespace().collect();
    Name::new(words.join(" ")).unwrap_or_else(|_| nameless())
}

fn nameless() -> Name {
    #[expect(clippy::expect_used, reason = "a literal that fits")]
    Name::new("-").expect("fits")
}

/// Marks of direction, zero-width characters, the mark at a file's beginning.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
        | '\u{feff}')
}

fn spaced(c: char) -> char {
    if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }
}

/// The text of one alert.
pub(crate) fn alert(alert: &Alert, manner: &Manner) -> Texts {
    let (place, subject) = (&manner.place, subject(alert));
    let branch = &place.branch;
    let mut texts = match alert.severity() {
        Severity::Emergency => Texts {
            zh: format!("【特急】{}：请服务主任立即处理。服务中心：{branch}。", subject.zh),
            en: format!("[Emergency] {}: supervisors, please act at once. Branch: {branch}.", subject.en),
        },
        Severity::Rung(_) if alert.withdrawn => withdrawal(alert, &subject, place),
        Severity::Rung(rung) => notice(alert, rung, &subject, manner),
    };
    if !alert.withdrawn && !alert.departments.is_empty() {
        let named: Vec<_> =
            alert.departments.iter().map(|department| department_words(*department)).collect();
        let (zh, en): (Vec<_>, Vec<_>) = named.into_iter().unzip();
        texts.zh.push_str(&format!("服务中心无主任可知会，请{}督办。", zh.join("、")));
        texts.en.push_str(&format!(" The branch has nobody to inform; {}, please see to it.", en.join(", ")));
    }
    if alert.late {
        let recorded = local(alert.issued_at, place.zone);
        texts.zh.push_str(&format!("（补发，记录于 {recorded}）"));
        texts.en.push_str(&format!(" (sent late, recorded {recorded})"));
    }
    repeated(texts, manner)
}

/// Says so where the receiver may have it already.
fn repeated(mut texts: Texts, manner: &Manner) -> Texts {
    if manner.maybe_twice {
        texts.zh.push_str("（可能重复）");
        texts.en.push_str(" (possibly repeated)");
    }
    texts
}

fn notice(alert: &Alert, rung: Rung, subject: &Texts, manner: &Manner) -> Texts {
    let place = &manner.place;
    let (rung_zh, rung_en) = rung_words(rung);
    let (clock_zh, clock_en) = alert.clock.map_or(("时限", "limit"), clock_words);
    let due = alert.due_at.map_or_else(|| "-".to_owned(), |due_at| local(due_at, place.zone));
    let (past_zh, past_en) = standing(alert.due_at, manner.now);
    let (owes_zh, owes_en) = alert.addressee.as_ref().map_or_else(
        || ("责任方".to_owned(), "responsible party".to_owned()),
        |party| party_words(party, place),
    );
    let branch = &place.branch;
    let again_zh =
        alert.repetition.filter(|n| *n > 0).map_or_else(String::new, |n| format!("，第 {n} 次重复"));
    let again_en =
        alert.repetition.filter(|n| *n > 0).map_or_else(String::new, |n| format!(", repetition {n}"));
    Texts {
        zh: format!(
            "【{rung_zh}】{}：{clock_zh}{past_zh}（期限 {due}{again_zh}），请{owes_zh}处理。服务中心：{branch}。",
            subject.zh
        ),
        en: format!(
            "[{rung_en}] {}: {clock_en} {past_en} (due {due}{again_en}); {owes_en}, please act. Branch: {branch}.",
            subject.en
        ),
    }
}

fn withdrawal(alert: &Alert, subject: &Texts, place: &Place) -> Texts {
    let (clock_zh, clock_en) = alert.clock.map_or(("时限", "limit"), clock_words);
    let due = alert.due_at.map_or_else(|| "-".to_owned(), |due_at| local(due_at, place.zone));
    let branch = &place.branch;
    Texts {
        zh: format!(
            "【催办已撤回】{}：{clock_zh}（期限 {due}）的催办不再有效，无需处理。服务中心：{branch}。",
            subject.zh
        ),
        en: format!(
            "[Expedite withdrawn] {}: the notice about its {clock_en} (due {due}) counts no more. Branch: {branch}.",
            subject.en
        ),
    }
}

/// How late, or how soon: `已逾期 2 小时 10 分`.
fn standing(due_at: Option<Instant>, now: Instant) -> (String, String) {
    let Some(due_at) = due_at else { return ("已逾期".to_owned(), "is overdue".to_owned()) };
    match (now - due_at).to_std() {
        Ok(late) if late < MINUTE => ("刚刚逾期".to_owned(), "is overdue as of now".to_owned()),
        Ok(late) => {
            let (zh, en) = span_words(late);
            (format!("已逾期 {zh}"), format!("is overdue by {en}"))
        }
        Err(_) => {
            let left = (due_at - now).to_std().unwrap_or_default().max(MINUTE);
            let (zh, en) = span_words(left);
            (format!("还有 {zh} 到期"), format!("is due in {en}"))
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// `2 天 3 小时`, `2 小时 10 分`, `10 分`: the two largest units.
fn span_words(span: Duration) -> (String, String) {
    let minutes = span.as_secs() / 60;
    let units = [(minutes / 1_440, "天", "d"), (minutes / 60 % 24, "小时", "h"), (minutes % 60, "分", "min")];
    let parts: Vec<_> =
        units.into_iter().skip_while(|(n, ..)| *n == 0).take(2).filter(|(n, ..)| *n > 0).collect();
    let zh: Vec<_> = parts.iter().map(|(n, zh, _)| format!("{n} {zh}")).collect();
    let en: Vec<_> = parts.iter().map(|(n, _, en)| format!("{n} {en}")).collect();
    (zh.join(" "), en.join(" "))
}

/// The text of a digest: how many, the earliest due instant, and the tickets that are listed.
pub(crate) fn digest(listed: &[Alert], count: usize, manner: &Manner) -> Texts {
    let place = &manner.place;
    let branch = &place.branch;
    let earliest = listed.iter().filter_map(|alert| alert.due_at).min();
    let earliest = earliest.map_or_else(|| "-".to_owned(), |due_at| local(due_at, place.zone));
    let tickets = listed.iter().map(ticket_word).collect::<Vec<_>>();
    let (more_zh, more_en) = match count.saturating_sub(listed.len()) {
        0 => (String::new(), String::new()),
        more => (format!("，另有 {more} 张"), format!(", and {more} more")),
    };
    let texts = Texts {
        zh: format!(
            "【催办汇总】补发催办单 {count} 张，最早期限 {earliest}：{}{more_zh}。服务中心：{branch}。",
            tickets.join("、")
        ),
        en: format!(
            "[Expedite digest] {count} notices sent late, the earliest was due {earliest}: {}{more_en}. Branch: {branch}.",
            tickets.join(", ")
        ),
    };
    repeated(texts, manner)
}

/// `报修 BX-202611-00042（特急，KX-200）`.
fn subject(alert: &Alert) -> Texts {
    let (kind_zh, kind_en) = alert.kind.map_or(("工单", "ticket"), kind_words);
    let ticket = ticket_word(alert);
    let urgency = alert.urgency.and_then(urgency_words);
    let product = alert.product_model.as_ref().map(single_line);
    let product = product.as_ref().map(|product| without_frames(product.as_str()));
    let product = product.as_deref();
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

/// Without the brackets by which a text shows what it is and where a name ends: a name cannot word another alert.
fn without_frames(text: &str) -> String {
    let plain = |c| match c {
        '【' | '〔' | '［' => '[',
        '】' | '〕' | '］' => ']',
        '（' => '(',
        '）' => ')',
        c => c,
    };
    text.chars().map(plain).collect()
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

/// Who owes the next step: by department, or by role and name.
fn party_words(party: &Party, place: &Place) -> (String, String) {
    match (party, &place.addressee) {
        (Party::Staff(_), Some((name, role))) => {
            let ((role_zh, role_en), name) = (role_words(*role), single_line(name));
            (format!("{role_zh}{name}"), format!("{role_en} {name}"))
        }
        (Party::Staff(staff), None) => (format!("经办人 {staff} "), format!("handler {staff}")),
        (Party::Department(department), _) => {
            let (zh, en) = department_words(*department);
            (zh.to_owned(), en.to_owned())
        }
    }
}

fn department_words(department: Department) -> (&'static str, &'static str) {
    match department {
        Department::Dispatch => ("派工部门", "dispatch department"),
        Department::Customer => ("客户部", "customer department"),
    }
}

fn role_words(role: Role) -> (&'static str, &'static str) {
    match role {
        Role::IntakeOperator => ("业务员", "intake operator"),
        Role::Technician => ("技术员", "technician"),
        Role::ServiceSupervisor => ("服务主任", "service supervisor"),
        Role::BranchManager => ("分公司经理", "branch manager"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, manner};

    #[test]
    fn a_breach_says_what_is_overdue_since_when_and_who_acts() {
        let texts = alert(&testing::notice(1), &manner());
        assert_eq!(
            texts.zh,
            "【催办】报修 BX-202611-00001（紧急，KX-200）：派工时限刚刚逾期（期限 2026-11-20 17:30），请派工部门处理。\
             服务中心：武汉服务中心。"
        );
        assert_eq!(
            texts.en,
            "[Expedite] repair BX-202611-00001 (urgent, KX-200): dispatch limit is overdue as of now (due 2026-11-20 17:30); \
             dispatch department, please act. Branch: 武汉服务中心."
        );
    }

    #[test]
    fn a_notice_says_how_late_it_is_when_it_goes_out() {
        let told = |now: &str| {
            let manner = Manner { now: now.parse().unwrap(), ..manner() };
            let texts = alert(&testing::notice(1), &manner);
            (texts.zh, texts.en)
        };
        for (now, zh, en) in [
            ("2026-11-20T09:31:00Z", "派工时限已逾期 1 分（", "is overdue by 1 min ("),
            ("2026-11-20T11:40:30Z", "派工时限已逾期 2 小时 10 分（", "is overdue by 2 h 10 min ("),
            ("2026-11-22T12:30:00Z", "派工时限已逾期 2 天 3 小时（", "is overdue by 2 d 3 h ("),
            ("2026-11-22T09:40:00Z", "派工时限已逾期 2 天（", "is overdue by 2 d ("),
            ("2026-11-20T09:00:00Z", "派工时限还有 30 分 到期（", "is due in 30 min ("),
        ] {
            let (told_zh, told_en) = told(now);
            assert!(told_zh.contains(zh) && told_en.contains(en), "{told_zh} {told_en}");
        }
    }

    #[test]
    fn a_person_is_named_with_the_role() {
        let name = Name::recorded("李\u{202e}师\n傅".to_owned()).unwrap();
        let place = Place { addressee: Some((name, Role::Technician)), ..manner().place };
        let party = Party::Staff(cuiban_domain::ids::StaffId::new("S7").unwrap());
        let notice = Alert { addressee: Some(party), ..testing::notice(1) };
        let texts = alert(&notice, &Manner { place, ..manner() });
        assert!(texts.zh.contains("请技术员李师 傅处理"), "{}", texts.zh);
        assert!(texts.en.contains("technician 李师 傅, please act"), "{}", texts.en);
    }

    #[test]
    fn what_an_old_commit_calls_a_product_stays_one_line_in_its_direction() {
        let text = |name: &str| single_line(&Name::recorded(name.to_owned()).unwrap()).as_str().to_owned();
        assert_eq!(text("KX\r\n200"), "KX 200");
        assert_eq!(text("a\u{2028}b\u{202e}c\u{2066}d\u{200f}"), "a bcd");
        assert_eq!(text("\u{200b}"), "-");
        assert_eq!(text("柜机 KX-200 🧊"), "柜机 KX-200 🧊");
        let model = Name::recorded("KX\n【催办】BX-1".to_owned()).unwrap();
        let texts = alert(&Alert { product_model: Some(model), ..testing::notice(1) }, &manner());
        assert_eq!((texts.zh.lines().count(), texts.en.lines().count()), (1, 1));
    }

    #[test]
    fn a_name_cannot_end_the_brackets_that_it_stands_in_nor_begin_another_alert() {
        let model = Name::new("K）：响应已处理。【催办撤销】报修 BX-202611-00002（").unwrap();
        let texts = alert(&Alert { product_model: Some(model), ..testing::notice(1) }, &manner());
        assert_eq!(texts.zh.matches(['【', '】', '（', '）']).count(), 6, "{}", texts.zh);
        assert!(texts.zh.contains("K)：响应已处理。[催办撤销]报修 BX-202611-00002("), "{}", texts.zh);
    }

    #[test]
    fn r40_a_withdrawal_says_so() {
        let texts = alert(&Alert { withdrawn: true, ..testing::notice(1) }, &manner());
        assert!(texts.zh.starts_with("【催办已撤回】报修 BX-202611-00001"), "{}", texts.zh);
        assert!(texts.en.starts_with("[Expedite withdrawn] repair BX-202611-00001"), "{}", texts.en);
    }

    #[test]
    fn what_the_receiver_may_have_already_says_so() {
        let manner = Manner { maybe_twice: true, ..manner() };
        for texts in [alert(&testing::notice(1), &manner), digest(&[testing::notice(1)], 12, &manner)] {
            assert!(
                texts.zh.ends_with("（可能重复）") && texts.en.ends_with("(possibly repeated)"),
                "{texts:?}"
            );
        }
    }

    #[test]
    fn r64_a_late_notice_says_so() {
        let texts = alert(&Alert { late: true, ..testing::notice(1) }, &manner());
        assert!(texts.zh.ends_with("（补发，记录于 2026-11-20 17:30）"), "{}", texts.zh);
        assert!(texts.en.ends_with("(sent late, recorded 2026-11-20 17:30)"), "{}", texts.en);
    }

    #[test]
    fn r64_a_digest_counts_what_it_does_not_list() {
        let listed = [testing::notice(1), testing::notice(2)];
        let texts = digest(&listed, 12, &manner());
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
        let texts = alert(&bare, &manner());
        assert_eq!(
            texts.zh,
            format!("【特急】工单 {}：请服务主任立即处理。服务中心：武汉服务中心。", bare.ticket)
        );
    }
}
