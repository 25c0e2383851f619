//! `auth_hmac` as a router is told it, and the stamps that are set aside for it.

use serde::{Deserialize, Serialize};

use super::RouterConfig;
use crate::time::{Duration, WallTime};
use crate::wire::vrrp::{AuthenticationData, HmacKey, Stamp};

/// `auth_hmac`: advertisements carry a signed trailer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HmacConfig {
    /// `key`: what advertisements may be signed with, by identifier (1 to 255), each once.
    pub keys: Box<[(u8, HmacKey)]>,
    /// `active_key`: the identifier of the key that signs, one of [`HmacConfig::keys`].
    pub active: u8,
    /// `anti_replay`.
    pub anti_replay: AntiReplay,
    /// `time_window`, for [`AntiReplay::Time`]: 1 to 300 s.
    pub window: Duration,
    /// `mode`.
    pub mode: HmacMode,
}

/// `anti_replay`: which advertisements are fresh.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum AntiReplay {
    /// Signed within the time window by our clock, and later than what its sender signed before.
    #[default]
    Time,
    /// Later than what its sender signed before, whatever the clocks say.
    Monotonic,
}

/// `mode` of `auth_hmac`: what is signed, and what is accepted beside what is signed right.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum HmacMode {
    /// Signs; nothing without a trailer is accepted.
    #[default]
    Enforce,
    /// Signs; advertisements without a trailer are accepted.
    Permissive,
    /// Does not sign; advertisements without a trailer are accepted.
    ReceiveOnly,
}

impl HmacConfig {
    /// The key of an identifier.
    pub fn key(&self, id: u8) -> Option<&HmacKey> {
        self.keys.iter().find(|(known, _)| *known == id).map(|(_, key)| key)
    }

    /// What signs, if anything does.
    pub(super) fn signer(&self) -> Option<&HmacKey> {
        (self.mode != HmacMode::ReceiveOnly).then(|| self.key(self.active)).flatten()
    }
}

impl RouterConfig {
    /// Whether its peers compare what it sends with all that it sent before, also before it was started: it must not
    /// count from the beginning again.
    pub fn counts_over_restarts(&self) -> bool {
        let monotonic = |hmac: &HmacConfig| hmac.anti_replay == AntiReplay::Monotonic;
        self.hmac.as_deref().is_some_and(monotonic)
            || matches!(self.authentication, AuthenticationData::AuthenticationHeader(_))
    }
}

/// Stamps set aside for the routers of a process, in a place that outlives it: whoever comes after it begins where
/// they end, so that none is used twice and none goes back, however the process ends and whatever the clock says.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Reservation {
    /// From here on none has been used by a predecessor.
    pub from: Stamp,
    /// The clock is followed up to here.
    pub until: Stamp,
}

impl Reservation {
    /// How much is set aside ahead of the clock, in seconds. So much does a successor begin ahead of it at most.
    const STEP_S: u32 = 16;
    /// Beyond the end, for a clock that runs on before the reservation is renewed: only the counter does then.
    const MARGIN_S: u32 = 1;
    /// How often it has to be renewed.
    pub const RENEWAL: Duration = Duration::from_secs(Self::STEP_S as u64 / 2);

    /// The first one of a process. `kept`: what its predecessor left, if it left anything.
    pub fn begin(kept: Option<Stamp>, wall: WallTime) -> Self {
        let clock = Stamp::of(wall);
        let from = kept.map_or(clock, |kept| clock.or_later(kept));
        Self { from, until: from.after_seconds(Self::STEP_S) }
    }

    /// Follows the clock. True when there is something new to be kept.
    pub fn renew(&mut self, wall: WallTime) -> bool {
        let until = Stamp::of(wall).after_seconds(Self::STEP_S);
        let grows = until.is_after(self.until);
        if grows {
            self.until = until;
        }
        grows
    }

    /// What has to be kept before anything of it is used.
    pub const fn to_keep(&self) -> Stamp {
        self.until.after_seconds(Self::MARGIN_S)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_begins_where_the_reservation_ended() {
        let at = |s: u64| WallTime::from_unix_micros(s * 1_000_000);
        let mut first = Reservation::begin(None, at(1_000));
        assert_eq!(first.from, Stamp::of(at(1_000)));
        assert!(!first.renew(at(1_000)), "the clock stands still");
        assert!(first.renew(at(1_008)));
        assert!(!first.renew(at(900)), "the clock went back");
        let kept = first.to_keep();
        assert!(kept.is_after(Stamp::of(at(1_024))));
        let soon = Reservation::begin(Some(kept), at(901));
        assert_eq!(soon.from, kept);
        assert!(soon.until.is_after(soon.from));
        let late = Reservation::begin(Some(kept), at(5_000));
        assert_eq!(late.from, Stamp::of(at(5_000)), "whatever was kept is long past");
    }
}
