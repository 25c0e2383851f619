//! Ours and keepalived as each other's master and backup, on real interfaces in network namespaces: who is
//! master after each event of a router's life, and that nothing else claims to be.

use alived::drill::{Authentication, Kind, Plan, Program, Stage};
use alived::net::Family;
use alived::sys::namespace::Namespace;
use alived::wire::vrrp::{AdvertisementInterval, Version};

use crate::skip;

/// What the routers speak.
#[derive(Clone, Copy)]
struct Wire {
    version: Version,
    family: Family,
    authentication: Authentication,
    unicast: bool,
}

const V2: Wire =
    Wire { version: Version::V2, family: Family::Ipv4, authentication: Authentication::None, unicast: false };
const V3: Wire = Wire { version: Version::V3, ..V2 };
const V3_IPV6: Wire = Wire { family: Family::Ipv6, ..V3 };
const PASS: Wire = Wire { authentication: Authentication::Pass, ..V2 };
const V2_UNICAST: Wire = Wire { unicast: true, ..V2 };
const V3_UNICAST: Wire = Wire { unicast: true, ..V3 };
const V3_IPV6_UNICAST: Wire = Wire { unicast: true, ..V3_IPV6 };
const AH: Wire = Wire { authentication: Authentication::Ah, ..V2 };

#[test]
fn ours_leads_in_version_2() {
    life(Kind::Alived, V2);
}

#[test]
fn keepalived_leads_in_version_2() {
    life(Kind::Keepalived, V2);
}

#[test]
fn ours_leads_in_version_2_with_a_password() {
    life(Kind::Alived, PASS);
}

#[test]
fn keepalived_leads_in_version_2_with_a_password() {
    life(Kind::Keepalived, PASS);
}

#[test]
fn ours_leads_in_version_2_with_an_authentication_header() {
    life(Kind::Alived, AH);
}

#[test]
fn keepalived_leads_in_version_2_with_an_authentication_header() {
    life(Kind::Keepalived, AH);
}

#[test]
fn ours_leads_in_version_3() {
    life(Kind::Alived, V3);
}

#[test]
fn keepalived_leads_in_version_3() {
    life(Kind::Keepalived, V3);
}

#[test]
fn ours_leads_in_version_3_over_ipv6() {
    life(Kind::Alived, V3_IPV6);
}

#[test]
fn keepalived_leads_in_version_3_over_ipv6() {
    life(Kind::Keepalived, V3_IPV6);
}

#[test]
fn ours_leads_in_version_2_by_unicast() {
    life(Kind::Alived, V2_UNICAST);
}

#[test]
fn keepalived_leads_in_version_2_by_unicast() {
    life(Kind::Keepalived, V2_UNICAST);
}

#[test]
fn ours_leads_in_version_3_by_unicast() {
    life(Kind::Alived, V3_UNICAST);
}

#[test]
fn keepalived_leads_in_version_3_by_unicast() {
    life(Kind::Keepalived, V3_UNICAST);
}

#[test]
fn ours_leads_in_version_3_over_ipv6_by_unicast() {
    life(Kind::Alived, V3_IPV6_UNICAST);
}

#[test]
fn keepalived_leads_in_version_3_over_ipv6_by_unicast() {
    life(Kind::Keepalived, V3_IPV6_UNICAST);
}

#[test]
fn ours_leads_a_sync_group() {
    life_of_group(Kind::Alived, V3);
}

#[test]
fn keepalived_leads_a_sync_group() {
    life_of_group(Kind::Keepalived, V3);
}

#[test]
fn ours_leads_a_sync_group_in_version_2_with_a_password() {
    life_of_group(Kind::Alived, PASS);
}

#[test]
fn keepalived_leads_a_sync_group_over_ipv6() {
    life_of_group(Kind::Keepalived, V3_IPV6);
}

/// Two routers with two virtual routers in a sync group, the first one (preferred) run by `leader`: what fails one
/// member moves both, there and back.
fn life_of_group(leader: Kind, wire: Wire) {
    let Some(mut stage) = set(leader, wire, true) else { return };
    settle_group(&mut stage, "the first election", 0);
    for front in [1, 0] {
        stage.lab.set_cable_of(0, front, false).unwrap();
        settle_group(&mut stage, &format!("the loss of the master's cable {front}"), 1);
        stage.lab.set_cable_of(0, front, true).unwrap();
        settle_group(&mut stage, &format!("the return of cable {front}"), 0);
    }
    stage.lab.set_cable_of(1, 1, false).unwrap();
    settle_group(&mut stage, "the loss of a backup's cable", 0);
    stage.lab.set_cable_of(1, 1, true).unwrap();
    stop(&mut stage, 0);
    settle_group(&mut stage, "an orderly stop of the master", 1);
    stage.start(0).unwrap();
    settle_group(&mut stage, "the preferred router's return", 0);
}

/// As [`settle`]; the address of the second segment is where that of the first one is.
fn settle_group(stage: &mut Stage, event: &str, master: usize) {
    settle(stage, event, master);
    let second = stage.lab.layout.second_gateway();
    for (router, holds) in [(master, true), (1 - master, false)] {
        let complaint = format!("after {event}: r{} and the second address", router + 1);
        let wait = stage.wait(&complaint, std::time::Duration::from_secs(10), |stage| {
            Ok(stage.lab.holds(router, second)? == holds)
        });
        wait.unwrap_or_else(|error| panic!("{error}"));
    }
}

/// Both routers through everything that happens to a pair, the first one (preferred) run by `leader`.
fn life(leader: Kind, wire: Wire) {
    let Some(mut stage) = set(leader, wire, false) else { return };
    settle(&mut stage, "the first election", 0);

    let processes = stage.lab.daemon(0).unwrap().freeze().unwrap();
    stage.lab.daemon(0).unwrap().kill(&processes).unwrap();
    settle(&mut stage, "SIGKILL of the master", 1);

    stage.start(0).unwrap();
    settle(&mut stage, "the preferred router's return after SIGKILL", 0);

    let processes = stage.lab.daemon(1).unwrap().freeze().unwrap();
    stage.lab.daemon(1).unwrap().kill(&processes).unwrap();
    settle(&mut stage, "SIGKILL of the backup", 0);
    stage.start(1).unwrap();
    settle(&mut stage, "the backup's return", 0);

    stop(&mut stage, 0);
    settle(&mut stage, "an orderly stop of the master", 1);
    let gateway = stage.lab.layout.gateway();
    assert!(!stage.lab.holds(0, gateway).unwrap(), "the stopped router still holds the address");

    stage.start(0).unwrap();
    settle(&mut stage, "the preferred router's return after a stop", 0);

    stage.lab.set_cable(0, false).unwrap();
    settle(&mut stage, "the loss of the master's cable", 1);
    stage.lab.set_cable(0, true).unwrap();
    settle(&mut stage, "the cable's return", 0);

    // Each side believes the other gone; the host is on the backup's side.
    stage.lab.set_partition(0, true).unwrap();
    stage
        .wait("the backup does not take over its part", std::time::Duration::from_secs(30), |stage| {
            stage.lab.holds(1, gateway)
        })
        .unwrap_or_else(|error| panic!("{error}"));
    stage.lab.set_partition(0, false).unwrap();
    settle(&mut stage, "the end of a partition", 0);

    stop(&mut stage, 1);
    settle(&mut stage, "an orderly stop of the backup", 0);
    stop(&mut stage, 0);
    assert!(!stage.lab.holds(0, gateway).unwrap(), "the last router to stop still holds the address");
}

/// The routers, started; `None` where they cannot be.
fn set(
    leader: Kind,
    Wire { version, family, authentication, unicast }: Wire,
    sync_group: bool,
) -> Option<Stage> {
    let test = std::thread::current().name().unwrap().to_owned();
    let Some(keepalived) = Program::keepalived() else {
        skip::skip(&test, "keepalived is not installed");
        return None;
    };
    if let Err(error) = Namespace::create() {
        skip::skip(&test, &format!("no right to create network namespaces ({error}), run as root"));
        return None;
    }
    let ours = Program::new(Kind::Alived, env!("CARGO_BIN_EXE_alived"));
    let programs = match leader {
        Kind::Alived => vec![ours, keepalived],
        Kind::Keepalived => vec![keepalived, ours],
    };
    let interval = match version {
        Version::V2 => AdvertisementInterval::ONE_SECOND,
        Version::V3 => AdvertisementInterval::from_centiseconds(10).unwrap(),
    };
    let plan = Plan {
        version,
        family,
        interval,
        addresses: 1,
        sync_group,
        authentication,
        unicast,
        virtual_mac: false,
        programs,
        service: None,
        scenarios: Vec::new(),
    };
    Some(Stage::set(plan).unwrap_or_else(|error| panic!("no election: {error}")))
}

fn settle(stage: &mut Stage, event: &str, master: usize) {
    if let Err(error) = stage.settle(master) {
        panic!("after {event}: {error}");
    }
}

fn stop(stage: &mut Stage, router: usize) {
    let daemon = stage.lab.daemon(router).unwrap();
    daemon.signal(libc::SIGTERM);
    let status = daemon.wait(std::time::Duration::from_secs(10)).unwrap();
    let status = status.unwrap_or_else(|| panic!("the stopped daemon does not end: {}", daemon.log()));
    assert!(status.success(), "the stopped daemon ended with {status}: {}", daemon.log());
}
