//! Directors in virtual time: servers that die, lie, flap and drip, an operator who reloads, a rival who changes the
//! kernel's table, a kernel that answers late or refuses, a director that is killed and begins anew; each run is
//! repeatable from its seed.
//!
//! Invariants: no dead server gets new connections for longer than its detection and a repair take; quorum and sorry
//! server agree with the checks; once all is quiet, the table holds what is wanted, and what is not ours was never
//! touched; a reload writes what it changes and no more; orders hold, and no connection of what drains is cut early.

mod operator;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use self::operator::Operator;
use super::action::{
    Actions, Advice, Beginning, CheckId, Conduct, DirectorConfig, Ending, Event, News, Verdict,
};
use super::config::{SorryServer, VirtualServer};
use super::director::Director;
use super::order::OrderedServer;
use super::tests::{carry_out, checked, quorum, read, real, target, web};
use crate::kernel::KernelError;
use crate::kernel::ipvs::{
    DestinationSettings, ForwardingMethod, HostPort, IpvsEntry, IpvsKey, IpvsOperation, IpvsRefusal,
    IpvsTable, Protocol, Scheduler, ServiceKey,
};
use crate::prng::Prng;
use crate::time::{Duration, Instant};

/// Between two checks of a server.
const PERIOD: Duration = Duration::from_millis(1_000);
/// Longest time that a dripping server holds up its check.
const DRIP_MAX: Duration = Duration::from_millis(3_000);
/// Longest time until the kernel has carried out what it was asked.
const KERNEL_MAX: Duration = Duration::from_millis(20);
/// From the end of all faults until all must be well: the longest pause between tries of what was refused.
const QUIET: Duration = Duration::from_secs(70);
/// From the verdict on until a dead server gets no new connections, also while a rival adds it again and again.
const REPAIR_MAX: Duration = Duration::from_millis(1_300);

/// What is on its way to the kernel.
#[derive(Debug)]
enum Errand {
    Change(IpvsOperation),
    Read,
}

/// A real server, known by the last number of its address, which is its check's too.
#[derive(Clone, Copy, Debug, Default)]
struct Health {
    dead: bool,
    /// What its check said last, and since when.
    down_since: Option<Instant>,
    next_check: Option<Instant>,
}

struct World {
    seed: u64,
    prng: Prng,
    now: Instant,
    director: Director,
    config: DirectorConfig,
    kernel: BTreeMap<IpvsKey, IpvsEntry>,
    foreign: BTreeMap<IpvsKey, IpvsEntry>,
    /// Established ones of destinations.
    connections: BTreeMap<IpvsKey, u32>,
    operator: Operator,
    orders: Vec<OrderedServer>,
    errands: VecDeque<(Instant, Errand)>,
    refuse_until: Instant,
    health: BTreeMap<u32, Health>,
    resting: BTreeSet<u32>,
    recorded: BTreeSet<ServiceKey>,
    /// Since when each dead server's entry could be seen with a weight.
    exposed: BTreeMap<IpvsKey, Instant>,
    /// What was told last of each virtual server's quorum.
    quorums: BTreeMap<String, bool>,
    /// Nothing goes wrong, checks tell the truth.
    quiet: bool,
    stopped: bool,
    counts: Counts,
}

/// What happened, so that it is known that a run means something.
#[derive(Debug, Default)]
struct Counts {
    verdicts: usize,
    repairs: usize,
    quorums: usize,
    refusals: usize,
    reloads: usize,
    restarts: usize,
    drained: usize,
    left: usize,
    cut: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut prng = Prng::new(seed);
        let config = some_config(&mut prng);
        let foreign = IpvsEntry::Service(
            ServiceKey::Address(target("203.0.113.1", 80), Protocol::Tcp),
            Default::default(),
        );
        let foreign = BTreeMap::from([(foreign.key(), foreign)]);
        let mut world = Self {
            seed,
            prng,
            now: Instant::ZERO + Duration::from_secs(100),
            director: Director::default(),
            config: config.clone(),
            kernel: foreign.clone(),
            foreign,
            connections: BTreeMap::new(),
            operator: Operator::default(),
            orders: Vec::new(),
            errands: VecDeque::new(),
            refuse_until: Instant::ZERO,
            health: BTreeMap::new(),
            resting: BTreeSet::new(),
            recorded: BTreeSet::new(),
            exposed: BTreeMap::new(),
            quorums: BTreeMap::new(),
            quiet: false,
            stopped: false,
            counts: Counts::default(),
        };
        world.begin(false);
        world
    }

    /// A director begins, perhaps in a killed one's place.
    fn begin(&mut self, same_configuration: bool) {
        let beginning = Beginning {
            table: self.table(),
            orders: self.orders.clone(),
            recorded: self.recorded.clone(),
            same_configuration,
            ..Beginning::default()
        };
        self.errands.clear();
        self.quorums.clear();
        self.resting.clear();
        let mut actions = Actions::default();
        self.director = Director::begin(self.now, self.config.clone(), &beginning, &mut actions);
        self.schedule_checks();
        self.take(actions);
    }

    fn schedule_checks(&mut self) {
        let checks: BTreeSet<u32> = self.config.checks.iter().map(|checked| checked.check.0).collect();
        self.health.values_mut().for_each(|health| health.next_check = None);
        for check in checks {
            let at = self.now + self.some(PERIOD);
            self.health.entry(check).or_default().next_check = Some(at);
        }
    }

    fn some(&mut self, longest: Duration) -> Duration {
        Duration::from_micros(self.prng.below(longest.as_micros() as u64))
    }

    fn table(&self) -> IpvsTable {
        let connections = self.connections.iter().map(|(key, active)| (*key, (*active, 0)));
        read(&self.kernel, &connections.collect())
    }

    fn take(&mut self, actions: Actions) {
        self.orders = actions.orders.unwrap_or_else(|| core::mem::take(&mut self.orders));
        if let Some(recorded) = actions.record {
            self.recorded = recorded;
        }
        for switch in actions.checks {
            let changed = if switch.active {
                self.resting.remove(&switch.check.0)
            } else {
                self.resting.insert(switch.check.0)
            };
            assert!(changed, "seed {}: check {:?} is switched twice", self.seed, switch.check);
        }
        for news in &actions.news {
            self.hear(news);
            match news {
                News::Quorum { service, up, .. } => {
                    let before = self.quorums.insert(service.to_string(), *up);
                    assert_ne!(before, Some(*up), "seed {}: {service} told twice {up}", self.seed);
                    self.counts.quorums += 1;
                }
                News::Repaired { .. } => self.counts.repairs += 1,
                News::Refused(_) => self.counts.refusals += 1,
                _ => {}
            }
        }
        let mut at = self.errands.back().map_or(self.now, |(at, _)| *at);
        let longest = if self.prng.chance(1, 10) { KERNEL_MAX } else { Duration::from_millis(1) };
        at = at.max(self.now + self.some(longest));
        let changes = actions.kernel.into_iter().map(Errand::Change);
        self.errands
            .extend(changes.chain(actions.read_table.then_some(Errand::Read)).map(|errand| (at, errand)));
        self.stopped |= actions.stopped;
    }

    /// The kernel does what was asked for by now.
    fn kernel_works(&mut self) {
        let (mut answers, mut actions) = (Vec::new(), Actions::default());
        while let Some((_, errand)) = self.errands.pop_front_if(|(at, _)| *at <= self.now) {
            match errand {
                Errand::Change(operation) if self.now < self.refuse_until => {
                    let error = KernelError { errno: 12, message: "no memory".into() };
                    answers.push(Err(IpvsRefusal { verb: "change", key: operation.key(), error }));
                }
                Errand::Change(operation) => {
                    let key = operation.key();
                    assert!(!self.foreign.contains_key(&key), "seed {}: {key} is not ours", self.seed);
                    answers.push(carry_out(&mut self.kernel, &operation));
                    self.forget_connections();
                }
                Errand::Read => {
                    self.director.handle(
                        self.now,
                        Event::Answers(core::mem::take(&mut answers)),
                        &mut actions,
                    );
                    let took = self.some(Duration::from_millis(3));
                    let event = Event::Table { table: self.table(), took };
                    self.director.handle(self.now, event, &mut actions);
                }
            }
        }
        self.director.handle(self.now, Event::Answers(answers), &mut actions);
        self.take(actions);
    }

    fn check(&mut self, check: u32) {
        let Some(health) = self.health.get(&check).copied() else { return };
        let drips = !self.quiet && self.prng.chance(1, 20);
        let lies = !self.quiet && self.prng.chance(1, 20);
        let up = health.dead == lies;
        let pause = PERIOD + if drips { self.some(DRIP_MAX) } else { Duration::ZERO };
        let now = self.now;
        if let Some(health) = self.health.get_mut(&check) {
            health.next_check = Some(now + pause);
            if !self.resting.contains(&check) {
                health.down_since = if up { None } else { health.down_since.or(Some(now)) };
            }
        }
        if self.resting.contains(&check) {
            return;
        }
        self.counts.verdicts += 1;
        let verdict = if up { Verdict::Up(Advice::Keep) } else { Verdict::Down };
        let mut actions = Actions::default();
        let event = Event::Check { check: CheckId(check), verdict, reason: "simulated".into() };
        self.director.handle(self.now, event, &mut actions);
        self.take(actions);
    }

    fn something_happens(&mut self) {
        self.traffic();
        let check = 1 + self.prng.below(6) as u32;
        match self.prng.below(48) {
            40.. => self.give_an_order(),
            0..10 => {
                let health = self.health.entry(check).or_default();
                health.dead = !health.dead;
            }
            // A rival.
            10..20 => self.drift(),
            20..22 => self.refuse_until = self.now + self.some(Duration::from_secs(3)),
            22..26 => {
                let address = format!("192.0.2.{}", 1 + self.prng.below(3)).parse().unwrap();
                let present = self.prng.chance(1, 2);
                let mut actions = Actions::default();
                self.director.handle(self.now, Event::Address { address, present }, &mut actions);
                self.take(actions);
            }
            26..31 => self.reload(),
            31 => {
                self.counts.restarts += 1;
                // What was sent is carried out, though nobody hears of it.
                while let Some((_, errand)) = self.errands.pop_front() {
                    if let Errand::Change(operation) = errand {
                        let _ = carry_out(&mut self.kernel, &operation);
                    }
                }
                self.forget_connections();
                self.begin(true);
            }
            _ => {}
        }
    }

    fn drift(&mut self) {
        let ours: Vec<IpvsKey> =
            self.kernel.keys().filter(|key| !self.foreign.contains_key(key)).copied().collect();
        let Some(key) = ours.get(self.prng.below(ours.len() as u64) as usize).copied() else { return };
        match self.prng.below(4) {
            0 => _ = carry_out(&mut self.kernel, &IpvsOperation::Remove(key)),
            1 => self.kernel.retain(|key, _| self.foreign.contains_key(key)),
            2 => {
                if let Some(IpvsEntry::Destination(_, _, settings)) = self.kernel.get_mut(&key) {
                    settings.weight = self.prng.below(3) as u32;
                }
            }
            _ => {
                if let Some(IpvsEntry::Service(_, settings)) = self.kernel.get_mut(&key) {
                    settings.scheduler = Scheduler::RoundRobin;
                }
            }
        }
        self.forget_connections();
    }

    fn reload(&mut self) {
        self.counts.reloads += 1;
        let before = self.expected();
        let is_other = self.prng.chance(2, 3);
        if is_other {
            self.config = some_config(&mut self.prng);
        }
        let planned = self.director.plan(&self.config);
        assert!(is_other || planned.is_empty(), "seed {}: {planned:?}", self.seed);
        let mut actions = Actions::default();
        self.forget_orders();
        self.director.apply(self.now, self.config.clone(), &mut actions);
        let after = self.director.servers.values().flat_map(|server| server.wishes.clone()).collect();
        let changed = differing(&before, &after).len();
        assert!(
            actions.kernel.len() <= changed || !self.errands.is_empty() || self.director.held().1 > 0,
            "seed {}: {} written for {changed}: {:#?}",
            self.seed,
            actions.kernel.len(),
            actions.kernel
        );
        // Those of virtual servers that are gone are told anew should they come back.
        let services: BTreeSet<String> =
            self.config.virtual_servers.iter().map(|server| server.service.to_string()).collect();
        self.quorums.retain(|service, _| services.contains(service));
        let configured: BTreeSet<u32> = self.config.checks.iter().map(|checked| checked.check.0).collect();
        self.resting.retain(|check| configured.contains(check));
        self.take(actions);
        self.schedule_checks();
    }

    /// All that the director says it wants.
    fn expected(&self) -> BTreeMap<IpvsKey, IpvsEntry> {
        self.director.servers.values().flat_map(|server| server.wishes.clone()).collect()
    }

    fn run(&mut self, until: Instant) {
        let mut next_event = self.now;
        while self.now < until {
            let due = [
                self.director.poll_timeout(),
                self.errands.front().map(|(at, _)| *at),
                self.health.values().filter_map(|health| health.next_check).min(),
                (!self.quiet).then_some(next_event),
                Some(until),
            ];
            self.now = self.now.max(due.into_iter().flatten().min().unwrap_or(until));
            self.kernel_works();
            let mut actions = Actions::default();
            self.director.handle_timeout(self.now, &mut actions);
            self.take(actions);
            let due = |(check, health): (&u32, &Health)| {
                health.next_check.is_some_and(|at| at <= self.now).then_some(*check)
            };
            let checks: Vec<u32> = self.health.iter().filter_map(due).collect();
            for check in checks {
                self.check(check);
            }
            if !self.quiet && self.now >= next_event {
                self.something_happens();
                next_event = self.now + self.some(Duration::from_millis(900));
            }
            self.look();
        }
    }

    /// What must hold always.
    fn look(&mut self) {
        let seed = self.seed;
        for server in self.director.servers.values() {
            let state = &server.state;
            let live: u64 = state
                .servers()
                .filter(|(_, real)| real.checks.iter().all(|check| check.up))
                .map(|(config, real)| u64::from(real.weight(config)))
                .sum();
            let (weight, hysteresis) = (state.config.quorum.weight().get(), state.config.quorum.hysteresis());
            let service = &state.config.service;
            if state.quorum_up {
                assert!(
                    live > 0 && live >= u64::from(weight - hysteresis),
                    "seed {seed}: {service} has {live}"
                );
            } else {
                assert!(live < u64::from(weight + hysteresis), "seed {seed}: {service} has {live}");
            }
            if let Some(told) = self.quorums.get(&service.to_string()) {
                assert_eq!(*told, state.quorum_up, "seed {seed}: {service}");
            }
            let Some(sorry) = state.config.sorry_server else { continue };
            for member in &state.members {
                let key = IpvsKey { service: *member, destination: Some(sorry.target) };
                let weight = server.wishes.get(&key).map(|entry| match entry {
                    IpvsEntry::Destination(_, _, settings) => settings.weight,
                    IpvsEntry::Service(..) => unreachable!(),
                });
                let wanted = match (state.quorum_up, sorry.inhibit) {
                    (false, _) => Some(1),
                    (true, true) => Some(0),
                    (true, false) => None,
                };
                assert_eq!(weight, wanted, "seed {seed}: {service}");
            }
        }
        self.look_at_orders();
        self.look_for_dead();
    }

    /// No dead server gets connections for long.
    fn look_for_dead(&mut self) {
        let now = self.now;
        let is_served = |entry: &IpvsEntry| match entry {
            IpvsEntry::Destination(_, _, DestinationSettings { weight, .. }) => *weight > 0,
            IpvsEntry::Service(..) => false,
        };
        let mut exposed = BTreeMap::new();
        for (key, _) in self.kernel.iter().filter(|(_, entry)| is_served(entry)) {
            let Some(HostPort { address, .. }) = key.destination else { continue };
            let last = address.to_string().rsplit('.').next().and_then(|last| last.parse::<u32>().ok());
            let Some(health) = last.and_then(|last| self.health.get(&last)) else { continue };
            let Some(down_since) = health.down_since else { continue };
            // A server whose checks rest is left as it was; so is what the kernel refuses to change.
            let is_wished =
                self.director.servers.values().any(|server| server.wishes.get(key).is_some_and(is_served));
            if is_wished || now < self.refuse_until + Duration::from_secs(61) {
                continue;
            }
            exposed.insert(*key, self.exposed.get(key).copied().unwrap_or(now).max(down_since));
        }
        for (key, since) in &exposed {
            let long = now.saturating_since(*since);
            assert!(long <= REPAIR_MAX, "seed {}: {key} is dead and serves for {long:?}", self.seed);
        }
        self.exposed = exposed;
    }

    /// The servers stay as they are, nobody interferes: all comes out right.
    fn settle(&mut self) {
        self.quiet = true;
        self.connections.clear();
        self.refuse_until = self.refuse_until.min(self.now);
        self.run(self.now + QUIET);
        let mut wanted = self.foreign.clone();
        wanted.extend(self.expected());
        let wrong = differing(&self.kernel, &wanted);
        assert!(wrong.is_empty(), "seed {}: {wrong:#?}", self.seed);
        // By the truth, not by what the director believes.
        for server in self.director.servers.values().filter(|server| !server.state.suspended) {
            for (config, state) in server.state.servers() {
                let last: u32 =
                    config.target.address.to_string().rsplit('.').next().unwrap().parse().unwrap();
                assert_eq!(state.is_up(), !self.health[&last].dead, "seed {}: {}", self.seed, config.target);
            }
        }
        self.look_for_drained();
        let written = self.director.plan(&self.config);
        assert_eq!(written, [], "seed {}", self.seed);
    }

    fn end(&mut self) {
        let mut actions = Actions::default();
        self.director.stop(self.now, Ending::Remove, &mut actions);
        self.health.clear();
        self.operator.forget();
        self.take(actions);
        self.run(self.now + Duration::from_secs(1));
        assert!(self.stopped && self.recorded.is_empty(), "seed {}", self.seed);
        assert_eq!(self.kernel, self.foreign, "seed {}", self.seed);
    }
}

/// Entries that one has and the other has not.
fn differing(one: &BTreeMap<IpvsKey, IpvsEntry>, other: &BTreeMap<IpvsKey, IpvsEntry>) -> Vec<String> {
    let keys: BTreeSet<&IpvsKey> = one.keys().chain(other.keys()).collect();
    let wrong = keys.into_iter().filter(|key| one.get(key) != other.get(key));
    wrong.map(|key| format!("{key}: {:?}, {:?}", one.get(key), other.get(key))).collect()
}

/// One to three virtual servers that share real servers.
fn some_config(prng: &mut Prng) -> DirectorConfig {
    let mut servers = Vec::new();
    for number in 1..=1 + prng.below(3) {
        let mut server: VirtualServer = web(&format!("192.0.2.{number}"), 0);
        for real_number in 1..=6 {
            if prng.chance(1, 2) {
                let mut real = real(&format!("10.0.0.{real_number}"), 80);
                real.weight = 1 + prng.below(3) as u32;
                real.inhibit_on_failure = prng.chance(1, 3);
                server.real_servers.push(real);
            }
        }
        let weight = 1 + prng.below(4) as u32;
        quorum(&mut server, weight, prng.below(weight.into()) as u32);
        server.alpha = prng.chance(1, 4);
        server.ha_suspend = prng.chance(1, 5);
        if prng.chance(1, 2) {
            let sorry = target("10.0.0.99", 80);
            let inhibit = prng.chance(1, 2);
            server.sorry_server = Some(SorryServer { target: sorry, method: ForwardingMethod::Nat, inhibit });
        }
        if !server.real_servers.is_empty() {
            servers.push(server);
        }
    }
    let rs_init_notifies = prng.chance(1, 2);
    let leaving_limit = prng.chance(2, 3).then(|| Duration::from_secs(1 + prng.below(10)));
    DirectorConfig { conduct: Conduct { rs_init_notifies, leaving_limit }, ..checked(servers) }
}

#[test]
fn directors_come_out_right_at_random() {
    let mut sum = Counts::default();
    for seed in 0..40 {
        let mut world = World::new(seed);
        for _ in 0..2 {
            world.quiet = false;
            world.run(world.now + Duration::from_secs(40));
            world.settle();
        }
        world.end();
        let counts = world.counts;
        sum.verdicts += counts.verdicts;
        sum.repairs += counts.repairs;
        sum.quorums += counts.quorums;
        sum.refusals += counts.refusals;
        sum.reloads += counts.reloads;
        sum.restarts += counts.restarts;
        sum.drained += world.operator.drained;
        sum.left += world.operator.left;
        sum.cut += world.operator.cut;
    }
    let Counts { verdicts, repairs, quorums, refusals, reloads, restarts, drained, left, cut } = sum;
    let happened = [verdicts, repairs, quorums, refusals, reloads, restarts, drained, left, cut];
    assert!(happened.iter().all(|count| *count > 30), "{sum:?}");
}
