//! The whole intake: HTTP in, a durable answer out, with every role of a process at work behind it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cuiban_event_log::Filter;
use cuiban_gateway::{Gateway, Mounts};
use cuiban_projector::Projector;
use cuiban_watchdog::Watchdog;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::figure::{AnyError, failed};
use crate::machine::resident_kib;
use crate::office::Office;
use crate::stopwatch::{moment, per_second, percentile_ms};
use crate::table::Progress;
use crate::{BenchError, Figure, Goal, Spread};

/// How long a round lasts.
const ROUND: Duration = Duration::from_secs(3);
/// The largest answer that is understood.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The soak: how long, how many calls a second, over how many connections, and when caches count as filled.
const SOAK: Duration = Duration::from_secs(3600);
const SOAK_A_SECOND: u32 = 300;
const SOAK_CONNECTIONS: u32 = 16;
const SOAK_FILLED: Duration = Duration::from_secs(900);
const SOAK_LOOK_EVERY: Duration = Duration::from_secs(15);

/// Gateway, read models and watchdog in one process, as `cuiban up` has them.
struct House {
    office: Office,
    projector: Projector,
    watchdog: Watchdog,
    address: SocketAddr,
    closed: CancellationToken,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
    _folder: TempDir,
}

impl House {
    async fn open() -> Result<Self, AnyError> {
        let folder = tempfile::tempdir()?;
        let office = Office::embedded(folder.path()).await?;
        let (log, handlers) = (office.log.clone(), office.handlers.clone());
        let config = cuiban_projector::Config::default();
        let models = folder.path().join("models");
        let projector = Projector::start(log.clone(), &models, Filter::everything(), config).await?;
        let watched = folder.path().join("watchdog");
        let watchdog = Watchdog::start(handlers.clone(), log.clone(), &watched, Default::default());
        let config = cuiban_gateway::Config::default();
        let gateway = Gateway { handlers, models: Some(projector.models()), log, config };
        let router = cuiban_gateway::router(gateway, Mounts::ALL)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let closed = CancellationToken::new();
        let shutdown = closed.clone().cancelled_owned();
        let served = tokio::spawn(cuiban_gateway::serve(listener, router, shutdown, Duration::from_secs(1)));
        Ok(Self { office, projector, watchdog, address, closed, served, _folder: folder })
    }

    async fn close(self) -> Result<(), AnyError> {
        self.closed.cancel();
        self.served.await??;
        self.watchdog.stop().await;
        self.projector.stop().await;
        Ok(())
    }
}

/// One connection that is kept open.
struct Client {
    stream: TcpStream,
    body: Arc<str>,
    answer: Vec<u8>,
}

impl Client {
    async fn connect(address: SocketAddr, body: Arc<str>) -> Result<Self, AnyError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, body, answer: Vec::new() })
    }

    /// Registers a ticket, and returns when its answer is here.
    async fn register(&mut self) -> Result<(), AnyError> {
        let (key, length) = (Uuid::new_v4(), self.body.len());
        let request = format!(
            "POST /v1/tickets HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             idempotency-key: {key}\r\ncontent-length: {length}\r\n\r\n{}",
            self.body
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.answer.clear();
        while !is_whole(&self.answer)? {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err("the gateway closed the connection".into());
            }
        }
        match self.answer.starts_with(b"HTTP/1.1 201") {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&self.answer).into_owned().into()),
        }
    }
}

/// Whether head and body of an answer have come.
fn is_whole(answer: &[u8]) -> Result<bool, AnyError> {
    let Some(head) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return match answer.len() > ANSWER_BYTES_MAX {
            true => Err("the answer is too long".into()),
            false => Ok(false),
        };
    };
    let text = std::str::from_utf8(&answer[..head])?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Ok(answer.len() >= head + 4 + length.ok_or("an answer without a length")?)
}

/// Registrations over HTTP by so many connections, each waiting for its answer: how many a second, and how long each.
pub(crate) async fn over_http(rounds: u32, connections: &[usize]) -> Result<Vec<Figure>, BenchError> {
    let mut figures = Vec::new();
    for &connections in connections {
        let what =
            format!("intake over HTTP, {connections} connection{}", if connections == 1 { "" } else { "s" });
        figures.push(at(rounds, connections, &what).await.map_err(failed(&what))?);
    }
    Ok(figures)
}

async fn at(rounds: u32, connections: usize, what: &str) -> Result<Figure, AnyError> {
    let house = House::open().await?;
    let body: Arc<str> = serde_json::to_string(house.office.request())?.into();
    let (mut a_second, mut took) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let began = moment();
        let mut clients = JoinSet::new();
        for _ in 0..connections {
            let mut client = Client::connect(house.address, body.clone()).await?;
            clients.spawn(async move {
                let mut took = Vec::new();
                while began.elapsed() < ROUND {
                    let asked = moment();
                    client.register().await?;
                    took.push(asked.elapsed());
                }
                Ok::<_, AnyError>(took)
            });
        }
        let answered: Vec<_> = clients.join_all().await.into_iter().collect::<Result<_, _>>()?;
        let answered: Vec<Duration> = answered.into_iter().flatten().collect();
        a_second.push(per_second(answered.len(), began.elapsed()));
        took.extend(answered);
    }
    house.close().await?;
    let of = |took: &mut [Duration], part| percentile_ms(took, part);
    let note = format!(
        "p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms; read models and watchdog follow meanwhile; the clients share the machine",
        of(&mut took, 0.5),
        of(&mut took, 0.99),
        of(&mut took, 0.999)
    );
    Ok(Figure::new(what, "requests/s", a_second).note(note))
}

/// An hour of calls at a steady rate: how much more memory is held at its end than when the caches were filled.
pub(crate) async fn soak(progress: &Progress<'_>) -> Result<Figure, BenchError> {
    let what = format!("an hour of {SOAK_A_SECOND} calls a second over HTTP, growth of memory");
    soaked(&what, progress).await.map_err(failed(&what))
}

async fn soaked(what: &str, progress: &Progress<'_>) -> Result<Figure, AnyError> {
    let house = House::open().await?;
    let body: Arc<str> = serde_json::to_string(house.office.request())?.into();
    let (began, took) = (moment(), Arc::new(Mutex::new(Vec::new())));
    let mut clients = JoinSet::new();
    for _ in 0..SOAK_CONNECTIONS {
        let mut client = Client::connect(house.address, body.clone()).await?;
        let took = took.clone();
        clients.spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(1) * SOAK_CONNECTIONS / SOAK_A_SECOND);
            while began.elapsed() < SOAK {
                let due = ticks.tick().await;
                client.register().await?;
                took.lock().unwrap_or_else(PoisonError::into_inner).push(due.elapsed());
            }
            Ok::<_, AnyError>(())
        });
    }
    let mut held_mib = Vec::new();
    let mut looks = tokio::time::interval(SOAK_LOOK_EVERY);
    while began.elapsed() < SOAK {
        looks.tick().await;
        held_mib.push((began.elapsed(), resident_kib().unwrap_or_default() as f64 / 1024.0));
        progress.share("soak, seconds", began.elapsed().as_secs(), SOAK.as_secs());
    }
    clients.join_all().await.into_iter().collect::<Result<(), _>>()?;
    house.close().await?;
    let mut took = took.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let filled = held_mib.iter().filter(|(at, _)| *at >= SOAK_FILLED);
    let held = Spread::of(filled.map(|(_, held)| *held));
    let last = held_mib.last().map_or(0.0, |(_, held)| *held);
    let note = format!(
        "{} calls, p50 {:.2} ms, p99 {:.1} ms, p99.9 {:.1} ms; {:.0} to {:.0} MiB from a quarter of an hour on, {last:.0} at the end",
        took.len(),
        percentile_ms(&mut took, 0.5),
        percentile_ms(&mut took, 0.99),
        percentile_ms(&mut took, 0.999),
        held.min,
        held.max
    );
    let first_filled = held_mib.iter().find(|(at, _)| *at >= SOAK_FILLED).map_or(0.0, |(_, held)| *held);
    Ok(Figure::new(what, "MiB", [last - first_filled]).goal(Goal::AtMost(64.0)).note(note))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is_here() {
        assert!(!is_whole(b"HTTP/1.1 201 Created\r\nContent-Le").unwrap());
        assert!(!is_whole(b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nab").unwrap());
        assert!(is_whole(b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nabc").unwrap());
        assert!(is_whole(b"HTTP/1.1 201 Created\r\n\r\n").is_err());
    }
}
