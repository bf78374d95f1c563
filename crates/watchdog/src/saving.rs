//! A read model that is kept beside the work that it is for: what waits on a disk never holds that up.

use cuiban_projector::{Applied, Incoming, Model, Projection, Store, StoreError, StorePlace};
use tokio::task::JoinHandle;

use crate::WatchError;

/// A read model, the commits that it is to be fed next, and those that are being fed to it.
pub(crate) struct Saving<P> {
    model: Model<P>,
    place: StorePlace,
    waiting: Vec<Incoming>,
    under_way: Option<JoinHandle<Result<Applied, StoreError>>>,
}

impl<P: Projection> Saving<P> {
    /// Opens the model in a store of its own at this place.
    pub(crate) async fn open(place: StorePlace, projection: P) -> Result<Self, WatchError> {
        let within = place.clone();
        let model = place.run(move || Model::open(&Store::open(within)?, projection)).await??;
        Ok(Self { model, place, waiting: Vec::new(), under_way: None })
    }

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
        if self.under_way.is_none() && !self.waiting.is_empty() {
            let (model, commits) = (self.model.clone(), std::mem::take(&mut self.waiting));
            self.under_way = Some(self.place.run(move || model.apply(&commits)));
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
