//! Cost of the core at 1,000 virtual routers: `cargo bench --bench engine`.

use std::net::IpAddr;

use alived::kernel::{
    AddressOutcome, AddressReply, AddressSpec, Detection, Forwarding, HeldAddress, KernelEvent,
    KernelRequest, KernelView, Link, ReceiveSocket, SocketEvent,
};
use alived::net::{Family, InterfaceIndex, InterfaceName, MacAddress, Prefix};
use alived::node::{Event, HaNode, NodeConfig};
use alived::time::{Duration, Instant, Now, WallTime};
use alived::track::{FileReading, FileTracker, Owner, TrackConfig, TrackReference, Tracker, Weight};
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
            ..KernelView::default()
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
        vrf_table: None,
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
        Self::backups_of(lan, lan.config())
    }

    fn backups_of(lan: Lan, config: NodeConfig) -> Self {
        let mut bench = Self {
            node: HaNode::new(config),
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
        Self::backups(lan).elected()
    }

    fn elected(self) -> Self {
        let mut bench = self;
        bench.pass(Duration::from_secs(1));
        let requests = core::mem::take(&mut bench.actions.kernel);
        assert_eq!(requests.len(), ROUTERS);
        for request in requests.iter().filter_map(KernelRequest::addresses) {
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
                header: &[],
                payload,
                verdicts: None,
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

/// `routers` with `trackers` files, of which each router depends on the one of its number and on the first.
fn tracking(lan: Lan, trackers: usize) -> NodeConfig {
    let mut config = lan.config();
    let name = |number: usize| format!("file{number}");
    let file = |number| FileTracker {
        name: name(number).into(),
        path: format!("/run/{}", name(number)).into(),
        weight: Weight::FAULT,
        initial: None,
    };
    let mut references = Vec::new();
    for (place, router) in config.routers.iter().enumerate() {
        for number in std::collections::BTreeSet::from([0, place % trackers]) {
            let owner = Owner::Instance(router.name.clone());
            let weight = Weight::new(-1, false).unwrap_or_default();
            let tracker = Tracker::File(name(number).into());
            references.push((owner, TrackReference { tracker, weight }));
        }
    }
    config.tracking =
        TrackConfig { files: (0..trackers).map(file).collect(), references, ..TrackConfig::default() }.into();
    config
}

impl Bench {
    /// 1,000 masters that depend on these trackers, all at 0.
    fn tracking_masters(config: NodeConfig) -> Self {
        let names: Vec<_> = config.tracking.files.iter().map(|file| file.name.clone()).collect();
        let mut bench = Self::backups_of(FEW_LINKS, config);
        for name in names {
            bench.tell(Event::File { name, reading: FileReading::Number(0) });
            bench.settle();
        }
        bench.actions = Actions::default();
        bench.elected()
    }

    /// Until nobody waits to be told of a tracker any more.
    fn settle(&mut self) {
        while self.node.poll_timeout().is_some_and(|at| at < self.now.instant) {
            self.node.handle_timeout(self.now, &mut self.actions);
        }
    }
}

/// A tracker that 1,000 masters share moves their priorities.
#[divan::bench]
fn a_shared_tracker_moves_priorities(bencher: Bencher<'_, '_>) {
    let mut bench = Bench::tracking_masters(tracking(FEW_LINKS, 200));
    let mut number = 0;
    bencher.counter(ItemsCount::new(ROUTERS)).bench_local(|| {
        number = (number + 1) % 50;
        bench.actions = Actions::default();
        bench.tell(Event::File { name: "file0".into(), reading: FileReading::Number(number) });
        bench.settle();
        assert!(black_box(&bench.actions).news.len() >= ROUTERS);
    });
}

/// A tracker that 1,000 masters share makes them leave, and lets them come back.
#[divan::bench]
fn a_shared_tracker_is_a_fault_and_none(bencher: Bencher<'_, '_>) {
    let mut bench = Bench::tracking_masters(tracking(FEW_LINKS, 200));
    bencher.counter(ItemsCount::new(ROUTERS)).bench_local(|| {
        bench.actions = Actions::default();
        for number in [1_000, 0] {
            bench.tell(Event::File { name: "file0".into(), reading: FileReading::Number(number) });
            bench.settle();
        }
        assert!(black_box(&bench.actions).news.len() >= ROUTERS);
    });
}

/// A reload in which one of 200 trackers has another weight for one of 1,000 routers.
#[divan::bench]
fn a_reload_changes_one_tracker(bencher: Bencher<'_, '_>) {
    let configs = [-1, -2].map(|weight| {
        let mut config = tracking(FEW_LINKS, 200);
        if let Some((_, reference)) = config.tracking.references.first_mut() {
            reference.weight = Weight::new(weight, false).unwrap_or_default();
        }
        config
    });
    let mut bench = Bench::tracking_masters(configs[0].clone());
    let mut round = 0;
    bencher.counter(ItemsCount::new(ROUTERS)).with_inputs(|| configs.clone()).bench_local_values(|configs| {
        round += 1;
        let [even, odd] = configs;
        bench.actions = Actions::default();
        bench.tell(Event::Reconfigure(if round % 2 == 0 { even } else { odd }));
        assert!(black_box(&bench.actions).transmit.is_empty());
    });
}
