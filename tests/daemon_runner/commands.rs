//! One command: as whom and with what it runs, how it ends, why it does not start.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use alived::daemon::runner::{Command, Cut, Outcome, Refusal};
use alived::sys::process::Ended;
use alived::sys::spawn::{StartError, Step};

use crate::daemon::{Daemon, command, runs, with_user};
use crate::skip;

pub(crate) const TESTS: &[crate::Test] = crate::tests![
    statuses_signals_and_durations_are_told,
    a_command_runs_as_its_user_and_groups,
    a_command_of_root_has_all_rights_of_root,
    a_command_has_its_environment,
    a_command_reads_its_input,
    a_command_gets_no_descriptor_limit_or_signal_setting_of_the_daemon,
    a_command_that_does_not_end_is_ended_with_its_group,
    what_is_told_to_end_has_its_grace,
    what_is_left_in_the_background_is_left_alone,
    what_cannot_be_started_is_explained,
];

fn is_root(test: &str) -> bool {
    let root = std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0;
    if !root {
        skip::skip(test, "only root may become another user");
    }
    root
}

/// How it ended, and why.
fn end(outcome: Outcome) -> (Ended, Option<Cut>) {
    match outcome {
        Outcome::Ended { how, cut, .. } => (how, cut),
        other => panic!("{other:?}"),
    }
}

fn statuses_signals_and_durations_are_told() {
    let mut daemon = Daemon::start();
    for (text, how) in [
        ("true", Ended::Exited(0)),
        ("exit 3", Ended::Exited(3)),
        // What a child that could not be executed ends with, too.
        ("exit 127", Ended::Exited(127)),
        ("kill -KILL $$", Ended::Killed(libc::SIGKILL)),
        ("kill -HUP $$", Ended::Killed(libc::SIGHUP)),
    ] {
        let id = daemon.shell(text);
        assert_eq!(end(daemon.outcome(id)), (how, None), "{text}");
    }
    let id = daemon.shell("sleep 0.3");
    let Outcome::Ended { duration, .. } = daemon.outcome(id) else { panic!() };
    assert!(duration >= Duration::from_millis(300) && duration < Duration::from_secs(60), "{duration:?}");
}

fn a_command_runs_as_its_user_and_groups() {
    if !is_root("a_command_runs_as_its_user_and_groups") {
        return;
    }
    let mut daemon = Daemon::start();
    let write = daemon.shell_command("echo $(id -u) $(id -g) $(id -G) > id");
    for (user, group, expected) in [
        ("daemon", None, "1 1 1\n"),
        ("1", None, "1 1 1\n"),
        ("daemon", Some("games"), "1 60 60\n"),
        ("4000000001", Some("4000000002"), "4000000001 4000000002 4000000002\n"),
        ("root", None, "0 0 0\n"),
    ] {
        let id = daemon.run(with_user(write.clone(), user, group));
        assert_eq!(end(daemon.outcome(id)), (Ended::Exited(0), None));
        assert_eq!(daemon.read("id"), expected, "{user} {group:?}");
        fs::remove_file(daemon.path("id")).unwrap();
    }
}

fn a_command_of_root_has_all_rights_of_root() {
    if !is_root("a_command_of_root_has_all_rights_of_root") {
        return;
    }
    let rights = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("CapEff:")).unwrap().to_owned();
        line.rsplit('\t').next().unwrap().to_owned()
    };
    let mut daemon = Daemon::start();
    let status = daemon.shell_command("cat /proc/self/status > status");
    let own = rights(&fs::read_to_string("/proc/self/status").unwrap());
    let id = daemon.run(status.clone());
    assert_eq!(end(daemon.outcome(id)), (Ended::Exited(0), None));
    assert_eq!(rights(&daemon.read("status")), own);
    let runner = daemon.runner().unwrap();
    let few = rights(&fs::read_to_string(format!("/proc/{runner}/status")).unwrap());
    assert_ne!(few, own, "the runner itself has less");
    fs::remove_file(daemon.path("status")).unwrap();
    let id = daemon.run(with_user(status, "daemon", None));
    assert_eq!(end(daemon.outcome(id)), (Ended::Exited(0), None));
    assert_eq!(rights(&daemon.read("status")), "0000000000000000");

    // What root may execute whoever owns it, the runner finds and executes too.
    let script = daemon.path("closed/script");
    fs::create_dir(daemon.path("closed")).unwrap();
    fs::write(&script, "#!/bin/sh\nexit 5\n").unwrap();
    fs::set_permissions(&script, PermissionsExt::from_mode(0o700)).unwrap();
    fs::set_permissions(daemon.path("closed"), PermissionsExt::from_mode(0o700)).unwrap();
    for path in [&script, &daemon.path("closed")] {
        std::os::unix::fs::chown(path, Some(1), Some(1)).unwrap();
    }
    let run = command(&[script.to_str().unwrap()]);
    let id = daemon.run(run.clone());
    assert_eq!(end(daemon.outcome(id)), (Ended::Exited(5), None));
    let id = daemon.run(with_user(run, "games", None));
    let refused = Outcome::NotStarted(StartError::Step(Step::Execute, libc::EACCES));
    assert_eq!(daemon.outcome(id), refused);
}

fn a_command_has_its_environment() {
    let mut daemon = Daemon::start_with(|command| {
        command.env("IFS", "x").env("LD_PRELOAD", "").env("KEPT", "kept").env("CHANGED", "before");
        command.env("NOTIFY_SOCKET", "/nowhere/notify");
    });
    // Not by the shell, which sets IFS anew.
    let path = daemon.path("environment");
    let run = Command {
        environment: [&b"CHANGED=after"[..], b"NEW=a=b\xff", b"EMPTY="]
            .map(|entry| CString::new(entry).unwrap())
            .into(),
        ..command(&["dd", "if=/proc/self/environ", &format!("of={}", path.display()), "status=none"])
    };
    let id = daemon.run(run);
    assert_eq!(end(daemon.outcome(id)), (Ended::Exited(0), None));
    let all = fs::read(path).unwrap();
    let entries: Vec<&[u8]> = all.split(|byte| *byte == 0).collect();
    for entry in [&b"CHANGED=after"[..], b"NEW=a=b\xff", b"EMPTY=", b"KEPT=kept"] {
        assert!(entries.contains(&entry), "{}", entry.escape_ascii());
    }
    for name in [&b"IFS="[..], b"LD_PRELOAD=", b"LD_LIBRARY_PATH=", b"CHANGED=before", b"NOTIFY_SOCKET="] {
        assert!(!entries.iter().any(|entry| entry.starts_with(name)), "{}", name.escape_ascii());
    }
}

fn a_command_reads_its_input() {
    let mut daemon = Daemon::start();
    let read = daemon.shell_command("cat > read");
    let id = daemon.run(read.clone());
    assert_eq!(end(daemon.outcome(id)), (Ended::Exited(0), None));
    assert_eq!(daemon.read("read"), "");
    let input: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[number as usize % 3]).collect();
    let id = daemon.run(Command { input: input.clone(), ..read });
    assert_eq!(end(daemon.outcome(id)), (Ended::Exited(0), None));
    assert!(fs::read(daemon.path("read")).unwrap() == input);
    // Nobody waits for a command that does not read.
    let id = daemon.run(Command { input, ..command(&["true"]) });
    assert_eq!(end(daemon.outcome(id)), (Ended::Exited(0), None));
}

fn a_command_gets_no_descriptor_limit_or_signal_setting_of_the_daemon() {
    // One that whoever started the daemon has left open.
    let mut daemon = Daemon::start_with(|command| {
        let mut shell = std::process::Command::new("/bin/sh");
        shell
            .args(["-c", "exec 9</dev/zero; trap '' QUIT; ulimit -Sn 99; exec \"$0\""])
            .arg(command.get_program());
        let envs: Vec<_> = command.get_envs().map(|(k, v)| (k.to_owned(), v.unwrap().to_owned())).collect();
        shell.envs(envs).stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        let folder = std::path::PathBuf::from(command.get_envs().next().unwrap().1.unwrap());
        shell.stderr(fs::File::options().append(true).open(folder.join("log")).unwrap());
        *command = shell;
    });
    let sleeping = daemon.run(command(&["sleep", "600"]));
    let mut names = Vec::new();
    daemon.wait("the command", |daemon| {
        let Some(runner) = daemon.runner() else { return false };
        let children = fs::read_to_string(format!("/proc/{runner}/task/{runner}/children")).unwrap();
        let Some(pid) = children.split_whitespace().next() else { return false };
        if !fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n") {
            return false;
        }
        let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        names = entries.map(|entry| entry.unwrap().file_name()).collect();
        true
    });
    names.sort();
    assert_eq!(names, ["0", "1", "2"]);
    daemon.cancel(sleeping);
    daemon.outcome(sleeping);
    let id = daemon.shell("grep -E '^Sig(Blk|Ign)' /proc/self/status > signals");
    assert_eq!(end(daemon.outcome(id)), (Ended::Exited(0), None));
    assert_eq!(daemon.read("signals"), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    let id = daemon.shell("ulimit -n > limit");
    assert_eq!(end(daemon.outcome(id)), (Ended::Exited(0), None));
    assert_eq!(daemon.read("limit"), "99\n", "not what the daemon raised it to");
    let id = daemon.shell("readlink /proc/$$/fd/0 > input; ps -o pgid= -p $$ > group; echo $$ >> group");
    assert_eq!(end(daemon.outcome(id)), (Ended::Exited(0), None));
    assert_eq!(daemon.read("input"), "/dev/null\n");
    let group = daemon.read("group");
    let numbers: Vec<&str> = group.split_whitespace().collect();
    assert!(matches!(numbers[..], [group, pid] if group == pid), "{numbers:?}");
}

/// The processes that wrote their numbers into files of this name and a number.
fn pids(daemon: &Daemon, count: usize) -> Vec<u32> {
    (1..=count).filter_map(|number| daemon.read(&format!("pid.{number}")).trim().parse().ok()).collect()
}

const STUBBORN: &str = "trap '' TERM; \
     sh -c 'sh -c \"echo \\$\\$ > pid.3; while :; do sleep 1; done\" & echo $$ > pid.2; wait' & \
     echo $$ > pid.1; while :; do sleep 1; done";

fn a_command_that_does_not_end_is_ended_with_its_group() {
    let mut daemon = Daemon::start();
    for cancel in [false, true] {
        let deadline = (!cancel).then_some(Duration::from_secs(2));
        let grace = Duration::from_secs(1);
        let run = Command { deadline, grace, ..daemon.shell_command(STUBBORN) };
        let id = daemon.run(run);
        daemon.wait("three processes", |daemon| pids(daemon, 3).len() == 3);
        let pids = pids(&daemon, 3);
        let why = if cancel {
            daemon.cancel(id);
            Cut::Cancelled
        } else {
            Cut::Deadline
        };
        let Outcome::Ended { how, duration, cut } = daemon.outcome(id) else { panic!() };
        assert_eq!((how, cut), (Ended::Killed(libc::SIGKILL), Some(why)));
        assert!(duration >= Duration::from_secs(if cancel { 1 } else { 3 }), "{duration:?}");
        daemon.wait("the grandchildren to be gone", |_| !pids.iter().any(|pid| runs(*pid)));
        for number in 1..=3 {
            fs::remove_file(daemon.path(&format!("pid.{number}"))).unwrap();
        }
    }
}

fn what_is_told_to_end_has_its_grace() {
    let mut daemon = Daemon::start();
    // The first process ends at once; another one of its group needs time to tidy up.
    let text = "sh -c 'trap \"sleep 0.5; echo tidy > tidied; exit\" TERM; echo $$ > pid.1; while :; do sleep 0.1; done' & wait";
    let run = Command { grace: Duration::from_secs(600), ..daemon.shell_command(text) };
    let id = daemon.run(run);
    daemon.wait("the process", |daemon| pids(daemon, 1).len() == 1);
    daemon.cancel(id);
    assert_eq!(end(daemon.outcome(id)), (Ended::Killed(libc::SIGTERM), Some(Cut::Cancelled)));
    assert_eq!(daemon.read("tidied"), "tidy\n");
    // Long before the grace is over: it is known when there is nobody left.
    assert!(!runs(pids(&daemon, 1)[0]));
}

fn what_is_left_in_the_background_is_left_alone() {
    let mut daemon = Daemon::start();
    let deadline = Some(Duration::from_secs(600));
    let text = "sleep 600 & echo $! > pid.1";
    let id = daemon.run(Command { deadline, ..daemon.shell_command(text) });
    assert_eq!(end(daemon.outcome(id)), (Ended::Exited(0), None));
    let [pid] = pids(&daemon, 1)[..] else { panic!() };
    assert!(runs(pid));
    alived::sys::process::signal(pid, libc::SIGKILL);
    daemon.wait("it to be waited for", |_| !std::path::Path::new(&format!("/proc/{pid}")).exists());
}

fn what_cannot_be_started_is_explained() {
    let mut daemon = Daemon::start();
    let at = |errno| Outcome::NotStarted(StartError::Step(Step::Execute, errno));
    let path = |daemon: &Daemon, file: &str| daemon.path(file).to_str().unwrap().to_owned();
    let plain = path(&daemon, "keepalived.conf");
    let folder = path(&daemon, "");
    let text = path(&daemon, "text");
    fs::write(&text, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&text, PermissionsExt::from_mode(0o755)).unwrap();
    for (word, errno) in [
        ("/no/such/file", libc::ENOENT),
        ("no-such-program", libc::ENOENT),
        ("", libc::ENOENT),
        (&*text, libc::ENOENT),
        (&*format!("{plain}/x"), libc::ENOENT),
        (&*plain, libc::EACCES),
        (&*folder, libc::EACCES),
    ] {
        let id = daemon.run(command(&[word]));
        assert_eq!(daemon.outcome(id), at(errno), "{word}");
    }
    let id = daemon.run(with_user(command(&["true"]), "no-such-user", None));
    assert_eq!(daemon.outcome(id), Outcome::NotStarted(StartError::NoSuchUser("no-such-user".to_owned())));
    let id = daemon.run(with_user(command(&["true"]), "root", Some("no-such-group")));
    let why = StartError::NoSuchGroup("no-such-group".to_owned());
    assert_eq!(daemon.outcome(id), Outcome::NotStarted(why.clone()));
    assert_eq!(why.to_string(), "there is no group 'no-such-group'");
    let id = daemon.run(command(&["echo", &"x".repeat(200_000)]));
    assert_eq!(daemon.outcome(id), Outcome::Refused(Refusal::TooLong));

    // A script without #! is the shell's.
    let id = daemon.shell("printf 'exit $1\n' > plain; chmod 755 plain");
    assert_eq!(end(daemon.outcome(id)), (Ended::Exited(0), None));
    let id = daemon.run(command(&[&path(&daemon, "plain"), "9"]));
    assert_eq!(end(daemon.outcome(id)), (Ended::Exited(9), None));
}
