//! Composition: [`HaNode`] is all virtual routers of one daemon on one kernel.
//!
//! The driver (daemon or simulator) keeps this contract, on each wake-up in this order:
//! 1. hand over every received message ([`HaNode::handle_datagram`]),
//! 2. every other event ([`HaNode::handle`]),
//! 3. when [`HaNode::poll_timeout`] is due, [`HaNode::handle_timeout`],
//! 4. carry out the actions, in the order of [`Actions::carry_out`](crate::vrrp::Actions::carry_out).
//!
//! Whoever changes the addresses sends the announcements that go along with the request
//! ([`first_announcements`](crate::kernel::first_announcements)), and says so in the reply.
//!
//! A call with nothing due is harmless.

mod balancing;
mod changes;
mod ha_node;
mod kernel_model;
mod static_items;
#[cfg(test)]
mod tests;

pub use balancing::BalancerConfig;
pub use changes::Changes;
pub use ha_node::HaNode;
pub use kernel_model::KernelModel;
pub use static_items::{StaticAddress, StaticConfig, StaticRoute, StaticRule, TrackGroup};

use std::collections::BTreeSet;

use crate::kernel::{AddressReply, KernelEvent, SocketEvent};
use crate::time::Duration;
use crate::vrrp::RouterConfig;

/// Configuration of an [`HaNode`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NodeConfig {
    /// The virtual routers, in the order of the file.
    pub routers: Vec<RouterConfig>,
    /// `vrrp_startup_delay`: hold all routers this long after start.
    pub startup_delay: Duration,
    /// `-V`: leave addresses in place at stop.
    pub keep_addresses_on_stop: bool,
}

impl NodeConfig {
    /// A copy that shares no memory with this one and lies together: what is left of a text that was read is
    /// strewn over all the memory that reading took, which could not be given back.
    pub fn detached(&self) -> Self {
        let mut names = BTreeSet::new();
        let routers = self.routers.iter().map(|router| router.detached(&mut names)).collect();
        Self { routers, ..*self }
    }
}

/// What happens to an [`HaNode`], other than received messages and time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// The kernel's state changed. The first event must be a [`KernelEvent::View`].
    Kernel(KernelEvent),
    /// The kernel took a chunk of address changes.
    Addresses(AddressReply),
    /// A receive socket opened or failed.
    Socket(SocketEvent),
    /// A new configuration: only what changed is touched.
    Reconfigure(NodeConfig),
    /// Each master hands over to its successor without a gap; it does not come back by itself.
    SwitchOver,
    /// Ends the effect of [`Event::SwitchOver`].
    SwitchBack,
    /// Leave: priority 0, addresses removed, then [`stopped`](crate::vrrp::Actions::stopped).
    Stop,
}
