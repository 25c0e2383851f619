//! A kernel of its own for a program that needs what this machine's kernel lacks (IPVS, VLANs, bonds, VRF …): User Mode
//! Linux, a Linux that runs as an ordinary process, as Debian's `user-mode-linux` has it.
//!
//! It boots with this machine's files as its root, read-only, and a program of the caller's as its init, which calls
//! [`inside::main`]. What can be written to is memory of its own, `/run` and the folder for temporary files in it, and
//! a folder of this machine's for results. Modules are loaded when they are first asked for.

pub mod inside;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::folder::Folder;

/// The kernel.
const PROGRAM: &str = "/usr/bin/linux.uml";
const MODULES: &str = "/usr/lib/uml/modules";
const MODPROBE: &str = "/sbin/modprobe";

/// For init: the folder outside that takes what is left.
const RESULTS: &str = "ALIVED_SECOND_KERNEL_RESULTS";

/// Files in that folder: there once init runs; standard output and error of the work; its exit status.
const BOOTED: &str = "booted";
const OUTPUT: &str = "output";
const ERRORS: &str = "errors";
const STATUS: &str = "status";

/// A booted kernel. It ends with this value, and with the thread that booted it.
#[derive(Debug)]
pub struct SecondKernel {
    folder: Folder,
    process: Child,
}

impl SecondKernel {
    /// Boots one. `init` is given `words`, and `environment` besides what [`inside`] needs; neither may have spaces, nor a
    /// word a dot: the kernel takes such a word for a module's setting.
    ///
    /// # Errors
    /// Why such a kernel cannot be had here, and what to install.
    pub fn boot(init: &Path, words: &[&str], environment: &[(&str, String)]) -> Result<Self, String> {
        for needed in [PROGRAM, MODULES, MODPROBE] {
            if !Path::new(needed).exists() {
                return Err(format!("there is no {needed} (apt-get install user-mode-linux kmod)"));
            }
        }
        Self::start(init, words, environment)
    }

    fn start(init: &Path, words: &[&str], environment: &[(&str, String)]) -> Result<Self, String> {
        let failed = |error: io::Error| format!("linux.uml cannot be started: {error}");
        let folder = Folder::create().map_err(failed)?;
        let path = |file: &str| folder.path().join(file);
        let results = path("results");
        fs::create_dir(&results).map_err(failed)?;
        let console = File::create(path("console")).map_err(failed)?;
        let mut command = contained(PROGRAM);
        if fs::read_to_string("/proc/cpuinfo").unwrap_or_default().contains(" amx_tile") {
            let library =
                wide_registers(folder.path()).map_err(|why| format!("linux.uml knows no AMX, and {why}"))?;
            command.env("LD_PRELOAD", library);
        }
        command
            .args([
                "mem=256M",
                "rootfstype=hostfs",
                "rootflags=/",
                "ro",
                "quiet",
                "con=null",
                "con0=null,fd:1",
            ])
            .args(["umid=kernel".to_owned(), format!("uml_dir={}/", folder.path().display())])
            .arg(format!("init={}", init.display()))
            // What the kernel does not know becomes environment and arguments of init.
            .arg(format!("{RESULTS}={}", results.display()))
            .args(environment.iter().map(|(key, value)| format!("{key}={value}")))
            .args(words)
            .stdin(Stdio::null())
            .stdout(console.try_clone().map_err(failed)?)
            .stderr(console);
        let process = command.spawn().map_err(failed)?;
        Ok(Self { folder, process })
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// None in practice.
    pub fn runs(&mut self) -> io::Result<bool> {
        Ok(self.process.try_wait()?.is_none())
    }

    /// Whether init came as far as to run.
    pub fn has_booted(&self) -> bool {
        self.file(BOOTED).exists()
    }

    /// A file that the work left in the folder for results.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("results").join(name)
    }

    /// What the work wrote to standard output.
    pub fn output(&self) -> PathBuf {
        self.file(OUTPUT)
    }

    /// What the work wrote to standard error.
    pub fn errors(&self) -> PathBuf {
        self.file(ERRORS)
    }

    /// The exit status of the work, once it has ended: 128 and the signal's number where it was killed.
    pub fn status(&self) -> Option<i32> {
        fs::read_to_string(self.file(STATUS)).ok()?.parse().ok()
    }

    /// What the kernel itself said.
    pub fn console(&self) -> String {
        let console = fs::read(self.folder.path().join("console")).unwrap_or_default();
        String::from_utf8_lossy(&console).into_owned()
    }

    /// Why it did not boot, in the kernel's last words.
    pub fn last_words(&self) -> String {
        let console = self.console();
        let last = console.lines().rev().find(|line| !line.trim().is_empty());
        format!("linux.uml does not run here: {}", last.unwrap_or("it says nothing"))
    }
}

impl Drop for SecondKernel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A library with which linux.uml runs on this processor.
fn wide_registers(folder: &Path) -> Result<PathBuf, String> {
    let (library, source) = (folder.join("wide_registers.so"), folder.join("wide_registers.c"));
    fs::write(&source, include_str!("wide_registers.c"))
        .map_err(|error| format!("{}: {error}", source.display()))?;
    let built = Command::new("cc").args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).output();
    match built {
        Ok(output) if output.status.success() => Ok(library),
        Ok(output) => Err(format!("cc failed: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("cc: {error} (apt-get install g++)")),
    }
}

/// A command whose processes all end when it, or the calling thread, ends: User Mode Linux runs each of its processes
/// in one of this machine's, and these outlive it when it is killed. A PID namespace does not let them.
fn contained(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child"]);
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg(program);
    command
}
