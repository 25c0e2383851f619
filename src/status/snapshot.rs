//! What the daemon can tell of itself at one moment.

use core::fmt;
use core::net::IpAddr;
use std::sync::Arc;

use super::keepalived_lines;
use super::trackers::TrackerStatus;
use crate::net::{InterfaceName, Prefix};
use crate::node::HaNode;
use crate::time::{Duration, Instant, WallTime, micros};
use crate::track::{FileReading, ProcessState, ProcessTracker, ScriptState, ScriptTracker, TrackReference};
use crate::vrrp::{
    Cause, Counters, Peer, Rival, RouterConfig, State, SyncGroup, VirtualAddress, VirtualRouter,
};
use crate::wire::vrrp::{AdvertisementInterval, Priority};

/// Classes of [`Lateness`]: below 64 µs, 128 µs, … 1 s, and beyond.
const CLASSES: usize = 16;

/// How late timers were served.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lateness {
    classes: [u64; CLASSES],
    pub(super) longest: Duration,
    /// Of all together.
    pub(super) sum: Duration,
}

impl Lateness {
    /// Counts one timer.
    pub(crate) fn note(&mut self, late: Duration) {
        let class = (micros(late) >> 6).checked_ilog2().map_or(0, |log| log as usize + 1);
        self.classes[class.min(CLASSES - 1)] += 1;
        self.longest = self.longest.max(late);
        self.sum = self.sum.saturating_add(late);
    }
}

impl Lateness {
    /// The bounds of all classes that have one, in microseconds.
    pub(super) fn bounds() -> impl Iterator<Item = u64> {
        (0..CLASSES - 1).map(|class| 64 << class)
    }

    /// The classes with their bounds in microseconds, the last without; those in which there is nothing are left out.
    pub(super) fn classes(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bound = |class| (class < CLASSES - 1).then_some(64_u64 << class);
        let classes = self.classes.iter().enumerate().map(move |(class, count)| (bound(class), *count));
        classes.filter(|(_, count)| *count > 0)
    }
}

impl fmt::Display for Lateness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bound, count) in self.classes() {
            match bound {
                Some(us) => writeln!(f, "   below {us:>7} us: {count}")?,
                None => writeln!(f, "   {:>7} us or more: {count}", 64_u64 << (CLASSES - 2))?,
            }
        }
        writeln!(f, "   longest: {} us", self.longest.as_micros())
    }
}

/// One virtual router.
#[derive(Clone, Debug)]
pub(crate) struct RouterSnapshot {
    pub(crate) config: RouterConfig,
    pub(crate) state: State,
    pub(crate) source: Option<IpAddr>,
    pub(crate) priority: Priority,
    pub(crate) master: Option<(IpAddr, Priority)>,
    pub(crate) master_interval: AdvertisementInterval,
    pub(crate) master_down: Duration,
    pub(crate) faults: Vec<String>,
    pub(crate) peers: Vec<(IpAddr, Peer)>,
    pub(crate) rivals: Vec<Rival>,
    pub(crate) duplicates: Vec<Prefix>,
    /// Peers whose clock differs too much, and how far each is ahead, in microseconds.
    pub(crate) outside_window: Vec<(IpAddr, i64)>,
    pub(crate) contributions: Vec<(String, i32)>,
    pub(crate) cause: Option<Cause>,
    pub(crate) next_timer: Option<Instant>,
    pub(crate) holds_addresses: bool,
    pub(crate) switching_over: bool,
    pub(crate) yielded: bool,
    /// When it preempts again.
    pub(crate) hold_ends: Option<Instant>,
    /// Maintenance keeps it out of the election.
    pub(crate) maintenance: bool,
    pub(crate) last_transition: WallTime,
    pub(crate) counters: Counters,
    /// How long it was one of two masters.
    pub(crate) two_masters: Duration,
    pub(crate) group: Option<String>,
    /// Everything that it depends on, and whether that is its own or of its sync group.
    pub(crate) tracked: Vec<(TrackReference, bool)>,
}

impl RouterSnapshot {
    /// The interface of our own that holds its addresses, if there is one.
    pub(super) fn own_interface(&self) -> Option<&InterfaceName> {
        let interfaces = &self.config.interfaces;
        interfaces.base.as_ref().map(|_| &interfaces.addresses)
    }

    /// What keepalived calls its interface.
    pub(super) fn working_interface(&self) -> Option<&InterfaceName> {
        self.own_interface().or_else(|| self.config.interfaces.hears_by())
    }

    /// Some of its addresses, as keepalived's dumps write them.
    pub(super) fn address_lines(&self, addresses: &[VirtualAddress]) -> Vec<String> {
        let (set, filtered) = (self.holds_addresses, self.holds_addresses && !self.config.accept);
        let line = |of| keepalived_lines::address(of, &self.config.interfaces, set, filtered);
        addresses.iter().map(line).collect()
    }
}

/// One sync group.
#[derive(Clone, Debug)]
pub(crate) struct GroupSnapshot {
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) cause: Option<Cause>,
    pub(crate) last_transition: WallTime,
    pub(crate) transitions: u64,
    /// Maintenance keeps it out of the election.
    pub(crate) maintenance: bool,
    /// The members' names and whether each is in fault.
    pub(crate) members: Vec<(String, bool)>,
}

/// One tracked file.
#[derive(Clone, Debug)]
pub(crate) struct FileSnapshot {
    pub(crate) name: Arc<str>,
    pub(crate) path: Arc<str>,
    pub(crate) reading: Option<FileReading>,
}

/// All of them.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) taken_at: Instant,
    pub(crate) routers: Vec<RouterSnapshot>,
    pub(crate) groups: Vec<GroupSnapshot>,
    pub(crate) trackers: Vec<TrackerStatus>,
    pub(crate) scripts: Vec<(ScriptTracker, ScriptState)>,
    pub(crate) files: Vec<FileSnapshot>,
    pub(crate) processes: Vec<(ProcessTracker, ProcessState)>,
    pub(crate) unknown_vrids: u64,
    pub(crate) send_failures: u64,
    pub(crate) lateness: Lateness,
}

impl Snapshot {
    /// Describes a node.
    pub(crate) fn of(now: Instant, node: &HaNode, lateness: &Lateness, send_failures: u64) -> Self {
        let trackers = node.trackers();
        let file = |(name, path, reading): (&Arc<str>, &Arc<str>, _)| FileSnapshot {
            name: Arc::clone(name),
            path: Arc::clone(path),
            reading,
        };
        Self {
            taken_at: now,
            routers: node.routers().map(|of| router(node, of, now)).collect(),
            groups: node.sync_groups().map(|of| group(node, of)).collect(),
            trackers: TrackerStatus::of(trackers),
            scripts: trackers.scripts().map(|(script, state)| (script.clone(), state.clone())).collect(),
            files: trackers.files().map(file).collect(),
            processes: trackers.processes().map(|(process, state)| (process.clone(), *state)).collect(),
            unknown_vrids: node.unknown_vrids(),
            send_failures,
            lateness: lateness.clone(),
        }
    }
}

fn group(node: &HaNode, group: &SyncGroup) -> GroupSnapshot {
    let members = group.members().iter().filter_map(|member| node.router(*member));
    GroupSnapshot {
        name: group.name().to_string(),
        state: group.state(),
        cause: group.last_cause().cloned(),
        last_transition: group.last_transition(),
        transitions: group.transitions(),
        maintenance: node.maintenance().is_some(),
        members: members
            .map(|router| (router.config().name.to_string(), router.state() == State::Fault))
            .collect(),
    }
}

fn router(node: &HaNode, router: &VirtualRouter, now: Instant) -> RouterSnapshot {
    RouterSnapshot {
        group: router.sync_group().and_then(|id| node.sync_group(id)).map(|group| group.name().to_string()),
        config: router.config().clone(),
        state: router.state(),
        source: router.source(),
        priority: router.priority().get(),
        master: router.master(),
        master_interval: router.master_interval(),
        master_down: router.master_down_interval(),
        faults: router.faults().iter().map(ToString::to_string).collect(),
        peers: router.peers().iter().map(|(address, peer)| (address, peer.clone())).collect(),
        rivals: router.rivals().to_vec(),
        duplicates: router.duplicate_addresses().collect(),
        outside_window: router.outside_window(now).collect(),
        contributions: router
            .priority()
            .contributions()
            .map(|(name, weight)| (name.to_owned(), weight))
            .collect(),
        cause: router.last_cause().cloned(),
        next_timer: router.poll_timeout(),
        holds_addresses: router.wants_addresses(),
        switching_over: router.is_switching_over(),
        yielded: router.has_yielded(),
        hold_ends: router.yields_until(),
        maintenance: router.is_under_maintenance(),
        last_transition: router.last_transition(),
        counters: router.counters().clone(),
        two_masters: router.two_masters(now),
        tracked: node.trackers().tracked(router.id()).map(|(of, own)| (of.clone(), own)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_sorted_into_classes() {
        let mut lateness = Lateness::default();
        for us in [0, 63, 64, 127, 128, 3_600_000_000] {
            lateness.note(Duration::from_micros(us));
        }
        assert_eq!(lateness.classes[..3], [2, 2, 1]);
        assert_eq!(lateness.classes[CLASSES - 1], 1);
    }
}
