//! The daemons under test: real processes with a real configuration file.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::folder::Folder;
use super::interruption::pause;
use super::lab::Site;
use crate::sys::pid_namespace::{PidNamespace, descendants};
use crate::sys::process::signal;

/// Whose daemon it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Ours.
    Alived,
    /// keepalived, which takes the same flags and configuration.
    Keepalived,
}

impl Kind {
    /// Name for reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alived => "alived",
            Self::Keepalived => "keepalived",
        }
    }
}

/// An executable.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Program {
    /// Whose.
    pub kind: Kind,
    /// Where it is.
    pub path: PathBuf,
    /// Arguments besides those of the drill.
    pub arguments: Vec<String>,
}

/// Whether a daemon stays the process it was started as.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ground {
    /// It does (`-n`).
    Foreground,
    /// Its first process ends when it serves, and the daemon goes on as others.
    Background,
}

impl Program {
    /// A program without further arguments.
    pub fn new(kind: Kind, path: impl Into<PathBuf>) -> Self {
        Self { kind, path: path.into(), arguments: Vec::new() }
    }

    /// The installed keepalived, if there is one.
    pub fn keepalived() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(["/usr/sbin".into(), "/sbin".into(), "/usr/local/sbin".into()])
            .map(|folder| folder.join("keepalived"))
            .find(|candidate| candidate.is_file())
            .map(|path| Self::new(Kind::Keepalived, path))
    }
}

/// A running daemon: a supervisor and its children.
#[derive(Debug)]
pub struct Daemon {
    /// Whose.
    pub kind: Kind,
    child: Child,
    log: PathBuf,
    status: Option<ExitStatus>,
}

impl Daemon {
    /// Starts it inside `site`.
    pub(super) fn start(
        program: &Program,
        config: &str,
        ground: Ground,
        site: &Site,
        folder: &Folder,
        processes: &PidNamespace,
    ) -> io::Result<Self> {
        let file = |suffix: &str| folder.path().join(format!("{}{suffix}", site.name));
        let (config_file, log) = (file(".conf"), file(".log"));
        std::fs::write(&config_file, config)?;
        let output = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new(&program.path);
        command.args(["-l", "-G", "-D"]).args(&program.arguments);
        if ground == Ground::Foreground {
            command.arg("-n");
        }
        for (flag, path) in [
            ("-f", config_file),
            ("-p", file(".pid")),
            ("-r", file(".vrrp.pid")),
            ("-c", file(".checkers.pid")),
        ] {
            command.arg(flag).arg(path);
        }
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        site.namespace.contain(&mut command);
        let child = processes.spawn(command).map_err(|error| {
            io::Error::new(error.kind(), format!("starting {}: {error}", program.path.display()))
        })?;
        Ok(Self { kind: program.kind, child, log, status: None })
    }

    /// The number of its supervisor.
    pub fn supervisor(&self) -> u32 {
        self.child.id()
    }

    /// The numbers of its processes, parents first.
    pub fn processes(&self) -> io::Result<Vec<u32>> {
        descendants(self.child.id())
    }

    /// Whether it has not ended yet.
    pub fn is_alive(&mut self) -> io::Result<bool> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status.is_none())
    }

    /// Sends a signal to the supervisor alone.
    pub fn signal(&self, number: i32) {
        signal(self.child.id(), number);
    }

    /// Stops all its processes in their tracks, parents first, so that no parent reacts.
    pub fn freeze(&self) -> io::Result<Vec<u32>> {
        let processes = self.processes()?;
        for &process in &processes {
            signal(process, libc::SIGSTOP);
        }
        Ok(processes)
    }

    /// Lets processes run again that [`Daemon::freeze`] has stopped.
    pub fn thaw(&self, processes: &[u32]) {
        for &process in processes.iter().rev() {
            signal(process, libc::SIGCONT);
        }
    }

    /// Kills processes that [`Daemon::freeze`] has stopped, and waits for their end.
    pub fn kill(&mut self, processes: &[u32]) -> io::Result<()> {
        for &process in processes {
            signal(process, libc::SIGKILL);
        }
        self.status = Some(self.child.wait()?);
        Ok(())
    }

    /// Waits until it ends by itself; `None` if it does not in time.
    pub fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let start = Instant::now();
        while self.is_alive()? {
            if start.elapsed() > limit {
                return Ok(None);
            }
            pause(Duration::from_millis(2))?;
        }
        Ok(self.status)
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        log_text(&self.log)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.is_alive().unwrap_or(false)
            && let Ok(processes) = self.freeze()
        {
            let _ = self.kill(&processes);
        }
    }
}

fn log_text(path: &Path) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
