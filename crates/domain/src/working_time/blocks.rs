//! All working time as one sorted list of blocks of UTC microseconds.
//!
//! A *regular* block repeats the weekly pattern k times at a constant offset; an *irregular* one is a single
//! week spelt out, because a special day, its spill over midnight, or a change of the zone's offset touches
//! it. Each block knows the working time before it, so both questions (how much until this instant, which
//! instant has so much) are a binary search among the blocks and one within a week.

use std::collections::BTreeSet;

use chrono::{Datelike, NaiveDate, NaiveTime, TimeDelta, Weekday};

use super::hours::Hours;
use super::zone::ZoneEras;

const MINUTE_US: i64 = 60 * 1_000_000;
const DAY_US: i64 = 24 * 60 * MINUTE_US;
const WEEK_US: i64 = 7 * DAY_US;

/// A stretch of working time, relative to the start of its week. Stretches of a week are disjoint and ordered.
#[derive(Clone, Copy, Debug)]
struct Span {
    start_us: i64,
    end_us: i64,
    /// Working time of the week before this stretch.
    work_before_us: i64,
}

#[derive(Clone, Copy, Debug)]
struct Block {
    start_us: i64,
    /// Working time before the block.
    work_before_us: i64,
    /// The length of what repeats: a week, or more than any instant when nothing does.
    period_us: i64,
    period_work_us: i64,
    /// Where its stretches lie in `Timeline::spans`.
    first_span: usize,
    span_count: usize,
}

/// Where a calendar gets its hours from.
pub(super) trait HoursByDay {
    /// The weekly pattern.
    fn weekly(&self, weekday: Weekday) -> &[Hours];
    /// A day's own or weekly hours.
    fn on(&self, date: NaiveDate) -> &[Hours];
}

/// All working time of the years 1 to 9999 and a little more.
#[derive(Debug)]
pub(super) struct Timeline {
    blocks: Vec<Block>,
    spans: Vec<Span>,
    end_us: i64,
    total_work_us: i64,
    weekly_work_us: i64,
}

impl Timeline {
    /// Working time from the beginning of the timeline to `at_us`, which is clamped to the timeline.
    pub(super) fn work_until(&self, at_us: i64) -> i64 {
        let at_us = at_us.clamp(self.blocks[0].start_us, self.end_us);
        let block = self.block_at(at_us);
        let (periods, rest_us) = split(at_us - block.start_us, block.period_us);
        let spans = self.spans_of(block);
        let within_us = match spans.partition_point(|span| span.start_us <= rest_us) {
            0 => 0,
            after => {
                let span = &spans[after - 1];
                span.work_before_us + rest_us.min(span.end_us) - span.start_us
            }
        };
        block.work_before_us + periods * block.period_work_us + within_us
    }

    /// The earliest instant before which there is `work_us`: the end of a stretch rather than the next one's
    /// start (R38). None when there never is so much, or when `work_us` is not positive.
    pub(super) fn earliest_with(&self, work_us: i64) -> Option<i64> {
        if work_us <= 0 || work_us > self.total_work_us {
            return None;
        }
        let after = self.blocks.partition_point(|block| block.work_before_us < work_us);
        let block = &self.blocks[after - 1];
        // One less, so that a whole number of periods ends in the last of them.
        let (periods, rest_us) = split(work_us - block.work_before_us - 1, block.period_work_us);
        let rest_us = rest_us + 1;
        let spans = self.spans_of(block);
        let span = &spans[spans.partition_point(|span| span.work_before_us < rest_us) - 1];
        Some(block.start_us + periods * block.period_us + span.start_us + rest_us - span.work_before_us)
    }

    /// The latest instant before which there is `work_us`: the start of a stretch rather than the end of the
    /// one before. None when working time ends there, or when `work_us` is negative.
    pub(super) fn latest_with(&self, work_us: i64) -> Option<i64> {
        if work_us < 0 || work_us >= self.total_work_us {
            return None;
        }
        let after = self.blocks.partition_point(|block| block.work_before_us <= work_us);
        let block = &self.blocks[after - 1];
        let (periods, rest_us) = split(work_us - block.work_before_us, block.period_work_us);
        let spans = self.spans_of(block);
        let span = &spans[spans.partition_point(|span| span.work_before_us <= rest_us) - 1];
        Some(block.start_us + periods * block.period_us + span.start_us + rest_us - span.work_before_us)
    }

    /// Does somebody work at this instant of the years 1 to 9999?
    pub(super) fn contains(&self, at_us: i64) -> bool {
        let block = self.block_at(at_us);
        let (_, rest_us) = split(at_us - block.start_us, block.period_us);
        let spans = self.spans_of(block);
        let after = spans.partition_point(|span| span.start_us <= rest_us);
        after > 0 && rest_us < spans[after - 1].end_us
    }

    /// Does the weekly pattern have any working time?
    pub(super) fn is_endless(&self) -> bool {
        self.weekly_work_us > 0
    }

    fn block_at(&self, at_us: i64) -> &Block {
        let after = self.blocks.partition_point(|block| block.start_us <= at_us);
        &self.blocks[after.saturating_sub(1)]
    }

    fn spans_of(&self, block: &Block) -> &[Span] {
        &self.spans[block.first_span..block.first_span + block.span_count]
    }

    /// Lays out all working time. `special_dates` are those whose hours are not the weekly pattern's.
    pub(super) fn build(
        zone: &ZoneEras,
        hours: &impl HoursByDay,
        special_dates: impl Iterator<Item = NaiveDate>,
    ) -> Self {
        let mut irregular = irregular_weeks(zone);
        for date in special_dates {
            irregular.insert(week_of(date));
            // Its last stretch may reach, or no longer reach, into the next day.
            irregular.insert(week_of(date + TimeDelta::days(1)));
        }
        let mut builder = Builder::new(template(hours));
        let mut next_week = week_of(NaiveDate::from_ymd_opt(1, 1, 1).unwrap_or_default()) - 1;
        let end_week = week_of(NaiveDate::from_ymd_opt(9999, 12, 31).unwrap_or_default()) + 2;
        for week in irregular.range(next_week..end_week).copied() {
            builder.push_regular(week_start_us(zone, next_week), week - next_week);
            let (start_us, end_us) = (week_start_us(zone, week), week_start_us(zone, week + 1));
            builder.push_irregular(start_us, spelt_out(zone, hours, week, start_us, end_us));
            next_week = week + 1;
        }
        builder.push_regular(week_start_us(zone, next_week), end_week - next_week);
        builder.finish(week_start_us(zone, end_week))
    }
}

/// Collects blocks in order and keeps the running total.
struct Builder {
    timeline: Timeline,
    template_len: usize,
}

impl Builder {
    /// The template's stretches come first in the pool, so that every regular block shares them.
    fn new(template: Vec<(i64, i64)>) -> Self {
        let mut timeline = Timeline {
            blocks: Vec::new(),
            spans: Vec::new(),
            end_us: 0,
            total_work_us: 0,
            weekly_work_us: 0,
        };
        let template_len = template.len();
        timeline.weekly_work_us = append_spans(&mut timeline.spans, template);
        Self { timeline, template_len }
    }

    fn push_regular(&mut self, start_us: i64, weeks: i64) {
        if weeks > 0 {
            let weekly_work_us = self.timeline.weekly_work_us;
            self.push(start_us, WEEK_US, weekly_work_us, 0, self.template_len);
            self.timeline.total_work_us += weeks * weekly_work_us;
        }
    }

    fn push_irregular(&mut self, start_us: i64, stretches: Vec<(i64, i64)>) {
        let (first_span, span_count) = (self.timeline.spans.len(), stretches.len());
        let work_us = append_spans(&mut self.timeline.spans, stretches);
        self.push(start_us, i64::MAX, work_us, first_span, span_count);
        self.timeline.total_work_us += work_us;
    }

    fn push(
        &mut self,
        start_us: i64,
        period_us: i64,
        period_work_us: i64,
        first_span: usize,
        span_count: usize,
    ) {
        let work_before_us = self.timeline.total_work_us;
        self.timeline.blocks.push(Block {
            start_us,
            work_before_us,
            period_us,
            period_work_us,
            first_span,
            span_count,
        });
    }

    fn finish(mut self, end_us: i64) -> Timeline {
        self.timeline.end_us = end_us;
        self.timeline
    }
}

/// Quotient and remainder, where a period of zero is one that is never used up.
fn split(amount: i64, period: i64) -> (i64, i64) {
    if period == 0 { (0, amount) } else { (amount / period, amount % period) }
}

/// Adds stretches with their running total, which is returned.
fn append_spans(pool: &mut Vec<Span>, stretches: Vec<(i64, i64)>) -> i64 {
    let mut work_before_us = 0;
    for (start_us, end_us) in stretches {
        pool.push(Span { start_us, end_us, work_before_us });
        work_before_us += end_us - start_us;
    }
    work_before_us
}

/// Weeks are numbered from the Monday 0001-01-01.
fn week_of(date: NaiveDate) -> i64 {
    (i64::from(date.num_days_from_ce()) - 1).div_euclid(7)
}

fn monday_of(week: i64) -> NaiveDate {
    let days = i32::try_from(week * 7 + 1).unwrap_or(i32::MAX);
    NaiveDate::from_num_days_from_ce_opt(days).unwrap_or(NaiveDate::MAX)
}

fn week_start_us(zone: &ZoneEras, week: i64) -> i64 {
    zone.utc_s(monday_of(week).and_time(NaiveTime::MIN)) * 1_000_000
}

/// The weeks in which some local time does not have one constant offset.
///
/// A time in a gap is pushed past the gap's end by up to the gap's length, hence the margin.
fn irregular_weeks(zone: &ZoneEras) -> BTreeSet<i64> {
    let mut weeks = BTreeSet::new();
    for transition in zone.transitions() {
        let (before_s, after_s) =
            (transition.at_s + transition.offset_before_s, transition.at_s + transition.offset_after_s);
        let margin_s = (after_s - before_s).abs();
        let week_at = |local_s: i64| {
            let days_from_ce = local_s.div_euclid(86_400) + 719_162;
            days_from_ce.div_euclid(7)
        };
        weeks.extend(week_at(before_s.min(after_s) - margin_s)..=week_at(before_s.max(after_s) + margin_s));
    }
    weeks
}

/// The weekly pattern from Monday's midnight, with what Sunday night leaves to Monday morning.
fn template(hours: &impl HoursByDay) -> Vec<(i64, i64)> {
    let mut stretches = Vec::new();
    for day in -1..7 {
        let weekday = monday_of(0) + TimeDelta::days(day);
        for stretch in hours.weekly(weekday.weekday()) {
            let at = |minute: u16| (day * DAY_US + i64::from(minute) * MINUTE_US).clamp(0, WEEK_US);
            stretches.push((at(stretch.start_minute()), at(stretch.end_minute())));
        }
    }
    merged(stretches)
}

/// One week's stretches relative to its start, each converted end by end and clipped to the week.
fn spelt_out(
    zone: &ZoneEras,
    hours: &impl HoursByDay,
    week: i64,
    start_us: i64,
    end_us: i64,
) -> Vec<(i64, i64)> {
    let mut stretches = Vec::new();
    // A change of offset may move a neighbouring day's hours by up to a day, and they may cross midnight.
    for day in -3..10 {
        let date = monday_of(week) + TimeDelta::days(day);
        for stretch in hours.on(date) {
            let (from_us, until_us) = stretch_us(zone, date, *stretch);
            let clip = |at_us: i64| at_us.clamp(start_us, end_us) - start_us;
            stretches.push((clip(from_us), clip(until_us)));
        }
    }
    merged(stretches)
}

/// A stretch of a date as instants, end by end. Empty or reversed when a gap has swallowed it.
pub(super) fn stretch_us(zone: &ZoneEras, date: NaiveDate, hours: Hours) -> (i64, i64) {
    let at_us = |minute: u16| {
        let local = date.and_time(NaiveTime::MIN) + TimeDelta::minutes(i64::from(minute));
        zone.utc_s(local) * 1_000_000
    };
    (at_us(hours.start_minute()), at_us(hours.end_minute()))
}

/// Sorted and disjoint, with empty ones dropped and touching ones joined.
fn merged(mut stretches: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    stretches.retain(|(start, end)| start < end);
    stretches.sort_unstable();
    let mut disjoint: Vec<(i64, i64)> = Vec::with_capacity(stretches.len());
    for (start, end) in stretches {
        match disjoint.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => disjoint.push((start, end)),
        }
    }
    disjoint
}
