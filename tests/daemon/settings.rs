//! What settings and flags make of the daemon: alived.toml, scheduling, locked memory, dumps.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use alived::sys::process::signal;

use crate::host::{Host, instance, prefix};
use crate::skip;

const ADDRESS: &str = "192.0.2.50/24";

/// The thread that sends advertisements.
const VRRP: &str = "alived-vrrp";

fn stop(host: &mut Host) {
    host.signal(libc::SIGTERM);
    assert_eq!(host.wait_for_end().code(), Some(0), "{}", host.log());
}

/// Each thread of the worker with its scheduling policy and real-time priority (proc(5)).
fn scheduling(host: &Host) -> BTreeMap<String, (i32, u8)> {
    let mut threads = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{}/task", host.worker())).unwrap() {
        let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
        let (name, fields) = stat.split_once('(').unwrap().1.rsplit_once(") ").unwrap();
        let fields: Vec<&str> = fields.split(' ').collect();
        threads.insert(name.to_owned(), (fields[38].parse().unwrap(), fields[37].parse().unwrap()));
    }
    assert!(threads.len() >= 4, "{threads:?}");
    threads
}

/// Only the vrrp thread is a real-time thread, if any is. `None`, and said so, where none may be.
fn vrrp_priority(host: &mut Host, test: &str) -> Option<u8> {
    if host.log().contains("no real-time scheduling") {
        skip::skip(test, "no right to real-time scheduling, run as root");
        return None;
    }
    let others = |threads: &BTreeMap<String, (i32, u8)>| {
        threads
            .iter()
            .filter(|(name, _)| *name != VRRP)
            .all(|(_, scheduling)| *scheduling == (libc::SCHED_OTHER, 0))
    };
    // The kernel thread borrows it while an election waits.
    host.wait("ordinary scheduling of the other threads", |host| others(&scheduling(host)));
    let (policy, priority) = scheduling(host)[VRRP];
    assert_eq!(policy, if priority == 0 { libc::SCHED_OTHER } else { libc::SCHED_FIFO });
    Some(priority)
}

#[test]
fn flags_win_over_alived_toml_and_that_over_keepalived_conf() {
    let test = "flags_win_over_alived_toml_and_that_over_keepalived_conf";
    let Some(mut host) = Host::new() else { return };
    let router = instance("VI_1", 51, 100, ADDRESS);
    let keyword = format!("global_defs {{\n    vrrp_rt_priority 22\n}}\n{router}");
    for (configuration, settings, flags, expected) in [
        (&router, None, &[][..], 40),
        (&keyword, None, &[], 22),
        (&keyword, Some("realtime = 33\n"), &[], 33),
        (&keyword, Some("realtime = \"off\"\n"), &[], 0),
        (&keyword, Some("realtime = 33\n"), &["--realtime=44"], 44),
        (&keyword, Some("realtime = 33\n"), &["--realtime", "off"], 0),
    ] {
        host.configure(configuration);
        let _ = fs::remove_file(host.path("alived.toml"));
        if let Some(text) = settings {
            host.write("alived.toml", text);
        }
        host.start(flags);
        let Some(priority) = vrrp_priority(&mut host, test) else { return };
        assert_eq!(priority, expected, "{settings:?} {flags:?}");
        stop(&mut host);
    }
}

#[test]
fn scheduling_changes_at_a_reload() {
    let test = "scheduling_changes_at_a_reload";
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.write("own.toml", "realtime = 33\n");
    let settings = host.path("own.toml");
    host.start(&["--settings", settings.to_str().unwrap()]);
    host.wait_for_lines("Entering MASTER STATE", 1);
    let Some(priority) = vrrp_priority(&mut host, test) else { return };
    assert_eq!(priority, 33);
    assert!(host.log().contains("own.toml\n"), "the settings are named: {}", host.log());

    host.write("own.toml", "realtime = \"off\"\n");
    host.signal(libc::SIGHUP);
    host.wait_for_lines("has ordinary scheduling now", 1);
    assert_eq!(vrrp_priority(&mut host, test), Some(0));

    host.write("own.toml", "realtime = 35\n");
    host.signal(libc::SIGHUP);
    host.wait_for_lines("has real-time (priority 35) scheduling now", 1);
    assert_eq!(vrrp_priority(&mut host, test), Some(35));

    // What is wrong leaves all as it is.
    host.write("own.toml", "# mine\nrealtme = 7\n");
    host.configure(&instance("VI_1", 51, 100, "192.0.2.60/24"));
    host.signal(libc::SIGHUP);
    host.wait_for_lines("was not reloaded", 1);
    assert!(host.log().contains(
        "own.toml:2:1: error[unknown-setting]: there is no setting `realtme`; did you mean `realtime`?"
    ));
    fs::remove_file(&settings).unwrap();
    host.signal(libc::SIGHUP);
    host.wait_for_lines("was not reloaded", 2);
    assert!(host.log().contains("own.toml` do not exist"), "{}", host.log());
    assert!(host.holds(ADDRESS) && !host.holds("192.0.2.60/24"));
    assert_eq!(vrrp_priority(&mut host, test), Some(35));
}

#[test]
fn late_timers_raise_the_priority_up_to_a_limit() {
    let test = "late_timers_raise_the_priority_up_to_a_limit";
    let Some(mut host) = Host::new() else { return };
    let global = "global_defs {\n    vrrp_rt_priority 20\n    max_auto_priority 22\n    \
                  min_auto_priority_delay 100000\n}\n";
    host.configure(&(global.to_owned() + &instance("VI_1", 51, 100, ADDRESS)));
    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", 1);
    let Some(priority) = vrrp_priority(&mut host, test) else { return };
    let mut raised = usize::from(priority - 20);
    while raised < 2 {
        // An advertisement was due each 0.1 s.
        signal(host.worker(), libc::SIGSTOP);
        std::thread::sleep(Duration::from_millis(400));
        signal(host.worker(), libc::SIGCONT);
        host.wait("a higher priority", |host| host.log().matches("(max_auto_priority 22)").count() > raised);
        raised = host.log().matches("(max_auto_priority 22)").count();
    }
    signal(host.worker(), libc::SIGSTOP);
    std::thread::sleep(Duration::from_millis(400));
    signal(host.worker(), libc::SIGCONT);
    let sent = host.log().len();
    host.signal(libc::SIGHUP);
    host.wait("an answer to the reload", |host| host.log().len() > sent);
    assert_eq!(vrrp_priority(&mut host, test), Some(22));
}

#[test]
fn addresses_do_not_take_others_along_where_that_is_asked_for() {
    let Some(mut host) = Host::new() else { return };
    let path = "ipv4/conf/lan0/promote_secondaries";
    let is = |host: &Host| {
        let read = || fs::read_to_string(format!("/proc/sys/net/{path}")).unwrap();
        host.namespace.run(read).unwrap().trim().to_owned()
    };
    for before in ["0", "1"] {
        host.namespace.set(path, before).unwrap();
        let text = instance("VI_1", 51, 100, ADDRESS);
        host.configure(
            &text.replace("    virtual_ipaddress", "    promote_secondaries\n    virtual_ipaddress"),
        );
        host.start(&[]);
        host.wait("the setting", |host| is(host) == "1");
        // Another worker in its place knows what it was before.
        let starts = host.log().matches("Startup complete").count();
        signal(host.worker(), libc::SIGKILL);
        host.wait_for_lines("Startup complete", starts + 1);
        stop(&mut host);
        assert_eq!(is(&host), before);
    }
}

#[test]
fn bad_settings_refuse_the_start_and_are_explained() {
    let Some(host) = Host::with_router(ADDRESS) else { return };
    host.write("alived.toml", "[limits]\nfile-byte = 7\n");
    let configuration = host.path("keepalived.conf").to_string_lossy().into_owned();
    for (arguments, status) in
        [(&["-n", "-f"][..], 2), (&["-f"], 2), (&["-t", "-f"], 4), (&["check"], 2), (&["print"], 2)]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_alived"));
        host.namespace.contain(&mut command);
        let output = command.args(arguments).arg(&configuration).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}");
        for words in ["alived.toml:2:1", "file-byte = 7", "did you mean `file-bytes`?"] {
            assert!(text.contains(words), "{arguments:?}: {words}: {text}");
        }
    }
    let output = host.run(&["--settings", "/nowhere/own.toml"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("`/nowhere/own.toml` do not exist"), "{text}");
    // Limits hold for the daemon and the tools alike.
    host.write("alived.toml", "limits.file-bytes = 7\n");
    for arguments in [&["-t", "-f"][..], &["check"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_alived")).args(arguments).arg(&configuration).output();
        let text = String::from_utf8_lossy(&output.unwrap().stderr).into_owned();
        assert!(
            text.contains("--limit file-bytes=NUMBER, or file-bytes = NUMBER under [limits] in alived.toml"),
            "{text}"
        );
    }
}

/// `-tFILE` adds to a file, as keepalived does, and touches nothing that others have put there.
#[test]
fn the_file_of_a_test_gets_what_is_wrong_and_nothing_else_does() {
    use std::os::unix::fs::{MetadataExt, symlink};
    let folder = alived::drill::Folder::create().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("k.conf"), "nonsense 3\n").unwrap();
    let test = |log: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_alived"));
        command.arg("-f").arg(path("k.conf")).arg(format!("--config-test={}", log.display()));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(5));
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (target, log) = (path("target"), path("log"));
    fs::write(&target, "untouched\n").unwrap();
    let places: [&dyn Fn(); 5] = [
        &|| {},
        &|| nix::unistd::mkfifo(&log, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap(),
        &|| symlink(&target, &log).unwrap(),
        &|| fs::hard_link(&target, &log).unwrap(),
        &|| {
            fs::write(&log, "theirs\n").unwrap();
            // Without the right to it, a file of ours.
            let _ = std::os::unix::fs::chown(&log, Some(65534), Some(65534));
            fs::set_permissions(&log, fs::Permissions::from_mode(0o666)).unwrap();
        },
    ];
    for (number, place) in places.iter().enumerate() {
        let _ = fs::remove_file(&log);
        place();
        assert_eq!(test(&log), (String::new(), String::new()), "{number}");
        test(&log);
        let text = fs::read_to_string(&log).unwrap();
        assert_eq!(text.matches("`nonsense`").count(), 2, "{number}: {text}");
        let written = fs::symlink_metadata(&log).unwrap();
        assert!(written.is_file() && written.nlink() == 1, "{number}");
        assert_eq!(
            (written.mode() & 0o777, written.uid()),
            (0o600, nix::unistd::geteuid().as_raw()),
            "{number}"
        );
        assert_eq!(fs::read_to_string(&target).unwrap(), "untouched\n", "{number}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "something is left lying about");
    // What no file can be put in the place of is written to, and what cannot be written to loses no word.
    assert!(test(Path::new("/dev/stdout")).0.contains("`nonsense`"));
    let (_, errors) = test(&path("none/log"));
    assert!(errors.contains("cannot write to") && errors.contains("`nonsense`"), "{errors}");
}

#[test]
fn a_reload_starts_no_router_with_the_flag_for_health_checks_only() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.start(&["-C"]);
    host.signal(libc::SIGHUP);
    host.wait_for_lines("Reloaded", 1);
    host.signal(libc::SIGUSR1);
    host.wait_for_lines("wrote", 1);
    let data = fs::read_to_string(host.path("keepalived_check.data")).unwrap();
    assert!(!data.contains("VI_1") && !host.holds(ADDRESS), "{data}");
    assert!(!host.path("vrrp.pid").exists());
    stop(&mut host);
}

#[test]
fn the_daemon_runs_in_the_network_namespace_that_is_named() {
    let test = "the_daemon_runs_in_the_network_namespace_that_is_named";
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    // The host's namespace is called blue, and the daemon is started in another one.
    host.start_through(
        "exec unshare --mount sh -c 'mount -t tmpfs none /run && mkdir /run/netns && touch /run/netns/blue \
         && mount --bind /proc/self/ns/net /run/netns/blue && exec unshare --net % \"$@\"' sh \"$@\"",
    );
    let output = host.command(&["-v"]).output().unwrap();
    if !output.status.success() {
        return skip::skip(test, &String::from_utf8_lossy(&output.stderr));
    }
    for (flags, status, words) in
        [(&["-s", "green"][..], 1, "namespace 'green'"), (&[], 2, "lan0 does not exist")]
    {
        let output = host.run(flags);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{text}");
        assert!(text.contains(words), "{text}");
    }
    host.start(&["-s", "blue"]);
    host.wait("the address", |host| host.holds(ADDRESS));
    stop(&mut host);
    assert!(!host.holds(ADDRESS));
    host.configure(&format!("net_namespace blue\n{}", instance("VI_1", 51, 100, ADDRESS)));
    host.start(&[]);
    host.wait("the address", |host| host.holds(ADDRESS));
    stop(&mut host);
}

#[test]
fn an_interrupt_stops_unless_it_is_to_be_ignored() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.start(&["--ignore-sigint"]);
    host.wait("the address", |host| host.holds(ADDRESS));
    for pid in [host.supervisor(), host.worker()] {
        signal(pid, libc::SIGINT);
    }
    host.signal(libc::SIGHUP);
    host.wait_for_lines("Reloaded", 1);
    assert!(!host.log().contains("Stopping"), "{}", host.log());
    stop(&mut host);
    host.start(&[]);
    host.wait("the address", |host| host.holds(ADDRESS));
    host.signal(libc::SIGINT);
    assert_eq!(host.wait_for_end().code(), Some(0), "{}", host.log());
    assert!(!host.holds(ADDRESS));
}

#[test]
fn changes_of_addresses_are_reported_when_asked_for() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.start(&["-a"]);
    host.wait_for_lines("Netlink reflector reports IP 192.0.2.50 added to lan0", 1);
    let lan = host.lan();
    host.socket.add_address(lan, prefix("198.51.100.7/24")).unwrap();
    host.wait_for_lines("Netlink reflector reports IP 198.51.100.7 added to lan0", 1);
    host.socket.remove_address(lan, prefix("198.51.100.7/24")).unwrap();
    host.wait_for_lines("Netlink reflector reports IP 198.51.100.7 removed from lan0", 1);
    stop(&mut host);
    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", 2);
    stop(&mut host);
    // Ours at its coming and going the first time; the second time nobody asked.
    assert_eq!(host.log().matches("reports IP 192.0.2.50").count(), 2, "{}", host.log());
}

#[test]
fn dumps_are_where_the_configuration_puts_them() {
    let Some(mut host) = Host::new() else { return };
    let folder = host.path("dumps");
    fs::create_dir(&folder).unwrap();
    host.configure(&format!(
        "instance blue\nglobal_defs {{\n    data_use_instance\n    json_version 2\n    state_dump_file {}/\n}}\n{}",
        folder.display(),
        instance("VI_1", 51, 100, ADDRESS)
    ));
    host.start(&["-d", "-u", "022"]);
    assert!(host.log().contains("virtual_router_id 51"), "-d: {}", host.log());
    host.signal(libc::SIGUSR1);
    host.wait_for_lines("wrote", 1);
    let data = fs::read_to_string(folder.join("keepalived.blue.data")).unwrap();
    assert!(data.contains("VRRP Instance = VI_1"), "{data}");
    let mode = fs::metadata(folder.join("keepalived.blue.data")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "the umask says who may read it");
    host.signal(alived::sys::signals::Signal::Json.number());
    host.wait_for_lines("wrote", 2);
    let json = fs::read_to_string(host.path("keepalived.json")).unwrap();
    assert!(
        json.starts_with("{\"vrrp\":[{\"data\":{\"iname\":\"VI_1\"") && json.ends_with("}]}\n"),
        "{json}"
    );
    fs::remove_dir_all(&folder).unwrap();
    host.signal(libc::SIGUSR1);
    host.wait_for_lines("cannot write", 1);
    stop(&mut host);
}

/// Kilobytes of the worker's memory that are locked.
fn locked_kb(host: &Host) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", host.worker())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn memory_is_locked_where_no_limit_stands_against_it() {
    let test = "memory_is_locked_where_no_limit_stands_against_it";
    // CAP_IPC_LOCK or CAP_SYS_RESOURCE.
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    if u64::from_str_radix(capabilities.trim(), 16).unwrap() & (1 << 14 | 1 << 24) == 0 {
        return skip::skip(test, "no right to lock memory without limit, run as root");
    }
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", 1);
    assert!(locked_kb(&host) > 0, "{}", host.log());
    stop(&mut host);
}

#[test]
fn memory_is_not_locked_where_a_limit_could_make_the_daemon_fail() {
    let test = "memory_is_not_locked_where_a_limit_could_make_the_daemon_fail";
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.start_through(
        "exec setpriv --bounding-set=-sys_resource,-ipc_lock --inh-caps=-all prlimit --memlock=8388608 % \"$@\"",
    );
    let output = host.command(&["-v"]).output().unwrap();
    if !output.status.success() {
        return skip::skip(test, &String::from_utf8_lossy(&output.stderr));
    }
    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", 1);
    host.wait_for_lines("memory is not locked, because the limit of 8192 KiB could make the daemon fail", 1);
    assert_eq!(locked_kb(&host), 0);
    stop(&mut host);
    // vrrp_no_swap asks for it all the same.
    host.configure(&format!("global_defs {{\n    vrrp_no_swap\n}}\n{}", instance("VI_1", 51, 100, ADDRESS)));
    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", 2);
    assert!(
        locked_kb(&host) > 0 || host.log().matches("memory is not locked").count() == 2,
        "{}",
        host.log()
    );
    stop(&mut host);
}
