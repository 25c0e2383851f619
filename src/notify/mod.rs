//! Telling others what happened: scripts, FIFOs, mail.

mod config;

pub(crate) use config::{InstanceNotifications, Notifications, StateScripts, SyncGroupNotifications};
