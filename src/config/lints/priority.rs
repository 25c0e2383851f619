//! Priorities: owners that own nothing, weights that move nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::diagnostics::Diagnostic;
use crate::config::model::Config;
use crate::config::source::Position;
use crate::config::values::Reading;
use crate::node::NodeConfig;
use crate::track::{Effect, Owner, Tracker, Verdict};
use crate::vrrp::{EffectivePriority, RouterConfig};
use crate::wire::vrrp::Priority;

/// What the trackers of one router make of its priority.
#[derive(Debug)]
pub(in crate::config) struct Standing {
    base: Priority,
    weighted: Vec<Weighted>,
}

/// A tracker with a weight. Files are left out: what is in them is not known.
#[derive(Debug)]
struct Weighted {
    tracker: Tracker,
    /// Who tracks it.
    owner: Owner,
    good: i32,
    bad: i32,
}

impl Standing {
    /// Of a router, with what the sync groups that it is in track.
    pub(in crate::config) fn new(node: &NodeConfig, router: &RouterConfig) -> Self {
        let concerns = |owner: &Owner| match owner {
            Owner::Instance(name) => *name == router.name,
            Owner::SyncGroup(name) => node
                .sync_groups
                .iter()
                .any(|group| group.name == *name && group.members.contains(&router.name)),
        };
        let weighted = node.tracking.references.iter().filter_map(|(owner, reference)| {
            if matches!(reference.tracker, Tracker::File(_)) || !concerns(owner) {
                return None;
            }
            let effect = |verdict| match reference.weight.effect(verdict) {
                Effect::Weight(weight) => Some(weight),
                Effect::Fault | Effect::Pending => None,
            };
            Some(Weighted {
                tracker: reference.tracker.clone(),
                owner: owner.clone(),
                good: effect(Verdict::Good)?,
                bad: effect(Verdict::Bad)?,
            })
        });
        Self { base: router.priority, weighted: weighted.collect() }
    }

    /// While nothing fails.
    pub(in crate::config) fn well(&self) -> Priority {
        self.priority(|_| false)
    }

    /// While everything with a weight fails.
    pub(in crate::config) fn worst(&self) -> Priority {
        self.priority(|_| true)
    }

    /// What each tracker leaves when it alone fails, of those whose failure should lower the priority.
    pub(in crate::config) fn failures(&self) -> impl Iterator<Item = (&Tracker, Priority)> {
        let falls = self.weighted.iter().enumerate().filter(|(_, weighted)| weighted.bad < weighted.good);
        falls.map(|(failing, weighted)| (&weighted.tracker, self.priority(|index| index == failing)))
    }

    fn priority(&self, fails: impl Fn(usize) -> bool) -> Priority {
        let mut priority = EffectivePriority::new(self.base);
        let contributions: BTreeMap<Arc<str>, i32> = self
            .weighted
            .iter()
            .enumerate()
            .map(|(index, weighted)| {
                let weight = if fails(index) { weighted.bad } else { weighted.good };
                (index.to_string().into(), weight)
            })
            .collect();
        priority.set_contributions(contributions);
        priority.get()
    }
}

/// Weights that cannot matter, whatever the other routers have.
pub(in crate::config) fn weights(
    reading: &Reading<'_>,
    node: &NodeConfig,
    place: impl Fn(&Owner, &Tracker) -> Option<Position>,
) {
    for router in &node.routers {
        let standing = Standing::new(node, router);
        let well = standing.well();
        // Those that only together reach below the limit are meant so.
        if standing.weighted.is_empty() || standing.worst() != well {
            continue;
        }
        let Some((useless, at)) = standing
            .weighted
            .iter()
            .find_map(|weighted| Some((weighted, place(&weighted.owner, &weighted.tracker)?)))
        else {
            continue;
        };
        let why = if router.priority.is_owner() {
            "an owner of the addresses (priority 255) keeps its priority".to_owned()
        } else {
            format!("the priority is {well}, whether it fails or not: it stays within 1 and 254")
        };
        reading.lints.note("weight-without-effect", || {
            let (name, tracker) = (&router.name, &useless.tracker);
            Diagnostic::warning(
                "weight-without-effect",
                format!("`{name}`: the failure of {tracker} moves nothing"),
            )
            .at(reading.sources.word_at(at))
            .label(why)
            .help("write a priority that leaves room for the weight, or weight 0: then a failure is a fault")
        });
    }
}

/// Routers of priority 255 whose addresses are not this host's own.
pub(in crate::config) fn owners(reading: &Reading<'_>, config: &Config, routers: &[RouterConfig]) {
    for block in &config.instances {
        // `state MASTER` without a priority has a remark of its own.
        let Some(entry) = block.priority.as_ref().filter(|entry| entry.value.is_owner()) else { continue };
        let Some(router) = routers.iter().find(|router| *router.name == *block.header.value.0) else {
            continue;
        };
        let mut addresses = router.addresses.iter().map(|address| address.spec.prefix.address());
        let is_own = addresses.any(|address| {
            let is_static =
                config.static_addresses.iter().any(|entry| entry.value.spec.prefix.address() == address);
            let mut held =
                reading.interfaces().into_iter().flatten().flat_map(|interface| &interface.addresses);
            is_static || held.any(|held| held.address() == address)
        });
        if is_own || router.addresses.is_empty() {
            continue;
        }
        reading.lints.note("owner-without-address", || {
            let name = &router.name;
            Diagnostic::hint(
                "owner-without-address",
                format!("`{name}`: 255 is the priority of the addresses' owner"),
            )
            .at(reading.sources.word_at(entry.at))
            .label("no weight lowers it, and it cannot hand over")
            .help("write 254 or less, unless the host has these addresses by itself")
        });
    }
}
