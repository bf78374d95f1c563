//! The whole intake: HTTP in, a durable answer out, with every role of a process at work behind it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cuiban_domain::ids::TicketId;
use cuiban_domain::ticket::TicketCommand;
use cuiban_event_log::Filter;
use cuiban_gateway::{Gateway, Health, Looked, Mounts};
use cuiban_projector::Projector;
use cuiban_watchdog::Watchdog;
use serde::Deserialize;
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
use crate::{BenchError, Figure, Goal};

/// How long a round lasts.
const ROUND: Duration = Duration::from_secs(3);
/// The largest answer that is understood.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The soak: how long, how many commands a second, over how many connections, and when sled's caches are filled: at this
/// pace it takes 25 minutes.
const SOAK: Duration = Duration::from_secs(3600);
const SOAK_A_SECOND: u32 = 300;
const SOAK_CONNECTIONS: u32 = 16;
const SOAK_FILLED: Duration = Duration::from_secs(1800);
/// How many calls a connection takes before a ticket's next step: half a minute, with some 8,000 tickets open.
const SOAK_CALLS_BETWEEN: usize = 100;
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
        let (models, roll, stores) = (Some(projector.models()), None, Vec::new());
        let looked =
            Looked { handlers: handlers.clone(), log: log.clone(), models: models.clone(), roll, stores };
        let health = Health::new(looked, &config);
        let gateway = Gateway { handlers, models, log, deliveries: None, config, health };
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

/// One connection that is kept open, and who calls through it.
struct Client {
    stream: TcpStream,
    office: Office,
    answer: Vec<u8>,
}

/// What the soak reads of a receipt.
#[derive(Deserialize)]
struct Receipt {
    id: TicketId,
}

impl Client {
    async fn connect(house: &House) -> Result<Self, AnyError> {
        let stream = TcpStream::connect(house.address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, office: house.office.clone(), answer: Vec::new() })
    }

    /// Registers a ticket, and returns when its answer is here.
    async fn register(&mut self) -> Result<TicketId, AnyError> {
        let call = serde_json::to_string(&self.office.call()?)?;
        let receipt = self.post("/v1/tickets", "201", &call).await?;
        Ok(serde_json::from_slice::<Receipt>(receipt)?.id)
    }

    /// Sends a command to a ticket, and returns when its answer is here.
    async fn command(&mut self, ticket: TicketId, (verb, body): &(&str, String)) -> Result<(), AnyError> {
        self.post(&format!("/v1/tickets/{ticket}/{verb}"), "200", body).await.map(drop)
    }

    /// The body of an answer with the status that it should have.
    async fn post(&mut self, path: &str, status: &str, body: &str) -> Result<&[u8], AnyError> {
        let (key, length) = (Uuid::new_v4(), body.len());
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             idempotency-key: {key}\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.answer.clear();
        loop {
            if let Some(head) = whole(&self.answer)? {
                return match self.answer.starts_with(format!("HTTP/1.1 {status}").as_bytes()) {
                    true => Ok(&self.answer[head..]),
                    false => Err(String::from_utf8_lossy(&self.answer).into_owned().into()),
                };
            }
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err("the gateway closed the connection".into());
            }
        }
    }
}

/// How long the head of an answer is, once head and body have come.
fn whole(answer: &[u8]) -> Result<Option<usize>, AnyError> {
    let Some(head) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return match answer.len() > ANSWER_BYTES_MAX {
            true => Err("the answer is too long".into()),
            false => Ok(None),
        };
    };
    let text = std::str::from_utf8(&answer[..head])?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let end = head + 4 + length.ok_or("an answer without a length")?;
    Ok((answer.len() >= end).then_some(head + 4))
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
    let (mut a_second, mut took) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let began = moment();
        let mut clients = JoinSet::new();
        for _ in 0..connections {
            let mut client = Client::connect(&house).await?;
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

/// An hour of whole lives at a steady rate: how much more memory is held at its end than when the caches were filled.
pub(crate) async fn soak(progress: &Progress<'_>) -> Result<Figure, BenchError> {
    let what = format!(
        "an hour of {SOAK_A_SECOND} commands a second over HTTP, growth of memory in its second half"
    );
    soaked(&what, progress).await.map_err(failed(&what))
}

/// How the gateway takes the commands that follow a call: verb and body.
fn steps(office: &Office) -> Result<Vec<(&'static str, String)>, AnyError> {
    let step = |command| match command {
        TicketCommand::RespondToCustomer(command) => Ok(("respond", serde_json::to_string(&command)?)),
        TicketCommand::DispatchTechnician(command) => Ok(("dispatch", serde_json::to_string(&command)?)),
        TicketCommand::ArriveAtCustomer(command) => Ok(("arrive", serde_json::to_string(&command)?)),
        TicketCommand::FixOnSite(command) => Ok(("fix", serde_json::to_string(&command)?)),
        TicketCommand::CloseTicket(command) => Ok(("close", serde_json::to_string(&command)?)),
        command => Err(format!("no step of a life: {command:?}").into()),
    };
    office.life()?.into_iter().map(step).collect()
}

/// One connection's share of the soak: a call, then the next step of each ticket whose turn it is, and so on.
async fn live(
    mut client: Client,
    began: std::time::Instant,
    took_us: Arc<Mutex<Vec<u32>>>,
) -> Result<(), AnyError> {
    let steps = steps(&client.office)?;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) * SOAK_CONNECTIONS / SOAK_A_SECOND);
    let mut open = VecDeque::new();
    while began.elapsed() < SOAK {
        let answered = |due: tokio::time::Instant| {
            let took = u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX);
            took_us.lock().unwrap_or_else(PoisonError::into_inner).push(took);
        };
        let due = ticks.tick().await;
        open.push_front(client.register().await?);
        answered(due);
        for (step, calls) in steps.iter().zip((SOAK_CALLS_BETWEEN..).step_by(SOAK_CALLS_BETWEEN)) {
            if let Some(&ticket) = open.get(calls) {
                let due = ticks.tick().await;
                client.command(ticket, step).await?;
                answered(due);
            }
        }
        open.truncate(steps.len() * SOAK_CALLS_BETWEEN);
    }
    Ok(())
}

async fn soaked(what: &str, progress: &Progress<'_>) -> Result<Figure, AnyError> {
    let house = House::open().await?;
    // Room for all of them at once, so that a list that grows is not taken for a house that does.
    let commands = SOAK.as_secs() as usize * SOAK_A_SECOND as usize;
    let (began, took_us) = (moment(), Arc::new(Mutex::new(Vec::with_capacity(commands + commands / 8))));
    let mut clients = JoinSet::new();
    for _ in 0..SOAK_CONNECTIONS {
        clients.spawn(live(Client::connect(&house).await?, began, took_us.clone()));
    }
    let mut held_mib = Vec::new();
    let mut looks = tokio::time::interval(SOAK_LOOK_EVERY);
    while began.elapsed() < SOAK {
        tokio::select! {
            Some(ended) = clients.join_next() => ended??,
            _ = looks.tick() => {
                held_mib.push((began.elapsed(), resident_kib().unwrap_or_default() as f64 / 1024.0));
                progress.share("soak, seconds", began.elapsed().as_secs(), SOAK.as_secs());
            }
        }
    }
    clients.join_all().await.into_iter().collect::<Result<(), _>>()?;
    house.close().await?;
    let took_us = std::mem::take(&mut *took_us.lock().unwrap_or_else(PoisonError::into_inner));
    let mut took: Vec<_> = took_us.into_iter().map(|took| Duration::from_micros(took.into())).collect();
    let at = |after: Duration| held_mib.iter().find(|(at, _)| *at >= after).map_or(0.0, |(_, held)| *held);
    let last = held_mib.last().map_or(0.0, |(_, held)| *held);
    let note = format!(
        "{} commands, p50 {:.2} ms, p99 {:.1} ms, p99.9 {:.1} ms; {:.0} MiB after a quarter of it, {:.0} after half, {last:.0} at the end",
        took.len(),
        percentile_ms(&mut took, 0.5),
        percentile_ms(&mut took, 0.99),
        percentile_ms(&mut took, 0.999),
        at(SOAK / 4),
        at(SOAK_FILLED),
    );
    Ok(Figure::new(what, "MiB", [last - at(SOAK_FILLED)]).goal(Goal::AtMost(64.0)).note(note))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is_here() {
        assert_eq!(whole(b"HTTP/1.1 201 Created\r\nContent-Le").unwrap(), None);
        assert_eq!(whole(b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nab").unwrap(), None);
        assert_eq!(whole(b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nabc").unwrap(), Some(43));
        assert!(whole(b"HTTP/1.1 201 Created\r\n\r\n").is_err());
    }
}
