//! Which configuration the daemon runs with: when a worker was killed, when a file is just being written, when a reload
//! was asked for and nobody was there.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use alived::sys::process::signal;

use crate::host::{Host, instance};

const ADDRESS: &str = "192.0.2.50/24";
const GOING_ON: &str = "going on with the configuration that was in force";

/// A master of priority 100.
fn master() -> Option<Host> {
    let mut host = Host::new()?;
    host.configure(&instance("VI_1", 51, 100, ADDRESS));
    host.write("alived.toml", "realtime = \"off\"\n");
    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", 1);
    host.wait("the address", |host| host.holds(ADDRESS));
    Some(host)
}

/// What the worker runs with.
fn assert_priority(host: &mut Host, priority: u8) {
    let dumps = host.log().matches("wrote").count();
    host.signal(libc::SIGUSR1);
    host.wait_for_lines("wrote", dumps + 1);
    let data = fs::read_to_string(host.path("keepalived.data")).unwrap();
    assert!(data.contains(&format!("Priority = {priority}\n")), "{data}\n{}", host.log());
}

#[test]
fn a_worker_that_replaces_another_runs_what_was_in_force() {
    let Some(mut host) = master() else { return };
    host.configure(&format!("# reloaded\n{}", instance("VI_1", 51, 120, ADDRESS)));
    host.signal(libc::SIGHUP);
    host.wait_for_lines("Reloaded", 1);
    // A good one that nobody asked for, then a bad one, and settings that cannot be read.
    for (round, text) in
        [instance("VI_1", 51, 90, ADDRESS), "vrrp_instance VI_1 {\n".to_owned()].iter().enumerate()
    {
        host.configure(text);
        host.write("alived.toml", if round == 0 { "realtime = 7\n" } else { "realtime =\n" });
        signal(host.worker(), libc::SIGKILL);
        host.wait_for_lines(GOING_ON, round + 1);
        host.wait_for_lines("Entering MASTER STATE", round + 2);
        host.wait("the address", |host| host.holds(ADDRESS));
        assert_priority(&mut host, 120);
    }
    host.signal(libc::SIGHUP);
    host.wait_for_lines("was not reloaded", 1);
    assert_priority(&mut host, 120);
    host.configure(&instance("VI_1", 51, 90, ADDRESS));
    host.write("alived.toml", "");
    host.signal(libc::SIGHUP);
    host.wait_for_lines("Reloaded", 2);
    assert_priority(&mut host, 90);
}

#[test]
fn a_worker_that_is_killed_while_the_interface_is_missing_is_replaced_all_the_same() {
    let Some(mut host) = master() else { return };
    let lan = host.lan();
    host.socket.delete(lan).unwrap();
    host.wait_for_lines("Entering FAULT STATE", 1);
    signal(host.worker(), libc::SIGKILL);
    host.wait_for_lines(GOING_ON, 1);
    host.wait_for_lines("Entering FAULT STATE", 2);
    host.plug_in();
    host.wait_for_lines("Entering MASTER STATE", 2);
    host.wait("the address", |host| host.holds(ADDRESS));
}

#[test]
fn a_reload_that_a_killed_worker_did_not_begin_is_left_to_the_next_one() {
    let Some(mut host) = master() else { return };
    host.configure(&instance("VI_1", 51, 120, ADDRESS));
    // It cannot begin it.
    let worker = host.worker();
    signal(worker, libc::SIGSTOP);
    host.signal(libc::SIGHUP);
    let pending = |host: &mut Host| {
        let status = fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("ShdPnd:")).unwrap();
        let _ = host;
        u64::from_str_radix(line.rsplit('\t').next().unwrap(), 16).unwrap() & 1 != 0
    };
    host.wait("the signal to arrive", pending);
    signal(worker, libc::SIGKILL);
    host.wait_for_lines("Reloaded", 1);
    assert_priority(&mut host, 120);
    // In the pause between two workers.
    host.configure(&instance("VI_1", 51, 90, ADDRESS));
    signal(host.worker(), libc::SIGKILL);
    host.wait_for_lines("Respawning in 1 seconds", 1);
    host.signal(libc::SIGHUP);
    host.wait_for_lines("Reloaded", 2);
    assert_priority(&mut host, 90);
    // One that was begun is not begun again.
    signal(host.worker(), libc::SIGKILL);
    host.wait_for_lines(GOING_ON, 3);
    host.wait_for_lines("Startup complete", 4);
    assert_priority(&mut host, 90);
    assert_eq!(host.log().matches("Reloading").count(), 2, "{}", host.log());
}

/// Ends a loop in another thread, also when this one fails.
struct EndOf<'a>(&'a AtomicBool);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_file_that_goes_on_changing_while_it_is_read_is_refused() {
    let Some(mut host) = master() else { return };
    let (path, new) = (host.path("more.conf"), host.path("new"));
    fs::write(&path, "").unwrap();
    // What takes long to read after it gives the writer its time.
    let long = "! a comment\n".repeat(100_000);
    host.configure(&format!("include more.conf\n{long}{}", instance("VI_1", 51, 120, ADDRESS)));
    let refusal = format!("`{}` goes on changing", path.display());
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let end = EndOf(&ended);
        scope.spawn(|| {
            for round in 0..10_000_000 {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                fs::write(&new, "#".repeat(round % 100)).unwrap();
                fs::rename(&new, &path).unwrap();
            }
        });
        // On a busy machine it may stand still for the time of a reading.
        for reload in 1..=100 {
            host.signal(libc::SIGHUP);
            host.wait("the end of the reload", |host| {
                let log = host.log();
                log.matches("Reloaded").count() + log.matches("was not reloaded").count() == reload
            });
            if host.log().contains(&refusal) {
                break;
            }
        }
        drop(end);
    });
    assert!(host.log().contains(&refusal), "{}", host.log());
    let reloaded = host.log().matches("Reloaded").count();
    host.signal(libc::SIGHUP);
    host.wait_for_lines("Reloaded", reloaded + 1);
    assert_priority(&mut host, 120);
}

/// Errors that the operator has lived with since the start, and those that a rule settles, keep no reload from being
/// taken; any other does.
#[test]
fn errors_that_are_in_force_already_refuse_no_reload() {
    let Some(mut host) = Host::new() else { return };
    let with = |more: &str| {
        let router = instance("VI_1", 51, 100, ADDRESS);
        router.replace(
            "    version",
            &format!("    state MASTER\n    nopreempt\n    nonsense 3\n{more}    version"),
        )
    };
    host.configure(&with(""));
    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", 1);
    host.configure(&format!(
        "# other lines\n\n{}",
        with("    priority 90\n    track_interface {\n lan0\n }\n")
    ));
    host.signal(libc::SIGHUP);
    host.wait_for_lines("Reloaded", 1);
    host.configure(&with("    nonsence 3\n"));
    host.signal(libc::SIGHUP);
    host.wait_for_lines("was not reloaded", 1);
    // The next worker knows them too.
    signal(host.worker(), libc::SIGKILL);
    host.wait_for_lines("Startup complete", 2);
    host.configure(&with(""));
    host.signal(libc::SIGHUP);
    host.wait_for_lines("Reloaded", 2);
    host.signal(libc::SIGTERM);
    assert_eq!(host.wait_for_end().code(), Some(0), "{}", host.log());
}
