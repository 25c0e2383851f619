//! Any bytes as what happens to a node: messages, timeouts, kernel events, reloads, switch-overs, in any order
//! and also where none was asked for. Never a panic, never a deadline that stays due, no work out of proportion
//! to what happened, no state that contradicts itself, and in the end it stops when asked to.

#![no_main]

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use alived::kernel::{
    AddressOutcome, AddressReply, AddressRequest, AddressSpec, Detection, Forwarding, HeldAddress, HeldRoute,
    HeldWay, KernelError, KernelEvent, KernelRequest, KernelView, Link, NextHop, NextHops, ReceiveSocket,
    Requester, Route, RouteKey, RouteType, RouterId, RoutingOutcome, RoutingReply, RoutingRequest, Rule,
    SocketEvent, Verb, WeightedHop,
};
use alived::net::{Family, InterfaceIndex, InterfaceName, MacAddress, Prefix};
use alived::node::{Event, HaNode, NodeConfig};
use alived::time::{Duration, Instant, Now, WallTime};
use alived::vrrp::{
    Actions, Datagram, Destinations, InitialState, OldChecksum, RouterConfig, RouterInterfaces,
    SocketRequest, State, SwitchOver, VirtualAddress, VirtualRoute, VirtualRule, Whom,
};
use alived::wire::vrrp::{
    Advertisement, AdvertisementInterval, AuthenticationData, Priority, Version, Vrid, peek,
};
use libfuzzer_sys::fuzz_target;

/// More actions than any single event of such small nodes may cause.
const ACTIONS_MAX: usize = 4096;

/// More calls than any backlog of such small nodes may take at one instant.
const TIMEOUTS_MAX: usize = 100;

fuzz_target!(|input: &[u8]| {
    let mut bytes = Bytes { rest: input };
    let mut world = World::new(node_config(&mut bytes));
    world.handle(Event::Kernel(KernelEvent::View(view(0xff))));
    while !bytes.rest.is_empty() {
        world.step(&mut bytes);
    }
    world.stop();
});

/// The input, read from the front; zeros when it is used up.
struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    fn next(&mut self) -> u8 {
        let Some((&first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        first
    }

    fn below(&mut self, bound: u8) -> u8 {
        self.next() % bound
    }

    fn flag(&mut self) -> bool {
        self.next() & 1 == 1
    }

    fn take(&mut self, length: u8) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(usize::from(length).min(self.rest.len()));
        self.rest = rest;
        taken
    }
}

struct World {
    node: HaNode,
    now: Instant,
    requests: VecDeque<KernelRequest>,
    sockets: VecDeque<ReceiveSocket>,
    actions: Actions,
    stopped: bool,
}

impl World {
    fn new(config: NodeConfig) -> Self {
        Self {
            node: HaNode::new(config),
            now: Instant::from_micros(1_000_000),
            requests: VecDeque::new(),
            sockets: VecDeque::new(),
            actions: Actions::default(),
            stopped: false,
        }
    }

    fn now(&self) -> Now {
        Now { instant: self.now, wall: WallTime::from_unix_micros(self.now.as_micros()) }
    }

    fn handle(&mut self, event: Event) {
        let now = self.now();
        self.node.handle(now, event, &mut self.actions);
        self.settle();
    }

    /// Notes what was asked for and judges the rest.
    fn settle(&mut self) {
        assert!(self.actions.len() <= ACTIONS_MAX, "{} actions of one event", self.actions.len());
        let actions = core::mem::take(&mut self.actions);
        let masters = actions.transitions().filter(|t| [t.from, t.to].contains(&State::Master));
        let changed: BTreeSet<RouterId> = masters.map(|transition| transition.router).collect();
        for sent in &actions.transmit {
            assert_eq!(Family::of(&sent.source), Family::of(&sent.destination), "a packet between families");
            assert!(peek(&sent.payload).is_some());
            let state = self.node.router(sent.router).map(|router| router.state());
            let leaving = sent.payload.get(2) == Some(&0);
            assert!(
                leaving || changed.contains(&sent.router) || state == Some(State::Master),
                "{state:?} advertises"
            );
        }
        for transition in actions.transitions() {
            // A router that never started is told to stop all the same.
            assert!(
                transition.from != transition.to || transition.to == State::Initialize,
                "no change: {}",
                transition.cause
            );
            assert!(!transition.cause.to_string().is_empty());
        }
        assert!(actions.reports().all(|report| !report.kind.to_string().is_empty()));
        self.requests.extend(actions.kernel);
        self.sockets.extend(actions.sockets.iter().filter_map(|request| match request {
            SocketRequest::Open(socket) => Some(*socket),
            SocketRequest::Close(_) => None,
        }));
        self.stopped |= actions.stopped;
        for router in self.node.routers() {
            let state = router.state();
            assert!(
                router.faults().is_empty() || state != State::Master,
                "master with {:?}",
                router.faults()
            );
            assert!(!router.faults().is_empty() || state != State::Fault, "in fault without a reason");
            assert!(!router.wants_addresses() || state == State::Master, "{state} wants addresses");
            assert!(router.poll_timeout().is_some() || !matches!(state, State::Master | State::Backup));
        }
    }

    /// Asked to stop, and with a kernel that does what it is asked for, the node stops.
    fn stop(&mut self) {
        self.handle(Event::Stop);
        for _ in 0..100 {
            while let Some(request) = self.requests.pop_front() {
                self.reply(&request, &mut Bytes { rest: &[] });
            }
            if self.stopped {
                return;
            }
            if let Some(next) = self.node.poll_timeout() {
                self.now = self.now.max(next);
            }
            self.timeout();
        }
        panic!("asked to stop, and still there");
    }

    /// As a driver does: calls until nothing is due. One call may leave work for the next, but not for ever.
    fn timeout(&mut self) {
        let now = self.now();
        for _ in 0..TIMEOUTS_MAX {
            self.node.handle_timeout(now, &mut self.actions);
            self.settle();
            if self.node.poll_timeout().is_none_or(|next| next > self.now) {
                return;
            }
        }
        panic!("something is still due at {} after {TIMEOUTS_MAX} calls", self.now);
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.below(22) {
            0..=2 => {
                if let Some(next) = self.node.poll_timeout() {
                    self.now = self.now.max(next);
                }
                self.timeout();
            }
            3 => {
                self.now += Duration::from_millis(u64::from(bytes.next()) * 40);
                self.timeout();
            }
            4..=6 => self.advertisement(bytes),
            7 => {
                let length = bytes.next();
                let payload = bytes.take(length);
                let (link, from) = (link_key(bytes.next()), source(bytes.next()));
                self.datagram(link, from, group(bytes.flag()), payload);
            }
            8 | 9 => {
                if let Some(request) = self.requests.pop_front() {
                    self.reply(&request, bytes);
                }
            }
            10 => {
                if let Some(socket) = self.sockets.pop_front() {
                    self.handle(Event::Socket(if bytes.below(4) == 0 {
                        SocketEvent::Failed(socket, refusal())
                    } else {
                        SocketEvent::Opened(socket)
                    }));
                }
            }
            11 => self.handle(Event::Kernel(KernelEvent::LinkChanged(link(bytes.next(), bytes.next())))),
            12 => self.handle(Event::Kernel(KernelEvent::LinkGone(link_key(bytes.next())))),
            13 => {
                let held = held_address(bytes.next(), bytes.next());
                self.handle(Event::Kernel(if bytes.flag() {
                    KernelEvent::AddressPresent(held)
                } else {
                    KernelEvent::AddressGone { link: held.link, prefix: held.prefix }
                }));
            }
            14 => self.handle(Event::Kernel(KernelEvent::View(view(bytes.next())))),
            15 if bytes.flag() => {
                let same = self.node.config();
                self.node.handle(self.now(), Event::Reconfigure(same), &mut self.actions);
                assert_eq!(self.actions, Actions::default(), "nothing changed");
            }
            15 => self.handle(Event::Reconfigure(node_config(bytes))),
            16 => {
                let span = bytes.flag().then(|| Duration::from_millis(u64::from(bytes.next()) * 20));
                let whom = if bytes.flag() { Whom::All } else { Whom::Named("VI_1".into()) };
                let event = match bytes.next() % 4 {
                    0 => Event::SwitchOver(SwitchOver { whom, hold: span }),
                    1 => Event::SwitchBack(whom),
                    2 => Event::BeginMaintenance(span),
                    _ => Event::EndMaintenance,
                };
                self.handle(event);
            }
            17 => {
                // Answers to what nobody asked.
                let socket = ReceiveSocket::vrrp(link_key(bytes.next()), group(bytes.flag()));
                self.handle(Event::Socket(SocketEvent::Opened(socket)));
                let held = held_address(bytes.next(), bytes.next());
                let outcome = AddressOutcome {
                    verb: Verb::Add,
                    link: held.link,
                    prefix: held.prefix,
                    error: bytes.flag().then(refusal),
                    announced: bytes.flag(),
                };
                // Who asked is answered exactly, which the node takes for granted; nobody has numbers as high as these.
                let requester = Requester::Router(RouterId(0x1000 + u32::from(bytes.next())));
                self.handle(Event::Addresses(AddressReply { requester, outcomes: vec![outcome] }));
            }
            19 => {
                let route = held_route(bytes.next());
                let present = KernelEvent::RoutePresent { route: route.clone(), replaces: bytes.flag() };
                self.handle(Event::Kernel(if bytes.flag() {
                    present
                } else {
                    KernelEvent::RouteGone(route)
                }));
            }
            20 => {
                let rule = rule(bytes.next());
                let present = bytes.flag();
                self.handle(Event::Kernel(if present {
                    KernelEvent::RulePresent(rule)
                } else {
                    KernelEvent::RuleGone(rule)
                }));
            }
            18 if bytes.below(8) == 0 => self.handle(Event::Stop),
            _ => self.now += Duration::from_micros(u64::from(bytes.next())),
        }
    }

    /// The kernel takes the first operations of a request, or refuses some.
    fn reply(&mut self, request: &KernelRequest, bytes: &mut Bytes<'_>) {
        match request {
            KernelRequest::Addresses(request) => self.reply_addresses(request, bytes),
            KernelRequest::Routing(RoutingRequest { requester, operations }) => {
                let outcomes = operations.iter().map(|operation| {
                    let error = (bytes.below(8) == 7).then(refusal);
                    RoutingOutcome::of(operation, error)
                });
                let outcomes: Vec<RoutingOutcome> = outcomes.collect();
                self.handle(Event::Routing(RoutingReply { requester: *requester, outcomes }));
            }
        }
    }

    fn reply_addresses(&mut self, request: &AddressRequest, bytes: &mut Bytes<'_>) {
        let outcomes = request.operations.iter().map(|operation| {
            let fate = bytes.below(16);
            let error = (fate & 7 == 7).then(refusal);
            let announced = error.is_none() && operation.announcement.is_some() && fate & 8 == 0;
            AddressOutcome { announced, ..AddressOutcome::of(operation, error) }
        });
        let outcomes: Vec<AddressOutcome> = outcomes.collect();
        let (first, second) = outcomes.split_at(outcomes.len().min(usize::from(bytes.below(4))));
        for chunk in [first, second] {
            if !chunk.is_empty() {
                let reply = AddressReply { requester: request.requester, outcomes: chunk.to_vec() };
                self.handle(Event::Addresses(reply));
            }
        }
    }

    fn advertisement(&mut self, bytes: &mut Bytes<'_>) {
        let shape = bytes.next();
        let six = shape & 1 == 1;
        let source = source(shape & 3 | bytes.below(4) << 2);
        let advertisement = Advertisement {
            version: version(six, shape & 2 == 2),
            vrid: vrid(bytes.next()),
            priority: Priority(bytes.next()),
            interval: interval(bytes.next()),
            addresses: (0..shape >> 5).map(|number| virtual_address(six, number)).collect(),
            authentication: AuthenticationData::None,
            trailer: None,
        };
        // By unicast it is to the address that such routers send from.
        let destination = if shape & 16 == 16 { self::source(u8::from(six)) } else { group(six) };
        let payload = advertisement.encode(source, destination, Default::default());
        self.datagram(link_key(shape >> 3), source, destination, &payload);
    }

    fn datagram(&mut self, link: InterfaceIndex, source: IpAddr, destination: IpAddr, payload: &[u8]) {
        let now = self.now();
        let bound = ReceiveSocket::vrrp(link, destination);
        let sockets = if destination.is_multicast() {
            vec![bound]
        } else {
            // Each raw socket gets a copy.
            vec![
                bound,
                ReceiveSocket::vrrp(None, destination),
                ReceiveSocket::vrrp(link, group(destination.is_ipv6())),
            ]
        };
        for socket in sockets {
            let datagram = Datagram {
                socket,
                source,
                destination,
                hop_limit: Some(255),
                header: &[],
                payload,
                verdicts: None,
            };
            self.node.handle_datagram(now, &datagram, &mut self.actions);
        }
        self.settle();
    }
}

fn node_config(bytes: &mut Bytes<'_>) -> NodeConfig {
    let count = bytes.below(4);
    NodeConfig {
        routers: (0..count).map(|_| router_config(bytes)).collect(),
        startup_delay: Duration::from_millis(u64::from(bytes.below(4)) * 500),
        keep_addresses_on_stop: bytes.below(8) == 7,
        ..NodeConfig::default()
    }
}

fn router_config(bytes: &mut Bytes<'_>) -> RouterConfig {
    let shape = bytes.next();
    let six = shape & 1 == 1;
    let family = if six { Family::Ipv6 } else { Family::Ipv4 };
    let number = bytes.below(3);
    let mut config = RouterConfig::new(&format!("VI_{}", shape & 7), vrid(shape >> 1), family, name(number));
    config.version = version(six, shape & 8 == 8);
    config.priority = Priority(bytes.next().max(1));
    config.interval = interval(bytes.next());
    let options = bytes.next();
    config.preempt = options & 1 == 0;
    config.preempt_delay = Duration::from_secs(u64::from(options >> 1 & 1) * 3);
    config.initial = if options & 4 == 4 { InitialState::Master } else { InitialState::Backup };
    config.lower_prio_no_advert = options & 8 == 8;
    config.higher_prio_send_advert = options & 16 == 16;
    config.track_primary = options & 32 == 0;
    config.owner_ignore_adverts = options & 64 == 64;
    if options & 128 == 128 {
        config.destinations = Destinations::Unicast(vec![source(if six { 1 } else { 0 } | 4).into()]);
        config.source = Some(source(if six { 1 } else { 0 }));
        config.check_source = options & 1 == 1;
        config.old_checksum = OldChecksum::Detect(core::net::Ipv4Addr::new(224, 0, 0, 18));
        if options & 2 == 2 {
            config.interfaces = RouterInterfaces::routed(name(number), None);
        }
    }
    for address in 0..bytes.below(5) {
        let spec = AddressSpec::new(Prefix::host(virtual_address(six, address)));
        let interface = (address == 3).then(|| name(2));
        let virtual_address = VirtualAddress { spec, interface, track: address != 2 };
        if address == 4 {
            config.excluded.push(virtual_address)
        } else {
            config.addresses.push(virtual_address)
        }
    }
    let routing = bytes.next();
    for number in 0..routing & 3 {
        let line = VirtualRoute { route: route(number | routing & 0x30), track: routing & 4 == 4 };
        config.routes.push(line);
    }
    for number in 0..routing >> 6 {
        config.rules.push(VirtualRule { rule: rule(number), track: routing & 8 == 8 });
    }
    let announce = bytes.next();
    config.announce.repeat = u32::from(announce & 3) + 1;
    config.announce.delay = Duration::from_secs(u64::from(announce >> 2 & 1));
    config.announce.refresh = Duration::from_secs(u64::from(announce >> 3 & 1) * 10);
    config.announce.arp_interval = Duration::from_millis(u64::from(announce >> 4 & 1) * 20);
    config.announce.ndisc_interval = Duration::from_millis(u64::from(announce >> 5 & 1) * 20);
    config.announce.lower_prio_repeat = u32::from(announce >> 6);
    config
}

fn name(number: u8) -> InterfaceName {
    format!("eth{}", number % 3).parse().expect("a valid name")
}

fn link_key(number: u8) -> InterfaceIndex {
    InterfaceIndex::new(u32::from(number % 3) + 1).expect("not 0")
}

/// A link, up and running by the two lowest bits of `flags`, and with a borrowed name by the third.
fn link(number: u8, flags: u8) -> Link {
    Link {
        key: link_key(number),
        name: if flags & 4 == 4 { name(number.wrapping_add(1)) } else { name(number) },
        mac: (flags & 8 == 0).then_some(MacAddress([2, 0, 0, 0, 0, number])),
        mtu: 1500,
        admin_up: flags & 1 == 1,
        running: flags & 2 == 2,
        loopback: false,
        forwarding: Forwarding { ipv6: flags & 16 == 16 },
        stacked: None,
        vrf_table: None,
    }
}

/// Up to three interfaces with their own addresses and, by the upper bits, left-overs of virtual ones.
fn view(choice: u8) -> KernelView {
    let numbers = || (0..3).filter(move |number| choice >> number & 1 == 1);
    KernelView {
        links: numbers().map(|number| link(number, 3)).collect(),
        addresses: numbers()
            .flat_map(|number| {
                let own = [held_address(number, 0x08), held_address(number, 0x09)];
                let left = (choice & 0x80 == 0 && choice & 0x40 == 0x40).then(|| held_address(number, 0x42));
                own.into_iter().chain(left)
            })
            .collect(),
        routes: (0..choice >> 6).map(held_route).collect(),
        rules: (0..choice >> 6).map(rule).collect(),
    }
}

/// A route of ours: one way, of two, or none.
fn route(choice: u8) -> Route {
    let mut route = Route::new(Prefix::new([10, choice & 3, 0, 0].into(), 16).expect("a valid length"));
    let hop = |number| NextHop {
        gateway: (choice & 16 == 16).then(|| source(number << 1)),
        interface: Some(name(number)),
        ..NextHop::default()
    };
    route.next = match choice & 3 {
        0 => NextHops::One(hop(0)),
        1 => NextHops::One(hop(1)),
        2 => {
            let leg = |number| WeightedHop { hop: hop(number), weight_minus_one: number, realms: None };
            NextHops::Multipath(vec![leg(0), leg(1)])
        }
        _ => NextHops::None,
    };
    if route.next == NextHops::None {
        route.kind = RouteType::Blackhole;
    }
    route
}

/// How the kernel holds one of these, or one like it.
fn held_route(choice: u8) -> HeldRoute {
    let route = route(choice);
    let place = RouteKey::of(&route, if choice & 4 == 4 { 7 } else { 254 }, &[]).place;
    let way = |(number, hop): (u8, &NextHop)| HeldWay {
        gateway: hop.gateway,
        link: Some(link_key(number)),
        weight_minus_one: 0,
    };
    let protocol = if choice & 8 == 8 { 4 } else { route.protocol };
    let ways = (0..).zip(route.next.hops()).map(way).collect();
    HeldRoute { place, kind: route.kind, protocol, preferred_source: None, ways }
}

fn rule(choice: u8) -> Rule {
    let mut rule = Rule::new(Family::Ipv4);
    rule.priority = Some(u32::from(choice & 7));
    rule
}

/// A router's own address (bit 3) or a virtual one, by the other bits its family, mark and state.
fn held_address(number: u8, choice: u8) -> HeldAddress {
    let six = choice & 1 == 1;
    let address = if choice & 8 == 8 {
        source(u8::from(six) | (number % 3) << 4)
    } else {
        virtual_address(six, choice >> 1 & 3)
    };
    let length = if choice & 8 == 8 { if six { 64 } else { 24 } } else { Family::of(&address).bits() };
    HeldAddress {
        link: link_key(number),
        prefix: Prefix::new(address, length).expect("a valid length"),
        ours: choice & 0x40 == 0x40,
        secondary: choice & 0x10 == 0x10,
        detection: match choice & 0xa0 {
            0x20 => Detection::Running,
            0xa0 => Detection::Failed,
            _ => Detection::Done,
        },
    }
}

fn group(six: bool) -> IpAddr {
    alived::vrrp::default_group(if six { Family::Ipv6 } else { Family::Ipv4 })
}

/// A router's address; IPv6 by the lowest bit.
fn source(choice: u8) -> IpAddr {
    if choice & 1 == 1 {
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(choice >> 1) + 1).into()
    } else {
        Ipv4Addr::new(192, 0, 2, (choice >> 1) + 1).into()
    }
}

fn virtual_address(six: bool, number: u8) -> IpAddr {
    if six {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(number) + 0x100).into()
    } else {
        Ipv4Addr::new(192, 0, 2, number.saturating_add(200)).into()
    }
}

fn version(six: bool, second: bool) -> Version {
    if !six && second { Version::V2 } else { Version::V3 }
}

fn vrid(choice: u8) -> Vrid {
    Vrid::new(choice % 3 + 1).expect("not 0")
}

fn interval(choice: u8) -> AdvertisementInterval {
    let centiseconds = [1, 10, 100, 100, 100, 200, 1000, 4095][usize::from(choice % 8)];
    AdvertisementInterval::from_centiseconds(centiseconds).expect("in range")
}

fn refusal() -> KernelError {
    KernelError { errno: 22, message: String::from("Invalid argument") }
}
