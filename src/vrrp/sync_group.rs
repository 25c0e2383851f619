//! ENGINE: sync groups (`vrrp_sync_group`): virtual routers that are master together or not at all.
//!
//! No standard knows them; the rules are keepalived's, observed from outside:
//! 1. *Start.* Nobody starts before every member can: sockets are open, trackers have found out.
//! 2. *Fault.* A member in fault puts all others in fault. When the last fault of any member has ended, all become
//!    backups, in one step.
//! 3. *Master.* A member that wants to become master waits until every other one wants it as well, and then all do, in
//!    one step. A member wants it that hears no master it would follow (its master-down timer fired, it preempts a lower
//!    master, it owns its addresses) and stops wanting it when it hears one. So a group takes over only from whom it
//!    beats in every member, and does not where one of its members hears a better master: rather no change than two
//!    halves of a way on two machines. An owner (priority 255) waits for the others like everybody, and the group is
//!    master from the start only where every member owns its addresses.
//! 4. *Backup.* When a member leaves mastership (a better master, a switch-over), all others do, and say priority 0.
//! 5. *Contention.* Two groups of which each beats the other in some member, and that become master at the same moment,
//!    make backups of each other, and would go on doing so. So a group that a better master ends within a master-down
//!    time holds back before it is master again: for a part of that time, from 0 to 15 sixteenths, which depends on its
//!    address and on how often it has changed its state.
//! 6. *Operator.* A group with an owner refuses to switch over; switching back is a wish like any other.
//!
//! A reload may put a backup into a group of masters, where keepalived makes backups of all and leaves the addresses
//! without a master for a master-down time. Here the others stay masters while it listens, which takes a master-down
//! time at most: it becomes master as soon as it wants to, or makes backups of all as soon as it hears a master to
//! follow.
//!
//! A group is judged once after each event, when all members have been told: [`SyncGroup::orders`] compares what they
//! are with what they should be, its node passes the orders on, until there are none. Nothing is carried out in between,
//! so nobody outside ever sees halves.

use core::net::IpAddr;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Cause, FaultReason, State, VirtualRouter};
use crate::kernel::RouterId;
use crate::time::{Duration, Instant, Now, WallTime};

/// Number of a group within its node, never used again for another one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct SyncGroupId(pub u32);

/// `vrrp_sync_group`: its members become master together, and leave together.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SyncGroupConfig {
    /// Its name.
    pub name: Arc<str>,
    /// `group`: names of instances, at least one, none twice; an instance is in one group at most.
    pub members: Vec<Arc<str>>,
}

/// A change of a group's state.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GroupTransition {
    /// Name of the group.
    pub name: Arc<str>,
    /// Before.
    pub from: State,
    /// After.
    pub to: State,
    /// Why, and because of which member.
    pub cause: Cause,
}

/// A group while it runs.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SyncGroup {
    name: Arc<str>,
    members: Vec<RouterId>,
    state: State,
    last_transition: WallTime,
    last_cause: Option<Cause>,
    transitions: u64,
    /// Of its mastership.
    began: Option<Instant>,
    /// When it may become master again.
    holds_back_until: Option<Instant>,
}

/// What a group has to know of a member.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Standing {
    pub(crate) member: RouterId,
    pub(crate) name: Arc<str>,
    pub(crate) state: State,
    /// Before its start: whether it could start now.
    pub(crate) ready: bool,
    /// A fault of its own.
    pub(crate) fault: Option<FaultReason>,
    /// The fault of another member that it is told to share.
    pub(crate) imposed: Option<FaultReason>,
    /// Why it wants to become master.
    pub(crate) wish: Option<Cause>,
    /// Whether its advertisements have to be seen to leave first.
    pub(crate) proof: Proof,
    /// A backup's: the master that it follows.
    pub(crate) follows: Option<Cause>,
    /// Why it changed its state last.
    pub(crate) last_cause: Option<Cause>,
}

/// Who contends with others, and for how long that may go on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contender {
    /// An address that no other machine has.
    pub(crate) source: IpAddr,
    /// The longest master-down time of its members.
    pub(crate) master_down: Duration,
}

/// Into how many parts a time of holding back is divided.
const LOTS: u32 = 16;

/// Whether a member has to show that its advertisements leave before it is master.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Proof {
    NotNeeded,
    Needed,
    Awaited,
}

/// What has happened in a group since it was judged last.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Touched {
    /// The first member for which something changed.
    pub(crate) first: Option<RouterId>,
    /// The first member that left mastership.
    pub(crate) left: Option<RouterId>,
}

/// What a member is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    /// Start, in fault or as a backup.
    Start,
    /// Share another member's fault.
    Impose(FaultReason),
    /// Share none any more, because of this.
    Clear(Cause),
    /// Show that advertisements leave, to become master because of this.
    Prove(Cause),
    /// Become master because of this.
    BecomeMaster(Cause),
    /// Become backup because of this.
    StepDown(Cause),
}

impl Order {
    /// Why the whole group changes its state, if this tells.
    pub(crate) fn cause_of_group(&self) -> Option<Cause> {
        match self {
            Self::Impose(fault) => Some(Cause::Fault(fault.clone())),
            Self::Clear(cause) | Self::BecomeMaster(cause) | Self::StepDown(cause) => {
                Some(cause.clone()).filter(|cause| matches!(cause, Cause::SyncGroup { .. }))
            }
            Self::Start | Self::Prove(_) => None,
        }
    }
}

impl SyncGroup {
    /// A group none of whose members is known to have started.
    pub(crate) fn new(name: Arc<str>, members: Vec<RouterId>) -> Self {
        Self {
            name,
            members,
            state: State::Initialize,
            last_transition: WallTime::default(),
            last_cause: None,
            transitions: 0,
            began: None,
            holds_back_until: None,
        }
    }

    /// Its name.
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its members, in the order of the file.
    pub fn members(&self) -> &[RouterId] {
        &self.members
    }

    /// Takes other members. False if they are the same.
    pub(crate) fn set_members(&mut self, members: Vec<RouterId>) -> bool {
        let differ = self.members != members;
        self.members = members;
        differ
    }

    /// The state of its members.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Wall-clock time of its last change of state.
    pub const fn last_transition(&self) -> WallTime {
        self.last_transition
    }

    /// Why it changed its state last.
    pub const fn last_cause(&self) -> Option<&Cause> {
        self.last_cause.as_ref()
    }

    /// How often it has changed its state.
    pub const fn transitions(&self) -> u64 {
        self.transitions
    }

    /// Notes the state that its members are in, or are about to be told to be in. Gives the change, if it is one.
    pub(crate) fn note(
        &mut self,
        now: Now,
        state: State,
        cause: Cause,
        contender: Option<Contender>,
    ) -> Option<GroupTransition> {
        if state == self.state {
            return None;
        }
        let from = core::mem::replace(&mut self.state, state);
        self.last_transition = now.wall;
        self.last_cause = Some(cause.clone());
        self.transitions += 1;
        let reigned = self.began.take().map(|began| now.instant.saturating_since(began));
        self.began = (state == State::Master).then_some(now.instant);
        if let (Some(Contender { source, master_down }), Some(reigned)) = (contender, reigned)
            && state == State::Backup
            && matches!(cause.root(), Cause::BetterMaster { .. })
            && reigned < master_down
        {
            self.holds_back_until = Some(now.instant + master_down * self.lot(source) / LOTS);
        }
        Some(GroupTransition { name: Arc::clone(&self.name), from, to: state, cause })
    }

    /// How long it holds back, in parts of the time in question: below [`LOTS`].
    fn lot(&self, source: IpAddr) -> u32 {
        let mut hash = u64::from(source.is_ipv6()) ^ self.transitions;
        let octets = match source {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        for octet in octets {
            hash = (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
        }
        u32::try_from((hash >> 32) % u64::from(LOTS)).unwrap_or(0)
    }

    /// When it may become master again, if it holds back.
    pub(crate) const fn holds_back_until(&self) -> Option<Instant> {
        self.holds_back_until
    }

    /// Ends the holding back if its time has come.
    pub(crate) fn end_holding_back(&mut self, now: Instant) -> bool {
        self.holds_back_until.take_if(|until| *until <= now).is_some()
    }

    /// What is to be told to the members for the group to be as it should, the member first where it began; nothing once
    /// it is. After each change of a member it has to be asked again.
    pub(crate) fn orders(&self, standings: &[Standing], touched: Touched) -> Vec<(RouterId, Order)> {
        let mut orders = self.order(standings, touched);
        let began = touched.left.or(touched.first);
        orders.sort_by_key(|(member, order)| *order == Order::Start || Some(*member) != began);
        orders
    }

    fn order(&self, standings: &[Standing], touched: Touched) -> Vec<(RouterId, Order)> {
        let starting = || standings.iter().filter(|standing| standing.state == State::Initialize);
        let held = starting().any(|standing| !standing.ready);
        let mut orders = self.share_faults(standings, touched, held);
        let in_fault = orders.iter().any(|(_, order)| matches!(order, Order::Impose(_)));
        if !held {
            orders.extend(starting().map(|standing| (standing.member, Order::Start)));
        }
        if !orders.is_empty() || in_fault || standings.iter().any(|s| s.state == State::Fault) {
            return orders;
        }
        let masters = || standings.iter().filter(|standing| standing.state == State::Master);
        let backups = || standings.iter().filter(|standing| standing.state == State::Backup);
        if masters().next().is_none() {
            let waits = held || self.holds_back_until.is_some();
            return if waits { Vec::new() } else { self.take_over(standings, touched) };
        }
        let left = backups().find(|standing| Some(standing.member) == touched.left);
        let because = match left {
            Some(left) => left.last_cause.clone().map(|cause| (left, cause)),
            None => backups().find_map(|standing| Some((standing, standing.follows.clone()?))),
        };
        if let Some((member, cause)) = because {
            let cause = self.cause(&member.name, &cause);
            return masters().map(|master| (master.member, Order::StepDown(cause.clone()))).collect();
        }
        // Who was put into a group of masters has listened long enough.
        let joins = |standing: &Standing| {
            let cause = standing.wish.clone().filter(|_| standing.proof != Proof::Awaited)?;
            Some((standing.member, Order::BecomeMaster(cause)))
        };
        backups().filter_map(joins).collect()
    }

    /// Each member without others' faults shares one, each other one none. Who is about to start shares it from its
    /// start on, unless that is `held` up.
    fn share_faults(&self, standings: &[Standing], touched: Touched, held: bool) -> Vec<(RouterId, Order)> {
        let counts = |standing: &&Standing| standing.state != State::Initialize || !held;
        let faulty: Vec<&Standing> =
            standings.iter().filter(counts).filter(|standing| standing.fault.is_some()).collect();
        let first = faulty.iter().find(|standing| Some(standing.member) == touched.first);
        let mut orders = Vec::new();
        for standing in standings.iter().filter(counts) {
            let shares = |other: &Standing| {
                other.fault.clone().map(|fault| FaultReason::Member {
                    group: Arc::clone(&self.name),
                    member: Arc::clone(&other.name),
                    fault: Box::new(fault),
                })
            };
            let others = || faulty.iter().filter(|other| other.member != standing.member);
            let holds = || others().filter_map(|other| shares(other)).any(|f| Some(f) == standing.imposed);
            let preferred = first.filter(|first| first.member != standing.member);
            match preferred.or_else(|| others().next()).and_then(|other| shares(other)) {
                Some(_) if holds() => {}
                Some(fault) => orders.push((standing.member, Order::Impose(fault))),
                None => {
                    let ended = standing.imposed.as_ref().map(end_of);
                    orders.extend(ended.map(|cause| (standing.member, Order::Clear(cause))));
                }
            }
        }
        orders
    }

    /// All are backups, or about to be asked for a proof.
    fn take_over(&self, standings: &[Standing], touched: Touched) -> Vec<(RouterId, Order)> {
        let wishes: Option<Vec<(&Standing, &Cause)>> =
            standings.iter().map(|standing| Some((standing, standing.wish.as_ref()?))).collect();
        let Some(wishes) = wishes else { return Vec::new() };
        let last = wishes.iter().find(|(standing, _)| Some(standing.member) == touched.first);
        let Some((last, reason)) = last.or_else(|| wishes.first()) else { return Vec::new() };
        let unproven = || wishes.iter().filter(|(standing, _)| standing.proof != Proof::NotNeeded);
        if unproven().next().is_some() {
            let needed = unproven().filter(|(standing, _)| standing.proof == Proof::Needed);
            return needed
                .map(|(standing, cause)| (standing.member, Order::Prove((*cause).clone())))
                .collect();
        }
        let cause = |standing: &Standing| match standing.member == last.member {
            true => (*reason).clone(),
            false => self.cause(&last.name, reason),
        };
        wishes.iter().map(|(standing, _)| (standing.member, Order::BecomeMaster(cause(standing)))).collect()
    }

    /// What a member's last change of state is to the whole group.
    pub(crate) fn cause_of(&self, member: &VirtualRouter) -> Option<Cause> {
        let cause = member.last_cause()?;
        Some(match cause {
            Cause::Startup | Cause::Shutdown | Cause::SyncGroup { .. } => cause.clone(),
            Cause::Fault(FaultReason::Member { .. }) => cause.clone(),
            _ => self.cause(&member.config().name, cause),
        })
    }

    /// That of another member.
    fn cause(&self, member: &Arc<str>, cause: &Cause) -> Cause {
        let cause = Box::new(cause.root().clone());
        Cause::SyncGroup { group: Arc::clone(&self.name), member: Arc::clone(member), cause }
    }
}

/// What the end of a fault is to who shared it.
fn end_of(imposed: &FaultReason) -> Cause {
    match imposed {
        FaultReason::Member { group, member, fault } => {
            let cause = Box::new(Cause::FaultCleared((**fault).clone()));
            Cause::SyncGroup { group: Arc::clone(group), member: Arc::clone(member), cause }
        }
        other => Cause::FaultCleared(other.clone()),
    }
}

/// The state of a group whose members have done as they were told.
pub(crate) fn state_of(states: impl Iterator<Item = State>) -> State {
    let states: BTreeSet<State> = states.collect();
    // While somebody joins, the group is what the others are.
    let mut by_weight = [State::Fault, State::Master, State::Backup].into_iter();
    by_weight.find(|state| states.contains(state)).unwrap_or(State::Initialize)
}

/// The state that members come to who are all about to start.
pub(crate) fn state_after_start(standings: &[Standing]) -> State {
    let fault = standings.iter().any(|standing| standing.fault.is_some());
    if fault { State::Fault } else { State::Backup }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vrrp::EffectivePriority;
    use crate::wire::vrrp::Priority;

    const TIMER: Cause = Cause::MasterDown { last_master: None };

    fn standing(member: u32, state: State) -> Standing {
        Standing {
            member: RouterId(member),
            name: format!("M{member}").into(),
            state,
            ready: false,
            fault: None,
            imposed: None,
            wish: None,
            proof: Proof::NotNeeded,
            follows: None,
            last_cause: None,
        }
    }

    fn orders(standings: &[Standing], first: u32) -> Vec<(u32, Order)> {
        let group = SyncGroup::new("G".into(), standings.iter().map(|s| s.member).collect());
        let touched = Touched { first: Some(RouterId(first)), left: None };
        group.orders(standings, touched).into_iter().map(|(member, order)| (member.0, order)).collect()
    }

    fn of_member(member: u32, cause: Cause) -> Cause {
        Cause::SyncGroup { group: "G".into(), member: format!("M{member}").into(), cause: Box::new(cause) }
    }

    #[test]
    fn mastership_waits_for_the_last_wish_and_the_last_proof() {
        let mut members = [standing(1, State::Backup), standing(2, State::Backup)];
        members[0].wish = Some(TIMER);
        assert_eq!(orders(&members, 1), []);
        members[1].wish = Some(TIMER);
        members[0].proof = Proof::Needed;
        assert_eq!(orders(&members, 2), [(1, Order::Prove(TIMER))]);
        members[0].proof = Proof::Awaited;
        assert_eq!(orders(&members, 2), []);
        members[0].proof = Proof::NotNeeded;
        let because = Order::BecomeMaster(of_member(2, TIMER));
        assert_eq!(orders(&members, 2), [(2, Order::BecomeMaster(TIMER)), (1, because)]);
        // Somebody who has not started could not.
        let with_third = [members[0].clone(), members[1].clone(), standing(3, State::Initialize)];
        assert_eq!(orders(&with_third, 2), []);
    }

    #[test]
    fn faults_are_shared_until_the_last_one_ends() {
        let down = || FaultReason::LinkDown("eth0".parse().unwrap());
        let share = |member: u32| FaultReason::Member {
            group: "G".into(),
            member: format!("M{member}").into(),
            fault: Box::new(down()),
        };
        let mut members = [standing(1, State::Fault), standing(2, State::Master), standing(3, State::Fault)];
        members[0].fault = Some(down());
        members[2].fault = Some(down());
        let shared =
            [(1, Order::Impose(share(3))), (2, Order::Impose(share(1))), (3, Order::Impose(share(1)))];
        assert_eq!(orders(&members, 1), shared, "so that nobody leaves alone");
        members[1].state = State::Fault;
        for (member, by) in members.iter_mut().zip([3, 1, 1]) {
            member.imposed = Some(share(by));
        }
        assert_eq!(orders(&members, 1), []);
        members[0].fault = None;
        let still =
            [(2, Order::Impose(share(3))), (3, Order::Clear(of_member(1, Cause::FaultCleared(down()))))];
        assert_eq!(orders(&members, 1), still);
        members[1].imposed = Some(share(3));
        members[2].imposed = None;
        members[2].fault = None;
        let cleared = Order::Clear(of_member(3, Cause::FaultCleared(down())));
        assert_eq!(orders(&members, 3), [(1, cleared.clone()), (2, cleared)]);
    }

    #[test]
    fn who_joins_masters_follows_them_or_takes_them_along() {
        let (priority, ours) = (Priority(9), EffectivePriority::new(Priority(8)));
        let better = Cause::BetterMaster { from: [192, 0, 2, 9].into(), priority, ours };
        let mut members = [standing(1, State::Master), standing(2, State::Backup)];
        assert_eq!(orders(&members, 2), [], "it listens");
        members[1].wish = Some(TIMER);
        assert_eq!(orders(&members, 2), [(2, Order::BecomeMaster(TIMER))]);
        members[1].wish = None;
        members[1].follows = Some(better.clone());
        assert_eq!(orders(&members, 2), [(1, Order::StepDown(of_member(2, better)))]);
    }

    #[test]
    fn a_short_mastership_is_followed_by_a_wait_that_differs() {
        let now = |ms| Now { instant: Instant::ZERO + Duration::from_millis(ms), wall: WallTime::default() };
        let (priority, ours) = (Priority(9), EffectivePriority::new(Priority(8)));
        let better = Cause::BetterMaster { from: [192, 0, 2, 9].into(), priority, ours };
        let waits = |host: u8, reign: u64| {
            let mut group = SyncGroup::new("G".into(), vec![RouterId(1), RouterId(2)]);
            let source = [192, 0, 2, host].into();
            let contender = Some(Contender { source, master_down: Duration::from_secs(4) });
            let mut times = Vec::new();
            for round in 0..6 {
                let begin = round * 10_000;
                group.note(now(begin), State::Master, TIMER, contender);
                group.note(now(begin + reign), State::Backup, better.clone(), contender);
                let until =
                    group.holds_back_until().map(|at| at.saturating_since(now(begin + reign).instant));
                times.push(until);
                assert_eq!(group.end_holding_back(now(begin + 9_999).instant), until.is_some());
            }
            times
        };
        let [first, second] = [waits(1, 5), waits(2, 5)];
        assert!(first.iter().flatten().all(|wait| *wait < Duration::from_secs(4)) && first[0].is_some());
        assert!(first.iter().zip(&second).any(|(first, second)| first != second), "{first:?} {second:?}");
        assert_eq!(waits(1, 4_001), [None; 6]);
    }
}
