//! Whether interfaces count as up: with `interface_up_down_delays` a change counts when it has lasted, and with
//! `linkbeat_interfaces` the carrier is what was found by asking.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::kernel::Link;
use crate::net::{InterfaceIndex, InterfaceName};
use crate::time::{Duration, Instant};
use crate::track::{InterfaceDelay, Lasting, TrackConfig};

/// What is known of interfaces beside the kernel's notifications.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct LinkStates {
    delayed: BTreeMap<InterfaceName, Delayed>,
    next: Option<Instant>,
    /// Of those that are asked, and have answered.
    carriers: BTreeMap<InterfaceName, bool>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Delayed {
    delay: InterfaceDelay,
    /// Whether it counts as up; `None` while there is no interface of that name.
    counts: Option<(InterfaceIndex, Lasting)>,
}

impl LinkStates {
    /// Takes a configuration, and gives the interfaces that have no delay or are not asked any more: what they are
    /// counts from now on. What waits goes on waiting. `link` gives the interface of a name.
    pub(super) fn configure<'a>(
        &mut self,
        config: &TrackConfig,
        link: impl Fn(&InterfaceName) -> Option<&'a Link>,
    ) -> BTreeSet<InterfaceName> {
        let asked: BTreeSet<&InterfaceName> =
            config.link_polling.iter().map(|line| &line.interface).collect();
        let mut changed: BTreeSet<InterfaceName> =
            self.carriers.keys().filter(|name| !asked.contains(name)).cloned().collect();
        self.carriers.retain(|name, _| asked.contains(name));
        let mut before = core::mem::take(&mut self.delayed);
        for delay in &config.interface_delays {
            let name = &delay.interface;
            let counts = match before.remove(name) {
                Some(known) => known.counts,
                None => link(name).map(|link| (link.key, Lasting::new(self.is_up(link)))),
            };
            self.delayed.insert(name.clone(), Delayed { delay: delay.clone(), counts });
        }
        self.find_next();
        changed.extend(before.into_keys());
        changed
    }

    /// An interface that is asked has a carrier or none; `None` where it cannot be asked.
    pub(super) fn set_carrier(&mut self, name: &InterfaceName, carrier: Option<bool>) {
        match carrier {
            Some(carrier) => self.carriers.insert(name.clone(), carrier),
            None => self.carriers.remove(name),
        };
    }

    /// An interface of that name was seen, or that there is none. One that was not there before counts at once.
    /// `longest` is the most that a loss may be delayed.
    pub(super) fn note(
        &mut self,
        now: Instant,
        name: &InterfaceName,
        link: Option<&Link>,
        longest: Duration,
    ) {
        let up = link.is_some_and(|link| self.is_up(link));
        let Some(delayed) = self.delayed.get_mut(name) else { return };
        delayed.counts = link.map(|link| match delayed.counts {
            Some((key, mut lasting)) if key == link.key => {
                let InterfaceDelay { down, up: rise, .. } = delayed.delay;
                // Whether that counts now is asked for in any case.
                let _ = lasting.see(now, up, if up { rise } else { down.min(longest) });
                (key, lasting)
            }
            _ => (link.key, Lasting::new(up)),
        });
        self.find_next();
    }

    /// Whether an interface counts as up.
    pub(super) fn counts_as_up(&self, link: &Link) -> bool {
        match self.delayed.get(&link.name).and_then(|delayed| delayed.counts) {
            Some((key, lasting)) if key == link.key => lasting.get(),
            _ => self.is_up(link),
        }
    }

    /// Whether a change of an interface has to last before it counts.
    pub(super) fn is_delayed(&self, name: &InterfaceName) -> bool {
        self.delayed.contains_key(name)
    }

    /// The interfaces that have a delay.
    pub(super) fn delayed(&self) -> impl Iterator<Item = &InterfaceName> {
        self.delayed.keys()
    }

    /// The interfaces whose change counts now.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<InterfaceName> {
        if self.next.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let mut due = Vec::new();
        for (name, delayed) in &mut self.delayed {
            if delayed.counts.as_mut().is_some_and(|(_, lasting)| lasting.handle_timeout(now)) {
                due.push(name.clone());
            }
        }
        self.find_next();
        due
    }

    /// When [`LinkStates::take_due`] has something to give.
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// Whether an interface is up now.
    fn is_up(&self, link: &Link) -> bool {
        match self.carriers.get(&link.name) {
            Some(carrier) => link.admin_up && *carrier,
            None => link.usable(),
        }
    }

    fn find_next(&mut self) {
        let waiting = self.delayed.values().filter_map(|delayed| delayed.counts);
        self.next = waiting.filter_map(|(_, lasting)| lasting.deadline()).min();
    }
}
