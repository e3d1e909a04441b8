//! What is committed now, and what this transaction itself has done.
//!
//! A catalog snapshot of a table that has no system cache is a new one each time, in every
//! isolation level, in parallel workers and on a standby, and needs no transaction id (PostgreSQL
//! source, `GetCatalogSnapshot`).

use super::relation::Relation;
use crate::fault_injection::{self, Fault};
use pgrx::pg_sys;

/// A snapshot that is registered as long as this lives, or one of what is being written.
pub struct Snapshot {
    snapshot: pg_sys::Snapshot,
    being_written: Option<Box<pg_sys::SnapshotData>>,
}

impl Snapshot {
    /// The latest one. The table is one that has no system cache.
    pub fn latest(table: &Relation) -> Snapshot {
        if fault_injection::has(Fault::CallersSnapshot) {
            // SAFETY: at COMMIT there is no active one.
            let callers = match unsafe { pg_sys::ActiveSnapshotSet() } {
                // SAFETY: there is one.
                true => unsafe { pg_sys::GetActiveSnapshot() },
                // SAFETY: we are in a transaction.
                false => unsafe { pg_sys::GetTransactionSnapshot() },
            };
            // SAFETY: the active snapshot is valid.
            return Snapshot::registered(unsafe { pg_sys::RegisterSnapshot(callers) });
        }
        // SAFETY: legal wherever a query may run, in parallel mode and on a standby, too.
        let latest = unsafe { pg_sys::GetCatalogSnapshot(table.oid()) };
        // SAFETY: taken just now.
        Snapshot::registered(unsafe { pg_sys::RegisterSnapshot(latest) })
    }

    fn registered(snapshot: pg_sys::Snapshot) -> Snapshot {
        Snapshot { snapshot, being_written: None }
    }

    /// What is committed, and what transactions that are still under way have written.
    pub fn being_written() -> Snapshot {
        let mut data = Box::new(pg_sys::SnapshotData {
            snapshot_type: pg_sys::SnapshotType::SNAPSHOT_DIRTY,
            ..Default::default()
        });
        Snapshot { snapshot: &raw mut *data, being_written: Some(data) }
    }

    /// Of what is being written: the transaction that has inserted the row which was visited last,
    /// if that is still under way.
    pub fn inserter(&self) -> Option<pg_sys::TransactionId> {
        self.being_written.as_ref()?;
        // SAFETY: our own; PostgreSQL writes to it while it looks at a row.
        let xmin = unsafe { (*self.snapshot).xmin };
        (xmin != pg_sys::InvalidTransactionId).then_some(xmin)
    }

    pub(super) fn as_ptr(&self) -> pg_sys::Snapshot {
        self.snapshot
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // While an error unwinds, the transaction's abort takes care of it.
        if self.being_written.is_none() && !std::thread::panicking() {
            // SAFETY: registered when it was made.
            unsafe { pg_sys::UnregisterSnapshot(self.snapshot) };
        }
    }
}

/// Runs `work` with an active snapshot: at COMMIT there is none, and a table whose values may be
/// stored out of line is not written without (PostgreSQL source, `AssertHasSnapshotForToast`).
pub(super) fn with_active_snapshot<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: reads a variable of this backend.
    if unsafe { pg_sys::ActiveSnapshotSet() } {
        return work();
    }
    // SAFETY: we are in a transaction.
    let snapshot = unsafe { pg_sys::GetTransactionSnapshot() };
    // SAFETY: taken just now; after an error the transaction's abort takes it away.
    unsafe { pg_sys::PushActiveSnapshot(snapshot) };
    let result = work();
    // SAFETY: pushed above.
    unsafe { pg_sys::PopActiveSnapshot() };
    result
}
