//! Authentication on a LAN in virtual time: recordings that are sent again, clocks that differ and are set, daemons that
//! are killed or started anew meanwhile.

use alived::secret::Secret;
use alived::sim::{Fault, Flood, Forgery, MachineSpec};
use alived::time::Duration;
use alived::vrrp::{AntiReplay, HmacConfig, HmacMode, RouterConfig, State};
use alived::wire::vrrp::{AdvertisementInterval, AuthenticationData, HmacKey, Version};

use super::lan::{IMPATIENT, LAN, Lan, NAME, R1, R2, node, router};

pub(crate) const KEY: [u8; 32] = [7; 32];

pub(crate) fn signing(priority: u8, anti_replay: AntiReplay) -> RouterConfig {
    let hmac = HmacConfig {
        keys: [(1, HmacKey::new(&KEY).unwrap())].into(),
        active: 1,
        anti_replay,
        window: Duration::from_secs(5),
        mode: HmacMode::Enforce,
    };
    RouterConfig { hmac: Some(Box::new(hmac)), ..router(priority) }
}

fn sealing(priority: u8) -> RouterConfig {
    RouterConfig {
        version: Version::V2,
        interval: AdvertisementInterval::ONE_SECOND,
        authentication: AuthenticationData::AuthenticationHeader(Secret::new(*b"secret12")),
        ..router(priority)
    }
}

const TIMED: fn(u8) -> RouterConfig = |priority| signing(priority, AntiReplay::Time);
const GROWING: fn(u8) -> RouterConfig = |priority| signing(priority, AntiReplay::Monotonic);
const PASSWORD: fn(u8) -> RouterConfig = |priority| RouterConfig {
    authentication: AuthenticationData::SimplePassword(Secret::new(*b"secret12")),
    ..sealing(priority)
};

/// Each kind of authentication that recordings are refused by.
fn each(course: impl Fn(&mut Lan)) {
    for make in [TIMED, GROWING, sealing] {
        let mut lan = Lan::started([make(150), make(100)]);
        lan.assert_served_by(R1);
        course(&mut lan);
    }
}

/// Sent again without end, as fast as it goes.
fn replay(lan: &mut Lan) {
    lan.apply(Fault::Replayed(IMPATIENT, Duration::from_millis(1), 10_000));
}

#[test]
fn a_recording_keeps_nobody_from_becoming_master() {
    each(|lan| {
        lan.run(5_000);
        lan.apply(Fault::CablePulled(R1, LAN));
        let begin = lan.now();
        replay(lan);
        lan.run(5_000);
        assert_eq!(lan.cluster.masters(NAME), [R2].into(), "{}", lan.cluster.timeline());
        lan.run(10_000);
        assert_eq!(lan.since(begin, "-> MASTER").len(), 1, "{}", lan.cluster.timeline());
        assert_eq!(lan.cluster.masters(NAME), [R2].into());
        lan.apply(Fault::CablePlugged(R1, LAN));
        lan.settle();
        lan.assert_served_by(R1);
    });
}

#[test]
fn who_does_not_know_the_secret_is_nobody_s_master_and_nobody_s_rival() {
    let stranger = |make: &dyn Fn(u8) -> RouterConfig| {
        let mut like = make(254);
        let wrong = Secret::new(*b"guessed!");
        like.authentication = match like.authentication {
            AuthenticationData::None => AuthenticationData::None,
            AuthenticationData::SimplePassword(_) => AuthenticationData::SimplePassword(wrong),
            AuthenticationData::AuthenticationHeader(_) => AuthenticationData::AuthenticationHeader(wrong),
        };
        if let Some(hmac) = &mut like.hmac {
            hmac.keys = [(1, HmacKey::new(&[8; 32]).unwrap())].into();
        }
        Flood { like: like.into(), forgery: Forgery::Stranger, pause: Duration::from_millis(50) }
    };
    for make in [TIMED, GROWING, sealing, PASSWORD] {
        let mut lan = Lan::started([make(150), make(100)]);
        let begin = lan.now();
        lan.apply(Fault::Flooded(IMPATIENT, stranger(&make)));
        lan.run(10_000);
        assert_eq!(lan.transitions(begin), 0, "{}", lan.cluster.timeline());
        lan.assert_fails_over_and_back();
        for machine in [R1, R2] {
            assert!(!lan.since(begin, "10.0.0.241").is_empty(), "{machine} does not tell of it");
        }
    }
}

#[test]
fn a_recording_takes_a_mastership_from_nobody() {
    each(|lan| {
        // R2 was master, with an election behind it.
        lan.apply(Fault::CablePulled(R1, LAN));
        lan.run(10_000);
        lan.apply(Fault::CablePlugged(R1, LAN));
        lan.settle();
        let begin = lan.now();
        replay(lan);
        lan.run(30_000);
        assert_eq!(lan.transitions(begin), 0, "{}", lan.cluster.timeline());
        lan.assert_served_by(R1);
    });
}

#[test]
fn a_step_of_a_running_clock_is_harmless_with_stamps_that_only_grow() {
    let mut lan = Lan::started([signing(150, AntiReplay::Monotonic), signing(100, AntiReplay::Monotonic)]);
    let begin = lan.now();
    for hours in [1_i64, -2, 24, -100, 77] {
        for machine in [R1, R2] {
            lan.apply(Fault::WallClockJumped(machine, hours * 3_600_000_000));
            lan.run(2_000);
        }
    }
    assert_eq!(lan.transitions(begin), 0, "{}", lan.cluster.timeline());
    // Nor does it harm who is killed and started anew, or in the place of the killed one.
    for restart in [Fault::Started(R1), Fault::Respawned(R1)] {
        lan.apply(Fault::WallClockJumped(R1, -50_000_000_000));
        lan.run(100);
        lan.apply(Fault::Crashed(R1));
        lan.run(10);
        lan.apply(restart);
        lan.settle();
        lan.assert_served_by(R1);
    }
}

#[test]
fn who_has_another_time_is_named_and_heard_again_when_its_clock_is_set() {
    for step in [40_000_000_i64, -40_000_000] {
        let mut lan = Lan::started([signing(150, AntiReplay::Time), signing(100, AntiReplay::Time)]);
        let begin = lan.now();
        lan.apply(Fault::WallClockJumped(R2, step));
        lan.run(20_000);
        assert_eq!(lan.cluster.masters(NAME), [R1, R2].into(), "{}", lan.cluster.timeline());
        for own in ["10.0.0.1", "10.0.0.2"] {
            let named = lan.since(begin, &format!("the clock of {own} is "));
            assert_eq!(named.len(), 1, "{own}: {}", lan.cluster.timeline());
        }
        lan.apply(Fault::WallClockJumped(R2, -step));
        let set = lan.now();
        lan.run(1_000);
        assert_eq!(lan.cluster.masters(NAME), [R1].into(), "{}", lan.cluster.timeline());
        assert!(lan.delay(set, "agrees with ours again") < 300);
        lan.settle();
        lan.assert_served_by(R1);
    }
}

/// A word that nobody outside can tell whether it was believed: numbered like one that its receiver sent itself since.
#[test]
fn who_hears_a_new_master_leave_need_not_listen_for_a_master_down_time() {
    let machine = |router| MachineSpec { config: node(router), ..MachineSpec::default() };
    let mut lan = Lan::of([sealing(150), sealing(100)].map(machine).into());
    let [first, second] = [R1, R2].map(|id| lan.cluster.machine_port(id, LAN));
    // Who is new goes on from where all are: the clock of R1 is ahead, so that R2 believes it.
    lan.apply(Fault::WallClockJumped(R1, 1 << 41));
    lan.apply(Fault::Cut(first, second));
    lan.apply(Fault::Cut(second, first));
    lan.apply(Fault::Started(R1));
    lan.apply(Fault::Started(R2));
    lan.run(5_000);
    assert_eq!(lan.cluster.masters(NAME), [R1, R2].into());
    // R1 does not hear the last word of R2, and so does not count on from there.
    lan.apply(Fault::HealNetwork);
    lan.apply(Fault::Cut(second, first));
    for _ in 0..2_000 {
        if lan.cluster.masters(NAME) == [R1].into() {
            break;
        }
        lan.run(1);
    }
    lan.assert_state(R2, State::Backup);
    let stopped = lan.now();
    lan.apply(Fault::Stopped(R1));
    lan.run(2_000);
    lan.assert_state(R2, State::Master);
    let skew_time = 1_000 * (256 - 100) / 256;
    let delay = lan.delay(stopped, "BACKUP -> MASTER");
    assert!((skew_time..skew_time + 50).contains(&delay), "{delay}\n{}", lan.cluster.timeline());
}
