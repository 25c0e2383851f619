//! Which advertisements are fresh, by their bytes and what was there before: what `auth_hmac` and authentication headers
//! promise, kept a second time and on purpose not with the code under test. Signatures are taken for right here.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::frame::{Glance, Packet};
use crate::net::Family;
use crate::time::{Duration, WallTime, micros};
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
        let number = |at: usize| packet.payload.get(at..);
        if packet.ip.protocol == 51 {
            return number(SEQUENCE)?.first_chunk().map(|bytes| Self::Sequence(u32::from_be_bytes(*bytes)));
        }
        let glance = Glance::of(&packet.payload)?;
        let (each, password) = match (Family::of(&packet.source), glance.version) {
            (Family::Ipv4, 2) => (4, 8),
            (Family::Ipv4, _) => (4, 0),
            (Family::Ipv6, _) => (16, 0),
        };
        let message = 8 + each * usize::from(glance.count) + password;
        if packet.payload.len() != message + TRAILER {
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
}

impl Freshness {
    /// Takes a packet that is handed to a router. False for one that it must not believe.
    pub fn judge(&mut self, router: &RouterConfig, packet: &Packet, wall: WallTime) -> bool {
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
    }
}

/// Two clocks that differ by this much are taken for the same time by no router of these.
pub fn smallest_window<'a>(routers: impl Iterator<Item = &'a RouterConfig>) -> Option<Duration> {
    let timed = routers.filter_map(|router| router.hmac.as_deref());
    timed.filter(|hmac| hmac.anti_replay == AntiReplay::Time).map(|hmac| hmac.window).min()
}
