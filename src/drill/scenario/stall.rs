//! A frozen master (a paused virtual machine, a machine short of memory) that believes itself master when it
//! comes back.

use std::io;
use std::time::Duration;

use crate::drill::daemon::Kind;
use crate::drill::interruption::pause;
use crate::drill::probe::ProbeRun;
use crate::drill::stage::{Stage, TOLERANCE};

pub(super) fn strike(stage: &mut Stage) -> io::Result<()> {
    stage.mark("r1 freezes");
    let processes = stage.lab.daemon(0)?.freeze()?;
    let limit = stage.plan.master_down(1) * 2 + Duration::from_secs(2);
    stage.wait_for_elections(1, limit)?;
    // Long enough for the successor to be settled.
    pause(stage.plan.interval.duration() * 3)?;
    stage.mark("r1 goes on");
    stage.lab.daemon(0)?.thaw(&processes);
    stage.wait_for_elections(2, limit)?;
    if stage.plan.programs[0].kind == Kind::Alived && !stage.says(0, |line| line.contains("stood still"))? {
        stage.fail("r1 does not say that it stood still");
    }
    let together = stage.measure(&ProbeRun::default()).dual_master;
    if together > TOLERANCE {
        let time = together.as_millis();
        stage.fail(format!("r1 and r2 were both master for {time} ms, though a packet of r1's decides"));
    }
    Ok(())
}
