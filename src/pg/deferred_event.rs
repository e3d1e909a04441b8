//! Events of deferred triggers, as an INSERT queues them: PostgreSQL fires these triggers when the
//! app has done all, and before anybody else prepares to commit.

use super::relation::Relation;
use super::roles::as_acting_role;
use pgrx::pg_sys;
use std::ptr::null_mut;

/// Queues an event of each AFTER INSERT trigger for rows of this table, which is open for writing,
/// and has no rows: the triggers are called without one. An event of a constraint that is IMMEDIATE
/// fires before this returns.
pub fn queue_insert(table: &Relation) {
    // A deferred event is refused where code is untrusted, as where logical replication applies a
    // change with the rights of the table's owner. These triggers are the library's own. And later
    // PostgreSQL calls them as the role that queues.
    as_acting_role(|| {
        // SAFETY: freed below, or by the abort.
        let state = unsafe { pg_sys::CreateExecutorState() };
        // SAFETY: made above.
        let context = unsafe { &*state }.es_query_cxt;
        // SAFETY: the context of that state.
        let outside = unsafe { pg_sys::MemoryContextSwitchTo(context) };
        let mut target = pg_sys::ResultRelInfo::default();
        // SAFETY: the relation is open.
        unsafe {
            pg_sys::InitResultRelInfo(&raw mut target, table.as_ptr(), 0, null_mut(), 0);
        };
        let row_type = table.data().rd_att;
        // SAFETY: the row type of an open relation. The row is empty, and has no place in a table.
        let row =
            unsafe { pg_sys::MakeSingleTupleTableSlot(row_type, &raw const pg_sys::TTSOpsVirtual) };
        // SAFETY: matched below; after an error the abort does that.
        unsafe { pg_sys::AfterTriggerBeginQuery() };
        // SAFETY: all of them made above.
        unsafe {
            pg_sys::ExecARInsertTriggers(state, &raw mut target, row, null_mut(), null_mut());
        };
        // SAFETY: begun above.
        unsafe { pg_sys::AfterTriggerEndQuery(state) };
        // SAFETY: made above.
        unsafe { pg_sys::ExecDropSingleTupleTableSlot(row) };
        // SAFETY: closes what calling triggers has opened.
        unsafe { pg_sys::ExecCloseResultRelations(state) };
        // SAFETY: what was there before.
        unsafe { pg_sys::MemoryContextSwitchTo(outside) };
        // SAFETY: made above, and used no more.
        unsafe { pg_sys::FreeExecutorState(state) };
    });
}
