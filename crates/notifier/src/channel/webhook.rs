//! Alerts as signed HTTP POSTs, as Standard Webhooks 1.0.0 has them.
//!
//! `webhook-id` is the message's id, the same on every attempt; `webhook-timestamp` is the attempt's time in
//! seconds; `webhook-signature` is `v1,` and the base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`, once for
//! each secret, so that secrets can be changed without a gap.
//!
//! What an answer means:
//!
//! | answer | meaning |
//! |---|---|
//! | 2xx | taken |
//! | 408, 425, 429, 5xx, no connection | away or overloaded; `Retry-After` is obeyed for the whole channel |
//! | none in time, or the connection broke | nobody knows whether it was taken |
//! | 3xx and every other 4xx, 410 among them | wrong address, wrong secret, wrong form: somebody may mend that. Redirects are not followed |
//!
//! Whatever it was, it is tried again until the alert is too old.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cuiban_domain::Instant;
use cuiban_domain::ids::ChannelId;
use cuiban_vitals::in_one_line;
use hmac::{Hmac, Mac};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::sync::Arc;

use cuiban_command_handler::Clock;

use crate::channel::{Channel, PushError};
use crate::config::DeliveryConfig;
use crate::message::Message;

/// One receiver of webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// The channel's id.
    pub id: ChannelId,
    /// Where to post.
    pub url: Endpoint,
    /// The signing secrets, the current one first; older ones sign too until they are taken out.
    pub secrets: Vec<Secret>,
    /// How long a connection may take to be made.
    #[serde(default = "connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// How long the whole request may take.
    #[serde(default = "request_timeout_ms")]
    pub request_timeout_ms: u64,
    /// When, how often and how many at once.
    #[serde(default)]
    pub delivery: DeliveryConfig,
}

fn connect_timeout_ms() -> u64 {
    5_000
}

fn request_timeout_ms() -> u64 {
    15_000
}

/// A webhook that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum InvalidWebhook {
    /// Not an address of the web.
    #[error("not an http or https address")]
    Address,
    /// Not a secret as Standard Webhooks writes it.
    #[error("not a secret: `whsec_` and the base64 of 24 to 64 bytes is wanted")]
    Secret,
    /// Nothing to sign with.
    #[error("webhook {channel} has no secret")]
    NoSecret {
        /// Which.
        channel: ChannelId,
    },
    /// The HTTP client could not be made.
    #[error("make the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Where to post. Robots carry their key in the address, so it is shown and written without path and query.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Endpoint(Url);

impl TryFrom<String> for Endpoint {
    type Error = InvalidWebhook;

    fn try_from(text: String) -> Result<Self, InvalidWebhook> {
        let url = Url::parse(&text).map_err(|_| InvalidWebhook::Address)?;
        if matches!(url.scheme(), "http" | "https") { Ok(Self(url)) } else { Err(InvalidWebhook::Address) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/…", self.0.origin().ascii_serialization())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Endpoint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A signing secret, `whsec_…`; shown and written as `whsec_***`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Secret(Vec<u8>);

impl Secret {
    const PREFIX: &str = "whsec_";
    const BYTES_MIN: usize = 24;
    const BYTES_MAX: usize = 64;

    /// `v1,` and the signature of one attempt.
    fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any length");
        mac.update(format!("{id}.{timestamp_s}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl TryFrom<String> for Secret {
    type Error = InvalidWebhook;

    fn try_from(text: String) -> Result<Self, InvalidWebhook> {
        let encoded = text.strip_prefix(Self::PREFIX).ok_or(InvalidWebhook::Secret)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| InvalidWebhook::Secret)?;
        if (Self::BYTES_MIN..=Self::BYTES_MAX).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(InvalidWebhook::Secret)
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}***", Self::PREFIX)
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}***", Self::PREFIX))
    }
}

/// Posts signed JSON to one address.
#[derive(Debug)]
pub struct WebhookChannel {
    config: WebhookConfig,
    client: Client,
    clock: Arc<dyn Clock>,
}

impl WebhookChannel {
    /// A channel to this receiver. The clock gives the attempts' timestamps.
    pub fn new(config: WebhookConfig, clock: Arc<dyn Clock>) -> Result<Self, InvalidWebhook> {
        if config.secrets.is_empty() {
            return Err(InvalidWebhook::NoSecret { channel: config.id });
        }
        // reqwest comes without cryptography of its own; refused only when the process has chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("cuiban/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            // The environment is read by the command line and by nobody else.
            .no_proxy()
            .connect_timeout(Duration::from_millis(config.connect_timeout_ms))
            .timeout(Duration::from_millis(config.request_timeout_ms))
            .build()
            .map_err(InvalidWebhook::Client)?;
        Ok(Self { config, client, clock })
    }
}

#[async_trait]
impl Channel for WebhookChannel {
    fn id(&self) -> &ChannelId {
        &self.config.id
    }

    async fn push(&self, message: &Message) -> Result<(), PushError> {
        let now = self.clock.now();
        let (id, timestamp_s) = (message.id.to_string(), now.timestamp());
        let signatures =
            self.config.secrets.iter().map(|secret| secret.sign(&id, timestamp_s, &message.json));
        let request = self
            .client
            .post(self.config.url.0.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp_s)
            .header("webhook-signature", signatures.collect::<Vec<_>>().join(" "))
            .body(message.json.clone());
        match request.send().await {
            Ok(response) => judge(response.status(), response.headers(), now),
            // Nothing was sent yet.
            Err(error) if error.is_connect() => {
                Err(PushError::unavailable(in_one_line(&error.without_url())))
            }
            Err(error) if error.is_timeout() => Err(PushError::unanswered("no answer in time")),
            Err(error) => Err(PushError::unanswered(in_one_line(&error.without_url()))),
        }
    }
}

/// What an answer means; the table above.
fn judge(status: StatusCode, headers: &HeaderMap, now: Instant) -> Result<(), PushError> {
    let detail = format!("HTTP {}", status.as_u16());
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Err(PushError::Unavailable { detail, retry_after: retry_after(headers, now) })
        }
        status if status.is_server_error() => {
            Err(PushError::Unavailable { detail, retry_after: retry_after(headers, now) })
        }
        _ => Err(PushError::Refused { detail }),
    }
}

/// `Retry-After` in either of its forms: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Instant) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    (at.to_utc() - now).to_std().ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn secret(text: &str) -> Result<Secret, InvalidWebhook> {
        Secret::try_from(text.to_owned())
    }

    #[test]
    fn signs_as_the_reference_libraries_do() {
        // The vector that the reference libraries of Standard Webhooks test themselves with.
        let secret = secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature =
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn refuses_secrets_that_are_none() {
        let too_short = format!("whsec_{}", STANDARD.encode([7; 23]));
        let too_long = format!("whsec_{}", STANDARD.encode([7; 65]));
        for text in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!", &too_short, &too_long] {
            assert!(secret(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn secrets_and_keys_in_addresses_are_not_shown() {
        let json = format!(
            r#"{{"id": "crm", "url": "https://crm.example/hook?key=topsecret", "secrets": ["whsec_{}"]}}"#,
            STANDARD.encode(b"a secret of twenty-four b")
        );
        let config: WebhookConfig = serde_json::from_str(&json).unwrap();
        let shown = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
        assert!(shown.contains("https://crm.example/…") && shown.contains("whsec_***"), "{shown}");
        assert!(!shown.contains("topsecret") && !shown.contains("twenty"), "{shown}");
    }

    #[test]
    fn refuses_addresses_that_are_not_of_the_web() {
        for text in ["", "crm.example", "file:///etc/passwd", "ftp://crm.example/"] {
            assert!(Endpoint::try_from(text.to_owned()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn answers_mean_what_the_table_says() {
        let judged = |status: u16| {
            judge(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), Instant::UNIX_EPOCH)
        };
        for status in [200, 202, 204, 299] {
            assert_eq!(judged(status), Ok(()), "{status}");
        }
        for status in [408, 425, 429, 500, 502, 503, 504] {
            assert!(matches!(judged(status), Err(PushError::Unavailable { .. })), "{status}");
        }
        for status in [301, 308, 400, 401, 403, 404, 410, 413, 422] {
            assert!(matches!(judged(status), Err(PushError::Refused { .. })), "{status}");
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now: Instant = "2026-11-22T10:00:00Z".parse().unwrap();
        let read = |text: &'static str| {
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]), now)
        };
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        assert_eq!(read("Sun, 22 Nov 2026 10:01:00 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(read("Sun, 22 Nov 2026 09:59:00 GMT"), None);
        assert_eq!(read("soon"), None);
    }
}
