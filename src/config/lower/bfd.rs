//! `bfd_instance`.

use core::net::IpAddr;
use core::num::NonZeroU8;
use std::collections::BTreeMap;

use super::fields::{boolean, duration, number};
use super::order::{Defined, duplicate};
use crate::bfd::{HopAllowance, Listeners, SessionConfig};
use crate::config::diagnostics::Diagnostic;
use crate::config::model::BfdInstance;
use crate::config::source::Position;
use crate::config::values::Reading;
use crate::net::Family;
use crate::time::Duration;

/// The sessions while they are read.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    list: Vec<SessionConfig>,
    neighbors: BTreeMap<(IpAddr, Option<IpAddr>), Position>,
}

impl Sessions {
    /// The sessions in the order of the file.
    pub(super) fn finish(self) -> Vec<SessionConfig> {
        self.list
    }

    /// Takes a session.
    pub(super) fn add(&mut self, reading: &Reading<'_>, defined: &mut Defined, block: &BfdInstance) {
        let (name, at) = (&*block.header.value.0, block.header.at);
        if let Some(first) = defined.bfd.first(name) {
            duplicate(reading, "bfd_instance", name, at, first, true);
            return;
        }
        if let Some(session) = self.session(reading, block) {
            let own = block.weight.as_ref().map(|entry| entry.value.0);
            defined.bfd.define(name, at, own.unwrap_or_default());
            self.list.push(session);
        }
    }

    fn session(&mut self, reading: &Reading<'_>, block: &BfdInstance) -> Option<SessionConfig> {
        let name = &*block.header.value.0;
        let ignored = |at: Position, message: String| {
            Diagnostic::error("bfd-instance", message)
                .at(reading.sources.word_at(at))
                .note("the session is ignored")
        };
        let Some(neighbor) = &block.neighbor_ip else {
            reading.diagnostics.push(
                ignored(block.header.at, format!("the session `{name}` has no neighbor_ip"))
                    .help("write neighbor_ip with the address of the other end"),
            );
            return None;
        };
        let mut session = SessionConfig::new(name.into(), neighbor.value.0);
        if let Some(source) = &block.source_ip {
            if Family::of(&source.value.0) != Family::of(&session.neighbor) {
                reading.diagnostics.push(
                    ignored(source.at, format!("{} is not of the neighbour's family", source.value.0))
                        .related(reading.sources.word_at(neighbor.at), "the neighbour"),
                );
                return None;
            }
            session.source = Some(source.value.0);
        }
        if let Some(first) = self.neighbors.insert((session.neighbor, session.source), neighbor.at) {
            reading.diagnostics.push(
                ignored(neighbor.at, format!("there is another session with {}", session.neighbor))
                    .related(reading.sources.word_at(first), "first here"),
            );
            self.neighbors.insert((session.neighbor, session.source), first);
            return None;
        }
        timing(reading, block, &mut session);
        session.passive = block.passive.is_some();
        session.multihop = boolean(block.multihop.as_ref()).unwrap_or(false);
        session.listeners = match (&block.vrrp, &block.checker) {
            (Some(_), None) => Listeners::Routers,
            (None, Some(_)) => Listeners::Checks,
            _ => Listeners::Both,
        };
        hops(reading, block, &mut session);
        Some(session)
    }
}

fn timing(reading: &Reading<'_>, block: &BfdInstance, session: &mut SessionConfig) {
    const LONG: Duration = Duration::from_secs(10);
    for (entry, field) in
        [(&block.min_rx, &mut session.min_receive), (&block.min_tx, &mut session.min_transmit)]
    {
        if let (Some(interval), Some(entry)) = (duration(entry.as_ref()), entry) {
            *field = interval;
            if interval > LONG {
                reading.diagnostics.push(
                    Diagnostic::warning("long-interval", "intervals above 10 seconds detect nothing fast")
                        .at(reading.sources.word_at(entry.at))
                        .help("the unit is milliseconds"),
                );
            }
        }
    }
    if let Some(interval) = duration(block.idle_tx.as_ref()) {
        session.idle_transmit = interval;
    }
    if let Some(multiplier) = byte(number(block.multiplier.as_ref())) {
        session.multiplier = multiplier;
    }
}

fn hops(reading: &Reading<'_>, block: &BfdInstance, session: &mut SessionConfig) {
    if let Some(ttl) = byte(number(block.ttl.as_ref())) {
        session.ttl = ttl;
    }
    let Some(entry) = &block.max_hops else { return };
    let ttl = i16::from(session.ttl.get());
    session.max_hops = match i16::try_from(entry.value.0) {
        Ok(255) => HopAllowance::Any,
        Ok(hops) if hops > ttl => {
            reading.diagnostics.push(
                Diagnostic::error("max-hops", format!("max_hops {hops} is above the TTL, {ttl}"))
                    .at(reading.sources.word_at(entry.at))
                    .note(format!("{ttl} is used")),
            );
            HopAllowance::AtMost(ttl)
        }
        Ok(hops) => HopAllowance::AtMost(hops),
        Err(_) => return,
    };
}

fn byte(number: Option<u32>) -> Option<NonZeroU8> {
    number.and_then(|number| u8::try_from(number).ok()).and_then(NonZeroU8::new)
}
