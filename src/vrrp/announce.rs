//! Announcements in their order and pace: all addresses once, then all again, as keepalived; with the
//! pauses of `garp_interval` and `gna_interval` on each interface, or on all interfaces of a `garp_group` together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::router::Phase;
use super::router_core::Core;
use super::{Output, SharedPace, VirtualRouter};
use crate::kernel::{Announcement, RouterId};
use crate::net::{Family, InterfaceIndex, Prefix};
use crate::time::{Duration, Instant};

/// Announcements that wait to be sent, by what shares a pace, and family.
#[derive(Clone, Debug, Default)]
pub struct AnnouncementQueue {
    lanes: BTreeMap<(PaceKey, Family), Lane>,
    /// What waits already is not queued again, which bounds the queue by the number of addresses.
    queued: BTreeSet<(RouterId, InterfaceIndex, core::net::IpAddr)>,
}

/// How fast announcements may follow each other, and with which others that counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pace {
    key: PaceKey,
    /// Pause after each; zero = none.
    interval: Duration,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum PaceKey {
    Interface(InterfaceIndex),
    /// A `garp_group`, by its number.
    Group(u32),
}

impl Pace {
    /// Of an interface alone.
    pub const fn of_interface(link: InterfaceIndex, interval: Duration) -> Self {
        Self { key: PaceKey::Interface(link), interval }
    }

    /// Of all interfaces of a group.
    const fn of_group(group: u32, interval: Duration) -> Self {
        Self { key: PaceKey::Group(group), interval }
    }
}

#[derive(Clone, Debug, Default)]
struct Lane {
    /// Not announced yet.
    first: VecDeque<Entry>,
    /// Announced, and to be repeated.
    again: VecDeque<Entry>,
    not_before: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    router: RouterId,
    announcement: Announcement,
    rounds: u32,
    interval: Duration,
}

impl AnnouncementQueue {
    /// Adds an announcement that shall be sent `rounds` times at this pace.
    pub fn push(&mut self, router: RouterId, announcement: Announcement, rounds: u32, pace: Pace) {
        let key = (router, announcement.link, announcement.address);
        if rounds > 0 && self.queued.insert(key) {
            let lane = self.lanes.entry((pace.key, Family::of(&announcement.address))).or_default();
            lane.first.push_back(Entry { router, announcement, rounds, interval: pace.interval });
        }
    }

    /// Drops what waits for a router that is not master any more.
    pub fn cancel(&mut self, router: RouterId) {
        if self.queued.range((router, LOWEST.0, LOWEST.1)..).next().is_none_or(|&(first, ..)| first != router)
        {
            return;
        }
        self.queued.retain(|&(queued, ..)| queued != router);
        for lane in self.lanes.values_mut() {
            lane.first.retain(|entry| entry.router != router);
            lane.again.retain(|entry| entry.router != router);
        }
        self.lanes.retain(|_, lane| !lane.is_empty());
    }

    /// When the next announcement may be sent; long ago if at once.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.lanes.values().map(|lane| lane.not_before).min()
    }

    /// Takes up to `budget` announcements that may be sent, and counts each for its router.
    pub fn take_due(
        &mut self,
        now: Instant,
        mut budget: usize,
        announcements: &mut Vec<Announcement>,
        mut count: impl FnMut(RouterId),
    ) {
        for lane in self.lanes.values_mut() {
            while budget > 0 && lane.not_before <= now {
                let Some(mut entry) = lane.first.pop_front().or_else(|| lane.again.pop_front()) else {
                    break;
                };
                budget -= 1;
                announcements.push(entry.announcement);
                count(entry.router);
                if !entry.interval.is_zero() {
                    lane.not_before = now + entry.interval;
                }
                entry.rounds -= 1;
                if entry.rounds > 0 {
                    lane.again.push_back(entry);
                } else {
                    let Announcement { link, address, .. } = entry.announcement;
                    self.queued.remove(&(entry.router, link, address));
                }
            }
        }
        // A lane whose pause still runs is kept, so that the next announcement respects it.
        self.lanes.retain(|_, lane| !lane.is_empty() || lane.not_before > now);
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }
}

impl Lane {
    fn is_empty(&self) -> bool {
        self.first.is_empty() && self.again.is_empty()
    }
}

impl Core {
    /// Queues announcements of addresses, with the pace of the configuration.
    pub(super) fn announce(
        &self,
        addresses: impl IntoIterator<Item = (InterfaceIndex, Prefix)>,
        rounds: u32,
        out: &mut Output<'_>,
    ) {
        for (link, prefix) in addresses {
            if !self.detections.holds_back((link, prefix))
                && let Some(announcement) = self.announcement(link, prefix)
            {
                out.announcements.push(self.id, announcement, rounds, self.pace(link, prefix.family()));
            }
        }
    }

    /// What tells hosts of an address; `None` where the interface has no MAC.
    pub(super) fn announcement(&self, link: InterfaceIndex, prefix: Prefix) -> Option<Announcement> {
        let (_, interface) = self.environment.interface_of(link)?;
        Some(Announcement {
            link: interface.key,
            mac: interface.mac?,
            address: prefix.address(),
            is_router: prefix.family() == Family::Ipv6 && interface.ipv6_forwarding,
        })
    }

    /// `garp_interval`, `gna_interval`: of the interface's `garp_group`, or those of all.
    fn pace(&self, link: InterfaceIndex, family: Family) -> Pace {
        let settings = &self.config.announce;
        let shared = self.environment.interface_of(link).and_then(|(_, interface)| interface.pace);
        let own = |pace: SharedPace| match family {
            Family::Ipv4 => pace.arp_interval,
            Family::Ipv6 => pace.ndisc_interval,
        };
        let interval = shared.and_then(own).unwrap_or(match family {
            Family::Ipv4 => settings.arp_interval,
            Family::Ipv6 => settings.ndisc_interval,
        });
        match shared {
            Some(pace) => Pace::of_group(pace.group, interval),
            None => Pace::of_interface(link, interval),
        }
    }

    /// Whether announcements on an interface have to keep a pace.
    pub(super) fn is_paced(&self, link: InterfaceIndex, family: Family) -> bool {
        !self.pace(link, family).interval.is_zero()
    }
}

impl VirtualRouter {
    /// Announces once more what is on an interface, since the kernel refused to send it. Nothing unless master.
    pub fn announce_on(&mut self, link: InterfaceIndex, out: &mut Output<'_>) {
        if let Phase::Master(mastership) = &self.phase
            && !mastership.hands_over()
        {
            let here = self.core.addresses.held().filter(|(on, _)| *on == link);
            self.core.announce(here, 1, out);
        }
    }
}

/// The lowest interface and address, to start a range of one router's entries.
const LOWEST: (InterfaceIndex, core::net::IpAddr) =
    (InterfaceIndex::LOWEST, core::net::IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED));

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::net::MacAddress;

    const ALONE: Pace = Pace::of_interface(InterfaceIndex::LOWEST, Duration::ZERO);

    fn announcement(last: u8) -> Announcement {
        Announcement {
            link: InterfaceIndex::LOWEST,
            mac: MacAddress([2, 0, 0, 0, 0, 1]),
            address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)),
            is_router: false,
        }
    }

    fn sent(announcements: &[Announcement]) -> Vec<u8> {
        let last = |announcement: &Announcement| match announcement.address {
            IpAddr::V4(address) => Some(address.octets()[3]),
            IpAddr::V6(_) => None,
        };
        announcements.iter().filter_map(last).collect()
    }

    #[test]
    fn all_once_then_all_again_and_a_late_chunk_goes_first() {
        let mut queue = AnnouncementQueue::default();
        let mut actions = Vec::new();
        for last in 1..=3 {
            queue.push(RouterId(1), announcement(last), 3, ALONE);
        }
        queue.take_due(Instant::ZERO, 4, &mut actions, |_| {});
        queue.push(RouterId(1), announcement(9), 2, ALONE);
        queue.take_due(Instant::ZERO, 100, &mut actions, |_| {});
        assert_eq!(sent(&actions), [1, 2, 3, 1, 9, 2, 3, 1, 9, 2, 3]);
        assert!(queue.is_empty() && queue.poll_timeout().is_none());
    }

    #[test]
    fn an_interval_spaces_announcements_on_an_interface() {
        let mut queue = AnnouncementQueue::default();
        let mut actions = Vec::new();
        let slow = Pace::of_interface(InterfaceIndex::LOWEST, Duration::from_millis(10));
        queue.push(RouterId(1), announcement(1), 2, slow);
        queue.push(RouterId(1), announcement(2), 1, slow);
        queue.take_due(Instant::ZERO, 100, &mut actions, |_| {});
        assert_eq!(sent(&actions), [1]);
        assert_eq!(queue.poll_timeout(), Some(Instant::from_micros(10_000)));
        queue.take_due(Instant::from_micros(10_000), 100, &mut actions, |_| {});
        queue.take_due(Instant::from_micros(20_000), 100, &mut actions, |_| {});
        assert_eq!(sent(&actions), [1, 2, 1]);
    }

    #[test]
    fn interfaces_of_a_group_share_its_pace_and_others_do_not() {
        let mut queue = AnnouncementQueue::default();
        let on = |link: u32, last| {
            let link = InterfaceIndex::new(link).unwrap();
            Announcement { link, ..announcement(last) }
        };
        let shared = Pace::of_group(0, Duration::from_millis(10));
        for (link, last) in [(2, 1), (3, 2), (2, 3)] {
            queue.push(RouterId(1), on(link, last), 1, shared);
        }
        queue.push(RouterId(1), on(4, 9), 1, Pace::of_group(1, Duration::from_millis(10)));
        let at = |ms: u64, queue: &mut AnnouncementQueue| {
            let mut actions = Vec::new();
            queue.take_due(Instant::from_micros(ms * 1_000), 100, &mut actions, |_| {});
            sent(&actions)
        };
        assert_eq!(at(0, &mut queue), [1, 9]);
        assert_eq!(at(9, &mut queue), [] as [u8; 0]);
        assert_eq!(at(10, &mut queue), [2]);
        assert_eq!(at(20, &mut queue), [3]);
    }

    #[test]
    fn a_router_that_left_announces_nothing() {
        let mut queue = AnnouncementQueue::default();
        let mut actions = Vec::new();
        queue.push(RouterId(1), announcement(1), 5, ALONE);
        queue.push(RouterId(2), announcement(2), 1, ALONE);
        queue.cancel(RouterId(1));
        queue.take_due(Instant::ZERO, 100, &mut actions, |_| {});
        assert_eq!(sent(&actions), [2]);
    }
}
