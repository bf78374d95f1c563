//! Where a store lies.

use std::path::{Path, PathBuf};

use tokio::task::JoinHandle;

use super::MemoryDisk;

/// Where a store lies, or several beside each other.
#[derive(Clone, Debug)]
pub enum StorePlace {
    /// In a directory, kept by sled.
    Directory(PathBuf),
    /// Under this name on a disk in memory: for simulations and tests.
    Memory(MemoryDisk, String),
}

impl StorePlace {
    /// A place of this name within this one.
    pub fn join(&self, name: &str) -> Self {
        match self {
            Self::Directory(dir) => Self::Directory(dir.join(name)),
            Self::Memory(disk, within) => Self::Memory(disk.clone(), format!("{within}/{name}")),
        }
    }

    /// Runs what reads or writes a store there: off the runtime's threads where it may wait for a disk, as a task of
    /// the runtime where it cannot, so that a simulation stays on one thread.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        match self {
            Self::Directory(_) => tokio::task::spawn_blocking(work),
            Self::Memory(..) => tokio::spawn(async { work() }),
        }
    }
}

impl From<PathBuf> for StorePlace {
    fn from(dir: PathBuf) -> Self {
        Self::Directory(dir)
    }
}

impl From<&PathBuf> for StorePlace {
    fn from(dir: &PathBuf) -> Self {
        Self::Directory(dir.clone())
    }
}

impl From<&Path> for StorePlace {
    fn from(dir: &Path) -> Self {
        Self::Directory(dir.to_owned())
    }
}

impl std::fmt::Display for StorePlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(dir) => dir.display().fmt(f),
            Self::Memory(_, name) => write!(f, "memory:{name}"),
        }
    }
}
