//! A LAN of routers and hosts in one thread, in virtual time: every run is repeatable from its seed.
//!
//! The routers are [`crate::node::HaNode`]s, the very code that the daemon runs. Everything around them is
//! simulated: [`network`], [`kernel`], [`process`] (freezes, bounded queues, the driver's contract),
//! [`host`]s with their caches. A [`scenario`] makes a LAN and a schedule of faults from a seed;
//! [`invariants`] judge the run from outside; [`timeline`] tells it to people.
//!
//! No clock, no I/O, no randomness but the seed's.

mod agenda;
mod apply;
mod carry_out;
mod clocks;
pub mod cluster;
pub mod fault;
pub mod flood;
pub mod frame;
pub mod freshness;
mod groups;
pub mod host;
pub mod invariants;
pub mod kernel;
mod kernel_routing;
mod kernel_work;
pub mod machine;
pub mod network;
pub mod process;
mod protection;
mod reel;
mod routing;
pub mod run;
pub mod scenario;
pub mod table;
pub mod timeline;
mod trackers;
mod watch;

pub use cluster::{Cluster, ClusterSpec};
pub use fault::{Fault, Order};
pub use flood::{Flood, Forgery};
pub use host::HostId;
pub use machine::{MachineId, MachineSpec};
pub use reel::Reel;
pub use run::{Options, Outcome, record, run};
