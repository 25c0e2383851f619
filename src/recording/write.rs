//! What is written to a file.

use crc32fast::Hasher;
use serde::{Deserialize, Serialize};

use super::{FORMAT, FRAME_HEAD, INPUTS, MAGIC, STATE};
use crate::node::recording::Piece;

/// Whose recording it is.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Head {
    /// Of the program that recorded.
    pub version: String,
    /// Name of the host.
    #[serde(default)]
    pub host: String,
    /// Of the process that recorded.
    #[serde(default)]
    pub pid: u32,
    /// The configuration file.
    #[serde(default)]
    pub configuration: String,
}

/// The beginning of a file.
pub fn start_of(head: &Head) -> Vec<u8> {
    // Nothing in it can fail.
    let head = serde_json::to_vec(head).unwrap_or_default();
    let mut bytes = MAGIC.to_vec();
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend(length(head.len()));
    bytes.extend(crc32fast::hash(&head).to_le_bytes());
    bytes.extend(head);
    bytes
}

/// A piece as a frame; `lost` inputs more than it says were lost before it. `buffer` is used again from one to the next.
pub fn frame_of(piece: &Piece, lost: u64, buffer: &mut Vec<u8>) {
    let state;
    let (kind, content) = if piece.is_state {
        state = [&piece.lost.saturating_add(lost).to_le_bytes()[..], &piece.bytes].concat();
        (STATE, &state)
    } else {
        (INPUTS, &piece.bytes)
    };
    buffer.clear();
    buffer.resize(FRAME_HEAD + lz4_flex::block::get_maximum_output_size(content.len()), 0);
    // There is room for the worst.
    let packed = lz4_flex::block::compress_into(content, &mut buffer[FRAME_HEAD..]).unwrap_or_default();
    buffer.truncate(FRAME_HEAD + packed);
    buffer[0] = kind;
    buffer[1..5].copy_from_slice(&length(packed));
    buffer[5..9].copy_from_slice(&length(content.len()));
    let sum = sum(buffer);
    buffer[9..FRAME_HEAD].copy_from_slice(&sum.to_le_bytes());
}

/// The checksum of a frame.
pub(super) fn sum(frame: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(frame.get(..9).unwrap_or_default());
    hasher.update(frame.get(FRAME_HEAD..).unwrap_or_default());
    hasher.finalize()
}

/// What is longer cannot be read again, and there is no such piece.
fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}
