//! Reads what the kernel says of interfaces and addresses.
//!
//! Own code, because a router must not lose sight of its interfaces when a new kernel adds or lengthens an
//! attribute: only the attributes that matter are looked at, all others are skipped unread.

use std::net::IpAddr;

use netlink_packet_core::NLM_F_REPLACE;

use super::datagram::{Header, attributes, i32_at, u16_at, u32_at};
use super::routing_message;
use super::virtual_link::{MACVLAN_PRIVATE, ipvlan_flags};
use crate::kernel::{Detection, HeldRoute, IpvlanSharing, Rule, Stacked, VirtualLinkKind};
use crate::net::{InterfaceIndex, InterfaceName, MacAddress, Prefix};

/// What one message says, numbers as the kernel gives them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Content {
    /// `RTM_NEWLINK`.
    Link(LinkContent),
    /// `RTM_DELLINK`.
    LinkGone(InterfaceIndex),
    /// `RTM_NEWADDR`.
    Address(AddressContent),
    /// `RTM_DELADDR`.
    AddressGone(AddressContent),
    /// `RTM_NEWROUTE`, and whether it took the place of another one.
    Route(HeldRoute, bool),
    /// `RTM_DELROUTE`.
    RouteGone(HeldRoute),
    /// `RTM_NEWRULE`.
    Rule(Rule),
    /// `RTM_DELRULE`.
    RuleGone(Rule),
    /// `RTM_NEWNETCONF` of IPv6 with `NETCONFA_FORWARDING`.
    Ipv6Forwarding(InterfaceIndex, bool),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct LinkContent {
    pub(super) index: InterfaceIndex,
    pub(super) name: InterfaceName,
    pub(super) mac: Option<MacAddress>,
    pub(super) mtu: u32,
    pub(super) admin_up: bool,
    pub(super) running: bool,
    pub(super) loopback: bool,
    /// The interface below.
    pub(super) parent: Option<InterfaceIndex>,
    /// A macvlan of any mode.
    pub(super) is_macvlan: bool,
    /// A macvlan or ipvlan of any mode.
    pub(super) is_upper: bool,
    /// On what it stands, if it is like an interface of ours.
    pub(super) stacked: Option<Stacked>,
    /// The table of a VRF device.
    pub(super) vrf_table: Option<u32>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct AddressContent {
    pub(super) index: InterfaceIndex,
    pub(super) prefix: Prefix,
    pub(super) protocol: u8,
    pub(super) secondary: bool,
    pub(super) detection: Detection,
}

/// What a message says; `None` if it does not concern us or lacks what it must have.
pub(super) fn read(Header { kind, flags, .. }: Header, body: &[u8]) -> Option<Content> {
    const NEW_NETCONF: u16 = 80;
    match kind {
        libc::RTM_NEWLINK => link(body).map(Content::Link),
        libc::RTM_DELLINK => link_index(body).map(Content::LinkGone),
        libc::RTM_NEWADDR => address(body).map(Content::Address),
        libc::RTM_DELADDR => address(body).map(Content::AddressGone),
        libc::RTM_NEWROUTE => {
            routing_message::route(body).map(|route| Content::Route(route, flags & NLM_F_REPLACE != 0))
        }
        libc::RTM_DELROUTE => routing_message::route(body).map(Content::RouteGone),
        libc::RTM_NEWRULE => routing_message::rule(body).map(Content::Rule),
        libc::RTM_DELRULE => routing_message::rule(body).map(Content::RuleGone),
        NEW_NETCONF => ipv6_forwarding(body),
        _ => None,
    }
}

/// Index of `struct ifinfomsg`. Messages of other families than `AF_UNSPEC` speak of a bridge port or of
/// IPv6 settings, not of the interface: a port that leaves its bridge is not deleted.
fn link_index(body: &[u8]) -> Option<InterfaceIndex> {
    if i32::from(*body.first()?) != libc::AF_UNSPEC {
        return None;
    }
    InterfaceIndex::new(u32_at(body, 4)?)
}

fn link(body: &[u8]) -> Option<LinkContent> {
    const INFO_BYTES: usize = 16;
    let index = link_index(body)?;
    let hardware = u16_at(body, 2)?;
    let flags = u32_at(body, 8)?;
    let (mut name, mut mac, mut mtu) = (None, None, 0);
    let (mut parent, mut parent_elsewhere, mut info) = (None, false, LinkInfo::default());
    for (kind, value) in attributes(body.get(INFO_BYTES..)?) {
        match kind {
            libc::IFLA_IFNAME => name = text(value).parse().ok(),
            libc::IFLA_ADDRESS if hardware == libc::ARPHRD_ETHER => {
                mac = value.try_into().ok().map(MacAddress);
            }
            libc::IFLA_MTU => mtu = u32_at(value, 0)?,
            libc::IFLA_LINK => parent = u32_at(value, 0).and_then(InterfaceIndex::new),
            libc::IFLA_LINK_NETNSID => parent_elsewhere = true,
            libc::IFLA_LINKINFO => info = link_info(value),
            _ => {}
        }
    }
    // Of another namespace: its number says nothing here.
    let parent = parent.filter(|_| !parent_elsewhere);
    let kind = match (info.kind, info.mode, mac) {
        (UpperKind::Macvlan, MACVLAN_PRIVATE, Some(mac)) => Some(VirtualLinkKind::Macvlan(mac)),
        (UpperKind::Ipvlan, 0, _) => info.sharing.map(VirtualLinkKind::Ipvlan),
        _ => None,
    };
    Some(LinkContent {
        parent,
        is_macvlan: info.kind == UpperKind::Macvlan,
        is_upper: info.kind != UpperKind::Other,
        stacked: parent.zip(kind).map(|(parent, kind)| Stacked { parent, kind }),
        vrf_table: info.vrf_table,
        index,
        name: name?,
        mac,
        mtu,
        admin_up: flags & libc::IFF_UP as u32 != 0,
        running: flags & libc::IFF_RUNNING as u32 != 0,
        loopback: hardware == libc::ARPHRD_LOOPBACK,
    })
}

/// What `IFLA_LINKINFO` says of an interface like ours.
#[derive(Clone, Copy, Debug, Default)]
struct LinkInfo {
    kind: UpperKind,
    mode: u32,
    sharing: Option<IpvlanSharing>,
    vrf_table: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum UpperKind {
    #[default]
    Other,
    Macvlan,
    Ipvlan,
}

fn link_info(bytes: &[u8]) -> LinkInfo {
    const KIND: u16 = 1;
    const DATA: u16 = 2;
    const MODE: u16 = 1;
    const FLAGS: u16 = 2;
    const VRF_TABLE: u16 = 1;
    let mut info = LinkInfo::default();
    let find = |bytes, kind: u16| attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value);
    let data = find(bytes, DATA).unwrap_or_default();
    match find(bytes, KIND).map(text) {
        Some("macvlan") => {
            info.kind = UpperKind::Macvlan;
            info.mode = find(data, MODE).and_then(|value| u32_at(value, 0)).unwrap_or_default();
        }
        Some("ipvlan") => {
            info.kind = UpperKind::Ipvlan;
            info.mode = find(data, MODE).and_then(|value| u16_at(value, 0)).unwrap_or_default().into();
            let flags = find(data, FLAGS).and_then(|value| u16_at(value, 0)).unwrap_or_default();
            let all = [IpvlanSharing::Bridge, IpvlanSharing::Private, IpvlanSharing::Vepa];
            info.sharing = all.into_iter().find(|sharing| ipvlan_flags(*sharing) == flags);
        }
        Some("vrf") => info.vrf_table = find(data, VRF_TABLE).and_then(|value| u32_at(value, 0)),
        _ => {}
    }
    info
}

/// `struct ifaddrmsg`: family, prefix length, flags, scope, index.
fn address(body: &[u8]) -> Option<AddressContent> {
    const INFO_BYTES: usize = 8;
    const IFA_PROTO: u16 = 11;
    let family = i32::from(*body.first()?);
    let length = *body.get(1)?;
    let mut flags = u32::from(*body.get(2)?);
    let index = InterfaceIndex::new(u32_at(body, 4)?)?;
    let (mut local, mut address, mut protocol) = (None, None, 0);
    for (kind, value) in attributes(body.get(INFO_BYTES..)?) {
        match kind {
            libc::IFA_LOCAL => local = ip(family, value),
            libc::IFA_ADDRESS => address = ip(family, value),
            libc::IFA_FLAGS => flags = u32_at(value, 0)?,
            IFA_PROTO => protocol = *value.first()?,
            _ => {}
        }
    }
    // On a point-to-point link IFA_ADDRESS is the far end.
    let prefix = Prefix::new(local.or(address)?, length)?;
    Some(AddressContent {
        index,
        prefix,
        protocol,
        secondary: flags & libc::IFA_F_SECONDARY != 0,
        detection: detection(flags),
    })
}

const fn detection(flags: u32) -> Detection {
    match flags & (libc::IFA_F_TENTATIVE | libc::IFA_F_DADFAILED) {
        // An optimistic address is used meanwhile.
        0 => Detection::Done,
        _ if flags & libc::IFA_F_OPTIMISTIC != 0 => Detection::Done,
        waits if waits & libc::IFA_F_DADFAILED != 0 => Detection::Failed,
        _ => Detection::Running,
    }
}

/// `struct netconfmsg` with its attributes; an index of -1 (all) or -2 (default) names no interface.
fn ipv6_forwarding(body: &[u8]) -> Option<Content> {
    const INFO_BYTES: usize = 4;
    const NETCONFA_IFINDEX: u16 = 1;
    const NETCONFA_FORWARDING: u16 = 2;
    if i32::from(*body.first()?) != libc::AF_INET6 {
        return None;
    }
    let (mut index, mut forwarding) = (None, None);
    for (kind, value) in attributes(body.get(INFO_BYTES..)?) {
        match kind {
            NETCONFA_IFINDEX => {
                index = u32::try_from(i32_at(value, 0)?).ok().and_then(InterfaceIndex::new);
            }
            NETCONFA_FORWARDING => forwarding = Some(i32_at(value, 0)? != 0),
            _ => {}
        }
    }
    Some(Content::Ipv6Forwarding(index?, forwarding?))
}

pub(super) fn ip(family: i32, value: &[u8]) -> Option<IpAddr> {
    match family {
        libc::AF_INET => Some(IpAddr::from(<[u8; 4]>::try_from(value).ok()?)),
        libc::AF_INET6 => Some(IpAddr::from(<[u8; 16]>::try_from(value).ok()?)),
        _ => None,
    }
}

pub(super) fn text(value: &[u8]) -> &str {
    let end = value.iter().position(|&byte| byte == 0).unwrap_or(value.len());
    core::str::from_utf8(&value[..end]).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::sys::netlink) fn read_kind(kind: u16, body: &[u8]) -> Option<Content> {
        read(Header { kind, flags: 0, sequence: 0 }, body)
    }

    pub(in crate::sys::netlink) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    pub(in crate::sys::netlink) fn link_body(family: u8, index: u32, flags: u32, name: &str) -> Vec<u8> {
        let mut body = vec![family, 0];
        body.extend(1u16.to_ne_bytes());
        body.extend(index.to_ne_bytes());
        body.extend(flags.to_ne_bytes());
        body.extend([0; 4]);
        body.extend(attribute(3, format!("{name}\0").as_bytes()));
        body.extend(attribute(4, &1500u32.to_ne_bytes()));
        // One that nobody knows, and IFLA_STATS in a length that nobody knows.
        body.extend(attribute(900, &[1, 2, 3]));
        body.extend(attribute(7, &[0; 5]));
        body.extend(attribute(1, &[2, 0, 0, 0, 0, 9]));
        body
    }

    pub(in crate::sys::netlink) fn address_body(
        index: u32,
        address: [u8; 4],
        protocol: Option<u8>,
    ) -> Vec<u8> {
        let mut body = vec![2, 24, 0x80, 0];
        body.extend(index.to_ne_bytes());
        body.extend(attribute(1, &[10, 0, 0, 1]));
        body.extend(attribute(2, &address));
        body.extend(attribute(8, &0x81u32.to_ne_bytes()));
        body.extend(protocol.map(|protocol| attribute(11, &[protocol])).unwrap_or_default());
        body
    }

    #[test]
    fn a_link_is_read_whatever_else_is_said() {
        let content = read_kind(libc::RTM_NEWLINK, &link_body(0, 7, 0x41, "eth0")).unwrap();
        assert_eq!(
            content,
            Content::Link(LinkContent {
                index: InterfaceIndex::new(7).unwrap(),
                name: "eth0".parse().unwrap(),
                mac: Some(MacAddress([2, 0, 0, 0, 0, 9])),
                mtu: 1500,
                admin_up: true,
                running: true,
                loopback: false,
                parent: None,
                is_macvlan: false,
                is_upper: false,
                stacked: None,
                vrf_table: None,
            })
        );
    }

    #[test]
    fn a_bridge_port_that_leaves_is_not_deleted() {
        assert_eq!(read_kind(libc::RTM_DELLINK, &link_body(7, 7, 0, "eth0")), None);
        assert!(matches!(
            read_kind(libc::RTM_DELLINK, &link_body(0, 7, 0, "eth0")),
            Some(Content::LinkGone(_))
        ));
    }

    #[test]
    fn an_address_is_its_local_end() {
        let content = read_kind(libc::RTM_NEWADDR, &address_body(7, [192, 0, 2, 7], Some(18)));
        let Some(Content::Address(content)) = content else { panic!("{content:?}") };
        assert_eq!(content.prefix.to_string(), "192.0.2.7/24");
        assert_eq!((content.protocol, content.secondary, content.detection), (18, true, Detection::Done));
    }

    #[test]
    fn forwarding_of_one_interface_is_read() {
        let body = |index: i32| {
            let mut body = vec![10, 0, 0, 0];
            body.extend(attribute(1, &index.to_ne_bytes()));
            body.extend(attribute(2, &1i32.to_ne_bytes()));
            body
        };
        assert_eq!(
            read_kind(80, &body(7)),
            Some(Content::Ipv6Forwarding(InterfaceIndex::new(7).unwrap(), true))
        );
        assert_eq!(read_kind(80, &body(-1)), None);
    }

    #[test]
    fn cut_messages_are_nothing_and_never_panic() {
        for (kind, body) in [
            (libc::RTM_NEWLINK, link_body(0, 7, 0x41, "eth0")),
            (libc::RTM_NEWADDR, address_body(7, [192, 0, 2, 7], Some(18))),
        ] {
            for length in 0..body.len() {
                let _ = read_kind(kind, &body[..length]);
            }
            assert_eq!(read_kind(kind, &body[..6]), None);
        }
    }
}
