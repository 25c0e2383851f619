//! ENGINE: one virtual router. Events and time in, actions out; no I/O.
//!
//! Standards: RFC 9568 (VRRP version 3), RFC 3768 (version 2), RFC 2338 (authentication of version 2).

mod action;
mod announce;
mod config;

pub use action::{
    Action, Announcement, Cause, Datagram, FaultReason, Report, ReportKind, State, Transition, Transmission,
};
pub use announce::AnnouncementQueue;
pub use config::{
    AnnounceSettings, Destinations, InitialState, RouterConfig, RouterIdentity, RouterInterfaces,
    VirtualAddress, default_group,
};
