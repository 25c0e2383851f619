//! `alived drill` as an operator runs it: as root, and without any privilege.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "support/skip.rs"]
mod skip;
#[path = "support/soak.rs"]
mod soak;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use alived::drill::{Folder, Program, Scenario};
use serde_json::Value;

/// An unprivileged user: "nobody" on most systems; it need not exist.
const NOBODY: u32 = 65_534;

const EXIT_FORBIDDEN: i32 = 4;

fn drill(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alived"));
    command.arg("drill").args(arguments);
    command
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Why the drill cannot run here, if it said so.
fn forbidden(output: &Output) -> Option<String> {
    (output.status.code() == Some(EXIT_FORBIDDEN))
        .then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// What became of each of these scenarios.
fn outcomes(output: &Output, scenarios: &[&str]) -> Vec<Value> {
    let errors = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout);
    let list: Vec<Value> =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{errors}"));
    let names: Vec<&str> = list.iter().map(|object| object["scenario"].as_str().unwrap()).collect();
    assert_eq!(names, scenarios, "{errors}");
    list
}

fn check(output: &Output, scenarios: &[&str]) {
    let errors = String::from_utf8_lossy(&output.stderr);
    for object in outcomes(output, scenarios) {
        assert_eq!(object["ok"], true, "{object:#}\n{errors}");
        if object["skipped"].is_string() {
            continue;
        }
        let scenario = object["scenario"].as_str().unwrap();
        if scenario == "restart" {
            let (sent, lost) = (&object["probes_sent"], &object["probes_lost"]);
            assert!(sent.as_u64().unwrap() > 1000 && lost == 0, "{object:#}");
            assert!(object["elections"].as_array().unwrap().is_empty(), "{object:#}");
            continue;
        }
        let announced = object["first_announcement_ms"].as_f64().unwrap();
        assert!(object["dual_master_ms"].is_number(), "{object:#}");
        // Where the old master goes on until it hears its successor, there is no last advertisement to count from.
        let Some(bound) = object["bound_ms"].as_f64() else {
            assert!(["check", "cut"].contains(&scenario), "{object:#}");
            continue;
        };
        // The timer never fires early: what is measured includes the whole bound. The two clocks are read
        // at different places, hence a millisecond. The last word of a member that is still heard comes later than what
        // its group's successor waits for.
        assert!(scenario == "member" || announced > bound - 1.0, "announced before the bound: {object:#}");
        let blackout = object["blackout_ms"].as_f64().unwrap();
        // Nobody forwards until the successor does, unless it has the virtual MAC all the time and the switch, which
        // has forgotten the dead port, sends it everything.
        let silent = ["kill", "link"].contains(&scenario) && object["virtual_mac"].is_null();
        assert!(!silent || blackout > bound / 2.0, "{object:#}");
    }
    assert!(output.status.success(), "{errors}");
}

/// All but a restart, whose interval is never a short one.
fn quick() -> impl Iterator<Item = &'static str> {
    Scenario::ALL.into_iter().filter(|scenario| *scenario != Scenario::Restart).map(Scenario::name)
}

#[test]
fn all_scenarios_end_well() {
    let output = drill(&["--json"]).output().unwrap();
    if let Some(reason) = forbidden(&output) {
        return skip::skip("all_scenarios_end_well", &reason);
    }
    check(&output, &Scenario::ALL.map(Scenario::name));
}

#[test]
fn three_routers_over_ipv6() {
    let output =
        drill(&["--json", "--family", "ipv6", "--routers", "3", "--scenario", "kill", "--scenario", "stop"])
            .output()
            .unwrap();
    if let Some(reason) = forbidden(&output) {
        return skip::skip("three_routers_over_ipv6", &reason);
    }
    check(&output, &["kill", "stop"]);
}

#[test]
fn all_scenarios_end_well_by_unicast() {
    let options = ["--json", "--unicast", "--routers", "3"];
    let output = drill(&options).args(quick().flat_map(|name| ["--scenario", name])).output().unwrap();
    if let Some(reason) = forbidden(&output) {
        return skip::skip("all_scenarios_end_well_by_unicast", &reason);
    }
    check(&output, &quick().collect::<Vec<_>>());
}

#[test]
fn all_scenarios_end_well_with_signatures() {
    let options = ["--json", "--auth", "hmac"];
    let output = drill(&options).args(quick().flat_map(|name| ["--scenario", name])).output().unwrap();
    if let Some(reason) = forbidden(&output) {
        return skip::skip("all_scenarios_end_well_with_signatures", &reason);
    }
    check(&output, &quick().collect::<Vec<_>>());
}

#[test]
fn a_master_dies_and_one_is_stopped_with_authentication_headers() {
    let output =
        drill(&["--json", "--auth", "ah", "--scenario", "kill", "--scenario", "stop"]).output().unwrap();
    if let Some(reason) = forbidden(&output) {
        return skip::skip("a_master_dies_and_one_is_stopped_with_authentication_headers", &reason);
    }
    check(&output, &["kill", "stop"]);
}

#[test]
fn keepalived_succeeds_us_by_unicast() {
    let scenarios = [Scenario::Kill, Scenario::Stop, Scenario::Link];
    drill_with_keepalived("keepalived_succeeds_us_by_unicast", &["--unicast"], &scenarios, None);
}

#[test]
fn we_succeed_keepalived_by_unicast_over_ipv6() {
    let options = ["--unicast", "--peer-role", "master", "--family", "ipv6"];
    let scenarios = [Scenario::Kill, Scenario::Stop];
    drill_with_keepalived("we_succeed_keepalived_by_unicast_over_ipv6", &options, &scenarios, None);
}

#[test]
fn keepalived_succeeds_us() {
    let scenarios: Vec<Scenario> = quick().filter_map(Scenario::from_name).collect();
    drill_with_keepalived("keepalived_succeeds_us", &["--peer-role", "backup"], &scenarios, None);
}

#[test]
fn we_succeed_keepalived_over_ipv6() {
    let options = ["--peer-role", "master", "--family", "ipv6"];
    let scenarios = [Scenario::Kill, Scenario::Stop, Scenario::Stall, Scenario::Switch, Scenario::Member];
    let skipped = Some(Scenario::Switch);
    drill_with_keepalived("we_succeed_keepalived_over_ipv6", &options, &scenarios, skipped);
}

#[test]
fn keepalived_succeeds_us_in_version_2() {
    // Whole seconds take their time: what only version 2 does differently.
    let scenarios = [Scenario::Stop, Scenario::Switch];
    drill_with_keepalived("keepalived_succeeds_us_in_version_2", &["--version", "2"], &scenarios, None);
}

#[test]
fn hosts_need_not_notice_a_failover_with_a_virtual_mac() {
    let output = drill(&["--json", "--vmac"]).output().unwrap();
    if let Some(reason) = forbidden(&output) {
        return skip::skip("hosts_need_not_notice_a_failover_with_a_virtual_mac", &reason);
    }
    check(&output, &Scenario::ALL.map(Scenario::name));
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    for object in list.as_array().unwrap() {
        assert_eq!(object["client_entries"], serde_json::json!(["00:00:5e:00:01:33", "00:00:5e:00:01:33"]));
    }
}

/// An interval that is long enough for the dead router's kernel to be believed: it answers what its successor announces.
#[test]
fn a_dead_router_does_not_draw_the_virtual_mac_to_its_port() {
    let output = drill(&["--json", "--vmac", "--version", "2", "--scenario", "crash"]).output().unwrap();
    if let Some(reason) = forbidden(&output) {
        return skip::skip("a_dead_router_does_not_draw_the_virtual_mac_to_its_port", &reason);
    }
    check(&output, &["crash"]);
    assert!(output.status.success());
}

#[test]
fn keepalived_succeeds_us_with_a_virtual_mac() {
    let scenarios = [Scenario::Kill, Scenario::Stop, Scenario::Switch];
    drill_with_keepalived("keepalived_succeeds_us_with_a_virtual_mac", &["--vmac"], &scenarios, None);
}

#[test]
fn we_succeed_keepalived_with_a_virtual_mac_over_ipv6() {
    let options = ["--vmac", "--peer-role", "master", "--family", "ipv6"];
    let scenarios = [Scenario::Kill, Scenario::Stop];
    drill_with_keepalived("we_succeed_keepalived_with_a_virtual_mac_over_ipv6", &options, &scenarios, None);
}

/// `skipped`: which scenario cannot be run with keepalived in that role, as the report must say.
fn drill_with_keepalived(test: &str, options: &[&str], scenarios: &[Scenario], skipped: Option<Scenario>) {
    if Program::keepalived().is_none() {
        return skip::skip(test, "keepalived is not installed");
    }
    let mut command = drill(&["--json", "--peer", "keepalived"]);
    command.args(options);
    for scenario in scenarios {
        command.args(["--scenario", scenario.name()]);
    }
    let output = command.output().unwrap();
    if let Some(reason) = forbidden(&output) {
        return skip::skip(test, &reason);
    }
    check(&output, &scenarios.iter().map(|scenario| scenario.name()).collect::<Vec<_>>());
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let left_out: Vec<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .filter(|object| !object["skipped"].is_null())
        .map(|object| object["scenario"].as_str().unwrap())
        .collect();
    assert_eq!(left_out, skipped.iter().map(|scenario| scenario.name()).collect::<Vec<_>>());
}

/// In this kernel where it has IPVS, else in one of the drill's own.
#[test]
fn directors_notice_what_happens_to_real_servers_and_the_second_takes_over() {
    let test = "directors_notice_what_happens_to_real_servers_and_the_second_takes_over";
    let checks = ["--delay-loop", "0.5", "--connect-timeout", "3", "--retry", "0"];
    let all = ["hang", "drain", "director", "die", "wrong", "return"];
    let scenarios = all.get(..soak::count(3, 6) as usize).unwrap();
    let mut command = drill(&["--director", "--json", "--rate", "20"]);
    command.args(checks).args(scenarios.iter().flat_map(|scenario| ["--scenario", scenario]));
    let output = command.output().unwrap();
    if let Some(reason) = forbidden(&output) {
        return skip::skip(test, &reason);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let list = outcomes(&output, scenarios);
    let line = |last: u8| format!("-a -t 198.18.0.254:80 -r 198.18.0.{last}:80 -g -w 1");
    let service = "-A -t 198.18.0.254:80 -s rr".to_owned();
    let (complete, two) =
        ([service.clone(), line(11), line(12), line(13)].to_vec(), [service, line(12), line(13)].to_vec());
    let count = |value: &Value| value.as_u64().unwrap();
    for object in list {
        assert_eq!(object["ok"], true, "{object:#}\n{errors}");
        let scenario = object["scenario"].as_str().unwrap();
        let mut table: Vec<String> = serde_json::from_value(object["table"].clone()).unwrap();
        table.sort();
        let bound = object["bound_ms"].as_f64();
        let (wanted, promised) = match scenario {
            "return" => (&complete, Some(500.0)),
            "hang" => (&two, Some(3500.0)),
            "drain" => (&two, None),
            "director" => (&complete, bound.filter(|bound| (300.0..400.0).contains(bound))),
            _ => (&two, Some(500.0)),
        };
        assert_eq!(&table, wanted, "{object:#}");
        assert_eq!(bound, promised, "{object:#}");
        let detection = object["detection_ms"].as_f64().unwrap();
        // Nobody knows it before a check could fail. One that waits for an answer takes its time.
        let least = if scenario == "hang" { 2000.0 } else { 0.0 };
        assert!(detection > least, "{object:#}");
        let (requests, failed) = (count(&object["requests"]), count(&object["requests_failed"]));
        assert!(requests > 0, "{object:#}");
        let broken: Vec<u64> = serde_json::from_value(object["connections_broken"].clone()).unwrap();
        let answered: Vec<u64> = serde_json::from_value(object["answered_after"].clone()).unwrap();
        assert_eq!(count(&object["connections_kept"]), 6, "{object:#}");
        match scenario {
            "die" | "hang" | "wrong" => {
                assert!(broken == [2, 0, 0], "{object:#}");
                // Every third one of those begun until then; a busy machine may begin none so soon.
                assert!((failed > 0 || scenario != "hang") && failed < requests, "{object:#}");
                assert!(answered[0] == 0 && answered[1] > 0 && answered[2] > 0, "{object:#}");
            }
            "drain" => {
                assert_eq!((failed, broken), (0, vec![0; 3]), "{object:#}");
                assert!(answered[0] == 0 && answered[1] > 0, "{object:#}");
                assert!(object["removal_ms"].as_f64().unwrap() > 1000.0, "{object:#}");
            }
            "return" => {
                assert_eq!((failed, broken), (0, vec![0; 3]), "{object:#}");
                assert!(answered[0] > 0, "{object:#}");
            }
            _ => {
                assert_eq!(broken, [0; 3], "{object:#}");
                assert!(answered.iter().all(|count| *count > 0), "{object:#}");
            }
        }
    }
    assert!(output.status.success(), "{errors}");
}

#[test]
fn who_has_neither_ipvs_nor_a_second_kernel_is_told_what_to_install() {
    let test = "who_has_neither_ipvs_nor_a_second_kernel_is_told_what_to_install";
    if Path::new("/proc/net/ip_vs").exists() {
        return skip::skip(test, "this kernel has IPVS");
    }
    // As if that package were not installed.
    let script = "if [ -d /usr/lib/uml ]; then mount -t tmpfs none /usr/lib/uml || exit 77; fi; exec \"$0\" drill --director";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_alived")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(EXIT_FORBIDDEN) if !text.contains("namespaces") => {
            assert!(text.contains("modprobe ip_vs"), "{text}");
            assert!(text.contains("apt-get install user-mode-linux kmod"), "{text}");
        }
        // What else can keep it from that: namespaces are forbidden, or this kernel has IPVS after all.
        Some(EXIT_FORBIDDEN | 1 | 77) => skip::skip(test, &text),
        status => panic!("{status:?}: {text}"),
    }
}

#[test]
fn an_unprivileged_user_can_drill() {
    let test = "an_unprivileged_user_can_drill";
    // Others may not be able to read where the program was built.
    let folder = Folder::create().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("alived");
    fs::copy(env!("CARGO_BIN_EXE_alived"), &program).unwrap();
    let mut command = Command::new(&program);
    command.args(["drill", "--json", "--scenario", "crash"]).current_dir("/");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().unwrap();
    if let Some(reason) = forbidden(&output) {
        return skip::skip(test, &reason);
    }
    check(&output, &["crash"]);
}

#[test]
fn a_killed_drill_leaves_no_process_behind() {
    end_a_drill("a_killed_drill_leaves_no_process_behind", libc::SIGKILL);
}

#[test]
fn a_drill_that_is_told_to_end_leaves_nothing_behind() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let Some(folder) = end_a_drill("a_drill_that_is_told_to_end_leaves_nothing_behind", signal) else {
            return;
        };
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Ends a drill in its midst by a signal, checks that its daemons end too, and gives the folder in which it
/// made its files. `None` where it cannot run.
fn end_a_drill(test: &str, signal: i32) -> Option<Folder> {
    let folder = Folder::create().unwrap();
    let mut command = drill(&["--scenario", "stall", "--interval", "5", "--json"]);
    let mut child = command.env("TMPDIR", folder.path()).spawn().unwrap();
    let mut daemons = Vec::new();
    let start = Instant::now();
    // The daemons are there once the laboratory is built.
    while daemons.len() < 2 {
        if let Some(status) = child.try_wait().unwrap() {
            assert_eq!(status.code(), Some(EXIT_FORBIDDEN), "the drill ended early");
            skip::skip(test, "no right to create namespaces");
            return None;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "the drill starts no daemons");
        std::thread::sleep(Duration::from_millis(20));
        daemons = alived::sys::pid_namespace::descendants(child.id()).unwrap();
        daemons.retain(|process| {
            fs::read(format!("/proc/{process}/cmdline"))
                .is_ok_and(|line| line.windows(3).any(|window| window == b"-n\0"))
        });
    }
    alived::sys::process::signal(child.id(), signal);
    assert_eq!(child.wait().unwrap().signal(), Some(signal));
    let start = Instant::now();
    while daemons.iter().any(|process| Path::new(&format!("/proc/{process}")).exists()) {
        assert!(start.elapsed() < Duration::from_secs(10), "left behind: {daemons:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(folder)
}

#[test]
fn a_machine_that_forbids_namespaces_is_told_what_to_allow() {
    let test = "a_machine_that_forbids_namespaces_is_told_what_to_allow";
    // Limits of a user namespace bind everybody inside, its root included.
    let script = "echo 0 >/proc/sys/user/max_user_namespaces && echo 0 >/proc/sys/user/max_net_namespaces \
                  && echo limited >&2 && exec \"$0\" drill";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", script, env!("CARGO_BIN_EXE_alived")])
        .output();
    let output = match output {
        Ok(output) if String::from_utf8_lossy(&output.stderr).contains("limited") => output,
        Ok(output) => return skip::skip(test, &String::from_utf8_lossy(&output.stderr)),
        Err(error) => return skip::skip(test, &format!("unshare (util-linux) cannot be run: {error}")),
    };
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(EXIT_FORBIDDEN), "{text}");
    assert!(
        text.contains("user.max_user_namespaces=") && text.contains("user.max_net_namespaces="),
        "{text}"
    );
}

#[test]
fn a_wrong_command_line_is_explained() {
    let output = drill(&["--scenario", "earthquake"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("stall") && text.contains("--help"), "{text}");
}

/// The changes of state that a recording replays to.
fn replayed(folder: &Path) -> Vec<String> {
    let output =
        Command::new(env!("CARGO_BIN_EXE_alived")).arg("replay").arg(folder).arg("--json").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    // A killed daemon's ends in the midst of a record, perhaps; and nothing is otherwise than it was recorded.
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || errors.contains("cut off"), "{errors}");
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let line = |record: Value| {
        let word = |member: &str| record[member].as_str().unwrap_or_default().to_owned();
        format!("{} -> {}: {}", word("from"), word("to"), word("cause"))
    };
    records.filter(|record| record["kind"] == "transition").map(line).collect()
}

#[test]
fn recorded_incidents_replay_to_the_same_transitions() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("incidents");
    let scenarios = ["--scenario", "kill", "--scenario", "check", "--scenario", "stop"];
    let output = drill(&["--json", "--record"]).arg(&place).args(scenarios).output().unwrap();
    if let Some(reason) = forbidden(&output) {
        return skip::skip("recorded_incidents_replay_to_the_same_transitions", &reason);
    }
    check(&output, &["kill", "check", "stop"]);
    let of = |scenario: &str, router: &str| replayed(&place.join(scenario).join(router));
    // Whom the master left without a word, and whom it told.
    for (scenario, cause) in [("kill", "not heard"), ("check", "priority"), ("stop", "priority 0")] {
        let [master, successor] = ["r1", "r2"].map(|router| of(scenario, router));
        assert!(master.iter().any(|line| line.contains("-> MASTER")), "{scenario}: {master:?}");
        let took_over = successor.iter().any(|line| line.contains("-> MASTER") && line.contains(cause));
        assert!(took_over, "{scenario}: {successor:?}");
    }
    assert!(of("stop", "r1").last().unwrap().contains("-> INIT"), "{:?}", of("stop", "r1"));
}
