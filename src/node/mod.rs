//! Composition: [`HaNode`] is all virtual routers of one network namespace, so that an interface's number says which
//! one it is. A process may hold several.
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
mod bequest;
mod changes;
mod ha_node;
mod kernel_model;
mod lb_node;
mod object;
pub mod recording;
mod static_items;
#[cfg(test)]
mod tests;

pub(crate) use balancing::BalancerConfig;
pub use bequest::Bequest;
pub(crate) use changes::{Change, Changes, ObjectChange};
pub(crate) use ha_node::Retired;
pub use ha_node::{HaNode, Legacy};
pub use kernel_model::KernelModel;
pub(crate) use lb_node::{LbActions, LbNode};
pub use static_items::{StaticAddress, StaticConfig, StaticRoute, StaticRule, TrackGroup};

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bfd::SessionConfig;
use crate::kernel::{
    AddressReply, KernelEvent, LinkOutcome, RoutingReply, ScriptEnd, SocketEvent, VirtualLink,
};
use crate::net::InterfaceName;
use crate::time::Duration;
use crate::track::{FileReading, TrackConfig};
use crate::vrrp::{GarpGroup, RouterConfig, SwitchOver, SyncGroupConfig, Whom};

/// Configuration of an [`HaNode`].
///
/// It acts on all but the BFD sessions yet, which are held, compared by [`HaNode::plan`], and refused
/// by `config` where it would be missed.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct NodeConfig {
    /// The virtual routers, in the order of the file.
    pub routers: Vec<RouterConfig>,
    /// `vrrp_sync_group`.
    pub sync_groups: Vec<SyncGroupConfig>,
    /// Trackers, and which instances and groups depend on them.
    pub tracking: Box<TrackConfig>,
    /// `bfd_instance`.
    pub bfd: Vec<SessionConfig>,
    /// `garp_group`.
    pub garp_groups: Vec<GarpGroup>,
    /// Interfaces of our own: `use_vmac`, `use_ipvlan`.
    pub links: Vec<VirtualLink>,
    /// Static addresses, routes and rules.
    pub statics: Box<StaticConfig>,
    /// `vrrp_startup_delay`, or what is left of `vrrp_delay_after_boot`, whichever is longer: hold all routers this
    /// long after start.
    pub startup_delay: Duration,
    /// `log_unknown_vrids`: tell of advertisements for virtual routers that are not configured here.
    pub log_unknown_vrids: bool,
    /// `-V`: leave addresses in place at stop.
    pub keep_addresses_on_stop: bool,
}

impl NodeConfig {
    /// A copy whose routers, of which there may be thousands, share no memory with this one.
    pub fn detached(&self) -> Self {
        let mut names = BTreeSet::new();
        let routers = self.routers.iter().map(|router| router.detached(&mut names)).collect();
        Self { routers, ..self.without_routers() }
    }

    fn without_routers(&self) -> Self {
        Self {
            routers: Vec::new(),
            sync_groups: self.sync_groups.clone(),
            tracking: self.tracking.clone(),
            bfd: self.bfd.clone(),
            garp_groups: self.garp_groups.clone(),
            links: self.links.clone(),
            statics: self.statics.clone(),
            startup_delay: self.startup_delay,
            log_unknown_vrids: self.log_unknown_vrids,
            keep_addresses_on_stop: self.keep_addresses_on_stop,
        }
    }
}

/// What happens to an [`HaNode`], other than received messages and time.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Event {
    /// The kernel's state changed. The first event must be a [`KernelEvent::View`].
    Kernel(KernelEvent),
    /// The kernel took a chunk of address changes.
    Addresses(AddressReply),
    /// The kernel took a chunk of changes of routes and rules.
    Routing(RoutingReply),
    /// Interfaces of our own were created, brought into shape or removed, or could not be: the answer to
    /// [`Actions::links`](crate::vrrp::Actions::links).
    Links(Vec<LinkOutcome>),
    /// A receive socket opened or failed.
    Socket(SocketEvent),
    /// A tracked script was run, or could not be.
    Script {
        /// Its name.
        name: Arc<str>,
        /// How its run ended.
        end: ScriptEnd,
        /// The same in words, the end of a sentence that begins with the script: `ended with status 1`.
        ending: String,
    },
    /// A tracked file was read.
    File {
        /// Name of its tracker.
        name: Arc<str>,
        /// What it holds.
        reading: FileReading,
    },
    /// Tracked processes were counted.
    Processes {
        /// Name of their tracker.
        name: Arc<str>,
        /// How many run.
        count: u32,
    },
    /// An interface of `linkbeat_interfaces` was asked for its carrier.
    Carrier {
        /// Its name.
        interface: InterfaceName,
        /// The answer; `None` where it cannot be asked.
        carrier: Option<bool>,
    },
    /// A new configuration, planned and applied at once.
    Reconfigure(NodeConfig),
    /// Masters hand over to their successors without a gap; they do not come back by themselves.
    SwitchOver(SwitchOver),
    /// Ends the effect of [`Event::SwitchOver`].
    SwitchBack(Whom),
    /// The operator takes all virtual routers out of the election, for so long or until [`Event::EndMaintenance`]; a
    /// reload changes nothing about that.
    BeginMaintenance(Option<Duration>),
    /// They take part again.
    EndMaintenance,
    /// Leave: priority 0, addresses removed, then [`stopped`](crate::vrrp::Actions::stopped).
    Stop,
}
