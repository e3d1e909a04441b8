//! What each call asks of PostgreSQL that only reads a variable, or that raises where no frame has
//! anything to clean up: called without `pg_guard`, which costs as much as a cache hit.

use crate::core::epoch::Instant;
use crate::fault_injection::{self, Fault};
use pgrx::pg_sys;

unsafe extern "C-unwind" {
    fn GetTopTransactionIdIfAny() -> pg_sys::TransactionId;
    fn GetCurrentStatementStartTimestamp() -> pg_sys::TimestampTz;
    fn AcceptInvalidationMessages();
}

/// Whether the transaction may have changes of its own (PostgreSQL source, `xact.c`).
#[inline]
pub fn has_written() -> bool {
    // SAFETY: declared as in access/xact.h; it returns a variable.
    unsafe { GetTopTransactionIdIfAny() != pg_sys::InvalidTransactionId }
}

/// When the client's statement began (PostgreSQL source, `xact.c`).
#[inline]
pub fn statement_start() -> Instant {
    // SAFETY: declared as in access/xact.h; it returns a variable.
    Instant(unsafe { GetCurrentStatementStartTimestamp() })
}

/// Processes the invalidation messages of what others have committed (PostgreSQL source,
/// `inval.c`). To be called where no frame between here and PostgreSQL has anything to clean up,
/// nor catches what unwinds: an error goes straight to PostgreSQL.
#[inline(always)]
pub fn accept_invalidation_messages() {
    if fault_injection::has(Fault::InvalidationsNotAccepted) {
        return;
    }
    // SAFETY: declared as in utils/inval.h; legal wherever a query may run; frames without
    // destructors may be jumped over (RFC 2945 of Rust, "plain old frames").
    unsafe { AcceptInvalidationMessages() };
}
