//! The command line: what goes to stdout, what it exits with, and that bad input says what to do.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use acceptance::{Client, Process, binary};
use anyhow::{Context, Result, ensure};
use cuiban_event_log::EventLog;
use cuiban_event_log_jetstream::test_server::NatsServer;
use cuiban_event_log_jetstream::{ConnectError, JetStreamLog};
use serde_json::{Value, json};

/// The project's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn cuiban(args: &[&str]) -> Result<Output> {
    Ok(Command::new(binary()?).args(args).current_dir(root()).stdin(Stdio::null()).output()?)
}

fn cuiban_with(args: &[&str], input: &[u8]) -> Result<Output> {
    let mut command = Command::new(binary()?);
    command
        .args(args)
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().context("a pipe")?.write_all(input)?;
    Ok(child.wait_with_output()?)
}

fn stdout(output: &Output) -> Result<&str> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "exit {:?}: {stderr}", output.status.code());
    Ok(std::str::from_utf8(&output.stdout)?)
}

/// Exit code and stderr of something that must not succeed.
fn refusal(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

const CALENDAR: &str = "deploy/calendars/cn-std.toml";
const MAPPING: &str = "deploy/examples/servicenow/mapping.toml";
const HEADER: &str = "number,incident_state,caller_id,opened_at,sys_updated_at,location,subcategory,u_symptom,category,cmdb_ci,priority";

#[test]
fn r54_a_deadline_is_told_with_its_trace() -> Result<()> {
    let args = ["deadline", "--calendar", CALENDAR, "--from", "2026-02-14T15:00:00+08:00", "--limit", "6h"];
    let table = cuiban(&args)?;
    ensure!(stdout(&table)?.contains("2026-02-24 12:00:00"), "{}", stdout(&table)?);
    let answer: Value = serde_json::from_str(stdout(&cuiban(&[&args[..], &["--json"]].concat())?)?)?;
    ensure!(answer["due"] == "2026-02-24T04:00:00Z" && answer["trace"]["steps"].is_array(), "{answer}");
    Ok(())
}

#[test]
fn a_batch_answers_each_line_even_a_bad_one() -> Result<()> {
    let lines = "{\"id\":1,\"from\":\"2026-02-14T15:00:00+08:00\",\"limit\":\"6h\"}\nnonsense\n{\"id\":\"c\",\"from\":\"2026-02-14T15:00:00\",\"limit\":\"6h\"}\n";
    let output = cuiban_with(&["deadline", "--calendar", CALENDAR, "--batch"], lines.as_bytes())?;
    let answers: Vec<Value> = stdout(&output)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(answers.len() == 3 && answers[0]["due"] == "2026-02-24T04:00:00Z", "{answers:?}");
    ensure!(
        answers[1]["error"]["code"].is_string() && answers[2]["error"]["code"].is_string(),
        "{answers:?}"
    );
    Ok(())
}

#[test]
fn r52_a_calendar_without_hours_is_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let empty = dir.path().join("empty.toml");
    std::fs::write(&empty, "zone = \"Asia/Shanghai\"\n[weekly]\n")?;
    let empty = empty.to_str().context("a path")?;
    let once = cuiban(&["deadline", "--calendar", empty, "--from", "2026-02-14T15:00:00Z", "--limit", "6h"])?;
    ensure!(refusal(&once).0 == Some(2), "{:?}", refusal(&once));
    let line = b"{\"id\":7,\"from\":\"2026-02-14T15:00:00Z\",\"limit\":\"6h\"}\n";
    let batch = cuiban_with(&["deadline", "--calendar", empty, "--batch"], line)?;
    let answer: Value = serde_json::from_str(stdout(&batch)?)?;
    ensure!(answer["id"] == 7 && answer["error"]["code"] == "calendar_empty", "{answer}");
    Ok(())
}

#[test]
fn wrong_questions_exit_with_2_and_say_what_to_write() -> Result<()> {
    let no_zone =
        cuiban(&["deadline", "--calendar", CALENDAR, "--from", "2026-02-14T15:00:00", "--limit", "6h"])?;
    ensure!(
        refusal(&no_zone).0 == Some(2) && refusal(&no_zone).1.contains("+08:00"),
        "{:?}",
        refusal(&no_zone)
    );
    let negative =
        cuiban(&["deadline", "--calendar", CALENDAR, "--from", "2026-02-14T15:00:00Z", "--limit=-6h"])?;
    ensure!(refusal(&negative).0 == Some(2), "{:?}", refusal(&negative));
    let unknown = cuiban(&["fly"])?;
    ensure!(refusal(&unknown).0 == Some(2), "{:?}", refusal(&unknown));
    let garbage = cuiban_with(&["log", "decode", "-"], b"\xff\xff not a commit")?;
    ensure!(refusal(&garbage).0 == Some(2), "{:?}", refusal(&garbage));
    Ok(())
}

#[test]
fn what_does_not_answer_exits_with_3() -> Result<()> {
    let nobody = cuiban(&["ticket", "show", "BX-202611-00001", "--to", "http://127.0.0.1:1"])?;
    ensure!(refusal(&nobody).0 == Some(3), "{:?}", refusal(&nobody));
    Ok(())
}

#[test]
fn a_history_is_replayed_by_its_mapping() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("history.csv");
    // One kept, one answered too late and reopened, one that waits beyond its limit and is kept all the same.
    let rows = [
        "A,New,C1,02-03-2026 09:00,02-03-2026 09:05,Location 2,S,Y,G,?,3 - Moderate",
        "A,Resolved,C1,02-03-2026 09:00,02-03-2026 11:00,Location 2,S,Y,G,?,3 - Moderate",
        "A,Closed,C1,02-03-2026 09:00,02-03-2026 12:00,Location 2,S,Y,G,?,3 - Moderate",
        "B,New,C2,02-03-2026 09:00,02-03-2026 09:05,Location 1,S,Y,G,?,1 - Critical",
        "B,Resolved,C2,02-03-2026 09:00,04-03-2026 09:00,Location 1,S,Y,G,?,1 - Critical",
        "B,Active,C2,02-03-2026 09:00,04-03-2026 10:00,Location 1,S,Y,G,?,1 - Critical",
        "B,Resolved,C2,02-03-2026 09:00,04-03-2026 11:00,Location 1,S,Y,G,?,1 - Critical",
        "C,Awaiting User Info,C3,02-03-2026 09:00,02-03-2026 10:00,?,S,Y,G,?,4 - Low",
        "C,Active,C3,02-03-2026 09:00,05-03-2026 10:00,?,S,Y,G,?,4 - Low",
        "C,Resolved,C3,02-03-2026 09:00,05-03-2026 16:00,?,S,Y,G,?,4 - Low",
    ];
    std::fs::write(&file, format!("{HEADER}\n{}\n", rows.join("\n")))?;
    let replay = cuiban(&["replay", file.to_str().context("a path")?, "--mapping", MAPPING, "--json"])?;
    let counts = |started, met, breached| json!({ "started": started, "met": met, "breached": breached, "cancelled": 0, "open": 0 });
    let expected = json!({
        "tickets": 3, "breaches": 2, "notices": 2,
        "clocks": { "response": counts(3, 2, 1), "dispatch": counts(4, 3, 1) },
    });
    ensure!(serde_json::from_str::<Value>(stdout(&replay)?)? == expected, "{}", stdout(&replay)?);
    Ok(())
}

#[test]
fn the_real_service_desks_log_is_replayed_where_it_is_there() -> Result<()> {
    let file = root().join("../shared/data/servicenow-incidents.csv");
    if !file.exists() {
        return Ok(());
    }
    let replay = cuiban(&["replay", file.to_str().context("a path")?, "--mapping", MAPPING, "--json"])?;
    let counts = |started, met, breached| json!({ "started": started, "met": met, "breached": breached, "cancelled": 0, "open": 0 });
    // Counted by an independent program from the rules in the data's own description.
    let expected = json!({
        "tickets": 890, "breaches": 862, "notices": 862,
        "clocks": { "response": counts(890, 580, 310), "dispatch": counts(902, 350, 552) },
    });
    ensure!(serde_json::from_str::<Value>(stdout(&replay)?)? == expected, "{}", stdout(&replay)?);
    Ok(())
}

#[test]
fn a_mapping_that_names_an_unknown_column_is_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("history.csv");
    std::fs::write(&file, "number,state\nA,New\n")?;
    let replay = cuiban(&["replay", file.to_str().context("a path")?, "--mapping", MAPPING])?;
    let (code, said) = refusal(&replay);
    ensure!(code == Some(2) && said.contains("opened_at"), "{code:?} {said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_verified_carried_over_and_rebuilt_from() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name).to_str().map(str::to_owned).context("a path");
    let (one, two, file) = (path("one")?, path("two")?, path("log.export")?);
    let process = Process::start(&["up", "--data", &one, "--listen", "127.0.0.1:0"]).await?;
    let client = Client::new(process.url())?;
    client.set_up(3600, 3600).await?;
    let call = json!({
        "kind": "repair", "channel": "phone", "branch": "B0", "area": "urban", "product_model": "KFR-35GW",
        "description": "不制冷", "customer": { "name": "客户", "phone": "138-0013-8000" },
    });
    let ticket = client.until_acknowledged("/v1/tickets", "one", &call).await?.context("registered")?.id;
    let shown = cuiban(&["ticket", "show", &ticket, "--to", process.url(), "--json"])?;
    let number =
        serde_json::from_str::<Value>(stdout(&shown)?)?["number"].as_str().context("a number")?.to_owned();
    ensure!(number.starts_with("BX-"), "{number}");
    ensure!(
        stdout(&cuiban(&["ticket", "history", &number, "--to", process.url()])?)?
            .contains("ticket_registered")
    );
    ensure!(process.stop().await? == Some(0));

    let verified: Value =
        serde_json::from_str(stdout(&cuiban(&["log", "verify", "--data", &one, "--json"])?)?)?;
    ensure!(verified["faults"] == 0 && verified["commits"].as_u64() > Some(4), "{verified}");
    stdout(&cuiban(&["log", "export", "--data", &one, &file])?)?;
    stdout(&cuiban(&["log", "import", "--data", &two, &file])?)?;
    let tail = |data: &str| -> Result<String> {
        Ok(stdout(&cuiban(&["log", "tail", "--after", "0", "--no-follow", "--data", data])?)?.to_owned())
    };
    ensure!(tail(&one)? == tail(&two)?, "the carried log differs");
    let again = cuiban(&["log", "import", "--data", &two, &file])?;
    ensure!(refusal(&again).0 == Some(4), "{:?}", refusal(&again));
    let rebuilt = cuiban(&["models", "rebuild", "--data", &two, "--json"])?;
    ensure!(stdout(&rebuilt)?.contains("\"models\""));

    let mut bytes = std::fs::read(&file)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    std::fs::write(&file, bytes)?;
    let damaged = cuiban(&["log", "import", "--data", &path("three")?, &file])?;
    ensure!(refusal(&damaged).0 == Some(2), "{:?}", refusal(&damaged));
    Ok(())
}

#[test]
fn the_doctor_says_what_to_do_where_there_is_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let output = cuiban(&["doctor", "--data", dir.path().to_str().context("a path")?])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code() == Some(1) && text.contains("cuiban up"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_on_nats_makes_no_log_and_passes_by_what_is_foreign() -> Result<()> {
    let server = NatsServer::start().await;
    let (url, dir) = (server.url(), tempfile::tempdir()?);
    let path = |name: &str| dir.path().join(name).to_str().map(str::to_owned).context("a path");
    for args in
        [&["log", "verify"][..], &["log", "tail", "--no-follow"], &["log", "export", "-"], &["doctor"]]
    {
        let nothing = cuiban(&[args, &["--nats", &url]].concat())?;
        let said = format!("{:?} {}", refusal(&nothing), String::from_utf8_lossy(&nothing.stdout));
        ensure!(
            nothing.status.code() == Some(1) && said.contains("there is no log here"),
            "{args:?}: {said}"
        );
    }
    let none = JetStreamLog::connect_for_reading(server.config()).await;
    ensure!(matches!(none, Err(ConnectError::Missing { .. })), "{none:?}");

    // A process writes a log, and a stranger into it.
    let process =
        Process::start(&["up", "--nats", &url, "--data", &path("up")?, "--listen", "127.0.0.1:0"]).await?;
    Client::new(process.url())?.set_up(3600, 3600).await?;
    ensure!(process.stop().await? == Some(0));
    let stranger = JetStreamLog::connect_for_reading(server.config()).await?.client();
    // Where no build would put anything; the first of them is no address at all.
    let mut positions = Vec::new();
    for stream in ["ticket.bad!id", "ticket.no-uuid", "unheard-of.7"] {
        let stored = stranger.request(format!("cuiban.log.{stream}.B0.case"), "garbage".into()).await?;
        positions.push(serde_json::from_slice::<Value>(&stored.payload)?["seq"].to_string());
    }

    for position in &positions {
        let step = cuiban(&["log", "step-over", "--nats", &url, "--position", position])?;
        ensure!(refusal(&step).1.contains("nobody waits for it"), "{:?}", refusal(&step));
    }
    let verified = cuiban(&["log", "verify", "--nats", &url, "--json"])?;
    let verified: Value = serde_json::from_str(stdout(&verified)?)?;
    ensure!(verified["foreign"] == 3 && verified["faults"] == 0, "{verified}");
    let tail = cuiban(&["log", "tail", "--no-follow", "--nats", &url])?;
    ensure!(stdout(&tail)?.contains("\"ticket.bad!id.B0.case\") 67617262616765"), "{}", stdout(&tail)?);
    ensure!(
        stdout(&tail)?.contains(&format!("{} (不可读 unreadable: unheard-of.7: ", positions[2])),
        "{tail:?}"
    );
    let tail = cuiban(&["log", "tail", "--no-follow", "--json", "--nats", &url])?;
    let last: Value = serde_json::from_str(stdout(&tail)?.lines().last().context("a line")?)?;
    let position = last["position"].as_u64();
    ensure!(position == positions[2].parse().ok() && last["stream"] == "unheard-of.7", "{last}");
    ensure!(last["bytes"] == "67617262616765" && !last["error"].is_null(), "{last}");
    let file = path("log.export")?;
    stdout(&cuiban(&["log", "export", "--nats", &url, &file])?)?;
    let verified: Value = serde_json::from_str(stdout(&cuiban(&["log", "verify", &file, "--json"])?)?)?;
    ensure!(verified["foreign"] == 3 && verified["faults"] == 0, "{verified}");

    let (code, said) = refusal(&cuiban(&["log", "import", "--data", &path("refused")?, &file])?);
    ensure!(code == Some(2) && said.contains("--leave-out-foreign"), "{said}");
    stdout(&cuiban(&["log", "import", "--leave-out-foreign", "--data", &path("two")?, &file])?)?;
    let carried = cuiban(&["log", "verify", "--data", &path("two")?, "--json"])?;
    let carried: Value = serde_json::from_str(stdout(&carried)?)?;
    ensure!(carried["commits"] == verified["commits"] && carried["faults"] == 0, "{carried}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_lost_is_restored_and_never_begun_anew_by_itself() -> Result<()> {
    let server = NatsServer::start().await;
    let (url, dir) = (server.url(), tempfile::tempdir()?);
    let path = |name: &str| dir.path().join(name).to_str().map(str::to_owned).context("a path");
    let (on_nats, embedded) = (path("on-nats")?, path("embedded")?);
    let listen = ["--listen", "127.0.0.1:0"];
    for place in [&["--nats", &url, "--data", &on_nats][..], &["--data", &embedded]] {
        let process = Process::start(&[&["up"], place, &listen].concat()).await?;
        Client::new(process.url())?.set_up(3600, 3600).await?;
        ensure!(process.stop().await? == Some(0));
    }
    let (file, export) = (std::path::Path::new(&embedded).join("log.sqlite"), path("log.export")?);
    stdout(&cuiban(&["log", "export", "--nats", &url, &export])?)?;
    let client = JetStreamLog::connect_for_reading(server.config()).await?.client();
    client.request("$JS.API.STREAM.DELETE.CUIBAN", "".into()).await?;
    std::fs::remove_file(file)?;
    for place in [&["--nats", &url, "--data", &on_nats][..], &["--data", &embedded]] {
        let (code, said) = refusal(&cuiban(&[&["up"], place, &listen].concat())?);
        ensure!(code == Some(1) && said.contains("已丢失"), "{code:?} {said}");
    }
    stdout(&cuiban(&["log", "import", "--nats", &url, &export])?)?;
    stdout(&cuiban(&["log", "import", "--data", &embedded, &export])?)?;
    for place in [&["--nats", &url, "--data", &on_nats][..], &["--data", &embedded]] {
        let process = Process::start(&[&["up"], place, &listen].concat()).await?;
        ensure!(process.stop().await? == Some(0));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demonstration_pushes_nothing_through_the_channels_of_the_settings() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let receiver = std::net::TcpListener::bind("127.0.0.1:0")?;
    receiver.set_nonblocking(true)?;
    let settings = dir.path().join("cuiban.toml");
    let url = format!("http://{}/", receiver.local_addr()?);
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let channel = format!("[[notifier.webhooks]]\nid = \"crm\"\nurl = \"{url}\"\nsecrets = [\"{secret}\"]\n");
    std::fs::write(&settings, channel)?;
    let settings = settings.to_str().context("a path")?;
    let demo = ["--config", settings, "up", "--demo", "--speed", "36000", "--listen", "127.0.0.1:0"];
    let process = Process::start(&demo).await?;
    let client = Client::new(process.url())?;
    let mut notices = json!([]);
    while notices == json!([]) {
        notices = client.get_when_ready("/v1/notices", 0).await?["data"].clone();
    }
    let figures = reqwest::get(format!("{}/metrics", process.url())).await?.text().await?;
    ensure!(figures.contains("cuiban_open_clocks") && !figures.contains("crm"), "{figures}");
    ensure!(receiver.accept().is_err(), "nobody has called");
    process.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_can_be_printed_the_work_goes_on() -> Result<()> {
    let dir = tempfile::tempdir()?;
    // A port that was free a moment ago: what is printed cannot tell which one it is.
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full")?;
    let mut process = tokio::process::Command::new(acceptance::binary()?)
        .args(["--log", "debug", "up", "--listen", &address, "--data"])
        .arg(dir.path())
        .stdin(std::process::Stdio::null())
        .stdout(full.try_clone()?)
        .stderr(full)
        .kill_on_drop(true)
        .spawn()?;
    let client = Client::new(&format!("http://{address}"))?;
    client.set_up(3600, 3600).await?;
    let stands = client.get_when_ready("/readyz", 0).await?;
    ensure!(stands["status"] == "ready", "{stands}");
    ensure!(process.try_wait()?.is_none(), "it lives");
    Ok(process.kill().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_cannot_be_read_is_looked_at_and_stepped_over() -> Result<()> {
    let server = NatsServer::start().await;
    let (url, dir) = (server.url(), tempfile::tempdir()?);
    let data = dir.path().to_str().context("a path")?;
    let process = Process::start(&["up", "--nats", &url, "--data", data, "--listen", "127.0.0.1:0"]).await?;
    let client = Client::new(process.url())?;
    client.set_up(3600, 3600).await?;
    let call = json!({
        "kind": "repair", "channel": "phone", "branch": "B0", "area": "urban", "product_model": "KFR",
        "description": "不制冷", "customer": { "name": "客户", "phone": "13800138000" }
    });
    let ticket = client.until_acknowledged("/v1/tickets", "call", &call).await?.context("a ticket")?.id;
    let stranger = JetStreamLog::connect_for_reading(server.config()).await?.client();
    let stored = stranger.request(format!("cuiban.log.ticket.{ticket}.B0.case"), "garbage".into()).await?;
    let position = serde_json::from_slice::<Value>(&stored.payload)?["seq"].to_string();

    let (path, answer) = (format!("/v1/tickets/{ticket}/respond"), json!({ "channel": "phone" }));
    let answered = client.until_acknowledged(&path, "answer", &answer);
    let operator = async {
        let mut again = tokio::time::interval(std::time::Duration::from_millis(20));
        while client.refused() == 0 {
            again.tick().await;
        }
        let step = ["log", "step-over", "--nats", &url, "--position", &position];
        let shown = cuiban(&step)?;
        ensure!(stdout(&shown)?.contains("67617262616765") && stdout(&shown)?.contains(&ticket), "{shown:?}");
        let stepped = cuiban(&[&step[..], &["--reason", "误写入", "--by", "ops-1", "--json"]].concat())?;
        let stepped: Value = serde_json::from_str(stdout(&stepped)?)?;
        ensure!(stepped["revision"] == 3, "{stepped}");
        let again = cuiban(&[&step[..], &["--reason", "误写入"]].concat())?;
        ensure!(refusal(&again).0 == Some(4), "{:?}", refusal(&again));
        Ok(())
    };
    let (answered, ()) = tokio::try_join!(answered, operator)?;
    ensure!(answered.is_some_and(|answered| answered.revision == 4), "the stream goes on behind it");
    let models = client.get_when_ready("/v1/models", 0).await?;
    ensure!(models["parked"] == json!([]), "{models}");
    // A copy of another stream's commit: the bytes are good, and say that they belong elsewhere.
    let log = JetStreamLog::connect_for_reading(server.config()).await?;
    let first = log.stored_at("1".parse()?).await?.context("the first commit")?;
    let copy =
        stranger.request(format!("cuiban.log.ticket.{ticket}.B0.case"), first.payload().clone()).await?;
    let copied = serde_json::from_slice::<Value>(&copy.payload)?["seq"].to_string();
    let step = ["log", "step-over", "--nats", &url, "--position", &copied];
    let shown = cuiban(&step)?;
    ensure!(stdout(&shown)?.contains("belongs to"), "{shown:?}");
    stdout(&cuiban(&[&step[..], &["--reason", "误写入"]].concat())?)?;
    ensure!(process.stop().await? == Some(0));
    let verified = cuiban(&["log", "verify", "--nats", &url, "--json"])?;
    let verified: Value = serde_json::from_str(stdout(&verified)?)?;
    ensure!(verified["faults"] == 0 && verified["stepped_over"] == 2, "{verified}");
    // A backup of it is as sound as the log.
    let dir = tempfile::tempdir()?;
    let (file, data) = (dir.path().join("log.export"), dir.path().join("data"));
    let (file, data) = (file.to_str().context("a path")?, data.to_str().context("a path")?);
    for command in [
        &["log", "export", "--nats", &url, file][..],
        &["log", "import", "--data", data, file],
        &["log", "verify", "--data", data],
    ] {
        let done = cuiban(command)?;
        ensure!(done.status.success(), "{command:?}: {done:?}");
    }
    Ok(())
}

#[test]
fn a_doctor_without_an_answer_exits_with_3() -> Result<()> {
    let settings = tempfile::NamedTempFile::new()?;
    std::fs::write(settings.path(), "[jetstream]\nconnect_ms_max = 200\n")?;
    let config = settings.path().to_str().context("a path")?;
    let nobody = cuiban(&["--config", config, "doctor", "--nats", "nats://127.0.0.1:1"])?;
    ensure!(refusal(&nobody).0 == Some(3), "{:?}", refusal(&nobody));
    Ok(())
}

/// Appends a commit of March 2026, as if nothing had been recorded since.
fn append_an_old_commit(log: &Path) -> Result<()> {
    let commit = root().join("crates/event-schema/tests/golden/AreaChanged.v1.bin");
    let connection = rusqlite::Connection::open(log)?;
    connection.execute(
        "INSERT INTO commits (stream_kind, stream_id, revision, branch, class, commit_id, payload, seal)
         VALUES ('ticket', '01990000-0000-7000-8000-000000000001', 1, 'B1', 'case', zeroblob(16), ?1, zeroblob(32))",
        [std::fs::read(commit)?],
    )?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_months_ahead_of_the_log_waits_for_a_person() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().to_str().context("a path")?;
    let up = ["up", "--data", data, "--listen", "127.0.0.1:0"];
    ensure!(Process::start(&up).await?.stop().await? == Some(0));
    append_an_old_commit(&dir.path().join("log.sqlite"))?;
    let doctor = cuiban(&["doctor", "--data", data])?;
    let text = String::from_utf8_lossy(&doctor.stdout).into_owned();
    ensure!(doctor.status.code() == Some(1) && text.contains("cuiban clock accept"), "{text}");

    let process = Process::start(&up).await?;
    let client = Client::new(process.url())?;
    let branch = json!({ "branch": "B0", "name": "城东" });
    let opened = client.until_acknowledged("/v1/branches", "one", &branch);
    let accept = async {
        let mut again = tokio::time::interval(std::time::Duration::from_millis(20));
        while client.refused() == 0 {
            again.tick().await;
        }
        stdout(&cuiban(&["clock", "accept", "--data", data])?).map(|said| said.contains("时钟已确认"))
    };
    let (opened, accepted) = tokio::try_join!(opened, accept)?;
    ensure!(accepted && opened.is_some() && client.refused() > 0, "{accepted} {opened:?}");
    ensure!(process.stop().await? == Some(0));
    ensure!(!dir.path().join("log.clock-accepted").exists(), "a confirmation is good once");
    Ok(())
}
