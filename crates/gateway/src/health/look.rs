//! Looking at what this process sees: the log, the read models, the heartbeats.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use cuiban_command_handler::Handlers;
use cuiban_event_log::{EventLog, LogProblem, Position};
use cuiban_projector::{ModelStatus, ReadError, ReadModels, Unurged};
use cuiban_vitals::{BEAT_EVERY, Post, Problem, Reading, Role, Roll, Vitals, ticks};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::words::{self, both};
use crate::config::Config;

/// What is looked at.
#[derive(Clone)]
pub struct Looked {
    /// The process's vitals and its time are theirs.
    pub handlers: Arc<Handlers>,
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The read models, where there are any.
    pub models: Option<ReadModels>,
    /// The heartbeats that are heard, where somebody listens.
    pub roll: Option<Roll>,
    /// What is kept where, by name: sizes are told.
    pub stores: Vec<(&'static str, PathBuf)>,
}

/// Looks at how the process stands. Clones share what was seen.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    looked: Looked,
    wait: Duration,
    unurged_grace: Duration,
    seen: Mutex<Option<(Instant, Arc<Look>)>>,
}

/// What was seen.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    /// The log's last position, if it said.
    pub(crate) head: Option<Position>,
    /// How far the read models are, where there are any.
    pub(crate) models: Option<Position>,
    /// What is wrong; what stops the role's own work comes first.
    pub(crate) problems: Vec<Problem>,
}

/// How old a look may be that a page shows.
const FRESH: Duration = Duration::from_secs(1);
/// How deep folders are walked for their sizes.
const FOLDERS_DEEP: usize = 4;

impl Health {
    /// Looks at these, within the limits of the configuration.
    pub fn new(looked: Looked, config: &Config) -> Self {
        let (wait, unurged_grace) = (config.ready_wait(), config.unurged_grace());
        Self(Arc::new(Inner { looked, wait, unurged_grace, seen: Mutex::default() }))
    }

    /// Looks every few seconds until `stop`, so that heartbeats say what was found though nobody asks.
    pub async fn keep_looking(self, stop: CancellationToken) {
        let looking = async {
            loop {
                self.look().await;
                tokio::time::sleep(BEAT_EVERY).await;
            }
        };
        stop.run_until_cancelled(looking).await;
    }

    /// The vitals of the process.
    pub(crate) fn vitals(&self) -> &Vitals {
        self.0.looked.handlers.vitals()
    }

    /// What was seen a moment ago, or is seen now.
    pub(crate) async fn seen(&self) -> Arc<Look> {
        let mut seen = self.0.seen.lock().await;
        if let Some((_, look)) = seen.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return look.clone();
        }
        let look = Arc::new(self.0.look().await);
        *seen = Some((ticks(), look.clone()));
        look
    }

    /// Looks now.
    pub(crate) async fn look(&self) -> Arc<Look> {
        let mut seen = self.0.seen.lock().await;
        let look = Arc::new(self.0.look().await);
        *seen = Some((ticks(), look.clone()));
        look
    }

    /// Measures the stores.
    pub(crate) async fn measure_stores(&self) {
        let (vitals, stores) = (self.vitals().clone(), self.0.looked.stores.clone());
        let measuring = tokio::task::spawn_blocking(move || {
            for (name, path) in stores {
                #[expect(clippy::cast_precision_loss, reason = "a figure of a graph")]
                vitals.set(Reading::StoreBytes(name), size(&path, FOLDERS_DEEP) as f64);
            }
        });
        // A figure that is missing is no reason to tell none.
        let _ = measuring.await;
    }
}

impl Inner {
    async fn look(&self) -> Look {
        let vitals = self.looked.handlers.vitals();
        let role = vitals.role().unwrap_or(Role::All);
        let mut found = Vec::new();
        let head = self.look_at_log(role, &mut found).await;
        let models = self.look_at_models(&mut found).await;
        self.look_at_organisation(&mut found);
        self.look_at_clock(vitals, &mut found).await;
        let heard = self.heard(vitals);
        // Where nobody reads the vitals, what was found is all there is.
        let mut problems = if vitals.role().is_some() {
            vitals.set_problems("look", found);
            vitals.problems()
        } else {
            found
        };
        problems.extend(heard);
        problems.sort_by_key(|problem| !problem.stops);
        Look { head, models, problems }
    }

    async fn look_at_log(&self, role: Role, found: &mut Vec<Problem>) -> Option<Position> {
        match tokio::time::timeout(self.wait, self.looked.log.head()).await {
            Ok(Ok(head)) => {
                self.looked.handlers.vitals().see_head(head.raw());
                self.look_at_standing(role, found).await;
                Some(head)
            }
            Ok(Err(_)) | Err(_) => {
                let detail = words::log_unavailable(self.wait);
                found.push(Problem { stops: role.writes(), ..Problem::warning("log_unavailable", detail) });
                None
            }
        }
    }

    /// What is wrong with the log's keeping, whether or not anybody has run into it.
    async fn look_at_standing(&self, role: Role, found: &mut Vec<Problem>) {
        // A log that does not tell how it stands has just told where it ends.
        let Ok(Ok(standing)) = tokio::time::timeout(self.wait, self.looked.log.standing()).await else {
            return;
        };
        for LogProblem { code, detail, stops_writing } in standing.problems {
            let warning = Problem::warning(code, words::log_problem(code, &detail));
            found.push(Problem { stops: stops_writing && role.writes(), ..warning });
        }
    }

    /// Company, branches and series of numbers whose streams cannot be read to their ends.
    fn look_at_organisation(&self, found: &mut Vec<Problem>) {
        let handlers = &self.looked.handlers;
        let (organisation, numbering) = (handlers.directory().unreadable(), handlers.numbers().unreadable());
        found.extend(organisation.iter().map(|commit| {
            Problem::warning("organisation_unreadable", words::organisation_unreadable(commit))
        }));
        found.extend(
            numbering
                .iter()
                .map(|commit| Problem::warning("numbering_unreadable", words::numbering_unreadable(commit))),
        );
    }

    async fn look_at_models(&self, found: &mut Vec<Problem>) -> Option<Position> {
        let Some(models) = self.looked.models.as_ref() else {
            // Who is missing is heard here, too.
            self.judge_posts(&Unurged::default(), found);
            return None;
        };
        if !models.is_ready() {
            let detail = both("读模型正在建立", "the read models are being built");
            found.push(Problem::stopping("models_building", detail));
        } else if !models.changes().borrow().caught_up {
            let detail = both("读模型正在追赶日志", "the read models are catching up with the log");
            found.push(Problem::stopping("models_behind", detail));
        }
        let unurged = self.ask_models(models, found).await;
        self.judge_posts(&unurged, found);
        Some(models.position())
    }

    /// Asks the models what nobody has urged, and what they have set aside.
    async fn ask_models(&self, models: &ReadModels, found: &mut Vec<Problem>) -> Unurged {
        // By the log's own time; while there is none, nothing is known to be due.
        let now = tokio::time::timeout(self.wait, self.looked.handlers.clock_guard().now()).await;
        let (models, grace) = (models.clone(), self.unurged_grace);
        let asking = tokio::task::spawn_blocking(move || -> Result<_, ReadError> {
            let unurged = match now {
                Ok(Ok(now)) => models.unurged(now, grace)?,
                Ok(Err(_)) | Err(_) => Unurged::default(),
            };
            Ok((unurged, models.overdue_count()?, models.status()?))
        });
        // Models that are being built answer nothing yet, and that is told already.
        let Ok(Ok((unurged, overdue, status))) = asking.await else { return Unurged::default() };
        self.tell_figures(&unurged, overdue, &status);
        let warnings = [
            ("tickets_unreadable", words::unreadable(&unurged)),
            ("commits_parked", words::parked(&status)),
            ("models_quarantined", words::quarantined(&status)),
            ("log_replaced", words::of_another_log(&status)),
        ];
        found.extend(warnings.into_iter().filter_map(|(code, said)| Some(Problem::warning(code, said?))));
        unurged
    }

    #[expect(clippy::cast_precision_loss, reason = "figures of graphs")]
    fn tell_figures(&self, unurged: &Unurged, overdue: usize, status: &[ModelStatus]) {
        let vitals = self.looked.handlers.vitals();
        vitals.set(Reading::UnurgedClocks, unurged.clocks as f64);
        vitals.set(Reading::UnreadableClocks, unurged.unreadable as f64);
        let now = self.looked.handlers.clock().now();
        let oldest = unurged.oldest.as_ref().and_then(|clock| clock.due_at);
        let oldest = oldest.map_or(0.0, |due_at| (now - due_at).as_seconds_f64());
        vitals.set(Reading::UnurgedOldestSeconds, oldest.max(0.0));
        vitals.set(Reading::OverdueClocks, overdue as f64);
        for model in status {
            vitals.set(Reading::Parked(&model.name), model.parked as f64);
        }
    }

    /// Who should be there and is not; and what is due and was not urged, whatever the watchdog says of itself.
    fn judge_posts(&self, unurged: &Unurged, found: &mut Vec<Problem>) {
        let unattended = self.looked.roll.as_ref().map(Roll::unattended).unwrap_or_default();
        let watching = unattended.iter().find(|one| one.post == Post::Watching);
        if watching.is_some() || unurged.clocks > 0 {
            let detail = words::nobody_watching(watching, unurged);
            found.push(Problem::warning(words::code(Post::Watching), detail));
        }
        let others = unattended.iter().filter(|one| one.post != Post::Watching);
        found.extend(others.map(|one| Problem::warning(words::code(one.post), words::unattended(one))));
    }

    async fn look_at_clock(&self, vitals: &Vitals, found: &mut Vec<Problem>) {
        let standing = self.looked.handlers.clock_guard().standing();
        vitals.set(Reading::ClockSuspect, f64::from(u8::from(standing.suspect.is_some())));
        if let Some(apart) = standing.suspect {
            found.push(Problem::warning("clock_suspect", words::clock_suspect(apart)));
        }
        if let Some(apart) = standing.leader_apart {
            found.push(Problem::warning("leader_clock_suspect", words::leader_clock_suspect(apart)));
        }
        if let Some(step) = standing.to_be_confirmed {
            let would_be_due = self.due_at(step.wall).await;
            let detail = words::clock_to_be_confirmed(&step, &would_be_due);
            found.push(Problem::warning("clock_to_be_confirmed", detail));
        }
    }

    /// What would be due and not urged if it were this time.
    async fn due_at(&self, time: DateTime<Utc>) -> Unurged {
        let Some(models) = self.looked.models.clone() else { return Unurged::default() };
        let asking = tokio::task::spawn_blocking(move || models.unurged(time, Duration::ZERO));
        asking.await.ok().and_then(Result::ok).unwrap_or_default()
    }

    /// What other instances say is wrong with them.
    fn heard(&self, vitals: &Vitals) -> Vec<Problem> {
        let everybody = self.looked.roll.as_ref().map(Roll::everybody).unwrap_or_default();
        let others =
            everybody.into_iter().filter(|heard| heard.is_there() && heard.beat.who() != vitals.who());
        let problems = others.flat_map(|heard| {
            let who = heard.beat.who();
            heard.beat.problems.into_iter().map(move |problem| problem.heard_from(who.clone()))
        });
        problems.collect()
    }
}

/// The bytes of a file, or of the files of a folder. What is gone meanwhile counts nothing.
fn size(path: &Path, folders_deep: usize) -> u64 {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return metadata.len();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    match folders_deep.checked_sub(1) {
        Some(deep) => entries.map(|entry| size(&entry.path(), deep)).sum(),
        None => 0,
    }
}
