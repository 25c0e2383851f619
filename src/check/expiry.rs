//! When a certificate becomes invalid.

use x509_cert::der::{AnyRef, Decode as _, Header, SliceReader, Tag, TagNumber};
use x509_cert::time::Validity;

use crate::time::WallTime;

/// The end of validity of an X.509 certificate (RFC 5280 §4.1.2.5). What stands behind it in the certificate is not
/// looked at. `None` = it cannot be found.
pub fn of(certificate: &[u8]) -> Option<WallTime> {
    let mut reader = SliceReader::new(certificate).ok()?;
    // Certificate, and in it the part that is signed.
    for _ in 0..2 {
        (Header::decode(&mut reader).ok()?.tag() == Tag::Sequence).then_some(())?;
    }
    let version = Tag::ContextSpecific { constructed: true, number: TagNumber(0) };
    if Tag::peek(&reader).ok()? == version {
        AnyRef::decode(&mut reader).ok()?;
    }
    // Serial number, algorithm of the signature, issuer.
    for _ in 0..3 {
        AnyRef::decode(&mut reader).ok()?;
    }
    let validity: Validity = Validity::decode(&mut reader).ok()?;
    let since_epoch = validity.not_after.to_unix_duration();
    Some(WallTime::from_unix_micros(crate::time::micros(since_epoch)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `openssl ca -selfsign`: version 1 with a `UTCTime`, version 3 with a `GeneralizedTime`.
    const CERTIFICATES: [(&str, u64); 2] = [
        (
            "3081be3072020101300506032b6570300c310a300806035504030c0161301e170d3236303130313030303030305a170d323730313032\
             3033303430355a300c310a300806035504030c0161302a300506032b65700321005491a98450698710b15dab4e872cab573292e88e4b\
             a2ebf7e35934e03e5a9026300506032b6570034100eccdfc25f00edca0f56e0465224faec644fa777bebeb0beca87bb69eed3a139aa8\
             3074d403d9054916c716fafd531756deb2c08856d487777899aa679820770a",
            1_798_859_045,
        ),
        (
            "3081f73081aaa003020102020102300506032b6570300c310a300806035504030c01613020170d3236303130313030303030305a180f\
             32313530303130323033303430355a300c310a300806035504030c0161302a300506032b65700321005491a98450698710b15dab4e87\
             2cab573292e88e4ba2ebf7e35934e03e5a9026a32f302d300c0603551d13040530030101ff301d0603551d0e0416041487f0d4175dea\
             a7d312717a381f6848a3426c6566300506032b657003410003e256e6d1e970ecc5812da1290ac582ebba1391b96fd279553fe9c1bb66\
             c7cd91e7516269a10dd2782784ef6db95000fee1015aa16330d2871da19d57c40802",
            5_680_379_045,
        ),
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> =
            hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    #[test]
    fn the_end_of_certificates_is_found() {
        for (hex, seconds) in CERTIFICATES {
            assert_eq!(of(&bytes(hex)), Some(WallTime::from_unix_micros(seconds * 1_000_000)));
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let certificate = bytes(CERTIFICATES[1].0);
        // Up to the end of the validity nothing may be missing.
        for length in 0..69 {
            assert_eq!(of(&certificate[..length]), None, "{length}");
        }
        assert_eq!(of(&[0x30; 1000]), None);
        assert_eq!(of(&[0xff; 1000]), None);
    }
}
