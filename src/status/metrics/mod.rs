//! Everything that the workers tell, in the text format of Prometheus: under the names of the widespread exporters of
//! keepalived where they have one, so that dashboards and alerts go on, and under `alived_`.
//!
//! A serializer of our own: the figures come whole with the workers' answers, so that there is nothing for a registry of
//! live counters to do, and the names without type of the exporters have no place in the libraries.

mod balancer;
mod daemon;
mod exposition;
mod keepalived;
mod routers;

use super::{BalancerStatus, Status};
use exposition::Exposition;

/// What the workers have told. For each: absent where there is to be no such worker, `Some(None)` where it does not answer.
#[derive(Debug)]
pub(crate) struct Sources {
    /// Of virtual routers.
    pub(crate) vrrp: Option<Option<Status>>,
    /// Of virtual servers.
    pub(crate) lvs: Option<Option<BalancerStatus>>,
}

/// The whole text. Every family is named, also those without samples.
pub(crate) fn metrics(sources: &Sources) -> String {
    let mut to = Exposition::default();
    let vrrp = sources.vrrp.as_ref().and_then(Option::as_ref);
    let lvs = sources.lvs.as_ref().and_then(Option::as_ref);
    keepalived::write(&mut to, sources);
    daemon::write(&mut to, sources);
    routers::write(&mut to, vrrp);
    balancer::write(&mut to, lvs);
    to.into_text()
}
