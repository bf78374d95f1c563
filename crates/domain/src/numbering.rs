//! Ticket numbers for people (R3): one stream per kind and month, from which gateways take blocks.

use chrono::{Datelike, NaiveDate};

use crate::aggregate::{Aggregate, Class, Context, Happened};
use crate::ids::{BranchId, InvalidId, Number};
use crate::rejection::Rejection;
use crate::ticket::TicketKind;

/// A series of numbers: `BX-202611`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Series {
    /// Which kind of ticket.
    pub kind: TicketKind,
    /// The year of the branch's calendar day.
    pub year: i32,
    /// Its month, 1 to 12.
    pub month: u32,
}

impl Series {
    /// The series of a call that came on this day of the branch's zone.
    pub fn of(kind: TicketKind, called_on: NaiveDate) -> Self {
        Self { kind, year: called_on.year(), month: called_on.month() }
    }

    /// The stream's id, `BX-202611`.
    pub fn stream_id(&self) -> String {
        format!("{}-{:04}{:02}", self.kind.prefix(), self.year, self.month)
    }

    /// One number of the series: five digits, more past 99999.
    pub fn number(&self, ordinal: u64) -> Result<Number, InvalidId> {
        Number::new(format!("{}-{ordinal:05}", self.stream_id()))
    }
}

/// Take the next `count` numbers of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReserveNumbers {
    /// How many, at least one.
    pub count: u64,
}

/// A block was given out; whoever reserved it uses it, wholly or in part.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say it")]
pub enum NumberingEvent {
    /// Numbers `first` to `first + count - 1` are taken.
    NumbersReserved { first: u64, count: u64 },
}

/// How far a series is given out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbering {
    /// The last number given out; 0 at first.
    pub last: u64,
}

impl Numbering {
    /// What takes every number below `next`, where some are known to nobody any more.
    ///
    /// Refused where `next` is not above every number known: a number could come twice.
    pub fn skip_to(&self, next: u64) -> Result<Vec<NumberingEvent>, Rejection> {
        let first = self.last.saturating_add(1);
        match next.checked_sub(first) {
            None => Err(Rejection::NothingToChange),
            Some(0) => Ok(Vec::new()),
            Some(count) => Ok(vec![NumberingEvent::NumbersReserved { first, count }]),
        }
    }
}

impl Aggregate for Numbering {
    type Command = ReserveNumbers;
    type Event = NumberingEvent;
    const KIND: &'static str = "numbering";

    fn decide(&self, command: &ReserveNumbers, _: &Context<'_>) -> Result<Vec<NumberingEvent>, Rejection> {
        if command.count == 0 {
            return Err(Rejection::NothingToChange);
        }
        Ok(vec![NumberingEvent::NumbersReserved { first: self.last.saturating_add(1), count: command.count }])
    }

    fn evolve(&mut self, event: &NumberingEvent, _: Happened) {
        let NumberingEvent::NumbersReserved { first, count } = event;
        self.last = self.last.max(first.saturating_add(count.saturating_sub(1)));
    }

    fn branch(&self, _: &[NumberingEvent]) -> Option<BranchId> {
        None
    }

    fn class(_: &[NumberingEvent]) -> Class {
        Class::Policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r3_numbers_that_nobody_knows_are_skipped_and_none_known_comes_again() {
        let numbering = Numbering { last: 50 };
        assert_eq!(
            numbering.skip_to(101),
            Ok(vec![NumberingEvent::NumbersReserved { first: 51, count: 50 }])
        );
        assert_eq!(numbering.skip_to(51), Ok(vec![]));
        assert_eq!(numbering.skip_to(50), Err(Rejection::NothingToChange));
    }

    #[test]
    fn r3_numbers_widen_past_99999() {
        let series = Series::of(TicketKind::Repair, NaiveDate::from_ymd_opt(2026, 11, 22).unwrap());
        assert_eq!(series.number(42).unwrap().as_str(), "BX-202611-00042");
        assert_eq!(series.number(123_456).unwrap().as_str(), "BX-202611-123456");
    }
}
