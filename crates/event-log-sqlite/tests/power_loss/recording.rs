//! What a process did to the files of its folder, operation by operation.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use crate::disk::Disk;
use crate::{scratch, workload};

/// Tells the process, and the recorder in it, where it works.
pub(crate) const FOLDER: &str = "CUIBAN_TEST_RECORDED_FOLDER";
const RECORDING: &str = "CUIBAN_TEST_RECORDING";

/// One operation. A descriptor is a number until it is closed; names are without the folder.
#[derive(Clone, Debug)]
pub(crate) enum Recorded {
    Open {
        fd: i32,
        name: String,
        existed: bool,
    },
    Close {
        fd: i32,
    },
    Write {
        fd: i32,
        at: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        fd: i32,
        length: usize,
    },
    Sync {
        fd: i32,
    },
    Unlink {
        name: String,
    },
    /// The process told somebody that these commits are stored.
    Acknowledged {
        line: String,
    },
}

/// Everything that one process did.
pub(crate) struct Recording {
    pub(crate) ops: Vec<Recorded>,
}

impl Recording {
    /// Runs the process on these files, from its start to its end.
    pub(crate) fn of(base: &Disk) -> Self {
        let folder = scratch();
        let (work, file) = (folder.path().join("work"), folder.path().join("recording"));
        std::fs::create_dir(&work).unwrap();
        base.write(&work);
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["appends_while_recorded", "--exact", "--ignored", "--nocapture"])
            .env(FOLDER, &work)
            .env(RECORDING, &file)
            .env("LD_PRELOAD", &RECORDER.library)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { ops: parse(&std::fs::read(file).unwrap(), &work) }
    }

    pub(crate) fn acknowledgements(&self) -> usize {
        self.ops.iter().filter(|op| matches!(op, Recorded::Acknowledged { .. })).count()
    }
}

/// The recorder, built once for all tests of this process.
struct Recorder {
    library: PathBuf,
    _folder: tempfile::TempDir,
}

static RECORDER: LazyLock<Recorder> = LazyLock::new(|| {
    let folder = scratch();
    let library = folder.path().join("recorder.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power_loss/recorder.c");
    let cc = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut build = Command::new(cc);
    build.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).args(["-ldl", "-lpthread"]);
    assert!(build.status().expect("a C compiler").success(), "{build:?}");
    Recorder { library, _folder: folder }
});

fn parse(mut bytes: &[u8], folder: &Path) -> Vec<Recorded> {
    let (mut ops, mut acknowledgements) = (Vec::new(), None);
    while let Some((head, rest)) = bytes.split_first_chunk::<17>() {
        let fd = i32::from_le_bytes(head[1..5].try_into().unwrap());
        let number = usize::try_from(u64::from_le_bytes(head[5..13].try_into().unwrap())).unwrap();
        let length = u32::from_le_bytes(head[13..17].try_into().unwrap()) as usize;
        let (data, rest) = rest.split_at(length);
        bytes = rest;
        let name = || name_in(folder, std::str::from_utf8(data).unwrap());
        ops.push(match head[0] {
            b'o' if name() == workload::ACKNOWLEDGED => {
                acknowledgements = Some(fd);
                continue;
            }
            b'w' if acknowledgements == Some(fd) => {
                Recorded::Acknowledged { line: String::from_utf8(data.to_vec()).unwrap() }
            }
            b'c' if acknowledgements == Some(fd) => {
                acknowledgements = None;
                continue;
            }
            b'o' => Recorded::Open { fd, name: name(), existed: number == 1 },
            b'c' => Recorded::Close { fd },
            b'w' => Recorded::Write { fd, at: number, bytes: data.to_vec() },
            b't' => Recorded::Truncate { fd, length: number },
            b's' => Recorded::Sync { fd },
            b'u' => Recorded::Unlink { name: name() },
            other => panic!("an operation {other} that is not modelled"),
        });
    }
    assert!(bytes.is_empty(), "the recording is cut off");
    ops
}

/// The file's name; nothing for the folder itself.
fn name_in(folder: &Path, path: &str) -> String {
    let rest = Path::new(path).strip_prefix(folder).expect("a path of the folder");
    rest.to_str().unwrap().to_owned()
}
