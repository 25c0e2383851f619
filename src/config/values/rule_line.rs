//! Lines of `static_rules` and `virtual_rules`.

use super::line::{self, LineFamily, NamedInterfaces, drop_line};
use super::parse;
use super::route_hop::family_word;
use super::words::{Args, Argument, Printed, Word};
use crate::config::diagnostics::Diagnostic;
use crate::config::iproute::{self, Table};
use crate::config::schema::Context;
use crate::config::source::{Position, Span};
use crate::kernel::{IdRange, MarkMatch, ROUTE_PROTOCOL, RouteTable, Rule, RuleAction};
use crate::net::{Family, InterfaceName};
#[cfg(test)]
use crate::prng::Prng;

/// A rule and what holds for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RuleLine {
    /// The rule. Without `preference` it has none yet.
    pub rule: Rule,
    /// Not `no_track`.
    pub track: bool,
    /// `track_group`.
    pub track_group: Option<Box<str>>,
    /// Interfaces it names.
    pub interfaces: NamedInterfaces,
}

/// Words that are not in the schema's rows by themselves.
const SYNONYMS: [&str; 11] = [
    "inet",
    "inet6",
    "goto",
    "nop",
    "blackhole",
    "unreachable",
    "prohibit",
    "type",
    "sup_pl",
    "sup_group",
    "ip_proto",
];

/// A line while it is read.
struct Draft {
    rule: Rule,
    family: LineFamily,
    action: Option<(RuleAction, Span)>,
    protocol: Option<(u8, Span)>,
    track: bool,
    track_group: Option<Box<str>>,
    named: Vec<(InterfaceName, Position)>,
}

impl Draft {
    const fn new() -> Self {
        Self {
            rule: Rule::new(Family::Ipv4),
            family: LineFamily::UNKNOWN,
            action: None,
            protocol: None,
            track: true,
            track_group: None,
            named: Vec::new(),
        }
    }

    /// Takes one option. `None`: the line is dropped.
    fn option(&mut self, args: &mut Args<'_>, word: Word<'_>) -> Option<()> {
        args.note_inline(Context::RuleLine, word);
        let (name, at) = word;
        if let Some(family) = family_word(name) {
            return self.family.set(args, family, at);
        }
        match name {
            "from" => {
                let word = line::value(args, word)?;
                self.rule.from = line::prefix_or_all(args, word, &mut self.family)?;
            }
            "to" => {
                let word = line::value(args, word)?;
                self.rule.to = line::prefix_or_all(args, word, &mut self.family)?;
            }
            "not" => self.rule.invert = true,
            "table" | "lookup" => {
                let table = line::table(args, word)?;
                if table == RouteTable::Number(0) {
                    return drop_line(args, at, "a rule cannot look up table 0".to_owned());
                }
                self.act(args, at, RuleAction::Lookup(table))?;
            }
            "l3mdev" => self.act(args, at, RuleAction::LookupVrf)?,
            "type" => {
                let action = line::value(args, word)?;
                self.named_action(args, action)?;
            }
            "goto" | "nop" | "blackhole" | "unreachable" | "prohibit" => self.named_action(args, word)?,
            "preference" | "order" | "priority" => {
                self.rule.priority = Some(line::number(args, word, 0, u32::MAX)?);
            }
            "tos" | "dsfield" => self.rule.tos = line::tos(args, word)?,
            "fwmark" => self.rule.mark = Some(mark(args, word)?),
            "realms" => self.rule.realms = Some(line::realms(args, word)?),
            "suppress_prefixlength" | "sup_pl" => {
                let length = line::number(args, word, 0, 128)?;
                self.rule.suppress_prefix_length = u8::try_from(length).ok();
            }
            "suppress_ifgroup" | "sup_group" => {
                self.rule.suppress_interface_group =
                    Some(line::named_number(args, word, Table::Groups, u32::MAX)?);
            }
            "dev" | "iif" => self.rule.input = Some(line::named_interface(args, word, &mut self.named)?),
            "oif" => self.rule.output = Some(line::named_interface(args, word, &mut self.named)?),
            "tunnel-id" => {
                let (text, at) = line::value(args, word)?;
                match text.parse() {
                    Ok(id) => self.rule.tunnel_id = Some(id),
                    Err(_) => {
                        return drop_line(args, at, format!("`{text}` is no tunnel id: a number below 2^64"));
                    }
                }
            }
            "uidrange" => self.rule.users = Some(range(args, word, false)?),
            "sport" => self.rule.source_ports = Some(range(args, word, true)?),
            "dport" => self.rule.destination_ports = Some(range(args, word, true)?),
            "ipproto" | "ip_proto" => self.rule.ip_protocol = Some(ip_protocol(args, word)?),
            "protocol" => {
                let (text, place) = line::value(args, word)?;
                let number = iproute::lookup(args.reading.host, Table::Protocols, text);
                match number.and_then(|number| u8::try_from(number).ok()) {
                    Some(number) => self.protocol = Some((number, at)),
                    None => args.reading.diagnostics.push(
                        Diagnostic::error(
                            "invalid-value",
                            format!("`{text}` is no protocol: write 0 to 255"),
                        )
                        .at(place)
                        .label("left out")
                        .note("the rule stays, with the protocol keepalived"),
                    ),
                }
            }
            "no_track" => self.track = false,
            "track_group" => self.track_group = Some(line::value(args, word)?.0.into()),
            _ => return line::unknown_option(args, word, Context::RuleLine, &SYNONYMS),
        }
        Some(())
    }

    fn named_action(&mut self, args: &mut Args<'_>, word: Word<'_>) -> Option<()> {
        let (name, at) = word;
        let action = match name {
            "goto" => RuleAction::GoTo(line::number(args, word, 1, u32::MAX)?),
            "nop" => RuleAction::Nop,
            "blackhole" => RuleAction::Blackhole,
            "unreachable" => RuleAction::Unreachable,
            "prohibit" => RuleAction::Prohibit,
            _ => {
                return drop_line(
                    args,
                    at,
                    format!("`{name}` is no action: write goto, nop, blackhole, unreachable or prohibit"),
                );
            }
        };
        self.act(args, at, action)
    }

    fn act(&mut self, args: &Args<'_>, at: Span, action: RuleAction) -> Option<()> {
        if let Some((_, first)) = &self.action {
            args.reading.diagnostics.push(
                Diagnostic::error("two-actions", "a rule has one action")
                    .at(at)
                    .related(*first, "the first one")
                    .note("the whole line is ignored"),
            );
            return None;
        }
        self.action = Some((action, at));
        Some(())
    }

    fn finish(mut self, args: &Args<'_>) -> Option<RuleLine> {
        let place = args.statement.text();
        let Some((action, at)) = self.action else {
            args.reading.diagnostics.push(
                Diagnostic::error("no-action", "this rule says what it matches, but not what to do")
                    .at(place)
                    .note("the whole line is ignored")
                    .help("write `table` with the routing table to look up, or goto, nop, blackhole, unreachable, prohibit"),
            );
            return None;
        };
        if let RuleAction::GoTo(target) = action {
            match self.rule.priority {
                Some(priority) if priority < target => {}
                Some(priority) => {
                    return drop_line(
                        args,
                        at,
                        format!("`goto {target}` must lead on, to a preference above {priority}"),
                    );
                }
                None => return drop_line(args, at, "a rule with `goto` needs a `preference`".to_owned()),
            }
        }
        self.rule.family = self.family.get();
        self.rule.action = action;
        self.rule.protocol = line::protocol(args, self.track, self.protocol).unwrap_or(self.rule.protocol);
        Some(RuleLine {
            rule: self.rule,
            track: self.track,
            track_group: self.track_group,
            interfaces: NamedInterfaces(self.named.into()),
        })
    }
}

/// `MARK[/MASK]`, hexadecimal too.
fn mark(args: &mut Args<'_>, option: Word<'_>) -> Option<MarkMatch> {
    let (text, at) = line::value(args, option)?;
    let bits = |number: u64| u32::try_from(number).ok();
    let read = parse::masked(text).map(|(mark, mask)| (bits(mark), mask.map_or(Some(u32::MAX), bits)));
    match read {
        Some((Some(mark), Some(mask))) => Some(MarkMatch { mark, mask }),
        _ => drop_line(args, at, format!("`{text}` is no mark: write MARK or MARK/MASK, as in 0x10/0xff")),
    }
}

/// `A-B`, or `A` alone where that is allowed.
fn range<T>(args: &mut Args<'_>, option: Word<'_>, single: bool) -> Option<IdRange<T>>
where
    T: Copy + Ord + TryFrom<i64>,
{
    let (text, at) = line::value(args, option)?;
    let ends = parse::number_range(text).or_else(|| {
        let number = parse::integer(text).filter(|_| single)?;
        Some((number, number))
    });
    let ends = ends.and_then(|(first, last)| Some((T::try_from(first).ok()?, T::try_from(last).ok()?)));
    let Some((first, last)) = ends else {
        return drop_line(args, at, format!("`{text}` is no range of `{}`: write FIRST-LAST", option.0));
    };
    let range = IdRange::new(first, last);
    if range.is_none() {
        // keepalived takes it, and the kernel then refuses the rule: no fault for `-t`, but no rule either.
        args.reading.diagnostics.push(
            Diagnostic::warning("backward-range", format!("the range `{text}` runs backwards"))
                .at(at)
                .note("the kernel would refuse it: the whole line is ignored"),
        );
    }
    range
}

/// A protocol of IP by number or name.
fn ip_protocol(args: &mut Args<'_>, option: Word<'_>) -> Option<u8> {
    const KNOWN: [(&str, u8); 12] = [
        ("icmp", 1),
        ("igmp", 2),
        ("tcp", 6),
        ("udp", 17),
        ("gre", 47),
        ("esp", 50),
        ("ah", 51),
        ("ipv6-icmp", 58),
        ("ospf", 89),
        ("vrrp", 112),
        ("sctp", 132),
        ("udplite", 136),
    ];
    let (text, at) = line::value(args, option)?;
    let known = KNOWN.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, number)| number);
    let number = parse::integer(text).and_then(|number| u8::try_from(number).ok());
    match known.or(number).or_else(|| iproute::ip_protocol(args.reading.host, text)) {
        Some(protocol) => Some(protocol),
        None => {
            drop_line(args, at, format!("`{text}` is no protocol: write a number from 0 to 255 or a name"))
        }
    }
}

impl Argument for RuleLine {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let mut draft = Draft::new();
        while let Some(word) = args.next() {
            draft.option(args, word)?;
        }
        draft.finish(args)
    }

    fn print(&self, out: &mut Printed) {
        let rule = &self.rule;
        if rule.from.is_none() && rule.to.is_none() {
            out.value(if rule.family == Family::Ipv4 { "inet" } else { "inet6" });
        }
        if rule.invert {
            out.value("not");
        }
        if let Some(prefix) = rule.from {
            out.option("from", prefix);
        }
        if let Some(prefix) = rule.to {
            out.option("to", prefix);
        }
        if let Some(priority) = rule.priority {
            out.option("preference", priority);
        }
        if rule.tos != 0 {
            out.option("tos", format_args!("{:#x}", rule.tos));
        }
        match rule.mark {
            Some(MarkMatch { mark, mask: u32::MAX }) => out.option("fwmark", format_args!("{mark:#x}")),
            Some(MarkMatch { mark, mask }) => out.option("fwmark", format_args!("{mark:#x}/{mask:#x}")),
            None => {}
        }
        if let Some(realms) = rule.realms {
            line::print_realms(realms, out);
        }
        if let Some(name) = &rule.input {
            out.option("iif", name);
        }
        if let Some(name) = &rule.output {
            out.option("oif", name);
        }
        if let Some(length) = rule.suppress_prefix_length {
            out.option("suppress_prefixlength", length);
        }
        if let Some(group) = rule.suppress_interface_group {
            out.option("suppress_ifgroup", group);
        }
        if let Some(id) = rule.tunnel_id {
            out.option("tunnel-id", id);
        }
        if let Some(users) = rule.users {
            out.option("uidrange", format_args!("{}-{}", users.first(), users.last()));
        }
        if rule.protocol != ROUTE_PROTOCOL {
            out.option("protocol", rule.protocol);
        }
        if let Some(protocol) = rule.ip_protocol {
            out.option("ipproto", protocol);
        }
        for (name, ports) in [("sport", rule.source_ports), ("dport", rule.destination_ports)] {
            if let Some(ports) = ports {
                out.option(name, format_args!("{}-{}", ports.first(), ports.last()));
            }
        }
        if !self.track {
            out.value("no_track");
        }
        if let Some(group) = &self.track_group {
            out.value("track_group");
            out.word(group);
        }
        match &rule.action {
            RuleAction::Lookup(RouteTable::Number(table)) => out.option("table", table),
            // Only routes take `vrf`.
            RuleAction::Lookup(RouteTable::OfVrf(_)) | RuleAction::LookupVrf => out.value("l3mdev"),
            RuleAction::GoTo(target) => out.option("goto", target),
            RuleAction::Nop => out.value("nop"),
            RuleAction::Blackhole => out.value("blackhole"),
            RuleAction::Unreachable => out.value("unreachable"),
            RuleAction::Prohibit => out.value("prohibit"),
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        super::route_sample::rule_line(random)
    }
}
