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

use alived::node::recording::{Inputs, Piece, Replay};
use alived::sim::timeline::EntryKind;
use alived::sim::{Options, Reel, record, run};
use alived::time::Duration;
use alived::vrrp::News;

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
    let count = number("ALIVED_SIM_SEEDS").unwrap_or_else(|| soak::count(12, 10_000));
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
    for seed in 1..12 {
        let options = Options { seed, routers: None };
        let (first, second) = (run(options), run(options));
        assert_eq!(first.timeline.to_string(), second.timeline.to_string(), "seed {seed}");
        assert_eq!(first, second, "seed {seed}");
        assert!(first.timeline.entries().len() > 10, "seed {seed}: nothing happened");
    }
}

/// What the timeline has of a daemon's news.
fn line(news: &News) -> Option<String> {
    match news {
        News::Transition(t) => {
            Some(format!("({}) {} -> {}: {} [{}]", t.name, t.from, t.to, t.cause, t.priority))
        }
        News::GroupTransition(t) => Some(format!("group {}: {} -> {}: {}", t.name, t.from, t.to, t.cause)),
        News::LowerPriorityReceived { .. } => None,
        News::Report(report) => Some(format!("({}) {}", report.router, report.kind)),
    }
}

/// Replays a recording, and gives its news. Whatever state a replay begins with, it goes on in the same way: all that
/// makes a node what it is in it.
fn replay(seed: u64, pieces: &[Piece], states: &mut usize) -> Vec<String> {
    let mut replay = Replay::of_state(&pieces[0].bytes).unwrap();
    let mut lines = Vec::new();
    for piece in &pieces[1..] {
        if piece.is_state {
            let state = Replay::of_state(&piece.bytes).unwrap();
            *states += 1;
            assert!(replay.state().unwrap() == state.state().unwrap(), "seed {seed} at {:?}", state.now());
            replay = state;
            continue;
        }
        for input in Inputs::of(&piece.bytes) {
            let (now, input) = input.unwrap();
            let step = replay.take(now, input);
            assert_eq!(step.divergence, None, "seed {seed} at {now:?}");
            lines.extend(step.news.iter().filter_map(line));
        }
    }
    lines
}

#[test]
fn a_recorded_daemon_replays_to_the_same_transitions_and_reports() {
    let (mut compared, mut states) = (0, 0);
    for seed in 1..9 {
        let options = Options { seed, routers: None };
        let (outcome, reels) = record(options);
        assert_eq!(outcome, run(options), "seed {seed}: recording changes nothing");
        let machines: std::collections::BTreeSet<_> = reels.iter().map(Reel::machine).collect();
        for machine in machines {
            let happened: Vec<&str> = (outcome.timeline.entries().iter())
                .filter(|entry| entry.actor == machine.to_string())
                .filter(|entry| matches!(entry.kind, EntryKind::Transition | EntryKind::Report))
                .map(|entry| entry.text.as_str())
                .collect();
            let mut replayed = Vec::new();
            for reel in reels.iter().filter(|reel| reel.machine() == machine) {
                let pieces = reel.pieces();
                assert!(pieces.iter().all(|piece| piece.lost == 0));
                replayed.extend(replay(seed, &pieces, &mut states));
            }
            assert_eq!(replayed, happened, "seed {seed}, {machine}");
            compared += replayed.len();
        }
    }
    assert!(compared > 300 && states > 20, "{compared} lines, {states} states");
}
