//! Transmission of advertisements (RFC 9568 §7.2): encoded once and kept until something changes, sealed at sending.

use core::net::IpAddr;
use core::num::NonZeroU16;
use std::sync::Arc;

use super::router_core::Core;
use super::{OldChecksum, Output, Transmission};
use crate::time::Now;
use crate::wire::ip::{IpFields, VRRP_PROTOCOL};
use crate::wire::vrrp::{Advertisement, ChecksumMode, Priority};

/// Encoded messages, one for each destination; the checksum may cover the destination.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    priority: Priority,
    templates: Vec<(IpAddr, Arc<[u8]>)>,
    seal: Seal,
}

impl Default for Outgoing {
    fn default() -> Self {
        Self { priority: Priority::LEAVING, templates: Vec::new(), seal: Seal::default() }
    }
}

impl Outgoing {
    /// What was encoded is no longer true.
    pub(super) fn forget(&mut self) {
        self.templates.clear();
    }
}

/// What is new in each packet although it says the same as the one before. It outlives the templates: nothing that was
/// used for one packet is used again for another.
///
/// Without authentication, and with a password, which is a part of the message, that is the identification alone. An
/// authentication header and a trailer of `auth_hmac` count and sign at this place; the first covers the
/// identification.
#[derive(Clone, Debug, Default)]
struct Seal {
    /// Of the last IPv4 packet.
    identification: Option<NonZeroU16>,
}

impl Seal {
    /// Makes a packet of a template: the fields of its IP header, and what follows that.
    ///
    /// keepalived counts identifications by instance, from 1 on. Here the first depends on the time, so that a daemon
    /// does not begin with those that its predecessor has just used (RFC 6864 §4.3).
    fn seal(&mut self, now: Now, hop_limit: u8, template: &Arc<[u8]>) -> (IpFields, Arc<[u8]>) {
        let identification = match self.identification {
            Some(last) => last.checked_add(1),
            None => NonZeroU16::new((now.wall.as_unix_micros() / 1000) as u16),
        };
        // 0 would leave it to the kernel.
        let identification = identification.unwrap_or(NonZeroU16::MIN);
        self.identification = Some(identification);
        let fields = IpFields { protocol: VRRP_PROTOCOL, hop_limit, identification: identification.get() };
        (fields, Arc::clone(template))
    }
}

impl Core {
    /// Sends an advertisement of our priority to every destination.
    pub(super) fn send_advertisement(&mut self, now: Now, out: &mut Output<'_>) {
        self.send(now, self.priority.get(), out);
    }

    /// Sends priority 0: the master leaves (RFC 9568 §6.4.3, shutdown).
    pub(super) fn send_leaving(&mut self, now: Now, out: &mut Output<'_>) {
        if self.send(now, Priority::LEAVING, out) {
            self.counters.priority_zero_sent += 1;
        }
    }

    /// False where there is nothing to send from.
    fn send(&mut self, now: Now, priority: Priority, out: &mut Output<'_>) -> bool {
        let Some(source) = self.environment.source else { return false };
        let link = match self.config.interfaces.sends_by() {
            Some(name) => match self.environment.interface(name) {
                Some(interface) => Some(interface.key),
                None => return false,
            },
            None => None,
        };
        if self.outgoing.priority != priority || self.outgoing.templates.is_empty() {
            self.outgoing.priority = priority;
            self.outgoing.templates = self.encode(priority, source);
        }
        let Outgoing { templates, seal, .. } = &mut self.outgoing;
        for (destination, template) in &*templates {
            self.counters.advertisements_sent += 1;
            let (ip, payload) = seal.seal(now, self.config.hop_limit, template);
            let (router, destination) = (self.id, *destination);
            out.actions.transmit.push(Transmission { router, link, source, destination, ip, payload });
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
        let encode = |destination: IpAddr| {
            let checksum = self.checksum_for(&destination);
            (destination, advertisement.encode(source, destination, checksum).into())
        };
        // Where one list of peers is written for all routers, each of them is on it.
        let others = self.config.destinations.addresses().filter(|destination| *destination != source);
        others.map(encode).collect()
    }

    fn checksum_for(&self, destination: &IpAddr) -> ChecksumMode {
        match self.config.old_checksum {
            OldChecksum::Always(group) if self.config.destinations.is_unicast() => ChecksumMode::Group(group),
            OldChecksum::Detect(group) if self.old_checksum_peers.contains(destination) => {
                ChecksumMode::Group(group)
            }
            _ => self.config.checksum,
        }
    }
}
