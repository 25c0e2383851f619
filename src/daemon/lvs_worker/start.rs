//! The start of the worker, and what of it a reload does again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::super::checks::CheckIo;
use super::super::configuration::{Configuration, LvsSettings, Settings};
use super::super::events::Events;
use super::super::files;
use super::super::hooks::Delivery;
use super::super::host::RealHost;
use super::super::mailbox::Mailbox;
use super::super::options::Options;
use super::super::progress::Progress;
use super::super::reload_files::{Keepsakes, ReadingMarker};
use super::super::reload_schedule::ReloadSchedule;
use super::super::runner::Runner;
use super::super::scheduling;
use super::super::service_record::{self, Recorded, ServiceRecord};
use super::super::status::{FATAL, PERMISSION};
use super::super::tally::Tally;
use super::super::tracked_files::TrackedFiles;
use super::super::worker_start::{Begun, Inheritance, apply_to_runner, fatal};
use super::LvsWorker;
use super::addresses::HostAddresses;
use super::orders::OrderRecord;
use super::table::{Request, TableThread};
use crate::check::{CheckerKind, TlsClient};
use crate::config::{DrainSettings, Host as _};
use crate::kernel::KernelError;
use crate::kernel::ipvs::{IpvsTable, SyncDaemon, SyncRole, Timeouts};
use crate::lvs::{Beginning, Conduct, VirtualServer};
use crate::node::{BalancerConfig, LbActions, LbNode};
use crate::notify::{BalancerAccount, Object, of_real_server, of_virtual_server};
use crate::sys::clock;
use crate::sys::netlink::ipvs::IpvsSocket;
use crate::sys::process;
use crate::sys::realtime::{self, MemoryLock};
use crate::sys::signals::SignalQueue;
use crate::time::Duration;
use crate::track::{FileTracker, TrackConfig};

/// Whether the kernel forgets connections to a server that is removed.
const EXPIRE_DEAD: &str = "/proc/sys/net/ipv4/vs/expire_nodest_conn";

impl<'a> LvsWorker<'a> {
    pub(super) fn start(
        options: &'a Options,
        inheritance: Inheritance,
        begun: Begun,
    ) -> Result<(Self, SignalQueue), (u8, String)> {
        let Inheritance {
            part: _,
            leads,
            configuration: _,
            is_first: _,
            settings: _,
            mut pid_file,
            leftovers: _,
            handover,
            silent_since: _,
            kept: kept_text,
            readiness,
            runners,
            process_socket: _,
            pulse: _,
            progress,
            door,
        } = inheritance;
        // `lvs_flush` and `init_file` are for the start of the daemon.
        let Begun { is_first, configuration, confinement, log: _, logger, levels, signals } = begun;
        if leads {
            options.warnings.iter().chain(&configuration.warnings).for_each(|line| tracing::warn!("{line}"));
        }
        let Configuration { node, balancer, settings, notifications, faults, hash, kept, .. } = configuration;
        pid_file
            .write(process::own_pid())
            .map_err(|error| (FATAL, format!("cannot write the pid file: {error}")))?;
        let keepsakes = Keepsakes::new(&settings);
        let mut schedule = ReloadSchedule::default();
        if leads {
            if is_first {
                ReadingMarker::end_of_start(&settings, pid_file.path());
            }
            keepsakes.keep_configuration(&kept);
            schedule.configure(settings.reload_time_file.as_deref(), settings.reload_repeat);
        }
        drop(kept);
        let mut runner = Runner::new(runners).map_err(|error| fatal(&error))?;
        apply_to_runner(settings.scripts, &mut runner);
        scheduling::apply(&settings.checker, "checker");
        if let Some(priority) = settings.checker_realtime_priority
            && let Err(error) = realtime::schedule_fifo(priority)
        {
            tracing::warn!("checker_rt_priority cannot be applied: {error}");
        }
        if settings.checker.no_swap {
            match realtime::lock_memory(true) {
                MemoryLock::Locked => {}
                MemoryLock::Limited(_) => tracing::warn!("checker_no_swap: a limit forbids it"),
                MemoryLock::Refused(error) => tracing::warn!("checker_no_swap cannot be applied: {error}"),
            }
        }

        let replies = Mailbox::new().map_err(|error| fatal(&error))?;
        let file_news = Mailbox::new().map_err(|error| fatal(&error))?;
        let tally = Tally::new().map_err(|error| fatal(&error))?;
        let (record, recorded) = ServiceRecord::open(pid_file.path());
        let mut account = BalancerAccount::default();
        account.set_mail(settings.lvs.mail);
        let mut progress = Progress::new(progress, tally.clone());
        progress.set_servers(balancer.virtual_servers.len());
        let mut worker = Self {
            options,
            confinement,
            logger,
            levels,
            leads,
            handover,
            kept: kept_text,
            readiness,
            runner,
            node: LbNode::begin(
                clock::now().instant,
                0,
                &BalancerConfig::default(),
                Conduct::default(),
                &Beginning::default(),
                &mut LbActions::default(),
            ),
            config: BalancerConfig::default(),
            index: BTreeMap::new(),
            actions: LbActions::default(),
            verifies: false,
            latencies: BTreeMap::new(),
            door,
            io: CheckIo::new().map_err(|error| fatal(&error))?,
            table: None,
            replies,
            record,
            record_failed: false,
            orders: OrderRecord::beside(pid_file.path()),
            addresses: None,
            files: TrackedFiles::new(file_news.clone()),
            file_news,
            account,
            events: Events::default(),
            delivery: Delivery::new(settings.hooks),
            fifos: notifications.balancer_fifos,
            mail: notifications.mail,
            progress,
            tally,
            schedule,
            keepsakes,
            faults,
            configuration_hash: hash,
            asked: VecDeque::new(),
            last_reload: None,
            started: clock::wall(),
            control: files::control_socket(pid_file.path()),
            read_at: None,
            served: false,
            unanswered: 0,
            stopping: false,
            left: false,
            restarts: Vec::new(),
            leaving: false,
            settings,
        };
        if is_first {
            worker.orders.forget();
        }
        let flush = is_first && worker.settings.lvs.flush;
        worker.take_up(balancer, &node.tracking, recorded, flush)?;
        Ok((worker, signals))
    }

    /// Begins with virtual servers; there was none before.
    pub(super) fn take_up(
        &mut self,
        balancer: BalancerConfig,
        tracking: &TrackConfig,
        recorded: Recorded,
        flush: bool,
    ) -> Result<(), (u8, String)> {
        let fingerprint = service_record::fingerprint(&balancer);
        let mut held = IpvsTable::default();
        if !balancer.virtual_servers.is_empty() || !recorded.services.is_empty() || flush {
            held = self.open_table().map_err(|error| no_table(&error))?;
        }
        self.follow_addresses(&balancer);
        let beginning = Beginning {
            table: held,
            same_configuration: recorded.fingerprint == Some(fingerprint),
            recorded: recorded.services,
            addresses: self.addresses.as_ref().map(HostAddresses::all).unwrap_or_default(),
            flush,
            orders: self.orders.read(&balancer, clock::now()),
        };
        if let Err(error) = self.record.set_configuration(fingerprint) {
            tracing::warn!("cannot write the record of our virtual servers: {error}");
        }
        let seed = RealHost::default().random_seed();
        let conduct = conduct(&self.settings);
        let now = clock::now().instant;
        self.node = LbNode::begin(now, seed, &balancer, conduct, &beginning, &mut self.actions);
        self.expire_dead();
        self.configure_kernel(&self.settings.lvs.clone());
        self.files.configure(of_checks(tracking, &balancer));
        // The first program of a check need not wait for its runner.
        if balancer.checks.iter().any(|check| matches!(check.checker.kind, CheckerKind::Misc(_))) {
            self.runner.prepare();
        }
        self.set_config(balancer);
        Ok(())
    }

    /// `SSL` and `verify-certificates`: what checks show to servers and ask of them from now on.
    fn set_tls(&mut self, tls: Option<&Arc<TlsClient>>) {
        let verify = self.settings.checks.verify_certificates;
        if (tls, verify) == (self.config.tls.as_ref(), self.verifies) {
            return;
        }
        self.verifies = verify;
        let client = tls.map(|client| TlsClient::clone(client)).unwrap_or_default();
        if let Err(why) = self.io.set_tls(&client, verify) {
            tracing::error!("SSL: {why}; until that is put right and reloaded, checks with TLS are not made");
        }
    }

    /// What is served from now on.
    pub(super) fn set_config(&mut self, balancer: BalancerConfig) {
        self.set_tls(balancer.tls.as_ref());
        let services = balancer.virtual_servers.iter().enumerate();
        self.index = services.map(|(at, server)| (server.service.clone(), at)).collect();
        self.latencies.retain(|service, _| self.index.contains_key(service));
        self.config = balancer;
    }

    /// All objects that others may be told of.
    pub(super) fn objects(&self) -> BTreeSet<Object> {
        let of = |server: &VirtualServer| {
            let real = server.real_servers.iter().map(|real| of_real_server(&server.service, real.target));
            real.chain([of_virtual_server(&server.service)]).collect::<Vec<_>>()
        };
        self.config.virtual_servers.iter().flat_map(of).collect()
    }

    /// Carries out what the beginning asks for. From here on all is served.
    pub(super) fn begin(&mut self) {
        self.carry_out();
        if self.unanswered == 0 {
            self.note_served();
        }
    }

    /// Opens the kernel's table, and gives what it holds.
    fn open_table(&mut self) -> Result<IpvsTable, KernelError> {
        let mut socket = IpvsSocket::open()?;
        if let Err(error) = socket.hold_at_least(self.settings.lvs.command_queue) {
            tracing::warn!("lvs_netlink_cmd_rcv_bufs: {error}");
        }
        let held = socket.table()?;
        let started = TableThread::start(socket, self.replies.clone());
        let failed = |error: std::io::Error| KernelError {
            errno: error.raw_os_error().unwrap_or(libc::EIO),
            message: error.to_string(),
        };
        self.table = Some(started.map_err(failed)?);
        Ok(held)
    }

    /// `expire-dead`: the kernel forgets the connections of a real server that is removed, at once.
    pub(super) fn expire_dead(&self) {
        if self.settings.drain.expire_dead
            && self.table.is_some()
            && let Err(error) = std::fs::write(EXPIRE_DEAD, "1")
        {
            tracing::warn!(
                "expire-dead of alived.toml cannot be applied, {EXPIRE_DEAD}: {error}; set net.ipv4.vs.expire_nodest_conn = 1 \
                 by hand"
            );
        }
    }

    /// What concerns the kernel's IPVS as a whole.
    pub(super) fn configure_kernel(&self, lvs: &LvsSettings) {
        let Some(table) = &self.table else { return };
        if lvs.timeouts != Timeouts::default() {
            table.ask(Request::Timeouts(lvs.timeouts));
        }
        // With an instance the vrrp worker does it, which knows its state.
        if let Some(daemon) = lvs.sync_daemon.as_ref().filter(|daemon| daemon.instance.is_none()) {
            let both = [SyncRole::Master, SyncRole::Backup];
            let of = |role| SyncDaemon { role, settings: daemon.settings.clone() };
            table.ask(Request::SyncDaemons(both.map(of).to_vec()));
        }
    }

    /// Follows this host's addresses, if a virtual server wants that.
    pub(super) fn follow_addresses(&mut self, config: &BalancerConfig) {
        let wanted = config.virtual_servers.iter().any(|server| server.ha_suspend);
        if !wanted {
            self.addresses = None;
        } else if self.addresses.is_none() {
            match HostAddresses::open(self.settings.lvs.monitor_queue) {
                Ok(addresses) => self.addresses = Some(addresses),
                Err(error) => tracing::error!(
                    "cannot follow the addresses of this host: {error}; checks with ha_suspend rest"
                ),
            }
        }
    }
}

/// How the director does things.
pub(super) fn conduct(settings: &Settings) -> Conduct {
    let DrainSettings { limit, leaving, .. } = settings.drain;
    Conduct {
        rs_init_notifies: settings.lvs.rs_init_notifies,
        leaving_limit: leaving.then(|| Duration::from_secs(limit.into())),
    }
}

/// The files that checks read.
pub(super) fn of_checks(tracking: &TrackConfig, config: &BalancerConfig) -> Vec<FileTracker> {
    let reads = |name: &Arc<str>| {
        config
            .checks
            .iter()
            .any(|check| matches!(&check.checker.kind, CheckerKind::File(file) if file.tracker == *name))
    };
    tracking.files.iter().filter(|file| reads(&file.name)).cloned().collect()
}

/// There is no table to serve.
pub(super) fn no_table(error: &KernelError) -> (u8, String) {
    match error.errno {
        libc::EPERM => (
            PERMISSION,
            format!("no right to change IPVS: {error}; run as root, or add the missing CAP_NET_ADMIN"),
        ),
        _ => (FATAL, format!("cannot serve virtual servers: {error}")),
    }
}
