//! Puts a table under guard: the row, the triggers, the grants and the backfill, in one lock.

use crate::advice;
use crate::arm::{
    check_names_are_free, check_not_in_use, create_triggers, drop_triggers, grant_hot_functions,
};
use crate::armed;
use crate::backfill;
use crate::error::{GuardError, Mistake, OrRaise};
use crate::guard::{self, Guard, GuardRow, IdColumn};
use crate::index;
use crate::name::{column_name, qualified_name};
use crate::owner::{self, as_owner};
use crate::registry::{self, OpenGuard};
use crate::scan::OpenTable;
use crate::statement::{relation, run_once};
use crate::succession;
use pgrx::pg_sys::{self, Oid};
use pgrx::spi::quote_identifier;

/// What `attach` is asked for.
pub struct Request {
    /// The id column's name.
    pub id_column: String,
    /// The active column's name.
    pub active_column: String,
    /// The names of further columns whose change revokes.
    pub revoke_on: Vec<String>,
    /// Whether calls that name no table are to mean this one; `None`: as it is, or if it is the only one.
    pub is_default: Option<bool>,
    /// How long a session may last, in microseconds; `None`: as long as it likes.
    pub max_session_age: Option<i64>,
}

/// Guards a table of the caller's, and tells how many disabled accounts were stamped.
pub fn attach_table(relid: Oid, request: Request) -> Result<i64, GuardError> {
    lock_own_table(relid, Some(&request))?;
    let table = open_locked(relid);
    let (id, _) = check_columns(&table, &request)?;
    if request.max_session_age.is_some_and(|age| age <= 0) {
        return Err(GuardError::new(
            Mistake::NegativeAge,
            "max_session_age must be positive",
            advice::attach_statement(relid),
        ));
    }
    index::check_unique(&table, id)?;
    if let Some(row) = registry::rows().into_iter().find(|row| row.relid == relid) {
        check_change(&table, id, &row, &request)?;
    }
    drop(table);
    if request.is_default == Some(true) {
        check_default(relid)?;
    }
    guard_locked(relid, request)
}

/// Whoever takes the default from another guard must own that guard's table, too: calls that name no
/// table are answered from another one from then on.
fn check_default(relid: Oid) -> Result<(), GuardError> {
    let others = registry::rows().into_iter().filter(|row| row.is_default && row.relid != relid);
    for row in others {
        match OpenTable::try_open(row.relid, pg_sys::AccessShareLock) {
            Some(table) => owner::check_ownership(&table)?,
            None => owner::check_administration()?,
        }
    }
    Ok(())
}

/// Checks that the caller may guard the table, then keeps writers away until the transaction ends:
/// between the triggers and the backfill no change must slip through.
///
/// Triggers can only be dropped under the strongest lock. It is taken at once where some must be:
/// to raise a lock later is to invite a deadlock with the app.
pub fn lock_own_table(relid: Oid, request: Option<&Request>) -> Result<(), GuardError> {
    let check = |lock| {
        let table = OpenTable::try_open(relid, lock).ok_or_else(|| {
            let message = format!("there is no table with OID {}", relid.to_u32());
            GuardError::new(Mistake::TableGone, message, advice::attach_something())
        })?;
        guard::check_kind(&table)?;
        owner::check_ownership(&table)?;
        Ok(table)
    };
    drop(check(pg_sys::AccessShareLock)?);
    registry::lock_guards();
    let table = check(pg_sys::AccessShareLock)?;
    let stamper = registry::store().stamper;
    let has_triggers = !armed::stamping_triggers(&table, stamper).is_empty();
    let watched = armed::watched_columns(&table, stamper);
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
    let table = check(lock)?;
    if !(is_armed && is_as_requested) {
        check_names_are_free(&table, &armed::TRIGGERS, stamper)?;
        check_not_in_use(&table)?;
    }
    table.close_but_keep_lock();
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
    let watched = armed::watched_columns(table, registry::store().stamper).unwrap_or_default();
    let current = watched.first().map(|attno| column_name(table, *attno));
    let current = current.unwrap_or_else(|| row.id_column.clone());
    if current != column_name(table, id.attno) {
        let wanted = GuardRow {
            table_name: name.clone(),
            id_column: request.id_column.clone(),
            active_column: request.active_column.clone(),
            revoke_on: request.revoke_on.clone(),
            max_session_age: request.max_session_age,
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

/// Guards a table that is locked and may be guarded: also one whose id is not unique any more, which
/// is no reason to leave it unwatched.
pub fn guard_locked(relid: Oid, request: Request) -> Result<i64, GuardError> {
    let table = open_locked(relid);
    let (id, columns) = check_columns(&table, &request)?;
    let table_owner = owner::owner_of(&table);
    let stamper = registry::store().stamper;
    // Renamed columns were watched on; where the names mean others by now, these were not.
    let was_watched = open(relid)
        .is_ok_and(|open| open.guard.disarmed.is_none() && open.guard.replaced.is_none());
    let was_attached = registry::is_known(relid);
    let is_guarded = registry::rows().iter().any(|row| row.relid == relid);
    let is_watching =
        armed::watched_columns(&table, stamper).is_some_and(|watched| watched == columns);
    let triggers = armed::stamping_triggers(&table, stamper);
    drop(table);
    as_owner(|| {
        succession::take_over(relid);
        if !is_guarded {
            succession::rekey(relid, id.id_type);
        }
        if !is_watching {
            drop_triggers(relid, &triggers);
        }
        record(relid, &request);
        if was_attached && !was_watched {
            note_unwatched(relid);
        }
        let is_armed = open(relid).or_raise().guard.disarmed.is_none();
        if !is_armed {
            if is_watching {
                drop_triggers(relid, &triggers);
            }
            create_triggers(relid, &request);
        }
        grant_hot_functions(table_owner);
        let open = open(relid).or_raise();
        // Triggers are made by name, and a schema can be renamed under any lock on the table.
        if open.guard.disarmed.is_some() {
            renamed_meanwhile(relid).raise();
        }
        Ok(backfill::stamp_disabled(&open, !is_armed))
    })
}

/// Notes that nobody can know what has happened until now.
pub fn note_unwatched(relid: Oid) {
    run_once(
        "UPDATE session_guard.guard SET unwatched_at = pg_catalog.clock_timestamp() WHERE guard = $1",
        &[relation(relid)],
    );
}

/// The triggers were made or dropped on another table than the one that was checked: undoing all is
/// the only safe end.
pub fn renamed_meanwhile(relid: Oid) -> GuardError {
    let name = qualified_name(relid);
    let message = format!("table {name} was renamed meanwhile");
    GuardError::new(Mistake::TableReplaced, message, advice::attach_statement(relid))
}

/// Opens the guard of a table.
pub fn open(relid: Oid) -> Result<OpenGuard, GuardError> {
    registry::open(Some(relid), pg_sys::AccessShareLock)
}

fn record(relid: Oid, request: &Request) {
    let name = qualified_name(relid);
    if request.is_default == Some(true) {
        run_once(
            "UPDATE session_guard.guard SET is_default = false WHERE is_default AND guard <> $1",
            &[relation(relid)],
        );
    }
    run_once(
        "INSERT INTO session_guard.guard AS g
             (guard, table_name, id_column, active_column, revoke_on, is_default, max_session_age)
         VALUES ($1, $2, $3, $4, $5,
                 COALESCE($6, NOT EXISTS (SELECT FROM session_guard.guard WHERE guard <> $1)),
                 $7 * interval '1 microsecond')
         ON CONFLICT (guard) DO UPDATE SET
             table_name = EXCLUDED.table_name, id_column = EXCLUDED.id_column,
             active_column = EXCLUDED.active_column, revoke_on = EXCLUDED.revoke_on,
             is_default = COALESCE($6, g.is_default OR EXCLUDED.is_default),
             max_session_age = EXCLUDED.max_session_age
         WHERE (g.table_name, g.id_column, g.active_column, g.revoke_on, g.is_default, g.max_session_age)
             IS DISTINCT FROM (EXCLUDED.table_name, EXCLUDED.id_column, EXCLUDED.active_column,
                               EXCLUDED.revoke_on, COALESCE($6, g.is_default OR EXCLUDED.is_default),
                               EXCLUDED.max_session_age)",
        &[
            relation(relid),
            name.as_str().into(),
            request.id_column.as_str().into(),
            request.active_column.as_str().into(),
            request.revoke_on.clone().into(),
            request.is_default.into(),
            request.max_session_age.into(),
        ],
    );
}
