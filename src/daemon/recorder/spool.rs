//! The room between the vrrp thread and the recorder.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_queue::ArrayQueue;

use super::Progress;
use crate::node::recording::{PIECE_BYTES, Piece, Spool};

/// Pieces that can wait: 4 MiB, some seconds of thousands of advertisements.
const PIECES: usize = 64;
/// Room of each: one is handed on when it has [`PIECE_BYTES`], and a packet may still come.
const ROOM: usize = PIECE_BYTES + 16 * 1024;
/// Room for a state at first: so much for each virtual router, and for what there is once.
const STATE_PER_ROUTER: usize = 4 * 1024;
const STATE_ONCE: usize = 256 * 1024;

/// What both share.
#[derive(Debug)]
pub(super) struct Shared {
    free: ArrayQueue<Vec<u8>>,
    free_for_state: ArrayQueue<Vec<u8>>,
    pub(super) full: ArrayQueue<Piece>,
    /// A state is wanted, to begin a file with.
    pub(super) wants_state: AtomicBool,
    /// There will be no more.
    pub(super) ended: AtomicBool,
    /// Inputs left out.
    pub(super) lost: AtomicU64,
    /// Between the recorder and the main thread.
    progress: Mutex<Progress>,
}

/// The vrrp thread's end.
#[derive(Debug)]
pub(super) struct Near(Arc<Shared>);

impl Shared {
    pub(super) fn new(routers: usize) -> Self {
        let shared = Self {
            free: ArrayQueue::new(PIECES),
            free_for_state: ArrayQueue::new(1),
            full: ArrayQueue::new(PIECES + 1),
            wants_state: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            progress: Mutex::default(),
        };
        for _ in 0..PIECES {
            // There is a place for each.
            let _ = shared.free.push(room(ROOM));
        }
        let _ = shared.free_for_state.push(room(routers * STATE_PER_ROUTER + STATE_ONCE));
        shared
    }

    /// The vrrp thread's end.
    pub(super) fn spool(self: &Arc<Self>) -> Near {
        Near(Arc::clone(self))
    }

    /// The room of a piece that is written is free again.
    pub(super) fn give_back(&self, piece: Piece) {
        let Piece { mut bytes, is_state, .. } = piece;
        if is_state {
            // The next one may be larger.
            let wanted = bytes.len() + bytes.len() / 2 + STATE_ONCE;
            let room = if bytes.capacity() >= wanted { cleared(bytes) } else { room(wanted) };
            let _ = self.free_for_state.push(room);
            return;
        }
        if bytes.capacity() != ROOM {
            bytes = room(ROOM);
        }
        let _ = self.free.push(cleared(bytes));
    }

    pub(super) fn note(&self, progress: Progress) {
        let progress = Progress { lost: self.lost.load(Ordering::Relaxed), ..progress };
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Spool for Near {
    fn room(&mut self) -> Option<Vec<u8>> {
        self.0.free.pop()
    }

    fn room_for_state(&mut self) -> Option<Vec<u8>> {
        self.0.free_for_state.pop()
    }

    fn wants_state(&self) -> bool {
        self.0.wants_state.load(Ordering::Acquire)
    }

    fn put(&mut self, piece: Piece) {
        if piece.is_state {
            self.0.wants_state.store(false, Ordering::Release);
        }
        // There is a place for each: as many as there is room for.
        let _ = self.0.full.push(piece);
    }
}

/// Room that is in memory already.
fn room(size: usize) -> Vec<u8> {
    cleared(vec![1; size])
}

fn cleared(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.clear();
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_comes_back_and_is_never_more_than_there_was() {
        let shared = Arc::new(Shared::new(3));
        let mut near = shared.spool();
        let mut taken = Vec::new();
        while let Some(bytes) = near.room() {
            assert_eq!((bytes.len(), bytes.capacity()), (0, ROOM));
            taken.push(bytes);
        }
        assert_eq!(taken.len(), PIECES);
        let state = near.room_for_state().unwrap();
        assert!(near.room_for_state().is_none());
        for bytes in taken {
            near.put(Piece { bytes, ..Piece::default() });
        }
        near.put(Piece { bytes: state, is_state: true, ..Piece::default() });
        assert!(near.room().is_none());
        let mut count = 0;
        while let Some(mut piece) = shared.full.pop() {
            // One has grown.
            piece.bytes.resize(if count == 0 { ROOM * 2 } else { 7 }, 0);
            shared.give_back(piece);
            count += 1;
        }
        assert_eq!(count, PIECES + 1);
        assert_eq!(std::iter::from_fn(|| near.room()).filter(|room| room.capacity() == ROOM).count(), PIECES);
        assert!(near.room_for_state().is_some_and(|room| room.is_empty()));
    }

    #[test]
    fn a_state_is_wanted_until_there_is_one() {
        let shared = Arc::new(Shared::new(0));
        let mut near = shared.spool();
        assert!(!near.wants_state());
        shared.wants_state.store(true, Ordering::Release);
        near.put(Piece::default());
        assert!(near.wants_state());
        near.put(Piece { is_state: true, ..Piece::default() });
        assert!(!near.wants_state());
    }
}
