//! How long tries of checks take, in classes.

use serde::{Deserialize, Serialize};

use crate::time::{Duration, micros};

/// Upper bounds of the classes in microseconds: 1 ms to 10 s.
pub(crate) const LATENCY_BOUNDS_US: [u64; 13] = [
    1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000,
    10_000_000,
];

/// Counts of tries by how long they took.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latencies {
    /// Up to each of [`LATENCY_BOUNDS_US`], without those of lower classes.
    pub(crate) classes: [u64; LATENCY_BOUNDS_US.len()],
    /// Longer than all of them.
    pub(crate) above: u64,
    /// All together.
    pub(crate) sum_us: u64,
}

impl Latencies {
    /// Counts a try.
    pub(crate) fn note(&mut self, latency: Duration) {
        let us = micros(latency);
        let class = LATENCY_BOUNDS_US.partition_point(|bound| *bound < us);
        *self.classes.get_mut(class).unwrap_or(&mut self.above) += 1;
        self.sum_us = self.sum_us.saturating_add(us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_try_is_counted_in_the_first_class_that_it_fits_in() {
        let mut latencies = Latencies::default();
        for us in [0, 1_000, 1_001, 10_000_000, 10_000_001] {
            latencies.note(Duration::from_micros(us));
        }
        assert_eq!((latencies.classes[0], latencies.classes[1], latencies.classes[12]), (2, 1, 1));
        assert_eq!((latencies.above, latencies.sum_us), (1, 20_002_002));
    }
}
