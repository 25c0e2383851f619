//! The director with a kernel that does what it is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::action::{
    Actions, Advice, Beginning, CheckId, CheckedServer, Conduct, DirectorConfig, Ending, Event, News, Verdict,
};
use super::config::{
    Quorum, RealServer, RealServerDetails, Service, SorryServer, VirtualServer, VirtualServerGroup,
};
use super::director::Director;
use super::reload::Planned;
use super::{GroupMember, OrderedServer, QuorumNotifications};
use crate::kernel::KernelError;
use crate::kernel::ipvs::{
    Connections, DestinationSettings, FirewallMark, ForwardingMethod, HeldDestination, HeldService, HostPort,
    IpvsEntry, IpvsKey, IpvsOperation, IpvsRefusal, IpvsTable, Persistence, PersistenceGranularity, Protocol,
    Scheduler, ServiceKey, Tunnel,
};
use crate::net::Family;
use crate::time::{Duration, Instant};

pub(super) fn target(address: &str, port: u16) -> HostPort {
    HostPort { address: address.parse().unwrap(), port: port.try_into().ok() }
}

pub(super) fn real(address: &str, port: u16) -> RealServer {
    RealServer {
        target: target(address, port),
        weight: 1,
        method: ForwardingMethod::Nat,
        inhibit_on_failure: false,
        smtp_alert: None,
        details: None,
    }
}

/// TCP port 80 of an address, with real servers 10.0.0.1, 10.0.0.2 …
pub(super) fn web(address: &str, real_servers: u8) -> VirtualServer {
    let mut server = VirtualServer::new(Service::Address(target(address, 80), Protocol::Tcp));
    server.real_servers = (1..=real_servers).map(|number| real(&format!("10.0.0.{number}"), 80)).collect();
    server
}

pub(super) fn quorum(server: &mut VirtualServer, weight: u32, hysteresis: u32) {
    server.quorum = Quorum::new(weight.try_into().unwrap(), hysteresis).unwrap();
}

/// Each real server has a check of its own, numbered by the last number of its address.
pub(super) fn checked(virtual_servers: Vec<VirtualServer>) -> DirectorConfig {
    let mut checks = Vec::new();
    for (at, server) in virtual_servers.iter().enumerate() {
        for (real_at, real) in server.real_servers.iter().enumerate() {
            let last = real.target.address.to_string();
            let check = last.rsplit(['.', ':']).next().unwrap().parse().unwrap();
            checks.push(CheckedServer {
                virtual_server: at as u32,
                real_server: real_at as u32,
                check: CheckId(check),
                alpha: server.alpha,
            });
        }
    }
    DirectorConfig { virtual_servers, checks, ..DirectorConfig::default() }
}

/// Does to a table what the kernel does.
pub(super) fn carry_out(
    table: &mut BTreeMap<IpvsKey, IpvsEntry>,
    operation: &IpvsOperation,
) -> Result<(), IpvsRefusal> {
    let key = operation.key();
    let service = IpvsKey { destination: None, ..key };
    match operation {
        IpvsOperation::Add(entry) | IpvsOperation::Edit(entry) => {
            if key.destination.is_some() && !table.contains_key(&service) {
                return Err(IpvsRefusal {
                    verb: "add",
                    key,
                    error: KernelError { errno: 3, message: "no service".into() },
                });
            }
            table.insert(key, entry.clone());
        }
        IpvsOperation::Remove(_) if key.destination.is_none() => {
            table.retain(|other, _| other.service != key.service)
        }
        IpvsOperation::Remove(_) => _ = table.remove(&key),
    }
    Ok(())
}

/// The table as it is read; with established and other connections of destinations.
pub(super) fn read(
    table: &BTreeMap<IpvsKey, IpvsEntry>,
    connections: &BTreeMap<IpvsKey, (u32, u32)>,
) -> IpvsTable {
    let mut read = IpvsTable::default();
    for entry in table.values().cloned() {
        match entry {
            IpvsEntry::Service(key, settings) => {
                read.services.push(HeldService {
                    key,
                    settings: Some(settings),
                    statistics: Default::default(),
                });
            }
            IpvsEntry::Destination(service, target, settings) => {
                let key = IpvsKey { service, destination: Some(target) };
                let (active, inactive) = connections.get(&key).copied().unwrap_or_default();
                read.destinations.push(HeldDestination {
                    service,
                    target,
                    settings: Some(settings),
                    connections: Connections { active, inactive, persistent: 0 },
                    statistics: Default::default(),
                });
            }
        }
    }
    read
}

/// As `ipvsadm` says it, without what is as always.
fn line(entry: &IpvsEntry) -> String {
    match entry {
        IpvsEntry::Service(key, _) => key.to_string(),
        IpvsEntry::Destination(_, target, settings) => format!("  {target} {}", settings.weight),
    }
}

fn told(news: &News) -> String {
    match news {
        News::RealServer { service, target, up, script, .. } => {
            let script = script.as_ref().map_or("", |_| " with script");
            format!("{service} {target} {}{script}", if *up { "up" } else { "down" })
        }
        News::Weight { target, from, to, .. } => format!("{target} weight {from} -> {to}"),
        News::Quorum { service, up, live, needed, .. } => {
            format!("{service} quorum {} {live}/{needed}", if *up { "up" } else { "down" })
        }
        News::Order { target, what, .. } => format!("{target} {what:?}"),
        News::Leaving { key, .. } => format!("{key} leaves"),
        News::Left { key, cut, .. } => format!("{key} left, {cut} cut"),
        News::Suspended { service, suspended } => format!("{service} suspended {suspended}"),
        News::Repaired { key, .. } => format!("repaired {key}"),
        News::Refused(refusal) => refusal.to_string(),
        News::AlreadyServed { service, key } => format!("{service} without {key}"),
        News::LeftOver(count) => format!("{count} left over"),
    }
}

pub(super) struct Desk {
    pub(super) director: Director,
    pub(super) kernel: BTreeMap<IpvsKey, IpvsEntry>,
    /// Established and other ones.
    pub(super) connections: BTreeMap<IpvsKey, (u32, u32)>,
    pub(super) record: BTreeSet<ServiceKey>,
    pub(super) orders: Vec<OrderedServer>,
    pub(super) now: Instant,
    /// Since they were last looked at.
    news: Vec<String>,
    pub(super) written: usize,
    switched: Vec<(u32, bool)>,
    refuse: bool,
    stopped: bool,
}

impl Desk {
    pub(super) fn new(config: DirectorConfig) -> Self {
        Self::with(config, BTreeMap::new(), Beginning::default())
    }

    pub(super) fn with(
        config: DirectorConfig,
        kernel: BTreeMap<IpvsKey, IpvsEntry>,
        beginning: Beginning,
    ) -> Self {
        let mut desk = Self {
            director: Director::default(),
            connections: BTreeMap::new(),
            record: beginning.recorded.clone(),
            orders: beginning.orders.clone(),
            now: Instant::ZERO + Duration::from_secs(1000),
            news: Vec::new(),
            written: 0,
            switched: Vec::new(),
            refuse: false,
            stopped: false,
            kernel,
        };
        let beginning = Beginning { table: read(&desk.kernel, &desk.connections), ..beginning };
        let mut actions = Actions::default();
        desk.director = Director::begin(desk.now, config, &beginning, &mut actions);
        desk.act(actions);
        desk
    }

    /// Carries out, answers, and so on until nothing more is asked for.
    pub(super) fn act(&mut self, mut actions: Actions) {
        loop {
            self.record = actions.record.take().unwrap_or_else(|| self.record.clone());
            self.orders = actions.orders.take().unwrap_or_else(|| self.orders.clone());
            if actions.flush {
                self.kernel.clear();
            }
            self.news.extend(actions.news.iter().map(told));
            self.switched.extend(actions.checks.iter().map(|switch| (switch.check.0, switch.active)));
            self.stopped |= actions.stopped;
            self.written += actions.kernel.len();
            let mut next = Actions::default();
            if !actions.kernel.is_empty() {
                let refuse = |operation: &IpvsOperation| {
                    let error = KernelError { errno: 1, message: "not permitted".into() };
                    Err(IpvsRefusal { verb: "change", key: operation.key(), error })
                };
                let answers = actions.kernel.iter().map(|operation| {
                    if self.refuse { refuse(operation) } else { carry_out(&mut self.kernel, operation) }
                });
                let answers = answers.collect();
                self.director.handle(self.now, Event::Answers(answers), &mut next);
            }
            if actions.read_table {
                let event = Event::Table {
                    table: read(&self.kernel, &self.connections),
                    took: Duration::from_millis(1),
                };
                self.director.handle(self.now, event, &mut next);
            }
            let is_over = next.kernel.is_empty()
                && !next.read_table
                && next.news.is_empty()
                && next.orders.is_none()
                && !next.stopped;
            actions = next;
            if is_over {
                self.record = actions.record.take().unwrap_or_else(|| self.record.clone());
                return;
            }
        }
    }

    pub(super) fn check(&mut self, check: u32, verdict: Verdict) {
        let mut actions = Actions::default();
        let event = Event::Check { check: CheckId(check), verdict, reason: "test".into() };
        self.director.handle(self.now, event, &mut actions);
        self.act(actions);
    }

    pub(super) fn up(&mut self, checks: &[u32]) {
        checks.iter().for_each(|check| self.check(*check, Verdict::Up(Advice::Keep)));
    }

    pub(super) fn down(&mut self, checks: &[u32]) {
        checks.iter().for_each(|check| self.check(*check, Verdict::Down));
    }

    pub(super) fn apply(&mut self, config: DirectorConfig) -> usize {
        let before = self.written;
        let mut actions = Actions::default();
        self.director.apply(self.now, config, &mut actions);
        self.act(actions);
        self.written - before
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some(at) = self.director.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let mut actions = Actions::default();
            self.director.handle_timeout(self.now, &mut actions);
            self.act(actions);
        }
        self.now = end;
    }

    pub(super) fn address(&mut self, address: &str, present: bool) {
        let mut actions = Actions::default();
        let event = Event::Address { address: address.parse().unwrap(), present };
        self.director.handle(self.now, event, &mut actions);
        self.act(actions);
    }

    pub(super) fn stop(&mut self, ending: Ending) {
        let mut actions = Actions::default();
        self.director.stop(self.now, ending, &mut actions);
        self.act(actions);
    }

    pub(super) fn table(&self) -> Vec<String> {
        self.kernel.values().map(line).collect()
    }

    /// The destinations of the first service.
    pub(super) fn destinations(&self) -> Vec<String> {
        let first = self.kernel.keys().next().map(|key| key.service);
        let of_first = self.kernel.values().filter(|entry| Some(entry.key().service) == first);
        of_first.skip(1).map(|entry| line(entry).trim().to_owned()).collect()
    }

    pub(super) fn news(&mut self) -> Vec<String> {
        core::mem::take(&mut self.news)
    }
}

#[test]
fn all_real_servers_serve_until_a_check_fails() {
    let mut desk = Desk::new(checked(vec![web("192.0.2.1", 2)]));
    assert_eq!(desk.table(), ["TCP [192.0.2.1]:80", "  [10.0.0.1]:80 1", "  [10.0.0.2]:80 1"]);
    assert_eq!(desk.news(), ["[192.0.2.1]:tcp:80 quorum up 2/1"]);
    assert_eq!(desk.record, BTreeSet::from([ServiceKey::Address(target("192.0.2.1", 80), Protocol::Tcp)]));
    desk.down(&[1]);
    assert_eq!(desk.destinations(), ["[10.0.0.2]:80 1"]);
    desk.down(&[1, 2]);
    assert_eq!(desk.destinations(), [""; 0]);
    desk.up(&[2]);
    assert_eq!(
        desk.news(),
        [
            "[192.0.2.1]:tcp:80 [10.0.0.1]:80 down",
            "[192.0.2.1]:tcp:80 [10.0.0.2]:80 down",
            "[192.0.2.1]:tcp:80 quorum down 0/1",
            "[192.0.2.1]:tcp:80 [10.0.0.2]:80 up",
            "[192.0.2.1]:tcp:80 quorum up 1/1",
        ]
    );
    assert_eq!(desk.destinations(), ["[10.0.0.2]:80 1"]);
}

#[test]
fn a_real_server_is_up_while_all_its_checks_are() {
    let mut config = checked(vec![web("192.0.2.1", 1)]);
    config.checks.push(CheckedServer { check: CheckId(9), ..config.checks[0] });
    let mut desk = Desk::new(config);
    desk.news();
    desk.down(&[1, 9]);
    desk.up(&[1]);
    assert_eq!(desk.destinations(), [""; 0]);
    desk.up(&[9]);
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 1"]);
    assert_eq!(desk.news().len(), 4);
}

#[test]
fn checks_add_to_the_weight() {
    let mut server = web("192.0.2.1", 1);
    server.real_servers[0].weight = 5;
    let mut desk = Desk::new(checked(vec![server]));
    desk.news();
    for (contribution, weight) in [(3, 8), (-2, 3), (-9, 0), (i64::MAX, 2_147_483_647), (0, 5)] {
        desk.check(1, Verdict::Up(Advice::Add(contribution)));
        assert_eq!(desk.destinations(), [format!("[10.0.0.1]:80 {weight}")]);
    }
    let news = desk.news();
    assert!(news.contains(&"[10.0.0.1]:80 weight 5 -> 8".to_owned()), "{news:?}");
    // Alive with weight 0 is no quorum.
    assert!(news.contains(&"[192.0.2.1]:tcp:80 quorum down 0/1".to_owned()), "{news:?}");
    // A reload takes it along.
    desk.check(1, Verdict::Up(Advice::Set(9)));
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 9"]);
    let mut next = desk.director.config.clone();
    next.virtual_servers[0].real_servers[0].weight = 6;
    desk.apply(next);
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 9"]);
    desk.check(1, Verdict::Up(Advice::Add(2)));
    desk.check(1, Verdict::Down);
    desk.check(1, Verdict::Up(Advice::Add(2)));
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 8"]);
}

#[test]
fn a_quorum_is_gained_above_and_lost_below_its_hysteresis() {
    let mut server = web("192.0.2.1", 4);
    quorum(&mut server, 3, 1);
    server.alpha = true;
    let mut desk = Desk::new(checked(vec![server]));
    assert_eq!(desk.news(), [""; 0]);
    desk.up(&[1, 2, 3]);
    assert!(!desk.news().iter().any(|line| line.contains("quorum")));
    desk.up(&[4]);
    assert!(desk.news().contains(&"[192.0.2.1]:tcp:80 quorum up 4/4".to_owned()));
    desk.down(&[1, 2]);
    assert!(!desk.news().iter().any(|line| line.contains("quorum")));
    desk.down(&[3]);
    assert!(desk.news().contains(&"[192.0.2.1]:tcp:80 quorum down 1/2".to_owned()));
    // Without a sorry server, who lives serves.
    assert_eq!(desk.destinations(), ["[10.0.0.4]:80 1"]);
}

#[test]
fn a_sorry_server_stands_in_while_the_quorum_is_lost() {
    for inhibit in [false, true] {
        let mut server = web("192.0.2.1", 3);
        quorum(&mut server, 2, 0);
        let sorry = target("10.0.0.9", 80);
        server.sorry_server = Some(SorryServer { target: sorry, method: ForwardingMethod::Nat, inhibit });
        server.real_servers[2].inhibit_on_failure = true;
        let mut desk = Desk::new(checked(vec![server]));
        let idle: &[&str] = if inhibit { &["[10.0.0.9]:80 0"] } else { &[] };
        assert_eq!(
            desk.destinations(),
            [&["[10.0.0.1]:80 1", "[10.0.0.2]:80 1", "[10.0.0.3]:80 1"], idle].concat()
        );
        desk.down(&[3]);
        assert_eq!(
            desk.destinations(),
            [&["[10.0.0.1]:80 1", "[10.0.0.2]:80 1", "[10.0.0.3]:80 0"], idle].concat()
        );
        desk.down(&[1]);
        assert_eq!(desk.destinations(), ["[10.0.0.3]:80 0", "[10.0.0.9]:80 1"]);
        desk.up(&[1]);
        assert_eq!(
            desk.destinations(),
            [&["[10.0.0.1]:80 1", "[10.0.0.2]:80 1", "[10.0.0.3]:80 0"], idle].concat()
        );
    }
}

#[test]
fn a_sorry_server_may_be_a_real_server_too() {
    let mut server = web("192.0.2.1", 2);
    let sorry = target("10.0.0.2", 80);
    server.sorry_server = Some(SorryServer { target: sorry, method: ForwardingMethod::Nat, inhibit: true });
    server.real_servers[1].inhibit_on_failure = true;
    server.real_servers[1].weight = 7;
    let mut desk = Desk::new(checked(vec![server]));
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 1", "[10.0.0.2]:80 7"]);
    desk.down(&[2]);
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 1", "[10.0.0.2]:80 0"]);
    desk.down(&[1]);
    assert_eq!(desk.destinations(), ["[10.0.0.2]:80 1"]);
}

#[test]
fn with_alpha_nothing_serves_before_its_first_success() {
    let mut server = web("192.0.2.1", 2);
    server.alpha = true;
    server.real_servers[1].inhibit_on_failure = true;
    server.sorry_server =
        Some(SorryServer { target: target("10.0.0.9", 80), method: ForwardingMethod::Nat, inhibit: false });
    let mut desk = Desk::new(checked(vec![server]));
    assert_eq!(desk.destinations(), ["[10.0.0.2]:80 0", "[10.0.0.9]:80 1"]);
    assert_eq!(desk.news(), ["[192.0.2.1]:tcp:80 quorum down 0/1"]);
    // A first failure is news, too.
    desk.down(&[1, 1]);
    assert_eq!(desk.news(), ["[192.0.2.1]:tcp:80 [10.0.0.1]:80 down"]);
    desk.up(&[2]);
    assert_eq!(desk.destinations(), ["[10.0.0.2]:80 1"]);
    assert_eq!(desk.news(), ["[192.0.2.1]:tcp:80 [10.0.0.2]:80 up", "[192.0.2.1]:tcp:80 quorum up 1/1"]);
}

#[test]
fn initial_states_are_told_on_request() {
    for wanted in [false, true] {
        let config = DirectorConfig {
            conduct: Conduct { rs_init_notifies: wanted, ..Conduct::default() },
            ..checked(vec![web("192.0.2.1", 2)])
        };
        let mut desk = Desk::new(config);
        desk.news();
        desk.up(&[1, 1]);
        desk.down(&[2, 2]);
        let up = wanted.then_some("[192.0.2.1]:tcp:80 [10.0.0.1]:80 up");
        assert_eq!(
            desk.news(),
            up.into_iter().chain(["[192.0.2.1]:tcp:80 [10.0.0.2]:80 down"]).collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_group_is_served_by_each_of_its_members() {
    let mut server = web("192.0.2.1", 1);
    server.service = Service::Group("all".into(), Protocol::Udp);
    server.real_servers = vec![
        real("10.0.0.1", 0),
        RealServer { method: ForwardingMethod::DirectRouting, ..real("10.0.0.2", 99) },
        RealServer { method: ForwardingMethod::Tunnel(Tunnel::Ipip), ..real("2001:db8::3", 53) },
        real("10.0.0.4", 5353),
    ];
    server.persistence = Some(Persistence {
        timeout_s: 50.try_into().unwrap(),
        granularity: Some(PersistenceGranularity::Ipv4([255, 255, 255, 0].into())),
        engine: None,
    });
    let mark = FirewallMark { mark: 7.try_into().unwrap(), family: Family::Ipv6 };
    let group = VirtualServerGroup {
        name: "all".into(),
        members: vec![
            GroupMember::Addresses { first: target("192.0.2.255", 53), further: 1 },
            GroupMember::FirewallMark(mark),
        ],
    };
    let config = DirectorConfig { groups: vec![group], ..checked(vec![server]) };
    let mut desk = Desk::new(config);
    assert_eq!(
        desk.table(),
        [
            "UDP [192.0.2.255]:53",
            "  [10.0.0.1]:53 1",
            "  [10.0.0.2]:53 1",
            "  [10.0.0.4]:5353 1",
            "  [2001:db8::3]:53 1",
            "UDP [192.0.3.0]:53",
            "  [10.0.0.1]:53 1",
            "  [10.0.0.2]:53 1",
            "  [10.0.0.4]:5353 1",
            "  [2001:db8::3]:53 1",
            "FWM6 7",
            "  [2001:db8::3]:0 1",
        ]
    );
    let granularities = desk.kernel.values().filter_map(|entry| match entry {
        IpvsEntry::Service(key, settings) => {
            Some((key.family(), settings.persistence.clone().unwrap().granularity))
        }
        IpvsEntry::Destination(..) => None,
    });
    let granularities: Vec<_> = granularities.collect();
    assert_eq!(granularities.len(), 3);
    assert!(
        granularities.iter().all(|(family, granularity)| granularity.is_some() == (*family == Family::Ipv4))
    );
    // One real server, three services.
    desk.down(&[3]);
    assert_eq!(desk.table().len(), 9);
    assert_eq!(desk.news().len(), 2);
}

#[test]
fn what_somebody_removes_or_changes_is_put_right_within_a_tenth_of_a_second() {
    let mut desk = Desk::new(checked(vec![web("192.0.2.1", 2)]));
    let wanted = desk.kernel.clone();
    desk.news();
    let real = *wanted.keys().nth(1).unwrap();
    let service = real.service;
    desk.pass(500);
    assert_eq!((desk.news(), desk.written), (vec![], 3));
    // An entry is removed, another one changed, and all is removed.
    desk.kernel.remove(&real);
    desk.pass(100);
    assert_eq!((&desk.kernel, desk.written), (&wanted, 4));
    assert_eq!(desk.news(), ["repaired the real server [10.0.0.1]:80 of TCP [192.0.2.1]:80"]);
    let other = IpvsKey { destination: Some(target("10.0.0.2", 80)), service };
    let changed = DestinationSettings { weight: 9, ..DestinationSettings::default() };
    desk.kernel.insert(other, IpvsEntry::Destination(service, target("10.0.0.2", 80), changed));
    desk.pass(100);
    assert_eq!((&desk.kernel, desk.written), (&wanted, 5));
    assert_eq!(desk.news().len(), 1);
    // Again and again: after a second at most.
    for _ in 0..5 {
        desk.kernel.clear();
        desk.pass(1_150);
        assert_eq!(desk.kernel, wanted);
    }
    // What is not ours is left alone.
    let foreign = IpvsKey { destination: Some(target("10.0.0.77", 80)), service };
    desk.kernel.insert(foreign, IpvsEntry::Destination(service, target("10.0.0.77", 80), changed));
    desk.pass(5_000);
    assert!(desk.kernel.contains_key(&foreign));
    assert_eq!(desk.director.held(), (3, 0));
}

#[test]
fn what_is_refused_is_told_and_tried_again() {
    let mut desk = Desk::new(checked(vec![web("192.0.2.1", 1)]));
    desk.down(&[1]);
    desk.news();
    desk.refuse = true;
    desk.up(&[1]);
    assert!(desk.news().iter().any(|line| line.contains("not permitted")));
    assert_eq!(desk.destinations(), [""; 0]);
    desk.refuse = false;
    desk.pass(2_000);
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 1"]);
}

#[test]
fn an_identical_configuration_changes_nothing() {
    let config = checked(vec![web("192.0.2.1", 3), web("192.0.2.2", 2)]);
    let mut desk = Desk::new(config.clone());
    desk.down(&[1]);
    desk.news();
    assert_eq!(desk.director.plan(&config), []);
    let mut actions = Actions::default();
    desk.director.apply(desk.now, config, &mut actions);
    assert!(actions.kernel.is_empty() && actions.news.is_empty() && actions.checks.is_empty());
    assert!(actions.record.is_none() && !actions.read_table && !actions.stopped);
}

#[test]
fn a_reload_writes_what_changed_and_keeps_what_is_known() {
    let config = checked(vec![web("192.0.2.1", 3), web("192.0.2.2", 2), web("192.0.2.3", 2)]);
    let mut desk = Desk::new(config.clone());
    desk.down(&[1]);
    desk.news();
    let mut next = config.clone();
    next.virtual_servers[0].real_servers[1].weight = 4;
    let first = next.virtual_servers[0].service.clone();
    assert_eq!(desk.director.plan(&next), [(first.clone(), Planned::Changed)]);
    assert_eq!(desk.apply(next.clone()), 1);
    assert_eq!(desk.destinations(), ["[10.0.0.2]:80 4", "[10.0.0.3]:80 1"]);
    // The scheduler of a virtual server alone.
    next.virtual_servers[1].scheduler = Scheduler::SourceHash;
    assert_eq!(desk.apply(next.clone()), 1);
    // Another real server, and one less. The failed one stays failed.
    let mut next = checked(vec![web("192.0.2.1", 4), web("192.0.2.2", 1)]);
    next.virtual_servers[0].real_servers.remove(2);
    next.checks.retain(|checked| checked.virtual_server != 0 || checked.real_server < 3);
    let gone = config.virtual_servers[2].service.clone();
    let second = config.virtual_servers[1].service.clone();
    assert_eq!(
        desk.director.plan(&next),
        [(gone, Planned::Removed), (first, Planned::Changed), (second, Planned::Changed)]
    );
    let before = desk.kernel.clone();
    desk.apply(next);
    assert_eq!(
        desk.table(),
        ["TCP [192.0.2.1]:80", "  [10.0.0.2]:80 1", "  [10.0.0.4]:80 1", "TCP [192.0.2.2]:80"]
    );
    assert!(before.len() > 4);
    assert_eq!(desk.record.len(), 2);
}

#[test]
fn a_service_that_moves_to_another_virtual_server_is_not_removed_meanwhile() {
    let single = checked(vec![web("192.0.2.1", 2)]);
    let mut desk = Desk::new(single.clone());
    let mut grouped = web("192.0.2.1", 2);
    grouped.service = Service::Group("all".into(), Protocol::Tcp);
    grouped.real_servers.remove(0);
    let members = vec![GroupMember::Addresses { first: target("192.0.2.1", 80), further: 1 }];
    let group = VirtualServerGroup { name: "all".into(), members };
    let mut next = DirectorConfig { groups: vec![group], ..checked(vec![grouped]) };
    // The real server that goes, and the second service with its own.
    assert_eq!(desk.apply(next.clone()), 3);
    assert_eq!(
        desk.table(),
        ["TCP [192.0.2.1]:80", "  [10.0.0.2]:80 1", "TCP [192.0.2.2]:80", "  [10.0.0.2]:80 1"]
    );
    // Both at once: the first in the file has it.
    desk.news();
    next.virtual_servers.insert(0, web("192.0.2.1", 1));
    next.checks.iter_mut().for_each(|checked| checked.virtual_server = 1);
    assert_eq!(desk.apply(next), 2);
    assert_eq!(
        desk.table(),
        ["TCP [192.0.2.1]:80", "  [10.0.0.1]:80 1", "TCP [192.0.2.2]:80", "  [10.0.0.2]:80 1"]
    );
    assert!(desk.news().contains(&"all without TCP [192.0.2.1]:80".to_owned()));
}

#[test]
fn a_restart_takes_over_what_is_there() {
    let mut server = web("192.0.2.1", 3);
    server.real_servers[1].inhibit_on_failure = true;
    server.real_servers[2].weight = 3;
    let config = checked(vec![server]);
    let mut desk = Desk::new(config.clone());
    desk.down(&[1, 2]);
    desk.check(3, Verdict::Up(Advice::Add(6)));
    let (kernel, recorded) = (desk.kernel.clone(), desk.record.clone());
    let beginning =
        Beginning { recorded: recorded.clone(), same_configuration: true, ..Beginning::default() };
    let mut desk = Desk::with(config.clone(), kernel.clone(), beginning);
    assert_eq!((desk.written, &desk.kernel), (0, &kernel));
    assert_eq!(desk.news(), ["[192.0.2.1]:tcp:80 quorum up 9/1"]);
    // What was down comes up by a success.
    desk.up(&[1]);
    assert_eq!(desk.news(), ["[192.0.2.1]:tcp:80 [10.0.0.1]:80 up"]);
    // A check tells the weight anew.
    desk.check(3, Verdict::Up(Advice::Add(1)));
    assert_eq!(desk.destinations(), ["[10.0.0.1]:80 1", "[10.0.0.2]:80 0", "[10.0.0.3]:80 4"]);

    // With another configuration, what is left over and not wished for is removed.
    let mut other = checked(vec![web("192.0.2.2", 1)]);
    let foreign = ServiceKey::Address(target("192.0.2.9", 80), Protocol::Tcp);
    let mut kernel = kernel;
    let entry = IpvsEntry::Service(foreign, Default::default());
    kernel.insert(entry.key(), entry);
    let beginning = Beginning { recorded: recorded.clone(), ..Beginning::default() };
    let desk = Desk::with(other.clone(), kernel.clone(), beginning);
    assert_eq!(desk.table(), ["TCP [192.0.2.2]:80", "  [10.0.0.1]:80 1", "TCP [192.0.2.9]:80"]);
    // lvs_flush: everything.
    other.virtual_servers.clear();
    other.checks.clear();
    let desk = Desk::with(other, kernel, Beginning { recorded, flush: true, ..Beginning::default() });
    assert_eq!(desk.table(), [""; 0]);
}

#[test]
fn the_end_removes_all_of_ours() {
    let foreign = ServiceKey::Address(target("192.0.2.9", 80), Protocol::Tcp);
    let foreign = IpvsEntry::Service(foreign, Default::default());
    for (ending, left, written) in [(Ending::Remove, 1, 2), (Ending::Flush, 0, 0), (Ending::Keep, 7, 0)] {
        let mut omega = web("192.0.2.1", 2);
        omega.omega = true;
        let script = crate::kernel::Script::new(c"/bin/true".into());
        omega.notifications = QuorumNotifications { up: None, down: Some(Arc::new(script.clone())) };
        let details =
            RealServerDetails { notify_down: Some(Arc::new(script)), ..RealServerDetails::default() };
        omega.real_servers[1].details = Some(Box::new(details));
        let mut desk = Desk::new(checked(vec![omega, web("192.0.2.2", 2)]));
        desk.kernel.insert(foreign.key(), foreign.clone());
        let before = desk.written;
        desk.news();
        desk.stop(ending);
        assert!(desk.stopped);
        assert_eq!((desk.kernel.len(), desk.written - before), (left, written), "{ending:?}");
        assert_eq!(desk.record.is_empty(), ending != Ending::Keep);
        assert_eq!(
            desk.news(),
            [
                "[192.0.2.1]:tcp:80 [10.0.0.1]:80 down",
                "[192.0.2.1]:tcp:80 [10.0.0.2]:80 down with script",
                "[192.0.2.1]:tcp:80 quorum down 2/1",
            ]
        );
        desk.pass(10_000);
        assert_eq!(desk.kernel.len(), left);
    }
}

#[test]
fn checks_rest_while_the_address_is_elsewhere() {
    let mut here = web("192.0.2.1", 2);
    here.ha_suspend = true;
    let mut config = checked(vec![here, web("192.0.2.2", 1)]);
    config.checks[1].check = CheckId(7);
    let mut desk = Desk::new(config.clone());
    // The first check is the second virtual server's, too.
    assert_eq!(desk.switched, [(7, false)]);
    desk.down(&[1, 7]);
    assert_eq!(
        desk.table(),
        ["TCP [192.0.2.1]:80", "  [10.0.0.1]:80 1", "  [10.0.0.2]:80 1", "TCP [192.0.2.2]:80"]
    );
    desk.address("192.0.2.1", true);
    desk.address("192.0.2.77", true);
    assert_eq!(desk.switched, [(7, false), (7, true)]);
    desk.down(&[1, 7]);
    assert_eq!(desk.table(), ["TCP [192.0.2.1]:80", "TCP [192.0.2.2]:80"]);
    desk.address("192.0.2.1", false);
    desk.up(&[1, 7]);
    assert_eq!(desk.table(), ["TCP [192.0.2.1]:80", "TCP [192.0.2.2]:80", "  [10.0.0.1]:80 1"]);
    // A configuration without it has all checks go on.
    config.virtual_servers[0].ha_suspend = false;
    desk.switched.clear();
    desk.apply(config);
    assert_eq!(desk.switched, [(7, true)]);
}
