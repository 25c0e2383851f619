//! Bytes <-> meaning. Nothing here panics, allocates without a bound, or knows a state machine.

pub mod ip;
pub mod vrrp;
