//! Cost of encoding and decoding an advertisement: `cargo bench --bench codec`.

use std::net::IpAddr;

use alived::net::Family;
use alived::secret::Secret;
use alived::wire::ip;
use alived::wire::vrrp::{
    Advertisement, AdvertisementInterval, AuthenticationData, ChecksumMode, Expectation, HopLimits,
    PacketHeader, Priority, Version, Vrid, decode,
};
use divan::{Bencher, black_box};

/// One address, and as many as keepalived once took at most.
const COUNTS: [u8; 2] = [1, 20];

fn main() {
    divan::main();
}

fn ends(family: Family) -> (IpAddr, IpAddr) {
    let source = match family {
        Family::Ipv4 => IpAddr::from([192, 0, 2, 10]),
        Family::Ipv6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0x10]),
    };
    (source, alived::vrrp::default_group(family))
}

fn advertisement(version: Version, family: Family, count: u8) -> Advertisement {
    let address = |host: u8| match family {
        Family::Ipv4 => IpAddr::from([192, 0, 2, host]),
        Family::Ipv6 => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(host)]),
    };
    let authentication = match version {
        Version::V2 => AuthenticationData::SimplePassword(Secret::new(*b"secret12")),
        Version::V3 => AuthenticationData::None,
    };
    Advertisement {
        version,
        vrid: Vrid::new(51).unwrap_or_else(|| unreachable!("51 is not 0")),
        priority: Priority::DEFAULT,
        interval: AdvertisementInterval::ONE_SECOND,
        addresses: (1..=count).map(address).collect(),
        authentication,
        trailer: None,
    }
}

fn bench_encode(bencher: Bencher<'_, '_>, version: Version, family: Family, count: u8) {
    let (source, destination) = ends(family);
    let advertisement = advertisement(version, family, count);
    bencher.bench(|| black_box(&advertisement).encode(source, destination, ChecksumMode::PseudoHeader));
}

fn bench_decode(bencher: Bencher<'_, '_>, version: Version, family: Family, count: u8) {
    let (source, destination) = ends(family);
    let advertisement = advertisement(version, family, count);
    let bytes = advertisement.encode(source, destination, ChecksumMode::PseudoHeader);
    let header = PacketHeader { source, destination, hop_limit: Some(255) };
    let expected = Expectation {
        family,
        version,
        interval: advertisement.interval,
        authentication: advertisement.authentication,
        checksum: ChecksumMode::PseudoHeader,
        multicast: true,
        hop_limits: HopLimits::LINK,
        trailer: false,
    };
    assert_eq!(decode(&header, &bytes, &expected).as_ref(), Ok(&advertisement));
    bencher.bench(|| decode(black_box(&header), black_box(&bytes), black_box(&expected)));
}

#[divan::bench(args = COUNTS)]
fn encode_v2_ipv4(bencher: Bencher<'_, '_>, count: u8) {
    bench_encode(bencher, Version::V2, Family::Ipv4, count);
}

#[divan::bench(args = COUNTS)]
fn encode_v3_ipv4(bencher: Bencher<'_, '_>, count: u8) {
    bench_encode(bencher, Version::V3, Family::Ipv4, count);
}

#[divan::bench(args = COUNTS)]
fn encode_v3_ipv6(bencher: Bencher<'_, '_>, count: u8) {
    bench_encode(bencher, Version::V3, Family::Ipv6, count);
}

#[divan::bench(args = COUNTS)]
fn decode_v2_ipv4(bencher: Bencher<'_, '_>, count: u8) {
    bench_decode(bencher, Version::V2, Family::Ipv4, count);
}

#[divan::bench(args = COUNTS)]
fn decode_v3_ipv4(bencher: Bencher<'_, '_>, count: u8) {
    bench_decode(bencher, Version::V3, Family::Ipv4, count);
}

#[divan::bench(args = COUNTS)]
fn decode_v3_ipv6(bencher: Bencher<'_, '_>, count: u8) {
    bench_decode(bencher, Version::V3, Family::Ipv6, count);
}

#[divan::bench]
fn ipv4_header() -> Result<[u8; ip::IPV4_HEADER_LENGTH], ip::PayloadTooLong> {
    let (source, group) = black_box(([192, 0, 2, 10], [224, 0, 0, 18]));
    ip::ipv4_header(source.into(), group.into(), ip::IpFields::vrrp(255), black_box(12))
}
