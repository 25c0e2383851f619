//! Whether a scenario ended as it must. Judged is the outcome; time only where it cannot be the machine's
//! load.

use std::time::Duration;

use super::measure::Measures;
use super::plan::Plan;
use super::scenario::Scenario;
use super::stage::{Ending, TOLERANCE};
use crate::net::MacAddress;

/// What is wrong, in words; nothing when all is well.
pub fn judge(
    plan: &Plan,
    scenario: Scenario,
    bound: Duration,
    measures: &Measures,
    ending: &Ending,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let elected: Vec<usize> = measures.elections.iter().map(|election| election.router).collect();
    let expected = scenario.elections();
    if elected != expected {
        wrong.push(format!("elected {}, expected {}", names(&elected), names(expected)));
    }
    let limit = bound + plan.interval.duration() + TOLERANCE;
    match measures.first_announcement {
        None if elected.is_empty() => {}
        None => wrong.push("the successor never announced the virtual address".to_owned()),
        Some(time) if time > limit && !scenario.overlaps() => wrong.push(format!(
            "announced {} after the last advertisement; bound, one interval and {} ms are {}",
            ms(time),
            TOLERANCE.as_millis(),
            ms(limit)
        )),
        Some(_) => {}
    }
    let lost = measures.blackout.map_or(Duration::ZERO, |(_, lost)| lost);
    if scenario == Scenario::Switch && lost > plan.interval.duration() + TOLERANCE {
        wrong.push(format!(
            "the host lost {}, though the old master forwards until its successor does",
            ms(lost)
        ));
    }
    if scenario.is_unnoticed() && measures.probes_lost > 0 {
        wrong.push(format!("the host lost {} probes, though nothing was given up", measures.probes_lost));
    }
    let master = scenario.master();
    wrong.extend(unsettled(ending, master));
    if !ending.traffic_flows {
        wrong.push("the client's packets do not reach the server in the end".to_owned());
    }
    // All routers have the virtual MAC by turns: the host need not notice anything.
    if let Some(mac) = plan.virtual_mac() {
        let named = |entry: Option<MacAddress>| entry.map_or_else(|| "nothing".to_owned(), |m| m.to_string());
        let [before, after] = ending.client_entries;
        for (when, entry) in [("before", before), ("after", after)] {
            if entry != Some(mac) {
                let entry = named(entry);
                wrong.push(format!("the client had {entry} for the address {when} it, not {mac}"));
            }
        }
    }
    for &router in ending.holders.iter().filter(|&&router| router != master) {
        if scenario == Scenario::Stop && !ending.alive.contains(&router) {
            wrong.push(format!("r{} still holds the virtual address after an orderly stop", router + 1));
        }
    }
    wrong
}

/// What keeps `master` from being the one and only master: somebody else advertises, the host's packets go
/// elsewhere, it lacks the address, or another router with a living daemon has it.
pub fn unsettled(ending: &Ending, master: usize) -> Vec<String> {
    let mut wrong = Vec::new();
    if ending.senders != [master] {
        wrong.push(format!("{} advertise, not r{} alone", names(&ending.senders), master + 1));
    }
    if ending.client_route != Some(master) {
        let route = ending.client_route.map_or_else(|| "nowhere known".to_owned(), |r| format!("r{}", r + 1));
        wrong.push(format!("the client's packets go to {route} instead of r{}", master + 1));
    }
    if !ending.holders.contains(&master) {
        wrong.push(format!("r{} does not hold the virtual address", master + 1));
    }
    for &router in ending.holders.iter().filter(|&&router| router != master) {
        if ending.alive.contains(&router) {
            wrong.push(format!("r{} holds the virtual address too, with its daemon alive", router + 1));
        }
    }
    wrong
}

fn names(routers: &[usize]) -> String {
    match routers {
        [] => "nobody".to_owned(),
        routers => routers.iter().map(|r| format!("r{}", r + 1)).collect::<Vec<_>>().join(", "),
    }
}

fn ms(time: Duration) -> String {
    format!("{}.{} ms", time.as_millis(), time.as_micros() % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::daemon::{Kind, Program};
    use crate::drill::measure::Election;
    use crate::drill::plan::Authentication;
    use crate::net::Family;
    use crate::time::WallTime;
    use crate::wire::vrrp::{AdvertisementInterval, Version};

    const BOUND: Duration = Duration::from_millis(326);

    fn plan() -> Plan {
        let program = Program::new(Kind::Alived, "alived");
        Plan {
            version: Version::V3,
            family: Family::Ipv4,
            interval: AdvertisementInterval::from_centiseconds(10).unwrap(),
            addresses: 1,
            sync_group: false,
            authentication: Authentication::None,
            unicast: false,
            virtual_mac: false,
            programs: vec![program.clone(), program],
            service: None,
            scenarios: vec![Scenario::Kill],
        }
    }

    fn good() -> (Measures, Ending) {
        let measures = Measures {
            elections: vec![Election { router: 1, time: WallTime::default() }],
            first_announcement: Some(Duration::from_millis(327)),
            ..Measures::default()
        };
        let ending = Ending {
            senders: vec![1],
            client_entries: [None; 2],
            client_route: Some(1),
            holders: vec![1],
            alive: vec![1],
            traffic_flows: true,
        };
        (measures, ending)
    }

    fn verdict(scenario: Scenario, change: impl FnOnce(&mut Measures, &mut Ending)) -> Vec<String> {
        let (mut measures, mut ending) = good();
        change(&mut measures, &mut ending);
        judge(&plan(), scenario, BOUND, &measures, &ending)
    }

    #[test]
    fn a_clean_takeover_passes() {
        assert_eq!(verdict(Scenario::Kill, |_, _| {}), Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_named() {
        type Change = fn(&mut Measures, &mut Ending);
        let cases: [(&str, Change); 9] = [
            ("nobody", |m, _| m.elections.clear()),
            ("expected r2", |m, _| m.elections.push(Election { router: 0, time: WallTime::default() })),
            ("announced", |m, _| m.first_announcement = Some(Duration::from_millis(677))),
            ("never announced", |m, _| m.first_announcement = None),
            ("advertise", |_, e| e.senders.push(0)),
            ("packets go to r1", |_, e| e.client_route = Some(0)),
            ("do not reach", |_, e| e.traffic_flows = false),
            ("does not hold", |_, e| e.holders.clear()),
            ("holds the virtual address too", |_, e| {
                e.holders.push(0);
                e.alive.push(0);
            }),
        ];
        for (words, change) in cases {
            let wrong = verdict(Scenario::Kill, change);
            assert!(wrong.iter().any(|text| text.contains(words)), "{words}: {wrong:?}");
        }
    }

    #[test]
    fn a_host_that_has_to_learn_another_mac_although_there_is_a_virtual_one_is_named() {
        let plan = Plan { virtual_mac: true, ..plan() };
        let (measures, mut ending) = good();
        ending.client_entries = [plan.virtual_mac(); 2];
        assert_eq!(judge(&plan, Scenario::Kill, BOUND, &measures, &ending), Vec::<String>::new());
        for entry in [None, Some(MacAddress([2, 0, 0, 0, 0, 1]))] {
            ending.client_entries[1] = entry;
            let wrong = judge(&plan, Scenario::Kill, BOUND, &measures, &ending);
            assert!(wrong[0].contains("after it, not 00:00:5e:00:01:33"), "{wrong:?}");
        }
    }

    #[test]
    fn a_switch_over_that_interrupts_is_named() {
        let lose =
            |time| move |m: &mut Measures, _: &mut Ending| m.blackout = Some((WallTime::default(), time));
        assert!(verdict(Scenario::Switch, lose(Duration::from_millis(1))).is_empty());
        assert_eq!(verdict(Scenario::Switch, lose(Duration::from_millis(351))).len(), 1);
        assert!(verdict(Scenario::Kill, lose(Duration::from_millis(351))).is_empty());
    }

    #[test]
    fn a_restart_that_somebody_notices_is_named() {
        let unnoticed = |measures: &mut Measures, ending: &mut Ending| {
            measures.elections.clear();
            measures.first_announcement = None;
            *ending = Ending {
                senders: vec![0],
                client_route: Some(0),
                holders: vec![0],
                alive: vec![0, 1],
                ..ending.clone()
            };
        };
        assert_eq!(verdict(Scenario::Restart, unnoticed), Vec::<String>::new());
        let wrong = verdict(Scenario::Restart, |measures, ending| {
            unnoticed(measures, ending);
            measures.probes_lost = 1;
        });
        assert!(wrong.len() == 1 && wrong[0].contains("lost 1 probes"), "{wrong:?}");
        let wrong = verdict(Scenario::Restart, |_, _| {});
        assert!(wrong[0].contains("elected r2, expected nobody"), "{wrong:?}");
    }

    #[test]
    fn only_a_dead_daemon_may_leave_its_address() {
        let leave = |_: &mut Measures, ending: &mut Ending| ending.holders.push(0);
        assert!(verdict(Scenario::Crash, leave).is_empty());
        assert_eq!(verdict(Scenario::Stop, leave).len(), 1);
    }
}
