//! Configuration of virtual and real servers (`virtual_server`, `virtual_server_group`).

use core::net::IpAddr;
use core::num::NonZeroU32;
use std::sync::Arc;

use crate::kernel::Script;
use crate::kernel::ipvs::{
    FirewallMark, ForwardingMethod, HostPort, Persistence, Protocol, Scheduler, SchedulerFlags,
};
use crate::net::Family;

/// A virtual server: a service of the kernel's IPVS, or one for each member of a group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct VirtualServer {
    /// What clients connect to.
    pub service: Service,
    /// `lvs_sched`, `lb_algo`.
    pub scheduler: Scheduler,
    /// `flag-1` …, `sh-port` …
    pub scheduler_flags: SchedulerFlags,
    /// `ops`: each datagram is scheduled by itself.
    pub one_packet: bool,
    /// `lvs_method`, `lb_kind`.
    pub method: ForwardingMethod,
    /// `persistence_*`: connections of one client go to one real server.
    pub persistence: Option<Persistence>,
    /// `quorum`, `hysteresis`.
    pub quorum: Quorum,
    /// `sorry_server`: takes over while the quorum is lost.
    pub sorry_server: Option<SorryServer>,
    /// `ha_suspend`: checks rest while the address is not on this host.
    pub ha_suspend: bool,
    /// `alpha`: everything is down until a check has succeeded.
    pub alpha: bool,
    /// `omega`: `notify_down` and `quorum_down` run at shutdown.
    pub omega: bool,
    /// `smtp_alert`: mail when the quorum is gained or lost; `None` = the global default, else off.
    pub smtp_alert: Option<bool>,
    /// `quorum_up`, `quorum_down`.
    pub notifications: QuorumNotifications,
    /// `snmp_name`: a label.
    pub snmp_name: Option<Arc<str>>,
    /// `real_server`, no two with one address and port.
    pub real_servers: Vec<RealServer>,
}

impl VirtualServer {
    /// A server with keepalived's defaults and no real server.
    pub(crate) const fn new(service: Service) -> Self {
        Self {
            service,
            scheduler: Scheduler::WeightedLeastConnection,
            scheduler_flags: SchedulerFlags { first: false, second: false, third: false },
            one_packet: false,
            method: ForwardingMethod::Nat,
            persistence: None,
            quorum: Quorum::ONE,
            sorry_server: None,
            ha_suspend: false,
            alpha: false,
            omega: false,
            smtp_alert: None,
            notifications: QuorumNotifications { up: None, down: None },
            snmp_name: None,
            real_servers: Vec::new(),
        }
    }
}

/// What clients connect to.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Service {
    /// An address and port; no port = all ports, which needs persistence.
    Address(HostPort, Protocol),
    /// `fwmark`.
    FirewallMark(FirewallMark),
    /// `group`: the members of the [`VirtualServerGroup`] of this name.
    Group(Arc<str>, Protocol),
}

/// How much weight must be alive.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Quorum {
    weight: NonZeroU32,
    hysteresis: u32,
}

impl Quorum {
    /// One live real server is enough.
    pub(crate) const ONE: Self = Self { weight: NonZeroU32::MIN, hysteresis: 0 };

    /// `None` unless `hysteresis` is below `weight`.
    pub(crate) const fn new(weight: NonZeroU32, hysteresis: u32) -> Option<Self> {
        if hysteresis < weight.get() { Some(Self { weight, hysteresis }) } else { None }
    }

    /// `quorum`: sum of the weights of live real servers.
    pub(crate) const fn weight(self) -> NonZeroU32 {
        self.weight
    }

    /// `hysteresis`: gained at `quorum` plus this, lost below `quorum` less this.
    pub(crate) const fn hysteresis(self) -> u32 {
        self.hysteresis
    }
}

/// `sorry_server`: the server of last resort.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct SorryServer {
    /// Address and port; no port = the virtual server's.
    pub target: HostPort,
    /// `sorry_server_lvs_method`, else the virtual server's method.
    pub method: ForwardingMethod,
    /// `sorry_server_inhibit`: stays in the table with weight 0 while not needed.
    pub inhibit: bool,
}

/// Programs run when a virtual server's state changes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct QuorumNotifications {
    /// `quorum_up`.
    pub up: Option<Arc<Script>>,
    /// `quorum_down`.
    pub down: Option<Arc<Script>>,
}

/// A real server, where the work is done. Small, since there may be hundreds of thousands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct RealServer {
    /// Address and port; no port = the virtual server's.
    pub target: HostPort,
    /// `weight`: 0 to 2,147,483,647; 0 gets no new connections.
    pub weight: u32,
    /// `lvs_method`, else the virtual server's.
    pub method: ForwardingMethod,
    /// `inhibit_on_failure`: a failure sets weight 0 instead of removing it.
    pub inhibit_on_failure: bool,
    /// `smtp_alert`: mail when it goes up or down; `None` = the global default, else on.
    pub smtp_alert: Option<bool>,
    /// What few real servers have.
    pub details: Option<Box<RealServerDetails>>,
}

/// Settings of a [`RealServer`] that are rarely used.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct RealServerDetails {
    /// `uthreshold`: connections at which it gets no more; 0 = no limit.
    pub upper_threshold: u32,
    /// `lthreshold`: connections below which it gets them again; 0 = three quarters of the upper one.
    pub lower_threshold: u32,
    /// `notify_up`.
    pub notify_up: Option<Arc<Script>>,
    /// `notify_down`.
    pub notify_down: Option<Arc<Script>>,
    /// `snmp_name`: a label.
    pub snmp_name: Option<Arc<str>>,
}

/// A real server by its place in the configuration.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct RealServerKey {
    /// Index of the virtual server.
    pub virtual_server: u32,
    /// Index among its real servers.
    pub real_server: u32,
}

/// `virtual_server_group`: services that share real servers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct VirtualServerGroup {
    /// Its name.
    pub name: Arc<str>,
    /// At least one, no two alike.
    pub members: Vec<GroupMember>,
}

/// A line of a [`VirtualServerGroup`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum GroupMember {
    /// An address, or a run of addresses with one port.
    Addresses {
        /// The first.
        first: HostPort,
        /// How many follow it: 0 for a single address.
        further: u32,
    },
    /// `fwmark`.
    FirewallMark(FirewallMark),
}

impl GroupMember {
    /// The family of its packets.
    pub(crate) const fn family(&self) -> Family {
        match self {
            Self::Addresses { first: HostPort { address: IpAddr::V4(_), .. }, .. } => Family::Ipv4,
            Self::Addresses { .. } => Family::Ipv6,
            Self::FirewallMark(mark) => mark.family,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hysteresis_is_below_the_quorum() {
        let two = NonZeroU32::new(2).unwrap();
        assert_eq!(Quorum::new(two, 1).map(Quorum::hysteresis), Some(1));
        assert_eq!(Quorum::new(two, 2), None);
    }

    #[test]
    fn a_real_server_is_small() {
        assert!(size_of::<RealServer>() <= 48, "{}", size_of::<RealServer>());
    }
}
