//! `keepalived.json`, in the very form of keepalived: one line, its order of fields, `/` written `\/`.

use core::fmt::{self, Write as _};
use std::io;

use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;
use serde_json::value::RawValue;

use super::snapshot::{RouterSnapshot, Snapshot};
use crate::kernel::{AddressSpec, scope_name};
use crate::net::Family;
use crate::time::WallTime;
use crate::vrrp::{Counters, State, VirtualAddress};
use crate::wire::vrrp::{AdvertisementInterval, AuthenticationData, Priority, RejectionKind};

/// The whole file in the layout of `json_version` 1 or 2; `None` without virtual routers, when keepalived
/// writes none.
pub(crate) fn text(snapshot: &Snapshot, version: u8) -> Option<String> {
    #[derive(Serialize)]
    struct Named {
        vrrp: Vec<Router>,
    }
    if snapshot.routers.is_empty() {
        return None;
    }
    let routers = snapshot.routers.iter().map(Router::of).collect();
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, EscapedSlashes);
    let written = match version {
        2 => Named { vrrp: routers }.serialize(&mut serializer),
        _ => routers.serialize(&mut serializer),
    };
    written.ok()?;
    bytes.push(b'\n');
    String::from_utf8(bytes).ok()
}

#[derive(Serialize)]
struct Router {
    data: Data,
    stats: Stats,
}

impl Router {
    fn of(router: &RouterSnapshot) -> Self {
        Self { data: Data::of(router), stats: Stats::of(&router.counters) }
    }
}

/// In the order of keepalived.
#[derive(Serialize)]
struct Data {
    iname: String,
    dont_track_primary: u8,
    skip_check_adv_addr: u8,
    strict_mode: u8,
    vmac_ifname: &'static str,
    ifp_ifname: String,
    master_priority: u8,
    #[serde(serialize_with = "seconds")]
    last_transition: WallTime,
    garp_delay: u64,
    garp_refresh: u64,
    garp_rep: u32,
    garp_refresh_rep: u32,
    garp_lower_prio_delay: u64,
    garp_lower_prio_rep: u32,
    lower_prio_no_advert: u8,
    higher_prio_send_advert: u8,
    vrid: u8,
    base_priority: u8,
    effective_priority: u8,
    vipset: bool,
    promote_secondaries: bool,
    #[serde(serialize_with = "interval")]
    adver_int: AdvertisementInterval,
    #[serde(serialize_with = "interval")]
    master_adver_int: AdvertisementInterval,
    accept: u8,
    nopreempt: bool,
    preempt_delay: u64,
    state: u8,
    wantstate: u8,
    version: u8,
    smtp_alert: bool,
    notify_deleted: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evips: Vec<String>,
    auth_type: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_data: Option<&'static str>,
}

impl Data {
    fn of(router: &RouterSnapshot) -> Self {
        let config = &router.config;
        let announce = &config.announce;
        let state = match router.state {
            State::Initialize => 0,
            State::Backup => 1,
            State::Master => 2,
            State::Fault => 3,
        };
        let auth_type = match config.authentication {
            AuthenticationData::None => 0,
            AuthenticationData::SimplePassword(_) => 1,
            AuthenticationData::AuthenticationHeader(_) => 2,
        };
        Self {
            iname: config.name.to_string(),
            dont_track_primary: (!config.track_primary).into(),
            skip_check_adv_addr: config.skip_check_adv_addr.into(),
            // vrrp_strict and virtual MACs are refused by the configuration.
            strict_mode: 0,
            vmac_ifname: "",
            ifp_ifname: config.interfaces.hears_by().map(ToString::to_string).unwrap_or_default(),
            master_priority: router.master.map_or(0, |(_, Priority(priority))| priority),
            last_transition: router.last_transition,
            garp_delay: announce.delay.as_secs(),
            garp_refresh: announce.refresh.as_secs(),
            garp_rep: announce.repeat,
            garp_refresh_rep: announce.refresh_repeat,
            garp_lower_prio_delay: announce.lower_prio_delay.as_secs(),
            garp_lower_prio_rep: announce.lower_prio_repeat,
            lower_prio_no_advert: config.lower_prio_no_advert.into(),
            higher_prio_send_advert: config.higher_prio_send_advert.into(),
            vrid: config.vrid.get(),
            base_priority: config.priority.0,
            effective_priority: router.priority.0,
            vipset: router.holds_addresses,
            promote_secondaries: false,
            adver_int: config.interval,
            master_adver_int: router.master_interval,
            accept: 1,
            nopreempt: !config.preempt,
            preempt_delay: config.preempt_delay.as_secs(),
            state,
            wantstate: state,
            version: config.version.number(),
            smtp_alert: false,
            notify_deleted: false,
            vips: address_lines(&config.addresses, router),
            evips: address_lines(&config.excluded, router),
            auth_type,
            auth_data: (auth_type != 0).then_some("********"),
        }
    }
}

fn address_lines(addresses: &[VirtualAddress], router: &RouterSnapshot) -> Vec<String> {
    let line = |address: &VirtualAddress| {
        let interface = address.interface.as_ref().unwrap_or(&router.config.interfaces.addresses);
        // Writing to a String cannot fail.
        address_line(&address.spec, interface.as_str(), router.holds_addresses).unwrap_or_default()
    };
    addresses.iter().map(line).collect()
}

fn address_line(spec: &AddressSpec, interface: &str, set: bool) -> Result<String, fmt::Error> {
    let mut line = spec.prefix.address().to_string();
    if spec.prefix.length() != spec.prefix.family().bits() {
        write!(line, "/{}", spec.prefix.length())?;
    }
    if let Some(peer) = &spec.peer {
        write!(line, " peer {peer}")?;
    }
    if let Some(broadcast) = &spec.broadcast {
        write!(line, " brd {broadcast}")?;
    }
    write!(line, " dev {interface} scope {}", scope_name(spec.scope))?;
    if let Some(label) = &spec.label {
        write!(line, " label {label}")?;
    }
    match (spec.prefix.family(), spec.preferred_lifetime_s) {
        (Family::Ipv4, _) => {}
        (Family::Ipv6, Some(0)) => line.push_str(" deprecated"),
        (Family::Ipv6, None) => line.push_str(" preferred_lft forever"),
        (Family::Ipv6, Some(seconds)) => write!(line, " preferred_lft {seconds}")?,
    }
    if set {
        line.push_str(" set");
    }
    Ok(line)
}

/// In the order of keepalived.
#[derive(Serialize)]
struct Stats {
    advert_rcvd: u64,
    advert_sent: u64,
    become_master: u64,
    release_master: u64,
    packet_len_err: u64,
    advert_interval_err: u64,
    ip_ttl_err: u64,
    invalid_type_rcvd: u64,
    addr_list_err: u64,
    invalid_authtype: u64,
    authtype_mismatch: u64,
    auth_failure: u64,
    auth_ext_missing: u64,
    auth_ext_malformed: u64,
    auth_ext_unknown_key: u64,
    auth_ext_invalid_hmac: u64,
    auth_ext_stale: u64,
    auth_ext_replay: u64,
    pri_zero_rcvd: u64,
    pri_zero_sent: u64,
}

impl Stats {
    fn of(counters: &Counters) -> Self {
        let rejected = |kind| counters.rejected(kind);
        Self {
            advert_rcvd: counters.advertisements_received,
            advert_sent: counters.advertisements_sent,
            become_master: counters.became_master,
            release_master: counters.released_master,
            packet_len_err: rejected(RejectionKind::Length),
            advert_interval_err: rejected(RejectionKind::IntervalMismatch)
                + rejected(RejectionKind::IntervalZero),
            ip_ttl_err: rejected(RejectionKind::HopLimit),
            invalid_type_rcvd: rejected(RejectionKind::Type),
            addr_list_err: counters.address_list_mismatches,
            invalid_authtype: rejected(RejectionKind::AuthenticationType),
            authtype_mismatch: rejected(RejectionKind::AuthenticationMismatch),
            auth_failure: counters.authentication_failures(),
            auth_ext_missing: rejected(RejectionKind::TrailerMissing),
            auth_ext_malformed: rejected(RejectionKind::TrailerMalformed),
            auth_ext_unknown_key: rejected(RejectionKind::UnknownKey),
            auth_ext_invalid_hmac: rejected(RejectionKind::InvalidHmac),
            auth_ext_stale: rejected(RejectionKind::TrailerStale),
            auth_ext_replay: rejected(RejectionKind::TrailerReplayed),
            pri_zero_rcvd: counters.priority_zero_received,
            pri_zero_sent: counters.priority_zero_sent,
        }
    }
}

/// Seconds since 1970 with six places.
fn seconds<S: Serializer>(time: &WallTime, serializer: S) -> Result<S::Ok, S::Error> {
    let us = time.as_unix_micros();
    number(format!("{}.{:06}", us / 1_000_000, us % 1_000_000), serializer)
}

/// Seconds with as many places as it takes.
fn interval<S: Serializer>(interval: &AdvertisementInterval, serializer: S) -> Result<S::Ok, S::Error> {
    number(interval.to_string(), serializer)
}

/// A number, written to the digit.
fn number<S: Serializer>(digits: String, serializer: S) -> Result<S::Ok, S::Error> {
    RawValue::from_string(digits).map_err(serde::ser::Error::custom)?.serialize(serializer)
}

/// Compact, with `/` written `\/`.
struct EscapedSlashes;

impl Formatter for EscapedSlashes {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        writer.write_all(fragment.replace('/', "\\/").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::Lateness;
    use super::*;
    use crate::node::{Event, HaNode, NodeConfig};
    use crate::time::Now;
    use crate::vrrp::{Actions, RouterConfig};
    use crate::wire::vrrp::Vrid;

    /// Written by keepalived 2.2.7 for the configuration below, up to `vips` and with what a router that has
    /// not started differs in.
    const DATA: &str = r#"[{"data":{"iname":"VI_1","dont_track_primary":0,"skip_check_adv_addr":0,"strict_mode":0,"vmac_ifname":"","ifp_ifname":"v0","master_priority":0,"last_transition":0.000000,"garp_delay":5,"garp_refresh":0,"garp_rep":5,"garp_refresh_rep":1,"garp_lower_prio_delay":5,"garp_lower_prio_rep":5,"lower_prio_no_advert":0,"higher_prio_send_advert":0,"vrid":51,"base_priority":255,"effective_priority":255,"vipset":false,"promote_secondaries":false,"adver_int":1,"master_adver_int":1,"accept":1,"nopreempt":false,"preempt_delay":0,"state":0,"wantstate":0,"version":2,"smtp_alert":false,"notify_deleted":false,"vips":["192.0.2.50\/24 dev v0 scope global label v0:1"],"auth_type":0},"stats":{"advert_rcvd":0,"#;

    fn prefix(address: &str, length: u8) -> crate::net::Prefix {
        crate::net::Prefix::new(address.parse().unwrap(), length).unwrap()
    }

    #[test]
    fn data_are_keepalived_s() {
        let mut config =
            RouterConfig::new("VI_1", Vrid::new(51).unwrap(), Family::Ipv4, "v0".parse().unwrap());
        config.priority = Priority::OWNER;
        config.higher_prio_send_advert = false;
        let spec = AddressSpec { label: Some("v0:1".into()), ..AddressSpec::new(prefix("192.0.2.50", 24)) };
        config.addresses.push(VirtualAddress { spec, interface: None, track: true });
        let mut node = HaNode::new(NodeConfig { routers: vec![config], ..NodeConfig::default() });
        assert_eq!(text(&Snapshot::of(Now::default().instant, &node, &Lateness::default(), 0), 1), None);
        let view = crate::kernel::KernelEvent::View(crate::kernel::KernelView::default());
        let mut actions = Actions::default();
        node.handle(Now::default(), Event::Kernel(view), &mut actions);
        let text = text(&Snapshot::of(Now::default().instant, &node, &Lateness::default(), 0), 1).unwrap();
        let text = text.replace("\"state\":3,\"wantstate\":3", "\"state\":0,\"wantstate\":0");
        assert!(text.starts_with(DATA), "{text}");
        assert!(text.ends_with("\"pri_zero_rcvd\":0,\"pri_zero_sent\":0}}]\n"), "{text}");
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed[0]["data"]["vips"][0], "192.0.2.50/24 dev v0 scope global label v0:1");
    }

    #[test]
    fn addresses_are_keepalived_s() {
        let line = |spec: &AddressSpec| address_line(spec, "v0", true).unwrap();
        let spec = AddressSpec {
            broadcast: Some("192.0.2.255".parse().unwrap()),
            scope: 253,
            ..AddressSpec::new(prefix("192.0.2.51", 32))
        };
        assert_eq!(line(&spec), "192.0.2.51 brd 192.0.2.255 dev v0 scope link set");
        let host = AddressSpec::new(prefix("2001:db8::99", 128));
        assert_eq!(line(&host), "2001:db8::99 dev v0 scope global deprecated set");
        let net = AddressSpec::new(prefix("2001:db8::98", 64));
        assert_eq!(line(&net), "2001:db8::98/64 dev v0 scope global preferred_lft forever set");
    }
}
