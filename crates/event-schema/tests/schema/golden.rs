//! What was written once is read for ever.
//!
//! Each event has a commit in `tests/golden/<Event>.v<schema version>.bin`, of the lowest version that reads it rightly, and
//! its readable twin beside it. With
//! `CUIBAN_WRITE_GOLDEN=1` the missing ones are written; those that are there are never written over. When an event gains a
//! field, the files of its older shape are moved to `<Event>.v1.<n>.…`: they are read as ever.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use cuiban_event_schema::{Commit, EVENT_NAMES, decode, proto, to_json};
use prost::Message as _;

use crate::samples::{Sample, samples};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Everything that was ever written.
fn written() -> impl Iterator<Item = PathBuf> {
    let paths = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "bin"))
}

/// The kept bytes of an event's commit, written now if that is asked for.
fn kept(name: &str, sample: &Sample) -> Vec<u8> {
    let record = proto::CommitRecord::decode(sample.bytes().as_slice()).unwrap();
    let path = folder().join(format!("{name}.v{}.bin", record.schema_version));
    if !path.exists() && env::var_os("CUIBAN_WRITE_GOLDEN").is_some() {
        let json = serde_json::to_string_pretty(&to_json(&sample.bytes()).unwrap()).unwrap();
        fs::create_dir_all(folder()).unwrap();
        fs::write(path.with_extension("json"), json + "\n").unwrap();
        fs::write(&path, sample.bytes()).unwrap();
    }
    fs::read(&path)
        .unwrap_or_else(|error| panic!("{name} has no golden file ({error}): CUIBAN_WRITE_GOLDEN=1"))
}

#[test]
fn every_event_is_read_as_it_was_written_once() {
    for (name, sample) in samples() {
        let (envelope, events) = sample.commit();
        let bytes = kept(name, &sample);
        assert_eq!(decode(&bytes).unwrap(), Commit { envelope, events }, "{name}");
        assert_eq!(bytes, sample.bytes(), "{name} is written with other bytes than before");
    }
}

#[test]
fn the_readable_twins_say_what_the_bytes_say() {
    samples().iter().for_each(|(name, sample)| drop(kept(name, sample)));
    for path in written() {
        let json = to_json(&fs::read(&path).unwrap()).unwrap();
        let twin = fs::read(path.with_extension("json")).unwrap();
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&twin).unwrap(), json, "{}", path.display());
    }
}

#[test]
fn no_event_that_was_ever_written_is_forgotten() {
    samples().iter().for_each(|(name, sample)| drop(kept(name, sample)));
    let mut names = BTreeSet::new();
    for path in written() {
        let decoded = decode(&fs::read(&path).unwrap());
        assert!(decoded.is_ok(), "{}: {decoded:?}", path.display());
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        names.insert(name.split('.').next().unwrap().to_owned());
    }
    assert_eq!(names, EVENT_NAMES.iter().map(ToString::to_string).collect());
}
