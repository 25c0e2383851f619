//! What the daemon tells a service manager (`sd_notify(3)`), which a socket of the test plays here.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use alived::sys::namespace::Namespace;
use alived::sys::process::signal;

use crate::host::{Host, instance};
use crate::skip;

const ADDRESS: &str = "192.0.2.50/24";

/// Far beyond what anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What plays the service manager.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn new(socket: UnixDatagram) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    /// One that `host`'s daemon is started by.
    fn of(host: &mut Host) -> Self {
        let path = host.path("notify");
        host.set_environment("NOTIFY_SOCKET", path.to_str().unwrap());
        Self::new(UnixDatagram::bind(path).unwrap())
    }

    fn next(&self) -> Message {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).unwrap();
        Message(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    /// The next message with this state, and those before it.
    fn wait_for(&self, state: &str) -> (Message, Vec<Message>) {
        let start = Instant::now();
        let mut before = Vec::new();
        loop {
            let message = self.next();
            if message.has(state) {
                return (message, before);
            }
            before.push(message);
            assert!(start.elapsed() < PATIENCE, "waited in vain for {state}: {before:?}");
        }
    }

    /// Waits for a status with these words, in a message that tells nothing else.
    fn wait_for_status(&self, words: &str) {
        let start = Instant::now();
        let mut before = Vec::new();
        loop {
            let message = self.next();
            if message.0.lines().count() == 1 && message.status().contains(words) {
                return;
            }
            before.push(message);
            assert!(start.elapsed() < PATIENCE, "waited in vain for '{words}': {before:?}");
        }
    }
}

#[derive(Debug)]
struct Message(String);

impl Message {
    fn has(&self, state: &str) -> bool {
        self.0.lines().any(|line| line == state)
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }

    fn status(&self) -> &str {
        self.value("STATUS").unwrap_or_default()
    }
}

fn monotonic_us() -> i64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    time.tv_sec() * 1_000_000 + time.tv_nsec() / 1000
}

fn assert_ready(message: &Message, host: &Host) {
    assert_eq!(message.value("MAINPID"), Some(host.supervisor().to_string().as_str()), "{message:?}");
    assert!(message.status().starts_with("1 virtual router: "), "{message:?}");
}

/// Asks for a reload and gives what ended it.
fn reload(host: &Host, manager: &Manager) -> Message {
    let before = monotonic_us();
    host.signal(libc::SIGHUP);
    let (reloading, _) = manager.wait_for("RELOADING=1");
    let told: i64 = reloading.value("MONOTONIC_USEC").unwrap().parse().unwrap();
    assert!((before..=monotonic_us()).contains(&told), "{before} {told}");
    assert!(!reloading.has("READY=1"), "{reloading:?}");
    manager.wait_for("READY=1").0
}

#[test]
fn the_service_manager_is_told_of_start_reload_and_stop() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    let manager = Manager::of(&mut host);
    host.start(&[]);
    let (ready, before) = manager.wait_for("READY=1");
    assert_ready(&ready, &host);
    assert!(before.iter().all(|message| message.0 == "STATUS=starting\n"), "{before:?}");
    manager.wait_for_status("1 virtual router: 1 master");

    assert_ready(&reload(&host, &manager), &host);
    host.configure("vrrp_instance VI_1 {\n    interface lan0\n    virtual_router_id 300\n}\n");
    let refused = reload(&host, &manager);
    for words in ["1 master", "the last reload was refused: ", "keepalived.conf:1:"] {
        assert!(refused.status().contains(words), "{words}: {refused:?}");
    }
    host.configure("");
    let refused = reload(&host, &manager);
    assert!(refused.status().contains("refused: the new configuration has no virtual router"), "{refused:?}");
    host.configure(&format!(
        "{}{}",
        instance("VI_1", 51, 100, ADDRESS),
        instance("VI_2", 52, 90, "192.0.2.51/24")
    ));
    let taken = reload(&host, &manager);
    assert!(taken.status().starts_with("2 virtual routers: 1 master"), "{taken:?}");
    assert!(!taken.status().contains("refused"), "{taken:?}");
    manager.wait_for_status("2 virtual routers: 2 master");

    host.signal(libc::SIGTERM);
    let (stopping, _) = manager.wait_for("STOPPING=1");
    assert!(!stopping.has("READY=1"), "{stopping:?}");
    assert_eq!(host.wait_for_end().code(), Some(0), "{}", host.log());
    manager.socket.set_nonblocking(true).unwrap();
    assert!(manager.socket.recv(&mut [0; 16]).is_err(), "nothing follows");
}

#[test]
fn a_background_start_names_the_supervisor_before_it_says_anything() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    let manager = Manager::of(&mut host);
    let output = host.run(&[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let first = manager.next();
    assert_eq!(first.0, format!("MAINPID={}\n", host.supervisor()));
    assert_ready(&manager.wait_for("READY=1").0, &host);
    host.signal(libc::SIGTERM);
    manager.wait_for("STOPPING=1");
    host.wait("the daemon to end", |host| !host.path("keepalived.pid").exists());
}

#[test]
fn a_daemon_that_cannot_serve_is_never_ready() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    let manager = Manager::of(&mut host);
    host.start_through("exec setpriv --bounding-set=-net_admin --inh-caps=-net_admin % \"$@\"");
    let output = host.command(&["-n"]).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let (stopping, before) = manager.wait_for("STOPPING=1");
    assert_eq!(stopping.status(), "the vrrp worker ended with status 4");
    assert!(!before.iter().any(|message| message.has("READY=1")), "{before:?}");

    host.configure("vrrp_instance VI_1 {\n    interface lan0\n    virtual_router_id 300\n}\n");
    assert_ne!(host.run(&["-n"]).status.code(), Some(0));
    let refused = manager.next();
    assert!(refused.status().contains("virtual_router_id"), "{refused:?}");
}

#[test]
fn a_worker_that_is_killed_is_told_of_and_a_reload_meanwhile_is_done_by_the_next() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    let manager = Manager::of(&mut host);
    host.start(&[]);
    manager.wait_for("READY=1");
    let supervisor = host.supervisor();
    signal(host.worker(), libc::SIGKILL);
    manager.wait_for_status("the vrrp worker was killed by signal 9; the next one is started");
    manager.wait_for_status("starting");
    manager.wait_for_status("1 virtual router: 1 master");
    // The second that dies soon is replaced after a pause.
    signal(host.worker(), libc::SIGKILL);
    manager.wait_for_status("the next one is started in 1 seconds");
    host.configure(&instance("VI_1", 51, 120, ADDRESS));
    assert_ready(&reload(&host, &manager), &host);
    manager.wait_for_status("1 virtual router: 1 master");
    host.signal(libc::SIGUSR1);
    host.wait_for_lines("wrote", 1);
    let data = fs::read_to_string(host.path("keepalived.data")).unwrap();
    assert!(data.contains("Priority = 120"), "{data}");
    assert_eq!(host.supervisor(), supervisor);
}

#[test]
fn a_manager_with_an_abstract_name_is_found_from_another_namespace() {
    let test = "a_manager_with_an_abstract_name_is_found_from_another_namespace";
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    // The host's namespace is called blue, and the daemon is started in another one, where the manager is.
    let outside = Namespace::create().unwrap();
    let name = format!("alived-test-{}-blue", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager::new(outside.run(|| UnixDatagram::bind_addr(&address)).unwrap().unwrap());
    host.set_environment("NOTIFY_SOCKET", &format!("@{name}"));
    let (pid, descriptor) = (std::process::id(), outside.as_fd().as_raw_fd());
    host.start_through(&format!(
        "exec unshare --mount sh -c 'mount -t tmpfs none /run && mkdir /run/netns && touch /run/netns/blue \
         && mount --bind /proc/self/ns/net /run/netns/blue \
         && exec nsenter --net=/proc/{pid}/fd/{descriptor} % \"$@\"' sh \"$@\""
    ));
    let output = host.command(&["-v"]).output().unwrap();
    if !output.status.success() {
        return skip::skip(test, &String::from_utf8_lossy(&output.stderr));
    }
    host.start(&["-s", "blue"]);
    assert_ready(&manager.wait_for("READY=1").0, &host);
    assert_ready(&reload(&host, &manager), &host);
    host.signal(libc::SIGTERM);
    manager.wait_for("STOPPING=1");
    assert_eq!(host.wait_for_end().code(), Some(0));
}

#[test]
fn a_manager_that_does_not_read_holds_nothing_up() {
    let Some(mut host) = Host::with_router(ADDRESS) else { return };
    let manager = Manager::of(&mut host);
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(b"FILLER=1", host.path("notify")).is_ok() {}
    host.start(&[]);
    host.wait("the address", |host| host.holds(ADDRESS));
    for count in 1..=20 {
        host.signal(libc::SIGHUP);
        host.wait_for_lines("Reloaded", count);
    }
    // It reads again, and hears how things are now.
    manager.wait_for("READY=1");
    host.signal(libc::SIGTERM);
    assert_eq!(host.wait_for_end().code(), Some(0), "{}", host.log());

    // Neither does one that is gone, or was never there.
    drop(manager);
    host.start(&[]);
    host.wait_for_lines("NOTIFY_SOCKET", 1);
    host.signal(libc::SIGTERM);
    assert_eq!(host.wait_for_end().code(), Some(0), "{}", host.log());
    host.set_environment("NOTIFY_SOCKET", "vsock:2:9");
    host.start(&[]);
    host.wait_for_lines("NOTIFY_SOCKET", 2);
}
