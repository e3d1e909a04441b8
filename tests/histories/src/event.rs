//! What a history consists of.

use std::time::{Duration, SystemTime};

/// Microseconds of the Unix epoch, as the client and the server, on one machine, both read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub i64);

impl Time {
    /// After everything.
    pub const NEVER: Time = Time(i64::MAX);

    /// What the clock shows.
    pub fn now() -> Time {
        SystemTime::now().into()
    }

    /// The second that has begun last.
    pub fn cut_to_seconds(self) -> Time {
        Time(self.0.div_euclid(1_000_000) * 1_000_000)
    }
}

impl From<SystemTime> for Time {
    fn from(time: SystemTime) -> Time {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Time(since.as_micros() as i64)
    }
}

impl From<Time> for SystemTime {
    fn from(time: Time) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(time.0 as u64)
    }
}

/// A change that ends sessions, in a transaction that was not rolled back.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// Whose; `None`: everybody's.
    pub user: Option<i32>,
    /// What changed, for whoever reads a violation.
    pub what: &'static str,
    /// When the statement was sent.
    pub began: Time,
    /// When its COMMIT had returned; `Time::NEVER` if it did not within the history.
    pub committed: Time,
    /// Whether it must have stamped. An INSERT stamps only on an id that was there before.
    pub is_certain: bool,
}

/// How a login got its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// From `session_start`.
    SessionStart,
    /// From the app's clock, once the account was seen to be active.
    AppClock,
    /// The same, cut to whole seconds as in a JWT.
    AppClockInSeconds,
}

/// A login that was let in.
#[derive(Clone, Debug)]
pub struct Login {
    /// Who.
    pub user: i32,
    /// How it got its time.
    pub means: Means,
    /// The time that is stored with the session.
    pub at: Time,
    /// When the app began with it.
    pub began: Time,
    /// When it was done, and its transaction, if it took one, committed.
    pub returned: Time,
}

/// One answer of `session_valid`.
#[derive(Clone, Debug)]
pub struct Check {
    /// The place of the login in the history.
    pub login: usize,
    /// Before the function was called.
    pub began: Time,
    /// After it had answered.
    pub ended: Time,
    /// What it said.
    pub is_valid: bool,
    /// In what circumstances, for whoever reads a violation.
    pub by: &'static str,
}

/// All that was recorded.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// In no order.
    pub stamps: Vec<Stamp>,
    /// Checks refer to these by their places.
    pub logins: Vec<Login>,
    /// In no order.
    pub checks: Vec<Check>,
}
