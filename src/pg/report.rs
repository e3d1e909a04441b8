//! Errors and warnings, as PostgreSQL sends them.

use crate::core::encoding::escape_text;
use crate::error::GuardError;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, function_name, pg_sys};

impl GuardError {
    /// Ends the statement with this error.
    pub fn raise(self) -> ! {
        self.report(PgLogLevel::ERROR);
        unreachable!("an ERROR returned")
    }

    /// Sends it to the client and the log as a WARNING, and goes on.
    pub fn warn(self) {
        self.report(PgLogLevel::WARNING);
    }

    /// Shows it to the client whatever its `client_min_messages`.
    pub fn inform(self) {
        self.report(PgLogLevel::INFO);
    }

    fn report(self, level: PgLogLevel) {
        let code = self.kind.sqlstate();
        let mut report = ErrorReport::new(code, sendable(self.message), function_name!());
        if let Some(detail) = self.detail {
            report = report.set_detail(sendable(detail));
        }
        report.set_hint(sendable(self.hint.text())).report(level);
    }
}

/// Whether this session asks for messages of the level LOG or below.
pub fn is_progress_wanted() -> bool {
    // SAFETY: reads a variable of this backend.
    unsafe { pg_sys::client_min_messages <= PgLogLevel::LOG as i32 }
}

/// PostgreSQL takes messages for texts in the database's encoding: where that is not UTF-8, other
/// characters than ASCII are escaped.
fn sendable(message: String) -> String {
    // SAFETY: reads a variable of this backend.
    let encoding = unsafe { pg_sys::GetDatabaseEncoding() };
    escape_text(message, encoding != pg_sys::pg_enc::PG_UTF8 as i32)
}

/// Unwraps, or ends the statement with the error.
pub trait OrRaise<T> {
    /// The value, if there is one.
    fn or_raise(self) -> T;
}

impl<T> OrRaise<T> for Result<T, GuardError> {
    fn or_raise(self) -> T {
        self.unwrap_or_else(|error| error.raise())
    }
}
