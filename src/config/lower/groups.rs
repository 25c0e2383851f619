//! Sync groups, track groups and GARP groups: sets of instances and of interfaces.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::fields::duration;
use super::interfaces::Interfaces;
use super::order::{Defined, duplicate};
use crate::config::diagnostics::Diagnostic;
use crate::config::model::{Config, GarpGroup as GarpBlock, TrackGroup as TrackBlock};
use crate::config::schema::nearest;
use crate::config::source::Position;
use crate::config::values::{At, Name, Reading};
use crate::net::InterfaceName;
use crate::node::TrackGroup;
use crate::vrrp::{GarpGroup, RouterConfig, SyncGroupConfig};

/// The sync groups whose members exist.
pub(super) fn sync_groups(
    reading: &Reading<'_>,
    config: &Config,
    routers: &[RouterConfig],
) -> Vec<SyncGroupConfig> {
    let names: BTreeSet<&str> = routers.iter().map(|router| &*router.name).collect();
    let mut first_defined: BTreeMap<&str, Position> = BTreeMap::new();
    let mut member_of: BTreeMap<&str, Position> = BTreeMap::new();
    let mut groups = Vec::new();
    for block in &config.sync_groups {
        let (name, at) = (&*block.header.value.0, block.header.at);
        if let Some(first) = first_defined.get(name) {
            duplicate(reading, "vrrp_sync_group", name, at, *first, true);
            continue;
        }
        first_defined.insert(name, at);
        let mut members: Vec<Arc<str>> = Vec::new();
        for entry in &block.group {
            let member = &*entry.value.0;
            if !names.contains(member) {
                unknown_member(reading, entry, &names);
            } else if let Some(other) = member_of.get(member) {
                reading.diagnostics.push(
                    Diagnostic::error("in-two-groups", format!("`{member}` is in a sync group already"))
                        .at(reading.sources.word_at(entry.at))
                        .label("ignored")
                        .related(reading.sources.word_at(*other), "first here"),
                );
            } else {
                member_of.insert(member, entry.at);
                members.push(member.into());
            }
        }
        if members.len() < 2 {
            let few = if members.is_empty() { "no members" } else { "one member only" };
            let diagnostic = Diagnostic::error("small-group", format!("the sync group `{name}` has {few}"))
                .at(reading.sources.word_at(at));
            reading.diagnostics.push(if members.is_empty() {
                diagnostic.label("ignored").help("name its instances in group { … }")
            } else {
                diagnostic.help("a group of one has no effect: add members or remove it")
            });
        }
        if !members.is_empty() {
            groups.push(SyncGroupConfig { name: name.into(), members });
        }
    }
    groups
}

fn unknown_member(reading: &Reading<'_>, entry: &At<Name<0>>, names: &BTreeSet<&str>) {
    let diagnostic =
        Diagnostic::error("no-such-name", format!("there is no vrrp_instance named `{}`", entry.value.0))
            .at(reading.sources.word_at(entry.at))
            .note("the member is ignored");
    reading.diagnostics.push(match nearest(&entry.value.0, names.iter().copied()) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic,
    });
}

/// Takes a `track_group`. What keepalived passes over in silence is a warning.
pub(super) fn track_group(
    reading: &Reading<'_>,
    defined: &mut Defined,
    block: &TrackBlock,
) -> Option<TrackGroup> {
    let (name, at) = (&*block.header.value.0, block.header.at);
    if let Some(first) = defined.track_groups.first(name) {
        duplicate(reading, "track_group", name, at, first, true);
        return None;
    }
    defined.track_groups.define(name, at, ());
    let mut members: Vec<Arc<str>> = Vec::new();
    for entry in &block.group {
        if !members.iter().any(|member| **member == *entry.value.0) {
            members.push((&*entry.value.0).into());
        }
    }
    if members.is_empty() {
        reading.diagnostics.push(
            Diagnostic::warning("small-group", format!("the track_group `{name}` has no members"))
                .at(reading.sources.word_at(at))
                .help("name its instances in group { … }"),
        );
    }
    Some(TrackGroup { name: name.into(), members })
}

/// Leaves only members that exist, each in one group.
pub(super) fn settle_track_groups(
    reading: &Reading<'_>,
    config: &Config,
    groups: &mut [TrackGroup],
    routers: &[RouterConfig],
) {
    let names: BTreeSet<&str> = routers.iter().map(|router| &*router.name).collect();
    let mut taken: BTreeSet<Arc<str>> = BTreeSet::new();
    let place = |group: &str, member: &str| {
        let block = config.track_groups.iter().find(|block| *block.header.value.0 == *group)?;
        block.group.iter().find(|entry| *entry.value.0 == *member).map(|entry| entry.at)
    };
    for group in groups {
        let name = Arc::clone(&group.name);
        group.members.retain(|member| {
            let fault = if !names.contains(&**member) {
                format!("there is no vrrp_instance named `{member}`")
            } else if !taken.insert(Arc::clone(member)) {
                format!("`{member}` is in a track_group already")
            } else {
                return true;
            };
            let diagnostic = Diagnostic::warning("track-group-member", fault).label("ignored");
            reading.diagnostics.push(match place(&name, member) {
                Some(at) => diagnostic.at(reading.sources.word_at(at)),
                None => diagnostic,
            });
            false
        });
    }
}

/// The GARP groups, each interface in one of them.
pub(super) fn garp_groups(reading: &Reading<'_>, interfaces: &Interfaces, config: &Config) -> Vec<GarpGroup> {
    let mut taken: BTreeMap<InterfaceName, Position> = BTreeMap::new();
    config.garp_groups.iter().filter_map(|block| garp_group(reading, interfaces, block, &mut taken)).collect()
}

fn garp_group(
    reading: &Reading<'_>,
    interfaces: &Interfaces,
    block: &GarpBlock,
    taken: &mut BTreeMap<InterfaceName, Position>,
) -> Option<GarpGroup> {
    let mut group = GarpGroup {
        interfaces: Vec::new(),
        arp_interval: duration(block.garp_interval.as_ref()),
        ndisc_interval: duration(block.gna_interval.as_ref()),
    };
    let lines = block.interface.iter().chain(&block.interfaces);
    let first_line = lines.clone().next().map(|entry| entry.at);
    for entry in lines {
        let (name, at) = (&entry.value.0, entry.at);
        let too_late = block.interface.as_ref().is_some_and(|single| single.at < at);
        let fault =
            if let Some(first) = taken.get(name) {
                Some((format!("{name} is in a garp_group already"), *first))
            } else {
                block.interface.as_ref().filter(|_| too_late).map(|single| {
                    ("a garp_group has either `interface` or `interfaces`".to_owned(), single.at)
                })
            };
        if let Some((message, first)) = fault {
            reading.diagnostics.push(
                Diagnostic::error("garp-group", message)
                    .at(reading.sources.word_at(at))
                    .label("ignored")
                    .related(reading.sources.word_at(first), "first here"),
            );
        } else if interfaces.check(reading, name, at) {
            taken.insert(name.clone(), at);
            group.interfaces.push(name.clone());
        }
    }
    if group.arp_interval.is_none() && group.ndisc_interval.is_none() {
        let diagnostic = Diagnostic::error("garp-group", "this garp_group has no interval")
            .label("ignored")
            .help("write garp_interval or gna_interval");
        reading.diagnostics.push(match first_line {
            Some(at) => diagnostic.at(reading.sources.word_at(at)),
            None => diagnostic,
        });
        return None;
    }
    if first_line.is_none() {
        let at = block.garp_interval.as_ref().or(block.gna_interval.as_ref()).map(|entry| entry.at);
        let diagnostic = Diagnostic::warning("garp-group", "this garp_group has no interface")
            .label("without effect")
            .help("write interface or interfaces { … }");
        reading.diagnostics.push(match at {
            Some(at) => diagnostic.at(reading.sources.word_at(at)),
            None => diagnostic,
        });
    }
    (!group.interfaces.is_empty()).then_some(group)
}
