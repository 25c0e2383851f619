//! Many reloads, and reloads of a pair in rolling fashion: what runs is not disturbed, and nothing grows.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::host::{Host, instance};
use crate::soak;

/// A router with its address and more of them, and others beside it.
fn configuration(priority: u8, addresses: u8) -> String {
    let list: String = (0..addresses).map(|number| format!("        192.0.2.{}/24\n", 50 + number)).collect();
    instance("VI_1", 51, priority, "ADDRESSES").replace("        ADDRESSES\n", &list)
}

fn alived(host: &Host, words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alived"));
    let output = command.args(words).arg("-r").arg(host.path("vrrp.pid")).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}\n{}", host.log());
    String::from_utf8(output.stdout).unwrap()
}

fn router(host: &Host) -> Value {
    let status: Value = serde_json::from_str(&alived(host, &["status", "--json"])).unwrap();
    status["routers"][0].clone()
}

/// What a process has in memory besides files, in KiB, and how many descriptors.
fn size(pid: u32) -> (u64, usize) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    (line.trim().trim_end_matches(" kB").parse().unwrap(), descriptors)
}

/// keepalived leaked a descriptor with each reload once, and memory more often.
#[test]
fn thousands_of_reloads_leave_memory_and_descriptors_as_they_were() {
    let Some(mut host) = Host::new() else { return };
    let reloads = soak::count(300, 10_000);
    host.configure(&configuration(100, 1));
    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", 1);
    let since = router(&host)["since_unix_us"].clone();
    let reload = |host: &Host, round: u64| {
        // Equal, another priority, an address more.
        let (priority, addresses) = [(100, 1), (101, 1), (101, 2)][(round % 3) as usize];
        host.configure(&configuration(priority, addresses));
        alived(host, &["reload"]);
    };
    // What is kept of the last thousands of events is there from then on.
    let before = reloads / 3;
    (0..before).for_each(|round| reload(&host, round));
    let (worker, supervisor) = (host.worker(), host.supervisor());
    let sizes = || [worker, supervisor].map(size);
    let first = sizes();
    (before..reloads).for_each(|round| reload(&host, round));
    let last = sizes();
    for (before, after) in first.into_iter().zip(last) {
        assert!(after.0 < before.0 + 1024, "more memory: {before:?} KiB, then {after:?}");
        assert!(after.1 <= before.1 + 1, "more descriptors: {before:?}, then {after:?}");
    }
    let after = router(&host);
    assert_eq!((&after["state"], &after["since_unix_us"]), (&"MASTER".into(), &since), "no transition");
    assert_eq!(host.worker(), worker, "the same process");
}

#[test]
fn adding_an_address_to_one_host_after_the_other_makes_no_second_master() {
    let Some((mut first, mut second)) = Host::pair() else { return };
    first.configure(&configuration(150, 1));
    second.configure(&configuration(100, 1));
    first.start(&[]);
    first.wait_for_lines("Entering MASTER STATE", 1);
    second.start(&[]);
    second.wait("the backup to hear the master", |host| router(host)["master"]["priority"] == 150);
    let transitions = |host: &Host| host.log().matches("STATE").count();
    let before = [&first, &second].map(transitions);
    for addresses in [2, 3, 2, 1] {
        for (is_first, priority) in [(true, 150), (false, 100)] {
            let host = if is_first { &first } else { &second };
            host.configure(&configuration(priority, addresses));
            alived(host, &["reload"]);
            // Both lists differ now, for longer than a master-down time.
            let heard = |host: &Host| router(host)["counters"]["advertisements_received"].as_u64().unwrap();
            let target = heard(&second) + 10;
            second.wait("ten more advertisements", |host| heard(host) >= target);
        }
        let last = format!("192.0.2.{}/24", 49 + addresses);
        first.wait("the last address", |host| host.holds(&last));
    }
    assert_eq!([&first, &second].map(transitions), before, "{}\n{}", first.log(), second.log());
    assert_eq!(router(&first)["state"], "MASTER");
    assert_eq!(router(&second)["state"], "BACKUP");
}
