//! When results count: a live server may fail `retry` times in a row before it is down; a dead one is up with its first
//! success, and the first result of all counts at once.

use crate::check::action::WeightAdvice;

/// What the results so far say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Life {
    up: Option<bool>,
    /// Failures in a row that were forgiven.
    failures: u32,
}

/// What a failure means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Failure {
    /// So many in a row; it is up all the same.
    Forgiven(u32),
    /// It is down.
    Counts,
}

/// What a reader was told last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Told {
    pub(super) up: bool,
    pub(super) weight: Option<WeightAdvice>,
}

impl Life {
    /// `None` before the first result.
    pub(super) const fn up(self) -> Option<bool> {
        self.up
    }

    /// All of a check was good.
    pub(super) const fn passed(&mut self) {
        *self = Self { up: Some(true), failures: 0 };
    }

    /// A part of it was good.
    pub(super) const fn part_passed(&mut self) {
        self.failures = 0;
    }

    /// It failed, of which `retry` times are forgiven.
    pub(super) const fn failed(&mut self, retry: u32) -> Failure {
        if matches!(self.up, Some(true)) && self.failures < retry {
            self.failures += 1;
            return Failure::Forgiven(self.failures);
        }
        *self = Self { up: Some(false), failures: 0 };
        Failure::Counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_a_live_server_are_forgiven_until_they_are_too_many() {
        let mut life = Life::default();
        life.passed();
        assert_eq!(life.failed(2), Failure::Forgiven(1));
        assert_eq!(life.failed(2), Failure::Forgiven(2));
        life.passed();
        assert_eq!(life.failed(2), Failure::Forgiven(1), "in a row");
        assert_eq!(life.failed(2), Failure::Forgiven(2));
        assert_eq!(life.failed(2), Failure::Counts);
        assert_eq!(life.failed(2), Failure::Counts);
        life.passed();
        assert_eq!(life.up(), Some(true));
        let mut new = Life::default();
        assert_eq!(new.failed(9), Failure::Counts, "the first result counts at once");
        assert_eq!(new.up(), Some(false));
    }
}
