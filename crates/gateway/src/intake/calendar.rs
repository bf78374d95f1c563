//! Official days (R53): a State Council notice laid over the company's calendar.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use chrono::Datelike;
use cuiban_command_handler::{CommandMeta, HandleError};
use cuiban_domain::organisation::{Company, SetCompanyCalendar};
use cuiban_domain::working_time::{Calendar, Finding, Layer, NotApplied, OfficialDays, WorkingTimeError};
use cuiban_domain::{Aggregate, Instant, Rejection};
use cuiban_event_log::{Consistency, Position, StreamId, Token};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::{self, Api};
use crate::front::Front;
use crate::intake::order::Order;
use crate::intake::receipt::{Receipt, with_headers};
use crate::intake::route::{RECEIPT_HEADERS, command};
use crate::refusal::Refusal;
use crate::status;

/// 放假安排: a published notice of days off and worked weekends.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportOfficialDays {
    /// How the notice is written.
    format: OfficialDaysFormat,
    /// The file's text.
    #[schema(
        example = "{\"year\":2026,\"days\":[{\"name\":\"元旦\",\"date\":\"2026-01-01\",\"isOffDay\":true}]}"
    )]
    text: String,
}

/// The two published forms.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum OfficialDaysFormat {
    /// JSON of a year as holiday-cn publishes it.
    HolidayCn,
    /// An iCalendar file.
    Icalendar,
}

/// What a person should know of a calendar besides that it is sound.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CalendarRemarks {
    /// Entries of the notice that are neither a day off nor a worked day.
    pub(crate) not_applied: Vec<NotApplied>,
    /// What a person should look at.
    pub(crate) findings: Vec<Finding>,
    /// This year or the next, where no official notice was imported for it.
    pub(crate) provisional_years: Vec<i32>,
}

impl CalendarRemarks {
    pub(crate) fn on(calendar: &Calendar, not_applied: Vec<NotApplied>, now: Instant) -> Self {
        let this_year = now.with_timezone(&calendar.zone()).year();
        Self {
            not_applied,
            findings: calendar.findings(),
            provisional_years: calendar.provisional_years(this_year..=this_year + 1),
        }
    }
}

/// A receipt with remarks on the new calendar.
#[derive(Debug, Serialize, ToSchema)]
struct ImportReceipt {
    /// Where it was recorded.
    receipt: Receipt,
    /// What a person should know of it.
    remarks: CalendarRemarks,
}

impl ImportOfficialDays {
    /// The notice's days.
    pub(crate) fn read(&self) -> Result<OfficialDays, Refusal> {
        let read = match self.format {
            OfficialDaysFormat::HolidayCn => OfficialDays::from_holiday_cn("holiday-cn", &self.text),
            OfficialDaysFormat::Icalendar => OfficialDays::from_icalendar("icalendar", &self.text),
        };
        read.map_err(|error| Refusal::OfficialDaysUnusable { reason: error.to_string() })
    }
}

/// The calendar with the notice laid over it: above earlier notices, below the company's own days. A notice
/// of the same years is replaced, so that a corrected one leaves no day of the wrong one behind.
pub(crate) fn lay_over(present: &Calendar, official: OfficialDays) -> Result<Calendar, Refusal> {
    let years = official.years.clone();
    let is_notice = |layer: &Layer| !layer.published_years.is_empty();
    let is_replaced =
        |layer: &Layer| is_notice(layer) && layer.published_years.iter().all(|year| years.contains(year));
    let mut layers: Vec<Layer> =
        present.layers().iter().filter(|layer| !is_replaced(layer)).cloned().collect();
    let above_notices = layers.iter().rposition(is_notice).map_or(0, |index| index + 1);
    let names: Vec<_> = years.iter().map(ToString::to_string).collect();
    layers.insert(above_notices, official.into_layer(format!("official {}", names.join(", "))));
    Calendar::new(present.zone(), present.weekly().clone(), layers).map_err(refused)
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that map_err wants")]
fn refused(error: WorkingTimeError) -> Refusal {
    Rejection::CalendarRefused { reason: error.code().to_owned(), detail: error.to_string() }.into()
}

impl Api<Arc<Front>> {
    /// `POST /v1/company/calendar/official-days`.
    pub(crate) fn official_days(self) -> Self {
        let is = command::<ImportOfficialDays>(api::COMPANY, "导入放假安排 / Import official days (R53)");
        let is = is.answer::<ImportReceipt>(status::DONE, "已导入 / imported", RECEIPT_HEADERS);
        self.post("/v1/company/calendar/official-days", import, is)
    }
}

async fn import(
    State(front): State<Arc<Front>>,
    order: Order<ImportOfficialDays>,
) -> Result<Response, Refusal> {
    let official = order.command.read()?;
    if official.days.is_empty() {
        let reason = "it lists no day off and no worked day".to_owned();
        return Err(Refusal::OfficialDaysUnusable { reason });
    }
    let not_applied = official.not_applied.clone();
    let mut retries = front.config.calendar_retries_max;
    // Laid over the calendar as it is at a known revision: two imports at once lose nothing.
    let (handled, calendar) = loop {
        let revision = company_revision(&front).await?;
        let calendar = lay_over(&front.organisation().company().calendar(), official.clone())?;
        let expected_revision = order.meta.expected_revision.or(Some(revision));
        let meta = CommandMeta { expected_revision, ..order.meta.clone() };
        let command = SetCompanyCalendar { calendar: calendar.clone() }.into();
        match Box::pin(front.handlers.company(&command, &meta)).await {
            Err(HandleError::RevisionMismatch { .. })
                if order.meta.expected_revision.is_none() && retries > 0 =>
            {
                retries -= 1;
            }
            handled => break (handled?, calendar),
        }
    };
    front.wait_for_directory(handled.position).await;
    let receipt = Receipt::of_company(&handled).warned(front.handlers.directory());
    let (revision, position) = (receipt.revision, receipt.position.clone());
    let remarks = CalendarRemarks::on(&calendar, not_applied, front.now());
    Ok(with_headers(status::DONE, None, revision, &position, Json(ImportReceipt { receipt, remarks })))
}

/// The revision of the company's stream, once this process's directory has folded it.
async fn company_revision(front: &Front) -> Result<u64, Refusal> {
    let token = |text: &str| Token::new(text).map_err(|_| Refusal::Internal);
    let stream = StreamId { kind: token(Company::KIND)?, id: token("company")? };
    let commits = front.log.read_stream(&stream, None, Consistency::Leader).await.map_err(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "the company's stream cannot be read");
        Refusal::LogUnavailable
    })?;
    let Some(last) = commits.last() else { return Ok(0) };
    let commit = cuiban_event_schema::decode(last.payload()).map_err(|_| Refusal::Internal)?;
    let position: Position = last.position();
    front.wait_for_directory(position).await;
    Ok(commit.envelope.revision)
}

#[cfg(test)]
mod tests {
    use cuiban_domain::working_time::{SpecialDay, Weekly};

    use super::*;

    fn calendar(layers: Vec<Layer>) -> Calendar {
        let weekly = Weekly { mon: vec!["08:30-12:00".parse().unwrap()], ..Weekly::default() };
        Calendar::new(shanghai(), weekly, layers).unwrap()
    }

    fn shanghai() -> chrono_tz::Tz {
        chrono_tz::Asia::Shanghai
    }

    fn notice(year: i32, days: usize) -> OfficialDays {
        let day =
            |day: usize| format!(r#"{{"name":"节","date":"{year}-05-{:02}","isOffDay":true}}"#, day + 1);
        let days: Vec<_> = (0..days).map(day).collect();
        let json = format!(r#"{{"year":{year},"days":[{}]}}"#, days.join(","));
        OfficialDays::from_holiday_cn("test", &json).unwrap()
    }

    #[test]
    fn r53_a_notice_lies_above_earlier_ones_and_below_the_companys_own_days() {
        let own = SpecialDay::closed("2026-05-20".parse().unwrap(), "司庆");
        let own = Layer { name: "own".to_owned(), days: vec![own], ..Layer::default() };
        let present = calendar(vec![notice(2025, 1).into_layer("2025"), own]);
        let laid = lay_over(&present, notice(2026, 2)).unwrap();
        let names: Vec<_> = laid.layers().iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(names, ["2025", "official 2026", "own"]);
    }

    #[test]
    fn r53_a_corrected_notice_replaces_the_one_of_the_same_year() {
        let once = lay_over(&calendar(Vec::new()), notice(2026, 5)).unwrap();
        let twice = lay_over(&once, notice(2026, 3)).unwrap();
        assert_eq!(twice.layers().len(), 1);
        assert_eq!(twice.layers()[0].days.len(), 3);
    }
}
