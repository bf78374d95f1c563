//! One value drawn from a row: from a column or several, or fixed, with its text mapped.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A mapping that cannot be used, or a row that it cannot read.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// The mapping file is not of the documented form.
    #[error("read the mapping")]
    Malformed(#[source] Box<toml::de::Error>),
    /// The mapping names a column that the file does not have.
    #[error("the mapping names the column {column:?}; the file has: {known}")]
    UnknownColumn {
        /// The name in the mapping.
        column: String,
        /// The file's columns.
        known: String,
    },
    /// The file is not CSV.
    #[error("read the file")]
    Csv(#[from] csv::Error),
    /// A value of a row is not what the field takes.
    #[error("line {line}, {field}: {detail}")]
    Value {
        /// The line of the file, counted from 1.
        line: u64,
        /// The field of the mapping.
        field: String,
        /// What is wrong.
        detail: String,
    },
    /// There is no row.
    #[error("the file has no rows")]
    Empty,
}

/// How one field is drawn from a row.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The columns to look at; the first whose text is known wins.
    #[serde(default)]
    pub columns: Vec<String>,
    /// What texts become; the first rule that fits wins. Without rules the text stands for itself.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Take the whole number in the text, modulo this, and put it into `format` for `{}`.
    #[serde(default)]
    pub number_modulo: Option<u64>,
    /// What an odd or even number in the text becomes.
    #[serde(default)]
    pub by_parity: Option<Parity>,
    /// The result's form; `{}` is the value.
    #[serde(default)]
    pub format: Option<String>,
    /// What an unknown or unfitting text becomes.
    #[serde(default)]
    pub default: Option<String>,
}

/// One rule of a [`Source`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The text begins like this.
    #[serde(default)]
    pub starts_with: Option<String>,
    /// The text is this.
    #[serde(default)]
    pub equals: Option<String>,
    /// What it becomes.
    pub value: String,
}

/// What a number's parity becomes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parity {
    /// For 1, 3, 5, ….
    pub odd: String,
    /// For 0, 2, 4, ….
    pub even: String,
}

impl Rule {
    fn fits(&self, text: &str) -> bool {
        self.equals.as_ref().is_none_or(|wanted| wanted == text)
            && self.starts_with.as_ref().is_none_or(|wanted| text.starts_with(wanted.as_str()))
    }
}

/// A row by column name, with what counts as unknown.
pub(super) struct Row<'a> {
    pub columns: &'a BTreeMap<String, usize>,
    pub unknown: &'a [String],
    pub cells: &'a csv::StringRecord,
}

impl Row<'_> {
    /// A column's text, if it is known.
    pub(super) fn text(&self, column: &str) -> Option<&str> {
        let text = self.cells.get(*self.columns.get(column)?)?.trim();
        let known = !text.is_empty() && !self.unknown.iter().any(|unknown| unknown == text);
        known.then_some(text)
    }

    /// The line of the file.
    pub(super) fn line(&self) -> u64 {
        self.cells.position().map_or(0, csv::Position::line)
    }

    /// The value of a field, if the row or its default tells it.
    pub(super) fn value(&self, source: &Source) -> Option<String> {
        let text = source.columns.iter().find_map(|column| self.text(column));
        let mapped = text.and_then(|text| source.mapped(text));
        mapped.or_else(|| source.default.clone())
    }
}

impl Source {
    fn mapped(&self, text: &str) -> Option<String> {
        let mut value = match self.rules.iter().find(|rule| rule.fits(text)) {
            Some(rule) => rule.value.clone(),
            None if self.rules.is_empty() => text.to_owned(),
            None => return None,
        };
        if let Some(modulo) = self.number_modulo {
            value = number_in(&value)?.checked_rem(modulo)?.to_string();
        }
        if let Some(parity) = &self.by_parity {
            value =
                if number_in(&value)?.is_multiple_of(2) { parity.even.clone() } else { parity.odd.clone() };
        }
        match &self.format {
            Some(format) => Some(format.replace("{}", &value)),
            None => Some(value),
        }
    }
}

/// The first run of digits.
fn number_in(text: &str) -> Option<u64> {
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_a_text_chooses_by_modulo_and_parity() {
        let branch = Source { number_modulo: Some(4), format: Some("B{}".into()), ..Source::default() };
        assert_eq!(branch.mapped("Location 143"), Some("B3".into()));
        assert_eq!(branch.mapped("nowhere"), None);
        let parity = Parity { odd: "suburban".into(), even: "urban".into() };
        let area = Source { by_parity: Some(parity), ..Source::default() };
        assert_eq!(area.mapped("Location 143"), Some("suburban".into()));
    }
}
