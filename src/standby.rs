//! Whether this server is a standby, and how far it is behind: what it has not replayed yet, it cannot know.

use crate::compat::{self, Heard};
use crate::error::{GuardError, Mistake};
use crate::settings;
use pgrx::pg_sys;
use std::cell::Cell;

/// Whether this server replays another's changes, or its own after a crash.
pub fn is_standby() -> bool {
    // SAFETY: reads a variable of this backend, or one in shared memory until recovery is over.
    unsafe { pg_sys::RecoveryInProgress() }
}

/// What this backend has found out of how recent the standby is. Times are microseconds of the clock.
#[derive(Clone, Copy)]
struct Seen {
    /// The connection to the upstream server that the rest was heard by.
    connection: i64,
    /// The furthest that the upstream server has said it has come: a place in the write-ahead log. What it says while it is
    /// idle, or sends what was missed, may be less.
    end: u64,
    /// Such a place that was not replayed yet when it was heard of, and when that was.
    awaited: Option<(u64, i64)>,
    /// Whatever the upstream server had until then is replayed here.
    recent_as_of: i64,
    /// Where replaying stood when it was last waited for in vain.
    stuck_at: u64,
}

thread_local! {
    static SEEN: Cell<Seen> = const {
        Cell::new(Seen { connection: 0, end: 0, awaited: None, recent_as_of: i64::MIN, stuck_at: 0 })
    };
}

/// How long a standby that is awake may take to replay what came in just now.
const MOST_POLLS: u32 = 500;
const POLL_MICROS: i64 = 100;

impl Seen {
    /// Takes in what the upstream server has said last, and how much is replayed.
    fn update(&mut self, heard: Heard) {
        if self.connection != heard.connection {
            (self.connection, self.end, self.awaited) = (heard.connection, 0, None);
        }
        self.end = self.end.max(heard.end);
        let replayed = compat::replayed_to();
        if replayed >= self.end {
            self.recent_as_of = self.recent_as_of.max(heard.at.0);
            self.awaited = None;
        } else if let Some((_, at)) = self.awaited.filter(|(end, _)| replayed >= *end) {
            self.recent_as_of = self.recent_as_of.max(at);
            self.awaited = None;
        }
        if replayed < self.end && self.awaited.is_none() {
            self.awaited = Some((self.end, heard.at.0));
        }
    }

    /// Whether everything that was heard of is replayed within a moment.
    fn catches_up(&mut self, heard: Heard) -> bool {
        for _ in 0..MOST_POLLS {
            let replayed = compat::replayed_to();
            if replayed >= self.end {
                self.recent_as_of = self.recent_as_of.max(heard.at.0);
                return true;
            }
            if self.stuck_at == replayed {
                return false;
            }
            // SAFETY: sleeps.
            unsafe { pg_sys::pg_usleep(POLL_MICROS) };
        }
        self.stuck_at = compat::replayed_to();
        false
    }
}

/// Whether this is a standby that cannot show that it is as recent as `max_standby_staleness` asks.
#[inline]
pub fn is_stale() -> bool {
    let Some(most) = settings::max_standby_staleness() else { return false };
    is_standby() && !is_within(most)
}

/// Whether all that the upstream server had `most` microseconds ago is replayed here.
#[inline(never)]
fn is_within(most: i64) -> bool {
    let Some(heard) = Heard::last() else { return false };
    let mut seen = SEEN.get();
    seen.update(heard);
    let oldest = settings::clock().0 - most;
    let is_recent = seen.recent_as_of >= oldest || (heard.at.0 >= oldest && seen.catches_up(heard));
    SEEN.set(seen);
    is_recent
}

/// How far a standby is behind, for an operator.
pub fn lag() -> String {
    let Some(heard) = Heard::last() else {
        return "hears nothing of its upstream server".to_owned();
    };
    let silence = (settings::clock().0 - heard.at.0).max(0) as f64 / 1e6;
    let heard_of = format!("heard of its upstream server {silence:.1} s ago");
    match heard.end.saturating_sub(compat::replayed_to()) {
        0 => format!("{heard_of}, and has replayed what that had"),
        bytes => format!("{heard_of}, and is {bytes} bytes behind it"),
    }
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

/// Has the COMMIT of a transaction that stamps wait until the synchronous standbys have replayed it, if that is asked for.
pub fn wait_at_commit() {
    if !settings::waits_for_standbys() {
        return;
    }
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
