//! Identities: opaque ones for machines, short ones that people choose and read out.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::text::parsed_or_recorded;

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = String, format = Uuid)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    )* };
}

uuid_id! {
    /// A ticket (工单) for machines (R3).
    TicketId;
    /// One command, and the one commit that it leads to.
    CommandId;
    /// All commands and commits of one piece of business.
    CorrelationId;
    /// One expedite notice (催办单), derived from its identity (R61).
    NoticeId;
}

/// A text that cannot be an id of the kind wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id: 1 to 64 characters of A-Z a-z 0-9 _ -, not `_` alone")]
pub struct InvalidId {
    text: String,
}

macro_rules! short_id {
    ($($(#[$doc:meta])* $name:ident;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
        #[serde(into = "String")]
        #[schema(value_type = String, pattern = "^([A-Za-z0-9-]|[A-Za-z0-9_-]{2,64})$", example = "B0")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Checks alphabet and length.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                Self::recorded(text)
            }

            /// An id as it was recorded: of the alphabet and length of the first release, which an address can hold. A
            /// rule that is tightened belongs into `new`.
            pub fn recorded(text: impl AsRef<str>) -> Result<Self, InvalidId> {
                let text = text.as_ref();
                let fits = (1..=64).contains(&text.len()) && text != "_";
                if fits && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidId { text: text.to_owned() })
                }
            }

            /// The id's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                parsed_or_recorded(deserializer, Self::new, Self::recorded)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )* };
}

short_id! {
    /// A branch service office (服务中心 / 分公司).
    BranchId;
    /// A person of the staff: technician (技术员), supervisor (服务主任), ….
    StaffId;
    /// A ticket's or work order's number for people, `BX-202611-00042` (R3).
    Number;
    /// An alert channel as the notifier's configuration names it.
    ChannelId;
}

/// Who did something: a person of the staff or one of our own processes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Actor(std::sync::Arc<str>);

impl Actor {
    /// An actor by the id that authentication gave, or the name of a process such as `watchdog`.
    pub fn new(id: impl AsRef<str>) -> Result<Self, InvalidId> {
        StaffId::new(id).map(|id| Self(id.0))
    }

    /// An actor as recorded: see [`StaffId::recorded`].
    pub fn recorded(id: impl AsRef<str>) -> Result<Self, InvalidId> {
        StaffId::recorded(id).map(|id| Self(id.0))
    }

    /// The actor's id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_id_is_one_subject_token() {
        assert!(BranchId::new("B0").is_ok());
        for text in ["", "_", "北京", "a.b", "a b", "*"] {
            assert!(BranchId::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_actor_is_told_by_its_id() {
        let actor = Actor::new("operator-1").unwrap();
        assert_eq!((actor.to_string().as_str(), actor.as_str()), ("operator-1", "operator-1"));
    }
}
