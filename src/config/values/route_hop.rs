//! Next hops of routes: `via`, `nexthop`, `encap`.

use core::net::IpAddr;
#[cfg(test)]
use core::net::{Ipv4Addr, Ipv6Addr};

use super::line::{self, LineFamily, drop_line};
use super::parse;
use super::words::{Args, Printed, Word};
use crate::config::diagnostics::Diagnostic;
use crate::config::source::Position;
use crate::kernel::{Encapsulation, NextHop, TunnelHeader, WeightedHop};
use crate::net::{Family, InterfaceName};
#[cfg(test)]
use crate::prng::Prng;

/// `[inet|inet6] ADDRESS` after `via`.
pub(super) fn gateway(args: &mut Args<'_>, option: Word<'_>, family: &mut LineFamily) -> Option<IpAddr> {
    let mut word = line::value(args, option)?;
    if let Some(wanted) = family_word(word.0) {
        family.set(args, wanted, word.1)?;
        word = line::value(args, word)?;
    }
    line::address(args, word, family)
}

/// `inet`, `inet6`.
pub(super) fn family_word(word: &str) -> Option<Family> {
    match word {
        "inet" => Some(Family::Ipv4),
        "inet6" => Some(Family::Ipv6),
        _ => None,
    }
}

/// What follows `nexthop`, up to the next one or the end. Its weight may be wrong, then it is 1.
pub(super) fn leg(
    args: &mut Args<'_>,
    family: &mut LineFamily,
    named: &mut Vec<(InterfaceName, Position)>,
) -> Option<WeightedHop> {
    let mut leg = WeightedHop { hop: NextHop::default(), weight_minus_one: 0, realms: None };
    while let Some(word) = args.peek() {
        match word.0 {
            "via" => {
                args.next();
                leg.hop.gateway = Some(gateway(args, word, family)?);
            }
            "dev" | "oif" => {
                args.next();
                leg.hop.interface = Some(line::named_interface(args, word, named)?);
            }
            "weight" => {
                args.next();
                leg.weight_minus_one = weight(args, word)?;
            }
            "onlink" => {
                args.next();
                leg.hop.on_link = true;
            }
            "encap" => {
                args.next();
                leg.hop.encapsulation = Some(Box::new(encapsulation(args, word)?));
            }
            "realms" => {
                args.next();
                leg.realms = Some(line::realms(args, word)?);
            }
            _ => break,
        }
    }
    Some(leg)
}

fn weight(args: &mut Args<'_>, option: Word<'_>) -> Option<u8> {
    let (text, at) = line::value(args, option)?;
    let weight = parse::integer(text).and_then(|weight| u8::try_from(weight.checked_sub(1)?).ok());
    if weight.is_none() {
        args.reading.diagnostics.push(
            Diagnostic::error("invalid-value", format!("`weight` must be from 1 to 256, not `{text}`"))
                .at(at)
                .note("the weight is ignored, the next hop is used"),
        );
    }
    Some(weight.unwrap_or(0))
}

/// What follows `encap`.
pub(super) fn encapsulation(args: &mut Args<'_>, option: Word<'_>) -> Option<Encapsulation> {
    let kind = line::value(args, option)?;
    match kind.0 {
        "ip" => {
            let names = ["id", "dst", "src", "tos", "ttl", "flags"];
            tunnel(args, kind, names, |address| match address {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            })
            .map(Encapsulation::Ip)
        }
        "ip6" => {
            let names = ["id", "dst", "src", "tc", "hoplimit", "flags"];
            tunnel(args, kind, names, |address| match address {
                IpAddr::V6(address) => Some(address),
                IpAddr::V4(_) => None,
            })
            .map(Encapsulation::Ip6)
        }
        "mpls" => {
            let (text, at) = line::value(args, kind)?;
            match parse::labels(text) {
                Some(labels) => Some(Encapsulation::Mpls(labels)),
                None => drop_line(
                    args,
                    at,
                    format!("`{text}` are no MPLS labels: numbers from 0 to 1048575 with `/` between"),
                ),
            }
        }
        "ila" => {
            let (text, at) = line::value(args, kind)?;
            match parse::locator(text) {
                Some(locator) => Some(Encapsulation::Ila(locator)),
                None => drop_line(
                    args,
                    at,
                    format!("`{text}` is no locator: write four groups, as in 2001:db8:0:1"),
                ),
            }
        }
        other => drop_line(
            args,
            kind.1,
            format!("`{other}` is no kind of encapsulation: write ip, ip6, mpls or ila"),
        ),
    }
}

/// The options of an IP tunnel; the first word that is none ends them.
fn tunnel<A>(
    args: &mut Args<'_>,
    kind: Word<'_>,
    [id, destination, source, tos, ttl, flags]: [&str; 6],
    of_family: impl Fn(IpAddr) -> Option<A>,
) -> Option<TunnelHeader<A>> {
    let mut header = TunnelHeader::default();
    while let Some(word) = args.peek() {
        let number = |args: &mut Args<'_>, high: u64| {
            args.next();
            let (text, at) = line::value(args, word)?;
            match parse::c_integer(text).filter(|number| *number <= high) {
                Some(number) => Some(number),
                None => drop_line(
                    args,
                    at,
                    format!("`{}` must be a number from 0 to {high}, not `{text}`", word.0),
                ),
            }
        };
        let address = |args: &mut Args<'_>| {
            args.next();
            let (text, at) = line::value(args, word)?;
            match parse::address(text).and_then(&of_family) {
                Some(address) => Some(address),
                None => drop_line(args, at, format!("`{text}` is no address for an {} tunnel", kind.0)),
            }
        };
        match word.0 {
            name if name == id => header.id = Some(number(args, u64::MAX)?),
            name if name == destination => header.destination = Some(address(args)?),
            name if name == source => header.source = Some(address(args)?),
            name if name == tos => header.tos = u8::try_from(number(args, 255)?).ok(),
            name if name == ttl => header.ttl = u8::try_from(number(args, 255)?).ok(),
            name if name == flags => header.flags = u16::try_from(number(args, 65535)?).ok(),
            _ => break,
        }
    }
    if header.id.is_none() && header.destination.is_none() && header.source.is_none() {
        return drop_line(args, kind.1, format!("`encap {}` needs an id or an address", kind.0));
    }
    Some(header)
}

/// A hop as words.
pub(super) fn print_hop(hop: &NextHop, out: &mut Printed) {
    if let Some(gateway) = hop.gateway {
        out.option("via", gateway);
    }
    if let Some(interface) = &hop.interface {
        out.option("dev", interface);
    }
    if hop.on_link {
        out.value("onlink");
    }
    match hop.encapsulation.as_deref() {
        None => {}
        Some(Encapsulation::Ip(header)) => {
            print_tunnel("ip", ["tos", "ttl"], header, out);
        }
        Some(Encapsulation::Ip6(header)) => {
            print_tunnel("ip6", ["tc", "hoplimit"], header, out);
        }
        Some(Encapsulation::Mpls(labels)) => {
            let labels: Vec<String> = labels.iter().map(u32::to_string).collect();
            out.value("encap");
            out.option("mpls", labels.join("/"));
        }
        Some(Encapsulation::Ila(locator)) => {
            let group = |shift: u32| locator >> shift & 0xffff;
            out.value("encap");
            out.option("ila", format_args!("{:x}:{:x}:{:x}:{:x}", group(48), group(32), group(16), group(0)));
        }
    }
}

fn print_tunnel<A: core::fmt::Display>(
    kind: &str,
    [tos, ttl]: [&str; 2],
    header: &TunnelHeader<A>,
    out: &mut Printed,
) {
    out.option("encap", kind);
    if let Some(id) = header.id {
        out.option("id", id);
    }
    if let Some(address) = &header.destination {
        out.option("dst", address);
    }
    if let Some(address) = &header.source {
        out.option("src", address);
    }
    if let Some(value) = header.tos {
        out.option(tos, value);
    }
    if let Some(value) = header.ttl {
        out.option(ttl, value);
    }
    if let Some(flags) = header.flags {
        out.option("flags", flags);
    }
}

/// A leg as words.
pub(super) fn print_leg(leg: &WeightedHop, out: &mut Printed) {
    out.value("nexthop");
    print_hop(&leg.hop, out);
    if leg.weight_minus_one > 0 {
        out.option("weight", u16::from(leg.weight_minus_one) + 1);
    }
    if let Some(realms) = leg.realms {
        line::print_realms(realms, out);
    }
}

#[cfg(test)]
pub(super) fn sample_hop(random: &mut Prng, family: Family) -> NextHop {
    let address = |random: &mut Prng| match family {
        Family::Ipv4 => IpAddr::V4(Ipv4Addr::from_bits(0xc000_0200 + random.below(200) as u32)),
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) + u128::from(random.below(200)))),
    };
    let encapsulation = match random.below(8) {
        0 => Some(Encapsulation::Ip(TunnelHeader {
            id: Some(random.below(1 << 40)),
            destination: random.chance(1, 2).then_some(Ipv4Addr::new(192, 0, 2, 9)),
            source: None,
            tos: random.chance(1, 2).then_some(16),
            ttl: random.chance(1, 2).then_some(64),
            flags: random.chance(1, 2).then_some(3),
        })),
        1 => Some(Encapsulation::Ip6(TunnelHeader {
            source: Some(Ipv6Addr::LOCALHOST),
            tos: random.chance(1, 2).then_some(1),
            ..TunnelHeader::default()
        })),
        2 => Some(Encapsulation::Mpls(vec![16, 1_048_575])),
        3 => Some(Encapsulation::Ila(random.below(u64::MAX))),
        _ => None,
    };
    NextHop {
        gateway: random.chance(1, 2).then(|| address(random)),
        interface: random.chance(1, 2).then(|| "eth1".parse().unwrap()),
        on_link: random.chance(1, 5),
        encapsulation: encapsulation.map(Box::new),
    }
}

#[cfg(test)]
pub(super) fn sample_leg(random: &mut Prng, family: Family) -> WeightedHop {
    WeightedHop {
        hop: sample_hop(random, family),
        weight_minus_one: random.below(256) as u8,
        realms: (family == Family::Ipv4 && random.chance(1, 3))
            .then(|| crate::kernel::Realms { from: random.below(3) as u16, to: 9 }),
    }
}
