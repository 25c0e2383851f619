//! Bytes <-> meaning. Nothing here panics, allocates without a bound, or knows a state machine.

pub mod ah;
pub mod arp;
pub mod grpc_health;
pub mod ip;
pub mod ndisc;
pub mod vrrp;
