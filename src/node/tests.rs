//! Scripts for one node: what it does, event by event. Anything with more than one router or with faults of
//! the network is in the simulator.

mod limits;
mod recording;
mod routing;
mod sockets;
mod unicast;

use core::net::IpAddr;

use super::*;
use crate::kernel::{
    AddressOperation, AddressOutcome, AddressSpec, Detection, Forwarding, HeldAddress, KernelRequest,
    KernelView, Link, ReceiveSocket, RouterId, Verb,
};
use crate::net::{Family, InterfaceIndex, MacAddress, Prefix};
use crate::time::{Instant, Now, WallTime};
use crate::vrrp::{
    Actions, Cause, Datagram, Destinations, ReportKind, SendObstacle, SocketRequest, State, SwitchOver,
    VirtualAddress, VirtualRouter, Whom,
};
use crate::wire::vrrp::{
    Advertisement, AdvertisementInterval, AuthenticationData, ChecksumMode, Priority, Version, Vrid,
};

const ETH0: InterfaceIndex = InterfaceIndex::LOWEST;
const OWN: &str = "192.0.2.10";
const RIVAL: &str = "192.0.2.20";

/// A node, its clock, and what it has asked for and not been answered yet.
struct Script {
    node: HaNode,
    now: Now,
    actions: Actions,
}

impl Script {
    fn new(change: impl FnOnce(&mut RouterConfig)) -> Self {
        Self::with_addresses(change, &[])
    }

    /// `held`: virtual addresses the kernel holds already, and whether with our mark.
    fn with_addresses(change: impl FnOnce(&mut RouterConfig), held: &[(&str, bool)]) -> Self {
        Self::starting(ReceiveSocket::vrrp(ETH0, "224.0.0.18".parse().unwrap()), change, held)
    }

    /// Listens by `socket`.
    fn with_socket(socket: ReceiveSocket, change: impl FnOnce(&mut RouterConfig)) -> Self {
        Self::starting(socket, change, &[])
    }

    fn starting(
        socket: ReceiveSocket,
        change: impl FnOnce(&mut RouterConfig),
        held: &[(&str, bool)],
    ) -> Self {
        let mut script = Self {
            node: HaNode::new(NodeConfig { routers: vec![router(change)], ..NodeConfig::default() }),
            now: Now { instant: Instant::ZERO, wall: WallTime::default() },
            actions: Actions::default(),
        };
        let own = [(OWN, false)];
        let addresses = own.iter().chain(held).map(|(address, ours)| held_address(address, *ours)).collect();
        script.tell(Event::Kernel(KernelEvent::View(KernelView {
            links: vec![link(true)],
            addresses,
            ..KernelView::default()
        })));
        assert!(script.take().sockets.contains(&SocketRequest::Open(socket)));
        script.tell(Event::Socket(SocketEvent::Opened(socket)));
        script
    }

    fn tell(&mut self, event: Event) {
        self.node.handle(self.now, event, &mut self.actions);
    }

    fn take(&mut self) -> Actions {
        core::mem::take(&mut self.actions)
    }

    /// Lets time pass, serving every timer in time.
    fn pass(&mut self, ms: u64) {
        let end = self.now.instant + Duration::from_millis(ms);
        while let Some(at) = self.node.poll_timeout().filter(|at| *at <= end) {
            self.now.instant = self.now.instant.max(at);
            self.node.handle_timeout(self.now, &mut self.actions);
        }
        self.now.instant = end;
    }

    fn hear(&mut self, from: &str, priority: u8) {
        self.hear_of(from, priority, AdvertisementInterval::ONE_SECOND, "192.0.2.51");
    }

    fn hear_of(&mut self, from: &str, priority: u8, interval: AdvertisementInterval, address: &str) {
        let (source, destination): (IpAddr, IpAddr) = (from.parse().unwrap(), "224.0.0.18".parse().unwrap());
        let advertisement = advertisement(priority, interval, address);
        let payload = advertisement.encode(source, destination, ChecksumMode::PseudoHeader);
        let socket = ReceiveSocket::vrrp(ETH0, destination);
        let datagram = Datagram {
            socket,
            source,
            destination,
            hop_limit: Some(255),
            header: &[],
            payload: &payload,
            verdicts: None,
        };
        self.node.handle_datagram(self.now, &datagram, &mut self.actions);
    }

    /// Answers every address request with success, and makes the announcements that come with them.
    fn obey(&mut self) -> Vec<Verb> {
        self.answer(true)
    }

    /// Answers every address request with success.
    fn answer(&mut self, announces: bool) -> Vec<Verb> {
        let mut verbs = Vec::new();
        let requests = self.take().kernel;
        for request in requests.iter().filter_map(KernelRequest::addresses) {
            let outcome = |operation: &AddressOperation| AddressOutcome {
                announced: announces && operation.announcement.is_some(),
                ..AddressOutcome::of(operation, None)
            };
            let outcomes: Vec<_> = request.operations.iter().map(outcome).collect();
            verbs.extend(outcomes.iter().map(|outcome| outcome.verb));
            self.tell(Event::Addresses(AddressReply { requester: request.requester, outcomes }));
        }
        verbs
    }

    fn state(&self) -> State {
        self.node.router(RouterId(0)).unwrap().state()
    }

    fn priorities_sent(&self) -> Vec<u8> {
        self.actions.transmit.iter().map(|transmission| transmission.payload[2]).collect()
    }

    fn announced(&self) -> usize {
        self.actions.announce.len()
    }
}

fn router(change: impl FnOnce(&mut RouterConfig)) -> RouterConfig {
    let mut config = RouterConfig::new("VI_1", Vrid::new(51).unwrap(), Family::Ipv4, "eth0".parse().unwrap());
    config.version = Version::V3;
    let spec = AddressSpec::new(Prefix::new("192.0.2.51".parse().unwrap(), 24).unwrap());
    config.addresses = vec![VirtualAddress { spec, interface: None, track: true }];
    change(&mut config);
    config
}

fn advertisement(priority: u8, interval: AdvertisementInterval, address: &str) -> Advertisement {
    Advertisement {
        version: Version::V3,
        vrid: Vrid::new(51).unwrap(),
        priority: Priority(priority),
        interval,
        addresses: vec![address.parse().unwrap()],
        authentication: AuthenticationData::None,
        trailer: None,
    }
}

fn link(up: bool) -> Link {
    Link {
        key: InterfaceIndex::new(1).unwrap(),
        name: "eth0".parse().unwrap(),
        mac: Some(MacAddress([2, 0, 0, 0, 0, 10])),
        mtu: 1500,
        admin_up: up,
        running: up,
        loopback: false,
        forwarding: Forwarding::default(),
        stacked: None,
        vrf_table: None,
    }
}

fn held_address(address: &str, ours: bool) -> HeldAddress {
    let prefix = Prefix::new(address.parse().unwrap(), 24).unwrap();
    HeldAddress { link: ETH0, prefix, ours, secondary: false, detection: Detection::Done }
}

#[test]
fn alone_it_advertises_then_asks_for_its_address_then_announces_it() {
    let mut script = Script::new(|_| {});
    assert_eq!(script.state(), State::Backup);
    script.take();
    script.pass(3_608);
    assert!(script.take().is_empty());
    script.pass(2);
    let actions = script.take();
    assert_eq!(
        (actions.transmit.len(), actions.kernel.len(), actions.news.len(), actions.len()),
        (1, 1, 1, 3)
    );
    assert!(
        actions
            .transitions()
            .all(|t| { t.to == State::Master && t.cause == Cause::MasterDown { last_master: None } })
    );
    script.actions = actions;
    assert_eq!(script.obey(), [Verb::Add]);
    script.pass(0);
    // After the one that went along with the request.
    assert_eq!(script.announced(), 4);
}

#[test]
fn what_the_driver_could_not_announce_is_announced_in_full() {
    let mut script = Script::new(|_| {});
    script.pass(4_000);
    assert_eq!(script.answer(false), [Verb::Add]);
    script.pass(0);
    assert_eq!(script.announced(), 5);
}

#[test]
fn what_the_kernel_would_not_announce_is_announced_once_more_as_often_as_it_takes() {
    let mut script = Script::new(|config| config.announce.delay = Duration::ZERO);
    script.pass(4_000);
    script.obey();
    script.pass(100);
    script.take();
    for _ in 0..3 {
        script.node.note_unannounced(script.now, ETH0);
        script.node.note_unannounced(script.now, ETH0);
        script.pass(900);
        assert_eq!(script.announced(), 0, "after a second");
        script.pass(150);
        assert_eq!(script.announced(), 1);
        script.take();
    }
    script.pass(5_000);
    assert_eq!(script.announced(), 0);
}

#[test]
fn announcements_with_a_pace_are_left_to_the_queue() {
    let mut script = Script::new(|config| config.announce.arp_interval = Duration::from_millis(100));
    script.pass(4_000);
    assert_eq!(script.obey(), [Verb::Add]);
    script.pass(0);
    assert_eq!(script.announced(), 1);
    script.pass(400);
    assert_eq!(script.announced(), 5);
}

#[test]
fn a_better_master_ends_mastership_and_its_leaving_shortens_the_wait() {
    let mut script = Script::new(|_| {});
    script.pass(4_000);
    script.obey();
    script.hear(RIVAL, 150);
    assert_eq!(script.state(), State::Backup);
    assert_eq!(script.obey(), [Verb::Remove]);
    script.hear(RIVAL, 0);
    script.pass(608);
    assert_eq!(script.state(), State::Backup);
    script.pass(2);
    assert_eq!(script.state(), State::Master);
}

#[test]
fn who_is_no_longer_master_announces_nothing_any_more() {
    let mut script = Script::new(|config| config.announce.arp_interval = Duration::from_millis(100));
    script.pass(4_000);
    script.obey();
    script.pass(0);
    assert_eq!(script.announced(), 1, "the others wait for their turn");
    script.take();
    script.hear(RIVAL, 150);
    script.pass(1_000);
    assert_eq!(script.announced(), 0);
}

#[test]
fn a_tie_is_won_by_the_higher_address() {
    let mut script = Script::new(|_| {});
    script.pass(4_000);
    script.hear("192.0.2.9", 100);
    assert_eq!(script.state(), State::Master);
    script.hear(RIVAL, 100);
    assert_eq!(script.state(), State::Backup);
}

#[test]
fn a_beaten_rival_is_answered_and_the_addresses_are_announced_again() {
    let mut script = Script::new(|_| {});
    script.pass(4_000);
    script.obey();
    script.pass(100);
    script.take();
    script.hear(RIVAL, 50);
    assert_eq!(script.priorities_sent(), [100]);
    script.pass(0);
    assert_eq!(script.announced(), 5);
}

#[test]
fn an_owner_is_master_at_once_and_never_touches_its_own_address() {
    let owner = |config: &mut RouterConfig| config.priority = Priority::OWNER;
    let mut script = Script::with_addresses(owner, &[("192.0.2.51", false)]);
    assert_eq!(script.state(), State::Master);
    assert!(script.obey().is_empty());
    script.tell(Event::Stop);
    assert!(script.priorities_sent().contains(&0));
    assert!(script.obey().is_empty());
}

#[test]
fn a_leftover_is_adopted_by_our_election_or_removed_at_the_first_advertisement() {
    let mut script = Script::with_addresses(|_| {}, &[("192.0.2.51", true)]);
    script.take();
    script.pass(4_000);
    assert_eq!(script.announced(), 5);
    assert!(script.obey().is_empty());

    let mut script = Script::with_addresses(|_| {}, &[("192.0.2.51", true)]);
    script.take();
    script.hear(RIVAL, 50);
    assert!(script.obey().is_empty(), "a master we do not follow decides nothing");
    script.hear(RIVAL, 150);
    assert_eq!(script.obey(), [Verb::Remove]);
}

#[test]
fn an_address_removed_by_hand_returns_without_a_transition_and_is_counted() {
    let mut script = Script::new(|_| {});
    script.pass(4_000);
    script.obey();
    let address = held_address("192.0.2.51", true);
    script.tell(Event::Kernel(KernelEvent::AddressPresent(address.clone())));
    script.take();
    script.tell(Event::Kernel(KernelEvent::AddressGone { link: ETH0, prefix: address.prefix }));
    script.pass(20);
    assert_eq!(script.obey(), [Verb::Add]);
    assert_eq!(script.state(), State::Master);
    assert_eq!(script.node.router(RouterId(0)).unwrap().counters().addresses_repaired, 1);
}

#[test]
fn an_address_removed_by_hand_before_its_addition_was_answered_returns_too() {
    let mut script = Script::new(|_| {});
    script.pass(4_000);
    let address = held_address("192.0.2.51", true);
    script.tell(Event::Kernel(KernelEvent::AddressPresent(address.clone())));
    script.tell(Event::Kernel(KernelEvent::AddressGone { link: ETH0, prefix: address.prefix }));
    assert_eq!(script.obey(), [Verb::Add]);
    script.pass(20);
    assert_eq!(script.obey(), [Verb::Add]);
    script.tell(Event::Kernel(KernelEvent::AddressPresent(address)));
    script.pass(20);
    assert_eq!(script.obey(), []);
}

#[test]
fn a_link_that_goes_down_is_a_fault_and_its_return_starts_as_backup() {
    let mut script = Script::new(|_| {});
    script.pass(4_000);
    script.obey();
    script.tell(Event::Kernel(KernelEvent::LinkChanged(link(false))));
    assert_eq!(script.state(), State::Fault);
    assert_eq!(script.priorities_sent(), [0]);
    assert_eq!(script.obey(), [Verb::Remove]);
    script.hear(RIVAL, 50);
    script.tell(Event::Kernel(KernelEvent::LinkChanged(link(true))));
    assert_eq!(script.state(), State::Backup);
}

#[test]
fn an_equal_configuration_yields_no_action_at_all() {
    let mut script = Script::new(|_| {});
    script.pass(4_000);
    script.obey();
    script.pass(0);
    script.take();
    let config = script.node.config();
    script.tell(Event::Reconfigure(config.clone()));
    assert!(script.take().is_empty());
    // The name is no part of a router's identity.
    let mut renamed = config;
    renamed.routers[0].name = "VI_2".into();
    script.tell(Event::Reconfigure(renamed));
    assert!(script.take().is_empty());
    assert_eq!(script.state(), State::Master);
}

#[test]
fn maintenance_leaves_nothing_for_a_reload_to_find() {
    // With left-overs of a predecessor, and a receive socket that is not open yet.
    let routers = vec![router(|_| {})];
    let mut script = Script {
        node: HaNode::new(NodeConfig { routers, ..NodeConfig::default() }),
        now: Now { instant: Instant::ZERO, wall: WallTime::default() },
        actions: Actions::default(),
    };
    let addresses = vec![held_address(OWN, false), held_address("192.0.2.51", true)];
    let view = KernelView { links: vec![link(true)], addresses, ..KernelView::default() };
    script.tell(Event::Kernel(KernelEvent::View(view)));
    assert_eq!(script.state(), State::Initialize);
    script.take();
    script.tell(Event::BeginMaintenance(None));
    assert_eq!(script.state(), State::Fault);
    assert_eq!(script.obey(), [Verb::Remove]);
    let same = script.node.config();
    script.tell(Event::Reconfigure(same));
    assert!(script.take().is_empty());
}

#[test]
fn what_a_reload_leaves_over_is_handed_out_when_nothing_needs_it() {
    let mut script = Script::new(|config| config.priority = Priority(150));
    script.pass(4_000);
    script.obey();
    assert!(script.node.take_retired().is_none(), "nothing was reloaded");
    let mut config = script.node.config();
    script.tell(Event::Reconfigure(config.clone()));
    assert!(script.node.take_retired().is_some(), "a second copy of the same");
    config.routers[0].vrid = Vrid::new(77).unwrap();
    script.tell(Event::Reconfigure(config));
    assert!(script.node.take_retired().is_none(), "the router that goes has an address still");
    script.obey();
    assert!(script.node.take_retired().is_some());
    assert!(script.node.take_retired().is_none());
}

#[test]
fn a_switch_over_keeps_the_addresses_until_the_successor_is_heard() {
    let mut script = Script::new(|config| config.priority = Priority(150));
    script.pass(4_000);
    script.obey();
    script.tell(Event::SwitchOver(SwitchOver::ALL));
    assert_eq!(script.priorities_sent(), [0]);
    script.take();
    script.pass(500);
    assert!(
        {
            let actions = script.take();
            actions.len() == actions.announce.len() && !actions.stopped
        },
        "silent, addresses kept"
    );
    script.hear(RIVAL, 100);
    assert_eq!(script.state(), State::Backup);
    assert_eq!(script.obey(), [Verb::Remove]);
    for _ in 0..10 {
        script.pass(1_000);
        script.hear(RIVAL, 100);
    }
    assert_eq!(script.state(), State::Backup, "the higher priority does not count");
    script.tell(Event::SwitchBack(Whom::All));
    assert_eq!(script.state(), State::Master);
}

#[test]
fn a_switch_over_that_nobody_takes_is_abandoned_and_an_owner_refuses() {
    let mut script = Script::new(|_| {});
    script.pass(4_000);
    script.obey();
    script.tell(Event::SwitchOver(SwitchOver::ALL));
    script.pass(2_000);
    assert_eq!(script.state(), State::Master);
    assert!(script.take().reports().any(|report| report.kind == ReportKind::SwitchOverAbandoned));

    let mut script = Script::new(|config| config.priority = Priority::OWNER);
    script.take();
    script.tell(Event::SwitchOver(SwitchOver::ALL));
    assert!(script.priorities_sent().is_empty());
    assert!(script.take().reports().any(|report| report.kind == ReportKind::SwitchOverRefused));
}

#[test]
fn switching_back_before_a_successor_is_heard_ends_the_switch_over() {
    let mut script = Script::new(|_| {});
    script.pass(4_000);
    script.obey();
    script.tell(Event::SwitchOver(SwitchOver::ALL));
    script.take();
    script.tell(Event::SwitchBack(Whom::All));
    assert_eq!(script.priorities_sent(), [100]);
    assert_eq!(script.state(), State::Master);
    // A successor that was elected all the same is a rival of lower priority.
    script.hear(RIVAL, 50);
    assert_eq!(script.state(), State::Master);
    assert_eq!(script.priorities_sent(), [100, 100]);
}

#[test]
fn a_switch_over_delays_announcements_without_staying_due() {
    // Master at 3.6 s, second block of announcements at 8.6 s, in the middle of the switch-over.
    let mut script = Script::new(|_| {});
    script.pass(8_500);
    script.obey();
    script.tell(Event::SwitchOver(SwitchOver::ALL));
    script.now.instant += Duration::from_millis(200);
    script.node.handle_timeout(script.now, &mut script.actions);
    assert!(script.node.poll_timeout() > Some(script.now.instant), "the driver would spin");
    script.take();
    script.pass(2_000);
    assert!(!script.take().announce.is_empty(), "made up for");
}

#[test]
fn a_stall_restarts_the_wait_instead_of_electing() {
    let mut script = Script::new(|_| {});
    script.hear(RIVAL, 150);
    script.now.instant += Duration::from_secs(60);
    script.node.handle_timeout(script.now, &mut script.actions);
    assert_eq!(script.state(), State::Backup);
    assert_eq!(script.node.router(RouterId(0)).unwrap().counters().stalls, 1);
    script.pass(3_600);
    assert_eq!(script.state(), State::Backup);
    script.pass(20);
    assert_eq!(script.state(), State::Master);
}

#[test]
fn an_address_that_is_in_the_configuration_twice_is_asked_for_once() {
    let mut script = Script::new(|config| config.excluded = config.addresses.clone());
    script.pass(4_000);
    assert_eq!(script.obey(), [Verb::Add]);
    script.tell(Event::Stop);
    assert_eq!(script.obey(), [Verb::Remove]);
    assert!(script.actions.stopped);
}

#[test]
fn stopped_when_the_kernel_has_taken_the_addresses_away() {
    let mut script = Script::new(|_| {});
    script.pass(4_000);
    script.obey();
    script.tell(Event::Stop);
    assert!(!script.actions.stopped);
    assert_eq!(script.obey(), [Verb::Remove]);
    assert!(script.actions.stopped);
}

#[test]
fn a_master_that_lowers_its_priority_is_followed_as_it_is_and_a_worse_one_does_not_take_its_place() {
    let mut script = Script::new(|_| {});
    let followed = |script: &Script| script.node.router(RouterId(0)).unwrap().master();
    let master = |from: &str, priority| Some((from.parse().unwrap(), Priority(priority)));
    script.hear(RIVAL, 150);
    script.hear(RIVAL, 120);
    assert_eq!(followed(&script), master(RIVAL, 120));
    script.hear("192.0.2.30", 110);
    assert_eq!(followed(&script), master(RIVAL, 120));
    // It has not sent again for as long as a master may be silent.
    script.pass(3_500);
    script.hear("192.0.2.30", 110);
    script.pass(200);
    script.hear("192.0.2.30", 110);
    assert_eq!(followed(&script), master("192.0.2.30", 110));
    assert_eq!(script.state(), State::Backup);
}

#[test]
fn an_address_that_was_there_before_the_request_is_not_removed_though_the_answer_came_first() {
    for (told, removed) in [(vec![false], vec![]), (vec![true, false], vec![Verb::Remove])] {
        let mut script = Script::new(|_| {});
        script.pass(4_000);
        assert_eq!(script.obey(), [Verb::Add]);
        for ours in told {
            script.tell(Event::Kernel(KernelEvent::AddressPresent(held_address("192.0.2.51", ours))));
        }
        script.take();
        script.tell(Event::Stop);
        // What others change of an address of ours stays ours.
        assert_eq!(script.obey(), removed);
    }
}

#[test]
fn what_the_kernel_refuses_is_not_called_removed_by_somebody_else() {
    let mut script = Script::new(|_| {});
    script.pass(4_000);
    for _ in 0..3 {
        let actions = script.take();
        let request = actions.kernel.first().and_then(KernelRequest::addresses);
        let request = request.expect("it is tried again");
        let error = Some(crate::kernel::KernelError { errno: 1, message: "no".to_owned() });
        let outcomes = vec![AddressOutcome::of(&request.operations[0], error)];
        script.tell(Event::Addresses(AddressReply { requester: request.requester, outcomes }));
        let reports = |kind: fn(&ReportKind) -> bool| {
            actions.reports().chain(script.actions.reports()).filter(|report| kind(&report.kind)).count()
        };
        assert_eq!(reports(|kind| matches!(kind, ReportKind::AddressRefused { .. })), 1);
        assert_eq!(reports(|kind| matches!(kind, ReportKind::AddressRepaired { .. })), 0);
        script.take();
        script.pass(60_000);
    }
    assert_eq!(script.node.router(RouterId(0)).unwrap().counters().addresses_repaired, 0);
}

#[test]
fn routers_of_one_identity_are_kept_by_a_reload_in_their_order() {
    let router = |priority| RouterConfig {
        priority: Priority(priority),
        ..RouterConfig::new("R", Vrid::new(1).unwrap(), Family::Ipv4, "eth0".parse().unwrap())
    };
    let config = NodeConfig { routers: vec![router(10), router(20)], ..NodeConfig::default() };
    let now = Now { instant: Instant::ZERO, wall: WallTime::default() };
    let mut node = HaNode::new(config.clone());
    node.handle(now, Event::Kernel(KernelEvent::View(KernelView::default())), &mut Actions::default());
    let ids = |node: &HaNode| node.routers().map(VirtualRouter::id).collect::<Vec<_>>();
    let before = ids(&node);
    let mut actions = Actions::default();
    node.handle(now, Event::Reconfigure(config), &mut actions);
    assert_eq!((actions, ids(&node)), (Actions::default(), before));
}
