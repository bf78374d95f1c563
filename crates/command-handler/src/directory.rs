//! Company and branches, folded in memory and followed: what every decision looks things up in.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use cuiban_domain::ids::BranchId;
use cuiban_domain::organisation::{Branch, Company, Organisation};
use cuiban_domain::{Aggregate, Event};
use cuiban_event_log::{
    EventLog, Filter, LogError, Pattern, Position, RecordedCommit, StreamId, Subscription, Token,
};
use cuiban_event_schema::Commit;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::UnreadableCommit;
use crate::unreadable::Pending;

/// A handle to the folded organisation. Clones share it.
#[derive(Clone, Debug)]
pub struct Directory {
    folded: Arc<Folded>,
    /// Ends the following with the last handle.
    _following: Option<Arc<DropGuard>>,
}

#[derive(Debug)]
struct Folded {
    known: RwLock<Known>,
    /// Wakes who waits for a position, in the order in which they came.
    moved: Notify,
}

/// The organisation, and the last commit that is folded into it.
#[derive(Clone, Debug, Default)]
struct Known {
    organisation: Arc<Organisation>,
    /// The streams in which folding stands at an unreadable commit: what they said before holds (R52).
    pending: Arc<BTreeMap<StreamId, Pending>>,
    applied: Position,
}

/// How many commits are folded between two looks by others.
const BATCH_COMMITS_MAX: usize = 512;

impl Directory {
    /// An organisation without branches, which nothing follows; for tests and tools.
    pub fn empty() -> Self {
        let folded = Folded { known: RwLock::default(), moved: Notify::new() };
        Self { folded: Arc::new(folded), _following: None }
    }

    /// Folds the company's and the branches' streams as they stand now, and no further.
    pub async fn read(log: &dyn EventLog) -> Result<Self, LogError> {
        Ok(Self { folded: fold_what_is_stored(log).await?.0, _following: None })
    }

    /// Folds the company's and the branches' streams as they stand, and follows them from then on until the
    /// last handle is gone. After a failure the log is tried again every `retry_delay`.
    pub async fn follow(log: Arc<dyn EventLog>, retry_delay: Duration) -> Result<Self, LogError> {
        let (folded, subscription) = fold_what_is_stored(log.as_ref()).await?;
        let stop = CancellationToken::new();
        let following = keep_following(log, subscription, folded.clone(), retry_delay);
        tokio::spawn(stop.clone().run_until_cancelled_owned(following));
        Ok(Self { folded, _following: Some(Arc::new(stop.drop_guard())) })
    }

    /// The organisation as known now.
    pub fn organisation(&self) -> Arc<Organisation> {
        self.folded.known().organisation
    }

    /// The commits of company and branches that this build cannot read. Until they are stepped over, decisions use what
    /// their streams said before.
    pub fn unreadable(&self) -> Vec<UnreadableCommit> {
        self.folded.known().pending.values().map(|pending| pending.first.clone()).collect()
    }

    /// Returns when everything up to `position` is folded.
    pub async fn wait_for(&self, position: Position) {
        loop {
            let moved = self.folded.moved.notified();
            if self.folded.known().applied >= position {
                return;
            }
            moved.await;
        }
    }
}

async fn fold_what_is_stored(log: &dyn EventLog) -> Result<(Arc<Folded>, Subscription), LogError> {
    let folded = Directory::empty().folded;
    let mut subscription = subscribe(log, Position::START).await?;
    while let Some(batch) = subscription.next_batch(BATCH_COMMITS_MAX).await {
        let batch = batch?;
        folded.apply(&batch.commits);
        if batch.caught_up {
            break;
        }
    }
    Ok((folded, subscription))
}

async fn subscribe(log: &dyn EventLog, after: Position) -> Result<Subscription, LogError> {
    let any_of = [followed::<Company>(), followed::<Branch>()].to_vec();
    log.subscribe(Filter { any_of }, after).await
}

/// An aggregate's commits. Their class is named too, though the kind says enough: it is what both kinds share, so that a
/// broker can pick out these few among all the tickets' commits, and a process starts as fast on a long log as on a short one.
fn followed<A: Aggregate>() -> Pattern {
    let (kind, class) = (Token::new(A::KIND).ok(), Token::new(A::class(&[]).as_str()).ok());
    Pattern { kind, class, ..Pattern::default() }
}

/// Folds what comes; a subscription that failed is taken up again where it ended.
async fn keep_following(
    log: Arc<dyn EventLog>,
    mut subscription: Subscription,
    folded: Arc<Folded>,
    retry_delay: Duration,
) {
    loop {
        match subscription.next_batch(BATCH_COMMITS_MAX).await {
            Some(Ok(batch)) => folded.apply(&batch.commits),
            Some(Err(error)) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the directory's subscription failed"
                );
                subscription = subscribe_again(log.as_ref(), &folded, retry_delay).await;
            }
            None => return,
        }
    }
}

async fn subscribe_again(log: &dyn EventLog, folded: &Folded, retry_delay: Duration) -> Subscription {
    loop {
        tokio::time::sleep(retry_delay).await;
        let after = folded.known().applied;
        match subscribe(log, after).await {
            Ok(subscription) => return subscription,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the directory waits for the log");
            }
        }
    }
}

impl Folded {
    /// Folds what is new: commits that are told again would take the organisation back to what it was.
    fn apply(&self, commits: &[RecordedCommit]) {
        let Known { organisation, pending, mut applied } = self.known();
        let mut next = Next { organisation: (*organisation).clone(), pending: (*pending).clone() };
        let before = applied;
        for recorded in commits {
            if recorded.position > applied {
                next.fold(recorded);
                applied = recorded.position;
            }
        }
        if applied > before {
            let (organisation, pending) = (Arc::new(next.organisation), Arc::new(next.pending));
            let known = Known { organisation, pending, applied };
            *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
            self.moved.notify_waiters();
        }
    }

    fn known(&self) -> Known {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
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
        let decoded = cuiban_event_schema::decode(&recorded.payload);
        let (readable, pending) = match (self.pending.remove(stream), decoded) {
            (None, Ok(commit)) => (vec![commit], None),
            (None, Err(error)) => (Vec::new(), Some(Pending::new(recorded.clone(), Arc::new(error)))),
            (Some(pending), decoded) => pending.push(recorded.clone(), decoded),
        };
        readable.iter().for_each(|commit| self.apply(stream, commit));
        let is_readable = pending.is_none();
        if let Some(pending) = pending {
            let error = pending.first.reason.as_ref() as &dyn std::error::Error;
            tracing::error!(
                error, %stream, position = %pending.first.position,
                "a commit of the organisation cannot be read: what its stream said before holds until it is stepped over"
            );
            self.pending.insert(stream.clone(), pending);
        }
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
        let (company, branch) = (followed::<Company>(), followed::<Branch>());
        assert!(company.class.is_some() && company.class == branch.class);
        assert!(company.kind.is_some() && branch.kind.is_some());
    }
}
