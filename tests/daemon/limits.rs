//! More interfaces than the usual limit of open files.

use std::fs;
use std::process::Command;

use rtnetlink::LinkVeth;
use serde_json::Value;

use crate::host::{Host, prefix};

/// Twice as many interfaces, each the other's neighbour.
const CABLES: u16 = 520;
const INTERFACES: u16 = 2 * CABLES;

/// A host with a router on each of its many interfaces.
fn host_with_many() -> Option<Host> {
    let mut host = Host::new()?;
    for cable in 0..CABLES {
        host.socket.create(LinkVeth::new(&format!("a{cable}"), &format!("b{cable}")).build()).unwrap();
    }
    for link in host.socket.links().unwrap() {
        let Some((side, cable)) = link.name.split_at_checked(1) else { continue };
        let (Some(side), Ok(cable)) =
            (["a", "b"].iter().position(|name| *name == side), cable.parse::<u16>())
        else {
            continue;
        };
        let [high, low] = cable.to_be_bytes();
        let address = prefix(&format!("10.{high}.{low}.{}/24", side + 1));
        host.socket.add_address(link.index, address).unwrap();
        host.socket.set_up(link.index, true).unwrap();
    }
    host.wait_for_carriers(usize::from(INTERFACES) + 1);
    configure(&host, INTERFACES);
    Some(host)
}

/// Routers on the first `count` of them, each with a VRID of its side, so that none follows the other end's.
fn configure(host: &Host, count: u16) {
    let text = (0..count).map(|number| {
        let (cable, side) = (number / 2, number % 2);
        let interface = ["a", "b"][usize::from(side)];
        let [high, low] = cable.to_be_bytes();
        format!(
            "vrrp_instance VI_{number} {{\n interface {interface}{cable}\n virtual_router_id {}\n priority 100\n \
             virtual_ipaddress {{\n 10.{high}.{low}.{}/24\n }}\n}}\n",
            side + 1,
            side + 100
        )
    });
    host.configure(&text.collect::<String>());
}

/// How many routers there are and how many of them are in fault, by the socket of the daemon.
fn states(host: &Host) -> (usize, usize) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alived"));
    let output = command.args(["status", "--json", "-r"]).arg(host.path("vrrp.pid")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let routers = status["routers"].as_array().unwrap();
    (routers.len(), routers.iter().filter(|router| router["state"] == "FAULT").count())
}

fn dump(host: &mut Host) -> String {
    let written = host.log().matches("wrote").count();
    host.signal(libc::SIGUSR1);
    host.wait_for_lines("wrote", written + 1);
    fs::read_to_string(host.path("keepalived.data")).unwrap()
}

fn reload(host: &mut Host) {
    let reloads = host.log().matches("Reloaded").count();
    host.signal(libc::SIGHUP);
    host.wait_for_lines("Reloaded", reloads + 1);
}

fn stop(host: &mut Host) {
    host.signal(libc::SIGTERM);
    assert_eq!(host.wait_for_end().code(), Some(0), "{}", host.log());
}

#[test]
fn the_soft_limit_of_open_files_does_not_matter() {
    let Some(mut host) = host_with_many() else { return };
    host.start_through("ulimit -Sn 1024; exec % \"$@\"");
    host.start(&[]);
    let all = usize::from(INTERFACES);
    assert_eq!(states(&host), (all, 0), "{}", host.log());
    reload(&mut host);
    assert_eq!(dump(&mut host).matches("   State = ").count(), all);
    assert_eq!(states(&host), (all, 0));
    assert!(!host.log().contains("limit of open files"), "{}", host.log());
    stop(&mut host);
}

#[test]
fn a_hard_limit_that_is_too_low_is_named_and_leaves_a_reserve() {
    let Some(mut host) = host_with_many() else { return };
    host.start_through("ulimit -n $LIMIT; exec % \"$@\"");
    host.set_environment("LIMIT", "1024");
    host.start(&[]);
    let said = "the limit of open files is 1024, and ";
    host.wait_for_lines(said, 1);
    let log = host.log();
    let needed: u32 = log.split(said).nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((u32::from(INTERFACES)..1300).contains(&needed), "{needed}");
    let (all, faults) = states(&host);
    assert_eq!(all, usize::from(INTERFACES));
    assert!((1..300).contains(&faults), "{faults}");
    // All others are used by now: what needs more works on.
    reload(&mut host);
    assert_eq!(dump(&mut host).matches("   State = ").count(), all);
    host.wait_for_lines(said, 2);
    configure(&host, 600);
    reload(&mut host);
    host.wait("no fault", |host| states(host) == (600, 0));
    assert_eq!(host.log().matches(said).count(), 2, "{}", host.log());
    stop(&mut host);

    // The number is right.
    configure(&host, INTERFACES);
    host.set_environment("LIMIT", &needed.to_string());
    host.start(&[]);
    assert_eq!(states(&host), (all, 0), "{}", host.log());
    reload(&mut host);
    assert_eq!(host.log().matches(said).count(), 2, "{}", host.log());
    stop(&mut host);
}
