//! One `vrrp_script`: when it runs, and what its results amount to.

use serde::{Deserialize, Serialize};

use super::{ScriptTracker, Verdict};
use crate::kernel::ScriptEnd;
use crate::time::{Duration, Instant};

/// The state of a script.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ScriptState {
    verdict: Verdict,
    /// Results in a row that speak against the verdict.
    against: u32,
    running: bool,
    /// Next run.
    due: Instant,
    /// Runs that were left out because the one before was not over.
    overruns: u64,
}

impl ScriptState {
    /// A script that has never run, due now.
    pub const fn new(config: &ScriptTracker, now: Instant) -> Self {
        let verdict = if config.starts_failed { Verdict::Bad } else { Verdict::Unknown };
        Self { verdict, against: 0, running: false, due: now, overruns: 0 }
    }

    /// What is known.
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Whether it runs now.
    pub const fn is_running(&self) -> bool {
        self.running
    }

    /// When [`ScriptState::handle_timeout`] wants to be called.
    pub const fn deadline(&self) -> Instant {
        self.due
    }

    /// Runs that were left out because the one before was not over.
    pub const fn overruns(&self) -> u64 {
        self.overruns
    }

    /// What another process has found out.
    pub(super) const fn presume(&mut self, verdict: Verdict) {
        self.verdict = verdict;
    }

    /// Whether a run is to be started now. A run that is late moves those after it, so that they never pile up.
    #[must_use]
    pub fn handle_timeout(&mut self, config: &ScriptTracker, now: Instant) -> bool {
        if now < self.due {
            return false;
        }
        let next = self.due + config.interval;
        self.due = if next > now { next } else { now + config.interval.max(Duration::from_millis(1)) };
        if self.running {
            self.overruns += 1;
            return false;
        }
        self.running = true;
        true
    }

    /// A run is over. Returns whether the verdict is another one now.
    #[must_use]
    pub fn ended(&mut self, config: &ScriptTracker, end: ScriptEnd) -> bool {
        self.running = false;
        let success = match end {
            ScriptEnd::Success => true,
            ScriptEnd::Failure => false,
            ScriptEnd::Lost => return false,
        };
        let result = if success { Verdict::Good } else { Verdict::Bad };
        if result == self.verdict {
            self.against = 0;
            return false;
        }
        self.against = self.against.saturating_add(1);
        let needed = if success { config.rise } else { config.fall };
        // The first result counts at once, unless `init_fail` stands against it.
        if self.verdict != Verdict::Unknown && self.against < needed.get() {
            return false;
        }
        self.against = 0;
        self.verdict = result;
        true
    }

    /// The configuration is another one: what was found out stays, and the next run is no later than it would be
    /// with the new interval.
    pub fn reconfigure(&mut self, config: &ScriptTracker, now: Instant) {
        self.due = self.due.min(now + config.interval);
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU32;

    use super::*;
    use crate::kernel::Script;
    use crate::track::{ScriptTest, Weight};

    fn tracker(rise: u32, fall: u32) -> ScriptTracker {
        ScriptTracker {
            name: "check".into(),
            test: ScriptTest::Run(Script::new(c"/bin/check".to_owned())),
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(2),
            weight: Weight::FAULT,
            rise: NonZeroU32::new(rise).unwrap(),
            fall: NonZeroU32::new(fall).unwrap(),
            starts_failed: false,
        }
    }

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    /// The verdicts after each result.
    fn verdicts(config: &ScriptTracker, results: &[bool]) -> Vec<Verdict> {
        let mut state = ScriptState::new(config, at(0));
        results
            .iter()
            .map(|&success| {
                let before = state.verdict();
                let end = if success { ScriptEnd::Success } else { ScriptEnd::Failure };
                let changed = state.ended(config, end);
                assert_eq!(changed, before != state.verdict());
                state.verdict()
            })
            .collect()
    }

    #[test]
    fn rise_and_fall_count_results_in_a_row() {
        use Verdict::{Bad, Good};
        let config = tracker(2, 3);
        let results = [true, false, false, true, false, false, false, true, false, true, true];
        assert_eq!(
            verdicts(&config, &results),
            [Good, Good, Good, Good, Good, Good, Bad, Bad, Bad, Bad, Good],
            "the first result counts at once"
        );
        assert_eq!(verdicts(&config, &[false, true, true]), [Bad, Bad, Good]);
    }

    #[test]
    fn init_fail_is_a_failure_until_enough_successes() {
        use Verdict::{Bad, Good};
        let config = ScriptTracker { starts_failed: true, ..tracker(2, 1) };
        assert_eq!(ScriptState::new(&config, at(0)).verdict(), Bad);
        assert_eq!(verdicts(&config, &[true, true, false]), [Bad, Good, Bad]);
    }

    #[test]
    fn one_run_at_a_time_each_interval() {
        let config = tracker(1, 1);
        let mut state = ScriptState::new(&config, at(0));
        assert!(state.handle_timeout(&config, at(0)));
        assert!(!state.handle_timeout(&config, at(1_999)), "not due");
        assert!(!state.handle_timeout(&config, at(2_000)), "the first one is not over");
        assert_eq!(state.overruns(), 1);
        assert_eq!(state.deadline(), at(4_000));
        assert!(state.ended(&config, ScriptEnd::Success));
        // Late by less than an interval: the rhythm stays. By more: it begins anew.
        assert!(state.handle_timeout(&config, at(4_700)));
        assert_eq!(state.deadline(), at(6_000));
        assert!(!state.ended(&config, ScriptEnd::Lost), "says nothing");
        assert!(state.handle_timeout(&config, at(20_000)));
        assert_eq!(state.deadline(), at(22_000));
    }

    #[test]
    fn a_shorter_interval_holds_at_once() {
        let config = ScriptTracker { interval: Duration::from_secs(60), ..tracker(1, 1) };
        let mut state = ScriptState::new(&config, at(0));
        assert!(state.handle_timeout(&config, at(0)));
        state.reconfigure(&tracker(1, 1), at(1_000));
        assert_eq!(state.deadline(), at(3_000));
        state.reconfigure(&config, at(1_000));
        assert_eq!(state.deadline(), at(3_000), "a longer one after the next run");
    }
}
