//! One server.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Port, SmallDisk};
use crate::Config;

/// How long a server may take until it answers: 2.15.1 restores a compressed stream in a time that grows with the stream
/// (it looks for the beginning of its window of message ids message by message).
const START_MAX: Duration = Duration::from_secs(240);

/// How long a server may take to say how it is.
const HEALTH_MAX: Duration = Duration::from_secs(5);

/// How long a server that listens may take to greet before it is asked again.
const GREETING_MAX: Duration = Duration::from_secs(1);

/// How much of its log a server that does not start is quoted with.
const LAST_LINES: usize = 40;

/// How often a port is tried when another process is quicker.
const PORT_ATTEMPTS_MAX: u32 = 20;

/// Everybody's password on a guarded server.
const PASSWORD: &str = "secret";

/// One running, or killed, server. It is killed when dropped, and its folder removed.
#[derive(Debug)]
pub struct NatsServer {
    process: Option<Child>,
    disk: Option<SmallDisk>,
    folder: TempDir,
    port: Port,
    monitor: Port,
    further: String,
}

impl NatsServer {
    /// Starts a server that syncs before it acknowledges.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts one with users and permissions as the example configuration gives them.
    pub async fn start_guarded() -> Self {
        let example = include_str!("../../../../deploy/nats-server.conf");
        let block = example.lines().skip_while(|line| !line.starts_with("# authorization"));
        let block: Vec<&str> = block.map_while(|line| line.strip_prefix('#')).collect();
        let passwords =
            ["$CUIBAN_NATS_PASSWORD", "$CUIBAN_NATS_INSTALLER_PASSWORD", "$CUIBAN_NATS_SUPERVISOR_PASSWORD"];
        let block =
            passwords.iter().fold(block.join("\n"), |block, password| block.replace(password, PASSWORD));
        Self::start_with(&block).await
    }

    /// A plain client of a guarded server's user.
    pub async fn client_of(&self, user: &str) -> async_nats::Client {
        let options =
            async_nats::ConnectOptions::with_user_and_password(user.to_owned(), PASSWORD.to_owned());
        options.connect(self.url()).await.expect("the user is known")
    }

    /// How a user of a guarded server reaches it.
    pub fn url_of(&self, user: &str) -> String {
        self.url().replace("nats://", &format!("nats://{user}:{PASSWORD}@"))
    }

    /// As [`NatsServer::start`], with further lines for the configuration file.
    pub async fn start_with(further: &str) -> Self {
        Self::start_on_disk(further, None).await
    }

    /// As [`NatsServer::start_with`], with the store on a disk of its own of this size, where such a disk can be had.
    pub async fn start_on_disk(further: &str, disk_bytes: Option<u64>) -> Self {
        for _ in 0..PORT_ATTEMPTS_MAX {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let disk = disk_bytes.and_then(|bytes| SmallDisk::mount(&folder.path().join("store"), bytes));
            let (port, monitor) = (Port::claim(), Port::claim());
            let further = further.to_owned();
            let mut server = Self { process: None, disk, folder, port, monitor, further };
            server.spawn();
            let answers = tokio::time::timeout(START_MAX, server.answers()).await;
            if answers
                .unwrap_or_else(|_| panic!("the server does not start; it says:\n{}", server.last_words()))
            {
                return server;
            }
        }
        panic!("no nats-server could be started");
    }

    /// The address for clients.
    pub fn url(&self) -> String {
        format!("nats://{}", self.port)
    }

    /// A configuration for this server.
    pub fn config(&self) -> Config {
        Config { monitor: Some(self.monitor.to_string()), ..Config::at(self.url()) }
    }

    /// Kills the server as `kill -9` does, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("the server can be killed");
            process.wait().expect("the server can be waited for");
        }
    }

    /// Asks the server to end, as an operator does, and waits until it has.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            signal(&process, "TERM");
            process.wait().expect("the server can be waited for");
        }
    }

    /// Takes the processor away from the server: its connections stand, and nothing answers.
    pub fn pause(&self) {
        signal(self.process.as_ref().expect("a running server"), "STOP");
    }

    /// Lets the paused server go on.
    pub fn resume(&self) {
        signal(self.process.as_ref().expect("a running server"), "CONT");
    }

    /// The disk of its own, if it has one.
    pub fn disk(&self) -> Option<&SmallDisk> {
        self.disk.as_ref()
    }

    /// Whether the server says that it serves and that its part of every stream is up to date.
    pub async fn is_healthy(&self) -> bool {
        let ask = async {
            let mut connection = TcpStream::connect(self.monitor.to_string()).await.ok()?;
            connection.write_all(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n").await.ok()?;
            let mut answer = String::new();
            connection.read_to_string(&mut answer).await.ok()?;
            answer.split_whitespace().nth(1).map(|status| status == "200")
        };
        tokio::time::timeout(HEALTH_MAX, ask).await.ok().flatten().unwrap_or(false)
    }

    /// Starts the killed server again, on the same port and folder.
    pub async fn restart(&mut self) {
        self.kill();
        self.spawn();
        let answers = tokio::time::timeout(START_MAX, self.answers()).await;
        assert!(answers == Ok(true), "the server does not start; it says:\n{}", self.last_words());
    }

    fn spawn(&mut self) {
        let binary =
            std::env::var_os("NATS_SERVER").map_or_else(|| PathBuf::from("nats-server"), PathBuf::from);
        let settings = self.folder.path().join("server.conf");
        let store = self.folder.path().join("store");
        let text = format!(
            "listen: {}\nhttp: {}\njetstream {{ store_dir: {store:?}, sync_interval: always }}\n{}\n",
            self.port, self.monitor, self.further
        );
        std::fs::write(&settings, text).expect("the configuration file can be written");
        let mut command = match &self.disk {
            Some(disk) => disk.command(&binary),
            None => Command::new(&binary),
        };
        command.arg("--config").arg(&settings).arg("--log").arg(self.folder.path().join("server.log"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn();
        self.process = Some(process.unwrap_or_else(|error| panic!("start {}: {error}", binary.display())));
    }

    /// Waits for the server's greeting; false when the process has ended.
    async fn answers(&mut self) -> bool {
        let mut again = tokio::time::interval(Duration::from_millis(10));
        loop {
            again.tick().await;
            if greets(&self.port).await {
                return true;
            }
            let ended = self.process.as_mut().is_none_or(|process| !matches!(process.try_wait(), Ok(None)));
            if ended {
                return false;
            }
        }
    }

    /// The end of the server's log.
    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn greets(port: &Port) -> bool {
    let greeting = async {
        let mut connection = TcpStream::connect(port.to_string()).await.ok()?;
        let mut greeting = [0; 4];
        connection.read_exact(&mut greeting).await.ok()?;
        Some(&greeting == b"INFO")
    };
    tokio::time::timeout(GREETING_MAX, greeting).await.ok().flatten().unwrap_or(false)
}

fn signal(process: &Child, name: &str) {
    let pid = process.id().to_string();
    let sent = Command::new("kill").args([format!("-{name}").as_str(), &pid]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill -{name} {pid}");
}
