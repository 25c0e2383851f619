//! Address lines as the kernel is told them.

use crate::config::values::{AddressLine, Lifetime};
use crate::kernel::AddressSpec;
use crate::net::Family;
use crate::vrrp::VirtualAddress;

/// What a line of `virtual_ipaddress` means.
pub(super) fn virtual_address(line: &AddressLine) -> VirtualAddress {
    VirtualAddress { spec: spec(line), interface: line.interface.clone(), track: !line.no_track }
}

/// An address as the kernel is told it.
pub(super) fn spec(line: &AddressLine) -> AddressSpec {
    let mut spec = AddressSpec::new(line.prefix);
    spec.scope = line.scope.unwrap_or(0);
    spec.broadcast = line.broadcast;
    spec.label = line.label.as_deref().map(str::to_owned);
    spec.peer = line.peer;
    spec.flags = line.flags;
    match line.preferred_lifetime {
        Some(Lifetime::Forever) => spec.preferred_lifetime_s = None,
        Some(Lifetime::Seconds(seconds)) => spec.preferred_lifetime_s = Some(seconds),
        None => {}
    }
    if line.prefix.family() == Family::Ipv4 && line.preferred_lifetime.is_none() {
        spec.preferred_lifetime_s = None;
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_host_addresses_are_deprecated_unless_told_otherwise() {
        let mut line = AddressLine::new(
            "2001:db8::7".parse::<core::net::IpAddr>().map(crate::net::Prefix::host).unwrap(),
        );
        assert_eq!(spec(&line).preferred_lifetime_s, Some(0));
        line.preferred_lifetime = Some(Lifetime::Forever);
        assert_eq!(spec(&line).preferred_lifetime_s, None);
    }
}
