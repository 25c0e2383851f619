//! Addresses of interfaces: the first kind of wanted objects.

use core::net::IpAddr;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Kind;
use crate::kernel::AddressSpec;
use crate::net::{Family, InterfaceIndex, InterfaceName, Prefix};

/// Addresses of interfaces.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Addresses {}

/// An address that is wanted.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) struct AddressWish {
    /// Where; it has no place while no interface has this name.
    pub(crate) interface: InterfaceName,
    /// Address and attributes. One whose attributes change is removed and added anew.
    pub(crate) spec: AddressSpec,
}

/// The wishes, with what goes along with each, without those whose address another one wishes for later at the same
/// interface.
pub(crate) fn distinct<T>(
    wishes: impl DoubleEndedIterator<Item = (AddressWish, T)>,
) -> Vec<(AddressWish, T)> {
    let mut seen: BTreeSet<(InterfaceName, Prefix)> = BTreeSet::new();
    let is_new = |(wish, _): &(AddressWish, T)| seen.insert((wish.interface.clone(), wish.spec.prefix));
    let mut wishes: Vec<_> = wishes.rev().filter(is_new).collect();
    wishes.reverse();
    wishes
}

impl Kind for Addresses {
    type Key = (InterfaceIndex, Prefix);
    type Wish = AddressWish;
    /// The IPv4 subnet.
    type Kin = (InterfaceIndex, IpAddr, u8);

    /// Without `promote_secondaries`, Linux removes an IPv4 subnet's other addresses with its first one.
    fn kin((link, prefix): Self::Key) -> Option<Self::Kin> {
        (prefix.family() == Family::Ipv4).then(|| (link, prefix.network(), prefix.length()))
    }
}
