//! Every read model equals a fold from zero, byte for byte.

use cuiban_event_log::Stored;
use cuiban_projector::{
    FedFrom, Incoming, MemoryDisk, Model, Notices, OpenClocks, OpenClocksByDue, Projection, RawRow, Store,
    StoreError, StorePlace, Tickets, Timelines,
};

use super::Evidence;
use crate::simulate::process::Role;

/// A read model's rows, and how far it had come.
#[derive(PartialEq, Eq)]
struct Folded {
    rows: Vec<RawRow>,
    cursor: u64,
}

pub(super) fn compare(evidence: &Evidence<'_>) -> Vec<String> {
    compared(evidence, &Fed::of(evidence.stored, |_| true))
        .unwrap_or_else(|error| vec![format!("a read model cannot be read: {error}")])
}

/// What a model is fed with.
struct Fed {
    commits: Vec<Incoming>,
    from: FedFrom,
}

impl Fed {
    /// The commits of these kinds of streams, and whatever is none of ours.
    fn of(stored: &[Stored], is_wanted: impl Fn(&str) -> bool) -> Self {
        let mut fed = Self { commits: Vec::new(), from: FedFrom::default() };
        for stored in stored {
            match stored.clone() {
                Stored::Commit(commit) if is_wanted(commit.stream.kind.as_str()) => {
                    fed.commits.push(Incoming::decode(commit));
                }
                Stored::Commit(_) => {}
                Stored::Foreign(foreign) => fed.from.foreign.push(foreign),
            }
        }
        fed
    }
}

fn compared(evidence: &Evidence<'_>, fed: &Fed) -> Result<Vec<String>, StoreError> {
    let places = |role: Role| {
        let kept = evidence.processes.iter().filter(|process| !process.was_unkept());
        let of_role = kept.filter(move |process| process.role == role);
        of_role.map(|process| (process.name.clone(), process.place())).collect::<Vec<_>>()
    };
    let clocks = |(name, place): (String, StorePlace)| (name, place.join("clocks"));
    let offices = places(Role::Office);
    let watchdogs: Vec<_> = places(Role::Watchdog).into_iter().map(clocks).collect();
    Ok([
        differing(&Tickets, &offices, fed)?,
        differing(&Timelines, &offices, fed)?,
        differing(&Notices, &offices, fed)?,
        differing(&OpenClocksByDue, &offices, fed)?,
        differing(&OpenClocks, &watchdogs, &watched(evidence.stored))?,
    ]
    .concat())
}

/// What a watchdog follows: everything of tickets, company and branches.
fn watched(stored: &[Stored]) -> Fed {
    Fed::of(stored, |kind| ["ticket", "company", "branch"].contains(&kind))
}

fn differing<P: Projection + Clone>(
    projection: &P,
    places: &[(String, StorePlace)],
    fed: &Fed,
) -> Result<Vec<String>, StoreError> {
    let fresh = StorePlace::Memory(MemoryDisk::default(), "fresh".to_owned());
    let fresh = folded(projection.clone(), fresh, fed)?;
    let mut violations = Vec::new();
    for (process, place) in places {
        let kept = folded(projection.clone(), place.clone(), &Fed::of(&[], |_| true))?;
        if kept.cursor != fresh.cursor {
            let (here, head) = (kept.cursor, fresh.cursor);
            violations.push(format!("{} of {process} stand at {here}, the log ends at {head}", P::NAME));
        } else if kept != fresh {
            violations.push(format!("{} of {process} are not what a fold from zero gives", P::NAME));
        }
    }
    Ok(violations)
}

fn folded<P: Projection>(projection: P, place: StorePlace, fed: &Fed) -> Result<Folded, StoreError> {
    let store = Store::open(place)?;
    let model = Model::open(&store, projection)?;
    model.apply_from(&fed.commits, &fed.from)?;
    Ok(Folded { rows: model.dump()?, cursor: model.cursor()?.raw() })
}
