//! The embedded process is killed again and again on one data folder, at any instant, a part of the times while it is
//! still recovering from the kill before: nothing acknowledged is lost, the chains hold, each notice goes out once.
//!
//! Without further words a few kills; `just chaos-embedded` does five hundred, one in five of them during recovery.

use std::time::Duration;

use acceptance::{Client, Crew, Ledger, Process, median_and_max, now, say, verify};
use anyhow::{Result, ensure};

/// How many kills without `CUIBAN_KILLS`.
const KILLS: usize = 10;
/// One in so many recoveries is cut short by a further kill.
const RECOVERY_EVERY: usize = 4;
/// So at least one of so many kills falls during recovery.
const RECOVERIES_KILLED_OF: usize = 5;
/// After how many recoveries the log is judged.
const JUDGED_EVERY: usize = 40;
/// How many clients work at a time.
const CLIENTS: usize = 6;
/// The least time that a client takes for a ticket.
const PACE: Duration = Duration::from_millis(100);
/// How long a start takes, before one was measured.
const READY_USUALLY: Duration = Duration::from_millis(200);
/// The longest that a process lives after it is ready, in milliseconds.
const LIFE_MS_MAX: u64 = 700;

/// What the kills came to.
#[derive(Default)]
struct Tally {
    while_serving: usize,
    in_recovery: usize,
    acknowledged: usize,
    until_ready: Vec<Duration>,
    until_back: Vec<Duration>,
}

fn number(name: &str, otherwise: usize) -> Result<usize> {
    Ok(std::env::var(name).ok().map(|text| text.parse()).transpose()?.unwrap_or(otherwise))
}

/// Kills while clients work, and waits until they are served again; one time in some it is killed during recovery too.
async fn some_kills(
    process: &mut Process,
    crew: &mut Crew,
    draw: &mut fastrand::Rng,
    recoveries: usize,
    tally: &mut Tally,
) -> Result<()> {
    for recovery in 1..=recoveries {
        tokio::time::sleep(Duration::from_millis(draw.u64(0..LIFE_MS_MAX))).await;
        process.kill().await?;
        tally.while_serving += 1;
        let mut is_due = recovery % RECOVERY_EVERY == 0;
        while is_due {
            // Somewhere between the process's first instruction and its first answer.
            let usually =
                median_and_max(tally.until_ready.clone()).map_or(READY_USUALLY, |(median, _)| median);
            let died_early = process.restart_cut_short(usually.mul_f64(draw.f64())).await?;
            match died_early {
                true => tally.in_recovery += 1,
                false => tally.while_serving += 1,
            }
            is_due = !died_early;
        }
        let began_at = now();
        process.restart().await?;
        let ready_at = now();
        tally.until_ready.push(ready_at - began_at);
        let back_at =
            crew.while_working(async |progress| progress.first_answer_after(ready_at).await).await?;
        tally.until_back.push(back_at - began_at);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_promise_holds_however_often_the_embedded_process_is_killed() -> Result<()> {
    let (kills, seed) = (number("CUIBAN_KILLS", KILLS)?, number("CUIBAN_CHAOS_SEED", 1)?);
    let data = tempfile::tempdir()?;
    let place = ["--data", data.path().to_str().unwrap_or_default()];
    let mut draw = fastrand::Rng::with_seed(u64::try_from(seed)?);
    let mut process = Process::start(&[&["up"], &place[..], &["--listen", "127.0.0.1:0"]].concat()).await?;
    let client = Client::new(process.url())?;
    client.set_up(1, 2).await?;
    let mut ledger = Ledger::follow(&place).await?;
    let mut tally = Tally::default();
    say(&format!("embedded: {kills} kills, seed {seed}"));
    while tally.kills() < kills || tally.in_recovery < kills / RECOVERIES_KILLED_OF {
        let mut crew = Crew::at_work(&client, &format!("shift-{}", tally.kills()), CLIENTS, PACE);
        let recoveries = JUDGED_EVERY.min(kills.saturating_sub(tally.kills()).max(RECOVERY_EVERY));
        some_kills(&mut process, &mut crew, &mut draw, recoveries, &mut tally).await?;
        let acknowledged = crew.rest().await?;
        tally.acknowledged += acknowledged.len();
        ledger.until_settled(&acknowledged).await?;
        let mut violations = ledger.take_violations(&acknowledged);
        violations.extend(client.take_noes());
        ensure!(violations.is_empty(), "{} kills, seed {seed}: {}", tally.kills(), violations.join("\n"));
        let verified = verify(&place).await?;
        ensure!(verified["faults"] == 0, "{verified}");
        tally.print(&ledger, &client);
    }
    ensure!(ledger.asked_by_clients() == tally.acknowledged, "each command once, and no other");
    for ticket in ledger.tickets() {
        let row = client.get_when_ready(&format!("/v1/tickets/{ticket}"), ledger.position()).await?;
        ensure!(row["ticket"].as_str().or(row["id"].as_str()) == Some(ticket.as_str()), "{ticket}: {row}");
    }
    ensure!(process.stop().await? == Some(0), "stops cleanly at SIGTERM");
    Ok(())
}

impl Tally {
    fn kills(&self) -> usize {
        self.while_serving + self.in_recovery
    }

    fn print(&self, ledger: &Ledger, client: &Client) {
        let spread = |times: &[Duration]| {
            let (median, most) = median_and_max(times.to_vec()).unwrap_or_default();
            format!("median {:.2} s, max {:.2} s", median.as_secs_f64(), most.as_secs_f64())
        };
        say(&format!(
            "{} kills while serving, {} during recovery | {} commands acknowledged, {} notices, {} commits, {} × 503 | start to ready: {} | start to first answer: {} | holds",
            self.while_serving,
            self.in_recovery,
            self.acknowledged,
            ledger.notices(),
            ledger.commits(),
            client.refused(),
            spread(&self.until_ready),
            spread(&self.until_back),
        ));
    }
}
