//! SQL: what a change of the users table stamps.

use super::pending;
use super::raise::{Source, keep_end_of_ban, stamp_guard, stamp_user, stamp_user_past};
use super::reason::Reason;
use crate::cache::generations::{self, Bucket};
use crate::cache::guard_cache::{self, GuardRef};
use crate::catalog::epochs::user_epoch;
use crate::catalog::guard::OpenGuard;
use crate::catalog::{location, unwatched};
use crate::core::epoch::{Epoch, Instant};
use crate::core::status::Change;
use crate::core::user_id::UserId;
use crate::error::{ErrorKind, GuardError, Hint};
use crate::fault_injection::{self, Fault};
use crate::pg::names::{shown_identifier, shown_relation, to_server};
use crate::pg::relation::{Lock, Relation};
use crate::pg::server::stamping_clock;
use crate::pg::trigger_call::TriggerCall;
use crate::pg::tuple::Tuple;
use pgrx::PgTriggerOperation;
use pgrx::prelude::*;
use std::cell::RefCell;
use std::collections::HashSet;

thread_local! {
    /// Tables whose triggers this backend has found without a guard, to warn of each once.
    static WARNED: RefCell<HashSet<pg_sys::Oid>> = RefCell::default();
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
    let open = match guard_cache::open(GuardRef::Table(call.relid()), Lock::Read) {
        Ok(open) => open,
        Err(error) => return note_broken(&call, error),
    };
    match (call.operation(), call.old(), call.new_row()) {
        (Some(PgTriggerOperation::Truncate), ..) => {
            stamp_guard(&open.relations, &open.guard.name, Reason::Truncated);
        }
        (Some(PgTriggerOperation::Insert), _, Some(new)) => on_insert(&open, &new),
        (Some(PgTriggerOperation::Update), Some(old), Some(new)) => on_update(&open, &old, &new),
        (Some(PgTriggerOperation::Delete), Some(old), _) => {
            stamp_row(&open, &old, Reason::Deleted);
        }
        _ => wrong_trigger(&call).raise(),
    }
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
    let table = Relation::open(call.relid(), Lock::Read);
    if let (Some(row), Some(table)) = (row, table)
        && location::serves(&table, &row, &relations)
    {
        unwatched::note_once(&guard, reason);
    }
}

fn on_insert(open: &OpenGuard, row: &Tuple) {
    let Some(id) = id_of(open, row) else { return };
    let key = id.into_key();
    if user_epoch(&open.relations, &open.guard.name, &key).is_some() {
        stamp_user(open, &key, Reason::Recreated, Source::Account);
    }
}

fn on_update(open: &OpenGuard, old: &Tuple, new: &Tuple) {
    let (old_id, new_id) = (id_of(open, old), id_of(open, new));
    if old_id != new_id {
        // A login that was given out at the old id's epoch, ahead of the clock, must not count for
        // the new id.
        let floor =
            old_id.map(|id| stamp_user(open, &id.into_key(), Reason::IdChanged, Source::Account));
        if let Some(id) = new_id {
            stamp_user_past(open, &id.into_key(), Reason::IdChanged, Source::Account, floor);
        }
        return;
    }
    let status = &open.guard.columns.status;
    let now = stamping_clock();
    let [was, is] = [old, new].map(|row| status.account(row, || now));
    match Change::between(was, is) {
        Change::Enabled if fault_injection::has(Fault::NoStampAtEnable) => {}
        Change::Enabled => stamp_row(open, new, Reason::Enabled),
        Change::Disabled => stamp_row(open, new, Reason::Disabled),
        Change::None => stamp_changed_column(open, old, new),
        Change::Moved { not_before, unless_past } => {
            stamp_changed_column(open, old, new);
            note_moved(open, new, not_before, unless_past);
        }
    }
}

/// The account is as active as it was; but what backends keep of it may not hold as long.
fn note_moved(
    open: &OpenGuard,
    row: &Tuple,
    not_before: Option<Instant>,
    unless_past: Option<Instant>,
) {
    let Some(id) = id_of(open, row) else { return };
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

fn stamp_row(open: &OpenGuard, row: &Tuple, reason: Reason) {
    if let Some(id) = id_of(open, row) {
        stamp_user(open, &id.into_key(), reason, Source::Account);
    }
}

fn stamp_changed_column(open: &OpenGuard, old: &Tuple, new: &Tuple) {
    let is_changed = |attno: i16| !old.has_same_bytes(new, attno);
    let columns = &open.guard.columns;
    match columns.revoke_on.iter().find(|attno| is_changed(**attno)) {
        Some(attno) => {
            let name = to_server(&open.users.column_name(*attno));
            stamp_row(open, new, Reason::Column(name.to_bytes()));
        }
        // As from one value to another for which accounts are active.
        None if is_changed(columns.status.attno()) => {}
        None => stamp_row(open, new, Reason::Changed),
    }
}

fn id_of<'row>(open: &OpenGuard, row: &'row Tuple) -> Option<UserId<'row>> {
    let column = open.guard.columns.id;
    row.user_id(column.attno, column.id_type)
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
