//! What a user can get wrong: a SQLSTATE, a message, and what to do.
//!
//! The codes are PostgreSQL's own (manual, appendix A), so that drivers know them by name.

use pgrx::PgSqlErrorCode;

/// What is wrong. Values that are asked about never raise: these are of configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// No table is guarded at all.
    NoGuard,
    /// Several tables are guarded, and none is the default.
    NoDefaultGuard,
    /// The table that was named is not guarded.
    NotGuarded,
    /// The table that was named is not watched, or no session store.
    NotWatched,
    /// The guarded or watched table was dropped.
    TableGone,
    /// A column of the guarded table was dropped.
    ColumnGone,
    /// A column was renamed, and another has its name now.
    ColumnReplaced,
    /// A table was renamed, and another has its name now.
    TableReplaced,
    /// One of the extension's own tables is not as the extension made it.
    OwnTableModified,
    /// NULL where a table is wanted.
    NullTable,
    /// A view, sequence, index or system catalog.
    NotATable,
    /// A partitioned or foreign table, a partition, or a table of the extension.
    UnsupportedTable,
    /// A temporary or unlogged table.
    NotPermanent,
    /// A column that the table does not have.
    NoSuchColumn,
    /// A column's type does not fit what is to be read from it, or written to it.
    StatusMisfit,
    /// The id column is not of a type that the guard reads.
    UnsupportedIdType,
    /// The id column's collation calls different texts equal.
    NondeterministicId,
    /// No unique index on the id column alone.
    IdNotUnique,
    /// The caller lacks a right.
    NotPermitted,
    /// The table is guarded by another id column.
    AttachedOtherwise,
    /// A guard's triggers are not all in place.
    Disarmed,
    /// Another trigger has the name of one of the guard's.
    TriggerNameTaken,
    /// A cursor, a deferred constraint or the statement itself still uses the table.
    TableInUse,
    /// A role cannot use the schema of the functions that apps call.
    CannotUseSchema,
    /// An id that no account has.
    UnknownUser,
    /// No account is active by the status column that a guard is told to read.
    NobodyActive,
    /// A right that was taken back, and that the role has by another way.
    StillGranted,
    /// Something that writes, on a standby.
    OnStandby,
    /// The catalog is of a later version than the library.
    LibraryOutdated,
    /// A value that a function or a policy does not take.
    InvalidValue,
    /// Sessions could not be ended in a session store.
    StoreFailed,
    /// PostgreSQL's queue of notifications is full.
    QueueFull,
    /// A trigger that was not made by `attach` or `watch` calls their function.
    WrongTrigger,
}

impl ErrorKind {
    /// The one table of SQLSTATEs.
    pub fn sqlstate(self) -> PgSqlErrorCode {
        use ErrorKind::*;
        match self {
            // 55000
            NoGuard | NoDefaultGuard | TableReplaced | OwnTableModified | IdNotUnique
            | Disarmed | LibraryOutdated => {
                PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE
            }
            NotGuarded | NotWatched => PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT, // 42704
            TableGone => PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE,                // 42P01
            NoSuchColumn | ColumnGone => PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN, // 42703
            ColumnReplaced => PgSqlErrorCode::ERRCODE_AMBIGUOUS_COLUMN,          // 42702
            NullTable => PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED,         // 22004
            NotATable => PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,              // 42809
            // 0A000
            UnsupportedTable | NotPermanent => PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            // 42804
            StatusMisfit | UnsupportedIdType => PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH,
            NondeterministicId => PgSqlErrorCode::ERRCODE_COLLATION_MISMATCH, // 42P21
            NotPermitted => PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,   // 42501
            // 42710
            AttachedOtherwise | TriggerNameTaken => PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT,
            TableInUse => PgSqlErrorCode::ERRCODE_OBJECT_IN_USE, // 55006
            CannotUseSchema => PgSqlErrorCode::ERRCODE_WARNING_PRIVILEGE_NOT_GRANTED, // 01007
            StillGranted => PgSqlErrorCode::ERRCODE_WARNING_PRIVILEGE_NOT_REVOKED, // 01006
            StoreFailed | NobodyActive => PgSqlErrorCode::ERRCODE_WARNING, // 01000
            UnknownUser => PgSqlErrorCode::ERRCODE_NO_DATA,      // 02000
            OnStandby => PgSqlErrorCode::ERRCODE_READ_ONLY_SQL_TRANSACTION, // 25006
            InvalidValue => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, // 22023
            QueueFull => PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED, // 54000
            WrongTrigger => PgSqlErrorCode::ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED, // 39P01
        }
    }
}

/// What to do: a sentence, and where there is one, the statement to run as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    sentence: String,
    statement: Option<String>,
}

impl Hint {
    /// A sentence that a statement follows, such as "To put the triggers back, run".
    pub fn run(sentence: impl Into<String>, statement: impl Into<String>) -> Hint {
        Hint { sentence: sentence.into(), statement: Some(statement.into()) }
    }

    /// A whole sentence, where there is no one statement that is right for everybody.
    pub fn advice(sentence: impl Into<String>) -> Hint {
        Hint { sentence: sentence.into(), statement: None }
    }

    /// The statement alone, as `health()` gives it.
    pub fn statement(self) -> Option<String> {
        self.statement
    }

    /// As a HINT reads.
    pub fn text(&self) -> String {
        match &self.statement {
            Some(statement) => format!("{}: {statement}", self.sentence),
            None => self.sentence.clone(),
        }
    }
}

/// An error in PostgreSQL's manner (manual, section "Error Message Style Guide").
#[derive(Clone, Debug)]
pub struct GuardError {
    /// What is wrong.
    pub kind: ErrorKind,
    /// The primary message.
    pub message: String,
    /// What is wrong exactly, where the message leaves that open.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Hint,
}

impl GuardError {
    /// An error with its message, and what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>, hint: Hint) -> Self {
        GuardError { kind, message: message.into(), detail: None, hint }
    }

    /// The same with a DETAIL.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}
