//! Interfaces of our own (virtual MACs): a kind of wanted objects.

use core::convert::Infallible;

use super::Kind;
use crate::kernel::{LinkKey, VirtualLink};

/// Interfaces on top of others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Links {}

impl Kind for Links {
    type Key = LinkKey;
    type Wish = VirtualLink;
    /// Addresses and routes go along with an interface, but no other interface of ours.
    type Kin = Infallible;

    /// An interface that is there already, left by a predecessor, is brought into shape.
    const SHAPES: bool = true;
}
