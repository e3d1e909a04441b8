//! A guard: what was last given to `attach`, and what it means in the catalogs now.

use super::columns::{GuardColumns, IdColumn};
use super::extension::{self, ExtensionRelations};
use super::hints;
use super::partitions::{self, Partition, Partitions};
use super::status_column::StatusColumn;
use super::triggers::{self, USERS_TRIGGERS};
use super::unwatched::TriggerState;
use crate::core::status::ActiveWhen;
use crate::core::user_id::{IdType, UserId};
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::datum::Name;
use crate::pg::names::{RelationName, extension_function, shown_identifier, shown_type};
use crate::pg::relation::{Column, Lock, Persistence, Relation, RelationKind};
use crate::pg::roles::{has_rights_of, shown_role};
use crate::pg::snapshot::Snapshot;
use pgrx::Array;
use pgrx::pg_sys::{self, Oid};
use std::rc::Rc;

/// A row of `session_guard.guard`: what was last given to `attach`.
#[derive(Clone, Debug)]
pub struct GuardRow {
    /// The guard's name, which never changes: the qualified name that the table had at first.
    pub name: String,
    /// The table's name when it was last attached or reconciled.
    pub table: RelationName,
    /// The table's owner then: a table that is made again under the name must be that role's.
    pub table_owner: String,
    /// The id column's name.
    pub id_column: String,
    /// The status column's name.
    pub active_column: String,
    /// How the status column is read, as it was written.
    pub active_when: String,
    /// The names of the columns whose change also revokes.
    pub revoke_on: Vec<String>,
    /// How long a session may last, in microseconds.
    pub max_session_age: Option<i64>,
    /// Whether calls that name no table mean this one.
    pub is_default: bool,
    /// Whether it was detached: then its row keeps the options and the name for the next attach.
    pub is_detached: bool,
}

/// The rows of `session_guard.guard`, in the order of their names.
pub fn read_rows(table: Oid) -> Vec<GuardRow> {
    let mut rows = Vec::new();
    let Some(table) = Relation::open(table, Lock::Read) else { return rows };
    // The columns by their numbers in sql/tables.sql.
    table.scan(&Snapshot::latest(&table), |row| {
        rows.push(GuardRow {
            name: row.string(1),
            table: RelationName { schema: row.name(2), name: row.name(3) },
            table_owner: row.name(4),
            id_column: row.name(5),
            active_column: row.name(6),
            active_when: row.string(7),
            revoke_on: row.names(8).unwrap_or_default(),
            max_session_age: row.interval(9),
            is_default: row.bool(10) == Some(true),
            is_detached: !row.is_null(12),
        });
    });
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    rows
}

/// A guarded table, resolved against the catalogs.
#[derive(Debug)]
pub struct Guard {
    /// The guard's name.
    pub name: Rc<str>,
    /// The table.
    pub relid: Oid,
    /// Its columns.
    pub columns: Rc<GuardColumns>,
    /// Whether an id names one row.
    pub is_id_unique: bool,
    /// How long a session may last, in microseconds.
    pub max_session_age: Option<i64>,
    /// Its partitions, if it has any: then no row lies in the table itself.
    pub partitions: Option<Partitions>,
    /// Why the guard is not armed; empty when it is.
    pub disarmed: Vec<String>,
    /// The table's name when it was attached, if it has another now.
    pub renamed_from: Option<RelationName>,
    /// Set if a column was renamed and another column has its name. The triggers go on with the one
    /// that they compare; but the app may mean the other, so nobody is let in.
    pub replaced: Option<GuardError>,
}

/// A guarded table, open, with what the catalogs say of it under the lock that it is open with.
pub struct OpenGuard {
    /// The table.
    pub users: Relation,
    /// Its guard.
    pub guard: Rc<Guard>,
    /// Where its epochs are.
    pub relations: ExtensionRelations,
}

impl Guard {
    /// Whether every change of an account is sure to be stamped and sent: what was read of it once
    /// then holds until it is invalidated. Without a unique index a second row of the same id sends
    /// nothing.
    pub fn is_sound(&self) -> bool {
        self.disarmed.is_empty()
            && self.renamed_from.is_none()
            && self.replaced.is_none()
            && self.is_id_unique
    }

    /// Whether a partition was detached or dropped, or its triggers were changed: its accounts may
    /// come back.
    pub fn has_lost_partitions(&self) -> bool {
        self.partitions.as_ref().is_some_and(|partitions| partitions.are_others_changed)
    }

    /// Resolves the row's names against the open table.
    ///
    /// A column that was renamed is found through the update trigger, which follows it.
    pub fn load(table: &Relation, row: &GuardRow, stamp: Oid) -> Result<Guard, GuardError> {
        check_heap(table)?;
        let compared =
            triggers::compared_columns(table, &USERS_TRIGGERS, stamp).unwrap_or_default();
        let mut replaced = None;
        let mut find = |name: &str, position: usize| {
            let named = table.column_named(name);
            let compared = compared.get(position).and_then(|attno| table.column(*attno));
            if let (Some(named), Some(compared)) = (&named, &compared)
                && named.attno != compared.attno
            {
                replaced = Some(column_replaced(table, row, name, &compared.name));
            }
            compared.or(named).ok_or_else(|| column_gone(table, row, name))
        };
        let (id, status) = (find(&row.id_column, 0)?, find(&row.active_column, 1)?);
        let further = row.revoke_on.iter().zip(2..);
        let revoke_on = further
            .map(|(name, position)| find(name, position).map(|column| column.attno))
            .collect::<Result<Vec<_>, _>>()?;
        let typed = id_column(table, &id)
            .and_then(|id| Ok((id, StatusColumn::new(table, &status, &row.active_when)?)));
        // Other columns may be of any type: that they are others is what is wrong.
        let (id, status) = typed.map_err(|error| replaced.clone().unwrap_or(error))?;
        let columns = GuardColumns { id, status, revoke_on };
        let mut disarmed = columns.problems(table, stamp, &row.name);
        let partitions = Partitions::load(table, &columns, &row.name, stamp)?;
        disarmed.extend(partitions.iter().flat_map(Partitions::disarmed));
        let is_indexed = partitions.as_ref().is_none_or(|all| all.without_index.is_none());
        let name = table.name();
        Ok(Guard {
            name: row.name.as_str().into(),
            relid: table.oid(),
            is_id_unique: is_indexed && table.unique_index(id.attno, id.id_type).is_some(),
            columns: Rc::new(columns),
            partitions,
            max_session_age: row.max_session_age,
            disarmed,
            renamed_from: (name != row.table).then(|| row.table.clone()),
            replaced,
        })
    }

    /// Whether it is armed, but for partitions that were attached since.
    pub fn is_armed_but_for_added(&self) -> bool {
        let added = self.partitions.as_ref().map_or(0, |partitions| partitions.added.len());
        self.disarmed.len() == added
    }

    /// Whether the table's own triggers say that this guard may read these columns, and read them
    /// so. Where they do not, the extension's owner must have the rights of the table's.
    pub fn has_consent(&self, table: &Relation, stamp: Oid) -> bool {
        let own = self.columns.own_comparisons();
        triggers::served_guard(table, stamp).as_deref() == Some(&*self.name)
            && agreed_active_when(table, stamp).as_ref() == Some(&self.columns.status.active_when)
            && triggers::compares_first(table, &USERS_TRIGGERS, stamp, &own)
    }
}

/// A table that holds accounts: the guarded one, or a partition of it.
#[derive(Clone, Copy)]
pub struct AccountTable<'a> {
    /// The table.
    pub table: &'a Relation,
    /// The guard's columns in it.
    pub columns: &'a GuardColumns,
}

/// The tables that hold accounts of a guard, open.
pub struct AccountTables<'a> {
    open: &'a OpenGuard,
    /// Empty where the guarded table is not partitioned.
    partitions: Vec<(Relation, &'a GuardColumns)>,
}

impl<'a> AccountTables<'a> {
    /// Opens those in which the account of this id may be. Locked before a snapshot is taken, so
    /// that none is replaced by a later one.
    pub fn of_id(open: &'a OpenGuard, id: &UserId, lock: Lock) -> AccountTables<'a> {
        let guard = &open.guard;
        let meant = guard
            .partitions
            .as_ref()
            .map_or(Vec::new(), |partitions| partitions.of_id(&open.users, &guard.columns, id));
        AccountTables::open(open, meant.into_iter(), lock)
    }

    /// Opens all.
    pub fn all(open: &'a OpenGuard, lock: Lock) -> AccountTables<'a> {
        let all = open.guard.partitions.iter().flat_map(|partitions| &partitions.all);
        AccountTables::open(open, all, lock)
    }

    /// Opens these partitions.
    pub fn these(open: &'a OpenGuard, relids: &[Oid], lock: Lock) -> AccountTables<'a> {
        let all = open.guard.partitions.iter().flat_map(|partitions| &partitions.all);
        AccountTables::open(open, all.filter(|one| relids.contains(&one.relid)), lock)
    }

    /// A partition that was detached while this waited for the lock has no accounts any more.
    fn open(
        open: &'a OpenGuard,
        partitions: impl Iterator<Item = &'a Partition>,
        lock: Lock,
    ) -> AccountTables<'a> {
        let opened = partitions.filter_map(|partition| {
            let table = Relation::open(partition.relid, lock)?;
            table.is_partition().then_some((table, &*partition.columns))
        });
        AccountTables { open, partitions: opened.collect() }
    }

    /// Each.
    pub fn iter(&self) -> impl Iterator<Item = AccountTable<'_>> {
        let guard = &self.open.guard;
        let itself = AccountTable { table: &self.open.users, columns: &guard.columns };
        let itself = guard.partitions.is_none().then_some(itself);
        let partitions = self.partitions.iter();
        itself.into_iter().chain(partitions.map(|(table, columns)| AccountTable { table, columns }))
    }

    /// The guard.
    pub fn guard(&self) -> &'a OpenGuard {
        self.open
    }
}

impl OpenGuard {
    /// The guard's columns in a table whose triggers serve it: the guarded one, or a partition.
    pub fn columns_of(&self, relid: Oid) -> Option<Rc<GuardColumns>> {
        match &self.guard.partitions {
            None => Some(Rc::clone(&self.guard.columns)),
            Some(partitions) => partitions.columns_of(relid).or_else(|| {
                // Such as one that is being detached.
                let partition = Relation::open(relid, Lock::Read)?;
                self.guard.columns.in_partition(&self.users, &partition).map(Rc::new)
            }),
        }
    }
}

/// How the status column is read, by what the table's update trigger says: what the table's owner
/// has agreed to, whatever the guard's row says now.
pub fn agreed_active_when(table: &Relation, stamp: Oid) -> Option<ActiveWhen> {
    let arguments = triggers::arguments_of_update(table, &USERS_TRIGGERS, stamp)?;
    ActiveWhen::parse(arguments.get(1)?)
}

/// What `attach` asks of the columns, checked in the order in which a user would correct them.
pub fn check_columns(
    table: &Relation,
    id: &str,
    status: &str,
    active_when: &str,
    revoke_on: &[String],
) -> Result<GuardColumns, GuardError> {
    let id = id_column(table, &column(table, id)?)?;
    let status = StatusColumn::checked(table, &column(table, status)?, active_when)?;
    let mut further = Vec::new();
    for name in revoke_on {
        let column = column(table, name)?;
        if column.is_virtual {
            let message = format!(
                "column {} of table {} is a virtual generated column",
                shown_identifier(&column.name),
                table.shown_name()
            );
            let hint = hints::other_column(&table.name());
            return Err(GuardError::new(ErrorKind::UnsupportedTable, message, hint)
                .detail("Its changes are changes of the columns that it is made of."));
        }
        further.push(column.attno);
    }
    Ok(GuardColumns { id, status, revoke_on: further })
}

/// The names, each once. No table has more columns (PostgreSQL manual, appendix K).
pub fn column_names(names: &Array<Name>) -> Result<Vec<String>, GuardError> {
    const MAX_COLUMNS: usize = 1600;
    if names.len() > MAX_COLUMNS {
        let message = "too many columns are named";
        let hint = Hint::advice("Name each column once. A table has 1600 at the most.");
        return Err(GuardError::new(ErrorKind::InvalidValue, message, hint));
    }
    let mut columns: Vec<String> = Vec::new();
    for Name(name) in names.iter().flatten() {
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    Ok(columns)
}

/// A column by its name.
pub fn column(table: &Relation, name: &str) -> Result<Column, GuardError> {
    table.column_named(name).ok_or_else(|| {
        let message =
            format!("table {} has no column {}", table.shown_name(), shown_identifier(name));
        GuardError::new(ErrorKind::NoSuchColumn, message, hints::other_column(&table.name()))
    })
}

/// A relation that `watch` can take at all, whatever its columns.
pub fn check_related_kind(table: &Relation) -> Result<(), GuardError> {
    let what = match table.kind() {
        RelationKind::Partitioned => "a partitioned table",
        _ if table.is_partition() => "a partition",
        _ => return check_kind(table),
    };
    let GuardError { kind, message, .. } = unsupported(table, what);
    Err(GuardError::new(kind, message, hints::table_beside_partitions()))
}

/// A relation that `attach` can take at all, whatever its columns.
pub fn check_kind(table: &Relation) -> Result<(), GuardError> {
    check_heap(table)?;
    let name = table.shown_name();
    if table.is_partition() {
        let message = format!("{name} is a partition, and cannot be guarded");
        let hint = hints::guard_whole_table(crate::pg::partitions::above(table.oid()).last());
        return Err(GuardError::new(ErrorKind::UnsupportedTable, message, hint));
    }
    let stamp = extension_function(c"stamp").unwrap_or(pg_sys::InvalidOid);
    partitions::check(table, stamp)?;
    if table.is_of_extension() {
        return Err(unsupported(table, "a table of the extension itself"));
    }
    if table.is_system_catalog() {
        return Err(unsupported(table, "a system catalog"));
    }
    match table.persistence() {
        Persistence::Permanent => Ok(()),
        Persistence::Unlogged => Err(GuardError::new(
            ErrorKind::NotPermanent,
            format!("table {name} is unlogged"),
            Hint::run("To make it permanent, run", format!("ALTER TABLE {name} SET LOGGED;")),
        )
        .detail("A crash empties it without a trigger, and a re-used id would revive a session.")),
        Persistence::Temporary => Err(GuardError::new(
            ErrorKind::NotPermanent,
            format!("table {name} is temporary"),
            hints::ordinary_table(),
        )),
    }
}

/// A relation whose rows can be read and locked as those of a users table. Checked whenever a guard
/// is loaded: what was a table may have become something else, and rows of `session_guard.guard`
/// may be written by hand.
fn check_heap(table: &Relation) -> Result<(), GuardError> {
    match table.kind() {
        // The partitions are looked at by themselves.
        RelationKind::Heap | RelationKind::Partitioned => Ok(()),
        RelationKind::OtherMethod => {
            let name = table.shown_name();
            let statement = format!("ALTER TABLE {name} SET ACCESS METHOD heap;");
            let hint = Hint::run("To make it a heap table, run", statement);
            let message = format!("{name} is not a heap table, and cannot be guarded");
            Err(GuardError::new(ErrorKind::UnsupportedTable, message, hint))
        }
        RelationKind::Foreign => Err(unsupported(table, "a foreign table")),
        RelationKind::Other => {
            let message = format!("{} is not an ordinary table", table.shown_name());
            Err(GuardError::new(ErrorKind::NotATable, message, hints::ordinary_table()))
        }
    }
}

fn unsupported(table: &Relation, what: &str) -> GuardError {
    let message = format!("{} is {what}, and cannot be guarded", table.shown_name());
    GuardError::new(ErrorKind::UnsupportedTable, message, hints::ordinary_table())
}

/// A column that can hold ids, checked.
pub fn id_column(table: &Relation, column: &Column) -> Result<IdColumn, GuardError> {
    let shown = shown_identifier(&column.name);
    let name = table.shown_name();
    let refuse = |kind, why: String, hint| {
        GuardError::new(kind, format!("column {shown} of table {name} {why}"), hint)
    };
    let Some(id_type) = column.id_type() else {
        let why = format!("is of type {}, not an id's", shown_type(column.type_oid));
        let hint = hints::other_column(&table.name());
        return Err(refuse(ErrorKind::UnsupportedIdType, why, hint)
            .detail("An id is a smallint, integer, bigint, uuid, text or varchar."));
    };
    if column.is_virtual {
        let why = "is a virtual generated column".to_owned();
        let hint = hints::other_column(&table.name());
        return Err(refuse(ErrorKind::UnsupportedIdType, why, hint));
    }
    if id_type == IdType::Text && column.is_nondeterministic() {
        let why = "has a nondeterministic collation".to_owned();
        let hint = Hint::advice("Give the column a deterministic collation, such as \"C\".");
        return Err(refuse(ErrorKind::NondeterministicId, why, hint)
            .detail("Ids that compare equal must be the same text."));
    }
    Ok(IdColumn { attno: column.attno, id_type })
}

fn column_gone(table: &Relation, row: &GuardRow, column: &str) -> GuardError {
    let name = table.name();
    // Without one of the further columns the guard is a guard still.
    let rest: Vec<String> =
        row.revoke_on.iter().filter(|other| *other != column).cloned().collect();
    let hint = match rest.len() < row.revoke_on.len() {
        true => {
            let sentence = "To go on without it, run";
            hints::attach_with(sentence, &name, &[hints::revoke_on_option(&rest)])
        }
        false => Hint::advice(format!(
            "Name the column that has taken its place: \
             SELECT session_guard.attach({}, id_column => \
             ..., active_column => ...);",
            name.literal()
        )),
    };
    let column = shown_identifier(column);
    let message = format!("guarded column {column} of table {} is gone", name.shown());
    GuardError::new(ErrorKind::ColumnGone, message, hint)
}

fn column_replaced(table: &Relation, row: &GuardRow, column: &str, compared: &str) -> GuardError {
    let name = table.name();
    let rename = |other: &String| match other == column {
        true => compared.to_owned(),
        false => other.clone(),
    };
    let literal = |text: &String| crate::pg::names::quote_literal(&rename(text));
    let revoke_on: Vec<String> = row.revoke_on.iter().map(rename).collect();
    let options = [
        format!("id_column => {}", literal(&row.id_column)),
        format!("active_column => {}", literal(&row.active_column)),
        hints::revoke_on_option(&revoke_on),
    ];
    let message = format!(
        "column {} of table {} is not the one that its triggers compare",
        shown_identifier(column),
        name.shown()
    );
    let sentence = format!(
        "Name the column that is meant. If it is {}, as the triggers have it, run",
        shown_identifier(compared)
    );
    GuardError::new(
        ErrorKind::ColumnReplaced,
        message,
        hints::attach_with(&sentence, &name, &options),
    )
    .detail(format!("They compare {}.", shown_identifier(compared)))
}

/// The table of this OID, for calls that name one.
pub fn open_named(relid: Oid, lock: Lock) -> Result<Relation, GuardError> {
    Relation::open(relid, lock).ok_or_else(|| no_such_table(relid, hints::list_guards()))
}

/// An OID that a client has kept, or made up.
pub fn no_such_table(relid: Oid, hint: Hint) -> GuardError {
    let message = format!("there is no table with OID {}", relid.to_u32());
    GuardError::new(ErrorKind::TableGone, message, hint)
}

/// Whether a row's columns are what an owner of the table has once given to `attach`, or who may
/// have written the row, the extension's owner, has that role's rights. Who calls does not count: a
/// superuser knows no more of it than anybody.
pub fn is_row_trusted(row: &GuardRow, table: &Relation, stamp: Oid) -> bool {
    extension::owner().is_some_and(|owner| has_rights_of(owner, table.owner()))
        || TriggerState::of_users(&row.name, table.oid(), stamp).was_recorded()
}

/// A guard whose table is nowhere. A table of its name that the recorded owner owns would be it.
pub fn table_gone(row: &GuardRow) -> GuardError {
    let message = format!("guarded table {} is gone", row.table.shown());
    let other = row.table.find().and_then(|relid| Relation::open(relid, Lock::Read));
    let Some(other) = other.filter(|other| check_kind(other).is_ok()) else {
        return GuardError::new(ErrorKind::TableGone, message, hints::restore_table());
    };
    let stamp = extension_function(c"stamp").unwrap_or(pg_sys::InvalidOid);
    let hint = match is_row_trusted(row, &other, stamp) {
        true => hints::attach_with("If that is the table to guard, run", &row.table, &[]),
        false => hints::attach_table(&row.table),
    };
    let owner = shown_role(other.owner());
    GuardError::new(ErrorKind::TableGone, message, hint)
        .detail(format!("The table that has its name now is owned by {owner}."))
}
