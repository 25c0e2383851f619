//! Effective priority: the configured one plus named contributions of trackers.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::wire::vrrp::Priority;

/// A base priority and what trackers add to it (`weight` of a tracker).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EffectivePriority {
    base: Priority,
    contributions: BTreeMap<Arc<str>, i32>,
    /// An owner whose place another owner has taken.
    lowered: bool,
}

impl EffectivePriority {
    /// Without contributions.
    pub const fn new(base: Priority) -> Self {
        Self { base, contributions: BTreeMap::new(), lowered: false }
    }

    /// Replaces the configured priority.
    pub const fn set_base(&mut self, base: Priority) {
        self.base = base;
    }

    /// An owner (255) has the priority 254 while another owner is in its place.
    pub(super) const fn set_lowered(&mut self, lowered: bool) {
        self.lowered = lowered;
    }

    /// Replaces what trackers add, -254 to 254 each; those of 0 are left out.
    pub fn set_contributions(&mut self, mut contributions: BTreeMap<Arc<str>, i32>) {
        contributions.retain(|_, weight| *weight != 0);
        self.contributions = contributions;
    }

    /// The configured priority.
    pub const fn base(&self) -> Priority {
        self.base
    }

    /// What each tracker adds.
    pub fn contributions(&self) -> impl Iterator<Item = (&str, i32)> {
        self.contributions.iter().map(|(name, weight)| (&**name, *weight))
    }

    /// The sum, kept within 1 to 254. No tracker changes an owner's (255), and nobody else becomes one.
    pub fn get(&self) -> Priority {
        if self.base.is_owner() {
            return if self.lowered { Priority(254) } else { self.base };
        }
        let sum = self
            .contributions
            .values()
            .fold(i64::from(self.base.0), |sum, &weight| sum.saturating_add(i64::from(weight)));
        Priority(u8::try_from(sum.clamp(1, 254)).unwrap_or(1))
    }
}

impl fmt::Display for EffectivePriority {
    /// `100`, or with its parts `100 + 10 chk_a - 30 eth1 = 80`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.base)?;
        for (name, weight) in self.contributions() {
            let sign = if weight < 0 { '-' } else { '+' };
            write!(f, " {sign} {} {name}", weight.unsigned_abs())?;
        }
        if self.get() == self.base { Ok(()) } else { write!(f, " = {}", self.get()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(base: Priority, contributions: &[(&str, i32)]) -> EffectivePriority {
        let mut priority = EffectivePriority::new(base);
        priority
            .set_contributions(contributions.iter().map(|&(name, weight)| (name.into(), weight)).collect());
        priority
    }

    #[test]
    fn contributions_add_up_within_1_and_254() {
        for (script, file, effective) in [(-20, 5, 85), (-20, 250, 254), (-20, -250, 1), (-20, 0, 80)] {
            let priority = with(Priority(100), &[("script", script), ("file", file)]);
            assert_eq!(priority.get(), Priority(effective), "100 {script:+} {file:+}");
        }
        assert_eq!(with(Priority(100), &[("script", 0)]).contributions().count(), 0);
    }

    #[test]
    fn an_owner_stays_owner() {
        assert_eq!(with(Priority::OWNER, &[("script", -20)]).get(), Priority::OWNER);
    }
}
