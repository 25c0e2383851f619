//! Authenticated routers on real interfaces: they meet in each version and family, exchange their keys without an
//! election, and take neither recordings nor what was signed at another time.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use alived::sys::clock;
use alived::sys::process::signal;
use alived::time::WallTime;
use alived::wire::ip::{IpFields, ipv4_header};
use alived::wire::vrrp::{
    Advertisement, AdvertisementInterval, AuthenticationData, ChecksumMode, HmacKey, Priority, Stamp,
    Version, Vrid,
};
use pnet_datalink::{DataLinkReceiver, DataLinkSender};
use serde_json::Value;

use crate::cable;
use crate::host::{Host, instance};

const ADDRESS: &str = "192.0.2.50/24";
const KEY: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";

/// A virtual router with one more block.
fn with(router: &str, block: &str) -> String {
    format!("{}    {block}\n}}\n", router.trim_end().strip_suffix('}').unwrap())
}

fn signing(priority: u8, words: &str) -> String {
    with(&instance("VI_1", 51, priority, ADDRESS), &format!("auth_hmac {{\n{words}\n    }}"))
}

fn one_key(more: &str) -> String {
    format!("key 1 {KEY}\nactive_key 1\n{more}")
}

fn status(host: &Host) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alived"));
    command.args(["status", "--json", "-r"]).arg(host.path("vrrp.pid"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn accepted(host: &Host) -> u64 {
    status(host)["routers"][0]["counters"]["advertisements_received"].as_u64().unwrap()
}

/// Waits until a backup has taken more advertisements.
fn hears(host: &mut Host, more: u64) {
    let before = accepted(host);
    host.wait("advertisements", |host| accepted(host) >= before + more);
}

fn elections(host: &Host) -> usize {
    host.log().matches("Entering MASTER STATE").count()
}

/// A master and a backup that hears it.
fn pair(text: impl Fn(u8) -> String) -> Option<(Host, Host)> {
    let (mut first, mut second) = Host::pair()?;
    first.configure(&text(150));
    second.configure(&text(100));
    first.start(&[]);
    first.wait_for_lines("Entering MASTER STATE", 1);
    second.start(&[]);
    second.wait("an advertisement", |host| accepted(host) > 0);
    Some((first, second))
}

#[test]
fn routers_meet_in_each_version_and_family_and_hand_over() {
    let six = "2001:db8::50/64";
    for (version, address) in [(2, ADDRESS), (3, ADDRESS), (3, six)] {
        for anti_replay in ["time", "monotonic"] {
            let text = |priority| {
                let text = signing(priority, &one_key(&format!("anti_replay {anti_replay}")));
                let text = text.replace(ADDRESS, address);
                match version {
                    2 => text.replace("version 3", "version 2").replace("advert_int 0.1", "advert_int 1"),
                    _ => text,
                }
            };
            let Some((mut first, mut second)) = pair(text) else { return };
            assert_eq!(elections(&second), 0, "version {version} {address}: {}", second.log());
            first.signal(libc::SIGTERM);
            first.wait_for_end();
            second.wait("the address", |host| host.holds(address));
            first.start(&[]);
            first.wait("the address", |host| host.holds(address));
            second.wait("the end of its mastership", |host| !host.holds(address));
            assert!(!second.log().contains("dropping a packet"), "{}", second.log());
            assert!(!second.log().contains(KEY));
        }
    }
}

#[test]
fn another_key_or_none_is_another_master_that_is_named() {
    let Some((mut first, mut second)) = Host::pair() else { return };
    first.configure(&signing(150, &one_key("")));
    second.configure(&signing(100, &one_key("").replace(KEY, OTHER)));
    first.start(&[]);
    second.start(&[]);
    second.wait_for_lines("dropping a packet from 192.0.2.1: its auth_hmac signature is wrong", 1);
    second.wait("mastership", |host| host.holds(ADDRESS));
    first.wait_for_lines("dropping a packet from 192.0.2.2: its auth_hmac signature is wrong", 1);
    second.configure(&instance("VI_1", 51, 100, ADDRESS));
    second.signal(libc::SIGHUP);
    first.wait_for_lines("it has no auth_hmac trailer", 1);
    // On the way to the first key: permissive takes both.
    first.configure(&signing(150, &one_key("mode permissive")));
    first.signal(libc::SIGHUP);
    second.configure(&signing(100, &one_key("mode receive-only")));
    second.signal(libc::SIGHUP);
    second.wait("the end of its mastership", |host| !host.holds(ADDRESS));
    hears(&mut second, 3);
}

#[test]
fn keys_are_exchanged_by_reloads_without_an_election() {
    let Some((mut first, mut second)) = pair(|priority| signing(priority, &one_key(""))) else { return };
    let both = |active| format!("key 1 {KEY}\nkey 2 {OTHER}\nactive_key {active}");
    for words in [both(1), both(2), format!("key 2 {OTHER}\nactive_key 2")] {
        for (host, priority) in [(&mut first, 150), (&mut second, 100)] {
            let reloads = host.log().matches("Reloaded").count();
            host.configure(&signing(priority, &words));
            host.signal(libc::SIGHUP);
            host.wait_for_lines("Reloaded", reloads + 1);
        }
        hears(&mut second, 5);
    }
    assert_eq!((elections(&first), elections(&second)), (1, 0), "{}", second.log());
    assert!(!second.log().contains("dropping a packet"), "{}", second.log());
}

/// The LAN between a host and the others, for one who listens to it and sends what it likes.
struct Attacker {
    sender: Box<dyn DataLinkSender>,
    receiver: Box<dyn DataLinkReceiver>,
}

impl Attacker {
    /// In the switch, at the far end of a host's cable.
    fn at(host: &Host) -> Self {
        let (sender, receiver) = cable::open(host, &host.port());
        Self { sender, receiver }
    }

    /// Records advertisements.
    fn record(&mut self, count: usize) -> Vec<Vec<u8>> {
        let start = Instant::now();
        let mut recorded: Vec<Vec<u8>> = Vec::new();
        while recorded.len() < count {
            assert!(start.elapsed() < Duration::from_secs(30), "{} of {count} frames", recorded.len());
            let Ok(frame) = self.receiver.next() else { continue };
            // IPv4, and VRRP or an authentication header in front of it.
            let is_advertisement =
                frame.get(12..14) == Some(&[8, 0]) && matches!(frame.get(23), Some(112 | 51));
            if is_advertisement && recorded.last().is_none_or(|last| last != frame) {
                recorded.push(frame.to_vec());
            }
        }
        recorded
    }

    fn send(&mut self, frame: &[u8]) {
        self.sender.send_to(frame, None).unwrap().unwrap();
    }
}

/// A recording of the dead master's advertisements keeps the backup from nothing.
fn recordings_are_in_vain(text: impl Fn(u8) -> String) {
    let Some((mut first, mut second)) = pair(text) else { return };
    let recorded = Attacker::at(&first).record(4);
    hears(&mut second, 2);
    first.signal(libc::SIGTERM);
    first.wait_for_end();
    let mut attacker = Attacker::at(&second);
    let rejected = |host: &Host| {
        let router = &status(host)["routers"][0];
        let counters = router["counters"]["rejected"].as_object().unwrap().clone();
        counters.values().filter_map(Value::as_u64).sum::<u64>()
    };
    let before = rejected(&second);
    second.wait("mastership", |host| {
        recorded.iter().for_each(|frame| attacker.send(frame));
        host.holds(ADDRESS)
    });
    let received = accepted(&second);
    for _ in 0..20 {
        recorded.iter().for_each(|frame| attacker.send(frame));
        std::thread::sleep(Duration::from_millis(20));
    }
    second.wait("the rejections", |host| rejected(host) >= before + 80);
    assert!(second.holds(ADDRESS), "{}", second.log());
    assert_eq!((elections(&second), accepted(&second)), (1, received), "{}", second.log());
}

#[test]
fn a_recording_makes_no_master_with_stamps_that_only_grow() {
    recordings_are_in_vain(|priority| signing(priority, &one_key("anti_replay monotonic")));
}

#[test]
fn a_recording_makes_no_master_with_stamps_of_the_clock() {
    recordings_are_in_vain(|priority| signing(priority, &one_key("time_window 300")));
}

#[test]
fn a_recording_makes_no_master_with_authentication_headers() {
    recordings_are_in_vain(|priority| {
        let text = instance("VI_1", 51, priority, ADDRESS);
        let text = text.replace("version 3", "version 2").replace("advert_int 0.1", "advert_int 1");
        with(&text, "authentication {\nauth_type AH\nauth_pass secret12\n    }")
    });
}

/// An advertisement of priority 200 from 192.0.2.9, signed when this clock says so.
fn signed_at(wall: WallTime) -> Vec<u8> {
    let (source, group) = (Ipv4Addr::new(192, 0, 2, 9), Ipv4Addr::new(224, 0, 0, 18));
    let mut advertisement = Advertisement {
        version: Version::V3,
        vrid: Vrid::new(51).unwrap(),
        priority: Priority(200),
        interval: AdvertisementInterval::from_centiseconds(10).unwrap(),
        addresses: vec![IpAddr::from([192, 0, 2, 50])],
        authentication: AuthenticationData::None,
        trailer: None,
    };
    let encode = |of: &Advertisement| of.encode(source.into(), group.into(), ChecksumMode::PseudoHeader);
    let key = HmacKey::new(KEY.as_bytes()).unwrap();
    advertisement.trailer = Some(key.sign(source.into(), &encode(&advertisement), 1, Stamp::of(wall)));
    let message = encode(&advertisement);
    let ip = ipv4_header(source, group, IpFields::vrrp(255), message.len()).unwrap();
    let ethernet = [&[1, 0, 0x5e, 0, 0, 18], &[2, 9, 9, 9, 9, 9], &[8, 0][..]].concat();
    [&ethernet[..], &ip, &message].concat()
}

#[test]
fn a_peer_with_another_time_is_named_with_its_skew_until_its_clock_is_set() {
    let Some(mut host) = Host::new() else { return };
    host.configure(&signing(150, &one_key("")));
    host.start(&[]);
    host.wait("mastership", |host| host.holds(ADDRESS));
    let mut peer = Attacker::at(&host);
    let at = |seconds: u64| WallTime::from_unix_micros(clock::wall().as_unix_micros() - seconds * 1_000_000);
    let outside = |host: &Host| status(host)["routers"][0]["outside_window"].clone();
    host.wait("the peer in the status", |host| {
        peer.send(&signed_at(at(40)));
        outside(host).as_array().is_some_and(|list| list.len() == 1)
    });
    peer.send(&signed_at(at(40)));
    let found = &outside(&host)[0];
    assert_eq!((&found["address"], &found["second_master"]), (&"192.0.2.9".into(), &true.into()));
    let ahead_us = found["ahead_us"].as_i64().unwrap();
    assert!((-70_000_000..=-40_000_000).contains(&ahead_us), "{ahead_us}");
    host.wait_for_lines("the clock of 192.0.2.9 is 40.", 1);
    assert!(status(&host)["routers"][0]["counters"]["second_masters"].as_u64() > Some(0));
    assert!(host.holds(ADDRESS));
    // Its clock is set: a better master.
    host.wait("the end of our mastership", |host| {
        peer.send(&signed_at(at(0)));
        !host.holds(ADDRESS)
    });
    host.wait_for_lines("the clock of 192.0.2.9 agrees with ours again, after", 1);
    assert_eq!(outside(&host), Value::Array(Vec::new()));
}

#[test]
fn stamps_go_on_over_a_restart_and_in_the_worker_after_a_killed_one() {
    let text = |priority| signing(priority, &one_key("anti_replay monotonic"));
    let Some((mut first, mut second)) = Host::pair() else { return };
    first.configure(&text(150));
    second.configure(&text(100));
    // As if the clock had been set back by an hour before the start.
    let ahead = Stamp::of(clock::wall()).after_seconds(3600);
    first.write("vrrp.stamps", &format!("{}\n", ahead.bits()));
    first.start(&[]);
    first.wait("mastership", |host| host.holds(ADDRESS));
    second.start(&[]);
    hears(&mut second, 3);
    let kept = || fs::read_to_string(first.path("vrrp.stamps")).unwrap().trim().parse::<u64>().unwrap();
    let before = kept();
    assert!(before > ahead.bits());
    assert_eq!(fs::metadata(first.path("vrrp.stamps")).unwrap().permissions().mode() & 0o777, 0o600);
    signal(first.worker(), libc::SIGKILL);
    first.wait_for_lines("going on for a process that was killed", 1);
    first.wait("mastership", |host| host.holds(ADDRESS));
    hears(&mut second, 3);
    first.signal(libc::SIGTERM);
    first.wait_for_end();
    first.start(&[]);
    first.wait("mastership", |host| host.holds(ADDRESS));
    hears(&mut second, 3);
    assert!(!second.log().contains("dropping a packet"), "{}", second.log());
    // Without the file its stamps are the clock's again.
    first.signal(libc::SIGTERM);
    first.wait_for_end();
    fs::remove_file(first.path("vrrp.stamps")).unwrap();
    first.start(&[]);
    second.wait_for_lines(
        "dropping a packet from 192.0.2.1: it was signed before what we heard of its sender already",
        1,
    );
}

#[test]
fn a_worker_after_a_killed_one_has_the_keys_that_were_in_force() {
    let Some(mut host) = Host::new() else { return };
    let key = host.path("key");
    fs::write(&key, format!("{KEY}\n")).unwrap();
    let words = format!("key 1 file:{}\nactive_key 1", key.display());
    host.configure(&signing(150, &words));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let output = host.run(&["-t"]);
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    host.start(&[]);
    host.wait("mastership", |host| host.holds(ADDRESS));
    fs::remove_file(&key).unwrap();
    signal(host.worker(), libc::SIGKILL);
    host.wait_for_lines("going on for a process that was killed", 1);
    let frame = Attacker::at(&host).record(1).remove(0);
    // Behind the headers of Ethernet and IPv4 and the message.
    let (message, trailer) = frame[34..].split_at(12);
    let trailer: &[u8; 28] = trailer[..28].try_into().unwrap();
    let key = HmacKey::new(KEY.as_bytes()).unwrap();
    assert!(key.verifies([192, 0, 2, 1].into(), message, trailer));
    assert!(!host.log().contains(KEY));
}
