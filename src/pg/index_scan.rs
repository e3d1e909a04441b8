//! Keyed reads: by an index that has the key where there is a usable one, else by the heap.
//!
//! `systable_beginscan` would leave the index aside where a client has set `ignore_system_indexes`,
//! and a scan of the heap by it knows no NULL in a key.

use super::compat;
use super::datum::Value;
use super::names;
use super::relation::{Lock, Relation, is_deterministic};
use super::snapshot::Snapshot;
use super::tuple::Tuple;
use crate::core::user_id::{IdType, UserId};
use pgrx::pg_sys::{self, Datum, Oid};
use std::ffi::c_int;

/// A condition on one column.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    column: i16,
    value: KeyValue<'a>,
}

#[derive(Clone, Copy)]
enum KeyValue<'a> {
    Text(&'a [u8]),
    Name(&'a std::ffi::CStr),
    Id(IdType, &'a UserId<'a>),
    Oid(Oid),
    Null,
}

impl<'a> Key<'a> {
    /// The column, a `text`, holds this text.
    pub fn text(column: i16, text: &'a [u8]) -> Key<'a> {
        Key { column, value: KeyValue::Text(text) }
    }

    /// The column, a `name`, holds this name.
    pub fn name(column: i16, name: &'a std::ffi::CStr) -> Key<'a> {
        Key { column, value: KeyValue::Name(name) }
    }

    /// The column, an `oid`, holds this OID.
    pub fn oid(column: i16, oid: Oid) -> Key<'a> {
        Key { column, value: KeyValue::Oid(oid) }
    }

    /// The column, of this type of ids, holds this id.
    ///
    /// # Panics
    /// If the id is not of that type: see `UserId::in_column`.
    pub fn id(column: i16, id_type: IdType, id: &'a UserId<'a>) -> Key<'a> {
        let fits = match id {
            UserId::Int(_) => matches!(id_type, IdType::Int2 | IdType::Int4 | IdType::Int8),
            UserId::Uuid(_) => id_type == IdType::Uuid,
            UserId::Text(_) => id_type == IdType::Text,
        };
        assert!(fits, "an id of another type than its column");
        Key { column, value: KeyValue::Id(id_type, id) }
    }

    /// The column is NULL.
    pub fn null(column: i16) -> Key<'a> {
        Key { column, value: KeyValue::Null }
    }

    /// The equality function of the column's type, and the operator family that its index must
    /// have.
    fn equality(&self, column_type: Oid) -> Option<(u32, &'static [Oid])> {
        const INTEGERS: &[Oid] = &[pg_sys::INTEGER_BTREE_FAM_OID];
        const TEXTS: &[Oid] = &[pg_sys::TEXT_BTREE_FAM_OID, pg_sys::TEXT_PATTERN_BTREE_FAM_OID];
        const UUIDS: &[Oid] = &[UUID_BTREE_FAM_OID];
        const OIDS: &[Oid] = &[pg_sys::OID_BTREE_FAM_OID];
        match (column_type, self.value) {
            (pg_sys::INT2OID, KeyValue::Id(IdType::Int2, _)) => Some((pg_sys::F_INT2EQ, INTEGERS)),
            (pg_sys::INT4OID, KeyValue::Id(IdType::Int4, _)) => Some((pg_sys::F_INT4EQ, INTEGERS)),
            (pg_sys::INT8OID, KeyValue::Id(IdType::Int8, _)) => Some((pg_sys::F_INT8EQ, INTEGERS)),
            (pg_sys::UUIDOID, KeyValue::Id(IdType::Uuid, _)) => Some((pg_sys::F_UUID_EQ, UUIDS)),
            (
                pg_sys::TEXTOID | pg_sys::VARCHAROID,
                KeyValue::Text(_) | KeyValue::Id(IdType::Text, _) | KeyValue::Null,
            ) => Some((pg_sys::F_TEXTEQ, TEXTS)),
            (pg_sys::NAMEOID, KeyValue::Name(_)) => Some((pg_sys::F_NAMEEQ, TEXTS)),
            (pg_sys::OIDOID, KeyValue::Oid(_)) => Some((pg_sys::F_OIDEQ, OIDS)),
            _ => None,
        }
    }

    fn datum(&self) -> Datum {
        match self.value {
            KeyValue::Text(text) => Value::Text(text).datum().unwrap_or(Datum::null()),
            KeyValue::Id(_, UserId::Text(text)) => {
                Value::Text(text).datum().unwrap_or(Datum::null())
            }
            KeyValue::Id(_, UserId::Int(integer)) => Datum::from(*integer),
            KeyValue::Id(_, UserId::Uuid(uuid)) => Datum::from(uuid.as_ptr()),
            KeyValue::Name(name) => Datum::from(name.as_ptr()),
            KeyValue::Oid(oid) => oid.into(),
            KeyValue::Null => Datum::null(),
        }
    }

    /// What the index compares, in its column of this number.
    fn scan_key(&self, index_column: i16, equals: u32, collation: Oid) -> pg_sys::ScanKeyData {
        if let KeyValue::Null = self.value {
            return pg_sys::ScanKeyData {
                sk_flags: (pg_sys::SK_ISNULL | pg_sys::SK_SEARCHNULL) as c_int,
                sk_attno: index_column,
                ..Default::default()
            };
        }
        let mut key = pg_sys::ScanKeyData::default();
        // SAFETY: fills the key, and looks up the function, which is one of PostgreSQL's own.
        unsafe {
            pg_sys::ScanKeyEntryInitialize(
                &raw mut key,
                0,
                index_column,
                pg_sys::BTEqualStrategyNumber as pg_sys::StrategyNumber,
                pg_sys::InvalidOid,
                collation,
                Oid::from(equals),
                self.datum(),
            );
        }
        key
    }

    /// Whether the tuple meets the condition. Texts are compared byte by byte, which is what
    /// equality is in each collation that is used.
    fn matches(&self, tuple: &Tuple) -> bool {
        match self.value {
            KeyValue::Null => tuple.is_null(self.column),
            KeyValue::Text(text) => tuple.text(self.column) == Some(text),
            KeyValue::Id(id_type, id) => tuple.user_id(self.column, id_type).as_ref() == Some(id),
            KeyValue::Oid(oid) => tuple.oid(self.column) == Some(oid),
            KeyValue::Name(name) => tuple.name(self.column) == names::from_server(name.to_bytes()),
        }
    }
}

/// The operator family of `uuid` in btree indexes, `pg_catalog.uuid_ops`: fixed, but without a name
/// in PostgreSQL's headers.
const UUID_BTREE_FAM_OID: Oid = Oid::from_u32(2968);

impl Relation {
    /// Calls `visit` with each tuple that meets all conditions in the snapshot.
    pub fn scan_keys(&self, snapshot: &Snapshot, keys: &[Key], visit: impl FnMut(&Tuple)) {
        let index = self.indexes().into_iter().find_map(|oid| {
            let index = Relation::open(oid, Lock::Read)?;
            let scan_keys = usable_keys(self, &index, keys)?;
            Some((index, scan_keys))
        });
        match index {
            Some((index, scan_keys)) => scan_index(self, &index, snapshot, scan_keys, visit),
            None => self.scan_heap(snapshot, keys, visit),
        }
    }

    /// Calls `visit` with each tuple of the snapshot.
    pub fn scan(&self, snapshot: &Snapshot, visit: impl FnMut(&Tuple)) {
        self.scan_heap(snapshot, &[], visit);
    }

    /// The name of a unique index on this column alone, which tells the rows apart.
    pub fn unique_index(&self, attno: i16, id_type: IdType) -> Option<Oid> {
        let any = UserId::Int(0);
        // Only the types are looked at.
        let keys = [Key { column: attno, value: KeyValue::Id(id_type, &any) }];
        self.indexes().into_iter().find(|oid| {
            Relation::open(*oid, Lock::Read).is_some_and(|index| {
                index_equalities(self, &index, &keys).is_some() && is_unique_on_all(&index, 1)
            })
        })
    }

    fn scan_heap(&self, snapshot: &Snapshot, keys: &[Key], mut visit: impl FnMut(&Tuple)) {
        // SAFETY: the relation is open, and the snapshot registered; there is neither index nor
        // key.
        let scan = unsafe {
            pg_sys::systable_beginscan(
                self.as_ptr(),
                pg_sys::InvalidOid,
                false,
                snapshot.as_ptr(),
                0,
                std::ptr::null_mut(),
            )
        };
        loop {
            pgrx::check_for_interrupts!();
            // SAFETY: the scan has begun and not ended.
            let tuple = unsafe { pg_sys::systable_getnext(scan) };
            if tuple.is_null() {
                break;
            }
            // SAFETY: a tuple of the relation, valid until the scan goes on.
            let tuple = unsafe { Tuple::new(tuple, self.data().rd_att, self.oid()) };
            if keys.iter().all(|key| key.matches(&tuple)) {
                visit(&tuple);
            }
        }
        // SAFETY: the scan has begun and not ended; one that an error cuts short is cleaned up by
        // the resource owner.
        unsafe { pg_sys::systable_endscan(scan) };
    }
}

/// For each key, the number of the index's column that has it, the equality function and collation;
/// `None` where the index cannot be used for these keys.
fn index_equalities(
    table: &Relation,
    index: &Relation,
    keys: &[Key],
) -> Option<Vec<(usize, u32, Oid)>> {
    let relation = index.data();
    if relation.rd_index.is_null() || index.class().relam != pg_sys::BTREE_AM_OID {
        return None;
    }
    // SAFETY: an open index has its row of pg_index.
    let definition = unsafe { &*relation.rd_index };
    if !definition.indisvalid || usize::try_from(definition.indnkeyatts).ok()? < keys.len() {
        return None;
    }
    // Asking for the predicate itself would run the functions in it, with the rights of whoever
    // asks: the triggers ask as the owner of the extension.
    // SAFETY: an open index has its tuple of pg_index.
    let is_whole = unsafe {
        pg_sys::heap_attisnull(
            relation.rd_indextuple,
            pg_sys::Anum_pg_index_indpred as c_int,
            std::ptr::null_mut(),
        )
    };
    if !is_whole {
        return None;
    }
    let mut equalities = Vec::with_capacity(keys.len());
    for position in 0..keys.len() {
        // SAFETY: an index has as many key numbers as it counts.
        let attno = unsafe { definition.indkey.values.as_slice(keys.len()) }[position];
        let key_position = keys.iter().position(|key| key.column == attno)?;
        let (equals, wanted_families) =
            keys[key_position].equality(table.attribute(attno)?.atttypid)?;
        // SAFETY: an open index has an operator family for each key.
        let families = unsafe { std::slice::from_raw_parts(relation.rd_opfamily, keys.len()) };
        // SAFETY: an open index has a collation, or none, for each key.
        let collations =
            unsafe { std::slice::from_raw_parts(relation.rd_indcollation, keys.len()) };
        let collation = collations[position];
        if !wanted_families.contains(&families[position]) || !is_deterministic(collation) {
            return None;
        }
        equalities.push((key_position, equals, collation));
    }
    Some(equalities)
}

fn is_unique_on_all(index: &Relation, columns: i16) -> bool {
    // SAFETY: an open index has its row of pg_index.
    let definition = unsafe { &*index.data().rd_index };
    definition.indisunique && definition.indimmediate && definition.indnkeyatts == columns
}

fn usable_keys(
    table: &Relation,
    index: &Relation,
    keys: &[Key],
) -> Option<Vec<pg_sys::ScanKeyData>> {
    let equalities = index_equalities(table, index, keys)?;
    let columns = (1..).zip(equalities);
    Some(
        columns
            .map(|(column, (key, equals, collation))| keys[key].scan_key(column, equals, collation))
            .collect(),
    )
}

fn scan_index(
    table: &Relation,
    index: &Relation,
    snapshot: &Snapshot,
    mut keys: Vec<pg_sys::ScanKeyData>,
    mut visit: impl FnMut(&Tuple),
) {
    let count = keys.len() as c_int;
    // SAFETY: the relation is open.
    let slot = unsafe { pg_sys::table_slot_create(table.as_ptr(), std::ptr::null_mut()) };
    // SAFETY: both are open, the index is one of the table's, and the snapshot is registered.
    let scan = unsafe {
        compat::begin_index_scan(table.as_ptr(), index.as_ptr(), snapshot.as_ptr(), count)
    };
    // SAFETY: the keys name the index's columns, and outlive the scan.
    unsafe { pg_sys::index_rescan(scan, keys.as_mut_ptr(), count, std::ptr::null_mut(), 0) };
    loop {
        pgrx::check_for_interrupts!();
        // SAFETY: the scan has begun and not ended; the slot is one of the table's.
        let is_found = unsafe {
            pg_sys::index_getnext_slot(scan, pg_sys::ScanDirection::ForwardScanDirection, slot)
        };
        if !is_found {
            break;
        }
        // SAFETY: the slot holds a tuple of a heap, which stays in its buffer.
        let tuple = unsafe { pg_sys::ExecFetchSlotHeapTuple(slot, false, std::ptr::null_mut()) };
        // SAFETY: a tuple of the table, valid until the scan goes on.
        visit(&unsafe { Tuple::new(tuple, table.data().rd_att, table.oid()) });
    }
    // SAFETY: the scan has begun and not ended.
    unsafe { pg_sys::index_endscan(scan) };
    // SAFETY: made above.
    unsafe { pg_sys::ExecDropSingleTupleTableSlot(slot) };
}
