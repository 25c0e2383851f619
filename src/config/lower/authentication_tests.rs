//! `authentication` and `auth_hmac`, from text to what a router is told.

use crate::config::diagnostics::{Severity, Status, Style};
use crate::config::{
    FakeHost, LoadOptions, Loaded, PathKind, PathMetadata, PrintOptions, load, print, spell_out_keys,
};
use crate::secret::Secret;
use crate::time::Duration;
use crate::vrrp::{AntiReplay, HmacConfig, HmacMode, InitialState, RouterConfig};
use crate::wire::vrrp::AuthenticationData;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn host(body: &str) -> FakeHost {
    let text = format!(
        "vrrp_instance V {{\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {{\n192.0.2.1\n}}\n{body}\n}}\n"
    );
    FakeHost::with_file("/k.conf", text)
}

fn of(host: &FakeHost) -> Loaded {
    load(host, "/k.conf", &LoadOptions::default())
}

fn faults(loaded: &Loaded) -> Vec<(&'static str, Severity)> {
    loaded.diagnostics.iter().filter(|f| f.status.is_some()).map(|f| (f.code, f.severity)).collect()
}

#[track_caller]
fn router(body: &str) -> RouterConfig {
    let loaded = of(&host(body));
    assert_eq!(faults(&loaded), [], "{}", loaded.render(Style::default()));
    assert!(loaded.usable);
    loaded.node.routers[0].clone()
}

#[track_caller]
fn hmac(body: &str) -> HmacConfig {
    *router(body).hmac.unwrap()
}

fn block(body: &str) -> String {
    format!("auth_hmac {{\n{body}\n}}")
}

#[test]
fn a_block_with_all_its_words() {
    let least = hmac(&block(&format!("key 7 {KEY}\nactive_key 7")));
    assert_eq!((least.active, least.anti_replay, least.mode), (7, AntiReplay::Time, HmacMode::Enforce));
    assert_eq!(least.window, Duration::from_secs(5));
    assert_eq!(&**least.key(7).unwrap().secret().expose(), KEY.as_bytes());
    let hex = "00".repeat(64);
    let all = hmac(&block(&format!(
        "key 7 \"{KEY}\"\nkey 255 hex:{hex}\nactive_key 255\ntime_window 300\nanti_replay monotonic\nmode receive-only"
    )));
    assert_eq!((all.active, all.anti_replay, all.mode), (255, AntiReplay::Monotonic, HmacMode::ReceiveOnly));
    assert_eq!(all.window, Duration::from_secs(300));
    assert_eq!(&**all.key(255).unwrap().secret().expose(), [0; 64]);
    assert_eq!(all.keys.len(), 2);
    // Three whole seconds of the interval, at least 5 s, at most 300.
    for (interval, window) in [("3", 9), ("1", 5), ("120", 300)] {
        let text = format!("advert_int {interval}\n{}", block(&format!("key 1 {KEY}\nactive_key 1")));
        assert_eq!(hmac(&text).window, Duration::from_secs(window), "{interval} s");
    }
    assert_eq!(
        hmac(&format!("version 3\nadvert_int 2.99\n{}", block(&format!("key 1 {KEY}\nactive_key 1"))))
            .window
            .as_secs(),
        6
    );
}

#[test]
fn a_file_holds_a_key_for_its_owner_alone() {
    let text = block("key 1 file:/etc/key\nactive_key 1");
    let with_mode = |mode: u32, content: &str| {
        let metadata = PathMetadata { kind: PathKind::File, uid: 0, gid: 0, mode };
        let mut host = host(&text).and_file("/etc/key", content);
        host.paths = Some([("/etc/key".to_owned(), metadata)].into());
        of(&host)
    };
    for end in ["", "\n", "\r\n"] {
        let loaded = with_mode(0o600, &format!("{KEY}{end}"));
        assert_eq!(faults(&loaded), []);
        let hmac = loaded.node.routers[0].hmac.clone().unwrap();
        assert_eq!(&**hmac.key(1).unwrap().secret().expose(), KEY.as_bytes());
        // A later worker has the key without its file.
        let mut config = loaded.config;
        spell_out_keys(&mut config);
        let printed = print(&config, PrintOptions { show_secrets: true, defaults: false });
        let again = of(&FakeHost::with_file("/k.conf", printed));
        assert_eq!(again.node.routers[0].hmac, Some(hmac));
    }
    let open = with_mode(0o640, KEY);
    let security = open.diagnostics.iter().filter(|f| f.status == Some(Status::Security)).count();
    assert_eq!((security, open.usable), (1, false), "{}", open.render(Style::default()));
    for content in ["short", &"x".repeat(65), &format!("{KEY}\n\n{KEY}")] {
        let loaded = with_mode(0o600, content);
        assert!(faults(&loaded).contains(&("invalid-value", Severity::Error)), "{content}");
        assert!(!loaded.usable);
        assert!(!loaded.render(Style::default()).contains(KEY));
    }
    let mut missing = host(&text);
    assert_eq!(faults(&of(&missing)), [], "judged without its host");
    missing.paths = Some(Default::default());
    assert_eq!(faults(&of(&missing)), [("invalid-value", Severity::Error), ("auth-hmac", Severity::Fatal)]);
}

#[test]
fn without_a_key_to_sign_with_nothing_starts() {
    let key = format!("key 3 {KEY}");
    for (body, words) in [
        (key.clone(), "auth_hmac has no active_key"),
        (format!("{key}\nactive_key 4"), "write active_key with one of the keys that there are: 3"),
        ("active_key 4".to_owned(), "write key ID SECRET with a secret of 32 to 64 bytes"),
        ("key 3 tooshort\nactive_key 3".to_owned(), "the key has 8 bytes, it must have 32 to 64"),
        ("key 3 hex:0g\nactive_key 3".to_owned(), "must be pairs of hexadecimal digits"),
        ("key 3 hex:012\nactive_key 3".to_owned(), "must be pairs of hexadecimal digits"),
        (format!("key 0 {KEY}\nactive_key 3"), "key"),
    ] {
        let loaded = of(&host(&block(&body)));
        let text = loaded.render(Style::default());
        assert!(!loaded.usable && text.contains(words), "{body}: {text}");
        assert!(!text.contains(KEY) && !text.contains("tooshort"), "{text}");
    }
    let twice = of(&host(&block(&format!("{key}\nkey 3 hex:{}\nactive_key 3", "11".repeat(32)))));
    assert_eq!(faults(&twice), [("duplicate-key", Severity::Error)]);
    let hmac = twice.node.routers[0].hmac.as_ref().unwrap();
    assert_eq!(&**hmac.key(3).unwrap().secret().expose(), KEY.as_bytes());
}

#[test]
fn strict_mode_enforces() {
    let loaded =
        of(&host(&format!("strict_mode\n{}", block(&format!("key 1 {KEY}\nactive_key 1\nmode permissive")))));
    assert!(faults(&loaded).contains(&("strict-mode", Severity::Error)));
    assert_eq!(loaded.node.routers[0].hmac.as_ref().unwrap().mode, HmacMode::Enforce);
}

const AH: &str = "authentication {\nauth_type AH\nauth_pass secret123\n}";

#[test]
fn a_header_of_version_2_over_ipv4() {
    let loaded = of(&host(AH));
    assert_eq!(faults(&loaded), [("password-too-long", Severity::Error)]);
    let router = &loaded.node.routers[0];
    let password = AuthenticationData::AuthenticationHeader(Secret::new(*b"secret12"));
    assert_eq!(router.authentication, password);
    assert!(router.counts_over_restarts());

    let short = AH.replace("secret123", "s");
    let master = of(&host(&format!("{short}\nstate MASTER\npriority 150\nnopreempt")));
    assert_eq!(faults(&master), [("authentication", Severity::Error)]);
    assert_eq!(master.node.routers[0].initial, InitialState::Backup);
    assert!(!master.node.routers[0].preempt, "nopreempt goes with BACKUP");
    for (body, why) in [
        (format!("{short}\nversion 3"), "version 3"),
        (format!("{short}\n{}", block(&format!("key 1 {KEY}\nactive_key 1"))), "beside auth_hmac"),
    ] {
        let loaded = of(&host(&body));
        assert_eq!(faults(&loaded), [("authentication", Severity::Error)], "{why}");
        assert_eq!(loaded.node.routers[0].authentication, AuthenticationData::None, "{why}");
    }
    let six = short.clone() + "\nversion 2";
    let text = format!(
        "vrrp_instance V {{\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {{\nfe80::1/64\n}}\n{six}\n}}\n"
    );
    let loaded = of(&FakeHost::with_file("/k.conf", text));
    assert_eq!(faults(&loaded), [("authentication", Severity::Error)]);
    assert_eq!(loaded.node.routers[0].authentication, AuthenticationData::None);
}

#[test]
fn what_is_added_to_a_packet_leaves_less_room_for_addresses() {
    let addresses: String = (1..=12).map(|n| format!("192.0.2.{n}\n")).collect();
    let body = |block: &str| {
        format!(
            "vrrp_instance V {{\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {{\n{addresses}}}\n{block}\n}}\n"
        )
    };
    // 20 of IPv4, 16 of VRRP version 2, 4 for each address.
    for (block, room) in [
        (String::new(), 12),
        (block(&format!("key 1 {KEY}\nactive_key 1")), 5),
        (AH.replace("secret123", "s"), 6),
    ] {
        let mut host = FakeHost::with_file("/k.conf", body(&block)).and_interfaces(&["eth0"]);
        host.interfaces.as_mut().unwrap()[0].mtu = 84;
        let loaded = of(&host);
        assert_eq!(loaded.node.routers[0].addresses.len(), room, "{}", loaded.render(Style::default()));
    }
}

#[test]
fn keys_do_not_show() {
    let loaded = of(&host(&block(&format!("key 1 {KEY}\nactive_key 1"))));
    let printed = print(&loaded.config, PrintOptions::default());
    assert!(printed.contains("active_key 1") && !printed.contains(KEY), "{printed}");
    let debug = format!("{:?} {:?}", loaded.config, loaded.node);
    assert!(!debug.contains(KEY) && !debug.contains("48, 49, 50"), "{debug}");
}
