//! Real packets over a cable within one network namespace.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::Domain;

use super::batch::{Message, SendBatch};
use super::{Packet, ReceiveBatch, Receiver, Sender};
use crate::kernel::ReceiveSocket;
use crate::net::{Family, InterfaceIndex, InterfaceName, MacAddress, Prefix};
use crate::sys::namespace::Namespace;
use crate::sys::netlink::{Network, VethEnd};
use crate::sys::{clock, socket};
use crate::wire::ip::{IpFields, VRRP_PROTOCOL};

struct Cable {
    near: InterfaceIndex,
    sender: Sender,
    batch: ReceiveBatch,
    far: InterfaceIndex,
}

/// What was received, in values of its own.
#[derive(Debug, Eq, PartialEq)]
struct Got {
    source: IpAddr,
    destination: IpAddr,
    hop_limit: Option<u8>,
    payload: Vec<u8>,
    timed: bool,
}

fn in_a_namespace(test: &str, work: impl FnOnce(Cable) + Send) {
    in_namespace(test, |namespace| work(Cable::lay(namespace)));
}

fn in_namespace(test: &str, work: impl FnOnce(&Namespace) + Send) {
    let namespace = match Namespace::create() {
        Ok(namespace) => namespace,
        Err(error) => {
            return crate::skip::skip(test, &format!("no right to create a network namespace: {error}"));
        }
    };
    namespace.run(|| work(&namespace)).unwrap();
}

fn source(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::from([198, 18, 0, 1]),
        Family::Ipv6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0x10]),
    }
}

impl Cable {
    fn lay(here: &Namespace) -> Self {
        let mut socket = Network::open().unwrap();
        let [near, far]: [InterfaceName; 2] = ["near", "far"].map(|name| name.parse().unwrap());
        let end = |name, last| VethEnd { name, namespace: here, mac: MacAddress([2, 0, 0, 0, 0, last]) };
        socket.create_veth(end(&near, 1), end(&far, 2)).unwrap();
        let [near, far] = [near, far].map(|name| socket.index_of(&name).unwrap());
        for link in [near, far] {
            socket.set_up(link, true).unwrap();
        }
        for scope in ["all", "far"] {
            here.set(&format!("ipv4/conf/{scope}/rp_filter"), "0").unwrap();
        }
        // A source address that the kernel may use, without waiting for duplicate address detection.
        socket.add_address(near, Prefix::new("fe80::11".parse().unwrap(), 64).unwrap()).unwrap();
        for link in [near, far] {
            let start = Instant::now();
            while !socket.has_multicast_route(link).unwrap() {
                assert!(start.elapsed() < Duration::from_secs(30), "IPv6 does not become usable");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let sender = Sender::open().unwrap();
        let mut cable = Self { near, sender, batch: ReceiveBatch::default(), far };
        // Some time after the carrier the kernel begins to let packets through.
        for family in [Family::Ipv4, Family::Ipv6] {
            let (receiver, start) = (cable.receiver(family), Instant::now());
            loop {
                cable.send(family, 255, &[&[0; 8]]);
                if cable.batch.receive(&receiver, |_| {}).unwrap() > 0 {
                    break;
                }
                assert!(start.elapsed() < Duration::from_secs(30), "no packet gets through");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        cable
    }

    fn receiver(&self, family: Family) -> Receiver {
        Receiver::open(ReceiveSocket::vrrp(self.far, group(family))).unwrap()
    }

    fn send(&mut self, family: Family, hop_limit: u8, payloads: &[&[u8]]) {
        let packets: Vec<Packet<'_>> = payloads
            .iter()
            .map(|payload| Packet {
                link: Some(self.near),
                source: source(family),
                destination: group(family),
                ip: IpFields::vrrp(hop_limit),
                payload,
            })
            .collect();
        self.sender.send(&packets, |at, error| panic!("packet {at}: {error}"));
    }

    /// Waits for `count` packets, and gives those of use.
    fn receive(&mut self, receiver: &Receiver, count: usize) -> Vec<Got> {
        let (mut got, mut taken, start) = (Vec::new(), 0, Instant::now());
        while taken < count {
            assert!(start.elapsed() < Duration::from_secs(30), "{taken} of {count} packets arrived");
            taken += self
                .batch
                .receive(receiver, |packet| {
                    let age =
                        packet.arrived.map(|at| clock::wall().as_unix_micros().abs_diff(at.as_unix_micros()));
                    got.push(Got {
                        source: packet.source,
                        destination: packet.destination,
                        hop_limit: packet.hop_limit,
                        payload: packet.payload.to_vec(),
                        timed: age.is_some_and(|us| us < 60_000_000),
                    });
                })
                .unwrap();
        }
        assert_eq!(taken, count);
        got
    }
}

/// 224.0.0.18 and ff02::12.
fn group(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::from([224, 0, 0, 18]),
        Family::Ipv6 => IpAddr::from([0xff02, 0, 0, 0, 0, 0, 0, 0x12]),
    }
}

#[test]
fn each_packet_comes_with_all_that_the_kernel_tells() {
    in_a_namespace("each_packet_comes_with_all_that_the_kernel_tells", |mut cable| {
        // More than one system call takes, and the same buffers for both families in turn.
        let payloads: Vec<Vec<u8>> = (0..70).map(|number| vec![number; 8 + usize::from(number)]).collect();
        let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        let receivers = [Family::Ipv4, Family::Ipv6].map(|family| (family, cable.receiver(family)));
        for round in 0..3 {
            for (family, receiver) in &receivers {
                let hop_limit = 253 + round;
                cable.send(*family, hop_limit, &payloads);
                let got = cable.receive(receiver, payloads.len());
                let wanted: Vec<Got> = payloads
                    .iter()
                    .map(|payload| Got {
                        source: source(*family),
                        destination: group(*family),
                        hop_limit: Some(hop_limit),
                        payload: payload.to_vec(),
                        timed: true,
                    })
                    .collect();
                assert_eq!(got, wanted, "{family:?}, round {round}");
            }
        }
    });
}

/// A host of its own at the far end of a cable, with an address for each family.
struct Neighbour {
    namespace: Namespace,
    link: InterfaceIndex,
}

const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

impl Neighbour {
    fn lay(here: &Namespace) -> (Self, InterfaceIndex) {
        let namespace = Namespace::create().unwrap();
        for side in [here, &namespace] {
            side.set("ipv6/conf/default/accept_dad", "0").unwrap();
        }
        let mut socket = Network::open().unwrap();
        let [near, far]: [InterfaceName; 2] = ["near", "far"].map(|name| name.parse().unwrap());
        let end = |name, namespace, last| VethEnd { name, namespace, mac: MacAddress([2, 0, 0, 0, 0, last]) };
        socket.create_veth(end(&near, here, 1), end(&far, &namespace, 2)).unwrap();
        let near = socket.index_of(&near).unwrap();
        socket.set_up(near, true).unwrap();
        for family in FAMILIES {
            socket.add_address(near, subnet(Self::address(family, 1))).unwrap();
        }
        let link = namespace
            .run(|| {
                let mut socket = Network::open().unwrap();
                let link = socket.index_of(&far).unwrap();
                socket.set_up(link, true).unwrap();
                link
            })
            .unwrap();
        (Self { namespace, link }, near)
    }

    fn address(family: Family, host: u8) -> IpAddr {
        match family {
            Family::Ipv4 => IpAddr::from([198, 18, 0, host]),
            Family::Ipv6 => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(host)]),
        }
    }

    /// Gives it its address, or takes it away.
    fn set_address(&self, family: Family, there: bool) {
        let prefix = subnet(Self::address(family, 2));
        let change = || {
            let mut socket = Network::open().unwrap();
            if there {
                socket.add_address(self.link, prefix)
            } else {
                socket.remove_address(self.link, prefix)
            }
        };
        self.namespace.run(change).unwrap().unwrap();
    }

    /// A socket that is bound to its address.
    fn listen(&self, family: Family, protocol: u8) -> Receiver {
        let socket = ReceiveSocket { link: Some(self.link), address: Self::address(family, 2), protocol };
        self.namespace.run(|| Receiver::open(socket)).unwrap().unwrap()
    }
}

fn subnet(address: IpAddr) -> Prefix {
    Prefix::new(address, if address.is_ipv4() { 24 } else { 64 }).unwrap()
}

#[test]
fn a_socket_that_is_bound_to_an_address_is_opened_with_it_and_anew_when_it_comes_back() {
    let test = "a_socket_that_is_bound_to_an_address_is_opened_with_it_and_anew_when_it_comes_back";
    in_namespace(test, |here| {
        let (neighbour, near) = Neighbour::lay(here);
        let mut sender = Sender::open().unwrap();
        let mut batch = ReceiveBatch::default();
        for family in FAMILIES {
            let destination = Neighbour::address(family, 2);
            let mut send = |protocol: u8, hop_limit: u8, payload: &[u8]| {
                let ip = IpFields { protocol, ..IpFields::vrrp(hop_limit) };
                let source = Neighbour::address(family, 1);
                // Until the neighbour's address is resolved, packets may be refused.
                sender.send(&[Packet { link: Some(near), source, destination, ip, payload }], |_, _| {});
            };
            // An address that has just gone again keeps nobody from binding.
            drop(neighbour.listen(family, VRRP_PROTOCOL));
            for round in 1..=2 {
                neighbour.set_address(family, true);
                let receiver = neighbour.listen(family, VRRP_PROTOCOL);
                let start = Instant::now();
                let mut got = None;
                while got.is_none() {
                    assert!(start.elapsed() < Duration::from_secs(30), "{family}: nothing arrives");
                    send(51, 64, b"another protocol");
                    send(VRRP_PROTOCOL, 64, &[round; 8]);
                    batch
                        .receive(&receiver, |packet| {
                            assert_eq!(packet.payload, [round; 8], "{family}");
                            got = Some((packet.destination, packet.hop_limit));
                        })
                        .unwrap();
                    std::thread::sleep(Duration::from_millis(5));
                }
                assert_eq!(got, Some((destination, Some(64))), "{family}");
                neighbour.set_address(family, false);
            }
        }
    });
}

#[test]
fn a_packet_that_is_longer_than_any_advertisement_is_dropped() {
    in_a_namespace("a_packet_that_is_longer_than_any_advertisement_is_dropped", |mut cable| {
        for family in [Family::Ipv4, Family::Ipv6] {
            let receiver = cable.receiver(family);
            let mut socket = Network::open().unwrap();
            for link in [cable.near, cable.far] {
                socket.set_mtu(link, 9000).unwrap();
            }
            cable.send(family, 255, &[&[1; 8], &[2; 6000], &[3; 8]]);
            let got = cable.receive(&receiver, 3);
            assert_eq!(got.iter().map(|got| got.payload[0]).collect::<Vec<_>>(), [1, 3], "{family:?}");
        }
    });
}

/// 85 IPv6 addresses at the least MTU of IPv6, between packets that need no fragments.
#[test]
fn an_ipv6_packet_beyond_the_mtu_leaves_in_fragments() {
    in_a_namespace("an_ipv6_packet_beyond_the_mtu_leaves_in_fragments", |mut cable| {
        let receiver = cable.receiver(Family::Ipv6);
        let mut socket = Network::open().unwrap();
        socket.set_mtu(cable.near, 1280).unwrap();
        let fits = 1280 - crate::wire::ip::IPV6_HEADER_LENGTH;
        for length in [fits, fits + 1, 8 + 16 * 85, 8 + 16 * 255] {
            let long: Vec<u8> = (0..length).map(|at| at as u8).collect();
            cable.send(Family::Ipv6, 255, &[&[1; 8], &long, &[3; 8]]);
            let mut got = cable.receive(&receiver, 3);
            got.sort_unstable_by_key(|got| got.payload.len());
            let [_, _, got] = got.as_slice() else { panic!("{length}: {got:?}") };
            assert_eq!(
                (got.source, got.destination),
                (source(Family::Ipv6), group(Family::Ipv6)),
                "{length}"
            );
            assert_eq!(got.hop_limit, Some(255), "{length}");
            assert_eq!(got.payload, long, "{length}");
        }
        // IPv4 advertisements are never fragmented.
        let packet = Packet {
            link: Some(cable.near),
            source: source(Family::Ipv4),
            destination: group(Family::Ipv4),
            ip: IpFields::vrrp(255),
            payload: &[0; 1261],
        };
        let mut failures = Vec::new();
        cable.sender.send(&[packet], |at, error| failures.push((at, error.raw_os_error())));
        assert_eq!(failures, [(0, Some(libc::EMSGSIZE))]);
    });
}

#[test]
fn one_packet_without_a_time_of_arrival_costs_the_others_nothing() {
    in_a_namespace("one_packet_without_a_time_of_arrival_costs_the_others_nothing", |mut cable| {
        for family in [Family::Ipv4, Family::Ipv6] {
            let receiver = cable.receiver(family);
            let mut timed = |on| {
                setsockopt(&receiver.as_fd(), sockopt::ReceiveTimestampns, &on).unwrap();
                cable.send(family, 255, &[&[1; 8]]);
                cable.receive(&receiver, 1)
            };
            assert!(!timed(false)[0].timed);
            // The kernel now took less room for what it tells than it was offered.
            let got = timed(true);
            assert!(got.len() == 1 && got[0].timed, "{family:?}: {got:?}");
            assert_eq!(got[0].destination, group(family));
        }
    });
}

#[test]
fn nothing_that_waits_is_no_packet() {
    in_a_namespace("nothing_that_waits_is_no_packet", |mut cable| {
        let receiver = cable.receiver(Family::Ipv4);
        assert_eq!(cable.batch.receive(&receiver, |_| panic!("nothing was sent")).unwrap(), 0);
    });
}

#[test]
fn a_message_that_cannot_be_sent_is_named_and_the_others_leave() {
    in_a_namespace("a_message_that_cannot_be_sent_is_named_and_the_others_leave", |mut cable| {
        let absent = InterfaceIndex::new(0x7fff_0000).unwrap();
        let good = |link: InterfaceIndex, payload| Packet {
            link: Some(link),
            source: source(Family::Ipv4),
            destination: group(Family::Ipv4),
            ip: IpFields::vrrp(255),
            payload,
        };
        let too_long = vec![0; 70_000];
        let mut packets = vec![good(cable.near, &[7; 8]); 130];
        packets[0].link = Some(absent);
        packets[65].payload = &too_long;
        packets[66].source = source(Family::Ipv6);
        packets[129].link = Some(absent);
        let receiver = cable.receiver(Family::Ipv4);
        let mut failures = Vec::new();
        cable.sender.send(&packets, |at, error| failures.push((at, error.raw_os_error())));
        failures.sort_unstable();
        assert_eq!(failures.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 65, 66, 129]);
        assert_eq!(failures[1].1, Some(libc::EMSGSIZE));
        assert_eq!(cable.receive(&receiver, 126).len(), 126);
    });
}

#[test]
fn a_frame_leaves_as_it_is() {
    in_a_namespace("a_frame_leaves_as_it_is", |cable| {
        let listener = socket::open_raw(Domain::PACKET, i32::from((libc::ETH_P_ARP as u16).to_be())).unwrap();
        let sender = socket::open_raw(Domain::PACKET, 0).unwrap();
        let mut frame = vec![0xff; 6];
        frame.extend([2, 0, 0, 0, 0, 1, 0x08, 0x06]);
        frame.extend(1..=46);
        let message = (0, Ok::<_, io::Error>(Message::frame(cable.near, &frame)));
        SendBatch::default().send(&sender, [message], |_, error| panic!("{error}"));
        let start = Instant::now();
        loop {
            let mut got = [0; 100];
            match io::Read::read(&mut &listener, &mut got) {
                Ok(length) => {
                    assert_eq!(got[..length], frame);
                    break;
                }
                Err(error) => assert!(start.elapsed() < Duration::from_secs(30), "{error}"),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}
