//! A sender and a receiver that agree or do not, packet by packet.

use super::*;
use crate::kernel::{ReceiveSocket, RouterId};
use crate::net::{Family, InterfaceIndex, InterfaceName};
use crate::secret::Secret;
use crate::vrrp::{
    Actions, AnnouncementQueue, Cause, Datagram, Destinations, Environment, Interface, Listening, Output,
    RouterConfig, State, Transmission, VirtualRouter,
};
use crate::wire::ah::AH_PROTOCOL;
use crate::wire::ip::ipv4_header;
use crate::wire::vrrp::{AuthenticationData, HmacKey, Priority, RejectionKind, Version, Vrid};

const NOON: u64 = 1_800_000_000_000_000;

/// The interface of every router here.
fn eth0() -> (InterfaceName, Interface) {
    let interface = Interface {
        key: InterfaceIndex::LOWEST,
        mac: None,
        usable: true,
        admin_up: true,
        vrf_table: None,
        ipv6_forwarding: false,
        mtu: 1500,
        on_top: false,
        pace: None,
    };
    ("eth0".parse().unwrap(), interface)
}

fn key(byte: u8) -> HmacKey {
    HmacKey::new(&[byte; 32]).unwrap()
}

fn hmac(anti_replay: AntiReplay) -> HmacConfig {
    HmacConfig {
        keys: [(1, key(1))].into(),
        active: 1,
        anti_replay,
        window: Duration::from_secs(5),
        mode: HmacMode::Enforce,
    }
}

struct Bench {
    router: VirtualRouter,
    now: Now,
    actions: Actions,
    announcements: AnnouncementQueue,
}

impl Bench {
    fn new(last: u8, change: impl FnOnce(&mut RouterConfig)) -> Self {
        let mut config =
            RouterConfig::new("R", Vrid::new(51).unwrap(), Family::Ipv4, "eth0".parse().unwrap());
        change(&mut config);
        let instant = Instant::from_micros(1_000_000);
        let now = Now { instant, wall: WallTime::from_unix_micros(NOON) };
        let router = VirtualRouter::new(RouterId(0), config);
        let mut bench =
            Self { router, now, actions: Actions::default(), announcements: AnnouncementQueue::default() };
        bench.start(last);
        bench
    }

    fn signing(last: u8, hmac: &HmacConfig) -> Self {
        Self::new(last, |config| config.hmac = Some(Box::new(hmac.clone())))
    }

    fn sealing(last: u8) -> Self {
        let password = AuthenticationData::AuthenticationHeader(Secret::new(*b"secret12"));
        Self::new(last, |config| config.authentication = password)
    }

    fn start(&mut self, last: u8) {
        let source = Some(match self.router.config().family {
            Family::Ipv4 => IpAddr::from([192, 0, 2, last]),
            Family::Ipv6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, last.into()]),
        });
        let interfaces = vec![eth0()];
        let environment =
            Environment { interfaces, source, listening: Listening::Open, ..Environment::default() };
        self.tell(|router, now, out| {
            router.set_environment(now, environment, &|_| None, out);
            router.start(now, None, out);
        });
    }

    fn tell(&mut self, tell: impl FnOnce(&mut VirtualRouter, Now, &mut Output<'_>)) {
        let mut out = Output { actions: &mut self.actions, announcements: &mut self.announcements };
        tell(&mut self.router, self.now, &mut out);
    }

    /// A restart, with what was set aside before.
    fn restarted(&self, last: u8, reservation: Option<Reservation>) -> Self {
        let config = self.router.config().clone();
        let mut fresh = Self::new(last, |new| *new = config);
        fresh.now = self.now;
        if let Some(reservation) = reservation {
            fresh.router.reserve_stamps(reservation);
        }
        fresh
    }

    fn all_sent(&mut self) -> Vec<Transmission> {
        if self.router.state() != State::Master {
            self.tell(|router, now, out| router.become_master(now, Cause::SwitchBack, out));
        } else {
            self.now.instant = self.router.poll_timeout().unwrap();
            self.tell(|router, now, out| router.handle_timeout(now, now.instant, out));
        }
        core::mem::take(&mut self.actions.transmit)
    }

    /// The next advertisement, as a master.
    fn sends(&mut self) -> Transmission {
        let mut sent = self.all_sent();
        assert_eq!(sent.len(), 1);
        sent.remove(0)
    }

    /// What becomes of a packet.
    fn hears(&mut self, sent: &Transmission) -> Result<(), RejectionKind> {
        let Transmission { source, destination, ip, payload, .. } = sent;
        let socket = ReceiveSocket {
            link: Some(InterfaceIndex::LOWEST),
            address: *destination,
            protocol: ip.protocol,
        };
        let header = match (source, destination) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                ipv4_header(*from, *to, *ip, payload.len()).unwrap().to_vec()
            }
            _ => Vec::new(),
        };
        let datagram = Datagram {
            socket,
            source: *source,
            destination: *destination,
            hop_limit: Some(ip.hop_limit),
            header: &header,
            payload,
            verdicts: None,
        };
        let before = self.router.counters().clone();
        self.tell(|router, now, out| router.handle_datagram(now, &datagram, out));
        // Answers to rivals are lost.
        self.actions.transmit.clear();
        let after = self.router.counters();
        let grown = |kind: &RejectionKind| after.rejected(*kind) > before.rejected(*kind);
        match RejectionKind::ALL.into_iter().find(|kind| grown(kind)) {
            Some(kind) => Err(kind),
            None => {
                assert_eq!(after.advertisements_received, before.advertisements_received + 1);
                Ok(())
            }
        }
    }

    fn wall(&mut self, ms: i64) {
        let us = self.now.wall.as_unix_micros().saturating_add_signed(ms * 1000);
        self.now.wall = WallTime::from_unix_micros(us);
    }

    /// Time passes, on both clocks.
    fn pass(&mut self, ms: u64) {
        self.now.instant += Duration::from_millis(ms);
        self.wall(ms as i64);
    }

    fn reports(&mut self) -> Vec<String> {
        let reports: Vec<String> = self.actions.reports().map(|report| report.kind.to_string()).collect();
        self.actions.news.clear();
        reports
    }
}

/// With one byte of the payload changed.
fn changed(sent: &Transmission, position: usize) -> Transmission {
    let mut payload = sent.payload.to_vec();
    payload[position] ^= 1;
    Transmission { payload: payload.into(), ..sent.clone() }
}

#[test]
fn what_is_signed_is_accepted_once_in_both_versions_and_families() {
    for family in [Family::Ipv4, Family::Ipv6] {
        for version in [Version::V2, Version::V3] {
            for anti_replay in [AntiReplay::Time, AntiReplay::Monotonic] {
                let make = |last| {
                    Bench::new(last, |config| {
                        *config = RouterConfig::new("R", config.vrid, family, "eth0".parse().unwrap());
                        config.version = version;
                        config.hmac = Some(Box::new(hmac(anti_replay)));
                    })
                };
                let (mut sender, mut receiver) = (make(10), make(20));
                let (first, second) = (sender.sends(), sender.sends());
                assert_eq!(receiver.hears(&first), Ok(()), "{family} {version:?}");
                assert_eq!(receiver.hears(&first), Err(RejectionKind::TrailerReplayed));
                assert_eq!(receiver.hears(&second), Ok(()));
                assert_eq!(receiver.hears(&first), Err(RejectionKind::TrailerReplayed));
                let end = second.payload.len() - 1;
                assert_eq!(receiver.hears(&changed(&second, end)), Err(RejectionKind::InvalidHmac));
                assert_eq!(receiver.hears(&changed(&second, 2)), Err(RejectionKind::InvalidHmac));
                assert_eq!(receiver.hears(&changed(&second, end - 27)), Err(RejectionKind::TrailerMalformed));
                assert_eq!(receiver.hears(&changed(&second, end - 26)), Err(RejectionKind::UnknownKey));
            }
        }
    }
}

#[test]
fn modes_differ_in_what_they_sign_and_accept() {
    let of = |mode| HmacConfig { mode, ..hmac(AntiReplay::Time) };
    let mut plain = Bench::new(9, |_| {});
    for (mode, signs, takes_plain) in [
        (HmacMode::Enforce, true, false),
        (HmacMode::Permissive, true, true),
        (HmacMode::ReceiveOnly, false, true),
    ] {
        let mut sender = Bench::signing(10, &of(mode));
        let sent = sender.sends();
        assert_eq!(sent.payload.len(), if signs { 16 + 28 } else { 16 }, "{mode:?}");
        let mut receiver = Bench::signing(20, &of(mode));
        let expected = if takes_plain { Ok(()) } else { Err(RejectionKind::TrailerMissing) };
        assert_eq!(receiver.hears(&plain.sends()), expected, "{mode:?}");
        let good = Bench::signing(11, &hmac(AntiReplay::Time)).sends();
        assert_eq!(receiver.hears(&changed(&good, 43)), Err(RejectionKind::InvalidHmac), "{mode:?}");
        assert_eq!(receiver.hears(&good), Ok(()), "{mode:?}");
    }
    let signed = Bench::signing(10, &hmac(AntiReplay::Time)).sends();
    assert_eq!(plain.hears(&signed), Err(RejectionKind::Length), "without auth_hmac");
}

#[test]
fn keys_are_exchanged_one_after_the_other_without_a_packet_lost() {
    let both = |active| HmacConfig {
        keys: [(1, key(1)), (2, key(2))].into(),
        active,
        ..hmac(AntiReplay::Monotonic)
    };
    let (mut sender, mut receiver) =
        (Bench::signing(10, &hmac(AntiReplay::Monotonic)), Bench::signing(20, &both(1)));
    assert_eq!(receiver.hears(&sender.sends()), Ok(()));
    for (active, id) in [(2, 2), (1, 1)] {
        let mut config = sender.router.config().clone();
        config.hmac = Some(Box::new(both(active)));
        let environment = Environment { listening: Listening::Open, ..Environment::default() };
        // The surroundings stay as they were.
        let environment =
            Environment { interfaces: vec![eth0()], source: Some([192, 0, 2, 10].into()), ..environment };
        sender
            .tell(|router, now, out| router.reconfigure(now, &mut config, None, environment, &|_| None, out));
        let sent = sender.sends();
        assert_eq!(sent.payload[17], id);
        assert_eq!(receiver.hears(&sent), Ok(()));
        assert_eq!(sender.router.state(), State::Master);
    }
    let mut old = Bench::signing(21, &hmac(AntiReplay::Monotonic));
    let mut sender = Bench::signing(10, &both(2));
    assert_eq!(old.hears(&sender.sends()), Err(RejectionKind::UnknownKey));
}

#[test]
fn a_peer_outside_the_window_is_named_with_its_skew_until_the_clocks_agree() {
    let hmac = hmac(AntiReplay::Time);
    let (mut sender, mut receiver) = (Bench::signing(10, &hmac), Bench::signing(20, &hmac));
    receiver.tell(|router, now, out| router.become_master(now, Cause::SwitchBack, out));
    sender.wall(-40_000);
    receiver.reports();
    for second in 1..=3 {
        assert_eq!(receiver.hears(&sender.sends()), Err(RejectionKind::TrailerStale));
        assert_eq!(receiver.router.counters().second_masters, second);
        let outside: Vec<_> = receiver.router.outside_window(receiver.now.instant).collect();
        assert_eq!(outside.len(), 1);
        let (address, ahead_us) = outside[0];
        assert_eq!(address, IpAddr::from([192, 0, 2, 10]));
        assert!((-44_000_000..=-39_000_000).contains(&ahead_us), "{ahead_us}");
        receiver.pass(1_000);
        sender.wall(1_000);
    }
    let told = receiver.reports();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].starts_with("the clock of 192.0.2.10 is 40.000 s behind ours, time_window allows 5 s"),
        "{told:?}"
    );
    // The clock is set.
    sender.wall(40_000);
    assert_eq!(receiver.hears(&sender.sends()), Ok(()));
    assert_eq!(receiver.router.outside_window(receiver.now.instant).count(), 0);
    let told = receiver.reports();
    assert!(
        told.iter().any(|text| text == "the clock of 192.0.2.10 agrees with ours again, after 3.0 s"),
        "{told:?}"
    );
    // Ahead is as bad, and heals as well when the clock goes back: by more than the window, or by less.
    for step in [60_000, 4_000] {
        receiver.pass(1_000);
        sender.wall(1_000 + step);
        let expected = if step > 5_000 { Err(RejectionKind::TrailerStale) } else { Ok(()) };
        assert_eq!(receiver.hears(&sender.sends()), expected);
        sender.wall(-step);
        receiver.pass(1_000);
        sender.wall(1_000);
        assert_eq!(receiver.hears(&sender.sends()), Ok(()), "after a step of {step} ms");
    }
}

#[test]
fn a_recording_of_a_living_peer_is_no_second_master_and_one_of_a_dead_peer_no_master() {
    let hmac = hmac(AntiReplay::Time);
    let (mut sender, mut receiver) = (Bench::signing(10, &hmac), Bench::signing(20, &hmac));
    let recorded = sender.sends();
    assert_eq!(receiver.hears(&recorded), Ok(()));
    for _ in 0..6 {
        receiver.pass(1_000);
        sender.wall(1_000);
        assert_eq!(receiver.hears(&sender.sends()), Ok(()));
    }
    assert_eq!(receiver.hears(&recorded), Err(RejectionKind::TrailerStale));
    assert_eq!(receiver.router.outside_window(receiver.now.instant).count(), 0);
    // Long after, within the window and beyond.
    for ms in [4_900, 200, 3_600_000] {
        let last = sender.sends();
        receiver.pass(0);
        let _ = receiver.hears(&last);
        receiver.pass(ms);
        sender.wall(ms as i64);
        assert!(receiver.hears(&last).is_err());
        assert!(receiver.hears(&recorded).is_err());
    }
}

#[test]
fn a_step_of_a_running_clock_is_harmless_to_monotonic_stamps() {
    let hmac = hmac(AntiReplay::Monotonic);
    let (mut sender, mut receiver) = (Bench::signing(10, &hmac), Bench::signing(20, &hmac));
    let mut recorded = Vec::new();
    for step in [0, -3_600_000, 7_200_000, -86_400_000, 5] {
        sender.wall(step);
        receiver.wall(-step * 3);
        for _ in 0..3 {
            let sent = sender.sends();
            assert_eq!(receiver.hears(&sent), Ok(()), "after a step of {step} ms");
            recorded.push(sent);
        }
        for old in &recorded {
            assert_eq!(receiver.hears(old), Err(RejectionKind::TrailerReplayed));
        }
    }
}

#[test]
fn stamps_do_not_go_back_over_a_restart_whatever_the_clock_does() {
    let hmac = hmac(AntiReplay::Monotonic);
    let mut receiver = Bench::signing(20, &hmac);
    let mut sender = Bench::signing(10, &hmac);
    let mut reservation = Reservation::begin(None, sender.now.wall);
    sender.router.reserve_stamps(reservation);
    for round in 0..20 {
        for _ in 0..10 {
            assert_eq!(receiver.hears(&sender.sends()), Ok(()), "round {round}");
            sender.wall(1_000);
        }
        // Not renewed in time: the clock is followed no further than what is set aside.
        sender.wall(if round % 2 == 0 { 3_600_000 } else { -7_200_000 });
        assert_eq!(receiver.hears(&sender.sends()), Ok(()), "round {round}");
        let kept = reservation.to_keep();
        reservation = Reservation::begin(Some(kept), sender.now.wall);
        sender = sender.restarted(10, Some(reservation));
    }
    sender.wall(-1_000_000);
    let mut forgetful = sender.restarted(10, None);
    assert_eq!(receiver.hears(&sender.sends()), Ok(()));
    assert_eq!(receiver.hears(&forgetful.sends()), Err(RejectionKind::TrailerReplayed), "without the file");
}

#[test]
fn one_signature_serves_all_peers() {
    let mut sender = Bench::new(10, |config| {
        config.version = Version::V3;
        config.hmac = Some(Box::new(hmac(AntiReplay::Monotonic)));
        config.destinations =
            Destinations::Unicast((20..23).map(|last| IpAddr::from([192, 0, 2, last]).into()).collect());
    });
    let sent = sender.all_sent();
    assert_eq!(sent.len(), 3);
    let trailers: Vec<&[u8]> = sent.iter().map(|one| &one.payload[8..]).collect();
    assert!(trailers.windows(2).all(|pair| pair[0] == pair[1]));
    assert_ne!(sent[0].payload[6..8], sent[1].payload[6..8], "each has its checksum");
}

#[test]
fn headers_count_on_from_what_was_heard() {
    let (mut first, mut second) = (Bench::sealing(10), Bench::sealing(20));
    let sequence = |sent: &Transmission| u32::from_be_bytes(sent.payload[8..12].try_into().unwrap());
    let recorded = first.sends();
    assert_eq!(recorded.ip.protocol, AH_PROTOCOL);
    assert_eq!(second.hears(&recorded), Ok(()));
    assert_eq!(second.hears(&recorded), Err(RejectionKind::HeaderReplayed));
    for _ in 0..10 {
        assert_eq!(second.hears(&first.sends()), Ok(()));
    }
    let last = sequence(&first.sends());
    let answer = second.sends();
    assert_eq!(sequence(&answer), last, "it has not heard the last one");
    assert_eq!(
        first.hears(&answer),
        Err(RejectionKind::HeaderReplayed),
        "who is new goes on from the others"
    );
    assert_eq!(first.hears(&second.sends()), Ok(()));
    let next = first.sends();
    assert!(sequence(&next) > last + 1);
    assert_eq!(second.hears(&next), Ok(()));
    for position in 0..next.payload.len() {
        let rejected = second.hears(&changed(&next, position));
        let kinds =
            [RejectionKind::HeaderMalformed, RejectionKind::HeaderNotAuthentic, RejectionKind::Version];
        let known = rejected.is_err_and(|kind| {
            kinds.contains(&kind) || kind == RejectionKind::Length || kind == RejectionKind::Vrid
        });
        assert!(known, "byte {position}: {rejected:?}");
    }
    assert_eq!(second.hears(&recorded), Err(RejectionKind::HeaderReplayed));
    let other_ttl = Transmission {
        ip: crate::wire::ip::IpFields { identification: next.ip.identification ^ 1, ..next.ip },
        ..next.clone()
    };
    assert_eq!(second.hears(&other_ttl), Err(RejectionKind::HeaderNotAuthentic), "the IP header counts");
}

#[test]
fn headers_do_not_count_back_over_a_restart() {
    let (mut first, mut second) = (Bench::sealing(10), Bench::sealing(20));
    let mut reservation = Reservation::begin(None, first.now.wall);
    first.router.reserve_stamps(reservation);
    for round in 0..5 {
        for _ in 0..3 {
            assert_eq!(second.hears(&first.sends()), Ok(()), "round {round}");
        }
        first.wall(-3_600_000);
        reservation = Reservation::begin(Some(reservation.to_keep()), first.now.wall);
        first = first.restarted(10, Some(reservation));
    }
    // keepalived begins with 1 where it heard nobody.
    let mut low = Bench::sealing(30);
    low.now.wall = WallTime::default();
    let mut none = Bench::sealing(20);
    assert_eq!(none.hears(&low.sends()), Ok(()));
    assert_eq!(low.hears(&first.sends()), Ok(()));
    assert_eq!(
        second.hears(&low.sends()),
        Err(RejectionKind::HeaderReplayed).or(Ok::<(), RejectionKind>(()))
    );
}

#[test]
fn forgers_cannot_have_a_peer_forgotten() {
    let hmac = hmac(AntiReplay::Monotonic);
    let (mut sender, mut receiver) = (Bench::signing(10, &hmac), Bench::signing(20, &hmac));
    let recorded = sender.sends();
    assert_eq!(receiver.hears(&recorded), Ok(()));
    let mut stranger = Bench::signing(30, &HmacConfig { keys: [(1, key(9))].into(), ..hmac });
    for number in 0..2_000_u32 {
        let source = IpAddr::from([10, 0, (number >> 8) as u8, number as u8 | 1]);
        let forged = Transmission { source, ..stranger.sends() };
        assert_eq!(receiver.hears(&forged), Err(RejectionKind::InvalidHmac));
    }
    assert_eq!(receiver.hears(&recorded), Err(RejectionKind::TrailerReplayed));
    assert_eq!(receiver.hears(&sender.sends()), Ok(()));
}

/// The checksum is in bytes 6 and 7 and is not signed, so that anybody can change it.
#[test]
fn a_copy_with_another_checksum_does_not_take_the_place_of_the_advertisement() {
    for anti_replay in [AntiReplay::Time, AntiReplay::Monotonic] {
        let hmac = hmac(anti_replay);
        let (mut sender, mut receiver) = (Bench::signing(10, &hmac), Bench::signing(20, &hmac));
        let sent = sender.sends();
        assert_eq!(receiver.hears(&changed(&sent, 7)), Err(RejectionKind::Checksum));
        assert_eq!(receiver.hears(&sent), Ok(()));
        assert_eq!(receiver.hears(&changed(&sent, 7)), Err(RejectionKind::TrailerReplayed));
    }
}

#[test]
fn the_memory_of_senders_is_bounded() {
    let mut authenticator = Authenticator::default();
    for number in 0..2_000_u32 {
        authenticator
            .sender(Instant::from_micros(number.into()), core::net::Ipv4Addr::from_bits(number).into());
    }
    assert_eq!(authenticator.senders.len(), SENDERS_MAX);
    assert!(
        authenticator.senders.iter().all(|sender| sender.heard.as_micros() >= 2_000 - SENDERS_MAX as u64)
    );
}

#[test]
fn priorities_are_part_of_what_is_signed() {
    let hmac = hmac(AntiReplay::Monotonic);
    let (mut sender, mut receiver) = (Bench::signing(10, &hmac), Bench::signing(20, &hmac));
    let sent = sender.sends();
    let mut payload = sent.payload.to_vec();
    payload[2] = Priority::OWNER.0;
    let raised = Transmission { payload: payload.into(), ..sent };
    assert_eq!(receiver.hears(&raised), Err(RejectionKind::InvalidHmac));
}
