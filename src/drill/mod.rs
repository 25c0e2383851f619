//! `alived drill`: routers and hosts in network namespaces, real daemons, real faults, and what an operator
//! wants to know of each: who took over, how late, what the hosts lost, and whether two masters spoke at once.
//!
//! [`Lab`] builds the network, [`Recorder`] hears every advertisement and announcement with the kernel's time
//! of arrival, [`Probes`] measure what a host loses, a [`Scenario`] disturbs, [`Measures`] judge nothing and
//! [`verdict`] does. No external program is run but the daemons themselves.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod daemon;
pub mod director;
mod folder;
pub mod interruption;
mod lab;
mod measure;
mod plan;
mod probe;
mod record;
pub mod report;
pub mod scenario;
pub mod second_kernel;
mod stage;
pub mod verdict;

pub use daemon::{Daemon, Ground, Kind, Program};
pub use folder::Folder;
pub use lab::{Lab, Layout, Site};
pub use measure::{Election, Measures, measure};
pub use plan::{Authentication, DEFAULT_VRID, Plan, RouterText, Unicast};
pub use probe::{ProbeRun, Probes};
pub use record::{Recorder, Sighting, What};
pub use scenario::Scenario;
pub use stage::{Outcome, Stage, run};
