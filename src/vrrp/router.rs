//! A virtual router: its parts, its construction, and what its node tells it about its surroundings.
//!
//! The states of RFC 9568 §6.4 are in [`super::backup`], [`super::master`] and [`super::fault`]; receipt
//! (§7.1) is in [`super::receive`], transmission (§7.2) in [`super::transmit`].

use core::net::IpAddr;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::abstention::{Abstention, Return};
use super::backup::Backup;
use super::environment::{Environment, Listening};
use super::master::Mastership;
use super::ownership::{Known, locate, wishes};
use super::peers::PeerTable;
use super::priority::EffectivePriority;
use super::receive::Recent;
use super::report_limit::ReportLimits;
use super::sending::Sending;
use super::timing::{master_down_interval, skew_time};
use super::transmit::Outgoing;
use super::{
    Actions, AnnouncementQueue, Cause, Counters, FaultReason, PacketReport, Report, ReportKind, RouterConfig,
    State, Transition,
};
use crate::kernel::{AddressOperation, AddressOutcome, AddressReply, AddressRequest, RouterId, Verb};
use crate::net::{Family, LinkKey, Prefix};
use crate::time::{Duration, Instant, Now, WallTime};
use crate::wanted::{Addresses, Answer, Change, Repair, WantedSet};
use crate::wire::vrrp::{AdvertisementInterval, Priority, Version};

/// No address is said to be missing sooner, however short a master-down time is.
const LACKING_MIN: Duration = Duration::from_secs(3);

/// Where a router puts what it wants done.
#[derive(Debug)]
pub struct Output<'a> {
    /// For the driver.
    pub actions: &'a mut Actions,
    /// Announcements, which the node paces.
    pub announcements: &'a mut AnnouncementQueue,
}

/// One virtual router.
#[derive(Clone, Debug)]
pub struct VirtualRouter {
    pub(super) id: RouterId,
    pub(super) config: RouterConfig,
    pub(super) environment: Environment,
    pub(super) faults: BTreeSet<FaultReason>,
    /// Faults that trackers report, by their name.
    pub(super) tracked_faults: BTreeSet<Arc<str>>,
    pub(super) priority: EffectivePriority,
    pub(super) phase: Phase,
    pub(super) addresses: WantedSet<Addresses>,
    pub(super) peers: PeerTable,
    pub(super) counters: Counters,
    pub(super) outgoing: Outgoing,
    pub(super) recent: Option<Box<Recent>>,
    /// Interval of the master followed; our own while we are master.
    pub(super) master_interval: AdvertisementInterval,
    /// The operator switched over: our higher priority does not count until the successor fails.
    pub(super) yielded: bool,
    /// A wish to become master, to be granted by the node.
    pub(super) master_request: Option<Cause>,
    pub(super) last_transition: WallTime,
    pub(super) last_cause: Option<Cause>,
    pub(super) reported: Reported,
    pub(super) limits: ReportLimits,
    pub(super) abstention: Abstention,
    pub(super) sending: Sending,
}

/// A state with its data.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    Initialize,
    Backup(Backup),
    Master(Mastership),
    Fault,
}

/// What was told already, so that it is not told again.
#[derive(Clone, Debug, Default)]
pub(super) struct Reported {
    /// The sender whose address list was compared last, and the one whose list was said to differ.
    pub(super) compared: Option<IpAddr>,
    pub(super) differing: Option<IpAddr>,
}

impl VirtualRouter {
    /// A router that has not started.
    pub fn new(id: RouterId, config: RouterConfig) -> Self {
        Self {
            id,
            environment: Environment::default(),
            faults: BTreeSet::new(),
            tracked_faults: BTreeSet::new(),
            priority: EffectivePriority::new(config.priority),
            phase: Phase::Initialize,
            addresses: WantedSet::new(wishes(&config)),
            peers: PeerTable::default(),
            counters: Counters::default(),
            outgoing: Outgoing::default(),
            recent: None,
            master_interval: config.interval,
            yielded: false,
            master_request: None,
            last_transition: WallTime::default(),
            last_cause: None,
            reported: Reported::default(),
            limits: ReportLimits::default(),
            abstention: Abstention::default(),
            sending: Sending::default(),
            config,
        }
    }

    /// Leaves Initialize (RFC 9568 §6.4.1) as soon as the surroundings are known: to Backup, or to Fault.
    /// Until the receive socket is open the router waits, so that it never elects itself unheard.
    pub fn start(&mut self, now: Now, out: &mut Output<'_>) {
        if !matches!(self.phase, Phase::Initialize) {
            return;
        }
        self.faults = self.current_faults();
        let only_pending = self.environment.listening == Listening::Pending
            && self.faults.iter().all(|fault| matches!(fault, FaultReason::NotListening(_)));
        if !self.faults.is_empty() {
            if !only_pending {
                self.enter_fault(now, out);
            }
            return;
        }
        self.enter_backup(now, self.first_wait(), Cause::Startup, out);
        if self.priority.get().is_owner() {
            // RFC 9568 §6.4.1 (100): the owner does not wait.
            self.master_request = Some(Cause::Owner);
        }
    }

    /// Takes a change of the interfaces, the source address or the receive socket. `known` tells what the
    /// kernel holds, for interfaces that are new.
    pub fn set_environment(
        &mut self,
        now: Now,
        environment: Environment,
        known: Known<'_>,
        out: &mut Output<'_>,
    ) {
        if self.environment.source != environment.source {
            if environment.source.is_none() && self.state() == State::Master {
                // A fault: the last word is still said from the address that the others know.
                self.send_leaving(out);
            }
            self.outgoing.forget();
            self.recent = None;
        }
        let hardware_changed = self.environment.hardware_differs(&environment);
        if self.environment.sends_otherwise(&environment, &self.config.interfaces.transmit)
            && matches!(self.abstention.reason(), Some(FaultReason::NotSending(..)))
        {
            self.try_again(now);
        }
        self.environment = environment;
        let mut changes = Vec::new();
        self.addresses.locate(&locate(&self.environment), known, &mut changes);
        self.request_addresses(changes, out);
        for key in self.addresses.take_foreign() {
            // An owner's addresses are its own.
            if !self.config.priority.is_owner() {
                self.report_foreign(key, out);
            }
        }
        self.update_faults(now, out);
        if hardware_changed {
            self.announce_all(now, out);
        }
    }

    /// A tracker's word: a fault while `failed`.
    pub fn set_tracked_fault(&mut self, now: Now, name: &Arc<str>, failed: bool, out: &mut Output<'_>) {
        if failed {
            self.tracked_faults.insert(Arc::clone(name));
        } else {
            self.tracked_faults.remove(name);
        }
        self.update_faults(now, out);
    }

    /// A tracker's contribution to the priority, -254 to 254.
    pub fn set_contribution(&mut self, name: &Arc<str>, weight: i32) {
        self.priority.set_contribution(name, weight);
    }

    /// Replaces the configuration. What did not change is not touched: an equal configuration yields no
    /// action at all.
    pub fn reconfigure(
        &mut self,
        now: Now,
        config: RouterConfig,
        environment: Environment,
        known: Known<'_>,
        out: &mut Output<'_>,
    ) {
        if self.config == config {
            return self.set_environment(now, environment, known, out);
        }
        let before = core::mem::replace(&mut self.config, config);
        self.priority.set_base(self.config.priority);
        self.outgoing.forget();
        self.recent = None;
        self.reported = Reported::default();
        // The operator may have mended what was wrong.
        self.try_again(now);
        if before.interval != self.config.interval {
            self.master_interval = self.config.interval;
        }
        let mut changes = Vec::new();
        self.addresses.reconfigure(wishes(&self.config), &locate(&environment), known, &mut changes);
        if !changes.is_empty() {
            self.plan_second_block(now);
        }
        self.request_addresses(changes, out);
        self.set_environment(now, environment, known, out);
        self.retime(now, &before);
    }

    /// Adapts running timers to a changed configuration.
    fn retime(&mut self, now: Now, before: &RouterConfig) {
        let master_down = self.master_down_interval();
        let own_interval = self.config.interval.duration();
        match &mut self.phase {
            Phase::Backup(backup) => {
                backup.retime(before.preempt_delay, self.config.preempt_delay);
                backup.master_down = backup.master_down.min(now.instant + master_down);
                if self.config.interval.duration() > before.interval.duration() {
                    backup.master_down = now.instant + master_down;
                }
                if self.config.priority.is_owner() && !before.priority.is_owner() {
                    self.master_request = Some(Cause::Owner);
                }
            }
            Phase::Master(mastership) => {
                self.master_interval = self.config.interval;
                mastership.next_advert = mastership.next_advert.min(now.instant + own_interval);
                mastership.retime(now, &before.announce, &self.config.announce);
            }
            Phase::Initialize | Phase::Fault => {}
        }
    }

    /// The kernel tells that it holds one of our addresses, and whether with our mark.
    pub fn on_address_present(&mut self, now: Now, key: (LinkKey, Prefix), ours: bool, out: &mut Output<'_>) {
        if self.addresses.on_present(now.instant, key, ours) {
            self.report_foreign(key, out);
        }
        if matches!(self.phase, Phase::Fault) && self.addresses.has_leftovers() {
            self.release_addresses(out);
        }
    }

    /// The kernel tells that one of our addresses is gone.
    pub fn on_address_gone(&mut self, now: Now, key: (LinkKey, Prefix)) {
        self.addresses.on_gone(now.instant, key);
    }

    /// Compares all addresses with the kernel's whole state, after notifications were lost.
    pub fn resynchronise(&mut self, now: Now, known: Known<'_>) {
        self.addresses.resynchronise(now.instant, known);
    }

    /// The kernel took a chunk of our address changes: announces what is there now.
    pub fn on_address_reply(&mut self, now: Now, reply: &AddressReply, out: &mut Output<'_>) {
        let key = |outcome: &AddressOutcome| (outcome.link, outcome.prefix);
        for outcome in &reply.outcomes {
            let AddressOutcome { verb, prefix, error, announced, .. } = outcome;
            match (self.addresses.on_answer(now.instant, *verb, key(outcome), error.is_some()), error) {
                (Answer::Refused, Some(error)) => {
                    self.report(ReportKind::AddressRefused { prefix: *prefix, error: error.clone() }, out);
                }
                (Answer::There, _) if self.state() == State::Master => {
                    // All addresses of a chunk once, then all again (`behaviours` A9).
                    let rounds = self.config.announce.repeat.max(1) - u32::from(*announced);
                    self.announce([key(outcome)], rounds, out);
                }
                _ => {}
            }
        }
        let mut changes = Vec::new();
        self.addresses.request_again(reply.outcomes.iter().map(key), &mut changes);
        self.request_addresses(changes, out);
    }

    /// Ends the router: a master sends priority 0 first. With `keep_addresses` (`-V`) the kernel is left as
    /// it is.
    pub fn stop(&mut self, now: Now, cause: Cause, keep_addresses: bool, out: &mut Output<'_>) {
        if matches!(self.phase, Phase::Master(_)) {
            self.send_leaving(out);
            self.counters.released_master += 1;
        }
        out.announcements.cancel(self.id);
        if keep_addresses {
            self.addresses.abandon();
        } else {
            self.release_addresses(out);
        }
        self.master_request = None;
        self.transition(now, Phase::Initialize, cause, out);
    }

    /// The wish to become master, if the router has one. The node answers with
    /// [`VirtualRouter::grant_master`], at once for a router that is in no group.
    pub const fn take_master_request(&mut self) -> Option<Cause> {
        self.master_request.take()
    }

    /// When [`VirtualRouter::handle_timeout`] shall be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Initialize | Phase::Fault => None,
            Phase::Backup(backup) => Some(backup.master_down),
            Phase::Master(mastership) => Some(mastership.poll_timeout()),
        };
        let lacking = self.lacking_limit().and_then(|limit| self.addresses.lacking_timeout(limit));
        let others = [self.limits.poll_timeout(), self.abstention.poll_timeout(), lacking];
        [phase, self.addresses.poll_timeout()].into_iter().chain(others).flatten().min()
    }

    /// Serves what is due: advertisements due until `horizon`, everything else until now.
    pub fn handle_timeout(&mut self, now: Now, horizon: Instant, out: &mut Output<'_>) {
        match &self.phase {
            Phase::Initialize | Phase::Fault => {}
            Phase::Backup(_) => self.handle_backup_timeout(now),
            Phase::Master(_) => self.handle_master_timeout(now, horizon, out),
        }
        let mut changes = Vec::new();
        for Repair { key: (_, prefix), times } in self.addresses.judge(now.instant, &mut changes) {
            self.counters.addresses_repaired += 1;
            self.report(ReportKind::AddressRepaired { prefix, times }, out);
        }
        self.request_addresses(changes, out);
        if let Some((_, prefix)) =
            self.lacking_limit().and_then(|limit| self.addresses.take_lacking(now.instant, limit))
        {
            self.abstain(now, FaultReason::AddressMissing(prefix), out);
        }
        self.end_abstention(now, out);
        for (what, count) in self.limits.take_due(now.instant) {
            self.report(ReportKind::LeftOut { what, count }, out);
        }
    }

    /// How long an address may be missing though it was asked for, before another router shall try; `None` unless
    /// master.
    fn lacking_limit(&self) -> Option<Duration> {
        matches!(self.phase, Phase::Master(_)).then(|| self.master_down_interval().max(LACKING_MIN))
    }

    /// Stands back, unless there is nobody else.
    pub(super) fn abstain(&mut self, now: Now, reason: FaultReason, out: &mut Output<'_>) -> bool {
        let master_down = self.master_down_interval();
        let begins = self.abstention.begin(now.instant, reason, master_down);
        if begins {
            self.update_faults(now, out);
        }
        begins
    }

    /// Ends an abstention before its time. The faults have to be computed anew.
    fn try_again(&mut self, now: Now) {
        let unproven = matches!(self.abstention.reason(), Some(FaultReason::NotSending(..)));
        self.sending.begin_again(unproven);
        self.abstention.end(now.instant);
    }

    fn end_abstention(&mut self, now: Now, out: &mut Output<'_>) {
        let failed = matches!(self.abstention.reason(), Some(FaultReason::NotSending(..)));
        let Some(back) = self.abstention.take_due(now.instant) else { return };
        self.sending.begin_again(failed && back == Return::ToBackup);
        if back == Return::Alone {
            self.sending.need_no_proof();
        }
        self.update_faults(now, out);
        if back == Return::Alone && matches!(self.phase, Phase::Backup(_)) {
            self.master_request = Some(Cause::NobodyElse);
        }
    }

    /// The process stood still for `pause` past this router's deadline: if that is longer than a
    /// master-down time, another master may have been elected, so the router listens before it acts.
    pub fn notice_stall(&mut self, now: Now, pause: Duration, out: &mut Output<'_>) {
        if pause <= self.master_down_interval() {
            return;
        }
        match &mut self.phase {
            Phase::Initialize | Phase::Fault => return,
            Phase::Backup(_) => self.restart_master_down(now),
            Phase::Master(_) => self.listen_after_stall(now),
        }
        self.counters.stalls += 1;
        self.report(ReportKind::Stalled { pause }, out);
    }

    /// Identifier within the node.
    pub const fn id(&self) -> RouterId {
        self.id
    }

    /// Source address of its advertisements.
    pub const fn source(&self) -> Option<IpAddr> {
        self.environment.source
    }

    /// Current configuration.
    pub const fn config(&self) -> &RouterConfig {
        &self.config
    }

    /// Current state.
    pub const fn state(&self) -> State {
        match self.phase {
            Phase::Initialize => State::Initialize,
            Phase::Backup(_) => State::Backup,
            Phase::Master(_) => State::Master,
            Phase::Fault => State::Fault,
        }
    }

    /// Every reason of [`State::Fault`].
    pub const fn faults(&self) -> &BTreeSet<FaultReason> {
        &self.faults
    }

    /// Configured and effective priority.
    pub const fn priority(&self) -> &EffectivePriority {
        &self.priority
    }

    /// What the router has counted.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Counters, for the driver's own observations and for setting them to zero.
    pub const fn counters_mut(&mut self) -> &mut Counters {
        &mut self.counters
    }

    /// The other routers heard.
    pub const fn peers(&self) -> &PeerTable {
        &self.peers
    }

    /// The master followed while in Backup: its address and priority.
    pub const fn master(&self) -> Option<(IpAddr, Priority)> {
        match &self.phase {
            Phase::Backup(backup) => backup.master,
            Phase::Initialize | Phase::Master(_) | Phase::Fault => None,
        }
    }

    /// Interval of the master followed, our own while master.
    pub const fn master_interval(&self) -> AdvertisementInterval {
        self.master_interval
    }

    /// Whether the kernel shall hold the virtual addresses.
    pub fn wants_addresses(&self) -> bool {
        self.addresses.is_wanted()
    }

    /// Whether the router is handing over to a successor (switch-over).
    pub const fn is_switching_over(&self) -> bool {
        matches!(&self.phase, Phase::Master(Mastership { handover: Some(_), .. }))
    }

    /// Whether a switch-over keeps the router from preempting.
    pub const fn has_yielded(&self) -> bool {
        self.yielded
    }

    /// Whether every address request has been answered.
    pub fn is_settled(&self) -> bool {
        self.addresses.is_settled()
    }

    /// Wall-clock time of the last change of state.
    pub const fn last_transition(&self) -> WallTime {
        self.last_transition
    }

    /// Why it changed its state last.
    pub const fn last_cause(&self) -> Option<&Cause> {
        self.last_cause.as_ref()
    }

    /// Interfaces and addresses the router cares for, as far as the interfaces exist.
    pub fn address_keys(&self) -> impl Iterator<Item = (LinkKey, Prefix)> {
        self.addresses.keys()
    }

    /// Time without advertisements after which a backup takes over.
    pub fn master_down_interval(&self) -> Duration {
        self.master_down_interval_at(self.master_interval)
    }

    /// The same at the interval of a certain master.
    pub(super) fn master_down_interval_at(&self, interval: AdvertisementInterval) -> Duration {
        let (version, priority) = (self.config.version, self.priority.get());
        master_down_interval(version, priority, interval, self.config.down_timer_adverts)
    }

    /// Skew time of our priority.
    pub(super) fn skew_time(&self) -> Duration {
        skew_time(self.config.version, self.priority.get(), self.master_interval)
    }

    /// How long to listen after the start: a wish for MASTER shortens it to one interval and the shortest
    /// skew time (`behaviours` B2).
    fn first_wait(&self) -> Duration {
        match self.config.initial {
            super::InitialState::Backup => self.master_down_interval(),
            super::InitialState::Master => {
                let shortest = skew_time(self.config.version, Priority::OWNER, self.config.interval);
                self.config.interval.duration() + shortest
            }
        }
    }

    pub(super) fn current_faults(&self) -> BTreeSet<FaultReason> {
        let mut faults = self.environment.faults(&self.config);
        faults.extend(self.abstention.reason().cloned());
        faults.extend(self.tracked_faults.iter().map(|name| FaultReason::Tracked(Arc::clone(name))));
        faults
    }

    pub(super) fn is_version_3(&self) -> bool {
        self.config.version == Version::V3
    }

    pub(super) const fn family(&self) -> Family {
        self.config.family
    }

    pub(super) fn transition(&mut self, now: Now, to: Phase, cause: Cause, out: &mut Output<'_>) {
        let from = self.state();
        self.phase = to;
        self.last_transition = now.wall;
        self.last_cause = Some(cause.clone());
        out.actions.transition(Transition {
            router: self.id,
            name: Arc::clone(&self.config.name),
            from,
            to: self.state(),
            cause,
            priority: self.priority.get(),
        });
    }

    pub(super) fn report(&self, kind: ReportKind, out: &mut Output<'_>) {
        out.actions.report(Report { router: Arc::clone(&self.config.name), kind });
    }

    /// Reports what a packet caused: of each kind once in a second, then their number.
    pub(super) fn report_packet(&mut self, now: Now, kind: ReportKind, out: &mut Output<'_>) {
        if PacketReport::of(&kind).is_none_or(|what| self.limits.may_tell(now.instant, what)) {
            self.report(kind, out);
        }
    }

    /// Somebody else's removal took addresses of these subnets along, or one of these addresses: those that are
    /// wanted are asked for again.
    pub fn restore(&mut self, taken: &dyn Fn((LinkKey, Prefix)) -> bool, out: &mut Output<'_>) {
        let mut changes = Vec::new();
        self.addresses.restore(taken, &mut changes);
        self.request_addresses(changes, out);
    }

    /// Asks for changes of addresses. The first announcement of what is added goes along, unless announcements
    /// have to keep a pace.
    pub(super) fn request_addresses(&self, changes: Vec<Change<Addresses>>, out: &mut Output<'_>) {
        if changes.is_empty() {
            return;
        }
        let operation = |Change { verb, key: (link, prefix), wish }: Change<Addresses>| {
            let goes_along = verb == Verb::Add && self.announcement_interval(prefix.family()).is_zero();
            let announcement = self.announcement(link, prefix).filter(|_| goes_along);
            AddressOperation { verb, link, spec: wish.spec, announcement }
        };
        let operations = changes.into_iter().map(operation).collect();
        out.actions.kernel.push(AddressRequest { router: self.id, operations });
    }

    /// One of our addresses is there without our mark.
    fn report_foreign(&self, (link, prefix): (LinkKey, Prefix), out: &mut Output<'_>) {
        if let Some((name, _)) = self.environment.interface_of(link) {
            self.report(ReportKind::ForeignAddress { prefix, interface: name.clone() }, out);
        }
    }

    /// Gives up the addresses; what a predecessor left is told.
    pub(super) fn release_addresses(&mut self, out: &mut Output<'_>) {
        let mut changes = Vec::new();
        let count = self.addresses.release(&mut changes);
        if count > 0 {
            self.report(ReportKind::LeftoverRemoved { count }, out);
        }
        self.request_addresses(changes, out);
    }
}
