//! A caller who sends a command again, under the same key, until it is acknowledged.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::stopwatch::now;

/// A command that was answered with success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The ticket, or the branch.
    pub id: String,
    /// The id that the command must have in the log.
    pub commit_id: Uuid,
    /// The revision that the command made.
    pub revision: u64,
    /// The position in the log, as it was answered.
    pub position: u64,
    /// When the attempt that was answered had been sent.
    pub sent_at: Instant,
    /// When the answer came.
    pub answered_at: Instant,
}

/// What clients have seen besides success.
#[derive(Debug, Default)]
struct Seen {
    refused: AtomicUsize,
    longest_wait: Mutex<Duration>,
    noes: Mutex<Vec<String>>,
}

/// Talks to gateways that may be gone at any time: to one after the other, attempt by attempt.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    urls: Vec<String>,
    attempts: Arc<AtomicUsize>,
    seen: Arc<Seen>,
}

/// How often a command is sent before the test gives up.
const ATTEMPTS_MAX: usize = 2_000;
/// The pause between two attempts. Shorter than what `Retry-After` asks for: we want to know when service is back.
const RETRY_DELAY: Duration = Duration::from_millis(20);
/// The namespace of the ids that derive from an idempotency key (decision 6).
const KEYS: Uuid = Uuid::from_u128(0x8f0c_53c2_52a1_4b1e_9a51_3a5c_7f27_64d0);

impl Client {
    /// A client of the gateway at this URL.
    pub fn new(url: &str) -> Result<Self> {
        Self::of_several(&[url])
    }

    /// A client of several gateways of one installation.
    pub fn of_several(urls: &[&str]) -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build()?;
        let urls = urls.iter().map(|url| (*url).to_owned()).collect();
        Ok(Self { http, urls, attempts: Arc::default(), seen: Arc::default() })
    }

    /// How many times this client and its clones were told to come back later.
    pub fn refused(&self) -> usize {
        self.seen.refused.load(Ordering::Relaxed)
    }

    /// The longest that anybody has waited for an answer, of whatever kind, since this was asked last.
    pub fn take_longest_wait(&self) -> Duration {
        std::mem::take(&mut *self.seen.longest_wait.lock().expect("nobody panics with it"))
    }

    /// The commands to which a rule said no, and what it said, since this was asked last.
    pub fn take_noes(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.noes.lock().expect("nobody panics with it"))
    }

    /// The answer to a query.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.http.get(self.next_url(path)).send().await?;
        let status = answer.status();
        let value = answer.json().await?;
        ensure!(status.is_success(), "GET {path}: {status} {value}");
        Ok(value)
    }

    /// The answer to a query, asked again while nobody answers or the read models are behind.
    pub async fn get_when_ready(&self, path: &str, min_position: u64) -> Result<Value> {
        let mut again = tokio::time::interval(RETRY_DELAY);
        for _ in 0..ATTEMPTS_MAX {
            again.tick().await;
            let request = self.http.get(self.next_url(path));
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
        let mut again = tokio::time::interval(RETRY_DELAY);
        for _ in 0..ATTEMPTS_MAX {
            again.tick().await;
            let sent_at = now();
            let request = self.http.post(self.next_url(path)).header("idempotency-key", key).json(body);
            let answer = request.send().await;
            self.waited(sent_at);
            let Ok(answer) = answer else { continue };
            let (status, headers) = (answer.status(), answer.headers().clone());
            let Ok(value) = answer.json::<Value>().await else { continue };
            match status.as_u16() {
                200..300 => return acknowledged(path, key, &value, sent_at).map(Some),
                503 => self.told_to_come_back(&headers, &value).with_context(|| path.to_owned())?,
                400..500 => {
                    let mut noes = self.seen.noes.lock().expect("nobody panics with it");
                    noes.push(format!("{path} {key}: {status} {value}"));
                    return Ok(None);
                }
                _ => bail!("{path}: {status} {value}"),
            }
        }
        bail!("{path} was never acknowledged")
    }

    fn next_url(&self, path: &str) -> String {
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
        format!("{}{path}", self.urls[attempt % self.urls.len()])
    }

    fn waited(&self, since: Instant) {
        let mut longest = self.seen.longest_wait.lock().expect("nobody panics with it");
        *longest = longest.max(since.elapsed());
    }

    /// What is not possible now is said in one form, and when to come back.
    fn told_to_come_back(&self, headers: &reqwest::header::HeaderMap, problem: &Value) -> Result<()> {
        self.seen.refused.fetch_add(1, Ordering::Relaxed);
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        ensure!(text(CONTENT_TYPE) == Some("application/problem+json"), "{headers:?}");
        let seconds: Option<u64> = text(RETRY_AFTER).and_then(|value| value.parse().ok());
        ensure!(seconds.is_some_and(|seconds| seconds > 0), "503 without Retry-After: {headers:?}");
        let told = problem["status"] == 503 && problem["code"].is_string() && problem["title"].is_string();
        ensure!(told, "not a problem: {problem}");
        Ok(())
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
            ensure!(obeyed.is_some(), "{path} is refused");
        }
        Ok(())
    }
}

fn acknowledged(path: &str, key: &str, receipt: &Value, sent_at: Instant) -> Result<Acknowledged> {
    Ok(Acknowledged {
        id: receipt["id"].as_str().context("an id")?.to_owned(),
        commit_id: Uuid::new_v5(&KEYS, format!("{path}\n{key}").as_bytes()),
        revision: receipt["revision"].as_u64().context("a revision")?,
        position: receipt["position"].as_str().context("a position")?.parse()?,
        sent_at,
        answered_at: now(),
    })
}
