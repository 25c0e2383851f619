//! Who becomes master, and when: `priority`, `state`, `preempt`, `advert_int`.

use super::Whole;
use crate::config::diagnostics::Diagnostic;
use crate::config::model::VrrpInstance;
use crate::time::Duration;
use crate::vrrp::{InitialState, RouterConfig};
use crate::wire::vrrp::{AdvertisementInterval, AuthenticationData, Priority, Version};

impl<'a> Whole<'a> {
    pub(super) fn priority(&self, instance: &VrrpInstance, router: &mut RouterConfig, name: &str) {
        let wish = instance.state.as_ref().map(|entry| entry.value);
        let priority = instance.priority.as_ref();
        router.priority = match (priority, wish) {
            (Some(entry), _) => entry.value,
            (None, Some(InitialState::Master)) => {
                let at = instance.state.as_ref().map_or(instance.header.at, |entry| entry.at);
                self.push(
                    Diagnostic::warning(
                        "implied-owner",
                        format!("`{name}` has state MASTER and no priority: it becomes owner of the addresses (255)"),
                    )
                    .at(self.place(at))
                    .help("write a priority"),
                );
                Priority::OWNER
            }
            (None, _) => Priority::DEFAULT,
        };
        // Sequence numbers go on from those of the master, who has to be heard first.
        let counts = matches!(router.authentication, AuthenticationData::AuthenticationHeader(_));
        router.initial = wish.filter(|_| !counts || router.priority.is_owner()).unwrap_or_default();
    }

    pub(super) fn preemption(&self, instance: &VrrpInstance, router: &mut RouterConfig, name: &str) {
        let nopreempt = instance.nopreempt.as_ref();
        // `preempt` written after `nopreempt` takes it back.
        let taken_back = match (nopreempt, instance.preempt.as_ref()) {
            (Some(no), Some(yes)) => yes.at > no.at,
            _ => false,
        };
        router.preempt = nopreempt.is_none() || taken_back;
        let delay = instance.preempt_delay.as_ref();
        router.preempt_delay = delay.map_or(Duration::ZERO, |entry| entry.value.duration());
        if router.initial == InitialState::Master {
            for (at, keyword) in [
                (nopreempt.filter(|_| !router.preempt).map(|entry| entry.at), "nopreempt"),
                (delay.filter(|entry| entry.value.0 > 0).map(|entry| entry.at), "preempt_delay"),
            ] {
                let Some(at) = at else { continue };
                self.push(
                    Diagnostic::error(
                        "preempt-with-master",
                        format!("`{name}`: {keyword} has no effect with state MASTER and is ignored"),
                    )
                    .at(self.place(at))
                    .help("write state BACKUP on all routers, and let the priority decide"),
                );
            }
            router.preempt = true;
            router.preempt_delay = Duration::ZERO;
        } else if !router.preempt && !router.preempt_delay.is_zero() {
            let at = delay.map_or(instance.header.at, |entry| entry.at);
            self.push(
                Diagnostic::error(
                    "preempt-delay-without-preempt",
                    format!("`{name}`: preempt_delay has no effect with nopreempt and is ignored"),
                )
                .at(self.place(at)),
            );
            router.preempt_delay = Duration::ZERO;
        }
        if let Some(entry) = &instance.timer_expired_backup {
            if router.preempt {
                self.push(
                    Diagnostic::error(
                        "timer-expired-backup",
                        format!(
                            "`{name}`: timer_expired_backup has no effect without nopreempt and is ignored"
                        ),
                    )
                    .at(self.place(entry.at))
                    .help("write nopreempt, or remove it: who preempts takes over again at once"),
                );
            } else {
                let priority = entry.value.0.and_then(|priority| u8::try_from(priority).ok());
                router.timer_expired_backup = Some(Priority(priority.unwrap_or(254)));
            }
        }
    }

    pub(super) fn interval(&self, instance: &VrrpInstance, version: Version) -> AdvertisementInterval {
        let Some(entry) = &instance.advert_int else { return AdvertisementInterval::ONE_SECOND };
        let micros = entry.value.0;
        let place = self.place(entry.at);
        let text = self.reading.sources.text(place);
        let (unit, most) = match version {
            Version::V2 => (1_000_000, 255),
            Version::V3 => (10_000, 4095),
        };
        let rounded = (micros + unit / 2) / unit;
        let count = rounded.clamp(1, most);
        let interval = match version {
            Version::V2 => u8::try_from(count).ok().and_then(AdvertisementInterval::from_seconds),
            Version::V3 => u16::try_from(count).ok().and_then(AdvertisementInterval::from_centiseconds),
        }
        .unwrap_or(AdvertisementInterval::ONE_SECOND);
        if count * unit != micros {
            let why = match version {
                Version::V2 => "version 2 has whole seconds from 1 to 255",
                Version::V3 => "version 3 has steps of 0.01 seconds up to 40.95",
            };
            self.push(
                Diagnostic::error("interval-rounded", format!("advert_int {text} becomes {interval}: {why}"))
                    .at(place)
                    .help(match version {
                        Version::V2 => {
                            "write version 3 in the instance for shorter intervals, on all routers"
                        }
                        Version::V3 => "write an interval that fits",
                    }),
            );
        }
        interval
    }
}
