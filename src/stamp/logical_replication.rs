//! SQL: what logical replication brings for the extension's own tables, where a publication has
//! them, as one of all tables does.
//!
//! The subscriber's triggers stamp the accounts that come with it, too, so that it has many a row
//! already. PostgreSQL would stop the subscription at the second (manual, section "Conflicts"), and
//! an earlier epoch could take the place of a later one. A subscriber only ever raises its own
//! epochs because of what is replicated: it keeps, forgets and prunes for itself.

use super::audit::next_id;
use super::merge::{merge, raise_by_event};
use crate::cache::guard_cache;
use crate::catalog::privileges::as_tables_owner;
use crate::catalog::store::{NOBODY, StoreRow, TABLE_OWNER};
use crate::pg::datum::Value;
use crate::pg::server::is_logical_worker;
use crate::pg::transaction::with_pinned_search_path;
use crate::pg::trigger_call::{ReturnedRow, TriggerCall};
use crate::pg::tuple::Tuple;
use pgrx::PgTriggerOperation;

/// What is to be written of the row that a publisher has changed.
pub fn apply(call: &TriggerCall) -> ReturnedRow {
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

fn insert(call: &TriggerCall, table: &str, row: &Tuple) -> ReturnedRow {
    match table {
        "store" => insert_store(call, row),
        "event" => {
            raise_by_event(row);
            match is_logical_worker() {
                true => renumbered(call),
                false => call.unchanged(),
            }
        }
        // What another cluster's timelines, triggers and policies are says nothing of this one's.
        _ => merge(call, table, row),
    }
}

/// A session store that is not here yet. Nobody has said anything about roles and tables of this
/// server.
fn insert_store(call: &TriggerCall, row: &Tuple) -> ReturnedRow {
    let table = StoreRow::of(row).table;
    match guard_cache::stores().iter().any(|store| store.table == table) {
        true => ReturnedRow::NONE,
        false => call.with_column(TABLE_OWNER, Value::Name(NOBODY)),
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
