//! Every status code that the gateway answers with, chosen here and nowhere else.
//!
//! | code | says |
//! |---|---|
//! | 200, 201 | done; made, see `Location` |
//! | 400 | the request cannot be understood |
//! | 401, 403 | who are you; not by this way |
//! | 404, 405, 415 | no such thing, method, body format |
//! | 409 | the thing's present state forbids it; look again, then decide |
//! | 412 | `If-Match` named another revision |
//! | 413 | too large |
//! | 422 | understood, but what it says cannot be |
//! | 429, 503 | too many; not now, see `Retry-After` |
//! | 500 | our fault |

use axum::http::StatusCode;
use cuiban_domain::Rejection;

use crate::refusal::Refusal;

/// A command was obeyed, a query answered.
pub(crate) const DONE: StatusCode = StatusCode::OK;
/// A ticket was registered, a branch opened.
pub(crate) const CREATED: StatusCode = StatusCode::CREATED;

/// `/readyz` says no.
pub(crate) const NOT_READY: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// What a command can be answered with besides success; for the description of the API.
pub(crate) const COMMAND_REFUSALS: &[StatusCode] = &[
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::CONFLICT,
    StatusCode::PRECONDITION_FAILED,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::UNPROCESSABLE_ENTITY,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
];

/// What a query can be answered with besides success; for the description of the API.
pub(crate) const QUERY_REFUSALS: &[StatusCode] = &[
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
];

/// What a live stream can be answered with besides success.
pub(crate) const LIVE_REFUSALS: &[StatusCode] = &[
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::SERVICE_UNAVAILABLE,
];

/// Whether the same request may succeed in a moment: such an answer says when, with `Retry-After`.
pub(crate) fn passes(status: StatusCode) -> bool {
    matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
}

/// The status of a refusal.
pub(crate) fn of(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Rejected(rejection) => of_rejection(rejection),
        Refusal::RevisionMismatch { .. } => StatusCode::PRECONDITION_FAILED,
        Refusal::KeyReused | Refusal::OfficialDaysUnusable { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::LogUnavailable
        | Refusal::ClockToBeConfirmed
        | Refusal::OutcomeUnknown
        | Refusal::StreamUnreadable { .. }
        | Refusal::Contended
        | Refusal::ModelsBehind { .. }
        | Refusal::NotReady { .. }
        | Refusal::Stopped { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::TooManyListeners => StatusCode::TOO_MANY_REQUESTS,
        Refusal::CommitTooLarge | Refusal::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Refusal::RouteNotFound
        | Refusal::BranchNotFound { .. }
        | Refusal::NoticeNotFound
        | Refusal::NothingToResend => StatusCode::NOT_FOUND,
        Refusal::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Refusal::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Refusal::BodyUnreadable
        | Refusal::MalformedJson { .. }
        | Refusal::NotAnObject
        | Refusal::MissingField { .. }
        | Refusal::UnknownField { .. }
        | Refusal::InvalidValue { .. }
        | Refusal::InvalidQuery { .. }
        | Refusal::InvalidHeader { .. }
        | Refusal::InvalidId { .. } => StatusCode::BAD_REQUEST,
        Refusal::Unauthenticated => StatusCode::UNAUTHORIZED,
        Refusal::ForeignHost => StatusCode::FORBIDDEN,
    }
}

fn of_rejection(rejection: &Rejection) -> StatusCode {
    use Rejection as R;
    match rejection {
        R::TicketNotFound | R::ClockNotFound { .. } => StatusCode::NOT_FOUND,
        R::TicketAlreadyRegistered
        | R::TicketEnded
        | R::TicketStillOpen
        | R::TicketPaused { .. }
        | R::TicketNotPaused
        | R::AlreadyResponded { .. }
        | R::NotYetResponded
        | R::TechnicianAlreadyDispatched { .. }
        | R::TechnicianNotDispatched
        | R::TechnicianAlreadyArrived { .. }
        | R::TechnicianNotArrived
        | R::AlreadyFixed
        | R::NotYetFixed
        | R::NoVisitNeeded
        | R::NotARepair
        | R::NothingToChange
        | R::StaffHasLeft { .. }
        | R::NotOverdue { .. }
        | R::NoticesFirst { .. }
        | R::MergeTargetNotOpen { .. }
        | R::VisitOverlaps { .. }
        | R::BranchAlreadyOpen
        | R::StaffAlreadyKnown { .. } => StatusCode::CONFLICT,
        R::UnknownBranch { .. }
        | R::UnknownStaff { .. }
        | R::NotATechnician { .. }
        | R::UnknownDistrict { .. }
        | R::AreaMissing
        | R::UnknownProduct { .. }
        | R::OccurredInFuture { .. }
        | R::OccurredTooEarly { .. }
        | R::DueInstantNotComputable { .. }
        | R::MergedIntoItself
        | R::VisitWindowInvalid
        | R::CalendarRefused { .. }
        | R::PolicyRefused { .. } => StatusCode::UNPROCESSABLE_ENTITY,
    }
}
