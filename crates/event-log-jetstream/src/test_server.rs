//! A real nats-server for tests: started on a free port with a folder of its own, killed, restarted.
//!
//! The binary is taken from the environment variable `NATS_SERVER`, or found on the path.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::Config;

/// How long a server may take until it answers.
const START_MAX: Duration = Duration::from_secs(30);

/// How often a port is tried when another process is quicker.
const PORT_ATTEMPTS_MAX: u32 = 20;

/// One running, or killed, server. It is killed when dropped, and its folder removed.
///
/// Every method panics when the server does not do what is asked: this is for tests.
#[derive(Debug)]
pub struct NatsServer {
    process: Option<Child>,
    folder: TempDir,
    port: u16,
    monitor_port: u16,
    further: String,
}

impl NatsServer {
    /// Starts a server that syncs before it acknowledges.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// As [`NatsServer::start`], with further lines for the configuration file.
    pub async fn start_with(further: &str) -> Self {
        for _ in 0..PORT_ATTEMPTS_MAX {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let (port, monitor_port) = (free_port(), free_port());
            let mut server = Self { process: None, folder, port, monitor_port, further: further.to_owned() };
            server.spawn();
            if server.answers().await {
                return server;
            }
        }
        panic!("no nats-server could be started");
    }

    /// The address for clients.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A configuration for this server.
    pub fn config(&self) -> Config {
        Config { monitor: Some(format!("127.0.0.1:{}", self.monitor_port)), ..Config::at(self.url()) }
    }

    /// Kills the server as `kill -9` does, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("the server can be killed");
            process.wait().expect("the server can be waited for");
        }
    }

    /// Starts the killed server again, on the same port and folder.
    pub async fn restart(&mut self) {
        self.kill();
        self.spawn();
        assert!(self.answers().await, "the server answers again");
    }

    fn spawn(&mut self) {
        let binary =
            std::env::var_os("NATS_SERVER").map_or_else(|| PathBuf::from("nats-server"), PathBuf::from);
        let settings = self.folder.path().join("server.conf");
        let store = self.folder.path().join("store");
        let text = format!(
            "listen: 127.0.0.1:{}\nhttp: 127.0.0.1:{}\njetstream {{ store_dir: {store:?}, sync_interval: always }}\n{}\n",
            self.port, self.monitor_port, self.further
        );
        std::fs::write(&settings, text).expect("the configuration file can be written");
        let mut command = Command::new(&binary);
        command.arg("--config").arg(&settings).arg("--log").arg(self.folder.path().join("server.log"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn();
        self.process = Some(process.unwrap_or_else(|error| panic!("start {}: {error}", binary.display())));
    }

    /// Waits for the server's greeting; false when the process has ended.
    async fn answers(&mut self) -> bool {
        let mut again = tokio::time::interval(Duration::from_millis(10));
        let greeted = async {
            loop {
                again.tick().await;
                if greets(self.port).await {
                    return true;
                }
                let ended =
                    self.process.as_mut().is_none_or(|process| !matches!(process.try_wait(), Ok(None)));
                if ended {
                    return false;
                }
            }
        };
        tokio::time::timeout(START_MAX, greeted).await.expect("the server starts in time")
    }
}

/// Three servers that keep streams together.
#[derive(Debug)]
pub struct NatsCluster {
    /// The servers, each to be killed and restarted by itself.
    pub servers: Vec<NatsServer>,
}

impl NatsCluster {
    /// Starts three servers. Whoever connects waits until they have found each other.
    pub async fn start() -> Self {
        let route_ports = [free_port(), free_port(), free_port()];
        let routes = route_ports.map(|port| format!("nats://127.0.0.1:{port}")).join(", ");
        let mut servers = Vec::new();
        for (n, port) in route_ports.iter().enumerate() {
            let listen = format!("name: test, listen: \"127.0.0.1:{port}\", routes: [{routes}]");
            servers.push(
                NatsServer::start_with(&format!("server_name: test-{n}\ncluster {{ {listen} }}")).await,
            );
        }
        Self { servers }
    }

    /// A configuration for all three, with the stream on each.
    pub fn config(&self) -> Config {
        let servers = self.servers.iter().map(NatsServer::url).collect();
        Config { servers, replicas: 3, connect_ms_max: 60_000, ..self.servers[0].config() }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn greets(port: u16) -> bool {
    let Ok(mut connection) = TcpStream::connect(("127.0.0.1", port)).await else { return false };
    let mut greeting = [0; 4];
    connection.read_exact(&mut greeting).await.is_ok() && &greeting == b"INFO"
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("the port's number").port()
}
