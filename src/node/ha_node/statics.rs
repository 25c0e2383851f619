//! The static part: addresses that a daemon keeps in the kernel for as long as it lives (`static_ipaddress`).

use crate::kernel::{AddressOperation, AddressReply, AddressRequest, Requester};
use crate::net::{InterfaceIndex, Prefix};
use crate::node::{KernelModel, StaticConfig};
use crate::time::{Instant, Now};
use crate::vrrp::{Actions, Report, ReportKind};
use crate::wanted::{AddressWish, Addresses, Answer, Change, Repair, WantedSet, distinct};

/// A requester like each virtual router, which wants its addresses from the start to the stop.
#[derive(Clone, Debug)]
pub(super) struct Statics {
    addresses: WantedSet<Addresses>,
}

/// An address on an interface.
pub(super) type Key = (InterfaceIndex, Prefix);

impl Statics {
    /// Nothing is asked for yet.
    pub(super) fn new(config: &StaticConfig) -> Self {
        Self { addresses: WantedSet::new(wishes(config)) }
    }

    /// The kernel's state is known for the first time: asks for what is missing.
    pub(super) fn begin(&mut self, kernel: &KernelModel, actions: &mut Actions) {
        self.locate(kernel, actions);
        let mut changes = Vec::new();
        let (_, count) = self.addresses.want(&mut changes);
        if count > 0 {
            report(ReportKind::LeftoverAdopted { count }, actions);
        }
        request(changes, actions);
    }

    /// Interfaces came, went or have other names.
    pub(super) fn locate(&mut self, kernel: &KernelModel, actions: &mut Actions) {
        let mut changes = Vec::new();
        self.addresses.locate(&locate(kernel), &|key| kernel.holds(key), &mut changes);
        request(changes, actions);
        self.report_foreign(kernel, actions);
    }

    /// Replaces the list of addresses: what stays is not touched.
    pub(super) fn reconfigure(&mut self, config: &StaticConfig, kernel: &KernelModel, actions: &mut Actions) {
        let mut changes = Vec::new();
        let known = |key| kernel.holds(key);
        self.addresses.reconfigure(wishes(config), &locate(kernel), &known, &mut changes);
        request(changes, actions);
        self.report_foreign(kernel, actions);
    }

    /// Compares with the kernel's whole state, after notifications were lost.
    pub(super) fn resynchronise(&mut self, now: Now, kernel: &KernelModel, actions: &mut Actions) {
        self.locate(kernel, actions);
        self.addresses.resynchronise(now.instant, &|key| kernel.holds(key));
    }

    /// The kernel tells that it holds an address, and whether with our mark.
    pub(super) fn on_present(
        &mut self,
        now: Now,
        key: Key,
        ours: bool,
        kernel: &KernelModel,
        actions: &mut Actions,
    ) {
        if self.addresses.on_present(now.instant, key, ours) {
            report_foreign(key, kernel, actions);
        }
    }

    /// The kernel tells that an address is gone.
    pub(super) fn on_gone(&mut self, now: Now, key: Key) {
        self.addresses.on_gone(now.instant, key);
    }

    /// The kernel took a chunk of our changes.
    pub(super) fn on_reply(&mut self, now: Now, reply: &AddressReply, actions: &mut Actions) {
        for outcome in &reply.outcomes {
            let (key, error) = ((outcome.link, outcome.prefix), &outcome.error);
            let answer = self.addresses.on_answer(now.instant, outcome.verb, key, error.is_some());
            if let (Answer::Refused, Some(error)) = (answer, error) {
                let (prefix, error) = (outcome.prefix, error.clone());
                report(ReportKind::AddressRefused { prefix, error }, actions);
            }
        }
        request_again(&mut self.addresses, reply, actions);
    }

    /// When [`Statics::handle_timeout`] shall be called next.
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.addresses.poll_timeout()
    }

    /// Puts back what somebody removed.
    pub(super) fn handle_timeout(&mut self, now: Now, actions: &mut Actions) {
        let mut changes = Vec::new();
        for Repair { key: (_, prefix), times } in self.addresses.judge(now.instant, &mut changes) {
            report(ReportKind::AddressRepaired { prefix, times }, actions);
        }
        request(changes, actions);
    }

    /// A virtual router's removal takes some along: they are asked for again.
    pub(super) fn restore(&mut self, taken: &dyn Fn(Key) -> bool, actions: &mut Actions) {
        let mut changes = Vec::new();
        self.addresses.restore(taken, &mut changes);
        request(changes, actions);
    }

    /// The daemon stops: what is ours is removed.
    pub(super) fn stop(&mut self, actions: &mut Actions) {
        let mut changes = Vec::new();
        self.addresses.release(&mut changes);
        request(changes, actions);
    }

    /// Whether every change has been answered.
    pub(super) fn is_settled(&self) -> bool {
        self.addresses.is_settled()
    }

    fn report_foreign(&mut self, kernel: &KernelModel, actions: &mut Actions) {
        for key in self.addresses.take_foreign() {
            report_foreign(key, kernel, actions);
        }
    }
}

fn wishes(config: &StaticConfig) -> Vec<(AddressWish, bool)> {
    distinct(config.addresses.iter().map(|address| {
        let wish = AddressWish { interface: address.interface.clone(), spec: address.spec.clone() };
        // Nobody could do better.
        (wish, false)
    }))
}

/// An address has a place where its interface exists.
pub(super) fn locate(kernel: &KernelModel) -> impl Fn(&AddressWish) -> Option<Key> {
    |wish| kernel.link_by_name(&wish.interface).map(|link| (link.key, wish.spec.prefix))
}

fn request(changes: Vec<Change<Addresses>>, actions: &mut Actions) {
    request_for(Requester::Static, changes, actions);
}

/// Asks once more, on behalf of whom the answer is for, for what it has not settled.
pub(super) fn request_again(
    addresses: &mut WantedSet<Addresses>,
    reply: &AddressReply,
    actions: &mut Actions,
) {
    let mut changes = Vec::new();
    let answered = reply.outcomes.iter().map(|outcome| (outcome.link, outcome.prefix));
    addresses.request_again(answered, &mut changes);
    request_for(reply.requester, changes, actions);
}

/// Asks for changes that are not announced.
pub(super) fn request_for(requester: Requester, changes: Vec<Change<Addresses>>, actions: &mut Actions) {
    if changes.is_empty() {
        return;
    }
    let operation = |Change { verb, key: (link, _), wish }: Change<Addresses>| {
        AddressOperation::new(verb, link, wish.spec)
    };
    let operations = changes.into_iter().map(operation).collect();
    actions.kernel.push(AddressRequest { requester, operations });
}

fn report(kind: ReportKind, actions: &mut Actions) {
    actions.report(Report { router: "".into(), kind });
}

fn report_foreign((link, prefix): Key, kernel: &KernelModel, actions: &mut Actions) {
    if let Some(link) = kernel.link(link) {
        report(ReportKind::StaticAddressForeign { prefix, interface: link.name.clone() }, actions);
    }
}
