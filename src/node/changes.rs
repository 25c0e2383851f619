//! What a new configuration changes, router by router.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::vrrp::{RouterConfig, VirtualAddress};

/// The difference between two lists of virtual routers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changes {
    /// Routers that come.
    pub added: Vec<Arc<str>>,
    /// Routers that go.
    pub removed: Vec<Arc<str>>,
    /// Routers that stay and change, and what of them.
    pub changed: Vec<(Arc<str>, Vec<String>)>,
    /// How many stay as they are.
    pub unchanged: usize,
}

impl Changes {
    /// What replacing `before` by `after` changes. Routers are the same by their identity, not by their names.
    pub fn between<'a>(
        before: impl Iterator<Item = &'a RouterConfig>,
        after: impl Iterator<Item = &'a RouterConfig>,
    ) -> Self {
        let mut old: BTreeMap<_, _> = before.map(|config| (config.identity(), config)).collect();
        let mut changes = Self::default();
        for config in after {
            match old.remove(&config.identity()) {
                None => changes.added.push(Arc::clone(&config.name)),
                Some(before) if before == config => changes.unchanged += 1,
                Some(before) => changes.changed.push((Arc::clone(&config.name), differences(before, config))),
            }
        }
        changes.removed = old.into_values().map(|config| Arc::clone(&config.name)).collect();
        changes
    }

    /// Whether nothing changes.
    pub const fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// In words, a line for each router concerned.
    pub fn lines(&self) -> Vec<String> {
        let added = self.added.iter().map(|name| format!("virtual router {name} is new"));
        let removed = self.removed.iter().map(|name| format!("virtual router {name} is removed"));
        let changed =
            self.changed.iter().map(|(name, what)| format!("virtual router {name}: {}", what.join(", ")));
        let mut lines: Vec<String> = added.chain(removed).chain(changed).collect();
        if lines.is_empty() {
            lines.push("nothing is changed".to_owned());
        }
        lines
    }
}

fn differences(before: &RouterConfig, after: &RouterConfig) -> Vec<String> {
    let mut found = Vec::new();
    let mut note = |differs: bool, text: String| {
        if differs {
            found.push(text);
        }
    };
    note(before.name != after.name, format!("was named {}", before.name));
    note(before.priority != after.priority, format!("priority {} -> {}", before.priority, after.priority));
    note(before.interval != after.interval, format!("advert_int {} -> {}", before.interval, after.interval));
    note(before.preempt != after.preempt, if after.preempt { "preempt" } else { "nopreempt" }.to_owned());
    note(
        before.preempt_delay != after.preempt_delay,
        format!(
            "preempt_delay {} -> {}",
            before.preempt_delay.as_secs_f64(),
            after.preempt_delay.as_secs_f64()
        ),
    );
    for (what, old, new) in [
        ("address", &before.addresses, &after.addresses),
        ("excluded address", &before.excluded, &after.excluded),
    ] {
        let (old, new) = (by_prefix(old), by_prefix(new));
        for prefix in new.difference(&old) {
            note(true, format!("{what} {prefix} added"));
        }
        for prefix in old.difference(&new) {
            note(true, format!("{what} {prefix} removed"));
        }
    }
    if found.is_empty() {
        found.push("other settings".to_owned());
    }
    found
}

fn by_prefix(addresses: &[VirtualAddress]) -> BTreeSet<String> {
    addresses.iter().map(|address| address.spec.prefix.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::AddressSpec;
    use crate::net::{Family, Prefix};
    use crate::wire::vrrp::{Priority, Vrid};

    fn router(name: &str, vrid: u8) -> RouterConfig {
        RouterConfig::new(name, Vrid::new(vrid).unwrap(), Family::Ipv4, "eth0".parse().unwrap())
    }

    #[test]
    fn what_comes_goes_and_changes_is_named() {
        let spec = AddressSpec::new(Prefix::new("192.0.2.1".parse().unwrap(), 24).unwrap());
        let before = [router("A", 1), router("B", 2), router("C", 3)];
        let mut after = [router("A", 1), router("B", 2), router("D", 4)];
        after[1].priority = Priority(150);
        after[1].addresses = vec![VirtualAddress { spec, interface: None, track: true }];
        let changes = Changes::between(before.iter(), after.iter());
        assert_eq!(changes.unchanged, 1);
        assert_eq!(
            changes.lines(),
            [
                "virtual router D is new",
                "virtual router C is removed",
                "virtual router B: priority 100 -> 150, address 192.0.2.1/24 added",
            ]
        );
        let none = Changes::between(before.iter(), before.iter());
        assert!(none.is_empty());
        assert_eq!(none.lines(), ["nothing is changed"]);
    }
}
