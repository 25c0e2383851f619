//! Duplicate address detection (RFC 4862 §5.4) of virtual IPv6 addresses whose line says `-nodad`: such an address is
//! announced when the kernel has found that nobody else has it, and not before.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::router_core::Core;
use super::{Output, ReportKind, RouterConfig};
use crate::kernel::Detection;
use crate::net::{InterfaceIndex, Prefix};
use crate::time::{Duration, Instant, Now};

/// The kernel never tries an address again by itself. The first pause before we have it do so, since the other host
/// may be the master before us; each further one is twice as long.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// The longest of these pauses.
const RETRY_MAX: Duration = Duration::from_secs(64);

type Key = (InterfaceIndex, Prefix);

/// Which addresses wait for the kernel's verdict.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Detections {
    /// Addresses that detection is on for: normally none.
    watched: BTreeSet<Prefix>,
    /// Those that we asked for and that cannot be used.
    waiting: BTreeMap<Key, Waiting>,
    retry: Option<Instant>,
    pause: Duration,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
enum Waiting {
    Running,
    Failed,
    /// It runs once more.
    RunningAgain,
}

/// What came of a detection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum News {
    Nothing,
    /// Nobody else has the address.
    Passed,
    /// The same after it had failed.
    PassedAtLast,
    Failed,
    FailedAgain,
}

impl Detections {
    pub(super) fn of(config: &RouterConfig) -> Self {
        Self { watched: watched(config), ..Self::default() }
    }

    /// The configuration was changed.
    pub(super) fn reconfigure(&mut self, config: &RouterConfig) {
        self.watched = watched(config);
        self.waiting.retain(|(_, prefix), _| self.watched.contains(prefix));
    }

    /// Whether an address that is asked for has to wait for a verdict. It does from then on.
    pub(super) fn begin(&mut self, key: Key) -> bool {
        let watched = self.watched.contains(&key.1);
        if watched {
            let again = self.waiting.get(&key).is_some_and(|waiting| *waiting != Waiting::Running);
            self.waiting.insert(key, if again { Waiting::RunningAgain } else { Waiting::Running });
        }
        watched
    }

    /// Whether an address cannot be used, as far as is known.
    pub(super) fn holds_back(&self, key: Key) -> bool {
        self.waiting.contains_key(&key)
    }

    /// Addresses that another host has.
    pub(super) fn duplicates(&self) -> impl Iterator<Item = Key> {
        let failed = |(key, waiting): (&Key, &Waiting)| (*waiting != Waiting::Running).then_some(*key);
        self.waiting.iter().filter_map(failed)
    }

    /// None of them is wanted any more.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        (self.retry, self.pause) = (None, Duration::ZERO);
    }

    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.retry
    }

    fn note(&mut self, now: Instant, key: Key, detection: Detection) -> News {
        let Some(waiting) = self.waiting.get_mut(&key) else { return News::Nothing };
        match (detection, *waiting) {
            (Detection::Done, Waiting::Running) => {
                self.waiting.remove(&key);
                News::Passed
            }
            (Detection::Done, Waiting::RunningAgain | Waiting::Failed) => {
                self.waiting.remove(&key);
                News::PassedAtLast
            }
            (Detection::Failed, Waiting::Running | Waiting::RunningAgain) => {
                let before = core::mem::replace(waiting, Waiting::Failed);
                if self.retry.is_none() {
                    self.pause = (self.pause * 2).clamp(RETRY_FIRST, RETRY_MAX);
                    self.retry = Some(now + self.pause);
                }
                if before == Waiting::Running { News::Failed } else { News::FailedAgain }
            }
            (Detection::Running, _) | (Detection::Failed, Waiting::Failed) => News::Nothing,
        }
    }

    fn take_failed(&mut self) -> Vec<Key> {
        self.retry = None;
        self.waiting.iter().filter(|(_, waiting)| **waiting == Waiting::Failed).map(|(key, _)| *key).collect()
    }
}

fn watched(config: &RouterConfig) -> BTreeSet<Prefix> {
    let all = config.addresses.iter().chain(&config.excluded).map(|address| &address.spec);
    let watched = all.filter(|spec| spec.flags.duplicate_address_detection);
    watched.map(|spec| spec.prefix).filter(|prefix| prefix.address().is_ipv6()).collect()
}

impl Core {
    /// The kernel tells how far it is with an address. True where the address is to be announced now.
    pub(super) fn note_detection(
        &mut self,
        now: Now,
        key: Key,
        detection: Detection,
        out: &mut Output<'_>,
    ) -> bool {
        let news = self.detections.note(now.instant, key, detection);
        let (link, prefix) = key;
        match news {
            News::Nothing => return false,
            News::Passed => {}
            News::PassedAtLast => self.report(ReportKind::AddressUnique { prefix }, out),
            News::Failed => {
                self.counters.duplicate_addresses += 1;
                if let Some((name, _)) = self.environment.interface_of(link) {
                    let interface = name.clone();
                    self.report(ReportKind::AddressDuplicate { prefix, interface }, out);
                }
            }
            News::FailedAgain => self.counters.duplicate_addresses += 1,
        }
        matches!(news, News::Passed | News::PassedAtLast)
    }

    /// Has the kernel look once more whether somebody else has the addresses that it could not use.
    pub(super) fn detect_again(&mut self, out: &mut Output<'_>) {
        let mut changes = Vec::new();
        for key in self.detections.take_failed() {
            self.addresses.renew(key, &mut changes);
        }
        self.request_addresses(changes, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::AddressSpec;
    use crate::net::Family;
    use crate::vrrp::VirtualAddress;
    use crate::wire::vrrp::Vrid;

    #[test]
    fn a_verdict_is_waited_for_and_what_failed_is_tried_ever_more_seldom() {
        let name = "eth0".parse().unwrap();
        let mut config = RouterConfig::new("VI_1", Vrid::new(1).unwrap(), Family::Ipv6, name);
        let prefix = |text: &str| Prefix::new(text.parse().unwrap(), 64).unwrap();
        let mut spec = AddressSpec::new(prefix("2001:db8::1"));
        spec.flags.duplicate_address_detection = true;
        config.addresses = vec![VirtualAddress { spec, interface: None, track: true }];
        let key = (InterfaceIndex::LOWEST, prefix("2001:db8::1"));
        let mut detections = Detections::of(&config);
        assert!(!detections.begin((InterfaceIndex::LOWEST, prefix("2001:db8::2"))));
        assert!(detections.begin(key) && detections.holds_back(key));
        let mut now = Instant::ZERO;
        assert_eq!(detections.note(now, key, Detection::Running), News::Nothing);
        assert_eq!(detections.note(now, key, Detection::Done), News::Passed);
        assert!(!detections.holds_back(key));

        assert!(detections.begin(key));
        let mut pauses = Vec::new();
        for expected in [News::Failed].into_iter().chain([News::FailedAgain; 7]) {
            assert_eq!(detections.note(now, key, Detection::Failed), expected);
            assert_eq!(detections.note(now, key, Detection::Failed), News::Nothing);
            assert_eq!(detections.duplicates().collect::<Vec<_>>(), [key]);
            let at = detections.poll_timeout().unwrap();
            pauses.push(at.saturating_since(now).as_secs());
            now = at;
            assert_eq!(detections.take_failed(), [key]);
            assert!(detections.begin(key) && detections.holds_back(key));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 64]);
        assert_eq!(detections.note(now, key, Detection::Done), News::PassedAtLast);
        assert!(!detections.holds_back(key));
    }
}
