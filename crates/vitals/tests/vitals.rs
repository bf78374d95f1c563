//! What a process says of itself, as whoever listens meets it.

use std::time::Duration;

use chrono::DateTime;
use cuiban_vitals::{
    BEAT_EVERY, Beat, DeliveryResult, HEARD_MAX, LISTENING_MIN, Post, Problem, Pulse, Reading, Role, Roll,
    SILENT_MAX, Vitals, keep_beating,
};
use tokio_util::sync::CancellationToken;

const EXPEDITING: &str = "watchdog.expediting";

fn watchdog(instance: &str) -> Vitals {
    Vitals::new(Role::Watchdog, instance, "0.1.0")
}

/// A loop that waits for what never comes, and goes round as it should.
fn go_round(pulse: Pulse) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move { pulse.idle(std::future::pending::<()>()).await })
}

fn beating(vitals: &Vitals, roll: &Roll) -> CancellationToken {
    let stop = CancellationToken::new();
    tokio::spawn(keep_beating(vitals.clone(), roll.clone(), || DateTime::UNIX_EPOCH, stop.clone()));
    stop
}

/// As [`beating`], for a process that may end without a word.
fn killable(vitals: &Vitals, roll: &Roll) -> tokio::task::JoinHandle<()> {
    let (vitals, roll) = (vitals.clone(), roll.clone());
    tokio::spawn(keep_beating(vitals, roll, || DateTime::UNIX_EPOCH, CancellationToken::new()))
}

fn posts(roll: &Roll) -> Vec<Post> {
    roll.unattended().into_iter().map(|one| one.post).collect()
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_hangs_while_the_heartbeat_goes_on_is_known_to_all_within_half_a_minute() {
    let (vitals, roll) = (watchdog("w-1"), Roll::new());
    let _round = go_round(vitals.pulse(EXPEDITING, SILENT_MAX));
    let _other = go_round(vitals.pulse("watchdog.succession", SILENT_MAX));
    let _stop = beating(&vitals, &roll);
    pass(Duration::from_secs(60)).await;
    assert_eq!(posts(&roll), [Post::Notifying]);
    assert!(vitals.problems().is_empty());

    vitals.hold(EXPEDITING, true);
    pass(Duration::from_secs(25)).await;
    assert!(roll.everybody()[0].ago <= BEAT_EVERY, "the heartbeat goes on");
    assert_eq!(posts(&roll), [Post::Watching, Post::Notifying]);
    let silent = &roll.unattended()[0].silent;
    assert_eq!(silent[0].0, "watchdog/w-1");
    assert!(silent[0].1 > SILENT_MAX);
    assert_eq!(vitals.problems()[0].code, "loop_silent");
    assert!(vitals.problems()[0].stops && vitals.problems()[0].detail.contains(EXPEDITING));

    vitals.hold(EXPEDITING, false);
    pass(Duration::from_secs(7)).await;
    assert_eq!(posts(&roll), [Post::Notifying]);
}

#[tokio::test(start_paused = true)]
async fn a_post_is_attended_while_one_of_several_attends_to_it() {
    let (one, other, roll) = (watchdog("w-1"), watchdog("w-2"), Roll::new());
    let _rounds = [&one, &other].map(|vitals| go_round(vitals.pulse(EXPEDITING, SILENT_MAX)));
    let (stop_one, _stop_other) = (beating(&one, &roll), beating(&other, &roll));
    pass(LISTENING_MIN).await;
    other.hold(EXPEDITING, true);
    pass(HEARD_MAX * 2).await;
    assert!(!posts(&roll).contains(&Post::Watching));
    // The one that is left hangs: nobody attends any more, from when the other's last word is old.
    stop_one.cancel();
    pass(HEARD_MAX + Duration::from_secs(1)).await;
    let unattended = roll.unattended();
    assert_eq!(unattended[0].post, Post::Watching);
    assert_eq!(
        unattended[0].silent.iter().map(|(who, _)| who.as_str()).collect::<Vec<_>>(),
        ["watchdog/w-2"]
    );
}

#[tokio::test(start_paused = true)]
async fn of_those_that_are_gone_the_last_one_is_named_and_of_those_that_hang_each() {
    let roll = Roll::new();
    let vitals: Vec<_> = ["w-1", "w-2", "w-3"].map(watchdog).into();
    let _rounds: Vec<_> =
        vitals.iter().map(|vitals| go_round(vitals.pulse(EXPEDITING, SILENT_MAX))).collect();
    let named = || -> Vec<String> {
        roll.unattended().swap_remove(0).silent.into_iter().map(|(who, _)| who).collect()
    };
    let processes: Vec<_> = vitals.iter().map(|vitals| killable(vitals, &roll)).collect();
    pass(LISTENING_MIN).await;
    // Killed one after the other: none of them says that it leaves.
    for one in &processes {
        one.abort();
        pass(BEAT_EVERY * 2).await;
    }
    pass(HEARD_MAX).await;
    assert_eq!(named(), ["watchdog/w-3"], "since it is gone nobody is there");
    // One that comes back, and goes with a word.
    let stop = beating(&vitals[0], &roll);
    pass(BEAT_EVERY * 2).await;
    stop.cancel();
    pass(HEARD_MAX + BEAT_EVERY).await;
    assert_eq!(named(), ["watchdog/w-1"]);

    let _again: Vec<_> = vitals[..2].iter().map(|vitals| killable(vitals, &roll)).collect();
    vitals.iter().for_each(|vitals| vitals.hold(EXPEDITING, true));
    pass(HEARD_MAX * 2).await;
    let mut hanging = named();
    hanging.sort();
    assert_eq!(hanging, ["watchdog/w-1", "watchdog/w-2"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_missed_before_everybody_could_be_heard() {
    let roll = Roll::new();
    assert!(roll.unattended().is_empty());
    pass(LISTENING_MIN).await;
    assert_eq!(posts(&roll), Post::ALL);
}

#[tokio::test(start_paused = true)]
async fn a_beat_comes_over_the_wire_as_it_was_said() {
    let vitals = watchdog("host 1.example");
    vitals.pulse("a", SILENT_MAX).follows(7, false);
    vitals.set_problems("disk", vec![Problem::warning("disk_full", "磁盘满 / the disk is full")]);
    let beat = vitals.beat(DateTime::UNIX_EPOCH, false).unwrap();
    assert_eq!(beat.who(), "watchdog/host-1-example", "fits a subject's token");
    assert_eq!(beat.problems.len(), 2, "what was found, and that a loop is catching up");
    let json = beat.to_json().unwrap();
    assert_eq!(Beat::from_json(&json).unwrap(), beat);
    // Another build may say more; another version may mean something else.
    let mut value: serde_json::Value = serde_json::from_slice(&json).unwrap();
    value["mood"] = "fine".into();
    assert_eq!(Beat::from_json(value.to_string().as_bytes()).unwrap(), beat);
    value["v"] = 2.into();
    assert!(Beat::from_json(value.to_string().as_bytes()).unwrap_err().to_string().contains("version"));
}

#[test]
fn what_somebody_else_says_under_a_role_s_name_is_one_short_plain_line() {
    let mut beat = watchdog("w-1").beat(DateTime::UNIX_EPOCH, false).unwrap();
    let detail = format!("all is well\n\u{1b}[2J\u{202e}{}", "x".repeat(10_000));
    beat.problems = vec![Problem::warning("a\nb", detail); 1_000];
    beat.instance = "w-1\r\nwatchdog/w-2".to_owned();
    let heard = Beat::from_json(&beat.to_json().unwrap()).unwrap();
    assert!(heard.problems.len() < 100);
    let Problem { code, detail, .. } = &heard.problems[0];
    assert!(
        detail.starts_with("all is well\u{fffd}\u{fffd}[2J\u{fffd}xxx") && detail.chars().count() <= 2_000
    );
    let texts = [code.as_ref(), detail, &heard.instance];
    assert!(texts.iter().all(|text| !text.contains(char::is_control)), "{texts:?}");
}

#[tokio::test(start_paused = true)]
async fn figures_say_what_was_counted_and_how_far_followers_are() {
    let vitals = watchdog("w-1");
    let follower = vitals.pulse("projector.following", SILENT_MAX);
    follower.follows(5, true);
    vitals.see_head(5);
    pass(Duration::from_secs(3)).await;
    vitals.see_head(9);
    pass(Duration::from_secs(4)).await;
    let metrics = vitals.metrics().unwrap();
    metrics.command("ticket", "recorded");
    metrics.conflict("ticket");
    metrics.notice_delay(Duration::from_millis(3));
    metrics.deliveries("nats", DeliveryResult::GivenUp, 2);
    vitals.set(Reading::Parked("tickets"), 6.0);
    vitals.set_problems("x", vec![Problem::stopping("log_full", "满 / full")]);
    let text = vitals.render();
    for line in [
        "cuiban_build_info{version=\"0.1.0\",role=\"watchdog\",instance=\"w-1\"} 1",
        "cuiban_commands_total{aggregate=\"ticket\",outcome=\"recorded\"} 1",
        "cuiban_conflicts_total{aggregate=\"ticket\"} 1",
        "cuiban_notice_delay_seconds_bucket{le=\"0.005\"} 1",
        "cuiban_deliveries_total{channel=\"nats\",result=\"given_up\"} 2",
        "cuiban_parked_commits{model=\"tickets\"} 6.0",
        "cuiban_problem{code=\"log_full\",stops=\"true\"} 1",
        "cuiban_log_head_position{} 9.0",
        "cuiban_follower_lag_events{loop=\"projector.following\"} 4.0",
        "cuiban_follower_lag_seconds{loop=\"projector.following\"} 4.0",
        "cuiban_loop_silent{loop=\"projector.following\"} 0",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    follower.follows(9, true);
    vitals.set_problems("x", Vec::new());
    let text = vitals.render();
    assert!(text.contains("cuiban_follower_lag_events{loop=\"projector.following\"} 0.0"), "{text}");
    assert!(!text.contains("log_full"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_process_whose_vitals_nobody_reads_is_not_woken() {
    let pulse = Vitals::default().pulse("a", SILENT_MAX);
    pulse.turn().await;
    let woken = tokio::time::timeout(Duration::from_secs(3600), pulse.due()).await;
    assert!(woken.is_err());
    assert!(Vitals::default().beat(DateTime::UNIX_EPOCH, false).is_none());
}
