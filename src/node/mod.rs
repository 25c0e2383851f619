//! Composition: [`HaNode`] is all virtual routers of one daemon on one kernel.
//!
//! The driver (daemon or simulator) keeps this contract, on each wake-up in this order:
//! 1. hand over every received message ([`HaNode::handle_datagram`]),
//! 2. every other event ([`HaNode::handle`]),
//! 3. when [`HaNode::poll_timeout`] is due, [`HaNode::handle_timeout`],
//! 4. carry out the actions, advertisements first.
//!
//! A call with nothing due is harmless.

use crate::kernel::{AddressReply, KernelEvent, SocketEvent};
use crate::time::{Duration, Instant, Now};
use crate::vrrp::{Action, Datagram, RouterConfig};

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
    /// Leave: priority 0, addresses removed, then [`Action::Stopped`].
    Stop,
}

/// All virtual routers of one daemon.
#[derive(Clone, Debug)]
pub struct HaNode {
    config: NodeConfig,
}

impl HaNode {
    /// A node that does nothing until it is told the kernel's state.
    pub fn new(config: NodeConfig) -> Self {
        Self { config }
    }

    /// Takes a received message.
    pub fn handle_datagram(&mut self, now: Now, datagram: &Datagram<'_>, actions: &mut Vec<Action>) {
        let _ = (now, datagram, actions, &self.config);
    }

    /// Takes an event.
    pub fn handle(&mut self, now: Now, event: Event, actions: &mut Vec<Action>) {
        let _ = (now, event, actions);
    }

    /// Serves every timer due at `now` or within the next millisecond, never one that is not.
    pub fn handle_timeout(&mut self, now: Now, actions: &mut Vec<Action>) {
        let _ = (now, actions);
    }

    /// When [`HaNode::handle_timeout`] shall be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
