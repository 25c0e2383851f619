//! The virtual addresses of a router as wanted objects.
//!
//! All the work is done in [`crate::wanted`]: it knows which addresses are ours, which were there before us, which a
//! predecessor left, and puts back what somebody removes. A router has one set of them, which it wants while it is
//! master. Here is what that set is made from: a wish for each address of the configuration, and where it belongs.

use std::collections::BTreeSet;

use super::RouterConfig;
use super::environment::Environment;
use crate::net::{InterfaceName, LinkKey, Prefix};
use crate::wanted::AddressWish;

/// What the kernel is known to hold: whether an address is there, and then whether it carries our mark.
pub(super) type Known<'a> = &'a dyn Fn((LinkKey, Prefix)) -> Option<bool>;

/// The addresses of a configuration, and whether the loss of each counts against the router (not `no_track`). Of one
/// that is in there twice, the later line counts.
pub(super) fn wishes(config: &RouterConfig) -> Vec<(AddressWish, bool)> {
    let mut seen: BTreeSet<(&InterfaceName, Prefix)> = BTreeSet::new();
    let mut wishes = Vec::with_capacity(config.addresses.len() + config.excluded.len());
    for address in config.addresses.iter().chain(&config.excluded).rev() {
        let interface = address.interface.as_ref().unwrap_or(&config.interfaces.addresses);
        if seen.insert((interface, address.spec.prefix)) {
            let wish = AddressWish { interface: interface.clone(), spec: address.spec.clone() };
            wishes.push((wish, address.track));
        }
    }
    wishes.reverse();
    wishes
}

/// Where a wish can be fulfilled: on its interface, as far as that exists.
pub(super) fn locate(environment: &Environment) -> impl Fn(&AddressWish) -> Option<(LinkKey, Prefix)> {
    |wish| environment.interface(&wish.interface).map(|interface| (interface.key, wish.spec.prefix))
}
