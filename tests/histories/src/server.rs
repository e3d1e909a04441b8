//! The servers that the history runs on.

use crate::form::Form;
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
pub fn start(can_prepare: bool) -> Cluster {
    let prepared = if can_prepare {
        "max_prepared_transactions = 40"
    } else {
        "max_prepared_transactions = 0"
    };
    Cluster::start(&[prepared, "autovacuum_naptime = 1min"])
}

/// Makes the database anew, with accounts under guard, and their roles watched: half of the ids have one. `policies` are
/// arguments of `session_guard.configure`, and `settings` are set for all who connect.
pub fn create_database(
    servers: &Servers,
    database: &str,
    form: &Form,
    policies: &str,
    settings: &[(&str, &str)],
) -> Result<(), Error> {
    let mut client = servers.connect("postgres")?;
    client.batch_execute(&format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"))?;
    client.batch_execute(&format!("CREATE DATABASE {database}"))?;
    let Form { active_when, column_type, .. } = form;
    let accounts: Vec<String> =
        (1..=ACCOUNTS).map(|id| format!("({id}, {})", form.active(id as usize))).collect();
    let accounts = accounts.join(", ");
    servers.connect(database)?.batch_execute(&format!(
        "CREATE TYPE stage AS ENUM ('trial', 'active', 'closed');
         CREATE TABLE users (id int PRIMARY KEY, status {column_type}, password text);
         INSERT INTO users VALUES {accounts};
         CREATE EXTENSION pg_session_guard;
         SELECT session_guard.attach('users', active_column => 'status', active_when => '{active_when}',
                                     revoke_on => '{{password}}');
         CREATE TABLE user_role (user_id int PRIMARY KEY, role text NOT NULL);
         INSERT INTO user_role SELECT n, 'reader' FROM generate_series(1, {IDS}, 2) AS n;
         SELECT session_guard.watch('user_role', 'user_id');
         SELECT session_guard.configure({policies});"
    ))?;
    for (name, value) in settings {
        client.batch_execute(&format!("ALTER DATABASE {database} SET {name} = '{value}'"))?;
    }
    Ok(())
}

/// Whether each index of the guard's tables and of the users' has every row that it must have. `None` where PostgreSQL has
/// no amcheck.
pub fn damaged_indexes(client: &mut Client) -> Result<Option<Vec<String>>, Error> {
    if client.batch_execute("CREATE EXTENSION IF NOT EXISTS amcheck").is_err() {
        return Ok(None);
    }
    let indexes = client.query(
        "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
         WHERE indrelid IN (SELECT oid FROM pg_class WHERE relkind = 'r'
                            AND relnamespace IN ('session_guard'::regnamespace, 'public'::regnamespace))
           AND indisvalid AND relam = (SELECT oid FROM pg_am WHERE amname = 'btree')",
        &[],
    )?;
    let mut damaged = Vec::new();
    if indexes.len() < 5 {
        damaged.push(format!("amcheck looks at {} indexes", indexes.len()));
    }
    for index in indexes {
        let index: String = index.get(0);
        // The second argument has it check that each row is in the index.
        let check = format!("SELECT bt_index_check('{}', true)", index.replace('\'', "''"));
        if let Err(error) = client.batch_execute(&check) {
            damaged.push(format!("{index}: {error:?}"));
        }
    }
    Ok(Some(damaged))
}

/// Whether transactions can be prepared there.
pub fn can_prepare(client: &mut Client) -> Result<bool, Error> {
    let row =
        client.query_one("SELECT current_setting('max_prepared_transactions')::int > 1", &[])?;
    Ok(row.get(0))
}
