//! A host that forges advertisements by the thousand.

use alived::sim::timeline::EntryKind;
use alived::sim::{Fault, Flood, Forgery, MachineId};
use alived::time::{Duration, Instant};
use alived::vrrp::State;
use alived::wire::vrrp::Priority;

use super::lan::{IMPATIENT, Lan, R1, R2, router};

/// 10,000 packets a second.
const PAUSE: Duration = Duration::from_micros(100);
const SECONDS: u64 = 3;
/// In intervals of the routers.
const INTERVALS: u64 = SECONDS * 10;

/// Two routers before, in and after a flood; nobody changes its state. Gives when it began, and how many
/// advertisements and announcements the master sent in it.
fn flooded(forgery: Forgery) -> (Lan, Instant, u64, u64) {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.assert_served_by(R1);
    lan.run(10_000);
    let (begun, before) = (lan.now(), lan.cluster.sent(R1));
    lan.apply(Fault::Flooded(IMPATIENT, Flood { like: router(150).into(), forgery, pause: PAUSE }));
    lan.run(SECONDS * 1_000);
    let after = lan.cluster.sent(R1);
    assert_eq!(lan.transitions(begun), 0, "{}", lan.cluster.timeline());
    assert_eq!(lan.cluster.sent(R2).advertisements, 0);
    lan.apply(Fault::FloodEnded(IMPATIENT));
    lan.settle();
    assert_eq!(lan.transitions(begun), 0);
    lan.assert_served_by(R1);
    lan.assert_state(R2, State::Backup);
    let (sent, announced) =
        (after.advertisements - before.advertisements, after.announcements - before.announcements);
    (lan, begun, sent, announced)
}

/// What a machine reported since a moment.
fn reports(lan: &Lan, machine: MachineId, since: Instant) -> Vec<String> {
    let entries = lan.cluster.timeline().entries().iter();
    let reports = entries.filter(|entry| entry.at >= since && entry.kind == EntryKind::Report);
    reports.filter(|entry| entry.actor == machine.to_string()).map(|entry| entry.text.clone()).collect()
}

/// Of each kind one in a second, and once their number.
#[track_caller]
fn assert_few(lan: &Lan, machine: MachineId, since: Instant, kinds: usize) {
    let told = reports(lan, machine, since);
    assert!(!told.is_empty() && told.len() <= kinds * (SECONDS as usize + 2), "{machine}: {told:#?}");
}

#[test]
fn forged_rivals_neither_move_the_master_nor_fill_the_log() {
    let (lan, begun, sent, announced) = flooded(Forgery::Rivals);
    assert!((INTERVALS..=11 * INTERVALS + 11).contains(&sent), "{sent} advertisements");
    // A block in each interval, and another one at the end of the delay.
    assert!(announced <= 5 * (INTERVALS + 2), "{announced} announcements");
    // Beaten rivals, other address lists.
    assert_few(&lan, R1, begun, 2);
    assert_few(&lan, R2, begun, 2);
}

#[test]
fn forged_farewells_do_not_move_the_master() {
    let (lan, begun, sent, announced) = flooded(Forgery::Leaving);
    assert!((INTERVALS..=11 * INTERVALS + 11).contains(&sent), "{sent} advertisements");
    assert!(announced <= 5 * (INTERVALS + 2), "{announced} announcements");
    assert_eq!(reports(&lan, R1, begun), [""; 0]);
    assert_eq!(reports(&lan, R2, begun), [""; 0]);
}

#[test]
fn forged_intervals_of_the_master_do_not_fill_the_log() {
    let forgery = Forgery::Intervals { source: [10, 0, 0, 1].into(), priority: Priority(150) };
    let (lan, begun, sent, announced) = flooded(forgery);
    assert!((INTERVALS - 1..=INTERVALS + 1).contains(&sent), "{sent} advertisements");
    assert_eq!(announced, 0);
    assert_few(&lan, R1, begun, 1);
    assert_few(&lan, R2, begun, 1);
}
