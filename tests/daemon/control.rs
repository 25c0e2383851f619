//! The control socket of a running daemon, through `alived status` and `alived reload` and by hand.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use serde_json::Value;

use crate::host::{Host, instance};

const ADDRESS: &str = "192.0.2.50/24";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn status(host: &Host) -> Value {
    let output = host.alived(&["status", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn status_tells_what_each_router_does_and_why() {
    let Some(host) = Host::with_master(ADDRESS) else { return };
    let status = status(&host);
    let router = &status["routers"][0];
    assert_eq!(router["name"], "VI_1");
    assert_eq!(router["state"], "MASTER");
    assert_eq!(router["priority"]["effective"], 100);
    assert_eq!(router["addresses"][0]["address"], ADDRESS);
    assert!(router["cause"].as_str().unwrap().contains("master-down time"), "{router}");
    assert_eq!(status["daemon"]["pid"], host.worker());
    assert_eq!(status["daemon"]["last_reload"], Value::Null);

    let output = host.alived(&["status"]);
    let words = text(&output.stdout);
    for part in ["VI_1: MASTER for", "VRID 51 on lan0", "192.0.2.50/24", "advertises in"] {
        assert!(words.contains(part), "no `{part}` in {words}");
    }
    let output = host.alived(&["status", "VI_9"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("there are: VI_1"), "{output:?}");
    let mode = fs::metadata(host.path("vrrp.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_reload_is_answered_with_what_it_changed_or_why_it_was_refused() {
    let Some(mut host) = Host::with_master(ADDRESS) else { return };
    host.configure(&instance("VI_1", 51, 120, ADDRESS));
    let output = host.alived(&["reload"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).contains("virtual router VI_1: priority 100 -> 120"), "{output:?}");
    // The answer comes when it is in force.
    let before = status(&host);
    assert_eq!(before["routers"][0]["priority"]["base"], 120);
    assert_eq!(before["daemon"]["last_reload"]["taken"], true);

    host.configure("vrrp_instance VI_1 {\n    interface lan0\n    virtual_router_id 300\n}\n");
    let output = host.alived(&["reload"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let words = text(&output.stderr);
    assert!(words.contains("was not reloaded") && words.contains("300"), "{words}");
    let after = status(&host);
    assert_eq!(after["routers"][0]["priority"]["base"], 120);
    assert_eq!(after["routers"][0]["since_unix_us"], before["routers"][0]["since_unix_us"], "no transition");
    assert_eq!(after["daemon"]["last_reload"]["taken"], false);
    host.signal(libc::SIGTERM);
    assert_eq!(host.wait_for_end().code(), Some(0));
    assert!(!host.path("vrrp.sock").exists());
    let output = host.alived(&["status"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("is the daemon running?"), "{output:?}");
}

/// Sends bytes and gives the lines that come back until the daemon closes or the number is reached.
fn talk(host: &Host, bytes: &[u8], lines: usize) -> Vec<Value> {
    let mut stream = UnixStream::connect(host.path("vrrp.sock")).unwrap();
    stream.write_all(bytes).unwrap();
    let answers = BufReader::new(stream).lines().take(lines);
    answers.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

#[test]
fn strange_requests_get_an_answer_and_cost_nothing() {
    let Some(host) = Host::with_master(ADDRESS) else { return };
    let request = br#"{"version":1,"id":7,"command":{"name":"status"}}"#;
    let two = [&request[..], b"\n", &request[..], b"\n"].concat();
    let answers = talk(&host, &two, 2);
    assert!(
        answers.iter().all(|answer| answer["id"] == 7 && answer["result"]["routers"][0]["name"] == "VI_1")
    );
    for (bytes, code) in [
        (&b"hello\n"[..], "bad-request"),
        (b"\xff\xfe\n", "bad-request"),
        (b"{\"version\":9,\"command\":{\"name\":\"status\"}}\n", "unknown-version"),
        (b"{\"version\":1,\"command\":{\"name\":\"explode\"}}\n", "bad-request"),
        (&[b'x'; 100_000][..], "bad-request"),
    ] {
        let answers = talk(&host, bytes, 1);
        assert_eq!(answers[0]["error"]["code"], code, "{answers:?}");
    }
    // Clients that say nothing, or half a word, or go away.
    let silent: Vec<UnixStream> =
        (0..40).map(|_| UnixStream::connect(host.path("vrrp.sock")).unwrap()).collect();
    for stream in &silent {
        (&*stream).write_all(b"{\"version\":").unwrap();
    }
    drop(UnixStream::connect(host.path("vrrp.sock")).unwrap());
    assert_eq!(status(&host)["routers"][0]["state"], "MASTER");
    drop(silent);
    let mut stream = UnixStream::connect(host.path("vrrp.sock")).unwrap();
    stream.write_all(b"{\"version\":1").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty(), "half a request is none");
}

#[test]
fn a_socket_that_a_killed_worker_left_is_replaced() {
    let Some(host) = Host::with_master(ADDRESS) else { return };
    let worker = host.worker();
    // The worker is this test's own.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(worker as i32), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    let begun = std::time::Instant::now();
    loop {
        let output = host.alived(&["status", "--json"]);
        let answer: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        if answer.is_some_and(|status| status["daemon"]["pid"] != worker) {
            return;
        }
        assert!(begun.elapsed().as_secs() < 60, "{output:?}\n{}", host.log());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
