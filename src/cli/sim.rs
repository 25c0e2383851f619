//! `alived sim`: simulated LANs from seeds, their timelines, and whether a rule broke.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};

use crate::sim::timeline::Entry;
use crate::sim::{Options, Outcome, run};

/// A rule broke.
const EXIT_VIOLATION: u8 = 1;
/// A bad command line.
pub(super) const EXIT_USAGE: u8 = 2;

const AFTER: &str = "\
Timeline: `!` something was done to the LAN, `*` a router changed its state, `X` a rule broke.

Examples:
  alived sim --seed=N       run one seed and print its timeline
  alived sim --seeds=COUNT  run so many seeds and print a summary
  alived sim --seconds=S    run seeds for so long

Exit status: 0 no rule broke; 1 a rule broke, the message names the seed and the command that repeats it;
2 bad command line.";

/// Simulate a LAN of routers, faults and hours in seconds
///
/// Simulates LANs of routers and hosts in virtual time: loss, delay, cuts, crashes, freezes, reloads, switch-overs.
/// Every run follows from its seed alone, and rules are checked after every step.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct Arguments {
    /// Seed of the (first) run, 0 to 18446744073709551615; default: 1 with --seeds, else a new one
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Number of routers; drawn from the seed by default
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u64).range(1..=16))]
    routers: Option<u64>,
    /// Run so many seeds, one after the other
    #[arg(long, value_name = "COUNT", conflicts_with = "seconds")]
    seeds: Option<u64>,
    /// Run seeds for so long
    #[arg(long, value_name = "S")]
    seconds: Option<u64>,
    /// Print objects instead of text: entries of the timeline, then the outcome
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn options(&self, seed: u64) -> Options {
        Options { seed, routers: self.routers.map(|routers| routers as usize) }
    }
}

/// Runs the subcommand.
pub(super) fn main(request: &Arguments) -> ExitCode {
    let many = request.seeds.is_some() || request.seconds.is_some();
    // A closed pipe ends the output, not the judgement.
    if many { run_many(request) } else { run_one(request) }
}

fn run_one(request: &Arguments) -> ExitCode {
    let seed = request.seed.unwrap_or_else(new_seed);
    let outcome = run(request.options(seed));
    let mut output = io::stdout().lock();
    if request.json {
        let entries: Vec<Value> = outcome.timeline.entries().iter().map(entry_json).collect();
        let _ = writeln!(output, "{}", json!({ "timeline": entries, "outcome": outcome_json(&outcome) }));
    } else {
        let _ = write!(output, "{}", outcome.timeline);
        let _ = writeln!(output, "\n{}", summary(&outcome));
    }
    verdict(&outcome)
}

fn run_many(request: &Arguments) -> ExitCode {
    let begun = Instant::now();
    let first = request.seed.unwrap_or_else(|| if request.seconds.is_some() { new_seed() } else { 1 });
    let (mut runs, mut steps, mut virtual_time) = (0_u64, 0_u64, Duration::ZERO);
    let mut seed = first;
    loop {
        let enough = match (request.seeds, request.seconds) {
            (Some(seeds), _) => runs >= seeds,
            (None, seconds) => begun.elapsed() >= Duration::from_secs(seconds.unwrap_or_default()),
        };
        if enough {
            break;
        }
        let outcome = run(request.options(seed));
        runs += 1;
        steps += outcome.steps;
        virtual_time += outcome.elapsed;
        if !outcome.violations.is_empty() {
            let mut output = io::stdout().lock();
            if request.json {
                let _ = writeln!(output, "{}", outcome_json(&outcome));
            } else {
                let _ = write!(output, "{}", outcome.timeline);
            }
            return verdict(&outcome);
        }
        seed = seed.wrapping_add(1);
    }
    let mut output = io::stdout().lock();
    if request.json {
        let seconds = virtual_time.as_secs();
        let _ = writeln!(
            output,
            "{}",
            json!({ "ok": true, "first_seed": first, "seeds": runs, "steps": steps, "virtual_seconds": seconds })
        );
    } else {
        let _ = writeln!(
            output,
            "{runs} seeds from {first} on, {steps} steps, {} virtual hours in {} s: no rule broke",
            virtual_time.as_secs() / 3_600,
            begun.elapsed().as_secs()
        );
    }
    ExitCode::SUCCESS
}

/// A seed that nobody has tried, printed with every outcome.
fn new_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_micros() as u64)
}

fn verdict(outcome: &Outcome) -> ExitCode {
    match outcome.failure() {
        Some(message) => {
            let _ = writeln!(io::stderr(), "alived sim: {message}");
            ExitCode::from(EXIT_VIOLATION)
        }
        None => ExitCode::SUCCESS,
    }
}

fn summary(outcome: &Outcome) -> String {
    format!(
        "seed {}: {} steps in {} virtual seconds, {}",
        outcome.options.seed,
        outcome.steps,
        outcome.elapsed.as_secs(),
        match outcome.violations.len() {
            0 => "no rule broke".to_owned(),
            1 => "a rule broke".to_owned(),
            count => format!("{count} rules broke"),
        }
    )
}

fn entry_json(entry: &Entry) -> Value {
    json!({
        "at_us": entry.at.as_micros(),
        "actor": entry.actor,
        "kind": entry.kind.as_str(),
        "text": entry.text,
    })
}

fn outcome_json(outcome: &Outcome) -> Value {
    let violations: Vec<String> = outcome.violations.iter().map(ToString::to_string).collect();
    json!({
        "ok": violations.is_empty(),
        "seed": outcome.options.seed,
        "routers": outcome.options.routers,
        "steps": outcome.steps,
        "virtual_us": outcome.elapsed.as_micros() as u64,
        "violations": violations,
        "repeat": outcome.options.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::commands::tests::read;
    use super::*;
    use crate::sim::scenario;

    #[test]
    fn a_repeat_command_is_understood() {
        let options = Options { seed: 17, routers: Some(*scenario::ROUTERS.end()) };
        let command = options.to_string();
        let request: Arguments = read(&command.split(' ').skip(2).collect::<Vec<_>>()).unwrap();
        assert_eq!(request.options(request.seed.unwrap()), options);
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            &["--seed", "x"][..],
            &["--routers=17"],
            &["--seeds=1", "--seconds=1"],
            &["extra"],
            &["--json=1"],
        ] {
            assert!(read::<Arguments>(bad).is_err(), "{bad:?}");
        }
    }
}
