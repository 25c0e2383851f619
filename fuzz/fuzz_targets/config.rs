//! Any bytes as a keepalived.conf and the files it includes: never a panic, bounded work, and what is usable is
//! fit for the node. What is printed in canonical form is read back as the same.
//!
//! The input is several files with NUL bytes between them: the main file, then a.conf, b.conf, ... beside it.

#![no_main]

use std::collections::BTreeMap;

use alived::config::diagnostics::{Style, to_json};
use alived::config::{
    FakeHost, Limits, LoadOptions, Loaded, PathKind, PathMetadata, PrintOptions, User, load,
};
use alived::kernel::{KernelEvent, KernelView};
use alived::net::Family;
use alived::node::{Event, HaNode};
use alived::time::Now;
use alived::vrrp::Actions;
use libfuzzer_sys::fuzz_target;

const MAIN: &str = "/etc/keepalived/keepalived.conf";

fuzz_target!(|input: &[u8]| {
    let host = host(input);
    let loaded = load(&host, MAIN, &options());
    // Drawing the source lines takes longest by far: a fourth of the inputs finds its faults too.
    if input.len() % 4 == 0 {
        let colour = input.len() % 8 == 0;
        let _ = loaded.render(Style { colour, show_secrets: colour });
    }
    let _ = loaded.log_lines().count();
    let _ = to_json(&loaded.diagnostics, &loaded.sources);
    assert!(loaded.usable || !loaded.diagnostics.is_empty(), "refused without a word");
    if loaded.usable {
        fit_for_the_node(&loaded);
    }

    let printed = print(&loaded);
    let again = load(&FakeHost::with_file(MAIN, printed.as_str()), MAIN, &options());
    assert_eq!(print(&again), printed, "{}", again.render(Style::default()));
});

fn options() -> LoadOptions {
    let limits = Limits {
        file_bytes: 1 << 16,
        total_bytes: 1 << 17,
        files: 50,
        expanded_lines: 2_000,
        expanded_bytes: 1 << 18,
        ..Limits::default()
    };
    LoadOptions { config_id: Some("main".into()), limits, ..LoadOptions::default() }
}

fn host(input: &[u8]) -> FakeHost {
    let names = ["keepalived", "a", "b", "c", "d"];
    let mut host = FakeHost { node_name: "node.example".into(), ..FakeHost::default() };
    for (name, text) in names.iter().zip(input.split(|byte| *byte == 0)) {
        host = host.and_file(&format!("/etc/keepalived/{name}.conf"), text);
    }
    host.environment = BTreeMap::from([("HOME".into(), "/root".into()), ("BAD".into(), "{ } $X \"".into())]);
    host.users = Some(BTreeMap::from([("nobody".into(), User { uid: 65534, gid: 65534 })]));
    host.groups = Some(BTreeMap::from([("nogroup".into(), 65534)]));
    let script = PathMetadata { kind: PathKind::File, mode: 0o755, uid: 0, gid: 0 };
    host.paths = Some(BTreeMap::from([("/etc/keepalived/check.sh".into(), script)]));
    host.and_interfaces(&["lo", "eth0", "eth1"])
}

fn print(loaded: &Loaded) -> String {
    loaded.print(PrintOptions { show_secrets: true, defaults: false })
}

/// The node trusts its configuration: what it relies on holds.
fn fit_for_the_node(loaded: &Loaded) {
    for router in &loaded.node.routers {
        assert!(router.priority.0 > 0, "{}", router.name);
        assert!(router.down_timer_adverts > 0, "{}", router.name);
        assert!(router.addresses.len() <= 255, "{}", router.name);
        assert!(router.addresses.iter().all(|address| address.spec.prefix.family() == router.family));
        assert!(router.source.is_none_or(|source| Family::of(&source) == router.family));
    }
    let mut node = HaNode::new(loaded.node.clone());
    node.handle(
        Now::default(),
        Event::Kernel(KernelEvent::View(KernelView::default())),
        &mut Actions::default(),
    );
    let mut actions = Actions::default();
    node.handle(Now::default(), Event::Reconfigure(loaded.node.clone()), &mut actions);
    assert_eq!(actions, Actions::default(), "an equal configuration is no change");
}
