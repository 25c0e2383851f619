//! Effective priority: the configured one plus named contributions of trackers.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::wire::vrrp::Priority;

/// A base priority and what trackers add to it (`weight` of a tracker).
#[derive(Clone, Debug)]
pub struct EffectivePriority {
    base: Priority,
    contributions: BTreeMap<Arc<str>, i32>,
}

impl EffectivePriority {
    /// Without contributions.
    pub const fn new(base: Priority) -> Self {
        Self { base, contributions: BTreeMap::new() }
    }

    /// Replaces the configured priority.
    pub const fn set_base(&mut self, base: Priority) {
        self.base = base;
    }

    /// Replaces what one tracker adds, -254 to 254; 0 removes it.
    pub fn set_contribution(&mut self, name: &Arc<str>, weight: i32) {
        if weight == 0 {
            self.contributions.remove(name);
        } else {
            self.contributions.insert(Arc::clone(name), weight);
        }
    }

    /// The configured priority.
    pub const fn base(&self) -> Priority {
        self.base
    }

    /// What each tracker adds.
    pub fn contributions(&self) -> impl Iterator<Item = (&str, i32)> {
        self.contributions.iter().map(|(name, weight)| (&**name, *weight))
    }

    /// The sum, kept within 1 to 254. An owner (255) never changes and nobody else becomes one.
    pub fn get(&self) -> Priority {
        if self.base.is_owner() {
            return self.base;
        }
        let sum = self
            .contributions
            .values()
            .fold(i64::from(self.base.0), |sum, &weight| sum.saturating_add(i64::from(weight)));
        Priority(u8::try_from(sum.clamp(1, 254)).unwrap_or(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contributions_add_up_within_1_and_254() {
        let mut priority = EffectivePriority::new(Priority(100));
        priority.set_contribution(&"script".into(), -20);
        priority.set_contribution(&"file".into(), 5);
        assert_eq!(priority.get(), Priority(85));
        priority.set_contribution(&"file".into(), 250);
        assert_eq!(priority.get(), Priority(254));
        priority.set_contribution(&"file".into(), -250);
        assert_eq!(priority.get(), Priority(1));
        priority.set_contribution(&"file".into(), 0);
        assert_eq!(priority.get(), Priority(80));
    }

    #[test]
    fn an_owner_stays_owner() {
        let mut priority = EffectivePriority::new(Priority::OWNER);
        priority.set_contribution(&"script".into(), -20);
        assert_eq!(priority.get(), Priority::OWNER);
    }
}
