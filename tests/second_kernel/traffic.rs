//! Clients that keep connections through a director while real servers and the director come and go.
//!
//! One LAN: the director, three real servers (nginx) and the clients, who come from an address for each way of forwarding.
//! Real servers answer clients of direct routing and tunnels themselves, and those of NAT by way of the director.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use alived::net::InterfaceIndex;
use alived::sys::netlink::Network;
use alived::sys::process::signal;
use socket2::{Domain, Socket, Type};

use crate::director::{judged, table};
use crate::drain::{alived, out};
use crate::host::{self, Host};
use crate::{second_kernel, skip, soak};

const NGINX: &str = "/usr/sbin/nginx";

/// The clients' host is the ninth, real servers are from the eleventh on.
const CLIENTS: u8 = 9;
const SERVERS: [u8; 3] = [11, 12, 13];

/// Ways of forwarding, each with the last number of its virtual address and of its clients' address.
const WAYS: [(&str, u8, u8); 3] = [("NAT", 100, 9), ("DR", 101, 8), ("TUN", 102, 7)];

const fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, last)
}

/// Hosts on one LAN.
struct Site {
    directors: Vec<Host>,
    servers: Vec<RealServer>,
    clients: Clients,
}

impl Site {
    fn new(directors: u8, ways: &[(&'static str, u8, u8)], connections: u64) -> Self {
        second_kernel::load(&["ipip"]).unwrap();
        let first = Host::new().unwrap();
        let switch = Rc::clone(&first.switch);
        let new = |number| Host::new_on(Rc::clone(&switch), number);
        let mut directors: Vec<Host> = [first].into_iter().chain((2..=directors).map(new)).collect();
        let mut servers: Vec<Host> = SERVERS.map(new).into();
        let mut clients = new(CLIENTS);
        let mut network = switch.run(Network::open).unwrap().unwrap();
        network.create_bridge(&host::name("bridge")).unwrap();
        let bridge = network.index_of(&host::name("bridge")).unwrap();
        let all = directors.iter().chain(&servers).chain([&clients]);
        for port in all.map(Host::port) {
            let port = network.index_of(&port).unwrap();
            network.set_controller(port, Some(bridge)).unwrap();
        }
        network.set_up(bridge, true).unwrap();
        for host in directors.iter_mut().chain(&mut servers).chain([&mut clients]) {
            host.wait_for_carrier();
        }
        for director in &mut directors {
            director.namespace.set("ipv4/ip_forward", "1").unwrap();
            for of in ["all", host::LAN] {
                director.namespace.set(&format!("ipv4/conf/{of}/send_redirects"), "0").unwrap();
            }
        }
        let lan = clients.lan();
        for (_, _, from) in ways.iter().filter(|(_, _, from)| *from != CLIENTS) {
            clients.socket.add_address(lan, host::prefix(&format!("{}/24", address(*from)))).unwrap();
        }
        let servers = servers.into_iter().map(|host| RealServer::new(host, ways)).collect();
        let slots = ways.iter().flat_map(|(_, to, from)| {
            let slot = Slot { from: address(*from), to: SocketAddrV4::new(address(*to), 80), held: None };
            std::iter::repeat_with(move || slot.alike()).take(connections as usize)
        });
        let clients = Clients { host: clients, slots: slots.collect() };
        Self { directors, servers, clients }
    }

    fn director(&mut self) -> &mut Host {
        &mut self.directors[0]
    }

    /// Waits until the kernel's table has, or has not, a real server with this weight in each virtual server.
    fn wait_for(&mut self, server: u8, weight: Option<u32>) {
        let real = format!("-r {}:80 ", address(server));
        let ways = WAYS.len();
        self.director().wait(&format!("{real}with {weight:?}"), |host| {
            let lines = table(host);
            let of_server: Vec<&String> = lines.iter().filter(|line| line.contains(&real)).collect();
            match weight {
                None => of_server.is_empty() && !lines.is_empty(),
                Some(weight) => {
                    let words = format!("-w {weight}");
                    of_server.len() == ways && of_server.iter().all(|line| line.contains(&words))
                }
            }
        });
    }

    /// Waits until a real server gets no new connections, though it may be there.
    fn wait_until_quiet(&mut self, server: u8) {
        let real = format!("-r {}:80 ", address(server));
        self.director().wait(&format!("{real}with weight 0"), |host| {
            table(host).iter().filter(|line| line.contains(&real)).all(|line| line.contains("-w 0"))
        });
    }

    /// So many requests of each client, none of which may fail.
    fn serve(&mut self, rounds: usize, what: &str) {
        for round in 0..rounds {
            let failed = self.clients.round();
            let director = &self.directors[0];
            assert!(
                failed.is_empty(),
                "{what}, round {round}: {failed:?}\n{:#?}\n{}",
                table(director),
                director.log()
            );
        }
    }

    /// Serves until something has happened.
    fn serve_until(&mut self, what: &str, mut done: impl FnMut(&mut Host) -> bool) {
        for _ in 0..1_000 {
            self.serve(1, what);
            if done(self.director()) {
                return;
            }
        }
        panic!("waited in vain: {what}\n{}", self.directors[0].log());
    }
}

/// A host with nginx, which answers with the last number of the host's address.
struct RealServer {
    host: Host,
    process: Option<Child>,
}

impl RealServer {
    fn new(mut host: Host, ways: &[(&str, u8, u8)]) -> Self {
        for of in ["all", host::LAN] {
            for (setting, value) in [("arp_ignore", "1"), ("arp_announce", "2"), ("rp_filter", "0")] {
                host.namespace.set(&format!("ipv4/conf/{of}/{setting}"), value).unwrap();
            }
            host.namespace.set(&format!("ipv4/conf/{of}/accept_redirects"), "0").unwrap();
        }
        let up = |host: &mut Host, link: &str| -> InterfaceIndex {
            let link = host.socket.index_of(&host::name(link)).unwrap();
            host.socket.set_up(link, true).unwrap();
            link
        };
        let lan = host.lan();
        let loopback = up(&mut host, "lo");
        for (way, to, from) in ways {
            let own = host::prefix(&format!("{}/32", address(*to)));
            match *way {
                "NAT" => {
                    let client = host::prefix(&format!("{}/32", address(*from)));
                    host.socket.add_route(client, address(1).into(), lan).unwrap();
                }
                "DR" => host.socket.add_address(loopback, own).unwrap(),
                _ => {
                    let tunnel = up(&mut host, "tunl0");
                    host.namespace.set("ipv4/conf/tunl0/rp_filter", "0").unwrap();
                    host.socket.add_address(tunnel, own).unwrap();
                }
            }
        }
        let mut server = Self { host, process: None };
        server.start();
        server
    }

    fn start(&mut self) {
        let host = &self.host;
        let configuration = format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr; events {{ worker_connections 1000; }}\n\
             http {{ access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path \
             t4; scgi_temp_path t5; keepalive_timeout 1h; keepalive_requests 1000000;\n\
             server {{ listen 80; location / {{ default_type text/plain; return 200 '{:03}'; }} }} }}\n",
            host.number
        );
        host.write("nginx.conf", &configuration);
        let mut command = Command::new(NGINX);
        command.arg("-p").arg(format!("{}/", host.path("").display())).args([
            "-c",
            "nginx.conf",
            "-e",
            "stderr",
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        host.namespace.contain(&mut command);
        self.process = Some(command.spawn().unwrap());
    }

    fn die(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        self.die();
    }
}

/// A client, and its connection with the server that it leads to.
struct Slot {
    from: Ipv4Addr,
    to: SocketAddrV4,
    held: Option<(TcpStream, u8)>,
}

impl Slot {
    fn alike(&self) -> Self {
        Self { from: self.from, to: self.to, held: None }
    }

    /// One request over the connection, or over a new one.
    fn request(&mut self) -> io::Result<()> {
        let (mut stream, _) = match self.held.take() {
            Some(held) => held,
            None => (self.connect()?, 0),
        };
        stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")?;
        let mut answer = String::new();
        loop {
            let mut buffer = [0; 1024];
            match stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                bytes => answer += &String::from_utf8_lossy(&buffer[..bytes]),
            }
            // Three digits after the head.
            if let Some(body) =
                answer.split_once("\r\n\r\n").map(|(_, body)| body).filter(|body| body.len() >= 3)
            {
                let server = body.parse().map_err(|_| io::Error::other(format!("no answer: {answer}")))?;
                self.held = Some((stream, server));
                return Ok(());
            }
        }
    }

    fn connect(&self) -> io::Result<TcpStream> {
        // Far beyond what an answer takes, so that a busy machine is no failure.
        let patience = Duration::from_secs(20);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((self.from, 0)).into())?;
        socket.connect_timeout(&SocketAddr::from(self.to).into(), patience)?;
        let stream: TcpStream = socket.into();
        stream.set_read_timeout(Some(patience))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// All clients.
struct Clients {
    host: Host,
    slots: Vec<Slot>,
}

impl Clients {
    /// A request of each. Those that failed: which, and the server that they were connected to.
    fn round(&mut self) -> Vec<(usize, Option<u8>, String)> {
        let slots = &mut self.slots;
        let work = || {
            let mut failed = Vec::new();
            for (number, slot) in slots.iter_mut().enumerate() {
                let server = slot.held.as_ref().map(|(_, server)| *server);
                if let Err(error) = slot.request() {
                    failed.push((number, server, error.to_string()));
                }
            }
            failed
        };
        self.host.namespace.run(work).unwrap()
    }

    /// How many are connected to a server.
    fn of(&self, server: u8) -> usize {
        self.slots.iter().filter(|slot| slot.held.as_ref().is_some_and(|(_, held)| *held == server)).count()
    }

    /// They say goodbye to a server.
    fn leave(&mut self, server: u8) {
        for slot in &mut self.slots {
            slot.held.take_if(|(_, held)| *held == server);
        }
    }
}

/// Virtual servers of these ways to these real servers.
fn virtual_servers(ways: &[(&str, u8, u8)], servers: &[u8], weight: u32) -> String {
    let check = "HTTP_GET {\nurl {\npath /\nstatus_code 200\n}\nconnect_timeout 5\nretry 0\n}\n";
    let reals: String = servers
        .iter()
        .map(|last| format!("real_server {} 80 {{\nweight {weight}\n{check}}}\n", address(*last)))
        .collect();
    let of = |(way, to, _): &(&str, u8, u8)| {
        format!(
            "virtual_server {} 80 {{\ndelay_loop 1\nlvs_sched wrr\nlvs_method {way}\nprotocol TCP\n{reals}}}\n",
            address(*to)
        )
    };
    ways.iter().map(of).collect()
}

fn with_nginx<F: FnOnce()>(body: F) {
    if Path::new(NGINX).exists() {
        judged(body);
    } else {
        skip::skip("a test with traffic", "there is no /usr/sbin/nginx (apt-get install nginx-light)");
    }
}

#[test]
fn connections_go_on_whatever_happens_to_others() {
    with_nginx(|| {
        let connections = soak::count(20, 70);
        let mut site = Site::new(1, &WAYS, connections);
        let lan = site.director().lan();
        for (_, to, _) in WAYS {
            let own = host::prefix(&format!("{}/32", address(to)));
            site.director().socket.add_address(lan, own).unwrap();
        }
        site.director().configure(&virtual_servers(&WAYS, &SERVERS, 1));
        site.director().write("alived.toml", "[drain]\nlimit = 600\nexpire-dead = true\n");
        site.director().start(&["-C"]);
        SERVERS.into_iter().for_each(|server| site.wait_for(server, Some(1)));
        site.serve(3, "at the start");
        for server in SERVERS {
            assert!(site.clients.of(server) >= 3, "{server} has {}", site.clients.of(server));
        }

        // A real server dies: its connections are lost, and no others.
        let lost = site.clients.of(13);
        site.servers[2].die();
        let mut failed = Vec::new();
        for _ in 0..1_000 {
            failed.extend(site.clients.round());
            if !table(site.director()).iter().any(|line| line.contains("192.0.2.13:80")) {
                break;
            }
        }
        site.wait_for(13, None);
        failed.extend(site.clients.round());
        let broken = failed.iter().filter(|(_, server, _)| *server == Some(13)).count();
        assert_eq!(broken, lost, "{failed:?}");
        assert!(failed.iter().all(|(_, server, _)| server.is_none_or(|server| server == 13)), "{failed:?}");
        site.serve(3, "after a death");
        assert_eq!(site.clients.of(13), 0);

        // It returns.
        site.servers[2].start();
        site.serve_until("its return", |host| {
            table(host).iter().filter(|line| line.contains("192.0.2.13:80")).count() == WAYS.len()
        });
        site.clients.leave(11);
        site.serve(2, "after the return");
        assert!(site.clients.of(13) > 0);

        // Weights, by command and by a reload that also leaves one out.
        assert!(site.clients.of(12) > 0);
        out(site.director(), &["weight", "192.0.2.12", "5"]);
        site.wait_for(12, Some(5));
        site.serve(2, "with another weight");
        out(site.director(), &["restore", "all"]);
        site.wait_for(12, Some(1));
        site.clients.leave(12);
        site.serve(1, "with new connections");
        site.director().configure(&virtual_servers(&WAYS, &SERVERS[..2], 2));
        site.director().signal(libc::SIGHUP);
        site.wait_until_quiet(13);
        site.serve(3, "while one leaves");
        assert!(site.clients.of(13) > 0);
        site.clients.leave(13);
        site.serve_until("its leave", |host| !table(host).iter().any(|line| line.contains("192.0.2.13:80")));
        assert_eq!(site.clients.of(13), 0);

        // One is drained.
        assert!(alived(site.director(), &["drain", "192.0.2.12", "--no-wait"]).status.success());
        site.wait_until_quiet(12);
        site.serve(2, "while one drains");
        site.clients.leave(12);
        site.serve_until("its end", |host| !table(host).iter().any(|line| line.contains("192.0.2.12:80")));
        out(site.director(), &["restore", "192.0.2.12"]);
        site.wait_for(12, Some(2));

        // The worker is killed, then the whole daemon.
        let worker = site.director().checker();
        signal(worker, libc::SIGKILL);
        site.serve_until("the next worker", |host| host.checker() != worker);
        // All at once, so that none has time for last words.
        let (supervisor, worker) = (site.director().supervisor(), site.director().checker());
        signal(supervisor, libc::SIGSTOP);
        signal(worker, libc::SIGKILL);
        signal(supervisor, libc::SIGKILL);
        site.director().wait_for_end();
        site.serve(2, "without a daemon");
        site.director().start(&["-C"]);
        site.serve(3, "after a restart");
        site.director().signal(libc::SIGTERM);
        assert!(site.director().wait_for_end().success());
        assert_eq!(table(site.director()), Vec::<String>::new());
    });
}

#[test]
fn connections_survive_the_death_of_a_director() {
    with_nginx(|| {
        let way = [WAYS[1]];
        let mut site = Site::new(2, &way, soak::count(30, 200));
        for (number, priority) in [(0, 150), (1, 100)] {
            let instance = host::instance("VI_1", 51, priority, &format!("{}/32", address(way[0].1)));
            site.directors[number].configure(&format!(
                "global_defs {{\nlvs_sync_daemon {} VI_1\n}}\n{instance}{}",
                host::LAN,
                virtual_servers(&way, &SERVERS, 1)
            ));
            site.directors[number].start(&[]);
            if number == 0 {
                site.directors[0].wait_for_lines("Entering MASTER STATE", 1);
            }
            site.directors[number].wait("its table", |host| table(host).len() == 4);
        }
        for (number, role) in [(0, "master"), (1, "backup")] {
            site.directors[number].wait_for_lines(&format!("IPVS sync daemon ({role}) runs"), 1);
        }
        site.serve(3, "with the first director");
        let connections = site.clients.slots.len();
        let known = |host: &Host| {
            let read = || fs::read_to_string("/proc/thread-self/net/ip_vs_conn_sync").unwrap();
            let text = host.namespace.run(read).unwrap();
            text.lines().filter(|line| line.contains("ESTABLISHED") && line.contains("SYNC")).count()
        };
        // The kernel sends what it collects every two seconds, of a connection at its third packet and each fiftieth
        // from there.
        for _ in 0..1_000 {
            if known(&site.directors[1]) >= connections {
                break;
            }
            site.serve(1, "while the second director is told");
        }
        assert!(known(&site.directors[1]) >= connections, "{}", site.directors[1].log());
        // The machine dies: nothing of it is heard any more.
        let lan = site.directors[0].lan();
        site.directors[0].socket.set_up(lan, false).unwrap();
        site.directors[1].wait_for_lines("Entering MASTER STATE", 1);
        site.serve(3, "with the second director");
        for host in &mut site.directors {
            host.signal(libc::SIGTERM);
            assert!(host.wait_for_end().success());
        }
    });
}
