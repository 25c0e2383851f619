//! The names and labels of the widespread exporters: of virtual routers and scripts those of `mehdy/keepalived-exporter`
//! (port 9165), of IPVS those of `gen2brain/keepalived_exporter`.

use std::collections::BTreeMap;

use super::Sources;
use super::exposition::{Exposition, Kind, Label, Value};
use crate::status::report::{AddressStatus, CounterStatus, RouterStatus};
use crate::status::trackers::VerdictWord;
use crate::status::{BalancerStatus, Status};
use crate::wire::vrrp::RejectionKind;

pub(super) fn write(to: &mut Exposition, sources: &Sources) {
    // Like the exporter's: whatever is to be there answers.
    let is_up = !matches!(sources.vrrp, Some(None)) && !matches!(sources.lvs, Some(None));
    to.family("keepalived_up", Kind::Gauge, "Whether every worker that is to be there answers in time.")
        .add(&[], is_up);
    let vrrp = sources.vrrp.as_ref().and_then(Option::as_ref);
    states(to, vrrp);
    counters(to, vrrp);
    scripts(to, vrrp);
    ipvs(to, sources.lvs.as_ref().and_then(Option::as_ref));
}

/// A router's labels in these families, and in ours.
pub(super) fn with_router<T>(router: &RouterStatus, run: impl FnOnce(&[Label<'_>]) -> T) -> T {
    let vrid = router.vrid.to_string();
    run(&[("iname", &router.name), ("intf", interface(router)), ("vrid", &vrid)])
}

/// What keepalived calls its interface: the one of its own, if it has one.
fn interface(router: &RouterStatus) -> &str {
    router.own_interface.as_ref().or(router.interface.as_ref()).map_or("", String::as_str)
}

/// As in keepalived's dumps, which the exporter reads: one address alone has no prefix length, and an interface of the
/// router's own is named with the one below it.
fn words(router: &RouterStatus, address: &AddressStatus) -> (String, String) {
    let text = &address.address;
    let alone = text.strip_suffix(if text.contains(':') { "/128" } else { "/32" });
    let interface = match (&router.own_interface, &router.interface) {
        (Some(own), Some(base)) if *own == address.interface => format!("{own}@{base}"),
        _ => address.interface.clone(),
    };
    (alone.unwrap_or(text).to_owned(), interface)
}

fn state(router: &RouterStatus) -> u64 {
    match &*router.state {
        "INIT" => 0,
        "BACKUP" => 1,
        "MASTER" => 2,
        _ => 3,
    }
}

fn states(to: &mut Exposition, vrrp: Option<&Status>) {
    const MEANING: &str = "0 INIT, 1 BACKUP, 2 MASTER, 3 FAULT or maintenance";
    for (name, what, advertised) in [
        ("keepalived_vrrp_state", "State of the virtual router that has this address", true),
        ("keepalived_vrrp_excluded_state", "The same of addresses that are not advertised", false),
    ] {
        let mut family = to.family(name, Kind::Gauge, &format!("{what}: {MEANING}."));
        for router in vrrp.iter().flat_map(|status| &status.routers) {
            let (vrid, state) = (router.vrid.to_string(), state(router));
            let mut add = |interface: &str, address: &str| {
                let labels =
                    [("iname", &*router.name), ("intf", interface), ("vrid", &vrid), ("ip_address", address)];
                family.add(&labels, state);
            };
            let addresses = router.addresses.iter().filter(|address| address.advertised == advertised);
            for address in addresses.clone() {
                let (address, interface) = words(router, address);
                add(&interface, &address);
            }
            if advertised && addresses.count() == 0 {
                add(interface(router), "");
            }
        }
    }
}

/// Of a router, by the exporter's name.
type Counter = (&'static str, &'static str, fn(&CounterStatus) -> u64);

fn rejected(counters: &CounterStatus, kinds: &[RejectionKind]) -> u64 {
    kinds.iter().filter_map(|kind| counters.rejected.get(&format!("{kind:?}"))).sum()
}

const COUNTERS: [Counter; 14] = [
    ("keepalived_advertisements_received_total", "Advertisements that passed the checks of receipt.", |of| {
        of.advertisements_received
    }),
    ("keepalived_advertisements_sent_total", "Advertisements sent, one for each destination.", |of| {
        of.advertisements_sent
    }),
    ("keepalived_become_master_total", "Times it became master.", |of| of.became_master),
    ("keepalived_release_master_total", "Times it ceased to be master.", |of| of.released_master),
    ("keepalived_packet_length_errors_total", "Packets of a wrong length.", |of| {
        rejected(of, &[RejectionKind::Length])
    }),
    ("keepalived_advertisements_interval_errors_total", "Advertisements of another interval.", |of| {
        rejected(of, &[RejectionKind::IntervalMismatch, RejectionKind::IntervalZero])
    }),
    ("keepalived_ip_ttl_errors_total", "Packets that came through a router.", |of| {
        rejected(of, &[RejectionKind::HopLimit])
    }),
    ("keepalived_invalid_type_received_total", "Packets of another type than advertisements.", |of| {
        rejected(of, &[RejectionKind::Type])
    }),
    ("keepalived_address_list_errors_total", "Advertisements with another address list than ours.", |of| {
        of.address_list_mismatches
    }),
    ("keepalived_authentication_invalid_total", "Packets of an unknown type of authentication.", |of| {
        rejected(of, &[RejectionKind::AuthenticationType])
    }),
    ("keepalived_authentication_mismatch_total", "Packets of another type of authentication.", |of| {
        rejected(of, &[RejectionKind::AuthenticationMismatch])
    }),
    ("keepalived_authentication_failure_total", "Packets that failed authentication.", |of| {
        use RejectionKind::{AuthenticationFailure, HeaderMalformed, HeaderNotAuthentic, HeaderReplayed};
        rejected(of, &[AuthenticationFailure, HeaderMalformed, HeaderNotAuthentic, HeaderReplayed])
    }),
    ("keepalived_priority_zero_received_total", "Priority 0 received: a master left.", |of| {
        of.priority_zero_received
    }),
    ("keepalived_priority_zero_sent_total", "Priority 0 sent: it left as master.", |of| {
        of.priority_zero_sent
    }),
];

fn counters(to: &mut Exposition, vrrp: Option<&Status>) {
    let routers = || vrrp.iter().flat_map(|status| &status.routers);
    for (name, help, count) in COUNTERS {
        let mut family = to.family(name, Kind::Counter, help);
        for router in routers() {
            with_router(router, |labels| family.add(labels, count(&router.counters)));
        }
    }
    // A setting, which the exporter calls a counter.
    let mut delay = to.family(
        "keepalived_gratuitous_arp_delay_total",
        Kind::Counter,
        "The setting garp_master_delay in seconds; a counter by name alone.",
    );
    for router in routers() {
        with_router(router, |labels| delay.add(labels, router.announce_delay_us / 1_000_000));
    }
}

fn scripts(to: &mut Exposition, vrrp: Option<&Status>) {
    let scripts = || {
        let trackers = vrrp.iter().flat_map(|status| &status.trackers);
        trackers.filter_map(|tracker| Some((tracker.name.strip_prefix("script ")?, tracker)))
    };
    let mut status = to.family("keepalived_script_status", Kind::Gauge, "Of a script: 0 bad, 1 good.");
    for (name, tracker) in scripts() {
        match tracker.verdict {
            Some(VerdictWord::Good) => status.add(&[("name", name)], 1),
            Some(VerdictWord::Failed) => status.add(&[("name", name)], 0),
            Some(VerdictWord::Unknown) | None => {}
        }
    }
    let mut state = to.family("keepalived_script_state", Kind::Gauge, "Of a script: 0 idle, 1 running.");
    for (name, tracker) in scripts() {
        if let Some(running) = tracker.running {
            state.add(&[("name", name)], running);
        }
    }
}

/// What IPVS counts of one address and protocol: connections, packets and bytes from clients and to them.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    connections: u64,
    packets: (u64, u64),
    bytes: (u64, u64),
}

/// By address and number of the protocol.
type Table<'a> = BTreeMap<(&'a str, u8), Counted>;

fn ipvs(to: &mut Exposition, lvs: Option<&BalancerStatus>) {
    let (mut services, mut destinations) = (Table::new(), Table::new());
    for server in lvs.iter().flat_map(|status| &status.virtual_servers) {
        let all = server.counted.iter().map(|counted| (false, counted));
        let real = server.real_servers.iter().flat_map(|real| &real.counted).map(|counted| (true, counted));
        for (is_real, counted) in all.chain(real) {
            // One real server may stand in several services: the exporter's labels do not tell them apart.
            let table = if is_real { &mut destinations } else { &mut services };
            let sum = table.entry((&*counted.address, counted.protocol)).or_default();
            sum.connections += counted.connections;
            sum.packets.0 += counted.incoming_packets;
            sum.packets.1 += counted.outgoing_packets;
            sum.bytes.0 += counted.incoming_bytes;
            sum.bytes.1 += counted.outgoing_bytes;
        }
    }
    type Field = fn(&Counted) -> u64;
    let families: [(&'static str, &Table<'_>, &str, Field); 10] = [
        ("keepalived_lvs_vip_in_packets", &services, "Packets to a service.", |of| of.packets.0),
        ("keepalived_lvs_vip_out_packets", &services, "Packets from a service.", |of| of.packets.1),
        ("keepalived_lvs_vip_in_bytes", &services, "Bytes to a service.", |of| of.bytes.0),
        ("keepalived_lvs_vip_out_bytes", &services, "Bytes from a service.", |of| of.bytes.1),
        ("keepalived_lvs_vip_conn", &services, "Connections of a service.", |of| of.connections),
        ("keepalived_lvs_rs_in_packets", &destinations, "Packets to a real server.", |of| of.packets.0),
        ("keepalived_lvs_rs_out_packets", &destinations, "Packets from a real server.", |of| of.packets.1),
        ("keepalived_lvs_rs_in_bytes", &destinations, "Bytes to a real server.", |of| of.bytes.0),
        ("keepalived_lvs_rs_out_bytes", &destinations, "Bytes from a real server.", |of| of.bytes.1),
        ("keepalived_lvs_rs_conn", &destinations, "Connections of a real server.", |of| of.connections),
    ];
    for (name, table, help, field) in families {
        let mut family = to.family(name, Kind::Untyped, help);
        for ((address, protocol), counted) in table {
            let labels = [("addr", *address), ("proto", &*protocol.to_string())];
            family.add(&labels, Value::Whole(field(counted)));
        }
    }
}
