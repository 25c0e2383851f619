//! Linux effects: netlink, sockets, namespaces, processes, clocks. The only module with `unsafe`, and each
//! file that needs it says so at its head.
//!
//! Nothing here knows a protocol's rules: it carries out [`crate::kernel`] words and hands back what happened.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod capabilities;
pub mod capture;
pub mod carrier;
pub mod channel;
pub(crate) mod check_socket;
pub mod clock;
pub(crate) mod edges;
pub mod exec;
pub(crate) mod fifo;
pub mod heap;
pub(crate) mod log_socket;
pub mod namespace;
pub mod netlink;
pub mod packet;
pub mod path_watch;
pub mod pid_namespace;
pub mod pidfile;
pub mod poll;
pub mod process;
pub mod process_events;
pub(crate) mod process_table;
pub(crate) mod readiness;
pub mod realtime;
pub mod sandbox;
pub mod service_manager;
pub mod signals;
pub(crate) mod socket;
pub mod spawn;
