//! Nobody watches, in processes of their own: probes, page, figures and doctor say so within half a minute.

use std::process::Stdio;
use std::time::Duration;

use acceptance::{Broker, Client, Installation, binary};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// Everybody knows within this time.
const KNOWN_WITHIN: Duration = Duration::from_secs(30);

async fn doctor(url: &str) -> Result<(Option<i32>, String)> {
    let mut command = tokio::process::Command::new(binary()?);
    let data = tempfile::tempdir()?;
    command.args(["doctor", "--nats", url]).current_dir(data.path()).stdin(Stdio::null());
    let output = command.output().await?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// How a role stands, ready or not.
async fn stands(client: &reqwest::Client, url: &str) -> Result<Value> {
    Ok(client.get(format!("{url}/readyz")).send().await?.json().await?)
}

fn warns_of(stands: &Value, code: &str) -> bool {
    stands["warnings"].as_array().into_iter().flatten().any(|warning| warning["code"] == code)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_watchdogs_that_are_killed_are_missed_within_half_a_minute() -> Result<()> {
    let mut all = Installation::start(Broker::one().await, "").await?;
    let (nats, projector) = (all.broker.url(), all.projector.url().to_owned());
    let gateway = Client::new(all.gateways[0].url())?;
    gateway.set_up(8, 16).await?;
    let http = reqwest::Client::new();
    let (_, healthy) = doctor(&nats).await?;
    ensure!(!healthy.contains("催办无人值守"), "{healthy}");
    for heard in ["watchdog/", "notifier/", "projector/", "gateway/", "watchdog.expediting"] {
        ensure!(healthy.contains(heard), "{heard} is not listed: {healthy}");
    }
    ensure!(!warns_of(&stands(&http, &projector).await?, "nobody_watching"));

    for watchdog in &mut all.watchdogs {
        watchdog.kill().await?;
    }
    let call = json!({
        "kind": "repair", "channel": "phone", "branch": "B0", "area": "urban", "product_model": "KFR-35GW",
        "description": "不制冷", "customer": { "name": "客户", "phone": "138-0013-8000" },
    });
    let ticket = gateway.until_acknowledged("/v1/tickets", "call", &call).await?.context("registered")?.id;
    let missed = async {
        while !warns_of(&stands(&http, &projector).await?, "nobody_watching") {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(KNOWN_WITHIN, missed).await.context("the watchdogs are missed in time")??;
    // The clock that nobody urges is named as soon as it is due for longer than the grace.
    let named = async {
        while !stands(&http, &projector).await?.to_string().contains(&ticket) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(KNOWN_WITHIN, named).await.context("the clock is named in time")??;
    let page = http.get(&projector).send().await?.text().await?;
    ensure!(page.contains("催办无人值守"), "{page}");
    let figures = http.get(format!("{projector}/metrics")).send().await?.text().await?;
    ensure!(figures.contains("cuiban_problem{code=\"nobody_watching\""), "{figures}");
    let (code, said) = doctor(&nats).await?;
    ensure!(code == Some(1) && said.contains("催办无人值守"), "{code:?} {said}");
    // What the others do goes on.
    ensure!(stands(&http, all.gateways[0].url()).await?["status"] == "ready");
    Ok(())
}
