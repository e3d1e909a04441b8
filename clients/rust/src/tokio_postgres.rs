//! Asks through deadpool-postgres, or a client of tokio-postgres.

use std::{error::Error, sync::Arc};

use bytes::BytesMut;
use deadpool_postgres::{ClientWrapper, Object, Pool, PoolError};
use tokio_postgres::{
    Client, Row,
    types::{Format, IsNull, ToSql, Type, to_sql_checked},
};

use crate::{Database, DatabaseError, Question};

/// A value as text, for a parameter of any type: its type's own input function reads it.
#[derive(Debug)]
struct AsText<'a>(&'a str);

impl ToSql for AsText<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

fn values<'a>(question: &Question<'a>) -> Vec<Option<AsText<'a>>> {
    question.values.iter().map(|value| value.map(AsText)).collect()
}

/// Without a name, in one round trip: it works as it is where transactions go to one connection
/// after another.
async fn unprepared(
    client: &Client,
    question: &Question<'_>,
) -> Result<Option<Row>, DatabaseError> {
    let values = values(question);
    let typed: Vec<(&(dyn ToSql + Sync), Type)> =
        values.iter().map(|value| (value as &(dyn ToSql + Sync), Type::UNKNOWN)).collect();
    let rows = client.query_typed(question.text(), &typed).await?;
    Ok(rows.into_iter().next())
}

async fn prepared(
    client: &ClientWrapper,
    question: &Question<'_>,
) -> Result<Option<Row>, DatabaseError> {
    let values = values(question);
    let values: Vec<_> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
    let statement = client.prepare_cached(question.text()).await?;
    let rows = client.query(&statement, &values).await?;
    Ok(rows.into_iter().next())
}

/// A connection that a question has not come back from is closed: it would keep others waiting.
struct Borrowed(Option<Object>);

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

impl Database for Pool {
    type Row = Row;

    async fn first_row(&self, question: Question<'_>) -> Result<Option<Row>, DatabaseError> {
        let mut borrowed = Borrowed(Some(self.get().await.map_err(pool_error)?));
        let Some(client) = &borrowed.0 else { return Ok(None) };
        let mut answer = if question.prepare {
            prepared(client, &question).await
        } else {
            unprepared(client, &question).await
        };
        if question.prepare && matches!(&answer, Err(error) if error.is_of_an_altered_table()) {
            client.statement_cache.remove(question.text(), &[]);
            answer = unprepared(client, &question).await;
        }
        // Its answer is complete, be it an error: back to the pool.
        drop(borrowed.0.take());
        answer
    }

    fn text(row: &Row, column: &str) -> Result<Option<String>, DatabaseError> {
        Ok(row.try_get(column)?)
    }
}

/// One connection, which the app keeps up. Statements are not prepared under a name.
impl Database for Arc<Client> {
    type Row = Row;

    async fn first_row(&self, question: Question<'_>) -> Result<Option<Row>, DatabaseError> {
        unprepared(self, &question).await
    }

    fn text(row: &Row, column: &str) -> Result<Option<String>, DatabaseError> {
        Ok(row.try_get(column)?)
    }
}

fn pool_error(error: PoolError) -> DatabaseError {
    match error {
        PoolError::Backend(error) => error.into(),
        error => DatabaseError::other(error),
    }
}

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> Self {
        let (sqlstate, hint) = match error.as_db_error() {
            Some(said) => (Some(said.code().code().to_owned()), said.hint().map(str::to_owned)),
            None => (None, None),
        };
        Self { sqlstate, hint, source: error.into() }
    }
}
