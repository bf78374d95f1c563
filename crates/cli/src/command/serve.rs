//! `cuiban serve`: one role in a process of its own, on NATS.

use std::sync::Arc;
use std::time::Duration;

use cuiban_command_handler::SystemClock;
use cuiban_event_log::{Filter, Pattern, Token};
use cuiban_gateway::Mounts;
use cuiban_vitals::{self as vitals, Roll};

use super::runtime;
use crate::args::{Role, Serve};
use crate::exit::{OrFailure, Outcome};
use crate::output;
use crate::roles::{self, Base, Heart, Listen, stop_signal};
use crate::settings::Settings;
use crate::wiring::{Access, DataDir, connect, deliveries};

/// How long a process that ends waits for its last heartbeat to go out.
const LAST_WORD_MAX: Duration = Duration::from_secs(1);

pub(crate) fn run(args: Serve, settings: Settings) -> Outcome {
    runtime()?.block_on(serve(args, settings))
}

async fn serve(args: Serve, settings: Settings) -> Outcome {
    let role = args.role.into();
    let listen = Listen::of(role, args.listen, &settings);
    if matches!(role, vitals::Role::Gateway | vitals::Role::Projector) {
        settings.gateway.check(listen.address).or_usage()?;
    }
    let log = connect(&args.nats, &settings, Access::Write).await?;
    let client = log.client();
    let data = DataDir::new(Some(args.data), &settings);
    let listener = listen.bind().await?;
    let clock = Arc::new(SystemClock::new());
    let deliveries = deliveries(&data, &settings, Some(client.clone()), clock.clone())?;
    let roll = matches!(role, vitals::Role::Projector | vitals::Role::Gateway).then(Roll::new);
    let base =
        Base::start(log, deliveries, clock, with_alerts(settings), (roles::vitals(role), roll)).await?;
    let heart = Heart::begin(&base, Some(client.clone())).await?;
    let stopped = stop_signal();
    let served = match args.role {
        Role::Gateway => base.serve(listener, &data, None, Mounts::GATEWAY, stopped).await,
        Role::Projector => {
            let filter = branch_filter(args.branch.as_deref()).or_usage()?;
            let projector = base.projector(&data.models(), filter).await?;
            let (models, mounts) = (Some(projector.models()), Mounts::PROJECTOR);
            let served = base.serve(listener, &data, models, mounts, stopped).await;
            projector.stop().await;
            served
        }
        Role::Watchdog => {
            let watchdog = base.watchdog(&data.watchdog());
            output::note("cuiban: watching");
            let served = base.serve_beside(listener, &data, stopped).await;
            watchdog.stop().await;
            served
        }
        Role::Notifier => {
            let notifier = base.notifier(&data.outbox(), Some(client.clone())).await?;
            output::note("cuiban: notifying");
            let served = base.serve_beside(listener, &data, stopped).await;
            notifier.stop().await;
            served
        }
    };
    heart.stop().await;
    // The last word is still on its way; a broker that is away does not hear it.
    let _ = tokio::time::timeout(LAST_WORD_MAX, client.flush()).await;
    served
}

impl From<Role> for vitals::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Gateway => Self::Gateway,
            Role::Projector => Self::Projector,
            Role::Watchdog => Self::Watchdog,
            Role::Notifier => Self::Notifier,
        }
    }
}

/// On NATS, alerts go to NATS too, and are kept by as many servers as the log.
pub(crate) fn with_alerts(mut settings: Settings) -> Settings {
    let alerts = settings.notifier.nats.get_or_insert_default();
    alerts.replicas.get_or_insert(settings.jetstream.replicas.into());
    settings
}

/// One branch's own commits, the company's, and every transfer; everything, if no branch is named.
fn branch_filter(branch: Option<&str>) -> anyhow::Result<Filter> {
    let Some(branch) = branch else { return Ok(Filter::everything()) };
    let of_branch = |token: &str| -> anyhow::Result<Pattern> {
        Ok(Pattern { branch: Some(Token::new(token)?), ..Pattern::default() })
    };
    let transfers = Pattern { class: Some(Token::new("transfer")?), ..Pattern::default() };
    Ok(Filter { any_of: vec![of_branch(branch)?, of_branch("_")?, transfers] })
}
