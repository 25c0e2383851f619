//! What one health check costs, ours and keepalived's, by kind: processor time of the process that checks, for each
//! connection that the kernel says was made. Servers are one nginx, in the same network namespace.
//!
//! `cargo bench --bench checks`. Root, nginx; keepalived and a C compiler to compare. keepalived checks nothing without
//! IPVS: where the kernel may lack it, a library that is preloaded (`support/stand_in_ipvs.c`) answers in its place.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout
)]

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alived::check::{
    CheckActions, Checker, CheckerKind, Checks, Connection, HttpCheck, HttpVersion, ServerName, StatusCodes,
    Target, TargetedCheck, Timing, TlsCheck, UrlCheck,
};
use alived::daemon::checks::CheckIo;
use alived::daemon::runner::{Runner, Supply};
use alived::drill::Folder;
use alived::sys::clock;
use alived::sys::namespace::Namespace;
use alived::sys::netlink::Network;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

/// How long one figure is taken over, after as long for the start.
const WINDOW: Duration = Duration::from_secs(8);

/// What is checked: how it is called, on which port, and how often a second, each server once.
const KINDS: [(&str, u16, u16); 3] =
    [("TCP_CHECK", 8080, 4000), ("HTTP_GET", 8080, 1000), ("SSL_GET", 8443, 200)];

fn main() {
    // `cargo test` calls benches, too, to see that they start.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let Ok(namespace) = Namespace::create() else {
        return println!("not run: this machine forbids network namespaces");
    };
    if !Path::new("/usr/sbin/nginx").exists() {
        return println!("not run: there is no nginx (apt-get install nginx-light)");
    }
    alived::sys::process::raise_descriptor_limit();
    namespace.run(measure).unwrap();
}

fn measure() {
    let mut network = Network::open().unwrap();
    let lo = network.index_of(&"lo".parse().unwrap()).unwrap();
    network.set_up(lo, true).unwrap();
    let folder = Folder::create().unwrap();
    let _nginx = nginx(&folder);
    let stand_in = stand_in(&folder);
    println!("processor time of one check, in µs (checks a second)");
    for (kind, port, each_second) in KINDS {
        let ours = ours(kind, port, each_second);
        let theirs = stand_in.as_ref().map(|library| keepalived(&folder, library, kind, port, each_second));
        let figure = |(cpu, rate): (f64, f64)| format!("{cpu:>7.1} ({rate:.0})");
        let theirs = theirs.map_or_else(|| "not measured".to_owned(), figure);
        println!("  {kind:<10} alived {}   keepalived {theirs}", figure(ours));
    }
}

/// Each server has an address of its own.
fn address(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 1, high, low.max(1))
}

/// Connections that were accepted in this namespace so far.
fn accepted() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: ")).map(str::split_whitespace);
    let at = lines.next().unwrap().position(|name| name == "PassiveOpens").unwrap();
    lines.next().unwrap().nth(at).unwrap().parse().unwrap()
}

/// Processor time and connections over a window.
fn over_window(cpu: impl Fn() -> Duration, mut go_on: impl FnMut(Duration)) -> (f64, f64) {
    go_on(WINDOW);
    let (cpu_before, before, start) = (cpu(), accepted(), Instant::now());
    go_on(WINDOW);
    let (used, made) = (cpu() - cpu_before, (accepted() - before) as f64);
    (used.as_secs_f64() * 1e6 / made, made / start.elapsed().as_secs_f64())
}

fn kind(kind: &str) -> CheckerKind {
    let tls = (kind == "SSL_GET").then_some(TlsCheck { server_name: ServerName::None });
    if kind == "TCP_CHECK" {
        return CheckerKind::Tcp(Connection::default());
    }
    CheckerKind::Http(Box::new(HttpCheck {
        connection: Connection::default(),
        tls,
        version: HttpVersion::V1_0,
        fast_recovery: false,
        urls: vec![UrlCheck {
            path: "/".into(),
            host: None,
            status: StatusCodes::default(),
            digest: None,
            regex: None,
            close_notify: false,
        }],
    }))
}

fn ours(name: &str, port: u16, each_second: u16) -> (f64, f64) {
    let second = Duration::from_secs(1);
    let timing = Timing {
        delay_loop: second,
        retry: 1,
        delay_before_retry: second,
        warmup: second,
        alpha: false,
        log_all_failures: None,
    };
    let checker = Arc::new(Checker { timing, kind: kind(name) });
    let targeted = (0..each_second).map(|number| TargetedCheck {
        key: u32::from(number),
        target: Target { address: IpAddr::V4(address(number)), port: NonZeroU16::new(port) },
        checker: Arc::clone(&checker),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
    let (_demand, supply): (OwnedFd, OwnedFd) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
    let mut runner = Runner::new(Supply::from(supply)).unwrap();
    let mut io = runtime.block_on(async { CheckIo::new() }).unwrap();
    let mut checks = Checks::new(7);
    let mut actions = CheckActions::default();
    checks.configure(clock::now().instant, targeted, &mut actions);
    let cpu = || {
        let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
        let time = |value: nix::sys::time::TimeVal| {
            Duration::new(value.tv_sec() as u64, value.tv_usec() as u32 * 1000)
        };
        time(usage.user_time()) + time(usage.system_time())
    };
    let figures = over_window(cpu, |span| {
        let end = Instant::now() + span;
        runtime.block_on(async {
            while Instant::now() < end {
                let now = clock::now().instant;
                let pause = checks.poll_timeout().map_or(second, |at| at.saturating_since(now));
                tokio::select! {
                    () = io.ready() => {}
                    () = tokio::time::sleep(pause) => {}
                }
                let now = clock::now().instant;
                while let Some((attempt, event)) = io.next() {
                    checks.handle(now, attempt, &event, &mut actions);
                    for (attempt, action) in actions.io.drain(..) {
                        io.carry_out(attempt, action, &mut runner);
                    }
                }
                checks.handle_timeout(now, &mut actions);
                for (attempt, action) in actions.io.drain(..) {
                    io.carry_out(attempt, action, &mut runner);
                }
            }
        });
    });
    let bad = checks.statuses().filter(|status| status.up != Some(true)).count();
    assert_eq!(bad, 0, "all servers of {name} are up");
    figures
}

/// A process that ends with its owner.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        alived::sys::process::signal(self.0.id(), libc::SIGTERM);
        let _ = self.0.wait();
    }
}

fn start(command: &mut Command) -> Started {
    Started(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

fn keepalived(folder: &Folder, library: &str, name: &str, port: u16, each_second: u16) -> (f64, f64) {
    let check = match name {
        "TCP_CHECK" => "TCP_CHECK { connect_timeout 5 }".to_owned(),
        _ => format!("{name} {{ url {{ path / }} connect_timeout 5 }}"),
    };
    let mut text = "global_defs { smtp_alert_checker false }\n".to_owned();
    for first in (0..each_second).step_by(100) {
        writeln!(
            text,
            "virtual_server 192.0.2.1 {} {{\n delay_loop 1\n lb_algo rr\n lb_kind NAT\n protocol TCP",
            1000 + first / 100
        )
        .unwrap();
        for number in first..each_second.min(first + 100) {
            writeln!(text, " real_server {} {port} {{ {check} }}", address(number)).unwrap();
        }
        text.push_str("}\n");
    }
    let path = |file: &str| folder.path().join(file).to_str().unwrap().to_owned();
    fs::write(path("keepalived.conf"), text).unwrap();
    let checkers = path("checkers.pid");
    let mut command = Command::new("/usr/sbin/keepalived");
    command.args(["-n", "-C", "-f", &path("keepalived.conf"), "-p", &path("pid"), "-c", &checkers]);
    let _keepalived = start(command.env("LD_PRELOAD", library));
    let deadline = Instant::now() + Duration::from_secs(30);
    while fs::read_to_string(&checkers).map_or(true, |text| text.trim().is_empty()) {
        assert!(Instant::now() < deadline, "keepalived does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let checker: u32 = fs::read_to_string(&checkers).unwrap().trim().parse().unwrap();
    let cpu = || {
        // In ticks of 10 ms, after the name in brackets: what is spent in the program and in the kernel.
        let text = fs::read_to_string(format!("/proc/{checker}/stat")).unwrap();
        let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    };
    over_window(cpu, std::thread::sleep)
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
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=bench", "-keyout", "key.pem", "-out", "certificate.pem"])
        .current_dir(folder.path())
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success(), "openssl makes a certificate");
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
