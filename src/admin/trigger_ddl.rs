//! Puts triggers on a table, and takes them off.

use crate::catalog::triggers::{self, PARTITION_TRIGGERS, PARTITION_TRUNCATE, TriggerSet};
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::names::{RelationName, quote_identifier, quote_literal};
use crate::pg::relation::{Lock, Relation};
use crate::pg::spi::run_once;
use crate::pg::triggers::TriggerKind;
use crate::pg::when_clause::Comparison;
use pgrx::pg_sys::Oid;

/// Refuses a table that has triggers by these names that call another function.
pub fn check_names_are_free(
    table: &Relation,
    set: &TriggerSet,
    function: Oid,
) -> Result<(), GuardError> {
    let Some(taken) = triggers::taken_name(table, set, function) else {
        return Ok(());
    };
    let name = table.shown_name();
    let message = format!("table {name} has a trigger {taken} that is not the guard's");
    let others: Vec<String> = table.triggers().map(|trigger| trigger.name()).collect();
    let numbered = (2..).map(|number| format!("not_{taken}_{number}"));
    let free = std::iter::once(format!("not_{taken}"))
        .chain(numbered)
        .find(|free| !others.contains(free))
        .unwrap_or_default();
    let statement = format!("ALTER TRIGGER {taken} ON {name} RENAME TO {free};");
    let hint = Hint::run("To give that trigger another name, run", statement);
    Err(GuardError::new(ErrorKind::TriggerNameTaken, message, hint))
}

/// Refuses a table whose triggers cannot be made or dropped now. PostgreSQL would refuse it, too,
/// but half way through, and without a hint.
pub fn check_not_in_use(table: &Relation) -> Result<(), GuardError> {
    let in_use = |sentence, statement| {
        let message = format!("table {} is still in use in this session", table.shown_name());
        GuardError::new(ErrorKind::TableInUse, message, Hint::run(sentence, statement))
    };
    if table.has_pending_triggers() {
        let sentence = "To check deferred constraints now, run";
        return Err(in_use(sentence, "SET CONSTRAINTS ALL IMMEDIATE;")
            .detail("Constraints are deferred that its changes have to pass."));
    }
    if table.is_in_use() {
        let sentence = "Call this as a statement of its own. To close cursors, run";
        return Err(
            in_use(sentence, "CLOSE ALL;").detail("A cursor reads it, or the statement itself.")
        );
    }
    Ok(())
}

/// Takes these triggers off a table, which is locked, but not open.
pub fn drop_triggers(table: &RelationName, names: &[String]) {
    let table = table.quoted();
    for name in names {
        run_once(&format!("DROP TRIGGER {} ON {table}", quote_identifier(name)), &[]);
    }
}

/// Puts triggers on a table, which is locked, but not open: they call a function of the schema
/// `session_guard` with these arguments, for updates only `when`. PostgreSQL puts them on all
/// partitions, too.
pub fn create_triggers(
    table: &RelationName,
    is_partitioned: bool,
    set: &[(&str, TriggerKind)],
    function: &str,
    arguments: &[&str],
    when: &str,
) {
    // A table that inherits from another has none of its triggers.
    let only = if is_partitioned { "" } else { "ONLY " };
    let arguments: Vec<String> = arguments.iter().map(|text| quote_literal(text)).collect();
    let (table, arguments) = (table.quoted(), arguments.join(", "));
    for (name, kind) in set {
        let (event, level) = kind.clauses();
        let when = match *kind {
            TriggerKind::UPDATE => format!("WHEN ({when})"),
            _ => String::new(),
        };
        let create = format!(
            "CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH {level} {when}
             EXECUTE FUNCTION session_guard.{function}({arguments})"
        );
        run_once(&create, &[]);
        run_once(&format!("ALTER TABLE {only}{table} ENABLE ALWAYS TRIGGER {name}"), &[]);
        let depend =
            format!("ALTER TRIGGER {name} ON {table} DEPENDS ON EXTENSION pg_session_guard");
        run_once(&depend, &[]);
    }
}

/// Puts in place what is missing on a partition, which is locked: its own trigger for TRUNCATE, and
/// those that PostgreSQL has made, but somebody has disabled.
pub fn arm_partition(partition: Oid, stamp: Oid, [guard, active_when]: [&str; 2]) {
    let Some(table) = Relation::open(partition, Lock::Read) else { return };
    let name = table.name();
    let is_there = |trigger: &String| trigger == PARTITION_TRUNCATE;
    let has_truncate = triggers::names_of(&table, stamp).iter().any(is_there);
    let arguments = triggers::arguments_of(&table, PARTITION_TRUNCATE, stamp);
    let serves = arguments.as_deref() == Some(&[guard.to_owned(), active_when.to_owned()]);
    let not_always = triggers::not_always(&table, &PARTITION_TRIGGERS, stamp);
    drop(table);
    if has_truncate && !serves {
        drop_triggers(&name, &[PARTITION_TRUNCATE.to_owned()]);
    }
    if !serves {
        let truncate = [(PARTITION_TRUNCATE, TriggerKind::TRUNCATE)];
        create_triggers(&name, false, &truncate, "stamp", &[guard, active_when], "");
    }
    for trigger in not_always {
        if trigger != PARTITION_TRUNCATE || serves {
            let name = name.quoted();
            run_once(&format!("ALTER TABLE ONLY {name} ENABLE ALWAYS TRIGGER {trigger}"), &[]);
        }
    }
}

/// Takes off a partition, which is locked, what it has itself.
pub fn disarm_partition(partition: Oid, stamp: Oid) {
    let Some(table) = Relation::open(partition, Lock::Read) else { return };
    let (name, mut own) = (table.name(), triggers::names_of(&table, stamp));
    own.retain(|trigger| trigger == PARTITION_TRUNCATE);
    drop(table);
    drop_triggers(&name, &own);
}

/// The WHEN clause of the update trigger: one of the comparisons holds.
pub fn when_clause(table: &Relation, comparisons: &[Comparison]) -> String {
    let arms: Vec<String> =
        comparisons.iter().map(|comparison| clause(table, *comparison)).collect();
    arms.join(" OR ")
}

fn clause(table: &Relation, comparison: Comparison) -> String {
    let column = match comparison {
        Comparison::Value(attno)
        | Comparison::IsTrue(attno)
        | Comparison::IsNull(attno)
        | Comparison::Image(attno) => quote_identifier(&table.column_name(attno)),
        Comparison::Row => String::new(),
    };
    comparison.clause(&column)
}

/// The triggers were made or dropped on another table than the one that was checked: undoing all is
/// the only safe end.
pub fn renamed_meanwhile(table: &Relation) -> GuardError {
    let message = format!("table {} was renamed meanwhile", table.shown_name());
    GuardError::new(ErrorKind::TableReplaced, message, Hint::advice("Call the function again."))
}
