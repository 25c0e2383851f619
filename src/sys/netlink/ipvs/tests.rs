//! The bytes that `ipvsadm` 1.31 sends, and that whatever comes is read without a panic.

use core::net::Ipv4Addr;
use core::num::NonZeroU8;

use proptest::prelude::*;

use super::*;
use crate::kernel::ipvs::{
    DestinationSettings, FirewallMark, ForwardingMethod, GueChecksum, HostPort, IpvsKey, Persistence,
    PersistenceGranularity, Protocol, Scheduler, SchedulerFlags, ServiceSettings, SyncSettings, Tunnel,
};
use crate::net::Family;
use crate::sys::netlink::datagram;

fn target(address: &str, port: u16) -> HostPort {
    HostPort { address: address.parse().unwrap(), port: port.try_into().ok() }
}

fn web() -> ServiceKey {
    ServiceKey::Address(target("192.0.2.1", 80), Protocol::Tcp)
}

fn scheduled(scheduler: Scheduler) -> ServiceSettings {
    ServiceSettings { scheduler, ..ServiceSettings::default() }
}

/// Bytes in hexadecimal digits.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u32> = digits.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

/// `-t 192.0.2.1:80`.
const WEB: &str = "06000100 02000000 06000200 06000000 14000300 c0000201 00000000 00000000 00000000
    06000400 00500000";

#[test]
#[cfg(target_endian = "little")]
fn a_service_is_said_as_ipvsadm_says_it() {
    // -A -t 192.0.2.1:80 -s sh -b sh-port -p 100 -M 255.255.0.0
    let persistence = Persistence {
        timeout_s: 100.try_into().unwrap(),
        granularity: Some(PersistenceGranularity::Ipv4(Ipv4Addr::new(255, 255, 0, 0))),
        engine: None,
    };
    let settings = ServiceSettings {
        scheduler_flags: SchedulerFlags { second: true, ..SchedulerFlags::default() },
        persistence: Some(persistence),
        ..scheduled(Scheduler::SourceHash)
    };
    let entry = IpvsEntry::Service(web(), settings);
    let expected = format!(
        "54000180 {WEB} 07000600 73680000 0c000700 11000000 ffffffff 08000800 64000000 08000900 ffff0000"
    );
    assert_eq!(attributes(&entry), hex(&expected));
    assert_eq!(Request::edit(&entry).into_attributes(), hex(&expected));

    // -E -t 192.0.2.1:80 -s rr
    let expected = format!(
        "54000180 {WEB} 07000600 72720000 0c000700 00000000 ffffffff 08000800 00000000 08000900 ffffffff"
    );
    assert_eq!(attributes(&IpvsEntry::Service(web(), scheduled(Scheduler::RoundRobin))), hex(&expected));

    // -A -f 7 -6 -s rr
    let mark = FirewallMark { mark: 7.try_into().unwrap(), family: Family::Ipv6 };
    let key = ServiceKey::FirewallMark(mark);
    let expected = "38000180 06000100 0a000000 08000500 07000000 07000600 72720000 0c000700 00000000 ffffffff
        08000800 00000000 08000900 80000000";
    assert_eq!(attributes(&IpvsEntry::Service(key, scheduled(Scheduler::RoundRobin))), hex(expected));

    // -D -t 192.0.2.1:80; ipvsadm adds settings, which do not matter there.
    let request = Request::remove(IpvsKey { service: web(), destination: None });
    assert_eq!(request.into_attributes(), hex(&format!("30000180 {WEB}")));
}

#[test]
#[cfg(target_endian = "little")]
fn a_destination_is_said_as_ipvsadm_says_it() {
    // -a -t 192.0.2.1:80 -r 198.51.100.1:8080 -m -w 3 -x 20 -y 10
    let real = target("198.51.100.1", 8080);
    let settings = DestinationSettings {
        weight: 3,
        method: ForwardingMethod::Nat,
        upper_threshold: 20,
        lower_threshold: 10,
    };
    let expected = format!(
        "30000180 {WEB} 60000280 06000b00 02000000 14000100 c6336401 00000000 00000000 00000000 06000200 1f900000
         08000300 00000000 08000400 03000000 05000d00 00000000 06000e00 00000000 06000f00 00000000
         08000500 14000000 08000600 0a000000"
    );
    assert_eq!(attributes(&IpvsEntry::Destination(web(), real, settings)), hex(&expected));

    // -a -t 192.0.2.1:80 -r 198.51.100.2:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum
    let method =
        ForwardingMethod::Tunnel(Tunnel::Gue { port: 6080.try_into().unwrap(), checksum: GueChecksum::Full });
    let settings = DestinationSettings { weight: 1, method, ..DestinationSettings::default() };
    let expected = format!(
        "30000180 {WEB} 60000280 06000b00 02000000 14000100 c6336402 00000000 00000000 00000000 06000200 00500000
         08000300 02000000 08000400 01000000 05000d00 01000000 06000e00 17c00000 06000f00 01000000
         08000500 00000000 08000600 00000000"
    );
    assert_eq!(
        attributes(&IpvsEntry::Destination(web(), target("198.51.100.2", 80), settings)),
        hex(&expected)
    );

    let request = Request::remove(IpvsKey { service: web(), destination: Some(real) });
    let expected = format!(
        "30000180 {WEB} 28000280 06000b00 02000000 14000100 c6336401 00000000 00000000 00000000 06000200 1f900000"
    );
    assert_eq!(request.into_attributes(), hex(&expected));
}

#[test]
#[cfg(target_endian = "little")]
fn the_rest_is_said_as_ipvsadm_says_it() {
    // --set 900 120 300
    let timeouts = Timeouts { tcp: Some(900), tcp_fin: Some(120), udp: Some(300) };
    let expected = hex("08000400 84030000 08000500 78000000 08000600 2c010000");
    assert_eq!(Request::timeouts(&timeouts).into_attributes(), expected);
    assert_eq!(super::timeouts(&expected), timeouts);

    // --start-daemon master --mcast-interface lo --syncid 5
    let settings = SyncSettings {
        interface: "lo".parse().unwrap(),
        id: 5,
        max_length: None,
        group: None,
        port: None,
        ttl: None,
    };
    let daemon = SyncDaemon { role: SyncRole::Master, settings };
    let expected = hex("1c000380 08000100 01000000 07000200 6c6f0000 08000300 05000000");
    assert_eq!(Request::start(&daemon).into_attributes(), expected);
    assert_eq!(sync_daemon(&expected), Some(daemon));
    assert_eq!(Request::stop(SyncRole::Backup).into_attributes(), hex("0c000380 08000100 02000000"));
}

#[test]
fn counters_have_64_bits_where_the_kernel_tells_them() {
    let mut wide = Vec::new();
    for kind in 1..=10u16 {
        wide.extend([12u16.to_ne_bytes(), kind.to_ne_bytes()].concat());
        wide.extend((u64::from(kind) << 40).to_ne_bytes());
    }
    let mut narrow = Vec::new();
    for kind in 1..=10u16 {
        // Bytes have 64 bits there, too.
        let value =
            if matches!(kind, 4 | 5) { vec![kind as u8; 8] } else { u32::from(kind).to_ne_bytes().to_vec() };
        narrow.extend([(4 + value.len() as u16).to_ne_bytes(), kind.to_ne_bytes()].concat());
        narrow.extend(value);
    }
    let block = |kind: u16, bytes: &[u8]| {
        [&(4 + bytes.len() as u16).to_ne_bytes(), &kind.to_ne_bytes(), bytes].concat()
    };
    let key = attributes(&IpvsEntry::Service(web(), scheduled(Scheduler::RoundRobin)));
    let answer = |statistics: &[u8]| block(1, &[&key[4..], statistics].concat());
    let both = service(&answer(&[block(10, &narrow), block(12, &wide)].concat())).unwrap().statistics;
    assert_eq!(
        (both.connections, both.outgoing_bytes, both.outgoing_byte_rate),
        (1 << 40, 5 << 40, 10 << 40)
    );
    let old = service(&answer(&block(10, &narrow))).unwrap().statistics;
    assert_eq!((old.connections, old.outgoing_packets, old.outgoing_byte_rate), (1, 3, 10));
    assert_eq!(old.incoming_bytes, 0x0404_0404_0404_0404);
}

fn any_target(family: Family) -> BoxedStrategy<HostPort> {
    let address = match family {
        Family::Ipv4 => any::<u32>().prop_map(|bits| Ipv4Addr::from(bits).into()).boxed(),
        Family::Ipv6 => any::<u128>().prop_map(|bits| core::net::Ipv6Addr::from(bits).into()).boxed(),
    };
    (address, any::<u16>())
        .prop_map(|(address, port)| HostPort { address, port: port.try_into().ok() })
        .boxed()
}

fn any_family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)]
}

fn any_service() -> impl Strategy<Value = ServiceKey> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)];
    let address = (any_family().prop_flat_map(any_target), protocol)
        .prop_map(|(target, protocol)| ServiceKey::Address(target, protocol));
    let mark = (1..=u32::MAX, any_family()).prop_map(|(mark, family)| {
        ServiceKey::FirewallMark(FirewallMark { mark: mark.try_into().unwrap(), family })
    });
    prop_oneof![address, mark]
}

fn any_settings(family: Family) -> impl Strategy<Value = ServiceSettings> {
    let granularity = move |bits: u32| match family {
        Family::Ipv4 => PersistenceGranularity::Ipv4(bits.into()),
        Family::Ipv6 => PersistenceGranularity::Ipv6(NonZeroU8::new(bits as u8 % 127 + 1).unwrap()),
    };
    let persistence = (1..=2_678_400u32, 0..u32::MAX, any::<bool>(), any::<bool>()).prop_map(
        move |(timeout, bits, has_granularity, has_engine)| Persistence {
            timeout_s: timeout.try_into().unwrap(),
            granularity: has_granularity.then(|| granularity(bits)),
            engine: has_engine.then(|| "sip".into()),
        },
    );
    let flags = any::<[bool; 3]>().prop_map(|[first, second, third]| SchedulerFlags { first, second, third });
    (0..Scheduler::ALL.len(), flags, any::<bool>(), proptest::option::of(persistence)).prop_map(
        |(scheduler, scheduler_flags, one_packet, persistence)| ServiceSettings {
            scheduler: Scheduler::ALL[scheduler],
            scheduler_flags,
            one_packet,
            persistence,
        },
    )
}

fn any_method() -> impl Strategy<Value = ForwardingMethod> {
    let checksum = prop_oneof![Just(GueChecksum::None), Just(GueChecksum::Full), Just(GueChecksum::Remote)];
    let gue = (1..=u16::MAX, checksum)
        .prop_map(|(port, checksum)| Tunnel::Gue { port: port.try_into().unwrap(), checksum });
    let gre = any::<bool>().prop_map(|checksum| Tunnel::Gre { checksum });
    prop_oneof![
        Just(ForwardingMethod::Nat),
        Just(ForwardingMethod::DirectRouting),
        Just(ForwardingMethod::Tunnel(Tunnel::Ipip)),
        gre.prop_map(ForwardingMethod::Tunnel),
        gue.prop_map(ForwardingMethod::Tunnel),
    ]
}

proptest! {
    #[test]
    fn what_is_said_of_a_service_is_understood(
        (key, settings) in any_service().prop_flat_map(|key| (Just(key), any_settings(key.family())))
    ) {
        let held = service(&attributes(&IpvsEntry::Service(key, settings.clone()))).unwrap();
        prop_assert_eq!((held.key, held.settings), (key, Some(settings)));
    }

    #[test]
    fn what_is_said_of_a_destination_is_understood(
        key in any_service(),
        real in any_family().prop_flat_map(any_target),
        (weight, upper_threshold, lower_threshold) in any::<(u32, u32, u32)>(),
        method in any_method(),
    ) {
        let settings = DestinationSettings { weight, method, upper_threshold, lower_threshold };
        let held = destination(key, &attributes(&IpvsEntry::Destination(key, real, settings))).unwrap();
        prop_assert_eq!((held.target, held.settings), (real, Some(settings)));
    }

    #[test]
    fn no_answer_is_too_strange_to_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (service(&bytes), destination(web(), &bytes), sync_daemon(&bytes), information(&bytes));
        let _ = timeouts(&bytes);
        let _ = datagram::attributes(&bytes).count();
    }
}
