//! Each remark is made where it should be, once, and changes no status.

use std::collections::{BTreeMap, BTreeSet};

use super::{explain, explained};
use crate::config::cluster::lint;
use crate::config::diagnostics::{Severity, Style};
use crate::config::{FakeHost, LoadOptions, Loaded, load};
use crate::net::Prefix;

/// Without it every script is an error.
const SECURITY: &str = "global_defs {\nenable_script_security\nscript_user root\n}\n";

fn read(text: &str) -> Loaded {
    load(&FakeHost::with_file("k", format!("{SECURITY}{text}")), "k", &LoadOptions::default())
}

/// The codes of what is said of a text.
#[track_caller]
fn said(text: &str) -> Vec<&'static str> {
    let loaded = read(text);
    assert!(loaded.gravest < Some(Severity::Error), "{text}\n{}", loaded.render(Style::default()));
    let codes = loaded.diagnostics.iter().map(|diagnostic| diagnostic.code);
    let mut codes: Vec<_> = codes.filter(|code| *code != "not-supported-yet").collect();
    let distinct: BTreeSet<_> = codes.iter().collect();
    assert_eq!(distinct.len(), codes.len(), "each once: {codes:?}\n{text}");
    codes.sort_unstable();
    codes
}

fn router(name: &str, statements: &str) -> String {
    format!(
        "vrrp_instance {name} {{\ninterface eth0\nvirtual_router_id 7\nvirtual_ipaddress {{\n192.0.2.7\n}}\n{statements}\n}}\n"
    )
}

/// What is said of a tracked script that runs this.
fn of_script(command: &str) -> Vec<&'static str> {
    let script = format!("vrrp_script S {{\nscript {command}\n}}\n");
    let mut codes = said(&(script + &router("A", "track_script {\nS\n}")));
    codes.retain(|code| *code != "extra-words");
    codes
}

#[test]
fn a_command_is_read_by_no_shell() {
    for command in [
        "\"/x/a | grep b\"",
        "\"/x/a || exit 1\"",
        "\"/x/a > /dev/null\"",
        "\"/x/a >/dev/null 2>&1\"",
        "\"/x/a; /x/b\"",
        "\"/x/a $(cat /x/b)\"",
        "\"/x/a `cat /x/b`\"",
        "\"/bin/sh /x/a && /x/b\"",
        "/x/a && /x/b",
    ] {
        assert!(of_script(command).contains(&"shell-operator"), "{command}");
    }
    for command in [
        "\"/bin/sh -c '/x/a | grep b'\"",
        "\"/bin/bash -c 'exit;'\"",
        "\"/usr/bin/find /x -exec /x/a {} \\;\"",
        "\"/x/a http://h/?a=1&b=2 'a|b' -lt 5\"",
        "\"< /run/x\"",
        "/x/a",
    ] {
        assert_eq!(of_script(command), [] as [&str; 0], "{command}");
    }
    let hook = router("A", "notify_master \"/x/a\" && /x/b");
    assert!(read(&hook).diagnostics.iter().any(|found| found.code == "shell-operator"));
}

#[test]
fn looking_for_a_process_is_better_left_to_the_kernel() {
    for command in
        ["\"/bin/killall -0 nginx\"", "\"/bin/pidof nginx\"", "\"/bin/sh -c '/bin/killall -0 nginx'\""]
    {
        assert_eq!(of_script(command), ["process-by-script"], "{command}");
    }
    assert_eq!(of_script("\"killall -0 nginx\""), ["bare-script-name", "process-by-script"]);
    assert_eq!(of_script("\"/bin/killall -1 nginx\""), [] as [&str; 0]);
    let twice = "vrrp_script S {\nscript \"killall -0 a\"\n}\nvrrp_script T {\nscript \"killall -0 b\"\n}\n";
    let loaded = read(&(twice.to_owned() + &router("A", "track_script {\nS\nT\n}")));
    let found: Vec<_> = loaded.diagnostics.iter().filter(|found| found.code == "process-by-script").collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].notes, ["one more place is like this"]);
}

#[test]
fn a_tracker_that_nothing_tracks_is_named() {
    let trackers = "vrrp_script S {\nscript \"/x/a\"\n}\ntrack_file F {\nfile /x/b\n}\n\
                    vrrp_track_process P {\nprocess c\n}\n";
    let loaded = read(&(trackers.to_owned() + &router("A", "")));
    let found: Vec<_> = loaded.diagnostics.iter().filter(|found| found.code == "never-tracked").collect();
    assert_eq!(found.len(), 1);
    assert!(
        found[0].message.contains("vrrp_script `S`") && found[0].notes == ["2 more places are like this"]
    );
    let tracked = router("A", "track_script {\nS\n}\ntrack_file {\nF\n}\ntrack_process {\nP\n}");
    assert!(!said(&(trackers.to_owned() + &tracked)).contains(&"never-tracked"));
    // One that a FILE_CHECK reads is in use.
    let server =
        "virtual_server 192.0.2.9 80 {\nreal_server 192.0.2.8 80 {\nFILE_CHECK {\ntrack_file F\n}\n}\n}\n";
    let file = "track_file F {\nfile /x/b\n}\n".to_owned();
    assert!(!read(&(file + server)).diagnostics.iter().any(|found| found.code == "never-tracked"));
}

#[test]
fn a_weight_that_cannot_matter_is_named() {
    let with = |priority: u8, weight: i32| {
        let script = format!("vrrp_script S {{\nscript \"/x/a\"\nweight {weight}\n}}\n");
        said(&(script + &router("A", &format!("priority {priority}\ntrack_script {{\nS\n}}"))))
    };
    assert_eq!(with(255, -20), ["owner-without-address", "weight-without-effect"]);
    assert_eq!(with(254, 10), ["weight-without-effect"]);
    assert_eq!(with(1, -10), ["weight-without-effect"]);
    for (priority, weight) in [(254, -10), (250, 10), (100, 2)] {
        assert_eq!(with(priority, weight), [] as [&str; 0], "{priority} {weight}");
    }
    // A fault moves an owner, too.
    assert_eq!(with(255, 0), ["owner-without-address"]);
}

#[test]
fn an_owner_has_the_addresses_by_itself() {
    let owner = router("A", "priority 255");
    assert_eq!(said(&owner), ["owner-without-address"]);
    assert_eq!(said(&router("A", "priority 254")), [] as [&str; 0]);
    let host = |address: [u8; 4]| {
        let mut host = FakeHost::with_file("k", owner.as_str()).and_interfaces(&["eth0"]);
        host.interfaces.as_mut().unwrap()[0].addresses.push(Prefix::new(address.into(), 24).unwrap());
        load(&host, "k", &LoadOptions::default())
            .diagnostics
            .iter()
            .any(|it| it.code == "owner-without-address")
    };
    assert!(host([192, 0, 2, 1]));
    assert!(!host([192, 0, 2, 7]));
}

#[test]
fn a_peer_that_is_this_host_is_named() {
    let text = router("A", "unicast_peer {\n192.0.2.1\n192.0.2.2\n}");
    let mut host = FakeHost::with_file("k", text.as_str()).and_interfaces(&["eth0"]);
    host.interfaces.as_mut().unwrap()[0].addresses.push(Prefix::new([192, 0, 2, 2].into(), 24).unwrap());
    let loaded = load(&host, "k", &LoadOptions::default());
    let found: Vec<_> =
        loaded.diagnostics.iter().filter(|found| found.code == "own-address-as-peer").collect();
    assert_eq!(found.len(), 1);
    assert!(found[0].message.contains("192.0.2.2"), "{:?}", found[0]);
    assert_eq!(said(&text), [] as [&str; 0]);
    assert_eq!(
        said(&router("A", "unicast_src_ip 192.0.2.1\nunicast_peer {\n192.0.2.1\n192.0.2.2\n}")),
        ["not-a-peer"]
    );
}

#[test]
fn a_password_does_not_end_in_a_comment() {
    let with = |password: &str| {
        said(&router("A", &format!("authentication {{\nauth_type PASS\nauth_pass {password}\n}}")))
    };
    for password in ["pa!ss", "pa#ss", "pass!", "pa\\#ss"] {
        assert!(with(password).contains(&"cut-password"), "{password}");
    }
    for password in ["\"pa!ss\"", "pa55 # a comment", "pa55 ! another"] {
        assert_eq!(with(password), [] as [&str; 0], "{password}");
    }
    let defined =
        format!("$SECRET=pa!ss\n{}", router("A", "authentication {\nauth_type PASS\nauth_pass $SECRET\n}"));
    assert_eq!(said(&defined), ["cut-password"]);
    let rendered = read(&defined).render(Style::default());
    assert!(!rendered.contains("pa!ss"), "{rendered}");
    assert_eq!(with("1111"), ["sample-password"]);
    let key = format!("auth_hmac {{\nactive_key 1\nkey 1 {}!{}\n}}", "a".repeat(40), "b".repeat(10));
    assert!(said(&router("A", &format!("version 3\n{key}"))).contains(&"cut-password"));
}

#[test]
fn mail_settings_are_for_alerts() {
    let mail = "global_defs {\nnotification_email {\nroot@alpha.test\n}\nsmtp_server 192.0.2.25\n";
    let with =
        |global: &str, statements: &str| said(&format!("{mail}{global}\n}}\n{}", router("A", statements)));
    assert_eq!(with("", ""), ["mail-without-alert"]);
    assert_eq!(with("smtp_alert off", ""), ["mail-without-alert"]);
    assert_eq!(with("smtp_alert_checker", ""), ["mail-without-alert"]);
    for (global, statements) in [("smtp_alert", ""), ("smtp_alert_vrrp on", ""), ("", "smtp_alert")] {
        assert_eq!(with(global, statements), [] as [&str; 0], "{global} {statements}");
    }
    assert_eq!(said(&router("A", "smtp_alert")), [] as [&str; 0]);
    for sample in
        ["notification_email {\nacassen@firewall.loc\nfailover@firewall.loc\n}", "smtp_server 192.168.200.1"]
    {
        assert_eq!(
            said(&format!("global_defs {{\nsmtp_alert\n{sample}\n}}\n{}", router("A", ""))),
            ["sample-mail"]
        );
    }
}

#[test]
fn an_empty_block_does_nothing() {
    assert_eq!(said(&format!("global_defs {{\n}}\n{}", router("A", ""))), ["empty-block"]);
    assert_eq!(said(&router("A", "track_script {\n}\ntrack_interface {\n# eth1\n}")), ["empty-block"]);
    let server = read("virtual_server 192.0.2.9 80 {\nreal_server 192.0.2.8 80 {\nTCP_CHECK {\n}\n}\n}\n");
    assert!(!server.diagnostics.iter().any(|found| found.code == "empty-block"));
    // What was in it was dropped, for an error.
    let dropped = read("global_defs {\nrouter_id a\0\n}\n");
    assert!(!dropped.diagnostics.iter().any(|found| found.code == "empty-block"));
}

/// The findings on two files of one cluster, but for who is the winner.
fn findings(a: &str, b: &str) -> Vec<(&'static str, Severity)> {
    let script = |weight: &str| format!("vrrp_script S {{\nscript \"/x/a\"\nweight {weight}\n}}\n");
    let text = |body: &str| {
        let (weight, rest) = body.split_once(' ').unwrap();
        script(weight) + &script(weight).replace("script S", "script T") + &router("A", rest)
    };
    let host = FakeHost::with_file("a", text(a)).and_file("b", text(b));
    let (a, b) = (load(&host, "a", &LoadOptions::default()), load(&host, "b", &LoadOptions::default()));
    let mut found: Vec<_> =
        lint(&[("a", &a), ("b", &b)]).into_iter().map(|finding| (finding.code, finding.severity)).collect();
    found.retain(|(code, _)| *code != "winner");
    found
}

#[test]
fn a_weight_has_to_reach_below_the_next_router() {
    let track = "track_script {\nS\n}";
    let both = "track_script {\nS\nT\n}";
    let small = [("weight-too-small", Severity::Warning)];
    for (a, b, found) in [
        (format!("-20 priority 150\n{track}"), format!("-20 priority 100\n{track}"), &small[..]),
        (format!("-50 priority 150\n{track}"), "-50 priority 100\n".to_owned(), &small[..]),
        (format!("-51 priority 150\n{track}"), "-51 priority 100\n".to_owned(), &[]),
        (format!("0 priority 150\n{track}"), "0 priority 100\n".to_owned(), &[]),
        (format!("2 priority 101\n{track}"), format!("2 priority 100\n{track}"), &[]),
        (format!("2 priority 101\n{track}"), "2 priority 100\n".to_owned(), &small[..]),
        (format!("2 priority 110\n{track}"), format!("2 priority 100\n{track}"), &small[..]),
        (format!("-90 priority 150\n{track}"), "-90 priority 100\nnopreempt\n".to_owned(), &small[..]),
        (
            format!("-30 priority 150\n{both}"),
            "-30 priority 100\n".to_owned(),
            &[("weight-too-small", Severity::Hint)],
        ),
    ] {
        assert_eq!(findings(&a, &b), found, "{a}\n{b}");
    }
}

#[test]
fn routers_of_the_same_priority_are_named() {
    assert_eq!(findings("0 priority 100\n", "0 priority 100\n"), [("priority", Severity::Warning)]);
    assert_eq!(findings("0 priority 100\n", "0 state BACKUP\n"), [("priority", Severity::Warning)]);
    // By `state MASTER` alone it is 255.
    assert_eq!(findings("0 state MASTER\n", "0 priority 255\n"), [("owners", Severity::Error)]);
    assert_eq!(findings("0 state MASTER\n", "0 state MASTER\n"), [("owners", Severity::Error)]);
    assert_eq!(findings("0 state MASTER\n", "0 state BACKUP\n"), []);
    // The weights make them the same.
    let tracking = "10 priority 100\ntrack_script {\nS\n}";
    assert_eq!(findings(tracking, "10 priority 110\n"), [("priority", Severity::Warning)]);
}

#[test]
fn all_that_is_explained_is_said_by_something() {
    let mut texts: BTreeMap<&str, &str> = BTreeMap::new();
    for code in explained() {
        let text = explain(code).unwrap();
        assert!(text.len() > 40 && texts.insert(code, text).is_none(), "{code}");
    }
    assert!(texts.len() > 20 && explain("nonsense").is_none());
}
