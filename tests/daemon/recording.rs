//! What reaches the virtual routers of a real daemon is recorded, and replays to what happened.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use alived::recording::Reader;
use serde_json::Value;

use crate::host::Host;

/// With a password, which must not be in the recording.
fn config(priority: u8) -> String {
    format!(
        "vrrp_instance VI_1 {{
            interface lan0
            virtual_router_id 51
            priority {priority}
            advert_int 1
            version 2
            authentication {{
                auth_type PASS
                auth_pass hunter22
            }}
            virtual_ipaddress {{
                192.0.2.50/24
            }}
        }}
        "
    )
}

fn run(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_alived")).args(words).output().unwrap()
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// State and cause of each change of state.
fn transitions(lines: &str) -> Vec<(String, String, String)> {
    let records = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of = |record: &Value, member: &str| record[member].as_str().unwrap_or_default().to_owned();
    records
        .filter(|record| record["kind"] == "transition")
        .map(|record| (of(&record, "from"), of(&record, "to"), of(&record, "cause")))
        .collect()
}

fn signal(pid: u32, number: i32) {
    let signal = nix::sys::signal::Signal::try_from(number).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn a_failover_is_recorded_and_replayed_with_its_causes() {
    let Some((mut first, mut second)) = Host::pair() else { return };
    first.configure(&config(200));
    second.configure(&config(100));
    first.start(&[]);
    first.wait_for_lines("Entering MASTER STATE", 1);
    second.start(&[]);
    // It outlives the hosts.
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().join("recordings");
    let place = folder.to_str().unwrap();
    assert_eq!(done(&second.alived(&["record"])), "there is no recording\n");
    let begun = done(&second.alived(&["record", "start", "--folder", place, "--size", "8"]));
    assert!(begun.contains("recording to") && begun.contains("of 8 MiB"), "{begun}");
    let refused = second.alived(&["record", "start", "--folder", place]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("already"), "{refused:?}");

    let before = transitions(&done(&second.alived(&["events", "--json"]))).len();
    // The master stands still, and goes on.
    let pid = first.worker();
    signal(pid, libc::SIGSTOP);
    second.wait_for_lines("Entering MASTER STATE", 1);
    signal(pid, libc::SIGCONT);
    second.wait_for_lines("Entering BACKUP STATE", 2);
    let happened = transitions(&done(&second.alived(&["events", "--json"]))).split_off(before);
    assert!(happened.len() >= 2, "{happened:?}");
    assert!(happened[0].2.contains("heard for a master-down time"), "{happened:?}");

    let ended = done(&second.alived(&["record", "stop"]));
    assert!(ended.contains("has ended"), "{ended}");
    assert_eq!(done(&second.alived(&["record"])), "there is no recording\n");
    let files = files(&folder);
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(files.len(), 1);
    assert_eq!(fs::metadata(&files[0]).unwrap().permissions().mode() & 0o777, 0o600);

    // The daemons are not needed for a replay.
    drop((first, second));
    let lines = done(&run(&["replay", place, "--json"]));
    assert_eq!(transitions(&lines), happened, "{lines}");
    let text = done(&run(&["replay", files[0].to_str().unwrap(), "--explain", "VI_1"]));
    for words in
        ["the recording of", "VI_1: BACKUP -> MASTER", "heard for a master-down time", "VI_1 is BACKUP for"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    // The moment at which it became master, from the replay's own words.
    let line = text.lines().find(|line| line.contains("-> MASTER")).unwrap();
    let at = line.get(..23).unwrap();
    let then = done(&run(&["replay", place, "--until", at, "--explain"]));
    assert!(then.contains("VI_1 is BACKUP") && !then.contains("-> MASTER"), "{then}");
    let none = run(&["replay", place, "--explain", "VI_2"]);
    assert!(String::from_utf8_lossy(&none.stderr).contains("there are: VI_1"), "{none:?}");

    // No secret is in it, and no damage goes unnoticed.
    let bytes = fs::read(&files[0]).unwrap();
    let frames: Vec<_> = Reader::new(&bytes[..]).unwrap().map(Result::unwrap).collect();
    let holds = |bytes: &[u8]| bytes.windows(8).any(|window| window == b"hunter22");
    assert!(frames.len() > 1, "{}", frames.len());
    assert!(!holds(&bytes) && !frames.iter().any(|frame| holds(&frame.bytes)));
    let cut = folder.join("cut.rec");
    fs::write(&cut, &bytes[..bytes.len() - 3]).unwrap();
    let output = run(&["replay", cut.to_str().unwrap()]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors.contains("at byte") && errors.contains("cut off"), "{errors}");
    assert!(!output.stdout.is_empty(), "what is whole is replayed");
}

#[test]
fn a_recording_that_is_always_on_survives_a_kill_and_ends_in_time() {
    let Some(mut host) = Host::new() else { return };
    host.configure(&config(100));
    let folder = host.path("recordings");
    host.write(
        "alived.toml",
        &format!("[record]\nalways = true\nfolder = \"{}\"\nsize = 4\n", folder.display()),
    );
    host.start(&[]);
    host.wait_for_lines("Entering MASTER STATE", 1);
    // What the thread has noted is handed on soon.
    let begun = files(&folder).remove(0);
    let size = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    let length = size(&begun);
    host.wait("the recording to grow", |_| size(&begun) > length + 100);
    let worker = host.worker();
    signal(worker, libc::SIGKILL);
    host.wait("another recording", |_| files(&folder).len() == 2);
    host.wait_for_lines("Entering MASTER STATE", 2);
    let events = transitions(&done(&host.alived(&["events", "--json"])));
    let status = done(&host.alived(&["record", "--json"]));
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["recording"]["files"], 2, "{status}");
    assert_eq!(status["recording"]["lost"], 0, "{status}");
    // An orderly stop is recorded to its end.
    host.signal(libc::SIGTERM);
    host.wait_for_end();
    let [first, second]: [PathBuf; 2] = files(&folder).try_into().unwrap();
    let replayed = |path: &Path| {
        let output = run(&["replay", path.to_str().unwrap(), "--json"]);
        transitions(&String::from_utf8_lossy(&output.stdout))
    };
    let killed = replayed(&first);
    assert_eq!(killed[0].0, "INIT", "{killed:?}");
    assert_eq!(killed.last().unwrap().1, "MASTER", "{killed:?}");
    let stopped = replayed(&second);
    assert!(stopped.starts_with(&events), "{stopped:?} {events:?}");
    assert!(stopped.len() > events.len(), "{stopped:?}");
    assert_eq!(run(&["replay", second.to_str().unwrap()]).status.code(), Some(0));
}
