//! What scripts and FIFOs are told, beside keepalived: both live through the same scenario on the same configuration, and
//! lines and calls (arguments, environment, user, folder) are the same but for a list, each with its reason.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};

use alived::drill::Program;

use crate::host::{Host, instance};
use crate::skip;

/// What was told in one phase, each list in the order in which it came.
#[derive(Debug, Default)]
struct Phase {
    name: &'static str,
    lines: Vec<String>,
    calls: Vec<String>,
}

/// What differs, and why.
enum Difference {
    /// keepalived says it, we do not.
    Theirs(&'static str, &'static str),
    /// We do, keepalived does not.
    Ours(&'static str, &'static str),
}

const DIFFERENCES: [Difference; 2] = [
    // A reload has each router begin as a backup and restores its state without a word.
    Difference::Theirs("reload", "INSTANCE \"C\" BACKUP_PRIORITY 105"),
    // Its manual says that a removed instance without notify_deleted has FAULT notifies sent; it only runs notify.
    Difference::Ours("deleted", "fault of D"),
];

/// A daemon, what it tells, and how much of that is known already.
struct Scenario {
    host: Host,
    fifo: File,
    is_ours: bool,
    lines: String,
    seen: (usize, usize),
    phases: Vec<Phase>,
}

impl Scenario {
    fn new(mut host: Host, is_ours: bool) -> Self {
        host.wait_for_carrier();
        // keepalived passes LD_LIBRARY_PATH on up to 2.2.7, and no more in 2.4.3. TMPDIR is the host's own.
        let script = format!(
            "#!/bin/dash\ncase \"$1\" in\nenvironment)\n    \
             echo \"environment $(env | grep -v '^_=\\|^TMPDIR=\\|^LD_LIBRARY_PATH=' | sort | tr '\\n' ' ') $(id -u):$(id -g) $(pwd) \
             $(readlink /proc/$$/fd/0)\" >> {0} ;;\n*) echo \"$*\" >> {0} ;;\nesac\n",
            host.path("calls").display()
        );
        host.write("hook", &script);
        fs::set_permissions(host.path("hook"), fs::Permissions::from_mode(0o755)).unwrap();
        host.write("weight", "0");
        let fifo = host.path("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Never at its end, also when its writer opens it anew.
        let fifo = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(fifo).unwrap();
        Self { host, fifo, is_ours, lines: String::new(), seen: (0, 0), phases: Vec::new() }
    }

    fn configure(&self, with_last: bool) {
        let hook = self.host.path("hook").display().to_string();
        let mut text = format!(
            "global_defs {{\n    script_user root\n    enable_script_security\n    vrrp_notify_fifo {}\n    \
             vrrp_notify_priority_changes true\n}}\nvrrp_track_file weight {{\n    file {}\n    weight 1\n}}\n\
             vrrp_sync_group G {{\n    group {{\n        A\n        B\n    }}\n",
            self.host.path("fifo").display(),
            self.host.path("weight").display()
        );
        let hooks = |name: &str| {
            let states = ["master", "backup", "fault", "stop"];
            let of_state = |state| format!("    notify_{state} \"{hook} {state} of {name}\"\n");
            states.map(of_state).concat() + &format!("    notify \"{hook} any\"\n")
        };
        text += &format!("{}}}\n", hooks("G"));
        for (name, vrid, more) in [
            ("A", 51, "    notify_master_rx_lower_pri \"%\"\n".to_owned()),
            ("B", 52, "    notify_master \"% environment\"\n".to_owned()),
            (
                "C",
                53,
                "    track_file {\n        weight\n    }\n    notify_deleted \"% deleted\"\n".to_owned(),
            ),
            ("D", 54, String::new()),
        ] {
            if !with_last && vrid > 52 {
                continue;
            }
            let router = instance(name, vrid, 100, &format!("192.0.2.{vrid}/24"));
            let router = router.trim_end().strip_suffix('}').unwrap();
            let own = if more.contains("environment") { String::new() } else { hooks(name) };
            text += &format!("{router}{own}{}}}\n", more.replace('%', &hook));
        }
        self.host.configure(&text);
    }

    fn lines(&mut self) -> Vec<String> {
        let mut buffer = [0; 4096];
        while let Ok(bytes @ 1..) = self.fifo.read(&mut buffer) {
            self.lines += std::str::from_utf8(&buffer[..bytes]).unwrap();
        }
        self.lines.lines().map(str::to_owned).collect()
    }

    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.host.path("calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// What came since the phase began.
    fn fresh(&mut self) -> (Vec<String>, Vec<String>) {
        let (lines, calls) = (self.lines(), self.calls());
        (lines[self.seen.0..].to_vec(), calls[self.seen.1..].to_vec())
    }

    /// Waits until this much has been told of, lines and calls, and ends the phase.
    fn phase(&mut self, name: &'static str, lines: &[&str], calls: &[&str]) {
        let start = std::time::Instant::now();
        loop {
            let (fresh, called) = self.fresh();
            let missing: Vec<&&str> = lines
                .iter()
                .filter(|line| !fresh.iter().any(|told| told == **line))
                .chain(calls.iter().filter(|call| !called.iter().any(|told| told.starts_with(**call))))
                .collect();
            if missing.is_empty() {
                break;
            }
            let log = self.host.log();
            assert!(start.elapsed().as_secs() < 40, "{name}: {missing:?} of {fresh:?} {called:?}\n{log}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        self.end_phase(name);
    }

    fn end_phase(&mut self, name: &'static str) {
        let (lines, calls) = self.fresh();
        self.seen = (self.seen.0 + lines.len(), self.seen.1 + calls.len());
        self.phases.push(Phase { name, lines, calls });
    }

    fn run(mut self) -> Vec<Phase> {
        self.configure(true);
        self.host.start(&[]);
        const GROUP: &str = "GROUP \"G\" MASTER 0";
        let masters = |priority: &str| {
            let line = |(name, priority): (&str, &str)| format!("INSTANCE \"{name}\" MASTER {priority}");
            [("A", "100"), ("B", "100"), ("C", priority), ("D", "100")].map(line).to_vec()
        };
        let told = |lines: &[String]| -> Vec<String> { lines.to_vec() };
        let all = |scenario: &mut Self, name, lines: Vec<String>, calls: &[&str]| {
            let lines = told(&lines);
            let lines: Vec<&str> = lines.iter().map(String::as_str).chain([GROUP]).collect();
            scenario.phase(name, &lines, calls);
        };
        let master_calls = [
            "any INSTANCE A MASTER 100",
            "master of A",
            "environment",
            "any INSTANCE C MASTER",
            "master of C",
            "any INSTANCE D MASTER 100",
            "master of D",
            "any GROUP G MASTER 0",
            "master of G",
        ];
        let backup_calls =
            ["any INSTANCE A BACKUP 100", "backup of A", "any INSTANCE C BACKUP", "backup of C"];
        let backup_calls: Vec<&str> = backup_calls
            .into_iter()
            .chain(["any INSTANCE D BACKUP 100", "backup of D", "any GROUP G BACKUP 0", "backup of G"])
            .chain(master_calls)
            .collect();
        all(&mut self, "start", masters("100"), &backup_calls);
        self.host.write("weight", "5");
        self.phase("priority", &["INSTANCE \"C\" MASTER_PRIORITY 105"], &[]);
        let lan = self.host.lan();
        self.host.socket.set_up(lan, false).unwrap();
        self.phase(
            "fault",
            &[
                "INSTANCE \"A\" FAULT 100",
                "INSTANCE \"B\" FAULT 100",
                "INSTANCE \"C\" FAULT 105",
                "INSTANCE \"D\" FAULT 100",
                "GROUP \"G\" FAULT 0",
            ],
            &[
                "any INSTANCE A FAULT 100",
                "fault of A",
                "any INSTANCE C FAULT 105",
                "fault of C",
                "any INSTANCE D FAULT 100",
                "fault of D",
                "any GROUP G FAULT 0",
                "fault of G",
            ],
        );
        self.host.socket.set_up(lan, true).unwrap();
        all(&mut self, "recovered", masters("105"), &backup_calls);
        self.host.signal(libc::SIGHUP);
        if self.is_ours {
            self.host.wait_for_lines("Reloaded", 1);
            self.end_phase("reload");
        } else {
            self.phase("reload", &["INSTANCE \"C\" BACKUP_PRIORITY 105"], &[]);
        }
        self.configure(false);
        self.host.signal(libc::SIGHUP);
        self.phase(
            "deleted",
            &["INSTANCE \"C\" DELETED 105", "INSTANCE \"D\" FAULT 100"],
            &["any INSTANCE C DELETED 105", "deleted", "any INSTANCE D FAULT 100"],
        );
        self.configure(true);
        self.host.signal(libc::SIGHUP);
        self.phase(
            "added",
            &["INSTANCE \"C\" MASTER 105", "INSTANCE \"D\" MASTER 100"],
            &[
                "any INSTANCE C BACKUP 105",
                "backup of C",
                "any INSTANCE C MASTER 105",
                "master of C",
                "any INSTANCE D BACKUP 100",
                "backup of D",
                "any INSTANCE D MASTER 100",
                "master of D",
            ],
        );
        self.host.signal(libc::SIGTERM);
        assert!(self.host.wait_for_end().success(), "{}", self.host.log());
        self.end_phase("stop");
        self.phases
    }
}

/// What an object was told, in order.
fn by_object(lines: &[String]) -> Vec<String> {
    let mut lines = lines.to_vec();
    // A stable order by the first two words, which name it.
    lines.sort_by_key(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "));
    lines
}

fn sorted(calls: &[String]) -> Vec<String> {
    let mut calls = calls.to_vec();
    calls.sort();
    calls
}

/// Takes the listed differences away.
fn without(what: &[String], phase: &str, ours: bool) -> Vec<String> {
    let is_listed = |told: &String| {
        DIFFERENCES.iter().any(|difference| match difference {
            Difference::Theirs(name, text) => !ours && *name == phase && text == told,
            Difference::Ours(name, text) => ours && *name == phase && text == told,
        })
    };
    what.iter().filter(|told| !is_listed(told)).cloned().collect()
}

#[test]
fn scripts_and_fifos_are_told_what_keepalived_tells_them() {
    let Some(keepalived) = Program::keepalived() else {
        skip::skip("scripts_and_fifos_are_told_what_keepalived_tells_them", "keepalived is not installed");
        return;
    };
    let (Some(ours), Some(mut theirs)) = (Host::new(), Host::new()) else { return };
    theirs.use_program(&keepalived.path);
    let theirs = Scenario::new(theirs, false).run();
    let ours = Scenario::new(ours, true).run();
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let name = ours.name;
        let (our_lines, their_lines) =
            (without(&ours.lines, name, true), without(&theirs.lines, name, false));
        assert_eq!(by_object(&our_lines), by_object(&their_lines), "{name}");
        let (our_calls, their_calls) =
            (sorted(&without(&ours.calls, name, true)), sorted(&without(&theirs.calls, name, false)));
        if name == "stop" {
            // keepalived ends what takes longer than a moment.
            assert!(
                their_calls.iter().all(|call| our_calls.contains(call)),
                "{our_calls:?}\n{their_calls:?}"
            );
            let expected = ["A", "C", "D", "G"].map(|name| format!("stop of {name}"));
            assert!(expected.iter().all(|call| our_calls.contains(call)), "{our_calls:?}");
        } else {
            assert_eq!(our_calls, their_calls, "{name}");
        }
    }
}
