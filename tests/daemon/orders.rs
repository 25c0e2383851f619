//! The operator's orders to running daemons, through the commands and the real sockets: failover, failback, maintenance.

use std::fs;

use serde_json::Value;

use crate::host::{Host, instance};

const ADDRESS: &str = "192.0.2.50/24";

/// A master and its backup.
fn pair() -> Option<(Host, Host)> {
    let (mut first, mut second) = Host::pair()?;
    first.configure(&instance("VI_1", 51, 150, ADDRESS));
    second.configure(&instance("VI_1", 51, 100, ADDRESS));
    first.start(&[]);
    first.wait_for_lines("Entering MASTER STATE", 1);
    second.start(&[]);
    second.wait("the backup to hear the master", |host| router(host)["master"]["priority"] == 150);
    Some((first, second))
}

fn json(host: &Host, words: &[&str]) -> Value {
    let output = host.alived(words);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{words:?}: {output:?}\n{}", host.log()))
}

fn router(host: &Host) -> Value {
    json(host, &["status", "--json"])["routers"][0].clone()
}

fn wait_for_state(host: &mut Host, state: &str) {
    host.wait(state, |host| router(host)["state"] == state);
}

#[test]
fn a_failover_says_who_took_over_and_a_failback_ends_it() {
    let Some((mut first, mut second)) = pair() else { return };
    let (text, code) = second.says(&["failover", "all"]);
    assert_eq!((&*text, code), ("VI_1: is not master: nothing to hand over\n", 0));
    let (text, code) = first.says(&["failover", "VI_9"]);
    assert!(code == 1 && text.contains("no virtual router and no sync group of that name"), "{text}");

    let answer = json(&first, &["failover", "VI_1", "--for", "2h", "--json"]);
    let outcome = &answer["routers"][0];
    assert_eq!(
        (&outcome["outcome"], &outcome["successor"]),
        (&"done".into(), &"192.0.2.2".into()),
        "{answer}"
    );
    assert!(outcome["after_us"].as_u64().unwrap() > 0, "{answer}");
    let state = router(&first);
    assert_eq!((&state["state"], &state["switched_over"]), (&"BACKUP".into(), &"done".into()), "{state}");
    let hold = state["hold_ends_us"].as_u64().unwrap();
    assert!((7_000_000_000..=7_200_000_000).contains(&hold), "{hold}");
    let text = first.says(&["status"]).0;
    assert!(text.contains("handed over: does not preempt for another 1 h 5"), "{text}");
    let text = first.says(&["explain", "VI_1"]).0;
    assert!(text.contains("told to hand over, and does not come back for another 1 h"), "{text}");
    wait_for_state(&mut second, "MASTER");
    second.wait("the address", |host| host.holds(ADDRESS));
    first.wait("the address to go", |host| !host.holds(ADDRESS));

    let (text, code) = first.says(&["failback", "VI_1"]);
    assert_eq!((&*text, code), ("VI_1: takes back what it would be master of\n", 0));
    wait_for_state(&mut first, "MASTER");
    wait_for_state(&mut second, "BACKUP");
    assert_eq!(first.says(&["failback", "all"]), ("VI_1: had not handed over\n".to_owned(), 0));

    // For a time, after which it comes back by itself.
    let (text, code) = first.says(&["failover", "all", "--for", "1"]);
    assert!(code == 0 && text.contains("192.0.2.2 took over"), "{text}");
    first.wait_for_lines("the time of the switch-over is over", 1);
    wait_for_state(&mut first, "MASTER");

    second.signal(libc::SIGTERM);
    second.wait_for_end();
    let (text, code) = first.says(&["failover", "all"]);
    assert!(code == 1 && text.contains("nobody took over within the time allowed: staying master"), "{text}");
    assert_eq!(router(&first)["state"], "MASTER");
    let events = first.says(&["events"]).0;
    for part in ["told to hand over VI_1 for 7200 s", "told to take back VI_1", "192.0.2.2 took over"] {
        assert!(events.contains(part), "no `{part}` in {events}");
    }
}

#[test]
fn maintenance_is_a_state_of_its_own_and_outlives_reloads_and_workers() {
    let Some((mut first, second)) = pair() else { return };
    assert_eq!(first.says(&["maintenance"]), ("maintenance is off\n".to_owned(), 0));
    let (text, code) = first.says(&["maintenance", "on"]);
    assert!(code == 0 && text.contains("VI_1: 192.0.2.2 took over"), "{text}");
    assert_eq!(router(&first)["state"], "MAINTENANCE");
    assert_eq!(json(&first, &["status", "--json"])["daemon"]["maintenance"]["persists"], false);
    let text = first.says(&["status"]).0;
    for part in ["MAINTENANCE for", "until `alived maintenance off`", "VI_1: MAINTENANCE for"] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    assert!(first.says(&["maintenance"]).0.starts_with("maintenance is on for"));
    let events = first.says(&["events"]).0;
    assert!(events.contains("VI_1: MASTER -> MAINTENANCE, priority 150: under maintenance"), "{events}");
    let text = first.says(&["explain", "VI_1"]).0;
    assert!(
        text.contains("The operator keeps all virtual routers of this host out of the election"),
        "{text}"
    );
    // keepalived's dumps have no such word.
    first.signal(libc::SIGUSR1);
    let data = first.path("keepalived.data");
    first.wait("the dump", |_| fs::read_to_string(&data).is_ok_and(|text| text.contains("State = FAULT")));

    first.configure(&instance("VI_1", 51, 200, ADDRESS));
    assert_eq!(first.says(&["reload"]).1, 0);
    assert_eq!(router(&first)["state"], "MAINTENANCE");
    let worker = first.worker();
    // The worker is this test's own.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(worker as i32), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    first.wait("another worker in maintenance", |host| {
        let output = host.alived(&["status", "--json"]);
        let status: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        status.is_some_and(|status| {
            status["daemon"]["pid"] != worker && status["routers"][0]["state"] == "MAINTENANCE"
        })
    });
    assert_eq!(router(&second)["state"], "MASTER");
    assert_eq!(first.says(&["maintenance", "off"]), ("maintenance is off\n".to_owned(), 0));
    wait_for_state(&mut first, "MASTER");
    let events = first.says(&["events"]).0;
    assert!(events.contains("VI_1: MAINTENANCE -> BACKUP, priority 200: maintenance ended"), "{events}");
}

#[test]
fn maintenance_outlives_the_daemon_only_if_that_is_asked_for() {
    let Some(mut host) = Host::new() else { return };
    host.configure(&instance("VI_1", 51, 100, ADDRESS));
    for (words, state) in [
        (&["maintenance", "on"][..], "MASTER"),
        (&["maintenance", "on", "--over-restart"], "MAINTENANCE"),
        (&["maintenance", "on", "--over-restart", "--for", "1"], "MASTER"),
    ] {
        host.start(&[]);
        wait_for_state(&mut host, "MASTER");
        let (text, code) = host.says(words);
        assert!(code == 1 && text.contains("leaving all the same, for maintenance"), "{text}");
        if !words.contains(&"1") {
            host.wait("the address to go", |host| !host.holds(ADDRESS));
        }
        host.signal(libc::SIGTERM);
        host.wait_for_end();
        host.start(&[]);
        wait_for_state(&mut host, state);
        if state == "MAINTENANCE" {
            assert!(host.says(&["maintenance"]).0.contains("also over a restart"));
            assert_eq!(host.says(&["maintenance", "off"]).1, 0);
            wait_for_state(&mut host, "MASTER");
        }
        host.signal(libc::SIGTERM);
        host.wait_for_end();
    }
}

#[test]
fn a_failover_outlives_a_killed_worker_and_not_the_daemon() {
    let Some((mut first, mut second)) = pair() else { return };
    assert_eq!(first.says(&["failover", "all"]).1, 0);
    wait_for_state(&mut second, "MASTER");
    let record = first.path("vrrp.switchover");
    first.wait("the record", |_| record.exists());
    alived::sys::process::signal(first.worker(), libc::SIGKILL);
    first.wait_for_lines("Startup complete", 2);
    // Long enough for it to preempt: it has heard the other one for more than a master-down time.
    first.wait("advertisements", |host| {
        router(host)["counters"]["advertisements_received"].as_u64().is_some_and(|heard| heard > 12)
    });
    assert_eq!(
        (router(&first)["state"].clone(), router(&second)["state"].clone()),
        ("BACKUP".into(), "MASTER".into())
    );

    let (text, code) = first.says(&["failback", "all"]);
    assert_eq!((&*text, code), ("VI_1: takes back what it would be master of\n", 0));
    wait_for_state(&mut first, "MASTER");
    first.wait("the record to be gone", |_| !record.exists());

    assert_eq!(first.says(&["failover", "all"]).1, 0);
    wait_for_state(&mut second, "MASTER");
    first.wait("the record", |_| record.exists());
    first.signal(libc::SIGTERM);
    assert!(first.wait_for_end().success());
    assert!(!record.exists());
}
