//! What goes through a channel: one alert, or a digest of many (R64), as texts for people and JSON for machines.
//!
//! The JSON has the shape that Standard Webhooks recommends: `type`, `timestamp`, `data`. Types are
//! `expedite.issued`, `emergency.raised` and `expedite.digest`.

use bytes::Bytes;
use cuiban_domain::Instant;
use cuiban_domain::ids::BranchId;
use serde::Serialize;
use uuid::Uuid;

use crate::alert::{Alert, Severity};
use crate::wording::{self, Place, Texts};

/// One message. A repeated one has the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The alert's id; a digest's is derived from those of its alerts.
    pub id: Uuid,
    /// The branch that it concerns.
    pub branch: BranchId,
    /// `emergency`, a rung of the ladder, or `digest`.
    pub topic: &'static str,
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

#[derive(Serialize)]
struct Wire<D> {
    r#type: &'static str,
    timestamp: Instant,
    data: D,
}

#[derive(Serialize)]
struct AlertData<'a> {
    #[serde(flatten)]
    alert: &'a Alert,
    severity: &'static str,
    text_zh: &'a str,
    text_en: &'a str,
}

#[derive(Serialize)]
struct DigestData<'a> {
    id: Uuid,
    branch: &'a BranchId,
    count: usize,
    /// The oldest ones.
    alerts: &'a [Alert],
    text_zh: &'a str,
    text_en: &'a str,
}

impl Message {
    /// The message of one alert.
    pub(crate) fn of(alert: &Alert, place: &Place) -> Self {
        let Texts { zh, en } = wording::alert(alert, place);
        let severity = alert.severity();
        let data = AlertData { alert, severity: severity.as_str(), text_zh: &zh, text_en: &en };
        let r#type = match severity {
            Severity::Emergency => "emergency.raised",
            Severity::Rung(_) => "expedite.issued",
        };
        let json = to_json(&Wire { r#type, timestamp: alert.issued_at, data });
        Self {
            id: alert.id,
            branch: alert.branch.clone(),
            topic: severity.as_str(),
            text_zh: zh,
            text_en: en,
            json,
            alerts: vec![alert.id],
        }
    }

    /// One message for many notices of a branch, of which it lists the first `listed_max`; `None` for no notices. One
    /// that is left alone, as others delivered the rest, goes under its own id: whoever has it knows it again.
    pub(crate) fn digest(alerts: &[Alert], listed_max: usize, place: &Place) -> Option<Self> {
        if let [alert] = alerts {
            return Some(Self::of(alert, place));
        }
        let (first, last) = (alerts.first()?, alerts.last()?);
        let id = digest_id(alerts);
        let listed = &alerts[..alerts.len().min(listed_max)];
        let Texts { zh, en } = wording::digest(listed, alerts.len(), place);
        let branch = &first.branch;
        let data = DigestData { id, branch, count: alerts.len(), alerts: listed, text_zh: &zh, text_en: &en };
        let json = to_json(&Wire { r#type: "expedite.digest", timestamp: last.issued_at, data });
        Some(Self {
            id,
            branch: branch.clone(),
            topic: DIGEST,
            text_zh: zh,
            text_en: en,
            json,
            alerts: alerts.iter().map(|alert| alert.id).collect(),
        })
    }
}

/// The same for the same notices; another as soon as one joins, so that no receiver takes it for known.
fn digest_id(alerts: &[Alert]) -> Uuid {
    let ids: Vec<u8> = alerts.iter().flat_map(|alert| *alert.id.as_bytes()).collect();
    Uuid::new_v5(&Uuid::NAMESPACE_OID, &[b"cuiban digest".as_slice(), &ids].concat())
}

fn to_json<D: Serialize>(wire: &Wire<D>) -> Bytes {
    #[expect(clippy::expect_used, reason = "these shapes have text keys and nothing that JSON refuses")]
    serde_json::to_vec(wire).expect("JSON takes these shapes").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn place() -> Place {
        Place { branch: "B0".to_owned(), zone: chrono_tz::Asia::Shanghai }
    }

    #[test]
    fn a_notice_as_json_has_type_timestamp_and_flat_data() {
        let notice = testing::notice(1);
        let json: serde_json::Value = serde_json::from_slice(&Message::of(&notice, &place()).json).unwrap();
        assert_eq!(json["type"], "expedite.issued");
        assert_eq!(json["timestamp"], "2026-11-20T09:30:00.000001Z");
        let data = &json["data"];
        assert_eq!(data["id"], notice.id.to_string());
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
            (&data["cycle"], &data["repetition"], &data["late"]),
            (&1.into(), &0.into(), &false.into())
        );
        assert_eq!(data["addressee"]["department"], "dispatch");
        assert!(data["text_zh"].as_str().unwrap().starts_with("【催办】"));
    }

    #[test]
    fn an_emergency_has_its_own_type_and_topic() {
        let message = Message::of(&testing::emergency(1), &place());
        let json: serde_json::Value = serde_json::from_slice(&message.json).unwrap();
        assert_eq!((&json["type"], message.topic), (&"emergency.raised".into(), "emergency"));
        assert!(json["data"]["clock"].is_null());
    }

    #[test]
    fn a_digests_id_is_that_of_its_notices() {
        let alerts: Vec<_> = (1..=12).map(testing::notice).collect();
        let id = |alerts: &[Alert]| Message::digest(alerts, 5, &place()).unwrap().id;
        assert_eq!(id(&alerts), id(&alerts));
        assert_ne!(id(&alerts), id(&alerts[1..]));
        assert!(Message::digest(&[], 5, &place()).is_none());
    }

    #[test]
    fn a_digest_of_one_notice_is_that_notices_own_message() {
        let alert = testing::notice(1);
        let (alone, own) = (
            Message::digest(std::slice::from_ref(&alert), 5, &place()).unwrap(),
            Message::of(&alert, &place()),
        );
        assert_eq!((alone.id, alone.topic, &alone.json), (alert.id, own.topic, &own.json));
    }

    #[test]
    fn a_digest_lists_the_oldest_and_names_all() {
        let alerts: Vec<_> = (1..=12).map(testing::notice).collect();
        let message = Message::digest(&alerts, 5, &place()).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&message.json).unwrap();
        assert_eq!(json["data"]["count"], 12);
        assert_eq!(json["data"]["alerts"].as_array().unwrap().len(), 5);
        assert_eq!((message.alerts.len(), message.topic), (12, "digest"));
    }
}
