//! The life of runners: from the first command on, one after the other, no longer than their worker.

use std::time::Duration;

use alived::daemon::runner::{Command, Outcome};
use alived::sys::process::{Ended, signal};

use crate::daemon::{Daemon, Fate, command, runs};

pub(crate) const TESTS: &[crate::Test] = crate::tests![
    a_runner_is_forked_for_the_first_command,
    what_a_killed_runner_was_running_is_lost_and_the_next_one_serves,
    a_runner_is_not_ended_by_signals_to_all,
    the_runner_of_a_killed_worker_ends_what_it_started,
    a_stop_ends_what_runs,
    a_runner_ends_when_all_else_is_killed,
];

fn succeeds(daemon: &mut Daemon) {
    let id = daemon.run(command(&["true"]));
    let outcome = daemon.outcome(id);
    assert!(matches!(outcome, Outcome::Ended { how: Ended::Exited(0), .. }), "{outcome:?}");
}

/// A command that does not end, and its process.
fn endless(daemon: &mut Daemon, ignores: bool) -> (alived::daemon::runner::RunId, u32) {
    let trap = if ignores { "trap '' TERM;" } else { "" };
    let id = daemon.shell(&format!("{trap} echo $$ > pid; while :; do sleep 1; done"));
    daemon.wait("the command", |daemon| daemon.read("pid").ends_with('\n'));
    let pid = daemon.read("pid").trim().parse().unwrap();
    std::fs::remove_file(daemon.path("pid")).unwrap();
    (id, pid)
}

fn a_runner_is_forked_for_the_first_command() {
    let mut daemon = Daemon::start();
    assert_eq!(daemon.runner(), None);
    succeeds(&mut daemon);
    assert!(daemon.runner().is_some());
    assert!(daemon.log().contains("Starting runner child process, pid="), "{}", daemon.log());
}

fn what_a_killed_runner_was_running_is_lost_and_the_next_one_serves() {
    let mut daemon = Daemon::start();
    daemon.limit(2);
    succeeds(&mut daemon);
    let mut before = 0;
    for _ in 0..2 {
        let (first, pid) = endless(&mut daemon, false);
        let (second, other) = endless(&mut daemon, false);
        let waiting = daemon.shell(": > waited");
        // The runner has it: what is said later is answered.
        daemon.limit(2);
        let cancelled = daemon.shell("true");
        daemon.cancel(cancelled);
        assert_eq!(daemon.next(), (cancelled, Fate::Finished(Outcome::Cancelled)));
        let runner = daemon.kill_runner();
        assert_ne!(runner, before);
        before = runner;
        for id in [first, second, waiting] {
            assert_eq!(daemon.next(), (id, Fate::Lost));
        }
        succeeds(&mut daemon);
        // As keepalived's scripts when keepalived dies.
        daemon.wait("the commands to end", |_| !runs(pid) && !runs(other));
    }
    assert!(!daemon.path("waited").exists());
    assert_eq!(daemon.log().matches("Runner child process(").count(), 2, "{}", daemon.log());
}

fn a_runner_is_not_ended_by_signals_to_all() {
    let mut daemon = Daemon::start();
    succeeds(&mut daemon);
    let runner = daemon.runner().unwrap();
    for number in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1, libc::SIGPIPE] {
        signal(runner, number);
    }
    succeeds(&mut daemon);
    assert_eq!(daemon.runner(), Some(runner));
}

fn the_runner_of_a_killed_worker_ends_what_it_started() {
    let mut daemon = Daemon::start();
    let (_, gentle) = endless(&mut daemon, false);
    let (_, stubborn) = endless(&mut daemon, true);
    let (worker, runner) = (daemon.worker(), daemon.runner().unwrap());
    std::fs::remove_file(daemon.path("steer")).unwrap();
    signal(worker, libc::SIGKILL);
    daemon.connect();
    assert_ne!(daemon.worker(), worker);
    // The next one need not wait for the runner of the one before.
    succeeds(&mut daemon);
    daemon.wait("the commands and the runner to end", |_| {
        ![gentle, stubborn, runner].map(runs).contains(&true)
    });
    daemon.wait("the supervisor to know it", |daemon| daemon.runner().is_some_and(|next| next != runner));
}

fn a_stop_ends_what_runs() {
    let mut daemon = Daemon::start();
    let (_, gentle) = endless(&mut daemon, false);
    let (_, stubborn) = endless(&mut daemon, true);
    let pids = [daemon.worker(), daemon.runner().unwrap(), gentle, stubborn];
    signal(daemon.supervisor(), libc::SIGTERM);
    assert_eq!(daemon.wait_for_end().code(), Some(0), "{}", daemon.log());
    assert!(!pids.map(runs).contains(&true), "{}", daemon.log());
    assert!(!daemon.log().contains("killing it"), "{}", daemon.log());
}

fn a_runner_ends_when_all_else_is_killed() {
    let mut daemon = Daemon::start();
    let run = Command { grace: Duration::from_secs(1), ..daemon.shell_command("trap '' TERM; sleep 600") };
    daemon.run(run);
    succeeds(&mut daemon);
    let (worker, runner) = (daemon.worker(), daemon.runner().unwrap());
    signal(worker, libc::SIGSTOP);
    signal(daemon.supervisor(), libc::SIGKILL);
    daemon.wait_for_end();
    assert!(runs(runner), "it waits for its worker");
    signal(worker, libc::SIGKILL);
    daemon.wait("the runner to end", |_| !runs(runner));
}
