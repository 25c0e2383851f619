//! What holds for all virtual servers: flushing, the kernel's timeouts, sync daemons without an instance; and what a real
//! server's check by a file, and its mail, come to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc;

use alived::sys::process::signal;

use crate::director::{
    BOTH, director, ipvsadm, judged, listen, real_server, table, virtual_server, wait_for_table, with_two,
};
use crate::host::{Host, LAN};

const FOREIGN: &str = "-A -t 192.0.2.200:80 -s rr";

fn with_globals(host: &Host, globals: &str) {
    let reals = real_server(8001, "") + &real_server(8002, "");
    host.configure(&format!("global_defs {{\n{globals}\n}}\n{}", virtual_server(80, &reals)));
}

/// What `ipvsadm -L` says of something.
fn says(host: &Host, what: &str) -> String {
    let mut command = Command::new("ipvsadm");
    command.args(["-L", what]);
    host.namespace.contain(&mut command);
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

#[test]
fn the_table_is_flushed_at_start_and_stop_where_that_is_wanted() {
    judged(|| {
        let (mut host, _servers) = with_two("");
        ipvsadm(&host, &["-A", "-t", "192.0.2.200:80", "-s", "rr"]);
        with_globals(&host, "lvs_flush");
        host.start(&["-C"]);
        wait_for_table(&mut host, &BOTH);
        // At the start of the daemon, not of a worker in place of one that died.
        ipvsadm(&host, &["-A", "-t", "192.0.2.200:80", "-s", "rr"]);
        let worker = host.checker();
        signal(worker, libc::SIGKILL);
        host.wait("the next worker", |host| host.checker() != worker);
        host.wait_for_lines("Startup complete", 2);
        assert!(table(&host).contains(&FOREIGN.to_owned()), "{}", host.log());
        host.signal(libc::SIGTERM);
        assert!(host.wait_for_end().success());
        assert_eq!(table(&host), [FOREIGN]);
        with_globals(&host, "lvs_flush_on_stop");
        host.start(&["-C"]);
        wait_for_table(&mut host, &[&BOTH[..], &[FOREIGN]].concat());
        host.signal(libc::SIGTERM);
        assert!(host.wait_for_end().success());
        assert_eq!(table(&host), Vec::<String>::new());
    });
}

#[test]
fn timeouts_and_sync_daemons_are_the_kernel_s() {
    judged(|| {
        let (mut host, _servers) = with_two("");
        with_globals(&host, &format!("lvs_timeouts tcp 901 tcpfin 121 udp 301\nlvs_sync_daemon {LAN} id 7"));
        host.start(&["-C"]);
        host.wait("the timeouts", |host| says(host, "--timeout").contains("901 121 301"));
        host.wait("both sync daemons", |host| {
            let daemons = says(host, "--daemon");
            let runs = |role: &str| daemons.contains(&format!("{role} sync daemon (mcast={LAN}, syncid=7"));
            runs("master") && runs("backup")
        });
        with_globals(&host, "lvs_timeouts tcp 902");
        host.signal(libc::SIGHUP);
        // What is not named stays as it is.
        host.wait("the next timeouts", |host| says(host, "--timeout").contains("902 121 301"));
        with_globals(&host, &format!("lvs_sync_daemon {LAN} id 8"));
        host.signal(libc::SIGHUP);
        host.wait("the other sync daemons", |host| says(host, "--daemon").contains("syncid=8"));
        host.signal(libc::SIGTERM);
        assert!(host.wait_for_end().success());
        assert_eq!(says(&host, "--daemon").trim(), "");
    });
}

#[test]
fn a_file_decides_about_a_real_server_and_its_weight() {
    judged(|| {
        let mut host = director();
        host.write("number", "0\n");
        let text = format!(
            "track_file level {{\nfile {}\n}}\nvirtual_server 192.0.2.100 80 {{\ndelay_loop 1\nlvs_sched rr\nlvs_method NAT\n\
             protocol TCP\nreal_server 127.0.0.1 8001 {{\nweight 10\nFILE_CHECK {{\ntrack_file level\nweight 1\n}}\n}}\n}}\n",
            host.path("number").display()
        );
        host.configure(&text);
        host.start(&["-C"]);
        let service = "-A -t 192.0.2.100:80 -s rr";
        let weighs = |weight: u32| format!("-a -t 192.0.2.100:80 -r 127.0.0.1:8001 -m -w {weight}");
        wait_for_table(&mut host, &[service, &weighs(10)]);
        host.write("number", "5\n");
        wait_for_table(&mut host, &[service, &weighs(15)]);
        host.write("number", "-4\n");
        wait_for_table(&mut host, &[service, &weighs(6)]);
        // The least weight that can be added is a failure.
        host.write("number", "-2147483648\n");
        wait_for_table(&mut host, &[service]);
        host.write("number", "0\n");
        wait_for_table(&mut host, &[service, &weighs(10)]);
        host.signal(libc::SIGTERM);
        assert!(host.wait_for_end().success());
    });
}

/// A mail server that takes everything; gives the subjects.
fn mail_server(host: &Host) -> mpsc::Receiver<String> {
    let server: TcpListener = listen(host, "127.0.0.1:2525");
    let (sender, subjects) = mpsc::channel();
    let serve = move |stream: std::net::TcpStream| -> std::io::Result<()> {
        let mut writer = stream.try_clone()?;
        writer.write_all(b"220 test\r\n")?;
        let (mut is_data, mut is_subject, mut subject) = (false, false, String::new());
        for line in BufReader::new(stream).lines() {
            let line = line?;
            if is_data && line != "." {
                // A long one goes on in lines that begin with a space.
                is_subject = line.starts_with("Subject: ") || is_subject && line.starts_with(' ');
                if is_subject {
                    subject += &line;
                }
                continue;
            }
            if is_data {
                let _ = sender.send(core::mem::take(&mut subject));
            }
            is_data = line == "DATA";
            writer.write_all(if is_data { b"354 go on\r\n" } else { b"250 well\r\n" })?;
            if line == "QUIT" {
                break;
            }
        }
        Ok(())
    };
    // Ends with the test's process.
    std::thread::spawn(move || {
        for stream in server.incoming().flatten() {
            let _ = serve(stream);
        }
    });
    subjects
}

#[test]
fn mail_tells_of_real_servers_and_quorums() {
    judged(|| {
        let (mut host, [first, second]) = with_two("");
        let subjects = mail_server(&host);
        let reals = real_server(8001, "smtp_alert false") + &real_server(8002, "");
        host.configure(&format!(
            "global_defs {{\nrouter_id R1\nnotification_email {{\nops@example.com\n}}\nnotification_email_from a@example.com\n\
             smtp_server 127.0.0.1 2525\n}}\n{}",
            virtual_server(80, &format!("quorum 1\n{reals}"))
        ));
        host.start(&["-C"]);
        wait_for_table(&mut host, &BOTH);
        drop((first, second));
        wait_for_table(&mut host, &BOTH[..1]);
        let mut told = Vec::new();
        host.wait("the mail", |_| {
            told.extend(subjects.try_iter());
            told.iter().any(|subject| subject.contains("8002") && subject.contains("DOWN"))
        });
        // That of the other one is not wanted.
        assert!(told.iter().all(|subject| !subject.contains("8001")), "{told:?}");
        host.signal(libc::SIGTERM);
        assert!(host.wait_for_end().success());
    });
}
