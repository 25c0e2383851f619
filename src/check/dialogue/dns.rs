//! `DNS_CHECK`: one question (RFC 1035 §4) and whether it is answered.

use super::Verdict;
use crate::check::action::Event;
use crate::check::{DnsCheck, DnsType};
use crate::prng::Prng;

/// Identifier, flags, four counts.
const HEADER: usize = 12;
/// RD: the server shall ask others.
const RECURSION_DESIRED: u16 = 0x0100;
/// QR in the third byte: an answer.
const RESPONSE: u8 = 0x80;
/// The Internet.
const CLASS_IN: u16 = 1;

impl DnsType {
    /// Its number (RFC 1035 §3.2.2, RFC 3596, RFC 4034).
    const fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Ns => 2,
            Self::Cname => 5,
            Self::Soa => 6,
            Self::Mx => 15,
            Self::Txt => 16,
            Self::Aaaa => 28,
            Self::Rrsig => 46,
            Self::Dnskey => 48,
        }
    }
}

/// One question.
#[derive(Debug)]
pub(in crate::check) struct DnsDialogue {
    identifier: u16,
    question: Vec<u8>,
}

impl DnsDialogue {
    pub(super) fn new(check: &DnsCheck, random: &mut Prng) -> Self {
        let identifier = random.below(1 << 16) as u16;
        Self { identifier, question: question(check, identifier) }
    }

    pub(super) fn handle(&mut self, event: &Event<'_>, send: &mut Vec<Vec<u8>>) -> Option<Verdict> {
        match event {
            Event::Connected { .. } => {
                send.push(core::mem::take(&mut self.question));
                None
            }
            Event::Received(answer) => self.judge(answer),
            _ => None,
        }
    }

    /// What is no answer to this question says nothing: somebody may have made it up.
    fn judge(&self, answer: &[u8]) -> Option<Verdict> {
        let header: &[u8; HEADER] = answer.first_chunk()?;
        let is_ours = header[..2] == self.identifier.to_be_bytes() && header[2] & RESPONSE != 0;
        is_ours.then(|| match header[3] & 0x0f {
            0 => {
                let answers = u16::from_be_bytes([header[6], header[7]]);
                Verdict::Good { reason: format!("answered, with {answers} records").into(), weight: None }
            }
            1 => Verdict::bad("answered that the question is malformed (FORMERR)"),
            2 => Verdict::bad("answered that it failed (SERVFAIL)"),
            3 => Verdict::bad("answered that there is no such name (NXDOMAIN)"),
            4 => Verdict::bad("answered that it knows no such questions (NOTIMP)"),
            5 => Verdict::bad("answered that it refuses (REFUSED)"),
            code => Verdict::Bad(format!("answered with the code {code}").into()),
        })
    }
}

fn question(check: &DnsCheck, identifier: u16) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + 32);
    for field in [identifier, RECURSION_DESIRED, 1, 0, 0, 0] {
        message.extend(field.to_be_bytes());
    }
    // The configuration takes labels of 1 to 63 bytes only.
    for label in &check.labels {
        let label = &label.as_bytes()[..label.len().min(63)];
        message.extend(u8::try_from(label.len()));
        message.extend(label);
    }
    message.push(0);
    message.extend(check.query_type.number().to_be_bytes());
    message.extend(CLASS_IN.to_be_bytes());
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Connection;

    fn check(query_type: DnsType, labels: &[&str]) -> DnsCheck {
        DnsCheck {
            connection: Connection::default(),
            query_type,
            labels: labels.iter().map(|label| (*label).into()).collect(),
        }
    }

    /// As `dig +noedns example.com A` puts it.
    #[test]
    fn a_question_has_the_form_of_rfc_1035() {
        let message = question(&check(DnsType::A, &["example", "com"]), 0xbeef);
        assert_eq!(
            message,
            b"\xbe\xef\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01"
        );
        let root = question(&check(DnsType::Soa, &[]), 1);
        assert_eq!(root, b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x06\x00\x01");
        let numbers = [
            (DnsType::Ns, 2),
            (DnsType::Cname, 5),
            (DnsType::Mx, 15),
            (DnsType::Txt, 16),
            (DnsType::Aaaa, 28),
            (DnsType::Rrsig, 46),
            (DnsType::Dnskey, 48),
        ];
        for (query_type, number) in numbers {
            assert_eq!(query_type.number(), number);
        }
    }

    #[test]
    fn only_an_answer_without_an_error_is_good() {
        let mut dns = DnsDialogue::new(&check(DnsType::Soa, &[]), &mut Prng::new(3));
        let mut send = Vec::new();
        dns.handle(&Event::Connected { certificate_expires: None }, &mut send);
        let mut answer = send.remove(0);
        let judged =
            |dns: &mut DnsDialogue, bytes: &[u8]| dns.handle(&Event::Received(bytes), &mut Vec::new());
        assert_eq!(judged(&mut dns, &answer), None, "a question is no answer");
        answer[2] |= 0x80;
        assert!(matches!(judged(&mut dns, &answer), Some(Verdict::Good { .. })));
        for code in 1..16 {
            answer[3] = 0x80 | code;
            assert!(matches!(judged(&mut dns, &answer), Some(Verdict::Bad(_))), "{code}");
        }
        answer[0] ^= 1;
        assert_eq!(judged(&mut dns, &answer), None, "another question's");
        assert_eq!(judged(&mut dns, &answer[..11]), None);
    }
}
