//! `alived restart` under the eyes of another router and of a host: who notices, what is refused, what is left when nobody
//! goes on.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use alived::kernel::KernelEvent;
use alived::sys::netlink::{Monitor, Ownership};
use alived::sys::process::signal;
use alived::sys::signals::Signal;
use serde_json::Value;

use crate::host::{Host, instance};
use crate::{ip, nft};

const ADDRESS: &str = "192.0.2.50/24";
const GLOBAL: &str = "global_defs {\n    script_user root\n}\n";

/// A master and its backup, with a master-down time of 3 s. The first one runs a copy of the program, and notes in
/// `calls` what a hook is told.
fn pair() -> Option<(Host, Host)> {
    let (mut first, mut second) = Host::pair()?;
    first.copy_program();
    let hook = first.path("hook");
    let text = format!("#!/bin/sh\necho \"$3\" >> {}\n", first.path("calls").display());
    fs::write(&hook, text).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    first.configure(&(GLOBAL.to_owned() + &router(150, &format!("    notify {}\n", hook.display()))));
    second.configure(&router(100, ""));
    first.start(&[]);
    first.wait_for_lines("Entering MASTER STATE", 1);
    first.wait("the hook", |host| calls(host).ends_with("MASTER\n"));
    second.start(&[]);
    second.wait("the backup to hear the master", |host| status(host)["master"]["priority"] == 150);
    Some((first, second))
}

/// With an interval of 1 s, and more lines.
fn router(priority: u8, lines: &str) -> String {
    let text = instance("VI_1", 51, priority, ADDRESS).replace("advert_int 0.1", "advert_int 1");
    text.trim_end().strip_suffix('}').unwrap().to_owned() + lines + "}\n"
}

fn calls(host: &Host) -> String {
    fs::read_to_string(host.path("calls")).unwrap_or_default()
}

/// The state of the one router.
fn status(host: &Host) -> Value {
    let output = host.alived(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    status["routers"][0].clone()
}

fn restart(host: &mut Host) {
    let (supervisor, worker) = (host.supervisor(), host.worker());
    let (text, code) = host.says(&["restart"]);
    assert!(code == 0 && text.contains("goes on for v"), "{text}\n{}", host.log());
    assert_eq!(host.supervisor(), supervisor, "the process stays");
    assert_ne!(host.worker(), worker);
}

fn stop(host: &mut Host) {
    host.signal(libc::SIGTERM);
    assert_eq!(host.wait_for_end().code(), Some(0), "{}", host.log());
}

/// Puts a program in the place of the host's, as an upgrade does.
fn install(host: &Host, bytes: &[u8]) {
    let new = host.path("alived.new");
    fs::write(&new, bytes).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, host.path("alived")).unwrap();
}

fn install_script(host: &Host, text: &str) {
    install(host, format!("#!/bin/sh\n{}\n", text.replace('%', env!("CARGO_BIN_EXE_alived"))).as_bytes());
}

/// One packet a millisecond from one host to the virtual address, each of which has to be answered.
struct Probes {
    ends: Arc<AtomicBool>,
    asks: JoinHandle<(usize, usize)>,
    answers: JoinHandle<()>,
}

const PORT: u16 = 7007;

impl Probes {
    fn start(from: &Host, to: &Host) -> Self {
        let socket = |host: &Host, port| {
            let open = move || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
            let socket = host.namespace.run(open).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            socket
        };
        let (near, far) = (socket(from, 0), socket(to, PORT));
        let ends = Arc::new(AtomicBool::new(false));
        let (asks_end, answers_end) = (Arc::clone(&ends), Arc::clone(&ends));
        let replies = near.try_clone().unwrap();
        let answered = Arc::new(AtomicUsize::new(0));
        let count = std::thread::spawn({
            let (ends, answered) = (Arc::clone(&ends), Arc::clone(&answered));
            move || {
                let mut quiet = 0;
                // What is under way when it ends arrives within a second.
                while quiet < 20 {
                    match replies.recv(&mut [0; 16]) {
                        Ok(_) => {
                            answered.fetch_add(1, Ordering::Relaxed);
                            quiet = 0;
                        }
                        Err(_) => quiet += usize::from(ends.load(Ordering::Relaxed)),
                    }
                }
            }
        });
        let asks = std::thread::spawn(move || {
            let mut asked: usize = 0;
            // On a busy machine these threads stand still: what waits for them fits into the sockets.
            let mut waits = 0;
            while !asks_end.load(Ordering::Relaxed) {
                // A refusal (no neighbour, no route) is a probe lost, too.
                let _ = near.send_to(&asked.to_be_bytes(), "192.0.2.50:7007");
                asked += 1;
                std::thread::sleep(Duration::from_millis(1));
                while asked - answered.load(Ordering::Relaxed) > 100 && waits < 10_000 {
                    waits += 1;
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            count.join().unwrap();
            (asked, answered.load(Ordering::Relaxed))
        });
        let answers = std::thread::spawn(move || {
            let mut buffer = [0; 16];
            let mut quiet = 0;
            while quiet < 20 {
                match far.recv_from(&mut buffer) {
                    Ok((length, from)) => {
                        quiet = 0;
                        let _ = far.send_to(&buffer[..length], from);
                    }
                    Err(_) => quiet += usize::from(answers_end.load(Ordering::Relaxed)),
                }
            }
        });
        Self { ends, asks, answers }
    }

    /// How many were sent and answered.
    fn end(self) -> (usize, usize) {
        self.ends.store(true, Ordering::Relaxed);
        let counts = self.asks.join().unwrap();
        self.answers.join().unwrap();
        counts
    }
}

#[test]
fn neither_another_router_nor_a_host_notices_an_upgrade() {
    let Some((mut first, mut second)) = pair() else { return };
    let mut monitor = first.namespace.run(|| Monitor::open(Ownership::Mark).unwrap()).unwrap();
    let probes = Probes::start(&second, &first);
    let before = calls(&first);
    for round in 1..=2 {
        // Another file, another program.
        let mut bytes = fs::read(env!("CARGO_BIN_EXE_alived")).unwrap();
        bytes.extend_from_slice(&[0; 7]);
        install(&first, &bytes);
        restart(&mut first);
        let runs = fs::metadata(format!("/proc/{}/exe", first.supervisor())).unwrap().ino();
        assert_eq!(runs, fs::metadata(first.path("alived")).unwrap().ino());
        first.wait_for_lines("restarted: v", round);
        assert_eq!(status(&first)["state"], "MASTER");
    }
    // If the other one had missed something it would say so within a master-down time.
    std::thread::sleep(Duration::from_secs(4));
    let (sent, answered) = probes.end();
    assert!(sent > 1000 && sent == answered, "{sent} sent, {answered} answered\n{}", first.log());
    let mut events = Vec::new();
    monitor.drain(10_000, &mut events).unwrap();
    let gone = events.iter().filter(|event| matches!(event, KernelEvent::AddressGone { .. })).count();
    assert_eq!(gone, 0, "{}", first.log());
    assert_eq!(second.log().matches("Entering").count(), 1, "{}\n{}", second.log(), first.log());
    assert_eq!(calls(&first), before, "nobody is told of what is no change");
    // A guardian ends with the restart.
    first.wait("the guardians to end", |host| !children(host).contains("alived-guardian"));
    // And a stop is a stop.
    stop(&mut first);
    assert!(!first.holds(ADDRESS));
    second.wait("the other one to take over", |host| host.holds(ADDRESS));
    assert!(!first.path("vrrp.legacy").exists());
}

/// Names of the supervisor's children.
fn children(host: &Host) -> String {
    let pid = host.supervisor();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let name = |child: &str| fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
    children.split_whitespace().map(name).collect()
}

#[test]
fn what_is_not_good_is_refused_and_nothing_happens() {
    let Some((mut first, second)) = pair() else { return };
    let (supervisor, worker) = (first.supervisor(), first.worker());
    let refused = |host: &Host, words: &str| {
        let (text, code) = host.says(&["restart"]);
        assert!(code == 1 && text.contains(words), "{words}: {text}\n{}", host.log());
        assert!(text.contains("no restart, the daemon goes on as it is"), "{text}");
        assert_eq!((host.supervisor(), host.worker()), (supervisor, worker));
    };
    let good = fs::read_to_string(first.path("keepalived.conf")).unwrap();
    first.configure("vrrp_instance VI_1 {\n");
    refused(&first, "the configuration is not good");
    first.configure(GLOBAL);
    refused(&first, "no virtual router any more");
    first.configure(&good);
    install(&first, b"this is no program");
    refused(&first, "cannot be used");
    install(&first, &fs::read("/bin/true").unwrap());
    refused(&first, "none that can go on for this one");
    install_script(&first, "echo out of order; exit 3");
    refused(&first, "ended with status 3");
    refused(&first, "out of order");
    fs::remove_file(first.path("alived")).unwrap();
    refused(&first, "cannot execute");
    install(&first, &fs::read(env!("CARGO_BIN_EXE_alived")).unwrap());
    restart(&mut first);
    assert_eq!(second.log().matches("Entering").count(), 1, "{}\n{}", second.log(), first.log());
    assert!(first.holds(ADDRESS));
}

#[test]
fn a_program_that_does_not_go_on_leaves_to_the_other_router() {
    let Some((mut first, mut second)) = pair() else { return };
    install_script(&first, "case \"$ALIVED_RESTART\" in judge*) exec % \"$@\";; esac\nexit 7");
    let (text, code) = first.says(&["restart"]);
    assert!(code != 0 && text.contains("no other process has gone on"), "{text}");
    assert_eq!(first.wait_for_end().code(), Some(7));
    second.wait("the other one to take over", |host| host.holds(ADDRESS));
    assert!(!first.holds(ADDRESS), "{}", first.log());
}

#[test]
fn a_program_that_hangs_when_the_worker_has_left_does_not_keep_its_addresses() {
    let Some((mut first, mut second)) = pair() else { return };
    install_script(&first, "case \"$ALIVED_RESTART\" in judge*) exec % \"$@\";; esac\nexec sleep 1000");
    let mut command = Command::new(env!("CARGO_BIN_EXE_alived"));
    let mut waiting = command.arg("restart").arg("-r").arg(first.path("vrrp.pid")).spawn().unwrap();
    let (supervisor, worker) = (first.supervisor(), first.worker());
    let name = || fs::read_to_string(format!("/proc/{supervisor}/comm")).unwrap();
    first.wait("the program to hang", |_| name() == "sleep\n");
    assert!(first.holds(ADDRESS), "the old worker serves: {}", first.log());
    signal(worker, Signal::Leave.number());
    second.wait("the other one to take over", |host| host.holds(ADDRESS));
    first.wait("the guardian", |host| !host.holds(ADDRESS));
    first.wait_for_lines("no worker goes on: removed 1 virtual addresses", 1);
    assert_eq!(name(), "sleep\n");
    signal(supervisor, libc::SIGKILL);
    first.wait_for_end();
    waiting.kill().unwrap();
    waiting.wait().unwrap();
}

/// Everything that a router may have in the kernel.
fn with_everything() -> String {
    let lines = "    use_vmac vrrp.51\n    virtual_routes {\n        198.51.100.0/24 via 192.0.2.2 dev lan0\n    }\n    \
                 virtual_rules {\n        from 203.0.113.0/24 table 100 priority 777\n    }\n";
    router(150, lines)
}

#[test]
fn a_guardian_removes_what_killed_workers_leave_when_nobody_goes_on() {
    let test = "a_guardian_removes_what_killed_workers_leave_when_nobody_goes_on";
    if !ip::is_there(test) {
        return;
    }
    let Some(mut first) = Host::new() else { return };
    first.wait_for_carrier();
    first.copy_program();
    first.configure(&with_everything());
    first.start(&[]);
    first.wait("the address", |host| host.holds(ADDRESS));
    let objects = |host: &Host| {
        let links = ip::lines(host, "-o link", "vrrp.51").len();
        let routes = ip::lines(host, "route", "198.51.100.0/24").len();
        let rules = ip::lines(host, "rule", "203.0.113.0/24").len();
        let tables = nft::rules(host).map_or(0, |text| text.matches("comment \"alived").count());
        (links, routes, rules, tables)
    };
    first.wait("the route and the rule", |host| (objects(host).1, objects(host).2) == (1, 1));
    let before = objects(&first);
    assert_eq!(before.0, 1);
    // Neither of them can tidy up any more.
    let kill = format!("kill -KILL $(cat {})", first.path("vrrp.pid").display());
    install_script(
        &first,
        &format!("case \"$ALIVED_RESTART\" in judge*) exec % \"$@\";; esac\n{kill}\nexit 7"),
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_alived"));
    let mut waiting = command.arg("restart").arg("-r").arg(first.path("vrrp.pid")).spawn().unwrap();
    assert_eq!(first.wait_for_end().code(), Some(7));
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    first.wait("all to be removed", |host| !host.holds(ADDRESS) && objects(host) == (0, 0, 0, 0));
    first.wait_for_lines("the restart has failed: removed", 1);
    assert!(!first.path("vrrp.leftovers").exists());
}

#[test]
fn a_virtual_mac_its_filter_routes_and_rules_stay() {
    let test = "a_virtual_mac_its_filter_routes_and_rules_stay";
    if !ip::is_there(test) {
        return;
    }
    let Some(mut first) = Host::new() else { return };
    first.wait_for_carrier();
    first.configure(&with_everything());
    first.start(&[]);
    first.wait("the address", |host| host.holds(ADDRESS));
    let kept = |host: &Host| {
        let link = ip::ip(host, "-o link show vrrp.51");
        let index = link.split(':').next().unwrap_or_default().to_owned();
        let routes = ip::lines(host, "route", "198.51.100.0/24");
        (index, routes, ip::lines(host, "rule", "203.0.113.0/24"), nft::rules(host))
    };
    first.wait("the route and the rule", |host| {
        let (_, routes, rules, _) = kept(host);
        (routes.len(), rules.len()) == (1, 1)
    });
    let before = kept(&first);
    let mut monitor = first.namespace.run(|| Monitor::open(Ownership::Mark).unwrap()).unwrap();
    restart(&mut first);
    first.wait_for_lines("restarted: v", 1);
    assert_eq!(kept(&first), before, "{}", first.log());
    let mut events = Vec::new();
    monitor.drain(10_000, &mut events).unwrap();
    let gone = |event: &&KernelEvent| {
        matches!(
            event,
            KernelEvent::AddressGone { .. } | KernelEvent::RouteGone(_) | KernelEvent::LinkGone(_)
        )
    };
    assert_eq!(events.iter().filter(gone).count(), 0, "{events:?}\n{}", first.log());
    stop(&mut first);
    assert!(!first.holds(ADDRESS) && ip::lines(&first, "-o link", "vrrp.51").is_empty());
}

#[test]
fn what_an_operator_said_survives() {
    let Some((mut first, mut second)) = pair() else { return };
    // Handed over: the better priority does not count.
    assert_eq!(first.says(&["failover", "VI_1", "--for", "1h"]).1, 0);
    second.wait("the other one to be master", |host| status(host)["state"] == "MASTER");
    restart(&mut first);
    first.wait("the master to be heard", |host| status(host)["master"]["priority"] == 100);
    let state = status(&first);
    assert_eq!((&state["state"], &state["switched_over"]), (&"BACKUP".into(), &"done".into()), "{state}");
    // Back, and out of the election.
    assert_eq!(first.says(&["failback", "VI_1"]).1, 0);
    first.wait("mastership", |host| status(host)["state"] == "MASTER");
    assert_eq!(first.says(&["maintenance", "on"]).1, 0);
    first.wait("the hook", |host| calls(host).ends_with("FAULT\n"));
    let told = calls(&first);
    restart(&mut first);
    first.wait("maintenance", |host| status(host)["state"] == "MAINTENANCE");
    assert!(first.says(&["maintenance"]).0.contains("maintenance is on"));
    assert_eq!(second.log().matches("Entering").count(), 4, "B M B M: {}", second.log());
    assert_eq!(calls(&first), told, "nobody is told of what is no change");
    assert_eq!(first.says(&["maintenance", "off"]).1, 0);
    first.wait("mastership", |host| status(host)["state"] == "MASTER");
}

#[test]
fn a_daemon_in_the_background_restarts_where_its_files_are_relative() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.wait_for_carrier();
    let mut command = Command::new(env!("CARGO_BIN_EXE_alived"));
    command.args(["-G", "-f", "keepalived.conf", "-glog", "-p"]);
    command.arg(host.path("keepalived.pid")).arg("-r").arg(host.path("vrrp.pid"));
    command.arg("-c").arg(host.path("checkers.pid")).env("TMPDIR", host.path("")).current_dir(host.path(""));
    host.namespace.contain(&mut command);
    assert!(command.status().unwrap().success());
    host.wait("the address", |host| host.holds(ADDRESS));
    restart(&mut host);
    host.wait_for_lines("restarted: v", 1);
    assert_eq!(fs::read_link(format!("/proc/{}/cwd", host.supervisor())).unwrap(), Path::new("/"));
    assert!(host.holds(ADDRESS), "{}", host.log());
    let (supervisor, worker) = (host.supervisor(), host.worker());
    signal(supervisor, libc::SIGTERM);
    host.wait("the end", |_| {
        ![supervisor, worker].iter().any(|pid| Path::new(&format!("/proc/{pid}/exe")).exists())
    });
    assert!(!host.holds(ADDRESS));
}
