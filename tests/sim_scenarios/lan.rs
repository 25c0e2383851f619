//! A LAN for a test: routers of one virtual router, a host that corrects its cache and one that does not.

use core::net::IpAddr;

use alived::kernel::AddressSpec;
use alived::net::{Family, Prefix};
use alived::node::{NodeConfig, StaticAddress};
use alived::sim::host::HostId;
use alived::sim::invariants::Pace;
use alived::sim::machine::interface_name;
use alived::sim::network::SegmentId;
use alived::sim::timeline::{Entry, EntryKind};
use alived::sim::{Cluster, ClusterSpec, Fault, MachineId, MachineSpec};
use alived::time::{Duration, Instant};
use alived::vrrp::{AntiReplay, RouterConfig, State, VirtualAddress};
use alived::wire::vrrp::{AdvertisementInterval, Priority, Version, Vrid};

pub(crate) const R1: MachineId = MachineId(0);
pub(crate) const R2: MachineId = MachineId(1);
pub(crate) const R3: MachineId = MachineId(2);
/// Corrects its cache by itself.
pub(crate) const PATIENT: HostId = HostId(0);
/// Believes announcements only.
pub(crate) const IMPATIENT: HostId = HostId(1);
pub(crate) const LAN: SegmentId = SegmentId(0);
pub(crate) const NAME: &str = "VI_1";

pub(crate) fn address(number: u8) -> IpAddr {
    [10, 0, 0, 100 + number].into()
}

pub(crate) fn prefix(number: u8, length: u8) -> Prefix {
    Prefix::new(address(number), length).unwrap()
}

pub(crate) fn virtual_address(prefix: Prefix) -> VirtualAddress {
    VirtualAddress { spec: AddressSpec::new(prefix), interface: None, track: true }
}

pub(crate) fn centiseconds(number: u16) -> AdvertisementInterval {
    AdvertisementInterval::from_centiseconds(number).unwrap()
}

/// Version 3, IPv4, 0.1 s, one address.
pub(crate) fn router(priority: u8) -> RouterConfig {
    RouterConfig {
        version: Version::V3,
        priority: Priority(priority),
        interval: centiseconds(10),
        addresses: vec![virtual_address(prefix(0, 24))],
        ..RouterConfig::new(NAME, Vrid::new(51).unwrap(), Family::Ipv4, interface_name(LAN))
    }
}

pub(crate) fn node(router: RouterConfig) -> NodeConfig {
    NodeConfig { routers: vec![router], ..NodeConfig::default() }
}

/// The same with static addresses.
pub(crate) fn with_statics(router: RouterConfig, statics: &[Prefix]) -> NodeConfig {
    let mut config = node(router);
    let interface = interface_name(LAN);
    let entry = |prefix: &Prefix| StaticAddress {
        spec: AddressSpec::new(*prefix),
        interface: interface.clone(),
        track_group: None,
    };
    config.statics.addresses = statics.iter().map(entry).collect();
    config
}

pub(crate) struct Lan {
    pub(crate) cluster: Cluster,
}

impl Lan {
    /// One machine for each configuration, none started.
    pub(crate) fn of(machines: Vec<MachineSpec>) -> Self {
        Self::at_pace(Pace::PROMPT, machines)
    }

    /// The same of quicker or slower machines.
    pub(crate) fn at_pace(pace: Pace, machines: Vec<MachineSpec>) -> Self {
        let by_clock = |router: &RouterConfig| {
            router.hmac.as_ref().is_some_and(|hmac| hmac.anti_replay == AntiReplay::Time)
        };
        let clocks_agree = machines.iter().flat_map(|machine| &machine.config.routers).any(by_clock);
        let cluster = Cluster::new(ClusterSpec {
            seed: 1,
            segments: 2,
            machines,
            hosts: vec![(LAN, true), (LAN, false)],
            pace,
            clocks_agree,
        });
        Self { cluster }
    }

    /// One machine for each router, all started and settled.
    pub(crate) fn started(routers: impl IntoIterator<Item = RouterConfig>) -> Self {
        let machine = |router| MachineSpec { config: node(router), ..MachineSpec::default() };
        let mut lan = Self::of(routers.into_iter().map(machine).collect());
        lan.start_all();
        lan
    }

    pub(crate) fn start_all(&mut self) {
        for machine in self.cluster.machine_ids() {
            self.apply(Fault::Started(machine));
        }
        self.settle();
    }

    pub(crate) fn apply(&mut self, fault: Fault) {
        self.cluster.apply(&fault);
    }

    pub(crate) fn run(&mut self, milliseconds: u64) {
        self.cluster.run_for(Duration::from_millis(milliseconds));
        self.check();
    }

    /// Quiet until everything must have come to rest; all rules are checked.
    pub(crate) fn settle(&mut self) {
        self.cluster.settle();
        self.check();
    }

    fn check(&self) {
        let broken = self.cluster.violations();
        assert!(broken.is_empty(), "{}\n{}", self.cluster.timeline(), broken[0]);
    }

    /// The one master, which alone has the address and both hosts' caches.
    #[track_caller]
    pub(crate) fn assert_served_by(&self, machine: MachineId) {
        let timeline = self.cluster.timeline();
        assert_eq!(self.cluster.masters(NAME), [machine].into(), "{timeline}");
        for other in self.cluster.machine_ids() {
            assert_eq!(self.cluster.holds(other, &address(0)), other == machine, "{other}\n{timeline}");
        }
        for host in [PATIENT, IMPATIENT] {
            assert_eq!(self.cluster.route(host, &address(0)), Some(machine), "{host}\n{timeline}");
        }
    }

    /// R1 is master, R2 while it is without power, and R1 again on its return.
    #[track_caller]
    pub(crate) fn assert_fails_over_and_back(&mut self) {
        self.assert_served_by(R1);
        self.apply(Fault::PowerLost(R1));
        self.settle();
        self.assert_served_by(R2);
        self.apply(Fault::Booted(R1));
        self.apply(Fault::Started(R1));
        self.settle();
        self.assert_served_by(R1);
    }

    #[track_caller]
    pub(crate) fn assert_state(&self, machine: MachineId, state: State) {
        assert_eq!(self.cluster.state(machine, NAME), Some(state), "{}", self.cluster.timeline());
    }

    pub(crate) fn now(&self) -> Instant {
        self.cluster.now()
    }

    /// Entries since a moment whose text contains `text`.
    pub(crate) fn since(&self, at: Instant, text: &str) -> Vec<&Entry> {
        let entries = self.cluster.timeline().entries().iter();
        entries.filter(|entry| entry.at >= at && entry.text.contains(text)).collect()
    }

    /// Milliseconds from a moment to the first entry whose text contains `text`.
    #[track_caller]
    pub(crate) fn delay(&self, from: Instant, text: &str) -> u64 {
        let found = self.since(from, text);
        let first = found.first().unwrap_or_else(|| panic!("no `{text}` in\n{}", self.cluster.timeline()));
        first.at.saturating_since(from).as_millis() as u64
    }

    /// How often any router changed its state since a moment.
    pub(crate) fn transitions(&self, since: Instant) -> usize {
        let entries = self.cluster.timeline().entries().iter();
        entries.filter(|entry| entry.at >= since && entry.kind == EntryKind::Transition).count()
    }
}
