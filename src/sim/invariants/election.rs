//! A reference model of who may be master, independent of the engine: RFC 9568 §6.4 reduced to its outcome,
//! with keepalived's `nopreempt` and our switch-over.

use std::collections::BTreeSet;

use super::{Member, Switch};
use crate::sim::MachineId;

/// Who may be the one master in the end, given who was master when the timers of all backups had last been
/// set by an advertisement of it.
///
/// - A backup takes over from a live master only if its priority is higher and it preempts: neither
///   `nopreempt` nor held by a switch-over.
/// - Of two masters the one with the higher priority stays, at equal priority the one with the higher address.
/// - Where several members of the same highest priority could take over, whichever is first stays, because
///   none of them takes over from an equal.
/// - While a master is being preempted, others as good as the new one may have elected themselves, too, before
///   they hear of it.
/// - The owner of the addresses (255) always is master.
pub fn permitted(members: &[&Member], masters: &BTreeSet<MachineId>) -> BTreeSet<MachineId> {
    let able = || members.iter().copied().filter(|member| member.able);
    let mut permitted = BTreeSet::new();
    for &master in masters {
        let Some(current) = able().find(|member| member.machine == master) else { continue };
        let best_master = able()
            .filter(|other| masters.contains(&other.machine))
            .max_by_key(|other| (other.priority, other.source))
            .filter(|best| best.machine != master);
        let challengers = able().filter(|other| {
            other.machine != master
                && other.priority > current.priority
                && ((other.preempt && other.switch != Switch::Held) || other.priority == 255)
        });
        // Nobody listens any more to whom another master beats.
        if let Some(winner) = best_master {
            let equals = challengers.filter(|o| o.priority == winner.priority && o.source > winner.source);
            permitted.extend(equals.map(|other| other.machine));
            continue;
        }
        let best = challengers.clone().map(|other| other.priority).max();
        match best {
            None => {
                permitted.insert(master);
            }
            Some(best) => {
                permitted.extend(challengers.filter(|o| o.priority == best).map(|o| o.machine));
            }
        }
    }
    permitted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Family;
    use crate::sim::invariants::GroupKey;
    use crate::sim::network::SegmentId;
    use crate::wire::vrrp::Vrid;

    fn member(machine: usize, priority: u8, preempt: bool) -> Member {
        let group = GroupKey { segment: SegmentId(0), family: Family::Ipv4, vrid: Vrid::new(1).unwrap() };
        Member { priority, preempt, ..Member::backup(machine, group) }
    }

    fn outcome(members: &[Member], masters: &[usize]) -> Vec<usize> {
        let members: Vec<&Member> = members.iter().collect();
        let masters = masters.iter().map(|&m| MachineId(m)).collect();
        permitted(&members, &masters).into_iter().map(|m| m.0).collect()
    }

    #[test]
    fn the_highest_preempts() {
        let members = [member(0, 100, true), member(1, 150, true), member(2, 120, true)];
        for master in 0..3 {
            assert_eq!(outcome(&members, &[master]), [1]);
        }
    }

    #[test]
    fn an_equal_does_not_preempt_but_wins_between_masters() {
        let members = [member(0, 100, true), member(1, 100, true)];
        assert_eq!(outcome(&members, &[0]), [0]);
        assert_eq!(outcome(&members, &[1]), [1]);
        assert_eq!(outcome(&members, &[0, 1]), [1]);
    }

    #[test]
    fn of_equals_that_preempt_at_once_any_may_be_last() {
        let members = [member(0, 50, true), member(1, 100, true), member(2, 100, true), member(3, 90, true)];
        assert_eq!(outcome(&members, &[0, 1]), [1, 2]);
        assert_eq!(outcome(&members, &[0, 2]), [2]);
    }

    #[test]
    fn nopreempt_keeps_the_successor_but_does_not_lose_to_it() {
        let members = [member(0, 150, false), member(1, 100, true)];
        assert_eq!(outcome(&members, &[1]), [1]);
        assert_eq!(outcome(&members, &[0, 1]), [0]);
    }

    #[test]
    fn who_switched_over_waits() {
        let mut members = [member(0, 150, true), member(1, 100, true)];
        members[0].switch = Switch::Held;
        assert_eq!(outcome(&members, &[1]), [1]);
        members[0].switch = Switch::Off;
        assert_eq!(outcome(&members, &[1]), [0]);
    }

    #[test]
    fn the_owner_always_is_master() {
        let members = [member(0, 255, false), member(1, 254, true)];
        assert_eq!(outcome(&members, &[1]), [0]);
    }

    #[test]
    fn who_is_not_able_is_out() {
        let mut members = [member(0, 150, true), member(1, 100, true), member(2, 120, true)];
        members[0].able = false;
        assert_eq!(outcome(&members, &[1]), [2]);
        assert_eq!(outcome(&members, &[0]), [] as [usize; 0]);
    }

    #[test]
    fn of_equal_challengers_either() {
        let members = [member(0, 100, true), member(1, 150, true), member(2, 150, true)];
        assert_eq!(outcome(&members, &[0]), [1, 2]);
    }
}
