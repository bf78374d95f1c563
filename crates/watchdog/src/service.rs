//! The watchdog in the background: two loops, each from a cursor of its own, each begun again when it fails.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use cuiban_command_handler::{ClockGuard, Handlers};
use cuiban_domain::Aggregate;
use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, TicketId};
use cuiban_domain::organisation::{Branch, Company};
use cuiban_domain::ticket::Ticket;
use cuiban_event_log::{Batch, Cursor, EventLog, Filter, Following, LogError, Pattern, StreamId, Token};
use cuiban_projector::{
    Incoming, Key, MemoryDisk, Model, OpenClock, OpenClocks, ParkedEntry, StoreError, StorePlace,
};
use cuiban_vitals::{Problem, Reading, SILENT_MAX, in_one_line};
use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::saving::{Expendable, Saving};
use crate::succession::{Ownership, SuccessionError};
use crate::{Config, DeadlineIndex, Expediting, Issued, Succession, WatchError};

/// The loop that issues 催办, as heartbeats name it.
const EXPEDITING: &str = "watchdog.expediting";
/// The loop that passes on what a leaving member owned.
const SUCCESSION: &str = "watchdog.succession";

/// Just after a due instant: meeting the limit at the instant itself is in time (R38).
const JUST_AFTER: Duration = Duration::from_micros(1);

/// How the watchdog stands, for people and probes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether the log has been read to its end.
    pub caught_up: bool,
    /// How many clocks are open.
    pub open_clocks: usize,
    /// The first due instant.
    pub next_due: Option<Instant>,
    /// Whether the process's clock differs from the log's own time by more than the bound.
    pub clock_suspect: bool,
    /// Tickets that cannot be read: nothing of them is urged.
    pub put_aside: usize,
    /// Why the folder is not used, where it cannot be: the watchdog goes on in memory.
    pub unkept: Option<Arc<str>>,
}

/// A running watchdog. Dropping it cuts it off; [`Watchdog::stop`] lets it finish what is under way.
pub struct Watchdog {
    stop: CancellationToken,
    tasks: JoinSet<()>,
    status: watch::Receiver<Status>,
}

impl Watchdog {
    /// Starts watching; its read models are kept at this place.
    pub fn start(
        handlers: Arc<Handlers>,
        log: Arc<dyn EventLog>,
        place: impl Into<StorePlace>,
        config: Config,
    ) -> Self {
        let place = place.into();
        let stop = CancellationToken::new();
        let (told, status) = watch::channel(Status::default());
        let parts = Parts { handlers, log, config, stop: stop.clone(), told };
        let mut tasks = JoinSet::new();
        tasks.spawn(again_and_again(parts.clone(), place.join("clocks"), expedite));
        tasks.spawn(again_and_again(parts, place.join("ownership"), succeed));
        Self { stop, tasks, status }
    }

    /// How it stands.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Stops, and returns when nothing is under way any more.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(error = &error as &dyn std::error::Error, "a watchdog's loop ended badly");
            }
        }
    }
}

#[derive(Clone)]
struct Parts {
    handlers: Arc<Handlers>,
    log: Arc<dyn EventLog>,
    config: Config,
    stop: CancellationToken,
    told: watch::Sender<Status>,
}

impl Parts {
    /// Follows tickets, and the company and branches by whose rules they run.
    async fn follow(&self, from: Cursor) -> Result<Following, LogError> {
        let look_every = Duration::from_millis(self.config.log_looked_at_every_ms);
        Following::begin(self.log.clone(), watched(), from, look_every).await
    }

    /// What is lost stays so until the next start.
    fn tell_unkept(&self, unkept: Option<Arc<str>>) {
        if let Some(unkept) = unkept {
            let detail = format!(
                "看门狗的目录不能用，改在内存中工作 / the watchdog's folder cannot be used, it goes on in memory: {unkept}"
            );
            let problem = Problem::warning("folder_unusable", detail);
            self.handlers.vitals().set_problems("watchdog.folder", vec![problem]);
            self.told.send_modify(|status| status.unkept = Some(unkept));
        }
    }

    /// Stays so until the next start: somebody has to find out what the former log held.
    fn tell_replaced(&self, of_loop: &'static str, replaced: &LogError) {
        let detail = format!(
            "日志不是先前跟随的那份，看门狗已从现有日志的开头重新跟随 / the log is not the one that was followed: the watchdog follows the present one from its start ({})",
            in_one_line(replaced)
        );
        self.handlers.vitals().set_problems(of_loop, vec![Problem::warning("log_replaced", detail)]);
    }
}

/// Runs a loop until it is stopped; what fails is said, and begun again after a pause. After a disk that refuses, in
/// memory.
async fn again_and_again<F, R>(parts: Parts, place: StorePlace, run: F)
where
    F: Fn(Parts, StorePlace) -> R,
    R: Future<Output = Result<(), WatchError>>,
{
    let mut place = place;
    while !parts.stop.is_cancelled() {
        let ran = AssertUnwindSafe(run(parts.clone(), place.clone())).catch_unwind().await;
        if let Err(error) = ran.unwrap_or(Err(WatchError::Panicked)) {
            tracing::error!(error = &error as &dyn std::error::Error, %place, "the watchdog begins again");
            if let WatchError::Store(StoreError::Unavailable { .. } | StoreError::Unwritable(_)) = &error {
                parts.tell_unkept(Some(in_one_line(&error).into()));
                place = StorePlace::Memory(MemoryDisk::default(), place.to_string());
            }
            tokio::select! {
                biased;
                () = parts.stop.cancelled() => {}
                () = tokio::time::sleep(parts.config.retry_delay()) => {}
            }
        }
    }
}

/// The 催办 loop: wakes for commits and for the earliest due instant.
async fn expedite(parts: Parts, place: StorePlace) -> Result<(), WatchError> {
    let mut saving = Expendable::open(place, OpenClocks, &parts.config).await?;
    let result = expedite_from(&parts, &mut saving).await;
    // Whatever ended it: nothing is written any more when this returns.
    saving.finish().await?;
    if let Err(WatchError::Log(replaced @ LogError::Replaced { .. })) = &result {
        parts.tell_replaced(EXPEDITING, replaced);
        saving.put_aside(replaced);
    }
    result
}

/// Goes on from where the model of the open clocks is.
async fn expedite_from(parts: &Parts, saving: &mut Expendable<OpenClocks>) -> Result<(), WatchError> {
    let footing = saving.footing()?;
    let known = saving.ask(open_clocks).await?;
    let (index, parked) = known.unwrap_or_default();
    let mut expediting = Expediting::new(parts.handlers.clone(), parts.config.clone(), index);
    for (ticket, reason) in parked {
        expediting.put_aside(ticket, &SetAside(reason));
    }
    let guard = parts.handlers.clock_guard();
    parts.told.send_modify(|status| status.caught_up = false);
    let log_generation = parts.handlers.directory().log_generation();
    let mut following = parts.follow(footing).await?;
    let mut caught_up = false;
    let (pulse, mut reached) = (parts.handlers.vitals().pulse(EXPEDITING, SILENT_MAX), footing.position);
    loop {
        pulse.turn().await;
        let mut turn = Turn::default();
        if caught_up {
            turn = take_turn(parts, &mut expediting).await;
            expediting.say_put_aside();
        }
        if expediting.outstanding_moves() == 0 {
            saving.begin();
        }
        tell(parts, &expediting, saving, caught_up);
        pulse.follows(reached.raw(), caught_up);
        let next_due = expediting.index().next_due().filter(|_| caught_up && !turn.notices_wait);
        let wakes_at = next_due.map(|due_at| due_at + JUST_AFTER);
        let has_room = saving.has_room(parts.config.batch_commits_max);
        tokio::select! {
            biased;
            () = parts.stop.cancelled() => return Ok(()),
            saved = saving.finish(), if saving.is_under_way() => saved?,
            batch = following.next_batch(parts.config.batch_commits_max), if has_room => {
                let Some(batch) = batch else { return Ok(()) };
                let batch = batch?;
                caught_up = batch.caught_up;
                saving.push_from(following.log(), batch.foreign);
                for recorded in batch.commits {
                    reached = recorded.position;
                    let incoming = Incoming::decode(recorded);
                    if !is_known(parts, log_generation, &incoming).await {
                        return Ok(());
                    }
                    absorb(&mut expediting, saving, incoming);
                }
            }
            () = sleep_until(guard, wakes_at), if wakes_at.is_some() => {}
            () = std::future::ready(()), if turn.more_to_do => {}
            () = tokio::time::sleep(parts.config.retry_delay()), if turn.something_waits => {}
            () = pulse.due() => {}
        }
    }
}

/// What is left to do after one turn.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    /// At once.
    more_to_do: bool,
    /// After a pause.
    something_waits: bool,
    /// Notices are among it: the next due instant is not waited for meanwhile, it would be in vain.
    notices_wait: bool,
}

/// A slice of what is due, of what moves, and of what can be read again.
async fn take_turn(parts: &Parts, expediting: &mut Expediting) -> Turn {
    let issued = issue_due(expediting, parts.handlers.clock_guard()).await;
    let moves_before = expediting.outstanding_moves();
    let moves_left = if moves_before > 0 { expediting.move_some().await } else { 0 };
    let moves_stand_still = moves_left > 0 && moves_left == moves_before;
    let all_answered = expediting.take_back().await;
    let done = issued.notices + issued.not_overdue + issued.put_aside + issued.put_off;
    let notices_wait = issued.is_away();
    let more_notices = !notices_wait && done == parts.config.notices_in_flight_max;
    let more_moves = !moves_stand_still && expediting.outstanding_moves() > 0;
    Turn {
        more_to_do: more_notices || more_moves || (all_answered && expediting.aside().has_changed()),
        something_waits: notices_wait || moves_stand_still || !all_answered,
        notices_wait,
    }
}

/// A ticket whose commits are set aside by the model of the open clocks, and why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct SetAside(String);

type Parked = Vec<(TicketId, String)>;

/// The open clocks as they are kept; commits that were set aside are tried again, as a newer build may read them.
fn open_clocks(model: &Model<OpenClocks>) -> Result<(DeadlineIndex, Parked), StoreError> {
    model.retry_parked()?;
    let index = model.read(|rows| {
        let mut index = DeadlineIndex::default();
        for row in rows.walk::<OpenClock>(&Key::new()) {
            let (_, clock) = row?;
            index.insert(clock.ticket, &clock.branch, clock.clock, clock.cycle, clock.due_at);
        }
        Ok(index)
    })?;
    let of_ticket = |parked: ParkedEntry| {
        let ticket = ticket_of(parked.stream.as_ref()?)?;
        Some((ticket, parked.reason))
    };
    Ok((index, model.parked()?.into_iter().filter_map(of_ticket).collect()))
}

fn ticket_of(stream: &StreamId) -> Option<TicketId> {
    (stream.kind.as_str() == Ticket::KIND).then(|| stream.id.as_str().parse().ok()).flatten()
}

/// Issues what is due; while the log does not tell its time, nothing is known to be.
async fn issue_due(expediting: &mut Expediting, guard: &ClockGuard) -> Issued {
    match guard.now().await {
        Ok(now) => expediting.issue_due(now).await,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "催办 waits for the log's time");
            Issued { failed: 1, ..Issued::default() }
        }
    }
}

fn watched() -> Filter {
    let kinds =
        [Ticket::KIND, Branch::KIND, Company::KIND].into_iter().filter_map(|kind| Token::new(kind).ok());
    Filter { any_of: kinds.map(|kind| Pattern { kind: Some(kind), ..Pattern::default() }).collect() }
}

async fn sleep_until(guard: &ClockGuard, at: Option<Instant>) {
    if let Some(at) = at {
        guard.sleep_until(at).await;
    }
}

/// A change of the organisation is drawn from after the directory knows it, so that what is decided anew is decided
/// on what holds now; `false` if the directory meets another log first, and the following has to begin again.
async fn is_known(parts: &Parts, log_generation: u64, incoming: &Incoming) -> bool {
    let kind = incoming.recorded.stream.kind.as_str();
    let concerns_all = kind == Company::KIND || kind == Branch::KIND;
    let directory = parts.handlers.directory();
    !concerns_all || directory.wait_for_in(incoming.recorded.position, log_generation).await
}

fn absorb(expediting: &mut Expediting, saving: &mut Expendable<OpenClocks>, incoming: Incoming) {
    match &incoming.commit {
        Ok(commit) => expediting.absorb(commit, &branch_of(&incoming)),
        // One of company or branch is said by the directory, and what they said before holds.
        Err(error) => {
            if let Some(ticket) = ticket_of(&incoming.recorded.stream) {
                expediting.put_aside(ticket, error);
            }
        }
    }
    saving.push(incoming);
}

/// The branch that a commit concerns; a company-wide one concerns the branch `company`, which none is called.
fn branch_of(incoming: &Incoming) -> BranchId {
    let branch = BranchId::new(incoming.recorded.route.branch.as_str());
    #[expect(clippy::expect_used, reason = "a constant that fits the alphabet")]
    branch.unwrap_or_else(|_| BranchId::new("company").expect("fits the alphabet"))
}

fn tell(parts: &Parts, expediting: &Expediting, saving: &Expendable<OpenClocks>, caught_up: bool) {
    parts.told.send_modify(|status| {
        status.caught_up = caught_up;
        status.open_clocks = expediting.index().len();
        status.next_due = expediting.index().next_due();
        status.clock_suspect = parts.handlers.clock_guard().clock_suspect();
        status.put_aside = expediting.aside().len();
    });
    parts.tell_unkept(saving.lost());
    let (vitals, aside) = (parts.handlers.vitals(), expediting.aside());
    vitals.set(Reading::OpenClocks, expediting.index().len() as f64);
    vitals.set(Reading::PutAside(EXPEDITING), aside.len() as f64);
    let problem = |(ticket, reason): (TicketId, &str)| {
        let count = aside.len();
        let detail = format!(
            "{count} 张工单无法读取，其时钟不再催办，例如 {ticket} / {count} tickets cannot be read and are not urged, such as {ticket}: {reason}"
        );
        Problem::warning("tickets_put_aside", detail)
    };
    vitals.set_problems("watchdog.aside", aside.iter().next().map(problem).into_iter().collect());
}

/// The succession's loop: one commit after the other, each drawn from before the cursor passes it.
async fn succeed(parts: Parts, place: StorePlace) -> Result<(), WatchError> {
    let (saving, lost) = Saving::open_anywhere(place, Ownership, &parts.config).await?;
    parts.tell_unkept(lost);
    let mut succession = Succession::new(parts.handlers.clone(), saving);
    let log_generation = parts.handlers.directory().log_generation();
    // A newer build may read what was set aside: what follows from it is drawn before it is folded.
    for incoming in succession.take_parked()? {
        if !draw(&parts, log_generation, &mut succession, &incoming).await? {
            return Ok(());
        }
        succession.note(&incoming)?;
    }
    succession.retry_parked()?;
    let result = succeed_from(&parts, log_generation, &mut succession).await;
    if let Err(WatchError::Log(replaced @ LogError::Replaced { .. })) = &result {
        parts.tell_replaced(SUCCESSION, replaced);
        succession.put_aside(replaced);
    }
    result
}

async fn succeed_from(
    parts: &Parts,
    log_generation: u64,
    succession: &mut Succession,
) -> Result<(), WatchError> {
    let footing = succession.footing()?;
    let mut drawn_up_to = footing.position;
    let mut following = parts.follow(footing).await?;
    let pulse = parts.handlers.vitals().pulse(SUCCESSION, SILENT_MAX);
    while let Some(batch) = pulse.idle(next_or_stop(parts, &mut following)).await {
        let batch = batch?;
        succession.push_from(following.log(), batch.foreign);
        for recorded in batch.commits {
            pulse.turn().await;
            if recorded.position <= drawn_up_to {
                // Redelivered: acting on it now would use a later state.
                continue;
            }
            drawn_up_to = recorded.position;
            let incoming = Incoming::decode(recorded);
            for released in succession.released_by(&incoming).await? {
                if !draw(parts, log_generation, succession, &released).await? {
                    return Ok(());
                }
                succession.note(&released)?;
            }
            // A consequence is drawn from the state just before its cause.
            if !draw(parts, log_generation, succession, &incoming).await? {
                return Ok(());
            }
            succession.absorb(incoming)?;
        }
        succession.save().await?;
        pulse.follows(drawn_up_to.raw(), true);
    }
    Ok(())
}

async fn next_or_stop(parts: &Parts, following: &mut Following) -> Option<Result<Batch, LogError>> {
    tokio::select! {
        biased;
        () = parts.stop.cancelled() => None,
        batch = following.next_batch(parts.config.batch_commits_max) => batch,
    }
}

/// Draws a commit's consequences, again and again while the log is away; `false` when stopped meanwhile, or when the
/// directory meets another log, and the following has to begin again.
async fn draw(
    parts: &Parts,
    log_generation: u64,
    succession: &mut Succession,
    incoming: &Incoming,
) -> Result<bool, WatchError> {
    if !succession.is_to_be_drawn(incoming) {
        return Ok(true);
    }
    let Ok(commit) = &incoming.commit else { return Ok(true) };
    if !is_known(parts, log_generation, incoming).await {
        return Ok(false);
    }
    loop {
        match succession.consequences(commit, &branch_of(incoming)).await {
            Ok(()) => return Ok(true),
            Err(SuccessionError::Keeping(error)) => return Err(error),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a succession waits for the log");
            }
        }
        tokio::select! {
            biased;
            () = parts.stop.cancelled() => return Ok(false),
            () = tokio::time::sleep(parts.config.retry_delay()) => {}
        }
    }
}
