//! Facts about [`EventLog::subscribe`](crate::EventLog::subscribe): history, live delivery, resuming and filters.

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::workbench::{
    Log, any_of, commit_on, eventually, head, heard, last_expected, positions, route, stored,
    stored_in_a_row, stream, subscribe, token, within,
};
use crate::{Expected, Filter, Pattern, Position, RecordedCommit, Route, StreamId};

/// A little of everything: kinds, streams, branches and classes, interleaved.
async fn mixed_history(log: &Log) -> Vec<(StreamId, Route, Position)> {
    let mut history = Vec::new();
    for n in 0..48_usize {
        let stream = stream(["ticket", "branch", "contract"][n % 3], ["1", "2", "3", "4"][n / 3 % 4]);
        let route =
            route(["B0", "B1", "_"][n / 2 % 3], ["case", "expedite", "transfer", "policy"][n / 5 % 4]);
        let expected = last_expected(log, &stream).await;
        let appended = stored(log, commit_on(&stream, expected, route.clone())).await;
        history.push((stream, route, appended.position));
    }
    history
}

/// From every position of a log, a subscription delivers the rest: no gap, no repeat.
pub async fn a_subscription_resumes_at_each_position(log: Log) {
    let all = stored_in_a_row(&log, &stream("ticket", "1"), 25).await;
    let all: Vec<Position> = all.iter().map(|appended| appended.position).collect();
    for n in 0..all.len() {
        let after = if n == 0 { Position::START } else { all[n - 1] };
        let mut subscription = subscribe(&log, Filter::everything(), after).await;
        assert_eq!(positions(&heard(&mut subscription, all.len() - n).await), all[n..], "after {after}");
    }
    // The channel holds what was not read; taken by batch, it is the same.
    let mut subscription = subscribe(&log, Filter::everything(), all[4]).await;
    let mut batched = Vec::new();
    while batched.len() < all.len() - 5 {
        let batch =
            within(subscription.next_batch(4)).await.expect("stays open").expect("a subscription delivers");
        assert!(batch.commits.len() <= 4);
        batched.extend(positions(&batch.commits));
    }
    assert_eq!(batched, all[5..]);
}

/// A subscription says once that what was stored at its beginning is delivered: not before the last matching
/// commit, and also when nothing matches.
pub async fn a_subscription_says_when_it_has_caught_up(log: Log) {
    stored_in_a_row(&log, &stream("ticket", "1"), 25).await;
    for (kind, expected) in [("ticket", 25), ("branch", 0)] {
        let pattern = Pattern { kind: Some(token(kind)), ..Pattern::default() };
        let mut subscription = subscribe(&log, Filter { any_of: vec![pattern] }, Position::START).await;
        let mut seen = 0;
        loop {
            let batch = within(subscription.next_batch(4)).await.expect("stays open").expect("delivers");
            seen += batch.commits.len();
            if batch.caught_up {
                break;
            }
        }
        assert_eq!(seen, expected, "kind {kind}");
    }
}

/// What is stored comes first, what is appended afterwards follows without a seam.
pub async fn history_comes_first_then_what_is_appended(log: Log) {
    let one = stream("ticket", "1");
    let mut all = stored_in_a_row(&log, &one, 10).await;
    let mut subscription = subscribe(&log, Filter::everything(), Position::START).await;
    let mut from_end = subscribe(&log, Filter::everything(), all[9].position).await;
    let writer = tokio::spawn({
        let (log, one) = (log.clone(), one.clone());
        async move { stored_in_a_row(&log, &one, 60).await }
    });
    let commits = heard(&mut subscription, 70).await;
    all.extend(within(writer).await.expect("the writer does not panic"));
    let all: Vec<Position> = all.iter().map(|appended| appended.position).collect();
    assert_eq!(positions(&commits), all);
    assert_eq!(positions(&heard(&mut from_end, 60).await), all[10..]);
}

/// A cursor that the log has not reached yet holds back everything up to it.
pub async fn a_cursor_ahead_of_the_log_is_respected(log: Log) {
    let one = stream("ticket", "1");
    stored_in_a_row(&log, &one, 2).await;
    let after = Position::from_raw(head(&log).await.raw() + 2);
    let mut subscription = subscribe(&log, Filter::everything(), after).await;
    let later = stored_in_a_row(&log, &one, 6).await;
    let wanted: Vec<Position> =
        later.iter().map(|appended| appended.position).filter(|p| *p > after).collect();
    assert_eq!(positions(&heard(&mut subscription, wanted.len()).await), wanted);
}

/// By kind, stream, branch, class, several of them, and any of several: what matches is delivered, and no more.
pub async fn filters_deliver_what_they_match_and_no_more(log: Log) {
    let history = mixed_history(&log).await;
    let part = |text: &str| Some(token(text));
    let none = Pattern::default();
    let filters = [
        Filter::everything(),
        any_of(std::slice::from_ref(&none)),
        any_of(&[Pattern { kind: part("ticket"), ..none.clone() }]),
        any_of(&[Pattern { id: part("2"), ..none.clone() }]),
        any_of(&[Pattern { branch: part("B0"), ..none.clone() }]),
        any_of(&[Pattern { class: part("transfer"), ..none.clone() }]),
        any_of(&[Pattern { kind: part("ticket"), id: part("1"), ..none.clone() }]),
        any_of(&[Pattern { kind: part("ticket"), id: part("3"), ..none.clone() }, none.clone()]),
        any_of(&[Pattern {
            kind: part("ticket"),
            branch: part("B1"),
            class: part("expedite"),
            ..none.clone()
        }]),
        any_of(&[
            Pattern { kind: part("branch"), id: part("4"), ..none.clone() },
            Pattern { branch: part("_"), class: part("policy"), ..none },
        ]),
    ];
    for filter in filters {
        judge_filter(&log, &filter, &history).await;
    }
}

async fn judge_filter(log: &Log, filter: &Filter, history: &[(StreamId, Route, Position)]) {
    let matching = history.iter().filter(|(stream, route, _)| filter.matches(stream, route));
    let wanted: Vec<Position> = matching.map(|(_, _, position)| *position).collect();
    let mut subscription = subscribe(log, filter.clone(), Position::START).await;
    let commits = heard(&mut subscription, wanted.len()).await;
    assert_eq!(positions(&commits), wanted, "{filter:?}");
    assert!(commits.iter().all(|commit| filter.matches(&commit.stream, &commit.route)));
}

/// A commit that several patterns match comes once, and in its place.
pub async fn overlapping_patterns_deliver_once(log: Log) {
    let history = mixed_history(&log).await;
    let part = |text: &str| Some(token(text));
    let none = Pattern::default();
    let a_branchs_projector = [
        Pattern { branch: part("B0"), ..none.clone() },
        Pattern { branch: part("_"), ..none.clone() },
        Pattern { class: part("transfer"), ..none.clone() },
    ];
    judge_filter(&log, &any_of(&a_branchs_projector), &history).await;
    let nested = [
        Pattern { kind: part("ticket"), ..none.clone() },
        Pattern { kind: part("ticket"), id: part("1"), ..none.clone() },
        Pattern { kind: part("ticket"), id: part("1"), ..none.clone() },
        Pattern { branch: part("B1"), ..none },
    ];
    judge_filter(&log, &any_of(&nested), &history).await;
    // Nothing is left over: the next commit that is heard is the next one appended.
    let mut subscription = subscribe(&log, any_of(&a_branchs_projector), head(&log).await).await;
    let fresh = stream("ticket", "fresh");
    let appended = stored(&log, commit_on(&fresh, Expected::NoStream, route("B0", "transfer"))).await;
    let after = stored(&log, commit_on(&fresh, Expected::At(appended.version), route("_", "transfer"))).await;
    assert_eq!(positions(&heard(&mut subscription, 2).await), [appended.position, after.position]);
}

/// A filter that nothing matches yet is silent until something does.
pub async fn a_filter_without_a_match_waits_for_one(log: Log) {
    stored_in_a_row(&log, &stream("ticket", "1"), 20).await;
    let wanted = stream("ticket", "wanted");
    let only = Pattern { kind: Some(token("ticket")), id: Some(token("wanted")), ..Pattern::default() };
    let mut subscription = subscribe(&log, any_of(&[only]), Position::START).await;
    stored_in_a_row(&log, &stream("ticket", "2"), 20).await;
    let first = stored_in_a_row(&log, &wanted, 1).await[0];
    stored_in_a_row(&log, &stream("ticket", "1"), 5).await;
    let second = stored_in_a_row(&log, &wanted, 1).await[0];
    assert_eq!(positions(&heard(&mut subscription, 2).await), [first.position, second.position]);
}

/// A subscriber that reads nothing while its channel overflows misses nothing afterwards.
pub async fn a_slow_subscriber_loses_nothing(log: Log) {
    let one = stream("ticket", "1");
    let mut subscription = subscribe(&log, Filter::everything(), Position::START).await;
    let mut writers = JoinSet::new();
    for n in 0..16 {
        let (log, stream) = (log.clone(), stream("ticket", &format!("slow-{n}")));
        writers.spawn(async move { stored_in_a_row(&log, &stream, 100).await });
    }
    while let Some(writer) = writers.join_next().await {
        writer.expect("a writer does not panic");
    }
    let last = stored_in_a_row(&log, &one, 1).await[0];
    let commits = heard(&mut subscription, 1_601).await;
    assert_eq!(commits[1_600].position, last.position);
    judge_order(&commits);
}

/// Two subscribers of a log that many write hear the same commits in the same order.
pub async fn subscribers_hear_many_writers_in_one_order(log: Log) {
    let mut early = subscribe(&log, Filter::everything(), Position::START).await;
    let mut writers = JoinSet::new();
    for n in 0..16 {
        let (log, stream) = (log.clone(), stream("ticket", &format!("{n}")));
        writers.spawn(async move { stored_in_a_row(&log, &stream, 25).await });
    }
    let live = heard(&mut early, 400).await;
    let mut acknowledged = Vec::new();
    while let Some(writer) = writers.join_next().await {
        acknowledged
            .extend(writer.expect("a writer does not panic").iter().map(|appended| appended.position));
    }
    acknowledged.sort();
    judge_order(&live);
    assert_eq!(positions(&live), acknowledged);
    let mut late = subscribe(&log, Filter::everything(), Position::START).await;
    assert_eq!(heard(&mut late, 400).await, live);
}

fn judge_order(commits: &[RecordedCommit]) {
    for pair in commits.windows(2) {
        assert!(pair[0].position < pair[1].position, "{} before {}", pair[0].position, pair[1].position);
    }
}

/// Dropping subscriptions, idle or with more to come, ends the tasks that fed them.
pub async fn a_dropped_subscription_stops_its_feeder(log: Log) {
    stored_in_a_row(&log, &stream("ticket", "1"), 5).await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let mut subscriptions = Vec::new();
    for _ in 0..8 {
        subscriptions.push(subscribe(&log, Filter::everything(), Position::START).await);
    }
    heard(&mut subscriptions[0], 5).await;
    assert!(tasks() > before, "a subscription is fed by a task");
    drop(subscriptions);
    eventually("all feeders end", || tasks() <= before).await;
}
