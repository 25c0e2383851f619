//! The supervisor: a small process with one thread. It holds the pid files, passes signals on, starts a new
//! worker when one dies, and tidies up when there is to be no next one.

use std::fs::File;
use std::io::{self, Write};

use super::configuration::{Configuration, Settings};
use super::last_good::LastGood;
use super::leftovers::Leftovers;
use super::log::Sink;
use super::options::Options;
use super::record;
use super::respawn::Respawn;
use super::status::{CONFIGURATION, FATAL, PERMISSION};
use super::worker::{self, Inheritance};
use crate::sys::clock;
use crate::sys::pidfile::PidFile;
use crate::sys::process::{self, Ended, Fork};
use crate::sys::realtime;
use crate::sys::signals::{Signal, SignalQueue};
use crate::sys::syslog::Severity;
use crate::time::{Duration, Instant};

/// The pid files, locked before the first worker is started.
#[derive(Debug)]
pub(super) struct PidFiles {
    pub(super) supervisor: PidFile,
    pub(super) worker: PidFile,
}

/// Runs the supervisor in the calling process and gives its exit status. `readiness` is where a background
/// start waits for the worker's word, or for an exit status from here.
pub(super) fn run(
    options: &Options,
    configuration: Configuration,
    mut pid_files: PidFiles,
    readiness: Option<File>,
    mut sink: Sink,
) -> u8 {
    let settings = configuration.settings.clone();
    if let Some(name) = &settings.supervisor_name {
        process::name_thread(name);
    }
    let started = pid_files.supervisor.write(process::own_pid()).and_then(|()| {
        let last_good = LastGood::new()?;
        last_good.write(&configuration.kept)?;
        let leftovers = Leftovers::new()?;
        Ok((SignalQueue::open()?, leftovers, last_good, readiness.as_ref().map(File::try_clone).transpose()?))
    });
    let status = match started {
        Ok((signals, leftovers, last_good, worker_readiness)) => {
            let mut supervisor = Supervisor {
                options,
                settings,
                sink,
                signals,
                leftovers,
                last_good,
                pid_files,
                worker: None,
                respawn: Respawn::default(),
                respawn_at: None,
                kill_at: None,
                stopping: false,
            };
            let status = supervisor.serve(configuration, worker_readiness);
            supervisor.finish(status);
            status
        }
        Err(error) => {
            sink.say(Severity::Error, &format!("cannot start: {error}"));
            FATAL
        }
    };
    if let Some(mut readiness) = readiness {
        // Nobody reads it if the worker has been ready.
        let _ = readiness.write_all(&[status]);
    }
    status
}

struct Supervisor<'a> {
    options: &'a Options,
    settings: Settings,
    sink: Sink,
    signals: SignalQueue,
    leftovers: Leftovers,
    last_good: LastGood,
    pid_files: PidFiles,
    worker: Option<Worker>,
    respawn: Respawn,
    respawn_at: Option<Instant>,
    /// When a worker that was asked to stop is killed.
    kill_at: Option<Instant>,
    stopping: bool,
}

#[derive(Clone, Copy, Debug)]
struct Worker {
    pid: u32,
    started: Instant,
}

/// What the end of a worker leads to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Next {
    /// Another worker.
    Respawn,
    /// The end, with this exit status.
    End(u8),
}

impl Supervisor<'_> {
    fn serve(&mut self, configuration: Configuration, readiness: Option<File>) -> u8 {
        process::adopt_orphans();
        if let Err(error) = self.start_worker(Some(configuration), readiness) {
            self.sink.say(Severity::Error, &format!("cannot start the worker: {error}"));
            return FATAL;
        }
        if self.options.background
            && let Err(error) = process::close_standard_streams(!self.options.log.console)
        {
            self.sink.say(Severity::Warning, &format!("cannot open /dev/null: {error}"));
        }
        loop {
            let now = clock::now().instant;
            if self.kill_at.is_some_and(|at| at <= now) {
                self.kill_at = None;
                if let Some(worker) = self.worker {
                    self.sink.say(Severity::Warning, "the worker does not stop, killing it");
                    process::signal(worker.pid, libc::SIGKILL);
                }
            }
            if self.respawn_at.is_some_and(|at| at <= now) {
                self.respawn_at = None;
                if let Err(error) = self.start_worker(None, None) {
                    self.sink.say(Severity::Error, &format!("cannot start the worker: {error}"));
                    self.tidy_up();
                    return FATAL;
                }
            }
            let next = [self.kill_at, self.respawn_at].into_iter().flatten().min();
            let signal = self.signals.wait(next.map(|at| at.saturating_since(now)));
            if let Some(status) = signal.and_then(|signal| self.handle(signal)) {
                return status;
            }
        }
    }

    /// Gives the exit status when it is time to end.
    fn handle(&mut self, signal: Signal) -> Option<u8> {
        match signal {
            Signal::Interrupt if self.options.ignore_interrupt => {}
            Signal::Stop | Signal::Interrupt => {
                let Some(worker) = self.worker else {
                    // Between two workers: there is to be no next one.
                    self.tidy_up();
                    return Some(0);
                };
                process::signal(worker.pid, Signal::Stop.number());
                if !self.stopping {
                    self.stopping = true;
                    self.kill_at = Some(clock::now().instant + self.settings.child_wait_time);
                    self.sink.say(Severity::Info, "Stopping");
                }
            }
            Signal::Child => {
                while let Some((pid, ended)) = process::reap() {
                    if let Some(worker) = self.worker
                        && worker.pid == pid
                        && let Next::End(status) = self.worker_ended(worker, ended)
                    {
                        return Some(status);
                    }
                }
            }
            other => {
                if let Some(worker) = self.worker {
                    process::signal(worker.pid, other.number());
                }
            }
        }
        None
    }

    fn worker_ended(&mut self, worker: Worker, ended: Ended) -> Next {
        self.worker = None;
        let now = clock::now().instant;
        let next = after(ended, self.stopping, self.options.respawn);
        let how = match ended {
            Ended::Exited(status) => format!("ended with status {status}"),
            Ended::Killed(signal) => format!("was killed by signal {signal}"),
        };
        match next {
            Next::Respawn => {
                let wait = self.respawn.wait_after(now.saturating_since(worker.started));
                self.respawn_at = Some(now + wait);
                let when = if wait == Duration::ZERO {
                    String::new()
                } else {
                    format!(" in {} seconds", wait.as_secs())
                };
                self.sink.say(
                    Severity::Error,
                    &format!("VRRP child process({}) died: Respawning{when} (it {how})", worker.pid),
                );
            }
            Next::End(_) => {
                if !self.stopping {
                    let text = format!("VRRP child process({}) died: Exiting (it {how})", worker.pid);
                    self.sink.say(Severity::Error, &text);
                }
                if ended != Ended::Exited(0) {
                    self.tidy_up();
                }
            }
        }
        next
    }

    /// Removes what a worker that did not stop in order has left.
    fn tidy_up(&mut self) {
        if self.options.keep_addresses {
            return;
        }
        let (ownership, record) = record::ownership(self.pid_files.worker.path());
        match self.leftovers.remove(&ownership, record) {
            Ok(0) => {}
            Ok(count) => {
                let text = format!("removed {count} virtual addresses that the worker left behind");
                self.sink.say(Severity::Notice, &text);
            }
            Err(error) => {
                let text =
                    format!("cannot remove the virtual addresses that the worker left behind: {error}");
                self.sink.say(Severity::Error, &text);
            }
        }
    }

    fn start_worker(
        &mut self,
        configuration: Option<Configuration>,
        readiness: Option<File>,
    ) -> io::Result<()> {
        let inheritance = Inheritance {
            configuration,
            settings: self.settings.clone(),
            pid_file: self.pid_files.worker.share()?,
            leftovers: self.leftovers.share()?,
            last_good: self.last_good.share()?,
            readiness,
        };
        let own_pid = process::own_pid();
        match process::fork()? {
            Fork::Child => {
                // Without the supervisor nobody would pass a stop on.
                let status = if process::end_with_parent(own_pid) {
                    worker::run(self.options, inheritance)
                } else {
                    FATAL
                };
                std::process::exit(i32::from(status))
            }
            Fork::Parent(pid) => {
                drop(inheritance);
                realtime::trim_memory();
                self.worker = Some(Worker { pid, started: clock::now().instant });
                self.sink.say(Severity::Info, &format!("Starting VRRP child process, pid={pid}"));
                Ok(())
            }
        }
    }

    fn finish(mut self, status: u8) {
        self.pid_files.worker.remove();
        self.pid_files.supervisor.remove();
        let version = env!("CARGO_PKG_VERSION");
        let status = if status == 0 { String::new() } else { format!(" with status {status}") };
        self.sink.say(Severity::Info, &format!("Stopped alived v{version}{status}"));
    }
}

/// keepalived's rules: a worker that cannot run (1), has no usable configuration (2) or no permission (4) ends
/// all; with `-R` any death does; else there is another worker.
fn after(ended: Ended, stopping: bool, respawn: bool) -> Next {
    match ended {
        _ if stopping => Next::End(0),
        Ended::Exited(status) if [FATAL, CONFIGURATION, PERMISSION].map(i32::from).contains(&status) => {
            Next::End(u8::try_from(status).unwrap_or(FATAL))
        }
        _ if respawn => Next::Respawn,
        Ended::Exited(0) => Next::End(0),
        _ => Next::End(FATAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hopeless_workers_are_not_replaced() {
        for (ended, stopping, respawn, next) in [
            (Ended::Exited(0), true, true, Next::End(0)),
            (Ended::Killed(9), true, true, Next::End(0)),
            (Ended::Exited(1), false, true, Next::End(1)),
            (Ended::Exited(2), false, true, Next::End(2)),
            (Ended::Exited(4), false, true, Next::End(4)),
            (Ended::Exited(0), false, true, Next::Respawn),
            (Ended::Killed(6), false, true, Next::Respawn),
            (Ended::Exited(101), false, true, Next::Respawn),
            (Ended::Killed(6), false, false, Next::End(1)),
        ] {
            assert_eq!(after(ended, stopping, respawn), next, "{ended:?}");
        }
    }
}
