//! alived: a high-availability router daemon for Linux that runs a `keepalived.conf` unchanged.
//!
//! Layers, each using only lower ones; `tests/layers.rs` holds the line:
//!
//! | layer | modules | what |
//! |---|---|---|
//! | 0 | [`time`], [`timer`], [`prng`], [`net`], [`secret`] | vocabulary |
//! | 1 | [`wire`], [`kernel`] | bytes and meaning; words exchanged with the OS |
//! | 2 | `wanted` | what the kernel shall hold against what it holds: below the engines |
//! | 2 | [`vrrp`], [`track`], [`bfd`], `lvs`, `check` | engines: events in, actions out, no I/O |
//! | 2 | [`sys`] | Linux effects, the only `unsafe` |
//! | 3 | [`node`] | composition |
//! | 3 | `notify` | telling others |
//! | 4 | [`config`] | keepalived.conf, lowered into the configuration of all below |
//! | 4 | [`control`] | what is asked of a worker and what it answers |
//! | 4 | [`recording`] | what reaches the protocol core, as a file |
//! | 4 | `status` | what a daemon tells of itself |
//! | 4 | [`sim`] | a LAN in virtual time: network, kernels, hosts, faults, invariants |
//! | 5 | [`daemon`] | processes, threads, loops |
//! | 6 | [`cli`] | the command line |
//!
//! Fuzz targets are built without what drives the rest: [`sim`], [`drill`], [`daemon`], [`cli`].

pub mod bfd;
pub mod check;
#[cfg(not(fuzzing))]
pub mod cli;
pub mod config;
pub mod control;
#[cfg(not(fuzzing))]
pub mod daemon;
#[cfg(not(fuzzing))]
pub mod drill;
pub mod kernel;
mod lvs;
pub mod net;
pub mod node;
mod notify;
pub mod prng;
pub mod recording;
pub mod secret;
#[cfg(not(fuzzing))]
pub mod sim;
#[cfg(test)]
#[path = "../tests/support/skip.rs"]
mod skip;
mod status;
pub mod sys;
pub mod time;
pub mod timer;
pub mod track;
pub mod vrrp;
mod wanted;
pub mod wire;
