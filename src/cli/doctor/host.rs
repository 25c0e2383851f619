//! The kernel, the network namespace and the rights of who looks.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use caps::Capability;
use nix::net::if_::InterfaceFlags;

use super::{Finding, Level, Subject, running};
use crate::net::Family;
use crate::sys::{capabilities, process};

/// What the host has for these virtual routers.
pub(super) fn findings(subjects: &[Subject]) -> Vec<Finding> {
    let mut found = Vec::new();
    let kinds: BTreeSet<&str> = subjects.iter().filter_map(|subject| subject.own_interface).collect();
    found.extend(kinds.into_iter().filter_map(module));
    found.extend(realtime());
    let interfaces: BTreeSet<&String> = subjects.iter().flat_map(|subject| &subject.interfaces).collect();
    for interface in interfaces {
        let concerned: Vec<&Subject> =
            subjects.iter().filter(|subject| subject.interfaces.contains(interface)).collect();
        found.extend(of_interface(interface, &concerned));
    }
    found.extend(nonlocal_bind(subjects));
    found
}

/// The rights that a daemon started by this user would have.
pub(super) fn rights_to_start() -> Vec<Finding> {
    let needed = [Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW];
    let punctual = [Capability::CAP_SYS_NICE, Capability::CAP_IPC_LOCK];
    let names = |missing: Vec<Capability>| {
        missing.iter().map(ToString::to_string).collect::<Vec<String>>().join(" and ")
    };
    let mut found = Vec::new();
    let missing = capabilities::missing(&needed);
    if !missing.is_empty() {
        let text = format!("{} missing: a daemon started by this user could not run", names(missing));
        found.push(Finding::new(
            Level::Error,
            "rights",
            text,
            "run it as root, or give it these capabilities",
        ));
    }
    let mut missing = capabilities::missing(&punctual);
    if running::realtime_limit("self") > 0 {
        missing.retain(|capability| *capability != Capability::CAP_SYS_NICE);
    }
    if !missing.is_empty() {
        let text = format!(
            "{} missing: on a busy machine advertisements may be late, and a backup takes over",
            names(missing)
        );
        let mend = "in a container: --cap-add SYS_NICE --cap-add IPC_LOCK (or --ulimit rtprio=50); under systemd: AmbientCapabilities=, LimitRTPRIO=";
        found.push(Finding::new(Level::Hint, "rights", text, mend));
    }
    found
}

fn module(kind: &str) -> Option<Finding> {
    if Path::new("/sys/module").join(kind).exists() {
        return None;
    }
    let release = process::kernel_release();
    let folder = ["/lib/modules", "/usr/lib/modules"].map(|root| Path::new(root).join(&release));
    let lists = |file: &str| {
        folder
            .iter()
            .filter_map(|folder| fs::read_to_string(folder.join(file)).ok())
            .any(|text| text.contains(&format!("/{kind}.ko")))
    };
    if lists("modules.builtin") {
        return None;
    }
    let text = format!("the module {kind}, which use_vmac or use_ipvlan needs, is not loaded");
    match lists("modules.dep") {
        true => Some(Finding::new(Level::Hint, "kernel", text, format!("modprobe {kind}"))),
        false if folder.iter().any(|folder| folder.exists()) => Some(Finding::new(
            Level::Error,
            "kernel",
            format!("{text} and not installed for this kernel ({release})"),
            "install the package with the kernel's further modules, or leave out use_vmac",
        )),
        // Nothing is known of this kernel's modules, as in a container.
        false => None,
    }
}

/// Whether the kernel lets anybody run in real time.
fn realtime() -> Option<Finding> {
    let runtime = number("/proc/sys/kernel/sched_rt_runtime_us")?;
    (runtime == 0).then(|| {
        Finding::new(
            Level::Warning,
            "kernel",
            "kernel.sched_rt_runtime_us is 0: nothing runs in real time, and on a busy machine advertisements are late",
            "sysctl -w kernel.sched_rt_runtime_us=950000",
        )
    })
}

fn of_interface(name: &str, subjects: &[&Subject]) -> Vec<Finding> {
    let mut found = Vec::new();
    // Not by sysfs, which shows the network namespace that it was mounted in.
    let links = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let Some(flags) = links.into_iter().find(|link| link.interface_name == name).map(|link| link.flags)
    else {
        let text = "this network namespace has no such interface";
        let mend = "create it, or correct `interface`; with net_namespace: ip netns exec NAME alived doctor";
        return vec![Finding::new(Level::Error, name, text, mend)];
    };
    if !flags.contains(InterfaceFlags::IFF_UP) {
        let mend = format!("ip link set {name} up");
        found.push(Finding::new(Level::Error, name, "the interface is down", mend));
    } else if !flags.contains(InterfaceFlags::IFF_RUNNING) {
        let mend = "look at the cable and the switch";
        found.push(Finding::new(Level::Error, name, "the interface has no carrier", mend));
    }
    let multicast = subjects.iter().any(|subject| !subject.unicast);
    if multicast && !flags.contains(InterfaceFlags::IFF_MULTICAST) {
        let text = "the interface does no multicast, by which advertisements are sent";
        let mend = format!("ip link set {name} multicast on, or use unicast_peer");
        found.push(Finding::new(Level::Error, name, text, mend));
    }
    if subjects.iter().any(|subject| subject.family == Family::Ipv4) {
        found.extend(of_ipv4(name, subjects));
    }
    if subjects.iter().any(|subject| subject.family == Family::Ipv6)
        && number(&format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6")) != Some(0)
    {
        let text = "IPv6 is off here, and virtual routers of IPv6 use it";
        found.push(Finding::new(
            Level::Error,
            name,
            text,
            format!("sysctl -w net.ipv6.conf.{name}.disable_ipv6=0"),
        ));
    }
    found
}

fn of_ipv4(name: &str, subjects: &[&Subject]) -> Vec<Finding> {
    let mut found = Vec::new();
    let setting = |key: &str| number(&format!("/proc/sys/net/ipv4/conf/{name}/{key}"));
    // What holds is the higher of both.
    let higher = |key: &str| setting(key).max(number(&format!("/proc/sys/net/ipv4/conf/all/{key}")));
    let strict = higher("rp_filter") == Some(1);
    if strict && subjects.iter().any(|subject| subject.unicast || subject.own_interface.is_some()) {
        let text = "rp_filter is strict: advertisements by unicast that come in by another way than answers would go, and \
                    packets for a virtual MAC, are dropped";
        let mend = format!("sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.{name}.rp_filter=2");
        found.push(Finding::new(Level::Warning, name, text, mend));
    }
    if higher("arp_ignore").is_some_and(|value| value >= 3) {
        let text = "arp_ignore keeps the kernel from answering for virtual addresses: hosts find them by announcements only";
        let mend = format!("sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.{name}.arp_ignore=1");
        found.push(Finding::new(Level::Error, name, text, mend));
    }
    let promoted = setting("promote_secondaries") == Some(0)
        && number("/proc/sys/net/ipv4/conf/all/promote_secondaries") == Some(0);
    if promoted {
        let text = "promote_secondaries is off: when the first address of a subnet is removed, by whomever, the kernel \
                    removes the others with it, and they are away until they are put back";
        let mend = format!("sysctl -w net.ipv4.conf.{name}.promote_secondaries=1");
        found.push(Finding::new(Level::Hint, name, text, mend));
    }
    found
}

/// Whether programs can listen on virtual addresses before this host is master.
fn nonlocal_bind(subjects: &[Subject]) -> Vec<Finding> {
    let family = |family| match family {
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
    };
    let families: BTreeSet<&str> = subjects.iter().map(|subject| family(subject.family)).collect();
    let off = |family: &&str| number(&format!("/proc/sys/net/{family}/ip_nonlocal_bind")) == Some(0);
    let finding = |family: &str| {
        let text = format!(
            "net.{family}.ip_nonlocal_bind is off: a program that listens on a virtual address by name cannot start while \
             another router is master"
        );
        Finding::new(Level::Hint, "kernel", text, format!("sysctl -w net.{family}.ip_nonlocal_bind=1"))
    };
    families.into_iter().filter(off).map(finding).collect()
}

/// The number in a file.
pub(super) fn number(path: &str) -> Option<i64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
