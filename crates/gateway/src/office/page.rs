//! How lists are asked for and answered.

use cuiban_projector::{Page as ModelPage, Paged};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaType};
use utoipa::openapi::{Ref, RefOr, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use crate::config::Config;
use crate::refusal::Refusal;

/// A part of a list.
#[derive(Debug, Serialize)]
pub(crate) struct Page<T> {
    data: Vec<T>,
    next_cursor: Option<String>,
}

/// Which part of a list is wanted. Names that more than one query has are said once.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    /// 接着此游标 / go on after this `next_cursor`.
    cursor: Option<String>,
    /// 最多几行 / at most so many rows.
    limit: Option<usize>,
}

impl PageQuery {
    pub(crate) fn new(cursor: Option<String>, limit: Option<usize>) -> Self {
        Self { cursor, limit }
    }

    pub(crate) fn into_page(self, config: &Config) -> Result<ModelPage, Refusal> {
        let limit = self.limit.unwrap_or(config.page_rows_default);
        if !(1..=config.page_rows_max).contains(&limit) {
            let reason = format!("`limit` is 1 to {}", config.page_rows_max);
            return Err(Refusal::InvalidQuery { reason });
        }
        Ok(ModelPage { after: self.cursor, limit })
    }
}

impl<T> Page<T> {
    /// A part of a list, and where the next one begins.
    pub(crate) fn new(data: Vec<T>, next_cursor: Option<String>) -> Self {
        Self { data, next_cursor }
    }

    /// A list that is answered whole.
    pub(crate) fn whole(data: Vec<T>) -> Self {
        Self { data, next_cursor: None }
    }
}

impl<T> From<Paged<T>> for Page<T> {
    fn from(paged: Paged<T>) -> Self {
        Self { data: paged.rows, next_cursor: paged.next }
    }
}

impl<T: ToSchema> PartialSchema for Page<T> {
    fn schema() -> RefOr<Schema> {
        let cursor = SchemaType::from_iter([Type::String, Type::Null]);
        ObjectBuilder::new()
            .description(Some(
                "列表的一页；next_cursor 为 null 即末页 / a part of a list; the last has no next_cursor",
            ))
            .property("data", ArrayBuilder::new().items(Ref::from_schema_name(T::name())))
            .required("data")
            .property("next_cursor", ObjectBuilder::new().schema_type(cursor))
            .required("next_cursor")
            .into()
    }
}

impl<T: ToSchema> ToSchema for Page<T> {
    fn name() -> std::borrow::Cow<'static, str> {
        format!("PageOf{}", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}
