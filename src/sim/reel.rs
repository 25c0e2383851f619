//! Recordings of simulated daemons: what the daemon's recorder writes to files, kept in memory.

use std::sync::{Arc, Mutex, PoisonError};

use super::machine::MachineId;
use crate::node::recording::{Piece, Spool, Tape};

/// The recording of one daemon.
#[derive(Clone, Debug)]
pub struct Reel {
    machine: MachineId,
    pieces: Arc<Mutex<Vec<Piece>>>,
    /// A state is wanted after so many pieces.
    stretch: usize,
}

impl Reel {
    /// An empty one, with a state after every so many pieces.
    pub fn new(machine: MachineId, stretch: usize) -> Self {
        Self { machine, pieces: Arc::default(), stretch }
    }

    /// Whose daemon it is of.
    pub const fn machine(&self) -> MachineId {
        self.machine
    }

    /// What has been recorded so far.
    pub fn pieces(&self) -> Vec<Piece> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where to record.
    pub fn tape(&self) -> Box<Tape> {
        Box::new(Tape::new(Box::new(self.clone())))
    }
}

impl Spool for Reel {
    fn room(&mut self) -> Option<Vec<u8>> {
        Some(Vec::new())
    }

    fn room_for_state(&mut self) -> Option<Vec<u8>> {
        Some(Vec::new())
    }

    fn wants_state(&self) -> bool {
        let pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        pieces.iter().rev().take_while(|piece| !piece.is_state).count() >= self.stretch
    }

    fn put(&mut self, piece: Piece) {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner).push(piece);
    }
}
