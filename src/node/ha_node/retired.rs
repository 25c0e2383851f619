//! What a reload leaves over. Freeing thousands of routers takes milliseconds, which the driver's thread may not have:
//! it hands them to another one.

use super::HaNode;
use crate::node::NodeConfig;
use crate::vrrp::{RouterConfig, VirtualRouter};

/// Routers and configurations that are not used any more, to be dropped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Retired {
    #[expect(clippy::vec_box, reason = "handed on as they are, not copied out of their boxes")]
    pub(super) routers: Vec<Box<VirtualRouter>>,
    pub(super) configs: Vec<RouterConfig>,
    pub(super) others: Option<NodeConfig>,
}

impl HaNode {
    /// What the last reload has left over, once no router of it is used any more. The node frees it otherwise, at the
    /// next reload.
    pub(crate) fn take_retired(&mut self) -> Option<Retired> {
        let Retired { routers, configs, others } = &self.retired;
        let nothing = routers.is_empty() && configs.is_empty() && others.is_none();
        (!nothing && self.departing.is_empty()).then(|| core::mem::take(&mut self.retired))
    }
}
