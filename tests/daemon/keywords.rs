//! Keywords that say how the daemon's processes run and how it reads its configuration again.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use alived::sys::signals::Signal;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::host::{Host, instance};
use crate::skip;

const ADDRESS: &str = "192.0.2.50/24";

fn stop(host: &mut Host) {
    host.signal(libc::SIGTERM);
    assert_eq!(host.wait_for_end().code(), Some(0), "{}", host.log());
}

/// A router, and these lines in `global_defs`.
fn with_global(lines: &str) -> String {
    format!("global_defs {{\n{lines}\n}}\n{}", instance("VI_1", 51, 100, ADDRESS))
}

/// A line of a file of `/proc` of the worker.
fn proc_line(host: &Host, file: &str, start: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{}/{file}", host.worker())).unwrap();
    text.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned()
}

#[test]
fn processes_are_named_and_limited_as_they_are_told() {
    let Some(mut host) = Host::new() else { return };
    host.configure(&with_global(
        "process_name ka-parent\n vrrp_process_name ka-vrrp\n vrrp_priority 7\n vrrp_cpu_affinity 0\n \
         vrrp_rlimit_rttime 123456\n router_id me",
    ));
    host.start(&["--realtime=off"]);
    host.wait_for_lines("Entering MASTER STATE", 1);
    let comm = |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert_eq!((comm(host.supervisor()), comm(host.worker())), ("ka-parent\n".into(), "ka-vrrp\n".into()));
    let stat = fs::read_to_string(format!("/proc/{}/stat", host.worker())).unwrap();
    let nice = stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap();
    assert_eq!(nice, "7", "{stat}");
    assert_eq!(proc_line(&host, "status", "Cpus_allowed_list:"), "Cpus_allowed_list:\t0");
    let limit = proc_line(&host, "limits", "Max realtime timeout");
    assert_eq!(limit.split_whitespace().nth(3), Some("123456"), "{limit}");
    let mut status = Command::new(env!("CARGO_BIN_EXE_alived"));
    let output = status.args(["status", "-r"]).arg(host.path("vrrp.pid")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("router ID me\n"), "{text}");
    // The router's name may change, the processes may not.
    host.configure(&with_global("router_id other\n vrrp_priority 3"));
    host.signal(libc::SIGHUP);
    host.wait_for_lines("Reloaded", 1);
    host.wait_for_lines("vrrp_priority cannot change on a reload", 1);
    host.wait_for_lines("vrrp_cpu_affinity cannot change on a reload", 1);
    let output = status.output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("router ID other\n"));
    stop(&mut host);
}

/// Those of the worker of virtual servers, which runs without IPVS while there are none.
#[test]
fn the_process_of_checks_is_named_and_limited_as_it_is_told() {
    let Some(mut host) = Host::new() else { return };
    let configure = |host: &Host, lines: &str| host.configure(&format!("global_defs {{\n{lines}\n}}\n"));
    configure(
        &host,
        "checker_process_name ka-checker\n checker_priority 6\n checker_cpu_affinity 0\n checker_rlimit_rttime 234567\n \
         checker_rt_priority 3\n checker_no_swap",
    );
    host.start(&["-C"]);
    let worker = host.checker();
    let read = |file: &str| fs::read_to_string(format!("/proc/{worker}/{file}")).unwrap();
    let line = |file: &str, start: &str| {
        let text = read(file);
        text.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned()
    };
    assert_eq!(read("comm"), "ka-checker\n");
    assert_eq!(line("status", "Cpus_allowed_list:"), "Cpus_allowed_list:\t0");
    let limit = line("limits", "Max realtime timeout");
    assert_eq!(limit.split_whitespace().nth(3), Some("234567"), "{limit}");
    // Where this host allows it; else the log says so.
    let log = host.log();
    let stat = read("stat");
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let refused = |keyword: &str| {
        log.contains(&format!("{keyword} cannot be applied")) || log.contains("a limit forbids it")
    };
    assert_eq!(fields[16], "6", "{stat}");
    // The fields 40 and 41 of proc(5): priority, and 1 for SCHED_FIFO.
    if !refused("checker_rt_priority") {
        assert_eq!((fields[37], fields[38]), ("3", "1"), "{stat}");
    }
    if !refused("checker_no_swap") {
        let locked = line("status", "VmLck:");
        let kibibytes: u64 = locked.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(kibibytes > 1000, "{locked}");
    }
    configure(&host, "checker_priority 3");
    host.signal(libc::SIGHUP);
    host.wait_for_lines("Reloaded", 1);
    for keyword in ["checker_priority", "checker_cpu_affinity", "checker_rt_priority"] {
        host.wait_for_lines(&format!("{keyword} cannot change on a reload"), 1);
    }
    stop(&mut host);
    // Without a word of it, the process is an ordinary one.
    configure(&host, "router_id plain");
    host.start(&["-C"]);
    let stat = fs::read_to_string(format!("/proc/{}/stat", host.checker())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    assert_eq!(fields[38], "0", "{stat}");
    stop(&mut host);
}

#[test]
fn default_names_are_keepalived_s() {
    let Some(mut host) = Host::new() else { return };
    host.configure(&with_global("process_names"));
    host.start(&[]);
    let comm = |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    let names = (comm(host.supervisor()), comm(host.worker()));
    assert_eq!(names, ("keepalived\n".into(), "keepalived_vrrp\n".into()));
    stop(&mut host);
}

/// Which is created before the files are read and removed afterwards, whatever they are good for.
#[test]
fn the_reload_file_lasts_as_long_as_the_files_are_read() {
    let Some(mut host) = Host::new() else { return };
    let marker = host.path("reading");
    let configuration = with_global(&format!("reload_file {}", marker.display()));
    host.configure(&configuration);
    // At the start too, where whoever wrote the files has put it there.
    fs::write(&marker, "new files\n").unwrap();
    host.start(&[]);
    assert!(!marker.exists(), "{}", host.log());

    // It is empty before the configuration is opened, and is gone after that.
    fs::write(&marker, "new files\n").unwrap();
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK).unwrap();
    let what = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_OPEN | AddWatchFlags::IN_DELETE;
    inotify.add_watch(&host.path(""), what).unwrap();
    host.signal(libc::SIGHUP);
    host.wait_for_lines("Reloaded", 1);
    assert!(!marker.exists());
    let mut events = Vec::new();
    while let Ok(more) = inotify.read_events() {
        events.extend(more.into_iter().map(|event| (event.name.unwrap_or_default(), event.mask)));
    }
    let first = |name: &str, mask: AddWatchFlags| {
        let found = |(of, what): &(OsString, AddWatchFlags)| of == name && what.contains(mask);
        events.iter().position(found).unwrap_or_else(|| panic!("{name} {mask:?}: {events:?}"))
    };
    let opened = first("keepalived.conf", AddWatchFlags::IN_OPEN);
    assert!(first("reading", AddWatchFlags::IN_MODIFY) < opened, "{events:?}");
    assert!(first("reading", AddWatchFlags::IN_DELETE) > opened, "{events:?}");

    // A refused one ends it as well.
    fs::write(&marker, "new files\n").unwrap();
    host.configure("vrrp_instance {\n");
    host.signal(libc::SIGHUP);
    host.wait_for_lines("was not reloaded", 1);
    assert!(!marker.exists());

    // What others put in its place is left alone.
    let theirs = host.path("theirs");
    fs::write(&theirs, "untouched").unwrap();
    std::os::unix::fs::symlink(&theirs, &marker).unwrap();
    host.configure(&configuration);
    host.signal(libc::SIGHUP);
    host.wait_for_lines("Reloaded", 2);
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "untouched");
    stop(&mut host);
}

/// A time of the clock in this many seconds, in UTC.
fn in_seconds(seconds: u64) -> String {
    let at = SystemTime::now() + Duration::from_secs(seconds);
    let output = Command::new("date")
        .args(["-u", "+%Y-%m-%d %H:%M:%SZ", "-d"])
        .arg(format!("@{}", at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_reload_can_be_fixed_for_a_time() {
    let Some(mut host) = Host::new() else { return };
    let file = host.path("when");
    let global = format!("reload_time_file {}", file.display());
    host.configure(&with_global(&global));
    host.start(&[]);
    fs::write(&file, "whenever\n").unwrap();
    host.wait_for_lines("`whenever` is no time", 1);
    fs::write(&file, "2020-01-01 00:00:00\n").unwrap();
    host.wait_for_lines("is over: no reload is due", 1);
    fs::write(&file, in_seconds(3600)).unwrap();
    host.wait_for_lines("a reload is due at", 1);
    fs::remove_file(&file).unwrap();
    host.wait_for_lines("is cancelled", 1);
    assert!(!host.log().contains("Reloading"), "{}", host.log());
    let due = SystemTime::now() + Duration::from_secs(2);
    fs::write(&file, in_seconds(3)).unwrap();
    host.wait_for_lines("Reloaded", 1);
    assert!(SystemTime::now() >= due, "not early: {}", host.log());
    assert!(!file.exists(), "it is done");

    // Kept for the next day.
    host.configure(&with_global(&format!("{global}\n reload_repeat")));
    host.signal(libc::SIGHUP);
    host.wait_for_lines("Reloaded", 2);
    fs::write(&file, in_seconds(3).split_once(' ').unwrap().1).unwrap();
    host.wait_for_lines("Reloaded", 3);
    assert!(file.exists());
    stop(&mut host);
}

#[test]
fn each_reload_is_kept_for_later_where_that_is_asked_for() {
    let Some(mut host) = Host::new() else { return };
    let folder = host.path("kept");
    let global = format!("config_save_dir {}\n router_id one", folder.display());
    host.configure(&with_global(&global));
    host.start(&[]);
    let worker = host.worker();
    let file = |name: &str| folder.join(name);
    host.wait("the first configuration", |_| file(&format!("keepalived.conf.{worker}.0")).exists());
    host.configure(&with_global(&global.replace("one", "two")));
    host.signal(libc::SIGHUP);
    host.wait("the state after the reload", |_| file(&format!("keepalived_vrrp.{worker}.1.post")).exists());
    let read = |name: String| fs::read_to_string(file(&name)).unwrap();
    let (before, after) =
        (read(format!("keepalived_vrrp.{worker}.1.pre")), read(format!("keepalived_vrrp.{worker}.1.post")));
    assert!(before.contains("Router ID = one") && after.contains("Router ID = two"), "{before}\n{after}");
    assert!(read(format!("keepalived.conf.{worker}.0")).contains("router_id one"));
    assert!(read(format!("keepalived.conf.{worker}.1")).contains("router_id two"));
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&folder).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    stop(&mut host);
}

#[test]
fn a_refused_reload_is_explained_in_the_file_that_is_named() {
    let Some(mut host) = Host::new() else { return };
    let file = host.path("why");
    let global = format!("reload_check_config {}", file.display());
    host.configure(&with_global(&global));
    host.start(&[]);
    host.configure(&with_global(&format!("{global}\n nonsense 3")));
    host.signal(libc::SIGHUP);
    host.wait_for_lines("was not reloaded", 1);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("nonsense"), "{text}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    stop(&mut host);
}

/// Of the sockets of the worker, each with its protocol: the room for what waits to be read.
fn receive_queues(host: &Host, family: &str) -> Vec<u64> {
    let mut command = Command::new("ss");
    command.args(["-H", "-n", "-a", "-m", "-p", family]);
    host.namespace.contain(&mut command);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let own = format!("pid={},", host.worker());
    let lines: Vec<&str> = text.lines().collect();
    let queue = |(index, line): (usize, &&str)| -> Option<u64> {
        if !line.contains(&own) {
            return None;
        }
        // The memory is in the same line or the next one.
        let memory = [Some(*line), lines.get(index + 1).copied()];
        let memory =
            memory.into_iter().flatten().find_map(|line| line.split_once("skmem:(").map(|(_, rest)| rest));
        memory?.split(',').find_map(|word| word.strip_prefix("rb")).and_then(|number| number.parse().ok())
    };
    lines.iter().enumerate().filter_map(queue).collect()
}

#[test]
fn receive_queues_are_as_large_as_they_are_told_at_least() {
    let test = "receive_queues_are_as_large_as_they_are_told_at_least";
    if Command::new("ss").arg("-V").output().is_err() {
        return skip::skip(test, "there is no ss; install iproute2");
    }
    let Some(mut host) = Host::new() else { return };
    // The kernel doubles what it is asked for.
    for (lines, of_instance, raw, netlink) in [
        ("router_id x", "", 8 << 20, 64 << 20),
        ("vrrp_rx_bufs_policy 1000\n vrrp_netlink_monitor_rcv_bufs 1000", "", 8 << 20, 64 << 20),
        (
            "vrrp_rx_bufs_policy 6000000\n vrrp_netlink_monitor_rcv_bufs 40000000\n vrrp_netlink_cmd_rcv_bufs 45000000",
            "",
            12_000_000,
            90_000_000,
        ),
        ("router_id x", "kernel_rx_buf_size 7000000", 14_000_000, 64 << 20),
    ] {
        let text =
            with_global(lines).replace("    virtual_ip", &format!("    {of_instance}\n    virtual_ip"));
        host.configure(&text);
        host.start(&[]);
        host.wait_for_lines("Startup complete", 1);
        let queues = receive_queues(&host, "-w");
        if host.log().contains("no right") || queues.is_empty() {
            return skip::skip(test, "ss does not tell of sockets");
        }
        assert!(queues.contains(&raw), "{lines}: {queues:?}");
        let queues = receive_queues(&host, "-fnetlink");
        if !queues.is_empty() {
            assert!(queues.iter().max() == Some(&netlink), "{lines}: {queues:?}");
        }
        stop(&mut host);
    }
}

#[test]
fn reports_of_local_groups_are_turned_off_where_that_is_asked_for() {
    let Some(mut host) = Host::new() else { return };
    let path = "/proc/sys/net/ipv4/igmp_link_local_mcast_reports";
    let read = |host: &Host| host.namespace.run(|| fs::read_to_string(path).unwrap()).unwrap();
    host.configure(&with_global("router_id x"));
    host.start(&[]);
    assert_eq!(read(&host).trim(), "1");
    stop(&mut host);
    host.configure(&with_global("disable_local_igmp"));
    host.start(&[]);
    assert_eq!(read(&host).trim(), "0");
    host.wait_for_lines("igmp_link_local_mcast_reports was 1: now 0 (disable_local_igmp)", 1);
    host.configure(&with_global("router_id x"));
    host.signal(libc::SIGHUP);
    host.wait_for_lines("disable_local_igmp cannot change on a reload", 1);
    stop(&mut host);
}

/// Starts the daemon where these files stand in for files of `/proc`.
fn mount_over(host: &mut Host, test: &str, mounts: &[(&Path, &str)]) -> bool {
    let mounts: Vec<String> =
        mounts.iter().map(|(file, over)| format!("mount --bind {} {over} && ", file.display())).collect();
    host.start_through(&format!(
        "exec unshare --mount sh -c '{} exec % \"$@\"' sh \"$@\"",
        mounts.concat().replace('\'', "")
    ));
    let output = host.command(&["-v"]).output().unwrap();
    if !output.status.success() {
        skip::skip(test, &String::from_utf8_lossy(&output.stderr));
    }
    output.status.success()
}

#[test]
fn core_files_have_the_name_that_is_asked_for() {
    let test = "core_files_have_the_name_that_is_asked_for";
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    let pattern = host.path("core_pattern");
    fs::write(&pattern, "|/usr/lib/handler %p\n").unwrap();
    if !mount_over(&mut host, test, &[(&pattern, "/proc/sys/kernel/core_pattern")]) {
        return;
    }
    for (flag, name) in [("-M", "core"), ("-M/tmp/core.%p", "/tmp/core.%p")] {
        host.start(&[flag]);
        assert_eq!(fs::read_to_string(&pattern).unwrap().trim(), name);
        let limit = proc_line(&host, "limits", "Max core file size");
        assert!(limit.contains("unlimited"), "{limit}");
        stop(&mut host);
        assert_eq!(fs::read_to_string(&pattern).unwrap().trim(), "|/usr/lib/handler %p");
    }
}

#[test]
fn signals_have_keepalived_s_names() {
    for (name, number) in [
        ("STOP", 15),
        ("RELOAD", 1),
        ("DATA", 10),
        ("STATS", 12),
        ("STATS_CLEAR", 63),
        ("JSON", 36),
        ("TDUMP", 64),
    ] {
        assert_eq!(Signal::named(name).map(Signal::number), Some(number), "{name}");
    }
}
