//! The answer to a health check of gRPC: its message, and the status of the call behind it.

use http::HeaderMap;
use http::response::Parts;

use crate::check::dialogue::{Verdict, quoted};
use crate::wire::grpc_health::{RESPONSE_MAX, ServingStatus, decode_response};

/// What is asked for.
pub(super) const PATH: &str = "/grpc.health.v1.Health/Check";

/// The codes of gRPC, by number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// An answer while it comes in.
#[derive(Debug, Default)]
pub(super) struct Health {
    message: Vec<u8>,
}

impl Health {
    /// Takes the head. A call that fails at once has its status there already.
    pub(super) fn begin(head: &Parts) -> Option<Verdict> {
        let status = head.status.as_u16();
        if status != 200 {
            return Some(Verdict::Bad(format!("status {status}, which is no answer of gRPC").into()));
        }
        let kind = head.headers.get(http::header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        if !kind.starts_with(b"application/grpc") {
            let why = format!("no answer of gRPC: its content-type is {}", quoted(kind));
            return Some(Verdict::Bad(why.into()));
        }
        call_failed(&head.headers)
    }

    /// Takes the next bytes of the message.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Option<Verdict> {
        if self.message.len().saturating_add(bytes.len()) > RESPONSE_MAX {
            return Some(Verdict::Bad(format!("an answer of more than {RESPONSE_MAX} bytes").into()));
        }
        self.message.extend_from_slice(bytes);
        None
    }

    /// The whole, with what stands behind the message.
    pub(super) fn end(&self, trailers: Option<&HeaderMap>) -> Verdict {
        let Some(trailers) = trailers.filter(|trailers| trailers.contains_key("grpc-status")) else {
            return Verdict::bad("an answer of gRPC without its grpc-status");
        };
        if let Some(failed) = call_failed(trailers) {
            return failed;
        }
        match decode_response(&self.message) {
            Ok(ServingStatus::Serving) => Verdict::good("SERVING"),
            Ok(status) => Verdict::Bad(status.to_string().into()),
            Err(fault) => Verdict::Bad(format!("an answer that is not understood: {fault}").into()),
        }
    }
}

/// The verdict, if these say that the call failed.
fn call_failed(fields: &HeaderMap) -> Option<Verdict> {
    let code = fields.get("grpc-status")?.as_bytes();
    if code == b"0" {
        return None;
    }
    let number = core::str::from_utf8(code).ok().and_then(|code| code.parse::<usize>().ok());
    let name =
        number.and_then(|number| CODES.get(number)).map(|name| format!(" ({name})")).unwrap_or_default();
    let mut why = format!("grpc-status {}{name}", quoted(code).trim_matches('`'));
    if let Some(message) = fields.get("grpc-message").filter(|message| !message.is_empty()) {
        why.push_str(": ");
        why.push_str(&quoted(&unescaped(message.as_bytes())));
    }
    Some(Verdict::Bad(why.into()))
}

/// Bytes written as `%` and two digits are put back.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| core::str::from_utf8(digits).ok());
        let byte = digits.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { behind.get(2..).unwrap_or(&[]) } else { behind };
    }
    plain
}
