//! Cost of the core at 1,000 virtual routers: `cargo bench --bench engine`.

use std::net::IpAddr;

use alived::kernel::{
    AddressOutcome, AddressReply, AddressSpec, Detection, Forwarding, HeldAddress, KernelEvent, KernelView,
    Link, ReceiveSocket, SocketEvent,
};
use alived::net::{Family, InterfaceIndex, InterfaceName, MacAddress, Prefix};
use alived::node::{Event, HaNode, NodeConfig};
use alived::time::{Duration, Instant, Now, WallTime};
use alived::vrrp::{Actions, Datagram, RouterConfig, VirtualAddress, default_group};
use alived::wire::vrrp::{
    Advertisement, AdvertisementInterval, AuthenticationData, ChecksumMode, Priority, Version, Vrid,
};
use divan::{Bencher, black_box, counter::ItemsCount};

const ROUTERS: usize = 1_000;

/// How the routers are spread.
#[derive(Clone, Copy)]
struct Lan {
    links: u16,
    routers_per_link: u8,
}

const FEW_LINKS: Lan = Lan { links: 4, routers_per_link: 250 };
const ONE_LINK_EACH: Lan = Lan { links: 1_000, routers_per_link: 1 };

fn main() {
    divan::main();
}

fn interval() -> AdvertisementInterval {
    AdvertisementInterval::from_centiseconds(10).unwrap_or_else(|| unreachable!("10 is within 1 to 4095"))
}

fn key(link: u16) -> InterfaceIndex {
    InterfaceIndex::new(u32::from(link) + 1).unwrap_or_else(|| unreachable!("not 0"))
}

fn name(link: u16) -> InterfaceName {
    format!("eth{link}").parse().unwrap_or_else(|_| unreachable!("a valid name"))
}

fn prefix(address: [u8; 4], length: u8) -> Prefix {
    Prefix::new(address.into(), length).unwrap_or_else(|| unreachable!("at most 32"))
}

impl Lan {
    fn links(self) -> impl Iterator<Item = u16> {
        0..self.links
    }

    fn routers(self) -> impl Iterator<Item = (u16, Vrid)> {
        let vrids = move || (1..=self.routers_per_link).filter_map(Vrid::new);
        self.links().flat_map(move |link| vrids().map(move |vrid| (link, vrid)))
    }

    fn config(self) -> NodeConfig {
        let router = |(link, vrid): (u16, Vrid)| {
            let mut config = RouterConfig::new(&format!("VI_{link}_{vrid}"), vrid, Family::Ipv4, name(link));
            config.version = Version::V3;
            config.interval = interval();
            let spec = AddressSpec::new(prefix(virtual_address(link, vrid), 32));
            config.addresses = vec![VirtualAddress { spec, interface: None, track: true }];
            config
        };
        NodeConfig { routers: self.routers().map(router).collect(), ..NodeConfig::default() }
    }

    fn view(self) -> KernelView {
        let address = |link| HeldAddress {
            link: key(link),
            prefix: prefix(host(link, 10), 24),
            ours: false,
            secondary: false,
            detection: Detection::Done,
        };
        KernelView {
            links: self.links().map(|index| link(index, 1500)).collect(),
            addresses: self.links().map(address).collect(),
        }
    }
}

fn virtual_address(link: u16, vrid: Vrid) -> [u8; 4] {
    let [high, low] = link.to_be_bytes();
    [11, high, low, vrid.get()]
}

fn host(link: u16, number: u8) -> [u8; 4] {
    let [high, low] = link.to_be_bytes();
    [10, high, low, number]
}

fn link(link: u16, mtu: u32) -> Link {
    let [high, low] = link.to_be_bytes();
    Link {
        key: key(link),
        name: name(link),
        mac: Some(MacAddress([2, 0, 0, 0, high, low])),
        mtu,
        admin_up: true,
        running: true,
        loopback: false,
        forwarding: Forwarding::default(),
        stacked: None,
    }
}

struct Bench {
    node: HaNode,
    now: Now,
    actions: Actions,
}

impl Bench {
    /// 1,000 backups that listen.
    fn backups(lan: Lan) -> Self {
        let mut bench = Self {
            node: HaNode::new(lan.config()),
            now: Now { instant: Instant::ZERO, wall: WallTime::default() },
            actions: Actions::default(),
        };
        bench.tell(Event::Kernel(KernelEvent::View(lan.view())));
        for link in lan.links() {
            let socket = ReceiveSocket::vrrp(key(link), default_group(Family::Ipv4));
            bench.tell(Event::Socket(SocketEvent::Opened(socket)));
        }
        bench.actions = Actions::default();
        bench
    }

    /// 1,000 masters with their addresses.
    fn masters(lan: Lan) -> Self {
        let mut bench = Self::backups(lan);
        bench.pass(Duration::from_secs(1));
        let requests = core::mem::take(&mut bench.actions.kernel);
        assert_eq!(requests.len(), ROUTERS);
        for request in requests {
            let outcomes = request.operations.iter().map(|o| AddressOutcome::of(o, None)).collect();
            bench.tell(Event::Addresses(AddressReply { requester: request.requester, outcomes }));
        }
        // Past the second block of announcements.
        bench.pass(Duration::from_secs(10));
        bench.actions = Actions::default();
        bench
    }

    fn tell(&mut self, event: Event) {
        self.node.handle(self.now, event, &mut self.actions);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now.instant + time;
        while let Some(at) = self.node.poll_timeout().filter(|at| *at <= end) {
            self.now.instant = self.now.instant.max(at);
            self.node.handle_timeout(self.now, &mut self.actions);
        }
        self.now.instant = end;
    }
}

/// One interval of a master: an advertisement of each router.
#[divan::bench]
fn master_advertises(bencher: Bencher<'_, '_>) {
    let mut bench = Bench::masters(FEW_LINKS);
    bencher.counter(ItemsCount::new(ROUTERS)).bench_local(|| {
        bench.actions = Actions::default();
        bench.pass(interval().duration());
        assert!(black_box(&bench.actions).transmit.len() >= ROUTERS);
    });
}

/// One interval of a backup: an advertisement for each router.
#[divan::bench]
fn backup_hears(bencher: Bencher<'_, '_>) {
    let mut bench = Bench::backups(FEW_LINKS);
    let destination = default_group(Family::Ipv4);
    let messages: Vec<(InterfaceIndex, IpAddr, Vec<u8>)> = FEW_LINKS
        .routers()
        .map(|(link, vrid)| {
            let advertisement = Advertisement {
                version: Version::V3,
                vrid,
                priority: Priority(200),
                interval: interval(),
                addresses: vec![virtual_address(link, vrid).into()],
                authentication: AuthenticationData::None,
                trailer: None,
            };
            let source = host(link, 20).into();
            (key(link), source, advertisement.encode(source, destination, ChecksumMode::PseudoHeader))
        })
        .collect();
    bencher.counter(ItemsCount::new(ROUTERS)).bench_local(|| {
        bench.now.instant += interval().duration();
        for (link, source, payload) in &messages {
            let datagram = Datagram {
                socket: ReceiveSocket::vrrp(*link, destination),
                source: *source,
                destination,
                hop_limit: Some(255),
                payload,
            };
            bench.node.handle_datagram(bench.now, &datagram, &mut bench.actions);
        }
        assert!(bench.actions.is_empty());
    });
}

/// An event of each of 1,000 links, each with a master of its own.
#[divan::bench]
fn links_change(bencher: Bencher<'_, '_>) {
    let mut bench = Bench::masters(ONE_LINK_EACH);
    let mut mtu = 1500;
    bencher.counter(ItemsCount::new(ROUTERS)).bench_local(|| {
        mtu = if mtu == 1500 { 1492 } else { 1500 };
        for index in ONE_LINK_EACH.links() {
            bench.tell(Event::Kernel(KernelEvent::LinkChanged(link(index, mtu))));
        }
        assert!(black_box(&bench.actions).is_empty());
    });
}
