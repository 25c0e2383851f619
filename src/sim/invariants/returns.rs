//! After a router stood still (a stopped process, a paused machine): what it believes is of the past. Another router
//! may have become master meanwhile, and then one of the two yields as soon as they hear each other: within the time
//! that a packet takes, where the one that returns preempts and wins; otherwise with the next advertisement.

use std::collections::{BTreeMap, BTreeSet};

use super::{GroupKey, Member, Rule, Survey, Switch, Violation};
use crate::sim::MachineId;
use crate::time::{Duration, Instant};
use crate::vrrp::State;

/// A time during which nothing of a daemon ran.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Standstill {
    /// Its beginning.
    pub since: Instant,
    /// When the daemon went on.
    pub until: Instant,
}

/// How long the one that stood still and its successor may both be master.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Contest {
    /// The longest interval of the group: who stood still for longer has something overdue.
    pub longest_interval: Duration,
    /// Where the first packet of the one that returns decides.
    pub by_one_packet: Duration,
    /// Where it takes the next advertisement of the successor.
    pub by_the_next: Duration,
}

type Pair = (GroupKey, MachineId, MachineId);

/// Follows which routers that stood still and which successors are master at once, since when, and how long packets
/// took.
#[derive(Clone, Debug, Default)]
pub struct Returns {
    since: BTreeMap<Pair, (Instant, Duration)>,
    reported: BTreeSet<Pair>,
}

impl Returns {
    /// Must be called after each change of the LAN and each transition. `contest` gives the bounds of a group where
    /// the longest way from port to port is as given.
    pub fn observe(
        &mut self,
        survey: &Survey,
        contest: impl Fn(GroupKey, Duration) -> Contest,
    ) -> Vec<Violation> {
        let mut still = BTreeMap::new();
        let mut broken = Vec::new();
        let returned = survey.members.iter().filter(|member| member.returned.is_some());
        for member in returned.filter(|member| is_master(member)) {
            let (lossy, delay) = survey.segment(member.group.segment);
            let rivals = survey.group(member.group).filter(|rival| elected_meanwhile(member, rival));
            for rival in rivals.filter(|rival| !lossy && hear_each_other(survey, member, rival)) {
                let pair = (member.group, member.machine, rival.machine);
                let begin = member.touched.max(rival.touched);
                // Packets from before a change of the conditions take as long as they did.
                let since = match self.since.get(&pair) {
                    Some((since, as_before)) if *as_before == delay => begin.max(*since),
                    _ => survey.at,
                };
                still.insert(pair, (since, delay));
                let bound = limit(member, rival, since, contest(member.group, delay));
                if survey.at.saturating_since(since) > bound && self.reported.insert(pair) {
                    broken.push(Violation {
                        at: survey.at,
                        rule: Rule::StaleMaster,
                        machine: Some(member.machine),
                        detail: format!(
                            "{}: beside {}, elected meanwhile, for longer than {} us",
                            member.group,
                            rival.machine,
                            bound.as_micros()
                        ),
                    });
                }
            }
        }
        self.since = still;
        broken
    }
}

fn is_master(member: &Member) -> bool {
    member.state == State::Master && member.able
}

/// Whether `rival` became master while `member`, being master, stood still.
fn elected_meanwhile(member: &Member, rival: &Member) -> bool {
    let Some(Standstill { since, until }) = member.returned else { return false };
    rival.machine != member.machine
        && is_master(rival)
        // Who hands over is silent.
        && rival.switch != Switch::Leaving
        && member.elected.is_some_and(|elected| elected <= since)
        && rival.elected.is_some_and(|elected| since <= elected && elected <= until)
}

fn hear_each_other(survey: &Survey, a: &Member, b: &Member) -> bool {
    let hears = |a: &Member, b: &Member| survey.hears(a.machine, b.machine, a.group);
    hears(a, b) && hears(b, a) && ![a, b].iter().any(|member| survey.deaf.contains(&member.machine))
}

fn limit(member: &Member, rival: &Member, since: Instant, contest: Contest) -> Duration {
    let overdue = member.returned.is_some_and(|Standstill { since: stood, until }| {
        // Later, when a cut ends, say, the packet has been sent long since.
        since <= until && until.saturating_since(stood) > contest.longest_interval
    });
    let wins = (member.priority, member.source) > (rival.priority, rival.source);
    // Who stood still as well, and does not preempt, listens for an interval and a skew time, which is no longer.
    let listens = !rival.preempt
        && rival.returned.is_some_and(|Standstill { until, .. }| since <= until + contest.by_the_next);
    match member.preempt && wins && overdue {
        true => contest.by_one_packet,
        false if listens => contest.by_the_next + contest.longest_interval,
        false => contest.by_the_next,
    }
}
