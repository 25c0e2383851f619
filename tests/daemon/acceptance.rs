//! Packets to virtual addresses whose routers do not accept them (`no_accept`, strict mode), from a second host and from
//! the host itself.

use std::fs::File;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use alived::drill::Program;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use crate::host::{Host, LAN, instance, prefix};
use crate::nft::rules;

const VIRTUAL: &str = "192.0.2.50";
const VIRTUAL_IPV6: &str = "2001:db8::50";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A connection from one host to an address of another, which waits for as long as a dropped packet should be given.
fn reaches(from: &Host, to: &str, port: u16) -> bool {
    let to = SocketAddr::new(address(to), port);
    from.namespace.run(|| TcpStream::connect_timeout(&to, Duration::from_millis(1500)).is_ok()).unwrap()
}

/// A server on all addresses of a host.
fn serve(host: &Host) -> TcpListener {
    host.namespace.run(|| TcpListener::bind("[::]:0").unwrap()).unwrap()
}

fn router(lines: &str) -> String {
    instance("VI_1", 51, 150, &format!("{VIRTUAL}/24"))
        .replace("    virtual_ipaddress", &format!("    {lines}\n    virtual_ipaddress"))
}

fn with(program: Option<&PathBuf>) -> Option<(Host, Host)> {
    let (mut host, client) = Host::pair()?;
    if let Some(program) = program {
        host.use_program(program);
    }
    Some((host, client))
}

#[test]
fn who_does_not_accept_answers_at_no_virtual_address_but_at_its_own_as_keepalived() {
    let keepalived = Program::keepalived().map(|program| program.path);
    for program in [None, keepalived.as_ref()].into_iter().take(1 + usize::from(keepalived.is_some())) {
        for (global, lines, accepts) in [
            ("", "accept", true),
            ("", "no_accept", false),
            ("global_defs {\n    vrrp_strict\n}\n", "nopreempt", false),
            ("global_defs {\n    vrrp_strict\n}\n", "accept", true),
        ] {
            let Some((mut host, client)) = with(program) else { return };
            let server = serve(&host);
            let port = server.local_addr().unwrap().port();
            host.configure(&format!("{global}{}", router(lines)));
            host.start(&[]);
            host.wait("the address", |host| host.holds(&format!("{VIRTUAL}/24")));
            assert!(reaches(&client, "192.0.2.1", port), "{lines}: {}", host.log());
            assert_eq!(
                reaches(&client, VIRTUAL, port),
                accepts,
                "{program:?} {global} {lines}: {}",
                host.log()
            );
            host.signal(libc::SIGTERM);
            host.wait_for_end();
            // What was filtered is no more.
            let lan = host.lan();
            host.socket.add_address(lan, prefix(&format!("{VIRTUAL}/24"))).unwrap();
            assert!(reaches(&client, VIRTUAL, port), "{program:?} {global} {lines}");
        }
    }
}

#[test]
fn a_reload_changes_whose_packets_are_taken() {
    let Some((mut host, client)) = with(None) else { return };
    let port = serve(&host).local_addr().unwrap().port();
    let server = serve(&host);
    let other = server.local_addr().unwrap().port();
    assert_ne!(port, other);
    host.configure(&router("no_accept"));
    host.start(&[]);
    host.wait("the address", |host| host.holds(&format!("{VIRTUAL}/24")));
    assert!(!reaches(&client, VIRTUAL, other));
    for (lines, accepts, reloads) in [("accept", true, 1), ("no_accept", false, 2)] {
        host.configure(&router(lines));
        host.signal(libc::SIGHUP);
        host.wait_for_lines("Reloaded", reloads);
        assert_eq!(reaches(&client, VIRTUAL, other), accepts, "{lines}");
    }
    // A killed worker leaves its filter to the next one.
    alived::sys::process::signal(host.worker(), libc::SIGKILL);
    host.wait_for_lines("Startup complete", 2);
    assert!(!reaches(&client, VIRTUAL, other));
}

#[test]
fn chains_stand_where_they_are_told_and_rules_count_what_they_drop() {
    let Some((mut host, client)) = with(None) else { return };
    let port = serve(&host).local_addr().unwrap().port();
    let global = "global_defs {\n    nftables mine\n    nftables_priority -77\n    nftables_counters\n}\n";
    host.configure(&format!("{global}{}", router("no_accept")));
    host.start(&[]);
    host.wait("the address", |host| host.holds(&format!("{VIRTUAL}/24")));
    let Some(before) = rules(&host) else { return };
    assert!(before.contains("table ip mine_no_accept"), "{before}");
    assert_eq!(before.matches("priority -77; policy accept;").count(), 2, "{before}");
    assert!(before.contains("ip daddr @vips counter packets 0 bytes 0 drop"), "{before}");
    assert!(!reaches(&client, VIRTUAL, port));
    let after = rules(&host).unwrap();
    assert!(after.contains("ip saddr @vips counter packets"), "{after}");
    assert!(!after.contains("ip daddr @vips counter packets 0 "), "the client's are counted: {after}");
}

#[test]
fn neighbours_find_an_ipv6_address_that_is_not_accepted() {
    let Some((mut host, mut client)) = with(None) else { return };
    let lan = client.lan();
    client.socket.add_address(lan, prefix("2001:db8::2/64")).unwrap();
    let port = {
        let server = serve(&host);
        server.local_addr().unwrap().port()
    };
    let text = instance("VI_1", 51, 150, &format!("fe80::50/64\n        {VIRTUAL_IPV6}/64"))
        .replace("    virtual_ipaddress", "    no_accept\n    virtual_ipaddress");
    host.configure(&text);
    host.start(&[]);
    host.wait("the address", |host| host.holds(&format!("{VIRTUAL_IPV6}/64")));
    // Nobody listens any more: a packet that is taken is answered by a reset, at once; one that is dropped by nothing.
    let to = SocketAddr::new(address(VIRTUAL_IPV6), port);
    let refused = || {
        let result =
            client.namespace.run(|| TcpStream::connect_timeout(&to, Duration::from_millis(1500))).unwrap();
        result.err().map(|error| error.kind())
    };
    assert_eq!(refused(), Some(std::io::ErrorKind::TimedOut), "{}", host.log());
    let mac = client.socket.neighbour(lan, address(VIRTUAL_IPV6)).unwrap();
    assert!(mac.is_some(), "found all the same on {LAN}");
}

/// Lets no process that the thread starts open a socket to netfilter, with the kernel's own word where it has none.
fn forget_netfilter() {
    let condition = |argument, value| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value).unwrap()
    };
    let netfilter = [(0, libc::AF_NETLINK), (2, libc::NETLINK_NETFILTER)];
    let netfilter = netfilter.map(|(argument, value)| condition(argument, u64::try_from(value).unwrap()));
    let rule = SeccompRule::new(netfilter.into()).unwrap();
    let refusal = SeccompAction::Errno(u32::try_from(libc::EPROTONOSUPPORT).unwrap());
    let filter = SeccompFilter::new(
        [(libc::SYS_socket, vec![rule])].into(),
        SeccompAction::Allow,
        refusal,
        std::env::consts::ARCH.try_into().unwrap(),
    );
    seccompiler::apply_filter(&BpfProgram::try_from(filter.unwrap()).unwrap()).unwrap();
}

#[test]
fn a_kernel_without_netfilter_is_named_with_what_follows_from_it() {
    let Some(mut host) = Host::new() else { return };
    host.configure(&router("no_accept"));
    // The daemon inherits what the thread has taken from itself. Everything else is as it was.
    let log = File::create(host.path("log")).unwrap();
    let mut command = host.command(&["-n", "-l"]);
    command.stdout(Stdio::null()).stderr(log);
    let spawn = move || {
        forget_netfilter();
        command.spawn().unwrap()
    };
    let mut child = std::thread::spawn(spawn).join().unwrap();
    host.wait_for_lines(
        "cannot keep packets from 1 virtual IPv4 addresses (no_accept, strict mode): Protocol not supported (errno 93); \
         they are taken; use a kernel with nf_tables",
        1,
    );
    host.wait("mastership nevertheless", |host| host.holds(&format!("{VIRTUAL}/24")));
    host.signal(libc::SIGTERM);
    assert!(child.wait().unwrap().success(), "{}", host.log());
    assert!(!host.holds(&format!("{VIRTUAL}/24")));
}
