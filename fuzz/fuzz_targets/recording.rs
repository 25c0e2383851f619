//! Any bytes as a recording, and a real one with any damage: an error that names its place, never a panic, and no memory
//! out of proportion to the file. What is replayed from a damaged file is what was recorded, as far as it goes.

#![no_main]

use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock, Mutex};

use alived::kernel::{
    Detection, Forwarding, HeldAddress, KernelEvent, KernelView, Link, ReceiveSocket, SocketEvent,
};
use alived::net::{Family, InterfaceIndex, Prefix};
use alived::node::recording::{Inputs, Piece, Replay, Spool, Tape, Taped};
use alived::node::{Event, HaNode, NodeConfig};
use alived::recording::{Head, Played, Reader, Told, frame_of, play, start_of};
use alived::time::{Duration, Instant, Now, WallTime};
use alived::vrrp::{Actions, RouterConfig};
use alived::wire::vrrp::Vrid;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    match kind % 4 {
        0 => any_file(rest),
        1 => drop(Replay::of_state(rest)),
        2 => Inputs::of(rest).for_each(drop),
        _ => damaged(rest),
    }
});

fn any_file(bytes: &[u8]) {
    let reader = match Reader::new(bytes) {
        Ok(reader) => reader,
        Err(fault) => return assert!(fault.offset <= bytes.len() as u64 && !fault.what.is_empty()),
    };
    for frame in reader {
        match frame {
            Ok(frame) => {
                assert!(frame.bytes.len() <= bytes.len().saturating_mul(256));
                match frame.state {
                    Some(_) => drop(Replay::of_state(&frame.bytes)),
                    None => Inputs::of(&frame.bytes).for_each(drop),
                }
            }
            Err(fault) => assert!(fault.offset <= bytes.len() as u64),
        }
    }
}

/// Some bytes of a real recording are others, or it is cut off.
fn damaged(damage: &[u8]) {
    let mut file = RECORDING.clone();
    for change in damage.chunks_exact(3) {
        let place = usize::from(u16::from_be_bytes([change[0], change[1]])) % file.len();
        file[place] ^= change[2];
    }
    if let [.., end] = damage.chunks_exact(3).remainder() {
        file.truncate(file.len() * usize::from(*end) / 256);
    }
    let Ok(mut reader) = Reader::new(&file[..]) else { return };
    let mut told = Vec::new();
    let _ = play(&mut reader, None, &mut Played::default(), &mut |now, what| {
        told.push((now, what));
        ControlFlow::Continue(())
    });
    // A checksum tells each change of one byte; several can be made to agree with it.
    if damage.len() < 6 {
        assert!(told.iter().zip(WHOLE.iter()).all(|(told, whole)| told == whole));
        assert!(told.len() <= WHOLE.len());
    }
}

static WHOLE: LazyLock<Vec<(Now, Told)>> = LazyLock::new(|| {
    let mut told = Vec::new();
    let mut reader = Reader::new(&RECORDING[..]).expect("a recording");
    play(&mut reader, None, &mut Played::default(), &mut |now, what| {
        told.push((now, what));
        ControlFlow::Continue(())
    })
    .expect("a whole one");
    told
});

/// A router that becomes a master.
static RECORDING: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let pieces: Arc<Mutex<Vec<Piece>>> = Arc::default();
    let eth0 = InterfaceIndex::new(1).expect("above 0");
    let router = RouterConfig::new(
        "VI",
        Vrid::new(51).expect("above 0"),
        Family::Ipv4,
        "eth0".parse().expect("a name"),
    );
    let mut node = Taped::new(HaNode::new(NodeConfig { routers: vec![router], ..NodeConfig::default() }));
    node.record(Some(Box::new(Tape::new(Box::new(Reel(Arc::clone(&pieces)))))));
    let mut now = Now { instant: Instant::ZERO, wall: WallTime::from_unix_micros(1 << 50) };
    let mut actions = Actions::default();
    let link = Link {
        key: eth0,
        name: "eth0".parse().expect("a name"),
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
        prefix: Prefix::new([192, 0, 2, 1].into(), 24).expect("a prefix"),
        ours: false,
        secondary: false,
        detection: Detection::Done,
    };
    let view = KernelView { links: vec![link], addresses: vec![own], ..KernelView::default() };
    node.handle(now, Event::Kernel(KernelEvent::View(view)), &mut actions);
    let socket = ReceiveSocket::vrrp(eth0, [224, 0, 0, 18].into());
    node.handle(now, Event::Socket(SocketEvent::Opened(socket)), &mut actions);
    for _ in 0..100 {
        now.instant += Duration::from_millis(100);
        node.handle_timeout(now, &mut actions);
    }
    node.record(None);
    let mut file = start_of(&Head::default());
    let mut buffer = Vec::new();
    for piece in pieces.lock().expect("one thread").iter() {
        frame_of(piece, 0, &mut buffer);
        file.extend_from_slice(&buffer);
    }
    file
});

#[derive(Debug)]
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
        self.0.lock().expect("one thread").push(piece);
    }
}
