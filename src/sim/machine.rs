//! A machine: its kernel, its clocks, its interfaces, and the daemon that runs on it or does not.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::freshness::Mark;
use super::kernel::Kernel;
use super::network::{PortId, SegmentId};
use super::process::{Process, Sabotage};
use crate::net::{InterfaceIndex, InterfaceName, MacAddress, Prefix};
use crate::node::{Legacy, NodeConfig};
use crate::time::{Duration, Instant, Now, WallTime, micros};
use crate::vrrp::RouterConfig;
use crate::wire::vrrp::{Stamp, Vrid};

/// A machine's number.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MachineId(pub usize);

impl fmt::Display for MachineId {
    /// As in timelines: `r1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0 + 1)
    }
}

/// How a machine is made.
#[derive(Clone, Debug, Default)]
pub struct MachineSpec {
    /// What its daemon is configured to do.
    pub config: NodeConfig,
    /// `net.ipv4.conf.*.promote_secondaries`.
    pub promote_secondaries: bool,
    /// Addresses without our mark that are there from the boot on, such as an owner's.
    pub foreign: Vec<(SegmentId, Prefix)>,
}

/// How many packets have left a machine.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sent {
    /// Advertisements.
    pub advertisements: u64,
    /// Gratuitous ARPs and unsolicited neighbour advertisements.
    pub announcements: u64,
}

/// A machine.
#[derive(Debug)]
pub struct Machine {
    /// Its number.
    pub id: MachineId,
    /// How it is made; the configuration is that of the next start.
    pub spec: MachineSpec,
    /// Its kernel.
    pub kernel: Kernel,
    /// Its port on each segment.
    pub ports: Vec<PortId>,
    /// Its daemon.
    pub process: Option<Process>,
    /// When a daemon that served was killed, on the machine's clock.
    pub silent_since: Option<Instant>,
    /// What a process that left in order has said.
    pub legacy: Option<Legacy>,
    /// What daemons ran with since the last one that stopped in order.
    pub left: Vec<NodeConfig>,
    /// Whether it has power.
    pub powered: bool,
    /// Since when it stands still as a whole, if it does.
    pub paused: Option<Instant>,
    /// Until when other programs take the processor away from its daemon.
    pub starved_until: Instant,
    /// Whether a packet filter drops its advertisements.
    pub sending_forbidden: bool,
    /// Tracked scripts that fail when they are run.
    pub failing_scripts: BTreeSet<Arc<str>>,
    /// What tracked files hold; 0 if nothing was written.
    pub files: BTreeMap<Arc<str>, i32>,
    /// How many processes run that a tracker counts; none unless set.
    pub processes: BTreeMap<Arc<str>, u32>,
    /// Last change of it by a fault.
    pub touched: Instant,
    /// What breaks its daemon on purpose.
    pub sabotage: Option<Box<dyn Sabotage>>,
    /// How many daemons it has had.
    pub generation: u64,
    /// What has left it.
    pub sent: Sent,
    /// What the daemon has written down of stamps that are set aside, in the run directory.
    pub kept_stamp: Option<Stamp>,
    /// The last mark of each router, destination and daemon (0 where it goes on over restarts).
    pub marks: BTreeMap<(Arc<str>, IpAddr, u64), Mark>,
    clock_offset: Duration,
    wall_us: u64,
    /// When the wall clock was last set.
    pub clock_set: Option<Instant>,
    /// By how much the wall clock was set wrong.
    wall_error_us: i64,
    made: u8,
}

/// Name of the interface on a segment, equal on all machines: `eth0`.
pub fn interface_name(segment: SegmentId) -> InterfaceName {
    name(&format!("{PHYSICAL}{}", segment.0))
}

/// Name of the interface with the virtual MAC of a router on a segment: `vmac0.51`.
pub fn virtual_name(segment: SegmentId, vrid: Vrid) -> InterfaceName {
    name(&format!("{VIRTUAL}{}.{vrid}", segment.0))
}

/// How the names of interfaces begin; the number of the segment follows.
const PHYSICAL: &str = "eth";
const VIRTUAL: &str = "vmac";

fn name(text: &str) -> InterfaceName {
    // Up to 15 letters and digits by construction.
    text.parse().unwrap_or_else(|_| unreachable!("{text} is an interface name"))
}

impl Machine {
    /// A machine that is switched off.
    pub fn new(
        id: MachineId,
        spec: MachineSpec,
        ports: Vec<PortId>,
        clock_offset: Duration,
        wall_us: u64,
    ) -> Self {
        Self {
            id,
            kernel: Kernel::new(spec.promote_secondaries),
            spec,
            ports,
            process: None,
            silent_since: None,
            legacy: None,
            left: Vec::new(),
            powered: false,
            paused: None,
            starved_until: Instant::ZERO,
            sending_forbidden: false,
            failing_scripts: BTreeSet::new(),
            files: BTreeMap::new(),
            processes: BTreeMap::new(),
            touched: Instant::ZERO,
            sabotage: None,
            generation: 0,
            sent: Sent::default(),
            kept_stamp: None,
            marks: BTreeMap::new(),
            clock_offset,
            wall_us,
            clock_set: None,
            wall_error_us: 0,
            made: 0,
        }
    }

    /// A fresh kernel with all interfaces and addresses.
    pub fn boot(&mut self) {
        self.kernel = Kernel::new(self.spec.promote_secondaries);
        self.powered = true;
        for segment in 0..self.ports.len() as u32 {
            self.create_interface(SegmentId(segment));
        }
        // Whoever starts now reads the state and is not told how it came about.
        self.kernel.take_notifications();
        let tentative: Vec<(InterfaceIndex, Prefix)> =
            self.kernel.addresses().iter().filter(|a| a.is_tentative()).map(|a| (a.link, a.prefix)).collect();
        tentative.into_iter().for_each(|(link, prefix)| self.kernel.conclude(link, prefix, false));
        self.kernel.take_notifications();
    }

    /// Power off: nothing is left.
    pub fn lose_power(&mut self) {
        self.kernel = Kernel::new(self.spec.promote_secondaries);
        self.powered = false;
        self.paused = None;
        self.sending_forbidden = false;
        self.process = None;
        self.silent_since = None;
        self.legacy = None;
        self.left.clear();
        self.kept_stamp = None;
        self.marks.clear();
    }

    /// Whether nothing of its daemon runs.
    pub fn stands_still(&self) -> bool {
        self.paused.is_some() || self.process.as_ref().is_some_and(|process| process.frozen.is_some())
    }

    /// The daemon is killed. One that did not serve yet has sent nothing.
    pub fn kill(&mut self, at: Instant) {
        if self.process.take().is_some_and(|process| process.serves()) {
            self.silent_since = Some(self.now(at).instant);
        }
    }

    /// Creates the interface of a segment, with its own addresses.
    pub fn create_interface(&mut self, segment: SegmentId) {
        let Some(&port) = self.ports.get(segment.0 as usize) else { return };
        if self.kernel.by_port(port).is_some() {
            return;
        }
        self.made = self.made.wrapping_add(1);
        let mac = MacAddress([2, 0, segment.0 as u8, self.id.0 as u8, 0, self.made]);
        if self.kernel.create(interface_name(segment), mac, port).is_some() {
            self.add_own_addresses(segment);
        }
    }

    /// Adds the own addresses of the interface of a segment; IPv6 ones are tentative at first.
    pub fn add_own_addresses(&mut self, segment: SegmentId) {
        let Some(key) = self.link(segment) else { return };
        let own = own_addresses(self.id, segment).into_iter();
        let foreign = self.spec.foreign.iter().filter(|(on, _)| *on == segment).map(|(_, prefix)| *prefix);
        for prefix in own.chain(foreign) {
            let tentative = prefix.address().is_ipv6();
            // The interface exists, so that the kernel cannot refuse.
            let _ = self.kernel.add(key, prefix, false, tentative);
        }
    }

    /// The interface of a segment, whatever its name.
    pub fn link(&self, segment: SegmentId) -> Option<InterfaceIndex> {
        let port = self.ports.get(segment.0 as usize)?;
        self.kernel.by_port(*port).map(|link| link.key)
    }

    /// The segment whose interface normally has this name, or is below a virtual MAC of this name.
    pub fn segment_of(&self, name: &InterfaceName) -> Option<SegmentId> {
        let name = name.as_str();
        let number = match name.strip_prefix(PHYSICAL) {
            Some(number) => number,
            None => name.strip_prefix(VIRTUAL)?.split_once('.')?.0,
        };
        // Nothing but what the number would be written as.
        let plain = number == "0" || (!number.starts_with('0') && number.bytes().all(|b| b.is_ascii_digit()));
        let number = number.parse().ok().filter(|_| plain);
        number.filter(|number| (*number as usize) < self.ports.len()).map(SegmentId)
    }

    /// The segment of a router's group: that of its interface, or of the place where it meets its peers.
    pub fn segment_for(&self, interface: Option<&InterfaceName>, place: Option<IpAddr>) -> Option<SegmentId> {
        match place {
            Some(place) => segment_of_own(&place),
            None => self.segment_of(interface?),
        }
    }

    /// The name that a renamed interface has.
    pub fn other_name(&self, segment: SegmentId) -> InterfaceName {
        name(&format!("lan{}old", segment.0))
    }

    /// The machine's clocks at a moment of the simulator.
    pub fn now(&self, at: Instant) -> Now {
        let wall_us = self.wall_us.saturating_add(at.as_micros());
        Now { instant: at + self.clock_offset, wall: WallTime::from_unix_micros(wall_us) }
    }

    /// The simulator's time at a moment of the machine's clock.
    pub fn global(&self, local: Instant) -> Instant {
        local - self.clock_offset
    }

    /// The wall clock jumps.
    pub const fn jump_wall_clock(&mut self, at: Instant, us: i64) {
        self.clock_set = Some(at);
        self.wall_us = self.wall_us.saturating_add_signed(us);
        self.wall_error_us = self.wall_error_us.saturating_add(us);
    }

    /// By how much the wall clock was set wrong, in microseconds.
    pub const fn wall_error_us(&self) -> i64 {
        self.wall_error_us
    }

    /// The wall clock less the simulator's, for the timeline.
    pub fn uptime_at_start(&self) -> u64 {
        micros(self.clock_offset)
    }
}

/// Where routers that speak to each other's addresses meet: the lowest of these, which is one thing for all of them.
pub fn meeting_place(config: &RouterConfig) -> Option<IpAddr> {
    let all = config.destinations.addresses().chain(config.source);
    all.filter(|_| config.destinations.is_unicast()).min()
}

/// The segment of a machine's own address, which tells it.
pub const fn segment_of_own(address: &IpAddr) -> Option<SegmentId> {
    match address {
        IpAddr::V4(address) => match address.octets() {
            [10, 0, lan, _] => Some(SegmentId(lan as u32)),
            _ => None,
        },
        IpAddr::V6(address) => match address.segments() {
            [0xfe80, .., lan, _] | [0x2001, 0xdb8, lan, ..] => Some(SegmentId(lan as u32)),
            _ => None,
        },
    }
}

/// A machine's own addresses on a segment: IPv4, IPv6 link-local, IPv6 global.
pub fn own_addresses(machine: MachineId, segment: SegmentId) -> [Prefix; 3] {
    let (host, lan) = (machine.0 as u16 + 1, segment.0 as u16);
    let v4 = IpAddr::V4(Ipv4Addr::new(10, 0, lan as u8, host as u8));
    let local = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, lan, host));
    let global = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, lan, 0, 0, 0, 0, host));
    // The lengths fit their families.
    [(v4, 24), (local, 64), (global, 64)]
        .map(|(address, length)| Prefix::new(address, length).unwrap_or_else(|| Prefix::host(address)))
}
