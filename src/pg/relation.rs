//! A relation that is held open under a lock.

use super::compat;
use super::names::{self, RelationName};
use crate::core::user_id::IdType;
use pgrx::pg_sys::{self, Oid};

/// What a relation is opened for, and so which lock it takes (PostgreSQL manual, section
/// "Table-Level Locks").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// To read. This lock alone is released when the relation is closed.
    Read,
    /// To lock rows. Kept until the transaction ends, as all that follow.
    Rows,
    /// To write rows.
    Write,
    /// To keep other writers away.
    KeepWritersAway,
    /// To be alone with the relation.
    Exclusive,
}

impl Lock {
    fn mode(self) -> pg_sys::LOCKMODE {
        let mode = match self {
            Lock::Read => pg_sys::AccessShareLock,
            Lock::Rows => pg_sys::RowShareLock,
            Lock::Write => pg_sys::RowExclusiveLock,
            Lock::KeepWritersAway => pg_sys::ShareRowExclusiveLock,
            Lock::Exclusive => pg_sys::AccessExclusiveLock,
        };
        mode as pg_sys::LOCKMODE
    }
}

/// What a relation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationKind {
    /// A table whose rows lie in a heap.
    Heap,
    /// A table of another access method.
    OtherMethod,
    /// A partitioned table.
    Partitioned,
    /// A foreign table.
    Foreign,
    /// A view, a sequence, an index, a catalog.
    Other,
}

/// Whether a relation outlives a crash, or the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It does.
    Permanent,
    /// A crash empties it.
    Unlogged,
    /// It ends with the session.
    Temporary,
}

/// A column, as the catalogs describe it.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its number.
    pub attno: i16,
    /// Its bare name.
    pub name: String,
    /// Its type.
    pub type_oid: Oid,
    /// Its collation, or none.
    pub collation: Oid,
    /// Whether it is generated on reading, so that no tuple holds it.
    pub is_virtual: bool,
    /// Whether it holds rows, which are NULL to SQL where all their columns are.
    pub is_row: bool,
}

impl Column {
    /// How ids of this column are read, if its type is one of an id's.
    pub fn id_type(&self) -> Option<IdType> {
        match self.type_oid {
            pg_sys::INT2OID => Some(IdType::Int2),
            pg_sys::INT4OID => Some(IdType::Int4),
            pg_sys::INT8OID => Some(IdType::Int8),
            pg_sys::UUIDOID => Some(IdType::Uuid),
            pg_sys::TEXTOID | pg_sys::VARCHAROID => Some(IdType::Text),
            _ => None,
        }
    }

    /// Whether it calls different texts equal.
    pub fn is_nondeterministic(&self) -> bool {
        self.collation != pg_sys::InvalidOid && !is_deterministic(self.collation)
    }
}

/// Whether a collation calls only the same bytes equal.
pub(super) fn is_deterministic(collation: Oid) -> bool {
    // SAFETY: an OID that the catalogs gave out.
    [pg_sys::InvalidOid, pg_sys::C_COLLATION_OID].contains(&collation)
        || unsafe { pg_sys::get_collation_isdeterministic(collation) }
}

/// An open relation.
#[derive(Debug)]
pub struct Relation {
    relation: pg_sys::Relation,
    lock: Lock,
}

impl Relation {
    /// Waits for the lock and opens the relation, unless it is gone.
    pub fn open(relid: Oid, lock: Lock) -> Option<Relation> {
        // SAFETY: any OID may be asked for; NULL comes back for one that is no relation.
        let relation = unsafe { pg_sys::try_relation_open(relid, lock.mode()) };
        // Made only where there is one: an unused value would close it.
        (!relation.is_null()).then(|| Relation { relation, lock })
    }

    /// Opens an index of a table that is locked, so that it is there.
    pub(super) fn open_index(index: Oid, lock: Lock) -> Option<Relation> {
        // SAFETY: any OID may be asked for; one that is no relation raises an error.
        let relation = unsafe { pg_sys::relation_open(index, lock.mode()) };
        Some(Relation { relation, lock })
    }

    /// The relation's OID.
    pub fn oid(&self) -> Oid {
        self.data().rd_id
    }

    /// Its schema and name now.
    pub fn name(&self) -> RelationName {
        RelationName::of(self.oid())
            .unwrap_or_else(|| RelationName { schema: String::new(), name: String::new() })
    }

    /// Its name for people.
    pub fn shown_name(&self) -> String {
        names::shown_relation(self.oid())
    }

    /// What it is.
    pub fn kind(&self) -> RelationKind {
        let class = self.class();
        let is_catalog = self.oid().to_u32() < pg_sys::FirstNormalObjectId;
        match class.relkind as u8 {
            pg_sys::RELKIND_PARTITIONED_TABLE => RelationKind::Partitioned,
            pg_sys::RELKIND_FOREIGN_TABLE => RelationKind::Foreign,
            pg_sys::RELKIND_RELATION if is_catalog => RelationKind::Other,
            pg_sys::RELKIND_RELATION if class.relam == pg_sys::HEAP_TABLE_AM_OID => {
                RelationKind::Heap
            }
            pg_sys::RELKIND_RELATION => RelationKind::OtherMethod,
            _ => RelationKind::Other,
        }
    }

    /// Whether it outlives a crash.
    pub fn persistence(&self) -> Persistence {
        match self.class().relpersistence as u8 {
            pg_sys::RELPERSISTENCE_PERMANENT => Persistence::Permanent,
            pg_sys::RELPERSISTENCE_UNLOGGED => Persistence::Unlogged,
            _ => Persistence::Temporary,
        }
    }

    /// Whether it is a partition.
    pub fn is_partition(&self) -> bool {
        self.class().relispartition
    }

    /// Whether it came with the server, which lets nobody add triggers to it.
    pub fn is_system_catalog(&self) -> bool {
        self.oid().to_u32() < pg_sys::FirstNormalObjectId
    }

    /// Whether it lies in the schema `session_guard`.
    pub fn is_of_extension(&self) -> bool {
        self.class().relnamespace == names::extension_schema()
    }

    /// How many rows it had at the last VACUUM or ANALYZE, if there was one.
    pub fn estimated_rows(&self) -> Option<i64> {
        let rows = self.class().reltuples;
        (rows >= 0.0).then_some(rows as i64)
    }

    /// The role that owns it.
    pub fn owner(&self) -> Oid {
        self.class().relowner
    }

    /// Whether `role` owns it, or has the rights of the role that does.
    pub fn is_owned_by(&self, role: Oid) -> bool {
        compat::owns_relation(self.oid(), role)
    }

    /// Whether `role` may UPDATE it.
    pub fn is_updatable_by(&self, role: Oid) -> bool {
        let update = pg_sys::ACL_UPDATE as pg_sys::AclMode;
        // SAFETY: the relation is open, so it exists.
        let answer = unsafe { pg_sys::pg_class_aclcheck(self.oid(), role, update) };
        answer == pg_sys::AclResult::ACLCHECK_OK
    }

    /// Whether a cursor or a statement of this session uses it besides.
    pub fn is_in_use(&self) -> bool {
        self.data().rd_refcnt > 1
    }

    /// Whether triggers of this transaction are still to fire for it.
    pub fn has_pending_triggers(&self) -> bool {
        // SAFETY: any OID may be asked for.
        unsafe { pg_sys::AfterTriggerPendingOnRel(self.oid()) }
    }

    /// The column of this number, unless it was dropped.
    pub fn column(&self, attno: i16) -> Option<Column> {
        self.attribute(attno).filter(|column| !column.attisdropped).map(|column| Column {
            attno,
            // SAFETY: a name of the catalogs.
            name: unsafe { names::from_catalog(column.attname.data.as_ptr()) }.unwrap_or_default(),
            type_oid: column.atttypid,
            collation: column.attcollation,
            is_virtual: compat::is_virtual(column),
            // SAFETY: an OID that the catalogs gave out; a domain is looked through.
            is_row: unsafe { pg_sys::type_is_rowtype(column.atttypid) },
        })
    }

    /// The column of this name, never a system column.
    pub fn column_named(&self, name: &str) -> Option<Column> {
        let name = names::to_server(name);
        // SAFETY: looks up the system cache; zero comes back for a name that is no column's.
        let attno = unsafe { pg_sys::get_attnum(self.oid(), name.as_ptr()) };
        (attno > 0).then(|| self.column(attno)).flatten()
    }

    /// The name of the column of this number, or nothing.
    pub fn column_name(&self, attno: i16) -> String {
        self.column(attno).map(|column| column.name).unwrap_or_default()
    }

    /// Whether an INSERT must give no value for the column of this name.
    pub fn generates(&self, name: &str) -> bool {
        let column = self.column_named(name).and_then(|column| self.attribute(column.attno));
        column.is_some_and(|column| {
            column.attgenerated != 0
                || column.attidentity as u8 == pg_sys::ATTRIBUTE_IDENTITY_ALWAYS
        })
    }

    /// The first column that an INSERT must give a value for, but for those that are `given`.
    pub fn first_column_to_be_given(&self, given: impl Fn(&String) -> bool) -> Option<String> {
        (1..=self.class().relnatts).find_map(|attno| {
            let column = self.attribute(attno).filter(|column| !column.attisdropped)?;
            let must_be_given = column.attnotnull && !column.atthasdef && column.attidentity == 0;
            let name = self.column_name(attno);
            (must_be_given && !given(&name)).then_some(name)
        })
    }

    pub(super) fn attribute(&self, attno: i16) -> Option<&pg_sys::FormData_pg_attribute> {
        // SAFETY: an open relation has a row type.
        unsafe { attribute_of(self.data().rd_att, attno) }
    }

    pub(super) fn data(&self) -> &pg_sys::RelationData {
        // SAFETY: an open relation's cache entry stays where it is.
        unsafe { &*self.relation }
    }

    pub(super) fn class(&self) -> &pg_sys::FormData_pg_class {
        // SAFETY: an open relation has its row of pg_class.
        unsafe { &*self.data().rd_rel }
    }

    pub(super) fn as_ptr(&self) -> pg_sys::Relation {
        self.relation
    }

    /// The indexes that it has while it is locked.
    pub(super) fn indexes(&self) -> Vec<Oid> {
        // SAFETY: the relation is open; the list is ours.
        let list = unsafe { pg_sys::RelationGetIndexList(self.relation) };
        // SAFETY: a list of OIDs.
        let indexes = unsafe { pgrx::PgList::<Oid>::from_pg(list) };
        indexes.iter_oid().collect()
    }
}

/// Locks that were free; given back when this is dropped. A statement that runs meanwhile takes
/// its own, which last until the transaction ends.
#[derive(Default)]
pub struct FreeLocks {
    locked: Vec<(Oid, Lock)>,
}

impl FreeLocks {
    /// Locks a table, for all that it will be locked for, and its indexes, unless somebody is in
    /// the way.
    ///
    /// To raise the table's lock later, with its indexes locked, deadlocks with REINDEX INDEX: it
    /// holds the table and waits for an index.
    pub fn add_table(&mut self, relid: Oid, lock: Lock) -> bool {
        self.add(relid, lock)
            && Relation::open(relid, Lock::Read).is_none_or(|table| {
                table.indexes().into_iter().all(|index| self.add(index, Lock::Read))
            })
    }

    fn add(&mut self, relid: Oid, lock: Lock) -> bool {
        // SAFETY: any OID may be locked.
        let is_locked = unsafe { pg_sys::ConditionalLockRelationOid(relid, lock.mode()) };
        if is_locked {
            self.locked.push((relid, lock));
        }
        is_locked
    }
}

impl Drop for FreeLocks {
    fn drop(&mut self) {
        // While an error unwinds, the transaction's abort gives all locks back.
        if std::thread::panicking() {
            return;
        }
        for (relid, lock) in &self.locked {
            // SAFETY: locked so above.
            unsafe { pg_sys::UnlockRelationOid(*relid, lock.mode()) };
        }
    }
}

impl Drop for Relation {
    fn drop(&mut self) {
        // While an error unwinds, the transaction's abort closes what is open.
        if std::thread::panicking() {
            return;
        }
        // What was written, or whose rows were locked, stays locked until the transaction ends, as
        // after any statement: REINDEX CONCURRENTLY waits for who holds such a lock.
        let released = match self.lock {
            Lock::Read => self.lock.mode(),
            _ => pg_sys::NoLock as pg_sys::LOCKMODE,
        };
        // SAFETY: opened with this lock, or the lock is to stay.
        unsafe { pg_sys::relation_close(self.relation, released) };
    }
}

/// The description of a column, dropped or not.
///
/// # Safety
/// The row type is valid as long as the result.
pub(super) unsafe fn attribute_of<'a>(
    row_type: pg_sys::TupleDesc,
    attno: i16,
) -> Option<&'a pg_sys::FormData_pg_attribute> {
    let index = usize::try_from(attno).ok()?.checked_sub(1)?;
    // SAFETY: the caller says so; the wrapper does not count as a reference.
    let row_type = unsafe { pgrx::PgTupleDesc::from_pg_unchecked(row_type) };
    if index >= row_type.len() {
        return None;
    }
    row_type.get(index).map(|column| {
        let column: *const pg_sys::FormData_pg_attribute = column;
        // SAFETY: the description belongs to the row type, not to the wrapper.
        unsafe { &*column }
    })
}
