//! What a history consists of.

use std::time::{Duration, SystemTime};

const SECOND: i64 = 1_000_000;

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
        Time(self.0.div_euclid(SECOND) * SECOND)
    }

    /// As much later.
    pub fn plus(self, duration: Duration) -> Time {
        Time(self.0.saturating_add(duration.as_micros() as i64))
    }

    /// So many seconds later.
    pub fn plus_seconds(self, seconds: usize) -> Time {
        Time(self.0.saturating_add(seconds as i64 * SECOND))
    }

    /// So many milliseconds later.
    pub fn plus_milliseconds(self, milliseconds: usize) -> Time {
        Time(self.0.saturating_add(milliseconds as i64 * 1_000))
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

/// What a login is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A user who has logged in.
    User(i32),
    /// What a token was issued for.
    Token(i32),
}

/// Whose logins a stamp ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Those of one subject.
    One(Subject),
    /// Every user's.
    AllUsers,
    /// All tokens of the scope.
    AllTokens,
}

impl Whose {
    /// Whether this subject's are among them.
    pub fn includes(self, subject: Subject) -> bool {
        match self {
            Whose::One(one) => one == subject,
            Whose::AllUsers => matches!(subject, Subject::User(_)),
            Whose::AllTokens => matches!(subject, Subject::Token(_)),
        }
    }
}

/// A change that ends logins, in a transaction that was not rolled back.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// Whose it ends.
    pub whose: Whose,
    /// What changed, for whoever reads a violation.
    pub what: &'static str,
    /// When the statement was sent.
    pub began: Time,
    /// Logins that had returned before this end: when the statement was sent that stamps, or where that is put off until the
    /// transaction's end, when COMMIT or PREPARE TRANSACTION was.
    pub ends_logins_before: Time,
    /// Those by `session_start`, which waits for who changes the account, end also if they had returned before this: when
    /// COMMIT or COMMIT PREPARED was sent.
    pub ends_session_starts_before: Time,
    /// When its COMMIT had returned; `Time::NEVER` if it did not within the history.
    pub committed: Time,
    /// Whether it must have stamped. An INSERT stamps only on an id that was there before, and a role only
    /// an account that is there.
    pub is_certain: bool,
}

/// How a login got its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// From `session_start`.
    SessionStart,
    /// From the app's clock; a user's, once the account was seen to be active.
    AppClock,
    /// The same, cut to whole seconds as in a JWT.
    AppClockInSeconds,
}

/// A login that was let in, or a token that was issued.
#[derive(Clone, Debug)]
pub struct Login {
    /// Whose.
    pub of: Subject,
    /// How it got its time.
    pub means: Means,
    /// The time that is stored with the session, or in the token.
    pub at: Time,
    /// When the app began with it.
    pub began: Time,
    /// When it was done, and its transaction, if it took one, committed.
    pub returned: Time,
}

/// One answer of `session_valid` or `token_valid`.
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

impl Login {
    /// Whether it is a token.
    pub fn is_token(&self) -> bool {
        matches!(self.of, Subject::Token(_))
    }
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

impl History {
    /// The answers on tokens, or those on sessions.
    pub fn checks_of(&self, is_token: bool) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(move |check| self.logins[check.login].is_token() == is_token)
    }
}
