//! How late a daemon serves its timers, by its own count: `#[path = "support/lateness.rs"] mod lateness;`.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// What the daemon says of itself, once it answers.
pub fn status(pid_file: &Path) -> Option<serde_json::Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_alived"))
        .args(["status", "--json", "-r"])
        .arg(pid_file)
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).ok()
}

/// The daemon's histogram: how many timers were served late by less than so many microseconds (`u64::MAX` for the last
/// class).
pub struct Lateness(BTreeMap<u64, u64>);

impl Lateness {
    /// So far.
    pub fn of(pid_file: &Path) -> Self {
        let status = status(pid_file).unwrap();
        let classes = status["node"]["timers_late"].as_array().unwrap();
        let class = |class: &serde_json::Value| {
            (class["below_us"].as_u64().unwrap_or(u64::MAX), class["count"].as_u64().unwrap())
        };
        Self(classes.iter().map(class).collect())
    }

    /// What has come since another look.
    pub fn since(mut self, before: &Self) -> Self {
        for (bound, count) in &mut self.0 {
            *count -= before.0.get(bound).copied().unwrap_or(0);
        }
        self.0.retain(|_, count| *count > 0);
        self
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// How many were later than so many microseconds, a power of two.
    pub fn beyond(&self, us: u64) -> u64 {
        self.0.iter().filter(|(bound, _)| **bound > us).map(|(_, count)| count).sum()
    }

    /// The bound of the class in which this part of the timers ends.
    pub fn percentile(&self, part: f64) -> Option<u64> {
        let mut rest = (self.total() as f64 * part).ceil() as u64;
        self.0.iter().find_map(|(bound, count)| {
            let found = *count >= rest;
            rest = rest.saturating_sub(*count);
            found.then_some(*bound)
        })
    }
}

impl std::fmt::Display for Lateness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} timers", self.total())?;
        for (name, part) in [("50 %", 0.5), ("99 %", 0.99), ("99.9 %", 0.999), ("all", 1.0)] {
            match self.percentile(part) {
                Some(u64::MAX) => write!(f, ", {name} without bound")?,
                Some(bound) => write!(f, ", {name} below {bound}")?,
                None => {}
            }
        }
        Ok(())
    }
}
