//! Another program in place of the one that a process runs, with descriptors that stay open.

#![allow(unsafe_code)]

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// Whether a descriptor stays open when another program is executed.
///
/// # Errors
/// None in practice.
pub fn keep_open(descriptor: &impl AsFd, keep: bool) -> io::Result<()> {
    let flag = if keep { FdFlag::empty() } else { FdFlag::FD_CLOEXEC };
    fcntl(descriptor.as_fd(), FcntlArg::F_SETFD(flag))?;
    Ok(())
}

/// The number by which another program knows a descriptor.
pub fn number(descriptor: &impl AsFd) -> i32 {
    descriptor.as_fd().as_raw_fd()
}

/// Takes a descriptor that the program before has left open under this number; from now on it is closed as any other.
/// `None` where there is none. Each number may be taken once, and only one that was left for this.
pub fn take(number: i32) -> Option<File> {
    if number <= libc::STDERR_FILENO {
        return None;
    }
    // SAFETY: only asks for flags, and fails for a number that is not in use.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return None;
    }
    // SAFETY: it is open, and by this function's rule nobody else owns it.
    Some(File::from(unsafe { OwnedFd::from_raw_fd(number) }))
}

/// A variable of the environment, which nobody sees from here on. To be called in a process with one thread.
pub fn take_variable(name: &str) -> Option<OsString> {
    let value = std::env::var_os(name)?;
    // SAFETY: no other thread reads the environment, by this function's rule.
    unsafe { std::env::remove_var(name) };
    Some(value)
}

/// Executes a program in place of this one: same process, same blocked signals (what arrives meanwhile waits), same
/// environment but for `variables`. Comes back only with an error.
pub fn replace(program: &Path, arguments: &[OsString], variables: &[(&str, String)]) -> io::Error {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let prepared = || {
        let program = text(program.as_os_str().as_bytes())?;
        let words: Vec<CString> =
            arguments.iter().map(|word| text(word.as_bytes())).collect::<io::Result<_>>()?;
        let is_set = |name: &OsStr| variables.iter().any(|(set, _)| name == *set);
        let kept = std::env::vars_os().filter(|(name, _)| !is_set(name));
        let set = variables.iter().map(|(name, value)| (OsString::from(*name), OsString::from(value)));
        let environment: Vec<CString> = kept
            .chain(set)
            .map(|(name, value)| text(&[name.as_bytes(), b"=", &value.into_vec()].concat()))
            .collect::<io::Result<_>>()?;
        Ok::<_, io::Error>((program, words, environment))
    };
    match prepared() {
        Ok((program, words, environment)) => match nix::unistd::execve(&program, &words, &environment) {
            Ok(never) => match never {},
            Err(errno) => errno.into(),
        },
        Err(error) => error,
    }
}

/// For a child that is about to execute a program: standard output and error go into a file, and nothing is read.
///
/// # Errors
/// When `/dev/null` cannot be opened.
pub fn write_into(file: &File) -> io::Result<()> {
    super::process::close_standard_streams(true)?;
    for descriptor in [libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: replaces a standard descriptor by a copy of an open one.
        if unsafe { libc::dup2(file.as_raw_fd(), descriptor) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_is_taken_by_its_number() {
        let (read, write) = super::super::process::pipe().unwrap();
        keep_open(&write, true).unwrap();
        let left = number(&write);
        std::mem::forget(write);
        let taken = take(left).unwrap();
        let flags = FdFlag::from_bits_truncate(fcntl(&taken, FcntlArg::F_GETFD).unwrap());
        assert!(flags.contains(FdFlag::FD_CLOEXEC));
        drop((taken, read));
        assert!(take(i32::MAX).is_none() && take(0).is_none() && take(-1).is_none());
    }

    #[test]
    fn what_cannot_be_executed_is_said() {
        let error = replace(Path::new("/no/such/program"), &["x".into()], &[("A", "b".to_owned())]);
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let error = replace(Path::new("/bin/\0"), &[], &[]);
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
