//! Any bytes as the certificate of a server of a health check: never a panic, and what stands behind the end of validity
//! changes nothing.

#![no_main]

use alived::check::expiry;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((more, certificate)) = input.split_first() else { return };
    if let Some(end) = expiry::of(certificate) {
        let longer = [certificate, &[*more; 16]].concat();
        assert_eq!(expiry::of(&longer), Some(end));
    }
});
