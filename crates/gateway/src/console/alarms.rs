//! The banner above every page: what is wrong, so that nobody trusts a board behind which nobody watches.

use cuiban_vitals::Problem;

use crate::front::Office;

/// One thing that is wrong.
pub(super) struct Alarm {
    pub(super) zh: String,
    pub(super) en: String,
    /// Which other instance says so.
    pub(super) from: Option<String>,
    pub(super) tone: &'static str,
}

/// The codes of what keeps 催办 from people: red, whatever it is to this role.
const GRAVE: [&str; 3] = ["nobody_watching", "nobody_notifying", "tickets_unreadable"];

impl From<&Problem> for Alarm {
    fn from(problem: &Problem) -> Self {
        let (zh, en) = problem.detail.split_once(" / ").unwrap_or((&problem.detail, ""));
        let is_grave = problem.stops || GRAVE.contains(&problem.code.as_ref());
        let tone = if is_grave { "late" } else { "near" };
        Self { zh: zh.to_owned(), en: en.to_owned(), from: problem.from.clone(), tone }
    }
}

/// Everything that is wrong now.
pub(super) async fn now(office: &Office) -> Vec<Alarm> {
    office.front.health.seen().await.problems.iter().map(Alarm::from).collect()
}
