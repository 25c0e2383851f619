//! `lvs_method`, `lb_kind`: how packets reach a real server.

use core::num::NonZeroU16;

/// How IPVS passes packets on.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ForwardingMethod {
    /// `NAT`: addresses are rewritten, answers come back through the director.
    #[default]
    Nat,
    /// `DR`: only the Ethernet address is rewritten; the real server has the virtual address too.
    DirectRouting,
    /// `TUN`: packets are wrapped.
    Tunnel(Tunnel),
}

impl ForwardingMethod {
    /// Whether the real server sees the virtual server's port.
    pub const fn keeps_port(self) -> bool {
        !matches!(self, Self::Nat)
    }
}

/// `type`: the wrapping of [`ForwardingMethod::Tunnel`].
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Tunnel {
    /// `ipip`: IP in IP.
    #[default]
    Ipip,
    /// `gre`.
    Gre {
        /// `csum`.
        checksum: bool,
    },
    /// `gue`: UDP.
    Gue {
        /// `port` at the real server.
        port: NonZeroU16,
        /// `nocsum`, `csum`, `remcsum`.
        checksum: GueChecksum,
    },
}

/// Checksum of a `gue` tunnel's outer UDP header.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum GueChecksum {
    /// `nocsum`.
    #[default]
    None,
    /// `csum`.
    Full,
    /// `remcsum`: of the outer header, standing in for the inner one.
    Remote,
}
