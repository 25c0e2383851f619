//! Announcements in their order and pace: all addresses once, then all again, as keepalived; with the
//! pauses of `garp_interval` and `gna_interval` on each interface, or on all interfaces of a `garp_group` together.
//!
//! A gratuitous ARP request is answered by the kernel of a router whose daemon died or stands still: on a virtual MAC it
//! takes packets from its own addresses. That answer comes from the same MAC, and the switch learns the port of the dead
//! router behind our request. So a reply follows the last request on each interface with a virtual MAC: nobody answers it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::router::Phase;
use super::router_core::Core;
use super::{Output, SharedPace, VirtualRouter};
use crate::kernel::{Announcement, RouterId};
use crate::net::{Family, InterfaceIndex, Prefix};
use crate::time::{Duration, Instant};

/// After so long every kernel of a LAN has answered a request.
const ANSWERED: Duration = Duration::from_millis(20);

/// Announcements that wait to be sent, by what shares a pace, and family.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct AnnouncementQueue {
    lanes: BTreeMap<(PaceKey, Family), Lane>,
    /// What waits already is not queued again, which bounds the queue by the number of addresses.
    queued: BTreeSet<(RouterId, InterfaceIndex, core::net::IpAddr)>,
    /// Replies that follow the requests of a router on an interface with a virtual MAC.
    follow_ups: BTreeMap<(RouterId, InterfaceIndex), FollowUp>,
    /// Those that wait in a lane.
    replies: usize,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct FollowUp {
    /// `None`: the request has left by another way, just now.
    at: Option<Instant>,
    entry: Entry,
}

/// How fast announcements may follow each other, and with which others that counts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Pace {
    key: PaceKey,
    /// Pause after each; zero = none.
    interval: Duration,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
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

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Lane {
    /// Not announced yet.
    first: VecDeque<Entry>,
    /// Announced, and to be repeated.
    again: VecDeque<Entry>,
    not_before: Instant,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Entry {
    router: RouterId,
    announcement: Announcement,
    rounds: u32,
    pace: Pace,
    /// A reply follows it.
    follows_up: bool,
}

impl AnnouncementQueue {
    /// Adds an announcement that shall be sent `rounds` times at this pace. `on_virtual_mac`: a reply follows, also where
    /// the requests have left already.
    pub fn push(
        &mut self,
        router: RouterId,
        announcement: Announcement,
        rounds: u32,
        pace: Pace,
        on_virtual_mac: bool,
    ) {
        let follows_up = on_virtual_mac && announcement.address.is_ipv4();
        let entry = Entry { router, announcement, rounds, pace, follows_up };
        if follows_up && rounds == 0 {
            self.follow_ups.insert((router, announcement.link), FollowUp { at: None, entry });
        }
        let key = (router, announcement.link, announcement.address);
        if rounds > 0 && self.queued.insert(key) {
            let lane = self.lanes.entry((pace.key, Family::of(&announcement.address))).or_default();
            lane.first.push_back(entry);
        }
    }

    /// Drops what waits for a router that is not master any more.
    pub fn cancel(&mut self, router: RouterId) {
        self.follow_ups.retain(|(of, _), _| *of != router);
        let mut queued = self.queued.range((router, LOWEST.0, LOWEST.1)..);
        if self.replies == 0 && queued.next().is_none_or(|&(first, ..)| first != router) {
            return;
        }
        self.queued.retain(|&(queued, ..)| queued != router);
        for lane in self.lanes.values_mut() {
            lane.first.retain(|entry| entry.router != router);
            lane.again.retain(|entry| entry.router != router);
        }
        self.lanes.retain(|_, lane| !lane.is_empty());
        let waiting = self.lanes.values().flat_map(|lane| &lane.again);
        self.replies = waiting.filter(|entry| entry.announcement.is_reply).count();
    }

    /// When the next announcement may be sent; long ago if at once.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let follow_ups = self.follow_ups.values().map(|follow_up| follow_up.at.unwrap_or(Instant::ZERO));
        self.lanes.values().map(|lane| lane.not_before).chain(follow_ups).min()
    }

    /// Takes up to `budget` announcements that may be sent, and counts each for its router.
    pub fn take_due(
        &mut self,
        now: Instant,
        mut budget: usize,
        announcements: &mut Vec<Announcement>,
        mut count: impl FnMut(RouterId),
    ) {
        self.follow_up(now);
        for lane in self.lanes.values_mut() {
            while budget > 0 && lane.not_before <= now {
                let Some(mut entry) = lane.first.pop_front().or_else(|| lane.again.pop_front()) else {
                    break;
                };
                budget -= 1;
                announcements.push(entry.announcement);
                count(entry.router);
                if !entry.pace.interval.is_zero() {
                    lane.not_before = now + entry.pace.interval;
                }
                entry.rounds -= 1;
                if entry.follows_up {
                    let key = (entry.router, entry.announcement.link);
                    self.follow_ups.insert(key, FollowUp { at: Some(now + ANSWERED), entry });
                }
                if entry.rounds > 0 {
                    lane.again.push_back(entry);
                } else if entry.announcement.is_reply {
                    self.replies = self.replies.saturating_sub(1);
                } else {
                    let Announcement { link, address, .. } = entry.announcement;
                    self.queued.remove(&(entry.router, link, address));
                }
            }
        }
        // A lane whose pause still runs is kept, so that the next announcement respects it.
        self.lanes.retain(|_, lane| !lane.is_empty() || lane.not_before > now);
    }

    /// Puts the replies whose time has come to what waits.
    fn follow_up(&mut self, now: Instant) {
        let mut due = Vec::new();
        self.follow_ups.retain(|_, FollowUp { at, entry }| {
            let is_due = *at.get_or_insert(now + ANSWERED) <= now;
            due.extend(is_due.then_some(*entry));
            !is_due
        });
        for mut entry in due {
            entry.announcement.is_reply = true;
            (entry.rounds, entry.follows_up) = (1, false);
            let lane = self.lanes.entry((entry.pace.key, Family::Ipv4)).or_default();
            lane.again.push_back(entry);
            self.replies += 1;
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queued.is_empty() && self.follow_ups.is_empty() && self.lanes.values().all(Lane::is_empty)
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
                let on_top =
                    self.environment.interface_of(link).is_some_and(|(_, interface)| interface.on_top);
                let pace = self.pace(link, prefix.family());
                out.announcements.push(self.id, announcement, rounds, pace, on_top);
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
            is_reply: false,
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
            is_reply: false,
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
            queue.push(RouterId(1), announcement(last), 3, ALONE, false);
        }
        queue.take_due(Instant::ZERO, 4, &mut actions, |_| {});
        queue.push(RouterId(1), announcement(9), 2, ALONE, false);
        queue.take_due(Instant::ZERO, 100, &mut actions, |_| {});
        assert_eq!(sent(&actions), [1, 2, 3, 1, 9, 2, 3, 1, 9, 2, 3]);
        assert!(queue.is_empty() && queue.poll_timeout().is_none());
    }

    #[test]
    fn an_interval_spaces_announcements_on_an_interface() {
        let mut queue = AnnouncementQueue::default();
        let mut actions = Vec::new();
        let slow = Pace::of_interface(InterfaceIndex::LOWEST, Duration::from_millis(10));
        queue.push(RouterId(1), announcement(1), 2, slow, false);
        queue.push(RouterId(1), announcement(2), 1, slow, false);
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
            queue.push(RouterId(1), on(link, last), 1, shared, false);
        }
        queue.push(RouterId(1), on(4, 9), 1, Pace::of_group(1, Duration::from_millis(10)), false);
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
        queue.push(RouterId(1), announcement(1), 5, ALONE, false);
        queue.push(RouterId(2), announcement(2), 1, ALONE, false);
        queue.cancel(RouterId(1));
        queue.take_due(Instant::ZERO, 100, &mut actions, |_| {});
        assert_eq!(sent(&actions), [2]);
    }

    #[test]
    fn a_reply_follows_the_last_request_on_a_virtual_mac() {
        let mut queue = AnnouncementQueue::default();
        let at = |ms: u64, queue: &mut AnnouncementQueue| {
            let mut sent = Vec::new();
            queue.take_due(Instant::from_micros(ms * 1_000), 100, &mut sent, |_| {});
            sent.iter().map(|announcement| announcement.is_reply).collect::<Vec<_>>()
        };
        queue.push(RouterId(1), announcement(1), 2, ALONE, true);
        queue.push(RouterId(1), announcement(2), 1, ALONE, true);
        queue.push(RouterId(2), announcement(9), 1, ALONE, false);
        assert_eq!(at(0, &mut queue), [false; 4]);
        assert_eq!(queue.poll_timeout(), Some(Instant::from_micros(20_000)));
        // One more request: later than its answers.
        queue.push(RouterId(1), announcement(1), 1, ALONE, true);
        assert_eq!(at(15, &mut queue), [false]);
        assert_eq!(at(34, &mut queue), [] as [bool; 0]);
        assert_eq!(at(35, &mut queue), [true]);
        assert!(queue.is_empty() && queue.poll_timeout().is_none());
        // The requests have left with the addresses.
        queue.push(RouterId(1), announcement(1), 0, ALONE, true);
        assert_eq!(queue.poll_timeout(), Some(Instant::ZERO));
        assert_eq!(at(50, &mut queue), [] as [bool; 0]);
        assert_eq!(at(70, &mut queue), [true]);
        queue.push(RouterId(1), announcement(1), 1, ALONE, true);
        at(80, &mut queue);
        queue.cancel(RouterId(1));
        assert!(queue.is_empty(), "who is master no longer says no more");
    }
}
