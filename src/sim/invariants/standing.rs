//! What an observer knows of one virtual router, and its second master-down timer.

use core::net::IpAddr;
use std::sync::Arc;

use super::bounds::{at_least, skew_time};
use super::step::COALESCING;
use super::{Batch, Heard};
use crate::time::{ARRIVAL_MAX, Duration, Instant};
use crate::vrrp::{InitialState, RouterConfig, State, Transition};

/// Where a router is in a switch-over.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Switch {
    /// In none.
    #[default]
    Off,
    /// Told to, priority 0 sent, waits for a successor.
    Leaving,
    /// Handed over; does not preempt its successor.
    Held,
}

/// What is known of one virtual router.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Its state.
    pub state: State,
    /// When it last became master (simulator's time).
    pub elected: Option<Instant>,
    /// When it last, being master, heard another master that loses to it (simulator's time).
    pub rival: Option<Instant>,
    /// To whom it last, being master, yielded as to a better one and said so, and when (simulator's time).
    pub yielded: Option<(IpAddr, Instant)>,
    /// Switch-over.
    pub switch: Switch,
    /// When a switch-over ends by itself (machine's clock), whatever becomes of it until then.
    pub(super) hold_until: Option<Instant>,
    /// Whether it stood back because nothing that it sent left: it may send one advertisement to see whether it can
    /// be master.
    pub tries: bool,
    /// From when on (machine's clock) nobody else is there for one who stood back by itself, unless it hears somebody.
    pub(super) alone_from: Option<Instant>,
    /// Earliest time (machine's clock) at which it may become master.
    pub earliest: Instant,
    /// The shortest interval it may be counting with.
    pub(super) shortest_interval: Duration,
}

impl Standing {
    /// RFC 9568 §6.4.2, as an observer: when this backup may become master after an advertisement that cannot have
    /// arrived before `local`.
    pub(super) fn hear(&mut self, local: Instant, config: &RouterConfig, heard: &Heard) {
        let priority = heard.glance.priority;
        let interval = heard.glance.interval;
        if priority == 0 {
            let skew = skew_time(config, self.shortest_interval.min(interval));
            self.earliest = self.earliest.min(local + skew);
            return;
        }
        let obeys = !config.preempt || priority >= config.priority.0 || self.switch == Switch::Held;
        if obeys {
            // A version 3 backup counts with the interval of the last advertisement it accepted.
            self.shortest_interval = interval;
            self.earliest = local + at_least(config, interval);
        } else {
            self.shortest_interval = self.shortest_interval.min(interval);
            if !config.preempt_delay.is_zero() {
                // While the delay runs the lower master is followed, with its interval.
                self.earliest = self.earliest.min(local + at_least(config, self.shortest_interval));
            }
        }
    }

    /// The same after an advertisement of which nobody outside can tell whether this backup believed it. It may become
    /// master as early as it may in either case: priority 0 shortens its wait, and a master that it need not have heard does
    /// not lengthen it.
    pub(super) fn hear_perhaps(&mut self, local: Instant, config: &RouterConfig, heard: &Heard) {
        let (earliest, shortest_interval) = (self.earliest, self.shortest_interval);
        self.hear(local, config, heard);
        self.earliest = self.earliest.min(earliest);
        self.shortest_interval = self.shortest_interval.min(shortest_interval);
    }

    /// The operator switches back: its priority counts again. Who leaves for maintenance goes on leaving.
    pub(super) fn come_back_to_preempt(&mut self, local: Instant, maintenance: bool) {
        if !(maintenance && self.switch == Switch::Leaving) {
            self.switch = Switch::Off;
            self.hold_until = None;
            self.earliest = self.earliest.min(local);
        }
    }

    /// The time may be over for which it was told to switch over.
    pub(super) fn end_hold(&mut self, local: Instant) {
        if self.hold_until.take_if(|until| *until <= local).is_some() && self.switch == Switch::Held {
            self.switch = Switch::Off;
            self.earliest = self.earliest.min(local);
        }
    }

    /// It stands back because it could not do what a master must; whom it hears is master instead.
    pub(super) fn stand_back(&mut self, local: Instant, config: &RouterConfig) {
        self.alone_from = Some(local + at_least(config, self.shortest_interval));
    }

    /// The same for one who stands back.
    pub(super) fn overhear(&mut self, local: Instant, config: &RouterConfig, heard: &Heard) {
        if heard.glance.priority > 0
            && let Some(alone_from) = &mut self.alone_from
        {
            *alone_from = local + at_least(config, heard.glance.interval);
        }
    }

    /// It stood back, and is back. Who has listened for a master-down time in vain need not listen once more; it may
    /// still have to wait for its sync group.
    pub(super) fn come_back(&mut self, local: Instant) {
        if self.alone_from.take().is_some_and(|alone_from| alone_from <= local + COALESCING) {
            self.earliest = local;
        }
    }

    pub(super) fn enter_backup(&mut self, batch: &Batch<'_>, config: &RouterConfig, transition: &Transition) {
        self.shortest_interval = self.shortest_interval.min(config.interval.duration());
        for heard in batch.heard.iter().filter(|h| h.glance.vrid == config.vrid.get()) {
            self.shortest_interval = self.shortest_interval.min(heard.glance.interval);
        }
        let from_start = transition.from == State::Initialize && config.initial == InitialState::Master;
        // The wait is that of the priority at this moment: a reload in the same wake-up may have lowered it since,
        // or raised it, which shortens the wait.
        let then = &RouterConfig { priority: transition.priority, ..config.clone() };
        let begin = if batch.heard.is_empty() { batch.local } else { batch.local - ARRIVAL_MAX };
        self.earliest = begin
            + if from_start {
                config.interval.duration()
            } else {
                at_least(then, self.shortest_interval).min(at_least(config, self.shortest_interval))
            };
        if batch.heard.iter().any(|h| h.glance.priority == 0 && h.glance.vrid == config.vrid.get()) {
            let skew = skew_time(then, self.shortest_interval).min(skew_time(config, self.shortest_interval));
            self.earliest = self.earliest.min(begin + skew);
        }
    }
}
