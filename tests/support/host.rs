//! A host of its own for a test of the daemon: a network namespace with one interface on a LAN, a folder for
//! files, and the daemon in it. Everything goes when it is dropped.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    dead_code,
    unreachable_pub
)]

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use alived::drill::{Folder, Program};
use alived::net::{InterfaceIndex, InterfaceName, MacAddress, Prefix};
use alived::sys::namespace::Namespace;
use alived::sys::netlink::{Network, VethEnd};
use alived::sys::process::signal;

use super::skip;

/// Far beyond what anything here takes, so that a busy machine is no failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// The interface of the host on its LAN.
pub const LAN: &str = "lan0";

/// A host with a daemon.
pub struct Host {
    pub namespace: Namespace,
    /// Holds the other end of the cable.
    pub switch: Rc<Namespace>,
    pub socket: Network,
    /// 1 for the first host on a LAN.
    pub number: u8,
    folder: Folder,
    child: Option<Child>,
    program: PathBuf,
    system_log: bool,
    environment: Vec<(&'static str, String)>,
}

pub fn name(text: &str) -> InterfaceName {
    text.parse().unwrap()
}

pub fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
}

impl Host {
    /// A host with `lan0`, 192.0.2.1/24, up. `None`, and said so, where namespaces are forbidden.
    pub fn new() -> Option<Self> {
        match Namespace::create() {
            Ok(switch) => Some(Self::on(Rc::new(switch), 1)),
            Err(error) => {
                let test = std::thread::current().name().unwrap_or("a test").to_owned();
                skip::skip(&test, &format!("no right to create network namespaces ({error}), run as root"));
                None
            }
        }
    }

    /// Two hosts on one LAN; the second one has 192.0.2.2/24.
    pub fn pair() -> Option<(Self, Self)> {
        let first = Self::new()?;
        let second = Self::on(Rc::clone(&first.switch), 2);
        let mut switch = first.switch.run(Network::open).unwrap().unwrap();
        switch.create_bridge(&name("bridge")).unwrap();
        let bridge = switch.index_of(&name("bridge")).unwrap();
        for host in [&first, &second] {
            let port = switch.index_of(&host.port()).unwrap();
            switch.set_controller(port, Some(bridge)).unwrap();
        }
        switch.set_up(bridge, true).unwrap();
        let (mut first, mut second) = (first, second);
        for host in [&mut first, &mut second] {
            host.wait_for_carrier();
            let port = host.port();
            host.wait("the port", |_| {
                switch.links().unwrap().iter().any(|link| link.name == port.to_string() && link.running)
            });
        }
        Some((first, second))
    }

    /// Waits until so many interfaces run. A kernel may tell of a carrier seconds after the cable is in.
    pub fn wait_for_carriers(&mut self, count: usize) {
        self.wait("carriers", |host| {
            let links = host.socket.links().unwrap();
            links.iter().filter(|link| link.running && link.name != "lo").count() >= count
        });
    }

    /// Waits until the interface of the host runs.
    pub fn wait_for_carrier(&mut self) {
        let lan = self.lan();
        self.wait("a carrier", |host| {
            host.socket.links().unwrap().iter().any(|link| link.index == lan && link.running)
        });
    }

    /// Ours, and a host with keepalived.
    pub fn beside_keepalived() -> Option<(Self, Self)> {
        let Some(keepalived) = Program::keepalived() else {
            skip::skip(std::thread::current().name().unwrap(), "keepalived is not installed");
            return None;
        };
        let (first, mut second) = Self::pair()?;
        second.use_program(&keepalived.path);
        Some((first, second))
    }

    /// A host that is configured with one virtual router of this address.
    pub fn with_router(address: &str) -> Option<Self> {
        let host = Self::new()?;
        host.configure(&instance("VI_1", 51, 100, address));
        Some(host)
    }

    /// The same, with its daemon as the master.
    pub fn with_master(address: &str) -> Option<Self> {
        let mut host = Self::with_router(address)?;
        host.start(&[]);
        host.wait_for_lines("Entering MASTER STATE", 1);
        Some(host)
    }

    /// The next host at the same switch, which does not connect them.
    pub fn new_on(switch: Rc<Namespace>, number: u8) -> Self {
        Self::on(switch, number)
    }

    fn on(switch: Rc<Namespace>, number: u8) -> Self {
        let namespace = Namespace::create().unwrap();
        let socket = namespace.run(Network::open).unwrap().unwrap();
        let mut host = Self {
            namespace,
            switch,
            socket,
            number,
            folder: Folder::create().unwrap(),
            child: None,
            program: env!("CARGO_BIN_EXE_alived").into(),
            system_log: false,
            environment: Vec::new(),
        };
        host.plug_in();
        host
    }

    /// The other end of the cable, in the switch.
    pub fn port(&self) -> InterfaceName {
        name(&format!("port{}", self.number))
    }

    /// Creates the interface, as at the start.
    pub fn plug_in(&mut self) {
        let lan = self.lay_cable(&name(LAN), &self.port(), 0);
        self.socket.add_address(lan, prefix(&format!("192.0.2.{}/24", self.number))).unwrap();
        self.socket.set_up(lan, true).unwrap();
    }

    /// Creates an interface, still down, whose `cable` (a number of its own) ends in the switch at `far`.
    pub fn lay_cable(&mut self, near: &InterfaceName, far: &InterfaceName, cable: u8) -> InterfaceIndex {
        let number = self.number;
        let mac = |side| MacAddress([2, 0, 0, cable, side, number]);
        self.socket
            .create_veth(
                VethEnd { name: near, namespace: &self.namespace, mac: mac(0) },
                VethEnd { name: far, namespace: &self.switch, mac: mac(1) },
            )
            .unwrap();
        let mut switch = self.switch.run(Network::open).unwrap().unwrap();
        let port = switch.index_of(far).unwrap();
        switch.set_up(port, true).unwrap();
        self.socket.index_of(near).unwrap()
    }

    pub fn lan(&mut self) -> InterfaceIndex {
        self.socket.index_of(&name(LAN)).unwrap()
    }

    /// Runs another program.
    pub fn use_program(&mut self, program: &Path) {
        self.program = program.to_owned();
    }

    /// Starts the daemon under another name.
    pub fn call_it(&mut self, program: &str) {
        let link = self.path(program);
        std::os::unix::fs::symlink(&self.program, &link).unwrap();
        self.program = link;
    }

    /// Starts the daemon through a shell script that ends in `exec PROGRAM "$@"`, so that it begins with what
    /// the script has changed. `%` stands for the program.
    pub fn start_through(&mut self, script: &str) {
        let wrapper = self.path("wrapper");
        let program = self.program.to_string_lossy();
        fs::write(&wrapper, format!("#!/bin/sh\n{}\n", script.replace('%', &program))).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        self.program = wrapper;
    }

    /// Runs a copy in the folder, where every user may read it.
    pub fn copy_program(&mut self) {
        let copy = self.path("alived");
        // By another process: as long as one is open for writing nobody can run it, and what other tests start has for a
        // moment all that this process has open.
        assert!(Command::new("cp").arg(&self.program).arg(&copy).status().unwrap().success());
        fs::set_permissions(self.path(""), fs::Permissions::from_mode(0o777)).unwrap();
        self.program = copy;
    }

    /// Lets the daemon write to the system log.
    pub fn use_system_log(&mut self) {
        self.system_log = true;
    }

    pub fn set_environment(&mut self, key: &'static str, value: &str) {
        self.environment.push((key, value.to_owned()));
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Writes the configuration file.
    pub fn configure(&self, text: &str) {
        fs::write(self.path("keepalived.conf"), text).unwrap();
    }

    /// Writes a file into the folder of the configuration.
    pub fn write(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).unwrap();
    }

    /// The command that starts the daemon in its namespace, with all its files in the folder.
    pub fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        if !self.system_log {
            command.arg("-G");
        }
        command
            .args(["-D", "-f"])
            .arg(self.path("keepalived.conf"))
            .arg("-p")
            .arg(self.path("keepalived.pid"))
            .arg("-r")
            .arg(self.path("vrrp.pid"))
            .arg("-c")
            .arg(self.path("checkers.pid"))
            .args(flags)
            .env("TMPDIR", self.folder.path())
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null());
        self.namespace.contain(&mut command);
        command
    }

    /// Starts it in the foreground, and waits until it serves.
    pub fn start(&mut self, flags: &[&str]) {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let starts = self.log().matches("Startup complete").count();
        let mut command = self.command(&["-n", "-l"]);
        command.args(flags).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        self.wait("the daemon to serve", |host| host.log().matches("Startup complete").count() > starts);
    }

    /// Runs it until its first process ends.
    pub fn run(&self, flags: &[&str]) -> Output {
        self.command(flags).output().unwrap()
    }

    /// What the daemon has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub fn supervisor(&self) -> u32 {
        self.pid("keepalived.pid")
    }

    pub fn worker(&self) -> u32 {
        self.pid("vrrp.pid")
    }

    pub fn checker(&self) -> u32 {
        self.pid("checkers.pid")
    }

    /// The process that starts commands for the worker, if there is one.
    pub fn runner(&self) -> Option<u32> {
        let pid = self.supervisor();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let mut children = children.split_whitespace().filter_map(|word| word.parse().ok());
        children.find(|child: &u32| {
            fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name == "alived-runner\n")
        })
    }

    fn pid(&self, file: &str) -> u32 {
        let start = Instant::now();
        loop {
            // Whoever goes on after a restart writes it anew.
            match fs::read_to_string(self.path(file)).unwrap_or_default().trim().parse() {
                Ok(pid) => return pid,
                Err(error) => assert!(start.elapsed() < PATIENCE, "{file}: {error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What a command of the program does with the daemon here.
    pub fn alived(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_alived"));
        command.args(words).arg("-r").arg(self.path("vrrp.pid")).output().unwrap()
    }

    /// What it says, with its exit status.
    pub fn says(&self, words: &[&str]) -> (String, i32) {
        let output = self.alived(words);
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (text, output.status.code().unwrap())
    }

    pub fn signal(&self, number: i32) {
        signal(self.supervisor(), number);
    }

    /// Waits for the end of the process that was started in the foreground.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if start.elapsed() > PATIENCE {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("the daemon does not end; its log:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn wait(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < PATIENCE, "waited in vain for {what}; the log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for a number of lines with these words.
    pub fn wait_for_lines(&mut self, words: &str, count: usize) {
        self.wait(&format!("{count} times '{words}'"), |host| host.log().matches(words).count() >= count);
    }

    pub fn holds(&mut self, address: &str) -> bool {
        let address = prefix(address);
        self.socket.dump_addresses().unwrap().iter().any(|message| {
            message.header.prefix_len == address.length()
                && message.attributes.iter().any(|attribute| {
                    use netlink_packet_route::address::AddressAttribute::{Address, Local};
                    matches!(attribute, Local(held) | Address(held) if *held == address.address())
                })
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Both at once: the death of one makes the other act.
        for file in ["keepalived.pid", "vrrp.pid", "checkers.pid"] {
            let pid = fs::read_to_string(self.path(file)).ok().and_then(|text| text.trim().parse().ok());
            if let Some(pid) = pid
                && runs(pid, self.folder.path())
            {
                signal(pid, libc::SIGKILL);
            }
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Whether a thread of the process lives, and it was started with files in this folder.
pub fn runs(pid: u32, folder: &Path) -> bool {
    let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    // A process that is about to end has no command line any more, but may still hold its files; so may its
    // other threads when the first is dead.
    let lives = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten().any(|task| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
        !matches!(state, Some('Z' | 'X') | None)
    });
    lives && (command.is_empty() || command.contains(&*folder.to_string_lossy()))
}

/// A configuration with a virtual router that becomes master within half a second.
pub fn instance(name: &str, vrid: u8, priority: u8, address: &str) -> String {
    format!(
        "vrrp_instance {name} {{\n    interface {LAN}\n    virtual_router_id {vrid}\n    version 3\n    \
         priority {priority}\n    advert_int 0.1\n    virtual_ipaddress {{\n        {address}\n    }}\n}}\n"
    )
}
