//! Who is master, and when.

use alived::net::{Family, Prefix};
use alived::sim::machine::interface_name;
use alived::sim::network::{Conditions, Ratio};
use alived::sim::{Fault, MachineSpec};
use alived::time::{Duration, Instant};
use alived::vrrp::{InitialState, RouterConfig, State};
use alived::wire::vrrp::{AdvertisementInterval, Priority, Version, Vrid};

use super::lan::{LAN, Lan, NAME, R1, R2, R3, centiseconds, node, router, virtual_address};

#[test]
fn the_highest_priority_is_elected() {
    let lan = Lan::started([router(100), router(150), router(120)]);
    lan.assert_served_by(R2);
}

#[test]
fn a_router_that_is_heard_is_told_of_once() {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.run(5_000);
    let heard = lan.since(Instant::ZERO, "is heard for the first time, priority 150");
    assert_eq!(heard.len(), 1, "{}", lan.cluster.timeline());
    assert_eq!(heard[0].actor, "r2");
    assert!(heard[0].text.contains("10.0.0.1 is heard"), "{}", heard[0].text);
    // Whoever comes back knows nobody.
    let back = lan.now();
    lan.assert_fails_over_and_back();
    assert_eq!(
        lan.since(back, "is heard for the first time, priority 100").len(),
        1,
        "{}",
        lan.cluster.timeline()
    );
}

#[test]
fn failover_on_power_loss_takes_a_master_down_time() {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.assert_served_by(R1);
    let lost = lan.now();
    lan.apply(Fault::PowerLost(R1));
    lan.settle();
    lan.assert_served_by(R2);
    // Counted from the last advertisement, up to 100 ms before: 3 x 100 ms and a skew of 60.9 ms.
    let delay = lan.delay(lost, "-> MASTER: master 10.0.0.1 not heard");
    assert!((260..=362).contains(&delay), "{delay}");
}

#[test]
fn failover_of_version_2_counts_in_seconds() {
    let v2 = |priority| RouterConfig {
        version: Version::V2,
        interval: AdvertisementInterval::ONE_SECOND,
        ..router(priority)
    };
    let mut lan = Lan::started([v2(150), v2(100)]);
    let lost = lan.now();
    lan.apply(Fault::PowerLost(R1));
    lan.settle();
    lan.assert_served_by(R2);
    let delay = lan.delay(lost, "-> MASTER");
    assert!((2_609..=3_611).contains(&delay), "{delay}");
}

#[test]
fn graceful_stop_hands_over_within_the_skew_time() {
    let mut lan = Lan::started([router(150), router(100)]);
    let stopped = lan.now();
    lan.apply(Fault::Stopped(R1));
    lan.settle();
    lan.assert_served_by(R2);
    let delay = lan.delay(stopped, "-> MASTER: master 10.0.0.1 left");
    assert!((60..=63).contains(&delay), "{delay}");
    assert_eq!(lan.since(stopped, "daemon stopped").len(), 1);
    assert_eq!(lan.cluster.state(R1, NAME), None);
}

#[test]
fn priority_zero_is_obeyed_by_all_and_the_best_takes_over() {
    let mut lan = Lan::started([router(200), router(100), router(150)]);
    let stopped = lan.now();
    lan.apply(Fault::Stopped(R1));
    lan.settle();
    lan.assert_served_by(R3);
    assert_eq!(lan.transitions(stopped), 2, "one leaves, one takes over:\n{}", lan.cluster.timeline());
}

#[test]
fn the_preferred_router_takes_back_on_its_return() {
    let mut lan = Lan::started([router(150), router(100)]);
    lan.assert_fails_over_and_back();
    assert_eq!(lan.since(Instant::ZERO, "preempting master 10.0.0.2").len(), 1);
}

#[test]
fn nopreempt_keeps_the_successor() {
    let mut lan = Lan::started([RouterConfig { preempt: false, ..router(150) }, router(100)]);
    lan.assert_served_by(R1);
    lan.apply(Fault::PowerLost(R1));
    lan.settle();
    lan.apply(Fault::Booted(R1));
    lan.apply(Fault::Started(R1));
    lan.settle();
    lan.assert_served_by(R2);
    lan.apply(Fault::Stopped(R2));
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn preempt_delay_delays_only_the_preemption_of_a_living_master() {
    let slow = RouterConfig { preempt_delay: Duration::from_secs(5), ..router(150) };
    let mut lan = Lan::started([slow, router(100)]);
    lan.apply(Fault::PowerLost(R1));
    lan.settle();
    lan.apply(Fault::Booted(R1));
    let returned = lan.now();
    lan.apply(Fault::Started(R1));
    lan.settle();
    lan.assert_served_by(R1);
    let delay = lan.delay(returned, "-> MASTER");
    assert!((5_000..5_700).contains(&delay), "{delay}");
    // A dead master is replaced at once.
    lan.apply(Fault::PowerLost(R1));
    lan.settle();
    lan.apply(Fault::Booted(R1));
    lan.apply(Fault::Started(R1));
    lan.run(1_000);
    let died = lan.now();
    lan.apply(Fault::PowerLost(R2));
    lan.settle();
    assert!(lan.delay(died, "-> MASTER") < 400);
}

#[test]
fn equal_priorities_stay_where_they_are() {
    let mut lan = Lan::started([router(100), router(100)]);
    let master = *lan.cluster.masters(NAME).first().unwrap();
    let since = lan.now();
    lan.run(60_000);
    assert_eq!(lan.transitions(since), 0);
    lan.assert_served_by(master);
}

#[test]
fn of_two_masters_with_equal_priority_the_higher_address_wins() {
    let mut lan = Lan::started([router(100), router(100)]);
    lan.apply(Fault::Partition(LAN, vec![lan.cluster.machine_port(R1, LAN)]));
    lan.run(1_000);
    assert_eq!(lan.cluster.masters(NAME), [R1, R2].into());
    lan.apply(Fault::HealNetwork);
    lan.settle();
    lan.assert_served_by(R2);
}

#[test]
fn a_partition_heals_to_the_preferred_router() {
    let mut lan = Lan::started([router(150), router(100), router(120)]);
    let islanders = [R2, R3].map(|id| lan.cluster.machine_port(id, LAN));
    lan.apply(Fault::Partition(LAN, islanders.into()));
    lan.run(2_000);
    assert_eq!(lan.cluster.masters(NAME), [R1, R3].into());
    lan.apply(Fault::HealNetwork);
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn a_one_way_cut_makes_two_masters_and_heals() {
    let mut lan = Lan::started([router(150), router(100)]);
    let (a, b) = (lan.cluster.machine_port(R1, LAN), lan.cluster.machine_port(R2, LAN));
    lan.apply(Fault::Cut(a, b));
    lan.run(2_000);
    assert_eq!(lan.cluster.masters(NAME), [R1, R2].into());
    lan.apply(Fault::HealNetwork);
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn the_owner_is_master_without_waiting() {
    let owner = RouterConfig { priority: Priority::OWNER, initial: InitialState::Master, ..router(255) };
    let mut lan = Lan::started([owner, router(200)]);
    lan.assert_served_by(R1);
    lan.apply(Fault::PowerLost(R1));
    lan.settle();
    lan.assert_served_by(R2);
    lan.apply(Fault::Booted(R1));
    let back = lan.now();
    lan.apply(Fault::Started(R1));
    lan.settle();
    lan.assert_served_by(R1);
    assert!(lan.delay(back, "-> MASTER: owner") < 50);
}

#[test]
fn a_version_3_backup_follows_its_masters_interval_and_then_its_own() {
    let slow = RouterConfig { interval: centiseconds(100), ..router(150) };
    let quick = router(100);
    let mut lan = Lan::started([slow, quick, router(50)]);
    lan.assert_served_by(R1);
    assert!(!lan.since(Instant::ZERO, "advertisement interval of master 10.0.0.1 is 1 sec").is_empty());
    let lost = lan.now();
    lan.apply(Fault::PowerLost(R1));
    lan.settle();
    lan.assert_served_by(R2);
    let delay = lan.delay(lost, "-> MASTER");
    assert!((2_600..=3_612).contains(&delay), "{delay}");
    let lost = lan.now();
    lan.apply(Fault::PowerLost(R2));
    lan.settle();
    lan.assert_served_by(R3);
    let delay = lan.delay(lost, "-> MASTER");
    assert!((270..=382).contains(&delay), "followed the interval of the new master: {delay}");
}

#[test]
fn the_last_word_of_a_beaten_master_does_not_shorten_the_wait_for_the_winner() {
    // The others would be through with waiting before the winner, which answers no rival, sends again.
    let slow = RouterConfig { interval: centiseconds(100), lower_prio_no_advert: true, ..router(150) };
    let mut lan = Lan::started([slow, router(100), router(100)]);
    lan.apply(Fault::Partition(LAN, vec![lan.cluster.machine_port(R2, LAN)]));
    lan.run(10_000);
    assert_eq!(lan.cluster.masters(NAME), [R1, R2].into());
    let healed = lan.now();
    lan.apply(Fault::HealNetwork);
    lan.settle();
    lan.assert_served_by(R1);
    assert_eq!(lan.transitions(healed), 1, "{}", lan.cluster.timeline());
}

#[test]
fn who_took_over_from_a_dead_master_is_followed_with_its_own_interval() {
    let slow = RouterConfig { interval: centiseconds(50), ..router(200) };
    let mut lan = Lan::started([slow, router(100), router(150)]);
    let lost = lan.now();
    lan.apply(Fault::PowerLost(R1));
    while !lan.cluster.masters(NAME).contains(&R3) {
        lan.run(1);
    }
    lan.run(300);
    let lost_again = lan.now();
    lan.apply(Fault::PowerLost(R3));
    lan.run(500);
    lan.assert_served_by(R2);
    assert_eq!(lan.transitions(lost), 2, "{}", lan.cluster.timeline());
    assert!(lan.delay(lost_again, "-> MASTER") < 370);
}

#[test]
fn one_lost_advertisement_elects_nobody() {
    let mut lan = Lan::started([router(150), router(100)]);
    let since = lan.now();
    for _ in 0..50 {
        lan.apply(Fault::Conditions(LAN, Conditions { loss: Ratio::ALWAYS, ..Conditions::HEALTHY }));
        lan.run(190);
        lan.apply(Fault::HealNetwork);
        lan.run(150);
    }
    assert_eq!(lan.transitions(since), 0);
}

#[test]
fn damaged_and_duplicated_advertisements_change_nothing() {
    let mut lan = Lan::started([router(150), router(100)]);
    let since = lan.now();
    let conditions = Conditions {
        damage: Ratio::percent(20),
        duplication: Ratio::percent(50),
        reordering: Ratio::percent(50),
        reordering_delay: Duration::from_millis(60),
        ..Conditions::HEALTHY
    };
    lan.apply(Fault::Conditions(LAN, conditions));
    lan.run(2_000);
    assert_eq!(lan.transitions(since), 0);
    assert!(!lan.since(since, "Invalid VRRPv3 checksum from 10.0.0.1").is_empty(), "damage is noticed");
}

#[test]
fn ipv6_elects_and_fails_over() {
    let v6 = |priority| {
        let vip = Prefix::new("2001:db8::100".parse().unwrap(), 64).unwrap();
        RouterConfig {
            version: Version::V3,
            priority: Priority(priority),
            interval: centiseconds(10),
            addresses: vec![virtual_address(vip)],
            ..RouterConfig::new(NAME, Vrid::new(51).unwrap(), Family::Ipv6, interface_name(LAN))
        }
    };
    let mut lan = Lan::started([v6(150), v6(100)]);
    assert_eq!(lan.cluster.masters(NAME), [R1].into());
    lan.apply(Fault::PowerLost(R1));
    lan.settle();
    assert_eq!(lan.cluster.masters(NAME), [R2].into());
    assert!(lan.cluster.holds(R2, &"2001:db8::100".parse().unwrap()));
}

#[test]
fn an_owner_that_sends_from_its_virtual_address_is_obeyed_by_who_held_it() {
    let vip = Prefix::new("fe80::aaaa:0".parse().unwrap(), 64).unwrap();
    let v6 = |priority, initial| RouterConfig {
        version: Version::V3,
        priority: Priority(priority),
        initial,
        interval: centiseconds(10),
        addresses: vec![virtual_address(vip)],
        ..RouterConfig::new(NAME, Vrid::new(51).unwrap(), Family::Ipv6, interface_name(LAN))
    };
    let owner = node(v6(255, InitialState::Master));
    let backup = node(v6(50, InitialState::Backup));
    let mut lan = Lan::of(vec![
        MachineSpec { config: owner, foreign: vec![(LAN, vip)], ..MachineSpec::default() },
        MachineSpec { config: backup, ..MachineSpec::default() },
    ]);
    lan.start_all();
    lan.apply(Fault::OwnAddressRemoved(R1, LAN));
    lan.apply(Fault::Partition(LAN, vec![lan.cluster.machine_port(R2, LAN)]));
    lan.run(1_000);
    lan.assert_state(R1, State::Master);
    lan.assert_state(R2, State::Master);
    // It does not learn yet that its kernel has given up the address.
    lan.apply(Fault::NotificationsLost(R2, Duration::from_secs(2)));
    lan.apply(Fault::HealNetwork);
    while lan.cluster.masters(NAME).contains(&R2) {
        lan.run(1);
    }
    let stopped = lan.now();
    lan.apply(Fault::Stopped(R1));
    lan.run(500);
    lan.assert_state(R2, State::Master);
    assert!(lan.delay(stopped, "-> MASTER: master fe80::aaaa:0 left") < 100);
}

#[test]
fn startup_delay_holds_a_router_back() {
    let mut config = node(router(150));
    config.startup_delay = Duration::from_secs(3);
    let mut lan = Lan::started([router(150), router(100)]);
    lan.apply(Fault::PowerLost(R1));
    lan.settle();
    lan.apply(Fault::Booted(R1));
    lan.apply(Fault::Reloaded(R1, config));
    let back = lan.now();
    lan.apply(Fault::Started(R1));
    lan.settle();
    lan.assert_served_by(R1);
    assert!(lan.delay(back, "-> MASTER") >= 3_000);
}

#[test]
fn wall_clock_jumps_do_not_matter() {
    let mut lan = Lan::started([router(150), router(100)]);
    let since = lan.now();
    for us in [-1_000_000_000_000, 7_000_000_000_000] {
        for id in [R1, R2] {
            lan.apply(Fault::WallClockJumped(id, us));
            lan.run(1_000);
        }
    }
    assert_eq!(lan.transitions(since), 0);
    lan.assert_state(R1, State::Master);
}

#[test]
fn who_stood_still_long_enough_for_another_to_take_over_gives_up() {
    let careful = RouterConfig { preempt: false, timer_expired_backup: Some(Priority(100)), ..router(150) };
    let mut lan = Lan::started([careful, router(100)]);
    lan.assert_served_by(R1);
    let short = lan.now();
    lan.apply(Fault::Frozen(R1));
    lan.run(150);
    lan.apply(Fault::Thawed(R1));
    lan.settle();
    assert_eq!(lan.transitions(short), 0, "{}", lan.cluster.timeline());
    lan.apply(Fault::Frozen(R1));
    lan.run(1_000);
    lan.assert_state(R2, State::Master);
    let thawed = lan.now();
    lan.apply(Fault::Thawed(R1));
    lan.run(100);
    let reason = "MASTER -> BACKUP: stood still, silent for";
    assert!(lan.delay(thawed, reason) < 50, "{}", lan.cluster.timeline());
    assert_eq!(lan.cluster.masters(NAME), [R2].into());
    lan.settle();
    lan.assert_served_by(R2);
    // Without another one it is master again.
    lan.apply(Fault::PowerLost(R2));
    lan.settle();
    lan.assert_served_by(R1);
}

#[test]
fn virtual_routers_that_are_not_configured_here_are_told() {
    let stranger = RouterConfig { vrid: Vrid::new(99).unwrap(), ..router(100) };
    let stranger = RouterConfig { addresses: vec![virtual_address(super::lan::prefix(9, 24))], ..stranger };
    for tells in [false, true] {
        let mut config = node(router(150));
        config.log_unknown_vrids = tells;
        let machine = |config| MachineSpec { config, ..MachineSpec::default() };
        let mut lan = Lan::of(vec![machine(config), machine(node(stranger.clone()))]);
        lan.apply(Fault::Started(R1));
        lan.apply(Fault::Started(R2));
        lan.run(30_000);
        let told = lan.since(Instant::ZERO, "IPv4 advertisement for VRID 99 from 10.0.0.2 on interface eth0");
        assert_eq!(told.len(), usize::from(tells), "{}", lan.cluster.timeline());
    }
}
