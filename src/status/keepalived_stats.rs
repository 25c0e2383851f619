//! `keepalived.stats`, in the very form of keepalived.

use core::fmt::{self, Write as _};

use super::snapshot::Snapshot;
use crate::vrrp::Counters;
use crate::wire::vrrp::RejectionKind;

/// The whole file.
pub(crate) fn text(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for router in &snapshot.routers {
        // Writing to a String cannot fail.
        let _ = write_stats(&mut text, &router.config.name, &router.counters);
    }
    text
}

fn write_stats(text: &mut String, name: &str, counters: &Counters) -> fmt::Result {
    let rejected = |kind| counters.rejected(kind);
    writeln!(text, "VRRP Instance: {name}")?;
    writeln!(text, "  Advertisements:")?;
    writeln!(text, "    Received: {}", counters.advertisements_received)?;
    writeln!(text, "    Sent: {}", counters.advertisements_sent)?;
    writeln!(text, "  Became master: {}", counters.became_master)?;
    writeln!(text, "  Released master: {}", counters.released_master)?;
    writeln!(text, "  Packet Errors:")?;
    writeln!(text, "    Length: {}", rejected(RejectionKind::Length))?;
    writeln!(text, "    TTL: {}", rejected(RejectionKind::HopLimit))?;
    writeln!(text, "    Invalid Type: {}", rejected(RejectionKind::Type))?;
    let intervals = rejected(RejectionKind::IntervalMismatch) + rejected(RejectionKind::IntervalZero);
    writeln!(text, "    Advertisement Interval: {intervals}")?;
    writeln!(text, "    Address List: {}", counters.address_list_mismatches)?;
    writeln!(text, "  Authentication Errors:")?;
    writeln!(text, "    Invalid Type: {}", rejected(RejectionKind::AuthenticationType))?;
    writeln!(text, "    Type Mismatch: {}", rejected(RejectionKind::AuthenticationMismatch))?;
    writeln!(text, "    Failure: {}", counters.authentication_failures())?;
    writeln!(text, "  Authentication Extension Errors:")?;
    for (name, kind) in [
        ("Missing", RejectionKind::TrailerMissing),
        ("Malformed", RejectionKind::TrailerMalformed),
        ("Unknown Key", RejectionKind::UnknownKey),
        ("Invalid HMAC", RejectionKind::InvalidHmac),
        ("Stale", RejectionKind::TrailerStale),
        ("Replay", RejectionKind::TrailerReplayed),
    ] {
        writeln!(text, "    {name}: {}", rejected(kind))?;
    }
    writeln!(text, "  Priority Zero:")?;
    writeln!(text, "    Received: {}", counters.priority_zero_received)?;
    writeln!(text, "    Sent: {}", counters.priority_zero_sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stats_have_keepalived_s_form() {
        let mut text = String::new();
        let mut counters = Counters::default();
        counters.advertisements_sent = 7;
        counters.priority_zero_received = 2;
        write_stats(&mut text, "VI_1", &counters).unwrap();
        let expected = "VRRP Instance: VI_1\n  Advertisements:\n    Received: 0\n    Sent: 7\n  Became master: 0\n  \
            Released master: 0\n  Packet Errors:\n    Length: 0\n    TTL: 0\n    Invalid Type: 0\n    \
            Advertisement Interval: 0\n    Address List: 0\n  Authentication Errors:\n    Invalid Type: 0\n    \
            Type Mismatch: 0\n    Failure: 0\n  Authentication Extension Errors:\n    Missing: 0\n    \
            Malformed: 0\n    Unknown Key: 0\n    Invalid HMAC: 0\n    Stale: 0\n    Replay: 0\n  \
            Priority Zero:\n    Received: 2\n    Sent: 0\n";
        assert_eq!(text, expected);
    }
}
