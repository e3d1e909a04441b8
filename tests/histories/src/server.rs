//! The servers that the history runs on.

use crate::plan::{ACCOUNTS, IDS};
use cluster::Cluster;
use postgres::{Client, Config, Error, NoTls};

/// Where accounts are changed and users log in, and where sessions are asked about.
#[derive(Clone, Debug)]
pub struct Servers {
    primary: Config,
    standbys: Vec<Config>,
}

impl Servers {
    /// One server, for everything.
    #[must_use]
    pub fn single(cluster: &Cluster) -> Servers {
        Servers::replicated(cluster, &[])
    }

    /// A primary and its standbys. Only the standbys are asked.
    #[must_use]
    pub fn replicated(primary: &Cluster, standbys: &[Cluster]) -> Servers {
        let standbys = standbys.iter().map(Cluster::config).collect();
        Servers { primary: primary.config(), standbys }
    }

    /// Whether what is asked may be behind what is changed. Then only that the dead stay dead can be judged: an account that is
    /// new may not have been replayed yet.
    #[must_use]
    pub fn are_replicated(&self) -> bool {
        !self.standbys.is_empty()
    }

    /// A connection to a database of the primary.
    pub fn connect(&self, database: &str) -> Result<Client, Error> {
        self.primary.clone().dbname(database).connect(NoTls)
    }

    /// A connection for asker `number`.
    pub fn connect_to_ask(&self, number: usize, database: &str) -> Result<Client, Error> {
        match self.standbys.len() {
            0 => self.connect(database),
            count => self.standbys[number % count].clone().dbname(database).connect(NoTls),
        }
    }
}

/// A running cluster for histories on one server, with autovacuum at its usual pace beside them.
#[must_use]
pub fn start() -> Cluster {
    Cluster::start(&["max_prepared_transactions = 40", "autovacuum_naptime = 1min"])
}

/// Makes the database anew, with accounts under guard, and their roles watched: half of the ids have one. `settings` are set for all who connect.
pub fn create_database(
    servers: &Servers,
    database: &str,
    settings: &[(&str, &str)],
) -> Result<(), Error> {
    let mut client = servers.connect("postgres")?;
    client.batch_execute(&format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"))?;
    client.batch_execute(&format!("CREATE DATABASE {database}"))?;
    servers.connect(database)?.batch_execute(&format!(
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
