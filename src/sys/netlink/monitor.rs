//! Follows the interfaces and addresses of a network namespace, and the routes and rules that may be ours: their whole
//! state, then their changes.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::protocols::NETLINK_ROUTE;

use super::interest::Interest;
use super::message::{self, AddressContent, Content, LinkContent};
use super::ownership::{OwnAddresses, Ownership};
use super::transport::{Drained, NetlinkSocket, Options, RawMessage, error_from_io};
use crate::kernel::{Forwarding, HeldAddress, KernelError, KernelEvent, KernelView, Link};
use crate::net::{InterfaceIndex, Prefix};
use crate::sys::socket;

/// Room for the notifications of some ten thousand addresses.
const QUEUE_BYTES: usize = 32 << 20;

/// Only requests for dumps are sent.
const REQUEST_BYTES: usize = 65_536;

/// Multicast groups: links, IPv4 addresses, IPv6 addresses, IPv6 settings (`enum rtnetlink_groups`).
const GROUPS: [u32; 4] = [1, 5, 9, 25];

const RTM_GETNETCONF: u16 = 82;

/// Reads the whole state. Takes some milliseconds where there are thousands of addresses.
///
/// # Errors
/// In the kernel's words; EINTR when the state never stood still.
pub fn view(ownership: &Ownership, interest: &Interest) -> Result<KernelView, KernelError> {
    let mut socket = open(&[])?;
    let mut contents = |kind, body: &[u8]| socket.dump(RawMessage { kind, body }, message::read);
    let mut forwarding = BTreeMap::new();
    // Absent where the host has no IPv6: then it is no router for it either.
    for content in contents(RTM_GETNETCONF, &[libc::AF_INET6 as u8, 0, 0, 0]).unwrap_or_default() {
        if let Content::Ipv6Forwarding(index, on) = content {
            forwarding.insert(index, on);
        }
    }
    let mut view = KernelView::default();
    for content in contents(libc::RTM_GETLINK, &[0; 16])? {
        if let Content::Link(link) = content {
            let ipv6 = forwarding.get(&link.index).copied().unwrap_or(false);
            view.links.push(to_link(link, Forwarding { ipv6 }));
        }
    }
    for content in contents(libc::RTM_GETADDR, &[0; 8])? {
        if let Content::Address(address) = content {
            view.addresses.push(to_address(&address, ownership));
        }
    }
    view_routing(&mut view, interest)?;
    Ok(view)
}

/// The routes and rules of interest. The kernel leaves out the others, since Linux 4.20.
fn view_routing(view: &mut KernelView, interest: &Interest) -> Result<(), KernelError> {
    let mut socket = open(&[])?;
    socket.be_strict();
    for protocol in interest.route_protocols() {
        // `struct rtmsg`. A family that the kernel does not speak has no routes.
        for family in [libc::AF_INET, libc::AF_INET6] {
            let mut body = [0; 12];
            body[0] = family as u8;
            body[5] = protocol;
            let contents = socket.dump(RawMessage { kind: libc::RTM_GETROUTE, body: &body }, message::read);
            for content in or_unknown_family(contents)? {
                if let Content::Route(route, _) = content
                    && route.protocol == protocol
                {
                    view.routes.push(route);
                }
            }
        }
    }
    for family in interest.rule_families() {
        let mut body = [0; 12];
        body[0] = family;
        let contents = socket.dump(RawMessage { kind: libc::RTM_GETRULE, body: &body }, message::read);
        for content in or_unknown_family(contents)? {
            if let Content::Rule(rule) = content
                && interest.is_in_rule(rule.protocol)
            {
                view.rules.push(rule);
            }
        }
    }
    Ok(())
}

fn or_unknown_family(contents: Result<Vec<Content>, KernelError>) -> Result<Vec<Content>, KernelError> {
    match contents {
        Err(error) if matches!(error.errno, libc::EAFNOSUPPORT | libc::EOPNOTSUPP | libc::ENOENT) => {
            Ok(Vec::new())
        }
        other => other,
    }
}

/// What a [`Monitor::drain`] found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Followed {
    /// Nothing more waits, or the bound was reached and the descriptor stays readable.
    Current,
    /// The kernel dropped notifications: read the whole state again.
    Lost,
}

/// A socket that is told of changes. Open it before the [`view`] that the changes apply to.
#[derive(Debug)]
pub struct Monitor {
    socket: NetlinkSocket,
    ownership: Ownership,
    interest: Interest,
    /// What was said last of each link, because a change of forwarding comes without the rest.
    links: BTreeMap<InterfaceIndex, Link>,
    /// What went off the record because the kernel does not hold it.
    struck_out: Vec<(InterfaceIndex, Prefix)>,
}

impl Monitor {
    /// Opens it in the calling thread's network namespace.
    ///
    /// # Errors
    /// In the kernel's words.
    pub fn open(ownership: Ownership) -> Result<Self, KernelError> {
        let socket = open(&GROUPS)?;
        let (links, struck_out) = (BTreeMap::new(), Vec::new());
        Ok(Self { socket, ownership, interest: Interest::default(), links, struck_out })
    }

    /// What of routes and rules is to be followed from now on: nothing at the beginning. Takes no lock that others hold
    /// for long.
    ///
    /// # Errors
    /// In the kernel's words.
    pub fn follow(&mut self, interest: Interest) -> Result<(), KernelError> {
        if interest == self.interest {
            return Ok(());
        }
        // What waits meanwhile is let through or not by the one or the other.
        interest.filter(&self.socket).map_err(|error| error_from_io(&error))?;
        let before: BTreeSet<u32> = self.interest.groups().collect();
        let now: BTreeSet<u32> = interest.groups().collect();
        self.socket.join(now.difference(&before).copied())?;
        self.socket.leave(before.difference(&now).copied())?;
        self.interest = interest;
        Ok(())
    }

    /// What of routes and rules is followed.
    pub const fn interest(&self) -> &Interest {
        &self.interest
    }

    /// Lets at least so many bytes wait to be read; as many as usual where that is more.
    ///
    /// # Errors
    /// None in practice.
    pub fn hold_at_least(&self, bytes: usize) -> std::io::Result<()> {
        socket::hold_at_least(&self.socket, QUEUE_BYTES, bytes)
    }

    /// Takes a [`view`] as the state that later changes refer to. What it does not hold goes off the record, so that
    /// an address that somebody adds later is theirs.
    pub fn start_from(&mut self, view: &KernelView) {
        self.links = view.links.iter().map(|link| (link.key, link.clone())).collect();
        if let Ownership::Record(record) = &mut self.ownership {
            let held: BTreeSet<_> = view.addresses.iter().map(|held| (held.link, held.prefix)).collect();
            let stale: Vec<_> = record.keys().filter(|key| !held.contains(key)).collect();
            self.struck_out.extend(stale.into_iter().filter(|key| record.strike_out(*key)));
        }
    }

    /// How own addresses are known.
    pub const fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    /// Our record of own addresses, where there is one.
    pub const fn record(&mut self) -> Option<&mut OwnAddresses> {
        match &mut self.ownership {
            Ownership::Mark => None,
            Ownership::Record(record) => Some(record),
        }
    }

    /// What went off the record since this was asked last, because the kernel does not hold it.
    pub fn take_struck_out(&mut self) -> Vec<(InterfaceIndex, Prefix)> {
        std::mem::take(&mut self.struck_out)
    }

    /// Takes the notifications that wait, at most `bound` datagrams. Never blocks.
    ///
    /// # Errors
    /// In the kernel's words; the socket is of no use any more.
    pub fn drain(&mut self, bound: usize, events: &mut Vec<KernelEvent>) -> Result<Followed, KernelError> {
        let Self { socket, ownership, interest, links, struck_out } = self;
        let drained = socket.drain(bound, |header, body| {
            let content = message::read(header, body).filter(|content| concerns(interest, content));
            let Some(event) = content.and_then(|content| event(ownership, links, content)) else { return };
            if let KernelEvent::AddressGone { link, prefix } = event
                && ownership.note_gone((link, prefix))
            {
                struck_out.push((link, prefix));
            }
            events.push(event);
        })?;
        Ok(match drained {
            Drained::All | Drained::Partly => Followed::Current,
            Drained::Overrun => Followed::Lost,
        })
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What the kernel's filter lets through, and no more.
fn concerns(interest: &Interest, content: &Content) -> bool {
    match content {
        Content::Route(route, replaces) => {
            interest.is_in_route(route.protocol)
                || *replaces && interest.is_in_length(route.place.destination.length())
        }
        Content::RouteGone(route) => interest.is_in_route(route.protocol),
        Content::Rule(rule) | Content::RuleGone(rule) => interest.is_in_rule(rule.protocol),
        _ => true,
    }
}

fn event(
    ownership: &Ownership,
    links: &mut BTreeMap<InterfaceIndex, Link>,
    content: Content,
) -> Option<KernelEvent> {
    match content {
        Content::Link(content) => {
            let forwarding = links.get(&content.index).map(|link| link.forwarding).unwrap_or_default();
            let link = to_link(content, forwarding);
            // The kernel repeats itself, for example with new statistics of a wireless link.
            if links.get(&link.key) == Some(&link) {
                return None;
            }
            links.insert(link.key, link.clone());
            Some(KernelEvent::LinkChanged(link))
        }
        Content::LinkGone(index) => {
            links.remove(&index);
            Some(KernelEvent::LinkGone(index))
        }
        Content::Ipv6Forwarding(index, on) => {
            let link = links.get_mut(&index).filter(|link| link.forwarding.ipv6 != on)?;
            link.forwarding.ipv6 = on;
            Some(KernelEvent::LinkChanged(link.clone()))
        }
        Content::Route(route, replaces) => Some(KernelEvent::RoutePresent { route, replaces }),
        Content::RouteGone(route) => Some(KernelEvent::RouteGone(route)),
        Content::Rule(rule) => Some(KernelEvent::RulePresent(rule)),
        Content::RuleGone(rule) => Some(KernelEvent::RuleGone(rule)),
        Content::Address(content) => Some(KernelEvent::AddressPresent(to_address(&content, ownership))),
        Content::AddressGone(content) => {
            Some(KernelEvent::AddressGone { link: content.index, prefix: content.prefix })
        }
    }
}

fn to_link(content: LinkContent, forwarding: Forwarding) -> Link {
    Link {
        key: content.index,
        name: content.name,
        mac: content.mac,
        mtu: content.mtu,
        admin_up: content.admin_up,
        running: content.running,
        loopback: content.loopback,
        forwarding,
        stacked: content.stacked,
        vrf_table: content.vrf_table,
    }
}

fn to_address(content: &AddressContent, ownership: &Ownership) -> HeldAddress {
    HeldAddress {
        link: content.index,
        prefix: content.prefix,
        ours: ownership.holds(content),
        secondary: content.secondary,
        detection: content.detection,
    }
}

fn open(groups: &[u32]) -> Result<NetlinkSocket, KernelError> {
    NetlinkSocket::open(Options {
        protocol: NETLINK_ROUTE,
        groups,
        receive_queue: QUEUE_BYTES,
        send_queue: REQUEST_BYTES,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::netlink::datagram::Header;
    use crate::sys::netlink::message::tests::link_body;

    #[test]
    fn the_view_has_the_loopback_link_and_its_address() {
        let view = view(&Ownership::Mark, &Interest::default()).unwrap();
        let loopback = view.links.iter().find(|link| link.loopback).unwrap();
        assert_eq!(loopback.name.as_str(), "lo");
        assert!(loopback.mac.is_none());
    }

    #[test]
    fn a_monitor_with_nothing_to_say_does_not_block() {
        let mut monitor = Monitor::open(Ownership::Mark).unwrap();
        let mut events = Vec::new();
        assert_eq!(monitor.drain(1000, &mut events).unwrap(), Followed::Current);
    }

    #[test]
    fn a_link_said_twice_is_one_change_and_a_rename_is_another() {
        let mut links = BTreeMap::new();
        let mut say = |kind, body: &[u8]| {
            let header = Header { kind, flags: 0, sequence: 0 };
            event(&Ownership::Mark, &mut links, message::read(header, body).unwrap())
        };
        assert!(say(libc::RTM_NEWLINK, &link_body(0, 7, 0x41, "eth0")).is_some());
        assert!(say(libc::RTM_NEWLINK, &link_body(0, 7, 0x41, "eth0")).is_none());
        assert!(matches!(
            say(libc::RTM_NEWLINK, &link_body(0, 7, 0x41, "wan")),
            Some(KernelEvent::LinkChanged(link)) if link.name.as_str() == "wan"
        ));
        assert!(say(libc::RTM_DELLINK, &link_body(0, 7, 0, "wan")).is_some());
        assert!(say(libc::RTM_NEWLINK, &link_body(0, 7, 0x41, "wan")).is_some());
    }
}
