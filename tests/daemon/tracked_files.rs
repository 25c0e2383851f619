//! Tracked files of a real daemon, with another daemon of ours and with keepalived on the same LAN.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::host::{Host, instance};

const ADDRESS: &str = "192.0.2.50/24";

/// A file tracker with these settings, and a virtual router that depends on it.
fn tracking(priority: u8, path: &Path, settings: &str) -> String {
    let router = instance("VI_1", 51, priority, ADDRESS);
    let router = router.trim_end().strip_suffix('}').unwrap().to_owned();
    let file = format!("track_file load {{\n    file \"{}\"\n    {settings}\n}}\n", path.display());
    format!("{file}{router}    track_file {{\n        load\n    }}\n}}\n")
}

/// Replaces a file as careful programs do.
fn replace(path: &Path, text: &str) {
    let new: PathBuf = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

fn follows_a_file(first: &mut Host, second: &mut Host, settings: &str, bad: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("load");
    fs::write(&path, "0\n").unwrap();
    first.configure(&tracking(110, &path, settings));
    second.configure(&instance("VI_1", 51, 100, ADDRESS));
    first.start(&[]);
    first.wait("the first router", |host| host.holds(ADDRESS));
    second.start(&[]);
    fs::write(&path, bad).unwrap();
    second.wait("the second router", |host| host.holds(ADDRESS));
    first.wait("the first router to leave", |host| !host.holds(ADDRESS));
    replace(&path, "0");
    first.wait("the first router to come back", |host| host.holds(ADDRESS));
    second.wait("the second router to leave", |host| !host.holds(ADDRESS));
    replace(&path, bad);
    second.wait("the second router again", |host| host.holds(ADDRESS));
    fs::remove_file(&path).unwrap();
    first.wait("the first router again", |host| host.holds(ADDRESS));
}

#[test]
fn a_number_hands_over_by_priority_and_back() {
    let Some((mut first, mut second)) = Host::pair() else { return };
    follows_a_file(&mut first, &mut second, "weight -2", "0xf and more\n");
    first.wait_for_lines("Changing effective priority from 110 to 80", 1);
    first.wait_for_lines("Changing effective priority from 80 to 110", 1);
}

#[test]
fn a_number_without_a_weight_is_a_fault() {
    let Some((mut first, mut second)) = Host::pair() else { return };
    follows_a_file(&mut first, &mut second, "weight 0", "1");
    first.wait_for_lines("file load failed", 1);
}

#[test]
fn a_keepalived_takes_over_from_us_when_our_file_says_so() {
    let Some((mut ours, mut keepalived)) = Host::beside_keepalived() else { return };
    follows_a_file(&mut ours, &mut keepalived, "weight -2", "100");
}

#[test]
fn we_take_over_from_a_keepalived_when_its_file_says_so() {
    let Some((mut ours, mut keepalived)) = Host::beside_keepalived() else { return };
    follows_a_file(&mut keepalived, &mut ours, "weight -2", "100");
}

/// The same file is read by both, whose priorities must be the same after each change.
#[test]
fn keepalived_and_we_read_the_same_numbers() {
    let Some((mut ours, mut keepalived)) = Host::beside_keepalived() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("load");
    for host in [&mut ours, &mut keepalived] {
        host.configure(&tracking(100, &path, "weight 1"));
        host.start(&[]);
    }
    let mut before = 100;
    let contents = [
        ("20", 120),
        ("0x10\n", 116),
        ("010", 108),
        (" 7x", 107),
        ("-1.5", 99),
        ("\n\n9\n", 109),
        ("99999999999", 109),
        ("+6", 106),
        ("300", 254),
        ("--3", 100),
        ("-253", 1),
    ];
    for (text, priority) in contents {
        replace(&path, text);
        if priority != before {
            let line = format!("effective priority from {before} to {priority}");
            ours.wait_for_lines(&line, 1);
            keepalived.wait_for_lines(&line, 1);
        }
        before = priority;
    }
    fs::write(&path, "-254").unwrap();
    for host in [&mut ours, &mut keepalived] {
        host.wait_for_lines("Entering FAULT STATE", 1);
    }
}

#[test]
fn a_folder_that_comes_later_and_a_link_that_is_replaced_are_followed() {
    let Some(mut host) = Host::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later/data/value");
    host.configure(&tracking(100, &path, "weight 1"));
    host.start(&[]);
    for (version, text) in [("v1", "11"), ("v2", "12")] {
        fs::create_dir_all(folder.path().join("later").join(version)).unwrap();
        fs::write(folder.path().join("later").join(version).join("value"), text).unwrap();
    }
    let data = folder.path().join("later/data");
    std::os::unix::fs::symlink("v1", &data).unwrap();
    host.wait_for_lines("from 100 to 111", 1);
    std::os::unix::fs::symlink("v2", data.with_extension("new")).unwrap();
    fs::rename(data.with_extension("new"), &data).unwrap();
    host.wait_for_lines("from 111 to 112", 1);
    fs::remove_dir_all(folder.path().join("later")).unwrap();
    host.wait_for_lines("from 112 to 100", 1);
    fs::create_dir_all(&data).unwrap();
    fs::write(&path, "13").unwrap();
    host.wait_for_lines("from 100 to 113", 1);
}

#[test]
fn a_file_is_begun_at_the_start_and_not_by_a_reload_or_a_second_worker() {
    let Some(mut host) = Host::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("load");
    let text = tracking(100, &path, "weight 1\n    init_file 7 overwrite");
    host.configure(&text);
    host.start(&[]);
    host.wait_for_lines("from 100 to 107", 1);
    assert_eq!(fs::read_to_string(&path).unwrap(), "7\n");
    fs::write(&path, "9\n").unwrap();
    host.wait_for_lines("from 107 to 109", 1);
    // The second one must not be written either, though it is new.
    let second = folder.path().join("second");
    host.configure(&format!(
        "track_file other {{\n    file \"{}\"\n    init_file 1\n}}\n{text}",
        second.display()
    ));
    host.signal(libc::SIGHUP);
    host.wait_for_lines("Reloaded", 1);
    let worker = host.worker();
    alived::sys::process::signal(worker, libc::SIGKILL);
    host.wait("another worker", |host| {
        fs::read_to_string(host.path("vrrp.pid")).is_ok_and(|text| text.trim() != worker.to_string())
    });
    host.wait_for_lines("from 100 to 109", 1);
    assert!(!second.exists());
    assert_eq!(fs::read_to_string(&path).unwrap(), "9\n");
}

#[test]
fn what_cannot_be_followed_is_a_failure_that_says_why() {
    for (path, why) in [
        ("/proc/sys/net/ipv4/ip_forward", "is on proc, a file system that does not tell"),
        ("/dev/null", "is no regular file"),
        ("/etc", "is no regular file"),
    ] {
        let Some(mut host) = Host::new() else { return };
        host.configure(&tracking(100, Path::new(path), "weight 0"));
        host.start(&[]);
        host.wait_for_lines(&format!("track_file load: {path} {why}"), 1);
        host.wait_for_lines("file load failed", 1);
        assert!(!host.log().contains("Entering MASTER STATE"), "{}", host.log());
    }
}

#[test]
fn status_shows_what_each_tracker_adds() {
    let Some(mut host) = Host::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("load");
    fs::write(&path, "-30").unwrap();
    let text = tracking(100, &path, "weight 1");
    let script = "global_defs {\n    script_user root\n}\nvrrp_script chk {\n    script /bin/true\n    interval 1\n    weight 10\n}\n";
    let text = text.trim_end().strip_suffix('}').unwrap().to_owned();
    let text = format!("{script}{text}    track_script {{\n        chk\n    }}\n}}\n");
    host.configure(&text);
    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", 1);
    let mut shown = String::new();
    host.wait("both parts", |host| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_alived"));
        let output = command.args(["status", "-r"]).arg(host.path("vrrp.pid")).output().unwrap();
        shown = String::from_utf8(output.stdout).unwrap();
        shown.contains("= 80")
    });
    assert!(shown.contains("priority 100 - 30 file load + 10 script chk = 80"), "{shown}");
    assert!(shown.contains("script chk: good\n") && shown.contains("file load: -30\n"), "{shown}");
}

/// Whoever writes without end costs the others nothing.
#[test]
fn a_file_that_is_written_without_end_does_not_hold_up_an_advertisement() {
    let Some((mut first, mut second)) = Host::pair() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("load");
    first.configure(&tracking(200, &path, "weight 1"));
    second.configure(&instance("VI_1", 51, 100, ADDRESS));
    first.start(&[]);
    first.wait("the first router", |host| host.holds(ADDRESS));
    second.start(&[]);
    for number in 0..5_000 {
        fs::write(&path, format!("{}", number % 50)).unwrap();
    }
    fs::write(&path, "50").unwrap();
    first.wait_for_lines("to 250", 1);
    assert!(!second.log().contains("Entering MASTER STATE"), "{}", second.log());
    let told = first.log().matches("Changing effective priority").count();
    assert!(told < 2_500, "{told} changes of 5,000 were taken");
}
