//! Trackers beside keepalived: 1,000 virtual routers that depend on 200 trackers. What the master costs while nothing
//! happens, and how long it takes until a file that all of them share has moved all of them, and whether any
//! advertisement is late meanwhile.
//!
//! `cargo bench --bench trackers [-- --quick]`. Root, or user namespaces. Figures are medians, with the extremes.
//! Processes are not among the trackers: keepalived counts none in a network namespace of its own.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use alived::drill::{Daemon, Ground, Kind, Lab, Layout, Program, Recorder, Sighting, What};
use alived::net::Family;
use alived::sys::clock;
use alived::sys::namespace::acquire_privilege;
use alived::time::WallTime;

/// 0.1 s.
const INTERVAL_CENTISECONDS: u16 = 10;
const LINKS: u8 = 4;
const ROUTERS_EACH: u8 = 250;
const ROUTERS: usize = LINKS as usize * ROUTERS_EACH as usize;
/// Trackers of each kind; a router depends on one of each, and on the file that all share.
const FILES: usize = 149;
const SCRIPTS: usize = 50;
/// How long one CPU figure is taken over.
const WINDOW: Duration = Duration::from_secs(4);
/// What a change may take to reach all.
const BOUND: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    if let Err(forbidden) = acquire_privilege() {
        println!("not run: this machine forbids network namespaces ({})", forbidden.error);
        return ExitCode::SUCCESS;
    }
    let runs = if std::env::args().any(|argument| argument == "--quick") { 3 } else { 10 };
    let ours = Program::new(Kind::Alived, env!("CARGO_BIN_EXE_alived"));
    let mut contenders = vec![("alived", ours)];
    match Program::keepalived() {
        Some(program) => contenders.insert(0, ("keepalived", program)),
        None => println!("keepalived is not installed: ours alone"),
    }
    let mut good = true;
    for (name, program) in &contenders {
        let figures = measure(program, runs);
        println!("{name}\n{figures}");
        good &= *name != "alived" || figures.moved.iter().all(|time| *time <= BOUND);
    }
    println!("all within {} ms with alived: {}", BOUND.as_millis(), if good { "yes" } else { "NO" });
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Default)]
struct Figures {
    /// Share of a core.
    cpu: Vec<f64>,
    /// From the writing of the file to the last router that left.
    moved: Vec<Duration>,
    /// The longest pause between two advertisements of a router while the shared file moved priorities.
    gaps: Vec<Duration>,
}

impl core::fmt::Display for Figures {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let line = |f: &mut core::fmt::Formatter<'_>, title: &str, mut list: Vec<f64>| {
            list.sort_by(f64::total_cmp);
            let (Some(low), Some(high)) = (list.first(), list.last()) else { return Ok(()) };
            writeln!(f, "  {title:<58} {:>8.2}  ({low:.2} to {high:.2})", list[list.len() / 2])
        };
        let ms = |list: &[Duration]| list.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        line(f, "% of a core, nothing happens", self.cpu.clone())?;
        line(f, "ms until all left, the shared file being a fault", ms(&self.moved))?;
        line(f, "ms between two advertisements at most, priorities moving", ms(&self.gaps))
    }
}

fn measure(program: &Program, runs: usize) -> Figures {
    let folder = tempfile::tempdir().unwrap();
    // Scripts run as another user.
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    (0..FILES).for_each(|number| fs::write(file(folder.path(), number), "0").unwrap());
    let (shared, weighed) = (folder.path().join("shared"), folder.path().join("weighed"));
    for path in [&shared, &weighed] {
        fs::write(path, "0").unwrap();
    }
    let mut lab =
        Lab::build(Layout { family: Family::Ipv4, routers: 1, fronts: LINKS, real_servers: 0 }).unwrap();
    lab.start(0, program, &configuration(folder.path()), Ground::Foreground).unwrap();
    let recorder = Recorder::start(&lab).unwrap();
    wait_for_all(&mut lab, &recorder);
    // The second block of announcements follows 5 s after the first.
    std::thread::sleep(Duration::from_secs(6));
    let mut figures = Figures::default();
    for _ in 0..runs {
        let (before, start) = (cpu_time(lab.daemon(0).unwrap()), Instant::now());
        std::thread::sleep(WINDOW);
        let used = cpu_time(lab.daemon(0).unwrap()).saturating_sub(before);
        figures.cpu.push(100.0 * used.as_secs_f64() / start.elapsed().as_secs_f64());
    }
    for run in 0..runs {
        recorder.clear();
        for number in 0..20 {
            fs::write(&weighed, format!("-{}", (number + run) % 50)).unwrap();
            std::thread::sleep(Duration::from_millis(50));
        }
        figures.gaps.push(recorder.look(longest_gap));
    }
    for _ in 0..runs {
        recorder.clear();
        let written = clock::wall();
        fs::write(&shared, "1").unwrap();
        let left = wait_for_left(&recorder);
        figures.moved.push(left.saturating_since(written));
        fs::write(&shared, "0").unwrap();
        recorder.clear();
        wait_for_all(&mut lab, &recorder);
    }
    figures
}

fn file(folder: &Path, number: usize) -> std::path::PathBuf {
    folder.join(format!("file{number}"))
}

fn configuration(folder: &Path) -> String {
    let mut text = String::from("global_defs {\n    script_user nobody\n}\n");
    let tracked = |name: &str, path: &Path, weight| {
        format!("track_file {name} {{\n    file {}\n    weight {weight}\n}}\n", path.display())
    };
    text += &tracked("shared", &folder.join("shared"), 0);
    text += &tracked("weighed", &folder.join("weighed"), 1);
    for number in 0..FILES - 1 {
        text += &tracked(&format!("file{number}"), &file(folder, number), 1);
    }
    for number in 0..SCRIPTS {
        writeln!(
            text,
            "vrrp_script script{number} {{\n    script /bin/true\n    interval 2\n    weight 1\n}}"
        )
        .unwrap();
    }
    let mut place = 0;
    for link in 0..LINKS {
        for vrid in 1..=ROUTERS_EACH {
            writeln!(
                text,
                "vrrp_instance VI_{link}_{vrid} {{\n    interface eth{link}\n    version 3\n    \
                 virtual_router_id {vrid}\n    priority 200\n    advert_int 0.{INTERVAL_CENTISECONDS}\n    \
                 virtual_ipaddress {{\n        10.{link}.{vrid}.1\n    }}\n    track_file {{\n        shared\n        weighed\n        file{}\n    }}\n    \
                 track_script {{\n        script{}\n    }}\n}}",
                place % (FILES - 1),
                place % SCRIPTS
            )
            .unwrap();
            place += 1;
        }
    }
    text
}

/// Until all are master: each advertises, and nobody leaves.
fn wait_for_all(lab: &mut Lab, recorder: &Recorder) {
    let start = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let recent = clock::wall().as_unix_micros().saturating_sub(400_000);
        let alive = recorder.look(|sightings| {
            let recent = sightings.iter().rev().take_while(|s| s.time.as_unix_micros() >= recent);
            routers(recent, |priority| priority > 0).len()
        });
        if alive == ROUTERS {
            return;
        }
        if start.elapsed() > Duration::from_secs(60) {
            panic!("{alive} of {ROUTERS} are master\n{}", lab.daemon(0).unwrap().log());
        }
    }
}

/// When the last router has left.
fn wait_for_left(recorder: &Recorder) -> WallTime {
    let start = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(20));
        let left = recorder.look(|sightings| routers(sightings.iter(), |priority| priority == 0));
        if left.len() == ROUTERS {
            return left.into_values().max().unwrap();
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{} of {ROUTERS} left", left.len());
    }
}

/// When each router was first seen to advertise such a priority.
fn routers<'a>(
    sightings: impl Iterator<Item = &'a Sighting>,
    wanted: impl Fn(u8) -> bool,
) -> BTreeMap<(u8, u8), WallTime> {
    let mut found = BTreeMap::new();
    for sighting in sightings {
        if let What::Advertisement { vrid, priority } = sighting.what
            && wanted(priority.0)
        {
            found.entry((sighting.front, vrid.get())).or_insert(sighting.time);
        }
    }
    found
}

fn longest_gap(sightings: &[Sighting]) -> Duration {
    let (mut last, mut longest): (BTreeMap<_, WallTime>, _) = (BTreeMap::new(), Duration::ZERO);
    let mut seen = BTreeSet::new();
    for sighting in sightings {
        if let What::Advertisement { vrid, .. } = sighting.what {
            seen.insert((sighting.front, vrid));
            if let Some(before) = last.insert((sighting.front, vrid), sighting.time) {
                longest = longest.max(sighting.time.saturating_since(before));
            }
        }
    }
    assert_eq!(seen.len(), ROUTERS);
    longest
}

/// CPU time of all threads of all processes so far, scripts aside, which end too soon to be seen.
fn cpu_time(daemon: &Daemon) -> Duration {
    let mut total = 0;
    for process in daemon.processes().unwrap() {
        let threads = fs::read_dir(format!("/proc/{process}/task"));
        for thread in threads.into_iter().flatten().flatten() {
            let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            total += text.split_ascii_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0);
        }
    }
    Duration::from_nanos(total)
}
