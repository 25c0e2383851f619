//! Destinations of services: real servers.

use core::fmt;
use core::net::IpAddr;
use core::num::NonZeroU16;

use super::{ForwardingMethod, ServiceKey, Statistics};

/// An address, perhaps with a port.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HostPort {
    /// The address.
    pub address: IpAddr,
    /// The port; `None` where keepalived writes 0.
    pub port: Option<NonZeroU16>,
}

/// As keepalived writes it: `[192.0.2.1]:80`.
impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]:{}", self.address, self.port.map_or(0, NonZeroU16::get))
    }
}

/// How a destination is used.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct DestinationSettings {
    /// `weight`: 0 to 2,147,483,647; 0 gets no new connections.
    pub weight: u32,
    /// `lvs_method`.
    pub method: ForwardingMethod,
    /// `uthreshold`: connections at which it gets no more; 0 = no limit.
    pub upper_threshold: u32,
    /// `lthreshold`: connections below which it gets them again; 0 = three quarters of the upper one.
    pub lower_threshold: u32,
}

/// A destination as the kernel holds it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeldDestination {
    /// Of this service.
    pub service: ServiceKey,
    /// Which one.
    pub target: HostPort,
    /// How it is used; `None` where that has no words here: another method.
    pub settings: Option<DestinationSettings>,
    /// Connections that it has now.
    pub connections: Connections,
    /// What it has done.
    pub statistics: Statistics,
}

/// Connections of a destination.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Connections {
    /// Established ones.
    pub active: u32,
    /// Those that begin or end, and those without a state.
    pub inactive: u32,
    /// Clients that are kept at this destination.
    pub persistent: u32,
}
