//! What `nft` says in a host's namespace.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, unreachable_pub)]

use std::process::Command;

use super::host::Host;

/// The tables of a host; `None` where `nft` is not installed.
pub fn rules(host: &Host) -> Option<String> {
    let mut command = Command::new("nft");
    command.args(["list", "ruleset"]);
    host.namespace.contain(&mut command);
    Some(String::from_utf8(command.output().ok()?.stdout).unwrap())
}
