//! What is read from a file, which may be anything.

use core::fmt;
use std::io::{self, Read};

use super::write::{Head, sum};
use super::{CONTENT_MAX, FORMAT, FRAME_HEAD, HEAD_MAX, INPUTS, MAGIC, STATE};

/// A file is no recording, or not to its end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// At this byte of the file.
    pub offset: u64,
    /// What is wrong, and what to do.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.what)
    }
}

/// A frame of a recording.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame {
    /// Where it is in the file.
    pub offset: u64,
    /// The state of a node, with the number of inputs that were lost before it; else inputs.
    pub state: Option<u64>,
    /// As [`Piece::bytes`](crate::node::recording::Piece::bytes).
    pub bytes: Vec<u8>,
}

/// Reads a recording frame by frame.
#[derive(Debug)]
pub struct Reader<R> {
    file: R,
    offset: u64,
    head: Head,
    failed: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the beginning of a recording.
    ///
    /// # Errors
    /// What makes it none, or none that can be read here.
    pub fn new(file: R) -> Result<Self, Fault> {
        let mut reader = Self { file, offset: 0, head: Head::default(), failed: false };
        let start = reader.bytes(MAGIC.len() + 12, true)?;
        let fault = |offset, what: String| Err(Fault { offset, what });
        if start.get(..MAGIC.len()) != Some(MAGIC) {
            return fault(0, "this is no recording of alived".to_owned());
        }
        let [format, length, sum] = [0, 4, 8].map(|place| number(&start, MAGIC.len() + place));
        let at = reader.offset;
        if length as usize > HEAD_MAX {
            return fault(
                21,
                format!(
                    "its head says that it has {length} bytes, more than the {HEAD_MAX} that one may have"
                ),
            );
        }
        let head = reader.bytes(length as usize, true)?;
        if crc32fast::hash(&head) != sum {
            return fault(at, "its head is damaged: the checksum does not fit".to_owned());
        }
        reader.head = match serde_json::from_slice(&head) {
            Ok(head) => head,
            Err(error) => return fault(at, format!("its head is not understood: {error}")),
        };
        if format != FORMAT {
            let by = &reader.head.version;
            return fault(
                17,
                format!(
                    "it is of format {format}, and this is alived {}, which reads format {FORMAT}: replay it with \
                     alived {by}, which recorded it",
                    env!("CARGO_PKG_VERSION")
                ),
            );
        }
        Ok(reader)
    }

    /// Whose recording it is.
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// The next frame; `None` at the end.
    fn frame(&mut self) -> Result<Option<Frame>, Fault> {
        let offset = self.offset;
        let fault = |what: String| Err(Fault { offset, what });
        let mut frame = self.bytes(FRAME_HEAD, false)?;
        if frame.is_empty() {
            return Ok(None);
        }
        let [packed, length, expected] = [1, 5, 9].map(|place| number(&frame, place));
        let (packed, length) = (packed as usize, length as usize);
        let is_state = match frame.first() {
            Some(&STATE) => true,
            Some(&INPUTS) => false,
            kind => {
                return fault(format!("there is no kind of record {}", kind.copied().unwrap_or_default()));
            }
        };
        // LZ4 makes of each byte 255 at most.
        if length > CONTENT_MAX || packed > CONTENT_MAX || length / 256 > packed {
            return fault(format!("a record cannot have {length} bytes in {packed}"));
        }
        frame.extend(self.bytes(packed, true)?);
        if sum(&frame) != expected {
            return fault("a record is damaged: the checksum does not fit".to_owned());
        }
        let mut bytes = match lz4_flex::block::decompress(frame.get(FRAME_HEAD..).unwrap_or_default(), length)
        {
            Ok(bytes) if bytes.len() == length => bytes,
            Ok(bytes) => return fault(format!("a record says {length} bytes and has {}", bytes.len())),
            Err(error) => return fault(format!("a record cannot be unpacked: {error}")),
        };
        let mut state = None;
        if is_state {
            let Some((lost, _)) = bytes.split_first_chunk::<8>() else {
                return fault("a record is too short for a state".to_owned());
            };
            state = Some(u64::from_le_bytes(*lost));
            bytes.drain(..8);
        }
        Ok(Some(Frame { offset, state, bytes }))
    }

    /// So many bytes; none at the end of the file, where there may be none.
    fn bytes(&mut self, count: usize, must: bool) -> Result<Vec<u8>, Fault> {
        let offset = self.offset;
        let mut bytes = Vec::new();
        // What is not there takes no memory.
        let read = (&mut self.file).take(count as u64).read_to_end(&mut bytes);
        self.offset += bytes.len() as u64;
        match read {
            Err(error) => Err(Fault { offset, what: unreadable(&error) }),
            Ok(read) if read == count || read == 0 && !must => Ok(bytes),
            Ok(read) => Err(Fault {
                offset,
                what: format!(
                    "the file ends in the midst of a record, {read} bytes after its beginning: it was cut off"
                ),
            }),
        }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Frame, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let frame = self.frame();
        self.failed = frame.is_err();
        frame.transpose()
    }
}

fn unreadable(error: &io::Error) -> String {
    format!("the file cannot be read: {error}")
}

fn number(bytes: &[u8], place: usize) -> u32 {
    let number = bytes.get(place..).and_then(|bytes| bytes.first_chunk::<4>());
    number.map_or(0, |number| u32::from_le_bytes(*number))
}
