//! Which routes and rules are to be heard of. A host with the routes of the whole Internet is not to wake the thread
//! that advertises for each of them: a filter in the kernel lets through what may concern us.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;

use socket2::SockFilter;

use super::routing::family_number;
use crate::kernel::{ROUTE_PROTOCOL, Route, Rule};
use crate::net::Family;

/// What is asked for of routes and rules; nothing where there are none of ours.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Interest {
    /// Protocols of our routes: our mark, and what the configuration says.
    routes: BTreeSet<u8>,
    /// Prefix lengths of our routes, of which others might take the place.
    lengths: BTreeSet<u8>,
    /// Protocols of our rules.
    rules: BTreeSet<u8>,
}

impl Interest {
    /// In these routes and rules.
    pub fn new<'a>(
        routes: impl IntoIterator<Item = &'a Route>,
        rules: impl IntoIterator<Item = &'a Rule>,
    ) -> Self {
        let mut interest = Self::default();
        for route in routes {
            interest.routes.insert(route.protocol);
            interest.lengths.insert(route.destination.length());
        }
        interest.rules.extend(rules.into_iter().map(|rule| rule.protocol));
        // What a predecessor of another configuration had is ours too.
        if !interest.routes.is_empty() {
            interest.routes.insert(ROUTE_PROTOCOL);
        }
        interest
    }

    /// In routes and rules of these protocols, for a view.
    pub const fn of_protocols(routes: BTreeSet<u8>, rules: BTreeSet<u8>) -> Self {
        Self { routes, lengths: BTreeSet::new(), rules }
    }

    /// The same and what somebody else is interested in.
    pub fn and(mut self, other: &Self) -> Self {
        self.routes.extend(&other.routes);
        self.lengths.extend(&other.lengths);
        self.rules.extend(&other.rules);
        self
    }

    /// Multicast groups to listen to: IPv4 and IPv6 routes, and rules (`enum rtnetlink_groups`).
    pub(super) fn groups(&self) -> impl Iterator<Item = u32> {
        let routes = [7, 11].into_iter().filter(|_| !self.routes.is_empty());
        let rules = [8, 19].into_iter().filter(|_| !self.rules.is_empty());
        routes.chain(rules)
    }

    /// Protocols of the routes to ask for.
    pub(super) fn route_protocols(&self) -> impl Iterator<Item = u8> {
        self.routes.iter().copied()
    }

    /// Families of which to ask for rules.
    pub(super) fn rule_families(&self) -> impl Iterator<Item = u8> {
        let families = [Family::Ipv4, Family::Ipv6].into_iter().filter(|_| !self.rules.is_empty());
        families.map(family_number)
    }

    /// Whether a rule of this protocol is of interest.
    pub(super) fn is_in_rule(&self, protocol: u8) -> bool {
        self.rules.contains(&protocol)
    }

    /// Whether a route of this protocol is of interest.
    pub(super) fn is_in_route(&self, protocol: u8) -> bool {
        self.routes.contains(&protocol)
    }

    /// Whether one that took the place of another is of interest.
    pub(super) fn is_in_length(&self, length: u8) -> bool {
        self.lengths.contains(&length)
    }

    /// Has the kernel leave out notifications of other routes.
    ///
    /// # Errors
    /// Of the system call.
    pub(super) fn filter(&self, socket: &impl AsFd) -> io::Result<()> {
        socket2::SockRef::from(socket).attach_filter(&self.program())
    }

    /// A notification is a datagram of one message. Passes those that are not of routes, those of routes of our
    /// protocols, and those that take the place of another route whose prefix has a length of ours.
    fn program(&self) -> Vec<SockFilter> {
        const KIND: u32 = 4;
        const FLAGS: u32 = 6;
        const LENGTH: u32 = 17;
        const PROTOCOL: u32 = 21;
        const NLM_F_REPLACE: u16 = 0x100;
        let load = |size: u32, offset| instruction(libc::BPF_LD | size | libc::BPF_ABS, 0, 0, offset);
        let if_equal = |value, then, otherwise| {
            instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, then, otherwise, value)
        };
        let give = |bytes| instruction(libc::BPF_RET | libc::BPF_K, 0, 0, bytes);
        // Numbers of two bytes are in the order of this machine, and read in network order.
        let half = |number: u16| u32::from(u16::from_be_bytes(number.to_ne_bytes()));
        // Each comparison is followed by what passes.
        let lengths = 2 * self.lengths.len() as u32;
        let jump = |over| instruction(libc::BPF_JMP | libc::BPF_JA, 0, 0, over);
        let mut program = vec![
            load(libc::BPF_H, KIND),
            if_equal(half(libc::RTM_NEWROUTE), 3, 0),
            if_equal(half(libc::RTM_DELROUTE), 1, 0),
            give(u32::MAX),
            jump(4 + lengths),
        ];
        // RTM_NEWROUTE.
        program.push(load(libc::BPF_H, FLAGS));
        let replaces = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
        program.push(instruction(replaces, 1, 0, half(NLM_F_REPLACE)));
        program.push(jump(1 + lengths));
        program.push(load(libc::BPF_B, LENGTH));
        for length in &self.lengths {
            program.push(if_equal(u32::from(*length), 0, 1));
            program.push(give(u32::MAX));
        }
        program.push(load(libc::BPF_B, PROTOCOL));
        for protocol in &self.routes {
            program.push(if_equal(u32::from(*protocol), 0, 1));
            program.push(give(u32::MAX));
        }
        program.push(give(0));
        program
    }
}

fn instruction(code: u32, then: u8, otherwise: u8, value: u32) -> SockFilter {
    SockFilter::new(code as u16, then, otherwise, value)
}
