//! Whether a scenario ended as it must. Pure: figures in, words out.

use std::time::Duration;

use super::scenario::Scenario;
use super::stage::Measures;
use crate::time::WallTime;

/// How much later than the configuration's bound a busy machine may be.
const TOLERANCE: Duration = Duration::from_secs(1);

/// What is wrong; nothing when all is well.
pub(super) fn judge(
    scenario: Scenario,
    struck: WallTime,
    measures: &Measures,
    table: &[String],
    wanted: &[String],
) -> Vec<String> {
    let mut wrong = Vec::new();
    let expected = match scenario {
        Scenario::Director => "r2 does not become master",
        Scenario::Return => "r1's table never gets s1 back",
        _ => "s1 goes on getting new connections from r1",
    };
    if measures.detection.is_none() {
        wrong.push(expected.to_owned());
    }
    let times =
        [("noticed", measures.detection), ("noticed by the second director", measures.backup_detection)];
    for (what, time) in times {
        if let (Some(time), Some(bound)) = (time, measures.bound)
            && time > bound + TOLERANCE + measures.stalled
        {
            let late = ms(time.saturating_sub(bound));
            wrong.push(format!("{what} after {}, {late} beyond the bound of {}", ms(time), ms(bound)));
        }
    }
    if scenario == Scenario::Drain && measures.removal.is_none() {
        wrong
            .push("the drained real server stays in the table although nobody is connected to it".to_owned());
    }
    // The address moves, and the client's neighbour cache with it, a moment after the advertisement.
    let slack = if scenario == Scenario::Director { TOLERANCE + measures.stalled } else { Duration::ZERO };
    let changed = measures.detection.map(|time| struck + time + slack);
    let excused = |sent: WallTime| scenario.costs_requests() && changed.is_none_or(|changed| sent <= changed);
    let inexcusable: Vec<&str> = measures
        .failures
        .iter()
        .filter(|(sent, _)| !excused(*sent))
        .map(|(_, failure)| failure.as_str())
        .collect();
    if let Some(first) = inexcusable.first() {
        let when = if scenario.costs_requests() { ", begun after the table had changed" } else { "" };
        wrong.push(format!("{} requests failed{when}: {first}", inexcusable.len()));
    }
    if measures.answered_after.iter().sum::<usize>() == 0 {
        wrong.push("no request is answered in the end".to_owned());
    }
    let first = measures.answered_after.first().copied().unwrap_or_default();
    match scenario {
        Scenario::Return if first == 0 => wrong.push("s1 is back and gets no requests".to_owned()),
        Scenario::Drain if first > 0 => {
            wrong.push(format!("s1 got {first} new connections while it was drained"));
        }
        _ => {}
    }
    let may_break = matches!(scenario, Scenario::Die | Scenario::Hang | Scenario::Wrong);
    for (server, broken) in measures.broken.iter().enumerate() {
        if *broken > 0 && !(may_break && server == 0) {
            wrong.push(format!("{broken} kept connections to s{} broke", server + 1));
        }
    }
    if table != wanted {
        wrong.push(format!("the kernel's table is [{}], not [{}]", table.join("; "), wanted.join("; ")));
    }
    wrong
}

fn ms(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> WallTime {
        WallTime::from_unix_micros(1_000_000 + ms * 1000)
    }

    fn wrong(scenario: Scenario, measures: &Measures) -> String {
        judge(scenario, at(0), measures, &[], &[]).join("\n")
    }

    fn good() -> Measures {
        Measures {
            bound: Some(Duration::from_millis(1500)),
            detection: Some(Duration::from_millis(900)),
            backup_detection: Some(Duration::from_millis(1200)),
            removal: Some(Duration::from_millis(3000)),
            requests: 100,
            failures: vec![(at(100), "refused".to_owned())],
            answered_after: [0, 20, 20],
            broken: [2, 0, 0],
            held: 6,
            ..Measures::default()
        }
    }

    #[test]
    fn what_the_death_of_a_server_costs_until_it_is_noticed_is_excused() {
        assert_eq!(wrong(Scenario::Die, &good()), "");
        let late = Measures { failures: vec![(at(901), "refused".to_owned())], ..good() };
        assert!(wrong(Scenario::Die, &late).contains("1 requests failed, begun after the table"), "{late:?}");
        let late = Measures { detection: Some(Duration::from_millis(2501)), ..good() };
        assert!(wrong(Scenario::Die, &late).contains("1001 ms beyond the bound of 1500 ms"), "{late:?}");
        let stalled = Measures { stalled: Duration::from_millis(1), ..late };
        assert_eq!(wrong(Scenario::Die, &stalled), "");
        let never = Measures { detection: None, ..good() };
        assert!(wrong(Scenario::Die, &never).contains("goes on getting"), "{never:?}");
        let others = Measures { broken: [2, 1, 0], ..good() };
        assert_eq!(wrong(Scenario::Die, &others), "1 kept connections to s2 broke");
    }

    #[test]
    fn a_drained_server_costs_nothing_and_gets_nothing() {
        let well = Measures { failures: Vec::new(), broken: [0; 3], bound: None, ..good() };
        assert_eq!(wrong(Scenario::Drain, &well), "");
        let failed = Measures { failures: good().failures, ..well.clone() };
        assert_eq!(wrong(Scenario::Drain, &failed), "1 requests failed: refused");
        let got = Measures { answered_after: [1, 20, 20], ..well.clone() };
        assert!(wrong(Scenario::Drain, &got).contains("got 1 new connections"), "{got:?}");
        let stays = Measures { removal: None, ..well.clone() };
        assert!(wrong(Scenario::Drain, &stays).contains("stays in the table"), "{stays:?}");
        let cut = Measures { broken: [1, 0, 0], ..well };
        assert_eq!(wrong(Scenario::Drain, &cut), "1 kept connections to s1 broke");
    }

    #[test]
    fn connections_outlive_a_director() {
        let well = Measures { broken: [0; 3], answered_after: [5, 5, 5], ..good() };
        assert_eq!(wrong(Scenario::Director, &well), "");
        let cut = Measures { broken: [0, 0, 1], ..well.clone() };
        assert_eq!(wrong(Scenario::Director, &cut), "1 kept connections to s3 broke");
        let lines = judge(Scenario::Director, at(0), &well, &["-A".to_owned()], &[]);
        assert_eq!(lines, ["the kernel's table is [-A], not []"]);
    }

    #[test]
    fn who_is_back_has_to_get_requests() {
        let well = Measures { failures: Vec::new(), broken: [0; 3], answered_after: [1, 5, 5], ..good() };
        assert_eq!(wrong(Scenario::Return, &well), "");
        let none = Measures { answered_after: [0, 5, 5], ..well };
        assert_eq!(wrong(Scenario::Return, &none), "s1 is back and gets no requests");
    }
}
