//! Keyed reads: by an index that has the key where there is a usable one, else by the heap.
//!
//! `systable_beginscan` leaves the index aside where a client has set `ignore_system_indexes`, and
//! its scan of a heap knows no NULL in a key; here it does neither.

use super::datum::Value;
use super::names;
use super::relation::{Lock, Relation, is_deterministic};
use super::snapshot::Snapshot;
use super::tuple::Tuple;
use crate::core::user_id::{IdType, UserId};
use pgrx::pg_sys::{self, Datum, Oid};
use std::cell::RefCell;
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

    pub(super) fn datum(&self) -> Datum {
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

/// How an index is searched for conditions on these columns.
#[derive(Clone, Copy)]
struct IndexSearch {
    relid: Oid,
    columns: [i16; MAX_KEYS],
    index: Oid,
    /// In the order of the index's columns, what is searched, but for the value.
    templates: [pg_sys::ScanKeyData; MAX_KEYS],
    /// In the same order, the condition that has the value.
    conditions: [usize; MAX_KEYS],
}

const MAX_KEYS: usize = 2;

thread_local! {
    /// A few: they are found by looking through them.
    static SEARCHES: RefCell<Vec<IndexSearch>> = const { RefCell::new(Vec::new()) };
}

impl Relation {
    /// Calls `visit` with each tuple that meets all conditions in the snapshot: one or two.
    pub fn scan_keys(&self, snapshot: &Snapshot, keys: &[Key], visit: impl FnMut(&Tuple)) {
        assert!((1..=MAX_KEYS).contains(&keys.len()));
        match self.index_search(keys) {
            Some(search) => self.scan_index(&search, snapshot, keys, visit),
            None => self.scan_heap(snapshot, keys, visit),
        }
    }

    /// The search of an index that the relation has while it is locked. An index of this OID is of
    /// the same columns for ever, so that it is examined once.
    fn index_search(&self, keys: &[Key]) -> Option<IndexSearch> {
        let columns = columns_of(keys);
        let indexes = self.indexes();
        let known = SEARCHES.with_borrow(|searches| {
            searches
                .iter()
                .find(|known| known.relid == self.oid() && known.columns == columns)
                .copied()
        });
        if let Some(known) = known.filter(|known| indexes.contains(&known.index)) {
            return Some(known);
        }
        let search = indexes.into_iter().find_map(|oid| {
            let index = Relation::open(oid, Lock::Read)?;
            let (templates, conditions) = search_templates(self, &index, keys)?;
            Some(IndexSearch { relid: self.oid(), columns, index: oid, templates, conditions })
        })?;
        SEARCHES.with_borrow_mut(|searches| {
            searches.retain(|known| known.relid != search.relid || known.columns != columns);
            searches.push(search);
        });
        Some(search)
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

    /// The other columns of a unique index that has this column, and whose columns tell the rows
    /// apart only together; nothing where there is none.
    pub fn unique_together_with(&self, attno: i16) -> Vec<String> {
        let columns_of = |index: Oid| {
            let index = Relation::open(index, Lock::Read)?;
            // SAFETY: an open index has its row of pg_index.
            let definition = unsafe { &*index.data().rd_index };
            let count = usize::try_from(definition.indnkeyatts).unwrap_or_default();
            // SAFETY: an index has as many columns as its row says.
            let columns = unsafe { definition.indkey.values.as_slice(count) };
            let is_whole = is_over_all_rows(&index) && !columns.contains(&0);
            let is_meant = definition.indisunique && is_whole && columns.contains(&attno);
            is_meant.then(|| columns.to_vec())
        };
        let columns = self.indexes().into_iter().find_map(columns_of).unwrap_or_default();
        let others = columns.into_iter().filter(|column| *column != attno);
        others.map(|column| self.column_name(column)).collect()
    }

    fn scan_index(
        &self,
        search: &IndexSearch,
        snapshot: &Snapshot,
        keys: &[Key],
        visit: impl FnMut(&Tuple),
    ) {
        let mut templates = search.templates;
        let scan_keys = &mut templates[..keys.len()];
        for (template, condition) in scan_keys.iter_mut().zip(search.conditions) {
            let key = keys[condition];
            match key.value {
                KeyValue::Null => {
                    template.sk_flags = (pg_sys::SK_ISNULL | pg_sys::SK_SEARCHNULL) as c_int;
                    template.sk_strategy = 0;
                    template.sk_func = pg_sys::FmgrInfo::default();
                }
                _ => template.sk_argument = key.datum(),
            }
        }
        self.scan_as(search.index, snapshot, scan_keys, visit);
    }

    fn scan_heap(&self, snapshot: &Snapshot, keys: &[Key], mut visit: impl FnMut(&Tuple)) {
        self.scan_as(pg_sys::InvalidOid, snapshot, &mut [], |tuple| {
            if keys.iter().all(|key| key.matches(tuple)) {
                visit(tuple);
            }
        });
    }

    fn scan_as(
        &self,
        index: Oid,
        snapshot: &Snapshot,
        scan_keys: &mut [pg_sys::ScanKeyData],
        mut visit: impl FnMut(&Tuple),
    ) {
        let ignored = UseIndexes::begin();
        // SAFETY: the relation is open, the keys name its columns, the index, if any, is one of its
        // own, and the snapshot is registered.
        let scan = unsafe {
            pg_sys::systable_beginscan(
                self.as_ptr(),
                index,
                index != pg_sys::InvalidOid,
                snapshot.as_ptr(),
                scan_keys.len() as c_int,
                scan_keys.as_mut_ptr(),
            )
        };
        drop(ignored);
        loop {
            // SAFETY: the scan has begun and not ended.
            let tuple = unsafe { pg_sys::systable_getnext(scan) };
            if tuple.is_null() {
                break;
            }
            // SAFETY: a tuple of the relation, valid until the scan goes on.
            let tuple = unsafe { Tuple::new(tuple, self.data().rd_att, self.oid()) };
            visit(&tuple);
            pgrx::check_for_interrupts!();
        }
        // SAFETY: the scan has begun and not ended; one that an error cuts short is cleaned up by
        // the resource owner.
        unsafe { pg_sys::systable_endscan(scan) };
    }
}

/// While a scan begins: an index is used whatever `ignore_system_indexes` says.
struct UseIndexes(bool);

impl UseIndexes {
    fn begin() -> UseIndexes {
        // SAFETY: a variable of this backend.
        let was_ignored = unsafe { pg_sys::IgnoreSystemIndexes };
        // SAFETY: as above.
        unsafe { pg_sys::IgnoreSystemIndexes = false };
        UseIndexes(was_ignored)
    }
}

impl Drop for UseIndexes {
    fn drop(&mut self) {
        // SAFETY: a variable of this backend.
        unsafe { pg_sys::IgnoreSystemIndexes = self.0 };
    }
}

fn columns_of(keys: &[Key]) -> [i16; MAX_KEYS] {
    let mut columns = [0; MAX_KEYS];
    for (column, key) in columns.iter_mut().zip(keys) {
        *column = key.column;
    }
    columns
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
    if !is_over_all_rows(index) {
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

/// Whether an index has no predicate. Asking for the predicate itself would run the functions in
/// it, with the rights of whoever asks: the triggers ask as the owner of the extension.
fn is_over_all_rows(index: &Relation) -> bool {
    // SAFETY: an open index has its tuple of pg_index.
    unsafe {
        pg_sys::heap_attisnull(
            index.data().rd_indextuple,
            pg_sys::Anum_pg_index_indpred as c_int,
            std::ptr::null_mut(),
        )
    }
}

fn is_unique_on_all(index: &Relation, columns: i16) -> bool {
    // SAFETY: an open index has its row of pg_index.
    let definition = unsafe { &*index.data().rd_index };
    definition.indisunique && definition.indimmediate && definition.indnkeyatts == columns
}

/// What is searched, in the order of the index's columns, and for which condition. The keys name
/// the table's columns: `systable_beginscan` finds the index's by them.
fn search_templates(
    table: &Relation,
    index: &Relation,
    keys: &[Key],
) -> Option<([pg_sys::ScanKeyData; MAX_KEYS], [usize; MAX_KEYS])> {
    let mut templates = [pg_sys::ScanKeyData::default(); MAX_KEYS];
    let mut conditions = [0; MAX_KEYS];
    for (place, (key, equals, collation)) in
        index_equalities(table, index, keys)?.into_iter().enumerate()
    {
        conditions[place] = key;
        // SAFETY: fills the key, and looks up the function, which is one of PostgreSQL's own.
        unsafe {
            pg_sys::ScanKeyEntryInitialize(
                &raw mut templates[place],
                0,
                keys[key].column,
                pg_sys::BTEqualStrategyNumber as pg_sys::StrategyNumber,
                pg_sys::InvalidOid,
                collation,
                Oid::from(equals),
                Datum::null(),
            );
        }
    }
    Some((templates, conditions))
}
