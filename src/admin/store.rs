//! SQL: has stamps end the sessions that an app keeps in a table of its own.

use crate::cache::guard_cache::{self, GuardRef, check_writable, lock_guards, null_table};
use crate::catalog::guard::{self, OpenGuard};
use crate::catalog::privileges::{as_tables_owner, check_ownership};
use crate::catalog::store::{self, OpenStore, StoreRow};
use crate::catalog::{hints, store_failure, unique_index};
use crate::core::user_id::IdType;
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::datum::{Name, RegClass, Value};
use crate::pg::names::shown_identifier;
use crate::pg::relation::{Lock, Relation};
use crate::pg::report::OrRaise;
use crate::pg::roles::recorded_name;
use crate::pg::spi::run_once;
use crate::stamp::stored_sessions;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

/// Has stamps of a guard end sessions in this table, too.
#[pg_extern(sql = false)]
fn add_store(
    store: Option<RegClass>,
    user_id_column: Option<Name>,
    revoked_at_column: Option<Name>,
    users: Option<RegClass>,
) {
    check_writable("add_store()").or_raise();
    let store = store.map(|store| store.0).ok_or_else(null_table).or_raise();
    let users = GuardRef::of(users.map(|users| users.0));
    check_ownership(&guard_cache::open(users, Lock::Read).or_raise().users).or_raise();
    lock_guards();
    // Who is disabling an account now does not know of the store, and is waited for.
    let open = guard_cache::open(users, Lock::KeepWritersAway).or_raise();
    let table = open_own(store).or_raise();
    store::check_kind(&table).or_raise();
    if open.guard.relid == store {
        let message = format!("table {} is the users table itself", table.shown_name());
        let hint = Hint::advice("Name the table in which the app keeps its sessions.");
        GuardError::new(ErrorKind::UnsupportedTable, message, hint).raise();
    }
    let row = StoreRow {
        guard: open.guard.name.to_string(),
        table: table.name(),
        table_owner: recorded_name(table.owner()),
        user_id_column: user_id_column.map(|name| name.0).unwrap_or_default(),
        revoked_at_column: revoked_at_column.map(|name| name.0),
    };
    let columns = row.columns(&table).or_raise();
    check_ids(&table, &row, &open, &columns).or_raise();
    if columns.has_row_for_each_user() {
        check_rows_can_be_inserted(&table, &row).or_raise();
    }
    let stores = guard_cache::stores();
    let known = stores.iter().find(|known| known.locate() == Some(store));
    if let Some(other) = known.filter(|known| known.guard != row.guard) {
        belongs_to_another(other).raise();
    }
    let failed_at = known.and_then(store_failure::first);
    as_tables_owner(|| {
        if let Some(known) = known {
            forget(known);
        }
        write(&row);
        row.record_consent(&table);
    });
    stored_sessions::note_disabled(&row.guard);
    if let Some(failed_at) = failed_at {
        stored_sessions::note_raised_since(&row.guard, failed_at);
    }
}

/// Has stamps end no more sessions in this table.
#[pg_extern(sql = false)]
fn remove_store(store: Option<RegClass>) {
    check_writable("remove_store()").or_raise();
    let relid = store.map(|store| store.0).ok_or_else(null_table).or_raise();
    let name = open_own(relid).or_raise().name();
    lock_guards();
    // Also one that was renamed while another table has its name.
    let rows = guard_cache::stores();
    let row = rows.iter().find(|row| row.locate() == Some(relid));
    let row = row.or_else(|| rows.iter().find(|row| row.table == name));
    let Some(row) = row else { store::not_a_store(&name).raise() };
    as_tables_owner(|| forget(row));
}

/// Has the row say the names that table and columns have now.
pub fn follow_renames(row: &StoreRow) {
    let Ok(OpenStore { row: renamed, relid, .. }) = row.open() else {
        return;
    };
    // The table that was checked: another may have taken its name since.
    if let Some(table) = Relation::open(relid, Lock::Read) {
        as_tables_owner(|| {
            if renamed != *row {
                forget(row);
                write(&renamed);
            }
            renamed.record_consent(&table);
        });
    }
}

fn belongs_to_another(row: &StoreRow) -> GuardError {
    let message = format!(
        "table {} is a session store of the guard {} already",
        row.table.shown(),
        row.guard
    );
    let statement = format!("SELECT session_guard.remove_store({});", row.table.literal());
    let hint = Hint::run("To have that guard end no sessions in it any more, run", statement);
    GuardError::new(ErrorKind::AttachedOtherwise, message, hint)
}

fn forget(row: &StoreRow) {
    row.forget_consent();
    run_once(
        "DELETE FROM session_guard.store WHERE schema_name = $1 AND table_name = $2",
        &[Value::Name(&row.table.schema), Value::Name(&row.table.name)],
    );
    store_failure::forget(row);
}

fn open_own(relid: Oid) -> Result<Relation, GuardError> {
    let table = Relation::open(relid, Lock::Read)
        .ok_or_else(|| guard::no_such_table(relid, hints::attach_some_table()))?;
    check_ownership(&table)?;
    Ok(table)
}

/// Ids of another type would never be found. A text can be any id.
fn check_ids(
    table: &Relation,
    row: &StoreRow,
    open: &OpenGuard,
    store: &OpenStore,
) -> Result<(), GuardError> {
    let of_users = open.guard.columns.id.id_type;
    let is_uuid = |id_type| id_type == IdType::Uuid;
    let has_text = [of_users, store.id_type()].contains(&IdType::Text);
    if has_text || is_uuid(of_users) == is_uuid(store.id_type()) {
        return Ok(());
    }
    let message = format!(
        "column {} of table {} cannot hold the ids of table {}",
        shown_identifier(&row.user_id_column),
        table.shown_name(),
        open.users.shown_name()
    );
    let hint = hints::other_column(&table.name());
    Err(GuardError::new(ErrorKind::UnsupportedIdType, message, hint)
        .detail("One is a number, and the other a uuid."))
}

/// A user who has no row yet gets one, of the two columns alone.
fn check_rows_can_be_inserted(table: &Relation, row: &StoreRow) -> Result<(), GuardError> {
    let user_id = guard::id_column(table, &guard::column(table, &row.user_id_column)?)?;
    unique_index::check(table, user_id)?;
    let given = [Some(&row.user_id_column), row.revoked_at_column.as_ref()];
    if let Some(name) = given.into_iter().flatten().find(|name| table.generates(name)) {
        let message = format!(
            "column {} of table {} is generated, so that no row can be made with a value for it",
            shown_identifier(name),
            table.shown_name()
        );
        let hint = hints::other_column(&table.name());
        return Err(GuardError::new(ErrorKind::UnsupportedTable, message, hint));
    }
    let Some(column) = table.first_column_to_be_given(|name| given.contains(&Some(name))) else {
        return Ok(());
    };
    let column = shown_identifier(&column);
    let message = format!(
        "column {column} of table {} has no default, and must not be NULL",
        table.shown_name()
    );
    let hint = Hint::advice(format!(
        "Users who have no row yet get one. Give the column a default: \
         ALTER TABLE {} ALTER COLUMN {column} SET DEFAULT ...;",
        table.shown_name()
    ));
    Err(GuardError::new(ErrorKind::UnsupportedTable, message, hint))
}

fn write(row: &StoreRow) {
    run_once(
        "INSERT INTO session_guard.store AS s
             (guard, schema_name, table_name, table_owner, user_id_column, revoked_at_column)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (schema_name, table_name) DO UPDATE
         SET guard = EXCLUDED.guard, table_owner = EXCLUDED.table_owner,
             user_id_column = EXCLUDED.user_id_column,
             revoked_at_column = EXCLUDED.revoked_at_column",
        &[
            Value::Utf8(&row.guard),
            Value::Name(&row.table.schema),
            Value::Name(&row.table.name),
            Value::Name(&row.table_owner),
            Value::Name(&row.user_id_column),
            row.revoked_at_column.as_deref().map_or(Value::Null, Value::Name),
        ],
    );
}
