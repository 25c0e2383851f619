//! What is accepted and what refused: words inside lines, instances that share an address or a VRID, scripts.

use super::diagnostics::Severity;
use super::{FakeHost, LoadOptions, Loaded, PathKind, PathMetadata, PrintOptions, User, load, print};
use crate::vrrp::{Destinations, OldChecksum};
use crate::wire::vrrp::HopLimits;

fn read(host: &FakeHost) -> Loaded {
    load(host, "/etc/k.conf", &LoadOptions::default())
}

/// A host with users, and programs behind links as on a merged `/usr`.
fn host(text: &str) -> FakeHost {
    let mut host = FakeHost::with_file("/etc/k.conf", text).and_interfaces(&["lo", "eth0", "eth1"]);
    let users = [("root", 0), ("nobody", 65534), ("worker", 1000)];
    host.users = Some(users.map(|(name, id)| (name.to_owned(), User { uid: id, gid: id })).into());
    host.groups =
        Some([("root", 0), ("nogroup", 65534), ("staff", 50)].map(|(n, g)| (n.to_owned(), g)).into());
    let entry = |kind, uid, mode| PathMetadata { kind, uid, gid: uid, mode };
    let directory = |mode| entry(PathKind::Directory, 0, mode);
    let link = |target: &str| entry(PathKind::SymbolicLink(target.to_owned()), 0, 0o777);
    host.paths = Some(
        [
            ("/", directory(0o755)),
            ("/bin", link("usr/bin")),
            ("/usr", directory(0o755)),
            ("/usr/bin", directory(0o755)),
            ("/usr/sbin", link("bin")),
            ("/usr/bin/true", entry(PathKind::File, 0, 0o755)),
            ("/usr/bin/private", entry(PathKind::File, 0, 0o700)),
            ("/usr/bin/pidof", link("../lib/killall5")),
            ("/usr/lib", directory(0o755)),
            ("/usr/lib/killall5", entry(PathKind::File, 0, 0o755)),
            ("/usr/bin/loop", link("loop")),
            ("/usr/bin/lost", link("nowhere")),
            ("/usr/bin/others", link("/home/w/x")),
            ("/home", directory(0o755)),
            ("/home/w", entry(PathKind::Directory, 1000, 0o755)),
            ("/home/w/x", entry(PathKind::File, 0, 0o755)),
            ("/tmp", directory(0o1777)),
            ("/tmp/link", entry(PathKind::SymbolicLink("/usr/bin/true".to_owned()), 1000, 0o777)),
            ("/root", directory(0o700)),
            ("/root/x", entry(PathKind::File, 0, 0o755)),
            ("/work", entry(PathKind::Directory, 1000, 0o700)),
            ("/work/x", entry(PathKind::File, 1000, 0o755)),
        ]
        .map(|(path, metadata)| (path.to_owned(), metadata))
        .into(),
    );
    host
}

fn of_text(text: &str) -> Loaded {
    read(&host(text))
}

fn instance(name: &str, vrid: u8, statements: &str, addresses: &str) -> String {
    format!(
        "vrrp_instance {name} {{\nvirtual_router_id {vrid}\n{statements}\nvirtual_ipaddress {{\n{addresses}\n}}\n}}\n"
    )
}

fn on_eth0(statements: &str, address: &str) -> String {
    instance("A", 5, &format!("interface eth0\n{statements}"), address)
}

#[track_caller]
fn judged(text: &str, status: u8, usable: bool) -> Loaded {
    let loaded = of_text(text);
    let rendered = loaded.render(super::Style::default());
    assert_eq!((loaded.exit_code, loaded.usable), (status, usable), "{text}\n{rendered}");
    loaded
}

#[test]
fn a_line_with_use_vmac_is_on_an_interface_of_its_own() {
    for (settings, address, interface) in [
        ("", "10.0.9.1/24", None),
        ("", "10.0.9.1/24 dev eth1 no_track", Some("eth1")),
        ("", "10.0.9.1/24 dev eth1 use_vmac", Some("vrrp.5")),
        ("", "10.0.9.1/24 use_vmac dev eth1", Some("vrrp.5")),
        ("", "fd00::9/64 use_vmac", Some("vrrp.5")),
        ("use_vmac", "10.0.9.1/24", None),
        ("use_vmac", "10.0.9.1/24 use_vmac", None),
        ("use_vmac", "10.0.9.1/24 dev eth1", Some("eth1")),
        ("use_vmac", "10.0.9.1/24 dev eth1 use_vmac", Some("vrrp4.5")),
        ("use_vmac", "fd00::9/64", None),
        ("use_vmac", "fd00::9/64 use_vmac", Some("vrrp6.5")),
        ("use_vmac\nuse_vmac_addr", "fd00::9/64", Some("vrrp6.5")),
        ("use_vmac\nuse_vmac_addr", "10.0.9.1/24 dev eth1", Some("vrrp4.5")),
        ("use_vmac_addr", "10.0.9.1/24", None),
    ] {
        let excluded =
            on_eth0(&format!("{settings}\nvirtual_ipaddress_excluded {{\n{address}\n}}"), "192.0.2.7/24");
        let loaded = judged(&excluded, 0, true);
        let router = &loaded.node.routers[0];
        let found = router.excluded[0].interface.as_ref().map(|interface| interface.as_str());
        assert_eq!(found, interface, "{settings} {address}");
        let own =
            if settings.starts_with("use_vmac\n") || settings == "use_vmac" { "vrrp.5" } else { "eth0" };
        assert_eq!(router.interfaces.addresses.as_str(), own);
        let links = loaded.node.links.iter().map(|link| link.name.as_str());
        let wanted = [own, interface.unwrap_or(own)].into_iter().filter(|name| !name.starts_with("eth"));
        assert_eq!(links.collect::<std::collections::BTreeSet<_>>(), wanted.collect());
    }
}

#[test]
fn virtual_macs_have_names_and_macs_of_their_own() {
    let with = |name: &str, vrid: u8, settings: &str, address: &str| {
        instance(name, vrid, &format!("interface eth0\n{settings}"), address)
    };
    let loaded = judged(
        &[
            with("A", 5, "use_vmac", "10.0.0.1/24"),
            with("B", 5, "use_vmac", "fe80::1/64"),
            with("C", 6, "use_vmac vrrp.7", "10.0.0.2/24"),
            with("D", 7, "use_vmac 02:00:5e:00:01\nvmac_xmit_base", "10.0.0.3/24"),
            with("E", 8, "use_vmac own0 02:00:00:00:00:01 group 5", "10.0.0.4/24"),
        ]
        .concat(),
        0,
        true,
    );
    let links: Vec<String> = loaded
        .node
        .links
        .iter()
        .map(|link| format!("{} {} {:?}", link.name, link.kind, link.group))
        .collect();
    assert_eq!(
        links,
        [
            "vrrp.5 macvlan 00:00:5e:00:01:05 None",
            "vrrp6.5 macvlan 00:00:5e:00:02:05 None",
            "vrrp.7 macvlan 00:00:5e:00:01:06 None",
            "vrrp4.7 macvlan 02:00:5e:00:01:07 None",
            "own0 macvlan 02:00:00:00:00:01 Some(5)",
        ]
    );
    let channel = |at: usize| {
        let interfaces = &loaded.node.routers[at].interfaces;
        let name = |of: &Option<crate::net::InterfaceName>| of.as_ref().map(ToString::to_string);
        [&interfaces.transmit, &interfaces.receive, &interfaces.base].map(name)
    };
    let names = |names: [&str; 3]| names.map(|name| Some(name.to_owned()));
    assert_eq!(channel(0), names(["vrrp.5", "vrrp.5", "eth0"]));
    assert_eq!(channel(3), names(["eth0", "eth0", "eth0"]));
    let families: Vec<_> = loaded.node.links.iter().map(|link| (link.ipv4, link.ipv6)).collect();
    assert_eq!(families[..2], [(true, false), (false, true)]);
}

#[test]
fn an_ipvlan_has_its_own_address() {
    let loaded = judged(&on_eth0("use_ipvlan ipvl0 192.0.2.7/24 private", "10.0.0.1/24"), 0, true);
    let router = &loaded.node.routers[0];
    assert_eq!(router.source, Some([192, 0, 2, 7].into()));
    assert_eq!(router.interfaces.addresses.as_str(), "ipvl0");
    assert_eq!(loaded.node.links[0].kind.to_string(), "ipvlan");
    let own = &loaded.node.statics.addresses[0];
    assert_eq!((own.interface.as_str(), own.spec.prefix.to_string().as_str()), ("ipvl0", "192.0.2.7/24"));
    for (settings, address) in [
        ("use_ipvlan ipvl0", "10.0.0.1/24"),
        ("use_ipvlan fd00::7/64", "fe80::1/64"),
        ("use_ipvlan eth1 192.0.2.7/24", "10.0.0.1/24"),
    ] {
        assert!(!of_text(&on_eth0(settings, address)).usable, "{settings}");
    }
}

#[test]
fn virtual_macs_that_cannot_be_are_refused() {
    let on = |interface: &str, settings: &str| {
        instance("A", 5, &format!("interface {interface}\n{settings}"), "10.0.0.1/24")
    };
    let second = |settings: &str| instance("B", 6, &format!("interface eth0\n{settings}"), "10.0.0.2/24");
    for (text, code) in [
        (on("tun0", "use_vmac"), "not-ethernet"),
        (on("eth0", "use_vmac eth1"), "vmac-name"),
        (on("eth0", "use_vmac x") + &second("use_vmac x"), "vmac-name"),
        (on("eth0", "use_vmac 02:00:00:00:00:01") + &second("use_vmac 02:00:00:00:00:01"), "vmac-mac"),
        (
            format!("global_defs {{\nvmac_prefix quite_a_long_one\n}}\n{}", on("eth0", "use_vmac")),
            "vmac-name",
        ),
    ] {
        let loaded = read(&host(&text).and_interfaces(&["lo", "eth0", "eth1", "tun0"]));
        assert!(!loaded.usable, "{text}");
        assert!(loaded.diagnostics.iter().any(|found| found.code == code), "{text}");
    }
    for settings in ["use_vmac 01:00:00:00:00:01", "use_vmac 02:00:00", "use_vmac a_name_that_is_too_long"] {
        let loaded = of_text(&on("eth0", settings));
        assert!(loaded.exit_code != 0, "{settings}");
    }
    // Half of it is no virtual MAC.
    let loaded = judged(&on_eth0("vmac_xmit_base", "10.0.0.1/24"), 0, true);
    assert!(loaded.diagnostics.iter().any(|found| found.code == "vmac-xmit-base"));
}

#[test]
fn no_router_runs_on_the_loopback_interface() {
    judged(&instance("A", 5, "interface lo", "10.0.0.1/24"), 5, false);
    judged(&on_eth0("", "10.0.0.1/32 dev lo"), 0, true);
}

#[test]
fn the_same_address_may_be_in_two_instances() {
    for (b, dev) in [("eth1", ""), ("eth1", " dev eth0"), ("eth0", "")] {
        let text = on_eth0("", "10.0.0.1/24")
            + &instance("B", 6, &format!("interface {b}"), &format!("10.0.0.1/24{dev}"));
        // On one interface it is valid, but not served yet.
        let apart = b == "eth1" && dev.is_empty();
        let loaded = judged(&text, 0, apart);
        assert_eq!(loaded.node.routers.len(), 2);
        assert!(loaded.node.routers.iter().all(|router| router.addresses.len() == 1), "{text}");
        let named = loaded.diagnostics.iter().any(|found| found.code == "shared-address");
        assert_eq!(named, !apart, "{text}");
    }
    // On a virtual MAC of its own it is on another interface.
    let loaded = judged(&on_eth0("", "10.0.0.1/24\n10.0.0.1/24 use_vmac"), 0, true);
    assert_eq!(loaded.node.routers[0].addresses.len(), 2);
}

fn unicast(name: &str, source: &str, peer: &str, address: &str) -> String {
    let statements = format!("interface eth0\nunicast_src_ip {source}\nunicast_peer {{\n{peer}\n}}");
    instance(name, 5, &statements, address)
}

#[test]
fn unicast_instances_are_told_apart_by_who_talks_to_whom() {
    let first = unicast("A", "192.0.2.1", "192.0.2.50", "10.0.0.1/24");
    let with = |second: String| format!("{first}{second}");
    judged(&with(unicast("B", "192.0.2.1", "192.0.2.60", "10.0.0.2/24")), 0, true);
    judged(&with(unicast("B", "192.0.2.99", "192.0.2.50", "10.0.0.2/24")), 0, true);
    judged(&with(unicast("B", "192.0.2.1", "192.0.2.50", "10.0.0.2/24")), 5, false);
    judged(&with(instance("B", 5, "interface eth0", "10.0.0.2/24")), 0, true);
    let both = on_eth0("", "10.0.0.1/24") + &instance("B", 5, "interface eth0", "10.0.0.2/24");
    judged(&both, 5, false);
}

#[test]
fn unicast_needs_no_interface_when_the_addresses_have_one() {
    let peers = "unicast_src_ip 192.0.2.1\nunicast_peer {\n192.0.2.60\n}";
    let loaded = judged(&instance("A", 5, peers, "10.0.0.1/24 dev eth0"), 0, true);
    let interfaces = &loaded.node.routers[0].interfaces;
    assert_eq!((&interfaces.transmit, &interfaces.receive, &interfaces.vrf), (&None, &None, &None));
    assert_eq!(interfaces.addresses.as_str(), "eth0");
    judged(&instance("A", 5, peers, "10.0.0.1/24 dev eth7"), 5, false);
    judged(&instance("A", 5, peers, "10.0.0.1/24"), 5, false);
    judged(&instance("A", 5, "", "10.0.0.1/24 dev eth0"), 5, false);
    judged(&instance("A", 5, "unicast_peer {\n192.0.2.60\n}", "10.0.0.1/24 dev eth0"), 5, false);
    let link_local = "unicast_src_ip fe80::1\nunicast_peer {\nfe80::2\n}";
    judged(&instance("A", 5, link_local, "fd00::5/64 dev eth0"), 5, false);
    let default = "global_defs {\ndefault_interface eth1\n}\n".to_owned();
    let loaded = judged(&(default + &instance("A", 5, peers, "10.0.0.1/24")), 0, true);
    assert_eq!(loaded.node.routers[0].interfaces.addresses.as_str(), "eth1");
    let vrf = |name| instance("A", 5, &format!("vrf {name}\n{peers}"), "10.0.0.1/24 dev eth0");
    let loaded = judged(&vrf("eth1"), 0, true);
    assert_eq!(loaded.node.routers[0].interfaces.hears_by().map(|name| name.as_str()), Some("eth1"));
    judged(&vrf("red"), 5, false);
    let loaded = judged(&on_eth0(&format!("vrf red\n{peers}"), "10.0.0.1/24"), 5, true);
    assert_eq!(loaded.node.routers[0].interfaces.vrf, None);
}

/// One on eth0, which is told this.
fn with_peers(statements: &str, status: u8) -> crate::vrrp::RouterConfig {
    judged(&on_eth0(statements, "10.0.0.1/24"), status, true).node.routers.remove(0)
}

#[test]
fn what_is_said_of_unicast_is_understood() {
    let group = "224.0.0.18".parse().unwrap();
    let plain = with_peers("unicast_peer {\n192.0.2.2\n192.0.2.3\n}", 0);
    let addresses: Vec<String> = plain.destinations.addresses().map(|address| address.to_string()).collect();
    assert_eq!(addresses, ["192.0.2.2", "192.0.2.3"]);
    assert_eq!((plain.source, plain.hop_limit, plain.check_source), (None, 255, false));
    assert_eq!(plain.old_checksum, OldChecksum::Never, "of version 2 there is one");
    let limits = |peer: &str| plain.accepted_hop_limits(peer.parse().unwrap());
    assert_eq!((limits("192.0.2.2"), limits("192.0.2.9")), (HopLimits::ANY, HopLimits::ANY));

    let limited = with_peers("unicast_ttl 3\nunicast_peer {\n192.0.2.2 min_ttl 2 max_ttl 9\n192.0.2.3\n}", 0);
    assert_eq!((limited.hop_limit, limited.check_source), (3, true), "limits demand the source");
    let limits = |peer: &str| limited.accepted_hop_limits(peer.parse().unwrap());
    assert_eq!((limits("192.0.2.2"), limits("192.0.2.3")), (HopLimits { least: 2, most: 9 }, HopLimits::ANY));

    let peer = "unicast_peer {\n192.0.2.2\n}";
    assert!(with_peers(&format!("check_unicast_src\n{peer}"), 0).check_source);
    let global = "global_defs {\nvrrp_check_unicast_src\nvrrp_mcast_group4 224.0.0.99\n}\n".to_owned();
    let loaded = judged(&(global + &on_eth0(&format!("version 3\n{peer}"), "10.0.0.1/24")), 0, true);
    assert!(loaded.node.routers[0].check_source);
    assert_eq!(loaded.node.routers[0].old_checksum, OldChecksum::Detect("224.0.0.99".parse().unwrap()));

    for (words, status, chosen) in [
        ("", 0, OldChecksum::Detect(group)),
        ("old_unicast_checksum", 0, OldChecksum::Always(group)),
        ("old_unicast_checksum never", 0, OldChecksum::Never),
        ("old_unicast_checksum maybe", 5, OldChecksum::Detect(group)),
    ] {
        let router = with_peers(&format!("version 3\n{words}\n{peer}"), status);
        assert_eq!(router.old_checksum, chosen, "{words}");
    }
    let sources = "mcast_src_ip 192.0.2.7\nunicast_src_ip 192.0.2.1\ntrack_src_ip\n";
    let router = with_peers(&format!("{sources}{peer}"), 0);
    assert_eq!((router.source, router.track_source), ("192.0.2.1".parse().ok(), true));

    let six = "unicast_peer {\nfd00::2\n}";
    let loaded = judged(&on_eth0(six, "fd00::5/64"), 0, true);
    assert_eq!(loaded.node.routers[0].hop_limit, 64, "as the kernel has it");
    assert_eq!(loaded.node.routers[0].old_checksum, OldChecksum::Never);
}

#[test]
fn peers_that_cannot_be_ones_are_left_out() {
    let left = |peers: &str, status| -> Vec<String> {
        let router = with_peers(&format!("unicast_src_ip 192.0.2.1\nunicast_peer {{\n{peers}\n}}"), status);
        assert!(router.destinations.is_unicast(), "{peers}");
        router.destinations.addresses().map(|address| address.to_string()).collect()
    };
    assert_eq!(left("192.0.2.2\nfd00::2", 5), ["192.0.2.2"]);
    assert_eq!(left("192.0.2.2\n192.0.2.2", 5), ["192.0.2.2"]);
    assert_eq!(left("192.0.2.1\n192.0.2.2", 0), ["192.0.2.2"]);
    assert_eq!(left("224.0.0.18\n0.0.0.0\n255.255.255.255\n192.0.2.2", 0), ["192.0.2.2"]);
    assert_eq!(left("192.0.2.2 min_ttl 9 max_ttl 2", 5), ["192.0.2.2"]);
    // Nobody asked for multicast.
    assert_eq!(left("fd00::2", 5), [] as [&str; 0]);
}

#[test]
fn unicast_without_peers_is_multicast_unless_it_shall_fault() {
    for keyword in ["unicast_src_ip 192.0.2.1", "unicast_ttl 3", "check_unicast_src", "old_unicast_checksum"]
    {
        let router = with_peers(keyword, 5);
        assert!(
            !router.destinations.is_unicast() && router.hop_limit == 255 && !router.check_source,
            "{keyword}"
        );
        let router = with_peers(&format!("{keyword}\nunicast_fault_no_peer"), 0);
        assert_eq!(router.destinations, Destinations::Unicast(Vec::new()), "{keyword}");
    }
    assert_eq!(with_peers("unicast_src_ip 192.0.2.1", 5).source, "192.0.2.1".parse().ok());
    assert!(with_peers("mcast_dst_ip 224.0.0.20\nunicast_peer {\n192.0.2.2\n}", 5).destinations.is_unicast());
}

#[test]
fn unicast_on_a_virtual_mac_needs_vmac_xmit_base() {
    let peers = "unicast_peer {\n192.0.2.9\n}";
    judged(&on_eth0(&format!("use_vmac\n{peers}"), "10.0.0.1/24"), 5, true);
    let loaded = judged(&on_eth0(&format!("{peers}\nuse_vmac"), "10.0.0.1/24"), 5, true);
    let interfaces = &loaded.node.routers[0].interfaces;
    assert_eq!(interfaces.transmit.as_ref().map(|name| name.as_str()), Some("eth0"));
    assert_eq!(interfaces.addresses.as_str(), "vrrp.5");
    judged(&on_eth0(&format!("use_vmac\nvmac_xmit_base\n{peers}"), "10.0.0.1/24"), 0, true);
}

#[test]
fn counts_of_announcements_are_at_least_one() {
    for (keyword, status) in [
        ("vrrp_garp_master_repeat", 5),
        ("vrrp_garp_master_refresh_repeat", 5),
        ("vrrp_garp_lower_prio_repeat", 0),
    ] {
        let text = format!("global_defs {{\n{keyword} 0\n}}\n{}", on_eth0("", "10.0.0.1/24"));
        let loaded = judged(&text, status, true);
        let announce = &loaded.node.routers[0].announce;
        assert!(announce.repeat >= 1 && announce.refresh_repeat >= 1);
    }
}

#[test]
fn an_address_with_a_peer_has_no_prefix_length_and_neither_has_the_peer() {
    for (line, status, address, peer) in [
        ("10.0.0.1 peer 10.0.0.2", 0, "10.0.0.1/32", Some("10.0.0.2/32")),
        ("10.0.0.1/24 peer 10.0.0.2", 5, "10.0.0.1/32", Some("10.0.0.2/32")),
        ("10.0.0.1 peer 10.0.0.2/24", 5, "10.0.0.1/32", None),
        ("10.0.0.1/24 peer 10.0.0.2/24", 5, "10.0.0.1/24", None),
        ("fd00::1 peer fd00::2/64", 5, "fd00::1/128", None),
        ("fd00::1 peer fd00::2", 0, "fd00::1/128", Some("fd00::2/128")),
    ] {
        let loaded = judged(&on_eth0("", line), status, true);
        let spec = &loaded.node.routers[0].addresses[0].spec;
        assert_eq!(spec.prefix.to_string(), address, "{line}");
        assert_eq!(spec.peer.map(|peer| peer.to_string()).as_deref(), peer, "{line}");
        let printed = print(&loaded.config, PrintOptions::default());
        judged(&printed, 0, true);
    }
}

fn server(header: &str, method: &str, statements: &str) -> String {
    format!("virtual_server {header} {{\nlvs_sched rr\nlvs_method {method}\nprotocol TCP\n{statements}\n}}\n")
}

#[test]
fn a_sorry_server_that_is_a_real_server_inhibits_as_that_one() {
    for (sorry, real, status) in [
        ("", "inhibit_on_failure", 5),
        ("sorry_server_inhibit", "", 5),
        ("sorry_server_inhibit", "inhibit_on_failure", 0),
        ("", "", 0),
    ] {
        let statements = format!(
            "sorry_server 10.1.1.1 80\n{sorry}\nreal_server 10.1.1.1 80 {{\nweight 1\n{real}\n}}\n\
             real_server 10.1.1.2 80 {{\nweight 1\n}}"
        );
        let loaded = judged(&server("10.9.9.9 80", "NAT", &statements), status, true);
        let server = &loaded.balancer.virtual_servers[0];
        assert_eq!(server.sorry_server.as_ref().unwrap().inhibit, !real.is_empty());
    }
}

#[test]
fn the_ports_of_a_group_fit_its_real_servers() {
    let real = "real_server 10.1.1.1 80 {\nweight 1\n}";
    for (members, method, status) in [
        ("10.9.9.1 80", "DR", 0),
        ("10.9.9.1 81", "DR", 5),
        ("10.9.9.1 81", "TUN", 5),
        ("10.9.9.1 81", "NAT", 0),
        ("10.9.9.1 80\n10.9.9.2-7 81", "DR", 5),
        ("10.9.9.1 80\nfwmark 3", "NAT", 0),
        ("10.9.9.1 80\nfwmark 3", "DR", 5),
        ("fwmark 3\n10.9.9.1 80", "TUN", 5),
    ] {
        let text = format!("virtual_server_group G {{\n{members}\n}}\n{}", server("group G", method, real));
        judged(&text, status, true);
    }
}

/// Global definitions with script security, and an instance that runs this.
fn secure(user: &str, notify: &str) -> String {
    let global = format!("global_defs {{\nenable_script_security\nscript_user {user}\n}}\n");
    global + &on_eth0(&format!("notify_master {notify}"), "10.0.0.1/24")
}

#[test]
fn security_judges_what_would_be_executed() {
    for (program, fault) in [
        ("/usr/bin/true", None),
        ("/bin/true", None),
        ("/usr/sbin/true", None),
        ("true", None),
        ("/usr/bin/pidof", None),
        ("/bin/pidof", None),
        ("pidof", None),
        ("/usr/bin/../bin/true", None),
        ("/usr/bin/loop", Some("script-unusable")),
        ("/usr/bin/lost", Some("script-unusable")),
        ("/usr/bin/true/x", Some("script-unusable")),
        ("/usr/bin", Some("script-unusable")),
        ("nowhere", Some("script-unusable")),
        ("/usr/bin/others", Some("script-insecure")),
        ("/home/w/x", Some("script-insecure")),
        ("/tmp/link", Some("script-insecure")),
        ("/root/x", None),
        ("\"/root/x a\" nobody", Some("script-closed")),
        ("\"/work/x a\" worker", None),
        ("\"/work/x a\" nobody", Some("script-closed")),
        ("\"/bin/true\" nobody", None),
        ("\"/usr/bin/private\" nobody", Some("script-unusable")),
        ("\"/home/w/x\" nobody", None),
    ] {
        let loaded = of_text(&secure("root", program));
        let found: Vec<&str> = loaded
            .diagnostics
            .iter()
            .map(|diagnostic| diagnostic.code)
            .filter(|code| code.starts_with("script-"))
            .collect();
        assert_eq!(found, Vec::from_iter(fault), "{program}");
        let expected = if fault == Some("script-closed") { 5 } else { 0 };
        assert_eq!(loaded.exit_code, expected, "{program}");
        assert!(loaded.usable);
    }
}

#[test]
fn users_and_groups_of_scripts_exist() {
    for (user, status) in [
        ("root", 0),
        ("nobody nogroup", 0),
        ("1000", 0),
        ("nosuchuser", 5),
        ("root nosuchgroup", 5),
        ("nobody staff", 0),
    ] {
        judged(&secure(user, "/usr/bin/true"), status, true);
        judged(&secure("root", &format!("\"/usr/bin/true\" {user}")), status, true);
        let global = format!("global_defs {{\nscript_user {user}\n}}\n");
        judged(&(global + &on_eth0("", "10.0.0.1/24")), status, true);
    }
}

/// A FIFO with its reader.
fn reader(fifo: &str) -> String {
    format!("global_defs {{\n{fifo} /tmp/f\n{fifo}_script /usr/bin/true\n}}\n")
}

/// As keepalived 2.2.7 judges them: a user that is missing is seen when the line is read, one that does not exist
/// only leaves the reader out.
#[test]
fn readers_of_fifos_need_a_user() {
    let served =
        [on_eth0("", "10.0.0.1/24"), server("10.9.9.9 80", "NAT", "real_server 10.1.1.1 80 {\nweight 1\n}")];
    for fifo in ["notify_fifo", "vrrp_notify_fifo", "lvs_notify_fifo"] {
        for body in &served {
            let judge = |lines: &str, status: u8| {
                let text = format!("global_defs {{\nenable_script_security\n{lines}\n}}\n{body}");
                judged(&text, status, true);
            };
            judge(&format!("{fifo} /tmp/f"), 5);
            judge(&format!("{fifo} /tmp/f root"), 0);
            judge(&format!("script_user root\n{fifo} /tmp/f"), 0);
            judge(&format!("{fifo}_script /usr/bin/true"), 5);
            judge(&format!("{fifo}_script \"/usr/bin/true\" root"), 0);
            judge(&format!("{fifo}_script \"/usr/bin/true\" nosuchuser"), 0);
            judge(&format!("{fifo}_script \"/usr/bin/true\" root nosuchgroup"), 0);
            judge(&format!("script_user root\n{fifo}_script /usr/bin/nosuch"), 0);
            judge(&format!("script_user root\n{fifo}_script /usr/bin/others"), 0);
        }
    }
}

#[test]
fn every_script_wants_security() {
    let check = |words: &str| {
        let real = format!("real_server 10.1.1.1 80 {{\nweight 1\n{words}\n}}");
        server("10.9.9.9 80", "NAT", &real)
    };
    let texts = [
        "global_defs {\nstartup_script /usr/bin/true\n}\n".to_owned(),
        "global_defs {\nshutdown_script /bin/true\n}\n".to_owned(),
        reader("notify_fifo") + &on_eth0("", "10.0.0.1/24"),
        reader("vrrp_notify_fifo") + &on_eth0("", "10.0.0.1/24"),
        check("weight 2") + &reader("notify_fifo"),
        check("weight 2") + &reader("lvs_notify_fifo"),
        on_eth0("notify_master /bin/true", "10.0.0.1/24"),
        on_eth0("notify pidof", "10.0.0.1/24"),
        on_eth0("notify_stop \"/home/w/x\"", "10.0.0.1/24"),
        check("notify_up /usr/bin/true"),
        check("MISC_CHECK {\nmisc_path /usr/bin/true\n}"),
        server("10.9.9.9 80", "NAT", "quorum_up /usr/bin/true\nreal_server 10.1.1.1 80 {\nweight 1\n}"),
        server("10.9.9.9 80", "NAT", "quorum_down /bin/true\nreal_server 10.1.1.1 80 {\nweight 1\n}"),
    ];
    for text in texts {
        let loaded = judged(&text, 6, true);
        assert!(loaded.diagnostics.iter().any(|found| found.code == "script-security"));
        let secured = format!("global_defs {{\nenable_script_security\nscript_user root\n}}\n{text}");
        let loaded = of_text(&secured);
        assert_eq!(loaded.exit_code, 0, "{secured}\n{}", loaded.render(super::Style::default()));
    }
    // A process that is not started starts none.
    for text in [
        reader("notify_fifo"),
        reader("vrrp_notify_fifo"),
        reader("lvs_notify_fifo") + &on_eth0("", "10.0.0.1/24"),
        "vrrp_script s {\nscript \"/usr/bin/true\"\n}\n".to_owned(),
    ] {
        judged(&text, 0, true);
    }
    judged(&(reader("vrrp_notify_fifo") + &check("weight 2")), 0, true);
    // A program that is not there is not run.
    let loaded = judged(&on_eth0("notify_master /usr/bin/nosuch", "10.0.0.1/24"), 0, true);
    assert_eq!(loaded.gravest, Some(Severity::Warning));
}
