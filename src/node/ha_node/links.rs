//! Interfaces of our own (`use_vmac`, `use_ipvlan`): kept from the start to the stop, whatever the routers' states.
//!
//! A router receives on its virtual MAC as a backup too. An interface has a place while its parent exists; it is asked
//! for before anything on it is. IPv6 needs a link-local address on each: its parent's.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::locals::Locals;
use crate::kernel::{LinkKey, LinkOperation, LinkOutcome, VirtualLink};
use crate::net::{Family, InterfaceName};
use crate::node::KernelModel;
use crate::time::{Instant, Now};
use crate::vrrp::{Actions, Report, ReportKind};
use crate::wanted::{Answer, Change, Links, Repair, WantedSet};

/// A requester like each virtual router.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct OwnLinks {
    config: Vec<VirtualLink>,
    links: WantedSet<Links>,
    /// Link-local addresses.
    pub(super) locals: Locals,
    stopping: bool,
}

impl OwnLinks {
    /// Nothing is asked for yet.
    pub(super) fn new(config: &[VirtualLink]) -> Self {
        Self {
            config: config.to_vec(),
            links: WantedSet::new(wishes(config)),
            locals: Locals::default(),
            stopping: false,
        }
    }

    /// The kernel's state is known for the first time: asks for all, also for what a predecessor left, which is brought
    /// into shape.
    pub(super) fn begin(&mut self, kernel: &KernelModel, actions: &mut Actions) {
        self.locate(kernel, actions);
        let mut changes = Vec::new();
        let (present, _) = self.links.want(&mut changes);
        for key in present {
            self.report(key, |link| ReportKind::LinkAdopted { link }, actions);
        }
        request(changes, actions);
        self.locals.begin(kernel, actions);
    }

    /// Interfaces came, went or changed.
    pub(super) fn locate(&mut self, kernel: &KernelModel, actions: &mut Actions) {
        let mut changes = Vec::new();
        self.links.locate(&locate(kernel), &|key| kernel.holds_link(key), &mut changes);
        request(changes, actions);
        self.find_locals(kernel, actions);
    }

    /// An address came or went that may be somebody's link-local one.
    pub(super) fn find_locals(&mut self, kernel: &KernelModel, actions: &mut Actions) {
        if self.stopping {
            return;
        }
        let locals = self.config.iter().filter(|link| link.needs_local()).filter_map(|link| {
            let parent = kernel.link_by_name(&link.parent)?.key;
            let current = self.locals.of(&link.name);
            match kernel.source(parent, Family::Ipv6, current)? {
                IpAddr::V6(address) => Some((link.name.clone(), address)),
                IpAddr::V4(_) => None,
            }
        });
        self.locals.set(locals.collect(), kernel, actions);
    }

    /// Replaces the list: what stays is not touched.
    pub(super) fn reconfigure(
        &mut self,
        config: &[VirtualLink],
        kernel: &KernelModel,
        actions: &mut Actions,
    ) {
        let mut changes = Vec::new();
        let known = |key| kernel.holds_link(key);
        self.links.reconfigure(wishes(config), &locate(kernel), &known, &mut changes);
        self.config = config.to_vec();
        request(changes, actions);
        self.find_locals(kernel, actions);
    }

    /// Compares with the kernel's whole state, after notifications were lost.
    pub(super) fn resynchronise(&mut self, now: Now, kernel: &KernelModel, actions: &mut Actions) {
        self.locate(kernel, actions);
        self.links.resynchronise(now.instant, &|key| kernel.holds_link(key));
        self.locals.resynchronise(now, kernel);
    }

    /// The kernel tells of an interface what it was, and what it is.
    pub(super) fn on_change(&mut self, now: Now, before: Option<LinkKey>, after: Option<LinkKey>) {
        if let Some(gone) = before.filter(|_| before != after) {
            self.links.on_gone(now.instant, gone);
        }
        if let Some(present) = after {
            self.links.on_present(now.instant, present, true);
        }
    }

    /// What became of our changes. Gives the names of the interfaces concerned.
    pub(super) fn on_outcomes(
        &mut self,
        now: Now,
        outcomes: Vec<LinkOutcome>,
        kernel: &KernelModel,
        actions: &mut Actions,
    ) -> Vec<InterfaceName> {
        let keys: Vec<LinkKey> = outcomes.iter().map(|outcome| outcome.key).collect();
        for LinkOutcome { verb, key, error, found } in outcomes {
            match (self.links.on_answer(now.instant, verb, key, error.is_some()), error) {
                (Answer::Refused, Some(error)) => {
                    self.report(key, |link| ReportKind::LinkRefused { link, error }, actions);
                }
                (Answer::There, _) if !found => {
                    self.report(key, |link| ReportKind::LinkCreated { link }, actions);
                }
                _ => {}
            }
        }
        let mut changes = Vec::new();
        self.links.request_again(keys.iter().copied(), &mut changes);
        request(changes, actions);
        self.find_locals(kernel, actions);
        self.config
            .iter()
            .filter(|link| keys.iter().any(|key| key.name == link.name.packed()))
            .map(|link| link.name.clone())
            .collect()
    }

    /// Whether an interface of ours is about to be there and up, or to be told of as that by the kernel.
    pub(super) fn is_under_way(&self, name: &InterfaceName, kernel: &KernelModel) -> bool {
        let is_missing = || kernel.link_by_name(name).is_none_or(|link| !link.admin_up);
        let under_way = |link: &VirtualLink| self.links.is_under_way(link, is_missing());
        self.config.iter().any(|link| link.name == *name && under_way(link))
    }

    /// When [`OwnLinks::handle_timeout`] shall be called next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.links.poll_timeout(), self.locals.poll_timeout()].into_iter().flatten().min()
    }

    /// Puts back what somebody removed.
    pub(super) fn handle_timeout(&mut self, now: Now, actions: &mut Actions) {
        let mut changes = Vec::new();
        for Repair { key, times } in self.links.judge(now.instant, &mut changes) {
            self.report(key, |link| ReportKind::LinkRepaired { link, times }, actions);
        }
        request(changes, actions);
        self.locals.handle_timeout(now, actions);
    }

    /// The daemon stops, and all routers have left: what is ours is removed, unless the kernel is to be left as it is.
    pub(super) fn stop(&mut self, keep: bool, actions: &mut Actions) {
        if core::mem::replace(&mut self.stopping, true) {
            return;
        }
        // The addresses go along with the interfaces.
        self.locals.abandon();
        if keep {
            return self.links.abandon();
        }
        let mut changes = Vec::new();
        self.links.release(&mut changes);
        request(changes, actions);
    }

    /// Whether every change has been answered.
    pub(super) fn is_settled(&self) -> bool {
        self.links.is_settled() && self.locals.is_settled()
    }

    fn report(&self, key: LinkKey, kind: impl FnOnce(VirtualLink) -> ReportKind, actions: &mut Actions) {
        let of_key = |link: &&VirtualLink| link.name.packed() == key.name && link.kind == key.kind;
        if let Some(link) = self.config.iter().find(of_key) {
            actions.report(Report { router: "".into(), kind: kind(link.clone()) });
        }
    }
}

fn wishes(config: &[VirtualLink]) -> Vec<(VirtualLink, bool)> {
    config.iter().map(|link| (link.clone(), false)).collect()
}

fn locate(kernel: &KernelModel) -> impl Fn(&VirtualLink) -> Option<LinkKey> {
    |link| {
        let parent = kernel.link_by_name(&link.parent)?.key;
        Some(LinkKey { parent, name: link.name.packed(), kind: link.kind })
    }
}

fn request(changes: Vec<Change<Links>>, actions: &mut Actions) {
    let operation = |Change { verb, key, wish }: Change<Links>| LinkOperation { verb, key, link: wish };
    actions.links.extend(changes.into_iter().map(operation));
}
