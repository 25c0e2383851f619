//! The lvs worker: the process that runs the virtual servers and the checks of their real servers ([`LbNode`]).
//!
//! ```text
//! main     LbNode, input and output of checks, start, signals, reload, scripts, FIFOs, mail     tokio, current thread
//! ipvs     writes and reads the kernel's table in the main thread's place
//! files    follows tracked files of FILE_CHECK
//! log      writes what all threads log
//! ```

mod addresses;
mod carry_out;
mod orders;
mod reload;
mod report;
mod start;
mod status;
mod table;

pub(super) use self::reload::fixed_settings;
pub(super) use self::table::set_sync_daemons;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;

use caps::Capability;

use self::addresses::HostAddresses;
use self::orders::OrderRecord;
use self::table::{Reply, Request, TableThread};
use super::checks::CheckIo;
use super::configuration::Settings;
use super::confinement::Confinement;
use super::control::{Asked, ControlSocket};
use super::door::Door;
use super::events::Events;
use super::handover::Handover;
use super::hooks::Delivery;
use super::log::{Levels, Logger};
use super::mailbox::Mailbox;
use super::options::Options;
use super::progress::Progress;
use super::reload_files::Keepsakes;
use super::reload_schedule::ReloadSchedule;
use super::runner::Runner;
use super::service_record::ServiceRecord;
use super::shared_text::SharedText;
use super::status::FATAL;
use super::tally::Tally;
use super::tracked_files::{FileNews, TrackedFiles};
use super::worker::answer_restart as answer;
use super::worker_start::{self, Identity, Inheritance};
use crate::lvs::{Ending, Event, Service};
use crate::node::{BalancerConfig, LbActions, LbNode};
use crate::notify::{BalancerAccount, FifoConfig, MailConfig};
use crate::status::{Latencies, ReloadStatus};
use crate::sys::clock;
use crate::sys::heap;
use crate::sys::process;
use crate::sys::readiness::Readiness;
use crate::sys::signals::{Signal, SignalQueue};
use crate::time::{Duration, Instant, WallTime};
use crate::track::FileReading;

/// Identity in the system log.
const IDENTITY: &str = "Keepalived_healthcheckers";

/// What the worker keeps of root's rights: IPVS and netlink, marks of sockets; sockets of checks that are bound to
/// interfaces and low ports; what the vrrp worker has for its settings and files, too.
const KEPT: [Capability; 7] = [
    Capability::CAP_NET_ADMIN,
    Capability::CAP_NET_RAW,
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_SYS_NICE,
    Capability::CAP_IPC_LOCK,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_CHOWN,
];

/// What a stop may take beyond the usual, for each entry that is to be removed.
const REMOVAL: Duration = Duration::from_millis(1);

/// When the table is read again that could not be.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Runs the worker in the calling process and gives its exit status.
pub(super) fn run(options: &Options, inheritance: Inheritance) -> u8 {
    // A configuration of many real servers takes megabytes, and each page that was given back costs a reload.
    heap::keep();
    let identity = Identity { log: IDENTITY, suffix: "_healthcheckers", kept: &KEPT };
    worker_start::run(
        options,
        inheritance,
        |settings| &settings.checker,
        identity,
        |inheritance, begun| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
            let runtime = runtime.map_err(|error| worker_start::fatal(&error))?;
            runtime.block_on(async {
                let (mut worker, signals) = LvsWorker::start(options, inheritance, begun)?;
                let served = worker.serve(&signals).await;
                Ok(served.unwrap_or_else(|error| {
                    tracing::error!("cannot wait for signals: {error}");
                    FATAL
                }))
            })
        },
    )
}

struct LvsWorker<'a> {
    options: &'a Options,
    confinement: Confinement,
    logger: Logger,
    levels: Levels,
    settings: Settings,
    /// It reads the configuration itself.
    leads: bool,
    handover: Handover,
    kept: SharedText,
    readiness: Option<File>,
    runner: Runner,
    node: LbNode,
    config: BalancerConfig,
    /// Where each virtual server is in it.
    index: BTreeMap<Service, usize>,
    actions: LbActions,
    io: CheckIo,
    /// `io` verifies certificates.
    verifies: bool,
    door: Option<Door>,
    /// How long tries of checks took, of each virtual server.
    latencies: BTreeMap<Service, Latencies>,
    /// Once there is a virtual server.
    table: Option<TableThread>,
    /// What the table's thread says.
    replies: Mailbox<Reply>,
    record: ServiceRecord,
    record_failed: bool,
    orders: OrderRecord,
    /// While `ha_suspend` wants to know.
    addresses: Option<HostAddresses>,
    files: TrackedFiles<FileNews>,
    file_news: Mailbox<FileNews>,
    account: BalancerAccount,
    events: Events,
    delivery: Delivery,
    fifos: Vec<FifoConfig>,
    mail: Option<Box<MailConfig>>,
    progress: Progress,
    tally: Tally,
    schedule: ReloadSchedule,
    keepsakes: Keepsakes,
    /// Errors of the configuration in force.
    faults: BTreeSet<String>,
    /// Of the configuration in force, for others.
    configuration_hash: String,
    /// What waits for the kernel's table: who asked, and whether for a dump.
    asked: VecDeque<Purpose>,
    last_reload: Option<ReloadStatus>,
    started: WallTime,
    control: PathBuf,
    /// When the table is read again that could not be.
    read_at: Option<Instant>,
    served: bool,
    /// Changes of the table that were not answered yet.
    unanswered: usize,
    stopping: bool,
    /// The director has left.
    left: bool,
    /// Who waits for what the supervisor says of a restart.
    restarts: Vec<Asked>,
    /// The next process goes on soon: nothing is given up.
    leaving: bool,
}

/// What a reading of the kernel's table is for, besides the director.
#[derive(Debug)]
enum Purpose {
    /// `keepalived_check.data`.
    Dump,
    /// The answer to a client.
    Status(Asked),
}

impl LvsWorker<'_> {
    /// Serves everything until all is told of the end.
    async fn serve(&mut self, signals: &SignalQueue) -> io::Result<u8> {
        let (signalled, runner) = (Readiness::of(signals)?, Readiness::of(&self.runner)?);
        let (replied, filed) = (Readiness::of(&self.replies)?, Readiness::of(&self.file_news)?);
        let tallied = Readiness::of(&self.tally)?;
        let answered = Readiness::of(self.handover.answered())?;
        self.confinement.watch();
        let mut control = self.open_control();
        if let (Some(control), Some(door)) = (&control, self.door.take()) {
            control.open_door(door);
        }
        self.delivery.open(&self.fifos, self.account.states(), &mut self.runner);
        self.begin();
        loop {
            let timer = [self.node.poll_timeout(), self.read_at].into_iter().flatten().min();
            tokio::select! {
                changed = signalled.changed() => {
                    changed?;
                    while let Some(signal) = signals.next() {
                        self.handle_signal(signal);
                    }
                }
                changed = replied.changed() => {
                    changed?;
                    self.replies.acknowledge();
                    self.take_replies();
                }
                changed = filed.changed() => {
                    changed?;
                    self.file_news.acknowledge();
                    while let Some(news) = self.file_news.take() {
                        self.take_file(&news);
                    }
                }
                () = self.io.ready() => {}
                () = until(timer) => {}
                changed = address_changed(&mut self.addresses) => {
                    changed?;
                    self.take_addresses();
                }
                changed = runner.changed() => changed?,
                changed = answered.changed() => {
                    changed?;
                    self.answer_restarts();
                }
                () = self.delivery.due() => {}
                () = self.confinement.refused() => self.confinement.tell(),
                () = self.schedule.due() => if self.schedule.look() {
                    self.reload(None);
                },
                changed = self.progress.changed(&tallied) => {
                    changed?;
                    self.progress.tell();
                }
                Some(asked) = next_request(&mut control) => self.grant(asked),
            }
            self.serve_checks();
            self.runner.handle();
            while let Some(event) = self.runner.next_event() {
                if !self.io.finish(&event) {
                    self.delivery.finish(&event, &mut self.runner);
                }
            }
            let told = self.delivery.serve(&mut self.runner, self.mail.as_deref());
            if told && self.leaving && !self.stopping {
                // What is under way is done first.
                self.table = None;
                // Answers are on their way.
                tokio::task::yield_now().await;
                return Ok(0);
            }
            if told && self.left {
                // What is under way comes first.
                self.table = None;
                tracing::info!("Stopped");
                self.events.end().await;
                return Ok(0);
            }
        }
    }

    /// What arrived for checks, then what is due.
    fn serve_checks(&mut self) {
        let now = clock::now().instant;
        while let Some((attempt, event)) = self.io.next() {
            self.node.handle_check(now, attempt, &event, &mut self.actions);
            for (attempt, action) in self.actions.io.drain(..) {
                self.io.carry_out(attempt, action, &mut self.runner);
            }
        }
        let now = clock::now().instant;
        if !self.left && self.node.poll_timeout().is_some_and(|at| at <= now) {
            self.node.handle_timeout(now, &mut self.actions);
        }
        if self.read_at.take_if(|at| *at <= now).is_some() {
            self.read_table();
        }
        self.carry_out();
    }

    fn take_replies(&mut self) {
        while let Some(reply) = self.replies.take() {
            let now = clock::now().instant;
            match reply {
                Reply::Answers(answers) => {
                    self.unanswered = self.unanswered.saturating_sub(answers.len());
                    self.node.handle(now, Event::Answers(answers), &mut self.actions);
                }
                Reply::Table(table, took) => {
                    self.use_table(&table);
                    self.node.handle(now, Event::Table { table, took }, &mut self.actions);
                }
                Reply::Unread(error) => {
                    tracing::error!("cannot read the IPVS table: {error}; it is tried again");
                    self.read_at = Some(now + READ_AGAIN);
                }
            }
            self.carry_out();
        }
        if self.unanswered == 0 && !self.served {
            self.note_served();
        }
    }

    fn take_file(&mut self, news: &FileNews) {
        let number = match news.reading {
            FileReading::Number(number) => Some(number.into()),
            FileReading::Unreadable => None,
        };
        self.node.file(clock::now().instant, &news.name, number, &mut self.actions);
        self.carry_out();
    }

    fn take_addresses(&mut self) {
        let Some(addresses) = &mut self.addresses else { return };
        match addresses.take() {
            Ok(changes) => {
                let now = clock::now().instant;
                for (address, present) in changes {
                    self.node.handle(now, Event::Address { address, present }, &mut self.actions);
                }
                self.carry_out();
            }
            Err(error) => {
                tracing::error!(
                    "cannot follow the addresses of this host: {error}; ha_suspend does not either"
                );
                self.addresses = None;
            }
        }
    }

    fn handle_signal(&mut self, signal: Signal) {
        match signal {
            Signal::Interrupt if self.options.ignore_interrupt => {}
            Signal::Stop | Signal::Interrupt if self.stopping => {}
            Signal::Stop | Signal::Interrupt => self.stop(),
            _ if self.stopping => {}
            Signal::Leave => self.begin_to_leave(),
            Signal::Reload => {
                self.handover.begin_reload();
                self.reload(None);
            }
            Signal::Data => self.ask_for_table(Purpose::Dump),
            Signal::Child => while process::reap().is_some() {},
            Signal::Stats
            | Signal::StatsClear
            | Signal::SwitchOver
            | Signal::SwitchBack
            | Signal::Json
            | Signal::ThreadDump => {}
        }
    }

    /// Removes all that is ours, unless it is to stay.
    fn stop(&mut self) {
        self.stopping = true;
        tracing::info!("Stopping");
        let ending = match () {
            () if self.options.keep_ipvs => Ending::Keep,
            () if self.settings.lvs.flush_on_stop => Ending::Flush,
            () => Ending::Remove,
        };
        let (held, lacking) = self.node.held();
        let entries = u32::try_from(held + lacking + self.unanswered).unwrap_or(u32::MAX);
        self.handover.note_left(REMOVAL.saturating_mul(entries));
        if self.settings.lvs.sync_daemon.as_ref().is_some_and(|daemon| daemon.instance.is_none())
            && let Some(table) = &self.table
        {
            table.ask(Request::SyncDaemons(Vec::new()));
        }
        self.node.stop(clock::now().instant, ending, &mut self.actions);
        self.carry_out();
    }

    /// The next process is ready to go on, which finds the table and the records of it.
    fn begin_to_leave(&mut self) {
        self.answer_restarts();
        if !std::mem::replace(&mut self.leaving, true) {
            tracing::info!("Leaving to the next process");
            self.delivery.leave();
        }
    }

    fn answer_restarts(&mut self) {
        if let Some(verdict) = self.handover.take_answer() {
            answer(std::mem::take(&mut self.restarts), &verdict);
        }
    }

    fn note_served(&mut self) {
        self.served = true;
        self.handover.note_served();
        tracing::info!("Startup complete");
        self.logger.started();
        self.progress.serving();
        if let Some(mut readiness) = self.readiness.take() {
            if self.options.background
                && let Err(error) = process::close_standard_streams(!self.options.log.console)
            {
                tracing::warn!("cannot open /dev/null: {error}");
            }
            // The first process may have been killed: then nobody waits.
            let _ = readiness.write_all(&[0]);
        } else if self.options.background {
            let _ = process::close_standard_streams(!self.options.log.console);
        }
    }

    fn open_control(&self) -> Option<ControlSocket> {
        ControlSocket::open(&self.control)
            .inspect_err(|error| {
                let path = self.control.display();
                tracing::warn!(
                    "cannot open the control socket {path}: {error}; `alived status` will not show virtual servers"
                );
            })
            .ok()
    }
}

async fn until(timer: Option<Instant>) {
    match timer {
        Some(at) => tokio::time::sleep(at.saturating_since(clock::now().instant)).await,
        None => std::future::pending().await,
    }
}

async fn address_changed(addresses: &mut Option<HostAddresses>) -> io::Result<()> {
    match addresses {
        Some(addresses) => addresses.changed().await,
        None => std::future::pending().await,
    }
}

async fn next_request(control: &mut Option<ControlSocket>) -> Option<Asked> {
    match control {
        Some(control) => control.next().await,
        None => std::future::pending().await,
    }
}
