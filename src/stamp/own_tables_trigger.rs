//! SQL: the triggers of the extension's own tables. What is written there, by stamps, by hand, by a
//! restore or by logical replication, counts at once.

use super::users_trigger::not_a_trigger;
use super::{at_commit, by_hand, logical_replication};
use crate::cache::generations::{self, Bucket};
use crate::cache::{guard_cache, stamped};
use crate::pg::call_args::CALLED_BY_CALL_INFO;
use crate::pg::server::is_replica_role;
use crate::pg::spi;
use crate::pg::trigger_call::{ReturnedRow, TriggerCall};
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

/// Called before a transaction commits that stamps: does the work that waits for that.
#[pg_extern(sql = false)]
fn stamp_pending(fcinfo: pg_sys::FunctionCallInfo) {
    // SAFETY: PostgreSQL calls with this.
    let Some(call) = (unsafe { TriggerCall::new(fcinfo) }) else { not_a_trigger().raise() };
    if guard_cache::try_relations().is_ok_and(|relations| relations.pending == call.relid()) {
        at_commit::on_deferred_event();
    }
}

/// Called before a row is written or deleted: which row it is to be.
fn row_to_write(call: &TriggerCall) -> ReturnedRow {
    if spi::is_running() {
        // What this server itself writes is as it should be.
        call.unchanged()
    } else if is_replica_role() {
        logical_replication::apply(call)
    } else {
        by_hand::write(call)
    }
}

#[unsafe(no_mangle)]
#[pg_guard]
unsafe extern "C-unwind" fn apply_replicated_wrapper(
    fcinfo: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    // SAFETY: PostgreSQL calls with this.
    let Some(call) = (unsafe { TriggerCall::new(fcinfo) }) else { not_a_trigger().raise() };
    row_to_write(&call).into_datum()
}

#[doc(hidden)]
#[unsafe(no_mangle)]
extern "C-unwind" fn pg_finfo_apply_replicated_wrapper() -> &'static pg_sys::Pg_finfo_record {
    &CALLED_BY_CALL_INFO
}
