//! Damage by the hundred: a log's rows, the bytes of its file and the bytes of an export are edited, dropped, swapped,
//! put between and cut off, and `cuiban log verify` names the first commit that is not as it was written.
//!
//! `CUIBAN_DAMAGES=1000` does so many of each kind (`just damage`), a few otherwise.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use acceptance::{Client, Process, binary};
use anyhow::{Context, Result, ensure};
use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use serde_json::{Value, json};

/// How many damages of each kind there are when nobody says otherwise.
const DAMAGES: u64 = 40;
const TICKETS: usize = 25;

fn damages() -> Result<u64> {
    Ok(std::env::var("CUIBAN_DAMAGES").map_or(Ok(DAMAGES), |count| count.parse())?)
}

/// A log that a real process has written, closed, and its export.
struct Written {
    folder: tempfile::TempDir,
}

impl Written {
    async fn new() -> Result<Self> {
        let written = Self { folder: tempfile::tempdir()? };
        let data = written.data();
        let data = data.to_str().context("a path")?;
        let process = Process::start(&["up", "--data", data, "--listen", "127.0.0.1:0"]).await?;
        let client = Client::new(process.url())?;
        client.set_up(3600, 3600).await?;
        for n in 0..TICKETS {
            let call = json!({
                "kind": "repair", "channel": "phone", "branch": "B0", "area": "urban", "product_model": "KFR-35GW",
                "description": "不制冷".repeat(1 + n * n % 300), "customer": { "name": "客户", "phone": "138-0013-8000" },
            });
            let registered = client.until_acknowledged("/v1/tickets", &format!("call-{n}"), &call).await?;
            let ticket = registered.context("registered")?.id;
            for (verb, body) in
                [("respond", json!({ "channel": "phone" })), ("dispatch", json!({ "technician": "T1" }))]
            {
                let path = format!("/v1/tickets/{ticket}/{verb}");
                client.until_acknowledged(&path, &format!("{verb}-{n}"), &body).await?.context("obeyed")?;
            }
        }
        ensure!(process.stop().await? == Some(0));
        // One file, whatever the process left in its write-ahead log: the last connection that closes copies it.
        drop(
            Connection::open(written.log())
                .and_then(|last| last.execute_batch("SELECT 1 FROM commits LIMIT 1").map(|()| last))?,
        );
        ensure!(!written.data().join("log.sqlite-wal").exists(), "the log was closed, so it is one file");
        let export = written.export();
        let exported =
            Command::new(binary()?).args(["log", "export", "--data", data]).arg(&export).output()?;
        ensure!(exported.status.success(), "{exported:?}");
        Ok(written)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.data().join("log.sqlite")
    }

    fn export(&self) -> PathBuf {
        self.folder.path().join("log.export")
    }

    /// A folder with a copy of the log alone.
    fn copy(&self) -> Result<tempfile::TempDir> {
        let copy = tempfile::tempdir_in(self.folder.path())?;
        std::fs::copy(self.log(), copy.path().join("log.sqlite"))?;
        Ok(copy)
    }
}

/// What `log verify` says: its JSON, or what it wrote to stderr where it could not even begin.
struct Said {
    noticed: bool,
    json: Option<Value>,
    stderr: String,
}

fn verify(args: &[&str], path: &Path) -> Result<Said> {
    let output = Command::new(binary()?)
        .args(["log", "verify", "--json"])
        .args(args)
        .arg(path)
        .stdin(Stdio::null())
        .output()?;
    let code = output.status.code().context("the process died")?;
    ensure!((0..=2).contains(&code), "exit code {code}");
    Ok(Said {
        noticed: code != 0,
        json: serde_json::from_slice(&output.stdout).ok(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

impl Said {
    fn first_position(&self) -> Option<u64> {
        self.json.as_ref()?["first_fault"]["position"].as_u64()
    }
}

#[derive(Debug)]
struct Draws(u64);

impl Draws {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }
}

#[tokio::test]
async fn damaged_rows_are_named() -> Result<()> {
    let written = Written::new().await?;
    let sound = verify(&["--data"], &written.data())?;
    ensure!(!sound.noticed && sound.json.context("JSON")?["faults"] == 0, "{}", sound.stderr);
    let mut draws = Draws(1);
    for number in 0..damages()? {
        let copy = written.copy()?;
        let (what, position) = damage_rows(&copy.path().join("log.sqlite"), &mut draws)?;
        let said = verify(&["--data"], copy.path())?;
        ensure!(
            said.noticed && said.first_position() == Some(position),
            "{number}: {what} at {position}: {:?} {}",
            said.json,
            said.stderr
        );
        let first = &said.json.as_ref().context("JSON")?["first_fault"];
        let is_gone = what == "dropped" || what == "cut off";
        ensure!(
            is_gone || (first["stream"].is_string() && first["revision"].is_u64()),
            "{number}: {what}: {first}"
        );
    }
    Ok(())
}

/// Takes the triggers away, does one damage, puts them back; tells what it was and the first position that is bad.
fn damage_rows(file: &Path, draws: &mut Draws) -> Result<(&'static str, u64)> {
    let shell = Connection::open(file)?;
    let triggers = shell
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")?
        .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(String, String)>>>()?;
    for (name, _) in &triggers {
        shell.execute_batch(&format!("DROP TRIGGER {name}"))?;
    }
    let last: i64 = shell.query_row("SELECT max(position) FROM commits", (), |row| row.get(0))?;
    let last = last.cast_unsigned();
    let (one, two) = (1 + draws.below(last).cast_signed(), 1 + draws.below(last - 1).cast_signed());
    let damage = match draws.below(8) {
        0..=2 => {
            let mut payload: Vec<u8> =
                shell
                    .query_row("SELECT payload FROM commits WHERE position = ?1", [one], |row| row.get(0))?;
            let at = draws.place(payload.len());
            payload[at] ^= 1 << draws.below(8);
            shell.execute("UPDATE commits SET payload = ?2 WHERE position = ?1", (one, payload))?;
            ("edited payload", one)
        }
        3 => {
            let change = [
                "branch = branch || 'x'",
                "class = 'alert'",
                "stream_id = stream_id || '0'",
                "stream_kind = 'report'",
                "revision = revision + 1000",
                "commit_id = zeroblob(16)",
                "seal = zeroblob(32)",
            ][draws.place(7)];
            shell.execute(&format!("UPDATE commits SET {change} WHERE position = ?1"), [one])?;
            ("edited column", one)
        }
        4 => {
            shell.execute("DELETE FROM commits WHERE position = ?1", [one])?;
            ("dropped", one)
        }
        5 => {
            let other = if two >= one { two + 1 } else { two };
            for (from, to) in [(one, 0), (other, one), (0, other)] {
                shell.execute("UPDATE commits SET position = ?2 WHERE position = ?1", (from, to))?;
            }
            ("swapped", one.min(other))
        }
        6 => {
            shell.execute_batch(&format!(
                "UPDATE commits SET position = -position - 1 WHERE position >= {one};
                 UPDATE commits SET position = -position WHERE position < 0;
                 INSERT INTO commits SELECT {one}, stream_kind, 'put-between', 1, branch, class, commit_id, payload, seal
                 FROM commits WHERE position <> {one} ORDER BY position LIMIT 1;"
            ))?;
            ("put between", one)
        }
        _ => {
            shell.execute("DELETE FROM commits WHERE position >= ?1", [one])?;
            ("cut off", one)
        }
    };
    for (_, sql) in triggers {
        shell.execute_batch(&sql)?;
    }
    Ok((damage.0, damage.1.cast_unsigned()))
}

/// Everything that can be read of a log's file: by the rows, by the index, the law, the counts. `None` where SQLite itself
/// sees damage.
fn readable(file: &Path) -> Option<Vec<Vec<Cell>>> {
    let shell = Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    let verdict: String = shell.query_row("PRAGMA integrity_check", (), |row| row.get(0)).ok()?;
    if verdict != "ok" {
        return None;
    }
    let mut all = Vec::new();
    for sql in [
        "SELECT * FROM commits NOT INDEXED ORDER BY position",
        "SELECT stream_kind, stream_id, revision, position FROM commits ORDER BY stream_kind, stream_id, revision",
        "SELECT name, seq FROM sqlite_sequence",
        "SELECT type, name, tbl_name, sql FROM sqlite_schema",
        "PRAGMA application_id",
        "PRAGMA user_version",
    ] {
        let mut select = shell.prepare(sql).ok()?;
        let columns = select.column_count();
        let mut rows = select.query(()).ok()?;
        while let Some(row) = rows.next().ok()? {
            all.push((0..columns).map(|column| row.get(column)).collect::<Result<_, _>>().ok()?);
        }
    }
    Some(all)
}

#[tokio::test]
async fn a_log_whose_end_is_gone_with_its_count_is_told_by_a_seal_noted_before() -> Result<()> {
    let written = Written::new().await?;
    let data = written.data();
    let data = data.to_str().context("a path")?;
    let noted = verify(&["--data"], &written.data())?.json.context("JSON")?["seal"].clone();
    let noted = noted.as_str().context("a seal")?;
    ensure!(!verify(&["--seal", noted, "--data"], &written.data())?.noticed);
    let shell = Connection::open(written.log())?;
    let triggers: Vec<String> = ["changed", "removed", "replaced"]
        .iter()
        .map(|what| {
            let name = format!("commits_are_never_{what}");
            let sql = shell
                .query_row("SELECT sql FROM sqlite_schema WHERE name = ?1", [&name], |row| row.get(0))?;
            shell.execute_batch(&format!("DROP TRIGGER {name}"))?;
            Ok(sql)
        })
        .collect::<rusqlite::Result<_>>()?;
    shell.execute_batch("DELETE FROM commits WHERE position > 20; UPDATE sqlite_sequence SET seq = 20")?;
    triggers.iter().try_for_each(|sql| shell.execute_batch(sql))?;
    drop(shell);
    // By itself it is a sound log, as an older copy of it would be.
    ensure!(!verify(&["--data"], Path::new(data))?.noticed);
    let said = verify(&["--seal", noted, "--data"], Path::new(data))?;
    ensure!(said.noticed && said.stderr.contains("the noted seal is nowhere"), "{}", said.stderr);
    Ok(())
}

#[tokio::test]
async fn a_damaged_file_is_noticed_when_anything_that_can_be_read_of_it_has_changed() -> Result<()> {
    let written = Written::new().await?;
    let whole = std::fs::read(written.log())?;
    let sound = readable(&written.log()).context("sound")?;
    let mut draws = Draws(2);
    let (mut harmless, mut noticed) = (0, 0);
    for number in 0..damages()? {
        let copy = written.copy()?;
        let file = copy.path().join("log.sqlite");
        let (what, bytes) = damage_bytes(&whole, &mut draws);
        std::fs::write(&file, bytes)?;
        let said = verify(&["--data"], copy.path())?;
        // Space that no page uses, and SQLite's own counters of changes, belong to nothing that was recorded.
        let is_harmless = readable(&file).is_some_and(|read| read == sound);
        ensure!(said.noticed || is_harmless, "{number}: {what} was not noticed");
        harmless += u64::from(is_harmless);
        noticed += u64::from(said.noticed);
    }
    println!("{noticed} noticed, {harmless} changed nothing that can be read");
    ensure!(noticed * 2 > damages()?, "only {noticed} were damage: the test is too tame");
    Ok(())
}

fn damage_bytes(whole: &[u8], draws: &mut Draws) -> (String, Vec<u8>) {
    let mut bytes = whole.to_vec();
    let at = draws.place(bytes.len());
    let what = match draws.below(6) {
        0..=2 => {
            bytes[at] ^= 1 << draws.below(8);
            "a flipped bit"
        }
        3 => {
            let end = (at + 512).min(bytes.len());
            bytes[at / 512 * 512..end / 512 * 512].fill(0);
            "a zeroed sector"
        }
        4 => {
            let (from, to) = (at / 4096 * 4096, draws.place(bytes.len()) / 4096 * 4096);
            let page = bytes[from..from + 4096].to_vec();
            bytes[to..to + 4096].copy_from_slice(&page);
            "a page written over another"
        }
        _ => {
            bytes.truncate(at);
            "a cut file"
        }
    };
    (format!("{what} at {at}"), bytes)
}

#[tokio::test]
async fn a_damaged_export_is_named() -> Result<()> {
    let written = Written::new().await?;
    let whole = std::fs::read(written.export())?;
    ensure!(!verify(&[], &written.export())?.noticed);
    let records = records(&whole).context("an export")?;
    let commits = records.len() - 2;
    let mut draws = Draws(3);
    for number in 0..damages()? {
        let (what, position, bytes) = damage_export(&whole, &records, commits, &mut draws);
        let file = written.folder.path().join("damaged.export");
        std::fs::write(&file, bytes)?;
        let said = verify(&[], &file)?;
        // Without its first line it is no export at all, and that is said.
        let is_named = if position == 0 {
            said.stderr.contains("not an exported log")
        } else {
            said.first_position() == Some(position)
        };
        ensure!(said.noticed && is_named, "{number}: {what} at {position}: {:?} {}", said.json, said.stderr);
    }
    Ok(())
}

/// Where the records begin, the trailer's included, and where the file ends.
fn records(bytes: &[u8]) -> Option<Vec<usize>> {
    let mut places = vec![bytes.iter().position(|byte| *byte == b'\n')? + 1];
    while *places.last()? < bytes.len() {
        let start = *places.last()?;
        let (mut length, mut size) = (0_usize, 0);
        loop {
            let byte = *bytes.get(start + size)?;
            length |= usize::from(byte & 0x7f) << (7 * size);
            size += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        places.push(start + size + length + 32);
    }
    Some(places)
}

/// What it was, the first record that is bad (0: the first line), and the file.
fn damage_export(
    whole: &[u8],
    records: &[usize],
    commits: usize,
    draws: &mut Draws,
) -> (&'static str, u64, Vec<u8>) {
    let record = |n: usize| &whole[records[n]..records[n + 1]];
    let (one, two) = (draws.place(commits), draws.place(commits - 1));
    let two = if two >= one { two + 1 } else { two };
    let at = draws.place(whole.len());
    let of_byte = |at: usize| records.iter().filter(|place| **place <= at).count() as u64;
    let order = |order: &[usize]| {
        order.iter().fold(whole[..records[0]].to_vec(), |bytes, n| [&bytes, record(*n)].concat())
    };
    let mut all: Vec<usize> = (0..=commits).collect();
    match draws.below(6) {
        0 | 1 => {
            let mut bytes = whole.to_vec();
            bytes[at] ^= 1 << draws.below(8);
            ("an edited byte", of_byte(at), bytes)
        }
        2 => {
            all.remove(one);
            ("a dropped record", one as u64 + 1, order(&all))
        }
        3 => {
            all.swap(one, two);
            ("two swapped records", one.min(two) as u64 + 1, order(&all))
        }
        4 => {
            all.insert(one, two);
            // The same record twice in a row: the second is the one too many.
            let place = if all[one + 1] == two { one + 2 } else { one + 1 };
            ("a record put between", place as u64, order(&all))
        }
        _ => ("a cut file", of_byte(at), whole[..at].to_vec()),
    }
}
