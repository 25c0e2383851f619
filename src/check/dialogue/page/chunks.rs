//! A body in chunks (RFC 9112 §7.1).

/// Longest line with a size.
const LINE: usize = 4 * 1024;
/// Longest trailer.
const TRAILER: usize = 64 * 1024;

/// Where it stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Size,
    Data(u64),
    /// The end of the line after the data.
    DataEnd,
    Trailer,
    Over,
}

/// Takes the framing off.
#[derive(Debug)]
pub(super) struct Chunks {
    state: State,
    size: Option<u64>,
    /// Bytes of the line, or of the trailer, so far.
    length: usize,
    /// The line of the trailer has something in it.
    full: bool,
    /// An extension: what follows is no size.
    extended: bool,
}

impl Chunks {
    pub(super) const fn new() -> Self {
        Self { state: State::Size, size: None, length: 0, full: false, extended: false }
    }

    /// Whether all of it has come.
    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Hands on what is in the chunks. How many bytes belong to the body.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        mut hand_on: impl FnMut(&[u8]),
    ) -> Result<usize, &'static str> {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            match self.state {
                State::Data(left) => {
                    let most = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    hand_on(&rest[..most]);
                    used += most;
                    let left = left - most as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                }
                State::Over => break,
                _ => {
                    self.byte(rest[0])?;
                    used += 1;
                }
            }
        }
        Ok(used)
    }

    fn byte(&mut self, byte: u8) -> Result<(), &'static str> {
        self.length += 1;
        match (self.state, byte) {
            (State::DataEnd, b'\r') if self.length == 1 => {}
            (State::DataEnd, b'\n') => self.begin(State::Size),
            (State::DataEnd, _) => return Err("a chunk is longer than it says"),
            (State::Size, b'\n') => match self.size.ok_or("a chunk without a size")? {
                0 => self.begin(State::Trailer),
                size => self.begin(State::Data(size)),
            },
            (State::Size, _) if self.length > LINE => return Err("a chunk whose size never ends"),
            (State::Size, b';' | b' ' | b'\t' | b'\r') => self.extended = true,
            (State::Size, _) if self.extended => {}
            (State::Size, digit) => {
                let digit = char::from(digit).to_digit(16).ok_or("a chunk without a size")?;
                let size = self.size.unwrap_or(0).checked_mul(16).ok_or("a chunk beyond all sizes")?;
                self.size = Some(size | u64::from(digit));
            }
            (State::Trailer, b'\n') if !self.full => self.state = State::Over,
            (State::Trailer, b'\n') => self.full = false,
            (State::Trailer, b'\r') => {}
            (State::Trailer, _) if self.length > TRAILER => return Err("a trailer that never ends"),
            (State::Trailer, _) => self.full = true,
            (State::Data(_) | State::Over, _) => {}
        }
        Ok(())
    }

    const fn begin(&mut self, state: State) {
        *self = Self { state, ..Self::new() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], portion: usize) -> Result<(Vec<u8>, usize, bool), &'static str> {
        let (mut chunks, mut body, mut used) = (Chunks::new(), Vec::new(), 0);
        for piece in text.chunks(portion) {
            used += chunks.take(piece, |bytes| body.extend_from_slice(bytes))?;
        }
        Ok((body, used, chunks.is_over()))
    }

    #[test]
    fn chunks_become_a_body() {
        for portion in [1, 2, 1000] {
            let text = b"5\r\nhello\r\n6;name=\"x\"\r\n world\r\n0\r\nDigest: x\r\n\r\nmore";
            assert_eq!(read(text, portion), Ok((b"hello world".to_vec(), text.len() - 4, true)));
            let bare = b"a\n0123456789\n0\n\n";
            assert_eq!(read(bare, portion), Ok((b"0123456789".to_vec(), bare.len(), true)));
            assert_eq!(read(b"ffffffffffffffff\r\nx", portion), Ok((b"x".to_vec(), 19, false)));
        }
    }

    #[test]
    fn what_is_no_chunk_is_an_error() {
        let long = [b"5;".to_vec(), vec![b'x'; LINE]].concat();
        let trailer = [b"0\r\n".to_vec(), b"x: y\r\n".repeat(TRAILER)].concat();
        for text in [&b"x\r\n"[..], b"\r\n", b"10000000000000000\r\n", b"1\r\nab\r\n", &long, &trailer] {
            assert!(read(text, 1).is_err() && read(text, 1000).is_err());
        }
    }
}
