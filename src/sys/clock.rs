//! The clocks: `CLOCK_BOOTTIME`, which goes on while the machine is suspended, and the wall clock.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId as TimerClock, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, clock_gettime};

use crate::time::{Instant, Now, WallTime};

/// The time of both clocks.
pub fn now() -> Now {
    Now { instant: Instant::from_micros(read(ClockId::CLOCK_BOOTTIME)), wall: wall() }
}

/// The wall clock.
pub fn wall() -> WallTime {
    WallTime::from_unix_micros(read(ClockId::CLOCK_REALTIME))
}

/// Microseconds of a clock. Both clocks exist since Linux 2.6.39, so the call cannot fail; 0 if it does.
fn read(clock: ClockId) -> u64 {
    let Ok(time) = clock_gettime(clock) else { return 0 };
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
    seconds.saturating_mul(1_000_000).saturating_add(nanos / 1000)
}

/// Local time in a format of `strftime`, of at most 63 bytes; empty when there is none.
pub fn local_time(wall: WallTime, format: &CStr) -> String {
    formatted(wall, format, libc::localtime_r)
}

/// Local date and time as keepalived writes them in its lines and in `keepalived.data`.
pub fn local_date(wall: WallTime) -> String {
    local_time(wall, c"%a %b %e %H:%M:%S %Y")
}

/// A time in a format of `strftime`, as [`local_time`], in UTC.
pub fn utc_time(wall: WallTime, format: &CStr) -> String {
    formatted(wall, format, libc::gmtime_r)
}

/// `localtime_r` or `gmtime_r`.
type BreakDown = unsafe extern "C" fn(*const libc::time_t, *mut libc::tm) -> *mut libc::tm;

fn formatted(wall: WallTime, format: &CStr, break_down: BreakDown) -> String {
    let Ok(seconds) = libc::time_t::try_from(wall.as_unix_micros() / 1_000_000) else { return String::new() };
    let mut text = [0u8; 64];
    // SAFETY: all zero is a valid `tm`; the calls write into it and into `text` within its length, and read a
    // format that ends with a zero byte.
    let length = unsafe {
        let mut broken: libc::tm = core::mem::zeroed();
        if break_down(&raw const seconds, &raw mut broken).is_null() {
            return String::new();
        }
        libc::strftime(text.as_mut_ptr().cast(), text.len(), format.as_ptr(), &raw const broken)
    };
    String::from_utf8_lossy(text.get(..length).unwrap_or_default()).into_owned()
}

/// A date and a time of day.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CivilTime {
    /// Year, month from 1, day from 1.
    pub date: (i32, u8, u8),
    /// Hour, minute, second.
    pub time: (u8, u8, u8),
}

/// What a clock on the wall shows then, in the zone of the host or in UTC.
pub fn civil(wall: WallTime, utc: bool) -> Option<CivilTime> {
    let seconds = libc::time_t::try_from(wall.as_unix_micros() / 1_000_000).ok()?;
    // SAFETY: all zero is a valid `tm`, which the calls write into.
    let broken = unsafe {
        let mut broken: libc::tm = core::mem::zeroed();
        let of = if utc { libc::gmtime_r } else { libc::localtime_r };
        if of(&raw const seconds, &raw mut broken).is_null() {
            return None;
        }
        broken
    };
    let small = |number: i32| u8::try_from(number).ok();
    Some(CivilTime {
        date: (broken.tm_year + 1900, small(broken.tm_mon + 1)?, small(broken.tm_mday)?),
        time: (small(broken.tm_hour)?, small(broken.tm_min)?, small(broken.tm_sec)?),
    })
}

/// When a clock on the wall shows that, so many days after its date. `None` where there is no such day or time.
pub fn wall_of(civil_time: CivilTime, days: u8, utc: bool) -> Option<WallTime> {
    let CivilTime { date: (year, month, day), time: (hour, minute, second) } = civil_time;
    let seconds_at = |days: u8| {
        // SAFETY: all zero is a valid `tm`; the calls read and normalise it.
        unsafe {
            let mut broken: libc::tm = core::mem::zeroed();
            broken.tm_year = year.checked_sub(1900)?;
            broken.tm_mon = i32::from(month) - 1;
            broken.tm_mday = i32::from(day) + i32::from(days);
            broken.tm_hour = hour.into();
            broken.tm_min = minute.into();
            broken.tm_sec = second.into();
            // Whether summer time holds is for the zone to say.
            broken.tm_isdst = -1;
            let of = if utc { libc::timegm } else { libc::mktime };
            u64::try_from(of(&raw mut broken)).ok()
        }
    };
    let wall = |seconds: u64| Some(WallTime::from_unix_micros(seconds.checked_mul(1_000_000)?));
    // The 31st of a month of 30 days is the first of another one.
    let same = civil(wall(seconds_at(0)?)?, utc)?.date == civil_time.date;
    if same { wall(seconds_at(days)?) } else { None }
}

/// One timer on `CLOCK_BOOTTIME` that makes its descriptor readable at a given time.
#[derive(Debug)]
pub struct Alarm {
    timer: TimerFd,
    armed: Option<Instant>,
    fired: bool,
}

impl Alarm {
    /// A timer that is not armed.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        Ok(Self { timer: TimerFd::new(TimerClock::CLOCK_BOOTTIME, flags)?, armed: None, fired: false })
    }

    /// Sees to it that the descriptor becomes readable at `deadline` at the latest, if there is one. An earlier
    /// time that is armed already stays: one needless wake-up costs less than a system call for each move of
    /// a deadline.
    ///
    /// # Errors
    /// None in practice.
    pub fn arm(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let Some(deadline) = deadline else {
            if self.fired {
                self.fired = false;
                // Makes the descriptor unreadable; arming again does that too.
                self.timer.unset()?;
            }
            return Ok(());
        };
        if self.armed.is_some_and(|armed| armed <= deadline) {
            return Ok(());
        }
        // A time of zero would disarm; a time in the past fires at once.
        let at = TimeSpec::from_duration(Duration::from_micros(deadline.as_micros().max(1)));
        self.timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        self.armed = Some(deadline);
        self.fired = false;
        Ok(())
    }

    /// To be called when the descriptor is readable, which it stays until [`Alarm::arm`].
    pub const fn fired(&mut self) {
        self.fired = true;
        self.armed = None;
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_asked_for() {
        let wall = WallTime::from_unix_micros(1_795_456_766_000_000);
        assert_eq!(utc_time(wall, c"%Y-%m-%dT%H:%M:%S"), "2026-11-23T17:59:26");
        assert_eq!(local_time(wall, c"%S"), "26");
        assert_eq!(utc_time(WallTime::from_unix_micros(u64::MAX), c"%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y%Y"), "");
    }

    fn readable(alarm: &Alarm, timeout_ms: u16) -> bool {
        let mut poll = [nix::poll::PollFd::new(alarm.as_fd(), nix::poll::PollFlags::POLLIN)];
        nix::poll::poll(&mut poll, nix::poll::PollTimeout::from(timeout_ms)).unwrap() == 1
    }

    #[test]
    fn an_alarm_fires_at_its_time_and_can_be_armed_again() {
        let mut alarm = Alarm::new().unwrap();
        for _ in 0..2 {
            let deadline = now().instant + Duration::from_millis(5);
            alarm.arm(Some(deadline)).unwrap();
            // Later: ignored while the earlier one stands.
            alarm.arm(Some(deadline + Duration::from_secs(3600))).unwrap();
            assert!(readable(&alarm, 5000));
            assert!(now().instant >= deadline);
            alarm.fired();
        }
    }

    #[test]
    fn an_alarm_that_fired_is_silent_after_the_next_arming() {
        for next in [None, Some(now().instant + Duration::from_secs(3600))] {
            let mut alarm = Alarm::new().unwrap();
            alarm.arm(Some(Instant::ZERO)).unwrap();
            assert!(readable(&alarm, 5000));
            alarm.fired();
            alarm.arm(next).unwrap();
            assert!(!readable(&alarm, 0));
        }
    }
}
