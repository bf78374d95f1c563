//! Text as people write it, checked once at the edge: [`Text`] and its usual lengths.
//!
//! A text is *parsed* where it comes in, by the rules of today, and *recorded* where it comes from the log or from a store:
//! what an earlier build took is read for ever, whatever the rules have become.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// 1 to `MAX` characters of any script, at least one of them visible, without white space at either end and without
/// control characters other than line breaks and tabs. Where `LINES` is `false` those are refused too, and so is what
/// turns the direction of writing: it is one line, and looks as it reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub struct Text<const MAX: usize, const LINES: bool = true>(Box<str>);

/// A short name on one line: a person, a product model, a district.
pub type Name = Text<100, false>;
/// A short text: an address, a reason.
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
    /// Nothing that can be seen.
    #[error("text has nothing in it that can be seen")]
    Invisible,
    /// A line break or a tab in what is one line.
    #[error("text is not one line: it contains U+{0:04X}")]
    NotOneLine(u32),
    /// A mark that turns the direction of writing, so that a text does not look as it reads.
    #[error("text contains U+{0:04X}, which turns the direction of writing")]
    TurnsDirection(u32),
}

impl<const MAX: usize, const LINES: bool> Text<MAX, LINES> {
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
        if let Some(refused) = text.chars().find_map(Self::refuse) {
            return Err(refused);
        }
        if text.chars().all(|c| c.is_whitespace() || is_invisible(c)) {
            return Err(InvalidText::Invisible);
        }
        Ok(Self(text.into()))
    }

    fn refuse(c: char) -> Option<InvalidText> {
        match c {
            '\n' | '\r' | '\t' if LINES => None,
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' if !LINES => Some(InvalidText::NotOneLine(c.into())),
            _ if c.is_control() => Some(InvalidText::ControlCharacter(c.into())),
            _ if !LINES && turns_direction(c) => Some(InvalidText::TurnsDirection(c.into())),
            _ => None,
        }
    }

    /// A text as it was recorded, by whatever rules held then. Only what is empty is refused: on the wire that is a field
    /// which nobody wrote.
    pub fn recorded(text: String) -> Result<Self, InvalidText> {
        if text.is_empty() { Err(InvalidText::Empty) } else { Ok(Self(text.into())) }
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Unicode's bidirectional controls (`Bidi_Control`).
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What takes no ink: Unicode's `Default_Ignorable_Code_Point`, the interlinear marks and the blank Braille pattern.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

impl<const MAX: usize, const LINES: bool> TryFrom<String> for Text<MAX, LINES> {
    type Error = InvalidText;
    fn try_from(text: String) -> Result<Self, InvalidText> {
        Self::new(text)
    }
}

impl<const MAX: usize, const LINES: bool> std::str::FromStr for Text<MAX, LINES> {
    type Err = InvalidText;
    fn from_str(text: &str) -> Result<Self, InvalidText> {
        Self::new(text)
    }
}

/// Parsed from what people write, recorded from what we store.
impl<'de, const MAX: usize, const LINES: bool> Deserialize<'de> for Text<MAX, LINES> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed_or_recorded(deserializer, Self::new, Self::recorded)
    }
}

/// A form that people can read is what somebody wrote, and parsed; any other is a row of ours, and holds what was recorded.
pub(crate) fn parsed_or_recorded<'de, D: Deserializer<'de>, T, E: fmt::Display>(
    deserializer: D,
    parse: impl FnOnce(String) -> Result<T, E>,
    record: impl FnOnce(String) -> Result<T, E>,
) -> Result<T, D::Error> {
    let is_written_by_people = deserializer.is_human_readable();
    let text = String::deserialize(deserializer)?;
    let value = if is_written_by_people { parse(text) } else { record(text) };
    value.map_err(serde::de::Error::custom)
}

impl<const MAX: usize, const LINES: bool> From<Text<MAX, LINES>> for String {
    fn from(text: Text<MAX, LINES>) -> Self {
        text.0.into()
    }
}

impl<const MAX: usize, const LINES: bool> fmt::Display for Text<MAX, LINES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What [`is_invisible`] knows of the characters that a pattern can name.
macro_rules! invisible {
    () => {
        concat!(
            r"\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180B-\u180F\u200B-\u200F\u202A-\u202E\u2060-\u206F",
            r"\u2800\u3164\uFE00-\uFE0F\uFEFF\uFFA0\uFFF0-\uFFFB",
        )
    };
}

/// [`turns_direction`], and the two separators.
macro_rules! not_on_a_line {
    () => {
        r"\u0000-\u001F\u007F-\u009F\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069"
    };
}

/// What [`str::trim`] drops.
macro_rules! white_space {
    () => {
        r"[\u0009-\u000D\u0020\u0085\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000]*"
    };
}

/// Something that can be seen, and no control character but line breaks and tabs.
const PATTERN: &str = concat!(
    r"^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*",
    r"[^\s\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F",
    invisible!(),
    r"][^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*$",
);

/// The same on one line, and nothing that turns the direction of writing; white space at the ends is dropped.
const PATTERN_OF_A_LINE: &str = concat!(
    "^",
    white_space!(),
    "[^",
    not_on_a_line!(),
    r"]*[^\s",
    not_on_a_line!(),
    invisible!(),
    "][^",
    not_on_a_line!(),
    "]*",
    white_space!(),
    "$"
);

impl<const MAX: usize, const LINES: bool> utoipa::PartialSchema for Text<MAX, LINES> {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .min_length(Some(1))
            .max_length(Some(MAX))
            .pattern(Some(if LINES { PATTERN } else { PATTERN_OF_A_LINE }))
            .into()
    }
}

impl<const MAX: usize, const LINES: bool> utoipa::ToSchema for Text<MAX, LINES> {
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
        assert_eq!(Note::new("a\u{0}b"), Err(InvalidText::ControlCharacter(0)));
        assert_eq!(Note::new("两行\n都\t留").unwrap().as_str(), "两行\n都\t留");
    }

    #[test]
    fn r91_a_name_is_one_line() {
        for c in ['\n', '\r', '\t', '\u{2028}', '\u{2029}'] {
            assert_eq!(Name::new(format!("KFR{c}【特急】请回拨")), Err(InvalidText::NotOneLine(c.into())));
            assert_eq!(Name::new(format!("{c}KFR{c}")).unwrap().as_str(), "KFR");
        }
        assert!(matches!(Name::new("a\u{85}b"), Err(InvalidText::ControlCharacter(0x85))));
    }

    #[test]
    fn r91_a_name_looks_as_it_reads() {
        let turning =
            "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
        for c in turning.chars() {
            assert_eq!(Name::new(format!("王{c}二")), Err(InvalidText::TurnsDirection(c.into())));
            assert!(Line::new(format!("王{c}二")).is_ok());
        }
        // What joins two emoji into one is no such mark.
        assert!(Name::new("👩\u{200d}🔧").is_ok());
    }

    #[test]
    fn a_text_can_be_seen() {
        for text in ["\u{200b}", "\u{feff}", "\u{3164}", "\u{2800} \u{ad}", "\u{e0020}\u{fe0f}"] {
            assert_eq!(Name::new(text), Err(InvalidText::Invisible), "{text:?}");
            assert_eq!(Note::new(text), Err(InvalidText::Invisible), "{text:?}");
            assert!(Name::new(format!("{text}王")).is_ok());
        }
    }

    #[test]
    fn what_was_recorded_is_read_by_whatever_rules_held_then() {
        for text in ["两\n行", "\u{200b}", " \u{202e}x\t", &"长".repeat(1_000)] {
            assert_eq!(Name::recorded(text.to_owned()).unwrap().as_str(), text);
        }
        assert_eq!(Name::recorded(String::new()), Err(InvalidText::Empty));
    }

    #[test]
    fn what_people_write_is_parsed() {
        let parsed: Result<Name, _> = serde_json::from_str(r#"" 两\n行 ""#);
        assert_eq!(parsed.unwrap_err().to_string(), "text is not one line: it contains U+000A");
        assert_eq!(serde_json::from_str::<Name>(r#"" 客户 ""#).unwrap().as_str(), "客户");
    }
}
