//! Puts a guard's triggers on a table, takes them off, and lets the table's owner ask.

use crate::armed::{self, TRIGGERS};
use crate::attach::Request;
use crate::error::{GuardError, Mistake};
use crate::name::{qualified_name, role_name};
use crate::scan::OpenTable;
use crate::statement::{relation, run_once};
use pgrx::pg_sys::{self, Oid};
use pgrx::spi::{Spi, quote_identifier};

/// Refuses a table that has triggers of somebody else's by the names of the guard's.
pub fn check_names_are_free(
    table: &OpenTable,
    names: &[(&'static str, u32)],
    function: Oid,
) -> Result<(), GuardError> {
    let Some(taken) = armed::taken_name(table, names, function) else {
        return Ok(());
    };
    let name = qualified_name(table.oid());
    Err(GuardError::new(
        Mistake::TriggerNameTaken,
        format!("table {name} has a trigger {taken} that is not the guard's"),
        format!("ALTER TRIGGER {taken} ON {name} RENAME TO not_{taken};"),
    ))
}

/// Refuses a table whose triggers cannot be made or dropped now. PostgreSQL would refuse it, too, but
/// half way through, and without a word on what to do.
pub fn check_not_in_use(table: &OpenTable) -> Result<(), GuardError> {
    let name = qualified_name(table.oid());
    let in_use = |hint| {
        let message = format!("table {name} is still in use in this session");
        GuardError::new(Mistake::TableInUse, message, hint)
    };
    // SAFETY: any OID may be asked for.
    if unsafe { pg_sys::AfterTriggerPendingOnRel(table.oid()) } {
        return Err(in_use("SET CONSTRAINTS ALL IMMEDIATE;")
            .detail("Constraints are deferred that its changes have to pass."));
    }
    // One of the references is this function's own.
    if table.relation().rd_refcnt > 1 {
        return Err(in_use("CLOSE ALL;").detail("A cursor reads it, or the statement itself."));
    }
    Ok(())
}

/// Takes these triggers off a table.
pub fn drop_triggers(relid: Oid, triggers: &[String]) {
    let table = qualified_name(relid);
    for trigger in triggers.iter().map(quote_identifier) {
        run_once(&format!("DROP TRIGGER {trigger} ON {table}"), &[]);
    }
}

/// Puts the guard's triggers on a table.
pub fn create_triggers(relid: Oid, request: &Request) {
    create_triggers_that_call(relid, &TRIGGERS, "stamp", &watched_changes(request));
}

/// Puts triggers on a table that call a function in the schema `session_guard`, for updates only `when`.
pub fn create_triggers_that_call(relid: Oid, names: &[(&str, u32)], function: &str, when: &str) {
    let table = qualified_name(relid);
    for (trigger, kind) in names {
        let (event, when) = match kind & pg_sys::TRIGGER_TYPE_EVENT_MASK {
            pg_sys::TRIGGER_TYPE_UPDATE => ("UPDATE", format!("WHEN ({when})")),
            pg_sys::TRIGGER_TYPE_INSERT => ("INSERT", String::new()),
            pg_sys::TRIGGER_TYPE_DELETE => ("DELETE", String::new()),
            _ => ("TRUNCATE", String::new()),
        };
        let level = match kind & pg_sys::TRIGGER_TYPE_ROW {
            0 => "STATEMENT",
            _ => "ROW",
        };
        run_once(
            &format!(
                "CREATE TRIGGER {trigger} AFTER {event} ON {table} FOR EACH {level} {when}
                 EXECUTE FUNCTION session_guard.{function}()"
            ),
            &[],
        );
        run_once(&format!("ALTER TABLE ONLY {table} ENABLE ALWAYS TRIGGER {trigger}"), &[]);
        run_once(
            &format!("ALTER TRIGGER {trigger} ON {table} DEPENDS ON EXTENSION pg_session_guard"),
            &[],
        );
    }
}

/// The update trigger's clause: id, active, then the columns of `revoke_on`, in this order. Those may
/// be of any type and are compared by their text, so that a change which the type calls equal (a
/// citext password in another case) counts, and a type that knows no equality (json) will do.
fn watched_changes(request: &Request) -> String {
    let own = [&request.id_column, &request.active_column].map(|column| {
        let column = quote_identifier(column);
        format!("OLD.{column} IS DISTINCT FROM NEW.{column}")
    });
    let further = request.revoke_on.iter().map(|column| text_differs(&quote_identifier(column)));
    own.into_iter().chain(further).collect::<Vec<_>>().join(" OR ")
}

/// Compares two values by their text.
pub fn text_differs(column: &str) -> String {
    let text = |row| format!("({row}.{column})::pg_catalog.text COLLATE pg_catalog.\"C\"");
    format!("{} IS DISTINCT FROM {}", text("OLD"), text("NEW"))
}

/// The functions that apps call, which the users table's owner may call from now on.
pub fn grant_hot_functions(table_owner: Oid) {
    const HOT_FUNCTIONS: &str = "
        SELECT pg_catalog.string_agg(p.oid::regprocedure::text, ', '),
               pg_catalog.quote_ident(n.nspname),
               pg_catalog.has_schema_privilege($1, n.oid, 'USAGE')
        FROM pg_catalog.pg_extension e
        JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
        JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_extension'::regclass
             AND d.refobjid = e.oid AND d.deptype = 'e' AND d.classid = 'pg_catalog.pg_proc'::regclass
        JOIN pg_catalog.pg_proc p ON p.oid = d.objid AND p.pronamespace = n.oid
        WHERE e.extname = 'pg_session_guard' AND p.proowner <> $1
        GROUP BY n.oid, n.nspname";
    let found: Option<(String, String, bool)> = Spi::connect_mut(|client| {
        let rows = client.update(HOT_FUNCTIONS, Some(1), &[relation(table_owner)]).ok()?.first();
        Some((rows.get(1).ok()??, rows.get(2).ok()??, rows.get(3).ok()??))
    });
    let Some((functions, schema, can_use_schema)) = found else {
        return;
    };
    let role = role_name(table_owner);
    outside_of_create_extension(|| {
        run_once(&format!("GRANT EXECUTE ON FUNCTION {functions} TO {role}"), &[]);
    });
    if !can_use_schema {
        let message = format!("role {role} cannot use schema {schema}, where session_valid is");
        let hint = format!("GRANT USAGE ON SCHEMA {schema} TO {role};");
        GuardError::new(Mistake::CannotUseSchema, message, hint).warn();
    }
}

/// A grant made while the extension is being created counts as part of it, and pg_dump leaves it
/// out; but a restored extension does not make it again, since it attaches nothing.
fn outside_of_create_extension(work: impl FnOnce()) {
    // SAFETY: a flag of this backend, which nobody else reads meanwhile.
    let was_creating = unsafe { pg_sys::creating_extension };
    // SAFETY: as above; after an error PostgreSQL sets it itself.
    unsafe { pg_sys::creating_extension = false };
    work();
    // SAFETY: as above.
    unsafe { pg_sys::creating_extension = was_creating };
}
