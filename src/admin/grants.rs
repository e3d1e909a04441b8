//! SQL: lets roles call what apps call.

use crate::cache::guard_cache::check_writable;
use crate::catalog::privileges::{as_tables_owner, check_administration};
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::datum::{RegRole, Value};
use crate::pg::names::{quote_identifier, shown_identifier};
use crate::pg::report::OrRaise;
use crate::pg::roles::{outside_of_create_extension, role_name, shown_role};
use crate::pg::spi::{query, query_one, run_once, string};
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

/// The functions that apps call, for a GRANT, and their schema.
struct HotFunctions {
    functions: String,
    schema: String,
}

fn hot_functions() -> Option<HotFunctions> {
    const FUNCTIONS: &str = "
        SELECT pg_catalog.string_agg(pg_catalog.format('%I.%I(%s)', n.nspname, p.proname,
                   pg_catalog.pg_get_function_identity_arguments(p.oid)), ', '), n.nspname::text
        FROM pg_catalog.pg_extension e
        JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
        JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
             AND d.refobjid = e.oid AND d.deptype = 'e'
             AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
        JOIN pg_catalog.pg_proc p ON p.oid = d.objid AND p.pronamespace = n.oid
        WHERE e.extname = 'pg_session_guard'
        GROUP BY n.nspname";
    let found = query(FUNCTIONS, &[], |row| {
        Some(HotFunctions { functions: string(row, 1)?, schema: string(row, 2)? })
    });
    found.into_iter().next().flatten()
}

/// Lets a role call what apps call: USAGE on their schema, and EXECUTE. That covers every guard of
/// the database.
#[pg_extern(sql = false)]
fn grant_access(role: Option<RegRole>) {
    check_writable("grant_access()").or_raise();
    check_administration().or_raise();
    let role = role.ok_or_else(null_role).or_raise().0;
    as_tables_owner(|| {
        let Some(HotFunctions { functions, schema }) = hot_functions() else { return };
        let role = quote_identifier(&role_name(role));
        outside_of_create_extension(|| {
            run_once(
                &format!("GRANT USAGE ON SCHEMA {} TO {role}", quote_identifier(&schema)),
                &[],
            );
            run_once(&format!("GRANT EXECUTE ON FUNCTION {functions} TO {role}"), &[]);
        });
    });
}

/// Takes EXECUTE back. USAGE on the schema stays: other things may lie there.
#[pg_extern(sql = false)]
fn revoke_access(role: Option<RegRole>) {
    check_writable("revoke_access()").or_raise();
    check_administration().or_raise();
    let role = role.ok_or_else(null_role).or_raise().0;
    as_tables_owner(|| {
        let Some(HotFunctions { functions, .. }) = hot_functions() else { return };
        let quoted = quote_identifier(&role_name(role));
        run_once(&format!("REVOKE EXECUTE ON FUNCTION {functions} FROM {quoted}"), &[]);
        for error in still_granted(role) {
            error.warn();
        }
    });
}

/// By what other ways a role may call what apps call.
fn still_granted(role: Oid) -> Vec<GuardError> {
    const SUPERUSER: &str = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE oid = $1";
    let shown = shown_role(role);
    let warning = |detail: String, hint| {
        let message = format!("role {shown} may still call what apps call");
        GuardError::new(ErrorKind::StillGranted, message, hint).detail(detail)
    };
    if query_one::<bool>(SUPERUSER, &[Value::Oid(role)]) == Some(true) {
        let hint = Hint::advice("Have the app connect as a role that is no superuser.");
        return vec![warning("A superuser needs no grant.".to_owned(), hint)];
    }
    // A grant that the role has itself is another grantor's; the rest is what it is a member of.
    const WAYS: &str = "
        SELECT a.grantee, a.grantor, p.proowner, pg_catalog.string_agg(pg_catalog.format(
                   '%I.%I(%s)', n.nspname, p.proname, (
                   SELECT pg_catalog.string_agg(pg_catalog.format('%I.%I', s.nspname, t.typname),
                       ', ' ORDER BY u.position)
                   FROM pg_catalog.unnest(p.proargtypes) WITH ORDINALITY AS u (type, position)
                   JOIN pg_catalog.pg_type t ON t.oid = u.type
                   JOIN pg_catalog.pg_namespace s ON s.oid = t.typnamespace)), ', ' ORDER BY p.oid)
        FROM pg_catalog.pg_extension e
        JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
        JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
             AND d.refobjid = e.oid AND d.deptype = 'e'
             AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
        JOIN pg_catalog.pg_proc p ON p.oid = d.objid AND p.pronamespace = n.oid
        CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(p.proacl,
            pg_catalog.acldefault('f', p.proowner))) a
        WHERE e.extname = 'pg_session_guard' AND a.privilege_type = 'EXECUTE'
          AND CASE a.grantee WHEN 0 THEN true
              ELSE pg_catalog.pg_has_role($1, a.grantee, 'USAGE') END
        GROUP BY a.grantee, a.grantor, p.proowner
        ORDER BY a.grantee, a.grantor, p.proowner";
    let ways = query(WAYS, &[Value::Oid(role)], |row| {
        let oid = |column| row.get::<Oid>(column).ok().flatten();
        Some((oid(1)?, oid(2)?, oid(3)?, string(row, 4)?))
    });
    let ways = ways.into_iter().flatten().map(|(grantee, grantor, owner, functions)| {
        let by = shown_role(grantor);
        // What a superuser revokes is what the owner has granted.
        let revoke_from = |grantee: &str| {
            let revoke = format!("REVOKE EXECUTE ON FUNCTION {functions} FROM {grantee};");
            match grantor == owner {
                true => revoke,
                false => format!("SET ROLE {by}; {revoke} RESET ROLE;"),
            }
        };
        if grantee == role {
            let hint = Hint::run("To take that back, too, run as a superuser", revoke_from(&shown));
            return warning(format!("Role {by} has granted it, too."), hint);
        }
        if grantee == Oid::INVALID {
            let hint =
                Hint::run("To take it from all roles, run as a superuser", revoke_from("PUBLIC"));
            return warning("PUBLIC has been granted it.".to_owned(), hint);
        }
        let group = shown_role(grantee);
        let hint = Hint::advice(format!(
            "Take it from {group} by session_guard.revoke_access, or the membership by REVOKE \
             {group} FROM {shown}."
        ));
        warning(format!("It has the rights of role {group}."), hint)
    });
    ways.collect()
}

fn null_role() -> GuardError {
    let hint = Hint::advice("Name the role that the app logs in to the server with.");
    GuardError::new(ErrorKind::NullTable, "the role must not be null", hint)
}

/// A role that restores a dump of its table makes the triggers again, which takes EXECUTE on the
/// functions that they call.
pub fn grant_trigger_functions(owner: Oid) {
    let role = quote_identifier(&role_name(owner));
    outside_of_create_extension(|| {
        run_once(&format!("GRANT USAGE ON SCHEMA session_guard TO {role}"), &[]);
        let functions = "session_guard.stamp(), session_guard.stamp_related()";
        run_once(&format!("GRANT EXECUTE ON FUNCTION {functions} TO {role}"), &[]);
    });
}

/// The owner of a users table may call the functions from now on; warns where that role cannot use
/// their schema.
pub fn grant_to_table_owner(owner: Oid) {
    grant_trigger_functions(owner);
    let Some(HotFunctions { functions, schema }) = hot_functions() else { return };
    let role = quote_identifier(&role_name(owner));
    outside_of_create_extension(|| {
        run_once(&format!("GRANT EXECUTE ON FUNCTION {functions} TO {role}"), &[]);
    });
    const CAN_USE: &str = "SELECT pg_catalog.has_schema_privilege($1, $2::text, 'USAGE')";
    let arguments = [Value::Oid(owner), Value::Utf8(&schema)];
    if query_one::<bool>(CAN_USE, &arguments) == Some(false) {
        let (schema, role) = (shown_identifier(&schema), shown_role(owner));
        let message = format!("role {role} cannot use schema {schema}, where session_valid is");
        let statement = format!("GRANT USAGE ON SCHEMA {schema} TO {role};");
        let hint = Hint::run("The schema's owner grants it by", statement);
        GuardError::new(ErrorKind::CannotUseSchema, message, hint).warn();
    }
}
