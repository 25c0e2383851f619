//! ENGINE: virtual servers. From configuration and the state of real servers follows the table that the
//! kernel's IPVS ought to hold.

mod config;
mod method;
mod scheduler;

pub(crate) use config::{
    FirewallMark, GroupMember, HostPort, Persistence, PersistenceGranularity, Protocol, Quorum,
    QuorumNotifications, RealServer, RealServerDetails, RealServerKey, Service, SorryServer, VirtualServer,
    VirtualServerGroup,
};
pub(crate) use method::{ForwardingMethod, GueChecksum, Tunnel};
pub(crate) use scheduler::{Scheduler, SchedulerFlags};
