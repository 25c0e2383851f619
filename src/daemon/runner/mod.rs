//! The runner: a process of one thread that starts commands for a worker, as their users, and tells it what
//! became of them. The vrrp worker must not fork: 64 scripts started from a process with locked memory were
//! measured to hold its advertisements up by milliseconds.
//!
//! ```text
//! worker: Runner ──Request──▶ runner: Queue ──fork──▶ scripts
//!                ◀──Reply────
//!    ▲ the runner's socket, now and after each runner that dies
//! supervisor: forks runners
//! ```
//!
//! The supervisor forks a runner when the worker first needs one, and another one when it dies; what it was
//! running is then lost, and the worker is told. A runner lives as long as its worker: when that ends, it ends
//! what still runs, and itself. Signals do not end it, so that a stop of all processes at once leaves it to
//! the worker to have its last scripts run.

mod client;
mod process;
mod protocol;
mod queue;
mod supply;

pub use client::{Event, Runner};
pub use process::run;
pub use protocol::{Command, Cut, Outcome, Refusal, RunId};
pub use supply::Supply;
pub(super) use supply::{Demand, Need, supply};

/// Commands of one runner at a time, unless the worker says otherwise.
pub const AT_ONCE: u32 = 256;
