//! Telling others what happened: scripts, FIFOs, mail. Engines without I/O, from the news of the protocol core on:
//!
//! ```text
//! News ──▶ Account ──▶ Told ──▶ Hooks ──▶ Run     one event of an object at a time
//! ```

mod account;
mod config;
mod event;
mod hooks;
mod settings;

pub(crate) use account::{Account, is_told};
pub(crate) use config::{InstanceNotifications, Notifications, StateScripts, SyncGroupNotifications};
pub(crate) use event::Event;
pub(crate) use hooks::{Action, CallId, Hooks, Run};
pub use settings::HookSettings;
