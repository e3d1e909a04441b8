//! Fresh keyed reads of a table: what is committed now, and what this transaction itself did.
//!
//! A catalog snapshot of a table that has no system cache is a new one each time, in every isolation level, in
//! parallel workers and on a standby, and needs no transaction id; `systable_beginscan` reads by it. Both are the
//! same from PostgreSQL 13 to 18.

use crate::planted::{self, Fault};
use crate::user_id::{IdType, UserId};
use pgrx::IntoDatum;
use pgrx::pg_sys::{self, Datum, Oid};
use std::ffi::c_int;
use std::marker::PhantomData;

/// A table that is held open, under a lock that ends with it.
pub struct OpenTable {
    relation: pg_sys::Relation,
    lock: pg_sys::LOCKMODE,
}

impl OpenTable {
    /// Waits for the lock and opens the table, unless it is gone.
    pub fn try_open(relid: Oid, lock: u32) -> Option<OpenTable> {
        let lock = lock as pg_sys::LOCKMODE;
        // SAFETY: any OID may be asked for; NULL comes back for one that is no relation.
        let relation = unsafe { pg_sys::try_relation_open(relid, lock) };
        (!relation.is_null()).then(|| OpenTable { relation, lock })
    }

    /// The relation cache's entry, valid as long as this value.
    pub fn relation(&self) -> &pg_sys::RelationData {
        // SAFETY: an open relation's cache entry stays where it is.
        unsafe { &*self.relation }
    }

    /// The table's OID.
    pub fn oid(&self) -> Oid {
        self.relation().rd_id
    }

    /// The raw pointer, for PostgreSQL's own functions.
    pub fn as_ptr(&self) -> pg_sys::Relation {
        self.relation
    }

    /// The description of column `attno`, if the table has one of that number, dropped or not.
    pub fn column(&self, attno: i16) -> Option<&pg_sys::FormData_pg_attribute> {
        let index = usize::try_from(attno).ok()?.checked_sub(1)?;
        // SAFETY: an open relation has a row type.
        let row_type = unsafe { pgrx::PgTupleDesc::from_pg_unchecked(self.relation().rd_att) };
        if index >= row_type.len() {
            return None;
        }
        row_type.get(index).map(|column| {
            let column: *const pg_sys::FormData_pg_attribute = column;
            // SAFETY: the description belongs to the open relation, not to the wrapper.
            unsafe { &*column }
        })
    }

    /// Ends the use, but keeps the lock until the transaction ends.
    pub fn close_but_keep_lock(mut self) {
        self.lock = pg_sys::NoLock as pg_sys::LOCKMODE;
    }

    /// Calls `visit` with each row that the keys match now; with an index, by the index.
    pub fn scan(
        &self,
        index: Option<Oid>,
        keys: &mut [pg_sys::ScanKeyData],
        visit: impl FnMut(Row),
    ) {
        self.scan_at(&Snapshot::fresh(self), index, keys, visit);
    }

    /// The same with the rows of an earlier moment.
    pub fn scan_at(
        &self,
        Snapshot(snapshot): &Snapshot,
        index: Option<Oid>,
        keys: &mut [pg_sys::ScanKeyData],
        mut visit: impl FnMut(Row),
    ) {
        // SAFETY: the relation is open, the keys name its columns, the index, if any, is one of its own,
        // and the snapshot is registered.
        let scan = unsafe {
            pg_sys::systable_beginscan(
                self.relation,
                index.unwrap_or(pg_sys::InvalidOid),
                index.is_some(),
                *snapshot,
                keys.len() as c_int,
                keys.as_mut_ptr(),
            )
        };
        loop {
            // SAFETY: the scan has begun and not ended.
            let tuple = unsafe { pg_sys::systable_getnext(scan) };
            if tuple.is_null() {
                break;
            }
            visit(Row { tuple, row_type: self.relation().rd_att, table: PhantomData });
        }
        // SAFETY: the scan has begun and not ended; a scan that an error cuts short is cleaned up
        // by the resource owner.
        unsafe { pg_sys::systable_endscan(scan) };
    }
}

/// What is committed at one moment, and what this transaction itself has done until then.
pub struct Snapshot(pg_sys::Snapshot);

impl Snapshot {
    /// Of now. The table is one that has no system cache: of such a one PostgreSQL takes a new snapshot each time.
    pub fn fresh(table: &OpenTable) -> Snapshot {
        if planted::has(Fault::CallersSnapshot) {
            // SAFETY: a function that is called from SQL has one.
            let callers = unsafe { pg_sys::GetActiveSnapshot() };
            // SAFETY: the active snapshot is valid.
            return Snapshot(unsafe { pg_sys::RegisterSnapshot(callers) });
        }
        // SAFETY: legal wherever a query may run, in parallel mode and on a standby, too.
        let latest = unsafe { pg_sys::GetCatalogSnapshot(table.oid()) };
        // SAFETY: taken just now.
        Snapshot(unsafe { pg_sys::RegisterSnapshot(latest) })
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // While an error unwinds, the transaction's abort takes care of it.
        if !std::thread::panicking() {
            // SAFETY: registered when it was made.
            unsafe { pg_sys::UnregisterSnapshot(self.0) };
        }
    }
}

impl Drop for OpenTable {
    fn drop(&mut self) {
        // While an error unwinds, the transaction's abort closes what is open.
        if !std::thread::panicking() {
            // What was written, or whose rows were locked, stays locked until the transaction ends, as
            // any statement would leave it: REINDEX CONCURRENTLY waits for those who hold such a lock.
            let is_read_only = self.lock == pg_sys::AccessShareLock as pg_sys::LOCKMODE;
            let released = if is_read_only { self.lock } else { pg_sys::NoLock as pg_sys::LOCKMODE };
            // SAFETY: opened with this lock, or the lock is to stay.
            unsafe { pg_sys::relation_close(self.relation, released) };
        }
    }
}

/// A row of an open table, valid until the scan goes on.
pub struct Row<'scan> {
    tuple: pg_sys::HeapTuple,
    row_type: pg_sys::TupleDesc,
    table: PhantomData<&'scan OpenTable>,
}

impl<'scan> Row<'scan> {
    /// A row that a trigger was called with.
    ///
    /// # Safety
    /// The tuple is not NULL, is of the table's row type, and outlives the row.
    pub unsafe fn of_trigger(tuple: pg_sys::HeapTuple, table: &'scan pg_sys::RelationData) -> Self {
        Row { tuple, row_type: table.rd_att, table: PhantomData }
    }

    /// Where the row lies in its table.
    pub fn place(&self) -> pg_sys::ItemPointerData {
        // SAFETY: the tuple is valid as long as the row.
        unsafe { (*self.tuple).t_self }
    }

    /// The value of column `attno`, or `None` for NULL.
    pub fn get(&self, attno: i16) -> Option<Datum> {
        let mut is_null = false;
        // SAFETY: the tuple is of this row type, and the column is one of it.
        let datum =
            unsafe { pg_sys::heap_getattr(self.tuple, attno.into(), self.row_type, &mut is_null) };
        (!is_null).then_some(datum)
    }

    /// The same of a column that an older catalog does not have.
    pub fn get_if_there(&self, attno: i16) -> Option<Datum> {
        // SAFETY: an open relation has a row type.
        let columns = unsafe { (*self.row_type).natts };
        (i32::from(attno) <= columns).then(|| self.get(attno)).flatten()
    }

    /// The value of column `attno`, which is a boolean, or `None` for NULL.
    pub fn get_bool(&self, attno: i16) -> Option<bool> {
        self.get(attno).map(|datum| datum.value() as u8 != 0)
    }

    /// The bytes of a column's value, out of line or compressed as it may be stored.
    pub fn image(&self, column: &pg_sys::FormData_pg_attribute) -> Option<Vec<u8>> {
        let datum = self.get(column.attnum)?;
        if column.attbyval {
            return Some(datum.value().to_ne_bytes().to_vec());
        }
        let bytes = match usize::try_from(column.attlen) {
            // SAFETY: a value of fixed length is passed as a pointer to that many bytes.
            Ok(length) => unsafe { std::slice::from_raw_parts(datum.cast_mut_ptr(), length) },
            // SAFETY: all other types that a column can have are stored like a text.
            Err(_) => unsafe { crate::arg::text_bytes(datum) },
        };
        Some(bytes.to_vec())
    }

    /// The id in column `attno`, which is of type `id_type`.
    pub fn id(&self, attno: i16, id_type: IdType) -> Option<UserId<'_>> {
        let datum = self.get(attno)?;
        Some(match id_type {
            IdType::Int2 => UserId::Int(i64::from(datum.value() as i16)),
            IdType::Int4 => UserId::Int(i64::from(datum.value() as i32)),
            IdType::Int8 => UserId::Int(datum.value() as i64),
            IdType::Uuid => {
                // SAFETY: a uuid is passed as a pointer to its sixteen bytes.
                UserId::Uuid(unsafe { *datum.cast_mut_ptr::<[u8; 16]>() })
            }
            IdType::Text => {
                // SAFETY: the column is a text or varchar, and the tuple outlives the borrow.
                UserId::Text(unsafe { crate::arg::text_bytes(datum) }.into())
            }
        })
    }
}

/// The condition that column `attno` equals `value`.
///
/// `equals` is the equality function of the column's type, and `collation` that of the index, or
/// else of the column.
pub fn key(attno: i16, equals: u32, collation: Oid, value: Datum) -> pg_sys::ScanKeyData {
    let mut key = pg_sys::ScanKeyData::default();
    // SAFETY: fills the key, and looks up the function, which is one of PostgreSQL's own.
    unsafe {
        pg_sys::ScanKeyEntryInitialize(
            &raw mut key,
            0,
            attno,
            pg_sys::BTEqualStrategyNumber as pg_sys::StrategyNumber,
            pg_sys::InvalidOid,
            collation,
            Oid::from(equals),
            value,
        );
    }
    key
}

/// The condition that column `attno` is NULL, for a scan by an index.
pub fn null_key(attno: i16) -> pg_sys::ScanKeyData {
    pg_sys::ScanKeyData {
        sk_flags: (pg_sys::SK_ISNULL | pg_sys::SK_SEARCHNULL) as c_int,
        sk_attno: attno,
        ..Default::default()
    }
}

/// The condition that column `attno`, of type `id_type`, holds this id.
pub fn id_key(attno: i16, id_type: IdType, collation: Oid, id: &UserId) -> pg_sys::ScanKeyData {
    let equals = match id_type {
        IdType::Int2 => pg_sys::F_INT2EQ,
        IdType::Int4 => pg_sys::F_INT4EQ,
        IdType::Int8 => pg_sys::F_INT8EQ,
        IdType::Uuid => pg_sys::F_UUID_EQ,
        IdType::Text => pg_sys::F_TEXTEQ,
    };
    let value = match id {
        UserId::Int(int) => Datum::from(*int),
        UserId::Uuid(uuid) => bytes_datum(pgrx::Uuid::from_bytes(*uuid)),
        UserId::Text(text) => text_datum(text),
    };
    key(attno, equals, collation, value)
}

/// A `text` datum of these bytes, in the current memory context.
pub fn text_datum(bytes: &[u8]) -> Datum {
    bytes_datum(bytes)
}

fn bytes_datum(value: impl IntoDatum) -> Datum {
    value.into_datum().unwrap_or(Datum::null())
}
