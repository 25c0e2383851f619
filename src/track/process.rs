//! One `vrrp_track_process`: whether as many processes run as should.

use serde::{Deserialize, Serialize};

use super::{Lasting, ProcessTracker, Quorum, Verdict};
use crate::time::{Duration, Instant};

impl Quorum {
    /// Whether this many are neither too few nor too many.
    pub fn is_met(&self, count: u32) -> bool {
        match self {
            Self::AtLeast(least) => count >= u32::from(least.get()),
            Self::Between(range) => (u32::from(range.first())..=u32::from(range.last())).contains(&count),
            Self::None => count == 0,
        }
    }
}

/// The state of a process tracker.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct ProcessState {
    /// How many run, and whether that is as it should be; `None` before they were counted.
    counted: Option<(u32, Lasting)>,
}

impl ProcessState {
    /// What is known.
    pub fn verdict(&self) -> Verdict {
        match self.counted {
            None => Verdict::Unknown,
            Some((_, quorum)) if quorum.get() => Verdict::Good,
            Some(_) => Verdict::Bad,
        }
    }

    /// How many run, as far as that is known.
    pub const fn count(&self) -> Option<u32> {
        match self.counted {
            Some((count, _)) => Some(count),
            None => None,
        }
    }

    /// When [`ProcessState::handle_timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.counted.and_then(|(_, quorum)| quorum.deadline())
    }

    /// So many run. Returns whether the verdict is another one now: the first count counts at once, what comes of a
    /// start after `fork_delay`, and of an end after `terminate_delay`.
    #[must_use]
    pub fn note(&mut self, now: Instant, config: &ProcessTracker, count: u32) -> bool {
        let met = config.quorum.is_met(count);
        let Some((before, quorum)) = &mut self.counted else {
            self.counted = Some((count, Lasting::new(met)));
            return true;
        };
        let delay = if count < *before { config.timing.terminate_delay } else { config.timing.fork_delay };
        *before = count;
        quorum.see(now, met, delay)
    }

    /// Returns whether the verdict is another one now.
    #[must_use]
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        self.counted.as_mut().is_some_and(|(_, quorum)| quorum.handle_timeout(now))
    }

    /// The configuration is another one: how many run is known still, and a new quorum holds at once. Returns whether
    /// the verdict is another one now.
    #[must_use]
    pub fn reconfigure(&mut self, now: Instant, before: &ProcessTracker, after: &ProcessTracker) -> bool {
        let Some((count, quorum)) = &mut self.counted else { return false };
        before.quorum != after.quorum && quorum.see(now, after.quorum.is_met(*count), Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU16;

    use super::*;
    use crate::kernel::IdRange;
    use crate::track::{ParameterMatch, ProcessTrackerTiming, Weight};

    fn tracker(quorum: Quorum, terminate: u64, fork: u64) -> ProcessTracker {
        ProcessTracker {
            name: "p".into(),
            process: c"p".to_owned(),
            parameters: Vec::new(),
            parameter_match: ParameterMatch::Ignored,
            weight: Weight::FAULT,
            quorum,
            timing: ProcessTrackerTiming {
                terminate_delay: Duration::from_secs(terminate),
                fork_delay: Duration::from_secs(fork),
            },
            full_command: false,
        }
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_quorum_has_a_lower_and_an_upper_end() {
        let met = |quorum: Quorum| (0..5).filter(|count| quorum.is_met(*count)).collect::<Vec<_>>();
        assert_eq!(met(Quorum::AtLeast(NonZeroU16::new(3).unwrap())), [3, 4]);
        assert_eq!(met(Quorum::Between(IdRange::new(1, 2).unwrap())), [1, 2]);
        assert_eq!(met(Quorum::None), [0]);
        assert!(Quorum::AtLeast(NonZeroU16::MAX).is_met(70_000));
    }

    #[test]
    fn what_starts_and_ends_counts_after_its_own_delay() {
        let config = tracker(Quorum::AtLeast(NonZeroU16::MIN), 3, 2);
        let mut state = ProcessState::default();
        assert_eq!((state.verdict(), state.count()), (Verdict::Unknown, None));
        assert!(state.note(at(0), &config, 0), "the first count counts at once");
        assert_eq!(state.verdict(), Verdict::Bad);
        assert!(!state.note(at(1), &config, 1));
        assert_eq!(state.deadline(), Some(at(3)));
        assert!(state.handle_timeout(at(3)) && state.verdict() == Verdict::Good);
        assert!(!state.note(at(4), &config, 0));
        assert!(!state.note(at(5), &config, 2), "one that is started again in time was never missed");
        assert!(!state.handle_timeout(at(60)));
        assert!(!state.note(at(61), &config, 0));
        assert_eq!(state.deadline(), Some(at(64)));
    }

    #[test]
    fn one_too_many_is_a_matter_of_starts() {
        let config = tracker(Quorum::Between(IdRange::new(1, 1).unwrap()), 0, 2);
        let mut state = ProcessState::default();
        assert!(state.note(at(0), &config, 1));
        assert!(!state.note(at(1), &config, 2), "a fork that runs another program the next moment");
        assert!(!state.note(at(2), &config, 1));
        assert_eq!((state.verdict(), state.deadline()), (Verdict::Good, None));
        assert!(state.note(at(3), &config, 0) && state.verdict() == Verdict::Bad);
    }

    #[test]
    fn a_new_quorum_holds_at_once() {
        let before = tracker(Quorum::AtLeast(NonZeroU16::MIN), 5, 5);
        let mut state = ProcessState::default();
        let after = tracker(Quorum::None, 5, 5);
        assert!(!state.reconfigure(at(0), &before, &after), "nothing is known");
        assert!(state.note(at(0), &before, 1));
        assert!(!state.reconfigure(at(1), &before, &before));
        assert!(state.reconfigure(at(1), &before, &after) && state.verdict() == Verdict::Bad);
    }
}
