//! By which way a message comes, and where it is listened for.

use super::*;
use crate::vrrp::UnicastPeer;
use crate::wire::vrrp::{HopLimits, RejectionKind};

const PEER: &str = "192.0.2.30";

/// One that speaks to a peer at its own address.
fn unicast(config: &mut RouterConfig) {
    config.name = "VI_2".into();
    config.source = OWN.parse().ok();
    config.destinations = Destinations::Unicast(vec![peer()]);
}

fn peer() -> UnicastPeer {
    PEER.parse::<IpAddr>().unwrap().into()
}

fn own_socket() -> ReceiveSocket {
    ReceiveSocket::vrrp(ETH0, OWN.parse().unwrap())
}

fn listen(script: &mut Script, socket: ReceiveSocket) {
    assert!(script.take().sockets.contains(&SocketRequest::Open(socket)));
    script.tell(Event::Socket(SocketEvent::Opened(socket)));
}

/// A message of priority 200 from the peer to our own address.
fn hear_by(script: &mut Script, socket: ReceiveSocket, hop_limit: u8) {
    let (source, destination): (IpAddr, IpAddr) = (PEER.parse().unwrap(), OWN.parse().unwrap());
    let advertisement = advertisement(200, AdvertisementInterval::ONE_SECOND, "192.0.2.51");
    let payload = advertisement.encode(source, destination, ChecksumMode::PseudoHeader);
    let datagram = Datagram {
        socket,
        source,
        destination,
        hop_limit: Some(hop_limit),
        header: &[],
        payload: &payload,
        verdicts: None,
    };
    script.node.handle_datagram(script.now, &datagram, &mut script.actions);
}

#[test]
fn a_message_is_for_those_who_listen_by_its_socket() {
    let mut script = Script::new(|_| {});
    let routers = vec![router(|_| {}), router(unicast)];
    script.tell(Event::Reconfigure(NodeConfig { routers, ..NodeConfig::default() }));
    listen(&mut script, own_socket());
    let counted = |script: &Script, id| {
        let counters = script.node.router(RouterId(id)).unwrap().counters();
        (counters.advertisements_received, counters.rejected(RejectionKind::Destination))
    };
    hear_by(&mut script, own_socket(), 64);
    assert_eq!([0, 1].map(|id| counted(&script, id)), [(0, 0), (1, 0)]);
    // The kernel gives a copy to the socket of the group.
    let group = ReceiveSocket::vrrp(ETH0, "224.0.0.18".parse().unwrap());
    hear_by(&mut script, group, 255);
    assert_eq!([0, 1].map(|id| counted(&script, id)), [(0, 1), (1, 0)]);
    assert_eq!(script.node.unknown_vrids(), 0);
}

#[test]
fn a_message_that_equals_the_last_one_is_checked_as_that_was() {
    let mut script = Script::with_socket(own_socket(), |config| {
        unicast(config);
        let hop_limits = HopLimits { least: 64, most: 255 };
        config.destinations = Destinations::Unicast(vec![UnicastPeer { hop_limits, ..peer() }]);
    });
    for (hop_limit, received, rejected) in [(64, 1, 0), (64, 2, 0), (63, 2, 1), (255, 3, 1)] {
        hear_by(&mut script, own_socket(), hop_limit);
        let counters = script.node.router(RouterId(0)).unwrap().counters();
        let counted = (counters.advertisements_received, counters.rejected(RejectionKind::HopLimit));
        assert_eq!(counted, (received, rejected), "{hop_limit}");
    }
}

#[test]
fn a_unicast_socket_goes_with_its_address_and_comes_back_with_it() {
    let mut script = Script::with_socket(own_socket(), unicast);
    script.take();
    let held = held_address(OWN, false);
    script.tell(Event::Kernel(KernelEvent::AddressGone { link: ETH0, prefix: held.prefix }));
    let actions = script.take();
    assert_eq!(actions.sockets, [SocketRequest::Close(own_socket())]);
    let causes: Vec<String> = actions.transitions().map(|t| t.cause.to_string()).collect();
    assert_eq!(causes, ["source address 192.0.2.10 is not on interface eth0"]);
    script.tell(Event::Kernel(KernelEvent::AddressPresent(held)));
    assert_eq!(script.state(), State::Fault, "it does not listen yet");
    listen(&mut script, own_socket());
    assert_eq!(script.state(), State::Backup);
    script.pass(4_000);
    let sent: Vec<(IpAddr, u8)> =
        script.take().transmit.iter().map(|sent| (sent.destination, sent.ip.hop_limit)).collect();
    assert_eq!(sent, [(PEER.parse().unwrap(), 255)]);
}
