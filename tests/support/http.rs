//! Requests to the web process of a host, byte for byte.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    dead_code,
    unreachable_pub
)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use super::host::{Host, name};

/// Where the web process of a host listens.
pub const ADDRESS: &str = "127.0.0.1:9165";

/// A configured host whose loopback works, as that of a machine does.
pub fn with_loopback(mut host: Host) -> Host {
    let loopback = host.socket.index_of(&name("lo")).unwrap();
    host.socket.set_up(loopback, true).unwrap();
    host
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// In lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

/// A connection from within the host.
pub fn connect(host: &Host) -> std::io::Result<TcpStream> {
    let stream = host.namespace.run(|| TcpStream::connect(ADDRESS)).unwrap()?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(stream)
}

/// Sends bytes and gives all that comes back until the end of the connection.
pub fn exchange(host: &Host, bytes: &[u8]) -> std::io::Result<Answer> {
    let mut stream = connect(host)?;
    stream.write_all(bytes)?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    parse(&all).ok_or_else(|| std::io::Error::other(format!("no answer: {all:?}")))
}

fn parse(all: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(all);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Some(Answer { status, headers, body: body.to_owned() })
}

/// What is at a path.
pub fn try_get(host: &Host, path: &str) -> std::io::Result<Answer> {
    exchange(host, format!("GET {path} HTTP/1.1\r\nHost: {ADDRESS}\r\nConnection: close\r\n\r\n").as_bytes())
}

/// The same, once somebody listens.
pub fn get(host: &mut Host, path: &str) -> Answer {
    let mut answer = None;
    host.wait("an answer", |host| {
        answer = try_get(host, path).ok();
        answer.is_some()
    });
    answer.unwrap()
}

/// Gives a text to a program and what it says of it, with whether it is content.
pub fn judged_by(program: &str, arguments: &[&str], text: &str) -> (bool, String) {
    let mut child = std::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}
