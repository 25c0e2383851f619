//! ENGINE: virtual servers. From configuration and the state of real servers follows the table that the
//! kernel's IPVS ought to hold.

mod config;

pub(crate) use config::{
    GroupMember, Quorum, QuorumNotifications, RealServer, RealServerDetails, RealServerKey, Service,
    SorryServer, VirtualServer, VirtualServerGroup,
};
