//! SQL: puts tables under guard, takes them off, and repairs what was changed behind the guard's
//! back.

use crate::advice;
use crate::arg::{Duration, Name, RegClass};
use crate::arm::{check_not_in_use, drop_triggers};
use crate::armed::stamping_triggers;
use crate::attach::{
    Request, attach_table, guard_locked, lock_own_table, note_unwatched, open, renamed_meanwhile,
};
use crate::error::{GuardError, Mistake, OrRaise};
use crate::guard::GuardRow;
use crate::name::{column_name, qualified_name};
use crate::owner::{self, as_owner};
use crate::question::null_table;
use crate::registry;
use crate::scan::OpenTable;
use crate::statement::{relation, run_once};
use crate::watch;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use pgrx::spi::Spi;
use pgrx::{Array, default};

/// Guards a table, and stamps the accounts that are disabled already.
#[pg_extern(schema = "session_guard", name = "attach", volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn attach_users(
    users: Option<RegClass>,
    id_column: default!(Option<Name>, "'id'"),
    active_column: default!(Option<Name>, "'active'"),
    revoke_on: default!(Option<Array<Name>>, "'{}'"),
    is_default: default!(Option<bool>, "NULL"),
    max_session_age: default!(Option<Duration>, "NULL"),
) -> i64 {
    registry::check_writable("attach()");
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
        max_session_age: max_session_age.map(|age| age.0),
    };
    let relid = users.map(|users| users.0).ok_or_else(null_table).or_raise();
    attach_table(relid, request).or_raise()
}

/// Takes the triggers off a table. The epochs stay, unless they are to be forgotten.
#[pg_extern(schema = "session_guard", volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn detach(users: Option<RegClass>, forget: default!(Option<bool>, "false")) {
    registry::check_writable("detach()");
    let relid = users.map(|users| users.0).ok_or_else(null_table).or_raise();
    let open_own = |lock| {
        let table = OpenTable::try_open(relid, lock);
        table.as_ref().map_or_else(owner::check_administration, owner::check_ownership).or_raise();
        table
    };
    // Nobody waits for, or holds, a lock on a table that is not theirs.
    drop(open_own(pg_sys::AccessShareLock));
    registry::lock_guards();
    let mut triggers = Vec::new();
    if let Some(table) = open_own(pg_sys::AccessExclusiveLock) {
        triggers = stamping_triggers(&table, registry::store().stamper);
        if !triggers.is_empty() {
            check_not_in_use(&table).or_raise();
        }
        table.close_but_keep_lock();
    }
    let row = registry::rows().into_iter().find(|row| row.relid == relid);
    let forget = forget.unwrap_or(false);
    if row.is_none() && triggers.is_empty() && !forget {
        let message = format!("table {} is not guarded", qualified_name(relid));
        GuardError::new(Mistake::NotGuarded, message, advice::attach_statement(relid)).raise();
    }
    for row in watch::rows_of(relid) {
        watch::take_off(row.related);
    }
    as_owner(|| {
        drop_triggers(relid, &triggers);
        if forget {
            run_once("DELETE FROM session_guard.epoch WHERE guard = $1", &[relation(relid)]);
            run_once("DELETE FROM session_guard.guard_epoch WHERE guard = $1", &[relation(relid)]);
        } else {
            // So that a table made again under this name is known by it.
            run_once(
                "INSERT INTO session_guard.guard_epoch (guard, table_name)
                 SELECT guard, table_name FROM session_guard.guard WHERE guard = $1
                 ON CONFLICT (guard) DO UPDATE SET table_name = EXCLUDED.table_name",
                &[relation(relid)],
            );
        }
        run_once("DELETE FROM session_guard.guard WHERE guard = $1", &[relation(relid)]);
    });
    // Triggers are dropped by name, and a schema can be renamed under any lock on the table.
    let left = OpenTable::try_open(relid, pg_sys::AccessShareLock)
        .is_some_and(|table| !stamping_triggers(&table, registry::store().stamper).is_empty());
    if left {
        renamed_meanwhile(relid).raise();
    }
}

/// Re-arms guards, and stamps the accounts that were disabled while they were not armed.
#[pg_extern(schema = "session_guard", volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
fn reconcile(users: default!(Option<RegClass>, "NULL")) -> i64 {
    registry::check_writable("reconcile()");
    registry::check_catalog().or_raise();
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
    let name = |attno| column_name(&open.users, attno);
    let request = Request {
        id_column: name(open.guard.id.attno),
        active_column: name(open.guard.active),
        revoke_on: open.guard.revoke_on.iter().copied().map(name).collect(),
        is_default: None,
        max_session_age: row.max_session_age,
    };
    drop(open);
    let stamped = guard_locked(row.relid, request)?;
    for watch in watch::rows_of(row.relid) {
        if watch::ailment(&watch).is_some() {
            if !watch::is_watching(&watch) {
                as_owner(|| note_unwatched(row.relid));
            }
            watch::mend(&watch).unwrap_or_else(GuardError::warn);
        }
    }
    Ok(stamped)
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
          AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        ORDER BY n.nspname";
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
        max_session_age: None,
    };
    attach_table(relid, request)
}
