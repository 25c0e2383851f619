//! What must hold once nothing disturbs the LAN any more.
//!
//! A run is phases of faults, each followed by quiet: cables are in, frames arrive, daemons run. In the quiet each
//! group of routers must come to rest, step by step, and each step has a deadline ([`Deadlines`], from
//! [`super::Bounds`]):
//! 1. *election*: from here on it is clear who may be master ([`super::election`] decides, from all states);
//! 2. *settlement*: exactly one router is master, and it is permitted to be;
//! 3. *addresses*: the master has all of its addresses, and no other live daemon has one of them; each daemon has its
//!    static ones;
//! 4. *caches*: each host sends to the master what is for a virtual address.
//!
//! [`Settling::observe`] looks at a [`Survey`], at any moment: whatever is past its deadline must hold then and ever
//! after. Something broken is told once, however often it is seen.

use core::net::IpAddr;
use std::collections::{BTreeMap, BTreeSet};

use super::service::ROUNDS;
use super::{Component, GroupKey, Member, Rule, Survey, Switch, Violation, election};
use crate::sim::MachineId;
use crate::time::{Duration, Instant};
use crate::vrrp::State;

/// The times, counted from the beginning of the quiet, by which a group must have come to rest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Deadlines {
    /// Somebody is master and has been heard by all.
    pub election: Duration,
    /// The permitted master alone.
    pub settlement: Duration,
    /// Addresses.
    pub addresses: Duration,
    /// Hosts' caches.
    pub caches: Duration,
    /// How long a master at rest may lack an address that went with another one.
    pub restoration: Duration,
}

impl Deadlines {
    /// All of them later by a time, but for the restoration of a master at rest.
    fn later(self, time: Duration) -> Self {
        let Self { election, settlement, addresses, caches, restoration } = self;
        Self {
            election: election + time,
            settlement: settlement + time,
            addresses: addresses + time,
            caches: caches + time,
            restoration,
        }
    }

    /// The later ones of two groups that wait for each other.
    fn with(self, other: Self) -> Self {
        Self {
            election: self.election.max(other.election),
            settlement: self.settlement.max(other.settlement),
            addresses: self.addresses.max(other.addresses),
            caches: self.caches.max(other.caches),
            restoration: self.restoration.max(other.restoration),
        }
    }
}

/// Some for each router that may give up its addresses in a quiet period.
const DISTURBANCES_MAX: u32 = 4;

/// Judges one quiet period.
#[derive(Clone, Debug)]
pub struct Settling {
    since: Instant,
    /// From when on nothing disturbs the quiet.
    rest: Instant,
    disturbances: u32,
    permitted: BTreeMap<GroupKey, BTreeSet<MachineId>>,
    /// Since when each master at rest lacks an address.
    lacking: BTreeMap<(MachineId, IpAddr), Instant>,
    /// The same of routes and rules, and of those that are too much.
    routing: BTreeMap<(Rule, MachineId, String), Instant>,
    reported: BTreeSet<(Rule, String)>,
}

impl Settling {
    /// The LAN is whole and nothing changes from `since` on.
    pub const fn new(since: Instant) -> Self {
        Self {
            since,
            rest: since,
            disturbances: 0,
            permitted: BTreeMap::new(),
            lacking: BTreeMap::new(),
            routing: BTreeMap::new(),
            reported: BTreeSet::new(),
        }
    }

    /// Something happened in the quiet for which no daemon is to blame: from now on everything has its time again.
    /// Who makes it happen over and over is to blame.
    pub fn disturb(&mut self, now: Instant) {
        if now > self.rest && self.disturbances < DISTURBANCES_MAX {
            self.disturbances += 1;
            self.begin_anew(now);
        }
    }

    /// The same for what no daemon can make happen.
    pub fn begin_anew(&mut self, now: Instant) {
        self.rest = now;
        self.permitted.clear();
    }

    /// From when on nothing disturbs the quiet.
    pub const fn rest(&self) -> Instant {
        self.rest
    }

    /// Looks at the LAN, at any time and as often as one likes. `alone` is how long a machine may
    /// take for what has nothing to do with a group: its static addresses, and giving up what nothing of it is
    /// configured with any more. `stop` is the longest that a daemon may take to stop.
    pub fn observe(
        &mut self,
        survey: &Survey,
        deadlines: impl Fn(GroupKey) -> Deadlines,
        alone: Deadlines,
        stop: Duration,
    ) -> Vec<Violation> {
        let elapsed = survey.at.saturating_since(self.rest);
        let mut broken = Vec::new();
        let mut resting = BTreeMap::new();
        let components = survey.components();
        for Component { keys, uniform } in components.iter().filter(|component| component.keys.len() > 1) {
            let due = keys.iter().map(|key| deadlines(*key)).reduce(Deadlines::with);
            let due = due.map(|due| {
                if survey.is_contested(keys, &BTreeSet::new()) {
                    due.later(due.election * ROUNDS)
                } else {
                    due
                }
            });
            if let Some(due) = due.filter(|due| *uniform && elapsed >= due.settlement) {
                judge_tied(survey, keys, due, &mut resting, &mut broken);
            }
        }
        for group in components.iter().filter(|of| of.keys.len() == 1).flat_map(|of| of.keys.iter().copied())
        {
            let due = deadlines(group);
            if elapsed < due.election {
                continue;
            }
            let members: Vec<&Member> = survey.group(group).collect();
            let masters = survey.masters(group);
            let permitted =
                self.permitted.entry(group).or_insert_with(|| election::permitted(&members, &masters));
            if elapsed < due.settlement {
                continue;
            }
            if !members.iter().any(|member| member.able) {
                if let Some(master) = masters.first() {
                    broken.push((
                        Rule::NotOneMaster,
                        Some(*master),
                        format!("{group}: master though not able"),
                    ));
                }
                continue;
            }
            match masters.first() {
                Some(&master) if masters.len() == 1 => {
                    if !permitted.contains(&master) {
                        broken.push((
                            Rule::WrongMaster,
                            Some(master),
                            format!("{group}: is master, permitted: {}", names(permitted)),
                        ));
                    }
                    resting.insert(group, (master, due));
                }
                _ => broken.push((
                    Rule::NotOneMaster,
                    None,
                    format!("{group}: masters: {}; {}", names(&masters), states(&members)),
                )),
            }
        }
        self.judge_lacking(survey, elapsed, &resting, alone, &mut broken);
        let contested = components
            .iter()
            .filter(|of| survey.is_contested(&of.keys, &BTreeSet::new()))
            .flat_map(|of| &of.keys);
        let contest = contested.map(|key| deadlines(*key).election * ROUNDS).max().unwrap_or_default();
        let quiet = elapsed.saturating_sub(contest);
        judge_addresses(survey, quiet, &deadlines, alone.addresses, &mut broken);
        self.judge_routing(survey, quiet, &deadlines, alone, &mut broken);
        judge_routes(survey, self.since, elapsed, &resting, &mut broken);
        for &(machine, since) in &survey.stopping {
            if survey.at.saturating_since(since.max(self.since)) > stop {
                broken.push((Rule::StopUnfinished, Some(machine), format!("told to stop at {since}")));
            }
        }
        broken
            .into_iter()
            .filter(|(rule, _, detail)| self.reported.insert((*rule, detail.clone())))
            .map(|(rule, machine, detail)| Violation { at: survey.at, rule, machine, detail })
            .collect()
    }
}

impl Settling {
    fn judge_lacking(
        &mut self,
        survey: &Survey,
        elapsed: Duration,
        resting: &BTreeMap<GroupKey, (MachineId, Deadlines)>,
        alone: Deadlines,
        broken: &mut Broken,
    ) {
        let mut lacking = BTreeMap::new();
        for key in survey.missing.iter().filter(|_| elapsed >= alone.addresses) {
            let since = *self.lacking.get(key).unwrap_or(&survey.at);
            lacking.insert(*key, since);
            if survey.at.saturating_since(since) >= alone.restoration {
                broken.push((Rule::StaticMissing, Some(key.0), format!("does not hold {}", key.1)));
            }
        }
        for (group, (master, due)) in resting.iter().filter(|(_, (_, due))| elapsed >= due.addresses) {
            for member in survey.group(*group).filter(|member| member.machine == *master) {
                for (address, _) in member.addresses.iter().filter(|(_, segment)| segment.is_some()) {
                    if survey.held.iter().any(|h| h.machine == *master && h.address == *address) {
                        continue;
                    }
                    let since = *self.lacking.get(&(*master, *address)).unwrap_or(&survey.at);
                    lacking.insert((*master, *address), since);
                    if survey.at.saturating_since(since) >= due.restoration {
                        broken.push((
                            Rule::AddressMissing,
                            Some(*master),
                            format!("{group}: is master and does not hold {address}"),
                        ));
                    }
                }
            }
        }
        self.lacking = lacking;
    }
}

impl Settling {
    fn judge_routing(
        &mut self,
        survey: &Survey,
        elapsed: Duration,
        deadlines: &impl Fn(GroupKey) -> Deadlines,
        alone: Deadlines,
        broken: &mut Broken,
    ) {
        let all = survey.groups().into_iter().map(deadlines).fold(alone, Deadlines::with);
        let mut lasting = BTreeMap::new();
        let missing = survey.unrouted.iter().map(|seen| (Rule::RoutingMissing, "does not hold", seen));
        let elsewhere = survey.misrouted.iter().map(|seen| (Rule::RoutingElsewhere, "holds", seen));
        for (rule, verb, (machine, object)) in missing.chain(elsewhere).filter(|_| elapsed >= all.addresses) {
            let key = (rule, *machine, object.clone());
            let since = *self.routing.get(&key).unwrap_or(&survey.at);
            lasting.insert(key, since);
            if survey.at.saturating_since(since) >= all.restoration {
                broken.push((rule, Some(*machine), format!("{verb} {object}")));
            }
        }
        self.routing = lasting;
    }
}

/// What must have become of groups whose members are all in one sync group on each machine.
///
/// No machine takes over from a master that it does not beat everywhere. So each machine that can take part is master,
/// or follows somewhere a master that it does not take over from; and nobody else is master.
fn judge_tied(
    survey: &Survey,
    keys: &BTreeSet<GroupKey>,
    due: Deadlines,
    resting: &mut BTreeMap<GroupKey, (MachineId, Deadlines)>,
    broken: &mut Broken,
) {
    let mut following: BTreeSet<MachineId> = BTreeSet::new();
    let mut whole = true;
    for &group in keys {
        let members: Vec<&Member> = survey.group(group).collect();
        let masters = survey.masters(group);
        if masters.len() > 1 {
            let detail = format!("{group}: masters: {}; {}", names(&masters), states(&members));
            broken.push((Rule::NotOneMaster, None, detail));
            whole = false;
            continue;
        }
        let Some(master) = members.iter().find(|member| member.state == State::Master) else { continue };
        if !master.able {
            let detail = format!("{group}: master though not able");
            broken.push((Rule::NotOneMaster, Some(master.machine), detail));
        }
        resting.insert(group, (master.machine, due));
        let takes_over = |member: &&&Member| {
            member.priority > master.priority
                && ((member.preempt && member.switch != Switch::Held) || member.priority == 255)
        };
        following.extend(members.iter().filter(|member| !takes_over(member)).map(|member| member.machine));
    }
    for member in survey.members.iter().filter(|_| whole) {
        if !keys.contains(&member.group) || !member.able || member.state == State::Master {
            continue;
        }
        if !following.contains(&member.machine) {
            let members: Vec<&Member> = survey.group(member.group).collect();
            let (rule, machine) = match survey.masters(member.group).first() {
                Some(master) => (Rule::WrongMaster, Some(*master)),
                None => (Rule::NotOneMaster, None),
            };
            let group = member.group;
            let detail = format!(
                "{group}: {} has nobody to follow in its sync group; {}",
                member.machine,
                states(&members)
            );
            broken.push((rule, machine, detail));
        }
    }
}

type Broken = Vec<(Rule, Option<MachineId>, String)>;

fn judge_addresses(
    survey: &Survey,
    elapsed: Duration,
    deadlines: &impl Fn(GroupKey) -> Deadlines,
    release: Duration,
    broken: &mut Broken,
) {
    // The routers of a group may all be gone from the configurations, and their addresses still on their way out.
    let longest = survey.groups().into_iter().map(|g| deadlines(g).addresses).fold(release, Duration::max);
    if elapsed < longest {
        return;
    }
    for held in survey.held.iter().filter(|held| held.live && held.ours && !held.is_static) {
        let entitled = survey.members.iter().any(|member| {
            member.machine == held.machine
                && member.state == State::Master
                && member.addresses.iter().any(|(address, _)| *address == held.address)
        });
        if !entitled {
            broken.push((
                Rule::AddressElsewhere,
                Some(held.machine),
                format!("holds {} and is not its master", held.address),
            ));
        }
    }
}

fn judge_routes(
    survey: &Survey,
    since: Instant,
    elapsed: Duration,
    resting: &BTreeMap<GroupKey, (MachineId, Deadlines)>,
    broken: &mut Broken,
) {
    for (group, (master, _)) in resting.iter().filter(|(_, (_, due))| elapsed >= due.caches) {
        let Some(member) = survey.group(*group).find(|member| member.machine == *master) else { continue };
        // Who won or beat a rival since the LAN is whole has announced to every host. Otherwise a host may
        // have missed the announcements of the past, and only its own doubts can help it.
        let yielded = survey.group(*group).filter_map(|other| other.yielded);
        let yielded = yielded.filter(|(to, _)| Some(*to) == member.source).map(|(_, at)| at).max();
        let announced = member.elected.max(member.rival).max(yielded).is_some_and(|at| at >= since);
        for (address, segment) in &member.addresses {
            // A dead daemon's left-over or a foreign address elsewhere answers too: nobody's fault here.
            let contested = survey
                .held
                .iter()
                .any(|h| h.address == *address && h.machine != *master && !(h.live && h.ours));
            if contested {
                continue;
            }
            let routes =
                survey.routes.iter().filter(|r| r.address == *address && Some(r.segment) == *segment);
            for route in routes.filter(|route| route.patient || announced) {
                if route.machine != Some(*master) {
                    let place = route.machine.map_or_else(|| "nobody".to_owned(), |m| m.to_string());
                    broken.push((
                        Rule::HostMisled,
                        Some(*master),
                        format!("{group}: {} sends {address} to {place}", route.host),
                    ));
                }
            }
        }
    }
}

fn names(machines: &BTreeSet<MachineId>) -> String {
    if machines.is_empty() {
        return "none".to_owned();
    }
    machines.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn states(members: &[&Member]) -> String {
    let state = |m: &&Member| format!("{} {}{}", m.machine, m.state, if m.able { "" } else { " (not able)" });
    members.iter().map(state).collect::<Vec<_>>().join(", ")
}
