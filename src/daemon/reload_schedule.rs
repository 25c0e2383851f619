//! `reload_time_file`: a file whose first line says when the configuration is read again, so that all routers of a
//! cluster can do so at the same moment.
//!
//! It is looked at once a second, which also notices that it, or a folder on its way, comes or is replaced, and that the
//! clock is set; the moment itself is kept to the millisecond.

use std::path::PathBuf;

use tokio::time::Instant;

use crate::sys::clock::{self, CivilTime};
use crate::sys::path_watch::read_start;
use crate::time::{Duration, WallTime};

/// How often the file is looked at.
const PAUSE: Duration = Duration::from_secs(1);

/// More than a moment needs.
const FILE_BYTES: u64 = 64;

/// What is waited for.
#[derive(Debug, Default)]
pub(super) struct ReloadSchedule {
    /// `reload_time_file`.
    path: Option<PathBuf>,
    /// `reload_repeat`.
    repeat: bool,
    /// What the file had in its first line when it was looked at last.
    line: Option<String>,
    moment: Option<Moment>,
    at: Option<WallTime>,
    look_at: Option<Instant>,
}

impl ReloadSchedule {
    /// Takes the settings.
    pub(super) fn configure(&mut self, path: Option<&str>, repeat: bool) {
        let path = path.map(PathBuf::from);
        if self.path != path {
            *self = Self { path, ..Self::default() };
            self.look_at = self.path.is_some().then(Instant::now);
        }
        self.repeat = repeat;
    }

    /// Waits until [`ReloadSchedule::look`] has something to do.
    pub(super) async fn due(&self) {
        match self.look_at {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Looks at the file and the clock. Whether the configuration is to be read now.
    pub(super) fn look(&mut self) -> bool {
        let Some(path) = &self.path else { return false };
        let now = clock::wall();
        let bytes = read_start(path, FILE_BYTES).ok().flatten();
        let line =
            bytes.map(|bytes| String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned());
        if line != self.line {
            self.line = line;
            self.plan(now);
        }
        let due = self.at.is_some_and(|at| at <= now);
        if due {
            self.done(now);
        }
        let rest = self.at.map_or(PAUSE, |at| at.saturating_since(now).min(PAUSE));
        self.look_at = Some(Instant::now() + rest);
        due
    }

    /// The file has something else in it now, or is gone.
    fn plan(&mut self, now: WallTime) {
        let before = self.at.take();
        self.moment = self.line.as_deref().and_then(Moment::parse);
        match (&self.line, self.moment) {
            (None, _) if before.is_some() => {
                tracing::info!("the reload that reload_time_file asked for is cancelled")
            }
            (None, _) => {}
            (Some(line), None) => tracing::error!(
                "reload_time_file: `{line}` is no time: write HH:MM:SS or YYYY-MM-DD HH:MM:SS in the first line and \
                 nothing else, with a Z at its end for UTC"
            ),
            (Some(line), Some(moment)) => match moment.next(now) {
                Some(at) => {
                    tracing::info!("a reload is due at {} (reload_time_file)", clock::local_date(at));
                    self.at = Some(at);
                }
                None => tracing::warn!("reload_time_file: {line} is over: no reload is due"),
            },
        }
    }

    /// Its time has come.
    fn done(&mut self, now: WallTime) {
        self.at = None;
        if self.repeat {
            self.at = self.moment.and_then(|moment| moment.next(now));
            return;
        }
        let Some(path) = &self.path else { return };
        if let Err(error) = std::fs::remove_file(path) {
            tracing::warn!("cannot remove the reload_time_file {}: {error}", path.display());
        }
    }
}

/// `HH:MM:SS`, `YY-MM-DD HH:MM:SS` or `YYYY-MM-DD HH:MM:SS`, in local time or with a `Z` in UTC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Moment {
    /// Year, month, day; `None` = each day.
    date: Option<(i32, u8, u8)>,
    /// Hour, minute, second.
    time: (u8, u8, u8),
    utc: bool,
}

impl Moment {
    fn parse(text: &str) -> Option<Self> {
        let (text, utc) = text.strip_suffix('Z').map_or((text, false), |text| (text, true));
        let (date, time) = match text.split_once(' ') {
            Some((date, time)) => (Some(date), time),
            None => (None, text),
        };
        let [hour, minute, second] = numbers(time, ':')?;
        let time = (u8::try_from(hour).ok()?, u8::try_from(minute).ok()?, u8::try_from(second).ok()?);
        if time.0 > 23 || time.1 > 59 || time.2 > 59 {
            return None;
        }
        let date = match date {
            None => None,
            Some(date) => {
                let [year, month, day] = numbers(date, '-')?;
                let year = match date.find('-') {
                    Some(2) => 2000 + year,
                    Some(4) => year,
                    _ => return None,
                };
                Some((i32::from(year), u8::try_from(month).ok()?, u8::try_from(day).ok()?))
            }
        };
        let moment = Self { date, time, utc };
        // A day that there is.
        (date.is_none() || moment.at_date(date?, 0).is_some()).then_some(moment)
    }

    /// When it is, counted from now.
    fn next(self, now: WallTime) -> Option<WallTime> {
        if let Some(date) = self.date {
            return self.at_date(date, 0).filter(|at| *at > now);
        }
        let CivilTime { date, .. } = clock::civil(now, self.utc)?;
        // A time of the night in which clocks are put forward may not exist on one day.
        (0..=2).filter_map(|days| self.at_date(date, days)).find(|at| *at > now)
    }

    fn at_date(self, date: (i32, u8, u8), days: u8) -> Option<WallTime> {
        clock::wall_of(CivilTime { date, time: self.time }, days, self.utc)
    }
}

/// Three numbers, each of two digits but for the first, which may have four before a `-`.
fn numbers(text: &str, separator: char) -> Option<[u16; 3]> {
    let mut parts = text.split(separator);
    let mut number = || -> Option<u16> {
        let part = parts.next()?;
        let digits = part.bytes().all(|byte| byte.is_ascii_digit());
        let fits = part.len() == 2 || part.len() == 4 && separator == '-';
        if digits && fits { part.parse().ok() } else { None }
    };
    let all = [number()?, number()?, number()?];
    parts.next().is_none().then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_keepalived_s_forms_and_no_others() {
        let moment = |date, time, utc| Some(Moment { date, time, utc });
        assert_eq!(Moment::parse("23:59:59"), moment(None, (23, 59, 59), false));
        assert_eq!(Moment::parse("00:00:00Z"), moment(None, (0, 0, 0), true));
        assert_eq!(Moment::parse("26-02-28 01:02:03"), moment(Some((2026, 2, 28)), (1, 2, 3), false));
        assert_eq!(Moment::parse("2028-02-29 01:02:03Z"), moment(Some((2028, 2, 29)), (1, 2, 3), true));
        for wrong in [
            "",
            "Z",
            "1:02:03",
            "24:00:00",
            "01:60:00",
            "01:02",
            "01:02:03:04",
            " 01:02:03",
            "01:02:03 ",
            "2026-02-29 01:02:03",
            "2026-13-01 01:02:03",
            "2026-00-01 01:02:03",
            "126-01-01 01:02:03",
            "2026-01-01  01:02:03",
            "2026-0001-01 01:02:03x",
            "+1:02:03",
        ] {
            assert_eq!(Moment::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_next_time_of_a_day_is_today_or_tomorrow() {
        let at = |text: &str, now: u64| {
            let next = Moment::parse(text).unwrap().next(WallTime::from_unix_micros(now * 1_000_000));
            next.map(|at| at.as_unix_micros() / 1_000_000)
        };
        // 2026-11-27 00:00:00 UTC.
        let day = 1_795_737_600;
        assert_eq!(at("12:00:00Z", day + 3600), Some(day + 12 * 3600));
        assert_eq!(at("12:00:00Z", day + 12 * 3600), Some(day + 36 * 3600));
        assert_eq!(at("2026-11-27 12:00:00Z", day), Some(day + 12 * 3600));
        assert_eq!(at("2026-11-27 12:00:00Z", day + 12 * 3600), None);
    }
}
