//! The kernel's table in the words of `ipvsadm -S -n`.

use core::fmt::Write;
use core::num::NonZeroU16;

use super::{
    FirewallMark, ForwardingMethod, GueChecksum, HeldDestination, HeldService, HostPort, IpvsTable,
    PersistenceGranularity, Protocol, Scheduler, ServiceKey, Tunnel,
};
use crate::net::Family;

impl IpvsTable {
    /// A line for each entry, the destinations of a service behind it, as `ipvsadm -S -n` writes them and `ipvsadm -R` reads
    /// them: `-a -t 192.0.2.1:80 -r 198.51.100.1:80 -m -w 1`. Thresholds are left out, as there. What has no words here
    /// ends with `# of another kind`.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for service in &self.services {
            lines.push(service_line(service));
            let own = self.destinations.iter().filter(|destination| destination.service == service.key);
            lines.extend(own.map(destination_line));
        }
        lines
    }
}

const UNKNOWN: &str = " # of another kind";

fn service_line(service: &HeldService) -> String {
    let mut line = format!("-A {}", key(&service.key));
    let Some(settings) = &service.settings else { return line + UNKNOWN };
    let _ = write!(line, " -s {}", settings.scheduler.name());
    if let Some(persistence) = &settings.persistence {
        let _ = write!(line, " -p {}", persistence.timeout_s);
        match persistence.granularity.filter(|granularity| !granularity.is_each_client()) {
            Some(PersistenceGranularity::Ipv4(mask)) => _ = write!(line, " -M {mask}"),
            Some(PersistenceGranularity::Ipv6(length)) => _ = write!(line, " -M {length}"),
            None => {}
        }
        if let Some(engine) = &persistence.engine {
            let _ = write!(line, " --pe {engine}");
        }
    }
    if settings.one_packet {
        line.push_str(" -o");
    }
    let names = match settings.scheduler {
        Scheduler::SourceHash => ["sh-fallback", "sh-port", "flag-3"],
        Scheduler::MaglevHash => ["mh-fallback", "mh-port", "flag-3"],
        _ => ["flag-1", "flag-2", "flag-3"],
    };
    let flags = settings.scheduler_flags;
    let set = [flags.first, flags.second, flags.third];
    let set: Vec<&str> = names.into_iter().zip(set).filter_map(|(name, set)| set.then_some(name)).collect();
    if !set.is_empty() {
        let _ = write!(line, " -b {}", set.join(","));
    }
    line
}

fn destination_line(destination: &HeldDestination) -> String {
    let mut line = format!("-a {} -r {}", key(&destination.service), host_port(destination.target));
    let Some(settings) = &destination.settings else { return line + UNKNOWN };
    let way = match settings.method {
        ForwardingMethod::Nat => "m",
        ForwardingMethod::DirectRouting => "g",
        ForwardingMethod::Tunnel(_) => "i",
    };
    let _ = write!(line, " -{way} -w {}", settings.weight);
    if let ForwardingMethod::Tunnel(tunnel) = settings.method {
        let _ = match tunnel {
            Tunnel::Ipip => write!(line, " --tun-type ipip"),
            Tunnel::Gre { checksum } => {
                write!(line, " --tun-type gre --tun-{}", if checksum { "csum" } else { "nocsum" })
            }
            Tunnel::Gue { port, checksum } => {
                let checksum = match checksum {
                    GueChecksum::None => "nocsum",
                    GueChecksum::Full => "csum",
                    GueChecksum::Remote => "remcsum",
                };
                write!(line, " --tun-type gue --tun-port {port} --tun-{checksum}")
            }
        };
    }
    line
}

fn key(key: &ServiceKey) -> String {
    match key {
        ServiceKey::Address(target, protocol) => {
            let option = match protocol {
                Protocol::Tcp => "-t",
                Protocol::Udp => "-u",
                Protocol::Sctp => "--sctp-service",
            };
            format!("{option} {}", host_port(*target))
        }
        ServiceKey::FirewallMark(FirewallMark { mark, family: Family::Ipv4 }) => format!("-f {mark}"),
        ServiceKey::FirewallMark(FirewallMark { mark, family: Family::Ipv6 }) => format!("-f {mark} -6"),
    }
}

fn host_port(target: HostPort) -> String {
    core::net::SocketAddr::new(target.address, target.port.map_or(0, NonZeroU16::get)).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::{Connections, DestinationSettings, ServiceSettings, Statistics};
    use super::*;

    /// `ipvsadm` itself judges more of them, on a kernel that has IPVS.
    #[test]
    fn destinations_follow_their_service() {
        let web = |address: &str| {
            let target = HostPort { address: address.parse().unwrap(), port: NonZeroU16::new(80) };
            (ServiceKey::Address(target, Protocol::Tcp), target)
        };
        let (first, second) = (web("192.0.2.1").0, web("2001:db8::1").0);
        let service = |key| HeldService {
            key,
            settings: Some(ServiceSettings {
                scheduler: Scheduler::RoundRobin,
                ..ServiceSettings::default()
            }),
            statistics: Statistics::default(),
        };
        let destination = |service, address: &str, settings| HeldDestination {
            service,
            target: web(address).1,
            settings,
            connections: Connections::default(),
            statistics: Statistics::default(),
        };
        let table = IpvsTable {
            services: vec![service(first), service(second)],
            destinations: vec![
                destination(second, "2001:db8::9", None),
                destination(
                    first,
                    "192.0.2.9",
                    Some(DestinationSettings { weight: 3, ..Default::default() }),
                ),
            ],
        };
        assert_eq!(
            table.lines(),
            [
                "-A -t 192.0.2.1:80 -s rr",
                "-a -t 192.0.2.1:80 -r 192.0.2.9:80 -m -w 3",
                "-A -t [2001:db8::1]:80 -s rr",
                "-a -t [2001:db8::1]:80 -r [2001:db8::9]:80 # of another kind",
            ]
        );
    }
}
