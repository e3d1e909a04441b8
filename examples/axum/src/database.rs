//! A pool of connections, and what it means when one does not answer.

use std::{error::Error, time::Duration};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use deadpool_postgres::{Client, Manager, Pool, Runtime};
use tokio::time::timeout;
use tokio_postgres::{Config, NoTls, Row, types::ToSql};

const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Database(Pool);

impl Database {
    pub fn from_url(url: &str) -> Result<Self, Box<dyn Error>> {
        let mut config: Config = url.parse()?;
        // A login waits for a change of its account that is not committed yet, but not for ever.
        config.options("-c lock_timeout=2s");
        // Without TLS: for a database on the same machine.
        let pool = Pool::builder(Manager::new(config, NoTls))
            .max_size(10)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(PATIENCE))
            .create_timeout(Some(PATIENCE))
            .build()?;
        Ok(Self(pool))
    }

    /// The row, if there is one. An error, or no answer in time, refuses whoever asked.
    pub async fn ask(
        &self,
        question: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Unavailable> {
        let client = self.0.get().await?;
        let answer = timeout(PATIENCE, async {
            let statement = client.prepare_cached(question).await?;
            client.query_opt(&statement, values).await
        });
        match answer.await {
            Ok(answer) => Ok(answer?),
            Err(late) => {
                // Not handed back to the pool, where it would keep others waiting.
                drop(Client::take(client));
                Err(late.into())
            }
        }
    }
}

/// Whatever went wrong: it is told to the log, and to the client that it should come again.
pub struct Unavailable;

impl<E: Error> From<E> for Unavailable {
    fn from(error: E) -> Self {
        eprintln!("{error:?}");
        Self
    }
}

impl IntoResponse for Unavailable {
    fn into_response(self) -> Response {
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }
}
