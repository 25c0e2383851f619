//! Transmission of advertisements (RFC 9568 §7.2): encoded once and kept until something changes, sealed at sending.

use core::net::IpAddr;
use core::num::NonZeroU16;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::router_core::Core;
use super::{OldChecksum, Output, Transmission};
use crate::net::Family;
use crate::time::Now;
use crate::wire::ah::{self, AH_LENGTH, AH_PROTOCOL, AhPassword};
use crate::wire::ip::{IpFields, VRRP_PROTOCOL, ipv4_header};
use crate::wire::vrrp::{
    Advertisement, AuthenticationData, ChecksumMode, Priority, TRAILER_LENGTH, fill_trailer,
};

/// Encoded messages, one for each destination; the checksum may cover the destination.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Outgoing {
    priority: Priority,
    /// They hold passwords, and are made again where there are none.
    #[serde(skip)]
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
/// authentication header, which covers the identification, and a trailer of `auth_hmac` are made at this place.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Seal {
    /// Of the last IPv4 packet.
    identification: Option<NonZeroU16>,
}

/// How an advertisement is authenticated, to all of its destinations alike.
enum Authentication {
    Plain,
    Trailer([u8; TRAILER_LENGTH]),
    Header { password: AhPassword, sequence: u32 },
}

impl Seal {
    /// keepalived counts identifications by instance, from 1 on. Here the first depends on the time, so that a daemon
    /// does not begin with those that its predecessor has just used (RFC 6864 §4.3).
    fn next_identification(&mut self, now: Now) -> u16 {
        let identification = match self.identification {
            Some(last) => last.checked_add(1),
            None => NonZeroU16::new((now.wall.as_unix_micros() / 1000) as u16),
        };
        // 0 would leave it to the kernel.
        let identification = identification.unwrap_or(NonZeroU16::MIN);
        self.identification = Some(identification);
        identification.get()
    }

    /// Makes a packet of a template: the fields of its IP header, and what follows that. `None` where it is too long
    /// for one.
    fn seal(
        &mut self,
        now: Now,
        hop_limit: u8,
        (source, destination): (IpAddr, IpAddr),
        template: &Arc<[u8]>,
        authentication: &Authentication,
    ) -> Option<(IpFields, Arc<[u8]>)> {
        let identification = self.next_identification(now);
        let mut fields = IpFields { protocol: VRRP_PROTOCOL, hop_limit, identification };
        let payload = match (authentication, source, destination) {
            (Authentication::Trailer(trailer), ..) => {
                let mut message = Arc::<[u8]>::from(&**template);
                // Nobody else has it yet.
                fill_trailer(Arc::get_mut(&mut message)?, Family::of(&source), trailer);
                message
            }
            (Authentication::Header { password, sequence }, IpAddr::V4(from), IpAddr::V4(to)) => {
                fields.protocol = AH_PROTOCOL;
                let header = ipv4_header(from, to, fields, AH_LENGTH + template.len()).ok()?;
                ah::encode(password, &header, from, *sequence, template).into()
            }
            (Authentication::Plain | Authentication::Header { .. }, ..) => Arc::clone(template),
        };
        Some((fields, payload))
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
        let authentication = self.authenticate(now, source);
        let Outgoing { templates, seal, .. } = &mut self.outgoing;
        for (destination, template) in &*templates {
            let (router, destination) = (self.id, *destination);
            let addresses = (source, destination);
            let sealed = seal.seal(now, self.config.hop_limit, addresses, template, &authentication);
            let Some((ip, payload)) = sealed else { continue };
            self.counters.advertisements_sent += 1;
            out.actions.transmit.push(Transmission { router, link, source, destination, ip, payload });
        }
        true
    }

    /// One signature or sequence number for an advertisement, however many it is sent to.
    fn authenticate(&mut self, now: Now, source: IpAddr) -> Authentication {
        if let Some(hmac) = &self.config.hmac {
            let template = self.outgoing.templates.first();
            let signed = hmac.signer().zip(template).and_then(|(key, (_, template))| {
                let (message, _) = template.split_last_chunk::<TRAILER_LENGTH>()?;
                let stamp = self.authenticator.next_stamp(now.wall, hmac);
                Some(key.sign(source, message, hmac.active, stamp))
            });
            return signed.map_or(Authentication::Plain, Authentication::Trailer);
        }
        match self.config.authentication {
            AuthenticationData::AuthenticationHeader(password) => {
                Authentication::Header { password, sequence: self.authenticator.next_sequence(now.wall) }
            }
            AuthenticationData::None | AuthenticationData::SimplePassword(_) => Authentication::Plain,
        }
    }

    fn encode(&self, priority: Priority, source: IpAddr) -> Vec<(IpAddr, Arc<[u8]>)> {
        let advertisement = Advertisement {
            version: self.config.version,
            vrid: self.config.vrid,
            priority,
            interval: self.config.interval,
            addresses: self.config.addresses.iter().map(|a| a.spec.prefix.address()).collect(),
            authentication: self.config.authentication,
            // Room for the one that each advertisement gets of its own.
            trailer: self.config.hmac.as_ref().and_then(|hmac| hmac.signer()).map(|_| [0; TRAILER_LENGTH]),
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
