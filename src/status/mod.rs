//! What a daemon tells of itself: a [`Snapshot`] of its routers, and the texts made of it.

mod event;
pub(crate) mod keepalived_data;
pub(crate) mod keepalived_json;
mod keepalived_lines;
pub(crate) mod keepalived_stats;
mod report;
mod snapshot;
pub(crate) mod text;
mod trackers;

pub(crate) use event::{EventRecord, Happening};
pub(crate) use report::{DaemonStatus, ReloadStatus, RouterStatus, Status};
pub(crate) use snapshot::{Lateness, Snapshot};
