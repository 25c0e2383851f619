//! Mail of a real daemon to a real SMTP server (Debian's python3-aiosmtpd), beside keepalived's.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};

use alived::drill::Program;

use crate::host::{Host, instance, name};
use crate::skip;

const ADDRESS: &str = "192.0.2.50/24";

/// A mail server on the host, which prints what it is sent.
struct Server(Child);

/// One that knows no `ops@example.com`, and says to whom it takes each mail.
const CHOOSY: &str = "
from aiosmtpd.handlers import Debugging

class Choosy(Debugging):
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address == 'ops@example.com':
            return '550 no such user'
        envelope.rcpt_tos.append(address)
        return '250 OK'

    async def handle_DATA(self, server, session, envelope):
        print('taken for', envelope.rcpt_tos)
        return await super().handle_DATA(server, session, envelope)
";

impl Server {
    fn start(host: &Host) -> Self {
        Self::start_with(host, "aiosmtpd.handlers.Debugging")
    }

    fn start_with(host: &Host, handler: &str) -> Self {
        let out = File::options().create(true).append(true).open(host.path("mails")).unwrap();
        let mut command = Command::new("/usr/bin/python3");
        command
            .args(["-u", "-m", "aiosmtpd", "-n", "-l", "192.0.2.1:2525"])
            .args(["-c", handler, "stdout"])
            .env("PYTHONPATH", host.path(""))
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(Stdio::null());
        host.namespace.contain(&mut command);
        Self(command.spawn().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn host(test: &str) -> Option<Host> {
    let has = Command::new("/usr/bin/python3").args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
    if !has.is_ok_and(|status| status.success()) {
        skip::skip(test, "there is no SMTP server: apt-get install python3-aiosmtpd");
        return None;
    }
    let mut host = Host::new()?;
    host.wait_for_carrier();
    // Where a host speaks to itself.
    let loopback = host.socket.index_of(&name("lo")).unwrap();
    host.socket.set_up(loopback, true).unwrap();
    host.configure(&format!(
        "global_defs {{\n    router_id R1\n    notification_email {{\n        root@localhost\n        ops@example.com\n    }}\n    \
         notification_email_from alive@example.com\n    smtp_server 192.0.2.1 2525\n    smtp_helo_name r1.example\n    \
         smtp_alert\n}}\n{}",
        instance("VI_1", 51, 100, ADDRESS)
    ));
    Some(host)
}

/// Fields and bodies of the mails, in order.
fn mails(host: &Host) -> Vec<(Vec<String>, String)> {
    let text = fs::read_to_string(host.path("mails")).unwrap_or_default();
    let messages = text.split("---------- MESSAGE FOLLOWS ----------").skip(1);
    let whole = messages.filter(|message| message.contains("------------ END MESSAGE ------------"));
    let parts = whole.map(|message| {
        let message = message.split("------------ END MESSAGE").next().unwrap().trim();
        // What the server prints of the envelope comes first, if anything.
        let message = match message.split_once("\n\n") {
            Some((envelope, message)) if envelope.starts_with("mail options") => message,
            _ => message,
        };
        let (head, body) = message.split_once("\n\n").unwrap();
        (head.lines().map(str::to_owned).collect(), body.trim().to_owned())
    });
    parts.collect()
}

fn fields(mail: &(Vec<String>, String), names: &[&str]) -> Vec<String> {
    let of = |name: &&str| mail.0.iter().find(|line| line.starts_with(&format!("{name}: "))).cloned();
    names.iter().filter_map(of).collect()
}

const FIELDS: [&str; 4] = ["From", "Subject", "To", "X-Mailer"];

#[test]
fn mail_says_what_keepalived_says() {
    let test = "mail_says_what_keepalived_says";
    let Some(mut ours) = host(test) else { return };
    let server = Server::start(&ours);
    // Not before the server listens, since keepalived tries once.
    let listens = |host: &mut Host| {
        let socket = host.namespace.run(|| std::net::TcpStream::connect("192.0.2.1:2525")).unwrap();
        socket.is_ok()
    };
    ours.wait("the mail server", listens);
    ours.start(&[]);
    ours.wait("two mails", |host| mails(host).len() >= 2);
    drop(server);
    let mut told: Vec<_> = mails(&ours).iter().map(|mail| (fields(mail, &FIELDS), mail.1.clone())).collect();
    let subjects = ["BACKUP", "MASTER"]
        .map(|state| format!("Subject: [R1] VRRP Instance VI_1 - Entering {state} state"));
    for ((fields, _), subject) in told.iter().zip(&subjects) {
        assert!(fields.contains(subject), "{fields:?}");
    }
    assert!(fields(&mails(&ours)[0], &["Date", "Message-ID"]).len() == 2, "{:?}", mails(&ours)[0]);
    ours.wait_for_lines("mail sent: MASTER of vrrp_instance VI_1", 1);
    let Some(keepalived) = Program::keepalived() else {
        skip::skip(test, "keepalived is not installed");
        return;
    };
    let Some(mut theirs) = host(test) else { return };
    theirs.use_program(&keepalived.path);
    let _server = Server::start(&theirs);
    theirs.wait("the mail server", listens);
    theirs.start(&[]);
    theirs.wait("two mails", |host| mails(host).len() >= 2);
    let mut expected: Vec<_> =
        mails(&theirs).iter().map(|mail| (fields(mail, &FIELDS), mail.1.clone())).collect();
    // An address without a name may stand in brackets or not. Theirs may arrive in any order.
    for (fields, _) in &mut told {
        fields.iter_mut().for_each(|field| *field = field.replace(['<', '>'], ""));
    }
    expected.sort();
    told.sort();
    assert_eq!(told, expected);
}

#[test]
fn mail_waits_for_its_server() {
    let Some(mut host) = host("mail_waits_for_its_server") else { return };
    host.start(&[]);
    host.wait("mastership", |host| host.holds(ADDRESS));
    host.wait_for_lines("cannot send the mail BACKUP of vrrp_instance VI_1", 1);
    let _server = Server::start(&host);
    host.wait("both mails", |host| mails(host).len() == 2);
    for (mail, state) in mails(&host).iter().zip(["BACKUP", "MASTER"]) {
        let subject = format!("Subject: [R1] VRRP Instance VI_1 - Entering {state} state");
        assert_eq!(fields(mail, &["Subject"]), [subject]);
    }
    host.signal(libc::SIGTERM);
    assert!(host.wait_for_end().success());
}

#[test]
fn a_recipient_that_is_refused_does_not_keep_the_others_from_being_told() {
    let Some(mut host) = host("a_recipient_that_is_refused_does_not_keep_the_others_from_being_told") else {
        return;
    };
    host.write("choosy.py", CHOOSY);
    let _server = Server::start_with(&host, "choosy.Choosy");
    host.start(&[]);
    host.wait("both mails", |host| mails(host).len() == 2);
    for (mail, state) in mails(&host).iter().zip(["BACKUP", "MASTER"]) {
        let subject = format!("Subject: [R1] VRRP Instance VI_1 - Entering {state} state");
        assert_eq!(fields(mail, &["Subject"]), [subject]);
    }
    let printed = fs::read_to_string(host.path("mails")).unwrap();
    assert_eq!(printed.matches("taken for ['root@localhost']").count(), 2, "{printed}");
    assert_eq!(printed.matches("taken for").count(), 2, "{printed}");
    host.wait_for_lines("did not reach everybody: ops@example.com: ", 2);
    assert!(host.log().contains("no such user"), "{}", host.log());
    // It is no reason to try again.
    host.signal(libc::SIGTERM);
    assert!(host.wait_for_end().success());
    assert!(!host.log().contains("mails are not sent"), "{}", host.log());
}
