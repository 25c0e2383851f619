//! Telling others what happened: scripts, through the runner, FIFOs, mail. Which runs when is the engine's affair
//! ([`crate::notify`]); this does what it says.

use std::collections::BTreeMap;

use super::fifos::Fifos;
use super::mail::Mail;
use super::runner::{self, Command, Cut, Outcome, RunId, Runner};
use crate::notify::{
    Account, Action, CallId, Event, FifoConfig, HookSettings, MailConfig, Notifications, Object, Resumed,
    Resumption, Run, Told, Verdict,
};
use crate::sys::clock;
use crate::sys::process::Ended;
use crate::time::{Duration, Instant, WallTime};
use crate::vrrp::{News, State};

/// What a stop takes beyond the time that hooks may take: for ending what hangs.
const MARGIN: Duration = Duration::from_secs(1);

/// Hooks of the vrrp worker.
#[derive(Debug)]
pub(super) struct Hooks {
    account: Account,
    resumption: Resumption,
    delivery: Delivery,
}

impl Hooks {
    /// Nothing has happened yet. `known`: what others were told by another process for which this one goes on.
    pub(super) fn new(notifications: Notifications, settings: HookSettings, known: Resumed) -> Self {
        let resumption = Resumption::new(known);
        Self { account: Account::new(notifications), resumption, delivery: Delivery::new(settings) }
    }

    /// Opens the FIFOs. Within a runtime.
    pub(super) fn open(&mut self, runner: &mut Runner) {
        self.delivery.open(&self.account.notifications().fifos, self.account.states(), runner);
    }

    /// Other settings.
    pub(super) const fn set(&mut self, settings: HookSettings) {
        self.delivery.set(settings);
    }

    /// The state of an instance, as far as it was told.
    pub(super) fn state_of(&self, instance: &str) -> Option<State> {
        self.account.states().get(&Object::Instance(instance.into()))?.state()
    }

    /// Who is told of what, in force.
    pub(super) const fn notifications(&self) -> &Notifications {
        self.account.notifications()
    }

    /// The vrrp thread is about to get another configuration.
    pub(super) fn configure(&mut self, notifications: Notifications) {
        self.account.reconfigure(notifications);
    }

    /// It has taken it.
    pub(super) fn reconfigured(&mut self, runner: &mut Runner) {
        self.account.reconfigured();
        self.open(runner);
        if self.account.notifications().repeat_on_reload {
            self.delivery.repeat();
        }
    }

    /// Something happened. What follows is done by [`Hooks::serve`].
    pub(super) fn tell(&mut self, at: WallTime, news: &News) {
        match self.resumption.judge(at, news) {
            Verdict::Known => _ = self.account.take(at, news),
            Verdict::Waits => {}
            Verdict::Told(all) => self.tell_all(&all),
        }
    }

    /// Some seconds after the start: who was to go on as master has done so.
    pub(super) fn resumed(&mut self) {
        let all = self.resumption.end();
        self.tell_all(&all);
    }

    fn tell_all(&mut self, all: &[(WallTime, News)]) {
        for (at, news) in all {
            if let Some(told) = self.account.take(*at, news) {
                self.delivery.tell(told, self.account.notifications().mail.as_deref());
            }
        }
    }

    /// What others were told last.
    pub(super) fn told(&self) -> Resumed {
        let states = self.account.states().iter();
        states.filter_map(|(object, event)| Some((object.clone(), event.state()?))).collect()
    }

    /// All routers have left. Gives how long it may take until [`Hooks::serve`] says that all is told.
    pub(super) fn leave(&mut self) -> Duration {
        self.delivery.leave()
    }

    /// Waits until there is something for [`Hooks::serve`] without an event.
    pub(super) async fn due(&mut self) {
        self.delivery.due().await;
    }

    /// Takes what the runner says of a hook; what is about something else is passed over.
    pub(super) fn finish(&mut self, event: &runner::Event, runner: &mut Runner) {
        self.delivery.finish(event, runner);
    }

    /// Does what is to be done. True when the daemon stops and all is told.
    pub(super) fn serve(&mut self, runner: &mut Runner) -> bool {
        self.delivery.serve(runner, self.account.notifications().mail.as_deref())
    }
}

/// Scripts, FIFOs and mail of any worker.
#[derive(Debug)]
pub(super) struct Delivery {
    settings: HookSettings,
    engine: crate::notify::Hooks,
    actions: Vec<Action>,
    runs: BTreeMap<RunId, CallId>,
    fifos: Fifos,
    mail: Mail,
}

impl Delivery {
    /// Nothing has happened yet.
    pub(super) fn new(settings: HookSettings) -> Self {
        Self {
            settings,
            engine: crate::notify::Hooks::new(settings),
            actions: Vec::new(),
            runs: BTreeMap::new(),
            fifos: Fifos::default(),
            mail: Mail::default(),
        }
    }

    /// Opens FIFOs, whose readers are owed these states. Within a runtime.
    pub(super) fn open(
        &mut self,
        fifos: &[FifoConfig],
        states: &BTreeMap<Object, Event>,
        runner: &mut Runner,
    ) {
        self.fifos.configure(fifos, states, runner);
    }

    /// Other settings.
    pub(super) const fn set(&mut self, settings: HookSettings) {
        self.settings = settings;
        self.engine.configure(settings);
    }

    /// FIFOs get all states once more.
    pub(super) fn repeat(&mut self) {
        self.fifos.repeat();
    }

    /// Something happened. What follows is done by [`Delivery::serve`].
    pub(super) fn tell(&mut self, told: Told, mail: Option<&MailConfig>) {
        if told.has_line {
            self.fifos.push(&told.event);
        }
        if let Some(config) = mail.filter(|_| told.has_mail) {
            self.mail.push(&told.event, config);
        }
        self.engine.push(told, &mut self.actions);
    }

    /// Nothing more happens. Gives how long it may take until [`Delivery::serve`] says that all is told.
    pub(super) fn leave(&mut self) -> Duration {
        self.engine.leave(clock::now().instant);
        self.settings.at_stop() + Fifos::LEAVING + Mail::LEAVING + MARGIN
    }

    /// Waits until there is something for [`Delivery::serve`] without an event.
    pub(super) async fn due(&mut self) {
        let engine = async {
            match self.engine.poll_timeout() {
                Some(at) => tokio::time::sleep(at.saturating_since(clock::now().instant)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = engine => {}
            () = self.fifos.due() => {}
            () = self.mail.due() => {}
        }
    }

    /// Takes what the runner says of a hook; what is about something else is passed over.
    pub(super) fn finish(&mut self, event: &runner::Event, runner: &mut Runner) {
        if self.fifos.finish(event, runner) {
            return;
        }
        match event {
            runner::Event::Finished { id, outcome } => {
                let Some(call) = self.runs.remove(id) else { return };
                let Some(run) = self.engine.ended(call, &mut self.actions) else { return };
                self.report(&run, outcome);
            }
            runner::Event::Lost { id } => {
                let Some(call) = self.runs.remove(id) else { return };
                let Some(run) = self.engine.lost(call, &mut self.actions) else { return };
                tracing::warn!("{} was lost with the process that ran it", words(&run));
            }
        }
    }

    /// Does what is to be done. True when the daemon stops and all is told.
    pub(super) fn serve(&mut self, runner: &mut Runner, mail: Option<&MailConfig>) -> bool {
        let now: Instant = clock::now().instant;
        if self.engine.poll_timeout().is_some_and(|at| at <= now) {
            self.engine.handle_timeout(now, &mut self.actions);
        }
        for action in core::mem::take(&mut self.actions) {
            match action {
                Action::Run(call, run) => {
                    let id = runner.start(self.command(&run));
                    self.runs.insert(id, call);
                }
                Action::Cancel(call) => {
                    if let Some((id, _)) = self.runs.iter().find(|(_, other)| **other == call) {
                        runner.cancel(*id);
                    }
                }
                Action::SayBehind(object) => tracing::warn!(
                    "the scripts of {object} take longer than what happens to it: of its events the oldest that \
                     wait are left out ([hooks] of alived.toml)"
                ),
                Action::SayLeftOut(object, count) => {
                    tracing::warn!(
                        "the scripts of {object} were not told of {count} events; now of the newest"
                    );
                }
                Action::SayAbandoned(run) => {
                    tracing::warn!("stopping without waiting for {} any longer", words(&run));
                }
            }
        }
        self.fifos.serve();
        self.mail.serve(mail);
        self.engine.is_over() && self.fifos.leave(runner) && self.mail.leave()
    }

    fn command(&self, run: &Run) -> Command {
        let Run { hook, event, .. } = run;
        Command {
            input: if self.settings.json { event.to_json() } else { Vec::new() },
            deadline: Some(self.settings.limit()),
            ..Command::new(hook.command(event))
        }
    }

    fn report(&self, run: &Run, outcome: &Outcome) {
        match outcome {
            Outcome::Ended { how: Ended::Exited(0), cut: None, .. } => {}
            Outcome::Ended { cut: Some(Cut::Deadline), .. } => tracing::warn!(
                "{} {outcome} ([hooks] of alived.toml: limit = {})",
                words(run),
                self.settings.limit
            ),
            outcome => tracing::warn!("{} {outcome}", words(run)),
        }
    }
}

/// `notify_master of vrrp_instance VI_1, told of MASTER, '/x/y' 'z',`.
fn words(run: &Run) -> String {
    let Run { hook, event, .. } = run;
    let Event { object, word, .. } = &**event;
    format!("{} of {object}, told of {word}, {},", hook.keyword, hook.script)
}
