//! Ours beside keepalived, on the same topology in one run: how late a takeover is, what an advertisement
//! costs, what the processes weigh, how evenly they send, how soon they serve.
//!
//! `cargo bench --bench beside_keepalived [-- --quick] [--other=PROGRAM] [ROW...]`; rows: takeover, takeover-1000, routing, load,
//! authentication, recording, memory, start, checks (as many as another process can make, while 1,000 routers advertise). Root,
//! or user namespaces. Figures are medians of 10 runs (3 with `--quick`), with the extremes.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::print_stdout)]

#[path = "support/beside.rs"]
mod beside;
#[path = "support/checker.rs"]
mod checker;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use alived::drill::{
    Authentication, Daemon, Ground, Lab, Layout, Plan, Program, Recorder, RouterText, Scenario, Sighting,
    Stage, What,
};
use alived::kernel::{KernelError, KernelEvent, Route, Rule};
use alived::net::{Family, Prefix};
use alived::sys::namespace::Namespace;
use alived::sys::netlink::{Interest, Monitor, Network, Ownership};
use alived::time::WallTime;
use alived::wire::vrrp::{AdvertisementInterval, Priority, Version};
use beside::{Beside, Result};

/// 0.1 s.
const INTERVAL_CENTISECONDS: u16 = 10;

/// Front links and virtual routers on each: 1,000 in all.
const LINKS: u8 = 4;
const ROUTERS_EACH: u8 = 250;

/// How long one CPU figure is taken over.
const WINDOW: Duration = Duration::from_secs(2);

struct Bench {
    runs: usize,
    contenders: Vec<(&'static str, Program)>,
}

fn main() -> ExitCode {
    checker::check_if_asked();
    beside::run(run)
}

fn run(beside: &Beside) -> Result<()> {
    let wanted = |row: &str| beside.wants(row);
    let runs = if beside.quick { 3 } else { 10 };
    let bench = Bench { runs, contenders: beside.contenders.clone() };
    println!("medians of {} (lowest to highest); ratio to keepalived\n", bench.runs);
    if wanted("takeover") {
        bench.takeover(1)?;
    }
    if wanted("takeover-1000") {
        bench.takeover(1000)?;
    }
    if wanted("routing") {
        bench.routing()?;
    }
    if wanted("checks") {
        bench.checks(if beside.quick { 3700 } else { 37_000 })?;
    }
    if wanted("load") {
        bench.load()?;
    }
    if wanted("authentication") {
        bench.authentication()?;
    }
    if wanted("recording") {
        bench.recording()?;
    }
    if wanted("memory") {
        bench.memory()?;
    }
    if wanted("start") {
        bench.start()?;
    }
    Ok(())
}

impl Bench {
    /// SIGKILL of the master, its cable cut: how long after the protocol's bound the addresses are announced.
    fn takeover(&self, addresses: u16) -> Result<()> {
        let mut first =
            Table::new(format!("takeover, {addresses} address(es): first announced, ms beyond bound"));
        let mut last =
            Table::new(format!("takeover, {addresses} address(es): last announced, ms beyond bound"));
        // In turn, because a machine is not equally fast all the time.
        for _ in 0..self.runs {
            for (name, program) in &self.contenders {
                let mut stage = Stage::set(plan(program, addresses))?;
                let everything = stage.plan.addresses().len();
                stage.wait("the addresses are not announced", Duration::from_secs(60), |stage| {
                    Ok(stage.recorder.look(|sightings| announced(sightings, 0)) >= everything)
                })?;
                std::thread::sleep(Duration::from_millis(500));
                stage.disturb()?;
                let processes = stage.lab.daemon(0)?.freeze()?;
                stage.lab.set_cable(0, false)?;
                stage.lab.daemon(0)?.kill(&processes)?;
                stage.wait("the addresses are not announced again", Duration::from_secs(60), |stage| {
                    Ok(stage.measure(&Default::default()).last_announcement.is_some())
                })?;
                let measures = stage.measure(&Default::default());
                let bound = stage.plan.master_down(1);
                let beyond = |time: Option<Duration>| time.map_or(f64::NAN, |time| ms(time) - ms(bound));
                first.add(name, beyond(measures.first_announcement));
                last.add(name, beyond(measures.last_announcement));
            }
        }
        first.print();
        if addresses > 1 {
            last.print();
        }
        Ok(())
    }

    /// A router becomes master with 10 addresses, 1,000 routes and 1,000 rules: how long behind the last address the last
    /// route and the last rule are there.
    fn routing(&self) -> Result<()> {
        let mut routes = Table::new("takeover: 1,000 routes there, ms behind the last address".to_owned());
        let mut rules = Table::new("takeover: 1,000 rules there, ms behind the last address".to_owned());
        for _ in 0..self.runs {
            for (name, program) in &self.contenders {
                let mut lab =
                    Lab::build(Layout { family: Family::Ipv4, routers: 1, fronts: 1, real_servers: 0 })?;
                let mut monitor = lab.routers[0]
                    .namespace
                    .run(|| Monitor::open(Ownership::Mark))?
                    .map_err(|error| text(&error))?;
                let (route, rule) = (Route::new(Prefix::host([0, 0, 0, 0].into())), Rule::new(Family::Ipv4));
                monitor.follow(Interest::new([&route], [&rule])).map_err(|error| text(&error))?;
                lab.start(0, program, &routed_router(), Ground::Foreground)?;
                let start = Instant::now();
                let (mut events, mut addresses, mut counts) = (Vec::new(), None, [0; 2]);
                let mut ends = [None; 2];
                while ends.contains(&None) {
                    if start.elapsed() > Duration::from_secs(60) {
                        return Err(format!("{name} has set {counts:?}\n{}", lab.daemon(0)?.log()).into());
                    }
                    monitor.drain(10_000, &mut events).map_err(|error| text(&error))?;
                    let now = Instant::now();
                    for event in events.drain(..) {
                        let kind = match event {
                            KernelEvent::AddressPresent(held) if held.prefix.length() == 32 => {
                                addresses = Some(now);
                                continue;
                            }
                            KernelEvent::RoutePresent { .. } => 0,
                            KernelEvent::RulePresent(_) => 1,
                            _ => continue,
                        };
                        counts[kind] += 1;
                        ends[kind] = (counts[kind] == ROUTING).then_some(now);
                    }
                    std::thread::sleep(Duration::from_micros(200));
                }
                let behind = |end: Option<Instant>| match (end, addresses) {
                    (Some(end), Some(addresses)) => ms(end.saturating_duration_since(addresses)),
                    _ => f64::NAN,
                };
                routes.add(name, behind(ends[0]));
                rules.add(name, behind(ends[1]));
            }
        }
        routes.print();
        rules.print();
        Ok(())
    }

    /// 1,000 virtual routers at 0.1 s: CPU, memory, and how evenly the advertisements leave.
    fn load(&self) -> Result<()> {
        let mut master_cpu = Table::new("1,000 virtual routers: master, % of a core".to_owned());
        let mut each =
            Table::new("1,000 virtual routers: master, us of CPU an advertisement sent".to_owned());
        let mut heard =
            Table::new("1,000 virtual routers: backup, us of CPU an advertisement heard".to_owned());
        let mut backup_cpu = Table::new("1,000 virtual routers: backup, % of a core".to_owned());
        let mut memory = Table::new("1,000 virtual routers: master, PSS in MB".to_owned());
        let mut gaps =
            Table::new("1,000 virtual routers: gap between adverts, 99.9th percentile, ms".to_owned());
        for (name, program) in &self.contenders {
            let mut lab =
                Lab::build(Layout { family: Family::Ipv4, routers: 2, fronts: LINKS, real_servers: 0 })?;
            for (router, priority) in [200, 100].into_iter().enumerate() {
                lab.start(
                    router,
                    program,
                    &thousand_routers(priority, Authentication::None),
                    Ground::Foreground,
                )?;
            }
            let recorder = Recorder::start(&lab)?;
            wait_for_thousand(&mut lab, &recorder)?;
            // The second block of announcements follows 5 s after the first.
            std::thread::sleep(Duration::from_secs(6));
            memory.add(name, pss_mb(lab.daemon(0)?)?);
            for _ in 0..self.runs {
                recorder.clear();
                std::thread::sleep(WINDOW);
                gaps.add(name, recorder.look(|sightings| percentile_gap(sightings, 0)));
            }
            // It takes CPU time too, which would be missing elsewhere.
            drop(recorder);
            for _ in 0..self.runs {
                let (master, backup) = (cpu_time(lab.daemon(0)?)?, cpu_time(lab.daemon(1)?)?);
                let (sent, received) = (packets(&lab, 0, SENT)?, packets(&lab, 1, RECEIVED)?);
                let start = Instant::now();
                std::thread::sleep(WINDOW);
                // Counted, because a daemon that is not run in time sends less.
                let sent = packets(&lab, 0, SENT)? - sent;
                let received = packets(&lab, 1, RECEIVED)? - received;
                let master = cpu_time(lab.daemon(0)?)?.saturating_sub(master);
                let backup = cpu_time(lab.daemon(1)?)?.saturating_sub(backup);
                let wall = start.elapsed().as_secs_f64();
                master_cpu.add(name, master.as_secs_f64() / wall * 100.0);
                backup_cpu.add(name, backup.as_secs_f64() / wall * 100.0);
                each.add(name, master.as_secs_f64() * 1e6 / sent);
                heard.add(name, backup.as_secs_f64() * 1e6 / received);
            }
        }
        for table in [master_cpu, each, backup_cpu, heard, memory, gaps] {
            table.print();
        }
        Ok(())
    }

    /// 1,000 virtual routers at 0.1 s: what becomes of their pace while another process makes so many checks, each every
    /// 5 s.
    fn checks(&self, servers: u32) -> Result<()> {
        let mut alone =
            Table::new("1,000 virtual routers: gap between adverts, 99.9th percentile, ms".to_owned());
        let mut beside = Table::new(format!("the same while {servers} servers are checked each 5 s"));
        for (name, program) in &self.contenders {
            let mut lab =
                Lab::build(Layout { family: Family::Ipv4, routers: 1, fronts: LINKS, real_servers: 0 })?;
            lab.start(0, program, &thousand_routers(200, Authentication::None), Ground::Foreground)?;
            let recorder = Recorder::start(&lab)?;
            wait_for_thousand(&mut lab, &recorder)?;
            // The second block of announcements follows 5 s after the first.
            std::thread::sleep(Duration::from_secs(6));
            let take = |table: &mut Table| {
                for _ in 0..self.runs {
                    recorder.clear();
                    std::thread::sleep(WINDOW);
                    table.add(name, recorder.look(|sightings| percentile_gap(sightings, 0)));
                }
            };
            take(&mut alone);
            let checked = checked(servers)?;
            // All of them have begun.
            std::thread::sleep(Duration::from_secs(6));
            take(&mut beside);
            drop(checked);
        }
        alone.print();
        beside.print();
        Ok(())
    }

    /// 1,000 virtual routers at 0.1 s: what a signature in each advertisement costs a master of ours, beside one that does
    /// not sign.
    fn authentication(&self) -> Result<()> {
        let title = "1,000 virtual routers of ours: master, us of CPU an advertisement sent";
        let mut each = Table::against("unsigned", title.to_owned());
        let Some((_, program)) = self.contenders.iter().find(|(name, _)| *name == "alived") else {
            return Ok(());
        };
        let mut labs = Vec::new();
        for (name, authentication) in
            [("unsigned", Authentication::None), ("auth_hmac", Authentication::Hmac)]
        {
            let mut lab =
                Lab::build(Layout { family: Family::Ipv4, routers: 1, fronts: LINKS, real_servers: 0 })?;
            lab.start(0, program, &thousand_routers(200, authentication), Ground::Foreground)?;
            let recorder = Recorder::start(&lab)?;
            wait_for_thousand(&mut lab, &recorder)?;
            labs.push((name, lab));
        }
        // The second block of announcements follows 5 s after the first.
        std::thread::sleep(Duration::from_secs(6));
        // In turn, because a machine is not equally fast all the time.
        for _ in 0..self.runs {
            for (name, lab) in &mut labs {
                let (cpu, sent) = (cpu_time(lab.daemon(0)?)?, packets(lab, 0, SENT)?);
                std::thread::sleep(WINDOW);
                let sent = packets(lab, 0, SENT)? - sent;
                let cpu = cpu_time(lab.daemon(0)?)?.saturating_sub(cpu);
                each.add(name, cpu.as_secs_f64() * 1e6 / sent);
            }
        }
        each.print();
        Ok(())
    }

    /// 1,000 virtual routers of ours at 0.1 s: what `alived record` costs master and backup, and whether advertisements are later.
    fn recording(&self) -> Result<()> {
        let table =
            |what: &str| Table::against("not recorded", format!("1,000 virtual routers of ours: {what}"));
        let mut each = table("master, us of CPU an advertisement sent");
        let mut heard = table("backup, us of CPU an advertisement heard");
        let mut gaps = table("gap between adverts, 99.9th percentile, ms");
        let Some((_, program)) = self.contenders.iter().find(|(name, _)| *name == "alived") else {
            return Ok(());
        };
        let mut lab =
            Lab::build(Layout { family: Family::Ipv4, routers: 2, fronts: LINKS, real_servers: 0 })?;
        for (router, priority) in [200, 100].into_iter().enumerate() {
            let text = thousand_routers(priority, Authentication::None);
            lab.start(router, program, &text, Ground::Foreground)?;
        }
        let recorder = Recorder::start(&lab)?;
        wait_for_thousand(&mut lab, &recorder)?;
        // The second block of announcements follows 5 s after the first.
        std::thread::sleep(Duration::from_secs(6));
        // In turn, because a machine is not equally fast all the time.
        for _ in 0..self.runs {
            for name in ["not recorded", "recorded"] {
                record(&lab, program, name == "recorded")?;
                std::thread::sleep(Duration::from_millis(300));
                recorder.clear();
                let (master, backup) = (cpu_time(lab.daemon(0)?)?, cpu_time(lab.daemon(1)?)?);
                let (sent, received) = (packets(&lab, 0, SENT)?, packets(&lab, 1, RECEIVED)?);
                std::thread::sleep(WINDOW);
                let sent = packets(&lab, 0, SENT)? - sent;
                let received = packets(&lab, 1, RECEIVED)? - received;
                let master = cpu_time(lab.daemon(0)?)?.saturating_sub(master);
                let backup = cpu_time(lab.daemon(1)?)?.saturating_sub(backup);
                gaps.add(name, recorder.look(|sightings| percentile_gap(sightings, 0)));
                each.add(name, master.as_secs_f64() * 1e6 / sent);
                heard.add(name, backup.as_secs_f64() * 1e6 / received);
            }
        }
        for table in [each, heard, gaps] {
            table.print();
        }
        Ok(())
    }

    /// One virtual router: what all processes of a master weigh.
    fn memory(&self) -> Result<()> {
        let mut memory = Table::new("1 virtual router: master, PSS in MB".to_owned());
        for (name, program) in &self.contenders {
            for _ in 0..self.runs.min(3) {
                let mut stage = Stage::set(plan(program, 1))?;
                std::thread::sleep(Duration::from_secs(1));
                memory.add(name, pss_mb(stage.lab.daemon(0)?)?);
            }
        }
        memory.print();
        Ok(())
    }

    /// From the start to the end of the first process, and to the first advertisement of an owner.
    fn start(&self) -> Result<()> {
        let mut forked =
            Table::new("start of 1 router into the background: first process back, ms".to_owned());
        let mut serving = Table::new("start of 1 router as owner: first advertisement, ms".to_owned());
        for _ in 0..self.runs {
            for (name, program) in &self.contenders {
                let mut lab =
                    Lab::build(Layout { family: Family::Ipv4, routers: 1, fronts: 1, real_servers: 0 })?;
                let recorder = Recorder::start(&lab)?;
                let mut plan = plan(program, 1);
                plan.programs.truncate(1);
                let config = plan
                    .config(0)
                    .replace("priority 200", "priority 255")
                    .replace("state BACKUP", "state MASTER");
                let (start, clock) = (Instant::now(), alived::sys::clock::wall());
                let daemon = lab.start(0, program, &config, Ground::Background)?;
                let status = loop {
                    if !daemon.is_alive()? {
                        break daemon.wait(Duration::ZERO)?;
                    }
                    if start.elapsed() > Duration::from_secs(20) {
                        return Err(format!("{name} does not go into the background").into());
                    }
                    std::thread::sleep(Duration::from_micros(100));
                };
                forked.add(name, ms(start.elapsed()));
                if !status.is_some_and(|status| status.success()) {
                    return Err(format!("{name} did not start: {status:?}\n{}", daemon.log()).into());
                }
                let first = loop {
                    let first = recorder.look(|sightings| {
                        sightings
                            .iter()
                            .find(|s| matches!(s.what, What::Advertisement { .. }))
                            .map(|s| s.time)
                    });
                    if let Some(first) = first {
                        break first;
                    }
                    if start.elapsed() > Duration::from_secs(20) {
                        return Err(format!("{name} does not advertise\n{}", daemon.log()).into());
                    }
                    std::thread::sleep(Duration::from_millis(1));
                };
                serving.add(name, ms(first.saturating_since(clock)));
            }
        }
        forked.print();
        serving.print();
        Ok(())
    }
}

fn plan(program: &Program, addresses: u16) -> Plan {
    Plan {
        version: Version::V3,
        family: Family::Ipv4,
        interval: interval(),
        addresses,
        sync_group: false,
        authentication: Authentication::None,
        unicast: false,
        virtual_mac: false,
        programs: vec![program.clone(), program.clone()],
        service: None,
        scenarios: vec![Scenario::Kill],
    }
}

fn interval() -> AdvertisementInterval {
    AdvertisementInterval::from_centiseconds(INTERVAL_CENTISECONDS)
        .unwrap_or(AdvertisementInterval::ONE_SECOND)
}

fn text(error: &KernelError) -> String {
    error.to_string()
}

/// Routes, and rules.
const ROUTING: u32 = 1_000;

fn routed_router() -> String {
    let router = RouterText {
        name: "VI_1".to_owned(),
        interface: "eth0".to_owned(),
        version: Version::V3,
        vrid: 1,
        priority: Priority(200),
        interval: interval(),
        authentication: Authentication::None,
        unicast: None,
        virtual_mac: false,
        addresses: (1..=10).map(|last| [10, 200, 0, last].into()).collect(),
        excluded: Vec::new(),
        tracked_script: None,
    };
    let (mut routes, mut rules) = (String::new(), String::new());
    for number in 0..ROUTING {
        let (high, low) = (number / 250, number % 250);
        routes.push_str(&format!("  172.{}.{low}.0/24 dev eth0\n", 16 + high));
        rules.push_str(&format!(
            "  from 172.{}.{low}.0/24 table 100 preference {}\n",
            16 + high,
            1_000 + number
        ));
    }
    let blocks = format!(" virtual_routes {{\n{routes} }}\n virtual_rules {{\n{rules} }}\n}}\n");
    router.to_string().trim_end().trim_end_matches('}').to_owned() + &blocks
}

fn thousand_routers(priority: u8, authentication: Authentication) -> String {
    let mut text = String::new();
    for link in 0..LINKS {
        for vrid in 1..=ROUTERS_EACH {
            let router = RouterText {
                name: format!("VI_{link}_{vrid}"),
                interface: format!("eth{link}"),
                version: Version::V3,
                vrid,
                priority: Priority(priority),
                interval: interval(),
                authentication,
                unicast: None,
                virtual_mac: false,
                addresses: vec![[10, link, vrid, 1].into()],
                excluded: Vec::new(),
                tracked_script: None,
            };
            text.push_str(&router.to_string());
        }
    }
    text
}

/// Servers in a namespace of their own, and a process that checks them until it is dropped.
fn checked(servers: u32) -> Result<checker::Started> {
    const PORT: u16 = 9000;
    let namespace = Namespace::create()?;
    let started = namespace.run(move || -> std::result::Result<_, String> {
        let mut network = Network::open().map_err(|error| text(&error))?;
        let loopback = "lo".parse().map_err(|_| "lo")?;
        let loopback = network.index_of(&loopback).map_err(|error| text(&error))?;
        network.set_up(loopback, true).map_err(|error| text(&error))?;
        let listener = std::net::TcpListener::bind(("0.0.0.0", PORT)).map_err(|error| error.to_string())?;
        std::thread::spawn(move || listener.incoming().for_each(drop));
        let period = Duration::from_secs(5);
        Ok(checker::Load { kind: "TCP_CHECK", port: PORT, servers, copies: 1, period }.start())
    })?;
    Ok(started?)
}

fn wait_for_thousand(lab: &mut Lab, recorder: &Recorder) -> Result<()> {
    let start = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = alived::sys::clock::wall().as_unix_micros();
        let recent = WallTime::from_unix_micros(now.saturating_sub(400_000));
        let (mut master, mut backup) = (BTreeMap::new(), 0);
        recorder.look(|sightings| {
            for sighting in sightings.iter().rev().take_while(|s| s.time >= recent) {
                if let What::Advertisement { vrid, .. } = sighting.what {
                    match sighting.router {
                        0 => *master.entry((sighting.front, vrid)).or_insert(0) += 1,
                        _ => backup += 1,
                    }
                }
            }
        });
        if master.len() == usize::from(LINKS) * usize::from(ROUTERS_EACH) && backup == 0 {
            return Ok(());
        }
        if start.elapsed() > Duration::from_secs(60) {
            let log = lab.daemon(0)?.log();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            return Err(format!(
                "{} of 1,000 are master, {backup} rivals\n{}",
                master.len(),
                tail.join("\n")
            )
            .into());
        }
    }
}

/// How many addresses a router has announced.
fn announced(sightings: &[Sighting], router: usize) -> usize {
    let mut addresses = BTreeMap::new();
    for sighting in sightings.iter().filter(|s| s.router == router) {
        if let What::Announcement { address, .. } = sighting.what {
            addresses.insert(address, ());
        }
    }
    addresses.len()
}

fn percentile_gap(sightings: &[Sighting], router: usize) -> f64 {
    let mut last: BTreeMap<_, WallTime> = BTreeMap::new();
    let mut gaps = Vec::new();
    for sighting in sightings.iter().filter(|s| s.router == router) {
        if let What::Advertisement { vrid, .. } = sighting.what
            && let Some(before) = last.insert((sighting.front, vrid), sighting.time)
        {
            gaps.push(sighting.time.saturating_since(before));
        }
    }
    gaps.sort_unstable();
    let position = gaps.len().saturating_sub(1) * 999 / 1000;
    gaps.get(position).map_or(f64::NAN, |gap| ms(*gap))
}

/// CPU time of all threads of all processes so far, in the scheduler's nanoseconds.
fn cpu_time(daemon: &Daemon) -> Result<Duration> {
    let mut total = 0;
    for process in daemon.processes()? {
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            total += text.split_ascii_whitespace().next().unwrap_or("0").parse::<u64>()?;
        }
    }
    Ok(Duration::from_nanos(total))
}

/// Column of `/proc/net/dev`, counted from the interface's name.
const RECEIVED: usize = 2;
const SENT: usize = 10;

/// Packets that a router's front interfaces have received or sent so far.
fn packets(lab: &Lab, router: usize, column: usize) -> Result<f64> {
    let text = lab.routers[router].namespace.run(|| fs::read_to_string("/proc/thread-self/net/dev"))??;
    let fronts = text.lines().filter(|line| line.trim_start().starts_with("eth"));
    let counts = fronts.filter_map(|line| line.split_whitespace().nth(column)?.parse::<f64>().ok());
    Ok(counts.sum())
}

/// Proportional set size of all processes.
fn pss_mb(daemon: &Daemon) -> Result<f64> {
    let mut kilobytes = 0u32;
    for process in daemon.processes()? {
        let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or_default();
        kilobytes += line.trim().trim_end_matches("kB").trim().parse::<u32>()?;
    }
    Ok(f64::from(kilobytes) / 1024.0)
}

/// Begins or ends recordings at both routers.
fn record(lab: &Lab, program: &Program, on: bool) -> Result<()> {
    for router in &lab.routers {
        let file = |suffix: &str| lab.folder().path().join(format!("{}{suffix}", router.name));
        let mut command = Command::new(&program.path);
        command.args(["record", if on { "start" } else { "stop" }, "-r"]).arg(file(".vrrp.pid"));
        if on {
            command.arg("--folder").arg(file("-recording"));
        }
        let output = command.output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
    }
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// One row of the comparison: figures of each contender.
struct Table {
    title: String,
    /// With whom the others are compared.
    reference: &'static str,
    figures: Vec<(String, Vec<f64>)>,
}

impl Table {
    fn new(title: String) -> Self {
        Self::against("keepalived", title)
    }

    fn against(reference: &'static str, title: String) -> Self {
        Self { title, reference, figures: Vec::new() }
    }

    fn add(&mut self, contender: &str, figure: f64) {
        match self.figures.iter_mut().find(|(name, _)| name == contender) {
            Some((_, figures)) => figures.push(figure),
            None => self.figures.push((contender.to_owned(), vec![figure])),
        }
    }

    fn print(mut self) {
        println!("{}", self.title);
        let mut reference = None;
        for (name, figures) in &mut self.figures {
            figures.sort_by(f64::total_cmp);
            let middle = figures.len() / 2;
            let median = if figures.len().is_multiple_of(2) {
                f64::midpoint(figures[middle - 1], figures[middle])
            } else {
                figures[middle]
            };
            let (low, high) = (figures[0], figures[figures.len() - 1]);
            let ratio = if name == self.reference {
                reference = Some(median);
                String::new()
            } else {
                let ratio = |reference| format!("  {:.2} of {}'s", median / reference, self.reference);
                reference.map(ratio).unwrap_or_default()
            };
            println!("  {name:<16} {median:>9.2}  ({low:.2} to {high:.2}){ratio}");
        }
        println!();
    }
}
