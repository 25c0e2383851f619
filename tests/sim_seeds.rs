//! Random LANs, random faults: no rule may break. Here only some seeds, since `tests/run` has a step of its own for
//! many of them in a quicker build. `ALIVED_SIM_SEEDS=1000 cargo test --test sim_seeds` runs more, `ALIVED_SIM_FIRST=N`
//! others.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may read its environment and use threads"
)]

#[path = "support/soak.rs"]
mod soak;

use alived::sim::{Options, run};
use alived::time::Duration;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[derive(Default)]
struct Share {
    failures: Vec<String>,
    steps: u64,
    virtual_time: Duration,
}

fn share(seeds: impl Iterator<Item = u64>) -> Share {
    let mut share = Share::default();
    for seed in seeds {
        let outcome = run(Options { seed, routers: None });
        share.steps += outcome.steps;
        share.virtual_time += outcome.elapsed;
        share.failures.extend(outcome.failure());
    }
    share
}

#[test]
fn random_seeds_break_no_rule() {
    let count = number("ALIVED_SIM_SEEDS").unwrap_or_else(|| soak::count(60, 10_000));
    let first = number("ALIVED_SIM_FIRST").unwrap_or(1);
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(8) as u64;
    let shares: Vec<Share> = std::thread::scope(|scope| {
        let start =
            |worker| scope.spawn(move || share((first + worker..first + count).step_by(workers as usize)));
        let running: Vec<_> = (0..workers).map(start).collect();
        running.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let steps: u64 = shares.iter().map(|share| share.steps).sum();
    let seconds: u64 = shares.iter().map(|share| share.virtual_time.as_secs()).sum();
    let failures: Vec<String> = shares.into_iter().flat_map(|share| share.failures).collect();
    println!("{count} seeds from {first} on, {steps} steps, {} virtual hours", seconds / 3_600);
    let shown: Vec<&str> = failures.iter().take(20).map(String::as_str).collect();
    assert!(failures.is_empty(), "{} of {count} seeds:\n{}", failures.len(), shown.join("\n"));
}

#[test]
fn a_seed_repeats_to_the_last_microsecond() {
    for seed in 1..40 {
        let options = Options { seed, routers: None };
        let (first, second) = (run(options), run(options));
        assert_eq!(first.timeline.to_string(), second.timeline.to_string(), "seed {seed}");
        assert_eq!(first, second, "seed {seed}");
        assert!(first.timeline.entries().len() > 10, "seed {seed}: nothing happened");
    }
}
