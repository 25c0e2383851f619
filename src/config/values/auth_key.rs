//! Keys of `auth_hmac`: text, digits or a file.

use super::number::in_range;
use super::words::{Args, Argument, Printed};
use crate::config::diagnostics::Status;
use crate::config::host::{Lookup, ReadError};
use crate::config::lints;
use crate::config::source::Span;
#[cfg(test)]
use crate::prng::Prng;
use crate::secret::Secret;
use crate::wire::vrrp::HmacKey;

/// Longest file that is read: a key, and the end of its line.
const FILE_BYTES: u64 = *HmacKey::LENGTHS.end() as u64 + 2;

/// Permission bits of the group and of others.
const SHARED: u32 = 0o077;

/// `ID SECRET`, a key of `auth_hmac`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct AuthKey {
    /// 1 to 255.
    pub id: u8,
    /// As written: text, `hex:…` or `file:…`.
    pub secret: Secret<Box<str>>,
    /// What it means; `None` for a file that is not there when the text is judged without its host.
    pub key: Option<HmacKey>,
}

impl AuthKey {
    /// The same without a file: the digits that are in force.
    pub(crate) fn spell_out(&mut self) {
        if let Some(key) = self.key.as_ref().filter(|_| self.secret.expose().starts_with("file:")) {
            let digits: String = key.secret().expose().iter().map(|byte| format!("{byte:02x}")).collect();
            self.secret = Secret::new(format!("hex:{digits}").into());
        }
    }
}

impl Argument for AuthKey {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let word = args.required()?;
        let id = u8::try_from(in_range(args, word, 1, 255, "key")?).ok()?;
        let (text, at) = args.required()?;
        lints::cut(args.reading, args.name(), at);
        let secret = Secret::new(text.into());
        let bytes = match (text.strip_prefix("hex:"), text.strip_prefix("file:")) {
            (Some(digits), _) => hexadecimal(args, digits, at)?,
            (_, Some(path)) => match of_file(args, path, at) {
                Read::Bytes(bytes) => bytes,
                Read::Unknown => return Some(Self { id, secret, key: None }),
                Read::Refused => return None,
            },
            _ => text.as_bytes().to_vec(),
        };
        let key = HmacKey::new(&bytes);
        if key.is_none() {
            args.reading.diagnostics.push(
                args.rejection(at, format!("the key has {} bytes, it must have 32 to 64", bytes.len()))
                    .help("make one with: openssl rand -hex 32, and write hex: before it"),
            );
            return None;
        }
        Some(Self { id, secret, key })
    }

    fn print(&self, out: &mut Printed) {
        out.value(self.id);
        out.word(self.secret.expose());
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        let byte = random.below(256) as u8;
        Self {
            id: u8::try_from(random.between(1, 255)).unwrap(),
            secret: Secret::new(format!("hex:{}", format!("{byte:02x}").repeat(32)).into()),
            key: HmacKey::new(&[byte; 32]),
        }
    }
}

fn hexadecimal(args: &Args<'_>, digits: &str, at: Span) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|pair| match pair {
            [high, low] => {
                let digit =
                    |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                Some(digit(*high)? << 4 | digit(*low)?)
            }
            _ => None,
        })
        .collect();
    if bytes.is_none() {
        args.reject(at, "the key after `hex:` must be pairs of hexadecimal digits");
    }
    bytes
}

enum Read {
    Bytes(Vec<u8>),
    /// The text is judged without its host.
    Unknown,
    /// It is said why.
    Refused,
}

fn of_file(args: &Args<'_>, path: &str, at: Span) -> Read {
    let host = args.reading.host;
    let refuse = |message: String, help: &str| {
        args.reading.diagnostics.push(args.rejection(at, message).help(help));
        Read::Refused
    };
    let place = host.canonical_path(path);
    let metadata = host.path(&place);
    if let Some(Lookup::Found(metadata)) = &metadata
        && metadata.mode & SHARED != 0
    {
        let message =
            format!("the key file {path} is open to others than its owner (mode {:o})", metadata.mode);
        let diagnostic = args.rejection(at, message).status(Status::Security);
        args.reading.diagnostics.push(diagnostic.help(format!("run: chmod 600 {path}")));
        return Read::Refused;
    }
    match host.read_file(path, FILE_BYTES) {
        Ok(mut bytes) => {
            if bytes.pop_if(|last| *last == b'\n').is_some() {
                bytes.pop_if(|last| *last == b'\r');
            }
            Read::Bytes(bytes)
        }
        Err(ReadError::NotFound | ReadError::Other(_)) if metadata.is_none() => Read::Unknown,
        Err(ReadError::NotFound) => {
            refuse(format!("the key file {path} does not exist"), "write the key into it, with mode 600")
        }
        Err(ReadError::NotRegular(what)) => {
            refuse(format!("the key file {path} is {what}"), "write the path of a regular file")
        }
        Err(ReadError::Executable) => {
            refuse(format!("the key file {path} has an execute permission"), "take it away: chmod 600")
        }
        Err(ReadError::TooLarge(bytes)) => refuse(
            format!("the key file {path} has {bytes} bytes, a key has 32 to 64"),
            "write nothing but the key into it",
        ),
        Err(ReadError::Other(why)) => {
            refuse(format!("the key file {path} cannot be read: {why}"), "see that it can be read by root")
        }
    }
}
