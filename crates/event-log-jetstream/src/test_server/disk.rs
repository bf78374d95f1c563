//! A small file system in a mount namespace of its own.
//!
//! A full disk cannot be played by a limit: the broker does other things when a write fails than when it refuses one.
//! A holder process keeps the namespace with its tmpfs alive over the server's deaths; servers are started into it.
//! It ends when its standard input is closed, so nothing is left mounted, whatever becomes of the test.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Makes the mount, says so, and waits for the end of its input.
const HOLD: &str = r#"mount -t tmpfs -o "size=$2" cuiban-test "$1" && echo mounted && exec cat"#;

/// By how much a full disk is filled at a time, in bytes.
const FILLED_AT_A_TIME: [usize; 2] = [1 << 20, 1 << 12];

/// A tmpfs that only processes started through it can see.
#[derive(Debug)]
pub struct SmallDisk {
    holder: Child,
    seen_from_here: PathBuf,
}

impl SmallDisk {
    /// Mounts a file system of this size over `folder`; `None` where this user may not (no user namespaces).
    pub fn mount(folder: &Path, bytes: u64) -> Option<Self> {
        std::fs::create_dir_all(folder).expect("the folder can be made");
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", HOLD, "sh"]);
        command.arg(folder).arg(bytes.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut holder = command.spawn().ok()?;
        let mut said = String::new();
        let told = holder.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut said));
        if !matches!(told, Some(Ok(_))) || said.trim() != "mounted" {
            holder.kill().ok();
            holder.wait().ok();
            return None;
        }
        let root = PathBuf::from(format!("/proc/{}/root", holder.id()));
        let seen_from_here = root.join(folder.strip_prefix("/").expect("an absolute path"));
        Some(Self { holder, seen_from_here })
    }

    fn ballast(&self) -> PathBuf {
        self.seen_from_here.join("ballast")
    }

    /// A command that sees this disk.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--user", "--mount", "--preserve-credentials", "--target"]);
        command.arg(self.holder.id().to_string()).arg("--").arg(program);
        command
    }

    /// Takes up every free byte.
    pub fn fill(&self) {
        let mut ballast = OpenOptions::new().create(true).append(true).open(self.ballast()).expect("ballast");
        for bytes in FILLED_AT_A_TIME {
            let zeros = vec![0; bytes];
            loop {
                match ballast.write_all(&zeros) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("fill the disk: {error}"),
                }
            }
        }
    }

    /// Gives the space back.
    pub fn free(&self) {
        File::create(self.ballast()).expect("the ballast can be emptied");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        self.holder.wait().ok();
    }
}
