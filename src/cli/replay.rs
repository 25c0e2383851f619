//! `alived replay`: a recording, as it happens again.

use core::ops::ControlFlow;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{EXIT_USAGE_OF_FILES, print, say};
use crate::recording::{Played, Reader, Told, play};
use crate::status::{self, DaemonStatus, EventRecord, Happening, Lateness, Snapshot, Status};
use crate::sys::clock::{CivilTime, civil, local_time, wall_of};
use crate::time::{Duration, Now, WallTime};

/// The recording is damaged, or the replay does something else than was recorded.
const EXIT_FAULT: u8 = 1;
/// The recording holds no virtual router of that name.
const EXIT_UNKNOWN: u8 = 1;

/// Replay a recording: what happened to the virtual routers, and why
///
/// Makes the same happen to the same code again that `alived record` has recorded, and shows each change of state with
/// its cause, and what else there was to report. Nothing is sent, and no daemon is needed: a file of another host can be
/// replayed. A change that the replay does not make as it was recorded is said.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit status: 0 done, 1 the recording is damaged, differs from its replay or has no such virtual \
                        router, 64 bad command line."
)]
pub(super) struct Arguments {
    /// A file of a recording, or the folder of all of them
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Stop at this time: `12:30:05.250` of the day on which the recording begins, `2026-11-28 12:30:05`, or +SECONDS after
    /// its beginning
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Show nothing from before this time, written likewise
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// At the end, say why each virtual router is what it is, or that of this name
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    explain: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let files = match files(&arguments.path) {
        Ok(files) => files,
        Err(text) => return fail(&text),
    };
    let begun = match first_moment(&files) {
        Ok(begun) => begun,
        Err(text) => return fail(&text),
    };
    let time = |text: &Option<String>| {
        text.as_ref().map(|text| moment(text, begun).ok_or_else(|| text.clone())).transpose()
    };
    let (since, until) = match (time(&arguments.since), time(&arguments.until)) {
        (Ok(since), Ok(until)) => (since, until),
        (Err(text), _) | (_, Err(text)) => {
            say(&format!(
                "alived replay: {text} is no time: write 12:30:05, 2026-11-28 12:30:05.250 or +90.5 (seconds)\n"
            ));
            return ExitCode::from(EXIT_USAGE_OF_FILES);
        }
    };
    let mut replaying = Replaying { since, json: arguments.json, number: 0, diverged: 0, written: true };
    let mut played = Played::default();
    let mut fault = None;
    for file in &files {
        if let Err(text) = replaying.file(file, until, &mut played) {
            fault = Some(text);
            break;
        }
        if played.stopped {
            break;
        }
    }
    // What is known up to there is explained also where the recording is damaged.
    let explained = match &arguments.explain {
        Some(name) => explain(&played, name, until, arguments.json),
        None => Ok(()),
    };
    if let Some(text) = fault {
        return fail(&text);
    }
    if let Err(text) = explained {
        say(&format!("alived replay: {text}\n"));
        return ExitCode::from(EXIT_UNKNOWN);
    }
    if replaying.diverged > 0 {
        say(&format!(
            "alived replay: {} changes of state are not as they were recorded: the daemon that recorded is not the \
             program that replays\n",
            replaying.diverged
        ));
        return ExitCode::from(EXIT_FAULT);
    }
    ExitCode::SUCCESS
}

fn fail(text: &str) -> ExitCode {
    say(&format!("alived replay: {text}\n"));
    ExitCode::from(EXIT_FAULT)
}

/// The files of a recording, the oldest first.
fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries =
        std::fs::read_dir(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let is_file =
        |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rec") && path.is_file();
    let mut files: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_file).collect();
    files.sort();
    match files.is_empty() {
        true => Err(format!("there is no recording (*.rec) in {}", path.display())),
        false => Ok(files),
    }
}

fn open(path: &Path) -> Result<Reader<impl Read>, String> {
    let file = File::open(path).map_err(|error| format!("cannot open {}: {error}", path.display()))?;
    Reader::new(BufReader::new(file)).map_err(|fault| format!("{}, {fault}", path.display()))
}

/// When the recording begins.
fn first_moment(files: &[PathBuf]) -> Result<WallTime, String> {
    let Some(path) = files.first() else { return Ok(WallTime::default()) };
    let (mut reader, mut begun) = (open(path)?, WallTime::default());
    let mut tell = |now: Now, _| {
        begun = now.wall;
        ControlFlow::Break(())
    };
    // A damaged file is complained of when it is replayed.
    let _ = play(&mut reader, None, &mut Played::default(), &mut tell);
    Ok(begun)
}

/// `+90.5`, `12:30:05.250`, `2026-11-28 12:30:05` or with a `T` between.
fn moment(text: &str, begun: WallTime) -> Option<WallTime> {
    if let Some(seconds) = text.strip_prefix('+') {
        let seconds: f64 = seconds.parse().ok().filter(|seconds: &f64| (0.0..1e9).contains(seconds))?;
        return Some(begun + Duration::from_secs_f64(seconds));
    }
    let (date, time) = match text.split_once([' ', 'T']) {
        Some((date, time)) => (Some(date), time),
        None => (None, text),
    };
    let date = match date {
        Some(date) => {
            let mut parts = date.splitn(3, '-');
            let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
            (year.parse().ok()?, month.parse().ok().filter(|month| *month > 0)?, day.parse().ok()?)
        }
        None => civil(begun, false)?.date,
    };
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let us = format!("{fraction:0<6}").get(..6)?.parse::<u64>().ok()?;
    let mut parts = time.splitn(3, ':');
    let mut part = |limit: u8| parts.next()?.parse::<u8>().ok().filter(|part| *part <= limit);
    let time = (part(23)?, part(59)?, part(60)?);
    let whole = wall_of(CivilTime { date, time }, 0, false)?;
    Some(whole + Duration::from_micros(us))
}

struct Replaying {
    since: Option<WallTime>,
    json: bool,
    number: u64,
    diverged: u64,
    /// Somebody reads what is written.
    written: bool,
}

impl Replaying {
    fn file(&mut self, path: &Path, until: Option<WallTime>, played: &mut Played) -> Result<(), String> {
        let mut reader = open(path)?;
        let head = reader.head().clone();
        let mut output = std::io::stdout().lock();
        let mut tell = |now: Now, told: Told| {
            self.diverged += u64::from(matches!(told, Told::Diverged { .. }));
            if self.since.is_some_and(|since| now.wall < since) {
                return ControlFlow::Continue(());
            }
            let line = self.line(now, told, &head);
            self.written = output.write_all(line.as_bytes()).is_ok();
            match self.written {
                true => ControlFlow::Continue(()),
                // Whoever read it has gone.
                false => ControlFlow::Break(()),
            }
        };
        play(&mut reader, until, played, &mut tell).map_err(|fault| format!("{}, {fault}", path.display()))
    }

    fn line(&mut self, now: Now, told: Told, head: &crate::recording::Head) -> String {
        let at = now.wall.as_unix_micros();
        let said = |text: String| match self.json {
            true => format!("{}\n", json!({ "at_unix_us": at, "kind": "replay", "text": text })),
            false => format!("{} {text}\n", stamp(now.wall)),
        };
        match told {
            Told::Begins { lost: 0 } => said(format!("the recording of {} begins here", head.host)),
            Told::Begins { lost } => {
                said(format!("{lost} inputs are missing here; the recording goes on with a whole state"))
            }
            Told::Diverged { recorded, replayed } => {
                let words = |t: &crate::vrrp::Transition| {
                    format!("({}) {} -> {}: {} [{}]", t.name, t.from, t.to, t.cause, t.priority)
                };
                let replayed = replayed.as_ref().map_or_else(|| "nothing".to_owned(), words);
                said(format!("NOT AS RECORDED: {}, but here {replayed}", words(&recorded)))
            }
            Told::News(news) => {
                self.number += 1;
                let record = EventRecord::of(self.number, now.wall, &Happening::News(news));
                match self.json {
                    // Nothing in it can fail.
                    true => serde_json::to_string(&record).unwrap_or_default() + "\n",
                    false => format!("{} {}\n", stamp(now.wall), record.what),
                }
            }
        }
    }
}

/// As in `alived events`.
fn stamp(wall: WallTime) -> String {
    let milliseconds = wall.as_unix_micros() / 1000 % 1000;
    format!("{}.{milliseconds:03}", local_time(wall, c"%Y-%m-%d %H:%M:%S"))
}

/// What `alived explain` would have said then.
fn explain(played: &Played, name: &str, until: Option<WallTime>, as_json: bool) -> Result<(), String> {
    let Some(replay) = &played.replay else { return Err("there is no state in the recording".to_owned()) };
    let last = replay.now();
    // Nothing more happened until then.
    let later = until.filter(|_| played.stopped).unwrap_or(last.wall);
    let passed = later.saturating_since(last.wall);
    let now = Now { instant: last.instant + passed, wall: last.wall + passed };
    let snapshot = Snapshot::of(now.instant, replay.node(), &Lateness::default(), 0);
    let status = Status::of(&snapshot, DaemonStatus::default());
    let chosen: Vec<_> =
        status.routers.iter().filter(|router| name.is_empty() || router.name == name).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = status.routers.iter().map(|router| &*router.name).collect();
        return Err(format!("there is no virtual router {name} then; there are: {}", names.join(" ")));
    }
    for router in chosen {
        let explanation = status::explain(&status, router, now.wall.as_unix_micros());
        let (name, at) = (&router.name, now.wall.as_unix_micros());
        print(&match as_json {
            true => format!(
                "{}\n",
                json!({ "at_unix_us": at, "kind": "explanation", "name": name, "state": router.state, "explanation": explanation })
            ),
            false => format!("\nAt {}:\n{explanation}", stamp(now.wall)),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        let begun = WallTime::from_unix_micros(1_764_264_563_250_000);
        let written = stamp(begun);
        assert_eq!(moment(&written, WallTime::from_unix_micros(0)), Some(begun));
        let (_, time) = written.split_once(' ').unwrap();
        assert_eq!(moment(time, begun), Some(begun));
        assert_eq!(moment(&written.replace(' ', "T"), begun), Some(begun));
        assert_eq!(moment("+1.5", begun), Some(begun + Duration::from_millis(1_500)));
        for wrong in
            ["", "noon", "25:00:00", "12:60:00", "12:00", "2026-13-01 12:00:00", "+x", "+-1", "12:00:00.x"]
        {
            assert_eq!(moment(wrong, begun), None, "{wrong}");
        }
    }
}
