//! Which advertisements are fresh, by their bytes and what was there before: what `auth_hmac` and authentication headers
//! promise, kept a second time and on purpose not with the code under test. Signatures are taken for right here, but a
//! stranger's.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::frame::{Glance, Origin, Packet};
use super::protection::is_protected;
use crate::net::Family;
use crate::time::{WallTime, micros};
use crate::vrrp::{AntiReplay, HmacMode, RouterConfig};
use crate::wire::vrrp::AuthenticationData;

/// What grows from one advertisement of a sender to the next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mark {
    /// The sequence number of an authentication header.
    Sequence(u32),
    /// The stamp of a trailer: seconds since 1970 in the upper half.
    Stamp(u64),
}

/// Where the numbers are: in an authentication header (RFC 2402 §2), and in a trailer.
const SEQUENCE: usize = 8;
const STAMP: usize = 4;
const TRAILER: usize = 28;

impl Mark {
    /// Of a packet, if it has one.
    pub fn of(packet: &Packet) -> Option<Self> {
        Self::within(packet.source, packet.ip.protocol, &packet.payload)
    }

    /// Of what follows the IP header of a packet.
    pub fn within(source: IpAddr, protocol: u8, payload: &[u8]) -> Option<Self> {
        let number = |at: usize| payload.get(at..);
        if protocol == 51 {
            return number(SEQUENCE)?.first_chunk().map(|bytes| Self::Sequence(u32::from_be_bytes(*bytes)));
        }
        let glance = Glance::of(payload)?;
        let (each, password) = match (Family::of(&source), glance.version) {
            (Family::Ipv4, 2) => (4, 8),
            (Family::Ipv4, _) => (4, 0),
            (Family::Ipv6, _) => (16, 0),
        };
        let message = 8 + each * usize::from(glance.count) + password;
        if payload.len() != message + TRAILER {
            return None;
        }
        number(message + STAMP)?.first_chunk().map(|bytes| Self::Stamp(u64::from_be_bytes(*bytes)))
    }

    /// Whether it is later than another one of the same kind.
    pub fn is_after(self, other: Self) -> bool {
        match (self, other) {
            (Self::Sequence(own), Self::Sequence(other)) => own > other,
            (Self::Stamp(own), Self::Stamp(other)) => own.wrapping_sub(other).cast_signed() > 0,
            _ => true,
        }
    }
}

/// How far a stamp and a clock are apart.
fn apart_us(stamp: u64, wall: WallTime) -> u64 {
    let clock = wall.as_unix_micros();
    let us = (stamp >> 32) * 1_000_000 + ((((stamp >> 16) & 0xffff) * 1_000_000) >> 16);
    us.abs_diff(clock)
}

/// The marks that one daemon was handed, by router.
#[derive(Clone, Debug, Default)]
pub struct Freshness {
    senders: BTreeMap<(Arc<str>, IpAddr), Mark>,
    highest: BTreeMap<Arc<str>, u32>,
    /// The sequence numbers of senders of whom nobody outside can tell whether they have been believed.
    uncertain: BTreeMap<(Arc<str>, IpAddr), u32>,
}

/// What a daemon may make of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Credit {
    /// It believes it.
    Fresh,
    /// It must not believe it.
    Stale,
    /// Either.
    Uncertain,
}

impl Freshness {
    /// Takes a packet that is handed to a router.
    pub fn judge(&mut self, router: &RouterConfig, packet: &Packet, wall: WallTime) -> Credit {
        let key = (Arc::clone(&router.name), packet.source);
        if let (Some(Mark::Sequence(number)), Some(before)) = (Mark::of(packet), self.uncertain.get(&key)) {
            let highest = self.highest.get(&router.name).copied().unwrap_or_default();
            if number <= highest {
                return if number > *before { Credit::Uncertain } else { Credit::Stale };
            }
            self.uncertain.remove(&key);
        }
        if self.believes(router, packet, wall) { Credit::Fresh } else { Credit::Stale }
    }

    fn believes(&mut self, router: &RouterConfig, packet: &Packet, wall: WallTime) -> bool {
        if packet.origin == Origin::Stranger && is_protected(router) {
            return false;
        }
        let sealed = matches!(router.authentication, AuthenticationData::AuthenticationHeader(_));
        let mark = Mark::of(packet);
        let key = (Arc::clone(&router.name), packet.source);
        let known = self.senders.get(&key).copied();
        match (&router.hmac, mark) {
            (None, Some(Mark::Sequence(number))) if sealed => {
                let highest = self.highest.entry(Arc::clone(&router.name)).or_default();
                let last = match known {
                    Some(Mark::Sequence(last)) => last,
                    _ => *highest,
                };
                if number <= last {
                    return false;
                }
                *highest = number.max(*highest);
            }
            (None, _) => return !sealed,
            (Some(hmac), Some(Mark::Stamp(stamp))) => {
                let window = micros(hmac.window);
                let timed = hmac.anti_replay == AntiReplay::Time;
                if timed && apart_us(stamp, wall) > window {
                    return false;
                }
                // What a clock said that was set since does not count.
                let counts = |known: &Mark| match known {
                    Mark::Stamp(known) => !timed || apart_us(*known, wall) <= window,
                    Mark::Sequence(_) => false,
                };
                if known.filter(counts).is_some_and(|known| !Mark::Stamp(stamp).is_after(known)) {
                    return false;
                }
            }
            (Some(hmac), _) => return hmac.mode != HmacMode::Enforce,
        }
        self.senders.extend(mark.map(|mark| (key, mark)));
        true
    }

    /// The router sends this itself while it is handed a packet that is fresh: before that, as what was overdue after a
    /// standstill, or in answer to it? From a sender that is new to it, the one makes the packet a stale one and the
    /// other does not. Returns whether that matters.
    pub fn note_sent_meanwhile(
        &mut self,
        router: &Arc<str>,
        mark: Mark,
        packet: &Packet,
        is_new: bool,
    ) -> bool {
        self.note_sent(router, mark);
        match (Mark::of(packet), mark) {
            (Some(Mark::Sequence(number)), Mark::Sequence(sent)) if is_new && sent > number => {
                let key = (Arc::clone(router), packet.source);
                self.senders.remove(&key);
                self.uncertain.insert(key, number);
                true
            }
            _ => false,
        }
    }

    /// Whether a router has not believed a sender so far.
    pub fn is_new(&self, router: &Arc<str>, sender: IpAddr) -> bool {
        !self.senders.contains_key(&(Arc::clone(router), sender))
    }

    /// The router sends this itself: the others go on from there.
    pub fn note_sent(&mut self, router: &Arc<str>, mark: Mark) {
        if let Mark::Sequence(number) = mark {
            let highest = self.highest.entry(Arc::clone(router)).or_default();
            *highest = number.max(*highest);
        }
    }

    /// Routers that are gone are forgotten, and remember nothing when they come back.
    pub fn retain(&mut self, routers: &[RouterConfig]) {
        let stays = |name: &Arc<str>| routers.iter().any(|router| router.name == *name);
        self.senders.retain(|(name, _), _| stays(name));
        self.highest.retain(|name, _| stays(name));
        self.uncertain.retain(|(name, _), _| stays(name));
    }
}
