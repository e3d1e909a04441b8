//! What the tables say of one user now: the account, its epoch, and the guard's.

use crate::epoch::{Epoch, Instant};
use crate::error::{GuardError, OrRaise};
use crate::news;
use crate::planted::{self, Fault};
use crate::registry::{self, OpenGuard, Store};
use crate::scan::{OpenTable, Row, Snapshot, id_key, key, null_key, text_datum};
use crate::user_id::UserId;
use crate::verdict::Account;
use pgrx::pg_sys::{self, Oid};

/// The number of the column `epoch` in `session_guard.epoch`.
const USER_EPOCH: i16 = 3;
/// The number of the column `epoch` in `session_guard.guard_epoch`.
const GUARD_EPOCH: i16 = 3;
/// The number of the column `epoch` in `session_guard.token_epoch`.
const TOKEN_EPOCH: i16 = 3;
/// The number of the column `stamped_at` in `session_guard.guard_epoch`.
const GUARD_STAMPED_AT: i16 = 5;

/// One reading of a user and the epochs, all of one moment.
pub struct Reader<'a> {
    open: &'a OpenGuard,
    epochs: OpenTable,
    snapshot: Snapshot,
}

impl<'a> Reader<'a> {
    /// Of now: the tables are locked first, so that none is replaced by a later one.
    pub fn new(open: &'a OpenGuard) -> Result<Self, GuardError> {
        let epochs = OpenTable::try_open(open.store.epoch, pg_sys::AccessShareLock);
        // The extension may have been dropped while this waited.
        let epochs = epochs.ok_or_else(registry::no_guard)?;
        Ok(Reader { open, epochs, snapshot: Snapshot::fresh(&open.users) })
    }

    /// What the users table says of this id. Where an id is not unique, the strictest row counts.
    pub fn account(&self, id: &UserId) -> Account {
        let mut account = Account::Unknown;
        scan_users(self.open, &self.snapshot, id, |row| {
            account = stricter(account, judge_row(self.open, &row));
        });
        account
    }

    /// The user's own epoch.
    pub fn user_epoch(&self, key: &[u8]) -> Option<Epoch> {
        let epoch = scan_user_epoch(
            &self.open.store,
            &self.epochs,
            &self.snapshot,
            self.open.guard.relid,
            key,
        );
        if planted::has(Fault::OutdatedKept) {
            // Time for a stamp to come between, which this fault then misses.
            std::thread::sleep(std::time::Duration::from_millis(10));
            news::accept();
        }
        epoch
    }

    /// The epoch of everybody whom the guard guards.
    pub fn guard_epoch(&self) -> Option<Epoch> {
        guard_epoch(&self.open.store, self.open.guard.relid)
    }
}

/// How a user's row is locked until the transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowLock {
    /// `FOR SHARE`, for a login: whoever wants to change the account waits, other logins do not.
    Share,
    /// `FOR NO KEY UPDATE`, for a stamp that comes without a change of the row: logins wait, too, but not
    /// those who refer to the row by a foreign key.
    Change,
}

/// What the users table says of this id, with the row locked.
pub fn lock_account(open: &OpenGuard, id: &UserId, lock: RowLock) -> Account {
    loop {
        pgrx::check_for_interrupts!();
        let mut account = Account::Unknown;
        let mut places = Vec::new();
        scan_users(open, &Snapshot::fresh(&open.users), id, |row| {
            account = stricter(account, judge_row(open, &row));
            places.push(row.place());
        });
        // A version that was locked is the latest, and does not change any more; one that has been
        // replaced sends us to look for its successor.
        let is_latest = places.into_iter().all(|place| lock_version(&open.users, place, lock));
        if is_latest || planted::has(Fault::CallersSnapshot) {
            return account;
        }
    }
}

/// The greater of the user's epoch and the guard's. The user's row must have been read before: what
/// commits in between then only makes the answer stricter.
pub fn epoch(store: &Store, guard: Oid, key: &[u8]) -> Option<Epoch> {
    let epochs = OpenTable::try_open(store.epoch, pg_sys::AccessShareLock)?;
    let of_all = OpenTable::try_open(store.guard_epoch, pg_sys::AccessShareLock)?;
    let snapshot = Snapshot::fresh(&epochs);
    let of_user = scan_user_epoch(store, &epochs, &snapshot, guard, key);
    of_user.max(scan_guard_time(store, &of_all, &snapshot, guard, GUARD_EPOCH).map(Epoch))
}

/// The user's own epoch.
pub fn user_epoch(store: &Store, guard: Oid, id: &[u8]) -> Option<Epoch> {
    let epochs = OpenTable::try_open(store.epoch, pg_sys::AccessShareLock)?;
    epoch_in(store, &epochs, guard, id)
}

/// The same, in the table of epochs that is open already.
pub fn epoch_in(store: &Store, epochs: &OpenTable, guard: Oid, id: &[u8]) -> Option<Epoch> {
    scan_user_epoch(store, epochs, &Snapshot::fresh(epochs), guard, id)
}

fn scan_user_epoch(
    store: &Store,
    epochs: &OpenTable,
    snapshot: &Snapshot,
    guard: Oid,
    id: &[u8],
) -> Option<Epoch> {
    let mut keys = [
        key(1, pg_sys::F_OIDEQ, pg_sys::InvalidOid, guard.into()),
        key(2, pg_sys::F_TEXTEQ, pg_sys::C_COLLATION_OID, text_datum(id)),
    ];
    let mut epoch = None;
    epochs.scan_at(snapshot, Some(store.epoch_key), &mut keys, |row| {
        epoch = row.get(USER_EPOCH).map(|micros| Epoch(Instant(micros.value() as i64)));
    });
    epoch
}

/// The epoch of everybody whom this guard guards.
pub fn guard_epoch(store: &Store, guard: Oid) -> Option<Epoch> {
    guard_time(store, guard, GUARD_EPOCH).map(Epoch)
}

/// When that was last raised.
pub fn guard_stamped_at(store: &Store, guard: Oid) -> Option<Instant> {
    guard_time(store, guard, GUARD_STAMPED_AT)
}

fn guard_time(store: &Store, guard: Oid, attno: i16) -> Option<Instant> {
    let table = OpenTable::try_open(store.guard_epoch, pg_sys::AccessShareLock)?;
    scan_guard_time(store, &table, &Snapshot::fresh(&table), guard, attno)
}

fn scan_guard_time(
    store: &Store,
    table: &OpenTable,
    snapshot: &Snapshot,
    guard: Oid,
    attno: i16,
) -> Option<Instant> {
    let mut keys = [key(1, pg_sys::F_OIDEQ, pg_sys::InvalidOid, guard.into())];
    let mut time = None;
    table.scan_at(snapshot, Some(store.guard_epoch_key), &mut keys, |row| {
        time = row.get(attno).map(|micros| Instant(micros.value() as i64));
    });
    time
}

/// The greater of a subject's epoch and its scope's; the scope's alone for no subject. Looked up by name: few
/// sessions ask, and the others need not find out where it is.
pub fn token_epoch(scope: &[u8], subject: Option<&[u8]>) -> Option<Epoch> {
    let table = registry::relation_of_ours(c"token_epoch")
        .and_then(|relid| OpenTable::try_open(relid, pg_sys::AccessShareLock))
        .ok_or_else(registry::tokens_gone)
        .or_raise();
    let index = registry::relation_of_ours(c"token_epoch_key");
    let snapshot = Snapshot::fresh(&table);
    let read = |subject: Option<&[u8]>| {
        let text =
            |attno, text| key(attno, pg_sys::F_TEXTEQ, pg_sys::C_COLLATION_OID, text_datum(text));
        let mut keys = [text(1, scope), subject.map_or_else(|| null_key(2), |id| text(2, id))];
        let mut epoch = None;
        table.scan_at(&snapshot, index, &mut keys, |row| {
            epoch = row.get(TOKEN_EPOCH).map(|micros| Epoch(Instant(micros.value() as i64)));
        });
        epoch
    };
    subject.and_then(|subject| read(Some(subject))).max(read(None))
}

fn scan_users(open: &OpenGuard, snapshot: &Snapshot, id: &UserId, visit: impl FnMut(Row)) {
    let column = open.guard.id;
    let (index, collation) = match open.guard.index {
        Some(index) => (Some(index.oid), index.collation),
        None => (None, column.collation),
    };
    let mut keys = [id_key(column.attno, column.id_type, collation, id)];
    open.users.scan_at(snapshot, index, &mut keys, visit);
}

fn judge_row(open: &OpenGuard, row: &Row) -> Account {
    match row.get_bool(open.guard.active) {
        Some(true) => Account::Active,
        _ => Account::Disabled,
    }
}

fn stricter(seen: Account, next: Account) -> Account {
    match seen {
        Account::Disabled => Account::Disabled,
        Account::Unknown | Account::Active => next,
    }
}

/// Locks one version of a row, waiting for whoever is changing it. False if it turned out that the
/// version is not the latest.
fn lock_version(users: &OpenTable, place: pg_sys::ItemPointerData, lock: RowLock) -> bool {
    let mode = match lock {
        RowLock::Share => pg_sys::LockTupleMode::LockTupleShare,
        RowLock::Change => pg_sys::LockTupleMode::LockTupleNoKeyExclusive,
    };
    let mut tuple =
        pg_sys::HeapTupleData { t_self: place, t_tableOid: users.oid(), ..Default::default() };
    let mut buffer = pg_sys::InvalidBuffer as pg_sys::Buffer;
    let mut failure = pg_sys::TM_FailureData::default();
    // SAFETY: we are in a transaction; `true` says that it will write.
    let command = unsafe { pg_sys::GetCurrentCommandId(true) };
    // SAFETY: a guarded table is a heap, and the place was read from it just now.
    let outcome = unsafe {
        pg_sys::heap_lock_tuple(
            users.as_ptr(),
            &raw mut tuple,
            command,
            mode,
            pg_sys::LockWaitPolicy::LockWaitBlock,
            false,
            &raw mut buffer,
            &raw mut failure,
        )
    };
    // SAFETY: heap_lock_tuple returns with the buffer pinned, whatever the outcome.
    unsafe { pg_sys::ReleaseBuffer(buffer) };
    // A row that this very transaction has changed is locked already, by that change.
    outcome != pg_sys::TM_Result::TM_Updated && outcome != pg_sys::TM_Result::TM_Deleted
}
