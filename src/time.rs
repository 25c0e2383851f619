//! Time as data: engines are told what time it is and never ask.
//!
//! [`Instant`] counts microseconds since an arbitrary start (the daemon uses `CLOCK_BOOTTIME`, so that a
//! suspended machine knows that it slept; the simulator starts at 0). [`WallTime`] is for people and for
//! authentication trailers only, never for a timer.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

pub use core::time::Duration;
use serde::{Deserialize, Serialize};

/// A point on the monotonic clock, in microseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Instant {
    us: u64,
}

impl Instant {
    /// The clock's start.
    pub const ZERO: Self = Self { us: 0 };

    /// A point `us` microseconds after the clock's start.
    pub const fn from_micros(us: u64) -> Self {
        Self { us }
    }

    /// Microseconds since the clock's start.
    pub const fn as_micros(self) -> u64 {
        self.us
    }

    /// Time since `earlier`; zero when `earlier` is later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.us.saturating_sub(earlier.us))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at the end of the clock, about 584,000 years after its start.
    fn add(self, duration: Duration) -> Self {
        Self { us: self.us.saturating_add(micros(duration)) }
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// Saturates at the clock's start.
    fn sub(self, duration: Duration) -> Self {
        Self { us: self.us.saturating_sub(micros(duration)) }
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.us / 1_000_000, self.us % 1_000_000)
    }
}

/// Whole microseconds of a duration, saturating at `u64::MAX`.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Wall-clock time in microseconds since the Unix epoch. May jump; never used for a deadline.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct WallTime {
    us: u64,
}

impl WallTime {
    /// A point `us` microseconds after the Unix epoch.
    pub const fn from_unix_micros(us: u64) -> Self {
        Self { us }
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_unix_micros(self) -> u64 {
        self.us
    }

    /// Time since `earlier`; zero when `earlier` is later. Wrong by as much as the clock was set between.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.us.saturating_sub(earlier.us))
    }
}

impl Add<Duration> for WallTime {
    type Output = Self;

    /// Saturates at the end of the clock.
    fn add(self, duration: Duration) -> Self {
        Self { us: self.us.saturating_add(micros(duration)) }
    }
}

/// How much earlier than it was read a packet is believed to have arrived.
pub const ARRIVAL_MAX: Duration = Duration::from_millis(1);

/// What an engine is told about time with every event.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Now {
    /// For every timer.
    pub instant: Instant,
    /// For people and for authentication trailers.
    pub wall: WallTime,
}

impl Now {
    /// The time at which a packet arrived that is read now: a master-down time runs from there. The wall clock
    /// may have been set between, so what it says is believed as far as it says little.
    pub(crate) fn of_arrival(self, arrived: WallTime) -> Self {
        let waited = self.wall.saturating_since(arrived).min(ARRIVAL_MAX);
        Self { instant: self.instant - waited, ..self }
    }
}
