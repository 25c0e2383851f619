//! The operator hands over (`--signum=SWITCHOVER`): priority 0, addresses kept and traffic forwarded until
//! the successor is heard.

use std::io;
use std::time::{Duration, Instant};

use crate::drill::interruption::pause;
use crate::drill::probe::ProbeRun;
use crate::drill::stage::Stage;
use crate::sys::clock;
use crate::sys::signals::Signal;

pub(super) fn strike(stage: &mut Stage) -> io::Result<()> {
    stage.mark("r1 is told to switch over");
    stage.lab.daemon(0)?.signal(Signal::SwitchOver.number());
    // The probes cannot tell: a router forwards what is sent to its hardware address, with or without the virtual
    // one, which is missed by those who talk to the address itself.
    let gateway = stage.lab.layout.gateway();
    let limit = (stage.plan.skew(1) + stage.plan.interval.duration()) * 2 + Duration::from_secs(2);
    let start = Instant::now();
    while stage.lab.holds(0, gateway)? && start.elapsed() < limit {
        pause(Duration::from_millis(1))?;
    }
    let released = clock::wall();
    stage.wait_for_elections(1, limit)?;
    let elected = stage.measure(&ProbeRun::default()).elections.first().map(|election| election.time);
    if let Some(elected) = elected.filter(|elected| released < *elected) {
        let early = elected.saturating_since(released).as_micros();
        stage.fail(format!("r1 gave the virtual address up {early} us before its successor advertised"));
    }
    Ok(())
}
