//! Ends sessions where apps keep them, before a transaction that stamps commits.
//!
//! At COMMIT, and not with each stamp: a bulk change ends all in a few statements, and the rows of
//! apps are locked for the shortest time. A store that fails does not stop the stamp.

use super::deferred_event;
use super::reason::Reason;
use crate::cache::guard_cache::{self, FreeGuard};
use crate::catalog::epochs::{self, EpochReader};
use crate::catalog::guard::AccountTables;
use crate::catalog::privileges::as_tables_owner;
use crate::catalog::store::{OpenStore, StoreRow};
use crate::catalog::store_failure;
use crate::core::epoch::Instant;
use crate::core::status::Account;
use crate::core::user_id::{UserId, is_digest};
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::datum::Value;
use crate::pg::invalidation;
use crate::pg::memory::{ensure_available, within};
use crate::pg::relation::{FreeLocks, Lock};
use crate::pg::report::OrRaise;
use crate::pg::restricted::{Failure, attempt, run_as};
use crate::pg::server::{Subtransaction, sleep_micros, stamping_clock};
use pgrx::{PgMemoryContexts, PgSqlErrorCode};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;

/// How many users one statement is for.
const BATCH: usize = 10_000;
/// How many users are remembered of one guard. Of more, those are looked for whose epochs this
/// transaction has raised.
const MAX_USERS: usize = 10_000;
/// What so many take, and once more while they are worked on. It is asked for, so that the lack of
/// memory is an error.
const USERS_BYTES: usize = 4 << 20;
/// How long a statement waits for a lock, in milliseconds. Somebody may hold one for good.
const PATIENCE: i64 = 3_000;
/// How often a statement is tried that another transaction was in the way of.
const ATTEMPTS: usize = 3;

/// Whose sessions are to end, of one guard. It may have no stores yet.
#[derive(Default)]
struct Pending {
    /// If all that asked for anything is rolled back, nothing is ended.
    asked_in: Vec<Subtransaction>,
    /// By the keys of the users' epochs.
    users: BTreeMap<Vec<u8>, User>,
    /// Whether there are more: all whose epochs this transaction has raised.
    has_more: bool,
    /// Those who are disabled, whenever they were.
    disabled: bool,
    /// Those whose epochs were raised since.
    raised_since: Option<Instant>,
    /// The whole guard's, and whether users without a row are to get one.
    all: Option<(Vec<Subtransaction>, bool)>,
}

struct User {
    /// If all that asked for it is rolled back, the sessions go on.
    asked_in: Vec<Subtransaction>,
    /// Whether columns are raised, too, and not only rows deleted.
    raises_columns: bool,
}

thread_local! {
    static PENDING: RefCell<BTreeMap<String, Pending>> = const { RefCell::new(BTreeMap::new()) };
}

/// A user was stamped.
pub fn note_user(guard: &str, key: &[u8], reason: [&[u8]; 2]) {
    let (here, has_stores) = (Subtransaction::current(), has_stores(guard));
    note(guard, |pending| {
        // A store may be added before this commits: it finds whose epochs were raised.
        let is_full = pending.users.len() >= MAX_USERS && !pending.users.contains_key(key);
        if is_full || !has_stores {
            pending.has_more = true;
            return;
        }
        if pending.users.is_empty() {
            ensure_available(USERS_BYTES);
        }
        let user = pending
            .users
            .entry(key.to_owned())
            .or_insert_with(|| User { asked_in: Vec::new(), raises_columns: false });
        note_subtransaction(&mut user.asked_in, here);
        user.raises_columns |= raises_columns(reason[0]);
    });
}

/// The whole guard was stamped.
pub fn note_all(guard: &str, reason: [&[u8]; 2]) {
    let (here, has_users) = (Subtransaction::current(), reason != Reason::Truncated.parts());
    note(guard, |pending| {
        let (asked_in, for_each_user) = pending.all.get_or_insert_default();
        note_subtransaction(asked_in, here);
        *for_each_user |= has_users;
    });
}

/// Once, however often it asks.
fn note_subtransaction(asked_in: &mut Vec<Subtransaction>, here: Subtransaction) {
    if asked_in.last() != Some(&here) {
        asked_in.push(here);
    }
}

/// Many users were stamped.
pub fn note_many(guard: &str) {
    // A store that is added later ends the sessions of all who are disabled then.
    if has_stores(guard) {
        note(guard, |pending| pending.has_more = true);
    }
}

/// A store was added: those who are disabled already have no sessions from now on.
pub fn note_disabled(guard: &str) {
    note(guard, |pending| pending.disabled = true);
}

/// A store has failed at this time: what was to be ended since is to be ended now.
pub fn note_raised_since(guard: &str, failed_at: Instant) {
    note(guard, |pending| {
        let first = pending.raised_since.map_or(failed_at, |first| first.min(failed_at));
        pending.raised_since = Some(first);
    });
    let stamped_at = epochs::guard_stamped_at(&guard_cache::relations(), guard);
    if stamped_at.is_some_and(|at| at >= failed_at) {
        note_all(guard, Reason::Admin(b"").parts());
    }
}

fn note(guard: &str, change: impl FnOnce(&mut Pending)) {
    deferred_event::queue();
    let here = Subtransaction::current();
    PENDING.with_borrow_mut(|all| {
        if !all.contains_key(guard) {
            all.insert(guard.to_owned(), Pending::default());
        }
        if let Some(pending) = all.get_mut(guard) {
            note_subtransaction(&mut pending.asked_in, here);
            change(pending);
        }
    });
}

/// A foreign key must never keep a user from being deleted.
fn raises_columns(reason: &[u8]) -> bool {
    ![Reason::Deleted, Reason::Recreated].iter().any(|gone| gone.parts()[0] == reason)
}

fn has_stores(guard: &str) -> bool {
    guard_cache::stores().iter().any(|store| store.guard == guard)
}

/// The transaction has ended.
pub fn clear() {
    PENDING.take();
}

impl Pending {
    fn counts(&self) -> bool {
        self.asked_in.iter().any(|asked| asked.counts())
    }
}

/// Whether there is something to end.
pub fn is_pending() -> bool {
    if PENDING.with_borrow(BTreeMap::is_empty) {
        return false;
    }
    // Somebody may have added a store.
    invalidation::accept_messages();
    PENDING
        .with_borrow(|all| all.iter().any(|(guard, pending)| pending.counts() && has_stores(guard)))
}

/// Takes what is to be ended, and leaves what has no store.
fn take_pending() -> BTreeMap<String, Pending> {
    let (mut taken, left) = PENDING.take().into_iter().partition(|(guard, _)| has_stores(guard));
    PENDING.set(left);
    BTreeMap::retain(&mut taken, |_, pending| pending.counts());
    taken
}

/// Ends what is to be ended.
pub fn end_pending() {
    for (guard, pending) in take_pending() {
        let work = Work::of(guard, pending);
        for row in guard_cache::stores().iter().filter(|row| row.guard == work.guard) {
            if let Err(error) = work.end_in(row) {
                note_failure(row, error, work.raised_since);
            }
        }
    }
}

/// Notes that what is still to be ended will not be.
pub fn give_up_pending(why: &str) {
    for guard in take_pending().into_keys() {
        for row in guard_cache::stores().iter().filter(|row| row.guard == guard) {
            note_failure(row, failed(row, why), None);
        }
    }
}

/// A stamp stands though this cannot be written.
fn note_failure(row: &StoreRow, error: GuardError, since: Option<Instant>) {
    let noted = attempt(|| {
        as_tables_owner(|| store_failure::note(row, &error.message, since));
    });
    if let Err(Failure { message, .. }) = noted {
        failed(row, &message).warn();
    }
    error.warn();
}

/// What is to be done in each store of a guard.
struct Work {
    guard: String,
    /// The users, and whether columns are raised for each.
    users: Vec<(Vec<u8>, bool)>,
    /// Those, too, whose epochs this transaction has raised.
    has_more: bool,
    /// Those, too, whose epochs were raised since.
    raised_since: Option<Instant>,
    /// Those, too, who are disabled.
    disabled: bool,
    /// Everybody, and whether users without a row are to get one.
    all: Option<bool>,
    is_detached: bool,
    /// The guard's table, unless it is detached, or somebody changes it who may be waiting for this
    /// transaction.
    free: Option<FreeGuard>,
}

impl Work {
    fn of(guard: String, pending: Pending) -> Work {
        ensure_available(USERS_BYTES);
        let counts = |asked_in: &[Subtransaction]| asked_in.iter().any(|asked| asked.counts());
        let users = pending.users.into_iter().filter(|(_, user)| counts(&user.asked_in));
        let row = guard_cache::attached_rows().into_iter().find(|row| row.name == guard);
        Work {
            users: users.map(|(key, user)| (key, user.raises_columns)).collect(),
            has_more: pending.has_more,
            raised_since: pending.raised_since,
            disabled: pending.disabled,
            all: pending.all.filter(|(asked_in, _)| counts(asked_in)).map(|(_, each)| each),
            is_detached: row.is_none(),
            free: row.and_then(|row| guard_cache::open_row_without_waiting(&row).ok().flatten()),
            guard,
        }
    }

    fn end_in(&self, row: &StoreRow) -> Result<(), GuardError> {
        // As long as this lives, to open the table waits for nobody.
        let _locks = lock_patiently(row)?;
        let store = row.open()?;
        let needs_users = self.disabled
            || self.all == Some(true) && store.has_row_for_each_user() && !self.is_detached;
        if needs_users && self.free.is_none() {
            return Err(failed(row, "somebody has locked the users table"));
        }
        let now = stamping_clock().plus_micros(guard_cache::policy().stamp_margin);
        let raises_column = store.has_row_for_each_user();
        let mut batch = Batch { row, store: &store, now, ids: BTreeSet::new(), result: Ok(()) };
        match self.all {
            Some(for_each_user) => {
                let time = [Value::Time(now)];
                let arguments = if raises_column { &time[..] } else { &[] };
                run(row, &store, &store.end_all(), arguments)?;
                if for_each_user && raises_column {
                    self.each_user(|key| {
                        if !is_digest(key) || self.is_there(key) {
                            batch.add(key);
                        }
                    });
                }
            }
            None => self.each_stamped(|key, is_raised| {
                if !raises_column || is_raised && self.is_there(key) {
                    batch.add(key);
                }
            }),
        }
        batch.finish()
    }

    /// Calls `visit` with each user, and whether columns are raised for that one.
    fn each_stamped(&self, mut visit: impl FnMut(&[u8], bool)) {
        self.users.iter().for_each(|(key, raises)| visit(key, *raises));
        if self.has_more || self.raised_since.is_some() {
            epochs::each_epoch(&guard_cache::relations(), &self.guard, |row| {
                let is_since = self.raised_since.is_some_and(|at| row.stamped_at >= at);
                if self.has_more && row.is_own() || is_since {
                    visit(row.key, raises_columns(row.reason));
                }
            });
        }
        if let Some(free) = self.free.as_ref().filter(|_| self.disabled) {
            epochs::each_disabled(&free.open, |key| visit(&key, true));
        }
    }

    /// Calls `visit` with everybody.
    fn each_user(&self, mut visit: impl FnMut(&[u8])) {
        let Some(FreeGuard { open, .. }) = &self.free else { return };
        let tables = AccountTables::all(open, Lock::Read);
        epochs::each_account(&tables, |_, _| true, |key| visit(&key));
    }

    /// Whether there is such an account. Of a digest: one whose id reads like it.
    fn is_there(&self, key: &[u8]) -> bool {
        let Some(FreeGuard { open, .. }) = &self.free else { return !is_digest(key) };
        let id = UserId::Text(key.into()).in_column(open.guard.columns.id.id_type);
        id.is_some_and(|id| EpochReader::new(open, &id).or_raise().account(&id) != Account::Unknown)
    }
}

/// Locks a store to be opened and written. Who has it for long may be waiting for this transaction.
fn lock_patiently(row: &StoreRow) -> Result<FreeLocks, GuardError> {
    const PAUSE: i64 = 20;
    let Some(relid) = row.locate() else { return Ok(FreeLocks::default()) };
    for _ in 0..PATIENCE / PAUSE {
        let mut locks = FreeLocks::default();
        if locks.add_table(relid, Lock::Write) {
            return Ok(locks);
        }
        pgrx::check_for_interrupts!();
        sleep_micros(PAUSE * 1000);
    }
    Err(failed(row, "somebody has locked the table"))
}

/// Users of one store, for whom one statement is enough.
struct Batch<'a> {
    row: &'a StoreRow,
    store: &'a OpenStore,
    now: Instant,
    /// Each once: an upsert writes no row twice. Sorted: two upserts take their rows in one order.
    ids: BTreeSet<Vec<u8>>,
    result: Result<(), GuardError>,
}

impl Batch<'_> {
    fn add(&mut self, key: &[u8]) {
        self.ids.extend(id_in(self.store, key));
        if self.ids.len() >= BATCH {
            self.end();
        }
    }

    /// After a failure nothing more is tried.
    fn end(&mut self) {
        let ids: Vec<_> = take(&mut self.ids).into_iter().collect();
        if self.result.is_ok() && !ids.is_empty() {
            self.result = end_sessions(self.row, self.store, &ids, self.now);
        }
    }

    fn finish(mut self) -> Result<(), GuardError> {
        self.end();
        self.result
    }
}

/// The id as the store's column would hold it. What it cannot hold is nobody's there. An id that
/// reads like the digest of a longer one has that one's epoch, and ends with it.
fn id_in(store: &OpenStore, key: &[u8]) -> Option<Vec<u8>> {
    let id = UserId::Text(key.into()).in_column(store.id_type())?;
    Some(id.into_key().into_owned())
}

fn end_sessions(
    row: &StoreRow,
    store: &OpenStore,
    ids: &[Vec<u8>],
    now: Instant,
) -> Result<(), GuardError> {
    let mut context = PgMemoryContexts::new("session_guard store");
    let mut result = Ok(());
    within(&mut context, || {
        let both = [Value::Texts(ids), Value::Time(now)];
        let arguments = if store.has_row_for_each_user() { &both[..] } else { &both[..1] };
        result = run(row, store, &store.end_sessions(), arguments);
    });
    result
}

fn run(
    row: &StoreRow,
    store: &OpenStore,
    statement: &str,
    arguments: &[Value],
) -> Result<(), GuardError> {
    let mut failure = None;
    for _ in 0..ATTEMPTS {
        match run_as(store.owner, statement, arguments, PATIENCE) {
            Ok(_) => return Ok(()),
            Err(error) if is_passing(&error) => failure = Some(error),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    Err(failed(row, &failure.map_or(String::new(), |failure| failure.message)))
}

fn failed(row: &StoreRow, why: &str) -> GuardError {
    let sentence = "The stamp stands. To have these sessions end, too, run";
    let hint = Hint::run(sentence, "SELECT session_guard.reconcile();");
    let message = format!("sessions in {} were not ended: {why}", row.table.shown());
    GuardError::new(ErrorKind::StoreFailed, message, hint)
}

/// Whether the statement would succeed a moment later: it met a concurrent write, and sees what
/// that has committed when it is run again. After a deadlock the app would be the next victim.
fn is_passing(failure: &Failure) -> bool {
    failure.sqlstate == PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE
}
