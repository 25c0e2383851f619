//! Statements of every block with the exit status that `-t` gives them: ours from the text alone with a made-up
//! host, keepalived's in a namespace that has the same interfaces.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "support/skip.rs"]
mod skip;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use alived::config::{FakeHost, LoadOptions, PathKind, PathMetadata, User, diagnostics, load};
use alived::drill::Folder;
use alived::net::{InterfaceName, MacAddress};
use alived::sys::namespace::Namespace;
use alived::sys::netlink::{Network, VethEnd};

/// One line of the table.
struct Case {
    text: String,
    statement: &'static str,
    keepalived: u8,
    alived: u8,
}

fn cases() -> Vec<Case> {
    let mut around = BTreeMap::new();
    let mut cases = Vec::new();
    for line in include_str!("config/statements.tsv").lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(template) = line.strip_prefix("= ") {
            let (kind, text) = template.split_once('\t').unwrap();
            around.insert(kind, text);
            continue;
        }
        let cells: Vec<&'static str> = line.split('\t').collect();
        let [kind, keepalived, alived, statement, reason @ ..] = cells.as_slice() else {
            panic!("too few cells: {line}");
        };
        assert_eq!(keepalived != alived, reason.len() == 1, "a difference has a reason: {line}");
        cases.push(Case {
            text: around[kind].replace('@', statement).replace("\\n", "\n"),
            statement,
            keepalived: keepalived.parse().unwrap(),
            alived: alived.parse().unwrap(),
        });
    }
    cases
}

/// A host with what the statements name: interfaces, users, one program, iproute2's names.
fn host(text: &str) -> FakeHost {
    let mut host = FakeHost::with_file("/k.conf", text)
        .and_file("/etc/iproute2/rt_protos", "12 bird\n")
        .and_file("/etc/iproute2/rt_dsfield", "0x28 AF11\n")
        .and_interfaces(&["lo", "eth0", "eth1"]);
    let users = [("root", 0), ("nobody", 65534)];
    host.users = Some(users.map(|(name, id)| (name.to_owned(), User { uid: id, gid: id })).into());
    host.groups = Some([("nogroup".to_owned(), 65534)].into());
    let program = PathMetadata { kind: PathKind::File, uid: 0, gid: 0, mode: 0o755 };
    let directory = PathMetadata { kind: PathKind::Directory, ..program.clone() };
    let paths =
        [("/", &directory), ("/usr", &directory), ("/usr/bin", &directory), ("/usr/bin/true", &program)];
    host.paths = Some(paths.map(|(path, metadata)| (path.to_owned(), metadata.clone())).into());
    host
}

#[test]
fn statements_are_judged_as_the_table_says() {
    let mut wrong = Vec::new();
    for case in cases() {
        let loaded = load(&host(&case.text), "/k.conf", &LoadOptions::default());
        if loaded.exit_code != case.alived {
            let rendered = loaded.render(diagnostics::Style::default());
            wrong.push(format!("{}: {} not {}\n{rendered}", case.statement, loaded.exit_code, case.alived));
        }
        let faults = loaded.diagnostics.iter().filter(|diagnostic| diagnostic.status.is_some()).count();
        assert_eq!(faults > 0, loaded.exit_code > 0, "{}", case.statement);
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn keepalived_judges_them_as_the_table_says() {
    const NAME: &str = "keepalived_judges_them_as_the_table_says";
    match Command::new("keepalived").arg("-v").output() {
        Ok(output) if String::from_utf8_lossy(&output.stderr).contains("Keepalived v2.2.7") => {}
        Ok(_) => {
            return skip::skip(NAME, "the table is measured with keepalived 2.2.7, another one is installed");
        }
        Err(_) => return skip::skip(NAME, "keepalived is not installed"),
    }
    let (namespace, far) = match (Namespace::create(), Namespace::create()) {
        (Ok(namespace), Ok(far)) => (namespace, far),
        (Err(error), _) | (_, Err(error)) => {
            return skip::skip(
                NAME,
                &format!("no right to create network namespaces ({error}), run as root"),
            );
        }
    };
    let mut socket = namespace.run(Network::open).unwrap().unwrap();
    for (number, name) in [(1, "eth0"), (2, "eth1")] {
        let name: InterfaceName = name.parse().unwrap();
        let mac = |end| MacAddress([2, 0, 0, 0, number, end]);
        let near_end = VethEnd { name: &name, namespace: &namespace, mac: mac(1) };
        socket.create_veth(near_end, VethEnd { name: &name, namespace: &far, mac: mac(2) }).unwrap();
        let link = socket.index_of(&name).unwrap();
        socket.set_up(link, true).unwrap();
    }
    let folder = Folder::create().unwrap();
    let file = folder.path().join("k.conf");
    let mut wrong = Vec::new();
    for case in cases() {
        fs::write(&file, &case.text).unwrap();
        let mut command = Command::new("keepalived");
        command.arg("-t").arg("-f").arg(&file).stdin(Stdio::null());
        namespace.contain(&mut command);
        let output = command.output().unwrap();
        if output.status.code() != Some(case.keepalived.into()) {
            wrong.push(format!("{}: {} not {}", case.statement, output.status, case.keepalived));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}
