//! The supervisor: a small process with one thread. It holds the pid files, passes signals on, starts a new
//! worker or runner when one dies, and tidies up when there is to be no next one.

mod removal;
mod restart;
mod web;

use std::fs::File;
use std::io::{self, Write};

use super::child::Child;
use super::configuration::{Configuration, Settings};
use super::core_pattern::CorePattern;
use super::dumps;
use super::errand;
use super::files::PidPaths;
use super::handover::Handover;
use super::ipvs_module;
use super::leftovers::Leftovers;
use super::options::Options;
use super::restart::{Judging, Origin, TakenOver};
use super::runner::{self, Need};
use super::seat::{self, Next, Part, Seat};
use super::service_manager::ServiceManager;
use super::shared_text::SharedText;
use super::status::FATAL;
use super::watchdog::{Observed, Verdict, Watchdog};
use super::worker_start::Inheritance;
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
use restart::GoingOn;
use web::Web;

/// The pid files. Those of workers that are started at once are locked before the first one is.
#[derive(Debug)]
pub(super) struct PidFiles {
    pub(super) supervisor: PidFile,
    pub(super) vrrp: Option<PidFile>,
    pub(super) lvs: Option<PidFile>,
    pub(super) paths: PidPaths,
}

impl PidFiles {
    pub(super) fn remove(self) {
        [self.vrrp, self.lvs].into_iter().flatten().for_each(PidFile::remove);
        self.supervisor.remove();
    }
}

/// Whether the daemon has an lvs worker with a configuration of which is known whether it has virtual servers.
pub(super) const fn wants_lvs(options: &Options, balances: bool) -> bool {
    // With `-C` alone it reads the configuration.
    options.checkers && (balances || options.all || !options.vrrp)
}

const SIGNALS: u64 = 0;
const DEMAND: u64 = 1;
const PROGRESS: u64 = 2;
const WORKERS: u64 = 3;
const PULSE: u64 = 4;

/// What a worker runs, in a process of its own. Gives its exit status.
pub(super) type WorkerMain<'a> = &'a dyn Fn(&Options, Inheritance) -> u8;

/// What a supervisor begins with.
#[derive(Debug)]
pub(super) struct Outset {
    pub(super) configuration: Configuration,
    pub(super) pid_files: PidFiles,
    /// Opened before the network namespace was entered.
    pub(super) process_socket: Option<ProcessSocket>,
    pub(super) manager: ServiceManager,
    pub(super) origin: Origin,
    /// The program before, in whose place this one was executed.
    pub(super) taken_over: Option<Box<TakenOver>>,
}

/// Runs the supervisor in the calling process and gives its exit status. `readiness` is where a background
/// start waits for the worker's word, or for an exit status from here.
pub(super) fn run(
    options: &Options,
    worker_main: WorkerMain<'_>,
    outset: Outset,
    readiness: Option<File>,
) -> u8 {
    let Outset { configuration, mut pid_files, process_socket, manager, origin, taken_over } = outset;
    let settings = configuration.settings.clone();
    let core_pattern = Some(CorePattern::set(options.core_pattern.as_deref()));
    let begun = clock::now().instant;
    let (inherited, taken_over) = match taken_over.map(|taken| *taken) {
        Some(TakenOver { estate, leftovers, kept: _, guardian }) => {
            let going_on = GoingOn {
                configuration: configuration.clone(),
                guardian,
                before: estate.version.clone(),
                begun,
                back: false,
            };
            (Some(leftovers), Some((estate, going_on)))
        }
        None => (None, None),
    };
    if let Some(name) = &settings.supervisor_name {
        process::name_thread(name);
    }
    let started = pid_files.supervisor.write(process::own_pid()).and_then(|()| {
        let kept = SharedText::new("alived-configuration")?;
        kept.write(&configuration.kept)?;
        let leftovers = inherited.map_or_else(Leftovers::new, Ok)?;
        let (signals, poller) = (SignalQueue::open()?, Poller::new()?);
        poller.add(&signals, SIGNALS)?;
        let handovers = [Handover::new()?, Handover::new()?];
        handovers.iter().try_for_each(|handover| poller.add(handover, WORKERS))?;
        let watchdog = manager.watchdog();
        let watchdog =
            watchdog.map(|limit| Watchdog::new(limit, clock::now().instant, &poller, PULSE)).transpose()?;
        let worker_readiness = readiness.as_ref().map(File::try_clone).transpose()?;
        Ok((signals, poller, leftovers, handovers, kept, watchdog, worker_readiness))
    });
    let status = match started {
        Ok((signals, poller, leftovers, [of_vrrp, of_lvs], kept, watchdog, worker_readiness)) => {
            let PidFiles { supervisor, vrrp, lvs, paths } = pid_files;
            let mut supervisor = Supervisor {
                options,
                worker_main,
                settings,
                signals,
                poller,
                leftovers,
                pause: None,
                silent_since: None,
                kept,
                pid_file: supervisor,
                process_socket,
                seats: [
                    Seat::new(Part::Vrrp, paths.vrrp, vrrp, of_vrrp),
                    Seat::new(Part::Lvs, paths.lvs, lvs, of_lvs),
                ],
                retired: Vec::new(),
                manager,
                watchdog,
                stopping: None,
                ending: false,
                balances: false,
                code_kept: true,
                web: None,
                origin,
                core_pattern,
                judging: None,
                going_on: None,
            };
            supervisor.web = Web::of(&supervisor.settings.http);
            if let Some((estate, going_on)) = taken_over {
                supervisor.take_over(&estate, going_on);
            }
            let status = supervisor.serve(configuration, worker_readiness);
            drop(supervisor.core_pattern.take());
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
    /// While no vrrp worker runs.
    pause: Option<Pause>,
    /// When the last vrrp worker that served died.
    silent_since: Option<Instant>,
    /// The configuration that the workers run with, for the next ones.
    kept: SharedText,
    pid_file: PidFile,
    /// Opened before the network namespace was entered.
    process_socket: Option<ProcessSocket>,
    /// Of the workers. The first one that runs reads the configuration; the other one follows it.
    seats: [Seat; 2],
    /// Runners whose worker has ended, and which are about to end too.
    retired: Vec<Child>,
    manager: ServiceManager,
    /// Where the manager wants signs of life.
    watchdog: Option<Watchdog>,
    /// The exit status, once the daemon stops.
    stopping: Option<u8>,
    /// There is only the end of the runners to wait for.
    ending: bool,
    /// Whether the configuration in force has virtual servers.
    balances: bool,
    /// The code that the start took is in memory still: there is nothing to do for the first time.
    code_kept: bool,
    /// The web process, if there is to be one.
    web: Option<Web>,
    /// How the program was started.
    origin: Origin,
    /// `-M`, while it is in force.
    core_pattern: Option<CorePattern>,
    /// A restart is judged.
    judging: Option<Judging>,
    /// The program goes on for another one, and not all is served yet.
    going_on: Option<GoingOn>,
}

/// The time between two vrrp workers.
#[derive(Clone, Copy, Debug)]
struct Pause {
    /// When the last one that served died.
    since: Instant,
    /// From then to the next one.
    length: Duration,
    /// When other routers may take over the next addresses.
    removal: Option<Instant>,
}

impl Supervisor<'_> {
    fn serve(&mut self, configuration: Configuration, readiness: Option<File>) -> u8 {
        process::adopt_orphans();
        if self.going_on.is_none()
            && let Some(script) = self.settings.startup_script.take()
        {
            self.manager.wait(clock::now().instant, "running startup_script");
            let stops = |signal| self.is_stop(signal);
            let came = errand::run("startup_script", &script, &self.signals, stops);
            if came.iter().any(|signal| self.is_stop(*signal)) {
                return 0;
            }
            // What was asked for meanwhile the worker is not there for; of reloads it is told.
            if came.contains(&Signal::Reload) {
                self.leader().handover.ask_for_reload();
            }
        }
        if let Err(status) = self.start_workers(configuration, readiness) {
            return status;
        }
        if self.web.as_ref().is_some_and(|web| !web.child.runs()) {
            self.start_web();
        }
        if self.options.background
            && let Err(error) = process::close_standard_streams(!self.options.log.console)
        {
            tracing::warn!("cannot open /dev/null: {error}");
        }
        // Who ended while the program was exchanged is not told of again.
        self.handle(Signal::Child);
        loop {
            if self.ending && self.children().all(|child| !child.runs()) {
                return self.stopping.unwrap_or_default();
            }
            let now = clock::now().instant;
            for seat in &mut self.seats {
                if seat.child.is_kill_due(now) {
                    // What it had to leave is left, or is about to be, and hooks hear of it.
                    let more = seat.handover.take_left();
                    if !more.is_zero() {
                        seat.child.kill_at(now + more);
                    }
                }
            }
            let of_seats = self.seats.iter_mut().flat_map(|seat| [&mut seat.child, &mut seat.runner]);
            let of_web = self.web.iter_mut().map(|web| &mut web.child);
            let judging = self.judging.iter_mut().map(|judging| &mut judging.child);
            for child in of_seats.chain(&mut self.retired).chain(of_web).chain(judging) {
                if child.kill_if_due(now) {
                    tracing::warn!("the {} does not stop, killing it", child.name());
                }
            }
            for index in 0..self.seats.len() {
                if self.seats[index].child.is_respawn_due(now)
                    && let Err(error) = self.start_worker(index, None, None)
                {
                    tracing::error!("cannot start the {}: {error}", self.seats[index].part.name());
                    self.stop(FATAL);
                }
                if self.seats[index].runner.is_respawn_due(now) {
                    self.start_runner(index);
                }
            }
            if self.web.as_mut().is_some_and(|web| web.child.is_respawn_due(now)) {
                self.start_web();
            }
            self.conclude_restart(now);
            self.remove_abandoned(now);
            self.look_at_progress(now);
            let removal = self.pause.and_then(|pause| pause.removal);
            let question = self.watchdog.as_ref().map(Watchdog::timeout);
            let others = self.manager.timeout().into_iter().chain(removal).chain(question);
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
            for index in 0..self.seats.len() {
                self.look_at_demand(index);
                self.hear(index);
            }
            self.manager.serve(clock::now().instant, &self.poller);
        }
    }

    /// Tells the manager that the daemon is alive, while the vrrp thread makes progress; a worker whose thread does
    /// not is killed.
    fn look_at_progress(&mut self, now: Instant) {
        let Some(watchdog) = &mut self.watchdog else { return };
        let seat = &self.seats[0];
        let observed = match seat.child.runs() && self.stopping.is_none() {
            false => Observed::Nobody,
            true if seat.handover.has_served() => Observed::Serves,
            true => Observed::Starts,
        };
        match watchdog.judge(now, observed) {
            Verdict::Wait => {}
            Verdict::Alive => self.manager.alive(),
            Verdict::Hangs(silence) => {
                let seconds = silence.as_secs();
                tracing::error!("the vrrp thread has made no progress for {seconds} s, killing its process");
                seat.child.signal(libc::SIGKILL);
            }
        }
    }

    /// Starts those that the configuration needs; all or none.
    fn start_workers(&mut self, configuration: Configuration, readiness: Option<File>) -> Result<(), u8> {
        let balances = !configuration.balancer.virtual_servers.is_empty();
        self.balances = balances;
        let [vrrp, lvs] = &mut self.seats;
        vrrp.wanted = self.options.vrrp;
        lvs.wanted = wants_lvs(self.options, balances);
        if balances
            && lvs.wanted
            && let Err(error) = ipvs_module::ensure()
        {
            tracing::error!("cannot serve virtual servers: {error}");
            return Err(FATAL);
        }
        if self.going_on.is_some() {
            return self.go_on();
        }
        let leader = self.leader_index();
        let (mut configuration, mut readiness) = (Some(configuration), readiness);
        for index in 0..self.seats.len() {
            if !self.seats[index].wanted {
                continue;
            }
            // The first of each has it from here.
            let own =
                if index + 1 == self.seats.len() { configuration.take() } else { configuration.clone() };
            let told = if index == leader { readiness.take() } else { None };
            if let Err(error) = self.start_worker(index, own, told) {
                tracing::error!("cannot start the {}: {error}", self.seats[index].part.name());
                self.stop(FATAL);
                return if self.ending { Err(FATAL) } else { Ok(()) };
            }
        }
        if self.seats.iter().all(|seat| !seat.wanted) {
            tracing::warn!("there is nothing to do: -P and -C leave no worker");
            if let Some(mut readiness) = readiness {
                let _ = readiness.write_all(&[0]);
            }
        }
        Ok(())
    }

    /// Which worker reads the configuration.
    const fn leader_index(&self) -> usize {
        if self.options.vrrp { 0 } else { 1 }
    }

    fn leader(&self) -> &Seat {
        &self.seats[self.leader_index()]
    }

    fn children(&self) -> impl Iterator<Item = &Child> {
        let of_web = self.web.iter().map(|web| &web.child);
        let judging = self.judging.iter().map(|judging| &judging.child);
        let of_seats = self.seats.iter().flat_map(|seat| [&seat.child, &seat.runner]);
        of_seats.chain(&self.retired).chain(of_web).chain(judging)
    }

    fn is_stop(&self, signal: Signal) -> bool {
        signal == Signal::Stop || signal == Signal::Interrupt && !self.options.ignore_interrupt
    }

    fn handle(&mut self, signal: Signal) {
        match signal {
            Signal::Interrupt if self.options.ignore_interrupt => {}
            Signal::Stop | Signal::Interrupt if self.ending => {}
            Signal::Stop | Signal::Interrupt => {
                if self.stopping.is_none() {
                    tracing::info!("Stopping");
                    self.manager.stopping(clock::now().instant, "stopping");
                }
                self.stop(0);
            }
            Signal::Child => {
                while let Some((pid, ended)) = process::reap() {
                    self.ended(pid, ended);
                }
            }
            Signal::Reload => {
                self.manager.reload_asked(clock::now().instant);
                self.leader().handover.ask_for_reload();
                self.leader().child.signal(signal.number());
            }
            Signal::Data => {
                let describe = |child: &Child| (child.name(), child.describe());
                let of_seats = self.seats.iter().filter(|seat| seat.wanted);
                let of_web = self.web.iter().map(|web| &web.child);
                let children: Vec<_> = of_seats
                    .flat_map(|seat| [&seat.child, &seat.runner])
                    .chain(of_web)
                    .map(describe)
                    .collect();
                dumps::write_parent(self.options, &self.settings, &children);
                self.seats.iter().for_each(|seat| seat.child.signal(signal.number()));
            }
            // Nobody else's affair than ours.
            Signal::Leave => {}
            // As with keepalived they concern virtual routers.
            other => self.seats[0].child.signal(other.number()),
        }
    }

    /// Has all workers stop, and ends with this status when they have; the first one that is not 0 counts.
    fn stop(&mut self, status: u8) {
        let now = clock::now().instant;
        let first = self.stopping.is_none();
        if self.stopping.unwrap_or_default() == 0 {
            self.stopping = Some(status);
        }
        for index in 0..self.seats.len() {
            self.stop_worker(index, now, first);
        }
        self.stop_web(now);
        self.end_if_alone();
    }

    /// Has a worker stop. Its runner ends with it, since it may have last commands for it.
    fn stop_worker(&mut self, index: usize, now: Instant, first: bool) {
        let seat = &mut self.seats[index];
        seat.wanted = false;
        if seat.child.runs() {
            seat.child.signal(Signal::Stop.number());
            if first {
                seat.child.kill_at(now + self.settings.child_wait_time);
            }
        } else if seat.child.is_wanted() {
            // Between two workers: there is to be no next one.
            seat.child.stay_dead();
            self.tidy_up(index);
        }
    }

    /// Once no worker runs any more, what the runners had started has to end.
    fn end_if_alone(&mut self) {
        if self.ending || self.seats.iter().any(|seat| seat.child.runs()) {
            return;
        }
        self.ending = true;
        self.pause = None;
        (0..self.seats.len()).for_each(|index| self.retire_runner(index));
    }

    fn ended(&mut self, pid: u32, ended: Ended) {
        for index in 0..self.seats.len() {
            if let Some(lived) = self.seats[index].child.ended(pid) {
                return self.worker_ended(index, pid, lived, ended);
            }
            if let Some(lived) = self.seats[index].runner.ended(pid) {
                return self.runner_ended(index, pid, lived, ended);
            }
        }
        if self.web_ended(pid, ended) || self.judging_ended(pid, ended) {
            return;
        }
        self.retired.retain_mut(|runner| runner.ended(pid).is_none());
    }

    fn worker_ended(&mut self, index: usize, pid: u32, lived: Duration, ended: Ended) {
        let now = clock::now().instant;
        let how = seat::words(ended);
        self.retire_runner(index);
        if std::mem::take(&mut self.seats[index].predecessor) {
            return self.predecessor_ended(index, ended);
        }
        let leads = index == self.leader_index();
        let seat = &mut self.seats[index];
        let served = seat.handover.take_served();
        seat.served |= served;
        let (title, name) = (seat.part.title(), seat.part.name());
        // What a worker does that others do without costs them nothing, once it could be done.
        let alone = seat.served && !leads;
        match seat::after(ended, seat.wanted, self.options.respawn, alone) {
            Next::Nothing => {
                if ended != Ended::Exited(0) {
                    self.tidy_up(index);
                }
                if self.stopping.is_some() {
                    self.end_if_alone();
                } else {
                    tracing::info!("the {name} has ended: there is nothing for it to do");
                    let part = self.seats[index].part;
                    self.web.iter_mut().for_each(|web| web.forget(part));
                    if let Some(file) = self.seats[index].pid_file.take() {
                        file.remove();
                    }
                    // A reload that came meanwhile may want it again.
                    self.follow_configuration();
                }
            }
            Next::Respawn => {
                let length = seat.child.respawn_later(now, lived);
                let when = seat::in_seconds(length);
                tracing::error!("{title} child process({pid}) died: Respawning{when} (it {how})");
                if leads {
                    let status = format!("the {name} {how}; the next one is started{when}");
                    self.manager.wait(now, &status);
                }
                if self.seats[index].part == Part::Vrrp {
                    let since = self.silent_since.filter(|_| !served).unwrap_or(now);
                    self.silent_since = Some(since);
                    let silence = (now + length).saturating_since(since);
                    let removal = self.leftovers.next_removal(silence, None).map(|after| since + after);
                    self.pause = Some(Pause { since, length: silence, removal });
                }
            }
            Next::End(status) => {
                tracing::error!("{title} child process({pid}) died: Exiting (it {how})");
                self.manager.stopping(now, &format!("the {name} {how}"));
                if ended != Ended::Exited(0) {
                    self.tidy_up(index);
                }
                self.stop(status);
            }
        }
    }

    /// Another one, also with `-R`: no router stops because of it.
    fn runner_ended(&mut self, index: usize, pid: u32, lived: Duration, ended: Ended) {
        // It ends by itself when its worker does, which may be noticed later; one that is needed still is asked for.
        if !self.seats[index].wanted && ended == Ended::Exited(0) {
            return;
        }
        let when = seat::in_seconds(self.seats[index].runner.respawn_later(clock::now().instant, lived));
        tracing::error!("Runner child process({pid}) died: Respawning{when} (it {})", seat::words(ended));
    }

    /// The runner of a worker that has ended: it ends what it has started, then itself.
    fn retire_runner(&mut self, index: usize) {
        let seat = &mut self.seats[index];
        if let Some(demand) = seat.demand.take() {
            self.poller.remove(&demand);
        }
        let next = Child::new(seat.runner.name());
        let mut runner = std::mem::replace(&mut seat.runner, next);
        if runner.runs() {
            runner.kill_at(clock::now().instant + self.settings.child_wait_time);
            self.retired.push(runner);
        }
    }

    fn look_at_demand(&mut self, index: usize) {
        let seat = &self.seats[index];
        let Some(demand) = &seat.demand else { return };
        match demand.look() {
            Need::Runner if !seat.runner.is_wanted() => self.start_runner(index),
            Need::Runner | Need::Nothing => {}
            // Its end as a process follows.
            Need::Over => self.poller.remove(demand),
        }
    }

    /// Hears what a worker says to the supervisor.
    fn hear(&mut self, index: usize) {
        let handover = &self.seats[index].handover;
        handover.acknowledge();
        if handover.take_module_wanted() {
            load_module();
        }
        if handover.take_restart_wanted() && index == self.leader_index() {
            self.begin_restart();
        }
        let handover = &self.seats[index].handover;
        if let Some(balances) = handover.take_taken()
            && index == self.leader_index()
            && self.stopping.is_none()
        {
            self.balances = balances;
            self.follow_configuration();
        }
    }

    /// Another configuration may be in force: starts and stops the lvs worker, or tells it.
    fn follow_configuration(&mut self) {
        let leads = self.leader_index() == 1;
        if leads || self.stopping.is_some() {
            return;
        }
        let now = clock::now().instant;
        let wanted = wants_lvs(self.options, self.balances);
        let seat = &mut self.seats[1];
        match (wanted, seat.wanted) {
            (true, true) => seat.child.signal(Signal::Reload.number()),
            // Once the one that stops has ended.
            (true, false) if seat.child.runs() => {}
            (true, false) => {
                seat.wanted = true;
                let locked = match &seat.pid_file {
                    Some(_) => Ok(()),
                    None => super::lock_later(&seat.pid_path).map(|file| seat.pid_file = Some(file)),
                };
                let started =
                    locked.and_then(|()| self.start_worker(1, None, None).map_err(|error| error.to_string()));
                if let Err(why) = started {
                    let when = self.seats[1].child.respawn_later(now, Duration::ZERO);
                    let when = seat::in_seconds(when);
                    tracing::error!("cannot start the lvs worker: {why}; the next attempt is made{when}");
                }
            }
            (false, true) => {
                self.stop_worker(1, now, true);
            }
            (false, false) => {}
        }
    }

    /// Forks a runner for a worker.
    fn start_runner(&mut self, index: usize) {
        let seat = &mut self.seats[index];
        let Some(demand) = &seat.demand else { return };
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
                seat.runner.started(pid, now);
                tracing::info!("Starting {} child process, pid={pid}", seat.runner.name());
                if let Err(error) = demand.hand_over(&near) {
                    // It finds nobody at the other end of its socket, and the next one follows.
                    tracing::warn!("the worker does not take its runner: {error}");
                }
            }
            Err(error) => {
                let when = seat::in_seconds(seat.runner.respawn_later(now, Duration::ZERO));
                tracing::error!("cannot start a runner: {error}; the next attempt is made{when}");
            }
        }
    }

    fn start_worker(
        &mut self,
        index: usize,
        configuration: Option<Configuration>,
        readiness: Option<File>,
    ) -> io::Result<()> {
        let leads = index == self.leader_index();
        let (demand, supply) = runner::supply()?;
        let seat = &self.seats[index];
        let part = seat.part;
        let pid_file = seat.pid_file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let inheritance = Inheritance {
            part,
            leads,
            is_first: configuration.is_some() && self.going_on.is_none(),
            configuration,
            settings: self.settings.clone(),
            pid_file: pid_file.share()?,
            leftovers: self.leftovers.share()?,
            handover: seat.handover.share()?,
            silent_since: self.silent_since,
            kept: self.kept.share()?,
            readiness,
            runners: supply,
            process_socket: self.process_socket.clone().filter(|_| part == Part::Vrrp),
            progress: if leads { self.manager.expect_worker(&self.poller, PROGRESS)? } else { None },
            pulse: match &mut self.watchdog {
                Some(watchdog) if part == Part::Vrrp => Some(watchdog.expect_worker(clock::now().instant)?),
                _ => None,
            },
            door: self.web.as_mut().map(|web| web.make_door(part)).transpose()?,
        };
        let own_pid = process::own_pid();
        match process::fork()? {
            Fork::Child => {
                // Without the supervisor nobody would pass a stop on.
                drop(demand);
                self.seats.iter_mut().for_each(|seat| seat.demand = None);
                self.web = None;
                self.going_on = None;
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
                let seat = &mut self.seats[index];
                seat.child.started(pid, clock::now().instant);
                self.poller.add(&demand, DEMAND)?;
                seat.demand = Some(demand);
                tracing::info!("Starting {} child process, pid={pid}", part.title());
                if part == Part::Vrrp {
                    self.pause = None;
                }
                if leads {
                    self.manager.wait(clock::now().instant, "starting");
                    if seat.handover.is_reload_due() {
                        seat.child.signal(Signal::Reload.number());
                    }
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
        let files = self.seats.into_iter().filter_map(|seat| seat.pid_file).chain([self.pid_file]);
        files.for_each(PidFile::remove);
        let version = env!("CARGO_PKG_VERSION");
        let status = if status == 0 { String::new() } else { format!(" with status {status}") };
        tracing::info!("Stopped alived v{version}{status}");
    }
}

/// In a process of its own: it may take its time.
fn load_module() {
    if let Ok(Fork::Child) = process::fork() {
        if let Err(error) = ipvs_module::load() {
            tracing::error!("cannot load the kernel's IPVS: {error}");
        }
        std::process::exit(0)
    }
}
