//! One seed from beginning to end: the processes, the people, the accidents, and the quiet time afterwards.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use cuiban_domain::Instant;
use cuiban_domain::ids::InvalidId;
use cuiban_domain::people::InvalidPhone;
use cuiban_domain::sla::InvalidSpan;
use cuiban_domain::text::InvalidText;
use cuiban_event_log::Position;
use tokio::task::JoinSet;

use super::fault::Fault;
use super::judge::{self, Evidence};
use super::operators::Operators;
use super::people::People;
use super::process::{Process, Role};
use super::receiver::Receiver;
use super::scene::Scene;
use super::script::{self, Act, What};
use super::seams::Seams;
use super::{Options, SeedReport};

/// How long it is quiet at the end: whoever waits then waits for ever, and what was open has run out.
const QUIET: Duration = Duration::from_secs(30 * 3_600);
/// When the receiver goes away once more, and for how long: by then what faults have held up is made up for.
const RECEIVER_GOES_AFTER: TimeDelta = TimeDelta::hours(2);
const RECEIVER_AWAY_MINUTES: std::ops::Range<i64> = 60..90;
/// The shortest and longest that a process is down across deadlines, in hours.
const LONG_DOWN_H: std::ops::Range<u64> = 2..40;

/// A simulation that could not be run; violations are not errors.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// A constant of the script is wrong.
    #[error("write the script: {0}")]
    Script(String),
    /// No runtime for it.
    #[error("start the simulation's runtime")]
    Runtime(#[from] std::io::Error),
}

macro_rules! script_errors {
    ($($error:ty),+) => { $(impl From<$error> for SimulationError {
        fn from(error: $error) -> Self { Self::Script(error.to_string()) }
    })+ };
}
script_errors!(InvalidId, InvalidText, InvalidPhone, InvalidSpan);

/// Everything that lives in one seed.
pub(crate) struct World {
    scene: Arc<Scene>,
    receiver: Arc<Receiver>,
    processes: Vec<Arc<Process>>,
    lives: JoinSet<()>,
    people: Arc<People>,
    operators: Arc<Operators>,
    /// When faults stopped.
    quiet_since: Instant,
}

impl World {
    /// Everything is up, and nothing has gone wrong yet.
    pub(crate) async fn open(options: &Options, seams: Arc<dyn Seams>) -> Result<Self, SimulationError> {
        let scene = Arc::new(Scene::new(options, seams));
        let receiver = Arc::new(Receiver::new(scene.clone())?);
        let mut chance = scene.chance("world", 0);
        let roles = [
            vec![Role::Office; 2],
            vec![Role::Watchdog; chance.usize(1..4)],
            vec![Role::Notifier; chance.usize(1..3)],
        ];
        let process = |(number, role)| Process::new(&scene, &receiver, role, number);
        let processes: Vec<_> = (0..).zip(roles.concat()).map(process).collect();
        let mut lives = JoinSet::new();
        processes.iter().for_each(|process| drop(lives.spawn(process.clone().live())));
        let offices = processes.iter().filter(|process| process.role == Role::Office).cloned().collect();
        let people = Arc::new(People::new(scene.clone(), offices));
        people.set_the_scene().await?;
        let operators = Arc::new(Operators::new(scene.clone(), processes.clone()));
        tokio::spawn(operators.clone().mend());
        let quiet_since = scene.now();
        Ok(Self { scene, receiver, processes, lives, people, operators, quiet_since })
    }

    /// The script is played, with every fault that chance brings.
    pub(crate) async fn live(&self, options: &Options) -> Result<(), SimulationError> {
        let acts = script::acts(&self.scene);
        let begins = self.scene.passed();
        self.scene.faults.begin();
        let kept = |act: &&Act| options.acts.as_ref().is_none_or(|acts| acts.contains(&act.number));
        for act in acts.iter().filter(kept) {
            self.scene.wait_until(begins + act.at).await;
            match act.what {
                What::Call | What::Work | What::Organise => self.people.act(act)?,
                _ => self.suffer(act),
            }
        }
        Ok(())
    }

    fn suffer(&self, act: &Act) {
        let mut chance = self.scene.chance("act", act.number as u64);
        let process = &self.processes[chance.usize(..self.processes.len())];
        let watchdogs: Vec<_> = self.processes.iter().filter(|one| one.role == Role::Watchdog).collect();
        self.scene.tell(|| format!("act {:<5} {:?}", act.number, act.what));
        match act.what {
            What::SetClock if chance.u8(..4) == 0 => {
                let ahead = TimeDelta::minutes(chance.i64(1..180));
                if self.scene.faults.are_let(Fault::LeaderFast) {
                    self.scene.fast_server_leads(ahead);
                }
            }
            What::SetClock => process.set_clock(&mut chance),
            What::LongDown if self.scene.faults.are_let(Fault::LongDown) => {
                let down_for = Duration::from_secs(3_600 * chance.u64(LONG_DOWN_H));
                // All watchdogs, or any one process.
                match chance.bool() {
                    true => watchdogs.iter().for_each(|watchdog| watchdog.kill(Some(down_for))),
                    false => process.kill(Some(down_for)),
                }
            }
            What::AllRestart if self.scene.faults.are_let(Fault::AllRestart) => {
                self.processes.iter().for_each(|process| process.kill(None));
            }
            What::RestoreLog => self.operators.restore_log(&mut chance),
            What::Intrude => self.operators.intrude(&mut chance),
            What::ChangeSettings => self.operators.change_settings(&mut chance),
            What::NoWatchdog => self.operators.leave_unwatched(&mut chance),
            What::Crash if self.scene.faults.are_let(Fault::Crash) => process.kill(None),
            _ => {}
        }
    }

    /// Faults stop, whoever is down starts, and time passes. Who is up goes on with what the faults have left behind: nobody
    /// is there to start it anew. Clocks stay as they are: by the log's time all is well.
    pub(crate) async fn settle(&mut self) {
        self.scene.faults.end();
        self.quiet_since = self.scene.now();
        self.scene.tell(|| "quiet     no more faults".to_owned());
        self.processes.iter().for_each(|process| process.start_if_down());
        // Only the receiver is away once more, while nothing else goes wrong.
        let from = self.scene.now() + RECEIVER_GOES_AFTER;
        let minutes = self.scene.chance("quiet", 0).i64(RECEIVER_AWAY_MINUTES);
        self.receiver.go_away(from, from + TimeDelta::minutes(minutes));
        tokio::time::sleep(QUIET).await;
    }

    /// What became of it all.
    pub(crate) async fn report(mut self) -> SeedReport {
        let judged_at = self.scene.now();
        let waiting = self.people.waiting();
        self.lives.shutdown().await;
        self.processes.iter().for_each(|process| process.end());
        let stored = self.scene.log.stored_after(Position::START);
        let evidence = Evidence {
            stored: &stored,
            stored_at: &self.scene.stored_at(),
            lost: &self.scene.lost(),
            intruded: &self.scene.intruded(),
            acknowledged: &self.people.acknowledged(),
            arrived: &self.receiver.arrived(),
            receiver_away: self.receiver.last_away(),
            deliveries: &self.scene.deliveries.records(),
            processes: &self.processes,
            quiet_since: self.quiet_since,
            judged_at,
        };
        let mut verdict = judge::judge(&evidence);
        verdict.violations.extend(self.scene.violations());
        if waiting > 0 {
            verdict.violations.push(format!("{waiting} people wait for an answer for ever"));
        }
        let digest = stored.iter().fold([0; 32], |digest: cuiban_event_schema::CommitHash, stored| {
            cuiban_event_schema::hash(&[&digest[..], &stored.sha256()].concat())
        });
        SeedReport {
            seed: self.scene.seed,
            virtual_minutes: self.scene.passed().as_secs() / 60,
            commands: self.people.sent(),
            faults: self.scene.faults.struck(),
            commits: stored.len(),
            notices: verdict.notices,
            alerts: self.receiver.arrived().len(),
            digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            trace: self.scene.trace(),
            violations: verdict.violations,
        }
    }
}
