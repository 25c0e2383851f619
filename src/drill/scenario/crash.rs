//! A daemon dies without its machine: the kernel goes on answering for the virtual address and forwarding,
//! until the successor announces itself.

use std::io;

use crate::drill::stage::Stage;

pub(super) fn strike(stage: &mut Stage) -> io::Result<()> {
    stage.mark("r1's daemon is killed");
    let daemon = stage.lab.daemon(0)?;
    let processes = daemon.freeze()?;
    daemon.kill(&processes)
}
