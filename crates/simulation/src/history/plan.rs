//! Rows become steps: every command of every ticket, in the order of time.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, StaffId};
use cuiban_domain::people::{Customer, Phone};
use cuiban_domain::text::{Name, Note};
use cuiban_domain::ticket::{
    ArriveAtCustomer, CloseTicket, CustomerLevel, DispatchTechnician, FixOnSite, PauseTicket, RegisterTicket,
    ReopenTicket, RespondToCustomer, ResumeTicket, TicketKind,
};
use cuiban_domain::working_time::local_instant;
use serde::Serialize;

use super::cell::{MappingError, Row};
use super::phases::{Course, Phase};
use super::{Mapping, cell};

/// A whole history, in the order of time.
#[derive(Clone, Debug)]
pub struct History {
    /// The branches that occur.
    pub branches: Vec<BranchId>,
    /// The technician who stands for a branch's own.
    pub technician: StaffId,
    /// The commands; those of one instant in the order of the file.
    pub steps: Vec<Step>,
    /// How many tickets there are.
    pub tickets: usize,
    /// The last row's instant.
    pub ends_at: Instant,
}

/// One command of one ticket.
#[derive(Clone, Debug)]
pub struct Step {
    /// When it happened.
    pub at: Instant,
    /// Which ticket, counted from 0 in the order of the file.
    pub ticket: usize,
    /// The ticket's id in the file.
    pub key: String,
    /// What happened.
    pub action: Action,
}

/// What a step does. Serialised as the command that the API takes.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "each is the command that it holds")]
pub enum Action {
    Register(Box<RegisterTicket>),
    Respond(RespondToCustomer),
    Pause(PauseTicket),
    Resume(ResumeTicket),
    Dispatch(DispatchTechnician),
    Arrive(ArriveAtCustomer),
    Fix(FixOnSite),
    Reopen(ReopenTicket),
    Close(CloseTicket),
}

struct ReadRow {
    reported_at: Instant,
    updated_at: Instant,
    phase: Phase,
    state: String,
}

impl History {
    /// Reads a CSV text by a mapping.
    pub fn read(csv_text: impl std::io::Read, mapping: &Mapping) -> Result<Self, MappingError> {
        let delimiter = u8::try_from(mapping.file.delimiter).unwrap_or(b',');
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(csv_text);
        let columns = columns(reader.headers()?, mapping)?;
        let mut tickets: Vec<(String, RegisterTicket, Vec<ReadRow>)> = Vec::new();
        let mut index_of: BTreeMap<String, usize> = BTreeMap::new();
        let mut ends_at = None;
        for cells in reader.records() {
            let cells = cells?;
            let row = Row { columns: &columns, unknown: &mapping.file.unknown, cells: &cells };
            let read = read_row(&row, mapping)?;
            let key =
                row.text(&mapping.ticket.id).ok_or_else(|| value_error(&row, "id", "not known"))?.to_owned();
            ends_at = ends_at.max(Some(read.updated_at));
            let index = match index_of.get(&key) {
                Some(index) => *index,
                None => {
                    tickets.push((key.clone(), registration(&row, mapping)?, Vec::new()));
                    index_of.insert(key, tickets.len() - 1);
                    tickets.len() - 1
                }
            };
            tickets[index].2.push(read);
        }
        let ends_at = ends_at.ok_or(MappingError::Empty)?;
        let mut branches: Vec<BranchId> =
            tickets.iter().map(|(_, register, _)| register.branch.clone()).collect();
        branches.sort();
        branches.dedup();
        let technician = technician();
        let mut steps = Vec::new();
        let count = tickets.len();
        for (ticket, (key, register, rows)) in tickets.into_iter().enumerate() {
            steps.extend(ticket_steps(ticket, &key, register, rows, &technician));
        }
        steps.sort_by_key(|step| step.at);
        Ok(Self { branches, technician, steps, tickets: count, ends_at })
    }
}

#[expect(clippy::expect_used, reason = "a constant that fits the alphabet")]
fn technician() -> StaffId {
    StaffId::new("technician").expect("fits the alphabet")
}

fn ticket_steps(
    ticket: usize,
    key: &str,
    register: RegisterTicket,
    mut rows: Vec<ReadRow>,
    technician: &StaffId,
) -> Vec<Step> {
    // A stable sort: the order of the file stands within one minute.
    rows.sort_by_key(|row| row.updated_at);
    let reported_at = rows.iter().map(|row| row.reported_at).min().unwrap_or_default();
    let mut course = Course::new(technician.clone(), register.channel);
    let step = |at, action| Step { at, ticket, key: key.to_owned(), action };
    let mut steps = vec![step(reported_at, Action::Register(Box::new(register)))];
    for row in rows {
        let at = row.updated_at.max(reported_at);
        steps.extend(course.enter(row.phase, &row.state).into_iter().map(|action| step(at, action)));
    }
    steps
}

fn columns(headers: &csv::StringRecord, mapping: &Mapping) -> Result<BTreeMap<String, usize>, MappingError> {
    let columns: BTreeMap<String, usize> = headers
        .iter()
        .enumerate()
        .map(|(index, name)| (name.trim_start_matches('\u{feff}').to_owned(), index))
        .collect();
    match mapping.columns().find(|column| !columns.contains_key(*column)) {
        Some(column) => {
            let known = headers.iter().collect::<Vec<_>>().join(", ");
            Err(MappingError::UnknownColumn { column: column.clone(), known })
        }
        None => Ok(columns),
    }
}

fn read_row(row: &Row<'_>, mapping: &Mapping) -> Result<ReadRow, MappingError> {
    let time = |field: &str, column: &str| -> Result<Instant, MappingError> {
        let text = row.text(column).ok_or_else(|| value_error(row, field, "not known"))?;
        let local = NaiveDateTime::parse_from_str(text, &mapping.file.time_format)
            .map_err(|error| value_error(row, field, &format!("{text:?} is not a time: {error}")))?;
        Ok(local_instant(mapping.file.zone, local))
    };
    let state = row.text(&mapping.phases.column).unwrap_or_default().to_owned();
    let source = cell::Source { rules: mapping.phases.rules.clone(), ..cell::Source::default() };
    let source = cell::Source { columns: vec![mapping.phases.column.clone()], ..source };
    let word = row.value(&source).unwrap_or_else(|| "working".to_owned());
    let phase = word.parse().map_err(|error: String| value_error(row, "phases", &error))?;
    Ok(ReadRow {
        reported_at: time("reported_at", &mapping.ticket.reported_at)?,
        updated_at: time("updated_at", &mapping.ticket.updated_at)?,
        phase,
        state,
    })
}

fn registration(row: &Row<'_>, mapping: &Mapping) -> Result<RegisterTicket, MappingError> {
    let fields = &mapping.ticket;
    let text = |field: &str, source: &cell::Source| {
        row.value(source).ok_or_else(|| value_error(row, field, "not known, and the mapping has no default"))
    };
    let kind: TicketKind = word(row, "kind", text("kind", &fields.kind)?)?;
    let name = |field: &str, source: &cell::Source| -> Result<Name, MappingError> {
        Name::new(text(field, source)?).map_err(|error| value_error(row, field, &error.to_string()))
    };
    let phone = Phone::new(text("customer_phone", &fields.customer_phone)?)
        .map_err(|error| value_error(row, "customer_phone", &error.to_string()))?;
    Ok(RegisterTicket {
        kind,
        customer: Customer { name: name("customer_name", &fields.customer_name)?, phone, address: None },
        customer_level: CustomerLevel::Standard,
        channel: word(row, "channel", text("channel", &fields.channel)?)?,
        product_model: name("product_model", &fields.product_model)?,
        serial_number: None,
        description: Note::new(text("description", &fields.description)?)
            .map_err(|error| value_error(row, "description", &error.to_string()))?,
        happened_at: None,
        branch: BranchId::new(text("branch", &fields.branch)?)
            .map_err(|error| value_error(row, "branch", &error.to_string()))?,
        area: Some(word(row, "area", text("area", &fields.area)?)?),
        district: None,
        urgency: word(row, "urgency", text("urgency", &fields.urgency)?)?,
        needs_visit: kind == TicketKind::Repair,
        warranty_until: None,
        contract_until: None,
    })
}

/// A word of the domain, as JSON writes it.
fn word<T: serde::de::DeserializeOwned>(row: &Row<'_>, field: &str, text: String) -> Result<T, MappingError> {
    serde_json::from_value(serde_json::Value::String(text))
        .map_err(|error| value_error(row, field, &error.to_string()))
}

fn value_error(row: &Row<'_>, field: &str, detail: &str) -> MappingError {
    MappingError::Value { line: row.line(), field: field.to_owned(), detail: detail.to_owned() }
}
