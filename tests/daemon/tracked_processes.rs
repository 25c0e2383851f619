//! Tracked processes of a real daemon: counted by looking at them, which is what a daemon in a network namespace of
//! its own has to do, and beside keepalived. That the kernel's events are understood and counted is tested where they
//! are read.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::host::{Host, instance};
use crate::skip;

const ADDRESS: &str = "192.0.2.50/24";

/// A program that sleeps under a name of its own.
struct Program {
    _folder: tempfile::TempDir,
    path: PathBuf,
    name: String,
}

impl Program {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Tests of one process run at the same time, and processes have no folder.
        let name = format!("{name}{}", std::process::id() % 10_000);
        let path = folder.path().join(&name);
        // By a process of its own: what another test forks meanwhile would hold a copy open that is made here, and what
        // is open for writing cannot be run.
        assert!(Command::new("cp").arg("/bin/sleep").arg(&path).status().unwrap().success());
        Self { _folder: folder, path, name }
    }

    fn start(&self, parameters: &[&str]) -> Running {
        Running(Command::new(&self.path).args(parameters).spawn().unwrap())
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process tracker with these settings, and a virtual router that depends on it.
fn tracking(priority: u8, settings: &str) -> String {
    let router = instance("VI_1", 51, priority, ADDRESS);
    let router = router.trim_end().strip_suffix('}').unwrap().to_owned();
    let process = format!("vrrp_track_process web {{\n    {settings}\n}}\n");
    format!("{process}{router}    track_process {{\n        web\n    }}\n}}\n")
}

fn follows_a_process(first: &mut Host, second: &mut Host, name: &str, weight: &str) {
    let program = Program::new(name);
    let running = program.start(&["600"]);
    first.configure(&tracking(110, &format!("process {}\n    {weight}", program.name)));
    second.configure(&instance("VI_1", 51, 100, ADDRESS));
    first.start(&[]);
    first.wait("the first router", |host| host.holds(ADDRESS));
    second.start(&[]);
    drop(running);
    second.wait("the second router", |host| host.holds(ADDRESS));
    first.wait("the first router to leave", |host| !host.holds(ADDRESS));
    let _running = program.start(&["600"]);
    first.wait("the first router to come back", |host| host.holds(ADDRESS));
    second.wait("the second router to leave", |host| !host.holds(ADDRESS));
}

#[test]
fn a_process_that_ends_hands_over_by_priority_and_back() {
    let Some((mut first, mut second)) = Host::pair() else { return };
    follows_a_process(&mut first, &mut second, "trkprio", "weight -20");
    first.wait_for_lines("Changing effective priority from 110 to 90", 1);
    first.wait_for_lines("Changing effective priority from 90 to 110", 1);
}

#[test]
fn a_process_that_ends_is_a_fault_without_a_weight() {
    let Some((mut first, mut second)) = Host::pair() else { return };
    follows_a_process(&mut first, &mut second, "trkfault", "weight 0");
    first.wait_for_lines("process web failed", 1);
    first.wait_for_lines("Quorum lost for tracked process web, 0 run", 1);
    first.wait_for_lines("Quorum gained for tracked process web, 1 run", 1);
}

#[test]
fn a_keepalived_takes_over_from_us_when_our_process_ends() {
    let Some((mut ours, mut keepalived)) = Host::beside_keepalived() else { return };
    follows_a_process(&mut ours, &mut keepalived, "trkbeside", "weight -20");
}

#[test]
fn processes_are_told_apart_by_their_command_lines() {
    let Some(mut host) = Host::new() else { return };
    let program = Program::new("trkline");
    let path = program.path.display().to_string();
    let _running = [program.start(&["600"]), program.start(&["600", "1"]), program.start(&["601"])];
    let short = Path::new(&program.name).display().to_string();
    for (settings, count) in [
        (format!("process {short}"), 3),
        (format!("process \"{path}\"\n    full_command"), 3),
        (format!("process \"{path}\" 600"), 1),
        (format!("process \"{path}\" 60\n    param_match initial"), 3),
        (format!("process \"{path}\" 600\n    param_match partial"), 2),
        (format!("process \"{short}\" 600"), 0),
    ] {
        host.configure(&tracking(100, &settings));
        if host.log().is_empty() {
            host.start(&[]);
        } else {
            let reloads = host.log().matches("Reloaded").count();
            host.signal(libc::SIGHUP);
            host.wait_for_lines("Reloaded", reloads + 1);
        }
        let mut shown = String::new();
        host.wait(&format!("{count} of {settings}"), |host| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_alived"));
            let output = command.args(["status", "-r"]).arg(host.path("vrrp.pid")).output().unwrap();
            shown = String::from_utf8(output.stdout).unwrap();
            shown.contains(&format!(
                "process web: {}, {count} run\n",
                if count > 0 { "good" } else { "failed" }
            ))
        });
    }
}

#[test]
fn a_quorum_has_two_ends_and_delays() {
    let Some(mut host) = Host::new() else { return };
    let program = Program::new("trkquorum");
    let settings = format!("process {}\n    quorum_max 1\n    terminate_delay 0.8", program.name);
    host.configure(&tracking(100, &settings));
    let first = program.start(&["600"]);
    host.start(&[]);
    host.wait("mastership", |host| host.holds(ADDRESS));
    let second = program.start(&["600"]);
    host.wait_for_lines("Quorum lost for tracked process web, 2 run", 1);
    host.wait("the end of mastership", |host| !host.holds(ADDRESS));
    drop(second);
    host.wait_for_lines("Quorum gained for tracked process web, 1 run", 1);
    host.wait("mastership again", |host| host.holds(ADDRESS));
    drop(first);
    host.wait_for_lines("Quorum lost for tracked process web, 0 run", 1);
}

/// A daemon that enters its network namespace by itself comes from one in which the kernel tells of processes.
#[test]
fn a_daemon_that_enters_its_namespace_hears_of_processes_from_the_kernel() {
    let Some(mut host) = Host::new() else { return };
    let test = "a_daemon_that_enters_its_namespace_hears_of_processes_from_the_kernel";
    let heard = alived::sys::process_events::ProcessSocket::open()
        .and_then(|socket| alived::sys::process_events::ProcessEvents::listen(socket, 1 << 16));
    if let Err(error) = heard {
        return skip::skip(test, &format!("the kernel tells this process nothing of others: {error}"));
    }
    let program = Program::new("trkevents");
    host.configure(&tracking(100, &format!("process {}", program.name)));
    host.start_through(
        "exec unshare --mount sh -c 'mount -t tmpfs none /run && mkdir /run/netns && touch /run/netns/blue \
         && mount --bind /proc/self/ns/net /run/netns/blue \
         && exec nsenter --net=/proc/$PPID/ns/net % \"$@\"' sh \"$@\"",
    );
    host.start(&["-s", "blue"]);
    assert!(!host.log().contains("tracked processes are looked for"), "{}", host.log());
    host.wait_for_lines("process web failed", 1);
    let running = program.start(&["600"]);
    host.wait_for_lines("Quorum gained for tracked process web, 1 run", 1);
    host.wait("mastership", |host| host.holds(ADDRESS));
    drop(running);
    host.wait_for_lines("Quorum lost for tracked process web, 0 run", 1);
    // Thousands of processes that do not count come and go.
    let begun = std::time::Instant::now();
    for _ in 0..3_000 {
        Command::new("/bin/true").status().unwrap();
    }
    let storm = begun.elapsed();
    let _running = program.start(&["600"]);
    host.wait_for_lines("Quorum gained for tracked process web, 1 run", 2);
    // Another worker goes on with the socket that the first process holds.
    alived::sys::process::signal(host.worker(), libc::SIGKILL);
    host.wait_for_lines("going on with the configuration that was in force", 1);
    host.wait_for_lines("Quorum gained for tracked process web, 1 run", 3);
    assert!(!host.log().contains("tracked processes are looked for"), "{storm:?}\n{}", host.log());
}
