//! Giving freed memory back to the system.

#![allow(unsafe_code)]

use std::io;

/// Memory with contents of its own, from the first address to the one after the last.
type Range = (usize, usize);

/// Gives memory that was freed back to the system.
pub fn trim() {
    // SAFETY: releases free memory of the allocator; nothing in use is touched.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// From now on the allocator keeps what is freed: what is as large as a reload finds memory that is there already.
pub fn keep() {
    #[cfg(target_env = "gnu")]
    {
        // More than anything here is large.
        const MOST: libc::c_int = 1 << 30;
        // The most that the allocator takes.
        const LARGEST: libc::c_int = 32 << 20;
        // SAFETY: settings of the allocator; memory in use is not touched.
        unsafe {
            libc::mallopt(libc::M_TRIM_THRESHOLD, MOST);
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST);
        }
    }
}

/// The same where memory is locked (`mlockall`): the system takes no locked page back, so that the memory which the
/// allocator has is unlocked meanwhile. That is done range by range, since other threads that need a new page wait.
///
/// # Errors
/// When it cannot be locked again.
pub fn trim_locked() -> io::Result<()> {
    for (start, end) in ranges()? {
        // SAFETY: changes only whether pages may be swapped out.
        unsafe { libc::munlock(start as *const libc::c_void, end - start) };
    }
    trim();
    // Others than before: some were given back.
    for (start, end) in ranges()? {
        // SAFETY: as above.
        match unsafe { libc::mlock2(start as *const libc::c_void, end - start, libc::MLOCK_ONFAULT) } {
            0 => {}
            _ => match io::Error::last_os_error() {
                // Given back just now.
                error if error.raw_os_error() == Some(libc::ENOMEM) && !is_mapped((start, end)) => {}
                error => return Err(error),
            },
        }
    }
    Ok(())
}

fn is_mapped(range: Range) -> bool {
    ranges().is_ok_and(|ranges| ranges.contains(&range))
}

fn ranges() -> io::Result<Vec<Range>> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    Ok(maps.lines().filter_map(allocated).collect())
}

/// The range of a line of `/proc/PID/maps`, if it is one that an allocator gets: writable, private, of no file. Stacks
/// of threads look the same, and do no harm.
fn allocated(line: &str) -> Option<Range> {
    let mut words = line.split_ascii_whitespace();
    let (range, rights, _offset, _device, inode) =
        (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
    let name = words.next().unwrap_or_default();
    let (start, end) = range.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    (rights.starts_with("rw-p") && inode == "0" && matches!(name, "" | "[heap]"))
        .then_some((number(start)?, number(end)?))
        .filter(|(start, end)| start < end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_allocator_gets_is_recognised() {
        for (line, range) in [
            ("563676790000-56367732f000 rw-p 00000000 00:00 0                          [heap]", true),
            ("7ff0e8000000-7ff0e88ee000 rw-p 00000000 00:00 0 ", true),
            ("7ff0e88ee000-7ff0ec000000 ---p 00000000 00:00 0 ", false),
            ("563638750000-563638760000 rw-p 017fd000 fe:00 10042975  /usr/sbin/alived", false),
            ("7ffd0000-7ffd1000 rw-p 00000000 00:00 0  [stack]", false),
            ("7ffd0000-7ffd1000 rw-s 00000000 00:00 0", false),
            ("", false),
            ("nonsense rw-p 0 0 0", false),
        ] {
            assert_eq!(allocated(line).is_some(), range, "{line}");
        }
        assert_eq!(allocated("1000-3000 rw-p 00000000 00:00 0"), Some((0x1000, 0x3000)));
        assert!(!ranges().unwrap().is_empty());
    }
}
