//! The columns that a guard goes by, by their numbers in one table.

use super::status_column::StatusColumn;
use super::triggers::{self, TriggerSet, USERS_TRIGGERS};
use crate::core::user_id::IdType;
use crate::pg::relation::Relation;
use crate::pg::when_clause::Comparison;
use pgrx::pg_sys::Oid;

/// The id column as the scans want it.
#[derive(Clone, Copy, Debug)]
pub struct IdColumn {
    /// Its number.
    pub attno: i16,
    /// Its type.
    pub id_type: IdType,
}

/// The columns that a guard goes by.
#[derive(Clone, Debug)]
pub struct GuardColumns {
    /// What tells users apart.
    pub id: IdColumn,
    /// What says whether the account is active.
    pub status: StatusColumn,
    /// The numbers of the columns whose change also revokes.
    pub revoke_on: Vec<i16>,
}

impl GuardColumns {
    /// What the update trigger compares.
    pub fn comparisons(&self) -> Vec<Comparison> {
        let further = self.revoke_on.iter().copied().map(Comparison::Image);
        self.own_comparisons().into_iter().chain(further).collect()
    }

    /// Why the table's triggers are not all in place for the guard of this name.
    pub fn problems(&self, table: &Relation, stamp: Oid, guard: &str) -> Vec<String> {
        self.problems_of(&USERS_TRIGGERS, table, stamp, guard)
    }

    /// The same of these triggers.
    pub fn problems_of(
        &self,
        set: &TriggerSet,
        table: &Relation,
        stamp: Oid,
        guard: &str,
    ) -> Vec<String> {
        let active_when = self.status.active_when.to_string();
        triggers::problems(table, set, stamp, &[guard, &active_when], &self.comparisons())
    }

    /// The same columns of a partition, where they have the same names and often other numbers.
    pub fn in_partition(&self, root: &Relation, partition: &Relation) -> Option<GuardColumns> {
        let attno = |attno: i16| {
            partition.column_named(&root.column_name(attno)).map(|column| column.attno)
        };
        let id = IdColumn { attno: attno(self.id.attno)?, ..self.id };
        let status = self.status.in_partition(root, partition)?;
        let revoke_on = self.revoke_on.iter().map(|column| attno(*column));
        Some(GuardColumns { id, status, revoke_on: revoke_on.collect::<Option<_>>()? })
    }

    /// Of that, what the guard reads: the id, and whether the account is active.
    pub fn own_comparisons(&self) -> [Comparison; 2] {
        [Comparison::Value(self.id.attno), self.status.comparison()]
    }
}
