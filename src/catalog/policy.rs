//! What the extension's owner has decided for the database: `session_guard.policy`.

use crate::pg::relation::{Lock, Relation};
use crate::pg::snapshot::Snapshot;
use crate::pg::tuple::Tuple;
use chrono::TimeDelta;
use pgrx::pg_sys::Oid;

/// The policies. Times are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How far ahead of the server's clock a login time may lie.
    pub future_login_tolerance: i64,
    /// How far the app servers' clocks may be ahead when they give out login times.
    pub stamp_margin: i64,
    /// Whether a guard whose triggers are not all in place refuses everybody.
    pub refuse_when_disarmed: bool,
    /// Whether stamps are recorded in `session_guard.event`.
    pub audit: bool,
    /// Whether a transaction that stamps sends a NOTIFY.
    pub notify: bool,
    /// Whether the COMMIT of a stamp waits until the synchronous standbys have replayed it.
    pub remote_apply: bool,
    /// How far behind a standby may be and still answer; 0: as far as it is.
    pub max_standby_staleness: i64,
    /// Whether everybody is refused after a failover or restore in which stamps may have been lost.
    pub refuse_when_timeline_changed: bool,
}

impl Policy {
    /// Before anybody decides otherwise. `sql/tables.sql` has the same defaults.
    pub const DEFAULT: Policy = Policy {
        future_login_tolerance: 10_000_000,
        stamp_margin: 0,
        refuse_when_disarmed: false,
        audit: true,
        notify: false,
        remote_apply: false,
        max_standby_staleness: 0,
        refuse_when_timeline_changed: false,
    };

    /// Reads the table. A restored dump may bring a row beside the one that is there: the one that
    /// was set last counts.
    pub fn read(table: Oid) -> Policy {
        let mut last = None;
        let mut policy = Policy::DEFAULT;
        if let Some(table) = Relation::open(table, Lock::Read) {
            table.scan(&Snapshot::latest(&table), |row| {
                let set_at = row.time(SET_AT);
                if last.is_none_or(|last| last <= set_at) {
                    (last, policy) = (Some(set_at), Policy::of_row(row));
                }
            });
        }
        policy
    }

    /// The margin as the stamping rule wants it.
    pub fn margin(&self) -> TimeDelta {
        TimeDelta::microseconds(self.stamp_margin)
    }

    fn of_row(row: &Tuple) -> Policy {
        let micros = |attno| row.interval(attno).unwrap_or(0).max(0);
        Policy {
            future_login_tolerance: micros(FUTURE_LOGIN_TOLERANCE),
            stamp_margin: micros(STAMP_MARGIN),
            refuse_when_disarmed: row.text(WHEN_DISARMED) != Some(b"live"),
            audit: row.bool(AUDIT) != Some(false),
            notify: row.bool(NOTIFY) == Some(true),
            remote_apply: row.text(REVOCATION_DURABILITY) != Some(b"local"),
            max_standby_staleness: micros(MAX_STANDBY_STALENESS),
            refuse_when_timeline_changed: row.text(WHEN_TIMELINE_CHANGED) != Some(b"live"),
        }
    }
}

// The columns of session_guard.policy, by their numbers in sql/tables.sql.
const SET_AT: i16 = 1;
const FUTURE_LOGIN_TOLERANCE: i16 = 3;
const STAMP_MARGIN: i16 = 4;
const WHEN_DISARMED: i16 = 5;
const AUDIT: i16 = 6;
const NOTIFY: i16 = 7;
const REVOCATION_DURABILITY: i16 = 8;
const MAX_STANDBY_STALENESS: i16 = 9;
const WHEN_TIMELINE_CHANGED: i16 = 10;
