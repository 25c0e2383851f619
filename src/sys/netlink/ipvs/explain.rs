//! What refusals of IPVS mean: it gives numbers only, and the same one for different reasons.

use crate::kernel::KernelError;
use crate::kernel::ipvs::{ForwardingMethod, IpvsEntry, IpvsOperation, IpvsRefusal, SyncRole};
use crate::net::Family;

/// A kernel without IPVS.
pub(super) fn unavailable(error: KernelError) -> KernelError {
    if error.errno != libc::ENOENT {
        return error;
    }
    let message = "this kernel has no IPVS, or its module ip_vs is not loaded: modprobe ip_vs".to_owned();
    KernelError { message, ..error }
}

/// What became of a change. Already gone is success.
pub(super) fn result(operation: &IpvsOperation, answer: Result<(), KernelError>) -> Result<(), IpvsRefusal> {
    let Err(error) = answer else { return Ok(()) };
    let key = operation.key();
    let (verb, entry) = match operation {
        IpvsOperation::Remove(_) => {
            let is_gone = match key.destination {
                None => error.errno == libc::ESRCH,
                Some(_) => matches!(error.errno, libc::ESRCH | libc::ENOENT),
            };
            if is_gone {
                return Ok(());
            }
            ("remove", None)
        }
        IpvsOperation::Add(entry) => ("add", Some(entry)),
        IpvsOperation::Edit(entry) => ("change", Some(entry)),
    };
    let message = entry.and_then(|entry| meaning(entry, error.errno)).unwrap_or(error.message);
    Err(IpvsRefusal { verb, key, error: KernelError { errno: error.errno, message } })
}

/// What a number means for an entry that was added or changed, if more than it says.
fn meaning(entry: &IpvsEntry, errno: i32) -> Option<String> {
    match (entry, errno) {
        (IpvsEntry::Service(_, settings), libc::ENOENT) => {
            let scheduler = settings.scheduler.name();
            let engine = settings.persistence.as_ref().and_then(|persistence| persistence.engine.as_ref());
            let engine = engine.map_or_else(String::new, |engine| {
                format!(", or no persistence engine {engine}: modprobe ip_vs_pe_{engine}")
            });
            Some(format!("this kernel has no scheduler {scheduler}: modprobe ip_vs_{scheduler}{engine}"))
        }
        (_, libc::EAFNOSUPPORT) => Some("this kernel's IPVS has no IPv6".to_owned()),
        (IpvsEntry::Destination(..), libc::ESRCH) => Some("its virtual server is not there".to_owned()),
        (IpvsEntry::Destination(service, target, settings), libc::EINVAL)
            if service.family() != Family::of(&target.address)
                && !matches!(settings.method, ForwardingMethod::Tunnel(_)) =>
        {
            Some("only a tunnel leads to the other family".to_owned())
        }
        (IpvsEntry::Destination(_, _, settings), libc::ERANGE) => Some(format!(
            "weight {}, uthreshold {} or lthreshold {} is out of range",
            settings.weight, settings.upper_threshold, settings.lower_threshold
        )),
        _ => None,
    }
}

/// A refusal about a synchronisation thread.
pub(super) fn sync_daemon(verb: &str, role: SyncRole, error: &KernelError) -> KernelError {
    KernelError {
        message: format!("cannot {verb} the IPVS sync daemon ({role}): {}", error.message),
        errno: error.errno,
    }
}
