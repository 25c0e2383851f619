//! Any bytes as what the kernel tells of its IPVS: never a panic, and what is understood can be said again in other
//! bytes of the same meaning.
//!
//! The first byte of the input chooses the service that a destination belongs to, the rest is the answer.

#![no_main]

use alived::kernel::ipvs::{FirewallMark, HostPort, IpvsEntry, Protocol, ServiceKey};
use alived::net::Family;
use alived::sys::netlink::ipvs::{attributes, destination, information, service, sync_daemon, timeouts};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, answer)) = input.split_first() else { return };
    let key = match choice % 3 {
        0 => ServiceKey::Address(HostPort { address: [192, 0, 2, 1].into(), port: None }, Protocol::Tcp),
        1 => ServiceKey::Address(HostPort { address: [0x2001; 8].into(), port: None }, Protocol::Udp),
        _ => ServiceKey::FirewallMark(FirewallMark { mark: 7.try_into().unwrap(), family: Family::Ipv6 }),
    };
    if let Some(held) = service(answer)
        && let Some(settings) = held.settings
    {
        let again = service(&attributes(&IpvsEntry::Service(held.key, settings.clone()))).unwrap();
        assert_eq!((again.key, again.settings), (held.key, Some(settings)));
    }
    if let Some(held) = destination(key, answer)
        && let Some(settings) = held.settings
    {
        let again = attributes(&IpvsEntry::Destination(key, held.target, settings));
        let again = destination(key, &again).unwrap();
        assert_eq!((again.target, again.settings), (held.target, Some(settings)));
    }
    let _ = (sync_daemon(answer), information(answer), timeouts(answer));
});
