//! Lines of `static_routes` and `virtual_routes`.

use core::net::IpAddr;

use super::line::{self, LineFamily, NamedInterfaces, drop_line};
use super::parse;
use super::route_hop::{encapsulation, family_word, gateway, leg, print_hop, print_leg};
use super::words::{Args, Argument, Printed, Word};
use crate::config::diagnostics::Diagnostic;
use crate::config::iproute::Table;
use crate::config::schema::Context;
use crate::config::source::{Position, Span};
use crate::kernel::{
    self, CongestionControl, MetricValue, NextHop, NextHops, ROUTE_PROTOCOL, Route, RouteInsertion,
    RouteMetric, RouteTable, RouteType, RouterPreference, WeightedHop,
};
use crate::net::{Family, InterfaceName, Prefix};
#[cfg(test)]
use crate::prng::Prng;

/// A route and what holds for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RouteLine {
    /// The route.
    pub route: Route,
    /// Not `no_track`.
    pub track: bool,
    /// `track_group`.
    pub track_group: Option<Box<str>>,
    /// Interfaces it names.
    pub interfaces: NamedInterfaces,
}

/// Words that mean the same as one of the schema.
const SYNONYMS: [&str; 8] =
    ["inet", "inet6", "add", "prepend", "append", "default", "blackhole", "unreachable"];

/// Shortest time that the kernel is given, in milliseconds.
const TIME_MINIMUM_MS: u64 = 200;

/// A line while it is read.
struct Draft {
    route: Route,
    family: LineFamily,
    /// The destination, `None` for everything.
    destination: Option<Option<Prefix>>,
    hop: NextHop,
    second_gateway: Option<IpAddr>,
    legs: Vec<WeightedHop>,
    protocol: Option<(u8, Span)>,
    track: bool,
    track_group: Option<Box<str>>,
    named: Vec<(InterfaceName, Position)>,
}

impl Draft {
    fn new() -> Self {
        Self {
            route: Route::new(Prefix::host(IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED))),
            family: LineFamily::default(),
            destination: None,
            hop: NextHop::default(),
            second_gateway: None,
            legs: Vec::new(),
            protocol: None,
            track: true,
            track_group: None,
            named: Vec::new(),
        }
    }

    /// Takes one option. `None`: the line is dropped.
    fn option(&mut self, args: &mut Args<'_>, word: Word<'_>) -> Option<()> {
        args.note_inline(Context::RouteLine, word);
        let (name, at) = word;
        if let Some(metric) = RouteMetric::ALL.into_iter().find(|metric| metric.keyword() == name) {
            return self.metric(args, word, metric);
        }
        if let Some(kind) = RouteType::ALL.into_iter().find(|kind| kind.keyword() == name) {
            self.route.kind = kind;
            return Some(());
        }
        if let Some(family) = family_word(name) {
            return self.family.set(args, family, at);
        }
        match name {
            "to" => {
                let word = line::value(args, word)?;
                self.destination = Some(line::prefix_or_all(args, word, &mut self.family)?);
            }
            "src" => {
                let word = line::value(args, word)?;
                self.route.preferred_source = Some(line::address(args, word, &mut self.family)?);
            }
            "from" => {
                let word = line::value(args, word)?;
                let source = line::prefix_or_all(args, word, &mut self.family)?;
                let is_ipv6 = source.is_some() || word.0 == line::EVERYTHING_IPV6;
                if !is_ipv6 || self.family.get() == Family::Ipv4 {
                    return drop_line(args, at, "`from` is for IPv6 routes only".to_owned());
                }
                self.route.source = source;
            }
            "as" => self.new_destination(args, word)?,
            "via" => self.hop.gateway = Some(gateway(args, word, &mut self.family)?),
            "gw" => {
                deprecated(args, word, "via");
                self.hop.gateway = Some(gateway(args, word, &mut self.family)?);
            }
            "or" => {
                deprecated(args, word, "nexthop");
                self.second_gateway = Some(gateway(args, word, &mut self.family)?);
            }
            "dev" | "oif" => self.hop.interface = Some(line::named_interface(args, word, &mut self.named)?),
            "onlink" => self.hop.on_link = true,
            "encap" => self.hop.encapsulation = Some(Box::new(encapsulation(args, word)?)),
            "tos" | "dsfield" => self.route.tos = line::tos(args, word)?,
            "table" => {
                self.route.table = match line::table(args, word)? {
                    RouteTable::Number(0) => RouteTable::MAIN,
                    table => table,
                };
            }
            "vrf" => {
                self.route.table = RouteTable::OfVrf(line::named_interface(args, word, &mut self.named)?);
            }
            "protocol" => {
                let number = line::named_number(args, word, Table::Protocols, 255)?;
                self.protocol = Some((u8::try_from(number).ok()?, at));
            }
            "scope" => {
                let scope = line::named_number(args, word, Table::Scopes, 255)?;
                self.route.scope = u8::try_from(scope).ok();
            }
            "metric" | "priority" | "preference" => {
                self.route.metric = Some(line::number(args, word, 0, u32::MAX)?);
            }
            "expires" => {
                self.route.expires_s = Some(line::number(args, word, 0, u32::MAX)?);
                self.only_ipv6(args, word)?;
            }
            "pref" => {
                self.route.preference = self.preference(args, word)?;
            }
            "ttl-propagate" => self.route.ttl_propagate = ttl_propagate(args, word)?,
            "realms" => self.route.realms = Some(line::realms(args, word)?),
            "congctl" => {
                let locked = args.accept("lock");
                let (algorithm, at) = line::value(args, word)?;
                if algorithm.len() > 15 {
                    return drop_line(
                        args,
                        at,
                        format!("`{algorithm}` is too long for an algorithm: 15 characters"),
                    );
                }
                self.route.congestion_control = Some(CongestionControl { name: algorithm.into(), locked });
            }
            "add" => self.route.insertion = RouteInsertion::Exclusive,
            "prepend" => self.route.insertion = RouteInsertion::Prepend,
            "append" => self.route.insertion = RouteInsertion::Append,
            "no_track" => self.track = false,
            "track_group" => self.track_group = Some(line::value(args, word)?.0.into()),
            "nexthop" => self.legs.push(leg(args, &mut self.family, &mut self.named)?),
            _ if line::is_everything(name) || name == line::EVERYTHING_IPV6 => {
                self.destination = Some(line::prefix_or_all(args, word, &mut self.family)?);
            }
            _ if parse::prefix(name) != Err(parse::PrefixFault::Address) => {
                self.destination = Some(Some(line::prefix(args, word, &mut self.family)?));
            }
            _ => return line::unknown_option(args, word, Context::RouteLine, &SYNONYMS),
        }
        Some(())
    }

    /// `as [to] ADDRESS`: for MPLS only, which keepalived does not route; said and passed over.
    fn new_destination(&mut self, args: &mut Args<'_>, word: Word<'_>) -> Option<()> {
        args.accept("to");
        let value = line::value(args, word)?;
        args.reading.diagnostics.push(
            Diagnostic::error("not-for-ip", "`as` is for MPLS routes only")
                .at(word.1.to(value.1))
                .note("it is ignored, the route is used"),
        );
        Some(())
    }

    fn metric(&mut self, args: &mut Args<'_>, word: Word<'_>, metric: RouteMetric) -> Option<()> {
        let locked = metric.lockable() && args.accept("lock");
        let value = match metric {
            RouteMetric::Rtt => time(args, word)?.checked_mul(8),
            RouteMetric::RttVariance => time(args, word)?.checked_mul(4),
            RouteMetric::RetransmissionTimeoutMinimum => Some(time(args, word)?),
            RouteMetric::QuickAck | RouteMetric::FastOpenNoCookie => Some(line::number(args, word, 0, 1)?),
            RouteMetric::HopLimit => Some(line::number(args, word, 0, 255)?),
            RouteMetric::Features => {
                let (feature, at) = line::value(args, word)?;
                if feature != "ecn" {
                    args.reading.diagnostics.push(
                        Diagnostic::error(
                            "invalid-value",
                            format!("`{feature}` is no feature: there is `ecn` only"),
                        )
                        .at(at)
                        .note("it is ignored, the route is used"),
                    );
                    return Some(());
                }
                Some(1)
            }
            _ => Some(line::number(args, word, 0, u32::MAX)?),
        };
        let Some(value) = value else {
            return drop_line(args, word.1, format!("`{}` is too long", word.0));
        };
        self.route.metrics.insert(metric, MetricValue { value, locked });
        Some(())
    }

    fn only_ipv6(&self, args: &Args<'_>, (name, at): Word<'_>) -> Option<()> {
        if self.family.get() == Family::Ipv4 && self.family.is_known() {
            return drop_line(args, at, format!("`{name}` is for IPv6 routes only"));
        }
        Some(())
    }

    fn preference(&self, args: &mut Args<'_>, word: Word<'_>) -> Option<Option<RouterPreference>> {
        let (text, at) = line::value(args, word)?;
        self.only_ipv6(args, word)?;
        // Numbers are those of RFC 4191 §2.1.
        let preference = match text {
            "low" | "3" => RouterPreference::Low,
            "high" | "1" => RouterPreference::High,
            // The kernel takes any other number for medium.
            _ if text == "medium" || parse::c_integer(text).is_some() => RouterPreference::Medium,
            _ => {
                return drop_line(args, at, format!("`{text}` is no preference: write low, medium or high"));
            }
        };
        Some(Some(preference))
    }

    /// Puts the parts together once all are known.
    fn finish(mut self, args: &Args<'_>) -> Option<RouteLine> {
        let place = args.statement.text();
        let Some(destination) = self.destination else {
            return drop_line(args, place, "a route must have a destination".to_owned());
        };
        let family = self.family.get();
        self.route.family = family;
        self.route.destination = destination.unwrap_or_else(|| everything(family));
        self.next_hops(args, place);
        self.route.protocol = line::protocol(args, self.track, self.protocol).unwrap_or(self.route.protocol);
        Some(RouteLine {
            route: self.route,
            track: self.track,
            track_group: self.track_group,
            interfaces: NamedInterfaces(self.named.into()),
        })
    }

    fn next_hops(&mut self, args: &Args<'_>, place: Span) {
        let forwards = !matches!(
            self.route.kind,
            RouteType::Blackhole | RouteType::Unreachable | RouteType::Prohibit | RouteType::Throw
        );
        let single = self.hop != NextHop::default();
        let warn = |message: &str| {
            args.reading.diagnostics.push(Diagnostic::warning("route-without-effect", message).at(place));
        };
        if !forwards && (single || !self.legs.is_empty()) {
            warn("a route that forwards nothing has no gateway and no interface: they are left out");
            return;
        }
        if let Some(second) = self.second_gateway {
            let also = NextHop { gateway: Some(second), ..self.hop.clone() };
            for hop in [core::mem::take(&mut self.hop), also] {
                self.legs.push(WeightedHop { hop, weight_minus_one: 0, realms: None });
            }
        } else if single && !self.legs.is_empty() {
            warn("`via` and `dev` before `nexthop` contradict it: the next hops are used");
        } else if single {
            self.route.next = NextHops::One(core::mem::take(&mut self.hop));
        } else if self.legs.is_empty() && self.route.kind == RouteType::Unicast {
            warn("this route names neither gateway nor interface: the kernel will refuse it");
        }
        if !self.legs.is_empty() {
            self.route.next = NextHops::Multipath(core::mem::take(&mut self.legs));
        }
    }
}

const fn everything(family: Family) -> Prefix {
    use core::net::{Ipv4Addr, Ipv6Addr};
    let address = match family {
        Family::Ipv4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    match Prefix::new(address, 0) {
        Some(prefix) => prefix,
        None => Prefix::host(address),
    }
}

fn deprecated(args: &Args<'_>, (name, at): Word<'_>, instead: &str) {
    args.reading.diagnostics.push(
        Diagnostic::error("deprecated", format!("`{name}` is deprecated"))
            .at(at)
            .help(format!("write `{instead}` instead")),
    );
}

/// A time in milliseconds: `100`, `100ms`, `0.1s`. keepalived raises those under 200 ms.
fn time(args: &mut Args<'_>, option: Word<'_>) -> Option<u32> {
    let (text, at) = line::value(args, option)?;
    let milliseconds = parse::milliseconds(text);
    let Some(milliseconds) = milliseconds.filter(|number| u32::try_from(*number).is_ok()) else {
        return drop_line(args, at, format!("`{text}` is no time: write 300ms or 0.3s"));
    };
    if milliseconds < TIME_MINIMUM_MS {
        args.reading.diagnostics.push(
            Diagnostic::warning(
                "time-raised",
                format!("`{}` {text} is below {TIME_MINIMUM_MS} ms", option.0),
            )
            .at(at)
            .note(format!("{TIME_MINIMUM_MS} ms is used")),
        );
    }
    u32::try_from(milliseconds.max(TIME_MINIMUM_MS)).ok()
}

fn ttl_propagate(args: &mut Args<'_>, word: Word<'_>) -> Option<Option<bool>> {
    let (text, at) = line::value(args, word)?;
    match text {
        "enabled" => Some(Some(true)),
        "disabled" => Some(Some(false)),
        _ => {
            args.reading.diagnostics.push(
                Diagnostic::error("invalid-value", format!("`{text}` is neither enabled nor disabled"))
                    .at(at)
                    .note("it is ignored, the route is used"),
            );
            Some(None)
        }
    }
}

impl Argument for RouteLine {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let mut draft = Draft::new();
        while let Some(word) = args.next() {
            if !draft.legs.is_empty() && word.0 != "nexthop" {
                args.reading.diagnostics.push(
                    Diagnostic::error("after-nexthop", format!("`{}` comes after the next hops", word.0))
                        .at(word.1)
                        .note("it and what follows it is ignored, the route is used")
                        .help("write `nexthop` last"),
                );
                args.skip_rest();
                break;
            }
            draft.option(args, word)?;
        }
        draft.finish(args)
    }

    fn print(&self, out: &mut Printed) {
        let route = &self.route;
        if route.kind != RouteType::Unicast {
            out.value(route.kind.keyword());
        }
        out.value(route.destination);
        if let Some(source) = route.source {
            out.option("from", source);
        }
        if let Some(source) = route.preferred_source {
            out.option("src", source);
        }
        if route.tos != 0 {
            out.option("tos", format_args!("{:#x}", route.tos));
        }
        match &route.table {
            &RouteTable::MAIN => {}
            RouteTable::Number(number) => out.option("table", number),
            RouteTable::OfVrf(name) => out.option("vrf", name),
        }
        if route.protocol != ROUTE_PROTOCOL {
            out.option("protocol", route.protocol);
        }
        if let Some(scope) = route.scope {
            out.option("scope", kernel::scope_name(scope));
        }
        if let Some(metric) = route.metric {
            out.option("metric", metric);
        }
        if let Some(seconds) = route.expires_s {
            out.option("expires", seconds);
        }
        match route.preference {
            Some(RouterPreference::Low) => out.option("pref", "low"),
            Some(RouterPreference::Medium) => out.option("pref", "medium"),
            Some(RouterPreference::High) => out.option("pref", "high"),
            None => {}
        }
        if let Some(propagate) = route.ttl_propagate {
            out.option("ttl-propagate", if propagate { "enabled" } else { "disabled" });
        }
        if let Some(realms) = route.realms {
            line::print_realms(realms, out);
        }
        for (metric, value) in &route.metrics {
            print_metric(*metric, *value, out);
        }
        if let Some(algorithm) = &route.congestion_control {
            out.value("congctl");
            if algorithm.locked {
                out.value("lock");
            }
            out.word(&algorithm.name);
        }
        match route.insertion {
            RouteInsertion::Prepend => {}
            RouteInsertion::Exclusive => out.value("add"),
            RouteInsertion::Append => out.value("append"),
        }
        if !self.track {
            out.value("no_track");
        }
        if let Some(group) = &self.track_group {
            out.value("track_group");
            out.word(group);
        }
        // Last, since an encapsulation takes the options that follow it.
        match &route.next {
            NextHops::None => {}
            NextHops::One(hop) => print_hop(hop, out),
            NextHops::Multipath(legs) => legs.iter().for_each(|leg| print_leg(leg, out)),
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        super::route_sample::route_line(random)
    }
}

fn print_metric(metric: RouteMetric, MetricValue { value, locked }: MetricValue, out: &mut Printed) {
    out.value(metric.keyword());
    if locked {
        out.value("lock");
    }
    match metric {
        RouteMetric::Rtt => out.value(format_args!("{}ms", value / 8)),
        RouteMetric::RttVariance => out.value(format_args!("{}ms", value / 4)),
        RouteMetric::RetransmissionTimeoutMinimum => out.value(format_args!("{value}ms")),
        RouteMetric::Features => out.value("ecn"),
        _ => out.value(value),
    }
}
