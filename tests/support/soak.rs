//! How much a test repeats itself: a reduced number in a normal run, the full one in `tests/run --soak`, which
//! sets `ALIVED_SOAK=1`.
//!
//! Included where it is needed: `#[path = "support/soak.rs"] mod soak;`.

#![allow(clippy::disallowed_methods, dead_code, unreachable_pub)]

/// `full` when the environment has `ALIVED_SOAK=1`, else `normal`.
pub fn count(normal: u64, full: u64) -> u64 {
    if std::env::var_os("ALIVED_SOAK").is_some_and(|value| value == "1") { full } else { normal }
}
