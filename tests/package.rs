//! The Debian package: built of the parts that `Cargo.toml` names, judged by lintian, installed to a copy of this
//! machine's files, and run there by a real systemd.
//!
//! `cargo deb` itself takes minutes to install: its work is done here with dpkg's own tools, from the same metadata.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::disallowed_types)]

#[path = "support/host.rs"]
mod host;
#[path = "support/skip.rs"]
mod skip;
#[path = "support/systemd.rs"]
mod systemd;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use alived::drill::Folder;
use host::{Host, instance};
use systemd::Systemd;
use toml::{Table, Value};

const SOURCE: &str = env!("CARGO_MANIFEST_DIR");
const PROGRAM: &str = env!("CARGO_BIN_EXE_alived");
const ADDRESS: &str = "192.0.2.50/24";

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).current_dir(SOURCE).output();
    output.unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn succeed(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The tools that are missing.
fn lacks(tools: &[&str]) -> Option<String> {
    let missing = |tool: &&&str| Command::new(tool).arg("--version").output().is_err();
    let missing: Vec<&str> = tools.iter().filter(missing).copied().collect();
    (!missing.is_empty())
        .then(|| format!("there is no {} (apt-get install dpkg binutils lintian)", missing.join(", ")))
}

fn metadata() -> (Table, Table) {
    let cargo: Table = toml::from_str(&fs::read_to_string(format!("{SOURCE}/Cargo.toml")).unwrap()).unwrap();
    let package = cargo["package"].as_table().unwrap().clone();
    let deb = package["metadata"]["deb"].as_table().unwrap().clone();
    (package, deb)
}

fn text<'a>(table: &'a Table, name: &str) -> &'a str {
    table.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("{name}"))
}

fn put(root: &Path, path: &str, bytes: &[u8], mode: u32) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

fn compressed(path: &Path) -> Vec<u8> {
    let output = run("gzip", &["-9nc", path.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// The files that an asset is of: it may have a `*` as the beginning of a name.
fn sources(pattern: &str, parts: &Path, program: &Path) -> Vec<PathBuf> {
    if pattern == "target/release/alived" {
        return vec![program.to_owned()];
    }
    if let Some(part) = pattern.strip_prefix("target/packaging/") {
        return vec![parts.join(part)];
    }
    let Some((folder, end)) = pattern.split_once("/*") else { return vec![Path::new(SOURCE).join(pattern)] };
    let entries = fs::read_dir(format!("{SOURCE}/{folder}")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_str().unwrap().ends_with(end)).collect()
}

/// Builds the package in `folder`.
fn build(folder: &Path) -> PathBuf {
    let (package, deb) = metadata();
    let (root, parts, program) = (folder.join("package"), folder.join("parts"), folder.join("alived"));
    succeed(&format!("{SOURCE}/packaging/deb"), &["--parts", PROGRAM, parts.to_str().unwrap()]);
    succeed("strip", &["-o", program.to_str().unwrap(), PROGRAM]);
    let mut configuration = String::new();
    for asset in deb["assets"].as_array().unwrap() {
        if let Value::Table(link) = asset {
            let path = root.join(text(link, "dest"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(text(link, "link_name"), path).unwrap();
            continue;
        }
        let [source, to, mode] = [0, 1, 2].map(|index| asset[index].as_str().unwrap());
        let files = sources(source, &parts, &program);
        assert!(!files.is_empty(), "{source}");
        for file in files {
            let name = file.file_name().unwrap().to_str().unwrap();
            let to = if to.ends_with('/') { format!("{to}{name}") } else { to.to_owned() };
            put(&root, &to, &fs::read(&file).unwrap(), u32::from_str_radix(mode, 8).unwrap());
            if to.starts_with("etc/") {
                configuration += &format!("/{to}\n");
            }
        }
    }
    let documentation = |name: &str| format!("usr/share/doc/alived/{name}");
    let changelog = compressed(&Path::new(SOURCE).join(text(&deb, "changelog")));
    put(&root, &documentation("changelog.Debian.gz"), &changelog, 0o644);
    let licence =
        fs::read_to_string(format!("{SOURCE}/{}", deb["license-file"][0].as_str().unwrap())).unwrap();
    put(&root, &documentation("copyright"), licence.as_bytes(), 0o644);
    put(&root, "DEBIAN/conffiles", configuration.as_bytes(), 0o644);
    for script in fs::read_dir(format!("{SOURCE}/{}", text(&deb, "maintainer-scripts"))).unwrap() {
        let path = script.unwrap().path();
        let script = fs::read_to_string(&path).unwrap().replace("\n#DEBHELPER#\n", "");
        put(
            &root,
            &format!("DEBIAN/{}", path.file_name().unwrap().to_str().unwrap()),
            script.as_bytes(),
            0o755,
        );
    }
    let architecture = succeed("dpkg", &["--print-architecture"]);
    let description = text(&deb, "extended-description").trim().replace('\n', "\n ");
    let control = format!(
        "Package: alived\nVersion: {}-1\nArchitecture: {}\nMaintainer: {}\nSection: {}\nPriority: {}\nDepends: {}\nSuggests: \
         {}\nDescription: {}\n {description}\n",
        text(&package, "version"),
        architecture.trim(),
        text(&deb, "maintainer"),
        text(&deb, "section"),
        text(&deb, "priority"),
        text(&deb, "depends").replace("$auto", "libc6, libgcc-s1"),
        text(&deb, "suggests"),
        text(&package, "description"),
    );
    put(&root, "DEBIAN/control", control.as_bytes(), 0o644);
    succeed("chmod", &["-R", "u=rwX,go=rX", root.to_str().unwrap()]);
    let file = folder.join("alived.deb");
    let words =
        ["--root-owner-group", "-Zxz", "-z1", "--build", root.to_str().unwrap(), file.to_str().unwrap()];
    succeed("dpkg-deb", &words);
    file
}

#[test]
fn lintian_finds_no_error() {
    if let Some(reason) = lacks(&["dpkg-deb", "strip", "lintian"]) {
        return skip::skip("lintian_finds_no_error", &reason);
    }
    let folder = Folder::create().unwrap();
    let package = build(folder.path());
    let output = run("lintian", &["--allow-root", "--fail-on", "error", package.to_str().unwrap()]);
    let found = String::from_utf8_lossy(&output.stdout);
    println!("{found}");
    assert!(output.status.success(), "{found}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn manual_pages_are_sound() {
    if let Some(reason) = lacks(&["man", "gzip"]) {
        return skip::skip("manual_pages_are_sound", &reason);
    }
    let folder = Folder::create().unwrap();
    succeed(&format!("{SOURCE}/packaging/deb"), &["--parts", PROGRAM, folder.path().to_str().unwrap()]);
    for (page, word) in [("alived.8", "--dont-fork"), ("alived.toml.5", "realtime = ")] {
        let path = folder.path().join(format!("{page}.gz"));
        let output = run("man", &["--warnings", "-l", path.to_str().unwrap()]);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(word), "{page}");
    }
    succeed("bash", &["-n", folder.path().join("alived.bash").to_str().unwrap()]);
}

#[test]
fn a_package_is_installed_serves_fails_over_and_goes() {
    let test = "a_package_is_installed_serves_fails_over_and_goes";
    if let Some(reason) = lacks(&["dpkg-deb", "strip"]) {
        return skip::skip(test, &reason);
    }
    let Some((mut first, mut second)) = Host::pair() else { return };
    let package = build(&first.path(""));
    let package = package.to_str().unwrap();
    let systemd = match Systemd::start_on_a_copy(&first) {
        Ok(systemd) => systemd,
        Err(why) => return skip::skip(test, &why),
    };
    let succeed = |words: &[&str]| {
        let output = systemd.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let keepalived = succeed(&["sh", "-c", "dpkg-query -W -f '${Status}' keepalived 2>&1 || true"]);
    succeed(&["dpkg", "--install", package]);
    // Nothing runs that nobody has asked for.
    assert_eq!(systemd.property("ActiveState"), "inactive");
    let pages = "man -w alived && man -w alived.toml && /usr/lib/alived/keepalived --version";
    succeed(&["sh", "-c", pages]);

    first.configure(&instance("VI_1", 51, 150, ADDRESS));
    let configuration = first.path("keepalived.conf");
    succeed(&["cp", configuration.to_str().unwrap(), "/etc/keepalived/keepalived.conf"]);
    second.configure(&instance("VI_1", 51, 50, ADDRESS));
    second.start(&[]);
    second.wait("the only router to be master", |host| host.holds(ADDRESS));
    succeed(&["systemctl", "enable", "--now", "alived"]);
    first.wait("the better router to be master", |host| host.holds(ADDRESS));
    second.wait("the other one to be backup", |host| !host.holds(ADDRESS));
    let status = succeed(&["alived", "status", "--json"]);
    assert!(status.contains("MASTER"), "{status}");

    // An upgrade: the new program runs, as the same service with other workers.
    let (invocation, worker) = (systemd.property("InvocationID"), succeed(&["cat", "/run/vrrp.pid"]));
    succeed(&["dpkg", "--install", package]);
    assert_eq!(systemd.property("InvocationID"), invocation);
    assert_ne!(succeed(&["cat", "/run/vrrp.pid"]), worker);
    let runs = succeed(&["sh", "-c", "readlink /proc/$(cat /run/vrrp.pid)/exe"]);
    assert_eq!(runs.trim_end(), "/usr/sbin/alived", "the old one is deleted");
    first.wait("the new program to be master", |host| host.holds(ADDRESS));

    succeed(&["systemctl", "kill", "--signal=KILL", "--kill-who=all", "alived"]);
    first.wait("the service to be started again", |_| systemd.property("NRestarts") == "1");
    first.wait("the better router to be master again", |host| host.holds(ADDRESS));

    succeed(&["dpkg", "--remove", "alived"]);
    second.wait("the other one to take over", |host| host.holds(ADDRESS));
    assert!(!first.holds(ADDRESS));
    assert_eq!(systemd.property("LoadState"), "not-found");
    let after = succeed(&["sh", "-c", "dpkg-query -W -f '${Status}' keepalived 2>&1 || true"]);
    assert_eq!(keepalived, after);
}
