//! Something that is wrong.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// 问题: something that is wrong with a process, or that it has found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[schema(as = Warning)]
pub struct Problem {
    /// The stable word for machines.
    #[schema(value_type = String, example = "nobody_watching")]
    pub code: Cow<'static, str>,
    /// What was seen, in Chinese and English.
    pub detail: String,
    /// Whether it stops the role's own work; a warning otherwise.
    pub stops: bool,
    /// Which other instance said so, `watchdog/host-1`; none for what this process has found itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

impl Problem {
    /// A problem that leaves the role's own work going on.
    pub fn warning(code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self { code: code.into(), detail: detail.into(), stops: false, from: None }
    }

    /// A problem that stops the role's own work.
    pub fn stopping(code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self { stops: true, ..Self::warning(code, detail) }
    }

    /// The same, as another instance said it: it stops nobody here.
    #[must_use]
    pub fn heard_from(self, instance: impl Into<String>) -> Self {
        Self { stops: false, from: Some(instance.into()), ..self }
    }
}

/// An error with its causes, in one line.
pub fn in_one_line(error: &dyn std::error::Error) -> String {
    /// How many errors of a chain are told.
    const CAUSES_MAX: usize = 6;
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.take(CAUSES_MAX).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
