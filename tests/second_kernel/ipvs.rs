//! The kernel's table of virtual servers: what we write into it, `ipvsadm` reads, and the other way round.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use alived::kernel::ipvs::{
    DestinationSettings, FirewallMark, ForwardingMethod, GueChecksum, HostPort, IpvsEntry, IpvsKey,
    IpvsOperation, Persistence, PersistenceGranularity, Protocol, Scheduler, SchedulerFlags, ServiceKey,
    ServiceSettings, SyncDaemon, SyncRole, SyncSettings, Timeouts, Tunnel,
};
use alived::net::Family;
use alived::sys::netlink::ipvs::IpvsSocket;

use crate::{second_kernel, skip};

/// Runs a test where `ipvsadm` is its judge.
fn judged<F: FnOnce()>(body: F) {
    if std::path::Path::new("/sbin/ipvsadm").exists() {
        second_kernel::run(body);
    } else {
        skip::skip("a test of IPVS", "there is no /sbin/ipvsadm (apt-get install ipvsadm)");
    }
}

fn ipvsadm(arguments: &[&str], input: &str) -> String {
    let mut child =
        Command::new("ipvsadm").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "ipvsadm {arguments:?}: {output:?}\n{input}");
    String::from_utf8(output.stdout).unwrap()
}

fn target(address: &str, port: u16) -> HostPort {
    HostPort { address: address.parse().unwrap(), port: NonZeroU16::new(port) }
}

fn tcp(address: &str, port: u16) -> ServiceKey {
    ServiceKey::Address(target(address, port), Protocol::Tcp)
}

fn mark(mark: u32, family: Family) -> ServiceKey {
    ServiceKey::FirewallMark(FirewallMark { mark: NonZeroU32::new(mark).unwrap(), family })
}

fn scheduled(scheduler: Scheduler) -> ServiceSettings {
    ServiceSettings { scheduler, ..ServiceSettings::default() }
}

fn persistent(
    timeout_s: u32,
    granularity: Option<PersistenceGranularity>,
    engine: Option<&str>,
) -> ServiceSettings {
    let timeout_s = NonZeroU32::new(timeout_s).unwrap();
    let persistence = Persistence { timeout_s, granularity, engine: engine.map(Into::into) };
    ServiceSettings { persistence: Some(persistence), ..scheduled(Scheduler::RoundRobin) }
}

fn flagged(scheduler: Scheduler, first: bool, second: bool, third: bool) -> ServiceSettings {
    ServiceSettings { scheduler_flags: SchedulerFlags { first, second, third }, ..scheduled(scheduler) }
}

fn by(method: ForwardingMethod) -> DestinationSettings {
    DestinationSettings { weight: 1, method, ..DestinationSettings::default() }
}

fn gue(port: u16, checksum: GueChecksum) -> ForwardingMethod {
    ForwardingMethod::Tunnel(Tunnel::Gue { port: NonZeroU16::new(port).unwrap(), checksum })
}

/// Entries, and the lines of `ipvsadm -Sn` that say the same.
fn cases() -> Vec<(Vec<IpvsEntry>, String)> {
    use IpvsEntry::{Destination, Service};
    let web = tcp("192.0.2.1", 80);
    let dns = ServiceKey::Address(target("192.0.2.1", 53), Protocol::Udp);
    let web6 = tcp("2001:db8::1", 443);
    let gre = |checksum| ForwardingMethod::Tunnel(Tunnel::Gre { checksum });
    let ipip = ForwardingMethod::Tunnel(Tunnel::Ipip);
    let one = |address: &str, port, method| Destination(web, target(address, port), by(method));
    let mut cases = vec![
        (
            vec![
                Service(web, scheduled(Scheduler::WeightedRoundRobin)),
                one("198.51.100.1", 8080, ForwardingMethod::Nat),
                one("198.51.100.2", 80, ForwardingMethod::DirectRouting),
                one("198.51.100.3", 80, ipip),
                one("198.51.100.4", 80, gre(false)),
                one("198.51.100.5", 80, gre(true)),
                one("198.51.100.6", 80, gue(6080, GueChecksum::None)),
                one("198.51.100.7", 80, gue(6081, GueChecksum::Full)),
                one("198.51.100.8", 80, gue(6082, GueChecksum::Remote)),
                one("2001:db8:1::9", 80, ipip),
            ],
            "-A -t 192.0.2.1:80 -s wrr\n\
             -a -t 192.0.2.1:80 -r 198.51.100.1:8080 -m -w 1\n\
             -a -t 192.0.2.1:80 -r 198.51.100.2:80 -g -w 1\n\
             -a -t 192.0.2.1:80 -r 198.51.100.3:80 -i -w 1 --tun-type ipip\n\
             -a -t 192.0.2.1:80 -r 198.51.100.4:80 -i -w 1 --tun-type gre --tun-nocsum\n\
             -a -t 192.0.2.1:80 -r 198.51.100.5:80 -i -w 1 --tun-type gre --tun-csum\n\
             -a -t 192.0.2.1:80 -r 198.51.100.6:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum\n\
             -a -t 192.0.2.1:80 -r 198.51.100.7:80 -i -w 1 --tun-type gue --tun-port 6081 --tun-csum\n\
             -a -t 192.0.2.1:80 -r 198.51.100.8:80 -i -w 1 --tun-type gue --tun-port 6082 --tun-remcsum\n\
             -a -t 192.0.2.1:80 -r [2001:db8:1::9]:80 -i -w 1 --tun-type ipip\n"
                .to_owned(),
        ),
        (
            vec![
                Service(web6, persistent(600, NonZeroU8::new(64).map(PersistenceGranularity::Ipv6), None)),
                Destination(web6, target("2001:db8:1::1", 8443), by(ForwardingMethod::Nat)),
                Destination(
                    web6,
                    target("2001:db8:1::2", 443),
                    DestinationSettings { weight: 0, upper_threshold: 500, lower_threshold: 400, ..by(ipip) },
                ),
            ],
            "-A -t [2001:db8::1]:443 -s rr -p 600 -M 64\n\
             -a -t [2001:db8::1]:443 -r [2001:db8:1::1]:8443 -m -w 1\n\
             -a -t [2001:db8::1]:443 -r [2001:db8:1::2]:443 -i -w 0 -x 500 -y 400 --tun-type ipip\n"
                .to_owned(),
        ),
        (
            vec![
                Service(dns, ServiceSettings { one_packet: true, ..scheduled(Scheduler::RoundRobin) }),
                Destination(
                    dns,
                    target("198.51.100.1", 53),
                    DestinationSettings { weight: 2_147_483_647, upper_threshold: 2_147_483_647, ..by(ipip) },
                ),
            ],
            "-A -u 192.0.2.1:53 -s rr -o\n\
             -a -u 192.0.2.1:53 -r 198.51.100.1:53 -i -w 2147483647 -x 2147483647 --tun-type ipip\n"
                .to_owned(),
        ),
    ];
    // A service each.
    for (key, settings, line) in [
        (
            ServiceKey::Address(target("192.0.2.1", 0), Protocol::Sctp),
            persistent(360, None, None),
            "--sctp-service 192.0.2.1:0 -s rr -p 360",
        ),
        (mark(7, Family::Ipv4), scheduled(Scheduler::LeastConnection), "-f 7 -s lc"),
        (mark(2_147_483_647, Family::Ipv6), scheduled(Scheduler::LeastConnection), "-f 2147483647 -6 -s lc"),
        (
            mark(8, Family::Ipv4),
            persistent(2_678_400, Some(PersistenceGranularity::Ipv4(Ipv4Addr::new(255, 255, 0, 0))), None),
            "-f 8 -s rr -p 2678400 -M 255.255.0.0",
        ),
        (
            ServiceKey::Address(target("192.0.2.1", 5060), Protocol::Udp),
            persistent(60, None, Some("sip")),
            "-u 192.0.2.1:5060 -s rr -p 60 --pe sip",
        ),
        (web, flagged(Scheduler::SourceHash, true, false, false), "-t 192.0.2.1:80 -s sh -b sh-fallback"),
        (
            web,
            flagged(Scheduler::SourceHash, true, true, false),
            "-t 192.0.2.1:80 -s sh -b sh-fallback,sh-port",
        ),
        (web, flagged(Scheduler::MaglevHash, false, true, false), "-t 192.0.2.1:80 -s mh -b mh-port"),
        (
            web,
            flagged(Scheduler::MaglevHash, true, true, false),
            "-t 192.0.2.1:80 -s mh -b mh-fallback,mh-port",
        ),
        (
            web,
            flagged(Scheduler::LeastConnection, true, true, true),
            "-t 192.0.2.1:80 -s lc -b flag-1,flag-2,flag-3",
        ),
    ] {
        cases.push((vec![Service(key, settings)], format!("-A {line}\n")));
    }
    for scheduler in Scheduler::ALL.into_iter().filter(|scheduler| *scheduler != Scheduler::PowerOfTwo) {
        let line = format!("-A -t 192.0.2.1:80 -s {}\n", scheduler.name());
        cases.push((vec![Service(web, scheduled(scheduler))], line));
    }
    cases
}

/// The table as entries, in order.
fn entries(socket: &mut IpvsSocket) -> Vec<IpvsEntry> {
    let table = socket.table().unwrap();
    let services =
        table.services.into_iter().map(|held| IpvsEntry::Service(held.key, held.settings.unwrap()));
    let destinations = table
        .destinations
        .into_iter()
        .map(|held| IpvsEntry::Destination(held.service, held.target, held.settings.unwrap()));
    let mut entries: Vec<_> = services.chain(destinations).collect();
    entries.sort();
    entries
}

/// `ipvsadm -Sn` leaves them out.
fn without_thresholds(lines: &str) -> String {
    lines.replace(" -x 500 -y 400", "").replace(" -x 2147483647", "")
}

fn sorted(lines: &str) -> Vec<&str> {
    let mut lines: Vec<_> = lines.lines().map(str::trim).collect();
    lines.sort_unstable();
    lines
}

fn apply(socket: &mut IpvsSocket, operations: &[IpvsOperation]) {
    let refusals: Vec<_> = socket.apply(operations).into_iter().filter_map(Result::err).collect();
    assert!(refusals.is_empty(), "{refusals:?}");
}

#[test]
fn what_is_written_ipvsadm_reads_and_the_other_way_round() {
    judged(|| {
        let mut socket = IpvsSocket::open().unwrap();
        for (wanted, lines) in cases() {
            let mut in_order = wanted.clone();
            in_order.sort();
            let additions: Vec<_> = wanted.iter().cloned().map(IpvsOperation::Add).collect();
            apply(&mut socket, &additions);
            assert_eq!(sorted(&ipvsadm(&["-Sn"], "")), sorted(&without_thresholds(&lines)), "{wanted:#?}");
            assert_eq!(
                sorted(&socket.table().unwrap().lines().join("\n")),
                sorted(&without_thresholds(&lines))
            );
            assert_eq!(entries(&mut socket), in_order, "{lines}");
            // Once more changes nothing.
            apply(&mut socket, &additions);
            assert_eq!(entries(&mut socket), in_order);
            ipvsadm(&["-C"], "");
            ipvsadm(&["-R"], &lines);
            assert_eq!(entries(&mut socket), in_order, "{lines}");
            let removals: Vec<_> =
                wanted.iter().rev().map(|entry| IpvsOperation::Remove(entry.key())).collect();
            apply(&mut socket, &removals);
            assert_eq!(ipvsadm(&["-Sn"], ""), "", "{lines}");
            apply(&mut socket, &removals);
        }
    });
}

#[test]
fn entries_take_another_shape_and_return_without_being_removed() {
    judged(|| {
        let mut socket = IpvsSocket::open().unwrap();
        let web = tcp("192.0.2.1", 80);
        let real = target("198.51.100.1", 80);
        let service = |settings| IpvsEntry::Service(web, settings);
        let destination = |settings| IpvsEntry::Destination(web, real, settings);
        // All that is optional is taken back, too.
        let first = [
            service(ServiceSettings {
                scheduler_flags: SchedulerFlags { first: true, second: true, third: true },
                ..persistent(
                    100,
                    Some(PersistenceGranularity::Ipv4(Ipv4Addr::new(255, 0, 0, 0))),
                    Some("sip"),
                )
            }),
            destination(DestinationSettings {
                weight: 9,
                upper_threshold: 20,
                lower_threshold: 10,
                method: gue(6080, GueChecksum::Full),
            }),
        ];
        let second = [
            service(scheduled(Scheduler::SourceHash)),
            destination(by(ForwardingMethod::Tunnel(Tunnel::Ipip))),
        ];
        // Edited though not there: added.
        for shape in [&first, &second, &first, &second] {
            apply(&mut socket, &shape.clone().map(IpvsOperation::Edit));
            assert_eq!(entries(&mut socket), shape);
        }
        for shape in [&first, &second] {
            apply(&mut socket, &shape.clone().map(IpvsOperation::Add));
            assert_eq!(entries(&mut socket), shape);
        }
        ipvsadm(&["-C"], "");
        // The service is edited where there is none, and its destination belongs to it all the same.
        let [edited, added] = second.clone();
        apply(&mut socket, &[IpvsOperation::Edit(edited), IpvsOperation::Add(added)]);
        assert_eq!(entries(&mut socket), second);
    });
}

#[test]
fn a_refusal_names_its_entry_and_says_why() {
    second_kernel::run(|| {
        let mut socket = IpvsSocket::open().unwrap();
        let web = tcp("192.0.2.1", 80);
        let destination = |service, address: &str, settings| {
            IpvsOperation::Add(IpvsEntry::Destination(service, target(address, 80), settings))
        };
        let with_engine =
            ServiceSettings { scheduler: Scheduler::RoundRobin, ..persistent(60, None, Some("nonsense")) };
        let operations = [
            IpvsOperation::Add(IpvsEntry::Service(web, scheduled(Scheduler::RoundRobin))),
            IpvsOperation::Add(IpvsEntry::Service(tcp("192.0.2.2", 80), scheduled(Scheduler::PowerOfTwo))),
            destination(web, "198.51.100.1", by(ForwardingMethod::Nat)),
            destination(tcp("192.0.2.3", 80), "198.51.100.1", by(ForwardingMethod::Nat)),
            IpvsOperation::Add(IpvsEntry::Service(tcp("192.0.2.4", 80), with_engine)),
            destination(web, "2001:db8::7", by(ForwardingMethod::Nat)),
            IpvsOperation::Edit(IpvsEntry::Destination(
                web,
                target("198.51.100.1", 80),
                DestinationSettings { upper_threshold: 1, lower_threshold: 2, ..by(ForwardingMethod::Nat) },
            )),
            IpvsOperation::Remove(IpvsKey { service: tcp("192.0.2.9", 80), destination: None }),
            destination(web, "198.51.100.2", by(ForwardingMethod::Nat)),
        ];
        let told: Vec<_> = socket
            .apply(&operations)
            .into_iter()
            .map(|result| result.map_or_else(|refusal| refusal.to_string(), |()| String::new()))
            .collect();
        assert_eq!(
            told,
            [
                "",
                "cannot add the virtual server TCP [192.0.2.2]:80: this kernel has no scheduler twos: \
                 modprobe ip_vs_twos (errno 2)",
                "",
                "cannot add the real server [198.51.100.1]:80 of TCP [192.0.2.3]:80: its virtual server is not \
                 there (errno 3)",
                "cannot add the virtual server TCP [192.0.2.4]:80: this kernel has no scheduler rr: modprobe \
                 ip_vs_rr, or no persistence engine nonsense: modprobe ip_vs_pe_nonsense (errno 2)",
                "cannot add the real server [2001:db8::7]:80 of TCP [192.0.2.1]:80: only a tunnel leads to the \
                 other family (errno 22)",
                "cannot change the real server [198.51.100.1]:80 of TCP [192.0.2.1]:80: weight 1, uthreshold 1 or \
                 lthreshold 2 is out of range (errno 34)",
                "",
                "",
            ]
        );
    });
}

#[test]
fn a_kernel_that_does_not_load_ipvs_is_told_which_module_it_lacks() {
    second_kernel::run(|| {
        std::fs::write("/proc/sys/kernel/modprobe", "/bin/false").unwrap();
        let error = IpvsSocket::open().unwrap_err();
        assert!(error.message.contains("modprobe ip_vs"), "{error}");
    });
}

#[test]
fn ten_thousand_entries_are_written_read_and_removed() {
    second_kernel::run(|| {
        let mut socket = IpvsSocket::open().unwrap();
        let mut wanted = Vec::new();
        for number in 0..1000u16 {
            let [high, low] = number.to_be_bytes();
            let service = tcp(&format!("192.0.{high}.{low}"), 80);
            wanted.push(IpvsEntry::Service(service, scheduled(Scheduler::WeightedLeastConnection)));
            let reals = (1..=10).map(|real| {
                IpvsEntry::Destination(
                    service,
                    target(&format!("198.51.100.{real}"), 8080),
                    by(ForwardingMethod::Nat),
                )
            });
            wanted.extend(reals);
        }
        wanted.sort();
        let additions: Vec<_> = wanted.iter().cloned().map(IpvsOperation::Add).collect();
        apply(&mut socket, &additions);
        // A chunk of which all is refused at first.
        apply(&mut socket, &additions);
        assert_eq!(entries(&mut socket), wanted);
        let removals: Vec<_> = wanted.iter().rev().map(|entry| IpvsOperation::Remove(entry.key())).collect();
        apply(&mut socket, &removals);
        assert_eq!(entries(&mut socket), []);
    });
}

#[test]
fn what_passes_is_counted_in_64_bits() {
    judged(|| {
        let mut socket = IpvsSocket::open().unwrap();
        let mut network = alived::sys::netlink::Network::open().unwrap();
        let loopback = network.index_of(&"lo".parse().unwrap()).unwrap();
        network.add_address(loopback, crate::host::prefix("192.0.2.1/32")).unwrap();
        let listener = TcpListener::bind("192.0.2.1:8080").unwrap();
        let web = tcp("192.0.2.1", 80);
        let settings = by(ForwardingMethod::Nat);
        let real = IpvsEntry::Destination(web, target("192.0.2.1", 8080), settings);
        let service = IpvsEntry::Service(web, scheduled(Scheduler::RoundRobin));
        apply(&mut socket, &[IpvsOperation::Add(service), IpvsOperation::Add(real)]);
        let client = TcpStream::connect("192.0.2.1:80").unwrap();
        let _accepted = listener.accept().unwrap();
        // Summed up every two seconds.
        let start = Instant::now();
        let table = loop {
            let table = socket.table().unwrap();
            if table.services[0].statistics.incoming_packets >= 2 || start.elapsed() > Duration::from_secs(30)
            {
                break table;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let (service, real) = (&table.services[0], &table.destinations[0]);
        for statistics in [&service.statistics, &real.statistics] {
            assert_eq!(statistics.connections, 1, "{table:#?}");
            // SYN and the last ACK of the handshake.
            assert!(statistics.incoming_packets >= 2 && statistics.incoming_bytes >= 100, "{table:#?}");
            assert!(statistics.outgoing_packets >= 1 && statistics.outgoing_bytes >= 40, "{table:#?}");
        }
        assert_eq!(real.connections.active, 1, "{table:#?}");
        // Beside it `ipvsadm` reads the same.
        let told = ipvsadm(&["-Ln", "--stats", "--exact"], "");
        let bytes = service.statistics.incoming_bytes.to_string();
        assert!(told.lines().any(|line| line.contains("TCP") && line.contains(&bytes)), "{told}\n{bytes}");
        socket.zero(Some(web)).unwrap();
        assert_eq!(socket.services().unwrap()[0].statistics.connections, 0);
        socket.zero(None).unwrap();
        drop(client);
        socket.flush().unwrap();
        assert_eq!(entries(&mut socket), []);
    });
}

#[test]
fn timeouts_are_set_and_read() {
    judged(|| {
        let mut socket = IpvsSocket::open().unwrap();
        socket.set_timeouts(&Timeouts { tcp: Some(800), tcp_fin: Some(70), udp: Some(2_678_400) }).unwrap();
        let held = socket.timeouts().unwrap();
        assert_eq!(held, Timeouts { tcp: Some(800), tcp_fin: Some(70), udp: Some(2_678_400) });
        // What is not given stays.
        socket.set_timeouts(&Timeouts { tcp_fin: Some(71), ..Timeouts::default() }).unwrap();
        let told = ipvsadm(&["-Ln", "--timeout"], "");
        assert!(told.contains("800 71 2678400"), "{told}");
        let information = socket.information().unwrap();
        assert_eq!(information.version, (1, 2, 1));
        assert!(information.connection_table_size.is_power_of_two(), "{information:?}");
    });
}

#[test]
fn sync_daemons_run_with_all_their_options() {
    judged(|| {
        let mut socket = IpvsSocket::open().unwrap();
        let mut network = alived::sys::netlink::Network::open().unwrap();
        network.create(rtnetlink::LinkDummy::new("sync0").up().build()).unwrap();
        let sync = network.index_of(&"sync0".parse().unwrap()).unwrap();
        network.add_address(sync, crate::host::prefix("192.0.2.1/24")).unwrap();
        assert_eq!(socket.sync_daemons().unwrap(), []);
        let plain = SyncSettings {
            interface: "sync0".parse().unwrap(),
            id: 0,
            max_length: None,
            group: None,
            port: None,
            ttl: None,
        };
        let full = SyncSettings {
            id: 255,
            max_length: NonZeroU16::new(1200),
            group: Some("239.1.2.3".parse().unwrap()),
            port: NonZeroU16::new(9000),
            ttl: NonZeroU8::new(7),
            ..plain.clone()
        };
        let master = SyncDaemon { role: SyncRole::Master, settings: full.clone() };
        socket.start_sync_daemon(&master).unwrap();
        let backup = SyncDaemon { role: SyncRole::Backup, settings: plain };
        socket.start_sync_daemon(&backup).unwrap();
        let held = socket.sync_daemons().unwrap();
        assert_eq!(held[0], master);
        // Of the other one the kernel says what it chose.
        let chosen = &held[1].settings;
        assert_eq!((held[1].role, chosen.id), (SyncRole::Backup, 0));
        assert_eq!((chosen.group, chosen.port), (Some("224.0.0.81".parse().unwrap()), NonZeroU16::new(8848)));
        let told = ipvsadm(&["-Ln", "--daemon"], "");
        for words in [
            "master sync daemon (mcast=sync0, syncid=255, maxlen=1200, group=239.1.2.3, port=9000, ttl=7)",
            "backup sync daemon",
        ] {
            assert!(told.contains(words), "{told}");
        }
        let error = socket.start_sync_daemon(&master).unwrap_err();
        assert!(error.message.contains("sync daemon (master)") && error.errno == libc::EEXIST, "{error}");
        for _ in 0..2 {
            socket.stop_sync_daemon(SyncRole::Master).unwrap();
        }
        assert_eq!(socket.sync_daemons().unwrap().len(), 1);
        socket.stop_sync_daemon(SyncRole::Backup).unwrap();
        let six = SyncSettings { group: Some("ff05::8848".parse().unwrap()), ..full };
        let six = SyncDaemon { role: SyncRole::Master, settings: six };
        socket.start_sync_daemon(&six).unwrap();
        assert_eq!(socket.sync_daemons().unwrap(), [six]);
        socket.stop_sync_daemon(SyncRole::Master).unwrap();
    });
}
