//! Every read model equals a fold from zero, byte for byte.

use cuiban_event_log::RecordedCommit;
use cuiban_projector::{
    Incoming, MemoryDisk, Model, Notices, OpenClocks, OpenClocksByDue, Projection, RawRow, Store, StoreError,
    StorePlace, Tickets, Timelines,
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
    let incoming: Vec<_> = evidence.commits.iter().cloned().map(Incoming::decode).collect();
    compared(evidence, &incoming)
        .unwrap_or_else(|error| vec![format!("a read model cannot be read: {error}")])
}

fn compared(evidence: &Evidence<'_>, incoming: &[Incoming]) -> Result<Vec<String>, StoreError> {
    let places = |role: Role| {
        let of_role = evidence.processes.iter().filter(move |process| process.role == role);
        of_role.map(|process| (process.name.clone(), process.place())).collect::<Vec<_>>()
    };
    let clocks = |(name, place): (String, StorePlace)| (name, place.join("clocks"));
    let offices = places(Role::Office);
    let watchdogs: Vec<_> = places(Role::Watchdog).into_iter().map(clocks).collect();
    Ok([
        differing(&Tickets, &offices, incoming)?,
        differing(&Timelines, &offices, incoming)?,
        differing(&Notices, &offices, incoming)?,
        differing(&OpenClocksByDue, &offices, incoming)?,
        differing(&OpenClocks, &watchdogs, &watched(incoming))?,
    ]
    .concat())
}

/// What a watchdog follows: everything of tickets, company and branches.
fn watched(incoming: &[Incoming]) -> Vec<Incoming> {
    let kind = |recorded: &RecordedCommit| recorded.stream.kind.to_string();
    let is_watched =
        |one: &&Incoming| ["ticket", "company", "branch"].contains(&kind(&one.recorded).as_str());
    incoming.iter().filter(is_watched).map(|one| Incoming::decode(one.recorded.clone())).collect()
}

fn differing<P: Projection + Clone>(
    projection: &P,
    places: &[(String, StorePlace)],
    incoming: &[Incoming],
) -> Result<Vec<String>, StoreError> {
    let fresh = StorePlace::Memory(MemoryDisk::default(), "fresh".to_owned());
    let fresh = folded(projection.clone(), fresh, incoming)?;
    let mut violations = Vec::new();
    for (process, place) in places {
        let kept = folded(projection.clone(), place.clone(), &[])?;
        if kept.cursor != fresh.cursor {
            let (here, head) = (kept.cursor, fresh.cursor);
            violations.push(format!("{} of {process} stand at {here}, the log ends at {head}", P::NAME));
        } else if kept != fresh {
            violations.push(format!("{} of {process} are not what a fold from zero gives", P::NAME));
        }
    }
    Ok(violations)
}

fn folded<P: Projection>(
    projection: P,
    place: StorePlace,
    incoming: &[Incoming],
) -> Result<Folded, StoreError> {
    let store = Store::open(place)?;
    let model = Model::open(&store, projection)?;
    model.apply(incoming)?;
    Ok(Folded { rows: model.dump()?, cursor: model.cursor()?.raw() })
}
