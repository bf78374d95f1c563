//! Each alert of the log arrived, under one id, and nothing else did.

use std::collections::{BTreeMap, BTreeSet};

use cuiban_domain::Instant;
use uuid::Uuid;

use super::Evidence;

/// An alert as the log gives it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alert {
    pub(super) id: Uuid,
    pub(super) stored_at: Instant,
}

/// How long an alert may be under way when all is well.
const UNDER_WAY_MAX: chrono::TimeDelta = chrono::TimeDelta::minutes(2);

/// After how many attempts an alert may be given up.
const ATTEMPTS_MAX: u32 = 16;

/// How an alert ended by its own record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Delivered,
    /// In this attempt.
    GivenUp(u32),
}

pub(super) fn compare(
    evidence: &Evidence<'_>,
    alerts: &[Alert],
    ended: &BTreeMap<Uuid, Ended>,
) -> Vec<String> {
    let known: BTreeSet<Uuid> = alerts.iter().map(|alert| alert.id).collect();
    let mut violations = Vec::new();
    if known.len() != alerts.len() {
        violations.push("two alerts have one id".to_owned());
    }
    let mut arrived = BTreeSet::new();
    for message in evidence.arrived {
        if message.alerts.iter().all(|alert| *alert != message.id) && message.alerts.len() == 1 {
            violations.push(format!("alert {} arrived as {}", message.alerts[0], message.id));
        }
        arrived.extend(message.alerts.iter().copied());
    }
    for ghost in arrived.difference(&known) {
        violations.push(format!("alert {ghost} arrived, and the log knows nothing of it"));
    }
    let late = |alert: &&Alert| alert.stored_at + UNDER_WAY_MAX < evidence.judged_at;
    for Alert { id, stored_at } in alerts.iter().filter(late) {
        match ended.get(id) {
            None => violations.push(format!("alert {id}, stored at {stored_at}, has no end")),
            Some(Ended::Delivered) if !arrived.contains(id) => {
                violations.push(format!("alert {id} is recorded as delivered, and never arrived"));
            }
            Some(Ended::GivenUp(attempt)) if *attempt < ATTEMPTS_MAX => {
                violations.push(format!("alert {id} was given up in attempt {attempt}"));
            }
            Some(_) => {}
        }
    }
    violations
}
