//! Which branches' alerts this notifier may push through one channel, and until when.
//!
//! A lease is measured by the runtime's ticks from before it was asked for, and counts a little shorter than the store
//! counts it: this notifier stops before another one may begin.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cuiban_deliveries::{Taken, Version};
use cuiban_domain::ids::BranchId;
use tokio::time::Instant as Ticks;

/// The pause before a lease that could not be asked for is asked for again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// For how long something takes: no time of day.
#[expect(clippy::disallowed_methods, reason = "a duration is measured, not the time of day")]
pub(crate) fn ticks() -> Ticks {
    Ticks::now()
}

/// The leases of one channel. Clones are the same book: the loop writes it, couriers look before they push.
#[derive(Clone, Debug)]
pub(crate) struct Leases {
    lasts: Duration,
    by_branch: Arc<Mutex<BTreeMap<BranchId, Standing>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is being asked for; what was known before still holds.
    Asking(Option<(Version, Ticks)>),
    /// Ours until then, once everything up to the version is known.
    Mine(Version, Ticks),
    /// Not ours; asked for again from then on.
    Others(Ticks),
}

/// Whether a branch's alerts may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Yes,
    No,
}

impl Leases {
    pub(crate) fn new(lasts: Duration) -> Self {
        Self { lasts, by_branch: Arc::default() }
    }

    /// How long a lease lasts by the store's clock.
    pub(crate) fn lasts(&self) -> Duration {
        self.lasts
    }

    /// Whether it is ours, and what was done under it before is known.
    pub(crate) fn held(&self, branch: &BranchId, followed: Version) -> Held {
        match self.mine(branch) {
            Some((version, until)) if ticks() < until && followed >= version => Held::Yes,
            _ => Held::No,
        }
    }

    /// Whether a push that begins now is ours to begin.
    pub(crate) fn may_push(&self, branch: &BranchId) -> bool {
        self.mine(branch).is_some_and(|(_, until)| ticks() < until)
    }

    /// Whether it is to be asked for now, as it is wanted: not ours, or not for long.
    pub(crate) fn is_to_be_asked(&self, branch: &BranchId) -> bool {
        match self.book().get(branch) {
            None => true,
            Some(Standing::Asking(_)) => false,
            Some(Standing::Mine(_, until)) => ticks() + self.renewed_before() >= *until,
            Some(Standing::Others(again)) => ticks() >= *again,
        }
    }

    /// When there is something to ask, if these are wanted.
    pub(crate) fn asks_at<'a>(&self, wanted: impl Iterator<Item = &'a BranchId>) -> Option<Ticks> {
        let book = self.book();
        let standing = wanted.filter_map(|branch| book.get(branch));
        let at = standing.filter_map(|standing| match standing {
            Standing::Asking(_) => None,
            Standing::Mine(_, until) => Some(*until - self.renewed_before()),
            Standing::Others(again) => Some(*again),
        });
        at.min()
    }

    pub(crate) fn asking(&self, branch: &BranchId) {
        let before = self.mine(branch);
        self.book().insert(branch.clone(), Standing::Asking(before));
    }

    /// What came of asking at `asked`; `None` for no answer.
    pub(crate) fn answered(&self, branch: &BranchId, asked: Ticks, taken: Option<Taken>) {
        let before = self.mine(branch);
        let standing = match (taken, before) {
            (Some(Taken::Mine(version)), _) => {
                // What was known when it was ours already is known still.
                let version =
                    before.filter(|(_, until)| ticks() < *until).map_or(version, |(known, _)| known);
                Standing::Mine(version, asked + self.lasts - self.margin())
            }
            (Some(Taken::Others(left)), _) => Standing::Others(ticks() + left),
            (None, Some((version, until))) if ticks() < until => Standing::Mine(version, until),
            (None, _) => Standing::Others(ticks() + ASK_AGAIN_AFTER),
        };
        self.book().insert(branch.clone(), standing);
    }

    /// Another notifier has let go of it, or it is ours to look at again.
    pub(crate) fn look_again(&self, branch: &BranchId) {
        let mut book = self.book();
        if let Some(Standing::Others(_)) = book.get(branch) {
            book.remove(branch);
        }
    }

    /// Forgets all, and answers which were ours.
    pub(crate) fn forget(&self) -> Vec<BranchId> {
        let book = std::mem::take(&mut *self.book());
        let ours = book.into_iter().filter(|(_, standing)| !matches!(standing, Standing::Others(_)));
        ours.map(|(branch, _)| branch).collect()
    }

    fn mine(&self, branch: &BranchId) -> Option<(Version, Ticks)> {
        match self.book().get(branch) {
            Some(Standing::Mine(version, until)) => Some((*version, *until)),
            Some(Standing::Asking(before)) => *before,
            Some(Standing::Others(_)) | None => None,
        }
    }

    /// How much earlier it ends here than in the store.
    fn margin(&self) -> Duration {
        self.lasts / 6
    }

    fn renewed_before(&self) -> Duration {
        self.lasts / 2
    }

    fn book(&self) -> MutexGuard<'_, BTreeMap<BranchId, Standing>> {
        self.by_branch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
