//! Where the broker is, how the stream shall be made, and the limits, all named.

use std::path::PathBuf;
use std::time::Duration;

use cuiban_event_log::Token;
use serde::{Deserialize, Serialize};

/// Everything a JetStream log is connected with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The servers, any of which leads to all: `nats://host:4222`, `tls://user:password@host:4222`.
    pub servers: Vec<String>,
    /// A `.creds` file, where the servers ask for one.
    pub credentials_file: Option<PathBuf>,
    /// A PEM file of further certificate authorities to trust.
    pub root_certificates_file: Option<PathBuf>,
    /// `host:port` of a server's monitoring endpoint (plain HTTP), by which alone the sync setting can be seen.
    pub monitor: Option<String>,
    /// The first word of all subjects: `<prefix>.log.<kind>.<id>.<branch>.<class>`.
    pub prefix: Token,
    /// The stream's name.
    pub stream: Token,
    /// A stream that is only there where a log was: beside it a missing log is one that was lost, and no empty one is made.
    #[serde(skip)]
    pub lost_beside: Option<String>,
    /// Where a stream that does not exist yet will be kept.
    pub storage: Storage,
    /// On how many servers a stream that does not exist yet will be kept.
    pub replicas: u8,
    /// For how long the broker recognises a commit id by itself. Nothing depends on it.
    pub duplicate_window_ms: u32,
    /// How long connecting waits for a server.
    pub connect_ms_max: u32,
    /// How long an append waits for its answer before the outcome is unknown.
    pub append_ms_max: u32,
    /// How long any other request waits for its answer.
    pub request_ms_max: u32,
    /// The longest pause between two attempts to reconnect.
    pub reconnect_delay_ms_max: u32,
    /// How often a connection is probed; two missed answers end it.
    pub ping_ms: u32,
    /// How long a server may answer for nobody who leads before the others are asked whether they do.
    pub unheard_ms_max: u32,
    /// How many commits one batched direct get asks for.
    pub page_commits_max: u32,
    /// How many commits a subscription has asked the broker for at one time.
    pub pull_commits_max: u32,
    /// How many commits a subscriber's channel holds.
    pub subscription_commits_max: usize,
    /// How often the broker says that it has nothing to deliver.
    pub heartbeat_ms: u32,
    /// How often a quiet subscription asks the stream's leader whether it is missing something.
    pub silence_check_ms: u32,
    /// The pause between two attempts to make a consumer.
    pub retry_delay_ms: u32,
    /// After how long the broker forgets a consumer that nobody pulls from.
    pub consumer_idle_ms_max: u32,
}

/// What keeps the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// Files: durable.
    File,
    /// Memory: gone with the broker. For trials.
    Memory,
}

impl Config {
    /// The defaults, for one server.
    pub fn at(server: impl Into<String>) -> Self {
        Self { servers: vec![server.into()], ..Self::default() }
    }

    /// The servers without their passwords, for people.
    pub(crate) fn servers_named(&self) -> String {
        let named = self.servers.iter().map(|server| match server.split_once("://") {
            Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit('@').next().unwrap_or(rest)),
            None => server.rsplit('@').next().unwrap_or(server).to_owned(),
        });
        named.collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        millis(self.request_ms_max)
    }
}

pub(crate) fn millis(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

impl Default for Config {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "two literals that are tokens")]
        let token = |text: &str| Token::new(text).expect("a literal token");
        Self {
            servers: vec!["nats://127.0.0.1:4222".to_owned()],
            credentials_file: None,
            root_certificates_file: None,
            monitor: None,
            prefix: token("cuiban"),
            stream: token("CUIBAN"),
            lost_beside: None,
            storage: Storage::File,
            replicas: 1,
            duplicate_window_ms: 120_000,
            connect_ms_max: 10_000,
            append_ms_max: 5_000,
            request_ms_max: 5_000,
            reconnect_delay_ms_max: 1_000,
            ping_ms: 5_000,
            unheard_ms_max: 1_000,
            page_commits_max: 256,
            pull_commits_max: 512,
            subscription_commits_max: 512,
            heartbeat_ms: 1_000,
            silence_check_ms: 1_000,
            retry_delay_ms: 250,
            consumer_idle_ms_max: 60_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_without_their_passwords() {
        let servers = ["nats://cuiban:p@ss@a:4222", "tls://b", "c:4222", "u:p@d"].map(str::to_owned).to_vec();
        let config = Config { servers, ..Config::default() };
        assert_eq!(config.servers_named(), "nats://a:4222, tls://b, c:4222, d");
    }
}
