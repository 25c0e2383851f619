//! What a virtual router is told: a `vrrp_instance` as plain values.
//!
//! The engine owns these types, and `config` makes them from the text of a file. So tests, benchmarks and the
//! simulator build routers without any text, and a reload compares values: what is equal is not touched. Each field
//! names the keyword that it comes from; what a type cannot rule out, its documentation does (ranges, lengths).

use core::net::{IpAddr, Ipv4Addr};
use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{HmacConfig, VirtualRoute, VirtualRule};
use crate::kernel::AddressSpec;
use crate::net::{Family, InterfaceName, MacAddress};
use crate::time::Duration;
use crate::wire::vrrp::{
    AdvertisementInterval, AuthenticationData, ChecksumMode, HopLimits, Priority, Version, Vrid,
};

/// Everything a virtual router is told (`vrrp_instance`).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RouterConfig {
    /// Name in logs and scripts.
    pub name: Arc<str>,
    /// `virtual_router_id`.
    pub vrid: Vrid,
    /// Family of the advertised addresses.
    pub family: Family,
    /// `version`.
    pub version: Version,
    /// Where it sends, listens and keeps its addresses.
    pub interfaces: RouterInterfaces,
    /// Whether the router faults when its own interface goes down (not `dont_track_primary`).
    pub track_primary: bool,
    /// `mcast_src_ip`, `unicast_src_ip`: source of advertisements instead of the interface's own address. Always there
    /// where the router has no interface to take one from.
    pub source: Option<IpAddr>,
    /// `track_src_ip`: the router faults while this host does not have [`RouterConfig::source`]. Unicast always does,
    /// since nothing is heard without.
    pub track_source: bool,
    /// Where advertisements go.
    pub destinations: Destinations,
    /// TTL or hop limit of its advertisements: 255 for multicast (RFC 9568 §5.1.1.3, §5.1.2.3), or `unicast_ttl`.
    pub hop_limit: u8,
    /// `check_unicast_src`: only peers are heard. Unicast only.
    pub check_source: bool,
    /// `priority`: 1 to 255.
    pub priority: Priority,
    /// `state`.
    pub initial: InitialState,
    /// `promote_secondaries`: the first address of a subnet does not take the others along, on the interface of the
    /// addresses (`net.ipv4.conf.IF.promote_secondaries`).
    pub promote_secondaries: bool,
    /// `advert_int`.
    pub interval: AdvertisementInterval,
    /// `down_timer_adverts`: 1 to 100, normally 3.
    pub down_timer_adverts: u8,
    /// Not `nopreempt`.
    pub preempt: bool,
    /// `preempt_delay`.
    pub preempt_delay: Duration,
    /// `timer_expired_backup`: a master that stood still for so long that a router of this priority may have taken over
    /// gives up. Not with `preempt`.
    pub timer_expired_backup: Option<Priority>,
    /// `virtual_ipaddress`: advertised, all of `family`, at most 255.
    pub addresses: Vec<VirtualAddress>,
    /// `virtual_ipaddress_excluded`: moved but not advertised, any family.
    pub excluded: Vec<VirtualAddress>,
    /// `virtual_routes`.
    pub routes: Vec<VirtualRoute>,
    /// `virtual_rules`.
    pub rules: Vec<VirtualRule>,
    /// `v3_checksum_as_v2`.
    pub checksum: ChecksumMode,
    /// `old_unicast_checksum`: version 3 over IPv4 by unicast.
    pub old_checksum: OldChecksum,
    /// Version 2 authentication.
    pub authentication: AuthenticationData,
    /// `auth_hmac`.
    pub hmac: Option<Box<HmacConfig>>,
    /// How addresses are announced to the LAN.
    pub announce: AnnounceSettings,
    /// Not `no_accept`: packets to the addresses are taken also by who does not own them (Accept_Mode).
    pub accept: bool,
    /// `lower_prio_no_advert`: do not answer an advertisement of lower priority.
    pub lower_prio_no_advert: bool,
    /// `higher_prio_send_advert`: one last advertisement before yielding to a better master. On by default,
    /// unlike keepalived: where two masters meet and the better one is heard first, the last advertisement of
    /// the other is all that makes it announce its addresses again to the hosts that believed the other.
    pub higher_prio_send_advert: bool,
    /// `skip_check_adv_addr`: do not compare the address list of a sender that was compared before.
    pub skip_check_adv_addr: bool,
    /// `owner_ignore_adverts`: an owner (255) yields to nobody.
    pub owner_ignore_adverts: bool,
    /// `strict_mode`, `vrrp_strict`. What follows from it is in the other fields: this is told to operators only.
    pub strict: bool,
}

/// The interfaces of a virtual router. All the same without virtual MAC.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RouterInterfaces {
    /// The interface below that of the addresses, if this is one of our own (`use_vmac`, `use_ipvlan`). Below a virtual MAC
    /// its address is the source of advertisements.
    pub base: Option<InterfaceName>,
    /// Sends advertisements; `None` = whichever the routing table says (unicast without `interface`).
    pub transmit: Option<InterfaceName>,
    /// Receives advertisements; `None` = any.
    pub receive: Option<InterfaceName>,
    /// `vrf`, of a router without `interface`: the device whose routing table it sends by, and whose members it hears.
    pub vrf: Option<InterfaceName>,
    /// Holds the virtual addresses that name no interface of their own, and announces them.
    pub addresses: InterfaceName,
    /// The virtual MAC (`use_vmac`), which `addresses` has.
    pub virtual_mac: Option<MacAddress>,
}

impl RouterInterfaces {
    /// One interface for everything.
    pub fn single(name: InterfaceName) -> Self {
        Self {
            base: None,
            transmit: Some(name.clone()),
            receive: Some(name.clone()),
            vrf: None,
            addresses: name,
            virtual_mac: None,
        }
    }

    /// With an interface of our own, `upper`, on top of `base`. A frame from the virtual MAC, as other routers of the
    /// group send them, Linux hands to the macvlan of that MAC alone: so that is where the router listens, unless it
    /// shall send and listen at the base (`vmac_xmit_base`).
    pub fn on_top(
        base: InterfaceName,
        upper: InterfaceName,
        virtual_mac: Option<MacAddress>,
        transmit_by_base: bool,
    ) -> Self {
        let channel = || Some(if transmit_by_base { base.clone() } else { upper.clone() });
        let (transmit, receive) = (channel(), channel());
        Self { base: Some(base), transmit, receive, vrf: None, addresses: upper, virtual_mac }
    }

    /// Unicast without `interface`: the routing table decides which way advertisements go, and the source address which
    /// ones are heard.
    pub const fn routed(addresses: InterfaceName, vrf: Option<InterfaceName>) -> Self {
        Self { base: None, transmit: None, receive: None, vrf, addresses, virtual_mac: None }
    }

    /// The interface whose address advertisements come from, if one is given.
    pub fn source_by(&self) -> Option<&InterfaceName> {
        // An ipvlan has addresses of its own.
        self.base.as_ref().filter(|_| self.virtual_mac.is_some()).or(self.transmit.as_ref())
    }

    /// The device that advertisements are sent through, if any is given.
    pub fn sends_by(&self) -> Option<&InterfaceName> {
        self.transmit.as_ref().or(self.vrf.as_ref())
    }

    /// The device that the receive socket is bound to, if any is given.
    pub fn hears_by(&self) -> Option<&InterfaceName> {
        self.receive.as_ref().or(self.vrf.as_ref())
    }

    /// The base, those in [`RouterInterfaces::sends_by`] and [`RouterInterfaces::hears_by`] and that of the addresses; one
    /// may come more than once.
    pub(super) fn names(&self) -> impl Iterator<Item = &InterfaceName> {
        let channel = self.sends_by().into_iter().chain(self.hears_by());
        self.base.iter().chain(channel).chain([&self.addresses])
    }
}

/// Where advertisements go.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Destinations {
    /// A group: 224.0.0.18, ff02::12, or `vrrp_mcast_group4/6`, `mcast_dst_ip`.
    Multicast(IpAddr),
    /// Each of these (`unicast_peer`). With none of them the router is in fault (`unicast_fault_no_peer`).
    Unicast(Vec<UnicastPeer>),
}

impl Destinations {
    /// Whether advertisements go to the addresses of peers.
    pub const fn is_unicast(&self) -> bool {
        matches!(self, Self::Unicast(_))
    }

    /// The peer of that address.
    pub fn peer(&self, address: IpAddr) -> Option<&UnicastPeer> {
        match self {
            Self::Multicast(_) => None,
            Self::Unicast(peers) => peers.iter().find(|peer| peer.address == address),
        }
    }

    /// All addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let (group, peers) = match self {
            Self::Multicast(group) => (Some(*group), &[][..]),
            Self::Unicast(peers) => (None, peers.as_slice()),
        };
        group.into_iter().chain(peers.iter().map(|peer| peer.address))
    }
}

/// A line of `unicast_peer`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct UnicastPeer {
    /// Where it listens, and sends from.
    pub address: IpAddr,
    /// `min_ttl`, `max_ttl`: TTL or hop limit of what is accepted from it.
    pub hop_limits: HopLimits,
}

impl From<IpAddr> for UnicastPeer {
    /// A peer any number of routers away.
    fn from(address: IpAddr) -> Self {
        Self { address, hop_limits: HopLimits::ANY }
    }
}

/// `old_unicast_checksum`: whether version 3 over IPv4 by unicast is summed with a multicast group for its destination,
/// as keepalived did until 1.3.6.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum OldChecksum {
    /// `never`.
    #[default]
    Never,
    /// To peers whose advertisements are summed with this group. keepalived's default.
    Detect(Ipv4Addr),
    /// To all, with this group.
    Always(Ipv4Addr),
}

impl OldChecksum {
    /// The group that advertisements heard may be summed with.
    pub const fn group(self) -> Option<Ipv4Addr> {
        match self {
            Self::Never => None,
            Self::Detect(group) | Self::Always(group) => Some(group),
        }
    }
}

/// `state`: what the router wishes to be at start.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum InitialState {
    /// Waits a whole master-down time.
    #[default]
    Backup,
    /// Waits one interval and the shortest skew.
    Master,
}

/// An address that goes with mastership.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct VirtualAddress {
    /// Address and attributes.
    pub spec: AddressSpec,
    /// `dev`; `None` = [`RouterInterfaces::addresses`].
    pub interface: Option<InterfaceName>,
    /// Not `no_track`.
    pub track: bool,
}

/// How and when addresses are announced (gratuitous ARP, unsolicited neighbour advertisement).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AnnounceSettings {
    /// `garp_master_repeat`: rounds in each block, at least 1.
    pub repeat: u32,
    /// `garp_master_delay`: second block this long after the first; zero = none.
    pub delay: Duration,
    /// `garp_master_refresh`: period of repetition while master; zero = none.
    pub refresh: Duration,
    /// `garp_master_refresh_repeat`: rounds at each refresh, at least 1.
    pub refresh_repeat: u32,
    /// `garp_lower_prio_delay`: second block after a beaten rival was heard; zero = none.
    pub lower_prio_delay: Duration,
    /// `garp_lower_prio_repeat`: rounds after a beaten rival was heard; 0 = none.
    pub lower_prio_repeat: u32,
    /// `garp_interval`: pause between gratuitous ARPs on one interface.
    pub arp_interval: Duration,
    /// `gna_interval`: pause between neighbour advertisements on one interface.
    pub ndisc_interval: Duration,
    /// `garp_extra_if`: while master, addresses on other interfaces are announced again and again.
    pub extra: Option<ExtraAnnouncements>,
}

/// `garp_extra_if`, `vrrp_garp_extra_if`: switches forget an address that is on an interface on which its router sends
/// no advertisements.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ExtraAnnouncements {
    /// Once in this time, 1 s to a day.
    pub period: Duration,
    /// `all`: on every interface but the router's own. Otherwise on virtual MACs of single addresses alone.
    pub all: bool,
}

impl Default for AnnounceSettings {
    fn default() -> Self {
        Self {
            repeat: 5,
            delay: Duration::from_secs(5),
            refresh: Duration::ZERO,
            refresh_repeat: 1,
            lower_prio_delay: Duration::from_secs(5),
            lower_prio_repeat: 5,
            arp_interval: Duration::ZERO,
            ndisc_interval: Duration::ZERO,
            extra: None,
        }
    }
}

/// What makes two configurations of a reload the same virtual router, as in keepalived: not its name.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct RouterIdentity {
    /// Interface that receives advertisements, or the VRF.
    pub receive: Option<InterfaceName>,
    /// Interface that sends them, or the VRF.
    pub transmit: Option<InterfaceName>,
    /// Family.
    pub family: Family,
    /// Virtual router identifier.
    pub vrid: Vrid,
    /// Multicast group, or for unicast the configured source.
    pub channel: Option<IpAddr>,
    /// Virtual MAC.
    pub virtual_mac: Option<MacAddress>,
}

impl RouterConfig {
    /// keepalived's defaults on one interface: version 2 for IPv4 and 3 for IPv6, priority 100, an
    /// advertisement each second, no addresses yet.
    pub fn new(name: &str, vrid: Vrid, family: Family, interface: InterfaceName) -> Self {
        Self {
            name: name.into(),
            vrid,
            family,
            version: match family {
                Family::Ipv4 => Version::V2,
                Family::Ipv6 => Version::V3,
            },
            interfaces: RouterInterfaces::single(interface),
            track_primary: true,
            source: None,
            track_source: false,
            destinations: Destinations::Multicast(default_group(family)),
            hop_limit: 255,
            check_source: false,
            priority: Priority::DEFAULT,
            initial: InitialState::Backup,
            promote_secondaries: false,
            interval: AdvertisementInterval::ONE_SECOND,
            down_timer_adverts: 3,
            preempt: true,
            preempt_delay: Duration::ZERO,
            timer_expired_backup: None,
            addresses: Vec::new(),
            excluded: Vec::new(),
            routes: Vec::new(),
            rules: Vec::new(),
            checksum: ChecksumMode::PseudoHeader,
            old_checksum: OldChecksum::Never,
            authentication: AuthenticationData::None,
            hmac: None,
            announce: AnnounceSettings::default(),
            accept: true,
            lower_prio_no_advert: false,
            higher_prio_send_advert: true,
            skip_check_adv_addr: false,
            owner_ignore_adverts: false,
            strict: false,
        }
    }

    /// Every interface that the router has to do with; one may come more than once.
    pub fn interface_names(&self) -> impl Iterator<Item = &InterfaceName> {
        let others = self.addresses.iter().chain(&self.excluded);
        let routing = self.routes.iter().flat_map(|line| line.route.interfaces());
        let rules = self.rules.iter().flat_map(|line| line.rule.interfaces());
        let others = others.filter_map(|address| address.interface.as_ref());
        self.interfaces.names().chain(others).chain(routing).chain(rules)
    }

    /// Interfaces without which its routes and rules are of no use, but for those that are not tracked (`no_track`).
    pub(crate) fn tracked_by_routing(&self) -> impl Iterator<Item = &InterfaceName> {
        let routes = self.routes.iter().filter(|line| line.track).flat_map(|line| line.route.interfaces());
        let rules = self.rules.iter().filter(|line| line.track).flat_map(|line| line.rule.interfaces());
        routes.chain(rules)
    }

    /// A copy that shares no memory with this one; interface names are shared with other copies through `names`.
    pub fn detached(&self, names: &mut BTreeSet<InterfaceName>) -> Self {
        let mut copy = self.clone();
        copy.name = Arc::from(&*self.name);
        let RouterInterfaces { base, transmit, receive, vrf, addresses, virtual_mac: _ } =
            &mut copy.interfaces;
        let others = copy.addresses.iter_mut().chain(&mut copy.excluded);
        let others = others.filter_map(|address| address.interface.as_mut());
        for name in [base, transmit, receive, vrf].into_iter().flatten().chain([addresses]).chain(others) {
            if !names.contains(name) {
                names.insert(name.detached());
            }
            if let Some(known) = names.get(name) {
                *name = known.clone();
            }
        }
        copy
    }

    /// Whether the router can take part only while this host has the configured source.
    pub const fn tracks_source(&self) -> bool {
        self.track_source || self.destinations.is_unicast()
    }

    /// Whether the address is one that goes with mastership.
    pub fn has_virtual(&self, address: &IpAddr) -> bool {
        let mut all = self.addresses.iter().chain(&self.excluded);
        all.any(|virtual_address| virtual_address.spec.prefix.address() == *address)
    }

    /// TTL or hop limit that advertisements from `source` may have: 255 for multicast, what is said of the peer for
    /// unicast, any from who is no peer.
    pub fn accepted_hop_limits(&self, source: IpAddr) -> HopLimits {
        match &self.destinations {
            Destinations::Multicast(_) => HopLimits::LINK,
            Destinations::Unicast(_) => {
                self.destinations.peer(source).map_or(HopLimits::ANY, |peer| peer.hop_limits)
            }
        }
    }

    /// What stays the same over a reload for this to be the same router.
    pub fn identity(&self) -> RouterIdentity {
        RouterIdentity {
            receive: self.interfaces.hears_by().cloned(),
            transmit: self.interfaces.sends_by().cloned(),
            family: self.family,
            vrid: self.vrid,
            channel: match &self.destinations {
                Destinations::Multicast(group) => Some(*group),
                Destinations::Unicast(_) => self.source,
            },
            virtual_mac: self.interfaces.virtual_mac,
        }
    }
}

/// 224.0.0.18 (RFC 9568 §5.1.1.2) or ff02::12 (§5.1.2.2).
pub const fn default_group(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18)),
        Family::Ipv6 => IpAddr::V6(core::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12)),
    }
}
