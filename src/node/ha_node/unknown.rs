//! Advertisements for virtual routers that are not configured here (`log_unknown_vrids`): counted, and told.

use core::net::IpAddr;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::kernel::ReceiveSocket;
use crate::time::{Duration, Instant};
use crate::wire::vrrp::Vrid;

/// The same virtual router is told again after this time.
const AGAIN: Duration = Duration::from_secs(600);
/// Any two are told so far apart.
const PAUSE: Duration = Duration::from_secs(1);
/// Virtual routers remembered: as many as an interface can have in both families.
const REMEMBERED: usize = 510;

/// What was heard and told.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct UnknownVrids {
    /// All that were heard.
    pub(super) count: u64,
    told: BTreeMap<(ReceiveSocket, Vrid, IpAddr), Instant>,
    quiet_until: Instant,
}

impl UnknownVrids {
    /// One was heard. True when that is to be told.
    pub(super) fn hear(&mut self, now: Instant, socket: ReceiveSocket, vrid: Vrid, from: IpAddr) -> bool {
        self.count += 1;
        let known = self.told.get(&(socket, vrid, from));
        if now < self.quiet_until || known.is_some_and(|told| now.saturating_since(*told) < AGAIN) {
            return false;
        }
        if self.told.len() >= REMEMBERED {
            // Somebody forges them: all may be told again, one in a pause.
            self.told.clear();
        }
        self.told.insert((socket, vrid, from), now);
        self.quiet_until = now + PAUSE;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::InterfaceIndex;

    #[test]
    fn each_is_told_once_and_forged_ones_once_in_a_second() {
        let mut unknown = UnknownVrids::default();
        let socket = ReceiveSocket::vrrp(Some(InterfaceIndex::LOWEST), [224, 0, 0, 18].into());
        let at = |ms: u64| Instant::from_micros(ms * 1_000);
        let vrid = |number| Vrid::new(number).unwrap();
        let mut told = Vec::new();
        for ms in (0..5_000).step_by(100) {
            for number in [7, 8] {
                if unknown.hear(at(ms), socket, vrid(number), [10, 0, 0, 9].into()) {
                    told.push((ms, number));
                }
            }
        }
        assert_eq!(told, [(0, 7), (1_000, 8)]);
        assert_eq!(unknown.count, 100);
        let mut forged = 0;
        for number in 0..100_000_u32 {
            let from = IpAddr::V4(core::net::Ipv4Addr::from_bits(number));
            forged += u32::from(unknown.hear(at(10_000 + u64::from(number) / 10), socket, vrid(7), from));
            assert!(unknown.told.len() <= REMEMBERED);
        }
        assert_eq!(forged, 10);
        assert!(unknown.hear(at(700_000), socket, vrid(7), [10, 0, 0, 9].into()));
    }
}
