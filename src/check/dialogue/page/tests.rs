//! Pages of servers, good and hostile.

use md5::{Digest as _, Md5};

use super::*;
use crate::check::{
    BodyDigest, Connection, HttpVersion, RegexMatch, RegexOption, RequestSettings, StatusCodes, TlsCheck,
};
use crate::secret::Secret;

fn url() -> UrlCheck {
    UrlCheck::new("/health")
}

fn check(version: HttpVersion) -> HttpCheck {
    HttpCheck {
        connection: Connection::default(),
        tls: None,
        version,
        fast_recovery: false,
        urls: vec![url()],
    }
}

fn regex(pattern: &str, must_not_match: bool) -> UrlCheck {
    let regex =
        RegexMatch { options: vec![RegexOption::Caseless], must_not_match, ..RegexMatch::new(pattern) };
    UrlCheck { regex: Some(Box::new(regex)), ..url() }
}

fn digest(of: &[u8]) -> UrlCheck {
    UrlCheck { digest: Some(BodyDigest(Md5::digest(of).into())), ..url() }
}

fn begin(url: &UrlCheck) -> PageDialogue {
    let to = "192.0.2.1:80".parse().unwrap();
    let mut page = PageDialogue::new(&check(HttpVersion::V1_0), url, to, &mut Patterns::default()).unwrap();
    let mut send = Vec::new();
    assert_eq!(page.handle(&Event::Connected { certificate_expires: None }, &mut send), None);
    assert_eq!(send.len(), 1);
    page
}

/// The verdict on an answer, which comes in portions, and whether the connection had to be closed for it.
fn fetch_in(url: &UrlCheck, answer: &[u8], portion: usize) -> (Verdict, bool) {
    let mut page = begin(url);
    for piece in answer.chunks(portion) {
        if let Some(verdict) = page.handle(&Event::Received(piece), &mut Vec::new()) {
            return (verdict, false);
        }
    }
    (page.handle(&Event::Closed, &mut Vec::new()).unwrap(), true)
}

#[track_caller]
fn fetch(url: &UrlCheck, answer: &[u8]) -> (bool, String) {
    let whole = fetch_in(url, answer, usize::MAX);
    assert_eq!(fetch_in(url, answer, 1).0, whole.0, "the portions do not matter");
    match whole.0 {
        Verdict::Good { reason, .. } => (true, reason.into_owned()),
        Verdict::Bad(reason) => (false, reason.into_owned()),
        Verdict::Unknown(_) => panic!("an answer says something"),
    }
}

/// As keepalived's genhash 2.2.7 sends them.
#[test]
fn requests_are_those_of_keepalived() {
    let sent = |version, url: &UrlCheck, to: &str| {
        String::from_utf8(request(version, url, to.parse().unwrap())).unwrap()
    };
    assert_eq!(
        sent(HttpVersion::V1_0, &url(), "127.0.0.1:80"),
        "GET /health HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: 127.0.0.1:80\r\n\r\n"
    );
    let named = UrlCheck { host: Some("vhost".into()), ..url() };
    assert_eq!(
        sent(HttpVersion::V1_1, &named, "127.0.0.1:8101"),
        "GET /health HTTP/1.1\r\nUser-Agent: KeepAliveClient\r\nConnection: close\r\nHost: vhost\r\n\r\n"
    );
    assert!(
        sent(HttpVersion::V1_0Close, &url(), "[::1]:8105")
            .ends_with("Connection: close\r\nHost: [::1]:8105\r\n\r\n")
    );
}

#[test]
fn a_request_says_more_where_that_is_configured() {
    let sent = |own: RequestSettings| {
        let url = UrlCheck { request: Some(own.into()), ..url() };
        String::from_utf8(request(HttpVersion::V1_1, &url, "127.0.0.1:80".parse().unwrap())).unwrap()
    };
    let host = "Connection: close\r\nHost: 127.0.0.1:80\r\n";
    let agent = "User-Agent: KeepAliveClient\r\n";
    let field = |name: &str, value: &str| (name.parse().unwrap(), value.parse().unwrap());
    let posted = RequestSettings {
        headers: vec![field("X-Key", "a b"), field("Accept", "text/plain")],
        body: Some(Secret::new("{\"ä\"}".into())),
        ..RequestSettings::default()
    };
    assert_eq!(
        sent(posted),
        format!(
            "POST /health HTTP/1.1\r\n{agent}{host}X-Key: a b\r\nAccept: text/plain\r\nContent-Length: 6\r\n\r\n{{\"ä\"}}"
        )
    );
    let named = RequestSettings {
        method: Some("OPTIONS".parse().unwrap()),
        headers: vec![field("user-agent", "probe")],
        ..RequestSettings::default()
    };
    assert_eq!(sent(named), format!("OPTIONS /health HTTP/1.1\r\n{host}user-agent: probe\r\n\r\n"));
}

/// The answer to HEAD has a length, and no body.
#[test]
fn nothing_is_waited_for_behind_the_answer_to_head() {
    let own = RequestSettings { method: Some("HEAD".parse().unwrap()), ..RequestSettings::default() };
    let url = UrlCheck { request: Some(own.into()), ..url() };
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n";
    let (verdict, closed) = fetch_in(&url, answer, 7);
    assert_eq!((verdict, closed), (Verdict::good("status 200 OK"), false));
}

#[test]
fn a_status_is_accepted_or_not() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(fetch(&url(), answer), (true, "status 200 OK".into()));
    assert!(!fetch_in(&url(), answer, 7).1, "its end is known");
    assert_eq!(fetch(&url(), b"HTTP/1.0 503 Busy\r\n\r\n"), (false, "status 503 Busy".into()));
    let mut moved = StatusCodes::NONE;
    moved.insert(301..=302);
    let moved = UrlCheck { status: moved, ..url() };
    assert!(fetch(&moved, b"HTTP/1.1 301 Moved Permanently\r\nLocation: /\r\n\r\n").0);
    assert!(!fetch(&moved, answer).0);
    let interim = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert!(fetch(&url(), interim).0);
    assert_eq!(fetch(&url(), b"").1, "closed before the head of the answer");
    let hostile = fetch(&url(), b"\x1b[2J\x07\xff evil\n");
    assert_eq!(hostile, (false, "no answer of HTTP: `?[2J?? evil`".into()));
}

/// The digests that genhash 2.2.7 gives for the same answers.
#[test]
fn digests_are_those_of_genhash() {
    let known = |hex: &str| {
        let mut bytes = [0; 16];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).unwrap();
        }
        UrlCheck { digest: Some(BodyDigest(bytes)), ..url() }
    };
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
    assert!(fetch(&known("fc3946cc674492e3e09d9e45c4c09023"), chunked).0);
    assert!(fetch(&known("5eb63bbbe01eeed093cb22bb8f5acdc3"), chunked).0, "what is in the chunks");
    assert!(!fetch(&known("5d41402abc4b2a76b9719d911017c592"), chunked).0);
    let longer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello world";
    assert!(fetch(&known("5d41402abc4b2a76b9719d911017c592"), longer).0);
    let plain = b"HTTP/1.0 200 OK\r\n\r\nhello world";
    assert!(fetch(&known("5eb63bbbe01eeed093cb22bb8f5acdc3"), plain).0);
    let wrong = fetch(&digest(b"other"), plain);
    assert_eq!(wrong, (false, "status 200 OK, but the digest is 5eb63bbbe01eeed093cb22bb8f5acdc3".into()));
    assert!(fetch(&digest(b""), b"HTTP/1.1 204 No Content\r\n\r\n").0);
}

#[test]
fn a_page_matches_or_not() {
    let page = b"HTTP/1.0 200 OK\r\n\r\n{\"status\":\"UP\"}\n";
    assert!(fetch(&regex(r#"{"status":"up"}$"#, false), page).0);
    assert_eq!(
        fetch(&regex("down", false), page),
        (false, "status 200 OK, but the page does not match".into())
    );
    assert!(fetch(&regex("down", true), page).0);
    assert_eq!(fetch(&regex("up", true), page), (false, "status 200 OK, but the page matches".into()));
    let both = UrlCheck { regex: regex("hello", false).regex, ..digest(b"hello world") };
    assert!(fetch(&both, b"HTTP/1.0 200 OK\r\n\r\nhello world").0);
    assert!(!fetch(&both, b"HTTP/1.0 200 OK\r\n\r\nhello World").0);
    let (verdict, closed) = fetch_in(&regex("up", false), page, 1);
    assert!(matches!(verdict, Verdict::Good { .. }) && !closed, "as soon as it is found");
    // One that says all and does not close.
    let mut silent = begin(&regex("ok$", false));
    assert_eq!(silent.handle(&Event::Received(b"HTTP/1.0 200 OK\r\n\r\nok"), &mut Vec::new()), None);
    assert!(matches!(silent.timed_out(Duration::from_secs(5)), Verdict::Good { .. }));
    let mut early = begin(&regex("other", true));
    assert_eq!(early.handle(&Event::Received(b"HTTP/1.0 200 OK\r\n\r\nok"), &mut Vec::new()), None);
    assert!(matches!(early.timed_out(Duration::from_secs(5)), Verdict::Bad(_)), "the rest was not seen");
}

#[test]
fn a_page_that_breaks_off_is_no_page() {
    let short = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello";
    assert_eq!(fetch(&digest(b"hello"), short).1, "closed after 5 bytes of the page, before its end");
    assert!(fetch(&regex("hello", false), short).0, "what was to be found was there");
    assert!(!fetch(&regex("bye", true), short).0);
    assert!(fetch(&url(), short).0, "nobody asked for it");
    let chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\nhello";
    assert!(!fetch(&digest(b"hello"), chunk).0);
    let broken = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello";
    assert_eq!(fetch(&digest(b"hello"), broken).1, "a chunk without a size");
}

#[test]
fn endless_pages_end() {
    let megabyte = vec![b'x'; 1 << 20];
    let mut plain = begin(&url());
    assert_eq!(plain.handle(&Event::Received(b"HTTP/1.0 200 OK\r\n\r\n"), &mut Vec::new()), None);
    assert!(matches!(plain.handle(&Event::Received(&megabyte), &mut Vec::new()), Some(Verdict::Good { .. })));
    // Ten gigabytes under a digest: nothing is kept of them. A hundred will do here.
    for asked in [digest(b""), regex("needle", false)] {
        let mut page = begin(&asked);
        let head = b"HTTP/1.0 200 OK\r\nContent-Length: 10000000000\r\n\r\n";
        assert_eq!(page.handle(&Event::Received(head), &mut Vec::new()), None);
        for _ in 0..if cfg!(debug_assertions) { 4 } else { 100 } {
            assert_eq!(page.handle(&Event::Received(&megabyte), &mut Vec::new()), None);
        }
        assert!(matches!(page.timed_out(Duration::from_secs(5)), Verdict::Bad(_)));
    }
}

#[test]
fn the_name_of_a_server_is_a_name() {
    let named = |host: Option<&str>, server_name| {
        let tls = Some(TlsCheck { server_name });
        let url = UrlCheck { host: host.map(Into::into), ..url() };
        super::tls(&HttpCheck { tls, ..check(HttpVersion::V1_1) }, &url)
            .unwrap()
            .server_name
            .map(|name| name.to_string())
    };
    assert_eq!(named(Some("www.example.org:8443"), ServerName::VirtualHost), Some("www.example.org".into()));
    assert_eq!(named(Some("www.example.org"), ServerName::Name("other".into())), Some("other".into()));
    for host in [None, Some("192.0.2.1:443"), Some("[2001:db8::1]:443"), Some("2001:db8::1"), Some("")] {
        assert_eq!(named(host, ServerName::VirtualHost), None, "{host:?}");
    }
    assert_eq!(named(Some("www.example.org"), ServerName::None), None);
    assert_eq!(tls(&check(HttpVersion::V1_0), &url()), None);
}
