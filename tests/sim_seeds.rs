//! Random LANs, random faults: no rule may break. `ALIVED_SIM_SEEDS=100000 cargo test --test sim_seeds`
//! runs more of them, `ALIVED_SIM_FIRST=N` others.
#![allow(clippy::disallowed_methods, reason = "a test may read its environment")]

use alived::sim::{Options, run};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn random_seeds_break_no_rule() {
    let count = number("ALIVED_SIM_SEEDS").unwrap_or(1_000);
    let first = number("ALIVED_SIM_FIRST").unwrap_or(1);
    let mut failures = Vec::new();
    let (mut steps, mut hours) = (0, 0);
    for seed in first..first + count {
        let outcome = run(Options { seed, routers: None });
        steps += outcome.steps;
        hours += outcome.elapsed.as_millis();
        failures.extend(outcome.failure());
        if count == 1 {
            println!("{}", outcome.timeline);
        }
    }
    println!("{count} seeds, {steps} steps, {} virtual hours", hours / 3_600_000);
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
