//! What the figures were measured on, and how much memory the process holds.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::Spread;
use crate::stopwatch::timed;

/// The machine, as far as it says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// How many of its threads we may use.
    pub cores: usize,
    /// Its memory in MiB.
    pub memory_mib: u64,
    /// The operating system's kernel.
    pub kernel: String,
    /// How long it takes to append 4 KiB to a file and to sync it, where temporary files are kept, in microseconds.
    pub sync_us: Spread,
}

const SYNCS: usize = 200;

impl Machine {
    /// This machine.
    pub fn here() -> std::io::Result<Self> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let processor = field(&read("/proc/cpuinfo"), "model name").unwrap_or(std::env::consts::ARCH.into());
        let memory_kib = field(&read("/proc/meminfo"), "MemTotal").and_then(|text| number(&text));
        Ok(Self {
            processor,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory_kib.unwrap_or_default() / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            sync_us: syncs(tempfile::tempdir()?.path())?,
        })
    }
}

fn syncs(folder: &Path) -> std::io::Result<Spread> {
    let mut file = std::fs::File::create(folder.join("synced"))?;
    let mut took_us = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let (took, result) = timed(|| file.write_all(&[7; 4096]).and_then(|()| file.sync_data()));
        result?;
        took_us.push(took.as_secs_f64() * 1e6);
    }
    Ok(Spread::of(took_us))
}

/// What the process holds of memory now, in KiB; none where the system does not tell.
pub(crate) fn resident_kib() -> Option<u64> {
    status("VmRSS")
}

/// The most that it held since [`forget_peak`], in MiB.
pub(crate) fn peak_mib() -> Option<u64> {
    status("VmHWM").map(|kib| kib / 1024)
}

/// Begins to look for a new peak. Where that is refused, the peak is that of the whole run.
pub(crate) fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn status(name: &str) -> Option<u64> {
    number(&field(&std::fs::read_to_string("/proc/self/status").ok()?, name)?)
}

fn field(text: &str, name: &str) -> Option<String> {
    let of_name = |line: &str| -> Option<String> {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim().to_owned())
    };
    text.lines().find_map(of_name)
}

fn number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_field_and_its_number() {
        let text = "Name:\tcuiban\nVmRSS:\t  1234 kB\n";
        assert_eq!(field(text, "VmRSS").as_deref().and_then(number), Some(1234));
        assert_eq!(field(text, "VmHWM"), None);
    }
}
