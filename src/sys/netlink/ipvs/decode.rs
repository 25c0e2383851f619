//! What the kernel tells of its IPVS table. Whatever it is, reading it never panics; what has no key is left out.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::num::{NonZeroU8, NonZeroU16, NonZeroU32};
use std::sync::Arc;

use super::uapi;
use crate::kernel::ipvs::{
    Connections, DestinationSettings, FirewallMark, ForwardingMethod, GueChecksum, HeldDestination,
    HeldService, HostPort, IpvsInformation, Persistence, PersistenceGranularity, Protocol, Scheduler,
    SchedulerFlags, ServiceKey, ServiceSettings, Statistics, SyncDaemon, SyncRole, SyncSettings, Timeouts,
    Tunnel,
};
use crate::net::{Family, InterfaceName};
use crate::sys::netlink::datagram::{attributes, u16_at, u32_at};

/// The content of an attribute.
fn of(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

fn number(bytes: &[u8], wanted: u16) -> Option<u32> {
    u32_at(of(bytes, wanted)?, 0)
}

fn short(bytes: &[u8], wanted: u16) -> Option<u16> {
    u16_at(of(bytes, wanted)?, 0)
}

fn text(bytes: &[u8], wanted: u16) -> Option<&str> {
    let value = of(bytes, wanted)?;
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    core::str::from_utf8(value.get(..end)?).ok()
}

fn port(bytes: &[u8], wanted: u16) -> Option<Option<NonZeroU16>> {
    Some(NonZeroU16::new(u16::from_be_bytes(*of(bytes, wanted)?.first_chunk()?)))
}

fn address(bytes: &[u8], wanted: u16, family: Family) -> Option<IpAddr> {
    let value = of(bytes, wanted)?;
    Some(match family {
        Family::Ipv4 => Ipv4Addr::from(*value.first_chunk::<4>()?).into(),
        Family::Ipv6 => Ipv6Addr::from(*value.first_chunk::<16>()?).into(),
    })
}

fn family(number: u16) -> Option<Family> {
    match i32::from(number) {
        libc::AF_INET => Some(Family::Ipv4),
        libc::AF_INET6 => Some(Family::Ipv6),
        _ => None,
    }
}

/// A service, from the attributes of an answer.
pub fn service(answer: &[u8]) -> Option<HeldService> {
    let bytes = of(answer, uapi::command::SERVICE)?;
    let key = service_key(bytes)?;
    let statistics = statistics(bytes, uapi::service::STATISTICS_64, uapi::service::STATISTICS);
    Some(HeldService { key, settings: service_settings(bytes, key.family()), statistics })
}

fn service_key(bytes: &[u8]) -> Option<ServiceKey> {
    let family = family(short(bytes, uapi::service::FAMILY)?)?;
    if let Some(mark) = number(bytes, uapi::service::MARK).and_then(NonZeroU32::new) {
        return Some(ServiceKey::FirewallMark(FirewallMark { mark, family }));
    }
    let protocol = match i32::from(short(bytes, uapi::service::PROTOCOL)?) {
        libc::IPPROTO_TCP => Protocol::Tcp,
        libc::IPPROTO_UDP => Protocol::Udp,
        libc::IPPROTO_SCTP => Protocol::Sctp,
        _ => return None,
    };
    let address = address(bytes, uapi::service::ADDRESS, family)?;
    let port = port(bytes, uapi::service::PORT)?;
    Some(ServiceKey::Address(HostPort { address, port }, protocol))
}

fn service_settings(bytes: &[u8], family: Family) -> Option<ServiceSettings> {
    use uapi::service::flag;
    let flags = number(bytes, uapi::service::FLAGS)?;
    let is_set = |flag| flags & flag != 0;
    let persistence = if is_set(flag::PERSISTENT) {
        let netmask = of(bytes, uapi::service::NETMASK)?;
        let granularity = match family {
            Family::Ipv4 => PersistenceGranularity::Ipv4(Ipv4Addr::from(*netmask.first_chunk::<4>()?)),
            Family::Ipv6 => {
                let length = NonZeroU8::new(u8::try_from(u32_at(netmask, 0)?).ok()?)?;
                PersistenceGranularity::Ipv6(length)
            }
        };
        Some(Persistence {
            timeout_s: NonZeroU32::new(number(bytes, uapi::service::TIMEOUT)?)?,
            granularity: Some(granularity).filter(|granularity| !granularity.is_each_client()),
            engine: text(bytes, uapi::service::ENGINE).map(Arc::from),
        })
    } else {
        None
    };
    Some(ServiceSettings {
        scheduler: Scheduler::from_name(text(bytes, uapi::service::SCHEDULER)?)?,
        scheduler_flags: SchedulerFlags {
            first: is_set(flag::SCHEDULER_1),
            second: is_set(flag::SCHEDULER_2),
            third: is_set(flag::SCHEDULER_3),
        },
        one_packet: is_set(flag::ONE_PACKET),
        persistence,
    })
}

/// A destination of a service, from the attributes of an answer.
pub fn destination(of_service: ServiceKey, answer: &[u8]) -> Option<HeldDestination> {
    let bytes = of(answer, uapi::command::DESTINATION)?;
    // Kernels before 3.18 do not tell it: there it is the service's.
    let family = match short(bytes, uapi::destination::FAMILY) {
        Some(number) => family(number)?,
        None => of_service.family(),
    };
    let address = address(bytes, uapi::destination::ADDRESS, family)?;
    let port = port(bytes, uapi::destination::PORT)?;
    let count = |attribute| number(bytes, attribute).unwrap_or(0);
    Some(HeldDestination {
        service: of_service,
        target: HostPort { address, port },
        settings: destination_settings(bytes),
        connections: Connections {
            active: count(uapi::destination::ACTIVE),
            inactive: count(uapi::destination::INACTIVE),
            persistent: count(uapi::destination::PERSISTENT),
        },
        statistics: statistics(bytes, uapi::destination::STATISTICS_64, uapi::destination::STATISTICS),
    })
}

fn destination_settings(bytes: &[u8]) -> Option<DestinationSettings> {
    use uapi::destination::method;
    let method = match number(bytes, uapi::destination::METHOD)? & method::MASK {
        method::NAT => ForwardingMethod::Nat,
        method::DIRECT => ForwardingMethod::DirectRouting,
        method::TUNNEL => ForwardingMethod::Tunnel(tunnel(bytes)?),
        _ => return None,
    };
    Some(DestinationSettings {
        weight: number(bytes, uapi::destination::WEIGHT)?,
        method,
        upper_threshold: number(bytes, uapi::destination::UPPER_THRESHOLD)?,
        lower_threshold: number(bytes, uapi::destination::LOWER_THRESHOLD)?,
    })
}

fn tunnel(bytes: &[u8]) -> Option<Tunnel> {
    use uapi::destination::{encapsulation, tunnel};
    // Kernels before 5.2 know one kind and do not tell it.
    let kind =
        of(bytes, uapi::destination::TUNNEL_TYPE).map_or(Some(tunnel::IPIP), |value| value.first().copied());
    let flags = short(bytes, uapi::destination::TUNNEL_FLAGS).unwrap_or(0);
    match kind? {
        tunnel::IPIP => Some(Tunnel::Ipip),
        tunnel::GRE => Some(Tunnel::Gre { checksum: flags & encapsulation::CHECKSUM != 0 }),
        tunnel::GUE => Some(Tunnel::Gue {
            port: port(bytes, uapi::destination::TUNNEL_PORT)??,
            checksum: match flags {
                0 => GueChecksum::None,
                encapsulation::CHECKSUM => GueChecksum::Full,
                encapsulation::REMOTE_CHECKSUM => GueChecksum::Remote,
                _ => return None,
            },
        }),
        _ => None,
    }
}

/// The counters of 64 bits; those of 32 bits from kernels before 4.1.
fn statistics(bytes: &[u8], wide: u16, narrow: u16) -> Statistics {
    let (block, is_wide) = match of(bytes, wide) {
        Some(block) => (block, true),
        None => (of(bytes, narrow).unwrap_or_default(), false),
    };
    // IPVS_STATS_ATTR_*: ten in a row. Bytes have 64 bits in either block.
    let mut counters = [0; 10];
    for (kind, value) in attributes(block) {
        let Some(counter) = usize::from(kind).checked_sub(1).and_then(|at| counters.get_mut(at)) else {
            continue;
        };
        let narrow = value.first_chunk().map(|bytes| u64::from(u32::from_ne_bytes(*bytes)));
        let wide = value.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes));
        *counter = if is_wide { wide } else { wide.or(narrow) }.unwrap_or(0);
    }
    let [connections, incoming_packets, outgoing_packets, incoming_bytes, outgoing_bytes, rates @ ..] =
        counters;
    let [connection_rate, incoming_packet_rate, outgoing_packet_rate, incoming_byte_rate, outgoing_byte_rate] =
        rates;
    Statistics {
        connections,
        incoming_packets,
        outgoing_packets,
        incoming_bytes,
        outgoing_bytes,
        connection_rate,
        incoming_packet_rate,
        outgoing_packet_rate,
        incoming_byte_rate,
        outgoing_byte_rate,
    }
}

/// A synchronisation thread, from the attributes of an answer.
pub fn sync_daemon(answer: &[u8]) -> Option<SyncDaemon> {
    let bytes = of(answer, uapi::command::DAEMON)?;
    let role = match number(bytes, uapi::daemon::STATE)? {
        uapi::daemon::MASTER => SyncRole::Master,
        uapi::daemon::BACKUP => SyncRole::Backup,
        _ => return None,
    };
    let interface: InterfaceName = text(bytes, uapi::daemon::INTERFACE)?.parse().ok()?;
    let group = address(bytes, uapi::daemon::GROUP, Family::Ipv4);
    let settings = SyncSettings {
        interface,
        id: u8::try_from(number(bytes, uapi::daemon::ID)?).ok()?,
        max_length: short(bytes, uapi::daemon::MAX_LENGTH).and_then(NonZeroU16::new),
        group: group.or_else(|| address(bytes, uapi::daemon::GROUP_6, Family::Ipv6)),
        port: short(bytes, uapi::daemon::PORT).and_then(NonZeroU16::new),
        ttl: of(bytes, uapi::daemon::TTL).and_then(|value| NonZeroU8::new(*value.first()?)),
    };
    Some(SyncDaemon { role, settings })
}

/// The timeouts, from the attributes of an answer.
pub fn timeouts(answer: &[u8]) -> Timeouts {
    Timeouts {
        tcp: number(answer, uapi::command::TIMEOUT_TCP),
        tcp_fin: number(answer, uapi::command::TIMEOUT_TCP_FIN),
        udp: number(answer, uapi::command::TIMEOUT_UDP),
    }
}

/// What IPVS is, from the attributes of an answer.
pub fn information(answer: &[u8]) -> Option<IpvsInformation> {
    let [_, major, minor, patch] = number(answer, uapi::information::VERSION)?.to_be_bytes();
    let connection_table_size = number(answer, uapi::information::TABLE_SIZE)?;
    Some(IpvsInformation { version: (major, minor, patch), connection_table_size })
}
