//! Text as people write it, checked once at the edge: [`Text`] and its usual lengths.

use std::fmt;

use serde::{Deserialize, Serialize};

/// 1 to `MAX` characters of any script, without control characters other than line breaks and tabs,
/// without white space at either end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text<const MAX: usize>(Box<str>);

/// A short name: a person, a product model, a district.
pub type Name = Text<100>;
/// One line: an address, a reason.
pub type Line = Text<500>;
/// A longer note: a description, an answer given to a customer.
pub type Note = Text<4000>;

/// A text that [`Text`] refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// Nothing but white space.
    #[error("text must not be empty")]
    Empty,
    /// More characters than the field takes.
    #[error("text has {length} characters, at most {max} are taken")]
    TooLong {
        /// How many there are.
        length: usize,
        /// How many may be.
        max: usize,
    },
    /// A character that no keyboard writes.
    #[error("text contains the control character U+{0:04X}")]
    ControlCharacter(u32),
}

impl<const MAX: usize> Text<MAX> {
    /// Trims the ends and checks the rest.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidText> {
        let text = text.as_ref().trim();
        if text.is_empty() {
            return Err(InvalidText::Empty);
        }
        let length = text.chars().count();
        if length > MAX {
            return Err(InvalidText::TooLong { length, max: MAX });
        }
        match text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            Some(control) => Err(InvalidText::ControlCharacter(control.into())),
            None => Ok(Self(text.into())),
        }
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> TryFrom<String> for Text<MAX> {
    type Error = InvalidText;
    fn try_from(text: String) -> Result<Self, InvalidText> {
        Self::new(text)
    }
}

impl<const MAX: usize> std::str::FromStr for Text<MAX> {
    type Err = InvalidText;
    fn from_str(text: &str) -> Result<Self, InvalidText> {
        Self::new(text)
    }
}

impl<const MAX: usize> From<Text<MAX>> for String {
    fn from(text: Text<MAX>) -> Self {
        text.0.into()
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something besides white space, and no control character but line breaks and tabs.
const PATTERN: &str = concat!(
    r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*",
    r"[^\s\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]",
    r"[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*$",
);

impl<const MAX: usize> utoipa::PartialSchema for Text<MAX> {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .min_length(Some(1))
            .max_length(Some(MAX))
            .pattern(Some(PATTERN))
            .into()
    }
}

impl<const MAX: usize> utoipa::ToSchema for Text<MAX> {
    fn name() -> std::borrow::Cow<'static, str> {
        format!("Text{MAX}").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_rare_hanzi_and_emoji() {
        assert_eq!(Name::new(" 𠮷野家㐂 🧊 ").unwrap().as_str(), "𠮷野家㐂 🧊");
    }

    #[test]
    fn refuses_empty_too_long_and_control_characters() {
        assert_eq!(Name::new(" \n "), Err(InvalidText::Empty));
        assert_eq!(Name::new("长".repeat(101)), Err(InvalidText::TooLong { length: 101, max: 100 }));
        assert_eq!(Name::new("a\u{0}b"), Err(InvalidText::ControlCharacter(0)));
        assert!(Note::new("两行\n都留").is_ok());
    }
}
