//! The words exchanged with the kernel's IPVS (`linux/ip_vs.h`): services, their destinations, and what it counts.

mod destination;
mod method;
mod save;
mod scheduler;
mod service;
mod statistics;
mod sync_daemon;

pub use destination::{Connections, DestinationSettings, HeldDestination, HostPort};
pub use method::{ForwardingMethod, GueChecksum, Tunnel};
pub use scheduler::{Scheduler, SchedulerFlags};
pub use service::{
    FirewallMark, HeldService, Persistence, PersistenceGranularity, Protocol, ServiceKey, ServiceSettings,
};
pub use statistics::Statistics;
pub use sync_daemon::{SyncDaemon, SyncRole, SyncSettings};

use core::fmt;

use super::KernelError;

/// What tells an entry of the kernel's table apart from all others. A service comes before its destinations.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct IpvsKey {
    /// The service.
    pub service: ServiceKey,
    /// One of its destinations; `None` = the service itself.
    pub destination: Option<HostPort>,
}

impl fmt::Display for IpvsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.destination {
            None => write!(f, "the virtual server {}", self.service),
            Some(target) => write!(f, "the real server {target} of {}", self.service),
        }
    }
}

/// An entry of the kernel's table with everything that the kernel is told of it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum IpvsEntry {
    /// A service. It is added without destinations, and goes with all that it has.
    Service(ServiceKey, ServiceSettings),
    /// A destination of a service.
    Destination(ServiceKey, HostPort, DestinationSettings),
}

impl IpvsEntry {
    /// Which entry it is.
    pub const fn key(&self) -> IpvsKey {
        match self {
            Self::Service(service, _) => IpvsKey { service: *service, destination: None },
            Self::Destination(service, target, _) => {
                IpvsKey { service: *service, destination: Some(*target) }
            }
        }
    }
}

/// A change of the kernel's table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum IpvsOperation {
    /// Adds an entry. One that is there already is made to be like it.
    Add(IpvsEntry),
    /// Makes an entry that should be there be like this one, without losing its connections. One that is not there is
    /// added.
    Edit(IpvsEntry),
    /// Removes an entry; already gone is success.
    Remove(IpvsKey),
}

impl IpvsOperation {
    /// Which entry it changes.
    pub const fn key(&self) -> IpvsKey {
        match self {
            Self::Add(entry) | Self::Edit(entry) => entry.key(),
            Self::Remove(key) => *key,
        }
    }
}

/// A change that the kernel refused, and why: `cannot add the virtual server TCP [192.0.2.1]:80: …`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IpvsRefusal {
    /// `add`, `change` or `remove`.
    pub verb: &'static str,
    /// The entry.
    pub key: IpvsKey,
    /// The kernel's reason, and what it means for this entry.
    pub error: KernelError,
}

impl fmt::Display for IpvsRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.verb, self.key, self.error)
    }
}

/// All that the kernel's table holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct IpvsTable {
    /// The services.
    pub services: Vec<HeldService>,
    /// The destinations of all services.
    pub destinations: Vec<HeldDestination>,
}

/// How long the kernel keeps a connection that is silent, in seconds: 1 to 2,678,400 (31 days).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Timeouts {
    /// `tcp`: of an established TCP connection; `None` = as it is.
    pub tcp: Option<u32>,
    /// `tcpfin`: of a TCP connection that was closed.
    pub tcp_fin: Option<u32>,
    /// `udp`.
    pub udp: Option<u32>,
}

/// What the kernel's IPVS is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IpvsInformation {
    /// Major, minor, patch.
    pub version: (u8, u8, u8),
    /// Slots of the table of connections.
    pub connection_table_size: u32,
}
