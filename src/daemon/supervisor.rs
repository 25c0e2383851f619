//! The supervisor: a small process with one thread. It holds the pid files, passes signals on, starts a new
//! worker or runner when one dies, and tidies up when there is to be no next one.

use std::fs::File;
use std::io::{self, Write};

use super::child::Child;
use super::configuration::{Configuration, Settings};
use super::core_pattern::CorePattern;
use super::dumps;
use super::errand;
use super::handover::Handover;
use super::leftovers::Leftovers;
use super::options::Options;
use super::record;
use super::runner::{self, Demand, Need};
use super::service_manager::ServiceManager;
use super::shared_text::SharedText;
use super::status::{CONFIGURATION, FATAL, PERMISSION};
use super::worker::Inheritance;
use crate::sys::channel::Channel;
use crate::sys::clock;
use crate::sys::heap;
use crate::sys::pidfile::PidFile;
use crate::sys::poll::Poller;
use crate::sys::process::{self, Ended, Fork};
use crate::sys::process_events::ProcessSocket;
use crate::sys::realtime;
use crate::sys::signals::{Signal, SignalQueue};
use crate::time::{Duration, Instant};

/// The pid files, locked before the first worker is started.
#[derive(Debug)]
pub(super) struct PidFiles {
    pub(super) supervisor: PidFile,
    pub(super) worker: PidFile,
}

impl PidFiles {
    pub(super) fn remove(self) {
        self.worker.remove();
        self.supervisor.remove();
    }
}

const SIGNALS: u64 = 0;
const DEMAND: u64 = 1;
const PROGRESS: u64 = 2;

/// What a worker runs, in a process of its own. Gives its exit status.
pub(super) type WorkerMain<'a> = &'a dyn Fn(&Options, Inheritance) -> u8;

/// Runs the supervisor in the calling process and gives its exit status. `readiness` is where a background
/// start waits for the worker's word, or for an exit status from here.
pub(super) fn run(
    options: &Options,
    worker_main: WorkerMain<'_>,
    configuration: Configuration,
    mut pid_files: PidFiles,
    process_socket: Option<ProcessSocket>,
    readiness: Option<File>,
    manager: ServiceManager,
) -> u8 {
    let settings = configuration.settings.clone();
    let core_pattern = CorePattern::set(options.core_pattern.as_deref());
    if let Some(name) = &settings.supervisor_name {
        process::name_thread(name);
    }
    let started = pid_files.supervisor.write(process::own_pid()).and_then(|()| {
        let kept = SharedText::new("alived-configuration")?;
        kept.write(&configuration.kept)?;
        let (leftovers, handover) = (Leftovers::new()?, Handover::new()?);
        let (signals, poller) = (SignalQueue::open()?, Poller::new()?);
        poller.add(&signals, SIGNALS)?;
        let worker_readiness = readiness.as_ref().map(File::try_clone).transpose()?;
        Ok((signals, poller, leftovers, handover, kept, worker_readiness))
    });
    let status = match started {
        Ok((signals, poller, leftovers, handover, kept, worker_readiness)) => {
            let mut supervisor = Supervisor {
                options,
                worker_main,
                settings,
                signals,
                poller,
                leftovers,
                pause: None,
                silent_since: None,
                handover,
                kept,
                pid_files,
                process_socket,
                vrrp: Child::new("worker"),
                runner: Child::new("runner"),
                demand: None,
                retired: Vec::new(),
                manager,
                stopping: false,
                ending: None,
                code_kept: true,
            };
            let status = supervisor.serve(configuration, worker_readiness);
            drop(core_pattern);
            supervisor.finish(status);
            status
        }
        Err(error) => {
            tracing::error!("cannot start: {error}");
            pid_files.remove();
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
    worker_main: WorkerMain<'a>,
    settings: Settings,
    signals: SignalQueue,
    poller: Poller,
    leftovers: Leftovers,
    /// While no worker runs.
    pause: Option<Pause>,
    /// When the last worker that served died.
    silent_since: Option<Instant>,
    handover: Handover,
    /// The configuration that the worker runs with, for the next one.
    kept: SharedText,
    pid_files: PidFiles,
    /// Opened before the network namespace was entered.
    process_socket: Option<ProcessSocket>,
    vrrp: Child,
    /// What starts commands for the vrrp worker.
    runner: Child,
    /// Where the vrrp worker says that it needs a runner.
    demand: Option<Demand>,
    /// Runners whose worker has ended, and which are about to end too.
    retired: Vec<Child>,
    manager: ServiceManager,
    stopping: bool,
    /// The exit status, once there is only the end of the runners to wait for.
    ending: Option<u8>,
    /// The code that the start took is in memory still: there is nothing to do for the first time.
    code_kept: bool,
}

/// The time between two workers.
#[derive(Clone, Copy, Debug)]
struct Pause {
    /// When the last one that served died.
    since: Instant,
    /// From then to the next one.
    length: Duration,
    /// When other routers may take over the next addresses.
    removal: Option<Instant>,
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
        if let Some(script) = self.settings.startup_script.take() {
            self.manager.wait(clock::now().instant, "running startup_script");
            let stops = |signal| self.is_stop(signal);
            let came = errand::run("startup_script", &script, &self.signals, stops);
            if came.iter().any(|signal| self.is_stop(*signal)) {
                return 0;
            }
            // What was asked for meanwhile the worker is not there for; of reloads it is told.
            if came.contains(&Signal::Reload) {
                self.handover.ask_for_reload();
            }
        }
        if let Err(error) = self.start_worker(Some(configuration), readiness) {
            tracing::error!("cannot start the worker: {error}");
            return FATAL;
        }
        if self.options.background
            && let Err(error) = process::close_standard_streams(!self.options.log.console)
        {
            tracing::warn!("cannot open /dev/null: {error}");
        }
        loop {
            if let Some(status) = self.ending
                && self.children().all(|child| !child.runs())
            {
                return status;
            }
            let now = clock::now().instant;
            if self.vrrp.is_kill_due(now) {
                // Its routers have left, and hooks hear of it.
                let hooks = self.handover.take_left();
                if !hooks.is_zero() {
                    self.vrrp.kill_at(now + hooks);
                }
            }
            for child in [&mut self.vrrp, &mut self.runner].into_iter().chain(&mut self.retired) {
                if child.kill_if_due(now) {
                    tracing::warn!("the {} does not stop, killing it", child.name());
                }
            }
            if self.vrrp.is_respawn_due(now)
                && let Err(error) = self.start_worker(None, None)
            {
                tracing::error!("cannot start the worker: {error}");
                self.tidy_up();
                return FATAL;
            }
            if self.runner.is_respawn_due(now) {
                self.start_runner();
            }
            self.remove_abandoned(now);
            let removal = self.pause.and_then(|pause| pause.removal);
            let others = self.manager.timeout().into_iter().chain(removal);
            let next = self.children().filter_map(Child::timeout).chain(others).min();
            // Rounded up: never early.
            let timeout = next.map(|at| at.saturating_since(now) + Duration::from_millis(1));
            if core::mem::take(&mut self.code_kept) {
                realtime::release_code();
            }
            if let Err(error) = self.poller.wait(timeout).map(Iterator::count) {
                tracing::error!("cannot wait for signals: {error}");
                return FATAL;
            }
            while let Some(signal) = self.signals.next() {
                self.handle(signal);
            }
            self.look_at_demand();
            self.manager.serve(clock::now().instant, &self.poller);
        }
    }

    fn children(&self) -> impl Iterator<Item = &Child> {
        [&self.vrrp, &self.runner].into_iter().chain(&self.retired)
    }

    fn is_stop(&self, signal: Signal) -> bool {
        signal == Signal::Stop || signal == Signal::Interrupt && !self.options.ignore_interrupt
    }

    fn handle(&mut self, signal: Signal) {
        match signal {
            Signal::Interrupt if self.options.ignore_interrupt => {}
            Signal::Stop | Signal::Interrupt if self.ending.is_some() => {}
            Signal::Stop | Signal::Interrupt => {
                if !self.vrrp.runs() {
                    // Between two workers: there is to be no next one.
                    self.manager.stopping(clock::now().instant, "stopping");
                    self.tidy_up();
                    self.end(0);
                    return;
                }
                // The runner ends with its worker, which may have last commands for it.
                self.vrrp.signal(Signal::Stop.number());
                if !self.stopping {
                    self.stopping = true;
                    let now = clock::now().instant;
                    self.vrrp.kill_at(now + self.settings.child_wait_time);
                    tracing::info!("Stopping");
                    self.manager.stopping(now, "stopping");
                }
            }
            Signal::Child => {
                while let Some((pid, ended)) = process::reap() {
                    if let Some(lived) = self.vrrp.ended(pid) {
                        self.worker_ended(pid, lived, ended);
                    } else if let Some(lived) = self.runner.ended(pid) {
                        self.runner_ended(pid, lived, ended);
                    } else {
                        self.retired.retain_mut(|runner| runner.ended(pid).is_none());
                    }
                }
            }
            Signal::Reload => {
                self.manager.reload_asked(clock::now().instant);
                self.handover.ask_for_reload();
                self.vrrp.signal(signal.number());
            }
            other => {
                if other == Signal::Data {
                    let children = [&self.vrrp, &self.runner].map(|child| (child.name(), child.describe()));
                    dumps::write_parent(self.options, &self.settings, &children);
                }
                self.vrrp.signal(other.number());
            }
        }
    }

    /// Ends with this status, as soon as what the runners had started has ended.
    fn end(&mut self, status: u8) {
        self.ending = Some(status);
        self.pause = None;
        self.vrrp.stay_dead();
        self.retire_runner();
    }

    fn worker_ended(&mut self, pid: u32, lived: Duration, ended: Ended) {
        let now = clock::now().instant;
        let how = words(ended);
        let served = self.handover.take_served();
        self.retire_runner();
        match after(ended, self.stopping, self.options.respawn) {
            Next::Respawn => {
                let length = self.vrrp.respawn_later(now, lived);
                let when = in_seconds(length);
                tracing::error!("VRRP child process({pid}) died: Respawning{when} (it {how})");
                let status = format!("the worker {how}; the next one is started{when}");
                self.manager.wait(now, &status);
                let since = self.silent_since.filter(|_| !served).unwrap_or(now);
                self.silent_since = Some(since);
                let silence = (now + length).saturating_since(since);
                let removal = self.leftovers.next_removal(silence, None).map(|after| since + after);
                self.pause = Some(Pause { since, length: silence, removal });
            }
            Next::End(status) => {
                if !self.stopping {
                    tracing::error!("VRRP child process({pid}) died: Exiting (it {how})");
                    self.manager.stopping(now, &format!("the worker {how}"));
                }
                if ended != Ended::Exited(0) {
                    self.tidy_up();
                }
                self.end(status);
            }
        }
    }

    /// Another one, also with `-R`: no router stops because of it.
    fn runner_ended(&mut self, pid: u32, lived: Duration, ended: Ended) {
        // It ends by itself when its worker does, which may be noticed later; one that is needed still is asked for.
        if self.stopping && ended == Ended::Exited(0) {
            return;
        }
        let when = in_seconds(self.runner.respawn_later(clock::now().instant, lived));
        tracing::error!("Runner child process({pid}) died: Respawning{when} (it {})", words(ended));
    }

    /// The runner of a worker that has ended: it ends what it has started, then itself.
    fn retire_runner(&mut self) {
        if let Some(demand) = self.demand.take() {
            self.poller.remove(&demand);
        }
        let mut runner = std::mem::replace(&mut self.runner, Child::new("runner"));
        if runner.runs() {
            runner.kill_at(clock::now().instant + self.settings.child_wait_time);
            self.retired.push(runner);
        }
    }

    fn look_at_demand(&mut self) {
        let Some(demand) = &self.demand else { return };
        match demand.look() {
            Need::Runner if !self.runner.is_wanted() => self.start_runner(),
            Need::Runner | Need::Nothing => {}
            // Its end as a process follows.
            Need::Over => self.poller.remove(demand),
        }
    }

    /// Forks a runner for the worker.
    fn start_runner(&mut self) {
        let Some(demand) = &self.demand else { return };
        let now = clock::now().instant;
        let own_pid = process::own_pid();
        match Channel::pair().and_then(|pair| Ok((pair, process::fork()?))) {
            Ok(((_, socket), Fork::Child)) => {
                if process::end_with_parent(own_pid)
                    && let Err(error) = runner::run(socket)
                {
                    tracing::error!("the runner cannot go on: {error}");
                }
                std::process::exit(0)
            }
            Ok(((near, far), Fork::Parent(pid))) => {
                drop(far);
                self.runner.started(pid, now);
                tracing::info!("Starting runner child process, pid={pid}");
                if let Err(error) = demand.hand_over(&near) {
                    // It finds nobody at the other end of its socket, and the next one follows.
                    tracing::warn!("the worker does not take its runner: {error}");
                }
            }
            Err(error) => {
                let when = in_seconds(self.runner.respawn_later(now, Duration::ZERO));
                tracing::error!("cannot start a runner: {error}; the next attempt is made{when}");
            }
        }
    }

    /// Removes the addresses that other routers may take over before there is another worker.
    fn remove_abandoned(&mut self, now: Instant) {
        let Some(pause) = &mut self.pause else { return };
        if pause.removal.is_none_or(|at| now < at) {
            return;
        }
        let Pause { since, length, .. } = *pause;
        let passed = now.saturating_since(since);
        pause.removal = self.leftovers.next_removal(length, Some(passed)).map(|after| since + after);
        self.remove_addresses(Some((passed, length)));
    }

    /// Removes what a worker that did not stop in order has left.
    fn tidy_up(&mut self) {
        self.remove_addresses(None);
    }

    /// Removes addresses: between two workers, of a pause of which so much has passed, those that others may take over.
    fn remove_addresses(&mut self, between: Option<(Duration, Duration)>) {
        if self.options.keep_addresses {
            return;
        }
        let why = between.map_or("", |_| ", before other routers take over");
        let (ownership, record) = record::ownership(self.pid_files.worker.path());
        match self.leftovers.remove(between, &ownership, record) {
            Ok(0) => {}
            Ok(count) => {
                tracing::warn!(
                    "removed {count} virtual addresses, routes and rules that the worker left behind{why}"
                );
            }
            Err(error) => {
                tracing::error!("cannot remove what the worker left behind: {error}");
            }
        }
    }

    fn start_worker(
        &mut self,
        configuration: Option<Configuration>,
        readiness: Option<File>,
    ) -> io::Result<()> {
        let (demand, supply) = runner::supply()?;
        let inheritance = Inheritance {
            configuration,
            settings: self.settings.clone(),
            pid_file: self.pid_files.worker.share()?,
            leftovers: self.leftovers.share()?,
            handover: self.handover.share()?,
            silent_since: self.silent_since,
            kept: self.kept.share()?,
            readiness,
            runners: supply,
            process_socket: self.process_socket.clone(),
            progress: self.manager.expect_worker(&self.poller, PROGRESS)?,
        };
        let own_pid = process::own_pid();
        match process::fork()? {
            Fork::Child => {
                // Without the supervisor nobody would pass a stop on.
                drop(demand);
                self.manager.leave();
                let status = if process::end_with_parent(own_pid) {
                    (self.worker_main)(self.options, inheritance)
                } else {
                    FATAL
                };
                std::process::exit(i32::from(status))
            }
            Fork::Parent(pid) => {
                drop(inheritance);
                heap::trim();
                self.vrrp.started(pid, clock::now().instant);
                self.pause = None;
                self.poller.add(&demand, DEMAND)?;
                self.demand = Some(demand);
                tracing::info!("Starting VRRP child process, pid={pid}");
                self.manager.wait(clock::now().instant, "starting");
                if self.handover.is_reload_due() {
                    self.vrrp.signal(Signal::Reload.number());
                }
                Ok(())
            }
        }
    }

    fn finish(self, status: u8) {
        if let Some(script) = &self.settings.shutdown_script {
            // Whoever asks a second time does not want to wait.
            errand::run("shutdown_script", script, &self.signals, |signal| self.is_stop(signal));
        }
        self.pid_files.remove();
        let version = env!("CARGO_PKG_VERSION");
        let status = if status == 0 { String::new() } else { format!(" with status {status}") };
        tracing::info!("Stopped alived v{version}{status}");
    }
}

fn words(ended: Ended) -> String {
    match ended {
        Ended::Exited(status) => format!("ended with status {status}"),
        Ended::Killed(signal) => format!("was killed by signal {signal}"),
    }
}

/// When something is done that waits so long.
fn in_seconds(wait: Duration) -> String {
    if wait == Duration::ZERO { String::new() } else { format!(" in {} seconds", wait.as_secs()) }
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
