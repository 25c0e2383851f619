//! The kernel's table as far as it is known, and what is under way to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::action::VirtualServerId;
use crate::kernel::Verb;
use crate::kernel::ipvs::{DestinationSettings, IpvsEntry, IpvsKey, IpvsOperation, IpvsTable, ServiceKey};

/// What the kernel is known to hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// `None` for what has settings that have no words here.
    entries: BTreeMap<IpvsKey, Option<IpvsEntry>>,
    /// Changes without an answer, in order.
    in_flight: VecDeque<Sent>,
    /// How many of them are for each entry.
    counts: BTreeMap<IpvsKey, u32>,
}

/// A change that was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// Who is told of the answer; `None` for left-overs of a predecessor.
    pub requester: Option<VirtualServerId>,
    /// Add or remove.
    pub verb: Verb,
    /// Which entry.
    pub key: IpvsKey,
    entry: Option<IpvsEntry>,
}

impl Table {
    /// What was read, after all earlier changes were answered.
    pub(super) fn learn(&mut self, table: &IpvsTable) {
        self.entries.clear();
        for held in &table.services {
            let entry = held.settings.clone().map(|settings| IpvsEntry::Service(held.key, settings));
            self.entries.insert(IpvsKey { service: held.key, destination: None }, entry);
        }
        for held in &table.destinations {
            let entry =
                held.settings.map(|settings| IpvsEntry::Destination(held.service, held.target, settings));
            self.entries.insert(IpvsKey { service: held.service, destination: Some(held.target) }, entry);
        }
    }

    /// All of it is removed.
    pub(super) fn flush(&mut self) {
        self.entries.clear();
    }

    /// Whether it has an entry, whatever its settings.
    pub(super) fn has(&self, key: IpvsKey) -> bool {
        self.entries.contains_key(&key)
    }

    /// Whether it has this very entry.
    pub(super) fn holds(&self, entry: &IpvsEntry) -> bool {
        self.entries.get(&entry.key()).is_some_and(|held| held.as_ref() == Some(entry))
    }

    /// How a destination is used.
    pub(super) fn settings(&self, key: IpvsKey) -> Option<DestinationSettings> {
        match self.entries.get(&key)?.as_ref()? {
            IpvsEntry::Destination(_, _, settings) => Some(*settings),
            IpvsEntry::Service(..) => None,
        }
    }

    /// What it has of a service.
    pub(super) fn of_service(&self, service: ServiceKey) -> impl Iterator<Item = IpvsKey> {
        let first = IpvsKey { service, destination: None };
        self.entries.range(first..).map(|(key, _)| *key).take_while(move |key| key.service == service)
    }

    /// Whether every change was answered.
    pub(super) fn is_settled(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Services of which changes were not answered yet.
    pub(super) fn services_under_way(&self) -> impl Iterator<Item = ServiceKey> {
        self.counts.keys().map(|key| key.service)
    }

    /// Whether changes of an entry, or of its service, were not answered yet.
    pub(super) fn is_under_way(&self, key: IpvsKey) -> bool {
        let service = IpvsKey { service: key.service, destination: None };
        self.counts.contains_key(&key) || self.counts.contains_key(&service)
    }

    /// Sends an addition, unless it is known to have come true.
    pub(super) fn add(
        &mut self,
        requester: VirtualServerId,
        entry: IpvsEntry,
        operations: &mut Vec<IpvsOperation>,
    ) -> bool {
        let key = entry.key();
        if !self.is_under_way(key) && self.holds(&entry) {
            return false;
        }
        operations.push(if self.has(key) {
            IpvsOperation::Edit(entry.clone())
        } else {
            IpvsOperation::Add(entry.clone())
        });
        self.send(Sent { requester: Some(requester), verb: Verb::Add, key, entry: Some(entry) });
        true
    }

    /// Sends a removal, unless it is known to have come true, or the entry's service is among those that are removed
    /// anyhow.
    pub(super) fn remove(
        &mut self,
        requester: Option<VirtualServerId>,
        key: IpvsKey,
        removed: &BTreeSet<ServiceKey>,
        operations: &mut Vec<IpvsOperation>,
    ) -> bool {
        let goes_along = key.destination.is_some() && removed.contains(&key.service);
        if !self.is_under_way(key) && (goes_along || !self.has(key)) {
            return false;
        }
        operations.push(IpvsOperation::Remove(key));
        self.send(Sent { requester, verb: Verb::Remove, key, entry: None });
        true
    }

    fn send(&mut self, sent: Sent) {
        *self.counts.entry(sent.key).or_default() += 1;
        self.in_flight.push_back(sent);
    }

    /// Takes the answer to the change that waits longest.
    pub(super) fn answered(&mut self, refused: bool) -> Option<Sent> {
        let sent = self.in_flight.pop_front()?;
        if let Some(count) = self.counts.get_mut(&sent.key) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&sent.key);
            }
        }
        match (refused, sent.verb) {
            (true, _) => {}
            (false, Verb::Add) => _ = self.entries.insert(sent.key, sent.entry.clone()),
            (false, Verb::Remove) if sent.key.destination.is_some() => _ = self.entries.remove(&sent.key),
            (false, Verb::Remove) => {
                let gone: Vec<IpvsKey> = self.of_service(sent.key.service).collect();
                gone.iter().for_each(|key| _ = self.entries.remove(key));
            }
        }
        Some(sent)
    }
}
