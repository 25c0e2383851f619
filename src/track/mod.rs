//! ENGINE: what virtual routers depend on besides their own interface. Interfaces, scripts, files, processes
//! and BFD sessions, each giving a weight or a fault.

mod config;

pub use config::{
    FileTracker, InitialContent, InterfaceDelay, LinkPolling, LinkPollingMethod, Owner, ParameterMatch,
    ProcessTracker, ProcessTrackerTiming, Quorum, ScriptTest, ScriptTracker, TrackConfig, TrackReference,
    Tracker, Weight,
};
