//! What a store survives: other processes, crashes, damage. Never a panic, never a wrong answer.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cuiban_event_log::Position;
use cuiban_projector::{Incoming, Model, OpenClocks, RawRow, Store, StoreConfig, StoreError, Tickets};

use crate::feeding::{Bench, bench, decode, rows_after, small};
use crate::history::{Draws, History};

const HELD_DIR: &str = "CUIBAN_TEST_HELD_STORE";

/// Another process that runs one of the helpers below over this directory.
fn other_process(helper: &str, dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", helper, "--nocapture", "--test-threads=1"])
        .env(HELD_DIR, dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn wait_until_it_says(child: &mut Child, word: &str) {
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines().map_while(Result::ok);
    let heard = lines.find(|line| line.contains(word) || line.contains("end"));
    assert!(heard.is_some_and(|line| line.contains(word)), "the other process did not say {word}");
}

#[test]
#[ignore = "a helper that another test runs in a process of its own"]
fn helper_holds_a_store() {
    let Some(dir) = std::env::var_os(HELD_DIR) else { return };
    let _store = Store::open_with(std::path::PathBuf::from(dir), small()).unwrap();
    println!("held");
    // Until the other process lets go.
    let _ = std::io::stdin().read(&mut [0]);
}

#[tokio::test]
#[ignore = "a helper that another test runs in a process of its own"]
async fn helper_writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(HELD_DIR) else { return };
    let incoming = decode(&History::drawn(31, 400).await.commits());
    let store = Store::open_with(std::path::PathBuf::from(dir), small()).unwrap();
    let (tickets, clocks) = models(&store);
    for (number, batch) in incoming.chunks(3).enumerate() {
        tickets.apply(batch).unwrap();
        clocks.apply(batch).unwrap();
        println!("batch {number}");
    }
    println!("end");
    let _ = std::io::stdin().read(&mut [0]);
}

fn models(store: &Store) -> (Model<Tickets>, Model<OpenClocks>) {
    (Model::open(store, Tickets).unwrap(), Model::open(store, OpenClocks).unwrap())
}

#[test]
fn a_store_that_another_process_holds_is_refused_and_left_alone() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("models");
    let mut other = other_process("damage::helper_holds_a_store", &dir);
    wait_until_it_says(&mut other, "held");
    assert!(matches!(Store::open_with(&dir, small()), Err(StoreError::InUse { .. })));
    other.stdin.take().unwrap().write_all(b".").unwrap();
    other.wait().unwrap();
    let store = Store::open_with(&dir, small()).unwrap();
    assert!(store.quarantined().is_empty());
    assert!(matches!(Store::open_with(&dir, small()), Err(StoreError::InUse { .. })));
}

/// What the models' rows have to be after the commits up to a position.
fn rows_up_to(incoming: &[Incoming], position: Position) -> (Vec<RawRow>, Vec<RawRow>) {
    let known = incoming.partition_point(|commit| commit.recorded.position <= position);
    let known = &incoming[..known];
    (rows_after(Tickets, known, 1000, 1), rows_after(OpenClocks, known, 1000, 1))
}

/// The store in `dir`, opened after who knows what, has the rows of its cursors, and after the rest was fed all of
/// them. Answers whether it was put aside.
fn assert_sound(dir: &Path, incoming: &[Incoming], all: &(Vec<RawRow>, Vec<RawRow>)) -> bool {
    let store = Store::open_with(std::path::PathBuf::from(dir), small()).unwrap();
    let (tickets, clocks) = models(&store);
    // One model's damage empties the other: ask for the cursors when both are there.
    let cursors = (tickets.cursor().unwrap(), clocks.cursor().unwrap());
    let whole = incoming.last().unwrap().recorded.position;
    if cursors != (whole, whole) {
        assert!(tickets.dump().unwrap() == rows_up_to(incoming, cursors.0).0);
        assert!(clocks.dump().unwrap() == rows_up_to(incoming, cursors.1).1);
    }
    tickets.apply(incoming).unwrap();
    clocks.apply(incoming).unwrap();
    assert!(tickets.dump().unwrap() == all.0);
    assert!(clocks.dump().unwrap() == all.1);
    !store.quarantined().is_empty()
}

#[tokio::test]
async fn a_writer_that_is_killed_leaves_whole_batches() {
    let incoming = decode(&History::drawn(31, 400).await.commits());
    let all = rows_up_to(&incoming, incoming.last().unwrap().recorded.position);
    for said in ["batch 0", "batch 3", "batch 20", "batch 40", "batch 60", "end"] {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("models");
        let mut other = other_process("damage::helper_writes_until_it_is_killed", &dir);
        wait_until_it_says(&mut other, said);
        other.kill().unwrap();
        other.wait().unwrap();
        assert_sound(&dir, &incoming, &all);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else if let Err(error) = fs::copy(entry.path(), to) {
            // Snapshots come and go while the store is written.
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        }
    }
}

#[tokio::test]
async fn a_folder_that_is_removed_or_exchanged_takes_nothing_more_and_another_is_begun() {
    let incoming = decode(&History::drawn(33, 120).await.commits());
    let (before, after) = incoming.split_at(60);
    let all = rows_after(Tickets, &incoming, 1000, 1);
    for exchange in [false, true] {
        let bench = bench();
        let model = Model::open(&bench.store, Tickets).unwrap();
        model.apply(before).unwrap();
        let dir = bench.store.dir().unwrap();
        let elsewhere = bench.dir.path().join("elsewhere");
        fs::rename(dir, &elsewhere).unwrap();
        if exchange {
            copy(&elsewhere, dir);
        }
        let refused = model.apply(after).unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused}");
        // The next call finds what is there now: nothing, or what somebody put there.
        let known = incoming.partition_point(|commit| commit.recorded.position <= model.cursor().unwrap());
        assert!(known == 0 || exchange, "{known} commits are known");
        model.apply(&incoming[known..]).unwrap();
        assert_eq!(model.dump().unwrap(), all);
    }
}

#[tokio::test]
async fn copies_made_while_writing_are_sound_or_put_aside() {
    let incoming = decode(&History::drawn(32, 400).await.commits());
    let all = rows_up_to(&incoming, incoming.last().unwrap().recorded.position);
    let bench = bench();
    let (tickets, clocks) = models(&bench.store);
    let written = AtomicBool::new(false);
    let mut copies = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for batch in incoming.chunks(2) {
                tickets.apply(batch).unwrap();
                clocks.apply(batch).unwrap();
            }
            written.store(true, Ordering::Release);
        });
        while !written.load(Ordering::Acquire) || copies.len() < 8 {
            let place = bench.dir.path().join(format!("copy-{}", copies.len() % 24));
            let _ = fs::remove_dir_all(&place);
            copy(bench.store.dir().unwrap(), &place.join("models"));
            copies.push(place);
        }
    });
    copies.sort();
    copies.dedup();
    for copy in copies {
        assert_sound(&copy.join("models"), &incoming, &all);
    }
}

/// All files of a directory, in a fixed order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Does one of the things that happen to files, and says which.
fn damage(dir: &Path, draws: &mut Draws) -> String {
    let files = files(dir);
    // Mostly the largest file, sled's log; now and then another one.
    let log = files.iter().max_by_key(|file| file.metadata().unwrap().len()).unwrap();
    let file = if draws.below(3) > 0 { log } else { &files[draws.below(files.len() as u64) as usize] };
    let mut bytes = fs::read(file).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
    let at = draws.below(used as u64) as usize;
    let what = match draws.below(5) {
        0 => {
            bytes.truncate(at);
            "cut"
        }
        1 => {
            let end = (at + 4096).min(bytes.len());
            bytes[at..end].fill(0);
            "zeroed 4 KiB"
        }
        2 => {
            let end = (at + (512 << 10)).min(bytes.len());
            bytes[at..end].fill(0);
            "zeroed 512 KiB"
        }
        3 if draws.below(2) == 0 => {
            fs::remove_file(file).unwrap();
            return format!("removed {}", file.display());
        }
        _ => {
            for _ in 0..=draws.below(8) {
                let at = draws.below(used as u64) as usize;
                bytes[at] ^= 1 << draws.below(8);
            }
            "flipped bits"
        }
    };
    fs::write(file, bytes).unwrap();
    format!("{what} at {at} of {}", file.display())
}

/// How many threads damage copies; each copy's damage is drawn by its number alone.
const DAMAGED_AT_A_TIME: usize = 4;

/// `CUIBAN_DAMAGES` says how many copies are damaged (`just damage`: 1,000).
fn damages() -> usize {
    std::env::var("CUIBAN_DAMAGES").map_or(40, |count| count.parse().unwrap())
}

#[tokio::test]
async fn damaged_copies_never_answer_wrongly_and_come_back_equal() {
    let incoming = decode(&History::drawn(33, 1500).await.commits());
    let all = rows_up_to(&incoming, incoming.last().unwrap().recorded.position);
    // Synced once, at the end: how often a busy machine syncs in between decides how much of the file is stale.
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig { flush_every_ms: u64::from(u32::MAX), ..small() };
    let bench = Bench { store: Store::open_with(dir.path().join("models"), config).unwrap(), dir };
    {
        let (tickets, clocks) = models(&bench.store);
        for batch in incoming.chunks(2) {
            tickets.apply(batch).unwrap();
            clocks.apply(batch).unwrap();
        }
        bench.store.flush().unwrap();
    }
    let (root, sound) = (bench.dir.path(), bench.store.dir().unwrap());
    let (next, put_aside) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..DAMAGED_AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= damages() {
                        return;
                    }
                    let place = root.join(format!("damaged-{number}"));
                    copy(sound, &place.join("models"));
                    let what = damage(&place.join("models"), &mut Draws(33 + number as u64));
                    let aside = assert_sound(&place.join("models"), &incoming, &all);
                    put_aside.fetch_add(usize::from(aside), Ordering::Relaxed);
                    println!("{number}: {what}: {}", if aside { "put aside" } else { "kept" });
                    assert!(!aside || place.join("models.damaged-1").is_dir());
                    fs::remove_dir_all(place).unwrap();
                }
            });
        }
    });
    let put_aside = put_aside.into_inner();
    println!("{} damaged copies, {put_aside} put aside and rebuilt", damages());
    assert!(put_aside * 4 > damages(), "only {put_aside} of the damages were damage: the test is too tame");
}
