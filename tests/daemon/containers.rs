//! In containers: as the first process, with few rights, over read-only settings, and after a predecessor that had no
//! time to tidy up.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use alived::sys::process::signal;

use crate::host::{self, Host, instance};
use crate::skip;

const ADDRESS: &str = "192.0.2.50/24";

fn stop(host: &mut Host) {
    host.signal(libc::SIGTERM);
    assert_eq!(host.wait_for_end().code(), Some(0), "{}", host.log());
}

/// Whether the program runs through what it is started through; said so where it does not.
fn can_start(host: &Host, test: &str) -> bool {
    let output = host.command(&["-v"]).output().unwrap();
    if !output.status.success() {
        skip::skip(test, &String::from_utf8_lossy(&output.stderr));
    }
    output.status.success()
}

/// The numbers of the processes whose command line names this host's configuration, each with its number in the
/// innermost namespace.
fn processes(host: &Host) -> Vec<(u32, u32)> {
    let file = host.path("keepalived.conf").to_string_lossy().into_owned();
    let number = |entry: fs::DirEntry| -> Option<(u32, u32)> {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let command = fs::read_to_string(entry.path().join("cmdline")).ok()?;
        if !command.contains(&file) {
            return None;
        }
        let status = fs::read_to_string(entry.path().join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        Some((pid, line.split_whitespace().last()?.parse().ok()?))
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(number).collect()
}

/// It reaps what scripts leave behind, stops on TERM, and nothing outlives it.
#[test]
fn runs_as_the_first_process() {
    let test = "runs_as_the_first_process";
    let Some(mut host) = Host::new() else { return };
    let script = host.path("orphan.sh");
    fs::write(&script, "#!/bin/sh\n(sleep 0.2 &)\nexit 0\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let tracked = format!(
        "vrrp_script chk {{\n script {}\n interval 0.1\n user root\n}}\n{}",
        script.display(),
        instance("VI_1", 51, 100, ADDRESS)
            .replace("    virtual_ip", "    track_script {\n chk\n }\n    virtual_ip")
    );
    host.configure(&tracked);
    host.start_through("exec unshare --pid --fork --kill-child --mount-proc % \"$@\"");
    if !can_start(&host, test) {
        return;
    }
    // Its pid files have the numbers of its own namespace: not to be believed here.
    let inside = host.path("inside.pid").to_string_lossy().into_owned();
    let worker = host.path("inside-vrrp.pid").to_string_lossy().into_owned();
    host.start(&["-p", &inside, "-r", &worker]);
    host.wait_for_lines("Entering MASTER STATE", 1);
    let first = processes(&host).into_iter().find(|(_, inner)| *inner == 1).unwrap().0;
    assert_eq!(fs::read_to_string(&inside).unwrap().trim(), "1");
    // Some dozens of orphans have ended by the time that the script has run so often.
    host.wait("many orphans", |_| newest_process(first) > 60);
    let zombies = zombies_below(first);
    assert!(zombies < 10, "{zombies} zombies");
    signal(first, libc::SIGTERM);
    assert_eq!(host.wait_for_end().code(), Some(0), "{}", host.log());
    assert!(!host.holds(ADDRESS) && processes(&host).is_empty(), "{}", host.log());
    assert!(!host.log().contains("died"), "{}", host.log());
}

/// The highest number that a process in the namespace of this one has had.
fn newest_process(pid: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{pid}/root/proc/loadavg")).unwrap_or_default();
    children.split_whitespace().last().and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// Processes of its namespace that have ended and that nobody has waited for.
fn zombies_below(pid: u32) -> usize {
    let folders = fs::read_dir(format!("/proc/{pid}/root/proc")).unwrap().flatten();
    let stats = folders.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    stats.filter(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))).count()
}

const READ_ONLY: &str = "exec unshare --mount sh -c 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro \
                         /proc/sys && exec % \"$@\"' sh \"$@\"";

#[test]
fn settings_that_are_read_only_are_named_where_they_matter() {
    let test = "settings_that_are_read_only_are_named_where_they_matter";
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    host.start_through(READ_ONLY);
    if !can_start(&host, test) {
        return;
    }
    host.start(&[]);
    host.wait("the address", |host| host.holds(ADDRESS));
    stop(&mut host);
    assert!(!host.log().contains("ead-only"), "nothing has to be changed: {}", host.log());

    // A virtual MAC can do without what cannot be changed, if the host is set up for it.
    let router = instance("VI_1", 51, 100, "192.0.2.50").replace("    version", "    use_vmac\n    version");
    host.configure(&format!("global_defs {{\n disable_local_igmp\n}}\n{router}"));
    host.start(&[]);
    host.wait("the address", |host| host.holds("192.0.2.50/32"));
    host.wait_for_lines("cannot set net.ipv4.igmp_link_local_mcast_reports to 0: Read-only", 1);
    host.wait_for_lines("cannot turn IPv6 off on interface vrrp.51: Read-only", 1);
    stop(&mut host);

    // Where it would not work, the router says so and is in FAULT.
    host.namespace.set("ipv4/conf/all/rp_filter", "1").unwrap();
    host.start(&[]);
    host.wait_for_lines("net.ipv4.conf.all.rp_filter is 1 and cannot be changed", 1);
    host.wait_for_lines("FAULT", 1);
    stop(&mut host);
}

#[test]
fn each_right_that_is_missing_is_named() {
    let test = "each_right_that_is_missing_is_named";
    let without = |capability: &str| {
        format!("exec setpriv --bounding-set=-{capability} --inh-caps=-{capability} % \"$@\"")
    };
    // Without these there is no router.
    for (capability, words) in
        [("net_admin", "add the missing CAP_NET_ADMIN"), ("net_raw", "add the missing CAP_NET_RAW")]
    {
        let Some(mut host) = Host::with_router(ADDRESS) else { return };
        host.start_through(&without(capability));
        if !can_start(&host, test) {
            return;
        }
        let output = host.run(&["-n", "-l"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "{text}");
        assert!(text.contains(words) && !text.contains(" and CAP"), "{text}");
    }
    // Without these something less good.
    let script = "vrrp_script chk {\n script /usr/bin/true\n interval 1\n user nobody\n}\n";
    let tracked = instance("VI_1", 51, 100, ADDRESS)
        .replace("    virtual_ip", "    track_script {\n chk\n }\n    virtual_ip");
    for (capability, words) in [
        ("sys_nice", "allow it with CAP_SYS_NICE"),
        ("ipc_lock", "CAP_IPC_LOCK"),
        ("setuid", "the daemon lacks CAP_SETUID"),
        ("setgid", "the daemon lacks CAP_SETGID"),
    ] {
        let Some(mut host) = Host::new() else { return };
        host.configure(&format!("{script}{tracked}"));
        let through = if capability == "ipc_lock" {
            "exec setpriv --bounding-set=-sys_resource,-ipc_lock --inh-caps=-all prlimit --memlock=8388608 % \"$@\"".to_owned()
        } else {
            without(capability)
        };
        host.start_through(&through);
        host.start(&[]);
        host.wait_for_lines(words, 1);
        stop(&mut host);
    }
}

/// A container that is started again finds the files of the one before, whose process numbers now belong to others.
#[test]
fn pid_files_of_an_earlier_life_are_no_hindrance() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    for text in ["1\n", &format!("{}\n", std::process::id()), "4194304\n", "", "nonsense"] {
        host.write("keepalived.pid", text);
        host.write("vrrp.pid", text);
        host.write("vrrp.sock", "");
        host.start(&[]);
        host.wait("the address", |host| host.holds(ADDRESS));
        assert_ne!(host.supervisor(), std::process::id());
        stop(&mut host);
        assert!(!host.path("keepalived.pid").exists() && !host.path("vrrp.pid").exists());
    }
}

/// All of them killed at once, as a container's processes are: the next one finds addresses, an interface, filters and
/// files, goes on with them, and leaves nothing at its end.
#[test]
fn what_killed_processes_leave_is_taken_over() {
    let Some(mut host) = Host::new() else { return };
    let vmac = instance("VI_2", 52, 100, "192.0.2.52")
        .replace("    version", "    use_vmac\n    no_accept\n    version");
    host.configure(&format!("{}{vmac}", instance("VI_1", 51, 100, ADDRESS)));
    let all = [ADDRESS, "192.0.2.52/32"];
    for round in 1..=3 {
        host.start(&[]);
        host.wait_for_lines("Entering MASTER STATE", 2 * round);
        host.wait("the addresses", |host| all.iter().all(|address| host.holds(address)));
        assert!(host.socket.index_of(&host::name("vrrp.52")).is_ok());
        // Both at once: none of them has time for anything.
        let pids = [host.supervisor(), host.worker()];
        for pid in pids {
            signal(pid, libc::SIGSTOP);
        }
        for pid in pids {
            signal(pid, libc::SIGKILL);
        }
        host.wait_for_end();
        host.wait("the end of the worker", |_| !alived::sys::process::exists(pids[1]));
        for file in ["keepalived.pid", "vrrp.pid", "vrrp.sock"] {
            assert!(host.path(file).exists(), "{file}, {round}");
        }
        assert!(all.iter().all(|address| host.holds(address)));
    }
    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", 8);
    assert!(all.iter().all(|address| host.holds(address)), "{}", host.log());
    stop(&mut host);
    assert!(!all.iter().any(|address| host.holds(address)), "{}", host.log());
    assert!(host.socket.index_of(&host::name("vrrp.52")).is_err());
    for file in ["keepalived.pid", "vrrp.pid", "vrrp.sock"] {
        assert!(!host.path(file).exists(), "{file}");
    }
}
