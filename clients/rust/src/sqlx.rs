//! Asks through a PgPool.

use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool, Row,
    postgres::{PgDatabaseError, PgRow},
};

use crate::{Database, DatabaseError, Question};

async fn prepared(
    connection: &mut PgConnection,
    question: &Question<'_>,
) -> Result<Option<PgRow>, DatabaseError> {
    let mut query = sqlx::query(AssertSqlSafe(question.text().to_owned()));
    for value in question.values {
        query = query.bind(value.map(str::to_owned));
    }
    Ok(query.fetch_optional(connection).await?)
}

impl Database for PgPool {
    type Row = PgRow;

    async fn first_row(&self, question: Question<'_>) -> Result<Option<PgRow>, DatabaseError> {
        // sqlx prepares a statement in a transaction of its own, also one without a name. Where
        // transactions go to one connection after another, it is then not there. So the guard's own
        // statements go by the simple protocol.
        if !question.prepare
            && let Some(text) = question.text_with_values()
        {
            return Ok(sqlx::raw_sql(AssertSqlSafe(text)).fetch_optional(self).await?);
        }
        let mut connection = self.acquire().await?;
        match prepared(&mut connection, &question).await {
            Err(error) if error.is_of_an_altered_table() => {
                connection.clear_cached_statements().await?;
                prepared(&mut connection, &question).await
            }
            answer => answer,
        }
    }

    fn text(row: &PgRow, column: &str) -> Result<Option<String>, DatabaseError> {
        Ok(row.try_get(column)?)
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        let said = error.as_database_error();
        let sqlstate = said.and_then(|said| said.code()).map(|code| code.into_owned());
        let hint = said
            .and_then(|said| said.try_downcast_ref::<PgDatabaseError>())
            .and_then(|said| said.hint())
            .map(str::to_owned);
        Self { sqlstate, hint, source: error.into() }
    }
}
