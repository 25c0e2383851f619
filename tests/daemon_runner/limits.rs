//! Many commands: how many at a time, in which order, and what a flood does.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use alived::daemon::runner::{Command, Cut, Outcome, RunId};
use alived::sys::process::{Ended, signal};

use crate::daemon::{Daemon, Fate, command};

pub(crate) const TESTS: &[crate::Test] = crate::tests![
    hundreds_run_at_a_time,
    what_is_beyond_the_limit_waits_in_order,
    what_waits_can_be_cancelled,
    a_runner_that_stands_still_gets_everything_later,
    a_flood_of_output_holds_nothing_up,
];

/// The number of files whose names begin so.
fn count(daemon: &Daemon, start: &str) -> usize {
    let names = fs::read_dir(daemon.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with(start)).count()
}

/// Says `started.N`, and waits until somebody opens the gate.
fn gated(daemon: &Daemon, number: u32) -> Command {
    daemon.shell_command(&format!(": > started.{number}; read x < gate; :"))
}

fn make_gate(daemon: &mut Daemon) {
    let id = daemon.shell("mkfifo gate");
    assert!(matches!(daemon.outcome(id), Outcome::Ended { how: Ended::Exited(0), .. }));
}

fn open_gate(daemon: &Daemon) -> fs::File {
    fs::File::options().read(true).write(true).open(daemon.path("gate")).unwrap()
}

fn hundreds_run_at_a_time() {
    let mut daemon = Daemon::start();
    make_gate(&mut daemon);
    let mut open: BTreeSet<RunId> = (1..=255).map(|number| daemon.run(gated(&daemon, number))).collect();
    daemon.wait("all to run", |daemon| count(daemon, "started.") == 255);
    // A line for each.
    let mut gate = open_gate(&daemon);
    std::io::Write::write_all(&mut gate, &[b'\n'; 255]).unwrap();
    while !open.is_empty() {
        let (id, fate) = daemon.next();
        assert!(matches!(fate, Fate::Finished(Outcome::Ended { how: Ended::Exited(0), .. })), "{fate:?}");
        assert!(open.remove(&id), "told twice: {id:?}");
    }
}

fn what_is_beyond_the_limit_waits_in_order() {
    let mut daemon = Daemon::start();
    daemon.limit(1);
    for number in 0..50 {
        daemon.shell(&format!("echo {number} >> order"));
    }
    for number in 0..50 {
        assert_eq!(daemon.next().0, RunId(number));
    }
    let order: String = (0..50).map(|number| format!("{number}\n")).collect();
    assert_eq!(daemon.read("order"), order);

    daemon.limit(3);
    make_gate(&mut daemon);
    for number in 0..10 {
        daemon.run(gated(&daemon, number));
    }
    daemon.wait("three to run", |daemon| count(daemon, "started.") == 3);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(count(&daemon, "started."), 3);
    daemon.limit(5);
    daemon.wait("five to run", |daemon| count(daemon, "started.") == 5);
    let mut gate = open_gate(&daemon);
    std::io::Write::write_all(&mut gate, &[b'\n'; 10]).unwrap();
    for _ in 0..10 {
        assert!(matches!(daemon.next().1, Fate::Finished(_)));
    }
}

fn what_waits_can_be_cancelled() {
    let mut daemon = Daemon::start();
    daemon.limit(1);
    let first = daemon.shell(": > first; sleep 600");
    daemon.wait("the first to run", |daemon| count(daemon, "first") == 1);
    let second = daemon.shell(": > second");
    let third = daemon.shell(": > third");
    daemon.cancel(second);
    assert_eq!(daemon.next(), (second, Fate::Finished(Outcome::Cancelled)));
    daemon.cancel(first);
    let (id, fate) = daemon.next();
    assert!(id == first && matches!(fate, Fate::Finished(Outcome::Ended { cut: Some(Cut::Cancelled), .. })));
    assert_eq!(daemon.next().0, third);
    // What is over cannot be cancelled any more.
    daemon.cancel(third);
    daemon.cancel(RunId(77));
    let last = daemon.shell("true");
    daemon.outcome(last);
    assert_eq!(count(&daemon, "second"), 0);
}

/// Of a runner that is stopped, more waits than its socket holds.
fn a_runner_that_stands_still_gets_everything_later() {
    for kill in [false, true] {
        let mut daemon = Daemon::start();
        let id = daemon.run(command(&["true"]));
        daemon.outcome(id);
        let runner = daemon.runner().unwrap();
        signal(runner, libc::SIGSTOP);
        let count = 2000;
        let mut open: BTreeSet<RunId> = (0..count).map(|_| daemon.run(command(&["/no/such/file"]))).collect();
        // Said after them, so the worker has read them all when this is answered.
        let waiting = *open.last().unwrap();
        daemon.cancel(waiting);
        let outcome = daemon.outcome(waiting);
        assert_eq!(outcome, Outcome::Cancelled, "it had not even been sent");
        open.remove(&waiting);
        if kill {
            signal(runner, libc::SIGKILL);
        } else {
            signal(runner, libc::SIGCONT);
        }
        let mut lost = 0;
        while !open.is_empty() {
            let (id, fate) = daemon.next();
            assert!(open.remove(&id), "told twice: {id:?}");
            match fate {
                Fate::Lost => lost += 1,
                Fate::Finished(outcome) => assert!(matches!(outcome, Outcome::NotStarted(_)), "{outcome:?}"),
            }
        }
        assert!(if kill { lost > 0 && lost < count } else { lost == 0 }, "{lost} lost");
    }
}

fn a_flood_of_output_holds_nothing_up() {
    // Nobody reads what the daemon's children write.
    let (_reader, writer) = std::io::pipe().unwrap();
    let mut daemon = Daemon::start_with(|command| {
        command.stdin(Stdio::null()).stdout(writer);
    });
    let flood = daemon.shell_command("yes | head -c 100000000; echo done > flooded");
    let flood = daemon.run(Command { deadline: Some(Duration::from_secs(2)), ..flood });
    for _ in 0..20 {
        let id = daemon.run(command(&["true"]));
        assert!(matches!(daemon.outcome(id), Outcome::Ended { how: Ended::Exited(0), .. }));
    }
    assert!(matches!(daemon.outcome(flood), Outcome::Ended { cut: Some(Cut::Deadline), .. }));
    assert_eq!(count(&daemon, "flooded"), 0);
}
