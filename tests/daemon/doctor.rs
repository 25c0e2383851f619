//! `alived doctor` in network namespaces that lack what virtual routers need, with and without a running daemon.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::host::{Host, instance};
use crate::skip;

const ADDRESS: &str = "192.0.2.50/24";

/// The command in the host's namespace.
fn doctor(host: &Host, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alived"));
    command.arg("doctor").args(words).arg("-r").arg(host.path("vrrp.pid"));
    command.arg("-f").arg(host.path("keepalived.conf"));
    host.namespace.contain(&mut command);
    command.output().unwrap()
}

fn findings(host: &Host) -> Vec<Value> {
    let output = doctor(host, &["--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    answer["findings"].as_array().unwrap().clone()
}

/// The findings whose text has these words.
fn about<'a>(findings: &'a [Value], words: &str) -> Vec<&'a Value> {
    findings.iter().filter(|finding| finding["text"].as_str().unwrap().contains(words)).collect()
}

fn set(host: &Host, key: &str, value: &str) {
    let path = format!("/proc/sys/{key}");
    host.namespace.run(|| fs::write(&path, value)).unwrap().unwrap();
}

#[test]
fn what_the_kernel_lacks_is_found_without_a_daemon_and_mended_by_the_commands() {
    let Some(host) = Host::new() else { return };
    host.configure(&instance("VI_1", 51, 100, ADDRESS));
    for (key, bad, words) in [
        ("net/ipv4/conf/lan0/arp_ignore", "8", "arp_ignore keeps the kernel from answering"),
        ("net/ipv4/ip_nonlocal_bind", "0", "ip_nonlocal_bind is off"),
    ] {
        set(&host, key, bad);
        let found = findings(&host);
        let [finding] = about(&found, words)[..] else { panic!("{key}: {found:?}") };
        let mend = finding["mend"].as_str().unwrap();
        for word in mend.split(' ').filter(|word| word.contains('=')) {
            let (name, value) = word.split_once('=').unwrap();
            set(&host, &name.replace('.', "/"), value);
        }
        let found = findings(&host);
        assert_eq!(about(&found, words), Vec::<&Value>::new(), "{mend}");
    }
    let output = doctor(&host, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("no daemon (none answers) and the virtual router"), "{text}");

    let unicast = instance("VI_1", 51, 100, ADDRESS)
        .replace("    version 3\n", "    version 3\n    unicast_peer {\n        192.0.2.2\n    }\n");
    host.configure(&unicast);
    set(&host, "net/ipv4/conf/lan0/rp_filter", "1");
    assert_eq!(about(&findings(&host), "rp_filter is strict").len(), 1);
    set(&host, "net/ipv4/conf/lan0/rp_filter", "2");
    assert_eq!(about(&findings(&host), "rp_filter is strict").len(), 0);

    host.configure(&instance("VI_1", 51, 100, ADDRESS).replace("lan0", "gone0"));
    assert_eq!(about(&findings(&host), "no such interface").len(), 1);
    host.configure("vrrp_instance VI_1 {\n    virtual_router_id 300\n}\n");
    assert_eq!(about(&findings(&host), "the configuration has errors").len(), 1);
}

#[test]
fn an_interface_that_is_down_is_found() {
    let Some(mut host) = Host::new() else { return };
    host.configure(&instance("VI_1", 51, 100, ADDRESS));
    let lan = host.lan();
    host.socket.set_up(lan, false).unwrap();
    let found = findings(&host);
    let [finding] = about(&found, "the interface is down")[..] else { panic!("{found:?}") };
    assert_eq!((&finding["level"], &finding["mend"]), (&"error".into(), &"ip link set lan0 up".into()));
    assert_eq!(doctor(&host, &[]).status.code(), Some(1));
}

#[test]
fn a_firewall_that_drops_vrrp_is_found_and_the_named_command_lets_it_through() {
    let Some(host) = Host::new() else { return };
    host.configure(&instance("VI_1", 51, 100, ADDRESS));
    let run = |line: &str| {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap());
        command.args(words);
        host.namespace.contain(&mut command);
        command.output().map(|output| {
            assert!(output.status.success(), "{line}: {output:?}");
        })
    };
    if run("nft add table inet filter").is_err() {
        return skip::skip("a_firewall_that_drops_vrrp_is_found", "nft is not installed");
    }
    assert_eq!(about(&findings(&host), "chain").len(), 0);
    run("nft add chain inet filter input { type filter hook input priority 0 ; policy drop ; }").unwrap();
    run("nft add rule inet filter input ct state established,related accept").unwrap();
    run("nft add rule inet filter input tcp dport 22 accept").unwrap();
    let found = findings(&host);
    let [finding] = about(&found, "chain input of table inet filter drops advertisements")[..] else {
        panic!("{found:?}")
    };
    assert_eq!(finding["level"], "error");
    run(finding["mend"].as_str().unwrap()).unwrap();
    assert_eq!(about(&findings(&host), "chain").len(), 0);
}

#[test]
fn one_way_paths_and_second_masters_are_found_by_a_running_daemon() {
    let Some((mut first, mut second)) = Host::pair() else { return };
    first.configure(&instance("VI_1", 51, 150, ADDRESS));
    // Speaks the other version: each hears packets that it cannot use.
    second
        .configure(&instance("VI_1", 51, 100, ADDRESS).replace("version 3", "version 2").replace("0.1", "1"));
    first.start(&[]);
    second.start(&[]);
    for host in [&mut first, &mut second] {
        host.wait("packets that are not used", |host| {
            let found = findings(host);
            found.iter().any(|finding| {
                let text = finding["text"].as_str().unwrap();
                text.contains("were not used, the last one because") && text.contains("none was used")
            })
        });
    }
    let output = doctor(&first, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("error: VI_1: ") && text.contains("the running daemon"), "{text}");
}

#[test]
fn flags_and_settings_of_the_running_daemon_count() {
    let Some(mut host) = Host::new() else { return };
    let elsewhere = instance("VI_1", 51, 100, ADDRESS).replace("interface lan0", "interface gone0");
    host.configure(
        &elsewhere.replace("    interface gone0", "    @left interface lan0\n    @^left interface gone0"),
    );
    assert_eq!(about(&findings(&host), "no such interface").len(), 1, "without -i the other line counts");
    host.start(&["-i", "left"]);
    assert_eq!(about(&findings(&host), "no such interface").len(), 0);
    host.write("alived.toml", "realtime = \"what\"\n");
    let found = findings(&host);
    let [finding] = about(&found, "alived.toml has errors")[..] else { panic!("{found:?}") };
    assert_eq!(finding["level"], "error");
}

#[test]
fn a_limit_of_real_time_priorities_stands_for_the_right() {
    let Some(host) = Host::new() else { return };
    host.configure(&instance("VI_1", 51, 100, ADDRESS));
    // Raising a limit is a right of its own.
    if !Command::new("prlimit").args(["--rtprio=50", "true"]).status().is_ok_and(|status| status.success()) {
        return skip::skip(
            "a_limit_of_real_time_priorities_stands_for_the_right",
            "no right to raise the limit of real-time priorities (CAP_SYS_RESOURCE)",
        );
    }
    let missing = |limit: &str| {
        let mut command = Command::new("prlimit");
        command.args([limit, "setpriv", "--bounding-set=-sys_nice", "--inh-caps=-sys_nice"]);
        command.arg(env!("CARGO_BIN_EXE_alived")).args(["doctor", "--json", "-f"]);
        command.arg(host.path("keepalived.conf")).arg("-r").arg(host.path("vrrp.pid"));
        host.namespace.contain(&mut command);
        let output = command.output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        about(answer["findings"].as_array().unwrap(), "CAP_SYS_NICE missing").len()
    };
    assert_eq!((missing("--rtprio=0"), missing("--rtprio=50")), (1, 0));
}
