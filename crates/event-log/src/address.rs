//! Where a commit belongs and who hears of it: stream, route and filter, all made of tokens.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One segment of a commit's address: 1 to 64 characters of `A-Z a-z 0-9 _ -`.
///
/// The alphabet is what every adapter can carry unchanged as a part of a subject or key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Token(std::sync::Arc<str>);

/// A text that cannot be a [`Token`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not 1 to 64 characters of A-Z a-z 0-9 _ -")]
pub struct InvalidToken(pub String);

impl Token {
    /// The longest token, in characters.
    pub const LENGTH_MAX: usize = 64;

    /// Checks the alphabet and the length.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidToken> {
        let text = text.as_ref();
        let fits = (1..=Self::LENGTH_MAX).contains(&text.len());
        if fits && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            Ok(Self(text.into()))
        } else {
            Err(InvalidToken(text.to_owned()))
        }
    }

    /// `_`: the branch of what concerns the whole company.
    pub fn whole_company() -> Self {
        Self("_".into())
    }

    /// The token's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Token {
    type Error = InvalidToken;
    fn try_from(text: String) -> Result<Self, InvalidToken> {
        Self::new(text)
    }
}

impl From<Token> for String {
    fn from(token: Token) -> Self {
        token.0.to_string()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The history of one aggregate: its kind (`ticket`, `branch`, …) and its id within the kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    /// What sort of aggregate.
    pub kind: Token,
    /// Which one.
    pub id: Token,
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind, self.id)
    }
}

/// Who hears of a commit: the branch concerned (`_` for the whole company) and the commit's class.
///
/// Two commits of one stream may have different routes; the stream's expected version covers them all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// The branch concerned, `_` for company-wide commits.
    pub branch: Token,
    /// `case`, `expedite`, `transfer`, `policy`, …
    pub class: Token,
}

/// One alternative of a [`Filter`]: every part that is given must be equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern {
    /// The stream's kind.
    pub kind: Option<Token>,
    /// The stream's id.
    pub id: Option<Token>,
    /// The route's branch.
    pub branch: Option<Token>,
    /// The route's class.
    pub class: Option<Token>,
}

impl Pattern {
    /// Whether a commit of this stream and route is meant.
    pub fn matches(&self, stream: &StreamId, route: &Route) -> bool {
        fn part(wanted: Option<&Token>, actual: &Token) -> bool {
            wanted.is_none_or(|wanted| wanted == actual)
        }
        part(self.kind.as_ref(), &stream.kind)
            && part(self.id.as_ref(), &stream.id)
            && part(self.branch.as_ref(), &route.branch)
            && part(self.class.as_ref(), &route.class)
    }

    /// The parts as one word each, in the order of an address.
    pub fn words(&self) -> [Option<&str>; 4] {
        [&self.kind, &self.id, &self.branch, &self.class].map(|part| part.as_ref().map(Token::as_str))
    }
}

/// Which commits a subscriber wants: those that match *any* pattern; all of them when there is none.
///
/// Patterns may overlap; a commit that several match is still delivered once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The alternatives.
    pub any_of: Vec<Pattern>,
}

impl Filter {
    /// Every commit of the log.
    pub fn everything() -> Self {
        Self::default()
    }

    /// What all its patterns have in common: it covers everything that the filter wants.
    pub fn shared(&self) -> Pattern {
        let part = |of: fn(&Pattern) -> Option<&Token>| {
            let mut wanted = self.any_of.iter().map(of);
            let first = wanted.next().flatten();
            first.filter(|first| wanted.all(|other| other == Some(first))).cloned()
        };
        Pattern {
            kind: part(|pattern| pattern.kind.as_ref()),
            id: part(|pattern| pattern.id.as_ref()),
            branch: part(|pattern| pattern.branch.as_ref()),
            class: part(|pattern| pattern.class.as_ref()),
        }
    }

    /// Whether a commit of this stream and route is wanted.
    pub fn matches(&self, stream: &StreamId, route: &Route) -> bool {
        self.any_of.is_empty() || self.any_of.iter().any(|pattern| pattern.matches(stream, route))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Token {
        Token::new(text).unwrap()
    }

    #[test]
    fn a_token_refuses_what_a_subject_cannot_carry() {
        for text in ["", "a.b", "a b", "*", ">", "北京", &"x".repeat(65)] {
            assert!(Token::new(text).is_err(), "{text:?}");
        }
        assert_eq!(token("BX-202611_a").as_str(), "BX-202611_a");
    }

    #[test]
    fn a_filter_without_patterns_wants_everything() {
        let stream = StreamId { kind: token("ticket"), id: token("1") };
        let route = Route { branch: token("B0"), class: token("case") };
        assert!(Filter::everything().matches(&stream, &route));
        let other = Filter { any_of: vec![Pattern { branch: Some(token("B1")), ..Pattern::default() }] };
        assert!(!other.matches(&stream, &route));
    }
}
