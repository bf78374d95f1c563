//! The company's rules as they are in force, and how the read models stand.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use chrono::Datelike;
use cuiban_domain::sla::Policy;
use cuiban_domain::working_time::{Calendar, SpecialDay};
use cuiban_projector::{ModelStatus, ParkedRow};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::{self, Api, Operation};
use crate::front::Office;
use crate::refusal::Refusal;
use crate::status;

pub(super) fn routes(api: Api<Office>) -> Api<Office> {
    api.get(
        "/v1/company",
        company,
        Operation::new(api::COMPANY, "公司规则 / Calendar, policy and products in force")
            .answer::<CompanyRow>(status::DONE, "公司 / the company", &[])
            .of_a_query(),
    )
    .get(
        "/v1/models",
        models,
        Operation::new(api::SERVICE, "读模型状况 / How the read models stand")
            .answer::<ModelsRow>(status::DONE, "读模型 / the read models", &[])
            .of_a_query(),
    )
}

/// 公司: the rules of all branches that have none of their own.
#[derive(Debug, Serialize, ToSchema)]
struct CompanyRow {
    /// Weekly hours and national days.
    calendar: Calendar,
    /// Whether the calendar was set, or is the one to begin with.
    calendar_is_own: bool,
    /// This year or the next, where no official notice was imported for it (R53).
    provisional_years: Vec<i32>,
    /// Days by province.
    province_days: BTreeMap<String, Vec<SpecialDay>>,
    /// Limits and ladder.
    policy: Policy,
    /// Product models; empty: anything goes.
    products: Vec<String>,
}

async fn company(State(office): State<Office>) -> Json<CompanyRow> {
    let organisation = office.front.organisation();
    let company = organisation.company();
    let calendar = company.calendar();
    let this_year = office.front.now().with_timezone(&calendar.zone()).year();
    Json(CompanyRow {
        provisional_years: calendar.provisional_years(this_year..=this_year + 1),
        calendar,
        calendar_is_own: company.own_calendar.is_some(),
        province_days: company
            .provinces
            .iter()
            .map(|(name, days)| (name.to_string(), days.clone()))
            .collect(),
        policy: company.policy.clone(),
        products: company.products.iter().map(ToString::to_string).collect(),
    })
}

/// 读模型: how each stands, and what they had to set aside.
#[derive(Debug, Serialize, ToSchema)]
struct ModelsRow {
    /// Each model.
    models: Vec<ModelStatus>,
    /// Commits that cannot be folded.
    parked: Vec<ParkedRow>,
}

async fn models(State(office): State<Office>) -> Result<Json<ModelsRow>, Refusal> {
    let answer = office.ask(|models| Ok(ModelsRow { models: models.status()?, parked: models.parked()? }));
    Ok(Json(answer.await?))
}
