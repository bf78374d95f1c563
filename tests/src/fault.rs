//! What goes wrong in a round, and how it is put right.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use cuiban_event_log_jetstream::test_server::{NatsServer, SmallDisk};

use crate::stopwatch::now;
use crate::{Installation, Wire};

/// How long a full disk may take until its server notices: it has to want to write.
const ILL_AFTER_MAX: Duration = Duration::from_secs(5);

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `kill -9` of servers of the broker; started again.
    Kill(Whom),
    /// `SIGSTOP`, then `SIGCONT`, to servers of the broker.
    Pause(Whom),
    /// Not a byte is free on the disk of servers of the broker; then there is room again.
    FullDisk(Whom),
    /// The network between one server and the two others, long enough for these to choose another leader.
    Partition(Whom),
    /// The network between the gateways and the broker.
    GatewaysWire(Wire),
    /// The network between the watchdogs and the broker.
    WatchdogsWire(Wire),
    /// `kill -9` of gateways, watchdogs, projector and notifier at once; started again.
    KillRoles,
    /// `SIGSTOP`, then `SIGCONT`, to gateways, watchdogs, projector and notifier.
    PauseRoles,
    /// One server after the other is ended, started and waited for, as in an upgrade.
    RollingRestart,
}

/// Which servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whom {
    /// The stream's leader; on one server, that one.
    Leader,
    /// One that follows.
    Follower,
    /// All of three.
    All,
}

/// How long servers take at most until they choose another leader.
const ELECTION: Duration = Duration::from_secs(9);

/// A fault that is there.
#[derive(Debug)]
pub struct Injected {
    /// Which servers it was done to.
    pub servers: Vec<usize>,
    /// Since when.
    pub began_at: Instant,
}

impl Fault {
    /// What can go wrong with one server.
    pub fn of_one() -> Vec<Self> {
        let broker = [Self::Kill(Whom::Leader), Self::Pause(Whom::Leader), Self::FullDisk(Whom::Leader)];
        [broker.as_slice(), &Self::of_processes()].concat()
    }

    /// What can go wrong with three.
    pub fn of_three() -> Vec<Self> {
        let leader = [Self::Kill(Whom::Leader), Self::Pause(Whom::Leader), Self::FullDisk(Whom::Leader)];
        let follower =
            [Self::Kill(Whom::Follower), Self::Pause(Whom::Follower), Self::FullDisk(Whom::Follower)];
        let all = [Self::RollingRestart, Self::Kill(Whom::All), Self::Pause(Whom::All)];
        let apart = [Self::Partition(Whom::Leader), Self::Partition(Whom::Follower)];
        [leader.as_slice(), &follower, &all, &apart, &Self::of_processes()].concat()
    }

    fn of_processes() -> Vec<Self> {
        let wires = [Wire::Cut, Wire::Silent, Wire::Deaf];
        let wires = wires.into_iter().flat_map(|wire| [Self::GatewaysWire(wire), Self::WatchdogsWire(wire)]);
        wires.chain([Self::KillRoles, Self::PauseRoles]).collect()
    }

    /// Whether gateways must say "not now" while this fault lasts: they cannot reach the log, and know it.
    pub fn is_known_absence(self, servers: usize) -> bool {
        match self {
            Self::Kill(whom) => servers == 1 || whom == Whom::All,
            Self::GatewaysWire(wire) => wire == Wire::Cut,
            _ => false,
        }
    }

    /// How long it lasts, where faults last this long.
    pub fn lasts(self, drawn: Duration) -> Duration {
        match self {
            Self::Partition(_) => drawn + ELECTION,
            _ => drawn,
        }
    }

    /// Makes it go wrong.
    pub async fn inject(self, installation: &mut Installation) -> Result<Injected> {
        let servers = match self {
            Self::Kill(whom) | Self::Pause(whom) | Self::FullDisk(whom) | Self::Partition(whom) => {
                whom.of(installation).await
            }
            _ => Vec::new(),
        };
        let before = now();
        for number in &servers {
            let server = &mut installation.broker.servers_mut()[*number];
            match self {
                Self::Kill(_) => server.kill(),
                Self::Pause(_) => server.pause(),
                Self::Partition(_) => installation.broker.wire_server(*number, Wire::Silent),
                _ => {
                    server.disk().into_iter().for_each(SmallDisk::fill);
                    // What fits in the page that was begun is stored still.
                    until_ill(server).await;
                }
            }
        }
        match self {
            Self::GatewaysWire(wire) => installation.wire_gateways(wire),
            Self::WatchdogsWire(wire) => installation.wire_watchdogs(wire),
            Self::KillRoles => {
                for role in installation.roles() {
                    role.kill().await?;
                }
            }
            Self::PauseRoles => {
                for role in installation.roles() {
                    role.pause().await?;
                }
            }
            Self::RollingRestart => rolling_restart(installation).await,
            Self::Kill(_) | Self::Pause(_) | Self::FullDisk(_) | Self::Partition(_) => {}
        }
        let began_at = if self == Self::RollingRestart { before } else { now() };
        Ok(Injected { servers, began_at })
    }

    /// Puts it right again.
    pub async fn lift(self, installation: &mut Installation, injected: &Injected) -> Result<()> {
        for number in &injected.servers {
            let server = &mut installation.broker.servers_mut()[*number];
            match self {
                Self::Kill(_) => server.restart().await,
                Self::Pause(_) => server.resume(),
                Self::Partition(_) => installation.broker.wire_server(*number, Wire::Whole),
                _ => {
                    server.disk().into_iter().for_each(SmallDisk::free);
                    // A server that could not write gives up its store until it is started again.
                    tokio::task::block_in_place(|| server.stop());
                    server.restart().await;
                }
            }
        }
        match self {
            Self::GatewaysWire(_) => installation.wire_gateways(Wire::Whole),
            Self::WatchdogsWire(_) => installation.wire_watchdogs(Wire::Whole),
            Self::KillRoles => {
                for role in installation.roles() {
                    role.restart().await?;
                }
            }
            Self::PauseRoles => {
                for role in installation.roles() {
                    role.resume().await?;
                }
            }
            Self::RollingRestart
            | Self::Kill(_)
            | Self::Pause(_)
            | Self::FullDisk(_)
            | Self::Partition(_) => {}
        }
        Ok(())
    }
}

/// Returns when the server says that something is wrong with it, or has had long enough to.
async fn until_ill(server: &NatsServer) {
    let mut again = tokio::time::interval(Duration::from_millis(20));
    let ill = async {
        while server.is_healthy().await {
            again.tick().await;
        }
    };
    tokio::time::timeout(ILL_AFTER_MAX, ill).await.ok();
}

impl Whom {
    async fn of(self, installation: &Installation) -> Vec<usize> {
        let (leader, servers) = (installation.broker.leader().await, installation.broker.servers().len());
        match self {
            Self::Leader => vec![leader],
            Self::Follower => vec![(leader + 1) % servers],
            Self::All => (0..servers).collect(),
        }
    }
}

async fn rolling_restart(installation: &mut Installation) {
    for n in 0..installation.broker.servers().len() {
        let server = &mut installation.broker.servers_mut()[n];
        tokio::task::block_in_place(|| server.stop());
        server.restart().await;
        installation.broker.settled().await;
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whom = |whom: &Whom| match whom {
            Whom::Leader => "leader",
            Whom::Follower => "follower",
            Whom::All => "all three",
        };
        let wire = |wire: &Wire| match wire {
            Wire::Whole => "whole",
            Wire::Cut => "cut",
            Wire::Silent => "silent",
            Wire::Deaf => "no answers",
        };
        let text = match self {
            Self::Kill(servers) => format!("kill -9 broker: {}", whom(servers)),
            Self::Pause(servers) => format!("SIGSTOP broker: {}", whom(servers)),
            Self::FullDisk(servers) => format!("disk full: {}", whom(servers)),
            Self::Partition(servers) => format!("cut off: {}", whom(servers)),
            Self::GatewaysWire(state) => format!("gateways' network: {}", wire(state)),
            Self::WatchdogsWire(state) => format!("watchdogs' network: {}", wire(state)),
            Self::KillRoles => "kill -9 every role".to_owned(),
            Self::PauseRoles => "SIGSTOP every role".to_owned(),
            Self::RollingRestart => "rolling restart".to_owned(),
        };
        f.pad(&text)
    }
}
