//! Passwords and keys: one type that never shows what it holds.

use core::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What stands for secrets outside of this process.
static PSEUDONYMS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// What stands for a secret in a recording: the same for the same bytes as long as this process lives, so that it can be
/// compared, and of no use to who wants to know them (SipHash under a key that never leaves the process). Nothing but
/// zeros is no secret.
pub(crate) fn pseudonym(secret: &[u8]) -> [u8; 8] {
    match secret.iter().all(|byte| *byte == 0) {
        true => [0; 8],
        false => PSEUDONYMS.hash_one(secret).to_be_bytes(),
    }
}

/// Something that must not appear in a log, a dump or an answer. Whoever needs it says so by [`Secret::expose`].
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// From here on hidden.
    pub const fn new(content: T) -> Self {
        Self(content)
    }

    /// What is hidden, to be put on the wire or compared with what came from there.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

/// A pseudonym of it.
impl Serialize for Secret<[u8; 8]> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        pseudonym(&self.0).serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("********")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show() {
        let secret = Some(Secret::new(*b"hunter2\0"));
        let shown = format!("{secret:?} {secret:#?}");
        assert_eq!(shown, "Some(********) Some(\n    ********,\n)");
        assert_eq!(secret.map(|secret| secret.expose()[0]), Some(b'h'));
    }
}
