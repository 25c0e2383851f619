//! What is noted for a replay, and what is not.

use std::sync::{Arc, Mutex};

use super::*;
use crate::node::recording::{Inputs, Piece, Replay, Spool, Step, Tape, Taped};
use crate::secret::Secret;
use crate::vrrp::{AntiReplay, HmacConfig, HmacMode, Transmission};
use crate::wire::ip::ipv4_header;
use crate::wire::vrrp::HmacKey;

const PASSWORD: &[u8; 8] = b"hunter22";
const KEY: &[u8; 32] = b"correct horse battery staple 123";

/// A spool that has no room sometimes.
#[derive(Clone, Debug, Default)]
struct Reel(Arc<Mutex<(Vec<Piece>, bool)>>);

impl Spool for Reel {
    fn room(&mut self) -> Option<Vec<u8>> {
        (!self.0.lock().unwrap().1).then(Vec::new)
    }

    fn room_for_state(&mut self) -> Option<Vec<u8>> {
        self.room()
    }

    fn wants_state(&self) -> bool {
        false
    }

    fn put(&mut self, piece: Piece) {
        self.0.lock().unwrap().0.push(piece);
    }
}

impl Reel {
    fn tape(&self) -> Option<Box<Tape>> {
        Some(Box::new(Tape::new(Box::new(self.clone()))))
    }

    fn pieces(&self) -> Vec<Piece> {
        self.0.lock().unwrap().0.clone()
    }
}

/// A router at an address of its own, which listens.
fn node(
    own: &str,
    protocol: u8,
    change: impl FnOnce(&mut RouterConfig),
    tape: Option<Box<Tape>>,
) -> (Taped, Now) {
    let config = NodeConfig { routers: vec![router(change)], ..NodeConfig::default() };
    let mut node = Taped::new(HaNode::new(config));
    node.record(tape);
    let now = Now { instant: Instant::ZERO, wall: WallTime::from_unix_micros(1_800_000_000_000_000) };
    let view = KernelView {
        links: vec![link(true)],
        addresses: vec![held_address(own, false)],
        ..KernelView::default()
    };
    let mut actions = Actions::default();
    node.handle(now, Event::Kernel(KernelEvent::View(view)), &mut actions);
    let socket = ReceiveSocket { protocol, ..ReceiveSocket::vrrp(ETH0, "224.0.0.18".parse().unwrap()) };
    node.handle(now, Event::Socket(SocketEvent::Opened(socket)), &mut actions);
    (node, now)
}

/// What a router sends by itself.
fn sent_by(own: &str, protocol: u8, change: impl FnOnce(&mut RouterConfig)) -> Transmission {
    let (mut node, mut now) = node(own, protocol, change, None);
    let mut actions = Actions::default();
    for _ in 0..100 {
        now.instant += Duration::from_millis(100);
        node.handle_timeout(now, &mut actions);
        if let Some(sent) = actions.transmit.pop() {
            return sent;
        }
    }
    panic!("nothing was sent");
}

fn hear(node: &mut Taped, now: Now, sent: &Transmission, actions: &mut Actions) {
    let Transmission { source, destination, ip, ref payload, .. } = *sent;
    let (IpAddr::V4(from), IpAddr::V4(to)) = (source, destination) else { panic!("IPv4") };
    let header = ipv4_header(from, to, ip, payload.len()).unwrap();
    let socket = ReceiveSocket { protocol: ip.protocol, ..ReceiveSocket::vrrp(ETH0, destination) };
    let hop_limit = Some(255);
    let datagram =
        Datagram { socket, source, destination, hop_limit, header: &header, payload, verdicts: None };
    node.handle_datagram(now, &datagram, actions);
}

fn replay(pieces: &[Piece]) -> (Replay, Vec<Step>) {
    assert!(pieces[0].is_state);
    let mut replay = Replay::of_state(&pieces[0].bytes).unwrap();
    let mut steps = Vec::new();
    for piece in pieces[1..].iter().filter(|piece| !piece.is_state) {
        for input in Inputs::of(&piece.bytes) {
            let (now, input) = input.unwrap();
            steps.push(replay.take(now, input));
        }
    }
    assert!(steps.iter().all(|step| step.divergence.is_none()));
    (replay, steps)
}

#[test]
fn secrets_are_not_noted_and_a_replay_judges_as_the_node_did() {
    type Change = fn(&mut RouterConfig, bool);
    let simple: Change = |config, right| {
        config.version = Version::V2;
        let password = if right { *PASSWORD } else { *b"hunter23" };
        config.authentication = AuthenticationData::SimplePassword(Secret::new(password));
    };
    let header: Change = |config, right| {
        config.version = Version::V2;
        let password = if right { *PASSWORD } else { *b"hunter23" };
        config.authentication = AuthenticationData::AuthenticationHeader(Secret::new(password));
    };
    let trailer: Change = |config, right| {
        let key = if right { *KEY } else { [7; 32] };
        config.hmac = Some(Box::new(HmacConfig {
            keys: [(1, HmacKey::new(&key).unwrap())].into(),
            active: 1,
            anti_replay: AntiReplay::Time,
            window: Duration::from_secs(30),
            mode: HmacMode::Enforce,
        }));
    };
    for (change, protocol) in [(simple, 112), (header, 51), (trailer, 112)] {
        let right = sent_by("192.0.2.20", protocol, |config| change(config, true));
        let wrong = sent_by("192.0.2.30", protocol, |config| change(config, false));
        let reel = Reel::default();
        let (mut node, mut now) = node(OWN, protocol, |config| change(config, true), reel.tape());
        let mut actions = Actions::default();
        now.instant += Duration::from_millis(10);
        hear(&mut node, now, &right, &mut actions);
        hear(&mut node, now, &wrong, &mut actions);
        let counters = node.routers().next().unwrap().counters().clone();
        assert_eq!(counters.advertisements_received, 1, "{counters:?}");
        // Then it becomes a master, and what it sends is kept.
        for _ in 0..60 {
            now.instant += Duration::from_millis(100);
            node.handle_timeout(now, &mut actions);
        }
        assert_eq!(node.routers().next().unwrap().state(), State::Master);
        node.record(None);
        // A state of that moment, too.
        node.record(reel.tape());
        node.handle_timeout(now, &mut Actions::default());
        node.record(None);

        let pieces = reel.pieces();
        for secret in [&PASSWORD[..], b"hunter23", &KEY[..8], &[7; 8]] {
            let holds = |piece: &Piece| piece.bytes.windows(8).any(|window| window == secret);
            assert!(!pieces.iter().any(holds), "{secret:?} is in the recording");
        }
        let first: Vec<Piece> =
            pieces.iter().take(pieces.iter().rposition(|p| p.is_state).unwrap()).cloned().collect();
        let (replay, _) = replay(&first);
        let replayed = replay.node().routers().next().unwrap();
        assert_eq!(replayed.state(), State::Master);
        let original = node.routers().next().unwrap().counters();
        assert_eq!((replayed.counters(), replayed.counters().advertisements_received), (original, 1));
    }
}

#[test]
fn what_finds_no_room_is_counted_and_a_state_follows() {
    let reel = Reel::default();
    let (mut node, mut now) = node(OWN, 112, |_| {}, reel.tape());
    let mut actions = Actions::default();
    let mut pass = |node: &mut Taped, times: u32| {
        for _ in 0..times {
            now.instant += Duration::from_millis(100);
            node.handle_timeout(now, &mut actions);
            let sent = core::mem::take(&mut actions).transmit;
            node.note_sent(now, &sent, &Default::default(), &mut actions);
        }
    };
    pass(&mut node, 3);
    reel.0.lock().unwrap().1 = true;
    pass(&mut node, 40);
    reel.0.lock().unwrap().1 = false;
    pass(&mut node, 20);
    node.record(None);
    let pieces = reel.pieces();
    let lost: Vec<u64> = pieces.iter().filter(|piece| piece.is_state).map(|piece| piece.lost).collect();
    assert_eq!(lost.len(), 2, "{lost:?}");
    assert_eq!(lost[0], 0);
    assert!(lost[1] > 60, "{lost:?}");
    let second = pieces.iter().rposition(|piece| piece.is_state).unwrap();
    let (replay, _) = replay(&pieces[second..]);
    let [replayed, original] =
        [replay.node(), &*node].map(|node| node.routers().next().unwrap().counters().clone());
    assert_eq!(replayed, original);
}

#[test]
fn what_is_no_recording_is_refused_with_its_place() {
    let reel = Reel::default();
    let (mut node, now) = node(OWN, 112, |_| {}, reel.tape());
    node.handle_timeout(now, &mut Actions::default());
    node.record(None);
    let pieces = reel.pieces();
    let (state, inputs) = (&pieces[0].bytes, &pieces[1].bytes);
    assert!(Inputs::of(inputs).filter(Result::is_ok).count() > 2);
    for end in 0..state.len() {
        assert!(Replay::of_state(&state[..end]).is_err(), "{end}");
    }
    let mut longer = state.clone();
    longer.push(0);
    assert!(Replay::of_state(&longer).unwrap_err().what.contains("more than one"));
    for end in 1..inputs.len() {
        let faults: Vec<_> = Inputs::of(&inputs[..end]).filter_map(Result::err).collect();
        assert!(faults.len() <= 1 && faults.iter().all(|fault| fault.offset < end), "{end}: {faults:?}");
    }
}
