//! What of `health()` is about roles: who lacks what the guards take, and who has more than that.

use super::health_finding::Finding;
use crate::catalog::extension;
use crate::catalog::guard::{GuardRow, OpenGuard};
use crate::catalog::privileges::as_tables_owner;
use crate::error::Hint;
use crate::pg::datum::Value;
use crate::pg::names::{quote_literal, shown_identifier};
use crate::pg::roles::{shown_role, tables_owner};
use crate::pg::spi::{query, query_one, string};
use pgrx::pg_sys::{self, Oid};

/// The extension's own objects: `o.classid` and `o.objid`.
const OBJECTS: &str = "
    FROM pg_catalog.pg_extension e
    JOIN pg_catalog.pg_depend o ON o.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
         AND o.refobjid = e.oid AND o.deptype = 'e' AND e.extname = 'pg_session_guard'";

/// Of these, the tables and sequences `c` of the schemas `n`.
const RELATIONS: &str = "
    JOIN pg_catalog.pg_class c ON o.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
         AND c.oid = o.objid AND c.relkind IN ('r', 'S')
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";

/// Of these, the functions `p` of the schemas `n`.
const FUNCTIONS: &str = "
    JOIN pg_catalog.pg_proc p ON o.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
         AND p.oid = o.objid
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace";

/// A function `p` in a schema `n`, as a statement names it whatever the search path is.
const FUNCTION_NAME: &str = "
    pg_catalog.format('%I.%I(%s)', n.nspname, p.proname, (
        SELECT pg_catalog.string_agg(pg_catalog.format('%I.%I', s.nspname, t.typname), ', '
                   ORDER BY a.position)
        FROM pg_catalog.unnest(p.proargtypes) WITH ORDINALITY AS a (type, position)
        JOIN pg_catalog.pg_type t ON t.oid = a.type
        JOIN pg_catalog.pg_namespace s ON s.oid = t.typnamespace))";

/// The triggers write with the rights of their function's owner, and as their function is set.
pub fn trigger_owner() -> Vec<Finding> {
    const CHECK: &str = "trigger_owner";
    const OWNER: &str = "
        SELECT r.rolname::text,
               p.prosecdef
               AND pg_catalog.has_table_privilege(p.proowner, 'session_guard.epoch', 'INSERT')
               AND pg_catalog.has_table_privilege(p.proowner, 'session_guard.epoch', 'UPDATE'),
               -- With quote_all_identifiers the value has quotes.
               pg_catalog.replace(pg_catalog.array_to_string(p.proconfig, ','), '\"', '')
               IS NOT DISTINCT FROM 'search_path=pg_catalog, pg_temp',
               (SELECT o.rolname::text FROM pg_catalog.pg_class c
                JOIN pg_catalog.pg_roles o ON o.oid = c.relowner
                WHERE c.oid = 'session_guard.epoch'::pg_catalog.regclass)
        FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_roles r ON r.oid = p.proowner
        WHERE p.oid = 'session_guard.stamp()'::pg_catalog.regprocedure";
    let found = query(OWNER, &[], |row| {
        let is = |column| row.get::<bool>(column).ok().flatten() == Some(true);
        (string(row, 1).unwrap_or_default(), is(2), is(3), string(row, 4).unwrap_or_default())
    });
    let (owner, can_write, is_as_made, table_owner) = found.into_iter().next().unwrap_or_default();
    let owner = shown_identifier(&owner);
    let mut findings = Vec::new();
    if !can_write || !is_as_made {
        let detail = match can_write {
            true => "the triggers' function has other settings than it was made with".to_owned(),
            false => format!("the triggers' function, owned by {owner}, cannot write epochs"),
        };
        let statement = format!(
            "ALTER FUNCTION session_guard.stamp() OWNER TO {}; \
             ALTER FUNCTION session_guard.stamp() RESET ALL; \
             ALTER FUNCTION session_guard.stamp() SECURITY DEFINER \
             SET search_path = pg_catalog, pg_temp;",
            shown_identifier(&table_owner)
        );
        let hint = Hint::run("To give them their rights back, run", statement);
        findings.push(Finding::wrong(CHECK, detail, hint));
    }
    // These take rights themselves where they write.
    const OTHERS: &str = "
        SELECT p.proname::text FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = pg_catalog.to_regnamespace('session_guard') AND p.pronargs = 0
          AND p.proname IN ('stamp_related', 'stamp_pending', 'guard_changed', 'epoch_changed',
                            'apply_replicated')
          AND p.proconfig IS NOT NULL
          AND pg_catalog.replace(pg_catalog.array_to_string(p.proconfig, ','), '\"', '')
              <> 'search_path=pg_catalog, pg_temp'
        ORDER BY p.proname";
    for name in query(OTHERS, &[], |row| string(row, 1)).into_iter().flatten() {
        let detail = format!("session_guard.{name}() has other settings than it was made with");
        let statement = format!("ALTER FUNCTION session_guard.{name}() RESET ALL;");
        let hint = Hint::run("To take them away, run", statement);
        findings.push(Finding::wrong(CHECK, detail, hint));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, format!("the triggers stamp as {owner}")));
    }
    findings
}

/// `attach` and `reconcile` put triggers on tables of others, with the rights of one role: that of
/// the extension's tables. An owner of any of its objects may change what that object does.
pub fn owners() -> Finding {
    const CHECK: &str = "owners";
    const IS_SUPERUSER: &str = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE oid = $1";
    let is_superuser =
        |role: &Oid| query_one::<bool>(IS_SUPERUSER, &[Value::Oid(*role)]) == Some(true);
    let bootstrap_superuser = Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID);
    let rightful = tables_owner().filter(is_superuser).unwrap_or(bootstrap_superuser);
    let wrong = format!(
        "SELECT pg_catalog.string_agg(pg_catalog.format('%s %s to %I', pg_catalog.lower(o.kind),
                    o.name, pg_catalog.pg_get_userbyid(o.owner)), ', ' ORDER BY o.kind, o.name),
                pg_catalog.string_agg(pg_catalog.format('ALTER %s %s OWNER TO %I;', o.kind, o.name,
                    pg_catalog.pg_get_userbyid($1)), ' ' ORDER BY o.kind, o.name)
         FROM (
             SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                    pg_catalog.format('%I.%I', n.nspname, c.relname), c.relowner
             {OBJECTS} {RELATIONS} WHERE c.relowner <> $1
             UNION ALL
             SELECT 'FUNCTION', {FUNCTION_NAME}, p.proowner
             {OBJECTS} {FUNCTIONS} WHERE p.proowner <> $1
             UNION ALL
             SELECT 'SCHEMA', 'session_guard', n.nspowner FROM pg_catalog.pg_namespace n
             WHERE n.nspname = 'session_guard' AND n.nspowner <> $1
         ) AS o (kind, name, owner)"
    );
    let found = query(&wrong, &[Value::Oid(rightful)], |row| string(row, 1).zip(string(row, 2)));
    match found.into_iter().next().flatten() {
        None => {
            let detail = format!("the extension's objects belong to {}", shown_role(rightful));
            Finding::ok(CHECK, detail)
        }
        Some((objects, statements)) => {
            let detail = format!(
                "the extension's objects must belong to one superuser, but these do not: {objects}"
            );
            Finding::wrong(CHECK, detail, Hint::run("As a superuser, run", statements))
        }
    }
}

/// The extension's owner administers it, dumps it and restores it, which takes rights that DROP
/// OWNED takes away.
pub fn privileges() -> Option<Finding> {
    const CHECK: &str = "privileges";
    let owner = extension::owner()?;
    let owner_value = [Value::Oid(owner)];
    let lacked = format!(
        "SELECT 'USAGE on schema session_guard'
         WHERE NOT pg_catalog.has_schema_privilege($1, 'session_guard', 'USAGE')
         UNION ALL
         SELECT pg_catalog.format('%s on %I.%I', pg_catalog.string_agg(w.privilege, ', '
                    ORDER BY w.privilege), n.nspname, c.relname)
         {OBJECTS} {RELATIONS}
         CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('DELETE'), ('USAGE'), ('UPDATE'))
             AS w (privilege)
         WHERE CASE
             WHEN c.relkind = 'S' THEN w.privilege IN ('SELECT', 'USAGE', 'UPDATE')
                 AND NOT pg_catalog.has_sequence_privilege($1, c.oid, w.privilege)
             WHEN w.privilege = 'SELECT'
                 OR w.privilege = 'INSERT' AND c.relname <> 'trigger_state'
                 OR w.privilege = 'DELETE' AND c.relname IN ('guard', 'watch', 'store')
             THEN NOT pg_catalog.has_table_privilege($1, c.oid, w.privilege)
             ELSE false END
         GROUP BY n.nspname, c.relname"
    );
    let mut lacks: Vec<String> =
        query(&lacked, &owner_value, |row| string(row, 1)).into_iter().flatten().collect();
    lacks.sort();
    let functions = format!(
        "SELECT pg_catalog.count(*),
                pg_catalog.string_agg({FUNCTION_NAME}, ', ' ORDER BY p.oid)
         {OBJECTS} {FUNCTIONS}
         WHERE p.proname NOT IN ('stamp_pending', 'guard_changed', 'epoch_changed',
                                 'apply_replicated')
           AND NOT pg_catalog.has_function_privilege($1, p.oid, 'EXECUTE WITH GRANT OPTION')"
    );
    let functions = query(&functions, &owner_value, |row| {
        string(row, 2).map(|names| (row.get::<i64>(1).ok().flatten().unwrap_or(0), names))
    });
    let functions = functions.into_iter().next().flatten();
    if let Some((count, _)) = &functions {
        lacks.push(format!("EXECUTE with grant option on {count} functions"));
    }
    let role = shown_role(owner);
    if lacks.is_empty() {
        return Some(Finding::ok(CHECK, format!("{role} administers the extension")));
    }
    // DROP OWNED takes from the owner before what others were granted by that role.
    let others = match functions {
        Some(_) => {
            ". If DROP OWNED took them from the owner before, the roles to which that one granted \
             EXECUTE lack it, too: give it back by session_guard.grant_access"
        }
        None => "",
    };
    let detail = format!(
        "{role}, who owns the extension, lacks rights to administer it: {}{others}",
        lacks.join(", ")
    );
    let functions = functions.map_or(String::new(), |(_, functions)| {
        format!(" GRANT EXECUTE ON FUNCTION {functions} TO {role} WITH GRANT OPTION;")
    });
    let statement = format!(
        "GRANT USAGE ON SCHEMA session_guard TO {role} WITH GRANT OPTION; \
         GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA session_guard TO {role}; \
         REVOKE INSERT ON session_guard.trigger_state FROM {role}; \
         GRANT DELETE ON session_guard.guard, session_guard.watch, session_guard.store TO {role}; \
         GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA session_guard TO {role};{functions}"
    );
    Some(Finding::wrong(CHECK, detail, Hint::run("As a superuser, run", statement)))
}

/// Who writes the extension's tables, or puts triggers on them, decides who is let in.
pub fn writers() -> Vec<Finding> {
    const CHECK: &str = "writers";
    // What was granted by one that is listed goes with its own rights.
    let granted = format!(
        "WITH granted AS (
             SELECT c.oid, c.relowner, n.nspname, c.relname, a.grantor, a.grantee, a.privilege_type
             {OBJECTS} {RELATIONS}
             CROSS JOIN LATERAL (
                 SELECT t.* FROM pg_catalog.aclexplode(c.relacl) t
                 UNION ALL
                 SELECT t.* FROM pg_catalog.pg_attribute b
                 CROSS JOIN LATERAL pg_catalog.aclexplode(b.attacl) t
                 WHERE b.attrelid = c.oid AND NOT b.attisdropped) a
             WHERE c.relkind = 'r' AND a.grantee NOT IN (c.relowner, $1)
               AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles s
                               WHERE s.oid = a.grantee AND s.rolsuper)
         ), listed AS (
             SELECT g.relowner, pg_catalog.format('%I.%I', g.nspname, g.relname) AS name, g.grantor,
                    CASE WHEN g.grantee = 0 THEN 'PUBLIC'
                         ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee))
                    END AS grantee,
                    pg_catalog.string_agg(DISTINCT g.privilege_type, ', ') AS privileges
             FROM granted g GROUP BY g.relowner, g.nspname, g.relname, g.grantor, g.grantee
         )
         SELECT pg_catalog.format('%s has %s on %s', l.grantee, l.privileges, l.name),
                CASE WHEN l.grantor IN ($1, $2) AND l.grantor <> l.relowner THEN pg_catalog.format(
                         'SET ROLE %I; REVOKE %s ON TABLE %s FROM %s CASCADE; RESET ROLE;',
                         pg_catalog.pg_get_userbyid(l.grantor), l.privileges, l.name, l.grantee)
                     ELSE pg_catalog.format('REVOKE %s ON TABLE %s FROM %s CASCADE;',
                         l.privileges, l.name, l.grantee) END
         FROM listed l ORDER BY 1"
    );
    let database_owner = Value::Oid(Oid::from(pg_sys::ROLE_PG_DATABASE_OWNER));
    let arguments = [extension::owner().map_or(Value::Null, Value::Oid), database_owner];
    let found = query(&granted, &arguments, |row| string(row, 1).zip(string(row, 2)));
    let mut findings: Vec<Finding> = found
        .into_iter()
        .flatten()
        .map(|(detail, statement)| {
            Finding::wrong(CHECK, detail, Hint::run("As a superuser, run", statement))
        })
        .collect();
    if findings.is_empty() {
        let detail = "nobody but the extension writes its tables, and who restores a dump of them";
        findings.push(Finding::ok(CHECK, detail));
    }
    findings
}

/// A call whose arguments fit a function of the same name better is that one's.
pub fn other_functions() -> Vec<Finding> {
    const CHECK: &str = "other_functions";
    let others = format!(
        "SELECT pg_catalog.format('%I.%I(%s)', n.nspname, p.proname,
                    pg_catalog.oidvectortypes(p.proargtypes)),
                pg_catalog.format('DROP %s %s;',
                    CASE p.prokind WHEN 'a' THEN 'ROUTINE' ELSE 'FUNCTION' END, {FUNCTION_NAME})
         FROM pg_catalog.pg_extension e
         JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
         JOIN pg_catalog.pg_proc p ON p.pronamespace = n.oid AND p.prokind <> 'p'
         WHERE e.extname = 'pg_session_guard'
           AND p.proname IN ('session_valid', 'session_verdict', 'session_start', 'token_valid')
           AND NOT EXISTS (SELECT {OBJECTS} WHERE o.objid = p.oid
                           AND o.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass)
         ORDER BY 1"
    );
    let found = query(&others, &[], |row| string(row, 1).zip(string(row, 2)));
    let mut findings: Vec<Finding> = found
        .into_iter()
        .flatten()
        .map(|(function, statement)| {
            let detail =
                format!("{function} is not the extension's, and may be called in its place");
            Finding::wrong(CHECK, detail, Hint::run("If nobody needs it, run", statement))
        })
        .collect();
    if findings.is_empty() {
        let detail = "no other function has the name of one that apps call";
        findings.push(Finding::ok(CHECK, detail));
    }
    findings
}

/// The table's owner may call what apps call; and so may some role of an app, also where a dump was
/// restored without its grants.
pub fn access(row: &GuardRow, open: &OpenGuard) -> Vec<Finding> {
    const CHECK: &str = "access";
    let owner = open.users.owner();
    let lacked = format!(
        "SELECT pg_catalog.concat_ws(', ',
                    CASE WHEN NOT pg_catalog.bool_and(
                             pg_catalog.has_schema_privilege($1, n.oid, 'USAGE'))
                         THEN pg_catalog.format('USAGE on schema %I', pg_catalog.min(n.nspname))
                    END,
                    'EXECUTE on ' || pg_catalog.string_agg(DISTINCT p.proname::text, ', ')
                        FILTER (WHERE NOT pg_catalog.has_function_privilege($1, p.oid, 'EXECUTE')))
         {OBJECTS} {FUNCTIONS}
         WHERE n.oid = e.extnamespace"
    );
    let lacked = query(&lacked, &[Value::Oid(owner)], |row| string(row, 1));
    let lacked = lacked.into_iter().next().flatten().unwrap_or_default();
    let role = shown_role(owner);
    let mut findings = Vec::new();
    if !lacked.is_empty() {
        let detail = format!("{role}, who owns the table, lacks {lacked}");
        let statement = format!("SELECT session_guard.grant_access({});", quote_literal(&role));
        let hint = Hint::run("The extension's owner grants it by", statement);
        findings.push(Finding::wrong(CHECK, detail, hint));
    }
    if is_restored_without_grants(&row.name) {
        let detail = "no role has been granted access since this database was restored";
        let hint = Hint::advice(
            "Grant it to each role that an app connects as, for example: \
             SELECT session_guard.grant_access('app');",
        );
        findings.push(Finding::wrong(CHECK, detail, hint));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, format!("{role} may call what apps call")));
    }
    findings
}

/// Whether a guard is older than the extension here, and so came with a dump, and nobody can call
/// `session_valid` whom an app may connect as: a role that was granted it, or an owner of a guarded
/// table who can log in. Superusers do not count, nor does an owner who cannot log in; but where
/// only superusers can log in, an app is one.
fn is_restored_without_grants(guard: &str) -> bool {
    let without_grants = format!(
        "SELECT EXISTS (
             SELECT FROM session_guard.guard g WHERE g.name = $1
             AND g.attached_at < (SELECT pg_catalog.min(t.acknowledged_at)
                                  FROM session_guard.timeline t)
         ) AND NOT EXISTS (
             SELECT FROM session_guard.guard u
             JOIN pg_catalog.pg_namespace s ON s.nspname = u.schema_name
             JOIN pg_catalog.pg_class c ON c.relnamespace = s.oid AND c.relname = u.table_name
             JOIN pg_catalog.pg_roles r ON r.oid = c.relowner AND r.rolcanlogin AND NOT r.rolsuper
         ) AND EXISTS (
             SELECT FROM pg_catalog.pg_roles r WHERE r.rolcanlogin AND NOT r.rolsuper
         ) AND NOT EXISTS (
             SELECT {OBJECTS} {FUNCTIONS}
             CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(p.proacl,
                 pg_catalog.acldefault('f', p.proowner))) a
             LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
             WHERE p.proname = 'session_valid' AND n.oid = e.extnamespace
               AND a.grantee NOT IN (p.proowner, $2)
               AND r.rolsuper IS NOT TRUE
               AND (r.rolcanlogin OR r.rolname IS NULL OR r.rolname NOT IN (
                   SELECT u.table_owner FROM session_guard.guard u))
         )"
    );
    let database_owner = Value::Oid(Oid::from(pg_sys::ROLE_PG_DATABASE_OWNER));
    let arguments = [Value::Utf8(guard), database_owner];
    as_tables_owner(|| query_one::<bool>(&without_grants, &arguments)) == Some(true)
}
