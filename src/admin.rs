//! SQL: puts tables under guard, takes them off, and repairs what was changed behind the guard's
//! back.

use crate::advice;
use crate::arg::{Name, RegClass};
use crate::backfill;
use crate::epoch::Epoch;
use crate::error::{GuardError, Mistake, OrRaise};
use crate::guard::{self, Guard, GuardRow, IdColumn, TRIGGERS, UPDATE_TRIGGER, qualified_name};
use crate::owner::{self, as_owner};
use crate::registry::{self, OpenGuard};
use crate::scan::OpenTable;
use crate::session::null_table;
use crate::stamp::{Reason, stamp_guard};
use crate::statement::run_once;
use pgrx::datum::{DatumWithOid, TimestampWithTimeZone};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use pgrx::spi::{Spi, quote_identifier};
use pgrx::{Array, default};

/// What `attach` is asked for.
struct Request {
    id_column: String,
    active_column: String,
    revoke_on: Vec<String>,
    is_default: Option<bool>,
}

/// Guards a table, and stamps the accounts that are disabled already.
#[pg_extern(schema = "session_guard", volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn attach(
    users: Option<RegClass>,
    id_column: default!(Option<Name>, "'id'"),
    active_column: default!(Option<Name>, "'active'"),
    revoke_on: default!(Option<Array<Name>>, "'{}'"),
    is_default: default!(Option<bool>, "NULL"),
) -> i64 {
    let mut columns: Vec<String> = Vec::new();
    for Name(name) in revoke_on.iter().flat_map(|names| names.iter()).flatten() {
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    let request = Request {
        id_column: id_column.map_or("id".into(), |name| name.0),
        active_column: active_column.map_or("active".into(), |name| name.0),
        revoke_on: columns,
        is_default,
    };
    let relid = users.map(|users| users.0).ok_or_else(null_table).or_raise();
    attach_table(relid, request).or_raise()
}

/// Takes the triggers off a table. The epochs stay, unless they are to be forgotten.
#[pg_extern(schema = "session_guard", volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn detach(users: Option<RegClass>, forget: default!(Option<bool>, "false")) {
    let relid = users.map(|users| users.0).ok_or_else(null_table).or_raise();
    let row = registry::rows().into_iter().find(|row| row.relid == relid);
    let mut triggers = Vec::new();
    if let Some(table) = OpenTable::try_open(relid, pg_sys::AccessShareLock) {
        owner::check_ownership(&table).or_raise();
        triggers = guard::stamping_triggers(&table, registry::store().stamper);
    } else {
        owner::check_administration().or_raise();
    }
    let forget = forget.unwrap_or(false);
    if row.is_none() && triggers.is_empty() && !forget {
        let message = format!("table {} is not guarded", qualified_name(relid));
        GuardError::new(Mistake::NotGuarded, message, advice::attach_statement(relid)).raise();
    }
    as_owner(|| {
        drop_triggers(relid, &triggers);
        if forget {
            run_once("DELETE FROM session_guard.epoch WHERE guard = $1", &[oid(relid)]);
            run_once("DELETE FROM session_guard.guard_epoch WHERE guard = $1", &[oid(relid)]);
        } else {
            // So that a table made again under this name is known by it.
            run_once(
                "INSERT INTO session_guard.guard_epoch (guard, table_name)
                 SELECT guard, table_name FROM session_guard.guard WHERE guard = $1
                 ON CONFLICT (guard) DO UPDATE SET table_name = EXCLUDED.table_name",
                &[oid(relid)],
            );
        }
        run_once("DELETE FROM session_guard.guard WHERE guard = $1", &[oid(relid)]);
    });
}

/// Re-arms guards, and stamps the accounts that were disabled while they were not armed.
#[pg_extern(schema = "session_guard", volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn reconcile(users: default!(Option<RegClass>, "NULL")) -> i64 {
    let rows = registry::rows();
    let Some(RegClass(relid)) = users else {
        // One that cannot be mended does not keep the others from it.
        let mended = rows.iter().map(|row| reconcile_guard(row).map_err(GuardError::warn));
        return mended.filter_map(Result::ok).sum();
    };
    let row = rows.iter().find(|row| row.relid == relid).ok_or_else(|| {
        let message = format!("table {} is not guarded", qualified_name(relid));
        GuardError::new(Mistake::NotGuarded, message, advice::attach_statement(relid))
    });
    row.and_then(reconcile_guard).or_raise()
}

fn reconcile_guard(row: &GuardRow) -> Result<i64, GuardError> {
    let Some(table) = OpenTable::try_open(row.relid, pg_sys::AccessShareLock) else {
        return Err(registry::table_gone(row));
    };
    let stamper = registry::store().stamper;
    if !registry::is_same_table(&table, row, stamper) {
        return Err(registry::table_gone(row));
    }
    drop(table);
    lock_own_table(row.relid, None)?;
    // A column that was renamed goes by its new name from here on.
    let open = open(row.relid)?;
    registry::check_names(&open.guard)?;
    let name = |attno| guard::column_name(&open.users, attno);
    let request = Request {
        id_column: name(open.guard.id.attno),
        active_column: name(open.guard.active),
        revoke_on: open.guard.revoke_on.iter().copied().map(name).collect(),
        is_default: Some(row.is_default),
    };
    drop(open);
    guard_locked(row.relid, request)
}

/// Puts everybody out, as after a breach, or where nobody can know who must be.
#[pg_extern(schema = "session_guard", volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn revoke_all_sessions(
    users: default!(Option<RegClass>, "NULL"),
    reason: default!(Option<String>, "'admin'"),
) -> Option<TimestampWithTimeZone> {
    let open = registry::open(users.map(|users| users.0), pg_sys::AccessShareLock).or_raise();
    owner::check_update(&open.users).or_raise();
    let reason = Reason::Admin(reason.unwrap_or_else(|| "admin".into()));
    let Epoch(epoch) = as_owner(|| stamp_guard(&open.store, open.guard.relid, &reason));
    TimestampWithTimeZone::try_from(epoch.0).ok()
}

/// Called once, by CREATE EXTENSION: guards `ab_user` where there is exactly one, and otherwise
/// tells how to attach. A NOTICE would not be seen there.
#[pg_extern(sql = r#"
CREATE FUNCTION session_guard.attach_ab_user() RETURNS void
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
"#)]
fn attach_ab_user() {
    const CANDIDATES: &str = "
        SELECT c.oid, pg_has_role(e.extowner, c.relowner, 'USAGE')
        FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_extension e ON e.extname = 'pg_session_guard'
        WHERE c.relname = 'ab_user' AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
          AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";
    let candidates: Vec<(Oid, bool)> = Spi::connect(|client| {
        let rows = client.select(CANDIDATES, None, &[]).expect("a query of the catalogs");
        rows.filter_map(|row| Some((row.get(1).ok()??, row.get(2).ok()??))).collect()
    });
    match candidates.as_slice() {
        [(relid, true)] => match attach_first(*relid) {
            Ok(stamped) => pgrx::info!(
                "guarding table {}; disabled accounts stamped: {stamped}",
                qualified_name(*relid)
            ),
            Err(error) => error.inform(),
        },
        [(relid, false)] => {
            let message = format!(
                "table {} belongs to somebody else, who can guard it",
                qualified_name(*relid)
            );
            GuardError::new(Mistake::NotOwner, message, advice::attach_statement(*relid)).inform();
        }
        [] => {
            let message = "there is no table ab_user; no table is guarded yet";
            GuardError::new(Mistake::NoGuard, message, advice::attach_something()).inform();
        }
        [(relid, _), ..] => {
            let message = "there are several tables ab_user; no table is guarded yet";
            GuardError::new(Mistake::NoGuard, message, advice::attach_statement(*relid)).inform();
        }
    }
}

fn attach_first(relid: Oid) -> Result<i64, GuardError> {
    let request = Request {
        id_column: "id".into(),
        active_column: "active".into(),
        revoke_on: Vec::new(),
        is_default: None,
    };
    attach_table(relid, request)
}

fn attach_table(relid: Oid, request: Request) -> Result<i64, GuardError> {
    lock_own_table(relid, Some(&request))?;
    let table = open_locked(relid);
    let (id, _) = check_columns(&table, &request)?;
    guard::check_unique(&table, id)?;
    if let Some(row) = registry::rows().into_iter().find(|row| row.relid == relid) {
        check_change(&table, id, &row, &request)?;
    }
    drop(table);
    guard_locked(relid, request)
}

/// Checks that the caller may guard the table, then keeps writers away until the transaction ends:
/// between the triggers and the backfill no change must slip through.
///
/// Triggers can only be dropped under the strongest lock. It is taken at once where some must be:
/// to raise a lock later is to invite a deadlock with the app.
fn lock_own_table(relid: Oid, request: Option<&Request>) -> Result<(), GuardError> {
    let check = |lock| {
        let table = OpenTable::try_open(relid, lock).ok_or_else(|| {
            let message = format!("there is no table with OID {}", relid.to_u32());
            GuardError::new(Mistake::TableGone, message, advice::attach_something())
        })?;
        guard::check_kind(&table)?;
        owner::check_ownership(&table)?;
        Ok(table)
    };
    let table = check(pg_sys::AccessShareLock)?;
    let stamper = registry::store().stamper;
    let has_triggers = !guard::stamping_triggers(&table, stamper).is_empty();
    let watched = guard::watched_columns(&table, stamper);
    let is_as_requested = request.is_none_or(|request| {
        check_columns(&table, request).is_ok_and(|(_, columns)| watched == Some(columns))
    });
    drop(table);
    let is_armed = registry::open(Some(relid), pg_sys::AccessShareLock)
        .is_ok_and(|open| open.guard.disarmed.is_none());
    let lock = match has_triggers && !(is_armed && is_as_requested) {
        true => pg_sys::AccessExclusiveLock,
        false => pg_sys::ShareRowExclusiveLock,
    };
    check(lock)?.close_but_keep_lock();
    Ok(())
}

fn check_columns(table: &OpenTable, request: &Request) -> Result<(IdColumn, Vec<i16>), GuardError> {
    Guard::check(table, &request.id_column, &request.active_column, &request.revoke_on)
}

fn open_locked(relid: Oid) -> OpenTable {
    OpenTable::try_open(relid, pg_sys::AccessShareLock).expect("a table that is locked cannot go")
}

/// Epochs are keyed by the id column, so that one cannot be changed under them; the rest can.
fn check_change(
    table: &OpenTable,
    id: IdColumn,
    row: &GuardRow,
    request: &Request,
) -> Result<(), GuardError> {
    let name = qualified_name(row.relid);
    let watched = guard::watched_columns(table, registry::store().stamper).unwrap_or_default();
    let current = watched.first().map(|attno| guard::column_name(table, *attno));
    let current = current.unwrap_or_else(|| row.id_column.clone());
    if current != guard::column_name(table, id.attno) {
        let wanted = GuardRow {
            table_name: name.clone(),
            id_column: request.id_column.clone(),
            active_column: request.active_column.clone(),
            revoke_on: request.revoke_on.clone(),
            ..row.clone()
        };
        let attach = advice::attach_again(&wanted, request.is_default);
        let hint = format!("{} {attach}", advice::detach_statement(&name));
        let column = quote_identifier(&current);
        let message = format!("table {name} is guarded already, by its column {column}");
        return Err(GuardError::new(Mistake::AttachedOtherwise, message, hint)
            .detail("Its epochs are kept by that column's values."));
    }
    let dropped = row.revoke_on.iter().filter(|name| !request.revoke_on.contains(name));
    let dropped: Vec<_> = dropped.map(quote_identifier).collect();
    if !dropped.is_empty() {
        let names = dropped.join(", ");
        pgrx::notice!("a change of {names} in table {name} no longer ends sessions");
    }
    Ok(())
}

fn guard_locked(relid: Oid, request: Request) -> Result<i64, GuardError> {
    let table = open_locked(relid);
    let (_, columns) = check_columns(&table, &request)?;
    let table_owner = owner::owner_of(&table);
    let stamper = registry::store().stamper;
    // Renamed columns were watched on; where the names mean others by now, these were not.
    let was_watched = open(relid)
        .is_ok_and(|open| open.guard.disarmed.is_none() && open.guard.replaced.is_none());
    let was_attached = registry::is_known(relid);
    let is_watching =
        guard::watched_columns(&table, stamper).is_some_and(|watched| watched == columns);
    let triggers = guard::stamping_triggers(&table, stamper);
    drop(table);
    as_owner(|| {
        run_once("LOCK TABLE session_guard.guard IN SHARE ROW EXCLUSIVE MODE", &[]);
        take_over(relid);
        if !is_watching {
            drop_triggers(relid, &triggers);
        }
        record(relid, &request);
        if was_attached && !was_watched {
            run_once(
                "UPDATE session_guard.guard SET unwatched_at = pg_catalog.clock_timestamp() WHERE guard = $1",
                &[oid(relid)],
            );
        }
        let is_armed = open(relid)?.guard.disarmed.is_none();
        if !is_armed {
            if is_watching {
                drop_triggers(relid, &triggers);
            }
            create_triggers(relid, &request);
        }
        grant_hot_functions(table_owner);
        Ok(backfill::stamp_disabled(&open(relid)?, !is_armed))
    })
}

fn open(relid: Oid) -> Result<OpenGuard, GuardError> {
    registry::open(Some(relid), pg_sys::AccessShareLock)
}

/// Epochs of a table that was dropped go to its successor of the same name. Those of one that only
/// lost the name are copied.
fn take_over(relid: Oid) {
    let name = qualified_name(relid);
    for predecessor in registry::known_as(&name).into_iter().filter(|known| *known != relid) {
        let table = OpenTable::try_open(predecessor, pg_sys::AccessShareLock);
        let is_gone = table.is_none();
        let stamper = registry::store().stamper;
        if table.is_some_and(|table| !guard::stamping_triggers(&table, stamper).is_empty()) {
            continue;
        }
        let both = [oid(relid), oid(predecessor)];
        run_once(
            "INSERT INTO session_guard.epoch AS e (guard, user_id, epoch, reason, stamped_at)
             SELECT $1, user_id, epoch, reason, stamped_at FROM session_guard.epoch WHERE guard = $2
             ON CONFLICT (guard, user_id) DO UPDATE SET epoch = GREATEST(e.epoch, EXCLUDED.epoch)",
            &both,
        );
        run_once(
            "INSERT INTO session_guard.guard_epoch AS e (guard, table_name, epoch, reason, stamped_at)
             SELECT $1, table_name, epoch, reason, stamped_at FROM session_guard.guard_epoch WHERE guard = $2
             ON CONFLICT (guard) DO UPDATE SET epoch = GREATEST(e.epoch, EXCLUDED.epoch)",
            &both,
        );
        if is_gone {
            run_once(
                "UPDATE session_guard.guard SET guard = $1 WHERE guard = $2
                 AND NOT EXISTS (SELECT FROM session_guard.guard WHERE guard = $1)",
                &both,
            );
            for table in ["epoch", "guard_epoch", "guard"] {
                let delete = format!("DELETE FROM session_guard.{table} WHERE guard = $1");
                run_once(&delete, &[oid(predecessor)]);
            }
        }
    }
}

fn record(relid: Oid, request: &Request) {
    let name = qualified_name(relid);
    if request.is_default == Some(true) {
        run_once(
            "UPDATE session_guard.guard SET is_default = false WHERE is_default AND guard <> $1",
            &[oid(relid)],
        );
    }
    run_once(
        "INSERT INTO session_guard.guard AS g
             (guard, table_name, id_column, active_column, revoke_on, is_default)
         VALUES ($1, $2, $3, $4, $5,
                 COALESCE($6, NOT EXISTS (SELECT FROM session_guard.guard WHERE guard <> $1)))
         ON CONFLICT (guard) DO UPDATE SET
             table_name = EXCLUDED.table_name, id_column = EXCLUDED.id_column,
             active_column = EXCLUDED.active_column, revoke_on = EXCLUDED.revoke_on,
             is_default = COALESCE($6, g.is_default OR EXCLUDED.is_default)
         WHERE (g.table_name, g.id_column, g.active_column, g.revoke_on, g.is_default)
             IS DISTINCT FROM (EXCLUDED.table_name, EXCLUDED.id_column, EXCLUDED.active_column,
                               EXCLUDED.revoke_on, COALESCE($6, g.is_default OR EXCLUDED.is_default))",
        &[
            oid(relid),
            name.as_str().into(),
            request.id_column.as_str().into(),
            request.active_column.as_str().into(),
            request.revoke_on.clone().into(),
            request.is_default.into(),
        ],
    );
}

fn drop_triggers(relid: Oid, triggers: &[String]) {
    let table = qualified_name(relid);
    for trigger in triggers.iter().map(quote_identifier) {
        run_once(&format!("DROP TRIGGER {trigger} ON {table}"), &[]);
    }
}

fn create_triggers(relid: Oid, request: &Request) {
    let table = qualified_name(relid);
    let when = watched_changes(request);
    for (trigger, kind) in TRIGGERS {
        let event = match kind & pg_sys::TRIGGER_TYPE_EVENT_MASK {
            pg_sys::TRIGGER_TYPE_UPDATE => "UPDATE",
            pg_sys::TRIGGER_TYPE_INSERT => "INSERT",
            pg_sys::TRIGGER_TYPE_DELETE => "DELETE",
            _ => "TRUNCATE",
        };
        let level = match kind & pg_sys::TRIGGER_TYPE_ROW {
            0 => "STATEMENT",
            _ => "ROW",
        };
        let when = if trigger == UPDATE_TRIGGER { format!("WHEN ({when})") } else { String::new() };
        run_once(
            &format!(
                "CREATE TRIGGER {trigger} AFTER {event} ON {table} FOR EACH {level} {when}
                 EXECUTE FUNCTION session_guard.stamp()"
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
    let further = request.revoke_on.iter().map(|column| {
        let column = quote_identifier(column);
        let text = |row| format!("{row}.{column}::pg_catalog.text COLLATE pg_catalog.\"C\"");
        format!("{} IS DISTINCT FROM {}", text("OLD"), text("NEW"))
    });
    own.into_iter().chain(further).collect::<Vec<_>>().join(" OR ")
}

/// The functions that apps call, which the users table's owner may call from now on.
fn grant_hot_functions(table_owner: Oid) {
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
        let rows = client.update(HOT_FUNCTIONS, Some(1), &[oid(table_owner)]).ok()?.first();
        Some((rows.get(1).ok()??, rows.get(2).ok()??, rows.get(3).ok()??))
    });
    let Some((functions, schema, can_use_schema)) = found else {
        return;
    };
    let role = owner::role_name(table_owner);
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

fn oid(relid: Oid) -> DatumWithOid<'static> {
    // SAFETY: an OID's datum is the OID, and a regclass is one.
    unsafe { DatumWithOid::new(relid, pg_sys::REGCLASSOID) }
}
