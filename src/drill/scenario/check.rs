//! A check on the master fails: its priority falls below its successor's, which takes over by preemption. Then the
//! check succeeds again, and the old master preempts.

use std::io;
use std::time::Duration;

use crate::drill::interruption::pause;
use crate::drill::plan::CHECK_INTERVAL;
use crate::drill::stage::Stage;

pub(super) fn strike(stage: &mut Stage) -> io::Result<()> {
    stage.mark("r1 no longer forwards, which its check looks at");
    stage.lab.set_forwarding(0, false)?;
    let limit = (stage.plan.master_down(1) + CHECK_INTERVAL) * 2 + Duration::from_secs(2);
    stage.wait_for_elections(1, limit)?;
    // Long enough for the successor to be settled.
    pause(stage.plan.interval.duration() * 3)?;
    stage.mark("r1 forwards again");
    stage.lab.set_forwarding(0, true)?;
    stage.wait_for_elections(2, limit)
}
