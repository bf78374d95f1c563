//! A caller who sends a command again, under the same key, until it is acknowledged.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// A command that was answered with success.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// The ticket.
    pub ticket: String,
    /// The revision that the command made.
    pub revision: u64,
}

/// Talks to a gateway that may be gone at any time.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    url: String,
}

/// How often a command is sent before the test gives up.
const ATTEMPTS_MAX: usize = 2_000;

impl Client {
    /// A client of the gateway at this URL.
    pub fn new(url: &str) -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build()?;
        Ok(Self { http, url: url.to_owned() })
    }

    /// The answer to a query.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await?;
        let status = answer.status();
        let value = answer.json().await?;
        anyhow::ensure!(status.is_success(), "GET {path}: {status} {value}");
        Ok(value)
    }

    /// The answer to a query, asked again while nobody answers or the read models are behind.
    pub async fn get_when_ready(&self, path: &str, min_position: u64) -> Result<Value> {
        let mut again = tokio::time::interval(Duration::from_millis(20));
        for _ in 0..ATTEMPTS_MAX {
            again.tick().await;
            let request = self.http.get(format!("{}{path}", self.url));
            let Ok(answer) = request.header("cuiban-min-position", min_position.to_string()).send().await
            else {
                continue;
            };
            if answer.status().is_success() {
                return Ok(answer.json().await?);
            }
        }
        bail!("GET {path} was never answered")
    }

    /// Sends a command until somebody says yes or a rule says no. `None` is a no.
    pub async fn until_acknowledged(
        &self,
        path: &str,
        key: &str,
        body: &Value,
    ) -> Result<Option<Acknowledged>> {
        let mut again = tokio::time::interval(Duration::from_millis(10));
        for _ in 0..ATTEMPTS_MAX {
            again.tick().await;
            let request =
                self.http.post(format!("{}{path}", self.url)).header("idempotency-key", key).json(body);
            let Ok(answer) = request.send().await else { continue };
            let status = answer.status();
            let Ok(value) = answer.json::<Value>().await else { continue };
            match status.as_u16() {
                200..300 => {
                    let ticket = value["id"].as_str().context("an id")?.to_owned();
                    let revision = value["revision"].as_u64().context("a revision")?;
                    return Ok(Some(Acknowledged { ticket, revision }));
                }
                503 => {}
                400..500 => return Ok(None),
                _ => bail!("{path}: {status} {value}"),
            }
        }
        bail!("{path} was never acknowledged")
    }

    /// Opens branch `B0` with a technician, and limits of so many seconds of the wall clock to respond and to arrive.
    pub async fn set_up(&self, response_s: u64, dispatch_s: u64) -> Result<()> {
        let limit = |clock: &str, seconds: u64| json!({ "clock": clock, "limit": { "span": format!("{seconds}s"), "measure": "wall" } });
        let commands = [
            ("/v1/branches", json!({ "branch": "B0", "name": "城东" })),
            (
                "/v1/branches/B0/staff",
                json!({ "member": { "id": "T1", "name": "技术员", "role": "technician" } }),
            ),
            (
                "/v1/branches/B0/staff",
                json!({ "member": { "id": "S1", "name": "主任", "role": "service_supervisor" } }),
            ),
            (
                "/v1/branches/B0/limits",
                json!({ "limits": [limit("response", response_s), limit("dispatch", dispatch_s)] }),
            ),
        ];
        for (n, (path, body)) in commands.iter().enumerate() {
            let obeyed = self.until_acknowledged(path, &format!("set-up-{n}"), body).await?;
            anyhow::ensure!(obeyed.is_some(), "{path} is refused");
        }
        Ok(())
    }
}
