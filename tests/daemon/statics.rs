//! Static addresses of the daemon on a real kernel (`static_ipaddress`).

use alived::sys::process::signal;

use crate::host::{Host, instance, prefix};

const VIRTUAL: &str = "192.0.2.50/24";
const KEPT: [&str; 3] = ["10.9.0.1/24", "10.9.0.2/24", "2001:db8:9::1/64"];
const OTHER: &str = "10.9.0.3/24";

/// A router, and static addresses.
fn with_statics(lines: &[&str]) -> String {
    format!("static_ipaddress {{\n    {}\n}}\n{}", lines.join("\n    "), instance("VI_1", 51, 100, VIRTUAL))
}

fn on_lan(addresses: &[&str]) -> String {
    let lines: Vec<String> = addresses.iter().map(|address| format!("{address} dev lan0")).collect();
    with_statics(&lines.iter().map(String::as_str).collect::<Vec<_>>())
}

fn started(config: &str) -> Option<Host> {
    let mut host = Host::new()?;
    host.namespace.set("ipv4/conf/all/promote_secondaries", "0").unwrap();
    host.namespace.set("ipv4/conf/lan0/promote_secondaries", "0").unwrap();
    host.configure(config);
    host.start(&[]);
    host.wait("all addresses", |host| host.holds(VIRTUAL) && holds_all(host, &KEPT));
    Some(host)
}

fn holds_all(host: &mut Host, addresses: &[&str]) -> bool {
    addresses.iter().all(|address| host.holds(address))
}

#[test]
fn static_addresses_are_there_from_the_start_to_the_stop() {
    let Some(mut host) = started(&on_lan(&KEPT)) else { return };
    host.signal(libc::SIGTERM);
    assert!(host.wait_for_end().success());
    assert!(KEPT.iter().all(|address| !host.holds(address)), "{}", host.log());
    assert!(host.holds("192.0.2.1/24"));
}

#[test]
fn a_static_address_removed_by_hand_is_put_back_with_what_went_along() {
    let Some(mut host) = started(&on_lan(&KEPT)) else { return };
    let lan = host.lan();
    host.socket.remove_address(lan, prefix(KEPT[0])).unwrap();
    host.wait_for_lines("putting it back (repair 1)", 2);
    host.wait("the static addresses", |host| holds_all(host, &KEPT));
    // Linux removes an interface's IPv6 addresses when it goes down.
    host.socket.set_up(lan, false).unwrap();
    host.wait_for_lines("2001:db8:9::1/64 was removed by somebody else", 1);
    host.socket.set_up(lan, true).unwrap();
    host.wait("the static addresses", |host| holds_all(host, &KEPT));
}

#[test]
fn a_worker_that_is_killed_leaves_static_addresses_to_the_next_one() {
    let Some(mut host) = started(&on_lan(&KEPT)) else { return };
    signal(host.worker(), libc::SIGKILL);
    host.wait_for_lines("adopting 3 address(es) left over by a predecessor", 1);
    host.wait_for_lines("Startup complete", 2);
    assert!(holds_all(&mut host, &KEPT));
    assert_eq!(host.log().matches("putting it back").count(), 0);
    host.signal(libc::SIGTERM);
    assert!(host.wait_for_end().success());
    assert!(KEPT.iter().all(|address| !host.holds(address)), "{}", host.log());
}

#[test]
fn a_reload_changes_the_difference() {
    let Some(mut host) = started(&on_lan(&KEPT)) else { return };
    host.configure(&on_lan(&[KEPT[1], KEPT[2], OTHER]));
    host.signal(libc::SIGHUP);
    host.wait("the reload", |host| !host.holds(KEPT[0]) && holds_all(host, &[KEPT[1], KEPT[2], OTHER]));
    assert!(host.holds(VIRTUAL));
    assert_eq!(host.log().matches("putting it back").count(), 0, "{}", host.log());
}

#[test]
fn without_a_device_a_static_address_is_on_the_default_interface() {
    let defaults = "global_defs {\n    default_interface lan0\n}\n";
    let Some(mut host) = started(&format!("{defaults}{}", with_statics(&KEPT))) else { return };
    assert!(holds_all(&mut host, &KEPT));
}
