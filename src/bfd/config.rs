//! Configuration of a BFD session (`bfd_instance`).

use core::net::IpAddr;
use core::num::NonZeroU8;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::net::Family;
use crate::time::Duration;

/// One BFD session. Intervals have a resolution of 1 µs and go on the wire as 32 bits of µs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SessionConfig {
    /// Name in `track_bfd` and `BFD_CHECK`: 1 to 31 bytes.
    pub name: Arc<str>,
    /// `neighbor_ip`: the other end.
    pub neighbor: IpAddr,
    /// `source_ip`: our address, of the neighbour's family; `None` = the kernel's choice, and a source port
    /// that RFC 5881 §4 does not allow.
    pub source: Option<IpAddr>,
    /// `min_rx`: shortest interval at which we want to receive, above 0.
    pub min_receive: Duration,
    /// `min_tx`: shortest interval at which we want to send while Up, above 0.
    pub min_transmit: Duration,
    /// `idle_tx`: interval at which we send while not Up, at least 1 s (RFC 5880 §6.8.3).
    pub idle_transmit: Duration,
    /// `multiplier`: intervals without packet after which the session is down.
    pub multiplier: NonZeroU8,
    /// `passive`: says nothing before the neighbour does.
    pub passive: bool,
    /// `ttl`, `hoplimit`: of packets we send; 255 for IPv4 and 64 for IPv6 unless set.
    pub ttl: NonZeroU8,
    /// `max_hops`: what the TTL of a received packet may have lost against [`SessionConfig::ttl`].
    pub max_hops: HopAllowance,
    /// `multihop`: port 4784 (RFC 5883) instead of 3784.
    pub multihop: bool,
    /// `vrrp`, `checker`: who is told.
    pub listeners: Listeners,
}

impl SessionConfig {
    /// keepalived's defaults: 10 ms both ways, 1 s while idle, five missed packets.
    pub fn new(name: Arc<str>, neighbor: IpAddr) -> Self {
        const FIVE: NonZeroU8 = NonZeroU8::new(5).unwrap();
        const SIXTY_FOUR: NonZeroU8 = NonZeroU8::new(64).unwrap();
        Self {
            name,
            neighbor,
            source: None,
            min_receive: Duration::from_millis(10),
            min_transmit: Duration::from_millis(10),
            idle_transmit: Duration::from_secs(1),
            multiplier: FIVE,
            passive: false,
            ttl: match Family::of(&neighbor) {
                Family::Ipv4 => NonZeroU8::MAX,
                Family::Ipv6 => SIXTY_FOUR,
            },
            max_hops: HopAllowance::AtMost(0),
            multihop: false,
            listeners: Listeners::Both,
        }
    }
}

/// How many routers may lie between us and the neighbour.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum HopAllowance {
    /// So many: a packet whose TTL lost more is dropped. −1 asks for one *more* than we send.
    AtMost(i16),
    /// 255: any number.
    Any,
}

/// Who is told of a session's changes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Listeners {
    /// Virtual routers and checks.
    #[default]
    Both,
    /// `vrrp`: virtual routers only.
    Routers,
    /// `checker`: checks only.
    Checks,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttl_depends_on_the_family() {
        let session = |neighbor: &str| SessionConfig::new("a".into(), neighbor.parse().unwrap());
        assert_eq!(session("192.0.2.1").ttl.get(), 255);
        assert_eq!(session("2001:db8::1").ttl.get(), 64);
    }
}
