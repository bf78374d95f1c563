//! Company and branches, folded in memory and followed: what every decision looks things up in.

use std::sync::{Arc, PoisonError, RwLock};

use cuiban_domain::ids::BranchId;
use cuiban_domain::organisation::{Branch, Company, Organisation};
use cuiban_domain::{Aggregate, Event};
use cuiban_event_log::{EventLog, Filter, LogError, Pattern, Position, RecordedCommit, Subscription, Token};
use tokio::sync::watch;

/// A handle to the folded organisation. Clones share it.
#[derive(Clone, Debug)]
pub struct Directory {
    organisation: Arc<RwLock<Arc<Organisation>>>,
    applied: Arc<watch::Sender<Position>>,
}

/// How many commits are folded between two looks by others.
const BATCH_COMMITS_MAX: usize = 512;

impl Directory {
    /// An organisation without branches, which nothing follows; for tests and tools.
    pub fn empty() -> Self {
        Self { organisation: Arc::default(), applied: Arc::new(watch::Sender::new(Position::START)) }
    }

    /// Folds the company's and the branches' streams as they stand, and follows them from then on until the
    /// last handle is gone.
    pub async fn follow(log: &dyn EventLog) -> Result<Self, LogError> {
        let directory = Self::empty();
        let any_of = [followed::<Company>(), followed::<Branch>()].to_vec();
        let mut subscription = log.subscribe(Filter { any_of }, Position::START).await?;
        while let Some(batch) = subscription.next_batch(BATCH_COMMITS_MAX).await {
            let batch = batch?;
            directory.apply(&batch.commits);
            if batch.caught_up {
                break;
            }
        }
        tokio::spawn(keep_following(subscription, directory.organisation.clone(), directory.applied.clone()));
        Ok(directory)
    }

    /// The organisation as known now.
    pub fn organisation(&self) -> Arc<Organisation> {
        self.organisation.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns when everything up to `position` is folded.
    pub async fn wait_for(&self, position: Position) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.applied.subscribe().wait_for(|applied| *applied >= position).await;
    }

    /// Tells of each change: the position of the last folded commit.
    pub fn changes(&self) -> watch::Receiver<Position> {
        self.applied.subscribe()
    }

    fn apply(&self, commits: &[RecordedCommit]) {
        apply(&self.organisation, &self.applied, commits);
    }
}

/// An aggregate's commits. Their class is named too, though the kind says enough: it is what both kinds share, so that a
/// broker can pick out these few among all the tickets' commits, and a process starts as fast on a long log as on a short one.
fn followed<A: Aggregate>() -> Pattern {
    let (kind, class) = (Token::new(A::KIND).ok(), Token::new(A::class(&[]).as_str()).ok());
    Pattern { kind, class, ..Pattern::default() }
}

async fn keep_following(
    mut subscription: Subscription,
    organisation: Arc<RwLock<Arc<Organisation>>>,
    applied: Arc<watch::Sender<Position>>,
) {
    loop {
        let batch = tokio::select! {
            batch = subscription.next_batch(BATCH_COMMITS_MAX) => batch,
            // Only this task's own handle is left: nobody asks any more.
            () = last_handle(&organisation) => return,
        };
        match batch {
            Some(Ok(batch)) => apply(&organisation, &applied, &batch.commits),
            Some(Err(error)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the directory follows no longer");
                return;
            }
            None => return,
        }
    }
}

async fn last_handle(organisation: &Arc<RwLock<Arc<Organisation>>>) {
    const LOOK_EVERY: std::time::Duration = std::time::Duration::from_secs(5);
    while Arc::strong_count(organisation) > 1 {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn apply(
    organisation: &RwLock<Arc<Organisation>>,
    applied: &watch::Sender<Position>,
    commits: &[RecordedCommit],
) {
    let Some(last) = commits.last() else { return };
    let mut current = organisation.write().unwrap_or_else(PoisonError::into_inner);
    let mut next = Organisation::clone(&current);
    for recorded in commits {
        fold(&mut next, recorded);
    }
    *current = Arc::new(next);
    drop(current);
    applied.send_replace(last.position);
}

/// What cannot be read leaves the last good version in force (R52), and is said.
fn fold(organisation: &mut Organisation, recorded: &RecordedCommit) {
    let commit = match cuiban_event_schema::decode(&recorded.payload) {
        Ok(commit) => commit,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, position = %recorded.position, "a commit of the organisation cannot be read");
            return;
        }
    };
    let (happened, revision) = (commit.envelope.happened, commit.envelope.revision);
    for event in &commit.events {
        match event {
            Event::Company(event) => organisation.apply_company(event, happened, revision),
            Event::Branch(event) => {
                if let Ok(branch) = BranchId::new(recorded.stream.id.as_str()) {
                    organisation.apply_branch(&branch, event, happened, revision);
                }
            }
            _ => {}
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
