//! Configuration of the load balancer: virtual servers and what checks their real servers.

use std::sync::Arc;

use crate::check::{CheckAssignment, TlsClient};
use crate::lvs::{RealServerKey, VirtualServer, VirtualServerGroup};

/// Everything the load balancer is told.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct BalancerConfig {
    /// `virtual_server_group`, each name once.
    pub groups: Vec<VirtualServerGroup>,
    /// `virtual_server`, each service once, in the order of the file.
    pub virtual_servers: Vec<VirtualServer>,
    /// The checks of all real servers, by virtual server, real server, and place in the file.
    pub checks: Vec<CheckAssignment<RealServerKey>>,
    /// `SSL`; `None` = no certificate of our own.
    pub tls: Option<Arc<TlsClient>>,
}
