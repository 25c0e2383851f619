//! The recording of what reaches the virtual routers: begun and ended by the operator, or always there.

use std::path::PathBuf;

use tokio::sync::oneshot;
use tokio::time::{Duration, Instant};

use super::super::configuration::Settings;
use super::super::control::Asked;
use super::super::dumps;
use super::super::options::Options;
use super::super::recorder::{Place, Recorder};
use super::super::vrrp_thread::Message;
use super::Worker;
use crate::control::{Code, RecordChange, Recorded, Recording};
use crate::node::recording::Tape;
use crate::recording::Head;
use crate::sys::clock;
use crate::sys::process;
use crate::time::WallTime;

/// A recording, or none.
#[derive(Debug, Default)]
pub(super) enum RecordingState {
    /// None.
    #[default]
    Off,
    /// One is under way.
    On(Running),
    /// The vrrp thread gives its tape back, then the recorder writes the rest.
    Ending(Running),
}

/// A recording under way.
#[derive(Debug)]
pub(super) struct Running {
    place: Place,
    recorder: Recorder,
    ended: oneshot::Receiver<()>,
    since: WallTime,
    /// When it ends by itself.
    until: Option<(WallTime, Instant)>,
    /// Who waits for its end.
    asked: Vec<Asked>,
}

impl RecordingState {
    /// `[record] always`: a recording from the start on, and the tape for it.
    pub(super) fn at_start(
        options: &Options,
        settings: &Settings,
        routers: usize,
    ) -> (Self, Option<Box<Tape>>) {
        if !settings.record.always {
            return (Self::Off, None);
        }
        match begin(options, settings, routers, place(options, settings, None), None) {
            Ok((running, tape)) => (Self::On(running), Some(tape)),
            Err(text) => {
                tracing::warn!("{text}; the virtual routers run without a recording");
                (Self::Off, None)
            }
        }
    }

    /// Waits until it has to be ended, or has ended.
    pub(super) async fn due(&mut self) {
        match self {
            Self::On(Running { until: Some((_, at)), ended, .. }) => {
                tokio::select! {
                    () = tokio::time::sleep_until(*at) => {}
                    _ = ended => {}
                }
            }
            // It ends by itself only with a panic, which ends the process.
            Self::On(_) | Self::Off => std::future::pending().await,
            Self::Ending(running) => _ = (&mut running.ended).await,
        }
    }

    /// At the end of the worker, when the vrrp thread has ended.
    pub(super) fn end_soon(&mut self) {
        if let Self::On(running) | Self::Ending(running) = core::mem::take(self) {
            running.recorder.end_soon();
        }
    }

    fn current(&self) -> Option<Recording> {
        let (Self::On(running) | Self::Ending(running)) = self else { return None };
        let progress = running.recorder.progress();
        Some(Recording {
            folder: running.place.folder.display().to_string(),
            size: running.place.size,
            since_unix_us: running.since.as_unix_micros(),
            until_unix_us: running.until.map(|(wall, _)| wall.as_unix_micros()),
            files: progress.files,
            bytes: progress.bytes,
            lost: progress.lost,
            fault: progress.fault,
        })
    }
}

impl Worker<'_> {
    /// Answered at once; the end of a recording when its last byte is written.
    pub(super) fn record(&mut self, asked: Asked, change: Option<RecordChange>) {
        match change {
            None => asked.grant_with(&Recorded { recording: self.recording.current() }),
            Some(RecordChange { on: true, seconds, folder, megabytes }) => {
                if !matches!(self.recording, RecordingState::Off) {
                    return asked.refuse(Code::Refused, "there is a recording already: end that one first");
                }
                let wanted = Some((folder.map(PathBuf::from), megabytes));
                let place = place(self.options, &self.settings, wanted);
                let routers = self.progress.routers();
                match begin(self.options, &self.settings, routers, place, seconds) {
                    Ok((running, tape)) => {
                        self.note(format!("told to record to {}", running.place.folder.display()));
                        self.recording = RecordingState::On(running);
                        self.inbox.send(Message::Record(Some(tape)));
                        asked.grant_with(&Recorded { recording: self.recording.current() });
                    }
                    Err(text) => asked.refuse(Code::Refused, text),
                }
            }
            Some(RecordChange { on: false, .. }) => match &mut self.recording {
                RecordingState::Off => asked.grant_with(&Recorded { recording: None }),
                RecordingState::On(running) | RecordingState::Ending(running) => {
                    running.asked.push(asked);
                    self.end_recording();
                }
            },
        }
    }

    /// Its time is over, or all of it is written.
    pub(super) fn follow_recording(&mut self) {
        match core::mem::take(&mut self.recording) {
            RecordingState::Off => {}
            on @ RecordingState::On(_) => {
                self.recording = on;
                self.end_recording();
            }
            RecordingState::Ending(running) => {
                let last = RecordingState::Ending(running);
                let recording = last.current();
                let RecordingState::Ending(running) = last else { return };
                let (folder, progress) = (running.place.folder.display(), running.recorder.progress());
                tracing::info!("the recording to {folder} has ended, {} inputs were left out", progress.lost);
                for asked in running.asked {
                    asked.grant_with(&Recorded { recording: recording.clone() });
                }
                self.note("the recording has ended");
            }
        }
    }

    fn end_recording(&mut self) {
        if let RecordingState::On(running) = core::mem::take(&mut self.recording) {
            self.recording = RecordingState::Ending(running);
            self.inbox.send(Message::Record(None));
        }
    }

    /// The vrrp thread has given its tape back: nothing is noted any more.
    pub(super) fn recording_given_back(&mut self, tape: Option<Box<Tape>>) {
        let given_back = tape.is_some();
        drop(tape);
        if let RecordingState::Ending(running) = &self.recording
            && given_back
        {
            running.recorder.end();
        }
    }
}

/// Where to record: as the settings say, but for what was asked for.
fn place(options: &Options, settings: &Settings, wanted: Option<(Option<PathBuf>, Option<u32>)>) -> Place {
    let (folder, megabytes) = wanted.unwrap_or_default();
    let folder = folder.unwrap_or_else(|| PathBuf::from(&settings.record.folder));
    let size = u64::from(megabytes.unwrap_or(settings.record.size)) << 20;
    let namespace = options.namespace.as_ref().or(settings.namespace.as_ref());
    let names = namespace.into_iter().chain(settings.instance.as_ref());
    let prefix = names.fold("vrrp".to_owned(), |prefix, name| format!("{prefix}_{}", name.replace('/', "_")));
    Place { folder, size, prefix }
}

fn begin(
    options: &Options,
    settings: &Settings,
    routers: usize,
    place: Place,
    seconds: Option<u32>,
) -> Result<(Running, Box<Tape>), String> {
    if !place.folder.is_absolute() {
        return Err(format!("the folder {} is no absolute path", place.folder.display()));
    }
    let head = Head {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        host: dumps::router_id(settings),
        pid: process::own_pid(),
        configuration: options.configuration.display().to_string(),
    };
    let (recorder, tape, ended) = Recorder::start(&place, &head, routers)
        .map_err(|error| format!("cannot record to {}: {error}{}", place.folder.display(), advice(&error)))?;
    let since = clock::wall();
    let until = seconds.map(|seconds| {
        let span = Duration::from_secs(seconds.into());
        (since + span, Instant::now() + span)
    });
    tracing::info!("recording to {}, {} MiB at most", place.folder.display(), place.size >> 20);
    Ok((Running { place, recorder, ended, since, until, asked: Vec::new() }, tape))
}

fn advice(error: &std::io::Error) -> &'static str {
    match error.kind() {
        // A message of our own says it all.
        std::io::ErrorKind::PermissionDenied if error.raw_os_error().is_some() => {
            " (the sandbox keeps the daemon to /run, /tmp, /var/lib, /var/log, /var/tmp and the folders that it knew of at \
             its start)"
        }
        std::io::ErrorKind::NotFound => " (only the last part of the path is made)",
        _ => "",
    }
}
