//! Heartbeats over NATS: core messages on `<prefix>.beat.<role>.<instance>`, never in the log.

use async_trait::async_trait;
use cuiban_event_log::Token;
use cuiban_vitals::{Beat, BeatError, Beats, Roll};
use futures::StreamExt;

/// Carries heartbeats over a connection to NATS.
#[derive(Clone, Debug)]
pub(crate) struct NatsBeats {
    client: async_nats::Client,
    prefix: Token,
}

impl NatsBeats {
    pub(crate) fn new(client: async_nats::Client, prefix: Token) -> Self {
        Self { client, prefix }
    }

    /// Takes down on the roll what is heard, for as long as the connection is open. Returns once it listens.
    pub(crate) async fn listen(
        &self,
        roll: Roll,
    ) -> Result<tokio::task::JoinHandle<()>, async_nats::SubscribeError> {
        let mut heard = self.client.subscribe(format!("{}.beat.*.*", self.prefix)).await?;
        Ok(tokio::spawn(async move {
            while let Some(message) = heard.next().await {
                match Beat::from_json(&message.payload) {
                    Ok(beat) => roll.hear(beat),
                    Err(error) => {
                        let (subject, error) = (message.subject.as_str(), &error as &dyn std::error::Error);
                        tracing::warn!(error, subject, "something else than a heartbeat was heard");
                    }
                }
            }
        }))
    }
}

#[async_trait]
impl Beats for NatsBeats {
    async fn say(&self, beat: &Beat) -> Result<(), BeatError> {
        let bytes = beat.to_json().map_err(|error| BeatError(error.into()))?;
        let subject = format!("{}.beat.{}.{}", self.prefix, beat.role, beat.instance);
        self.client.publish(subject, bytes.into()).await.map_err(|error| BeatError(error.into()))
    }
}
