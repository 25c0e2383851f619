//! ENGINE: what virtual routers depend on besides their own interface. Interfaces, scripts, files, processes
//! and BFD sessions, each giving a weight or a fault.

mod config;
mod effect;
mod engine;
mod lasting;
mod script;

pub use config::{
    FileTracker, InitialContent, InterfaceDelay, LinkPolling, LinkPollingMethod, Owner, ParameterMatch,
    ProcessTracker, ProcessTrackerTiming, Quorum, ScriptTest, ScriptTracker, TrackConfig, TrackReference,
    Tracker, Weight,
};
pub use effect::{Effect, Verdict};
pub use engine::Trackers;
pub use lasting::Lasting;
pub use script::ScriptState;
