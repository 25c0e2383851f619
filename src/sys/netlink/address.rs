//! Adding and removing addresses: [`AddressOperation`]s as requests, refusals as outcomes.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope, CacheInfo,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{Acknowledge, Batch, RouteSocket};
use crate::kernel::{ADDRESS_PROTOCOL, AddressOperation, AddressOutcome, KernelError, Verb};
use crate::net::Family;

/// `INFINITY_LIFE_TIME`.
const FOREVER: u32 = u32::MAX;

/// Carries out the operations in order, in one system call, and gives one outcome for each. An address that
/// is there already when it is added, or gone already when it is removed, is a success.
pub fn apply(socket: &mut RouteSocket, operations: &[AddressOperation]) -> Vec<AddressOutcome> {
    let mut batch = Batch::default();
    for operation in operations {
        let (message, flags) = request(operation);
        batch.push(message, flags);
    }
    match socket.send(batch, Acknowledge::Last) {
        Ok(results) => operations
            .iter()
            .zip(results)
            .map(|(operation, result)| AddressOutcome::of(operation, refusal(operation.verb, result)))
            .collect(),
        // What was carried out of it is not known; the kernel's notifications tell.
        Err(error) => {
            operations.iter().map(|operation| AddressOutcome::of(operation, Some(error.clone()))).collect()
        }
    }
}

fn refusal(verb: Verb, result: Result<(), KernelError>) -> Option<KernelError> {
    let error = result.err()?;
    let done_already = match verb {
        Verb::Add => error.errno == libc::EEXIST,
        Verb::Remove => matches!(error.errno, libc::EADDRNOTAVAIL | libc::ENODEV),
    };
    (!done_already).then_some(error)
}

/// The request and its flags.
fn request(operation: &AddressOperation) -> (RouteNetlinkMessage, u16) {
    let spec = &operation.spec;
    let address = spec.prefix.address();
    let mut message = AddressMessage::default();
    message.header.family = match Family::of(&address) {
        Family::Ipv4 => AddressFamily::Inet,
        Family::Ipv6 => AddressFamily::Inet6,
    };
    message.header.index = operation.link.get();
    // With a far end, the prefix is that of the far end.
    message.header.prefix_len = spec.peer.unwrap_or(spec.prefix).length();
    message.header.scope = AddressScope::from(spec.scope);
    let far_end: IpAddr = spec.peer.map_or(address, |peer| peer.address());
    message.attributes.push(AddressAttribute::Local(address));
    message.attributes.push(AddressAttribute::Address(far_end));
    if operation.verb == Verb::Remove {
        return (RouteNetlinkMessage::DelAddress(message), 0);
    }
    if address.is_ipv4() {
        // None by default: the kernel works without, and keepalived sends none.
        message.attributes.extend(spec.broadcast.map(AddressAttribute::Broadcast));
        message.attributes.extend(spec.label.clone().map(AddressAttribute::Label));
    }
    let flags = flags(operation);
    if !flags.is_empty() {
        message.attributes.push(AddressAttribute::Flags(flags));
    }
    if let Some(preferred) = spec.preferred_lifetime_s {
        let mut lifetimes = CacheInfo::default();
        lifetimes.ifa_preferred = preferred;
        lifetimes.ifa_valid = FOREVER;
        message.attributes.push(AddressAttribute::CacheInfo(lifetimes));
    }
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::from(ADDRESS_PROTOCOL)));
    (RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL)
}

fn flags(operation: &AddressOperation) -> AddressFlags {
    let wanted = operation.spec.flags;
    let ipv6 = operation.spec.prefix.family() == Family::Ipv6;
    let mut flags = AddressFlags::empty();
    // A virtual address moves between hosts: waiting for the detection would only delay the takeover.
    flags.set(AddressFlags::Nodad, ipv6 && !wanted.duplicate_address_detection);
    flags.set(AddressFlags::Homeaddress, wanted.home);
    flags.set(AddressFlags::Managetempaddr, wanted.manage_temporary);
    flags.set(AddressFlags::Noprefixroute, wanted.no_prefix_route);
    flags.set(AddressFlags::Mcautojoin, wanted.auto_join);
    flags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{AddressFlags as WantedFlags, AddressSpec};
    use crate::net::{InterfaceIndex, Prefix};

    fn operation(verb: Verb, spec: AddressSpec) -> AddressOperation {
        let link = InterfaceIndex::new(7).unwrap();
        AddressOperation::new(verb, link, spec)
    }

    fn prefix(address: &str, length: u8) -> Prefix {
        Prefix::new(address.parse().unwrap(), length).unwrap()
    }

    fn attributes(spec: AddressSpec) -> Vec<AddressAttribute> {
        match request(&operation(Verb::Add, spec)) {
            (RouteNetlinkMessage::NewAddress(message), flags) => {
                assert_eq!(flags, NLM_F_CREATE | NLM_F_EXCL);
                assert_eq!(message.header.index, 7);
                message.attributes
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_plain_ipv4_address_has_our_mark_and_no_broadcast() {
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        assert_eq!(
            attributes(AddressSpec::new(prefix("192.0.2.7", 24))),
            [
                AddressAttribute::Local(address),
                AddressAttribute::Address(address),
                AddressAttribute::Protocol(AddressProtocol::Other(18)),
            ]
        );
    }

    #[test]
    fn every_field_reaches_the_kernel() {
        let spec = AddressSpec {
            prefix: prefix("192.0.2.7", 32),
            scope: 253,
            broadcast: Some("192.0.2.255".parse().unwrap()),
            label: Some("eth0:1".to_owned()),
            peer: Some(prefix("198.51.100.1", 30)),
            preferred_lifetime_s: Some(9),
            flags: WantedFlags {
                home: true,
                no_prefix_route: true,
                auto_join: true,
                ..WantedFlags::default()
            },
        };
        let (RouteNetlinkMessage::NewAddress(message), _) = request(&operation(Verb::Add, spec.clone()))
        else {
            panic!("not an addition");
        };
        assert_eq!(message.header.prefix_len, 30);
        assert_eq!(message.header.scope, AddressScope::Link);
        let attributes = attributes(spec);
        let mut lifetimes = CacheInfo::default();
        lifetimes.ifa_preferred = 9;
        lifetimes.ifa_valid = u32::MAX;
        for wanted in [
            AddressAttribute::Local("192.0.2.7".parse().unwrap()),
            AddressAttribute::Address("198.51.100.1".parse().unwrap()),
            AddressAttribute::Broadcast("192.0.2.255".parse().unwrap()),
            AddressAttribute::Label("eth0:1".to_owned()),
            AddressAttribute::Flags(
                AddressFlags::Homeaddress | AddressFlags::Noprefixroute | AddressFlags::Mcautojoin,
            ),
            AddressAttribute::CacheInfo(lifetimes),
        ] {
            assert!(attributes.contains(&wanted), "{wanted:?}");
        }
    }

    #[test]
    fn an_ipv6_host_address_is_deprecated_and_skips_duplicate_detection() {
        let attributes = attributes(AddressSpec::new(prefix("2001:db8::7", 128)));
        assert!(attributes.contains(&AddressAttribute::Flags(AddressFlags::Nodad)));
        assert!(attributes.iter().any(
            |attribute| matches!(attribute, AddressAttribute::CacheInfo(info) if info.ifa_preferred == 0)
        ));
    }

    #[test]
    fn what_is_done_already_is_success() {
        let refused = |errno| Err(KernelError { errno, message: String::new() });
        assert_eq!(refusal(Verb::Add, Ok(())), None);
        assert_eq!(refusal(Verb::Add, refused(libc::EEXIST)), None);
        assert_eq!(refusal(Verb::Remove, refused(libc::EADDRNOTAVAIL)), None);
        assert!(refusal(Verb::Add, refused(libc::ENODEV)).is_some());
        assert!(refusal(Verb::Remove, refused(libc::EPERM)).is_some());
    }
}
