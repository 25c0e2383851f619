//! The second kernel itself: what it has, and that neither its tests nor its end do any harm.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use alived::drill::Folder;
use alived::sys::netlink::Network;
use netlink_packet_route::link::IpVlanMode;
use rtnetlink::{LinkBond, LinkDummy, LinkIpVlan, LinkVeth, LinkVlan, LinkVrf};

use crate::host::name;
use crate::second_kernel::{self, Outcome};
use crate::skip;

#[test]
fn modules_load_when_they_are_used() {
    second_kernel::run(|| {
        let mut network = Network::open().unwrap();
        network.create(LinkDummy::new("dummy7").build()).unwrap();
        network.create(LinkVrf::new("vrf7", 7).build()).unwrap();
        network.create(LinkBond::new("bond7").build()).unwrap();
        network.create_bridge(&name("bridge7")).unwrap();
        let dummy = network.index_of(&name("dummy7")).unwrap().get();
        network.create(LinkVlan::new("vlan7", dummy, 7).build()).unwrap();
        network.create(LinkIpVlan::new("ipvlan7", dummy, IpVlanMode::L2).build()).unwrap();
        network.create(LinkVeth::new("near7", "far7").build()).unwrap();
        second_kernel::load(&["ip_vs", "ip_vs_rr", "ip_vs_wlc", "ip_vs_sh", "ip_vs_mh"]).unwrap();
        assert!(fs::read_to_string("/proc/net/ip_vs").unwrap().starts_with("IP Virtual Server"));
    });
}

#[test]
fn this_machines_files_cannot_be_written() {
    second_kernel::run(|| {
        for folder in [env!("CARGO_MANIFEST_DIR"), "/", "/etc", "/var", "/usr", "/tmp"] {
            let error = fs::write(Path::new(folder).join("alived-second-kernel"), "").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem, "{folder}");
        }
        fs::write(std::env::temp_dir().join("file"), "").unwrap();
    });
}

#[test]
fn a_failure_inside_is_a_failure_outside() {
    match second_kernel::outcome(second_kernel::LIMIT, || panic!("as it should")) {
        Outcome::Failed(report) => assert!(report.contains("as it should"), "{report}"),
        Outcome::Skipped(reason) => skip::skip("a_failure_inside_is_a_failure_outside", &reason),
        Outcome::Passed => panic!("it passed"),
    }
}

#[test]
fn a_test_inside_can_skip_itself() {
    let body = || skip::skip("a test", "for a reason");
    match second_kernel::outcome(second_kernel::LIMIT, body) {
        Outcome::Skipped(reason) if reason == "for a reason" => {}
        Outcome::Skipped(reason) => skip::skip("a_test_inside_can_skip_itself", &reason),
        outcome => panic!("{outcome:?}"),
    }
}

const HANGS: &str = "boot::a_kernel_that_hangs_is_ended";

#[test]
fn a_kernel_that_hangs_is_ended() {
    let hang = || loop {
        std::thread::sleep(Duration::from_secs(3600));
    };
    match second_kernel::outcome(Duration::from_secs(10), hang) {
        Outcome::Failed(report) => assert!(report.contains("not finished within"), "{report}"),
        Outcome::Skipped(reason) => skip::skip("a_kernel_that_hangs_is_ended", &reason),
        Outcome::Passed => panic!("it passed"),
    }
}

/// Killed as by a harness that has lost its patience.
#[test]
fn a_kernel_ends_with_its_test() {
    let folder = Folder::create().unwrap();
    let mut test = Command::new(std::env::current_exe().unwrap())
        .args([HANGS, "--exact", "--nocapture"])
        .env("TMPDIR", folder.path())
        .env("ALIVED_SKIPS", folder.path().join("skips"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let booted = || {
        let kernels = fs::read_dir(folder.path()).unwrap().flatten();
        kernels.map(|kernel| kernel.path().join("results/booted")).any(|file| file.exists())
    };
    while !booted() {
        if test.try_wait().unwrap().is_some() {
            return skip::skip(
                "a_kernel_ends_with_its_test",
                "no second kernel, or one that took too long to boot",
            );
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!kernel_processes(folder.path()).is_empty());
    test.kill().unwrap();
    test.wait().unwrap();
    let start = Instant::now();
    while !kernel_processes(folder.path()).is_empty() {
        assert!(start.elapsed() < Duration::from_secs(30), "{:?} live on", kernel_processes(folder.path()));
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The processes that were started with a file in this folder.
fn kernel_processes(folder: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines =
        processes.map(|process| fs::read_to_string(process.path().join("cmdline")).unwrap_or_default());
    lines.filter(|line| line.contains(&*folder.to_string_lossy())).collect()
}
