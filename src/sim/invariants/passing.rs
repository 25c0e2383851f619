//! What was in force for a part of a wake-up only. A daemon that stood still finds more than one event when it goes on,
//! and handles them one by one: what it asks for by one of them may be out of date by the next. That is no mistake, as
//! long as it is taken back within the wake-up.

use std::sync::Arc;

use crate::kernel::{Link, LinkKey};
use crate::net::{InterfaceIndex, InterfaceName, Prefix};
use crate::node::NodeConfig;
use crate::sim::table::Table;

/// Configurations and names that came to an end within a wake-up.
#[derive(Clone, Debug, Default)]
pub(super) struct Passing {
    configs: Vec<Arc<NodeConfig>>,
    names: Vec<(InterfaceIndex, InterfaceName)>,
}

impl Passing {
    /// Another wake-up.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// A configuration ends that something was handled by.
    pub(super) fn note_config(&mut self, config: &Arc<NodeConfig>) {
        self.configs.push(Arc::clone(config));
    }

    /// The daemon is told of an interface that it may have known by another name.
    pub(super) fn note_link(&mut self, before: &Table<InterfaceIndex, Link>, link: &Link) {
        let before = before.get(&link.key).filter(|before| before.name != link.name);
        self.names.extend(before.map(|before| (link.key, before.name.clone())));
    }

    /// Whether an address belonged on an interface, which is called `name` now, by one of the configurations (`config` is
    /// in force now) and one of the names.
    pub(super) fn was_here(
        &self,
        config: &NodeConfig,
        link: InterfaceIndex,
        name: Option<&InterfaceName>,
        prefix: Prefix,
    ) -> bool {
        let past = self.names.iter().filter(|(key, _)| *key == link).map(|(_, name)| name);
        let names: Vec<&InterfaceName> = name.into_iter().chain(past).collect();
        let mut configs = self.configs.iter().map(|config| &**config).chain([config]);
        configs.any(|config| places(config, prefix).any(|place| names.contains(&place)))
    }

    /// Whether one of the configurations had no such interface of the daemon's own.
    pub(super) fn was_without(&self, key: &LinkKey, links: &Table<InterfaceIndex, Link>) -> bool {
        self.configs.iter().any(|config| !has_link(config, key, links))
    }
}

/// Whether a daemon is configured with an interface of its own, on a parent that is there.
pub(super) fn has_link(config: &NodeConfig, key: &LinkKey, links: &Table<InterfaceIndex, Link>) -> bool {
    let parent = links.get(&key.parent).map(|parent| &parent.name);
    let mut own = config.links.iter();
    own.any(|link| (link.name.packed(), link.kind, Some(&link.parent)) == (key.name, key.kind, parent))
}

/// The interfaces that an address belongs on.
pub(super) fn places(config: &NodeConfig, prefix: Prefix) -> impl Iterator<Item = &InterfaceName> {
    let of_routers = config.routers.iter().flat_map(|router| {
        let all = router.addresses.iter().chain(&router.excluded);
        all.map(|a| (a.spec.prefix, a.interface.as_ref().unwrap_or(&router.interfaces.addresses)))
    });
    let statics = config.statics.addresses.iter().map(|a| (a.spec.prefix, &a.interface));
    of_routers.chain(statics).filter(move |(of, _)| *of == prefix).map(|(_, name)| name)
}
