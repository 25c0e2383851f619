//! A received message without what authenticates it, for a recording.

use std::borrow::Cow;

use core::ops::Range;

use super::trailer::CODE;
use super::{TRAILER_LENGTH, checksum};
use crate::net::Family;
use crate::secret::pseudonym;

/// Bytes before the addresses.
const FIXED: usize = 8;
/// Bytes of authentication data (RFC 2338 §5.3.10).
const DATA: usize = 8;
/// `auth_type PASS`.
const SIMPLE_PASSWORD: u8 = 1;

/// The message with pseudonyms in place of what authenticates it: the password of version 2, the code in a trailer, and
/// what else may follow where these belong. The checksum is as right as it was, so that every check that knows the
/// password's pseudonym comes out as it did; and it tells nothing of the password.
///
/// What a message without authentication has there, zeros, stays.
pub fn without_secrets(message: &[u8], family: Family) -> Cow<'_, [u8]> {
    let [data, rest] = secrets(message, family);
    let is_secret = |range: &Range<usize>| {
        message.get(range.clone()).is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0))
    };
    if !is_secret(&data) && !is_secret(&rest) {
        return Cow::Borrowed(message);
    }
    let mut clean = message.to_vec();
    // Over IPv6 the checksum covers all that is sent.
    for (range, is_summed) in [(data, true), (rest, family == Family::Ipv6)] {
        let Some(before) = message.get(range.clone()) else { continue };
        let after: Vec<u8> =
            before.chunks(DATA).flat_map(|piece| pseudonym(piece).into_iter().take(piece.len())).collect();
        clean[range.clone()].copy_from_slice(&after);
        if is_summed {
            checksum::replace(&mut clean, range.start, before, &after);
        }
    }
    Cow::Owned(clean)
}

/// Where authentication data is, and what follows the message's end.
fn secrets(message: &[u8], family: Family) -> [Range<usize>; 2] {
    let length = message.len();
    let Some((fixed, _)) = message.split_first_chunk::<FIXED>() else {
        return [length..length, length..length];
    };
    let [first, _, _, count, authentication, ..] = *fixed;
    let addresses = (FIXED + usize::from(count) * family.octets()).min(length);
    let data = match (first >> 4, family) {
        (2, Family::Ipv4) => addresses..(addresses + DATA).min(length),
        (2 | 3, _) => addresses..addresses,
        // It is refused for its version.
        _ => length..length,
    };
    // A password is looked for at the end, too, whatever the number of addresses says.
    if first >> 4 == 2 && authentication == SIMPLE_PASSWORD && data.end - data.start < DATA {
        return [length.saturating_sub(DATA).max(FIXED)..length, length..length];
    }
    let rest = match length - data.end {
        TRAILER_LENGTH => data.end + CODE..length,
        _ => data.end..length,
    };
    [data, rest]
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::super::{ChecksumMode, Version};
    use super::*;

    const SOURCE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1));
    const GROUP: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(224, 0, 0, 18));

    fn sum(version: Version, message: &[u8]) -> [u8; 2] {
        checksum::compute(version, ChecksumMode::PseudoHeader, SOURCE, GROUP, message, &[])
    }

    fn with_password(password: &[u8; 8]) -> Vec<u8> {
        let mut message = vec![0x21, 51, 100, 1, 1, 1, 0, 0, 192, 0, 2, 100];
        message.extend(password);
        let sum = sum(Version::V2, &message);
        message[checksum::FIELD].copy_from_slice(&sum);
        message
    }

    #[test]
    fn a_password_is_replaced_and_the_checksum_stays_right() {
        for password in [*b"hunter2\0", *b"secret12", [0xff; 8], *b"a\0\0\0\0\0\0\0"] {
            let message = with_password(&password);
            let clean = without_secrets(&message, Family::Ipv4);
            assert_eq!(clean[..6], message[..6]);
            assert_eq!(clean[12..], pseudonym(&password));
            assert_ne!(clean[12..], password);
            assert_eq!(sum(Version::V2, &clean), [0, 0]);
            let mut wrong = message.clone();
            wrong[7] ^= 1;
            let clean = without_secrets(&wrong, Family::Ipv4);
            assert_ne!(sum(Version::V2, &clean), [0, 0], "what was wrong stays wrong");
        }
        assert_ne!(pseudonym(b"secret12"), pseudonym(b"secret13"));
        assert_eq!(pseudonym(b"secret12"), pseudonym(b"secret12"));
    }

    #[test]
    fn a_password_goes_whatever_the_message_says_of_its_length() {
        for count in [0, 1, 2, 255] {
            let mut message = with_password(b"hunter22");
            message[3] = count;
            let clean = without_secrets(&message, Family::Ipv4);
            assert!(!clean.windows(8).any(|window| window == b"hunter22"), "{count} addresses");
        }
    }

    #[test]
    fn what_has_no_secret_stays_as_it_is() {
        let mut message = with_password(&[0; 8]);
        message[4] = 0;
        assert!(matches!(without_secrets(&message, Family::Ipv4), Cow::Borrowed(_)));
        for short in 0..8 {
            assert_eq!(without_secrets(&message[..short], Family::Ipv4), &message[..short]);
        }
        let version_3 = [0x31, 51, 100, 1, 0, 100, 0, 0, 192, 0, 2, 100];
        assert!(matches!(without_secrets(&version_3, Family::Ipv4), Cow::Borrowed(_)));
    }
}
