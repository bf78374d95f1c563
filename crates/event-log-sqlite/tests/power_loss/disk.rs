//! A disk that loses power: what was synced is on it, and of the rest anything.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::recording::{Recorded, Recording};

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;
/// The index beside the write-ahead log lives in shared memory; what the disk has of it is worth nothing.
const SHARED_MEMORY: &str = "-shm";

/// Files by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    files: BTreeMap<String, Vec<u8>>,
}

/// What is left after a power loss.
pub(crate) struct Crash {
    /// How many operations had been done.
    pub(crate) cut: usize,
    pub(crate) disk: Disk,
    /// Whether the disk is not what the process saw.
    pub(crate) lost_something: bool,
}

impl Disk {
    /// Puts the files into an empty folder.
    pub(crate) fn write(&self, folder: &Path) {
        for (name, bytes) in &self.files {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }
}

impl Recording {
    /// The disk after the power went at a place drawn by `seed`; `base` is what was there before the recording.
    pub(crate) fn crash(&self, base: &Disk, seed: u64) -> Crash {
        let mut draws = fastrand::Rng::with_seed(seed);
        let cut = self.drawn_cut(&mut draws);
        let mut state = Running::on(base);
        for op in &self.ops[..cut] {
            state.does(op);
        }
        let (disk, seen) = (state.left(&mut draws), state.seen());
        Crash { cut, lost_something: disk.files != seen.files, disk }
    }

    /// Anywhere; every other time just after an acknowledgement, where most is at stake.
    fn drawn_cut(&self, draws: &mut fastrand::Rng) -> usize {
        let anywhere = draws.usize(..=self.ops.len());
        let is_told = |op: &Recorded| matches!(op, Recorded::Acknowledged { .. });
        match self.ops[anywhere..].iter().position(is_told) {
            Some(next) if draws.bool() => anywhere + next + 1,
            _ => anywhere,
        }
    }
}

/// A file while the process runs: what is surely on the disk, and what was asked for since.
#[derive(Clone, Default)]
struct File {
    synced: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate { length: usize },
}

enum Renaming {
    Made { name: String, file: usize },
    Removed { name: String },
}

/// How a disk loses what was pending.
#[derive(Clone, Copy)]
enum Loss {
    All,
    None,
    /// Each change by itself.
    Changes,
    /// Each sector by itself.
    Sectors,
    /// All after one place, and the sectors of the change at that place after another.
    Tail,
}

#[derive(Default)]
struct Running {
    files: Vec<File>,
    /// Names as the process sees them, and as the folder surely has them.
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    pending_names: Vec<Renaming>,
    /// What a descriptor stands for; nothing for the folder.
    open: HashMap<i32, Option<usize>>,
}

impl Running {
    fn on(base: &Disk) -> Self {
        let mut state = Self::default();
        for (number, (name, bytes)) in base.files.iter().enumerate() {
            state.files.push(File { synced: bytes.clone(), pending: Vec::new() });
            state.names.insert(name.clone(), number);
        }
        state.synced_names = state.names.clone();
        state
    }

    fn does(&mut self, op: &Recorded) {
        match op {
            Recorded::Acknowledged { .. } => {}
            Recorded::Open { fd, name, .. } if name.is_empty() => drop(self.open.insert(*fd, None)),
            Recorded::Open { fd, name, existed } => {
                assert_eq!(*existed, self.names.contains_key(name), "{name} came or went unseen");
                let file = self.opened(name);
                self.open.insert(*fd, Some(file));
            }
            Recorded::Close { fd } => drop(self.open.remove(fd)),
            Recorded::Write { fd, at, bytes } => {
                self.change(*fd, Change::Write { at: *at, bytes: bytes.clone() });
            }
            Recorded::Truncate { fd, length } => self.change(*fd, Change::Truncate { length: *length }),
            Recorded::Sync { fd } => match self.open[fd] {
                Some(file) => self.files[file].sync(),
                None => self.sync_names(),
            },
            Recorded::Unlink { name } => {
                self.names.remove(name);
                self.pending_names.push(Renaming::Removed { name: name.clone() });
            }
        }
    }

    fn opened(&mut self, name: &str) -> usize {
        if let Some(file) = self.names.get(name) {
            return *file;
        }
        let file = self.files.len();
        self.files.push(File::default());
        self.names.insert(name.to_owned(), file);
        self.pending_names.push(Renaming::Made { name: name.to_owned(), file });
        file
    }

    fn change(&mut self, fd: i32, change: Change) {
        let file = self.open[&fd].expect("a folder is not written");
        self.files[file].pending.push(change);
    }

    fn sync_names(&mut self) {
        self.synced_names = self.names.clone();
        self.pending_names.clear();
    }

    /// The disk as the process saw it.
    fn seen(&self) -> Disk {
        let files = self.names.iter().filter(|(name, _)| !name.ends_with(SHARED_MEMORY));
        let whole = |file: usize| {
            let mut file = self.files[file].clone();
            file.sync();
            file.synced
        };
        Disk { files: files.map(|(name, file)| (name.clone(), whole(*file))).collect() }
    }

    /// A disk that may be found after a power loss now.
    fn left(&self, draws: &mut fastrand::Rng) -> Disk {
        let mut names = self.synced_names.clone();
        let kept = draws.u8(0..4);
        for renaming in &self.pending_names {
            // All, none, or each by itself.
            if kept == 0 || (kept >= 2 && draws.bool()) {
                match renaming {
                    Renaming::Made { name, file } => drop(names.insert(name.clone(), *file)),
                    Renaming::Removed { name } => drop(names.remove(name)),
                }
            }
        }
        let mut files = BTreeMap::new();
        for (name, file) in names {
            if name.ends_with(SHARED_MEMORY) {
                // Gone, or nonsense of any length.
                if draws.bool() {
                    let length = draws.usize(..40_000);
                    files.insert(name, std::iter::repeat_with(|| draws.u8(..)).take(length).collect());
                }
                continue;
            }
            files.insert(name, self.files[file].left(draws));
        }
        Disk { files }
    }
}

impl File {
    fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            apply(&mut self.synced, &change);
        }
    }

    /// What the disk may have of the file.
    fn left(&self, draws: &mut fastrand::Rng) -> Vec<u8> {
        let loss = match draws.u8(0..8) {
            0 => Loss::All,
            1 => Loss::None,
            2 | 3 => Loss::Changes,
            4 | 5 => Loss::Sectors,
            _ => Loss::Tail,
        };
        // Where a lost sector had made the file longer, the disk has zeros, or what was there of another file.
        let stale = draws.bool();
        let torn = if self.pending.is_empty() { 0 } else { draws.usize(..self.pending.len()) };
        let mut bytes = self.synced.clone();
        for (number, change) in self.pending.iter().enumerate() {
            for part in sectors(change) {
                let is_kept = match loss {
                    Loss::All => false,
                    Loss::None => true,
                    Loss::Changes => number.wrapping_mul(0x9E37_79B9).wrapping_add(torn) % 3 > 0,
                    Loss::Sectors => draws.bool(),
                    Loss::Tail => number < torn || (number == torn && draws.bool()),
                };
                match (&part, is_kept) {
                    (part, true) => apply(&mut bytes, part),
                    (Change::Write { at, bytes: lost }, false) if stale && *at >= bytes.len() => {
                        let nonsense = std::iter::repeat_with(|| draws.u8(..)).take(lost.len()).collect();
                        apply(&mut bytes, &Change::Write { at: *at, bytes: nonsense });
                    }
                    _ => {}
                }
            }
        }
        bytes
    }
}

/// A change in the parts that a disk writes whole.
fn sectors(change: &Change) -> Vec<Change> {
    let Change::Write { at, bytes } = change else { return vec![change.clone()] };
    let (mut at, mut rest, mut parts) = (*at, &bytes[..], Vec::new());
    while !rest.is_empty() {
        let (part, further) = rest.split_at((SECTOR_BYTES - at % SECTOR_BYTES).min(rest.len()));
        parts.push(Change::Write { at, bytes: part.to_vec() });
        (at, rest) = (at + part.len(), further);
    }
    parts
}

fn apply(file: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { at, bytes } => {
            let end = at + bytes.len();
            if file.len() < end {
                file.resize(end, 0);
            }
            file[*at..end].copy_from_slice(bytes);
        }
        Change::Truncate { length } => file.resize(*length, 0),
    }
}
