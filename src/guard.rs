//! One guarded table's catalog facts, and what may be guarded.

use crate::advice;
use crate::armed::{watched_columns, why_disarmed};
use crate::compat;
use crate::epoch::Instant;
use crate::error::{GuardError, Mistake};
use crate::index::{UniqueIndex, unique_index};
use crate::name::{column_name, column_number, qualified_name, to_string};
use crate::scan::OpenTable;
use crate::user_id::IdType;
use pgrx::pg_sys::{self, Oid};
use pgrx::spi;

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
    /// When the guard was last found without all its triggers.
    pub unwatched_at: Option<Instant>,
    /// How long a session may last, in microseconds.
    pub max_session_age: Option<i64>,
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
    /// How long a session may last, in microseconds.
    pub max_session_age: Option<i64>,
    /// Why the guard is not armed; `None` when it is.
    pub disarmed: Option<String>,
    /// The table's name when it was attached, if it has another now.
    pub renamed_from: Option<String>,
    /// That a column was renamed, and another has its name now. The triggers go on with the one that
    /// they watch; but the app may mean the other, so nobody is let in.
    pub replaced: Option<GuardError>,
}

impl Guard {
    /// Whether every change of an account is sure to be stamped and told of: what was read of it once
    /// then holds until there is news. Without a unique index a second row of the same id is none.
    pub fn is_sound(&self) -> bool {
        self.disarmed.is_none()
            && self.renamed_from.is_none()
            && self.replaced.is_none()
            && self.index.is_some()
    }

    /// Resolves the row's names against the open table.
    ///
    /// A column that was renamed is found through the update trigger, which follows it.
    pub fn load(table: &OpenTable, row: &GuardRow, stamper: Oid) -> Result<Guard, GuardError> {
        check_heap(table)?;
        let watched = watched_columns(table, stamper).unwrap_or_default();
        let mut replaced = None;
        let mut find = |name: &str, position: usize| {
            let (named, watched) = (column_number(table, name), watched.get(position).copied());
            if let (Some(named), Some(watched)) = (named, watched)
                && named != watched
            {
                replaced = Some(column_replaced(table, row, name, watched));
            }
            watched.or(named).ok_or_else(|| column_gone(table, row, name))
        };
        let id = id_column(table, find(&row.id_column, 0)?)?;
        let active = find(&row.active_column, 1)?;
        check_active(table, active)?;
        let further = row.revoke_on.iter().zip(2..);
        let revoke_on =
            further.map(|(name, position)| find(name, position)).collect::<Result<Vec<_>, _>>()?;
        let disarmed = why_disarmed(table, (id.attno, active, &revoke_on), stamper, &watched);
        let index = unique_index(table, id);
        let is_renamed = qualified_name(table.oid()) != row.table_name;
        let renamed_from = is_renamed.then(|| row.table_name.clone());
        Ok(Guard {
            relid: table.oid(),
            id,
            active,
            revoke_on,
            index,
            max_session_age: row.max_session_age,
            disarmed,
            renamed_from,
            replaced,
        })
    }

    /// What `attach` asks of the columns, checked in the order in which a user would mend them: the
    /// id column, and the numbers of all, as the update trigger is to watch them.
    pub fn check(
        table: &OpenTable,
        id_column_name: &str,
        active_column_name: &str,
        revoke_on: &[String],
    ) -> Result<(IdColumn, Vec<i16>), GuardError> {
        let find =
            |name: &str| column_number(table, name).ok_or_else(|| no_such_column(table, name));
        let id = id_column(table, find(id_column_name)?)?;
        let active = find(active_column_name)?;
        check_active(table, active)?;
        let mut columns = vec![id.attno, active];
        for name in revoke_on {
            columns.push(find(name)?);
        }
        Ok((id, columns))
    }
}

/// A relation that `attach` can guard at all, whatever its columns.
pub fn check_kind(table: &OpenTable) -> Result<(), GuardError> {
    check_heap(table)?;
    let class = class_of(table);
    let name = qualified_name(table.oid());
    if class.relispartition {
        return Err(unsupported(&name, "a partition"));
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

/// A relation whose rows can be read and locked as those of a users table. Checked whenever a guard
/// is loaded: what was a table may have become something else, and rows of `session_guard.guard` may
/// be written by hand.
fn check_heap(table: &OpenTable) -> Result<(), GuardError> {
    let class = class_of(table);
    let name = qualified_name(table.oid());
    let is_catalog = table.oid().to_u32() < pg_sys::FirstNormalObjectId;
    match class.relkind as u8 {
        pg_sys::RELKIND_PARTITIONED_TABLE => Err(unsupported(&name, "a partitioned table")),
        pg_sys::RELKIND_FOREIGN_TABLE => Err(unsupported(&name, "a foreign table")),
        pg_sys::RELKIND_RELATION if is_catalog => Err(not_a_table(&name)),
        pg_sys::RELKIND_RELATION if class.relam != pg_sys::HEAP_TABLE_AM_OID => {
            Err(unsupported(&name, "not a heap table"))
        }
        pg_sys::RELKIND_RELATION => Ok(()),
        _ => Err(not_a_table(&name)),
    }
}

fn class_of(table: &OpenTable) -> &pg_sys::FormData_pg_class {
    // SAFETY: an open relation has its row of pg_class.
    unsafe { &*table.relation().rd_rel }
}

fn not_a_table(name: &str) -> GuardError {
    let message = format!("{name} is not an ordinary table");
    GuardError::new(Mistake::NotATable, message, advice::attach_something())
}

fn unsupported(name: &str, what: &str) -> GuardError {
    let message = format!("{name} is {what}, and cannot be guarded");
    GuardError::new(Mistake::UnsupportedTable, message, advice::attach_something())
}

/// A column that can hold ids, checked.
pub fn id_column(table: &OpenTable, attno: i16) -> Result<IdColumn, GuardError> {
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
    // Without one of the further columns the guard is a guard still.
    let mut rest = row.clone();
    rest.revoke_on.retain(|other| other != column);
    let hint = match rest.revoke_on.len() < row.revoke_on.len() {
        true => advice::attach_again(&rest, None),
        false => advice::detach_statement(&name),
    };
    let column = spi::quote_identifier(column);
    let message = format!("guarded column {column} of table {name} is gone");
    GuardError::new(Mistake::ColumnGone, message, hint)
        .detail(format!("Guarded as {}", advice::attach_again(row, None)))
}

fn column_replaced(table: &OpenTable, row: &GuardRow, column: &str, watched: i16) -> GuardError {
    let name = qualified_name(table.oid());
    let renamed = column_name(table, watched);
    let rename = |other: &String| if other == column { renamed.clone() } else { other.clone() };
    let meant = GuardRow {
        table_name: name.clone(),
        id_column: rename(&row.id_column),
        active_column: rename(&row.active_column),
        revoke_on: row.revoke_on.iter().map(rename).collect(),
        ..row.clone()
    };
    let message = format!(
        "column {} of table {name} is not the one that its triggers watch",
        spi::quote_identifier(column)
    );
    GuardError::new(Mistake::ColumnReplaced, message, advice::attach_again(&meant, None))
        .detail(format!("They watch {}.", spi::quote_identifier(&renamed)))
}
