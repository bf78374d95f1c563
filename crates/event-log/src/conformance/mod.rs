//! One suite of facts that judges every keeping of the log by the port's promises.
//!
//! Each fact is an async function that takes a fresh log and panics when a promise is broken.
//! [`conformance_suite!`](crate::conformance_suite) turns them into the tests of an adapter, one test a fact:
//!
//! ```ignore
//! cuiban_event_log::conformance_suite!(async {
//!     let folder = tempfile::tempdir().unwrap();
//!     let log = SomeLog::open(folder.path()).unwrap();
//!     (log, folder) // the second value is kept until the fact is judged
//! });
//! ```
//!
//! Every wait is for a condition and bounded by [`PATIENCE`]; the facts need a multi-threaded runtime
//! with real time, which the macro gives them.

mod appending;
mod following;
mod intruding;
mod reading;
mod subscribing;
mod workbench;

pub use appending::*;
pub use following::*;
pub use intruding::*;
pub use reading::*;
pub use subscribing::*;
pub use workbench::{Log, PATIENCE};

/// One `#[tokio::test]` for each fact, over a fresh log from the given async expression, whose value is
/// `(log, whatever must be kept alive meanwhile)`.
#[macro_export]
macro_rules! conformance_suite {
    ($fixture:expr) => {
        $crate::conformance_suite! { @facts $fixture;
            exactly_one_of_64_racers_begins_a_stream
            exactly_one_of_64_racers_continues_a_stream
            refuses_a_stale_version
            refuses_a_version_that_lies_ahead
            refuses_a_version_of_an_unknown_stream
            refuses_to_begin_an_existing_stream
            the_expectation_covers_all_routes_of_a_stream
            a_retry_never_stores_twice
            other_bytes_under_a_known_id_are_never_said_to_be_stored
            a_commit_id_seen_elsewhere_does_not_matter
            positions_grow_over_all_streams
            streams_with_similar_names_are_apart
            the_longest_tokens_are_carried
            any_payload_is_kept_as_it_is
            a_megabyte_is_kept_whole_or_refused
            many_writers_lose_and_double_nothing
            an_unknown_stream_is_empty
            a_stream_is_read_back_as_it_was_acknowledged
            a_stream_is_read_after_a_version
            a_long_stream_is_read_whole
            a_stream_read_while_it_is_written_has_no_hole
            a_leader_read_contains_what_was_acknowledged
            the_head_is_the_last_position
            the_time_is_plausible_and_never_goes_back
            a_subscription_resumes_at_each_position
            a_subscription_says_when_it_has_caught_up
            history_comes_first_then_what_is_appended
            a_cursor_ahead_of_the_log_is_respected
            filters_deliver_what_they_match_and_no_more
            overlapping_patterns_deliver_once
            a_filter_without_a_match_waits_for_one
            a_slow_subscriber_loses_nothing
            subscribers_hear_many_writers_in_one_order
            a_dropped_subscription_stops_its_feeder
            what_is_stored_at_a_position_is_told
            a_log_keeps_its_identity
            a_following_goes_on_from_its_cursor
            a_position_alone_is_adopted_by_a_log_that_reaches_it
        }
    };
    (@facts $fixture:expr; $($fact:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $fact() {
                let (log, _kept_alive) = $fixture.await;
                $crate::conformance::$fact(::std::sync::Arc::new(log)).await;
            }
        )*
    };
}

/// The facts about what others do to an adapter's storage, as [`conformance_suite!`](crate::conformance_suite) has the
/// others; the expression's value is `(log, intruder)`, of which the second is an [`Intruder`] and keeps alive what must be.
#[macro_export]
macro_rules! intrusion_suite {
    ($fixture:expr) => {
        $crate::intrusion_suite! { @facts $fixture;
            foreign_messages_are_told_in_their_place
            filters_bring_the_foreign_messages_that_agree
            a_foreign_message_counts_for_its_stream
            a_foreign_message_is_stored_at_its_position
            a_following_stands_on_foreign_messages_too
            a_following_notices_a_shorter_log
            a_following_notices_a_longer_log
            a_following_notices_a_divergence_behind_its_last_commit
        }
    };
    (@facts $fixture:expr; $($fact:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $fact() {
                let (log, intruder) = $fixture.await;
                $crate::conformance::$fact(::std::sync::Arc::new(log), intruder).await;
            }
        )*
    };
}
