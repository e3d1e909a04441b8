//! SQL: tables beside the users table whose rows belong to users, too: roles, memberships of groups. What changes
//! there ends the sessions of the user that the row names.

use crate::advice;
use crate::arg::{Name, RegClass};
use crate::arm::{
    check_names_are_free, check_not_in_use, create_triggers_that_call, drop_triggers, text_differs,
};
use crate::armed::{compared_columns, stamping_triggers, why_not_in_place};
use crate::error::{GuardError, Mistake, OrRaise};
use crate::guard;
use crate::lookup::{self, RowLock};
use crate::name::{column_name, column_number, qualified_name, to_string};
use crate::owner::{self, as_owner, check_ownership};
use crate::question::null_table;
use crate::registry::{self, OpenGuard, function_of_ours, relation_of_ours};
use crate::scan::{OpenTable, Row, key};
use crate::stamp::{Reason, stamp_guard, stamp_user};
use crate::statement::{relation, run_once};
use crate::trigger::called_by_trigger;
use crate::user_id::UserId;
use crate::verdict::Account;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use pgrx::spi::{quote_identifier, quote_literal};
use pgrx::{Array, default};
use std::cell::RefCell;
use std::collections::HashSet;

const UPDATE_TRIGGER: &str = "session_guard_related_update";
const TRIGGERS: [(&str, u32); 4] = [
    (UPDATE_TRIGGER, pg_sys::TRIGGER_TYPE_UPDATE | pg_sys::TRIGGER_TYPE_ROW),
    ("session_guard_related_insert", pg_sys::TRIGGER_TYPE_INSERT | pg_sys::TRIGGER_TYPE_ROW),
    ("session_guard_related_delete", pg_sys::TRIGGER_TYPE_DELETE | pg_sys::TRIGGER_TYPE_ROW),
    ("session_guard_related_truncate", pg_sys::TRIGGER_TYPE_TRUNCATE),
];

thread_local! {
    /// Tables whose triggers this backend has found broken, to warn of each once.
    static WARNED: RefCell<HashSet<Oid>> = RefCell::default();
}

/// A row of `session_guard.watch`: what `watch` was told.
#[derive(Clone, Debug)]
pub struct WatchRow {
    /// The table whose rows belong to users.
    pub related: Oid,
    /// Its qualified name when it was watched last.
    pub table_name: String,
    /// The users table.
    pub guard: Oid,
    /// The column that names the user.
    pub user_id_column: String,
    /// The columns whose change counts, besides that; `None`: all.
    pub columns: Option<Vec<String>>,
}

/// Has a change of a related table end sessions: each INSERT and DELETE, and an UPDATE of the column that names
/// the user, or of one of the columns.
#[pg_extern(schema = "session_guard", volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn watch(
    related: Option<RegClass>,
    user_id_column: Option<Name>,
    columns: default!(Option<Array<Name>>, "NULL"),
    users: default!(Option<RegClass>, "NULL"),
) {
    registry::check_writable("watch()");
    let related = related.map(|related| related.0).ok_or_else(null_table).or_raise();
    let open = registry::open(users.map(|users| users.0), pg_sys::AccessShareLock).or_raise();
    owner::check_update(&open.users).or_raise();
    let guard = open.guard.relid;
    drop(open);
    let columns = columns.map(|names| names.iter().flatten().map(|name| name.0).collect());
    let row = WatchRow {
        related,
        table_name: qualified_name(related),
        guard,
        user_id_column: user_id_column.map(|name| name.0).unwrap_or_default(),
        columns,
    };
    put_in_place(&row).or_raise();
}

/// Lets changes of a related table end no sessions any more.
#[pg_extern(schema = "session_guard", volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn unwatch(related: Option<RegClass>) {
    registry::check_writable("unwatch()");
    let related = related.map(|related| related.0).ok_or_else(null_table).or_raise();
    match OpenTable::try_open(related, pg_sys::AccessShareLock) {
        Some(table) => check_ownership(&table).or_raise(),
        None => owner::check_administration().or_raise(),
    }
    if !take_off(related) {
        let message = format!("table {} is not watched", qualified_name(related));
        let hint = "SELECT related FROM session_guard.watch;";
        GuardError::new(Mistake::NotWatched, message, hint).raise();
    }
}

/// Puts the row and the triggers in place, whatever is there of them.
pub fn put_in_place(row: &WatchRow) -> Result<(), GuardError> {
    let open = |lock| OpenTable::try_open(row.related, lock).ok_or_else(|| related_gone(row));
    let check = |table: &OpenTable| {
        guard::check_kind(table)?;
        check_ownership(table)?;
        guard::id_column(table, find(table, &row.user_id_column)?)?;
        for column in row.columns.iter().flatten() {
            find(table, column)?;
        }
        Ok(())
    };
    check(&open(pg_sys::AccessShareLock)?)?;
    registry::lock_guards();
    let table = open(pg_sys::AccessExclusiveLock)?;
    check(&table)?;
    let function = stamper();
    check_names_are_free(&table, &TRIGGERS, function)?;
    check_not_in_use(&table)?;
    let triggers = stamping_triggers(&table, function);
    table.close_but_keep_lock();
    as_owner(|| {
        drop_triggers(row.related, &triggers);
        // A table that was dropped and made again under this name is this one.
        run_once(
            "DELETE FROM session_guard.watch WHERE related = $1 OR table_name = $2",
            &[relation(row.related), row.table_name.as_str().into()],
        );
        run_once(
            "INSERT INTO session_guard.watch (related, table_name, guard, user_id_column, columns)
             VALUES ($1, $2, $3, $4, $5)",
            &[
                relation(row.related),
                row.table_name.as_str().into(),
                relation(row.guard),
                row.user_id_column.as_str().into(),
                row.columns.clone().map_or(DatumWithOid::null::<Vec<String>>(), Into::into),
            ],
        );
        create_triggers_that_call(row.related, &TRIGGERS, "stamp_related", &watched_changes(row));
    });
    Ok(())
}

/// Takes row and triggers off, and tells whether there was a row.
pub fn take_off(related: Oid) -> bool {
    registry::lock_guards();
    let table = OpenTable::try_open(related, pg_sys::AccessExclusiveLock);
    let triggers = table.as_ref().map(|table| stamping_triggers(table, stamper()));
    table.into_iter().for_each(OpenTable::close_but_keep_lock);
    as_owner(|| {
        drop_triggers(related, &triggers.unwrap_or_default());
        run_once("DELETE FROM session_guard.watch WHERE related = $1", &[relation(related)]) > 0
    })
}

/// What watches for this guard.
pub fn rows_of(guard: Oid) -> Vec<WatchRow> {
    read_rows(None).into_iter().filter(|row| row.guard == guard).collect()
}

/// Whether the triggers are in place, whatever the names of table and columns.
pub fn is_watching(row: &WatchRow) -> bool {
    OpenTable::try_open(row.related, pg_sys::AccessShareLock)
        .is_some_and(|table| why_not_in_place(&table, &TRIGGERS, stamper()).is_none())
}

/// What is wrong with a watch; `None` if nothing is.
pub fn ailment(row: &WatchRow) -> Option<String> {
    let Some(table) = OpenTable::try_open(row.related, pg_sys::AccessShareLock) else {
        return Some(format!("watched table {} is gone", row.table_name));
    };
    why_not_in_place(&table, &TRIGGERS, stamper()).or_else(|| {
        let compared = compared_columns(&table, UPDATE_TRIGGER, stamper()).unwrap_or_default();
        let named = column_number(&table, &row.user_id_column);
        (compared.first().copied() != named)
            .then(|| format!("column {} is not the one that is watched", row.user_id_column))
    })
}

/// Puts the triggers back, by the names that table and columns have now.
pub fn mend(row: &WatchRow) -> Result<(), GuardError> {
    let mut row = row.clone();
    if let Some(table) = OpenTable::try_open(row.related, pg_sys::AccessShareLock) {
        row.table_name = qualified_name(row.related);
        let compared = compared_columns(&table, UPDATE_TRIGGER, stamper()).unwrap_or_default();
        let names = compared.iter().map(|attno| column_name(&table, *attno));
        let columns = row.columns.iter_mut().flatten();
        for (known_as, name) in std::iter::once(&mut row.user_id_column).chain(columns).zip(names) {
            *known_as = name;
        }
    }
    put_in_place(&row)
}

/// `watch` as it was called.
pub fn watch_statement(row: &WatchRow) -> String {
    let columns = row.columns.as_ref().map_or(String::new(), |columns| {
        let columns: Vec<String> = columns.iter().map(quote_literal).collect();
        format!(", ARRAY[{}]::name[]", columns.join(", "))
    });
    format!(
        "SELECT session_guard.watch({}, {}{columns}, users => {});",
        quote_literal(&row.table_name),
        quote_literal(&row.user_id_column),
        quote_literal(qualified_name(row.guard)),
    )
}

fn watched_changes(row: &WatchRow) -> String {
    let user_id = quote_identifier(&row.user_id_column);
    let further: Vec<String> = match &row.columns {
        None => vec![text_differs("*")],
        Some(columns) => columns.iter().map(|name| text_differs(&quote_identifier(name))).collect(),
    };
    let own = format!("OLD.{user_id} IS DISTINCT FROM NEW.{user_id}");
    [vec![own], further].concat().join(" OR ")
}

fn find(table: &OpenTable, column: &str) -> Result<i16, GuardError> {
    column_number(table, column).ok_or_else(|| {
        let name = qualified_name(table.oid());
        GuardError::new(
            Mistake::NoSuchColumn,
            format!("table {name} has no column {}", quote_identifier(column)),
            advice::look_at_columns(&name),
        )
    })
}

fn related_gone(row: &WatchRow) -> GuardError {
    let message = format!("watched table {} is gone", row.table_name);
    let hint = format!("SELECT session_guard.unwatch({});", row.related.to_u32());
    GuardError::new(Mistake::TableGone, message, hint)
}

fn stamper() -> Oid {
    function_of_ours(c"stamp_related").unwrap_or(pg_sys::InvalidOid)
}

/// Called by the triggers of a related table. As with the users table, a watch that is broken must not stop
/// the app's own writes.
#[pg_extern(sql = r#"
CREATE FUNCTION session_guard.stamp_related() RETURNS trigger
    LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
"#)]
fn stamp_related(fcinfo: pg_sys::FunctionCallInfo) {
    let trigger = called_by_trigger(fcinfo);
    let data = trigger.trigger_data();
    // SAFETY: a trigger is called with its relation open.
    let relation = unsafe { &*data.tg_relation };
    let warn = |error: GuardError| {
        if WARNED.with_borrow_mut(|warned| warned.insert(relation.rd_id)) {
            error.warn();
        }
    };
    let Some(row) = read_rows(Some(relation.rd_id)).into_iter().next() else {
        let message = format!("table {} is not watched", qualified_name(relation.rd_id));
        let unwatch = format!(
            "SELECT session_guard.unwatch({});",
            quote_literal(qualified_name(relation.rd_id))
        );
        return warn(GuardError::new(Mistake::NotWatched, message, unwatch));
    };
    let open = match registry::open(Some(row.guard), pg_sys::RowShareLock) {
        Ok(open) => open,
        Err(error) => return warn(error),
    };
    // SAFETY: a trigger is called with its relation's name.
    let name = unsafe { pg_sys::get_rel_name(relation.rd_id) };
    let reason = Reason::Related(to_string(name).unwrap_or_default());
    if data.tg_event & pg_sys::TRIGGER_EVENT_ROW == 0 {
        stamp_guard(&open.store, open.guard.relid, &reason);
        return;
    }
    let Some(table) = OpenTable::try_open(relation.rd_id, pg_sys::AccessShareLock) else { return };
    // The trigger follows a column that is renamed.
    let compared = compared_columns(&table, UPDATE_TRIGGER, stamper());
    let watched = compared.and_then(|columns| columns.first().copied());
    let Some(column) = watched.or_else(|| column_number(&table, &row.user_id_column)) else {
        return warn(find(&table, &row.user_id_column).expect_err("it was just not found"));
    };
    let user_id = match guard::id_column(&table, column) {
        Ok(column) => column,
        Err(error) => return warn(error),
    };
    // SAFETY: a row-level trigger is called with a tuple of its relation.
    let old = unsafe { Row::of_trigger(data.tg_trigtuple, relation) };
    let mut users = vec![old.id(column, user_id.id_type)];
    if data.tg_event & pg_sys::TRIGGER_EVENT_OPMASK == pg_sys::TRIGGER_EVENT_UPDATE {
        // SAFETY: on UPDATE there is a second tuple, the new one.
        let new = unsafe { Row::of_trigger(data.tg_newtuple, relation) };
        users.push(new.id(column, user_id.id_type).map(UserId::into_owned));
        users.dedup();
    }
    for user in users.into_iter().flatten() {
        stamp_if_there(&open, user, &reason);
    }
}

/// An id that no account has needs no epoch.
fn stamp_if_there(open: &OpenGuard, user: UserId, reason: &Reason) {
    let Some(id) = user.in_column(open.guard.id.id_type) else { return };
    if lookup::lock_account(open, &id, RowLock::Change) != Account::Unknown {
        stamp_user(open, &id.into_key(), reason);
    }
}

/// The rows of `session_guard.watch`, by the numbers of the columns in `sql/tables.sql`; of one table, or all.
fn read_rows(related: Option<Oid>) -> Vec<WatchRow> {
    let mut rows = Vec::new();
    let Some(table) = relation_of_ours(c"watch")
        .and_then(|relid| OpenTable::try_open(relid, pg_sys::AccessShareLock))
    else {
        return rows;
    };
    let mut keys: Vec<pg_sys::ScanKeyData> = related
        .map(|relid| key(1, pg_sys::F_OIDEQ, pg_sys::InvalidOid, relid.into()))
        .into_iter()
        .collect();
    table.scan(related.and_then(|_| relation_of_ours(c"watch_pkey")), &mut keys, |row| {
        rows.push(WatchRow {
            related: registry::relation(&row, 1),
            table_name: registry::text(&row, 2),
            guard: registry::relation(&row, 3),
            user_id_column: registry::name(&row, 4),
            columns: row.get(5).map(|_| registry::names(&row, 5)),
        });
    });
    rows
}
