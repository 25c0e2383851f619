//! Telling others what happened: scripts, FIFOs, mail.

mod config;

pub use config::{InstanceNotifications, Notifications, StateScripts, SyncGroupNotifications};
