//! A watch: a table beside a users table whose rows belong to users, too.

use super::columns::IdColumn;
use super::extension;
use super::guard;
use super::hints;
use super::location::name_taken_by;
use super::triggers::{self, RELATED_TRIGGERS};
use super::unwatched::TriggerState;
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::names::{
    RelationName, extension_function, extension_relation, quote_literal, shown_identifier,
};
use crate::pg::relation::{Lock, Relation, RelationKind};
use crate::pg::roles::{self, shown_role};
use crate::pg::snapshot::Snapshot;
use crate::pg::triggers::relations_with_trigger_of;
use crate::pg::when_clause::Comparison;
use pgrx::pg_sys::{self, Oid};

/// A row of `session_guard.watch`: what was last given to `watch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchRow {
    /// The guard's name.
    pub guard: String,
    /// The watch's name, which never changes: the qualified name that the table had at first.
    pub name: String,
    /// The related table's name when it was last watched or reconciled.
    pub table: RelationName,
    /// The table's owner then: a table that is made again under the name must be that role's.
    pub table_owner: String,
    /// The column that names the user.
    pub user_id_column: String,
    /// The columns whose change counts, besides that; `None`: all.
    pub columns: Option<Vec<String>>,
}

/// The function that the triggers of related tables call.
pub fn stamp_related() -> Oid {
    extension_function(c"stamp_related").unwrap_or(pg_sys::InvalidOid)
}

/// The rows of `session_guard.watch`.
pub fn read_rows() -> Vec<WatchRow> {
    let mut rows = Vec::new();
    let table = extension_relation(c"watch").and_then(|oid| Relation::open(oid, Lock::Read));
    let Some(table) = table else { return rows };
    // The columns by their numbers in sql/tables.sql.
    table.scan(&Snapshot::latest(&table), |row| {
        rows.push(WatchRow {
            guard: row.string(1),
            name: row.string(2),
            table: RelationName { schema: row.name(3), name: row.name(4) },
            table_owner: row.name(5),
            user_id_column: row.name(6),
            columns: row.names(7),
        });
    });
    rows.sort_by(|a, b| (&a.table.schema, &a.table.name).cmp(&(&b.table.schema, &b.table.name)));
    rows
}

/// The watches of a guard.
pub fn rows_of(guard: &str) -> Vec<WatchRow> {
    read_rows().into_iter().filter(|row| row.guard == guard).collect()
}

impl WatchRow {
    /// The arguments of its triggers.
    pub fn arguments(&self) -> [&str; 2] {
        [&self.guard, &self.name]
    }

    /// The table of the recorded name, if its triggers serve the watch. Else another table whose
    /// triggers do. Else the table of the recorded name, if it is the recorded owner's, serves
    /// none, and its owner has agreed to be watched.
    pub fn locate(&self) -> Option<Oid> {
        let function = stamp_related();
        let serves = |relid: &Oid| {
            Relation::open(*relid, Lock::Read).is_some_and(|table| self.is_served_by(&table))
        };
        let is_recorded_owners = |relid: &Oid| {
            Relation::open(*relid, Lock::Read).is_some_and(|table| {
                triggers::served(&table, function).is_none()
                    && roles::recorded_name(table.owner()) == self.table_owner
                    && self.has_consent(&table)
            })
        };
        let by_name = self.table.find();
        let mut found = relations_with_trigger_of(function).into_iter();
        by_name
            .filter(serves)
            .or_else(|| found.find(serves))
            .or_else(|| by_name.filter(is_recorded_owners))
    }

    /// Whether the table's triggers serve the watch, with the consent of who recorded it: a role
    /// that may call their function can make triggers on a table of its own that say so, too.
    fn is_served_by(&self, table: &Relation) -> bool {
        let function = stamp_related();
        self.has_triggers_on(table)
            && (roles::recorded_name(table.owner()) == self.table_owner
                || extension::owner()
                    .is_some_and(|extension| roles::has_rights_of(table.owner(), extension))
                || TriggerState::of_related(self.arguments(), table.oid(), function).is_recorded())
    }

    /// Whether the table's triggers say that they serve the watch.
    pub fn has_triggers_on(&self, table: &Relation) -> bool {
        triggers::served(table, stamp_related()).is_some_and(|served| served == self.arguments())
    }

    /// Whether a table without triggers may get those of the watch: it had them, or who may have
    /// written the row, the extension's owner, has the rights of the table's owner. Else a row that
    /// names somebody else's table would have its ids recorded.
    fn has_consent(&self, table: &Relation) -> bool {
        extension::owner().is_some_and(|extension| roles::has_rights_of(extension, table.owner()))
            || TriggerState::of_related(self.arguments(), table.oid(), stamp_related())
                .was_recorded_here()
    }

    /// What the update trigger compares, by the names that there are now.
    pub fn comparisons(&self, table: &Relation) -> Result<(IdColumn, Vec<Comparison>), GuardError> {
        let user_id = guard::id_column(table, &guard::column(table, &self.user_id_column)?)?;
        let mut comparisons = vec![Comparison::Value(user_id.attno)];
        match &self.columns {
            None => comparisons.push(Comparison::Row),
            Some(columns) => {
                for name in columns {
                    comparisons.push(Comparison::Image(guard::column(table, name)?.attno));
                }
            }
        }
        Ok((user_id, comparisons))
    }

    /// The same row with the names that table and columns have now, which the triggers follow.
    pub fn renamed(&self, table: &Relation) -> WatchRow {
        let table_owner = roles::recorded_name(table.owner());
        let mut row = WatchRow { table: table.name(), table_owner, ..self.clone() };
        let compared = triggers::compared_columns(table, &RELATED_TRIGGERS, stamp_related());
        let names = compared.unwrap_or_default().into_iter().map(|attno| table.column_name(attno));
        let columns = row.columns.iter_mut().flatten();
        for (known_as, name) in std::iter::once(&mut row.user_id_column).chain(columns).zip(names) {
            if !name.is_empty() {
                *known_as = name;
            }
        }
        row
    }

    /// What is wrong with the watch of this users table, and what to do.
    pub fn problems(&self, users: &RelationName) -> Vec<(String, Hint)> {
        let name = self.table.shown();
        let opened = self.locate().and_then(|relid| Relation::open(relid, Lock::Read));
        let Some(table) = opened else {
            return vec![self.not_found(users)];
        };
        // Rows of other partitions belong to users as well, and call nothing. Triggers of another
        // access method's tables are called; only to put them back would be refused.
        let refusal = guard::check_related_kind(&table).err();
        let refusal = refusal.map(|error| vec![(error.message, error.hint)]);
        if table.kind() != RelationKind::OtherMethod
            && let Some(refusal) = refusal
        {
            return refusal;
        }
        let row = self.renamed(&table);
        let comparisons = match row.comparisons(&table) {
            Ok((_, comparisons)) => comparisons,
            Err(error) => {
                let hint = Hint::run(
                    format!(
                        "Call session_guard.watch({}, ...) with the column that names the user \
                         now. \
                         To watch the table no more, run",
                        row.table.literal()
                    ),
                    format!("SELECT session_guard.unwatch({});", row.table.literal()),
                );
                return vec![(error.message, hint)];
            }
        };
        let function = stamp_related();
        let problems = triggers::problems(
            &table,
            &RELATED_TRIGGERS,
            function,
            &self.arguments(),
            &comparisons,
        );
        if !problems.is_empty()
            && let Some(refusal) = refusal
        {
            return refusal;
        }
        let hint = row.watch_hint(users);
        let mut all: Vec<(String, Hint)> = problems
            .into_iter()
            .map(|problem| (format!("{name}: {problem}"), hint.clone()))
            .collect();
        if self.is_name_taken(&table) {
            let error = self.name_taken(&table, users);
            all.push((error.message, error.hint));
        } else if all.is_empty()
            && let Some((before, now)) = self.first_renamed(&row)
        {
            all.push((format!("{name}: {before} is {now} now"), hints::reconcile(users)));
        }
        all
    }

    /// Whether the watched table has another name now, and a table of its owner's that nobody
    /// watches has the recorded one: which of both is meant, only the user knows.
    pub fn is_name_taken(&self, table: &Relation) -> bool {
        let other = name_taken_by(&self.table).filter(|_| table.name() != self.table);
        other.and_then(|relid| Relation::open(relid, Lock::Read)).is_some_and(|other| {
            other.owner() == table.owner() && triggers::served(&other, stamp_related()).is_none()
        })
    }

    /// Why no call goes on with either. Without the rights of the owner, who wrote the row may have
    /// written a name and columns that the owner has not agreed to: then there is no statement.
    pub fn name_taken(&self, table: &Relation, users: &RelationName) -> GuardError {
        let message = format!(
            "watched table {} has been renamed to {}, and another has its name",
            self.table.shown(),
            table.shown_name()
        );
        let now = table.name().literal();
        let stay =
            format!("If the watch is to stay where it is, call session_guard.watch({now}, ...).");
        let is_trusted = extension::owner()
            .is_some_and(|extension| roles::has_rights_of(extension, table.owner()));
        let hint = match is_trusted {
            true => Hint::run(
                format!("{stay} To move it to the table that has the name now, run"),
                format!("SELECT session_guard.unwatch({now}), {};", self.watch_call(users)),
            ),
            false => Hint::advice(format!(
                "{stay} To move it, call session_guard.unwatch({now}), then \
                 session_guard.watch({}, ...) with the column that names the user.",
                self.table.literal()
            )),
        };
        GuardError::new(ErrorKind::TableReplaced, message, hint)
    }

    /// The first name that is another one now.
    fn first_renamed(&self, now: &WatchRow) -> Option<(String, String)> {
        let names = |row: &WatchRow| {
            let own = [row.table.shown(), row.table_owner.clone(), row.user_id_column.clone()];
            own.into_iter().chain(row.columns.clone().unwrap_or_default())
        };
        names(self).zip(names(now)).find(|(before, now)| before != now)
    }

    /// `watch` with the arguments that it has.
    fn watch_hint(&self, users: &RelationName) -> Hint {
        let statement = format!("SELECT {};", self.watch_call(users));
        Hint::run("To put the triggers back, run", statement)
    }

    fn watch_call(&self, users: &RelationName) -> String {
        let columns = self.columns.as_ref().map_or(String::new(), |columns| {
            let columns: Vec<String> = columns.iter().map(|name| quote_literal(name)).collect();
            format!(", ARRAY[{}]::pg_catalog.name[]", columns.join(", "))
        });
        format!(
            "session_guard.watch({}, {}{columns}, users => {})",
            self.table.literal(),
            quote_literal(&self.user_id_column),
            users.literal()
        )
    }

    /// Why no table is found: the one of its name is another role's, or there is none.
    fn not_found(&self, users: &RelationName) -> (String, Hint) {
        let name = self.table.shown();
        let there = self.table.find().and_then(|relid| Relation::open(relid, Lock::Read));
        let Some(table) = there.filter(|table| guard::check_related_kind(table).is_ok()) else {
            // It may be restored yet, and then needs the row: no statement that would delete it.
            let hint = Hint::advice(
                "Create or restore the table and call session_guard.watch. If it is not wanted any \
                 more, the extension's owner deletes its row of session_guard.watch.",
            );
            return (format!("watched table {name} is gone"), hint);
        };
        let owner = shown_role(table.owner());
        let hint = match self.has_consent(&table) {
            true => self.watch_hint(users),
            false => Hint::advice(format!(
                "If that is the table to watch, {owner} calls session_guard.watch({}, ...) with \
                 the column that names the user.",
                self.table.literal()
            )),
        };
        let detail = match roles::recorded_name(table.owner()) == self.table_owner {
            true => format!("{name} is not watched: {owner} has not agreed to it"),
            false => format!(
                "{name} is not watched: the table that has the name now belongs to {owner}, and \
                 the watched one belonged to {}",
                shown_identifier(&self.table_owner)
            ),
        };
        (detail, hint)
    }

    /// Not watched.
    pub fn not_watched(table: &RelationName) -> GuardError {
        let message = format!("table {} is not watched", table.shown());
        let hint = Hint::run(
            "The watched tables are listed by",
            "SELECT schema_name, table_name FROM session_guard.watch;",
        );
        GuardError::new(ErrorKind::NotWatched, message, hint)
    }
}
