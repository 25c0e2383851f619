//! Creates and removes interfaces of our own, for the kernel thread: with the settings and filters that a virtual MAC
//! needs, all before the interface is up.

use std::collections::{BTreeMap, BTreeSet};

use super::filter::Filter;
use super::interface_settings::{InterfaceSettings, differing, take_part_in_ipv6};
use crate::kernel::{
    AddressOperation, KernelError, LinkKey, LinkOperation, LinkOutcome, Requester, Verb, VirtualLink,
    VirtualLinkKind,
};
use crate::net::{InterfaceIndex, InterfaceName};
use crate::sys::netlink::{self, LinkDetails, LinkRequests, RouteSocket, Setting, Target};

/// What a virtual MAC needs: it answers for its own addresses only, takes what its parent's addresses send, has no
/// routes that sources could be validated by, and keeps the other addresses of a subnet when the first one goes.
const OF_VIRTUAL_MACS: [(Setting, u32); 4] = [
    (Setting::ArpIgnore, 1),
    (Setting::AcceptLocal, 1),
    (Setting::RpFilter, 0),
    (Setting::PromoteSecondaries, 1),
];

/// EEXIST.
const EXISTS: i32 = 17;

/// The interfaces of our own that this thread has created or found.
#[derive(Debug)]
pub(super) struct VirtualLinks {
    settings: InterfaceSettings,
    filter: Filter,
    /// With the numbers of interface and parent.
    ours: BTreeMap<LinkKey, InterfaceIndex>,
    /// What was told once.
    told: BTreeSet<String>,
}

/// The interfaces of the host by name.
type Details = BTreeMap<InterfaceName, LinkDetails>;

impl VirtualLinks {
    pub(super) const fn new(settings: InterfaceSettings, filter: Filter) -> Self {
        Self { settings, filter, ours: BTreeMap::new(), told: BTreeSet::new() }
    }

    /// Carries the operations out in order, and gives one outcome for each.
    pub(super) fn carry_out(
        &mut self,
        socket: &mut RouteSocket,
        operations: &[LinkOperation],
    ) -> Vec<LinkOutcome> {
        let mut details = match read(socket) {
            Ok(details) => details,
            Err(error) => {
                let failed = |operation| LinkOutcome::of(operation, Some(error.clone()), false);
                return operations.iter().map(failed).collect();
            }
        };
        let mut touched = BTreeSet::new();
        let mut outcomes = Vec::with_capacity(operations.len());
        for operation in operations {
            // What this batch itself has done to an interface is read again.
            if !touched.insert(operation.key.name)
                && let Ok(now) = read(socket)
            {
                details = now;
            }
            let found = match operation.verb {
                Verb::Add => self.add(socket, &details, operation),
                Verb::Remove => self.remove(socket, &details, operation).map(|()| true),
            };
            let (found, error) = found.map_or_else(|error| (false, Some(error)), |found| (found, None));
            outcomes.push(LinkOutcome::of(operation, error, found));
        }
        if operations.iter().any(|operation| operation.verb == Verb::Add) {
            self.verify(socket);
        }
        if self.ours.is_empty() {
            self.end(socket);
        }
        outcomes
    }

    /// Takes into account which addresses are about to be added.
    pub(super) fn before(&mut self, requesters: &[(Requester, usize)], operations: &[AddressOperation]) {
        self.follow_locals(requesters, operations, Verb::Add);
    }

    /// Takes into account which addresses have been removed.
    pub(super) fn after(&mut self, requesters: &[(Requester, usize)], operations: &[AddressOperation]) {
        self.follow_locals(requesters, operations, Verb::Remove);
    }

    fn follow_locals(
        &mut self,
        requesters: &[(Requester, usize)],
        operations: &[AddressOperation],
        verb: Verb,
    ) {
        let mut rest = operations;
        for (requester, count) in requesters {
            let (own, others) = rest.split_at((*count).min(rest.len()));
            rest = others;
            if *requester != Requester::Links {
                continue;
            }
            for operation in own.iter().filter(|operation| operation.verb == verb) {
                if let std::net::IpAddr::V6(local) = operation.spec.prefix.address() {
                    self.filter.share(operation.link, (verb == Verb::Add).then_some(local));
                }
            }
        }
    }

    /// Whether the interface was there already.
    fn add(
        &mut self,
        socket: &mut RouteSocket,
        details: &Details,
        operation: &LinkOperation,
    ) -> Result<bool, KernelError> {
        let LinkOperation { key, link, .. } = operation;
        let parent = details.values().find(|known| known.index() == key.parent);
        if link.ipv4 {
            if let Some(parent) = parent {
                self.settings.prepare_parent(socket, parent)?;
            }
            let others = details.values().filter(|known| !known.is_upper() && known.name() != &link.name);
            self.settings.validate_each(socket, &others.collect::<Vec<_>>())?;
        }
        let mut requests = LinkRequests::default();
        let mut found = false;
        match details.get(&link.name) {
            None => requests.create(key.parent, link),
            Some(there) if there.is(key.parent, link.kind) => found = true,
            Some(there) if there.can_become(key.parent, link.kind) => {
                tracing::info!("interface {}: giving it the MAC and mode of {}", link.name, link.kind);
                requests.reshape(there.index(), link);
                found = true;
            }
            Some(there) if there.is_upper() => {
                tracing::warn!("removing the old interface {}, which is made otherwise", link.name);
                requests.delete(there.index());
                requests.create(key.parent, link);
            }
            Some(_) => {
                return Err(KernelError {
                    errno: EXISTS,
                    message: "there is another interface of this name; choose one in use_vmac".to_owned(),
                });
            }
        }
        requests.send(socket)?.into_iter().collect::<Result<(), _>>()?;
        self.prepare(socket, *key, link)?;
        Ok(found)
    }

    /// Settings and filters, then up.
    fn prepare(
        &mut self,
        socket: &mut RouteSocket,
        key: LinkKey,
        link: &VirtualLink,
    ) -> Result<(), KernelError> {
        let Some(index) = netlink::index_by_name(&link.name) else {
            let message = "it was removed while it was created".to_owned();
            return Err(KernelError { errno: libc::ENODEV, message });
        };
        let target = Target::Index(index);
        let mut requests = LinkRequests::default();
        requests.settings(target, &OF_VIRTUAL_MACS);
        let set = requests.send(socket)?.into_iter().collect::<Result<(), _>>();
        set.map_err(|error| KernelError { message: format!("its settings: {}", error.message), ..error })?;
        let mut requests = LinkRequests::default();
        if matches!(key.kind, VirtualLinkKind::Macvlan(_)) {
            requests.generate_no_address(target);
        }
        let set = requests.send(socket)?.into_iter().collect::<Result<(), _>>();
        // A host without IPv6 generates no address either.
        if let Err(error) = set
            && link.ipv6
        {
            return Err(KernelError { message: format!("its IPv6 settings: {}", error.message), ..error });
        }
        if let Err(error) = take_part_in_ipv6(&link.name, link.ipv6) {
            let text = format!(
                "cannot turn IPv6 {} on interface {}: {error}",
                if link.ipv6 { "on" } else { "off" },
                link.name
            );
            if link.ipv6 {
                return Err(KernelError { errno: error.raw_os_error().unwrap_or(libc::EIO), message: text });
            }
            if self.told.insert(text.clone()) {
                tracing::warn!("{text}; the filter keeps the kernel from speaking with the virtual MAC");
            }
        }
        if matches!(key.kind, VirtualLinkKind::Macvlan(_)) {
            self.filter.guard(index, key.parent);
        }
        if let Some(old) = self.ours.insert(key, index).filter(|old| *old != index) {
            self.filter.release(old);
        }
        let mut requests = LinkRequests::default();
        requests.up(target);
        requests.send(socket)?.into_iter().collect()
    }

    fn remove(
        &mut self,
        socket: &mut RouteSocket,
        details: &Details,
        operation: &LinkOperation,
    ) -> Result<(), KernelError> {
        let LinkOperation { key, link, .. } = operation;
        let mut removed = Ok(());
        let is_it = |there: &&LinkDetails| {
            there.is(key.parent, key.kind) || self.ours.get(key) == Some(&there.index()) && there.is_upper()
        };
        if let Some(there) = details.get(&link.name).filter(is_it) {
            let mut requests = LinkRequests::default();
            requests.delete(there.index());
            let results = requests.send(socket)?;
            let gone = |error: &KernelError| error.errno == libc::ENODEV;
            removed = results.into_iter().find_map(Result::err).filter(|e| !gone(e)).map_or(Ok(()), Err);
        }
        removed?;
        if let Some(index) = self.ours.remove(key) {
            self.filter.release(index);
        }
        let is_parent = self.ours.keys().any(|other| other.parent == key.parent);
        if !is_parent && let Some(parent) = details.values().find(|known| known.index() == key.parent) {
            self.settings.put_back(socket, parent);
        }
        Ok(())
    }

    /// Looks whether all is as it was set: somebody else may set things too.
    fn verify(&mut self, socket: &mut RouteSocket) {
        let Ok(details) = read(socket) else { return };
        for (key, index) in &self.ours {
            let Some(link) = details.values().find(|known| known.index() == *index) else { continue };
            if let Some((setting, found, wanted)) = differing(link, &OF_VIRTUAL_MACS) {
                let text = format!(
                    "net.ipv4.conf.{}.{} is {found} although it was set to {wanted}: who sets it?",
                    key.name,
                    setting.name()
                );
                if self.told.insert(text.clone()) {
                    tracing::warn!("{text}");
                }
            }
        }
    }

    /// Has an address of an interface take no others along (`promote_secondaries`).
    pub(super) fn promote(&mut self, socket: &mut RouteSocket, index: InterfaceIndex) {
        let promoted = read(socket).and_then(|details| {
            let link = details.values().find(|known| known.index() == index);
            link.map_or(Ok(()), |link| self.settings.promote(socket, link))
        });
        if let Err(error) = promoted {
            tracing::warn!("cannot set promote_secondaries on interface {}: {error}", index.get());
        }
    }

    /// Puts that back.
    pub(super) fn end_promotions(&mut self, socket: &mut RouteSocket) {
        if let Ok(details) = read(socket) {
            self.settings.end_promotions(socket, &details.values().collect::<Vec<_>>());
        }
    }

    /// Puts everything back that virtual MACs needed.
    fn end(&mut self, socket: &mut RouteSocket) {
        self.filter.end();
        match read(socket) {
            Ok(details) => self.settings.put_back_all(socket, &details.values().collect::<Vec<_>>()),
            Err(error) => tracing::warn!("cannot put settings of interfaces back: {error}"),
        }
    }
}

fn read(socket: &mut RouteSocket) -> Result<Details, KernelError> {
    Ok(netlink::details(socket)?.into_iter().map(|link| (link.name().clone(), link)).collect())
}
