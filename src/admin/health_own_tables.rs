//! What of `health()` is about the triggers on the extension's own tables.

use super::health_finding::Finding;
use crate::cache::guard_cache;
use crate::catalog::extension;
use crate::error::Hint;
use crate::pg::names::{extension_function, extension_relation};
use crate::pg::spi::{query, string};
use std::ffi::CStr;

const CHECK: &str = "own_tables";

/// The triggers that are to be there: the table, the trigger, its kind as `pg_trigger` has it
/// (PostgreSQL source, pg_trigger.h), as CREATE TRIGGER says that, and the function.
const CHANGE_TRIGGERS: &str = "
    SELECT w.relation, v.* FROM (VALUES
        ('epoch', 'epoch_changed'), ('guard_epoch', 'epoch_changed'), ('guard', 'guard_changed'),
        ('policy', 'guard_changed'), ('store', 'guard_changed')) AS w (relation, function)
    CROSS JOIN LATERAL (VALUES
        ('session_guard_changed', 29, 'AFTER INSERT OR UPDATE OR DELETE', 'ROW', w.function),
        ('session_guard_emptied', 32, 'AFTER TRUNCATE', 'STATEMENT', w.function)) AS v
    UNION ALL VALUES ('timeline', 'session_guard_changed', 60,
        'AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE', 'STATEMENT', 'guard_changed')";

const APPLY_TRIGGERS: &str = "
    SELECT r, 'session_guard_apply', 31, 'BEFORE INSERT OR UPDATE OR DELETE', 'ROW',
           'apply_replicated'
    FROM (VALUES ('guard'), ('watch'), ('store'), ('store_failure'), ('unwatched'),
        ('trigger_state'), ('policy'), ('epoch'), ('guard_epoch'),
        ('token_epoch'), ('event'), ('timeline')) AS t (r)";

const DEFERRED_TRIGGER: &str = "
    SELECT 'pending', 'session_guard_at_commit', 5, 'AFTER INSERT', 'ROW', 'stamp_pending'";

/// The tables whose triggers are not all in place and `ENABLE ALWAYS`, and the statements that put
/// them back. Only the extension's own: what else lies in its schema has none.
fn misplaced(wanted: &str) -> Option<(String, String)> {
    let misplaced = format!(
        "SELECT pg_catalog.string_agg(DISTINCT 'session_guard.' || w.relation, ', '),
                pg_catalog.string_agg(CASE WHEN s.is_as_made THEN '' ELSE
                    CASE WHEN t.oid IS NULL THEN '' ELSE pg_catalog.format(
                        'DROP TRIGGER %I ON session_guard.%I; ', w.trigger, w.relation) END
                    || pg_catalog.format('CREATE%s TRIGGER %I %s ON session_guard.%I%s '
                        'FOR EACH %s EXECUTE FUNCTION session_guard.%I(); ',
                        CASE WHEN k.is_deferred THEN ' CONSTRAINT' END, w.trigger, w.events,
                        w.relation,
                        CASE WHEN k.is_deferred THEN ' DEFERRABLE INITIALLY DEFERRED' END,
                        w.level, w.function) END
                    || pg_catalog.format('ALTER TABLE session_guard.%I ENABLE ALWAYS TRIGGER %I;',
                        w.relation, w.trigger),
                    ' ' ORDER BY w.relation, w.trigger)
         FROM ({wanted}) AS w (relation, trigger, type, events, level, function)
         JOIN pg_catalog.pg_class c ON c.relname = w.relation AND c.relkind = 'r'
              AND c.relnamespace = pg_catalog.to_regnamespace('session_guard')
         JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
              AND d.objid = c.oid AND d.deptype = 'e'
         LEFT JOIN pg_catalog.pg_trigger t ON t.tgrelid = c.oid AND t.tgname = w.trigger
         CROSS JOIN LATERAL (SELECT w.relation = 'pending') AS k (is_deferred)
         CROSS JOIN LATERAL (
             SELECT coalesce(t.tgtype = w.type AND t.tgqual IS NULL
                 AND t.tgdeferrable = k.is_deferred AND t.tginitdeferred = k.is_deferred
                 AND pg_catalog.cardinality(t.tgattr::pg_catalog.int2[]) = 0
                 AND t.tgfoid = pg_catalog.to_regproc('session_guard.' || w.function), false)
         ) AS s (is_as_made)
         WHERE NOT s.is_as_made OR t.tgenabled <> 'A'"
    );
    let found = query(&misplaced, &[], |row| string(row, 1).zip(string(row, 2)));
    found.into_iter().next().flatten()
}

/// Without one of these nothing else can be told.
pub fn missing() -> Option<Finding> {
    const NAMES: [&CStr; 15] = [
        c"guard",
        c"watch",
        c"store",
        c"store_failure",
        c"policy",
        c"epoch",
        c"guard_epoch",
        c"token_epoch",
        c"event",
        c"event_id_seq",
        c"timeline",
        c"unwatched",
        c"trigger_state",
        c"invalidation",
        c"pending",
    ];
    const FUNCTIONS: [&CStr; 6] = [
        c"stamp",
        c"stamp_related",
        c"stamp_pending",
        c"guard_changed",
        c"epoch_changed",
        c"apply_replicated",
    ];
    if extension::owner().is_none() {
        let hint = Hint::advice(
            "A superuser restores that row, or drops the schema session_guard and creates the \
             extension again.",
        );
        return Some(Finding::wrong(CHECK, "pg_extension has no row of pg_session_guard", hint));
    }
    let tables = NAMES.into_iter().filter(|name| extension_relation(name).is_none());
    let functions = FUNCTIONS.into_iter().filter(|name| extension_function(name).is_none());
    let missing = tables
        .map(|name| (name, ""))
        .chain(functions.map(|name| (name, "()")))
        .map(|(name, arguments)| format!("session_guard.{}{arguments}", name.to_string_lossy()))
        .collect::<Vec<_>>();
    if missing.is_empty() {
        return None;
    }
    let detail = format!("{} cannot be found", missing.join(", "));
    let hint = Hint::advice(
        "If they have other names, give them these again: ALTER TABLE or ALTER FUNCTION ... \
         RENAME TO ...;",
    );
    Some(Finding::wrong(CHECK, detail, hint))
}

/// Edits by hand are noticed by triggers. And the library reads rows as a heap has them.
pub fn own_tables() -> Vec<Finding> {
    let mut findings = Vec::new();
    let untracked = guard_cache::relations().untracked_table;
    match (misplaced(CHANGE_TRIGGERS), untracked) {
        (None, None) => {}
        (None, Some(table)) => {
            let detail = format!("table session_guard.{table} is gone, or has another name");
            let advice = "Give the tables of the schema session_guard their names back.";
            findings.push(Finding::wrong(CHECK, detail, Hint::advice(advice)));
        }
        (Some((tables, statements)), untracked) => {
            let consequence = untracked.map_or("", |_| ": each call reads the tables");
            let detail = format!("edits of {tables} by hand are not noticed{consequence}");
            let hint = Hint::run("To put the triggers back, run", statements);
            findings.push(Finding::wrong(CHECK, detail, hint));
        }
    }
    if let Some((_, statements)) = misplaced(DEFERRED_TRIGGER) {
        let detail = "sessions in session stores are not ended: nothing is called before COMMIT";
        let hint = Hint::run("To put the trigger of session_guard.pending back, run", statements);
        findings.push(Finding::wrong(CHECK, detail, hint));
    }
    if let Some((tables, statements)) = of_other_methods() {
        let detail = format!("the library reads heaps, but of another access method are {tables}");
        let hint = Hint::run("To make heap tables of them, run", statements);
        findings.push(Finding::wrong(CHECK, detail, hint));
    }
    if findings.is_empty() {
        let detail = "edits of the extension's tables by hand count at once";
        findings.push(Finding::ok(CHECK, detail));
    }
    findings
}

/// The tables that are no heaps, and the statements that make heaps of them.
fn of_other_methods() -> Option<(String, String)> {
    const OTHERS: &str = "
        SELECT pg_catalog.string_agg('session_guard.' || c.relname, ', ' ORDER BY c.relname),
               pg_catalog.string_agg(pg_catalog.format(
                   'ALTER TABLE session_guard.%I SET ACCESS METHOD heap;', c.relname), ' '
                   ORDER BY c.relname)
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
             AND d.objid = c.oid AND d.deptype = 'e'
        JOIN pg_catalog.pg_am a ON a.oid = c.relam AND a.amname <> 'heap'
        WHERE c.relkind = 'r'
          AND c.relnamespace = pg_catalog.to_regnamespace('session_guard')";
    let found = query(OTHERS, &[], |row| string(row, 1).zip(string(row, 2)));
    found.into_iter().next().flatten()
}

/// What a crash would empty, and no standby has.
pub fn unlogged() -> Option<Finding> {
    const UNLOGGED: &str = "
        SELECT pg_catalog.string_agg(pg_catalog.format('session_guard.%I', c.relname), ', '
                   ORDER BY c.relname),
               pg_catalog.string_agg(pg_catalog.format('ALTER TABLE session_guard.%I SET LOGGED;',
                   c.relname), ' ' ORDER BY c.relname)
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
             AND d.objid = c.oid AND d.deptype = 'e'
        WHERE c.relnamespace = pg_catalog.to_regnamespace('session_guard')
              AND c.relkind = 'r' AND c.relpersistence = 'u'";
    let found = query(UNLOGGED, &[], |row| string(row, 1).zip(string(row, 2)));
    let (tables, statements) = found.into_iter().next().flatten()?;
    let detail = format!("unlogged: {tables}; a crash empties them, and standbys lack them");
    Some(Finding::wrong(CHECK, detail, Hint::run("To make them permanent, run", statements)))
}

/// What logical replication brings is merged by a trigger.
pub fn replication() -> Finding {
    const CHECK: &str = "logical_replication";
    match misplaced(APPLY_TRIGGERS) {
        Some((tables, statements)) => {
            let detail =
                format!("replicated rows of {tables} are not merged with those that are there");
            Finding::wrong(CHECK, detail, Hint::run("To put the triggers back, run", statements))
        }
        None => Finding::ok(CHECK, "replicated rows raise epochs"),
    }
}
