//! Which guard a table takes up when it is attached, and its epochs where ids are written otherwise
//! now.

use crate::cache::guard_cache;
use crate::catalog::epochs::{self, EpochRow};
use crate::catalog::extension::ExtensionRelations;
use crate::catalog::guard::GuardRow;
use crate::catalog::privileges::is_extension_owner;
use crate::catalog::{hints, location, partitions};
use crate::core::user_id::{IdType, UserId, is_digest};
use crate::error::{ErrorKind, GuardError};
use crate::pg::datum::Value;
use crate::pg::names::to_server;
use crate::pg::relation::{Lock, Relation};
use crate::pg::roles::recorded_name;
use crate::pg::spi::run_once;

/// The guard that a table is on, was on before it was detached, or takes over from a table of its
/// name that is gone. That must have been the same owner's, or the extension's owner attaches: else
/// somebody could make a table of the name to get a guard's epochs and its place as the default.
pub fn guard_of(
    table: &Relation,
    relations: &ExtensionRelations,
) -> Result<Option<GuardRow>, GuardError> {
    let rows = guard_cache::all_rows();
    if let Some(row) = rows.iter().find(|row| location::locate(row, relations) == Some(table.oid()))
    {
        return Ok(Some(row.clone()));
    }
    let name = table.name();
    let owner = recorded_name(table.owner());
    let may_take = |row: &GuardRow| row.table_owner == owner || is_extension_owner();
    for row in rows.into_iter().filter(|row| row.table == name) {
        let elsewhere = location::locate(&row, relations).filter(|relid| *relid != table.oid());
        if let Some(other) = elsewhere.and_then(|relid| Relation::open(relid, Lock::Read)) {
            let (now, message) = (other.name(), "the guard of this name is on another table");
            return Err(GuardError::new(
                ErrorKind::TableReplaced,
                message,
                hints::move_guard(&now, &name),
            )
            .detail(format!("Table {} was renamed to {}.", name.shown(), now.shown())));
        }
        if may_take(&row) {
            return Ok(Some(row));
        }
    }
    // Its epochs are of ids that this table has.
    let of_partitions = guards_of_partitions(table);
    let only = if of_partitions.len() == 1 { of_partitions.first() } else { None };
    Ok(only.filter(|row| may_take(row)).cloned())
}

/// The guards that tables had before they became partitions of this one.
pub fn guards_of_partitions(table: &Relation) -> Vec<GuardRow> {
    let partitions = partitions::below(table.oid());
    let is_partition = |row: &GuardRow| {
        row.is_detached && row.table.find().is_some_and(|relid| partitions.contains(&relid))
    };
    guard_cache::all_rows().into_iter().filter(is_partition).collect()
}

/// The name of a new guard: the table's, with a number if another has that.
pub fn new_name(table: &Relation) -> String {
    let rows = guard_cache::all_rows();
    first_free(&table.name().plain(), |name| rows.iter().any(|row| row.name == *name))
}

/// The name, or with a number the first that is not taken.
pub fn first_free(name: &str, is_taken: impl Fn(&String) -> bool) -> String {
    let numbered = (2..).map(|number| format!("{name} ({number})"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    names.find(|name| !is_taken(name)).unwrap_or_default()
}

/// Epochs are kept by the id's text. Where the column's type has changed since, the same id may be
/// written otherwise (a UUID in capitals, an integer with a leading zero), and its epoch has to be
/// found by the new text.
pub fn rewrite_noncanonical_keys(relations: &ExtensionRelations, guard: &str, id_type: IdType) {
    let guard_in_server = to_server(guard);
    for (old, new) in noncanonical_keys(relations, guard, id_type) {
        run_once(
            "INSERT INTO session_guard.epoch AS e
                 (guard, user_id, epoch, reason, stamped_at, is_related)
             SELECT guard, $3, epoch, reason, stamped_at, is_related FROM session_guard.epoch
             WHERE guard = $1 AND user_id = $2
             ON CONFLICT (user_id, guard, is_related) DO UPDATE
             SET epoch = GREATEST(e.epoch, EXCLUDED.epoch)",
            &[Value::Text(guard_in_server.to_bytes()), Value::Text(&old), Value::Text(&new)],
        );
    }
}

/// Keys that a column of this type writes otherwise, each with how it does.
fn noncanonical_keys(
    relations: &ExtensionRelations,
    guard: &str,
    id_type: IdType,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut noncanonical = Vec::new();
    epochs::each_epoch(relations, guard, |EpochRow { key, .. }| {
        let id = UserId::Text(key.into()).in_column(id_type);
        if let Some(new) = id.map(UserId::into_key).filter(|new| **new != *key)
            && !is_digest(key)
        {
            noncanonical.push((key.to_vec(), new.into_owned()));
        }
    });
    noncanonical
}
