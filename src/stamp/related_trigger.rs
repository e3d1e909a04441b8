//! SQL: what a change of a related table stamps.
//!
//! It only notes which users are to be stamped: `at_commit` stamps them. Nor does it wait for who
//! changes the users table: where that is locked, ids are noted as they are written.

use super::pending;
use super::reason::Reason;
use super::users_trigger::not_a_trigger;
use crate::cache::generations::{Generation, guard_generation, track_guards};
use crate::cache::guard_cache::{self, FreeGuard};
use crate::catalog::columns::IdColumn;
use crate::catalog::guard;
use crate::catalog::privileges::as_tables_owner;
use crate::catalog::related::{self, WatchRow, stamp_related as stamp_related_oid};
use crate::catalog::triggers::{self, RELATED_TRIGGERS};
use crate::catalog::unwatched::{self, TriggerState};
use crate::core::user_id::{IdType, UserId};
use crate::error::{ErrorKind, GuardError};
use crate::pg::names::{RelationName, extension_relation, to_server};
use crate::pg::relation::{Lock, Relation};
use crate::pg::roles::recorded_name;
use crate::pg::trigger_call::TriggerCall;
use pgrx::prelude::*;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

thread_local! {
    static WATCHED_TABLES: RefCell<HashMap<pg_sys::Oid, WatchedTable>> = RefCell::default();
    /// Tables whose triggers this backend has found broken, to warn of each once.
    static WARNED: RefCell<HashSet<pg_sys::Oid>> = RefCell::default();
}

/// Called by the triggers of a related table. As with the users table, a watch that is broken must
/// not stop the app's own writes.
#[pg_extern(sql = false)]
fn stamp_related(fcinfo: pg_sys::FunctionCallInfo) {
    // SAFETY: PostgreSQL calls with this.
    let Some(call) = (unsafe { TriggerCall::new(fcinfo) }) else { not_a_trigger().raise() };
    let Err(error) = collect(&call) else { return };
    // While a dump is restored, rows may come before the guard's: nobody has a session yet.
    if error.kind == ErrorKind::NotWatched
        && matches!(call.operation(), Some(PgTriggerOperation::Insert))
        && !is_guard_there(&call)
    {
        return;
    }
    if is_known_watch(&call)
        && let Some(guard) = call.arguments().into_iter().next()
    {
        as_tables_owner(|| unwatched::note_once(&guard, &error.message));
    }
    if WARNED.with_borrow_mut(|warned| warned.insert(call.relid())) {
        error.warn();
    }
}

fn is_guard_there(call: &TriggerCall) -> bool {
    let guard = call.arguments().into_iter().next();
    guard_cache::all_rows().into_iter().any(|row| Some(row.name) == guard)
}

/// Whether the table is known to be watched: a role that may call the function can make triggers on
/// a table of its own that name any guard.
fn is_known_watch(call: &TriggerCall) -> bool {
    let arguments = call.arguments();
    let rows = related::read_rows();
    let mut served = rows.iter().filter(|row| row.arguments()[..] == arguments[..]);
    let owner = Relation::open(call.relid(), Lock::Read).map(|table| recorded_name(table.owner()));
    served.any(|row| {
        Some(&row.table_owner) == owner.as_ref()
            || TriggerState::of_related(row.arguments(), call.relid(), stamp_related_oid())
                .is_recorded()
    })
}

fn collect(call: &TriggerCall) -> Result<(), GuardError> {
    let watched = watched_table(call)?;
    if !call.is_row_level() {
        let related = to_server(&watched.name);
        pending::add_guard(&watched.guard, None, Reason::Related(related.to_bytes()).parts());
        return Ok(());
    }
    let rows = [call.old(), call.new_row()];
    for row in rows.iter().flatten() {
        if let Some(id) = row.user_id(watched.user_id.attno, watched.user_id.id_type) {
            note(&watched, id);
        }
    }
    Ok(())
}

/// What a related table's triggers have to know.
#[derive(Clone)]
struct WatchedTable {
    name: Rc<str>,
    guard: Rc<str>,
    /// The type of the guard's ids; `None` where it could not be looked up without waiting.
    id_type: Option<IdType>,
    /// The column that names the user.
    user_id: IdColumn,
    /// When this held.
    generation: Generation,
}

/// Looked up once for many rows: until a guard, or the related table, is invalidated.
fn watched_table(call: &TriggerCall) -> Result<WatchedTable, GuardError> {
    let relid = call.relid();
    let known = WATCHED_TABLES.with_borrow(|known| {
        known.get(&relid).filter(|known| known.generation == guard_generation()).cloned()
    });
    if let Some(known) = known {
        return Ok(known);
    }
    track_guards(std::iter::once(relid).chain(extension_relation(c"watch")));
    let generation = guard_generation();
    let (guard, id_type) = find_guard(call)?;
    let name = RelationName::of(relid).map(|name| name.name).unwrap_or_default();
    let user_id = user_id_column(call)?;
    let watched = WatchedTable { name: name.into(), guard, id_type, user_id, generation };
    if id_type.is_some() {
        WATCHED_TABLES.with_borrow_mut(|known| {
            known.retain(|_, known| known.generation == generation);
            known.insert(relid, watched.clone());
        });
    }
    Ok(watched)
}

/// The guard that the trigger says, and the type of its ids.
fn find_guard(call: &TriggerCall) -> Result<(Rc<str>, Option<IdType>), GuardError> {
    let not_watched = || {
        let nameless = RelationName { schema: String::new(), name: String::new() };
        WatchRow::not_watched(&RelationName::of(call.relid()).unwrap_or(nameless))
    };
    let arguments = call.arguments();
    let [name, watch] = &arguments[..] else { return Err(not_watched()) };
    let row = guard_cache::attached_rows().into_iter().find(|row| row.name == *name);
    let row = row.ok_or_else(not_watched)?;
    // The owner of the extension ends a watch by its row alone.
    let is_recorded = related::rows_of(name).iter().any(|row| row.name == *watch)
        && TriggerState::of_related([name, watch], call.relid(), stamp_related_oid()).is_recorded();
    let related = Relation::open(call.relid(), Lock::Read).ok_or_else(not_watched)?;
    // A role that may call this function can make triggers on a table of its own that say so, too.
    let Some(FreeGuard { open, .. }) = guard_cache::open_row_without_waiting(&row)? else {
        let owner = recorded_name(related.owner());
        let mut watches = related::rows_of(name).into_iter();
        return match is_recorded
            || watches.any(|row| row.name == *watch && row.table_owner == owner)
        {
            true => Ok((row.name.as_str().into(), None)),
            false => Err(not_watched()),
        };
    };
    if !is_recorded && !open.users.is_updatable_by(related.owner()) {
        return Err(not_watched());
    }
    Ok((Rc::clone(&open.guard.name), Some(open.guard.columns.id.id_type)))
}

/// The column that names the user: the first that the update trigger compares, which follows a
/// column that is renamed.
fn user_id_column(call: &TriggerCall) -> Result<IdColumn, GuardError> {
    let table = Relation::open(call.relid(), Lock::Read).ok_or_else(not_a_trigger)?;
    let compared = triggers::compared_columns(&table, &RELATED_TRIGGERS, stamp_related_oid());
    let column = compared.and_then(|columns| table.column(*columns.first()?));
    let column = column.ok_or_else(|| WatchRow::not_watched(&table.name()))?;
    guard::id_column(&table, &column)
}

fn note(watched: &WatchedTable, id: UserId) {
    let own_type = watched.user_id.id_type;
    let (id, is_canonical) = match watched.id_type {
        Some(id_type) => (id.in_column(id_type), true),
        // Numbers and UUIDs have one text each; a text may write either otherwise.
        None => (Some(id), own_type != IdType::Text),
    };
    let Some(id) = id else { return };
    let (key, related) = (id.into_key().into_owned(), to_server(&watched.name));
    let reason = Reason::Related(related.to_bytes()).parts();
    pending::add_user(&watched.guard, key, is_canonical, &watched.name, reason);
}
