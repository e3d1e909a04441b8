//! SQL: puts a table under guard: the row, the triggers, the grants and the backfill, under one
//! lock.

use super::grants::grant_to_table_owner;
use super::inherit;
use super::trigger_ddl::{
    arm_partition, check_names_are_free, check_not_in_use, create_triggers, drop_triggers,
    renamed_meanwhile, when_clause,
};
use super::watch;
use crate::cache::guard_cache::{
    self, GuardRef, attached_rows, check_writable, lock_guards, null_table,
};
use crate::catalog::columns::GuardColumns;
use crate::catalog::guard::{self, GuardRow, OpenGuard, check_columns};
use crate::catalog::location;
use crate::catalog::privileges::{as_tables_owner, check_administration, check_ownership};
use crate::catalog::status_column::StatusColumn;
use crate::catalog::triggers::{self, PARTITION_TRIGGERS, USERS_TRIGGERS};
use crate::catalog::unwatched::{self, TriggerState};
use crate::catalog::{hints, partitions, related, unique_index};
use crate::core::status::ActiveWhen;
use crate::error::{ErrorKind, GuardError, Hint};
use crate::pg::datum::{Name, RegClass, Text, Value, micros_of_interval};
use crate::pg::invalidation;
use crate::pg::names::{quote_literal, shown_identifier};
use crate::pg::relation::{Lock, Relation, RelationKind};
use crate::pg::report::OrRaise;
use crate::pg::roles::{has_rights_of, recorded_name};
use crate::pg::spi::run_once;
use crate::stamp::backfill;
use pgrx::Array;
use pgrx::datum::Interval;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;

/// 100,000 years, in microseconds: a session that may last longer has no end.
const LONGEST_AGE: i64 = 100_000 * 365 * 24 * 60 * 60 * 1_000_000;

/// A list of values for which accounts are active, in bytes.
const LONGEST_LIST: usize = 4096;

/// What `attach` is asked for; `None` leaves what is, or takes the default on a new guard.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The id column's name.
    pub id_column: Option<String>,
    /// The status column's name.
    pub active_column: Option<String>,
    /// How the status column is read.
    pub active_when: Option<String>,
    /// The names of further columns whose change revokes.
    pub revoke_on: Option<Vec<String>>,
    /// How long a session may last, in microseconds; 0: without end.
    pub max_session_age: Option<i64>,
    /// Whether calls that name no table are to mean this one.
    pub is_default: Option<bool>,
}

/// Guards a table, and stamps the accounts that are disabled already.
#[pg_extern(sql = false)]
fn attach(
    users: Option<RegClass>,
    id_column: Option<Name>,
    active_column: Option<Name>,
    active_when: Option<Text<'_>>,
    revoke_on: Option<Array<Name>>,
    max_session_age: Option<Interval>,
    is_default: Option<bool>,
) -> i64 {
    check_writable("attach()").or_raise();
    let revoke_on = revoke_on.map(|names| guard::column_names(&names).or_raise());
    let request = Request {
        id_column: id_column.map(|name| name.0),
        active_column: active_column.map(|name| name.0),
        active_when: active_when.map(|text| canonical(text.up_to(LONGEST_LIST))),
        revoke_on,
        max_session_age: max_session_age.map(|age| micros_of_interval(&age)),
        is_default,
    };
    let relid = users.map(|users| users.0).ok_or_else(null_table).or_raise();
    attach_table(relid, &request).or_raise()
}

/// As it is stored and compared.
fn canonical(active_when: String) -> String {
    ActiveWhen::parse(&active_when).map_or(active_when, |form| form.to_string())
}

/// Guards a table of the caller's, and returns how many disabled accounts were stamped.
pub fn attach_table(relid: Oid, request: &Request) -> Result<i64, GuardError> {
    drop(open_own(relid, Lock::Read)?);
    lock_guards();
    if request.max_session_age.is_some_and(|age| age < 0) {
        let hint =
            Hint::advice("Give an interval such as '12 hours', or '0' for sessions without end.");
        let message = "max_session_age must not be negative";
        return Err(GuardError::new(ErrorKind::InvalidValue, message, hint));
    }
    let table = open_own(relid, Lock::Read)?;
    let known = inherit::guard_of(&table, &guard_cache::relations())?;
    let was_here = triggers::served_guard(&table, stamp_function()).is_some();
    // Where the update trigger names the columns, they are the owner's whatever the row says.
    let stamp = stamp_function();
    let has_columns = triggers::compared_columns(&table, &USERS_TRIGGERS, stamp).is_some();
    let known = known.map(|row| {
        match was_here && has_columns || guard::is_row_trusted(&row, &table, stamp) {
            true => row,
            false => without_columns(row),
        }
    });
    let row = requested_row(&table, known.as_ref(), request);
    let columns = columns_of(&table, &row)?;
    unique_index::check(&table, columns.id)?;
    if let Some(known) = known.as_ref().filter(|known| !known.is_detached) {
        check_id_column(&table, known, &row)?;
    }
    let were_guarded = !inherit::guards_of_partitions(&table).is_empty();
    drop(table);
    if request.is_default == Some(true) {
        check_may_be_default(&row.name)?;
    }
    let stamped = put_in_place(relid, known.as_ref(), request)?;
    if was_here && known.is_none() {
        // Restored with its triggers, but without the guard's row, and so without its epochs.
        as_tables_owner(|| unwatched::note(&row.name, "the guard's epochs were not restored"));
    } else if were_guarded && known.is_none() {
        as_tables_owner(|| unwatched::note(&row.name, "its partitions had guards of their own"));
    }
    let is_new = known.is_none();
    if known.is_some_and(|known| known.is_detached || known.table != row.table || !was_here) {
        let columns = [&row.id_column, &row.active_column].into_iter().chain(&row.revoke_on);
        let columns: Vec<String> = columns.map(|name| shown_identifier(name)).collect();
        pgrx::notice!("guard {} goes on with the columns {}", row.name, columns.join(", "));
    } else if is_new
        && let Some(default) = attached_rows().into_iter().find(|row| row.is_default)
        && default.name != row.name
    {
        pgrx::notice!("calls that name no table still mean {}", default.table.shown());
    }
    // A guard that was detached has its watches still.
    for watched in related::rows_of(&row.name) {
        if let Err(error) = watch::repair(&watched, &row.table) {
            error.warn();
        }
    }
    Ok(stamped)
}

/// Puts row and triggers in place, whatever is there of them, and stamps who was disabled
/// meanwhile. Also a guard whose id is not unique any more is better with triggers than without.
pub fn put_in_place(
    relid: Oid,
    known: Option<&GuardRow>,
    request: &Request,
) -> Result<i64, GuardError> {
    let stamp = stamp_function();
    let before_lock = lock_users(relid, known, request)?;
    let was_armed = before_lock.was_armed;
    let table = open_own(relid, Lock::Read)?;
    let row = requested_row(&table, known, request);
    let columns = columns_of(&table, &row)?;
    partitions::check_key(&table, &columns)?;
    let before = known.and_then(|known| status_of(&table, known));
    let problems = columns.problems(&table, stamp, &row.name);
    let is_default = request.is_default.unwrap_or_else(|| is_default_unasked(&row, known));
    let row = GuardRow { is_default, ..row };
    let (owner, old_triggers) = (table.owner(), triggers::names_of(&table, stamp));
    let when = when_clause(&table, &columns.comparisons());
    let active_when = columns.status.active_when.to_string();
    let is_partitioned = table.kind() == RelationKind::Partitioned;
    drop(table);
    let stamped = as_tables_owner(|| {
        record(&row);
        let state = TriggerState::of_users(&row.name, relid, stamp);
        if known.is_some() && (!was_armed || state.has_changed()) {
            unwatched::note(&row.name, "the triggers were not all in place");
        } else if before_lock.are_partitions_changed {
            unwatched::note(&row.name, "a partition is gone, or its triggers were changed");
        } else if before_lock.are_partitions_old {
            unwatched::note(&row.name, "a partition was there before it was reconciled");
        }
        if !problems.is_empty() {
            drop_triggers(&row.table, &old_triggers);
            let arguments = [&*row.name, &active_when];
            create_triggers(
                &row.table,
                is_partitioned,
                &USERS_TRIGGERS,
                "stamp",
                &arguments,
                &when,
            );
        }
        if is_partitioned {
            for partition in partitions::leaves(relid) {
                arm_partition(partition, stamp, [&row.name, &active_when]);
            }
            partitions::record(&row.name, relid, stamp);
            // Where nothing but the record has changed, too.
            invalidation::send(relid);
        }
        TriggerState::of_users(&row.name, relid, stamp).record();
        grant_to_table_owner(owner);
        let open = open(relid).or_raise();
        // Triggers are made by name, and a schema can be renamed under any lock on the table.
        if !open.guard.disarmed.is_empty() {
            renamed_meanwhile(&open.users).raise();
        }
        let guard = &open.guard;
        inherit::rewrite_noncanonical_keys(&open.relations, &guard.name, guard.columns.id.id_type);
        // First, so that none is counted twice.
        backfill::stamp_partitions(&open, &before_lock.added)
            + backfill::stamp_disabled(&open, !was_armed, before.as_ref())
    });
    Ok(stamped)
}

/// A row that somebody else has written names columns that the table's owner has not agreed to. Its
/// epochs only make answers stricter.
fn without_columns(row: GuardRow) -> GuardRow {
    let (id, active) = ("id".to_owned(), "active".to_owned());
    GuardRow {
        id_column: id,
        active_column: active,
        active_when: "true".into(),
        revoke_on: Vec::new(),
        ..row
    }
}

fn stamp_function() -> Oid {
    guard_cache::relations().stamp
}

fn open_own(relid: Oid, lock: Lock) -> Result<Relation, GuardError> {
    let table = Relation::open(relid, lock)
        .ok_or_else(|| guard::no_such_table(relid, hints::attach_some_table()))?;
    guard::check_kind(&table)?;
    check_ownership(&table)?;
    Ok(table)
}

/// Opens the guard of a table.
fn open(relid: Oid) -> Result<OpenGuard, GuardError> {
    guard_cache::open(GuardRef::Table(relid), Lock::Read)
}

/// The row as it is to be: columns that were renamed go by their new names.
pub fn requested_row(table: &Relation, known: Option<&GuardRow>, request: &Request) -> GuardRow {
    let compared = triggers::compared_columns(table, &USERS_TRIGGERS, stamp_function());
    let names: Vec<String> =
        compared.unwrap_or_default().iter().map(|attno| table.column_name(*attno)).collect();
    let current = |position: usize, known_as: &String| {
        names.get(position).filter(|name| !name.is_empty()).unwrap_or(known_as).clone()
    };
    let known_revoke_on = known.map_or(Vec::new(), |row| {
        (2..).zip(&row.revoke_on).map(|(position, name)| current(position, name)).collect()
    });
    let max_age = request.max_session_age.or(known.and_then(|row| row.max_session_age));
    GuardRow {
        name: known.map_or_else(|| inherit::new_name(table), |row| row.name.clone()),
        table: table.name(),
        table_owner: recorded_name(table.owner()),
        id_column: request
            .id_column
            .clone()
            .or_else(|| known.map(|row| current(0, &row.id_column)))
            .unwrap_or_else(|| "id".into()),
        active_column: request
            .active_column
            .clone()
            .or_else(|| known.map(|row| current(1, &row.active_column)))
            .unwrap_or_else(|| "active".into()),
        active_when: request
            .active_when
            .clone()
            .or_else(|| {
                let is_trusted = has_rights_of(guard_cache::relations().owner, table.owner());
                let agreed = guard::agreed_active_when(table, stamp_function());
                known.map(|row| match agreed.filter(|_| !is_trusted) {
                    Some(agreed) => agreed.to_string(),
                    None => row.active_when.clone(),
                })
            })
            .unwrap_or_else(|| "true".into()),
        revoke_on: request.revoke_on.clone().unwrap_or(known_revoke_on),
        max_session_age: max_age.filter(|age| (1..LONGEST_AGE).contains(age)),
        is_default: known.is_some_and(|row| row.is_default),
        is_detached: false,
    }
}

/// The status column that the guard has gone by until now, if it is there still.
fn status_of(table: &Relation, known: &GuardRow) -> Option<StatusColumn> {
    let row = requested_row(table, Some(known), &Request::default());
    StatusColumn::new(table, &table.column_named(&row.active_column)?, &row.active_when).ok()
}

fn columns_of(table: &Relation, row: &GuardRow) -> Result<GuardColumns, GuardError> {
    check_columns(table, &row.id_column, &row.active_column, &row.active_when, &row.revoke_on)
}

/// Keeps writers away until the transaction ends: between the triggers and the backfill no change
/// must slip through. Returns whether all changes were stamped until now.
///
/// Triggers can only be dropped under the strongest lock. It is taken at once where some must be:
/// to raise a lock later is to invite a deadlock with the app.
fn lock_users(
    relid: Oid,
    known: Option<&GuardRow>,
    request: &Request,
) -> Result<BeforeLock, GuardError> {
    let stamp = stamp_function();
    let table = open_own(relid, Lock::Read)?;
    let row = requested_row(&table, known, request);
    let is_as_requested = columns_of(&table, &row)?.problems(&table, stamp, &row.name).is_empty();
    let has_triggers = !triggers::names_of(&table, stamp).is_empty();
    drop(table);
    let lock = match has_triggers && !is_as_requested {
        true => Lock::Exclusive,
        false => Lock::KeepWritersAway,
    };
    let table = open_own(relid, lock)?;
    if !is_as_requested {
        check_names_are_free(&table, &USERS_TRIGGERS, stamp)?;
        check_not_in_use(&table)?;
    }
    drop(table);
    // One that comes while these are waited for is locked, too: none comes after that.
    let mut locked = Vec::new();
    loop {
        let below = partitions::below(relid);
        if below == locked {
            break;
        }
        for partition in below.iter().filter_map(|relid| Relation::open(*relid, lock)) {
            check_names_are_free(&partition, &PARTITION_TRIGGERS, stamp)?;
            if !is_as_requested {
                check_not_in_use(&partition)?;
            }
        }
        locked = below;
    }
    // Renamed columns were compared all along; where their names mean others by now, these were
    // not.
    let open = open(relid).ok();
    let was_armed = open
        .as_ref()
        .is_some_and(|open| open.guard.is_armed_but_for_added() && open.guard.replaced.is_none());
    let partitions = open.as_ref().and_then(|open| open.guard.partitions.as_ref());
    let was_recorded = known.is_some_and(|row| !row.is_detached);
    Ok(BeforeLock {
        // Partitions can only be looked at where the guard can be opened.
        was_armed: was_armed || is_as_requested && was_recorded && partitions.is_none(),
        added: partitions.map_or(Vec::new(), |partitions| partitions.added.clone()),
        are_partitions_changed: partitions.is_some_and(|all| all.are_others_changed),
        are_partitions_old: partitions
            .is_some_and(|all| all.added.iter().any(|relid| !partitions::came_now(*relid, stamp))),
    })
}

/// What the guard was like until its table was locked.
struct BeforeLock {
    /// Whether all changes were stamped.
    was_armed: bool,
    /// The partitions that were attached since the last call.
    added: Vec<Oid>,
    /// Whether others are gone, or their triggers were changed.
    are_partitions_changed: bool,
    /// Whether one of those that were attached has been there before this transaction: accounts
    /// may have come and gone in it, and TRUNCATE calls nothing there.
    are_partitions_old: bool,
}

/// Epochs are keyed by the id column, so that one cannot be changed under them; the rest can.
fn check_id_column(table: &Relation, known: &GuardRow, row: &GuardRow) -> Result<(), GuardError> {
    let compared = triggers::compared_columns(table, &USERS_TRIGGERS, stamp_function());
    let current = compared.and_then(|columns| Some(table.column_name(*columns.first()?)));
    let current = current.filter(|name| !name.is_empty()).unwrap_or(known.id_column.clone());
    if current == row.id_column || table.column_named(&current).is_none() {
        return Ok(());
    }
    let name = table.name();
    let statement = format!(
        "SELECT session_guard.detach({literal}), \
         session_guard.attach({literal}, id_column => {id});",
        literal = name.literal(),
        id = quote_literal(&row.id_column)
    );
    let message = format!(
        "table {} is guarded already, by its column {}",
        name.shown(),
        shown_identifier(&current)
    );
    let hint = Hint::run("To go by the other column from now on, run", statement);
    Err(GuardError::new(ErrorKind::AttachedOtherwise, message, hint)
        .detail("Its epochs are kept by that column's values."))
}

/// Calls that name no table are answered from this guard from then on. So who takes the place from
/// another guard, also from one that is detached, must own that guard's table, too; and the tables
/// of all guards where none has it.
fn check_may_be_default(name: &str) -> Result<(), GuardError> {
    let others = guard_cache::all_rows().into_iter().filter(|row| row.name != name);
    let (defaults, rest): (Vec<_>, Vec<_>) = others.partition(|row| row.is_default);
    for row in if defaults.is_empty() { rest } else { defaults } {
        let table = location::locate(&row, &guard_cache::relations());
        match table.and_then(|relid| Relation::open(relid, Lock::Read)) {
            Some(table) => check_ownership(&table)?,
            None => check_administration()?,
        }
    }
    Ok(())
}

/// Whether calls that name no table mean this guard, where `attach` is not told: it goes on as the
/// default, or there is no other.
fn is_default_unasked(row: &GuardRow, known: Option<&GuardRow>) -> bool {
    let mut others = attached_rows().into_iter().filter(|other| other.name != row.name).peekable();
    match known {
        Some(known) if known.is_default => others.all(|other| !other.is_default),
        Some(known) if !known.is_detached => false,
        _ => others.peek().is_none() && check_may_be_default(&row.name).is_ok(),
    }
}

fn record(row: &GuardRow) {
    if row.is_default {
        run_once(
            "UPDATE session_guard.guard SET is_default = false WHERE is_default AND name <> $1",
            &[Value::Utf8(&row.name)],
        );
    }
    run_once(
        "INSERT INTO session_guard.guard AS g
             (name, schema_name, table_name, table_owner, id_column, active_column, active_when,
              revoke_on, max_session_age, is_default)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8,
                 $9::pg_catalog.int8 * interval '1 microsecond', $10)
         ON CONFLICT (name) DO UPDATE SET
             schema_name = EXCLUDED.schema_name, table_name = EXCLUDED.table_name,
             table_owner = EXCLUDED.table_owner, id_column = EXCLUDED.id_column,
             active_column = EXCLUDED.active_column, active_when = EXCLUDED.active_when,
             revoke_on = EXCLUDED.revoke_on, max_session_age = EXCLUDED.max_session_age,
             is_default = EXCLUDED.is_default, detached_at = NULL
         WHERE (g.schema_name, g.table_name, g.table_owner, g.id_column, g.active_column,
                g.active_when, g.revoke_on, g.max_session_age, g.is_default, g.detached_at)
             IS DISTINCT FROM (EXCLUDED.schema_name, EXCLUDED.table_name, EXCLUDED.table_owner,
                EXCLUDED.id_column, EXCLUDED.active_column, EXCLUDED.active_when,
                EXCLUDED.revoke_on, EXCLUDED.max_session_age, EXCLUDED.is_default, NULL)",
        &[
            Value::Utf8(&row.name),
            Value::Name(&row.table.schema),
            Value::Name(&row.table.name),
            Value::Name(&row.table_owner),
            Value::Name(&row.id_column),
            Value::Name(&row.active_column),
            Value::Utf8(&row.active_when),
            Value::Names(&row.revoke_on),
            row.max_session_age.map_or(Value::Null, Value::Int8),
            Value::Bool(row.is_default),
        ],
    );
}
