//! Addresses and prefixes.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::parse::{self, PrefixFault};
use super::words::{Args, Argument, Printed, Word};
use crate::config::diagnostics::Diagnostic;
use crate::net::{Family, Prefix};
#[cfg(test)]
use crate::prng::Prng;

/// An address without length.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Address(pub IpAddr);

impl Argument for Address {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let word = args.required()?;
        address(args, word).map(Self)
    }

    fn print(&self, out: &mut Printed) {
        out.value(self.0);
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self(if random.chance(1, 2) {
            IpAddr::V4(Ipv4Addr::from_bits(0xc000_0200 + u32::try_from(random.below(256)).unwrap()))
        } else {
            IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) + u128::from(random.below(65536))))
        })
    }
}

/// A word as an address.
pub(super) fn address(args: &Args<'_>, (text, at): Word<'_>) -> Option<IpAddr> {
    // keepalived passes over whatever follows the slash, but for what looks like a range.
    let (written, length) =
        text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    match (parse::address(written), length) {
        (Some(address), None) => Some(address),
        (Some(address), Some(length)) if !length.contains('-') => {
            args.reading.diagnostics.push(
                Diagnostic::warning(
                    "prefix-length",
                    format!("`{text}` has a prefix length, which does not belong here"),
                )
                .at(at)
                .label(format!("{address} is used")),
            );
            Some(address)
        }
        _ => {
            args.reject(at, format!("`{text}` is no address: names are not resolved, write numbers"));
            None
        }
    }
}

/// A word as an address with its length, if it has one.
pub(super) fn prefix(args: &Args<'_>, (text, at): Word<'_>) -> Option<(IpAddr, Option<u8>)> {
    match parse::prefix(text) {
        Ok(prefix) => Some(prefix),
        Err(PrefixFault::Address) => {
            args.reject(at, format!("`{text}` is no address"));
            None
        }
        Err(PrefixFault::Length(address)) => {
            let family = Family::of(&address);
            args.reject(
                at,
                format!("the prefix length of `{text}` must be from 0 to {} for {family}", family.bits()),
            );
            None
        }
    }
}

/// A word as a prefix of full length if it has none.
pub(super) fn full_prefix(args: &Args<'_>, word: Word<'_>) -> Option<Prefix> {
    let (address, length) = prefix(args, word)?;
    Prefix::new(address, length.unwrap_or_else(|| Family::of(&address).bits()))
}

/// Some address with a prefix length.
#[cfg(test)]
pub(super) fn sample_prefix(random: &mut Prng) -> Prefix {
    let address = Address::sample(random).0;
    let bits = Family::of(&address).bits();
    Prefix::new(address, u8::try_from(random.between(0, bits.into())).unwrap()).unwrap()
}

/// An IPv4 multicast group.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Multicast4(pub Ipv4Addr);

/// An IPv6 multicast group.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Multicast6(pub Ipv6Addr);

impl Argument for Multicast4 {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let word = args.required()?;
        match address(args, word)? {
            IpAddr::V4(group) if group.is_multicast() => Some(Self(group)),
            other => {
                args.reject(
                    word.1,
                    format!("{other} is no IPv4 multicast group (224.0.0.0 to 239.255.255.255)"),
                );
                None
            }
        }
    }

    fn print(&self, out: &mut Printed) {
        out.value(self.0);
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self(Ipv4Addr::new(224, 0, 0, u8::try_from(random.below(256)).unwrap()))
    }
}

impl Argument for Multicast6 {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let word = args.required()?;
        match address(args, word)? {
            IpAddr::V6(group) if group.is_multicast() => Some(Self(group)),
            other => {
                args.reject(word.1, format!("{other} is no IPv6 multicast group (ff00::/8)"));
                None
            }
        }
    }

    fn print(&self, out: &mut Printed) {
        out.value(self.0);
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, u16::try_from(random.below(65536)).unwrap()))
    }
}
