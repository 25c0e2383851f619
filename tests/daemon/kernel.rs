//! The daemon and the kernel: interfaces that come and go, addresses that others remove, reloads.

use std::collections::BTreeSet;
use std::net::IpAddr;

use alived::net::MacAddress;
use alived::sys::capture::Capture;
use alived::sys::netlink::VethEnd;
use alived::sys::process::signal;
use alived::wire::arp::ArpFrame;

use crate::host::{self, Host, instance, name, prefix};
use crate::soak;

const ADDRESS: &str = "192.0.2.50/24";
const OTHER: &str = "192.0.2.60/24";

fn master(config: &str) -> Option<Host> {
    let mut host = Host::new()?;
    host.configure(config);
    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", config.matches("vrrp_instance").count());
    host.wait("the address", |host| host.holds(ADDRESS));
    Some(host)
}

fn dynamic() -> String {
    format!("global_defs {{\n    dynamic_interfaces\n}}\n{}", instance("VI_1", 51, 100, ADDRESS))
}

fn transitions(host: &Host, router: &str) -> usize {
    host.log().matches(&format!("({router}) Entering")).count()
}

#[test]
fn an_address_removed_by_hand_returns_without_a_transition() {
    let Some(mut host) = master(&instance("VI_1", 51, 100, ADDRESS)) else { return };
    let before = transitions(&host, "VI_1");
    let lan = host.lan();
    host.socket.remove_address(lan, prefix(ADDRESS)).unwrap();
    host.wait_for_lines("putting it back", 1);
    host.wait("the address", |host| host.holds(ADDRESS));
    assert_eq!(transitions(&host, "VI_1"), before, "{}", host.log());
}

/// As many times as configured, on the wire: the first by the thread that adds the address, the others after
/// it; with a pace, all by the queue that keeps it.
#[test]
fn an_election_announces_each_address_as_often_as_configured() {
    for pace in ["", "    garp_interval 0.01\n    gna_interval 0.01\n"] {
        let Some(mut host) = Host::new() else { return };
        let mut capture = host.switch.run(Capture::open).unwrap().unwrap();
        let addresses = [ADDRESS, "192.0.2.51/24", "192.0.2.52/24"];
        let settings = format!("    garp_master_repeat 3\n    garp_master_delay 0\n{pace}");
        let text = instance("VI_1", 51, 100, &addresses.join("\n        "));
        host.configure(&text.replace("    priority", &format!("{settings}    priority")));
        host.start(&[]);
        let mut seen: Vec<IpAddr> = Vec::new();
        let mut advertisements = 0;
        host.wait("ten advertisements and nine announcements", |_| {
            while let Some(frame) = capture.read().unwrap() {
                match ArpFrame::parse(&frame.bytes) {
                    Some(arp) if arp.is_gratuitous() => seen.push(arp.sender.into()),
                    Some(_) => {}
                    None => advertisements += 1,
                }
            }
            advertisements >= 10 && seen.len() >= 9
        });
        let each_once: BTreeSet<IpAddr> = addresses.iter().map(|text| prefix(text).address()).collect();
        for round in seen.chunks(3) {
            assert_eq!(round.iter().copied().collect::<BTreeSet<_>>(), each_once, "{seen:?}");
        }
        assert_eq!(seen.len(), 9, "{seen:?}");
    }
}

#[test]
fn a_master_that_loses_its_own_address_says_that_it_leaves() {
    let Some(mut host) = master(&instance("VI_1", 51, 100, ADDRESS)) else { return };
    let mut capture = host.switch.run(Capture::open).unwrap().unwrap();
    let lan = host.lan();
    host.socket.remove_address(lan, prefix("192.0.2.1/24")).unwrap();
    host.wait("priority 0", |_| {
        // Behind an Ethernet and an IPv4 header: version and type, identifier, priority.
        std::iter::from_fn(|| capture.read().unwrap()).any(|frame| {
            frame.bytes.get(12..14) == Some(&[8, 0]) && frame.bytes.get(35..37) == Some(&[51, 0])
        })
    });
    host.wait_for_lines("Entering FAULT STATE", 1);
    host.wait("the address to go", |host| !host.holds(ADDRESS));
}

#[test]
fn a_link_that_goes_down_is_a_fault_until_it_is_up() {
    let Some(mut host) = master(&instance("VI_1", 51, 100, ADDRESS)) else { return };
    let lan = host.lan();
    host.socket.set_up(lan, false).unwrap();
    host.wait_for_lines("Entering FAULT STATE", 1);
    host.wait("the address to go", |host| !host.holds(ADDRESS));
    host.socket.set_up(lan, true).unwrap();
    host.wait_for_lines("Entering MASTER STATE", 2);
    host.wait("the address", |host| host.holds(ADDRESS));
}

#[test]
fn a_link_that_is_deleted_and_created_again_is_used_again() {
    let Some(mut host) = master(&dynamic()) else { return };
    let lan = host.lan();
    host.socket.delete(lan).unwrap();
    host.wait_for_lines("Entering FAULT STATE", 1);
    host.plug_in();
    assert_ne!(host.lan(), lan);
    host.wait_for_lines("Entering MASTER STATE", 2);
    host.wait("the address", |host| host.holds(ADDRESS));
}

#[test]
fn a_link_that_appears_after_the_start_is_used_with_dynamic_interfaces() {
    let Some(mut host) = Host::new() else { return };
    let lan = host.lan();
    host.socket.delete(lan).unwrap();
    host.configure(&dynamic());
    host.start(&[]);
    host.wait_for_lines("Entering FAULT STATE", 1);
    host.plug_in();
    host.wait("the address", |host| host.holds(ADDRESS));
}

#[test]
fn a_link_is_known_by_its_name() {
    let Some(mut host) = master(&dynamic()) else { return };
    let lan = host.lan();
    host.socket.rename(lan, &name("other")).unwrap();
    host.wait_for_lines("Entering FAULT STATE", 1);
    host.wait("the address to go", |host| !host.holds(ADDRESS));
    host.socket.rename(lan, &name(host::LAN)).unwrap();
    host.wait_for_lines("Entering MASTER STATE", 2);
    host.wait("the address", |host| host.holds(ADDRESS));
}

#[test]
fn a_reload_touches_only_what_changed() {
    let kept = instance("VI_1", 51, 100, ADDRESS);
    let Some(mut host) = master(&format!("{kept}{}", instance("VI_2", 52, 100, OTHER))) else { return };
    host.wait("the other address", |host| host.holds(OTHER));
    let before = transitions(&host, "VI_1");

    host.configure(&format!("{kept}{}", instance("VI_3", 53, 100, "192.0.2.70/24")));
    host.signal(libc::SIGHUP);
    host.wait("the address of the new router", |host| host.holds("192.0.2.70/24"));
    host.wait("the address of the old router to go", |host| !host.holds(OTHER));

    // Another address of the same router.
    host.configure(&kept.replace(ADDRESS, &format!("{ADDRESS}\n        192.0.2.51/24")));
    host.signal(libc::SIGHUP);
    host.wait("the added address", |host| host.holds("192.0.2.51/24"));
    host.wait("the third router's address to go", |host| !host.holds("192.0.2.70/24"));
    assert!(host.holds(ADDRESS));
    assert_eq!(transitions(&host, "VI_1"), before, "{}", host.log());
}

/// How many interfaces hold an address.
fn holders(host: &mut Host, address: &str) -> usize {
    let address = prefix(address).address();
    let messages = host.socket.dump_addresses().unwrap();
    let held = messages.iter().filter(|message| {
        message.attributes.iter().any(|attribute| {
            matches!(attribute, netlink_packet_route::address::AddressAttribute::Local(held) if *held == address)
        })
    });
    held.count()
}

#[test]
fn the_same_address_on_two_interfaces_is_two_addresses() {
    let Some(mut host) = Host::new() else { return };
    let (near, far) = (name("lan1"), name("peer1"));
    let mac = |side| MacAddress([2, 0, 0, 1, side, 1]);
    let end = |name, side| VethEnd { name, namespace: &host.namespace, mac: mac(side) };
    host.socket.create_veth(end(&near, 0), end(&far, 1)).unwrap();
    let (second, peer) = (host.socket.index_of(&near).unwrap(), host.socket.index_of(&far).unwrap());
    host.socket.set_up(peer, true).unwrap();
    host.socket.add_address(second, prefix("198.51.100.1/24")).unwrap();
    host.socket.set_up(second, true).unwrap();
    let first = instance("VI_1", 51, 100, ADDRESS);
    host.configure(&format!("{first}{}", instance("VI_2", 52, 100, ADDRESS).replace(host::LAN, "lan1")));
    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", 2);
    host.wait("both addresses", |host| holders(host, ADDRESS) == 2);
    let before = transitions(&host, "VI_1");

    host.configure(&first);
    host.signal(libc::SIGHUP);
    host.wait("one address to go", |host| holders(host, ADDRESS) == 1);
    assert!(host.holds(ADDRESS));
    assert_eq!(transitions(&host, "VI_1"), before, "{}", host.log());
    assert!(!host.log().contains("putting it back"), "{}", host.log());

    // On one interface it is not served yet.
    host.configure(&format!("{first}{}", instance("VI_2", 52, 100, ADDRESS)));
    host.signal(libc::SIGHUP);
    host.wait_for_lines("in two instances, which is not supported yet", 1);
    assert_eq!((holders(&mut host, ADDRESS), transitions(&host, "VI_1")), (1, before));
}

#[test]
fn a_bad_file_leaves_all_as_it_is() {
    let good = instance("VI_1", 51, 100, ADDRESS);
    let Some(mut host) = master(&good) else { return };
    host.configure(&good.replace("virtual_router_id 51", "virtual_router_id 0"));
    host.signal(libc::SIGHUP);
    host.wait_for_lines("was not reloaded", 1);
    assert!(host.log().contains("keepalived.conf:3:"), "{}", host.log());
    assert!(host.holds(ADDRESS));
    // Half of it, as an editor leaves it for a moment; a value that is none; no text at all.
    let half = good.split("virtual_ipaddress").next().unwrap().to_owned();
    for (refused, bad) in
        [half, good.replace(ADDRESS, "192.0.2.650/24"), "}\0{".to_owned()].iter().enumerate()
    {
        host.configure(bad);
        host.signal(libc::SIGHUP);
        host.wait_for_lines("was not reloaded", refused + 2);
        assert!(host.holds(ADDRESS), "{bad}\n{}", host.log());
    }
    host.configure(&good.replace(ADDRESS, OTHER));
    host.signal(libc::SIGHUP);
    host.wait("the new address", |host| host.holds(OTHER) && !host.holds(ADDRESS));
}

#[test]
fn a_reload_that_would_leave_no_router_is_refused_unless_that_is_wanted() {
    let good = instance("VI_1", 51, 100, ADDRESS);
    let Some(mut host) = master(&good) else { return };
    for (refused, empty) in ["", "# just being written\n", "global_defs {\n}\n"].iter().enumerate() {
        host.configure(empty);
        host.signal(libc::SIGHUP);
        host.wait_for_lines("would stop all that run", refused + 1);
        assert!(host.holds(ADDRESS), "{}", host.log());
    }
    host.configure(&good);
    host.signal(libc::SIGHUP);
    host.wait_for_lines("Reloaded", 1);
    std::fs::write(host.path("alived.toml"), "[reload]\nallow-empty = true\n").unwrap();
    host.configure("# nothing is wanted\n");
    host.signal(libc::SIGHUP);
    host.wait_for_lines("virtual router VI_1 is removed", 1);
    host.wait("the address to go", |host| !host.holds(ADDRESS));
}

#[test]
fn left_overs_of_a_router_that_cannot_take_part_are_removed() {
    let Some(mut host) = master(&instance("VI_1", 51, 100, ADDRESS)) else { return };
    kill_both(&mut host);
    let lan = host.lan();
    host.socket.set_up(lan, false).unwrap();
    assert!(host.holds(ADDRESS));
    host.start(&[]);
    host.wait("the left-over to go", |host| !host.holds(ADDRESS));
    assert!(host.log().contains("Entering FAULT STATE"), "{}", host.log());
}

#[test]
fn left_overs_are_known_by_their_mark() {
    left_overs_are_adopted("mark");
}

#[test]
fn left_overs_are_known_by_the_record_where_the_kernel_has_no_mark() {
    left_overs_are_adopted("record");
}

fn left_overs_are_adopted(ownership: &str) {
    let Some(mut host) = Host::new() else { return };
    host.set_environment(RECORD.0, ownership);
    // One that was there before us and is never ours.
    let lan = host.lan();
    host.socket.add_address(lan, prefix(OTHER)).unwrap();
    host.configure(&instance("VI_1", 51, 100, &format!("{ADDRESS}\n        {OTHER}")));
    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", 1);
    host.wait("the address", |host| host.holds(ADDRESS));
    let advice = format!("run `ip address del {OTHER} dev lan0`");
    assert_eq!(host.log().matches(&advice).count(), 1, "{}", host.log());
    kill_both(&mut host);
    assert!(host.holds(ADDRESS), "nobody was left to remove it");

    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", 2);
    host.wait_for_lines("adopting 1 address", 1);
    assert!(host.holds(ADDRESS) && host.holds(OTHER));
    host.signal(libc::SIGTERM);
    host.wait_for_end();
    assert!(!host.holds(ADDRESS), "{}", host.log());
    assert!(host.holds(OTHER), "an address of somebody else was removed");
}

const RECORD: (&str, &str) = ("ALIVED_ADDRESS_OWNERSHIP", "record");

/// What the record has, beside the worker's pid file.
fn record(host: &Host) -> String {
    std::fs::read_to_string(host.path("vrrp.addresses")).unwrap_or_default()
}

#[test]
fn the_record_is_empty_after_each_orderly_stop() {
    let Some(mut host) = Host::new() else { return };
    host.set_environment(RECORD.0, RECORD.1);
    // An owner is master at once.
    host.configure(
        &instance("VI_1", 51, 255, ADDRESS).replace("    priority", "    state MASTER\n    priority"),
    );
    for stop in 0..soak::count(30, 500) {
        host.start(&[]);
        host.wait("the address", |host| host.holds(ADDRESS));
        assert_ne!(record(&host), "", "stop {stop}");
        host.signal(libc::SIGTERM);
        assert!(host.wait_for_end().success());
        assert_eq!(record(&host), "", "stop {stop}");
        assert!(!host.holds(ADDRESS), "stop {stop}");
    }
}

/// An address on the record is gone while nobody looks; then somebody adds it by hand.
#[test]
fn what_the_kernel_does_not_hold_at_the_start_is_off_the_record() {
    let Some(mut host) = Host::new() else { return };
    host.set_environment(RECORD.0, RECORD.1);
    host.configure(&instance("VI_1", 51, 100, ADDRESS));
    host.start(&[]);
    host.wait("the address", |host| host.holds(ADDRESS));
    kill_both(&mut host);
    assert_ne!(record(&host), "");
    let lan = host.lan();
    host.socket.remove_address(lan, prefix(ADDRESS)).unwrap();
    host.socket.set_up(lan, false).unwrap();

    host.start(&[]);
    host.wait("an empty record", |host| record(host).is_empty());
    add_by_hand(&mut host);
    host.signal(libc::SIGTERM);
    host.wait_for_end();
    assert!(host.holds(ADDRESS), "an address of somebody else was removed\n{}", host.log());
}

/// The same while the daemon looks, and has not decided yet what to do with what its predecessor left.
#[test]
fn what_goes_while_the_daemon_runs_is_off_the_record() {
    let Some(mut host) = Host::new() else { return };
    host.set_environment(RECORD.0, RECORD.1);
    let text = instance("VI_1", 51, 100, ADDRESS);
    host.configure(&text);
    host.start(&[]);
    host.wait("the address", |host| host.holds(ADDRESS));
    kill_both(&mut host);
    // It waits for two minutes before it is master.
    host.configure(&text.replace("advert_int 0.1", "advert_int 40"));
    host.start(&[]);
    assert!(host.holds(ADDRESS), "a left-over stays until there is a decision");
    let lan = host.lan();
    host.socket.remove_address(lan, prefix(ADDRESS)).unwrap();
    host.wait("an empty record", |host| record(host).is_empty());
    add_by_hand(&mut host);

    // Nor does the next one take it for its own.
    kill_both(&mut host);
    host.start(&[]);
    host.signal(libc::SIGTERM);
    host.wait_for_end();
    assert!(host.holds(ADDRESS), "an address of somebody else was removed\n{}", host.log());
}

/// Adds the address, and waits until the daemon has called it somebody else's.
fn add_by_hand(host: &mut Host) {
    let lan = host.lan();
    host.socket.add_address(lan, prefix(ADDRESS)).unwrap();
    host.wait_for_lines(&format!("run `ip address del {ADDRESS} dev lan0`"), 1);
}

/// A FIFO, a link or a file of somebody else in the record's place is neither waited for nor believed.
#[test]
fn what_stands_in_the_records_place_does_not_hang_the_start() {
    let Some(mut host) = Host::new() else { return };
    host.set_environment(RECORD.0, RECORD.1);
    host.configure(&instance("VI_1", 51, 100, ADDRESS));
    let path = host.path("vrrp.addresses");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    host.start(&[]);
    host.wait("the address", |host| host.holds(ADDRESS));
    assert!(std::fs::symlink_metadata(&path).unwrap().is_file());
    assert_ne!(record(&host), "");
}

/// As a power cut of the daemon: neither process gets to do anything.
fn kill_both(host: &mut Host) {
    let (supervisor, worker) = (host.supervisor(), host.worker());
    for pid in [worker, supervisor] {
        signal(pid, libc::SIGSTOP);
    }
    for pid in [worker, supervisor] {
        signal(pid, libc::SIGKILL);
    }
    host.wait_for_end();
    host.wait("the worker to end", |host| !host::runs(worker, &host.path("")));
}
