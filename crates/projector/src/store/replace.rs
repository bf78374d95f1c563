//! The store: one open database, replaced by an empty one when it is damaged.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cuiban_vitals::in_one_line;
use tokio::sync::watch;

use super::directory::Directory;
use super::{MemoryDisk, Opened, StoreError, StorePlace};
use crate::StoreConfig;

/// A directory of read models, open for this process alone. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

/// A directory that was put aside: damaged, or of another log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Where it is now.
    pub path: PathBuf,
    /// What was found.
    pub detail: String,
    /// Whether nothing is wrong with it but that its rows come from another log.
    pub of_another_log: bool,
}

/// How the reason begins where nothing is wrong with the rows but the log that they come from.
const OF_ANOTHER_LOG: &str = "of another log: ";

impl Quarantined {
    fn told(path: PathBuf, why: &str) -> Self {
        let other = why.strip_prefix(OF_ANOTHER_LOG);
        Self { path, detail: other.unwrap_or(why).to_owned(), of_another_log: other.is_some() }
    }
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// The generation of the database in use, counted up with each replacement.
    generation: watch::Sender<u64>,
    home: Home,
    config: StoreConfig,
}

/// Where the databases of a store are opened and put aside.
#[derive(Debug)]
enum Home {
    Directory(Arc<Directory>),
    Memory(MemoryDisk, String),
}

#[derive(Debug, Default)]
struct State {
    /// None while no database could be opened.
    opened: Option<Arc<Opened>>,
    generation: u64,
    quarantined: Vec<Quarantined>,
}

impl Store {
    /// What [`Self::generations`] tells while no database is open.
    pub(crate) const NO_GENERATION: u64 = 0;

    /// Opens the store at this place, an empty one if there is none. A damaged one is put aside to
    /// `<place>.damaged-<n>`, and an empty one takes its place: see [`Self::quarantined`].
    pub fn open(place: impl Into<StorePlace>) -> Result<Self, StoreError> {
        Self::open_with(place, StoreConfig::default())
    }

    /// As [`Self::open`], with limits of one's own.
    pub fn open_with(place: impl Into<StorePlace>, config: StoreConfig) -> Result<Self, StoreError> {
        let home = match place.into() {
            StorePlace::Directory(dir) => Home::Directory(Arc::new(Directory::lock(&dir)?)),
            StorePlace::Memory(disk, name) => Home::Memory(disk, name),
        };
        let generation = watch::Sender::new(Self::NO_GENERATION);
        let quarantined = match &home {
            Home::Directory(directory) => {
                directory.put_aside().into_iter().map(|(path, why)| Quarantined::told(path, &why)).collect()
            }
            Home::Memory(..) => Vec::new(),
        };
        let state = Mutex::new(State { quarantined, ..State::default() });
        let store = Self { inner: Arc::new(Inner { state, generation, home, config }) };
        store.opened()?;
        Ok(store)
    }

    /// The directory that the store lies in, if it lies in one.
    pub fn dir(&self) -> Option<&Path> {
        match &self.inner.home {
            Home::Directory(directory) => Some(directory.path()),
            Home::Memory(..) => None,
        }
    }

    /// Where the store lies.
    pub fn place(&self) -> StorePlace {
        match &self.inner.home {
            Home::Directory(directory) => directory.path().into(),
            Home::Memory(disk, name) => StorePlace::Memory(disk.clone(), name.clone()),
        }
    }

    /// The directories that the store has put aside and no operator has removed, the latest last.
    pub fn quarantined(&self) -> Vec<Quarantined> {
        let in_memory = matches!(self.inner.home, Home::Memory(..));
        let mut state = self.state();
        state.quarantined.retain(|one| in_memory || one.path.exists());
        state.quarantined.clone()
    }

    /// Returns when everything written is on the disk.
    pub fn flush(&self) -> Result<(), StoreError> {
        let opened = self.opened()?;
        opened.flush().inspect_err(|error| self.failed(opened.generation, error))
    }

    pub(crate) fn config(&self) -> &StoreConfig {
        &self.inner.config
    }

    /// The database in use. If there is none, because the disk refused, it is opened now.
    pub(crate) fn opened(&self) -> Result<Arc<Opened>, StoreError> {
        let mut state = self.state();
        if let Some(opened) = &state.opened {
            return Ok(opened.clone());
        }
        match self.open_database(&mut state) {
            Err(StoreError::Damaged { detail }) => {
                self.put_aside(&mut state, detail, false)?;
                self.open_database(&mut state)
            }
            other => other,
        }
    }

    /// Tells of each replacement of the database.
    pub(crate) fn generations(&self) -> watch::Receiver<u64> {
        self.inner.generation.subscribe()
    }

    /// The generation of the database in use.
    pub(crate) fn generation(&self) -> u64 {
        *self.inner.generation.borrow()
    }

    /// Acts on what somebody met in the database of this generation: damage puts it aside, a refusing disk closes
    /// it until the next try. Does nothing if that was done already.
    pub(crate) fn failed(&self, generation: u64, error: &StoreError) {
        let mut state = self.state();
        if state.opened.as_ref().is_none_or(|opened| opened.generation != generation) {
            return;
        }
        if let StoreError::InUse { .. } | StoreError::Unwritable(_) | StoreError::Replaced = error {
            return;
        }
        state.opened = None;
        // Everyone lets go of the old database, so that it can be closed.
        self.inner.generation.send_replace(Self::NO_GENERATION);
        // After a refusal of the disk sled refuses everything: opening anew, at the next try, is all that helps.
        let (detail, of_another_log) = match error {
            StoreError::Damaged { detail } => (detail, false),
            StoreError::OfAnotherLog { detail } => (detail, true),
            _ => return,
        };
        let replaced = self
            .put_aside(&mut state, detail.clone(), of_another_log)
            .and_then(|()| self.open_database(&mut state));
        if let Err(error) = replaced {
            tracing::error!(error = in_one_line(&error), "no store of read models can be opened");
        }
    }

    fn put_aside(&self, state: &mut State, detail: String, of_another_log: bool) -> Result<(), StoreError> {
        let path = match &self.inner.home {
            Home::Directory(directory) => {
                let why = if of_another_log { format!("{OF_ANOTHER_LOG}{detail}") } else { detail.clone() };
                directory.quarantine(self.inner.config.damaged_kept_max, &why)?
            }
            Home::Memory(disk, name) => disk.put_aside(name).into(),
        };
        match of_another_log {
            false => {
                tracing::error!(detail, path = %path.display(), "a damaged store of read models was put aside")
            }
            true => {
                tracing::error!(detail, path = %path.display(), "read models of another log were put aside")
            }
        }
        state.quarantined.push(Quarantined { path, detail, of_another_log });
        Ok(())
    }

    fn open_database(&self, state: &mut State) -> Result<Arc<Opened>, StoreError> {
        let generation = state.generation + 1;
        let opened = Arc::new(match &self.inner.home {
            Home::Directory(directory) => {
                Opened::open(&directory.database()?, generation, directory.clone(), &self.inner.config)?
            }
            Home::Memory(disk, name) => Opened::open_in_memory(disk, name, generation)?,
        });
        state.generation = opened.generation;
        state.opened = Some(opened.clone());
        self.inner.generation.send_replace(opened.generation);
        Ok(opened)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
