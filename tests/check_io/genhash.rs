//! `genhash`: the same digests as keepalived's, and the same words.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::certificates::{Certificates, Request};
use crate::programs::{Program, TLS_SERVER};
use crate::servers::{self, in_namespace};
use crate::skip;

const KEEPALIVED: &str = "/usr/bin/genhash";

/// Exit status, output, errors.
fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn ours(words: &str) -> (Option<i32>, String, String) {
    run(Command::new(env!("CARGO_BIN_EXE_alived")).arg("genhash").args(words.split_whitespace()))
}

/// What it said, without the line that tells a time.
fn without_time(output: &str) -> Vec<&str> {
    output.lines().filter(|line| !line.contains(" usecs")).map(str::trim_end).collect()
}

fn pages() -> u16 {
    servers::tcp(|mut stream| {
        let head = servers::request(&mut stream);
        let asked = ["HTTP/1.0 200 OK\r\n\r\n", &head].concat();
        // In one piece: where pieces end shows in keepalived's dump.
        let answer: &[u8] = match head.split(' ').nth(1).unwrap() {
            "/chunked" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "/500" => b"HTTP/1.1 500 Bad\r\nContent-Length: 3\r\n\r\nbad",
            "/long" => {
                b"HTTP/1.0 200 OK\r\nServer: test\r\n\r\nmore than one line of a dump, with \x00\xff\r\n"
            }
            // What was asked for.
            _ => asked.as_bytes(),
        };
        let _ = stream.write_all(answer);
    })
}

#[test]
fn digests_and_dumps_are_those_of_keepalived() {
    if !Path::new(KEEPALIVED).exists() {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        return skip::skip(&test, "there is no genhash (apt-get install keepalived)");
    }
    in_namespace(|| {
        let port = pages();
        let certificates = Certificates::new();
        let served = certificates.signed("a", &Request { name: "a", days: 30 });
        let mut server = Program::python(TLS_SERVER, &["8443", &served.certificate, &served.key]);
        server.wait_for("listening");
        for words in [
            format!("-s 127.0.0.1 -p {port} -u /"),
            format!("--server 127.0.0.1 --port {port} --url /a?b=c --use-virtualhost example.org --verbose"),
            format!("-s 127.0.0.1 -p {port} -u /long -v"),
            format!("-s 127.0.0.1 -p {port} -u /500"),
            format!("-s 127.0.0.1 -p {port} -u /chunked"),
            format!("-s 127.0.0.1 -p {port} -u / -P 1.0c -m 7 -t 3"),
            format!("-s 127.0.0.1 -p {port} -u / -P 1.1"),
            "-S -s 127.0.0.1 -p 8443 -u /closing".to_owned(),
            "-S -I -V www.example.org -s 127.0.0.1 -p 8443 -u /closing".to_owned(),
        ] {
            let (status, theirs, _) =
                run(Command::new("timeout").args(["30", KEEPALIVED]).args(words.split_whitespace()));
            assert_eq!(status, Some(0), "{words}");
            let (status, ours, errors) = ours(&words);
            assert_eq!((status, without_time(&ours)), (Some(0), without_time(&theirs)), "{words}: {errors}");
        }
        // The sizes of chunks are no part of what is meant.
        let (_, _, errors) = ours(&format!("-s 127.0.0.1 -p {port} -u /chunked"));
        assert!(errors.ends_with(": 5d41402abc4b2a76b9719d911017c592\n"), "{errors}");
    });
}

#[test]
fn it_goes_by_its_name_and_by_keepalives_flag() {
    in_namespace(|| {
        let port = pages().to_string();
        let alived = env!("CARGO_BIN_EXE_alived");
        let page = ["-s", "127.0.0.1", "-p", &port, "-u", "/500"];
        let wanted = (Some(0), "bae60998ffe4923b131e3d6e4c19993e\n".to_owned(), String::new());
        assert_eq!(run(Command::new(alived).arg0("genhash").args(page)), wanted);
        assert_eq!(run(Command::new(alived).arg("-T").args(page)), wanted);
        assert_eq!(run(Command::new(alived).arg0("keepalived").arg("--genhash").args(page)), wanted);
    });
}

/// Scripts see that there is no digest.
#[test]
fn failures_have_a_status_and_a_reason() {
    in_namespace(|| {
        let (status, output, errors) = ours("-s 127.0.0.1 -p 1 -u /");
        assert_eq!(
            (status, output.as_str(), errors.as_str()),
            (Some(1), "", "genhash: connection refused\n")
        );
        let mute = servers::tcp(|stream| {
            std::thread::sleep(std::time::Duration::from_secs(30));
            drop(stream);
        });
        let (status, _, errors) = ours(&format!("-s 127.0.0.1 -p {mute} -u / -t 1"));
        assert_eq!((status, errors.as_str()), (Some(1), "genhash: no answer within 1s\n"));
        for words in
            ["", "-s localhost -p 80 -u /", "-s 127.0.0.1 -p 99999 -u /", "-s 127.0.0.1 -p 80 -u / -P 2"]
        {
            let (status, output, errors) = ours(words);
            assert_eq!((status, output.as_str()), (Some(1), ""), "{words}");
            assert!(errors.starts_with("error: "), "{words}: {errors}");
        }
    });
}
