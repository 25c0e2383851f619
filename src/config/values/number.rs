//! Switches, whole numbers and times.

use core::fmt;

use super::parse;
use super::words::{Args, Argument, Printed};
use crate::config::diagnostics::Diagnostic;
#[cfg(test)]
use crate::prng::Prng;
use crate::time::Duration;
use crate::wire::vrrp::Priority;

/// A keyword without argument: it is there or not.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Flag;

impl Argument for Flag {
    fn parse(_: &mut Args<'_>) -> Option<Self> {
        Some(Self)
    }

    fn print(&self, _: &mut Printed) {}

    #[cfg(test)]
    fn sample(_: &mut Prng) -> Self {
        Self
    }
}

/// `on`, `off`, `true`, `false`, `yes`, `no`; nothing means on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Bool(pub bool);

impl Argument for Bool {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        match args.next() {
            None | Some(("on" | "true" | "yes", _)) => Some(Self(true)),
            Some(("off" | "false" | "no", _)) => Some(Self(false)),
            Some(word) => {
                args.reject_choice(word, &["on", "off", "true", "false", "yes", "no"]);
                None
            }
        }
    }

    fn print(&self, out: &mut Printed) {
        out.value(if self.0 { "on" } else { "off" });
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self(random.chance(1, 2))
    }
}

/// Takes the next word as a number from `low` to `high`.
pub(super) fn ranged(args: &mut Args<'_>, low: i64, high: i64) -> Option<i64> {
    let word = args.required()?;
    in_range(args, word, low, high, args.name())
}

/// A word as a number from `low` to `high`; `what` names it in the error.
pub(super) fn in_range(
    args: &Args<'_>,
    (text, at): super::words::Word<'_>,
    low: i64,
    high: i64,
    what: &str,
) -> Option<i64> {
    match parse::integer(text) {
        Some(number) if (low..=high).contains(&number) => Some(number),
        Some(_) => {
            args.reject(at, format!("`{what}` must be from {low} to {high}, not {text}"));
            None
        }
        None => {
            args.reject(at, format!("`{text}` is no whole number: `{what}` takes {low} to {high}"));
            None
        }
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Natural<const MIN: u32, const MAX: u32>(pub u32);

impl<const MIN: u32, const MAX: u32> Argument for Natural<MIN, MAX> {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        ranged(args, MIN.into(), MAX.into()).and_then(|n| u32::try_from(n).ok()).map(Self)
    }

    fn print(&self, out: &mut Printed) {
        out.value(self.0);
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self(u32::try_from(random.between(MIN.into(), MAX.into())).unwrap())
    }
}

/// As [`Natural`], but of a word that goes on after its number (`2.0`, `2x`) the number counts, with the error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Leading<const MIN: u32, const MAX: u32>(pub u32);

impl<const MIN: u32, const MAX: u32> Argument for Leading<MIN, MAX> {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let word = args.required()?;
        let in_range = |number: &u32| (MIN..=MAX).contains(number);
        let digits = word.0.bytes().take_while(u8::is_ascii_digit).count();
        let leading = word.0.get(..digits).and_then(|digits| digits.parse().ok()).filter(in_range);
        match leading {
            Some(number) if digits < word.0.len() => {
                args.reading.diagnostics.push(
                    Diagnostic::error("invalid-value", format!("`{}` is no whole number", word.0))
                        .at(word.1)
                        .label(format!("{number} is used")),
                );
                Some(Self(number))
            }
            _ => number(args, word, MIN, MAX).map(Self),
        }
    }

    fn print(&self, out: &mut Printed) {
        out.value(self.0);
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self(Natural::<MIN, MAX>::sample(random).0)
    }
}

fn number(args: &Args<'_>, word: super::words::Word<'_>, low: u32, high: u32) -> Option<u32> {
    in_range(args, word, low.into(), high.into(), args.name()).and_then(|number| u32::try_from(number).ok())
}

/// From 1 to 255. One that cannot be used counts as 100: as one that was not written it would make an owner (255) of a
/// router with `state MASTER`.
impl Argument for Priority {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let word = args.required()?;
        let priority = in_range(args, word, 1, 255, args.name()).and_then(|number| u8::try_from(number).ok());
        Some(priority.map_or(Self::DEFAULT, Self))
    }

    fn print(&self, out: &mut Printed) {
        out.value(self.0);
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self(u8::try_from(random.between(1, 255)).unwrap())
    }
}

/// A whole number from `MIN` to `MAX`, which may be left out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct OptionalNatural<const MIN: u32, const MAX: u32>(pub Option<u32>);

impl<const MIN: u32, const MAX: u32> Argument for OptionalNatural<MIN, MAX> {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        if args.peek().is_none() {
            return Some(Self(None));
        }
        Natural::<MIN, MAX>::parse(args).map(|number| Self(Some(number.0)))
    }

    fn print(&self, out: &mut Printed) {
        if let Some(number) = self.0 {
            out.value(number);
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self(random.chance(1, 2).then(|| Natural::<MIN, MAX>::sample(random).0))
    }
}

/// A number from `MIN` to `MAX` that may be negative.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Integer<const MIN: i32, const MAX: i32>(pub i32);

impl<const MIN: i32, const MAX: i32> Argument for Integer<MIN, MAX> {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        ranged(args, MIN.into(), MAX.into()).and_then(|n| i32::try_from(n).ok()).map(Self)
    }

    fn print(&self, out: &mut Printed) {
        out.value(self.0);
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        let width = i64::from(MAX) - i64::from(MIN);
        let offset = i64::try_from(random.below(width as u64 + 1)).unwrap();
        Self(i32::try_from(i64::from(MIN) + offset).unwrap())
    }
}

/// As [`Integer`], which may be left out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct OptionalInteger<const MIN: i32, const MAX: i32>(pub Option<i32>);

impl<const MIN: i32, const MAX: i32> Argument for OptionalInteger<MIN, MAX> {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        if args.peek().is_none() {
            return Some(Self(None));
        }
        Integer::<MIN, MAX>::parse(args).map(|number| Self(Some(number.0)))
    }

    fn print(&self, out: &mut Printed) {
        if let Some(number) = self.0 {
            out.value(number);
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self(random.chance(1, 2).then(|| Integer::<MIN, MAX>::sample(random).0))
    }
}

/// A time of `MIN` to `MAX` microseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Micros<const MIN: u64, const MAX: u64, const UNIT_PLACES: u32>(pub u64);

/// A time in seconds with up to six decimal places, of `MIN` to `MAX` microseconds.
pub(crate) type Seconds<const MIN: u64, const MAX: u64> = Micros<MIN, MAX, 6>;

impl<const MIN: u64, const MAX: u64, const UNIT_PLACES: u32> Micros<MIN, MAX, UNIT_PLACES> {
    /// A time within the range.
    pub(crate) fn of(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_micros()).unwrap_or(MAX))
    }

    /// As a duration.
    pub(crate) const fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }

    fn unit() -> &'static str {
        if UNIT_PLACES == 6 { "seconds" } else { "milliseconds" }
    }
}

/// Microseconds as a decimal number of a unit of `10^places` microseconds.
struct Decimal {
    micros: u64,
    places: u32,
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = 10_u64.pow(self.places);
        let (whole, rest) = (self.micros / unit, self.micros % unit);
        if rest == 0 {
            return whole.fmt(f);
        }
        let fraction = format!("{rest:0width$}", width = self.places as usize);
        write!(f, "{whole}.{}", fraction.trim_end_matches('0'))
    }
}

impl<const MIN: u64, const MAX: u64, const UNIT_PLACES: u32> Argument for Micros<MIN, MAX, UNIT_PLACES> {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let (text, at) = args.required()?;
        let show = |micros| Decimal { micros, places: UNIT_PLACES };
        let Some((value, rounded)) = parse::decimal(text, UNIT_PLACES) else {
            args.reject(at, format!("`{text}` is no number of {}", Self::unit()));
            return None;
        };
        if rounded {
            args.reading.diagnostics.push(
                Diagnostic::error(
                    "too-many-places",
                    format!("`{text}` has too many decimal places: microseconds are the finest unit"),
                )
                .at(at)
                .label("rounded"),
            );
        }
        match u64::try_from(value) {
            Ok(value) if (MIN..=MAX).contains(&value) => Some(Self(value)),
            _ => {
                args.reject(
                    at,
                    format!(
                        "`{}` must be from {} to {} {}, not {text}",
                        args.name(),
                        show(MIN),
                        show(MAX),
                        Self::unit()
                    ),
                );
                None
            }
        }
    }

    fn print(&self, out: &mut Printed) {
        out.value(Decimal { micros: self.0, places: UNIT_PLACES });
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self(random.between(MIN, MAX.min(MIN + 100_000_000)))
    }
}
