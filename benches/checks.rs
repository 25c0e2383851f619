//! What health checks cost, ours and keepalived's, each in a process of its own in one network namespace.
//!
//! `cargo bench --bench checks [-- --quick] [--servers=N] [ROW...]`; rows:
//! - cost: processor time of one check by kind, for each connection that the kernel says was made;
//! - many: 37,000 TCP checks, each every 5 s: processor, memory, how late checks are and how evenly they are spread, as
//!   their server sees them;
//! - pages: HTTP_GET and SSL_GET, 2,000 servers each every 2 s, of one nginx: processor and memory;
//! - shared: 4,000 servers, each in 10 virtual servers: how many connections they see in a period.
//!
//! `--servers` sets how many servers the last three have, `--quick` makes it a tenth. The advertisements of 1,000 virtual
//! routers while checks run are the row `checks` of the bench `beside_keepalived`. Root, nginx; keepalived and a C
//! compiler to compare. keepalived checks nothing without IPVS: where the kernel may lack it, a library that is preloaded
//! (`support/stand_in_ipvs.c`) answers in its place.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout
)]

#[path = "support/checker.rs"]
mod checker;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alived::drill::Folder;
use alived::sys::namespace::Namespace;
use alived::sys::netlink::Network;
use checker::{Load, Started, address, start};
use socket2::{Domain, Socket, Type};

/// How long a figure is taken over at least, and how many periods of the checks.
const WINDOW: Duration = Duration::from_secs(8);
const PERIODS: u32 = 4;

/// Where a server listens that notes who was asked when.
const NOTED: u16 = 9000;

fn main() {
    checker::check_if_asked();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    // `cargo test` calls benches, too, to see that they start.
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    let Ok(namespace) = Namespace::create() else {
        return println!("not run: this machine forbids network namespaces");
    };
    if !Path::new("/usr/sbin/nginx").exists() {
        return println!("not run: there is no nginx (apt-get install nginx-light)");
    }
    alived::sys::process::raise_descriptor_limit();
    namespace.run(move || Bench::new(&arguments).run()).unwrap();
}

struct Bench {
    folder: Folder,
    keepalived: Option<String>,
    rows: Vec<String>,
    servers: Option<u32>,
    quick: bool,
}

impl Bench {
    fn new(arguments: &[String]) -> Self {
        let folder = Folder::create().unwrap();
        let servers = arguments.iter().find_map(|word| word.strip_prefix("--servers="));
        Self {
            keepalived: stand_in(&folder),
            folder,
            rows: arguments.iter().filter(|word| !word.starts_with("--")).cloned().collect(),
            servers: servers.map(|number| number.parse().unwrap()),
            quick: arguments.iter().any(|word| word == "--quick"),
        }
    }

    fn run(&self) {
        let mut network = Network::open().unwrap();
        let lo = network.index_of(&"lo".parse().unwrap()).unwrap();
        network.set_up(lo, true).unwrap();
        let _nginx = nginx(&self.folder);
        let noted = Noted::serve();
        let wants = |row: &str| self.rows.is_empty() || self.rows.iter().any(|wanted| wanted == row);
        let second = Duration::from_secs(1);
        let load = |kind, port, servers, period| Load { kind, port, servers, copies: 1, period };
        if wants("cost") {
            for load in [
                load("TCP_CHECK", 8080, 4000, second),
                load("HTTP_GET", 8080, 1000, second),
                load("SSL_GET", 8443, 200, second),
            ] {
                self.compare("cost", &load, &noted);
            }
        }
        if wants("many") {
            self.compare("many", &load("TCP_CHECK", NOTED, self.many(37_000), 5 * second), &noted);
        }
        if wants("pages") {
            self.compare("pages", &load("HTTP_GET", 8080, self.many(2000), 2 * second), &noted);
            self.compare("pages", &load("SSL_GET", 8443, self.many(2000), 2 * second), &noted);
        }
        if wants("shared") {
            let load = load("TCP_CHECK", NOTED, self.many(4000), 5 * second);
            self.compare("shared", &Load { copies: 10, ..load }, &noted);
        }
    }

    fn many(&self, usual: u32) -> u32 {
        self.servers.unwrap_or(if self.quick { usual / 10 } else { usual })
    }

    fn compare(&self, row: &str, load: &Load, noted: &Noted) {
        let Load { kind, servers, copies, period, .. } = load;
        println!("{row}: {kind}, {servers} servers in {copies} virtual servers, each every {period:?}");
        let ours = load.start();
        println!("  alived     {}", figures(ours.0.id(), load, noted));
        drop(ours);
        let Some(library) = &self.keepalived else { return println!("  keepalived is not measured") };
        let (keepalived, worker) = keepalived(&self.folder, library, load);
        println!("  keepalived {}", figures(worker, load, noted));
        drop(keepalived);
    }
}

/// What a process costs over a window, after as long for its start.
fn figures(process: u32, load: &Load, noted: &Noted) -> String {
    let window = WINDOW.max(load.period * PERIODS);
    std::thread::sleep(window);
    noted.clear();
    let (cpu_before, before, start) = (cpu(process), accepted(), Instant::now());
    std::thread::sleep(window);
    let (used, made, wall) = (cpu(process) - cpu_before, (accepted() - before) as f64, start.elapsed());
    let mut text = format!(
        "{:.1} % of a processor, {:.1} µs a connection, {:.0} connections a second, {:.1} a period for each server, {:.1} MB",
        used.as_secs_f64() / wall.as_secs_f64() * 100.0,
        used.as_secs_f64() * 1e6 / made,
        made / wall.as_secs_f64(),
        made / f64::from(load.servers) / wall.as_secs_f64() * load.period.as_secs_f64(),
        anonymous_mb(process),
    );
    if load.port == NOTED {
        let _ = write!(text, "; {}", noted.words(load));
    }
    text
}

/// A server that notes when each of its addresses was asked.
#[derive(Clone)]
struct Noted(Arc<Mutex<Vec<(IpAddr, Instant)>>>);

impl Noted {
    fn serve() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddr::from(([0, 0, 0, 0], NOTED)).into()).unwrap();
        socket.listen(4096).unwrap();
        let listener = TcpListener::from(socket);
        let noted = Self(Arc::default());
        let notes = noted.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Ok(asked) = stream.local_addr() {
                    notes.0.lock().unwrap().push((asked.ip(), Instant::now()));
                }
            }
        });
        noted
    }

    fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    /// How late checks were by their period, and how evenly they were spread.
    fn words(&self, load: &Load) -> String {
        let notes = core::mem::take(&mut *self.0.lock().unwrap());
        let Some((_, first)) = notes.first().copied() else { return "nobody was asked".to_owned() };
        let (mut last, mut buckets) = (BTreeMap::new(), BTreeMap::new());
        let (mut pauses, mut late, mut longest) = (0_u64, 0_u64, Duration::ZERO);
        for (server, at) in &notes {
            *buckets.entry((*at - first).as_millis() / 100).or_insert(0_u32) += 1;
            // Those of one server in several virtual servers are not told apart.
            if let Some(before) = last.insert(*server, *at).filter(|_| load.copies == 1) {
                let pause = *at - before;
                pauses += 1;
                late += u64::from(pause > load.period * 11 / 10);
                longest = longest.max(pause);
            }
        }
        // The last one is not whole.
        buckets.pop_last();
        let (least, most) = (buckets.values().min(), buckets.values().max());
        format!(
            "{late} of {pauses} late by more than a tenth, the longest pause {:.2} s; {} to {} in 0.1 s",
            longest.as_secs_f64(),
            least.unwrap_or(&0),
            most.unwrap_or(&0)
        )
    }
}

/// Connections that were accepted in this namespace so far.
fn accepted() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: ")).map(str::split_whitespace);
    let at = lines.next().unwrap().position(|name| name == "PassiveOpens").unwrap();
    lines.next().unwrap().nth(at).unwrap().parse().unwrap()
}

/// Processor time of a process so far, in the scheduler's nanoseconds.
fn cpu(process: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten();
    let spent = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(spent.sum())
}

/// Memory of its own, besides files.
fn anonymous_mb(process: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap() / 1024.0
}

/// keepalived, and the process of it that checks.
fn keepalived(folder: &Folder, library: &str, load: &Load) -> (Started, u32) {
    let Load { kind, port, servers, copies, period } = *load;
    let check = match kind {
        "TCP_CHECK" => "TCP_CHECK { connect_timeout 5 }".to_owned(),
        _ => format!("{kind} {{ url {{ path / }} connect_timeout 5 }}"),
    };
    let mut text = "global_defs { smtp_alert_checker false }\n".to_owned();
    for (virtual_server, first) in (0..servers * copies).step_by(100).enumerate() {
        let port_of_service = 1000 + virtual_server;
        writeln!(
            text,
            "virtual_server 192.0.2.1 {port_of_service} {{\n delay_loop {}\n lb_algo rr\n lb_kind NAT\n protocol TCP",
            period.as_secs()
        )
        .unwrap();
        for number in first..(servers * copies).min(first + 100) {
            writeln!(text, " real_server {} {port} {{ {check} }}", address(number % servers)).unwrap();
        }
        text.push_str("}\n");
    }
    let path = |file: &str| folder.path().join(file).to_str().unwrap().to_owned();
    fs::write(path("keepalived.conf"), text).unwrap();
    let checkers = path("checkers.pid");
    let _ = fs::remove_file(&checkers);
    let mut command = Command::new("/usr/sbin/keepalived");
    command.args(["-n", "-C", "-f", &path("keepalived.conf"), "-p", &path("pid"), "-c", &checkers]);
    let keepalived = start(command.env("LD_PRELOAD", library));
    let deadline = Instant::now() + Duration::from_secs(30);
    let worker = loop {
        let text = fs::read_to_string(&checkers).unwrap_or_default();
        if let Ok(worker) = text.trim().parse() {
            break worker;
        }
        assert!(Instant::now() < deadline, "keepalived does not start");
        std::thread::sleep(Duration::from_millis(20));
    };
    (keepalived, worker)
}

fn stand_in(folder: &Folder) -> Option<String> {
    let library = folder.path().join("stand_in_ipvs.so").to_str().unwrap().to_owned();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/support/stand_in_ipvs.c");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O2", "-o", &library, source]).status();
    let there = Path::new("/usr/sbin/keepalived").exists() && built.is_ok_and(|status| status.success());
    there.then_some(library)
}

fn nginx(folder: &Folder) -> Started {
    let prefix = folder.path().to_str().unwrap().to_owned();
    let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench -keyout key.pem -out \
                 certificate.pem";
    let made = Command::new("openssl").args(words.split(' ')).current_dir(folder.path()).output();
    assert!(made.unwrap().status.success(), "openssl makes a certificate");
    let text = "daemon off; master_process off; pid nginx.pid; error_log stderr crit; worker_rlimit_nofile 60000;
         events { worker_connections 50000; multi_accept on; }
         http {
             access_log off; client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d;
             scgi_temp_path e;
             server {
                 listen 8080 backlog=4096; listen 8443 ssl backlog=4096;
                 ssl_certificate certificate.pem; ssl_certificate_key key.pem;
                 location / { return 200 'well'; }
             }
         }";
    fs::write(folder.path().join("nginx.conf"), text).unwrap();
    let nginx = start(Command::new("/usr/sbin/nginx").args(["-p", &prefix, "-c", "nginx.conf"]));
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect("127.0.0.1:8443").is_err() {
        assert!(Instant::now() < deadline, "nginx does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    nginx
}
