//! What the blocks beside the routers mean: from text to what the engines are told.

use core::num::NonZeroU16;

use crate::bfd::{HopAllowance, Listeners};
use crate::check::{CheckerKind, ServerName};
use crate::config::diagnostics::{Severity, Style};
use crate::config::{FakeHost, LoadOptions, Loaded, load};
use crate::kernel::ipvs::{ForwardingMethod, GueChecksum, Protocol, Scheduler, Tunnel};
use crate::kernel::{NextHops, RouteMetric, RouteTable, RuleAction, ScriptUser};
use crate::lvs::{GroupMember, Service};
use crate::net::Family;
use crate::time::Duration;
use crate::track::{LinkPollingMethod, Owner, ParameterMatch, Quorum, ScriptTest, Tracker};

fn loaded(text: &str) -> Loaded {
    load(&FakeHost::with_file("/k.conf", text), "/k.conf", &LoadOptions::default())
}

/// What a text without fault means.
fn faultless(text: &str) -> Loaded {
    let loaded = loaded(text);
    let faults = loaded.diagnostics.iter().filter(|fault| fault.status.is_some()).count();
    assert_eq!(faults, 0, "{}", loaded.render(Style::default()));
    loaded
}

/// The faults of a text, each with the words it points at.
fn faults(text: &str) -> Vec<(&'static str, String)> {
    let loaded = loaded(text);
    let of_keepalived = loaded.diagnostics.iter().filter(|fault| fault.status.is_some());
    of_keepalived
        .map(|fault| (fault.code, fault.span.map_or("", |span| loaded.sources.text(span)).to_owned()))
        .collect()
}

fn instance(name: &str, vrid: u8, body: &str) -> String {
    format!(
        "vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id {vrid}\nvirtual_ipaddress {{\n192.0.2.{vrid}\n}}\n\
         {body}\n}}\n"
    )
}

const SECURE: &str = "global_defs {\nenable_script_security\n}\n";

#[test]
fn checks_inherit_from_the_real_server_then_the_virtual_server() {
    let loaded = faultless(
        "virtual_server 192.0.2.1 80 {\nprotocol TCP\nlvs_sched wrr\nlvs_method NAT\ndelay_loop 7\nretry 4\n\
         connect_timeout 2\nvirtualhost vs\nalpha\n\
         real_server 192.0.2.2 80 {\ndelay_loop 11\nTCP_CHECK {\n}\nHTTP_GET {\nvirtualhost check\nurl {\npath /a\n}\n\
         url {\npath /b\nvirtualhost url\nstatus_code 200 301-302\n}\n}\nDNS_CHECK {\nname a.example.\nretry 1\n}\n}\n\
         real_server 192.0.2.3 80 {\nalpha off\nTCP_CHECK {\nconnect_port 81\nwarmup 0\n}\n}\n}\n",
    );
    let checks = &loaded.balancer.checks;
    let by_server: Vec<u32> = checks.iter().map(|check| check.server.real_server).collect();
    assert_eq!(by_server, [0, 0, 0, 1]);
    let tcp = &checks[0].checker;
    assert_eq!((tcp.timing.delay_loop, tcp.timing.retry), (Duration::from_secs(11), 4));
    assert_eq!(
        (tcp.timing.delay_before_retry, tcp.timing.warmup),
        (Duration::from_secs(1), Duration::from_secs(11))
    );
    assert!(tcp.timing.alpha);
    let CheckerKind::Tcp(connection) = &tcp.kind else { panic!("{tcp:?}") };
    assert_eq!(connection.timeout, Duration::from_secs(2));

    let http = &checks[1].checker;
    assert_eq!(http.timing.delay_before_retry, Duration::from_secs(3));
    let CheckerKind::Http(http) = &http.kind else { panic!("{http:?}") };
    let hosts: Vec<_> = http.urls.iter().map(|url| url.host.as_deref()).collect();
    assert_eq!(hosts, [Some("check"), Some("url")]);
    assert!(http.urls[1].status.contains(302) && !http.urls[1].status.contains(204));

    let dns = &checks[2].checker;
    assert_eq!((dns.timing.retry, dns.timing.delay_before_retry), (1, Duration::from_secs(11)));
    let CheckerKind::Dns(dns) = &dns.kind else { panic!("{dns:?}") };
    assert_eq!(*dns.labels, ["a".into(), "example".into()]);

    let other = &checks[3].checker;
    assert_eq!((other.timing.delay_loop, other.timing.warmup), (Duration::from_secs(7), Duration::ZERO));
    assert!(!other.timing.alpha);
    let CheckerKind::Tcp(connection) = &other.kind else { panic!("{other:?}") };
    assert_eq!(connection.port, NonZeroU16::new(81));
}

#[test]
fn checkers_that_say_the_same_are_one() {
    let loaded = faultless(
        "virtual_server 192.0.2.1 80 {\nprotocol TCP\nlvs_sched rr\nlvs_method NAT\n\
         real_server 192.0.2.2 80 {\nTCP_CHECK {\n}\n}\nreal_server 192.0.2.3 80 {\nTCP_CHECK {\n}\n}\n}\n",
    );
    let checks = &loaded.balancer.checks;
    assert!(std::sync::Arc::ptr_eq(&checks[0].checker, &checks[1].checker));
}

#[test]
fn virtual_servers_have_what_they_say_and_keepaliveds_defaults() {
    let loaded = faultless(
        "virtual_server_group g {\n192.0.2.10-12 80\nfwmark 9 inet6\n2001:db8::/126 443\n}\n\
         virtual_server group g {\nprotocol TCP\nlvs_sched sh\nsh-port\nlvs_method TUN type gue port 5000 remcsum\n\
         persistence_timeout\nquorum 3\nhysteresis 1\nsorry_server 192.0.2.9 8080\nsorry_server_lvs_method NAT\n\
         sorry_server_inhibit\nreal_server 192.0.2.2 {\nweight 2\nuthreshold 5\n}\nreal_server 2001:db8::9 {\n}\n}\n\
         virtual_server fwmark 5 {\nlvs_sched fo\nlvs_method DR\nreal_server 2001:db8::2 {\n}\n}\n\
         virtual_server 192.0.2.1 53 {\nprotocol udp\nops\nlvs_sched rr\nlvs_method NAT\nreal_server 192.0.2.2 53 {\n}\n\
         weight 5\nreal_server 192.0.2.3 53 {\n}\n}\n",
    );
    let [group, mark, dns] = loaded.balancer.virtual_servers.as_slice() else { panic!("three servers") };
    assert_eq!(group.service, Service::Group("g".into(), Protocol::Tcp));
    assert_eq!(group.scheduler, Scheduler::SourceHash);
    assert!(group.scheduler_flags.second && !group.scheduler_flags.first);
    let gue = Tunnel::Gue { port: NonZeroU16::new(5000).unwrap(), checksum: GueChecksum::Remote };
    assert_eq!(group.method, ForwardingMethod::Tunnel(gue));
    assert_eq!(group.persistence.as_ref().unwrap().timeout_s.get(), 360);
    assert_eq!((group.quorum.weight().get(), group.quorum.hysteresis()), (3, 1));
    let sorry = group.sorry_server.unwrap();
    assert_eq!(
        (sorry.target.to_string().as_str(), sorry.method, sorry.inhibit),
        ("[192.0.2.9]:8080", ForwardingMethod::Nat, true)
    );
    assert_eq!(group.real_servers[0].details.as_ref().unwrap().upper_threshold, 5);
    let further: Vec<Option<u32>> = loaded.balancer.groups[0]
        .members
        .iter()
        .map(|member| match member {
            GroupMember::Addresses { further, .. } => Some(*further),
            GroupMember::FirewallMark(_) => None,
        })
        .collect();
    assert_eq!(further, [Some(2), None, Some(3)]);

    let Service::FirewallMark(of) = &mark.service else { panic!("{mark:?}") };
    assert_eq!((of.mark.get(), of.family), (5, Family::Ipv6));
    assert!(dns.one_packet);
    let weights: Vec<u32> = dns.real_servers.iter().map(|real| real.weight).collect();
    assert_eq!(weights, [1, 5]);
}

#[test]
fn real_servers_that_no_member_of_their_group_can_use_are_named() {
    let notes = |members: &str, servers: &str| -> Vec<String> {
        let text = format!(
            "virtual_server_group g {{\n{members}\n}}\nvirtual_server group g {{\nprotocol TCP\nlvs_sched rr\n\
             lvs_method NAT\n{servers}\n}}\n"
        );
        let loaded = loaded(&text);
        assert_eq!(loaded.exit_code, 0, "{}", loaded.render(Style::default()));
        let notes = loaded.diagnostics.iter().filter(|note| note.code == "family");
        notes.map(|note| loaded.sources.text(note.span.unwrap()).to_owned()).collect()
    };
    let (four, six) = ("real_server 192.0.2.2 80 {\n}\n", "real_server 2001:db8::2 80 {\n}\n");
    let both = format!("{four}{six}");
    assert!(notes("192.0.2.1 80", four).is_empty());
    assert!(notes("192.0.2.1 80\n2001:db8::1 80", &both).is_empty());
    assert_eq!(notes("192.0.2.1 80", &both), ["2001:db8::2"]);
    assert_eq!(notes("2001:db8::1 80", four), ["group", "192.0.2.2"]);
    let tunnelled = "real_server 192.0.2.2 80 {\nlvs_method TUN\n}\n";
    assert!(notes("2001:db8::1 80", tunnelled).is_empty());
}

#[test]
fn patterns_that_cannot_be_compiled_are_named() {
    let said = |regex: &str| {
        let text = format!(
            "virtual_server 192.0.2.1 80 {{\nprotocol TCP\nlvs_sched rr\nlvs_method NAT\n\
             real_server 192.0.2.2 80 {{\nHTTP_GET {{\nurl {{\npath /\n{regex}\n}}\n}}\n}}\n}}\n"
        );
        let loaded = loaded(&text);
        assert_eq!(loaded.exit_code, 0, "{}", loaded.render(Style::default()));
        loaded.diagnostics.iter().map(|note| note.code).find(|code| code.ends_with("pattern"))
    };
    for good in
        ["^ok$", "\"(?<=a)b(?!c)\\\\d+ \\\\1{2}()\"", "'a|b c'", "\"a\" \nregex_options caseless extended"]
    {
        assert_eq!(said(&format!("regex {good}")), None, "{good}");
    }
    for bad in ["(", "\"[z-a]\"", "\"*a\""] {
        assert_eq!(said(&format!("regex {bad}")), Some("invalid-pattern"), "{bad}");
    }
    for foreign in ["\"(*COMMIT)a\"", "\"a(?|b)\""] {
        assert_eq!(said(&format!("regex {foreign}")), Some("unsupported-pattern"), "{foreign}");
    }
    let loaded = faultless(
        "virtual_server 192.0.2.1 80 {\nprotocol TCP\nlvs_sched rr\nlvs_method NAT\nreal_server 192.0.2.2 80 {\n\
         HTTP_GET {\nurl {\npath /\nregex \"a\\\\d \\x23\"\n}\n}\n}\n}\n",
    );
    let CheckerKind::Http(http) = &loaded.balancer.checks[0].checker.kind else { panic!("HTTP") };
    assert_eq!(*http.urls[0].regex.as_ref().unwrap().pattern, *b"a\\d #");
}

#[test]
fn faults_of_virtual_servers_are_told_at_their_words() {
    let text = "virtual_server 192.0.2.1 80 {\nprotocol TCP\nlvs_sched rr\nlvs_method DR\nquorum 9\n\
                real_server 192.0.2.2 8080 {\n}\nreal_server 192.0.2.2 80 {\n}\nreal_server 2001:db8::1 80 {\n}\n}\n";
    assert_eq!(
        faults(text),
        [
            ("quorum", "9".to_owned()),
            ("port-differs", "192.0.2.2".to_owned()),
            ("duplicate-real-server", "192.0.2.2".to_owned()),
            ("family", "2001:db8::1".to_owned()),
        ]
    );
}

#[test]
fn other_checks_have_what_they_say() {
    let loaded = faultless(&format!(
        "{SECURE}track_file f {{\nfile /x\nweight -3 reverse\n}}\nbfd_instance b {{\nneighbor_ip 192.0.2.9\n}}\n\
         virtual_server 192.0.2.1 443 {{\nprotocol TCP\nlvs_sched rr\nlvs_method NAT\n\
         real_server 192.0.2.2 443 {{\nSSL_GET {{\nsni_name s\ntls_compliant\nurl {{\npath /\n\
         digest 0123456789abcdef0123456789abcdef\nregex \"a b\"\nregex_options caseless\n}}\n}}\n\
         UDP_CHECK {{\npayload \"0a ff\"\nrequire_reply 0x1\nmin_reply_length 2\n}}\nSMTP_CHECK {{\nhost {{\nconnect_port 26\n}}\n}}\n\
         MISC_CHECK {{\nmisc_path \"/bin/c 'a b'\"\nuser u :g\nmisc_dynamic\n}}\nFILE_CHECK {{\ntrack_file f\n}}\n\
         BFD_CHECK {{\nname b\n}}\n}}\n}}\n"
    ));
    let kinds: Vec<&CheckerKind> = loaded.balancer.checks.iter().map(|check| &check.checker.kind).collect();
    let [
        CheckerKind::Http(ssl),
        CheckerKind::Udp(udp),
        CheckerKind::Smtp(smtp),
        CheckerKind::Misc(misc),
        CheckerKind::File(file),
        CheckerKind::Bfd(session),
    ] = kinds.as_slice()
    else {
        panic!("{kinds:?}")
    };
    assert_eq!(ssl.tls.as_ref().unwrap().server_name, ServerName::Name("s".into()));
    assert!(ssl.urls[0].close_notify);
    assert_eq!(&*ssl.urls[0].regex.as_ref().unwrap().pattern, b"a b");
    assert_eq!(udp.payload.as_deref(), Some(&[0x0a, 0xff][..]));
    let reply = udp.reply.as_ref().unwrap();
    let pattern: Vec<(u8, u8)> = reply.pattern.iter().map(|byte| (byte.value, byte.mask)).collect();
    assert_eq!(
        (pattern, reply.minimum_length, reply.maximum_length),
        (vec![(0x00, 0xf0), (0x01, 0xff)], 2, 255)
    );
    assert_eq!(
        smtp.hosts.iter().map(|host| host.port.map(NonZeroU16::get)).collect::<Vec<_>>(),
        [None, Some(26)]
    );
    let words: Vec<_> = misc.script.words().map(|word| word.to_str().unwrap()).collect();
    assert_eq!(words, ["/bin/c", "a b"]);
    let ScriptUser::Named(user) = &misc.script.user else { panic!("{misc:?}") };
    assert_eq!((&*user.user, user.group.as_deref(), user.supplementary_groups), ("u", Some("g"), true));
    assert_eq!((misc.timeout, misc.dynamic), (Duration::from_secs(60), true));
    assert_eq!((&*file.tracker, file.weight, file.reverse), ("f", -3, true));
    assert_eq!(&**session, "b");
}

#[test]
fn every_script_has_all_groups_of_its_user_where_that_is_asked_for() {
    for (word, expected) in
        [("", false), ("set_supplementary_groups\n", true), ("set_supplementary_groups off\n", false)]
    {
        let server = "virtual_server 192.0.2.1 80 {\nprotocol TCP\nlvs_sched rr\nlvs_method NAT\nreal_server 192.0.2.2 80 \
                      {\nMISC_CHECK {\nmisc_path \"/bin/c\"\n}\nMISC_CHECK {\nmisc_path \"/bin/c\"\nuser u g\n}\n}\n}\n";
        let loaded =
            faultless(&format!("global_defs {{\nenable_script_security\nscript_user v\n{word}}}\n{server}"));
        let kinds = loaded.balancer.checks.iter().map(|check| &check.checker.kind);
        let users: Vec<(&str, bool)> = kinds
            .map(|kind| match kind {
                CheckerKind::Misc(misc) => match &misc.script.user {
                    ScriptUser::Named(user) => (&*user.user, user.supplementary_groups),
                    ScriptUser::Default => panic!("{misc:?}"),
                },
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(users, [("v", expected), ("u", expected)], "{word}");
    }
}

#[test]
fn trackers_and_references_resolve_their_weights() {
    let loaded = faultless(&format!(
        "{SECURE}vrrp_script s {{\nscript \"/bin/t x\"\ninterval 0.25\nweight 5 reverse\nfall 3\ninit_fail\n}}\n\
         vrrp_script open {{\nscript \"< /run/flag\"\n}}\n\
         track_file f {{\nfile /x\ninit_file 7 overwrite\n}}\n\
         vrrp_track_process p {{\nprocess haproxy -f\nquorum 2\nquorum_max 4\ndelay 1.5\nfork_delay 2\n}}\n\
         bfd_instance b {{\nneighbor_ip 192.0.2.9\nweight -7\n}}\n{}{}\
         vrrp_sync_group g {{\ngroup {{\nA\nB\n}}\nsync_group_tracking_weight\ntrack_interface {{\neth2\n}}\n}}\n",
        instance(
            "A",
            1,
            "track_script {\ns weight 7\nopen\n}\ntrack_file {\nf\n}\ntrack_process {\np weight 9 reverse\n}\n\
             track_bfd {\nb\n}\ntrack_interface {\neth1 weight -2\n}"
        ),
        instance("B", 2, "track_script {\ns weight 7 noreverse\n}"),
    ));
    let tracking = &loaded.node.tracking;
    let script = &tracking.scripts[0];
    assert_eq!((script.interval, script.timeout), (Duration::from_millis(250), Duration::from_millis(250)));
    assert_eq!((script.rise.get(), script.fall.get(), script.starts_failed), (1, 3, true));
    assert_eq!(tracking.scripts[1].test, ScriptTest::Open(c"/run/flag".to_owned()));
    let process = &tracking.processes[0];
    assert_eq!(process.parameter_match, ParameterMatch::Exact);
    assert!(matches!(process.quorum, Quorum::Between(range) if (range.first(), range.last()) == (2, 4)));
    assert_eq!(process.timing.terminate_delay, Duration::from_millis(1500));
    assert_eq!(process.timing.fork_delay, Duration::from_secs(2));

    let weight = |owner: &Owner, tracker: Tracker| {
        let (_, reference) = tracking
            .references
            .iter()
            .find(|(of, reference)| of == owner && reference.tracker == tracker)
            .unwrap();
        (reference.weight.value(), reference.weight.is_reversed())
    };
    let (a, b) = (Owner::Instance("A".into()), Owner::Instance("B".into()));
    assert_eq!(weight(&a, Tracker::Script("s".into())), (7, true));
    assert_eq!(weight(&b, Tracker::Script("s".into())), (7, false));
    assert_eq!(weight(&a, Tracker::File("f".into())), (1, false));
    assert_eq!(weight(&a, Tracker::Process("p".into())), (9, true));
    assert_eq!(weight(&a, Tracker::Bfd("b".into())), (-7, false));
    assert_eq!(weight(&a, Tracker::Interface("eth1".parse().unwrap())), (-2, false));
    assert_eq!(
        weight(&Owner::SyncGroup("g".into()), Tracker::Interface("eth2".parse().unwrap())),
        (0, false)
    );
    assert_eq!(*loaded.node.sync_groups[0].members, ["A".into(), "B".into()]);
}

const TRACKERS: &str = "vrrp_script s {\nscript \"/bin/t x\"\nweight 5\n}\ntrack_file f {\nfile /x\n}\n";

/// What A, B and their group depend on, with weights.
fn references(loaded: &Loaded) -> Vec<String> {
    let line = |(owner, reference): &(Owner, crate::track::TrackReference)| {
        let name = match owner {
            Owner::Instance(name) | Owner::SyncGroup(name) => name,
        };
        format!("{name}: {} {}", reference.tracker, reference.weight.value())
    };
    loaded.node.tracking.references.iter().map(line).collect()
}

#[test]
fn weights_of_members_do_not_count_in_a_sync_group() {
    let a = instance(
        "A",
        1,
        "track_script {\ns\n}\ntrack_file {\nf weight 2\n}\ntrack_interface {\neth1 weight 3\n}",
    );
    let b = instance("B", 2, "track_script {\ns weight 0\n}");
    let text = |more: &str| {
        format!("{SECURE}{TRACKERS}{a}{b}vrrp_sync_group g {{\ngroup {{\nA\nB\n}}\n{more}\n}}\n")
    };
    assert_eq!(
        faults(&text("")),
        [
            ("group-weight", "s".to_owned()),
            ("group-weight", "f".to_owned()),
            ("group-weight", "eth1".to_owned())
        ]
    );
    assert_eq!(references(&loaded(&text(""))), ["A: interface eth1 3", "A: file f 0", "B: script s 0"]);
    for keyword in ["sync_group_tracking_weight", "global_tracking"] {
        let of_all = ["A: interface eth1 3", "A: script s 5", "A: file f 2", "B: script s 0"];
        assert_eq!(references(&loaded(&text(keyword))), of_all);
    }
}

#[test]
fn what_a_member_and_its_sync_group_track_the_group_alone_does() {
    let a = instance("A", 1, "track_script {\ns weight 0\n}");
    let text = |b: &str| {
        format!(
            "{SECURE}{TRACKERS}{a}{b}vrrp_sync_group g {{\ngroup {{\nA\nB\n}}\ntrack_script {{\ns\n}}\n\
             track_file {{\nf weight 0\n}}\n}}\n"
        )
    };
    let both = loaded(&text(&instance("B", 2, "")));
    assert_eq!(references(&both), ["g: script s 5", "g: file f 0"]);
    assert!(both.diagnostics.iter().any(|fault| fault.code == "tracked-twice" && fault.status.is_none()));
    // A group with an owner takes no weights.
    let owner = text(&instance("B", 2, "priority 255\nstate MASTER"));
    assert_eq!(references(&loaded(&owner)), ["g: script s 0", "g: file f 0"]);
    assert_eq!(faults(&owner), [("group-weight", "s".to_owned())]);
}

#[test]
fn a_process_that_can_never_be_found_is_a_warning() {
    let found = |process: &str| {
        let loaded = loaded(&format!("vrrp_track_process p {{\nprocess {process}\n}}\n"));
        loaded.diagnostics.iter().any(|diagnostic| diagnostic.code == "never-matches")
    };
    assert!(found("/usr/sbin/haproxy"));
    assert!(!found("haproxy") && !found("/usr/sbin/haproxy -f") && !found("/usr/sbin/haproxy\nfull_command"));
}

#[test]
fn interfaces_are_asked_for_their_carrier_in_three_ways() {
    let polled = |text: &str| {
        let loaded = loaded(text);
        let lines = loaded.node.tracking.link_polling.iter();
        lines.map(|line| (line.interface.to_string(), line.method)).collect::<Vec<_>>()
    };
    let (a, b) = (instance("A", 1, "track_interface {\neth1\n}"), instance("B", 2, "linkbeat_use_polling"));
    assert_eq!(polled(&a), []);
    assert_eq!(polled(&b), [("eth0".to_owned(), None)]);
    assert_eq!(
        polled(&format!("linkbeat_use_polling\nlinkbeat_interfaces {{\neth1 ETHTOOL\n}}\n{a}")),
        [("eth1".to_owned(), Some(LinkPollingMethod::Ethtool)), ("eth0".to_owned(), None)]
    );
}

#[test]
fn a_reference_must_stand_below_its_definition() {
    let text = format!(
        "{}track_file f {{\nfile /x\n}}\n",
        instance("A", 1, "track_file {\nf\n}\ntrack_bfd {\nbb\n}")
    );
    assert_eq!(faults(&text), [("defined-too-late", "f".to_owned()), ("no-such-name", "bb".to_owned())]);
}

#[test]
fn routes_and_rules_have_every_option() {
    let loaded = faultless(
        "static_routes {\n\
         10.1.0.0/16 via 192.0.2.1 dev eth0 onlink table 7 metric 5 mtu lock 1400 rtt 300ms congctl cubic append no_track\n\
         10.2.0.0/16 no_track nexthop via 192.0.2.1 weight 3 nexthop via 192.0.2.2\n\
         blackhole default no_track\n}\n\
         static_rules {\nnot from 192.0.2.0/24 fwmark 0x10/0xff goto 9 preference 5\n\
         inet6 l3mdev preference 6\nto 2001:db8::/32 table 7 preference 7 sport 5 dport 6-8\n}\n",
    );
    let [plain, multipath, nothing] = loaded.node.statics.routes.as_slice() else { panic!("three routes") };
    assert_eq!((&plain.route.table, plain.route.metric), (&RouteTable::Number(7), Some(5)));
    let NextHops::One(hop) = &plain.route.next else { panic!("{plain:?}") };
    assert!(hop.on_link);
    let mtu = plain.route.metrics[&RouteMetric::Mtu];
    assert_eq!((mtu.value, mtu.locked, plain.route.metrics[&RouteMetric::Rtt].value), (1400, true, 2400));
    let NextHops::Multipath(legs) = &multipath.route.next else { panic!("{multipath:?}") };
    assert_eq!(legs.iter().map(|leg| leg.weight_minus_one).collect::<Vec<_>>(), [2, 0]);
    assert_eq!(nothing.route.destination.to_string(), "0.0.0.0/0");

    let [goto, vrf, ports] = loaded.node.statics.rules.as_slice() else { panic!("three rules") };
    assert_eq!((&goto.rule.action, goto.rule.invert), (&RuleAction::GoTo(9), true));
    assert_eq!((&vrf.rule.action, vrf.rule.family), (&RuleAction::LookupVrf, Family::Ipv6));
    let sport = ports.rule.source_ports.unwrap();
    assert_eq!((sport.first(), sport.last(), ports.rule.family), (5, 5, Family::Ipv6));
}

#[test]
fn rules_without_preference_get_one_counting_down() {
    let text = "static_rules {\nfrom 192.0.2.0/24 table 5\nfrom 192.0.3.0/24 table 5\nfrom 2001:db8::/32 table 5\n}\n";
    let loaded = loaded(text);
    let priorities: Vec<_> = loaded.node.statics.rules.iter().map(|rule| rule.rule.priority).collect();
    assert_eq!(priorities, [Some(16384), Some(16383), Some(16384)]);
    assert!(loaded.diagnostics.iter().filter(|fault| fault.severity == Severity::Error).count() >= 3);
}

#[test]
fn bfd_sessions_have_what_they_say() {
    let loaded = faultless(
        "bfd_instance a {\nneighbor_ip 192.0.2.9\nsource_ip 192.0.2.10\nmin_rx 0.5\nmax_hops 255\nvrrp\n}\n\
         bfd_instance b {\nneighbor_ip 2001:db8::9\nmultihop\nidle_tx 2000\n}\n",
    );
    let [a, b] = loaded.node.bfd.as_slice() else { panic!("two sessions") };
    assert_eq!(
        (a.min_receive, a.max_hops, a.listeners),
        (Duration::from_micros(500), HopAllowance::Any, Listeners::Routers)
    );
    assert_eq!((b.ttl.get(), b.multihop, b.idle_transmit), (64, true, Duration::from_secs(2)));
}

#[test]
fn names_that_are_nearly_right_are_suggested() {
    let text = format!(
        "vrrp_track_process haproxy {{\nprocess haproxy\n}}\n{}",
        instance("A", 1, "track_process {\nhaprxoy\n}")
    );
    assert!(loaded(&text).render(Style::default()).contains("did you mean `haproxy`?"));
}

#[test]
fn virtual_servers_can_be_left_out_of_the_model() {
    let text = "virtual_server 192.0.2.1 80 {\nprotocol TCP\nlvs_sched rr\nlvs_method NAT\nreal_server 192.0.2.2 80 {\n}\n}\n";
    let options = LoadOptions { drop_virtual_servers: true, ..LoadOptions::default() };
    let loaded = load(&FakeHost::with_file("/k.conf", text), "/k.conf", &options);
    assert!(loaded.config.virtual_servers.is_empty());
    assert_eq!(loaded.balancer.virtual_servers.len(), 1);
}

#[test]
fn ipv6_host_addresses_are_deprecated_unless_told_otherwise() {
    let loaded = loaded(
        "vrrp_instance A {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n2001:db8::1\n\
         2001:db8::2 preferred_lft forever\n2001:db8::3/64\n2001:db8::4/64 preferred_lft 7\n}\n}\n",
    );
    let lifetimes: Vec<_> =
        loaded.node.routers[0].addresses.iter().map(|address| address.spec.preferred_lifetime_s).collect();
    assert_eq!(lifetimes, [Some(0), None, None, Some(7)]);
}

/// `lvs_sync_daemon_interface` of an instance is `lvs_sync_daemon` of `global_defs`, unless that is written too.
#[test]
fn the_sync_daemon_of_an_instance_is_the_first_and_yields_to_the_global_one() {
    let two = format!(
        "{}{}",
        instance("A", 51, "lvs_sync_daemon_interface eth1"),
        instance("B", 52, "lvs_sync_daemon_interface eth2")
    );
    let both = format!("{two}global_defs {{\nlvs_sync_daemon eth3 B id 7\n}}\n");
    for (text, name, interface, id, ignored) in [(&two, "A", "eth1", 51, 1), (&both, "B", "eth3", 7, 2)] {
        let loaded = loaded(text);
        assert!(loaded.usable, "{}", loaded.render(Style::default()));
        let said = loaded.diagnostics.iter().filter(|said| said.code == "set-twice").count();
        assert_eq!(said, ignored, "{}", loaded.render(Style::default()));
        let daemon = loaded.settings.lvs.sync_daemon.unwrap();
        assert_eq!(daemon.instance.as_deref(), Some(name));
        assert_eq!((daemon.settings.interface.as_str(), daemon.settings.id), (interface, id));
    }
}
