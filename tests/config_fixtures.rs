//! Configuration files and what becomes of them: `tests/config/valid` and `tests/config/invalid`.
//!
//! Each has a snapshot of the rendered errors and of the configuration as understood, and each gets from
//! `alived -t` the exit status that `keepalived -t` gives it beside, in a namespace with the interfaces
//! eth0 to eth3, except where `tests/config/disagreements.tsv` says why not. The small inputs of
//! `tests/config/cases` get the status that their table wants.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use alived::config::diagnostics::Style;
use alived::config::{FakeHost, LoadOptions, Loaded, PrintOptions, load};
use alived::net::{InterfaceName, MacAddress};
use alived::sys::namespace::Namespace;
use alived::sys::netlink::{Network, VethEnd};

#[path = "support/skip.rs"]
mod skip;

const INTERFACES: [&str; 5] = ["lo", "eth0", "eth1", "eth2", "eth3"];
const SAMPLES: &str = "/usr/share/doc/keepalived/samples";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config")
}

/// The configuration files of a folder by name.
fn files(folder: &Path) -> BTreeMap<String, PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path))
        .filter(|(name, _)| name.contains(".conf"))
        .collect()
}

/// Reads a file on a host that has the interfaces and nothing else.
fn read(path: &Path) -> Loaded {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let host = FakeHost::with_file(&name, fs::read(path).unwrap()).and_interfaces(&INTERFACES);
    load(&host, &name, &LoadOptions::default())
}

fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder().join("snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

#[test]
fn fixtures_are_understood_as_their_snapshots_say() {
    for group in ["valid", "invalid"] {
        let fixtures = files(&folder().join(group));
        assert!(fixtures.len() > 20, "{group}");
        for (name, path) in fixtures {
            let loaded = read(&path);
            let text = format!(
                "-t: {}, usable: {}\n\n{}\n---- as understood ----\n{}",
                loaded.exit_code,
                loaded.usable,
                loaded.render(Style::default()),
                loaded.print(PrintOptions::default())
            );
            settings()
                .bind(|| insta::assert_snapshot!(format!("{group}_{}", name.replace(".conf", "")), text));
        }
    }
}

/// Printing what was printed gives the same text, and reading it the same configuration.
#[test]
fn what_is_printed_is_a_fixed_point() {
    let options = PrintOptions { show_secrets: true, ..PrintOptions::default() };
    for group in ["valid", "invalid"] {
        for (name, path) in files(&folder().join(group)) {
            let loaded = read(&path);
            let text = loaded.print(options);
            let host = FakeHost::with_file("k", text.as_str()).and_interfaces(&INTERFACES);
            let again = load(&host, "k", &LoadOptions::default());
            assert_eq!(again.print(options), text, "{name}");
            assert!(again.says_the_same(&loaded), "{name}");
        }
    }
}

/// The examples say nothing wrong, to keepalived or to us, and as a cluster of two nodes they meet.
#[test]
fn the_examples_are_good() {
    let examples = files(&folder().join("../../conf"));
    assert!(examples.len() >= 6);
    for (name, path) in examples {
        let text = fs::read(&path).unwrap();
        let host = FakeHost::with_file(&name, text).and_interfaces(&INTERFACES);
        // The first line for one node names the preferred one.
        let written = fs::read_to_string(&path).unwrap();
        let preferred = written
            .lines()
            .filter_map(|line| line.trim().strip_prefix('@'))
            .find(|line| !line.starts_with('^'))
            .and_then(|line| line.split(' ').next())
            .unwrap();
        let load_as = |id: &str| {
            let options = LoadOptions { config_id: Some(id.to_owned()), ..LoadOptions::default() };
            load(&host, &name, &options)
        };
        let (first, second) = (load_as(preferred), load_as("another"));
        for loaded in [&first, &second] {
            assert_eq!(loaded.exit_code, 0, "{name}: {}", loaded.render(Style::default()));
        }
        let findings = alived::config::cluster::lint(&[("first", &first), ("second", &second)]);
        assert!(!findings.is_empty(), "{name}");
        for finding in findings {
            assert_eq!(finding.code, "winner", "{name}: {finding}");
        }
    }
}

/// A namespace with the interfaces, all up.
fn namespace() -> Result<Namespace, String> {
    let namespace = Namespace::create().map_err(|error| error.to_string())?;
    namespace
        .run(|| -> Result<(), String> {
            let mut socket = Network::open().map_err(|error| error.to_string())?;
            let name = |text: &str| text.parse::<InterfaceName>().unwrap();
            for index in 0..4 {
                let (near, far) = (name(&format!("eth{index}")), name(&format!("peer{index}")));
                let end = |name, last| VethEnd {
                    name,
                    namespace: &namespace,
                    mac: MacAddress([2, 0, 0, 0, index, last]),
                };
                socket.create_veth(end(&near, 1), end(&far, 2)).map_err(|error| error.to_string())?;
                for end in [&near, &far] {
                    let link = socket.index_of(end).map_err(|error| error.to_string())?;
                    socket.set_up(link, true).map_err(|error| error.to_string())?;
                }
                let link = socket.index_of(&near).map_err(|error| error.to_string())?;
                let mut own = vec![(format!("192.0.2.{}", index + 1), 24)];
                if index == 0 {
                    own.push(("2001:db8::1".to_owned(), 64));
                }
                for (address, length) in own {
                    let prefix = alived::net::Prefix::new(address.parse().unwrap(), length).unwrap();
                    socket.add_address(link, prefix).map_err(|error| error.to_string())?;
                }
            }
            Ok(())
        })
        .map_err(|error| error.to_string())??;
    Ok(namespace)
}

/// Exit status of `program -t -f file` inside.
fn config_test(namespace: &Namespace, program: &str, file: &Path) -> Option<i32> {
    let mut command = Command::new(program);
    command.arg("-t").arg("-f").arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    namespace.contain(&mut command);
    command.status().ok()?.code()
}

struct Accepted {
    keepalived: i32,
    ours: i32,
}

/// Name of the file, status of keepalived, ours, reason.
fn disagreements() -> BTreeMap<String, Accepted> {
    let text = fs::read_to_string(folder().join("disagreements.tsv")).unwrap();
    text.lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split('\t').collect();
            let [name, keepalived, ours, reason] = cells.as_slice() else { panic!("{line}") };
            assert!(!reason.is_empty(), "{name} needs a reason");
            let accepted = Accepted { keepalived: keepalived.parse().unwrap(), ours: ours.parse().unwrap() };
            ((*name).to_owned(), accepted)
        })
        .collect()
}

#[test]
fn config_test_exits_as_keepalived_does() {
    let name = "config_test_exits_as_keepalived_does";
    if Command::new("keepalived").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        return skip::skip(name, "keepalived is not installed");
    }
    let namespace = match namespace() {
        Ok(namespace) => namespace,
        Err(error) => return skip::skip(name, &format!("no network namespace with interfaces: {error}")),
    };
    let mut all = files(&folder().join("valid"));
    all.extend(files(&folder().join("invalid")));
    all.extend(files(&folder().join("../../conf")));
    let samples = files(Path::new(SAMPLES));
    if samples.is_empty() {
        println!("the samples of Debian's package are not here: {SAMPLES}");
    }
    all.extend(samples);
    let mut accepted = disagreements();
    let mut wrong = Vec::new();
    for (name, path) in &all {
        let keepalived = config_test(&namespace, "keepalived", path).expect("keepalived ends by itself");
        let ours =
            config_test(&namespace, env!("CARGO_BIN_EXE_alived"), path).expect("alived ends by itself");
        match accepted.remove(name) {
            Some(expected) if (expected.keepalived, expected.ours) == (keepalived, ours) => {}
            Some(expected) => wrong.push(format!(
                "{name}: keepalived {keepalived}, alived {ours}, but disagreements.tsv says {} and {}",
                expected.keepalived, expected.ours
            )),
            None if keepalived == ours => {}
            None => wrong.push(format!("{name}: keepalived {keepalived}, alived {ours}")),
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// File, wanted status.
fn cases() -> BTreeMap<String, i32> {
    let text = fs::read_to_string(folder().join("cases/cases.tsv")).unwrap();
    text.lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split('\t').collect();
            let [name, _keepalived, wanted, _words] = cells.as_slice() else { panic!("{line}") };
            ((*name).to_owned(), wanted.parse().unwrap())
        })
        .collect()
}

#[test]
fn cases_get_the_status_that_is_wanted() {
    let name = "cases_get_the_status_that_is_wanted";
    let cases = cases();
    let given = files(&folder().join("cases"));
    let names: BTreeSet<String> = given.keys().map(|name| name.replace(".conf", "")).collect();
    assert_eq!(names, cases.keys().cloned().collect(), "the files and the table are of one kind");
    let not_met = fs::read_to_string(folder().join("cases/not_met.txt")).unwrap();
    let not_met: BTreeSet<&str> = not_met.lines().filter(|line| !line.starts_with('#')).collect();
    for name in &not_met {
        assert!(cases.contains_key(*name), "not_met.txt: {name} is no case");
    }
    let namespace = match namespace() {
        Ok(namespace) => namespace,
        Err(error) => return skip::skip(name, &format!("no network namespace with interfaces: {error}")),
    };
    let mut wrong = Vec::new();
    for (name, wanted) in &cases {
        let file = &given[&format!("{name}.conf")];
        let status =
            config_test(&namespace, env!("CARGO_BIN_EXE_alived"), file).expect("alived ends by itself");
        match (status == *wanted, not_met.contains(name.as_str())) {
            (false, false) => wrong.push(format!("{name}: {status}, wanted {wanted}")),
            (true, true) => wrong.push(format!("{name}: met, strike it out of not_met.txt")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Printing a file is no judgement on whether its scripts may run: what was understood is printed.
#[test]
fn a_file_with_scripts_is_printed_without_fault() {
    let folder = folder().join("cases");
    for name in ["15_symlink_dir_notify", "15_symlink_dir_script", "16_usr_sbin_ip", "14_fifo_script"] {
        let output = Command::new(env!("CARGO_BIN_EXE_alived"))
            .arg("print")
            .arg(folder.join(format!("{name}.conf")))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*said), (Some(0), ""), "{name}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("bin/"), "{name}");
    }
}

/// A remark shows its code, and by its code more is told of it.
#[test]
fn remarks_are_explained_by_their_code() {
    let folder = tempfile::tempdir().unwrap();
    let router = |name: &str, priority: u8| {
        let path = folder.path().join(name);
        let text = format!(
            "vrrp_instance A {{\ninterface eth0\nvirtual_router_id 7\npriority {priority}\nauthentication {{\n\
             auth_type PASS\nauth_pass pa!ss\n}}\nvirtual_ipaddress {{\n192.0.2.7\n}}\n}}\n"
        );
        fs::write(&path, text).unwrap();
        path
    };
    let check = |arguments: &[&std::ffi::OsStr]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_alived")).arg("check").args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (status, cluster, said) = check(&[router("a", 100).as_os_str(), router("b", 100).as_os_str()]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("warning[cut-password]"), "{said}");
    assert!(said.ends_with("--explain CODE` tells more of: cut-password priority\n"), "{said}");
    assert!(cluster.starts_with("warning[priority]: VRID 7"), "{cluster}");
    let explain = |code: &str| check(&["--explain".as_ref(), code.as_ref()]);
    let (status, text, _) = explain("cut-password");
    assert!(status == Some(0) && text.contains("auth_pass \"pa!sword\""), "{text}");
    let (status, _, said) = explain("nonsense");
    assert!(status == Some(64) && said.contains("never-tracked"), "{said}");
}
