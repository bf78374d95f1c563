//! A whole installation on NATS: broker, roles in processes of their own, and wires that can be cut in between.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use cuiban_event_log_jetstream::test_server::{NatsCluster, NatsServer};
use tempfile::TempDir;

use crate::{Process, Proxy, Wire};

/// How large a server's own disk is, in bytes: the log of some hundred rounds.
const DISK_BYTES: u64 = 256 << 20;

/// How much of it alerts may take.
const ALERT_BYTES: u64 = 8 << 20;

/// The broker.
#[derive(Debug)]
pub enum Broker {
    /// One server.
    One(Box<NatsServer>),
    /// Three servers, each with a copy of the log, and the wires between them.
    Three(NatsCluster, Vec<Route>),
}

/// The wire by which one server reaches another.
#[derive(Debug)]
pub struct Route {
    from: usize,
    to: usize,
    proxy: Proxy,
}

/// Broker and roles. The gateways and the watchdogs reach the broker through wires, each pair by its own.
#[derive(Debug)]
pub struct Installation {
    /// The broker.
    pub broker: Broker,
    /// Two that take commands.
    pub gateways: [Process; 2],
    /// Answers queries.
    pub projector: Process,
    /// Two that watch the same clocks.
    pub watchdogs: [Process; 2],
    /// Pushes alerts.
    pub notifier: Process,
    gateways_wires: Vec<Proxy>,
    watchdogs_wires: Vec<Proxy>,
    _data: TempDir,
}

impl Broker {
    /// A server on a disk of its own, where such a disk can be had.
    pub async fn one() -> Self {
        Self::One(Box::new(NatsServer::start_on_disk("", Some(DISK_BYTES)).await))
    }

    /// Three of them.
    pub async fn three() -> Result<Self> {
        let (ports, mut wires, mut routes) =
            (NatsCluster::route_ports(), Vec::new(), <[Vec<String>; 3]>::default());
        for (from, routes) in routes.iter_mut().enumerate() {
            for (to, port) in ports.iter().enumerate().filter(|(to, _)| *to != from) {
                let proxy = Proxy::to(SocketAddr::from(([127, 0, 0, 1], port.number()))).await?;
                routes.push(format!("nats://{}", proxy.address()));
                wires.push(Route { from, to, proxy });
            }
        }
        Ok(Self::Three(NatsCluster::start_routed(ports, routes, Some(DISK_BYTES)).await, wires))
    }

    /// Changes how the wires between one server and the two others are.
    pub fn wire_server(&self, server: usize, wire: Wire) {
        if let Self::Three(_, routes) = self {
            routes
                .iter()
                .filter(|route| route.from == server || route.to == server)
                .for_each(|route| route.proxy.set(wire));
        }
    }

    /// All servers.
    pub fn servers(&self) -> &[NatsServer] {
        match self {
            Self::One(server) => std::slice::from_ref(server),
            Self::Three(cluster, _) => &cluster.servers,
        }
    }

    /// All servers, for doing something to them.
    pub fn servers_mut(&mut self) -> &mut [NatsServer] {
        match self {
            Self::One(server) => std::slice::from_mut(server),
            Self::Three(cluster, _) => &mut cluster.servers,
        }
    }

    /// Which server leads the log's stream.
    pub async fn leader(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Three(cluster, _) => cluster.leader().await,
        }
    }

    /// Returns when every server is up to date.
    pub async fn settled(&self) {
        match self {
            Self::One(_) => {}
            Self::Three(cluster, _) => cluster.settled().await,
        }
    }

    /// Where the broker is reached directly, as the command line takes it.
    pub fn url(&self) -> String {
        self.servers().iter().map(NatsServer::url).collect::<Vec<_>>().join(",")
    }

    async fn wires(&self) -> Result<Vec<Proxy>> {
        let mut wires = Vec::new();
        for server in self.servers() {
            let address: SocketAddr = server.url().trim_start_matches("nats://").parse()?;
            wires.push(Proxy::to(address).await?);
        }
        Ok(wires)
    }
}

impl Installation {
    /// Starts every role on this broker, with further lines for the settings' section `[jetstream]`.
    pub async fn start(broker: Broker, jetstream: &str) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let path = |name: &str| data.path().join(name).to_str().map(str::to_owned).context("a path");
        let settings = path("cuiban.toml")?;
        let replicas = broker.servers().len();
        let section = format!("[jetstream]\nreplicas = {replicas}\nconnect_ms_max = 60000\n{jetstream}\n");
        // The alerts' own stream has to find room on a small disk too.
        let section = format!("{section}[notifier.nats]\nkeep_bytes_max = {ALERT_BYTES}\n");
        std::fs::write(&settings, section)?;
        let (gateways_wires, watchdogs_wires) = (broker.wires().await?, broker.wires().await?);
        let serve = async |role: &str, name: &str, nats: &str, more: &[&str]| {
            let args = ["serve", role, "--nats", nats, "--data", &path(name)?, "--config", &settings];
            Process::start(&[&args, more].concat()).await
        };
        let listen = ["--listen", "127.0.0.1:0"];
        let direct = broker.url();
        let (at_gateways, at_watchdogs) = (url(&gateways_wires), url(&watchdogs_wires));
        Ok(Self {
            gateways: [
                serve("gateway", "gateway-1", &at_gateways, &listen).await?,
                serve("gateway", "gateway-2", &at_gateways, &listen).await?,
            ],
            projector: serve("projector", "projector", &direct, &listen).await?,
            watchdogs: [
                serve("watchdog", "watchdog-1", &at_watchdogs, &[]).await?,
                serve("watchdog", "watchdog-2", &at_watchdogs, &[]).await?,
            ],
            notifier: serve("notifier", "notifier", &direct, &[]).await?,
            broker,
            gateways_wires,
            watchdogs_wires,
            _data: data,
        })
    }

    /// The processes of all roles.
    pub fn roles(&mut self) -> impl Iterator<Item = &mut Process> {
        let pairs = self.gateways.iter_mut().chain(&mut self.watchdogs);
        pairs.chain([&mut self.projector, &mut self.notifier])
    }

    /// Changes how the gateways' wires to every server are.
    pub fn wire_gateways(&self, wire: Wire) {
        self.gateways_wires.iter().for_each(|proxy| proxy.set(wire));
    }

    /// Changes how the watchdogs' wires to every server are.
    pub fn wire_watchdogs(&self, wire: Wire) {
        self.watchdogs_wires.iter().for_each(|proxy| proxy.set(wire));
    }

    /// Ends every role as an operator does; each has to end well.
    pub async fn stop(self) -> Result<()> {
        let pairs = self.gateways.into_iter().chain(self.watchdogs);
        for process in pairs.chain([self.projector, self.notifier]) {
            anyhow::ensure!(process.stop().await? == Some(0), "stops cleanly at SIGTERM");
        }
        Ok(())
    }
}

fn url(wires: &[Proxy]) -> String {
    wires.iter().map(|proxy| format!("nats://{}", proxy.address())).collect::<Vec<_>>().join(",")
}
