//! `UDP_CHECK`: a datagram, and perhaps an answer.

use super::Verdict;
use crate::check::action::Event;
use crate::check::{ExpectedReply, UdpCheck};
use crate::prng::Prng;
use crate::time::Duration;

/// Bytes of a payload that is not configured.
const RANDOM_PAYLOAD: usize = 32;

/// One datagram.
#[derive(Debug)]
pub(in crate::check) struct UdpDialogue {
    payload: Vec<u8>,
    expected: Option<ExpectedReply>,
}

impl UdpDialogue {
    pub(super) fn new(check: &UdpCheck, random: &mut Prng) -> Self {
        let payload = match &check.payload {
            Some(payload) => payload.to_vec(),
            None => (0..RANDOM_PAYLOAD).map(|_| random.below(256) as u8).collect(),
        };
        Self { payload, expected: check.reply.clone() }
    }

    pub(super) fn handle(&mut self, event: &Event<'_>, send: &mut Vec<Vec<u8>>) -> Option<Verdict> {
        match event {
            Event::Connected { .. } => {
                send.push(core::mem::take(&mut self.payload));
                None
            }
            Event::Received(reply) => Some(match &self.expected {
                None => Verdict::good("an answer"),
                Some(expected) => judge(expected, reply),
            }),
            _ => None,
        }
    }

    /// Without a reply that must come, silence is success: no ICMP error came.
    pub(super) fn timed_out(&self, after: Duration) -> Verdict {
        match self.expected {
            None => Verdict::good("no error came back"),
            Some(_) => Verdict::Bad(format!("no reply within {after:?}").into()),
        }
    }
}

fn judge(expected: &ExpectedReply, reply: &[u8]) -> Verdict {
    let length = reply.len();
    let (least, most) = (usize::from(expected.minimum_length), usize::from(expected.maximum_length));
    if length < least || length > most {
        return Verdict::Bad(format!("the reply has {length} bytes, not {least} to {most}").into());
    }
    let differs =
        reply.iter().zip(&expected.pattern).position(|(byte, wanted)| byte & wanted.mask != wanted.value);
    match differs {
        Some(at) => Verdict::Bad(format!("byte {at} of the reply is not as expected").into()),
        None => Verdict::Good { reason: format!("a reply of {length} bytes").into(), weight: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Connection, WildcardByte};

    fn check(reply: Option<ExpectedReply>) -> UdpCheck {
        UdpCheck { connection: Connection::default(), payload: Some([1, 2].into()), reply }
    }

    #[test]
    fn silence_is_success_unless_a_reply_must_come() {
        let limit = Duration::from_secs(5);
        let mut silent = UdpDialogue::new(&check(None), &mut Prng::new(1));
        let mut send = Vec::new();
        assert_eq!(silent.handle(&Event::Connected { certificate_expires: None }, &mut send), None);
        assert_eq!(send, [[1, 2]]);
        assert!(matches!(silent.timed_out(limit), Verdict::Good { .. }));
        let expected = ExpectedReply { minimum_length: 0, maximum_length: 255, pattern: Vec::new() };
        let demanding = UdpDialogue::new(&check(Some(expected)), &mut Prng::new(1));
        assert!(matches!(demanding.timed_out(limit), Verdict::Bad(_)));
        let random = UdpCheck { payload: None, ..check(None) };
        assert_eq!(UdpDialogue::new(&random, &mut Prng::new(1)).payload.len(), 32);
    }

    #[test]
    fn a_reply_is_measured_and_compared_up_to_the_shorter_length() {
        let byte = |value, mask| WildcardByte { value, mask };
        let expected = ExpectedReply {
            minimum_length: 1,
            maximum_length: 4,
            pattern: vec![byte(0xab, 0xff), byte(0x30, 0xf0), byte(0, 0)],
        };
        let good = |reply: &[u8]| matches!(judge(&expected, reply), Verdict::Good { .. });
        assert!(good(&[0xab]) && good(&[0xab, 0x3f]) && good(&[0xab, 0x30, 9, 9]));
        assert!(!good(&[]) && !good(&[0xab, 0x40]) && !good(&[0xac]) && !good(&[0xab, 0x30, 9, 9, 9]));
    }
}
