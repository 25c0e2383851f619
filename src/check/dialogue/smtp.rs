//! `SMTP_CHECK`: banner, HELO, QUIT (RFC 5321 §3.1, §4.2).

use std::sync::Arc;

use super::{Verdict, quoted};
use crate::check::action::Event;
use crate::time::Duration;

/// What keepalived calls itself.
const HELO_NAME: &str = "smtpchecker.keepalived.org";
/// Longest line of a reply; RFC 5321 §4.5.3.1.5 has 512.
const LINE: usize = 1024;
/// Most lines of a reply.
const LINES: usize = 128;

/// One conversation.
#[derive(Debug)]
pub(in crate::check) struct SmtpDialogue {
    helo_name: Option<Arc<str>>,
    /// The HELO was sent.
    greeted: bool,
    /// The line being read, without its end.
    line: Vec<u8>,
    /// Lines of the reply so far.
    lines: usize,
}

impl SmtpDialogue {
    pub(super) fn new(helo_name: Option<Arc<str>>) -> Self {
        Self { helo_name, greeted: false, line: Vec::new(), lines: 0 }
    }

    pub(super) fn handle(&mut self, event: &Event<'_>, send: &mut Vec<Vec<u8>>) -> Option<Verdict> {
        match event {
            Event::Received(bytes) => bytes.iter().find_map(|byte| self.take(*byte, send)),
            Event::Closed => Some(Verdict::Bad(format!("closed before {}", self.awaited()).into())),
            _ => None,
        }
    }

    pub(super) fn timed_out(&self, after: Duration) -> Verdict {
        Verdict::Bad(format!("no {} within {after:?}", self.awaited()).into())
    }

    const fn awaited(&self) -> &'static str {
        if self.greeted { "answer to HELO" } else { "banner" }
    }

    fn take(&mut self, byte: u8, send: &mut Vec<Vec<u8>>) -> Option<Verdict> {
        if byte != b'\n' {
            if self.line.len() == LINE {
                return Some(Verdict::Bad(format!("a line of more than {LINE} bytes").into()));
            }
            self.line.push(byte);
            return None;
        }
        let line = core::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        self.lines += 1;
        // `220-…` is followed by more lines, the last one is `220 …` or `220`.
        let (code, last) = match line {
            [a, b, c] => ([*a, *b, *c], true),
            [a, b, c, b' ', ..] => ([*a, *b, *c], true),
            [a, b, c, b'-', ..] => ([*a, *b, *c], false),
            _ => return Some(Verdict::Bad(format!("no reply of SMTP: {}", quoted(line)).into())),
        };
        let wanted = if self.greeted { b"250" } else { b"220" };
        if code != *wanted {
            return Some(Verdict::Bad(format!("{} as {}", quoted(line), self.awaited()).into()));
        }
        if !last {
            let too_many = self.lines == LINES;
            return too_many.then(|| Verdict::Bad(format!("a reply of more than {LINES} lines").into()));
        }
        self.lines = 0;
        if self.greeted {
            send.push(b"QUIT\r\n".to_vec());
            return Some(Verdict::good("250 to HELO"));
        }
        self.greeted = true;
        send.push(format!("HELO {}\r\n", self.helo_name.as_deref().unwrap_or(HELO_NAME)).into_bytes());
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said to a server that says this, and the verdict.
    fn talk(chunks: &[&[u8]]) -> (Vec<String>, Option<Verdict>) {
        let mut smtp = SmtpDialogue::new(None);
        let mut send = Vec::new();
        let mut verdict = smtp.handle(&Event::Connected { certificate_expires: None }, &mut send);
        for chunk in chunks {
            assert_eq!(verdict, None);
            verdict = smtp.handle(&Event::Received(chunk), &mut send);
            assert!(smtp.line.len() <= LINE);
        }
        (send.into_iter().map(|bytes| String::from_utf8(bytes).unwrap()).collect(), verdict)
    }

    fn is_bad(chunks: &[&[u8]]) -> bool {
        matches!(talk(chunks).1, Some(Verdict::Bad(_)))
    }

    /// Postfix, whole and byte by byte; Exim with a banner of several lines.
    #[test]
    fn real_servers_are_understood() {
        let postfix: [&[u8]; 2] =
            [b"220 mail.example.org ESMTP Postfix (Debian/GNU)\r\n", b"250 mail.example.org\r\n"];
        let (said, verdict) = talk(&postfix);
        assert_eq!(said, ["HELO smtpchecker.keepalived.org\r\n", "QUIT\r\n"]);
        assert_eq!(verdict, Some(Verdict::good("250 to HELO")));
        let whole = postfix.concat();
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(talk(&bytes).0, said);
        let exim: [&[u8]; 2] = [
            b"220-host.example.net ESMTP Exim 4.96 #2 Thu, 26 Nov 2026 10:00:00 +0000 \r\n220-We do not authorize\r\n220 and/or bulk e-mail.\r\n",
            b"250-host.example.net Hello smtpchecker.keepalived.org [192.0.2.7]\r\n250 HELP\r\n",
        ];
        assert_eq!(talk(&exim).0, said);
        // Bare line feeds, codes alone.
        assert_eq!(talk(&[b"220\n250\n"]).0, said);
    }

    #[test]
    fn what_is_no_welcome_is_bad() {
        assert!(is_bad(&[b"554 No SMTP service here\r\n"]));
        assert!(is_bad(&[b"220 ok\r\n", b"421 Service not available\r\n"]));
        assert!(is_bad(&[b"SSH-2.0-OpenSSH_9.2\r\n"]));
        assert!(is_bad(&[b"\r\n"]));
        assert!(is_bad(&[b"220-a\r\n550 b\r\n"]));
        let mut smtp = SmtpDialogue::new(Some("me".into()));
        let closed = smtp.handle(&Event::Closed, &mut Vec::new());
        assert_eq!(closed, Some(Verdict::bad("closed before banner")));
    }

    #[test]
    fn what_never_ends_is_ended() {
        let endless = vec![b'2'; 1 << 20];
        assert!(is_bad(&[&endless]));
        let lines = b"220-more\r\n".repeat(1000);
        assert!(is_bad(&[&lines]));
    }
}
