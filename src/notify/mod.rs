//! Telling others what happened: scripts, FIFOs, mail. Engines without I/O, from the news of the protocol core on:
//!
//! ```text
//! News ──▶ Account ──▶ Told ──▶ Hooks ──▶ Run          one event of an object at a time
//!                           ──▶ FifoLines ──▶ bytes    all of them in order, to readers that come and go
//!                           ──▶ MailQueue ──▶ Letter   one at a time, again after a failure
//! ```

mod account;
mod balancing;
mod config;
mod event;
mod fifo;
mod hooks;
mod mail;
mod resumption;
mod settings;

pub(crate) use account::{Account, Told};
pub(crate) use balancing::{BalancerAccount, of_real_server, of_virtual_server, service_name, target_name};
pub(crate) use config::{
    FifoConfig, InstanceNotifications, Notifications, StateScripts, SyncGroupNotifications,
};
pub(crate) use event::{Event, Object};
pub(crate) use fifo::FifoLines;
pub(crate) use hooks::{Action, CallId, Hooks, Run};
pub(crate) use mail::{Fate, Letter, MailAddress, MailConfig, MailQueue};
pub(crate) use resumption::{Resumed, Resumption, Verdict};
pub use settings::HookSettings;
