//! Reads what the kernel says of routes and rules, as far as it tells ours from others.

use std::net::IpAddr;

use super::datagram::{attributes, u16_at, u32_at};
use super::message::{ip, text};
use super::routing::{
    FIB_RULE_INVERT, FR_ACT_BLACKHOLE, FR_ACT_GOTO, FR_ACT_NOP, FR_ACT_PROHIBIT, FR_ACT_TO_TBL,
    FR_ACT_UNREACHABLE, FRA_DPORT_RANGE, FRA_DST, FRA_FLOW, FRA_FWMARK, FRA_FWMASK, FRA_GOTO, FRA_IIFNAME,
    FRA_IP_PROTO, FRA_L3MDEV, FRA_OIFNAME, FRA_PRIORITY, FRA_PROTOCOL, FRA_SPORT_RANGE, FRA_SRC,
    FRA_SUPPRESS_IFGROUP, FRA_SUPPRESS_PREFIXLEN, FRA_TABLE, FRA_TUN_ID, FRA_UID_RANGE, RTA_DST, RTA_GATEWAY,
    RTA_MULTIPATH, RTA_OIF, RTA_PREFSRC, RTA_PRIORITY, RTA_SRC, RTA_TABLE, RTA_VIA,
};
use crate::kernel::{
    HeldRoute, HeldWay, IdRange, MarkMatch, Realms, RoutePlace, RouteTable, RouteType, Rule, RuleAction,
};
use crate::net::{Family, InterfaceIndex, Prefix};

/// Bytes of `struct rtmsg` and of `struct fib_rule_hdr`.
const HEAD: usize = 12;

/// `RTM_F_CLONED`: found out for one destination, no route of the table.
const CLONED: u32 = 0x200;

fn family(number: u8) -> Option<Family> {
    match i32::from(number) {
        libc::AF_INET => Some(Family::Ipv4),
        libc::AF_INET6 => Some(Family::Ipv6),
        _ => None,
    }
}

fn everything(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::from([0; 4]),
        Family::Ipv6 => IpAddr::from([0; 16]),
    }
}

/// A route of `RTM_NEWROUTE` or `RTM_DELROUTE`.
pub(super) fn route(body: &[u8]) -> Option<HeldRoute> {
    let &[family_number, length, source_length, tos, table, protocol, _, kind, ..] = body else {
        return None;
    };
    if u32_at(body, 8)? & CLONED != 0 {
        return None;
    }
    let family = family(family_number)?;
    let mut destination = everything(family);
    let (mut source, mut metric, mut preferred_source) = (None, 0, None);
    let (mut table, mut one, mut ways) = (u32::from(table), (None, None), Vec::new());
    let number = i32::from(family_number);
    for (kind, value) in attributes(body.get(HEAD..)?) {
        match kind {
            RTA_DST => destination = ip(number, value)?,
            RTA_SRC => source = ip(number, value),
            RTA_PREFSRC => preferred_source = ip(number, value),
            RTA_PRIORITY => metric = u32_at(value, 0)?,
            RTA_TABLE => table = u32_at(value, 0)?,
            RTA_OIF => one.1 = u32_at(value, 0).and_then(InterfaceIndex::new),
            RTA_GATEWAY => one.0 = ip(number, value),
            RTA_VIA => one.0 = via(value),
            RTA_MULTIPATH => ways = legs(number, value),
            _ => {}
        }
    }
    if ways.is_empty() && one != (None, None) {
        ways.push(HeldWay { gateway: one.0, link: one.1, weight_minus_one: 0 });
    }
    Some(HeldRoute {
        place: RoutePlace {
            table,
            destination: Prefix::new(destination, length)?,
            source: source
                .and_then(|source| Prefix::new(source, source_length))
                .filter(|_| source_length > 0),
            tos,
            metric,
        },
        kind: RouteType::ALL.into_iter().find(|known| known.number() == kind)?,
        protocol,
        preferred_source,
        ways,
    })
}

/// `struct rtvia`: a gateway of another family.
fn via(value: &[u8]) -> Option<IpAddr> {
    ip(u16_at(value, 0)?.into(), value.get(2..)?)
}

fn legs(family: i32, mut bytes: &[u8]) -> Vec<HeldWay> {
    const HEADER: usize = 8;
    let mut legs = Vec::new();
    while let Some(length) = u16_at(bytes, 0).map(usize::from)
        && let Some(leg) = bytes.get(..length)
        && let (Some(weight_minus_one), Some(index), Some(rest)) =
            (leg.get(3), u32_at(leg, 4), leg.get(HEADER..))
    {
        let mut gateway = None;
        for (kind, value) in attributes(rest) {
            match kind {
                RTA_GATEWAY => gateway = ip(family, value),
                RTA_VIA => gateway = via(value),
                _ => {}
            }
        }
        let link = InterfaceIndex::new(index);
        legs.push(HeldWay { gateway, link, weight_minus_one: *weight_minus_one });
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    legs
}

/// A rule of `RTM_NEWRULE` or `RTM_DELRULE`.
pub(super) fn rule(body: &[u8]) -> Option<Rule> {
    let &[family_number, to_length, from_length, tos, table, _, _, action, ..] = body else { return None };
    let family = family(family_number)?;
    let number = i32::from(family_number);
    let mut rule = Rule::new(family);
    rule.protocol = 0;
    rule.tos = tos;
    rule.priority = Some(0);
    rule.invert = u32_at(body, 8)? & FIB_RULE_INVERT != 0;
    let (mut table, mut target, mut vrf) = (u32::from(table), 0, false);
    let (mut mark, mut mask) = (0, None);
    for (kind, value) in attributes(body.get(HEAD..)?) {
        match kind {
            FRA_DST => rule.to = ip(number, value).and_then(|address| Prefix::new(address, to_length)),
            FRA_SRC => rule.from = ip(number, value).and_then(|address| Prefix::new(address, from_length)),
            FRA_PRIORITY => rule.priority = u32_at(value, 0),
            FRA_TABLE => table = u32_at(value, 0)?,
            FRA_FWMARK => mark = u32_at(value, 0)?,
            FRA_FWMASK => mask = u32_at(value, 0),
            FRA_FLOW => {
                let realms = u32_at(value, 0)?;
                rule.realms = Some(Realms { from: (realms >> 16) as u16, to: realms as u16 });
            }
            FRA_IIFNAME => rule.input = text(value).parse().ok(),
            FRA_OIFNAME => rule.output = text(value).parse().ok(),
            FRA_SUPPRESS_PREFIXLEN => rule.suppress_prefix_length = u32_at(value, 0)?.try_into().ok(),
            FRA_SUPPRESS_IFGROUP => rule.suppress_interface_group = Some(u32_at(value, 0)?),
            FRA_TUN_ID => rule.tunnel_id = value.try_into().ok().map(u64::from_be_bytes),
            FRA_UID_RANGE => rule.users = IdRange::new(u32_at(value, 0)?, u32_at(value, 4)?),
            FRA_PROTOCOL => rule.protocol = *value.first()?,
            FRA_IP_PROTO => rule.ip_protocol = value.first().copied(),
            FRA_SPORT_RANGE => rule.source_ports = IdRange::new(u16_at(value, 0)?, u16_at(value, 2)?),
            FRA_DPORT_RANGE => rule.destination_ports = IdRange::new(u16_at(value, 0)?, u16_at(value, 2)?),
            FRA_GOTO => target = u32_at(value, 0)?,
            FRA_L3MDEV => vrf = value.first().is_some_and(|on| *on != 0),
            _ => {}
        }
    }
    rule.suppress_interface_group = rule.suppress_interface_group.filter(|group| *group != u32::MAX);
    if mark != 0 || mask.is_some_and(|mask| mask != 0) {
        rule.mark = Some(MarkMatch { mark, mask: mask.unwrap_or(u32::MAX) });
    }
    rule.action = match action {
        FR_ACT_TO_TBL if vrf => RuleAction::LookupVrf,
        FR_ACT_TO_TBL => RuleAction::Lookup(RouteTable::Number(table)),
        FR_ACT_GOTO => RuleAction::GoTo(target),
        FR_ACT_NOP => RuleAction::Nop,
        FR_ACT_BLACKHOLE => RuleAction::Blackhole,
        FR_ACT_UNREACHABLE => RuleAction::Unreachable,
        FR_ACT_PROHIBIT => RuleAction::Prohibit,
        _ => return None,
    };
    Some(rule)
}
