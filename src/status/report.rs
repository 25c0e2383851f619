//! [`Status`]: the answer to the control socket's `status`, for programs and, rendered, for people.

use core::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::snapshot::{GroupSnapshot, Lateness, RouterSnapshot, Snapshot};
use super::trackers::TrackerStatus;
use crate::time::{Duration, Instant, micros};
use crate::vrrp::{Counters, Peer, State};
use crate::wire::vrrp::{Priority, RejectionKind};

/// What a vrrp worker tells of itself. Times that end in `_us` are microseconds; those named `_unix_us` are on the
/// wall clock, since 1970; all others are spans.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Status {
    /// The process.
    pub(crate) daemon: DaemonStatus,
    /// The virtual routers, in the order in which they were added.
    pub(crate) routers: Vec<RouterStatus>,
    /// The sync groups, in the same order.
    #[serde(default)]
    pub(crate) groups: Vec<GroupStatus>,
    /// The trackers that they depend on.
    pub(crate) trackers: Vec<TrackerStatus>,
    /// What concerns no single router.
    pub(crate) node: NodeStatus,
}

/// The process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DaemonStatus {
    /// Version of the program.
    pub(crate) version: String,
    /// Of the vrrp worker.
    pub(crate) pid: u32,
    /// When it was started.
    pub(crate) started_unix_us: u64,
    /// The configuration file.
    pub(crate) configuration: String,
    /// Of the configuration in force, as it was understood and without secrets: the beginning of its SHA-256.
    #[serde(default)]
    pub(crate) configuration_hash: String,
    /// `router_id`, or the host's name.
    #[serde(default)]
    pub(crate) router_id: String,
    /// What became of the last reload, if there was one.
    pub(crate) last_reload: Option<ReloadStatus>,
    /// What keeps all virtual routers out of the election, if the operator said so.
    #[serde(default)]
    pub(crate) maintenance: Option<MaintenanceStatus>,
}

/// Maintenance: no virtual router takes part.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct MaintenanceStatus {
    /// When it was ordered.
    pub(crate) since_unix_us: u64,
    /// When it ends by itself, if it does.
    pub(crate) until_unix_us: Option<u64>,
    /// Whether it holds on when the daemon is stopped and started.
    pub(crate) persists: bool,
}

/// The state of a router that maintenance keeps out of the election; keepalived has no word for it, and its dumps here say
/// `FAULT`.
const MAINTENANCE: &str = "MAINTENANCE";

/// What became of a reload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ReloadStatus {
    /// When it was answered.
    pub(crate) at_unix_us: u64,
    /// Whether the new configuration is in force.
    pub(crate) taken: bool,
    /// What it changed, or why it was refused.
    pub(crate) lines: Vec<String>,
}

/// What concerns no single router.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NodeStatus {
    /// Messages for virtual routers that are not configured here.
    pub(crate) unknown_vrids: u64,
    /// Packets that the kernel refused to send.
    pub(crate) send_failures: u64,
    /// How late timers were served.
    pub(crate) timers_late: Vec<LatenessClass>,
    /// How late all of them were together.
    #[serde(default)]
    pub(crate) timers_late_sum_us: u64,
    /// The longest of these.
    pub(crate) timers_latest_us: u64,
}

/// Timers that were served late by less than a bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct LatenessClass {
    /// The bound; `None` for all that were later.
    pub(crate) below_us: Option<u64>,
    /// How many there were, without those of lower classes.
    pub(crate) count: u64,
}

/// One virtual router.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RouterStatus {
    /// Name of its `vrrp_instance`.
    pub(crate) name: String,
    /// `INIT`, `BACKUP`, `MASTER`, `FAULT` or `MAINTENANCE`.
    pub(crate) state: String,
    /// When it came into that state.
    pub(crate) since_unix_us: u64,
    /// Why; absent before the start.
    pub(crate) cause: Option<String>,
    /// Every reason of a fault.
    pub(crate) faults: Vec<String>,
    /// Interface that receives advertisements; absent where any may (unicast without `interface`).
    pub(crate) interface: Option<String>,
    /// The interface of its own that holds its addresses (`use_vmac`, `use_ipvlan`), if it has one.
    #[serde(default)]
    pub(crate) own_interface: Option<String>,
    /// `IPv4` or `IPv6`.
    pub(crate) family: String,
    /// Virtual router identifier.
    pub(crate) vrid: u8,
    /// Of VRRP: 2 or 3.
    pub(crate) version: u8,
    /// Who wins an election.
    pub(crate) priority: PriorityStatus,
    /// Whether it takes over from a master of lower priority.
    pub(crate) preempts: bool,
    /// Address that it sends from.
    pub(crate) source: Option<IpAddr>,
    /// Group or peers that it sends to.
    pub(crate) destinations: Vec<IpAddr>,
    /// Its own interval of advertisements.
    pub(crate) interval_us: u64,
    /// The master followed in `BACKUP`.
    pub(crate) master: Option<MasterStatus>,
    /// Time without advertisements after which a backup takes over.
    pub(crate) master_down_us: u64,
    /// Time until its next timer: an advertisement of a master, the election of a backup.
    pub(crate) next_timer_us: Option<u64>,
    /// Whether it handed over on request: `no`, `waiting` for a successor, `done`.
    pub(crate) switched_over: SwitchedOver,
    /// Time until its higher priority counts again after a switch-over; absent where it is until it is switched back, or
    /// the successor fails.
    #[serde(default)]
    pub(crate) hold_ends_us: Option<u64>,
    /// What it depends on.
    #[serde(default)]
    pub(crate) tracks: Vec<TrackStatus>,
    /// Its addresses.
    pub(crate) addresses: Vec<AddressStatus>,
    /// Other masters heard while `MASTER`: there should be none.
    pub(crate) second_masters: Vec<RivalStatus>,
    /// Other routers heard.
    pub(crate) peers: Vec<PeerStatus>,
    /// `auth_hmac`: peers heard lately whose clock differs from ours by more than `time_window`. Their advertisements are
    /// dropped: while this router is master, each is a second one.
    #[serde(default)]
    pub(crate) outside_window: Vec<OutsideStatus>,
    /// The sync group that it is a member of.
    #[serde(default)]
    pub(crate) group: Option<String>,
    /// `garp_master_delay`.
    #[serde(default)]
    pub(crate) announce_delay_us: u64,
    /// How often it came into which state because of what, since the worker started.
    #[serde(default)]
    pub(crate) transitions: Vec<TransitionCount>,
    /// What it has counted.
    pub(crate) counters: CounterStatus,
}

/// Transitions of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TransitionCount {
    /// The state after it.
    pub(crate) to: String,
    /// A word for the kind of its cause.
    pub(crate) cause: String,
    /// How many.
    pub(crate) count: u64,
}

/// Something that a router depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TrackStatus {
    /// Its name, as of the trackers: `script NAME`.
    pub(crate) name: String,
    /// What it does to the priority; 0: its failure puts the router in fault.
    pub(crate) weight: i32,
    /// Whether the sync group depends on it, and the router by that.
    pub(crate) of_group: bool,
}

/// A peer whose clock differs from ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct OutsideStatus {
    /// Its address.
    pub(crate) address: IpAddr,
    /// How far its clock is ahead; negative where it is behind.
    pub(crate) ahead_us: i64,
    /// Whether it and this router are both master as far as this router can tell.
    pub(crate) second_master: bool,
}

/// One sync group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct GroupStatus {
    /// Name of its `vrrp_sync_group`.
    pub(crate) name: String,
    /// That of its members: `INIT`, `BACKUP`, `MASTER`, `FAULT` or `MAINTENANCE`.
    pub(crate) state: String,
    /// When it came into that state.
    pub(crate) since_unix_us: u64,
    /// Why, and because of which member; absent before the start.
    pub(crate) cause: Option<String>,
    /// Its members by name.
    pub(crate) members: Vec<String>,
    /// How often it has changed its state.
    pub(crate) transitions: u64,
}

/// A priority and its parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PriorityStatus {
    /// The configured one.
    pub(crate) base: u8,
    /// The sum of all, within 1 to 254; 255 for an owner.
    pub(crate) effective: u8,
    /// What trackers add.
    pub(crate) contributions: Vec<Contribution>,
}

/// What one tracker adds to a priority.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Contribution {
    /// Name of the tracker.
    pub(crate) name: String,
    /// -254 to 254.
    pub(crate) weight: i32,
}

/// The master that a backup follows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct MasterStatus {
    /// Its address.
    pub(crate) address: IpAddr,
    /// Its priority.
    pub(crate) priority: u8,
    /// Its interval, which a backup of version 3 follows.
    pub(crate) interval_us: u64,
}

/// Whether a router handed over on request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SwitchedOver {
    /// It did not.
    No,
    /// It waits for its successor.
    Waiting,
    /// It did, and does not preempt.
    Done,
}

/// A virtual address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AddressStatus {
    /// Address and prefix length.
    pub(crate) address: String,
    /// The interface that it belongs on.
    pub(crate) interface: String,
    /// Whether it stands in advertisements (not `virtual_ipaddress_excluded`).
    pub(crate) advertised: bool,
    /// Whether the kernel shall hold it now.
    pub(crate) wanted: bool,
    /// Whether duplicate address detection found that another host has it.
    pub(crate) duplicate: bool,
}

/// Another master.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RivalStatus {
    /// Its address.
    pub(crate) address: IpAddr,
    /// Of its last advertisement.
    pub(crate) priority: u8,
    /// Since it was heard first.
    pub(crate) heard_for_us: u64,
}

/// Another router.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct PeerStatus {
    /// Its address.
    pub(crate) address: IpAddr,
    /// Of its last advertisement that passed the checks.
    pub(crate) priority: Option<u8>,
    /// Of the same.
    pub(crate) interval_us: Option<u64>,
    /// Since a packet of it was last received.
    pub(crate) heard_before_us: u64,
    /// Advertisements that passed.
    pub(crate) accepted: u64,
    /// Packets that did not.
    pub(crate) rejected: u64,
    /// Why the last one did not.
    pub(crate) last_rejection: Option<String>,
    /// How many did not for which reason.
    pub(crate) rejections: std::collections::BTreeMap<String, u64>,
    /// In what its address list differs from ours.
    pub(crate) address_list: Option<String>,
}

/// What a router has counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CounterStatus {
    pub(crate) advertisements_received: u64,
    pub(crate) advertisements_sent: u64,
    pub(crate) send_failures: u64,
    pub(crate) became_master: u64,
    pub(crate) released_master: u64,
    pub(crate) priority_zero_received: u64,
    pub(crate) priority_zero_sent: u64,
    pub(crate) address_list_mismatches: u64,
    pub(crate) rivals_beaten: u64,
    pub(crate) addresses_repaired: u64,
    #[serde(default)]
    pub(crate) routing_repaired: u64,
    pub(crate) duplicate_addresses: u64,
    pub(crate) stalls: u64,
    /// Advertisements of second masters whose clock differs from ours.
    #[serde(default)]
    pub(crate) second_masters: u64,
    /// How long another master was heard while it was master.
    #[serde(default)]
    pub(crate) two_masters_us: u64,
    /// Announcements of its addresses to hosts.
    #[serde(default)]
    pub(crate) announcements: u64,
    /// Packets that failed a check of receipt, by its name.
    pub(crate) rejected: std::collections::BTreeMap<String, u64>,
}

impl Status {
    /// Of a snapshot, and what the process knows of itself.
    pub(crate) fn of(snapshot: &Snapshot, daemon: DaemonStatus) -> Self {
        let routers = snapshot.routers.iter().map(|router| RouterStatus::of(router, snapshot.taken_at));
        let groups = snapshot.groups.iter().map(GroupStatus::of).collect();
        let (routers, trackers) = (routers.collect(), snapshot.trackers.clone());
        Self { daemon, routers, groups, trackers, node: NodeStatus::of(snapshot) }
    }
}

/// A state in words.
fn shown(state: State, maintenance: bool) -> String {
    match state {
        State::Fault if maintenance => MAINTENANCE.to_owned(),
        state => state.to_string(),
    }
}

impl NodeStatus {
    fn of(snapshot: &Snapshot) -> Self {
        let Lateness { longest, sum, .. } = snapshot.lateness;
        Self {
            unknown_vrids: snapshot.unknown_vrids,
            send_failures: snapshot.send_failures,
            timers_late: snapshot
                .lateness
                .classes()
                .map(|(below_us, count)| LatenessClass { below_us, count })
                .collect(),
            timers_late_sum_us: micros(sum),
            timers_latest_us: micros(longest),
        }
    }
}

impl GroupStatus {
    fn of(group: &GroupSnapshot) -> Self {
        Self {
            name: group.name.clone(),
            state: shown(group.state, group.maintenance),
            since_unix_us: group.last_transition.as_unix_micros(),
            cause: group.cause.as_ref().map(ToString::to_string),
            members: group.members.iter().map(|(name, _)| name.clone()).collect(),
            transitions: group.transitions,
        }
    }
}

impl RouterStatus {
    fn of(router: &RouterSnapshot, taken_at: Instant) -> Self {
        let config = &router.config;
        let until = |at: Instant| micros(at.saturating_since(taken_at));
        let contributions = router.contributions.iter();
        let addresses = [(&config.addresses, true), (&config.excluded, false)].into_iter();
        let address = |(list, advertised): (&'_ Vec<crate::vrrp::VirtualAddress>, bool)| {
            let status = |address: &crate::vrrp::VirtualAddress| AddressStatus {
                address: address.spec.prefix.to_string(),
                interface: address.interface.as_ref().unwrap_or(&config.interfaces.addresses).to_string(),
                advertised,
                wanted: router.holds_addresses,
                duplicate: router.duplicates.contains(&address.spec.prefix),
            };
            list.iter().map(status).collect::<Vec<_>>()
        };
        Self {
            name: config.name.to_string(),
            state: shown(router.state, router.maintenance),
            since_unix_us: router.last_transition.as_unix_micros(),
            cause: router.cause.as_ref().map(ToString::to_string),
            faults: router.faults.clone(),
            interface: config.interfaces.hears_by().map(ToString::to_string),
            own_interface: router.own_interface().map(ToString::to_string),
            family: config.family.to_string(),
            vrid: config.vrid.get(),
            version: config.version.number(),
            priority: PriorityStatus {
                base: config.priority.0,
                effective: router.priority.0,
                contributions: contributions
                    .map(|(name, weight)| Contribution { name: name.clone(), weight: *weight })
                    .collect(),
            },
            preempts: config.preempt,
            source: router.source,
            destinations: config.destinations.addresses().collect(),
            interval_us: micros(config.interval.duration()),
            master: router.master.map(|(address, Priority(priority))| MasterStatus {
                address,
                priority,
                interval_us: micros(router.master_interval.duration()),
            }),
            master_down_us: micros(router.master_down),
            next_timer_us: router.next_timer.map(until),
            switched_over: match (router.switching_over, router.yielded) {
                (true, _) => SwitchedOver::Waiting,
                (false, true) => SwitchedOver::Done,
                (false, false) => SwitchedOver::No,
            },
            hold_ends_us: router.hold_ends.map(until),
            tracks: router
                .tracked
                .iter()
                .map(|(reference, own)| TrackStatus {
                    name: reference.tracker.to_string(),
                    weight: reference.weight.value().into(),
                    of_group: !own,
                })
                .collect(),
            addresses: addresses.flat_map(address).collect(),
            second_masters: router
                .rivals
                .iter()
                .map(|rival| RivalStatus {
                    address: rival.from,
                    priority: rival.priority.0,
                    heard_for_us: micros(taken_at.saturating_since(rival.since)),
                })
                .collect(),
            peers: router
                .peers
                .iter()
                .map(|(address, peer)| PeerStatus::of(*address, peer, taken_at))
                .collect(),
            outside_window: router
                .outside_window
                .iter()
                .map(|(address, ahead_us)| OutsideStatus {
                    address: *address,
                    ahead_us: *ahead_us,
                    second_master: router.state == State::Master,
                })
                .collect(),
            group: router.group.clone(),
            announce_delay_us: micros(config.announce.delay),
            transitions: Vec::new(),
            counters: CounterStatus {
                two_masters_us: micros(router.two_masters),
                ..CounterStatus::of(&router.counters)
            },
        }
    }

    /// Whether it is master.
    pub(crate) fn is_master(&self) -> bool {
        self.state == State::Master.to_string()
    }
}

impl PeerStatus {
    fn of(address: IpAddr, peer: &Peer, taken_at: Instant) -> Self {
        Self {
            address,
            priority: peer.last_advertisement.map(|(Priority(priority), _)| priority),
            interval_us: peer.last_advertisement.map(|(_, interval)| micros(interval.duration())),
            heard_before_us: micros(taken_at.saturating_since(peer.last_heard)),
            accepted: peer.accepted,
            rejected: peer.rejected,
            last_rejection: peer.last_rejection.map(|rejection| rejection.to_string()),
            rejections: peer.rejections.iter().map(|(kind, count)| (format!("{kind:?}"), *count)).collect(),
            address_list: peer.differing.as_ref().map(ToString::to_string),
        }
    }
}

impl CounterStatus {
    fn of(counters: &Counters) -> Self {
        let rejected = RejectionKind::ALL.iter().map(|kind| (format!("{kind:?}"), counters.rejected(*kind)));
        Self {
            advertisements_received: counters.advertisements_received,
            advertisements_sent: counters.advertisements_sent,
            send_failures: counters.send_failures,
            became_master: counters.became_master,
            released_master: counters.released_master,
            priority_zero_received: counters.priority_zero_received,
            priority_zero_sent: counters.priority_zero_sent,
            address_list_mismatches: counters.address_list_mismatches,
            rivals_beaten: counters.rivals_beaten,
            addresses_repaired: counters.addresses_repaired,
            routing_repaired: counters.routing_repaired,
            duplicate_addresses: counters.duplicate_addresses,
            stalls: counters.stalls,
            second_masters: counters.second_masters,
            two_masters_us: micros(counters.two_masters),
            announcements: counters.announcements,
            rejected: rejected.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

/// A span in the unit that suits it: `1.25 s`, `80 ms`, `3 h 20 min`.
pub(crate) fn span(us: u64) -> String {
    let duration = Duration::from_micros(us);
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{:.2} s", duration.as_secs_f64()),
        seconds @ 60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds @ 3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        seconds => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}
