//! How long things may take at most: the limits of all rules that speak of time.
//!
//! "There is a master in time" needs a time. It follows from two things: how slow the machines of a run may be
//! ([`Pace`]), and what the members of a group were ever configured with ([`Bounds`]). The limits build on each
//! other: an *election* is a master-down time and the waits before it; a *settlement* is an election and a preemption
//! after it; *addresses* are a settlement and the kernel's work; *caches* are addresses and their announcements. Each
//! is the sum of the worst that may happen one after the other: who keeps it may still be slow, who exceeds it is
//! broken.

use super::Contest;
use crate::sim::host;
use crate::time::{Duration, micros};
use crate::vrrp::RouterConfig;
use crate::wire::vrrp::Version;

/// How quick a machine is: the longest that each thing may take there. Equal for all machines of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pace {
    /// From an arrival or a due timer to the daemon's wake-up.
    pub wake: Duration,
    /// From a change in the kernel to the daemon's inbox.
    pub notification: Duration,
    /// From the start of a daemon to its view of the kernel.
    pub start: Duration,
    /// From the wish to the open receive socket.
    pub socket: Duration,
    /// For a chunk of address changes.
    pub chunk: Duration,
    /// Address changes in a chunk, at least 1.
    pub chunk_size: usize,
    /// Messages that a receive socket holds while nobody reads.
    pub receive_queue: usize,
    /// Notifications that wait while nobody reads; more are lost.
    pub notification_queue: usize,
}

impl Pace {
    /// A machine with little to do.
    pub const PROMPT: Self = Self {
        wake: Duration::from_micros(200),
        notification: Duration::from_millis(1),
        start: Duration::from_millis(20),
        socket: Duration::from_millis(2),
        chunk: Duration::from_millis(1),
        chunk_size: 32,
        receive_queue: 200,
        notification_queue: 200,
    };

    /// A loaded machine: everything takes up to some ten milliseconds, chunks are small.
    pub const SLUGGISH: Self = Self {
        wake: Duration::from_millis(3),
        notification: Duration::from_millis(40),
        start: Duration::from_millis(300),
        socket: Duration::from_millis(60),
        chunk: Duration::from_millis(30),
        chunk_size: 2,
        receive_queue: 20,
        notification_queue: 12,
    };
}

/// Skew time of a router at an interval (RFC 9568 §6.1; RFC 3768 §6.1 counts in seconds).
pub fn skew_time(config: &RouterConfig, interval: Duration) -> Duration {
    let unit = match config.version {
        Version::V2 => 1_000_000,
        Version::V3 => micros(interval),
    };
    Duration::from_micros(unit.saturating_mul(256 - u64::from(config.priority.0)) / 256)
}

/// Master-down time of a router at an interval.
pub fn master_down_time(config: &RouterConfig, interval: Duration) -> Duration {
    let interval = match config.version {
        Version::V2 => config.interval.duration(),
        Version::V3 => interval,
    };
    interval * u32::from(config.down_timer_adverts) + skew_time(config, interval)
}

/// The master-down time less what rounding may take from it.
pub fn at_least(config: &RouterConfig, interval: Duration) -> Duration {
    master_down_time(config, interval).saturating_sub(Duration::from_micros(2))
}

/// The longest that a group may take, from all configurations it ever had.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Bounds {
    interval: Duration,
    down_timer_adverts: u8,
    master_down: Duration,
    preempt_delay: Duration,
    startup_delay: Duration,
    announce_delay: Duration,
    addresses: usize,
}

impl Bounds {
    /// Takes a further configuration of a member into account.
    pub fn include(&mut self, config: &RouterConfig, startup_delay: Duration) {
        self.interval = self.interval.max(config.interval.duration());
        self.preempt_delay = self.preempt_delay.max(config.preempt_delay);
        self.startup_delay = self.startup_delay.max(startup_delay);
        let announce = &config.announce;
        let count = (config.addresses.len() + config.excluded.len()) as u32;
        let rounds = announce.repeat.max(announce.lower_prio_repeat).saturating_add(1);
        let paced = announce.arp_interval.max(announce.ndisc_interval) * count.saturating_mul(rounds);
        self.announce_delay = self.announce_delay.max(announce.delay.max(announce.lower_prio_delay) + paced);
        self.addresses = self.addresses.max(count as usize);
        // The lowest priority has the longest skew; a version 3 backup may count with anybody's interval, also who
        // waits for more advertisements than the one whose interval that is.
        self.down_timer_adverts = self.down_timer_adverts.max(config.down_timer_adverts);
        let slowest = RouterConfig {
            priority: crate::wire::vrrp::Priority(1),
            down_timer_adverts: self.down_timer_adverts,
            ..config.clone()
        };
        self.master_down = self.master_down.max(master_down_time(&slowest, self.interval));
    }

    /// How long two masters may be at once, one of which stood still while the other was elected. `delay` is the
    /// longest way from port to port.
    ///
    /// What stood still for an interval has an advertisement overdue, and sends it at once. Who loses by it, or does not
    /// preempt, hears the next one of the other.
    pub fn contest(&self, pace: &Pace, delay: Duration) -> Contest {
        let packet = pace.wake * 2 + delay;
        Contest {
            longest_interval: self.interval,
            by_one_packet: packet,
            by_the_next: self.interval + packet,
        }
    }

    /// Longest time without a master in a group whose members hear each other and are able. `delay` is the
    /// longest way from port to port.
    ///
    /// The last advertisement heard starts a master-down time; a member that just became able first opens
    /// its socket and may hold back after its start; one that stood still listens for a master-down time
    /// again; a switch-over without a successor ends within it.
    pub fn election(&self, pace: &Pace, delay: Duration) -> Duration {
        self.startup_delay
            + pace.start
            + pace.notification
            + pace.socket
            + self.master_down
            + self.interval * 2
            + (pace.wake + delay) * 4
            + SLACK
    }

    /// Longest time until the permitted master alone is master: an election, then a preemption after its
    /// delay, whose advertisement then reaches the old master; each beaten rival needs an interval.
    pub fn settlement(&self, pace: &Pace, delay: Duration) -> Duration {
        self.election(pace, delay)
            + self.preempt_delay
            + self.master_down
            + self.interval * 2
            + (pace.wake + delay) * 4
            + SLACK
    }

    /// Longest time until addresses are where they belong, when `machine_addresses` share a machine's
    /// kernel thread. Each may have to be removed, added and put back once. The pauses before a repair come
    /// on top.
    pub fn addresses(&self, pace: &Pace, delay: Duration, machine_addresses: usize) -> Duration {
        let chunks = machine_addresses.div_ceil(pace.chunk_size.max(1)) + 3;
        self.settlement(pace, delay)
            + pace.chunk * (chunks as u32 * 3)
            + (pace.notification + pace.wake) * 4
            + SLACK
    }

    /// Longest time that a master may lack an address which the removal of another one took along.
    pub fn restoration(pace: &Pace, machine_addresses: usize) -> Duration {
        let chunks = machine_addresses + 3;
        pace.chunk * (chunks as u32 * 3) + (pace.notification + pace.wake) * 4 + SLACK
    }

    /// Longest time until each host's cache is at the master.
    pub fn caches(&self, pace: &Pace, delay: Duration, machine_addresses: usize) -> Duration {
        self.addresses(pace, delay, machine_addresses) + self.announce_delay + host::patience(delay) + SLACK
    }
}

/// For timers served in one wake-up, and rounding.
const SLACK: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Family;
    use crate::wire::vrrp::{AdvertisementInterval, Priority, Vrid};

    fn config(version: Version, priority: u8, centiseconds: u16) -> RouterConfig {
        RouterConfig {
            version,
            priority: Priority(priority),
            interval: AdvertisementInterval::from_centiseconds(centiseconds).unwrap(),
            ..RouterConfig::new("VI_1", Vrid::new(1).unwrap(), Family::Ipv4, "eth0".parse().unwrap())
        }
    }

    #[test]
    fn times_of_the_standards() {
        // Measured with keepalived: priority 100 gives 3.61 s at 1 s and 1.81 s at 50 cs.
        let v2 = config(Version::V2, 100, 100);
        assert_eq!(master_down_time(&v2, Duration::from_secs(1)), Duration::from_micros(3_609_375));
        let v3 = config(Version::V3, 100, 50);
        assert_eq!(master_down_time(&v3, Duration::from_millis(500)), Duration::from_micros(1_804_687));
        assert_eq!(
            skew_time(&config(Version::V2, 254, 300), Duration::from_secs(3)),
            Duration::from_micros(7_812)
        );
    }

    #[test]
    fn the_longest_member_counts() {
        let mut bounds = Bounds::default();
        bounds.include(&config(Version::V3, 200, 10), Duration::ZERO);
        let short = bounds.election(&Pace::PROMPT, Duration::ZERO);
        bounds.include(&config(Version::V3, 200, 100), Duration::ZERO);
        let long = bounds.election(&Pace::PROMPT, Duration::ZERO);
        assert!(long > short && long > Duration::from_millis(3_990), "{long:?}");
        assert!(bounds.settlement(&Pace::PROMPT, Duration::ZERO) > long);
    }

    #[test]
    fn a_member_that_waits_for_more_advertisements_may_count_with_the_longest_interval() {
        let patient = RouterConfig { down_timer_adverts: 5, ..config(Version::V3, 100, 10) };
        let slow = config(Version::V3, 100, 100);
        let bound = |members: [&RouterConfig; 2]| {
            let mut bounds = Bounds::default();
            members.into_iter().for_each(|member| bounds.include(member, Duration::ZERO));
            bounds.election(&Pace::PROMPT, Duration::ZERO)
        };
        assert!(bound([&patient, &slow]) > Duration::from_secs(5));
        assert_eq!(bound([&patient, &slow]), bound([&slow, &patient]));
    }
}
