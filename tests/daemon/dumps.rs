//! The dump files, beside keepalived's of the same configuration, and as programs read them that know keepalived.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use alived::drill::Program;
use alived::sys::signals::Signal;
use serde_json::Value;

use crate::host::{self, Host};
use crate::skip;

/// Keys that keepalived 2.2.7 does not have and 2.4.3 has.
const SINCE_2_2_7: [&str; 7] = [
    "track_process",
    "auth_ext_missing",
    "auth_ext_malformed",
    "auth_ext_unknown_key",
    "auth_ext_invalid_hmac",
    "auth_ext_stale",
    "auth_ext_replay",
];

/// Lines of `keepalived.stats` of the same kind.
const STATS_SINCE_2_4_0: [&str; 7] = [
    "  Authentication Extension Errors:",
    "    Missing: N",
    "    Malformed: N",
    "    Unknown Key: N",
    "    Invalid HMAC: N",
    "    Stale: N",
    "    Replay: N",
];

/// Masters, a backup that hears a master, an owner, a fault; what is tracked and told.
fn configuration() -> String {
    let group = "vrrp_sync_group G {\n group {\n  VI_4\n }\n track_interface {\n  lan0\n }\n}\n";
    let more = [
        (
            "VI_1",
            51,
            "version 2\n advert_int 1\n priority 255\n  garp_master_delay 7\n \
             notify_master \"/usr/bin/true m\"\n notify \"/usr/bin/true n 'x y'\"\n notify_stop /usr/bin/true\n \
             notify_backup /usr/bin/true root\n notify_fault /usr/bin/true\n notify_deleted /usr/bin/true\n \
             notify_master_rx_lower_pri /usr/bin/true\n smtp_alert\n \
             authentication {\n  auth_type PASS\n  auth_pass abc\n }\n \
             virtual_ipaddress {\n  192.0.2.50/24 label lan0:1\n  192.0.2.51 dev lo scope host\n }\n \
             virtual_ipaddress_excluded {\n  2001:db8::5/64\n  192.0.2.77/32 brd 192.0.2.255\n }\n \
             track_interface {\n  lo\n }\n track_file {\n  tf\n }",
        ),
        (
            "VI_2",
            52,
            "version 3\n advert_int 0.5\n priority 120\n promote_secondaries\n lower_prio_no_advert\n \
             higher_prio_send_advert\n no_accept\n virtual_ipaddress {\n  192.0.2.60/24\n }\n \
             track_interface {\n  lo weight 10\n }\n track_script {\n  chk weight 5\n }\n track_process {\n  pr\n }",
        ),
        (
            "VI_3",
            53,
            "version 3\n priority 110\n use_vmac vm53\n vmac_xmit_base\n virtual_ipaddress {\n  192.0.2.61\n }",
        ),
        (
            "VI_4",
            54,
            "version 3\n priority 90\n higher_prio_send_advert\n virtual_ipaddress {\n  fe80::54\n  2001:db8::54/64\n }",
        ),
        (
            "VI_5",
            55,
            "version 3\n advert_int 20\n priority 80\n nopreempt\n unicast_src_ip 192.0.2.1\n unicast_peer {\n  192.0.2.9\n }\n \
             virtual_ipaddress {\n  192.0.2.65\n }",
        ),
        (
            "VI_6",
            56,
            "version 3\n priority 80\n dont_track_primary\n garp_master_repeat 2\n garp_lower_prio_repeat 3\n \
             skip_check_adv_addr\n track_interface {\n  down0\n }\n virtual_ipaddress {\n  192.0.2.66\n }",
        ),
    ];
    let head = "global_defs {\n router_id R1\n script_user root\n}\n\
                vrrp_script chk {\n script \"/usr/bin/true a 'b c'\"\n interval 2\n}\n\
                vrrp_track_process pr {\n process nothing-of-this-name 99\n weight 3\n}\n\
                track_file tf {\n file TF\n weight 0\n}\n";
    let instances = more.map(|(name, vrid, body)| {
        format!("vrrp_instance {name} {{\n interface lan0\n virtual_router_id {vrid}\n {body}\n}}\n")
    });
    head.to_owned() + &instances.concat() + group
}

/// What a daemon writes: stats, JSON, data.
struct Written {
    stats: String,
    json: Value,
    data: String,
    raw: String,
}

/// Runs one daemon until its routers are where they go, and asks for everything.
fn dumps_of(host: &mut Host, configuration: &str) -> Written {
    let loopback = host.socket.index_of(&host::name("lo")).unwrap();
    host.socket.set_up(loopback, true).unwrap();
    host.write("tracked", "0\n");
    host.configure(&configuration.replace("TF", &host.path("tracked").to_string_lossy()));
    host.lay_cable(&host::name("down0"), &host::name("far0"), 1);
    host.start(&[]);
    for name in ["VI_1", "VI_2", "VI_3", "VI_4"] {
        host.wait_for_lines(&format!("({name}) Entering MASTER STATE"), 1);
    }
    for (file, signal) in [
        ("keepalived.stats", Signal::Stats),
        ("keepalived.json", Signal::Json),
        ("keepalived.data", Signal::Data),
        ("keepalived_parent.data", Signal::Data),
    ] {
        let _ = fs::remove_file(host.path(file));
        host.signal(signal.number());
        let path = host.path(file);
        // keepalived writes into the file that is there.
        let mut before = usize::MAX;
        host.wait(file, |_| {
            let now = fs::read_to_string(&path).map_or(0, |text| text.len());
            let same = now > 0 && now == before;
            before = now;
            std::thread::sleep(std::time::Duration::from_millis(100));
            same
        });
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }
    let read = |file: &str| fs::read_to_string(host.path(file)).unwrap();
    let raw = read("keepalived.json");
    let written = Written {
        stats: read("keepalived.stats"),
        json: serde_json::from_str(&raw).unwrap(),
        data: read("keepalived.data"),
        raw,
    };
    assert!(read("keepalived_parent.data").contains(" Router ID = R1\n"));
    host.signal(libc::SIGTERM);
    host.wait_for_end();
    written
}

/// Lines with every number replaced, which is what they have in common at different times.
fn shape(text: &str) -> Vec<String> {
    let line = |line: &str| match line.rsplit_once(": ") {
        Some((name, value)) if value.bytes().all(|byte| byte.is_ascii_digit()) => format!("{name}: N"),
        _ => line.to_owned(),
    };
    text.lines().map(line).collect()
}

#[test]
fn stats_and_json_are_those_of_keepalived() {
    let Some(keepalived) = Program::keepalived() else {
        return skip::skip("stats_and_json_are_those_of_keepalived", "keepalived is not installed");
    };
    let Some(mut host) = Host::new() else { return };
    let configuration = configuration();
    let ours = dumps_of(&mut host, &configuration);
    let Some(mut host) = Host::new() else { return };
    host.use_program(&keepalived.path);
    let theirs = dumps_of(&mut host, &configuration);

    // A line for each counter, those of 2.4.3 besides.
    let mut lines = shape(&ours.stats);
    lines.retain(|line| !STATS_SINCE_2_4_0.contains(&&**line));
    assert_eq!(lines, shape(&theirs.stats));
    assert_eq!(shape(&ours.stats).len() - lines.len(), 6 * STATS_SINCE_2_4_0.len());

    // One line, written as keepalived writes it.
    for raw in [&ours.raw, &theirs.raw] {
        assert!(raw.starts_with("[{\"data\":{\"iname\":\"VI_1\",") && !raw.contains("\": "), "{raw}");
        assert!(raw.contains("192.0.2.50\\/24") && !raw.trim_end().contains('\n'), "{raw}");
    }
    assert!(ours.raw.ends_with("}]\n"));
    assert_eq!(keys(&ours.raw, &SINCE_2_2_7), keys(&theirs.raw, &SINCE_2_2_7), "fields and their order");

    let (ours_json, theirs_json) = (ours.json.as_array().unwrap(), theirs.json.as_array().unwrap());
    assert_eq!(ours_json.len(), theirs_json.len());
    let mut differing = BTreeSet::new();
    for (mine, other) in ours_json.iter().zip(theirs_json) {
        let name = other["data"]["iname"].as_str().unwrap();
        for (key, value) in other["data"].as_object().unwrap() {
            let own = &mine["data"][key];
            match key.as_str() {
                // Seconds with six places.
                "last_transition" => assert!(own.is_f64() && value.is_f64()),
                // 2.4.0 and later write stars.
                "auth_data" => assert_eq!((own.as_str(), value.as_str()), (Some("********"), Some("abc"))),
                _ if own == value => {}
                _ => drop(differing.insert(format!("{name} {key}: {own} for {value}"))),
            }
        }
    }
    assert_eq!(differing.into_iter().collect::<Vec<_>>(), DIFFERENCES, "{}\n{}", ours.raw, theirs.raw);

    // In `keepalived.data`, each line that both have says the same.
    let mut differing = BTreeSet::new();
    for (section, title) in SECTIONS {
        let (mine, others) = (blocks(&ours.data, section, title), blocks(&theirs.data, section, title));
        let names = |blocks: &[Block<'_>]| -> Vec<String> {
            blocks.iter().map(|(name, _)| (*name).to_owned()).collect()
        };
        assert!(!mine.is_empty() && names(&mine) == names(&others), "{section}\n{}", ours.data);
        for ((name, lines), (_, other_lines)) in mine.iter().zip(&others) {
            let mut common = 0;
            for (key, value) in lines {
                let Some((_, other)) = other_lines.iter().find(|(other, _)| other == key) else { continue };
                common += 1;
                let (other, _) = other.split_once(", uid:gid").unwrap_or((other, ""));
                let (value, _) = value.split_once(", user").unwrap_or((value, ""));
                let changing = ["Last transition", "Read timeout", "Master down timer", "Password", "File"];
                if other != value && !changing.contains(key) {
                    differing.insert(format!("{name} {key}: {value} for {other}"));
                }
            }
            assert!(common >= 2 || section == "VRRP Sync groups", "{name}: {lines:?}");
        }
    }
    assert_eq!(differing.into_iter().collect::<Vec<_>>(), DATA_DIFFERENCES, "{}\n{}", ours.data, theirs.data);
}

/// Sections of `keepalived.data` and how a block of each begins.
const SECTIONS: [(&str, &str); 5] = [
    ("VRRP Topology", " VRRP Instance = "),
    ("VRRP Sync groups", " VRRP Sync Group = "),
    ("VRRP Scripts", " VRRP Script = "),
    ("VRRP Track files", " Track file = "),
    ("VRRP Track processes", " VRRP Track process = "),
];

/// What an exporter does for each scrape: it sends a signal, waits, and reads what is there.
#[test]
fn who_reads_while_dumps_are_written_reads_whole_ones() {
    let Some(mut host) = Host::with_router("192.0.2.50/24") else { return };
    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", 1);
    let files = [
        ("keepalived.json", Signal::Json),
        ("keepalived.stats", Signal::Stats),
        ("keepalived.data", Signal::Data),
    ];
    for (file, signal) in files {
        host.signal(signal.number());
        host.wait(file, |host| host.path(file).exists());
    }
    let sent = |stats: &str| -> u64 {
        stats.lines().find_map(|line| line.trim().strip_prefix("Sent: ")).unwrap().parse().unwrap()
    };
    let mut reads = 0;
    for _ in 0..200 {
        for (file, signal) in files {
            host.signal(signal.number());
            let text = fs::read_to_string(host.path(file)).unwrap();
            reads += 1;
            match file {
                "keepalived.json" => {
                    let json: Value = serde_json::from_str(&text).unwrap();
                    let router = &json[0];
                    for (key, value) in router["stats"].as_object().unwrap() {
                        assert!(value.is_u64(), "{key} is {value}");
                    }
                    assert_eq!(router["data"]["state"].as_u64(), Some(2));
                    assert_eq!(router["data"]["vrid"].as_u64(), Some(51));
                    assert_eq!(router["data"]["garp_delay"].as_u64(), Some(5));
                    assert!(router["data"]["last_transition"].is_f64());
                }
                "keepalived.stats" => {
                    assert_eq!(text.lines().count(), 26, "{text}");
                    assert!(text.starts_with("VRRP Instance: VI_1\n") && sent(&text) > 0, "{text}");
                }
                _ => {
                    let blocks = blocks(&text, "VRRP Topology", " VRRP Instance = ");
                    let (name, lines) = &blocks[0];
                    assert_eq!((*name, blocks.len()), ("VI_1", 1));
                    for expected in [
                        ("State", "MASTER"),
                        ("Wantstate", "MASTER"),
                        ("Interface", "lan0"),
                        ("Virtual Router ID", "51"),
                        ("Gratuitous ARP delay", "5"),
                    ] {
                        assert!(lines.contains(&expected), "{expected:?}: {text}");
                    }
                    assert!(
                        text.contains("   Virtual IP (1):\n     192.0.2.50/24 dev lan0 scope global set\n")
                    );
                    assert!(text.contains("------< Process >------"), "the end is there: {text}");
                }
            }
        }
    }
    assert_eq!(reads, 600);
    // What is counted is written once more, and then forgotten. Dumps asked for before may still be written.
    host.signal(Signal::StatsClear.number());
    host.wait("new counters", |host| {
        host.signal(Signal::Stats.number());
        let stats = fs::read_to_string(host.path("keepalived.stats")).unwrap();
        stats.contains("  Became master: 0\n") && sent(&stats) < 100
    });
}

#[test]
fn processes_are_in_the_second_version_of_the_json() {
    let Some(mut host) = Host::new() else { return };
    host.configure(&format!(
        "global_defs {{\n json_version 2\n}}\n\
         vrrp_track_process pr {{\n process nothing-here a b c\n param_match initial\n quorum 2\n quorum_max 5\n \
         weight 3\n fork_delay 0.5\n terminate_delay 2\n}}\n\
         vrrp_track_process other {{\n process nothing-there\n full_command\n}}\n{}",
        host::instance("VI_1", 51, 100, "192.0.2.50/24")
            .replace("    virtual_ip", "    track_process {\n pr\n other weight 1\n }\n    virtual_ip")
    ));
    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", 1);
    host.signal(Signal::Json.number());
    host.wait("the file", |host| host.path("keepalived.json").exists());
    let text = fs::read_to_string(host.path("keepalived.json")).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["vrrp"][0]["data"]["track_process"], serde_json::json!(["pr", "other"]));
    assert_eq!(
        text.rsplit("],\"track_process\":").next().unwrap(),
        "[{\"process\":\"nothing-here\",\"parameters\":\"a b c\",\"param_match\":\"initial\",\"min_processes\":2,\
         \"max_processes\":5,\"current_processes\":0,\"have_quorum\":false,\"weight\":3,\"terminate_delay\":2,\
         \"fork_delay\":0.5,\"fork_delay_timer_running\":false,\"terminate_delay_timer_running\":false,\
         \"full_command\":true},\
         {\"process\":\"nothing-there\",\"param_match\":\"none\",\"min_processes\":1,\"current_processes\":0,\
         \"have_quorum\":false,\"weight\":0,\"terminate_delay\":0,\"fork_delay\":0,\
         \"fork_delay_timer_running\":false,\"terminate_delay_timer_running\":false,\"full_command\":true}]}\n"
    );
}

/// What differs from keepalived 2.2.7 in the JSON: `higher_prio_send_advert` is on unless it is turned off.
const DIFFERENCES: [&str; 4] = [
    "VI_1 higher_prio_send_advert: 1 for 0",
    "VI_3 higher_prio_send_advert: 1 for 0",
    "VI_5 higher_prio_send_advert: 1 for 0",
    "VI_6 higher_prio_send_advert: 1 for 0",
];

/// What differs in the lines of `keepalived.data` that both have: that again, and `timeout`, which is the interval unless
/// it is set.
const DATA_DIFFERENCES: [&str; 5] = [
    "VI_1 Send advert after receive higher priority advert: true for false",
    "VI_3 Send advert after receive higher priority advert: true for false",
    "VI_5 Send advert after receive higher priority advert: true for false",
    "VI_6 Send advert after receive higher priority advert: true for false",
    "chk Timeout: 2 sec for 0 sec",
];

/// The keys of all objects in the order of the text, but for these.
fn keys<'a>(raw: &'a str, without: &[&str]) -> Vec<&'a str> {
    let pieces: Vec<&str> = raw.split('"').collect();
    let keys = pieces.iter().zip(pieces.iter().skip(1)).filter(|(_, next)| next.starts_with(':'));
    keys.map(|(key, _)| *key).filter(|key| !without.contains(key)).collect()
}

/// A name and lines `KEY = VALUE`.
type Block<'a> = (&'a str, Vec<(&'a str, &'a str)>);

/// The blocks of a section.
fn blocks<'a>(data: &'a str, section: &str, title: &str) -> Vec<Block<'a>> {
    let sections = data.split("------< ");
    let text = sections.into_iter().find(|text| text.starts_with(section)).unwrap_or_default();
    text.split(title)
        .skip(1)
        .map(|block| {
            let (name, rest) = block.split_once('\n').unwrap();
            (name, rest.lines().filter_map(|line| line.trim().split_once(" = ")).collect())
        })
        .collect()
}
