//! What each call asks of PostgreSQL that only reads a variable and cannot raise: called without the
//! guard against errors that pgrx puts around every function, which costs more than the function.

use crate::epoch::Instant;
use pgrx::pg_sys;

unsafe extern "C-unwind" {
    fn GetTopTransactionIdIfAny() -> pg_sys::TransactionId;
    fn GetCurrentStatementStartTimestamp() -> pg_sys::TimestampTz;
}

/// Whether the transaction may have changes of its own (PostgreSQL source, `xact.c`).
pub fn has_written() -> bool {
    // SAFETY: declared as in access/xact.h; it returns a variable.
    unsafe { GetTopTransactionIdIfAny() != pg_sys::InvalidTransactionId }
}

/// When the client's statement began (PostgreSQL source, `xact.c`).
pub fn statement_start() -> Instant {
    // SAFETY: declared as in access/xact.h; it returns a variable.
    Instant(unsafe { GetCurrentStatementStartTimestamp() })
}
