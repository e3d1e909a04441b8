//! Rows of the extension's own tables, written without a statement: for one row of many, what the executor sets
//! up costs more than the row.

use crate::scan::OpenTable;
use pgrx::pg_sys::{self, Datum, Oid};

/// A table as the extension made it.
pub struct Plain {
    /// Its only index.
    pub index: Oid,
    /// How many triggers it has, none of which does anything that whoever writes here does not do as well.
    pub triggers: i32,
}

/// Writes a row, if the table is still as the extension made it; false: it takes a statement. The row is seen
/// from the next command on. The caller knows that no other transaction writes the same key.
pub fn insert(table: &OpenTable, plain: &Plain, values: &[Option<Datum>]) -> bool {
    if !is_plain(table, plain, values.len()) {
        return false;
    }
    // SAFETY: a variable of this backend.
    if unsafe { pg_sys::XactReadOnly } {
        // SAFETY: raises as an INSERT would.
        unsafe { pg_sys::PreventCommandIfReadOnly(c"INSERT".as_ptr()) };
    }
    let mut nulls: Vec<bool> = values.iter().map(Option::is_none).collect();
    let mut values: Vec<Datum> =
        values.iter().map(|value| value.unwrap_or(Datum::null())).collect();
    // SAFETY: there is a value, of the column's type, for each column.
    let tuple = unsafe {
        pg_sys::heap_form_tuple(table.relation().rd_att, values.as_mut_ptr(), nulls.as_mut_ptr())
    };
    // SAFETY: the tuple is of the table's row type, and the index has neither expressions nor a condition.
    unsafe { pg_sys::CatalogTupleInsert(table.as_ptr(), tuple) };
    // SAFETY: formed above.
    unsafe { pg_sys::heap_freetuple(tuple) };
    true
}

/// Whether nothing takes part in an INSERT but the table and its index: no trigger, constraint, policy or index
/// that somebody has added.
fn is_plain(table: &OpenTable, plain: &Plain, columns: usize) -> bool {
    let relation = table.relation();
    // SAFETY: an open relation has a row type.
    let row_type = unsafe { &*relation.rd_att };
    // SAFETY: an open relation has its row of pg_class.
    let class = unsafe { &*relation.rd_rel };
    // SAFETY: the description of the triggers, or NULL.
    let triggers = unsafe { relation.trigdesc.as_ref() }.map_or(0, |triggers| triggers.numtriggers);
    // SAFETY: the row type's constraints, or NULL.
    let constraints = unsafe { row_type.constr.as_ref() };
    row_type.natts as usize == columns
        && triggers == plain.triggers
        && relation.rd_rules.is_null()
        && !class.relrowsecurity
        && constraints.is_none_or(|all| all.num_check == 0 && !all.has_generated_stored)
        && is_only_index(table, plain.index)
}

fn is_only_index(table: &OpenTable, index: Oid) -> bool {
    // SAFETY: the relation is open; the list is ours.
    let list = unsafe { pg_sys::RelationGetIndexList(table.as_ptr()) };
    // SAFETY: a list of OIDs.
    let indexes = unsafe { pgrx::PgList::<Oid>::from_pg(list) };
    indexes.len() == 1 && indexes.get_oid(0) == Some(index)
}
