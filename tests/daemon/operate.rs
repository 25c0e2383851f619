//! What an operator asks a running daemon for, through the commands and the real socket: events, plans, counters.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::host::{Host, instance};

const ADDRESS: &str = "192.0.2.50/24";

/// A subcommand that asks this host's daemon.
fn command(host: &Host, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alived"));
    command.args(words).arg("-r").arg(host.path("vrrp.pid"));
    command
}

fn out(host: &Host, words: &[&str]) -> String {
    let output = host.alived(words);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}\n{}", host.log());
    String::from_utf8(output.stdout).unwrap()
}

fn json(host: &Host, words: &[&str]) -> Value {
    serde_json::from_str(&out(host, words)).unwrap()
}

/// A command that goes on until it is killed.
struct Running(Child, BufReader<std::process::ChildStdout>);

impl Running {
    fn start(host: &Host, words: &[&str]) -> Self {
        let mut child = command(host, words).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self(child, output)
    }

    /// Reads lines up to one with these words.
    fn wait_for(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.1.read_line(&mut line).unwrap() > 0, "it ended before it said `{words}`");
            if line.contains(words) {
                return line;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn events_are_kept_with_their_causes_and_followed() {
    let Some(mut host) = Host::with_master(ADDRESS) else { return };
    let text = out(&host, &["events"]);
    for part in ["VI_1: INIT -> BACKUP", "VI_1: BACKUP -> MASTER, priority 100: no master heard", " started"]
    {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    let lines = out(&host, &["events", "VI_1", "--json", "-n", "1"]);
    let event: Value = serde_json::from_str(&lines).unwrap();
    assert_eq!((&event["kind"], &event["to"]), (&"transition".into(), &"MASTER".into()), "{event}");
    assert!(event["cause"].as_str().unwrap().contains("master-down time"), "{event}");

    let mut all = Running::start(&host, &["events", "-f"]);
    let mut other = Running::start(&host, &["events", "--follow", "--json", "VI_9"]);
    all.wait_for("BACKUP -> MASTER");
    host.configure(&instance("VI_1", 51, 120, ADDRESS));
    out(&host, &["reload"]);
    let line = all.wait_for("reloaded: ");
    assert!(line.contains("virtual router VI_1: priority 100 -> 120"), "{line}");
    host.configure("vrrp_instance VI_1 {\n    virtual_router_id 300\n}\n");
    assert_eq!(host.alived(&["reload"]).status.code(), Some(1));
    all.wait_for("reload refused: ");
    host.signal(libc::SIGRTMIN() + 3);
    all.wait_for("VI_1: switching over");
    all.wait_for("VI_1: nobody took over");

    host.signal(libc::SIGTERM);
    all.wait_for("VI_1: MASTER -> INIT");
    assert_eq!(host.wait_for_end().code(), Some(0));
    assert_eq!(all.0.wait().unwrap().code(), Some(3), "it says that the daemon has ended");
    let mut rest = String::new();
    other.1.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "who asks for one router hears of no other");
}

#[test]
fn followers_that_do_not_read_cost_nothing() {
    let Some(mut host) = Host::with_master(ADDRESS) else { return };
    let request = b"{\"version\":1,\"command\":{\"name\":\"events\",\"follow\":true}}\n";
    let connect = || {
        let mut stream = UnixStream::connect(host.path("vrrp.sock")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(request).unwrap();
        stream
    };
    let first_line = |stream: &UnixStream| {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()
    };
    let followers: Vec<UnixStream> = (0..32).map(|_| connect()).collect();
    for follower in &followers {
        assert!(first_line(follower)["result"]["events"].is_array());
    }
    assert_eq!(first_line(&connect())["error"]["code"], "busy", "so many and no more");
    for round in 0..20 {
        host.configure(&instance("VI_1", 51, 100 + round, ADDRESS));
        out(&host, &["reload"]);
    }
    assert_eq!(json(&host, &["status", "--json"])["routers"][0]["state"], "MASTER");
    // One that goes away makes room for another.
    drop(followers);
    host.wait("room for another follower", |host| {
        host.configure(&instance("VI_1", 51, 90, ADDRESS));
        out(host, &["reload"]);
        let mut stream = UnixStream::connect(host.path("vrrp.sock")).unwrap();
        stream.write_all(request).unwrap();
        first_line(&stream)["result"]["events"].is_array()
    });
}

#[test]
fn a_plan_tells_what_a_reload_would_change_and_changes_nothing() {
    let Some(host) = Host::with_master(ADDRESS) else { return };
    host.write(
        "new.conf",
        &(instance("VI_1", 51, 120, ADDRESS) + &instance("VI_2", 52, 90, "192.0.2.52/24")),
    );
    let new = host.path("new.conf");
    let new = new.to_str().unwrap();
    let before = json(&host, &["status", "--json"]);
    let text = out(&host, &["plan", new]);
    assert!(text.contains("virtual router VI_1: priority 100 -> 120"), "{text}");
    assert!(text.contains("virtual router VI_2 is new"), "{text}");
    let plan = json(&host, &["plan", new, "--json"]);
    let changes: Vec<&str> =
        plan["objects"].as_array().unwrap().iter().map(|object| object["change"].as_str().unwrap()).collect();
    assert_eq!(changes, ["added", "changed"], "{plan}");
    assert_eq!(plan["needs_restart"], Value::Array(Vec::new()));
    let same = out(&host, &["plan", host.path("keepalived.conf").to_str().unwrap()]);
    assert_eq!(same, "nothing is changed\n1 objects stay as they are\n");

    host.write(
        "settings.conf",
        &format!("global_defs {{\n    vrrp_priority -5\n}}\n{}", instance("VI_1", 51, 100, ADDRESS)),
    );
    let text = out(&host, &["plan", host.path("settings.conf").to_str().unwrap()]);
    assert!(text.contains("vrrp_priority: changes with a restart only"), "{text}");

    for (file, text) in
        [("bad.conf", "vrrp_instance VI_1 {\n    virtual_router_id 300\n}\n"), ("empty.conf", "")]
    {
        host.write(file, text);
        let output = host.alived(&["plan", host.path(file).to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("would be refused"), "{output:?}");
    }
    let after = json(&host, &["status", "--json"]);
    for member in ["since_unix_us", "priority", "addresses"] {
        assert_eq!(after["routers"][0][member], before["routers"][0][member]);
    }
    assert_eq!(after["daemon"]["last_reload"], Value::Null);
}

#[test]
fn counters_are_shown_and_the_state_is_watched() {
    let Some(host) = Host::with_master(ADDRESS) else { return };
    let stats = json(&host, &["stats", "--json"]);
    let counters = &stats["routers"][0]["counters"];
    assert_eq!(counters["became_master"], 1);
    assert!(counters["advertisements_sent"].as_u64().unwrap() > 0, "{stats}");
    let text = out(&host, &["stats"]);
    assert!(
        text.starts_with("VI_1\n") && text.contains("became master: 1\n") && text.contains("timers late")
    );
    assert!(!text.contains("stalls"), "what is 0 is left out: {text}");
    assert!(out(&host, &["stats", "VI_1"]).contains("  stalls: 0\n"));
    assert_eq!(host.alived(&["stats", "VI_9"]).status.code(), Some(1));

    let mut watch = Running::start(&host, &["status", "VI_1", "--watch"]);
    watch.wait_for("VI_1: MASTER");
    watch.wait_for("VI_1: MASTER");
}
