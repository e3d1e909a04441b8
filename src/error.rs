//! What a user can get wrong, each mistake with its own SQLSTATE and a statement that mends it.
//!
//! The codes are PostgreSQL's own (manual, appendix A), so that drivers know them by name.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode, function_name};

/// A mistake of configuration. Values never raise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// No table is guarded at all.
    NoGuard,
    /// Several tables are guarded, and none is the default.
    NoDefaultGuard,
    /// The table that was named is not guarded.
    NotGuarded,
    /// The guarded table was dropped.
    TableGone,
    /// A column of the guarded table was dropped.
    ColumnGone,
    /// A column was renamed, and another has its name now.
    ColumnReplaced,
    /// A table was renamed, and another has its name now.
    TableReplaced,
    /// NULL where a table is wanted.
    NullTable,
    /// A view, sequence, index or system catalog.
    NotATable,
    /// A partitioned or foreign table, or a partition.
    UnsupportedTable,
    /// A temporary or unlogged table.
    NotPermanent,
    /// `attach` names a column that the table does not have.
    NoSuchColumn,
    /// The active column is not a boolean.
    ActiveNotBoolean,
    /// The id column is not of a type that the guard reads.
    UnsupportedIdType,
    /// The id column's collation calls different texts equal.
    NondeterministicId,
    /// No unique index on the id column alone.
    IdNotUnique,
    /// The caller does not own the table.
    NotOwner,
    /// The table is guarded by another id column.
    AttachedOtherwise,
    /// A guard's triggers are not all in place.
    Disarmed,
    /// Another trigger has the name of one of the guard's.
    TriggerNameTaken,
    /// A cursor, a deferred constraint or the statement itself still uses the table.
    TableInUse,
    /// The users table's owner cannot use the schema of the functions that apps call.
    CannotUseSchema,
    /// The table that was named is not watched.
    NotWatched,
    /// Something that writes, on a standby.
    OnStandby,
    /// The catalog is of an earlier version than the library.
    CatalogOutdated,
    /// The catalog is of a later version than the library.
    LibraryOutdated,
    /// An age that lies in the future.
    NegativeAge,
    /// A trigger that was not made by `attach` calls the stamping function.
    WrongTrigger,
}

impl Mistake {
    /// The one table of SQLSTATEs.
    pub fn sqlstate(self) -> PgSqlErrorCode {
        match self {
            Mistake::NoGuard => PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, // 55000
            Mistake::NoDefaultGuard => PgSqlErrorCode::ERRCODE_AMBIGUOUS_ALIAS,           // 42P09
            Mistake::NotGuarded => PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,              // 42704
            Mistake::TableGone => PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE,                // 42P01
            Mistake::ColumnGone => PgSqlErrorCode::ERRCODE_INVALID_COLUMN_REFERENCE,      // 42P10
            Mistake::ColumnReplaced => PgSqlErrorCode::ERRCODE_AMBIGUOUS_COLUMN,
            Mistake::TableReplaced => PgSqlErrorCode::ERRCODE_INVALID_OBJECT_DEFINITION,
            Mistake::NullTable => PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED, // 22004
            Mistake::NotATable => PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,      // 42809
            Mistake::UnsupportedTable => PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED, // 0A000
            Mistake::NotPermanent => PgSqlErrorCode::ERRCODE_INVALID_TABLE_DEFINITION, // 42P16
            Mistake::NoSuchColumn => PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN,    // 42703
            Mistake::ActiveNotBoolean => PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH, // 42804
            Mistake::UnsupportedIdType => PgSqlErrorCode::ERRCODE_INVALID_COLUMN_DEFINITION, // 42611
            Mistake::NondeterministicId => PgSqlErrorCode::ERRCODE_COLLATION_MISMATCH, // 42P21
            Mistake::IdNotUnique => PgSqlErrorCode::ERRCODE_INVALID_FOREIGN_KEY,       // 42830
            Mistake::NotOwner => PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,       // 42501
            Mistake::AttachedOtherwise => PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT,    // 42710
            Mistake::Disarmed => PgSqlErrorCode::ERRCODE_TRIGGERED_ACTION_EXCEPTION,   // 09000
            Mistake::TriggerNameTaken => PgSqlErrorCode::ERRCODE_RESERVED_NAME,        // 42939
            Mistake::TableInUse => PgSqlErrorCode::ERRCODE_OBJECT_IN_USE,              // 55006
            Mistake::CannotUseSchema => {
                PgSqlErrorCode::ERRCODE_WARNING_PRIVILEGE_NOT_GRANTED // 01007
            }
            Mistake::NotWatched => PgSqlErrorCode::ERRCODE_UNDEFINED_PARAMETER, // 42P02
            Mistake::OnStandby => PgSqlErrorCode::ERRCODE_READ_ONLY_SQL_TRANSACTION, // 25006
            Mistake::CatalogOutdated => PgSqlErrorCode::ERRCODE_INVALID_SCHEMA_DEFINITION, // 42P15
            Mistake::LibraryOutdated => PgSqlErrorCode::ERRCODE_UNDEFINED_FILE, // 58P01
            Mistake::NegativeAge => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, // 22023
            Mistake::WrongTrigger => {
                PgSqlErrorCode::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED // 39P01
            }
        }
    }
}

/// A mistake, told in PostgreSQL's manner (manual, section "Error Message Style Guide").
#[derive(Clone, Debug)]
pub struct GuardError {
    /// Which mistake.
    pub mistake: Mistake,
    /// The primary message.
    pub message: String,
    /// What is wrong exactly, where the message leaves that open.
    pub detail: Option<String>,
    /// A statement that mends it when run as it stands.
    pub hint: String,
}

impl GuardError {
    /// A mistake with its message and the statement that mends it.
    pub fn new(mistake: Mistake, message: impl Into<String>, hint: impl Into<String>) -> Self {
        GuardError { mistake, message: message.into(), detail: None, hint: hint.into() }
    }

    /// The same with a DETAIL.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Ends the statement with this error.
    pub fn raise(self) -> ! {
        self.report(PgLogLevel::ERROR);
        unreachable!("an ERROR returned")
    }

    /// Tells the client and the log, and goes on.
    pub fn warn(self) {
        self.report(PgLogLevel::WARNING);
    }

    /// Tells the client whatever its `client_min_messages`.
    pub fn inform(self) {
        self.report(PgLogLevel::INFO);
    }

    fn report(self, level: PgLogLevel) {
        let code = self.mistake.sqlstate();
        let mut report = ErrorReport::new(code, self.message, function_name!());
        if let Some(detail) = self.detail {
            report = report.set_detail(detail);
        }
        report.set_hint(self.hint).report(level);
    }
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

#[cfg(test)]
mod tests {
    use super::Mistake::*;
    use std::collections::HashSet;

    #[test]
    fn each_mistake_has_its_own_sqlstate() {
        let all = [
            NoGuard,
            NoDefaultGuard,
            NotGuarded,
            TableGone,
            ColumnGone,
            ColumnReplaced,
            TableReplaced,
            NullTable,
            NotATable,
            UnsupportedTable,
            NotPermanent,
            NoSuchColumn,
            ActiveNotBoolean,
            UnsupportedIdType,
            NondeterministicId,
            IdNotUnique,
            NotOwner,
            AttachedOtherwise,
            Disarmed,
            TriggerNameTaken,
            TableInUse,
            CannotUseSchema,
            NotWatched,
            OnStandby,
            CatalogOutdated,
            LibraryOutdated,
            NegativeAge,
            WrongTrigger,
        ];
        assert_eq!(all.len(), WrongTrigger as usize + 1, "one is missing here");
        let codes: HashSet<_> = all.into_iter().map(super::Mistake::sqlstate).collect();
        assert_eq!(codes.len(), all.len());
    }
}
