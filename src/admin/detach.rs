//! SQL: takes a guard off a table.

use super::attach::{Request, requested_row};
use super::inherit;
use super::trigger_ddl::{check_not_in_use, disarm_partition, drop_triggers, renamed_meanwhile};
use super::watch;
use crate::cache::guard_cache::{
    self, GuardRef, check_writable, lock_guards, not_guarded_error, null_table,
};
use crate::cache::stamped;
use crate::catalog::guard::{self, GuardRow};
use crate::catalog::privileges::{as_tables_owner, check_ownership};
use crate::catalog::triggers;
use crate::catalog::{hints, location, partitions, related};
use crate::error::GuardError;
use crate::pg::datum::{RegClass, Value};
use crate::pg::relation::{Lock, Relation};
use crate::pg::report::OrRaise;
use crate::pg::spi::run_once;
use crate::stamp::backfill;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

/// Takes the triggers off a table. Its epochs, options and watches stay for the next
/// attach, unless they are to be forgotten.
#[pg_extern(sql = false)]
fn detach(users: Option<RegClass>, forget: Option<bool>) {
    check_writable("detach()").or_raise();
    let relid = users.map(|users| users.0).ok_or_else(null_table).or_raise();
    let relations = guard_cache::relations();
    let stamp = relations.stamp;
    let table = open_own(relid, Lock::Read).or_raise();
    // Every statement of every backend would wait for the lock on a catalog.
    if table.is_system_catalog() {
        not_guarded_error(&table.name(), hints::list_guards()).raise();
    }
    drop(table);
    lock_guards();
    let table = open_own(relid, Lock::Exclusive).or_raise();
    let old_triggers = triggers::names_of(&table, stamp);
    if !old_triggers.is_empty() {
        check_not_in_use(&table).or_raise();
    }
    // In the order in which PostgreSQL locks them.
    for partition in partitions::below(relid) {
        let partition = Relation::open(partition, Lock::Exclusive);
        partition.map_or(Ok(()), |partition| check_not_in_use(&partition)).or_raise();
    }
    let forget = forget.unwrap_or(false);
    let row = inherit::guard_of(&table, &relations).or_raise();
    let is_attached = row.as_ref().is_some_and(|row| !row.is_detached);
    if !is_attached && old_triggers.is_empty() && !(forget && row.is_some()) {
        not_guarded_error(&table.name(), hints::list_guards()).raise();
    }
    // What was renamed is known by its new name from now on, unless another table has the old one:
    // the guard may be on its way there.
    let renamed = row
        .as_ref()
        .filter(|row| row.table == table.name() || location::name_taken_by(&row.table).is_none())
        .map(|row| requested_row(&table, Some(row), &Request::default()));
    let was_default = row.as_ref().is_some_and(|row| row.is_default && !row.is_detached);
    // Not by what the triggers say: their owner may have made them, and name another's guard.
    let name = row.map(|row| row.name);
    if let Some(name) = &name {
        for watch in related::rows_of(name) {
            watch::take_off(&watch, forget).or_raise();
        }
    }
    let table_name = table.name();
    drop(table);
    if let Ok(open) = guard_cache::open(GuardRef::Table(relid), Lock::Read)
        && !forget
    {
        as_tables_owner(|| backfill::stamp_ended_by_the_clock(&open));
    }
    as_tables_owner(|| {
        drop_triggers(&table_name, &old_triggers);
        partitions::leaves(relid).into_iter().for_each(|relid| disarm_partition(relid, stamp));
        let name = [name.as_deref().map_or(Value::Null, Value::Utf8)];
        if forget {
            stamped::forget_all();
            run_once("DELETE FROM session_guard.epoch WHERE guard = $1", &name);
            run_once("DELETE FROM session_guard.guard_epoch WHERE guard = $1", &name);
            run_once("DELETE FROM session_guard.guard WHERE name = $1", &name);
            run_once("DELETE FROM session_guard.unwatched WHERE guard = $1", &name);
            run_once("DELETE FROM session_guard.trigger_state WHERE guard = $1", &name);
            run_once("DELETE FROM session_guard.store WHERE guard = $1", &name);
            run_once("DELETE FROM session_guard.store_failure WHERE guard = $1", &name);
        } else {
            if let Some(renamed) = &renamed {
                write_names(renamed);
            }
            run_once(
                "UPDATE session_guard.guard SET detached_at = pg_catalog.clock_timestamp()
                 WHERE name = $1 AND detached_at IS NULL",
                &name,
            );
        }
    });
    // Triggers are dropped by name, and a schema can be renamed under any lock on the table.
    let table = open_own(relid, Lock::Read).or_raise();
    if !triggers::names_of(&table, stamp).is_empty() {
        renamed_meanwhile(&table).raise();
    }
    if was_default && !guard_cache::attached_rows().is_empty() {
        pgrx::notice!("calls that name no table are refused until there is a default guard again");
    }
}

fn write_names(row: &GuardRow) {
    run_once(
        "UPDATE session_guard.guard SET schema_name = $2, table_name = $3, table_owner = $4,
             id_column = $5, active_column = $6, revoke_on = $7
         WHERE name = $1",
        &[
            Value::Utf8(&row.name),
            Value::Name(&row.table.schema),
            Value::Name(&row.table.name),
            Value::Name(&row.table_owner),
            Value::Name(&row.id_column),
            Value::Name(&row.active_column),
            Value::Names(&row.revoke_on),
        ],
    );
}

fn open_own(relid: Oid, lock: Lock) -> Result<Relation, GuardError> {
    let table = guard::open_named(relid, lock)?;
    check_ownership(&table)?;
    Ok(table)
}
