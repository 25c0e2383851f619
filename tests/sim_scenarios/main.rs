//! Scenarios by name, each a small LAN in virtual time. After each settling all rules of
//! `alived::sim::invariants` are checked; a failure prints the timeline.

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "tests may, and read better so")]

mod addresses;
mod announcements;
mod authentication;
mod election;
mod flood;
mod interfaces;
mod lan;
mod operator;
mod predecessor;
mod recovery;
mod reload;
mod routing;
mod rules;
mod sending;
mod standstill;
mod statics;
mod succession;
mod switch_over;
mod sync_groups;
mod tracking;
mod unicast;
mod virtual_mac;
