//! Parsers of single words (nom): numbers, addresses, prefixes, ranges, hardware addresses.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nom::branch::alt;
use nom::bytes::complete::{tag, tag_no_case, take_while_m_n, take_while1};
use nom::character::complete::{char, digit0, digit1, hex_digit1, oct_digit1, one_of};
use nom::combinator::{all_consuming, map_opt, map_res, opt, recognize, value, verify};
use nom::multi::{count, separated_list1};
use nom::sequence::{pair, preceded, separated_pair};
use nom::{IResult, Parser};

use crate::net::{Family, Prefix};

type Fault<'a> = nom::error::Error<&'a str>;

/// A whole word read by one parser.
fn whole<'a, O>(word: &'a str, parser: impl Parser<&'a str, Output = O, Error = Fault<'a>>) -> Option<O> {
    all_consuming(parser).parse(word).ok().map(|(_, value)| value)
}

fn decimal_integer(input: &str) -> IResult<&str, i64> {
    map_res(recognize(pair(opt(one_of("+-")), digit1)), |text: &str| {
        text.strip_prefix('+').unwrap_or(text).parse()
    })
    .parse(input)
}

/// A decimal integer, as `strtol` with base 10.
pub(in crate::config) fn integer(word: &str) -> Option<i64> {
    whole(word, decimal_integer)
}

fn c_number(input: &str) -> IResult<&str, u64> {
    let hexadecimal = preceded(tag_no_case("0x"), map_res(hex_digit1, |text| u64::from_str_radix(text, 16)));
    let octal = preceded(char('0'), map_res(oct_digit1, |text| u64::from_str_radix(text, 8)));
    let decimal = verify(digit1, |text: &str| text == "0" || !text.starts_with('0'));
    alt((hexadecimal, octal, map_res(decimal, str::parse))).parse(input)
}

/// An integer as `strtol` with base 0: decimal, `0x…`, `0…`.
pub(in crate::config) fn c_integer(word: &str) -> Option<u64> {
    whole(word, c_number)
}

/// `NUMBER[/MASK]`, both as [`c_integer`].
pub(in crate::config) fn masked(word: &str) -> Option<(u64, Option<u64>)> {
    whole(word, pair(c_number, opt(preceded(char('/'), c_number))))
}

/// A decimal fraction in units of `10^-places`, and whether digits had to be rounded away.
pub(crate) fn decimal(word: &str, places: u32) -> Option<(i64, bool)> {
    let number = (opt(one_of("+-")), digit0, opt(preceded(char('.'), digit0)));
    let (sign, whole_part, fraction) = whole(word, number)?;
    let fraction = fraction.unwrap_or("");
    if whole_part.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value: i64 = if whole_part.is_empty() { 0 } else { whole_part.parse().ok()? };
    let mut digits = fraction.bytes();
    for _ in 0..places {
        let digit = digits.next().map_or(0, |digit| i64::from(digit - b'0'));
        value = value.checked_mul(10)?.checked_add(digit)?;
    }
    let rest: Vec<u8> = digits.collect();
    let rounded = rest.iter().any(|digit| *digit != b'0');
    if rest.first().is_some_and(|digit| *digit >= b'5') {
        value = value.checked_add(1)?;
    }
    Some((if sign == Some('-') { -value } else { value }, rounded))
}

fn dotted(input: &str) -> IResult<&str, Ipv4Addr> {
    map_res(take_while_m_n(7, 15, |c: char| c.is_ascii_digit() || c == '.'), str::parse).parse(input)
}

fn colons(input: &str) -> IResult<&str, Ipv6Addr> {
    map_res(take_while1(|c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.')), str::parse).parse(input)
}

/// An address without prefix length, as `inet_pton` takes it.
pub(in crate::config) fn address(word: &str) -> Option<IpAddr> {
    whole(word, alt((all_consuming(dotted).map(IpAddr::V4), all_consuming(colons).map(IpAddr::V6))))
}

/// Why a word is no prefix.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::config) enum PrefixFault {
    /// The address is none.
    Address,
    /// The length behind this address is no number or too large for its family.
    Length(IpAddr),
}

/// `ADDRESS[/LENGTH]`; `None` for the length when it is left out.
pub(in crate::config) fn prefix(word: &str) -> Result<(IpAddr, Option<u8>), PrefixFault> {
    let (address_text, length) = match word.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (word, None),
    };
    let address = address(address_text).ok_or(PrefixFault::Address)?;
    let length = match length {
        None => None,
        Some(text) => {
            let length = integer(text)
                .and_then(|length| u8::try_from(length).ok())
                .filter(|length| *length <= Family::of(&address).bits())
                .ok_or(PrefixFault::Length(address))?;
            Some(length)
        }
    };
    Ok((address, length))
}

/// As [`prefix`], with the full length when it is left out.
pub(in crate::config) fn full_prefix(word: &str) -> Option<Prefix> {
    let (address, length) = prefix(word).ok()?;
    Prefix::new(address, length.unwrap_or_else(|| Family::of(&address).bits()))
}

/// `LOW-HIGH`.
pub(in crate::config) fn number_range(word: &str) -> Option<(i64, i64)> {
    whole(word, separated_pair(map_res(digit1, str::parse), char('-'), map_res(digit1, str::parse)))
}

/// `ADDRESS-ADDRESS`, or `ADDRESS-N` where N replaces the last number of the address.
pub(in crate::config) fn address_range(word: &str) -> Option<(IpAddr, IpAddr)> {
    let (low, high) = word.split_once('-')?;
    let low = address(low)?;
    if let Some(high) = address(high) {
        return (Family::of(&high) == Family::of(&low)).then_some((low, high));
    }
    let high = match low {
        IpAddr::V4(low) => {
            let last: u8 = integer(high)?.try_into().ok()?;
            let [a, b, c, _] = low.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, last))
        }
        IpAddr::V6(low) => {
            let last = u16::from_str_radix(high, 16).ok().filter(|_| high.len() <= 4)?;
            let mut segments = low.segments();
            segments[7] = last;
            IpAddr::V6(segments.into())
        }
    };
    Some((low, high))
}

fn hexadecimal_byte<'a>(digits_min: usize) -> impl Parser<&'a str, Output = u8, Error = Fault<'a>> {
    let digits = take_while_m_n(digits_min, 2, |c: char| c.is_ascii_hexdigit());
    map_res(digits, |text| u8::from_str_radix(text, 16))
}

/// Hexadecimal bytes separated by colons.
pub(in crate::config) fn hardware_bytes(word: &str) -> Option<Vec<u8>> {
    whole(word, separated_list1(char(':'), hexadecimal_byte(1)))
}

/// An MD5 sum: 16 bytes of two hexadecimal digits each.
pub(in crate::config) fn md5_sum(word: &str) -> Option<[u8; 16]> {
    whole(word, count(hexadecimal_byte(2), 16))?.try_into().ok()
}

/// `NUMBER`, `NUMBERms` or `NUMBERs` with the longer names of units that `ip` knows, in milliseconds. Only with a unit
/// may there be a fraction.
pub(in crate::config) fn milliseconds(word: &str) -> Option<u64> {
    let number = take_while1(|c: char| c.is_ascii_digit() || c == '.');
    let unit = alt((
        value(0, alt((tag("msecs"), tag("msec"), tag("ms")))),
        value(3, alt((tag("secs"), tag("sec"), tag("s")))),
    ));
    let (number, places) = whole(word, pair(number, opt(unit)))?;
    match places {
        None => number.parse().ok(),
        Some(places) => u64::try_from(decimal(number, places)?.0).ok(),
    }
}

/// `A/B` or `B`, each a word.
pub(in crate::config) fn slashed(word: &str) -> (Option<&str>, &str) {
    match word.split_once('/') {
        Some((first, second)) => (Some(first), second),
        None => (None, word),
    }
}

/// `ADDRESS-`less list separated by `/`, as MPLS labels.
pub(in crate::config) fn labels(word: &str) -> Option<Vec<u32>> {
    let label = map_opt(digit1, |text: &str| text.parse().ok().filter(|label: &u32| *label < 1 << 20));
    whole(word, separated_list1(char('/'), label))
}

/// The upper half of an IPv6 address: four groups of hexadecimal digits.
pub(in crate::config) fn locator(word: &str) -> Option<u64> {
    let group =
        map_res(take_while_m_n(1, 4, |c: char| c.is_ascii_hexdigit()), |text| u16::from_str_radix(text, 16));
    let groups = whole(word, separated_list1(char(':'), group)).filter(|groups| groups.len() == 4)?;
    Some(groups.into_iter().fold(0, |locator, group| locator << 16 | u64::from(group)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal_and_whole() {
        assert_eq!(integer("100"), Some(100));
        assert_eq!(integer("-5"), Some(-5));
        assert_eq!(integer("100x"), None);
        assert_eq!(integer("0x10"), None);
        assert_eq!(integer("99999999999999999999"), None);
        assert_eq!(c_integer("0x1f"), Some(31));
        assert_eq!(c_integer("0177"), Some(127));
        assert_eq!(c_integer("0"), Some(0));
        for wrong in ["08", "0x", "0x+1", "0+1", "+1", "", "18446744073709551616"] {
            assert_eq!(c_integer(wrong), None, "{wrong}");
        }
        assert_eq!(masked("0x10/0xff"), Some((16, Some(255))));
        assert_eq!(masked("010"), Some((8, None)));
        assert_eq!(masked("1/"), None);
        assert_eq!(masked("1/2/3"), None);
    }

    #[test]
    fn decimals_round_what_they_cannot_hold() {
        assert_eq!(decimal("1.5", 6), Some((1_500_000, false)));
        assert_eq!(decimal(".5", 2), Some((50, false)));
        assert_eq!(decimal("0.0049", 2), Some((0, true)));
        assert_eq!(decimal("0.005", 2), Some((1, true)));
        assert_eq!(decimal("-1", 2), Some((-100, false)));
        assert_eq!(decimal("1.2.3", 2), None);
        assert_eq!(decimal(".", 2), None);
        assert_eq!(decimal("1e3", 2), None);
    }

    #[test]
    fn times_have_the_units_of_ip() {
        for (word, milliseconds) in [
            ("200", Some(200)),
            ("2s", Some(2000)),
            ("0.5sec", Some(500)),
            ("1.5secs", Some(1500)),
            ("200ms", Some(200)),
            ("7msec", Some(7)),
            ("7.4msecs", Some(7)),
            ("1.5", None),
            ("1.2.3s", None),
            ("s", None),
            ("2h", None),
            ("-2s", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(super::milliseconds(word), milliseconds, "{word}");
        }
    }

    #[test]
    fn addresses_and_prefixes_are_numeric() {
        assert_eq!(address("192.0.2.1"), Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))));
        assert_eq!(address("2001:db8::1"), "2001:db8::1".parse().ok());
        assert_eq!(address("::ffff:192.0.2.1"), "::ffff:192.0.2.1".parse().ok());
        assert_eq!(address("192.0.2"), None);
        assert_eq!(address("fe80::1%eth0"), None);
        assert_eq!(prefix("192.0.2.1/33"), Err(PrefixFault::Length([192, 0, 2, 1].into())));
        assert_eq!(prefix("host/24"), Err(PrefixFault::Address));
        assert_eq!(full_prefix("2001:db8::/64").map(|p| p.length()), Some(64));
    }

    #[test]
    fn ranges_and_hardware_addresses() {
        assert_eq!(number_range("10-20"), Some((10, 20)));
        assert_eq!(number_range("10"), None);
        let (low, high) = address_range("192.0.2.10-20").unwrap();
        assert_eq!((low.to_string(), high.to_string()), ("192.0.2.10".into(), "192.0.2.20".into()));
        assert_eq!(address_range("2001:db8::1-ff").unwrap().1.to_string(), "2001:db8::ff");
        assert_eq!(hardware_bytes("00:1:5e:0:1").unwrap().len(), 5);
        assert_eq!(hardware_bytes("00:1g"), None);
        assert_eq!(md5_sum("00ff00ff00ff00ff00ff00ff00ff00ff"), Some([0, 255].repeat(8).try_into().unwrap()));
        for wrong in ["00ff", "00ff00ff00ff00ff00ff00ff00ff00fg", "00ff00ff00ff00ff00ff00ff00ff00ff0"] {
            assert_eq!(md5_sum(wrong), None);
        }
        assert_eq!(labels("16/17"), Some(vec![16, 17]));
    }
}
