//! `PING_CHECK`: an ICMP echo request (RFC 792, RFC 4443 §4.1) and its reply.

use core::net::IpAddr;

use super::Verdict;
use crate::check::action::Event;
use crate::prng::Prng;

/// Type, code, checksum, identifier, sequence number.
const HEADER: usize = 8;
/// Bytes after the header; ours are told from those of others by them.
const DATA: usize = 16;

/// One request.
#[derive(Debug)]
pub(in crate::check) struct PingDialogue {
    request: [u8; HEADER + DATA],
    reply_type: u8,
}

impl PingDialogue {
    pub(super) fn new(to: IpAddr, random: &mut Prng) -> Self {
        let (request_type, reply_type) = match to {
            IpAddr::V4(_) => (8, 0),
            IpAddr::V6(_) => (128, 129),
        };
        let mut request = [0; HEADER + DATA];
        request[0] = request_type;
        // The kernel sets the checksum and the identifier.
        request[6..HEADER].copy_from_slice(&(random.below(1 << 16) as u16).to_be_bytes());
        for chunk in request[HEADER..].chunks_mut(8) {
            let bytes = random.next_u64().to_be_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Self { request, reply_type }
    }

    pub(super) fn handle(&mut self, event: &Event<'_>, send: &mut Vec<Vec<u8>>) -> Option<Verdict> {
        match event {
            Event::Connected { .. } => {
                send.push(self.request.to_vec());
                None
            }
            // What is no answer to this request says nothing.
            Event::Received(reply) => {
                let answers = reply.first() == Some(&self.reply_type)
                    && reply.get(1) == Some(&0)
                    && reply.get(6..) == Some(&self.request[6..]);
                answers.then(|| Verdict::good("echo reply"))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(to: &str) -> (PingDialogue, Vec<u8>) {
        let mut ping = PingDialogue::new(to.parse().unwrap(), &mut Prng::new(7));
        let mut send = Vec::new();
        assert_eq!(ping.handle(&Event::Connected { certificate_expires: None }, &mut send), None);
        let request = send.remove(0);
        (ping, request)
    }

    #[test]
    fn only_the_reply_to_this_request_counts() {
        for (to, request_type, reply_type) in [("192.0.2.1", 8, 0), ("2001:db8::1", 128, 129)] {
            let (mut ping, request) = sent(to);
            assert_eq!((request.len(), request[0]), (24, request_type));
            let mut reply = request.clone();
            assert_eq!(ping.handle(&Event::Received(&reply), &mut Vec::new()), None, "our own request");
            reply[0] = reply_type;
            // The kernel puts its own into these.
            reply[2..6].copy_from_slice(&[1, 2, 3, 4]);
            for wrong in [&reply[..23], &reply[..5], &[]] {
                assert_eq!(ping.handle(&Event::Received(wrong), &mut Vec::new()), None);
            }
            let mut other = reply.clone();
            other[23] ^= 1;
            assert_eq!(ping.handle(&Event::Received(&other), &mut Vec::new()), None);
            assert!(matches!(
                ping.handle(&Event::Received(&reply), &mut Vec::new()),
                Some(Verdict::Good { .. })
            ));
        }
    }
}
