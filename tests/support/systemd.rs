//! A real systemd, as the first process of namespaces of its own, in the network namespace of a [`Host`].

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    dead_code,
    unreachable_pub
)]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::host::Host;

const PROGRAM: &str = "/lib/systemd/systemd";

/// Far beyond what a start takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// In a mount namespace: makes a control group, starts `inside` in it, and removes it at the end.
const OUTSIDE: &str = r#"
work=$1
mkdir "$work/cgroup" && mount -t cgroup2 none "$work/cgroup" || exit 1
group=$work/cgroup/alived-test-$$
mkdir "$group" || exit 1
sh -c 'echo $$ >"$1/cgroup.procs" && exec unshare --cgroup --pid --mount --uts --ipc --fork --kill-child \
    --mount-proc sh "$2/inside" "$2"' sh "$group" "$work" &
echo $! >"$work/unshare.pid"
wait $!
for attempt in $(seq 100); do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && exit 0
    sleep 0.1
done
"#;

/// With `container` set it leaves the machine's settings alone.
const INSIDE: &str = r#"
set -e
if [ -e "$1/copy" ]; then
    # What is written goes to memory. The folder of the test is seen under its name.
    mount -t tmpfs none "$1/copy"
    mkdir "$1/copy/upper" "$1/copy/work" "$1/copy/root"
    mount -t overlay -o "lowerdir=/,upperdir=$1/copy/upper,workdir=$1/copy/work" none "$1/copy/root"
    cd "$1/copy/root"
    for folder in dev sys; do mount --rbind /$folder ./$folder; done
    mount -t proc proc ./proc
    mkdir -p "./$1" && mount --bind "$1" "./$1"
    pivot_root . mnt
    cd /
    umount -l /mnt
fi
mount -t tmpfs none /run
mount -t tmpfs none /etc/systemd/system
cp -r "$1"/units/* /etc/systemd/system/
mkdir -p /run/lock
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 none /sys/fs/cgroup
exec env -i PATH="$PATH" container=alived-test /lib/systemd/systemd --system --unit=test.target --show-status=0 \
    --log-target=null
"#;

/// A running systemd with the unit files in `units` of its host.
pub struct Systemd {
    outside: Child,
    process: u32,
}

impl Systemd {
    /// With this unit as `alived.service`. What cannot be had here is the error.
    pub fn start(host: &Host, unit: &str) -> Result<Self, String> {
        fs::create_dir_all(host.path("units")).unwrap();
        host.write("units/alived.service", unit);
        Self::start_with_units(host)
    }

    /// On a copy of this machine's files, to which packages can be installed.
    pub fn start_on_a_copy(host: &Host) -> Result<Self, String> {
        fs::create_dir(host.path("copy")).unwrap();
        Self::start_with_units(host)
    }

    fn start_with_units(host: &Host) -> Result<Self, String> {
        if !Path::new(PROGRAM).exists() {
            return Err(format!("there is no {PROGRAM} (apt-get install systemd)"));
        }
        // A test may have put more there.
        fs::create_dir_all(host.path("units")).unwrap();
        host.write("units/test.target", "[Unit]\nDefaultDependencies=no\n");
        host.write("outside", OUTSIDE);
        host.write("inside", INSIDE);
        let log = fs::File::create(host.path("systemd.log")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh"]).arg(host.path("outside")).arg(host.path(""));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        host.namespace.contain(&mut command);
        let outside = command.spawn().map_err(|error| format!("unshare: {error}"))?;
        let mut systemd = Self { outside, process: 0 };
        let start = Instant::now();
        loop {
            if systemd.process == 0 {
                systemd.process = first_process(host).unwrap_or(0);
            } else if systemd.is_running() {
                return Ok(systemd);
            }
            let ended = systemd.outside.try_wait().unwrap().is_some();
            if ended || start.elapsed() > PATIENCE {
                let log = fs::read_to_string(host.path("systemd.log")).unwrap_or_default();
                return Err(format!("no systemd can be run in namespaces here: {}", log.trim()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Degraded by what this machine has and a namespace does not.
    fn is_running(&self) -> bool {
        let state = self.control(&["is-system-running"]).stdout;
        state.starts_with(b"running") || state.starts_with(b"degraded")
    }

    /// Its version, if there is one.
    pub fn version() -> Option<u32> {
        let output = Command::new(PROGRAM).arg("--version").output().ok()?;
        String::from_utf8(output.stdout).ok()?.split_whitespace().nth(1)?.parse().ok()
    }

    /// A command in its namespaces.
    pub fn run(&self, words: &[&str]) -> Output {
        let process = self.process.to_string();
        let mut command = Command::new("nsenter");
        command.args(["--target", &process, "--mount", "--pid", "--net"]).args(words);
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// `systemctl` with these words.
    pub fn control(&self, words: &[&str]) -> Output {
        self.run(&[&["systemctl"], words].concat())
    }

    /// A property of the service.
    pub fn property(&self, name: &str) -> String {
        let output = self.control(&["show", "--value", "--property", name, "alived.service"]);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        if self.process != 0 {
            alived::sys::process::signal(self.process, libc::SIGKILL);
        }
        // Removes the control group first.
        let _ = self.outside.wait();
    }
}

/// Its number as this process sees it.
fn first_process(host: &Host) -> Option<u32> {
    let unshare = fs::read_to_string(host.path("unshare.pid")).ok()?;
    let unshare = unshare.trim();
    let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
