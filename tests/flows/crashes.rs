//! Killed while sixteen clients work tickets and limits run out: nothing acknowledged is lost, no notice is doubled
//! or missed, and the read models are right after the restart.

use std::sync::Arc;

use acceptance::{Client, Ledger, Process, Progress, work_a_ticket};
use anyhow::{Context, Result, ensure};
use cuiban_event_log_jetstream::test_server::NatsServer;
use tokio::task::JoinSet;

const CLIENTS: usize = 16;
const TICKETS_A_CLIENT: usize = 12;
const KILLS: usize = 4;

async fn work(client: Client, name: usize, progress: Arc<Progress>) -> Result<()> {
    for n in 0..TICKETS_A_CLIENT {
        work_a_ticket(&client, &format!("client-{name}"), n, &progress).await?;
    }
    Ok(())
}

fn all_at_work(client: &Client, progress: &Arc<Progress>) -> JoinSet<Result<()>> {
    (0..CLIENTS).map(|name| work(client.clone(), name, progress.clone())).collect()
}

async fn finished(client: &Client, mut clients: JoinSet<Result<()>>) -> Result<()> {
    while let Some(client) = clients.join_next().await {
        client??;
    }
    ensure!(client.take_noes().is_empty(), "no rule says no");
    Ok(())
}

/// Every acknowledged command is there, every limit that ran out was urged once, and the office knows each ticket.
async fn judge(place: &[&str], office: &Client, progress: &Progress) -> Result<()> {
    let acknowledged = progress.acknowledged();
    let mut ledger = Ledger::follow(place).await?;
    ledger.until_settled(&acknowledged).await?;
    let violations = ledger.take_violations(&acknowledged);
    ensure!(violations.is_empty(), "{}", violations.join("\n"));
    ensure!(ledger.asked_by_clients() == acknowledged.len(), "each command once, and no other");
    ensure!(ledger.tickets().len() == CLIENTS * TICKETS_A_CLIENT, "{} tickets", ledger.tickets().len());
    // Half the tickets are never answered, two thirds never visited: their limits of seconds must have run out.
    ensure!(ledger.notices() >= CLIENTS * TICKETS_A_CLIENT, "only {} notices", ledger.notices());
    for ticket in ledger.tickets() {
        let row = office.get_when_ready(&format!("/v1/tickets/{ticket}"), ledger.position()).await?;
        ensure!(row["ticket"].as_str().or(row["id"].as_str()) == Some(ticket.as_str()), "{ticket}: {row}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_process_is_killed_while_clients_work() -> Result<()> {
    let data = tempfile::tempdir()?;
    let data_arg = data.path().to_str().context("a path")?;
    let mut process = Process::start(&["up", "--data", data_arg, "--listen", "127.0.0.1:0"]).await?;
    let client = Client::new(process.url())?;
    client.set_up(2, 3).await?;
    let progress = Arc::new(Progress::default());
    let clients = all_at_work(&client, &progress);
    for kill in 1..=KILLS {
        progress.reaches(kill * CLIENTS * 3).await;
        process.restart().await?;
    }
    finished(&client, clients).await?;
    judge(&["--data", data_arg], &client, &progress).await?;
    ensure!(process.stop().await? == Some(0), "stops cleanly at SIGTERM");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_and_the_broker_are_killed_while_clients_work() -> Result<()> {
    let mut nats = NatsServer::start().await;
    let url = nats.url();
    let data = tempfile::tempdir()?;
    let dir = |role: &str| data.path().join(role).to_str().map(str::to_owned).context("a path");
    let listen = ["--listen", "127.0.0.1:0"];
    let serve = async |role: &str, name: &str, more: &[&str]| -> Result<Process> {
        let dir = dir(name)?;
        Process::start(&[&["serve", role, "--nats", &url, "--data", &dir], more].concat()).await
    };
    let mut gateway = serve("gateway", "gateway", &listen).await?;
    let mut projector = serve("projector", "projector", &listen).await?;
    // One of them has no folder, and cannot make one.
    std::fs::write(data.path().join("file"), "no folder")?;
    let mut watchdogs =
        [serve("watchdog", "watchdog-1", &[]).await?, serve("watchdog", "file/watchdog-2", &[]).await?];
    let mut notifier = serve("notifier", "notifier", &[]).await?;
    let client = Client::new(gateway.url())?;
    client.set_up(2, 3).await?;
    let progress = Arc::new(Progress::default());
    let clients = all_at_work(&client, &progress);
    for kill in 1..=KILLS {
        progress.reaches(kill * CLIENTS * 3).await;
        match kill % 4 {
            0 => gateway.restart().await?,
            1 => nats.restart().await,
            2 => {
                projector.restart().await?;
                notifier.restart().await?;
            }
            _ => {
                watchdogs[0].restart().await?;
                watchdogs[1].restart().await?;
            }
        }
    }
    finished(&client, clients).await?;
    let office = Client::new(projector.url())?;
    judge(&["--nats", &url], &office, &progress).await?;
    for process in [gateway, projector, notifier].into_iter().chain(watchdogs) {
        ensure!(process.stop().await? == Some(0), "stops cleanly at SIGTERM");
    }
    Ok(())
}
