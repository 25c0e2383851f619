//! Notes of ours on virtual addresses that are served all the same but may not do what was meant.

use core::net::IpAddr;
use std::collections::BTreeMap;

use crate::config::diagnostics::Diagnostic;
use crate::config::host::HostInterface;
use crate::config::model::Config;
use crate::config::source::Position;
use crate::config::values::{AddressLine, At, Reading};

/// `static_ipaddress` by address, and where.
pub(super) fn static_addresses(config: &Config) -> BTreeMap<IpAddr, Position> {
    config.static_addresses.iter().map(|entry| (entry.value.spec.prefix.address(), entry.at)).collect()
}

/// An address that is kept on this host all the time cannot move.
pub(super) fn not_static(
    reading: &Reading<'_>,
    static_addresses: &BTreeMap<IpAddr, Position>,
    entry: &At<AddressLine>,
    name: &str,
) {
    let address = entry.value.spec.prefix.address();
    let Some(&first) = static_addresses.get(&address) else { return };
    reading.diagnostics.push(
        Diagnostic::warning("static-and-virtual", format!("{address} is a static address too"))
            .at(reading.sources.word_at(entry.at))
            .label(format!("virtual address of `{name}`"))
            .related(reading.sources.word_at(first), "kept on this host all the time")
            .help("remove it from static_ipaddress: two hosts would answer for it"),
    );
}

/// The addresses of a router that no subnet of their interface holds.
#[derive(Debug, Default)]
pub(super) struct OutOfSubnet {
    first: Option<(Position, String)>,
    count: usize,
}

impl OutOfSubnet {
    /// An address without a prefix length of its own needs an address of the interface in its subnet.
    pub(super) fn note(&mut self, interface: &HostInterface, entry: &At<AddressLine>) {
        let prefix = entry.value.spec.prefix;
        let address = prefix.address();
        let link_local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
        if prefix.length() != prefix.family().bits() || link_local {
            return;
        }
        let mut held = interface.addresses.iter().filter(|held| held.family() == prefix.family()).peekable();
        if held.peek().is_some() && !held.any(|held| held.contains(&address)) {
            self.count += 1;
            self.first.get_or_insert_with(|| {
                (entry.at, format!("no address of {} is in a subnet with {address}", interface.name))
            });
        }
    }

    /// Says it once for all of them.
    pub(super) fn report(self, reading: &Reading<'_>) {
        let Some((at, message)) = self.first else { return };
        let diagnostic = Diagnostic::warning("no-subnet", message)
            .at(reading.sources.word_at(at))
            .label("hosts there may have no route to it")
            .help("write its prefix length, or dev with the interface it belongs to");
        reading.diagnostics.push(match self.count {
            1 => diagnostic,
            count => diagnostic.note(format!("nor with {} more addresses of this router", count - 1)),
        });
    }
}
