//! What a router knows of the interfaces it works on, as its node tells it.

use core::net::IpAddr;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{FaultReason, RouterConfig, SharedPace};
use crate::net::{InterfaceIndex, InterfaceName, MacAddress};

/// An interface that exists.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Interface {
    /// Its number.
    pub key: InterfaceIndex,
    /// Ethernet address; `None` = announcements are not possible.
    pub mac: Option<MacAddress>,
    /// Up and with a carrier.
    pub usable: bool,
    /// The administrator wants it up.
    pub admin_up: bool,
    /// The routing table that a VRF device stands for.
    pub vrf_table: Option<u32>,
    /// Router flag of its neighbour advertisements.
    pub ipv6_forwarding: bool,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// On top of another one, as a virtual MAC is.
    pub on_top: bool,
    /// The pace of its announcements, if it is in a `garp_group`.
    pub pace: Option<SharedPace>,
}

/// Whether the router's receive socket is open.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Listening {
    /// Asked for, not open yet. At start the router waits for it.
    #[default]
    Pending,
    /// Open.
    Open,
    /// Refused by the kernel.
    Failed,
}

/// Everything outside a router that decides whether it can take part.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Environment {
    /// The interfaces the configuration names, as far as they exist, each once: normally a single one.
    pub interfaces: Vec<(InterfaceName, Interface)>,
    /// Source address of advertisements.
    pub source: Option<IpAddr>,
    /// State of the receive socket.
    pub listening: Listening,
    /// An interface of our own, which it needs, is about to be there. At start the router waits for it.
    pub preparing: bool,
}

impl Environment {
    /// The interface of that name, if it exists.
    pub fn interface(&self, name: &InterfaceName) -> Option<Interface> {
        self.interfaces.iter().find(|(known, _)| known == name).map(|(_, interface)| *interface)
    }

    /// The interface of that key, and its name.
    pub(super) fn interface_of(&self, link: InterfaceIndex) -> Option<(&InterfaceName, &Interface)> {
        let (name, interface) = self.interfaces.iter().find(|(_, interface)| interface.key == link)?;
        Some((name, interface))
    }

    /// Whether an interface that exists in both has another Ethernet address in the other, or came up: hosts must learn
    /// of it, or have not heard what was said meanwhile.
    pub(super) fn is_to_be_announced_in(&self, other: &Self) -> bool {
        self.interfaces.iter().any(|(name, interface)| {
            other.interface(name).is_some_and(|other| {
                other.key == interface.key
                    && (other.mac != interface.mac || other.usable && !interface.usable)
            })
        })
    }

    fn all(&self) -> impl Iterator<Item = Interface> {
        self.interfaces.iter().map(|(_, interface)| *interface)
    }

    /// Whether the interface of that name is another one, takes packets of another size, or came up or went down. Without
    /// a name the routes say which one sends: it may be any.
    pub(super) fn sends_otherwise(&self, other: &Self, name: Option<&InterfaceName>) -> bool {
        let matters = |i: Interface| (i.key, i.mtu, i.usable);
        match name {
            Some(name) => self.interface(name).map(matters) != other.interface(name).map(matters),
            None => self.all().map(matters).ne(other.all().map(matters)),
        }
    }

    /// Every reason why a router of this configuration cannot take part here.
    pub fn faults(&self, config: &RouterConfig) -> BTreeSet<FaultReason> {
        let mut faults = BTreeSet::new();
        let interfaces = &config.interfaces;
        let base_missing = interfaces.base.as_ref().filter(|base| self.interface(base).is_none());
        for name in interfaces.names() {
            // Without it those on top of it cannot be there either.
            if base_missing.is_some_and(|base| base != name) {
                continue;
            }
            match self.interface(name) {
                None => {
                    faults.insert(FaultReason::InterfaceMissing(name.clone()));
                }
                Some(interface) if config.track_primary && !interface.usable => {
                    faults.insert(FaultReason::LinkDown(name.clone()));
                }
                Some(_) => {}
            }
        }
        // `no_track` leaves the interface of an address alone.
        let tracked = config.addresses.iter().chain(&config.excluded).filter(|address| address.track);
        let tracked = tracked.filter_map(|address| address.interface.as_ref());
        for name in tracked.chain(config.tracked_by_routing()) {
            match self.interface(name) {
                None => {
                    faults.insert(FaultReason::InterfaceMissing(name.clone()));
                }
                Some(interface) if !interface.usable => {
                    faults.insert(FaultReason::LinkDown(name.clone()));
                }
                Some(_) => {}
            }
        }
        if faults.is_empty() && self.source.is_none() {
            let by = interfaces.base.as_ref().or_else(|| interfaces.sends_by()).cloned();
            faults.insert(match config.source {
                Some(source) => FaultReason::SourceMissing(source, by),
                None => FaultReason::NoSourceAddress(by),
            });
        }
        if config.destinations.addresses().next().is_none() {
            faults.insert(FaultReason::NoPeers);
        }
        let hears_by = interfaces.hears_by();
        let may_listen = hears_by.is_none_or(|name| self.interface(name).is_some());
        if may_listen && self.listening != Listening::Open {
            faults.insert(FaultReason::NotListening(hears_by.cloned()));
        }
        faults
    }
}
