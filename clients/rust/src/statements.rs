//! What the database is asked. Each name has its schema, and each argument its type: so the call
//! has an exact match, and no function that somebody has planted is preferred. An id is sent as
//! text: it may be an integer, a UUID or a text, and session_valid reads it as the id column would.

use std::fmt::Write;

/// One of the guard's statements, and the values for it.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    template: &'a Template,
    /// The values of `$1`, `$2` and so on.
    pub values: &'a [Option<&'a str>],
    /// Whether the app has chosen that statements are prepared under a name.
    pub prepare: bool,
}

impl<'a> Question<'a> {
    pub(crate) fn new(
        template: &'a Template,
        values: &'a [Option<&'a str>],
        prepare: bool,
    ) -> Self {
        Self { template, values, prepare }
    }

    /// The statement, with `$1`, `$2` and so on. They are texts, unless the app's own query in it
    /// says otherwise.
    pub fn text(&self) -> &'a str {
        &self.template.numbered
    }

    /// The statement with its values in it, for the simple protocol of PostgreSQL, which knows no
    /// parameters. None where the app's own query is in it, whose parameters are not known here.
    /// The values have no NUL in them.
    pub fn text_with_values(&self) -> Option<String> {
        let pieces = self.template.pieces.as_ref()?;
        let mut text = String::with_capacity(self.template.numbered.len() + 64);
        for piece in pieces {
            match piece {
                Piece::Sql(sql) => text.push_str(sql),
                Piece::Value(number) => match self.values.get(*number).copied().flatten() {
                    Some(value) => text.push_str(&literal(value)),
                    None => text.push_str("NULL"),
                },
            }
        }
        Some(text)
    }
}

/// A statement with places for its values.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    numbered: String,
    pieces: Option<Vec<Piece>>,
}

#[derive(Clone, Debug)]
enum Piece {
    Sql(String),
    /// Counted from 0.
    Value(usize),
}

impl Template {
    fn of(pieces: Vec<Piece>) -> Self {
        let mut numbered = String::new();
        for piece in &pieces {
            match piece {
                Piece::Sql(sql) => numbered.push_str(sql),
                Piece::Value(number) => write!(numbered, "${}", number + 1).unwrap_or_default(),
            }
        }
        Self { numbered, pieces: Some(pieces) }
    }

    /// A query of the app's own, of `$1`.
    pub(crate) fn of_the_app(text: &str) -> Self {
        Self { numbered: text.to_owned(), pieces: None }
    }
}

fn sql(text: impl Into<String>) -> Piece {
    Piece::Sql(text.into())
}

/// Which guard is asked.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) schema: String,
    pub(crate) users: Option<String>,
}

pub(crate) const ANSWER: &str = "pg_session_guard_answer";

const END_OF_START: &str = "::pg_catalog.text)), 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";

impl Place {
    /// To select beside the user; of expressions of SQL.
    pub(crate) fn valid_call(&self, user_id: &str, login_at: &str) -> String {
        let begin = self.call("session_valid");
        format!("{begin}({user_id})::pg_catalog.text, ({login_at})::pg_catalog.timestamptz)")
    }

    /// At a request whose user is not read anyway; of the id and the login time.
    pub(crate) fn valid(&self) -> Template {
        Template::of(vec![
            sql(format!("SELECT {}", self.call("session_valid"))),
            Piece::Value(0),
            sql("::pg_catalog.text, "),
            Piece::Value(1),
            sql(format!("::pg_catalog.text::pg_catalog.timestamptz)::pg_catalog.text AS {ANSWER}")),
        ])
    }

    /// Of the scope, the subject and the login time of a token.
    pub(crate) fn token_valid(&self) -> Template {
        Template::of(vec![
            sql(format!("SELECT {}.token_valid(", identifier(&self.schema))),
            Piece::Value(0),
            sql("::pg_catalog.text, "),
            Piece::Value(1),
            sql("::pg_catalog.text, "),
            Piece::Value(2),
            sql(format!("::pg_catalog.text::pg_catalog.timestamptz)::pg_catalog.text AS {ANSWER}")),
        ])
    }

    /// The app's own query, of `$1`, and in it whether the session counts. On lines of its own, as
    /// the query may end with a comment. `$2` is the id once more: `$1` has the type that the app's
    /// query gives it.
    pub(crate) fn user(&self, query: &str) -> Template {
        let valid = self.valid_call("$2::pg_catalog.text", "$3::pg_catalog.text");
        Template::of_the_app(&format!(
            "SELECT the_user.*, {valid}::pg_catalog.text AS {ANSWER} FROM (\n{query}\n) AS the_user"
        ))
    }

    /// At a login; of the id and the timeout. It is set for this transaction alone, in the same
    /// round trip, and before the lock is asked for: the WHERE is evaluated first.
    pub(crate) fn start(&self) -> Template {
        let begin = self.begin_of_start();
        Template::of(vec![
            sql("WITH waits AS MATERIALIZED (SELECT pg_catalog.set_config('lock_timeout', "),
            Piece::Value(1),
            sql(format!("::pg_catalog.text, true) AS at_most) SELECT {begin}")),
            Piece::Value(0),
            sql(format!("{END_OF_START} AS {ANSWER} FROM waits WHERE at_most IS NOT NULL")),
        ])
    }

    /// In a transaction of the app's own that has changed the user's row; of an expression of SQL.
    /// The row is locked already, and the transaction's timeouts are the app's.
    pub(crate) fn start_call(&self, user_id: &str) -> String {
        format!("{}({user_id}){END_OF_START}", self.begin_of_start())
    }

    /// The time is formatted in SQL, as text in the way of any DateStyle.
    fn begin_of_start(&self) -> String {
        let call = self.call("session_start");
        format!("pg_catalog.to_char(pg_catalog.timezone('UTC'::pg_catalog.text, {call}")
    }

    fn call(&self, name: &str) -> String {
        let guard = self
            .users
            .as_ref()
            .map_or(String::new(), |users| format!("{}::pg_catalog.regclass, ", literal(users)));
        format!("{}.{name}({guard}", identifier(&self.schema))
    }
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Whatever `standard_conforming_strings` is.
fn literal(text: &str) -> String {
    let quoted = format!("'{}'", text.replace('\'', "''").replace('\\', "\\\\"));
    if text.contains('\\') { format!(" E{quoted}") } else { quoted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_literals_whatever_is_in_them() {
        let place = Place { schema: "a\"b".into(), users: Some("it's $1".into()) };
        let template = place.valid();
        let question = Question::new(&template, &[Some("1'; \\' $2"), None], false);
        assert_eq!(
            question.text(),
            "SELECT \"a\"\"b\".session_valid('it''s $1'::pg_catalog.regclass, $1::pg_catalog.text, \
             $2::pg_catalog.text::pg_catalog.timestamptz)::pg_catalog.text AS pg_session_guard_answer"
        );
        assert_eq!(
            question.text_with_values().unwrap(),
            "SELECT \"a\"\"b\".session_valid('it''s $1'::pg_catalog.regclass,  \
             E'1''; \\\\'' $2'::pg_catalog.text, NULL::pg_catalog.text::pg_catalog.timestamptz)\
             ::pg_catalog.text AS pg_session_guard_answer"
        );
    }

    #[test]
    fn nothing_is_put_into_a_query_of_the_app() {
        let place = Place { schema: "public".into(), users: None };
        let template = place.user("SELECT '$1' -- $1");
        assert_eq!(Question::new(&template, &[Some("1")], false).text_with_values(), None);
        assert!(template.numbered.contains("(\nSELECT '$1' -- $1\n) AS the_user"));
    }
}
