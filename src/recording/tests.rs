//! Files that are recordings, nearly.

use core::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use super::*;
use crate::kernel::{
    Detection, Forwarding, HeldAddress, KernelEvent, KernelView, Link, ReceiveSocket, SocketEvent,
};
use crate::net::{Family, InterfaceIndex, Prefix};
use crate::node::recording::{Piece, Spool, Tape, Taped};
use crate::node::{Event, HaNode, NodeConfig};
use crate::prng::Prng;
use crate::time::{Duration, Instant, Now, WallTime};
use crate::vrrp::{Actions, News, RouterConfig, State};
use crate::wire::vrrp::Vrid;

#[derive(Clone, Debug, Default)]
struct Reel(Arc<Mutex<Vec<Piece>>>);

impl Spool for Reel {
    fn room(&mut self) -> Option<Vec<u8>> {
        Some(Vec::new())
    }

    fn room_for_state(&mut self) -> Option<Vec<u8>> {
        Some(Vec::new())
    }

    fn wants_state(&self) -> bool {
        false
    }

    fn put(&mut self, piece: Piece) {
        self.0.lock().unwrap().push(piece);
    }
}

const BEGUN: WallTime = WallTime::from_unix_micros(1_764_264_563_000_000);

fn head() -> Head {
    Head { version: "7.8.9".to_owned(), host: "gw1".to_owned(), ..Head::default() }
}

/// A router that becomes a master.
fn file() -> Vec<u8> {
    file_of(&pieces(0), |_, _| {})
}

/// A recording of these pieces, with what is done to the bytes of each.
fn file_of(pieces: &[Piece], mut forge: impl FnMut(usize, &mut Vec<u8>)) -> Vec<u8> {
    let mut file = start_of(&head());
    let mut buffer = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        let mut piece = piece.clone();
        forge(number, &mut piece.bytes);
        frame_of(&piece, 0, &mut buffer);
        file.extend_from_slice(&buffer);
    }
    file
}

/// What is recorded from a step on, of fifty. From the sixth second of a daemon on, it is master.
fn pieces(from: usize) -> Vec<Piece> {
    let reel = Reel::default();
    let eth0 = InterfaceIndex::new(1).unwrap();
    let router = RouterConfig::new("VI_1", Vrid::new(51).unwrap(), Family::Ipv4, "eth0".parse().unwrap());
    let mut node = Taped::new(HaNode::new(NodeConfig { routers: vec![router], ..NodeConfig::default() }));
    let record = || Some(Box::new(Tape::new(Box::new(reel.clone()))));
    if from == 0 {
        node.record(record());
    }
    let mut now = Now { instant: Instant::from_micros(5_000_000), wall: BEGUN };
    let mut actions = Actions::default();
    let link = Link {
        key: eth0,
        name: "eth0".parse().unwrap(),
        mac: None,
        mtu: 1500,
        admin_up: true,
        running: true,
        loopback: false,
        forwarding: Forwarding::default(),
        stacked: None,
        vrf_table: None,
    };
    let own = HeldAddress {
        link: eth0,
        prefix: Prefix::new([192, 0, 2, 1].into(), 24).unwrap(),
        ours: false,
        secondary: false,
        detection: Detection::Done,
    };
    let view = KernelView { links: vec![link], addresses: vec![own], ..KernelView::default() };
    node.handle(now, Event::Kernel(KernelEvent::View(view)), &mut actions);
    let socket = ReceiveSocket::vrrp(eth0, [224, 0, 0, 18].into());
    node.handle(now, Event::Socket(SocketEvent::Opened(socket)), &mut actions);
    for step in 0..50 {
        if step > 0 && step == from {
            node.record(record());
        }
        now.instant += Duration::from_millis(100);
        now.wall = now.wall + Duration::from_millis(100);
        node.handle_timeout(now, &mut actions);
    }
    node.record(None);
    let pieces = reel.0.lock().unwrap();
    pieces.clone()
}

fn told(file: &[u8], until: Option<WallTime>) -> (Vec<(Now, Told)>, Played, Result<(), Fault>) {
    let (mut told, mut played) = (Vec::new(), Played::default());
    let outcome = Reader::new(file).and_then(|mut reader| {
        play(&mut reader, until, &mut played, &mut |now, what| {
            told.push((now, what));
            ControlFlow::Continue(())
        })
    });
    (told, played, outcome)
}

fn states(told: &[(Now, Told)]) -> Vec<State> {
    let news = told.iter().filter_map(|(_, told)| match told {
        Told::News(news) => Some(news),
        Told::Begins { .. } | Told::Diverged { .. } => None,
    });
    news.flat_map(|news| News::transitions(core::slice::from_ref(news)).map(|t| t.to)).collect()
}

#[test]
fn a_recording_is_played_up_to_a_moment() {
    let file = file();
    assert_eq!(Reader::new(&file[..]).unwrap().head(), &head());
    let (whole, played, outcome) = told(&file, None);
    assert_eq!(outcome, Ok(()));
    assert!(!played.stopped && played.inputs > 50);
    assert_eq!(whole[0].1, Told::Begins { lost: 0 });
    assert_eq!(states(&whole), [State::Backup, State::Master]);
    let (early, played, _) = told(&file, Some(BEGUN + Duration::from_secs(2)));
    assert!(played.stopped);
    assert_eq!(states(&early), [State::Backup]);
    let replay = played.replay.unwrap();
    assert_eq!(replay.now().wall, BEGUN + Duration::from_secs(2));
    assert_eq!(replay.node().routers().next().unwrap().state(), State::Backup);
}

#[test]
fn of_a_damaged_recording_what_is_whole_is_played_and_the_place_is_named() {
    let file = file();
    let (whole, ..) = told(&file, None);
    let mut prng = Prng::new(11);
    for _ in 0..600 {
        let mut damaged = file.clone();
        for _ in 0..prng.between(1, 3) {
            let place = prng.below(file.len() as u64) as usize;
            damaged[place] ^= prng.between(1, 255) as u8;
        }
        if prng.chance(1, 4) {
            damaged.truncate(prng.below(file.len() as u64) as usize);
        }
        let (played, _, outcome) = told(&damaged, None);
        // Some damage may undo itself.
        let Err(fault) = outcome else { continue };
        assert!(fault.offset <= damaged.len() as u64 && !fault.what.is_empty(), "{fault}");
        assert!(played.len() <= whole.len() && played.iter().zip(&whole).all(|(one, other)| one == other));
    }
    for length in (0..file.len()).step_by(7) {
        let (_, _, outcome) = told(&file[..length], None);
        assert!(
            outcome.is_ok() || outcome.as_ref().is_err_and(|fault| fault.what.contains("cut off")),
            "{outcome:?}"
        );
    }
}

/// Checksums keep nobody from writing what no daemon records. It is refused or played, whatever comes of that.
#[test]
fn a_forged_recording_is_refused_or_played() {
    let recordings = [pieces(0), pieces(45)];
    let mut prng = Prng::new(5);
    let (mut refused, mut whole) = (0, 0);
    for _ in 0..2_000 {
        let pieces = &recordings[prng.below(2) as usize];
        let place = prng.below(pieces.len() as u64) as usize;
        let file = file_of(pieces, |number, bytes| {
            if number != place || bytes.is_empty() {
                return;
            }
            for _ in 0..prng.between(1, 3) {
                let at = prng.below(bytes.len() as u64) as usize;
                match prng.below(4) {
                    0 => bytes[at] = prng.below(256) as u8,
                    1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][prng.below(5) as usize],
                    2 => bytes[at] = bytes[at].wrapping_add(1),
                    // The largest number there is.
                    _ => {
                        bytes.splice(at..=at, [[0xff; 9].as_slice(), &[1]].concat());
                    }
                }
            }
        });
        let (_, played, outcome) = told(&file, None);
        refused += u32::from(outcome.is_err());
        whole += u32::from(outcome.is_ok() && played.inputs > 0);
    }
    assert!(refused > 100 && whole > 100, "{refused} refused, {whole} played");
}

#[test]
fn other_files_are_refused_with_what_to_do() {
    let fault = |bytes: &[u8]| told(bytes, None).2.unwrap_err().to_string();
    assert!(fault(b"vrrp_instance VI_1 {\n interface eth0\n}\n").contains("at byte 0: this is no recording"));
    assert!(fault(b"").contains("cut off"));
    let mut newer = file();
    newer[17] = 99;
    let text = fault(&newer);
    assert!(text.contains("of format 99") && text.contains("with alived 7.8.9"), "{text}");
    let mut huge = file();
    let first = start_of(&head()).len();
    huge[first + 5..first + 9].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(fault(&huge).contains("cannot have 4294967295 bytes"), "{}", fault(&huge));
    // A recording without a state at its beginning.
    let mut piece = start_of(&head());
    let mut buffer = Vec::new();
    frame_of(&Piece { bytes: vec![1, 2, 3], ..Piece::default() }, 0, &mut buffer);
    piece.extend(buffer);
    assert!(fault(&piece).contains("no state to begin with"), "{}", fault(&piece));
    let mut prng = Prng::new(3);
    for _ in 0..2_000 {
        let mut bytes: Vec<u8> = (0..prng.below(200)).map(|_| prng.below(256) as u8).collect();
        assert!(Reader::new(&bytes[..]).is_err());
        // Behind a right beginning.
        bytes.splice(0..0, start_of(&head()));
        let empty = bytes.len() == start_of(&head()).len();
        assert!(told(&bytes, None).2.is_err() || empty);
    }
}

/// A recording of this format, from when it was introduced.
const KEPT: &[u8] = include_bytes!("../../tests/golden/format-2.rec");

/// The types that recordings are made of have not changed since. If they have, on purpose, raise [`FORMAT`] and keep what the
/// failure prints: `xxd -r -p >tests/golden/format-N.rec`.
#[test]
fn a_kept_recording_is_what_is_recorded_now() {
    let frames = |bytes: &[u8]| -> Vec<Frame> { Reader::new(bytes).unwrap().map(Result::unwrap).collect() };
    let now = file();
    let hex: String = now.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(frames(KEPT).len() > 2);
    assert!(frames(KEPT) == frames(&now), "a type that recordings are made of has changed; now it is\n{hex}");
}
