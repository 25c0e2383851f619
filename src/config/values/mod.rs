//! Values of keywords: how each kind is read from words, printed, and (for tests) made up.

mod address;
mod address_line;
mod auth_key;
mod line;
mod lists;
mod lvs;
mod network;
mod number;
pub(super) mod parse;
mod pattern;
mod route_hop;
mod route_line;
#[cfg(test)]
mod route_sample;
mod rule_line;
mod script;
mod text;
mod words;

pub(super) use address::{Address, Multicast4, Multicast6};
pub(super) use address_line::AddressLine;
pub(super) use auth_key::AuthKey;
pub(super) use line::NamedInterfaces;
pub(super) use lists::{ServerWeight, TrackedName, TrackedWeight, TrackerWeight, UnicastPeer};
pub(super) use lvs::{OptionalScript, SyncDaemon, VirtualServerKey};
pub(super) use network::{
    AuthType, BufferPolicy, HexPattern, IpvlanMode, IpvlanSettings, MacPattern, OptionalAll, SmtpServer,
    VmacSettings,
};
pub(super) use number::{
    Bool, Flag, Integer, Leading, Micros, Natural, OptionalInteger, OptionalNatural, Seconds,
};
pub(super) use pattern::Pattern;
pub(super) use route_line::RouteLine;
pub(super) use rule_line::RuleLine;
pub(super) use script::Fifo;
pub(super) use text::{Interface, Name, OptionalText, SecretText, Text, Umask, Words};
pub(super) use text::{choices, words_of};
pub(super) use words::{Args, Argument, Printed, Reading, Unsupported};

use core::fmt;

use super::expand::IncludeChecks;
use super::source::Position;

/// A value and where it was written. Two are equal when their values are.
#[derive(Clone, Copy)]
pub(crate) struct At<T> {
    /// The value.
    pub value: T,
    /// Its first word.
    pub at: Position,
}

impl<T: PartialEq> PartialEq for At<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: fmt::Debug> fmt::Debug for At<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// The checks after an `include_check` statement. Unknown words are reported where the statement is lowered.
pub(super) fn include_checks(checks: IncludeChecks, words: &[String]) -> IncludeChecks {
    if words.is_empty() {
        return IncludeChecks::ALL;
    }
    let relative = words.iter().all(|word| word.starts_with(['+', '-']));
    let mut result = if relative { checks } else { IncludeChecks::NONE };
    for word in words {
        let on = !word.starts_with('-');
        match word.trim_start_matches(['+', '-']) {
            "read" | "readable" => result.read = on,
            "match" => result.matched = on,
            "wildcard_match" => result.wildcard = on,
            "brace_match" => result.brace = on,
            _ => {}
        }
    }
    result
}
