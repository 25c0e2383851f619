//! A one-way cut, such as a switch makes that loses track of groups: the backup no longer hears the master, which
//! hears it. Both are master as long as that lasts; nobody can help it, but the one that hears the other must say so
//! and keep the hosts. Afterwards there is one again at once.

use std::io;
use std::time::Duration;

use crate::drill::daemon::Kind;
use crate::drill::interruption::pause;
use crate::drill::probe::ProbeRun;
use crate::drill::stage::{Stage, TOLERANCE};
use crate::sys::clock;

pub(super) fn strike(stage: &mut Stage) -> io::Result<()> {
    let interval = stage.plan.interval.duration();
    stage.mark("r2 no longer hears r1");
    set_cut(stage, true)?;
    let limit = stage.plan.master_down(1) * 2 + Duration::from_secs(2);
    stage.wait_for_elections(1, limit)?;
    // Long enough for both to be settled.
    pause(interval * 5)?;
    if stage.plan.programs[0].kind == Kind::Alived {
        let rival = stage.lab.layout.router_address(1, 0).to_string();
        // Over IPv6 r2 speaks by an address of the kernel's making.
        let named = stage.says(0, |line| {
            line.contains("lower priority") && (line.contains(&rival) || rival.contains(':'))
        })?;
        if !named {
            stage.fail("r1 hears another master and does not say so");
        }
    }
    stage.mark("r2 hears r1 again");
    let mended = clock::wall();
    set_cut(stage, false)?;
    pause(interval * 4)?;
    let reigns = stage.measure(&ProbeRun::default()).reigns;
    let last = reigns.iter().filter(|reign| reign.router == 1).map(|reign| reign.last).max();
    let both = last.map_or(Duration::ZERO, |last| last.saturating_since(mended));
    if both > interval + TOLERANCE {
        stage.fail(format!("r2 went on as master for {} ms after it heard r1 again", both.as_millis()));
    }
    Ok(())
}

fn set_cut(stage: &mut Stage, cut: bool) -> io::Result<()> {
    if stage.plan.unicast { stage.lab.set_astray(0, 1, cut) } else { stage.lab.set_deaf(1, cut) }
}
