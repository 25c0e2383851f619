//! What a virtual router is whatever its state: configuration, surroundings, addresses, peers, counters. The files of
//! the states work on it.

use core::net::IpAddr;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::abstention::Abstention;
use super::authenticator::Authenticator;
use super::detection::Detections;
use super::environment::Environment;
use super::ownership::wishes;
use super::peers::PeerTable;
use super::priority::EffectivePriority;
use super::report_limit::ReportLimits;
use super::sending::Sending;
use super::switch_over::{Hold, Maintenance};
use super::timing::{master_down_interval, skew_time};
use super::transmit::Outgoing;
use super::{
    Cause, Counters, FaultReason, Output, PacketReport, Report, ReportKind, RouterConfig, SyncGroupId,
};
use crate::kernel::RouterId;
use crate::net::Family;
use crate::time::{Duration, Now, WallTime};
use crate::wanted::{Addresses, RoutingSets, WantedSet};
use crate::wire::vrrp::{AdvertisementInterval, Version};

/// A router without its state.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Core {
    pub(super) id: RouterId,
    pub(super) config: RouterConfig,
    pub(super) environment: Environment,
    pub(super) faults: BTreeSet<FaultReason>,
    /// Faults that trackers report, by their name.
    pub(super) tracked_faults: BTreeSet<Arc<str>>,
    /// The sync group that it is a member of.
    pub(super) group: Option<SyncGroupId>,
    /// What a track group lacks (`track_group`).
    pub(super) static_fault: Option<FaultReason>,
    /// The fault of another member.
    pub(super) imposed: Option<FaultReason>,
    /// A tracker that may report one has not found out yet.
    pub(super) tracker_pending: bool,
    pub(super) priority: EffectivePriority,
    pub(super) addresses: WantedSet<Addresses>,
    pub(super) routing: RoutingSets,
    pub(super) detections: Detections,
    pub(super) peers: PeerTable,
    pub(super) counters: Counters,
    pub(super) outgoing: Outgoing,
    pub(super) authenticator: Authenticator,
    /// Interval of the master followed; our own while we are master.
    pub(super) master_interval: AdvertisementInterval,
    /// The operator switched over: our higher priority does not count for now.
    pub(super) hold: Option<Hold>,
    /// The operator keeps it out of the election.
    pub(super) maintenance: Maintenance,
    /// Whether the process before was master, if it has said so when it left for this one.
    pub(super) was_master: Option<bool>,
    pub(super) last_transition: WallTime,
    pub(super) last_cause: Option<Cause>,
    /// The sender whose address list was compared last.
    pub(super) compared: Option<IpAddr>,
    pub(super) limits: ReportLimits,
    pub(super) abstention: Abstention,
    pub(super) sending: Sending,
    /// Peers whose advertisements are summed as keepalived did by unicast until 1.3.6.
    pub(super) old_checksum_peers: BTreeSet<IpAddr>,
}

impl Core {
    pub(super) fn new(id: RouterId, config: RouterConfig) -> Self {
        Self {
            id,
            environment: Environment::default(),
            faults: BTreeSet::new(),
            tracked_faults: BTreeSet::new(),
            group: None,
            static_fault: None,
            imposed: None,
            tracker_pending: false,
            priority: EffectivePriority::new(config.priority),
            addresses: WantedSet::new(wishes(&config)),
            routing: Self::new_routing(&config),
            detections: Detections::of(&config),
            peers: PeerTable::default(),
            counters: Counters::default(),
            outgoing: Outgoing::default(),
            authenticator: Authenticator::default(),
            master_interval: config.interval,
            hold: None,
            maintenance: Maintenance::Off,
            was_master: None,
            last_transition: WallTime::default(),
            last_cause: None,
            compared: None,
            limits: ReportLimits::default(),
            abstention: Abstention::default(),
            sending: Sending::default(),
            old_checksum_peers: BTreeSet::new(),
            config,
        }
    }

    /// Time without advertisements after which a backup takes over.
    pub(super) fn master_down_interval(&self) -> Duration {
        self.master_down_interval_at(self.master_interval)
    }

    /// The same at the interval of a certain master.
    pub(super) fn master_down_interval_at(&self, interval: AdvertisementInterval) -> Duration {
        let (version, priority) = (self.config.version, self.priority.get());
        master_down_interval(version, priority, interval, self.config.down_timer_adverts)
    }

    /// Skew time of our priority.
    pub(super) fn skew_time(&self) -> Duration {
        skew_time(self.config.version, self.priority.get(), self.master_interval)
    }

    pub(super) fn is_version_3(&self) -> bool {
        self.config.version == Version::V3
    }

    pub(super) const fn family(&self) -> Family {
        self.config.family
    }

    pub(super) fn report(&self, kind: ReportKind, out: &mut Output<'_>) {
        out.actions.report(Report { router: Arc::clone(&self.config.name), kind });
    }

    /// Reports what a packet caused: of each kind once in a second, then their number.
    pub(super) fn report_packet(&mut self, now: Now, kind: ReportKind, out: &mut Output<'_>) {
        if PacketReport::of(&kind).is_none_or(|what| self.limits.may_tell(now.instant, what)) {
            self.report(kind, out);
        }
    }
}
