//! Taking real servers out of service: by command, and by a configuration that does not have them any more, with real
//! connections through the kernel.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};

use alived::sys::process::signal;

use crate::director::{director, judged, listen, real_server, table, virtual_server, wait_for_table};
use crate::host::{self, Host};

const SERVICE: &str = "-A -t 192.0.2.100:80 -s rr";
const ONE: &str = "-a -t 192.0.2.100:80 -r 127.0.0.1:8001 -m -w 1";
const TWO: &str = "-a -t 192.0.2.100:80 -r 127.0.0.1:8002 -m -w 1";
const TWO_DRAINS: &str = "-a -t 192.0.2.100:80 -r 127.0.0.1:8002 -m -w 0";
const NAME: &str = "[127.0.0.1]:tcp:8002";

/// A director that is its own client.
fn with_two() -> (Host, [TcpListener; 2]) {
    let mut host = director();
    let lan = host.lan();
    host.socket.add_address(lan, host::prefix("192.0.2.100/32")).unwrap();
    let servers = [listen(&host, "127.0.0.1:8001"), listen(&host, "127.0.0.1:8002")];
    host.configure(&virtual_server(80, &(real_server(8001, "") + &real_server(8002, ""))));
    host.start(&["-C"]);
    wait_for_table(&mut host, &[SERVICE, ONE, TWO]);
    (host, servers)
}

/// A client's connection to the second server, and the server's end of it.
fn connect(host: &Host, [first, second]: &[TcpListener; 2]) -> (TcpStream, TcpStream) {
    [first, second].into_iter().for_each(|server| server.set_nonblocking(true).unwrap());
    let address: SocketAddr = "192.0.2.100:80".parse().unwrap();
    for _ in 0..100 {
        let client = host.namespace.run(move || TcpStream::connect(address)).unwrap().unwrap();
        let own = client.local_addr().unwrap();
        for _ in 0..500 {
            // Checks connect to it, too.
            while let Ok((server, from)) = second.accept() {
                if from.port() == own.port() {
                    server.set_nonblocking(false).unwrap();
                    return (client, server);
                }
            }
            if let Ok((_, from)) = first.accept()
                && from.port() == own.port()
            {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
    panic!("no connection reaches the second server:\n{:?}\n{}", table(host), host.log());
}

fn is_open((client, server): &mut (TcpStream, TcpStream)) -> bool {
    let mut byte = [0];
    client.write_all(&[7]).is_ok() && server.read_exact(&mut byte).is_ok() && byte == [7]
}

/// A subcommand that asks this host's daemon.
fn command(host: &Host, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alived"));
    command.args(words).arg("-r").arg(host.path("vrrp.pid"));
    command
}

pub(crate) fn alived(host: &Host, words: &[&str]) -> Output {
    command(host, words).output().unwrap()
}

pub(crate) fn out(host: &Host, words: &[&str]) -> String {
    let output = alived(host, words);
    assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}\n{}", host.log());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_drained_server_keeps_its_connections_and_gets_no_new_ones() {
    judged(|| {
        let (mut host, servers) = with_two();
        let mut connection = connect(&host, &servers);
        let mut drain =
            command(&host, &["drain", NAME]).stdout(std::process::Stdio::piped()).spawn().unwrap();
        wait_for_table(&mut host, &[SERVICE, ONE, TWO_DRAINS]);
        assert!(is_open(&mut connection));
        host.wait("the count", |host| {
            out(host, &["status"]).contains("draining by command, 1 connections left")
        });
        // A reload changes nothing about it, nor does a restart, nor the death of the worker.
        host.signal(libc::SIGHUP);
        host.wait_for_lines("Reloaded", 1);
        let worker = host.checker();
        let mut restart = command(&host, &["restart"]).spawn().unwrap();
        while restart.try_wait().unwrap().is_none() {
            assert_eq!(table(&host), [SERVICE, ONE, TWO_DRAINS]);
        }
        assert!(restart.wait().unwrap().success() && host.checker() != worker, "{}", host.log());
        host.wait_for_lines("restarted: v", 1);
        assert!(is_open(&mut connection));
        let worker = host.checker();
        signal(worker, libc::SIGKILL);
        host.wait("the next worker", |host| host.checker() != worker && host.path("checkers.sock").exists());
        host.wait("its answer", |host| alived(host, &["status"]).status.success());
        assert_eq!(table(&host), [SERVICE, ONE, TWO_DRAINS]);
        assert!(is_open(&mut connection) && drain.try_wait().unwrap().is_none());
        drop(connection);
        wait_for_table(&mut host, &[SERVICE, ONE]);
        let output = drain.wait_with_output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert_eq!(told, format!("RS {NAME} of VS [192.0.2.100]:tcp:80: drained by command\n"));
        assert_eq!(output.status.code(), Some(0));
        assert!(out(&host, &["drain"]).contains(&told));
        let restored = out(&host, &["restore", "all"]);
        assert_eq!(restored, format!("RS {NAME} of VS [192.0.2.100]:tcp:80: as configured\n"));
        wait_for_table(&mut host, &[SERVICE, ONE, TWO]);

        // A limit cuts, and that is said.
        let mut connection = connect(&host, &servers);
        let cut = alived(&host, &["drain", "127.0.0.1:8002", "--limit", "2s", "--for", "1h"]);
        assert_eq!(cut.status.code(), Some(1), "{cut:?}");
        assert!(
            String::from_utf8(cut.stdout)
                .unwrap()
                .contains("drained by command, 1 connections cut, for another")
        );
        assert_eq!(table(&host), [SERVICE, ONE]);
        connection.1.set_read_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
        assert!(!is_open(&mut connection));

        out(&host, &["weight", "127.0.0.1:8002", "7", "--of", "[192.0.2.100]:tcp:80"]);
        let seven = TWO.replace("-w 1", "-w 7");
        wait_for_table(&mut host, &[SERVICE, ONE, &seven]);
        assert!(out(&host, &["status"]).contains("weight 7 (configured 1), weight 7 by command"));
        out(&host, &["weight", "127.0.0.1:8002", "configured"]);
        wait_for_table(&mut host, &[SERVICE, ONE, TWO]);
        assert_eq!(alived(&host, &["drain", "127.0.0.9"]).status.code(), Some(1));
        // A daemon that starts anew knows of no order.
        out(&host, &["drain", NAME, "--no-wait"]);
        host.signal(libc::SIGTERM);
        assert!(host.wait_for_end().success());
        assert!(!host.path("checkers.orders").exists());
        host.start(&["-C"]);
        wait_for_table(&mut host, &[SERVICE, ONE, TWO]);
    });
}

#[test]
fn one_that_leaves_the_configuration_keeps_its_connections() {
    judged(|| {
        let (mut host, servers) = with_two();
        let mut connection = connect(&host, &servers);
        let one = virtual_server(80, &real_server(8001, ""));
        let two = virtual_server(80, &(real_server(8001, "") + &real_server(8002, "")));
        host.configure(&one);
        host.signal(libc::SIGHUP);
        wait_for_table(&mut host, &[SERVICE, ONE, TWO_DRAINS]);
        assert!(is_open(&mut connection));
        assert!(
            out(&host, &["status"]).contains("RS [127.0.0.1]:tcp:8002: not in the configuration any more")
        );
        // Its successor does not cut it either.
        let worker = host.checker();
        signal(worker, libc::SIGKILL);
        host.wait("the next worker", |host| host.checker() != worker && host.path("checkers.sock").exists());
        host.wait("its answer", |host| alived(host, &["status"]).status.success());
        assert_eq!(table(&host), [SERVICE, ONE, TWO_DRAINS]);
        assert!(is_open(&mut connection));
        drop(connection);
        wait_for_table(&mut host, &[SERVICE, ONE]);
        // At once where that is wanted.
        let expire = "/proc/sys/net/ipv4/vs/expire_nodest_conn";
        let read = move || std::fs::read_to_string(expire).unwrap();
        assert_eq!(host.namespace.run(read).unwrap(), "0\n");
        host.write("alived.toml", "[drain]\nleaving = false\nexpire-dead = true\n");
        host.configure(&two);
        host.signal(libc::SIGHUP);
        wait_for_table(&mut host, &[SERVICE, ONE, TWO]);
        assert_eq!(host.namespace.run(read).unwrap(), "1\n");
        let _connection = connect(&host, &servers);
        host.configure(&one);
        host.signal(libc::SIGHUP);
        wait_for_table(&mut host, &[SERVICE, ONE]);
        assert!(!host.log().contains("connections of it are cut"), "{}", host.log());
        host.signal(libc::SIGTERM);
        assert!(host.wait_for_end().success());
    });
}
