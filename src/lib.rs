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
//! Two builds leave out what takes long to compile and what they do not use: that of the fuzz targets (`cfg(fuzzing)`)
//! what drives the rest ([`sim`], [`drill`], [`daemon`], [`cli`]), that of many seeds (feature `simulating`) all but
//! [`sim`] and what it rests on.

#![cfg_attr(any(fuzzing, feature = "simulating"), allow(unused, reason = "what only the left out parts use"))]

pub mod bfd;
pub mod check;
#[cfg(not(any(fuzzing, feature = "simulating")))]
pub mod cli;
#[cfg(feature = "simulating")]
#[path = "cli/simulating.rs"]
pub mod cli;
#[cfg(not(feature = "simulating"))]
pub mod config;
#[cfg(not(feature = "simulating"))]
pub mod control;
#[cfg(not(any(fuzzing, feature = "simulating")))]
pub mod daemon;
#[cfg(not(any(fuzzing, feature = "simulating")))]
pub mod drill;
pub mod kernel;
mod lvs;
pub mod net;
pub mod node;
#[cfg(not(feature = "simulating"))]
mod notify;
pub mod prng;
#[cfg(not(feature = "simulating"))]
pub mod recording;
pub mod secret;
#[cfg(not(fuzzing))]
pub mod sim;
#[cfg(test)]
#[path = "../tests/support/skip.rs"]
mod skip;
#[cfg(not(feature = "simulating"))]
mod status;
#[cfg(not(feature = "simulating"))]
pub mod sys;
pub mod time;
pub mod timer;
pub mod track;
pub mod vrrp;
mod wanted;
pub mod wire;
