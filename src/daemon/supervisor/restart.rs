//! The supervisor's part in a restart without failover: see [`crate::daemon::restart`].

use std::fs::File;
use std::io::{self, Write as _};

use super::{Fork, Supervisor};
use crate::daemon::child::Child;
use crate::daemon::configuration::Configuration;
use crate::daemon::core_pattern::CorePattern;
use crate::daemon::files::PidPaths;
use crate::daemon::guardian::{self, Guarded};
use crate::daemon::restart::{Estate, FORMAT, Judging, OldWorker, Testimony, Verdict};
use crate::daemon::seat::Part;
use crate::daemon::status::FATAL;
use crate::sys::clock;
use crate::sys::exec;
use crate::sys::process::{self, Ended};
use crate::sys::signals::Signal;
use crate::time::{Duration, Instant};

/// What an old worker may take beyond the time that hooks may take.
const MARGIN: Duration = Duration::from_secs(5);

/// This program goes on for another one, and not all is served yet.
#[derive(Debug)]
pub(super) struct GoingOn {
    /// For the first worker of each kind.
    pub(super) configuration: Configuration,
    pub(super) guardian: File,
    /// The version before.
    pub(super) before: String,
    pub(super) begun: Instant,
    /// The guardian knows that virtual routers are served again.
    pub(super) back: bool,
}

impl Supervisor<'_> {
    /// An operator wants a restart: has it judged.
    pub(super) fn begin_restart(&mut self) {
        if self.judging.is_some() {
            // The one that is under way is theirs, too.
            return;
        }
        let busy = self.stopping.is_some() || self.going_on.is_some();
        let serves = |seat: &super::Seat| !seat.wanted || seat.child.runs() && seat.handover.has_served();
        if busy || !self.seats.iter().all(serves) {
            let why =
                "not now: not all workers serve, or the daemon stops; `alived status` shows how far it is";
            return self.leader().handover.answer_restart(&Verdict::refused(why));
        }
        match Judging::begin(self.options, &self.origin, &self.kept) {
            Ok(judging) => {
                tracing::info!(
                    "a restart was asked for: judging {} and the configuration",
                    self.origin.program.display()
                );
                self.judging = Some(judging);
            }
            Err(error) => {
                let why = format!("there is no process to judge it: {error}");
                self.leader().handover.answer_restart(&Verdict::refused(why));
            }
        }
    }

    /// Whether it was the judging child that ended: goes on as another program, or does not.
    pub(super) fn judging_ended(&mut self, pid: u32, ended: Ended) -> bool {
        if self.judging.as_ref().is_none_or(|judging| judging.child.pid() != Some(pid)) {
            return false;
        }
        let Some(judging) = self.judging.take() else { return false };
        let testimony = judging.conclude(ended, self.options, &self.paths());
        match testimony {
            _ if self.stopping.is_some() => {
                self.leader().handover.answer_restart(&Verdict::refused("the daemon stops"));
            }
            Err((why, lines)) => {
                tracing::error!("no restart, the daemon goes on as it is: {why}");
                lines.iter().for_each(|line| tracing::error!("{line}"));
                self.leader().handover.answer_restart(&Verdict::Refused { why, lines });
            }
            Ok(testimony) => {
                if let Err(error) = self.execute(&testimony) {
                    tracing::error!("no restart, the daemon goes on as it is: {error}");
                }
            }
        }
        true
    }

    fn paths(&self) -> PidPaths {
        let [vrrp, lvs] = &self.seats;
        PidPaths {
            supervisor: self.pid_file.path().to_owned(),
            vrrp: vrrp.pid_path.clone(),
            lvs: lvs.pid_path.clone(),
        }
    }

    /// Executes the program in place of this one. Comes back only when that fails.
    fn execute(&mut self, testimony: &Testimony) -> io::Result<()> {
        let guardian = match self.start_guardian() {
            Ok(guardian) => guardian,
            Err(error) => {
                let why = format!("there is no guardian: {error}");
                self.leader().handover.answer_restart(&Verdict::refused(&*why));
                return Err(io::Error::other(why));
            }
        };
        let version = &testimony.version;
        tracing::info!("restarting: alived v{version} goes on for v{}", env!("CARGO_PKG_VERSION"));
        self.manager.restarting(clock::now().instant);
        self.leader().handover.answer_restart(&Verdict::Follows(version.clone()));
        drop(self.core_pattern.take());
        let error = self.leave(&guardian).map_or_else(|error| error, |never| match never {});
        // All as it was.
        let _ = (&guardian).write_all(&[guardian::OVER]);
        let _ = self.hand_on(false, &guardian);
        if let Some(name) = &self.options.namespace {
            let _ = process::enter_namespace(name);
        }
        process::raise_descriptor_limit();
        if self.options.background {
            let _ = std::env::set_current_dir("/");
        }
        self.core_pattern = Some(CorePattern::set(self.options.core_pattern.as_deref()));
        Err(error)
    }

    fn leave(&self, guardian: &File) -> io::Result<std::convert::Infallible> {
        let estate = self.hand_on(true, guardian)?;
        let (variable, _estate) = estate.write()?;
        process::return_home()?;
        process::restore_descriptor_limit();
        std::env::set_current_dir(&self.origin.folder)?;
        Err(exec::replace(&self.origin.program, &self.options.command_line, &[variable]))
    }

    /// Everything that the next program takes over, whose descriptors stay open for it, or do not.
    fn hand_on(&self, keep: bool, guardian: &File) -> io::Result<Estate> {
        exec::keep_open(guardian, keep)?;
        let [vrrp, lvs] = &self.seats;
        let worker = |seat: &super::Seat| {
            let (Some(pid), Some(pid_file)) = (seat.child.pid(), &seat.pid_file) else { return Ok(None) };
            let runner = seat.runner.pid();
            Ok::<_, io::Error>(Some(OldWorker { pid, runner, pid_file: pid_file.hand_on(keep)? }))
        };
        Ok(Estate {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            origin: self.origin.clone(),
            pid_file: self.pid_file.hand_on(keep)?,
            vrrp: worker(vrrp)?,
            lvs: worker(lvs)?,
            web: self.web.as_ref().and_then(|web| web.child.pid()),
            leftovers: self.leftovers.hand_on(keep)?,
            kept: self.kept.hand_on(keep)?,
            guardian: exec::number(guardian),
        })
    }

    fn start_guardian(&mut self) -> io::Result<File> {
        let (word, tell) = process::pipe()?;
        let supervisor = process::own_pid();
        match process::fork()? {
            Fork::Child => {
                drop(tell);
                self.manager.leave();
                let vrrp = self.seats[0].child.pid();
                let workers = self.seats.iter().filter_map(|seat| seat.child.pid()).collect();
                let (options, leftovers) = (self.options, &self.leftovers);
                guardian::run(
                    &Guarded { options, leftovers, paths: self.paths(), supervisor, vrrp, workers },
                    word,
                );
                std::process::exit(0)
            }
            Fork::Parent(_) => Ok(tell),
        }
    }

    /// Takes the place of the program before, whose workers run.
    pub(super) fn take_over(&mut self, estate: &Estate, going_on: GoingOn) {
        let now = going_on.begun;
        for (seat, worker) in self.seats.iter_mut().zip([estate.vrrp, estate.lvs]) {
            let Some(OldWorker { pid, runner, .. }) = worker else { continue };
            seat.child.started(pid, now);
            seat.predecessor = true;
            if let Some(runner) = runner {
                seat.runner.started(runner, now);
            }
        }
        if let Some(pid) = estate.web {
            match &mut self.web {
                Some(web) => web.take_over(pid, now),
                None => {
                    // It is not wanted any more.
                    let mut child = Child::new("web process");
                    child.started(pid, now);
                    child.signal(Signal::Stop.number());
                    self.retired.push(child);
                }
            }
        }
        self.going_on = Some(going_on);
    }

    /// In place of the start of workers: has the old ones leave, each of which the first one of this program follows.
    pub(super) fn go_on(&mut self) -> Result<(), u8> {
        self.tell_guardian(guardian::GOES_ON);
        let now = clock::now().instant;
        let limit = self.settings.child_wait_time + self.settings.hooks.at_stop() + MARGIN;
        for index in 0..self.seats.len() {
            let seat = &mut self.seats[index];
            match (seat.child.runs(), seat.wanted) {
                (true, wanted) => {
                    let word = if wanted { Signal::Leave } else { Signal::Stop };
                    seat.child.signal(word.number());
                    seat.child.kill_at(now + limit);
                }
                (false, true) => self.follow_predecessor(index)?,
                (false, false) => {}
            }
        }
        if let Some(web) = &mut self.web
            && web.child.runs()
        {
            web.child.signal(Signal::Stop.number());
            web.child.kill_at(now + super::web::STOP_TIME);
        }
        Ok(())
    }

    /// An old worker has ended.
    pub(super) fn predecessor_ended(&mut self, index: usize, ended: Ended) {
        let now = clock::now().instant;
        let seat = &self.seats[index];
        let (part, wanted) = (seat.part, seat.wanted);
        if part == Part::Vrrp {
            self.silent_since = Some(now);
            self.tell_guardian(guardian::LEFT);
        }
        if self.stopping.is_some() {
            // It may have left already, and given nothing up.
            self.tidy_up(index);
            return self.end_if_alone();
        }
        if !wanted {
            if ended != Ended::Exited(0) {
                self.tidy_up(index);
            }
            if let Some(file) = self.seats[index].pid_file.take() {
                file.remove();
            }
            return;
        }
        if self.follow_predecessor(index).is_err() {
            self.tidy_up(index);
            self.stop(FATAL);
        }
    }

    fn follow_predecessor(&mut self, index: usize) -> Result<(), u8> {
        let configuration = self.going_on.as_ref().map(|going_on| going_on.configuration.clone());
        self.start_worker(index, configuration, None).map_err(|error| {
            tracing::error!("cannot start the {}: {error}", self.seats[index].part.name());
            FATAL
        })
    }

    pub(super) fn tell_guardian(&self, word: u8) {
        if let Some(going_on) = &self.going_on {
            // If it is gone there is nobody to tell.
            let _ = (&going_on.guardian).write_all(&[word]);
        }
    }

    /// Once all is served by this program's workers the restart is over.
    pub(super) fn conclude_restart(&mut self, now: Instant) {
        let Some(going_on) = &mut self.going_on else { return };
        let vrrp = &self.seats[0];
        if !going_on.back && !vrrp.predecessor && vrrp.child.runs() && vrrp.handover.has_served() {
            going_on.back = true;
            self.tell_guardian(guardian::BACK);
        }
        let Some(going_on) = &self.going_on else { return };
        let serves = |seat: &super::Seat| {
            !seat.wanted && !seat.child.runs()
                || seat.wanted && !seat.predecessor && seat.child.runs() && seat.handover.has_served()
        };
        if self.stopping.is_some() || !self.seats.iter().all(serves) {
            return;
        }
        let GoingOn { before, begun, .. } = going_on;
        let ms = now.saturating_since(*begun).as_millis();
        tracing::info!("restarted: v{} goes on for v{before}, after {ms} ms", env!("CARGO_PKG_VERSION"));
        self.tell_guardian(guardian::OVER);
        self.going_on = None;
    }
}
