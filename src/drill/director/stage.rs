//! One scenario from an empty laboratory to its outcome.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::client::{Clients, HELD, PATIENCE, Request};
use super::scenario::Scenario;
use super::servers::RealServer;
use super::table::{TableWatch, Version};
use super::{DirectorPlan, PORT, verdict};
use crate::drill::daemon::Kind;
use crate::drill::interruption::pause;
use crate::drill::plan::Plan;
use crate::drill::probe::ProbeRun;
use crate::drill::stage::{GLANCE, Stage};
use crate::time::WallTime;

/// How long directors may take from their start to their whole table, and connections to be kept and told of.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long a change is waited for beyond its bound.
const DETECTION_LIMIT: Duration = Duration::from_secs(20);

/// How long requests are watched after the change.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// Requests that are answered before anything happens.
const REQUESTS_BEFORE: usize = 10;

/// The figures of one scenario.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Measures {
    /// What the configuration promises of the detection: of a director's death, counted from its last advertisement; `None`
    /// for an order, which needs no detection.
    pub bound: Option<Duration>,
    /// From the cause until the first director's table had changed, or until the second director advertised.
    pub detection: Option<Duration>,
    /// The same of the second director's table; `None` where it need not change.
    pub backup_detection: Option<Duration>,
    /// From the order to drain until the real server was out of the table.
    pub removal: Option<Duration>,
    /// Requests over new connections since the cause.
    pub requests: usize,
    /// Those of them that failed: when they were begun, and why.
    pub failures: Vec<(WallTime, String)>,
    /// Begun after the detection and answered, by each real server.
    pub answered_after: [usize; super::REAL_SERVERS as usize],
    /// The longest time that an answer took.
    pub slowest: Duration,
    /// How long the machine did not run the drill meanwhile: so much later may be noticed what happens.
    pub stalled: Duration,
    /// Connections that were kept when it happened.
    pub held: usize,
    /// Those that broke, by the real server that they led to.
    pub broken: [usize; super::REAL_SERVERS as usize],
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
    /// The figures.
    pub measures: Measures,
    /// The table of the director that serves in the end, all its versions.
    pub tables: Vec<Version>,
    /// Addresses of the real servers.
    pub real_servers: Vec<IpAddr>,
    /// What was done when.
    pub marks: Vec<(WallTime, String)>,
    /// The requests over new connections, in order.
    pub requests: Vec<Request>,
    /// When the scenario struck and when observation ended.
    pub window: (WallTime, WallTime),
    /// Whose daemon each director runs.
    pub kinds: Vec<Kind>,
    /// The daemons' words, where something is wrong.
    pub logs: Vec<(String, String)>,
}

impl Outcome {
    /// Whether all is well (or was not run).
    pub fn ok(&self) -> bool {
        self.failures.is_empty()
    }

    /// The table in the end.
    pub fn table(&self) -> &[String] {
        self.tables.last().map_or(&[], |version| &version.lines)
    }
}

/// Runs one scenario in a laboratory of its own.
///
/// # Errors
/// When the laboratory cannot be built, or the directors do not get as far as to serve; the message has what they said.
pub fn run(plan: &DirectorPlan, scenario: Scenario) -> io::Result<Outcome> {
    let kinds: Vec<Kind> = plan.routers.programs.iter().map(|program| program.kind).collect();
    if scenario == Scenario::Drain && kinds.first() == Some(&Kind::Keepalived) {
        return Ok(Outcome {
            scenario,
            skipped: Some("keepalived has no drain".to_owned()),
            failures: Vec::new(),
            measures: Measures::default(),
            tables: Vec::new(),
            real_servers: Vec::new(),
            marks: Vec::new(),
            requests: Vec::new(),
            window: Default::default(),
            kinds,
            logs: Vec::new(),
        });
    }
    let mut site = Site::set(plan, scenario)?;
    let to = SocketAddr::new(plan.routers.layout().gateway(), PORT);
    let clients = Clients::start(&site.stage.lab, to, plan.rate)?;
    site.stage
        .wait("the client is not answered through the virtual server", START_LIMIT, |_| {
            Ok(clients.are_answered(REQUESTS_BEFORE) && clients.held().len() >= HELD)
        })
        .map_err(|error| {
            io::Error::new(error.kind(), format!("{error}\n--- the client ---\n{}", clients.tally()))
        })?;
    if scenario == Scenario::Director {
        site.wait_until_backup_knows(&clients)?;
    }
    site.stage.disturb()?;
    clients.strike();
    let held = clients.held().len();
    site.strike(scenario, &clients)?;
    pause(AFTERWARDS)?;
    site.conclude(scenario, clients, held, kinds)
}

/// A laboratory in which the first director is master and both have their table.
struct Site<'a> {
    plan: &'a DirectorPlan,
    // Before the laboratory, which ends once all processes in it are looked after.
    servers: Vec<RealServer>,
    tables: Vec<TableWatch>,
    stage: Stage,
}

impl<'a> Site<'a> {
    fn set(plan: &'a DirectorPlan, scenario: Scenario) -> io::Result<Self> {
        let stage = Stage::build(Plan { service: Some(plan.service), ..plan.routers.clone() })?;
        let mut site = Self { plan, servers: Vec::new(), tables: Vec::new(), stage };
        for router in &site.stage.lab.routers {
            for of in ["all", "eth0"] {
                router.namespace.set(&format!("ipv4/conf/{of}/send_redirects"), "0")?;
            }
        }
        for number in 0..usize::from(plan.service.real_servers) {
            let mut server = RealServer::new(&site.stage.lab, number)?;
            if number > 0 || scenario.begins_complete() {
                server.start(&site.stage.lab)?;
            }
            site.servers.push(server);
        }
        for server in site.servers.iter().skip(usize::from(!scenario.begins_complete())) {
            site.stage.wait("a real server does not start", START_LIMIT, |_| Ok(server.since().is_some()))?;
        }
        site.stage.begin()?;
        for router in &site.stage.lab.routers {
            site.tables.push(TableWatch::start(router)?);
        }
        let wanted = expected(plan, scenario.begins_complete());
        let Self { tables, stage, .. } = &mut site;
        stage.wait("the directors' tables are not complete", START_LIMIT, |_| {
            Ok(tables.iter().all(|table| table.lines() == wanted))
        })?;
        Ok(site)
    }

    /// The kernel tells the other director of connections every two seconds (`lvs_sync_daemon`).
    fn wait_until_backup_knows(&mut self, clients: &Clients) -> io::Result<()> {
        let namespace = self.stage.lab.routers[1].namespace.try_clone()?;
        self.stage.wait("the second director does not hear of connections", START_LIMIT, |_| {
            let text =
                namespace.run(|| std::fs::read_to_string("/proc/thread-self/net/ip_vs_conn_sync"))??;
            let known: BTreeSet<u16> = text.lines().filter_map(synchronised).collect();
            let held = clients.held();
            Ok(held.len() >= HELD && held.is_subset(&known))
        })
    }

    /// Does it, and waits until the directors have noticed; in vain is no error, the verdict will tell.
    fn strike(&mut self, scenario: Scenario, clients: &Clients) -> io::Result<()> {
        let lab = &self.stage.lab;
        match scenario {
            Scenario::Die => {
                self.servers[0].die();
                self.stage.mark("s1's process is killed");
            }
            Scenario::Hang => {
                self.servers[0].hang();
                self.stage.mark("s1's process is stopped: it accepts and does not answer");
            }
            Scenario::Wrong => {
                self.servers[0].answer("500")?;
                self.stage.mark("s1 answers with status 500");
            }
            Scenario::Return => {
                self.servers[0].start(lab)?;
                let server = &self.servers[0];
                self.stage.wait("s1 does not start", START_LIMIT, |_| Ok(server.since().is_some()))?;
                // The time that a program takes to start is none of the directors'.
                self.stage.disturbed = server.since().unwrap_or(self.stage.disturbed);
                self.stage.marks.push((self.stage.disturbed, "s1 serves".to_owned()));
            }
            Scenario::Drain => return self.drain(clients),
            Scenario::Director => {
                self.stage.mark("r1 dies: processes killed, cable cut");
                let processes = self.stage.lab.daemon(0)?.freeze()?;
                self.stage.lab.set_cable(0, false)?;
                self.stage.lab.daemon(0)?.kill(&processes)?;
                let limit = self.plan.routers.master_down(1) + DETECTION_LIMIT;
                return self.stage.wait_for_elections(1, limit);
            }
        }
        let limit = self.plan.service.bound(scenario).unwrap_or_default() + DETECTION_LIMIT;
        self.wait_for(limit, |site| {
            let noticed = |number| site.noticed(scenario, number).is_some();
            (0..site.tables.len()).all(noticed)
        })
    }

    fn drain(&mut self, clients: &Clients) -> io::Result<()> {
        let file = |suffix: &str| self.stage.lab.folder().path().join(format!("r1{suffix}"));
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["drain", &self.plan.routers.layout().real_server(0).to_string(), "--no-wait"]);
        command.arg("-r").arg(file(".vrrp.pid")).arg("-c").arg(file(".checkers.pid"));
        self.stage.mark("the operator orders it: alived drain");
        let output = command.stdin(Stdio::null()).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            self.stage.fail(format!("`alived drain` ended with {}: {said}", output.status));
        }
        self.wait_for(DETECTION_LIMIT, |site| site.noticed(Scenario::Drain, 0).is_some())?;
        // Those that have a connection stay.
        pause(AFTERWARDS)?;
        self.stage.mark("clients close their connections to s1");
        clients.leave(0);
        self.wait_for(DETECTION_LIMIT, |site| site.removed().is_some())
    }

    fn wait_for(&self, limit: Duration, condition: impl Fn(&Self) -> bool) -> io::Result<()> {
        let start = Instant::now();
        while !condition(self) && start.elapsed() < limit {
            pause(GLANCE)?;
        }
        Ok(())
    }

    /// When a director's table showed it.
    fn noticed(&self, scenario: Scenario, director: usize) -> Option<WallTime> {
        let real = self.real();
        self.tables[director].first(self.stage.disturbed, |lines| {
            let line = lines.iter().find(|line| line.contains(&real));
            let serves = line.is_some_and(|line| !line.ends_with(" -w 0"));
            serves == (scenario == Scenario::Return)
        })
    }

    /// When the first real server was out of the first director's table.
    fn removed(&self) -> Option<WallTime> {
        let real = self.real();
        self.tables[0].first(self.stage.disturbed, |lines| !lines.iter().any(|line| line.contains(&real)))
    }

    fn real(&self) -> String {
        format!("-r {}:{PORT} ", self.plan.routers.layout().real_server(0))
    }

    fn conclude(
        mut self,
        scenario: Scenario,
        clients: Clients,
        held: usize,
        kinds: Vec<Kind>,
    ) -> io::Result<Outcome> {
        let struck = self.stage.disturbed;
        let since = |time: WallTime| time.saturating_since(struck);
        let (detection, backup_detection, removal) = match scenario {
            Scenario::Director => {
                let elections = self.stage.measure(&ProbeRun::default()).elections;
                (
                    elections.first().filter(|first| first.router == 1).map(|first| since(first.time)),
                    None,
                    None,
                )
            }
            Scenario::Drain => (self.noticed(scenario, 0).map(since), None, self.removed().map(since)),
            _ => (self.noticed(scenario, 0).map(since), self.noticed(scenario, 1).map(since), None),
        };
        let bound = match scenario {
            Scenario::Director => Some(self.plan.routers.master_down(1)),
            _ => self.plan.service.bound(scenario),
        };
        let end = crate::sys::clock::wall();
        let requests = clients.finish();
        let stalled = self.tables.iter().map(|table| table.stalled(struck)).max().unwrap_or_default();
        let measures = measure(
            Measures { bound, detection, backup_detection, removal, held, stalled, ..Measures::default() },
            struck,
            &requests,
        );
        let tables = self.tables[scenario.director()].versions();
        let wanted = expected(self.plan, scenario.ends_complete());
        let mut failures = std::mem::take(&mut self.stage.failures);
        let table = tables.last().map_or(&[][..], |version| &version.lines);
        failures.extend(verdict::judge(scenario, struck, &measures, table, &wanted));
        let logs = if failures.is_empty() { Vec::new() } else { self.stage.logs() };
        Ok(Outcome {
            scenario,
            skipped: None,
            failures,
            measures,
            tables,
            real_servers: (0..self.servers.len())
                .map(|n| self.plan.routers.layout().real_server(n))
                .collect(),
            marks: std::mem::take(&mut self.stage.marks),
            requests: requests.into_iter().filter(|request| !request.held).collect(),
            window: (struck, end),
            kinds,
            logs,
        })
    }
}

/// The client's port in a line of `ip_vs_conn_sync`, of an established connection that the other director told of:
/// `TCP C6120064 D5A2 C61200FE 0050 C612000B 0050 ESTABLISHED SYNC        177`.
fn synchronised(line: &str) -> Option<u16> {
    let mut words = line.split_ascii_whitespace();
    let port = words.nth(2)?;
    let mut rest = words.skip(4);
    (rest.next()? == "ESTABLISHED" && rest.next()? == "SYNC").then_some(())?;
    u16::from_str_radix(port, 16).ok()
}

/// The lines of the kernel's table, with or without the first real server.
fn expected(plan: &DirectorPlan, complete: bool) -> Vec<String> {
    let layout = plan.routers.layout();
    let service = format!("-t {}:{PORT}", layout.gateway());
    let first = usize::from(!complete);
    let real = |number| format!("-a {service} -r {}:{PORT} -g -w 1", layout.real_server(number));
    let reals = (first..usize::from(plan.service.real_servers)).map(real);
    let mut lines: Vec<String> = [format!("-A {service} -s rr")].into_iter().chain(reals).collect();
    lines.sort();
    lines
}

/// Adds what the requests say.
fn measure(mut measures: Measures, struck: WallTime, requests: &[Request]) -> Measures {
    let detected = measures.detection.map(|time| struck + time);
    for request in requests {
        let server = request.server.unwrap_or(usize::MAX);
        match (&request.failure, request.held) {
            (Some(failure), false) if request.sent >= struck => {
                measures.failures.push((request.sent, failure.clone()))
            }
            (Some(_), true) if request.sent + request.time >= struck => {
                if let Some(broken) = measures.broken.get_mut(server) {
                    *broken += 1;
                }
            }
            // From before there was one master.
            (Some(_), _) => {}
            (None, held) => {
                let after = detected.is_some_and(|detected| request.sent > detected);
                if let Some(answered) = measures.answered_after.get_mut(server).filter(|_| after && !held) {
                    *answered += 1;
                }
                measures.slowest = measures.slowest.max(request.time.min(PATIENCE));
            }
        }
        measures.requests += usize::from(!request.held && request.sent >= struck);
    }
    measures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_of_synchronised_connections() {
        let line = |state: &str, origin: &str| {
            format!("TCP C6120064 D5A2 C61200FE 0050 C612000B 0050 {state:11} {origin:6}     177")
        };
        assert_eq!(synchronised(&line("ESTABLISHED", "SYNC")), Some(0xd5a2));
        assert_eq!(synchronised(&line("FIN_WAIT", "SYNC")), None);
        assert_eq!(synchronised(&line("ESTABLISHED", "LOCAL")), None);
        assert_eq!(
            synchronised("Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Origin Expires"),
            None
        );
    }

    #[test]
    fn requests_are_counted_by_their_beginning_and_their_connection() {
        let at = |ms: u64| WallTime::from_unix_micros(1_000_000 + ms * 1000);
        let request = |ms, held, server, failure: Option<&str>| Request {
            sent: at(ms),
            time: Duration::from_millis(3),
            held,
            server,
            failure: failure.map(str::to_owned),
        };
        let requests = [
            request(0, false, Some(1), None),
            request(90, false, None, Some("reset")),
            request(90, true, Some(2), Some("reset")),
            request(105, false, None, Some("refused")),
            request(106, true, Some(0), Some("reset")),
            request(110, true, Some(2), None),
            request(210, false, Some(2), None),
        ];
        let measures = Measures { detection: Some(Duration::from_millis(100)), ..Measures::default() };
        let measures = measure(measures, at(100), &requests);
        assert_eq!(measures.requests, 2);
        assert_eq!(measures.failures, [(at(105), "refused".to_owned())]);
        assert_eq!(measures.broken, [1, 0, 0]);
        assert_eq!(measures.answered_after, [0, 0, 1]);
        assert_eq!(measures.slowest, Duration::from_millis(3));
    }
}
