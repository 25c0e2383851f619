//! The daemon's addresses on a real kernel, and what it does when it cannot do a master's work: others' removals,
//! collateral of its own, floods, advertisements that do not fit.

use std::fs;
use std::net::IpAddr;
use std::slice;
use std::thread::sleep;
use std::time::{Duration, Instant};

use alived::kernel::KernelEvent;
use alived::net::{InterfaceIndex, MacAddress, Prefix};
use alived::sys::capture::Capture;
use alived::sys::netlink::{Monitor, Network, Ownership, VethEnd};
use alived::sys::packet::{Packet, Sender};
use alived::wire::ip::IpFields;
use alived::wire::vrrp::{
    Advertisement, AdvertisementInterval, AuthenticationData, ChecksumMode, Priority, Version, Vrid,
};

use crate::host::{Host, instance, name, prefix};
use crate::skip;

const ADDRESS: &str = "192.0.2.50/24";
const REPAIR: &str = "putting it back";
const TOO_LARGE: &str = "larger than the interface's MTU";

/// What the kernel tells of addresses, in its order.
struct Notifications {
    monitor: Monitor,
    events: Vec<KernelEvent>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Change {
    Added(Prefix),
    Removed(Prefix),
}

impl Notifications {
    fn of(host: &Host) -> Self {
        let open = || Monitor::open(Ownership::Mark).unwrap();
        Self { monitor: host.namespace.run(open).unwrap(), events: Vec::new() }
    }

    /// Those that wait.
    fn take(&mut self) -> Vec<Change> {
        self.monitor.drain(10_000, &mut self.events).unwrap();
        let change = |event| match event {
            KernelEvent::AddressPresent(address) => Some(Change::Added(address.prefix)),
            KernelEvent::AddressGone { prefix, .. } => Some(Change::Removed(prefix)),
            _ => None,
        };
        self.events.drain(..).filter_map(change).collect()
    }
}

fn count(host: &Host, words: &str) -> usize {
    host.log().matches(words).count()
}

/// A router for each of three addresses of a subnet in which the host has none of its own.
fn sharing(priorities: [u8; 3]) -> String {
    let router = |(index, priority)| {
        let number = index as u8 + 1;
        instance(&format!("VI_{number}"), number, priority, &format!("10.9.0.{number}/24"))
    };
    priorities.into_iter().enumerate().map(router).collect()
}

#[test]
fn what_the_removal_of_a_primary_takes_along_is_put_back_at_once() {
    let Some((mut first, mut second)) = Host::pair() else { return };
    first.namespace.set("ipv4/conf/all/promote_secondaries", "0").unwrap();
    first.namespace.set("ipv4/conf/lan0/promote_secondaries", "0").unwrap();
    first.configure(&sharing([150; 3]));
    first.start(&[]);
    first.wait_for_lines("Entering MASTER STATE", 3);
    second.configure(&sharing([100; 3]));
    second.start(&[]);
    let third = prefix("10.9.0.3/24");
    first.wait("the addresses", |host| host.holds("10.9.0.3/24") && host.holds("10.9.0.2/24"));
    let mut notifications = Notifications::of(&first);
    let (mut lost, mut away_since, mut longest) = (0, None, Duration::ZERO);
    for round in 0..8 {
        // The second router takes and gives up the first two by turns.
        let (better, taken, kept) = [
            ([200, 100, 100], "10.9.0.1/24", "10.9.0.2/24"),
            ([100, 200, 100], "10.9.0.2/24", "10.9.0.1/24"),
        ][round % 2];
        second.configure(&sharing(better));
        second.signal(libc::SIGHUP);
        let mut settled_since = None;
        second.wait("the addresses to change hands", |second| {
            for change in notifications.take() {
                if change == Change::Removed(third) {
                    lost += 1;
                    away_since = Some(Instant::now());
                } else if change == Change::Added(third) {
                    longest = longest.max(away_since.take().map_or(Duration::ZERO, |since| since.elapsed()));
                }
            }
            let settled = second.holds(taken)
                && !second.holds(kept)
                && first.holds(kept)
                && !first.holds(taken)
                && first.holds("10.9.0.3/24");
            let since = settled_since.get_or_insert_with(Instant::now);
            if !settled {
                settled_since = None;
                return false;
            }
            since.elapsed() > Duration::from_millis(300)
        });
    }
    assert!(lost >= 2, "it went along {lost} times only: {}", first.log());
    assert_eq!(away_since, None);
    assert!(longest < Duration::from_millis(500), "{longest:?}");
    assert_eq!(count(&first, REPAIR), 0, "nobody else removed it: {}", first.log());
    assert_eq!(count(&first, "(VI_3) Entering"), 2, "{}", first.log());
}

#[test]
fn an_address_that_the_kernel_refuses_is_told_in_its_words() {
    let test = "an_address_that_the_kernel_refuses_is_told_in_its_words";
    let release = alived::sys::process::kernel_release();
    let mut numbers = release.split('.').map_while(|number| number.parse::<u32>().ok());
    if (numbers.next(), numbers.next()) < (Some(6), Some(6)) {
        return skip::skip(test, &format!("Linux {release} does not explain it, 6.6 is needed"));
    }
    let Some(mut host) = Host::new() else { return };
    let lan = host.lan();
    let refused = host.socket.add_address(lan, prefix("192.0.2.1/24")).unwrap_err();
    assert_eq!((refused.errno, &*refused.message), (libc::EEXIST, "ipv4: Address already assigned"));

    host.namespace.set("ipv6/conf/lan0/disable_ipv6", "1").unwrap();
    let router = instance("VI_1", 51, 100, ADDRESS);
    let excluded = "    virtual_ipaddress_excluded {\n        2001:db8::50/64\n    }\n}\n";
    host.configure(&(router.trim_end_matches("}\n").to_owned() + "    }\n" + excluded));
    host.start(&[]);
    host.wait_for_lines(
        "the kernel refuses address 2001:db8::50/64: ipv6: IPv6 is disabled on this device",
        1,
    );
}

#[test]
fn an_address_that_a_reload_gives_to_another_router_stays() {
    let with = |owner: usize| {
        let lists = [0, 1].map(|at| {
            let moving = if at == owner { "\n        192.0.2.70/24" } else { "" };
            instance(&format!("VI_{at}"), 51 + at as u8, 100, &format!("192.0.2.5{at}/24{moving}"))
        });
        lists.concat()
    };
    let Some(mut host) = Host::new() else { return };
    host.configure(&with(0));
    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", 2);
    host.wait("the address", |host| host.holds("192.0.2.70/24"));
    let moving = prefix("192.0.2.70/24");
    for (reloads, owner) in [1, 0, 1, 1, 0].into_iter().enumerate() {
        let mut notifications = Notifications::of(&host);
        host.configure(&with(owner));
        host.signal(libc::SIGHUP);
        host.wait_for_lines("Reloaded", reloads + 1);
        // Long enough for what is noticed later to be repaired.
        sleep(Duration::from_millis(100));
        host.wait("the address", |host| host.holds("192.0.2.70/24"));
        let changes = notifications.take();
        assert!(
            changes.is_empty() || changes == [Change::Removed(moving), Change::Added(moving)],
            "{changes:?}"
        );
    }
    assert_eq!(count(&host, REPAIR), 0, "{}", host.log());
    assert_eq!(count(&host, "Entering"), 4, "{}", host.log());
}

#[test]
fn the_interface_of_an_address_is_tracked() {
    for (option, is_tracked) in [("", true), (" no_track", false)] {
        let Some(mut host) = Host::new() else { return };
        let side = name("eth1");
        let other = name("side");
        let end = |name, namespace, last| VethEnd { name, namespace, mac: MacAddress([2, 0, 0, 0, 0, last]) };
        host.socket.create_veth(end(&side, &host.namespace, 3), end(&other, &host.switch, 4)).unwrap();
        let link = host.socket.index_of(&side).unwrap();
        host.socket.set_up(link, true).unwrap();
        let mut switch = host.switch.run(Network::open).unwrap().unwrap();
        let far = switch.index_of(&other).unwrap();
        switch.set_up(far, true).unwrap();

        host.configure(&instance(
            "VI_1",
            51,
            100,
            &format!("{ADDRESS}\n        10.1.9.1/24 dev eth1{option}"),
        ));
        host.start(&[]);
        host.wait_for_lines("Entering MASTER STATE", 1);
        host.wait("both addresses", |host| host.holds(ADDRESS) && host.holds("10.1.9.1/24"));
        // By hand, then by the loss of the carrier.
        for (round, lower) in [false, true].into_iter().enumerate() {
            let set = |host: &mut Host, switch: &mut Network, up| {
                if lower { switch.set_up(far, up).unwrap() } else { host.socket.set_up(link, up).unwrap() }
            };
            set(&mut host, &mut switch, false);
            if is_tracked {
                host.wait_for_lines("Entering FAULT STATE (interface eth1 is down)", round + 1);
                host.wait("the addresses to go", |host| !host.holds(ADDRESS));
                set(&mut host, &mut switch, true);
                host.wait_for_lines("Entering MASTER STATE", round + 2);
                host.wait("both addresses", |host| host.holds(ADDRESS) && host.holds("10.1.9.1/24"));
            } else {
                sleep(Duration::from_millis(500));
                set(&mut host, &mut switch, true);
                sleep(Duration::from_millis(200));
                assert_eq!(count(&host, "Entering"), 2, "{}", host.log());
                assert!(host.holds(ADDRESS));
            }
        }
    }
}

#[test]
fn a_router_whose_address_is_deleted_each_time_hands_on_and_comes_back() {
    let Some((mut first, mut second)) = Host::pair() else { return };
    first.configure(&instance("VI_1", 51, 150, ADDRESS));
    first.start(&[]);
    first.wait("the address", |host| host.holds(ADDRESS));
    second.configure(&instance("VI_1", 51, 100, ADDRESS));
    second.start(&[]);
    let lan = first.lan();
    let fault = "goes missing each time it is put back";
    let begun = Instant::now();
    first.wait("a fault", |host| {
        let _ = host.socket.remove_address(lan, prefix(ADDRESS));
        count(host, fault) > 0
    });
    assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}: {}", begun.elapsed(), first.log());
    assert!((3..=12).contains(&count(&first, REPAIR)), "{}", first.log());
    assert_eq!(count(&first, &format!("Entering FAULT STATE (address {ADDRESS}")), 1, "{}", first.log());
    second.wait("the address", |host| host.holds(ADDRESS));
    second.wait_for_lines("Entering MASTER STATE", 1);
    // Left in peace, it is tried again.
    first.wait_for_lines("Entering MASTER STATE", 2);
    first.wait("the address", |host| host.holds(ADDRESS));
    second.wait("the address to go", |host| !host.holds(ADDRESS));
}

/// The first repair is quick, and the pauses between further ones do not grow beyond a second.
#[test]
fn repairs_do_not_become_slower_than_one_in_a_second() {
    let Some(mut host) = Host::new() else { return };
    host.configure(&instance("VI_1", 51, 150, ADDRESS));
    host.start(&[]);
    host.wait("the address", |host| host.holds(ADDRESS));
    let lan = host.lan();
    for times in 1..=8 {
        host.socket.remove_address(lan, prefix(ADDRESS)).unwrap();
        let removed = Instant::now();
        host.wait("the address", |host| host.holds(ADDRESS));
        // Where the pauses double without end, the eighth is some six seconds.
        assert!(removed.elapsed() < Duration::from_millis(2_500), "{times}: {:?}", removed.elapsed());
        // Long enough there not to be called missing.
        sleep(Duration::from_millis(1_200));
    }
    assert_eq!(count(&host, "MASTER STATE"), 1, "{}", host.log());
}

/// Sends forged advertisements from the switch, as fast as that goes.
struct Flood {
    sender: Sender,
    port: InterfaceIndex,
    sent: usize,
}

impl Flood {
    fn towards(host: &Host) -> Self {
        let mut switch = host.switch.run(Network::open).unwrap().unwrap();
        let port = switch.index_of(&host.port()).unwrap();
        let sender = host.switch.run(Sender::open).unwrap().unwrap();
        Self { sender, port, sent: 0 }
    }

    /// Sends them by turns.
    fn send(&mut self, forged: &[(IpAddr, Vec<u8>)], count: usize) {
        let packets: Vec<Packet<'_>> = forged
            .iter()
            .cycle()
            .take(count)
            .map(|(source, payload)| Packet {
                link: Some(self.port),
                source: *source,
                destination: GROUP,
                ip: IpFields::vrrp(255),
                payload,
            })
            .collect();
        let mut refused = 0;
        self.sender.send(&packets, |_, _| refused += 1);
        self.sent += packets.len() - refused;
    }
}

const GROUP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(224, 0, 0, 18));

fn forged(source: &str, priority: u8, centiseconds: u16, address: &str) -> (IpAddr, Vec<u8>) {
    let source: IpAddr = source.parse().unwrap();
    let advertisement = Advertisement {
        version: Version::V3,
        vrid: Vrid::new(51).unwrap(),
        priority: Priority(priority),
        interval: AdvertisementInterval::from_centiseconds(centiseconds).unwrap(),
        addresses: vec![address.parse().unwrap()],
        authentication: AuthenticationData::None,
        trailer: None,
    };
    (source, advertisement.encode(source, GROUP, ChecksumMode::PseudoHeader))
}

/// Floods for three seconds; gives the bound in seconds of what may be said, and how many advertisements of
/// the router were seen.
fn flood_for_a_while(host: &Host, forged: &[(IpAddr, Vec<u8>)]) -> (usize, usize) {
    let mut capture = host.switch.run(Capture::open).unwrap().unwrap();
    let mut flood = Flood::towards(host);
    let (begun, mut advertisements) = (Instant::now(), 0);
    let mut count_own = || {
        while let Some(frame) = capture.read().unwrap() {
            // Behind an Ethernet header: IPv4, from the host.
            advertisements += usize::from(frame.bytes.get(12..14) == Some(&[8, 0]));
        }
    };
    while begun.elapsed() < Duration::from_secs(3) {
        flood.send(forged, 64);
        count_own();
    }
    // What was sent last is read, and its number told.
    sleep(Duration::from_millis(1_500));
    count_own();
    assert!(flood.sent > 5_000, "{} packets are no flood", flood.sent);
    (begun.elapsed().as_secs() as usize + 2, advertisements)
}

/// A router with an interval of one second, and its log at rest.
fn calm_master() -> Option<(Host, usize)> {
    let mut host = Host::new()?;
    host.configure(&instance("VI_1", 51, 100, ADDRESS).replace("advert_int 0.1", "advert_int 1"));
    host.start(&[]);
    host.wait("the address", |host| host.holds(ADDRESS));
    let lines = host.log().lines().count();
    Some((host, lines))
}

#[test]
fn a_flood_of_rivals_is_told_and_answered_within_limits() {
    let Some((mut host, lines)) = calm_master() else { return };
    let rivals = [forged("192.0.2.20", 50, 100, "192.0.2.52"), forged("192.0.2.21", 50, 100, "192.0.2.53")];
    let (seconds, advertisements) = flood_for_a_while(&host, &rivals);
    let said = host.log().lines().count() - lines;
    // Once in a second at most, and the number of those left out; each address list once.
    assert!((2..=4 * seconds).contains(&said), "{said} lines in {seconds} s: {}", host.log());
    for list in ["192.0.2.20: address list has 192.0.2.52", "192.0.2.21: address list has 192.0.2.53"] {
        assert_eq!(count(&host, list), 1, "{}", host.log());
    }
    // Ten answers in an interval at most, besides its own.
    assert!((2..=11 * seconds).contains(&advertisements), "{advertisements} in {seconds} s");

    // A better router in the middle of it, until it is heard: any one of its advertisements may find a full queue.
    let mut flood = Flood::towards(&host);
    let better = forged("192.0.2.30", 200, 100, "192.0.2.50");
    host.wait("a backup of the better router", |host| {
        (0..50).for_each(|_| flood.send(&rivals, 64));
        flood.send(slice::from_ref(&better), 1);
        count(host, "(VI_1) Entering BACKUP STATE") >= 2
    });
    host.wait("the address to go", |host| !host.holds(ADDRESS));
}

#[test]
fn a_flood_of_leaving_routers_is_answered_within_limits() {
    let Some((host, lines)) = calm_master() else { return };
    let leaving = [forged("192.0.2.20", 0, 100, "192.0.2.50"), forged("192.0.2.21", 0, 100, "192.0.2.50")];
    let (seconds, advertisements) = flood_for_a_while(&host, &leaving);
    let said = host.log().lines().count() - lines;
    assert!(said <= 2 * seconds, "{said} lines in {seconds} s: {}", host.log());
    assert!((2..=11 * seconds).contains(&advertisements), "{advertisements} in {seconds} s");
}

#[test]
fn a_flood_of_changing_intervals_is_told_within_limits() {
    let Some((mut host, _)) = calm_master() else { return };
    let changing = [100, 101].map(|interval| forged("192.0.2.20", 200, interval, "192.0.2.50"));
    Flood::towards(&host).send(&changing, 2);
    host.wait_for_lines("(VI_1) Entering BACKUP STATE", 2);
    let lines = host.log().lines().count();
    let (seconds, _) = flood_for_a_while(&host, &changing);
    let said = host.log().lines().count() - lines;
    assert!((2..=2 * seconds).contains(&said), "{said} lines in {seconds} s: {}", host.log());
    // When it ends, the router takes over: the transition is not lost.
    host.wait_for_lines("(VI_1) Entering MASTER STATE", 2);
}

/// A virtual router with many addresses.
fn crowded(priority: u8, addresses: impl Iterator<Item = String>) -> String {
    instance("VI_1", 51, priority, &addresses.collect::<Vec<_>>().join("\n        "))
}

fn crowded_ipv4(priority: u8) -> String {
    crowded(priority, (1..=200).map(|number| format!("10.9.0.{number}/24")))
}

fn crowded_ipv6(priority: u8) -> String {
    let addresses = (1..85).map(|number| format!("2001:db8::{number:x}/64"));
    crowded(priority, ["fe80::5e:1/64".to_owned()].into_iter().chain(addresses))
}

/// Whether the interface has an address that the kernel still looks for elsewhere: nobody can send from that.
fn detects_duplicates(host: &Host) -> bool {
    const TENTATIVE: u32 = 0x40;
    let table = host.namespace.run(|| fs::read_to_string("/proc/thread-self/net/if_inet6")).unwrap().unwrap();
    table.lines().filter(|line| line.ends_with("lan0")).any(|line| {
        let flags = line.split_ascii_whitespace().nth(4).unwrap();
        u32::from_str_radix(flags, 16).unwrap() & TENTATIVE != 0
    })
}

#[test]
fn a_master_whose_advertisements_do_not_fit_hands_on_and_comes_back_with_the_mtu() {
    let Some((mut first, mut second)) = Host::pair() else { return };
    first.configure(&crowded_ipv4(150));
    first.start(&[]);
    first.wait("the addresses", |host| host.holds("10.9.0.200/24"));
    second.configure(&crowded_ipv4(100));
    second.start(&[]);
    let lan = first.lan();
    first.socket.set_mtu(lan, 576).unwrap();
    first.wait_for_lines("Entering FAULT STATE", 1);
    let fault = first.log().lines().find(|line| line.contains("Entering FAULT STATE")).unwrap().to_owned();
    assert!(fault.contains(TOO_LARGE) && fault.contains("lan0"), "{fault}");
    second.wait("the addresses", |host| host.holds("10.9.0.200/24"));
    first.wait("the addresses to go", |host| !host.holds("10.9.0.1/24") && !host.holds("10.9.0.200/24"));
    // It cannot hear the other one, whose advertisements are as large, and does not take that for silence.
    let until = Instant::now() + Duration::from_secs(6);
    while Instant::now() < until {
        assert!(!first.holds("10.9.0.1/24"), "{}", first.log());
        sleep(Duration::from_millis(20));
    }
    assert_eq!(count(&second, "Entering MASTER STATE"), 1, "{}", second.log());
    first.socket.set_mtu(lan, 1500).unwrap();
    first.wait_for_lines("Entering MASTER STATE", 2);
    first.wait("the addresses", |host| host.holds("10.9.0.200/24"));
    second.wait("the addresses to go", |host| !host.holds("10.9.0.200/24"));
}

/// The backup hears a master at the least MTU of IPv6: it stays backup.
fn a_master_at_the_least_mtu(mut master: Host, mut backup: Host) {
    for (host, priority) in [(&mut master, 150), (&mut backup, 100)] {
        host.wait("the end of the detection of duplicates", |host| !detects_duplicates(host));
        host.configure(&crowded_ipv6(priority));
        host.start(&[]);
        host.wait_for_lines("(VI_1) Entering BACKUP STATE", 1);
        if priority == 150 {
            host.wait("the addresses", |host| host.holds("fe80::5e:1/64") && host.holds("2001:db8::54/64"));
        }
    }
    let mastership = "(VI_1) Entering MASTER STATE";
    // Each one's MTU, so that the other's whole packets would not even arrive.
    for host in [&mut master, &mut backup] {
        let lan = host.lan();
        host.socket.set_mtu(lan, 1280).unwrap();
        // Six times what a backup waits.
        sleep(Duration::from_secs(2));
    }
    assert_eq!(count(&backup, mastership), 0, "{}", backup.log());
    assert_eq!(count(&master, mastership), 1, "{}", master.log());
    assert_eq!(count(&master, "cannot send"), 0, "{}", master.log());
    // It would have noticed an end of the advertisements.
    let lan = master.lan();
    master.socket.set_up(lan, false).unwrap();
    backup.wait_for_lines(mastership, 1);
    backup.wait("the addresses", |host| host.holds("2001:db8::54/64"));
    master.socket.set_up(lan, true).unwrap();
    backup.wait_for_lines("(VI_1) Entering BACKUP STATE", 2);
    master.wait_for_lines(mastership, 2);
}

#[test]
fn a_peer_hears_ipv6_advertisements_beyond_the_mtu() {
    if let Some((first, second)) = Host::pair() {
        a_master_at_the_least_mtu(first, second);
    }
}

#[test]
fn keepalived_hears_ipv6_advertisements_beyond_the_mtu() {
    if let Some((first, second)) = Host::beside_keepalived() {
        a_master_at_the_least_mtu(first, second);
    }
}

#[test]
fn keepalived_is_heard_with_ipv6_advertisements_beyond_the_mtu() {
    if let Some((first, second)) = Host::beside_keepalived() {
        a_master_at_the_least_mtu(second, first);
    }
}
