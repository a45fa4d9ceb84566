//! Moments, as the journal stores them.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment, in milliseconds since the Unix epoch. Adding and subtracting a duration saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// The epoch; an entry that is due then is due at once.
    pub const EPOCH: Self = Self(0);
    /// The last moment that can be stored.
    pub const MAX: Self = Self(u64::MAX);

    /// The moment of this call, by the system's clock.
    pub fn now() -> Self {
        Self(whole_ms(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
    }
}

impl Add<Duration> for Millis {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(whole_ms(duration)))
    }
}

impl Sub<Duration> for Millis {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(whole_ms(duration)))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The whole milliseconds of a duration.
pub(crate) fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A change of the system's clock: two readings of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockChange {
    /// The moment by the old setting of the clock.
    pub before: Millis,
    /// The moment by the new setting of the clock.
    pub after: Millis,
}

impl ClockChange {
    /// A due time moved along with the clock, and at most `longest` after the change. A due time in the past stays in the past.
    pub(crate) fn shift(self, due: Millis, longest: Duration) -> Millis {
        if due <= self.before {
            return due.min(self.after);
        }
        (self.after + Duration::from_millis(due.0 - self.before.0)).min(self.after + longest)
    }
}
