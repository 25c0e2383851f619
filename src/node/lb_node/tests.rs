//! The director and its checks together, by hand.

use core::num::NonZeroU16;

use super::*;
use crate::check::{
    Action, CheckAssignment, CheckerKind, Connection, Event, FileCheck, MiscCheck, Open, ProgramEnd, Timing,
};
use crate::kernel::Script;
use crate::kernel::ipvs::{DestinationSettings, ForwardingMethod, IpvsEntry, IpvsOperation, Protocol};
use crate::lvs::{Conduct, News, RealServer, RealServerKey};
use crate::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn web(last: u8, real_servers: u8) -> VirtualServer {
    let target = |bytes: [u8; 4]| HostPort { address: bytes.into(), port: NonZeroU16::new(80) };
    let mut server = VirtualServer::new(Service::Address(target([192, 0, 2, last]), Protocol::Tcp));
    let real = |number| RealServer {
        target: target([10, 0, 0, number]),
        weight: 1,
        method: ForwardingMethod::Nat,
        inhibit_on_failure: false,
        smtp_alert: None,
        details: None,
    };
    server.real_servers = (1..=real_servers).map(real).collect();
    server
}

fn timing() -> Timing {
    Timing {
        delay_loop: 10 * SECOND,
        retry: 1,
        delay_before_retry: SECOND,
        warmup: SECOND,
        alpha: false,
        log_all_failures: None,
    }
}

fn checker(kind: CheckerKind) -> Arc<Checker> {
    Arc::new(Checker { timing: timing(), kind })
}

/// All real servers have this check.
fn balancer(virtual_servers: Vec<VirtualServer>, checker: &Arc<Checker>) -> BalancerConfig {
    let mut checks = Vec::new();
    for (at, server) in virtual_servers.iter().enumerate() {
        for real_at in 0..server.real_servers.len() {
            let server = RealServerKey { virtual_server: at as u32, real_server: real_at as u32 };
            checks.push(CheckAssignment { server, checker: Arc::clone(checker) });
        }
    }
    BalancerConfig { virtual_servers, checks, ..BalancerConfig::default() }
}

struct Desk {
    node: LbNode,
    now: Instant,
    open: Vec<(Attempt, Open)>,
    /// Number of changes written since they were last looked at, and the last weights.
    written: Vec<IpvsOperation>,
    news: Vec<News>,
}

impl Desk {
    fn new(config: &BalancerConfig) -> Self {
        let now = Instant::from_micros(5_000_000);
        let mut actions = LbActions::default();
        let node = LbNode::begin(now, 7, config, Conduct::default(), &Beginning::default(), &mut actions);
        let mut desk = Self { node, now, open: Vec::new(), written: Vec::new(), news: Vec::new() };
        desk.take(actions);
        desk
    }

    fn take(&mut self, mut actions: LbActions) {
        loop {
            for (attempt, action) in actions.io.drain(..) {
                match action {
                    Action::Open(open) => self.open.push((attempt, open)),
                    Action::Close => self.open.retain(|(open, _)| *open != attempt),
                    Action::Send(_) => {}
                }
            }
            self.news.append(&mut actions.director.news);
            assert!(actions.director.checks.is_empty());
            if actions.director.kernel.is_empty() {
                return;
            }
            let answers = actions.director.kernel.iter().map(|_| Ok(())).collect();
            self.written.append(&mut actions.director.kernel);
            actions = LbActions::default();
            self.node.handle(self.now, lvs::Event::Answers(answers), &mut actions);
        }
    }

    /// Lets time pass; all tries that begin end like this at once.
    fn pass(&mut self, seconds: u64, end: &Event<'_>) -> usize {
        let until = self.now + Duration::from_secs(seconds);
        let mut tries = 0;
        while let Some(at) = self.node.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            let mut actions = LbActions::default();
            self.node.handle_timeout(self.now, &mut actions);
            self.take(actions);
            for (attempt, _) in self.open.clone() {
                tries += 1;
                let mut actions = LbActions::default();
                self.node.handle_check(self.now, attempt, end, &mut actions);
                self.take(actions);
            }
        }
        self.now = until;
        tries
    }

    fn written(&mut self) -> Vec<String> {
        let line = |operation: IpvsOperation| match operation {
            IpvsOperation::Add(IpvsEntry::Destination(
                service,
                target,
                DestinationSettings { weight, .. },
            ))
            | IpvsOperation::Edit(IpvsEntry::Destination(
                service,
                target,
                DestinationSettings { weight, .. },
            )) => {
                format!("{service} {target} {weight}")
            }
            IpvsOperation::Add(entry) | IpvsOperation::Edit(entry) => format!("{}", entry.key().service),
            IpvsOperation::Remove(key) => format!("no {key}"),
        };
        self.written.drain(..).map(line).collect()
    }
}

const CONNECTED: Event<'_> = Event::Connected { certificate_expires: None };

fn failed() -> Event<'static> {
    Event::Failed("refused".into())
}

#[test]
fn one_probe_decides_for_all_virtual_servers() {
    let tcp = checker(CheckerKind::Tcp(Connection::default()));
    let config = balancer(vec![web(1, 2), web(2, 1)], &tcp);
    let mut desk = Desk::new(&config);
    assert_eq!(desk.written().len(), 5);
    // Two real servers, of which one is in both; each is tried every ten seconds.
    assert_eq!(desk.pass(20, &CONNECTED), 4);
    assert_eq!(desk.written(), [""; 0]);
    desk.pass(20, &failed());
    let mut written = desk.written();
    written.sort();
    assert_eq!(
        written,
        [
            "no the real server [10.0.0.1]:80 of TCP [192.0.2.1]:80",
            "no the real server [10.0.0.1]:80 of TCP [192.0.2.2]:80",
            "no the real server [10.0.0.2]:80 of TCP [192.0.2.1]:80",
        ]
    );
    let reasons: Vec<_> = desk
        .news
        .iter()
        .filter_map(|news| match news {
            News::RealServer { up: false, reason, .. } => Some(&**reason),
            _ => None,
        })
        .collect();
    assert_eq!(reasons.len(), 3);
    assert!(reasons.iter().all(|reason| reason.contains("refused")), "{reasons:?}");
    desk.pass(20, &CONNECTED);
    assert_eq!(desk.written().len(), 3);
}

#[test]
fn a_reload_keeps_results_and_an_identical_one_does_nothing() {
    let tcp = checker(CheckerKind::Tcp(Connection::default()));
    let config = balancer(vec![web(1, 2), web(2, 1)], &tcp);
    let mut desk = Desk::new(&config);
    desk.pass(20, &failed());
    desk.written();
    assert_eq!(desk.node.plan(&config, Conduct::default()), []);
    let mut actions = LbActions::default();
    desk.node.apply(desk.now, &config, Conduct::default(), &mut actions);
    assert!(actions.io.is_empty() && actions.director.kernel.is_empty() && actions.outcomes.is_empty());
    // Other times of the same checks: what has failed stays failed.
    let slower = Checker { timing: Timing { delay_loop: 30 * SECOND, ..timing() }, kind: tcp.kind.clone() };
    let next = balancer(vec![web(1, 2), web(2, 1)], &Arc::new(slower));
    let mut actions = LbActions::default();
    desk.node.apply(desk.now, &next, Conduct::default(), &mut actions);
    desk.take(actions);
    assert_eq!(desk.written(), [""; 0]);
    desk.pass(40, &CONNECTED);
    assert_eq!(desk.written().len(), 3);
}

#[test]
fn a_program_sets_the_weight() {
    let program =
        MiscCheck { script: Arc::new(Script::new(c"/bin/true".into())), timeout: SECOND, dynamic: true };
    let mut desk = Desk::new(&balancer(vec![web(1, 1)], &checker(CheckerKind::Misc(Box::new(program)))));
    desk.written();
    desk.pass(10, &Event::Ended(ProgramEnd::Exited(9)));
    assert_eq!(desk.written(), ["TCP [192.0.2.1]:80 [10.0.0.1]:80 7"]);
    desk.pass(10, &Event::Ended(ProgramEnd::Exited(0)));
    assert_eq!(desk.written(), ["TCP [192.0.2.1]:80 [10.0.0.1]:80 1"]);
}

#[test]
fn a_file_adds_to_the_weight() {
    let tracker: Arc<str> = "load".into();
    let file = FileCheck { tracker: Arc::clone(&tracker), weight: -2, reverse: false };
    let mut server = web(1, 1);
    server.real_servers[0].weight = 10;
    let mut desk = Desk::new(&balancer(vec![server], &checker(CheckerKind::File(file))));
    desk.written();
    for (number, weight) in [(3, 4), (4, 2), (0, 10)] {
        let mut actions = LbActions::default();
        desk.node.file(desk.now, &tracker, Some(number), &mut actions);
        desk.take(actions);
        assert_eq!(desk.written(), [format!("TCP [192.0.2.1]:80 [10.0.0.1]:80 {weight}")]);
    }
}

#[test]
fn nothing_is_tried_while_the_address_is_elsewhere_nor_after_the_end() {
    let tcp = checker(CheckerKind::Tcp(Connection::default()));
    let mut server = web(1, 1);
    server.ha_suspend = true;
    let mut desk = Desk::new(&balancer(vec![server], &tcp));
    desk.written();
    assert_eq!(desk.pass(30, &failed()), 0);
    let mut actions = LbActions::default();
    let event = lvs::Event::Address { address: [192, 0, 2, 1].into(), present: true };
    desk.node.handle(desk.now, event, &mut actions);
    desk.take(actions);
    assert!(desk.pass(30, &failed()) > 0);
    assert_eq!(desk.written(), ["no the real server [10.0.0.1]:80 of TCP [192.0.2.1]:80"]);
    let mut actions = LbActions::default();
    desk.node.stop(desk.now, Ending::Remove, &mut actions);
    desk.take(actions);
    assert_eq!(desk.written(), ["no the virtual server TCP [192.0.2.1]:80"]);
    assert_eq!(desk.pass(60, &failed()), 0);
    assert!(desk.open.is_empty());
}
