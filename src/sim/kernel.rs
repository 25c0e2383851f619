//! A simulated kernel: interfaces, addresses with marks, primaries and secondaries, notifications.
//!
//! It outlives the daemon: what a crashed daemon left behind is still here when the next one starts.

use super::kernel_routing::Routing;
use super::network::PortId;
use super::table::Table;
use crate::kernel::{
    AddressOperation, AddressOutcome, Detection, Forwarding, HeldAddress, KernelError, KernelEvent,
    KernelView, Link, LinkOperation, LinkOutcome, Stacked, Verb, VirtualLinkKind,
};
use crate::net::{Family, InterfaceIndex, InterfaceName, MacAddress, Prefix};
use core::net::{IpAddr, Ipv6Addr};

const EEXIST: i32 = 17;
const ENODEV: i32 = 19;

/// MTU of an Ethernet interface, unless somebody changes it.
pub const ETHERNET_MTU: u32 = 1500;

/// An interface and where it is plugged in.
#[derive(Clone, Debug)]
struct Nic {
    link: Link,
    port: PortId,
    cable: bool,
}

/// The kernel of one machine.
#[derive(Clone, Debug)]
pub struct Kernel {
    nics: Table<InterfaceIndex, Nic>,
    /// In the order they were added: of one subnet, the first is the primary.
    addresses: Vec<HeldAddress>,
    next_index: u32,
    promote_secondaries: bool,
    notifications: Vec<KernelEvent>,
    /// Secondaries that went with their primary.
    taken_along: Vec<HeldAddress>,
    routing: Routing,
}

impl Kernel {
    /// A kernel without interfaces. With `promote_secondaries` a secondary takes the place of a deleted
    /// primary (`net.ipv4.conf.*.promote_secondaries`); without, all of them go with it.
    pub const fn new(promote_secondaries: bool) -> Self {
        Self {
            nics: Table::new(),
            addresses: Vec::new(),
            next_index: 2,
            promote_secondaries,
            notifications: Vec::new(),
            taken_along: Vec::new(),
            routing: Routing { routes: Vec::new(), rules: Vec::new() },
        }
    }

    pub(super) const fn routing(&self) -> &Routing {
        &self.routing
    }

    pub(super) const fn routing_mut(&mut self) -> &mut Routing {
        &mut self.routing
    }

    pub(super) fn notify(&mut self, event: KernelEvent) {
        self.notifications.push(event);
    }

    /// From now on a secondary takes the place of a deleted primary, on all interfaces.
    pub const fn promote_secondaries(&mut self) {
        self.promote_secondaries = true;
    }

    /// Creates an interface, up and with a cable.
    pub fn create(&mut self, name: InterfaceName, mac: MacAddress, port: PortId) -> Option<InterfaceIndex> {
        let key = InterfaceIndex::new(self.next_index)?;
        self.next_index += 1;
        let link = Link {
            key,
            name,
            mac: Some(mac),
            mtu: ETHERNET_MTU,
            admin_up: true,
            running: true,
            loopback: false,
            forwarding: Forwarding { ipv6: true },
            stacked: None,
            vrf_table: None,
        };
        self.notifications.push(KernelEvent::LinkChanged(link.clone()));
        self.nics.insert(key, Nic { link, port, cable: true });
        Some(key)
    }

    /// Creates or removes an interface of the daemon's on top of another one.
    pub fn carry_out_link(&mut self, operation: &LinkOperation) -> LinkOutcome {
        let LinkOperation { verb, key, link } = operation;
        let there = self.by_name(&link.name).map(|link| (link.key, link.virtual_key()));
        let (error, found) = match (verb, there) {
            (Verb::Remove, Some((index, Some(there)))) if there == *key => {
                self.delete(index, false);
                (None, true)
            }
            (Verb::Remove, _) => (None, false),
            (Verb::Add, Some((_, Some(there)))) if there == *key => (None, true),
            (Verb::Add, Some((_, None))) => {
                (Some(KernelError { errno: EEXIST, message: "File exists".to_owned() }), false)
            }
            (Verb::Add, old) => {
                if let Some((index, _)) = old {
                    self.delete(index, false);
                }
                (self.create_on_top(operation).err(), false)
            }
        };
        LinkOutcome::of(operation, error, found)
    }

    fn create_on_top(&mut self, operation: &LinkOperation) -> Result<(), KernelError> {
        let LinkOperation { key, link, .. } = operation;
        let missing = || KernelError { errno: ENODEV, message: "No such device".to_owned() };
        let parent = self.nics.get(&key.parent).ok_or_else(missing)?;
        let (port, cable, parent) = (parent.port, parent.link.running, parent.link.clone());
        let index = InterfaceIndex::new(self.next_index).ok_or_else(missing)?;
        self.next_index += 1;
        let mac = match key.kind {
            VirtualLinkKind::Macvlan(mac) => Some(mac),
            VirtualLinkKind::Ipvlan(_) => parent.mac,
        };
        let stacked = Some(Stacked { parent: key.parent, kind: key.kind });
        // As Linux: first it is there, then it is up.
        let mut upper = Link {
            key: index,
            name: link.name.clone(),
            mac,
            admin_up: false,
            running: false,
            stacked,
            ..parent
        };
        self.notifications.push(KernelEvent::LinkChanged(upper.clone()));
        upper.admin_up = true;
        upper.running = cable;
        self.notifications.push(KernelEvent::LinkChanged(upper.clone()));
        self.nics.insert(index, Nic { link: upper, port, cable });
        Ok(())
    }

    /// Deletes an interface with its addresses, and those on top of it. With `terse` only the interface's end is notified, as when
    /// it moves to another namespace.
    pub fn delete(&mut self, key: InterfaceIndex, terse: bool) {
        if !self.nics.contains_key(&key) {
            return;
        }
        let upper: Vec<InterfaceIndex> = self.on_top_of(key).collect();
        upper.into_iter().for_each(|upper| self.delete(upper, terse));
        self.nics.remove(&key);
        let (gone, kept) = core::mem::take(&mut self.addresses).into_iter().partition(|a| a.link == key);
        self.addresses = kept;
        if !terse {
            let gone: Vec<HeldAddress> = gone;
            self.notifications
                .extend(gone.into_iter().map(|a| KernelEvent::AddressGone { link: key, prefix: a.prefix }));
        }
        if terse {
            self.remove_routes(|route| route.leads_through(key), false);
        } else {
            self.drop_routes_of_link(key);
        }
        self.notifications.push(KernelEvent::LinkGone(key));
    }

    /// Whether something is on top of an interface.
    pub fn has_on_top(&self, key: InterfaceIndex) -> bool {
        self.on_top_of(key).next().is_some()
    }

    /// Deletes what is on top of an interface.
    pub fn delete_on_top(&mut self, key: InterfaceIndex) {
        let upper: Vec<InterfaceIndex> = self.on_top_of(key).collect();
        upper.into_iter().for_each(|upper| self.delete(upper, false));
    }

    /// Renames an interface.
    pub fn rename(&mut self, key: InterfaceIndex, name: InterfaceName) {
        self.change(key, |nic| nic.link.name = name);
    }

    /// Plugs the cable in or out.
    pub fn set_cable(&mut self, key: InterfaceIndex, cable: bool) {
        self.change(key, |nic| nic.cable = cable);
    }

    /// `ip link set mtu`, also below the 68 bytes that Linux allows, since simulated address lists are short. Linux takes
    /// what is on top along when it becomes less; when it becomes more, whoever does that does it there, too.
    pub fn set_mtu(&mut self, key: InterfaceIndex, mtu: u32) {
        self.change(key, |nic| nic.link.mtu = mtu);
        let upper: Vec<InterfaceIndex> = self.on_top_of(key).collect();
        upper.into_iter().for_each(|upper| self.change_one(upper, |nic| nic.link.mtu = mtu));
    }

    /// `ip link set up` or `down`; down removes the interface's IPv6 addresses, as Linux does.
    pub fn set_admin_up(&mut self, key: InterfaceIndex, up: bool) {
        self.change(key, |nic| nic.link.admin_up = up);
        if !up {
            let v6: Vec<Prefix> =
                self.on(key).filter(|a| a.prefix.family() == Family::Ipv6).map(|a| a.prefix).collect();
            v6.into_iter().for_each(|prefix| {
                self.remove(key, prefix);
            });
            self.drop_routes_of_link(key);
        }
    }

    fn change(&mut self, key: InterfaceIndex, change: impl FnOnce(&mut Nic)) {
        self.change_one(key, change);
        let Some(running) = self.nics.get(&key).map(|nic| nic.link.running) else { return };
        // They have the carrier of what is below.
        let upper: Vec<InterfaceIndex> = self.on_top_of(key).collect();
        upper.into_iter().for_each(|upper| self.change_one(upper, |nic| nic.cable = running));
    }

    fn change_one(&mut self, key: InterfaceIndex, change: impl FnOnce(&mut Nic)) {
        let Some(nic) = self.nics.get_mut(&key) else { return };
        let before = nic.link.clone();
        change(nic);
        nic.link.running = nic.cable && nic.link.admin_up;
        if nic.link != before {
            self.notifications.push(KernelEvent::LinkChanged(nic.link.clone()));
        }
    }

    fn on_top_of(&self, key: InterfaceIndex) -> impl Iterator<Item = InterfaceIndex> {
        let stands_on = move |link: &&Link| link.stacked.is_some_and(|stacked| stacked.parent == key);
        self.nics.values().map(|nic| &nic.link).filter(stands_on).map(|link| link.key)
    }

    /// Adds an address; one that is there keeps its mark. `tentative` until [`Kernel::conclude`].
    ///
    /// # Errors
    /// `ENODEV` when the interface is gone.
    pub fn add(
        &mut self,
        link: InterfaceIndex,
        prefix: Prefix,
        ours: bool,
        tentative: bool,
    ) -> Result<(), KernelError> {
        if !self.nics.contains_key(&link) {
            return Err(KernelError { errno: ENODEV, message: "No such device".to_owned() });
        }
        if self.on(link).any(|a| a.prefix == prefix) {
            return Ok(());
        }
        let secondary = prefix.family() == Family::Ipv4 && self.on(link).any(|a| same_subnet(a, &prefix));
        let detection = if tentative { Detection::Running } else { Detection::Done };
        let held = HeldAddress { link, prefix, ours, secondary, detection };
        self.notifications.push(KernelEvent::AddressPresent(held.clone()));
        self.addresses.push(held);
        Ok(())
    }

    /// Duplicate address detection ends: somebody else has the address, or nobody.
    pub fn conclude(&mut self, link: InterfaceIndex, prefix: Prefix, duplicate: bool) {
        if let Some(held) = self.addresses.iter_mut().find(|a| a.link == link && a.prefix == prefix)
            && held.detection == Detection::Running
        {
            held.detection = if duplicate { Detection::Failed } else { Detection::Done };
            self.notifications.push(KernelEvent::AddressPresent(held.clone()));
        }
    }

    /// Removes an address and, where the kernel does so, the secondaries of its subnet. False when it was
    /// not there.
    pub fn remove(&mut self, link: InterfaceIndex, prefix: Prefix) -> bool {
        let Some(at) = self.addresses.iter().position(|a| a.link == link && a.prefix == prefix) else {
            return false;
        };
        let gone = self.addresses.remove(at);
        self.notifications.push(KernelEvent::AddressGone { link, prefix });
        if gone.secondary || prefix.family() == Family::Ipv6 {
            self.drop_routes_of_address(link, prefix);
            return true;
        }
        if self.promote_secondaries {
            let heir = self.addresses.iter_mut().find(|a| a.link == link && same_subnet(a, &prefix));
            if let Some(heir) = heir {
                heir.secondary = false;
                self.notifications.push(KernelEvent::AddressPresent(heir.clone()));
            }
        } else {
            let (orphans, kept) = core::mem::take(&mut self.addresses)
                .into_iter()
                .partition(|a| a.link == link && same_subnet(a, &prefix));
            self.addresses = kept;
            let orphans: Vec<HeldAddress> = orphans;
            let gone = |orphan: &HeldAddress| KernelEvent::AddressGone { link, prefix: orphan.prefix };
            self.notifications.extend(orphans.iter().map(gone));
            for orphan in &orphans {
                self.drop_routes_of_address(link, orphan.prefix);
            }
            self.taken_along.extend(orphans);
        }
        self.drop_routes_of_address(link, prefix);
        true
    }

    /// Carries out one operation of the daemon.
    pub fn carry_out(&mut self, operation: &AddressOperation) -> AddressOutcome {
        let (link, prefix) = (operation.link, operation.spec.prefix);
        let error = match operation.verb {
            Verb::Add => {
                let detect = operation.spec.flags.duplicate_address_detection;
                self.add(link, prefix, true, detect && prefix.family() == Family::Ipv6).err()
            }
            Verb::Remove => {
                self.remove(link, prefix);
                None
            }
        };
        AddressOutcome::of(operation, error)
    }

    /// What a daemon reads at start or after lost notifications.
    pub fn view(&self) -> KernelView {
        KernelView {
            links: self.nics.values().map(|nic| nic.link.clone()).collect(),
            addresses: self.addresses.clone(),
            routes: self.routing.routes.clone(),
            rules: self.routing.rules.clone(),
        }
    }

    /// Takes the notifications of all changes since the last call.
    pub fn take_notifications(&mut self) -> Vec<KernelEvent> {
        core::mem::take(&mut self.notifications)
    }

    /// Takes the secondaries that went with their primary since the last call.
    pub fn take_taken_along(&mut self) -> Vec<HeldAddress> {
        core::mem::take(&mut self.taken_along)
    }

    /// All addresses, in the order they were added.
    pub fn addresses(&self) -> &[HeldAddress] {
        &self.addresses
    }

    /// The interface of a name.
    pub fn by_name(&self, name: &InterfaceName) -> Option<&Link> {
        self.nics.values().map(|nic| &nic.link).find(|link| link.name == *name)
    }

    /// The interface on a port, which others may be on top of.
    pub fn by_port(&self, port: PortId) -> Option<&Link> {
        self.nics.values().find(|nic| nic.port == port && nic.link.stacked.is_none()).map(|nic| &nic.link)
    }

    /// The interfaces on a port: the one that is plugged in, and those on top of it.
    pub fn on_port(&self, port: PortId) -> impl Iterator<Item = &Link> {
        self.nics.values().filter(move |nic| nic.port == port).map(|nic| &nic.link)
    }

    /// The port of an interface.
    pub fn port(&self, key: InterfaceIndex) -> Option<PortId> {
        self.nics.get(&key).map(|nic| nic.port)
    }

    /// The interface.
    pub fn link(&self, key: InterfaceIndex) -> Option<&Link> {
        self.nics.get(&key).map(|nic| &nic.link)
    }

    /// Whether an interface has an address.
    pub fn holds(&self, key: InterfaceIndex, prefix: Prefix) -> bool {
        self.on(key).any(|held| held.prefix == prefix)
    }

    /// Whether the machine answers questions for `address` on this interface.
    pub fn answers(&self, key: InterfaceIndex, address: &IpAddr) -> bool {
        self.on(key).any(|a| a.prefix.address() == *address && !a.is_tentative())
    }

    /// The interface that the routing table gives for a destination: there are routes to the subnets of addresses alone.
    pub fn way_to(&self, destination: &IpAddr) -> Option<InterfaceIndex> {
        let mut held = self.addresses.iter().filter(|held| {
            let same = held.prefix.family() == Family::of(destination);
            same && Prefix::new(*destination, held.prefix.length())
                .is_some_and(|there| there.network() == held.prefix.network())
        });
        held.find(|held| self.link(held.link).is_some_and(|link| link.admin_up)).map(|held| held.link)
    }

    /// An address to send advertisements from: IPv4 any address that is nobody's virtual one, IPv6 the
    /// link-local one. The first, as Linux takes it.
    pub fn source(&self, key: InterfaceIndex, family: Family) -> Option<IpAddr> {
        self.on(key).find(|a| usable_source(a, family)).map(|a| a.prefix.address())
    }

    fn on(&self, key: InterfaceIndex) -> impl Iterator<Item = &HeldAddress> {
        self.addresses.iter().filter(move |a| a.link == key)
    }
}

/// Whether advertisements of `family` can be sent from this address.
pub fn usable_source(held: &HeldAddress, family: Family) -> bool {
    held.prefix.family() == family
        && !held.ours
        && !held.is_tentative()
        && match held.prefix.address() {
            IpAddr::V4(_) => true,
            IpAddr::V6(address) => is_link_local(&address),
        }
}

/// fe80::/10.
pub const fn is_link_local(address: &Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}

fn same_subnet(held: &HeldAddress, prefix: &Prefix) -> bool {
    held.prefix.length() == prefix.length() && held.prefix.network() == prefix.network()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(promote: bool) -> (Kernel, InterfaceIndex) {
        let mut kernel = Kernel::new(promote);
        let key = kernel.create("eth0".parse().unwrap(), MacAddress([2, 0, 0, 0, 0, 1]), PortId(0)).unwrap();
        kernel.take_notifications();
        (kernel, key)
    }

    fn prefix(text: &str, length: u8) -> Prefix {
        Prefix::new(text.parse().unwrap(), length).unwrap()
    }

    #[test]
    fn secondaries_go_with_their_primary_unless_promoted() {
        for promote in [false, true] {
            let (mut kernel, eth0) = kernel(promote);
            kernel.add(eth0, prefix("10.0.0.1", 24), false, false).unwrap();
            kernel.add(eth0, prefix("10.0.0.100", 24), true, false).unwrap();
            kernel.add(eth0, prefix("10.0.0.101", 32), true, false).unwrap();
            assert!(kernel.addresses()[1].secondary && !kernel.addresses()[2].secondary);
            assert!(kernel.remove(eth0, prefix("10.0.0.1", 24)));
            let left: Vec<u8> = kernel.addresses().iter().map(|a| a.prefix.length()).collect();
            assert_eq!(left, if promote { vec![24, 32] } else { vec![32] });
            assert!(!kernel.addresses()[0].secondary);
            assert!(!kernel.remove(eth0, prefix("10.0.0.1", 24)));
        }
    }

    #[test]
    fn admin_down_takes_the_carrier_and_the_ipv6_addresses() {
        let (mut kernel, eth0) = kernel(true);
        kernel.add(eth0, prefix("10.0.0.1", 24), false, false).unwrap();
        kernel.add(eth0, prefix("fe80::1", 64), false, false).unwrap();
        kernel.set_admin_up(eth0, false);
        assert!(!kernel.link(eth0).unwrap().usable());
        assert_eq!(kernel.addresses().len(), 1);
        kernel.set_admin_up(eth0, true);
        assert!(kernel.link(eth0).unwrap().usable());
        assert_eq!(kernel.source(eth0, Family::Ipv6), None);
        assert_eq!(kernel.source(eth0, Family::Ipv4), Some([10, 0, 0, 1].into()));
    }

    #[test]
    fn deletion_is_notified_in_full_or_tersely() {
        for terse in [false, true] {
            let (mut kernel, eth0) = kernel(true);
            kernel.add(eth0, prefix("10.0.0.1", 24), false, false).unwrap();
            kernel.take_notifications();
            kernel.delete(eth0, terse);
            assert_eq!(kernel.take_notifications().len(), if terse { 1 } else { 2 });
            assert!(kernel.add(eth0, prefix("10.0.0.1", 24), true, false).is_err());
            let again = kernel.create("eth0".parse().unwrap(), MacAddress([2; 6]), PortId(0)).unwrap();
            assert_ne!(again, eth0);
        }
    }

    #[test]
    fn what_is_there_keeps_its_mark_and_is_not_notified_again() {
        let (mut kernel, eth0) = kernel(true);
        kernel.add(eth0, prefix("10.0.0.100", 24), false, false).unwrap();
        kernel.take_notifications();
        kernel.add(eth0, prefix("10.0.0.100", 24), true, false).unwrap();
        assert!(!kernel.addresses()[0].ours);
        assert_eq!(kernel.take_notifications(), []);
    }

    #[test]
    fn a_tentative_address_neither_answers_nor_sends() {
        let (mut kernel, eth0) = kernel(true);
        let local = prefix("fe80::1", 64);
        kernel.add(eth0, local, false, true).unwrap();
        assert_eq!(kernel.source(eth0, Family::Ipv6), None);
        assert!(!kernel.answers(eth0, &local.address()));
        kernel.conclude(eth0, local, false);
        assert_eq!(kernel.source(eth0, Family::Ipv6), Some(local.address()));
        assert!(kernel.answers(eth0, &local.address()));
    }
}
