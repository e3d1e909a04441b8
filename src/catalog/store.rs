//! A session store: a table in which an app keeps its sessions, or the time from which they are
//! void.

use super::columns::IdColumn;
use super::guard;
use super::unwatched::{AddedStore, TriggerState};
use crate::core::user_id::IdType;
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::names::{
    RelationName, quote_identifier, quote_literal, shown_identifier, shown_relation, shown_type,
};
use crate::pg::partitions::below_of_another_owner;
use crate::pg::relation::{Column, Lock, Persistence, Relation, RelationKind};
use crate::pg::roles;
use crate::pg::snapshot::Snapshot;
use crate::pg::tuple::Tuple;
use pgrx::pg_sys::{self, Oid};

/// A row of `session_guard.store`: what was last given to `add_store`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreRow {
    /// The guard's name.
    pub guard: String,
    /// The table's name.
    pub table: RelationName,
    /// The table's owner, as who has that role's rights has said.
    pub table_owner: String,
    /// The column that names the user.
    pub user_id_column: String,
    /// The column that is raised; `None`: the user's rows are deleted.
    pub revoked_at_column: Option<String>,
}

/// The rows of `session_guard.store`, in the order of their names.
pub fn read_rows(table: Oid) -> Vec<StoreRow> {
    let mut rows = Vec::new();
    let Some(table) = Relation::open(table, Lock::Read) else { return rows };
    table.scan(&Snapshot::latest(&table), |row| rows.push(StoreRow::of(row)));
    rows.sort_by(|a, b| (&a.table.schema, &a.table.name).cmp(&(&b.table.schema, &b.table.name)));
    rows
}

/// What the column that is raised holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instants {
    Timestamptz,
    /// A `timestamp` in UTC.
    Timestamp,
    /// Seconds since 1970, rounded up.
    UnixSeconds,
}

/// A store as it is now.
pub struct OpenStore {
    /// Its row, by the names that table and columns have now.
    pub row: StoreRow,
    /// The table.
    pub relid: Oid,
    /// The role that owns the table.
    pub owner: Oid,
    user_id: Column,
    id_type: IdType,
    revoked_at: Option<(Column, Instants)>,
}

/// The owner's name in a row that was replicated: no role has it.
pub const NOBODY: &str = "";
/// The number of the column `table_owner` in sql/tables.sql, as of those below.
pub const TABLE_OWNER: i16 = 4;

impl StoreRow {
    /// What a row of the table says.
    pub fn of(row: &Tuple) -> StoreRow {
        StoreRow {
            guard: row.string(1),
            table: RelationName { schema: row.name(2), name: row.name(3) },
            table_owner: row.name(TABLE_OWNER),
            user_id_column: row.name(5),
            revoked_at_column: (!row.is_null(6)).then(|| row.name(6)),
        }
    }

    /// Records that the table's owner has agreed that sessions end in it, and which table and
    /// columns these are, so that renames are followed. With the rights of the extension's owner.
    pub fn record_consent(&self, table: &Relation) {
        let columns = std::iter::once(&self.user_id_column).chain(&self.revoked_at_column);
        let numbers: Vec<i16> = columns
            .filter_map(|name| table.column_named(name))
            .map(|column| column.attno)
            .collect();
        let added = AddedStore { table: table.oid(), owner: table.owner(), columns: numbers };
        TriggerState::of_store(&self.guard, &self.table.plain(), &added).record();
    }

    /// The table of a row that is restored by who has the rights of the owner that it names, if its
    /// owner agrees by it that sessions end there: the table is there already, and is that role's.
    /// One that comes later may be anybody's.
    pub fn table_to_agree_on(&self) -> Option<Relation> {
        let table = Relation::open(self.table.find()?, Lock::Read)?;
        let is_agreed = roles::recorded_name(table.owner()) == self.table_owner
            && check_kind(&table).is_ok()
            && self.columns(&table).is_ok();
        is_agreed.then_some(table)
    }

    /// Takes that back. With the rights of the extension's owner.
    pub fn forget_consent(&self) {
        TriggerState::forget_store(&self.guard, &self.table.plain());
    }

    /// The table, whoever owns it: by its number if its owner has agreed.
    pub fn locate(&self) -> Option<Oid> {
        self.locate_added(self.added().as_ref())
    }

    fn added(&self) -> Option<AddedStore> {
        TriggerState::added_store(&self.guard, &self.table.plain())
    }

    fn locate_added(&self, added: Option<&AddedStore>) -> Option<Oid> {
        let by_number = added.map(|added| added.table);
        by_number.filter(|relid| RelationName::of(*relid).is_some()).or_else(|| self.table.find())
    }

    /// The table, if its owner has agreed that sessions end in it, and how: a row that somebody has
    /// written by hand may name anybody's table.
    pub fn open(&self) -> Result<OpenStore, GuardError> {
        let added = self.added();
        let relid = self.locate_added(added.as_ref());
        let table = relid.and_then(|relid| Relation::open(relid, Lock::Read));
        let table = table.filter(|table| check_kind(table).is_ok()).ok_or_else(|| self.gone())?;
        let is_as_agreed = |added: &AddedStore| {
            added.table == table.oid()
                && added.owner == table.owner()
                && added.columns.len() == self.columns_given()
        };
        let added = added.filter(is_as_agreed).ok_or_else(|| self.not_added(&table))?;
        if table.name() != self.table && self.table.find().is_some() {
            return Err(self.replaced(&table.name()));
        }
        self.renamed(&table, &added.columns)?.columns(&table)
    }

    fn columns_given(&self) -> usize {
        1 + usize::from(self.revoked_at_column.is_some())
    }

    /// The same row with the names that table and columns have now.
    fn renamed(&self, table: &Relation, columns: &[i16]) -> Result<StoreRow, GuardError> {
        let table_owner = roles::recorded_name(table.owner());
        let mut row = StoreRow { table: table.name(), table_owner, ..self.clone() };
        let known_as = std::iter::once(&mut row.user_id_column).chain(&mut row.revoked_at_column);
        for (known_as, attno) in known_as.zip(columns) {
            let column = table.column(*attno).ok_or_else(|| column_gone(table, known_as))?;
            *known_as = column.name;
        }
        Ok(row)
    }

    /// The app goes by the name.
    fn replaced(&self, now: &RelationName) -> GuardError {
        let message = format!(
            "session store {} has been renamed to {}, and another table has its name",
            self.table.shown(),
            now.shown()
        );
        let hint = Hint::advice(format!(
            "Call session_guard.add_store with the table in which the app keeps its sessions now. \
             If that is not {name}, call session_guard.remove_store({literal}) first.",
            name = now.shown(),
            literal = now.literal()
        ));
        GuardError::new(ErrorKind::TableReplaced, message, hint)
    }

    fn not_added(&self, table: &Relation) -> GuardError {
        let name = table.name();
        let message = format!("the owner of session store {} has not added it", name.shown());
        let revoked_at = self.revoked_at_column.as_ref().map_or(String::new(), |column| {
            format!(", revoked_at_column => {}", quote_literal(column))
        });
        let hint = Hint::advice(format!(
            "If sessions are to end in it, {} or a superuser calls \
             session_guard.add_store({}, {}{revoked_at}, users => ...).",
            roles::shown_role(table.owner()),
            name.literal(),
            quote_literal(&self.user_id_column)
        ));
        GuardError::new(ErrorKind::NotPermitted, message, hint)
    }

    fn gone(&self) -> GuardError {
        let message = format!("session store {} is gone", self.table.shown());
        let hint = Hint::advice(
            "Create or restore the table and call session_guard.add_store. If it is not wanted any \
             more, the extension's owner deletes its row of session_guard.store.",
        );
        GuardError::new(ErrorKind::TableGone, message, hint)
    }

    /// The columns, checked.
    pub fn columns(&self, table: &Relation) -> Result<OpenStore, GuardError> {
        check_owners_below(table)?;
        let user_id = guard::column(table, &self.user_id_column)?;
        let IdColumn { id_type, .. } = guard::id_column(table, &user_id)?;
        let revoked_at = match &self.revoked_at_column {
            None => None,
            Some(name) => {
                let column = guard::column(table, name)?;
                let instants = instants(table, &column)?;
                Some((column, instants))
            }
        };
        let (relid, owner) = (table.oid(), table.owner());
        Ok(OpenStore { row: self.clone(), relid, owner, user_id, id_type, revoked_at })
    }
}

impl OpenStore {
    /// The type of its users' ids.
    pub fn id_type(&self) -> IdType {
        self.id_type
    }

    /// Whether users without a row get one.
    pub fn has_row_for_each_user(&self) -> bool {
        self.revoked_at.is_some()
    }

    /// Ends the sessions of users: `$1` is a `text[]` of their ids, and `$2` the time, where a
    /// column is raised.
    pub fn end_sessions(&self) -> String {
        let (table, user_id, ids) = (self.row.table.quoted(), self.user_id(), self.array_type());
        let Some((column, now)) = self.raised("$2") else {
            return format!(
                "DELETE FROM {table} \
                 WHERE {user_id} OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[]::{ids}[])"
            );
        };
        format!(
            "INSERT INTO {table} AS s ({user_id}, {column}) \
             SELECT u, {now} FROM pg_catalog.unnest($1::pg_catalog.text[]::{ids}[]) AS u \
             ON CONFLICT ({user_id}) DO UPDATE SET {column} = EXCLUDED.{column} \
             WHERE s.{column} IS NULL OR s.{column} OPERATOR(pg_catalog.<) EXCLUDED.{column}"
        )
    }

    /// Ends all sessions that are there: `$1` is the time, where a column is raised.
    pub fn end_all(&self) -> String {
        let (table, user_id) = (self.row.table.quoted(), self.user_id());
        let Some((column, now)) = self.raised("$1") else {
            return format!("DELETE FROM {table} WHERE {user_id} IS NOT NULL");
        };
        format!(
            "UPDATE {table} AS s SET {column} = {now} \
             WHERE s.{column} IS NULL OR s.{column} OPERATOR(pg_catalog.<) {now}"
        )
    }

    fn user_id(&self) -> String {
        quote_identifier(&self.user_id.name)
    }

    fn array_type(&self) -> &'static str {
        match self.id_type {
            IdType::Int2 => "pg_catalog.int2",
            IdType::Int4 => "pg_catalog.int4",
            IdType::Int8 => "pg_catalog.int8",
            IdType::Uuid => "pg_catalog.uuid",
            IdType::Text => "pg_catalog.text",
        }
    }

    /// The column that is raised, and the time of this parameter as the column holds times.
    fn raised(&self, parameter: &str) -> Option<(String, String)> {
        let (column, instants) = self.revoked_at.as_ref()?;
        let now = match instants {
            Instants::Timestamptz => format!("{parameter}::pg_catalog.timestamptz"),
            Instants::Timestamp => format!(
                "pg_catalog.timezone('UTC'::pg_catalog.text, {parameter}::pg_catalog.timestamptz)"
            ),
            Instants::UnixSeconds => format!(
                "pg_catalog.ceil(extract(epoch FROM {parameter}::pg_catalog.timestamptz))::{}",
                match column.type_oid {
                    pg_sys::INT4OID => "pg_catalog.int4",
                    _ => "pg_catalog.int8",
                }
            ),
        };
        Some((quote_identifier(&column.name), now))
    }
}

fn instants(table: &Relation, column: &Column) -> Result<Instants, GuardError> {
    match column.type_oid {
        _ if column.is_virtual => {}
        pg_sys::TIMESTAMPTZOID => return Ok(Instants::Timestamptz),
        pg_sys::TIMESTAMPOID => return Ok(Instants::Timestamp),
        pg_sys::INT4OID | pg_sys::INT8OID => return Ok(Instants::UnixSeconds),
        _ => {}
    }
    let message = format!(
        "column {} of table {} cannot hold the time from which sessions are void",
        shown_identifier(&column.name),
        table.shown_name()
    );
    let detail = format!("The column is of type {}.", shown_type(column.type_oid));
    let hint = Hint::advice(
        "Name a timestamptz, a timestamp in UTC, or an integer or bigint of Unix seconds. To have \
         rows deleted, leave the argument out.",
    );
    Err(GuardError::new(ErrorKind::StatusMisfit, message, hint).detail(detail))
}

/// A relation that `add_store` can take at all, whatever its columns.
pub fn check_kind(table: &Relation) -> Result<(), GuardError> {
    let name = table.shown_name();
    let refuse = |what: &str, hint| {
        let message = format!("{name} is {what}, and cannot be a session store");
        Err(GuardError::new(ErrorKind::UnsupportedTable, message, hint))
    };
    let is_of_extension = table.is_of_extension();
    match table.kind() {
        _ if table.is_system_catalog() => refuse("a system catalog", ordinary_table()),
        _ if is_of_extension => refuse("a table of the extension itself", ordinary_table()),
        _ if table.is_partition() => {
            let hint = Hint::advice("Add its partitioned table: that covers all partitions.");
            refuse("a partition", hint)
        }
        RelationKind::Foreign => refuse("a foreign table", ordinary_table()),
        RelationKind::Other => refuse("not a table", ordinary_table()),
        RelationKind::Heap | RelationKind::OtherMethod | RelationKind::Partitioned => {
            match table.persistence() {
                Persistence::Temporary => refuse("a temporary table", ordinary_table()),
                _ => Ok(()),
            }
        }
    }
}

/// Who owns a table below the store has triggers there, which would run with the rights of the
/// store's owner.
fn check_owners_below(table: &Relation) -> Result<(), GuardError> {
    let Some(below) = below_of_another_owner(table) else { return Ok(()) };
    let (name, owner) = (table.shown_name(), roles::shown_role(table.owner()));
    let below = shown_relation(below);
    let message = format!("table {below} below session store {name} belongs to another role");
    let hint = Hint::advice(format!(
        "Look at its triggers and rules first: stamps call them with the rights of {owner}. Then \
         a superuser gives it to {owner}."
    ));
    Err(GuardError::new(ErrorKind::NotPermitted, message, hint))
}

fn column_gone(table: &Relation, column: &str) -> GuardError {
    let name = table.name();
    let column = shown_identifier(column);
    let message = format!("column {column} of session store {} is gone", name.shown());
    let hint = Hint::advice(format!(
        "Call session_guard.add_store({}, ...) with the columns that there are now.",
        name.literal()
    ));
    GuardError::new(ErrorKind::ColumnGone, message, hint)
}

fn ordinary_table() -> Hint {
    Hint::advice(
        "Name a permanent table, or a partitioned one. For a view, name the table that it reads.",
    )
}

/// Not a store.
pub fn not_a_store(table: &RelationName) -> GuardError {
    let message = format!("table {} is not a session store", table.shown());
    let hint = Hint::run(
        "The session stores are listed by",
        "SELECT schema_name, table_name FROM session_guard.store;",
    );
    GuardError::new(ErrorKind::NotWatched, message, hint)
}
