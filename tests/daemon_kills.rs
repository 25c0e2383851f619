//! Processes of the daemon that are killed under the eyes of another router.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "support/host.rs"]
mod host;
#[path = "support/skip.rs"]
mod skip;

use alived::sys::process::signal;
use host::{Host, instance};

const ADDRESS: &str = "192.0.2.50/24";

/// A master and its backup.
fn pair(interval: &str) -> Option<(Host, Host)> {
    let (mut first, mut second) = Host::pair()?;
    for (host, priority) in [(&mut first, 150), (&mut second, 100)] {
        let router = instance("VI_1", 51, priority, ADDRESS);
        host.configure(&router.replace("advert_int 0.1", &format!("advert_int {interval}")));
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
