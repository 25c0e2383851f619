//! What `ip` says and does in a host's namespace.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, dead_code, unreachable_pub)]

use std::process::{Command, Stdio};

use super::host::Host;
use super::skip;

/// Whether there is an `ip`; said where not.
pub fn is_there(test: &str) -> bool {
    let found = Command::new("ip").arg("-V").stdout(Stdio::null()).status().is_ok();
    if !found {
        skip::skip(test, "`ip` of iproute2 is not installed");
    }
    found
}

/// Runs `ip` with these words, which has to succeed, and gives what it says.
pub fn ip(host: &Host, words: &str) -> String {
    let (success, output) = try_ip(host, words);
    assert!(success, "ip {words}: {output}");
    output
}

/// Runs `ip` with these words, and gives whether it succeeded and what it says.
pub fn try_ip(host: &Host, words: &str) -> (bool, String) {
    let mut command = Command::new("ip");
    command.args(words.split_whitespace()).stdin(Stdio::null());
    host.namespace.contain(&mut command);
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// The lines of `ip` with these words that hold a text.
pub fn lines(host: &Host, words: &str, with: &str) -> Vec<String> {
    let all = ip(host, words);
    all.lines().filter(|line| line.contains(with)).map(|line| line.trim_end().to_owned()).collect()
}
