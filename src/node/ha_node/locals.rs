//! The link-local addresses of interfaces of our own.

use core::net::{IpAddr, Ipv6Addr};
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::statics::{Key, locate, request_again, request_for};
use crate::kernel::{AddressReply, AddressSpec, Requester};
use crate::net::{InterfaceName, Prefix};
use crate::node::KernelModel;
use crate::time::{Instant, Now};
use crate::vrrp::Actions;
use crate::wanted::{AddressWish, Addresses, Change, WantedSet};

/// A requester of addresses that come and go with those of the parents.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Locals {
    addresses: WantedSet<Addresses>,
    of_links: BTreeMap<InterfaceName, Ipv6Addr>,
}

impl Default for Locals {
    fn default() -> Self {
        Self { addresses: WantedSet::new([]), of_links: BTreeMap::new() }
    }
}

impl Locals {
    /// From now on they are wanted.
    pub(super) fn begin(&mut self, kernel: &KernelModel, actions: &mut Actions) {
        let mut changes = Vec::new();
        self.addresses.locate(&locate(kernel), &|key| kernel.holds(key), &mut changes);
        self.addresses.want(&mut changes);
        request(changes, actions);
    }

    /// The address of an interface.
    pub(super) fn of(&self, name: &InterfaceName) -> Option<IpAddr> {
        self.of_links.get(name).copied().map(IpAddr::V6)
    }

    /// These are the addresses, by interface.
    pub(super) fn set(
        &mut self,
        of_links: BTreeMap<InterfaceName, Ipv6Addr>,
        kernel: &KernelModel,
        actions: &mut Actions,
    ) {
        let mut changes = Vec::new();
        let known = |key| kernel.holds(key);
        if of_links == self.of_links {
            self.addresses.locate(&locate(kernel), &known, &mut changes);
        } else {
            let wishes = of_links.iter().filter_map(|(name, address)| Some((wish(name, *address)?, false)));
            self.addresses.reconfigure(wishes, &locate(kernel), &known, &mut changes);
            self.of_links = of_links;
        }
        request(changes, actions);
    }

    /// Compares with the kernel's whole state, after notifications were lost.
    pub(super) fn resynchronise(&mut self, now: Now, kernel: &KernelModel) {
        self.addresses.resynchronise(now.instant, &|key| kernel.holds(key));
    }

    /// The kernel tells that it holds an address, and whether with our mark.
    pub(super) fn on_present(&mut self, now: Now, key: Key, ours: bool) {
        self.addresses.on_present(now.instant, key, ours);
    }

    /// The kernel tells that an address is gone.
    pub(super) fn on_gone(&mut self, now: Now, key: Key) {
        self.addresses.on_gone(now.instant, key);
    }

    /// The kernel took a chunk of our changes.
    pub(super) fn on_reply(&mut self, now: Now, reply: &AddressReply, actions: &mut Actions) {
        for outcome in &reply.outcomes {
            let key = (outcome.link, outcome.prefix);
            self.addresses.on_answer(now.instant, outcome.verb, key, outcome.error.is_some());
        }
        request_again(&mut self.addresses, reply, actions);
    }

    /// When [`Locals::handle_timeout`] shall be called next.
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.addresses.poll_timeout()
    }

    /// Puts back what somebody removed.
    pub(super) fn handle_timeout(&mut self, now: Now, actions: &mut Actions) {
        let mut changes = Vec::new();
        self.addresses.judge(now.instant, &mut changes);
        request(changes, actions);
    }

    /// The interfaces go, and the addresses with them.
    pub(super) fn abandon(&mut self) {
        self.addresses.abandon();
    }

    /// Whether every change has been answered.
    pub(super) fn is_settled(&self) -> bool {
        self.addresses.is_settled()
    }
}

/// Never chosen as a source by itself.
fn wish(interface: &InterfaceName, address: Ipv6Addr) -> Option<AddressWish> {
    let prefix = Prefix::new(address.into(), 64)?;
    let spec = AddressSpec { preferred_lifetime_s: Some(0), ..AddressSpec::new(prefix) };
    Some(AddressWish { interface: interface.clone(), spec })
}

fn request(changes: Vec<Change<Addresses>>, actions: &mut Actions) {
    request_for(Requester::Links, changes, actions);
}
