//! Seeds of the simulation: the promises hold in each, and the same seed gives the same log.

use cuiban_simulation::simulate::simulate;

const SEEDS: u64 = 100;

#[tokio::test]
async fn the_promises_hold_in_every_seed() {
    let (mut faults, mut notices) = (0, 0);
    for seed in 0..SEEDS {
        let report = simulate(seed).await.unwrap();
        assert!(
            report.violations.is_empty(),
            "cuiban simulate --from {seed} --seeds 1: {:#?}",
            report.violations
        );
        faults += report.faults;
        notices += report.notices;
    }
    // Seeds in which nothing happens would prove nothing.
    assert!(faults > 1_000 && notices > 500, "{faults} faults, {notices} notices");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_log_byte_for_byte() {
    for seed in [3, 1_000_003] {
        assert_eq!(simulate(seed).await.unwrap(), simulate(seed).await.unwrap());
    }
    assert_ne!(simulate(3).await.unwrap().digest, simulate(4).await.unwrap().digest);
}
