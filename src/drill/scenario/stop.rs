//! An orderly stop (TERM): priority 0, addresses removed, exit status 0.

use std::io;
use std::time::Duration;

use crate::drill::stage::Stage;

/// How long an orderly stop may take: keepalived gives its children 5 seconds.
const LIMIT: Duration = Duration::from_secs(6);

pub(super) fn strike(stage: &mut Stage) -> io::Result<()> {
    stage.mark("r1's daemon gets TERM");
    stage.lab.daemon(0)?.signal(libc::SIGTERM);
    match stage.lab.daemon(0)?.wait(LIMIT)? {
        Some(status) if status.success() => stage.mark("r1's daemon has ended"),
        Some(status) => stage.fail(format!("the stopped daemon ended with {status} instead of status 0")),
        None => stage.fail(format!("the stopped daemon did not end within {} s", LIMIT.as_secs())),
    }
    Ok(())
}
