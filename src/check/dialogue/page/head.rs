//! The head of an answer of HTTP (RFC 9112 §2 to §4), line by line, whatever its length.

use crate::check::dialogue::quoted;

/// Longest line of which more than its beginning counts.
const LINE: usize = 8 * 1024;
/// Longest head, with those of interim answers.
const HEAD: usize = 256 * 1024;

/// How the end of a body is known (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::check::dialogue) enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// Up to the end of the connection.
    Connection,
    /// Up to the end of the stream (HTTP/2), which is told apart from that of the connection.
    Stream,
}

/// A whole head.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// As people may read it: `503 Service Unavailable`.
    pub(super) line: String,
    pub(super) framing: Framing,
}

/// A head while it is read.
#[derive(Debug, Default)]
pub(super) struct HeadReader {
    line: Vec<u8>,
    total: usize,
    status: Option<(u16, String)>,
    length: Option<u64>,
    chunked: bool,
}

impl HeadReader {
    /// Takes bytes up to the end of the head. With it, how many of them there were.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Option<(Head, usize)>, String> {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            let end = memchr::memchr(b'\n', rest);
            let part = rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest);
            self.total = self.total.saturating_add(part.len() + 1);
            if self.total > HEAD {
                return Err(format!("a head of more than {HEAD} bytes"));
            }
            let room = LINE.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            used += part.len() + usize::from(end.is_some());
            if end.is_some()
                && let Some(head) = self.end_line()?
            {
                return Ok(Some((head, used)));
            }
        }
        Ok(None)
    }

    fn end_line(&mut self) -> Result<Option<Head>, String> {
        let line = core::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let Some((status, text)) = &self.status else {
            self.status =
                Some(status_line(line).ok_or_else(|| format!("no answer of HTTP: {}", quoted(line)))?);
            return Ok(None);
        };
        if !line.is_empty() {
            self.field(line);
            return Ok(None);
        }
        let framing = match (status, self.chunked, self.length) {
            (100..=199 | 204 | 304, ..) => Framing::None,
            (_, true, _) => Framing::Chunked,
            (_, false, Some(length)) => Framing::Length(length),
            (_, false, None) => Framing::Connection,
        };
        let head = Head { status: *status, line: text.clone(), framing };
        // Another one follows an interim answer.
        *self = Self { total: self.total, ..Self::default() };
        Ok(Some(head))
    }

    fn field(&mut self, line: &[u8]) {
        let Some(colon) = memchr::memchr(b':', line) else { return };
        let (name, value) = (line[..colon].trim_ascii_end(), line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits =
                core::str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
            // A number beyond all bounds never ends.
            self.length = digits.filter(|text| !text.is_empty()).map(|text| text.parse().unwrap_or(u64::MAX));
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let last = value.rsplit(|byte| *byte == b',').next().unwrap_or(value);
            self.chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
        }
    }
}

/// The status, and it with its words.
fn status_line(line: &[u8]) -> Option<(u16, String)> {
    let rest = line.strip_prefix(b"HTTP/")?;
    let at = memchr::memchr(b' ', rest)?;
    let words = rest.get(at..)?.trim_ascii();
    let digits: &[u8; 3] = words.first_chunk()?;
    if !digits.iter().all(u8::is_ascii_digit) || words.get(3).is_some_and(|next| *next != b' ') {
        return None;
    }
    let status = digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
    Some((status, quoted(words).trim_matches('`').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], portion: usize) -> Result<Option<Head>, String> {
        let mut reader = HeadReader::default();
        for (index, piece) in text.chunks(portion).enumerate() {
            if let Some((head, used)) = reader.take(piece)? {
                assert_eq!(index * portion + used, text.len(), "the body is left");
                return Ok(Some(head));
            }
            assert!(reader.line.len() <= LINE);
        }
        Ok(None)
    }

    #[track_caller]
    fn head(text: &str) -> Head {
        let whole = read(text.as_bytes(), usize::MAX).unwrap().unwrap();
        assert_eq!(read(text.as_bytes(), 1).unwrap().unwrap(), whole);
        whole
    }

    #[test]
    fn heads_of_real_servers_are_understood() {
        let nginx = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Thu, 26 Nov 2026 10:00:00 GMT\r\nContent-Type: \
                     text/html\r\nContent-Length: 615\r\nConnection: close\r\nETag: \"64230162-267\"\r\n\r\n";
        assert_eq!(head(nginx), Head { status: 200, line: "200 OK".into(), framing: Framing::Length(615) });
        let apache = "HTTP/1.1 503 Service Unavailable\r\nServer: Apache/2.4.57 (Debian)\r\ntransfer-encoding: gzip, Chunked\r\n\r\n";
        let wanted = Head { status: 503, line: "503 Service Unavailable".into(), framing: Framing::Chunked };
        assert_eq!(head(apache), wanted);
        // Python's http.server without a length; no words; bare line feeds.
        assert_eq!(
            head("HTTP/1.0 404\n\n"),
            Head { status: 404, line: "404".into(), framing: Framing::Connection }
        );
        assert_eq!(head("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n").framing, Framing::None);
        let odd = "HTTP/1.1 200 OK\r\nno colon\r\n: empty\r\nContent-Length: 99999999999999999999999\r\n\r\n";
        assert_eq!(head(odd).framing, Framing::Length(u64::MAX));
        for length in ["-5", "+5", "5x", ""] {
            let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            assert_eq!(head(&text).framing, Framing::Connection, "{length}");
        }
    }

    #[test]
    fn what_is_no_head_is_bad() {
        for text in [
            "SSH-2.0-OpenSSH_9.2\r\n",
            "\r\n",
            "HTTP/1.1\r\n",
            "HTTP/1.1 20\r\n",
            "HTTP/1.1 2000 x\r\n",
            "HTTP/1.1 abc\r\n",
        ] {
            assert!(read(text.as_bytes(), 1).is_err(), "{text}");
        }
        let endless = b"X: y\r\n".repeat(HEAD);
        assert!(read(&[b"HTTP/1.1 200 OK\r\n".to_vec(), endless].concat(), 1000).is_err());
        let one_line = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'y'; HEAD]].concat();
        assert!(read(&one_line, 1000).is_err());
        // A long field does no harm.
        let long =
            [b"HTTP/1.1 200 OK\r\nCookie: ".to_vec(), vec![b'y'; 100_000], b"\r\n\r\n".to_vec()].concat();
        assert_eq!(read(&long, 1000).unwrap().unwrap().status, 200);
    }
}
