//! Every way in which the gateway says no, with the facts, and its form on the wire (RFC 9457).

use axum::Json;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use cuiban_command_handler::HandleError;
use cuiban_domain::Rejection;
use cuiban_domain::ids::BranchId;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{status, texts};

/// A request that is not answered with what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A rule of the trade says no.
    Rejected(Rejection),
    /// `If-Match` named another revision.
    RevisionMismatch { expected: u64, actual: u64 },
    /// The idempotency key was used for another request.
    KeyReused,
    /// Others were faster, time after time.
    Contended,
    /// The log is away; nothing was recorded.
    LogUnavailable,
    /// The log's clock shows what a person must confirm first; nothing was recorded.
    ClockToBeConfirmed,
    /// The log did not answer; the same key may be sent again.
    OutcomeUnknown,
    /// The stream that the command is for holds a commit that this build cannot read.
    StreamUnreadable { stream: String, position: u64 },
    /// The log takes no commit of this size.
    CommitTooLarge,
    /// Our fault; the details are in our own log.
    Internal,
    /// No such path.
    RouteNotFound,
    /// The path has other methods.
    MethodNotAllowed,
    /// The branch of the path was never opened.
    BranchNotFound { branch: BranchId },
    /// No such notice.
    NoticeNotFound,
    /// Every channel has taken the alert, or none has begun with it.
    NothingToResend,
    /// A body that is not JSON.
    UnsupportedMediaType,
    /// A body beyond the limit.
    BodyTooLarge { limit_bytes: usize },
    /// The body did not arrive whole.
    BodyUnreadable,
    /// A body that says that it is JSON.
    MalformedJson { line: usize, column: usize },
    /// JSON, but no object.
    NotAnObject,
    /// A field that must be there.
    MissingField { pointer: String },
    /// A field that nobody knows.
    UnknownField { pointer: String },
    /// A field of the wrong type, empty, too long, out of its range.
    InvalidValue { pointer: String, reason: String },
    /// A query string that is not understood.
    InvalidQuery { reason: String },
    /// A header that is not understood.
    InvalidHeader { header: &'static str, reason: &'static str },
    /// A part of the path that cannot be an id.
    InvalidId { reason: String },
    /// Official days that are not in the form announced.
    OfficialDaysUnusable { reason: String },
    /// No token, or none that we know.
    Unauthenticated,
    /// The request came by a name that is not this machine's own (DNS rebinding).
    ForeignHost,
    /// The read models have not come as far as the caller insists on.
    ModelsBehind { position: u64 },
    /// Too many live streams are open.
    TooManyListeners,
    /// The read models cannot answer now.
    NotReady { reason: &'static str },
    /// `/readyz` says no.
    Stopped { problems: Vec<cuiban_vitals::Problem>, warnings: Vec<cuiban_vitals::Problem> },
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<HandleError> for Refusal {
    fn from(error: HandleError) -> Self {
        let said = |error: &HandleError| {
            let source = std::error::Error::source(error).map(tracing::field::display);
            tracing::warn!(error = %error, source, "a command was not recorded");
        };
        match error {
            HandleError::Rejected(rejection) => Self::Rejected(*rejection),
            HandleError::RevisionMismatch { expected, actual } => Self::RevisionMismatch { expected, actual },
            HandleError::KeyReused => Self::KeyReused,
            HandleError::Contended { .. } => Self::Contended,
            HandleError::TooLarge(_) => Self::CommitTooLarge,
            error => {
                said(&error);
                match error {
                    HandleError::Unavailable(_) => Self::LogUnavailable,
                    HandleError::ClockToBeConfirmed(_) => Self::ClockToBeConfirmed,
                    HandleError::Unknown(_) => Self::OutcomeUnknown,
                    HandleError::Unreadable(unreadable) => Self::StreamUnreadable {
                        stream: unreadable.stream.to_string(),
                        position: unreadable.position.raw(),
                    },
                    _ => Self::Internal,
                }
            }
        }
    }
}

impl Refusal {
    /// The stable word for machines.
    pub(crate) fn code(&self) -> String {
        match self {
            Self::Rejected(rejection) => rejection.code(),
            Self::RevisionMismatch { .. } => "revision_mismatch".to_owned(),
            other => texts::code_of(other).to_owned(),
        }
    }

    /// What a program may want to know: the facts of the rule, the place in the body.
    fn facts(&self) -> Map<String, Value> {
        let facts = match self {
            Self::Rejected(rejection) => serde_json::to_value(rejection).unwrap_or_default(),
            Self::RevisionMismatch { expected, actual } => {
                serde_json::json!({ "expected": expected, "actual": actual })
            }
            Self::BodyTooLarge { limit_bytes } => serde_json::json!({ "limit_bytes": limit_bytes }),
            Self::MalformedJson { line, column } => serde_json::json!({ "line": line, "column": column }),
            Self::MissingField { pointer }
            | Self::UnknownField { pointer }
            | Self::InvalidValue { pointer, .. } => serde_json::json!({ "pointer": pointer }),
            Self::InvalidHeader { header, .. } => serde_json::json!({ "header": header }),
            Self::BranchNotFound { branch } => serde_json::json!({ "branch": branch }),
            Self::StreamUnreadable { stream, position } => {
                serde_json::json!({ "stream": stream, "position": position.to_string() })
            }
            Self::Stopped { problems, warnings } => {
                serde_json::json!({ "problems": problems, "warnings": warnings })
            }
            Self::ModelsBehind { position } => serde_json::json!({ "position": position.to_string() }),
            _ => Value::Null,
        };
        match facts {
            Value::Object(facts) => facts,
            _ => Map::new(),
        }
    }

    /// Whether the same request may succeed in a moment.
    fn is_passing(&self) -> bool {
        status::passes(status::of(self))
    }
}

/// 问题说明: a refusal on the wire, `application/problem+json` (RFC 9457). Facts of the rule stand beside these members.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Problem {
    /// `urn:cuiban:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(example = "urn:cuiban:problem:ticket_ended")]
    type_uri: String,
    /// What is wrong, in Chinese and English.
    #[schema(example = "工单已结束 / ticket has ended")]
    title: String,
    /// The status code again.
    #[schema(example = 409)]
    status: u16,
    /// What to do about it, in Chinese and English.
    detail: String,
    /// The stable word for machines.
    #[schema(example = "ticket_ended")]
    code: String,
    /// The facts of the rule that said no; a field of the body is named by `pointer` (RFC 6901).
    #[serde(flatten)]
    #[schema(ignore)]
    facts: Map<String, Value>,
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        let code = refusal.code();
        let mut facts = refusal.facts();
        for own in ["type", "title", "status", "detail", "code"] {
            facts.remove(own);
        }
        Self {
            type_uri: format!("urn:cuiban:problem:{code}"),
            title: texts::title(refusal).to_owned(),
            status: status::of(refusal).as_u16(),
            detail: texts::detail(refusal),
            code,
            facts,
        }
    }
}

/// How often a caller that was told to wait is asked to wait, in seconds; put in by the gateway's configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryAfter(pub(crate) u64);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (status::of(&self), Json(Problem::from(&self))).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self == Self::Unauthenticated {
            for challenge in ["Bearer", "Basic realm=\"cuiban\", charset=\"UTF-8\""] {
                headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
        }
        if self.is_passing() {
            response.extensions_mut().insert(Passing);
        }
        response
    }
}

/// Marks a response that a `Retry-After` belongs to.
#[derive(Clone, Copy, Debug)]
struct Passing;

impl RetryAfter {
    /// Adds the header where the refusal will pass.
    pub(crate) fn add_to(self, mut response: Response) -> Response {
        const RETRY_AFTER: HeaderName = header::RETRY_AFTER;
        if response.extensions().get::<Passing>().is_some() {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(self.0));
        }
        response
    }
}
