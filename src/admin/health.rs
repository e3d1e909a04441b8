//! SQL: what an operator wants to know: each check each time, and all that is wrong.

use super::health_finding::{Finding, Row};
use super::{health_own_tables, health_privileges};
use crate::cache::guard_cache::{self, attached_rows, check_library, check_names};
use crate::catalog::guard::{self, GuardRow, OpenGuard};
use crate::catalog::privileges::as_tables_owner;
use crate::catalog::store::StoreRow;
use crate::catalog::store_failure;
use crate::catalog::triggers::{USERS_TRIGGERS, are_of_partition, compared_columns, served_guard};
use crate::catalog::unwatched::{self, TriggerState};
use crate::catalog::{epochs, hints, related, unique_index};
use crate::core::epoch::{Epoch, Instant};
use crate::core::verdict::FAR_AHEAD;
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::datum::{ServerText, Value};
use crate::pg::names::{RelationName, quote_literal, shown_identifier, shown_relation};
use crate::pg::partitions::{above, is_keyed_by};
use crate::pg::relation::{Lock, Relation};
use crate::pg::roles::{recorded_name, shown_role};
use crate::pg::server::{clock, is_standby, setting};
use crate::pg::spi::{query, query_one, string};
use crate::pg::triggers::relations_with_trigger_of;
use crate::replica::{freshness, timeline};
use crate::stamp::backfill;
use pgrx::iter::TableIterator;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

/// One row or more for each thing that can be wrong.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity, reason = "pgrx wants the columns spelt out here")]
fn health() -> TableIterator<
    'static,
    (
        name!(guard, Option<ServerText>),
        name!(check_name, String),
        name!(ok, bool),
        name!(detail, ServerText),
        name!(remedy, Option<ServerText>),
    ),
> {
    let mut findings = Vec::new();
    match check_library() {
        Err(error) if error.kind == ErrorKind::LibraryOutdated => {
            let finding = Finding::of_error("version", error);
            return TableIterator::new(vec![finding.into()]);
        }
        _ => findings.push(Finding::ok("version", "library and catalog fit")),
    }
    if let Some(finding) = health_own_tables::missing() {
        return TableIterator::new(vec![finding.into()]);
    }
    let rows = attached_rows();
    findings.push(default_guard(&rows));
    findings.extend(health_privileges::trigger_owner());
    findings.extend(unknown_guards());
    findings.extend(health_own_tables::own_tables());
    findings.extend(health_own_tables::unlogged());
    findings.push(health_own_tables::replication());
    findings.extend(replica());
    findings.push(timeline_changed(&rows));
    findings.push(token_epochs_ahead());
    findings.push(health_privileges::owners());
    findings.extend(health_privileges::privileges());
    findings.extend(health_privileges::writers());
    findings.extend(health_privileges::other_functions());
    for row in &rows {
        let of_guard =
            check_guard(row).unwrap_or_else(|error| vec![Finding::of_error("table", error)]);
        findings.extend(of_guard.into_iter().map(|finding| finding.of_guard(row)));
    }
    TableIterator::new(findings.into_iter().map(Row::from).collect::<Vec<_>>())
}

fn default_guard(rows: &[GuardRow]) -> Finding {
    const CHECK: &str = "default_guard";
    let Some(first) = rows.first() else {
        return Finding::wrong(CHECK, "no table is guarded", hints::attach_some_table());
    };
    match rows.iter().find(|row| row.is_default) {
        Some(row) => Finding::ok(CHECK, format!("{} is the default", row.table.shown())),
        None => {
            let detail = "none of the guarded tables is the default";
            Finding::wrong(CHECK, detail, hints::make_default(&first.table))
        }
    }
}

/// Tables that were restored with their triggers, but without the rows of their guards.
fn unknown_guards() -> Vec<Finding> {
    const CHECK: &str = "unknown_guards";
    let relations = guard_cache::relations();
    let rows = guard_cache::all_rows();
    let mut findings = Vec::new();
    for relid in relations_with_trigger_of(relations.stamp) {
        let Some(table) = Relation::open(relid, Lock::Read) else { continue };
        // The partitioned table tells.
        if are_of_partition(&table, relations.stamp) {
            continue;
        }
        let served = served_guard(&table, relations.stamp).unwrap_or_default();
        if rows.iter().any(|row| row.name == served) {
            continue;
        }
        let name = table.name();
        let detail = format!(
            "the triggers of table {} serve the guard {served}, which is not there",
            name.shown()
        );
        findings.push(Finding::wrong(CHECK, detail, attach_as_triggers_say(&table)));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "all triggers serve guards that are there"));
    }
    findings
}

/// By the columns that the update trigger compares, as it was told to read them.
fn attach_as_triggers_say(table: &Relation) -> Hint {
    let stamp = guard_cache::relations().stamp;
    let compared = compared_columns(table, &USERS_TRIGGERS, stamp).unwrap_or_default();
    let columns: Vec<String> = compared.iter().map(|attno| table.column_name(*attno)).collect();
    match (columns.as_slice(), guard::agreed_active_when(table, stamp)) {
        ([id, status, revoke_on @ ..], Some(active_when)) if !columns.contains(&String::new()) => {
            let options = [
                format!("id_column => {}", quote_literal(id)),
                format!("active_column => {}", quote_literal(status)),
                format!("active_when => {}", quote_literal(&active_when.to_string())),
                hints::revoke_on_option(revoke_on),
            ];
            let sentence = "To guard it by the columns that its triggers compare, run";
            hints::attach_with(sentence, &table.name(), &options)
        }
        _ => hints::attach_table(&table.name()),
    }
}

/// Of a standby, how far it is behind, and may get; of a primary whose stamps are to wait for
/// standbys, whether there are any to wait for.
fn replica() -> Vec<Finding> {
    let policy = guard_cache::policy();
    if is_standby() {
        let mut findings = silence(policy.max_standby_staleness);
        findings.push(staleness(policy.max_standby_staleness));
        return findings;
    }
    let has_standbys = setting(c"synchronous_standby_names").is_some();
    vec![match (policy.remote_apply, has_standbys) {
        (true, false) => Finding::wrong(
            "durability",
            "revocation_durability is remote_apply, but there is no synchronous standby",
            Hint::advice(
                "Name the standbys in synchronous_standby_names and reload the settings, or call \
                 session_guard.configure(revocation_durability => 'local').",
            ),
        ),
        (true, true) => {
            Finding::ok("durability", "COMMIT of a stamp waits for the synchronous standbys")
        }
        (false, _) => {
            Finding::ok("durability", "COMMIT of a stamp waits for what synchronous_commit says")
        }
    }]
}

const STANDBY: &str = "standby";

fn staleness(max_staleness: i64) -> Finding {
    match freshness::is_stale(max_staleness) {
        false => Finding::ok(STANDBY, freshness::lag()),
        true => Finding::wrong(STANDBY, freshness::lag(), catch_up()),
    }
}

/// What to do about a standby that is behind, or hears nothing.
fn catch_up() -> Hint {
    const IS_PAUSED: &str = "SELECT pg_catalog.pg_is_wal_replay_paused()";
    match query_one::<bool>(IS_PAUSED, &[]) {
        Some(true) => Hint::run(
            "Replay is paused. To have it go on, run",
            "SELECT pg_catalog.pg_wal_replay_resume();",
        ),
        _ => Hint::advice(
            "Look at the connection to the upstream server, at that server, and here at queries \
             that hold up the replay (max_standby_streaming_delay).",
        ),
    }
}

/// Whether an idle upstream server may be silent for longer than a standby may be behind: a WAL
/// receiver asks for a message when it has had none for half of `wal_receiver_timeout`. When the
/// upstream server sends one unasked depends on its own settings, which are not known here.
///
/// ALTER SYSTEM is refused beside another statement, so that each has a row of its own.
fn silence(max_staleness: i64) -> Vec<Finding> {
    const MILLIS: &str = "SELECT setting::bigint FROM pg_catalog.pg_settings
                          WHERE name = 'wal_receiver_timeout'";
    const IN_FILE: &str = "SELECT setting FROM pg_catalog.pg_file_settings
                           WHERE name = 'wal_receiver_timeout' ORDER BY seqno DESC LIMIT 1";
    let timeout = query_one::<i64>(MILLIS, &[]).unwrap_or_default();
    let is_silent = timeout == 0 || timeout.saturating_mul(1000) / 2 >= max_staleness;
    if max_staleness == 0 || !is_silent {
        return Vec::new();
    }
    let wanted = format!("{} ms", (max_staleness / 1000).max(1));
    let in_file = as_tables_owner(|| query(IN_FILE, &[], |row| string(row, 1)));
    let mut findings = Vec::new();
    if in_file.into_iter().next().flatten().as_ref() != Some(&wanted) {
        let how_long = match timeout {
            0 => "for any time".to_owned(),
            _ => format!("for {} s", timeout as f64 / 2e3),
        };
        let detail = format!(
            "an idle upstream server may be silent {how_long}, and all sessions are refused here \
             after max_standby_staleness"
        );
        let statement = format!("ALTER SYSTEM SET wal_receiver_timeout = '{wanted}';");
        let sentence = "To have this server ask for a message in half that time, run";
        findings.push(Finding::wrong(STANDBY, detail, Hint::run(sentence, statement)));
    }
    let detail = "wal_receiver_timeout counts once the settings are loaded again";
    let hint = Hint::run("To load them, run", "SELECT pg_catalog.pg_reload_conf();");
    findings.push(Finding::wrong(STANDBY, detail, hint));
    findings
}

/// Where no stamp can have been lost, the second statement alone will do.
fn timeline_changed(rows: &[GuardRow]) -> Finding {
    const CHECK: &str = "timeline";
    if !timeline::is_unacknowledged() {
        return Finding::ok(CHECK, "no stamp is missing because of a failover or a restore");
    }
    let detail = "the server has changed its timeline (a failover, or a restore): stamps may \
                  be lost, and sessions back";
    let revoke = rows
        .iter()
        .map(|row| format!("SELECT session_guard.revoke_all_sessions({});", row.table.literal()));
    let acknowledge = "SELECT session_guard.acknowledge_timeline();".to_owned();
    let statements: Vec<String> = revoke.chain([acknowledge]).collect();
    let sentence = "If no stamp is lost, the last statement is enough. To end every session, run";
    Finding::wrong(CHECK, detail, Hint::run(sentence, statements.join(" ")))
}

fn check_guard(row: &GuardRow) -> Result<Vec<Finding>, GuardError> {
    let open = guard_cache::open_row(row)?;
    let name = open.users.name();
    let mut findings = vec![table(row, &open, &name)];
    findings.extend(health_privileges::access(row, &open));
    if open.guard.disarmed.is_empty() {
        findings.push(Finding::ok("armed", "all triggers are in place"));
    }
    let problems = open.guard.disarmed.iter();
    findings.extend(
        problems.map(|problem| Finding::wrong("armed", problem.clone(), hints::reconcile(&name))),
    );
    findings.push(unwatched_changes(row, &name, &open));
    findings.push(epochs_ahead(row, &open));
    findings.push(unique_id(&open));
    findings.push(disabled_accounts(&open, &name));
    findings.push(status_values(&open));
    let stores = guard_cache::stores();
    findings
        .extend(stores.iter().filter(|store| store.guard == row.name).map(|row| store(row, &name)));
    for watch in related::rows_of(&row.name) {
        let problems = watch.problems(&name);
        if problems.is_empty() {
            findings.push(Finding::ok("watch", format!("watching {}", watch.table.shown())));
        }
        findings.extend(
            problems.into_iter().map(|(detail, hint)| Finding::wrong("watch", detail, hint)),
        );
    }
    Ok(findings)
}

fn store(row: &StoreRow, users: &RelationName) -> Finding {
    const CHECK: &str = "store";
    let name = row.table.shown();
    match row.open() {
        Err(error) => return Finding::of_error(CHECK, error),
        Ok(store) if store.row != *row => {
            let detail =
                format!("session store {name}, its owner or a column has another name now");
            return Finding::wrong(CHECK, detail, hints::reconcile(users));
        }
        Ok(store) if hides_sessions(store.relid) => {
            let owner = shown_role(store.owner);
            let detail = format!("row-level security may hide sessions in {name} from its owner");
            let hint = Hint::advice(format!(
                "They end with the rights of {owner}. Give that role a policy for them all, such \
                 as CREATE POLICY session_guard ON {name} TO {owner} USING (true)."
            ));
            return Finding::wrong(CHECK, detail, hint);
        }
        Ok(_) => {}
    }
    match store_failure::first(row) {
        None => Finding::ok(CHECK, format!("ending sessions in {name}")),
        Some(_) => {
            let detail = format!("sessions in {name} could not be ended");
            let statement = format!("SELECT session_guard.reconcile({});", users.literal());
            let sentence =
                "The reasons are in session_guard.store_failure. Once they are gone, run";
            Finding::wrong(CHECK, detail, Hint::run(sentence, statement))
        }
    }
}

/// Whether the policies of a table may keep its own owner from some of its rows: they hold for that
/// role, and there is none that lets it have all.
fn hides_sessions(store: Oid) -> bool {
    const HIDES: &str = "
        SELECT c.relrowsecurity AND c.relforcerowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls
            AND NOT coalesce((
                SELECT pg_catalog.bool_and(p.polpermissive) AND pg_catalog.bool_or(p.polcmd = '*'
                    AND pg_catalog.pg_get_expr(p.polqual, p.polrelid) = 'true')
                FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid AND EXISTS (
                    SELECT FROM pg_catalog.unnest(p.polroles) AS u (role)
                    WHERE CASE u.role WHEN 0 THEN true
                          ELSE pg_catalog.pg_has_role(c.relowner, u.role, 'USAGE') END)), false)
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_roles r ON r.oid = c.relowner
        WHERE c.oid = $1";
    query_one::<bool>(HIDES, &[Value::Oid(store)]) == Some(true)
}

fn table(row: &GuardRow, open: &OpenGuard, name: &RelationName) -> Finding {
    const CHECK: &str = "table";
    if let Err(error) = guard::check_kind(&open.users).and_then(|()| check_names(open)) {
        return match above_partition(open) {
            Some(root) => Finding::wrong(CHECK, error.message, instead_of_partition(open, &root)),
            None => Finding::of_error(CHECK, error),
        };
    }
    match renamed(row, open) {
        Some(detail) => Finding::wrong(CHECK, detail, hints::reconcile(name)),
        None => Finding::ok(CHECK, format!("guarding {}", name.shown())),
    }
}

/// The table of which the guarded one has become a partition.
fn above_partition(open: &OpenGuard) -> Option<Relation> {
    let root = above(open.users.oid()).pop()?;
    Relation::open(root, Lock::Read)
}

/// The guard can only go on there if one account has each id, and is found by it.
fn instead_of_partition(open: &OpenGuard, root: &Relation) -> Hint {
    let id = open.guard.columns.id;
    let column = root.column_named(&open.users.column_name(id.attno));
    let is_unique = column.is_some_and(|column| {
        is_keyed_by(root.oid(), column.attno)
            && root.unique_index(column.attno, id.id_type).is_some()
    });
    match is_unique {
        true => hints::guard_whole_table_instead(&open.users.name(), &root.name()),
        false => hints::table_beside_partitions(),
    }
}

/// The guard goes on after a rename or a change of owner; but a table made again is known by its
/// name, and the new owner has no right to ask.
fn renamed(row: &GuardRow, open: &OpenGuard) -> Option<String> {
    let owner = recorded_name(open.users.owner());
    if owner != row.table_owner {
        let (before, now) = (shown_identifier(&row.table_owner), shown_identifier(&owner));
        return Some(format!("the table belonged to {before} and belongs to {now} now"));
    }
    let column = |attno| open.users.column_name(attno);
    let columns = &open.guard.columns;
    let now = [open.users.shown_name(), column(columns.id.attno), column(columns.status.attno())];
    let before = [&row.table.shown(), &row.id_column, &row.active_column];
    let further = columns.revoke_on.iter().copied().map(column);
    before
        .into_iter()
        .chain(&row.revoke_on)
        .zip(now.into_iter().chain(further))
        .find(|(before, now)| *before != now)
        .map(|(before, now)| format!("{before} has been renamed to {now}"))
}

fn unique_id(open: &OpenGuard) -> Finding {
    const CHECK: &str = "unique_index";
    let id = open.guard.columns.id;
    let Some(index) = open.users.unique_index(id.attno, id.id_type) else {
        let column = shown_identifier(&open.users.column_name(id.attno));
        let detail =
            format!("column {column} has no usable unique index: each call reads the whole table");
        return Finding::wrong(CHECK, detail, unique_index::hint(&open.users, id));
    };
    let without_index = open.guard.partitions.as_ref().and_then(|all| all.without_index);
    match without_index.and_then(RelationName::of) {
        Some(name) => {
            let name = name.shown();
            let detail = format!("partition {name} has no usable unique index on the id");
            let hint = Hint::run("To make its indexes anew, run", format!("REINDEX TABLE {name};"));
            Finding::wrong(CHECK, detail, hint)
        }
        None => Finding::ok(CHECK, format!("lookups use {}", shown_relation(index))),
    }
}

fn disabled_accounts(open: &OpenGuard, name: &RelationName) -> Finding {
    const CHECK: &str = "disabled_accounts";
    let unstamped = backfill::count_unstamped(open);
    let detail = format!("disabled accounts without an epoch: {unstamped}");
    match unstamped {
        0 => Finding::ok(CHECK, detail),
        _ => Finding::wrong(CHECK, detail, hints::reconcile(name)),
    }
}

/// A label of an enum that was renamed: accounts that have it are not active any more.
fn status_values(open: &OpenGuard) -> Finding {
    const CHECK: &str = "status_values";
    let status = &open.guard.columns.status;
    let unknown: Vec<String> =
        status.unknown_values().iter().map(|value| quote_literal(value)).collect();
    if unknown.is_empty() {
        return Finding::ok(CHECK, format!("active while {}", status.active_when));
    }
    let detail = format!("active_when lists what the column cannot be: {}", unknown.join(", "));
    let hint = Hint::advice(
        "Call session_guard.attach with active_when => the values for which accounts are active \
         now.",
    );
    Finding::wrong(CHECK, detail, hint)
}

/// What cannot be known: accounts that were disabled and enabled again while nobody watched.
/// Putting everybody out since then settles it.
fn unwatched_changes(row: &GuardRow, name: &RelationName, open: &OpenGuard) -> Finding {
    const CHECK: &str = "unwatched_changes";
    let watches = related::rows_of(&row.name);
    let related = watches.iter().filter_map(|watch| Some((watch, watch.locate()?)));
    let stamp = open.relations.stamp;
    let users = TriggerState::of_users(&row.name, open.guard.relid, stamp);
    let mut states = std::iter::once(users).chain(related.map(|(watch, at)| {
        TriggerState::of_related(watch.arguments(), at, related::stamp_related())
    }));
    if open.guard.has_lost_partitions() {
        let detail = "a partition was detached or dropped, or its triggers were changed: accounts \
                      that come back under an id of before may have sessions";
        let hint = hints::reconcile_and_revoke_all(name);
        return Finding::wrong(CHECK, detail, hint);
    }
    if states.any(|state| state.has_changed()) {
        let detail = "triggers were changed, maybe back and forth: accounts that were disabled \
                      and enabled again meanwhile may have sessions";
        return Finding::wrong(CHECK, detail, hints::reconcile_and_revoke_all(name));
    }
    // What lies ahead of the clock was stamped by one that was ahead: before what, nobody knows.
    let put_out_at = epochs::guard_stamped_at(&open.relations, &row.name);
    let put_out_at = put_out_at.filter(|at| *at <= clock());
    match unwatched::last_noticed(&row.name) {
        Some(noticed_at) if put_out_at.is_none_or(|at| at <= noticed_at) => {
            let detail = "accounts that were disabled and enabled again while triggers were \
                          missing may have sessions";
            Finding::wrong(CHECK, detail, hints::revoke_all(name))
        }
        _ => Finding::ok(CHECK, "none"),
    }
}

/// A clock that was ahead, and was set right, leaves epochs ahead: nobody can log in by an app's
/// own clock until they have passed.
fn epochs_ahead(row: &GuardRow, open: &OpenGuard) -> Finding {
    let latest = latest_epoch();
    let is_ahead = |Epoch(epoch): Epoch| epoch > latest;
    let of_guard = epochs::guard_epoch(&open.relations, &row.name);
    let mut count = i64::from(of_guard.is_some_and(is_ahead));
    epochs::each_epoch(&open.relations, &row.name, |row| count += i64::from(is_ahead(row.epoch)));
    let guard = quote_literal(&row.name);
    let of_guard = format!("guard OPERATOR(pg_catalog.=) {guard}::pg_catalog.text AND ");
    ahead(count, &[lower("epoch", &of_guard), lower("guard_epoch", &of_guard)])
}

/// The same of tokens.
fn token_epochs_ahead() -> Finding {
    const COUNT: &str =
        "SELECT pg_catalog.count(*) FROM session_guard.token_epoch WHERE epoch > $1";
    let latest = [Value::Time(latest_epoch())];
    let count = as_tables_owner(|| query_one::<i64>(COUNT, &latest)).unwrap_or_default();
    ahead(count, &[lower("token_epoch", "")])
}

fn latest_epoch() -> Instant {
    clock().plus_micros(guard_cache::policy().stamp_margin.saturating_add(FAR_AHEAD))
}

fn ahead(count: i64, statements: &[String]) -> Finding {
    const CHECK: &str = "epochs_ahead";
    let detail = format!("epochs that lie ahead of the clock: {count}");
    if count == 0 {
        return Finding::ok(CHECK, detail);
    }
    let sentence = "If the clock is right now, lower them: sessions that have ended stay so. As a \
                    superuser, run";
    Finding::wrong(CHECK, detail, Hint::run(sentence, statements.join(" ")))
}

/// Lowers what lies ahead, of the rows for which the condition holds.
fn lower(table: &str, condition: &str) -> String {
    let soon = "pg_catalog.date_trunc('second'::pg_catalog.text, pg_catalog.clock_timestamp()) \
                OPERATOR(pg_catalog.+) '3 s'::pg_catalog.interval";
    format!(
        "UPDATE session_guard.{table} SET epoch = {soon} \
         WHERE {condition}epoch OPERATOR(pg_catalog.>) ({soon});"
    )
}
