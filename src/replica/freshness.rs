//! How recent a standby is: what it has not replayed yet, it cannot know.

use crate::pg::server::{clock, is_standby, sleep_micros};
use crate::pg::wal_receiver::{WalReceiverStatus, replay_lsn};
use std::cell::Cell;

/// What this backend has found out of how recent the standby is. Times are microseconds of the
/// clock.
#[derive(Clone, Copy)]
struct ReplayFreshness {
    /// The connection to the upstream server that the rest was received by.
    connection: i64,
    /// The greatest end of WAL that the upstream server has reported. An idle server, or one that
    /// resends, reports less.
    latest_end_lsn: u64,
    /// Such an end that was not replayed yet when it was received, and when that was.
    pending_lsn: Option<(u64, i64)>,
    /// Whatever the upstream server had until then is replayed here.
    fresh_as_of: i64,
    /// Where replaying stood when it was last waited for in vain.
    stuck_at_lsn: u64,
    /// When the last message was received that lay ahead of the clock.
    received_ahead: i64,
}

thread_local! {
    static FRESHNESS: Cell<ReplayFreshness> = const {
        Cell::new(ReplayFreshness {
            connection: 0,
            latest_end_lsn: 0,
            pending_lsn: None,
            fresh_as_of: i64::MIN,
            stuck_at_lsn: 0,
            received_ahead: i64::MIN,
        })
    };
}

/// How long a standby that is awake may take to replay what came in just now.
const MAX_POLLS: u32 = 500;
const POLL_MICROS: i64 = 100;

/// When the upstream server had what its message says: the older of its sending and its receipt.
fn message_time(status: WalReceiverStatus) -> i64 {
    status.sent_at.0.min(status.received_at.0)
}

impl ReplayFreshness {
    /// Whether the message was received by the clock that there is now. If it lies ahead of it, the
    /// clock was set back. Its age cannot be told then, also when the clock has reached it again.
    fn trusts(&mut self, status: WalReceiverStatus) -> bool {
        let received_at = status.received_at.0;
        if received_at > clock().0 {
            (self.received_ahead, self.fresh_as_of, self.pending_lsn) =
                (received_at, i64::MIN, None);
        }
        received_at != self.received_ahead
    }

    /// Takes what the upstream server has sent last, and how much is replayed.
    fn update(&mut self, status: WalReceiverStatus) {
        if self.connection != status.connection {
            self.connection = status.connection;
            (self.latest_end_lsn, self.pending_lsn) = (0, None);
        }
        let at = message_time(status);
        self.latest_end_lsn = self.latest_end_lsn.max(status.latest_end_lsn);
        let replayed = replay_lsn();
        if replayed >= self.latest_end_lsn {
            self.fresh_as_of = self.fresh_as_of.max(at);
            self.pending_lsn = None;
        } else if let Some((_, at)) = self.pending_lsn.filter(|(lsn, _)| replayed >= *lsn) {
            self.fresh_as_of = self.fresh_as_of.max(at);
            self.pending_lsn = None;
        }
        if replayed < self.latest_end_lsn && self.pending_lsn.is_none() {
            self.pending_lsn = Some((self.latest_end_lsn, at));
        }
    }

    /// Whether everything that was received is replayed within a moment.
    fn catches_up(&mut self, status: WalReceiverStatus) -> bool {
        for _ in 0..MAX_POLLS {
            let replayed = replay_lsn();
            if replayed >= self.latest_end_lsn {
                self.fresh_as_of = self.fresh_as_of.max(message_time(status));
                return true;
            }
            if self.stuck_at_lsn == replayed {
                return false;
            }
            sleep_micros(POLL_MICROS);
        }
        self.stuck_at_lsn = replay_lsn();
        false
    }
}

/// Whether this is a standby that cannot show that it is at most so many microseconds behind; 0: no
/// limit.
#[inline]
pub fn is_stale(max_staleness: i64) -> bool {
    max_staleness > 0 && is_standby() && !is_standby_within(max_staleness)
}

/// Whether all that the upstream server had so many microseconds ago is replayed here.
#[inline(never)]
fn is_standby_within(max_staleness: i64) -> bool {
    let Some(status) = WalReceiverStatus::last() else { return false };
    let mut freshness = FRESHNESS.get();
    if !freshness.trusts(status) {
        FRESHNESS.set(freshness);
        return false;
    }
    freshness.update(status);
    let oldest = clock().0 - max_staleness;
    let is_fresh = |freshness: &ReplayFreshness| {
        freshness.fresh_as_of >= oldest && freshness.fresh_as_of <= clock().0
    };
    let is_within = is_fresh(&freshness)
        || (message_time(status) >= oldest && freshness.catches_up(status) && is_fresh(&freshness));
    FRESHNESS.set(freshness);
    is_within
}

/// How far a standby is behind, for an operator.
pub fn lag() -> String {
    let Some(status) = WalReceiverStatus::last() else {
        return "has no message of its upstream server".to_owned();
    };
    let silence = (clock().0 - message_time(status)).max(0) as f64 / 1e6;
    let age = format!("the last message of its upstream server is {silence:.1} s old");
    match status.latest_end_lsn.saturating_sub(replay_lsn()) {
        0 => format!("{age}; all WAL until then is replayed"),
        bytes => format!("{age}; {bytes} bytes of WAL are not replayed yet"),
    }
}
