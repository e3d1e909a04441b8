use std::{error::Error, fmt, sync::Arc};

use crate::statements::Place;

/// An error of any kind.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What the database said, or why it said nothing.
#[derive(Debug)]
pub struct DatabaseError {
    /// The code of PostgreSQL for the error, if it came from there.
    pub sqlstate: Option<String>,
    /// What PostgreSQL says is to be done.
    pub hint: Option<String>,
    /// The driver's own error.
    pub source: BoxError,
}

impl DatabaseError {
    /// Of an error that PostgreSQL did not send.
    pub fn other(source: impl Into<BoxError>) -> Self {
        Self { sqlstate: None, hint: None, source: source.into() }
    }

    /// Of a query that compares the user's id with a column: the id may be none, such as `nobody`
    /// for a bigint. session_valid itself takes any text.
    pub(crate) fn is_no_value_of_its_type(&self) -> bool {
        matches!(self.sqlstate.as_deref(), Some("22P02" | "22003"))
    }

    /// Of a login: somebody is changing the account, and has not committed yet. What that ends began
    /// before it, and not before now. A cancelled one has waited as long as statement_timeout says.
    pub(crate) fn is_of_a_lock(&self) -> bool {
        matches!(self.sqlstate.as_deref(), Some("55P03" | "57014"))
    }

    /// Of a prepared query that gives other columns than when it was prepared, such as `SELECT *`
    /// after an ALTER TABLE. Its connection would say so again and again.
    pub(crate) fn is_of_an_altered_table(&self) -> bool {
        self.sqlstate.as_deref() == Some("0A000")
    }

    /// For the log: what happened, and what to do where the database is not set up.
    pub(crate) fn told(&self, place: &Place) -> String {
        let mut told = String::from("cannot ask pg_session_guard");
        // What the extension itself says, such as where no table is guarded, is the hint.
        if let Some(remedy) = self.remedy(place).or_else(|| self.hint.clone()) {
            told.push_str(": ");
            told.push_str(&remedy);
        }
        told.push_str(&format!(" ({}", self.source));
        let mut cause = self.source.source();
        while let Some(error) = cause {
            told.push_str(&format!(": {error}"));
            cause = error.source();
        }
        if let Some(sqlstate) = &self.sqlstate {
            told.push_str(&format!("; SQLSTATE {sqlstate}"));
        }
        told.push(')');
        told
    }

    fn remedy(&self, place: &Place) -> Option<String> {
        Some(match self.sqlstate.as_deref()? {
            "42501" => "let the owner of the extension run SELECT session_guard.grant_access(\
                        'the role that the app connects as')"
                .to_owned(),
            "42883" | "3F000" => format!(
                "run CREATE EXTENSION pg_session_guard in the app's database, or name the schema \
                 that it is in by the option schema (now {})",
                place.schema
            ),
            "42704" => "let the owner of the table run SELECT session_guard.attach('the table'), \
                        or name the table that is guarded by the option users"
                .to_owned(),
            "42P01" => "the option users, or the query that reads the user, names a table that is \
                        not there"
                .to_owned(),
            "26000" => "the pooler gives a statement to another connection than the one that \
                        prepared it: leave the option prepare off, and with sqlx also the option \
                        user, or take PgBouncer 1.21 or later"
                .to_owned(),
            _ => return None,
        })
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)
    }
}

impl Error for DatabaseError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// The database gives no answer, so there is none: a 503. In a handler of axum, pass it on by `?`.
///
/// What it shows says nothing of the database. The log has the cause, and so has
/// [`source`](Error::source).
#[derive(Clone, Debug)]
pub struct CannotAsk(pub(crate) Arc<DatabaseError>);

impl fmt::Display for CannotAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("It cannot be checked now whether the session counts. Try again later.")
    }
}

impl Error for CannotAsk {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

/// An option that has no meaning.
#[derive(Debug)]
pub struct ConfigError(pub(crate) &'static str);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for ConfigError {}
