//! What needs a kernel with modules that this machine's kernel may lack, and that such a kernel can be had.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "../check_io/certificates.rs"]
#[expect(dead_code, reason = "the tests of checks alone need all kinds")]
mod certificates;
#[path = "../support/host.rs"]
mod host;
#[path = "../support/ip.rs"]
mod ip;
#[path = "../support/second_kernel.rs"]
mod second_kernel;
#[path = "../support/skip.rs"]
mod skip;
#[path = "../support/soak.rs"]
mod soak;

mod boot;
mod director;
mod drain;
mod ipvs;
mod large;
mod links;
mod operate;
mod routes;
mod settings;
mod traffic;
mod vrf;
