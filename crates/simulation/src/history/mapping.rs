//! The mapping file: which column says what.

use chrono_tz::Tz;
use cuiban_domain::sla::Policy;
use serde::Deserialize;

use super::cell::{MappingError, Rule, Source};

/// How a CSV file is read as a history of tickets; docs/mapping.md describes the TOML form.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// How the file is written.
    pub file: FileForm,
    /// The working calendar, a file beside the mapping.
    pub calendar: String,
    /// Limits and ladder; the defaults of R35 if left out.
    #[serde(default)]
    pub policy: Option<Policy>,
    /// Which column says what of a ticket.
    pub ticket: TicketFields,
    /// What a ticket's state texts mean.
    pub phases: Phases,
}

/// How the file is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileForm {
    /// The character between cells.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// Texts that mean "not known", besides the empty one.
    #[serde(default)]
    pub unknown: Vec<String>,
    /// chrono's strftime form of all times.
    pub time_format: String,
    /// The IANA zone of all times.
    pub zone: Tz,
}

fn comma() -> char {
    ','
}

/// Which column says what of a ticket. All but the times are read from the ticket's first row.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketFields {
    /// Rows with the same text belong to one ticket.
    pub id: String,
    /// When the call came.
    pub reported_at: String,
    /// When the row was written; an update before the call counts as at the call.
    pub updated_at: String,
    /// Repair, complaint or claim.
    pub kind: Source,
    /// How the call came in.
    pub channel: Source,
    /// Who called.
    pub customer_name: Source,
    /// Where to call back.
    pub customer_phone: Source,
    /// Which product.
    pub product_model: Source,
    /// What is wrong.
    pub description: Source,
    /// Which branch has it.
    pub branch: Source,
    /// Urban or suburban.
    pub area: Source,
    /// How urgent.
    pub urgency: Source,
}

/// What a ticket's state texts mean: `new`, `working`, `waiting`, `resolved` or `closed`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phases {
    /// The column with the state.
    pub column: String,
    /// The first rule that fits wins; a text that fits none means `working`.
    pub rules: Vec<Rule>,
}

impl Mapping {
    /// Reads a mapping file's text.
    pub fn parse(text: &str) -> Result<Self, MappingError> {
        toml::from_str(text).map_err(|error| MappingError::Malformed(Box::new(error)))
    }

    /// Every column that the mapping names.
    pub(super) fn columns(&self) -> impl Iterator<Item = &String> {
        let fields = &self.ticket;
        let single = [&fields.id, &fields.reported_at, &fields.updated_at, &self.phases.column];
        single.into_iter().chain(self.sources().into_iter().flat_map(|source| &source.columns))
    }

    fn sources(&self) -> [&Source; 9] {
        let fields = &self.ticket;
        [
            &fields.kind,
            &fields.channel,
            &fields.customer_name,
            &fields.customer_phone,
            &fields.product_model,
            &fields.description,
            &fields.branch,
            &fields.area,
            &fields.urgency,
        ]
    }
}
