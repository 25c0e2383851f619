//! What sync groups make of trackers: those of the group count for all members, and weights that would set the members
//! of a group apart do not count.
//!
//! As in keepalived: a member's own script with a weight is not tracked, its file has weight 0 (any number but 0 is a
//! fault), its interface keeps its weight; `sync_group_tracking_weight` lets all of them count. A group with an owner
//! (priority 255) takes no weights at all. What a member and its group both track, the group alone does.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::diagnostics::Diagnostic;
use crate::config::model::Config;
use crate::config::source::Position;
use crate::config::values::{At, Reading, TrackedName};
use crate::track::{Owner, TrackReference, Tracker, Weight};
use crate::vrrp::{RouterConfig, SyncGroupConfig};

/// A group, by each of its members.
struct Membership<'a> {
    name: &'a Arc<str>,
    keeps_weights: bool,
    has_owner: bool,
}

/// Leaves of `references` what counts in the groups.
pub(super) fn settle(
    reading: &Reading<'_>,
    config: &Config,
    groups: &[SyncGroupConfig],
    routers: &[RouterConfig],
    references: &mut Vec<(Owner, TrackReference)>,
) {
    let mut by_member: BTreeMap<&str, Membership<'_>> = BTreeMap::new();
    for group in groups {
        let mut blocks = config.sync_groups.iter();
        let block = blocks.find(|block| *block.header.value.0 == *group.name);
        let keeps_weights = block.is_some_and(|block| block.sync_group_tracking_weight.is_some());
        let is_member = |router: &&RouterConfig| group.members.contains(&router.name);
        let has_owner = routers.iter().filter(is_member).any(|router| router.priority.is_owner());
        for member in &group.members {
            by_member.insert(member, Membership { name: &group.name, keeps_weights, has_owner });
        }
    }
    let of_groups: Vec<(Arc<str>, Tracker)> = references
        .iter()
        .filter_map(|(owner, reference)| match owner {
            Owner::SyncGroup(name) => Some((Arc::clone(name), reference.tracker.clone())),
            Owner::Instance(_) => None,
        })
        .collect();
    references.retain_mut(|(owner, reference)| match owner {
        Owner::SyncGroup(name) => {
            let owned = by_member.values().any(|group| *group.name == *name && group.has_owner);
            if owned && reference.weight.value() != 0 {
                let at = of_group(config, name, &reference.tracker);
                let message = "a group with an owner of addresses (priority 255) takes no weights";
                say(reading, Diagnostic::error("group-weight", message).label("counts as weight 0"), at);
                reference.weight = without_value(reference.weight);
            }
            true
        }
        Owner::Instance(name) => {
            let Some(group) = by_member.get(&**name) else { return true };
            let at = || of_instance(config, name, &reference.tracker);
            if of_groups.iter().any(|(of, tracker)| of == group.name && *tracker == reference.tracker) {
                let message = format!("the sync group `{}` tracks it already", group.name);
                say(reading, Diagnostic::warning("tracked-twice", message).label("ignored"), at());
                return false;
            }
            if group.keeps_weights || reference.weight.value() == 0 {
                return true;
            }
            let (stays, what) = match reference.tracker {
                Tracker::Script(_) => (false, "it is not tracked"),
                Tracker::File(_) => (true, "it counts as weight 0: any number but 0 is a fault"),
                Tracker::Interface(_) => (true, "the weight counts all the same"),
                // keepalived says nothing about these.
                Tracker::Process(_) | Tracker::Bfd(_) => return true,
            };
            let message = format!("`{name}`, of the sync group `{}`, tracks this with a weight", group.name);
            let diagnostic = Diagnostic::error("group-weight", message).label(what);
            let help = "track it in the group, or write sync_group_tracking_weight there";
            say(reading, diagnostic.help(help), at());
            if matches!(reference.tracker, Tracker::File(_)) {
                reference.weight = without_value(reference.weight);
            }
            stays
        }
    });
}

fn without_value(weight: Weight) -> Weight {
    Weight::new(0, weight.is_reversed()).unwrap_or_default()
}

fn say(reading: &Reading<'_>, diagnostic: Diagnostic, at: Option<Position>) {
    reading.diagnostics.push(match at {
        Some(at) => diagnostic.at(reading.sources.word_at(at)),
        None => diagnostic,
    });
}

/// Where the `track_*` block of a block that has them all refers to a tracker.
macro_rules! place {
    ($block:expr, $tracker:expr) => {
        match $tracker {
            Tracker::Interface(name) => find(&$block.track_interface, name.as_str()),
            Tracker::Script(name) => find(&$block.track_script, name),
            Tracker::File(name) => find(&$block.track_file, name),
            Tracker::Process(name) => find(&$block.track_process, name),
            Tracker::Bfd(name) => find(&$block.track_bfd, name),
        }
    };
}

/// Where an instance or a group tracks this.
pub(super) fn place(config: &Config, owner: &Owner, tracker: &Tracker) -> Option<Position> {
    match owner {
        Owner::Instance(name) => of_instance(config, name, tracker),
        Owner::SyncGroup(name) => of_group(config, name, tracker),
    }
}

fn of_instance(config: &Config, name: &str, tracker: &Tracker) -> Option<Position> {
    let block = config.instances.iter().find(|block| *block.header.value.0 == *name)?;
    place!(block, tracker)
}

fn of_group(config: &Config, name: &str, tracker: &Tracker) -> Option<Position> {
    let block = config.sync_groups.iter().find(|block| *block.header.value.0 == *name)?;
    place!(block, tracker)
}

fn find<const LIMIT: i32>(list: &[At<TrackedName<LIMIT>>], name: &str) -> Option<Position> {
    list.iter().find(|entry| *entry.value.name == *name).map(|entry| entry.at)
}
