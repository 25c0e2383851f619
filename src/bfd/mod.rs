//! ENGINE: sessions of bidirectional forwarding detection, which tell within milliseconds that a neighbour is
//! gone.
//!
//! Standards: RFC 5880 (BFD), RFC 5881 (one hop), RFC 5883 (several hops).

mod config;

pub use config::{HopAllowance, Listeners, SessionConfig};
