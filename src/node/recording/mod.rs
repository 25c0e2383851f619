//! What reaches a node, written down as it happens, and a node that the same happens to again.
//!
//! A node does what follows from its state, from what it is told and from what time it is, and from nothing else. So
//! [`Taped`], which stands between a node and its driver, notes exactly that: the whole state now and then, and every call.
//! [`Replay`] makes the same calls from such a state on.
//!
//! Passwords and keys are not noted: pseudonyms stand for them, and what was found of signatures is noted with each packet.

mod input;
mod replay;
mod tape;
mod taped;

pub use input::{Fault, Input, Inputs};
pub use replay::{Replay, Step};
pub use tape::{PIECE_BYTES, Piece, Spool, Tape};
pub use taped::Taped;
