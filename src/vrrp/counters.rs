//! What a router counts, from its creation on.

use serde::{Deserialize, Serialize};

use crate::time::Duration;
use crate::wire::vrrp::{Rejection, RejectionKind};

/// Counters of one virtual router.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Counters {
    /// Advertisements that passed the receipt checks.
    pub advertisements_received: u64,
    /// Advertisements handed to the driver, one for each destination.
    pub advertisements_sent: u64,
    /// Advertisements the kernel refused to send.
    pub send_failures: u64,
    /// Times it became master.
    pub became_master: u64,
    /// Times it ceased to be master.
    pub released_master: u64,
    /// Priority 0 received.
    pub priority_zero_received: u64,
    /// Priority 0 sent.
    pub priority_zero_sent: u64,
    /// Advertisements used although their address list differs from ours.
    pub address_list_mismatches: u64,
    /// Rivals heard while master that lost to us.
    pub rivals_beaten: u64,
    /// Advertisements dropped while master because their sender's clock differs from ours: of second masters.
    pub second_masters: u64,
    /// How long another master was heard while it was master, in masterships that are over.
    pub two_masters: Duration,
    /// Announcements of its addresses to hosts: gratuitous ARP, unsolicited neighbour advertisements.
    pub announcements: u64,
    /// Virtual addresses put back after somebody else removed them.
    pub addresses_repaired: u64,
    /// Routes and rules put back after somebody else removed them.
    pub routing_repaired: u64,
    /// Times duplicate address detection found that another host has a virtual address.
    pub duplicate_addresses: u64,
    /// Times the process stood still longer than a master-down time.
    pub stalls: u64,
    /// Normally nothing is ever rejected: no room is set aside for that.
    rejected: Option<Box<[u64; RejectionKind::ALL.len()]>>,
}

impl Counters {
    /// Counts a packet that failed a check.
    pub(super) fn count_rejection(&mut self, rejection: &Rejection) {
        self.rejected.get_or_insert_default()[rejection.kind() as usize] += 1;
    }

    /// What keepalived counts under one name: another password, and all that an IP authentication header can have wrong.
    pub(crate) fn authentication_failures(&self) -> u64 {
        use RejectionKind::{AuthenticationFailure, HeaderMalformed, HeaderNotAuthentic, HeaderReplayed};
        let kinds = [AuthenticationFailure, HeaderMalformed, HeaderNotAuthentic, HeaderReplayed];
        kinds.into_iter().map(|kind| self.rejected(kind)).sum()
    }

    /// Packets that failed a check.
    pub fn rejected(&self, kind: RejectionKind) -> u64 {
        self.rejected.as_ref().map_or(0, |rejected| rejected[kind as usize])
    }
}
