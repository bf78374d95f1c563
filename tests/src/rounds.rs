//! Rounds of chaos: clients at work, a fault drawn by seed, and the judgement of the log after each.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::report::{Round, say, table};
use crate::stopwatch::now;
use crate::{Client, Crew, Fault, Installation, Ledger, Process};

/// How many clients work at a time.
const CLIENTS: usize = 8;
/// The least time that a client takes for a ticket.
const PACE: Duration = Duration::from_millis(100);
/// How many commands are acknowledged before anything goes wrong, and how many after it was put right.
const COMMANDS_AROUND: usize = 24;
/// The limits to respond and to arrive, in seconds.
const LIMITS_S: (u64, u64) = (1, 2);

/// How many rounds, of what, and how long faults last.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What everything is drawn by.
    pub seed: u64,
    /// How many rounds; each kind of fault comes before one comes again.
    pub rounds: usize,
    /// How long a fault lasts at least and at most, in milliseconds.
    pub lasts_ms: (u64, u64),
}

/// An installation with its clients and its judge.
struct Stage {
    installation: Installation,
    client: Client,
    ledger: Ledger,
    draw: fastrand::Rng,
    acknowledged: usize,
}

impl Plan {
    /// Half of `CUIBAN_CHAOS_ROUNDS` by `CUIBAN_CHAOS_SEED`, with faults of up to eight seconds, which is longer than the
    /// broker's answer is waited for; without them, one round of each of these, briefly.
    pub fn from_environment(brief: &[Fault]) -> Result<Self> {
        let number = |name: &str| std::env::var(name).ok().map(|text| text.parse()).transpose();
        let seed = number("CUIBAN_CHAOS_SEED")?.unwrap_or(1);
        Ok(match number("CUIBAN_CHAOS_ROUNDS")? {
            Some(rounds) => {
                Self { seed, rounds: usize::try_from(rounds.div_ceil(2))?, lasts_ms: (50, 8_000) }
            }
            None => Self { seed, rounds: brief.len(), lasts_ms: (300, 900) },
        })
    }

    /// Whether this is the long form.
    pub fn is_long() -> bool {
        std::env::var_os("CUIBAN_CHAOS_ROUNDS").is_some()
    }

    /// Plays the rounds on an installation; fails if a promise was broken. `CUIBAN_CHAOS_ONLY` picks faults by their names.
    pub async fn play(self, installation: Installation, faults: &[Fault]) -> Result<()> {
        let servers = installation.broker.servers();
        let name = if servers.len() == 1 { "one server" } else { "three servers" };
        let has_disks = servers.iter().all(|server| server.disk().is_some());
        let mut faults = faults.to_vec();
        if !has_disks {
            say("SKIPPED: a full disk (no user namespaces here)");
            faults.retain(|fault| !matches!(fault, Fault::FullDisk(_)));
        }
        if let Ok(only) = std::env::var("CUIBAN_CHAOS_ONLY") {
            faults.retain(|fault| fault.to_string().contains(&only));
        }
        say(&format!("{name}: {} rounds, seed {}", self.rounds, self.seed));
        let mut stage = Stage::set_up(installation, self.seed).await?;
        let mut rounds = Vec::new();
        let mut deck = Vec::new();
        for number in 1..=self.rounds {
            if deck.is_empty() {
                deck.clone_from(&faults);
                stage.draw.shuffle(&mut deck);
            }
            let Some(fault) = deck.pop() else { break };
            let lasts = Duration::from_millis(stage.draw.u64(self.lasts_ms.0..=self.lasts_ms.1));
            let round = stage.round(number, fault, lasts).await;
            let round = round
                .map_err(|error| error.context(format!("round {number}: {fault}, seed {}", self.seed)))?;
            say(&round.line(number));
            rounds.push(round);
        }
        let violations = stage.judge_whole().await?;
        table(name, &rounds, &violations);
        stage.installation.stop().await?;
        let broken: Vec<_> = rounds.iter().flat_map(|round| &round.violations).chain(&violations).collect();
        ensure!(broken.is_empty(), "{broken:#?}");
        Ok(())
    }
}

impl Stage {
    async fn set_up(installation: Installation, seed: u64) -> Result<Self> {
        let client = Client::of_several(&installation.gateways.each_ref().map(Process::url))?;
        client.set_up(LIMITS_S.0, LIMITS_S.1).await?;
        let ledger = Ledger::follow(&["--nats", &installation.broker.url()]).await?;
        Ok(Self { installation, client, ledger, draw: fastrand::Rng::with_seed(seed), acknowledged: 0 })
    }

    async fn round(&mut self, number: usize, fault: Fault, lasts: Duration) -> Result<Round> {
        let (refused_before, notices_before) = (self.client.refused(), self.ledger.notices());
        self.client.take_longest_wait();
        let mut crew = Crew::at_work(&self.client, &format!("round-{number}"), CLIENTS, PACE);
        crew.while_working(async |progress| progress.reaches(COMMANDS_AROUND).await).await?;
        // The fault falls at any instant, whatever is under way.
        tokio::time::sleep(Duration::from_millis(self.draw.u64(0..150))).await;
        let injected = fault.inject(&mut self.installation).await?;
        tokio::time::sleep(fault.lasts(lasts)).await;
        let (began_at, lifted_at) = (injected.began_at, now());
        fault.lift(&mut self.installation, &injected).await?;
        let back_at =
            crew.while_working(async |progress| progress.first_answer_after(lifted_at).await).await?;
        let enough = crew.progress().acknowledged().len() + COMMANDS_AROUND;
        crew.while_working(async |progress| progress.reaches(enough).await).await?;
        let without_service = crew.progress().longest_silence_after(began_at);
        let acknowledged = crew.rest().await?;
        self.acknowledged += acknowledged.len();
        self.ledger.until_settled(&acknowledged).await?;
        let mut violations = self.ledger.take_violations(&acknowledged);
        violations.extend(self.client.take_noes());
        let refused = self.client.refused() - refused_before;
        let absent = fault.is_known_absence(self.installation.broker.servers().len());
        if absent && lasts > Duration::from_millis(250) && refused == 0 {
            violations.push("the broker was away, and nobody was told to come back later".to_owned());
        }
        self.installation.broker.settled().await;
        Ok(Round {
            fault,
            lasted: lifted_at - began_at,
            commands: acknowledged.len(),
            notices: self.ledger.notices() - notices_before,
            refused,
            without_service,
            until_back: back_at - lifted_at,
            longest_wait: self.client.take_longest_wait(),
            latest_notice: self.ledger.take_latest().to_std().unwrap_or_default(),
            violations,
        })
    }

    /// What is judged once, at the end: the log has what clients were told and nothing else of theirs, its chains
    /// hold, and the office knows each ticket.
    async fn judge_whole(&mut self) -> Result<Vec<String>> {
        let mut violations = Vec::new();
        let asked = self.ledger.asked_by_clients();
        if asked != self.acknowledged {
            violations.push(format!("{} were acknowledged, {asked} are in the log", self.acknowledged));
        }
        let place = ["--nats", &self.installation.broker.url()];
        let verified = crate::verify(&place).await?;
        if verified["faults"] != 0 || verified["commits"].as_u64() < u64::try_from(self.ledger.commits()).ok()
        {
            violations.push(format!("the log is not whole: {verified}"));
        }
        let office = Client::new(self.installation.projector.url())?;
        for ticket in self.ledger.tickets() {
            let row = office.get_when_ready(&format!("/v1/tickets/{ticket}"), self.ledger.position()).await?;
            if row["ticket"].as_str().or(row["id"].as_str()) != Some(ticket.as_str()) {
                violations.push(format!("{ticket}: {row}"));
            }
        }
        Ok(violations)
    }
}
