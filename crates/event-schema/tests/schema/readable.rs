//! A commit as people and `jq` read it.

use cuiban_event_schema::{to_json, to_line};
use serde_json::json;

use crate::samples::{encode, envelope, first_envelope, samples};

fn line(name: &str) -> String {
    let (full, _) = events(name);
    full
}

/// The two lines of a sample without what is the same in all of them.
fn events(name: &str) -> (String, String) {
    let sample = samples().remove(name).unwrap();
    let text = |event| to_line(&encode(&first_envelope(), &[event])).unwrap();
    let strip = |line: String| line.split_once(" K1: ").unwrap().1.to_owned();
    (strip(text(sample.full)), strip(text(sample.bare)))
}

#[test]
fn a_line_tells_when_where_who_and_what() {
    let sample = samples().remove("TechnicianArrived").unwrap();
    let line = to_line(&encode(&first_envelope(), std::slice::from_ref(&sample.full))).unwrap();
    let expected = "2026-03-04T07:30:00Z ticket/01990000-0000-7000-8000-000000000001 #1 K1: \
                    TechnicianArrived technician=T1";
    assert_eq!(line, expected);
}

#[test]
fn r2_a_late_entry_shows_both_times() {
    let line = to_line(&encode(&envelope(), &[])).unwrap();
    let begins = "2026-03-04T07:30:00.000001Z (happened 2026-03-04T06:10:00Z) ticket/";
    assert!(line.starts_with(begins), "{line}");
}

#[test]
fn a_line_tells_each_event_in_plain_words() {
    assert_eq!(
        line("ClockStarted"),
        "ClockStarted clock=dispatch cycle=2 limit={span=6h measure=working} \
         started_at=2026-03-04T06:10:00Z due_at=2026-03-04T08:00:00Z \
         basis={policy_version=c3.b1 calendar_version=c12.b0}"
    );
    assert_eq!(
        events("ExpediteNoticeIssued"),
        (
            "ExpediteNoticeIssued notice={clock=dispatch cycle=2 rung=deputy_general_manager repetition=3 episode=1} \
             due_at=2026-03-04T08:00:00Z addressee={staff=T1} informed=[S1, S2] late=true \
             informed_departments=[dispatch, customer]"
                .to_owned(),
            "ExpediteNoticeIssued notice={clock=dispatch cycle=2 rung=deputy_general_manager repetition=3 episode=1} \
             due_at=2026-03-04T08:00:00Z addressee={department=customer} late=false"
                .to_owned(),
        )
    );
    assert_eq!(
        events("RepairFixedOnSite").1,
        "RepairFixedOnSite technician=T1 remedy=更换电容 customer_signed=false"
    );
    assert_eq!(line("WorkOrderArchived"), "WorkOrderArchived");
    assert_eq!(line("ClockPaused").rsplit_once(' ').unwrap().1, "consumed=1h1us");
}

#[test]
fn every_commit_is_one_line_whatever_people_wrote() {
    for (name, sample) in samples() {
        let line = to_line(&sample.bytes()).unwrap();
        assert_eq!(line.lines().count(), 1, "{name}: {line}");
        assert_eq!(line.matches(name).count(), 2, "{name}: {line}");
    }
    assert!(line("TicketRegistered").contains(r#"address="某市某路 1 号，\n三楼""#));
}

#[test]
fn json_has_the_names_of_the_schema_and_hashes_in_hex() {
    let sample = samples().remove("TechnicianArrived").unwrap();
    let json = to_json(&encode(&envelope(), std::slice::from_ref(&sample.full))).unwrap();
    let expected = json!({
        "commit_id": "01990000-0000-7000-8000-00000000000a",
        "stream_kind": "ticket",
        "stream_id": "01990000-0000-7000-8000-000000000001",
        "revision": 4,
        "schema_version": 1,
        "actor": "K1",
        "correlation_id": "01990000-0000-7000-8000-00000000000b",
        "causation_id": "01990000-0000-7000-8000-00000000000c",
        "occurred_at": "2026-03-04T06:10:00Z",
        "recorded_at": "2026-03-04T07:30:00.000001Z",
        "previous_hash": "ab".repeat(32),
        "request_fingerprint": u64::MAX - 1,
        "events": [{ "technician_arrived": { "technician": "T1" } }],
    });
    assert_eq!(json, expected);
}

#[test]
fn every_sample_is_json_under_its_own_name() {
    for (name, sample) in samples() {
        let json = to_json(&sample.bytes()).unwrap();
        for event in json["events"].as_array().unwrap() {
            let key: String =
                event.as_object().unwrap().keys().next().unwrap().split('_').map(capitalised).collect();
            assert_eq!(key, name);
        }
    }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}
