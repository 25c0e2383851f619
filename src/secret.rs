//! Passwords and keys: one type that never shows what it holds.

use core::fmt;

/// Something that must not appear in a log, a dump or an answer. Whoever needs it says so by [`Secret::expose`].
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
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
