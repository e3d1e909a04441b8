//! SQL: what a change of the users table stamps.

use super::pending;
use super::raise::{Source, keep_end_of_ban, stamp_guard, stamp_user, stamp_user_past};
use super::reason::Reason;
use crate::cache::generations::{self, Bucket};
use crate::cache::guard_cache::{self, GuardRef};
use crate::catalog::columns::GuardColumns;
use crate::catalog::epochs::user_epoch;
use crate::catalog::guard::OpenGuard;
use crate::catalog::triggers::PARTITION_TRUNCATE;
use crate::catalog::{location, unwatched};
use crate::core::epoch::{Epoch, Instant};
use crate::core::status::Change;
use crate::core::user_id::UserId;
use crate::error::{ErrorKind, GuardError, Hint};
use crate::fault_injection::{self, Fault};
use crate::pg::names::{shown_identifier, shown_relation, to_server};
use crate::pg::relation::{Lock, Relation};
use crate::pg::server::{full_transaction_id, stamping_clock};
use crate::pg::trigger_call::TriggerCall;
use crate::pg::tuple::Tuple;
use pgrx::PgTriggerOperation;
use pgrx::prelude::*;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

thread_local! {
    /// Tables whose triggers this backend has found without a guard, to warn of each once.
    static WARNED: RefCell<HashSet<pg_sys::Oid>> = RefCell::default();
    /// What this transaction has deleted of partitioned tables.
    static DELETED: RefCell<Deleted> = RefCell::default();
}

/// The greatest epoch of the accounts that a transaction has deleted, by the guard.
#[derive(Default)]
struct Deleted {
    transaction: u64,
    epochs: HashMap<Rc<str>, Epoch>,
}

/// Called by the four triggers of a guarded table. A guard that is broken lets nobody in, but must
/// not stop the app's own writes: then this warns, and stamps nothing.
#[pg_extern(sql = false)]
fn stamp(fcinfo: pg_sys::FunctionCallInfo) {
    // SAFETY: PostgreSQL calls with this.
    let Some(call) = (unsafe { TriggerCall::new(fcinfo) }) else { not_a_trigger().raise() };
    let is_truncate = matches!(call.operation(), Some(PgTriggerOperation::Truncate));
    if !call.is_after() || call.is_row_level() == is_truncate {
        wrong_trigger(&call).raise();
    }
    let Some(users) = guarded_table(&call) else { return };
    let open = match guard_cache::open(GuardRef::Table(users), Lock::Read) {
        Ok(open) => open,
        Err(error) => return note_broken(&call, error),
    };
    if is_truncate {
        stamp_guard(&open.relations, &open.guard.name, Reason::Truncated);
        return;
    }
    let Some(columns) = open.columns_of(call.relid()) else { return };
    let users = Users { open: &open, columns: &columns };
    match (call.operation(), call.old(), call.new_row()) {
        (Some(PgTriggerOperation::Insert), _, Some(new)) => users.on_insert(&new),
        (Some(PgTriggerOperation::Update), Some(old), Some(new)) => users.on_update(&old, &new),
        (Some(PgTriggerOperation::Delete), Some(old), _) => users.on_delete(&old),
        _ => wrong_trigger(&call).raise(),
    }
}

/// The guarded table: the trigger's, or the one that it is a partition of. `None` for one that was
/// detached, and has the trigger for TRUNCATE still.
fn guarded_table(call: &TriggerCall) -> Option<pg_sys::Oid> {
    let is_own = || call.is_row_level() || call.name() != PARTITION_TRUNCATE;
    if !call.is_clone() && is_own() {
        return Some(call.relid());
    }
    guard_cache::guarded_above(call.relid(), call.arguments().first()?)
}

/// Warns, once a backend, of a guard that cannot be opened, notes that a change went unstamped, and
/// has backends that know the account from before read the row again.
fn note_broken(call: &TriggerCall, error: GuardError) {
    call.invalidate_relation();
    // While a dump is restored, accounts may come before the guard's row: they have no session yet.
    let is_restored = error.kind == ErrorKind::NotGuarded
        && matches!(call.operation(), Some(PgTriggerOperation::Insert));
    if is_restored {
        return;
    }
    note_gap(call, &error.message);
    if WARNED.with_borrow_mut(|warned| warned.insert(call.relid())) {
        error.warn();
    }
}

/// Only of a guard that the table is known to be on: a role that may call the function can make
/// triggers on a table of its own that name any guard.
fn note_gap(call: &TriggerCall, reason: &str) {
    let Some(guard) = call.arguments().into_iter().next() else { return };
    let Ok(relations) = guard_cache::try_relations() else { return };
    let row = guard_cache::all_rows().into_iter().find(|row| row.name == guard);
    let table = guarded_table(call).and_then(|relid| Relation::open(relid, Lock::Read));
    if let (Some(row), Some(table)) = (row, table)
        && location::serves(&table, &row, &relations)
    {
        unwatched::note_once(&guard, reason);
    }
}

/// The guard, and its columns in the table that a trigger fires for.
struct Users<'a> {
    open: &'a OpenGuard,
    columns: &'a GuardColumns,
}

impl Users<'_> {
    fn on_insert(&self, row: &Tuple) {
        let open = self.open;
        let Some(id) = self.id_of(row) else { return };
        let key = id.into_key();
        let is_known = user_epoch(&open.relations, &open.guard.name, &key).is_some();
        let floor = moved_from(open);
        if is_known || floor.is_some() {
            let reason = if is_known { Reason::Recreated } else { Reason::IdChanged };
            stamp_user_past(open, &key, reason, Source::Account, floor);
        }
    }

    fn on_delete(&self, row: &Tuple) {
        let Some(id) = self.id_of(row) else { return };
        let epoch = stamp_user(self.open, &id.into_key(), Reason::Deleted, Source::Account);
        if self.open.guard.partitions.is_some() {
            note_maybe_moved(self.open, epoch);
        }
    }

    fn on_update(&self, old: &Tuple, new: &Tuple) {
        let open = self.open;
        let (old_id, new_id) = (self.id_of(old), self.id_of(new));
        if old_id != new_id {
            // A login that was given out at the old id's epoch, ahead of the clock, must not count
            // for the new id.
            let floor = old_id
                .map(|id| stamp_user(open, &id.into_key(), Reason::IdChanged, Source::Account));
            if let Some(id) = new_id {
                stamp_user_past(open, &id.into_key(), Reason::IdChanged, Source::Account, floor);
            }
            return;
        }
        let status = &self.columns.status;
        let now = stamping_clock();
        let [was, is] = [old, new].map(|row| status.account(row, || now));
        match Change::between(was, is) {
            Change::Enabled if fault_injection::has(Fault::NoStampAtEnable) => {}
            Change::Enabled => self.stamp_row(new, Reason::Enabled),
            Change::Disabled => self.stamp_row(new, Reason::Disabled),
            Change::None => self.stamp_changed_column(old, new),
            Change::Moved { not_before, unless_past } => {
                self.stamp_changed_column(old, new);
                self.note_moved(new, not_before, unless_past);
            }
        }
    }

    /// The account is as active as it was; but what backends keep of it may not hold as long.
    fn note_moved(&self, row: &Tuple, not_before: Option<Instant>, unless_past: Option<Instant>) {
        let open = self.open;
        let Some(id) = self.id_of(row) else { return };
        let key = id.into_key();
        if let Some(end) = not_before {
            let margin = guard_cache::policy().stamp_margin;
            keep_end_of_ban(open, &key, Epoch(end.plus_micros(margin)));
        }
        if let Some(end) = unless_past {
            pending::add_extended(&open.guard.name, &key, end);
        }
        // An expiry that is brought forward has to be known on standbys as a stamp has.
        pending::note_stamp();
        generations::invalidate_user(Bucket::of(&key), open.relations.invalidation);
    }

    fn stamp_row(&self, row: &Tuple, reason: Reason) {
        if let Some(id) = self.id_of(row) {
            stamp_user(self.open, &id.into_key(), reason, Source::Account);
        }
    }

    fn stamp_changed_column(&self, old: &Tuple, new: &Tuple) {
        let is_changed = |attno: i16| !old.has_same_bytes(new, attno);
        let further = self.columns.revoke_on.iter().zip(&self.open.guard.columns.revoke_on);
        match further.into_iter().find(|(attno, _)| is_changed(**attno)) {
            Some((_, attno)) => {
                let name = to_server(&self.open.users.column_name(*attno));
                self.stamp_row(new, Reason::Column(name.to_bytes()));
            }
            // As from one value to another for which accounts are active.
            None if is_changed(self.columns.status.attno()) => {}
            None => self.stamp_row(new, Reason::Changed),
        }
    }

    fn id_of<'row>(&self, row: &'row Tuple) -> Option<UserId<'row>> {
        let column = self.columns.id;
        row.user_id(column.attno, column.id_type)
    }
}

/// A row whose new id belongs to another partition is deleted and inserted, and nothing tells the
/// triggers that. So whoever is inserted, in a transaction that has deleted an account of the
/// guard, is taken for one that has got another id.
fn note_maybe_moved(open: &OpenGuard, epoch: Epoch) {
    let transaction = full_transaction_id();
    DELETED.with_borrow_mut(|deleted| {
        if deleted.transaction != transaction {
            *deleted = Deleted { transaction, epochs: HashMap::new() };
        }
        let greatest = deleted.epochs.entry(Rc::clone(&open.guard.name)).or_insert(epoch);
        *greatest = epoch.max(*greatest);
    });
}

/// The greatest epoch of those deleted.
fn moved_from(open: &OpenGuard) -> Option<Epoch> {
    open.guard.partitions.as_ref()?;
    DELETED.with_borrow(|deleted| {
        let is_own = deleted.transaction == full_transaction_id();
        deleted.epochs.get(&open.guard.name).copied().filter(|_| is_own)
    })
}

/// Called by something else than a trigger.
pub fn not_a_trigger() -> GuardError {
    let message = "this function is called by triggers alone";
    let hint = Hint::advice(
        "The triggers that call it are made by session_guard.attach and session_guard.watch.",
    );
    GuardError::new(ErrorKind::WrongTrigger, message, hint)
}

fn wrong_trigger(call: &TriggerCall) -> GuardError {
    let (name, table) = (shown_identifier(&call.name()), shown_relation(call.relid()));
    let message = format!("trigger {name} of table {table} was not made by session_guard.attach");
    let hint = Hint::run("To remove it, run", format!("DROP TRIGGER {name} ON {table};"));
    GuardError::new(ErrorKind::WrongTrigger, message, hint)
}
