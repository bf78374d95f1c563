//! What is no commit of ours, or one of a later day: said so of, never guessed, never a panic.

use cuiban_event_schema::{
    Chain, DecodeError, EXPORT_MAGIC, EncodeError, ExportReader, SCHEMA_VERSION, commit_id, decode, proto,
    to_json, to_line,
};
use proptest::prelude::*;
use prost::Message as _;

use crate::samples::{encode, envelope, samples};

fn record() -> proto::CommitRecord {
    let sample = samples().remove("TechnicianArrived").unwrap();
    proto::CommitRecord::decode(sample.bytes().as_slice()).unwrap()
}

#[track_caller]
fn invalid(change: impl FnOnce(&mut proto::CommitRecord), says: &str) {
    let mut record = record();
    change(&mut record);
    match decode(&record.encode_to_vec()) {
        Err(DecodeError::Invalid(text)) => assert!(text.contains(says), "{text:?} does not name {says:?}"),
        other => panic!("{other:?}"),
    }
}

/// A commit whose second event has a number in the oneof that nobody has given out.
fn with_unknown_event() -> Vec<u8> {
    // Field 13 (`events`), of 4 bytes: field 9999 of the event, an empty message.
    let unknown: &[u8] = &[0x6a, 0x04, 0xfa, 0xf0, 0x04, 0x00];
    let mut record = record();
    record.events.truncate(1);
    [record.encode_to_vec().as_slice(), unknown].concat()
}

#[test]
fn an_event_of_an_unknown_kind_is_told_by_its_place() {
    let decoded = decode(&with_unknown_event());
    assert!(matches!(decoded, Err(DecodeError::UnknownEvent { index: 1 })), "{decoded:?}");
}

#[test]
fn an_unknown_event_is_shown_as_such_beside_the_known_ones() {
    let line = to_line(&with_unknown_event()).unwrap();
    assert!(
        line.ends_with("TechnicianArrived technician=T1; (an event that this version does not know)"),
        "{line}"
    );
    let json = to_json(&with_unknown_event()).unwrap();
    assert_eq!(json["events"].as_array().unwrap().len(), 2);
}

#[test]
fn a_newer_schema_is_set_aside_before_anything_of_it_is_read() {
    let mut record = record();
    record.schema_version = SCHEMA_VERSION + 1;
    record.commit_id = "an id as later versions may write it".to_owned();
    let decoded = decode(&record.encode_to_vec());
    assert!(
        matches!(decoded, Err(DecodeError::Newer { found }) if found == SCHEMA_VERSION + 1),
        "{decoded:?}"
    );
}

#[test]
fn a_later_writer_s_additional_field_does_no_harm() {
    // Field 900 of the commit, a varint.
    let later = [record().encode_to_vec().as_slice(), &[0xa0, 0x38, 0x01]].concat();
    assert_eq!(decode(&later).unwrap(), decode(&record().encode_to_vec()).unwrap());
}

#[test]
fn a_field_that_no_writer_writes_is_named() {
    invalid(|record| record.schema_version = 0, "schema version");
    invalid(|record| record.commit_id = "x".to_owned(), "commit_id");
    invalid(|record| record.correlation_id.clear(), "correlation_id");
    invalid(|record| record.causation_id = "x".to_owned(), "causation_id");
    invalid(|record| record.actor = "_".to_owned(), "actor");
    invalid(|record| record.occurred_at = None, "occurred_at");
    invalid(|record| record.recorded_at.as_mut().unwrap().nanos = -1, "recorded_at");
    invalid(|record| record.recorded_at.as_mut().unwrap().seconds = i64::MAX, "recorded_at");
    invalid(|record| record.previous_hash.truncate(31), "previous_hash");
    let nobody =
        proto::event::Event::TechnicianArrived(proto::TechnicianArrived { technician: String::new() });
    invalid(|record| record.events[1].event = Some(nobody), "event 1, TechnicianArrived.technician");
}

#[test]
fn a_word_that_no_vocabulary_has_is_named() {
    for area in [0, 99, -1] {
        let changed = proto::event::Event::AreaChanged(proto::AreaChanged { area });
        invalid(|record| record.events[0].event = Some(changed), "event 0, AreaChanged.area");
    }
    let unset = proto::event::Event::SlaBreached(proto::SlaBreached::default());
    invalid(|record| record.events[0].event = Some(unset), "SlaBreached.clock");
}

#[test]
fn r91_a_notice_shares_its_commit_with_clock_events_only() {
    let mut samples = samples();
    let mut sample = |name: &str| samples.remove(name).unwrap().bare;
    let (issued, breached) = (sample("ExpediteNoticeIssued"), sample("SlaBreached"));
    let notice = vec![breached, issued];
    assert!(cuiban_event_schema::encode(&envelope(), &notice).is_ok());
    for name in ["CustomerResponded", "TicketCancelled", "BreachEnded", "CommitSteppedOver"] {
        let mixed = [notice.clone(), vec![sample(name)]].concat();
        let refused = cuiban_event_schema::encode(&envelope(), &mixed);
        assert_eq!(refused, Err(EncodeError::MixedWithNotice), "{name}");
        // What the first release wrote is read for ever; a later writer knew better.
        let wire = |events: &[cuiban_domain::Event]| {
            proto::CommitRecord::decode(encode(&envelope(), events).as_slice()).unwrap()
        };
        let mut record = wire(&notice);
        record.events.extend(wire(&mixed[2..]).events);
        record.schema_version = 1;
        assert_eq!(decode(&record.encode_to_vec()).unwrap().events, mixed);
        record.schema_version = 2;
        let refused = decode(&record.encode_to_vec());
        assert!(matches!(refused, Err(DecodeError::Invalid(_))), "{name}: {refused:?}");
    }
}

#[test]
fn a_commit_has_the_lowest_version_that_reads_it_rightly() {
    for (name, sample) in samples() {
        let version = |event: &cuiban_domain::Event| {
            let bytes = encode(&envelope(), std::slice::from_ref(event));
            proto::CommitRecord::decode(bytes.as_slice()).unwrap().schema_version
        };
        // Only who does not know episodes would take one notice for another.
        let names_episode = name.starts_with("ExpediteNotice");
        let expected = if names_episode { SCHEMA_VERSION } else { 1 };
        assert_eq!(version(&sample.full), expected, "{name}");
    }
}

#[test]
fn a_hash_that_is_not_one_is_named() {
    for length in [0, 31, 33] {
        let (sha256, reason) = (vec![7; length], "损坏".to_owned());
        let stepped_over = proto::CommitSteppedOver { position: 1, sha256, reason };
        let stepped_over = proto::event::Event::CommitSteppedOver(stepped_over);
        invalid(|record| record.events[0].event = Some(stepped_over), "CommitSteppedOver.sha256");
    }
}

#[test]
fn a_commit_that_is_cut_off_is_never_taken_for_the_whole() {
    for sample in samples().into_values() {
        let bytes = sample.bytes();
        let whole = decode(&bytes).unwrap();
        for length in 0..bytes.len() {
            match decode(&bytes[..length]) {
                Err(_) => {}
                // Cut between two events, the rest is a shorter commit: the chain of hashes tells.
                Ok(shorter) => assert!(shorter.events.len() < whole.events.len()),
            }
        }
    }
}

/// Asks everything that reads bytes; none of it may panic.
fn read_by_all(bytes: &[u8]) {
    let _ = decode(bytes);
    let _ = to_json(bytes);
    let _ = to_line(bytes);
    let _ = commit_id(bytes);
    let mut chain = Chain::default();
    let _ = chain.check("ticket", "x", bytes);
    let _ = chain.check("ticket", "x", bytes);
    let export = [EXPORT_MAGIC, bytes].concat();
    if let Ok(mut reader) = ExportReader::new(&export) {
        while let Ok(Some(_)) = reader.next_message() {}
    }
}

#[test]
fn the_largest_numbers_that_a_stranger_writes_are_read_without_harm() {
    let mut record = record();
    record.revision = u64::MAX;
    read_by_all(&record.encode_to_vec());
    let paused = proto::ClockPaused {
        clock: 1,
        cycle: u32::MAX,
        paused_at: Some(prost_types::Timestamp { seconds: i64::MIN, nanos: i32::MIN }),
        consumed: Some(prost_types::Duration { seconds: i64::MAX, nanos: i32::MAX }),
    };
    record.events[0].event = Some(proto::event::Event::ClockPaused(paused));
    read_by_all(&record.encode_to_vec());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_of_any_kind_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read_by_all(&bytes);
    }

    #[test]
    fn a_damaged_commit_is_read_without_a_panic(
        which in any::<proptest::sample::Index>(),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<proptest::sample::Index>(),
    ) {
        let samples: Vec<_> = samples().into_values().collect();
        let mut bytes = which.get(&samples).bytes();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        read_by_all(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        read_by_all(&bytes);
    }

    #[test]
    fn a_field_of_any_text_is_an_event_or_named(text in ".{0,80}") {
        let arrived = proto::TechnicianArrived { technician: text.clone() };
        let mut record = record();
        record.events[0].event = Some(proto::event::Event::TechnicianArrived(arrived));
        match decode(&record.encode_to_vec()) {
            Ok(commit) => prop_assert_eq!(encode(&envelope(), &commit.events), record.encode_to_vec()),
            Err(DecodeError::Invalid(said)) => prop_assert!(said.contains("TechnicianArrived.technician")),
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }
}
