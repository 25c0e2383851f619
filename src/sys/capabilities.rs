//! What a process may do beyond its user (`capabilities(7)`).

use std::io;

use caps::{CapSet, Capability, CapsHashSet};

/// Gives up for ever, of the privileges that the calling thread has, all but `kept`: for itself, the threads
/// that it starts from then on, and all that they execute.
///
/// # Errors
/// None in practice: giving up needs no right. Only narrowing what is executed does, and where that is not
/// allowed it stays as it is.
pub fn keep_only(kept: &[Capability]) -> io::Result<()> {
    let kept: CapsHashSet = kept.iter().copied().collect();
    for capability in caps::all().difference(&kept) {
        // A kernel that does not know one has not given it.
        if matches!(caps::has_cap(None, CapSet::Bounding, *capability), Ok(true)) {
            let _ = caps::drop(None, CapSet::Bounding, *capability);
        }
    }
    for set in [CapSet::Effective, CapSet::Inheritable, CapSet::Permitted] {
        narrow(set, &kept)?;
    }
    Ok(())
}

/// Those of `wanted` that the calling thread does not have.
pub fn missing(wanted: &[Capability]) -> Vec<Capability> {
    let held = caps::read(None, CapSet::Effective).unwrap_or_default();
    wanted.iter().copied().filter(|capability| !held.contains(capability)).collect()
}

/// Lays down, of the privileges that the calling thread uses, all but `kept`, until [`take_up`].
///
/// # Errors
/// Where the call itself is forbidden.
pub fn lay_down_all_but(kept: &[Capability]) -> io::Result<()> {
    narrow(CapSet::Effective, &kept.iter().copied().collect())
}

/// Takes up again what was laid down.
///
/// # Errors
/// None in practice.
pub fn take_up() -> io::Result<()> {
    let permitted = caps::read(None, CapSet::Permitted).map_err(io::Error::other)?;
    caps::set(None, CapSet::Effective, &permitted).map_err(io::Error::other)
}

fn narrow(set: CapSet, kept: &CapsHashSet) -> io::Result<()> {
    let held = caps::read(None, set).map_err(io::Error::other)?;
    let wanted: CapsHashSet = held.intersection(kept).copied().collect();
    // A service manager may have done it already, and forbidden the call.
    if wanted == held {
        return Ok(());
    }
    caps::set(None, set, &wanted).map_err(io::Error::other)
}
