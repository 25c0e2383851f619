//! A stop at any moment of a start ends the daemon, and nothing of it is left.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use alived::sys::process::signal;

use crate::host::{Host, instance};
use crate::soak;

const ADDRESS: &str = "192.0.2.50/24";

/// Delays of the stop go from 0 to this, or to what a start takes if that is more.
const DELAY: Duration = Duration::from_millis(30);

/// An owner: its address is there as soon as it runs.
fn host_with_owner() -> Option<Host> {
    let host = Host::new()?;
    host.configure(&instance("VI_1", 51, 255, ADDRESS));
    Some(host)
}

/// Starts the daemon so many times, sends TERM to the process that was started after ever longer delays, and hands
/// `judge` what became of it.
fn stop_starts(host: &mut Host, flags: &[&str], longest: Duration, judge: fn(&mut Host, ExitStatus)) {
    let count = soak::count(40, 2_000);
    for number in 0..count {
        let delay = longest.mul_f64(number as f64 / count as f64);
        let log = fs::File::create(host.path("log")).unwrap();
        let mut child = host.command(flags).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        std::thread::sleep(delay);
        signal(child.id(), libc::SIGTERM);
        let mut status = None;
        host.wait(&format!("the end {delay:?} after the start"), |_| {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        judge(host, status.unwrap());
        for file in ["keepalived.pid", "vrrp.pid", "vrrp.sock"] {
            assert!(!host.path(file).exists(), "{file} is left {delay:?} after the start:\n{}", host.log());
        }
        assert!(!host.holds(ADDRESS), "the address is left {delay:?} after the start:\n{}", host.log());
    }
}

/// Processes of this host's daemon. One that has ended has no command line any more.
fn processes(host: &Host) -> Vec<String> {
    let folder = host.path("").to_string_lossy().into_owned();
    let all = fs::read_dir("/proc").unwrap().flatten();
    let commands = all.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
    commands.filter(|command| command.contains(&folder)).collect()
}

fn end(host: &mut Host) {
    host.signal(libc::SIGTERM);
    host.wait("the daemon to end", |host| processes(host).is_empty());
}

#[test]
fn a_stop_at_any_moment_of_a_start_in_the_foreground_ends_it() {
    let Some(mut host) = host_with_owner() else { return };
    let begun = Instant::now();
    host.start(&[]);
    let longest = begun.elapsed().max(DELAY);
    host.signal(libc::SIGTERM);
    host.wait_for_end();
    stop_starts(&mut host, &["-n", "-l"], longest, |host, status| {
        assert!(status.signal() == Some(libc::SIGTERM) || status.code() == Some(0), "{status}");
        assert_eq!(processes(host), [""; 0], "{}", host.log());
    });
}

#[test]
fn a_stop_at_any_moment_of_a_start_in_the_background_ends_it() {
    let Some(mut host) = host_with_owner() else { return };
    let begun = Instant::now();
    assert_eq!(host.run(&[]).status.code(), Some(0));
    let longest = begun.elapsed().max(DELAY);
    end(&mut host);
    stop_starts(&mut host, &[], longest, |host, status| {
        match (status.code(), status.signal()) {
            // It served before the stop came.
            (Some(0), _) => end(host),
            (_, Some(libc::SIGTERM)) => assert_eq!(processes(host), [""; 0], "the daemon goes on"),
            _ => panic!("{status}"),
        }
    });
}
