//! Which table a guard is on, without an OID in what is stored.
//!
//! The triggers of a table say by their own argument which guard they serve. They are looked for on
//! the table that has the recorded name, which nearly always has them, and else among all triggers
//! that call the function. A table without any of them is taken by its name alone if it is the
//! recorded owner's, and its owner's rights are the extension owner's anyway.

use super::extension::ExtensionRelations;
use super::guard::GuardRow;
use super::partitions;
use super::triggers::served_guard;
use super::unwatched::TriggerState;
use crate::pg::names::RelationName;
use crate::pg::relation::{FreeLocks, Lock, Relation, RelationKind};
use crate::pg::roles;
use crate::pg::triggers::relations_with_trigger_of;
use pgrx::pg_sys::Oid;

/// The table that the guard is on; `None` where it is gone.
pub fn locate(row: &GuardRow, relations: &ExtensionRelations) -> Option<Oid> {
    let by_name = row.table.find().filter(|relid| is_storage(*relid));
    let serves = |relid: &Oid| is_served(*relid, row, relations);
    by_name
        .filter(serves)
        .or_else(|| relations_with_trigger_of(relations.stamp).into_iter().find(serves))
        .or_else(|| by_name.filter(|relid| is_recorded_owners(row, *relid, relations)))
}

/// Locks what has to be opened to find and to read the guard's table; `None` where somebody is in
/// the way.
pub fn lock_without_waiting(row: &GuardRow, relations: &ExtensionRelations) -> Option<FreeLocks> {
    let mut locks = FreeLocks::default();
    let is_locked = match row.table.find() {
        Some(relid) if !locks.add_table(relid, Lock::Read) => false,
        Some(relid) if is_served(relid, row, relations) => {
            partitions::below(relid).into_iter().all(|relid| locks.add_table(relid, Lock::Read))
        }
        _ => relations_with_trigger_of(relations.stamp)
            .into_iter()
            .all(|relid| locks.add_table(relid, Lock::Read)),
    };
    is_locked.then_some(locks)
}

fn is_served(relid: Oid, row: &GuardRow, relations: &ExtensionRelations) -> bool {
    Relation::open(relid, Lock::Read).is_some_and(|table| serves(&table, row, relations))
}

/// Whether the triggers of a table serve this guard, with the consent of who recorded it: a role
/// that may call the triggers' function can make triggers on a table of its own that say so, too.
pub fn serves(table: &Relation, row: &GuardRow, relations: &ExtensionRelations) -> bool {
    if served_guard(table, relations.stamp).as_ref() != Some(&row.name) {
        return false;
    }
    let owner = table.owner();
    roles::recorded_name(owner) == row.table_owner
        || roles::has_rights_of(owner, relations.owner)
        || TriggerState::of_users(&row.name, table.oid(), relations.stamp).is_recorded()
}

/// A relation that holds rows: a view of the old name over the renamed table is none.
fn is_storage(relid: Oid) -> bool {
    Relation::open(relid, Lock::Read).is_some_and(|relation| relation.kind() != RelationKind::Other)
}

/// Whether a table that has the recorded name serves no guard, and is the recorded owner's.
fn is_recorded_owners(row: &GuardRow, relid: Oid, relations: &ExtensionRelations) -> bool {
    Relation::open(relid, Lock::Read).is_some_and(|table| {
        served_guard(&table, relations.stamp).is_none()
            && roles::recorded_name(table.owner()) == row.table_owner
            && roles::has_rights_of(relations.owner, table.owner())
    })
}

/// The table that has taken the recorded name of a guard whose table was renamed.
pub fn name_taken_by(name: &RelationName) -> Option<Oid> {
    name.find().filter(|relid| is_storage(*relid))
}
