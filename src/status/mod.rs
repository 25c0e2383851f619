//! What a daemon tells of itself: a [`Snapshot`] of its routers, and the texts made of it.

mod balancer;
mod balancer_event;
mod balancer_explain;
mod event;
mod explain;
pub(crate) mod keepalived_data;
pub(crate) mod keepalived_json;
mod keepalived_lines;
pub(crate) mod keepalived_stats;
mod latency;
mod metrics;
mod report;
#[cfg(test)]
pub(crate) mod sample;
mod snapshot;
pub(crate) mod text;
mod trackers;

pub(crate) use balancer::{
    BalancerStatus, OrderStatus, OrderWord, Orders, Parts as BalancerParts, RealServerOrder, check_keyword,
    text as balancer_text,
};
pub(crate) use balancer_event::happenings;
pub(crate) use balancer_explain::explain as explain_server;
pub(crate) use event::{EventRecord, Happening};
pub(crate) use explain::{Explanation, explain};
pub(crate) use latency::Latencies;
pub(crate) use metrics::{Sources, metrics};
pub(crate) use report::{
    DaemonStatus, MaintenanceStatus, ReloadStatus, RouterStatus, Status, TransitionCount, span,
};
pub(crate) use snapshot::{Lateness, Snapshot};
