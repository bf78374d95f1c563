//! Sending an alert again by hand: an operator puts the wish into the record, and the notifier that holds the lease pushes it.

use cuiban_domain::Instant;

use crate::board::Standing;
use crate::port::{Deliveries, PutError, Version, put_surely};
use crate::record::{Delivery, DeliveryState, MessageId, Record};

/// Asks that an alert be sent again through the channel on which it stands so; answers the record that asks.
///
/// Of a digest it is the whole digest, unless `message` is one of its alerts: then that one goes by itself. What is on
/// its way already, or asked for, is left as it is.
pub async fn send_again(
    deliveries: &dyn Deliveries,
    standing: &Standing,
    message: MessageId,
    now: Instant,
) -> Result<Delivery, PutError> {
    let before = &standing.delivery;
    if !before.state.is_settled() {
        return Ok(before.clone());
    }
    let is_part = message != before.message;
    let asked = Delivery {
        message,
        alerts: if is_part { vec![message.id] } else { before.alerts.clone() },
        state: DeliveryState::Asked { maybe_arrived: before.state.may_have_arrived() },
        asked_at: Some(now),
        at: now,
        ..before.clone()
    };
    let expected: Option<Version> = (!is_part).then_some(standing.version);
    put_surely(deliveries, &Record::Delivery(asked.clone()), expected).await.map(|_| asked)
}
