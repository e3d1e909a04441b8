//! SQL: has changes of a related table, such as roles or memberships of groups, end the sessions of
//! the user that the row names.

use super::grants::grant_trigger_functions;
use super::inherit::first_free;
use super::trigger_ddl::{
    check_names_are_free, check_not_in_use, create_triggers, drop_triggers, renamed_meanwhile,
    when_clause,
};
use crate::cache::guard_cache::{self, GuardRef, check_writable, lock_guards, null_table};
use crate::catalog::guard;
use crate::catalog::privileges::{as_tables_owner, check_ownership, check_update};
use crate::catalog::related::{self, WatchRow, stamp_related};
use crate::catalog::triggers::{self, RELATED_TRIGGERS};
use crate::catalog::unwatched::{self, TriggerState};
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::datum::{Name, RegClass, Value};
use crate::pg::names::RelationName;
use crate::pg::relation::{Lock, Relation};
use crate::pg::report::OrRaise;
use crate::pg::roles::recorded_name;
use crate::pg::spi::run_once;
use pgrx::Array;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

/// Watches a related table: each INSERT and DELETE, and an UPDATE of the column that names the
/// user, or of one of the columns.
#[pg_extern(sql = false)]
fn watch(
    related: Option<RegClass>,
    user_id_column: Option<Name>,
    columns: Option<Array<Name>>,
    users: Option<RegClass>,
) {
    check_writable("watch()").or_raise();
    let related = related.map(|related| related.0).ok_or_else(null_table).or_raise();
    let users = GuardRef::of(users.map(|users| users.0));
    let open = guard_cache::open(users, Lock::Read).or_raise();
    check_update(&open.users).or_raise();
    let (guard, users) = (open.guard.name.to_string(), open.users.name());
    let is_users_table = open.guard.relid == related;
    drop(open);
    let table = open_own(related, Lock::Read).or_raise();
    if is_users_table {
        let message = format!("table {} is the users table itself", table.shown_name());
        let hint = Hint::advice(format!(
            "To have a change of its columns end sessions, name them in revoke_on, for example: \
             SELECT session_guard.attach({}, revoke_on => '{{password}}');",
            table.name().literal()
        ));
        GuardError::new(ErrorKind::UnsupportedTable, message, hint).raise();
    }
    lock_guards();
    let rows = related::read_rows();
    let known = rows.iter().find(|known| known.locate() == Some(related)).or_else(|| {
        // A table that was made again, or restored as another role's.
        let name = table.name();
        rows.iter().find(|known| known.table == name)
    });
    let elsewhere = known.and_then(|known| known.locate()).filter(|relid| *relid != related);
    let elsewhere = elsewhere.and_then(|relid| Relation::open(relid, Lock::Read));
    if let (Some(known), Some(other)) = (known, elsewhere) {
        known.name_taken(&other, &users).raise();
    }
    // What ends sessions of another guard does not cease to without a word.
    let is_there = |guard: &String| guard_cache::all_rows().iter().any(|row| row.name == *guard);
    let is_watched = |known: &&WatchRow| {
        known.guard != guard && known.locate() == Some(related) && is_there(&known.guard)
    };
    if let Some(other) = known.filter(is_watched) {
        belongs_to_another(&table.name(), other).raise();
    }
    let row = WatchRow {
        guard,
        name: known.map_or_else(|| new_name(&table, &rows), |known| known.name.clone()),
        table: table.name(),
        table_owner: recorded_name(table.owner()),
        user_id_column: user_id_column.map(|name| name.0).unwrap_or_default(),
        columns: columns.map(|names| guard::column_names(&names).or_raise()),
    };
    drop(table);
    if let Some(known) = known {
        note_if_unwatched(related, known).or_raise();
    }
    put_in_place(related, &row).or_raise();
    let has_old_row =
        |known: &&WatchRow| known.table != row.table && related::read_rows().contains(known);
    if let Some(known) = known.filter(has_old_row) {
        delete_row(known);
    }
    // Where two tables have exchanged their names, its row was the other's.
    let is_displaced = |other: &&WatchRow| other.table == row.table && Some(*other) != known;
    if let Some(displaced) = rows.iter().find(is_displaced) {
        repair(displaced, &users).or_raise();
    }
}

fn belongs_to_another(table: &RelationName, row: &WatchRow) -> GuardError {
    let message = format!("table {} is watched for the guard {} already", table.shown(), row.guard);
    let statement = format!("SELECT session_guard.unwatch({});", table.literal());
    let hint = Hint::run("To have it end no sessions of that guard any more, run", statement);
    GuardError::new(ErrorKind::AttachedOtherwise, message, hint)
}

/// The name of a new watch: the table's, with a number if another has that.
fn new_name(table: &Relation, rows: &[WatchRow]) -> String {
    first_free(&table.name().plain(), |name| rows.iter().any(|row| row.name == *name))
}

/// Watches a related table no more.
#[pg_extern(sql = false)]
fn unwatch(related: Option<RegClass>) {
    check_writable("unwatch()").or_raise();
    let related = related.map(|related| related.0).ok_or_else(null_table).or_raise();
    let table = guard::open_named(related, Lock::Read).or_raise();
    check_ownership(&table).or_raise();
    let name = table.name();
    let is_of_table =
        |row: &WatchRow| row.locate().map_or(row.table == name, |relid| relid == related);
    let rows: Vec<WatchRow> = related::read_rows().into_iter().filter(is_of_table).collect();
    let are_moved: Vec<bool> = rows.iter().map(|row| row.is_name_taken(&table)).collect();
    let has_triggers = !triggers::names_of(&table, stamp_related()).is_empty();
    drop(table);
    if rows.is_empty() && !has_triggers {
        WatchRow::not_watched(&name).raise();
    }
    lock_guards();
    drop_from(related).or_raise();
    for (row, is_moved) in rows.into_iter().zip(are_moved) {
        if is_moved {
            let reason = format!("another table than {} had its name", name.plain());
            as_tables_owner(|| unwatched::note(&row.guard, &reason));
        }
        delete_row(&row);
    }
}

/// Puts the row and the triggers in place, whatever is there of them.
pub fn put_in_place(related: Oid, row: &WatchRow) -> Result<(), GuardError> {
    row.comparisons(&open_own(related, Lock::Read)?)?;
    lock_guards();
    let table = open_own(related, Lock::Exclusive)?;
    let (_, comparisons) = row.comparisons(&table)?;
    let function = stamp_related();
    check_names_are_free(&table, &RELATED_TRIGGERS, function)?;
    check_not_in_use(&table)?;
    let old_triggers = triggers::names_of(&table, function);
    let when = when_clause(&table, &comparisons);
    let owner = table.owner();
    // It may have been renamed while this waited for the lock.
    let name = table.name();
    drop(table);
    if name != row.table {
        return Err(renamed_meanwhile(&open_own(related, Lock::Read)?));
    }
    as_tables_owner(|| {
        drop_triggers(&name, &old_triggers);
        check_triggers(related, function, 0)?;
        write_row(row);
        grant_trigger_functions(owner);
        create_triggers(&name, false, &RELATED_TRIGGERS, "stamp_related", &row.arguments(), &when);
        check_triggers(related, function, RELATED_TRIGGERS.len())?;
        TriggerState::of_related(row.arguments(), related, function).record();
        Ok(())
    })
}

/// Triggers are made and dropped by the table's name, and a schema can be renamed under any lock on
/// the table: whether they are on the table that was checked.
fn check_triggers(related: Oid, function: Oid, expected: usize) -> Result<(), GuardError> {
    let table = open_own(related, Lock::Read)?;
    match triggers::names_of(&table, function).len() == expected {
        true => Ok(()),
        false => Err(renamed_meanwhile(&table)),
    }
}

/// Takes the triggers of a watch off; its row stays for the next attach, by the names that table
/// and columns have now, unless it is to be forgotten.
pub fn take_off(row: &WatchRow, forget: bool) -> Result<(), GuardError> {
    // Only its triggers give the right to lock the table: the row alone may name somebody else's.
    let related = row.locate();
    let table = related.and_then(|related| Relation::open(related, Lock::Read));
    let has_triggers = table.as_ref().is_some_and(|table| row.has_triggers_on(table));
    drop(table);
    let lock = if has_triggers { Lock::Exclusive } else { Lock::Read };
    let table = related.and_then(|related| Relation::open(related, lock));
    // Without its triggers, only the row says which table it is, unless another has taken the name:
    // the watch may be on its way there.
    let renamed = table.as_ref().filter(|table| !row.is_name_taken(table));
    let renamed = renamed.map(|table| row.renamed(table));
    drop(table);
    related.filter(|_| has_triggers).map_or(Ok(()), drop_from)?;
    match renamed {
        _ if forget => delete_row(row),
        Some(renamed) if renamed != *row => {
            if renamed.table != row.table {
                delete_row(row);
            }
            write_row(&renamed);
        }
        _ => {}
    }
    Ok(())
}

/// Puts the triggers of a watch back, by the names that table and columns have now, and notes that
/// changes may have gone unstamped if any was missing.
pub fn repair(row: &WatchRow, users: &RelationName) -> Result<(), GuardError> {
    let Some(related) = row.locate() else { return Ok(()) };
    let Some(table) = Relation::open(related, Lock::Read) else { return Ok(()) };
    if row.is_name_taken(&table) {
        return Err(row.name_taken(&table, users));
    }
    let renamed = row.renamed(&table);
    drop(table);
    let was_complete = note_if_unwatched(related, row)?;
    if was_complete && renamed == *row {
        return Ok(());
    }
    put_in_place(related, &renamed)?;
    if renamed.table != row.table && related::read_rows().contains(row) {
        delete_row(row);
    }
    Ok(())
}

/// Notes that changes may have gone unstamped if a trigger of the watch is missing, or was; returns
/// whether none is.
fn note_if_unwatched(related: Oid, row: &WatchRow) -> Result<bool, GuardError> {
    let Some(table) = Relation::open(related, Lock::Read) else { return Ok(true) };
    let renamed = row.renamed(&table);
    // Without the column that named the user, nothing was stamped.
    let comparisons = renamed.comparisons(&table).map(|(_, comparisons)| comparisons);
    let function = stamp_related();
    let is_in_place = comparisons.is_ok_and(|comparisons| {
        triggers::problems(&table, &RELATED_TRIGGERS, function, &row.arguments(), &comparisons)
            .is_empty()
    });
    let is_complete =
        is_in_place && !TriggerState::of_related(row.arguments(), related, function).has_changed();
    if !is_complete {
        let reason = format!("the triggers of {} were not all in place", renamed.table.plain());
        as_tables_owner(|| unwatched::note(&row.guard, &reason));
    }
    Ok(is_complete)
}

fn open_own(related: Oid, lock: Lock) -> Result<Relation, GuardError> {
    let table = guard::open_named(related, lock)?;
    guard::check_related_kind(&table)?;
    check_ownership(&table)?;
    Ok(table)
}

fn drop_from(related: Oid) -> Result<(), GuardError> {
    let Some(table) = Relation::open(related, Lock::Exclusive) else { return Ok(()) };
    let old_triggers = triggers::names_of(&table, stamp_related());
    if !old_triggers.is_empty() {
        check_not_in_use(&table)?;
        let name = table.name();
        drop(table);
        as_tables_owner(|| drop_triggers(&name, &old_triggers));
        let table = Relation::open(related, Lock::Read);
        if let Some(table) =
            table.filter(|table| !triggers::names_of(table, stamp_related()).is_empty())
        {
            return Err(renamed_meanwhile(&table));
        }
    }
    Ok(())
}

fn delete_row(row: &WatchRow) {
    as_tables_owner(|| {
        run_once(
            "DELETE FROM session_guard.watch WHERE schema_name = $1 AND table_name = $2",
            &[Value::Name(&row.table.schema), Value::Name(&row.table.name)],
        )
    });
}

fn write_row(row: &WatchRow) {
    as_tables_owner(|| {
        run_once(
            "INSERT INTO session_guard.watch
                 (guard, name, schema_name, table_name, table_owner, user_id_column, columns)
             VALUES ($1, $2, $3, $4, $5, $6, $7::pg_catalog.name[])
             ON CONFLICT (schema_name, table_name) DO UPDATE SET guard = EXCLUDED.guard,
                 name = EXCLUDED.name, table_owner = EXCLUDED.table_owner,
                 user_id_column = EXCLUDED.user_id_column, columns = EXCLUDED.columns",
            &[
                Value::Utf8(&row.guard),
                Value::Utf8(&row.name),
                Value::Name(&row.table.schema),
                Value::Name(&row.table.name),
                Value::Name(&row.table_owner),
                Value::Name(&row.user_id_column),
                row.columns.as_deref().map_or(Value::Null, Value::Names),
            ],
        )
    });
}
