//! A machine dies. Stopping all processes first keeps a supervisor or a signal handler from saying goodbye,
//! which a machine without power cannot do either.

use std::io;

use crate::drill::stage::Stage;

pub(super) fn strike(stage: &mut Stage) -> io::Result<()> {
    stage.mark("r1 dies: processes killed, cable cut");
    let processes = stage.lab.daemon(0)?.freeze()?;
    stage.lab.set_cable(0, false)?;
    stage.lab.daemon(0)?.kill(&processes)
}
