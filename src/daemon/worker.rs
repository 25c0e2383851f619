//! The worker: the process that runs the virtual routers. This is its main thread: start, signals, reload,
//! dumps. It may take its time, no other thread waits for it.

mod handovers;
mod operator;
mod plan;
mod recording;
mod reload;
mod restart;

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::thread::JoinHandle;

use caps::Capability;

use super::acceptance::{self, Acceptance};
use super::configuration::{Configuration, Settings};
use super::confinement::Confinement;
use super::control::{Asked, ControlSocket, STOPPING};
use super::descriptors;
use super::door::Door;
use super::dumps::{self, Dump, Dumps};
use super::events::Events;
use super::files;
use super::filter::Filter;
use super::handover::Handover;
use super::hooks::Hooks;
use super::interface_settings::InterfaceSettings;
use super::kernel_thread::{KernelThread, Request, view_failed};
use super::left_filters::{self, LeftFilters};
use super::leftovers::Leftovers;
use super::local_reports;
use super::log::{Levels, Logger};
use super::mailbox::Mailbox;
use super::maintenance::MaintenanceRecord;
use super::memory::Memory;
use super::options::Options;
use super::polled_links::PolledLinks;
use super::progress::Progress;
use super::record;
use super::reload_files::{Keepsakes, ReadingMarker};
use super::reload_schedule::ReloadSchedule;
use super::restart::LegacyFile;
use super::runner::Runner;
use super::scheduling::{self, RealtimeScheduling};
use super::shared_text::SharedText;
use super::spawn;
use super::stamps::Stamps;
use super::status::{FATAL, PERMISSION};
use super::switch_overs::SwitchOverRecord;
use super::sync_daemons::SyncDaemons;
use super::tally::Tally;
use super::tracked_files::{self, TrackedFiles};
use super::tracked_processes::TrackedProcesses;
use super::tracked_scripts::TrackedScripts;
use super::transitions::Transitions;
use super::virtual_links::VirtualLinks;
use super::vrrp_thread::{Before, Channels, LateLimit, Message, Notice, VrrpThread, interest};
use super::watchdog::Pulse;
use super::worker_start::{self, Begun, Identity, Inheritance, apply_to_runner, fatal};
use crate::control::{Code, Command, LevelChange, LogLevels};
use crate::node::NodeConfig;
use crate::node::recording::Tape;
use crate::status::{DaemonStatus, Happening, ReloadStatus, Snapshot, Status};
use crate::sys::capabilities;
use crate::sys::clock;
use crate::sys::netlink::{self, Interest, Monitor};
use crate::sys::pidfile::PidFile;
use crate::sys::process;
use crate::sys::readiness::Readiness;
use crate::sys::realtime::Loan;
use crate::sys::signals::{Signal, SignalQueue};
use crate::time::WallTime;
use crate::vrrp::{SwitchOver, Whom};
use handovers::Handovers;
use recording::RecordingState;
pub(super) use restart::answer as answer_restart;

/// Identity in the system log.
const IDENTITY: &str = "Keepalived_vrrp";

/// What the worker keeps of root's rights: its sockets and netlink; real-time scheduling and locked memory,
/// which a reload may ask for; the files of others, where its own are to be read and written; and giving FIFOs to their users.
const KEPT: [Capability; 6] = [
    Capability::CAP_NET_ADMIN,
    Capability::CAP_NET_RAW,
    Capability::CAP_SYS_NICE,
    Capability::CAP_IPC_LOCK,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_CHOWN,
];

/// Runs the worker in the calling process and gives its exit status.
pub(super) fn run(options: &Options, inheritance: Inheritance) -> u8 {
    let identity = Identity { log: IDENTITY, suffix: "_vrrp", kept: &KEPT };
    worker_start::run(
        options,
        inheritance,
        |settings| &settings.vrrp,
        identity,
        |inheritance, begun| {
            Worker::start(options, inheritance, begun).map(|(mut worker, signals)| worker.run(&signals))
        },
    )
}

struct Worker<'a> {
    options: &'a Options,
    confinement: Confinement,
    logger: Logger,
    levels: Levels,
    inbox: Mailbox<Message>,
    notices: Mailbox<Notice>,
    kernel: Mailbox<Request>,
    /// Until it is waited for.
    kernel_thread: Option<JoinHandle<()>>,
    leftovers: Leftovers,
    left_filters: LeftFilters,
    handover: Handover,
    kept: SharedText,
    settings: Settings,
    readiness: Option<File>,
    runner: Runner,
    hooks: Hooks,
    sync_daemons: SyncDaemons,
    events: Events,
    transitions: Transitions,
    door: Option<Door>,
    handovers: Handovers,
    /// Who waits for the answers to orders to switch back, in their order; `None` for a signal.
    taking_back: VecDeque<Option<Asked>>,
    maintenance: MaintenanceRecord,
    switch_overs: SwitchOverRecord,
    tracked_scripts: TrackedScripts,
    tracked_files: TrackedFiles<Message>,
    tracked_processes: TrackedProcesses,
    polled_links: PolledLinks,
    stamps: Stamps,
    scheduling: RealtimeScheduling,
    late: LateLimit,
    acceptance: Acceptance,
    /// Of the configuration that was read last.
    not_accepted: BTreeSet<IpAddr>,
    /// What the snapshots asked for and not answered yet are for.
    wanted: VecDeque<Purpose>,
    schedule: ReloadSchedule,
    keepsakes: Keepsakes,
    /// Errors of the configuration in force.
    faults: BTreeSet<String>,
    /// Of the configuration in force, for others.
    configuration_hash: String,
    /// Who waits for the answers to reloads, in their order; `None` for a signal.
    reloads: VecDeque<Option<Asked>>,
    last_reload: Option<ReloadStatus>,
    /// Whether the configuration in force has any.
    has_routers: bool,
    /// Whether it has virtual servers, which the lvs worker serves.
    balances: bool,
    tally: Tally,
    progress: Progress,
    memory: Memory,
    recording: RecordingState,
    started: WallTime,
    control: PathBuf,
    stopping: bool,
    /// Who waits for what the supervisor says of a restart.
    restarts: Vec<Asked>,
    /// The next process goes on soon.
    leaving: Option<restart::Leaving>,
}

/// What a snapshot is for.
#[derive(Debug)]
enum Purpose {
    /// A file.
    Dump(Dump),
    /// The state before (`pre`) or after (`post`) the reload of this number, with the settings of then.
    Keepsake(u64, &'static str, Box<Settings>),
    /// The answer to a client.
    Status(Asked),
}

impl<'a> Worker<'a> {
    fn start(
        options: &'a Options,
        inheritance: Inheritance,
        begun: Begun,
    ) -> Result<(Self, SignalQueue), (u8, String)> {
        let Inheritance {
            part: _,
            leads: _,
            configuration: _,
            is_first: _,
            settings: _,
            mut pid_file,
            mut leftovers,
            handover,
            silent_since,
            kept: kept_text,
            readiness,
            runners,
            process_socket,
            progress,
            pulse,
            door,
        } = inheritance;
        // `init_file` is for the start of the daemon.
        let Begun { is_first, configuration, confinement, log, logger, levels, signals } = begun;
        if !is_first {
            tracing::info!("going on with the configuration that was in force; HUP reads the files again");
        }
        for warning in options.warnings.iter().chain(&configuration.warnings) {
            tracing::warn!("{warning}");
        }
        let Configuration { node, balancer, settings, notifications, faults, hash, kept, .. } = configuration;
        if is_first {
            ReadingMarker::end_of_start(&settings, pid_file.path());
        }
        local_reports::apply(&settings);
        let keepsakes = Keepsakes::new(&settings);
        keepsakes.keep_configuration(&kept);
        drop(kept);
        let mut schedule = ReloadSchedule::default();
        schedule.configure(settings.reload_time_file.as_deref(), settings.reload_repeat);
        let has_routers = !node.routers.is_empty();
        let balances = !balancer.virtual_servers.is_empty();
        let tally = Tally::new().map_err(|error| fatal(&error))?;
        let mut progress = Progress::new(progress, tally.clone());
        progress.set_routers(node.routers.len());
        if let Some(text) = descriptors::too_few(&node) {
            tracing::error!("{text}");
        }
        let (bequest, has_filters) = leftovers.take_over(pid_file.path());
        let mut left_filters = LeftFilters::new(pid_file.path(), has_filters);
        let filters = left_filters.configure(&node, &settings.filters);
        pid_file
            .write(process::own_pid())
            .and_then(|()| leftovers.write(&node, filters))
            .map_err(|error| (FATAL, format!("cannot write the pid file: {error}")))?;

        let mut runner = Runner::new(runners).map_err(|error| fatal(&error))?;
        apply_to_runner(settings.scripts, &mut runner);
        scheduling::apply(&settings.vrrp, "vrrp");
        let inbox = Mailbox::new().map_err(|error| fatal(&error))?;
        let notices = Mailbox::new().map_err(|error| fatal(&error))?;
        let loan = Loan::new(None);
        let kernel = Mailbox::new().map_err(|error| fatal(&error))?;
        let late = LateLimit::new(settings.auto_priority.map(|auto| auto.late_us));
        let channels = Channels {
            inbox: inbox.clone(),
            kernel: kernel.clone(),
            loan: loan.clone(),
            notices: notices.clone(),
            tally: tally.clone(),
            late: late.clone(),
            log,
        };
        let mut acceptance = Acceptance::new(&settings.filters, left_filters::mark(pid_file.path()));
        let not_accepted = acceptance::not_accepted(&node);
        acceptance.set(not_accepted.clone());
        if is_first {
            tracked_files::initialize(&node.tracking);
        }
        let tracked_scripts = TrackedScripts::new(&node.tracking, inbox.clone());
        let mut tracked_files = TrackedFiles::new(inbox.clone());
        tracked_files.configure(tracked_files::of_routers(&node.tracking));
        let mut tracked_processes =
            TrackedProcesses::new(inbox.clone(), process_socket, settings.queues.processes);
        tracked_processes.configure(&node.tracking);
        let mut polled_links = PolledLinks::new(inbox.clone());
        polled_links.configure(&node.tracking.link_polling);
        let mut sync_daemons = SyncDaemons::default();
        sync_daemons.configure(&settings.lvs, |_| None);
        let mut stamps = Stamps::new(pid_file.path());
        let now = clock::now();
        let maintenance = MaintenanceRecord::read(pid_file.path(), is_first, now.wall);
        let switch_overs = SwitchOverRecord::read(pid_file.path(), is_first);
        let (legacy, told) = LegacyFile::beside(pid_file.path()).take(is_first).unzip();
        let told = told.unwrap_or_default();
        let before = Before {
            bequest,
            silent_since,
            legacy,
            reservation: stamps.configure(&node),
            maintenance: maintenance.until(now),
            switched_over: switch_overs.held(),
        };
        let (recording, tape) = RecordingState::at_start(options, &settings, node.routers.len());
        let core = Core { node, before, tape };
        let (vrrp_thread, kernel_thread) =
            start_threads(options, core, &pid_file, &settings, channels, pulse)?;
        let mut scheduling = RealtimeScheduling::new(vrrp_thread, loan);
        if settings.realtime_priority.is_some() {
            scheduling.set(settings.realtime_priority);
        }
        let worker = Self {
            options,
            confinement,
            logger,
            levels,
            inbox,
            notices,
            kernel,
            kernel_thread: Some(kernel_thread),
            leftovers,
            left_filters,
            handover,
            kept: kept_text,
            hooks: Hooks::new(notifications, settings.hooks, told),
            sync_daemons,
            events: Events::default(),
            transitions: Transitions::default(),
            door,
            handovers: Handovers::default(),
            taking_back: VecDeque::new(),
            maintenance,
            switch_overs,
            settings,
            readiness,
            runner,
            tracked_scripts,
            tracked_files,
            tracked_processes,
            polled_links,
            stamps,
            scheduling,
            late,
            acceptance,
            not_accepted,
            wanted: VecDeque::new(),
            schedule,
            keepsakes,
            faults,
            configuration_hash: hash,
            reloads: VecDeque::new(),
            last_reload: None,
            has_routers,
            balances,
            tally,
            progress,
            memory: Memory::default(),
            recording,
            started: clock::wall(),
            control: files::control_socket(pid_file.path()),
            stopping: false,
            restarts: Vec::new(),
            leaving: None,
        };
        Ok((worker, signals))
    }

    /// Serves signals, the vrrp thread's notices, the runner and control clients until the routers have left.
    fn run(&mut self, signals: &SignalQueue) -> u8 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
        let served = runtime.and_then(|runtime| runtime.block_on(self.serve(signals)));
        self.end_kernel_thread();
        self.recording.end_soon();
        served.unwrap_or_else(|error| {
            tracing::error!("cannot wait for signals: {error}");
            FATAL
        })
    }

    /// Waits until what was asked of the kernel is done and written down.
    fn end_kernel_thread(&mut self) {
        self.kernel.send(if self.leaving.is_some() { Request::Leave } else { Request::End });
        if let Some(thread) = self.kernel_thread.take() {
            // A panic in it has ended the process.
            let _ = thread.join();
        }
    }

    async fn serve(&mut self, signals: &SignalQueue) -> io::Result<u8> {
        let (signalled, noticed) = (Readiness::of(signals)?, Readiness::of(&self.notices)?);
        let (runner, tallied) = (Readiness::of(&self.runner)?, Readiness::of(&self.tally)?);
        let answered = Readiness::of(self.handover.answered())?;
        self.confinement.watch();
        let mut control = self.open_control();
        if let (Some(control), Some(door)) = (&control, self.door.take()) {
            control.open_door(door);
        }
        self.hooks.open(&mut self.runner);
        loop {
            tokio::select! {
                changed = signalled.changed() => {
                    changed?;
                    while let Some(signal) = signals.next() {
                        self.handle_signal(signal);
                    }
                }
                changed = noticed.changed() => {
                    changed?;
                    self.notices.acknowledge();
                    while let Some(notice) = self.notices.take() {
                        if let Some(status) = self.take_notice(notice) {
                            self.events.end().await;
                            return Ok(status);
                        }
                    }
                }
                changed = runner.changed() => changed?,
                changed = answered.changed() => {
                    changed?;
                    self.answer_restarts();
                }
                () = self.hooks.due() => {}
                () = self.stamps.due() => self.renew_stamps(),
                () = self.leftovers.due() => {
                    self.leftovers.prune();
                    self.left_filters.remove();
                    self.hooks.resumed();
                }
                () = self.confinement.refused() => self.confinement.tell(),
                () = self.schedule.due() => if self.schedule.look() {
                    self.reload(None);
                },
                () = self.recording.due() => self.follow_recording(),
                () = self.memory.due() => self.memory.give_back(&self.settings),
                changed = self.progress.changed(&tallied) => {
                    changed?;
                    self.progress.tell();
                }
                Some(asked) = next_request(&mut control) => self.grant(asked),
            }
            self.runner.handle();
            while let Some(event) = self.runner.next_event() {
                self.tracked_scripts.finish(&event);
                self.hooks.finish(&event, &mut self.runner);
            }
            let told = self.hooks.serve(&mut self.runner);
            if told && self.leaves() {
                self.leave();
            } else if told {
                self.leftovers.end();
                tracing::info!("Stopped");
                self.events.end().await;
                return Ok(0);
            }
        }
    }

    fn renew_stamps(&mut self) {
        if let Some(reservation) = self.stamps.renew() {
            self.inbox.send(Message::Reserved(reservation));
        }
    }

    fn open_control(&self) -> Option<ControlSocket> {
        ControlSocket::open(&self.control)
            .inspect_err(|error| {
                let path = self.control.display();
                tracing::warn!(
                    "cannot open the control socket {path}: {error}; `alived status` will not work"
                );
            })
            .ok()
    }

    fn take_notice(&mut self, notice: Notice) -> Option<u8> {
        match notice {
            Notice::Ready => self.announce_readiness(),
            Notice::Snapshot(snapshot) => self.use_snapshot(&snapshot),
            Notice::Reconfigured(changes) => self.finish_reload(&changes),
            Notice::News(at, news) => {
                self.hooks.tell(at, &news);
                self.sync_daemons.tell(&news);
                self.handovers.note(&news);
                self.note_maintenance(&news);
                self.transitions.note(&news);
                self.follow_switch_overs();
                self.events.note(at, Happening::News(news));
            }
            Notice::HandsOver(answers) => {
                self.handovers.begin(answers);
                self.switch_overs.watch();
                self.follow_switch_overs();
            }
            Notice::TakesBack(answers) => {
                self.taken_back(&answers);
                self.follow_switch_overs();
            }
            Notice::SwitchedOver(answer) => self.switch_overs.note(answer),
            Notice::Retired(retired) => self.memory.free(retired, &self.settings),
            Notice::Late(late) => {
                if let Some(auto) = self.settings.auto_priority {
                    self.scheduling.note_late(late, auto.max);
                }
            }
            Notice::RunScript(_) if self.stopping => {}
            Notice::RunScript(name) => self.tracked_scripts.run(name, &mut self.runner),
            Notice::Recorded(tape) => self.recording_given_back(tape),
            Notice::Left(legacy) => {
                self.write_legacy(&legacy);
                return Some(0);
            }
            Notice::Stopped => {
                self.leaving = None;
                self.acceptance.end();
                self.switch_overs.forget();
                self.handover.note_left(self.hooks.leave());
            }
            Notice::Failed(text) => {
                tracing::error!("{text}");
                return Some(FATAL);
            }
        }
        None
    }

    /// Grants a client's request, at once or when the vrrp thread has answered.
    fn grant(&mut self, asked: Asked) {
        if self.stopping {
            return asked.refuse(Code::Busy, STOPPING);
        }
        match asked.request.command.clone() {
            Command::Status {} => self.ask(Purpose::Status(asked)),
            Command::Events { of, last, follow } => self.events.answer(asked, of, last, follow),
            Command::Failover { of, seconds } => self.fail_over(asked, of, seconds),
            Command::Failback { of } => self.fail_back(asked, of),
            Command::Maintenance { change } => self.maintain(asked, change),
            Command::Plan { file } => self.plan(&file, asked),
            Command::Drain { .. } | Command::Weight { .. } | Command::Restore { .. } | Command::Orders {} => {
                asked.refuse(Code::BadRequest, "the lvs worker answers this");
            }
            Command::Record { change } => self.record(asked, change),
            Command::Reload {} => self.reload(Some(asked)),
            Command::Restart {} => self.restart(asked),
            Command::LogLevel { change } => {
                if let Some(LevelChange { target, level }) = change {
                    self.levels.set(target, level);
                }
                asked.grant_with(&LogLevels { levels: self.levels.get().clone() });
            }
        }
    }

    fn handle_signal(&mut self, signal: Signal) {
        match signal {
            Signal::Interrupt if self.options.ignore_interrupt => {}
            Signal::Stop | Signal::Interrupt if self.stopping => {}
            Signal::Stop | Signal::Interrupt => {
                self.stopping = true;
                tracing::info!("Stopping");
                self.note("stopping");
                self.inbox.send(Message::Stop);
            }
            _ if self.stopping => {}
            Signal::Leave => self.begin_to_leave(),
            Signal::Reload => {
                self.handover.begin_reload();
                self.reload(None);
            }
            Signal::Data => self.ask(Purpose::Dump(Dump::Data)),
            Signal::Stats => self.ask(Purpose::Dump(Dump::Stats)),
            Signal::StatsClear => {
                self.ask(Purpose::Dump(Dump::Stats));
                self.inbox.send(Message::ClearCounters);
            }
            Signal::SwitchOver => {
                self.note("told to switch over all virtual routers, by signal");
                self.handovers.give(None);
                self.inbox.send(Message::SwitchOver(SwitchOver::ALL));
            }
            Signal::SwitchBack => {
                self.note("told to switch back all virtual routers, by signal");
                self.taking_back.push_back(None);
                self.inbox.send(Message::SwitchBack(Whom::All));
            }
            Signal::Json => self.ask(Purpose::Dump(Dump::Json)),
            Signal::ThreadDump => {
                tracing::warn!("the thread dump (signal TDUMP) has no meaning here");
            }
            Signal::Child => while process::reap().is_some() {},
        }
    }

    /// Keeps a word for the operator.
    fn note(&mut self, text: impl Into<String>) {
        self.events.note(clock::wall(), Happening::Said(text.into()));
    }

    fn ask(&mut self, purpose: Purpose) {
        self.wanted.push_back(purpose);
        self.inbox.send(Message::Snapshot);
    }

    fn ask_for_keepsake(&mut self, reload: u64, when: &'static str) {
        if self.keepsakes.are_wanted() {
            self.ask(Purpose::Keepsake(reload, when, Box::new(self.settings.clone())));
        }
    }

    fn use_snapshot(&mut self, snapshot: &Snapshot) {
        match self.wanted.pop_front() {
            None => {}
            Some(Purpose::Dump(dump)) => {
                let (options, settings, notifications) =
                    (self.options, &self.settings, self.hooks.notifications());
                Dumps { options, settings, notifications }.write(dump, snapshot);
            }
            Some(Purpose::Keepsake(reload, when, settings)) => {
                let (options, notifications) = (self.options, self.hooks.notifications());
                let text = Dumps { options, settings: &settings, notifications }.data(snapshot);
                self.keepsakes.keep_state(reload, when, &text);
            }
            Some(Purpose::Status(asked)) => {
                let status = self.status(snapshot);
                asked.grant_with(&status);
            }
        }
    }

    fn status(&mut self, snapshot: &Snapshot) -> Status {
        self.transitions.keep(snapshot.routers.iter().map(|router| &*router.config.name));
        let mut status = Status::of(
            snapshot,
            DaemonStatus {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: process::own_pid(),
                started_unix_us: self.started.as_unix_micros(),
                configuration: self.options.configuration.display().to_string(),
                configuration_hash: self.configuration_hash.clone(),
                router_id: dumps::router_id(&self.settings),
                last_reload: self.last_reload.clone(),
                maintenance: self.maintenance.current().cloned(),
            },
        );
        for router in &mut status.routers {
            router.transitions = self.transitions.of(&router.name);
        }
        status
    }

    fn announce_readiness(&mut self) {
        self.handover.note_served();
        tracing::info!("Startup complete");
        self.note("started");
        self.logger.started();
        self.progress.serving();
        // The vrrp thread has its own copy of the configuration by now.
        self.memory.lock(&self.settings);
        if let Some(mut readiness) = self.readiness.take() {
            if self.options.background
                && let Err(error) = process::close_standard_streams(!self.options.log.console)
            {
                tracing::warn!("cannot open /dev/null: {error}");
            }
            // The first process may have been killed: then nobody waits.
            let _ = readiness.write_all(&[0]);
        }
    }
}

/// What the protocol core begins with.
struct Core {
    node: NodeConfig,
    before: Before,
    /// Where it is recorded.
    tape: Option<Box<Tape>>,
}

/// Starts the worker's other threads and gives the vrrp and the kernel thread.
fn start_threads(
    options: &Options,
    core: Core,
    pid_file: &PidFile,
    settings: &Settings,
    channels: Channels,
    pulse: Option<Pulse>,
) -> Result<(JoinHandle<()>, JoinHandle<()>), (u8, String)> {
    let Core { node, before, tape } = core;
    let (ownership, record) = record::ownership(pid_file.path());
    // The monitor is opened before the view is read, so that no change falls between.
    let cannot_follow = |error| (FATAL, format!("cannot follow the kernel: {error}"));
    let mut monitor = Monitor::open(ownership.clone()).map_err(cannot_follow)?;
    let interest = interest(&node);
    monitor.follow(interest.clone()).map_err(cannot_follow)?;
    // What is left is looked for once, and not followed.
    let left = Interest::of_protocols(
        before.bequest.route_protocols().collect(),
        before.bequest.rules.iter().map(|rule| rule.protocol).collect(),
    );
    let view =
        netlink::view(&ownership, &interest.and(&left)).map_err(|error| (FATAL, view_failed(&error)))?;
    monitor.hold_at_least(settings.queues.monitor).map_err(|error| fatal(&error))?;
    let Channels { kernel, inbox, loan, .. } = channels.clone();
    let filter = Filter::new(settings.filters.clone(), left_filters::mark(pid_file.path()));
    let links = VirtualLinks::new(InterfaceSettings::open(pid_file.path()), filter);
    let kernel_thread = KernelThread::new(kernel, inbox, record, links, loan, settings.queues)
        .map_err(|error| no_privilege(&error))?;
    let vrrp_thread = VrrpThread::new(monitor, channels, options.address_monitoring, pulse)
        .map_err(|error| no_privilege(&error))?;
    let kernel_thread = spawn("kernel", move || kernel_thread.run()).map_err(|error| fatal(&error))?;
    let vrrp_thread =
        spawn("vrrp", move || vrrp_thread.run(node, before, view, tape)).map_err(|error| fatal(&error))?;
    Ok((vrrp_thread, kernel_thread))
}

fn no_privilege(error: &io::Error) -> (u8, String) {
    match error.kind() {
        io::ErrorKind::PermissionDenied => (
            PERMISSION,
            format!("no right to send packets or to change addresses: {error}; {}", what_is_missing()),
        ),
        _ => fatal(error),
    }
}

/// What to do about it.
fn what_is_missing() -> String {
    let missing = capabilities::missing(&[Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW]);
    let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
    match names.is_empty() {
        // Something else forbids it: a security module, a user namespace.
        true => {
            "CAP_NET_ADMIN and CAP_NET_RAW are there; see what else forbids it (a security module, a user \
                 namespace without its own network)"
                .to_owned()
        }
        false => format!("run as root, or add the missing {}", names.join(" and ")),
    }
}

async fn next_request(control: &mut Option<ControlSocket>) -> Option<Asked> {
    match control {
        Some(control) => control.next().await,
        None => std::future::pending().await,
    }
}
