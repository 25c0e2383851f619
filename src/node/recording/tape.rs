//! Where inputs are written down, without ever waiting.

use core::fmt;
use std::borrow::Cow;

use super::input::{Input, Noted, Standing};
use crate::node::HaNode;
use crate::time::{Duration, Now};

/// A piece that has so many bytes is handed on.
pub const PIECE_BYTES: usize = 48 * 1024;
/// And one that is as old as this, at the next input.
const PIECE_AGE: Duration = Duration::from_millis(250);

/// Some inputs in their order, or the whole state of a node.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Piece {
    /// Encoded.
    pub bytes: Vec<u8>,
    /// It is the state at [`Piece::begun`], and inputs follow.
    pub is_state: bool,
    /// Inputs that were lost before it for want of room; a state follows then.
    pub lost: u64,
    /// Of the first input.
    pub begun: Now,
}

/// Where pieces go, and where room for them comes from. Nothing of it waits, locks or allocates.
pub trait Spool: fmt::Debug + Send {
    /// Room for a piece of inputs; `None` while there is none.
    fn room(&mut self) -> Option<Vec<u8>>;

    /// Room for a state; `None` while there is none.
    fn room_for_state(&mut self) -> Option<Vec<u8>>;

    /// Whether a state is wanted, from which a replay can begin.
    fn wants_state(&self) -> bool;

    /// Takes a piece. As many fit as there is room for.
    fn put(&mut self, piece: Piece);
}

/// A recording under way.
#[derive(Debug)]
pub struct Tape {
    spool: Box<dyn Spool>,
    /// The piece that is written.
    piece: Option<Piece>,
    /// Time of its last input; 0 at its beginning, so that each can be read by itself.
    last: Now,
    /// A state is on it.
    begun: bool,
    /// Inputs that found no room since the last that did.
    lost: u64,
}

impl Tape {
    /// An empty one.
    pub fn new(spool: Box<dyn Spool>) -> Self {
        Self { spool, piece: None, last: Now::default(), begun: false, lost: 0 }
    }

    /// Before something reaches the node: notes its state where that is wanted, if `whole` says that the state is all
    /// that there is.
    pub(super) fn prepare(&mut self, now: Now, node: &HaNode, whole: bool) {
        let needed = !self.begun || self.lost > 0;
        if !whole || !needed && !self.spool.wants_state() {
            return;
        }
        let Some(room) = self.spool.room_for_state() else { return };
        self.finish();
        let standing = Standing { instant: now.instant, wall: now.wall, node: Cow::Borrowed(node) };
        // It cannot fail: every type in it has a length that is known.
        let Ok(bytes) = postcard::to_extend(&standing, room) else { return };
        self.spool.put(Piece { bytes, is_state: true, lost: self.lost, begun: now });
        (self.begun, self.lost) = (true, 0);
    }

    /// Something has reached the node, or is about to.
    pub(super) fn note(&mut self, now: Now, input: &Input<'_>) {
        if !self.begun || self.lost > 0 {
            // Nothing is noted before the next state.
            self.lost += u64::from(self.begun);
            return;
        }
        let piece = self.piece.take().or_else(|| {
            self.last = Now::default();
            self.spool.room().map(|bytes| Piece { bytes, begun: now, ..Piece::default() })
        });
        let Some(Piece { bytes, begun, .. }) = piece else {
            self.lost += 1;
            return;
        };
        match postcard::to_extend(&Noted::new(self.last, now, input), bytes) {
            Ok(bytes) => {
                self.last = now;
                let full =
                    bytes.len() >= PIECE_BYTES || now.instant.saturating_since(begun.instant) >= PIECE_AGE;
                self.piece = Some(Piece { bytes, begun, ..Piece::default() });
                if full {
                    self.finish();
                }
            }
            // As above.
            Err(_) => self.lost += 1,
        }
    }

    /// Hands on what has been noted; dropping it does the same.
    pub fn finish(&mut self) {
        if let Some(piece) = self.piece.take() {
            self.spool.put(piece);
        }
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        self.finish();
    }
}
