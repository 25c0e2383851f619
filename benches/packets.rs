//! Cost of sending and receiving advertisements and announcements on real sockets, in a network namespace of its
//! own: `cargo bench --bench packets` (root, or user namespaces).

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::disallowed_types)]

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use alived::kernel::{Announcement, ReceiveSocket};
use alived::net::{Family, InterfaceIndex, InterfaceName, MacAddress, Prefix};
use alived::sys::namespace::{self, Namespace};
use alived::sys::netlink::{Network, VethEnd};
use alived::sys::packet::{Announcer, Frame, Packet, ReceiveBatch, Receiver, Sender};
use alived::wire::ip::IpFields;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

/// As many as one system call takes at most.
const BATCH: usize = ReceiveBatch::CAPACITY;

/// An advertisement of one address.
const PAYLOAD: [u8; 12] = [0x31, 51, 100, 1, 0, 100, 0, 0, 192, 0, 2, 1];

/// A cable with both ends in this namespace, and the sockets on it.
struct Ends {
    near: InterfaceIndex,
    sender: Sender,
    announcer: Announcer,
    receivers: [Receiver; 2],
    batch: ReceiveBatch,
}

thread_local! {
    static ENDS: RefCell<Option<Ends>> = const { RefCell::new(None) };
}

fn main() {
    if let Err(forbidden) = namespace::acquire_privilege() {
        println!("packets: no right to create network namespaces ({})", forbidden.error);
        return;
    }
    ENDS.set(Some(Ends::connect()));
    divan::main();
}

impl Ends {
    fn connect() -> Self {
        let here = Namespace::current().unwrap();
        let mut socket = Network::open().unwrap();
        let names: [InterfaceName; 2] = ["near".parse().unwrap(), "far".parse().unwrap()];
        let end = |side: usize| VethEnd {
            name: &names[side],
            namespace: &here,
            mac: MacAddress([2, 0, 0, 0, 0, side as u8]),
        };
        socket.create_veth(end(0), end(1)).unwrap();
        let near = socket.index_of(&names[0]).unwrap();
        let far = socket.index_of(&names[1]).unwrap();
        for link in [near, far] {
            socket.set_up(link, true).unwrap();
        }
        here.set("ipv4/conf/all/rp_filter", "0").unwrap();
        here.set("ipv4/conf/far/rp_filter", "0").unwrap();
        // A source address that the kernel may use, without waiting for duplicate address detection.
        socket.add_address(near, Prefix::new("fe80::11".parse().unwrap(), 64).unwrap()).unwrap();
        let start = Instant::now();
        while ![near, far].iter().all(|link| socket.has_multicast_route(*link).unwrap()) {
            assert!(start.elapsed() < Duration::from_secs(30), "IPv6 does not become usable");
            std::thread::sleep(Duration::from_millis(10));
        }
        let receiver = |family| {
            let address = alived::vrrp::default_group(family);
            Receiver::open(ReceiveSocket::vrrp(far, address))
        };
        Self {
            near,
            sender: Sender::open().unwrap(),
            announcer: Announcer::open().unwrap(),
            receivers: [receiver(Family::Ipv4).unwrap(), receiver(Family::Ipv6).unwrap()],
            batch: ReceiveBatch::default(),
        }
    }

    fn send(&mut self, family: Family, count: usize) {
        let source = match family {
            Family::Ipv4 => IpAddr::from([198, 18, 0, 1]),
            Family::Ipv6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0x10]),
        };
        let packet = Packet {
            link: Some(self.near),
            source,
            destination: alived::vrrp::default_group(family),
            ip: IpFields::vrrp(255),
            payload: &PAYLOAD,
        };
        self.sender.send(&vec![packet; count], |_, error| panic!("{error}"));
    }

    fn receive(&mut self, family: Family) -> usize {
        let receiver = &self.receivers[usize::from(family == Family::Ipv6)];
        self.batch
            .receive(receiver, |packet| {
                black_box(packet);
            })
            .unwrap_or_default()
    }
}

fn with_ends<T>(work: impl FnOnce(&mut Ends) -> T) -> T {
    ENDS.with_borrow_mut(|ends| match ends {
        Some(ends) => work(ends),
        None => unreachable!("the benchmarks run on the main thread"),
    })
}

/// Waiting packets are read, as many as one system call takes.
#[divan::bench(args = [Family::Ipv4, Family::Ipv6], sample_size = 1, sample_count = 2000)]
fn receive_a_batch(bencher: Bencher<'_, '_>, family: Family) {
    bencher
        .counter(ItemsCount::new(BATCH))
        .with_inputs(|| {
            with_ends(|ends| {
                while ends.receive(family) > 0 {}
                ends.send(family, BATCH);
            });
        })
        .bench_local_values(|()| assert_eq!(with_ends(|ends| ends.receive(family)), BATCH));
}

/// A single packet is read.
#[divan::bench(args = [Family::Ipv4, Family::Ipv6], sample_size = 1, sample_count = 5000)]
fn receive_one(bencher: Bencher<'_, '_>, family: Family) {
    bencher
        .with_inputs(|| {
            with_ends(|ends| {
                while ends.receive(family) > 0 {}
                ends.send(family, 1);
            });
        })
        .bench_local_values(|()| assert_eq!(with_ends(|ends| ends.receive(family)), 1));
}

/// The packets reach the other end within the system call, so that most of this is the kernel's work.
#[divan::bench(args = [(Family::Ipv4, 1), (Family::Ipv4, 64), (Family::Ipv6, 1), (Family::Ipv6, 64)], sample_size = 1, sample_count = 2000)]
fn send(bencher: Bencher<'_, '_>, (family, count): (Family, usize)) {
    bencher
        .counter(ItemsCount::new(count))
        .with_inputs(|| with_ends(|ends| while ends.receive(family) > 0 {}))
        .bench_local_values(|()| with_ends(|ends| ends.send(family, count)));
}

/// Gratuitous ARP.
#[divan::bench(args = [1, 64], sample_size = 1, sample_count = 2000)]
fn announce(bencher: Bencher<'_, '_>, count: usize) {
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        with_ends(|ends| {
            let announcement = Announcement {
                link: ends.near,
                mac: MacAddress([0, 0, 0x5e, 0, 1, 51]),
                address: IpAddr::from([192, 0, 2, 1]),
                is_router: true,
                is_reply: false,
            };
            ends.announcer
                .send(&vec![Frame::announcement(&announcement); count], |_, error| panic!("{error}"));
        });
    });
}
