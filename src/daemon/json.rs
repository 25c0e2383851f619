//! `keepalived.json`, in the very form of keepalived (`cli-signals-files` §5.2): one line, its order of fields,
//! `/` written `\/`.

use core::fmt::{self, Write as _};

use super::snapshot::{RouterSnapshot, Snapshot};
use crate::kernel::{AddressSpec, scope_name};
use crate::net::Family;
use crate::vrrp::{Counters, State, VirtualAddress};
use crate::wire::vrrp::{AuthenticationData, Priority, RejectionKind};

/// The whole file in the layout of `json_version` 1 or 2; `None` without virtual routers, when keepalived
/// writes none.
pub(super) fn text(snapshot: &Snapshot, version: u8) -> Option<String> {
    if snapshot.routers.is_empty() {
        return None;
    }
    let (start, end) = if version == 2 { ("{\"vrrp\":[", "]}\n") } else { ("[", "]\n") };
    let mut text = start.to_owned();
    for (position, router) in snapshot.routers.iter().enumerate() {
        if position > 0 {
            text.push(',');
        }
        // Writing to a String cannot fail.
        let _ = write_router(&mut text, router);
    }
    text.push_str(end);
    Some(text)
}

fn write_router(text: &mut String, router: &RouterSnapshot) -> fmt::Result {
    text.push_str("{\"data\":{");
    write_data(text, router)?;
    text.push_str("},\"stats\":{");
    write_stats(text, &router.counters)?;
    text.push_str("}}");
    Ok(())
}

fn write_data(text: &mut String, router: &RouterSnapshot) -> fmt::Result {
    let config = &router.config;
    let announce = &config.announce;
    let us = router.last_transition.as_unix_micros();
    let state = match router.state {
        State::Initialize => 0,
        State::Backup => 1,
        State::Master => 2,
        State::Fault => 3,
    };
    let flag = u8::from;
    write!(text, "\"iname\":{}", Quoted(&config.name))?;
    write!(text, ",\"dont_track_primary\":{}", flag(!config.track_primary))?;
    write!(text, ",\"skip_check_adv_addr\":{}", flag(config.skip_check_adv_addr))?;
    // vrrp_strict and virtual MACs are refused by the configuration.
    write!(text, ",\"strict_mode\":0,\"vmac_ifname\":\"\"")?;
    write!(text, ",\"ifp_ifname\":{}", Quoted(config.interfaces.receive.as_str()))?;
    let master_priority = router.master.map_or(0, |(_, Priority(priority))| priority);
    write!(text, ",\"master_priority\":{master_priority}")?;
    write!(text, ",\"last_transition\":{}.{:06}", us / 1_000_000, us % 1_000_000)?;
    write!(text, ",\"garp_delay\":{}", announce.delay.as_secs())?;
    write!(text, ",\"garp_refresh\":{}", announce.refresh.as_secs())?;
    write!(text, ",\"garp_rep\":{},\"garp_refresh_rep\":{}", announce.repeat, announce.refresh_repeat)?;
    write!(text, ",\"garp_lower_prio_delay\":{}", announce.lower_prio_delay.as_secs())?;
    write!(text, ",\"garp_lower_prio_rep\":{}", announce.lower_prio_repeat)?;
    write!(text, ",\"lower_prio_no_advert\":{}", flag(config.lower_prio_no_advert))?;
    write!(text, ",\"higher_prio_send_advert\":{}", flag(config.higher_prio_send_advert))?;
    write!(text, ",\"vrid\":{},\"base_priority\":{}", config.vrid, config.priority)?;
    write!(text, ",\"effective_priority\":{}", router.priority)?;
    write!(text, ",\"vipset\":{},\"promote_secondaries\":false", router.holds_addresses)?;
    write!(text, ",\"adver_int\":{},\"master_adver_int\":{}", config.interval, router.master_interval)?;
    write!(text, ",\"accept\":1,\"nopreempt\":{}", !config.preempt)?;
    write!(text, ",\"preempt_delay\":{}", config.preempt_delay.as_secs())?;
    write!(text, ",\"state\":{state},\"wantstate\":{state},\"version\":{}", config.version.number())?;
    write!(text, ",\"smtp_alert\":false,\"notify_deleted\":false")?;
    for (key, addresses) in [("vips", &config.addresses), ("evips", &config.excluded)] {
        write_addresses(text, key, addresses, router)?;
    }
    match config.authentication {
        AuthenticationData::None => write!(text, ",\"auth_type\":0"),
        AuthenticationData::SimplePassword(_) => write!(text, ",\"auth_type\":1,\"auth_data\":\"********\""),
        AuthenticationData::AuthenticationHeader => {
            write!(text, ",\"auth_type\":2,\"auth_data\":\"********\"")
        }
    }
}

fn write_addresses(
    text: &mut String,
    key: &str,
    addresses: &[VirtualAddress],
    router: &RouterSnapshot,
) -> fmt::Result {
    for (position, address) in addresses.iter().enumerate() {
        let before = if position == 0 { format!(",\"{key}\":[") } else { ",".to_owned() };
        let interface = address.interface.as_ref().unwrap_or(&router.config.interfaces.addresses);
        let line = address_line(&address.spec, interface.as_str(), router.holds_addresses)?;
        write!(text, "{before}{}", Quoted(&line))?;
    }
    if !addresses.is_empty() {
        text.push(']');
    }
    Ok(())
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

fn write_stats(text: &mut String, counters: &Counters) -> fmt::Result {
    let rejected = |kind| counters.rejected(kind);
    let fields = [
        ("advert_rcvd", counters.advertisements_received),
        ("advert_sent", counters.advertisements_sent),
        ("become_master", counters.became_master),
        ("release_master", counters.released_master),
        ("packet_len_err", rejected(RejectionKind::Length)),
        (
            "advert_interval_err",
            rejected(RejectionKind::IntervalMismatch) + rejected(RejectionKind::IntervalZero),
        ),
        ("ip_ttl_err", rejected(RejectionKind::HopLimit)),
        ("invalid_type_rcvd", rejected(RejectionKind::Type)),
        ("addr_list_err", counters.address_list_mismatches),
        ("invalid_authtype", rejected(RejectionKind::AuthenticationType)),
        ("authtype_mismatch", rejected(RejectionKind::AuthenticationMismatch)),
        ("auth_failure", rejected(RejectionKind::AuthenticationFailure)),
        // auth_hmac is refused by the configuration, so nothing can be counted.
        ("auth_ext_missing", 0),
        ("auth_ext_malformed", 0),
        ("auth_ext_unknown_key", 0),
        ("auth_ext_invalid_hmac", 0),
        ("auth_ext_stale", 0),
        ("auth_ext_replay", 0),
        ("pri_zero_rcvd", counters.priority_zero_received),
        ("pri_zero_sent", counters.priority_zero_sent),
    ];
    for (position, (name, value)) in fields.iter().enumerate() {
        let comma = if position == 0 { "" } else { "," };
        write!(text, "{comma}\"{name}\":{value}")?;
    }
    Ok(())
}

/// A JSON string.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' | '/' => write!(f, "\\{c}")?,
                c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::snapshot::Lateness;
    use crate::node::{Event, HaNode, NodeConfig};
    use crate::time::Now;
    use crate::vrrp::{Actions, RouterConfig};
    use crate::wire::vrrp::Vrid;

    /// Written by keepalived 2.2.7 for the configuration below, up to `vips` and with what a router that has
    /// not started differs in.
    const DATA: &str = r#"[{"data":{"iname":"VI_1","dont_track_primary":0,"skip_check_adv_addr":0,"strict_mode":0,"vmac_ifname":"","ifp_ifname":"v0","master_priority":0,"last_transition":0.000000,"garp_delay":5,"garp_refresh":0,"garp_rep":5,"garp_refresh_rep":1,"garp_lower_prio_delay":5,"garp_lower_prio_rep":5,"lower_prio_no_advert":0,"higher_prio_send_advert":0,"vrid":51,"base_priority":255,"effective_priority":255,"vipset":false,"promote_secondaries":false,"adver_int":1,"master_adver_int":1,"accept":1,"nopreempt":false,"preempt_delay":0,"state":0,"wantstate":0,"version":2,"smtp_alert":false,"notify_deleted":false,"vips":["192.0.2.50\/24 dev v0 scope global label v0:1"],"auth_type":0},"stats":{"advert_rcvd":0,"#;

    fn prefix(text: &str) -> crate::net::Prefix {
        crate::daemon::record::parse_prefix(text).unwrap()
    }

    #[test]
    fn data_are_keepalived_s() {
        let mut config =
            RouterConfig::new("VI_1", Vrid::new(51).unwrap(), Family::Ipv4, "v0".parse().unwrap());
        config.priority = Priority::OWNER;
        config.higher_prio_send_advert = false;
        let spec = AddressSpec { label: Some("v0:1".into()), ..AddressSpec::new(prefix("192.0.2.50/24")) };
        config.addresses.push(VirtualAddress { spec, interface: None, track: true });
        let mut node = HaNode::new(NodeConfig { routers: vec![config], ..NodeConfig::default() });
        assert_eq!(text(&Snapshot::of(&node, &Lateness::default(), 0), 1), None);
        let view = crate::kernel::KernelEvent::View(crate::kernel::KernelView::default());
        let mut actions = Actions::default();
        node.handle(Now::default(), Event::Kernel(view), &mut actions);
        let text = text(&Snapshot::of(&node, &Lateness::default(), 0), 1).unwrap();
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
            ..AddressSpec::new(prefix("192.0.2.51/32"))
        };
        assert_eq!(line(&spec), "192.0.2.51 brd 192.0.2.255 dev v0 scope link set");
        let host = AddressSpec::new(prefix("2001:db8::99/128"));
        assert_eq!(line(&host), "2001:db8::99 dev v0 scope global deprecated set");
        let net = AddressSpec::new(prefix("2001:db8::98/64"));
        assert_eq!(line(&net), "2001:db8::98/64 dev v0 scope global preferred_lft forever set");
    }
}
