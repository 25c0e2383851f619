//! Scripts of a real daemon that are told of changes: with which words, in which order, and what becomes of those that
//! are slow, hang or die.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use alived::sys::process::signal;

use crate::host::{Host, instance};
use crate::{pace, skip};

const ADDRESS: &str = "192.0.2.50/24";
const GLOBAL: &str = "global_defs {\n    script_user root\n    enable_script_security\n}\n";

/// A router that is told of everything by a script in the host's folder.
fn router(host: &Host, name: &str, vrid: u8, address: &str) -> String {
    let script = host.path("hook");
    let script = script.display();
    let mut text = instance(name, vrid, 100, address).trim_end().strip_suffix('}').unwrap().to_owned();
    for state in ["master", "backup", "fault", "stop", "master_rx_lower_pri"] {
        text += &format!("    notify_{state} \"{script} {state} of {name}\"\n");
    }
    text + &format!("    notify \"{script} any\"\n}}\n")
}

/// A host with a hook that runs these shell commands; `say WORDS` notes a line.
fn host(commands: &str) -> Option<Host> {
    let mut host = Host::new()?;
    host.wait_for_carrier();
    let calls = host.path("calls");
    let text = format!("#!/bin/sh\nsay() {{ echo \"$*\" >> {}; }}\n{commands}\n", calls.display());
    host.write("hook", &text);
    fs::set_permissions(host.path("hook"), fs::Permissions::from_mode(0o755)).unwrap();
    Some(host)
}

fn calls(host: &Host) -> Vec<String> {
    let text = fs::read_to_string(host.path("calls")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn wait_for_call(host: &mut Host, call: &str) {
    host.wait(&format!("the call '{call}'"), |host| calls(host).iter().any(|line| line == call));
}

fn stop(host: &mut Host) {
    host.signal(libc::SIGTERM);
    assert!(host.wait_for_end().success());
}

/// The lines that begin with `any`, or the others, in order.
fn of(calls: &[String], any: bool) -> Vec<&str> {
    calls.iter().map(String::as_str).filter(|call| call.starts_with("any") == any).collect()
}

#[test]
fn scripts_are_told_of_every_state_in_order() {
    let Some(mut host) = host("say \"$*\"") else { return };
    host.configure(&format!("{GLOBAL}{}", router(&host, "VI_1", 51, ADDRESS)));
    host.start(&[]);
    wait_for_call(&mut host, "master of VI_1");
    let lan = host.lan();
    host.socket.set_up(lan, false).unwrap();
    wait_for_call(&mut host, "fault of VI_1");
    host.socket.set_up(lan, true).unwrap();
    host.wait("mastership again", |host| calls(host).iter().filter(|c| *c == "master of VI_1").count() == 2);
    stop(&mut host);
    let calls = calls(&host);
    let states = ["backup", "master", "fault", "backup", "master", "stop"];
    assert_eq!(of(&calls, false), states.map(|state| format!("{state} of VI_1")));
    let any = states.map(|state| format!("any INSTANCE VI_1 {} 100", state.to_uppercase()));
    assert_eq!(of(&calls, true), any);
}

#[test]
fn a_group_is_told_too_and_a_router_of_its_removal() {
    let Some(mut host) = host("say \"$*\"") else { return };
    let script = host.path("hook").display().to_string();
    let group = format!(
        "vrrp_sync_group G {{\n    group {{\n        A\n        B\n    }}\n    notify_master \"{script} group\"\n    \
         notify \"{script} any\"\n}}\n"
    );
    let (a, b) = (router(&host, "A", 51, ADDRESS), router(&host, "B", 52, "192.0.2.51/24"));
    let deleted = |name: &str, vrid, address: &str| {
        let text = router(&host, name, vrid, address);
        format!("{}    notify_deleted \"{script} deleted\"\n}}\n", text.trim_end().strip_suffix('}').unwrap())
    };
    let (c, d) = (deleted("C", 53, "192.0.2.52/24"), router(&host, "D", 54, "192.0.2.53/24"));
    host.configure(&format!("{GLOBAL}{a}{b}{c}{d}{group}"));
    host.start(&[]);
    for name in ["A", "B", "C", "D"] {
        wait_for_call(&mut host, &format!("any INSTANCE {name} MASTER 100"));
    }
    wait_for_call(&mut host, "group");
    wait_for_call(&mut host, "any GROUP G MASTER 0");
    let before = calls(&host).len();
    let slower = a.replace("advert_int 0.1", "advert_int 0.2");
    host.configure(&format!("{GLOBAL}{slower}{b}{group}"));
    host.signal(libc::SIGHUP);
    wait_for_call(&mut host, "any INSTANCE C DELETED 100");
    wait_for_call(&mut host, "any INSTANCE D FAULT 100");
    wait_for_call(&mut host, "deleted");
    wait_for_call(&mut host, "fault of D");
    assert_eq!(calls(&host).len(), before + 4, "who stays is not told: {:?}", calls(&host));
    stop(&mut host);
    let calls = calls(&host);
    assert_eq!(calls.iter().filter(|call| call.ends_with("STOP 100")).count(), 2, "{calls:?}");
    assert!(calls.contains(&"any GROUP G STOP 0".to_owned()), "{calls:?}");
}

#[test]
fn a_hook_finds_its_event_as_json_and_an_environment_without_traps() {
    let Some(mut host) =
        host("say \"$*\" \"$(cat)\" \"$PROBE$IFS_SET${LD_PRELOAD-none}${NOTIFY_SOCKET-none}\"")
    else {
        return;
    };
    host.set_environment("PROBE", "yes");
    host.set_environment("LD_PRELOAD", "");
    host.write("alived.toml", "[hooks]\njson = true\n");
    let script = host.path("hook").display().to_string();
    let text = instance("VI_1", 51, 100, ADDRESS);
    host.configure(&format!(
        "{GLOBAL}{}    notify_master \"{script} master\"\n}}\n",
        text.trim_end().strip_suffix('}').unwrap()
    ));
    host.start(&[]);
    host.wait("the call", |host| calls(host).iter().any(|call| call.starts_with("master")));
    let call = calls(&host).remove(0);
    assert!(call.ends_with(" yesnonenone"), "{call}");
    let json = call.strip_prefix("master ").unwrap().strip_suffix(" yesnonenone").unwrap();
    let event: serde_json::Value = serde_json::from_str(json).unwrap();
    for (key, value) in [("kind", "INSTANCE"), ("name", "VI_1"), ("state", "MASTER"), ("from", "BACKUP")] {
        assert_eq!(event[key], value, "{json}");
    }
    assert_eq!((&event["version"], &event["priority"]), (&1.into(), &100.into()), "{json}");
    assert!(event["cause"].as_str().is_some_and(|cause| cause.contains("no master heard")), "{json}");
}

/// A router that changes its state with a file.
fn flapping(host: &Host) -> String {
    let file = host.path("switch");
    fs::write(&file, "0").unwrap();
    let text = router(host, "VI_1", 51, ADDRESS);
    let (file, text) = (file.display(), text.trim_end().strip_suffix('}').unwrap());
    format!(
        "{GLOBAL}track_file switch {{\n    file {file}\n    weight 1\n}}\n{text}    track_file {{\n        switch weight 0\n    }}\n}}\n"
    )
}

/// What the log says of the router's states.
fn transitions(host: &Host) -> Vec<String> {
    let word = |line: &str| {
        let rest = line.split("(VI_1) Entering ").nth(1)?;
        rest.split(' ').next().map(str::to_owned)
    };
    host.log().lines().filter_map(word).collect()
}

#[test]
fn of_a_hundred_changes_a_second_slow_hooks_hear_the_newest_in_order() {
    let Some(mut host) = host("say \"begin $1 $4\"; sleep 2; say \"end $1 $4\"") else { return };
    // Only the one that tells the state.
    let text = flapping(&host);
    let text: String =
        text.lines().filter(|line| !line.contains("notify_")).map(|line| format!("{line}\n")).collect();
    // Another router of the same daemon, which goes on as if nothing were.
    host.configure(&format!("{text}{}", instance("VI_2", 52, 100, "192.0.2.52/24")));
    host.write("alived.toml", "[hooks]\nwaiting = 3\nat-stop = 60\n");
    host.start(&[]);
    host.wait_for_lines("(VI_2) Entering MASTER STATE", 1);
    let pace = pace::Pace::start(&host);
    // 100 changes a second where the machine is not busy; on any other until there were a hundred.
    for number in 0..6_000 {
        fs::write(host.path("switch"), if number % 2 == 0 { "1" } else { "0" }).unwrap();
        std::thread::sleep(Duration::from_millis(10));
        if number >= 200 && number % 100 == 99 && transitions(&host).len() >= 100 {
            break;
        }
    }
    let sent = pace.assert_kept(52, Duration::from_millis(100));
    assert!(sent >= 10, "{sent} advertisements");
    host.wait("mastership at last", |host| transitions(host).last().is_some_and(|state| state == "MASTER"));
    assert_eq!(host.log().matches("(VI_2) Entering").count(), 2, "{}", host.log());
    stop(&mut host);
    let changes = transitions(&host);
    assert!(changes.len() >= 100, "{} changes", changes.len());
    let calls = calls(&host);
    let begun: Vec<&str> = calls.iter().filter_map(|call| call.strip_prefix("begin any ")).collect();
    // One at a time: each ends before the next one begins.
    for pair in calls.chunks(2) {
        assert!(pair[0].starts_with("begin") && pair[1] == pair[0].replace("begin", "end"), "{calls:?}");
    }
    // In order: what is told is a part of what happened, in its order.
    let mut happened = changes.iter().map(String::as_str).chain(["STOP"]);
    assert!(begun.iter().all(|told| happened.any(|state| state == *told)), "{begun:?}\n{changes:?}");
    assert_eq!(begun.last(), Some(&"STOP"), "{begun:?}");
    host.wait_for_lines("were not told of", 1);
}

#[test]
fn a_hook_that_hangs_is_ended_and_the_next_one_has_its_turn() {
    let Some(mut host) = host("say \"$*\"; case $1 in backup) exec sleep 1000;; esac") else { return };
    host.configure(&format!("{GLOBAL}{}", router(&host, "VI_1", 51, ADDRESS)));
    host.write("alived.toml", "[hooks]\nlimit = 1\n");
    host.start(&[]);
    wait_for_call(&mut host, "master of VI_1");
    host.wait_for_lines("notify_backup of vrrp_instance VI_1, told of BACKUP,", 1);
    host.wait_for_lines("which is longer than it may take ([hooks] of alived.toml: limit = 1)", 1);
}

#[test]
fn a_stop_ends_what_hangs_and_tells_of_itself() {
    let Some(mut host) = host("say \"$*\"; case $1 in master) exec sleep 1000;; esac") else { return };
    host.configure(&format!("{GLOBAL}child_wait_time 1\n{}", router(&host, "VI_1", 51, ADDRESS)));
    host.write("alived.toml", "[hooks]\nat-stop = 20\n");
    host.start(&[]);
    wait_for_call(&mut host, "master of VI_1");
    stop(&mut host);
    assert!(calls(&host).contains(&"stop of VI_1".to_owned()), "{:?}", calls(&host));
    assert!(!host.log().contains("killing it"), "{}", host.log());
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let Some(mut host) = host("say \"$*\"; case $1 in stop) exec sleep 1000;; esac") else { return };
    host.configure(&format!("{GLOBAL}{}", router(&host, "VI_1", 51, ADDRESS)));
    host.write("alived.toml", "[hooks]\nat-stop = 1\n");
    host.start(&[]);
    wait_for_call(&mut host, "master of VI_1");
    stop(&mut host);
    host.wait_for_lines("stopping without waiting for notify_stop of vrrp_instance VI_1", 1);
}

#[test]
fn what_was_lost_with_its_process_is_told_again() {
    // It remembers that it was run before it says so, upon which it is killed.
    let again = "hangs=; case $1 in master) [ -e $0.again ] || { touch $0.again; hangs=1; };; esac; say \"$*\"; \
                 [ -z \"$hangs\" ] || sleep 1000; say \"end $*\"";
    let Some(mut host) = host(again) else { return };
    host.configure(&format!("{GLOBAL}{}", router(&host, "VI_1", 51, ADDRESS)));
    host.start(&[]);
    wait_for_call(&mut host, "master of VI_1");
    signal(host.runner().unwrap(), libc::SIGKILL);
    wait_for_call(&mut host, "end master of VI_1");
    host.wait_for_lines("told of MASTER,", 1);
    host.wait_for_lines("was lost with the process that ran it", 1);
}

#[test]
fn a_script_that_cannot_be_run_is_named_with_what_is_wrong_on_its_way() {
    let Some(mut host) = host("say \"$*\"") else { return };
    fs::set_permissions(host.path("hook"), fs::Permissions::from_mode(0o757)).unwrap();
    host.configure(&format!("{GLOBAL}{}", router(&host, "VI_1", 51, ADDRESS)));
    host.start(&[]);
    let path = host.path("hook").display().to_string();
    host.wait_for_lines(
        &format!("`{path}` would run as root, but `{path}` can be written by everybody (owner 0, group 0, mode 0757)"),
        1,
    );
    host.wait("mastership", |host| host.holds(ADDRESS));
    stop(&mut host);
    assert_eq!(calls(&host), Vec::<String>::new());
}

/// Runs `nft` with these words in a host's namespace; false where there is none.
fn nft(host: &Host, words: &str) -> bool {
    let mut command = Command::new("nft");
    command.arg(words).stdin(Stdio::null());
    host.namespace.contain(&mut command);
    match command.status() {
        Ok(status) => {
            assert!(status.success(), "nft {words}");
            true
        }
        Err(_) => false,
    }
}

#[test]
fn a_master_that_hears_one_of_lower_priority_tells_its_hook() {
    let Some((mut first, mut second)) = Host::pair() else { return };
    // It hears nobody, and so believes to be master.
    let deaf = "add table inet t; add chain inet t in { type filter hook input priority 0; }; add rule inet t in ip \
                protocol 112 drop";
    if !nft(&second, deaf) {
        return skip::skip(
            "a_master_that_hears_one_of_lower_priority_tells_its_hook",
            "`nft` is not installed",
        );
    }
    let calls_file = first.path("calls");
    first.write("hook", &format!("#!/bin/sh\necho \"$*\" >> {}\n", calls_file.display()));
    fs::set_permissions(first.path("hook"), fs::Permissions::from_mode(0o755)).unwrap();
    first.configure(&format!("{GLOBAL}{}", router(&first, "VI_1", 51, ADDRESS)));
    first.start(&[]);
    wait_for_call(&mut first, "master of VI_1");
    let lower = |host: &Host| {
        of(&calls(host), false).iter().filter(|call| **call == "master_rx_lower_pri of VI_1").count()
    };
    assert_eq!(lower(&first), 0);
    second.configure(&instance("VI_1", 51, 90, ADDRESS));
    second.start(&[]);
    second.wait_for_lines("Entering MASTER STATE", 1);
    // Whoever goes on is told of again and again.
    first.wait("the rival to be told of", |host| lower(host) >= 3);
    let told = calls(&first);
    let any = of(&told, true);
    assert!(any.iter().all(|call| !call.contains("LOWER")), "`notify` is for states: {any:?}");
    assert!(nft(&second, "delete table inet t"));
    second.wait("the rival to yield", |host| !host.holds(ADDRESS));
    first.wait("mastership", |host| host.holds(ADDRESS));
    assert_eq!(of(&calls(&first), false).iter().filter(|call| **call == "backup of VI_1").count(), 1);
    stop(&mut first);
}
