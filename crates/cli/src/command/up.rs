//! `cuiban up`: every role in one process; with `--demo`, invented calls on a scaled clock, and nothing kept.

use std::sync::Arc;

use cuiban_command_handler::{Clock, ScaledClock, SystemClock};
use cuiban_domain::Event;
use cuiban_domain::ticket::TicketEvent;
use cuiban_event_log::{EventLog, Filter, Position};
use cuiban_gateway::Mounts;
use cuiban_simulation::demo::{Demo, demo_begins_at};
use cuiban_vitals::{Role, Roll};

use super::runtime;
use super::serve::with_alerts;
use crate::args::Up;
use crate::exit::{Failure, OrFailure, Outcome};
use crate::output;
use crate::roles::{self, Base, Heart, Listen, stop_signal};
use crate::settings::Settings;
use crate::wiring::{Access, DataDir, connect, deliveries, embedded_to_decide_by};

/// How many times as fast as the wall the demonstration runs when nobody says otherwise.
const DEMO_SPEED: u32 = 300;
/// The seed of the demonstration's day.
const DEMO_SEED: u64 = 20_261_122;

pub(crate) fn run(args: Up, settings: Settings) -> Outcome {
    runtime()?.block_on(up(args, settings))
}

async fn up(args: Up, mut settings: Settings) -> Outcome {
    let listen = Listen::of(Role::All, args.listen, &settings);
    settings.gateway.check(listen.address).or_usage()?;
    let kept_nowhere = args.demo.then(tempfile::tempdir).transpose()?;
    let data = match &kept_nowhere {
        Some(dir) => DataDir::new(Some(dir.path().to_owned()), &settings),
        None => DataDir::new(args.data, &settings),
    };
    let nats = args.nats.or_else(|| settings.nats.clone()).filter(|_| !args.demo);
    let (log, client): (Arc<dyn EventLog>, _) = match &nats {
        Some(url) => {
            settings = with_alerts(settings);
            let log = connect(url, &settings, Access::Write).await?;
            let client = log.client();
            (log, Some(client))
        }
        None => (embedded_to_decide_by(&data, &settings).await?, None),
    };
    let clock: Arc<dyn Clock> = if args.demo {
        settings.command_handler.clock_ahead_max_ms = None;
        // What is invented is no supervisor's business.
        (settings.notifier.webhooks, settings.notifier.nats) = (Vec::new(), None);
        let (begins_at, speed) =
            (demo_begins_at(SystemClock::new().now())?, args.speed.unwrap_or(DEMO_SPEED));
        // What takes a moment takes many times as long by this clock.
        let grace_ms = &mut settings.gateway.unurged_grace_ms;
        *grace_ms = grace_ms.saturating_mul(speed.into());
        Arc::new(ScaledClock::new(begins_at, speed))
    } else {
        Arc::new(SystemClock::new())
    };
    let listener = listen.bind().await?;
    let deliveries = deliveries(&data, &settings, client.clone(), clock.clone())?;
    let own = (roles::vitals(Role::All), Some(Roll::new()));
    let base = Base::start(log, deliveries, clock, settings, own).await?;
    let heart = Heart::begin(&base, client.clone()).await?;
    let projector = base.projector(&data.models(), Filter::everything()).await?;
    let watchdog = base.watchdog(&data.watchdog());
    let notifier = base.notifier(&data.outbox(), client).await?;
    let demo = if args.demo { Some(start_demo(&base).await?) } else { None };
    let (models, mounts) = (Some(projector.models()), Mounts::ALL);
    let served = base.serve(listener, &data, models, mounts, stop_signal()).await;
    for task in demo.into_iter().flatten() {
        task.abort();
    }
    watchdog.stop().await;
    notifier.stop().await;
    projector.stop().await;
    heart.stop().await;
    served
}

async fn start_demo(base: &Base) -> Result<[tokio::task::JoinHandle<()>; 2], Failure> {
    let told = tokio::spawn(tell(base.log.clone()));
    let demo = Demo::set_up(base.handlers.clone(), DEMO_SEED).await?;
    let acts = tokio::spawn(async move {
        if let Err(error) = demo.run().await {
            tracing::error!(error = &error as &dyn std::error::Error, "the demonstration ended");
        }
    });
    Ok([told, acts])
}

/// Prints calls and 催办 as the log records them.
async fn tell(log: Arc<dyn EventLog>) {
    let Ok(mut subscription) = log.subscribe(Filter::everything(), Position::START).await else { return };
    while let Some(Ok(recorded)) = subscription.next().await {
        let Ok(commit) = cuiban_event_schema::decode(recorded.payload()) else { continue };
        let at = commit
            .envelope
            .happened
            .recorded_at
            .with_timezone(&chrono_tz::Asia::Shanghai)
            .format("%m-%d %H:%M");
        for event in &commit.events {
            if let Some(line) = line(event, &commit.envelope.stream_id) {
                // A terminal that has gone away ends the telling, not the demonstration.
                if output::line(&format!("{at}  {line}")).is_err() {
                    return;
                }
            }
        }
    }
}

fn line(event: &Event, ticket: &str) -> Option<String> {
    let Event::Ticket(event) = event else { return None };
    match event {
        TicketEvent::TicketRegistered { number, branch, product_model, description, .. } => {
            Some(format!("来电 call     {number} {branch} {product_model} {description}"))
        }
        TicketEvent::ExpediteNoticeIssued { notice, addressee, due_at, late, .. } => {
            let due_at = due_at.with_timezone(&chrono_tz::Asia::Shanghai).format("%m-%d %H:%M");
            let late = if *late { " · 补发 late" } else { "" };
            Some(format!("催办 EXPEDITE {} → {addressee} · 到期 due {due_at}{late} · {ticket}", notice.clock))
        }
        _ => None,
    }
}
