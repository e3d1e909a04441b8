//! What makes a lookup cheap, and an id the name of one account: a unique index on it alone.

use crate::error::{GuardError, Mistake};
use crate::guard::IdColumn;
use crate::name::{column_name, qualified_name};
use crate::scan::OpenTable;
use crate::user_id::IdType;
use pgrx::pg_sys::{self, Oid};
use pgrx::spi;

/// A unique index on the id column alone.
#[derive(Clone, Copy, Debug)]
pub struct UniqueIndex {
    /// The index.
    pub oid: Oid,
    /// The collation that it is ordered by.
    pub collation: Oid,
}

/// Refuses an id that may name two accounts.
pub fn check_unique(table: &OpenTable, id: IdColumn) -> Result<(), GuardError> {
    if unique_index(table, id).is_some() {
        return Ok(());
    }
    let name = qualified_name(table.oid());
    let column = spi::quote_identifier(column_name(table, id.attno));
    Err(GuardError::new(
        Mistake::IdNotUnique,
        format!("column {column} of table {name} has no unique index of its own"),
        format!("CREATE UNIQUE INDEX ON {name} ({column});"),
    )
    .detail(
        "An id must name one account. A partial, deferred or multi-column index does not say that.",
    ))
}

/// The first index that tells the rows apart by the id alone.
pub fn unique_index(table: &OpenTable, id: IdColumn) -> Option<UniqueIndex> {
    // SAFETY: the relation is open.
    let indexes = unsafe { pg_sys::RelationGetIndexList(table.as_ptr()) };
    // SAFETY: RelationGetIndexList returns a list of OIDs.
    let indexes = unsafe { pgrx::PgList::<Oid>::from_pg(indexes) };
    indexes.iter_oid().find_map(|oid| {
        let index = OpenTable::try_open(oid, pg_sys::AccessShareLock)?;
        usable_as_key(&index, id)
    })
}

fn usable_as_key(index: &OpenTable, id: IdColumn) -> Option<UniqueIndex> {
    let relation = index.relation();
    if relation.rd_index.is_null() {
        return None;
    }
    // SAFETY: an open index has its row of pg_index.
    let definition = unsafe { &*relation.rd_index };
    // SAFETY: an open index has its row of pg_class.
    let is_btree = unsafe { (*relation.rd_rel).relam } == pg_sys::BTREE_AM_OID;
    let is_on_id_alone = definition.indnkeyatts == 1
        // SAFETY: an index has as many key numbers as it counts, and it counts one at least.
        && unsafe { *definition.indkey.values.as_ptr() } == id.attno;
    if !is_btree || !is_on_id_alone {
        return None;
    }
    if !definition.indisunique || !definition.indimmediate || !definition.indisvalid {
        return None;
    }
    // Asking for the predicate itself would run the functions in it, with the rights of whoever
    // asks: the triggers ask as the owner of the extension.
    // SAFETY: an open index has its tuple of pg_index.
    let is_whole = unsafe {
        pg_sys::heap_attisnull(
            relation.rd_indextuple,
            pg_sys::Anum_pg_index_indpred as i32,
            std::ptr::null_mut(),
        )
    };
    // SAFETY: an open index has an operator family for each key.
    let family = unsafe { *relation.rd_opfamily };
    let orders_ids = match id.id_type {
        IdType::Int2 | IdType::Int4 | IdType::Int8 => family == pg_sys::INTEGER_BTREE_FAM_OID,
        IdType::Uuid => family == UUID_BTREE_FAM_OID,
        IdType::Text => {
            [pg_sys::TEXT_BTREE_FAM_OID, pg_sys::TEXT_PATTERN_BTREE_FAM_OID].contains(&family)
        }
    };
    // SAFETY: an open index has a collation, or none, for each key.
    let collation = unsafe { *relation.rd_indcollation };
    let is_exact = collation == pg_sys::InvalidOid
        // SAFETY: an OID that the catalogs gave out.
        || unsafe { pg_sys::get_collation_isdeterministic(collation) };
    let is_usable = is_whole && orders_ids && is_exact;
    is_usable.then_some(UniqueIndex { oid: index.oid(), collation })
}

/// The operator family of `uuid` in btree indexes, `pg_catalog.uuid_ops`: fixed, but without a
/// name in PostgreSQL's headers.
const UUID_BTREE_FAM_OID: Oid = Oid::from_u32(2968);
