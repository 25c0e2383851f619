//! Virtual servers, real servers and their checks.

use super::exposition::{Exposition, Kind, Value};
use crate::status::BalancerStatus;
use crate::status::balancer::{RealServerStatus, VirtualServerStatus};
use crate::status::latency::LATENCY_BOUNDS_US;

pub(super) fn write(to: &mut Exposition, lvs: Option<&BalancerStatus>) {
    let servers: &[VirtualServerStatus] = lvs.map_or(&[], |status| &status.virtual_servers);
    virtual_servers(to, servers);
    real_servers(to, servers);
    checks(to, servers);
    let mut entries = to.family(
        "alived_ipvs_entries",
        Kind::Gauge,
        "Entries of the kernel's table that it has and that it lacks.",
    );
    if let Some(status) = lvs {
        entries.add(&[("state", "held")], status.entries_held as u64);
        entries.add(&[("state", "lacking")], status.entries_lacking as u64);
    }
}

fn virtual_servers(to: &mut Exposition, servers: &[VirtualServerStatus]) {
    type Figure = (&'static str, Kind, &'static str, fn(&VirtualServerStatus) -> Value);
    let figures: [Figure; 8] = [
        ("alived_virtual_server_up", Kind::Gauge, "Whether it has its quorum.", |of| of.up.into()),
        ("alived_virtual_server_live_weight", Kind::Gauge, "Weight of all real servers that live.", |of| {
            of.live_weight.into()
        }),
        ("alived_virtual_server_needed_weight", Kind::Gauge, "Weight that the quorum needs.", |of| {
            of.needed_weight.into()
        }),
        ("alived_virtual_server_sorry", Kind::Gauge, "Whether the sorry server stands in.", |of| {
            of.sorry.into()
        }),
        ("alived_virtual_server_suspended", Kind::Gauge, "Whether its checks rest (ha_suspend).", |of| {
            of.suspended.into()
        }),
        ("alived_virtual_server_connections_total", Kind::Counter, "Connections scheduled.", |of| {
            of.connections.into()
        }),
        ("alived_virtual_server_incoming_bytes_total", Kind::Counter, "Bytes from clients.", |of| {
            of.incoming_bytes.into()
        }),
        ("alived_virtual_server_outgoing_bytes_total", Kind::Counter, "Bytes to clients.", |of| {
            of.outgoing_bytes.into()
        }),
    ];
    for (name, kind, help, figure) in figures {
        let mut family = to.family(name, kind, help);
        servers.iter().for_each(|server| family.add(&[("virtual_server", &server.name)], figure(server)));
    }
}

/// All real servers with the virtual servers that they stand in.
fn all(servers: &[VirtualServerStatus]) -> impl Iterator<Item = (&VirtualServerStatus, &RealServerStatus)> {
    servers.iter().flat_map(|server| server.real_servers.iter().map(move |real| (server, real)))
}

fn real_servers(to: &mut Exposition, servers: &[VirtualServerStatus]) {
    type Figure = (&'static str, Kind, &'static str, fn(&RealServerStatus) -> Value);
    let figures: [Figure; 5] = [
        ("alived_real_server_up", Kind::Gauge, "Whether all its checks are up.", |of| of.up.into()),
        ("alived_real_server_weight", Kind::Gauge, "Its weight while it is up.", |of| {
            u64::from(of.weight).into()
        }),
        ("alived_real_server_active_connections", Kind::Gauge, "Connections that are established.", |of| {
            of.active_connections.into()
        }),
        ("alived_real_server_inactive_connections", Kind::Gauge, "Connections beginning or ending.", |of| {
            of.inactive_connections.into()
        }),
        ("alived_real_server_connections_total", Kind::Counter, "Connections scheduled.", |of| {
            of.connections.into()
        }),
    ];
    for (name, kind, help, figure) in figures {
        let mut family = to.family(name, kind, help);
        for (server, real) in all(servers) {
            let labels = [("virtual_server", &*server.name), ("real_server", &*real.name)];
            family.add(&labels, figure(real));
        }
    }
}

fn checks(to: &mut Exposition, servers: &[VirtualServerStatus]) {
    // Several checks of a kind are told apart by their place in the configuration.
    let checks = || {
        all(servers).flat_map(|(server, real)| {
            real.checks.iter().enumerate().map(move |(at, check)| (server, real, at.to_string(), check))
        })
    };
    let mut up =
        to.family("alived_check_up", Kind::Gauge, "What a check says; absent before its first result.");
    for (server, real, number, check) in checks() {
        if let Some(is_up) = check.up {
            let labels = [
                ("virtual_server", &*server.name),
                ("real_server", &*real.name),
                ("check", &*check.kind),
                ("number", &*number),
            ];
            up.add(&labels, is_up);
        }
    }
    let mut last = to.family(
        "alived_check_last_duration_seconds",
        Kind::Gauge,
        "How long the last try of a check took.",
    );
    for (server, real, number, check) in checks() {
        if let Some(tried) = &check.last {
            let labels = [
                ("virtual_server", &*server.name),
                ("real_server", &*real.name),
                ("check", &*check.kind),
                ("number", &*number),
            ];
            last.add(&labels, Value::Us(tried.latency_us));
        }
    }
    let mut durations = to.family(
        "alived_check_duration_seconds",
        Kind::Histogram,
        "How long the tries of all checks of a virtual server took.",
    );
    for server in servers {
        let classes = LATENCY_BOUNDS_US.iter().copied().zip(server.latency.classes.iter().copied());
        let labels = [("virtual_server", &*server.name)];
        durations.add_histogram(&labels, classes, server.latency.above, server.latency.sum_us);
    }
    let mut expiry = to.family(
        "alived_certificate_expiry_timestamp_seconds",
        Kind::Gauge,
        "When the certificate that a real server showed becomes invalid, Unix time.",
    );
    for (server, real) in all(servers) {
        let shown = real.checks.iter().filter_map(|check| check.last.as_ref()?.certificate_expires_unix_us);
        if let Some(first) = shown.min() {
            let labels = [("virtual_server", &*server.name), ("real_server", &*real.name)];
            expiry.add(&labels, Value::Us(first));
        }
    }
}
