//! SQL: what logical replication brings for the extension's own tables, where a publication has
//! them, as one of all tables does.
//!
//! The subscriber's triggers stamp the accounts that come with it, too, so that it has many a row
//! already. PostgreSQL would stop the subscription at the second (manual, section "Conflicts"), and
//! an earlier epoch could take the place of a later one. A subscriber only ever raises its own
//! epochs because of what is replicated: it keeps, forgets and prunes for itself.

use super::audit::next_id;
use super::raise::{write_guard, write_token, write_user};
use super::users_trigger::not_a_trigger;
use crate::cache::guard_cache::{self, GuardRef};
use crate::catalog::epochs::{guard_epoch, lock_account, token_epoch, user_epochs};
use crate::catalog::guard::AccountTables;
use crate::catalog::privileges::as_tables_owner;
use crate::catalog::store::{StoreRow, TABLE_OWNER};
use crate::catalog::{location, related};
use crate::core::user_id::UserId;
use crate::pg::call_args::CALLED_BY_CALL_INFO;
use crate::pg::datum::Value;
use crate::pg::names;
use crate::pg::relation::{Lock, Relation};
use crate::pg::roles::{current_role, has_rights_of, recorded_name, role_named};
use crate::pg::server::{is_copy, is_logical_worker, is_replica_role};
use crate::pg::spi;
use crate::pg::transaction::with_pinned_search_path;
use crate::pg::trigger_call::{ReturnedRow, TriggerCall};
use crate::pg::tuple::{RowLock, Tuple, Wait};
use pgrx::PgTriggerOperation;
use pgrx::prelude::*;

/// The owner's name in a row of a session store that was replicated: no role has it.
const NOBODY: &str = "";

/// Called before something is done to a row of the extension's own tables. Gives back the row to
/// write.
fn apply(call: &TriggerCall) -> ReturnedRow {
    // What this server itself writes is as it should be.
    if spi::is_running() {
        return call.unchanged();
    }
    if !is_replica_role() {
        return insert_by_hand(call);
    }
    let Some(table) = call.extension_table() else { return call.unchanged() };
    let epoch_column = match table.as_str() {
        "epoch" | "token_epoch" => Some(3),
        "guard_epoch" => Some(2),
        "guard" | "watch" | "store" | "store_failure" | "unwatched" | "trigger_state"
        | "policy" | "timeline" | "event" => None,
        _ => return call.unchanged(),
    };
    match (call.operation(), call.old(), call.new_row()) {
        (Some(PgTriggerOperation::Update), Some(old), Some(new)) => {
            let rises = epoch_column.is_some_and(|epoch| new.time(epoch) > old.time(epoch));
            if rises { call.unchanged() } else { ReturnedRow::NONE }
        }
        (Some(PgTriggerOperation::Insert), _, Some(row)) => {
            with_pinned_search_path(|| as_tables_owner(|| insert(call, &table, &row)))
        }
        _ => ReturnedRow::NONE,
    }
}

/// A dump that is restored beside rows of the same key raises them, too: COPY would be refused
/// whole at the first. Another transaction may have written such a row and not committed yet: where
/// several jobs restore, the triggers of one job's accounts stamp while another restores epochs.
fn insert_by_hand(call: &TriggerCall) -> ReturnedRow {
    let table = call.extension_table().unwrap_or_default();
    if table == "store" {
        return store_by_hand(call);
    }
    let Some(row) = call.new_row().filter(|_| call.old().is_none()) else {
        return call.unchanged();
    };
    let raises = match table.as_str() {
        "epoch" | "guard_epoch" | "token_epoch" if is_copy() => {
            // COPY writes many keys, and transactions that stamp write them in another order. If
            // each waited for the other's rows, that would be a deadlock. So COPY waits for all
            // transactions that have stamped before it writes its first row.
            drop(Relation::open(call.relid(), Lock::KeepWritersAway));
            has_epoch(&table, &row)
        }
        "epoch" | "guard_epoch" | "token_epoch" | "guard" | "watch" => true,
        _ => false,
    };
    match raises {
        true => with_pinned_search_path(|| as_tables_owner(|| insert(call, &table, &row))),
        false => call.unchanged(),
    }
}

/// Whether the subject of this row has an epoch already.
fn has_epoch(table: &str, row: &Tuple) -> bool {
    let relations = guard_cache::relations();
    match table {
        "epoch" => {
            let own = user_epochs(&relations, &row.string(1), row.text(2).unwrap_or_default());
            own.greatest().is_some()
        }
        "guard_epoch" => guard_epoch(&relations, &row.string(1)).is_some(),
        _ => {
            let epoch = token_epoch(row.text(1).unwrap_or_default(), row.text(2));
            epoch.is_ok_and(|epoch| epoch.is_some())
        }
    }
}

/// The owner's name in a row of a session store is that of a role whose rights the writer has: the
/// owner of the extension may write any row, and a superuser may restore it. A row that is restored
/// beside the table has the consent of the table's owner.
fn store_by_hand(call: &TriggerCall) -> ReturnedRow {
    let Some(row) = call.new_row() else { return call.unchanged() };
    let writer = current_role();
    let mut row = StoreRow::of(&row);
    let may_say_so = |owner: &str| {
        owner == NOBODY || role_named(owner).is_some_and(|owner| has_rights_of(writer, owner))
    };
    let written = match may_say_so(&row.table_owner) {
        true => call.unchanged(),
        false => {
            row.table_owner = recorded_name(writer);
            call.with_column(TABLE_OWNER, Value::Name(&row.table_owner))
        }
    };
    if call.old().is_some() {
        return written;
    }
    if guard_cache::stores().iter().any(|store| store.table == row.table) {
        return ReturnedRow::NONE;
    }
    if let Some(table) = row.table_to_agree_on() {
        with_pinned_search_path(|| as_tables_owner(|| row.record_consent(&table)));
    }
    written
}

fn insert(call: &TriggerCall, table: &str, row: &Tuple) -> ReturnedRow {
    match table {
        "epoch" => {
            raise_user(row, [1, 2, 3, 4, 5], row.bool(6) == Some(true));
        }
        "guard_epoch" => {
            write_guard(&[text(row, 1), time(row, 2), text(row, 3), time(row, 4)]);
        }
        "token_epoch" => {
            write_token(&[text(row, 1), text(row, 2), time(row, 3), text(row, 4), time(row, 5)]);
        }
        "guard" => return insert_guard(call, row),
        "watch" => {
            let watches = related::read_rows();
            let is_there = watches
                .iter()
                .any(|watch| watch.table.schema == row.name(3) && watch.table.name == row.name(4));
            return if is_there { ReturnedRow::NONE } else { call.unchanged() };
        }
        "store" => {
            let table = StoreRow::of(row).table;
            let is_there = guard_cache::stores().iter().any(|store| store.table == table);
            // Nobody has said anything about roles and tables of this server.
            return match is_there {
                true => ReturnedRow::NONE,
                false => call.with_column(TABLE_OWNER, Value::Name(NOBODY)),
            };
        }
        "event" => {
            raise_by_event(row);
            return match is_logical_worker() {
                true => renumbered(call),
                false => call.unchanged(),
            };
        }
        // What another cluster's timelines, triggers and policies are says nothing of this one's.
        _ => {}
    }
    ReturnedRow::NONE
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

/// The event says that an epoch was raised, also where the row that has it is not here, or is
/// another one here, so that its change is not replicated.
fn raise_by_event(row: &Tuple) {
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

/// An event with a number of this server's: those of another can be the same, as after a standby
/// has become a subscriber.
fn renumbered(call: &TriggerCall) -> ReturnedRow {
    const ID: i16 = 1;
    match next_id() {
        Some(id) => call.with_column(ID, Value::Int8(id)),
        None => call.unchanged(),
    }
}

#[unsafe(no_mangle)]
#[pg_guard]
unsafe extern "C-unwind" fn apply_replicated_wrapper(
    fcinfo: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    // SAFETY: PostgreSQL calls with this.
    let Some(call) = (unsafe { TriggerCall::new(fcinfo) }) else { not_a_trigger().raise() };
    apply(&call).into_datum()
}

#[doc(hidden)]
#[unsafe(no_mangle)]
extern "C-unwind" fn pg_finfo_apply_replicated_wrapper() -> &'static pg_sys::Pg_finfo_record {
    &CALLED_BY_CALL_INFO
}
