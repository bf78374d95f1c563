//! Each alert of the log arrived, under one id, no more often than its record says, and nothing else did.

use std::collections::{BTreeMap, BTreeSet};

use cuiban_deliveries::{Delivery, DeliveryState, MessageId, Record};
use cuiban_domain::Instant;
use uuid::Uuid;

use super::Evidence;
use crate::simulate::receiver::Arrived;

/// An alert as the log gives it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alert {
    pub(super) id: Uuid,
    pub(super) stored_at: Instant,
    pub(super) superseded: bool,
}

/// How long an alert may be under way when all is well.
const UNDER_WAY_MAX: chrono::TimeDelta = chrono::TimeDelta::minutes(2);
/// After how long an alert may be given up.
const GIVEN_UP_AFTER: chrono::TimeDelta = chrono::TimeDelta::hours(72);

/// How long after its return a receiver has everything that it has missed.
const MADE_UP_FOR_WITHIN: chrono::TimeDelta = chrono::TimeDelta::minutes(1);
/// How long an alert is on its way when nothing holds it up.
const PUSHED_WITHIN: chrono::TimeDelta = chrono::TimeDelta::seconds(5);

/// `lost` are alerts of which the log knows nothing any more, as it was restored.
pub(super) fn compare(evidence: &Evidence<'_>, alerts: &[Alert], lost: &BTreeSet<Uuid>) -> Vec<String> {
    let known: BTreeSet<Uuid> = alerts.iter().map(|alert| alert.id).collect();
    let mut violations = Vec::new();
    if known.len() != alerts.len() {
        violations.push("two alerts have one id".to_owned());
    }
    let (mut arrived, mut times) = (BTreeSet::new(), BTreeMap::<MessageId, u32>::new());
    for message in evidence.arrived {
        if message.alerts.len() == 1 && message.alerts[0] != message.id.id {
            violations.push(format!("alert {} arrived as {}", message.alerts[0], message.id));
        }
        *times.entry(message.id).or_default() += 1;
        arrived.extend(message.alerts.iter().copied());
    }
    violations.extend(twice(evidence.arrived));
    violations.extend(missed(evidence, alerts));
    for ghost in arrived.difference(&known).filter(|ghost| !lost.contains(ghost)) {
        violations.push(format!("alert {ghost} arrived, and the log knows nothing of it"));
    }
    let deliveries: Vec<&Delivery> = evidence
        .deliveries
        .iter()
        .filter_map(|stored| match &stored.record {
            Record::Delivery(delivery) => Some(delivery),
            Record::Channel(_) | Record::Lease(_) | Record::Unreadable(_) => None,
        })
        .collect();
    for (message, times) in times {
        let begun = deliveries.iter().find(|delivery| delivery.message == message);
        let attempts = begun.map_or(0, |delivery| delivery.attempts);
        if times > attempts && known.contains(&message.id) {
            violations.push(format!("message {message} arrived {times} times in {attempts} attempts"));
        }
    }
    violations.extend(ends(evidence, alerts, (&deliveries, &arrived), lost));
    violations
}

/// What was sent again without saying that it may have been there already. The first that was sent cannot know of another,
/// and a slow receiver takes it in last.
fn twice(arrived: &[Arrived]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut violations = Vec::new();
    let mut sent: Vec<&Arrived> = arrived.iter().collect();
    sent.sort_by_key(|message| message.sent_at);
    for message in sent {
        for alert in &message.alerts {
            if !seen.insert((*alert, message.id.withdrawn)) && !message.maybe_twice {
                let (id, at) = (message.id, message.at);
                violations.push(format!("alert {alert} came again with {id} at {at}, and did not say so"));
            }
        }
    }
    violations
}

/// What a receiver that was away had not got soon after its return, while nothing else went wrong.
fn missed(evidence: &Evidence<'_>, alerts: &[Alert]) -> Vec<String> {
    let Some((from, until)) = evidence.receiver_away else { return Vec::new() };
    let of_then = alerts.iter().filter(|alert| !alert.superseded && (from..until).contains(&alert.stored_at));
    let late = of_then.filter_map(|alert| {
        let first = evidence.arrived.iter().find(|message| message.alerts.contains(&alert.id));
        let at = first.map(|message| message.at);
        let in_time = at.is_some_and(|at| at <= until + MADE_UP_FOR_WITHIN + PUSHED_WITHIN);
        (!in_time).then(|| format!("alert {}, missed until {until}, was made up for at {at:?}", alert.id))
    });
    late.collect()
}

/// How each alert ended by the record.
fn ends(
    evidence: &Evidence<'_>,
    alerts: &[Alert],
    (deliveries, arrived): (&[&Delivery], &BTreeSet<Uuid>),
    lost: &BTreeSet<Uuid>,
) -> Vec<String> {
    let mut by_alert: BTreeMap<Uuid, &Delivery> = BTreeMap::new();
    for delivery in deliveries.iter().filter(|delivery| !delivery.message.withdrawn) {
        for alert in &delivery.alerts {
            by_alert.insert(*alert, delivery);
        }
    }
    let late = |alert: &&Alert| alert.stored_at + UNDER_WAY_MAX < evidence.judged_at;
    let end = |alert: &Alert| {
        let Alert { id, stored_at, superseded } = alert;
        match by_alert.get(id).map(|delivery| &delivery.state) {
            None => Some(format!("alert {id}, stored at {stored_at}, has no end")),
            Some(DeliveryState::Delivered) if !arrived.contains(id) => {
                Some(format!("alert {id} is recorded as delivered, and never arrived"))
            }
            Some(DeliveryState::GivenUp { .. }) if *stored_at + GIVEN_UP_AFTER > evidence.judged_at => {
                Some(format!("alert {id}, stored at {stored_at}, was given up too soon"))
            }
            Some(DeliveryState::Withdrawn { .. }) if !superseded && !lost.contains(id) => {
                Some(format!("alert {id} was withdrawn, and nothing superseded it"))
            }
            Some(
                DeliveryState::Delivered | DeliveryState::GivenUp { .. } | DeliveryState::Withdrawn { .. },
            ) => None,
            Some(state) => Some(format!("alert {id}, stored at {stored_at}, is {state:?}")),
        }
    };
    alerts.iter().filter(late).filter_map(end).collect()
}

#[cfg(test)]
mod tests {
    use cuiban_deliveries::MessageId;

    use super::*;

    fn evidence(arrived: &[Arrived]) -> Evidence<'_> {
        static NONE: BTreeSet<[u8; 32]> = BTreeSet::new();
        Evidence {
            stored: &[],
            stored_at: &[],
            lost: &[],
            intruded: &NONE,
            acknowledged: &[],
            arrived,
            receiver_away: None,
            deliveries: &[],
            processes: &[],
            quiet_since: Instant::UNIX_EPOCH,
            judged_at: Instant::UNIX_EPOCH,
        }
    }

    fn arrived(alert: u128, maybe_twice: bool) -> Arrived {
        let alert = Uuid::from_u128(alert);
        let at = Instant::UNIX_EPOCH;
        Arrived { id: MessageId::of(alert), alerts: vec![alert], maybe_twice, sent_at: at, at }
    }

    #[test]
    fn an_alert_that_the_log_does_not_hold_is_a_ghost_unless_it_was_lost_with_the_log() {
        let messages = [arrived(1, false)];
        let ghosts = compare(&evidence(&messages), &[], &BTreeSet::new());
        assert!(matches!(&ghosts[..], [one] if one.contains("the log knows nothing of it")), "{ghosts:?}");
        assert!(compare(&evidence(&messages), &[], &BTreeSet::from([Uuid::from_u128(1)])).is_empty());
    }

    #[test]
    fn what_comes_again_has_to_say_so() {
        assert!(twice(&[arrived(1, false), arrived(2, false), arrived(1, true)]).is_empty());
        assert_eq!(twice(&[arrived(1, false), arrived(1, false)]).len(), 1);
        let later = |message: Arrived| Arrived { sent_at: message.sent_at + MADE_UP_FOR_WITHIN, ..message };
        assert!(twice(&[later(arrived(1, true)), arrived(1, false)]).is_empty(), "it was sent first");
        assert_eq!(twice(&[arrived(1, true), later(arrived(1, false))]).len(), 1);
        assert_eq!(twice(&[later(arrived(1, false)), arrived(1, false)]).len(), 1);
    }
}
