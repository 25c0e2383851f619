//! The memory of the worker before, during and after a large configuration.

use std::fs;

use crate::host::{Host, instance};

const ADDRESS: &str = "192.0.2.50/24";

/// The router on the LAN, and `others` that wait for their interfaces.
fn configure(host: &Host, others: u16) {
    let others = (0..others).map(|number| {
        let [high, low] = number.to_be_bytes();
        let (interface, vrid) = (number / 250, number % 250 + 1);
        format!(
            "vrrp_instance W{number} {{\n interface wait{interface}\n virtual_router_id {vrid}\n priority 100\n \
             virtual_ipaddress {{\n 10.{high}.{low}.1/24\n 10.{high}.{low}.2/24\n }}\n}}\n"
        )
    });
    let router = instance("VI_1", 51, 100, ADDRESS);
    host.configure(&format!(
        "global_defs {{\n dynamic_interfaces\n}}\n{router}{}",
        others.collect::<String>()
    ));
}

/// What the worker has in memory besides files, in KiB.
fn resident(host: &Host) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", host.worker())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Whether the pages of the worker's heap are locked.
fn is_locked(host: &Host) -> bool {
    let maps = fs::read_to_string(format!("/proc/{}/smaps", host.worker())).unwrap();
    let mut heap = maps.lines().skip_while(|line| !line.ends_with("[heap]"));
    let flags = heap.find_map(|line| line.strip_prefix("VmFlags:")).unwrap();
    flags.split(' ').any(|flag| flag == "lo")
}

fn reload(host: &mut Host) {
    let reloads = host.log().matches("Reloaded").count();
    host.signal(libc::SIGHUP);
    host.wait_for_lines("Reloaded", reloads + 1);
}

#[test]
fn what_a_large_reload_took_is_given_back() {
    let Some(mut host) = Host::new() else { return };
    configure(&host, 0);
    host.start(&[]);
    host.wait("the address", |host| host.holds(ADDRESS));
    let (before, locked) = (resident(&host), is_locked(&host));
    for _ in 0..2 {
        configure(&host, 4_000);
        reload(&mut host);
        let large = resident(&host);
        assert!(large > before + 4_000, "{before} {large}");
        configure(&host, 0);
        reload(&mut host);
        let bound = before + (large - before) / 2;
        host.wait(&format!("{bound} KiB, {before} before and {large} during"), |host| resident(host) < bound);
        // The memory is less before what is left of it is locked again.
        host.wait("locked as before", |host| is_locked(host) == locked);
    }
    assert_eq!(host.log().matches("Entering MASTER STATE").count(), 1, "{}", host.log());
    host.signal(libc::SIGTERM);
    assert_eq!(host.wait_for_end().code(), Some(0), "{}", host.log());
}
