//! What the kernel writes into a netlink datagram: messages, and in them answers (`linux/netlink.h`).
//!
//! Own code, so that one message that a newer kernel writes in a way that a library cannot read costs neither its
//! neighbours nor the whole datagram.

use std::io;

use netlink_sys::Socket;
use nix::errno::Errno;

use crate::kernel::KernelError;

/// Bytes of `struct nlmsghdr`.
pub(super) const HEADER_BYTES: usize = 16;

/// A message's header, as far as it matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
}

/// The messages of a datagram with their bodies. Ends at the first that contradicts itself.
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = (Header, &[u8])> {
    core::iter::from_fn(move || {
        let length = u32_at(datagram, 0)? as usize;
        let header = Header {
            kind: u16_at(datagram, 4)?,
            flags: u16_at(datagram, 6)?,
            sequence: u32_at(datagram, 8)?,
        };
        let body = datagram.get(HEADER_BYTES..length)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((header, body))
    })
}

/// A message as far as every netlink protocol agrees on it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Message<'a> {
    /// Of the protocol.
    Object(&'a [u8]),
    /// `NLMSG_ERROR`: a request was carried out or refused.
    Answer(Result<(), KernelError>),
    /// `NLMSG_DONE`: a dump is complete, or ended early.
    Done(Result<(), KernelError>),
    /// `NLMSG_OVERRUN`: something was lost.
    Overrun,
    /// `NLMSG_NOOP`, or one without what it must have.
    Nothing,
}

/// Tells the kinds of messages apart.
pub(super) fn classify(header: Header, body: &[u8]) -> Message<'_> {
    match i32::from(header.kind) {
        libc::NLMSG_ERROR => match i32_at(body, 0) {
            Some(code) => Message::Answer(result(code, &body[4..])),
            None => Message::Nothing,
        },
        // The code of a dump that was successful is 0 or, from old kernels, absent.
        libc::NLMSG_DONE => Message::Done(match i32_at(body, 0) {
            Some(code) if code < 0 => result(code, &[]),
            _ => Ok(()),
        }),
        libc::NLMSG_OVERRUN => Message::Overrun,
        libc::NLMSG_NOOP => Message::Nothing,
        _ => Message::Object(body),
    }
}

fn result(code: i32, rest: &[u8]) -> Result<(), KernelError> {
    let errno = code.saturating_abs();
    if errno == 0 {
        return Ok(());
    }
    Err(refusal(errno, rest))
}

/// Has the kernel explain refusals; since Linux 4.12. The refused request itself is left out, so that the explanation
/// follows its header at a known place.
pub(super) fn ask_for_explanations(socket: &Socket) -> io::Result<()> {
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)
}

/// The refusal with this (positive) error number; `answer` is what follows the number.
pub(super) fn refusal(errno: i32, answer: &[u8]) -> KernelError {
    let message = explanation(answer).unwrap_or_else(|| Errno::from_raw(errno).desc().to_owned());
    KernelError { errno, message }
}

/// `NLMSGERR_ATTR_MSG` of an extended acknowledgement. With `NETLINK_CAP_ACK` the attributes follow the header of
/// the request.
fn explanation(answer: &[u8]) -> Option<String> {
    const MESSAGE: u16 = 1;
    let (_, value) = attributes(answer.get(HEADER_BYTES..)?).find(|(kind, _)| *kind == MESSAGE)?;
    Some(String::from_utf8_lossy(value).trim_end_matches('\0').to_owned())
}

/// `struct nlattr` after `struct nlattr`, each with its number and content. Ends at the first that contradicts
/// itself.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    const HEADER: usize = 4;
    // NLA_F_NESTED and NLA_F_NET_BYTEORDER are no part of the number.
    const NUMBER: u16 = 0x3fff;
    core::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & NUMBER;
        let value = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

pub(super) fn i32_at(bytes: &[u8], offset: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(*bytes.get(offset..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: i32) -> Header {
        Header { kind: u16::try_from(kind).unwrap(), flags: 0, sequence: 1 }
    }

    #[test]
    fn messages_of_a_datagram_are_separated() {
        let mut datagram = Vec::new();
        for (kind, body) in [(16u16, &[1u8, 2, 3][..]), (3, &[])] {
            datagram.extend(u32::try_from(HEADER_BYTES + body.len()).unwrap().to_ne_bytes());
            datagram.extend(kind.to_ne_bytes());
            datagram.extend([0; 2]);
            datagram.extend(5u32.to_ne_bytes());
            datagram.extend([0; 4]);
            datagram.extend(body);
            datagram.resize(datagram.len().next_multiple_of(4), 0);
        }
        let read: Vec<_> = messages(&datagram).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].1, [1, 2, 3]);
        assert_eq!((read[1].0.kind, read[1].0.sequence), (3, 5));
    }

    #[test]
    fn bytes_without_sense_are_no_messages_and_never_panic() {
        for length in 0..40 {
            let datagram: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
            let _ = messages(&datagram).count();
            for kind in [libc::NLMSG_ERROR, libc::NLMSG_DONE, libc::NLMSG_NOOP, libc::NLMSG_OVERRUN, 16] {
                let _ = classify(header(kind), &datagram);
            }
        }
        assert_eq!(classify(header(libc::NLMSG_ERROR), &[0; 3]), Message::Nothing);
    }

    #[test]
    fn an_extended_acknowledgement_is_read() {
        let mut answer = vec![0u8; 16];
        answer.extend([8, 0, 2, 0, 0, 0, 0, 0]);
        answer.extend([7, 0, 1, 0, b'n', b'o', 0, 0]);
        assert_eq!(explanation(&answer).as_deref(), Some("no"));
        // Truncated or malformed attributes end the search.
        assert_eq!(explanation(&answer[..26]), None);
        answer[16] = 0;
        assert_eq!(explanation(&answer), None);
    }

    #[test]
    fn a_refusal_without_an_explanation_has_the_standard_text() {
        let body: Vec<u8> = (-libc::EPERM).to_ne_bytes().into_iter().chain([0; 16]).collect();
        let Message::Answer(Err(error)) = classify(header(libc::NLMSG_ERROR), &body) else { panic!() };
        assert_eq!((error.errno, error.message.as_str()), (libc::EPERM, "Operation not permitted"));
        assert_eq!(classify(header(libc::NLMSG_ERROR), &[0; 20]), Message::Answer(Ok(())));
    }

    #[test]
    fn a_dump_that_ends_early_says_so() {
        let done =
            |code: i32| classify(header(libc::NLMSG_DONE), &code.to_ne_bytes()) == Message::Done(Ok(()));
        assert!(done(0));
        assert!(!done(-libc::ENOMEM));
        assert_eq!(classify(header(libc::NLMSG_DONE), &[]), Message::Done(Ok(())));
    }
}
