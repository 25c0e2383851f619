//! Each rule of `alived::sim::invariants` is broken on purpose, by a daemon or driver that does wrong, and
//! the rule must see it. The same course of events without the wrong must break none.

use alived::kernel::{
    AddressOperation, AddressRequest, AddressSpec, KernelEvent, KernelRequest, Requester, RouterId,
    ScriptEnd, Verb,
};
use alived::net::InterfaceIndex;
use alived::node::{Event, NodeConfig};
use alived::sim::frame::{Glance, Packet};
use alived::sim::invariants::{Rule, Violation};
use alived::sim::machine::own_addresses;
use alived::sim::process::Sabotage;
use alived::sim::{Fault, MachineId, MachineSpec};
use alived::time::{Duration, Now};
use alived::track::{FileReading, Tracker};
use alived::vrrp::{Actions, AntiReplay, Cause, News, State, Transmission};
use alived::wire::ip::IpFields;
use alived::wire::vrrp::{HmacKey, Stamp};

use super::authentication::{KEY, signing};
use super::lan::{IMPATIENT, LAN, Lan, R1, R2, node, prefix, router, with_statics};
use super::statics::on_other_lan;
use super::sync_groups::{OTHER, OTHER_LAN, pair};
use super::tracking::{CHECK, LOAD, WEB, delayed, tracking};
use super::virtual_mac::on_virtual_mac;

/// Runs a course of events without and with a saboteur on a machine; gives the rules then broken.
fn sabotaged(
    machines: &[MachineId],
    make: impl Fn() -> Box<dyn Sabotage>,
    course: impl Fn(&mut Lan),
) -> Vec<Violation> {
    sabotaged_with(&with_own_static(150), machines, make, course)
}

/// A router, and a static address that no other priority has.
fn with_own_static(priority: u8) -> NodeConfig {
    with_statics(router(priority), &[prefix(priority / 2, 24)])
}

/// The same with another configuration of the first router.
fn sabotaged_with(
    first: &NodeConfig,
    machines: &[MachineId],
    make: impl Fn() -> Box<dyn Sabotage>,
    course: impl Fn(&mut Lan),
) -> Vec<Violation> {
    sabotaged_pair([first, &with_own_static(100)], machines, make, course)
}

/// The same with other configurations.
fn sabotaged_pair(
    configs: [&NodeConfig; 2],
    machines: &[MachineId],
    make: impl Fn() -> Box<dyn Sabotage>,
    course: impl Fn(&mut Lan),
) -> Vec<Violation> {
    let fresh = || {
        let machine = |config: &NodeConfig| MachineSpec { config: config.clone(), ..MachineSpec::default() };
        Lan::of(configs.into_iter().map(machine).collect())
    };
    let run = |lan: &mut Lan| {
        for id in [R1, R2] {
            lan.apply(Fault::Started(id));
        }
        lan.cluster.settle();
        course(lan);
        lan.cluster.settle();
    };
    let mut honest = fresh();
    run(&mut honest);
    assert_eq!(honest.cluster.violations(), [], "{}", honest.cluster.timeline());
    let mut lan = fresh();
    for machine in machines {
        lan.cluster.sabotage(*machine, make());
    }
    run(&mut lan);
    lan.cluster.violations().to_vec()
}

#[track_caller]
fn assert_seen(broken: &[Violation], rule: Rule, machine: Option<MachineId>) {
    let seen = broken.iter().any(|violation| violation.rule == rule && violation.machine == machine);
    assert!(seen, "{rule:?} not among {broken:#?}");
}

const ETH0: u32 = 2;

fn eth0() -> InterfaceIndex {
    InterfaceIndex::new(ETH0).unwrap()
}

/// Changes what the node wants done.
struct Tamper<F>(F);

impl<F> core::fmt::Debug for Tamper<F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Tamper")
    }
}

impl<F: FnMut(Now, &mut Actions)> Sabotage for Tamper<F> {
    fn act(&mut self, now: Now, actions: &mut Actions) {
        self.0(now, actions);
    }
}

/// Drops the address operations of a kind.
fn without(verb: Verb) -> Box<dyn Sabotage> {
    Box::new(Tamper(move |_, actions: &mut Actions| {
        for request in actions.kernel.iter_mut().filter_map(KernelRequest::addresses_mut) {
            request.operations.retain(|operation| operation.verb != verb);
        }
    }))
}

#[derive(Debug)]
struct NeverServed;

impl Sabotage for NeverServed {
    fn serve(&mut self) -> bool {
        false
    }
}

#[derive(Debug)]
struct Deaf;

impl Sabotage for Deaf {
    fn hear(&mut self, _: Option<Glance>) -> bool {
        false
    }
}

/// Is not told that a cable was pulled.
#[derive(Debug)]
struct DeafToCables;

impl Sabotage for DeafToCables {
    fn tell(&mut self, event: &Event) -> bool {
        !matches!(event, Event::Kernel(KernelEvent::LinkChanged(link)) if !link.running)
    }
}

#[test]
fn a_master_in_fault_is_seen() {
    let course = |lan: &mut Lan| lan.apply(Fault::CablePulled(R1, LAN));
    assert_seen(&sabotaged(&[R1], || Box::new(DeafToCables), course), Rule::MasterInFault, Some(R1));
}

#[test]
fn a_master_whose_check_fails_is_seen() {
    #[derive(Debug)]
    struct Untold;
    impl Sabotage for Untold {
        fn tell(&mut self, event: &Event) -> bool {
            !matches!(event, Event::Script { end: ScriptEnd::Failure, .. })
        }
    }
    let fails = |lan: &mut Lan| lan.apply(Fault::ScriptFails(R1, CHECK.into(), true));
    let broken = |weight| {
        let mut first = tracking(Tracker::Script(CHECK.into()), weight);
        first.tracking.scripts[0].fall = core::num::NonZeroU32::MIN;
        sabotaged_with(&first, &[R1], || Box::new(Untold), fails)
    };
    assert_seen(&broken(0), Rule::MasterInFault, Some(R1));
    // With a weight it stays master although another one has a higher priority.
    assert_seen(&broken(-100), Rule::WrongMaster, Some(R1));
}

#[test]
fn a_master_that_is_not_told_of_its_files_and_processes_is_seen() {
    #[derive(Debug)]
    struct Untold;
    impl Sabotage for Untold {
        fn tell(&mut self, event: &Event) -> bool {
            let good = [FileReading::Number(0), FileReading::Number(7)];
            match event {
                Event::File { reading, .. } => good.contains(reading),
                Event::Processes { count, .. } => *count > 0,
                _ => true,
            }
        }
    }
    for (tracker, fails) in [
        (Tracker::File(LOAD.into()), Fault::FileWritten(R1, LOAD.into(), 1)),
        (Tracker::Process(WEB.into()), Fault::ProcessesRun(R1, WEB.into(), 0)),
    ] {
        let broken = |weight| {
            let course = |lan: &mut Lan| {
                lan.apply(Fault::ProcessesRun(R1, WEB.into(), 1));
                lan.cluster.settle();
                lan.apply(fails.clone());
            };
            sabotaged_with(&tracking(tracker.clone(), weight), &[R1], || Box::new(Untold), course)
        };
        assert_seen(&broken(0), Rule::MasterInFault, Some(R1));
        // With a weight it stays master although another one has a higher priority.
        assert_seen(&broken(-100), Rule::WrongMaster, Some(R1));
    }
}

#[test]
fn a_master_whose_interface_never_comes_to_count_as_down_is_seen() {
    let course = |lan: &mut Lan| {
        lan.apply(Fault::CablePulled(R1, LAN));
        lan.cluster.run_for(Duration::from_secs(8));
    };
    let broken = sabotaged_with(&delayed(1, 0), &[R1], || Box::new(DeafToCables), course);
    assert_seen(&broken, Rule::MasterInFault, Some(R1));
}

#[test]
fn a_master_without_a_source_address_is_seen() {
    #[derive(Debug)]
    struct Untold;
    impl Sabotage for Untold {
        fn tell(&mut self, event: &Event) -> bool {
            !matches!(event, Event::Kernel(KernelEvent::AddressGone { .. }))
        }
    }
    let course = |lan: &mut Lan| lan.apply(Fault::OwnAddressRemoved(R1, LAN));
    assert_seen(&sabotaged(&[R1], || Box::new(Untold), course), Rule::MasterInFault, Some(R1));
}

#[test]
fn an_advertising_backup_is_seen() {
    let forger = || -> Box<dyn Sabotage> {
        Box::new(Tamper(|_, actions: &mut Actions| {
            actions.transmit.push(Transmission {
                router: RouterId(0),
                link: Some(eth0()),
                source: [10, 0, 0, 2].into(),
                destination: [224, 0, 0, 18].into(),
                ip: IpFields::vrrp(255),
                payload: [0x31, 51, 1, 0, 0, 10, 0, 0].into(),
            });
        }))
    };
    assert_seen(&sabotaged(&[R2], forger, |_| {}), Rule::AdvertisesWithoutMastership, Some(R2));
}

#[test]
fn a_master_that_speaks_to_whom_it_was_not_told_to_is_seen() {
    let chatty = || -> Box<dyn Sabotage> {
        Box::new(Tamper(|_, actions: &mut Actions| {
            if let Some(sent) = actions.transmit.first().cloned() {
                actions.transmit.push(Transmission { destination: [10, 0, 0, 2].into(), ..sent });
            }
        }))
    };
    assert_seen(&sabotaged(&[R1], chatty, |_| {}), Rule::SentAstray, Some(R1));
}

#[test]
fn advertising_during_a_switch_over_is_seen() {
    let repeater = || -> Box<dyn Sabotage> {
        let mut last: Option<Transmission> = None;
        Box::new(Tamper(move |_, actions: &mut Actions| {
            let lives = |sent: &&Transmission| Glance::of(&sent.payload).is_some_and(|g| g.priority > 0);
            match actions.transmit.iter().find(lives) {
                Some(sent) => last = Some(sent.clone()),
                None => actions.transmit.extend(last.clone()),
            }
        }))
    };
    let course = |lan: &mut Lan| {
        lan.apply(Fault::SwitchOver(R1));
        lan.cluster.run_for(Duration::from_millis(30));
        // Anything that wakes it up while it waits for its successor.
        lan.apply(Fault::NotificationsLost(R1, Duration::from_millis(1)));
        lan.cluster.run_for(Duration::from_millis(10));
    };
    assert_seen(&sabotaged(&[R1], repeater, course), Rule::AdvertisesWithoutMastership, Some(R1));
}

#[test]
fn an_address_kept_without_mastership_is_seen() {
    let broken = sabotaged(
        &[R1],
        || without(Verb::Remove),
        |lan| {
            lan.apply(Fault::CablePulled(R1, LAN));
            lan.cluster.run_for(Duration::from_secs(1));
        },
    );
    assert_seen(&broken, Rule::AddressWithoutMastership, Some(R1));
    assert_seen(&broken, Rule::AddressElsewhere, Some(R1));
}

#[test]
fn an_address_kept_after_the_last_router_is_removed_is_seen() {
    let broken = sabotaged(
        &[R1, R2],
        || without(Verb::Remove),
        |lan| {
            lan.apply(Fault::Reloaded(R1, NodeConfig::default()));
            lan.apply(Fault::Reloaded(R2, NodeConfig::default()));
        },
    );
    assert_seen(&broken, Rule::AddressElsewhere, Some(R1));
}

#[test]
fn a_static_address_that_is_not_there_is_seen() {
    let broken = sabotaged(&[R2], || without(Verb::Add), |_| {});
    assert_seen(&broken, Rule::StaticMissing, Some(R2));
}

#[test]
fn a_static_address_kept_after_a_reload_without_it_is_seen() {
    let course = |lan: &mut Lan| lan.apply(Fault::Reloaded(R2, node(router(100))));
    let broken = sabotaged(&[R2], || without(Verb::Remove), course);
    assert_seen(&broken, Rule::AddressElsewhere, Some(R2));
}

#[test]
fn the_removal_of_a_foreign_address_is_seen() {
    let vandal = || -> Box<dyn Sabotage> {
        Box::new(Tamper(|_, actions: &mut Actions| {
            let spec = AddressSpec::new(own_addresses(R2, LAN)[0]);
            let operation = AddressOperation::new(Verb::Remove, eth0(), spec);
            // No router gets an answer that it did not ask for.
            let requester = Requester::Router(RouterId(u32::MAX));
            let request = AddressRequest { requester, operations: vec![operation] };
            actions.kernel.push(KernelRequest::Addresses(request));
        }))
    };
    assert_seen(&sabotaged(&[R2], vandal, |_| {}), Rule::ForeignAddressRemoved, Some(R2));
}

#[test]
fn an_election_before_its_time_is_seen() {
    let broken = sabotaged(&[R2], || Box::new(Deaf), |_| {});
    assert_seen(&broken, Rule::ElectedTooEarly, Some(R2));
    assert_seen(&broken, Rule::NotOneMaster, None);
}

#[test]
fn a_daemon_that_never_sleeps_is_seen() {
    assert_seen(&sabotaged(&[R1], || Box::new(NeverServed), |_| {}), Rule::BusyLoop, Some(R1));
}

#[test]
fn routers_without_a_master_are_seen() {
    let broken = sabotaged(&[R1, R2], || Box::new(NeverServed), |_| {});
    assert_seen(&broken, Rule::NoMasterInTime, None);
    assert_seen(&broken, Rule::NotOneMaster, None);
}

#[test]
fn a_successor_that_does_not_come_is_seen_while_a_fault_lasts() {
    // The lower of two islands: R2 alone must elect itself, though the LAN is not whole.
    let broken = sabotaged(
        &[R2],
        || Box::new(NeverServed),
        |lan| {
            lan.apply(Fault::Partition(LAN, vec![lan.cluster.machine_port(R2, LAN)]));
            lan.cluster.run_for(Duration::from_secs(3));
            lan.apply(Fault::HealNetwork);
        },
    );
    assert_seen(&broken, Rule::NoMasterInTime, None);
}

#[test]
fn who_stood_still_and_stays_master_beside_its_successor_is_seen() {
    // It goes on, and nothing that it sends leaves.
    let mute = || -> Box<dyn Sabotage> {
        let mut last = None;
        let mut mute = false;
        Box::new(Tamper(move |now: Now, actions: &mut Actions| {
            let before = last.replace(now.instant).unwrap_or(now.instant);
            mute |= now.instant.saturating_since(before) > Duration::from_secs(1);
            if mute {
                actions.transmit.clear();
            }
        }))
    };
    let broken = sabotaged(&[R1], mute, |lan| {
        lan.apply(Fault::Frozen(R1));
        lan.cluster.run_for(Duration::from_secs(3));
        lan.apply(Fault::Thawed(R1));
        lan.cluster.run_for(Duration::from_millis(90));
    });
    assert_seen(&broken, Rule::StaleMaster, Some(R1));
}

#[test]
fn the_wrong_master_is_seen() {
    assert_seen(&sabotaged(&[R1], || Box::new(NeverServed), |_| {}), Rule::WrongMaster, Some(R2));
}

#[test]
fn a_missing_address_is_seen() {
    assert_seen(&sabotaged(&[R1], || without(Verb::Add), |_| {}), Rule::AddressMissing, Some(R1));
}

#[test]
fn a_misled_host_is_seen() {
    let mute = || -> Box<dyn Sabotage> {
        Box::new(Tamper(|_, actions: &mut Actions| {
            actions.announce.clear();
            for request in actions.kernel.iter_mut().filter_map(KernelRequest::addresses_mut) {
                request.operations.iter_mut().for_each(|operation| operation.announcement = None);
            }
        }))
    };
    let broken = sabotaged(&[R2], mute, |lan| {
        lan.apply(Fault::CablePulled(R1, LAN));
    });
    assert_seen(&broken, Rule::HostMisled, Some(R2));
}

#[test]
fn a_winner_that_does_not_announce_again_is_seen() {
    // R1 keeps being master all the time: its announcements after the beaten rival are what counts.
    let mute_later = || -> Box<dyn Sabotage> {
        let mut elected = None;
        Box::new(Tamper(move |now: Now, actions: &mut Actions| {
            if actions.transitions().any(|transition| transition.to == State::Master) {
                elected.get_or_insert(now.instant);
            }
            let late = elected.is_some_and(|at| now.instant.saturating_since(at).as_secs() >= 10);
            if late {
                actions.announce.clear();
            }
        }))
    };
    let broken = sabotaged(&[R1], mute_later, |lan| {
        let island = vec![lan.cluster.machine_port(R2, LAN), lan.cluster.host_port(IMPATIENT)];
        lan.apply(Fault::Partition(LAN, island));
        lan.cluster.run_for(Duration::from_secs(2));
        lan.apply(Fault::HealNetwork);
    });
    assert_seen(&broken, Rule::HostMisled, Some(R1));
}

#[test]
fn an_address_left_behind_at_stop_is_seen() {
    let hasty = || -> Box<dyn Sabotage> {
        Box::new(Tamper(|_, actions: &mut Actions| {
            let stops = actions.transitions().any(|transition| transition.cause == Cause::Shutdown);
            actions.stopped |= stops;
        }))
    };
    let course = |lan: &mut Lan| lan.apply(Fault::Stopped(R1));
    assert_seen(&sabotaged(&[R1], hasty, course), Rule::LeftBehind, Some(R1));
}

#[test]
fn a_stop_without_an_end_is_seen() {
    let hanging = || -> Box<dyn Sabotage> {
        Box::new(Tamper(|_, actions: &mut Actions| {
            actions.stopped = false;
        }))
    };
    let course = |lan: &mut Lan| lan.apply(Fault::Stopped(R1));
    assert_seen(&sabotaged(&[R1], hanging, course), Rule::StopUnfinished, Some(R1));
}

/// A course of events with two routers that have a virtual MAC.
fn sabotaged_on_virtual_mac(
    make: impl Fn() -> Box<dyn Sabotage>,
    course: impl Fn(&mut Lan),
) -> Vec<Violation> {
    sabotaged_with(&on_virtual_mac(150), &[R1], make, course)
}

#[test]
fn a_virtual_mac_left_behind_at_stop_is_seen() {
    let keeps = || -> Box<dyn Sabotage> {
        Box::new(Tamper(|_, actions: &mut Actions| {
            let removals = actions.links.iter_mut().filter(|operation| operation.verb == Verb::Remove);
            // What is asked for is carried out, and answered, elsewhere.
            removals.for_each(|operation| operation.link.name = "vmac1.1".parse().unwrap());
        }))
    };
    let course = |lan: &mut Lan| lan.apply(Fault::Stopped(R1));
    assert_seen(&sabotaged_on_virtual_mac(keeps, course), Rule::LeftBehind, Some(R1));
}

#[test]
fn a_virtual_mac_that_is_not_adopted_is_seen() {
    let replaces = || -> Box<dyn Sabotage> {
        let mut created = false;
        Box::new(Tamper(move |_, actions: &mut Actions| {
            for operation in actions.links.iter_mut().filter(|operation| operation.verb == Verb::Add) {
                if core::mem::replace(&mut created, true) {
                    operation.verb = Verb::Remove;
                }
            }
        }))
    };
    let course = |lan: &mut Lan| {
        lan.apply(Fault::Crashed(R1));
        lan.apply(Fault::Respawned(R1));
    };
    assert_seen(&sabotaged_on_virtual_mac(replaces, course), Rule::OwnLinkRemoved, Some(R1));
}

#[test]
fn an_address_on_another_interface_than_the_virtual_mac_is_seen() {
    let beside = || -> Box<dyn Sabotage> {
        Box::new(Tamper(|_, actions: &mut Actions| {
            let requests = actions.kernel.iter_mut().filter_map(KernelRequest::addresses_mut);
            let mut operations = requests.flat_map(|request| &mut request.operations);
            if let Some(operation) = operations.find(|operation| operation.verb == Verb::Add) {
                let beside = AddressOperation::new(Verb::Add, eth0(), operation.spec.clone());
                // No router gets an answer that it did not ask for.
                let requester = Requester::Router(RouterId(u32::MAX));
                let request = AddressRequest { requester, operations: vec![beside] };
                actions.kernel.push(KernelRequest::Addresses(request));
            }
        }))
    };
    assert_seen(&sabotaged_on_virtual_mac(beside, |_| {}), Rule::WrongInterface, Some(R1));
}

/// Two reloads that R1 finds at once after it stood still.
fn reloaded_twice(lan: &mut Lan, configs: [NodeConfig; 2]) {
    lan.apply(Fault::Frozen(R1));
    for config in configs {
        lan.apply(Fault::Reloaded(R1, config));
    }
    lan.cluster.run_for(Duration::from_secs(1));
    lan.apply(Fault::Thawed(R1));
}

#[test]
fn a_virtual_mac_that_a_reload_gives_back_and_that_is_not_made_again_is_seen() {
    let removes = || -> Box<dyn Sabotage> {
        Box::new(Tamper(|_, actions: &mut Actions| {
            let removed = actions.links.iter().position(|operation| operation.verb == Verb::Remove);
            if let Some(removed) = removed {
                actions.links.truncate(removed + 1);
            }
        }))
    };
    let course = |lan: &mut Lan| reloaded_twice(lan, [with_own_static(150), on_virtual_mac(150)]);
    assert_seen(&sabotaged_on_virtual_mac(removes, course), Rule::OwnLinkRemoved, Some(R1));
}

#[test]
fn an_address_that_a_reload_moves_back_and_that_is_not_given_up_is_seen() {
    let keeps = || -> Box<dyn Sabotage> {
        Box::new(Tamper(|_, actions: &mut Actions| {
            let requests = actions.kernel.iter_mut().filter_map(KernelRequest::addresses_mut);
            for request in requests.filter(|request| request.requester == Requester::Static) {
                let elsewhere = |operation: &AddressOperation| operation.link != eth0();
                request.operations.retain(|o| o.verb == Verb::Add || !elsewhere(o));
            }
        }))
    };
    let course = |lan: &mut Lan| {
        reloaded_twice(lan, [on_other_lan(with_own_static(150)), with_own_static(150)]);
    };
    assert_seen(&sabotaged(&[R1], keeps, course), Rule::WrongInterface, Some(R1));
}

/// Signs with the right key what it is handed or what it sends, at a moment of its own.
#[derive(Debug)]
struct Forger {
    hears: bool,
    stamp: u64,
}

impl Forger {
    fn sign(&self, source: core::net::IpAddr, payload: &[u8]) -> std::sync::Arc<[u8]> {
        let (message, _) = payload.split_at(payload.len() - 28);
        let key = HmacKey::new(&KEY).unwrap();
        let trailer = key.sign(source, message, 1, Stamp::from_bits(self.stamp));
        [message, &trailer].concat().into()
    }
}

impl Sabotage for Forger {
    fn read(&mut self, _: Now, packet: &Packet) -> Option<std::sync::Arc<[u8]>> {
        self.stamp += 1;
        self.hears.then(|| self.sign(packet.source, &packet.payload))
    }

    fn act(&mut self, _: Now, actions: &mut Actions) {
        for sent in actions.transmit.iter_mut().filter(|_| !self.hears) {
            // Ever earlier.
            self.stamp -= 1;
            sent.payload = self.sign(sent.source, &sent.payload);
        }
    }
}

/// Both routers sign, and a saboteur is on the second one.
fn signed(
    anti_replay: AntiReplay,
    make: impl Fn() -> Box<dyn Sabotage>,
    course: impl Fn(&mut Lan),
) -> Vec<Violation> {
    let run = |sabotage: Option<Box<dyn Sabotage>>| {
        let machine = |priority| {
            let config = node(signing(priority, anti_replay));
            MachineSpec { config, ..MachineSpec::default() }
        };
        let mut lan = Lan::of(vec![machine(150), machine(100)]);
        [R1, R2].into_iter().for_each(|id| lan.apply(Fault::Started(id)));
        lan.cluster.run_for(Duration::from_secs(10));
        sabotage.into_iter().for_each(|sabotage| lan.cluster.sabotage(R2, sabotage));
        course(&mut lan);
        lan.cluster.violations().to_vec()
    };
    assert_eq!(run(None), []);
    run(Some(make()))
}

#[test]
fn a_recording_that_is_believed_is_seen() {
    let forger = || -> Box<dyn Sabotage> { Box::new(Forger { hears: true, stamp: 1 << 63 }) };
    let broken = signed(AntiReplay::Monotonic, forger, |lan| {
        lan.apply(Fault::CablePulled(R1, LAN));
        lan.cluster.run_for(Duration::from_secs(2));
        lan.apply(Fault::Replayed(IMPATIENT, Duration::from_millis(20), 5));
        lan.cluster.run_for(Duration::from_secs(2));
    });
    assert_seen(&broken, Rule::ReplayBelieved, Some(R2));
}

#[test]
fn a_stamp_that_goes_back_is_seen() {
    let forger = || -> Box<dyn Sabotage> { Box::new(Forger { hears: false, stamp: 1 << 62 }) };
    let broken = signed(AntiReplay::Monotonic, forger, |lan| {
        lan.apply(Fault::CablePulled(R1, LAN));
        lan.cluster.run_for(Duration::from_secs(2));
    });
    assert_seen(&broken, Rule::StampGoesBack, Some(R2));
}

#[test]
fn a_second_master_that_is_not_named_is_seen() {
    let course = |lan: &mut Lan| {
        lan.apply(Fault::WallClockJumped(R1, 60_000_000));
        lan.cluster.run_for(Duration::from_secs(20));
    };
    let broken = signed(AntiReplay::Time, || Box::new(Deaf), course);
    assert_seen(&broken, Rule::SkewUnnamed, Some(R2));
}

/// The same with two routers in a sync group on each machine.
fn sabotaged_groups(
    machines: &[MachineId],
    make: impl Fn() -> Box<dyn Sabotage>,
    course: impl Fn(&mut Lan),
) -> Vec<Violation> {
    sabotaged_pair([&pair(150, 150), &pair(100, 100)], machines, make, course)
}

#[test]
fn members_of_a_sync_group_in_different_states_are_seen() {
    // It says nothing of the second one becoming master, as if that had not.
    let silent = || -> Box<dyn Sabotage> {
        Box::new(Tamper(|_, actions: &mut Actions| {
            actions.news.retain(
                |news| !matches!(news, News::Transition(t) if &*t.name == OTHER && t.to == State::Master),
            );
        }))
    };
    assert_seen(&sabotaged_groups(&[R1], silent, |_| {}), Rule::GroupDivided, Some(R1));
}

#[test]
fn a_master_beside_a_member_in_fault_is_seen() {
    let course = |lan: &mut Lan| {
        lan.apply(Fault::CablePulled(R1, OTHER_LAN));
        lan.cluster.run_for(Duration::from_millis(20));
    };
    let broken = sabotaged_groups(&[R1], || Box::new(DeafToCables), course);
    assert_seen(&broken, Rule::MasterBesideFault, Some(R1));
}

#[test]
fn sync_groups_without_a_master_are_seen() {
    let broken = sabotaged_groups(&[R1, R2], || Box::new(NeverServed), |_| {});
    assert_seen(&broken, Rule::NoMasterInTime, None);
    assert_seen(&broken, Rule::NotOneMaster, None);
}

#[test]
fn the_wrong_master_of_a_sync_group_is_seen() {
    assert_seen(&sabotaged_groups(&[R1], || Box::new(NeverServed), |_| {}), Rule::WrongMaster, Some(R2));
}
