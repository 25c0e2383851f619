//! TCP connections.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;

use alived::check::{CheckerKind, Connection, SmtpCheck, UrlCheck};
use alived::time::Duration;

use crate::drive::{Drive, check, http, obstacle, once, within};
use crate::servers::{self, in_namespace, resident};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_port_is_open_or_refused_or_silent() {
    in_namespace(|| {
        let tcp = || CheckerKind::Tcp(within(SECOND));
        let (_listener, open) = servers::silent();
        assert_eq!(once("127.0.0.1", open.port(), tcp()), (true, "connected".into()));
        assert_eq!(once("127.0.0.1", 1, tcp()), (false, "connection refused".into()));
        assert_eq!(once("192.0.2.1", 80, tcp()), (false, "no route to the network".into()));
        assert_eq!(once("::1", 80, tcp()), (false, "connection refused".into()));
    });
}

/// What a TCP check has opened is reset, so that no port waits for a minute, and servers need not answer.
#[test]
fn a_tcp_check_leaves_nothing_behind() {
    in_namespace(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (good, _) = once("127.0.0.1", port, CheckerKind::Tcp(within(SECOND)));
        assert!(good);
        let (mut stream, _) = listener.accept().unwrap();
        let end = stream.read(&mut [0]).unwrap_err();
        assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
        let sockets = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
        // State 06 is TIME_WAIT.
        assert!(!sockets.lines().any(|line| line.contains(" 06 ")), "{sockets}");
    });
}

#[test]
fn source_address_port_and_interface_are_as_configured() {
    in_namespace(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let from = Connection {
            source: Some("127.0.0.77".parse().unwrap()),
            source_port: std::num::NonZeroU16::new(4455),
            interface: Some("lo".parse().unwrap()),
            mark: 5,
            ..within(SECOND)
        };
        // Twice: the port is free again at once.
        for _ in 0..2 {
            assert_eq!(once("127.0.0.1", port, CheckerKind::Tcp(from.clone())), (true, "connected".into()));
            let (_, peer) = listener.accept().unwrap();
            assert_eq!(peer, "127.0.0.77:4455".parse().unwrap());
        }
        // What this host lacks is no fault of the server.
        let nowhere = Connection { interface: Some("eth99".parse().unwrap()), ..within(SECOND) };
        assert_eq!(obstacle(port, CheckerKind::Tcp(nowhere)), "its interface does not exist");
        let stranger = Connection { source: Some("192.0.2.9".parse().unwrap()), ..within(SECOND) };
        assert_eq!(obstacle(port, CheckerKind::Tcp(stranger)), "its source address is not on this host");
    });
}

#[test]
fn a_page_is_asked_for_and_judged() {
    in_namespace(|| {
        let good = servers::http("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        let kind = || http(within(SECOND), UrlCheck::new("/"));
        assert_eq!(once("127.0.0.1", good, kind()), (true, "status 200 OK".into()));
        let bad = servers::http("HTTP/1.1 503 Busy\r\n\r\n");
        assert_eq!(once("127.0.0.1", bad, kind()), (false, "status 503 Busy".into()));
        let silent = servers::tcp(|mut stream| drop(servers::request(&mut stream)));
        let (good, why) = once("127.0.0.1", silent, kind());
        assert_eq!((good, why.as_str()), (false, "closed before the head of the answer"));
    });
}

/// A try has one limit from its beginning to its end: one byte at a time does not lengthen it.
#[test]
fn a_server_that_drips_is_found() {
    in_namespace(|| {
        let port = servers::tcp(|mut stream| {
            servers::request(&mut stream);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n");
            while stream.write_all(b"X: y\r\n").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let (good, why) = once("127.0.0.1", port, http(within(SECOND), UrlCheck::new("/")));
        assert_eq!((good, why.as_str()), (false, "no answer within 1s"));
    });
}

/// One that sends as fast as it can does not keep another one from being checked.
#[test]
fn endless_pages_cost_one_buffer_and_nobody_else() {
    in_namespace(|| {
        let flood = servers::tcp(|mut stream| {
            servers::request(&mut stream);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
            let chunk = vec![b'x'; 1 << 16];
            while stream.write_all(&chunk).is_ok() {}
        });
        let (_listener, open) = servers::silent();
        let mut digest = UrlCheck::new("/");
        digest.digest = Some(alived::check::BodyDigest([0; 16]));
        let floods =
            (0..20).map(|key| check(key, "127.0.0.1", flood, http(within(3 * SECOND), digest.clone())));
        let mut drive = Drive::new(floods);
        let others = (100..120).map(|key| {
            let mut check = check(key, "127.0.0.1", open.port(), CheckerKind::Tcp(within(SECOND)));
            check.target.address = std::net::Ipv4Addr::new(127, 0, 0, key as u8).into();
            check
        });
        drive.run_for(SECOND / 2);
        let before = resident();
        let floods: Vec<_> = drive
            .checks
            .statuses()
            .map(|status| alived::check::TargetedCheck {
                key: *status.key,
                target: status.target,
                checker: status.checker.clone(),
            })
            .collect();
        drive.configure(floods.into_iter().chain(others));
        let results = drive.results();
        assert!(resident() < before + (8 << 20), "{before} before, {} after", resident());
        for (key, result) in results {
            let wanted = if key < 100 { "no end of the page within 3s" } else { "connected" };
            assert_eq!(result.reason, wanted, "{key}");
        }
    });
}

/// All of QUIT arrives, and the end in order.
#[test]
fn smtp_is_spoken_to_its_end() {
    in_namespace(|| {
        let (told, tells) = mpsc::channel();
        let port = servers::tcp(move |mut stream| {
            stream.write_all(b"220 here\r\n").unwrap();
            let mut said = Vec::new();
            let mut buffer = [0; 100];
            loop {
                match stream.read(&mut buffer) {
                    Ok(0) => break told.send(Ok(said)).unwrap(),
                    Ok(length) => said.extend_from_slice(&buffer[..length]),
                    Err(error) => break told.send(Err(error)).unwrap(),
                }
                if said.starts_with(b"HELO me\r\n") && said.len() == 9 {
                    stream.write_all(b"250 fine\r\n").unwrap();
                }
            }
        });
        let check = SmtpCheck { hosts: vec![within(SECOND)], helo_name: Some("me".into()) };
        let result = once("127.0.0.1", port, CheckerKind::Smtp(Box::new(check)));
        assert_eq!(result, (true, "250 to HELO".into()));
        assert_eq!(tells.recv().unwrap().unwrap(), b"HELO me\r\nQUIT\r\n");
    });
}

/// Not a server that is dead, but a limit of ours: it is tried again.
#[test]
fn a_lack_of_descriptors_counts_against_nobody() {
    in_namespace(|| {
        let slow = servers::tcp(|mut stream| {
            servers::request(&mut stream);
            std::thread::sleep(SECOND);
        });
        let (_listener, open) = servers::silent();
        let mut drive = Drive::new([
            check(1, "127.0.0.1", slow, http(within(5 * SECOND), UrlCheck::new("/"))),
            check(2, "127.0.0.1", open.port(), CheckerKind::Tcp(within(SECOND))),
        ]);
        drive.io.set_sockets_max(1);
        drive.results();
        let told: Vec<_> =
            drive.outcomes.iter().map(|outcome| (outcome.key, outcome.up, &*outcome.reason)).collect();
        assert_eq!(told, [(1, false, "closed before the head of the answer"), (2, true, "connected")]);
    });
}
