//! Virtual servers where the kernel has no IPVS, and which workers there are.

use std::path::Path;

use crate::host::{Host, instance};
use crate::skip;

const SERVER: &str = "virtual_server 192.0.2.100 80 {\nlvs_sched rr\nlvs_method NAT\nprotocol TCP\nreal_server 198.51.100.1 80 {\n\
                      weight 1\n}\n}\n";

/// A host on a kernel without IPVS.
fn host() -> Option<Host> {
    if Path::new("/proc/net/ip_vs").exists() || Path::new("/sys/module/ip_vs").exists() {
        skip::skip(std::thread::current().name().unwrap_or("a test"), "this kernel has IPVS");
        return None;
    }
    Host::new()
}

#[test]
fn a_start_says_which_module_is_missing() {
    let Some(host) = host() else { return };
    host.configure(&(instance("VI_1", 51, 100, "192.0.2.50/24") + SERVER));
    for flags in [&["-n", "-l"][..], &["-l"]] {
        let output = host.run(flags);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("modprobe ip_vs"), "{text}");
        assert!(!text.contains("Starting VRRP child process"), "{text}");
    }
    for file in ["keepalived.pid", "vrrp.pid", "checkers.pid"] {
        assert!(!host.path(file).exists(), "{file}");
    }
}

#[test]
fn virtual_servers_are_left_out_on_request() {
    let Some(mut host) = host() else { return };
    host.configure(&(instance("VI_1", 51, 100, "192.0.2.50/24") + SERVER));
    host.start(&["-P"]);
    host.wait_for_lines("Entering MASTER STATE", 1);
    assert!(!host.path("checkers.pid").exists());
    host.signal(libc::SIGTERM);
    assert!(host.wait_for_end().success());
}

#[test]
fn a_reload_that_cannot_be_served_changes_nothing() {
    let Some(mut host) = host() else { return };
    let router = instance("VI_1", 51, 100, "192.0.2.50/24");
    host.configure(&router);
    host.start(&[]);
    host.configure(&(router + SERVER));
    host.signal(libc::SIGHUP);
    host.wait_for_lines("it was not reloaded", 1);
    assert!(host.log().contains("modprobe ip_vs"), "{}", host.log());
    host.wait_for_lines("Entering MASTER STATE", 1);
    host.signal(libc::SIGTERM);
    assert!(host.wait_for_end().success());
}

#[test]
fn without_virtual_routers_there_is_one_worker() {
    let Some(mut host) = host() else { return };
    host.configure(&instance("VI_1", 51, 100, "192.0.2.50/24"));
    host.start(&["-C"]);
    assert!(!host.path("vrrp.pid").exists());
    let pid = host.checker();
    host.signal(libc::SIGHUP);
    host.wait_for_lines("Reloaded", 1);
    assert_eq!(host.checker(), pid);
    host.signal(libc::SIGTERM);
    assert!(host.wait_for_end().success());
    assert!(!host.path("checkers.pid").exists() && !host.path("checkers.services").exists());
}
