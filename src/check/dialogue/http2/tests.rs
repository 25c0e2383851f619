//! Servers that speak HTTP/2, good and hostile, frame by frame.

use core::time::Duration;

use md5::{Digest as _, Md5};

use super::*;
use crate::check::{BodyDigest, Connection, HttpVersion, RegexMatch};
use crate::secret::Secret;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `:status 200`, `:status 500`, as HPACK has them in its table; `:status 103`.
const OK: &[u8] = &[0x88];
const SICK: &[u8] = &[0x8e];
const EARLY: &[u8] = b"\x08\x03103";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

fn settings() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[])
}

fn head(fields: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, fields)
}

fn url() -> UrlCheck {
    UrlCheck::new("/health")
}

fn digest(of: &[u8]) -> UrlCheck {
    UrlCheck { digest: Some(BodyDigest(Md5::digest(of).into())), ..url() }
}

fn matching(pattern: &str) -> UrlCheck {
    UrlCheck { regex: Some(Box::new(RegexMatch::new(pattern))), ..url() }
}

fn plain() -> RequestSettings {
    RequestSettings { version2: true, ..RequestSettings::default() }
}

fn grpc(service: &str) -> RequestSettings {
    RequestSettings { grpc_service: Some(service.into()), ..RequestSettings::default() }
}

fn dialogue(url: &UrlCheck, settings: &RequestSettings) -> Result<Http2Dialogue, String> {
    let check = HttpCheck {
        connection: Connection::default(),
        tls: None,
        version: HttpVersion::V1_0,
        fast_recovery: false,
        urls: vec![url.clone()],
    };
    let to = "192.0.2.1:80".parse().unwrap();
    Http2Dialogue::new(&check, url, settings, to, &mut Patterns::default())
}

/// A dialogue that has begun, and what it said.
fn begin(url: &UrlCheck, settings: &RequestSettings) -> (Http2Dialogue, Vec<u8>) {
    let mut page = dialogue(url, settings).unwrap();
    let mut send = Vec::new();
    assert_eq!(page.handle(&Event::Connected { certificate_expires: None }, &mut send), None);
    (page, send.concat())
}

fn words(verdict: Verdict) -> (bool, String) {
    match verdict {
        Verdict::Good { reason, .. } => (true, reason.into_owned()),
        Verdict::Bad(reason) => (false, reason.into_owned()),
        Verdict::Unknown(_) => panic!("an answer says something"),
    }
}

/// The verdict on frames, which come in portions, and then the end of the connection.
fn fetch_in(url: &UrlCheck, settings: &RequestSettings, answer: &[u8], portion: usize) -> (bool, String) {
    let (mut page, _) = begin(url, settings);
    let mut send = Vec::new();
    for piece in answer.chunks(portion) {
        if let Some(verdict) = page.handle(&Event::Received(piece), &mut send) {
            return words(verdict);
        }
    }
    words(page.handle(&Event::Closed, &mut send).unwrap())
}

#[track_caller]
fn ask(url: &UrlCheck, settings: &RequestSettings, frames: &[Vec<u8>]) -> (bool, String) {
    let answer = frames.concat();
    let whole = fetch_in(url, settings, &answer, usize::MAX);
    assert_eq!(fetch_in(url, settings, &answer, 1), whole, "the portions do not matter");
    whole
}

#[track_caller]
fn fetch(url: &UrlCheck, frames: &[Vec<u8>]) -> (bool, String) {
    ask(url, &plain(), frames)
}

/// What the server says again and again, until there is a verdict; not for ever.
#[track_caller]
fn endless(first: &[Vec<u8>], again: &[u8]) -> String {
    const BYTES: usize = 4 << 20;
    let (mut page, _) = begin(&digest(b"never"), &plain());
    let mut said = 0;
    let mut answered = 0;
    for bytes in first.iter().map(Vec::as_slice).chain(core::iter::repeat(again)) {
        let mut send = Vec::new();
        said += bytes.len();
        let verdict = page.handle(&Event::Received(bytes), &mut send);
        answered += send.concat().len();
        assert!(answered < 128 * 1024, "{answered} bytes are answered");
        if let Some(verdict) = verdict {
            let (good, why) = words(verdict);
            assert!(!good, "{why}");
            return why;
        }
        assert!(said < BYTES, "no verdict");
    }
    unreachable!()
}

#[test]
fn a_page_is_judged_as_in_any_version() {
    let answer = [settings(), head(OK), frame(DATA, 0, 1, b"all is "), frame(DATA, END_STREAM, 1, b"well")];
    assert_eq!(fetch(&url(), &answer), (true, "status 200".into()));
    assert_eq!(fetch(&digest(b"all is well"), &answer), (true, "status 200, the digest is right".into()));
    assert!(fetch(&digest(b"x"), &answer).1.starts_with("status 200, but the digest is "));
    assert_eq!(fetch(&matching("is well$"), &answer), (true, "status 200, the page matches".into()));
    assert_eq!(fetch(&matching("sick"), &answer), (false, "status 200, but the page does not match".into()));
    assert_eq!(fetch(&url(), &[settings(), head(SICK)]), (false, "status 500".into()));
    // An interim answer, no body, trailers behind one.
    let early = [settings(), head(EARLY), head(EARLY), frame(HEADERS, END_HEADERS | END_STREAM, 1, OK)];
    assert_eq!(fetch(&digest(b""), &early), (true, "status 200, the digest is right".into()));
    let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, &field("x-checksum", "1"));
    let trailed = [settings(), head(OK), frame(DATA, 0, 1, b"x"), trailers];
    assert_eq!(fetch(&digest(b"x"), &trailed), (true, "status 200, the digest is right".into()));
    // A connection that ends early.
    let short = [settings(), head(OK), frame(DATA, 0, 1, b"all is")];
    let why = "closed after 6 bytes of the page, before its end".to_owned();
    assert_eq!(fetch(&digest(b"all is"), &short), (false, why));
    assert_eq!(fetch(&url(), &[settings()]), (false, "closed before the head of the answer".into()));
}

#[test]
fn the_request_says_what_is_configured() {
    let mut settings = plain();
    settings.headers = vec![("X-Health".parse().unwrap(), "hunter2".parse().unwrap())];
    settings.body = Some(Secret::new("ping".into()));
    let (_, said) = begin(&url(), &settings);
    let said = said.strip_prefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    assert_eq!(said[3], SETTINGS);
    let mut rest = said;
    let mut frames = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk::<3>() {
        let length = usize::from(length[1]) << 8 | usize::from(length[2]);
        frames.push((behind[0], behind[1], behind[6..6 + length].to_vec()));
        rest = &behind[6 + length..];
    }
    let (_, flags, body) = frames.iter().find(|(kind, ..)| *kind == DATA).unwrap();
    assert_eq!((flags & END_STREAM, &**body), (END_STREAM, &b"ping"[..]));
    let (_, _, fields) = frames.iter().find(|(kind, ..)| *kind == HEADERS).unwrap();
    // `:method POST` and `:scheme http` of the table; a field that may never be kept (RFC 7541 §6.2.3).
    assert!(fields.contains(&0x83) && fields.contains(&0x86), "{fields:x?}");
    assert_eq!(fields.iter().filter(|byte| **byte == 0x10).count(), 1, "{fields:x?}");
    let shown = format!("{settings:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("ping"), "{shown}");
}

#[test]
fn paths_that_no_uri_has_are_told() {
    let check = |path: &str, host: Option<&str>| {
        let url = UrlCheck { path: path.into(), host: host.map(Into::into), ..url() };
        dialogue(&url, &plain()).map(drop)
    };
    assert_eq!(check("/a?b=c", Some("www.example.org:8080")), Ok(()));
    for (path, host) in [("/a b", None), ("/", Some("a b"))] {
        assert!(check(path, host).unwrap_err().starts_with("HTTP/2 cannot ask "), "{path} {host:?}");
    }
}

#[test]
fn an_end_is_told_with_its_reason() {
    let code = |code: u32| code.to_be_bytes();
    let reset = frame(RST_STREAM, 0, 1, &code(7));
    assert_eq!(
        fetch(&url(), &[settings(), reset.clone()]),
        (false, "the server resets the stream: REFUSED_STREAM".into())
    );
    let (good, why) = fetch(&digest(b"x"), &[settings(), head(OK), reset]);
    assert_eq!((good, &*why), (false, "the server resets the stream: REFUSED_STREAM"));
    let away = |last: u32, reason: u32| frame(GOAWAY, 0, 0, &[code(last), code(reason)].concat());
    let (good, why) = fetch(&url(), &[settings(), away(0, 11)]);
    assert_eq!((good, &*why), (false, "the server ends the connection: ENHANCE_YOUR_CALM"));
    // It ends the connection, but this answer comes first.
    let last = [settings(), away(1, 0), head(OK), frame(DATA, END_STREAM, 1, b"x")];
    assert_eq!(fetch(&digest(b"x"), &last), (true, "status 200, the digest is right".into()));
}

#[test]
fn who_does_not_speak_http2_is_told() {
    let (good, why) = fetch(&url(), &[b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n".to_vec()]);
    assert_eq!((good, &*why), (false, "it speaks HTTP/1, not HTTP/2"));
    let breaks = |frames: &[Vec<u8>]| {
        let (good, why) = fetch(&url(), frames);
        assert!(!good && why.starts_with("an answer that breaks HTTP/2: "), "{why}");
        why
    };
    breaks(&[b"SSH-2.0-OpenSSH_9.2\r\n".repeat(3)]);
    breaks(&[settings(), vec![0xff; 64]]);
    // A frame that is too long, streams that nobody opened, what only clients may say.
    breaks(&[settings(), frame(DATA, 0, 1, &[0; 16_385])]);
    breaks(&[settings(), frame(DATA, 0, 3, b"x")]);
    breaks(&[settings(), frame(HEADERS, END_HEADERS, 2, OK)]);
    breaks(&[settings(), frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82])]);
    breaks(&[settings(), frame(CONTINUATION, END_HEADERS, 1, OK)]);
    // A window of more than 2^31, a table that HPACK cannot have.
    breaks(&[settings(), frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])]);
    breaks(&[frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])]);
    breaks(&[settings(), head(&[0x3f, 0xff, 0xff, 0xff, 0xff, 0x7f])]);
    breaks(&[settings(), head(&field("x", "no status"))]);
}

/// Settings as large as they can be cost nothing, and the answer counts.
#[test]
fn huge_settings_do_no_harm() {
    let huge: Vec<u8> = [(1_u8, u32::MAX), (3, u32::MAX), (4, 0x7fff_ffff), (5, 0x00ff_ffff), (6, u32::MAX)]
        .iter()
        .flat_map(|(name, value)| [&[0, *name][..], &value.to_be_bytes()].concat())
        .collect();
    let unknown = [0x77, 0x77, 0, 0, 0, 1].repeat(2000);
    let answer = [frame(SETTINGS, 0, 0, &huge), frame(SETTINGS, 0, 0, &unknown), head(OK)];
    assert!(fetch(&url(), &[&answer[..], &[frame(DATA, END_STREAM, 1, b"x")]].concat()).0);
}

#[test]
fn floods_end_soon() {
    let begun = [settings()];
    let answering = [settings(), head(OK)];
    let has_us_answer = endless(&begun, &frame(PING, 0, 0, b"12345678"));
    assert_eq!(has_us_answer, "it has us answer without end");
    assert_eq!(endless(&begun, &frame(PING, 0, 0, b"12345678").repeat(3000)), has_us_answer);
    assert_eq!(endless(&begun, &settings()), has_us_answer);
    let empty = "frames without end, and nothing in them";
    // Kinds of frames that nobody knows.
    assert_eq!(endless(&answering, &frame(0x42, 0, 1, &[0; 1000])), empty);
    assert_eq!(endless(&begun, &frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])), empty);
    for (first, again) in [
        // Empty data, data that is padding but for a byte, one byte at a time.
        (&answering[..], frame(DATA, 0, 1, b"")),
        (&answering, frame(DATA, 8, 1, &[&[250, b'x'][..], &[0; 250]].concat())),
        (&answering, frame(DATA, 0, 1, b"x").repeat(500)),
        // Interim answers, heads that never end, in one frame after the other, and a large one.
        (&begun, head(EARLY)),
        (&[settings(), frame(HEADERS, 0, 1, OK)], frame(CONTINUATION, 0, 1, &field("x", "y").repeat(100))),
        (&[settings(), frame(HEADERS, 0, 1, OK)], frame(CONTINUATION, 0, 1, b"")),
    ] {
        let why = endless(first, &again);
        assert!(why == empty || why.starts_with("an answer that breaks HTTP/2: "), "{why}");
    }
}

/// Whoever sends a page without end is read on until the time is over, in bounded memory and with few answers.
#[test]
fn an_endless_page_is_read_until_the_time_is_over() {
    let (mut page, _) = begin(&digest(b"never"), &plain());
    let mut answered = 0;
    let again = frame(DATA, 0, 1, &[0; 16_000]).repeat(4);
    for bytes in [[settings(), head(OK)].concat()].iter().chain(core::iter::repeat_n(&again, 100)) {
        let mut send = Vec::new();
        assert_eq!(page.handle(&Event::Received(bytes), &mut send), None);
        answered += send.concat().len();
    }
    assert!((200..20_000).contains(&answered), "{answered}");
    assert!(!words(page.timed_out(Duration::from_secs(5))).0);
}

/// A table of HPACK that expands a small frame to a head of a gigabyte.
#[test]
fn a_bomb_of_compression_does_not_go_off() {
    let value = "y".repeat(100);
    // Kept at index 62, and named again and again.
    let kept = [&[0x40, 1, b'x', 100][..], value.as_bytes()].concat();
    let bomb = [OK, &kept, &[0xbe; 16_000]].concat();
    let (good, why) = fetch(&url(), &[settings(), head(&bomb), frame(DATA, END_STREAM, 1, b"x")]);
    assert!(!good, "{why}");
}

#[test]
fn the_time_is_over() {
    let (mut page, _) = begin(&url(), &plain());
    assert_eq!(words(page.timed_out(Duration::from_secs(5))), (false, "no answer within 5s".into()));
    let (mut page, _) = begin(&digest(b"x"), &plain());
    let answer = [settings(), head(OK), frame(DATA, 0, 1, b"x")].concat();
    assert_eq!(page.handle(&Event::Received(&answer), &mut Vec::new()), None);
    assert_eq!(words(page.timed_out(Duration::from_secs(5))), (false, "no end of the page within 5s".into()));
}

/// A page that is longer than the windows is read on, since the server is told that it was.
#[test]
fn long_pages_get_their_windows() {
    let (mut page, _) = begin(&digest(&[b'x'; 1 << 20]), &plain());
    let mut send = Vec::new();
    assert_eq!(page.handle(&Event::Received(&[settings(), head(OK)].concat()), &mut send), None);
    let (mut window, mut left) = (65_535_i64, 1 << 20_i64);
    while left > 0 {
        let length = left.min(window).min(16_384);
        assert!(length > 0, "the window opens again");
        (left, window) = (left - length, window - length);
        let flags = if left == 0 { END_STREAM } else { 0 };
        let bytes = frame(DATA, flags, 1, &vec![b'x'; usize::try_from(length).unwrap()]);
        send.clear();
        let verdict = page.handle(&Event::Received(&bytes), &mut send);
        if left == 0 {
            assert_eq!(words(verdict.unwrap()), (true, "status 200, the digest is right".into()));
            return;
        }
        assert_eq!(verdict, None);
        // Updates of the connection's window; the stream's come with them.
        for update in send.concat().chunks(13).filter(|update| update[3] == WINDOW_UPDATE && update[8] == 0) {
            window += i64::from(u32::from_be_bytes(update[9..13].try_into().unwrap()));
        }
    }
}

#[test]
fn the_health_of_a_service_is_judged() {
    let kind = field("content-type", "application/grpc+proto");
    let begun = || [OK, &kind].concat();
    let message = |status: u8| frame(DATA, 0, 1, &[0, 0, 0, 0, 2, 8, status]);
    let trailers = |fields: &[Vec<u8>]| frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields.concat());
    let well = || trailers(&[field("grpc-status", "0")]);
    let ask = |frames: &[Vec<u8>]| ask(&url(), &grpc("a.B"), &[&[settings()][..], frames].concat());
    let bad = |why: &str| (false, why.to_owned());
    assert_eq!(ask(&[head(&begun()), message(1), well()]), (true, "SERVING".into()));
    assert_eq!(ask(&[head(&begun()), message(2), well()]), bad("NOT_SERVING"));
    assert_eq!(ask(&[head(&begun()), frame(DATA, 0, 1, &[0; 5]), well()]), bad("UNKNOWN"));
    let unknown = [field("grpc-status", "5"), field("grpc-message", "unknown%20service%0a")];
    let told = "grpc-status 5 (NOT_FOUND): `unknown service?`";
    assert_eq!(ask(&[trailers(&[begun(), unknown.concat()])]), bad(told));
    assert_eq!(ask(&[head(&begun()), trailers(&unknown)]), bad(told));
    assert_eq!(ask(&[head(&begun()), trailers(&[field("grpc-status", "99")])]), bad("grpc-status 99"));
    let lacking = bad("an answer of gRPC without its grpc-status");
    assert_eq!(ask(&[head(&begun()), frame(DATA, END_STREAM, 1, &[0, 0, 0, 0, 2, 8, 1])]), lacking);
    assert_eq!(ask(&[head(&begun()), message(1), trailers(&[field("x", "y")])]), lacking);
    assert_eq!(ask(&[head(SICK)]), bad("status 500, which is no answer of gRPC"));
    let page = [OK, &field("content-type", "text/html")].concat();
    assert_eq!(ask(&[head(&page)]), bad("no answer of gRPC: its content-type is `text/html`"));
    let short = bad("an answer that is not understood: it ends within its message");
    assert_eq!(ask(&[head(&begun()), frame(DATA, 0, 1, &[0, 0, 0, 0, 3, 8, 1]), well()]), short);
    assert_eq!(
        ask(&[head(&begun()), frame(DATA, 0, 1, &[0; 5000])]),
        bad("an answer of more than 4096 bytes")
    );
    assert_eq!(ask(&[head(&begun()), message(1)]), bad("closed before the end of the answer"));
}
