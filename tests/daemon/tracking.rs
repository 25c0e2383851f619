//! Trackers of a real daemon: scripts that succeed, fail, hang or cannot be run, and an interface that is lost; with
//! another daemon of ours and with keepalived on the same LAN.

use std::fs;

use crate::host::{self, Host, instance};

const ADDRESS: &str = "192.0.2.50/24";
const SECURITY: &str = "global_defs {\n    script_user nobody\n    enable_script_security\n}\n";

/// A check with these settings, every 0.2 s.
fn check(settings: &str) -> String {
    format!("{SECURITY}vrrp_script chk {{\n    interval 0.2\n    {settings}\n}}\n")
}

/// A virtual router with one more block.
fn tracking(priority: u8, block: &str) -> String {
    let router = instance("VI_1", 51, priority, ADDRESS);
    format!("{}    {block}\n}}\n", router.trim_end().strip_suffix('}').unwrap())
}

/// A check that succeeds while a file is there, which anybody may look at.
struct Switch(tempfile::NamedTempFile);

impl Switch {
    fn on() -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        Self(file)
    }

    fn test(&self) -> String {
        format!("script \"/usr/bin/test -e {}\"", self.0.path().display())
    }

    fn off(&self) {
        fs::remove_file(self.0.path()).unwrap();
    }

    fn on_again(&self) {
        fs::write(self.0.path(), "").unwrap();
    }
}

fn follows_a_failing_check(first: &mut Host, second: &mut Host, weight: &str) {
    let switch = Switch::on();
    let text = check(&format!("{}\n    fall 2\n    {weight}", switch.test()));
    first.configure(&(text + &tracking(110, "track_script {\n        chk\n    }")));
    second.configure(&instance("VI_1", 51, 100, ADDRESS));
    first.start(&[]);
    first.wait("the first router", |host| host.holds(ADDRESS));
    second.start(&[]);
    switch.off();
    second.wait("the second router", |host| host.holds(ADDRESS));
    first.wait("the first router to leave", |host| !host.holds(ADDRESS));
    switch.on_again();
    first.wait("the first router to come back", |host| host.holds(ADDRESS));
    second.wait("the second router to leave", |host| !host.holds(ADDRESS));
}

#[test]
fn a_failing_check_hands_over_by_priority_and_back() {
    let Some((mut first, mut second)) = Host::pair() else { return };
    follows_a_failing_check(&mut first, &mut second, "weight -20");
    first.wait_for_lines("VRRP_Script(chk) failed: it ended with status 1", 1);
    first.wait_for_lines("Changing effective priority from 110 to 90", 1);
    first.wait_for_lines("Changing effective priority from 90 to 110", 1);
}

#[test]
fn a_failing_check_without_a_weight_is_a_fault() {
    let Some((mut first, mut second)) = Host::pair() else { return };
    follows_a_failing_check(&mut first, &mut second, "weight 0");
    first.wait_for_lines("script chk failed", 1);
}

#[test]
fn a_keepalived_takes_over_from_us_when_our_check_fails() {
    let Some((mut ours, mut keepalived)) = Host::beside_keepalived() else { return };
    follows_a_failing_check(&mut ours, &mut keepalived, "weight -20");
}

#[test]
fn we_take_over_from_a_keepalived_when_its_check_fails() {
    let Some((mut ours, mut keepalived)) = Host::beside_keepalived() else { return };
    follows_a_failing_check(&mut keepalived, &mut ours, "weight -20");
}

#[test]
fn a_check_that_hangs_or_cannot_be_run_has_failed_and_says_why() {
    for (settings, why) in [
        ("script \"/usr/bin/sleep 60\"\n    timeout 0.3", "was ended by signal 15"),
        ("script \"/usr/bin/no-such-program\"", "cannot be run: "),
        ("script \"< /no/such/file\"", "cannot be opened: No such file"),
    ] {
        let Some(mut host) = Host::new() else { return };
        host.configure(&(check(settings) + &tracking(100, "track_script {\n        chk\n    }")));
        host.start(&[]);
        host.wait_for_lines(&format!("VRRP_Script(chk) failed: it {why}"), 1);
        host.wait_for_lines("script chk failed", 1);
        assert!(!host.log().contains("Entering MASTER STATE"), "{}", host.log());
    }
}

#[test]
fn a_file_that_can_be_opened_is_a_good_check() {
    let Some(mut host) = Host::new() else { return };
    let script = "script \"< /etc/passwd\"\n    weight 7";
    host.configure(&(check(script) + &tracking(100, "track_script {\n        chk\n    }")));
    host.start(&[]);
    host.wait_for_lines("Changing effective priority from 100 to 107", 1);
    host.wait("mastership", |host| host.holds(ADDRESS));
}

#[test]
fn scripts_run_as_their_users_and_end_with_the_daemon() {
    let Some(mut host) = Host::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let told = folder.path().join("told");
    let script = format!("script \"/bin/sh -c 'id -un >{}; echo $$ >>{0}; exec sleep 60'\"", told.display());
    let text = check(&format!("{script}\n    timeout 50")).replace("interval 0.2", "interval 60");
    host.configure(&(text + &tracking(100, "track_script {\n        chk weight 5\n    }")));
    host.start(&[]);
    let lines =
        || fs::read_to_string(&told).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    host.wait("the script", |_| lines().len() == 2);
    let (user, pid) = (lines()[0].clone(), lines()[1].clone());
    assert_eq!(user, "nobody");
    host.signal(libc::SIGTERM);
    assert!(host.wait_for_end().success());
    let ended = || fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
    host.wait("the end of the script", |_| ended());
}

#[test]
fn the_loss_of_a_tracked_interface_is_a_fault() {
    let Some(mut host) = Host::new() else { return };
    let uplink = host.lay_cable(&host::name("uplink"), &host::name("far"), 1);
    host.socket.set_up(uplink, true).unwrap();
    host.configure(&tracking(100, "track_interface {\n        uplink\n    }"));
    host.start(&[]);
    host.wait("mastership", |host| host.holds(ADDRESS));
    host.socket.set_up(uplink, false).unwrap();
    host.wait_for_lines("interface uplink failed", 1);
    host.wait("the end of mastership", |host| !host.holds(ADDRESS));
    host.socket.set_up(uplink, true).unwrap();
    host.wait("mastership again", |host| host.holds(ADDRESS));
}

/// A router that depends on another interface.
fn tracking_uplink(settings: &str) -> String {
    format!("{settings}{}", tracking(100, "track_interface {\n        uplink\n    }"))
}

fn with_uplink() -> Option<(Host, alived::net::InterfaceIndex)> {
    let mut host = Host::new()?;
    let uplink = host.lay_cable(&host::name("uplink"), &host::name("far"), 1);
    host.socket.set_up(uplink, true).unwrap();
    Some((host, uplink))
}

#[test]
fn an_interface_that_flaps_counts_when_it_has_lasted() {
    let Some((mut host, uplink)) = with_uplink() else { return };
    // Its advertisements, every 0.1 s, let a loss be delayed by 0.2 s at most; a return by as much as one likes.
    host.configure(&tracking_uplink("interface_up_down_delays {\n    uplink 10 1.5\n}\n"));
    host.start(&[]);
    host.wait("mastership", |host| host.holds(ADDRESS));
    host.socket.set_up(uplink, false).unwrap();
    host.wait_for_lines("interface uplink failed", 1);
    host.wait("the end of mastership", |host| !host.holds(ADDRESS));
    let returned = std::time::Instant::now();
    host.socket.set_up(uplink, true).unwrap();
    host.wait("mastership again", |host| host.holds(ADDRESS));
    assert!(returned.elapsed().as_secs_f64() >= 1.5, "{:?}", returned.elapsed());
}

#[test]
fn an_interface_is_asked_for_its_carrier() {
    for method in ["", " MII", " ETHTOOL", " IOCTL"] {
        let Some((mut host, uplink)) = with_uplink() else { return };
        host.configure(&tracking_uplink(&format!("linkbeat_interfaces {{\n    uplink{method}\n}}\n")));
        host.start(&[]);
        host.wait("mastership", |host| host.holds(ADDRESS));
        // The other end goes down: the carrier is lost.
        let mut switch = host.switch.run(alived::sys::netlink::Network::open).unwrap().unwrap();
        let far = switch.index_of(&host::name("far")).unwrap();
        switch.set_up(far, false).unwrap();
        host.wait_for_lines("interface uplink failed", 1);
        host.wait("the end of mastership", |host| !host.holds(ADDRESS));
        switch.set_up(far, true).unwrap();
        host.wait("mastership again", |host| host.holds(ADDRESS));
        host.socket.set_up(uplink, false).unwrap();
        host.wait_for_lines("interface uplink failed", 2);
    }
}

#[test]
fn a_router_that_does_not_track_its_own_interface_stays() {
    let Some(mut host) = Host::new() else { return };
    let other = instance("VI_2", 52, 100, "192.0.2.60/24");
    host.configure(&(tracking(100, "dont_track_primary") + &other));
    host.start(&[]);
    host.wait("mastership of both", |host| host.holds(ADDRESS) && host.holds("192.0.2.60/24"));
    let mut switch = host.switch.run(alived::sys::netlink::Network::open).unwrap().unwrap();
    let port = switch.index_of(&host.port()).unwrap();
    switch.set_up(port, false).unwrap();
    host.wait_for_lines("(VI_2) Entering FAULT STATE", 1);
    host.wait("the other one to leave", |host| !host.holds("192.0.2.60/24"));
    assert!(host.holds(ADDRESS) && !host.log().contains("(VI_1) Entering FAULT"), "{}", host.log());
}
