//! Raises epochs, which is the only way that an epoch ever changes.

use crate::epoch::{Epoch, Instant};
use crate::lookup;
use crate::news;
use crate::registry::Store;
use crate::scan::{OpenTable, text_datum};
use crate::settings;
use crate::statement::Statement;
use pgrx::pg_sys::{self, Datum, Oid};

/// Why an epoch was raised, as the tables record it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The account was disabled.
    Disabled,
    /// The account was enabled again.
    Enabled,
    /// The row was deleted.
    Deleted,
    /// The row got another id; both are stamped.
    IdChanged,
    /// A row was inserted with an id that has an epoch.
    Recreated,
    /// The table was truncated.
    Truncated,
    /// A column of `revoke_on` changed.
    Column(String),
    /// Somebody asked for it, for this reason.
    Admin(String),
    /// The trigger fired on a change that the guard no longer names.
    Changed,
}

impl Reason {
    fn text(&self) -> Vec<u8> {
        let name = match self {
            Reason::Disabled => "disabled",
            Reason::Enabled => "enabled",
            Reason::Deleted => "deleted",
            Reason::IdChanged => "id_changed",
            Reason::Recreated => "recreated",
            Reason::Truncated => "truncated",
            Reason::Changed => "changed",
            Reason::Admin(why) if why == "admin" => "admin",
            Reason::Admin(why) => return format!("admin: {why}").into_bytes(),
            Reason::Column(name) => return format!("column:{name}").into_bytes(),
        };
        name.as_bytes().to_vec()
    }
}

thread_local! {
    static WRITE_USER: Statement = const { Statement::new(
        c"INSERT INTO session_guard.epoch AS e (guard, user_id, epoch, reason, stamped_at)
          VALUES ($1, $2, $3, $4, $5)
          ON CONFLICT (guard, user_id) DO UPDATE
          SET epoch = EXCLUDED.epoch, reason = EXCLUDED.reason, stamped_at = EXCLUDED.stamped_at
          WHERE e.epoch < EXCLUDED.epoch",
        &[pg_sys::REGCLASSOID, pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID, pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID],
    ) };
    static WRITE_GUARD: Statement = const { Statement::new(
        c"INSERT INTO session_guard.guard_epoch AS e (guard, table_name, epoch, reason, stamped_at)
          SELECT g.guard, g.table_name, $2, $3, $4 FROM session_guard.guard AS g WHERE g.guard = $1
          ON CONFLICT (guard) DO UPDATE
          SET epoch = EXCLUDED.epoch, reason = EXCLUDED.reason, stamped_at = EXCLUDED.stamped_at
          WHERE (e.epoch < EXCLUDED.epoch) IS NOT FALSE",
        &[pg_sys::REGCLASSOID, pg_sys::TIMESTAMPTZOID, pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID],
    ) };
    static RAISE_USERS: Statement = const { Statement::new(
        c"UPDATE session_guard.epoch SET epoch = epoch + interval '1 second'
          WHERE guard = $1 AND epoch >= $2 AND epoch <> 'infinity'",
        &[pg_sys::REGCLASSOID, pg_sys::TIMESTAMPTZOID],
    ) };
}

/// Raises the user's epoch past every login given out before now. The caller holds the user's row,
/// so that no login comes between.
pub fn stamp_user(store: &Store, guard: Oid, key: &[u8], reason: &Reason) -> Epoch {
    // Taken before the snapshot that the write takes: else what a VACUUM FULL has moved meanwhile would
    // look newer than that, and a REPEATABLE READ transaction would fail.
    let _epochs = OpenTable::try_open(store.epoch, pg_sys::RowExclusiveLock);
    news::tell_of_stamps(store.stamp_signal);
    let mut seen = None;
    loop {
        let now = settings::stamping_clock();
        let old = lookup::epoch(store, guard, key);
        let epoch = Epoch::stamp(now, settings::stamp_margin(), old);
        let is_written = WRITE_USER.with(|write| {
            write.run(&mut [
                guard.into(),
                text_datum(key),
                timestamp(epoch.0),
                text_datum(&reason.text()),
                timestamp(now),
            ])
        }) > 0;
        // An epoch that has risen meanwhile is risen past once more; one that stays is at its end.
        if is_written || seen == Some(old) {
            return epoch;
        }
        seen = Some(old);
    }
}

/// Raises the epoch of everybody whom the guard guards, and the epochs of users that are ahead.
pub fn stamp_guard(store: &Store, guard: Oid, reason: &Reason) -> Epoch {
    news::tell_of_stamps(store.stamp_signal);
    let mut seen = None;
    loop {
        let now = settings::stamping_clock();
        let old = lookup::guard_epoch(store, guard);
        let epoch = Epoch::stamp(now, settings::stamp_margin(), old);
        let is_written = WRITE_GUARD.with(|write| {
            write.run(&mut [
                guard.into(),
                timestamp(epoch.0),
                text_datum(&reason.text()),
                timestamp(now),
            ])
        }) > 0;
        if is_written || seen == Some(old) {
            RAISE_USERS.with(|raise| raise.run(&mut [guard.into(), timestamp(epoch.0)]));
            return epoch;
        }
        seen = Some(old);
    }
}

fn timestamp(instant: Instant) -> Datum {
    Datum::from(instant.0)
}
