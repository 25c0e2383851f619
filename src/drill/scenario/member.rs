//! A member of a sync group fails: the master loses the cable of its second segment. The first one is whole, and is given
//! up all the same.

use std::io;
use std::time::Duration;

use crate::drill::stage::{Stage, TOLERANCE};

/// The segment that fails.
const SECOND: u8 = 1;

pub(super) fn strike(stage: &mut Stage) -> io::Result<()> {
    stage.mark("r1's cable of the second segment is pulled");
    stage.lab.set_cable_of(0, SECOND, false)?;
    // The priority 0 of the second router does not get through: its successor waits for a master-down time.
    let limit = (stage.plan.master_down(1) + TOLERANCE) * 2 + Duration::from_secs(2);
    stage.wait_for_elections(1, limit)?;
    let gateways = [stage.lab.layout.gateway(), stage.lab.layout.second_gateway()];
    for (router, holds, word) in [(0, false, "still has"), (1, true, "does not have")] {
        for gateway in gateways {
            let wait = stage.wait("", limit, |stage| Ok(stage.lab.holds(router, gateway)? == holds));
            if wait.is_err() {
                stage.fail(format!("r{} {word} {gateway}, an address of the sync group", router + 1));
            }
        }
    }
    Ok(())
}
