//! Chaos on real processes: servers of the broker die, stop, run out of disk and are upgraded, networks are cut, roles
//! are killed, while clients work tickets and limits run out. After each round the log is judged.
//!
//! Without further words one brief round of the plainest faults; `just chaos` plays a hundred rounds of all of them.

use acceptance::{Broker, Fault, Installation, Plan, Whom, Wire};
use anyhow::Result;

/// All faults in the long form, the brief ones otherwise.
fn faults(brief: &[Fault], all: Vec<Fault>) -> Vec<Fault> {
    if Plan::is_long() { all } else { brief.to_vec() }
}

/// In the long form what is configured by default; otherwise an append without an answer is given up sooner.
fn jetstream() -> &'static str {
    if Plan::is_long() { "" } else { "append_ms_max = 1000\nrequest_ms_max = 1000" }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_promise_holds_whatever_happens_around_one_server() -> Result<()> {
    let brief = [
        Fault::Kill(Whom::Leader),
        Fault::Pause(Whom::Leader),
        Fault::FullDisk(Whom::Leader),
        Fault::GatewaysWire(Wire::Deaf),
        Fault::WatchdogsWire(Wire::Cut),
    ];
    let installation = Installation::start(Broker::one().await, jetstream()).await?;
    Plan::from_environment(&brief)?.play(installation, &faults(&brief, Fault::of_one())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_promise_holds_whatever_happens_around_three_servers() -> Result<()> {
    let brief = [
        Fault::Kill(Whom::Leader),
        Fault::Pause(Whom::Leader),
        Fault::RollingRestart,
        Fault::GatewaysWire(Wire::Silent),
    ];
    let installation = Installation::start(Broker::three().await?, jetstream()).await?;
    Plan::from_environment(&brief)?.play(installation, &faults(&brief, Fault::of_three())).await
}
