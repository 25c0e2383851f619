//! A recording as a file: what reached the protocol core ([`crate::node::recording`]), to be replayed elsewhere and later.
//!
//! ```text
//! 0   17  "alived recording\n"
//! 17  4   FORMAT
//! 21  4   length of the head
//! 25  4   CRC-32 of the head
//! 29      head: JSON, of any format the same
//! then, until the end, frames:
//! 0   1   kind: 1 = state, 2 = inputs
//! 1   4   bytes that follow
//! 5   4   bytes of the content
//! 9   4   CRC-32 of all of the frame but this
//! 13      content, compressed (LZ4 block): a state's begins with the number (u64) of inputs lost before it
//! ```
//! Numbers are little-endian. The first frame is a state, so that a replay can begin with each file; each frame can be
//! read by itself. States and inputs are encoded by postcard, in the order of the fields of their types: whoever
//! changes one of these types changes [`FORMAT`].

mod play;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use play::{Played, Told, play};
pub use read::{Fault, Frame, Reader};
pub use write::{Head, frame_of, start_of};

/// The format that is written and read.
pub const FORMAT: u32 = 2;

const MAGIC: &[u8; 17] = b"alived recording\n";

/// Most bytes of a head.
const HEAD_MAX: usize = 64 * 1024;

/// Most bytes of a frame's content: the state of a hundred thousand virtual routers.
const CONTENT_MAX: usize = 1 << 30;

const STATE: u8 = 1;
const INPUTS: u8 = 2;

/// Bytes of a frame before its content.
const FRAME_HEAD: usize = 13;
