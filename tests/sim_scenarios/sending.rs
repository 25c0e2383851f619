//! Advertisements that do not leave: they no longer fit into the interface's MTU, or a packet filter drops them.

use alived::sim::{Fault, MachineSpec};
use alived::vrrp::{RouterConfig, State};

use super::lan::{IMPATIENT, LAN, Lan, PATIENT, R1, R2, address, node, prefix, router, virtual_address};

/// 20 bytes of IPv4, 8 of VRRP and 4 for each address.
fn crowded(priority: u8) -> RouterConfig {
    let addresses = (0..20).map(|number| virtual_address(prefix(number, 24))).collect();
    RouterConfig { addresses, ..router(priority) }
}

fn machine(router: RouterConfig) -> MachineSpec {
    MachineSpec { config: node(router), ..MachineSpec::default() }
}

const TOO_SMALL: u32 = 107;
const ENOUGH: u32 = 108;
const ETHERNET: u32 = 1500;

#[test]
fn a_master_whose_advertisements_do_not_fit_any_more_hands_on_and_comes_back_with_the_mtu() {
    let mut lan = Lan::started([crowded(150), crowded(100)]);
    lan.assert_served_by(R1);
    let lowered = lan.now();
    lan.apply(Fault::MtuChanged(R1, LAN, ENOUGH));
    lan.settle();
    assert_eq!(lan.transitions(lowered), 0, "they still fit");
    let lowered = lan.now();
    lan.apply(Fault::MtuChanged(R1, LAN, TOO_SMALL));
    lan.run(900);
    lan.assert_state(R1, State::Fault);
    lan.assert_state(R2, State::Master);
    assert!(!lan.cluster.holds(R1, &address(0)));
    // Three intervals and a skew time for both, less than one of them apart.
    let took_over = lan.delay(lowered, "BACKUP -> MASTER");
    let reason = "MASTER -> FAULT: no advertisement could be sent on interface eth0: it is larger than the interface's MTU";
    let gave_up = lan.delay(lowered, reason);
    assert!((200..=500).contains(&took_over), "{took_over} ms");
    assert!((200..=500).contains(&gave_up), "{gave_up} ms");
    // It tries again, ever more seldom, and does nobody harm by that.
    for _ in 0..180 {
        lan.run(1_000);
        lan.assert_state(R2, State::Master);
    }
    let tries = lan.since(lowered, "-> FAULT: no advertisement").len();
    assert!((5..=10).contains(&tries), "{tries} times\n{}", lan.cluster.timeline());
    let restored = lan.now();
    lan.apply(Fault::MtuChanged(R1, LAN, ETHERNET));
    lan.run(900);
    assert!(lan.delay(restored, "BACKUP -> MASTER") < 500);
    lan.settle();
    lan.assert_served_by(R1);
    assert_eq!(lan.transitions(restored), 3, "R1 in two steps, and R2");
}

#[test]
fn hosts_stay_with_the_master_while_another_tries_in_vain() {
    let mut lan = Lan::started([crowded(150), crowded(100)]);
    lan.apply(Fault::MtuChanged(R1, LAN, TOO_SMALL));
    lan.run(900);
    for _ in 0..1_800 {
        lan.run(100);
        for host in [PATIENT, IMPATIENT] {
            let at = lan.cluster.route(host, &address(0));
            assert_eq!(at, Some(R2), "{host}\n{}", lan.cluster.timeline());
        }
        assert!(!lan.cluster.holds(R1, &address(0)), "{}", lan.cluster.timeline());
    }
}

#[test]
fn alone_on_the_lan_a_router_is_master_though_nobody_hears_it() {
    let mut lan = Lan::started([crowded(150)]);
    lan.apply(Fault::SendingForbidden(R1, true));
    let (mut served, looks) = (0, 3_000);
    for _ in 0..looks {
        lan.run(100);
        served += usize::from(lan.cluster.state(R1, super::lan::NAME) == Some(State::Master));
    }
    assert!(served * 100 / looks >= 95, "{served} of {looks}");
    lan.apply(Fault::SendingForbidden(R1, false));
    lan.settle();
    lan.assert_served_by(R1);
}

/// A small MTU may keep the others' advertisements out as well, as the driver likes; a cut cable does so here.
#[test]
fn whose_advertisements_do_not_fit_does_not_take_silence_for_an_empty_lan() {
    let mut lan = Lan::started([crowded(150), crowded(100)]);
    lan.apply(Fault::MtuChanged(R1, LAN, TOO_SMALL));
    lan.apply(Fault::Partition(LAN, vec![lan.cluster.machine_port(R1, LAN)]));
    lan.run(900);
    for _ in 0..1_800 {
        lan.run(100);
        lan.assert_state(R2, State::Master);
        assert_ne!(
            lan.cluster.state(R1, super::lan::NAME),
            Some(State::Master),
            "{}",
            lan.cluster.timeline()
        );
        assert!(!lan.cluster.holds(R1, &address(0)), "{}", lan.cluster.timeline());
    }
    lan.apply(Fault::HealNetwork);
    lan.apply(Fault::MtuChanged(R1, LAN, ETHERNET));
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn who_stands_back_takes_over_when_the_others_are_gone() {
    let mut lan = Lan::started([crowded(150), crowded(100)]);
    lan.apply(Fault::MtuChanged(R1, LAN, TOO_SMALL));
    // Its pause is a minute by now.
    lan.run(150_000);
    lan.assert_state(R1, State::Fault);
    let alone = lan.now();
    lan.apply(Fault::PowerLost(R2));
    lan.run(1_000);
    lan.assert_state(R1, State::Master);
    let took_over = lan.delay(alone, "BACKUP -> MASTER");
    assert!((200..=500).contains(&took_over), "{took_over} ms");
}

#[test]
fn who_was_alone_hands_on_to_whom_it_hears() {
    let mut lan = Lan::of([150, 100].map(|priority| machine(crowded(priority))).into());
    lan.apply(Fault::Started(R1));
    lan.settle();
    lan.apply(Fault::SendingForbidden(R1, true));
    lan.run(150_000);
    lan.assert_state(R1, State::Master);
    lan.apply(Fault::Started(R2));
    let started = lan.now();
    lan.run(2_000);
    lan.assert_state(R2, State::Master);
    lan.assert_state(R1, State::Fault);
    assert!(lan.delay(started, "MASTER -> FAULT") < 1_000);
}

#[test]
fn a_shorter_address_list_or_a_new_interface_ends_the_pause_at_once() {
    for mended in [
        vec![Fault::Reloaded(R1, node(router(150))), Fault::Reloaded(R2, node(router(100)))],
        vec![Fault::InterfaceDeleted(R1, LAN, false), Fault::InterfaceCreated(R1, LAN)],
    ] {
        let mut lan = Lan::started([crowded(150), crowded(100)]);
        lan.apply(Fault::MtuChanged(R1, LAN, TOO_SMALL));
        lan.run(150_000);
        lan.assert_state(R1, State::Fault);
        mended.into_iter().for_each(|fault| lan.apply(fault));
        lan.settle();
        lan.assert_served_by(R1);
    }
}
