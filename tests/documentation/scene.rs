//! Hosts in namespaces of their own, on which the commands of a page are run.

use std::fs;
use std::io::Read as _;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::{Duration, Instant};

use alived::drill::Folder;

use crate::page::{Block, Page, Part};
use crate::{PROGRAM, SOURCE, shape, skip};

/// Far beyond what anything here takes, so that a busy machine is no failure.
const PATIENCE: Duration = Duration::from_secs(40);

/// What only looks: it is asked again until it shows what the page says, or too long has passed.
const LOOKS: &[&str] =
    &["status", "explain", "events", "stats", "doctor", "plan", "check", "drain", "maintenance"];

/// What a scene begins with: gw1 and gw2 on one LAN (eth0, 192.0.2.2 and .3) and another one (eth1, 198.51.100.2 and .3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No daemon runs.
    Fresh,
    /// conf/gateway-pair.conf on both; gw1 is master.
    Pair,
    /// No daemon runs, on a kernel with IPVS.
    Director,
}

impl Kind {
    fn of(name: &str, page: &str) -> Self {
        match name {
            "fresh" => Self::Fresh,
            "pair" => Self::Pair,
            "director" => Self::Director,
            _ => panic!("{page}: no scene is named `{name}`"),
        }
    }
}

/// Runs what the page has in scenes of these kinds.
pub(crate) fn play(page: &Page, kinds: &[Kind]) {
    let mut scene: Option<Scene> = None;
    let mut begun = false;
    for part in page.parts() {
        match part {
            Part::Scene(name) => {
                let kind = Kind::of(&name, &page.place(0));
                begun = true;
                // The old one goes first.
                drop(scene.take());
                if kinds.contains(&kind) {
                    let Some(new) = Scene::new(kind) else { return };
                    scene = Some(new);
                }
            }
            Part::Change { host, script } => {
                assert!(begun, "{}: a change before the first scene", page.place(0));
                if let Some(scene) = &scene {
                    let output = scene.host(&host).run(&script);
                    assert!(output.status.success(), "{}: {script}: {output:?}", page.place(0));
                }
            }
            Part::Block(block) => {
                let runs =
                    matches!(&*block.language, "console" | "sh") && block.attribute("elsewhere").is_none();
                assert!(begun || !runs, "{}: commands before the first scene", block.place);
                if let Some(scene) = scene.as_ref().filter(|_| runs) {
                    scene.perform(&block);
                }
            }
        }
    }
}

pub(crate) struct Scene {
    hosts: Vec<House>,
    _switch: House,
}

/// A host: namespaces whose processes all end with it.
struct House {
    name: String,
    holder: Child,
    /// Its end is theirs.
    _life: ChildStdin,
    /// The first process of the namespaces, as seen from here.
    first: u32,
}

/// Files of its own where pages speak of some; a program on the path; a name.
const SETTLE: &str = r#"set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/etc /run/bin /run/local
if ! [ -d /etc/keepalived ]; then
    cp -a /etc/. /run/etc 2>/dev/null || true
    mount --bind /run/etc /etc
    mkdir /etc/keepalived
fi
mount -t tmpfs tmpfs /etc/keepalived
mount --bind /run/local /usr/local/bin
cp -r "$SOURCE/conf" /run/conf
ln -s "$PROGRAM" /run/bin/alived
printf '#!/bin/sh\nsetsid alived -n -l -G "$@" </dev/null >>/run/log 2>&1 &\n' >/run/bin/start-alived
chmod 755 /run/bin/start-alived
hostname "$NAME"
ip link set lo up
echo ready
exec cat
"#;

impl House {
    fn new(name: &str) -> Result<Self, String> {
        let mut holder = Command::new("unshare")
            .args(["--net", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["sh", "-c", SETTLE])
            .env("SOURCE", SOURCE)
            .env("PROGRAM", PROGRAM)
            .env("NAME", name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let life = holder.stdin.take().unwrap();
        let mut ready = [0; 6];
        if holder.stdout.as_mut().unwrap().read_exact(&mut ready).is_err() {
            let output = holder.wait_with_output().unwrap();
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        let pid = holder.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let first = children.trim().parse().unwrap();
        Ok(Self { name: name.to_owned(), holder, _life: life, first })
    }

    /// Runs a script in it.
    fn run(&self, script: &str) -> Output {
        Command::new("timeout")
            .args(["--kill-after=5", "60", "nsenter", "--target", &self.first.to_string()])
            .args(["--net", "--mount", "--uts", "--pid", "sh", "-ec", script])
            .env("PATH", "/run/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/run")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

impl Scene {
    /// `None`, and said so, where it cannot be built.
    fn new(kind: Kind) -> Option<Self> {
        let build = || -> Result<Self, String> {
            let switch = House::new("switch")?;
            let hosts = vec![House::new("gw1")?, House::new("gw2")?];
            Ok(Self { hosts, _switch: switch })
        };
        let scene = match build() {
            Ok(scene) => scene,
            Err(why) => {
                let test = std::thread::current().name().unwrap_or("documentation").to_owned();
                skip::skip(&test, &format!("no hosts in namespaces ({why}), run as root"));
                return None;
            }
        };
        scene.connect();
        if kind == Kind::Pair {
            for (host, state) in scene.hosts.iter().zip(["MASTER", "BACKUP"]) {
                let start = "cp /run/conf/gateway-pair.conf /etc/keepalived/keepalived.conf\nstart-alived\n";
                let output = host.run(start);
                assert!(output.status.success(), "{output:?}");
                let start = Instant::now();
                while !String::from_utf8_lossy(&host.run("alived status || true").stdout).contains(state) {
                    assert!(start.elapsed() < PATIENCE, "no {state}:\n{}", scene.logs());
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
        Some(scene)
    }

    fn connect(&self) {
        let switch = &self._switch;
        let mut script = String::from("set -e\n");
        for (lan, network) in [("eth0", "192.0.2"), ("eth1", "198.51.100")] {
            script += &format!("ip link add {lan}s type bridge\nip link set {lan}s up\n");
            for (host, number) in self.hosts.iter().zip(2..) {
                let cable = format!("{lan}{number}");
                script += &format!(
                    "ip link add {cable} type veth peer name {lan} netns {}\nip link set {cable} master {lan}s up\n\
                     nsenter --target {} --net ip addr add {network}.{number}/24 dev {lan}\n\
                     nsenter --target {} --net ip link set {lan} up\n",
                    host.first, host.first, host.first
                );
            }
        }
        // Here, the PIDs of the hosts are known; there, the interfaces come to be.
        let output = Command::new("nsenter")
            .args(["--target", &switch.first.to_string(), "--net", "sh", "-c", &script])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let start = Instant::now();
        while !self.hosts.iter().all(|host| {
            let links = String::from_utf8_lossy(&host.run("ip -o link show up").stdout).into_owned();
            ["eth0", "eth1"]
                .iter()
                .all(|link| links.lines().any(|line| line.contains(link) && line.contains("LOWER_UP")))
        }) {
            let links = |house: &House| house.run("ip -d link").stdout;
            let all = || self.hosts.iter().map(|host| String::from_utf8_lossy(&links(host)).into_owned());
            assert!(start.elapsed() < PATIENCE, "no carrier:\n{}", all().collect::<String>());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn host(&self, name: &str) -> &House {
        self.hosts.iter().find(|host| host.name == name).unwrap_or_else(|| panic!("no host is named {name}"))
    }

    fn logs(&self) -> String {
        let log =
            |host: &House| String::from_utf8_lossy(&host.run("cat /run/log || true").stdout).into_owned();
        self.hosts.iter().map(|host| format!("-- {}\n{}", host.name, log(host))).collect()
    }

    fn perform(&self, block: &Block) {
        let host = self.host(block.attribute("on").unwrap_or("gw1"));
        let status: i32 = block.attribute("exit").unwrap_or("0").parse().unwrap();
        if block.language == "sh" {
            let output = host.run(&block.text);
            assert!(output.status.code() == Some(status), "{}: {output:?}\n{}", block.place, self.logs());
            return;
        }
        let mut lines = block.text.lines().peekable();
        while let Some(line) = lines.next() {
            let command = line
                .strip_prefix("$ ")
                .unwrap_or_else(|| panic!("{}: `{line}` belongs to no command", block.place));
            let mut shown = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
                shown.push(line);
            }
            self.show(block, host, command, &shown, status);
        }
    }

    /// Runs a command, again while it only looks, until it prints what is shown.
    fn show(&self, block: &Block, host: &House, command: &str, shown: &[&str], status: i32) {
        let start = Instant::now();
        let looks = command.strip_prefix("alived ").and_then(|rest| rest.split(' ').next());
        let again = block.attribute("ends").is_some()
            || looks.is_some_and(|word| LOOKS.contains(&word)) && !command.contains(" on");
        let author = std::env::var_os("ALIVED_DOCS").is_some();
        if author {
            std::thread::sleep(Duration::from_secs(2));
        }
        // Goes on until it is interrupted.
        let follows = block.attribute("ends") == Some("interrupted");
        let (prefix, status) = if follows { ("timeout 2 ", 124) } else { ("", status) };
        loop {
            let output = host.run(&format!("{prefix}{command} 2>&1"));
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            if author {
                println!("{} on {}, {}\n$ {command}\n{printed}", block.place, host.name, output.status);
                return;
            }
            let compared = shape::compare(shown, &printed).and_then(|()| {
                if output.status.code() == Some(status) { Ok(()) } else { Err(format!("{}", output.status)) }
            });
            match compared {
                Ok(()) => return,
                Err(_) if again && start.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(why) => {
                    panic!("{}: $ {command}: {why}\nIt prints:\n{printed}\n{}", block.place, self.logs())
                }
            }
        }
    }
}

/// A configuration that stands on a page, or in conf/.
pub(crate) fn judge(text: &str, place: &str) {
    let folder = Folder::create().unwrap();
    let file = folder.path().join("keepalived.conf");
    fs::write(&file, text).unwrap();
    let output = Command::new(PROGRAM).arg("check").arg(&file).output().unwrap();
    assert!(output.status.success(), "{place}: {}", String::from_utf8_lossy(&output.stdout));
}
