//! SQL: puts back what was changed behind the guards' back, and stamps who was disabled meanwhile.

use super::attach::{self, Request};
use super::store;
use super::watch;
use crate::cache::guard_cache::{
    self, GuardRef, attached_rows, check_names, check_writable, lock_guards,
};
use crate::catalog::guard::{self, GuardRow};
use crate::catalog::location;
use crate::catalog::privileges::{as_tables_owner, check_ownership};
use crate::catalog::related;
use crate::catalog::store_failure;
use crate::error::GuardError;
use crate::pg::datum::RegClass;
use crate::pg::relation::{Lock, Relation};
use crate::pg::report::OrRaise;
use crate::stamp::stored_sessions;
use pgrx::prelude::*;

/// Re-arms a guard, or all, and stamps the accounts that were disabled while they were not armed.
#[pg_extern(sql = false)]
fn reconcile(users: Option<RegClass>) -> i64 {
    check_writable("reconcile()").or_raise();
    let rows = attached_rows();
    let Some(RegClass(relid)) = users else {
        // One that cannot be repaired does not keep the others from it.
        let repaired = rows.iter().map(|row| reconcile_guard(row).map_err(GuardError::warn));
        return repaired.filter_map(Result::ok).sum();
    };
    let relations = guard_cache::relations();
    let row = rows.iter().find(|row| location::locate(row, &relations) == Some(relid));
    let row = row.ok_or_else(|| guard_cache::why_not_guarded(relid)).or_raise();
    reconcile_guard(row).or_raise()
}

fn reconcile_guard(row: &GuardRow) -> Result<i64, GuardError> {
    let relations = guard_cache::relations();
    let relid = location::locate(row, &relations).ok_or_else(|| guard::table_gone(row))?;
    // Nobody waits for, or holds, a lock on a table that is not theirs.
    let table = Relation::open(relid, Lock::Read).ok_or_else(|| guard::table_gone(row))?;
    check_ownership(&table)?;
    let name = table.name();
    drop(table);
    lock_guards();
    check_names(&guard_cache::open(GuardRef::Table(relid), Lock::Read)?)?;
    let stamped = attach::put_in_place(relid, Some(row), &Request::default())?;
    for watched in related::rows_of(&row.name) {
        if let Err(error) = watch::repair(&watched, &name) {
            error.warn();
        }
    }
    for store_row in guard_cache::stores().iter().filter(|store| store.guard == row.name) {
        if let Some(failed_at) = store_failure::first(store_row) {
            as_tables_owner(|| store_failure::forget(store_row));
            stored_sessions::note_raised_since(&row.name, failed_at);
            // add_store may have failed to end theirs, who were stamped before.
            stored_sessions::note_disabled(&row.name);
        }
        store::follow_renames(store_row);
    }
    Ok(stamped)
}
