//! A LAN and its routers' configurations from a seed.
//!
//! Swarm style (Groce et al. 2012): each seed enables its own random subset of features and of fault kinds,
//! so that rare combinations are not drowned by everything happening at once.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cluster::ClusterSpec;
use super::groups::{self, Grouping};
use super::invariants::Pace;
use super::machine::{MachineId, MachineSpec, interface_name, own_addresses, virtual_name};
use super::network::SegmentId;
use super::protection::Protection;
use super::routing;
use super::trackers;
use crate::kernel::{AddressSpec, VirtualLink, VirtualLinkKind};
use crate::net::{Family, MacAddress, Prefix};
use crate::node::{NodeConfig, StaticAddress};
use crate::prng::Prng;
use crate::secret::Secret;
use crate::time::Duration;
use crate::vrrp::{
    AnnounceSettings, Destinations, InitialState, RouterConfig, RouterInterfaces, UnicastPeer, VirtualAddress,
};
use crate::wire::vrrp::{AdvertisementInterval, AuthenticationData, HopLimits, Priority, Version, Vrid};

/// How many routers a random LAN has.
pub const ROUTERS: core::ops::RangeInclusive<usize> = 2..=5;

/// What the routers of one virtual router have in common.
#[derive(Clone, Debug)]
struct Plan {
    name: String,
    vrid: Vrid,
    family: Family,
    version: Version,
    segment: SegmentId,
    intervals: Vec<AdvertisementInterval>,
    priorities: Vec<u8>,
    owner: Option<MachineId>,
    addresses: Vec<VirtualAddress>,
    excluded: Vec<VirtualAddress>,
    announce: AnnounceSettings,
    nopreempt: bool,
    preempt_delay: bool,
    oddities: bool,
    protection: Protection,
    unicast: Option<Unicast>,
    virtual_mac: Option<VirtualMac>,
    /// How many machines there are.
    machines: usize,
}

/// The virtual MAC of a plan's routers.
#[derive(Clone, Copy, Debug)]
struct VirtualMac {
    /// They advertise by the interface below.
    by_base: bool,
    /// A machine that has none.
    without: Option<MachineId>,
}

/// How the routers of a plan speak to each other's addresses.
#[derive(Clone, Copy, Debug)]
struct Unicast {
    /// The source is configured; otherwise it is left to the interface.
    explicit: bool,
    /// IPv6: by global addresses and not by those of the link.
    global: bool,
    /// Without an interface of their own.
    routed: bool,
    /// Each is on its own list, too.
    everybody: bool,
    hop_limit: u8,
    /// No other TTL is accepted.
    limited: bool,
    check_source: bool,
}

/// The second number of IPv4 addresses: that of the machines' own addresses, and one of a subnet in which no machine
/// has one, so that the first virtual address there is what the others depend on.
const NEAR: u8 = 0;
const APART: u8 = 9;

/// A random LAN.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The LAN.
    pub cluster: ClusterSpec,
    plans: Vec<Plan>,
    grouping: Grouping,
}

impl Scenario {
    /// The LAN of a seed, with a given or a random number of routers.
    pub fn new(seed: u64, routers: Option<usize>) -> Self {
        let mut prng = Prng::new(seed ^ 0x5ce_a210);
        let prng = &mut prng;
        let drawn = prng.between(*ROUTERS.start() as u64, *ROUTERS.end() as u64) as usize;
        let routers = routers.unwrap_or(drawn);
        let segments = if prng.chance(1, 3) { 2 } else { 1 };
        let subnet = if prng.chance(1, 3) { APART } else { NEAR };
        let mut plans: Vec<Plan> = (0..prng.between(1, 3))
            .map(|index| Plan::draw(prng, index as u8, segments, routers, subnet))
            .collect();
        // An owner's interface may have a virtual address for its first one.
        let owners = plans.iter().any(|plan| plan.owner.is_some());
        let spoken = &mut Prng::new(seed ^ 0x0011_ca57);
        for plan in &mut plans {
            plan.unicast = spoken.chance(1, 4).then(|| Unicast::draw(spoken, owners));
        }
        let secret = &mut Prng::new(seed ^ 0x5ec2_e700);
        plans.iter_mut().for_each(|plan| plan.protect(secret));
        let upper = &mut Prng::new(seed ^ 0x005e_0001);
        for plan in &mut plans {
            let without = || MachineId(upper.clone().below(routers as u64) as usize);
            let without = Some(without()).filter(|_| upper.chance(1, 3));
            let drawn = VirtualMac { by_base: plan.unicast.is_some() || upper.chance(1, 4), without };
            // An owner has its addresses on the interface itself.
            plan.virtual_mac = (upper.chance(1, 3) && plan.owner.is_none()).then_some(drawn);
        }
        let grouped = &mut Prng::new(seed ^ 0x6e0b_9500);
        let further = groups::further(grouped);
        let first_grouped = if further.is_some() { plans.len() } else { 0 };
        let startup_delay = if prng.chance(1, 6) { millis(prng, 100, 2_000) } else { Duration::ZERO };
        let mut machines: Vec<MachineSpec> = (0..routers)
            .map(|index| {
                let id = MachineId(index);
                let routers: Vec<RouterConfig> =
                    plans.iter().filter_map(|plan| plan.member(prng, id)).collect();
                let owned = plans.iter().filter(|plan| plan.owner == Some(id) && prng.chance(1, 2));
                let foreign = owned.flat_map(Plan::placed).collect();
                let promote_secondaries = prng.chance(1, 2);
                let links = virtual_links(&routers);
                let config = NodeConfig { routers, links, startup_delay, ..NodeConfig::default() };
                MachineSpec { config, promote_secondaries, foreign }
            })
            .collect();
        let hosts = (0..prng.between(1, 3))
            .map(|_| (SegmentId(prng.below(segments.into()) as u32), prng.chance(1, 2)))
            .collect();
        let statics = &mut Prng::new(seed ^ 0x57a7_1c00);
        for (index, machine) in machines.iter_mut().enumerate() {
            if statics.chance(1, 4) {
                let lan = SegmentId(statics.below(segments.into()) as u32);
                machine.config.statics.addresses = static_addresses(statics, MachineId(index), lan, subnet);
            }
        }
        let tracked = &mut Prng::new(seed ^ 0x7ac4_e200);
        let interfaces: Vec<_> = (0..segments).map(|number| interface_name(SegmentId(number))).collect();
        let first_small = plans.len();
        plans.extend(
            (0..further.unwrap_or_default()).map(|index| Plan::small(grouped, index, segments, routers)),
        );
        plans[first_small..].iter_mut().for_each(|plan| plan.protect(secret));
        let names = plans[first_grouped..].iter().map(|plan| plan.name.as_str().into()).collect();
        let grouping = Grouping::draw(grouped, names);
        for (index, machine) in machines.iter_mut().enumerate() {
            let small = plans.iter().skip(first_grouped).filter(|_| further.is_some());
            if grouped.chance(7, 8) {
                let whole = |plan: &Plan| plan.surely(grouped, MachineId(index));
                machine.config.routers.extend(small.map(whole));
            }
            grouping.tie(&mut machine.config, true);
            machine.config.links = virtual_links(&machine.config.routers);
        }
        for machine in &mut machines {
            if tracked.chance(1, 3) {
                machine.config.tracking = trackers::draw(tracked, &machine.config, &interfaces).into();
                grouping.track(tracked, &mut machine.config);
            }
        }
        // Too short to be cut, so that the observer need not know what the routers have heard.
        let shortest =
            plans.iter().flat_map(|plan| &plan.intervals).map(|interval| interval.duration()).min();
        let delayed = &mut Prng::new(seed ^ 0x0de1_a700);
        for machine in &mut machines {
            if delayed.chance(1, 4) {
                let longest = shortest.unwrap_or_default();
                let delays = trackers::draw_delays(delayed, &interfaces, longest);
                machine.config.tracking.interface_delays = delays;
            }
        }
        let routed = &mut Prng::new(seed ^ 0x0040_07e5);
        for machine in &mut machines {
            for router in &mut machine.config.routers {
                if routed.chance(1, 4) {
                    routing::draw(routed, router);
                }
            }
            if routed.chance(1, 8)
                && let Some(interface) = pick(routed, &interfaces).cloned()
            {
                routing::draw_statics(routed, &interface, &mut machine.config);
            }
        }
        let pace = if prng.chance(1, 3) { Pace::SLUGGISH } else { Pace::PROMPT };
        let clocks_agree = plans.iter().any(|plan| plan.protection.follows_clocks());
        let cluster = ClusterSpec { seed: prng.next_u64(), segments, machines, hosts, pace, clocks_agree };
        Self { cluster, plans, grouping }
    }

    /// A changed configuration of a machine: priorities, intervals, addresses, routers added and removed.
    pub fn mutate(&self, prng: &mut Prng, machine: MachineId, config: &NodeConfig) -> NodeConfig {
        let mut config = self.mutated(prng, machine, config.clone());
        self.grouping.retie(prng, &mut config);
        config.links = virtual_links(&config.routers);
        config
    }

    /// A machine's configuration with all routers of its sync group, or with none of them; `None` where there is no
    /// sync group.
    pub fn mended(&self, prng: &mut Prng, machine: MachineId, config: &NodeConfig) -> Option<NodeConfig> {
        let members = self.grouping.members()?;
        let mut config = config.clone();
        let is_member = |name: &str| members.iter().any(|member| **member == *name);
        if config.routers.iter().any(|router| is_member(&router.name)) {
            let missing = self.plans.iter().filter(|plan| {
                is_member(&plan.name) && !config.routers.iter().any(|router| *router.name == *plan.name)
            });
            let missing: Vec<RouterConfig> = missing.map(|plan| plan.surely(prng, machine)).collect();
            config.routers.extend(missing);
        }
        self.grouping.tie(&mut config, false);
        config.links = virtual_links(&config.routers);
        Some(config)
    }

    fn mutated(&self, prng: &mut Prng, machine: MachineId, mut config: NodeConfig) -> NodeConfig {
        if prng.clone().chance(1, 8) {
            // The last one goes; the only one is replaced.
            let addresses = &mut config.statics.addresses;
            if let Some(last) = addresses.pop()
                && addresses.is_empty()
            {
                let spec = AddressSpec::new(Prefix::host([10, NEAR, 0, 18].into()));
                addresses.push(StaticAddress { spec, ..last });
            }
        }
        if prng.clone().chance(1, 6)
            && let Some(router) = config.routers.first_mut()
        {
            // Other ones, or none.
            routing::draw(&mut prng.clone(), router);
        }
        let Some(plan) = pick(prng, &self.plans) else { return config };
        let Some(at) = config.routers.iter().position(|router| *router.name == *plan.name) else {
            config.routers.extend(plan.member(prng, machine));
            return config;
        };
        let router = &mut config.routers[at];
        match prng.below(6) {
            0 => {
                config.routers.remove(at);
            }
            1 if !router.priority.is_owner() => router.priority = Priority(prng.between(1, 254) as u8),
            2 => {
                if let Some(interval) = pick(prng, &plan.intervals) {
                    router.interval = *interval;
                }
            }
            3 if router.addresses.len() > 1 => {
                router.addresses.pop();
            }
            4 => router.addresses = plan.addresses.clone(),
            _ if router.initial == InitialState::Backup => router.preempt = !router.preempt,
            _ => router.announce.repeat = prng.between(1, 5) as u32,
        }
        config
    }
}

impl Plan {
    fn draw(prng: &mut Prng, index: u8, segments: u32, routers: usize, subnet: u8) -> Self {
        let family = if prng.chance(1, 3) { Family::Ipv6 } else { Family::Ipv4 };
        let version = match family {
            Family::Ipv4 if prng.chance(1, 3) => Version::V2,
            _ => Version::V3,
        };
        let segment = SegmentId(prng.below(segments.into()) as u32);
        let base = match version {
            Version::V2 => 100,
            Version::V3 => [5, 10, 10, 20, 50, 100][prng.below(6) as usize],
        };
        let differing = version == Version::V3 && prng.chance(1, 4);
        let multiples: &[u16] = if differing { &[1, 2, 3] } else { &[1] };
        let intervals = multiples.iter().map(|n| centiseconds(base * n)).collect();
        let owner = prng.chance(1, 6).then(|| MachineId(prng.below(routers as u64) as usize));
        let priorities = match prng.below(4) {
            0 => vec![100],
            1 => vec![50, 100, 100, 150],
            2 => vec![1, 254],
            _ => (0..routers).map(|_| prng.between(1, 254) as u8).collect(),
        };
        let count = if prng.chance(1, 20) { 40 } else { prng.between(1, 5) };
        let mut addresses: Vec<VirtualAddress> = (0..count)
            .map(|number| virtual_address(prng, family, (segment, subnet), index, number as u16, None))
            .collect();
        if family == Family::Ipv6 && prng.chance(1, 2) {
            // The RFC wants a link-local address first, and it must not be taken for a source.
            let local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xaaaa, index.into());
            if let Some(prefix) = Prefix::new(IpAddr::V6(local), 64) {
                addresses.insert(0, placed(prefix, None));
            }
        }
        let excluded = (0..if prng.chance(1, 3) { prng.between(1, 3) } else { 0 })
            .map(|number| {
                let family = if prng.chance(1, 2) { Family::Ipv4 } else { Family::Ipv6 };
                let on = SegmentId(prng.below(segments.into()) as u32);
                let other = (on != segment).then_some(on);
                virtual_address(prng, family, (on, subnet), index, 100 + number as u16, other)
            })
            .collect();
        let pause = |prng: &mut Prng| if prng.chance(1, 6) { millis(prng, 1, 20) } else { Duration::ZERO };
        let announce = AnnounceSettings {
            repeat: prng.between(1, 5) as u32,
            delay: millis(prng, 1_000, 5_000),
            refresh: if prng.chance(1, 6) { Duration::from_secs(10) } else { Duration::ZERO },
            refresh_repeat: 1,
            lower_prio_delay: millis(prng, 1_000, 5_000),
            lower_prio_repeat: prng.between(1, 5) as u32,
            arp_interval: pause(prng),
            ndisc_interval: pause(prng),
            extra: None,
        };
        Self {
            name: format!("VI_{}", index + 1),
            // A vrid may serve both families and several segments; here each is used once or thrice.
            vrid: Vrid::new(if prng.chance(1, 2) { 51 + index } else { index + 1 }).unwrap_or(ONE),
            family,
            version,
            segment,
            intervals,
            priorities,
            owner,
            addresses,
            excluded,
            announce,
            nopreempt: prng.chance(1, 3),
            preempt_delay: prng.chance(1, 4),
            oddities: prng.chance(1, 3),
            protection: Protection::Password(if version == Version::V2 && prng.chance(1, 2) {
                AuthenticationData::SimplePassword(Secret::new([index; 8]))
            } else {
                AuthenticationData::None
            }),
            unicast: None,
            virtual_mac: None,
            machines: routers,
        }
    }

    /// One of many in a sync group: one address, of a subnet that nobody else is in.
    fn small(prng: &mut Prng, index: u8, segments: u32, routers: usize) -> Self {
        let mut plan = Self::draw(prng, index % 3, segments, routers, NEAR);
        let address = match plan.family {
            Family::Ipv4 => IpAddr::V4(Ipv4Addr::new(10, 100 + index, 0, 1)),
            Family::Ipv6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 1, index.into(), 1)),
        };
        plan.addresses = vec![placed(Prefix::host(address), None)];
        plan.excluded.clear();
        plan.name = format!("VG_{}", index + 1);
        plan.vrid = Vrid::new(100 + index).unwrap_or(ONE);
        plan
    }

    fn protect(&mut self, prng: &mut Prng) {
        if let Protection::Password(password) = self.protection {
            self.protection = Protection::draw(prng, self.family, self.version, password);
        }
    }

    /// The configuration of one machine that takes part.
    fn surely(&self, prng: &mut Prng, machine: MachineId) -> RouterConfig {
        loop {
            if let Some(config) = self.member(prng, machine) {
                return config;
            }
        }
    }

    /// The configuration of one machine; `None` where it takes no part.
    fn member(&self, prng: &mut Prng, machine: MachineId) -> Option<RouterConfig> {
        let interface = interface_name(self.segment);
        let mut config = RouterConfig::new(&self.name, self.vrid, self.family, interface);
        config.version = self.version;
        self.protection.apply(machine, &mut config);
        config.announce = self.announce;
        config.addresses = self.addresses.clone();
        config.excluded = self.excluded.clone();
        if let Some(VirtualMac { by_base, without }) = self.virtual_mac
            && without != Some(machine)
        {
            let upper = virtual_name(self.segment, self.vrid);
            let mac = standard_mac(self.family, self.vrid);
            let base = config.interfaces.addresses;
            config.interfaces = RouterInterfaces::on_top(base, upper, Some(mac), by_base);
        }
        if let Some(unicast) = &self.unicast {
            unicast.apply(self.segment, self.machines, machine, &mut config);
        }
        if let Some(interval) = pick(prng, &self.intervals) {
            config.interval = *interval;
        }
        if self.owner == Some(machine) {
            config.priority = Priority::OWNER;
            config.initial = InitialState::Master;
            return Some(config);
        }
        if let Some(priority) = pick(prng, &self.priorities) {
            config.priority = Priority(*priority);
        }
        if self.nopreempt && prng.chance(2, 3) {
            config.preempt = false;
        } else if self.preempt_delay && prng.chance(2, 3) {
            config.preempt_delay = millis(prng, 1, 8_000);
        } else if prng.chance(1, 4) {
            config.initial = InitialState::Master;
        }
        if self.oddities {
            config.down_timer_adverts = prng.between(2, 5) as u8;
            config.lower_prio_no_advert = prng.chance(1, 4);
            config.skip_check_adv_addr = prng.chance(1, 2);
        }
        prng.chance(5, 6).then_some(config)
    }

    /// The addresses with the segments they are on, as an owner has them by itself.
    fn placed(&self) -> Vec<(SegmentId, Prefix)> {
        self.addresses.iter().map(|address| (self.segment, address.spec.prefix)).collect()
    }
}

impl Unicast {
    fn draw(prng: &mut Prng, explicit: bool) -> Self {
        let (global, routed) = (prng.chance(1, 2), prng.chance(1, 3));
        Self {
            explicit: explicit || global || routed || prng.chance(1, 2),
            global: global || routed,
            routed,
            everybody: prng.chance(1, 3),
            hop_limit: if prng.chance(1, 2) { 255 } else { prng.between(1, 254) as u8 },
            limited: prng.chance(1, 3),
            check_source: prng.chance(1, 2),
        }
    }

    fn apply(&self, segment: SegmentId, machines: usize, own: MachineId, config: &mut RouterConfig) {
        let [v4, local, global] = [0, 1, 2];
        let which = match config.family {
            Family::Ipv4 => v4,
            Family::Ipv6 if self.global => global,
            Family::Ipv6 => local,
        };
        let address = |machine| own_addresses(machine, segment)[which].address();
        let all = (0..machines).map(MachineId).filter(|machine| self.everybody || *machine != own);
        let hop_limits = match self.limited {
            true => HopLimits { least: self.hop_limit, most: self.hop_limit },
            false => HopLimits::ANY,
        };
        let peers = all.map(|machine| UnicastPeer { address: address(machine), hop_limits });
        config.destinations = Destinations::Unicast(peers.collect());
        config.source = self.explicit.then(|| address(own));
        config.hop_limit = self.hop_limit;
        config.check_source = self.check_source;
        if self.routed {
            config.interfaces = RouterInterfaces::routed(config.interfaces.addresses.clone(), None);
        }
    }
}

/// The interfaces with virtual MACs that routers need.
fn virtual_links(routers: &[RouterConfig]) -> Vec<VirtualLink> {
    let link = |router: &RouterConfig| {
        Some(VirtualLink {
            name: router.interfaces.addresses.clone(),
            parent: router.interfaces.base.clone()?,
            kind: VirtualLinkKind::Macvlan(router.interfaces.virtual_mac?),
            group: None,
            ipv4: true,
            ipv6: true,
        })
    };
    routers.iter().filter_map(link).collect()
}

/// The MAC of a virtual router (RFC 9568 §7.3).
const fn standard_mac(family: Family, vrid: Vrid) -> MacAddress {
    let kind = match family {
        Family::Ipv4 => 1,
        Family::Ipv6 => 2,
    };
    MacAddress([0, 0, 0x5e, 0, kind, vrid.get()])
}

const ONE: Vrid = match Vrid::new(1) {
    Some(vrid) => vrid,
    None => unreachable!(),
};

/// A virtual address in the subnet of a segment, as one of it or as a host address.
fn virtual_address(
    prng: &mut Prng,
    family: Family,
    (segment, subnet): (SegmentId, u8),
    plan: u8,
    number: u16,
    on: Option<SegmentId>,
) -> VirtualAddress {
    let lan = segment.0 as u16;
    let (address, length) = match family {
        Family::Ipv4 => {
            let place = if number < 100 { number } else { number - 40 };
            let last = 20 + plan * 75 + place as u8;
            (IpAddr::V4(Ipv4Addr::new(10, subnet, lan as u8, last)), [24, 32])
        }
        Family::Ipv6 => {
            let address = Ipv6Addr::new(0x2001, 0xdb8, lan, 0, 0, 1, plan.into(), number + 1);
            (IpAddr::V6(address), [64, 128])
        }
    };
    let length = length[prng.below(2) as usize];
    placed(Prefix::new(address, length).unwrap_or_else(|| Prefix::host(address)), on)
}

fn placed(prefix: Prefix, on: Option<SegmentId>) -> VirtualAddress {
    VirtualAddress { spec: AddressSpec::new(prefix), interface: on.map(interface_name), track: true }
}

/// Addresses of its own, of both families, that a machine's daemon keeps on a segment.
fn static_addresses(
    prng: &mut Prng,
    machine: MachineId,
    segment: SegmentId,
    subnet: u8,
) -> Vec<StaticAddress> {
    let (host, lan) = (machine.0 as u8 + 10, segment.0 as u8);
    let v4 = IpAddr::V4(Ipv4Addr::new(10, subnet, lan, host));
    let v6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, lan.into(), 0, 0, 2, 0, host.into()));
    let all = [(v4, 24), (v6, 64)].into_iter().filter(|_| prng.chance(2, 3));
    let prefixes =
        all.map(|(address, length)| Prefix::new(address, length).unwrap_or_else(|| Prefix::host(address)));
    let interface = interface_name(segment);
    prefixes
        .map(|prefix| StaticAddress {
            spec: AddressSpec::new(prefix),
            interface: interface.clone(),
            track_group: None,
        })
        .collect()
}

fn centiseconds(number: u16) -> AdvertisementInterval {
    AdvertisementInterval::from_centiseconds(number).unwrap_or(AdvertisementInterval::ONE_SECOND)
}

fn millis(prng: &mut Prng, low: u64, high: u64) -> Duration {
    Duration::from_millis(prng.between(low, high))
}

/// One of a list; `None` of an empty one.
pub(super) fn pick<'a, T>(prng: &mut Prng, list: &'a [T]) -> Option<&'a T> {
    list.get(prng.below(list.len() as u64) as usize)
}
