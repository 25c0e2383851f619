//! A text in memory that supervisor and workers hold, replaced as a whole: whoever is killed meanwhile leaves the one
//! before.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::sys::{exec, process};

/// The text. Empty at first.
#[derive(Debug)]
pub(super) struct SharedText {
    slots: [File; 2],
    /// One byte: which slot counts.
    current: File,
}

impl SharedText {
    /// An empty one. The name shows in `/proc/PID/fd`.
    pub(super) fn new(name: &str) -> io::Result<Self> {
        let slots = [process::memory_file(name)?, process::memory_file(name)?];
        let current = process::memory_file(name)?;
        current.write_all_at(&[0], 0)?;
        Ok(Self { slots, current })
    }

    /// The same text, for another process.
    pub(super) fn share(&self) -> io::Result<Self> {
        let [first, second] = &self.slots;
        Ok(Self { slots: [first.try_clone()?, second.try_clone()?], current: self.current.try_clone()? })
    }

    /// The numbers of its descriptors, by which [`SharedText::adopt`] finds it in a program that is executed in place of
    /// this one, if they are to stay open (`keep`).
    pub(super) fn hand_on(&self, keep: bool) -> io::Result<[i32; 3]> {
        let [first, second] = &self.slots;
        let files = [first, second, &self.current];
        files.iter().try_for_each(|file| exec::keep_open(file, keep))?;
        Ok(files.map(exec::number))
    }

    /// The text that the program before has left. `None` where there is none.
    pub(super) fn adopt(numbers: [i32; 3]) -> Option<Self> {
        let [first, second, current] = numbers.map(exec::take);
        Some(Self { slots: [first?, second?], current: current? })
    }

    /// Replaces it. Only one process may do so at a time.
    pub(super) fn write(&self, text: &str) -> io::Result<()> {
        let [first, second] = &self.slots;
        let (next, number) = if self.current()? == 0 { (second, 1) } else { (first, 0) };
        next.set_len(0)?;
        next.write_all_at(text.as_bytes(), 0)?;
        self.current.write_all_at(&[number], 0)
    }

    /// The whole text.
    pub(super) fn read(&self) -> io::Result<String> {
        let [first, second] = &self.slots;
        let slot = if self.current()? == 0 { first } else { second };
        let length = usize::try_from(slot.metadata()?.len()).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        slot.read_exact_at(&mut bytes, 0)?;
        String::from_utf8(bytes).map_err(io::Error::other)
    }

    fn current(&self) -> io::Result<u8> {
        let mut number = [0];
        self.current.read_exact_at(&mut number, 0)?;
        Ok(number[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_text_leaves_the_one_before() {
        let ours = SharedText::new("test").unwrap();
        let theirs = ours.share().unwrap();
        assert_eq!(ours.read().unwrap(), "");
        for text in ["a longer text", "text", "another text"] {
            theirs.write(text).unwrap();
            assert_eq!(ours.read().unwrap(), text);
            // Killed before it is whole.
            let unused = &theirs.slots[usize::from(theirs.current().unwrap() == 0)];
            unused.set_len(0).unwrap();
            unused.write_all_at(b"ha", 0).unwrap();
            assert_eq!(ours.read().unwrap(), text);
        }
    }
}
