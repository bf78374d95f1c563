//! Customers, staff and the parties that owe a next step.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::ids::StaffId;
use crate::text::{Line, Name, parsed_or_recorded};

/// A telephone number as it is dialled: `+8613800138000`, `02112345678`, with an optional extension.
///
/// Spaces, hyphens, dots and brackets are dropped; `00` at the start becomes `+`. 5 to 15 digits (ITU-T E.164),
/// so numbers of any country fit. No plan of any country is checked: the operator writes what the caller says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(into = "String")]
#[schema(
    value_type = String, example = "138-0013-8000",
    pattern = r"^[ .()（）-]*(\+[ .()（）-]*|00)?([1-9][ .()（）-]*[0-9]|0[ .()（）-]*[1-9])([ .()（）-]*[0-9]){3,13}[ .()（）-]*([xX转] *[0-9]{1,8} *)?$"
)]
pub struct Phone(Box<str>);

/// A text that is not a [`Phone`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a phone number has 5 to 15 digits, with + before a country code and x before an extension")]
pub struct InvalidPhone;

impl Phone {
    /// Normalises and checks.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidPhone> {
        let text = text.as_ref().trim();
        let (number, extension) = match text.split_once(['x', 'X', '转']) {
            Some((number, extension)) => (number, Some(extension.trim())),
            None => (text, None),
        };
        let mut digits: String = number
            .chars()
            .filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')' | '（' | '）' | '\u{a0}'))
            .collect();
        if let Some(rest) = digits.strip_prefix("00") {
            digits = format!("+{rest}");
        }
        let bare = digits.strip_prefix('+').unwrap_or(&digits);
        let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if !(5..=15).contains(&bare.len()) || !all_digits(bare) {
            return Err(InvalidPhone);
        }
        match extension {
            Some(ext) if (1..=8).contains(&ext.len()) && all_digits(ext) => {
                Ok(Self(format!("{digits}x{ext}").into()))
            }
            Some(_) => Err(InvalidPhone),
            None => Ok(Self(digits.into())),
        }
    }

    /// A number as it was recorded, by whatever rules held then; only what is empty is refused.
    pub fn recorded(text: String) -> Result<Self, InvalidPhone> {
        if text.is_empty() { Err(InvalidPhone) } else { Ok(Self(text.into())) }
    }

    /// The normalised number.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Parsed from what people write, recorded from what we store.
impl<'de> Deserialize<'de> for Phone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed_or_recorded(deserializer, Self::new, Self::recorded)
    }
}

impl TryFrom<String> for Phone {
    type Error = InvalidPhone;
    fn try_from(text: String) -> Result<Self, InvalidPhone> {
        Self::new(text)
    }
}

impl std::str::FromStr for Phone {
    type Err = InvalidPhone;
    fn from_str(text: &str) -> Result<Self, InvalidPhone> {
        Self::new(text)
    }
}

impl From<Phone> for String {
    fn from(phone: Phone) -> Self {
        phone.0.into()
    }
}

impl fmt::Display for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who called (R1).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Customer {
    /// The customer's name.
    pub name: Name,
    /// Where to call back.
    pub phone: Phone,
    /// Where the goods stand.
    #[serde(default)]
    pub address: Option<Line>,
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word in JSON, subjects and command lines.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )* };
}
pub(crate) use words;

words! {
    /// What a person of the staff does (DOMAIN.md, section 1).
    Role {
        /// 客服 / 业务员: takes the call.
        IntakeOperator = "intake_operator",
        /// 技术员: goes to the customer.
        Technician = "technician",
        /// 服务主任: dispatches, answers 催办.
        ServiceSupervisor = "service_supervisor",
        /// 分公司经理: second rung of the ladder.
        BranchManager = "branch_manager",
    }
    /// A department that can owe the next step, or hear of what is owed.
    Department {
        /// 派工: the branch's dispatchers.
        Dispatch = "dispatch",
        /// 客户部: complaints and answers.
        Customer = "customer",
    }
}

/// The party that owes the next step of a ticket (R60).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// One person.
    Staff(StaffId),
    /// A department, while nobody is named.
    Department(Department),
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Staff(staff) => staff.fmt(f),
            Self::Department(department) => department.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones_of_many_countries_are_normalised() {
        for (written, kept) in [
            ("138-0013-8000", "13800138000"),
            ("+86 138 0013 8000", "+8613800138000"),
            ("0049 (89) 1234567", "+49891234567"),
            ("010-12345678转801", "01012345678x801"),
            ("+1 415.555.2671 x12", "+14155552671x12"),
        ] {
            let phone = Phone::new(written).unwrap();
            assert_eq!((phone.as_str(), phone.to_string().as_str()), (kept, kept));
        }
    }

    #[test]
    fn refuses_what_cannot_be_dialled() {
        for text in ["", "1234", "+1234567890123456", "call me", "138000138oo", "12345x", "12345x123456789"] {
            assert!(Phone::new(text).is_err(), "{text:?}");
        }
    }
}
