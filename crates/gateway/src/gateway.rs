//! Putting the rooms behind one door: which are mounted, what surrounds them, and serving until told to stop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use cuiban_command_handler::Handlers;
use cuiban_deliveries::Deliveries;
use cuiban_event_log::EventLog;
use cuiban_projector::ReadModels;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;

use crate::api::Description;
use crate::config::{Config, InvalidConfig};
use crate::front::{Front, Office};
use crate::health::Health;
use crate::refusal::{Refusal, RetryAfter};
use crate::{console, docs, door, health, intake, live, office};

/// The parts of which a gateway is made.
pub struct Gateway {
    /// Where commands go.
    pub handlers: Arc<Handlers>,
    /// What queries, pages and the calendar preview ask; none in a process that only takes commands.
    pub models: Option<ReadModels>,
    /// What live updates follow.
    pub log: Arc<dyn EventLog>,
    /// What was pushed to whom; none in a process that does not know.
    pub deliveries: Option<Arc<dyn Deliveries>>,
    /// Limits and tokens.
    pub config: Config,
    /// How the process stands.
    pub health: Health,
}

/// Which rooms are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mounts {
    /// Commands.
    pub intake: bool,
    /// Queries, pages and live updates: all that needs read models.
    pub office: bool,
}

impl Mounts {
    /// The gateway role: commands.
    pub const GATEWAY: Self = Self { intake: true, office: false };
    /// The projector role: queries, pages, live updates.
    pub const PROJECTOR: Self = Self { intake: false, office: true };
    /// The watchdog and notifier roles: how they stand, and no more.
    pub const NOTHING: Self = Self { intake: false, office: false };
    /// Everything in one process.
    pub const ALL: Self = Self { intake: true, office: true };
}

/// All routes of the mounted rooms. Health and description are always there.
pub fn router(gateway: Gateway, mounts: Mounts) -> Result<Router, InvalidConfig> {
    let front = Arc::new(Front::new(gateway)?);
    let retry_after = RetryAfter(front.config.retry_after_s);
    let (mut guarded, mut described) = (Router::new(), Description::default());
    if mounts.intake {
        let (routes, description) = intake::routes().into_parts();
        guarded = guarded.merge(routes.with_state(front.clone()));
        described = described.merge(description);
    }
    if mounts.office {
        let office = Office::new(front.clone())?;
        let (routes, description) = office::routes().into_parts();
        let waits = middleware::from_fn_with_state(office.clone(), office::min_position);
        guarded = guarded.merge(routes.route_layer(waits).with_state(office.clone()));
        let (streams, streams_described) = live::routes().into_parts();
        guarded =
            guarded.merge(streams.with_state(office.clone())).merge(console::routes().with_state(office));
        described = described.merge(description).merge(streams_described);
    }
    if mounts.intake || mounts.office {
        guarded = guarded.route_layer(middleware::from_fn_with_state(front.clone(), door::admit));
    }
    let (probes, health_described) = health::described().into_parts();
    let probes = probes.route("/metrics", get(health::figures));
    let open = probes.with_state(front.clone()).merge(docs::routes(described.merge(health_described)));
    Ok(surround(guarded.merge(open).merge(console::assets()), front, retry_after))
}

/// What every answer goes through, refusals by path, method and panic included.
fn surround(routes: Router, front: Arc<Front>, retry_after: RetryAfter) -> Router {
    routes
        .fallback(|| async { Refusal::RouteNotFound })
        .method_not_allowed_fallback(|| async { Refusal::MethodNotAllowed })
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(front, door::by_own_name))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
            tracing::error!("a request handler panicked");
            Refusal::Internal.into_response()
        }))
        .layer(middleware::from_fn_with_state(retry_after, on_every_answer))
}

/// Headers that every answer has.
async fn on_every_answer(State(retry_after): State<RetryAfter>, request: Request, next: Next) -> Response {
    // The path only: a query string can hold a phone number.
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = retry_after.add_to(next.run(request).await);
    tracing::debug!(%method, path, status = response.status().as_u16(), "answered");
    let headers = response.headers_mut();
    let always = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in always {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Rows hold people's data: no cache keeps them, unless the route said otherwise.
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Told to long answers (live streams) when the server stops.
#[derive(Clone, Debug)]
pub(crate) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Returns when the server stops.
    pub(crate) async fn wait(mut self) {
        if self.0.wait_for(|stopping| *stopping).await.is_err() {
            // Nobody will ever say so: the routes are called without a server.
            std::future::pending::<()>().await;
        }
    }
}

/// Serves until `shutdown`; then takes no new connection, ends live streams, and gives open requests
/// `grace` to finish.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
    grace: Duration,
) -> io::Result<()> {
    let (stop, stopping) = watch::channel(false);
    let told = stopping.clone();
    let router = router.layer(Extension(Stopping(stopping)));
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        shutdown.await;
        stop.send_replace(true);
    });
    let out_of_time = async {
        Stopping(told).wait().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        served = server => served,
        () = out_of_time => {
            tracing::warn!("connections are still open after the grace period: left to themselves");
            Ok(())
        }
    }
}
