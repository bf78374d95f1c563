//! Seeds of the simulation: the promises hold in each, and the same seed gives the same log.

use cuiban_simulation::simulate::{Fault, Options, simulate};

const SEEDS: u64 = 1_000;

#[test]
fn the_promises_hold_in_every_seed() {
    let halves = std::thread::scope(|scope| {
        let half = |first| {
            scope.spawn(move || {
                let reports =
                    (first..SEEDS).step_by(2).map(|seed| (seed, simulate(&Options::of(seed)).unwrap()));
                let judged = reports.inspect(|(seed, report)| {
                    let command = Options::of(*seed).command();
                    assert!(report.violations.is_empty(), "{command}: {:#?}", report.violations);
                });
                judged.map(|(_, report)| report).collect::<Vec<_>>()
            })
        };
        [half(0), half(1)].map(|half| half.join().unwrap())
    });
    let reports = halves.concat();
    // Seeds in which nothing happens would prove nothing.
    for (index, fault) in Fault::all().enumerate() {
        let struck: u64 = reports.iter().map(|report| report.faults[index]).sum();
        assert!(struck >= SEEDS / 10, "{fault} struck {struck} times in {SEEDS} seeds");
    }
    let notices: usize = reports.iter().map(|report| report.notices).sum();
    assert!(notices as u64 > 2 * SEEDS, "{notices} notices");
}

#[test]
fn the_same_seed_gives_the_same_trace_and_log_byte_for_byte() {
    let traced = |seed| simulate(&Options { trace: true, ..Options::of(seed) }).unwrap();
    for seed in [3, 17, 1_000_003] {
        let (once, again) = (traced(seed), traced(seed));
        assert!(once.trace.len() > 100);
        assert_eq!(once, again);
    }
    assert_ne!(traced(3).digest, traced(4).digest);
}
