//! Rows of the extension's own tables, written without a statement: for one row of many, what the
//! executor sets up costs more than the row.
//!
//! Where the table is not as the extension made it, the caller falls back to a statement, in which
//! everything that somebody has added takes part.

use super::datum::Value;
use super::relation::{Lock, Relation, RelationKind};
use super::snapshot::with_active_snapshot;
use pgrx::pg_sys::{self, Datum, Oid};
use std::ffi::c_int;

/// A table as the extension made it.
#[derive(Clone, Copy, Debug)]
pub struct UnmodifiedTable {
    /// The functions that its triggers call, none of which does anything that the caller does not
    /// do as well.
    pub trigger_functions: [Oid; 2],
    /// How many triggers it has.
    pub triggers: i32,
    /// How many indexes it has.
    pub indexes: usize,
    /// How many of these are unique.
    pub unique_indexes: usize,
}

impl Relation {
    /// Writes a row; false: it takes a statement, because the table is not as the extension made
    /// it, or because another transaction writes a row of the same key. The row is seen from the
    /// next command on.
    ///
    /// The relation is open for writing.
    pub fn insert(&self, unmodified: UnmodifiedTable, row: &[Value]) -> bool {
        if !self.is_unmodified(unmodified, row) {
            return false;
        }
        let Some(indexes) = self.plain_indexes(unmodified) else { return false };
        // SAFETY: a variable of this backend.
        if unsafe { pg_sys::XactReadOnly } {
            // SAFETY: raises as an INSERT would.
            unsafe { pg_sys::PreventCommandIfReadOnly(c"INSERT".as_ptr()) };
        }
        let datums: Vec<Option<Datum>> = row.iter().map(|value| value.datum()).collect();
        let mut nulls: Vec<bool> = datums.iter().map(Option::is_none).collect();
        let mut datums: Vec<Datum> =
            datums.into_iter().map(|datum| datum.unwrap_or(Datum::null())).collect();
        // SAFETY: there is a value, of the column's type, for each column.
        let tuple = unsafe {
            pg_sys::heap_form_tuple(self.data().rd_att, datums.as_mut_ptr(), nulls.as_mut_ptr())
        };
        let is_written = with_active_snapshot(|| {
            // SAFETY: the tuple is of the table's row type, and the indexes are plain ones.
            unsafe { insert_tuple(self, tuple, &indexes, &datums, &nulls) }
        });
        // SAFETY: formed above.
        unsafe { pg_sys::heap_freetuple(tuple) };
        is_written
    }

    /// Whether nothing takes part in an INSERT but a heap and its indexes: no trigger, constraint,
    /// policy or column that somebody has added.
    fn is_unmodified(&self, unmodified: UnmodifiedTable, row: &[Value]) -> bool {
        let relation = self.data();
        // SAFETY: the description of the triggers, or NULL.
        let triggers =
            unsafe { relation.trigdesc.as_ref() }.map_or(0, |triggers| triggers.numtriggers);
        let is_own = |function| unmodified.trigger_functions.contains(&function);
        // SAFETY: an open relation has a row type.
        let row_type = unsafe { &*relation.rd_att };
        // SAFETY: the row type's constraints, or NULL.
        let constraints = unsafe { row_type.constr.as_ref() };
        let is_own_type = |(attno, value): (i16, &Value)| {
            self.attribute(attno).is_some_and(|column| {
                let is_null = matches!(value, Value::Null);
                column.atttypmod == -1
                    && !column.attisdropped
                    && (is_null || column.atttypid == value.type_oid())
                    && !(is_null && column.attnotnull)
            })
        };
        self.kind() == RelationKind::Heap
            && row_type.natts as usize == row.len()
            && triggers == unmodified.triggers
            && self.triggers().all(|trigger| is_own(trigger.function()))
            && relation.rd_rules.is_null()
            && !self.class().relrowsecurity
            && constraints.is_none_or(|all| all.num_check == 0 && !all.has_generated_stored)
            && (1..).zip(row).all(is_own_type)
    }

    /// The indexes, open for writing, if they are as many and have neither expressions nor a
    /// condition.
    fn plain_indexes(&self, unmodified: UnmodifiedTable) -> Option<Vec<Relation>> {
        let indexes = self.indexes();
        if indexes.len() != unmodified.indexes {
            return None;
        }
        let open = |oid| Relation::open_index(oid, Lock::Write).filter(is_plain);
        let indexes: Vec<Relation> = indexes.into_iter().map(open).collect::<Option<_>>()?;
        let unique = indexes.iter().filter(|index| is_unique(index)).count();
        (unique == unmodified.unique_indexes).then_some(indexes)
    }
}

fn is_unique(index: &Relation) -> bool {
    // SAFETY: an open index has its row of pg_index.
    unsafe { &*index.data().rd_index }.indisunique
}

fn is_plain(index: &Relation) -> bool {
    let relation = index.data();
    // SAFETY: an open index has its row of pg_index.
    let definition = unsafe { &*relation.rd_index };
    let is_absent = |attno: u32| {
        // SAFETY: an open index has its tuple of pg_index.
        unsafe {
            pg_sys::heap_attisnull(relation.rd_indextuple, attno as c_int, std::ptr::null_mut())
        }
    };
    index.class().relam == pg_sys::BTREE_AM_OID
        && definition.indisready
        && definition.indimmediate
        && !definition.indisexclusion
        && is_absent(pg_sys::Anum_pg_index_indpred)
        && is_absent(pg_sys::Anum_pg_index_indexprs)
}

/// Inserts as INSERT ... ON CONFLICT does: a row that turns out to have the key of another is taken
/// back, instead of an error (PostgreSQL source, `ExecInsert`).
///
/// # Safety
/// The tuple is of the table's row type, made of these values, and the indexes are plain ones.
unsafe fn insert_tuple(
    table: &Relation,
    tuple: pg_sys::HeapTuple,
    indexes: &[Relation],
    values: &[Datum],
    nulls: &[bool],
) -> bool {
    const SPECULATIVE_OFFSET: u16 = 0xfffe;
    let is_unique = indexes.iter().any(is_unique);
    // SAFETY: we are in a transaction that writes.
    let (xid, command) = (unsafe { pg_sys::GetCurrentTransactionId() }, unsafe {
        pg_sys::GetCurrentCommandId(true)
    });
    let mut options = 0;
    if is_unique {
        // SAFETY: released below; an error releases it with all locks.
        let token = unsafe { pg_sys::SpeculativeInsertionLockAcquire(xid) };
        // SAFETY: the tuple is ours.
        let header = unsafe { (*tuple).t_data };
        // SAFETY: a tuple has a header.
        let header = unsafe { &mut *header };
        header.t_ctid.ip_blkid.bi_hi = (token >> 16) as u16;
        header.t_ctid.ip_blkid.bi_lo = token as u16;
        header.t_ctid.ip_posid = SPECULATIVE_OFFSET;
        options = pg_sys::HEAP_INSERT_SPECULATIVE;
    }
    // SAFETY: the caller says so.
    unsafe {
        pg_sys::heap_insert(table.as_ptr(), tuple, command, options as _, std::ptr::null_mut());
    }
    // SAFETY: set by heap_insert.
    let mut tid = unsafe { (*tuple).t_self };
    // SAFETY: the caller says so.
    let is_alone = indexes
        .iter()
        .all(|index| unsafe { insert_into_index(table, index, &raw mut tid, values, nulls) });
    if is_unique {
        match is_alone {
            // SAFETY: the tuple was inserted speculatively above.
            true => unsafe { pg_sys::heap_finish_speculative(table.as_ptr(), &raw mut tid) },
            // SAFETY: as above.
            false => unsafe { pg_sys::heap_abort_speculative(table.as_ptr(), &raw mut tid) },
        }
        // SAFETY: acquired above.
        unsafe { pg_sys::SpeculativeInsertionLockRelease(xid) };
    }
    is_alone
}

/// # Safety
/// The index is a plain one of the table's, and the values are those of the tuple at `tid`.
unsafe fn insert_into_index(
    table: &Relation,
    index: &Relation,
    tid: pg_sys::ItemPointer,
    values: &[Datum],
    nulls: &[bool],
) -> bool {
    // SAFETY: an open index has its row of pg_index.
    let definition = unsafe { &*index.data().rd_index };
    let count = usize::try_from(definition.indnatts).unwrap_or(0);
    let columns = (0..count).map(|position| {
        // SAFETY: an index has as many key numbers as it counts; they are of columns, as it is
        // plain.
        let attno = unsafe { definition.indkey.values.as_slice(count) }[position];
        usize::try_from(attno - 1).unwrap_or(0)
    });
    let (mut keys, mut key_nulls): (Vec<Datum>, Vec<bool>) =
        columns.map(|column| (values[column], nulls[column])).unzip();
    let check = match definition.indisunique {
        true => pg_sys::IndexUniqueCheck::UNIQUE_CHECK_PARTIAL,
        false => pg_sys::IndexUniqueCheck::UNIQUE_CHECK_NO,
    };
    // What a B-tree does not look at, since the index is a plain one.
    let mut info = pg_sys::IndexInfo { type_: pg_sys::NodeTag::T_IndexInfo, ..Default::default() };
    // SAFETY: the caller says so.
    let is_alone = unsafe {
        pg_sys::index_insert(
            index.as_ptr(),
            keys.as_mut_ptr(),
            key_nulls.as_mut_ptr(),
            tid,
            table.as_ptr(),
            check,
            false,
            &raw mut info,
        )
    };
    is_alone || !definition.indisunique
}
