//! UDP and ICMP echo.

use std::net::UdpSocket;

use alived::check::{
    CheckerKind, Connection, DnsCheck, DnsType, ExpectedReply, SmtpCheck, UdpCheck, WildcardByte,
};
use alived::time::Duration;

use crate::drive::{Drive, check, once, within};
use crate::servers::in_namespace;

const SECOND: Duration = Duration::from_secs(1);

fn udp(reply: Option<ExpectedReply>) -> CheckerKind {
    let payload = Some(b"hello".as_slice().into());
    CheckerKind::Udp(Box::new(UdpCheck { connection: within(SECOND / 2), payload, reply }))
}

fn any_reply(minimum_length: u16) -> Option<ExpectedReply> {
    let pattern = vec![WildcardByte { value: b'h', mask: 0xff }];
    Some(ExpectedReply { minimum_length, maximum_length: 65507, pattern })
}

/// Answers each datagram with itself, so often.
fn echo(times: usize) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut buffer = [0; 100];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let answer = buffer[..length].repeat(times);
            let _ = socket.send_to(&answer, peer);
        }
    });
    port
}

#[test]
fn a_datagram_is_answered_or_refused_or_lost() {
    in_namespace(|| {
        let port = echo(1);
        assert_eq!(once("127.0.0.1", port, udp(None)), (true, "an answer".into()));
        assert_eq!(once("127.0.0.1", port, udp(any_reply(1))), (true, "a reply of 5 bytes".into()));
        let (good, why) = once("127.0.0.1", port, udp(any_reply(6)));
        assert_eq!((good, why.as_str()), (false, "the reply has 5 bytes, not 6 to 65507"));
        // The ICMP error counts, whether an answer must come or not.
        for reply in [None, any_reply(1)] {
            assert_eq!(once("127.0.0.1", 9, udp(reply)), (false, "connection refused".into()));
        }
        let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mute_port = mute.local_addr().unwrap().port();
        assert_eq!(once("127.0.0.1", mute_port, udp(None)), (true, "no error came back".into()));
        assert_eq!(once("127.0.0.1", mute_port, udp(any_reply(1))), (false, "no reply within 500ms".into()));
        assert_eq!(mute.recv(&mut [0; 10]).unwrap(), 5, "the payload as configured");
    });
}

/// The longest datagram there is, whole.
#[test]
fn long_datagrams_come_whole() {
    in_namespace(|| {
        let port = echo(65507 / 5);
        let (good, why) = once("127.0.0.1", port, udp(any_reply(1)));
        assert_eq!((good, why.as_str()), (true, "a reply of 65505 bytes"));
    });
}

/// Somebody else's answer to our port is none.
#[test]
fn strangers_are_not_heard() {
    in_namespace(|| {
        let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = mute.local_addr().unwrap().port();
        let mut drive = Drive::new([check(1, "127.0.0.1", port, udp(any_reply(1)))]);
        let mut sent = false;
        mute.set_nonblocking(true).unwrap();
        let stranger = UdpSocket::bind("127.0.0.2:0").unwrap();
        drive.until("judged", |drive| {
            if let Ok((_, peer)) = mute.recv_from(&mut [0; 10]) {
                stranger.send_to(b"hello", peer).unwrap();
                sent = true;
            }
            !drive.outcomes.is_empty()
        });
        assert!(sent);
        assert_eq!(drive.outcomes[0].reason, "no reply within 500ms");
    });
}

#[test]
fn hosts_are_pinged_with_whatever_socket_is_allowed() {
    in_namespace(|| {
        let ping = || CheckerKind::Ping(within(SECOND / 2));
        // The first is how a namespace begins: no process may have an ICMP datagram socket.
        for range in ["1 0", "0 2147483647"] {
            std::fs::write("/proc/sys/net/ipv4/ping_group_range", range).unwrap();
            for address in ["127.0.0.1", "127.8.8.8", "::1"] {
                let result = once(address, 0, ping());
                assert_eq!(result, (true, "echo reply".into()), "{address} with {range}");
            }
            assert_eq!(once("192.0.2.1", 0, ping()), (false, "no route to the network".into()));
            std::fs::write("/proc/sys/net/ipv4/icmp_echo_ignore_all", "1").unwrap();
            assert_eq!(once("127.0.0.1", 0, ping()), (false, "no answer within 500ms".into()));
            std::fs::write("/proc/sys/net/ipv4/icmp_echo_ignore_all", "0").unwrap();
        }
    });
}

/// Many at a time to one host: each hears its own answer alone.
#[test]
fn pings_do_not_take_each_others_answers() {
    in_namespace(|| {
        for range in ["1 0", "0 2147483647"] {
            std::fs::write("/proc/sys/net/ipv4/ping_group_range", range).unwrap();
            let checks = (0..50).map(|key| {
                let connection =
                    Connection { timeout: SECOND + Duration::from_millis(key.into()), ..within(SECOND) };
                check(key, "127.0.0.1", 0, CheckerKind::Ping(connection))
            });
            let mut drive = Drive::new(checks);
            assert_eq!(drive.checks.probes(), 50);
            assert!(drive.results().values().all(|result| result.good && result.reason == "echo reply"));
        }
    });
}

#[test]
fn a_name_server_that_is_none_is_found() {
    in_namespace(|| {
        let dns = |labels: Vec<Box<str>>| {
            CheckerKind::Dns(Box::new(DnsCheck {
                connection: within(SECOND / 2),
                query_type: DnsType::A,
                labels,
            }))
        };
        // It gives back the question, which is no answer.
        let (good, why) = once("127.0.0.1", echo(1), dns(vec!["a".into()]));
        assert!(!good, "{why}");
        assert_eq!(once("127.0.0.1", 9, dns(vec![])), (false, "connection refused".into()));
    });
}

/// Of several hosts all must answer, one after the other.
#[test]
fn all_hosts_of_a_check_must_answer() {
    in_namespace(|| {
        let hosts = vec![within(SECOND); 2];
        let check = SmtpCheck { hosts, helo_name: None };
        let port = crate::servers::tcp(|mut stream| {
            use std::io::{Read as _, Write as _};
            let _ = stream.write_all(b"220 a\r\n250 b\r\n");
            let _ = stream.read(&mut [0; 1000]);
        });
        assert_eq!(once("127.0.0.1", port, CheckerKind::Smtp(Box::new(check))), (true, "250 to HELO".into()));
    });
}
