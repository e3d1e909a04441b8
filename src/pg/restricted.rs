//! Statements over tables of other people, which may run those people's code: triggers, functions
//! in constraints and policies.

use super::datum::Value;
use super::roles::user_and_context;
use super::server::setting;
use super::spi::run_elsewhere;
use super::transaction::{InternalSubtransaction, set_until_level_ends};
use pgrx::pg_sys::panic::CaughtError;
use pgrx::pg_sys::{self, Oid};
use pgrx::{PgSqlErrorCode, PgTryBuilder};
use std::ffi::{CString, c_int};
use std::panic::AssertUnwindSafe;

/// Of a message, in characters: the table owner's code may raise one of any length.
const LONGEST_MESSAGE: usize = 500;

/// A statement failed, and what it did was undone.
#[derive(Clone, Debug)]
pub struct Failure {
    /// PostgreSQL's code.
    pub sqlstate: PgSqlErrorCode,
    /// What PostgreSQL said.
    pub message: String,
}

/// Runs a statement as the role that owns the table, so that its code has that role's rights and no
/// more: it cannot become another role (PostgreSQL source, `SECURITY_RESTRICTED_OPERATION`), and
/// what it sets is set back. Its constraints are checked at its end: the code of one that is
/// deferred would run with the caller's rights. A lock is waited for no longer than `patience`, in
/// milliseconds. Returns how many rows were written.
pub fn run_as(
    role: Oid,
    statement: &str,
    arguments: &[Value],
    patience: i64,
) -> Result<u64, Failure> {
    attempt(|| {
        let restricted =
            pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION;
        let (caller, security) = user_and_context();
        // SAFETY: matched by AtEOXact_GUC; after an error the subtransaction's abort does that.
        let level = unsafe { pg_sys::NewGUCNestLevel() };
        set_until_level_ends(c"search_path", c"pg_catalog, pg_temp");
        set_until_level_ends(c"lock_timeout", &patience_of(patience));
        run_elsewhere("SET CONSTRAINTS ALL IMMEDIATE", &[]);
        // SAFETY: the role exists, since it owns a relation.
        unsafe { pg_sys::SetUserIdAndSecContext(role, security | restricted as c_int) };
        let written = run_elsewhere(statement, arguments);
        // SAFETY: the level was entered above; what the table owner's code has set goes with it.
        unsafe { pg_sys::AtEOXact_GUC(false, level) };
        // SAFETY: what was there before.
        unsafe { pg_sys::SetUserIdAndSecContext(caller, security) };
        written
    })
}

/// Runs `work` in a subtransaction. An error undoes what it did, and is returned; but a
/// cancellation goes on.
pub fn attempt<T>(work: impl FnOnce() -> T) -> Result<T, Failure> {
    let subtransaction = InternalSubtransaction::begin();
    let work = || {
        let result = work();
        subtransaction.end(true);
        Ok(result)
    };
    PgTryBuilder::new(AssertUnwindSafe(work))
        .catch_others(|error| {
            // Its abort gives the caller's rights back, too.
            subtransaction.end(false);
            let (CaughtError::PostgresError(report) | CaughtError::ErrorReport(report)) = &error
            else {
                error.rethrow()
            };
            let sqlstate = report.sql_error_code();
            // The table owner's code may raise this code, too.
            if sqlstate == PgSqlErrorCode::ERRCODE_QUERY_CANCELED
                && report.file().ends_with("postgres.c")
            {
                error.rethrow();
            }
            let message = report.message().chars().take(LONGEST_MESSAGE).collect();
            Err(Failure { sqlstate, message })
        })
        .execute()
}

/// The caller's own limit, if it is shorter.
fn patience_of(patience: i64) -> CString {
    let own = setting(c"lock_timeout").and_then(|own| String::from_utf8(own).ok());
    let own = own.and_then(|own| own.parse::<i64>().ok()).filter(|own| *own > 0);
    let millis = own.map_or(patience, |own| own.min(patience));
    CString::new(millis.to_string()).unwrap_or_default()
}
