//! Real servers: each kind of check against what it is for, where all is well and where it is not.

use std::fs;
use std::path::Path;
use std::thread;

use alived::check::{
    BodyDigest, CheckerKind, DnsCheck, DnsType, ExpectedReply, HttpCheck, HttpVersion, RegexMatch,
    ServerName, SmtpCheck, StatusCodes, TlsCheck, UdpCheck, UrlCheck, WildcardByte,
};
use alived::drill::Folder;
use alived::time::Duration;
use md5::{Digest as _, Md5};

use crate::certificates::{Certificates, Request};
use crate::drive::{Drive, check, http, once, timing, within};
use crate::programs::{Program, wait_for_port};
use crate::servers::in_namespace;
use crate::skip;

const SECOND: Duration = Duration::from_secs(1);

/// The path of a program, unless it is not installed, which is said.
pub(crate) fn installed(program: &str, package: &str) -> Option<String> {
    let folders = ["/usr/sbin", "/usr/bin"];
    let found =
        folders.iter().map(|folder| format!("{folder}/{program}")).find(|path| Path::new(path).exists());
    if found.is_none() {
        lacking(program, package);
    }
    found
}

/// Whether Python has that module of a Debian package.
pub(crate) fn python_has(module: &str, package: &str) -> bool {
    let found = Path::new("/usr/lib/python3/dist-packages").join(module).exists();
    if !found {
        lacking(&format!("{module} for Python"), package);
    }
    found
}

fn lacking(what: &str, package: &str) {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    skip::skip(&test, &format!("there is no {what} (apt-get install {package})"));
}

fn nginx(program: &str, folder: &Folder, certificates: &Certificates) -> Program {
    let served = certificates.signed("nginx", &Request { name: "www.example.org", days: 30 });
    let configuration = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr; events {{ worker_connections 500; }}
         http {{
             access_log off; client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
             server {{
                 listen 8080; listen 8443 ssl http2;
                 ssl_certificate {}; ssl_certificate_key {};
                 location = / {{ return 200 'all is well at $host'; }}
                 location = /busy {{ return 503 'busy'; }}
                 location = /moved {{ return 302 /; }}
             }}
         }}",
        served.certificate, served.key
    );
    fs::write(folder.path().join("nginx.conf"), configuration).unwrap();
    let prefix = folder.path().to_str().unwrap().to_owned();
    let server = Program::start(program, &["-p", &prefix, "-c", "nginx.conf"]);
    wait_for_port(8443);
    server
}

#[test]
fn nginx_is_judged_by_status_digest_and_pattern() {
    let Some(program) = installed("nginx", "nginx-light") else { return };
    in_namespace(|| {
        let (folder, certificates) = (Folder::create().unwrap(), Certificates::new());
        let _server = nginx(&program, &folder, &certificates);
        let body = "all is well at www.example.org";
        let host = || UrlCheck { host: Some("www.example.org".into()), ..UrlCheck::new("/") };
        let matching = |pattern: &str| UrlCheck { regex: Some(Box::new(RegexMatch::new(pattern))), ..host() };
        let digest =
            |text: &str| UrlCheck { digest: Some(BodyDigest(Md5::digest(text.as_bytes()).into())), ..host() };
        let mut codes = StatusCodes::NONE;
        codes.insert(302..=302);
        let cases = [
            (UrlCheck::new("/"), "status 200 OK", true),
            (UrlCheck::new("/busy"), "status 503 Service Temporarily Unavailable", false),
            (UrlCheck::new("/nothing"), "status 404 Not Found", false),
            (UrlCheck::new("/moved"), "status 302 Moved Temporarily", false),
            (UrlCheck { status: codes, ..UrlCheck::new("/moved") }, "status 302 Moved Temporarily", true),
            (digest(body), "status 200 OK, the digest is right", true),
            (digest("x"), "status 200 OK, but the digest is ", false),
            (matching("well.at"), "status 200 OK, the page matches", true),
            (matching("^sick"), "status 200 OK, but the page does not match", false),
        ];
        for tls in [None, Some(TlsCheck { server_name: ServerName::None })] {
            for version in [HttpVersion::V1_0, HttpVersion::V1_0Close, HttpVersion::V1_1] {
                let port = if tls.is_some() { 8443 } else { 8080 };
                let checks = cases.iter().zip(1..).map(|((url, ..), key)| {
                    let http = HttpCheck {
                        connection: within(10 * SECOND),
                        tls: tls.clone(),
                        version,
                        fast_recovery: false,
                        urls: vec![url.clone()],
                    };
                    check(key, "127.0.0.1", port, CheckerKind::Http(Box::new(http)))
                });
                let results = Drive::new(checks).results();
                for ((_, why, good), result) in cases.iter().zip(results.values()) {
                    assert_eq!(result.good, *good, "{result:?}");
                    assert!(result.reason.starts_with(why), "{result:?}");
                }
            }
        }
    });
}

/// It dies, and comes back: both are found, each once.
#[test]
fn a_server_that_dies_and_comes_back_is_followed() {
    let Some(program) = installed("nginx", "nginx-light") else { return };
    in_namespace(|| {
        let (folder, certificates) = (Folder::create().unwrap(), Certificates::new());
        let server = nginx(&program, &folder, &certificates);
        let mut check = check(1, "127.0.0.1", 8080, http(within(SECOND), UrlCheck::new("/")));
        let often = timing(SECOND / 10);
        check.checker = alived::check::Checker { timing: often, kind: check.checker.kind.clone() }.into();
        let mut drive = Drive::new([check]);
        drive.until("up", |drive| drive.outcomes.len() == 1);
        drop(server);
        drive.until("down", |drive| drive.outcomes.len() == 2);
        let _server = nginx(&program, &folder, &certificates);
        drive.until("up again", |drive| drive.outcomes.len() == 3);
        let ups: Vec<bool> = drive.outcomes.iter().map(|outcome| outcome.up).collect();
        assert_eq!(ups, [true, false, true]);
    });
}

const AIOSMTPD: &str = r#"
import sys
from aiosmtpd.controller import Controller
class Refusing:
    async def handle_HELO(self, server, session, envelope, hostname):
        return "421 go away"
class Welcoming:
    pass
controllers = [Controller(handler, hostname="127.0.0.1", port=port) for handler, port in ((Welcoming(), 2525), (Refusing(), 2526))]
for controller in controllers:
    controller.start()
print("listening", flush=True)
sys.stdin.read()
import time
time.sleep(1000)
"#;

#[test]
fn mail_servers_are_asked() {
    if !python_has("aiosmtpd", "python3-aiosmtpd") {
        return;
    }
    in_namespace(|| {
        let mut server = Program::python(AIOSMTPD, &[]);
        server.wait_for("listening");
        let smtp =
            || CheckerKind::Smtp(Box::new(SmtpCheck { hosts: vec![within(10 * SECOND)], helo_name: None }));
        assert_eq!(once("127.0.0.1", 2525, smtp()), (true, "250 to HELO".into()));
        assert_eq!(once("127.0.0.1", 2526, smtp()), (false, "`421 go away` as answer to HELO".into()));
        assert_eq!(once("127.0.0.1", 2527, smtp()), (false, "connection refused".into()));
    });
}

fn dns(query_type: DnsType, name: &str) -> CheckerKind {
    let labels = name.split('.').filter(|label| !label.is_empty()).map(Into::into).collect();
    CheckerKind::Dns(Box::new(DnsCheck { connection: within(5 * SECOND), query_type, labels }))
}

#[test]
fn name_servers_are_asked() {
    let Some(dnsmasq) = installed("dnsmasq", "dnsmasq-base") else { return };
    let Some(unbound) = installed("unbound", "unbound") else { return };
    in_namespace(|| {
        let folder = Folder::create().unwrap();
        let words = "--keep-in-foreground --port=5301 --no-resolv --no-hosts --listen-address=127.0.0.1 --bind-interfaces \
                     --conf-file=/dev/null --user=root --pid-file= --address=/a.example/192.0.2.1";
        let _dnsmasq = Program::start(&dnsmasq, &words.split_whitespace().collect::<Vec<_>>());
        let configuration = format!(
            "server:\n interface: 127.0.0.1\n port: 5302\n do-daemonize: no\n username: \"\"\n chroot: \"\"\n directory: \"{}\"\n \
             pidfile: \"\"\n use-syslog: no\n local-zone: \"example.\" static\n local-data: \"a.example. AAAA 2001:db8::1\"\n\
             remote-control:\n control-enable: no\n",
            folder.path().display()
        );
        let file = folder.path().join("unbound.conf");
        fs::write(&file, configuration).unwrap();
        let _unbound = Program::start(&unbound, &["-d", "-c", file.to_str().unwrap()]);
        wait_for_port(5301);
        wait_for_port(5302);
        for (port, kind, good) in [
            (5301, dns(DnsType::A, "a.example"), true),
            // It knows nobody to ask, and refuses.
            (5301, dns(DnsType::Soa, ""), false),
            (5302, dns(DnsType::Aaaa, "a.example"), true),
            (5302, dns(DnsType::A, "b.example"), false),
            (5303, dns(DnsType::A, "a.example"), false),
        ] {
            let (is_good, why) = once("127.0.0.1", port, kind);
            assert_eq!(is_good, good, "{port}: {why}");
        }
        // The same by bytes: a question for a.example, and an answer with its identifier and without an error.
        let question =
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x01\x00\x01";
        let exactly = |value| WildcardByte { value, mask: 0xff };
        let pattern = vec![
            exactly(0x12),
            exactly(0x34),
            WildcardByte { value: 0, mask: 0 },
            WildcardByte { value: 0, mask: 0x0f },
        ];
        let reply = Some(ExpectedReply { minimum_length: 12, maximum_length: 512, pattern });
        let udp = |reply| UdpCheck {
            connection: within(5 * SECOND),
            payload: Some(question.as_slice().into()),
            reply,
        };
        let (is_good, why) = once("127.0.0.1", 5301, CheckerKind::Udp(Box::new(udp(reply))));
        assert!(is_good && why.starts_with("a reply of "), "{why}");
    });
}

/// Ten that depend on one answer cost one connection, and each is told.
#[test]
fn equal_checks_of_one_server_are_one_probe() {
    in_namespace(|| {
        let connections = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = connections.clone();
        let port = crate::servers::tcp(move |mut stream| {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            crate::servers::request(&mut stream);
            use std::io::Write as _;
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
        });
        let checks =
            (0..10).map(|key| check(key, "127.0.0.1", port, http(within(10 * SECOND), UrlCheck::new("/"))));
        let mut drive = Drive::new(checks);
        drive.until("all told", |drive| drive.outcomes.len() == 10);
        assert!(drive.outcomes.iter().all(|outcome| outcome.up));
        assert_eq!(drive.checks.probes(), 1);
        assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), 1);
    });
}
