//! A read model that is kept beside the work that it is for: what waits on a disk never holds that up, and a disk that
//! cannot be used does not end it.

use std::sync::Arc;

use cuiban_event_log::{Cursor, Foreign, LogError, LogIdentity};
use cuiban_projector::{
    Applied, FedFrom, Incoming, MemoryDisk, Model, Projection, Store, StoreError, StorePlace,
};
use cuiban_vitals::in_one_line;
use tokio::task::JoinHandle;

use crate::{Config, WatchError};

/// A read model, the commits that it is to be fed next, and those that are being fed to it.
pub(crate) struct Saving<P> {
    model: Model<P>,
    place: StorePlace,
    waiting: Vec<Incoming>,
    /// Which log they come from, and what others put between them.
    from: FedFrom,
    under_way: Option<JoinHandle<Result<Applied, StoreError>>>,
}

impl<P: Projection + Copy> Saving<P> {
    /// Opens the model in a store of its own at this place; again after a pause while another handle has it, which may
    /// be one of ours that is still closing.
    pub(crate) async fn open(place: StorePlace, projection: P, config: &Config) -> Result<Self, WatchError> {
        let mut retries = 0;
        loop {
            let within = place.clone();
            let opened = place.run(move || Model::open(&Store::open(within)?, projection)).await?;
            match opened {
                Ok(model) => {
                    let from = FedFrom::default();
                    return Ok(Self { model, place, waiting: Vec::new(), from, under_way: None });
                }
                Err(StoreError::InUse { .. } | StoreError::Unavailable { .. })
                    if retries < config.open_retries_max =>
                {
                    retries += 1;
                    tokio::time::sleep(config.retry_delay()).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// As [`Self::open`]; where the place cannot be used, in memory, from the log's first commit on.
    pub(crate) async fn open_anywhere(
        place: StorePlace,
        projection: P,
        config: &Config,
    ) -> Result<(Self, Option<Arc<str>>), WatchError> {
        match Self::open(place.clone(), projection, config).await {
            Ok(saving) => Ok((saving, None)),
            Err(WatchError::Store(error)) => {
                say_lost(&place, &error);
                let in_memory = StorePlace::Memory(MemoryDisk::default(), place.to_string());
                Ok((Self::open(in_memory, projection, config).await?, Some(in_one_line(&error).into())))
            }
            Err(error) => Err(error),
        }
    }
}

fn say_lost(place: &StorePlace, error: &StoreError) {
    tracing::error!(
        error = error as &dyn std::error::Error, %place,
        "the watchdog's folder cannot be used: it goes on in memory, and reads the whole log at its next start"
    );
}

impl<P: Projection> Saving<P> {
    /// The model; it knows what was saved, and not what waits.
    pub(crate) fn model(&self) -> &Model<P> {
        &self.model
    }

    /// Reads or asks the model where waiting for a disk holds nobody up.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Model<P>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, WatchError> {
        let model = self.model.clone();
        Ok(self.place.run(move || question(&model)).await??)
    }

    /// One more commit, in the log's order.
    pub(crate) fn push(&mut self, incoming: Incoming) {
        self.waiting.push(incoming);
    }

    /// Which log comes next, and what is none of ours in it.
    pub(crate) fn push_from(&mut self, log: LogIdentity, foreign: Vec<Foreign>) {
        self.from.log = log;
        self.from.foreign.extend(foreign);
    }

    /// Whether more commits may come: what waits while something is being saved stays below this number.
    pub(crate) fn has_room(&self, waiting_max: usize) -> bool {
        self.under_way.is_none() || self.waiting.len() < waiting_max
    }

    /// Whether something is being saved.
    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Begins to save what waits, unless something is being saved still.
    pub(crate) fn begin(&mut self) {
        let nothing_waits = self.waiting.is_empty() && self.from.foreign.is_empty();
        if self.under_way.is_none() && !nothing_waits {
            let (model, commits) = (self.model.clone(), std::mem::take(&mut self.waiting));
            let from = FedFrom { log: self.from.log, foreign: std::mem::take(&mut self.from.foreign) };
            self.under_way = Some(self.place.run(move || model.apply_from(&commits, &from)));
        }
    }

    /// Returns when nothing is being saved any more. What was not saved has to be read again, from the model's cursor.
    pub(crate) async fn finish(&mut self) -> Result<(), WatchError> {
        if let Some(task) = &mut self.under_way {
            let applied = task.await;
            self.under_way = None;
            applied??;
        }
        Ok(())
    }

    /// Returns when everything that waits is saved.
    pub(crate) async fn save(&mut self) -> Result<(), WatchError> {
        self.finish().await?;
        self.begin();
        self.finish().await
    }
}

/// A [`Saving`] that may be lost: then nothing is kept, and the work goes on.
pub(crate) struct Expendable<P> {
    saving: Option<Saving<P>>,
    place: StorePlace,
    lost: Option<Arc<str>>,
}

impl<P: Projection + Copy> Expendable<P> {
    /// Opens the model, if that can be done.
    pub(crate) async fn open(place: StorePlace, projection: P, config: &Config) -> Result<Self, WatchError> {
        match Saving::open(place.clone(), projection, config).await {
            Ok(saving) => Ok(Self { saving: Some(saving), place, lost: None }),
            Err(WatchError::Store(error)) => {
                say_lost(&place, &error);
                Ok(Self { saving: None, place, lost: Some(in_one_line(&error).into()) })
            }
            Err(error) => Err(error),
        }
    }
}

impl<P: Projection> Expendable<P> {
    /// Why nothing is kept, if so.
    pub(crate) fn lost(&self) -> Option<Arc<str>> {
        self.lost.clone()
    }

    /// Where the log is to be followed from.
    pub(crate) fn footing(&self) -> Result<Cursor, StoreError> {
        self.saving.as_ref().map_or(Ok(Cursor::START), |saving| saving.model().footing())
    }

    /// As [`Model::put_aside`].
    pub(crate) fn put_aside(&self, reason: &LogError) {
        if let Some(saving) = &self.saving {
            saving.model().put_aside(&in_one_line(reason));
        }
    }

    /// As [`Saving::push_from`].
    pub(crate) fn push_from(&mut self, log: LogIdentity, foreign: Vec<Foreign>) {
        if let Some(saving) = &mut self.saving {
            saving.push_from(log, foreign);
        }
    }

    /// As [`Saving::ask`]; `None` where nothing is kept.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Model<P>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, WatchError> {
        match &self.saving {
            Some(saving) => saving.ask(question).await.map(Some),
            None => Ok(None),
        }
    }

    /// As [`Saving::push`].
    pub(crate) fn push(&mut self, incoming: Incoming) {
        if let Some(saving) = &mut self.saving {
            saving.push(incoming);
        }
    }

    /// As [`Saving::has_room`].
    pub(crate) fn has_room(&self, waiting_max: usize) -> bool {
        self.saving.as_ref().is_none_or(|saving| saving.has_room(waiting_max))
    }

    /// As [`Saving::is_under_way`].
    pub(crate) fn is_under_way(&self) -> bool {
        self.saving.as_ref().is_some_and(Saving::is_under_way)
    }

    /// As [`Saving::begin`].
    pub(crate) fn begin(&mut self) {
        if let Some(saving) = &mut self.saving {
            saving.begin();
        }
    }

    /// As [`Saving::finish`]; a disk that refuses is not asked again before the next start.
    pub(crate) async fn finish(&mut self) -> Result<(), WatchError> {
        let Some(saving) = &mut self.saving else { return Ok(()) };
        match saving.finish().await {
            Err(WatchError::Store(error)) => {
                say_lost(&self.place, &error);
                (self.saving, self.lost) = (None, Some(in_one_line(&error).into()));
                Ok(())
            }
            finished => finished,
        }
    }
}
