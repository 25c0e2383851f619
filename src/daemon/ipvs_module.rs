//! The kernel's IPVS: whether it is there, and loading its module.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::kernel::KernelError;
use crate::sys::netlink::ipvs::IpvsSocket;

/// Which program loads modules, as the kernel has it.
const LOADER_SETTING: &str = "/proc/sys/kernel/modprobe";
const LOADER: &str = "/sbin/modprobe";

const MODULE: &str = "ip_vs";

/// How often, and how long each time, is waited until the supervisor has loaded it.
const WAITS: (u32, Duration) = (100, Duration::from_millis(50));

/// Loads the module if the kernel has no IPVS yet, as keepalived does. To be called where programs may be executed.
///
/// # Errors
/// When there is no IPVS then.
pub(super) fn ensure() -> Result<(), KernelError> {
    let Err(missing) = look() else { return Ok(()) };
    if missing.errno != libc::ENOENT {
        return Err(missing);
    }
    let loaded = load();
    look().map_err(|error| {
        let why = loaded.map_or_else(|error| format!(" ({error})"), |()| String::new());
        KernelError { message: format!("{}{why}", error.message), ..error }
    })
}

/// Whether the kernel has IPVS.
///
/// # Errors
/// When it has none.
pub(super) fn look() -> Result<(), KernelError> {
    IpvsSocket::open().map(drop)
}

/// Waits until somebody else has loaded it. `ask` asks for that.
///
/// # Errors
/// When nobody has.
pub(super) fn wait(ask: impl FnOnce()) -> Result<(), KernelError> {
    if look().is_ok() {
        return Ok(());
    }
    ask();
    let (waits, pause) = WAITS;
    for _ in 1..waits {
        std::thread::sleep(pause);
        if look().is_ok() {
            return Ok(());
        }
    }
    look()
}

/// Runs the program that loads modules.
///
/// # Errors
/// Why it could not, or that it failed.
pub(super) fn load() -> Result<(), String> {
    let setting = std::fs::read_to_string(LOADER_SETTING).unwrap_or_default();
    let loader = Some(setting.trim()).filter(|path| path.starts_with('/')).unwrap_or(LOADER);
    let run = Command::new(loader)
        .args(["-s", "--", MODULE])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match run {
        Ok(status) if status.success() => {
            tracing::info!("loaded the kernel module {MODULE}");
            Ok(())
        }
        Ok(status) => Err(format!("{loader} {MODULE}: {status}")),
        Err(error) => Err(format!("{loader}: {error}")),
    }
}
