//! What the recorded advertisements, announcements and probes say. Pure: times in, figures out.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::probe::ProbeRun;
use super::record::{Sighting, What};
use crate::time::WallTime;
use crate::wire::vrrp::Priority;

/// A router began to advertise.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Election {
    /// Which router.
    pub router: usize,
    /// Its first advertisement.
    pub time: WallTime,
}

/// A time during which a router advertised without a pause.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reign {
    /// Which router.
    pub router: usize,
    /// Its first advertisement.
    pub first: WallTime,
    /// Its last one, priority 0 included.
    pub last: WallTime,
}

/// The figures of one scenario.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Measures {
    /// The old master's last advertisement before the first election.
    pub last_advertisement: Option<WallTime>,
    /// Who began to advertise after the disturbance, in order.
    pub elections: Vec<Election>,
    /// From the old master's last advertisement to the first one of its successor.
    pub takeover: Option<Duration>,
    /// From the old master's last advertisement to its successor's first announcement.
    pub first_announcement: Option<Duration>,
    /// The same until each address was announced once.
    pub last_announcement: Option<Duration>,
    /// Start and length of the longest run of lost probes.
    pub blackout: Option<(WallTime, Duration)>,
    /// Probes lost altogether.
    pub probes_lost: usize,
    /// Probes sent altogether.
    pub probes_sent: usize,
    /// How long two routers advertised at once.
    pub dual_master: Duration,
    /// Who advertised when.
    pub reigns: Vec<Reign>,
}

/// Works the figures out. `disturbed` is when the scenario struck, `interval` that of the advertisements,
/// `addresses` those that the routers hand over.
pub fn measure(
    sightings: &[Sighting],
    probes: &ProbeRun,
    disturbed: WallTime,
    interval: Duration,
    addresses: &[IpAddr],
) -> Measures {
    let reigns = reigns(sightings, interval);
    let elections: Vec<Election> = reigns
        .iter()
        .filter(|reign| reign.first >= disturbed)
        .map(|reign| Election { router: reign.router, time: reign.first })
        .collect();
    let mut measures = Measures {
        dual_master: overlap(&reigns, disturbed),
        blackout: probes.blackout(disturbed),
        probes_lost: probes.lost(disturbed),
        probes_sent: probes.probes.len(),
        ..Measures::default()
    };
    if let Some(first) = elections.first() {
        measures.last_advertisement = sightings
            .iter()
            .filter(|s| matches!(s.what, What::Advertisement { .. }))
            .filter(|s| s.router != first.router && s.time < first.time)
            .map(|s| s.time)
            .max();
        if let Some(last) = measures.last_advertisement {
            let announced = announcements(sightings, first.router, last, addresses);
            measures.takeover = Some(first.time.saturating_since(last));
            measures.first_announcement = announced.values().min().map(|&time| time.saturating_since(last));
            measures.last_announcement = (announced.len() == addresses.len())
                .then(|| announced.values().max().map(|&time| time.saturating_since(last)))
                .flatten();
        }
    }
    measures.elections = elections;
    measures.reigns = reigns;
    measures
}

/// When `router` first announced each address at `from` or later.
fn announcements(
    sightings: &[Sighting],
    router: usize,
    from: WallTime,
    addresses: &[IpAddr],
) -> BTreeMap<IpAddr, WallTime> {
    let wanted: BTreeSet<IpAddr> = addresses.iter().copied().collect();
    let mut first = BTreeMap::new();
    for sighting in sightings.iter().filter(|s| s.router == router && s.time >= from) {
        if let What::Announcement { address, .. } = sighting.what
            && wanted.contains(&address)
        {
            first.entry(address).or_insert(sighting.time);
        }
    }
    first
}

/// The reigns, by their first advertisement. A router that is silent for more than two and a half intervals,
/// or says that it leaves, has ended its reign.
fn reigns(sightings: &[Sighting], interval: Duration) -> Vec<Reign> {
    let pause = interval * 5 / 2;
    let mut ended = Vec::new();
    let mut current: BTreeMap<usize, Reign> = BTreeMap::new();
    for sighting in sightings {
        let What::Advertisement { priority, .. } = sighting.what else { continue };
        let Sighting { time, router, .. } = *sighting;
        if let Some(reign) = current.get_mut(&router) {
            if time.saturating_since(reign.last) <= pause {
                reign.last = time;
            } else {
                ended.extend(current.remove(&router));
            }
        }
        if priority == Priority(0) {
            ended.extend(current.remove(&router));
        } else {
            current.entry(router).or_insert(Reign { router, first: time, last: time });
        }
    }
    ended.extend(current.into_values());
    ended.sort_by_key(|reign| (reign.first, reign.router));
    ended
}

/// Time after `from` in which two or more routers reigned.
fn overlap(reigns: &[Reign], from: WallTime) -> Duration {
    let mut changes: Vec<(WallTime, i32)> = Vec::new();
    for reign in reigns.iter().filter(|reign| reign.last > from) {
        changes.push((reign.first.max(from), 1));
        changes.push((reign.last, -1));
    }
    changes.sort_unstable();
    let (mut count, mut start, mut total) = (0, WallTime::default(), Duration::ZERO);
    for (time, change) in changes {
        if count >= 2 {
            total += time.saturating_since(start);
        }
        (count, start) = (count + change, time);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::MacAddress;
    use crate::wire::vrrp::Vrid;

    const INTERVAL: Duration = Duration::from_millis(100);

    fn at(ms: u64) -> WallTime {
        WallTime::from_unix_micros(ms * 1000)
    }

    fn advert(ms: u64, router: usize, priority: u8) -> Sighting {
        let what = What::Advertisement { vrid: Vrid::new(1).unwrap(), priority: Priority(priority) };
        Sighting { time: at(ms), router, front: 0, what }
    }

    fn announcement(ms: u64, router: usize, address: IpAddr) -> Sighting {
        let what = What::Announcement { address, mac: MacAddress([2; 6]) };
        Sighting { time: at(ms), router, front: 0, what }
    }

    fn vip(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    #[test]
    fn a_silent_master_and_its_successor() {
        let sightings = [
            advert(0, 0, 200),
            advert(100, 0, 200),
            advert(425, 1, 190),
            announcement(426, 1, vip(1)),
            announcement(430, 1, vip(2)),
            announcement(431, 1, vip(1)),
            advert(525, 1, 190),
        ];
        let measures = measure(&sightings, &ProbeRun::default(), at(150), INTERVAL, &[vip(1), vip(2)]);
        assert_eq!(measures.elections, [Election { router: 1, time: at(425) }]);
        assert_eq!(measures.last_advertisement, Some(at(100)));
        assert_eq!(measures.takeover, Some(Duration::from_millis(325)));
        assert_eq!(measures.first_announcement, Some(Duration::from_millis(326)));
        assert_eq!(measures.last_announcement, Some(Duration::from_millis(330)));
        assert_eq!(measures.dual_master, Duration::ZERO);
    }

    #[test]
    fn an_address_never_announced_leaves_no_last_announcement() {
        let sightings = [advert(0, 0, 200), advert(325, 1, 190), announcement(326, 1, vip(1))];
        let measures = measure(&sightings, &ProbeRun::default(), at(1), INTERVAL, &[vip(1), vip(2)]);
        assert_eq!(measures.first_announcement, Some(Duration::from_millis(326)));
        assert_eq!(measures.last_announcement, None);
    }

    #[test]
    fn priority_zero_ends_a_reign_and_is_a_last_advertisement() {
        let sightings = [advert(0, 0, 200), advert(50, 0, 0), advert(75, 1, 190), advert(175, 1, 190)];
        let measures = measure(&sightings, &ProbeRun::default(), at(40), INTERVAL, &[]);
        assert_eq!(measures.takeover, Some(Duration::from_millis(25)));
        assert_eq!(measures.dual_master, Duration::ZERO);
        assert_eq!(measures.elections.len(), 1);
    }

    #[test]
    fn two_masters_at_once_are_timed() {
        let sightings = [
            advert(0, 0, 200),
            advert(90, 1, 190),
            advert(100, 0, 200),
            advert(190, 1, 190),
            advert(200, 0, 200),
            advert(290, 1, 190),
        ];
        let measures = measure(&sightings, &ProbeRun::default(), at(50), INTERVAL, &[]);
        assert_eq!(measures.dual_master, Duration::from_millis(110));
    }

    #[test]
    fn a_master_that_comes_back_is_elected_again() {
        let sightings = [advert(0, 0, 200), advert(325, 1, 190), advert(425, 1, 190), advert(500, 0, 200)];
        let measures = measure(&sightings, &ProbeRun::default(), at(10), INTERVAL, &[]);
        let who: Vec<usize> = measures.elections.iter().map(|election| election.router).collect();
        assert_eq!(who, [1, 0]);
    }
}
