//! SQL: what an operator wants to know.

use crate::advice;
use crate::arg::RegClass;
use crate::backfill;
use crate::error::{GuardError, Mistake};
use crate::guard::{self, Guard, GuardRow};
use crate::lookup;
use crate::name::{column_name, qualified_name, relation_called, to_string};
use crate::registry::{self, OpenGuard};
use crate::scan::OpenTable;
use crate::watch::{self, WatchRow};
use crate::{settings, standby, timeline};
use pgrx::iter::TableIterator;
use pgrx::pg_sys;
use pgrx::prelude::*;
use pgrx::spi::{Spi, quote_identifier};

type Finding = (Option<RegClass>, String, bool, String, Option<String>);

/// One row for each thing that can be wrong with each guard.
#[pg_extern(schema = "session_guard", volatile, parallel_unsafe)]
#[search_path(pg_catalog, pg_temp)]
#[allow(clippy::type_complexity, reason = "pgrx wants the columns spelt out here")]
fn health() -> TableIterator<
    'static,
    (
        name!(guard, Option<RegClass>),
        name!(check_name, String),
        name!(ok, bool),
        name!(detail, String),
        name!(remedy, Option<String>),
    ),
> {
    let rows = registry::rows();
    if let Err(too_new) = registry::check_library()
        && too_new.mistake == Mistake::LibraryOutdated
    {
        return TableIterator::once(version(too_new));
    }
    let mut findings = vec![default_guard(&rows), stamper_owner()];
    findings.extend(unheard_edits());
    findings.extend(ARRIVALS.iter().filter_map(arrivals));
    findings.extend(replica());
    findings.extend(timeline(&rows));
    for row in &rows {
        match check_guard(row) {
            Ok(of_guard) => findings.extend(of_guard),
            Err(error) => findings.push(broken(row, error)),
        }
    }
    TableIterator::new(findings)
}

fn finding(
    guard: Option<&GuardRow>,
    check_name: &str,
    detail: String,
    remedy: Option<String>,
) -> Finding {
    let guard = guard.map(|row| RegClass(row.relid));
    (guard, check_name.to_owned(), remedy.is_none(), detail, remedy)
}

fn default_guard(rows: &[GuardRow]) -> Finding {
    const CHECK: &str = "default_guard";
    match rows {
        [] => {
            let remedy = Some(advice::attach_something());
            finding(None, CHECK, "no table is guarded".into(), remedy)
        }
        [only] => finding(None, CHECK, format!("{} is the only guard", only.table_name), None),
        [first, ..] => match rows.iter().find(|row| row.is_default) {
            Some(row) => finding(None, CHECK, format!("{} is the default", row.table_name), None),
            None => {
                let detail = format!("{} tables are guarded, and none is the default", rows.len());
                finding(None, CHECK, detail, Some(advice::attach_again(first, Some(true))))
            }
        },
    }
}

fn version(error: GuardError) -> Finding {
    finding(None, "version", error.message, Some(error.hint))
}

/// Told only where it is so.
fn unheard_edits() -> Option<Finding> {
    let table = registry::store().unheard?;
    if let Err(outdated) = registry::check_catalog() {
        return Some(version(outdated));
    }
    let detail =
        format!("edits of {table} by hand are not told of, and each call reads the tables");
    let remedy = format!(
        "ALTER TABLE {table} ENABLE ALWAYS TRIGGER session_guard_changed, ENABLE ALWAYS TRIGGER session_guard_emptied;"
    );
    Some(finding(None, "edits", detail, Some(remedy)))
}

/// What can be wrong with what comes by logical replication: what it is, and a query for the statement that mends it.
const ARRIVALS: &[(&str, &str)] = &[
    (
        "what comes by logical replication is not merged with what is there",
        "SELECT string_agg(format('ALTER TABLE session_guard.%I ENABLE REPLICA TRIGGER session_guard_arrives;', c.relname), ' ' ORDER BY c.relname)
         FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
         WHERE t.tgfoid = to_regproc('session_guard.arrive') AND t.tgenabled NOT IN ('R', 'A')",
    ),
    (
        "a subscription names tables by their OIDs, which are others here",
        "SELECT string_agg(DISTINCT format('ALTER SUBSCRIPTION %I SET (binary = false);', s.subname), ' ')
         FROM pg_subscription s JOIN pg_subscription_rel r ON r.srsubid = s.oid JOIN pg_class c ON c.oid = r.srrelid
         WHERE s.subbinary AND c.relnamespace = to_regnamespace('session_guard')",
    ),
];

/// Told only where it is so.
fn arrivals((detail, query): &(&str, &str)) -> Option<Finding> {
    let remedy = Spi::connect(|client| {
        client.select(*query, Some(1), &[]).ok()?.first().get_one::<String>().ok()?
    })?;
    Some(finding(None, "arrivals", (*detail).to_owned(), Some(remedy)))
}

/// Of a standby, how far it is behind; of a primary whose stamps are to wait for standbys, whether there are any to wait
/// for.
fn replica() -> Option<Finding> {
    if standby::is_standby() {
        let resume = "SELECT pg_catalog.pg_wal_replay_resume();".to_owned();
        let remedy = standby::is_stale().then_some(resume);
        return Some(finding(None, "standby", standby::lag(), remedy));
    }
    // SAFETY: the setting exists in each server; its value is NUL-terminated.
    let names =
        unsafe { pg_sys::GetConfigOption(c"synchronous_standby_names".as_ptr(), true, false) };
    let has_none = to_string(names).is_none_or(|names| names.is_empty());
    (settings::waits_for_standbys() && has_none).then(|| {
        let detail = "revocation_durability is remote_apply, and no standby is synchronous: COMMIT waits for none";
        let remedy = "ALTER SYSTEM SET synchronous_standby_names = '*';".to_owned();
        finding(None, "durability", detail.into(), Some(remedy))
    })
}

/// Told only where it is so. Where no stamp can have been lost, the second statement alone will do.
fn timeline(rows: &[GuardRow]) -> Option<Finding> {
    if !timeline::is_unacknowledged() {
        return None;
    }
    let detail = "the server has changed its timeline (a failover, or a restore): stamps may be lost, and sessions back";
    let revoke = rows.iter().map(|row| advice::revoke_all_statement(&row.table_name));
    let acknowledge = "SELECT session_guard.acknowledge_timeline();".to_owned();
    let remedy: Vec<String> = revoke.chain([acknowledge]).collect();
    Some(finding(None, "timeline", detail.into(), Some(remedy.join(" "))))
}

/// The triggers write with the rights of their function's owner.
fn stamper_owner() -> Finding {
    const OWNER: &str = "
        SELECT quote_ident(r.rolname),
               p.prosecdef AND p.proconfig = ARRAY['search_path=pg_catalog, pg_temp']
               AND has_table_privilege(p.proowner, 'session_guard.epoch', 'INSERT')
               AND has_table_privilege(p.proowner, 'session_guard.epoch', 'UPDATE'),
               (SELECT quote_ident(o.rolname) FROM pg_class c JOIN pg_roles o ON o.oid = c.relowner
                WHERE c.oid = 'session_guard.epoch'::regclass)
        FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner
        WHERE p.oid = 'session_guard.stamp()'::regprocedure";
    let (owner, can_write, table_owner) = Spi::connect(|client| {
        let row = client.select(OWNER, Some(1), &[]).expect("a query of the catalogs").first();
        let text = |column| row.get::<String>(column).ok().flatten().unwrap_or_default();
        (text(1), row.get::<bool>(2).ok().flatten() == Some(true), text(3))
    });
    let remedy = format!(
        "ALTER FUNCTION session_guard.stamp() OWNER TO {table_owner}; \
         ALTER FUNCTION session_guard.stamp() SECURITY DEFINER SET search_path = pg_catalog, pg_temp;"
    );
    let detail = match can_write {
        true => format!("the triggers stamp as {owner}"),
        false => format!("the triggers' function, owned by {owner}, cannot write epochs"),
    };
    finding(None, "trigger_owner", detail, (!can_write).then_some(remedy))
}

fn broken(row: &GuardRow, error: GuardError) -> Finding {
    finding(Some(row), "table", error.message, Some(error.hint))
}

fn check_guard(row: &GuardRow) -> Result<Vec<Finding>, GuardError> {
    let open = registry::open(Some(row.relid), pg_sys::AccessShareLock)?;
    let (guard, table) = (&*open.guard, &open.users);
    let name = qualified_name(row.relid);
    let renamed = renamed(row, guard, table);
    let reconcile = || Some(advice::reconcile_statement(&name));
    let sound = guard::check_kind(table).and_then(|()| registry::check_names(guard));
    let mut findings = vec![match (sound, renamed) {
        (Err(error), _) => finding(Some(row), "table", error.message, Some(error.hint)),
        (Ok(()), None) => finding(Some(row), "table", format!("guarding {name}"), None),
        (Ok(()), Some(detail)) => finding(Some(row), "table", detail, reconcile()),
    }];
    findings.push(match &guard.disarmed {
        None => finding(Some(row), "armed", "all triggers are in place".into(), None),
        Some(why) => finding(Some(row), "armed", why.clone(), reconcile()),
    });
    findings.extend(watch::rows_of(row.relid).iter().map(|watch| watched(row, watch)));
    findings.push(unwatched(row, &name, &open));
    let id = quote_identifier(column_name(table, guard.id.attno));
    findings.push(match guard.index {
        Some(index) => {
            let detail = format!("lookups use {}", qualified_name(index.oid));
            finding(Some(row), "unique_index", detail, None)
        }
        None => {
            let detail =
                format!("column {id} has no usable unique index: each call reads the whole table");
            let remedy = format!("CREATE UNIQUE INDEX ON {name} ({id});");
            finding(Some(row), "unique_index", detail, Some(remedy))
        }
    });
    let unstamped = backfill::count_unstamped(&open);
    let remedy = if unstamped > 0 { reconcile() } else { None };
    let detail = format!("disabled accounts without an epoch: {unstamped}");
    findings.push(finding(Some(row), "disabled_accounts", detail, remedy));
    Ok(findings)
}

/// A table whose changes end sessions. Where its triggers are made again, what has happened meanwhile cannot be
/// known: `reconcile` takes note of that.
fn watched(row: &GuardRow, watch: &WatchRow) -> Finding {
    const CHECK: &str = "watch";
    let is_gone = OpenTable::try_open(watch.related, pg_sys::AccessShareLock).is_none();
    match watch::ailment(watch) {
        None => finding(Some(row), CHECK, format!("watching {}", watch.table_name), None),
        Some(detail) if is_gone && relation_called(&watch.table_name).is_some() => {
            finding(Some(row), CHECK, detail, Some(watch::watch_statement(watch)))
        }
        Some(detail) if is_gone => {
            let unwatch = format!("SELECT session_guard.unwatch({});", watch.related.to_u32());
            finding(Some(row), CHECK, detail, Some(unwatch))
        }
        Some(detail) => {
            let reconcile = advice::reconcile_statement(&qualified_name(row.relid));
            finding(Some(row), CHECK, format!("{}: {detail}", watch.table_name), Some(reconcile))
        }
    }
}

/// What cannot be known: accounts that were disabled and enabled again while nobody watched. Putting
/// everybody out since then settles it.
fn unwatched(row: &GuardRow, name: &str, open: &OpenGuard) -> Finding {
    const CHECK: &str = "unwatched_changes";
    let put_out_at = lookup::guard_stamped_at(&open.store, row.relid);
    match row.unwatched_at {
        Some(unwatched_at) if put_out_at.is_none_or(|at| at <= unwatched_at) => {
            let detail = "accounts that were disabled and enabled again while triggers were missing may have sessions";
            let remedy = advice::revoke_all_statement(name);
            finding(Some(row), CHECK, detail.into(), Some(remedy))
        }
        _ => finding(Some(row), CHECK, "none".into(), None),
    }
}

/// The guard goes on after a rename; but a dump, or a table made again, is known by its name.
fn renamed(row: &GuardRow, guard: &Guard, table: &OpenTable) -> Option<String> {
    let now = [
        qualified_name(row.relid),
        column_name(table, guard.id.attno),
        column_name(table, guard.active),
    ];
    let before = [&row.table_name, &row.id_column, &row.active_column];
    let columns = guard.revoke_on.iter().map(|attno| column_name(table, *attno));
    before
        .into_iter()
        .chain(&row.revoke_on)
        .zip(now.into_iter().chain(columns))
        .find(|(before, now)| *before != now)
        .map(|(before, now)| format!("{before} has been renamed to {now}"))
}
