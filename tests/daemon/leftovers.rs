//! What a daemon that was killed as a whole has left on a real kernel, where the next one has another configuration:
//! all that was its own goes, whatever others have stays.

use std::fs;
use std::process::{Command, Stdio};

use alived::sys::process::signal;

use crate::host::{Host, instance};
use crate::ip::{ip, is_there, lines};
use crate::nft;

const STAYS: &str = "192.0.2.50/24";

/// Ends all of a daemon at once, as the kernel does that has no memory left. None of it can tidy up.
fn kill_all(host: &mut Host) {
    let pids: Vec<u32> =
        [Some(host.supervisor()), Some(host.worker()), host.runner()].into_iter().flatten().collect();
    pids.iter().for_each(|pid| signal(*pid, libc::SIGSTOP));
    pids.iter().for_each(|pid| signal(*pid, libc::SIGKILL));
    host.wait_for_end();
    host.wait("its end", |_| pids.iter().all(|pid| !fs::exists(format!("/proc/{pid}/stat")).unwrap()));
}

/// Routes and rules with our mark.
fn marked(host: &Host) -> Vec<String> {
    let mut found = Vec::new();
    for family in ["-4", "-6"] {
        found.extend(lines(host, &format!("{family} route show table all proto keepalived"), ""));
        found.extend(lines(host, &format!("-d {family} rule"), "proto keepalived"));
    }
    found
}

#[test]
fn addresses_routes_and_rules_that_are_not_configured_any_more_go_at_the_start() {
    let test = "addresses_routes_and_rules_that_are_not_configured_any_more_go_at_the_start";
    if !is_there(test) {
        return;
    }
    let Some(mut host) = Host::new() else { return };
    let routing = "virtual_routes {\n 198.51.100.0/24 via 192.0.2.9 dev lan0\n blackhole 10.66.0.0/16\n }\n \
                   virtual_rules {\n from 192.0.2.50 table 100 preference 501\n }\n}";
    let second =
        instance("VI_2", 52, 100, "192.0.2.60/24").trim_end().trim_end_matches('}').to_owned() + routing;
    let statics = "static_ipaddress {\n 10.9.0.1/24 dev lan0\n}\nstatic_routes {\n 10.1.0.0/16 dev lan0 no_track protocol \
                   static\n 2001:db8:5::/48 dev lan0\n}\nstatic_rules {\n to 2001:db8:5::/48 lookup 100 preference \
                   502\n}\n";
    host.configure(&format!("{statics}{}{second}\n", instance("VI_1", 51, 100, STAYS)));
    host.start(&[]);
    host.wait("everything", |host| {
        marked(host).len() == 5 && host.holds(STAYS) && host.holds("192.0.2.60/24")
    });
    // Of others: by hand, with our mark as keepalived and a second daemon have it, and an address.
    ip(&host, "route add 10.3.0.0/16 dev lan0 proto static");
    ip(&host, "route add 10.4.0.0/16 dev lan0 proto keepalived");
    ip(&host, "rule add from 10.4.0.0/16 table 9 preference 503 proto keepalived");
    ip(&host, "addr add 10.9.1.2/24 dev lan0");
    kill_all(&mut host);
    assert_eq!(marked(&host).len(), 7);
    host.configure(&instance("VI_1", 51, 100, STAYS));
    host.start(&[]);
    host.wait("the removal", |host| marked(host).len() == 2);
    let rest = marked(&host).join("\n");
    assert!(rest.contains("10.4.0.0/16 dev lan0") && rest.contains("503:\tfrom 10.4.0.0/16"), "{rest}");
    host.wait("the removal", |host| {
        lines(host, "-4 route show proto static", "") == ["10.3.0.0/16 dev lan0 scope link"]
            && !host.holds("10.9.0.1/24")
            && !host.holds("192.0.2.60/24")
    });
    assert!(host.holds("10.9.1.2/24") && host.holds("192.0.2.1/24"));
    host.wait("a master", |host| host.log().matches("(VI_1) Entering MASTER STATE").count() == 2);
    assert!(host.holds(STAYS));
    let told = "removing 2 address(es), 4 route(s), 2 rule(s) and 0 interface(s) that a predecessor left";
    assert_eq!(host.log().matches(told).count(), 1, "{}", host.log());
    assert_eq!(host.log().matches("adopting 1 address(es)").count(), 1, "{}", host.log());
    // An ordered stop leaves no list to the next one.
    host.signal(libc::SIGTERM);
    assert!(host.wait_for_end().success());
    assert!(!fs::exists(host.path("vrrp.leftovers")).unwrap());
    assert_eq!(marked(&host).len(), 2);
}

#[test]
fn interfaces_and_filters_that_are_not_configured_any_more_go_at_the_start() {
    let test = "interfaces_and_filters_that_are_not_configured_any_more_go_at_the_start";
    if !is_there(test) {
        return;
    }
    let Some(mut host) = Host::new() else { return };
    let with = |name, vrid, address, line: &str| {
        let plain = instance(name, vrid, 100, address);
        plain.replacen('{', &format!("{{\n    {line}"), 1)
    };
    let arp_ignore =
        host.namespace.run(|| fs::read_to_string("/proc/sys/net/ipv4/conf/lan0/arp_ignore")).unwrap();
    host.configure(&format!(
        "{}{}",
        with("VI_1", 51, "192.0.2.60/24", "use_vmac"),
        with("VI_2", 52, STAYS, "no_accept")
    ));
    host.start(&[]);
    host.wait("the interface", |host| !lines(host, "link", "vrrp.51").is_empty() && host.holds(STAYS));
    let has_nft = nft::rules(&host).is_some();
    if has_nft {
        let tables = nft::rules(&host).unwrap();
        assert!(
            tables.contains("table ip keepalived {") && tables.contains("table ip keepalived_no_accept {"),
            "{tables}"
        );
        // One of somebody else, and one of keepalived's in another family, by their names.
        add_table(&host, "ip mine");
        add_table(&host, "bridge keepalived");
    }
    // An interface like ours that is none of ours.
    ip(&host, "link add link lan0 name vrrp.99 type macvlan mode private");
    kill_all(&mut host);
    assert!(!lines(&host, "link", "vrrp.51").is_empty());
    host.configure(&instance("VI_2", 52, 100, STAYS));
    host.start(&[]);
    host.wait("the removal", |host| lines(host, "link", "vrrp.51").is_empty());
    assert!(!lines(&host, "link", "vrrp.99").is_empty());
    let told = "removing 0 address(es), 0 route(s), 0 rule(s) and 1 interface(s) that a predecessor left";
    assert_eq!(host.log().matches(told).count(), 1, "{}", host.log());
    host.wait("the settings", |host| {
        host.namespace.run(|| fs::read_to_string("/proc/sys/net/ipv4/conf/lan0/arp_ignore")).unwrap().ok()
            == arp_ignore.as_ref().ok().cloned()
    });
    if has_nft {
        host.wait("the tables", |host| !nft::rules(host).unwrap().contains("\"alived "));
        let tables = nft::rules(&host).unwrap();
        assert!(tables.contains("table ip mine") && tables.contains("table bridge keepalived"), "{tables}");
        assert!(!tables.contains("no_accept"), "{tables}");
        host.wait_for_lines("removed the nftables table keepalived that a predecessor left", 2);
    }
}

fn add_table(host: &Host, words: &str) {
    let mut command = Command::new("nft");
    command.args(["add", "table"]).args(words.split(' ')).stdout(Stdio::null());
    host.namespace.contain(&mut command);
    assert!(command.status().unwrap().success(), "nft add table {words}");
}
