//! Subjects: a commit's address on the wire, and back.

use cuiban_event_log::{Filter, Route, StreamId, Token};

/// Makes and reads the subjects of one prefix.
#[derive(Clone, Debug)]
pub(crate) struct Subjects {
    prefix: Token,
}

impl Subjects {
    pub(crate) fn new(prefix: &Token) -> Self {
        Self { prefix: prefix.clone() }
    }

    /// What the broker's stream takes in: four further words, no more and no fewer.
    pub(crate) fn all(&self) -> String {
        format!("{}.log.*.*.*.*", self.prefix)
    }

    /// The commits that are republished, each word a wildcard but the class.
    pub(crate) fn stored_expedites(&self) -> String {
        format!("{}.log.*.*.*.expedite", self.prefix)
    }

    /// Where they are republished to.
    pub(crate) fn feed(&self) -> String {
        format!("{}.feed.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}.{{{{wildcard(3)}}}}.expedite", self.prefix)
    }

    /// Where one commit is published.
    pub(crate) fn of_commit(&self, stream: &StreamId, route: &Route) -> String {
        format!("{}.log.{}.{}.{}.{}", self.prefix, stream.kind, stream.id, route.branch, route.class)
    }

    /// All commits of one stream, whatever their routes. Every publisher states its expectation with exactly
    /// this subject, as the broker compares expectations in flight by it.
    pub(crate) fn of_stream(&self, stream: &StreamId) -> String {
        format!("{}.log.{}.{}.>", self.prefix, stream.kind, stream.id)
    }

    /// The one subject that covers a filter, `None` when only everything does.
    ///
    /// One, because a consumer with several wildcard subjects is slow beyond use on nats-server 2.15 (measured
    /// over 30,000 messages of 25,000 subjects: one wildcard 100,000/s, two 1,800/s, three overlapping ones
    /// 100/s), and those of which one contains another are refused. The rest is dropped on arrival.
    pub(crate) fn covering(&self, filter: &Filter) -> Option<String> {
        let shared = filter.shared();
        let words = shared.words().map(|part| part.unwrap_or("*"));
        words.iter().any(|word| *word != "*").then(|| format!("{}.log.{}", self.prefix, words.join(".")))
    }

    /// [`Subjects::of_stream`] for the stream for which a message counts, ours or not.
    pub(crate) fn of_stream_of(&self, subject: &str) -> Option<String> {
        let mut words = self.words_of(subject)?.split('.');
        Some(format!("{}.log.{}.{}.>", self.prefix, words.next()?, words.next()?))
    }

    /// What a subject says behind our prefix.
    pub(crate) fn words_of<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix(self.prefix.as_str())?.strip_prefix(".log.")
    }

    /// The address that a subject says, `None` if it is none of ours.
    pub(crate) fn address(&self, subject: &str) -> Option<(StreamId, Route)> {
        let mut words = self.words_of(subject)?.split('.').map(Token::new);
        let mut word = || words.next()?.ok();
        let stream = StreamId { kind: word()?, id: word()? };
        let route = Route { branch: word()?, class: word()? };
        words.next().is_none().then_some((stream, route))
    }
}

#[cfg(test)]
mod tests {
    use cuiban_event_log::Pattern;

    use super::*;

    fn token(text: &str) -> Token {
        Token::new(text).unwrap()
    }

    fn subjects() -> Subjects {
        Subjects::new(&token("cuiban"))
    }

    fn pattern(words: [&str; 4]) -> Pattern {
        let [kind, id, branch, class] = words.map(|word| (word != "*").then(|| token(word)));
        Pattern { kind, id, branch, class }
    }

    fn covering(patterns: &[[&str; 4]]) -> Option<String> {
        subjects().covering(&Filter { any_of: patterns.iter().map(|words| pattern(*words)).collect() })
    }

    #[test]
    fn an_address_comes_back_from_its_subject() {
        let stream = StreamId { kind: token("ticket"), id: token("0194-a") };
        let route = Route { branch: token("_"), class: token("case") };
        let subject = subjects().of_commit(&stream, &route);
        assert_eq!(subject, "cuiban.log.ticket.0194-a._.case");
        assert_eq!(subjects().address(&subject), Some((stream, route)));
    }

    #[test]
    fn foreign_subjects_have_no_address() {
        for subject in [
            "",
            "cuiban",
            "cuiban.log.a.b.c",
            "cuiban.log.a.b.c.d.e",
            "cuibans.log.a.b.c.d",
            "cuiban.log.a.b.c.",
        ] {
            assert_eq!(subjects().address(subject), None, "{subject}");
        }
    }

    #[test]
    fn a_filter_is_covered_by_what_its_patterns_share() {
        assert_eq!(covering(&[]), None);
        assert_eq!(covering(&[["*", "*", "*", "*"]]), None);
        assert_eq!(covering(&[["ticket", "*", "B0", "*"]]).unwrap(), "cuiban.log.ticket.*.B0.*");
        assert_eq!(
            covering(&[["ticket", "1", "*", "*"], ["ticket", "2", "*", "*"]]).unwrap(),
            "cuiban.log.ticket.*.*.*"
        );
        assert_eq!(
            covering(&[["*", "*", "B0", "*"], ["*", "*", "_", "*"], ["*", "*", "*", "transfer"]]),
            None
        );
        assert_eq!(covering(&[["ticket", "1", "*", "*"], ["*", "*", "*", "*"]]), None);
    }
}
