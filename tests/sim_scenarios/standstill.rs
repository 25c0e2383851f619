//! Machines that pause and daemons that starve: what they believe when they go on is of the past.

use alived::sim::Fault;
use alived::time::Duration;
use alived::vrrp::{RouterConfig, State};

use super::lan::{IMPATIENT, LAN, Lan, R1, R2, R3, address, centiseconds, router};

#[test]
fn a_paused_machine_answers_nobody_and_takes_over_again_with_its_first_packet() {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.apply(Fault::Paused(R1));
    lan.run(3_000);
    lan.assert_state(R2, State::Master);
    assert_eq!(lan.cluster.route(IMPATIENT, &address(0)), Some(R2));
    let resumed = lan.now();
    lan.apply(Fault::Resumed(R1));
    lan.run(20);
    lan.assert_state(R2, State::Backup);
    assert_eq!(lan.since(resumed, "stood still").len(), 1, "{}", lan.cluster.timeline());
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn a_paused_machine_without_preemption_is_silent_until_it_knows_whether_there_is_a_successor() {
    let mut lan = Lan::started([RouterConfig { preempt: false, ..router(150) }, router(100)]);
    lan.apply(Fault::Paused(R1));
    lan.run(3_000);
    let (resumed, sent) = (lan.now(), lan.cluster.sent(R1).advertisements);
    lan.apply(Fault::Resumed(R1));
    lan.settle();
    lan.assert_served_by(R2);
    assert_eq!(lan.since(resumed, "BACKUP").len(), 1, "{}", lan.cluster.timeline());
    assert_eq!(lan.cluster.sent(R1).advertisements - sent, 1, "its last word, nothing else");
}

#[test]
fn a_lower_machine_that_returns_from_a_pause_yields() {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.apply(Fault::CablePulled(R1, LAN));
    lan.run(1_000);
    lan.apply(Fault::Paused(R2));
    lan.apply(Fault::CablePlugged(R1, LAN));
    lan.run(2_000);
    lan.apply(Fault::Resumed(R2));
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn machines_that_pause_together_go_on_as_they_were() {
    let mut lan = Lan::started([router(150), router(100), router(50)]);
    let since = lan.now();
    for machine in [R1, R2, R3] {
        lan.apply(Fault::Paused(machine));
    }
    lan.run(10_000);
    for machine in [R3, R2, R1] {
        lan.apply(Fault::Resumed(machine));
    }
    lan.settle();
    assert_eq!(lan.transitions(since), 0, "{}", lan.cluster.timeline());
}

#[test]
fn a_starved_master_stays_master_where_its_peers_wait_longer_than_it_starves() {
    let mut lan = Lan::started([router(150), router(100)]);
    let since = lan.now();
    lan.apply(Fault::Starved(R1, Duration::from_secs(60)));
    lan.run(61_000);
    assert_eq!(lan.transitions(since), 0, "{}", lan.cluster.timeline());
}

#[test]
fn a_starved_backup_elects_itself_never_however_short_the_interval() {
    // It misses up to five advertisements at a time, and finds them in its socket.
    let quick = |priority| RouterConfig { interval: centiseconds(1), ..router(priority) };
    let mut lan = Lan::started([quick(150), quick(100)]);
    let since = lan.now();
    lan.apply(Fault::Starved(R2, Duration::from_secs(60)));
    lan.run(61_000);
    assert_eq!(lan.transitions(since), 0, "{}", lan.cluster.timeline());
}
