//! A PostgreSQL of our own: a new cluster in a temporary folder, reached by a socket in it, stopped and removed at the end.
//!
//! Apart from where it listens its settings are PostgreSQL's own; that it syncs before it answers is looked up, not assumed.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use sqlx::Row;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tempfile::TempDir;

/// Where Debian keeps one folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// What has to be on for an answer to mean that the commit is on the disk.
const DURABLE: [&str; 3] = ["fsync", "synchronous_commit", "full_page_writes"];
const MAX_CONNECTIONS: u32 = 100;

/// A running server; dropped, it stops.
pub(crate) struct Server {
    programs: PathBuf,
    owner: Option<Owner>,
    folder: TempDir,
}

/// As whom it runs, where we are root: PostgreSQL refuses to be.
#[derive(Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
}

impl Server {
    /// Makes the cluster and starts it.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let owner = if id("-u", None)? == 0 {
            Some(Owner { uid: id("-u", Some("postgres"))?, gid: id("-g", Some("postgres"))? })
        } else {
            None
        };
        let folder = tempfile::Builder::new().prefix("peers-").tempdir()?;
        if let Some(Owner { uid, gid }) = owner {
            chown(folder.path(), Some(uid), Some(gid))?;
        }
        let server = Self { programs: programs()?, owner, folder };
        server.run("initdb", &["--auth=trust", "--username=bench", "--encoding=UTF8", "--no-locale"])?;
        let socket = server.folder.path().display();
        let settings = format!(
            "-c listen_addresses= -c unix_socket_directories={socket} -c max_connections={MAX_CONNECTIONS} \
             -c fsync=on -c synchronous_commit=on"
        );
        let log = server.folder.path().join("log").display().to_string();
        server.run("pg_ctl", &["start", "--wait", "--silent", "--log", &log, "--options", &settings])?;
        Ok(server)
    }

    /// So many connections, all of them open.
    pub(crate) async fn connect(&self, connections: u32) -> anyhow::Result<PgPool> {
        let options = PgConnectOptions::new_without_pgpass()
            .socket(self.folder.path())
            .username("bench")
            .database("postgres");
        PgPoolOptions::new()
            .min_connections(connections)
            .max_connections(connections)
            // As a pool of an application that is in a hurry: a connection is not asked whether it lives.
            .test_before_acquire(false)
            .connect_with(options)
            .await
            .context("connect to PostgreSQL")
    }

    /// Its version and how it syncs; refused unless a commit that was answered is on the disk.
    pub(crate) async fn describe(&self) -> anyhow::Result<String> {
        let pool = self.connect(1).await?;
        for name in DURABLE {
            let setting = show(&pool, name).await?;
            ensure!(setting == "on", "PostgreSQL has {name} {setting}");
        }
        let (version, method) = (show(&pool, "server_version").await?, show(&pool, "wal_sync_method").await?);
        Ok(format!("PostgreSQL {version}, {} on, {method}", DURABLE.join(", ")))
    }

    /// Runs one of PostgreSQL's programs on the cluster, as its owner.
    fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(self.programs.join(program));
        command.arg("--pgdata").arg(self.folder.path().join("data")).args(arguments);
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        if let Some(Owner { uid, gid }) = self.owner {
            command.uid(uid).gid(gid);
        }
        let status = command.status().with_context(|| format!("run {program}"))?;
        ensure!(status.success(), "{program} failed: {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A cluster that did not get as far as a server has nothing to be stopped.
        if self.folder.path().join("data/postmaster.pid").exists()
            && let Err(error) = self.run("pg_ctl", &["stop", "--wait", "--silent", "--mode=fast"])
        {
            eprintln!("{error:#}");
        }
    }
}

async fn show(pool: &PgPool, name: &str) -> anyhow::Result<String> {
    let row = sqlx::query("SELECT current_setting($1)").bind(name).fetch_one(pool).await?;
    Ok(row.try_get(0)?)
}

/// The folder of the newest installed version's programs.
fn programs() -> anyhow::Result<PathBuf> {
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let found = std::fs::read_dir(DEBIAN)
        .ok()
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.join("bin/initdb").is_file())
        .max_by_key(|path| version(path));
    match found {
        Some(path) => Ok(path.join("bin")),
        None => bail!("there is no PostgreSQL under {DEBIAN} (apt-get install postgresql)"),
    }
}

/// A number that `id` tells.
fn id(which: &str, user: Option<&str>) -> anyhow::Result<u32> {
    let output = Command::new("id").arg(which).args(user).output().context("run id")?;
    ensure!(output.status.success(), "id {which} {}: there is no such user", user.unwrap_or_default());
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}
