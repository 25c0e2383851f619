//! Interfaces of our own on top of others: creating them, bringing them into shape, their settings.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};

use super::datagram::{attributes, u32_at};
use super::encode::Attributes;
use super::message::{self, Content, LinkContent};
use super::transport::RawMessage;
use super::{Acknowledge, Batch, RouteSocket};
use crate::kernel::{IpvlanSharing, KernelError, VirtualLink, VirtualLinkKind};
use crate::net::{InterfaceIndex, InterfaceName};

/// `MACVLAN_MODE_PRIVATE`.
pub(super) const MACVLAN_PRIVATE: u32 = 1;

/// Bytes of `struct ifinfomsg`.
const INFO_BYTES: usize = 16;

const INET_CONF: u16 = 1;
const INET6_ADDR_GEN_MODE: u16 = 8;
/// `IN6_ADDR_GEN_MODE_NONE`.
const GENERATE_NONE: u8 = 1;

/// A setting of IPv4 on an interface, `net.ipv4.conf.IF.NAME`, with its number (`IPV4_DEVCONF_*`).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u16)]
pub enum Setting {
    /// `rp_filter`: source validation.
    RpFilter = 8,
    /// `arp_filter`: answer only where the answer would be routed.
    ArpFilter = 13,
    /// `arp_ignore`: 1 answers only for addresses of the interface that was asked.
    ArpIgnore = 19,
    /// `promote_secondaries`: an address does not take the others of its subnet along.
    PromoteSecondaries = 20,
    /// `accept_local`: takes packets from addresses of this host.
    AcceptLocal = 23,
}

impl Setting {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::RpFilter, Self::ArpFilter, Self::ArpIgnore, Self::PromoteSecondaries, Self::AcceptLocal];

    /// Its name in `/proc/sys`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RpFilter => "rp_filter",
            Self::ArpFilter => "arp_filter",
            Self::ArpIgnore => "arp_ignore",
            Self::PromoteSecondaries => "promote_secondaries",
            Self::AcceptLocal => "accept_local",
        }
    }
}

/// An interface with its settings.
#[derive(Clone, Debug)]
pub struct LinkDetails {
    /// What the notifications tell of it.
    content: LinkContent,
    /// The numbers of [`Setting`]s, by position.
    settings: Vec<u32>,
}

impl LinkDetails {
    /// Its number.
    pub const fn index(&self) -> InterfaceIndex {
        self.content.index
    }

    /// Its name.
    pub const fn name(&self) -> &InterfaceName {
        &self.content.name
    }

    /// Whether it is an interface like ours, whatever its mode and MAC.
    pub const fn is_upper(&self) -> bool {
        self.content.is_upper
    }

    /// Whether it is as described, on this parent.
    pub fn is(&self, parent: InterfaceIndex, kind: VirtualLinkKind) -> bool {
        self.content.stacked.is_some_and(|stacked| (stacked.parent, stacked.kind) == (parent, kind))
    }

    /// Whether a change of MAC or mode makes it what is described.
    pub fn can_become(&self, parent: InterfaceIndex, kind: VirtualLinkKind) -> bool {
        self.content.parent == Some(parent)
            && matches!(kind, VirtualLinkKind::Macvlan(_))
            && self.content.is_macvlan
    }

    /// What a setting is; `None` where the kernel does not tell.
    pub fn setting(&self, setting: Setting) -> Option<u32> {
        self.settings.get(usize::from(setting as u16).checked_sub(1)?).copied()
    }
}

/// All interfaces with their settings.
///
/// # Errors
/// In the kernel's words.
pub fn details(socket: &mut RouteSocket) -> Result<Vec<LinkDetails>, KernelError> {
    let request = RawMessage { kind: libc::RTM_GETLINK, body: &[0; INFO_BYTES] };
    socket.dump(request, |header, body| match message::read(header, body) {
        Some(Content::Link(content)) => Some(LinkDetails { content, settings: ipv4_settings(body) }),
        _ => None,
    })
}

fn ipv4_settings(body: &[u8]) -> Vec<u32> {
    let find = |bytes, kind: u16| attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value);
    let values = body
        .get(INFO_BYTES..)
        .and_then(|rest| find(rest, libc::IFLA_AF_SPEC))
        .and_then(|families| find(families, libc::AF_INET as u16))
        .and_then(|ipv4| find(ipv4, INET_CONF));
    let values = values.unwrap_or_default();
    (0..values.len() / 4).filter_map(|at| u32_at(values, at * 4)).collect()
}

/// Which interface a request is for.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// By its number.
    Index(InterfaceIndex),
    /// By its name: one that has just been created.
    Name(&'a InterfaceName),
}

/// Requests that are carried out in order, in one system call.
#[derive(Clone, Debug, Default)]
pub struct LinkRequests(Batch);

impl LinkRequests {
    /// Creates an interface, down.
    pub fn create(&mut self, parent: InterfaceIndex, link: &VirtualLink) {
        let mut message = message(None, 0, 0);
        message.text(libc::IFLA_IFNAME, link.name.as_str()).number(libc::IFLA_LINK, parent.get());
        if let Some(group) = link.group {
            message.number(libc::IFLA_GROUP, group);
        }
        shape(&mut message, link.kind);
        self.push(libc::RTM_NEWLINK, message, NLM_F_CREATE | NLM_F_EXCL);
    }

    /// Gives an interface the MAC and mode that it shall have.
    pub fn reshape(&mut self, index: InterfaceIndex, link: &VirtualLink) {
        let mut message = message(Some(index), 0, 0);
        if let Some(group) = link.group {
            message.number(libc::IFLA_GROUP, group);
        }
        shape(&mut message, link.kind);
        self.push(libc::RTM_NEWLINK, message, 0);
    }

    /// Changes settings.
    pub fn settings(&mut self, target: Target<'_>, settings: &[(Setting, u32)]) {
        let mut message = of(target, 0, 0);
        message.nest(libc::IFLA_AF_SPEC, |families| {
            families.nest(libc::AF_INET as u16, |ipv4| {
                ipv4.nest(INET_CONF, |conf| {
                    for (setting, value) in settings {
                        conf.number(*setting as u16, *value);
                    }
                });
            });
        });
        self.push(libc::RTM_SETLINK, message, 0);
    }

    /// Has the kernel make no link-local address by itself.
    pub fn generate_no_address(&mut self, target: Target<'_>) {
        let mut message = of(target, 0, 0);
        message.nest(libc::IFLA_AF_SPEC, |families| {
            families.nest(libc::AF_INET6 as u16, |ipv6| {
                ipv6.put(INET6_ADDR_GEN_MODE, &[GENERATE_NONE]);
            });
        });
        self.push(libc::RTM_SETLINK, message, 0);
    }

    /// Sets it up.
    pub fn up(&mut self, target: Target<'_>) {
        let up = libc::IFF_UP as u32;
        self.push(libc::RTM_SETLINK, of(target, up, up), 0);
    }

    /// Deletes it.
    pub fn delete(&mut self, index: InterfaceIndex) {
        self.push(libc::RTM_DELLINK, message(Some(index), 0, 0), 0);
    }

    /// Carries them out, and gives one result for each.
    ///
    /// # Errors
    /// When what came of them is not known.
    pub fn send(self, socket: &mut RouteSocket) -> Result<Vec<Result<(), KernelError>>, KernelError> {
        socket.send(self.0, Acknowledge::Last)
    }

    fn push(&mut self, kind: u16, message: Attributes, flags: u16) {
        self.0.push(RawMessage { kind, body: &message.into_bytes() }, flags);
    }
}

/// `struct ifinfomsg`.
fn message(index: Option<InterfaceIndex>, flags: u32, mask: u32) -> Attributes {
    let mut head = vec![0; 4];
    head.extend(index.map_or(0, InterfaceIndex::get).to_ne_bytes());
    head.extend(flags.to_ne_bytes());
    head.extend(mask.to_ne_bytes());
    Attributes::after(head)
}

fn of(target: Target<'_>, flags: u32, mask: u32) -> Attributes {
    match target {
        Target::Index(index) => message(Some(index), flags, mask),
        Target::Name(name) => {
            let mut message = message(None, flags, mask);
            message.text(libc::IFLA_IFNAME, name.as_str());
            message
        }
    }
}

fn shape(message: &mut Attributes, kind: VirtualLinkKind) {
    const KIND: u16 = 1;
    const DATA: u16 = 2;
    const MODE: u16 = 1;
    const FLAGS: u16 = 2;
    if let VirtualLinkKind::Macvlan(mac) = kind {
        message.put(libc::IFLA_ADDRESS, &mac.0);
    }
    message.nest(libc::IFLA_LINKINFO, |info| {
        match kind {
            VirtualLinkKind::Macvlan(_) => info.text(KIND, "macvlan").nest(DATA, |data| {
                data.number(MODE, MACVLAN_PRIVATE);
            }),
            VirtualLinkKind::Ipvlan(sharing) => info.text(KIND, "ipvlan").nest(DATA, |data| {
                // IPVLAN_MODE_L2.
                data.put(MODE, &0u16.to_ne_bytes()).put(FLAGS, &ipvlan_flags(sharing).to_ne_bytes());
            }),
        };
    });
}

/// `IPVLAN_F_*`.
pub(super) const fn ipvlan_flags(sharing: IpvlanSharing) -> u16 {
    match sharing {
        IpvlanSharing::Bridge => 0,
        IpvlanSharing::Private => 1,
        IpvlanSharing::Vepa => 2,
    }
}

/// The number of the interface of a name, in the calling thread's namespace.
pub fn index_by_name(name: &InterfaceName) -> Option<InterfaceIndex> {
    InterfaceIndex::new(nix::net::if_::if_nametoindex(name.as_str()).ok()?)
}
