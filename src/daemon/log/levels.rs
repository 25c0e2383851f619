//! From which level on events are logged, by the part of the daemon that they are of; changes at any time.

use std::collections::BTreeMap;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::reload;

use super::ground::Ground;
use crate::control::{LogLevel, LogTarget};

/// Target of what the virtual routers do.
pub(super) const VRRP: &str = "vrrp";

/// A filter as a layer of a subscriber, for the [`Levels`] of that process.
pub(super) type Filter = reload::Layer<Targets, Ground>;

/// The levels of one process.
#[derive(Debug)]
pub(in crate::daemon) struct Levels {
    levels: BTreeMap<LogTarget, LogLevel>,
    filters: Vec<reload::Handle<Targets, Ground>>,
}

impl Default for Levels {
    fn default() -> Self {
        Self { levels: LogTarget::PARTS.map(|part| (part, LogLevel::Info)).into(), filters: Vec::new() }
    }
}

impl Levels {
    /// One more filter that follows these levels.
    pub(super) fn filter(&mut self) -> Filter {
        let (filter, handle) = reload::Layer::new(self.targets());
        self.filters.push(handle);
        filter
    }

    /// Changes the level of one part, or of all.
    pub(in crate::daemon) fn set(&mut self, target: LogTarget, level: LogLevel) {
        for (part, of_part) in &mut self.levels {
            if target == LogTarget::All || target == *part {
                *of_part = level;
            }
        }
        for filter in &self.filters {
            // Fails only when its subscriber is gone, and then nothing is logged.
            let _ = filter.reload(self.targets());
        }
    }

    /// The level of each part.
    pub(in crate::daemon) const fn get(&self) -> &BTreeMap<LogTarget, LogLevel> {
        &self.levels
    }

    fn targets(&self) -> Targets {
        self.levels.iter().map(|(part, level)| (prefix(*part), filter(*level))).collect()
    }
}

/// How the targets of a part's events begin. The longest that fits counts.
const fn prefix(part: LogTarget) -> &'static str {
    match part {
        LogTarget::All => "",
        LogTarget::Vrrp => VRRP,
        LogTarget::Daemon => "alived",
        LogTarget::Control => "alived::daemon::control",
        LogTarget::Runner => "alived::daemon::runner",
    }
}

const fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn the_longest_target_decides_and_a_change_holds_for_every_filter() {
        let mut levels = Levels::default();
        let wanted = |levels: &Levels| {
            let targets = levels.targets();
            ["vrrp", "alived::daemon::worker", "alived::daemon::control"].map(|target| {
                [Level::WARN, Level::INFO, Level::DEBUG].map(|level| targets.would_enable(target, &level))
            })
        };
        const QUIET: [bool; 3] = [true, false, false];
        const NORMAL: [bool; 3] = [true, true, false];
        const ALL: [bool; 3] = [true; 3];
        assert_eq!(wanted(&levels), [NORMAL; 3]);
        levels.set(LogTarget::Vrrp, LogLevel::Warn);
        levels.set(LogTarget::Control, LogLevel::Debug);
        assert_eq!(wanted(&levels), [QUIET, NORMAL, ALL]);
        levels.set(LogTarget::All, LogLevel::Warn);
        assert_eq!(wanted(&levels), [QUIET; 3]);
    }
}
