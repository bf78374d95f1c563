//! `cuiban.toml`: every room's limits in a section of its own. Flags and environment win over it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;

use crate::exit::{Failure, OrFailure};

/// What the settings file may say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub data: Option<PathBuf>,
    pub listen: Option<SocketAddr>,
    pub nats: Option<String>,
    pub sqlite: cuiban_event_log_sqlite::Config,
    pub jetstream: cuiban_event_log_jetstream::Config,
    pub command_handler: cuiban_command_handler::Config,
    pub projector: cuiban_projector::Config,
    pub watchdog: cuiban_watchdog::Config,
    pub notifier: cuiban_notifier::Config,
    pub deliveries: Deliveries,
    pub gateway: cuiban_gateway::Config,
}

/// How long it is kept what was pushed to whom.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Deliveries {
    pub keep_days: u32,
}

impl Default for Deliveries {
    fn default() -> Self {
        Self { keep_days: 35 }
    }
}

impl Settings {
    /// Reads the file that was named, or `./cuiban.toml` if there is one.
    pub(crate) fn read(named: Option<&Path>) -> Result<Self, Failure> {
        let default = Path::new("cuiban.toml");
        let path = match named {
            Some(path) => path,
            None if default.exists() => default,
            None => return Ok(Self::default()),
        };
        let text =
            std::fs::read_to_string(path).with_context(|| format!("read the settings {}", path.display()));
        toml::from_str(&text.or_usage()?)
            .with_context(|| format!("read the settings {}", path.display()))
            .or_usage()
    }
}
