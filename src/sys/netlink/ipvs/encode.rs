//! What is asked of the kernel's IPVS, as messages.

use core::net::IpAddr;
use core::num::NonZeroU16;

use netlink_packet_core::Emitable;
use netlink_packet_generic::GenlFamily;

use super::uapi::{self, Command};
use crate::kernel::ipvs::{
    DestinationSettings, FirewallMark, ForwardingMethod, GueChecksum, HostPort, IpvsEntry, IpvsKey,
    Persistence, PersistenceGranularity, Protocol, ServiceKey, ServiceSettings, SyncDaemon, SyncRole,
    Timeouts, Tunnel,
};
use crate::net::Family;
use crate::sys::netlink::encode::Attributes;

/// A command with its attributes.
#[derive(Clone, Debug)]
pub(super) struct Request {
    command: Command,
    attributes: Vec<u8>,
}

impl GenlFamily for Request {
    fn family_name() -> &'static str {
        "IPVS"
    }

    fn command(&self) -> u8 {
        self.command as u8
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for Request {
    fn buffer_len(&self) -> usize {
        self.attributes.len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        buffer[..self.attributes.len()].copy_from_slice(&self.attributes);
    }
}

impl Request {
    fn new(command: Command, fill: impl FnOnce(&mut Attributes)) -> Self {
        let mut attributes = Attributes::default();
        fill(&mut attributes);
        Self { command, attributes: attributes.into_bytes() }
    }

    /// Without anything else.
    pub(super) fn bare(command: Command) -> Self {
        Self::new(command, |_| {})
    }

    /// Adds an entry.
    pub(super) fn add(entry: &IpvsEntry) -> Self {
        Self::entry(entry, Command::NewService, Command::NewDestination)
    }

    /// Changes an entry that is there.
    pub(super) fn edit(entry: &IpvsEntry) -> Self {
        Self::entry(entry, Command::SetService, Command::SetDestination)
    }

    fn entry(entry: &IpvsEntry, of_service: Command, of_destination: Command) -> Self {
        match entry {
            IpvsEntry::Service(key, settings) => Self::new(of_service, |message| {
                message.nest(uapi::command::SERVICE, |service| {
                    service_key(service, *key);
                    service_settings(service, settings, key.family());
                });
            }),
            IpvsEntry::Destination(key, target, settings) => Self::new(of_destination, |message| {
                message.nest(uapi::command::SERVICE, |service| service_key(service, *key));
                message.nest(uapi::command::DESTINATION, |destination| {
                    destination_key(destination, *target);
                    destination_settings(destination, settings);
                });
            }),
        }
    }

    /// Removes an entry.
    pub(super) fn remove(key: IpvsKey) -> Self {
        let command = match key.destination {
            None => Command::DeleteService,
            Some(_) => Command::DeleteDestination,
        };
        Self::new(command, |message| {
            message.nest(uapi::command::SERVICE, |service| service_key(service, key.service));
            if let Some(target) = key.destination {
                message.nest(uapi::command::DESTINATION, |destination| destination_key(destination, target));
            }
        })
    }

    /// Something about one service: its destinations, or that its counters begin anew.
    pub(super) fn of_service(command: Command, key: ServiceKey) -> Self {
        Self::new(command, |message| {
            message.nest(uapi::command::SERVICE, |service| service_key(service, key));
        })
    }

    /// Sets those timeouts that are given.
    pub(super) fn timeouts(timeouts: &Timeouts) -> Self {
        Self::new(Command::SetConfiguration, |message| {
            let Timeouts { tcp, tcp_fin, udp } = *timeouts;
            for (attribute, seconds) in [
                (uapi::command::TIMEOUT_TCP, tcp),
                (uapi::command::TIMEOUT_TCP_FIN, tcp_fin),
                (uapi::command::TIMEOUT_UDP, udp),
            ] {
                if let Some(seconds) = seconds {
                    message.number(attribute, seconds);
                }
            }
        })
    }

    /// Starts a synchronisation thread.
    pub(super) fn start(daemon: &SyncDaemon) -> Self {
        Self::new(Command::NewDaemon, |message| {
            message.nest(uapi::command::DAEMON, |attributes| {
                let settings = &daemon.settings;
                attributes.number(uapi::daemon::STATE, state(daemon.role));
                attributes.text(uapi::daemon::INTERFACE, settings.interface.as_str());
                attributes.number(uapi::daemon::ID, settings.id.into());
                if let Some(length) = settings.max_length {
                    attributes.put(uapi::daemon::MAX_LENGTH, &length.get().to_ne_bytes());
                }
                match settings.group {
                    Some(IpAddr::V4(group)) => {
                        attributes.put(uapi::daemon::GROUP, &group.octets());
                    }
                    Some(IpAddr::V6(group)) => {
                        attributes.put(uapi::daemon::GROUP_6, &group.octets());
                    }
                    None => {}
                }
                if let Some(port) = settings.port {
                    attributes.put(uapi::daemon::PORT, &port.get().to_ne_bytes());
                }
                if let Some(ttl) = settings.ttl {
                    attributes.put(uapi::daemon::TTL, &[ttl.get()]);
                }
            });
        })
    }

    /// Stops the synchronisation thread of a role.
    pub(super) fn stop(role: SyncRole) -> Self {
        Self::new(Command::DeleteDaemon, |message| {
            message.nest(uapi::command::DAEMON, |attributes| {
                attributes.number(uapi::daemon::STATE, state(role));
            });
        })
    }

    /// The attributes.
    pub(super) fn into_attributes(self) -> Vec<u8> {
        self.attributes
    }
}

const fn state(role: SyncRole) -> u32 {
    match role {
        SyncRole::Master => uapi::daemon::MASTER,
        SyncRole::Backup => uapi::daemon::BACKUP,
    }
}

fn service_key(attributes: &mut Attributes, key: ServiceKey) {
    attributes.put(uapi::service::FAMILY, &family(key.family()).to_ne_bytes());
    match key {
        ServiceKey::FirewallMark(FirewallMark { mark, .. }) => {
            attributes.number(uapi::service::MARK, mark.get());
        }
        ServiceKey::Address(target, protocol) => {
            let protocol = match protocol {
                Protocol::Tcp => libc::IPPROTO_TCP,
                Protocol::Udp => libc::IPPROTO_UDP,
                Protocol::Sctp => libc::IPPROTO_SCTP,
            };
            attributes.put(uapi::service::PROTOCOL, &(protocol as u16).to_ne_bytes());
            attributes.put(uapi::service::ADDRESS, &address(target.address));
            attributes.put(uapi::service::PORT, &port(target.port));
        }
    }
}

fn service_settings(attributes: &mut Attributes, settings: &ServiceSettings, family: Family) {
    use uapi::service::flag;
    let ServiceSettings { scheduler, scheduler_flags, one_packet, persistence } = settings;
    let all_flags = [
        (persistence.is_some(), flag::PERSISTENT),
        (*one_packet, flag::ONE_PACKET),
        (scheduler_flags.first, flag::SCHEDULER_1),
        (scheduler_flags.second, flag::SCHEDULER_2),
        (scheduler_flags.third, flag::SCHEDULER_3),
    ];
    let flags = all_flags.into_iter().filter(|(set, _)| *set).fold(0, |flags, (_, flag)| flags | flag);
    attributes.text(uapi::service::SCHEDULER, scheduler.name());
    if let Some(engine) = persistence.as_ref().and_then(|persistence| persistence.engine.as_deref()) {
        attributes.text(uapi::service::ENGINE, engine);
    }
    // With all flags, so that those that are not set are cleared.
    let mut with_mask = [0; 8];
    with_mask[..4].copy_from_slice(&u32::to_ne_bytes(flags));
    with_mask[4..].copy_from_slice(&u32::MAX.to_ne_bytes());
    attributes.put(uapi::service::FLAGS, &with_mask);
    let timeout = persistence.as_ref().map_or(0, |persistence| persistence.timeout_s.get());
    attributes.number(uapi::service::TIMEOUT, timeout);
    attributes.put(uapi::service::NETMASK, &netmask(persistence.as_ref(), family));
}

/// A mask for IPv4, as it is written; the length of a prefix for IPv6. That of each client unless set.
fn netmask(persistence: Option<&Persistence>, family: Family) -> [u8; 4] {
    match (persistence.and_then(|persistence| persistence.granularity), family) {
        (Some(PersistenceGranularity::Ipv4(mask)), Family::Ipv4) => mask.octets(),
        (_, Family::Ipv4) => [0xff; 4],
        (Some(PersistenceGranularity::Ipv6(length)), Family::Ipv6) => u32::from(length.get()).to_ne_bytes(),
        (_, Family::Ipv6) => u32::from(family.bits()).to_ne_bytes(),
    }
}

fn destination_key(attributes: &mut Attributes, target: HostPort) {
    attributes.put(uapi::destination::FAMILY, &family(Family::of(&target.address)).to_ne_bytes());
    attributes.put(uapi::destination::ADDRESS, &address(target.address));
    attributes.put(uapi::destination::PORT, &port(target.port));
}

fn destination_settings(attributes: &mut Attributes, settings: &DestinationSettings) {
    use uapi::destination::{encapsulation, method, tunnel};
    let DestinationSettings { weight, method: forwarding, upper_threshold, lower_threshold } = *settings;
    let number = match forwarding {
        ForwardingMethod::Nat => method::NAT,
        ForwardingMethod::DirectRouting => method::DIRECT,
        ForwardingMethod::Tunnel(_) => method::TUNNEL,
    };
    let (kind, outer_port, flags) = match forwarding {
        ForwardingMethod::Nat | ForwardingMethod::DirectRouting | ForwardingMethod::Tunnel(Tunnel::Ipip) => {
            (tunnel::IPIP, None, 0)
        }
        ForwardingMethod::Tunnel(Tunnel::Gre { checksum }) => {
            (tunnel::GRE, None, if checksum { encapsulation::CHECKSUM } else { 0 })
        }
        ForwardingMethod::Tunnel(Tunnel::Gue { port, checksum }) => {
            let flags = match checksum {
                GueChecksum::None => 0,
                GueChecksum::Full => encapsulation::CHECKSUM,
                GueChecksum::Remote => encapsulation::REMOTE_CHECKSUM,
            };
            (tunnel::GUE, Some(port), flags)
        }
    };
    attributes.number(uapi::destination::METHOD, number);
    attributes.number(uapi::destination::WEIGHT, weight);
    attributes.put(uapi::destination::TUNNEL_TYPE, &[kind]);
    attributes.put(uapi::destination::TUNNEL_PORT, &port(outer_port));
    attributes.put(uapi::destination::TUNNEL_FLAGS, &flags.to_ne_bytes());
    attributes.number(uapi::destination::UPPER_THRESHOLD, upper_threshold);
    attributes.number(uapi::destination::LOWER_THRESHOLD, lower_threshold);
}

const fn family(family: Family) -> u16 {
    match family {
        Family::Ipv4 => libc::AF_INET as u16,
        Family::Ipv6 => libc::AF_INET6 as u16,
    }
}

/// `union nf_inet_addr`.
fn address(address: IpAddr) -> [u8; 16] {
    let mut bytes = [0; 16];
    match address {
        IpAddr::V4(address) => bytes[..4].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => bytes = address.octets(),
    }
    bytes
}

fn port(port: Option<NonZeroU16>) -> [u8; 2] {
    port.map_or(0, NonZeroU16::get).to_be_bytes()
}
