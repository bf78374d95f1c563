//! One line a route: the builder that registers a handler and describes it in the same breath (OpenAPI 3.1).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use axum::Router;
use axum::handler::Handler;
use axum::http::StatusCode;
use axum::routing::{MethodFilter, on};
use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use crate::{form, status};

/// Routes with their descriptions.
pub(crate) struct Api<S> {
    router: Router<S>,
    description: Description,
}

/// What is described so far.
#[derive(Default)]
pub(crate) struct Description {
    paths: BTreeMap<String, Map<String, Value>>,
    schemas: BTreeMap<String, Value>,
}

/// One operation's description.
pub(crate) struct Operation {
    summary: &'static str,
    tag: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    body_schema: Option<(String, Value)>,
    answers: Map<String, Value>,
    /// Whether its answer tells how far the read models are.
    tells_position: bool,
    schemas: Vec<(String, RefOr<Schema>)>,
}

impl<S: Clone + Send + Sync + 'static> Api<S> {
    pub(crate) fn new() -> Self {
        Self { router: Router::new(), description: Description::default() }
    }

    /// A query.
    pub(crate) fn get<H: Handler<T, S>, T: 'static>(self, path: &str, handler: H, is: Operation) -> Self {
        self.route(MethodFilter::GET, "get", path, handler, is)
    }

    /// A command.
    pub(crate) fn post<H: Handler<T, S>, T: 'static>(self, path: &str, handler: H, is: Operation) -> Self {
        self.route(MethodFilter::POST, "post", path, handler, is)
    }

    fn route<H: Handler<T, S>, T: 'static>(
        mut self,
        filter: MethodFilter,
        method: &str,
        path: &str,
        handler: H,
        is: Operation,
    ) -> Self {
        self.router = self.router.route(path, on(filter, handler));
        self.description.add(method, path, is);
        self
    }

    pub(crate) fn into_parts(self) -> (Router<S>, Description) {
        (self.router, self.description)
    }
}

impl Operation {
    /// An operation of the group `tag`, in a few words.
    pub(crate) fn new(tag: &'static str, summary: &'static str) -> Self {
        let (parameters, answers, schemas, tells_position) = Default::default();
        Self { summary, tag, parameters, body: None, body_schema: None, answers, tells_position, schemas }
    }

    /// Parameters of the query string.
    pub(crate) fn query<P: IntoParams>(mut self) -> Self {
        let parameters = P::into_params(|| Some(utoipa::openapi::path::ParameterIn::Query));
        self.parameters.extend(parameters.iter().map(as_json));
        self
    }

    /// A request header.
    pub(crate) fn header(mut self, name: &str, description: &str) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "header", "required": false, "description": description,
            "schema": form::header(name),
        }));
        self
    }

    /// A JSON body of this type, with further properties that the gateway takes out before it is parsed.
    pub(crate) fn body<B: ToSchema>(mut self, also: &[(&str, Value)], is_required: bool) -> Self {
        let mut schema = as_json(&B::schema());
        // One of several forms is that one and nothing besides.
        for choice in schema.get_mut("oneOf").and_then(Value::as_array_mut).into_iter().flatten() {
            choice["additionalProperties"] = json!(false);
        }
        for (name, property) in also {
            schema["properties"][*name] = property.clone();
        }
        B::schemas(&mut self.schemas);
        // A name of its own: the type without the additions may be a part of another body.
        let name = format!("{}Request", B::name());
        self.body = Some(json!({
            "required": is_required,
            "content": { "application/json": { "schema": reference(&name) } },
        }));
        self.body_schema = Some((name, schema));
        self
    }

    /// The answer with this status: JSON of this type, and headers with their descriptions.
    pub(crate) fn answer<A: ToSchema>(
        mut self,
        status: StatusCode,
        description: &str,
        headers: &[(&str, &str)],
    ) -> Self {
        self.refer::<A>();
        self.insert_answer(status, description, headers, "application/json", &reference(&A::name()))
    }

    /// An answer that is text of another kind.
    pub(crate) fn text_answer(self, status: StatusCode, description: &str, media_type: &str) -> Self {
        self.insert_answer(status, description, &[], media_type, &json!({ "type": "string" }))
    }

    fn insert_answer(
        mut self,
        status: StatusCode,
        description: &str,
        headers: &[(&str, &str)],
        media_type: &str,
        schema: &Value,
    ) -> Self {
        let headers: Map<String, Value> = headers
            .iter()
            .map(|(name, said)| {
                let is = json!({ "description": said, "required": true, "schema": form::header(name) });
                ((*name).to_owned(), is)
            })
            .collect();
        let mut answer =
            json!({ "description": description, "content": { media_type: { "schema": schema } } });
        if !headers.is_empty() {
            answer["headers"] = Value::Object(headers);
        }
        self.answers.insert(status.as_str().to_owned(), answer);
        self
    }

    /// The refusals that are possible here.
    pub(crate) fn refusals(mut self, statuses: &[StatusCode]) -> Self {
        self.refer::<crate::refusal::Problem>();
        for status in statuses {
            let said = status.canonical_reason().unwrap_or_default();
            let headers: &[_] = if status::passes(*status) { RETRY_AFTER } else { &[] };
            let problem = reference("Problem");
            self = self.insert_answer(*status, said, headers, "application/problem+json", &problem);
        }
        self
    }

    /// A query's usual headers and refusals.
    pub(crate) fn of_a_query(mut self) -> Self {
        self.tells_position = true;
        self.header(
            "Cuiban-Min-Position",
            "等待读模型追上此位置 / wait until the read models have come this far",
        )
        .refusals(status::QUERY_REFUSALS)
    }

    fn refer<T: ToSchema>(&mut self) {
        T::schemas(&mut self.schemas);
        self.schemas.push((T::name().into_owned(), <T as PartialSchema>::schema()));
    }
}

impl Description {
    fn add(&mut self, method: &str, path: &str, is: Operation) {
        for (name, schema) in is.schemas {
            self.add_schema(name, as_json(&schema));
        }
        if let Some((name, schema)) = is.body_schema {
            self.add_schema(name, schema);
        }
        let mut parameters: Vec<Value> = path_parameters(method, path).collect();
        parameters.extend(is.parameters);
        let mut answers = is.answers;
        if is.tells_position
            && let Some(answer) = answers.get_mut(status::DONE.as_str())
        {
            answer["headers"][POSITION.0] =
                json!({ "description": POSITION.1, "required": true, "schema": form::header(POSITION.0) });
        }
        let mut operation = json!({
            "tags": [is.tag],
            "summary": is.summary,
            "operationId": operation_id(method, path),
            "responses": answers,
        });
        if !parameters.is_empty() {
            operation["parameters"] = Value::Array(parameters);
        }
        if let Some(body) = is.body {
            operation["requestBody"] = body;
        }
        self.paths.entry(path.to_owned()).or_default().insert(method.to_owned(), operation);
    }

    /// Two types of one name would describe each other wrongly: a test builds the whole description.
    fn add_schema(&mut self, name: String, schema: Value) {
        match self.schemas.entry(name) {
            Entry::Vacant(free) => {
                free.insert(schema);
            }
            Entry::Occupied(taken) => {
                debug_assert!(*taken.get() == schema, "two schemas named {}", taken.key());
            }
        }
    }

    /// Both descriptions in one.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        for (path, operations) in other.paths {
            self.paths.entry(path).or_default().extend(operations);
        }
        for (name, schema) in other.schemas {
            self.add_schema(name, schema);
        }
        self
    }

    /// The whole document.
    pub(crate) fn into_document(self) -> Value {
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "催办 cuiban",
                "version": env!("CARGO_PKG_VERSION"),
                "description": "售后工单与催办接口 / After-sales tickets and expediting.\n\n\
                    错误一律为 application/problem+json（RFC 9457），`code` 稳定不变 / \
                    every refusal is a problem (RFC 9457) whose `code` is stable.",
                "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            },
            "tags": TAGS.iter().map(|(name, said)| json!({ "name": name, "description": said })).collect::<Vec<_>>(),
            "paths": self.paths,
            "components": {
                "schemas": self.schemas,
                "securitySchemes": {
                    "bearer": { "type": "http", "scheme": "bearer", "description": "配置的令牌 / a configured token" },
                },
            },
            "security": [{ "bearer": [] }, {}],
        })
    }
}

/// What a query's answer tells of the read models.
const POSITION: (&str, &str) =
    ("Cuiban-Position", "读模型所到的日志位置 / how far the read models have come in the log");
/// Where the same request may succeed in a moment.
const RETRY_AFTER: &[(&str, &str)] = &[("Retry-After", "几秒后再试 / try again after so many seconds")];

/// The groups of operations.
pub(crate) const TICKETS: &str = "工单 tickets";
/// Branches.
pub(crate) const BRANCHES: &str = "服务中心 branches";
/// The company.
pub(crate) const COMPANY: &str = "公司 company";
/// Expediting.
pub(crate) const EXPEDITING: &str = "催办 expediting";
/// How the house stands.
pub(crate) const SERVICE: &str = "运行 service";

const TAGS: [(&str, &str); 5] = [
    (TICKETS, "登记、响应、派工、抵达、修复、结案 / from call to close"),
    (BRANCHES, "上班时间、时限、区县、员工 / hours, limits, districts, staff"),
    (COMPANY, "日历、时限规则、产品 / calendar, policy, products"),
    (EXPEDITING, "逾期、催办单、实时消息 / overdue limits, expedite notices, live updates"),
    (SERVICE, "存活与就绪 / alive and ready"),
];

fn as_json<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once(method).chain(words.filter(|word| *word != "v1")).collect::<Vec<_>>().join("_")
}

fn path_parameters(method: &str, path: &str) -> impl Iterator<Item = Value> {
    let names = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    names.map(move |name| {
        json!({ "name": name, "in": "path", "required": true, "schema": form::segment(method, name) })
    })
}
