//! Each fold, fed everything twice and in different slices, and against the domain's own fold.

use std::collections::{BTreeMap, BTreeSet};

use cuiban_domain::ids::TicketId;
use cuiban_domain::sla::{Clock, ClockKind, ClockState};
use cuiban_domain::ticket::{Lifecycle, Stage, Ticket};
use cuiban_domain::{Aggregate, Event, Instant};
use cuiban_event_log::RecordedCommit;
use cuiban_projector::{
    ClockRow, ClockStanding, FIRST_TABLE, Key, Model, Notices, OpenClock, OpenClocks, OpenClocksByDue,
    Projection, RawRow, Scope, TicketLifecycle, TicketRow, Tickets, Timelines, WorkStage,
};

use crate::feeding::{bench, decode, rows_after};
use crate::history::{BRANCHES, History, branch};

fn the_same_bytes_however_it_is_fed<P: Projection + Copy>(projection: P, commits: &[RecordedCommit]) {
    let incoming = decode(commits);
    let at_once = rows_after(projection, &incoming, incoming.len(), 1);
    assert!(!at_once.is_empty());
    for (batch, times) in [(1, 2), (7, 2), (1000, 2)] {
        let rows = rows_after(projection, &incoming, batch, times);
        assert!(rows == at_once, "{} differs in batches of {batch}", P::NAME);
    }
}

#[tokio::test]
async fn every_fold_gives_the_same_bytes_however_it_is_fed() {
    let commits = History::drawn(1, 700).await.commits();
    the_same_bytes_however_it_is_fed(Tickets, &commits);
    the_same_bytes_however_it_is_fed(Timelines, &commits);

    the_same_bytes_however_it_is_fed(Notices, &commits);
    the_same_bytes_however_it_is_fed(OpenClocks, &commits);
    the_same_bytes_however_it_is_fed(OpenClocksByDue, &commits);
}

#[tokio::test]
async fn a_fold_that_is_fed_anew_skips_what_it_has_seen() {
    let incoming = decode(&History::drawn(2, 100).await.commits());
    let bench = bench();
    let model = Model::open(&bench.store, Tickets).unwrap();
    assert_eq!(model.apply(&incoming).unwrap().folded, incoming.len());
    let again = model.apply(&incoming).unwrap();
    assert_eq!((again.folded, again.skipped), (0, incoming.len()));
    assert_eq!(model.cursor().unwrap(), incoming.last().unwrap().recorded.position);
}

/// The tickets as the domain folds them.
fn domain_states(commits: &[RecordedCommit]) -> BTreeMap<TicketId, Ticket> {
    let mut states = BTreeMap::<TicketId, Ticket>::new();
    for incoming in decode(commits) {
        let commit = incoming.commit.unwrap();
        for event in &commit.events {
            let Event::Ticket(event) = event else { continue };
            let ticket = commit.envelope.stream_id.parse().unwrap();
            states.entry(ticket).or_default().evolve(event, commit.envelope.happened);
        }
    }
    states
}

/// What a clock's row has to say of the domain's clock.
fn as_row(clock: &Clock) -> (ClockStanding, Option<cuiban_domain::Instant>) {
    match clock.state {
        ClockState::Running { due_at } => (ClockStanding::Running, Some(due_at)),
        ClockState::Paused { .. } => (ClockStanding::Paused, None),
        ClockState::Met { at, .. } => (ClockStanding::Met, Some(at)),
        ClockState::Breached { due_at, ended_at: None } => (ClockStanding::Breached, Some(due_at)),
        ClockState::Breached { ended_at, .. } => (ClockStanding::BreachEnded, ended_at),
        ClockState::Cancelled => (ClockStanding::Cancelled, None),
    }
}

fn of_row(row: &ClockRow) -> (ClockStanding, Option<cuiban_domain::Instant>) {
    let at = match row.standing {
        ClockStanding::Running | ClockStanding::Breached => row.due_at,
        ClockStanding::Met | ClockStanding::BreachEnded => row.ended_at,
        ClockStanding::Paused | ClockStanding::Cancelled => None,
    };
    (row.standing, at)
}

fn assert_is(row: &TicketRow, state: &Ticket) {
    let lifecycle = match state.lifecycle {
        Lifecycle::Absent => panic!("{} was never registered", row.number),
        Lifecycle::Open => TicketLifecycle::Open,
        Lifecycle::Closed => TicketLifecycle::Closed,
        Lifecycle::Cancelled => TicketLifecycle::Cancelled,
        Lifecycle::Merged => TicketLifecycle::Merged,
    };
    let stage = match state.stage {
        Stage::Waiting => WorkStage::Waiting,
        Stage::Dispatched => WorkStage::Dispatched,
        Stage::Arrived => WorkStage::Arrived,
        Stage::Fixed => WorkStage::Fixed,
    };
    assert_eq!((row.lifecycle, row.stage, row.cycle), (lifecycle, stage, state.cycle), "{}", row.number);
    assert_eq!(Some(&row.branch), state.branch());
    assert_eq!((&row.technician, &row.handler), (&state.technician, &state.handler));
    assert_eq!((row.responded_at, row.needs_visit), (state.responded_at, state.needs_visit));
    assert_eq!(row.clocks.len(), state.clocks.len());
    for (row, clock) in row.clocks.iter().zip(&state.clocks) {
        assert_eq!((row.clock, row.cycle, row.limit), (clock.kind, clock.cycle, clock.limit));
        assert_eq!(of_row(row), as_row(clock));
        assert_eq!((row.consumed, row.running_since), (clock.consumed, clock.running_since));
        assert_eq!((row.started_at, &row.notices), (clock.started_at, &clock.notices));
    }
}

#[tokio::test]
async fn a_tickets_row_and_its_open_clocks_are_what_the_domain_folds() {
    let mut seen = BTreeSet::new();
    for seed in 10..16 {
        let commits = History::drawn(seed, 500).await.commits();
        let (incoming, states) = (decode(&commits), domain_states(&commits));
        let bench = bench();
        let tickets = Model::open(&bench.store, Tickets).unwrap();
        let clocks = Model::open(&bench.store, OpenClocks).unwrap();
        assert_eq!(tickets.apply(&incoming).unwrap().parked, 0);
        assert_eq!(clocks.apply(&incoming).unwrap().parked, 0);
        let rows = tickets.scan::<TicketRow>(&Key::new(), None, usize::MAX).unwrap();
        assert_eq!(rows.len(), states.len());
        for (_, row) in &rows {
            assert_is(row, &states[&row.ticket]);
            assert_eq!(row.paused_since, states[&row.ticket].paused_since);
        }
        let open = clocks.scan::<OpenClock>(&Key::new(), None, usize::MAX).unwrap();
        let open: Vec<_> =
            open.iter().map(|(_, row)| (row.ticket, row.clock, row.cycle, row.due_at)).collect();
        let mut expected = Vec::new();
        for (ticket, state) in &states {
            for clock in &state.clocks {
                seen.insert(format!("{:?}", of_row_kind(clock)));
                match clock.state {
                    ClockState::Running { due_at } => {
                        expected.push((*ticket, clock.kind, clock.cycle, Some(due_at)))
                    }
                    ClockState::Paused { .. } => expected.push((*ticket, clock.kind, clock.cycle, None)),
                    _ => {}
                }
            }
        }
        expected.sort();
        assert_eq!(open, expected);
        // The index by due instant has the running ones, each once.
        let indexed = Model::open(&bench.store, OpenClocksByDue).unwrap();
        assert_eq!(indexed.apply(&incoming).unwrap().parked, 0);
        let table = FIRST_TABLE + 2;
        let of_index = |row: &RawRow| (row.0[0] == table).then(|| row.0[1..].to_vec());
        let index: Vec<_> = indexed.dump().unwrap().iter().filter_map(of_index).collect();
        let key = |(ticket, clock, cycle, due_at): (TicketId, ClockKind, u32, Option<Instant>)| {
            let key = Key::new().earliest_first(due_at?).id(ticket.0).byte(clock as u8).number(cycle.into());
            Some(key.as_bytes().to_vec())
        };
        let mut running: Vec<_> = expected.into_iter().filter_map(key).collect();
        running.sort();
        assert_eq!(index, running);
    }
    assert_eq!(seen.len(), 6, "the histories are too tame: {seen:?}");
}

fn of_row_kind(clock: &Clock) -> ClockStanding {
    as_row(clock).0
}

#[tokio::test]
async fn a_branch_that_follows_only_its_own_has_the_same_rows_of_its_tickets() {
    for seed in 20..24 {
        let commits = History::drawn(seed, 500).await.commits();
        let states = domain_states(&commits);
        for own in BRANCHES.iter().map(|id| branch(id)) {
            let filter = Scope::filter_of([&own]).unwrap();
            let scope = Scope::of(&filter);
            let heard: Vec<_> = commits
                .iter()
                .filter(|commit| filter.matches(&commit.stream, &commit.route))
                .cloned()
                .collect();
            let incoming = decode(&heard);
            let bench = bench();
            let tickets = Model::open_scoped(&bench.store, Tickets, scope.clone()).unwrap();
            let clocks = Model::open_scoped(&bench.store, OpenClocks, scope.clone()).unwrap();
            let notices = Model::open_scoped(&bench.store, Notices, scope.clone()).unwrap();
            let timelines = Model::open_scoped(&bench.store, Timelines, scope).unwrap();
            let parked = [
                tickets.apply(&incoming).unwrap().parked,
                clocks.apply(&incoming).unwrap().parked,
                notices.apply(&incoming).unwrap().parked,
                timelines.apply(&incoming).unwrap().parked,
            ];
            assert_eq!(parked, [0; 4]);
            let rows = tickets.scan::<TicketRow>(&Key::new(), None, usize::MAX).unwrap();
            let ours: BTreeMap<_, _> =
                rows.iter().filter(|(_, row)| row.branch == own).map(|(_, row)| (row.ticket, row)).collect();
            let expected = states.iter().filter(|(_, state)| state.branch() == Some(&own));
            let mut open_expected = 0;
            for (ticket, state) in expected {
                assert_is(ours[ticket], state);
                let may_break = |clock: &&Clock| {
                    matches!(clock.state, ClockState::Running { .. } | ClockState::Paused { .. })
                };
                open_expected += state.clocks.iter().filter(may_break).count();
            }
            let open = clocks.scan::<OpenClock>(&Key::new(), None, usize::MAX).unwrap();
            assert!(open.iter().all(|(_, clock)| clock.branch == own));
            assert_eq!(open.len(), open_expected);
            let gone = rows.iter().filter(|(_, row)| row.branch != own);
            gone.for_each(|(_, row)| assert_eq!(row.lifecycle, TicketLifecycle::HandedOver));
        }
    }
}
