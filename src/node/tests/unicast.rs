//! Routers that speak to peers at their own addresses: who is heard, from where, by which checksum.

use std::net::Ipv4Addr;

use super::*;
use crate::vrrp::{OldChecksum, Report, RouterInterfaces, UnicastPeer};
use crate::wire::vrrp::{HopLimits, RejectionKind};

const FIRST: &str = "192.0.2.30";
const SECOND: &str = "192.0.2.31";
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn peers(texts: &[&str]) -> Destinations {
    Destinations::Unicast(texts.iter().map(|text| address(text).into()).collect())
}

fn unicast(config: &mut RouterConfig) {
    config.source = Some(address(OWN));
    config.destinations = peers(&[FIRST, SECOND]);
}

/// The same without `interface`.
fn routed(config: &mut RouterConfig) {
    unicast(config);
    config.interfaces = RouterInterfaces::routed("eth0".parse().unwrap(), None);
}

fn own_socket() -> ReceiveSocket {
    ReceiveSocket::vrrp(ETH0, address(OWN))
}

/// A message from somebody to our own address.
struct Heard<'a> {
    from: &'a str,
    priority: u8,
    hop_limit: u8,
    checksum: ChecksumMode,
}

impl Default for Heard<'_> {
    fn default() -> Self {
        Self { from: FIRST, priority: 200, hop_limit: 255, checksum: ChecksumMode::PseudoHeader }
    }
}

impl Script {
    fn hear_by(&mut self, socket: ReceiveSocket, destination: &str, heard: &Heard<'_>) {
        let (source, destination) = (address(heard.from), address(destination));
        let advertisement = advertisement(heard.priority, AdvertisementInterval::ONE_SECOND, "192.0.2.51");
        let payload = advertisement.encode(source, destination, heard.checksum);
        let hop_limit = Some(heard.hop_limit);
        let datagram = Datagram {
            socket,
            source,
            destination,
            hop_limit,
            header: &[],
            payload: &payload,
            verdicts: None,
        };
        self.node.handle_datagram(self.now, &datagram, &mut self.actions);
    }

    fn hear_own(&mut self, heard: &Heard<'_>) {
        self.hear_by(own_socket(), OWN, heard);
    }

    fn counted(&self, id: u32, kind: RejectionKind) -> (u64, u64) {
        let counters = self.node.router(RouterId(id)).unwrap().counters();
        (counters.advertisements_received, counters.rejected(kind))
    }

    fn reports(&mut self) -> Vec<String> {
        self.take().reports().map(|report: &Report| report.kind.to_string()).collect()
    }

    fn causes(&mut self) -> Vec<String> {
        self.take().transitions().map(|transition| transition.cause.to_string()).collect()
    }
}

#[test]
fn strangers_are_heard_unless_the_source_is_checked() {
    let stranger = Heard { from: "192.0.2.99", ..Heard::default() };
    let mut script = Script::with_socket(own_socket(), unicast);
    script.hear_own(&stranger);
    assert_eq!(script.counted(0, RejectionKind::Stranger), (1, 0));

    let mut script = Script::with_socket(own_socket(), |config| {
        unicast(config);
        config.check_source = true;
    });
    script.take();
    for _ in 0..3 {
        script.hear_own(&stranger);
    }
    script.hear_own(&Heard::default());
    assert_eq!(script.counted(0, RejectionKind::Stranger), (1, 3));
    let told = script.reports();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("192.0.2.99 is no unicast_peer of ours"), "{told:?}");
    assert!(told[1].contains("is heard for the first time"), "{told:?}");
}

#[test]
fn each_peer_has_hop_limits_of_its_own() {
    let limits =
        |text, least, most| UnicastPeer { address: address(text), hop_limits: HopLimits { least, most } };
    let mut script = Script::with_socket(own_socket(), |config| {
        unicast(config);
        config.destinations = Destinations::Unicast(vec![limits(FIRST, 254, 255), limits(SECOND, 0, 64)]);
    });
    for (from, hop_limit, counted) in [
        (FIRST, 255, (1, 0)),
        (FIRST, 253, (1, 1)),
        (SECOND, 255, (1, 2)),
        (SECOND, 64, (2, 2)),
        ("192.0.2.99", 1, (3, 2)),
    ] {
        script.hear_own(&Heard { from, hop_limit, ..Heard::default() });
        assert_eq!(script.counted(0, RejectionKind::HopLimit), counted, "{from} {hop_limit}");
    }
}

#[test]
fn routers_that_share_a_source_are_told_apart_by_their_peers() {
    let router = |name: &str, peer| {
        router(|config| {
            unicast(config);
            config.name = name.into();
            config.destinations = peers(&[peer]);
        })
    };
    let mut script = Script::with_socket(own_socket(), |config| *config = router("A", FIRST));
    let routers = vec![router("A", FIRST), router("B", SECOND)];
    script.tell(Event::Reconfigure(NodeConfig { routers: routers.clone(), ..NodeConfig::default() }));
    assert!(script.take().sockets.is_empty(), "they share the socket");
    script.hear_own(&Heard { from: SECOND, ..Heard::default() });
    assert_eq!([0, 1].map(|id| script.counted(id, RejectionKind::Stranger).0), [0, 1]);
    script.hear_own(&Heard { from: FIRST, ..Heard::default() });
    assert_eq!([0, 1].map(|id| script.counted(id, RejectionKind::Stranger).0), [1, 1]);
    assert_eq!(script.node.unknown_vrids(), 0);
    // Each stays itself over a reload, and the socket goes with the last one.
    script.take();
    script.tell(Event::Reconfigure(NodeConfig { routers, ..NodeConfig::default() }));
    assert!(script.take().is_empty());
    script.tell(Event::Reconfigure(NodeConfig::default()));
    assert_eq!(script.take().sockets, [SocketRequest::Close(own_socket())]);
}

#[test]
fn another_source_is_another_router_over_a_reload() {
    let mut script = Script::with_socket(own_socket(), unicast);
    let other = held_address("192.0.2.11", false);
    script.tell(Event::Kernel(KernelEvent::AddressPresent(other)));
    script.take();
    let routers = vec![router(|config| {
        unicast(config);
        config.source = Some(address("192.0.2.11"));
    })];
    script.tell(Event::Reconfigure(NodeConfig { routers, ..NodeConfig::default() }));
    assert!(script.node.router(RouterId(0)).is_none());
    assert_eq!(script.node.router(RouterId(1)).unwrap().source(), Some(address("192.0.2.11")));
}

#[test]
fn a_message_to_the_group_is_none_for_a_unicast_router() {
    let mut script = Script::new(|config| config.vrid = Vrid::new(52).unwrap());
    let routers = vec![
        router(|config| config.vrid = Vrid::new(52).unwrap()),
        router(|config| {
            unicast(config);
            config.name = "VI_2".into();
        }),
    ];
    script.tell(Event::Reconfigure(NodeConfig { routers, ..NodeConfig::default() }));
    script.tell(Event::Socket(SocketEvent::Opened(own_socket())));
    script.take();
    script.hear_by(ReceiveSocket::vrrp(ETH0, GROUP.into()), "224.0.0.18", &Heard::default());
    assert_eq!(script.counted(1, RejectionKind::Destination), (0, 1));
    assert_eq!(script.node.unknown_vrids(), 0);
    // What was sent to its own address it has heard by its own socket already.
    script.hear_by(ReceiveSocket::vrrp(ETH0, GROUP.into()), OWN, &Heard::default());
    assert_eq!(script.counted(1, RejectionKind::Destination), (0, 1));
    let told = script.reports();
    assert!(told[0].contains("sent to the group 224.0.0.18, while we use unicast"), "{told:?}");
}

#[test]
fn a_router_without_peers_is_in_fault() {
    let mut script = Script::with_socket(own_socket(), |config| {
        unicast(config);
        config.destinations = peers(&[]);
    });
    assert_eq!(script.state(), State::Fault);
    let faults = script.node.router(RouterId(0)).unwrap().faults();
    assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), ["no unicast peers"]);
    let routers = vec![router(unicast)];
    script.tell(Event::Reconfigure(NodeConfig { routers, ..NodeConfig::default() }));
    assert_eq!(script.state(), State::Backup);
}

#[test]
fn a_list_of_all_routers_is_sent_to_the_others() {
    let mut script = Script::with_socket(own_socket(), |config| {
        unicast(config);
        config.destinations = peers(&[FIRST, OWN, SECOND]);
    });
    script.pass(4_000);
    let sent: Vec<IpAddr> = script.take().transmit.iter().map(|sent| sent.destination).collect();
    assert_eq!(sent, [address(FIRST), address(SECOND)]);
}

/// Whether the advertisement to each destination is summed with the group.
fn sums(script: &mut Script) -> Vec<(IpAddr, bool)> {
    let sum = |mode, destination| {
        advertisement(100, AdvertisementInterval::ONE_SECOND, "192.0.2.51").encode(
            address(OWN),
            destination,
            mode,
        )
    };
    let actions = script.take();
    let of = |sent: &crate::vrrp::Transmission| {
        let old = *sent.payload == *sum(ChecksumMode::Group(GROUP), sent.destination);
        assert!(old || *sent.payload == *sum(ChecksumMode::PseudoHeader, sent.destination));
        (sent.destination, old)
    };
    actions.transmit.iter().map(of).collect()
}

#[test]
fn a_peer_with_the_old_checksum_is_answered_with_it() {
    let [first, second] = [FIRST, SECOND].map(address);
    let old = Heard { priority: 90, checksum: ChecksumMode::Group(GROUP), ..Heard::default() };
    let mut script = Script::with_socket(own_socket(), |config| {
        unicast(config);
        config.old_checksum = OldChecksum::Detect(GROUP);
    });
    script.pass(4_000);
    assert_eq!(sums(&mut script)[..2], [(first, false), (second, false)]);
    script.hear_own(&old);
    assert_eq!(script.counted(0, RejectionKind::Checksum), (1, 0));
    assert!(script.reports().iter().any(|line| line.contains("the checksums of 192.0.2.30")));
    script.hear_own(&Heard { from: "192.0.2.99", ..old });
    script.hear_own(&old);
    assert!(
        !script.reports().iter().any(|line| line.contains("the checksums of")),
        "said once, and of peers"
    );
    script.pass(1_000);
    assert_eq!(sums(&mut script)[..2], [(first, true), (second, false)]);
    // It was updated.
    script.hear_own(&Heard { priority: 90, ..Heard::default() });
    script.take();
    script.pass(1_000);
    assert_eq!(sums(&mut script)[..2], [(first, false), (second, false)]);
}

#[test]
fn checksums_that_change_with_each_packet_are_not_told_each_time() {
    let mut script = Script::with_socket(own_socket(), |config| {
        unicast(config);
        config.old_checksum = OldChecksum::Detect(GROUP);
    });
    script.take();
    for checksum in [ChecksumMode::Group(GROUP), ChecksumMode::PseudoHeader].repeat(5) {
        script.hear_own(&Heard { checksum, ..Heard::default() });
    }
    let about = |lines: &[String]| lines.iter().filter(|line| line.contains("checksums")).count();
    assert_eq!(about(&script.reports()), 1);
    script.pass(1_000);
    let lines = script.reports();
    assert!(
        lines.iter().any(|line| line == "9 more changes of a peer's checksums within a second"),
        "{lines:?}"
    );
}

#[test]
fn the_old_checksum_may_be_always_or_never() {
    let old = Heard { checksum: ChecksumMode::Group(GROUP), ..Heard::default() };
    for (setting, first, counted) in [
        (OldChecksum::Never, false, (0, 1)),
        (OldChecksum::Detect(GROUP), false, (1, 0)),
        (OldChecksum::Always(GROUP), true, (1, 0)),
    ] {
        let mut script = Script::with_socket(own_socket(), |config| {
            unicast(config);
            config.old_checksum = setting;
        });
        script.pass(4_000);
        assert_eq!(sums(&mut script)[0], (address(FIRST), first), "{setting:?}");
        script.hear_own(&old);
        assert_eq!(script.counted(0, RejectionKind::Checksum), counted, "{setting:?}");
    }
}

#[test]
fn without_an_interface_the_source_address_decides() {
    let socket = ReceiveSocket::vrrp(None, address(OWN));
    let mut script = Script::with_socket(socket, routed);
    script.take();
    assert_eq!(script.state(), State::Backup);
    script.hear_by(socket, OWN, &Heard::default());
    assert_eq!(script.counted(0, RejectionKind::Destination), (1, 0));
    script.pass(4_000);
    let links: Vec<_> = script.take().transmit.iter().map(|sent| (sent.link, sent.source)).collect();
    assert_eq!(links[..2], [(None, address(OWN)); 2]);
    // It moves to another interface: nothing happens but for the moment in between.
    let held = held_address(OWN, false);
    let eth1 = InterfaceIndex::new(7).unwrap();
    script.tell(Event::Kernel(KernelEvent::LinkChanged(Link {
        key: eth1,
        name: "eth1".parse().unwrap(),
        ..link(true)
    })));
    script.tell(Event::Kernel(KernelEvent::AddressPresent(HeldAddress { link: eth1, ..held.clone() })));
    script.tell(Event::Kernel(KernelEvent::AddressGone { link: ETH0, prefix: held.prefix }));
    assert!(script.take().transitions().next().is_none());
    assert_eq!(script.state(), State::Master);
    // The interface that has it goes, and the address with it.
    script.tell(Event::Kernel(KernelEvent::LinkGone(eth1)));
    assert_eq!(script.causes(), ["source address 192.0.2.10 is not on this host"]);
    script.tell(Event::Kernel(KernelEvent::AddressPresent(held)));
    assert!(script.take().sockets.contains(&SocketRequest::Open(socket)));
    script.tell(Event::Socket(SocketEvent::Opened(socket)));
    assert_eq!(script.state(), State::Backup);
}

#[test]
fn a_static_address_is_a_source_and_a_virtual_one_of_the_router_is_none() {
    let source = address("192.0.2.77");
    let routers = |is_virtual: bool| {
        vec![router(|config| {
            unicast(config);
            config.source = Some(source);
            if is_virtual {
                config.addresses[0].spec = AddressSpec::new(Prefix::new(source, 24).unwrap());
            }
        })]
    };
    for is_virtual in [false, true] {
        let mut script = Script::new(|_| {});
        let routers = routers(is_virtual);
        script.tell(Event::Reconfigure(NodeConfig { routers, ..NodeConfig::default() }));
        script.tell(Event::Kernel(KernelEvent::AddressPresent(held_address("192.0.2.77", true))));
        let opened = SocketRequest::Open(ReceiveSocket::vrrp(ETH0, source));
        assert_eq!(script.take().sockets.contains(&opened), !is_virtual);
    }
}

#[test]
fn a_multicast_router_faults_without_its_source_only_if_it_tracks_it() {
    for track in [false, true] {
        let mut script = Script::new(|config| {
            config.source = Some(address(OWN));
            config.track_source = track;
        });
        script.take();
        let held = held_address(OWN, false);
        script.tell(Event::Kernel(KernelEvent::AddressGone { link: ETH0, prefix: held.prefix }));
        assert_eq!(script.state(), if track { State::Fault } else { State::Backup });
        script.tell(Event::Kernel(KernelEvent::AddressPresent(held)));
        assert_eq!(script.state(), State::Backup);
    }
}
