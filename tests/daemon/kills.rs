//! Processes of the daemon that are killed under the eyes of another router.

use std::time::Duration;

use alived::kernel::KernelEvent;
use alived::sys::netlink::{Monitor, Ownership};
use alived::sys::process::signal;

use crate::host::{Host, instance};
use crate::soak;

const ADDRESS: &str = "192.0.2.50/24";

/// A worker that has lived longer is replaced at once.
const REST: Duration = Duration::from_secs(61);

/// A master and its backup, each with a runner.
fn pair(interval: &str) -> Option<(Host, Host)> {
    let (mut first, mut second) = Host::pair()?;
    for (host, priority) in [(&mut first, 150), (&mut second, 149)] {
        let router = instance("VI_1", 51, priority, ADDRESS);
        host.configure(&router.replace("advert_int 0.1", &format!("advert_int {interval}")));
        host.write("alived.toml", "[scripts]\nprepare = true\n");
    }
    first.start(&[]);
    first.wait_for_lines("Entering MASTER STATE", 1);
    first.wait("the address", |host| host.holds(ADDRESS));
    second.start(&[]);
    Some((first, second))
}

#[test]
fn a_worker_that_dies_again_and_again_leaves_its_address_to_the_other_router() {
    // With a master-down time of 1.7 s.
    let Some((mut first, mut second)) = pair("0.5") else { return };
    // Pauses of 0 and 1 s: the next worker is back in time.
    for deaths in 1..=2 {
        signal(first.worker(), libc::SIGKILL);
        let mut missing = false;
        first.wait("the next worker", |host| {
            missing |= !host.holds(ADDRESS);
            host.log().matches("Starting VRRP child process").count() == deaths + 1
        });
        assert!(!missing, "in a short pause: {}", first.log());
        first.wait_for_lines("Entering MASTER STATE", deaths + 1);
        second.wait("the other one to be backup", |host| !host.holds(ADDRESS));
    }
    // A pause of 2 s.
    signal(first.worker(), libc::SIGKILL);
    let mut both = false;
    second.wait("the other one to take over", |second| {
        let taken = second.holds(ADDRESS);
        both |= taken && first.holds(ADDRESS);
        taken
    });
    assert!(!both, "{}", first.log());
    first.wait_for_lines("left behind, before other routers take over", 1);
    // The next worker takes over again, with a whole address.
    first.wait_for_lines("Entering MASTER STATE", 4);
    first.wait("the address", |host| host.holds(ADDRESS));
    second.wait("the other one to give it up", |host| !host.holds(ADDRESS));
    assert_eq!(first.log().matches("before other routers take over").count(), 1, "{}", first.log());
    // A stop in a pause has nothing left to remove, and the other one keeps the address.
    signal(first.worker(), libc::SIGKILL);
    first.wait_for_lines("before other routers take over", 2);
    second.wait("the other one to take over", |host| host.holds(ADDRESS));
    first.signal(libc::SIGTERM);
    assert_eq!(first.wait_for_end().code(), Some(0));
    assert!(!first.holds(ADDRESS) && second.holds(ADDRESS));
}

#[test]
fn the_other_router_notices_neither_a_killed_runner_nor_a_killed_worker() {
    if Host::new().is_none() {
        return;
    }
    // Of one daemon, each worker has to live for a minute before the next one is replaced at once again.
    let (pairs, kills) = (soak::count(3, 10), soak::count(1, 5));
    std::thread::scope(|scope| {
        for _ in 0..pairs {
            scope.spawn(move || kill_in_turn(kills));
        }
    });
}

/// Kills the runner and the worker of a master so many times.
fn kill_in_turn(kills: u64) {
    let (mut first, mut second) = pair("1").unwrap();
    second.wait_for_lines("Entering BACKUP STATE", 1);
    let open = || Monitor::open(Ownership::Mark).unwrap();
    let mut monitor = first.namespace.run(open).unwrap();
    for kill in 1..=kills as usize {
        let runner = wait_for_runner(&mut first, 0);
        signal(runner, libc::SIGKILL);
        wait_for_runner(&mut first, runner);
        // A runner whose worker was killed ends by itself.
        let log = first.log();
        let killed = |line: &&str| line.contains("Runner child process(") && line.contains("by signal 9");
        assert_eq!(log.lines().filter(killed).count(), kill, "{log}");
        assert_eq!(first.log().matches("Entering").count(), 2 * kill, "{}", first.log());

        signal(first.worker(), libc::SIGKILL);
        first.wait_for_lines("Entering MASTER STATE", kill + 1);
        // If it had missed an advertisement it would say so within a master-down time.
        std::thread::sleep(if kill < kills as usize { REST } else { Duration::from_secs(4) });
        assert_eq!(second.log().matches("Entering").count(), 1, "{}\n{}", second.log(), first.log());
    }
    let mut events = Vec::new();
    monitor.drain(10_000, &mut events).unwrap();
    let gone = events.iter().filter(|event| matches!(event, KernelEvent::AddressGone { .. })).count();
    assert_eq!(gone, 0, "{}", first.log());
    assert!(first.holds(ADDRESS) && !second.holds(ADDRESS));
}

/// Waits for a runner other than this one.
fn wait_for_runner(host: &mut Host, before: u32) -> u32 {
    let mut found = None;
    host.wait("a runner", |host| {
        found = host.runner().filter(|runner| *runner != before);
        found.is_some()
    });
    found.unwrap_or_default()
}
