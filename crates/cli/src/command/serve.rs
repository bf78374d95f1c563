//! `cuiban serve`: one role in a process of its own, on NATS.

use std::net::SocketAddr;
use std::sync::Arc;

use cuiban_command_handler::SystemClock;
use cuiban_event_log::{Filter, Pattern, Token};
use cuiban_gateway::Mounts;

use super::runtime;
use crate::args::{Role, Serve};
use crate::exit::{OrFailure, Outcome};
use crate::roles::{Base, stop_signal};
use crate::settings::Settings;
use crate::wiring::{DataDir, connect};

pub(crate) fn run(args: Serve, settings: Settings) -> Outcome {
    runtime()?.block_on(serve(args, settings))
}

async fn serve(args: Serve, settings: Settings) -> Outcome {
    let log = connect(&args.nats, &settings).await?;
    let client = log.client();
    let data = DataDir::new(Some(args.data), &settings);
    std::fs::create_dir_all(data.path())?;
    let listen = args.listen.or(settings.listen).unwrap_or_else(default_listen);
    let base = Base::start(log, Arc::new(SystemClock::new()), with_alerts(settings)).await?;
    match args.role {
        Role::Gateway => base.serve(listen, None, Mounts::GATEWAY, stop_signal()).await,
        Role::Projector => {
            let filter = branch_filter(args.branch.as_deref()).or_usage()?;
            let projector = base.projector(&data.models(), filter).await?;
            let served = base.serve(listen, Some(projector.models()), Mounts::PROJECTOR, stop_signal()).await;
            projector.stop().await;
            served
        }
        Role::Watchdog => {
            let watchdog = base.watchdog(&data.watchdog());
            eprintln!("cuiban: watching");
            stop_signal().await;
            watchdog.stop().await;
            Ok(())
        }
        Role::Notifier => {
            let notifier = base.notifier(&data.outbox(), Some(client)).await?;
            eprintln!("cuiban: notifying");
            stop_signal().await;
            notifier.stop().await;
            Ok(())
        }
    }
}

/// On NATS, alerts go to NATS too.
pub(crate) fn with_alerts(mut settings: Settings) -> Settings {
    settings.notifier.nats.get_or_insert_default();
    settings
}

pub(crate) fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080))
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
