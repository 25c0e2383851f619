//! A host that reaches virtual addresses through its neighbour cache (ARP or neighbour discovery).
//!
//! As Linux does it: an announcement changes an entry that exists and makes none; a missing entry is asked
//! for; an answer that differs from a fresh entry is ignored for [`LOCK_TIME`]. A patient host confirms its
//! entries from time to time with the MAC it knows and asks everybody when that stays silent. An impatient
//! one never doubts an entry, so that only announcements can correct it.

use core::net::IpAddr;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::flood::Flood;
use super::frame::{Origin, Packet};
use super::freshness::Mark;
use super::network::PortId;
use crate::net::MacAddress;
use crate::time::{Duration, Instant};

/// Linux' `locktime`: how long an entry is not replaced by a differing answer.
pub const LOCK_TIME: Duration = Duration::from_secs(1);
/// Pause between two looks at the cache.
pub const TICK: Duration = Duration::from_secs(1);
/// A patient host doubts an entry that was not confirmed for this long.
pub const REACHABLE_TIME: Duration = Duration::from_secs(5);
/// Questions to the known MAC before everybody is asked.
pub const PROBES: u8 = 3;

/// Advertisements that a host keeps.
const RECORDED_MAX: usize = 64;

/// A host's number.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HostId(pub usize);

impl core::fmt::Display for HostId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "host{}", self.0 + 1)
    }
}

/// What a host knows of an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Entry {
    mac: MacAddress,
    updated: Instant,
    confirmed: Instant,
    probes: u8,
}

/// A question that a host sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Question {
    /// The address asked for.
    pub address: IpAddr,
    /// The MAC asked, or everybody.
    pub to: Option<MacAddress>,
}

/// A host.
#[derive(Clone, Debug)]
pub struct Host {
    port: PortId,
    patient: bool,
    addresses: Vec<IpAddr>,
    cache: BTreeMap<IpAddr, Entry>,
    /// By which port frames from a virtual MAC came in last: where its switch sends what is for that.
    learnt: BTreeMap<MacAddress, PortId>,
    /// What it forges.
    pub(super) flood: Option<Flood>,
    /// The last advertisements with authentication that it heard.
    recorded: VecDeque<Arc<Packet>>,
    playing: Option<Playing>,
}

/// A recording that is sent again.
#[derive(Clone, Debug)]
struct Playing {
    packets: Vec<Arc<Packet>>,
    pause: Duration,
    rounds: u32,
}

impl Host {
    /// A host with an empty cache that talks to `addresses`.
    pub const fn new(port: PortId, patient: bool, addresses: Vec<IpAddr>) -> Self {
        Self {
            port,
            patient,
            addresses,
            cache: BTreeMap::new(),
            learnt: BTreeMap::new(),
            flood: None,
            recorded: VecDeque::new(),
            playing: None,
        }
    }

    /// Records an advertisement, if it is one of those that cannot be forged.
    pub(super) fn record(&mut self, packet: &Arc<Packet>) {
        if packet.origin == Origin::Router && Mark::of(packet).is_some() {
            if self.recorded.len() >= RECORDED_MAX {
                self.recorded.pop_front();
            }
            self.recorded.push_back(Arc::clone(packet));
        }
    }

    /// Begins to send again what it recorded.
    pub(super) fn play(&mut self, pause: Duration, rounds: u32) {
        let again =
            |packet: &Arc<Packet>| Arc::new(Packet { origin: Origin::Recording, ..Packet::clone(packet) });
        let packets = self.recorded.iter().map(again).collect();
        self.playing = Some(Playing { packets, pause: pause.max(Duration::from_micros(1)), rounds });
    }

    /// The packet of this number, and the pause after it.
    pub(super) fn recording(&self, number: usize) -> Option<(Arc<Packet>, Duration)> {
        let Playing { packets, pause, rounds } = self.playing.as_ref()?;
        let round = number.checked_div(packets.len())?;
        let packet = packets.get(number % packets.len())?;
        (u32::try_from(round).ok()? < *rounds).then(|| (Arc::clone(packet), *pause))
    }

    /// Looks through the cache: what is asked now.
    pub fn tick(&mut self, now: Instant) -> Vec<Question> {
        let mut questions = Vec::new();
        for &address in &self.addresses {
            let Some(entry) = self.cache.get_mut(&address) else {
                questions.push(Question { address, to: None });
                continue;
            };
            if !self.patient || now.saturating_since(entry.confirmed) < REACHABLE_TIME {
                continue;
            }
            if entry.probes < PROBES {
                entry.probes += 1;
                questions.push(Question { address, to: Some(entry.mac) });
            } else {
                self.cache.remove(&address);
                questions.push(Question { address, to: None });
            }
        }
        questions
    }

    /// An announcement arrived. True when it changed the cache.
    pub fn announced(&mut self, now: Instant, address: IpAddr, mac: MacAddress) -> bool {
        let Some(entry) = self.cache.get_mut(&address) else { return false };
        let changed = entry.mac != mac;
        *entry = Entry { mac, updated: now, confirmed: now, probes: 0 };
        changed
    }

    /// An answer arrived. True when it changed the cache.
    pub fn answered(&mut self, now: Instant, address: IpAddr, mac: MacAddress) -> bool {
        let entry = self.cache.get(&address);
        if entry.is_some_and(|e| e.mac != mac && now.saturating_since(e.updated) < LOCK_TIME) {
            return false;
        }
        let changed = entry.is_none_or(|e| e.mac != mac);
        let updated = entry.filter(|_| !changed).map_or(now, |e| e.updated);
        self.cache.insert(address, Entry { mac, updated, confirmed: now, probes: 0 });
        changed
    }

    /// A frame from a virtual MAC came in by a port.
    pub fn learn(&mut self, mac: MacAddress, port: PortId) {
        if is_virtual(mac) {
            self.learnt.insert(mac, port);
        }
    }

    /// By which port frames to a virtual MAC leave.
    pub fn port_of(&self, mac: MacAddress) -> Option<PortId> {
        self.learnt.get(&mac).copied()
    }

    /// Adds addresses to talk to, those of a configuration that was loaded later.
    pub fn talk_to(&mut self, address: IpAddr) {
        if !self.addresses.contains(&address) {
            self.addresses.push(address);
        }
    }

    /// Where the host is attached.
    pub const fn port(&self) -> PortId {
        self.port
    }

    /// Whether it confirms its entries by itself.
    pub const fn patient(&self) -> bool {
        self.patient
    }

    /// The MAC that frames to `address` are sent to.
    pub fn route(&self, address: &IpAddr) -> Option<MacAddress> {
        self.cache.get(address).map(|entry| entry.mac)
    }

    /// All entries of the cache.
    pub fn routes(&self) -> impl Iterator<Item = (IpAddr, MacAddress)> {
        self.cache.iter().map(|(address, entry)| (*address, entry.mac))
    }
}

/// Whether several machines have the MAC by turns (RFC 9568 §7.3).
pub const fn is_virtual(mac: MacAddress) -> bool {
    matches!(mac.0, [0, 0, 0x5e, 0, 1 | 2, _])
}

/// Longest time until a patient host has found out that its entry is wrong and was answered, `delay` being
/// the longest way from port to port.
pub fn patience(delay: Duration) -> Duration {
    REACHABLE_TIME + TICK * (u32::from(PROBES) + 3) + LOCK_TIME + delay * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 0, 100));
    const A: MacAddress = MacAddress([2, 0, 0, 0, 0, 0xa]);
    const B: MacAddress = MacAddress([2, 0, 0, 0, 0, 0xb]);

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    #[test]
    fn an_announcement_updates_and_never_creates() {
        let mut host = Host::new(PortId(0), false, vec![ADDRESS]);
        assert!(!host.announced(at(0), ADDRESS, A));
        assert_eq!(host.route(&ADDRESS), None);
        assert_eq!(host.tick(at(1)), [Question { address: ADDRESS, to: None }]);
        assert!(host.answered(at(2), ADDRESS, A));
        assert!(host.announced(at(3), ADDRESS, B));
        assert_eq!(host.route(&ADDRESS), Some(B));
    }

    #[test]
    fn the_first_of_two_answers_counts() {
        let mut host = Host::new(PortId(0), false, vec![ADDRESS]);
        assert!(host.answered(at(0), ADDRESS, A));
        assert!(!host.answered(at(1), ADDRESS, B));
        assert_eq!(host.route(&ADDRESS), Some(A));
        assert!(host.answered(at(1_001), ADDRESS, B));
    }

    #[test]
    fn only_a_patient_host_doubts() {
        for patient in [false, true] {
            let mut host = Host::new(PortId(0), patient, vec![ADDRESS]);
            host.answered(at(0), ADDRESS, A);
            let asked: Vec<Question> = (1..20).flat_map(|second| host.tick(at(second * 1_000))).collect();
            if patient {
                let probe = Question { address: ADDRESS, to: Some(A) };
                assert_eq!(asked[..3], [probe; 3]);
                assert_eq!(asked[3], Question { address: ADDRESS, to: None });
                assert_eq!(host.route(&ADDRESS), None);
            } else {
                assert_eq!(asked, []);
                assert_eq!(host.route(&ADDRESS), Some(A));
            }
        }
    }

    #[test]
    fn a_confirmed_entry_is_left_alone() {
        let mut host = Host::new(PortId(0), true, vec![ADDRESS]);
        host.answered(at(0), ADDRESS, A);
        assert_eq!(host.tick(at(5_000)).len(), 1);
        assert!(!host.answered(at(5_001), ADDRESS, A));
        assert_eq!(host.tick(at(6_000)), []);
    }
}
