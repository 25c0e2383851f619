//! Daemons that die, stand still and come back; hosts that must find the winner.

use alived::node::NodeConfig;
use alived::sim::Fault;
use alived::sim::MachineSpec;
use alived::sim::network::{Conditions, Ratio};
use alived::time::Duration;
use alived::vrrp::{AnnounceSettings, RouterConfig, State};

use super::lan::{
    IMPATIENT, LAN, Lan, NAME, PATIENT, R1, R2, address, centiseconds, node, prefix, router, virtual_address,
};

#[test]
fn a_crashed_daemon_is_succeeded_and_its_leftover_removed_on_return() {
    let mut lan = Lan::started([router(100), router(150)]);
    lan.assert_served_by(R2);
    lan.apply(Fault::Crashed(R2));
    lan.run(1_000);
    lan.assert_state(R1, State::Master);
    assert!(lan.cluster.holds(R2, &address(0)), "what a killed daemon leaves, the kernel keeps");
    // The preferred router does not preempt, so that the first advertisement decides.
    lan.apply(Fault::Reloaded(R2, node(RouterConfig { preempt: false, ..router(150) })));
    let back = lan.now();
    lan.apply(Fault::Started(R2));
    lan.settle();
    lan.assert_served_by(R1);
    assert_eq!(lan.since(back, "removing 1 address(es) left over").len(), 1);
    assert!(lan.delay(back, "-10.0.0.100/24") < 200, "on the first valid advertisement");
}

#[test]
fn a_leftover_is_adopted_without_a_gap() {
    let mut lan = Lan::started([router(150)]);
    lan.assert_served_by(R1);
    let crashed = lan.now();
    lan.apply(Fault::Crashed(R1));
    lan.run(20);
    lan.apply(Fault::Started(R1));
    lan.settle();
    lan.assert_served_by(R1);
    assert_eq!(lan.since(crashed, "adopting 1 address(es)").len(), 1);
    assert_eq!(lan.since(crashed, "-10.0.0.100").len(), 0);
    assert_eq!(lan.since(crashed, "+10.0.0.100").len(), 0);
}

#[test]
fn a_worker_that_is_replaced_in_time_goes_on_as_master_and_nobody_notices() {
    // A master-down time is 340 ms or more. Who does not preempt goes on only where nobody can have taken over.
    for (preempt, silence) in [(true, 10), (true, 270), (false, 10), (false, 150)] {
        let mut lan = Lan::started([RouterConfig { preempt, ..router(150) }, router(1), router(100)]);
        lan.assert_served_by(R1);
        let crashed = lan.now();
        lan.apply(Fault::Crashed(R1));
        lan.run(silence);
        lan.apply(Fault::Respawned(R1));
        lan.settle();
        lan.assert_served_by(R1);
        assert_eq!(lan.since(crashed, "MASTER").len(), 1, "its own return, after {silence} ms");
        assert_eq!(lan.since(crashed, "10.0.0.100/24").len(), 0, "no address comes or goes");
    }
}

#[test]
fn a_worker_that_is_replaced_too_late_listens_first() {
    let mut lan = Lan::started([RouterConfig { preempt: false, ..router(150) }, router(100)]);
    lan.assert_served_by(R1);
    lan.apply(Fault::Crashed(R1));
    lan.run(1_000);
    lan.assert_state(R2, State::Master);
    let back = lan.now();
    lan.apply(Fault::Respawned(R1));
    lan.settle();
    lan.assert_served_by(R2);
    assert_eq!(lan.since(back, "MASTER").len(), 0);
}

#[test]
fn a_startup_delay_is_not_for_a_worker_that_is_replaced() {
    let config = NodeConfig { startup_delay: Duration::from_secs(10), ..node(router(150)) };
    let other = MachineSpec { config: node(router(100)), ..MachineSpec::default() };
    let mut lan = Lan::of(vec![MachineSpec { config, ..MachineSpec::default() }, other]);
    lan.start_all();
    lan.assert_served_by(R1);
    let crashed = lan.now();
    lan.apply(Fault::Crashed(R1));
    lan.run(10);
    lan.apply(Fault::Respawned(R1));
    lan.run(1_000);
    lan.assert_state(R1, State::Master);
    lan.assert_state(R2, State::Backup);
    assert_eq!(lan.since(crashed, "10.0.0.100/24").len(), 0, "no address comes or goes");
    lan.settle();
}

#[test]
fn a_leftover_is_removed_by_a_fault() {
    let mut lan = Lan::started([router(150)]);
    lan.apply(Fault::Crashed(R1));
    lan.apply(Fault::CablePulled(R1, LAN));
    lan.apply(Fault::Started(R1));
    lan.run(100);
    lan.assert_state(R1, State::Fault);
    assert!(!lan.cluster.holds(R1, &address(0)));
    lan.settle();
}

#[test]
fn a_frozen_master_that_comes_back_yields_to_no_lower_router_and_finds_its_hosts() {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.apply(Fault::Frozen(R1));
    lan.run(3_000);
    assert_eq!(lan.cluster.masters(NAME), [R1, R2].into(), "the frozen one does not know");
    assert_eq!(lan.cluster.route(IMPATIENT, &address(0)), Some(R2));
    lan.apply(Fault::Thawed(R1));
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn a_frozen_master_without_preemption_leaves_its_successor_in_place() {
    let mut lan = Lan::started([RouterConfig { preempt: false, ..router(150) }, router(100)]);
    lan.apply(Fault::Frozen(R1));
    lan.run(3_000);
    lan.apply(Fault::Thawed(R1));
    lan.settle();
    lan.assert_served_by(R2);
}

#[test]
fn a_frozen_backup_elects_itself_neither_before_nor_after_its_queue_is_read() {
    let mut lan = Lan::started([router(150), router(100)]);
    let since = lan.now();
    for pause in [200, 500, 5_000, 60_000] {
        lan.apply(Fault::Frozen(R2));
        lan.run(pause);
        lan.apply(Fault::Thawed(R2));
        lan.run(1_000);
    }
    assert_eq!(lan.transitions(since), 0, "{}", lan.cluster.timeline());
}

#[test]
fn a_frozen_lower_router_comes_back_as_stale_master_and_yields() {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.apply(Fault::CablePulled(R1, LAN));
    lan.run(1_000);
    lan.assert_state(R2, State::Master);
    lan.apply(Fault::Frozen(R2));
    lan.apply(Fault::CablePlugged(R1, LAN));
    lan.run(2_000);
    lan.apply(Fault::Thawed(R2));
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn a_lower_rival_is_answered_and_the_addresses_are_announced_again() {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.apply(Fault::Partition(
        LAN,
        vec![lan.cluster.machine_port(R2, LAN), lan.cluster.host_port(IMPATIENT)],
    ));
    lan.run(2_000);
    assert_eq!(lan.cluster.route(IMPATIENT, &address(0)), Some(R2), "the island's master");
    let healed = lan.now();
    lan.apply(Fault::HealNetwork);
    lan.settle();
    lan.assert_served_by(R1);
    assert!(!lan.since(healed, "announcing again").is_empty());
    assert!(lan.delay(healed, "10.0.0.100 is at r1") < 120, "an impatient host learns it at once");
}

#[test]
fn a_rival_that_sends_again_before_the_winner_may_answer_leaves_no_host_behind() {
    let announce = |delay, lower_prio_delay| AnnounceSettings {
        delay: Duration::from_millis(delay),
        lower_prio_delay: Duration::from_millis(lower_prio_delay),
        ..AnnounceSettings::default()
    };
    let slow = RouterConfig { interval: centiseconds(300), announce: announce(1_000, 1_000), ..router(150) };
    let quick = RouterConfig { interval: centiseconds(200), announce: announce(1_500, 1_000), ..router(100) };
    let mut lan = Lan::started([slow, quick]);
    lan.apply(Fault::Cut(lan.cluster.machine_port(R1, LAN), lan.cluster.machine_port(R2, LAN)));
    while lan.cluster.masters(NAME).len() == 1 {
        lan.run(1);
    }
    // R1 has answered the rival, and its second block is over, when that announces for the second time.
    lan.run(1_800);
    assert_eq!(lan.cluster.route(IMPATIENT, &address(0)), Some(R2));
    lan.apply(Fault::HealNetwork);
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn a_patient_host_that_missed_every_announcement_finds_the_winner() {
    let mut lan = Lan::started([router(150), router(100)]);
    let ports = [R1, R2].map(|id| lan.cluster.machine_port(id, LAN));
    for port in ports {
        lan.apply(Fault::Cut(port, lan.cluster.host_port(PATIENT)));
    }
    lan.apply(Fault::PowerLost(R1));
    lan.run(8_000);
    assert_ne!(lan.cluster.route(PATIENT, &address(0)), Some(R2));
    lan.apply(Fault::HealNetwork);
    lan.settle();
    assert_eq!(lan.cluster.route(PATIENT, &address(0)), Some(R2));
}

#[test]
fn many_addresses_are_announced_chunk_by_chunk() {
    let many = |priority| RouterConfig {
        addresses: (0..100).map(|number| virtual_address(prefix(number, 32))).collect(),
        announce: AnnounceSettings { repeat: 1, ..AnnounceSettings::default() },
        ..router(priority)
    };
    let mut lan = Lan::started([many(150), many(100)]);
    let lost = lan.now();
    lan.apply(Fault::PowerLost(R1));
    lan.settle();
    for number in 0..100 {
        assert!(lan.cluster.holds(R2, &address(number)));
        assert_eq!(lan.cluster.route(IMPATIENT, &address(number)), Some(R2));
    }
    let first_heard = lan.delay(lost, "10.0.0.100 is at r2");
    let last_added = lan.delay(lost, "+10.0.0.199/32");
    assert!(
        first_heard <= last_added,
        "the first is announced ({first_heard}) before the last is there ({last_added})"
    );
}

#[test]
fn storms_of_loss_settle() {
    let mut lan = Lan::started([router(150), router(100), router(100), router(50)]);
    let storm =
        Conditions { loss: Ratio::percent(60), jitter: Duration::from_millis(20), ..Conditions::HEALTHY };
    lan.apply(Fault::Conditions(LAN, storm));
    lan.run(30_000);
    lan.apply(Fault::HealNetwork);
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn addresses_stay_at_stop_when_told_so() {
    let mut config = node(router(150));
    config.keep_addresses_on_stop = true;
    let mut lan = Lan::of(vec![MachineSpec { config, ..MachineSpec::default() }]);
    lan.start_all();
    let stopped = lan.now();
    lan.apply(Fault::Stopped(R1));
    lan.run(1_000);
    assert_eq!(lan.since(stopped, "daemon stopped").len(), 1);
    assert!(lan.cluster.holds(R1, &address(0)));
}
