//! The two messages of gRPC's health service, `grpc.health.v1.Health/Check`, each behind the prefix of gRPC.
//!
//! ```text
//! prefix: one byte, 1 = compressed; four bytes, length of the message, big endian
//! message HealthCheckRequest  { string service = 1; }
//! message HealthCheckResponse { ServingStatus status = 1; }
//! ```

use core::fmt;

/// Longest answer that is read, with its prefix, in bytes. What stands in it beside the status is passed over.
pub const RESPONSE_MAX: usize = 4096;

/// Length of the prefix.
const PREFIX: usize = 5;

/// What a server says of a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ServingStatus {
    /// It does not say.
    Unknown,
    /// All is well.
    Serving,
    /// It is to get no requests.
    NotServing,
    /// There is no such service; said to those who watch only.
    ServiceUnknown,
    /// A number that has no name.
    Other(u64),
}

/// As the specification has it.
impl fmt::Display for ServingStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("UNKNOWN"),
            Self::Serving => f.write_str("SERVING"),
            Self::NotServing => f.write_str("NOT_SERVING"),
            Self::ServiceUnknown => f.write_str("SERVICE_UNKNOWN"),
            Self::Other(number) => write!(f, "status {number}"),
        }
    }
}

/// Why an answer says nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ResponseFault {
    /// It ends within.
    Short,
    /// More follows.
    Long,
    /// It is compressed, which nobody asked for.
    Compressed,
    /// It is no message of Protocol Buffers.
    Malformed,
}

impl fmt::Display for ResponseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Short => "it ends within its message",
            Self::Long => "it holds more than one message",
            Self::Compressed => "it is compressed, which was not asked for",
            Self::Malformed => "it is no HealthCheckResponse",
        })
    }
}

/// Asks for a service; the empty name is the server as a whole.
pub fn encode_request(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        // Field 1, of a length.
        message.push(1 << 3 | 2);
        put_number(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut request = vec![0];
    request.extend_from_slice(&length.to_be_bytes());
    request.append(&mut message);
    request
}

/// Reads an answer, with its prefix.
///
/// # Errors
/// When it is not exactly one message that can be understood.
pub fn decode_response(response: &[u8]) -> Result<ServingStatus, ResponseFault> {
    let (prefix, message) = response.split_at_checked(PREFIX).ok_or(ResponseFault::Short)?;
    let [compressed, length @ ..] = prefix else { return Err(ResponseFault::Short) };
    if *compressed != 0 {
        return Err(ResponseFault::Compressed);
    }
    let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    match message.len().cmp(&length) {
        core::cmp::Ordering::Less => return Err(ResponseFault::Short),
        core::cmp::Ordering::Greater => return Err(ResponseFault::Long),
        core::cmp::Ordering::Equal => {}
    }
    let status = status(message).ok_or(ResponseFault::Malformed)?;
    Ok(match status {
        0 => ServingStatus::Unknown,
        1 => ServingStatus::Serving,
        2 => ServingStatus::NotServing,
        3 => ServingStatus::ServiceUnknown,
        number => ServingStatus::Other(number),
    })
}

/// Field 1 of a message: the last one, or 0 where there is none. Other fields are passed over.
fn status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let tag = take_number(&mut message)?;
        match (tag >> 3, tag & 7) {
            (0, _) => return None,
            (1, 0) => status = take_number(&mut message)?,
            (_, 0) => drop(take_number(&mut message)?),
            (_, 1) => message = message.get(8..)?,
            (_, 5) => message = message.get(4..)?,
            (_, 2) => {
                let length = usize::try_from(take_number(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            _ => return None,
        }
    }
    Some(status)
}

/// A number in groups of seven bits, the lowest first.
fn put_number(message: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}

fn take_number(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(message: &[u8]) -> Vec<u8> {
        [&[0, 0, 0, 0, message.len() as u8], message].concat()
    }

    /// Bytes as protoc's own encoder writes them.
    #[test]
    fn requests_are_those_of_protocol_buffers() {
        assert_eq!(encode_request(""), [0, 0, 0, 0, 0]);
        assert_eq!(encode_request("a.B"), b"\0\0\0\0\x05\x0a\x03a.B");
        let long = encode_request(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
        assert_eq!(long.len(), 5 + 303);
    }

    #[test]
    fn the_status_is_found_among_other_fields() {
        let read = |message: &[u8]| decode_response(&response(message));
        assert_eq!(read(b""), Ok(ServingStatus::Unknown));
        assert_eq!(read(b"\x08\x01"), Ok(ServingStatus::Serving));
        assert_eq!(read(b"\x08\x02"), Ok(ServingStatus::NotServing));
        assert_eq!(read(b"\x08\x03"), Ok(ServingStatus::ServiceUnknown));
        // The last one counts; one of another kind does not.
        assert_eq!(read(b"\x08\x01\x08\x02"), Ok(ServingStatus::NotServing));
        assert_eq!(read(b"\x08\x01\x0a\x00"), Ok(ServingStatus::Serving));
        let others = b"\x12\x02ab\x1d\0\0\0\0\x21\0\0\0\0\0\0\0\0\x28\x80\x01\x08\x01";
        assert_eq!(read(others), Ok(ServingStatus::Serving));
        // Enumerations below 0 have ten bytes.
        let negative = b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert_eq!(read(negative), Ok(ServingStatus::Other(u64::MAX)));
    }

    #[test]
    fn what_is_no_answer_is_called_so() {
        use ResponseFault as F;
        for (bytes, fault) in [
            (&b""[..], F::Short),
            (b"\0\0\0\0", F::Short),
            (b"\0\0\0\0\x03\x08\x01", F::Short),
            (b"\0\xff\xff\xff\xff\x08\x01", F::Short),
            (b"\0\0\0\0\x02\x08\x01\0", F::Long),
            (b"\x01\0\0\0\x02\x08\x01", F::Compressed),
            (b"\0\0\0\0\x01\x08", F::Malformed),
            (b"\0\0\0\0\x02\x00\x01", F::Malformed),
            (b"\0\0\0\0\x02\x0b\x01", F::Malformed),
            (b"\0\0\0\0\x03\x12\x05a", F::Malformed),
            (b"\0\0\0\0\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", F::Malformed),
        ] {
            assert_eq!(decode_response(bytes), Err(fault), "{bytes:?}");
        }
    }
}
