//! What lines of routes and rules have in common.

use super::parse;
use super::text::interface;
use super::words::{Args, Word};
use crate::config::diagnostics::{Diagnostic, Status};
use crate::config::iproute::{self, Table};
use crate::config::schema::{Context, nearest, schema};
use crate::config::source::{Position, Span};
use crate::kernel::{ROUTE_PROTOCOL, Realms, RouteTable};
use crate::net::{Family, InterfaceName, Prefix};

/// The interfaces that a line names and where: they are looked up when the whole file is known. Two lines
/// that differ in this alone are equal.
#[derive(Clone, Default)]
pub(crate) struct NamedInterfaces(pub Box<[(InterfaceName, Position)]>);

impl core::fmt::Debug for NamedInterfaces {
    /// Nothing: the line itself says it.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("_")
    }
}

impl PartialEq for NamedInterfaces {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The word after an option; keepalived stops at once when there is none.
pub(super) fn value<'a>(args: &mut Args<'a>, (option, at): Word<'_>) -> Option<Word<'a>> {
    let word = args.next();
    if word.is_none() {
        args.reading.diagnostics.push(
            Diagnostic::fatal("missing-argument", format!("`{option}` needs a value"))
                .status(Status::MissingArgument)
                .at(at)
                .label("nothing follows"),
        );
    }
    word
}

/// Reports a line that cannot be used; it is dropped.
pub(super) fn drop_line<T>(args: &Args<'_>, at: Span, message: String) -> Option<T> {
    args.reading
        .diagnostics
        .push(Diagnostic::error("invalid-value", message).at(at).note("the whole line is ignored"));
    None
}

/// Reports a word that is no option; the line is dropped.
pub(super) fn unknown_option<T>(
    args: &Args<'_>,
    (text, at): Word<'_>,
    context: Context,
    more: &[&'static str],
) -> Option<T> {
    let names = schema().names(context).filter(|name| !name.starts_with('(')).chain(more.iter().copied());
    let mut diagnostic = Diagnostic::error("unknown-option", format!("`{text}` is no option of this line"))
        .at(at)
        .label("not known")
        .note("the whole line is ignored");
    if let Some(near) = nearest(text, names) {
        diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
    }
    args.reading.diagnostics.push(diagnostic);
    None
}

/// A decimal number from `low` to `high` after an option.
pub(super) fn number(args: &mut Args<'_>, option: Word<'_>, low: u32, high: u32) -> Option<u32> {
    let (text, at) = value(args, option)?;
    let number = parse::integer(text).and_then(|number| u32::try_from(number).ok());
    match number.filter(|number| (low..=high).contains(number)) {
        Some(number) => Some(number),
        None => {
            drop_line(args, at, format!("`{}` must be a number from {low} to {high}, not `{text}`", option.0))
        }
    }
}

/// A name of one of iproute2's files, or a number up to `high`, after an option.
pub(super) fn named_number(args: &mut Args<'_>, option: Word<'_>, table: Table, high: u32) -> Option<u32> {
    let (text, at) = value(args, option)?;
    match iproute::lookup(args.reading.host, table, text).filter(|number| *number <= high) {
        Some(number) => Some(number),
        None => drop_line(
            args,
            at,
            format!(
                "`{text}` is no value of `{}`: write a number from 0 to {high}, or a name of /etc/iproute2/{}",
                option.0,
                table.file()
            ),
        ),
    }
}

/// `tos`, `dsfield`: 0 to 255, hexadecimal too.
pub(super) fn tos(args: &mut Args<'_>, option: Word<'_>) -> Option<u8> {
    named_number(args, option, Table::DifferentiatedServices, 255).and_then(|tos| u8::try_from(tos).ok())
}

/// A routing table.
pub(super) fn table(args: &mut Args<'_>, option: Word<'_>) -> Option<RouteTable> {
    named_number(args, option, Table::Tables, u32::MAX).map(RouteTable::Number)
}

/// An interface, noted in `named`.
pub(super) fn named_interface(
    args: &mut Args<'_>,
    option: Word<'_>,
    named: &mut Vec<(InterfaceName, Position)>,
) -> Option<InterfaceName> {
    let word = value(args, option)?;
    let name = interface(args, word)?;
    named.push((name.clone(), word.1.start));
    Some(name)
}

/// `[FROM/]TO`: numbers or names of `rt_realms`.
pub(super) fn realms(args: &mut Args<'_>, option: Word<'_>) -> Option<Realms> {
    let (text, at) = value(args, option)?;
    let realm = |name: &str| {
        iproute::lookup(args.reading.host, Table::Realms, name).and_then(|number| u16::try_from(number).ok())
    };
    let (from, to) = parse::slashed(text);
    match (from.map_or(Some(0), realm), realm(to)) {
        (Some(from), Some(to)) => Some(Realms { from, to }),
        _ => drop_line(
            args,
            at,
            format!("`{text}` are no realms: write TO or FROM/TO, numbers or names of rt_realms"),
        ),
    }
}

/// The protocol of a line, if it was written. Lines that are tracked have keepalived's: another is reported.
pub(super) fn protocol(args: &Args<'_>, tracked: bool, written: Option<(u8, Span)>) -> Option<u8> {
    let (protocol, at) = written?;
    if !tracked || protocol == ROUTE_PROTOCOL {
        return Some(protocol);
    }
    args.reading.diagnostics.push(
        Diagnostic::error(
            "protocol-of-tracked",
            format!("what is tracked has the protocol keepalived ({ROUTE_PROTOCOL}), not {protocol}"),
        )
        .at(at)
        .note(format!("{ROUTE_PROTOCOL} is used"))
        .help("write no_track to keep the protocol"),
    );
    None
}

/// Realms as words.
pub(super) fn print_realms(realms: Realms, out: &mut super::words::Printed) {
    match realms {
        Realms { from: 0, to } => out.option("realms", to),
        Realms { from, to } => out.option("realms", format_args!("{from}/{to}")),
    }
}

/// The family of a line, fixed by its first address or by `inet`, `inet6`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LineFamily(Option<(Family, Span)>);

impl LineFamily {
    /// Nothing has fixed it.
    pub(super) const UNKNOWN: Self = Self(None);

    /// The family, IPv4 if nothing says otherwise.
    pub(super) fn get(self) -> Family {
        self.0.map_or(Family::Ipv4, |(family, _)| family)
    }

    /// Whether something says so.
    pub(super) const fn is_known(self) -> bool {
        self.0.is_some()
    }

    /// Fixes the family, or reports that the line mixes them.
    pub(super) fn set(&mut self, args: &Args<'_>, family: Family, at: Span) -> Option<()> {
        match self.0 {
            Some((known, first)) if known != family => {
                args.reading.diagnostics.push(
                    Diagnostic::error("mixed-families", "this line mixes IPv4 and IPv6")
                        .at(at)
                        .label(family.to_string())
                        .related(first, format!("{known} by this"))
                        .note("the whole line is ignored"),
                );
                None
            }
            Some(_) => Some(()),
            None => {
                self.0 = Some((family, at));
                Some(())
            }
        }
    }
}

/// A prefix. keepalived uses the full length when the one written is too long, and says so.
pub(super) fn prefix(args: &Args<'_>, (text, at): Word<'_>, family: &mut LineFamily) -> Option<Prefix> {
    let (address, length) = match parse::prefix(text) {
        Ok(prefix) => prefix,
        Err(parse::PrefixFault::Length(address)) => {
            let length = text.split_once('/').map_or("", |(_, length)| length);
            let bits = Family::of(&address).bits();
            args.reading.diagnostics.push(
                Diagnostic::error(
                    "invalid-value",
                    format!("`{length}` is no prefix length of an {} address", Family::of(&address)),
                )
                .at(at)
                .note(format!("{bits} is used"))
                .help(format!("write a number from 0 to {bits} after the slash")),
            );
            (address, None)
        }
        Err(parse::PrefixFault::Address) => {
            return drop_line(args, at, format!("`{text}` is no address"));
        }
    };
    let own = Family::of(&address);
    family.set(args, own, at)?;
    Prefix::new(address, length.unwrap_or_else(|| own.bits()))
}

/// A word as a prefix, or as a word for everything.
pub(super) fn prefix_or_all(
    args: &Args<'_>,
    word: Word<'_>,
    family: &mut LineFamily,
) -> Option<Option<Prefix>> {
    if word.0 == EVERYTHING_IPV6 {
        family.set(args, Family::Ipv6, word.1)?;
        return Some(None);
    }
    if is_everything(word.0) { Some(None) } else { prefix(args, word, family).map(Some) }
}

/// All IPv6 addresses.
pub(super) const EVERYTHING_IPV6: &str = "default6";

/// Whether a word stands for all addresses, of the family that the line has otherwise.
pub(super) fn is_everything(word: &str) -> bool {
    matches!(word, "default" | "any" | "all")
}

/// A word as an address of the line's family.
pub(super) fn address(
    args: &Args<'_>,
    (text, at): Word<'_>,
    family: &mut LineFamily,
) -> Option<core::net::IpAddr> {
    let Some(address) = parse::address(text) else {
        return drop_line(args, at, format!("`{text}` is no address"));
    };
    family.set(args, Family::of(&address), at)?;
    Some(address)
}
