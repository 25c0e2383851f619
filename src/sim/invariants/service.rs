//! During faults: in each group whose members all hear each other there is a master within the bound.

use std::collections::{BTreeMap, BTreeSet};

use super::{GroupKey, Member, Rule, Survey, Violation};
use crate::sim::MachineId;
use crate::time::{Duration, Instant};
use crate::vrrp::State;

/// Follows which members hear each other since when.
#[derive(Clone, Debug, Default)]
pub struct Service {
    since: BTreeMap<(GroupKey, BTreeSet<MachineId>), Instant>,
    reported: BTreeSet<(GroupKey, BTreeSet<MachineId>)>,
}

impl Service {
    /// Must be called after each change of the LAN and each transition. `election` gives the bound of a
    /// group where the longest way from port to port is as given.
    pub fn observe(
        &mut self,
        survey: &Survey,
        election: impl Fn(GroupKey, Duration) -> Duration,
    ) -> Vec<Violation> {
        let mut now_whole = BTreeMap::new();
        let mut broken = Vec::new();
        for group in survey.groups() {
            let (lossy, delay) = survey.segment(group.segment);
            if lossy || survey.group(group).any(|member| survey.deaf.contains(&member.machine)) {
                continue;
            }
            let able: Vec<&Member> = survey.group(group).filter(|member| member.able).collect();
            for machines in circles(survey, group, &able) {
                let members = || able.iter().filter(|member| machines.contains(&member.machine));
                // Also who cannot take part may say a last word to them when something happens to it.
                let heard_by_them = |(machine, _): &(MachineId, Instant)| {
                    machines.contains(machine)
                        || machines.iter().any(|m| survey.hearing.contains(&(*machine, *m, group.segment)))
                };
                let touched = survey.group(group).map(|member| (member.machine, member.touched));
                let leavers = survey.leavers.iter().map(|(machine, touched)| (*machine, *touched));
                let removed = survey.removed.iter().filter(|((_, of), _)| *of == group);
                let removed = removed.map(|((machine, _), at)| (*machine, *at));
                let touched =
                    touched.chain(leavers).chain(removed).filter(heard_by_them).map(|(_, touched)| touched);
                let touched = touched.max().unwrap_or_default();
                let key = (group, machines.clone());
                let since = self.since.get(&key).map_or(survey.at, |since| touched.max(*since));
                let bound = election(group, delay);
                if members().any(|member| member.state == State::Master) {
                    self.reported.remove(&key);
                } else if survey.at.saturating_since(since) > bound && self.reported.insert(key.clone()) {
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
                now_whole.insert(key, since);
            }
        }
        self.since = now_whole;
        broken
    }
}

/// The sets of members that all hear each other and that nobody else of the group hears or is heard by.
fn circles(survey: &Survey, group: GroupKey, able: &[&Member]) -> Vec<BTreeSet<MachineId>> {
    let hears = |a: MachineId, b: MachineId| survey.hearing.contains(&(a, b, group.segment));
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
