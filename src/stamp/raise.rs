//! Raises epochs, which is the only way that an epoch ever changes.

use super::audit::{self, Subject};
use super::pending;
use super::reason::Reason;
use super::stored_sessions;
use crate::cache::generations::{Generation, epoch_generation};
use crate::cache::{guard_cache, stamped};
use crate::catalog::epochs;
use crate::catalog::extension::{self, ExtensionRelations};
use crate::catalog::guard::OpenGuard;
use crate::catalog::policy::Policy;
use crate::core::epoch::{Epoch, Instant};
use crate::core::user_id::indexable;
use crate::pg::datum::Value;
use crate::pg::heap_insert::UnmodifiedTable;
use crate::pg::invalidation;
use crate::pg::names::to_server;
use crate::pg::relation::{Lock, Relation};
use crate::pg::report::OrRaise;
use crate::pg::server::stamping_clock;
use crate::pg::spi::{Statement, make_visible};
use crate::pg::transaction::in_subtransaction;
use pgrx::pg_sys;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

/// Which of a user's two rows a stamp raises: the greater of both is the user's epoch.
///
/// A stamp because of a related table waits for others of its kind alone, and those are sorted. One
/// of an account is written in the order in which the app writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The account itself, or somebody who asked.
    Account,
    /// A related table.
    Related,
}

/// As the extension made `session_guard.epoch`: three triggers, and the primary key.
fn epoch_table(relations: &ExtensionRelations) -> UnmodifiedTable {
    UnmodifiedTable {
        trigger_functions: [relations.epoch_changed, relations.apply_replicated],
        triggers: 3,
        indexes: 1,
        unique_indexes: 1,
    }
}

/// A guard whose epoch is known, and the generation that it was read in.
type KnownGuardEpoch = (Rc<str>, Generation, Option<Epoch>);

thread_local! {
    static GUARD_EPOCH: RefCell<Option<KnownGuardEpoch>> = const { RefCell::new(None) };
    static WRITE_USER: Statement = const { Statement::new(
        c"INSERT INTO session_guard.epoch AS e
              (guard, user_id, epoch, reason, stamped_at, is_related)
          VALUES ($1, $2, $3, $4, $5, $6)
          ON CONFLICT (user_id, guard, is_related) DO UPDATE
          SET epoch = EXCLUDED.epoch, reason = EXCLUDED.reason, stamped_at = EXCLUDED.stamped_at
          WHERE e.epoch < EXCLUDED.epoch",
        &[
            pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID, pg_sys::TEXTOID,
            pg_sys::TIMESTAMPTZOID, pg_sys::BOOLOID,
        ],
    ) };
    static WRITE_GUARD: Statement = const { Statement::new(
        c"INSERT INTO session_guard.guard_epoch AS e (guard, epoch, reason, stamped_at)
          VALUES ($1, $2, $3, $4)
          ON CONFLICT (guard) DO UPDATE
          SET epoch = EXCLUDED.epoch, reason = EXCLUDED.reason, stamped_at = EXCLUDED.stamped_at
          WHERE e.epoch < EXCLUDED.epoch",
        &[pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID, pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID],
    ) };
    static RAISE_USERS: Statement = const { Statement::new(
        c"UPDATE session_guard.epoch
          SET epoch = CASE WHEN epoch < '294276-12-31 00:00:00+00'
                           THEN epoch + interval '1 millisecond' ELSE 'infinity' END
          WHERE ctid = ANY (ARRAY(
              SELECT ctid FROM session_guard.epoch
              WHERE guard = $1 AND epoch >= $2 AND epoch <> 'infinity'
              FOR NO KEY UPDATE SKIP LOCKED))",
        &[pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID],
    ) };
    static WRITE_TOKEN: Statement = const { Statement::new(
        c"INSERT INTO session_guard.token_epoch AS e (scope, subject, epoch, reason, stamped_at)
          VALUES ($1, $2, $3, $4, $5)
          ON CONFLICT (scope, subject) DO UPDATE
          SET epoch = EXCLUDED.epoch, reason = EXCLUDED.reason, stamped_at = EXCLUDED.stamped_at
          WHERE e.epoch < EXCLUDED.epoch",
        &[
            pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID, pg_sys::TEXTOID,
            pg_sys::TIMESTAMPTZOID,
        ],
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
          SET epoch = CASE WHEN epoch < '294276-12-31 00:00:00+00'
                           THEN epoch + interval '1 millisecond' ELSE 'infinity' END
          WHERE scope = $1 AND subject IS NOT NULL AND epoch >= $2 AND epoch <> 'infinity'",
        &[pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID],
    ) };
}

/// Raises the user's epoch past every login given out before now. The caller holds the user's row,
/// or the guard's lock, so that no login comes between.
pub fn stamp_user(open: &OpenGuard, key: &[u8], reason: Reason, source: Source) -> Epoch {
    stamp_user_past(open, key, reason, source, None)
}

/// The same, and past another epoch.
pub fn stamp_user_past(
    open: &OpenGuard,
    key: &[u8],
    reason: Reason,
    source: Source,
    floor: Option<Epoch>,
) -> Epoch {
    stamp_key(&open.relations, &open.guard.name, key, reason, source, floor)
}

/// The same where the users table is not open.
pub fn stamp_key(
    relations: &ExtensionRelations,
    guard: &Rc<str>,
    key: &[u8],
    reason: Reason,
    source: Source,
    floor: Option<Epoch>,
) -> Epoch {
    let policy = guard_cache::policy();
    let (subject, reason) = (Subject::User(guard, key), reason.parts());
    if let Some(epoch) = stamped_already(relations, &policy, subject, reason, floor) {
        return epoch;
    }
    // Locked before the snapshot that the write takes: else what a VACUUM FULL has moved meanwhile
    // would look newer than that, and a REPEATABLE READ transaction would fail.
    let epochs =
        Relation::open(relations.epoch, Lock::Write).ok_or_else(extension::gone).or_raise();
    let guard_in_server = to_server(guard);
    let is_first = Cell::new(false);
    let stamp = rise(
        &policy,
        || {
            epochs::lock_user_epoch(&epochs, guard, key, source == Source::Related);
            let own = epochs::user_epochs_in(&epochs, guard, key);
            is_first.set(match source {
                Source::Account => own.account.is_none(),
                Source::Related => own.related.is_none(),
            });
            own.greatest().max(known_guard_epoch(relations, guard)).max(floor)
        },
        |epoch, now| {
            let name = guard_in_server.to_bytes();
            let row = user_row(name, key, (epoch, now), reason, source);
            is_first.get() && epochs.insert(epoch_table(relations), &row) || write_user(&row)
        },
    );
    stamped::note(subject, reason, stamp.0);
    audit::record(relations, &policy, subject, stamp, reason);
    stored_sessions::note_user(guard, key, reason);
    // The next stamp may be of the same user, in the same statement.
    make_visible();
    stamp.0
}

/// Raises the user's epoch to where a ban ended, unless it lies there already: logins from before
/// do not count again when the account's row forgets the ban. The caller holds that row.
pub fn keep_end_of_ban(open: &OpenGuard, key: &[u8], end: Epoch) {
    let OpenGuard { relations, guard, .. } = open;
    let epochs =
        Relation::open(relations.epoch, Lock::Write).ok_or_else(extension::gone).or_raise();
    epochs::lock_user_epoch(&epochs, &guard.name, key, false);
    let own = epochs::user_epochs_in(&epochs, &guard.name, key).greatest();
    if own.max(known_guard_epoch(relations, &guard.name)) >= Some(end) {
        return;
    }
    let (name, stamp) = (to_server(&guard.name), (end, stamping_clock()));
    let reason = Reason::BanEnded.parts();
    write_user(&user_row(name.to_bytes(), key, stamp, reason, Source::Account));
    let subject = Subject::User(&guard.name, key);
    audit::record(relations, &guard_cache::policy(), subject, stamp, reason);
    make_visible();
}

/// A row of `session_guard.epoch`.
fn user_row<'a>(
    guard: &'a [u8],
    key: &'a [u8],
    (epoch, stamped_at): (Epoch, Instant),
    reason: [&'a [u8]; 2],
    source: Source,
) -> [Value<'a>; 6] {
    [
        Value::Text(guard),
        Value::Text(key),
        Value::Time(epoch.0),
        Value::Joined(reason),
        Value::Time(stamped_at),
        Value::Bool(source == Source::Related),
    ]
}

/// Raises the epoch of everybody whom the guard guards. Before this transaction commits, the epoch
/// is raised once more if a login may have been given out since.
pub fn stamp_guard(relations: &ExtensionRelations, guard: &str, reason: Reason) -> Epoch {
    let reason = reason.parts();
    let (policy, subject) = (guard_cache::policy(), Subject::AllUsers(guard));
    if let Some(epoch) = stamped_already(relations, &policy, subject, reason, None) {
        return epoch;
    }
    let epoch = raise_guard(relations, guard, reason);
    pending::add_guard(guard, Some(epoch), reason);
    stamped::note(subject, reason, epoch);
    epoch
}

/// The epoch that this transaction has raised the subject's to, if no login was given out since
/// that it does not end. Another reason is recorded.
fn stamped_already(
    relations: &ExtensionRelations,
    policy: &Policy,
    subject: Subject,
    reason: [&[u8]; 2],
    floor: Option<Epoch>,
) -> Option<Epoch> {
    let now = stamping_clock();
    let found = stamped::find(subject, reason).filter(|found| {
        found.epoch.is_after(now, policy.margin()) && floor.is_none_or(|floor| floor < found.epoch)
    })?;
    if !found.has_reason {
        audit::record(relations, policy, subject, (found.epoch, now), reason);
        stamped::note(subject, reason, found.epoch);
    }
    Some(found.epoch)
}

/// Raises the guard's epoch past every login that was given out since this transaction raised it,
/// and past it those epochs of users that lie further ahead, as after a clock that was wrong.
/// Logins wait for the guard's lock, which the caller holds.
///
/// A row that somebody else has is past the guard's epoch when that transaction commits, unless it
/// lies far ahead. If there is such a row, nothing of a user is raised, and false is returned.
pub fn restamp_guard(
    relations: &ExtensionRelations,
    guard: &str,
    mut epoch: Epoch,
    reason: [&[u8]; 2],
) -> bool {
    let policy = guard_cache::policy();
    let ahead = greatest_epoch_just_ahead(relations, guard, &policy);
    let is_past = epoch.is_after(stamping_clock(), policy.margin()) && ahead < Some(epoch);
    if !is_past {
        epoch = raise_guard(relations, guard, reason);
    }
    let in_server = to_server(guard);
    let raise = || {
        let arguments = [Value::Text(in_server.to_bytes()), Value::Time(epoch.0)];
        RAISE_USERS.with(|raise| raise.run(&arguments));
        make_visible();
    };
    let far = epoch.max(Epoch(latest_just_ahead(&policy)));
    let before = rows_far_ahead(relations, guard, far);
    if before.is_empty() {
        raise();
        return true;
    }
    in_subtransaction(AssertUnwindSafe(|| {
        raise();
        rows_far_ahead(relations, guard, far).is_disjoint(&before)
    }))
}

/// Waits for who has such a row, one after the other and with none of its own: a stamp that is
/// rolled back would leave its epoch as it was.
pub fn wait_for_epochs_far_ahead(relations: &ExtensionRelations, guard: &str) {
    let far = Epoch(latest_just_ahead(&guard_cache::policy()));
    for (key, is_related, _) in rows_far_ahead(relations, guard, far) {
        epochs::wait_for_user_epoch(relations, guard, &key, is_related);
    }
}

/// The keys of users' epochs from this one on, their sources and epochs.
fn rows_far_ahead(
    relations: &ExtensionRelations,
    guard: &str,
    far: Epoch,
) -> BTreeSet<(Vec<u8>, bool, Epoch)> {
    let mut rows = BTreeSet::new();
    epochs::each_epoch(relations, guard, |row| {
        if row.epoch >= far && row.epoch.0 != Instant::INFINITY {
            rows.insert((row.key.to_vec(), row.is_related, row.epoch));
        }
    });
    rows
}

/// Raises the guard's epoch, for the first time in this transaction or once more.
pub fn raise_guard(relations: &ExtensionRelations, guard: &str, reason: [&[u8]; 2]) -> Epoch {
    let policy = guard_cache::policy();
    let guard_in_server = to_server(guard);
    let name = Value::Text(guard_in_server.to_bytes());
    let stamp = rise(
        &policy,
        || {
            epochs::lock_guard_epoch(relations, guard);
            let ahead = greatest_epoch_just_ahead(relations, guard, &policy);
            epochs::guard_epoch(relations, guard).max(ahead)
        },
        |epoch, now| {
            let row = [name, Value::Time(epoch.0), Value::Joined(reason), Value::Time(now)];
            WRITE_GUARD.with(|write| write.run(&row)) > 0
        },
    );
    audit::record(relations, &policy, Subject::AllUsers(guard), stamp, reason);
    stored_sessions::note_all(guard, reason);
    stamp.0
}

/// The greatest epoch of a user that lies a little ahead of the clock, as one does that was raised
/// just now. The guard's goes past it, so that the user's row need not be written: that could wait
/// for a transaction which stamps.
fn greatest_epoch_just_ahead(
    relations: &ExtensionRelations,
    guard: &str,
    policy: &Policy,
) -> Option<Epoch> {
    let latest = latest_just_ahead(policy);
    let mut greatest = None;
    epochs::each_epoch(relations, guard, |row| {
        greatest = greatest.max(Some(row.epoch).filter(|epoch| epoch.0 <= latest));
    });
    greatest
}

fn latest_just_ahead(policy: &Policy) -> Instant {
    const JUST: i64 = 10_000_000;
    stamping_clock().plus_micros(policy.stamp_margin.saturating_add(JUST))
}

/// Raises the epoch of one subject's tokens.
pub fn stamp_token(
    relations: &ExtensionRelations,
    scope: &[u8],
    subject: &[u8],
    reason: Reason,
) -> Epoch {
    let policy = guard_cache::policy();
    let reason = reason.parts();
    let (scope, subject) = (indexable(scope), indexable(subject));
    let token = Subject::Token(&scope, &subject);
    let now = || epochs::token_epoch(&scope, Some(&subject)).or_raise();
    if let Some(epoch) = stamped_already(relations, &policy, token, reason, None)
        && now() >= Some(epoch)
    {
        return epoch;
    }
    let stamp = rise(&policy, now, |epoch, now| {
        write_token(&[
            Value::Text(&scope),
            Value::Text(&subject),
            Value::Time(epoch.0),
            Value::Joined(reason),
            Value::Time(now),
        ])
    });
    stamped::note(token, reason, stamp.0);
    audit::record(relations, &policy, token, stamp, reason);
    stamp.0
}

/// Raises the epoch of all tokens of a scope, and the epochs of subjects that are ahead.
pub fn stamp_scope(relations: &ExtensionRelations, scope: &[u8], reason: Reason) -> Epoch {
    let policy = guard_cache::policy();
    let reason = reason.parts();
    let scope = indexable(scope);
    let tokens = Subject::AllTokens(&scope);
    let now = || epochs::token_epoch(&scope, None).or_raise();
    if let Some(epoch) = stamped_already(relations, &policy, tokens, reason, None)
        && now() >= Some(epoch)
    {
        return epoch;
    }
    let stamp = rise(&policy, now, |epoch, now| {
        write_token(&[
            Value::Text(&scope),
            Value::Null,
            Value::Time(epoch.0),
            Value::Joined(reason),
            Value::Time(now),
        ])
    });
    RAISE_TOKENS.with(|raise| raise.run(&[Value::Text(&scope), Value::Time(stamp.0.0)]));
    stamped::note(tokens, reason, stamp.0);
    audit::record(relations, &policy, tokens, stamp, reason);
    stamp.0
}

/// Writes a row of `session_guard.epoch`, unless there is one with an epoch that is as late;
/// returns whether it did.
pub fn write_user(row: &[Value; 6]) -> bool {
    WRITE_USER.with(|write| write.run(row)) > 0
}

/// The same of `session_guard.guard_epoch`.
pub fn write_guard(row: &[Value; 4]) -> bool {
    WRITE_GUARD.with(|write| write.run(row)) > 0
}

/// The same of `session_guard.token_epoch`.
pub fn write_token(row: &[Value; 5]) -> bool {
    let [scope, subject, epoch, reason, at] = *row;
    match subject {
        Value::Null => WRITE_SCOPE.with(|write| write.run(&[scope, epoch, reason, at])) > 0,
        _ => WRITE_TOKEN.with(|write| write.run(row)) > 0,
    }
}

/// Takes an epoch past the clock and the old one, and writes it. If another transaction wrote a
/// later epoch meanwhile, tries again past that one. Gives up when the old epoch is infinite.
fn rise(
    policy: &Policy,
    old: impl Fn() -> Option<Epoch>,
    write: impl Fn(Epoch, Instant) -> bool,
) -> (Epoch, Instant) {
    let mut seen = None;
    loop {
        let now = stamping_clock();
        let old = old();
        let epoch = Epoch::stamp(now, policy.margin(), old);
        if write(epoch, now) || seen == Some(old) {
            return (epoch, now);
        }
        seen = Some(old);
    }
}

/// The guard's own epoch; read again when it was invalidated, and not for each of many users.
fn known_guard_epoch(relations: &ExtensionRelations, guard: &Rc<str>) -> Option<Epoch> {
    invalidation::accept_messages();
    let now = epoch_generation();
    let known = GUARD_EPOCH.with_borrow(|known| match known {
        Some((of, generation, epoch)) if of == guard && *generation == now => Some(*epoch),
        _ => None,
    });
    known.filter(|_| relations.untracked_table.is_none()).unwrap_or_else(|| {
        let epoch = epochs::guard_epoch(relations, guard);
        GUARD_EPOCH.set(Some((Rc::clone(guard), now, epoch)));
        epoch
    })
}
