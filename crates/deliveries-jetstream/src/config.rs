//! The stream's name and form, and the limits.

use std::time::Duration;

use async_nats::jetstream::stream::{self, DiscardPolicy, StorageType};
use serde::{Deserialize, Serialize};

/// How the record is kept on JetStream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The stream's name.
    pub stream: String,
    /// The first word of its subjects.
    pub prefix: String,
    /// On how many servers a stream that does not exist yet is kept.
    pub replicas: usize,
    /// How long a record is kept.
    pub keep_days: u32,
    /// How long a request waits for its answer.
    pub request_ms_max: u64,
    /// How often a quiet follower asks the stream's leader whether it is missing something.
    pub silence_check_ms: u64,
    /// The pause before a consumer that could not be made is made again.
    pub retry_delay_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            stream: "CUIBAN_DELIVERIES".to_owned(),
            prefix: "cuiban".to_owned(),
            replicas: 1,
            keep_days: 35,
            request_ms_max: 5_000,
            silence_check_ms: 3_000,
            retry_delay_ms: 250,
        }
    }
}

impl Config {
    pub(crate) fn subject(&self, key: &cuiban_deliveries::Key) -> String {
        format!("{}.deliveries.{key}", self.prefix)
    }

    pub(crate) fn subjects_of(&self, channel: Option<&cuiban_domain::ids::ChannelId>) -> String {
        match channel {
            Some(channel) => format!("{}.deliveries.{channel}.>", self.prefix),
            None => format!("{}.deliveries.>", self.prefix),
        }
    }

    pub(crate) fn stream_config(&self) -> stream::Config {
        stream::Config {
            name: self.stream.clone(),
            description: Some("cuiban: what was pushed to whom; disposable".to_owned()),
            subjects: vec![self.subjects_of(None)],
            storage: StorageType::File,
            discard: DiscardPolicy::Old,
            max_messages_per_subject: 1,
            max_age: Duration::from_secs(u64::from(self.keep_days) * 86_400),
            num_replicas: self.replicas,
            ..Default::default()
        }
    }

    /// What differs from the form that the stream was made in, and lets it forget or refuse records.
    pub(crate) fn differing(&self, found: &stream::Config) -> Vec<String> {
        let wanted = self.stream_config();
        let days = |age: Duration| match age.as_secs_f64() / 86_400.0 {
            0.0 => "without end".to_owned(),
            days => format!("{days:.1} days"),
        };
        let forgets_too_soon = found.max_age != Duration::ZERO && found.max_age < wanted.max_age;
        let limit = |name, found: i64| (found > 0, name, found.to_string(), "none".to_owned());
        let compared = [
            (forgets_too_soon, "max_age", days(found.max_age), format!("{} at least", days(wanted.max_age))),
            limit("max_msgs", found.max_messages),
            limit("max_bytes", found.max_bytes),
            differs("subjects", &found.subjects, &wanted.subjects),
            differs("storage", &found.storage, &wanted.storage),
            differs("retention", &found.retention, &wanted.retention),
            differs("no_ack", &found.no_ack, &wanted.no_ack),
        ];
        let differing = compared.into_iter().filter(|(differs, ..)| *differs);
        differing.map(|(_, name, found, wanted)| format!("{name} is {found} (wanted: {wanted})")).collect()
    }
}

fn differs<T: PartialEq + std::fmt::Debug>(
    name: &'static str,
    found: &T,
    wanted: &T,
) -> (bool, &'static str, String, String) {
    (found != wanted, name, format!("{found:?}"), format!("{wanted:?}"))
}
