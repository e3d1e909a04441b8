//! What is committed now, and what this transaction itself has done.
//!
//! A catalog snapshot of a table that has no system cache is a new one each time, in every
//! isolation level, in parallel workers and on a standby, and needs no transaction id (PostgreSQL
//! source, `GetCatalogSnapshot`).

use super::relation::Relation;
use crate::fault_injection::{self, Fault};
use pgrx::pg_sys;

/// A snapshot that is registered as long as this lives.
pub struct Snapshot(pg_sys::Snapshot);

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
            return Snapshot(unsafe { pg_sys::RegisterSnapshot(callers) });
        }
        // SAFETY: legal wherever a query may run, in parallel mode and on a standby, too.
        let latest = unsafe { pg_sys::GetCatalogSnapshot(table.oid()) };
        // SAFETY: taken just now.
        Snapshot(unsafe { pg_sys::RegisterSnapshot(latest) })
    }

    pub(super) fn as_ptr(&self) -> pg_sys::Snapshot {
        self.0
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // While an error unwinds, the transaction's abort takes care of it.
        if !std::thread::panicking() {
            // SAFETY: registered when it was made.
            unsafe { pg_sys::UnregisterSnapshot(self.0) };
        }
    }
}
