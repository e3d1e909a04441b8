//! What makes an id the name of one account: a unique index on it alone.

use super::columns::IdColumn;
use super::hints;
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::names::shown_identifier;
use crate::pg::partitions::is_keyed_by;
use crate::pg::relation::{Relation, RelationKind};

/// Refuses an id that may name two accounts.
pub fn check(table: &Relation, id: IdColumn) -> Result<(), GuardError> {
    if table.unique_index(id.attno, id.id_type).is_some() {
        return Ok(());
    }
    let name = table.shown_name();
    let column = shown_identifier(&table.column_name(id.attno));
    let message = format!("column {column} of table {name} has no unique index of its own");
    Err(GuardError::new(ErrorKind::IdNotUnique, message, hint(table, id)).detail(
        "An id must name one account. A partial, deferred or multi-column index does not say that.",
    ))
}

/// How to make one.
pub fn hint(table: &Relation, id: IdColumn) -> Hint {
    let column = shown_identifier(&table.column_name(id.attno));
    if table.kind() == RelationKind::Partitioned && !is_keyed_by(table.oid(), id.attno) {
        return hints::table_beside_partitions();
    }
    let others = table.unique_together_with(id.attno);
    if !others.is_empty() {
        let others: Vec<String> = others.iter().map(|name| shown_identifier(name)).collect();
        return Hint::advice(format!(
            "Only together with {} does the column tell all accounts apart. Guard a stored \
             generated column that is made of both: see docs/tables.md of pg_session_guard.",
            others.join(", ")
        ));
    }
    let statement = format!("CREATE UNIQUE INDEX ON {} ({column});", table.shown_name());
    Hint::run("If the column tells all accounts apart, run", statement)
}
