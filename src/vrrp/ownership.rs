//! The virtual addresses of a router as wanted objects.
//!
//! All the work is done in [`crate::wanted`]: it knows which addresses are ours, which were there before us, which a
//! predecessor left, and puts back what somebody removes. A router has one set of them, which it wants while it is
//! master. Here is what that set is made from (a wish for each address of the configuration, and where it belongs),
//! what it is told, and what becomes of its changes: requests with their first announcements.

use super::environment::Environment;
use super::router_core::Core;
use super::{Output, ReportKind, RouterConfig, State, VirtualRouter};
use crate::kernel::{
    AddressOperation, AddressOutcome, AddressReply, AddressRequest, Detection, HeldAddress, KernelRequest,
    Requester, Verb,
};
use crate::net::{InterfaceIndex, Prefix};
use crate::time::Now;
use crate::wanted::{AddressWish, Addresses, Answer, Change, Repair, distinct};

/// What the kernel is known to hold: whether an address is there, and then whether it carries our mark.
pub(super) type Known<'a> = &'a dyn Fn((InterfaceIndex, Prefix)) -> Option<bool>;

/// How far the kernel is known to be with the detection of an address that is there.
pub(super) type Detected<'a> = &'a dyn Fn((InterfaceIndex, Prefix)) -> Option<Detection>;

/// The addresses of a configuration, and whether the loss of each counts against the router (not `no_track`). Of one
/// that is in there twice, the later line counts.
pub(super) fn wishes(config: &RouterConfig) -> Vec<(AddressWish, bool)> {
    distinct(config.addresses.iter().chain(&config.excluded).map(|address| {
        let interface = address.interface.as_ref().unwrap_or(&config.interfaces.addresses).clone();
        (AddressWish { interface, spec: address.spec.clone() }, address.track)
    }))
}

/// Where a wish can be fulfilled: on its interface, as far as that exists.
pub(super) fn locate(environment: &Environment) -> impl Fn(&AddressWish) -> Option<(InterfaceIndex, Prefix)> {
    |wish| environment.interface(&wish.interface).map(|interface| (interface.key, wish.spec.prefix))
}

impl Core {
    /// Takes other surroundings.
    pub(super) fn locate_addresses(&mut self, known: Known<'_>, out: &mut Output<'_>) {
        let mut changes = Vec::new();
        self.addresses.locate(&locate(&self.environment), known, &mut changes);
        self.request_addresses(changes, out);
        for key in self.addresses.take_foreign() {
            // An owner's addresses are its own.
            if !self.config.priority.is_owner() {
                self.report_foreign(key, out);
            }
        }
    }

    /// A master wants its addresses. Gives those that are there already, and how many of these a predecessor left.
    pub(super) fn claim_addresses(&mut self, out: &mut Output<'_>) -> (Vec<(InterfaceIndex, Prefix)>, usize) {
        let mut changes = Vec::new();
        let (present, leftovers) = self.addresses.want(&mut changes);
        self.request_addresses(changes, out);
        (present, leftovers)
    }

    /// Gives up the addresses; what a predecessor left is told.
    pub(super) fn release_addresses(&mut self, out: &mut Output<'_>) {
        let mut changes = Vec::new();
        self.detections.clear();
        let count = self.addresses.release(&mut changes);
        if count > 0 {
            self.report(ReportKind::LeftoverRemoved { count }, out);
        }
        self.request_addresses(changes, out);
    }

    /// Puts back what somebody removed, and removes what should not be there.
    pub(super) fn judge_addresses(&mut self, now: Now, out: &mut Output<'_>) {
        let mut changes = Vec::new();
        for Repair { key: (_, prefix), times } in self.addresses.judge(now.instant, &mut changes) {
            self.counters.addresses_repaired += 1;
            self.report(ReportKind::AddressRepaired { prefix, times }, out);
        }
        self.request_addresses(changes, out);
    }

    /// Asks for changes of addresses. The first announcement of what is added goes along, unless announcements
    /// have to keep a pace, or wait for the end of a detection.
    pub(super) fn request_addresses(&mut self, changes: Vec<Change<Addresses>>, out: &mut Output<'_>) {
        if changes.is_empty() {
            return;
        }
        let operation = |Change { verb, key: (link, prefix), wish }: Change<Addresses>| {
            let goes_along = verb == Verb::Add
                && !self.detections.begin((link, prefix))
                && !self.is_paced(link, prefix.family());
            let announcement = self.announcement(link, prefix).filter(|_| goes_along);
            AddressOperation { verb, link, spec: wish.spec, announcement }
        };
        let operations = changes.into_iter().map(operation).collect();
        let request = AddressRequest { requester: Requester::Router(self.id), operations };
        out.actions.kernel.push(KernelRequest::Addresses(request));
    }

    /// One of our addresses is there without our mark.
    fn report_foreign(&self, (link, prefix): (InterfaceIndex, Prefix), out: &mut Output<'_>) {
        if let Some((name, _)) = self.environment.interface_of(link) {
            self.report(ReportKind::ForeignAddress { prefix, interface: name.clone() }, out);
        }
    }
}

impl VirtualRouter {
    /// The kernel tells that it holds one of our addresses.
    pub fn on_address_present(&mut self, now: Now, held: &HeldAddress, out: &mut Output<'_>) {
        let key = (held.link, held.prefix);
        if self.core.addresses.on_present(now.instant, key, held.ours) {
            self.core.report_foreign(key, out);
        }
        self.note_detection(now, key, held.detection, out);
        if self.state() == State::Fault && self.core.addresses.has_leftovers() {
            self.core.release_addresses(out);
        }
    }

    /// The kernel tells that one of our addresses is gone.
    pub fn on_address_gone(&mut self, now: Now, key: (InterfaceIndex, Prefix)) {
        self.core.addresses.on_gone(now.instant, key);
    }

    /// Compares all addresses with the kernel's whole state, after notifications were lost.
    pub fn resynchronise(
        &mut self,
        now: Now,
        known: Known<'_>,
        detection: Detected<'_>,
        out: &mut Output<'_>,
    ) {
        self.core.addresses.resynchronise(now.instant, known);
        for key in self.core.addresses.keys().collect::<Vec<_>>() {
            if let Some(detection) = detection(key) {
                self.note_detection(now, key, detection, out);
            }
        }
    }

    fn note_detection(
        &mut self,
        now: Now,
        key: (InterfaceIndex, Prefix),
        detection: Detection,
        out: &mut Output<'_>,
    ) {
        if self.core.note_detection(now, key, detection, out) && self.state() == State::Master {
            self.core.announce([key], self.core.config.announce.repeat.max(1), out);
        }
    }

    /// Addresses that another host has.
    pub fn duplicate_addresses(&self) -> impl Iterator<Item = Prefix> {
        self.core.detections.duplicates().map(|(_, prefix)| prefix)
    }

    /// The kernel took a chunk of our address changes: announces what is there now.
    pub fn on_address_reply(
        &mut self,
        now: Now,
        reply: &AddressReply,
        detection: Detected<'_>,
        out: &mut Output<'_>,
    ) {
        let is_master = self.state() == State::Master;
        let core = &mut self.core;
        let key = |outcome: &AddressOutcome| (outcome.link, outcome.prefix);
        for outcome in &reply.outcomes {
            let AddressOutcome { verb, prefix, error, announced, .. } = outcome;
            core.counters.announcements += u64::from(*announced);
            match (core.addresses.on_answer(now.instant, *verb, key(outcome), error.is_some()), error) {
                (Answer::Refused, Some(error)) => {
                    core.report(ReportKind::AddressRefused { prefix: *prefix, error: error.clone() }, out);
                }
                (Answer::There, _) if is_master => {
                    // Of what was there before it was asked for, the kernel tells nothing more.
                    if let Some(detection) = detection(key(outcome)) {
                        core.note_detection(now, key(outcome), detection, out);
                    }
                    // All addresses of a chunk once, then all again.
                    let rounds = core.config.announce.repeat.max(1) - u32::from(*announced);
                    core.announce([key(outcome)], rounds, out);
                }
                _ => {}
            }
        }
        let mut changes = Vec::new();
        core.addresses.request_again(reply.outcomes.iter().map(key), &mut changes);
        core.request_addresses(changes, out);
    }

    /// Somebody else's removal took addresses of these subnets along, or one of these addresses: those that are
    /// wanted are asked for again.
    pub fn restore(&mut self, taken: &dyn Fn((InterfaceIndex, Prefix)) -> bool, out: &mut Output<'_>) {
        let mut changes = Vec::new();
        self.core.addresses.restore(taken, &mut changes);
        self.core.request_addresses(changes, out);
    }

    /// Whether the kernel shall hold the virtual addresses.
    pub fn wants_addresses(&self) -> bool {
        self.core.addresses.is_wanted()
    }

    /// Whether every request has been answered.
    pub fn is_settled(&self) -> bool {
        self.core.addresses.is_settled() && self.core.routing.is_settled()
    }

    /// Interfaces and addresses the router cares for, as far as the interfaces exist.
    pub fn address_keys(&self) -> impl Iterator<Item = (InterfaceIndex, Prefix)> {
        self.core.addresses.keys()
    }
}
