//! Scripts beside advertisements: how late the thread that advertises is served while a runner starts 64 scripts at a
//! time, ten times, beside 100 virtual routers that advertise each 20 ms; and in as long a time without scripts.
//!
//! `cargo bench --bench scripts`. Root, or user namespaces. The daemon and what starts the scripts (a supervisor of
//! the daemon with a worker that only has its runner) are the real processes; the lateness is the daemon's own.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::disallowed_types)]
#![allow(clippy::print_stdout, dead_code)]

#[path = "../tests/daemon_runner/daemon.rs"]
mod daemon;
#[path = "support/lateness.rs"]
mod lateness;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use alived::drill::{Authentication, Ground, Kind, Lab, Layout, Program, RouterText};
use alived::net::Family;
use alived::sys::namespace::acquire_privilege;
use alived::wire::vrrp::{AdvertisementInterval, Priority, Version};
use lateness::{Lateness, status};

const PROGRAM: &str = env!("CARGO_BIN_EXE_alived");

const ROUTERS: u8 = 100;
const INTERVAL_CENTISECONDS: u16 = 2;

const SCRIPTS: usize = 64;
const ROUNDS: usize = 10;
/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(500);

/// What no more than one timer in a thousand may exceed.
const BOUND_US: u64 = 1_000;

fn main() -> ExitCode {
    if let Some(folder) = std::env::var_os(daemon::ROLE) {
        return daemon::run(folder.as_ref());
    }
    if let Err(forbidden) = acquire_privilege() {
        println!("not run: this machine forbids network namespaces ({})", forbidden.error);
        return ExitCode::SUCCESS;
    }
    println!("how late the timers of {ROUTERS} routers at {INTERVAL_CENTISECONDS}0 ms are served, in us\n");
    let mut good = true;
    for (name, arguments) in [("SCHED_FIFO", vec![]), ("no FIFO", vec!["--realtime=off".to_owned()])] {
        let (quiet, scripts) = measure(arguments);
        println!("{name}\n  without scripts   {quiet}\n  with {SCRIPTS} at a time {scripts}\n");
        // Without it nothing is promised.
        good &= name != "SCHED_FIFO" || scripts.percentile(0.999).is_some_and(|bound| bound <= BOUND_US);
    }
    println!("99.9 % below 1 ms with SCHED_FIFO: {}", if good { "yes" } else { "NO" });
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One daemon, without scripts and with them.
fn measure(arguments: Vec<String>) -> (Lateness, Lateness) {
    let mut lab =
        Lab::build(Layout { family: Family::Ipv4, routers: 1, fronts: 1, real_servers: 0 }).unwrap();
    let program = Program { arguments, ..Program::new(Kind::Alived, PROGRAM) };
    lab.start(0, &program, &configuration(), Ground::Foreground).unwrap();
    let pid_file = lab.folder().path().join(format!("{}.vrrp.pid", lab.routers[0].name));
    wait_for_masters(&pid_file);
    // The second block of announcements follows 5 s after the first.
    std::thread::sleep(Duration::from_secs(6));

    let mut starter = daemon::Daemon::start();
    let first = starter.run(daemon::command(&["/bin/true"]));
    starter.outcome(first);
    let (start, before) = (Instant::now(), Lateness::of(&pid_file));
    for _ in 0..ROUNDS {
        for _ in 0..SCRIPTS {
            starter.run(daemon::command(&["/bin/sh", "-c", "exec /bin/true"]));
        }
        for _ in 0..SCRIPTS {
            assert!(matches!(starter.next().1, daemon::Fate::Finished(_)));
        }
        std::thread::sleep(PAUSE);
    }
    let scripts = Lateness::of(&pid_file).since(&before);
    let time = start.elapsed();
    let before = Lateness::of(&pid_file);
    std::thread::sleep(time);
    (Lateness::of(&pid_file).since(&before), scripts)
}

fn configuration() -> String {
    let interval = AdvertisementInterval::from_centiseconds(INTERVAL_CENTISECONDS).unwrap();
    let router = |vrid| RouterText {
        name: format!("VI_{vrid}"),
        interface: "eth0".to_owned(),
        version: Version::V3,
        vrid,
        priority: Priority(200),
        interval,
        authentication: Authentication::None,
        unicast: None,
        virtual_mac: false,
        addresses: vec![[10, 0, vrid, 1].into()],
        excluded: Vec::new(),
        tracked_script: None,
    };
    (1..=ROUTERS).map(|vrid| router(vrid).to_string()).collect()
}

fn wait_for_masters(pid_file: &Path) {
    let start = Instant::now();
    loop {
        let masters = status(pid_file).map(|status| {
            let routers = status["routers"].as_array().map_or(&[][..], Vec::as_slice);
            routers.iter().filter(|router| router["state"] == "MASTER").count()
        });
        if masters == Some(usize::from(ROUTERS)) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{masters:?} of {ROUTERS} are master");
        std::thread::sleep(Duration::from_millis(100));
    }
}
