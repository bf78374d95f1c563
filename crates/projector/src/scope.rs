//! Which branches a model follows, and what a transfer means to it.

use std::collections::BTreeSet;
use std::fmt;

use cuiban_domain::Class;
use cuiban_domain::ids::BranchId;
use cuiban_domain::ticket::Ticket;
use cuiban_domain::{Aggregate, ticket::TicketEvent};
use cuiban_event_log::{Filter, InvalidToken, Pattern, Token};

/// The branches whose tickets a model is fed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// None: all of them.
    branches: Option<BTreeSet<BranchId>>,
}

/// What a transfer (转派) means to a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOver {
    /// From one branch that is followed to another one.
    Within,
    /// A ticket comes in whose history may be unknown: the event's summary has what is needed.
    In,
    /// A ticket goes where nothing more is heard of it.
    Out,
    /// Between branches that are not followed.
    Elsewhere,
}

/// The address segment of commits that concern the whole company.
const WHOLE_COMPANY: &str = "_";

impl Scope {
    /// All branches.
    pub fn everything() -> Self {
        Self::default()
    }

    /// The branches whose tickets this filter lets through.
    pub fn of(filter: &Filter) -> Self {
        if filter.any_of.is_empty() || filter.any_of.iter().any(lets_all_tickets_through) {
            return Self::everything();
        }
        let branches = filter.any_of.iter().filter_map(|pattern| pattern.branch.as_ref());
        Self { branches: Some(branches.filter_map(|branch| BranchId::new(branch.as_str()).ok()).collect()) }
    }

    /// What a projector of these branches subscribes to: their commits, the company's, and every transfer.
    pub fn filter_of<'a>(branches: impl IntoIterator<Item = &'a BranchId>) -> Result<Filter, InvalidToken> {
        let of_branch =
            |branch: &str| Ok(Pattern { branch: Some(Token::new(branch)?), ..Pattern::default() });
        let mut any_of = vec![
            of_branch(WHOLE_COMPANY)?,
            Pattern { class: Some(Token::new(Class::Transfer.as_str())?), ..Pattern::default() },
        ];
        for branch in branches {
            any_of.push(of_branch(branch.as_str())?);
        }
        Ok(Filter { any_of })
    }

    /// Whether this branch is followed.
    pub fn includes(&self, branch: &BranchId) -> bool {
        self.branches.as_ref().is_none_or(|branches| branches.contains(branch))
    }

    /// What this event means, if it is a transfer.
    pub fn hand_over(&self, event: &TicketEvent) -> Option<HandOver> {
        let TicketEvent::TicketTransferred { from, to, .. } = event else { return None };
        Some(match (self.includes(from), self.includes(to)) {
            (true, true) => HandOver::Within,
            (false, true) => HandOver::In,
            (true, false) => HandOver::Out,
            (false, false) => HandOver::Elsewhere,
        })
    }
}

/// Whether tickets of any branch come through: no branch is named, and not only transfers are meant.
fn lets_all_tickets_through(pattern: &Pattern) -> bool {
    let tickets = pattern.kind.as_ref().is_none_or(|kind| kind.as_str() == Ticket::KIND);
    let transfers_only =
        pattern.class.as_ref().is_some_and(|class| class.as_str() == Class::Transfer.as_str());
    pattern.branch.is_none() && pattern.id.is_none() && tickets && !transfers_only
}

/// The branches, in order; nothing for all of them.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(branches) = &self.branches else { return Ok(()) };
        f.write_str("of")?;
        branches.iter().try_for_each(|branch| write!(f, ",{branch}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn branch(id: &str) -> BranchId {
        BranchId::new(id).unwrap()
    }

    #[test]
    fn the_filter_of_a_branch_gives_back_its_scope() {
        let scope = Scope::of(&Scope::filter_of([&branch("B1"), &branch("B0")]).unwrap());
        assert!(scope.includes(&branch("B0")) && scope.includes(&branch("B1")));
        assert!(!scope.includes(&branch("B2")));
        assert_eq!(scope.to_string(), "of,B0,B1");
    }

    #[test]
    fn a_filter_that_names_no_branch_is_everything() {
        let ticket = Pattern { kind: Some(Token::new("ticket").unwrap()), ..Pattern::default() };
        for filter in [Filter::everything(), Filter { any_of: vec![ticket] }] {
            assert_eq!(Scope::of(&filter), Scope::everything());
        }
        let company = Pattern { kind: Some(Token::new("company").unwrap()), ..Pattern::default() };
        assert!(!Scope::of(&Filter { any_of: vec![company] }).includes(&branch("B0")));
    }
}
