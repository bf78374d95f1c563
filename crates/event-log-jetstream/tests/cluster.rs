//! Three servers: what replication could break, and the death of the stream's leader.

#![expect(clippy::unwrap_used, reason = "a test ends where its helper fails")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use cuiban_event_log::{Consistency, EventLog, Filter, Position, TimeStanding, conformance};
use cuiban_event_log_jetstream::test_server::NatsCluster;
use cuiban_event_log_jetstream::{Config, JetStreamLog};
use support::{append_through_everything, head_once_answered, heard, stream, token, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A log of its own on the cluster: each fact wants a fresh one.
async fn fresh(cluster: &NatsCluster, name: &str) -> Arc<JetStreamLog> {
    let (prefix, stream) = (token(name), token(name));
    let config = Config { prefix, stream, page_commits_max: 7, pull_commits_max: 5, ..cluster.config() };
    Arc::new(JetStreamLog::connect(config).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_replication_could_break_holds_on_three_servers() {
    let cluster = NatsCluster::start().await;
    conformance::exactly_one_of_64_racers_begins_a_stream(fresh(&cluster, "begin").await).await;
    conformance::exactly_one_of_64_racers_continues_a_stream(fresh(&cluster, "continue").await).await;
    conformance::the_expectation_covers_all_routes_of_a_stream(fresh(&cluster, "routes").await).await;
    conformance::a_retry_never_stores_twice(fresh(&cluster, "retry").await).await;
    conformance::other_bytes_under_a_known_id_are_never_said_to_be_stored(fresh(&cluster, "anew").await)
        .await;
    conformance::a_commit_id_seen_elsewhere_does_not_matter(fresh(&cluster, "elsewhere").await).await;
    conformance::many_writers_lose_and_double_nothing(fresh(&cluster, "writers").await).await;
    conformance::a_stream_read_while_it_is_written_has_no_hole(fresh(&cluster, "holes").await).await;
    conformance::a_leader_read_contains_what_was_acknowledged(fresh(&cluster, "leader").await).await;
    conformance::a_subscription_says_when_it_has_caught_up(fresh(&cluster, "caught").await).await;
    conformance::history_comes_first_then_what_is_appended(fresh(&cluster, "history").await).await;
    conformance::subscribers_hear_many_writers_in_one_order(fresh(&cluster, "order").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_and_writers_live_through_the_death_of_the_streams_leader() {
    let mut cluster = NatsCluster::start().await;
    let config = Config { append_ms_max: 2_000, ..cluster.config() };
    let log = JetStreamLog::connect(config).await.unwrap();
    let mut all = log.subscribe(Filter::everything(), Position::START).await.unwrap();
    let mut writers = JoinSet::new();
    for n in 0..4 {
        writers.spawn(append_through_everything(log.clone(), format!("w{n}"), 100));
    }
    let mut positions = heard(&mut all, 100).await;
    for _ in 0..2 {
        let leader = cluster.leader().await;
        cluster.servers[leader].kill();
        positions.extend(heard(&mut all, 100).await);
        cluster.servers[leader].restart().await;
    }
    positions.extend(heard(&mut all, 100).await);
    let mut acknowledged: Vec<Position> = writers.join_all().await.concat();
    acknowledged.sort();
    assert_eq!(positions, acknowledged, "each acknowledged commit once, in order, and no other");
    assert_eq!(within(head_once_answered(&log)).await, acknowledged[399]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_its_followers_stops_answering_before_there_can_be_another() {
    let cluster = NatsCluster::start().await;
    let config = Config { append_ms_max: 2_000, request_ms_max: 2_000, ..cluster.config() };
    let log = JetStreamLog::connect(config).await.unwrap();
    append_through_everything(log.clone(), "1".to_owned(), 3).await;
    let leader = cluster.leader().await;
    let followers = || cluster.servers.iter().enumerate().filter(|(n, _)| *n != leader);
    let read = async || log.read_stream(&stream("1"), None, Consistency::Leader).await;
    assert_eq!(read().await.unwrap().len(), 3);
    followers().for_each(|(_, server)| server.pause());
    // Followers that are away choose another leader after four seconds at the earliest.
    let stopped = async {
        let mut again = tokio::time::interval(Duration::from_millis(20));
        while read().await.is_ok() {
            again.tick().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(4), stopped).await;
    followers().for_each(|(_, server)| server.resume());
    assert!(in_time.is_ok(), "a leader without followers goes on answering for the log");
    within(append_through_everything(log.clone(), "2".to_owned(), 1)).await;
    assert_eq!(read().await.unwrap().len(), 3, "and answers again when they are back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_gone_is_said_to_be_missing_while_appends_go_on() {
    let mut cluster = NatsCluster::start().await;
    let log = JetStreamLog::connect(cluster.config()).await.unwrap();
    let codes = async || -> Option<Vec<&str>> {
        let problems = log.standing().await.ok()?.problems;
        Some(problems.iter().map(|problem| problem.code).collect())
    };
    let said = async |wanted: &[&str]| {
        let mut again = tokio::time::interval(Duration::from_millis(50));
        within(async {
            while codes().await.as_deref() != Some(wanted) {
                again.tick().await;
            }
        })
        .await;
    };
    said(&[]).await;
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    cluster.servers[follower].kill();
    said(&["replica_missing"]).await;
    assert_eq!(append_through_everything(log.clone(), "1".to_owned(), 3).await.len(), 3);
    assert!(log.standing().await.is_ok_and(|standing| standing.stops_writing().is_none()));
    cluster.servers[follower].restart().await;
    said(&[]).await;
}

/// Leads to a server, and has its stream's leader tell a time ten years ahead.
async fn way_of_a_fast_leader(server: &str) -> String {
    let to = server.trim_start_matches("nats://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            // Whoever comes when the server has ended is sent away.
            let Ok(server) = TcpStream::connect(&to).await else { continue };
            let ((mut asks, mut hears), (mut answers, mut takes)) =
                (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut asks, &mut takes).await });
            tokio::spawn(async move {
                let mut lines = vec![0; 1 << 20];
                let mut filled = 0;
                // What is told of time stands in one line: lines are sent on whole.
                while let Ok(read @ 1..) = answers.read(&mut lines[filled..]).await {
                    filled += read;
                    let Some(end) = lines[..filled].iter().rposition(|byte| *byte == b'\n') else { continue };
                    let mut whole = lines[..=end].to_vec();
                    let told = br#""ts":"20"#;
                    let places = 0..whole.len().saturating_sub(told.len());
                    for place in places.filter(|place| lines[*place..].starts_with(told)).collect::<Vec<_>>()
                    {
                        whole[place + told.len()] += 1;
                    }
                    hears.write_all(&whole).await.unwrap();
                    lines.copy_within(end + 1..filled, 0);
                    filled -= end + 1;
                }
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_with_a_fast_clock_is_suspect_and_the_other_servers_time_is_the_logs() {
    let cluster = NatsCluster::start().await;
    let right = JetStreamLog::connect(cluster.config()).await.unwrap();
    cluster.settled().await;
    let right_time = right.time().await.unwrap();
    assert_eq!(right.time_standing(), TimeStanding::default());
    let servers = vec![way_of_a_fast_leader(&cluster.servers[0].url()).await];
    let log = JetStreamLog::connect(Config { servers, ..cluster.config() }).await.unwrap();
    let time = log.time().await.unwrap();
    // The others' time is behind by what their answers took.
    assert!((time - right_time).abs() < TimeDelta::minutes(5), "{time}, {right_time}");
    let apart = log.time_standing().leader_apart.unwrap();
    assert!(apart > TimeDelta::days(3_600), "{apart}");
}
