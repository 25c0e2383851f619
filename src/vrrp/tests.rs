//! A router that is told to change its state, without any advertisement.

use std::sync::Arc;

use super::*;
use crate::kernel::{AddressSpec, KernelRequest, RouterId, Verb};
use crate::net::{Family, InterfaceIndex, MacAddress, Prefix};
use crate::time::{Duration, Instant, Now, WallTime};
use crate::wire::vrrp::{Priority, Vrid};

/// Any cause that is not an advertisement.
const TOLD: Cause = Cause::SwitchBack;

struct Bench {
    router: VirtualRouter,
    now: Now,
    actions: Actions,
    announcements: AnnouncementQueue,
}

impl Bench {
    /// A backup on a LAN of its own.
    fn backup(change: impl FnOnce(&mut RouterConfig)) -> Self {
        let name = "eth0".parse().unwrap();
        let mut config = RouterConfig::new("VI_1", Vrid::new(51).unwrap(), Family::Ipv4, name);
        let spec = AddressSpec::new(Prefix::host([192, 0, 2, 51].into()));
        config.addresses = vec![VirtualAddress { spec, interface: None, track: true }];
        change(&mut config);
        let mut bench = Self {
            router: VirtualRouter::new(RouterId(7), config),
            now: Now { instant: Instant::from_micros(1_000_000), wall: WallTime::default() },
            actions: Actions::default(),
            announcements: AnnouncementQueue::default(),
        };
        bench.surround(true);
        bench.tell(|router, now, out| router.start(now, None, out));
        assert_eq!(bench.router.state(), State::Backup);
        bench.actions = Actions::default();
        bench
    }

    fn surround(&mut self, usable: bool) {
        let interface = Interface {
            key: InterfaceIndex::LOWEST,
            mac: Some(MacAddress([2, 0, 0, 0, 0, 1])),
            usable,
            admin_up: true,
            vrf_table: None,
            ipv6_forwarding: false,
            mtu: 1500,
            on_top: false,
            pace: None,
        };
        let environment = Environment {
            interfaces: vec![("eth0".parse().unwrap(), interface)],
            source: Some([192, 0, 2, 10].into()),
            listening: Listening::Open,
            preparing: false,
        };
        self.tell(|router, now, out| router.set_environment(now, environment, &|_| None, out));
    }

    fn tell(&mut self, tell: impl FnOnce(&mut VirtualRouter, Now, &mut Output<'_>)) {
        let mut out = Output { actions: &mut self.actions, announcements: &mut self.announcements };
        tell(&mut self.router, self.now, &mut out);
    }

    fn take(&mut self) -> Done {
        let actions = core::mem::take(&mut self.actions);
        let transitions = actions.transitions().map(|t| (t.from, t.to, t.cause.clone()));
        let verbs = actions
            .kernel
            .iter()
            .filter_map(KernelRequest::addresses)
            .flat_map(|r| &r.operations)
            .map(|o| o.verb);
        let priorities = actions.transmit.iter().map(|sent| sent.payload[2]);
        Done { sent: priorities.collect(), asked: verbs.collect(), told: transitions.collect() }
    }
}

/// What a router has done since the last look.
#[derive(Debug, Default, Eq, PartialEq)]
struct Done {
    /// Priorities of its advertisements.
    sent: Vec<u8>,
    asked: Vec<Verb>,
    told: Vec<(State, State, Cause)>,
}

#[test]
fn a_backup_that_is_told_so_becomes_master_at_once_and_says_why() {
    let mut bench = Bench::backup(|_| {});
    bench.tell(|router, now, out| router.become_master(now, TOLD, out));
    let told = vec![(State::Backup, State::Master, TOLD)];
    assert_eq!(bench.take(), Done { sent: vec![100], asked: vec![Verb::Add], told });
    assert_eq!(bench.router.last_cause(), Some(&TOLD));
    bench.tell(|router, now, out| router.become_master(now, TOLD, out));
    assert_eq!(bench.take(), Done::default(), "it is master already");
}

#[test]
fn a_master_that_is_told_so_steps_down_says_priority_0_and_waits_for_another() {
    let mut bench = Bench::backup(|_| {});
    bench.tell(|router, now, out| router.become_master(now, TOLD, out));
    bench.take();
    bench.tell(|router, now, out| router.step_down(now, Cause::Reload, out));
    let told = vec![(State::Master, State::Backup, Cause::Reload)];
    assert_eq!(bench.take(), Done { sent: vec![0], asked: vec![Verb::Remove], told });
    assert_eq!(bench.router.take_wish(), None);
    let waits = bench.router.poll_timeout().unwrap().saturating_since(bench.now.instant);
    assert_eq!(waits, bench.router.master_down_interval());
    assert!(waits > Duration::from_secs(3));
    bench.tell(|router, now, out| router.step_down(now, Cause::Reload, out));
    assert_eq!(bench.take(), Done::default(), "it is no master any more");
}

#[test]
fn a_master_that_hands_over_has_said_priority_0_before_it_steps_down() {
    let mut bench = Bench::backup(|_| {});
    bench.tell(|router, now, out| router.become_master(now, TOLD, out));
    bench.tell(|router, now, out| {
        router.switch_over(now, None, router.patience(), out);
    });
    assert_eq!(bench.take().sent, [100, 0]);
    bench.tell(|router, now, out| router.step_down(now, Cause::Reload, out));
    assert!(bench.take().sent.is_empty());
    assert_eq!(bench.router.state(), State::Backup);
}

#[test]
fn an_advertisement_is_encoded_once_and_each_packet_has_its_own_identification() {
    let mut bench = Bench::backup(|_| {});
    bench.tell(|router, now, out| router.become_master(now, TOLD, out));
    for _ in 0..70_000 {
        bench.now.instant = bench.router.poll_timeout().unwrap();
        bench.tell(|router, now, out| router.handle_timeout(now, now.instant, out));
    }
    let sent = &bench.actions.transmit;
    assert!(sent.len() > 65_536);
    assert!(sent.iter().all(|packet| Arc::ptr_eq(&packet.payload, &sent[0].payload)));
    assert!(sent.iter().all(|packet| packet.ip.identification != 0), "the kernel would choose another");
    for pair in sent.windows(2) {
        let [before, after] = [&pair[0], &pair[1]].map(|packet| packet.ip.identification);
        assert_eq!(after, if before == u16::MAX { 1 } else { before + 1 });
    }
}

#[test]
fn who_cannot_take_part_does_not_become_master() {
    let mut bench = Bench::backup(|config| config.priority = Priority(200));
    bench.surround(false);
    assert_eq!(bench.router.state(), State::Fault);
    bench.take();
    bench.tell(|router, now, out| router.become_master(now, TOLD, out));
    assert_eq!(bench.take(), Done::default());
}
