//! One scenario from an empty laboratory to its outcome.

use std::io;
use std::time::{Duration, Instant};

use super::daemon::{Ground, Kind};
use super::interruption::pause;
use super::lab::Lab;
use super::measure::{Measures, measure};
use super::plan::Plan;
use super::probe::{ProbeRun, Probes};
use super::record::{Recorder, Sighting};
use super::scenario::Scenario;
use super::verdict;
use crate::net::MacAddress;
use crate::sys::clock;
use crate::time::WallTime;

/// How much later than the protocol's bound and one interval a busy machine may be.
pub(super) const TOLERANCE: Duration = Duration::from_millis(250);

/// How long routers may take from their start to one master.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long a line of a log may take.
const LOG_LIMIT: Duration = Duration::from_secs(2);

/// Time between two looks at what was recorded.
pub(super) const GLANCE: Duration = Duration::from_millis(5);

/// A laboratory in which the first router is master.
#[derive(Debug)]
pub struct Stage {
    /// The plan.
    pub plan: Plan,
    /// The network with its daemons.
    pub lab: Lab,
    /// What they send.
    pub recorder: Recorder,
    pub(super) marks: Vec<(WallTime, String)>,
    pub(super) failures: Vec<String>,
    pub(super) disturbed: WallTime,
    /// The client's neighbour cache before that.
    entry_before: Option<MacAddress>,
}

/// How the network is in the end.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ending {
    /// Who advertises.
    pub senders: Vec<usize>,
    /// What the client's neighbour cache has for the virtual address, before the strike and now.
    pub client_entries: [Option<MacAddress>; 2],
    /// Where that leads.
    pub client_route: Option<usize>,
    /// Which routers hold the virtual address.
    pub holders: Vec<usize>,
    /// On which routers a daemon is alive.
    pub alive: Vec<usize>,
    /// Whether the last probes arrived.
    pub traffic_flows: bool,
}

/// What became of a scenario.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which.
    pub scenario: Scenario,
    /// Why it was not run, if it was not.
    pub skipped: Option<String>,
    /// What is wrong; empty when all is well.
    pub failures: Vec<String>,
    /// The protocol's bound on the successor's first advertisement.
    pub bound: Duration,
    /// The figures.
    pub measures: Measures,
    /// The end.
    pub ending: Ending,
    /// What was done when.
    pub marks: Vec<(WallTime, String)>,
    /// The probes.
    pub probes: ProbeRun,
    /// What was heard.
    pub sightings: Vec<Sighting>,
    /// When the scenario struck and when observation ended.
    pub window: (WallTime, WallTime),
    /// Whose daemon each router runs.
    pub kinds: Vec<Kind>,
    /// The daemons' words, where something is wrong.
    pub logs: Vec<(String, String)>,
}

impl Outcome {
    /// Whether all is well (or was not run).
    pub fn ok(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Runs one scenario in a laboratory of its own.
///
/// # Errors
/// When the laboratory cannot be built or the daemons do not get as far as one master; the message has what
/// they said.
pub fn run(plan: &Plan, scenario: Scenario) -> io::Result<Outcome> {
    let missing = match scenario {
        Scenario::Switch => Some("keepalived has no switch-over"),
        Scenario::Restart => Some("keepalived has no restart without a failover"),
        _ => None,
    };
    if let Some(missing) = missing.filter(|_| plan.programs[0].kind == Kind::Keepalived) {
        return Ok(skipped(plan, scenario, missing));
    }
    let (scenarios, sync_group) = (vec![scenario], scenario.needs_sync_group());
    let plan = &Plan { interval: scenario.interval(plan.interval), scenarios, sync_group, ..plan.clone() };
    let mut stage = Stage::set(plan.clone())?;
    let probes = Probes::start(&stage.lab)?;
    stage.wait(
        "probes do not reach the server through the virtual address",
        Duration::from_secs(5),
        |_| Ok(probes.arrived() >= 50),
    )?;
    // A whole interval of undisturbed service before the strike.
    pause(plan.interval.duration())?;
    stage.disturb()?;
    scenario.strike(&mut stage)?;
    let limit = (bound(plan, scenario) + plan.master_down(0)) * 2 + Duration::from_secs(2);
    stage.wait_for_elections(scenario.elections().len(), limit)?;
    pause(plan.master_down(1) + plan.interval.duration() * 2)?;
    stage.conclude(scenario, probes)
}

/// The time within which the protocol has the successor advertise, counted from the last advertisement.
fn bound(plan: &Plan, scenario: Scenario) -> Duration {
    if scenario.overlaps() {
        plan.interval.duration()
    } else if scenario.says_goodbye() {
        plan.skew(1)
    } else {
        plan.master_down(1)
    }
}

fn skipped(plan: &Plan, scenario: Scenario, reason: &str) -> Outcome {
    Outcome {
        scenario,
        skipped: Some(reason.to_owned()),
        failures: Vec::new(),
        bound: bound(plan, scenario),
        measures: Measures::default(),
        ending: Ending::default(),
        marks: Vec::new(),
        probes: ProbeRun::default(),
        sightings: Vec::new(),
        window: Default::default(),
        kinds: plan.programs.iter().map(|program| program.kind).collect(),
        logs: Vec::new(),
    }
}

fn ago(time: Duration) -> WallTime {
    let us = clock::wall().as_unix_micros();
    WallTime::from_unix_micros(us.saturating_sub(crate::time::micros(time)))
}

impl Stage {
    /// Builds the laboratory, starts all daemons and waits until the first router alone is master.
    pub fn set(plan: Plan) -> io::Result<Self> {
        let mut stage = Self::build(plan)?;
        stage.begin()?;
        Ok(stage)
    }

    /// Builds the laboratory.
    pub(super) fn build(plan: Plan) -> io::Result<Self> {
        let lab = Lab::build(plan.layout())?;
        let recorder = Recorder::start(&lab)?;
        let (marks, failures) = (Vec::new(), Vec::new());
        Ok(Self { plan, lab, recorder, marks, failures, disturbed: clock::wall(), entry_before: None })
    }

    /// Starts all daemons and waits until the first router alone is master.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        for router in 0..self.plan.programs.len() {
            self.start(router)?;
        }
        self.wait_for_master(0)
    }

    /// Starts the daemon of a router.
    pub fn start(&mut self, router: usize) -> io::Result<()> {
        let (program, config) = (&self.plan.programs[router], self.plan.config(router));
        self.lab.start(router, program, &config, Ground::Foreground)?;
        Ok(())
    }

    /// Waits until `router` alone has advertised for some intervals and holds the virtual address.
    pub fn wait_for_master(&mut self, router: usize) -> io::Result<()> {
        let settled = self.plan.interval.duration() * 5 / 2;
        let complaint = format!("r{} does not become the only master", router + 1);
        let mut since: Option<Instant> = None;
        self.wait(&complaint, START_LIMIT, |stage| {
            let senders = stage.recorder.senders(ago(settled));
            if senders != [router] {
                since = None;
                return Ok(false);
            }
            let gateway = stage.lab.layout.gateway();
            let settled = since.get_or_insert_with(Instant::now).elapsed() > settled;
            Ok(settled && stage.lab.holds(router, gateway)?)
        })
    }

    /// Waits until `router` is the one and only master and the client's packets pass through it.
    ///
    /// # Errors
    /// When that does not come about: what was wrong last, and what the daemons said.
    pub fn settle(&mut self, router: usize) -> io::Result<()> {
        let settled = self.plan.interval.duration() * 5 / 2;
        let start = Instant::now();
        let mut since: Option<Instant> = None;
        loop {
            // The first packet makes the client ask for the gateway's hardware address.
            let probes = Probes::start(&self.lab)?;
            pause(Duration::from_millis(60))?;
            let flows = probes.finish().flowing();
            let mut wrong = verdict::unsettled(&self.ending()?, router);
            if !flows {
                wrong.push("the client's packets do not reach the server".to_owned());
            }
            if wrong.is_empty() {
                if since.get_or_insert_with(Instant::now).elapsed() > settled {
                    return Ok(());
                }
            } else {
                since = None;
                if start.elapsed() > START_LIMIT {
                    let complaint = wrong.join("; ");
                    return self.wait(&complaint, Duration::ZERO, |_| Ok(false));
                }
            }
        }
    }

    /// Notes that the scenario strikes now.
    ///
    /// # Errors
    /// When the client's neighbour cache cannot be read.
    pub fn disturb(&mut self) -> io::Result<()> {
        self.entry_before = self.lab.client_entry(self.lab.layout.gateway())?;
        self.disturbed = clock::wall();
        Ok(())
    }

    /// Notes what was done.
    pub fn mark(&mut self, text: impl Into<String>) {
        self.marks.push((clock::wall(), text.into()));
    }

    /// Notes what is wrong.
    pub fn fail(&mut self, text: impl Into<String>) {
        self.failures.push(text.into());
    }

    /// Whether a router's daemon says something like it, or does soon: logs are written behind the events.
    pub fn says(&mut self, router: usize, told: impl Fn(&str) -> bool) -> io::Result<bool> {
        let start = Instant::now();
        while !self.lab.daemon(router)?.log().lines().any(&told) {
            if start.elapsed() > LOG_LIMIT {
                return Ok(false);
            }
            pause(GLANCE)?;
        }
        Ok(true)
    }

    /// Waits until `count` routers were elected since the strike; in vain is no error, the verdict will tell.
    pub fn wait_for_elections(&mut self, count: usize, limit: Duration) -> io::Result<()> {
        let start = Instant::now();
        while self.measure(&ProbeRun::default()).elections.len() < count && start.elapsed() < limit {
            pause(GLANCE)?;
        }
        Ok(())
    }

    /// Waits until `condition` holds.
    ///
    /// # Errors
    /// When it does not in time: `complaint`, and what the daemons said last.
    pub fn wait(
        &mut self,
        complaint: &str,
        limit: Duration,
        mut condition: impl FnMut(&mut Self) -> io::Result<bool>,
    ) -> io::Result<()> {
        let start = Instant::now();
        while !condition(self)? {
            if start.elapsed() > limit {
                let mut message = complaint.to_owned();
                for (name, log) in self.logs() {
                    message.push_str(&format!("\n--- {name} said ---\n{log}"));
                }
                return Err(io::Error::other(message));
            }
            pause(GLANCE)?;
        }
        Ok(())
    }

    /// How the network is now, but for the traffic.
    pub fn ending(&mut self) -> io::Result<Ending> {
        let gateway = self.lab.layout.gateway();
        let since = ago(self.plan.interval.duration() * 5 / 2);
        let entry = self.lab.client_entry(gateway)?;
        let mut ending = Ending {
            senders: self.recorder.senders(since),
            client_entries: [self.entry_before, entry],
            client_route: entry.map_or(Ok(None), |mac| self.lab.router_of(mac))?,
            ..Ending::default()
        };
        for router in 0..self.plan.programs.len() {
            if self.lab.holds(router, gateway)? {
                ending.holders.push(router);
            }
            if self.lab.daemon(router)?.is_alive()? {
                ending.alive.push(router);
            }
        }
        Ok(ending)
    }

    fn conclude(mut self, scenario: Scenario, probes: Probes) -> io::Result<Outcome> {
        let mut ending = self.ending()?;
        let end = clock::wall();
        let probes = probes.finish();
        ending.traffic_flows = probes.flowing();
        let measures = self.measure(&probes);
        let bound = bound(&self.plan, scenario);
        let mut failures = self.failures.clone();
        failures.extend(verdict::judge(&self.plan, scenario, bound, &measures, &ending));
        let logs = if failures.is_empty() { Vec::new() } else { self.logs() };
        Ok(Outcome {
            scenario,
            skipped: None,
            failures,
            bound,
            measures,
            ending,
            marks: self.marks,
            probes,
            sightings: self.recorder.look(<[Sighting]>::to_vec),
            window: (self.disturbed, end),
            kinds: self.plan.programs.iter().map(|program| program.kind).collect(),
            logs,
        })
    }

    /// The figures so far, `probes` aside.
    pub fn measure(&self, probes: &ProbeRun) -> Measures {
        let interval = self.plan.interval.duration();
        let addresses = self.plan.addresses();
        self.recorder.look(|sightings| measure(sightings, probes, self.disturbed, interval, &addresses))
    }

    /// What the daemons said.
    pub(super) fn logs(&mut self) -> Vec<(String, String)> {
        let names: Vec<String> = self.lab.routers.iter().map(|router| router.name.clone()).collect();
        let logs = names.into_iter().enumerate();
        logs.filter_map(|(router, name)| Some((name, self.lab.daemon(router).ok()?.log()))).collect()
    }
}
