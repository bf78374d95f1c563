//! Company and branches, folded in memory and followed: what every decision looks things up in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use cuiban_domain::ids::BranchId;
use cuiban_domain::organisation::{Branch, Company, Organisation};
use cuiban_domain::{Aggregate, Event};
use cuiban_event_log::{
    Batch, Cursor, EventLog, Filter, Following, LogError, Pattern, Position, RecordedCommit, Seen, StreamId,
    Token,
};
use cuiban_event_schema::{Commit, CommitHash};
use cuiban_vitals::Pulse;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::UnreadableCommit;
use crate::unreadable::Pending;

/// A handle to the folded organisation. Clones share it.
#[derive(Clone, Debug)]
pub struct Directory {
    folded: Arc<Folded>,
    /// The log that is followed.
    log: Option<Arc<dyn EventLog>>,
    /// Ends the following with the last handle.
    _following: Option<Arc<DropGuard>>,
}

#[derive(Debug)]
struct Folded {
    known: RwLock<Known>,
    /// The furthest of what this process has read of a stream, or appended.
    furthest: Mutex<Option<(Position, CommitHash)>>,
    /// Wakes who waits for a position, in the order in which they came.
    moved: Notify,
    /// Tells the task that follows the log that it is another one.
    exchanged: Notify,
    /// Held while it is asked whether the log is the same: one asks, the others wait for the answer.
    asking: tokio::sync::Mutex<()>,
}

/// The organisation, and the last commit that is folded into it.
#[derive(Clone, Debug, Default)]
struct Known {
    organisation: Arc<Organisation>,
    /// The streams in which folding stands at an unreadable commit: what they said before holds (R52).
    pending: Arc<BTreeMap<StreamId, Pending>>,
    applied: Position,
    /// What was seen of the log, by which it is known again.
    seen: Seen,
    /// Whether the log was away since it was last seen to be the same.
    is_doubted: bool,
    log_generation: u64,
}

/// How many commits are folded between two looks by others.
const BATCH_COMMITS_MAX: usize = 512;

impl Directory {
    /// An organisation without branches, which nothing follows; for tests and tools.
    pub fn empty() -> Self {
        let folded = Folded {
            known: RwLock::default(),
            furthest: Mutex::default(),
            moved: Notify::new(),
            exchanged: Notify::new(),
            asking: tokio::sync::Mutex::default(),
        };
        Self { folded: Arc::new(folded), log: None, _following: None }
    }

    /// Folds the company's and the branches' streams as they stand now, and no further.
    pub async fn read(log: &dyn EventLog) -> Result<Self, LogError> {
        let folded = Self::empty().folded;
        let mut subscription = log.subscribe(followed(), Position::START).await?;
        while let Some(batch) = subscription.next_batch(BATCH_COMMITS_MAX).await {
            let batch = batch?;
            folded.take(&batch, Seen::default());
            if batch.caught_up {
                break;
            }
        }
        Ok(Self { folded, log: None, _following: None })
    }

    /// Folds the company's and the branches' streams as they stand, and follows them from then on until the
    /// last handle is gone. After a failure the log is tried again every `retry_delay`; every `look_every` it is looked
    /// whether it is still the same log, and another one is folded from its start.
    pub async fn follow(
        log: Arc<dyn EventLog>,
        retry_delay: Duration,
        look_every: Duration,
        pulse: Pulse,
    ) -> Result<Self, LogError> {
        let source = Source { log: log.clone(), retry_delay, look_every, pulse };
        let (folded, following) = source.fold_what_is_stored().await?;
        let stop = CancellationToken::new();
        let following = source.keep_following(following, folded.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(following));
        Ok(Self { folded, log: Some(log), _following: Some(Arc::new(stop.drop_guard())) })
    }

    /// The organisation as known now.
    pub fn organisation(&self) -> Arc<Organisation> {
        self.folded.read().organisation.clone()
    }

    /// The commits of company and branches that this build cannot read. Until they are stepped over, decisions use what
    /// their streams said before.
    pub fn unreadable(&self) -> Vec<UnreadableCommit> {
        self.folded.known().pending.values().map(|pending| pending.first.clone()).collect()
    }

    /// Counted up each time that the log turned out to be another one: what was kept of the former holds no more.
    pub fn log_generation(&self) -> u64 {
        self.folded.read().log_generation
    }

    /// What was read of a stream or appended, by which the log is known again: what is kept of it may be no part of another.
    pub(crate) fn note_seen(&self, position: Position, sha256: CommitHash) {
        let mut furthest = self.folded.furthest();
        if furthest.is_none_or(|(known, _)| known < position) {
            *furthest = Some((position, sha256));
        }
    }

    /// The log was away: it may be another one when it is back.
    pub(crate) fn doubt(&self) {
        self.folded.set_doubted(true);
    }

    /// Returns when what is known of the log is known of the log that is there now. Asks nothing, unless the log was away:
    /// a log that is restored is away meanwhile, and what a process kept of the former one (numbers that it has reserved,
    /// streams that it has read) must not go into the other.
    pub(crate) async fn make_sure(&self) -> Result<(), LogError> {
        let Some(log) = self.log.as_ref().filter(|_| self.folded.read().is_doubted) else { return Ok(()) };
        let _asking = self.folded.asking.lock().await;
        if !self.folded.read().is_doubted {
            return Ok(());
        }
        let seen = self.folded.seen();
        match Following::check(log.clone(), seen).await {
            Ok(()) => {
                self.folded.set_doubted(false);
                Ok(())
            }
            Err(LogError::Replaced { .. }) => {
                self.folded.exchanged.notify_one();
                self.folded.wait_until(|known| !known.is_doubted).await;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Returns when everything up to `position` is folded, or when the log turns out to be another one meanwhile.
    pub async fn wait_for(&self, position: Position) {
        self.wait_for_in(position, self.log_generation()).await;
    }

    /// As [`Self::wait_for`], for a position of the log that was there at this generation. Answers whether it is there
    /// still: in another log the position means nothing, and may never be reached.
    pub async fn wait_for_in(&self, position: Position, log_generation: u64) -> bool {
        let is_another = |known: &Known| known.log_generation != log_generation;
        self.folded.wait_until(|known| known.applied >= position || is_another(known)).await;
        !is_another(&self.folded.read())
    }
}

/// Company and branches.
fn followed() -> Filter {
    Filter { any_of: [stream_of::<Company>(), stream_of::<Branch>()].to_vec() }
}

/// An aggregate's commits. Their class is named too, though the kind says enough: it is what both kinds share, so that a
/// broker can pick out these few among all the tickets' commits, and a process starts as fast on a long log as on a short one.
fn stream_of<A: Aggregate>() -> Pattern {
    let (kind, class) = (Token::new(A::KIND).ok(), Token::new(A::class(&[]).as_str()).ok());
    Pattern { kind, class, ..Pattern::default() }
}

/// Where the organisation is followed.
struct Source {
    log: Arc<dyn EventLog>,
    retry_delay: Duration,
    look_every: Duration,
    pulse: Pulse,
}

impl Source {
    async fn begin(&self, from: Cursor, seen: Seen) -> Result<Following, LogError> {
        Following::begin_after(self.log.clone(), followed(), from, seen, self.look_every).await
    }

    async fn fold_what_is_stored(&self) -> Result<(Arc<Folded>, Following), LogError> {
        let folded = Directory::empty().folded;
        let mut following = self.begin(Cursor::START, Seen::default()).await?;
        while let Some(batch) = following.next_batch(BATCH_COMMITS_MAX).await {
            let batch = batch?;
            folded.take(&batch, following.seen());
            if batch.caught_up {
                break;
            }
        }
        Ok((folded, following))
    }

    /// Folds what comes; a following that failed is taken up again where it ended, one of a log that was exchanged at the
    /// start of the other.
    async fn keep_following(self, mut following: Following, folded: Arc<Folded>) {
        loop {
            self.pulse.turn().await;
            self.pulse.follows(folded.known().applied.raw(), true);
            if let Some((position, sha256)) = *folded.furthest() {
                following.witness(position, sha256);
            }
            let heard = async {
                tokio::select! {
                    biased;
                    () = folded.exchanged.notified() => {
                        let detail = "it lacks what was stored in it from here".to_owned();
                        Some(Err(LogError::Replaced { detail }))
                    }
                    batch = following.next_batch(BATCH_COMMITS_MAX) => batch,
                }
            };
            // Nothing may come for hours, and what is seen elsewhere meanwhile is looked for, too.
            match self.pulse.idle(tokio::time::timeout(self.look_every, heard)).await {
                Err(_) => {}
                Ok(Some(Ok(batch))) => folded.take(&batch, following.seen()),
                Ok(Some(Err(error))) => {
                    folded.doubt(following.seen());
                    following = self.begin_again(error, following.cursor(), &folded).await;
                    folded.set_doubted(false);
                }
                Ok(None) => return,
            }
        }
    }

    async fn begin_again(&self, mut error: LogError, cursor: Cursor, folded: &Folded) -> Following {
        loop {
            tracing::warn!(error = &error as &dyn std::error::Error, "the directory follows the log again");
            let begun = if let LogError::Replaced { .. } = error {
                // Everything that was folded may be the former log's.
                self.fold_what_is_stored().await.map(|(anew, following)| {
                    folded.replace_with(&anew);
                    following
                })
            } else {
                self.begin(cursor, folded.seen()).await
            };
            match begun {
                Ok(following) => return following,
                // Of the former log, whatever stands in the way of the other.
                Err(failed) if !matches!(error, LogError::Replaced { .. }) => error = failed,
                Err(failed) => {
                    tracing::warn!(
                        error = &failed as &dyn std::error::Error,
                        "the directory waits for the log"
                    );
                }
            }
            tokio::time::sleep(self.retry_delay).await;
        }
    }
}

impl Folded {
    fn take(&self, batch: &Batch, seen: Seen) {
        for foreign in &batch.foreign {
            tracing::warn!(%foreign, "the directory passes by a message that is none of ours");
        }
        self.apply(&batch.commits);
        self.write().seen = seen;
    }

    fn doubt(&self, seen: Seen) {
        let mut known = self.write();
        (known.seen, known.is_doubted) = (seen, true);
    }

    fn set_doubted(&self, is_doubted: bool) {
        self.write().is_doubted = is_doubted;
        self.moved.notify_waiters();
    }

    async fn wait_until(&self, holds: impl Fn(&Known) -> bool) {
        loop {
            let moved = self.moved.notified();
            if holds(&self.read()) {
                return;
            }
            moved.await;
        }
    }

    /// Everything is as another log has it.
    fn replace_with(&self, anew: &Self) {
        let anew = anew.known();
        let mut known = self.write();
        *self.furthest() = None;
        *known = Known { log_generation: known.log_generation + 1, ..anew };
        drop(known);
        self.moved.notify_waiters();
    }

    /// Folds what is new: commits that are told again would take the organisation back to what it was.
    fn apply(&self, commits: &[RecordedCommit]) {
        let Known { organisation, pending, mut applied, .. } = self.known();
        let mut next = Next { organisation: (*organisation).clone(), pending: (*pending).clone() };
        let before = applied;
        for recorded in commits {
            if recorded.position > applied {
                next.fold(recorded);
                applied = recorded.position;
            }
        }
        if applied > before {
            // What was stepped over in the same breath is nobody's business any more.
            for first in next.pending.values().map(|pending| &pending.first) {
                if first.position > before {
                    tracing::error!(
                        error = first.reason.as_ref() as &dyn std::error::Error,
                        stream = %first.stream, position = %first.position,
                        "a commit of the organisation cannot be read: what its stream said before holds until it is stepped over"
                    );
                }
            }
            let (organisation, pending) = (Arc::new(next.organisation), Arc::new(next.pending));
            let mut known = self.write();
            (known.organisation, known.pending, known.applied) = (organisation, pending, applied);
            drop(known);
            self.moved.notify_waiters();
        }
    }

    fn known(&self) -> Known {
        self.read().clone()
    }

    /// What was seen of the log, by following it, by reading or by appending.
    fn seen(&self) -> Seen {
        let (seen, furthest) = (self.read().seen.clone(), *self.furthest());
        furthest.into_iter().fold(seen, |seen, (position, sha256)| seen.and(position, sha256))
    }

    fn furthest(&self) -> MutexGuard<'_, Option<(Position, CommitHash)>> {
        self.furthest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The organisation as it is being folded.
struct Next {
    organisation: Organisation,
    pending: BTreeMap<StreamId, Pending>,
}

impl Next {
    /// What cannot be read leaves what its stream said before in force (R52), and is said.
    fn fold(&mut self, recorded: &RecordedCommit) {
        let stream = &recorded.stream;
        let decoded = crate::unreadable::decode(&recorded.clone().into());
        let (readable, pending) = match (self.pending.remove(stream), decoded) {
            (None, Ok(commit)) => (vec![commit], None),
            (None, Err(error)) => (Vec::new(), Some(Pending::new(stream, recorded.clone().into(), error))),
            (Some(pending), decoded) => pending.push(recorded.clone().into(), decoded),
        };
        readable.iter().for_each(|commit| self.apply(stream, commit));
        let is_readable = pending.is_none();
        self.pending.extend(pending.map(|pending| (stream.clone(), pending)));
        match (stream.kind.as_str(), BranchId::new(stream.id.as_str())) {
            (Branch::KIND, Ok(branch)) => self.organisation.set_readable(Some(&branch), is_readable),
            (Company::KIND, _) => self.organisation.set_readable(None, is_readable),
            _ => {}
        }
    }

    fn apply(&mut self, stream: &StreamId, commit: &Commit) {
        let (happened, revision) = (commit.envelope.happened, commit.envelope.revision);
        for event in &commit.events {
            match event {
                Event::Company(event) => self.organisation.apply_company(event, happened, revision),
                Event::Branch(event) => {
                    if let Ok(branch) = BranchId::new(stream.id.as_str()) {
                        self.organisation.apply_branch(&branch, event, happened, revision);
                    }
                }
                // Of other streams, or of no aggregate: nothing that decisions look up.
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_followed_has_one_class_that_a_broker_can_pick_out() {
        let (company, branch) = (stream_of::<Company>(), stream_of::<Branch>());
        assert!(company.class.is_some() && company.class == branch.class);
        assert!(company.kind.is_some() && branch.kind.is_some());
    }
}
