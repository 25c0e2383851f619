//! The operator's switch-over and switch-back.

use alived::sim::Fault;
use alived::vrrp::{InitialState, RouterConfig, State};
use alived::wire::vrrp::Priority;

use super::lan::{LAN, Lan, R1, R2, R3, address, router};

#[test]
fn switch_over_and_back() {
    let mut lan = Lan::started([router(150), router(100)]);
    let begun = lan.now();
    lan.apply(Fault::SwitchOver(R1));
    lan.settle();
    lan.assert_served_by(R2);
    assert!(lan.delay(begun, "MASTER -> BACKUP: switched over to 10.0.0.2") < 70);
    lan.run(30_000);
    lan.assert_served_by(R2);
    lan.apply(Fault::SwitchBack(R1));
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn switching_back_in_the_middle_of_a_switch_over_leaves_the_better_router_master() {
    // From before the successor's election, a skew time after the priority 0, to after it.
    for pause in [0, 5, 30, 55, 60, 61, 62, 65, 100] {
        let mut lan = Lan::started([router(150), router(100)]);
        lan.apply(Fault::SwitchOver(R1));
        lan.run(pause);
        lan.apply(Fault::SwitchBack(R1));
        lan.settle();
        lan.assert_served_by(R1);
    }
}

#[test]
fn switching_back_and_over_again_at_once_leaves_the_successor_master() {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.apply(Fault::SwitchOver(R1));
    lan.settle();
    lan.assert_served_by(R2);
    // Both words wait for it when it goes on.
    lan.apply(Fault::Frozen(R1));
    lan.apply(Fault::SwitchBack(R1));
    lan.apply(Fault::SwitchOver(R1));
    lan.run(5_000);
    lan.apply(Fault::Thawed(R1));
    lan.settle();
    lan.assert_served_by(R2);
}

#[test]
fn switching_back_and_over_again_before_a_successor_is_heard_goes_on_with_the_switch_over() {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.apply(Fault::SwitchOver(R1));
    lan.run(10);
    lan.apply(Fault::Frozen(R1));
    lan.apply(Fault::SwitchBack(R1));
    lan.apply(Fault::SwitchOver(R1));
    lan.run(10);
    lan.apply(Fault::Thawed(R1));
    lan.settle();
    lan.assert_served_by(R2);
}

#[test]
fn switching_back_over_and_back_at_once_leaves_the_better_router_master() {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.apply(Fault::SwitchOver(R1));
    lan.settle();
    lan.assert_served_by(R2);
    lan.apply(Fault::Frozen(R1));
    for word in [Fault::SwitchBack(R1), Fault::SwitchOver(R1), Fault::SwitchBack(R1)] {
        lan.apply(word);
    }
    lan.run(5_000);
    lan.apply(Fault::Thawed(R1));
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn a_switch_over_leaves_no_moment_without_the_address() {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.apply(Fault::SwitchOver(R1));
    for _ in 0..200 {
        lan.run(1);
        let holders = [R1, R2].map(|id| lan.cluster.holds(id, &address(0)));
        assert!(holders.contains(&true), "{}", lan.cluster.timeline());
    }
    lan.settle();
    lan.assert_served_by(R2);
}

#[test]
fn the_best_of_the_others_succeeds() {
    let mut lan = Lan::started([router(150), router(100), router(120)]);
    lan.apply(Fault::SwitchOver(R1));
    lan.settle();
    lan.assert_served_by(R3);
}

#[test]
fn when_the_successor_fails_who_switched_over_is_master_again() {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.apply(Fault::SwitchOver(R1));
    lan.settle();
    lan.apply(Fault::PowerLost(R2));
    lan.settle();
    lan.assert_served_by(R1);
    lan.apply(Fault::Booted(R2));
    lan.apply(Fault::Started(R2));
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn when_nobody_takes_over_the_master_resumes_and_says_so() {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.apply(Fault::PowerLost(R2));
    lan.run(1_000);
    let begun = lan.now();
    lan.apply(Fault::SwitchOver(R1));
    lan.settle();
    lan.assert_served_by(R1);
    assert_eq!(lan.transitions(begun), 0);
    let delay = lan.delay(begun, "nobody took over");
    assert!((195..=202).contains(&delay), "one interval and the longest skew: {delay}");
}

#[test]
fn an_owner_refuses() {
    let owner = RouterConfig { priority: Priority::OWNER, initial: InitialState::Master, ..router(255) };
    let mut lan = Lan::started([owner, router(100)]);
    let begun = lan.now();
    lan.apply(Fault::SwitchOver(R1));
    lan.settle();
    lan.assert_served_by(R1);
    assert_eq!(lan.since(begun, "refusing to switch over").len(), 1);
}

#[test]
fn a_backup_told_to_switch_over_does_nothing() {
    let mut lan = Lan::started([router(150), router(100)]);
    let begun = lan.now();
    lan.apply(Fault::SwitchOver(R2));
    lan.settle();
    lan.assert_served_by(R1);
    assert_eq!(lan.transitions(begun), 0);
}

#[test]
fn a_fault_during_the_switch_over_gives_up_the_address() {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.apply(Fault::SwitchOver(R1));
    lan.run(5);
    lan.apply(Fault::CablePulled(R1, LAN));
    lan.settle();
    lan.assert_state(R1, State::Fault);
    lan.assert_served_by(R2);
}

#[test]
fn a_stop_during_the_switch_over_ends_it() {
    let mut lan = Lan::started([router(150), router(100)]);
    let begun = lan.now();
    lan.apply(Fault::SwitchOver(R1));
    lan.run(5);
    lan.apply(Fault::Stopped(R1));
    lan.settle();
    lan.assert_served_by(R2);
    assert_eq!(lan.since(begun, "daemon stopped").len(), 1);
}
