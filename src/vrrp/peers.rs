//! The other routers heard, by source address: who they are and why their packets are not used.

use core::fmt;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::AddressDifference;
use crate::time::Instant;
use crate::wire::vrrp::{AdvertisementInterval, Message, Priority, Rejection, RejectionKind};

/// Peers remembered for one virtual router; forged sources push out the one not heard for longest.
pub(super) const PEERS_MAX: usize = 32;

/// Another router of the same virtual router.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Peer {
    /// When a packet of it was last received.
    pub last_heard: Instant,
    /// Priority and interval of its last advertisement that passed the checks.
    pub last_advertisement: Option<(Priority, AdvertisementInterval)>,
    /// Advertisements that passed.
    pub accepted: u64,
    /// Packets that did not.
    pub rejected: u64,
    /// Why the last one did not.
    pub last_rejection: Option<Rejection>,
    /// How many did not for which reason, in the order in which the reasons came up first.
    pub rejections: Vec<(RejectionKind, u64)>,
    /// What its address list, as it was compared last, has in common with ours and what not.
    pub differing: Option<AddressDifference>,
    /// Whether the operator was told of the last reason.
    told: bool,
    /// Whether the operator was told of that difference.
    told_differing: bool,
}

impl fmt::Display for Peer {
    /// For status files: `priority 100, interval 1 sec, 12 accepted, 1 rejected (the last: …)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((priority, interval)) = self.last_advertisement {
            write!(f, "priority {priority}, interval {interval} sec, ")?;
        }
        write!(f, "{} accepted, {} rejected", self.accepted, self.rejected)?;
        self.last_rejection.map_or(Ok(()), |rejection| write!(f, " (the last: {rejection})"))
    }
}

/// Peers by source address.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct PeerTable {
    /// In the order of the addresses.
    peers: Vec<(IpAddr, Peer)>,
}

impl PeerTable {
    /// Notes an advertisement that passed the checks. True for the first one of its sender.
    pub(super) fn note_accepted(
        &mut self,
        now: Instant,
        source: IpAddr,
        advertisement: &Message<'_>,
    ) -> bool {
        let peer = self.entry(now, source);
        peer.accepted += 1;
        peer.last_advertisement = Some((advertisement.priority, advertisement.interval));
        peer.last_rejection = None;
        peer.told = false;
        peer.accepted == 1
    }

    /// Notes how the address list of a router that was just heard differs from ours. True when that is to be told now:
    /// it was not yet, and `may_tell`.
    pub(super) fn note_differing(
        &mut self,
        source: IpAddr,
        differing: Option<AddressDifference>,
        may_tell: bool,
    ) -> bool {
        let Ok(position) = self.position(source) else { return false };
        let (_, peer) = &mut self.peers[position];
        peer.told_differing &= peer.differing == differing;
        let tell = may_tell && differing.is_some() && !peer.told_differing;
        peer.told_differing |= tell;
        peer.differing = differing;
        tell
    }

    /// Our own address list, or what is expected of the others, is another one: what is wrong with them is told anew.
    pub(super) fn forget_told(&mut self) {
        for (_, peer) in &mut self.peers {
            (peer.differing, peer.told_differing, peer.told) = (None, false, false);
        }
    }

    /// Notes a packet that did not pass. True when the reason is to be told now: it was not yet, and `may_tell`.
    pub(super) fn note_rejected(
        &mut self,
        now: Instant,
        source: IpAddr,
        rejection: Rejection,
        may_tell: bool,
    ) -> bool {
        let peer = self.entry(now, source);
        peer.rejected += 1;
        peer.told &= peer.last_rejection.map(|last| last.kind()) == Some(rejection.kind());
        peer.last_rejection = Some(rejection);
        match peer.rejections.iter_mut().find(|(kind, _)| *kind == rejection.kind()) {
            Some((_, count)) => *count += 1,
            None => {
                peer.rejections.reserve_exact(1);
                peer.rejections.push((rejection.kind(), 1));
            }
        }
        let tell = may_tell && !peer.told;
        peer.told |= tell;
        tell
    }

    /// All peers, by address.
    pub fn iter(&self) -> impl Iterator<Item = (IpAddr, &Peer)> {
        self.peers.iter().map(|(address, peer)| (*address, peer))
    }

    fn entry(&mut self, now: Instant, source: IpAddr) -> &mut Peer {
        if self.peers.len() >= PEERS_MAX && self.position(source).is_err() {
            let by_age = self.peers.iter().enumerate().min_by_key(|(_, (_, peer))| peer.last_heard);
            if let Some((oldest, _)) = by_age {
                self.peers.remove(oldest);
            }
        }
        let position = self.position(source).unwrap_or_else(|free| {
            let peer = Peer {
                last_heard: now,
                last_advertisement: None,
                accepted: 0,
                rejected: 0,
                last_rejection: None,
                rejections: Vec::new(),
                differing: None,
                told: false,
                told_differing: false,
            };
            // Normally there is a single one: no room is set aside.
            self.peers.reserve_exact(1);
            self.peers.insert(free, (source, peer));
            free
        });
        let (_, peer) = &mut self.peers[position];
        peer.last_heard = now;
        peer
    }

    fn position(&self, source: IpAddr) -> Result<usize, usize> {
        self.peers.binary_search_by_key(&source, |(address, _)| *address)
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;
    use crate::wire::vrrp::HopLimits;

    #[test]
    fn forged_sources_cannot_grow_the_table() {
        let mut table = PeerTable::default();
        for n in 0..1000 {
            let source = IpAddr::V4(Ipv4Addr::from_bits(n));
            assert!(table.note_rejected(Instant::from_micros(n.into()), source, Rejection::Checksum, true));
        }
        assert_eq!(table.iter().count(), PEERS_MAX);
        assert!(
            table.iter().all(|(_, peer)| peer.last_heard >= Instant::from_micros(1000 - PEERS_MAX as u64))
        );
    }

    fn hop_limit(received: u8) -> Rejection {
        Rejection::HopLimit { received: Some(received), expected: HopLimits::LINK }
    }

    #[test]
    fn the_same_reason_is_news_once() {
        let mut table = PeerTable::default();
        let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut note = |rejection, may_tell| table.note_rejected(Instant::ZERO, source, rejection, may_tell);
        assert!(note(hop_limit(1), true));
        assert!(!note(hop_limit(2), true));
        assert!(!note(Rejection::Checksum, false));
        assert!(note(Rejection::Checksum, true), "what could not be told is told later");
        assert!(!note(Rejection::Checksum, true));
    }

    #[test]
    fn a_peer_in_words() {
        let mut table = PeerTable::default();
        table.note_rejected(Instant::ZERO, IpAddr::V4(Ipv4Addr::LOCALHOST), Rejection::Checksum, true);
        let (_, peer) = table.iter().next().unwrap();
        assert_eq!(peer.to_string(), format!("0 accepted, 1 rejected (the last: {})", Rejection::Checksum));
        let peer = Peer {
            last_advertisement: Some((Priority(90), AdvertisementInterval::ONE_SECOND)),
            ..peer.clone()
        };
        assert!(peer.to_string().starts_with("priority 90, interval 1 sec, 0 accepted"), "{peer}");
    }
}
