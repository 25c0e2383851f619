//! Values of keywords: how each kind is read from words, printed, and (for tests) made up.

mod address;
mod address_line;
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

pub use address::{Address, Multicast4, Multicast6, PrefixValue};
pub use address_line::{AddressLine, Lifetime};
pub use line::NamedInterfaces;
pub use lists::{
    BfdWeight, GroupEndpoint, InterfaceDelay, LinkbeatInterface, LinkbeatMethod, TrackedName, TrackedWeight,
    UnicastPeer, Weight,
};
pub use lvs::{
    Digest, Endpoint, ForwardingMethod, Granularity, InitFile, LvsMethod, LvsProtocol, LvsTimeouts, Optional,
    OptionalMatch, OptionalScript, Scheduler, StatusCodes, SyncDaemon, Tunnel, TunnelChecksum, TunnelType,
    VirtualServerKey,
};
pub use network::{
    AntiReplay, AuthKey, AuthType, BufferPolicy, DnsType, HexPattern, HmacMode, HttpProtocol, InetFamily,
    IpvlanMode, IpvlanSettings, MacPattern, OptionalAll, ParameterMatch, SmtpServer, StateWish, VmacSettings,
};
pub use number::{
    Bool, Flag, Integer, Leading, Micros, Natural, OptionalInteger, OptionalNatural, PriorityValue, Seconds,
};
pub use pattern::Pattern;
pub use route_line::RouteLine;
pub use rule_line::RuleLine;
pub use script::{Fifo, RunAs, Script};
pub(super) use text::choices;
pub use text::{Interface, Name, OptionalText, SecretText, Text, Umask, Words};
pub use words::{Args, Argument, Cx, Printed, Unsupported};

use core::fmt;

use super::expand::IncludeChecks;
use super::source::Position;

/// A value and where it was written. Two are equal when their values are.
#[derive(Clone, Copy)]
pub struct At<T> {
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
