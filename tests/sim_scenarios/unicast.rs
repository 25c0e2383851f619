//! Routers that speak to each other's addresses.

use core::net::IpAddr;

use alived::kernel::AddressSpec;
use alived::net::{Family, Prefix};
use alived::node::NodeConfig;
use alived::sim::invariants::Pace;
use alived::sim::machine::{interface_name, own_addresses};
use alived::sim::network::SegmentId;
use alived::sim::scenario::Scenario;
use alived::sim::{Fault, MachineId, MachineSpec};
use alived::vrrp::{Destinations, RouterConfig, RouterInterfaces, State, UnicastPeer, VirtualAddress};
use alived::wire::vrrp::{HopLimits, Vrid};

use super::lan::{LAN, Lan, NAME, R1, R2, R3, centiseconds, node, prefix, router, virtual_address};

/// Its own IPv4 address.
fn own(machine: MachineId) -> IpAddr {
    own_addresses(machine, LAN)[0].address()
}

fn peers(machines: &[MachineId]) -> Destinations {
    Destinations::Unicast(machines.iter().map(|machine| own(*machine).into()).collect())
}

fn unicast(machine: MachineId, others: &[MachineId], priority: u8) -> RouterConfig {
    RouterConfig { source: Some(own(machine)), destinations: peers(others), ..router(priority) }
}

/// Three that know each other.
fn three() -> [RouterConfig; 3] {
    [unicast(R1, &[R2, R3], 150), unicast(R2, &[R1, R3], 120), unicast(R3, &[R1, R2], 100)]
}

fn machine(router: RouterConfig) -> MachineSpec {
    MachineSpec { config: node(router), ..MachineSpec::default() }
}

fn routed(config: RouterConfig) -> RouterConfig {
    RouterConfig { interfaces: RouterInterfaces::routed(interface_name(LAN), None), ..config }
}

#[test]
fn three_routers_elect_one_whoever_fails() {
    for routers in [three(), three().map(routed)] {
        let mut lan = Lan::started(routers);
        lan.assert_fails_over_and_back();
        lan.apply(Fault::Stopped(R1));
        lan.settle();
        lan.assert_served_by(R2);
    }
}

/// Linux hands what is sent to an address to the socket of a group as well, which may be full when the one of the address is
/// not: only there a router, and who watches it, takes it for its own.
#[test]
fn a_last_word_that_only_the_socket_of_the_address_had_room_for_counts() {
    const BUSY: &str = "VI_2";
    let configs = [(R1, R2, 150), (R2, R1, 100)].map(|(id, other, priority)| {
        let slow = RouterConfig { interval: centiseconds(100), ..unicast(id, &[other], priority) };
        let busy = RouterConfig {
            name: BUSY.into(),
            vrid: Vrid::new(52).unwrap(),
            addresses: vec![virtual_address(prefix(9, 24))],
            ..router(priority)
        };
        NodeConfig { routers: vec![slow, busy], ..NodeConfig::default() }
    });
    let machines = configs.map(|config| MachineSpec { config, ..MachineSpec::default() });
    let mut lan = Lan::at_pace(Pace::SLUGGISH, machines.into());
    lan.start_all();
    lan.assert_served_by(R1);
    lan.apply(Fault::Frozen(R2));
    // 20 messages fill the socket of the group.
    lan.run(5_000);
    lan.apply(Fault::Stopped(R1));
    lan.run(1_000);
    let thawed = lan.now();
    lan.apply(Fault::Thawed(R2));
    lan.settle();
    lan.assert_served_by(R2);
    let skew_time = 1_000 * (256 - 100) / 256;
    let delay = lan.delay(thawed, "(VI_1) BACKUP -> MASTER");
    assert!((skew_time..skew_time + 50).contains(&delay), "{delay}\n{}", lan.cluster.timeline());
}

#[test]
fn the_same_over_ipv6_by_global_addresses() {
    let global = |machine| own_addresses(machine, LAN)[2].address();
    let virtual_address = "2001:db8::99".parse().unwrap();
    let make = |machine: MachineId, other: MachineId, priority| RouterConfig {
        family: Family::Ipv6,
        source: Some(global(machine)),
        destinations: Destinations::Unicast(vec![global(other).into()]),
        hop_limit: 64,
        addresses: vec![VirtualAddress {
            spec: AddressSpec::new(Prefix::new(virtual_address, 64).unwrap()),
            interface: None,
            track: true,
        }],
        ..router(priority)
    };
    let mut lan = Lan::started([make(R1, R2, 150), make(R2, R1, 100)]);
    assert_eq!(lan.cluster.masters(NAME), [R1].into());
    lan.apply(Fault::CablePulled(R1, LAN));
    lan.settle();
    assert_eq!(lan.cluster.masters(NAME), [R2].into());
    assert!(lan.cluster.holds(R2, &virtual_address));
}

#[test]
fn a_router_without_peers_faults_until_it_has_some() {
    let mut lan = Lan::started([unicast(R1, &[], 150), unicast(R2, &[R1], 100)]);
    lan.assert_served_by(R2);
    lan.assert_state(R1, State::Fault);
    assert_eq!(lan.since(alived::time::Instant::ZERO, "-> FAULT: no unicast peers").len(), 1);
    lan.apply(Fault::Reloaded(R1, node(unicast(R1, &[R2], 150))));
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn the_source_address_goes_and_comes_back() {
    // Without an interface the way to the others goes with it, and no last word is said.
    for (routers, wait) in [(three(), 200), (three().map(routed), 500)] {
        let mut lan = Lan::started(routers);
        let gone = lan.now();
        lan.apply(Fault::OwnAddressRemoved(R1, LAN));
        lan.settle();
        lan.assert_served_by(R2);
        lan.assert_state(R1, State::Fault);
        assert!(!lan.since(gone, "MASTER -> FAULT: source address 10.0.0.1 is not on").is_empty());
        assert!(lan.delay(gone, "BACKUP -> MASTER") < wait, "{}", lan.cluster.timeline());
        let back = lan.now();
        lan.apply(Fault::OwnAddressRestored(R1, LAN));
        lan.settle();
        lan.assert_served_by(R1);
        assert!(lan.delay(back, "FAULT -> BACKUP") < 100);
    }
}

#[test]
fn a_source_address_may_appear_after_the_start() {
    let mut lan = Lan::of(three().map(machine).into());
    lan.apply(Fault::OwnAddressRemoved(R1, LAN));
    lan.start_all();
    lan.assert_served_by(R2);
    lan.apply(Fault::OwnAddressRestored(R1, LAN));
    lan.settle();
    lan.assert_served_by(R1);
}

/// `check_unicast_src`: who is not on the list is not obeyed, though it is heard.
#[test]
fn a_stranger_is_obeyed_only_where_sources_are_not_checked() {
    for check_source in [false, true] {
        let checked = |config| RouterConfig { check_source, ..config };
        let stranger = unicast(R3, &[R1, R2], 200);
        let mut lan = Lan::of(
            [checked(unicast(R1, &[R2], 150)), checked(unicast(R2, &[R1], 100)), stranger]
                .map(machine)
                .into(),
        );
        for machine in [R1, R2, R3] {
            lan.apply(Fault::Started(machine));
        }
        // It hears nobody, as it is on nobody's list.
        lan.run(3_000);
        lan.assert_state(R3, State::Master);
        lan.assert_state(R1, if check_source { State::Master } else { State::Backup });
        lan.assert_state(R2, State::Backup);
        let told = lan.since(alived::time::Instant::ZERO, "10.0.0.3 is no unicast_peer of ours").len();
        assert_eq!(told, if check_source { 2 } else { 0 }, "{}", lan.cluster.timeline());
    }
}

/// `unicast_ttl`, and `min_ttl` of the peer.
#[test]
fn a_peer_is_heard_with_the_ttl_that_is_expected_of_it() {
    let at_least = |peer, least| {
        let hop_limits = HopLimits { least, most: 255 };
        Destinations::Unicast(vec![UnicastPeer { address: own(peer), hop_limits }])
    };
    for (ttl, heard) in [(64, true), (63, false)] {
        let sender = RouterConfig { hop_limit: ttl, ..unicast(R1, &[R2], 150) };
        let receiver = RouterConfig { destinations: at_least(R1, 64), ..unicast(R2, &[R1], 100) };
        let mut lan = Lan::of([sender, receiver].map(machine).into());
        lan.apply(Fault::Started(R1));
        lan.apply(Fault::Started(R2));
        lan.run(3_000);
        lan.assert_state(R1, State::Master);
        lan.assert_state(R2, if heard { State::Backup } else { State::Master });
        let told = lan.since(alived::time::Instant::ZERO, "invalid TTL/HL").len();
        assert_eq!(told, usize::from(!heard), "{}", lan.cluster.timeline());
    }
}

#[test]
fn routers_of_one_identifier_and_other_peers_do_not_hear_each_other() {
    let named = |name: &str, config: RouterConfig| RouterConfig { name: name.into(), ..config };
    // R1 and R2 are one pair, R3 and R4 another one, on one LAN.
    let r4 = MachineId(3);
    let addresses = |number| vec![virtual_address(prefix(number, 24))];
    let pair = |first, second, priority, number| RouterConfig {
        addresses: addresses(number),
        check_source: true,
        ..unicast(first, &[second], priority)
    };
    let routers = [
        named("A", pair(R1, R2, 150, 0)),
        named("A", pair(R2, R1, 100, 0)),
        named("B", pair(R3, r4, 120, 1)),
        named("B", pair(r4, R3, 110, 1)),
    ];
    let mut lan = Lan::of(routers.map(machine).into());
    for machine in [R1, R2, R3, r4] {
        lan.apply(Fault::Started(machine));
    }
    lan.run(3_000);
    assert_eq!(lan.cluster.masters("A"), [R1].into());
    assert_eq!(lan.cluster.masters("B"), [R3].into());
    lan.apply(Fault::Crashed(R1));
    lan.run(3_000);
    assert_eq!(lan.cluster.masters("A"), [R2].into());
    assert_eq!(lan.cluster.masters("B"), [R3].into());
}

const FAR: SegmentId = SegmentId(1);

/// Two that share an address on one segment, and speak to each other over a router: the second from another segment.
/// Each expects this TTL of the other.
fn apart(ttl: u8) -> Lan {
    let hop_limits = HopLimits { least: ttl, most: ttl };
    let far = own_addresses(R2, FAR)[0].address();
    let make = |source, peer, segment, priority| {
        let mut config = RouterConfig {
            source: Some(source),
            destinations: Destinations::Unicast(vec![UnicastPeer { address: peer, hop_limits }]),
            check_source: true,
            interfaces: RouterInterfaces::single(interface_name(segment)),
            ..router(priority)
        };
        config.addresses[0].interface = Some(interface_name(LAN));
        config
    };
    let routers = [make(own(R1), far, LAN, 150), make(far, own(R1), FAR, 100)];
    let mut lan = Lan::of(routers.map(machine).into());
    lan.cluster.add_gateway();
    lan
}

#[test]
fn routers_elect_one_over_a_router() {
    let mut lan = apart(254);
    lan.start_all();
    lan.assert_fails_over_and_back();
    lan.apply(Fault::Stopped(R1));
    let stopped = lan.now();
    lan.settle();
    lan.assert_served_by(R2);
    assert!(lan.delay(stopped, "BACKUP -> MASTER") < 200, "{}", lan.cluster.timeline());
}

#[test]
fn what_a_router_has_passed_on_does_not_have_the_ttl_of_a_neighbour() {
    let mut lan = apart(255);
    for machine in [R1, R2] {
        lan.apply(Fault::Started(machine));
    }
    lan.run(1_000);
    lan.assert_state(R1, State::Master);
    lan.assert_state(R2, State::Master);
    assert!(!lan.since(alived::time::Instant::ZERO, "Received 254 and expect 255").is_empty());
}

#[test]
fn random_lans_have_every_kind_of_it() {
    let mut kinds = std::collections::BTreeMap::new();
    for seed in 1..=300 {
        let machines = Scenario::new(seed, None).cluster.machines;
        for config in machines.iter().flat_map(|machine| &machine.config.routers) {
            let Destinations::Unicast(peers) = &config.destinations else { continue };
            let global = matches!(config.source, Some(IpAddr::V6(source)) if !source.is_unicast_link_local());
            for (kind, is) in [
                ("IPv4", config.family == Family::Ipv4),
                ("IPv6, global", global),
                ("IPv6, of the link", config.family == Family::Ipv6 && !global),
                ("without an interface", config.interfaces.transmit.is_none()),
                ("a source of the interface's", config.source.is_none()),
                ("limited TTLs", peers.iter().any(|peer| peer.hop_limits != HopLimits::ANY)),
                ("checked sources", config.check_source),
                (
                    "itself on its list",
                    config.destinations.addresses().any(|peer| Some(peer) == config.source),
                ),
            ] {
                *kinds.entry(kind).or_insert(0) += usize::from(is);
            }
        }
    }
    assert!(kinds.len() == 8 && kinds.values().all(|count| *count > 10), "{kinds:?}");
}
