//! Health checks with their input and output, against servers: each kind with good and bad answers, and with servers
//! that lie, drip and never end. In network namespaces of their own.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "../support/skip.rs"]
mod skip;

mod certificates;
mod datagrams;
mod drive;
mod genhash;
mod http2;
mod programs;
mod real_servers;
mod servers;
mod streams;
mod tls;
