//! Rows of the extension's own tables that come beside rows of the same key, from a publisher or
//! from a dump: the greater epoch counts, and what is there stays.

use super::raise::{write_guard, write_token, write_user};
use crate::cache::guard_cache::{self, GuardRef};
use crate::catalog::epochs::lock_account;
use crate::catalog::guard::AccountTables;
use crate::catalog::{location, related};
use crate::core::user_id::UserId;
use crate::pg::datum::Value;
use crate::pg::names;
use crate::pg::relation::Lock;
use crate::pg::trigger_call::{ReturnedRow, TriggerCall};
use crate::pg::tuple::{RowLock, Tuple, Wait};

/// What is to be written of a row of this table that comes: nothing, where it has raised the epoch
/// that is there, or where its key is taken.
pub fn merge(call: &TriggerCall, table: &str, row: &Tuple) -> ReturnedRow {
    match table {
        "epoch" => raise_user(row, [1, 2, 3, 4, 5], row.bool(6) == Some(true)),
        "guard_epoch" => {
            write_guard(&[text(row, 1), time(row, 2), text(row, 3), time(row, 4)]);
        }
        "token_epoch" => {
            write_token(&[text(row, 1), text(row, 2), time(row, 3), text(row, 4), time(row, 5)]);
        }
        "guard" => return insert_guard(call, row),
        "watch" if !is_watched(row) => return call.unchanged(),
        _ => {}
    }
    ReturnedRow::NONE
}

/// Whether a watch on the table that this row names is there.
fn is_watched(row: &Tuple) -> bool {
    let (schema, table) = (row.name(3), row.name(4));
    let watches = related::read_rows();
    watches.iter().any(|watch| watch.table.schema == schema && watch.table.name == table)
}

fn text<'a>(row: &'a Tuple, attno: i16) -> Value<'a> {
    row.text(attno).map_or(Value::Null, Value::Text)
}

fn time(row: &Tuple, attno: i16) -> Value<'static> {
    row.time(attno).map_or(Value::Null, Value::Time)
}

/// Raises a user's epoch: the columns are those of the guard, the key, the epoch, the reason and
/// the time.
fn raise_user(row: &Tuple, columns: [i16; 5], is_related: bool) {
    let [guard, user_id, epoch, reason, at] = columns;
    // Who stamps here holds the account's row, and nobody writes the same key meanwhile.
    let name = row.string(guard);
    let guard_row = guard_cache::attached_rows().into_iter().find(|row| row.name == name);
    let relid =
        guard_row.and_then(|guard_row| location::locate(&guard_row, &guard_cache::relations()));
    if let Some(relid) = relid
        && let Ok(open) = guard_cache::open(GuardRef::Table(relid), Lock::Rows)
        && let Some(key) = row.text(user_id)
        && let Some(id) = UserId::Text(key.into()).in_column(open.guard.columns.id.id_type)
    {
        let tables = AccountTables::of_id(&open, &id, Lock::Rows);
        lock_account(&tables, &id, RowLock::NoKeyUpdate, Wait::Yes);
    }
    write_user(&[
        text(row, guard),
        text(row, user_id),
        time(row, epoch),
        text(row, reason),
        time(row, at),
        Value::Bool(is_related),
    ]);
}

/// An event says that an epoch was raised, also where the row that has it is not here, or is
/// another one here, so that its change is not replicated.
pub fn raise_by_event(row: &Tuple) {
    let [at, guard, user_id, scope, subject, epoch, reason] = [2, 3, 4, 5, 6, 7, 8];
    if !row.is_null(guard) && !row.is_null(user_id) {
        raise_user(row, [guard, user_id, epoch, reason, at], false);
    } else if !row.is_null(guard) {
        write_guard(&[text(row, guard), time(row, epoch), text(row, reason), time(row, at)]);
    } else {
        write_token(&[
            text(row, scope),
            text(row, subject),
            time(row, epoch),
            text(row, reason),
            time(row, at),
        ]);
    }
}

/// A guard that is not here yet, which is the default if no other is.
fn insert_guard(call: &TriggerCall, row: &Tuple) -> ReturnedRow {
    const NAME: i16 = 1;
    const IS_DEFAULT: i16 = 10;
    let rows = guard_cache::all_rows();
    let name = row.text(NAME).map(names::from_server);
    if rows.iter().any(|row| Some(&row.name) == name.as_ref()) {
        return ReturnedRow::NONE;
    }
    match rows.iter().any(|row| row.is_default) {
        true => call.with_column(IS_DEFAULT, Value::Bool(false)),
        false => call.unchanged(),
    }
}
