//! The operator hands over (`--signum=SWITCHOVER`): priority 0, addresses kept and traffic forwarded until
//! the successor is heard.

use std::io;

use crate::drill::stage::Stage;
use crate::sys::signals::Signal;

pub(super) fn strike(stage: &mut Stage) -> io::Result<()> {
    stage.mark("r1 is told to switch over");
    stage.lab.daemon(0)?.signal(Signal::SwitchOver.number());
    Ok(())
}
