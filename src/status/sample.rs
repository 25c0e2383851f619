//! Answers of workers, for tests.

use super::balancer::{CheckReport, Counted, LastTry, RealServerStatus, VirtualServerStatus};
use super::{BalancerStatus, DaemonStatus, Latencies};
use crate::time::Duration;

fn daemon() -> DaemonStatus {
    DaemonStatus {
        version: "1.0.0".to_owned(),
        pid: 7,
        started_unix_us: 1_800_000_000_000_000,
        configuration: "/etc/keepalived/keepalived.conf".to_owned(),
        configuration_hash: "0123456789abcdef".to_owned(),
        router_id: "ha1".to_owned(),
        last_reload: None,
        maintenance: None,
    }
}

fn check(kind: &str, up: bool, latency_us: u64, certificate_expires_unix_us: Option<u64>) -> CheckReport {
    let last = LastTry {
        at_unix_us: 1_800_000_100_000_000,
        good: up,
        reason: if up { "connected" } else { "status 500" }.to_owned(),
        latency_us,
        certificate_expires_unix_us,
    };
    CheckReport { kind: kind.to_owned(), up: Some(up), suspended: false, last: Some(last) }
}

fn counted(address: &str) -> Counted {
    Counted {
        address: address.to_owned(),
        protocol: 6,
        connections: 10,
        incoming_packets: 30,
        outgoing_packets: 40,
        incoming_bytes: 50,
        outgoing_bytes: 60,
    }
}

/// One virtual server with one real server and two checks of it.
pub(crate) fn balancer() -> BalancerStatus {
    let real = RealServerStatus {
        name: "[192.0.2.10]:tcp:80".to_owned(),
        method: "NAT".to_owned(),
        up: true,
        weight: 1,
        configured_weight: 1,
        weight_parts: Vec::new(),
        changed: None,
        order: None,
        inhibits: false,
        in_table: true,
        active_connections: 2,
        inactive_connections: 3,
        connections: 20,
        counted: vec![counted("192.0.2.10:80"), counted("192.0.2.10:80")],
        checks: vec![
            check("TCP_CHECK", true, 1_500, None),
            check("SSL_GET", false, 20_000_000, Some(1_900_000_000_000_000)),
        ],
    };
    let mut latency = Latencies::default();
    [1_500, 20_000_000].map(Duration::from_micros).into_iter().for_each(|of| latency.note(of));
    let server = VirtualServerStatus {
        name: "[192.0.2.1]:tcp:80".to_owned(),
        up: true,
        live_weight: 1,
        needed_weight: 1,
        quorum: 1,
        hysteresis: 0,
        changed: None,
        scheduler: "wlc".to_owned(),
        services: vec!["TCP [192.0.2.1]:80".to_owned()],
        sorry_server: None,
        sorry: false,
        suspended: false,
        connections: 10,
        incoming_bytes: 50,
        outgoing_bytes: 60,
        counted: vec![counted("192.0.2.1:80")],
        latency,
        real_servers: vec![real],
        leaving: Vec::new(),
    };
    BalancerStatus { daemon: daemon(), virtual_servers: vec![server], entries_held: 1, entries_lacking: 1 }
}
