//! Three servers.

use std::time::Duration;

use serde_json::Value;

use super::{NatsServer, Port};
use crate::Config;

/// How long the servers may take until one leads, or until one that came back is as far as the others.
const SETTLE_MAX: Duration = Duration::from_secs(240);

/// Three servers that keep streams together.
#[derive(Debug)]
pub struct NatsCluster {
    /// The servers, each to be killed and restarted by itself.
    pub servers: Vec<NatsServer>,
    _route_ports: [Port; 3],
}

impl NatsCluster {
    /// Starts three servers. Whoever connects waits until they have found each other.
    pub async fn start() -> Self {
        let route_ports = Self::route_ports();
        let routes = route_ports.each_ref().map(|port| format!("nats://{port}")).to_vec();
        Self::start_routed(route_ports, [routes.clone(), routes.clone(), routes], None).await
    }

    /// Free ports for the servers to reach each other on.
    pub fn route_ports() -> [Port; 3] {
        [Port::claim(), Port::claim(), Port::claim()]
    }

    /// As [`NatsCluster::start`], where each server takes these routes to the others and no way around them, and has a
    /// disk of its own of this size.
    pub async fn start_routed(
        route_ports: [Port; 3],
        routes: [Vec<String>; 3],
        disk_bytes: Option<u64>,
    ) -> Self {
        let mut servers = Vec::new();
        for (n, (port, routes)) in route_ports.iter().zip(routes).enumerate() {
            // Clients and servers keep to the addresses they were given: some of them are proxies'. So what servers tell
            // each other of a third leads nowhere.
            let further = format!(
                "server_name: test-{n}\ncluster {{ name: test, listen: \"{port}\", advertise: \"127.0.0.1:1\", \
                 no_advertise: true, routes: [{}] }}",
                routes.join(", ")
            );
            servers.push(NatsServer::start_on_disk(&further, disk_bytes).await);
        }
        Self { servers, _route_ports: route_ports }
    }

    /// A configuration for all three, with the stream on each.
    pub fn config(&self) -> Config {
        let servers = self.servers.iter().map(NatsServer::url).collect();
        Config { servers, replicas: 3, connect_ms_max: 60_000, ..self.servers[0].config() }
    }

    /// Which server leads the stream `CUIBAN`; waits until one does.
    pub async fn leader(&self) -> usize {
        let servers: Vec<String> = self.config().servers;
        let mut again = tokio::time::interval(Duration::from_millis(20));
        let found = async {
            let client = async_nats::connect(servers).await.expect("one of the servers answers");
            loop {
                again.tick().await;
                let answer = client.request("$JS.API.STREAM.INFO.CUIBAN", "".into()).await.ok();
                if let Some(leader) = answer.and_then(|answer| leader_named(&answer.payload)) {
                    return leader;
                }
            }
        };
        tokio::time::timeout(SETTLE_MAX, found).await.expect("somebody leads the stream")
    }

    /// Returns when each server says that its part of every stream is as far as the leader's.
    pub async fn settled(&self) {
        let mut again = tokio::time::interval(Duration::from_millis(50));
        let settled = async {
            for server in &self.servers {
                while !server.is_healthy().await {
                    again.tick().await;
                }
            }
        };
        tokio::time::timeout(SETTLE_MAX, settled).await.expect("the servers agree in time");
    }
}

fn leader_named(info: &[u8]) -> Option<usize> {
    let info: Value = serde_json::from_slice(info).ok()?;
    info["cluster"]["leader"].as_str()?.strip_prefix("test-")?.parse().ok()
}
