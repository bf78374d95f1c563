//! Where a store lies, who may open it, and where its damaged predecessors are.
//!
//! ```text
//! models.lock          held by the process that has the store open
//! models/db-3/         sled's files; the number grows with each quarantine, so that a thread that hangs in the
//!                      damaged database never touches the files of the one that followed it
//! models.damaged-2/    put aside; in it the file `why`
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::StoreError;

/// The file in a directory that was put aside that says why.
const WHY: &str = "why";

/// The directory of a store, locked for this process as long as the value lives.
#[derive(Debug)]
pub(crate) struct Directory {
    dir: PathBuf,
    _lock: File,
}

impl Directory {
    /// Makes the directory if it is not there, and locks it.
    pub(crate) fn lock(dir: &Path) -> Result<Self, StoreError> {
        let attempted = "make the directory of the store";
        fs::create_dir_all(dir).map_err(StoreError::io(attempted))?;
        // Relative parts would let two spellings of one directory have two locks.
        let dir = dir.canonicalize().map_err(StoreError::io(attempted))?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(beside(&dir, ".lock"));
        let lock = lock.map_err(StoreError::io("open the store's lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { dir, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { dir }),
            Err(TryLockError::Error(source)) => Err(StoreError::io("lock the store")(source)),
        }
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }

    /// Where sled's files are, or are to be.
    pub(crate) fn database(&self) -> Result<PathBuf, StoreError> {
        let attempted = "list the directory of the store";
        fs::create_dir_all(&self.dir).map_err(StoreError::io(attempted))?;
        let present = numbered(&self.dir, "db-").map_err(StoreError::io(attempted))?;
        let number = match present.last() {
            Some(number) => *number,
            None => self.damaged()?.last().map_or(1, |number| number + 1),
        };
        Ok(self.dir.join(format!("db-{number}")))
    }

    /// Puts the directory aside, with a word about the reason, and answers where. The oldest ones beyond `kept_max` are
    /// removed.
    pub(crate) fn quarantine(&self, kept_max: usize, why: &str) -> Result<PathBuf, StoreError> {
        let damaged = self.damaged()?;
        let aside = self.aside(damaged.last().map_or(1, |number| number + 1));
        fs::rename(&self.dir, &aside).map_err(StoreError::io("put the damaged store aside"))?;
        if let Err(error) = fs::write(aside.join(WHY), why) {
            tracing::warn!(%error, aside = %aside.display(), "why it was put aside cannot be written down");
        }
        for number in damaged.iter().take((damaged.len() + 1).saturating_sub(kept_max.max(1))) {
            if let Err(error) = fs::remove_dir_all(self.aside(*number)) {
                tracing::warn!(%error, number, "an old damaged store cannot be removed");
            }
        }
        Ok(aside)
    }

    /// What was put aside and is there still, in order, with the reason as far as it was written down.
    pub(crate) fn put_aside(&self) -> Vec<(PathBuf, String)> {
        let numbers = self.damaged().unwrap_or_default();
        let aside = numbers.into_iter().map(|number| self.aside(number));
        aside.map(|path| (path.clone(), fs::read_to_string(path.join(WHY)).unwrap_or_default())).collect()
    }

    fn aside(&self, number: u64) -> PathBuf {
        beside(&self.dir, &format!(".damaged-{number}"))
    }

    fn damaged(&self) -> Result<Vec<u64>, StoreError> {
        let name = self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let parent = self.dir.parent().unwrap_or(Path::new("/"));
        let found = numbered(parent, &format!("{name}.damaged-"));
        found.map_err(StoreError::io("list the damaged stores"))
    }
}

/// The same path with something behind its name.
fn beside(dir: &Path, suffix: &str) -> PathBuf {
    let mut path = dir.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// The numbers behind this prefix among a directory's entries, in order.
fn numbered(dir: &Path, prefix: &str) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        numbers.extend(name.strip_prefix(prefix).and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_may_hold_a_directory() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("models");
        let held = Directory::lock(&dir).unwrap();
        assert!(matches!(Directory::lock(&dir), Err(StoreError::InUse { .. })));
        drop(held);
        assert!(Directory::lock(&dir).is_ok());
    }

    #[test]
    fn damaged_directories_are_numbered_on_and_the_oldest_are_removed() {
        let temporary = tempfile::tempdir().unwrap();
        let directory = Directory::lock(&temporary.path().join("models")).unwrap();
        for number in 1..=5 {
            let database = directory.database().unwrap();
            assert!(database.ends_with(format!("models/db-{number}")), "{}", database.display());
            fs::create_dir_all(database).unwrap();
            let aside = directory.quarantine(2, "a test").unwrap();
            assert!(aside.ends_with(format!("models.damaged-{number}")));
        }
        assert_eq!(directory.damaged().unwrap(), [4, 5]);
        let reasons: Vec<_> = directory.put_aside().into_iter().map(|(_, why)| why).collect();
        assert_eq!(reasons, ["a test"; 2]);
    }
}
