//! A process that reads and writes nothing more than what it has open (`landlock(7)`): no file, no program, no connection
//! to the network or to other processes by name.

use std::io;

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus, Scope};

/// Networks from Linux 6.7 on, devices' ioctls 6.10, abstract names and signals 6.12; older kernels limit what they can.
const NEWEST: ABI = ABI::V6;

/// Seals the calling thread and those that it starts from then on.
///
/// # Errors
/// When the kernel has no landlock, or refuses.
pub fn seal() -> io::Result<()> {
    let sealed = || -> Result<_, landlock::RulesetError> {
        Ruleset::default()
            .handle_access(AccessFs::from_all(NEWEST))?
            .handle_access(AccessNet::from_all(NEWEST))?
            .scope(Scope::Signal)?
            .scope(Scope::AbstractUnixSocket)?
            .create()?
            .restrict_self()
    };
    match sealed().map_err(io::Error::other)?.ruleset {
        RulesetStatus::NotEnforced => Err(io::ErrorKind::Unsupported.into()),
        RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn only_what_is_open_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut open = std::fs::File::create(&path).unwrap();
        let of_thread = path.clone();
        // Landlock is a thread's own affair.
        let thread = std::thread::spawn(move || {
            if let Err(error) = seal() {
                crate::skip::skip("only_what_is_open_is_left", &format!("no landlock: {error}"));
                return;
            }
            open.write_all(b"x").unwrap();
            for refused in [std::fs::read(&of_thread).map(drop), std::fs::write(&of_thread, "y")] {
                assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            }
        });
        thread.join().unwrap();
    }
}
