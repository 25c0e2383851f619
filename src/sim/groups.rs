//! Random sync groups: the routers of a LAN, or many small ones, tied together on each machine.

use std::sync::Arc;

use super::trackers;
use crate::node::NodeConfig;
use crate::prng::Prng;
use crate::track::{Owner, TrackReference, Tracker, Weight};
use crate::vrrp::SyncGroupConfig;

/// The name of the sync group.
const NAME: &str = "G";

/// How the routers of a LAN are tied together.
#[derive(Clone, Debug, Default)]
pub(super) struct Grouping {
    /// Names of the routers of the sync group; empty where there is none.
    members: Vec<Arc<str>>,
}

/// How many routers of their own a sync group has; `None` where it is made of the others, or where there is none.
pub(super) fn further(prng: &mut Prng) -> Option<u8> {
    match prng.below(256) {
        0..50 => Some(prng.between(2, 6) as u8),
        // Many take their time.
        50 => Some(prng.between(7, 50) as u8),
        _ => None,
    }
}

impl Grouping {
    /// Perhaps ties these together; always where there are many.
    pub(super) fn draw(prng: &mut Prng, names: Vec<Arc<str>>) -> Self {
        let few = names.len() < 4;
        if names.len() < 2 || (few && prng.chance(3, 4)) { Self::default() } else { Self { members: names } }
    }

    /// The names of its routers, if there is one.
    pub(super) fn members(&self) -> Option<&[Arc<str>]> {
        (!self.members.is_empty()).then_some(&self.members)
    }

    /// Ties those together that a machine has. With `or_none`, who has not all of them has none.
    pub(super) fn tie(&self, config: &mut NodeConfig, or_none: bool) {
        if self.members.is_empty() {
            return;
        }
        let has = |name: &Arc<str>| config.routers.iter().any(|router| router.name == *name);
        let mut present: Vec<Arc<str>> = self.members.iter().filter(|name| has(name)).cloned().collect();
        if or_none && present.len() < self.members.len() {
            config.routers.retain(|router| !self.members.contains(&router.name));
            present.clear();
        }
        config.sync_groups.clear();
        if !present.is_empty() {
            config.sync_groups.push(SyncGroupConfig { name: NAME.into(), members: present });
        }
    }

    /// After a change of the routers: ties them together as before, or some of them, or none.
    pub(super) fn retie(&self, prng: &mut Prng, config: &mut NodeConfig) {
        if self.members.is_empty() {
            return;
        }
        self.tie(config, false);
        match prng.below(6) {
            0 => config.sync_groups.clear(),
            1 => {
                for group in &mut config.sync_groups {
                    group.members.retain(|_| prng.chance(2, 3));
                }
                config.sync_groups.retain(|group| !group.members.is_empty());
            }
            2 => {
                // Two halves, the second under another name.
                if let Some(group) = config.sync_groups.first_mut() {
                    let members = group.members.split_off(group.members.len() / 2);
                    if group.members.is_empty() {
                        group.members = members;
                    } else {
                        config.sync_groups.push(SyncGroupConfig { name: "H".into(), members });
                    }
                }
            }
            _ => {}
        }
    }

    /// Perhaps has the group depend on the script that there is.
    pub(super) fn track(&self, prng: &mut Prng, config: &mut NodeConfig) {
        if config.sync_groups.is_empty() || prng.chance(1, 2) {
            return;
        }
        let weight = if prng.chance(1, 2) { Weight::FAULT } else { trackers::weight(prng) };
        let tracker = Tracker::Script(trackers::SCRIPT.into());
        config.tracking.references.push((Owner::SyncGroup(NAME.into()), TrackReference { tracker, weight }));
    }
}
