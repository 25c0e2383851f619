//! What an operator orders of real servers through the control socket, and how it is remembered: in a file beside the
//! worker's pid file, so that a worker that replaces another knows of it. A daemon that starts anew knows of none.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::control::Asked;
use super::super::files;
use super::LvsWorker;
use crate::control::{Code, Command, WEIGHT_MAX};
use crate::kernel::ipvs::HostPort;
use crate::lvs::{Order, OrderedServer, RealServer, Service, VirtualServer};
use crate::node::BalancerConfig;
use crate::notify::{service_name, target_name};
use crate::status::{OrderStatus, Orders, RealServerOrder};
use crate::sys::clock;
use crate::time::{Duration, Now};

/// Longest file that is read, in bytes: some ten thousands of orders.
const LONGEST: u64 = 16 << 20;

/// The word for all real servers that something was ordered of.
const ALL: &str = "all";

/// The file.
#[derive(Debug)]
pub(super) struct OrderRecord {
    path: PathBuf,
}

/// An order in the file.
#[derive(Debug, Deserialize, Serialize)]
struct Line {
    virtual_server: String,
    real_server: String,
    order: OrderStatus,
}

impl OrderRecord {
    /// That of a worker with this pid file.
    pub(super) fn beside(pid_file: &Path) -> Self {
        Self { path: pid_file.with_extension("orders") }
    }

    /// What a predecessor was ordered of the real servers of this configuration. Nothing where there is no file, or one
    /// of somebody else.
    pub(super) fn read(&self, config: &BalancerConfig, now: Now) -> Vec<OrderedServer> {
        let text = files::read_own(&self.path, LONGEST).unwrap_or_default();
        let lines: Vec<Line> = serde_json::from_str(&text).unwrap_or_default();
        let find = |line: Line| {
            let mut servers = config.virtual_servers.iter();
            let server = servers.find(|server| spell(&server.service) == line.virtual_server)?;
            let mut real = server.real_servers.iter().map(|real| real.target);
            let target = real.find(|target| target.to_string() == line.real_server)?;
            let ordered = line.order.ordered(now.instant, now.wall);
            Some(OrderedServer { service: server.service.clone(), target, ordered })
        };
        lines.into_iter().filter_map(find).collect()
    }

    /// These are in force.
    pub(super) fn write(&self, orders: &[OrderedServer], now: Now) -> io::Result<()> {
        if orders.is_empty() {
            self.forget();
            return Ok(());
        }
        let line = |ordered: &OrderedServer| Line {
            virtual_server: spell(&ordered.service),
            real_server: ordered.target.to_string(),
            order: OrderStatus::of(&ordered.ordered, now.instant, now.wall),
        };
        let lines: Vec<Line> = orders.iter().map(line).collect();
        let text = serde_json::to_string(&lines)?;
        files::write_own(&self.path, &text)
    }

    /// None is.
    pub(super) fn forget(&self) {
        // Gone already is just as well.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A service in words that no other has.
fn spell(service: &Service) -> String {
    match service {
        Service::Group(name, protocol) => format!("{protocol} group {name}"),
        Service::Address(..) | Service::FirewallMark(_) => service.to_string(),
    }
}

impl LvsWorker<'_> {
    /// Grants `drain`, `weight`, `restore` and `orders`.
    pub(super) fn order(&mut self, asked: Asked) {
        let now = clock::now();
        let span = |seconds: Option<u32>| seconds.map(|seconds| Duration::from_secs(seconds.into()));
        let (real, of, order) = match asked.request.command.clone() {
            Command::Drain { real_server, virtual_server, seconds, limit } => {
                let limit = Some(limit.unwrap_or(self.settings.drain.limit));
                (real_server, virtual_server, Some((Order::Drain { limit: span(limit) }, span(seconds))))
            }
            Command::Weight { weight, .. } if weight > WEIGHT_MAX => {
                return asked.refuse(Code::BadRequest, format!("a weight is at most {WEIGHT_MAX}"));
            }
            Command::Weight { real_server, virtual_server, weight, seconds } => {
                (real_server, virtual_server, Some((Order::Weight(weight), span(seconds))))
            }
            Command::Restore { real_server, virtual_server } => (real_server, virtual_server, None),
            _ => {
                let all: Vec<_> =
                    self.node.orders().into_iter().map(|order| (order.service, order.target)).collect();
                return asked.grant_with(&self.orders_of(&all, now));
            }
        };
        let which = match order {
            None if real == ALL && of.is_none() => {
                self.node.orders().into_iter().map(|order| (order.service, order.target)).collect()
            }
            _ => select(&self.config, &real, of.as_deref()),
        };
        if which.is_empty() && real != ALL {
            let of = of.map(|of| format!(" in virtual server {of}")).unwrap_or_default();
            let text = format!("there is no real server {real}{of}; `alived status` shows their names");
            return asked.refuse(Code::Refused, text);
        }
        self.node.order(now.instant, &which, order, &mut self.actions);
        self.carry_out();
        asked.grant_with(&self.orders_of(&which, now));
    }

    fn orders_of(&self, which: &[(Service, HostPort)], now: Now) -> Orders {
        let mut orders = self.node.orders();
        let of = |(service, target): &(Service, HostPort)| {
            let at = orders.iter().position(|order| order.service == *service && order.target == *target);
            let order = at.map(|at| orders.swap_remove(at));
            RealServerOrder {
                virtual_server: service_name(service).to_string(),
                real_server: target_name(service, *target).to_string(),
                order: order.map(|order| OrderStatus::of(&order.ordered, now.instant, now.wall)),
            }
        };
        Orders { real_servers: which.iter().map(of).collect() }
    }
}

/// The real servers that a word stands for, perhaps those of one virtual server only.
fn select(config: &BalancerConfig, word: &str, of: Option<&str>) -> Vec<(Service, HostPort)> {
    let address: Option<IpAddr> = word.parse().ok();
    let socket: Option<SocketAddr> = word.parse().ok();
    let is_named = |server: &VirtualServer, word: &str| {
        *service_name(&server.service) == *word || server.snmp_name.as_deref() == Some(word)
    };
    let is_meant = |server: &VirtualServer, real: &RealServer| {
        let HostPort { address: own, port } = real.target;
        let label = real.details.as_ref().and_then(|details| details.snmp_name.as_deref());
        address == Some(own)
            || socket.is_some_and(|socket| {
                socket.ip() == own && port.is_some_and(|port| port.get() == socket.port())
            })
            || *target_name(&server.service, real.target) == *word
            || label == Some(word)
            || is_named(server, word)
    };
    let servers = config.virtual_servers.iter().filter(|server| of.is_none_or(|of| is_named(server, of)));
    let real = servers.flat_map(|server| {
        let meant = server.real_servers.iter().filter(|real| is_meant(server, real));
        meant.map(|real| (server.service.clone(), real.target))
    });
    real.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::ipvs::{FirewallMark, ForwardingMethod, Protocol};
    use crate::lvs::{OrderState, Ordered, RealServerDetails};
    use crate::net::Family;
    use crate::time::{Instant, WallTime};

    fn target(address: &str, port: u16) -> HostPort {
        HostPort { address: address.parse().unwrap(), port: port.try_into().ok() }
    }

    /// Two virtual servers that share a real server; the second is a firewall mark.
    fn config() -> BalancerConfig {
        let real = |address, port| RealServer {
            target: target(address, port),
            weight: 1,
            method: ForwardingMethod::Nat,
            inhibit_on_failure: false,
            smtp_alert: None,
            details: None,
        };
        let mut web = VirtualServer::new(Service::Address(target("192.0.2.1", 80), Protocol::Tcp));
        web.real_servers = vec![real("10.0.0.1", 80), real("10.0.0.1", 81), real("2001:db8::1", 80)];
        let label = RealServerDetails { snmp_name: Some("blue".into()), ..RealServerDetails::default() };
        web.real_servers[1].details = Some(Box::new(label));
        let mark = FirewallMark { mark: 7.try_into().unwrap(), family: Family::Ipv4 };
        let mut marked = VirtualServer::new(Service::FirewallMark(mark));
        marked.real_servers = vec![real("10.0.0.1", 80), real("10.0.0.2", 0)];
        BalancerConfig { virtual_servers: vec![web, marked], ..BalancerConfig::default() }
    }

    #[test]
    fn real_servers_are_found_by_name_address_and_label() {
        let config = config();
        let found = |word: &str, of: Option<&str>| {
            let found = select(&config, word, of).into_iter();
            found.map(|(service, target)| format!("{service} {target}")).collect::<Vec<_>>()
        };
        let (first, second) = ("[192.0.2.1]:tcp:80 [10.0.0.1]:80", "[192.0.2.1]:tcp:80 [10.0.0.1]:81");
        assert_eq!(found("[10.0.0.1]:tcp:80", None), [first]);
        assert_eq!(found("10.0.0.1:80", None), [first, "FWM 7 [10.0.0.1]:80"]);
        assert_eq!(found("10.0.0.1", None), [first, second, "FWM 7 [10.0.0.1]:80"]);
        assert_eq!(found("10.0.0.1", Some("FWM 7")), ["FWM 7 [10.0.0.1]:80"]);
        assert_eq!(found("[2001:db8::1]:80", None), ["[192.0.2.1]:tcp:80 [2001:db8::1]:80"]);
        assert_eq!(found("blue", None), [second]);
        assert_eq!(found("FWM 7", None), ["FWM 7 [10.0.0.1]:80", "FWM 7 [10.0.0.2]:0"]);
        assert_eq!(found("10.0.0.2:80", None), [""; 0]);
        assert_eq!(found("10.0.0.1", Some("FWM 8")), [""; 0]);
    }

    #[test]
    fn orders_outlive_a_worker() {
        let folder = tempfile::tempdir().unwrap();
        let record = OrderRecord::beside(&folder.path().join("checkers.pid"));
        let config = config();
        let now = |seconds: u64, wall: u64| Now {
            instant: Instant::from_micros(seconds * 1_000_000),
            wall: WallTime::from_unix_micros(wall * 1_000_000),
        };
        let at = |seconds: u64| Instant::from_micros(seconds * 1_000_000);
        assert_eq!(record.read(&config, now(100, 5000)), []);
        let [web, marked] = [0, 1].map(|at| config.virtual_servers[at].service.clone());
        let ordered = |service: &Service, last, state| OrderedServer {
            service: service.clone(),
            target: target(last, 80),
            ordered: Ordered { state, since: at(90), until: Some(at(200)) },
        };
        let orders = [
            ordered(&web, "10.0.0.1", OrderState::Draining { limit: Some(at(120)), left: 3 }),
            ordered(&web, "2001:db8::1", OrderState::Weight(5)),
            ordered(&marked, "10.0.0.1", OrderState::Drained { cut: 2 }),
        ];
        record.write(&orders, now(100, 5000)).unwrap();
        assert_eq!(record.read(&config, now(105, 5005)), orders);
        let fewer =
            BalancerConfig { virtual_servers: config.virtual_servers[1..].to_vec(), ..config.clone() };
        assert_eq!(record.read(&fewer, now(105, 5005)), orders[2..]);
        std::fs::write(folder.path().join("checkers.orders"), "[{").unwrap();
        assert_eq!(record.read(&config, now(105, 5005)), []);
        record.write(&[], now(106, 5006)).unwrap();
        assert!(!folder.path().join("checkers.orders").exists());
    }
}
