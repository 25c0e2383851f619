//! A process of the daemon that leaves to the next one, under the eyes of the others.

use alived::node::NodeConfig;
use alived::sim::{Fault, MachineId, MachineSpec};
use alived::track::Tracker;
use alived::vrrp::{RouterConfig, State};
use alived::wire::vrrp::Version;

use super::lan::{Lan, NAME, R1, R2, node, router};
use super::sync_groups::{OTHER, pair};
use super::tracking::{CHECK, tracking};

fn lan(configs: impl IntoIterator<Item = NodeConfig>) -> Lan {
    let machine = |config| MachineSpec { config, ..MachineSpec::default() };
    let mut lan = Lan::of(configs.into_iter().map(machine).collect());
    lan.start_all();
    lan
}

/// How often a machine's routers changed their state since the process of another one left after so long, and was
/// replaced after `silence` (ms).
fn transitions_at_peer(lan: &mut Lan, after: u64, silence: u64) -> usize {
    lan.run(after);
    let left = lan.now();
    lan.apply(Fault::LeftToNext(R1));
    lan.run(silence);
    lan.apply(Fault::Respawned(R1));
    lan.settle();
    assert_eq!(
        lan.since(left, "10.0.0.100/24").len(),
        0,
        "no address comes or goes: {}",
        lan.cluster.timeline()
    );
    of_machine(lan, R2, left)
}

fn of_machine(lan: &Lan, machine: MachineId, since: alived::time::Instant) -> usize {
    let entries = lan.cluster.timeline().entries().iter();
    let own = entries.filter(|entry| entry.at >= since && entry.actor == machine.to_string());
    own.filter(|entry| entry.kind == alived::sim::timeline::EntryKind::Transition).count()
}

#[test]
fn the_next_process_has_a_whole_master_down_time_whenever_the_one_before_leaves() {
    // 340 ms or more from its last word on, which it says when it leaves.
    for (preempt, silence) in [(true, 10), (true, 300), (false, 10), (false, 270)] {
        let mut lan = Lan::started([RouterConfig { preempt, ..router(150) }, router(100)]);
        for after in [0, 35, 60, 95] {
            assert_eq!(transitions_at_peer(&mut lan, after, silence), 0, "{}", lan.cluster.timeline());
            lan.assert_served_by(R1);
        }
    }
}

#[test]
fn who_comes_back_too_late_listens_first() {
    let mut lan = Lan::started([RouterConfig { preempt: false, ..router(150) }, router(100)]);
    lan.apply(Fault::LeftToNext(R1));
    lan.run(1_000);
    lan.assert_state(R2, State::Master);
    lan.apply(Fault::Respawned(R1));
    lan.settle();
    lan.assert_served_by(R2);
}

#[test]
fn a_master_without_addresses_is_known_by_its_word() {
    let bare = |priority| RouterConfig { version: Version::V2, addresses: Vec::new(), ..router(priority) };
    let bare = |priority| RouterConfig {
        interval: alived::wire::vrrp::AdvertisementInterval::from_seconds(1).unwrap(),
        ..bare(priority)
    };
    let mut lan = lan([node(bare(150)), node(bare(100))]);
    assert_eq!(transitions_at_peer(&mut lan, 0, 200), 0, "{}", lan.cluster.timeline());
    assert_eq!(lan.cluster.masters(NAME), [R1].into());
}

#[test]
fn a_sync_group_goes_on_as_a_whole() {
    let mut lan = lan([pair(150, 150), pair(100, 100)]);
    assert_eq!(transitions_at_peer(&mut lan, 30, 200), 0, "{}", lan.cluster.timeline());
    for name in [NAME, OTHER] {
        assert_eq!(lan.cluster.masters(name), [R1].into(), "{}", lan.cluster.timeline());
    }
}

#[test]
fn what_scripts_have_found_out_is_known_at_once() {
    let script = || tracking(Tracker::Script(CHECK.into()), 0);
    let mut lan = lan([script(), node(router(100))]);
    lan.assert_state(R1, State::Master);
    assert_eq!(transitions_at_peer(&mut lan, 0, 200), 0, "{}", lan.cluster.timeline());
    // Who is in fault stays there.
    lan.apply(Fault::ScriptFails(R1, CHECK.into(), true));
    lan.settle();
    lan.assert_state(R1, State::Fault);
    let left = lan.now();
    lan.apply(Fault::LeftToNext(R1));
    lan.apply(Fault::Respawned(R1));
    lan.settle();
    lan.assert_state(R1, State::Fault);
    assert_eq!(
        (of_machine(&lan, R1, left), of_machine(&lan, R2, left)),
        (1, 0),
        "{}",
        lan.cluster.timeline()
    );
}

#[test]
fn a_backup_and_one_that_starts_anew_take_nothing() {
    let mut lan = Lan::started([router(150), router(100)]);
    let left = lan.now();
    lan.apply(Fault::LeftToNext(R2));
    lan.apply(Fault::Respawned(R2));
    lan.settle();
    assert_eq!((of_machine(&lan, R1, left), of_machine(&lan, R2, left)), (0, 1), "its own beginning");
    lan.assert_served_by(R1);
}
