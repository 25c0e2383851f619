//! FIFOs of a real daemon: the lines, readers that come and go, scripts that read, and the scripts of the daemon itself.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::host::{Host, instance};

const ADDRESS: &str = "192.0.2.50/24";

fn host() -> Option<Host> {
    let mut host = Host::new()?;
    host.wait_for_carrier();
    Some(host)
}

fn configuration(host: &Host, global: &str, more: &str) -> String {
    let fifo = host.path("fifo");
    format!(
        "global_defs {{\n    script_user root\n    enable_script_security\n    vrrp_notify_fifo {}\n    {global}\n}}\n{}{more}",
        fifo.display(),
        instance("VI_1", 51, 100, ADDRESS)
    )
}

/// A reader of a FIFO that never waits.
struct Reader {
    file: File,
    text: String,
}

impl Reader {
    fn open(path: &Path) -> Self {
        let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).unwrap();
        Self { file, text: String::new() }
    }

    /// All lines so far.
    fn lines(&mut self) -> Vec<String> {
        let mut buffer = [0; 4096];
        while let Ok(bytes @ 1..) = self.file.read(&mut buffer) {
            self.text += std::str::from_utf8(&buffer[..bytes]).unwrap();
        }
        self.text.lines().map(str::to_owned).collect()
    }

    fn wait_for(&mut self, host: &mut Host, line: &str) {
        host.wait(&format!("the line '{line}'"), |_| self.lines().iter().any(|read| read == line));
    }
}

/// Whether the daemon has the FIFO open for reading.
fn reads_itself(host: &Host, fifo: &Path) -> bool {
    let process = format!("/proc/{}", host.worker());
    let descriptors = fs::read_dir(format!("{process}/fd")).unwrap().flatten();
    descriptors.filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == *fifo)).any(|entry| {
        let name = entry.file_name();
        let info = fs::read_to_string(format!("{process}/fdinfo/{}", name.display())).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        flags.is_some_and(|flags| flags.trim().ends_with('0'))
    })
}

fn line(state: &str) -> String {
    format!("INSTANCE \"VI_1\" {state} 100")
}

fn stop(host: &mut Host) {
    host.signal(libc::SIGTERM);
    assert!(host.wait_for_end().success());
}

fn set_up(host: &mut Host, up: bool) {
    let lan = host.lan();
    host.socket.set_up(lan, up).unwrap();
}

#[test]
fn readers_may_come_and_go_and_know_the_last_state() {
    let Some(mut host) = host() else { return };
    host.configure(&configuration(&host, "", ""));
    host.start(&[]);
    let fifo = host.path("fifo");
    let metadata = fs::metadata(&fifo).unwrap();
    assert!(metadata.file_type().is_fifo());
    assert_eq!((metadata.mode() & 0o777, metadata.uid()), (0o600, 0));
    host.wait("mastership", |host| host.holds(ADDRESS));
    let mut first = Reader::open(&fifo);
    first.wait_for(&mut host, &line("MASTER"));
    assert_eq!(first.lines(), [line("BACKUP"), line("MASTER")], "what was written before it came, once");
    // The daemon reads itself while it believes that nobody does.
    host.wait("the reader to be noticed", |host| !reads_itself(host, &fifo));
    drop(first);
    let mut second = Reader::open(&fifo);
    second.wait_for(&mut host, &line("MASTER"));
    assert_eq!(second.lines(), [line("MASTER")], "what the first one has read, too");
    drop(second);
    set_up(&mut host, false);
    host.wait_for_lines("Entering FAULT STATE", 1);
    set_up(&mut host, true);
    host.wait_for_lines("Entering MASTER STATE", 2);
    let mut third = Reader::open(&fifo);
    third.wait_for(&mut host, &line("MASTER"));
    let read = third.lines();
    let missed = ["FAULT", "BACKUP", "MASTER"].map(line);
    assert!(read.ends_with(&missed), "what happened meanwhile: {read:?}");
    // A reload without a change of it leaves it alone.
    host.signal(libc::SIGHUP);
    host.wait_for_lines("Reloaded", 1);
    host.signal(libc::SIGTERM);
    third.wait_for(&mut host, &line("STOP"));
    assert!(host.wait_for_end().success());
    assert_eq!(third.lines().len(), read.len() + 1, "{:?}", third.lines());
    assert!(!fifo.exists(), "it was made by the daemon");
}

#[test]
fn a_script_reads_from_the_start_to_the_end() {
    let Some(mut host) = host() else { return };
    let script = host.path("reader");
    let told = host.path("told");
    let text = format!(
        "#!/bin/sh\nexec >> {}\necho \"$*\"\nwhile read -r line; do echo \"$line\"; done < $2\necho end\n",
        told.display()
    );
    host.write("reader", &text);
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let global = format!("vrrp_notify_fifo_script \"{} one\"", script.display());
    host.configure(&configuration(&host, &global, ""));
    host.start(&[]);
    let told = move || fs::read_to_string(&told).unwrap_or_default();
    host.wait("mastership", |_| told().contains("MASTER"));
    let reader = host.runner();
    host.signal(libc::SIGHUP);
    host.wait_for_lines("Reloaded", 1);
    assert_eq!(host.runner(), reader);
    stop(&mut host);
    let fifo = host.path("fifo").display().to_string();
    let lines: Vec<String> = told().lines().map(str::to_owned).collect();
    assert_eq!(
        lines,
        [format!("one {fifo}"), line("BACKUP"), line("MASTER"), line("STOP"), "end".to_owned()]
    );
}

#[test]
fn priorities_are_told_on_demand_and_states_again_after_a_reload() {
    let Some(mut host) = host() else { return };
    let file = host.path("weight");
    fs::write(&file, "0").unwrap();
    let global = "vrrp_notify_priority_changes\n    fifo_write_vrrp_states_on_reload".to_owned();
    let tracker = format!("track_file weight {{\n    file {}\n    weight 1\n}}\n", file.display());
    let silent = instance("VI_2", 52, 100, "192.0.2.51/24");
    let silent = silent.trim_end().strip_suffix('}').unwrap();
    let more =
        format!("{silent}    track_file {{\n        weight\n    }}\n    notify_priority_changes off\n}}\n");
    let text = configuration(&host, &global, &more);
    let loud = text.replacen(
        "    virtual_ipaddress",
        "    track_file {\n        weight\n    }\n    virtual_ipaddress",
        1,
    );
    host.configure(&format!("{tracker}{loud}"));
    host.start(&[]);
    let mut reader = Reader::open(&host.path("fifo"));
    reader.wait_for(&mut host, &line("MASTER"));
    reader.wait_for(&mut host, "INSTANCE \"VI_2\" MASTER 100");
    fs::write(&file, "20").unwrap();
    reader.wait_for(&mut host, "INSTANCE \"VI_1\" MASTER_PRIORITY 120");
    host.signal(libc::SIGHUP);
    reader.wait_for(&mut host, "INSTANCE \"VI_1\" MASTER 120");
    let lines = reader.lines();
    assert_eq!(lines.iter().filter(|line| line.contains("VI_2") && line.contains("PRIORITY")).count(), 0);
}

#[test]
fn both_fifos_get_the_lines_and_belong_to_their_users() {
    let Some(mut host) = host() else { return };
    let both = host.path("both");
    let global = format!("notify_fifo {} nobody", both.display());
    host.configure(&configuration(&host, &global, ""));
    host.start(&[]);
    assert_eq!(fs::metadata(&both).unwrap().uid(), 65534);
    for path in [both, host.path("fifo")] {
        Reader::open(&path).wait_for(&mut host, &line("MASTER"));
    }
}

#[test]
fn what_is_no_fifo_is_left_alone_and_said() {
    let Some(mut host) = host() else { return };
    host.write("fifo", "mine");
    host.configure(&configuration(&host, "", ""));
    host.start(&[]);
    host.wait_for_lines("there is a regular file in its place, which is left alone; nobody is told by it", 1);
    host.wait("mastership", |host| host.holds(ADDRESS));
    stop(&mut host);
    assert_eq!(fs::read_to_string(host.path("fifo")).unwrap(), "mine");
}

/// Scripts of the daemon itself that note what they find.
fn own_scripts(startup: &str) -> Option<Host> {
    let host = host()?;
    let told = host.path("told");
    let script = |name: &str, commands: &str| {
        let path = host.path(name);
        let text = format!(
            "#!/bin/sh\necho {name} $* $(cat {} 2>/dev/null | wc -l) >> {}\n{commands}\n",
            host.path("vrrp.pid").display(),
            told.display()
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    };
    let global = format!(
        "startup_script \"{} a b\"\n    startup_script_timeout 1\n    shutdown_script {}",
        script("startup", startup),
        script("shutdown", "")
    );
    host.configure(&configuration(&host, &global, ""));
    Some(host)
}

fn told(host: &Host) -> Vec<String> {
    let text = fs::read_to_string(host.path("told")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_daemon_runs_scripts_of_its_own_before_the_worker_and_after_it() {
    let Some(mut host) = own_scripts("sleep 0.3") else { return };
    host.start(&[]);
    assert_eq!(told(&host), ["startup a b 0"], "no worker has written its number");
    host.wait_for_lines("startup_script succeeded", 1);
    stop(&mut host);
    assert_eq!(told(&host).len(), 2);
    host.wait_for_lines("shutdown_script succeeded", 1);
}

#[test]
fn a_startup_script_that_hangs_does_not_keep_the_daemon_from_starting() {
    let Some(mut host) = own_scripts("exec sleep 1000") else { return };
    host.start(&[]);
    host.wait_for_lines("which is longer than it may take (startup_script_timeout)", 1);
    host.wait("mastership", |host| host.holds(ADDRESS));
}
