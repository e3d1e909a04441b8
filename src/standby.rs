//! Whether this server is a standby, and how far it is behind: what it has not replayed yet, it cannot know.

use crate::compat::{self, ReceivedFromUpstream};
use crate::error::{GuardError, Mistake};
use crate::settings;
use pgrx::pg_sys;
use std::cell::Cell;

/// Whether this server replays another's changes, or its own after a crash.
pub fn is_standby() -> bool {
    // SAFETY: reads a variable of this backend, or one in shared memory until recovery is over.
    unsafe { pg_sys::RecoveryInProgress() }
}

/// How far behind a standby is, in microseconds, as far as it can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Since anything was heard from the upstream server; `None`: nothing is heard.
    pub silence: Option<i64>,
    /// Since what has been received is not replayed, at the most; `None`: that cannot be known.
    pub replay: Option<i64>,
    received_to: u64,
}

impl Lag {
    /// That of now.
    pub fn now() -> Lag {
        let received = ReceivedFromUpstream::now();
        let clock = settings::clock();
        let silence = received.last_message.map(|at| (clock.0 - at.0).max(0));
        Lag { silence, replay: received.replay_delay, received_to: received.received_to }
    }

    /// For an operator.
    pub fn text(self) -> String {
        let seconds = |micros: i64| micros as f64 / 1e6;
        let heard =
            self.silence.map_or("hears nothing of its upstream server".to_owned(), |silence| {
                format!("heard of its upstream server {:.1} s ago", seconds(silence))
            });
        let replayed = match self.replay {
            None => "cannot tell what is not replayed".to_owned(),
            Some(0) => "has replayed what it received".to_owned(),
            Some(delay) => format!("is {:.1} s behind in replaying", seconds(delay)),
        };
        format!("{heard}, {replayed}")
    }

    /// Whether nothing that happened upstream before `most` microseconds ago can have gone unseen here.
    fn is_within(self, most: i64) -> bool {
        let is_short = |lag: Option<i64>| lag.is_some_and(|lag| lag <= most);
        is_short(self.silence) && (is_short(self.replay) || replays_at_once(self.received_to))
    }
}

/// How long a standby that is awake may take to replay what came in just now.
const MOST_POLLS: u32 = 500;
const POLL_MICROS: i64 = 100;

thread_local! {
    /// Where replaying stood when it was last waited for in vain.
    static STUCK_AT: Cell<u64> = const { Cell::new(0) };
}

/// Whether everything is replayed that has been received by now. PostgreSQL counts the delay from when it began with what
/// it replayed last: after an hour in which nothing happened, the first change would look an hour old for a moment.
fn replays_at_once(received_to: u64) -> bool {
    for _ in 0..MOST_POLLS {
        let replayed = compat::replayed_to();
        if replayed >= received_to {
            return true;
        }
        if STUCK_AT.get() == replayed {
            return false;
        }
        // SAFETY: sleeps.
        unsafe { pg_sys::pg_usleep(POLL_MICROS) };
    }
    STUCK_AT.set(compat::replayed_to());
    false
}

/// Whether this is a standby that cannot show that it is as recent as `max_standby_staleness` asks.
pub fn is_stale() -> bool {
    let Some(most) = settings::max_standby_staleness() else { return false };
    is_standby() && !Lag::now().is_within(most)
}

/// Refuses what writes, with a hint at where to call it.
pub fn check_primary(function: &str) {
    if !is_standby() {
        return;
    }
    GuardError::new(
        Mistake::OnStandby,
        format!("cannot execute {function} on a standby"),
        "SELECT sender_host, sender_port FROM pg_catalog.pg_stat_wal_receiver;",
    )
    .detail("It writes, or locks a row: call it on the primary, which the hint finds.")
    .raise();
}

/// Has the transaction's COMMIT wait until the synchronous standbys have replayed it.
pub fn wait_at_commit() {
    // SAFETY: a variable of this backend.
    let level = unsafe { pg_sys::synchronous_commit };
    if level as u32 == pg_sys::SyncCommitLevel::SYNCHRONOUS_COMMIT_REMOTE_APPLY {
        return;
    }
    // As SET LOCAL does: undone with the savepoint that the stamp is undone with.
    // SAFETY: both texts are NUL-terminated, and the setting exists in each server.
    unsafe {
        pg_sys::set_config_option(
            c"synchronous_commit".as_ptr(),
            c"remote_apply".as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_LOCAL,
            true,
            0,
            false,
        )
    };
}
