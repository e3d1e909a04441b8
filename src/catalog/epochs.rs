//! Accounts and epochs, as the tables have them now.

use super::extension::{self, ExtensionRelations};
use super::guard::{AccountTable, AccountTables, OpenGuard};
use crate::core::epoch::{Epoch, Instant};
use crate::core::status::Account;
use crate::core::user_id::UserId;
use crate::error::{ErrorKind, GuardError, Hint};
use crate::fault_injection::{self, Fault};
use crate::pg::index_scan::Key;
use crate::pg::invalidation;
use crate::pg::names::{extension_relation, to_server};
use crate::pg::relation::{Lock, Relation, RelationKind};
use crate::pg::server::{clock, is_current_transaction};
use crate::pg::snapshot::Snapshot;
use crate::pg::transaction::{in_subtransaction, is_repeatable_read, wait_for};
use crate::pg::tuple::{LockedRow, RowLock, Tuple, Wait};
use std::panic::AssertUnwindSafe;

// The columns by their numbers in sql/tables.sql.
const USER_GUARD: i16 = 1;
const USER_ID: i16 = 2;
const USER_EPOCH: i16 = 3;
const USER_REASON: i16 = 4;
const USER_STAMPED_AT: i16 = 5;
const USER_IS_RELATED: i16 = 6;
const GUARD_NAME: i16 = 1;
const GUARD_EPOCH: i16 = 2;
const GUARD_STAMPED_AT: i16 = 4;
const TOKEN_SCOPE: i16 = 1;
const TOKEN_SUBJECT: i16 = 2;
const TOKEN_EPOCH: i16 = 3;

/// One reading of a user and the epochs, all by one snapshot.
pub struct EpochReader<'a> {
    tables: AccountTables<'a>,
    epochs: Relation,
    snapshot: Snapshot,
}

impl<'a> EpochReader<'a> {
    /// Of this user, by the latest snapshot. The tables are locked before it is taken, so that none
    /// is replaced by a later one.
    pub fn new(open: &'a OpenGuard, id: &UserId) -> Result<Self, GuardError> {
        EpochReader::of(AccountTables::of_id(open, id, Lock::Read))
    }

    /// The same of any user.
    pub fn of_all(open: &'a OpenGuard) -> Result<Self, GuardError> {
        EpochReader::of(AccountTables::all(open, Lock::Read))
    }

    fn of(tables: AccountTables<'a>) -> Result<Self, GuardError> {
        let open = tables.guard();
        let epochs =
            Relation::open(open.relations.epoch, Lock::Read).ok_or_else(extension::gone)?;
        let snapshot = Snapshot::latest(&open.users);
        Ok(EpochReader { tables, epochs, snapshot })
    }

    /// What the users table says of this id. Where an id is not unique, the strictest row counts.
    pub fn account(&self, id: &UserId) -> Account {
        let mut account = Account::Unknown;
        for AccountTable { table, columns } in self.tables.iter() {
            scan_users(AccountTable { table, columns }, &self.snapshot, id, |row| {
                account = account.stricter(columns.status.account(row, clock));
            });
        }
        account
    }

    /// The user's own epoch.
    pub fn user_epoch(&self, key: &[u8]) -> Option<Epoch> {
        let guard = &self.tables.guard().guard.name;
        let epoch = read_user_epochs(&self.epochs, &self.snapshot, guard, key).greatest();
        if fault_injection::has(Fault::OutdatedKept) {
            // Time for a stamp to come between, which this fault then misses.
            std::thread::sleep(std::time::Duration::from_millis(10));
            invalidation::accept_messages();
        }
        epoch
    }

    /// The guard's own epoch.
    pub fn guard_epoch(&self) -> Option<Epoch> {
        let open = self.tables.guard();
        guard_epoch(&open.relations, &open.guard.name)
    }
}

/// What the users table says of this id, with the row locked until the transaction ends; `None`
/// where that would have to wait and is not to. The tables are open to lock rows.
pub fn lock_account(
    tables: &AccountTables,
    id: &UserId,
    lock: RowLock,
    wait: Wait,
) -> Option<Account> {
    let open = tables.guard();
    loop {
        pgrx::check_for_interrupts!();
        let (mut values, mut versions) = (Vec::new(), Vec::new());
        let snapshot = Snapshot::latest(&open.users);
        for AccountTable { table, columns } in tables.iter() {
            scan_users(AccountTable { table, columns }, &snapshot, id, |row| {
                values.push(columns.status.value(row));
                versions.push((table, row.tid()));
            });
        }
        drop(snapshot);
        // By the clock after the locks are granted.
        let account = || {
            let active_when = &open.guard.columns.status.active_when;
            let accounts = values.iter().map(|value| active_when.account(*value, clock));
            accounts.fold(Account::Unknown, Account::stricter)
        };
        if lock == RowLock::Share && fault_injection::has(Fault::LoginWithoutLock) {
            return Some(account());
        }
        // A version that was locked is the latest, and does not change any more; one that has been
        // replaced sends us to look for its successor.
        let mut locked = versions.into_iter().map(|(table, tid)| table.lock_row(tid, lock, wait));
        match locked.find(|locked| *locked != LockedRow::Locked) {
            None => return Some(account()),
            Some(LockedRow::Busy) => return None,
            Some(_) if fault_injection::has(Fault::CallersSnapshot) => return Some(account()),
            Some(_) => {}
        }
    }
}

/// The greater of the user's epoch and the guard's. The user's row must have been read before: what
/// commits in between then only makes the answer stricter.
pub fn epoch(relations: &ExtensionRelations, guard: &str, key: &[u8]) -> Option<Epoch> {
    user_epoch(relations, guard, key).max(guard_epoch(relations, guard))
}

/// The user's own epoch.
pub fn user_epoch(relations: &ExtensionRelations, guard: &str, key: &[u8]) -> Option<Epoch> {
    user_epochs(relations, guard, key).greatest()
}

/// A user's own epochs: the greater counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct UserEpochs {
    /// Raised by changes of the account itself, or because somebody asked.
    pub account: Option<Epoch>,
    /// Raised by changes of related tables.
    pub related: Option<Epoch>,
}

impl UserEpochs {
    /// The one that counts.
    pub fn greatest(self) -> Option<Epoch> {
        self.account.max(self.related)
    }
}

/// The same, with which of both was raised.
pub fn user_epochs(relations: &ExtensionRelations, guard: &str, key: &[u8]) -> UserEpochs {
    let epochs = Relation::open(relations.epoch, Lock::Read);
    epochs.map_or(UserEpochs::default(), |epochs| user_epochs_in(&epochs, guard, key))
}

/// The user's own epochs, in the table of epochs that is open already.
pub fn user_epochs_in(epochs: &Relation, guard: &str, key: &[u8]) -> UserEpochs {
    read_user_epochs(epochs, &Snapshot::latest(epochs), guard, key)
}

fn read_user_epochs(epochs: &Relation, snapshot: &Snapshot, guard: &str, key: &[u8]) -> UserEpochs {
    let guard = to_server(guard);
    let keys = [Key::text(USER_ID, key), Key::text(USER_GUARD, guard.to_bytes())];
    let mut own = UserEpochs::default();
    epochs.scan_keys(snapshot, &keys, |row| {
        let epoch = row.time(USER_EPOCH).map(Epoch);
        match row.bool(USER_IS_RELATED) {
            Some(true) => own.related = epoch,
            _ => own.account = epoch,
        }
    });
    own
}

/// Locks the row that a stamp is about to raise, if it is there, and waits for who is raising it.
///
/// A write of a REPEATABLE READ transaction fails if another is newer than the snapshot that it
/// takes. The app's own write would not fail, so the wait comes before the snapshot.
pub fn lock_user_epoch(epochs: &Relation, guard: &str, key: &[u8], is_related: bool) {
    let guard = to_server(guard);
    let keys = [Key::text(USER_ID, key), Key::text(USER_GUARD, guard.to_bytes())];
    lock_rows(epochs, &keys, |row| (row.bool(USER_IS_RELATED) == Some(true)) == is_related);
}

/// Waits for who has the row, and lets go of it at once: whoever that is may be waiting for another
/// row that this transaction would have.
pub fn wait_for_user_epoch(
    relations: &ExtensionRelations,
    guard: &str,
    key: &[u8],
    is_related: bool,
) {
    let guard = to_server(guard);
    let keys = [Key::text(USER_ID, key), Key::text(USER_GUARD, guard.to_bytes())];
    let epochs = Relation::open(relations.epoch, Lock::Write);
    let Some(epochs) = epochs.filter(|epochs| epochs.kind() == RelationKind::Heap) else { return };
    let mut versions = Vec::new();
    epochs.scan_keys(&Snapshot::latest(&epochs), &keys, |row| {
        if (row.bool(USER_IS_RELATED) == Some(true)) == is_related {
            versions.push(row.tid());
        }
    });
    in_subtransaction(AssertUnwindSafe(|| {
        for tid in versions {
            let _ = epochs.lock_row(tid, RowLock::NoKeyUpdate, Wait::Yes);
        }
        false
    }));
}

/// Locks a guard's row as that of a user.
pub fn lock_guard_epoch(relations: &ExtensionRelations, guard: &str) {
    if let Some(table) = Relation::open(relations.guard_epoch, Lock::Write) {
        let guard = to_server(guard);
        lock_rows(&table, &[Key::text(GUARD_NAME, guard.to_bytes())], |_| true);
    }
}

fn lock_rows(table: &Relation, keys: &[Key], is_meant: impl Fn(&Tuple) -> bool) {
    if !is_repeatable_read() || table.kind() != RelationKind::Heap {
        return;
    }
    loop {
        pgrx::check_for_interrupts!();
        let mut versions = Vec::new();
        table.scan_keys(&Snapshot::latest(table), keys, |row| {
            if is_meant(row) {
                versions.push(row.tid());
            }
        });
        if versions.is_empty() {
            // The row may be another's first.
            let being_written = Snapshot::being_written();
            let mut inserters = Vec::new();
            table.scan_keys(&being_written, keys, |row| {
                inserters.extend(being_written.inserter().filter(|_| is_meant(row)));
            });
            if inserters.is_empty() {
                return;
            }
            inserters.into_iter().for_each(wait_for);
            continue;
        }
        let mut locked =
            versions.into_iter().map(|tid| table.lock_row(tid, RowLock::NoKeyUpdate, Wait::Yes));
        let are_locked = locked.all(|locked| locked == LockedRow::Locked);
        // By a snapshot that stays the same, no later version would ever be seen.
        if are_locked || fault_injection::has(Fault::CallersSnapshot) {
            return;
        }
    }
}

/// A row of `session_guard.epoch`.
pub struct EpochRow<'a> {
    /// The user's key.
    pub key: &'a [u8],
    /// The epoch.
    pub epoch: Epoch,
    /// When it was last raised.
    pub stamped_at: Instant,
    /// Whether watched tables raised it.
    pub is_related: bool,
    /// Why it was last raised, in the database's encoding.
    pub reason: &'a [u8],
    xmin: u32,
}

impl EpochRow<'_> {
    /// Whether this very transaction raised it.
    pub fn is_own(&self) -> bool {
        is_current_transaction(self.xmin)
    }
}

/// Calls `visit` with each row of a guard's users.
pub fn each_epoch(relations: &ExtensionRelations, guard: &str, mut visit: impl FnMut(EpochRow)) {
    let Some(epochs) = Relation::open(relations.epoch, Lock::Read) else { return };
    let guard = to_server(guard);
    epochs.scan(&Snapshot::latest(&epochs), |row| {
        if row.text(USER_GUARD) == Some(guard.to_bytes())
            && let Some(key) = row.text(USER_ID)
            && let Some(epoch) = row.time(USER_EPOCH).map(Epoch)
            && let Some(stamped_at) = row.time(USER_STAMPED_AT)
        {
            let is_related = row.bool(USER_IS_RELATED) == Some(true);
            let reason = row.text(USER_REASON).unwrap_or_default();
            let xmin = row.xmin();
            visit(EpochRow { key, epoch, stamped_at, is_related, reason, xmin });
        }
    });
}

/// The guard's own epoch.
pub fn guard_epoch(relations: &ExtensionRelations, guard: &str) -> Option<Epoch> {
    guard_time(relations, guard, GUARD_EPOCH).map(Epoch)
}

/// When that was last raised.
pub fn guard_stamped_at(relations: &ExtensionRelations, guard: &str) -> Option<Instant> {
    guard_time(relations, guard, GUARD_STAMPED_AT)
}

fn guard_time(relations: &ExtensionRelations, guard: &str, attno: i16) -> Option<Instant> {
    let table = Relation::open(relations.guard_epoch, Lock::Read)?;
    let guard = to_server(guard);
    let mut time = None;
    let keys = [Key::text(GUARD_NAME, guard.to_bytes())];
    table.scan_keys(&Snapshot::latest(&table), &keys, |row| time = time.max(row.time(attno)));
    time
}

/// The greater of a subject's epoch and its scope's; the scope's alone for no subject. Looked up by
/// name: few sessions ask, and the others need not find out where the table is.
pub fn token_epoch(scope: &[u8], subject: Option<&[u8]>) -> Result<Option<Epoch>, GuardError> {
    let table = extension_relation(c"token_epoch")
        .and_then(|relid| Relation::open(relid, Lock::Read))
        .ok_or_else(token_epochs_gone)?;
    let snapshot = Snapshot::latest(&table);
    let read = |subject: Key| {
        let mut epoch = None;
        table.scan_keys(&snapshot, &[Key::text(TOKEN_SCOPE, scope), subject], |row| {
            epoch = epoch.max(row.time(TOKEN_EPOCH).map(Epoch));
        });
        epoch
    };
    let of_subject = subject.and_then(|subject| read(Key::text(TOKEN_SUBJECT, subject)));
    Ok(of_subject.max(read(Key::null(TOKEN_SUBJECT))))
}

fn token_epochs_gone() -> GuardError {
    let hint = Hint::run(
        "Give the table its name back. What it is called now is listed by",
        "SELECT pg_catalog.pg_describe_object(classid, objid, 0) FROM pg_catalog.pg_depend \
         WHERE deptype OPERATOR(pg_catalog.=) 'e' \
         AND refclassid OPERATOR(pg_catalog.=) \
         'pg_catalog.pg_extension'::pg_catalog.regclass \
         AND refobjid OPERATOR(pg_catalog.=) (SELECT oid FROM pg_catalog.pg_extension \
         WHERE extname OPERATOR(pg_catalog.=) 'pg_session_guard');",
    );
    GuardError::new(ErrorKind::TableGone, "table session_guard.token_epoch is gone", hint)
}

/// Calls `visit` with the key of each account that is not active.
pub fn each_disabled(open: &OpenGuard, visit: impl FnMut(Vec<u8>)) {
    let is_disabled =
        |table: AccountTable, row: &Tuple| !table.columns.status.account(row, clock).is_active();
    each_account(&AccountTables::all(open, Lock::Read), is_disabled, visit);
}

/// Calls `visit` with the key of each account whose row is meant.
pub fn each_account(
    tables: &AccountTables,
    is_meant: impl Fn(AccountTable, &Tuple) -> bool,
    mut visit: impl FnMut(Vec<u8>),
) {
    let snapshot = Snapshot::latest(&tables.guard().users);
    for account_table in tables.iter() {
        let id = account_table.columns.id;
        account_table.table.scan(&snapshot, |row| {
            if is_meant(account_table, row)
                && let Some(id) = row.user_id(id.attno, id.id_type)
            {
                visit(id.into_key().into_owned());
            }
        });
    }
}

fn scan_users(of: AccountTable, snapshot: &Snapshot, id: &UserId, visit: impl FnMut(&Tuple)) {
    let column = of.columns.id;
    of.table.scan_keys(snapshot, &[Key::id(column.attno, column.id_type, id)], visit);
}
