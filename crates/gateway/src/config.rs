//! The gateway's limits, and the check that no open door is left.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use cuiban_domain::ids::Actor;
use serde::{Deserialize, Serialize};

/// Every limit that the gateway keeps, and who may come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Token → actor. Without any, whoever reaches the (loopback) address is believed.
    pub tokens: Tokens,
    /// The largest request body, in bytes.
    pub body_bytes_max: usize,
    /// How long a command to company or branch waits until this process decides by it, in milliseconds.
    pub directory_wait_ms: u64,
    /// How long a query waits for `Cuiban-Min-Position`, in milliseconds.
    pub min_position_wait_ms: u64,
    /// How long `/readyz` waits for the log, in milliseconds.
    pub ready_wait_ms: u64,
    /// How long a running clock may be past its due instant until it counts as not urged, in milliseconds: longer than
    /// a late entry settles (5 s) and a clock may be off (1 s).
    pub unurged_grace_ms: u64,
    /// What `Retry-After` says while the log is away, in seconds.
    pub retry_after_s: u64,
    /// How many rows a page has when nobody says otherwise.
    pub page_rows_default: usize,
    /// How many rows a page may have.
    pub page_rows_max: usize,
    /// How many clients may listen to `/v1/live` at a time.
    pub live_clients_max: usize,
    /// How many live events wait for one slow client.
    pub live_queue_max: usize,
    /// How long a full queue is borne before the client is dropped, in milliseconds.
    pub live_patience_ms: u64,
    /// How often a silent live stream says that it is alive, in milliseconds.
    pub live_keep_alive_ms: u64,
    /// How often a company calendar is laid anew over one that changed meanwhile.
    pub calendar_retries_max: u32,
    /// How long open connections may finish when the server stops, in milliseconds.
    pub stop_grace_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tokens: Tokens::default(),
            body_bytes_max: 1 << 20,
            directory_wait_ms: 2_000,
            min_position_wait_ms: 5_000,
            ready_wait_ms: 2_000,
            unurged_grace_ms: 10_000,
            retry_after_s: 2,
            page_rows_default: 50,
            page_rows_max: 200,
            live_clients_max: 256,
            live_queue_max: 64,
            live_patience_ms: 10_000,
            live_keep_alive_ms: 15_000,
            calendar_retries_max: 3,
            stop_grace_ms: 5_000,
        }
    }
}

impl Config {
    /// Refuses to listen where strangers can reach us while nobody has to say who they are, and tokens that
    /// are too short or name an impossible actor. To be called before the listener is bound.
    pub fn check(&self, listen: SocketAddr) -> Result<(), InvalidConfig> {
        if self.tokens.is_empty() && !listen.ip().is_loopback() {
            return Err(InvalidConfig::OpenDoor { listen });
        }
        self.tokens.check()
    }

    pub(crate) fn directory_wait(&self) -> Duration {
        Duration::from_millis(self.directory_wait_ms)
    }

    pub(crate) fn min_position_wait(&self) -> Duration {
        Duration::from_millis(self.min_position_wait_ms)
    }

    pub(crate) fn ready_wait(&self) -> Duration {
        Duration::from_millis(self.ready_wait_ms)
    }

    /// How long a running clock may be past its due instant until it counts as not urged.
    pub fn unurged_grace(&self) -> Duration {
        Duration::from_millis(self.unurged_grace_ms)
    }

    pub(crate) fn live_patience(&self) -> Duration {
        Duration::from_millis(self.live_patience_ms)
    }

    pub(crate) fn live_keep_alive(&self) -> Duration {
        Duration::from_millis(self.live_keep_alive_ms)
    }

    /// How long open connections may finish when the server stops.
    pub fn stop_grace(&self) -> Duration {
        Duration::from_millis(self.stop_grace_ms)
    }
}

/// Secret tokens and the actors that they stand for. Never printed.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tokens(BTreeMap<String, String>);

impl Tokens {
    /// The shortest token, in characters.
    pub const LENGTH_MIN: usize = 16;

    /// Whether nobody has to say who they are.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each token with its actor.
    pub(crate) fn actors(&self) -> Result<Vec<(&str, Actor)>, InvalidConfig> {
        self.check()?;
        let actor = |name: &String| {
            Actor::new(name).map_err(|source| InvalidConfig::Actor { name: name.clone(), source })
        };
        self.0.iter().map(|(token, name)| Ok((token.as_str(), actor(name)?))).collect()
    }

    fn check(&self) -> Result<(), InvalidConfig> {
        for (token, name) in &self.0 {
            let visible = token.bytes().all(|b| b.is_ascii_graphic());
            if token.len() < Self::LENGTH_MIN || !visible {
                return Err(InvalidConfig::WeakToken { actor: name.clone() });
            }
            Actor::new(name).map_err(|source| InvalidConfig::Actor { name: name.clone(), source })?;
        }
        Ok(())
    }
}

impl<T: Into<String>, A: Into<String>> FromIterator<(T, A)> for Tokens {
    fn from_iter<I: IntoIterator<Item = (T, A)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(token, actor)| (token.into(), actor.into())).collect())
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.values()).finish()
    }
}

/// A configuration with which the gateway does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// Anybody on the network could do anything under any name.
    #[error("refuse to listen on {listen} without tokens: configure [gateway.tokens] or listen on 127.0.0.1")]
    OpenDoor {
        /// The address wanted.
        listen: SocketAddr,
    },
    /// A token that can be guessed or cannot be sent.
    #[error("the token of {actor} is not usable: write at least 16 visible ASCII characters")]
    WeakToken {
        /// Whose token.
        actor: String,
    },
    /// A token for somebody who cannot be.
    #[error("the actor {name:?} of a token is not usable")]
    Actor {
        /// The name.
        name: String,
        /// What is wrong with it.
        #[source]
        source: cuiban_domain::ids::InvalidId,
    },
    /// Queries, pages and live updates need the read models.
    #[error("mount queries or pages: this process has no read models")]
    ModelsMissing,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn refuses_a_public_address_without_tokens() {
        let open = Config::default();
        for address in ["0.0.0.0:8080", "192.168.1.7:8080", "[::]:8080"] {
            let refused = open.check(listen(address)).unwrap_err();
            assert!(refused.to_string().contains("tokens"), "{refused}");
        }
        assert_eq!(open.check(listen("127.0.0.1:8080")), Ok(()));
        assert_eq!(open.check(listen("[::1]:8080")), Ok(()));
        let tokens = [("a-long-enough-token", "li-si")].into_iter().collect();
        assert_eq!(Config { tokens, ..open }.check(listen("0.0.0.0:8080")), Ok(()));
    }

    #[test]
    fn refuses_tokens_that_can_be_guessed_and_never_prints_one() {
        let tokens: Tokens = [("short", "li-si")].into_iter().collect();
        let config = Config { tokens, ..Config::default() };
        assert!(matches!(config.check(listen("127.0.0.1:1")), Err(InvalidConfig::WeakToken { .. })));
        assert!(!format!("{config:?}").contains("short"));
    }

    #[test]
    fn refuses_unknown_fields() {
        assert!(serde_json::from_str::<Config>(r#"{"body_bytes":1}"#).is_err());
    }
}
