//! What goes through a channel: one alert, or a digest of many (R64), as texts for people and JSON for machines.
//!
//! The JSON has the shape that Standard Webhooks recommends: `type`, `timestamp`, `data`; `v` is its version. Types are
//! `expedite.issued`, `expedite.withdrawn`, `emergency.raised` and `expedite.digest`.

use bytes::Bytes;
use cuiban_deliveries::MessageId;
use cuiban_domain::Instant;
use cuiban_domain::ids::BranchId;
use serde::Serialize;
use uuid::Uuid;

use crate::alert::{Alert, Severity};
use crate::wording::{self, Place, Texts};

/// One message. A repeated one has the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The alert's id; a digest's is derived from those of its alerts, a withdrawal's is `<notice>/withdrawn`.
    pub id: MessageId,
    /// The branch that it concerns.
    pub branch: BranchId,
    /// Whether it is the company that hears of it, as the branch has nobody who would (R4, R60).
    pub to_company: bool,
    /// `emergency`, a rung of the ladder, or `digest`; a withdrawal has its notice's.
    pub topic: &'static str,
    /// Whether the receiver may have it already.
    pub maybe_twice: bool,
    /// When an operator asked the notifier to send it again; the receiver hears it then although it has had it.
    pub asked_at: Option<Instant>,
    /// What people read, in Chinese.
    pub text_zh: String,
    /// What people read, in English.
    pub text_en: String,
    /// The whole of it for machines.
    pub json: Bytes,
    /// The alerts that it tells of, in the order of the log.
    pub alerts: Vec<Uuid>,
}

/// The topic of a digest.
const DIGEST: &str = "digest";
/// The version of the JSON's form.
const FORM: u32 = 1;

/// How a message is put.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// Where it is read.
    pub(crate) place: Place,
    /// When it goes out: lateness is told as of then.
    pub(crate) now: Instant,
    /// Whether the receiver may have it already.
    pub(crate) maybe_twice: bool,
}

#[derive(Serialize)]
struct Wire<D> {
    v: u32,
    r#type: &'static str,
    timestamp: Instant,
    data: D,
}

#[derive(Serialize)]
struct AlertData<'a> {
    #[serde(flatten)]
    alert: &'a Alert,
    message: MessageId,
    severity: &'static str,
    maybe_twice: bool,
    text_zh: &'a str,
    text_en: &'a str,
}

#[derive(Serialize)]
struct DigestData<'a> {
    id: MessageId,
    branch: &'a BranchId,
    count: usize,
    maybe_twice: bool,
    /// The oldest ones.
    alerts: &'a [Alert],
    text_zh: &'a str,
    text_en: &'a str,
}

impl Message {
    /// The message of one alert.
    pub(crate) fn of(alert: &Alert, manner: &Manner) -> Self {
        let alert =
            &Alert { product_model: alert.product_model.as_ref().map(wording::single_line), ..alert.clone() };
        let Texts { zh, en } = wording::alert(alert, manner);
        let (severity, message, maybe_twice) = (alert.severity(), alert.message(), manner.maybe_twice);
        let data = AlertData {
            alert,
            message,
            severity: severity.as_str(),
            maybe_twice,
            text_zh: &zh,
            text_en: &en,
        };
        let r#type = match severity {
            Severity::Emergency => "emergency.raised",
            Severity::Rung(_) if alert.withdrawn => "expedite.withdrawn",
            Severity::Rung(_) => "expedite.issued",
        };
        let json = to_json(&Wire { v: FORM, r#type, timestamp: alert.issued_at, data });
        Self {
            id: message,
            branch: alert.branch.clone(),
            to_company: !alert.departments.is_empty(),
            topic: severity.as_str(),
            maybe_twice,
            asked_at: None,
            text_zh: zh,
            text_en: en,
            json,
            alerts: vec![alert.id],
        }
    }

    /// One message for many notices of a branch, of which it lists the first `listed_max`; `None` for no notices.
    pub(crate) fn digest(
        id: MessageId,
        alerts: &[Alert],
        listed_max: usize,
        manner: &Manner,
    ) -> Option<Self> {
        let (first, last) = (alerts.first()?, alerts.last()?);
        let plain = |alert: &Alert| Alert {
            product_model: alert.product_model.as_ref().map(wording::single_line),
            ..alert.clone()
        };
        let listed: Vec<_> = alerts.iter().take(listed_max).map(plain).collect();
        let Texts { zh, en } = wording::digest(&listed, alerts.len(), manner);
        let (branch, maybe_twice) = (&first.branch, manner.maybe_twice);
        let (count, text_zh, text_en) = (alerts.len(), &*zh, &*en);
        let data = DigestData { id, branch, count, maybe_twice, alerts: &listed, text_zh, text_en };
        let json = to_json(&Wire { v: FORM, r#type: "expedite.digest", timestamp: last.issued_at, data });
        Some(Self {
            id,
            branch: branch.clone(),
            to_company: alerts.iter().any(|alert| !alert.departments.is_empty()),
            topic: DIGEST,
            maybe_twice,
            asked_at: None,
            text_zh: zh,
            text_en: en,
            json,
            alerts: alerts.iter().map(|alert| alert.id).collect(),
        })
    }

    /// What people read, in both languages.
    pub fn text(&self) -> String {
        format!("{}\n{}", self.text_zh, self.text_en)
    }
}

/// The same for the same notices; another as soon as one joins, so that no receiver takes it for known.
pub(crate) fn digest_id(alerts: &[Alert]) -> MessageId {
    let ids: Vec<u8> = alerts.iter().flat_map(|alert| *alert.id.as_bytes()).collect();
    MessageId::of(Uuid::new_v5(&Uuid::NAMESPACE_OID, &[b"cuiban digest".as_slice(), &ids].concat()))
}

fn to_json<D: Serialize>(wire: &Wire<D>) -> Bytes {
    #[expect(clippy::expect_used, reason = "these shapes have text keys and nothing that JSON refuses")]
    serde_json::to_vec(wire).expect("JSON takes these shapes").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, manner};

    #[test]
    fn r60_where_the_branch_has_nobody_the_company_hears_and_the_text_says_which_department() {
        let departments = vec![cuiban_domain::people::Department::Customer];
        let nobody = Alert { informed: vec![], departments, ..testing::notice(1) };
        let message = Message::of(&nobody, &manner());
        assert!(message.to_company && !Message::of(&testing::notice(1), &manner()).to_company);
        assert!(message.text_zh.contains("请客户部督办"), "{}", message.text_zh);
        assert!(message.text_en.contains("customer department, please see to it"), "{}", message.text_en);
        let json: serde_json::Value = serde_json::from_slice(&message.json).unwrap();
        assert_eq!(json["data"]["departments"][0], "customer");
    }

    #[test]
    fn a_notice_as_json_has_version_type_timestamp_and_flat_data() {
        let notice = testing::notice(1);
        let json: serde_json::Value = serde_json::from_slice(&Message::of(&notice, &manner()).json).unwrap();
        assert_eq!((&json["v"], &json["type"]), (&1.into(), &"expedite.issued".into()));
        assert_eq!(json["timestamp"], "2026-11-20T09:30:00.000001Z");
        let data = &json["data"];
        assert_eq!(
            (&data["id"], &data["message"]),
            (&notice.id.to_string().into(), &notice.id.to_string().into())
        );
        for (field, value) in [
            ("number", "BX-202611-00001"),
            ("branch", "B0"),
            ("clock", "dispatch"),
            ("rung", "breach"),
            ("severity", "breach"),
            ("due_at", "2026-11-20T09:30:00Z"),
        ] {
            assert_eq!(data[field], value, "{field}");
        }
        assert_eq!(
            (&data["cycle"], &data["repetition"], &data["late"], &data["maybe_twice"]),
            (&1.into(), &0.into(), &false.into(), &false.into())
        );
        assert_eq!(data["addressee"]["department"], "dispatch");
        assert!(data["text_zh"].as_str().unwrap().starts_with("【催办】"));
    }

    #[test]
    fn an_emergency_has_its_own_type_and_topic() {
        let message = Message::of(&testing::emergency(1), &manner());
        let json: serde_json::Value = serde_json::from_slice(&message.json).unwrap();
        assert_eq!((&json["type"], message.topic), (&"emergency.raised".into(), "emergency"));
        assert!(json["data"]["clock"].is_null());
    }

    #[test]
    fn r40_a_withdrawal_names_its_notice_under_an_id_of_its_own() {
        let notice = testing::notice(1);
        let message = Message::of(&Alert { withdrawn: true, ..notice.clone() }, &manner());
        assert_eq!(message.id.to_string(), format!("{}/withdrawn", notice.id));
        let json: serde_json::Value = serde_json::from_slice(&message.json).unwrap();
        assert_eq!((&json["type"], message.topic), (&"expedite.withdrawn".into(), "breach"));
        assert_eq!(json["data"]["id"], notice.id.to_string());
    }

    #[test]
    fn a_digests_id_is_that_of_its_notices() {
        let alerts: Vec<_> = (1..=12).map(testing::notice).collect();
        assert_eq!(digest_id(&alerts), digest_id(&alerts));
        assert_ne!(digest_id(&alerts), digest_id(&alerts[1..]));
        assert!(Message::digest(digest_id(&[]), &[], 5, &manner()).is_none());
    }

    #[test]
    fn a_digest_lists_the_oldest_and_names_all() {
        let alerts: Vec<_> = (1..=12).map(testing::notice).collect();
        let message = Message::digest(digest_id(&alerts), &alerts, 5, &manner()).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&message.json).unwrap();
        assert_eq!(json["data"]["count"], 12);
        assert_eq!(json["data"]["alerts"].as_array().unwrap().len(), 5);
        assert_eq!((message.alerts.len(), message.topic), (12, "digest"));
    }

    #[test]
    fn names_in_json_are_single_lines_too() {
        let model = cuiban_domain::text::Name::recorded("KX\u{202e}-200".to_owned()).unwrap();
        let alert = Alert { product_model: Some(model), ..testing::notice(1) };
        let json: serde_json::Value = serde_json::from_slice(&Message::of(&alert, &manner()).json).unwrap();
        assert_eq!(json["data"]["product_model"], "KX-200");
    }
}
