//! The number in a tracked file.

use serde::{Deserialize, Serialize};

/// What was found in a tracked file.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum FileReading {
    /// This number; 0 where there is no file, or no number in it.
    Number(i32),
    /// It cannot be read, or nobody would tell when it changes.
    Unreadable,
}

/// The number does not fit into 32 bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OutOfRange;

/// The number at the beginning of a text, as keepalived reads it: space before it and whatever follows it do not
/// matter, `0x` makes it hexadecimal, another leading 0 octal, and without digits it is 0.
///
/// # Errors
/// When it does not fit into 32 bits.
pub fn leading_number(text: &[u8]) -> Result<i32, OutOfRange> {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let text = &text[text.iter().take_while(|byte| space(byte)).count()..];
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (base, digits) = match text {
        [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => (16, &text[2..]),
        [b'0', ..] => (8, text),
        _ => (10, text),
    };
    let digits = digits.iter().map_while(|byte| char::from(*byte).to_digit(base));
    // Two more than 32 bits, so that the end of the digits does not matter once it is passed.
    let value = digits
        .fold(0_i64, |value, digit| (value * i64::from(base) + i64::from(digit)).min(i64::from(u32::MAX)));
    i32::try_from(if negative { -value } else { value }).map_err(|_| OutOfRange)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As keepalived 2.2.7 does it, by its log of priorities.
    #[test]
    fn numbers_are_read_as_keepalived_reads_them() {
        for (text, number) in [
            ("", 0),
            ("20\n", 20),
            ("0x10\n", 16),
            ("0XfF", 255),
            ("010\n", 8),
            (" 7x", 7),
            ("1.5", 1),
            ("x7", 0),
            ("-5", -5),
            ("+6", 6),
            ("+ 6", 0),
            ("--6", 0),
            ("0x", 0),
            ("0xg", 0),
            ("08", 0),
            ("\n\n9\n", 9),
            ("00000000000000000000000000000000000000000000000012", 10),
            ("2147483647", i32::MAX),
            ("-2147483648", i32::MIN),
            ("-0x80000000", i32::MIN),
        ] {
            assert_eq!(leading_number(text.as_bytes()), Ok(number), "{text:?}");
        }
        for text in ["2147483648", "-2147483649", "99999999999", "0xffffffffffffffffffff", "-99999999999"] {
            assert_eq!(leading_number(text.as_bytes()), Err(OutOfRange), "{text:?}");
        }
        assert_eq!(leading_number(&[0xff; 100]), Ok(0));
        assert_eq!(leading_number(&[b'9'; 4096]), Err(OutOfRange));
    }
}
