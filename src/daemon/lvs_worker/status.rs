//! What the worker tells of itself: to clients of its control socket, and in `keepalived_check.data`.

use super::super::control::{Asked, STOPPING};
use super::super::dumps;
use super::super::files;
use super::{LvsWorker, Purpose};
use crate::control::{Code, Command, LevelChange, LogLevels};
use crate::kernel::ipvs::IpvsTable;
use crate::status::{BalancerParts, BalancerStatus, DaemonStatus, balancer_text};
use crate::sys::{clock, process};

impl LvsWorker<'_> {
    /// Grants a client's request, at once or when the kernel's table was read.
    pub(super) fn grant(&mut self, asked: Asked) {
        if self.stopping {
            return asked.refuse(Code::Busy, STOPPING);
        }
        match asked.request.command.clone() {
            Command::Events { of, last, follow } => self.events.answer(asked, of, last, follow),
            Command::Plan { file } => self.plan_file(&file, asked),
            Command::Status {} => self.ask_for_table(Purpose::Status(asked)),
            Command::Reload {} => self.reload(Some(asked)),
            Command::Restart {} if self.leads => {
                self.restarts.push(asked);
                self.handover.ask_for_restart();
            }
            Command::Drain { .. } | Command::Weight { .. } | Command::Restore { .. } | Command::Orders {} => {
                self.order(asked);
            }
            Command::LogLevel { change } => {
                if let Some(LevelChange { target, level }) = change {
                    self.levels.set(target, level);
                }
                asked.grant_with(&LogLevels { levels: self.levels.get().clone() });
            }
            Command::Restart {}
            | Command::Failover { .. }
            | Command::Failback { .. }
            | Command::Record { .. }
            | Command::Maintenance { .. } => {
                asked.refuse(Code::BadRequest, "the vrrp worker answers this");
            }
        }
    }

    /// Has the table read for something.
    pub(super) fn ask_for_table(&mut self, purpose: Purpose) {
        self.asked.push_back(purpose);
        self.read_table();
    }

    /// The table was read.
    pub(super) fn use_table(&mut self, table: &IpvsTable) {
        if self.asked.is_empty() {
            return;
        }
        let status = self.status(table);
        for purpose in core::mem::take(&mut self.asked) {
            match purpose {
                Purpose::Status(asked) => asked.grant_with(&status),
                Purpose::Dump => self.dump(&status),
            }
        }
    }

    fn status(&self, table: &IpvsTable) -> BalancerStatus {
        let daemon = DaemonStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: process::own_pid(),
            started_unix_us: self.started.as_unix_micros(),
            configuration: self.options.configuration.display().to_string(),
            configuration_hash: self.configuration_hash.clone(),
            router_id: dumps::router_id(&self.settings),
            last_reload: self.last_reload.clone(),
            maintenance: None,
        };
        let parts = BalancerParts {
            now: clock::now().instant,
            wall: clock::wall(),
            checks: self.node.checks().map(|check| (*check.key, check)).collect(),
            table,
            latencies: &self.latencies,
            entries: self.node.held(),
            states: self.account.states(),
        };
        BalancerStatus::of(daemon, self.node.servers(), &parts)
    }

    /// Writes `keepalived_check.data`.
    fn dump(&self, status: &BalancerStatus) {
        let (folder, name) = files::data_dump(self.options, &self.settings, "_check");
        let text = format!(
            "{}------< LVS Topology >------\n{}",
            dumps::global_definitions(self.options, &self.settings),
            balancer_text(status, clock::wall().as_unix_micros(), None)
        );
        let path = folder.join(&name);
        match files::write_dump(&folder, &name, &text) {
            Ok(_) => tracing::info!("wrote {}", path.display()),
            Err(error) => tracing::error!("cannot write {}: {error}", path.display()),
        }
    }
}
