//! What the daemon can tell of itself at one moment, and keepalived's files made of it.

use core::fmt::{self, Write as _};
use core::net::IpAddr;
use std::sync::Arc;

use crate::node::HaNode;
use crate::time::{Duration, WallTime, micros};
use crate::vrrp::{Counters, RouterConfig, State, VirtualRouter};
use crate::wire::vrrp::{AdvertisementInterval, Priority, RejectionKind};

/// Classes of [`Lateness`]: below 64 µs, 128 µs, … 1 s, and beyond.
const CLASSES: usize = 16;

/// How late timers were served.
#[derive(Clone, Debug, Default)]
pub(super) struct Lateness {
    classes: [u64; CLASSES],
    longest: Duration,
}

impl Lateness {
    /// Counts one timer.
    pub(super) fn note(&mut self, late: Duration) {
        let class = (micros(late) >> 6).checked_ilog2().map_or(0, |log| log as usize + 1);
        self.classes[class.min(CLASSES - 1)] += 1;
        self.longest = self.longest.max(late);
    }
}

impl fmt::Display for Lateness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (class, count) in self.classes.iter().enumerate().filter(|(_, count)| **count > 0) {
            match class {
                class if class == CLASSES - 1 => {
                    writeln!(f, "   {:>7} us or more: {count}", 64u64 << (class - 1))?
                }
                class => writeln!(f, "   below {:>7} us: {count}", 64u64 << class)?,
            }
        }
        writeln!(f, "   longest: {} us", self.longest.as_micros())
    }
}

/// One virtual router.
#[derive(Clone, Debug)]
pub(super) struct RouterSnapshot {
    pub(super) config: RouterConfig,
    pub(super) state: State,
    pub(super) source: Option<IpAddr>,
    pub(super) priority: Priority,
    pub(super) master: Option<(IpAddr, Priority)>,
    pub(super) master_interval: AdvertisementInterval,
    pub(super) master_down: Duration,
    pub(super) faults: Vec<String>,
    pub(super) peers: Vec<(IpAddr, String)>,
    pub(super) holds_addresses: bool,
    pub(super) switching_over: bool,
    pub(super) yielded: bool,
    pub(super) last_transition: WallTime,
    pub(super) counters: Counters,
}

/// All of them.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) routers: Vec<RouterSnapshot>,
    pub(super) unknown_vrids: u64,
    pub(super) send_failures: u64,
    pub(super) lateness: Lateness,
}

impl Snapshot {
    /// Describes a node.
    pub(super) fn of(node: &HaNode, lateness: &Lateness, send_failures: u64) -> Self {
        Self {
            routers: node.routers().map(router).collect(),
            unknown_vrids: node.unknown_vrids(),
            send_failures,
            lateness: lateness.clone(),
        }
    }

    /// `keepalived.stats`, in the very form of keepalived (`cli-signals-files` §5.1).
    pub(super) fn stats(&self) -> String {
        let mut text = String::new();
        for router in &self.routers {
            // Writing to a String cannot fail.
            let _ = write_stats(&mut text, &router.config.name, &router.counters);
        }
        text
    }

    /// `keepalived.data`: for people, in no fixed form.
    pub(super) fn data(&self) -> String {
        let mut text = "------< VRRP Topology >------\n".to_owned();
        for router in &self.routers {
            // Writing to a String cannot fail.
            let _ = write_data(&mut text, router);
        }
        let _ = write!(
            text,
            "------< Process >------\n Messages for unknown VRIDs: {}\n Packets that could not be sent: {}\n \
             Timers served late by\n{}",
            self.unknown_vrids, self.send_failures, self.lateness
        );
        text
    }
}

fn router(router: &VirtualRouter) -> RouterSnapshot {
    RouterSnapshot {
        config: router.config().clone(),
        state: router.state(),
        source: router.source(),
        priority: router.priority().get(),
        master: router.master(),
        master_interval: router.master_interval(),
        master_down: router.master_down_interval(),
        faults: router.faults().iter().map(ToString::to_string).collect(),
        peers: router.peers().iter().map(|(address, peer)| (address, peer.to_string())).collect(),
        holds_addresses: router.wants_addresses(),
        switching_over: router.is_switching_over(),
        yielded: router.has_yielded(),
        last_transition: router.last_transition(),
        counters: router.counters().clone(),
    }
}

fn write_stats(text: &mut String, name: &Arc<str>, counters: &Counters) -> fmt::Result {
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
    writeln!(text, "    Failure: {}", rejected(RejectionKind::AuthenticationFailure))?;
    writeln!(text, "  Authentication Extension Errors:")?;
    // auth_hmac is refused by the configuration, so nothing can be counted.
    for kind in ["Missing", "Malformed", "Unknown Key", "Invalid HMAC", "Stale", "Replay"] {
        writeln!(text, "    {kind}: 0")?;
    }
    writeln!(text, "  Priority Zero:")?;
    writeln!(text, "    Received: {}", counters.priority_zero_received)?;
    writeln!(text, "    Sent: {}", counters.priority_zero_sent)
}

fn write_data(text: &mut String, router: &RouterSnapshot) -> fmt::Result {
    let config = &router.config;
    let RouterSnapshot { counters, .. } = router;
    writeln!(text, " VRRP Instance = {}", config.name)?;
    writeln!(text, "   State = {}", router.state)?;
    for fault in &router.faults {
        writeln!(text, "   Fault: {fault}")?;
    }
    if let Some((address, priority)) = router.master {
        writeln!(text, "   Master router = {address}\n   Master priority = {priority}")?;
    }
    if router.switching_over || router.yielded {
        writeln!(
            text,
            "   Switched over = {}",
            if router.yielded { "yes" } else { "waiting for a successor" }
        )?;
    }
    let time = crate::sys::syslog::local_time(router.last_transition, c"%a %b %e %H:%M:%S %Y");
    writeln!(text, "   Last transition = {time}")?;
    writeln!(text, "   Interface = {}", config.interfaces.receive)?;
    if let Some(source) = router.source {
        writeln!(text, "   Using src_ip = {source}")?;
    }
    writeln!(text, "   Virtual Router ID = {}", config.vrid)?;
    writeln!(text, "   Priority = {}\n   Effective priority = {}", config.priority, router.priority)?;
    writeln!(text, "   Version = {}, {}", config.version.number(), config.family)?;
    writeln!(
        text,
        "   Advert interval = {} sec, master's = {} sec",
        config.interval, router.master_interval
    )?;
    writeln!(text, "   Master down timer = {} us", micros(router.master_down))?;
    writeln!(text, "   Preempt = {}", if config.preempt { "enabled" } else { "disabled" })?;
    let held = if router.holds_addresses { "set" } else { "not set" };
    for (title, addresses) in [("Virtual IP", &config.addresses), ("Virtual IP Excluded", &config.excluded)] {
        if addresses.is_empty() {
            continue;
        }
        writeln!(text, "   {title} ({}): {held}", addresses.len())?;
        for address in addresses {
            let interface = address.interface.as_ref().unwrap_or(&config.interfaces.addresses);
            writeln!(text, "     {} dev {interface}", address.spec.prefix)?;
        }
    }
    for (address, peer) in &router.peers {
        writeln!(text, "   Heard {address}: {peer}")?;
    }
    writeln!(
        text,
        "   Counters: sent {}, not sent {}, received {}, repaired addresses {}, beaten rivals {}, stalls {}",
        counters.advertisements_sent,
        counters.send_failures,
        counters.advertisements_received,
        counters.addresses_repaired,
        counters.rivals_beaten,
        counters.stalls
    )?;
    let rejected = RejectionKind::ALL.iter().filter(|kind| counters.rejected(**kind) > 0);
    for kind in rejected {
        writeln!(text, "   Rejected, {kind:?}: {}", counters.rejected(*kind))?;
    }
    Ok(())
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
        write_stats(&mut text, &"VI_1".into(), &counters).unwrap();
        let expected = "VRRP Instance: VI_1\n  Advertisements:\n    Received: 0\n    Sent: 7\n  Became master: 0\n  \
            Released master: 0\n  Packet Errors:\n    Length: 0\n    TTL: 0\n    Invalid Type: 0\n    \
            Advertisement Interval: 0\n    Address List: 0\n  Authentication Errors:\n    Invalid Type: 0\n    \
            Type Mismatch: 0\n    Failure: 0\n  Authentication Extension Errors:\n    Missing: 0\n    \
            Malformed: 0\n    Unknown Key: 0\n    Invalid HMAC: 0\n    Stale: 0\n    Replay: 0\n  \
            Priority Zero:\n    Received: 2\n    Sent: 0\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn lateness_is_sorted_into_classes() {
        let mut lateness = Lateness::default();
        for us in [0, 63, 64, 127, 128, 3_600_000_000] {
            lateness.note(Duration::from_micros(us));
        }
        assert_eq!(lateness.classes[..3], [2, 2, 1]);
        assert_eq!(lateness.classes[CLASSES - 1], 1);
    }
}
