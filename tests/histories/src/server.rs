//! The server that the history runs on: the one that PGHOST, PGPORT and PGUSER lead to.

use crate::plan::{ACCOUNTS, IDS};
use postgres::{Client, Config, Error, NoTls};

/// A connection to a database there.
pub fn connect(database: &str) -> Result<Client, Error> {
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let mut config = Config::new();
    config.host(&variable("PGHOST", "/tmp")).user(&variable("PGUSER", "postgres"));
    config.port(variable("PGPORT", "5432").parse().unwrap_or(5432));
    config.dbname(database).connect(NoTls)
}

/// Makes the database anew, with accounts under guard, and their roles watched: half of the ids have one. `settings` are set for all who connect.
pub fn create_database(database: &str, settings: &[(&str, &str)]) -> Result<(), Error> {
    let mut client = connect("postgres")?;
    client.batch_execute(&format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"))?;
    client.batch_execute(&format!("CREATE DATABASE {database}"))?;
    connect(database)?.batch_execute(&format!(
        "CREATE TABLE users (id int PRIMARY KEY, active boolean NOT NULL, password text);
         INSERT INTO users SELECT n, true FROM generate_series(1, {ACCOUNTS}) AS n;
         CREATE EXTENSION pg_session_guard;
         SELECT session_guard.attach('users', revoke_on => '{{password}}');
         CREATE TABLE user_role (user_id int PRIMARY KEY, role text NOT NULL);
         INSERT INTO user_role SELECT n, 'reader' FROM generate_series(1, {IDS}, 2) AS n;
         SELECT session_guard.watch('user_role', 'user_id');"
    ))?;
    for (name, value) in settings {
        client.batch_execute(&format!("ALTER DATABASE {database} SET {name} = '{value}'"))?;
    }
    Ok(())
}

/// Whether transactions can be prepared there.
pub fn can_prepare(client: &mut Client) -> Result<bool, Error> {
    let row =
        client.query_one("SELECT current_setting('max_prepared_transactions')::int > 1", &[])?;
    Ok(row.get(0))
}
