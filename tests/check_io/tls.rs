//! Connections with TLS.

use std::io::{Read as _, Write as _};

use alived::check::{CheckerKind, HttpCheck, HttpVersion, ServerName, TlsCheck, TlsClient, UrlCheck};
use alived::secret::Secret;
use alived::time::Duration;

use crate::certificates::{Certificates, Request};
use crate::drive::{Drive, check, within};
use crate::programs::{Program, TLS_SERVER, wait_for_port};
use crate::servers::{self, in_namespace, resident};

const SECOND: Duration = Duration::from_secs(1);

fn https(server_name: ServerName, url: UrlCheck) -> CheckerKind {
    CheckerKind::Http(Box::new(HttpCheck {
        connection: within(5 * SECOND),
        tls: Some(TlsCheck { server_name }),
        version: HttpVersion::V1_0,
        fast_recovery: false,
        urls: vec![url],
    }))
}

fn plain() -> CheckerKind {
    https(ServerName::None, UrlCheck::new("/"))
}

/// One try with these settings of TLS.
#[track_caller]
fn once_with(port: u16, kind: CheckerKind, client: &TlsClient, verify: bool) -> (bool, String) {
    let mut drive = Drive::new([check(1, "127.0.0.1", port, kind)]);
    drive.io.set_tls(client, verify).unwrap();
    let result = drive.results().remove(&1).unwrap();
    (result.good, result.reason.into_owned())
}

#[track_caller]
fn once(port: u16, kind: CheckerKind) -> (bool, String) {
    once_with(port, kind, &TlsClient::default(), false)
}

/// `openssl s_server`, which serves a page about itself.
fn s_server(port: u16, certificate: &str, key: &str, more: &[&str]) -> Program {
    let accept = port.to_string();
    let words = ["s_server", "-quiet", "-www", "-accept", &accept, "-cert", certificate, "-key", key];
    let server = Program::start("openssl", &[&words, more].concat());
    wait_for_port(port);
    server
}

/// Whatever the certificate is: old, weak, of nobody.
#[test]
fn pages_of_real_servers_are_fetched_whatever_their_certificate() {
    in_namespace(|| {
        let certificates = Certificates::new();
        let good = certificates.signed("good", &Request { name: "www.example.org", days: 30 });
        let weak = certificates.self_signed_v1("weak", 1024);
        for (number, versions) in [&["-tls1_3"][..], &["-tls1_2"]].into_iter().enumerate() {
            let port = 8443 + number as u16;
            let _server = s_server(port, &good.certificate, &good.key, versions);
            assert_eq!(once(port, plain()), (true, "status 200 ok".into()));
        }
        // openssl takes keys of 1024 bits at level 0 alone.
        let _server =
            s_server(8500, &weak.certificate, &weak.key, &["-tls1_2", "-cipher", "ALL:@SECLEVEL=0"]);
        assert_eq!(once(8500, plain()), (true, "status 200 ok".into()));
        let old = ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"];
        let _server = s_server(8501, &good.certificate, &good.key, &old);
        let (is_good, why) = once(8501, plain());
        assert!(!is_good && why == "TLS: the server refuses: ProtocolVersion", "{why}");
    });
}

#[test]
fn the_end_of_the_certificate_is_told() {
    in_namespace(|| {
        let certificates = Certificates::new();
        let served = certificates.signed("a", &Request { name: "a", days: 30 });
        let _server = s_server(8443, &served.certificate, &served.key, &[]);
        let mut drive = Drive::new([check(1, "127.0.0.1", 8443, plain())]);
        let result = drive.results().remove(&1).unwrap();
        assert_eq!(result.certificate_expires.unwrap().as_unix_micros() / 1_000_000, served.ends);
    });
}

#[test]
fn certificates_are_verified_on_request() {
    in_namespace(|| {
        let certificates = Certificates::new();
        let request = Request { name: "www.example.org", days: 30 };
        let good = certificates.signed("good", &request);
        let over = certificates.signed("over", &Request { days: -1, ..request });
        let stranger = certificates.self_signed_v1("stranger", 2048);
        let addressed = certificates.signed("addressed", &Request { name: "IP:127.0.0.1", days: 30 });
        let authority =
            TlsClient { authorities: Some(certificates.authority().as_str().into()), ..TlsClient::default() };
        let verified = |port, kind| once_with(port, kind, &authority, true);
        let hosted = |name: &str| {
            let url = UrlCheck { host: Some(name.into()), ..UrlCheck::new("/") };
            https(ServerName::None, url)
        };
        let _good = s_server(8001, &good.certificate, &good.key, &[]);
        // The name is that of SNI, or of the Host, with or without a port.
        let named = https(ServerName::Name("www.example.org".into()), UrlCheck::new("/"));
        assert_eq!(verified(8001, named), (true, "status 200 ok".into()));
        assert_eq!(verified(8001, hosted("www.example.org:443")), (true, "status 200 ok".into()));
        let (is_good, why) = verified(8001, hosted("example.net"));
        assert!(!is_good && why.contains("not valid for name \"example.net\""), "{why}");
        let (is_good, why) = verified(8001, plain());
        assert!(!is_good && why.contains("127.0.0.1"), "{why}");
        let _addressed = s_server(8002, &addressed.certificate, &addressed.key, &[]);
        assert_eq!(verified(8002, plain()), (true, "status 200 ok".into()));
        let _over = s_server(8003, &over.certificate, &over.key, &[]);
        let (is_good, why) = verified(8003, hosted("www.example.org"));
        assert!(!is_good && why == "TLS: its certificate has expired", "{why}");
        let _stranger = s_server(8004, &stranger.certificate, &stranger.key, &[]);
        let (is_good, why) = verified(8004, hosted("www.example.org"));
        // It is too old to be verified at all.
        assert!(!is_good && why.starts_with("TLS: invalid peer certificate: "), "{why}");
        // Up to the authorities of this host, none of which is ours.
        let (is_good, why) = once_with(8001, hosted("www.example.org"), &TlsClient::default(), true);
        assert!(!is_good && why == "TLS: its certificate is of an authority that is not trusted", "{why}");
    });
}

#[test]
fn our_certificate_is_shown() {
    in_namespace(|| {
        let certificates = Certificates::new();
        let request = Request { name: "www.example.org", days: 30 };
        let served = certificates.signed("served", &request);
        let ours = certificates.signed("ours", &request);
        let authority = certificates.authority();
        let strict = ["-Verify", "1", "-verify_return_error", "-CAfile", &authority];
        let _server = s_server(8443, &served.certificate, &served.key, &strict);
        let (is_good, why) = once(8443, plain());
        assert!(!is_good && why.starts_with("TLS: the server refuses: "), "{why}");
        let client = |key: &str, password: Option<&str>| TlsClient {
            certificate: Some(ours.certificate.as_str().into()),
            key: Some(key.into()),
            password: password.map(|password| Secret::new(password.into())),
            ..TlsClient::default()
        };
        let shown = once_with(8443, plain(), &client(&ours.key, None), false);
        assert_eq!(shown, (true, "status 200 ok".into()));
        // Encrypted in the ways of today's and yesterday's openssl.
        for (number, way) in
            [&[][..], &["-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA1"], &["-v2", "des3"]].iter().enumerate()
        {
            let key = certificates.encrypted(&ours.key, number, way, "secret");
            let shown = once_with(8443, plain(), &client(&key, Some("secret")), false);
            assert_eq!(shown, (true, "status 200 ok".into()), "{way:?}");
            let mut drive = Drive::new([]);
            let fault = drive.io.set_tls(&client(&key, Some("wrong")), false).unwrap_err();
            assert!(fault.contains("cannot be decrypted with the password"), "{fault}");
            let fault = drive.io.set_tls(&client(&key, None), false).unwrap_err();
            assert!(fault.ends_with("it is encrypted, and there is no password in SSL"), "{fault}");
        }
    });
}

/// A file that is not there is no fault of the servers.
#[test]
fn without_its_files_nothing_is_tried() {
    in_namespace(|| {
        let mut drive = Drive::new([check(1, "127.0.0.1", 8443, plain())]);
        let client = TlsClient { authorities: Some("/nonexistent/ca.pem".into()), ..TlsClient::default() };
        let fault = drive.io.set_tls(&client, false).unwrap_err();
        assert_eq!(
            fault,
            "certificates cannot be read from /nonexistent/ca.pem: No such file or directory (os error 2)"
        );
        let (_listener, open) = servers::silent();
        drive.configure([check(1, "127.0.0.1", open.port(), plain())]);
        let mut why = String::new();
        drive.until("not tried", |drive| {
            let obstacle = drive.checks.statuses().find_map(|status| status.obstacle.map(str::to_owned));
            obstacle.map(|obstacle| why = obstacle).is_some()
        });
        assert_eq!(why, fault);
        assert!(drive.outcomes.is_empty());
    });
}

/// What the server hears: a name where it is to, and the end as asked for.
#[test]
fn names_and_ends_are_as_configured() {
    in_namespace(|| {
        let certificates = Certificates::new();
        let served = certificates.signed("a", &Request { name: "a", days: 30 });
        let mut server = Program::python(TLS_SERVER, &["8443", &served.certificate, &served.key]);
        server.wait_for("listening");
        let mut heard = |kind: CheckerKind| {
            assert_eq!(once(8443, kind), (true, "status 200 OK".into()));
            let name = server.line();
            (name, server.line())
        };
        let hosted = |close_notify| UrlCheck {
            host: Some("www.example.org:8443".into()),
            close_notify,
            ..UrlCheck::new("/")
        };
        // Python calls an end without `close_notify` a violation of the protocol.
        assert_eq!(heard(https(ServerName::None, hosted(false))).0, "name None");
        assert_eq!(
            heard(https(ServerName::VirtualHost, hosted(true))),
            ("name www.example.org".into(), "end in order".into())
        );
        assert_eq!(
            heard(https(ServerName::Name("b.example".into()), hosted(false))),
            ("name b.example".into(), "end out of order".into())
        );
    });
}

#[test]
fn what_is_no_tls_is_found() {
    in_namespace(|| {
        let saying = |bytes: Vec<u8>| {
            servers::tcp(move |mut stream| {
                let _ = stream.read(&mut [0; 2000]);
                let _ = stream.write_all(&bytes);
            })
        };
        let noise: Vec<u8> =
            (0..5000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        // A handshake message that never ends, in whole records.
        let mut endless = Vec::new();
        for _ in 0..100 {
            endless.extend_from_slice(&[22, 3, 3, 0x40, 0]);
            endless.extend_from_slice(&[2, 0xff, 0xff, 0xff]);
            endless.resize(endless.len() + 0x4000 - 4, 0);
        }
        let http = b"HTTP/1.0 400 Bad Request\r\n\r\n".to_vec();
        for bytes in [http, noise, endless, vec![22; 70_000], vec![0]] {
            let length = bytes.len();
            let (is_good, why) = once(saying(bytes), plain());
            assert!(
                !is_good
                    && (why.starts_with("TLS: ")
                        || why == "closed within the handshake of TLS"
                        || why == "connection reset"),
                "{length}: {why}"
            );
        }
        assert_eq!(once(saying(Vec::new()), plain()), (false, "closed within the handshake of TLS".into()));
        assert_eq!(once(1, plain()), (false, "connection refused".into()));
    });
}

/// A server that begins and stops anywhere in the handshake costs its time and no more.
#[test]
fn a_handshake_that_drips_has_its_limit() {
    in_namespace(|| {
        let port = servers::tcp(|mut stream| {
            let _ = stream.read(&mut [0; 2000]);
            // The longest record, which holds the beginning of a message.
            let _ = stream.write_all(&[22, 3, 3, 0x40, 0, 2, 0, 0x3f, 0xfc]);
            while stream.write_all(&[0]).is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let mut kind = plain();
        if let CheckerKind::Http(http) = &mut kind {
            http.connection = within(SECOND);
        }
        assert_eq!(once(port, kind), (false, "no answer within 1s".into()));
    });
}

/// A body of any length costs what one record costs.
#[test]
fn endless_pages_cost_no_memory() {
    in_namespace(|| {
        let certificates = Certificates::new();
        let served = certificates.signed("a", &Request { name: "a", days: 30 });
        let mut server = Program::python(TLS_SERVER, &["8443", &served.certificate, &served.key]);
        server.wait_for("listening");
        let mut url = UrlCheck::new("/endless");
        url.digest = Some(alived::check::BodyDigest([0; 16]));
        let mut drive = Drive::new((0..4).map(|key| {
            let mut kind = https(ServerName::None, url.clone());
            if let CheckerKind::Http(http) = &mut kind {
                http.connection = within(2 * SECOND + Duration::from_millis(key.into()));
            }
            check(key, "127.0.0.1", 8443, kind)
        }));
        drive.run_for(SECOND);
        let before = resident();
        for (key, result) in drive.results() {
            assert_eq!(
                result.reason,
                format!("no end of the page within {:?}", 2 * SECOND + Duration::from_millis(key.into()))
            );
        }
        assert!(resident() < before + (4 << 20), "{before} before, {} after", resident());
    });
}
