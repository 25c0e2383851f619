//! The daemon's processes: start, stop, exit statuses, pid files, signals, and what happens when one is killed.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::host::{Host, instance, runs};
use crate::skip;

const ADDRESS: &str = "192.0.2.50/24";

fn become_master(host: &mut Host) {
    if host.path("log").exists() {
        host.wait_for_lines("Entering MASTER STATE", 1);
    }
    host.wait("the address", |host| host.holds(ADDRESS));
}

fn assert_all_gone(host: &mut Host, pids: &[u32]) {
    let pids = pids.to_vec();
    host.wait("the processes to end", |host| !pids.iter().any(|pid| runs(*pid, host.path("").as_path())));
    assert!(!host.holds(ADDRESS), "the address is still there");
}

#[test]
fn starts_and_stops_in_the_foreground() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.start(&[]);
    become_master(&mut host);
    let (supervisor, worker) = (host.supervisor(), host.worker());
    assert_ne!(supervisor, worker);
    assert_eq!(fs::read_to_string(host.path("vrrp.pid")).unwrap(), format!("{worker}\n"));
    assert_eq!(fs::metadata(host.path("vrrp.pid")).unwrap().permissions().mode() & 0o777, 0o644);
    host.signal(libc::SIGTERM);
    let status = host.wait_for_end();
    assert_eq!(status.code(), Some(0), "{}", host.log());
    assert_all_gone(&mut host, &[supervisor, worker]);
    assert!(!host.path("keepalived.pid").exists() && !host.path("vrrp.pid").exists());
    let log = host.log();
    for words in
        ["(VI_1) Entering BACKUP STATE (init)", "(VI_1) Entering MASTER STATE", "Stopping", "Stopped"]
    {
        assert!(log.contains(words), "'{words}' is missing:\n{log}");
    }
}

#[test]
fn the_first_process_of_a_background_start_ends_when_the_daemon_serves() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    let output = host.run(&[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty() && output.stdout.is_empty(), "{output:?}");
    let (supervisor, worker) = (host.supervisor(), host.worker());
    assert!(runs(supervisor, &host.path("")) && runs(worker, &host.path("")));

    let second = host.run(&[]);
    assert_eq!(second.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&second.stderr).contains("daemon is already running"), "{second:?}");
    assert_eq!((host.supervisor(), host.worker()), (supervisor, worker));

    become_master(&mut host);
    host.signal(libc::SIGTERM);
    assert_all_gone(&mut host, &[supervisor, worker]);
    host.wait("the pid files to go", |host| !host.path("keepalived.pid").exists());
}

#[test]
fn the_folder_of_a_pid_file_is_made_and_goes_with_it() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    let path = host.path("run/keepalived/vrrp.pid");
    host.start(&["-r", path.to_str().unwrap()]);
    become_master(&mut host);
    for folder in ["run", "run/keepalived"] {
        let mode = fs::metadata(host.path(folder)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755, "{folder}");
    }
    host.signal(libc::SIGTERM);
    assert_eq!(host.wait_for_end().code(), Some(0));
    assert!(!host.path("run/keepalived").exists());
}

#[test]
fn a_bad_configuration_is_explained_and_refused() {
    let Some(host) = Host::new() else { return };
    host.configure("vrrp_instance VI_1 {\n    interface lan0\n    virtual_router_id 300\n}\n");
    for flags in [&[][..], &["-n"]] {
        let output = host.run(flags);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_ne!(output.status.code(), Some(0), "{text}");
        assert!(text.contains("keepalived.conf") && text.contains("300"), "{text}");
        assert!(!host.path("keepalived.pid").exists());
    }
}

#[test]
fn what_stands_in_the_way_of_a_pid_file_is_named() {
    let Some(host) = Host::with_router(ADDRESS) else { return };
    let pid_file = host.path("keepalived.pid");
    let refused = |words: &str| {
        let output = host.run(&[]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(words) && text.contains("choose another with -"), "{text}");
    };
    fs::create_dir(&pid_file).unwrap();
    refused("it is a folder; remove it");
    fs::remove_dir(&pid_file).unwrap();
    std::os::unix::fs::symlink(host.path("elsewhere"), &pid_file).unwrap();
    refused("it is a symbolic link, which is not followed");
    assert!(!host.path("elsewhere").exists());
    fs::remove_file(&pid_file).unwrap();
    assert!(Command::new("mkfifo").arg(&pid_file).status().unwrap().success());
    refused("there is a FIFO, socket or device");
    fs::remove_file(&pid_file).unwrap();
    host.write("elsewhere", "untouched");
    fs::hard_link(host.path("elsewhere"), &pid_file).unwrap();
    refused("hard links");
    assert_eq!(fs::read_to_string(host.path("elsewhere")).unwrap(), "untouched");
}

#[test]
fn reloads_during_the_start_and_the_election_change_nothing() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    let log = fs::File::create(host.path("log")).unwrap();
    let mut child = host.command(&["-n", "-l"]).stderr(log).spawn().unwrap();
    host.wait("the pid file", |host| host.path("keepalived.pid").exists());
    while !host.log().contains("Entering MASTER STATE") {
        alived::sys::process::signal(child.id(), libc::SIGHUP);
        assert!(child.try_wait().unwrap().is_none(), "{}", host.log());
        std::thread::sleep(Duration::from_millis(2));
    }
    become_master(&mut host);
    let reloads = host.log().matches("Reloaded").count();
    host.signal(libc::SIGHUP);
    host.wait_for_lines("Reloaded", reloads + 1);
    for state in ["BACKUP", "MASTER"] {
        assert_eq!(host.log().matches(&format!("(VI_1) Entering {state}")).count(), 1, "{}", host.log());
    }
    host.signal(libc::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_right_to_change_addresses_is_needed_at_the_start() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.start_through("exec setpriv --bounding-set=-net_admin --inh-caps=-net_admin % \"$@\"");
    for flags in [&[][..], &["-n", "-l"]] {
        let output = host.command(flags).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "{text}");
        assert!(text.contains("CAP_NET_ADMIN"), "{text}");
    }
}

#[test]
fn a_missing_privilege_is_named() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.copy_program();
    host.start_through("exec setpriv --reuid=65534 --regid=65534 --clear-groups % \"$@\"");
    let output = host.command(&["-v"]).output().unwrap();
    if !output.status.success() {
        return skip::skip("a_missing_privilege_is_named", &String::from_utf8_lossy(&output.stderr));
    }
    let test = host.command(&["-t"]).output().unwrap();
    assert_eq!(test.status.code(), Some(0), "{test:?}");
    for flags in [&[][..], &["-n"]] {
        let output = host.command(flags).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "{text}");
        assert!(text.contains("CAP_NET_RAW"), "{text}");
        assert!(!host.path("keepalived.pid").exists());
    }
}

#[test]
fn a_killed_worker_is_replaced_and_its_address_adopted() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.start(&[]);
    become_master(&mut host);
    let (supervisor, worker) = (host.supervisor(), host.worker());
    alived::sys::process::signal(worker, libc::SIGKILL);
    host.wait_for_lines("Respawning", 1);
    let mut missing = false;
    host.wait("the next worker to be master", |host| {
        missing |= !host.holds(ADDRESS);
        host.log().matches("Entering MASTER STATE").count() == 2
    });
    assert!(!missing, "the address was gone for a while:\n{}", host.log());
    assert!(host.log().contains("adopting"), "{}", host.log());
    assert_ne!(host.worker(), worker);
    assert_eq!(host.supervisor(), supervisor);
}

#[test]
fn a_stop_between_two_workers_leaves_no_address_behind() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.start(&[]);
    become_master(&mut host);
    // The second that dies soon is replaced after a pause.
    for count in 1..=2 {
        alived::sys::process::signal(host.worker(), libc::SIGKILL);
        host.wait_for_lines("Respawning", count);
        if count == 1 {
            host.wait_for_lines("Entering MASTER STATE", 2);
        }
    }
    host.signal(libc::SIGTERM);
    assert_eq!(host.wait_for_end().code(), Some(0), "{}", host.log());
    assert!(!host.holds(ADDRESS), "{}", host.log());
}

#[test]
fn a_start_waits_for_the_end_of_a_worker_whose_supervisor_was_killed() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.start(&[]);
    become_master(&mut host);
    let (supervisor, worker) = (host.supervisor(), host.worker());
    // It cannot end until it goes on.
    alived::sys::process::signal(worker, libc::SIGSTOP);
    alived::sys::process::signal(supervisor, libc::SIGKILL);
    host.wait_for_end();
    let refused = host.run(&["-n", "-l"]);
    assert_eq!(refused.status.code(), Some(1), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("worker without its supervisor"));
    alived::sys::process::signal(worker, libc::SIGCONT);
    host.start(&[]);
    assert_ne!(host.supervisor(), supervisor);
}

#[test]
fn a_reader_of_the_log_who_does_not_read_holds_nothing_up() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    // A pipe holds 64 KiB: not one line fits any more.
    writer.write_all(&[b'.'; 65_536]).unwrap();
    let mut child = host.command(&["-n", "-l"]).stderr(writer).spawn().unwrap();
    host.wait("the address", |host| host.holds(ADDRESS));
    let pids = [host.supervisor(), host.worker()];
    // Two pages read: a line fits again, and says first what is missing.
    reader.read_exact(&mut [0; 8_192]).unwrap();
    host.signal(libc::SIGHUP);
    host.signal(libc::SIGTERM);
    host.wait("the daemon to end", |_| child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_all_gone(&mut host, &pids);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(text.contains("log lines lost before this, because nobody read them: "), "{text}");
}

#[test]
fn without_respawn_the_supervisor_tidies_up_after_a_killed_worker() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.start(&["-R"]);
    become_master(&mut host);
    let pids = [host.supervisor(), host.worker()];
    alived::sys::process::signal(pids[1], libc::SIGKILL);
    let status = host.wait_for_end();
    assert_eq!(status.code(), Some(1), "{}", host.log());
    assert_all_gone(&mut host, &pids);
    assert!(!host.path("vrrp.pid").exists());
}

#[test]
fn a_worker_that_does_not_stop_is_killed_and_tidied_up_after() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.configure(&format!("child_wait_time 1\n{}", instance("VI_1", 51, 100, ADDRESS)));
    host.start(&[]);
    become_master(&mut host);
    let pids = [host.supervisor(), host.worker()];
    alived::sys::process::signal(pids[1], libc::SIGSTOP);
    host.signal(libc::SIGTERM);
    let status = host.wait_for_end();
    assert_eq!(status.code(), Some(0), "{}", host.log());
    assert_all_gone(&mut host, &pids);
}

#[test]
fn the_worker_stops_in_order_when_its_supervisor_is_killed() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.start(&[]);
    become_master(&mut host);
    let pids = [host.supervisor(), host.worker()];
    alived::sys::process::signal(pids[0], libc::SIGKILL);
    host.wait_for_end();
    assert_all_gone(&mut host, &pids);
    assert!(host.log().contains("Stopping"), "{}", host.log());
    // The pid files are left behind, but nobody holds their lock.
    host.start(&[]);
    become_master(&mut host);
}

#[test]
fn leaves_its_addresses_when_told_to() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.start(&["-V"]);
    become_master(&mut host);
    host.signal(libc::SIGTERM);
    assert_eq!(host.wait_for_end().code(), Some(0));
    assert!(host.holds(ADDRESS));
}

#[test]
fn works_under_the_name_of_keepalived() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.call_it("keepalived");
    let version = host.run(&["-v"]);
    assert!(version.stdout.is_empty() && !version.stderr.is_empty(), "{version:?}");
    let output = host.run(&[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    become_master(&mut host);
    let pids = [host.supervisor(), host.worker()];
    host.signal(libc::SIGTERM);
    assert_all_gone(&mut host, &pids);
}

#[test]
fn statistics_and_state_are_written_on_a_signal() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.start(&[]);
    become_master(&mut host);
    host.signal(libc::SIGUSR2);
    host.wait_for_lines("keepalived.stats", 1);
    let stats = fs::read_to_string(host.path("keepalived.stats")).unwrap();
    assert!(
        stats.starts_with("VRRP Instance: VI_1\n  Advertisements:\n    Received: 0\n    Sent: "),
        "{stats}"
    );
    assert!(stats.contains("  Became master: 1\n  Released master: 0\n"), "{stats}");
    host.signal(libc::SIGUSR1);
    host.wait_for_lines("keepalived.data", 1);
    let data = fs::read_to_string(host.path("keepalived.data")).unwrap();
    assert!(data.contains("State = MASTER") && data.contains(ADDRESS), "{data}");
    host.signal(alived::sys::signals::Signal::Json.number());
    host.wait_for_lines("keepalived.json", 1);
    let json = fs::read_to_string(host.path("keepalived.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["data"]["state"], 2);
    assert_eq!(json[0]["data"]["vips"][0], "192.0.2.50/24 dev lan0 scope global set");
    assert_eq!(fs::metadata(host.path("keepalived.data")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn dumps_replace_what_others_put_in_their_place() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.start(&[]);
    become_master(&mut host);
    let json = alived::sys::signals::Signal::Json.number();
    let dumps =
        [("keepalived.data", libc::SIGUSR1), ("keepalived.stats", libc::SIGUSR2), ("keepalived.json", json)];
    host.write("theirs", "untouched");
    let mut written = 0;
    for (name, signal) in dumps {
        let path = host.path(name);
        for place in ["fifo", "hard link", "symbolic link"] {
            let _ = fs::remove_file(&path);
            match place {
                "fifo" => assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
                "hard link" => fs::hard_link(host.path("theirs"), &path).unwrap(),
                _ => std::os::unix::fs::symlink(host.path("theirs"), &path).unwrap(),
            }
            host.signal(signal);
            written += 1;
            host.wait_for_lines("wrote ", written);
            let metadata = fs::symlink_metadata(&path).unwrap();
            assert!(metadata.is_file() && metadata.len() > 0, "{place} at {name}");
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{place} at {name}");
            assert_eq!(fs::read_to_string(host.path("theirs")).unwrap(), "untouched", "{place} at {name}");
        }
    }
}

#[test]
fn signal_numbers_are_printed() {
    let number = |name: &str| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_alived")).arg(format!("--signum={name}")).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(number("RELOAD"), (Some(0), "1\n".to_owned()));
    assert_eq!(number("STATS_CLEAR"), (Some(0), "63\n".to_owned()));
    assert_eq!(number("SWITCHOVER"), (Some(0), "37\n".to_owned()));
    assert_eq!(number("NONSENSE"), (Some(1), String::new()));
}

/// The privileges that a thread uses, by name.
fn capabilities(status: &Path) -> Vec<String> {
    let text = fs::read_to_string(status).unwrap();
    let line = text.lines().find(|line| line.starts_with("CapEff:")).unwrap();
    let bits = u64::from_str_radix(line.rsplit('\t').next().unwrap(), 16).unwrap();
    let set = |capability: &caps::Capability| bits & capability.bitmask() != 0;
    let mut names: Vec<String> = caps::all().iter().filter(|c| set(c)).map(ToString::to_string).collect();
    names.sort();
    names
}

#[test]
fn each_process_keeps_the_privileges_that_it_needs() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.write("alived.toml", "[scripts]\nprepare = true\n");
    host.start(&[]);
    become_master(&mut host);
    host.wait("the runner", |host| host.runner().is_some());
    let held = capabilities("/proc/self/status".as_ref());
    let of = |names: &[&str]| -> Vec<String> {
        let names = names.iter().map(|name| format!("CAP_{name}"));
        names.filter(|name| held.contains(name)).collect()
    };
    let status = |pid: u32| std::path::PathBuf::from(format!("/proc/{pid}/status"));
    assert_eq!(capabilities(&status(host.supervisor())), held);
    let ours = host.runner().unwrap();
    host.wait("the runner to be one", |_| capabilities(&status(ours)) == of(&["KILL", "SETGID", "SETUID"]));
    let expected = of(&["CHOWN", "DAC_OVERRIDE", "IPC_LOCK", "NET_ADMIN", "NET_RAW", "SYS_NICE"]);
    let threads: Vec<_> = fs::read_dir(format!("/proc/{}/task", host.worker())).unwrap().collect();
    assert!(threads.len() > 3);
    for thread in threads {
        assert_eq!(capabilities(&thread.unwrap().path().join("status")), expected);
    }
    let text = fs::read_to_string(status(host.worker())).unwrap();
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit('\t').next().unwrap().to_owned()
    };
    assert_eq!(value("CapBnd:"), value("CapPrm:"), "nothing that it executes has more");
}

/// Not the supervisor, nor the runner, whose scripts may do what their users may.
#[test]
fn the_worker_gives_up_what_it_never_does() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    // A container may have a filter of its own.
    let filtered = |process: &str| {
        let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let value = |name: &str| -> u32 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map_or(0, |value| value.trim().parse().unwrap())
        };
        ["NoNewPrivs:", "Seccomp:", "Seccomp_filters:"].map(value)
    };
    let outside = filtered("self");
    let inside = [1, 2, outside[2] + 1];
    let words = "given up for ever: executing programs, becoming another user";
    for (settings, of_worker) in [("", inside), ("sandbox = false\n", outside)] {
        host.write("alived.toml", &format!("{settings}[scripts]\nprepare = true\n"));
        host.start(&[]);
        host.wait("the address", |host| host.holds(ADDRESS));
        host.wait("the runner", |host| host.runner().is_some());
        let pids = [host.supervisor(), host.worker(), host.runner().unwrap()];
        let all = pids.map(|pid| filtered(&pid.to_string()));
        assert_eq!(all, [outside, of_worker, outside], "{settings}");
        assert_eq!(host.log().matches(words).count(), 1, "{}", host.log());
        host.signal(libc::SIGTERM);
        assert_eq!(host.wait_for_end().code(), Some(0), "{}", host.log());
    }
}

/// In the folders of data, and in those of the files that the configuration named at the start. What a reload names
/// elsewhere is said, and comes with a restart.
#[test]
fn the_worker_writes_only_where_its_configuration_said() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    let Ok(folders) =
        ["one", "two"].iter().map(|_| tempfile::tempdir_in("/srv")).collect::<Result<Vec<_>, _>>()
    else {
        return skip::skip(
            "the_worker_writes_only_where_its_configuration_said",
            "/srv cannot be written to",
        );
    };
    let fifos: Vec<_> = folders.iter().map(|folder| folder.path().join("fifo")).collect();
    let configuration = |fifo: &Path| {
        let router = instance("VI_1", 51, 100, ADDRESS);
        format!("global_defs {{\n    vrrp_notify_fifo {}\n}}\n{router}", fifo.display())
    };
    host.configure(&configuration(&fifos[0]));
    host.start(&[]);
    host.wait("the address", |host| host.holds(ADDRESS));
    if host.log().contains("does not keep processes to folders") {
        return skip::skip(
            "the_worker_writes_only_where_its_configuration_said",
            "the kernel has no landlock",
        );
    }
    host.wait("the FIFO", |_| fifos[0].exists());
    host.configure(&configuration(&fifos[1]));
    host.signal(libc::SIGHUP);
    host.wait_for_lines("Reloaded", 1);
    host.wait_for_lines(&format!("{} cannot be written before a restart", fifos[1].display()), 1);
    assert!(!fifos[1].exists() && host.holds(ADDRESS), "{}", host.log());
    // It serves on, and after a restart the FIFO is there.
    host.signal(libc::SIGTERM);
    assert_eq!(host.wait_for_end().code(), Some(0), "{}", host.log());
    host.start(&[]);
    host.wait("the other FIFO", |_| fifos[1].exists());
    host.signal(libc::SIGTERM);
    assert_eq!(host.wait_for_end().code(), Some(0), "{}", host.log());
}

#[test]
fn a_killed_runner_is_replaced_and_no_router_notices() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.write("alived.toml", "[scripts]\nprepare = true\n");
    // Not even without respawn of workers.
    host.start(&["-R"]);
    become_master(&mut host);
    let worker = host.worker();
    host.wait_for_lines("Entering MASTER STATE", 1);
    let transitions = host.log().matches("Entering").count();
    let mut before = None;
    for _ in 0..2 {
        host.wait("a runner", |host| host.runner().is_some_and(|next| Some(next) != before));
        before = host.runner();
        alived::sys::process::signal(before.unwrap(), libc::SIGKILL);
    }
    host.wait_for_lines("Runner child process(", 2);
    host.signal(libc::SIGUSR1);
    host.wait_for_lines("wrote", 1);
    assert_eq!(host.worker(), worker);
    assert_eq!(host.log().matches("Entering").count(), transitions, "{}", host.log());
    host.signal(libc::SIGTERM);
    assert_eq!(host.wait_for_end().code(), Some(0), "{}", host.log());
}
