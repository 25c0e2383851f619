//! Virtual servers of a real daemon: the kernel's table, who is told, and what deaths and reloads leave.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use alived::drill::Program;
use alived::sys::capture::Capture;
use alived::sys::netlink::Network;
use alived::sys::process::signal;

use crate::certificates::{Certificates, Request};
use crate::host::{self, Host, LAN};
use crate::second_kernel::{self, Outcome};
use crate::{skip, soak};

/// Runs a test where `ipvsadm` is its judge.
pub(crate) fn judged<F: FnOnce()>(body: F) {
    judged_within(second_kernel::LIMIT, body);
}

/// The same with another limit of time.
fn judged_within<F: FnOnce()>(limit: Duration, body: F) {
    const WHAT: &str = "a test of virtual servers";
    if !Path::new("/sbin/ipvsadm").exists() {
        return skip::skip(WHAT, "there is no /sbin/ipvsadm (apt-get install ipvsadm)");
    }
    match second_kernel::outcome(limit, body) {
        Outcome::Passed => {}
        Outcome::Skipped(reason) => skip::skip(WHAT, &reason),
        Outcome::Failed(report) => panic!("it failed in the second kernel:\n{report}"),
    }
}

/// A host whose loopback interface is up, where real servers are.
pub(crate) fn director() -> Host {
    let host = Host::new().unwrap();
    let mut network = host.namespace.run(Network::open).unwrap().unwrap();
    let loopback = network.index_of(&host::name("lo")).unwrap();
    network.set_up(loopback, true).unwrap();
    host
}

/// The kernel's table, in order.
pub(crate) fn table(host: &Host) -> Vec<String> {
    let mut command = Command::new("ipvsadm");
    command.args(["-S", "-n"]);
    host.namespace.contain(&mut command);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut lines: Vec<String> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| line.trim_end().to_owned()).collect();
    lines.sort();
    lines
}

pub(crate) fn ipvsadm(host: &Host, arguments: &[&str]) {
    let mut command = Command::new("ipvsadm");
    command.args(arguments);
    host.namespace.contain(&mut command);
    assert!(command.status().unwrap().success());
}

pub(crate) fn wait_for_table(host: &mut Host, wanted: &[&str]) {
    let mut wanted: Vec<String> = wanted.iter().map(|line| (*line).to_owned()).collect();
    wanted.sort();
    let mut last = Vec::new();
    let start = std::time::Instant::now();
    while last != wanted {
        assert!(start.elapsed().as_secs() < 40, "it is\n{last:#?}\nnot\n{wanted:#?}\n{}", host.log());
        std::thread::sleep(Duration::from_millis(10));
        last = table(host);
    }
}

/// A real server.
pub(crate) fn listen(host: &Host, address: &str) -> TcpListener {
    let address: SocketAddr = address.parse().unwrap();
    host.namespace.run(move || TcpListener::bind(address)).unwrap().unwrap()
}

pub(crate) fn real_server(port: u16, more: &str) -> String {
    format!("real_server 127.0.0.1 {port} {{\n{more}\nTCP_CHECK {{\nconnect_timeout 2\nretry 0\n}}\n}}\n")
}

pub(crate) fn virtual_server(port: u16, more: &str) -> String {
    format!(
        "virtual_server 192.0.2.100 {port} {{\ndelay_loop 1\nlvs_sched rr\nlvs_method NAT\nprotocol TCP\n{more}}}\n"
    )
}

pub(crate) const BOTH: [&str; 3] = [
    "-A -t 192.0.2.100:80 -s rr",
    "-a -t 192.0.2.100:80 -r 127.0.0.1:8001 -m -w 1",
    "-a -t 192.0.2.100:80 -r 127.0.0.1:8002 -m -w 1",
];

/// Two real servers that listen, and a virtual server for them.
pub(crate) fn with_two(more: &str) -> (Host, [TcpListener; 2]) {
    let host = director();
    let servers = [listen(&host, "127.0.0.1:8001"), listen(&host, "127.0.0.1:8002")];
    let reals = real_server(8001, "") + &real_server(8002, "");
    host.configure(&virtual_server(80, &format!("{more}\n{reals}")));
    (host, servers)
}

#[test]
fn a_real_server_dies_and_returns_and_all_are_told() {
    judged(|| {
        let host = director();
        let (fifo, told) = (host.path("fifo"), host.path("told"));
        let script = |word: &str| format!("\"/bin/sh -c 'echo {word} >> {}'\"", told.display());
        let first = listen(&host, "127.0.0.1:8001");
        let second = listen(&host, "127.0.0.1:8002");
        let notify = format!("notify_up {}\nnotify_down {}", script("up"), script("down"));
        let reals = real_server(8001, &notify) + &real_server(8002, "weight 2\ninhibit_on_failure");
        let quorum = format!(
            "quorum 2\nquorum_up {}\nquorum_down {}\nsorry_server 127.0.0.1 9\n",
            script("gained"),
            script("lost")
        );
        let mut host = host;
        host.configure(&format!(
            "global_defs {{\nlvs_notify_fifo {}\n}}\n{}",
            fifo.display(),
            virtual_server(80, &(quorum + &reals))
        ));
        host.start(&[]);
        let service = "-A -t 192.0.2.100:80 -s rr";
        let one = "-a -t 192.0.2.100:80 -r 127.0.0.1:8001 -m -w 1";
        let two = "-a -t 192.0.2.100:80 -r 127.0.0.1:8002 -m -w 2";
        let inhibited = "-a -t 192.0.2.100:80 -r 127.0.0.1:8002 -m -w 0";
        let sorry = "-a -t 192.0.2.100:80 -r 127.0.0.1:9 -m -w 1";
        wait_for_table(&mut host, &[service, one, two]);
        let mut reader = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&fifo).unwrap();
        drop(first);
        wait_for_table(&mut host, &[service, two]);
        drop(second);
        wait_for_table(&mut host, &[service, inhibited, sorry]);
        let _first = listen(&host, "127.0.0.1:8001");
        // One alone is no quorum.
        host.wait_for_lines("Adding service [127.0.0.1]:tcp:8001", 1);
        wait_for_table(&mut host, &[service, inhibited, sorry]);
        let _second = listen(&host, "127.0.0.1:8002");
        wait_for_table(&mut host, &[service, one, two]);
        let mut lines = String::new();
        let wanted = "VS [192.0.2.100]:tcp:80 UP\nRS [127.0.0.1]:tcp:8001 [192.0.2.100]:tcp:80 DOWN\n\
                      RS [127.0.0.1]:tcp:8002 [192.0.2.100]:tcp:80 DOWN\nVS [192.0.2.100]:tcp:80 DOWN\n\
                      RS [127.0.0.1]:tcp:8001 [192.0.2.100]:tcp:80 UP\nRS [127.0.0.1]:tcp:8002 \
                      [192.0.2.100]:tcp:80 UP\nVS [192.0.2.100]:tcp:80 UP\n";
        host.wait("the lines", |_| {
            let mut buffer = [0; 4096];
            if let Ok(bytes @ 1..) = reader.read(&mut buffer) {
                lines += std::str::from_utf8(&buffer[..bytes]).unwrap();
            }
            lines.len() >= wanted.len()
        });
        assert_eq!(lines, wanted);
        host.wait("the scripts", |_| {
            let text = fs::read_to_string(&told).unwrap_or_default();
            let mut words: Vec<&str> = text.lines().collect();
            words.sort_unstable();
            words == ["down", "gained", "gained", "lost", "up"]
        });
        host.signal(libc::SIGTERM);
        assert!(host.wait_for_end().success());
        assert_eq!(table(&host), Vec::<String>::new());
    });
}

#[test]
fn what_is_changed_by_hand_is_put_right() {
    judged(|| {
        let (mut host, _servers) = with_two("");
        host.start(&[]);
        wait_for_table(&mut host, &BOTH);
        for arguments in [
            &["-C"][..],
            &["-d", "-t", "192.0.2.100:80", "-r", "127.0.0.1:8002"],
            &["-D", "-t", "192.0.2.100:80"],
            &["-e", "-t", "192.0.2.100:80", "-r", "127.0.0.1:8002", "-m", "-w", "7"],
            &["-E", "-t", "192.0.2.100:80", "-s", "wlc"],
        ] {
            ipvsadm(&host, arguments);
            wait_for_table(&mut host, &BOTH);
        }
        // What somebody else added stays, also at the end.
        ipvsadm(&host, &["-A", "-t", "192.0.2.200:80", "-s", "rr"]);
        host.signal(libc::SIGTERM);
        assert!(host.wait_for_end().success());
        assert_eq!(table(&host), ["-A -t 192.0.2.200:80 -s rr"]);
    });
}

/// Kills of one daemon's worker: keepalived's back-off makes each pause as long as all before together.
fn kills() -> u64 {
    soak::count(3, 5)
}

/// A few kills, or fifty.
#[test]
fn a_worker_that_is_killed_leaves_advertisements_and_the_table_alone() {
    judged_within(second_kernel::LIMIT * 4, || (0..soak::count(1, 10)).for_each(|_| kill_workers()));
}

fn kill_workers() {
    let (mut host, _servers) = with_two("");
    let routers = host::instance("VI_1", 51, 100, "192.0.2.50/24");
    let text = fs::read_to_string(host.path("keepalived.conf")).unwrap();
    // A real server that is dead all the time is not brought back by those who come after.
    let dead = format!("{}real_server 127.0.0.1 8002", real_server(8003, "weight 3"));
    host.configure(&(routers + &text.replace("real_server 127.0.0.1 8002", &dead)));
    let mut capture = host.switch.run(Capture::open).unwrap().unwrap();
    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", 1);
    wait_for_table(&mut host, &BOTH);
    let vrrp = host.worker();
    for kill in 1..=kills() {
        let before = host.checker();
        signal(before, libc::SIGKILL);
        let mut seen = 0;
        host.wait(&format!("worker {kill}"), |host| {
            assert_eq!(table(host), BOTH, "after {kill} kills\n{}", host.log());
            while let Some(frame) = capture.read().unwrap() {
                let bytes = &frame.bytes;
                let is_vrrp = bytes.len() > 42 && bytes[12..14] == [8, 0] && bytes[23] == 112;
                seen += usize::from(is_vrrp);
                // Nobody was told that the master leaves.
                assert!(!is_vrrp || bytes[36] == 100, "priority {}\n{}", bytes[36], host.log());
            }
            seen >= 3 && host.checker() != before
        });
    }
    assert_eq!(host.worker(), vrrp);
    assert_eq!(host.log().matches("Entering MASTER STATE").count(), 1);
    assert!(host.holds("192.0.2.50/24"));
    host.signal(libc::SIGTERM);
    assert!(host.wait_for_end().success());
    assert_eq!(table(&host), Vec::<String>::new());
}

#[test]
fn a_reload_brings_the_worker_changes_what_differs_and_ends_it() {
    judged(|| {
        let host = director();
        let router = host::instance("VI_1", 51, 100, "192.0.2.50/24");
        let mut host = host;
        let _servers = [listen(&host, "127.0.0.1:8001"), listen(&host, "127.0.0.1:8002")];
        host.configure(&router);
        host.start(&[]);
        assert!(!host.path("checkers.pid").exists());
        let reals = real_server(8001, "") + &real_server(8002, "");
        host.configure(&format!("{router}{}", virtual_server(80, &reals)));
        host.signal(libc::SIGHUP);
        wait_for_table(&mut host, &BOTH);
        let worker = host.checker();
        let more =
            format!("{router}{}{}", virtual_server(80, &reals), virtual_server(81, &real_server(8001, "")));
        host.configure(&more);
        host.signal(libc::SIGHUP);
        let added = ["-A -t 192.0.2.100:81 -s rr", "-a -t 192.0.2.100:81 -r 127.0.0.1:8001 -m -w 1"];
        wait_for_table(&mut host, &[&BOTH[..], &added].concat());
        assert_eq!(host.checker(), worker);
        let mut control = Command::new(env!("CARGO_BIN_EXE_alived"));
        control.args(["status", "-r"]).arg(host.path("vrrp.pid"));
        let status = String::from_utf8(control.output().unwrap().stdout).unwrap();
        for words in ["VI_1: ", "VS [192.0.2.100]:tcp:81: UP, weight 1 of 1 needed", "TCP_CHECK: "] {
            assert!(status.contains(words), "{words}: {status}");
        }
        host.configure(&router);
        host.signal(libc::SIGHUP);
        wait_for_table(&mut host, &[]);
        host.wait("its end", |host| !host.path("checkers.pid").exists());
        assert!(!host.path("checkers.services").exists());
        host.signal(libc::SIGTERM);
        assert!(host.wait_for_end().success());
    });
}

/// `verify-certificates` of alived.toml, up to the `ca` of `SSL`.
#[test]
fn a_certificate_is_verified_where_that_is_asked_for() {
    judged(|| {
        let mut host = director();
        let (ours, others) = (Certificates::new(), Certificates::new());
        let served = ours.signed("served", &Request { name: "IP:127.0.0.1", days: 30 });
        let mut server = Command::new("openssl");
        server.args([
            "s_server",
            "-quiet",
            "-www",
            "-accept",
            "127.0.0.1:8443",
            "-cert",
            &served.certificate,
        ]);
        server.args(["-key", &served.key]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        host.namespace.contain(&mut server);
        let mut server = server.spawn().unwrap();
        let check = "SSL_GET {\nurl {\npath /\nstatus_code 200\n}\nconnect_timeout 10\nretry 0\n}\n";
        let real = format!("real_server 127.0.0.1 8443 {{\nweight 1\n{check}}}\n");
        let text = |authority: &Certificates| {
            format!("SSL {{\nca {}\n}}\n{}", authority.authority(), virtual_server(443, &real))
        };
        let service = "-A -t 192.0.2.100:443 -s rr";
        let with_server = [service, "-a -t 192.0.2.100:443 -r 127.0.0.1:8443 -m -w 1"];
        host.write("alived.toml", "[checks]\nverify-certificates = true\n");
        host.configure(&text(&others));
        host.start(&[]);
        wait_for_table(&mut host, &[service]);
        host.configure(&text(&ours));
        host.signal(libc::SIGHUP);
        wait_for_table(&mut host, &with_server);
        host.configure(&text(&others));
        host.signal(libc::SIGHUP);
        wait_for_table(&mut host, &[service]);
        host.write("alived.toml", "");
        host.signal(libc::SIGHUP);
        wait_for_table(&mut host, &with_server);
        host.signal(libc::SIGTERM);
        assert!(host.wait_for_end().success());
        server.kill().unwrap();
        server.wait().unwrap();
    });
}

#[test]
fn the_last_word_of_a_killed_daemon_is_its_successor_s() {
    judged(|| {
        let (mut host, _servers) = with_two("");
        host.start(&["-R"]);
        wait_for_table(&mut host, &BOTH);
        // With -R the supervisor tidies up.
        signal(host.checker(), libc::SIGKILL);
        host.wait_for_end();
        assert_eq!(table(&host), Vec::<String>::new());
        host.start(&[]);
        wait_for_table(&mut host, &BOTH);
        // The supervisor's death would let its workers stop in order, and tidy up.
        signal(host.supervisor(), libc::SIGSTOP);
        for pid in [host.worker(), host.checker(), host.supervisor()] {
            signal(pid, libc::SIGKILL);
        }
        host.wait_for_end();
        assert_eq!(table(&host), BOTH);
        host.configure(&virtual_server(82, &real_server(8001, "")));
        host.start(&[]);
        wait_for_table(
            &mut host,
            &["-A -t 192.0.2.100:82 -s rr", "-a -t 192.0.2.100:82 -r 127.0.0.1:8001 -m -w 1"],
        );
        host.signal(libc::SIGTERM);
        assert!(host.wait_for_end().success());
        assert_eq!(table(&host), Vec::<String>::new());
    });
}

/// Virtual servers, of which keepalived and we leave the same table, each with an address of its own.
fn all_kinds() -> String {
    let plain =
        |address: &str, port: u16, more: &str| format!("real_server {address} {port} {{\n{more}\n}}\n");
    let web = plain("198.51.100.1", 80, "weight 3") + &plain("198.51.100.2", 80, "");
    let mut text = String::new();
    let mut add = |header: &str, more: &str, reals: &str| {
        text += &format!("virtual_server {header} {{\ndelay_loop 60\n{more}\n{reals}}}\n");
    };
    let schedulers =
        ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "sed", "nq", "fo", "ovf"].into_iter();
    for (number, scheduler) in schedulers.enumerate() {
        let more = format!("lvs_sched {scheduler}\nlvs_method NAT\nprotocol TCP");
        add(&format!("192.0.2.{} 80", 10 + number), &more, &web);
    }
    for (number, more) in [
        "lvs_sched sh\nsh-port\nsh-fallback\nlvs_method NAT\nprotocol TCP",
        "lvs_sched mh\nmh-port\nmh-fallback\nlvs_method NAT\nprotocol TCP",
        "lvs_sched rr\nlvs_method DR\nprotocol TCP",
        "lvs_sched rr\nlvs_method TUN\nprotocol TCP",
        "lvs_sched rr\nlvs_method TUN type gue port 6080\nprotocol TCP",
        "lvs_sched rr\nlvs_method TUN type gre csum\nprotocol TCP",
        "lvs_sched rr\nlvs_method NAT\npersistence_timeout 600\nprotocol TCP",
        "lvs_sched rr\nlvs_method NAT\npersistence_timeout 600\npersistence_granularity 255.255.255.0\nprotocol TCP",
        "lvs_sched rr\nlvs_method NAT\nprotocol SCTP",
        "lvs_sched rr\nlvs_method NAT\nprotocol TCP\nweight 5",
        "lvs_sched rr\nlvs_method NAT\nprotocol TCP\nsorry_server 198.51.100.9 80\nsorry_server_inhibit",
        "lvs_sched rr\nlvs_method NAT\nprotocol TCP\nsorry_server 198.51.100.9 80\nquorum 10",
    ]
    .into_iter()
    .enumerate()
    {
        add(&format!("192.0.2.{} 80", 30 + number), more, &web);
    }
    let nat = "lvs_sched rr\nlvs_method NAT\nprotocol TCP";
    add("192.0.2.50 53", "lvs_sched rr\nlvs_method NAT\nops\nprotocol UDP", &plain("198.51.100.1", 53, ""));
    add("192.0.2.51 0", &format!("persistence_timeout 50\n{nat}"), &plain("198.51.100.1", 0, ""));
    add("2001:db8::100 80", nat, &plain("2001:db8:1::1", 8080, "weight 9"));
    add("fwmark 7", "lvs_sched rr\nlvs_method DR", &plain("198.51.100.1", 0, ""));
    add("fwmark 8", "lvs_sched rr\nlvs_method DR\nip_family inet6", &plain("2001:db8:1::1", 0, ""));
    let thresholds = "uthreshold 500\nlthreshold 400\nlvs_method DR";
    add("192.0.2.52 80", nat, &plain("198.51.100.1", 80, thresholds));
    add("192.0.2.53 80", &format!("alpha\n{nat}"), &real_server(8001, "inhibit_on_failure"));
    add("group G", nat, &(plain("198.51.100.1", 80, "") + &plain("198.51.100.2", 80, "weight 7")));
    text + "virtual_server_group G {\n192.0.2.101 80\n192.0.2.102-105 81\nfwmark 9\n}\n"
}

#[test]
fn keepalived_leaves_the_same_table() {
    judged(|| {
        let Some(keepalived) = Program::keepalived() else {
            return skip::skip("keepalived_leaves_the_same_table", "keepalived is not installed");
        };
        let mut tables = Vec::new();
        for program in [None, Some(keepalived.path.as_path())] {
            let mut host = director();
            if let Some(program) = program {
                host.use_program(program);
            }
            host.configure(&all_kinds());
            host.start(&["-C"]);
            let (mut last, mut still) = (Vec::new(), 0);
            host.wait("a table", |host| {
                let held = table(host);
                still = if held == last && !held.is_empty() { still + 1 } else { 0 };
                last = held;
                still > 50
            });
            tables.push(last);
            host.signal(libc::SIGTERM);
            host.wait_for_end();
            assert!(program.is_some() || table(&host).is_empty());
        }
        let only = |one: usize, other: usize| -> Vec<&String> {
            tables[one].iter().filter(|line| !tables[other].contains(line)).collect()
        };
        assert!(tables[0].len() > 100);
        assert!(tables[0] == tables[1], "only ours: {:#?}\nonly theirs: {:#?}", only(0, 1), only(1, 0));
    });
}

#[test]
fn many_entries_are_written_and_removed() {
    judged(|| {
        let mut host = director();
        let servers: String = (0..200_u32)
            .map(|number| {
                let reals: String = (1..=10)
                    .map(|real| format!("real_server 198.51.{}.{real} 80 {{\nweight {real}\n}}\n", number))
                    .collect();
                format!(
                    "virtual_server 203.0.113.{} {} {{\ndelay_loop 60\nlvs_sched wrr\nlvs_method NAT\nprotocol TCP\n{reals}}}\n",
                    number % 250 + 1,
                    80 + number / 250
                )
            })
            .collect();
        host.configure(&servers);
        host.start(&["-C"]);
        host.wait("the table", |host| table(host).len() == 2200);
        host.signal(libc::SIGTERM);
        assert!(host.wait_for_end().success());
        assert_eq!(table(&host).len(), 0, "{}", host.log());
    });
}

#[test]
fn checks_rest_while_the_address_is_elsewhere() {
    judged(|| {
        let (mut host, _servers) = with_two("ha_suspend");
        host.start(&["-C"]);
        host.wait_for_lines("Suspending the checks of VS [192.0.2.100]:tcp:80", 1);
        assert!(!host.log().contains("TCP_CHECK on"), "{}", host.log());
        let lan = host.lan();
        host.socket.add_address(lan, host::prefix("192.0.2.100/32")).unwrap();
        host.wait_for_lines("Activating the checks of VS [192.0.2.100]:tcp:80", 1);
        host.wait_for_lines("TCP_CHECK on service [127.0.0.1]:tcp:8001", 1);
    });
}

#[test]
fn the_sync_daemon_follows_its_instance() {
    judged(|| {
        let (mut first, mut second) = Host::pair().unwrap();
        for (host, priority) in [(&mut first, 150), (&mut second, 100)] {
            host.configure(&format!(
                "global_defs {{\nlvs_sync_daemon {LAN} VI_1\n}}\n{}",
                host::instance("VI_1", 51, priority, "192.0.2.50/24")
            ));
        }
        let role = |host: &Host| {
            let mut command = Command::new("ipvsadm");
            command.args(["-L", "--daemon"]);
            host.namespace.contain(&mut command);
            String::from_utf8(command.output().unwrap().stdout).unwrap()
        };
        first.start(&[]);
        first.wait("the master", |host| role(host).contains("master sync daemon (mcast=lan0, syncid=51"));
        second.start(&[]);
        second.wait("the backup", |host| role(host).contains("backup sync daemon (mcast=lan0, syncid=51"));
        first.signal(libc::SIGTERM);
        assert!(first.wait_for_end().success());
        assert_eq!(role(&first).trim(), "");
        second.wait("the next master", |host| role(host).contains("master sync daemon (mcast=lan0"));
        assert!(!role(&second).contains("backup"), "{}", role(&second));
    });
}
