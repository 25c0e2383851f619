//! HTTP/2 and gRPC, and requests that say more than keepalived.conf can: real servers, and hostile ones.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;

use alived::check::{
    BodyDigest, CheckerKind, HttpCheck, HttpVersion, RequestSettings, ServerName, TlsCheck, TlsClient,
    UrlCheck,
};
use alived::drill::Folder;
use alived::secret::Secret;
use alived::time::Duration;
use md5::{Digest as _, Md5};

use crate::certificates::{Certificates, Request};
use crate::drive::{Drive, check, within};
use crate::programs::{Program, wait_for_port};
use crate::real_servers::{installed, python_has};
use crate::servers::{self, in_namespace, resident};

const SECOND: Duration = Duration::from_secs(1);

/// One try, over TLS or not.
#[track_caller]
fn once(port: u16, tls: bool, limit: Duration, url: UrlCheck) -> (bool, String) {
    let kind = CheckerKind::Http(Box::new(HttpCheck {
        connection: within(limit),
        tls: tls.then_some(TlsCheck { server_name: ServerName::None }),
        version: HttpVersion::V1_1,
        fast_recovery: false,
        urls: vec![url],
    }));
    let mut drive = Drive::new([check(1, "127.0.0.1", port, kind)]);
    drive.io.set_tls(&TlsClient::default(), false).unwrap();
    let result = drive.results().remove(&1).unwrap();
    (result.good, result.reason.into_owned())
}

fn asking(path: &str, request: RequestSettings) -> UrlCheck {
    UrlCheck { host: Some("www.example.org".into()), request: Some(request.into()), ..UrlCheck::new(path) }
}

fn version2() -> RequestSettings {
    RequestSettings { version2: true, ..RequestSettings::default() }
}

fn grpc(service: &str) -> UrlCheck {
    asking("/", RequestSettings { grpc_service: Some(service.into()), ..RequestSettings::default() })
}

fn digest(of: &[u8]) -> Option<BodyDigest> {
    Some(BodyDigest(Md5::digest(of).into()))
}

/// nginx with HTTP/2 over TLS at 8443 and without at 8081, with HTTP/1 alone at 8080.
fn nginx(program: &str, folder: &Folder, certificates: &Certificates, recorder: u16) -> Program {
    let served = certificates.signed("nginx", &Request { name: "www.example.org", days: 30 });
    let configuration = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr; events {{ worker_connections 500; }}
         http {{
             access_log off; client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
             server {{
                 listen 8080; listen 8081 http2; listen 8443 ssl http2;
                 ssl_certificate {}; ssl_certificate_key {};
                 root {};
                 location = / {{ return 200 '$server_protocol $request_method $host $http_x_health $http_user_agent'; }}
                 location = /busy {{ return 503 'busy'; }}
                 location = /record {{ proxy_pass http://127.0.0.1:{recorder}; }}
             }}
         }}",
        served.certificate,
        served.key,
        folder.path().display()
    );
    fs::write(folder.path().join("nginx.conf"), configuration).unwrap();
    let prefix = folder.path().to_str().unwrap().to_owned();
    let server = Program::start(program, &["-p", &prefix, "-c", "nginx.conf"]);
    wait_for_port(8443);
    server
}

/// Hands on each request, with its body, and answers.
fn recorder() -> (u16, mpsc::Receiver<String>) {
    let (told, heard) = mpsc::channel();
    let port = servers::tcp(move |mut stream| {
        let head = servers::request(&mut stream);
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
        });
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).unwrap();
        let _ = told.send(head + core::str::from_utf8(&body).unwrap());
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nwell");
    });
    (port, heard)
}

#[test]
fn nginx_is_asked_in_http2_with_tls_and_without() {
    let Some(program) = installed("nginx", "nginx-light") else { return };
    in_namespace(|| {
        let (folder, certificates) = (Folder::create().unwrap(), Certificates::new());
        let (recorder, heard) = recorder();
        let _server = nginx(&program, &folder, &certificates, recorder);
        let long: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();
        fs::write(folder.path().join("long"), &long).unwrap();
        let mut own = version2();
        own.headers = vec![("X-Health".parse().unwrap(), "yes".parse().unwrap())];
        for (port, tls) in [(8443, true), (8081, false)] {
            let ask = |url| once(port, tls, 10 * SECOND, url);
            let text = b"HTTP/2.0 GET www.example.org  KeepAliveClient";
            let plain = UrlCheck { digest: digest(text), ..asking("/", version2()) };
            assert_eq!(ask(plain), (true, "status 200, the digest is right".into()));
            let text = b"HTTP/2.0 GET www.example.org yes KeepAliveClient";
            let named = UrlCheck { digest: digest(text), ..asking("/", own.clone()) };
            assert_eq!(ask(named), (true, "status 200, the digest is right".into()));
            assert_eq!(ask(asking("/busy", version2())), (false, "status 503".into()));
            let whole = UrlCheck { digest: digest(&long), ..asking("/long", version2()) };
            assert_eq!(ask(whole), (true, "status 200, the digest is right".into()));
            let head = RequestSettings { method: Some("HEAD".parse().unwrap()), ..version2() };
            assert_eq!(ask(asking("/long", head)), (true, "status 200".into()));
            // A body of more than one frame and more than the first window.
            let body = "ping ".repeat(13_000);
            let posted = RequestSettings { body: Some(Secret::new(body.as_str().into())), ..own.clone() };
            assert_eq!(ask(asking("/record", posted)), (true, "status 200".into()));
            let request = heard.recv().unwrap();
            assert!(request.starts_with("POST /record HTTP/1.0\r\n"), "{request:.60}");
            assert!(request.ends_with(&format!("\r\n\r\n{body}")) && request.contains("x-health: yes\r\n"));
        }
        assert_eq!(
            once(8080, false, 10 * SECOND, asking("/", version2())),
            (false, "it speaks HTTP/1, not HTTP/2".into())
        );
        assert_eq!(
            once(8443, true, 10 * SECOND, grpc("")),
            (false, "status 404, which is no answer of gRPC".into())
        );
    });
}

/// A server with TLS that knows HTTP/1 alone, whether it knows of ALPN or not.
#[test]
fn a_server_that_does_not_choose_http2_is_told() {
    in_namespace(|| {
        let certificates = Certificates::new();
        let served = certificates.signed("served", &Request { name: "www.example.org", days: 30 });
        for (port, more) in [("4433", &[][..]), ("4434", &["-alpn", "http/1.1"])] {
            let words = [
                "s_server",
                "-quiet",
                "-www",
                "-accept",
                port,
                "-cert",
                &served.certificate,
                "-key",
                &served.key,
            ];
            let _server = Program::start("openssl", &[&words, more].concat());
            let port = port.parse().unwrap();
            wait_for_port(port);
            let (good, why) = once(port, true, 10 * SECOND, asking("/", version2()));
            assert_eq!((good, &*why), (false, "TLS: the server does not offer HTTP/2 (ALPN h2)"));
            assert!(once(port, true, 10 * SECOND, UrlCheck::new("/")).0);
        }
    });
}

#[test]
fn requests_of_http1_are_as_configured() {
    in_namespace(|| {
        let (port, heard) = recorder();
        let own = RequestSettings {
            method: Some("PUT".parse().unwrap()),
            headers: vec![("Authorization".parse().unwrap(), "Bearer abc".parse().unwrap())],
            body: Some(Secret::new("{\"ping\": 1}".into())),
            ..RequestSettings::default()
        };
        assert_eq!(once(port, false, 10 * SECOND, asking("/a", own)), (true, "status 200 OK".into()));
        assert_eq!(
            heard.recv().unwrap(),
            "PUT /a HTTP/1.1\r\nUser-Agent: KeepAliveClient\r\nConnection: close\r\nHost: www.example.org\r\n\
             Authorization: Bearer abc\r\nContent-Length: 11\r\n\r\n{\"ping\": 1}"
        );
    });
}

/// The health service as its specification has it, on Google's library and its Protocol Buffers.
const GRPC_SERVER: &str = r#"
import sys, time, grpc
from concurrent import futures
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

file = descriptor_pb2.FileDescriptorProto(name="health.proto", package="grpc.health.v1", syntax="proto3")
request = file.message_type.add(name="HealthCheckRequest")
request.field.add(name="service", number=1, type=9, label=1)
response = file.message_type.add(name="HealthCheckResponse")
states = response.enum_type.add(name="ServingStatus")
for number, name in enumerate(["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"]):
    states.value.add(name=name, number=number)
response.field.add(name="status", number=1, type=14, label=1, type_name=".grpc.health.v1.HealthCheckResponse.ServingStatus")
pool = descriptor_pool.DescriptorPool()
pool.Add(file)
factory = message_factory.MessageFactory(pool)
Request, Response = (factory.GetPrototype(pool.FindMessageTypeByName("grpc.health.v1." + name))
                     for name in ("HealthCheckRequest", "HealthCheckResponse"))
known = {"": 1, "shop.Cart": 1, "shop.Sick": 2}

def check(request, context):
    assert 0 < context.time_remaining() < 60
    if request.service == "shop.Slow":
        time.sleep(30)
    if request.service not in known:
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return Response(status=known[request.service])

handler = grpc.unary_unary_rpc_method_handler(
    check, request_deserializer=Request.FromString, response_serializer=Response.SerializeToString)
server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),))
key, certificate = (open(name, "rb").read() for name in sys.argv[1:3])
server.add_insecure_port("127.0.0.1:50051")
server.add_secure_port("127.0.0.1:50052", grpc.ssl_server_credentials([(key, certificate)]))
empty = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
empty.add_insecure_port("127.0.0.1:50053")
server.start()
empty.start()
print("listening", flush=True)
time.sleep(1000)
"#;

#[test]
fn the_health_of_services_is_asked_for_by_grpc() {
    if !python_has("grpc", "python3-grpcio") {
        return;
    }
    in_namespace(|| {
        let certificates = Certificates::new();
        let served = certificates.signed("served", &Request { name: "www.example.org", days: 30 });
        let mut server = Program::python(GRPC_SERVER, &[&served.key, &served.certificate]);
        server.wait_for("listening");
        for (port, tls) in [(50051, false), (50052, true)] {
            let ask = |service: &str| once(port, tls, 10 * SECOND, grpc(service));
            assert_eq!(ask(""), (true, "SERVING".into()));
            assert_eq!(ask("shop.Cart"), (true, "SERVING".into()));
            assert_eq!(ask("shop.Sick"), (false, "NOT_SERVING".into()));
            assert_eq!(ask("shop.Gone"), (false, "grpc-status 5 (NOT_FOUND): `unknown service`".into()));
        }
        // The time is over for both; whose word comes first is all the same.
        let (good, why) = once(50051, false, SECOND, grpc("shop.Slow"));
        assert!(!good && (why == "no answer within 1s" || why.contains("DEADLINE_EXCEEDED")), "{why}");
        let (good, why) = once(50053, false, 10 * SECOND, grpc(""));
        assert!(!good && why.starts_with("grpc-status 12 (UNIMPLEMENTED)"), "{why}");
    });
}

/// The head of a frame: its length, kind and stream.
fn head(length: u16, kind: u8, flags: u8, stream: u8) -> [u8; 9] {
    let [high, low] = length.to_be_bytes();
    [0, high, low, kind, flags, 0, 0, 0, stream]
}

/// The first frame of a server.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Says this and then that again and again, each so much later, and never reads.
fn flood(mut stream: &TcpStream, first: &[u8], again: &[u8], pause: Duration) {
    let _ = stream.write_all(first);
    while stream.write_all(again).is_ok() {
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }
}

/// Servers that never come to an end cost their time, and no memory.
#[test]
fn hostile_servers_cost_their_time_and_no_memory() {
    const BYTES_MORE: usize = 24 << 20;
    in_namespace(|| {
        let none = Duration::ZERO;
        let ping = [&head(8, 6, 0, 0)[..], &[7; 8]].concat().repeat(100);
        let begun = [&SETTINGS[..], &head(1, 1, 4, 1), &[0x88]].concat();
        let heads = [&SETTINGS[..], &head(1, 1, 0, 1), &[0x88]].concat();
        let field = [&head(6, 9, 0, 1)[..], b"\0\x01x\x02yz"].concat().repeat(100);
        let data = [&head(16_000, 0, 0, 1)[..], &[b'x'; 16_000]].concat();
        let within_data = [&begun[..], &head(16_000, 0, 0, 1)].concat();
        let within_unknown = [&SETTINGS[..], &head(16_000, 0x42, 0, 0)].concat();
        let drip = Duration::from_millis(20);
        for (first, again, pause, why) in [
            (&SETTINGS[..], &ping[..], none, Some("it has us answer without end")),
            (&SETTINGS, &SETTINGS.repeat(100), none, Some("it has us answer without end")),
            (&heads, &field, none, None),
            (&begun, &head(0, 0x42, 0, 1).repeat(100), none, Some("frames without end, and nothing in them")),
            (&begun, &data, none, Some("no end of the page within 2s")),
            (&within_data, b"x", drip, Some("no end of the page within 2s")),
            (&within_unknown, b"x", drip, Some("no answer within 2s")),
        ] {
            let (first, again) = (first.to_vec(), again.to_vec());
            let port = servers::tcp(move |stream| flood(&stream, &first, &again, pause));
            let before = resident();
            let never = UrlCheck { digest: digest(b"never"), ..asking("/", version2()) };
            let (good, said) = once(port, false, 2 * SECOND, never);
            assert!(!good && why.is_none_or(|why| why == said), "{said}");
            let more = resident().saturating_sub(before);
            assert!(more < BYTES_MORE, "{said}: {more} bytes more");
        }
    });
}
