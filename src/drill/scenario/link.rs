//! The master loses its cable; it notices and gives the addresses up by itself.

use std::io;

use crate::drill::stage::Stage;

pub(super) fn strike(stage: &mut Stage) -> io::Result<()> {
    stage.mark("r1's cable is pulled");
    stage.lab.set_cable(0, false)
}
