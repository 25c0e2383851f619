//! Another process of the daemon goes on (`alived restart`), which nobody is to notice.

use std::io;
use std::process::{Command, Stdio};

use crate::drill::stage::Stage;

pub(super) fn strike(stage: &mut Stage) -> io::Result<()> {
    let mut command = Command::new(&stage.plan.programs[0].path);
    command.arg("restart").arg("-r").arg(stage.lab.folder().path().join("r1.vrrp.pid"));
    stage.mark("r1 is told to restart: alived restart");
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        stage.mark("another process of r1 answers");
    } else {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        stage.fail(format!("`alived restart` ended with {}: {said}", output.status));
    }
    Ok(())
}
