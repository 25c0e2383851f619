//! ENGINE: what virtual routers depend on besides their own interface. Interfaces, scripts, files, processes
//! and BFD sessions, each giving a weight or a fault.

mod census;
mod config;
mod effect;
mod engine;
mod file;
mod lasting;
mod process;
mod process_match;
mod script;

pub use census::{Census, ProcessChange, ProcessTable};
pub use config::{
    FileTracker, InitialContent, InterfaceDelay, LinkPolling, LinkPollingMethod, Owner, ParameterMatch,
    ProcessTracker, ProcessTrackerTiming, Quorum, ScriptTest, ScriptTracker, TrackConfig, TrackReference,
    Tracker, Weight,
};
pub use effect::{Effect, Verdict};
pub use engine::{Due, Trackers};
pub use file::{FileReading, OutOfRange, leading_number};
pub use lasting::Lasting;
pub use process::ProcessState;
pub use script::ScriptState;
