//! The daemon as a service of a real systemd, with the unit in conf/.

use std::fs;

use crate::host::{Host, instance};
use crate::skip;
use crate::systemd::Systemd;

const ADDRESS: &str = "192.0.2.50/24";

/// Long enough for a busy machine, in seconds.
const WATCHDOG_S: u32 = 9;

/// The unit in conf/ with this type, for the program and the files of `host`.
fn unit(host: &Host, kind: &str, background: bool) -> String {
    let unit = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/conf/alived.service")).unwrap();
    let program = env!("CARGO_BIN_EXE_alived");
    let path = |file: &str| host.path(file).display().to_string();
    let flags =
        format!("-G -f {} -p {} -r {}", path("keepalived.conf"), path("keepalived.pid"), path("vrrp.pid"));
    let start = if background { "" } else { "--dont-fork" };
    let mut replaced = 0;
    let lines = unit.lines().map(|line| {
        let new = match line {
            "[Unit]" => "[Unit]\nDefaultDependencies=no".to_owned(),
            "Type=notify" => format!("Type={kind}"),
            "ExecStart=/usr/sbin/alived --dont-fork $DAEMON_ARGS" => {
                format!("ExecStart={program} {start} {flags}")
            }
            "ExecReload=/usr/sbin/alived reload" => {
                format!("ExecReload={program} reload -r {}", path("vrrp.pid"))
            }
            "ConditionFileNotEmpty=/etc/keepalived/keepalived.conf" => {
                format!("ConditionFileNotEmpty={}", path("keepalived.conf"))
            }
            "WatchdogSec=20" => format!("WatchdogSec={WATCHDOG_S}"),
            // It does not wait for a main process that it did not start itself, but for all of the service.
            "KillMode=mixed" if background => "KillMode=control-group".to_owned(),
            "KillMode=mixed" => line.to_owned(),
            other => return other.to_owned(),
        };
        replaced += 1;
        new
    });
    let lines: Vec<String> = lines.collect();
    assert_eq!(replaced, 7, "{unit}");
    lines.join("\n") + "\n"
}

fn service(test: &str, kind: &str, background: bool) -> Option<(Host, Systemd)> {
    let host = Host::new()?;
    host.configure(&instance("VI_1", 51, 100, ADDRESS));
    match Systemd::start(&host, &unit(&host, kind, background)) {
        Ok(systemd) => Some((host, systemd)),
        Err(why) => {
            skip::skip(test, &why);
            None
        }
    }
}

/// What is in a pid file: numbers inside systemd's namespace.
fn number(host: &Host, file: &str) -> String {
    fs::read_to_string(host.path(file)).unwrap().trim().to_owned()
}

fn wait_for_status(host: &mut Host, systemd: &Systemd, words: &str) {
    host.wait(&format!("the status '{words}'"), |_| systemd.property("StatusText").contains(words));
}

fn start(host: &mut Host, systemd: &Systemd) {
    let started = systemd.control(&["start", "alived.service"]);
    assert!(started.status.success(), "{started:?} {}", systemd.property("StatusText"));
    assert_eq!(systemd.property("ActiveState"), "active");
    assert_eq!(systemd.property("MainPID"), number(host, "keepalived.pid"));
    wait_for_status(host, systemd, "1 virtual router: 1 master");
    assert!(host.holds(ADDRESS));
}

fn stop(host: &mut Host, systemd: &Systemd) {
    let stopped = systemd.control(&["stop", "alived.service"]);
    assert!(stopped.status.success(), "{stopped:?}");
    assert_eq!(
        (systemd.property("ActiveState").as_str(), systemd.property("Result").as_str()),
        ("inactive", "success")
    );
    assert!(!host.holds(ADDRESS));
}

#[test]
fn a_service_starts_reloads_and_stops() {
    let test = "a_service_starts_reloads_and_stops";
    let Some((mut host, systemd)) = service(test, "notify", false) else { return };
    start(&mut host, &systemd);
    host.configure(&instance("VI_1", 51, 100, "192.0.2.60/24"));
    let reloaded = systemd.control(&["reload", "alived.service"]);
    assert!(reloaded.status.success(), "{reloaded:?}");
    host.wait("the other address", |host| host.holds("192.0.2.60/24"));

    host.configure("vrrp_instance VI_1 {\n");
    let reloaded = systemd.control(&["reload", "alived.service"]);
    assert!(!reloaded.status.success(), "{reloaded:?}");
    assert_eq!(systemd.property("ActiveState"), "active");
    wait_for_status(&mut host, &systemd, "the last reload was refused");
    host.configure(&instance("VI_1", 51, 100, ADDRESS));
    assert!(systemd.control(&["reload", "alived.service"]).status.success());
    stop(&mut host, &systemd);
}

#[test]
fn a_service_goes_on_when_its_worker_is_killed() {
    let test = "a_service_goes_on_when_its_worker_is_killed";
    let Some((mut host, systemd)) = service(test, "notify", false) else { return };
    start(&mut host, &systemd);
    let before = number(&host, "keepalived.pid");
    let worker = number(&host, "vrrp.pid");
    assert!(systemd.run(&["kill", "-KILL", &worker]).status.success());
    host.wait("another worker", |host| number(host, "vrrp.pid") != worker);
    wait_for_status(&mut host, &systemd, "1 virtual router: 1 master");
    assert_eq!((systemd.property("MainPID"), systemd.property("NRestarts")), (before, "0".to_owned()));
    assert_eq!(systemd.property("ActiveState"), "active");
    stop(&mut host, &systemd);
}

#[test]
fn a_service_restarts_without_failover_as_the_same_one() {
    let test = "a_service_restarts_without_failover_as_the_same_one";
    let Some((mut host, systemd)) = service(test, "notify", false) else { return };
    start(&mut host, &systemd);
    let before = (number(&host, "keepalived.pid"), "0".to_owned());
    let worker = number(&host, "vrrp.pid");
    let pid_file = host.path("vrrp.pid").display().to_string();
    let restarted = systemd.run(&[env!("CARGO_BIN_EXE_alived"), "restart", "-r", &pid_file]);
    assert!(restarted.status.success(), "{restarted:?}");
    assert_ne!(number(&host, "vrrp.pid"), worker);
    host.wait("the service to be active", |_| systemd.property("ActiveState") == "active");
    wait_for_status(&mut host, &systemd, "1 virtual router: 1 master");
    assert_eq!((systemd.property("MainPID"), systemd.property("NRestarts")), before);
    assert!(host.holds(ADDRESS));
    assert!(systemd.control(&["reload", "alived.service"]).status.success());
    // The watchdog is fed by the new program, too.
    let fed = systemd.property("WatchdogTimestampMonotonic");
    host.wait("a sign of life", |_| systemd.property("WatchdogTimestampMonotonic") != fed);
    stop(&mut host, &systemd);
}

#[test]
fn a_service_may_go_to_the_background() {
    let Some((mut host, systemd)) = service("a_service_may_go_to_the_background", "notify", true) else {
        return;
    };
    start(&mut host, &systemd);
    assert!(systemd.control(&["reload", "alived.service"]).status.success());
    stop(&mut host, &systemd);
}

#[test]
fn a_service_of_type_notify_reload_reloads_by_a_signal() {
    let test = "a_service_of_type_notify_reload_reloads_by_a_signal";
    let version = Systemd::version();
    if version.is_none_or(|version| version < 253) {
        return skip::skip(test, &format!("systemd 253 is needed, there is {version:?}"));
    }
    let Some((mut host, systemd)) = service(test, "notify-reload", false) else { return };
    start(&mut host, &systemd);
    host.configure(&instance("VI_1", 51, 100, "192.0.2.60/24"));
    assert!(systemd.control(&["reload", "alived.service"]).status.success());
    host.wait("the other address", |host| host.holds("192.0.2.60/24"));
    host.configure("vrrp_instance VI_1 {\n");
    assert!(systemd.control(&["reload", "alived.service"]).status.success());
    wait_for_status(&mut host, &systemd, "the last reload was refused");
    assert_eq!(systemd.property("ActiveState"), "active");
    host.configure(&instance("VI_1", 51, 100, ADDRESS));
    stop(&mut host, &systemd);
}

#[test]
fn a_watchdog_bites_who_hangs() {
    let Some((mut host, systemd)) = service("a_watchdog_bites_who_hangs", "notify", false) else { return };
    start(&mut host, &systemd);
    let mut fed = Vec::new();
    host.wait("signs of life", |_| {
        let at = systemd.property("WatchdogTimestampMonotonic");
        if fed.last() != Some(&at) {
            fed.push(at);
        }
        fed.len() > 3
    });

    // The vrrp thread stands still: its process is replaced, the daemon goes on.
    let (daemon, restarts) = (systemd.property("MainPID"), systemd.property("NRestarts"));
    let worker = number(&host, "vrrp.pid");
    assert!(systemd.run(&["kill", "-STOP", &worker]).status.success());
    host.wait("another worker", |host| number(host, "vrrp.pid") != worker);
    wait_for_status(&mut host, &systemd, "1 virtual router: 1 master");
    assert_eq!((systemd.property("MainPID"), systemd.property("NRestarts")), (daemon.clone(), restarts));
    assert!(host.holds(ADDRESS));

    // The supervisor stands still: everything is started anew.
    assert!(systemd.run(&["kill", "-STOP", &daemon]).status.success());
    host.wait("another daemon", |_| {
        let main = systemd.property("MainPID");
        main != daemon && main != "0"
    });
    wait_for_status(&mut host, &systemd, "1 virtual router: 1 master");
    assert!(host.holds(ADDRESS));
    stop(&mut host, &systemd);
}

#[test]
fn an_enabled_service_answers_to_the_name_of_keepalived() {
    let test = "an_enabled_service_answers_to_the_name_of_keepalived";
    let Some((mut host, systemd)) = service(test, "notify", false) else { return };
    let enabled = systemd.control(&["enable", "alived.service"]);
    assert!(enabled.status.success(), "{enabled:?}");
    assert!(systemd.control(&["start", "keepalived.service"]).status.success());
    wait_for_status(&mut host, &systemd, "1 virtual router: 1 master");
    host.configure(&instance("VI_1", 51, 100, "192.0.2.60/24"));
    let reloaded = systemd.control(&["reload", "keepalived"]);
    assert!(reloaded.status.success(), "{reloaded:?}");
    host.wait("the other address", |host| host.holds("192.0.2.60/24"));
    assert!(systemd.control(&["stop", "keepalived"]).status.success());
    assert!(!host.holds("192.0.2.60/24"));
    assert!(systemd.control(&["disable", "alived.service"]).status.success());
    let fragment = systemd.control(&["show", "--value", "--property", "FragmentPath", "keepalived.service"]);
    let fragment = String::from_utf8(fragment.stdout).unwrap();
    assert!(!fragment.trim().ends_with("/alived.service"), "{fragment}");
}

/// The drop-in of conf/, which also lets the service see the folder of `host`.
fn hardening(host: &Host) -> String {
    let text =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/conf/alived.service.d/hardening.conf"))
            .unwrap();
    let folder = host.path("");
    let folder = folder.display();
    format!("{text}BindPaths={folder}\nReadWritePaths={folder}\n")
}

#[test]
fn a_confined_service_serves_and_runs_hooks_of_root() {
    let test = "a_confined_service_serves_and_runs_hooks_of_root";
    let Some(mut host) = Host::new() else { return };
    host.copy_program();
    let told = host.path("told");
    let hook = format!("/bin/sh -c 'id -u >{}.new && mv {0}.new {0}'", told.display());
    host.configure(&format!(
        "global_defs {{\n script_user root\n}}\n{}",
        instance("VI_1", 51, 100, ADDRESS).replacen(
            "{\n",
            &format!("{{\n notify_master \"{}\"\n", hook.replace('"', "")),
            1
        )
    ));
    fs::create_dir_all(host.path("units/alived.service.d")).unwrap();
    host.write("units/alived.service.d/hardening.conf", &hardening(&host));
    let copied = host.path("alived").display().to_string();
    let unit = unit(&host, "notify", false).replace(env!("CARGO_BIN_EXE_alived"), &copied);
    let systemd = match Systemd::start(&host, &unit) {
        Ok(systemd) => systemd,
        Err(why) => return skip::skip(test, &why),
    };
    start(&mut host, &systemd);
    for process in ["keepalived.pid", "vrrp.pid"] {
        let path = format!("/proc/{}/status", number(&host, process));
        let status = String::from_utf8(systemd.run(&["cat", &path]).stdout).unwrap();
        for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "CapBnd:\t0000000000003000"] {
            assert!(status.contains(line), "{process}: {line}\n{status}");
        }
    }
    host.wait("the hook", |_| told.exists());
    assert_eq!(fs::read_to_string(&told).unwrap(), "0\n");
    let reloaded = systemd.control(&["reload", "alived.service"]);
    assert!(reloaded.status.success(), "{reloaded:?}");
    stop(&mut host, &systemd);
}

#[test]
fn the_confined_unit_is_rated_two_at_most() {
    let test = "the_confined_unit_is_rated_two_at_most";
    let folder = alived::drill::Folder::create().unwrap();
    let units = folder.path().join("etc/systemd/system");
    fs::create_dir_all(units.join("alived.service.d")).unwrap();
    let conf = concat!(env!("CARGO_MANIFEST_DIR"), "/conf");
    fs::copy(format!("{conf}/alived.service"), units.join("alived.service")).unwrap();
    let rate = || {
        let mut command = std::process::Command::new("systemd-analyze");
        command.args(["security", "--offline=true", "--threshold=20", "alived.service", "--root"]);
        command.arg(folder.path()).output()
    };
    match rate() {
        Err(_) => return skip::skip(test, "there is no systemd-analyze (apt-get install systemd)"),
        Ok(output) => assert!(!output.status.success(), "the unit without it: {output:?}"),
    }
    fs::copy(
        format!("{conf}/alived.service.d/hardening.conf"),
        units.join("alived.service.d/hardening.conf"),
    )
    .unwrap();
    let output = rate().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    // Words that it does not know it passes over.
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
