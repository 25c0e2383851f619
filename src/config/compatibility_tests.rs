//! What becomes of text that keepalived takes in a way of its own: measured with keepalived 2.2.7, where 2.4.3 is
//! not known to differ.

use super::diagnostics::{Severity, Style};
use super::{FakeHost, LoadOptions, Loaded, PrintOptions, load, print};
use crate::time::Duration;
use crate::vrrp::{InitialState, RouterConfig};
use crate::wire::vrrp::Priority;

fn host(text: &str) -> FakeHost {
    FakeHost::with_file("/etc/k.conf", text).and_interfaces(&["lo", "eth0", "eth1"])
}

fn read(host: &FakeHost) -> Loaded {
    let options = LoadOptions { config_id: Some("node".into()), ..LoadOptions::default() };
    load(host, "/etc/k.conf", &options)
}

/// An instance with these statements and this line of `virtual_ipaddress`.
fn instance(statements: &str, address: &str) -> String {
    format!(
        "vrrp_instance A {{\n interface eth0\n virtual_router_id 5\n {statements}\n virtual_ipaddress {{\n {address}\n \
         }}\n}}\n"
    )
}

/// The only router, and the status of `-t`.
fn router(text: &str) -> (RouterConfig, u8) {
    let loaded = read(&host(text));
    assert_eq!(loaded.node.routers.len(), 1, "{text}\n{}", loaded.render(Default::default()));
    (loaded.node.routers[0].clone(), loaded.exit_code)
}

/// The virtual addresses of the only router, and the status of `-t`.
fn addresses(text: &str) -> (Vec<String>, u8) {
    let loaded = read(&host(text));
    let entries = &loaded.config.instances[0].virtual_ipaddress;
    (entries.iter().map(|entry| entry.value.spec.prefix.to_string()).collect(), loaded.exit_code)
}

#[test]
fn parameters_of_an_include_are_expanded_before_it_is_opened() {
    let whole = instance("", "192.0.2.7/24");
    let prepared = |text: &str| {
        let mut host = host(text)
            .and_file("/etc/v.conf", whole.as_str())
            .and_file("/etc/d/a.conf", "priority 77\n")
            .and_file("/etc/d/b.conf", "nopreempt\n");
        host.environment.insert("X".into(), "/etc/d".into());
        host
    };
    for line in [
        "include ${_PWD}/v.conf",
        "include \"${_PWD}/v.conf\"",
        "$D=/etc\ninclude ${D}/v.conf",
        "$D=v\n$E=${D}.conf\nincluder ${E}",
        "$D=v\nincludem {${D},${D}}.con?",
        "$D=v\nincludew ${D}.c*",
        "$D=v\nincludeb {${D},v}.conf",
        "$D=/etc\nincludea ${D}/v.conf",
        "~LST(N,v) include ${N}.conf",
        "@node include ${_PWD}/v.conf",
        "$M= \\\ninclude ${_PWD}/v.conf\n$M",
    ] {
        let loaded = read(&prepared(line));
        let rendered = loaded.render(Default::default());
        assert!(loaded.node.routers.iter().any(|router| router.vrid.get() == 5), "{line}\n{rendered}");
    }
    for line in ["include ${_ENV X}/*.conf", "include ${_ENV X}/{a,b}.conf"] {
        let loaded = read(&prepared(&instance(line, "192.0.2.7/24")));
        assert_eq!(loaded.exit_code, 0, "{}", loaded.render(Default::default()));
        let router = &loaded.node.routers[0];
        assert_eq!((router.priority, router.preempt), (Priority(77), false), "{line}");
    }
}

#[test]
fn an_include_that_matches_nothing_says_what_was_written() {
    for (line, words) in [
        ("include *.none", "`*.none`"),
        ("$D=/none\ninclude ${D}/v.conf", "`${D}/v.conf`"),
        ("include ${NONE}/v.conf", "`${NONE}/v.conf`"),
        ("$D=/etc\ninclude $D/v.conf", "`$D/v.conf`"),
        ("$D=\ninclude ${D}", "`${D}`"),
    ] {
        let loaded = read(&host(line).and_file("/etc/v.conf", ""));
        let rendered = loaded.render(Default::default());
        assert_eq!((loaded.exit_code, loaded.diagnostics.len()), (0, 1), "{rendered}");
        assert_eq!(loaded.diagnostics[0].severity, Severity::Warning);
        assert!(loaded.diagnostics[0].message.contains(words), "{line}: {rendered}");
    }
    let loaded = read(&host("$D=/none\nincludem ${D}/v.conf"));
    assert_eq!((loaded.exit_code, loaded.usable), (6, false));
}

#[test]
fn a_priority_that_cannot_be_used_makes_no_owner() {
    for wrong in ["256", "0", "-1", "abc", "1.5", "100x", "99999999999"] {
        for before in ["", "priority 200\n "] {
            let text = instance(&format!("state MASTER\n {before}priority {wrong}"), "192.0.2.7/24");
            let (router, status) = router(&text);
            assert_eq!((router.priority, status), (Priority(100), 5), "{wrong}");
            // As printed, too.
            let printed = print(&read(&host(&text)).config, PrintOptions::default());
            assert!(printed.contains("priority 100\n"), "{printed}");
        }
    }
    let (router, status) = router(&instance("state MASTER", "192.0.2.7/24"));
    assert_eq!((router.priority, status), (Priority::OWNER, 0));
}

#[test]
fn an_answer_to_a_rival_is_announced_as_the_global_values_say() {
    let given = |global: &str, own: &str| {
        let text = format!("global_defs {{\n{global}\n}}\n{}", instance(own, "192.0.2.7/24"));
        let announce = router(&text).0.announce;
        (announce.lower_prio_delay.as_secs(), announce.lower_prio_repeat)
    };
    let own = "garp_master_delay 1\n garp_master_repeat 2";
    assert_eq!(given("", own), (5, 5));
    assert_eq!(given("vrrp_garp_master_delay 2\nvrrp_garp_master_repeat 3", own), (2, 3));
    assert_eq!(given("vrrp_garp_lower_prio_delay 7\nvrrp_garp_lower_prio_repeat 8", own), (7, 8));
    assert_eq!(given("vrrp_min_garp", own), (0, 1));
    assert_eq!(given("vrrp_min_garp\nvrrp_garp_master_delay 3", own), (3, 1));
    assert_eq!(given("", &format!("{own}\n garp_lower_prio_delay 9\n garp_lower_prio_repeat 4")), (9, 4));
    let (router, _) = router(&instance(own, "192.0.2.7/24"));
    assert_eq!((router.announce.delay, router.announce.repeat), (Duration::from_secs(1), 2));
}

#[test]
fn the_number_at_the_beginning_of_a_word_counts_for_announcements() {
    for (word, seconds) in
        [("1.0", 1), ("2x", 2), ("3.9", 3), ("x", 0), ("-1", 0), ("4294967296", 0), (".5", 0)]
    {
        let text =
            format!("global_defs {{\n vrrp_garp_master_refresh {word}\n}}\n{}", instance("", "192.0.2.7/24"));
        let (router, status) = router(&text);
        assert_eq!((router.announce.refresh, status), (Duration::from_secs(seconds), 5), "{word}");
    }
    let text =
        instance("garp_master_delay 2.0\n garp_master_repeat 3x\n down_timer_adverts 4.0", "192.0.2.7/24");
    let (router, status) = router(&text);
    let announce = &router.announce;
    assert_eq!((announce.delay.as_secs(), announce.repeat, router.down_timer_adverts, status), (2, 3, 4, 5));
}

#[test]
fn an_option_that_is_left_out_leaves_the_address() {
    for line in [
        "192.0.2.7/24 preferred_lft x",
        "192.0.2.7/24 preferred_lft 5x",
        "192.0.2.7/24 preferred_lft -1",
        "192.0.2.7/24 preferred_lft 4294967296",
        "192.0.2.7/24 scope nosuch",
        "192.0.2.7/24 scope 300",
        "192.0.2.7/24 scope 3x",
        "192.0.2.7/24 peer x",
        "192.0.2.7/24 peer fe80::1",
        "192.0.2.7/24 peer 192.0.2.8/33",
        "192.0.2.7/24 nosuch",
        "192.0.2.7/24 192.0.2.8/24",
        "fe80::5/64 scope link",
        "fe80::5/64 scope nosuch",
        "fe80::5/64 label eth0:1",
        "192.0.2.7/33",
        "192.0.2.7/x",
        "192.0.2.7/-1",
        "fe80::5/129",
    ] {
        let (found, status) = addresses(&instance("", line));
        let (address, length) = line.split(' ').next().unwrap().split_once('/').unwrap();
        let full = if address.contains(':') { "128" } else { "32" };
        let length = if ["24", "64"].contains(&length) { length } else { full };
        assert_eq!(found, [format!("{address}/{length}")], "{line}");
        assert_eq!(status, 5, "{line}");
        let loaded = read(&host(&instance("", line)));
        assert_eq!(loaded.node.routers[0].addresses.len(), 1, "{line}");
        let printed = print(&loaded.config, PrintOptions::default());
        assert!(!printed.contains("nosuch") && !printed.contains("lft"), "{printed}");
    }
}

#[test]
fn a_line_without_what_its_option_needs_is_dropped() {
    for option in [
        "scope",
        "label",
        "peer",
        "brd",
        "preferred_lft",
        "dev",
        "label eth0:abcdefghijklmno",
        "brd x",
        "brd fe80::1",
    ] {
        assert_eq!(addresses(&instance("", &format!("192.0.2.7/24 {option}"))), (vec![], 5), "{option}");
    }
    assert_eq!(addresses(&instance("", "fe80::5/64 brd +")), (vec![], 5));
}

#[test]
fn a_definition_may_begin_on_the_line_of_its_name() {
    let text = "$A=vrrp_instance I1 { \\\n interface eth0 \\\n virtual_router_id 5 \\\n virtual_ipaddress { \\\n \
                192.0.2.7/24 \\\n } \\\n }\n$A\n";
    assert_eq!(router(text).1, 0);
    // Dropped by a condition, all its lines are.
    let text = format!("@other {text}").replace("\n$A\n", "\n");
    let loaded = read(&host(&text));
    assert_eq!(
        (loaded.exit_code, loaded.node.routers.len()),
        (0, 0),
        "{}",
        loaded.render(Default::default())
    );
    let text = format!("$P=priority 7 \\\n nopreempt\n{}", instance("$P", "192.0.2.7/24"));
    let (router, status) = router(&text);
    assert_eq!((router.priority, router.preempt, status), (Priority(7), false, 0));
}

#[test]
fn the_bounds_of_a_sequence_may_be_parameters() {
    for (definitions, sequence) in [
        ("$F=1", "~SEQ(N,$F,3)"),
        ("$F=1", "~SEQ(N,${F},3)"),
        ("$F=1\n$T=3", "~SEQ(N, $F, $T)"),
        ("$T=3", "~SEQ(N,$T)"),
        ("$F=1\n$G=${F}\n$T=3", "~SEQ(N,$G,${F},$T)"),
    ] {
        let text = format!("{definitions}\n{}", instance("", &format!("{sequence} 192.0.2.${{N}}/24")));
        let wanted = ["192.0.2.1/24", "192.0.2.2/24", "192.0.2.3/24"].map(String::from).to_vec();
        assert_eq!(addresses(&text), (wanted, 0), "{sequence}");
    }
    for sequence in ["~SEQ(N,$F,3)", "~SEQ($M)"] {
        let text = format!("$M=N,2,4\n{}", instance("", &format!("{sequence} 192.0.2.${{N}}/24")));
        assert_eq!(read(&host(&text)).exit_code, 5, "{sequence}");
    }
}

#[test]
fn what_stands_behind_a_brace_is_read_as_a_line() {
    let block = |line: &str| {
        format!(
            "vrrp_instance A {{\n interface eth0\n virtual_router_id 5\n virtual_ipaddress {line}\n }}\n}}\n"
        )
    };
    for (line, wanted) in [
        ("{ ~SEQ(N,1,3) 192.0.2.${N}/24", vec!["192.0.2.1/24", "192.0.2.2/24", "192.0.2.3/24"]),
        ("{~LST(N,1,3) 192.0.2.${N}/24", vec!["192.0.2.1/24", "192.0.2.3/24"]),
        ("{ ~LST({A,B}, {1,24}, {2,25}) 192.0.2.${A}/${B}", vec!["192.0.2.1/24", "192.0.2.2/25"]),
        ("{ @other 192.0.2.1/24\n192.0.2.2/24", vec!["192.0.2.2/24"]),
        ("{ @node 192.0.2.1/24\n192.0.2.2/24", vec!["192.0.2.1/24", "192.0.2.2/24"]),
        ("{ @^other ~SEQ(N,1,2) 192.0.2.${N}/24", vec!["192.0.2.1/24", "192.0.2.2/24"]),
        ("{ $Z=3\n192.0.2.${Z}/24", vec!["192.0.2.3/24"]),
    ] {
        let wanted: Vec<String> = wanted.into_iter().map(String::from).collect();
        assert_eq!(addresses(&block(line)), (wanted, 0), "{line}");
    }
    let text = format!("{} @other nosuch\n", block("{ 192.0.2.1/24").trim_end());
    assert_eq!(read(&host(&text)).exit_code, 0);
}

#[test]
fn many_braces_on_one_line_cost_little() {
    let text =
        format!("$A={}\n", "a { @b ".repeat(100)) + &"$B=$A$A$A$A\n".replace("$A", "${A}") + "${B}${B}${B}\n";
    let loaded = read(&host(&text));
    assert!(!loaded.diagnostics.is_empty());
}

#[test]
fn a_prefix_behind_an_address_is_a_warning() {
    let (router, status) = router(&instance("mcast_src_ip 192.0.2.1/24", "192.0.2.7/24"));
    assert_eq!((router.source, status), (Some("192.0.2.1".parse().unwrap()), 0));
    let bfd = "bfd_instance B {\n neighbor_ip 192.0.2.9/30\n source_ip 192.0.2.1/24\n}\n";
    let loaded = read(&host(bfd));
    assert_eq!(loaded.exit_code, 0, "{}", loaded.render(Default::default()));
    let found = loaded.diagnostics.iter().filter(|diagnostic| diagnostic.code == "prefix-length").count();
    assert_eq!(found, 2);
    for (word, status) in [
        ("192.0.2.1/33", 0),
        ("192.0.2.1/x", 0),
        ("192.0.2.1/", 0),
        ("192.0.2.1/-1", 5),
        ("x/24", 5),
        ("/24", 5),
    ] {
        let text = instance(&format!("mcast_src_ip {word}"), "192.0.2.7/24");
        assert_eq!(read(&host(&text)).exit_code, status, "{word}");
    }
}

#[test]
fn strict_mode_takes_an_implied_owner() {
    let text = |own: &str| format!("global_defs {{\n vrrp_strict\n}}\n{}", instance(own, "192.0.2.7/24"));
    let (router, status) = router(&text("state MASTER"));
    assert_eq!((router.priority, status), (Priority::OWNER, 0));
    assert_eq!(read(&host(&text("state MASTER\n priority 200"))).exit_code, 5);
    assert_eq!(read(&host(&text("state MASTER\n priority 256"))).exit_code, 5);
}

#[test]
fn strict_mode_leaves_nothing_of_keepalived_s_own() {
    let text = |own: &str| {
        format!(
            "global_defs {{\n vrrp_strict\n}}\n{}",
            instance(&format!("version 3\n accept\n {own}"), "192.0.2.7/24")
        )
    };
    let strict = |own: &str| {
        let loaded = read(&host(&text(own)));
        assert!(loaded.usable, "{own}: {}", loaded.render(Style::default()));
        loaded.node.routers[0].clone()
    };
    for own in [
        "preempt_delay 3\n down_timer_adverts 7\n garp_lower_prio_repeat 3\n garp_lower_prio_delay 4",
        "lower_prio_no_advert off\n higher_prio_send_advert on",
        "state MASTER\n priority 200\n authentication {\n auth_type PASS\n auth_pass a\n }",
    ] {
        let router = strict(own);
        assert_eq!((router.preempt_delay, router.down_timer_adverts), (Duration::ZERO, 3), "{own}");
        let announce = router.announce;
        assert_eq!((announce.lower_prio_repeat, announce.lower_prio_delay), (0, Duration::ZERO), "{own}");
        assert!(router.lower_prio_no_advert && !router.higher_prio_send_advert, "{own}");
        assert_eq!(router.initial, InitialState::Backup, "{own}");
        assert!(!router.owner_ignore_adverts, "{own}");
    }
    let owner = strict("state MASTER\n priority 255\n owner_ignore_adverts off");
    assert!(owner.owner_ignore_adverts && owner.initial == InitialState::Master);
    let owner = strict("priority 255");
    assert_eq!(owner.initial, InitialState::Master);
    // Whoever is no owner takes no packets for the addresses, unless version 3 is told to.
    let without = read(&host(&text("").replace(" accept", "")));
    assert!(!without.node.routers[0].accept && strict("").accept && owner.accept);
    assert!(!strict("version 2").accept && !strict("no_accept").accept);
}

#[test]
fn a_pause_of_the_process_ends_a_mastership_only_without_preemption() {
    let (taken, status) = router(&instance("nopreempt\n timer_expired_backup", "192.0.2.7/24"));
    assert_eq!((taken.timer_expired_backup, status), (Some(Priority(254)), 0));
    let (taken, status) = router(&instance("nopreempt\n thread_timer_expired 90", "192.0.2.7/24"));
    assert_eq!((taken.timer_expired_backup, status), (Some(Priority(90)), 5));
    let (taken, status) = router(&instance("timer_expired_backup 90", "192.0.2.7/24"));
    assert_eq!((taken.timer_expired_backup, status), (None, 5));
}

#[test]
fn late_timers_may_raise_the_priority() {
    let auto = |text: &str| {
        let loaded = read(&host(&format!("global_defs {{\n {text}\n}}\n{}", instance("", "192.0.2.7/24"))));
        assert!(loaded.usable, "{text}");
        loaded.settings.auto_priority.map(|auto| (auto.max, auto.late_us))
    };
    assert_eq!(auto("vrrp_no_swap"), None);
    assert_eq!(auto("max_auto_priority"), Some((99, 1_000_000)));
    assert_eq!(auto("max_auto_priority 50\n min_auto_priority_delay 20000"), Some((50, 20_000)));
    assert_eq!((auto("max_auto_priority 0"), auto("max_auto_priority -1")), (None, None));
}

#[test]
fn a_rule_stays_without_a_protocol_that_cannot_be_used() {
    let rules = |line: &str| {
        let text = instance(&format!("virtual_rules {{\n {line}\n }}"), "192.0.2.7/24");
        let loaded = read(&host(&text));
        (print(&loaded.config, PrintOptions::default()), loaded.exit_code)
    };
    for protocol in ["300", "nosuch"] {
        let (printed, status) =
            rules(&format!("from 198.51.100.0/24 table 5 preference 7 protocol {protocol}"));
        assert_eq!(status, 5);
        assert_eq!(printed, rules("from 198.51.100.0/24 table 5 preference 7").0);
        assert!(printed.contains("from 198.51.100.0/24"), "{printed}");
    }
    // What says where or when it holds is not left out: the rule would be a wider one.
    for option in ["table nosuch", "tos x", "fwmark x", "nosuch", "suppress_prefixlength x"] {
        let (printed, status) = rules(&format!("from 198.51.100.0/24 preference 7 {option}"));
        assert_eq!((printed.contains("198.51.100.0"), status), (false, 5), "{option}");
    }
}
