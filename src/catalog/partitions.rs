//! The partitions that a guard's accounts lie in, and what becomes of a guard when they come and
//! go.
//!
//! A partition's columns are those of its table by their names, and often others by their numbers.
//! Only partitions whose rows can be read are taken: a guard with another one refuses everybody.

use super::columns::GuardColumns;
use super::hints;
use super::triggers::{PARTITION_TRIGGERS, served_guard};
use super::unwatched::TriggerState;
use crate::core::user_id::UserId;
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::partitions::{self, Route};
use crate::pg::relation::{Lock, Persistence, Relation, RelationKind};
use crate::pg::server::is_current_transaction;
use crate::pg::triggers::rows_of;
use pgrx::pg_sys::Oid;
use std::rc::Rc;

/// A partition that holds rows.
#[derive(Clone, Debug)]
pub struct Partition {
    /// The table.
    pub relid: Oid,
    /// The guard's columns, by their numbers in it.
    pub columns: Rc<GuardColumns>,
}

/// All partitions of a guarded table that hold rows.
#[derive(Debug)]
pub struct Partitions {
    /// Each.
    pub all: Vec<Partition>,
    /// Those that were attached after `attach` or `reconcile` was called. Their accounts may have
    /// been disabled and enabled again before.
    pub added: Vec<Oid>,
    /// Whether one was detached or dropped since, or its triggers were changed, maybe back and
    /// forth.
    pub are_others_changed: bool,
    /// Why the triggers of the others are not all in place.
    pub problems: Vec<String>,
    /// The first without a unique index on the id.
    pub without_index: Option<Oid>,
}

impl Partitions {
    /// Those of an open table; `None` where it is not partitioned.
    pub fn load(
        root: &Relation,
        columns: &GuardColumns,
        guard: &str,
        stamp: Oid,
    ) -> Result<Option<Partitions>, GuardError> {
        if root.kind() != RelationKind::Partitioned {
            return Ok(None);
        }
        check_key(root, columns)?;
        let mut all = Vec::new();
        let mut problems_of = Vec::new();
        let mut without_index = None;
        for relid in leaves(root.oid()) {
            // Dropped meanwhile.
            let Some(partition) = Relation::open(relid, Lock::Read) else { continue };
            check_readable(root, &partition)?;
            let Some(columns) = columns.in_partition(root, &partition) else { continue };
            let id = columns.id;
            if partition.unique_index(id.attno, id.id_type).is_none() {
                without_index = without_index.or(Some(relid));
            }
            let problems = columns.problems_of(&PARTITION_TRIGGERS, &partition, stamp, guard);
            problems_of.push((relid, partition.shown_name(), problems));
            all.push(Partition { relid, columns: Rc::new(columns) });
        }
        let changes = Changes::since_recorded(guard, root.oid(), stamp);
        let known = problems_of.into_iter().filter(|(relid, ..)| !changes.added.contains(relid));
        let problems = known.flat_map(|(_, name, problems)| {
            problems.into_iter().map(move |problem| format!("{problem} on partition {name}"))
        });
        Ok(Some(Partitions {
            problems: problems.collect(),
            all,
            added: changes.added,
            are_others_changed: changes.are_others_changed,
            without_index,
        }))
    }

    /// All that keeps the guard from being armed.
    pub fn disarmed(&self) -> Vec<String> {
        let added = self.added.iter().map(|relid| {
            let name = crate::pg::names::shown_relation(*relid);
            format!("partition {name} was attached after the guard")
        });
        self.problems.iter().cloned().chain(added).collect()
    }

    /// The guard's columns in this partition.
    pub fn columns_of(&self, relid: Oid) -> Option<Rc<GuardColumns>> {
        let partition = self.all.iter().find(|partition| partition.relid == relid)?;
        Some(Rc::clone(&partition.columns))
    }

    /// Those in which the account of an id may be: one at the most, by the partition key.
    pub fn of_id(&self, root: &Relation, columns: &GuardColumns, id: &UserId) -> Vec<&Partition> {
        let route = root.route(&root.column_name(columns.id.attno), columns.id.id_type, id);
        let all = self.all.iter();
        all.filter(|partition| match route {
            Route::To(relid) => partition.relid == relid,
            Route::Nowhere => false,
            Route::Unknown => true,
        })
        .collect()
    }
}

/// Refuses a table that is partitioned by something else than the id.
///
/// PostgreSQL runs functions of the table's owner when it loads such a key, as CREATE TRIGGER does,
/// and that is run with rights of the extension's owner.
pub fn check_key(root: &Relation, columns: &GuardColumns) -> Result<(), GuardError> {
    if root.kind() != RelationKind::Partitioned || is_keyed_by_id(root, columns) {
        return Ok(());
    }
    let message = format!("table {} is not partitioned by its id alone", root.shown_name());
    Err(GuardError::new(ErrorKind::UnsupportedTable, message, hints::table_beside_partitions())
        .detail("Nor may a partition be, or the key have an operator class of somebody's own."))
}

/// Whether all levels of a partitioned table go by the id.
fn is_keyed_by_id(root: &Relation, columns: &GuardColumns) -> bool {
    let name = root.column_name(columns.id.attno);
    let below = partitions::below(root.oid()).into_iter();
    let mut levels = below.filter(|member| member.is_partitioned).map(|member| member.relid);
    partitions::is_keyed_by(root.oid(), columns.id.attno)
        && levels.all(|relid| {
            let level = Relation::open(relid, Lock::Read);
            let id = level.and_then(|level| level.column_named(&name));
            id.is_some_and(|id| partitions::is_keyed_by(relid, id.attno))
        })
}

/// The tables below a partitioned one that hold rows.
pub fn leaves(root: Oid) -> Vec<Oid> {
    let below = partitions::below(root).into_iter();
    below.filter(|member| !member.is_partitioned).map(|member| member.relid).collect()
}

/// All tables below a partitioned one.
pub fn below(root: Oid) -> Vec<Oid> {
    partitions::below(root).into_iter().map(|member| member.relid).collect()
}

/// The table above a partition that serves this guard, the nearest first.
pub fn guarded_above(partition: Oid, guard: &str, stamp: Oid) -> Option<Oid> {
    partitions::above(partition).into_iter().find(|relid| {
        let table = Relation::open(*relid, Lock::Read);
        table.is_some_and(|table| served_guard(&table, stamp).as_deref() == Some(guard))
    })
}

/// Refuses a partitioned table with a partition that cannot be guarded with it.
pub fn check(root: &Relation, stamp: Oid) -> Result<(), GuardError> {
    for relid in below(root.oid()) {
        let Some(partition) = Relation::open(relid, Lock::Read) else { continue };
        if partition.kind() != RelationKind::Partitioned {
            check_readable(root, &partition)?;
            check_permanent(root, &partition)?;
        }
        if served_guard(&partition, stamp).is_some() {
            let name = partition.name();
            let message = format!("partition {} is guarded itself", name.shown());
            let statement = format!("SELECT session_guard.detach({});", name.literal());
            let hint = Hint::run("To take its own guard off first, run", statement);
            return Err(GuardError::new(ErrorKind::UnsupportedTable, message, hint));
        }
    }
    Ok(())
}

fn check_readable(root: &Relation, partition: &Relation) -> Result<(), GuardError> {
    match partition.kind() {
        RelationKind::Heap => Ok(()),
        RelationKind::Foreign => Err(unsupported(root, partition, "is a foreign table")),
        _ => Err(unsupported(root, partition, "is not a heap table")),
    }
}

fn check_permanent(root: &Relation, partition: &Relation) -> Result<(), GuardError> {
    match partition.persistence() {
        Persistence::Permanent => Ok(()),
        Persistence::Unlogged => Err(unsupported(root, partition, "is unlogged")),
        Persistence::Temporary => Err(unsupported(root, partition, "is temporary")),
    }
}

fn unsupported(root: &Relation, partition: &Relation, what: &str) -> GuardError {
    let (root, name) = (root.shown_name(), partition.shown_name());
    let message = format!("partition {name} of table {root} {what}, and cannot be guarded");
    let hint = Hint::advice(
        "Keep accounts in ordinary partitions: permanent ones of the access method heap.",
    );
    GuardError::new(ErrorKind::UnsupportedTable, message, hint)
}

/// What the record of partitions has of one: its OID, that of its update trigger, and which
/// transactions made its triggers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Recorded {
    relid: u32,
    /// A partition that was detached and attached again has another one.
    update_trigger: u32,
    triggers: String,
}

impl Recorded {
    fn of(relid: Oid, stamp: Oid) -> Recorded {
        let rows = rows_of(relid, stamp);
        let update = rows.iter().find(|row| row.name == PARTITION_TRIGGERS[0].0);
        let names = PARTITION_TRIGGERS.iter().map(|(name, _)| *name);
        let xmins = names.map(|name| rows.iter().find(|row| row.name == name).map(|row| row.xmin));
        let xmins: Vec<String> = xmins.map(|xmin| xmin.unwrap_or_default().to_string()).collect();
        Recorded {
            relid: relid.to_u32(),
            update_trigger: update.map_or(0, |row| row.oid),
            triggers: xmins.join(","),
        }
    }

    fn text(&self) -> String {
        format!("{}:{}:{}", self.relid, self.update_trigger, self.triggers)
    }

    fn parse(text: &str) -> Option<Recorded> {
        let mut parts = text.split(':');
        Some(Recorded {
            relid: parts.next()?.parse().ok()?,
            update_trigger: parts.next()?.parse().ok()?,
            triggers: parts.next()?.to_owned(),
        })
    }
}

/// Whether a partition came in this transaction, so that nothing can have happened in it before.
pub fn came_now(relid: Oid, stamp: Oid) -> bool {
    let triggers = rows_of(relid, stamp);
    !triggers.is_empty() && triggers.iter().all(|row| is_current_transaction(row.xmin))
}

/// The partitions as they are, to be recorded. With the rights of the extension's owner.
pub fn record(guard: &str, root: Oid, stamp: Oid) {
    state(guard, root, stamp).record();
}

fn state(guard: &str, root: Oid, stamp: Oid) -> TriggerState {
    let all: Vec<String> =
        leaves(root).into_iter().map(|relid| Recorded::of(relid, stamp).text()).collect();
    TriggerState::of_partitions(guard, all.join(" "))
}

/// How the partitions differ from those that were recorded in this cluster.
struct Changes {
    added: Vec<Oid>,
    are_others_changed: bool,
}

impl Changes {
    /// Where the table's own triggers were made anew, so were those of all partitions: what has
    /// become of each in between cannot be told by them.
    fn since_recorded(guard: &str, root: Oid, stamp: Oid) -> Changes {
        let mut changes = Changes { added: Vec::new(), are_others_changed: false };
        let Some(recorded) = state(guard, root, stamp).recorded() else { return changes };
        let is_same_root = !TriggerState::of_users(guard, root, stamp).has_changed();
        let mut recorded: Vec<Recorded> = recorded.split(' ').filter_map(Recorded::parse).collect();
        for relid in leaves(root) {
            let now = Recorded::of(relid, stamp);
            let then = recorded.iter().position(|then| then.relid == now.relid);
            match then.map(|place| recorded.swap_remove(place)) {
                None => changes.added.push(relid),
                Some(then) if then == now => {}
                Some(then) if then.update_trigger != now.update_trigger && is_same_root => {
                    changes.added.push(relid);
                }
                Some(_) => changes.are_others_changed = true,
            }
        }
        changes.are_others_changed |= !recorded.is_empty();
        changes
    }
}
