//! Addresses, routes and rules as keepalived's dumps write them, a line each.

use core::fmt::{self, Write as _};

use crate::kernel::{
    AddressSpec, Encapsulation, MarkMatch, NextHop, NextHops, Realms, Route, RouteInsertion, RouteMetric,
    RouteTable, RouteType, RouterPreference, Rule, RuleAction, TunnelHeader, scope_name,
};
use crate::net::{Family, InterfaceName, Prefix};
use crate::vrrp::{RouterInterfaces, VirtualAddress, VirtualRoute, VirtualRule};

/// `192.0.2.1/24 dev va scope global label va:1 set`. `set`: the kernel has it; `filtered`: in the set of addresses
/// that are not accepted.
pub(super) fn address(
    address: &VirtualAddress,
    interfaces: &RouterInterfaces,
    set: bool,
    filtered: bool,
) -> String {
    let mut line = String::new();
    // Writing to a String cannot fail.
    let _ = write_address(&mut line, &address.spec, &device(address, interfaces));
    if !address.track {
        line.push_str(" no_track");
    }
    // keepalived has `no_track` between the flags and the lifetime.
    let _ = write_lifetime(&mut line, &address.spec);
    line.push_str(if set { " set" } else { "" });
    line.push_str(if filtered { " nftable_set" } else { "" });
    line
}

/// The interface of an address, `vrrp.57@eth0` for one of our own.
fn device(address: &VirtualAddress, interfaces: &RouterInterfaces) -> String {
    let name = address.interface.as_ref().unwrap_or(&interfaces.addresses);
    match &interfaces.base {
        Some(base) if *name == interfaces.addresses => format!("{name}@{base}"),
        _ => name.to_string(),
    }
}

fn write_address(line: &mut String, spec: &AddressSpec, device: &str) -> fmt::Result {
    line.push_str(&host_or_prefix(&spec.prefix));
    if let Some(broadcast) = &spec.broadcast {
        write!(line, " brd {broadcast}")?;
    }
    write!(line, " dev {device} scope {}", scope_name(spec.scope))?;
    if let Some(label) = &spec.label {
        write!(line, " label {label}")?;
    }
    if let Some(peer) = &spec.peer {
        write!(line, " peer {peer}")?;
    }
    let flags = &spec.flags;
    for (flag, word) in [
        (flags.home, " home"),
        (flags.duplicate_address_detection, " -nodad"),
        (flags.manage_temporary, " mngtmpaddr"),
        (flags.no_prefix_route, " noprefixroute"),
        (flags.auto_join, " autojoin"),
    ] {
        line.push_str(if flag { word } else { "" });
    }
    Ok(())
}

fn write_lifetime(line: &mut String, spec: &AddressSpec) -> fmt::Result {
    match (spec.prefix.family(), spec.preferred_lifetime_s) {
        (Family::Ipv4, _) => Ok(()),
        (Family::Ipv6, Some(0)) => line.write_str(" deprecated"),
        (Family::Ipv6, None) => line.write_str(" preferred_lft forever"),
        (Family::Ipv6, Some(seconds)) => write!(line, " preferred_lft {seconds}"),
    }
}

/// Without the length of a single address.
fn host_or_prefix(prefix: &Prefix) -> String {
    if prefix.length() == prefix.family().bits() { prefix.address().to_string() } else { prefix.to_string() }
}

/// `prepend 198.51.100.0/24 via inet 192.0.2.254 dev va proto 18`.
pub(super) fn route(route: &VirtualRoute) -> String {
    let mut line = String::new();
    // Writing to a String cannot fail.
    let _ = write_route(&mut line, &route.route);
    if !route.track {
        line.push_str(" no_track");
    }
    line
}

fn write_route(line: &mut String, route: &Route) -> fmt::Result {
    // What has no gateway is never one of several in keepalived.
    line.push_str(match (route.kind, route.insertion) {
        (RouteType::Unicast, RouteInsertion::Prepend) => "prepend",
        (_, RouteInsertion::Append) => "append",
        (_, RouteInsertion::Exclusive | RouteInsertion::Prepend) => "add",
    });
    if route.kind != RouteType::Unicast {
        write!(line, " {}", route.kind.keyword())?;
    }
    write!(line, " {}", host_or_prefix(&route.destination))?;
    if let Some(source) = &route.source {
        write!(line, " from {}", host_or_prefix(source))?;
    }
    if let Some(source) = route.preferred_source {
        write!(line, " src {source}")?;
    }
    if route.tos != 0 {
        write!(line, " tos {}", route.tos)?;
    }
    if let NextHops::One(hop) = &route.next {
        write_encapsulation(line, hop)?;
        write_hop(line, hop)?;
    }
    if route.table != RouteTable::MAIN {
        write!(line, " table {}", table(&route.table))?;
    }
    write!(line, " proto {}", route.protocol)?;
    if let Some(scope) = route.scope {
        write!(line, " scope {scope}")?;
    }
    if let Some(metric) = route.metric {
        write!(line, " metric {metric}")?;
    }
    if let Some(seconds) = route.expires_s {
        write!(line, " expires {seconds}sec")?;
    }
    if matches!(&route.next, NextHops::One(hop) if hop.on_link) {
        line.push_str(" onlink");
    }
    if let Some(realms) = route.realms {
        write!(line, " {}", realms_words(realms))?;
    }
    if let Some(control) = &route.congestion_control {
        write!(line, " congctl {}{}", if control.locked { "lock " } else { "" }, control.name)?;
    }
    write_metrics(line, route)?;
    if let Some(preference) = route.preference {
        line.push_str(match preference {
            RouterPreference::Low => " pref low",
            RouterPreference::Medium => " pref medium",
            RouterPreference::High => " pref high",
        });
    }
    if let Some(propagate) = route.ttl_propagate {
        write!(line, " ttl-propagate {}", if propagate { "enabled" } else { "disabled" })?;
    }
    if let NextHops::Multipath(hops) = &route.next {
        for weighted in hops {
            line.push_str(" nexthop");
            write_encapsulation(line, &weighted.hop)?;
            write_hop(line, &weighted.hop)?;
            write!(line, " weight {}", u16::from(weighted.weight_minus_one) + 1)?;
            line.push_str(if weighted.hop.on_link { " onlink" } else { "" });
            if let Some(realms) = weighted.realms {
                write!(line, " {}", realms_words(realms))?;
            }
        }
    }
    Ok(())
}

fn table(table: &RouteTable) -> String {
    match table {
        RouteTable::Number(number) => number.to_string(),
        RouteTable::OfVrf(name) => format!("vrf {name}"),
    }
}

fn realms_words(Realms { from, to }: Realms) -> String {
    if from == 0 { format!("realms {to}") } else { format!("realms {from}/{to}") }
}

fn write_hop(line: &mut String, hop: &NextHop) -> fmt::Result {
    if let Some(gateway) = hop.gateway {
        let family = if gateway.is_ipv4() { "inet" } else { "inet6" };
        write!(line, " via {family} {gateway}")?;
    }
    write_named(line, "dev", hop.interface.as_ref())
}

fn write_named(line: &mut String, word: &str, name: Option<&InterfaceName>) -> fmt::Result {
    name.map_or(Ok(()), |name| write!(line, " {word} {name}"))
}

fn write_encapsulation(line: &mut String, hop: &NextHop) -> fmt::Result {
    match hop.encapsulation.as_deref() {
        None => Ok(()),
        Some(Encapsulation::Ip(header)) => write_header(line, "ip", "tos", "ttl", header),
        Some(Encapsulation::Ip6(header)) => write_header(line, "ip6", "tc", "hoplimit", header),
        Some(Encapsulation::Mpls(labels)) => {
            let labels: Vec<String> = labels.iter().map(u32::to_string).collect();
            write!(line, " encap mpls {}", labels.join("/"))
        }
        Some(Encapsulation::Ila(locator)) => write!(line, " encap ila {locator:x}"),
    }
}

fn write_header<A: fmt::Display>(
    line: &mut String,
    kind: &str,
    tos: &str,
    ttl: &str,
    header: &TunnelHeader<A>,
) -> fmt::Result {
    write!(line, " encap {kind}")?;
    let mut number = |word: &str, value: Option<u64>| -> fmt::Result {
        value.map_or(Ok(()), |value| write!(line, " {word} {value}"))
    };
    number("id", header.id)?;
    if let Some(destination) = &header.destination {
        write!(line, " dst {destination}")?;
    }
    if let Some(source) = &header.source {
        write!(line, " src {source}")?;
    }
    let mut number = |word: &str, value: Option<u16>| -> fmt::Result {
        value.map_or(Ok(()), |value| write!(line, " {word} {value}"))
    };
    number(tos, header.tos.map(u16::from))?;
    number(ttl, header.ttl.map(u16::from))?;
    header.flags.map_or(Ok(()), |flags| write!(line, " flags 0x{flags:x}"))
}

fn write_metrics(line: &mut String, route: &Route) -> fmt::Result {
    use RouteMetric as M;
    // keepalived's order.
    for metric in [
        M::Rtt,
        M::RttVariance,
        M::RetransmissionTimeoutMinimum,
        M::Features,
        M::Mtu,
        M::Window,
        M::SlowStartThreshold,
        M::CongestionWindow,
        M::AdvertisedMss,
        M::Reordering,
        M::HopLimit,
        M::InitialCongestionWindow,
        M::InitialReceiveWindow,
        M::QuickAck,
        M::FastOpenNoCookie,
    ] {
        let Some(value) = route.metrics.get(&metric) else { continue };
        write!(line, " {} {}", metric.keyword(), if value.locked { "lock " } else { "" })?;
        match metric {
            M::Rtt => line.push_str(&milliseconds(value.value / 8)),
            M::RttVariance => line.push_str(&milliseconds(value.value / 4)),
            M::RetransmissionTimeoutMinimum => line.push_str(&milliseconds(value.value)),
            M::Features if value.value == 1 => line.push_str("ecn"),
            _ => write!(line, "{}", value.value)?,
        }
    }
    Ok(())
}

fn milliseconds(ms: u32) -> String {
    if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{ms}ms") }
}

/// `from 192.0.2.1 priority 500 tos 0x0 protocol 18 lookup 100`.
pub(super) fn rule(rule: &VirtualRule) -> String {
    let mut line = String::new();
    // Writing to a String cannot fail.
    let _ = write_rule(&mut line, &rule.rule);
    if !rule.track {
        line.push_str(" no_track");
    }
    line
}

fn write_rule(line: &mut String, rule: &Rule) -> fmt::Result {
    line.push_str(if rule.invert { "not from " } else { "from " });
    line.push_str(&rule.from.as_ref().map_or_else(|| "all".to_owned(), host_or_prefix));
    if let Some(to) = &rule.to {
        write!(line, " to {}", host_or_prefix(to))?;
    }
    if let Some(priority) = rule.priority {
        write!(line, " priority {priority}")?;
    }
    write!(line, " tos 0x{:x}", rule.tos)?;
    if let Some(MarkMatch { mark, mask }) = rule.mark {
        write!(line, " fwmark 0x{mark:x}")?;
        if mask != u32::MAX {
            write!(line, "/0x{mask:x}")?;
        }
    }
    write_named(line, "iif", rule.input.as_ref())?;
    write_named(line, "oif", rule.output.as_ref())?;
    if let Some(length) = rule.suppress_prefix_length {
        write!(line, " suppress_prefixlen {length}")?;
    }
    if let Some(group) = rule.suppress_interface_group {
        write!(line, " suppress_ifgroup {group}")?;
    }
    if let Some(id) = rule.tunnel_id {
        write!(line, " tunnel-id {id}")?;
    }
    if let Some(users) = &rule.users {
        write!(line, " uidrange {}-{}", users.first(), users.last())?;
    }
    if rule.action == RuleAction::LookupVrf {
        line.push_str(" l3mdev");
    }
    write!(line, " protocol {}", rule.protocol)?;
    if let Some(protocol) = rule.ip_protocol {
        write!(line, " ipproto {protocol}")?;
    }
    for (word, ports) in [("sport", &rule.source_ports), ("dport", &rule.destination_ports)] {
        if let Some(ports) = ports {
            write!(line, " {word} {}-{}", ports.first(), ports.last())?;
        }
    }
    if let Some(realms) = rule.realms {
        write!(line, " {}", realms_words(realms))?;
    }
    match &rule.action {
        RuleAction::Lookup(of) => write!(line, " lookup {}", table(of)),
        // The table is none of its own.
        RuleAction::LookupVrf => line.write_str(" lookup 0"),
        RuleAction::GoTo(priority) => write!(line, " goto {priority}"),
        RuleAction::Nop => line.write_str(" nop"),
        RuleAction::Blackhole => line.write_str(" type blackhole"),
        RuleAction::Unreachable => line.write_str(" type unreachable"),
        RuleAction::Prohibit => line.write_str(" type prohibit"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_on_an_interface_of_ours_names_both() {
        let name = |text: &str| text.parse::<InterfaceName>().unwrap();
        let on_top = RouterInterfaces::on_top(name("eth0"), name("vrrp.57"), None, false);
        let prefix = Prefix::new("2001:db8::99".parse().unwrap(), 128).unwrap();
        let mut virtual_address =
            VirtualAddress { spec: AddressSpec::new(prefix), interface: None, track: true };
        assert_eq!(
            address(&virtual_address, &on_top, true, true),
            "2001:db8::99 dev vrrp.57@eth0 scope global deprecated set nftable_set"
        );
        virtual_address.interface = Some(name("eth1"));
        assert_eq!(
            address(&virtual_address, &on_top, false, false),
            "2001:db8::99 dev eth1 scope global deprecated"
        );
    }
}
