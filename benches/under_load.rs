//! Ours beside keepalived on a machine that is busy, and under a flood of packets.
//!
//! `cargo bench --bench under_load [-- --quick] [ROW...]`; rows: busy, flood, sinks. Root, or user namespaces.
//! - busy: 20 virtual routers on a pair at 30 and at 10 ms while four loops keep the processors busy for 60 s (10 with
//!   `--quick`): how often the backup was elected though the master lived, and how late the daemons' own timers were
//!   served, where they tell.
//! - flood: 100,000 foreign and malformed advertisements a second towards master and backup for 10 s: what becomes of
//!   the master's pace, of mastership and of memory.
//! - sinks: nobody reads the system log, standard output is a pipe that is full, the log file's disk has no room, and
//!   255 scripts end at once each second: what becomes of the master's pace. Root only.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::print_stdout)]

#[path = "support/beside.rs"]
mod beside;
#[path = "support/lateness.rs"]
mod lateness;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use alived::drill::{
    Authentication, Daemon, Ground, Kind, Lab, Layout, Program, Recorder, RouterText, Sighting, What,
};
use alived::net::Family;
use alived::sys::packet::{Packet, Sender};
use alived::time::WallTime;
use alived::wire::ip::{IpFields, VRRP_PROTOCOL};
use alived::wire::vrrp::{
    Advertisement, AdvertisementInterval, AuthenticationData, ChecksumMode, Priority, Version, Vrid,
};
use beside::{Beside, Result};
use lateness::Lateness;

const ROUTERS: u8 = 20;

/// That end at once.
const SCRIPTS: usize = 255;

/// Loops that want all of the processors.
const LOOPS: usize = 4;

/// Packets a second of the flood, and how long it lasts.
const FLOOD_RATE: u32 = 100_000;
const FLOOD_TIME: Duration = Duration::from_secs(10);
/// Packets at a time.
const BURST: usize = 64;

fn main() -> ExitCode {
    beside::run(run)
}

fn run(beside: &Beside) -> Result<()> {
    for (name, program) in &beside.contenders {
        if beside.wants("busy") {
            let time = Duration::from_secs(if beside.quick { 10 } else { 60 });
            for centiseconds in [3, 1] {
                println!("{name:<16} {}", busy(program, centiseconds, time)?);
            }
        }
        if beside.wants("flood") {
            println!("{name:<16} {}", flood(program)?);
        }
        if beside.wants("sinks") {
            let time = Duration::from_secs(if beside.quick { 10 } else { 30 });
            println!("{name:<16} {}", sinks(program, time)?);
        }
    }
    Ok(())
}

/// A pair with all routers, the first machine master of them.
fn pair(
    program: &Program,
    interval: AdvertisementInterval,
    configuration: impl Fn(u8, AdvertisementInterval) -> String,
) -> Result<(Lab, Recorder)> {
    let mut lab = Lab::build(Layout { family: Family::Ipv4, routers: 2, fronts: 1, real_servers: 0 })?;
    let recorder = Recorder::start(&lab)?;
    for (router, priority) in [200, 100].into_iter().enumerate() {
        lab.start(router, program, &configuration(priority, interval), Ground::Foreground)?;
    }
    let start = Instant::now();
    loop {
        recorder.clear();
        std::thread::sleep(interval.duration() * 10 + Duration::from_millis(300));
        let (masters, rivals) = recorder.look(|sightings| (vrids(sightings, 0), vrids(sightings, 1)));
        if masters.len() == usize::from(ROUTERS) && rivals.is_empty() {
            break;
        }
        if start.elapsed() > Duration::from_secs(60) {
            return Err(format!("no settled pair\n{}", lab.daemon(0)?.log()).into());
        }
    }
    // The second block of announcements follows 5 s after the first.
    std::thread::sleep(Duration::from_secs(6));
    recorder.clear();
    Ok((lab, recorder))
}

fn plain(priority: u8, interval: AdvertisementInterval) -> String {
    let router = |vrid| RouterText {
        name: format!("VI_{vrid}"),
        interface: "eth0".to_owned(),
        version: Version::V3,
        vrid,
        priority: Priority(priority),
        interval,
        authentication: Authentication::None,
        addresses: vec![[10, 0, vrid, 1].into()],
        unicast: None,
        virtual_mac: false,
        excluded: Vec::new(),
        tracked_script: None,
    };
    (1..=ROUTERS).map(|vrid| router(vrid).to_string()).collect()
}

/// The same, with [`SCRIPTS`] scripts that the routers track between them.
fn scripted(priority: u8, interval: AdvertisementInterval) -> String {
    let scripts: String = (0..SCRIPTS)
        .map(|number| {
            format!("vrrp_script s{number} {{\n    script \"/bin/true\"\n    interval 1\n    weight 1\n}}\n")
        })
        .collect();
    let mut vrid = 0;
    let routers: String = plain(priority, interval)
        .lines()
        .map(|line| {
            let mut tracked = String::new();
            if line.trim_start().starts_with("virtual_ipaddress {") {
                let own = (0..SCRIPTS).filter(|number| number % usize::from(ROUTERS) == vrid);
                let own: String = own.map(|number| format!("    s{number}\n")).collect();
                tracked = format!("track_script {{\n{own}}}\n");
                vrid += 1;
            }
            format!("{tracked}{line}\n")
        })
        .collect();
    format!("global_defs {{\n    script_user root\n}}\n{scripts}{routers}")
}

/// Which virtual routers a machine was heard as master of, with its advertisements.
fn vrids(sightings: &[Sighting], router: usize) -> BTreeMap<Vrid, Vec<WallTime>> {
    let mut heard: BTreeMap<Vrid, Vec<WallTime>> = BTreeMap::new();
    for sighting in sightings.iter().filter(|sighting| sighting.router == router) {
        if let What::Advertisement { vrid, priority } = sighting.what
            && priority != Priority(0)
        {
            heard.entry(vrid).or_default().push(sighting.time);
        }
    }
    heard
}

/// How often a machine began to advertise, after a pause of more than `pause`.
fn elections(sightings: &[Sighting], router: usize, pause: Duration) -> usize {
    let begins = |times: Vec<WallTime>| {
        1 + times.windows(2).filter(|pair| pair[1].saturating_since(pair[0]) > pause).count()
    };
    vrids(sightings, router).into_values().map(begins).sum()
}

fn busy(program: &Program, centiseconds: u16, time: Duration) -> Result<String> {
    let interval =
        AdvertisementInterval::from_centiseconds(centiseconds).unwrap_or(AdvertisementInterval::ONE_SECOND);
    let (lab, recorder) = pair(program, interval, plain)?;
    let before = [late(&lab, program, 0), late(&lab, program, 1)];
    let loops: Vec<Loop> = (0..LOOPS).map(|_| Loop::start(time)).collect::<Result<_>>()?;
    recorder.clear();
    std::thread::sleep(time);
    drop(loops);
    let elected = recorder.look(|sightings| elections(sightings, 1, interval.duration() * 5));
    let gap = recorder.look(longest_gap);
    let late: Vec<String> = [0, 1]
        .into_iter()
        .filter_map(|router| Some(words(&late(&lab, program, router)?.since(before[router].as_ref()?))))
        .collect();
    Ok(format!(
        "busy, {} ms, {} s: {elected} false elections, longest pause of the master {:.1} ms{}",
        interval.duration().as_millis(),
        time.as_secs(),
        ms(gap),
        late.iter().map(|text| format!("; timers {text}")).collect::<String>()
    ))
}

fn flood(program: &Program) -> Result<String> {
    let interval = AdvertisementInterval::from_centiseconds(10).unwrap_or(AdvertisementInterval::ONE_SECOND);
    let (mut lab, recorder) = pair(program, interval, plain)?;
    let memory =
        |lab: &mut Lab| -> Result<[f64; 2]> { Ok([anonymous(lab.daemon(0)?)?, anonymous(lab.daemon(1)?)?]) };
    std::thread::sleep(Duration::from_secs(2));
    let quiet = recorder.look(longest_gap);
    let before = memory(&mut lab)?;
    recorder.clear();
    let sent = send_flood(&mut lab)?;
    let gap = recorder.look(longest_gap);
    let elected = recorder.look(|sightings| elections(sightings, 1, interval.duration() * 5));
    let after = memory(&mut lab)?;
    Ok(format!(
        "flood, 100 ms: {:.0} packets a second, {elected} false elections, longest pause of the master {:.1} ms ({:.1} \
         without), memory of its own {:.2} and {:.2} MB more",
        sent,
        ms(gap),
        ms(quiet),
        after[0] - before[0],
        after[1] - before[1],
    ))
}

fn sinks(program: &Program, time: Duration) -> Result<String> {
    let interval = AdvertisementInterval::from_centiseconds(10).unwrap_or(AdvertisementInterval::ONE_SECOND);
    let sinks = Sinks::new(program)?;
    // Who waits for the system log does not get far.
    let (lab, recorder) = match pair(&sinks.program, interval, scripted) {
        Ok(pair) => pair,
        Err(error) if program.kind == Kind::Keepalived => {
            return Ok(format!("no sink takes anything, {SCRIPTS} scripts a second, 100 ms: {error}"));
        }
        Err(error) => return Err(error),
    };
    recorder.clear();
    std::thread::sleep(time);
    let gap = recorder.look(longest_gap);
    let elected = recorder.look(|sightings| elections(sightings, 1, interval.duration() * 5));
    let late = late(&lab, program, 0).map(|late| format!("; timers {}", words(&late)));
    Ok(format!(
        "no sink takes anything, {SCRIPTS} scripts a second, 100 ms, {} s: {elected} false elections, longest pause of \
         the master {:.1} ms{}",
        time.as_secs(),
        ms(gap),
        late.unwrap_or_default()
    ))
}

/// A program in a place where nothing that it logs is taken. It gets what the place is made of by its descriptors, and
/// the files go with the folder.
struct Sinks {
    program: Program,
    _folder: tempfile::TempDir,
    _system_log: UnixDatagram,
    /// Full, and read by nobody.
    _pipe: fs::File,
}

impl Sinks {
    fn new(program: &Program) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let place = |name: &str| folder.path().join(name);
        fs::create_dir(place("disk"))?;
        let system_log = UnixDatagram::bind(place("log"))?;
        let sender = UnixDatagram::unbound()?;
        sender.set_nonblocking(true)?;
        while sender.send_to(b"filler", place("log")).is_ok() {}
        nix::unistd::mkfifo(&place("pipe"), nix::sys::stat::Mode::S_IRWXU)?;
        let pipe = fs::File::options().read(true).write(true).open(place("pipe"))?;
        nix::fcntl::fcntl(&pipe, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096))?;
        (&pipe).write_all(&[b'x'; 4096])?;
        // The drill's own flags say where to log: all places in their stead.
        let script = format!(
            "#!/bin/sh\nshift 3\nexec unshare --mount sh -c '\n\
             mount -t tmpfs -o size=16k none {0}/disk; head -c 65536 /dev/zero >{0}/disk/filler 2>/dev/null\n\
             mkdir {0}/disk/none 2>/dev/null; mount -t tmpfs -o size=64k,mode=755 none /dev/shm\n\
             mkdir /dev/shm/dev; for device in null zero urandom random; do : >/dev/shm/dev/$device; \
             mount --bind /dev/$device /dev/shm/dev/$device; done\n\
             : >/dev/shm/dev/log; mount --bind {0}/log /dev/shm/dev/log; mount --rbind /dev/shm/dev /dev\n\
             exec {1} -D -g {0}/disk/all.log \"$@\" >{0}/pipe 2>&1' sh \"$@\"\n",
            folder.path().display(),
            program.path.display(),
        );
        let path = place("program");
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        let program = Program { path, ..program.clone() };
        Ok(Self { program, _folder: folder, _system_log: system_log, _pipe: pipe })
    }
}

/// Sends what no router shall believe from the client, and gives the packets a second.
fn send_flood(lab: &mut Lab) -> Result<f64> {
    let link = lab.client.index("eth0")?;
    let destination: IpAddr = [224, 0, 0, 18].into();
    let source = |number: u32| IpAddr::from([198, 18, 0, 101 + (number % 100) as u8]);
    let good = |vrid: u8, number: u32| -> Result<Vec<u8>> {
        let advertisement = Advertisement {
            version: Version::V3,
            vrid: Vrid::new(vrid).ok_or("vrid")?,
            priority: Priority(250),
            interval: AdvertisementInterval::from_centiseconds(10).ok_or("interval")?,
            addresses: vec![[10, 0, vrid, 1].into()],
            authentication: AuthenticationData::None,
            trailer: None,
        };
        Ok(advertisement.encode(source(number), destination, ChecksumMode::PseudoHeader))
    };
    // Of a router that is nobody's here; with a wrong checksum, hop limit, version and length.
    let mut packets = Vec::new();
    for number in 0..BURST as u32 {
        let vrid = 1 + (number % u32::from(ROUTERS)) as u8;
        let (payload, hop_limit) = match number % 5 {
            0 => (good(100 + vrid, number)?, 255),
            1 => {
                let mut bytes = good(vrid, number)?;
                bytes[6] ^= 0x55;
                (bytes, 255)
            }
            2 => (good(vrid, number)?, 254),
            3 => {
                let mut bytes = good(vrid, number)?;
                bytes[0] = 0x71;
                (bytes, 255)
            }
            _ => (good(vrid, number)?[..7].to_vec(), 255),
        };
        packets.push((source(number), hop_limit, payload));
    }
    let rate = lab.client.namespace.run(move || -> std::io::Result<f64> {
        let mut sender = Sender::open()?;
        let burst: Vec<Packet<'_>> = packets
            .iter()
            .map(|(source, hop_limit, payload)| Packet {
                link: Some(link),
                source: *source,
                destination,
                ip: IpFields { protocol: VRRP_PROTOCOL, hop_limit: *hop_limit, identification: 1 },
                payload,
            })
            .collect();
        let (start, mut sent) = (Instant::now(), 0u64);
        while start.elapsed() < FLOOD_TIME {
            let due = (start.elapsed().as_secs_f64() * f64::from(FLOOD_RATE)) as u64;
            if sent >= due {
                std::thread::sleep(Duration::from_micros(200));
                continue;
            }
            let mut refused = 0;
            sender.send(&burst, |_, _| refused += 1);
            sent += burst.len() as u64 - refused;
        }
        Ok(sent as f64 / start.elapsed().as_secs_f64())
    })??;
    Ok(rate)
}

/// The longest time between two advertisements of one virtual router by the master.
fn longest_gap(sightings: &[Sighting]) -> Duration {
    let gaps = vrids(sightings, 0)
        .into_values()
        .flat_map(|times| times.windows(2).map(|pair| pair[1].saturating_since(pair[0])).max());
    gaps.max().unwrap_or_default()
}

/// Memory of all processes besides files, in MB.
fn anonymous(daemon: &Daemon) -> Result<f64> {
    let mut kilobytes = 0u32;
    for process in daemon.processes()? {
        let text = fs::read_to_string(format!("/proc/{process}/status"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
        kilobytes += line.trim().trim_end_matches("kB").trim().parse::<u32>()?;
    }
    Ok(f64::from(kilobytes) / 1024.0)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// keepalived counts nothing of that.
fn late(lab: &Lab, program: &Program, router: usize) -> Option<Lateness> {
    let pid_file = lab.folder().path().join(format!("{}.vrrp.pid", lab.routers[router].name));
    (program.kind == Kind::Alived).then(|| Lateness::of(&pid_file))
}

fn words(late: &Lateness) -> String {
    let [one, four, sixteen] = [1_024, 4_096, 16_384].map(|us| late.beyond(us));
    format!("{}, late by more than 1 ms {one}, 4 ms {four}, 16 ms {sixteen}", late.total())
}

/// A process that does nothing, as fast as it can; it ends by itself.
struct Loop(Child);

impl Loop {
    fn start(time: Duration) -> Result<Self> {
        let limit = (time.as_secs() + 10).to_string();
        let child = Command::new("timeout")
            .args([&limit, "sh", "-c", "while :; do :; done"])
            .stdin(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}
