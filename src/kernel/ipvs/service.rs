//! Services: what clients connect to.

use core::fmt;
use core::net::Ipv4Addr;
use core::num::{NonZeroU8, NonZeroU32};
use std::sync::Arc;

use super::{HostPort, Scheduler, SchedulerFlags, Statistics};
use crate::net::Family;

/// Which service it is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ServiceKey {
    /// An address and port; no port = all ports, which needs persistence.
    Address(HostPort, Protocol),
    /// Packets that the firewall marked.
    FirewallMark(FirewallMark),
}

impl ServiceKey {
    /// The family of its packets.
    pub const fn family(&self) -> Family {
        match self {
            Self::Address(target, _) => Family::of(&target.address),
            Self::FirewallMark(mark) => mark.family,
        }
    }
}

/// `TCP [192.0.2.1]:80`, `FWM 7`, `FWM6 7`.
impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(target, protocol) => write!(f, "{protocol} {target}"),
            Self::FirewallMark(FirewallMark { mark, family: Family::Ipv4 }) => write!(f, "FWM {mark}"),
            Self::FirewallMark(FirewallMark { mark, family: Family::Ipv6 }) => write!(f, "FWM6 {mark}"),
        }
    }
}

/// Transport protocol of a service.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Protocol {
    /// `TCP`.
    Tcp,
    /// `UDP`: what keepalived assumes when none is named.
    #[default]
    Udp,
    /// `SCTP`.
    Sctp,
}

impl Protocol {
    /// Its number in IP headers.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}

/// Packets that the firewall marked.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FirewallMark {
    /// The mark.
    pub mark: NonZeroU32,
    /// `ip_family`, or the family of the real servers.
    pub family: Family,
}

/// How a service works.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct ServiceSettings {
    /// `lvs_sched`, `lb_algo`.
    pub scheduler: Scheduler,
    /// `flag-1` …, `sh-port` …
    pub scheduler_flags: SchedulerFlags,
    /// `ops`: each datagram is scheduled by itself.
    pub one_packet: bool,
    /// `persistence_*`: connections of one client go to one real server.
    pub persistence: Option<Persistence>,
}

/// `persistence_timeout`, `persistence_granularity`, `persistence_engine`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Persistence {
    /// Seconds after the last connection: 1 to 2,678,400 (31 days); 360 unless set.
    pub timeout_s: NonZeroU32,
    /// Which clients count as one; `None` = each is one.
    pub granularity: Option<PersistenceGranularity>,
    /// The kernel's module that looks into packets (`sip`), at most 15 bytes.
    pub engine: Option<Arc<str>>,
}

impl Persistence {
    /// What holds when persistence is switched on without a time.
    pub const DEFAULT_TIMEOUT_S: NonZeroU32 = NonZeroU32::new(360).unwrap();
}

/// Which clients count as one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum PersistenceGranularity {
    /// A netmask.
    Ipv4(Ipv4Addr),
    /// Prefix length, 1 to 128.
    Ipv6(NonZeroU8),
}

impl PersistenceGranularity {
    /// The family it is for.
    pub const fn family(&self) -> Family {
        match self {
            Self::Ipv4(_) => Family::Ipv4,
            Self::Ipv6(_) => Family::Ipv6,
        }
    }

    /// Whether each client counts for itself, as without one.
    pub fn is_each_client(&self) -> bool {
        match self {
            Self::Ipv4(mask) => *mask == Ipv4Addr::BROADCAST,
            Self::Ipv6(length) => length.get() == Family::Ipv6.bits(),
        }
    }
}

/// A service as the kernel holds it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeldService {
    /// Which one.
    pub key: ServiceKey,
    /// How it works; `None` where that has no words here: another scheduler.
    pub settings: Option<ServiceSettings>,
    /// What it has done.
    pub statistics: Statistics,
}
