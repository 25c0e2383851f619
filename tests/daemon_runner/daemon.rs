//! The daemon with a worker that a test steers by a socket: requests go in, what became of them comes out,
//! one JSON text to a line.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use alived::daemon::runner::{self, Event, Outcome, RunId, Runner};
use alived::daemon::{LogOptions, Options};
use alived::drill::Folder;
use alived::kernel::{NamedUser, Script, ScriptUser};
use alived::sys::poll::Poller;
use alived::sys::process::signal;
use alived::sys::signals::{Signal, SignalQueue};
use serde::{Deserialize, Serialize};

/// Names the folder of a daemon, for the process that shall be one.
pub(crate) const ROLE: &str = "ALIVED_TEST_DAEMON";

/// Far beyond what anything here takes, so that a busy machine is no failure.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Deserialize, Serialize)]
enum Word {
    Start(runner::Command, Vec<u8>),
    Cancel(RunId),
    Limit(u32),
}

#[derive(Debug, Deserialize, Serialize)]
enum Told {
    Finished(RunId, Outcome),
    Lost(RunId),
}

/// Is the daemon whose files are in `folder`, with the worker that is steered.
pub(crate) fn run(folder: &Path) -> ExitCode {
    run_with(folder, worker)
}

/// The same with another worker.
pub(crate) fn run_with(folder: &Path, worker: fn(Runner) -> u8) -> ExitCode {
    let options = Options {
        configuration: folder.join("keepalived.conf"),
        background: false,
        log: LogOptions { console: true, syslog: false, ..LogOptions::default() },
        pid_file: Some(folder.join("keepalived.pid")),
        vrrp_pid_file: Some(folder.join("vrrp.pid")),
        ..Options::default()
    };
    alived::daemon::run_with_worker(&options, worker)
}

fn worker(mut runner: Runner) -> u8 {
    let socket = Path::new(&std::env::var_os(ROLE).unwrap()).join("steer");
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    let signals = SignalQueue::open().unwrap();
    let mut poller = Poller::new().unwrap();
    poller.add(&listener, 0).unwrap();
    poller.add(&signals, 1).unwrap();
    poller.add(&runner, 2).unwrap();
    let mut steering: Option<BufReader<UnixStream>> = None;
    loop {
        let ready: Vec<u64> = poller.wait(None).unwrap().collect();
        while let Some(signal) = signals.next() {
            if signal == Signal::Stop {
                return 0;
            }
        }
        if ready.contains(&0) {
            let (stream, _) = listener.accept().unwrap();
            poller.add(&stream, 3).unwrap();
            steering = Some(BufReader::new(stream));
        }
        let Some(steering) = &mut steering else { continue };
        if ready.contains(&3) {
            // One line at least, and those that came with it.
            loop {
                let mut line = String::new();
                if steering.read_line(&mut line).unwrap() == 0 {
                    return 0;
                }
                match serde_json::from_str(&line).unwrap() {
                    Word::Start(command, input) => {
                        runner.start(runner::Command { input, ..command });
                    }
                    Word::Cancel(id) => runner.cancel(id),
                    Word::Limit(limit) => runner.set_limit(limit),
                }
                if steering.buffer().is_empty() {
                    break;
                }
            }
        }
        runner.handle();
        while let Some(event) = runner.next_event() {
            let told = match event {
                Event::Finished { id, outcome } => Told::Finished(id, outcome),
                Event::Lost { id } => Told::Lost(id),
            };
            let line = serde_json::to_string(&told).unwrap();
            writeln!(steering.get_mut(), "{line}").unwrap();
        }
    }
}

/// The daemon, from the outside.
pub(crate) struct Daemon {
    folder: Folder,
    child: Child,
    steering: Option<BufReader<UnixStream>>,
    next: u64,
}

/// What became of a run.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    Finished(Outcome),
    Lost,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        Self::start_with(|command| {
            command.stdin(Stdio::null()).stdout(Stdio::null());
        })
    }

    /// With these settings of its process.
    pub(crate) fn start_with(set: impl FnOnce(&mut Command)) -> Self {
        let folder = Folder::create().unwrap();
        fs::write(folder.path().join("keepalived.conf"), "").unwrap();
        // Scripts of other users write there.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(folder.path(), mode).unwrap();
        let log = File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(ROLE, folder.path()).stderr(log);
        set(&mut command);
        let child = command.spawn().unwrap();
        let mut daemon = Self { folder, child, steering: None, next: 0 };
        daemon.connect();
        daemon
    }

    /// To the worker, or the next one: its numbers begin anew.
    pub(crate) fn connect(&mut self) {
        let socket = self.path("steer");
        self.steering = None;
        self.wait("the worker", |daemon| {
            let Ok(stream) = UnixStream::connect(&socket) else { return false };
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            daemon.steering = Some(BufReader::new(stream));
            true
        });
        self.next = 0;
    }

    /// What the worker says, for who reads it by himself.
    pub(crate) fn steering(&mut self) -> BufReader<UnixStream> {
        self.steering.take().unwrap()
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap_or_default()
    }

    pub(crate) fn log(&self) -> String {
        self.read("log")
    }

    pub(crate) fn wait(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < PATIENCE, "waited in vain for {what}; the log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn say(&mut self, word: &Word) {
        let line = serde_json::to_string(word).unwrap();
        writeln!(self.steering.as_mut().unwrap().get_mut(), "{line}").unwrap();
    }

    pub(crate) fn run(&mut self, command: runner::Command) -> RunId {
        let input = command.input.clone();
        self.say(&Word::Start(command, input));
        self.next += 1;
        RunId(self.next - 1)
    }

    /// Runs a text of the shell, in the daemon's folder.
    pub(crate) fn shell(&mut self, text: &str) -> RunId {
        let command = self.shell_command(text);
        self.run(command)
    }

    pub(crate) fn shell_command(&self, text: &str) -> runner::Command {
        let text = format!("cd {} && {{ {text}; }}", self.folder.path().display());
        command(&["/bin/sh", "-c", &text])
    }

    pub(crate) fn cancel(&mut self, id: RunId) {
        self.say(&Word::Cancel(id));
    }

    pub(crate) fn limit(&mut self, limit: u32) {
        self.say(&Word::Limit(limit));
    }

    /// The next event.
    pub(crate) fn next(&mut self) -> (RunId, Fate) {
        let mut line = String::new();
        let read = self.steering.as_mut().unwrap().read_line(&mut line);
        assert!(matches!(read, Ok(1..)), "no event ({read:?}); the log:\n{}", self.log());
        match serde_json::from_str(&line).unwrap() {
            Told::Finished(id, outcome) => (id, Fate::Finished(outcome)),
            Told::Lost(id) => (id, Fate::Lost),
        }
    }

    /// The outcome of the only run that is open.
    pub(crate) fn outcome(&mut self, id: RunId) -> Outcome {
        match self.next() {
            (told, Fate::Finished(outcome)) if told == id => outcome,
            other => panic!("{other:?} instead of the outcome of {id:?}; the log:\n{}", self.log()),
        }
    }

    pub(crate) fn supervisor(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn worker(&self) -> u32 {
        self.read("vrrp.pid").trim().parse().unwrap()
    }

    /// The runner, if there is one.
    pub(crate) fn runner(&self) -> Option<u32> {
        let pid = self.supervisor();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let mut children = children.split_whitespace().filter_map(|word| word.parse().ok());
        children.find(|child| {
            fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name == "alived-runner\n")
        })
    }

    pub(crate) fn kill_runner(&mut self) -> u32 {
        let runner = self.runner().unwrap();
        signal(runner, libc::SIGKILL);
        runner
    }

    /// Waits for the end of the supervisor.
    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        let mut status = None;
        self.wait("the end", |daemon| {
            status = daemon.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The worker gets TERM by it, and the runner ends with the worker.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn command(words: &[&str]) -> runner::Command {
    let mut words = words.iter().map(|word| CString::new(*word).unwrap());
    let mut script = Script::new(words.next().unwrap());
    script.arguments = words.collect();
    runner::Command::new(script)
}

pub(crate) fn with_user(mut command: runner::Command, user: &str, group: Option<&str>) -> runner::Command {
    command.script.user = ScriptUser::Named(NamedUser {
        user: user.into(),
        group: group.map(Into::into),
        supplementary_groups: true,
    });
    command
}

/// Whether a process runs, a zombie not counted.
pub(crate) fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !matches!(rest.trim_start().chars().next(), None | Some('Z' | 'X')))
}
