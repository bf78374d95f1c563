//! What is wrong with the channels, said among the process's problems; and what they need, made.

use std::sync::Arc;
use std::time::Duration;

use chrono::SecondsFormat;
use cuiban_command_handler::Handlers;
use cuiban_deliveries::Deliveries;
use cuiban_domain::Instant;
use cuiban_projector::{Quarantined, Store};
use cuiban_vitals::Problem;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::channel::{Channel, PushError};
use crate::lane::ChannelStatus;

/// How often it is looked how the channels stand.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After how many looks a channel is made ready again.
const MADE_READY_EVERY: u32 = 6;
/// How long making ready may take.
const MADE_READY_WITHIN: Duration = Duration::from_secs(10);
/// How long an alert may wait before the notifier warns of it: longer than a lease that outlives its holder.
const WAITING_MAX: Duration = Duration::from_secs(60);
/// How many looks the record of deliveries may stay unheard.
const UNHEARD_LOOKS_MAX: u32 = 3;

/// A channel that is looked at.
pub(crate) struct Watched {
    pub(crate) channel: Arc<dyn Channel>,
    pub(crate) status: watch::Receiver<ChannelStatus>,
}

/// What is looked at: the outbox's store, the record of deliveries, the channels.
pub(crate) struct Looking {
    pub(crate) handlers: Arc<Handlers>,
    pub(crate) outbox: Store,
    pub(crate) deliveries: Arc<dyn Deliveries>,
    pub(crate) watched: Vec<Watched>,
}

/// Looks until `stop`. Without anybody to tell it makes the channels ready once.
pub(crate) async fn keep_looking(looking: Looking, stop: CancellationToken) {
    let Looking { handlers, outbox, deliveries, watched } = looking;
    let looking = async {
        let (mut lacking, mut looks) = (Vec::new(), 0);
        loop {
            if looks % MADE_READY_EVERY == 0 {
                lacking = make_ready(&watched).await;
                lacking.extend(settings(&*deliveries).await);
            }
            if handlers.vitals().role().is_none() {
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
            looks += 1;
            let mut found = lacking.clone();
            let now = handlers.clock().now();
            for Watched { status, .. } in &watched {
                let status = status.borrow();
                found.extend(waiting(&status, now).into_iter().chain(unheard(&status, looks)));
                found.extend(lost(&status));
            }
            found.extend(anew(&outbox.quarantined()));
            handlers.vitals().set_problems("notifier.channels", found);
        }
    };
    stop.run_until_cancelled(looking).await;
}

async fn make_ready(watched: &[Watched]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for Watched { channel, .. } in watched {
        let made = tokio::time::timeout(MADE_READY_WITHIN, channel.make_ready()).await;
        let made = made.unwrap_or_else(|_| Err(PushError::unavailable("no answer in time")));
        if let Err(error) = made {
            let id = channel.id();
            let said =
                format!("通道 {id} 尚不能推送：{error} / the channel {id} cannot take alerts: {error}");
            problems.push(Problem::warning("channel_unready", said));
        }
    }
    problems
}

/// Settings of the record of deliveries, changed by somebody else, under which alerts go twice or not at all.
async fn settings(deliveries: &dyn Deliveries) -> Option<Problem> {
    let asked = tokio::time::timeout(MADE_READY_WITHIN, deliveries.differing_settings()).await;
    // A record that does not answer is said by who needs it.
    let differing = asked.ok()?.ok()?.join("; ");
    let said = format!(
        "推送记录的存储设置已被更改，可能重复推送或漏推 / the settings of the record of deliveries were changed, alerts may go twice or not at all: {differing}"
    );
    (!differing.is_empty()).then(|| Problem::warning("deliveries_settings_changed", said))
}

/// Alerts that wait for longer than they should, whether the receiver is away or another notifier does not go on.
fn waiting(status: &ChannelStatus, now: Instant) -> Option<Problem> {
    let oldest = status.oldest_waiting.filter(|oldest| *oldest + WAITING_MAX < now)?;
    let (id, waiting) = (&status.channel, status.waiting);
    let since = oldest.to_rfc3339_opts(SecondsFormat::Secs, true);
    let failure = status.last_failure.as_ref().map_or("-", |failure| failure.detail.as_str());
    let said = format!(
        "通道 {id} 有 {waiting} 条提醒待推送，最早 {since}，上次失败：{failure} / {waiting} alerts wait for the channel {id}, the oldest since {since}; the last failure: {failure}"
    );
    Some(Problem::warning("alerts_waiting", said))
}

/// A record of deliveries that is not heard: nothing is pushed.
fn unheard(status: &ChannelStatus, looks: u32) -> Option<Problem> {
    let is_unheard = !status.has_begun && looks >= UNHEARD_LOOKS_MAX;
    is_unheard.then(|| {
        let id = &status.channel;
        let said = format!(
            "读不到推送记录，通道 {id} 不推送 / the record of deliveries cannot be followed: nothing is pushed through {id}"
        );
        Problem::stopping("deliveries_unheard", said)
    })
}

/// A record of deliveries that is another one than was followed.
fn lost(status: &ChannelStatus) -> Option<Problem> {
    status.record_lost.then(|| {
        let id = &status.channel;
        let said = format!(
            "通道 {id} 的推送记录丢失或被更换：仍在等待的照常推送，此前的一概视为已推送；请核对：cuiban alerts list --state skipped / the record of deliveries of the channel {id} was lost or exchanged: what waited is pushed, everything before counts as pushed; look at cuiban alerts list --state skipped, and send again what is missing"
        );
        Problem::warning("deliveries_lost", said)
    })
}

/// An outbox that was put aside since the start, and why: the one that is served was built anew.
fn anew(quarantined: &[Quarantined]) -> Option<Problem> {
    let Quarantined { path, detail, of_another_log } = quarantined.last()?;
    let path = path.display();
    let (code, said) = if *of_another_log {
        let said = format!(
            "日志不是先前跟随的那份，发件箱已按现有日志重建；先前的保存在 {path} / the log is not the one that was followed, and the outbox was built anew from what is there; the former is kept in {path}: {detail}"
        );
        ("log_replaced", said)
    } else {
        let said = format!(
            "发件箱损坏，已重建；损坏的保存在 {path} / the outbox was damaged and built anew; the damaged one is kept in {path}: {detail}"
        );
        ("models_quarantined", said)
    };
    Some(Problem::warning(code, said))
}

#[cfg(test)]
mod tests {
    use cuiban_domain::ids::ChannelId;

    use super::*;

    #[test]
    fn what_waits_for_longer_than_a_minute_and_a_record_that_is_not_heard_are_said() {
        let now: Instant = "2026-11-27T08:00:00Z".parse().unwrap();
        let mut status = ChannelStatus::new(ChannelId::new("crm").unwrap());
        assert_eq!((waiting(&status, now), unheard(&status, 1)), (None, None));
        assert!(unheard(&status, UNHEARD_LOOKS_MAX).is_some_and(|problem| problem.stops));
        status.has_begun = true;
        assert_eq!(unheard(&status, UNHEARD_LOOKS_MAX), None);
        (status.waiting, status.oldest_waiting) = (3, Some(now - WAITING_MAX));
        assert_eq!(waiting(&status, now), None);
        let problem = waiting(&status, now + Duration::from_secs(1)).unwrap();
        assert!(!problem.stops && problem.detail.contains("3 alerts wait"), "{problem:?}");
    }

    #[test]
    fn an_outbox_that_was_put_aside_is_said_with_the_reason() {
        let put_aside = |of_another_log| {
            let path = std::path::PathBuf::from("outbox.damaged-1");
            [Quarantined { path, detail: "position 7".to_owned(), of_another_log }]
        };
        assert_eq!(anew(&[]), None);
        for (of_another_log, code) in [(true, "log_replaced"), (false, "models_quarantined")] {
            let problem = anew(&put_aside(of_another_log)).unwrap();
            assert_eq!((&*problem.code, problem.stops), (code, false));
            assert!(problem.detail.contains("outbox.damaged-1"), "{problem:?}");
        }
    }
}
