//! The partitions of partitioned tables, and which of them a key belongs to.

use super::index_scan::Key;
use super::relation::{Lock, Relation, RelationKind};
use super::snapshot::Snapshot;
use crate::core::user_id::{IdType, UserId};
use pgrx::pg_sys::{self, Oid};
use std::collections::VecDeque;
use std::ffi::c_int;

/// A table below a partitioned one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The table.
    pub relid: Oid,
    /// Whether it is partitioned itself, and so holds no rows.
    pub is_partitioned: bool,
}

/// All tables below a partitioned one, each before those below it and by OID on each level, which
/// is the order in which PostgreSQL locks them. Without those that are being detached, which no
/// query reads any more. None for a table that is not partitioned.
pub fn below(relid: Oid) -> Vec<Member> {
    let mut members = Vec::new();
    if !is_partitioned(relid) {
        return members;
    }
    let mut parents = VecDeque::from([relid]);
    while let Some(parent) = parents.pop_front() {
        for relid in children(parent) {
            let is_partitioned = is_partitioned(relid);
            if is_partitioned {
                parents.push_back(relid);
            }
            members.push(Member { relid, is_partitioned });
        }
    }
    members
}

/// A table below this one that another role owns, partitions and tables that inherit alike: a
/// statement on this one calls its triggers.
pub fn below_of_another_owner(table: &Relation) -> Option<Oid> {
    let mut parents = vec![table.oid()];
    while let Some(parent) = parents.pop() {
        for relid in children(parent) {
            let child = Relation::open(relid, Lock::Read);
            if child.is_some_and(|child| child.owner() != table.owner()) {
                return Some(relid);
            }
            parents.push(relid);
        }
    }
    None
}

/// Those right below, by OID, but for those that are being detached.
fn children(parent: Oid) -> Vec<Oid> {
    let mut children = Vec::new();
    let Some(inherits) = Relation::open(pg_sys::InheritsRelationId, Lock::Read) else {
        return children;
    };
    let key = [Key::oid(pg_sys::Anum_pg_inherits_inhparent as i16, parent)];
    inherits.scan_keys(&Snapshot::latest(&inherits), &key, |row| {
        if row.bool(pg_sys::Anum_pg_inherits_inhdetachpending as i16) != Some(true) {
            children.extend(row.oid(pg_sys::Anum_pg_inherits_inhrelid as i16));
        }
    });
    children.sort_by_key(|relid| relid.to_u32());
    children
}

/// The tables that a partition belongs to, the nearest first.
pub fn above(relid: Oid) -> Vec<Oid> {
    let mut ancestors = Vec::new();
    let Some(inherits) = Relation::open(pg_sys::InheritsRelationId, Lock::Read) else {
        return ancestors;
    };
    let mut child = relid;
    while Relation::open(child, Lock::Read).is_some_and(|table| table.is_partition()) {
        let key = [Key::oid(pg_sys::Anum_pg_inherits_inhrelid as i16, child)];
        let mut parent = None;
        inherits.scan_keys(&Snapshot::latest(&inherits), &key, |row| {
            parent = row.oid(pg_sys::Anum_pg_inherits_inhparent as i16);
        });
        let Some(parent) = parent else { break };
        ancestors.push(parent);
        child = parent;
    }
    ancestors
}

/// Whether a table is partitioned by this column alone, by an operator class of PostgreSQL's own.
///
/// Read from the catalog: to load the key runs functions that are in its expressions, and to sort
/// the partitions calls those of its operator class, with rights that the table's owner may not
/// have.
pub fn is_keyed_by(relid: Oid, attno: i16) -> bool {
    let Some(keys) = Relation::open(pg_sys::PartitionedRelationId, Lock::Read) else {
        return false;
    };
    let key = [Key::oid(pg_sys::Anum_pg_partitioned_table_partrelid as i16, relid)];
    let mut is_keyed = false;
    keys.scan_keys(&Snapshot::latest(&keys), &key, |row| {
        let expressions = row.get(pg_sys::Anum_pg_partitioned_table_partexprs as i16);
        let columns = row.get(pg_sys::Anum_pg_partitioned_table_partattrs as i16);
        let classes = row.get(pg_sys::Anum_pg_partitioned_table_partclass as i16);
        let (Some(columns), Some(classes)) = (columns, classes) else { return };
        // SAFETY: of this type, and never stored out of line.
        let columns = unsafe { &*columns.cast_mut_ptr::<pg_sys::int2vector>() };
        // SAFETY: as above.
        let classes = unsafe { &*classes.cast_mut_ptr::<pg_sys::oidvector>() };
        is_keyed = expressions.is_none()
            && columns.dim1 == 1
            // SAFETY: as many as are counted.
            && unsafe { columns.values.as_slice(1) } == [attno]
            // SAFETY: as many as there are columns.
            && unsafe { classes.values.as_slice(1) }[0].to_u32() < pg_sys::FirstNormalObjectId;
    });
    is_keyed
}

fn is_partitioned(relid: Oid) -> bool {
    // SAFETY: looks up the system cache; zero comes back for what is no relation.
    let kind = unsafe { pg_sys::get_rel_relkind(relid) };
    kind as u8 == pg_sys::RELKIND_PARTITIONED_TABLE
}

/// Where a row of an id lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// In this table, if anywhere.
    To(Oid),
    /// In none: no partition takes it.
    Nowhere,
    /// That cannot be told by the id.
    Unknown,
}

/// The beginning of PostgreSQL's `PartitionKeyData`, which is the same in all majors but for the
/// type of its first field, that is padded to the next pointer.
#[repr(C)]
struct PartitionKey {
    #[cfg(feature = "pg15")]
    strategy: std::ffi::c_char,
    #[cfg(not(feature = "pg15"))]
    strategy: c_int,
    partnatts: i16,
    partattrs: *mut pg_sys::AttrNumber,
    partexprs: *mut pg_sys::List,
    partopfamily: *mut Oid,
    partopcintype: *mut Oid,
    partsupfunc: *mut pg_sys::FmgrInfo,
    partcollation: *mut Oid,
}

impl Relation {
    /// Which table below this partitioned one takes rows of this id, by what PostgreSQL's executor
    /// does with a row (PostgreSQL source, `get_partition_for_tuple`).
    ///
    /// Each level is looked at again, whatever the guard has found before: another one can be
    /// attached meanwhile, with any key, and a level that is there keeps its own.
    pub fn route(&self, column: &str, id_type: IdType, id: &UserId) -> Route {
        let Some(attno) = self.column_named(column).map(|column| column.attno) else {
            return Route::Unknown;
        };
        if !is_keyed_by(self.oid(), attno) {
            return Route::Unknown;
        }
        match self.route_once(attno, id_type, id) {
            Route::To(relid) if is_partitioned(relid) => Relation::open(relid, Lock::Read)
                .map_or(Route::Nowhere, |level| level.route(column, id_type, id)),
            route => route,
        }
    }

    fn route_once(&self, attno: i16, id_type: IdType, id: &UserId) -> Route {
        if self.kind() != RelationKind::Partitioned {
            return Route::Unknown;
        }
        // SAFETY: the relation is partitioned and open. What is being detached keeps its place: it
        // is for the caller to see that it is none of the guard's.
        let partitions = unsafe { pg_sys::RelationGetPartitionDesc(self.as_ptr(), false) };
        // SAFETY: stays where it is while the relation is open.
        let partitions = unsafe { &*partitions };
        if partitions.nparts == 0 {
            return Route::Nowhere;
        }
        // SAFETY: begins as declared above, and stays where it is while the relation is open. To
        // look for the partitions has loaded it.
        let key = unsafe { self.data().rd_partkey.cast::<PartitionKey>().as_ref() };
        let Some(key) = key.filter(|key| key.partnatts == 1) else { return Route::Unknown };
        // SAFETY: an element for each column of the key.
        let mut function = unsafe { *key.partsupfunc };
        // SAFETY: as above.
        let mut collation = unsafe { *key.partcollation };
        let mut value = Key::id(attno, id_type, id).datum();
        // SAFETY: a table that has partitions has bounds.
        let bounds = unsafe { &*partitions.boundinfo };
        let index = match bounds.strategy as u8 {
            b'h' => {
                let mut is_null = false;
                // SAFETY: one column, its value, and its hash function.
                let hash = unsafe {
                    pg_sys::compute_partition_hash_value(
                        1,
                        &raw mut function,
                        &raw mut collation,
                        &raw mut value,
                        &raw mut is_null,
                    )
                };
                let place =
                    usize::try_from(bounds.nindexes).ok().map(|count| hash as usize % count);
                place.map_or(-1, |place| index_at(bounds, place))
            }
            b'l' => self.offset(partitions, |is_equal| {
                // SAFETY: a value of the key's column, and its comparison function.
                let offset = unsafe {
                    pg_sys::partition_list_bsearch(
                        &raw mut function,
                        &raw mut collation,
                        partitions.boundinfo,
                        value,
                        is_equal,
                    )
                };
                // SAFETY: the search has said so.
                if unsafe { *is_equal } { offset } else { -1 }
            }),
            b'r' => self.offset(partitions, |is_equal| {
                // SAFETY: as above.
                let offset = unsafe {
                    pg_sys::partition_range_datum_bsearch(
                        &raw mut function,
                        &raw mut collation,
                        partitions.boundinfo,
                        1,
                        &raw mut value,
                        is_equal,
                    )
                };
                offset + 1
            }),
            _ => return Route::Unknown,
        };
        let index = if index < 0 { bounds.default_index } else { index };
        match usize::try_from(index) {
            Ok(index) => {
                let count = usize::try_from(partitions.nparts).unwrap_or(0);
                // SAFETY: as many as are counted.
                let oids = unsafe { std::slice::from_raw_parts(partitions.oids, count) };
                oids.get(index).map_or(Route::Nowhere, |relid| Route::To(*relid))
            }
            Err(_) => Route::Nowhere,
        }
    }

    /// The partition at the offset that a search gives, or -1.
    fn offset(
        &self,
        partitions: &pg_sys::PartitionDescData,
        search: impl FnOnce(*mut bool) -> c_int,
    ) -> c_int {
        let mut is_equal = false;
        let offset = search(&raw mut is_equal);
        // SAFETY: a table that has partitions has bounds.
        let bounds = unsafe { &*partitions.boundinfo };
        usize::try_from(offset).map_or(-1, |offset| index_at(bounds, offset))
    }
}

/// The partition at a place among the bounds, or -1.
fn index_at(bounds: &pg_sys::PartitionBoundInfoData, place: usize) -> c_int {
    let count = usize::try_from(bounds.nindexes).unwrap_or(0);
    // SAFETY: as many as are counted.
    let indexes = unsafe { std::slice::from_raw_parts(bounds.indexes, count) };
    indexes.get(place).copied().unwrap_or(-1)
}
