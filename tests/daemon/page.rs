//! The status page: its files and its state, what it is told as it happens, and how it looks to a real browser.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::host::{Host, instance};
use crate::http::{self, ADDRESS, get, try_get, with_loopback};
use crate::skip;

const TICK: &str = "event: tick";

const RELOAD: &str = "\"kind\":\"reload\"";

const VIRTUAL: &str = "192.0.2.50/24";

/// A name that is no name for a page that believes it.
const NAME: &str = "VI_<b>1</b>";

fn served() -> Option<Host> {
    let mut host = with_loopback(Host::new()?);
    host.configure(&instance(NAME, 51, 100, VIRTUAL));
    host.start(&["--http", ADDRESS]);
    host.wait_for_lines("Entering MASTER STATE", 1);
    Some(host)
}

#[test]
fn the_page_comes_whole_from_here_under_a_strict_policy() {
    let Some(mut host) = served() else { return };
    let page = get(&mut host, "/");
    assert_eq!((page.status, &*page.headers["content-type"]), (200, "text/html; charset=utf-8"));
    for (path, media) in [
        ("/style.css", "text/css; charset=utf-8"),
        ("/script.js", "text/javascript; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/status.json", "application/json"),
    ] {
        assert!(path == "/status.json" || page.body.contains(path), "{path}");
        let answer = get(&mut host, path);
        assert_eq!((answer.status, &*answer.headers["content-type"]), (200, media), "{path}");
        let policy = &answer.headers["content-security-policy"];
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    }
}

#[test]
fn the_state_is_that_of_the_workers_and_of_the_last_events() {
    let Some(mut host) = served() else { return };
    let state: Value = serde_json::from_str(&get(&mut host, "/status.json").body).unwrap();
    assert_eq!(state["workers"], serde_json::json!({"vrrp": true}));
    assert_eq!(state["lvs"], Value::Null);
    assert_eq!(state["vrrp"]["routers"][0]["name"], NAME);
    let events = state["events"].as_array().unwrap();
    let to_master = |event: &&Value| event["kind"] == "transition" && event["to"] == "MASTER";
    let transition = events.iter().find(to_master).unwrap();
    assert!(transition["cause"].as_str().unwrap().contains("master-down time"), "{transition}");
}

#[test]
fn who_follows_hears_of_a_transition_at_once_also_of_the_next_worker() {
    let Some(mut host) = served() else { return };
    get(&mut host, "/healthz");
    let mut stream = http::connect(&host).unwrap();
    stream.write_all(format!("GET /events HTTP/1.1\r\nHost: {ADDRESS}\r\n\r\n").as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let mut wait = |one: &str, other: &str| {
        let found = lines.by_ref().take(10_000).find(|line| line.contains(one) || line.contains(other));
        found.unwrap_or_else(|| panic!("no line with {one}"))
    };
    wait("content-type: text/event-stream", "content-type: text/event-stream");
    wait("retry: ", "retry: ");
    // From the first of these on the worker is followed.
    wait(TICK, TICK);
    host.configure(&instance(NAME, 51, 90, VIRTUAL));
    host.signal(libc::SIGHUP);
    let data = wait(RELOAD, RELOAD);
    let reload: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!((&reload["kind"], &reload["taken"]), (&Value::from("reload"), &Value::from(true)));
    // The next worker's events come, too.
    let pid = nix::unistd::Pid::from_raw(host.worker().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    host.wait_for_lines("Entering MASTER STATE", 2);
    // It is followed from the next tick on.
    let heard = (0..30).any(|_| {
        host.signal(libc::SIGHUP);
        wait(TICK, RELOAD).contains(RELOAD)
    });
    assert!(heard, "{}", host.log());
}

#[test]
fn followers_are_bounded_and_others_are_served_beside_them() {
    let Some(mut host) = served() else { return };
    get(&mut host, "/healthz");
    let follow = |host: &Host| {
        let mut stream = http::connect(host).unwrap();
        stream.write_all(format!("GET /events HTTP/1.1\r\nHost: {ADDRESS}\r\n\r\n").as_bytes()).unwrap();
        let mut lines = BufReader::new(stream).lines();
        let first = lines.next().unwrap().unwrap();
        (first, lines)
    };
    let followers: Vec<_> = (0..64).map(|_| follow(&host)).collect();
    assert!(followers.iter().all(|(first, _)| first.contains(" 200 ")), "{:?}", followers[0].0);
    assert!(follow(&host).0.contains(" 503 "));
    assert_eq!(try_get(&host, "/status.json").unwrap().status, 200);
    drop(followers);
    host.wait("room", |host| follow(host).0.contains(" 200 "));
}

/// What the page is in a real browser, once it shows these words.
fn seen_by_chromium(host: &Host, words: &str) -> (String, String) {
    let (mut page, mut said) = (String::new(), String::new());
    // Its time goes on when all that was asked for is there. A busy machine gets more than one try.
    for _ in 0..3 {
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", "60", "chromium"])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--enable-logging=stderr", "--v=0", "--window-size=390,844", "--dump-dom"])
            .arg(format!("--user-data-dir={}", host.path("chromium").display()))
            .arg("--virtual-time-budget=3000")
            .arg(format!("http://{ADDRESS}/?still"))
            .stdin(Stdio::null());
        host.namespace.contain(&mut command);
        let output = command.output().unwrap();
        page = String::from_utf8_lossy(&output.stdout).into_owned();
        said = String::from_utf8_lossy(&output.stderr).into_owned();
        if page.contains(words) {
            break;
        }
    }
    (page, said)
}

#[test]
fn a_real_browser_shows_routers_and_the_timeline_and_believes_no_name() {
    let has = Command::new("chromium").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !has.is_ok_and(|status| status.success()) {
        let test = "a_real_browser_shows_routers_and_the_timeline_and_believes_no_name";
        return skip::skip(test, "chromium is not installed (apt-get install chromium)");
    }
    let Some(mut host) = served() else { return };
    get(&mut host, "/healthz");
    let (page, said) = seen_by_chromium(&host, "MASTER");
    for words in
        ["VI_&lt;b&gt;1&lt;/b&gt;", "VRID 51", ">MASTER<", VIRTUAL, "BACKUP → MASTER", "master-down time"]
    {
        assert!(page.contains(words), "no `{words}` in {page}\n{said}");
    }
    assert!(!page.contains("<b>1</b>"), "{page}");
    for words in ["Content Security Policy", "Uncaught", "Refused to"] {
        assert!(!said.contains(words), "{said}");
    }
}
