//! Writes what the kernel reads: `struct nlattr` after `struct nlattr`, nested where they are.

/// Bytes of `struct nlattr`.
const HEADER: usize = 4;

/// `NLA_F_NESTED`.
const NESTED: u16 = 1 << 15;

/// Attributes one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes(Vec<u8>);

impl Attributes {
    /// After the fixed part of a message.
    pub(super) const fn after(head: Vec<u8>) -> Self {
        Self(head)
    }

    /// The bytes.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// One with this content.
    pub(super) fn put(&mut self, kind: u16, content: &[u8]) -> &mut Self {
        self.write(kind, |bytes| bytes.extend(content))
    }

    /// One with a text that ends with a zero byte.
    pub(super) fn text(&mut self, kind: u16, text: &str) -> &mut Self {
        self.write(kind, |bytes| {
            bytes.extend(text.as_bytes());
            bytes.push(0);
        })
    }

    /// One with a number in the order of this machine.
    pub(super) fn number(&mut self, kind: u16, number: u32) -> &mut Self {
        self.put(kind, &number.to_ne_bytes())
    }

    /// One with a number in network order, as nftables has them.
    pub(super) fn big_endian(&mut self, kind: u16, number: u32) -> &mut Self {
        self.put(kind, &number.to_be_bytes())
    }

    /// One that holds others.
    pub(super) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.write(kind | NESTED, |bytes| {
            let mut inner = Self::default();
            fill(&mut inner);
            bytes.extend(inner.0);
        })
    }

    fn write(&mut self, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        let start = self.0.len();
        self.0.extend([0; HEADER]);
        fill(&mut self.0);
        let length = self.0.len() - start;
        debug_assert!(length <= usize::from(u16::MAX), "an attribute of {length} bytes");
        self.0[start..start + 2].copy_from_slice(&(length as u16).to_ne_bytes());
        self.0[start + 2..start + HEADER].copy_from_slice(&kind.to_ne_bytes());
        self.0.resize(start + length.next_multiple_of(4), 0);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::datagram::attributes;
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut written = Attributes::default();
        written.text(3, "eth0").nest(18, |inner| {
            inner.put(1, b"abc").big_endian(2, 7).number(4, 9);
        });
        let bytes = written.into_bytes();
        let read: Vec<_> = attributes(&bytes).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0], (3, &b"eth0\0"[..]));
        let inner: Vec<_> = attributes(read[1].1).collect();
        assert_eq!(read[1].0, 18);
        assert_eq!(inner, [(1, &b"abc"[..]), (2, &[0, 0, 0, 7][..]), (4, &9u32.to_ne_bytes()[..])]);
    }
}
