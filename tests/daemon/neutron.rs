//! The daemons of OpenStack Neutron's L3 agent: one for each highly available router, in the router's network namespace,
//! with the configuration and the flags that the agent writes.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Instant;

use alived::sys::netlink::Network;

use crate::host::{self, Host, name};
use crate::{cable, soak};

/// What connects the routers of one tenant; its inside and its outside.
const HA: &str = "ha-8e1c1b9f-4a";
const INSIDE: &str = "qr-1f3cbd32-70";
const OUTSIDE: &str = "qg-4a1a2f9e-05";

const PRIMARY: &str = "169.254.0.7/24";
const GATEWAY: &str = "10.0.0.1/24";
const EXTERNAL: &str = "203.0.113.7/24";
const LINK_LOCAL: &str = "fe80::f816:3eff:fe2b:9d01/64";
const FLOATING: &str = "203.0.113.40/32";

/// As the agent writes it, with this many floating addresses, of which one comes later.
fn configuration(floating: &[&str]) -> String {
    let floating: String =
        floating.iter().map(|address| format!("        {address} dev {OUTSIDE} no_track\n")).collect();
    format!(
        "global_defs {{\n    notification_email_from neutron@openstack.local\n    router_id neutron\n}}\n\
         vrrp_instance VR_7 {{\n    state BACKUP\n    interface {HA}\n    virtual_router_id 7\n    priority 50\n    \
         garp_master_delay 60\n    nopreempt\n    advert_int 2\n    track_interface {{\n        {HA}\n    }}\n    \
         authentication {{\n        auth_type PASS\n        auth_pass passw0rd\n    }}\n    \
         virtual_ipaddress {{\n        {PRIMARY} dev {HA}\n    }}\n    \
         virtual_ipaddress_excluded {{\n        {GATEWAY} dev {INSIDE} no_track\n        {EXTERNAL} dev {OUTSIDE} \
         no_track\n{floating}        {LINK_LOCAL} dev {INSIDE} scope link no_track\n    }}\nROUTES}}"
    )
}

/// The routes of a router that has a gateway, where routes are served.
fn routes() -> &'static str {
    let keywords = include_str!("../../KEYWORDS.md");
    let row = keywords.lines().find(|line| line.starts_with("| `virtual_routes` |")).unwrap();
    if row.contains("| acted-on |") { ROUTES } else { "" }
}

const ROUTES: &str = "    virtual_routes {\n        0.0.0.0/0 via 203.0.113.1 dev qg-4a1a2f9e-05 no_track protocol static\n    }\n";

/// Makes a host the namespace of a router, with interfaces that are up and have no address but on the side of the others.
fn furnish(host: &mut Host) {
    let number = host.number;
    for (cable, interface) in [HA, INSIDE, OUTSIDE].into_iter().enumerate() {
        let cable = u8::try_from(cable + 1).unwrap();
        let link = host.lay_cable(&name(interface), &name(&format!("p{cable}-{number}")), cable);
        if interface == HA {
            host.socket.add_address(link, host::prefix(&format!("169.254.192.{number}/18"))).unwrap();
        }
        host.socket.set_up(link, true).unwrap();
    }
}

/// Starts it as the agent does: in the background, with the files named.
fn start(host: &Host) {
    let log = fs::File::options().create(true).append(true).open(host.path("log")).unwrap();
    let status = host.command(&["-P", "-l"]).stdout(Stdio::null()).stderr(log).status().unwrap();
    assert!(status.success(), "{status}: {}", host.log());
}

/// Whether the agent finds its process: the pid file names one whose command line has the router's folder in it.
fn is_active(host: &Host) -> bool {
    let pid = host.supervisor();
    let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    command.contains(&*host.path("keepalived.conf").to_string_lossy())
}

fn holds_all(host: &mut Host, addresses: &[&str]) -> bool {
    addresses.iter().all(|address| host.holds(address))
}

fn stop(host: &mut Host) {
    let pid = host.supervisor();
    host.signal(libc::SIGTERM);
    host.wait("the end", |_| !alived::sys::process::exists(pid));
}

#[test]
fn a_pair_of_routers_fails_over_as_the_agent_expects() {
    let Some((mut first, mut second)) = Host::pair() else { return };
    for host in [&mut first, &mut second] {
        furnish(host);
        host.configure(&configuration(&[]).replace("ROUTES", routes()));
    }
    // All networks of the switch are one here.
    let mut switch = first.switch.run(Network::open).unwrap().unwrap();
    let bridge = switch.index_of(&name("bridge")).unwrap();
    for port in ["p1-1", "p2-1", "p3-1", "p1-2", "p2-2", "p3-2"] {
        let port = switch.index_of(&name(port)).unwrap();
        switch.set_controller(port, Some(bridge)).unwrap();
    }
    let all = [PRIMARY, GATEWAY, EXTERNAL, LINK_LOCAL];
    start(&first);
    first.wait("all addresses", |host| holds_all(host, &all));
    start(&second);
    second.wait_for_lines("Entering BACKUP STATE", 1);
    assert!(is_active(&first) && is_active(&second));
    if !routes().is_empty() {
        assert!(default_route(&first).contains("via 203.0.113.1"), "{}", first.log());
    }

    // A floating address comes: the agent writes the file anew and sends HUP.
    let (_, mut outside) = cable::open(&first, &name("p3-1"));
    for host in [&first, &second] {
        host.configure(&configuration(&[FLOATING]).replace("ROUTES", routes()));
        host.signal(libc::SIGHUP);
    }
    first.wait("the floating address", |host| host.holds(FLOATING));
    let announced = Ipv4Addr::new(203, 0, 113, 40).octets();
    first.wait("its announcement", |_| {
        outside
            .next()
            .is_ok_and(|frame| frame.get(12..14) == Some(&[8, 6]) && frame.get(28..32) == Some(&announced))
    });
    second.wait_for_lines("Reloaded", 1);
    assert!(first.log().matches("Entering").count() == 2 && holds_all(&mut first, &all), "{}", first.log());
    assert!(!all.iter().any(|address| second.holds(address)));

    // The host of the first one fails; when it is back, it does not preempt.
    for pid in [first.supervisor(), first.worker()] {
        alived::sys::process::signal(pid, libc::SIGKILL);
    }
    second.wait("all addresses", |host| holds_all(host, &all) && host.holds(FLOATING));
    start(&first);
    first.wait("no address", |host| !all.iter().any(|address| host.holds(address)));
    first.wait_for_lines("Startup complete", 2);
    assert!(holds_all(&mut second, &all), "{}", second.log());
    stop(&mut second);
    assert!(!all.iter().any(|address| second.holds(address)));
    first.wait("all addresses again", |host| holds_all(host, &all));
    stop(&mut first);
    assert!(!all.iter().any(|address| first.holds(address)));
    assert_eq!(default_route(&first), "");
}

/// The default route of the main table in words of `ip`, if it is installed.
fn default_route(host: &Host) -> String {
    let text = host.namespace.run(|| fs::read_to_string("/proc/thread-self/net/route").unwrap()).unwrap();
    let of = |line: &str| -> Option<String> {
        let mut words = line.split_whitespace();
        let (device, destination, gateway) = (words.next()?, words.next()?, words.next()?);
        let gateway = u32::from_str_radix(gateway, 16).ok()?;
        (destination == "00000000")
            .then(|| format!("via {} dev {device}", Ipv4Addr::from(gateway.swap_bytes())))
    };
    text.lines().filter_map(of).collect()
}

/// Each in its own namespace, with its own routers: 200 of them when there is time.
#[test]
fn many_daemons_share_a_machine() {
    let count = soak::count(8, 200);
    let Some(first) = Host::new() else { return };
    let mut hosts = vec![first];
    for _ in 1..count {
        // Each has a switch of its own, as each tenant has a network of its own.
        hosts.push(Host::new().unwrap());
    }
    for host in &mut hosts {
        furnish(host);
        host.configure(&configuration(&[FLOATING]).replace("ROUTES", ""));
    }
    let begun = Instant::now();
    for host in &hosts {
        start(host);
    }
    for host in &mut hosts {
        host.wait("all addresses", |host| {
            holds_all(host, &[PRIMARY, GATEWAY, EXTERNAL, LINK_LOCAL, FLOATING])
        });
    }
    println!("{count} daemons lead {:?} after the first was started", begun.elapsed());
    let pids: Vec<u32> = hosts.iter().flat_map(|host| [host.supervisor(), host.worker()]).collect();
    println!("{} KiB in use for each", pids.iter().map(|pid| proportional(*pid)).sum::<u64>() / count);
    for host in &hosts {
        host.signal(libc::SIGHUP);
    }
    for host in &mut hosts {
        host.wait_for_lines("Reloaded", 1);
        assert_eq!(host.log().matches("Entering").count(), 2, "{}", host.log());
    }
    for host in &hosts {
        host.signal(libc::SIGTERM);
    }
    for host in &mut hosts {
        host.wait("the end", |host| !host.path("keepalived.pid").exists());
        assert!(!host.holds(GATEWAY), "{}", host.log());
    }
}

/// What a process uses of the memory, in KiB; what it shares with others divided by their number.
fn proportional(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}
