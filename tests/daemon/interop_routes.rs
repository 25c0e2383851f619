//! The same routes and rules as keepalived's: with one configuration, what `ip` shows is equal.

use alived::drill::Program;

use crate::host::Host;
use crate::ip::{ip, is_there, lines};
use crate::skip;

/// A line for each option of a route, but for those that this test leaves out with a reason:
/// - `encap ila`, `nat`: no kernel of ours serves them, both programs are refused;
/// - `vrf`: needs a VRF device;
/// - `as`: for MPLS alone;
/// - `via inet6` of an IPv4 route: keepalived takes it for a mistake, and so do we;
/// - `local`, `broadcast`: keepalived 2.2.7 asks for scope global, which the kernel refuses;
/// - `encap ip6`: keepalived 2.2.7 leaves it out;
/// - `inet6`: keepalived 2.2.7 does not know it.
const ROUTES: &[&str] = &[
    "10.1.0.0/16 via 192.0.2.9 dev lan0",
    "10.2.0.0/16 dev lan0",
    "to 10.3.0.0/16 via 192.0.2.9",
    "10.4.0.0/16 gw 192.0.2.9",
    "10.5.0.0/16 via 192.0.2.8 or 192.0.2.9",
    "10.6.0.0/16 src 192.0.2.1 dev lan0",
    "10.7.0.0/16 dev lan0 table 100",
    "10.8.0.0/16 dev lan0 table 70000",
    "10.9.0.0/16 dev lan0 scope link metric 5",
    "10.10.0.0/16 dev lan0 scope host priority 6",
    "10.11.0.0/16 dev lan0 tos 0x10",
    "10.12.0.0/16 dev lan0 protocol static no_track",
    "10.13.0.0/16 dev lan0 protocol static",
    "10.14.0.0/16 via 203.0.113.9 dev lan0 onlink",
    "10.15.0.0/16 dev lan0 mtu 1400 advmss lock 1300 window 5000",
    "10.16.0.0/16 dev lan0 rtt 300ms rttvar lock 0.4s ssthresh 10 cwnd lock 20",
    "10.17.0.0/16 dev lan0 reordering 4 hoplimit 9 rto_min 250ms initcwnd 11 initrwnd 12",
    "10.18.0.0/16 dev lan0 features ecn quickack 1 fastopen_no_cookie 1",
    "10.19.0.0/16 dev lan0 congctl lock cubic",
    "10.20.0.0/16 dev lan0 mtu lock 1450",
    "blackhole 10.21.0.0/16",
    "unreachable 10.22.0.0/16",
    "prohibit 10.23.0.0/16 metric 9",
    "throw 10.24.0.0/16 table 100",
    "multicast 224.5.0.0/16 dev lan0",
    "10.27.0.0/16 nexthop via 192.0.2.8 dev lan0 weight 3 nexthop via 192.0.2.9 dev lan0 weight 1",
    "10.28.0.0/16 nexthop via 192.0.2.8 dev lan0 onlink weight 256 nexthop via 192.0.2.9 dev lan0",
    "10.30.0.0/16 via 192.0.2.9 dev lan0 encap mpls 100/200",
    "10.31.0.0/16 via 192.0.2.9 dev lan0 encap ip id 7 dst 203.0.113.7 src 203.0.113.8 tos 4 ttl 9",
    "10.32.0.0/16 dev lan0 realms 3/4",
    "10.33.0.0/16 dev lan0 ttl-propagate enabled",
    "10.34.0.0/16 via 192.0.2.9 dev lan0 append",
    "10.34.0.0/16 via 192.0.2.8 dev lan0 append",
    "10.35.0.0/16 via 192.0.2.9 dev lan0 prepend",
    "10.35.0.0/16 via 192.0.2.8 dev lan0 prepend",
    "10.36.0.0/16 via 192.0.2.9 dev lan0 add",
    "default via 192.0.2.9 dev lan0 metric 77",
    "0.0.0.0/0 via 192.0.2.9 dev lan0 table 100",
    "2001:db8:1::/48 via fe80::9 dev lan0",
    "2001:db8:2::/48 dev lan0 metric 7",
    "2001:db8:3::/48 dev lan0 table 100",
    "2001:db8:4::/48 from 2001:db8:99::/48 dev lan0",
    "2001:db8:5::/48 dev lan0 pref high",
    "2001:db8:6::/48 dev lan0 pref low",
    "2001:db8:7::/48 dev lan0 mtu 1400 hoplimit 12",
    "2001:db8:8::/48 nexthop via fe80::8 dev lan0 weight 2 nexthop via fe80::9 dev lan0",
    "blackhole 2001:db8:10::/48",
    "unreachable 2001:db8:11::/48 table 100",
];

/// The names of protocols are left out: keepalived 2.2.7 does not read them here.
const RULES: &[&str] = &[
    "from 10.1.0.0/16 table 100 preference 1001",
    "to 10.1.0.0/16 lookup 100 priority 1002",
    "from all table 70000 order 1003",
    "not from 10.1.0.0/16 to 10.2.0.0/16 table 100 preference 1004",
    "fwmark 0x10/0xff table 100 preference 1005",
    "fwmark 7 table 100 preference 1006",
    "iif lan0 table 100 preference 1007",
    "oif lan0 table 100 preference 1008",
    "dev lan0 table 100 preference 1009",
    "tos 0x10 from 10.3.0.0/16 table 100 preference 1010",
    "suppress_prefixlength 8 table main preference 1011",
    "suppress_ifgroup 5 table main preference 1012",
    "tunnel-id 99 table 100 preference 1013",
    "uidrange 100-200 table 100 preference 1014",
    "protocol 4 from 10.4.0.0/16 table 100 preference 1015 no_track",
    "ipproto tcp sport 100-200 dport 300-400 table 100 preference 1016",
    "from 10.5.0.0/16 goto 1030 preference 1017",
    "from 10.6.0.0/16 blackhole preference 1018",
    "from 10.7.0.0/16 unreachable preference 1019",
    "from 10.8.0.0/16 prohibit preference 1020",
    "from 10.9.0.0/16 nop preference 1021",
    "from 10.10.0.0/16 realms 3/4 table 100 preference 1022",
    "from 10.11.0.0/16 table local preference 1030",
    "from 2001:db8:1::/48 table 100 preference 1101",
    "to 2001:db8:1::/48 fwmark 3 table 100 preference 1102",
    "from 2001:db8:2::/48 blackhole preference 1105",
];

fn block(keyword: &str, lines: &[&str]) -> String {
    format!(" {keyword} {{\n  {}\n }}\n", lines.join("\n  "))
}

/// Everything but what the kernel has made by itself.
fn shown(host: &Host) -> Vec<String> {
    let mut all = Vec::new();
    for words in ["-d -4 route show table all", "-d -6 route show table all"] {
        let foreign = |line: &&String| !line.contains("proto kernel");
        // Where a route has neither gateway nor scope, ours is that of keepalived 2.4 and of `ip`; 2.2.7 had global.
        let scope = |line: &String| match line.contains(" via ") || line.contains("2001:db8:") {
            true => line.clone(),
            false => line.replace("scope global", "scope link"),
        };
        all.extend(lines(host, words, "").iter().filter(foreign).map(scope));
    }
    for words in ["-d -4 rule", "-d -6 rule"] {
        all.extend(lines(host, words, "").iter().filter(|line| !line.contains("proto kernel")).cloned());
    }
    all
}

fn hosts() -> Option<[Host; 2]> {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    if !is_there(&test) {
        return None;
    }
    let Some(keepalived) = Program::keepalived() else {
        skip::skip(&test, "keepalived is not installed");
        return None;
    };
    // Each on a LAN of its own.
    let (ours, mut theirs) = (Host::new()?, Host::new()?);
    theirs.use_program(&keepalived.path);
    Some([ours, theirs])
}

/// Waits until nothing more changes.
fn settled(host: &mut Host) -> Vec<String> {
    let mut last = shown(host);
    let mut same = 0;
    host.wait("the routes and rules to stay as they are", |host| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let now = shown(host);
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same >= 10 && host.log().contains("Entering MASTER STATE")
    });
    last
}

fn compare(config: &str, at_least: usize) {
    let Some([mut ours, mut theirs]) = hosts() else { return };
    for host in [&mut ours, &mut theirs] {
        // keepalived may be started at once: it counts an interface without link-local address as unfit for `via inet6`.
        host.wait("the link-local address", |host| {
            !ip(host, "-6 addr show dev lan0 scope link -tentative").trim().is_empty()
        });
        host.configure(config);
    }
    ours.start(&[]);
    theirs.start(&[]);
    let (mine, reference) = (settled(&mut ours), settled(&mut theirs));
    let missing: Vec<&String> = reference.iter().filter(|line| !mine.contains(line)).collect();
    let extra: Vec<&String> = mine.iter().filter(|line| !reference.contains(line)).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "keepalived has\n{missing:#?}\nours has\n{extra:#?}\nour log:\n{}\nits log:\n{}",
        ours.log(),
        theirs.log()
    );
    assert!(mine.len() >= at_least, "{mine:#?}\n{}", ours.log());
    // The order matters where several are in one place.
    assert_eq!(mine, reference);
    for host in [&mut ours, &mut theirs] {
        host.signal(libc::SIGTERM);
        host.wait_for_end();
        assert_eq!(shown(host).iter().filter(|line| line.contains("keepalived")).count(), 0);
    }
}

fn master(blocks: &str) -> String {
    format!(
        "vrrp_instance VI_1 {{\n interface lan0\n virtual_router_id 51\n version 3\n priority 200\n advert_int 0.1\n \
         virtual_ipaddress {{\n  192.0.2.50/24\n }}\n{blocks}}}\n"
    )
}

#[test]
fn virtual_routes_are_the_same() {
    compare(&master(&block("virtual_routes", ROUTES)), 42);
}

#[test]
fn virtual_rules_are_the_same() {
    compare(&master(&block("virtual_rules", RULES)), 20);
}

#[test]
fn static_routes_and_rules_are_the_same() {
    let routes: Vec<String> = ROUTES.iter().map(|line| line.replace(" no_track", "")).collect();
    let routes: Vec<&str> = routes.iter().map(String::as_str).collect();
    let rules: Vec<String> = RULES.iter().map(|line| line.replace(" no_track", "")).collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let config =
        format!("{}{}{}", block("static_routes", &routes), block("static_rules", &rules), master(""));
    compare(&config, 65);
}
