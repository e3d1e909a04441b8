//! What errors and `health()` say to do. A statement that is given repairs what it stands beside
//! when it is run as it stands; where only the user can know what is right, there is a sentence
//! alone.
//!
//! Whoever runs it does so with rights of their own, by the search path that they happen to have.
//! So each operator, function and type in a statement is named with its schema: what a database's
//! owner has planted in another is never the better match.

use crate::error::Hint;
use crate::pg::names::{RelationName, quote_literal};

/// Nothing is guarded, or nothing that could be meant.
pub fn attach_some_table() -> Hint {
    Hint::advice(
        "Name the users table, its id column, and the column that says whether an account is \
         active, \
         for example: SELECT session_guard.attach('users', 'id', 'active');",
    )
}

/// No table of this kind can be guarded.
pub fn ordinary_table() -> Hint {
    Hint::advice(
        "Guard an ordinary table: a permanent one of the access method heap, or a partitioned one, \
         but no partition. For a view, guard the table that it reads.",
    )
}

/// The rows lie in several tables, and no index tells them apart.
pub fn table_beside_partitions() -> Hint {
    Hint::advice(
        "Keep ids and status in an ordinary table beside it, by a trigger, and guard that one: see \
         docs/tables.md of pg_session_guard.",
    )
}

/// A partition is guarded with all others.
pub fn guard_whole_table(root: Option<&pgrx::pg_sys::Oid>) -> Hint {
    match root.and_then(|relid| RelationName::of(*relid)) {
        Some(root) => Hint::advice(format!(
            "Guard its partitioned table, if its unique key is the id, and with it all partitions: \
             SELECT session_guard.attach({});",
            root.literal()
        )),
        // It is none any more.
        None => ordinary_table(),
    }
}

/// A guarded table has become a partition: its guard moves to the table above.
pub fn guard_whole_table_instead(partition: &RelationName, root: &RelationName) -> Hint {
    Hint::run(
        "To guard its partitioned table instead, and with it all partitions, run",
        format!(
            "SELECT session_guard.detach({}), session_guard.attach({});",
            partition.literal(),
            root.literal()
        ),
    )
}

/// A partition is asked about with all others.
pub fn name_whole_table(root: pgrx::pg_sys::Oid) -> Hint {
    let root = crate::pg::names::shown_relation(root);
    Hint::advice(format!("It is a partition: name its partitioned table, which is {root}."))
}

/// This table is not guarded.
pub fn attach_table(table: &RelationName) -> Hint {
    Hint::advice(format!(
        "To guard it, name its id column and the column that says whether an account is active, \
         for example: SELECT session_guard.attach({}, 'id', 'active');",
        table.literal()
    ))
}

/// A column does not fit.
pub fn other_column(table: &RelationName) -> Hint {
    Hint::run(
        "Name another column. The columns of the table are listed by",
        format!(
            "SELECT attname, atttypid::pg_catalog.regtype FROM pg_catalog.pg_attribute \
             WHERE attrelid OPERATOR(pg_catalog.=) {}::pg_catalog.regclass \
             AND attnum OPERATOR(pg_catalog.>) 0 AND NOT attisdropped;",
            table.literal()
        ),
    )
}

/// A guard's triggers are not in place, or accounts are not stamped.
pub fn reconcile(table: &RelationName) -> Hint {
    let statement = format!("SELECT session_guard.reconcile({});", table.literal());
    Hint::run("To put the triggers back and to stamp who was disabled meanwhile, run", statement)
}

/// A guard's row no longer fits its table: `attach` takes the options that it is given, and leaves
/// the others.
pub fn attach_with(sentence: &str, table: &RelationName, options: &[String]) -> Hint {
    let options: String = options.iter().map(|option| format!(", {option}")).collect();
    let statement = format!("SELECT session_guard.attach({}{options});", table.literal());
    Hint::run(sentence, statement)
}

/// Only the user can know which table calls are about that name none.
pub fn make_default(table: &RelationName) -> Hint {
    Hint::advice(format!(
        "Name the table in each call, or say which one is meant by calls that name none, \
         for example: SELECT session_guard.attach({}, is_default => true);",
        table.literal()
    ))
}

/// `revoke_on` as an argument of `attach`.
pub fn revoke_on_option(columns: &[String]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| quote_literal(column)).collect();
    format!("revoke_on => ARRAY[{}]::pg_catalog.name[]", columns.join(", "))
}

/// What happened while nobody watched cannot be known.
pub fn revoke_all(table: &RelationName) -> Hint {
    let statement = format!("SELECT session_guard.revoke_all_sessions({});", table.literal());
    Hint::run("To end every session, so that none of these is left, run", statement)
}

/// The same, where the triggers have to be looked at first.
pub fn reconcile_and_revoke_all(table: &RelationName) -> Hint {
    let literal = table.literal();
    let statement = format!(
        "SELECT session_guard.reconcile({literal}), session_guard.revoke_all_sessions({literal});"
    );
    Hint::run("To end every session, so that none of these is left, run", statement)
}

/// A guard is on a table that lost its name to another.
pub fn move_guard(from: &RelationName, to: &RelationName) -> Hint {
    Hint::run(
        format!(
            "If the guard is to stay where it is, call session_guard.attach({}). \
             To move it to the table that has the name now, run",
            from.literal()
        ),
        format!(
            "SELECT session_guard.detach({}), session_guard.attach({});",
            from.literal(),
            to.literal()
        ),
    )
}

/// A guard whose table is gone. That may be restored yet, and then needs the row's options: so
/// there is no statement that would delete it.
pub fn restore_table() -> Hint {
    Hint::advice(
        "Create or restore the table and attach it: the guard goes on with its options. If it is \
         not wanted any more, the extension's owner deletes its row of session_guard.guard.",
    )
}

/// The guards that there are.
pub fn list_guards() -> Hint {
    Hint::run(
        "The guarded tables are listed by",
        "SELECT name, schema_name, table_name FROM session_guard.guard WHERE detached_at IS NULL;",
    )
}

/// Another role has the right.
pub fn set_role(role: &str) -> Hint {
    Hint::run("Become a role that may", format!("SET ROLE {role};"))
}
