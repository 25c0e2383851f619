//! Mistakes that people make and that are no faults: the file says something else than was meant.
//!
//! Each is a remark with a code of its own, said once for a configuration however often it is made; it never changes
//! the status of `-t`. `alived check --explain CODE` tells more.

mod command;
mod explain;
mod mail;
mod password;
mod priority;
#[cfg(test)]
mod tests;

pub(super) use command::command;
pub use explain::{explain, explained};
pub(super) use mail::mail;
pub(super) use password::{cut, sample};
pub(super) use priority::{Standing, owners, weights};

use core::cell::RefCell;
use std::collections::BTreeMap;

use super::diagnostics::{Diagnostic, Diagnostics};
use super::host::HostInterface;
use super::model::Config;
use super::source::Span;
use super::values::Reading;
use crate::vrrp::RouterConfig;

/// The remarks, each kind once.
#[derive(Debug, Default)]
pub(crate) struct Lints {
    /// The first of each code, and how many more there are.
    found: RefCell<BTreeMap<&'static str, (Diagnostic, usize)>>,
}

impl Lints {
    /// Notes a mistake; only the first of its code is made.
    pub(super) fn note(&self, code: &'static str, make: impl FnOnce() -> Diagnostic) {
        let mut found = self.found.borrow_mut();
        if let Some((_, more)) = found.get_mut(code) {
            *more += 1;
            return;
        }
        let first = make();
        debug_assert_eq!(first.code, code);
        found.insert(code, (first, 0));
    }

    /// Says them all.
    pub(super) fn report(self, diagnostics: &Diagnostics) {
        for (diagnostic, more) in self.found.into_inner().into_values() {
            diagnostics.push(match more {
                0 => diagnostic,
                1 => diagnostic.note("one more place is like this"),
                more => diagnostic.note(format!("{more} more places are like this")),
            });
        }
    }
}

/// A block without anything in it.
pub(super) fn empty_block(reading: &Reading<'_>, keyword: &str, at: Span) {
    reading.lints.note("empty-block", || {
        Diagnostic::hint("empty-block", format!("`{keyword}` is empty and does nothing"))
            .at(at)
            .help("remove it")
    });
}

/// A peer that is this host, by an address of its interfaces. By `unicast_src_ip` it is told without a host.
pub(super) fn own_peers(reading: &Reading<'_>, config: &Config, routers: &[RouterConfig]) {
    let Some(interfaces) = reading.interfaces() else { return };
    for router in routers.iter().filter(|router| router.destinations.is_unicast()) {
        let name = &router.name;
        for peer in router.destinations.addresses() {
            let holds =
                |interface: &&HostInterface| interface.addresses.iter().any(|own| own.address() == peer);
            let Some(holder) = interfaces.iter().find(holds) else { continue };
            let block = config.instances.iter().find(|block| *block.header.value.0 == **name);
            let entry =
                block.and_then(|block| block.unicast_peer.iter().find(|entry| entry.value.address == peer));
            let Some(entry) = entry else { continue };
            reading.lints.note("own-address-as-peer", || {
                Diagnostic::warning("own-address-as-peer", format!("`{name}`: the peer {peer} is this host"))
                    .at(reading.sources.word_at(entry.at))
                    .label(format!("an address of {}", holder.name))
                    .help("write the addresses of the other routers; with unicast_src_ip one list serves all of them")
            });
        }
    }
}
