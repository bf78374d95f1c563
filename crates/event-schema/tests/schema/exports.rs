//! An exported log: its golden files are read for ever, and no damage to one goes unseen.

use cuiban_event_schema::proto::{ExportedCommit, ExportedForeign};
use cuiban_event_schema::{EXPORT_MAGIC, ExportFault, ExportReader, ExportWriter, Exported};

const VERSION_1: &[u8] = include_bytes!("../exports/three-commits.v1.export");
const VERSION_2: &[u8] = include_bytes!("../exports/three-commits.v2.export");

fn read(bytes: &[u8]) -> Result<Vec<ExportedCommit>, (u64, ExportFault)> {
    let mut reader = ExportReader::new(bytes).map_err(|fault| (0, fault))?;
    let mut commits = Vec::new();
    loop {
        match reader.next_message() {
            Ok(Some(Exported::Commit(commit))) => commits.push(commit),
            Ok(Some(Exported::Foreign(foreign))) => panic!("{foreign:?} should be a commit"),
            Ok(None) => return Ok(commits),
            Err(fault) => return Err((commits.len() as u64, fault)),
        }
    }
}

fn written(commits: &[ExportedCommit]) -> Vec<u8> {
    let mut writer = ExportWriter::default();
    let mut bytes = EXPORT_MAGIC.to_vec();
    commits.iter().for_each(|commit| bytes.extend(writer.commit(commit.clone())));
    bytes.extend(writer.trailer());
    bytes
}

/// Where each record of version 2 begins, the trailer's included, and where the file ends.
fn places(bytes: &[u8]) -> Vec<usize> {
    let mut places = vec![EXPORT_MAGIC.len()];
    while let Some(&start) = places.last().filter(|start| **start < bytes.len()) {
        let mut rest = &bytes[start..];
        let length = prost::decode_length_delimiter(&mut rest).unwrap();
        places.push(bytes.len() - rest.len() + length + 32);
    }
    places
}

#[test]
fn both_versions_of_the_file_are_read_and_the_later_is_written() {
    let commits = read(VERSION_2).unwrap();
    assert_eq!(commits.len(), 3);
    assert_eq!(read(VERSION_1).unwrap(), commits);
    assert_eq!(written(&commits), VERSION_2);
    assert_eq!(read(&written(&[])).unwrap(), []);
}

#[test]
fn every_edited_byte_is_noticed_at_its_record() {
    let places = places(VERSION_2);
    for at in 0..VERSION_2.len() {
        for bit in 0..8 {
            let mut edited = VERSION_2.to_vec();
            edited[at] ^= 1 << bit;
            let (read, fault) = read(&edited).unwrap_err();
            let sound = places.iter().filter(|place| **place <= at).count().saturating_sub(1) as u64;
            assert_eq!(read, sound, "bit {bit} of byte {at}: {fault}");
        }
    }
}

#[test]
fn every_cut_is_noticed_after_what_is_whole() {
    let places = places(VERSION_2);
    for end in EXPORT_MAGIC.len()..VERSION_2.len() {
        let whole = places[1..].iter().filter(|place| **place <= end).count() as u64;
        assert!(
            matches!(read(&VERSION_2[..end]), Err((read, ExportFault::CutOff { .. })) if read == whole),
            "cut at {end}"
        );
    }
    assert!(matches!(read(&[VERSION_2, b"x"].concat()), Err((3, ExportFault::BytesBehind))));
}

#[test]
fn a_record_that_is_gone_moved_or_put_between_is_noticed_at_its_place() {
    let places = places(VERSION_2);
    let record = |n: usize| &VERSION_2[places[n]..places[n + 1]];
    let magic = EXPORT_MAGIC;
    for (order, sound) in [
        (vec![1, 2, 3], 0),
        (vec![0, 2, 3], 1),
        (vec![0, 1, 3], 2),
        (vec![1, 0, 2, 3], 0),
        (vec![0, 2, 1, 3], 1),
        (vec![0, 0, 1, 2, 3], 1),
        (vec![0, 1, 2, 2, 3], 3),
        (vec![3], 0),
    ] {
        let bytes = order.iter().fold(magic.to_vec(), |bytes, n| [&bytes, record(*n)].concat());
        let (read, fault) = read(&bytes).unwrap_err();
        assert!(
            read == sound && matches!(fault, ExportFault::Seal { .. }),
            "{order:?}: after {read}: {fault}"
        );
    }
}

#[test]
fn foreign_messages_are_kept_byte_for_byte_in_their_place() {
    let commits = read(VERSION_2).unwrap();
    let foreign = ExportedForeign {
        position: 2,
        address: "ticket.bad!id.B0.case".to_owned(),
        payload: (0..=255).collect(),
    };
    let messages = [
        Exported::Commit(commits[0].clone()),
        Exported::Foreign(foreign.clone()),
        Exported::Commit(commits[1].clone()),
    ];
    let mut writer = ExportWriter::default();
    let mut bytes = EXPORT_MAGIC.to_vec();
    bytes.extend(writer.commit(commits[0].clone()));
    bytes.extend(writer.foreign(foreign));
    bytes.extend(writer.commit(commits[1].clone()));
    bytes.extend(writer.trailer());
    let all = |bytes: &[u8]| {
        let mut reader = ExportReader::new(bytes)?;
        let mut all = Vec::new();
        while let Some(message) = reader.next_message()? {
            all.push(message);
        }
        Ok::<_, ExportFault>(all)
    };
    assert_eq!(all(&bytes).unwrap(), messages);
    let place = bytes.windows(7).position(|window| window == b"bad!id.").unwrap();
    bytes[place] = b'B';
    assert!(matches!(all(&bytes), Err(ExportFault::Seal { record: 2, said: None })));
}
