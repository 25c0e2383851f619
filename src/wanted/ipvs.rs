//! Entries of the kernel's IPVS table: a kind of wanted objects.

use core::convert::Infallible;

use super::Kind;
use crate::kernel::ipvs::{IpvsEntry, IpvsKey};

/// Virtual servers of the kernel and their real servers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IpvsEntries {}

impl Kind for IpvsEntries {
    type Key = IpvsKey;
    type Wish = IpvsEntry;
    /// A service takes its destinations along, but no set wishes for these without it.
    type Kin = Infallible;

    /// An entry whose settings change is edited: its connections live on.
    const SHAPES: bool = true;
}
