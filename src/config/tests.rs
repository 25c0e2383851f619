//! The pipeline on small texts: the language, the severities, the limits.

use super::diagnostics::Severity;
use super::*;
use crate::vrrp::Destinations;

fn load_text(text: &str) -> Loaded {
    load_with(&FakeHost::with_file("/etc/k/k.conf", text))
}

fn load_with(host: &FakeHost) -> Loaded {
    let options = LoadOptions { config_id: Some("r1".into()), ..LoadOptions::default() };
    load(host, "/etc/k/k.conf", &options)
}

fn codes(loaded: &Loaded) -> Vec<&'static str> {
    loaded.diagnostics.iter().filter(|d| d.severity >= Severity::Error).map(|d| d.code).collect()
}

const BASE: &str = "interface eth0\nvirtual_router_id 7\nvirtual_ipaddress {\n192.0.2.7/24\n}\n";

fn instance(body: &str) -> Loaded {
    load_text(&format!("vrrp_instance V {{\n{BASE}{body}\n}}\n"))
}

#[test]
fn an_instance_becomes_a_router_with_keepaliveds_defaults() {
    let loaded = instance("");
    assert!(loaded.diagnostics.is_empty(), "{}", loaded.render(Style::default()));
    let router = &loaded.node.routers[0];
    assert_eq!(&*router.name, "V");
    assert_eq!((router.vrid.get(), router.priority.0, router.version.number()), (7, 100, 2));
    assert_eq!(router.interval.to_string(), "1");
    assert_eq!(router.addresses[0].spec.prefix.to_string(), "192.0.2.7/24");
    assert_eq!(router.destinations, Destinations::Multicast("224.0.0.18".parse().unwrap()));
    assert_eq!((router.announce.repeat, router.announce.delay.as_secs()), (5, 5));
}

#[test]
fn global_defaults_reach_the_routers_and_may_be_split() {
    let loaded = load_text(&format!(
        "global_defs {{\nvrrp_version 3\nvrrp_garp_master_repeat 2\n}}\nvrrp_instance V {{\n{BASE}advert_int 0.25\n}}\n\
         global_defs {{\nvrrp_garp_master_delay 9\nvrrp_lower_prio_no_advert\n}}\n"
    ));
    let router = &loaded.node.routers[0];
    assert_eq!((router.version.number(), router.interval.centiseconds()), (3, 25));
    assert_eq!((router.announce.repeat, router.announce.delay.as_secs()), (2, 9));
    assert!(router.lower_prio_no_advert);
}

#[test]
fn braces_stand_where_they_like() {
    let one_line = "vrrp_instance V { interface eth0\nvirtual_router_id 7 virtual_ipaddress\n}\n";
    assert_eq!(codes(&load_text(one_line)), Vec::<&str>::new());
    let loaded = load_text(
        "vrrp_instance V\n{ interface eth0\nvirtual_router_id 7\nvirtual_ipaddress { 192.0.2.7 dev eth0 } }",
    );
    assert!(codes(&loaded).is_empty(), "{}", loaded.render(Style::default()));
    assert_eq!(loaded.node.routers[0].addresses.len(), 1);
}

#[test]
fn quotes_keep_blanks_and_comment_signs() {
    let loaded = load_text("global_defs {\nrouter_id \"a #b! {c}\" # a comment\n}\n");
    assert_eq!(loaded.settings.router_id.as_deref(), Some("a #b! {c}"));
}

#[test]
fn includes_are_relative_to_their_file_and_checked_when_asked() {
    let host = FakeHost::with_file("/etc/k/k.conf", "include d/*.conf\nincludem absent.conf\n")
        .and_file("/etc/k/d/b.conf", format!("vrrp_instance B {{\n{BASE}\n}}\n"))
        .and_file("/etc/k/d/a.conf", "include a2.inc\n")
        .and_file("/etc/k/d/a2.inc", "global_defs {\nrouter_id from_a2\n}\n");
    let loaded = load_with(&host);
    assert_eq!(loaded.settings.router_id.as_deref(), Some("from_a2"));
    assert_eq!(loaded.node.routers.len(), 1);
    assert_eq!(codes(&loaded), ["include-failed"]);
    assert_eq!((loaded.exit_code, loaded.usable), (6, false));
    let loaded = load_text("include absent.conf\n");
    assert_eq!((loaded.exit_code, loaded.usable), (0, true));
}

#[test]
fn include_check_in_the_file_counts_from_there_on() {
    let loaded =
        load_text("include absent.conf\nglobal_defs {\ninclude_check match\n}\ninclude absent2.conf\n");
    assert_eq!(loaded.exit_code, 6, "{}", loaded.render(Style::default()));
}

#[test]
fn conditions_compare_with_the_config_id() {
    let loaded = instance("@r1 priority 150\n@^r1 priority 50\n@r2 priority 20\n@r1");
    assert!(codes(&loaded).is_empty());
    assert_eq!(loaded.node.routers[0].priority.0, 150);
}

#[test]
fn a_condition_that_a_substitution_gives_is_evaluated() {
    let loaded = load_text(&format!(
        "$P= \\\n@r2 priority 20 \\\n@r1 priority 30\nvrrp_instance V {{\n{BASE}$P\n}}\n"
    ));
    assert!(codes(&loaded).is_empty(), "{}", loaded.render(Style::default()));
    assert_eq!(loaded.node.routers[0].priority.0, 30);
}

#[test]
fn definitions_sequences_and_lists_repeat_blocks() {
    let text = "$VI= \\\nvrrp_instance V${N} { \\\n  interface eth0.${N} \\\n  virtual_router_id ${N} \\\n  \
                @r1 priority 150 \\\n  virtual_ipaddress { \\\n    10.${N}.0.1/24 \\\n  } \\\n}\n\
                $N=4\n$VI\n~SEQ(N, 5, 8) $VI\n~LST({N,X},{20,a},{21,b}) $VI\n";
    let loaded = load_text(text);
    assert!(codes(&loaded).is_empty(), "{}", loaded.render(Style::default()));
    let names: Vec<&str> = loaded.node.routers.iter().map(|router| &*router.name).collect();
    assert_eq!(names, ["V4", "V5", "V6", "V7", "V8", "V20", "V21"]);
    assert_eq!(loaded.node.routers[5].addresses[0].spec.prefix.to_string(), "10.20.0.1/24");
    assert_eq!(loaded.node.routers[5].interfaces.receive, "eth0.20".parse().ok());
}

#[test]
fn references_are_replaced_where_keepalived_replaces_them() {
    let text = "$A=foo\nglobal_defs {\nsmtp_helo_name ${A}z\nrouter_id $A\nvmac_prefix $A.z\n}\n";
    let global = load_text(text).config.global.unwrap();
    let text = |entry: &values::At<values::Text>| entry.value.0.to_string();
    assert_eq!(global.router_id.as_ref().map(text).as_deref(), Some("foo"));
    assert_eq!(global.smtp_helo_name.as_ref().map(text).as_deref(), Some("fooz"));
    assert_eq!(global.vmac_prefix.as_ref().map(text).as_deref(), Some("$A.z"));
}

#[test]
fn built_in_parameters_have_their_values() {
    let mut host = FakeHost::with_file(
        "/etc/k/k.conf",
        "global_defs {\nrouter_id \"${_INSTANCE}:${_PWD}:${_ENV HOME}:${_ENV NONE}:${_HASH}${_BANG}\"\n}\n",
    );
    host.environment.insert("HOME".into(), "/root".into());
    assert_eq!(load_with(&host).settings.router_id.as_deref(), Some("r1:/etc/k:/root::#!"));
}

#[test]
fn an_error_in_an_expansion_shows_where_it_was_written_and_used() {
    let loaded = load_text(&format!("$P=priority 300\n\nvrrp_instance V {{\n{BASE}$P\n}}\n"));
    let text = loaded.render(Style::default());
    assert!(text.contains("/etc/k/k.conf:1:13"), "{text}");
    assert!(text.contains("used here"), "{text}");
    let line = loaded.log_lines().next().unwrap().1;
    assert!(
        line.starts_with(
            "/etc/k/k.conf:1:13: error[invalid-value]: `priority` must be from 1 to 255, not 300"
        ),
        "{line}"
    );
}

#[test]
fn severities_and_statuses_follow_keepalived() {
    for (text, exit_code, usable, code) in [
        ("nonsense 1\n", 5, true, "unknown-keyword"),
        ("vrrp_instance V {\ninterface eth0\n}\n", 5, false, "missing-vrid"),
        ("vrrp_instance V {\nvirtual_router_id 1\n}\n", 5, false, "missing-interface"),
        ("vrrp_instance V {\nvirtual_router_id\n}\n", 2, false, "missing-argument"),
        ("vrrp_instance V {\n", 5, true, "missing-brace"),
        ("}\n", 5, true, "extra-brace"),
        ("global_defs {\nrouter_id \"a\n}\n", 5, true, "unterminated-quote"),
        ("~SEQ(N,1,0,5) x\n", 5, true, "invalid-repetition"),
        ("global_defs {\nvrrp_vmac_garp_intvl 9\n}\n", 5, true, "deprecated"),
    ] {
        let loaded = load_text(text);
        assert!(codes(&loaded).contains(&code), "{text}: {}", loaded.render(Style::default()));
        assert_eq!((loaded.exit_code, loaded.usable), (exit_code, usable), "{text}");
    }
    let loaded = load(&FakeHost::default(), "/none", &LoadOptions::default());
    assert_eq!((loaded.exit_code, loaded.usable), (4, false));
}

#[test]
fn a_keyword_that_would_change_the_network_refuses_the_start_but_not_the_test() {
    let loaded = load_text("bfd_instance a {\nneighbor_ip 192.0.2.9\nsource_ip 192.0.2.1\n}\n");
    assert!(!loaded.usable);
    assert_eq!(loaded.exit_code, 0);
    let loaded = load_text("global_defs {\nnotification_email {\na@example.net\n}\n}\n");
    assert!(loaded.usable);
}

#[test]
fn a_missing_brace_is_reported_where_its_block_began() {
    let loaded = load_text(
        "vrrp_instance A {\n    interface eth0\n    virtual_ipaddress {\n        192.0.2.1\n}\n\
         vrrp_instance B {\n    interface eth0\n}\n",
    );
    let text = loaded.render(Style::default());
    assert!(text.contains("the block `virtual_ipaddress` is not closed"), "{text}");
    assert!(text.contains("k.conf:3:5"), "{text}");
}

#[test]
fn an_interface_must_exist_unless_it_may_come_later() {
    let host = |text: &str| FakeHost::with_file("/etc/k/k.conf", text).and_interfaces(&["lo", "eth1"]);
    let text = format!("vrrp_instance V {{\n{BASE}\n}}\n");
    let loaded = load_with(&host(&text));
    assert_eq!(codes(&loaded), ["no-such-interface"]);
    assert!(!loaded.usable);
    let loaded = load_with(&host(&format!("global_defs {{\ndynamic_interfaces\n}}\n{text}")));
    assert!(loaded.usable);
    assert_eq!(loaded.node.routers.len(), 1);
}

#[test]
fn the_interface_of_an_address_must_exist_unless_it_may_come_later() {
    let host = |text: &str| FakeHost::with_file("/etc/k/k.conf", text).and_interfaces(&["lo", "eth0"]);
    let text = format!(
        "vrrp_instance V {{\n{BASE}\nvirtual_ipaddress_excluded {{\n203.0.113.5/24 dev eth8\n}}\n}}\n"
    );
    let loaded = load_with(&host(&text));
    assert_eq!(codes(&loaded), ["no-such-interface"]);
    assert_eq!((loaded.exit_code, loaded.usable), (5, false));
    let loaded = load_with(&host(&format!("global_defs {{\ndynamic_interfaces\n}}\n{text}")));
    assert!(loaded.usable && loaded.node.routers[0].excluded.len() == 1);
}

#[test]
fn limits_are_named_and_hold() {
    let limited = |text: &str, limit: &str| {
        let mut options = LoadOptions::default();
        options.limits.expanded_bytes = 1 << 20;
        options.limits.set(limit).unwrap();
        load(&FakeHost::with_file("k", text), "k", &options)
    };
    let deep = "a {\n".repeat(10_000);
    let doubling: String = (1..40).fold("$A0=xxxxxxxxxx\n".to_owned(), |text, n| {
        let before = n - 1;
        format!("{text}$A{n}=${{A{before}}}${{A{before}}}\n")
    }) + "router ${A39}\n";
    for (text, limit, name) in [
        (deep.as_str(), "block-depth=32", "block"),
        ("~SEQ(N,1,2000000000) x\n", "expanded-lines=1000000", "expanded-lines"),
        ("~SEQ(A,1,300) ~SEQ(B,1,300) x${A}\n", "expanded-lines=3000", "expanded-lines"),
        (&doubling, "expansion-depth=64", "expanded-bytes"),
        ("$A=${B}\n$B=${A}\nx ${A}\n", "files=10", "contains itself"),
        ("$A= \\\n$A \\\n$A\n$A\n", "files=10", "contain"),
        ("include k\n", "files=10", "includes itself"),
        ("x\n", "file-bytes=1", "file-bytes"),
    ] {
        let loaded = limited(text, limit);
        let fatal: Vec<&Diagnostic> =
            loaded.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Fatal).collect();
        assert!(
            fatal.iter().any(|d| d.message.contains(name) || d.help.iter().any(|help| help.contains(name))),
            "{limit}: {fatal:?}"
        );
        assert!(!loaded.usable, "{limit}");
    }
}

#[test]
fn strange_bytes_do_no_harm() {
    for bytes in [
        &b"\xef\xbb\xbfglobal_defs {\r\nrouter_id a\r\n}\r\n"[..],
        b"global_defs {\nrouter_id a # \xfc\n}\n",
        b"router_id \0\nglobal_defs {\nrouter_id a\n}\n",
    ] {
        let loaded = load_with(&FakeHost::with_file("/etc/k/k.conf", bytes));
        assert_eq!(loaded.settings.router_id.as_deref(), Some("a"), "{}", loaded.render(Style::default()));
    }
    let long = format!("global_defs {{\nrouter_id {}\n}}\n", "x".repeat(2000));
    assert_eq!(codes(&load_text(&long)), ["line-too-long"]);
}

#[test]
fn a_thousand_errors_are_all_reported_in_order() {
    let loaded = load_text(&"nonsense\n".repeat(1000));
    assert_eq!(codes(&loaded).len(), 1000);
    assert!(loaded.diagnostics.is_sorted_by_key(|diagnostic| diagnostic.span.map(|span| span.start)));
}

#[test]
fn duplicates_name_the_first() {
    let two =
        |a: &str, b: &str| load_text(&format!("vrrp_instance A {{\n{a}\n}}\nvrrp_instance B {{\n{b}\n}}\n"));
    let loaded = two(BASE, BASE);
    assert!(codes(&loaded).contains(&"vrid-clash"));
    assert!(codes(&loaded).contains(&"shared-address"));
    assert!(loaded.render(Style::default()).contains("first used by `A`"));
}

#[test]
fn addresses_that_cannot_be_reached_or_never_move_are_noted() {
    let text = format!(
        "static_ipaddress {{\n192.0.2.9/24 dev eth0\n}}\nvrrp_instance V {{\n{BASE}virtual_ipaddress {{\n192.0.2.9\n198.51.100.1\n198.51.100.2\n}}\n}}\n"
    );
    let mut host = FakeHost::with_file("/etc/k/k.conf", text).and_interfaces(&["eth0"]);
    let held = crate::net::Prefix::new("192.0.2.1".parse().unwrap(), 24).unwrap();
    host.interfaces.as_mut().unwrap()[0].addresses.push(held);
    let loaded = load_with(&host);
    let notes: Vec<&str> = loaded.diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
    assert_eq!(notes.iter().filter(|code| **code == "static-and-virtual").count(), 1, "{notes:?}");
    assert_eq!(notes.iter().filter(|code| **code == "no-subnet").count(), 1, "{notes:?}");
    assert!(loaded.render(Style::default()).contains("nor with 1 more"));
    assert_eq!(loaded.exit_code, 0);
}
