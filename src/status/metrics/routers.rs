//! Virtual routers, their peers, sync groups and trackers, and the thread that serves them.

use super::exposition::{Exposition, Family, Kind, Value};
use super::keepalived::with_router;
use crate::status::Status;
use crate::status::report::RouterStatus;
use crate::status::snapshot::Lateness;
use crate::status::trackers::VerdictWord;

/// Every state, for families that have a sample for each.
const STATES: [&str; 5] = ["INIT", "BACKUP", "MASTER", "FAULT", "MAINTENANCE"];

pub(super) fn write(to: &mut Exposition, vrrp: Option<&Status>) {
    let routers: &[RouterStatus] = vrrp.map_or(&[], |status| &status.routers);
    of_routers(to, routers);
    counters(to, routers);
    peers(to, routers);
    groups(to, vrrp);
    trackers(to, vrrp);
    node(to, vrrp);
}

/// Adds samples whose labels are a router's and some more.
fn add(family: &mut Family<'_>, router: &RouterStatus, more: &[(&str, &str)], value: impl Into<Value>) {
    with_router(router, |labels| family.add(&[labels, more].concat(), value));
}

fn of_routers(to: &mut Exposition, routers: &[RouterStatus]) {
    let mut states =
        to.family("alived_router_state", Kind::Gauge, "1 for the state that the virtual router is in.");
    for router in routers {
        for state in STATES {
            add(&mut states, router, &[("state", state)], router.state == state);
        }
    }
    type Figure = (&'static str, &'static str, fn(&RouterStatus) -> Value);
    let figures: [Figure; 5] = [
        ("alived_router_state_since_timestamp_seconds", "When it came into its state, Unix time.", |of| {
            Value::Us(of.since_unix_us)
        }),
        ("alived_router_base_priority", "The configured priority.", |of| u64::from(of.priority.base).into()),
        ("alived_router_effective_priority", "The priority with what trackers add.", |of| {
            u64::from(of.priority.effective).into()
        }),
        ("alived_router_faults", "How many reasons of a fault there are.", |of| {
            (of.faults.len() as u64).into()
        }),
        ("alived_second_masters", "Other masters that are heard while it is master.", |of| {
            (of.second_masters.len() as u64).into()
        }),
    ];
    for (name, help, figure) in figures {
        let mut family = to.family(name, Kind::Gauge, help);
        routers.iter().for_each(|router| add(&mut family, router, &[], figure(router)));
    }
}

fn counters(to: &mut Exposition, routers: &[RouterStatus]) {
    type Figure = (&'static str, &'static str, fn(&RouterStatus) -> Value);
    let figures: [Figure; 7] = [
        ("alived_two_masters_seconds_total", "Time as master during which another one was heard.", |of| {
            Value::Us(of.counters.two_masters_us)
        }),
        ("alived_rivals_beaten_total", "Advertisements of masters that lost to it.", |of| {
            of.counters.rivals_beaten.into()
        }),
        ("alived_announcements_total", "Announcements of addresses to hosts (ARP, neighbour).", |of| {
            of.counters.announcements.into()
        }),
        ("alived_duplicate_addresses_total", "Times another host had a virtual address.", |of| {
            of.counters.duplicate_addresses.into()
        }),
        ("alived_router_stalls_total", "Times the process stood still for a master-down time.", |of| {
            of.counters.stalls.into()
        }),
        ("alived_router_send_failures_total", "Advertisements that the kernel refused.", |of| {
            of.counters.send_failures.into()
        }),
        ("alived_clock_discards_total", "Advertisements of second masters with another clock.", |of| {
            of.counters.second_masters.into()
        }),
    ];
    for (name, help, figure) in figures {
        let mut family = to.family(name, Kind::Counter, help);
        routers.iter().for_each(|router| add(&mut family, router, &[], figure(router)));
    }
    let mut repairs =
        to.family("alived_repairs_total", Kind::Counter, "What was put back after somebody else removed it.");
    for router in routers {
        let counters = &router.counters;
        add(&mut repairs, router, &[("what", "address")], counters.addresses_repaired);
        add(&mut repairs, router, &[("what", "route")], counters.routing_repaired);
    }
    let mut transitions =
        to.family("alived_transitions_total", Kind::Counter, "Changes of state by what caused them.");
    for router in routers {
        for of in &router.transitions {
            add(&mut transitions, router, &[("to", &of.to), ("cause", &of.cause)], of.count);
        }
    }
    let mut discards = to.family(
        "alived_packets_discarded_total",
        Kind::Counter,
        "Packets that failed a check of receipt, by its name.",
    );
    for router in routers {
        for (reason, count) in &router.counters.rejected {
            add(&mut discards, router, &[("reason", reason)], *count);
        }
    }
}

/// At most 32 of a router: forged ones push each other out.
fn peers(to: &mut Exposition, routers: &[RouterStatus]) {
    let peers = || routers.iter().flat_map(|router| router.peers.iter().map(move |peer| (router, peer)));
    let mut accepted = to.family(
        "alived_peer_advertisements_received_total",
        Kind::Counter,
        "Advertisements of a peer that passed the checks of receipt.",
    );
    for (router, peer) in peers() {
        add(&mut accepted, router, &[("peer", &peer.address.to_string())], peer.accepted);
    }
    let mut discards = to.family(
        "alived_peer_packets_discarded_total",
        Kind::Counter,
        "Packets of a peer that failed a check of receipt, by its name.",
    );
    for (router, peer) in peers() {
        for (reason, count) in &peer.rejections {
            let labels = [("peer", &*peer.address.to_string()), ("reason", reason)];
            add(&mut discards, router, &labels, *count);
        }
    }
    let mut silence =
        to.family("alived_peer_silence_seconds", Kind::Gauge, "Since a packet of the peer was heard.");
    for (router, peer) in peers() {
        let peer_label = [("peer", &*peer.address.to_string())];
        add(&mut silence, router, &peer_label, Value::Us(peer.heard_before_us));
    }
}

fn groups(to: &mut Exposition, vrrp: Option<&Status>) {
    let groups = || vrrp.iter().flat_map(|status| &status.groups);
    let mut states =
        to.family("alived_sync_group_state", Kind::Gauge, "1 for the state that the sync group is in.");
    for group in groups() {
        for state in STATES {
            states.add(&[("group", &group.name), ("state", state)], group.state == state);
        }
    }
    let mut transitions =
        to.family("alived_sync_group_transitions_total", Kind::Counter, "Changes of state of a sync group.");
    for group in groups() {
        transitions.add(&[("group", &group.name)], group.transitions);
    }
}

fn trackers(to: &mut Exposition, vrrp: Option<&Status>) {
    let trackers = || vrrp.iter().flat_map(|status| &status.trackers);
    let mut up = to.family(
        "alived_tracker_good",
        Kind::Gauge,
        "Whether a tracker finds what it shall; absent while nothing is known.",
    );
    for tracker in trackers() {
        match tracker.verdict {
            Some(VerdictWord::Good) => up.add(&[("tracker", &tracker.name)], true),
            Some(VerdictWord::Failed) => up.add(&[("tracker", &tracker.name)], false),
            Some(VerdictWord::Unknown) | None => {}
        }
    }
    let mut overruns = to.family(
        "alived_tracker_overruns_total",
        Kind::Counter,
        "Runs of a script that were left out because the one before was not over.",
    );
    for tracker in trackers() {
        if let Some(count) = tracker.overruns {
            overruns.add(&[("tracker", &tracker.name)], count);
        }
    }
}

fn node(to: &mut Exposition, vrrp: Option<&Status>) {
    let node = vrrp.map(|status| &status.node);
    let mut unknown = to.family(
        "alived_unknown_vrid_packets_total",
        Kind::Counter,
        "Advertisements for virtual routers that are not configured here.",
    );
    if let Some(node) = node {
        unknown.add(&[], node.unknown_vrids);
    }
    let mut failures =
        to.family("alived_send_failures_total", Kind::Counter, "Packets that the kernel refused to send.");
    if let Some(node) = node {
        failures.add(&[], node.send_failures);
    }
    let mut late = to.family(
        "alived_timer_lateness_seconds",
        Kind::Histogram,
        "How late timers of virtual routers were served.",
    );
    if let Some(node) = node {
        let count = |bound: Option<u64>| {
            let of = node.timers_late.iter().filter(|class| class.below_us == bound);
            of.map(|class| class.count).sum::<u64>()
        };
        let classes = Lateness::bounds().map(|bound| (bound, count(Some(bound))));
        late.add_histogram(&[], classes, count(None), node.timers_late_sum_us);
    }
    let mut longest = to.family(
        "alived_timer_lateness_longest_seconds",
        Kind::Gauge,
        "The longest time that a timer was late since the worker started.",
    );
    if let Some(node) = node {
        longest.add(&[], Value::Us(node.timers_latest_us));
    }
}
