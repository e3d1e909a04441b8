//! How far a statement is that reads the rows of all accounts, for who asks for it.

use crate::catalog::guard::{AccountTable, AccountTables};
use crate::pg::report::is_progress_wanted;
use std::cell::Cell;

/// How many rows are read between two messages.
const ROWS_BETWEEN: i64 = 100_000;

/// What has been read and stamped so far.
///
/// It is told by NOTICE, and only at a `client_min_messages` of `log` or below: a message of the
/// level LOG would be written to the server's log as well.
pub struct Progress {
    is_wanted: bool,
    table: String,
    expected: Option<i64>,
    read: Cell<i64>,
    stamped: Cell<i64>,
}

impl Progress {
    /// Of reading these tables.
    pub fn of(tables: &AccountTables) -> Progress {
        let is_wanted = is_progress_wanted();
        let estimates = || tables.iter().map(|AccountTable { table, .. }| table.estimated_rows());
        Progress {
            is_wanted,
            table: if is_wanted { tables.guard().users.shown_name() } else { String::new() },
            expected: is_wanted.then(|| estimates().sum()).flatten(),
            read: Cell::new(0),
            stamped: Cell::new(0),
        }
    }

    /// A row was read.
    pub fn note_row(&self) {
        self.read.set(self.read.get() + 1);
        if self.is_wanted && self.read.get() % ROWS_BETWEEN == 0 {
            let expected = self.expected.map(|rows| format!(" of about {rows}"));
            pgrx::notice!(
                "{}: {}{} rows read, {} accounts stamped",
                self.table,
                self.read.get(),
                expected.unwrap_or_default(),
                self.stamped.get()
            );
        }
    }

    /// So many accounts were stamped.
    pub fn note_stamped(&self, accounts: i64) {
        self.stamped.set(self.stamped.get() + accounts);
    }

    /// How many accounts were stamped in all.
    pub fn stamped(&self) -> i64 {
        self.stamped.get()
    }
}
