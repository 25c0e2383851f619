//! The daemon for real, in network namespaces of its own: each file has a subject. One program, so that a test which
//! waits leaves its place to any other, and because each program takes seconds to link.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "../support/cable.rs"]
mod cable;
#[path = "../support/host.rs"]
mod host;
#[path = "../support/http.rs"]
mod http;
#[path = "../support/ip.rs"]
mod ip;
#[path = "../support/nft.rs"]
mod nft;
#[path = "../support/pace.rs"]
mod pace;
#[path = "../support/skip.rs"]
mod skip;
#[path = "../support/soak.rs"]
mod soak;
#[path = "../support/systemd.rs"]
mod systemd;

mod acceptance;
mod addresses;
mod announcements;
mod authentication;
mod configuration;
mod containers;
mod control;
mod director;
mod doctor;
mod dumps;
mod fifos;
mod hooks;
mod interop_hooks;
mod interop_keepalived;
mod interop_routes;
mod kernel;
mod keywords;
mod kills;
mod leftovers;
mod limits;
mod log;
mod mail;
mod memory;
mod neutron;
mod notify;
mod operate;
mod orders;
mod page;
mod processes;
mod recording;
mod reloads;
mod restart;
mod routes;
mod settings;
mod starts;
mod statics;
mod tracked_files;
mod tracked_processes;
mod tracking;
mod under_systemd;
mod unicast;
mod vmac;
mod web;
