//! What the test server and the tests share: pools by the environment of libpq, and one that
//! counts.

use std::{
    env,
    error::Error,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use deadpool_postgres::{Manager, Runtime};
use session_guard::{Database, DatabaseError, Question};
use sqlx::{AssertSqlSafe, PgPool, Row, postgres::PgPoolOptions};
use tokio_postgres::{NoTls, types::Type};

/// On a slow machine that is busy with more.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub static STATEMENTS: AtomicUsize = AtomicUsize::new(0);

/// Counts what the guard asks.
#[derive(Clone)]
pub struct Counting<D>(pub D);

impl<D: Database> Database for Counting<D> {
    type Row = D::Row;

    async fn first_row(&self, question: Question<'_>) -> Result<Option<D::Row>, DatabaseError> {
        STATEMENTS.fetch_add(1, Ordering::Relaxed);
        self.0.first_row(question).await
    }

    fn text(row: &D::Row, column: &str) -> Result<Option<String>, DatabaseError> {
        D::text(row, column)
    }
}

/// Either driver, for the statements of the app's own.
#[derive(Clone)]
pub enum Pool {
    Deadpool(deadpool_postgres::Pool),
    Sqlx(PgPool),
}

fn variable(name: &str) -> Result<String, env::VarError> {
    env::var(name)
}

impl Pool {
    pub fn deadpool(
        database: &str,
        user: &str,
        size: usize,
    ) -> Result<deadpool_postgres::Pool, Box<dyn Error>> {
        let mut config = tokio_postgres::Config::new();
        config
            .host(variable("PGHOST")?)
            .port(variable("PGPORT")?.parse()?)
            .dbname(database)
            .user(user);
        let patience = Some(PATIENCE);
        Ok(deadpool_postgres::Pool::builder(Manager::new(config, NoTls))
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(patience)
            .create_timeout(patience)
            .build()?)
    }

    pub fn sqlx(database: &str, user: &str, size: u32) -> Result<PgPool, Box<dyn Error>> {
        let (host, port) = (variable("PGHOST")?, variable("PGPORT")?.parse()?);
        let options = sqlx::postgres::PgConnectOptions::new_without_pgpass();
        let options =
            if host.starts_with('/') { options.socket(host) } else { options.host(&host) };
        // PgBouncer does not know that parameter.
        let options = options.extra_float_digits(None);
        let options = options.port(port).database(database).username(user);
        Ok(PgPoolOptions::new()
            .max_connections(size)
            .acquire_timeout(PATIENCE)
            .connect_lazy_with(options))
    }

    /// The first field, as text. The values are texts.
    pub async fn field(
        &self,
        statement: &str,
        values: &[&str],
    ) -> Result<Option<String>, DatabaseError> {
        self.fields(&[(statement, values)]).await
    }

    /// Of the last statement. Together they are a transaction.
    pub async fn fields(
        &self,
        statements: &[(&str, &[&str])],
    ) -> Result<Option<String>, DatabaseError> {
        let mut field = None;
        match self {
            Self::Deadpool(pool) => {
                let mut client = pool.get().await.map_err(DatabaseError::other)?;
                let transaction = client.transaction().await?;
                for (statement, values) in statements {
                    STATEMENTS.fetch_add(1, Ordering::Relaxed);
                    let typed: Vec<(&(dyn tokio_postgres::types::ToSql + Sync), Type)> =
                        values.iter().map(|value| (value as _, Type::TEXT)).collect();
                    let rows = transaction.query_typed(statement, &typed).await?;
                    field = rows.first().map_or(Ok(None), |row| row.try_get(0))?;
                }
                transaction.commit().await?;
            }
            // By the simple protocol, which any pooler passes on. The tests have no quotes in their
            // values.
            Self::Sqlx(pool) => {
                let mut transaction = pool.begin().await?;
                for (statement, values) in statements {
                    STATEMENTS.fetch_add(1, Ordering::Relaxed);
                    let mut text = (*statement).to_owned();
                    for (number, value) in values.iter().enumerate() {
                        text = text.replace(&format!("${}", number + 1), &format!("'{value}'"));
                    }
                    let query = sqlx::raw_sql(AssertSqlSafe(text));
                    let row = query.fetch_optional(&mut *transaction).await?;
                    field = row.map_or(Ok(None), |row| row.try_get(0))?;
                }
                transaction.commit().await?;
            }
        }
        Ok(field)
    }
}
