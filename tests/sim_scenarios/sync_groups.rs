//! Sync groups: two virtual routers on two LANs that are master together.

use alived::kernel::AddressSpec;
use alived::net::{Family, Prefix};
use alived::node::NodeConfig;
use alived::sim::invariants::{Pace, Rule};
use alived::sim::machine::interface_name;
use alived::sim::network::SegmentId;
use alived::sim::timeline::EntryKind;
use alived::sim::{Cluster, ClusterSpec, Fault, MachineId, MachineSpec, Order};
use alived::time::{Duration, Instant};
use alived::track::{Owner, TrackReference, Tracker, Weight};
use alived::vrrp::{RouterConfig, State, SyncGroupConfig, VirtualAddress};
use alived::wire::vrrp::{AdvertisementInterval, Priority, Vrid};

use super::lan::{LAN, Lan, NAME, R1, R2, node, prefix, router, virtual_address};
use super::tracking::{CHECK, tracking};

pub(crate) const OTHER: &str = "VI_2";
pub(crate) const OTHER_LAN: SegmentId = SegmentId(1);

/// A router on the other LAN.
fn other(name: &str, vrid: u8, priority: u8) -> RouterConfig {
    let prefix = Prefix::host([10, 1, 1, vrid].into());
    let address = VirtualAddress { spec: AddressSpec::new(prefix), interface: None, track: true };
    RouterConfig {
        addresses: vec![address],
        ..RouterConfig {
            interfaces: RouterConfig::new(
                name,
                Vrid::new(vrid).unwrap(),
                Family::Ipv4,
                interface_name(OTHER_LAN),
            )
            .interfaces,
            name: name.into(),
            vrid: Vrid::new(vrid).unwrap(),
            ..router(priority)
        }
    }
}

pub(crate) fn group(members: &[&str]) -> SyncGroupConfig {
    SyncGroupConfig { name: "G".into(), members: members.iter().map(|name| (*name).into()).collect() }
}

/// Two routers in a group.
pub(crate) fn pair(first: u8, second: u8) -> NodeConfig {
    NodeConfig {
        routers: vec![router(first), other(OTHER, 52, second)],
        sync_groups: vec![group(&[NAME, OTHER])],
        ..NodeConfig::default()
    }
}

fn started(configs: impl IntoIterator<Item = NodeConfig>) -> Lan {
    let machine = |config| MachineSpec { config, ..MachineSpec::default() };
    let mut lan = Lan::of(configs.into_iter().map(machine).collect());
    lan.start_all();
    lan
}

#[track_caller]
fn assert_states(lan: &Lan, machine: MachineId, state: State) {
    for name in [NAME, OTHER] {
        assert_eq!(lan.cluster.state(machine, name), Some(state), "{name}\n{}", lan.cluster.timeline());
    }
}

/// The texts of the transitions of a machine since a moment.
fn transitions(lan: &Lan, since: Instant, machine: MachineId) -> Vec<String> {
    let actor = machine.to_string();
    let entries = lan.cluster.timeline().entries().iter();
    entries
        .filter(|e| e.at >= since && e.kind == EntryKind::Transition && e.actor == actor)
        .map(|entry| entry.text.to_string())
        .collect()
}

#[test]
fn all_members_move_when_one_fails_and_come_back_together() {
    let mut lan = started([pair(150, 150), pair(100, 100)]);
    assert_states(&lan, R1, State::Master);
    let pulled = lan.now();
    lan.apply(Fault::CablePulled(R1, OTHER_LAN));
    lan.settle();
    assert_states(&lan, R1, State::Fault);
    assert_states(&lan, R2, State::Master);
    assert_eq!(
        transitions(&lan, pulled, R1),
        [
            "(VI_2) MASTER -> FAULT: interface eth1 is down [150]",
            "(VI_1) MASTER -> FAULT: sync group G: member VI_2: interface eth1 is down [150]",
            "group G: MASTER -> FAULT: sync group G: member VI_2: interface eth1 is down",
        ]
    );
    let plugged = lan.now();
    lan.apply(Fault::CablePlugged(R1, OTHER_LAN));
    lan.settle();
    assert_states(&lan, R1, State::Master);
    assert_states(&lan, R2, State::Backup);
    assert_eq!(
        transitions(&lan, plugged, R1)[..3],
        [
            "(VI_2) FAULT -> BACKUP: last fault cleared, which was: interface eth1 is down [150]",
            "(VI_1) FAULT -> BACKUP: sync group G: member VI_2: last fault cleared, which was: interface eth1 is down \
             [150]",
            "group G: FAULT -> BACKUP: sync group G: member VI_2: last fault cleared, which was: interface eth1 is down",
        ]
    );
}

#[test]
fn the_group_is_told_of_first_at_the_start_and_last_afterwards() {
    let lan = started([pair(150, 150)]);
    let told: Vec<String> = transitions(&lan, Instant::ZERO, R1);
    let firsts: Vec<&str> = told.iter().map(|text| text.split(':').next().unwrap()).collect();
    assert_eq!(firsts[0], "group G");
    assert!(told[0].contains("INIT -> BACKUP"), "{told:?}");
    assert_eq!(firsts[1..3], ["(VI_1) INIT -> BACKUP", "(VI_2) INIT -> BACKUP"]);
    assert_eq!(firsts[5], "group G");
    assert!(told[5].contains("BACKUP -> MASTER"), "{told:?}");
}

/// Each member has to have heard nobody for a master-down time of its own. One of them did while it stood back; when the
/// other one has as well, nothing is left to wait for.
#[test]
fn who_heard_nobody_while_it_stood_back_need_not_listen_once_more() {
    let mut lan = started([pair(250, 58)]);
    assert_states(&lan, R1, State::Master);
    // The daemon is not told that its second interface is down.
    lan.apply(Fault::NotificationsLost(R1, Duration::from_secs(10)));
    lan.apply(Fault::AdminDown(R1, OTHER_LAN));
    let down = lan.now();
    lan.run(1_400);
    assert_states(&lan, R1, State::Master);
    // Three intervals and a skew time of 77 ms for the second member; of 2 ms for the first one.
    let gave_up = lan.delay(down, "(VI_2) MASTER -> FAULT: no advertisement could be sent");
    let back = lan.delay(down, "(VI_2) FAULT -> BACKUP");
    let again = lan.delay(down, "(VI_2) BACKUP -> MASTER");
    assert!((377..390).contains(&(back - gave_up)), "{back} - {gave_up} ms");
    assert!((302..320).contains(&(again - back)), "{again} - {back} ms");
}

#[test]
fn a_better_master_of_one_member_takes_all_back() {
    let mut lan = started([pair(100, 100)]);
    assert_states(&lan, R1, State::Master);
    let alone = NodeConfig { routers: vec![router(200)], ..NodeConfig::default() };
    let mut lan2 = started([pair(100, 100), alone]);
    assert_states(&lan2, R1, State::Backup);
    assert_eq!(lan2.cluster.state(R2, NAME), Some(State::Master));
    // Nobody else is on the other LAN; a router of its own would be master there.
    lan2.apply(Fault::Stopped(R2));
    lan2.settle();
    assert_states(&lan2, R1, State::Master);
    lan.settle();
}

#[test]
fn a_lan_that_falls_apart_in_silence_moves_nobody() {
    let mut lan = started([pair(150, 150), pair(100, 100)]);
    let cut = lan.now();
    lan.apply(Fault::Partition(OTHER_LAN, vec![lan.cluster.machine_port(R2, OTHER_LAN)]));
    lan.run(3_000);
    assert_states(&lan, R1, State::Master);
    assert_states(&lan, R2, State::Backup);
    assert_eq!(lan.transitions(cut), 0);
    // The rest of the master dies: the wish that stands is granted with the other.
    lan.apply(Fault::PowerLost(R1));
    lan.run(1_000);
    assert_states(&lan, R2, State::Master);
    lan.apply(Fault::HealNetwork);
    lan.settle();
}

#[test]
fn priorities_that_disagree_leave_the_master_where_it_is() {
    let mut lan = started([pair(150, 100)]);
    lan.apply(Fault::Stopped(R1));
    let mut lan = started([pair(150, 100), pair(100, 150)]);
    let master = if lan.cluster.state(R1, NAME) == Some(State::Master) { R1 } else { R2 };
    assert_states(&lan, master, State::Master);
    let since = lan.now();
    lan.run(5_000);
    assert_eq!(lan.transitions(since), 0);
}

#[test]
fn a_tracker_of_the_group_counts_for_all_members() {
    for (weight, state) in [(0, State::Fault), (-100, State::Backup)] {
        let tracker = Tracker::Script(CHECK.into());
        let mut tracking = (*tracking(tracker.clone(), 0).tracking).clone();
        let weight = Weight::new(weight, false).unwrap();
        tracking.references = vec![(Owner::SyncGroup("G".into()), TrackReference { tracker, weight })];
        let first = NodeConfig { tracking: tracking.into(), ..pair(150, 150) };
        let mut lan = started([first, pair(100, 100)]);
        assert_states(&lan, R1, State::Master);
        lan.apply(Fault::ScriptFails(R1, CHECK.into(), true));
        lan.settle();
        assert_states(&lan, R1, state);
        assert_states(&lan, R2, State::Master);
        lan.apply(Fault::ScriptFails(R1, CHECK.into(), false));
        lan.settle();
        assert_states(&lan, R1, State::Master);
    }
}

#[test]
fn nobody_starts_before_all_know_their_checks() {
    let tracker = Tracker::Script(CHECK.into());
    let first = NodeConfig { tracking: tracking(tracker, 0).tracking, ..pair(150, 150) };
    let machine = |config| MachineSpec { config, ..MachineSpec::default() };
    let mut lan = Lan::of(vec![machine(first), machine(pair(100, 100))]);
    lan.apply(Fault::ScriptFails(R1, CHECK.into(), true));
    lan.start_all();
    assert_states(&lan, R1, State::Fault);
    let told = transitions(&lan, Instant::ZERO, R1);
    assert_eq!(told.len(), 3, "straight into fault: {told:?}");
    assert!(told[0].starts_with("group G: INIT -> FAULT"), "{told:?}");
}

#[test]
fn the_operator_switches_the_whole_group() {
    let mut lan = started([pair(150, 150), pair(100, 100)]);
    lan.apply(Fault::SwitchOver(R1));
    lan.settle();
    assert_states(&lan, R1, State::Backup);
    assert_states(&lan, R2, State::Master);
    lan.apply(Fault::SwitchBack(R1));
    lan.settle();
    assert_states(&lan, R1, State::Master);
}

#[test]
fn a_group_with_an_owner_does_not_switch_over() {
    let mut owned = pair(150, 150);
    owned.routers[1].priority = Priority::OWNER;
    let mut lan = started([owned, pair(100, 100)]);
    assert_states(&lan, R1, State::Master);
    lan.apply(Fault::SwitchOver(R1));
    lan.settle();
    assert_states(&lan, R1, State::Master);
}

#[test]
fn a_member_that_a_reload_adds_joins_while_the_others_stay_master() {
    let mut lan = started([pair(150, 150), pair(100, 100)]);
    let reloaded = lan.now();
    let with_third = |priority| {
        let mut config = pair(priority, priority);
        config.routers.push(other("VI_3", 53, priority));
        config.sync_groups = vec![group(&[NAME, OTHER, "VI_3"])];
        config
    };
    lan.apply(Fault::Reloaded(R1, with_third(150)));
    lan.apply(Fault::Reloaded(R2, with_third(100)));
    lan.settle();
    assert_states(&lan, R1, State::Master);
    assert_eq!(lan.cluster.state(R1, "VI_3"), Some(State::Master));
    let of_others = transitions(&lan, reloaded, R1);
    assert!(of_others.iter().all(|text| text.starts_with("(VI_3)")), "{of_others:?}");

    let again = lan.now();
    lan.apply(Fault::Reloaded(R1, with_third(150)));
    lan.settle();
    assert_eq!(lan.transitions(again), 0, "an identical reload");
}

#[test]
fn a_member_that_joins_and_hears_a_better_master_makes_backups_of_all() {
    let mut lan = started([
        NodeConfig { sync_groups: Vec::new(), ..pair(100, 150) },
        NodeConfig { sync_groups: Vec::new(), ..pair(150, 100) },
    ]);
    assert_eq!(lan.cluster.state(R1, NAME), Some(State::Backup));
    assert_eq!(lan.cluster.state(R1, OTHER), Some(State::Master));
    let reloaded = lan.now();
    lan.apply(Fault::Reloaded(R1, pair(100, 150)));
    lan.run(50);
    assert_states(&lan, R1, State::Backup);
    assert_eq!(lan.since(reloaded, "sync group G: member VI_1: master 10.0.0.2").len(), 2);
    lan.settle();
}

#[test]
fn who_leaves_a_group_in_fault_is_free() {
    let mut lan = started([pair(150, 150), pair(100, 100)]);
    lan.apply(Fault::CablePulled(R1, OTHER_LAN));
    lan.settle();
    assert_states(&lan, R1, State::Fault);
    lan.apply(Fault::Reloaded(R1, NodeConfig { sync_groups: Vec::new(), ..pair(150, 150) }));
    lan.run(20);
    assert_eq!(lan.cluster.state(R1, NAME), Some(State::Backup));
    assert_eq!(lan.cluster.state(R1, OTHER), Some(State::Fault));
    // … and in fault again with the others.
    lan.apply(Fault::Reloaded(R1, pair(150, 150)));
    lan.run(20);
    assert_states(&lan, R1, State::Fault);
    lan.apply(Fault::CablePlugged(R1, OTHER_LAN));
    lan.settle();
    assert_states(&lan, R1, State::Master);
}

#[test]
fn fifty_members_move_as_one() {
    let many = |priority| {
        let names: Vec<String> = (0..50).map(|number| format!("M{number}")).collect();
        NodeConfig {
            routers: (0..50).map(|number| other(&names[number], 100 + number as u8, priority)).collect(),
            sync_groups: vec![group(&names.iter().map(String::as_str).collect::<Vec<_>>())],
            ..NodeConfig::default()
        }
    };
    let machine = |priority| MachineSpec { config: many(priority), ..MachineSpec::default() };
    let mut cluster = Cluster::new(ClusterSpec {
        seed: 5,
        segments: 2,
        machines: vec![machine(150), machine(100)],
        hosts: Vec::new(),
        pace: Pace::PROMPT,
        clocks_agree: false,
    });
    cluster.apply(&Fault::Started(R1));
    cluster.apply(&Fault::Started(R2));
    cluster.run_for(Duration::from_secs(2));
    for number in 0..50 {
        assert_eq!(cluster.masters(&format!("M{number}")), [R1].into());
    }
    cluster.apply(&Fault::CablePulled(R1, OTHER_LAN));
    cluster.run_for(Duration::from_secs(2));
    for number in 0..50 {
        assert_eq!(cluster.masters(&format!("M{number}")), [R2].into());
    }
    assert!(!cluster.violations().iter().any(|violation| violation.rule == Rule::GroupDivided));
}

/// The master cannot take part any more, since one of its members sends nothing, but the other one is heard for a while
/// yet: until it falls silent nobody is to take its place.
#[test]
fn who_hears_one_member_of_a_failing_master_waits_for_its_silence() {
    let slow = |priority| {
        let mut config = pair(priority, priority);
        config.routers[1].interfaces = config.routers[0].interfaces.clone();
        config.routers[1].addresses.extend((10..20).map(|number| virtual_address(prefix(number, 24))));
        for router in &mut config.routers {
            router.interval = AdvertisementInterval::ONE_SECOND;
        }
        config
    };
    for heard_ms in (2_500..4_500).step_by(250) {
        let mut lan = started([slow(254), slow(1)]);
        lan.apply(Fault::MtuChanged(R1, LAN, 40));
        lan.run(heard_ms);
        lan.apply(Fault::InterfaceDeleted(R1, LAN, false));
        lan.run(6_000);
        assert_states(&lan, R2, State::Master);
        lan.settle();
    }
}

/// Nobody else has the router any more whose addresses a killed daemon left: no advertisement tells that it is not to be
/// master again, only that its sync group has to wait.
#[test]
fn what_is_left_of_a_member_whose_group_has_to_wait_is_removed() {
    let mut lan = started([pair(100, 100), pair(150, 150)]);
    assert_states(&lan, R2, State::Master);
    lan.apply(Fault::Crashed(R2));
    lan.settle();
    lan.apply(Fault::Reloaded(R1, node(router(200))));
    lan.run(1_000);
    let other = [10, 1, 1, 52].into();
    assert!(lan.cluster.holds(R2, &other), "what a killed daemon leaves, the kernel keeps");
    lan.apply(Fault::Started(R2));
    lan.settle();
    assert_states(&lan, R2, State::Backup);
    assert!(!lan.cluster.holds(R2, &other), "{}", lan.cluster.timeline());
}

#[test]
fn a_group_of_different_intervals_switches_over_in_the_time_of_the_longest() {
    let slow = |mut config: NodeConfig| {
        config.routers[0].interval = AdvertisementInterval::ONE_SECOND;
        config
    };
    let mut lan = started([slow(pair(150, 150)), slow(pair(100, 100))]);
    lan.run(5_000);
    lan.apply(Fault::SwitchOver(R1));
    lan.run(5_000);
    for member in [NAME, OTHER] {
        assert_eq!(lan.cluster.state(R2, member), Some(State::Master), "{}", lan.cluster.timeline());
    }
    lan.apply(Fault::SwitchBack(R1));
    lan.run(5_000);
    lan.apply(Fault::Ordered(R1, Order::Maintain(None)));
    lan.run(5_000);
    assert_eq!(lan.since(Instant::ZERO, "nobody took over").len(), 0, "{}", lan.cluster.timeline());
    for member in [NAME, OTHER] {
        assert_eq!(lan.cluster.state(R2, member), Some(State::Master), "{}", lan.cluster.timeline());
    }
}
