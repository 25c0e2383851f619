//! Many virtual servers, beside keepalived in the same boot: start to complete table, reload with one changed real
//! server, stop with empty table. A few in a normal run; with `ALIVED_SOAK=1` a thousand with ten real servers each, and
//! the times are judged. `--nocapture` shows them in any case.

use std::fs;
use std::io::Read as _;
use std::time::{Duration, Instant};

use alived::drill::Program;
use socket2::{Domain, Protocol, Socket, Type};

use crate::director::{director, ipvsadm};
use crate::host::Host;
use crate::ip::ip;
use crate::second_kernel::{self, Outcome};
use crate::{skip, soak};

const REALS: u64 = 10;

/// A kernel with ten thousand entries, twice, and keepalived's pace.
const LIMIT: Duration = Duration::from_secs(600);

/// Requests to IPVS that write entries (`enum` of `linux/ip_vs.h`): new, changed and removed services, and destinations.
const WRITES: [u8; 6] = [1, 2, 3, 5, 6, 7];
const SET_DESTINATION: u8 = 6;

fn servers() -> u64 {
    soak::count(5, 1000)
}

/// All of them; the first real server of the last one has this weight.
fn configuration(weight: u32) -> String {
    let last = servers() - 1;
    let server = |number: u64| {
        let real = |real: u64| {
            let weight = if (number, real) == (last, 1) { weight } else { 1 };
            format!("real_server 10.{}.{}.{real} 80 {{\nweight {weight}\n}}\n", number / 250, number % 250)
        };
        let reals: String = (1..=REALS).map(real).collect();
        format!(
            "virtual_server 192.0.2.100 {} {{\ndelay_loop 60\nlvs_sched wrr\nlvs_method NAT\nprotocol TCP\n{reals}}}\n",
            1000 + number
        )
    };
    (0..servers()).map(server).collect()
}

/// Entries in the kernel's table.
fn entries(host: &Host) -> usize {
    // There once the kernel's module is.
    let read = || fs::read_to_string("/proc/thread-self/net/ip_vs").unwrap_or_default();
    // Behind three lines of heads.
    host.namespace.run(read).unwrap().lines().count().saturating_sub(3)
}

/// Since `start`, once there are so many entries.
fn until(host: &Host, wanted: usize, start: Instant) -> Duration {
    while entries(host) != wanted {
        assert!(start.elapsed() < LIMIT / 4, "{} entries, not {wanted}\n{}", entries(host), host.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    start.elapsed()
}

/// What is asked of the kernel over netlink, as a monitor of it sees it.
struct Asked(Socket);

impl Asked {
    fn open(host: &Host) -> Self {
        second_kernel::load(&["nlmon"]).unwrap();
        ip(host, "link add nlmon0 type nlmon");
        ip(host, "link set nlmon0 up");
        let every = i32::from((libc::ETH_P_ALL as u16).to_be());
        let open = move || Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(every))).unwrap();
        let socket = host.namespace.run(open).unwrap();
        socket.set_recv_buffer_size(64 << 20).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    /// The requests so far that write entries of IPVS, by kind, and when the last one came.
    fn writes(&mut self) -> (Vec<u8>, Option<Instant>) {
        let (mut writes, mut at) = (Vec::new(), None);
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length) = (&self.0).read(&mut buffer) {
            let mut rest = &buffer[..length];
            // The header of netlink: length, type, flags; behind it that of generic netlink, which begins with the kind.
            while let Some((header, _)) = rest.split_first_chunk::<20>() {
                let length = u32::from_ne_bytes(header[..4].try_into().unwrap()) as usize;
                let kind = u16::from_ne_bytes(header[4..6].try_into().unwrap());
                let flags = u16::from_ne_bytes(header[6..8].try_into().unwrap());
                // Those of families with a number of their own.
                if kind > 0x10 && kind < 0x100 && flags & 1 == 1 && WRITES.contains(&header[16]) {
                    writes.push(header[16]);
                    at = Some(Instant::now());
                }
                let Some(next) = rest.get(length.next_multiple_of(4).max(20)..) else { break };
                rest = next;
            }
        }
        (writes, at)
    }
}

/// What one of the two took.
#[derive(Debug)]
struct Times {
    start: Duration,
    reload: Duration,
    writes: Vec<u8>,
    stop: Duration,
    left: usize,
}

fn measured(program: Option<&Program>) -> Times {
    let mut host = director();
    if let Some(program) = program {
        host.use_program(&program.path);
    }
    host.configure(&configuration(1));
    let all = usize::try_from(servers() * (REALS + 1)).unwrap();
    let begun = Instant::now();
    let mut daemon = host
        .command(&["-n", "-C", "-l"])
        .stderr(fs::File::create(host.path("log")).unwrap())
        .spawn()
        .unwrap();
    let start = until(&host, all, begun);
    // Until all is quiet.
    std::thread::sleep(Duration::from_secs(2));
    let mut asked = Asked::open(&host);
    host.configure(&configuration(7));
    asked.writes();
    let begun = Instant::now();
    host.signal(libc::SIGHUP);
    let (mut writes, mut reload) = (Vec::new(), None);
    while reload.is_none() || begun.elapsed() < reload.unwrap_or_default() + Duration::from_secs(2) {
        let (more, at) = asked.writes();
        writes.extend(more);
        reload = at.map(|at| at - begun).or(reload);
        assert!(begun.elapsed() < LIMIT / 4, "nothing is written\n{}", host.log());
        std::thread::sleep(Duration::from_micros(500));
    }
    assert_eq!(entries(&host), all);
    let begun = Instant::now();
    alived::sys::process::signal(daemon.id(), libc::SIGTERM);
    daemon.wait().unwrap();
    let stop = begun.elapsed();
    let left = entries(&host);
    ipvsadm(&host, &["-C"]);
    Times { start, reload: reload.unwrap_or_default(), writes, stop, left }
}

#[test]
fn many_virtual_servers_start_reload_and_stop_beside_keepalived() {
    let body = || {
        // Neither of the two is to wait for the disk.
        second_kernel::load(&["ip_vs", "ip_vs_wrr"]).unwrap();
        let ours = measured(None);
        eprintln!("{} virtual servers with {REALS} real servers each", servers());
        eprintln!("alived     {ours:?}");
        assert_eq!((&*ours.writes, ours.left), (&[SET_DESTINATION][..], 0));
        let Some(keepalived) = Program::keepalived() else {
            return skip::skip("many virtual servers beside keepalived", "keepalived is not installed");
        };
        let theirs = measured(Some(&keepalived));
        eprintln!("keepalived {theirs:?}");
        if soak::count(0, 1) == 1 {
            assert!(ours.start * 3 <= theirs.start, "{:?} {:?}", ours.start, theirs.start);
            assert!(ours.stop * 3 <= theirs.stop, "{:?} {:?}", ours.stop, theirs.stop);
            assert!(ours.reload < Duration::from_millis(100), "{:?}", ours.reload);
        }
    };
    match second_kernel::outcome(LIMIT, body) {
        Outcome::Passed => {}
        Outcome::Skipped(reason) => skip::skip("many virtual servers", &reason),
        Outcome::Failed(report) => panic!("{report}"),
    }
}
