//! What is written into the extension's own tables by hand: mostly a dump that is restored.

use super::merge::merge;
use crate::cache::guard_cache;
use crate::catalog::epochs::{guard_epoch, token_epoch, user_epochs};
use crate::catalog::privileges::as_tables_owner;
use crate::catalog::store::{NOBODY, StoreRow, TABLE_OWNER};
use crate::pg::datum::Value;
use crate::pg::relation::{Lock, Relation};
use crate::pg::roles::{current_role, has_rights_of, recorded_name, role_named};
use crate::pg::server::is_copy;
use crate::pg::transaction::with_pinned_search_path;
use crate::pg::trigger_call::{ReturnedRow, TriggerCall};
use crate::pg::tuple::Tuple;

/// A dump that is restored beside rows of the same key raises them, too: COPY would be refused
/// whole at the first. Another transaction may have written such a row and not committed yet: where
/// several jobs restore, the triggers of one job's accounts stamp while another restores epochs.
pub fn write(call: &TriggerCall) -> ReturnedRow {
    let table = call.extension_table().unwrap_or_default();
    if table == "store" {
        return store_by_hand(call);
    }
    let Some(row) = call.new_row().filter(|_| call.old().is_none()) else {
        if table == "watch" {
            call.invalidate_relation();
        }
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
        true => with_pinned_search_path(|| as_tables_owner(|| merge(call, &table, &row))),
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
