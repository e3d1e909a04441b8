//! SQL: edits of the extension's own tables, by hand or by a restore, which count at once.

use super::users_trigger::not_a_trigger;
use crate::cache::generations::{self, Bucket};
use crate::cache::{guard_cache, stamped};
use crate::pg::spi;
use crate::pg::trigger_call::TriggerCall;
use pgrx::prelude::*;

/// Called when guards, policies or timelines change: has every backend read them again.
#[pg_extern(sql = false)]
fn guard_changed(fcinfo: pg_sys::FunctionCallInfo) {
    // SAFETY: PostgreSQL calls with this.
    let Some(call) = (unsafe { TriggerCall::new(fcinfo) }) else { not_a_trigger().raise() };
    call.invalidate_relation();
}

/// Called when epochs change, by a stamp, by a restore or by hand: has every backend drop those
/// that it keeps. Runs no SQL, so that it needs no search_path of its own, which would cost each
/// stamp more than all the rest of it.
#[pg_extern(sql = false)]
fn epoch_changed(fcinfo: pg_sys::FunctionCallInfo) {
    // SAFETY: PostgreSQL calls with this.
    let Some(call) = (unsafe { TriggerCall::new(fcinfo) }) else { not_a_trigger().raise() };
    const USER_ID: i16 = 2;
    if !spi::is_running() {
        // By hand: what was stamped may have been taken away.
        stamped::forget_all();
    }
    let relations = guard_cache::relations();
    if call.relid() != relations.epoch || !call.is_row_level() {
        generations::invalidate_all(relations.invalidation);
        return;
    }
    let rows = [call.old(), call.new_row()];
    for key in rows.iter().flatten().filter_map(|row| row.text(USER_ID)) {
        generations::invalidate_user(Bucket::of(key), relations.invalidation);
    }
}
