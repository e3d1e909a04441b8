//! One guarded table's catalog facts, and what may be guarded.

use crate::advice;
use crate::compat;
use crate::error::{GuardError, Mistake};
use crate::scan::OpenTable;
use crate::user_id::IdType;
use pgrx::pg_sys::{self, Oid};
use pgrx::spi;
use std::ffi::{CStr, CString, c_char};

/// The four triggers that `attach` puts on a users table: name, event and level.
pub const TRIGGERS: [(&str, u32); 4] = [
    (UPDATE_TRIGGER, pg_sys::TRIGGER_TYPE_UPDATE | pg_sys::TRIGGER_TYPE_ROW),
    ("session_guard_insert", pg_sys::TRIGGER_TYPE_INSERT | pg_sys::TRIGGER_TYPE_ROW),
    ("session_guard_delete", pg_sys::TRIGGER_TYPE_DELETE | pg_sys::TRIGGER_TYPE_ROW),
    ("session_guard_truncate", pg_sys::TRIGGER_TYPE_TRUNCATE),
];

/// The one trigger with a WHEN clause.
pub const UPDATE_TRIGGER: &str = "session_guard_update";

/// A row of `session_guard.guard`: what `attach` was told.
#[derive(Clone, Debug)]
pub struct GuardRow {
    /// The guarded table.
    pub relid: Oid,
    /// Its qualified name when it was last attached or reconciled.
    pub table_name: String,
    /// The id column's name.
    pub id_column: String,
    /// The active column's name.
    pub active_column: String,
    /// The names of the columns whose change also revokes.
    pub revoke_on: Vec<String>,
    /// Whether calls that name no table mean this one.
    pub is_default: bool,
}

/// The id column as the scans want it.
#[derive(Clone, Copy, Debug)]
pub struct IdColumn {
    /// Its number.
    pub attno: i16,
    /// Its type.
    pub id_type: IdType,
    /// Its collation, or none.
    pub collation: Oid,
}

/// A unique index on the id column alone.
#[derive(Clone, Copy, Debug)]
pub struct UniqueIndex {
    /// The index.
    pub oid: Oid,
    /// The collation that it is ordered by.
    pub collation: Oid,
}

/// A guarded table, resolved against the catalogs.
#[derive(Debug)]
pub struct Guard {
    /// The table.
    pub relid: Oid,
    /// The column that tells users apart.
    pub id: IdColumn,
    /// The number of the column that says whether the account is enabled.
    pub active: i16,
    /// The numbers of the columns whose change also revokes.
    pub revoke_on: Vec<i16>,
    /// What makes a lookup cheap. Without it, the whole table is read.
    pub index: Option<UniqueIndex>,
    /// Why the guard is not armed; `None` when it is.
    pub disarmed: Option<String>,
}

impl Guard {
    /// Resolves the row's names against the open table.
    ///
    /// A column that was renamed is found through the update trigger, which follows it.
    pub fn load(table: &OpenTable, row: &GuardRow, stamper: Oid) -> Result<Guard, GuardError> {
        let watched = watched_columns(table, stamper).unwrap_or_default();
        let find = |name: &str, position: usize| {
            column_number(table, name)
                .or_else(|| watched.get(position).copied())
                .ok_or_else(|| column_gone(table, row, name))
        };
        let id = find(&row.id_column, 0)?;
        let active = find(&row.active_column, 1)?;
        let revoke_on = row
            .revoke_on
            .iter()
            .enumerate()
            .map(|(position, name)| find(name, position + 2))
            .collect::<Result<Vec<_>, _>>()?;
        let id = id_column(table, id)?;
        check_active(table, active)?;
        let mut guard = Guard {
            relid: table.oid(),
            id,
            active,
            revoke_on,
            index: unique_index(table, id),
            disarmed: None,
        };
        guard.disarmed = why_disarmed(table, &guard, stamper, &watched);
        Ok(guard)
    }

    /// What `attach` asks of the columns, checked in the order in which a user would mend them.
    pub fn check(
        table: &OpenTable,
        id_column_name: &str,
        active_column_name: &str,
        revoke_on: &[String],
    ) -> Result<IdColumn, GuardError> {
        let find =
            |name: &str| column_number(table, name).ok_or_else(|| no_such_column(table, name));
        let id = id_column(table, find(id_column_name)?)?;
        check_active(table, find(active_column_name)?)?;
        for name in revoke_on {
            find(name)?;
        }
        Ok(id)
    }
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

/// The table's name, schema and all, quoted where that is needed.
pub fn qualified_name(relid: Oid) -> String {
    // SAFETY: any OID may be asked for; NULL comes back for one that is no relation.
    let name = unsafe { pg_sys::get_rel_name(relid) };
    // SAFETY: as above.
    let schema = unsafe { pg_sys::get_rel_namespace(relid) };
    // SAFETY: as above.
    let schema = unsafe { pg_sys::get_namespace_name(schema) };
    match (to_string(schema), to_string(name)) {
        (Some(schema), Some(name)) => spi::quote_qualified_identifier(schema, name),
        _ => relid.to_u32().to_string(),
    }
}

/// The table's triggers of ours, enabled or not. One that has any has been attached, whatever it is
/// called now.
pub fn stamping_triggers(table: &OpenTable, stamper: Oid) -> Vec<String> {
    let ours = triggers(table).iter().filter(|trigger| trigger.tgfoid == stamper);
    ours.filter_map(|trigger| to_string(trigger.tgname)).collect()
}

/// The name of column `attno`.
pub fn column_name(table: &OpenTable, attno: i16) -> String {
    table.column(attno).map(|column| name_str(&column.attname)).unwrap_or_default()
}

/// A relation that `attach` can guard at all, whatever its columns.
pub fn check_kind(table: &OpenTable) -> Result<(), GuardError> {
    let class = table.relation().rd_rel;
    // SAFETY: an open relation has its row of pg_class.
    let class = unsafe { &*class };
    let name = qualified_name(table.oid());
    let is_catalog = table.oid().to_u32() < pg_sys::FirstNormalObjectId;
    let kind = class.relkind as u8;
    let refusal = match kind {
        pg_sys::RELKIND_PARTITIONED_TABLE => Some("a partitioned table"),
        pg_sys::RELKIND_FOREIGN_TABLE => Some("a foreign table"),
        pg_sys::RELKIND_RELATION if class.relispartition => Some("a partition"),
        pg_sys::RELKIND_RELATION if class.relam != pg_sys::HEAP_TABLE_AM_OID => {
            Some("not a heap table")
        }
        _ => None,
    };
    if let Some(refusal) = refusal {
        return Err(GuardError::new(
            Mistake::UnsupportedTable,
            format!("{name} is {refusal}, and cannot be guarded"),
            advice::attach_something(),
        ));
    }
    if kind != pg_sys::RELKIND_RELATION || is_catalog {
        return Err(GuardError::new(
            Mistake::NotATable,
            format!("{name} is not an ordinary table"),
            advice::attach_something(),
        ));
    }
    match class.relpersistence as u8 {
        pg_sys::RELPERSISTENCE_PERMANENT => Ok(()),
        pg_sys::RELPERSISTENCE_UNLOGGED => Err(GuardError::new(
            Mistake::NotPermanent,
            format!("table {name} is unlogged"),
            format!("ALTER TABLE {name} SET LOGGED;"),
        )
        .detail("A crash empties it without a trigger, and a re-used id would revive a session.")),
        _ => Err(GuardError::new(
            Mistake::NotPermanent,
            format!("table {name} is temporary"),
            advice::attach_something(),
        )),
    }
}

fn to_string(name: *const c_char) -> Option<String> {
    if name.is_null() {
        return None;
    }
    // SAFETY: a name that the catalogs gave out is NUL-terminated.
    let name = unsafe { CStr::from_ptr(name) };
    Some(name.to_string_lossy().into_owned())
}

fn name_str(name: &pg_sys::NameData) -> String {
    to_string(name.data.as_ptr()).unwrap_or_default()
}

/// The number of the column of this name, never a system column's.
fn column_number(table: &OpenTable, name: &str) -> Option<i16> {
    let name = CString::new(name).ok()?;
    // SAFETY: looks up the system cache; zero comes back for a name that is no column's.
    let attno = unsafe { pg_sys::get_attnum(table.oid(), name.as_ptr()) };
    (attno > 0).then_some(attno)
}

fn id_column(table: &OpenTable, attno: i16) -> Result<IdColumn, GuardError> {
    let refuse = |mistake, why: String| {
        let name = qualified_name(table.oid());
        let column = spi::quote_identifier(column_name(table, attno));
        let message = format!("column {column} of table {name} {why}");
        Err(GuardError::new(mistake, message, advice::attach_or_look(table.oid(), &name)))
    };
    let Some(column) = table.column(attno) else {
        return refuse(Mistake::NoSuchColumn, "is gone".into());
    };
    let id_type = match column.atttypid {
        pg_sys::INT2OID => IdType::Int2,
        pg_sys::INT4OID => IdType::Int4,
        pg_sys::INT8OID => IdType::Int8,
        pg_sys::UUIDOID => IdType::Uuid,
        pg_sys::TEXTOID | pg_sys::VARCHAROID => IdType::Text,
        other => {
            // SAFETY: an OID that the catalogs gave out; the result is NUL-terminated.
            let type_name = to_string(unsafe { pg_sys::format_type_be(other) });
            let why = format!("is of type {}, not an id's", type_name.unwrap_or_default());
            return refuse(Mistake::UnsupportedIdType, why).map_err(|error| {
                error.detail("An id is a smallint, integer, bigint, uuid, text or varchar.")
            });
        }
    };
    if compat::is_virtual(column) {
        return refuse(Mistake::UnsupportedIdType, "is a virtual generated column".into());
    }
    let collation = column.attcollation;
    // SAFETY: an OID that the catalogs gave out.
    if id_type == IdType::Text && !unsafe { pg_sys::get_collation_isdeterministic(collation) } {
        let name = qualified_name(table.oid());
        let column = spi::quote_identifier(column_name(table, attno));
        return Err(GuardError::new(
            Mistake::NondeterministicId,
            format!("column {column} of table {name} has a nondeterministic collation"),
            format!("ALTER TABLE {name} ALTER COLUMN {column} TYPE text COLLATE \"C\";"),
        )
        .detail("Ids that compare equal must be the same text."));
    }
    Ok(IdColumn { attno, id_type, collation })
}

fn check_active(table: &OpenTable, attno: i16) -> Result<(), GuardError> {
    let is_stored_boolean = table
        .column(attno)
        .is_some_and(|column| column.atttypid == pg_sys::BOOLOID && !compat::is_virtual(column));
    if is_stored_boolean {
        return Ok(());
    }
    let name = qualified_name(table.oid());
    let column = spi::quote_identifier(column_name(table, attno));
    Err(GuardError::new(
        Mistake::ActiveNotBoolean,
        format!("column {column} of table {name} is not a stored boolean"),
        advice::attach_or_look(table.oid(), &name),
    ))
}

fn no_such_column(table: &OpenTable, column: &str) -> GuardError {
    let name = qualified_name(table.oid());
    GuardError::new(
        Mistake::NoSuchColumn,
        format!("table {name} has no column {}", spi::quote_identifier(column)),
        advice::attach_or_look(table.oid(), &name),
    )
}

fn column_gone(table: &OpenTable, row: &GuardRow, column: &str) -> GuardError {
    let name = qualified_name(table.oid());
    GuardError::new(
        Mistake::ColumnGone,
        format!("guarded column {} of table {name} is gone", spi::quote_identifier(column)),
        advice::detach_statement(&name),
    )
    .detail(format!("Guarded as {}", advice::attach_again(row, None)))
}

fn triggers(table: &OpenTable) -> &[pg_sys::Trigger] {
    let description = table.relation().trigdesc;
    if description.is_null() {
        return &[];
    }
    // SAFETY: the description of an open relation stays while the relation is open.
    let description = unsafe { &*description };
    let count = usize::try_from(description.numtriggers).unwrap_or(0);
    // SAFETY: PostgreSQL fills as many as it counts.
    unsafe { std::slice::from_raw_parts(description.triggers, count) }
}

fn trigger<'a>(table: &'a OpenTable, name: &str, stamper: Oid) -> Option<&'a pg_sys::Trigger> {
    triggers(table).iter().find(|trigger| {
        trigger.tgfoid == stamper && to_string(trigger.tgname).as_deref() == Some(name)
    })
}

/// The columns that the update trigger compares, in the order in which `attach` wrote them: id,
/// active, then those of `revoke_on`. `None` if there is no such trigger, or its clause is another.
fn watched_columns(table: &OpenTable, stamper: Oid) -> Option<Vec<i16>> {
    let clause = trigger(table, UPDATE_TRIGGER, stamper)?.tgqual;
    if clause.is_null() {
        return None;
    }
    // SAFETY: a trigger's clause is the text of an expression tree.
    let tree = unsafe { pg_sys::stringToNode(clause) };
    // SAFETY: a WHEN clause has neither aggregates nor placeholders, which would raise.
    let columns = unsafe { pg_sys::pull_var_clause(tree.cast(), 0) };
    // SAFETY: pull_var_clause returns a list of Var nodes.
    let columns = unsafe { pgrx::PgList::<pg_sys::Var>::from_pg(columns) };
    let columns: Vec<(u32, i16)> = columns
        .iter_ptr()
        .map(|column| {
            // SAFETY: as above.
            let column = unsafe { &*column };
            (column.varno as u32, column.varattno)
        })
        .collect();
    let (pairs, []) = columns.as_chunks::<2>() else {
        return None;
    };
    pairs
        .iter()
        .map(|&[(old, before), (new, after)]| {
            let is_comparison = (old, new) == (pg_sys::PRS2_OLD_VARNO, pg_sys::PRS2_NEW_VARNO);
            (is_comparison && before == after).then_some(before)
        })
        .collect()
}

fn why_disarmed(table: &OpenTable, guard: &Guard, stamper: Oid, watched: &[i16]) -> Option<String> {
    TRIGGERS.into_iter().find_map(|(name, kind)| {
        let Some(trigger) = trigger(table, name, stamper) else {
            return Some(format!("trigger {name} is missing"));
        };
        match trigger.tgenabled as u8 {
            pg_sys::TRIGGER_FIRES_ALWAYS => {}
            b'D' => return Some(format!("trigger {name} is disabled")),
            _ => return Some(format!("trigger {name} is not ENABLE ALWAYS")),
        }
        let is_update = name == UPDATE_TRIGGER;
        let fires_as_made = trigger.tgtype as u32 == kind
            && trigger.tgnattr == 0
            && (is_update || trigger.tgqual.is_null());
        let columns =
            [guard.id.attno, guard.active].into_iter().chain(guard.revoke_on.iter().copied());
        if !fires_as_made || is_update && !columns.eq(watched.iter().copied()) {
            return Some(format!("trigger {name} fires on other changes than the guard's"));
        }
        None
    })
}

fn unique_index(table: &OpenTable, id: IdColumn) -> Option<UniqueIndex> {
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
    // SAFETY: the index is open.
    let predicate = unsafe { pg_sys::RelationGetIndexPredicate(index.as_ptr()) };
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
    let is_usable = predicate.is_null() && orders_ids && is_exact;
    is_usable.then_some(UniqueIndex { oid: index.oid(), collation })
}

/// The operator family of `uuid` in btree indexes, `pg_catalog.uuid_ops`: fixed, but without a
/// name in PostgreSQL's headers.
const UUID_BTREE_FAM_OID: Oid = Oid::from_u32(2968);
