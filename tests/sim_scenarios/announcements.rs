//! Announcements: how many, at which pace, and after what; and the second masters that make them necessary.

use alived::net::{Family, InterfaceName, Prefix};
use alived::node::NodeConfig;
use alived::sim::machine::interface_name;
use alived::sim::network::SegmentId;
use alived::sim::{Fault, MachineId, MachineSpec};
use alived::time::Duration;
use alived::vrrp::{
    AnnounceSettings, ExtraAnnouncements, GarpGroup, InitialState, RouterConfig, State, VirtualAddress,
};
use alived::wire::vrrp::{Priority, Version, Vrid};

use super::lan::{
    IMPATIENT, LAN, Lan, NAME, PATIENT, R1, R2, address, centiseconds, node, prefix, router, virtual_address,
};

const OTHER_LAN: SegmentId = SegmentId(1);

/// The milliseconds, from now on, at which a machine announces something.
fn announcements(lan: &mut Lan, machine: MachineId, milliseconds: u64) -> Vec<u64> {
    let mut at = Vec::new();
    for ms in 0..milliseconds {
        let before = lan.cluster.sent(machine).announcements;
        lan.run(1);
        at.extend((before..lan.cluster.sent(machine).announcements).map(|_| ms));
    }
    at
}

fn machine(config: NodeConfig) -> MachineSpec {
    MachineSpec { config, ..MachineSpec::default() }
}

fn on(prefix: Prefix, interface: InterfaceName) -> VirtualAddress {
    VirtualAddress { interface: Some(interface), ..virtual_address(prefix) }
}

/// One block of `repeat` rounds at the election, one after `delay`, then a refresh now and then.
#[test]
fn blocks_and_refreshes_have_their_counts_and_times() {
    let announce = AnnounceSettings {
        repeat: 3,
        delay: Duration::from_secs(2),
        refresh: Duration::from_secs(10),
        refresh_repeat: 2,
        ..AnnounceSettings::default()
    };
    let addresses = vec![virtual_address(prefix(0, 24)), virtual_address(prefix(1, 24))];
    let config = node(RouterConfig { announce, addresses, ..router(150) });
    let mut lan = Lan::of(vec![machine(config)]);
    lan.apply(Fault::Started(R1));
    while lan.cluster.masters(NAME).is_empty() {
        lan.run(1);
    }
    let already = lan.cluster.sent(R1).announcements as usize;
    let at = announcements(&mut lan, R1, 25_000);
    let count = |from: u64, to: u64| at.iter().filter(|ms| (from..to).contains(*ms)).count();
    assert_eq!(already + count(0, 50), 6, "{at:?}");
    assert_eq!(count(1_950, 2_050), 6, "{at:?}");
    assert_eq!((count(9_900, 10_100), count(19_900, 20_100)), (4, 4), "{at:?}");
    assert_eq!(already + at.len(), 20, "{at:?}");
}

#[test]
fn interfaces_of_a_group_share_its_pace_and_no_advertisement_waits_for_it() {
    let addresses = (0..5).map(|number| virtual_address(prefix(number, 24)));
    let there = interface_name(OTHER_LAN);
    let others = (5..10).map(|number| on(prefix(number, 32), there.clone()));
    let mut config = node(RouterConfig { addresses: addresses.chain(others).collect(), ..router(150) });
    config.garp_groups = vec![GarpGroup {
        interfaces: vec![interface_name(LAN), there],
        arp_interval: Some(Duration::from_millis(25)),
        ndisc_interval: None,
    }];
    let mut lan = Lan::of(vec![machine(config)]);
    lan.apply(Fault::Started(R1));
    while lan.cluster.masters(NAME).is_empty() {
        lan.run(1);
    }
    let sent = lan.cluster.sent(R1).advertisements;
    let at = announcements(&mut lan, R1, 2_000);
    assert_eq!(at.len(), 50, "5 rounds of 10: {at:?}");
    // The daemon wakes up a moment late each time.
    let pauses: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.iter().all(|pause| (24..=30).contains(pause)), "{pauses:?}");
    let sent = lan.cluster.sent(R1).advertisements - sent;
    assert!((19..=20).contains(&sent), "{sent} advertisements in 2 s");
    // Of a group that is no more, the pace is none.
    let mut config = node(router(150));
    config.routers[0].addresses = (0..10).map(|number| virtual_address(prefix(number, 24))).collect();
    lan.apply(Fault::Reloaded(R1, config));
    let at = announcements(&mut lan, R1, 1_000);
    assert!(at.len() >= 25 && at.iter().all(|ms| *ms < 100), "{at:?}");
}

#[test]
fn addresses_on_other_interfaces_are_announced_from_time_to_time() {
    let extra = Some(ExtraAnnouncements { period: Duration::from_secs(3), all: true });
    let there = interface_name(OTHER_LAN);
    let addresses = vec![virtual_address(prefix(0, 24)), on(prefix(1, 32), there)];
    let announce = AnnounceSettings { delay: Duration::ZERO, extra, ..AnnounceSettings::default() };
    let mut lan = Lan::started([RouterConfig { addresses, announce, ..router(150) }]);
    lan.run(10_000);
    let at = announcements(&mut lan, R1, 12_000);
    assert_eq!(at.len(), 4, "one each 3 s: {at:?}");
}

#[test]
fn when_sending_works_again_all_is_announced_again() {
    let quiet = AnnounceSettings { delay: Duration::ZERO, ..AnnounceSettings::default() };
    let mut lan = Lan::started([
        RouterConfig { announce: quiet, ..router(150) },
        RouterConfig { down_timer_adverts: 100, ..router(100) },
    ]);
    lan.run(10_000);
    assert_eq!(announcements(&mut lan, R1, 5_000), [] as [u64; 0]);
    lan.apply(Fault::SendingForbidden(R1, true));
    lan.run(250);
    lan.apply(Fault::SendingForbidden(R1, false));
    let begun = lan.now();
    let at = announcements(&mut lan, R1, 1_000);
    assert_eq!(at.len(), 5, "{at:?}");
    assert!(lan.delay(begun, "advertisements are sent again") <= at[0]);
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn a_link_that_comes_back_makes_a_master_that_stayed_announce_again() {
    let quiet = AnnounceSettings { delay: Duration::ZERO, ..AnnounceSettings::default() };
    let mut lan = Lan::started([RouterConfig { announce: quiet, track_primary: false, ..router(150) }]);
    lan.run(10_000);
    lan.apply(Fault::CablePulled(R1, LAN));
    lan.run(150);
    lan.assert_state(R1, State::Master);
    lan.apply(Fault::CablePlugged(R1, LAN));
    let at = announcements(&mut lan, R1, 1_000);
    assert!(at.len() >= 5 && at[0] < 50, "{at:?}");
}

/// R2 does not hear R1: a cut in one direction.
#[test]
fn a_second_master_is_told_while_it_lasts_and_hosts_are_told_of_the_first() {
    let mut lan = Lan::started([router(150), router(100)]);
    let (r1, r2) = (lan.cluster.machine_port(R1, LAN), lan.cluster.machine_port(R2, LAN));
    let cut = lan.now();
    lan.apply(Fault::Cut(r1, r2));
    lan.run(25_000);
    lan.assert_state(R1, State::Master);
    lan.assert_state(R2, State::Master);
    let first = "Received advert from 10.0.0.2 with lower priority 100, ours 150: a second master";
    assert_eq!(lan.since(cut, first).len(), 1, "{}", lan.cluster.timeline());
    assert_eq!(lan.since(cut, "a second master 10.0.0.2 with priority 100 has been heard for").len(), 2);
    for host in [PATIENT, IMPATIENT] {
        assert_eq!(lan.cluster.route(host, &address(0)), Some(R1), "{host}");
    }
    let healed = lan.now();
    lan.apply(Fault::HealNetwork);
    lan.settle();
    lan.assert_served_by(R1);
    assert_eq!(lan.since(healed, "second master 10.0.0.2 is not heard any more").len(), 1);
}

fn owner(ignores: bool) -> RouterConfig {
    RouterConfig { initial: InitialState::Master, owner_ignore_adverts: ignores, ..router(255) }
}

#[test]
fn of_two_owners_the_one_with_the_lower_address_yields() {
    let mut lan = Lan::started([owner(false), owner(false)]);
    lan.assert_served_by(R2);
    let gone = lan.now();
    lan.apply(Fault::PowerLost(R2));
    lan.settle();
    lan.assert_served_by(R1);
    assert!(lan.delay(gone, "BACKUP -> MASTER: master 10.0.0.2 not heard") < 400);
}

#[test]
fn an_owner_that_another_one_does_not_yield_to_is_254_until_that_is_gone() {
    let machines = [owner(true), owner(false)].map(|router| machine(node(router)));
    let mut lan = Lan::of(machines.into());
    lan.apply(Fault::Started(R1));
    lan.apply(Fault::Started(R2));
    let begun = lan.now();
    lan.run(2_000);
    let lowered = "10.0.0.1 has priority 255, too, and does not yield";
    assert_eq!(lan.since(begun, lowered).len(), 1, "{}", lan.cluster.timeline());
    assert_eq!(lan.cluster.masters(NAME), [R1].into());
    let since = lan.now();
    lan.run(20_000);
    assert_eq!(lan.transitions(since), 0);
    for host in [PATIENT, IMPATIENT] {
        assert_eq!(lan.cluster.route(host, &address(0)), Some(R1), "{host}");
    }
    let gone = lan.now();
    lan.apply(Fault::PowerLost(R1));
    lan.settle();
    lan.assert_served_by(R2);
    let restored = lan.since(gone, "BACKUP -> MASTER");
    assert!(restored.len() == 1 && restored[0].text.ends_with("[255]"), "{restored:?}");
}

/// One IPv6 address, with duplicate address detection.
fn detecting(priority: u8) -> RouterConfig {
    let mut vip = virtual_address(Prefix::new("2001:db8::100".parse().unwrap(), 64).unwrap());
    vip.spec.flags.duplicate_address_detection = true;
    RouterConfig {
        version: Version::V3,
        priority: Priority(priority),
        interval: centiseconds(10),
        addresses: vec![vip],
        announce: AnnounceSettings { delay: Duration::ZERO, ..AnnounceSettings::default() },
        ..RouterConfig::new(NAME, Vrid::new(51).unwrap(), Family::Ipv6, interface_name(LAN))
    }
}

#[test]
fn an_address_is_announced_when_the_kernel_has_found_it_unique() {
    let mut lan = Lan::of(vec![machine(node(detecting(150))), machine(node(detecting(100)))]);
    lan.apply(Fault::Started(R1));
    let started = lan.now();
    let at = announcements(&mut lan, R1, 5_000);
    let added = lan.delay(started, "+2001:db8::100/64");
    assert_eq!(at.len(), 5, "{at:?}");
    assert!((1_000..1_100).contains(&(at[0] - added)), "added at {added}, announced at {at:?}");
    lan.settle();
    // Who takes over finds it unique as well, since the first one is gone.
    lan.apply(Fault::Started(R2));
    lan.settle();
    lan.apply(Fault::PowerLost(R1));
    lan.settle();
    assert_eq!(lan.cluster.masters(NAME), [R2].into());
    assert_eq!(lan.cluster.route(IMPATIENT, &"2001:db8::100".parse().unwrap()), Some(R2));
}

#[test]
fn an_address_that_a_host_has_is_told_not_announced_and_tried_again() {
    let vip = "2001:db8::100".parse().unwrap();
    let mut lan = Lan::of(vec![machine(node(detecting(150)))]);
    lan.apply(Fault::AddressTaken(vip, true));
    lan.apply(Fault::Started(R1));
    let started = lan.now();
    assert_eq!(announcements(&mut lan, R1, 40_000), [] as [u64; 0]);
    lan.assert_state(R1, State::Master);
    assert_eq!(lan.since(started, "another host on eth0 has 2001:db8::100/64").len(), 1);
    let tries = lan.since(started, "+2001:db8::100/64").len();
    assert!((5..=6).contains(&tries), "{tries} tries\n{}", lan.cluster.timeline());
    lan.apply(Fault::AddressTaken(vip, false));
    let free = lan.now();
    let at = announcements(&mut lan, R1, 40_000);
    assert_eq!(at.len(), 5, "{at:?}");
    assert!(lan.delay(free, "no other host has 2001:db8::100/64 any more") <= at[0]);
}
