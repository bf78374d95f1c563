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
    book: Arc<Mutex<Book>>,
}

#[derive(Debug, Default)]
struct Book {
    /// How often everything was forgotten: an answer to what was asked before says nothing now.
    forgotten: u64,
    by_branch: BTreeMap<BranchId, Standing>,
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

/// When a lease was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    at: Ticks,
    forgotten: u64,
}

/// Whether a branch's alerts may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Yes,
    No,
}

impl Leases {
    pub(crate) fn new(lasts: Duration) -> Self {
        Self { lasts, book: Arc::default() }
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
        match self.book().by_branch.get(branch) {
            None => true,
            Some(Standing::Asking(_)) => false,
            Some(Standing::Mine(_, until)) => ticks() + self.renewed_before() >= *until,
            Some(Standing::Others(again)) => ticks() >= *again,
        }
    }

    /// When there is something to ask, if these are wanted.
    pub(crate) fn asks_at<'a>(&self, wanted: impl Iterator<Item = &'a BranchId>) -> Option<Ticks> {
        let book = self.book();
        let standing = wanted.filter_map(|branch| book.by_branch.get(branch));
        let at = standing.filter_map(|standing| match standing {
            Standing::Asking(_) => None,
            Standing::Mine(_, until) => Some(*until - self.renewed_before()),
            Standing::Others(again) => Some(*again),
        });
        at.min()
    }

    /// It is being asked for from now on.
    pub(crate) fn asking(&self, branch: &BranchId) -> Asked {
        let before = self.mine(branch);
        let mut book = self.book();
        book.by_branch.insert(branch.clone(), Standing::Asking(before));
        Asked { at: ticks(), forgotten: book.forgotten }
    }

    /// What came of asking; `None` for no answer.
    pub(crate) fn answered(&self, branch: &BranchId, asked: Asked, taken: Option<Taken>) {
        let before = self.mine(branch);
        let mut book = self.book();
        if asked.forgotten != book.forgotten {
            return;
        }
        let standing = match (taken, before) {
            (Some(Taken::Mine(version)), _) => {
                // What was known when it was ours already is known still.
                let version =
                    before.filter(|(_, until)| ticks() < *until).map_or(version, |(known, _)| known);
                Standing::Mine(version, asked.at + self.lasts - self.margin())
            }
            (Some(Taken::Others(left)), _) => Standing::Others(ticks() + left),
            (None, Some((version, until))) if ticks() < until => Standing::Mine(version, until),
            (None, _) => Standing::Others(ticks() + ASK_AGAIN_AFTER),
        };
        book.by_branch.insert(branch.clone(), standing);
    }

    /// Another notifier has let go of it, or it is ours to look at again.
    pub(crate) fn look_again(&self, branch: &BranchId) {
        let by_branch = &mut self.book().by_branch;
        if let Some(Standing::Others(_)) = by_branch.get(branch) {
            by_branch.remove(branch);
        }
    }

    /// Forgets all, and answers which were ours.
    pub(crate) fn forget(&self) -> Vec<BranchId> {
        let mut book = self.book();
        book.forgotten += 1;
        let ours = std::mem::take(&mut book.by_branch)
            .into_iter()
            .filter(|(_, standing)| !matches!(standing, Standing::Others(_)));
        ours.map(|(branch, _)| branch).collect()
    }

    fn mine(&self, branch: &BranchId) -> Option<(Version, Ticks)> {
        match self.book().by_branch.get(branch) {
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

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_before_everything_was_forgotten_says_nothing_of_what_was_heard_since() {
        let leases = Leases::new(Duration::from_secs(30));
        let branch = BranchId::new("B0").unwrap();
        let before = leases.asking(&branch);
        assert_eq!(leases.forget(), std::slice::from_ref(&branch));
        leases.answered(&branch, before, Some(Taken::Mine(Version(1))));
        assert!(!leases.may_push(&branch) && leases.is_to_be_asked(&branch));
        let since = leases.asking(&branch);
        leases.answered(&branch, since, Some(Taken::Mine(Version(5))));
        assert_eq!(leases.held(&branch, Version(4)), Held::No, "what was done before is not all known");
        assert_eq!(leases.held(&branch, Version(5)), Held::Yes);
    }
}
