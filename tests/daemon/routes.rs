//! Virtual and static routes and rules on a real kernel: their order, what somebody else removes, what a killed daemon
//! leaves, and what the kernel takes along.

use std::fs;
use std::time::Instant;

use alived::drill::Program;
use alived::sys::process::signal;

use crate::host::Host;
use crate::ip::{ip, is_there, lines};

const REPAIR: &str = "putting it back";
const FAULT: &str = "Entering FAULT STATE";

/// A router with these lines in its blocks.
fn router(blocks: &str) -> String {
    format!(
        "vrrp_instance VI_1 {{\n interface lan0\n virtual_router_id 51\n version 3\n priority 100\n advert_int 0.1\n \
         virtual_ipaddress {{\n 192.0.2.50/24\n }}\n{blocks}\n}}\n"
    )
}

const ROUTES: &str = "virtual_routes {\n 198.51.100.0/24 via 192.0.2.9 dev lan0\n 203.0.113.0/24 src 192.0.2.50 dev lan0 \
                      table 100 metric 7\n blackhole 10.66.0.0/16\n 2001:db8:5::/48 dev lan0\n }\n virtual_rules {\n from \
                      192.0.2.50 table 100 preference 501\n to 2001:db8:5::/48 lookup 100 preference 502\n }";

/// What the host has of ours, by the words of `ip`.
fn ours(host: &Host) -> Vec<String> {
    let mut found = Vec::new();
    for words in
        ["-d -4 route show table all proto keepalived", "-d -6 route show table all proto keepalived"]
    {
        found.extend(lines(host, words, ""));
    }
    for words in ["-d -4 rule", "-d -6 rule"] {
        found.extend(lines(host, words, "proto keepalived"));
    }
    found
}

/// One that is up, with nobody at its other end.
fn add_interface(host: &Host, name: &str) {
    ip(host, &format!("link add {name} type veth peer name {name}-end"));
    ip(host, &format!("link set {name} up"));
    ip(host, &format!("link set {name}-end up"));
}

fn count(host: &Host, words: &str) -> usize {
    host.log().matches(words).count()
}

fn start(blocks: &str, count: usize) -> Option<Host> {
    let mut host = Host::new()?;
    host.configure(&router(blocks));
    host.start(&[]);
    host.wait("the routes and rules", |host| ours(host).len() == count);
    Some(host)
}

#[test]
fn routes_and_rules_come_and_go_with_mastership() {
    if !is_there("routes_and_rules_come_and_go_with_mastership") {
        return;
    }
    let Some(mut host) = start(ROUTES, 6) else { return };
    let found = ours(&host).join("\n");
    for line in [
        "unicast 198.51.100.0/24 via 192.0.2.9 dev lan0 table main scope global",
        "unicast 203.0.113.0/24 dev lan0 table 100 scope link src 192.0.2.50 metric 7",
        "blackhole 10.66.0.0/16 table main scope global",
        "unicast 2001:db8:5::/48 dev lan0 table main scope global metric 1024",
        "501:\tfrom 192.0.2.50 lookup 100",
        "502:\tfrom all to 2001:db8:5::/48 lookup 100",
    ] {
        assert!(found.contains(line), "{line} is missing:\n{found}");
    }
    host.signal(libc::SIGTERM);
    host.wait_for_end();
    assert_eq!(ours(&host), [""; 0]);
    assert_eq!(count(&host, "refuses"), 0, "{}", host.log());
}

#[test]
fn what_is_flushed_is_back_without_a_transition() {
    if !is_there("what_is_flushed_is_back_without_a_transition") {
        return;
    }
    let Some(mut host) = start(ROUTES, 6) else { return };
    let before = ours(&host);
    for words in ["-4 route flush table 100", "-6 route flush proto keepalived", "-4 rule del pref 501"] {
        let repairs = count(&host, REPAIR);
        ip(&host, words);
        host.wait("the repair", |host| count(host, REPAIR) > repairs && ours(host) == before);
    }
    // Somebody else's route in the place of ours, of which the kernel does not say that ours is gone.
    ip(&host, "route replace 198.51.100.0/24 via 192.0.2.8 dev lan0");
    host.wait("the repair", |host| ours(host) == before);
    // What a network manager does that restarts: the address that a route prefers goes, and the route with it.
    ip(&host, "addr del 192.0.2.50/24 dev lan0");
    host.wait("the repair", |host| ours(host) == before);
    assert_eq!(count(&host, "Entering MASTER STATE"), 1, "{}", host.log());
}

#[test]
fn a_killed_daemons_routes_are_adopted() {
    if !is_there("a_killed_daemons_routes_are_adopted") {
        return;
    }
    let Some(mut host) = start(ROUTES, 6) else { return };
    let before = ours(&host);
    let worker = host.worker();
    signal(worker, libc::SIGKILL);
    host.wait("the next worker", |host| count(host, "Entering MASTER STATE") == 2);
    assert_eq!(ours(&host), before);
    assert_eq!(
        count(&host, "adopting 4 route(s) and 2 rule(s) left over by a predecessor"),
        1,
        "{}",
        host.log()
    );
    // Whoever comes next and cannot be master removes them.
    let [supervisor, worker] = [host.supervisor(), host.worker()];
    // Not to stop in order when its supervisor is gone.
    signal(worker, libc::SIGSTOP);
    signal(supervisor, libc::SIGKILL);
    signal(worker, libc::SIGKILL);
    host.wait_for_end();
    host.wait("the end of the worker", |_| !fs::exists(format!("/proc/{worker}/stat")).unwrap());
    assert_eq!(ours(&host).len(), 6);
    fs::write(host.path("down"), "1").unwrap();
    host.configure(&format!(
        "track_file down {{\n file {}\n weight 0\n}}\n{}",
        host.path("down").display(),
        router(&format!("{ROUTES}\n track_file {{\n down\n }}"))
    ));
    host.start(&[]);
    host.wait("the removal", |host| ours(host).is_empty());
    assert_eq!(
        count(&host, "removing 4 route(s) and 2 rule(s) left over by a predecessor"),
        1,
        "{}",
        host.log()
    );
}

#[test]
fn what_a_killed_worker_left_goes_with_its_supervisor() {
    if !is_there("what_a_killed_worker_left_goes_with_its_supervisor") {
        return;
    }
    let Some(mut host) = Host::new() else { return };
    let statics = "static_routes {\n 10.1.0.0/16 dev lan0\n}\nstatic_rules {\n from 10.2.0.0/16 table 7 \
                   preference 77\n}\n";
    host.configure(&format!("{statics}{}", router(ROUTES)));
    host.start(&["-R"]);
    host.wait("the routes and rules", |host| ours(host).len() == 8);
    ip(&host, "route add 10.3.0.0/16 dev lan0 proto static");
    signal(host.worker(), libc::SIGKILL);
    host.wait_for_end();
    assert_eq!(ours(&host), [""; 0], "{}", host.log());
    assert_eq!(lines(&host, "-4 route show proto static", ""), ["10.3.0.0/16 dev lan0 scope link"]);
    assert_eq!(count(&host, "removed 9 virtual addresses, routes and rules"), 1, "{}", host.log());
}

#[test]
fn several_ways_are_put_back_whole() {
    if !is_there("several_ways_are_put_back_whole") {
        return;
    }
    let blocks = "virtual_routes {\n 198.51.100.0/24 nexthop via 192.0.2.8 dev lan0 weight 3 nexthop via 192.0.2.9 dev lan0\n \
                  2001:db8:5::/48 nexthop via fe80::8 dev lan0 nexthop via fe80::9 dev lan0\n }";
    let Some(mut host) = Host::new() else { return };
    host.configure(&router(blocks));
    host.start(&[]);
    let ways = |host: &Host| {
        let of = |family| {
            let all = lines(host, &format!("{family} route show table all proto keepalived"), "via");
            all.len()
        };
        (of("-4"), of("-6"))
    };
    host.wait("the routes", |host| ways(host) == (2, 2));
    for words in [
        "-4 route del 198.51.100.0/24",
        "-6 route del 2001:db8:5::/48 via fe80::8 dev lan0",
        "-6 route flush 2001:db8:5::/48",
    ] {
        let repairs = count(&host, REPAIR);
        ip(&host, words);
        host.wait("the repair", |host| count(host, REPAIR) > repairs && ways(host) == (2, 2));
    }
}

#[test]
fn static_routes_and_rules_last_and_a_track_group_follows_them() {
    if !is_there("static_routes_and_rules_last_and_a_track_group_follows_them") {
        return;
    }
    let Some(mut host) = Host::new() else { return };
    add_interface(&host, "other");
    host.configure(&format!(
        "track_group gateways {{\n group {{\n VI_1\n }}\n}}\nstatic_ipaddress {{\n 198.51.100.1/24 dev other\n}}\nstatic_routes \
         {{\n 10.1.0.0/16 via 198.51.100.9 dev other track_group gateways\n}}\nstatic_rules {{\n from 10.2.0.0/16 table 7 \
         preference 77\n}}\n{}",
        router("")
    ));
    host.start(&[]);
    host.wait("the static ones", |host| ours(host).len() == 2);
    host.wait_for_lines("Entering MASTER STATE", 1);
    let faults = count(&host, FAULT);
    // With the address, the kernel takes the route along in silence; both are put back.
    ip(&host, "addr flush dev other");
    host.wait("the repair", |host| {
        ours(host).len() == 2 && lines(host, "addr show dev other", "198.51.100.1").len() == 1
    });
    assert_eq!(count(&host, FAULT), faults, "{}", host.log());
    ip(&host, "link set other down");
    host.wait_for_lines(FAULT, faults + 1);
    ip(&host, "link set other up");
    host.wait("the route", |host| ours(host).len() == 2);
    host.wait_for_lines("Entering MASTER STATE", 2);
    // A reload touches only what it changes.
    host.configure(&format!("static_routes {{\n 10.1.0.0/16 dev other\n}}\n{}", router("")));
    host.signal(libc::SIGHUP);
    host.wait("the reload", |host| ours(host) == ["unicast 10.1.0.0/16 dev other table main scope link"]);
    host.signal(libc::SIGTERM);
    host.wait_for_end();
    assert_eq!(ours(&host), [""; 0]);
}

/// As OpenStack Neutron's agent configures a highly available router.
#[test]
fn the_default_route_of_a_neutron_router() {
    if !is_there("the_default_route_of_a_neutron_router") {
        return;
    }
    let Some(mut host) = Host::new() else { return };
    add_interface(&host, "qg-5e1");
    host.configure(
        "global_defs {\n notification_email_from neutron@openstack.local\n router_id neutron\n}\nvrrp_instance VR_1 {\n state \
         BACKUP\n interface lan0\n virtual_router_id 1\n priority 50\n garp_master_delay 60\n nopreempt\n advert_int 1\n \
         track_interface {\n lan0\n }\n virtual_ipaddress {\n 169.254.0.1/24 dev lan0\n }\n virtual_ipaddress_excluded {\n \
         10.0.0.1/24 dev qg-5e1 no_track\n fe80::f816:3eff:fe00:1/64 dev qg-5e1 scope link no_track\n }\n virtual_routes {\n \
         0.0.0.0/0 via 10.0.0.254 dev qg-5e1 no_track protocol static\n 10.9.0.0/16 dev qg-5e1 scope link no_track protocol \
         static\n }\n}\n",
    );
    host.start(&["-P"]);
    host.wait("the default route", |host| {
        lines(host, "route", "default via 10.0.0.254 dev qg-5e1 proto static").len() == 1
            && lines(host, "route", "10.9.0.0/16 dev qg-5e1 proto static scope link").len() == 1
    });
    let faults = count(&host, FAULT);
    // The interface may go down without a word of the router's.
    ip(&host, "link set qg-5e1 down");
    ip(&host, "link set qg-5e1 up");
    host.wait("the default route", |host| lines(host, "route", "default via 10.0.0.254").len() == 1);
    assert_eq!(count(&host, FAULT), faults, "{}", host.log());
    host.signal(libc::SIGTERM);
    host.wait_for_end();
    assert_eq!(lines(&host, "route", "proto static"), [""; 0]);
}

#[test]
fn a_tracked_route_faults_with_its_interface_and_another_does_not() {
    if !is_there("a_tracked_route_faults_with_its_interface_and_another_does_not") {
        return;
    }
    let Some(mut host) = Host::new() else { return };
    for name in ["one", "two"] {
        add_interface(&host, name);
    }
    let routes = "virtual_routes {\n 10.1.0.0/16 dev one\n 10.2.0.0/16 dev two no_track\n }";
    host.configure(&router(routes));
    host.start(&[]);
    host.wait("the routes", |host| ours(host).len() == 2);
    let faults = count(&host, FAULT);
    ip(&host, "link set two down");
    host.wait("the kernel", |host| ours(host).len() == 1);
    ip(&host, "link set two up");
    host.wait("the route", |host| ours(host).len() == 2);
    assert_eq!(count(&host, FAULT), faults, "{}", host.log());
    ip(&host, "link set one down");
    host.wait_for_lines(FAULT, faults + 1);
    ip(&host, "link set one up");
    host.wait("the routes", |host| ours(host).len() == 2);
}

#[test]
fn two_routers_share_a_route() {
    if !is_there("two_routers_share_a_route") {
        return;
    }
    let Some(mut host) = Host::new() else { return };
    let blocks = "virtual_routes {\n 198.51.100.0/24 via 192.0.2.9 dev lan0\n }\n virtual_rules {\n from 10.0.0.0/8 table 100 \
                  preference 5\n }";
    let one = router(blocks);
    let two = one.replace("VI_1", "VI_2").replace("virtual_router_id 51", "virtual_router_id 52");
    let two = two.replace("192.0.2.50/24", "192.0.2.60/24");
    host.configure(&format!("{one}{two}"));
    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", 2);
    host.wait("the routes", |host| ours(host).len() == 2);
    host.configure(&two);
    host.signal(libc::SIGHUP);
    host.wait("the reload", |host| !host.holds("192.0.2.50/24"));
    host.wait("the routes", |host| ours(host).len() == 2);
    host.signal(libc::SIGTERM);
    host.wait_for_end();
    assert_eq!(ours(&host), [""; 0]);
}

/// How often a thread of the worker has waited for something.
fn waits(host: &Host, thread: &str) -> u64 {
    let pid = host.worker();
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let task = task.unwrap().path();
        if fs::read_to_string(task.join("comm")).unwrap().contains(thread) {
            let status = fs::read_to_string(task.join("status")).unwrap();
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"));
            total += line.unwrap().split_whitespace().nth(1).unwrap().parse::<u64>().unwrap();
        }
    }
    assert!(total > 0, "there is a thread named {thread}");
    total
}

/// The thread that advertises is not woken by the routes of others, however many come and go.
#[test]
fn the_routes_of_others_wake_nobody() {
    if !is_there("the_routes_of_others_wake_nobody") {
        return;
    }
    let Some(mut host) = start(ROUTES, 6) else { return };
    let mut batch = String::new();
    for verb in ["add", "del"] {
        for number in 0..20_000_u32 {
            let (high, low) = (number / 250, number % 250);
            batch.push_str(&format!("route {verb} 10.{high}.{low}.0/26 via 192.0.2.9 dev lan0 proto 186\n"));
        }
    }
    fs::write(host.path("batch"), batch).unwrap();
    let (before, started) = (waits(&host, "vrrp"), Instant::now());
    let batch = host.path("batch");
    ip(&host, &format!("-batch {}", batch.display()));
    let (woken, elapsed) = (waits(&host, "vrrp") - before, started.elapsed());
    // Ten advertisements a second of its own, and what belongs to each; 40,000 notifications.
    let own = 20 * (elapsed.as_millis() / 100 + 10) as u64;
    assert!(woken < own.min(20_000), "{woken} wake-ups in {elapsed:?}");
    host.wait("the routes", |host| ours(host).len() == 6);
}

/// A thousand routes and a thousand rules follow a takeover and leave with it, in few steps and without a word from
/// anybody who advertises; how long that takes is told beside keepalived's.
#[test]
fn a_thousand_routes_and_rules_follow_a_takeover() {
    const COUNT: usize = 1_000;
    let test = "a_thousand_routes_and_rules_follow_a_takeover";
    if !is_there(test) {
        return;
    }
    let mut blocks = String::from("virtual_routes {\n");
    for number in 0..COUNT {
        let (high, low) = (number / 250, number % 250);
        blocks += &format!(" 10.{high}.{low}.0/24 via 192.0.2.9 dev lan0\n");
    }
    blocks += " }\n virtual_rules {\n";
    for number in 0..COUNT {
        let (high, low) = (number / 250, number % 250);
        blocks += &format!(" from 10.{high}.{low}.0/24 table 100 preference {}\n", 1_000 + number);
    }
    blocks += " }";
    let held = |host: &Host| {
        let routes = lines(host, "-4 route show proto keepalived", "via 192.0.2.9").len();
        (routes, lines(host, "-4 rule", "lookup 100").len())
    };
    let keepalived = Program::keepalived();
    for program in [None, keepalived] {
        let Some(mut host) = Host::new() else { return };
        let ours = program.is_none();
        let name = if ours { "alived" } else { "keepalived" };
        program.iter().for_each(|program| host.use_program(&program.path));
        host.configure(&router(&blocks));
        host.start(&[]);
        host.wait("mastership", |host| host.holds("192.0.2.50/24"));
        let begun = Instant::now();
        host.wait("the routes and rules", |host| held(host) == (COUNT, COUNT));
        println!("{name}: all there {:?} after the address", begun.elapsed());
        if ours {
            // Many of them with one call. A step waits at most once, for its turn in the kernel.
            let waits = waits(&host, "kernel");
            assert!(waits < COUNT as u64 / 4, "{waits} waits for {COUNT} routes and {COUNT} rules");
            assert_eq!(count(&host, "Entering MASTER STATE"), 1, "{}", host.log());
        }
        host.signal(libc::SIGTERM);
        host.wait_for_end();
        assert_eq!(held(&host), (0, 0), "{name}");
    }
}
