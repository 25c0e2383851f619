//! A whole run from a seed: phases of random faults, each followed by quiet in which everything must settle.

use core::fmt;
use std::sync::Arc;

use super::cluster::Cluster;
use super::fault::{Fault, Order};
use super::flood::{Flood, Forgery};
use super::host::HostId;
use super::invariants::Violation;
use super::kernel::ETHERNET_MTU;
use super::machine::MachineId;
use super::network::{Conditions, PortId, Ratio, SegmentId};
use super::protection::{is_protected, of_a_stranger};
use super::reel::Reel;
use super::scenario::{Scenario, pick};
use super::timeline::Timeline;
use super::trackers;
use crate::node::NodeConfig;
use crate::prng::Prng;
use crate::time::{Duration, Instant, micros};
use crate::vrrp::{RouterConfig, State, SwitchOver, Whom};

/// What to run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Options {
    /// The seed.
    pub seed: u64,
    /// Number of routers; drawn from the seed if `None`.
    pub routers: Option<usize>,
}

impl fmt::Display for Options {
    /// The command that repeats the run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "alived sim --seed {}", self.seed)?;
        self.routers.map_or(Ok(()), |routers| write!(f, " --routers {routers}"))
    }
}

/// What came of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// What was run.
    pub options: Options,
    /// What happened.
    pub timeline: Timeline,
    /// The rules broken; the run ends soon after the first.
    pub violations: Vec<Violation>,
    /// How many things happened.
    pub steps: u64,
    /// Virtual time passed.
    pub elapsed: Duration,
}

impl Outcome {
    /// The first broken rule with the command that shows it again.
    pub fn failure(&self) -> Option<String> {
        let violation = self.violations.first()?;
        Some(format!("seed {}: {violation}\nrepeat with: {}", self.options.seed, self.options))
    }
}

/// The kinds of faults, of which each seed enables some.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Conditions,
    Cut,
    Partition,
    Heal,
    Cable,
    Admin,
    Mtu,
    Interface,
    Name,
    OwnAddress,
    ByHand,
    Notifications,
    Crash,
    Power,
    Freeze,
    Pause,
    Starve,
    Stop,
    SwitchOver,
    SwitchBack,
    Reload,
    WallClock,
    Script,
    File,
    Processes,
    /// The operator's orders through the control socket.
    Order,
    /// Somebody sends again what was recorded.
    Replay,
    /// Somebody wants to be master and does not know the secret.
    Stranger,
}

const KINDS: [Kind; 25] = [
    Kind::Conditions,
    Kind::Cut,
    Kind::Partition,
    Kind::Heal,
    Kind::Cable,
    Kind::Admin,
    Kind::Mtu,
    Kind::Interface,
    Kind::Name,
    Kind::OwnAddress,
    Kind::ByHand,
    Kind::Notifications,
    Kind::Crash,
    Kind::Power,
    Kind::Freeze,
    Kind::Pause,
    Kind::Starve,
    Kind::Stop,
    Kind::SwitchOver,
    Kind::SwitchBack,
    Kind::Reload,
    Kind::WallClock,
    Kind::Script,
    Kind::File,
    Kind::Processes,
];

/// By how much clocks differ that are near each other: much less than any window.
const CLOCKS_APART_US: i64 = 700_000;

/// Runs a seed to its end, or to the first broken rule.
pub fn run(options: Options) -> Outcome {
    let scenario = Scenario::new(options.seed, options.routers);
    let cluster = Cluster::new(scenario.cluster.clone());
    run_on(options, &scenario, cluster).0
}

/// The same, with a recording of every daemon.
pub fn record(options: Options) -> (Outcome, Vec<Reel>) {
    let scenario = Scenario::new(options.seed, options.routers);
    let mut cluster = Cluster::new(scenario.cluster.clone());
    cluster.reels = Some(Vec::new());
    run_on(options, &scenario, cluster)
}

fn run_on(options: Options, scenario: &Scenario, mut cluster: Cluster) -> (Outcome, Vec<Reel>) {
    let mut prng = Prng::new(options.seed ^ 0xfa_0175);
    let mut kinds: Vec<Kind> = KINDS.into_iter().filter(|_| prng.chance(1, 3)).collect();
    if kinds.is_empty() {
        kinds.push(Kind::Crash);
    }
    let secret = &mut Prng::new(options.seed ^ 0x5ec2_e7f0);
    let routers = || scenario.cluster.machines.iter().flat_map(|machine| &machine.config.routers);
    if routers().any(is_protected) {
        kinds.extend([Kind::Replay, Kind::Stranger].into_iter().filter(|_| secret.chance(2, 3)));
    }
    // What grows with the clock outlives a process, and not the run directory, which is empty after a boot: whose clock
    // was ahead until then is believed again when the others' have caught up.
    if routers().any(RouterConfig::counts_over_restarts) {
        let either = if secret.chance(1, 2) { Kind::Power } else { Kind::WallClock };
        kinds.retain(|kind| *kind != either);
    }
    if Prng::new(options.seed ^ 0x0bde_4ed5).chance(1, 3) {
        kinds.push(Kind::Order);
    }
    for machine in cluster.machine_ids() {
        let at = Instant::from_micros(prng.below(3_000_000));
        cluster.schedule_fault(at, Fault::Started(machine));
    }
    cluster.run_until(Instant::from_micros(3_000_000));
    for _ in 0..prng.between(1, 2) {
        if cluster.settle() > 0 {
            break;
        }
        for _ in 0..prng.between(1, 10) {
            if let Some(fault) =
                pick(&mut prng, &kinds).and_then(|kind| draw(*kind, &mut prng, &cluster, scenario))
            {
                cluster.apply(&fault);
            }
            let pause = gap(&mut prng, &cluster);
            cluster.run_for(pause);
        }
        mend(&mut prng, &mut cluster, scenario, kinds.contains(&Kind::Order));
        unite(&mut prng, &mut cluster, scenario);
    }
    if cluster.violations().is_empty() {
        cluster.settle();
    }
    for machine in &mut cluster.machines {
        if let Some(process) = &mut machine.process {
            process.end_recording();
        }
    }
    let reels = cluster.reels.take().unwrap_or_default();
    let outcome = Outcome {
        options,
        violations: cluster.violations().to_vec(),
        steps: cluster.steps(),
        elapsed: cluster.now().saturating_since(Instant::ZERO),
        timeline: cluster.into_timeline(),
    };
    (outcome, reels)
}

/// Time to the next fault: at once, within an election, or long enough for the bounds to be judged.
fn gap(prng: &mut Prng, cluster: &Cluster) -> Duration {
    let bound = micros(cluster.election_bound());
    let longest = match prng.below(4) {
        0 => 20_000,
        1 | 2 => bound,
        _ => bound * 2,
    };
    Duration::from_micros(prng.below(longest))
}

fn draw(kind: Kind, prng: &mut Prng, cluster: &Cluster, scenario: &Scenario) -> Option<Fault> {
    let id = MachineId(prng.below(cluster.machines.len() as u64) as usize);
    let machine = &cluster.machines[id.0];
    let segment = SegmentId(prng.below(cluster.network.segment_count().into()) as u32);
    let name = super::machine::interface_name(segment);
    let link = machine.link(segment).and_then(|key| machine.kernel.link(key));
    let alive = machine.process.is_some();
    let fault = match kind {
        Kind::Conditions => Fault::Conditions(segment, conditions(prng)),
        Kind::Cut => {
            let ports = ports_on(cluster, segment);
            Fault::Cut(*pick(prng, &ports)?, *pick(prng, &ports)?)
        }
        Kind::Partition => {
            let ports = ports_on(cluster, segment);
            Fault::Partition(segment, ports.into_iter().filter(|_| prng.chance(1, 2)).collect())
        }
        Kind::Heal => Fault::HealNetwork,
        Kind::Cable => match link?.running {
            true => Fault::CablePulled(id, segment),
            false => Fault::CablePlugged(id, segment),
        },
        Kind::Admin => match link?.admin_up {
            true => Fault::AdminDown(id, segment),
            false => Fault::AdminUp(id, segment),
        },
        Kind::Mtu => match link?.mtu {
            // Some advertisements fit and others do not.
            ETHERNET_MTU => Fault::MtuChanged(id, segment, prng.between(28, 68) as u32),
            _ => Fault::MtuChanged(id, segment, ETHERNET_MTU),
        },
        Kind::Interface => match link {
            Some(_) if machine.kernel.has_on_top(link?.key) && prng.chance(1, 2) => {
                Fault::VirtualMacsDeleted(id, segment)
            }
            Some(_) => Fault::InterfaceDeleted(id, segment, prng.chance(1, 2)),
            None => Fault::InterfaceCreated(id, segment),
        },
        Kind::Name => match link?.name == name {
            true => Fault::InterfaceRenamed(id, segment),
            false => Fault::InterfaceNameRestored(id, segment),
        },
        Kind::OwnAddress => {
            let own = super::machine::own_addresses(id, segment);
            let there = machine.kernel.addresses().iter().any(|a| own.contains(&a.prefix));
            match there {
                true => Fault::OwnAddressRemoved(id, segment),
                false => Fault::OwnAddressRestored(id, segment),
            }
        }
        Kind::ByHand => {
            let kernel = &machine.kernel;
            let routed = !kernel.routes().is_empty() || !kernel.rules().is_empty();
            if routed && prng.clone().chance(1, 3) {
                return Some(Fault::RoutingFlushed(id));
            }
            let ours: Vec<_> =
                machine.kernel.addresses().iter().filter(|a| a.ours).map(|a| a.prefix).collect();
            Fault::AddressRemoved(id, *pick(prng, &ours)?)
        }
        Kind::Notifications => Fault::NotificationsLost(id, Duration::from_millis(prng.between(1, 3_000))),
        Kind::Crash if alive && prng.chance(1, 3) => Fault::LeftToNext(id),
        Kind::Crash if alive => Fault::Crashed(id),
        Kind::Stop if alive => Fault::Stopped(id),
        Kind::Crash if prng.chance(1, 2) => Fault::Respawned(id),
        Kind::Crash | Kind::Stop => Fault::Started(id),
        Kind::Power => match machine.powered {
            true => Fault::PowerLost(id),
            false => Fault::Booted(id),
        },
        Kind::Freeze => match machine.process.as_ref()?.frozen {
            Some(_) => Fault::Thawed(id),
            None => Fault::Frozen(id),
        },
        Kind::Pause => match machine.paused {
            Some(_) => Fault::Resumed(id),
            None => Fault::Paused(id),
        },
        Kind::Starve => Fault::Starved(id, Duration::from_millis(prng.between(10, 2_000))),
        Kind::SwitchOver => {
            // Mostly where there is something to hand over.
            let master = |m: &MachineId| {
                let process = cluster.machines[m.0].process.as_ref();
                process.is_some_and(|p| p.ledger.routers.values().any(|s| s.state == State::Master))
            };
            let masters: Vec<MachineId> = cluster.machine_ids().filter(master).collect();
            Fault::SwitchOver(pick(prng, &masters).copied().filter(|_| prng.chance(3, 4)).unwrap_or(id))
        }
        Kind::SwitchBack => Fault::SwitchBack(id),
        Kind::Order => Fault::Ordered(id, order(prng, cluster, &machine.spec.config)),
        Kind::Reload => Fault::Reloaded(id, scenario.mutate(prng, id, &machine.spec.config)),
        Kind::Script => {
            let fails = machine.failing_scripts.contains(trackers::SCRIPT);
            Fault::ScriptFails(id, trackers::SCRIPT.into(), !fails)
        }
        Kind::File => Fault::FileWritten(id, trackers::FILE.into(), trackers::draw_number(prng)),
        Kind::Processes => Fault::ProcessesRun(id, trackers::PROCESS.into(), prng.below(5) as u32),
        Kind::WallClock => {
            let far = (prng.below(1 << 36) as i64).wrapping_sub(1 << 35);
            let near = CLOCKS_APART_US * [-1, 0, 1][prng.clone().below(3) as usize];
            let error = if scenario.cluster.clocks_agree && prng.clone().chance(1, 2) { near } else { far };
            Fault::WallClockJumped(id, error - machine.wall_error_us())
        }
        Kind::Replay => {
            let host = HostId(prng.below(cluster.hosts.len() as u64) as usize);
            let pause = Duration::from_micros(prng.between(1_000, 100_000));
            Fault::Replayed(host, pause, prng.between(1, 5) as u32)
        }
        Kind::Stranger => {
            let host = HostId(prng.below(cluster.hosts.len() as u64) as usize);
            let like: Vec<&RouterConfig> = machine
                .spec
                .config
                .routers
                .iter()
                .filter(|router| is_protected(router) && !router.destinations.is_unicast())
                .collect();
            let like = Box::new(of_a_stranger(pick(prng, &like)?));
            let pause = like.interval.duration().max(Duration::from_millis(50));
            Fault::Flooded(host, Flood { like, forgery: Forgery::Stranger, pause })
        }
    };
    Some(fault)
}

/// What an operator may say at any time: to all, to a router by its name or that of its group, or to nobody.
fn order(prng: &mut Prng, cluster: &Cluster, config: &NodeConfig) -> Order {
    let routers = config.routers.iter().map(|router| &router.name);
    let names: Vec<&Arc<str>> = routers.chain(config.sync_groups.iter().map(|group| &group.name)).collect();
    let whom = match prng.below(8) {
        0..4 => Whom::All,
        4 => Whom::Named("nobody".into()),
        _ => pick(prng, &names).map_or(Whom::All, |name| Whom::Named(Arc::clone(name))),
    };
    // Over before anybody takes over, within an election, or long after it.
    let bound = micros(cluster.election_bound());
    let span = |prng: &mut Prng| {
        let longest = pick(prng, &[20_000, bound, bound * 3]).copied().unwrap_or(bound);
        prng.chance(2, 3).then(|| Duration::from_micros(prng.below(longest)))
    };
    match prng.below(5) {
        0 | 1 => Order::SwitchOver(SwitchOver { whom, hold: span(prng) }),
        2 => Order::SwitchBack(whom),
        3 => Order::Maintain(span(prng)),
        _ => Order::EndMaintenance,
    }
}

fn ports_on(cluster: &Cluster, segment: SegmentId) -> Vec<PortId> {
    let hosts = cluster.hosts.iter().map(super::host::Host::port);
    let machines = cluster.machines.iter().flat_map(|machine| machine.ports.iter().copied());
    machines.chain(hosts).filter(|port| cluster.network.segment(*port) == segment).collect()
}

fn conditions(prng: &mut Prng) -> Conditions {
    let ratio = |prng: &mut Prng, most: u64| match prng.chance(1, 2) {
        true => Ratio::percent(prng.between(1, most) as u32),
        false => Ratio::NEVER,
    };
    Conditions {
        delay: Duration::from_micros(prng.between(20, 5_000)),
        jitter: Duration::from_micros(prng.between(0, 10_000)),
        loss: ratio(prng, 60),
        duplication: ratio(prng, 20),
        reordering: ratio(prng, 30),
        reordering_delay: Duration::from_micros(prng.between(0, 40_000)),
        damage: ratio(prng, 10),
    }
}

/// Gives most machines all members of their sync groups again.
fn unite(prng: &mut Prng, cluster: &mut Cluster, scenario: &Scenario) {
    for id in cluster.machine_ids() {
        let before = cluster.machines[id.0].spec.config.clone();
        let mended = scenario.mended(prng, id, &before).filter(|config| *config != before);
        if let Some(config) = mended
            && prng.chance(7, 8)
        {
            cluster.apply(&Fault::Reloaded(id, config));
        }
    }
}

/// Makes everything whole again. Some machines stay off, and some daemons stopped.
/// `has_orders`: operators give some.
fn mend(prng: &mut Prng, cluster: &mut Cluster, scenario: &Scenario, has_orders: bool) {
    let mut faults = vec![Fault::HealNetwork];
    for machine in &cluster.machines {
        let id = machine.id;
        if !machine.powered {
            if prng.chance(1, 4) {
                continue;
            }
            faults.push(Fault::Booted(id));
        }
        for segment in (0..cluster.network.segment_count()).map(SegmentId) {
            match machine.link(segment).and_then(|key| machine.kernel.link(key)) {
                None if machine.powered => faults.push(Fault::InterfaceCreated(id, segment)),
                None => {}
                Some(link) => {
                    if link.name != super::machine::interface_name(segment) {
                        faults.push(Fault::InterfaceNameRestored(id, segment));
                    }
                    if !link.admin_up {
                        faults.push(Fault::AdminUp(id, segment));
                    }
                    if !link.running {
                        faults.push(Fault::CablePlugged(id, segment));
                    }
                    if link.mtu != ETHERNET_MTU {
                        faults.push(Fault::MtuChanged(id, segment, ETHERNET_MTU));
                    }
                    faults.push(Fault::OwnAddressRestored(id, segment));
                }
            }
        }
        if machine.paused.is_some() {
            faults.push(Fault::Resumed(id));
        }
        let operator = &mut prng.clone();
        if machine.process.as_ref().is_some_and(|process| process.ledger.maintenance == Some(None))
            && operator.chance(3, 4)
        {
            faults.push(Fault::Ordered(id, Order::EndMaintenance));
        }
        if scenario.cluster.clocks_agree && machine.wall_error_us() != 0 {
            faults.push(Fault::WallClockJumped(id, -machine.wall_error_us()));
        }
        let mended = machine.failing_scripts.iter().filter(|_| prng.chance(3, 4));
        faults.extend(mended.map(|name| Fault::ScriptFails(id, name.clone(), false)));
        match &machine.process {
            Some(process) if process.frozen.is_some() => faults.push(Fault::Thawed(id)),
            Some(_) => {}
            None => {
                let left_over = machine.kernel.addresses().iter().any(|a| a.ours);
                if left_over || prng.chance(3, 4) {
                    faults.push(Fault::Started(id));
                }
            }
        }
    }
    let set = faults.iter().any(|fault| matches!(fault, Fault::WallClockJumped(..)));
    for fault in faults {
        cluster.apply(&fault);
    }
    if set {
        // What was signed by the clock as it was may be later than what is signed now.
        let routers = cluster.machines.iter().flat_map(|machine| &machine.spec.config.routers);
        let windows = routers.filter_map(|router| router.hmac.as_ref()).map(|hmac| hmac.window);
        let longest = windows.max().unwrap_or_default();
        cluster.run_for(longest * 2);
    }
    let deaf = cluster.machines.iter().filter_map(|machine| machine.process.as_ref().map(|p| p.deaf_until));
    let starved = cluster.machines.iter().map(|machine| machine.starved_until);
    if let Some(last) = deaf.chain(starved).max().filter(|last| *last > cluster.now()) {
        cluster.run_until(last);
    }
    if has_orders {
        // What was said last is heard, and what was ordered for a time ends by itself: as soon as the daemon has woken up.
        let late = Duration::from_millis(1) + cluster.pace.wake.saturating_mul(2);
        cluster.run_for(late);
        let end = cluster.machines.iter().filter_map(|machine| {
            let end = machine.process.as_ref()?.ledger.orders_end()?;
            Some(machine.global(end) + late)
        });
        if let Some(last) = end.max().filter(|last| *last > cluster.now()) {
            cluster.run_until(last);
        }
    }
}
