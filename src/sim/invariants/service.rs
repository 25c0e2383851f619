//! During faults: in each group whose members all hear each other there is a master within the bound.

use std::collections::{BTreeMap, BTreeSet};

use super::{Component, GroupKey, Member, Rule, Survey, Violation};
use crate::sim::MachineId;
use crate::sim::network::SegmentId;
use crate::time::{Duration, Instant};
use crate::vrrp::State;

/// How many times sync groups that contend may make backups of each other, each time for an election and what they hold
/// back after it, which is no longer: with sixteen lots all is decided by then.
pub const ROUNDS: u32 = 8;

/// Follows which members hear each other since when.
#[derive(Clone, Debug, Default)]
pub struct Service {
    circles: BTreeMap<(GroupKey, BTreeSet<MachineId>), Circle>,
    reported: BTreeSet<(GroupKey, BTreeSet<MachineId>)>,
    /// Until when all that was seen may stay as it is.
    in_time_until: Option<Instant>,
}

/// Members of a group that all hear each other.
#[derive(Clone, Debug)]
struct Circle {
    /// Since when nothing has happened to them or to whom they hear.
    since: Instant,
    /// Whom they hear besides: routers that cannot take part, and may be masters all the same.
    heard: BTreeSet<MachineId>,
}

impl Service {
    /// Must be called after each change of the LAN and each transition. `election` gives the bound of a
    /// group where the longest way from port to port is as given. `unchanged`: the bounds are the last time's, and so is the
    /// survey ([`Survey::resembles`]), so that nothing but the time that has passed can break the rule.
    pub fn observe(
        &mut self,
        survey: &Survey,
        unchanged: bool,
        election: impl Fn(GroupKey, Duration) -> Duration,
    ) -> Vec<Violation> {
        if unchanged && self.in_time_until.is_none_or(|until| survey.at <= until) {
            return Vec::new();
        }
        self.in_time_until = None;
        let mut now_whole = BTreeMap::new();
        let mut broken = Vec::new();
        for Component { keys, uniform } in survey.components() {
            let conditions = || keys.iter().map(|key| survey.segment(key.segment));
            let deaf =
                survey.members.iter().any(|m| keys.contains(&m.group) && survey.deaf.contains(&m.machine));
            if !*uniform || deaf || conditions().any(|(lossy, _)| lossy) {
                continue;
            }
            let delay = conditions().map(|(_, delay)| delay).max().unwrap_or_default();
            // Who is in a sync group takes over only where all of its members do.
            let bound = keys.iter().map(|key| election(*key, delay)).max().unwrap_or_default();
            let segments: BTreeSet<SegmentId> = keys.iter().map(|key| key.segment).collect();
            let mut common: Option<Vec<BTreeSet<MachineId>>> = None;
            for key in keys {
                let able: Vec<&Member> = survey.group(*key).filter(|member| member.able).collect();
                let circles = circles(survey, *key, &able);
                match &mut common {
                    None => common = Some(circles),
                    Some(common) => common.retain(|circle| circles.contains(circle)),
                }
            }
            for machines in common.unwrap_or_default() {
                // Also who cannot take part may say a last word to them when something happens to it.
                let heard_by_them = |machine: &MachineId| {
                    machines.contains(machine)
                        || segments
                            .iter()
                            .any(|segment| machines.iter().any(|m| survey.reaches(*machine, *m, *segment)))
                };
                let of_them = survey.members.iter().filter(|member| keys.contains(&member.group));
                let heard: BTreeSet<MachineId> = of_them
                    .clone()
                    .map(|member| member.machine)
                    .filter(|machine| !machines.contains(machine) && heard_by_them(machine))
                    .collect();
                let bound = bound * if survey.is_contested(keys, &heard) { 1 + ROUNDS } else { 1 };
                let mut touched: BTreeMap<MachineId, Instant> = survey.leavers.clone();
                let removed = survey.removed.iter().filter(|((_, of), _)| keys.contains(of));
                let others = of_them.map(|member| (member.machine, member.touched));
                for (machine, at) in others.chain(removed.map(|((machine, _), at)| (*machine, *at))) {
                    let latest = touched.entry(machine).or_insert(at);
                    *latest = at.max(*latest);
                }
                let touched = touched.iter().filter(|(machine, _)| heard_by_them(machine));
                let touched = touched.map(|(_, at)| *at).max().unwrap_or_default();
                for &group in keys {
                    let key = (group, machines.clone());
                    let since = match self.circles.get(&key) {
                        // Whom they heard until now they believe for a master-down time more.
                        Some(before) if before.heard.is_subset(&heard) => touched.max(before.since),
                        Some(_) | None => survey.at,
                    };
                    let mut members = survey.group(group).filter(|member| machines.contains(&member.machine));
                    if members.any(|member| member.state == State::Master) {
                        self.reported.remove(&key);
                    } else if survey.at.saturating_since(since) <= bound {
                        let until = since + bound;
                        self.in_time_until = Some(self.in_time_until.map_or(until, |at| at.min(until)));
                    } else if self.reported.insert(key.clone()) {
                        let names: Vec<String> = machines.iter().map(ToString::to_string).collect();
                        broken.push(Violation {
                            at: survey.at,
                            rule: Rule::NoMasterInTime,
                            machine: None,
                            detail: format!(
                                "{group}: {} hear each other since {since} and have no master after {} ms",
                                names.join(", "),
                                bound.as_millis()
                            ),
                        });
                    }
                    now_whole.insert(key, Circle { since, heard: heard.clone() });
                }
            }
        }
        self.circles = now_whole;
        broken
    }
}

/// The sets of members that all hear each other and that nobody else of the group hears or is heard by.
fn circles(survey: &Survey, group: GroupKey, able: &[&Member]) -> Vec<BTreeSet<MachineId>> {
    let hears = |a: MachineId, b: MachineId| survey.hears(a, b, group);
    let mut left: BTreeSet<MachineId> = able.iter().map(|member| member.machine).collect();
    let mut circles = Vec::new();
    while let Some(first) = left.pop_first() {
        let mut circle = BTreeSet::from([first]);
        let mut frontier = vec![first];
        while let Some(at) = frontier.pop() {
            let next: Vec<MachineId> =
                left.iter().copied().filter(|&other| hears(at, other) || hears(other, at)).collect();
            for machine in next {
                left.remove(&machine);
                circle.insert(machine);
                frontier.push(machine);
            }
        }
        let whole = circle.iter().all(|&a| circle.iter().all(|&b| a == b || hears(a, b)));
        if whole {
            circles.push(circle);
        }
    }
    circles
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Family;
    use crate::wire::vrrp::Vrid;

    const LAN: SegmentId = SegmentId(0);

    fn survey(seconds: u64) -> Survey {
        let group = GroupKey { segment: LAN, family: Family::Ipv4, vrid: Vrid::new(1).unwrap() };
        let mut survey = Survey::new(Instant::from_micros(seconds * 1_000_000));
        survey.members = [0, 1].map(|machine| Member::backup(machine, group)).into();
        survey.hearing = vec![(MachineId(0), MachineId(1), LAN), (MachineId(1), MachineId(0), LAN)];
        survey.segments = vec![(LAN, false, Duration::ZERO)];
        survey
    }

    /// The rule breaks by time alone, also where it is looked at only when something has changed.
    #[test]
    fn who_waits_in_vain_is_seen_though_nothing_changes() {
        let mut service = Service::default();
        let mut before = None;
        let mut seen = Vec::new();
        for second in 1..20 {
            let mut survey = survey(second);
            let unchanged = before.take().is_some_and(|before| survey.resembles(before));
            assert_eq!(unchanged, second > 1);
            seen.extend(service.observe(&survey, unchanged, |_, _| Duration::from_secs(5)));
            before = Some(survey);
        }
        let seen: Vec<_> =
            seen.iter().map(|broken| (broken.rule, broken.at.as_micros() / 1_000_000)).collect();
        assert_eq!(seen, [(Rule::NoMasterInTime, 7)]);
    }

    #[test]
    fn another_survey_is_no_unchanged_one() {
        let mut elected = survey(2);
        elected.members[0].state = State::Master;
        assert!(!elected.resembles(survey(1)));
        let mut cut = survey(2);
        cut.hearing.pop();
        assert!(!cut.resembles(survey(1)));
        assert!(survey(2).resembles(survey(1)));
    }
}
