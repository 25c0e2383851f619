//! LAN segments and the ports on them: delay, jitter, loss, duplication, reordering, damage, one-way cuts,
//! partitions, pulled cables. No frame is kept here: [`Network::carry`] says when it arrives where.

use core::fmt;
use std::collections::BTreeSet;

use crate::prng::Prng;
use crate::time::{Duration, Instant, micros};

/// A place where a machine or a host is attached to a segment.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PortId(pub u32);

/// A broadcast domain.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SegmentId(pub u32);

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lan{}", self.0)
    }
}

/// A share of cases, without floats.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ratio {
    /// This many …
    pub numerator: u32,
    /// … of so many.
    pub denominator: u32,
}

impl Ratio {
    /// In no case.
    pub const NEVER: Self = Self { numerator: 0, denominator: 1 };
    /// In every case.
    pub const ALWAYS: Self = Self { numerator: 1, denominator: 1 };

    /// `percent` of a hundred.
    pub const fn percent(percent: u32) -> Self {
        Self { numerator: percent, denominator: 100 }
    }

    /// Whether it ever happens.
    pub const fn is_never(self) -> bool {
        self.numerator == 0
    }

    fn draw(self, prng: &mut Prng) -> bool {
        // No draw for what never happens, so that switching one condition on leaves the others' draws alone.
        !self.is_never() && prng.chance(self.numerator.into(), self.denominator.into())
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.numerator, self.denominator)
    }
}

/// How a segment treats frames, each receiver on its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Conditions {
    /// Shortest way from port to port.
    pub delay: Duration,
    /// Up to this much more; frames between two ports keep their order.
    pub jitter: Duration,
    /// Frames that do not arrive.
    pub loss: Ratio,
    /// Frames that arrive twice.
    pub duplication: Ratio,
    /// Frames held back by up to [`Conditions::reordering_delay`], so that later ones overtake them.
    pub reordering: Ratio,
    /// Longest time a reordered frame is held back.
    pub reordering_delay: Duration,
    /// Frames that arrive with a bit inverted.
    pub damage: Ratio,
}

impl Conditions {
    /// A healthy switch: 50 to 200 µs, nothing lost.
    pub const HEALTHY: Self = Self {
        delay: Duration::from_micros(50),
        jitter: Duration::from_micros(150),
        loss: Ratio::NEVER,
        duplication: Ratio::NEVER,
        reordering: Ratio::NEVER,
        reordering_delay: Duration::ZERO,
        damage: Ratio::NEVER,
    };

    /// Whether every frame arrives intact.
    pub const fn lossless(&self) -> bool {
        self.loss.is_never() && self.damage.is_never()
    }

    /// Longest way from port to port.
    pub fn longest(&self) -> Duration {
        self.delay + self.jitter + self.reordering_delay
    }
}

impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "delay {} to {} µs", micros(self.delay), micros(self.delay + self.jitter))?;
        for (name, ratio) in [
            ("loss", self.loss),
            ("duplication", self.duplication),
            ("reordering", self.reordering),
            ("damage", self.damage),
        ] {
            if !ratio.is_never() {
                write!(f, ", {name} {ratio}")?;
            }
        }
        Ok(())
    }
}

/// One arrival of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Arrival {
    /// When.
    pub at: Instant,
    /// Where.
    pub port: PortId,
    /// A draw for the bit to invert, if the frame is damaged.
    pub damage: Option<u64>,
}

#[derive(Clone, Debug)]
struct Port {
    segment: SegmentId,
    up: bool,
    island: u32,
}

/// All segments and ports.
#[derive(Clone, Debug)]
pub struct Network {
    segments: Vec<Conditions>,
    ports: Vec<Port>,
    cuts: BTreeSet<(PortId, PortId)>,
    /// By sender, then by receiver; shorter where nothing has arrived yet.
    last_arrival: Vec<Vec<Instant>>,
    prng: Prng,
}

impl Network {
    /// Nothing yet.
    pub const fn new(prng: Prng) -> Self {
        Self {
            segments: Vec::new(),
            ports: Vec::new(),
            cuts: BTreeSet::new(),
            last_arrival: Vec::new(),
            prng,
        }
    }

    /// A further healthy segment.
    pub fn add_segment(&mut self) -> SegmentId {
        self.segments.push(Conditions::HEALTHY);
        SegmentId(self.segments.len() as u32 - 1)
    }

    /// A further port, up, on `segment`.
    pub fn add_port(&mut self, segment: SegmentId) -> PortId {
        self.ports.push(Port { segment, up: true, island: 0 });
        PortId(self.ports.len() as u32 - 1)
    }

    /// Replaces the conditions of a segment.
    pub fn set_conditions(&mut self, segment: SegmentId, conditions: Conditions) {
        self.segments[segment.0 as usize] = conditions;
    }

    /// A port that is down neither sends nor receives.
    pub fn set_up(&mut self, port: PortId, up: bool) {
        self.ports[port.0 as usize].up = up;
    }

    /// Frames `from` → `to` are lost; the other way stays open.
    pub fn cut(&mut self, from: PortId, to: PortId) {
        self.cuts.insert((from, to));
    }

    /// Ports of different islands of a segment do not reach each other. All start on island 0.
    pub fn set_island(&mut self, port: PortId, island: u32) {
        self.ports[port.0 as usize].island = island;
    }

    /// Ends cuts and partitions and makes every segment healthy; ports stay up or down.
    pub fn heal(&mut self) {
        self.cuts.clear();
        self.ports.iter_mut().for_each(|port| port.island = 0);
        self.segments.iter_mut().for_each(|conditions| *conditions = Conditions::HEALTHY);
    }

    /// Conditions of a segment.
    pub fn conditions(&self, segment: SegmentId) -> &Conditions {
        &self.segments[segment.0 as usize]
    }

    /// The segment that a port is on.
    pub fn segment(&self, port: PortId) -> SegmentId {
        self.ports[port.0 as usize].segment
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> u32 {
        self.segments.len() as u32
    }

    /// Whether a frame has any way from one port to another, loss apart.
    pub fn reaches(&self, from: PortId, to: PortId) -> bool {
        let (a, b) = (&self.ports[from.0 as usize], &self.ports[to.0 as usize]);
        from != to
            && a.segment == b.segment
            && a.up
            && b.up
            && a.island == b.island
            && !self.cuts.contains(&(from, to))
    }

    /// When a frame sent now arrives at which ports; `only` for a frame to one port instead of all.
    pub fn carry(&mut self, now: Instant, from: PortId, only: Option<PortId>, arrivals: &mut Vec<Arrival>) {
        let conditions = *self.conditions(self.segment(from));
        for index in 0..self.ports.len() as u32 {
            let to = PortId(index);
            if only.is_some_and(|only| only != to) || !self.reaches(from, to) {
                continue;
            }
            if conditions.loss.draw(&mut self.prng) {
                continue;
            }
            let copies = if conditions.duplication.draw(&mut self.prng) { 2 } else { 1 };
            for _ in 0..copies {
                let at = self.arrival_time(now, from, to, &conditions);
                let damage = conditions.damage.draw(&mut self.prng).then(|| self.prng.next_u64());
                arrivals.push(Arrival { at, port: to, damage });
            }
        }
    }

    fn arrival_time(&mut self, now: Instant, from: PortId, to: PortId, conditions: &Conditions) -> Instant {
        let jitter = Duration::from_micros(self.prng.below(micros(conditions.jitter) + 1));
        let at = now + conditions.delay + jitter;
        if conditions.reordering.draw(&mut self.prng) {
            return at + Duration::from_micros(self.prng.below(micros(conditions.reordering_delay) + 1));
        }
        let [from, to] = [from, to].map(|port| port.0 as usize);
        let last = entry(entry(&mut self.last_arrival, from), to);
        *last = at.max(*last);
        *last
    }
}

fn entry<T: Clone + Default>(list: &mut Vec<T>, at: usize) -> &mut T {
    if list.len() <= at {
        list.resize(at + 1, T::default());
    }
    &mut list[at]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lan(ports: u32) -> (Network, Vec<PortId>) {
        let mut network = Network::new(Prng::new(1));
        let segment = network.add_segment();
        let ports = (0..ports).map(|_| network.add_port(segment)).collect();
        (network, ports)
    }

    fn arrivals(network: &mut Network, now: u64, from: PortId) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        network.carry(Instant::from_micros(now), from, None, &mut arrivals);
        arrivals
    }

    #[test]
    fn a_frame_reaches_all_others_within_the_delay() {
        let (mut network, ports) = lan(3);
        let got = arrivals(&mut network, 1_000, ports[0]);
        assert_eq!(got.iter().map(|a| a.port).collect::<Vec<_>>(), &ports[1..]);
        for arrival in got {
            assert!((1_050..=1_200).contains(&arrival.at.as_micros()));
            assert_eq!(arrival.damage, None);
        }
    }

    #[test]
    fn cuts_are_one_way_and_islands_are_not() {
        let (mut network, ports) = lan(3);
        network.cut(ports[0], ports[1]);
        assert!(!network.reaches(ports[0], ports[1]));
        assert!(network.reaches(ports[1], ports[0]));
        network.set_island(ports[2], 1);
        assert!(!network.reaches(ports[2], ports[0]) && !network.reaches(ports[0], ports[2]));
        assert_eq!(arrivals(&mut network, 0, ports[0]), []);
        network.heal();
        assert_eq!(arrivals(&mut network, 0, ports[0]).len(), 2);
    }

    #[test]
    fn a_port_that_is_down_is_silent_and_deaf() {
        let (mut network, ports) = lan(2);
        network.set_up(ports[1], false);
        assert_eq!(arrivals(&mut network, 0, ports[0]), []);
        assert_eq!(arrivals(&mut network, 0, ports[1]), []);
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let (mut network, ports) = lan(2);
        let mut conditions = Conditions { jitter: Duration::from_millis(10), ..Conditions::HEALTHY };
        network.set_conditions(SegmentId(0), conditions);
        let times = |network: &mut Network| -> Vec<Instant> {
            (0..200).map(|i| arrivals(network, i * 10, ports[0])[0].at).collect()
        };
        assert!(times(&mut network).is_sorted());
        conditions.reordering = Ratio::percent(20);
        conditions.reordering_delay = Duration::from_millis(50);
        network.set_conditions(SegmentId(0), conditions);
        assert!(!times(&mut network).is_sorted());
    }

    #[test]
    fn ratios_hold_roughly() {
        let (mut network, ports) = lan(2);
        let conditions = Conditions {
            loss: Ratio::percent(30),
            duplication: Ratio::percent(10),
            damage: Ratio::percent(5),
            ..Conditions::HEALTHY
        };
        network.set_conditions(SegmentId(0), conditions);
        let all: Vec<Arrival> = (0..10_000).flat_map(|i| arrivals(&mut network, i, ports[0])).collect();
        assert!((7_400..8_000).contains(&all.len()), "{}", all.len());
        assert!((300..500).contains(&all.iter().filter(|a| a.damage.is_some()).count()));
    }

    #[test]
    fn segments_are_separate() {
        let (mut network, ports) = lan(1);
        let other = network.add_segment();
        network.add_port(other);
        assert_eq!(arrivals(&mut network, 0, ports[0]), []);
    }
}
