//! One `cuiban` process.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cuiban_event_log_jetstream::test_server::Port;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

/// How long a process may take until it says where it listens, or until it ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary that was built beside this test.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("CUIBAN_BIN") {
        return Ok(path.into());
    }
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(|deps| deps.parent()).context("the target folder")?;
    let path = folder.join("cuiban");
    if !path.exists() {
        bail!("{} is missing: cargo build -p cuiban-cli", path.display());
    }
    Ok(path)
}

/// A `cuiban up` or `cuiban serve`. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    args: Vec<OsString>,
    ready: &'static str,
    child: Option<Child>,
    url: String,
    _port: Option<Port>,
}

impl Process {
    /// Starts it; returns when it says that it is ready. In the place of `127.0.0.1:0` among the arguments it gets a
    /// port that stays its own when it is started again.
    pub async fn start(args: &[&str]) -> Result<Self> {
        let mut args: Vec<OsString> = args.iter().map(OsString::from).collect();
        let port = args.iter_mut().find(|arg| *arg == "127.0.0.1:0").map(|listen| {
            let port = Port::claim();
            *listen = port.to_string().into();
            port
        });
        let ready = match args.get(1).and_then(|role| role.to_str()) {
            Some("watchdog") => "cuiban: watching",
            Some("notifier") => "cuiban: notifying",
            _ => "cuiban: http://",
        };
        let mut process = Self { args, ready, child: None, url: String::new(), _port: port };
        process.spawn().await?;
        Ok(process)
    }

    /// Where it is reached.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// As `kill -9`; returns when the process is gone.
    pub async fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Kills it and starts it again in the same place.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill().await?;
        self.spawn().await
    }

    /// Kills it, starts it again, and kills it this long after, unless it is ready before; answers whether it was not.
    pub async fn restart_cut_short(&mut self, after: Duration) -> Result<bool> {
        self.kill().await?;
        let (mut child, mut lines) = self.begin()?;
        let ready = self.ready;
        let died_early = tokio::select! {
            biased;
            () = tokio::time::sleep(after) => true,
            said = until_ready(&mut lines, ready) => said.map(|_| false)?,
        };
        child.kill().await?;
        Ok(died_early)
    }

    /// Takes the processor away from it: its connections stand, and it does nothing.
    pub async fn pause(&self) -> Result<()> {
        self.signal("STOP").await
    }

    /// Lets the paused process go on.
    pub async fn resume(&self) -> Result<()> {
        self.signal("CONT").await
    }

    async fn signal(&self, name: &str) -> Result<()> {
        let pid = self.child.as_ref().and_then(Child::id).context("a running process")?;
        let sent = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().await?;
        anyhow::ensure!(sent.success(), "kill -{name} {pid}");
        Ok(())
    }

    /// Asks it to stop, as `kill` does; answers its exit code.
    pub async fn stop(mut self) -> Result<Option<i32>> {
        self.signal("TERM").await?;
        let mut child = self.child.take().context("a running process")?;
        Ok(tokio::time::timeout(PATIENCE, child.wait()).await.context("the process ends in time")??.code())
    }

    async fn spawn(&mut self) -> Result<()> {
        let (child, mut lines) = self.begin()?;
        let said = tokio::time::timeout(PATIENCE, until_ready(&mut lines, self.ready));
        let line = said.await.context("the process is ready in time")??;
        if let Some(url) = line.strip_prefix("cuiban: ").filter(|url| url.starts_with("http")) {
            self.url = url.to_owned();
        }
        // Read on, so that the process never waits for a full pipe.
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                tell(&line);
            }
        });
        self.child = Some(child);
        Ok(())
    }

    fn begin(&self) -> Result<(Child, Lines<BufReader<ChildStderr>>)> {
        let mut command = Command::new(binary()?);
        command
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let lines = BufReader::new(child.stderr.take().context("a pipe")?).lines();
        Ok((child, lines))
    }
}

/// Reads what a process says until it says that it is ready; answers that line.
async fn until_ready(lines: &mut Lines<BufReader<ChildStderr>>, ready: &str) -> Result<String> {
    let mut before = Vec::new();
    while let Some(line) = lines.next_line().await? {
        if line.starts_with(ready) {
            return Ok(line);
        }
        tell(&line);
        before.push(line);
    }
    bail!("the process ended before it was ready:\n{}", before.join("\n"))
}

/// Passes on what a process says, where somebody wants to read it.
fn tell(line: &str) {
    if std::env::var_os("CUIBAN_TEST_STDERR").is_some() {
        eprintln!("{line}");
    }
}
