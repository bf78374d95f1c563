//! What an open clock costs in memory: the deadline index alone, as the system counts the process's pages.

use chrono::DateTime;
use cuiban_domain::ids::{BranchId, TicketId};
use cuiban_domain::sla::ClockKind;
use cuiban_watchdog::DeadlineIndex;
use std::time::Duration;
use uuid::Uuid;

use crate::figure::failed;
use crate::machine::resident_kib;
use crate::{BenchError, Figure, Goal};

const TICKETS: u32 = 500_000;
const CLOCKS: [ClockKind; 2] = [ClockKind::Response, ClockKind::Dispatch];

/// Bytes an open clock in the index, at a million of them.
pub(crate) fn in_memory(rounds: u32) -> Result<Figure, BenchError> {
    let what = "an open clock in memory, 1 M in the index";
    let branch = BranchId::new("B0").map_err(failed(what))?;
    let unseen = || failed(what)("the system does not tell how much memory is held");
    // All are kept until the end, so that none is built from what another gave back.
    let (mut kept, mut bytes) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let before = resident_kib().ok_or_else(unseen)?;
        kept.push(index(&branch));
        let after = resident_kib().ok_or_else(unseen)?;
        let clocks = u64::from(TICKETS) * CLOCKS.len() as u64;
        bytes.push((after.saturating_sub(before) * 1024) as f64 / clocks as f64);
    }
    let whole = kept.iter().all(|index| index.len() == TICKETS as usize * CLOCKS.len());
    if !whole {
        return Err(failed(what)("the index lost clocks"));
    }
    Ok(Figure::new(what, "bytes each", bytes).goal(Goal::AtMost(100.0)))
}

/// As a day's calls fill it: tickets in order of their ids, due instants that are not.
fn index(branch: &BranchId) -> DeadlineIndex {
    let mut index = DeadlineIndex::default();
    for n in 0..TICKETS {
        let random = Uuid::new_v5(&Uuid::NAMESPACE_OID, &n.to_be_bytes());
        let bits = (u128::from(n) << 64) | (random.as_u128() >> 64);
        let spread_s = u64::from(random.as_u128() as u32 % 86_400);
        for (kind, hours) in CLOCKS.into_iter().zip([24, 6]) {
            let due_at = DateTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + hours * 3_600 + spread_s);
            index.insert(TicketId(Uuid::from_u128(bits)), branch, kind, 1, Some(due_at));
        }
    }
    index
}
