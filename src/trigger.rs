//! SQL: what a change of the users table stamps.

use crate::advice;
use crate::error::{GuardError, Mistake, OrRaise};
use crate::lookup;
use crate::name::{column_name, qualified_name};
use crate::news::{self, Bucket};
use crate::owner::check_ownership;
use crate::planted::{self, Fault};
use crate::registry::{self, OpenGuard};
use crate::scan::{OpenTable, Row};
use crate::stamp::{Reason, stamp_guard, stamp_user};
use crate::user_id::{IdType, UserId};
use pgrx::PgTrigger;
use pgrx::pg_sys;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;
use std::cell::RefCell;
use std::collections::HashSet;

thread_local! {
    /// Tables whose triggers this backend has found without a guard, to warn of each once.
    static WARNED: RefCell<HashSet<pg_sys::Oid>> = RefCell::default();
}

/// Called by the four triggers of a guarded table. A guard that is broken lets nobody in, but must
/// not stop the app's own writes: then this warns, and stamps nothing.
#[pg_extern(sql = r#"
CREATE FUNCTION session_guard.stamp() RETURNS trigger
    LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
"#)]
fn stamp(fcinfo: pg_sys::FunctionCallInfo) {
    let trigger = called_by_trigger(fcinfo);
    let data = trigger.trigger_data();
    // SAFETY: a trigger is called with its relation open.
    let table = unsafe { &*data.tg_relation };
    let event = data.tg_event & pg_sys::TRIGGER_EVENT_OPMASK;
    let timing = data.tg_event & pg_sys::TRIGGER_EVENT_TIMINGMASK;
    let is_row_level = data.tg_event & pg_sys::TRIGGER_EVENT_ROW != 0;
    let is_truncate = event == pg_sys::TRIGGER_EVENT_TRUNCATE;
    if timing != pg_sys::TRIGGER_EVENT_AFTER || is_row_level == is_truncate {
        wrong_trigger(&trigger).raise();
    }
    let open = match registry::open(Some(table.rd_id), pg_sys::AccessShareLock) {
        Ok(open) => open,
        Err(error) => {
            // A backend that knows the account from before must read the row again.
            // SAFETY: a trigger is called with its relation open.
            unsafe { pg_sys::CacheInvalidateRelcache(data.tg_relation) };
            if WARNED.with_borrow_mut(|warned| warned.insert(table.rd_id)) {
                error.warn();
            }
            return;
        }
    };
    if is_truncate {
        stamp_guard(&open.store, open.guard.relid, &Reason::Truncated);
        return;
    }
    // SAFETY: a row-level trigger is called with a tuple of its relation.
    let row = unsafe { Row::of_trigger(data.tg_trigtuple, table) };
    match event {
        pg_sys::TRIGGER_EVENT_INSERT => on_insert(&open, &row),
        pg_sys::TRIGGER_EVENT_DELETE => stamp_row(&open, &row, &Reason::Deleted),
        _ => {
            // SAFETY: on UPDATE there is a second tuple, the new one.
            let new = unsafe { Row::of_trigger(data.tg_newtuple, table) };
            on_update(&open, &row, &new);
        }
    }
}

fn on_insert(open: &OpenGuard, row: &Row) {
    let Some(id) = id_of(open, row) else { return };
    let key = id.into_key();
    if lookup::user_epoch(&open.store, open.guard.relid, &key).is_some() {
        stamp_user(open, &key, &Reason::Recreated);
    }
}

fn on_update(open: &OpenGuard, old: &Row, new: &Row) {
    if id_of(open, old) != id_of(open, new) {
        stamp_row(open, old, &Reason::IdChanged);
        stamp_row(open, new, &Reason::IdChanged);
        return;
    }
    let reason = match (is_active(open, old), is_active(open, new)) {
        (was, is) if was == is => changed_column(open, old, new),
        (_, Some(true)) if planted::has(Fault::NoStampAtEnable) => return,
        (_, Some(true)) => Reason::Enabled,
        _ => Reason::Disabled,
    };
    stamp_row(open, new, &reason);
}

fn stamp_row(open: &OpenGuard, row: &Row, reason: &Reason) {
    if let Some(id) = id_of(open, row) {
        stamp_user(open, &id.into_key(), reason);
    }
}

fn id_of<'row>(open: &OpenGuard, row: &'row Row) -> Option<UserId<'row>> {
    row.id(open.guard.id.attno, open.guard.id.id_type)
}

fn is_active(open: &OpenGuard, row: &Row) -> Option<bool> {
    row.get_bool(open.guard.active)
}

fn changed_column(open: &OpenGuard, old: &Row, new: &Row) -> Reason {
    let is_changed = |attno: &&i16| {
        let column = open.users.column(**attno);
        column.is_some_and(|column| old.image(column) != new.image(column))
    };
    match open.guard.revoke_on.iter().find(is_changed) {
        Some(attno) => Reason::Column(column_name(&open.users, *attno)),
        None => Reason::Changed,
    }
}

fn wrong_trigger(trigger: &PgTrigger) -> GuardError {
    // SAFETY: a trigger is called with its relation open.
    let relid = unsafe { (*trigger.trigger_data().tg_relation).rd_id };
    let (name, table) = (trigger.name().unwrap_or_default(), qualified_name(relid));
    GuardError::new(
        Mistake::WrongTrigger,
        format!(
            "trigger {} of table {table} was not made by session_guard.attach",
            quote_identifier(name)
        ),
        format!("DROP TRIGGER {} ON {table};", quote_identifier(name)),
    )
}

/// Called when rows of `session_guard.guard` change, by `attach`, by a restore or by hand: has every
/// backend read them again, and lets nobody guard, and so look into, a table of somebody else's.
#[pg_extern(sql = r#"
CREATE FUNCTION session_guard.guard_changed() RETURNS trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
"#)]
fn guard_changed(fcinfo: pg_sys::FunctionCallInfo) {
    let trigger = called_by_trigger(fcinfo);
    let data = trigger.trigger_data();
    // SAFETY: a trigger is called with its relation open.
    unsafe { pg_sys::CacheInvalidateRelcache(data.tg_relation) };
    let tuple = match data.tg_event & pg_sys::TRIGGER_EVENT_OPMASK {
        _ if data.tg_event & pg_sys::TRIGGER_EVENT_ROW == 0 => return,
        pg_sys::TRIGGER_EVENT_INSERT => data.tg_trigtuple,
        pg_sys::TRIGGER_EVENT_UPDATE => data.tg_newtuple,
        _ => return,
    };
    // SAFETY: a trigger is called with its relation open.
    let table = unsafe { &*data.tg_relation };
    if registry::relation_of_ours(c"guard") != Some(table.rd_id) {
        return;
    }
    // SAFETY: a row-level trigger is called with a tuple of its relation.
    let row = unsafe { Row::of_trigger(tuple, table) };
    let relid = registry::relation(&row, 1);
    if let Some(users) = OpenTable::try_open(relid, pg_sys::AccessShareLock) {
        check_ownership(&users).or_raise();
    }
}

/// Called when epochs change, by a stamp, by a restore or by hand: has every backend forget those that it keeps.
/// Runs no SQL, so that it needs no search_path of its own, which would cost each stamp more than all the rest of it.
#[pg_extern(sql = r#"
CREATE FUNCTION session_guard.epoch_changed() RETURNS trigger
    LANGUAGE c
    AS 'MODULE_PATHNAME', '@FUNCTION_NAME@';
"#)]
fn epoch_changed(fcinfo: pg_sys::FunctionCallInfo) {
    let trigger = called_by_trigger(fcinfo);
    let data = trigger.trigger_data();
    let store = registry::store();
    // SAFETY: a trigger is called with its relation open.
    let table = unsafe { &*data.tg_relation };
    let is_of_user = table.rd_id == store.epoch && data.tg_event & pg_sys::TRIGGER_EVENT_ROW != 0;
    if !is_of_user {
        news::tell_of_all(store.stamp_signal);
        return;
    }
    for tuple in [data.tg_trigtuple, data.tg_newtuple] {
        if tuple.is_null() {
            continue;
        }
        // SAFETY: a row-level trigger is called with tuples of its relation.
        let row = unsafe { Row::of_trigger(tuple, table) };
        if let Some(UserId::Text(key)) = row.id(2, IdType::Text) {
            news::tell_of_user(Bucket::of(&key), store.stamp_signal);
        }
    }
}

/// What PostgreSQL tells a trigger, or an error for a call from elsewhere. `#[pg_trigger]` would
/// make an internal error of that.
pub fn called_by_trigger<'a>(fcinfo: pg_sys::FunctionCallInfo) -> PgTrigger<'a> {
    // SAFETY: PostgreSQL calls with a call info that outlives the call.
    let fcinfo = unsafe { &*fcinfo };
    // SAFETY: as above; what is no trigger's call is refused.
    unsafe { PgTrigger::from_fcinfo(fcinfo) }.unwrap_or_else(|_| {
        GuardError::new(
            Mistake::WrongTrigger,
            "this function is called by the triggers that session_guard.attach makes",
            advice::attach_something(),
        )
        .raise()
    })
}
