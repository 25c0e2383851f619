//! `strict_mode`, `vrrp_strict`: what the RFCs say, and none of keepalived's own additions (RFC 5798).

use super::super::instance_rules::Rules;
use super::Whole;
use crate::time::Duration;
use crate::vrrp::{InitialState, RouterConfig};
use crate::wire::vrrp::Version;

impl Whole<'_> {
    /// Makes a router follow the rules. What they do not allow has been reported.
    pub(super) fn enforce_standard(&self, rules: &Rules<'_>, router: &mut RouterConfig) {
        if !rules.strict() {
            return;
        }
        let owner = router.priority.is_owner();
        router.initial = if owner { InitialState::Master } else { InitialState::Backup };
        router.preempt_delay = Duration::ZERO;
        router.strict = true;
        router.down_timer_adverts = 3;
        // Of a second master that loses, the RFC takes no notice.
        router.announce.lower_prio_repeat = 0;
        router.announce.lower_prio_delay = Duration::ZERO;
        router.lower_prio_no_advert = true;
        router.higher_prio_send_advert = false;
        router.owner_ignore_adverts = owner;
        // Accept_Mode is off unless it is turned on, and version 2 has none.
        let accept = rules.instance.accept.is_some() && router.version == Version::V3;
        router.accept = owner || accept && router.accept;
    }
}
