//! Raises epochs, which is the only way that an epoch ever changes.

use crate::epoch::{Epoch, Instant};
use crate::error::OrRaise;
use crate::event::{self, Subject};
use crate::insert::{Plain, insert};
use crate::lookup;
use crate::news::{self, Generation};
use crate::registry::{self, OpenGuard, Store};
use crate::scan::{OpenTable, text_datum};
use crate::settings;
use crate::statement::{Statement, make_visible};
use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::Cell;

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
    /// A row of this related table changed that belongs to the user.
    Related(String),
    /// Somebody asked for it, for this reason, in the database's encoding.
    Admin(Vec<u8>),
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
            Reason::Admin(why) if why.is_empty() || why == b"admin" => "admin",
            Reason::Admin(why) => return [b"admin: ", why.as_slice()].concat(),
            Reason::Related(name) => return format!("related:{name}").into_bytes(),
            Reason::Column(name) => return format!("column:{name}").into_bytes(),
        };
        name.as_bytes().to_vec()
    }
}

thread_local! {
    /// A guard's own epoch, and the generation that it was read in.
    static OF_ALL: Cell<Option<(Oid, Generation, Option<Epoch>)>> = const { Cell::new(None) };
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
        c"UPDATE session_guard.epoch
          SET epoch = CASE WHEN epoch < '294276-12-31 00:00:00+00' THEN epoch + interval '1 second' ELSE 'infinity' END
          WHERE guard = $1 AND epoch >= $2 AND epoch <> 'infinity'",
        &[pg_sys::REGCLASSOID, pg_sys::TIMESTAMPTZOID],
    ) };
    static WRITE_TOKEN: Statement = const { Statement::new(
        c"INSERT INTO session_guard.token_epoch AS e (scope, subject, epoch, reason, stamped_at)
          VALUES ($1, $2, $3, $4, $5)
          ON CONFLICT (scope, subject) DO UPDATE
          SET epoch = EXCLUDED.epoch, reason = EXCLUDED.reason, stamped_at = EXCLUDED.stamped_at
          WHERE e.epoch < EXCLUDED.epoch",
        &[pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID, pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID],
    ) };
    static WRITE_SCOPE: Statement = const { Statement::new(
        c"INSERT INTO session_guard.token_epoch AS e (scope, epoch, reason, stamped_at)
          VALUES ($1, $2, $3, $4)
          ON CONFLICT (scope) WHERE subject IS NULL DO UPDATE
          SET epoch = EXCLUDED.epoch, reason = EXCLUDED.reason, stamped_at = EXCLUDED.stamped_at
          WHERE e.epoch < EXCLUDED.epoch",
        &[pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID, pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID],
    ) };
    static RAISE_TOKENS: Statement = const { Statement::new(
        c"UPDATE session_guard.token_epoch
          SET epoch = CASE WHEN epoch < '294276-12-31 00:00:00+00' THEN epoch + interval '1 second' ELSE 'infinity' END
          WHERE scope = $1 AND subject IS NOT NULL AND epoch >= $2 AND epoch <> 'infinity'",
        &[pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID],
    ) };
}

/// Raises the user's epoch past every login given out before now. The caller holds the user's row,
/// so that no login comes between.
pub fn stamp_user(open: &OpenGuard, key: &[u8], reason: &Reason) -> Epoch {
    let (store, guard) = (&open.store, open.guard.relid);
    // Taken before the snapshot that the write takes: else what a VACUUM FULL has moved meanwhile would
    // look newer than that, and a REPEATABLE READ transaction would fail.
    let epochs = OpenTable::try_open(store.epoch, pg_sys::RowExclusiveLock)
        .ok_or_else(registry::no_guard)
        .or_raise();
    let reason = reason.text();
    let is_first = Cell::new(false);
    let (epoch, now) = rise(
        || {
            let own = lookup::epoch_in(store, &epochs, guard, key);
            is_first.set(own.is_none());
            own.max(epoch_of_all(store, guard))
        },
        |epoch, now| {
            let row = [
                Some(guard.into()),
                Some(text_datum(key)),
                timestamp(epoch.0),
                Some(text_datum(&reason)),
                timestamp(now),
            ];
            // Where an id names one row, whoever else would stamp it waits for that row.
            let is_alone = is_first.get() && open.guard.index.is_some();
            // Its triggers tell the other backends, as is done below.
            let plain = Plain { index: store.epoch_key, triggers: 3 };
            is_alone && insert(&epochs, &plain, &row) || write_user(&row)
        },
    );
    event::tell(store, Subject::User(guard, key), now, epoch, &reason);
    // The next stamp may be of the same user, in the same statement.
    make_visible();
    epoch
}

/// Raises the epoch of everybody whom the guard guards, and the epochs of users that are ahead.
pub fn stamp_guard(store: &Store, guard: Oid, reason: &Reason) -> Epoch {
    let reason = reason.text();
    let (epoch, now) = rise(
        || lookup::guard_epoch(store, guard),
        |epoch, now| {
            let arguments =
                [Some(guard.into()), timestamp(epoch.0), Some(text_datum(&reason)), timestamp(now)];
            WRITE_GUARD.with(|write| write.run(&arguments)) > 0
        },
    );
    RAISE_USERS.with(|raise| raise.run(&[Some(guard.into()), timestamp(epoch.0)]));
    event::tell(store, Subject::AllUsers(guard), now, epoch, &reason);
    epoch
}

/// Raises the epoch of one subject's tokens.
pub fn stamp_token(store: &Store, scope: &[u8], subject: &[u8], reason: &Reason) -> Epoch {
    let reason = reason.text();
    let (epoch, now) = rise(
        || lookup::token_epoch(scope, Some(subject)),
        |epoch, now| {
            write_token(&[
                Some(text_datum(scope)),
                Some(text_datum(subject)),
                timestamp(epoch.0),
                Some(text_datum(&reason)),
                timestamp(now),
            ])
        },
    );
    event::tell(store, Subject::Token(scope, subject), now, epoch, &reason);
    epoch
}

/// Raises the epoch of all tokens of a scope, and the epochs of subjects that are ahead.
pub fn stamp_scope(store: &Store, scope: &[u8], reason: &Reason) -> Epoch {
    let reason = reason.text();
    let (epoch, now) = rise(
        || lookup::token_epoch(scope, None),
        |epoch, now| {
            write_token(&[
                Some(text_datum(scope)),
                None,
                timestamp(epoch.0),
                Some(text_datum(&reason)),
                timestamp(now),
            ])
        },
    );
    RAISE_TOKENS.with(|raise| raise.run(&[Some(text_datum(scope)), timestamp(epoch.0)]));
    event::tell(store, Subject::AllTokens(scope), now, epoch, &reason);
    epoch
}

/// Writes a row of `session_guard.epoch`, unless there is one with an epoch that is as late; tells whether it did.
pub fn write_user(row: &[Option<Datum>; 5]) -> bool {
    WRITE_USER.with(|write| write.run(row)) > 0
}

/// The same of `session_guard.token_epoch`.
pub fn write_token(row: &[Option<Datum>; 5]) -> bool {
    let [scope, subject, epoch, reason, at] = *row;
    match subject {
        Some(_) => WRITE_TOKEN.with(|write| write.run(row)) > 0,
        None => WRITE_SCOPE.with(|write| write.run(&[scope, epoch, reason, at])) > 0,
    }
}

/// Takes an epoch past the clock and the old one, and writes it, which fails if another has written
/// a later one meanwhile; that is risen past once more. One that stays is at its end.
fn rise(
    old: impl Fn() -> Option<Epoch>,
    write: impl Fn(Epoch, Instant) -> bool,
) -> (Epoch, Instant) {
    let mut seen = None;
    loop {
        let now = settings::stamping_clock();
        let old = old();
        let epoch = Epoch::stamp(now, settings::stamp_margin(), old);
        if write(epoch, now) || seen == Some(old) {
            return (epoch, now);
        }
        seen = Some(old);
    }
}

/// The guard's own epoch; read again when there is news of it, and not for each of many users.
fn epoch_of_all(store: &Store, guard: Oid) -> Option<Epoch> {
    news::accept();
    let now = news::of_stamps();
    match OF_ALL.get() {
        Some((of, since, epoch)) if of == guard && since == now && store.unheard.is_none() => epoch,
        _ => {
            let epoch = lookup::guard_epoch(store, guard);
            OF_ALL.set(Some((guard, now, epoch)));
            epoch
        }
    }
}

fn timestamp(instant: Instant) -> Option<Datum> {
    Some(Datum::from(instant.0))
}
