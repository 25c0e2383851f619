//! Transmission of advertisements (RFC 9568 §7.2), encoded once and kept until something changes.

use core::net::IpAddr;
use std::sync::Arc;

use super::router_core::Core;
use super::{Destinations, Output, Transmission};
use crate::wire::vrrp::{Advertisement, Priority};

/// Encoded messages, one for each destination; the checksum may cover the destination.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    priority: Priority,
    messages: Vec<(IpAddr, Arc<[u8]>)>,
}

impl Default for Outgoing {
    fn default() -> Self {
        Self { priority: Priority::LEAVING, messages: Vec::new() }
    }
}

impl Outgoing {
    /// What was encoded is no longer true.
    pub(super) fn forget(&mut self) {
        self.messages.clear();
    }
}

impl Core {
    /// Sends an advertisement of our priority to every destination.
    pub(super) fn send_advertisement(&mut self, out: &mut Output<'_>) {
        self.send(self.priority.get(), out);
    }

    /// Sends priority 0: the master leaves (RFC 9568 §6.4.3, shutdown).
    pub(super) fn send_leaving(&mut self, out: &mut Output<'_>) {
        if self.send(Priority::LEAVING, out) {
            self.counters.priority_zero_sent += 1;
        }
    }

    /// False where there is nothing to send from.
    fn send(&mut self, priority: Priority, out: &mut Output<'_>) -> bool {
        let Some(source) = self.environment.source else { return false };
        let Some(link) = self.environment.interface(&self.config.interfaces.transmit) else { return false };
        if self.outgoing.priority != priority || self.outgoing.messages.is_empty() {
            self.outgoing = Outgoing { priority, messages: self.encode(priority, source) };
        }
        for (destination, payload) in &self.outgoing.messages {
            self.counters.advertisements_sent += 1;
            out.actions.transmit.push(Transmission {
                router: self.id,
                link: link.key,
                source,
                destination: *destination,
                hop_limit: 255,
                payload: Arc::clone(payload),
            });
        }
        true
    }

    fn encode(&self, priority: Priority, source: IpAddr) -> Vec<(IpAddr, Arc<[u8]>)> {
        let advertisement = Advertisement {
            version: self.config.version,
            vrid: self.config.vrid,
            priority,
            interval: self.config.interval,
            addresses: self.config.addresses.iter().map(|a| a.spec.prefix.address()).collect(),
            authentication: self.config.authentication,
            trailer: None,
        };
        let encode = |destination: &IpAddr| {
            (*destination, advertisement.encode(source, *destination, self.config.checksum).into())
        };
        match &self.config.destinations {
            Destinations::Multicast(group) => vec![encode(group)],
            Destinations::Unicast(peers) => peers.iter().map(encode).collect(),
        }
    }
}
