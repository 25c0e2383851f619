//! Where the daemon's log goes: system log, journal, standard error, files; what it does when nobody takes it.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use serde_json::Value;

use crate::host::{Host, instance};
use crate::{pace, skip};

const ADDRESS: &str = "192.0.2.50/24";

/// Of the advertisements of an [`instance`].
const INTERVAL: Duration = Duration::from_millis(100);

/// Gives the daemon a `/dev` and a `/run` of its own, with `/dev/null`. False, and said so, where that is forbidden.
fn own_dev_and_run(host: &mut Host, test: &str, before: &str) -> bool {
    for folder in ["dev", "run"] {
        fs::create_dir_all(host.path(folder)).unwrap();
    }
    host.write("dev/null", "");
    let folder = host.path("").display().to_string();
    let folder = folder.trim_end_matches('/');
    host.start_through(&format!(
        "exec unshare --mount sh -c 'mount --bind /dev/null {folder}/dev/null && {before} mount --rbind {folder}/dev \
         /dev && mount --rbind {folder}/run /run && exec % \"$@\"' sh \"$@\"",
    ));
    let output = host.command(&["-v"]).output().unwrap();
    if !output.status.success() {
        skip::skip(test, &String::from_utf8_lossy(&output.stderr));
    }
    output.status.success()
}

/// Plays a log daemon: hands over what is sent to a socket.
fn take_lines(path: &Path) -> Receiver<String> {
    let log = UnixDatagram::bind(path).unwrap();
    log.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let (received, lines) = std::sync::mpsc::channel();
    // The queue of a socket is short: somebody must read from the beginning.
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length) = log.recv(&mut buffer) {
            if received.send(String::from_utf8_lossy(&buffer[..length]).into_owned()).is_err() {
                break;
            }
        }
    });
    lines
}

/// The next line with these words.
fn next_with(lines: &Receiver<String>, words: &str) -> String {
    let mut seen = Vec::new();
    loop {
        let line = lines.recv().unwrap_or_else(|_| panic!("{words}: the log fell silent after {seen:#?}"));
        if line.contains(words) {
            return line;
        }
        seen.push(line);
    }
}

#[test]
fn lines_reach_the_system_log_with_the_facility_asked_for() {
    let test = "lines_reach_the_system_log_with_the_facility_asked_for";
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    if !own_dev_and_run(&mut host, test, "") {
        return;
    }
    let lines = take_lines(&host.path("dev/log"));
    host.use_system_log();
    let output = host.run(&["-S", "3"]);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let (supervisor, worker) = (host.supervisor(), host.worker());
    let start = next_with(&lines, "Starting alived");
    assert!(start.contains(&format!(" Keepalived[{supervisor}]: ")), "{start}");
    // Facility local3 (19), severity information (6).
    let master = next_with(&lines, "(VI_1) Entering MASTER STATE");
    assert!(master.starts_with("<158>"), "{master}");
    assert!(master.contains(&format!(" Keepalived_vrrp[{worker}]: ")), "{master}");
    host.signal(libc::SIGTERM);
    let stopped = next_with(&lines, "Stopped alived");
    assert!(stopped.starts_with("<158>"), "{stopped}");
}

#[test]
fn where_the_system_log_is_the_journal_its_entries_have_fields() {
    let test = "where_the_system_log_is_the_journal_its_entries_have_fields";
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    if !own_dev_and_run(&mut host, test, "") {
        return;
    }
    fs::create_dir_all(host.path("run/systemd/journal")).unwrap();
    symlink("/run/systemd/journal/dev-log", host.path("dev/log")).unwrap();
    let entries = take_lines(&host.path("run/systemd/journal/socket"));
    host.use_system_log();
    let output = host.run(&["-S", "3"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let start = next_with(&entries, "MESSAGE=Starting alived");
    assert!(start.contains("\nSYSLOG_IDENTIFIER=Keepalived\n"), "{start}");
    let master = next_with(&entries, "MESSAGE=(VI_1) Entering MASTER STATE");
    let fields: Vec<&str> = master.lines().collect();
    for field in [
        "PRIORITY=6",
        "SYSLOG_FACILITY=19",
        "SYSLOG_IDENTIFIER=Keepalived_vrrp",
        &format!("SYSLOG_PID={}", host.worker()),
        "ALIVED_TARGET=vrrp",
        "ALIVED_INSTANCE=VI_1",
        "ALIVED_STATE=MASTER",
        "ALIVED_FROM=BACKUP",
        "ALIVED_PRIORITY=100",
    ] {
        assert!(fields.contains(&field), "{field} in {fields:#?}");
    }
    host.signal(libc::SIGTERM);
    next_with(&entries, "MESSAGE=Stopped alived");
}

/// A journal of its own, which ends with the test.
struct Journal(Child);

impl Journal {
    const PROGRAM: &str = "/lib/systemd/systemd-journald";

    /// Listens in the host's `run`, which is `/run` for it, and keeps what it hears there.
    fn start(host: &mut Host) -> Self {
        let run = host.path("run").display().to_string();
        fs::create_dir_all(format!("{run}/systemd/journald.conf.d")).unwrap();
        fs::create_dir_all(format!("{run}/log/journal")).unwrap();
        // Nothing of this machine.
        let settings = "[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nForwardToWall=no\n";
        host.write("run/systemd/journald.conf.d/test.conf", settings);
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "sh",
            "-c",
            "mount --rbind \"$1\" /run && exec \"$2\"",
            "sh",
            &run,
            Self::PROGRAM,
        ]);
        let journal = Self(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        host.wait("the journal", |host| host.path("run/systemd/journal/socket").exists());
        journal
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_real_journal_finds_lines_by_their_fields() {
    let test = "a_real_journal_finds_lines_by_their_fields";
    if !Path::new(Journal::PROGRAM).exists() || !Path::new("/etc/machine-id").exists() {
        return skip::skip(test, "no systemd-journald here, install systemd");
    }
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    if !own_dev_and_run(&mut host, test, "") {
        return;
    }
    symlink("/run/systemd/journal/dev-log", host.path("dev/log")).unwrap();
    let journal = Journal::start(&mut host);
    host.use_system_log();
    let output = host.run(&[]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let worker = host.worker();
    let folder = host.path("run/log/journal");
    let mut found = Value::Null;
    host.wait("the entry", |_| {
        let mut command = Command::new("journalctl");
        command.arg("-D").arg(&folder).args(["-o", "json", "-p", "info"]);
        let output = command.args(["ALIVED_INSTANCE=VI_1", "ALIVED_STATE=MASTER"]).output().unwrap();
        found = serde_json::from_slice(&output.stdout).unwrap_or_default();
        !found.is_null()
    });
    assert!(found["MESSAGE"].as_str().unwrap().starts_with("(VI_1) Entering MASTER STATE"), "{found}");
    assert_eq!(found["SYSLOG_IDENTIFIER"], "Keepalived_vrrp");
    // What the journal itself knows of the sender.
    assert_eq!(found["_PID"], worker.to_string());
    drop(journal);
}

#[test]
fn json_lines_on_standard_error_and_in_a_file_for_each_process() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    let file = host.path("all.log");
    host.start(&["--log-format=json", &format!("-g{}", file.display())]);
    host.wait_for_lines("Entering MASTER STATE", 1);
    let worker = host.worker();
    host.signal(libc::SIGTERM);
    assert!(host.wait_for_end().success());
    let read = |text: &str| -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    };
    let all = read(&host.log());
    let find = |objects: &[Value], words: &str| {
        let has = |object: &&Value| object["message"].as_str().unwrap().contains(words);
        objects.iter().find(has).unwrap_or_else(|| panic!("{words}: {objects:#?}")).clone()
    };
    let master = find(&all, "Entering MASTER STATE");
    for (key, value) in [
        ("level", Value::from("INFO")),
        ("target", "vrrp".into()),
        ("process", "Keepalived_vrrp".into()),
        ("pid", worker.into()),
        ("instance", "VI_1".into()),
        ("from", "BACKUP".into()),
        ("state", "MASTER".into()),
        ("priority", 100.into()),
    ] {
        assert_eq!(master[key], value, "{key} of {master}");
    }
    let time = master["time"].as_str().unwrap();
    assert!(time.len() == "2026-11-27T05:41:00.123456Z".len() && time.ends_with('Z'), "{time}");
    let supervisor = read(&fs::read_to_string(&file).unwrap());
    let vrrp = read(&fs::read_to_string(host.path("all_vrrp.log")).unwrap());
    assert_eq!(find(&supervisor, "Starting alived")["process"], "Keepalived");
    assert_eq!(find(&vrrp, "Entering MASTER STATE"), master);
    assert_eq!(supervisor.len() + vrrp.len(), all.len(), "each line once");
}

#[test]
fn levels_change_while_the_daemon_runs() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", 1);
    let level = |host: &Host, words: &[&str]| {
        let output = host.alived(&[&["log-level"], words].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let priority = |host: &Host, number| host.configure(&instance("VI_1", 51, number, ADDRESS));
    assert_eq!(level(&host, &[]), "control info\ndaemon info\nrunner info\nvrrp info\n");
    assert_eq!(level(&host, &["daemon", "warn"]), "control info\ndaemon warn\nrunner info\nvrrp info\n");
    priority(&host, 101);
    assert!(host.alived(&["reload"]).status.success());
    assert_eq!(level(&host, &["daemon", "info"]), level(&host, &[]));
    assert!(!host.log().contains("asks for"), "{}", host.log());
    level(&host, &["control", "debug"]);
    priority(&host, 102);
    assert!(host.alived(&["reload"]).status.success());
    host.wait_for_lines("Reloaded", 1);
    host.wait_for_lines("asks for Reload", 1);
    // Lines are in their order: what was said before is there, or was not said.
    assert!(host.log().contains("101 -> 102") && !host.log().contains("100 -> 101"), "{}", host.log());
    assert_eq!(host.log().matches("Reloaded").count(), 1);
    for (words, part) in
        [(&["vrrp", "loud"][..], "loud"), (&["noise", "info"], "noise"), (&["vrrp"], "LEVEL")]
    {
        let output = host.alived(&[&["log-level"], words].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(64) && text.contains(part), "{output:?}");
    }
    // What the routers do is judged by the thread that writes it.
    level(&host, &["vrrp", "off"]);
    let (first, second) = (instance("VI_1", 51, 102, ADDRESS), instance("VI_2", 52, 100, "192.0.2.52/24"));
    host.configure(&(first + &second));
    assert!(host.alived(&["reload"]).status.success());
    host.wait("the second address", |host| host.holds("192.0.2.52/24"));
    assert!(host.alived(&["status"]).status.success());
    host.wait_for_lines("asks for Status", 1);
    level(&host, &["all", "info"]);
    host.signal(libc::SIGTERM);
    assert!(host.wait_for_end().success());
    assert!(
        host.log().contains("(VI_2) Stopped") && !host.log().contains("(VI_2) Entering"),
        "{}",
        host.log()
    );
}

#[test]
fn sinks_that_take_nothing_hold_up_nobody_and_the_loss_is_counted() {
    let test = "sinks_that_take_nothing_hold_up_nobody_and_the_loss_is_counted";
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    // A disk that is full, a system log that does not read, a pipe that is full.
    fs::create_dir(host.path("disk")).unwrap();
    let disk = host.path("disk").display().to_string();
    let fill = format!(
        "mount -t tmpfs -o size=16k none {disk} && {{ head -c 65536 /dev/zero >{disk}/filler 2>/dev/null; true; }} &&"
    );
    if !own_dev_and_run(&mut host, test, &fill) {
        return;
    }
    let stalled = UnixDatagram::bind(host.path("dev/log")).unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    sender.set_nonblocking(true).unwrap();
    while sender.send_to(b"filler", host.path("dev/log")).is_ok() {}
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    std::io::Write::write_all(&mut writer, &[b'x'; 4096]).unwrap();
    host.use_system_log();
    let to_file = format!("-g{}", host.path("disk/all.log").display());
    let flags = ["-n", "-l", "--log-format=json", &to_file];
    let mut child = host.command(&flags).stderr(writer).spawn().unwrap();
    host.wait("the address", |host| host.holds(ADDRESS));
    host.wait("an answer", |host| host.alived(&["status"]).status.success());
    let pace = pace::Pace::start(&host);
    for _ in 0..20 {
        let output = host.alived(&["reload"]);
        assert!(output.status.success(), "{output:?}");
        std::thread::sleep(INTERVAL);
    }
    let sent = pace.assert_kept(51, INTERVAL);
    assert!(sent >= 10, "{sent} advertisements");

    // Somebody cleans up: the next line of each says how many are missing.
    let inside = format!("/proc/{}/root{disk}", host.worker());
    fs::remove_file(format!("{inside}/filler")).unwrap();
    let received = std::thread::spawn(move || {
        let mut text = String::new();
        // Until the daemon has ended.
        reader.read_to_string(&mut text).map(|_| text)
    });
    assert!(host.alived(&["reload"]).status.success());
    host.wait("a line on the disk", |_| {
        fs::read_to_string(format!("{inside}/all_vrrp.log")).unwrap_or_default().contains("Reloaded")
    });
    let mut of_supervisor = fs::File::open(format!("{inside}/all.log")).unwrap();
    // The file is written before the system log: that has lost what came before the last line in the file.
    stalled.set_nonblocking(true).unwrap();
    let mut counted = false;
    let mut read_system_log = move || {
        let mut buffer = [0; 4096];
        while let Ok(length) = stalled.recv(&mut buffer) {
            counted |= String::from_utf8_lossy(&buffer[..length]).contains("system log did not take them: ");
        }
        counted
    };
    read_system_log();
    assert!(host.alived(&["reload"]).status.success());
    host.wait("a line in the system log", |_| read_system_log());
    host.signal(libc::SIGTERM);
    assert!(child.wait().unwrap().success());
    assert!(!host.holds(ADDRESS));
    assert!(received.join().unwrap().unwrap().contains("because nobody read them: "));
    let mut text = String::new();
    of_supervisor.read_to_string(&mut text).unwrap();
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "no half lines: {text}");
    assert!(text.contains("because they could not be written to the log file: "), "{text}");
}
